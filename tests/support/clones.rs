//! One project on several machines: a bare origin, clones of it, and one session that goes from one to another.
//!
//! The program is started itself, not through `git`, which would cost a process each time.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::sandbox::{Machine, Ran, Sandbox};

/// No fixture has this id.
pub const SESSION: &str = "dddddddd-0001-4000-8000-000000000001";
/// Another one, for what must go on while something is wrong with the first.
pub const OTHER: &str = "dddddddd-0002-4000-8000-000000000002";

pub struct Project {
    pub sandbox: Sandbox,
    pub origin: PathBuf,
}

impl Project {
    pub fn new() -> Project {
        let sandbox = Sandbox::in_memory();
        let origin = sandbox.path().join("origin.git");
        let project = Project { sandbox, origin };
        let founder = project.sandbox.machine("founder");
        founder.git([OsStr::new("init"), "-q".as_ref(), "--bare".as_ref(), project.origin.as_os_str()]);
        // So that no command has a word to say about a branch that is not born.
        founder.git(["init", "-q"]);
        founder.git(["commit", "-q", "--allow-empty", "-m", "x"]);
        founder.git([OsStr::new("push"), "-q".as_ref(), project.origin.as_os_str(), "HEAD:refs/heads/main".as_ref()]);
        project
    }

    /// A machine with keys and a clone that knows nothing of sessions.
    pub fn plain(&self, name: &str) -> Machine {
        let machine = self.sandbox.machine(name);
        machine.git(["init", "-q"]);
        machine.git([OsStr::new("remote"), "add".as_ref(), "origin".as_ref(), self.origin.as_os_str()]);
        machine.run_here(["device", "init", "--name", name]).ok();
        machine.git(["fetch", "-q"]);
        machine
    }

    /// The same, and every fetch brings sessions.
    pub fn clone(&self, name: &str) -> Machine {
        let machine = self.plain(name);
        machine.git(["config", "--add", "remote.origin.fetch", "+refs/samesession/*:refs/samesession-remote/origin/*"]);
        machine
    }

    /// Git in the origin.
    #[track_caller]
    pub fn git<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        self.sandbox.machine("founder").at(&self.origin).git(args).trim().to_owned()
    }

    /// What the session's ref there names.
    #[track_caller]
    pub fn tip(&self) -> String {
        self.git(["rev-parse", &session_ref()])
    }

    /// Sets the session's ref there, by hand.
    #[track_caller]
    pub fn set(&self, to: &str) {
        self.git(["update-ref", &session_ref(), to]);
    }
}

/// Ours for an agent's id.
pub fn sid_of(native: &str) -> String {
    let native = samesession::id::NativeId::parse(native).expect("an id");
    samesession::id::SessionId::derive("claude", &native).to_string()
}

pub fn sid() -> String {
    sid_of(SESSION)
}

pub fn session_ref() -> String {
    format!("refs/samesession/sessions/{}", sid())
}

pub fn tracking_ref() -> String {
    format!("refs/samesession-remote/origin/sessions/{}", sid())
}

impl Machine {
    /// The program, as scripts meet it.
    pub fn run_here<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        Ran(self.start(args).wait_with_output().expect("it ends"))
    }

    /// Plain Git, whatever comes of it.
    pub fn try_git<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        Ran(self.command("git").args(args).output().expect("git can be started"))
    }

    pub fn transcript_of(&self, native: &str) -> PathBuf {
        self.claude_project().join(format!("{native}.jsonl"))
    }

    pub fn transcript(&self) -> PathBuf {
        self.transcript_of(SESSION)
    }

    pub fn heard(&self) -> String {
        fs::read_to_string(self.transcript()).expect("a transcript")
    }

    /// One more record in the session; the first one begins it.
    pub fn say(&self, words: &str) {
        self.say_in(SESSION, words);
    }

    pub fn say_in(&self, native: &str, words: &str) {
        fs::create_dir_all(self.claude_project()).expect("made");
        let line = serde_json::json!({"type": "user", "sessionId": native, "cwd": self.cwd, "message": {"content": words}});
        append(&self.transcript_of(native), &format!("{line}\n"));
    }

    /// Says this, and makes a checkpoint of it, which these machines can open, too. Its commit.
    #[track_caller]
    pub fn checkpoint(&self, words: &str, to: &[&Machine]) -> String {
        self.say(words);
        let recipients: Vec<String> = to.iter().flat_map(|machine| ["-r".to_owned(), machine.recipient()]).collect();
        self.run_here(["checkpoint", SESSION].map(str::to_owned).into_iter().chain(recipients)).ok();
        self.tip()
    }

    /// One of another session.
    #[track_caller]
    pub fn checkpoint_of(&self, native: &str) {
        self.say_in(native, "something");
        self.run_here(["checkpoint", native]).ok();
    }

    /// What the origin has is the chain here.
    #[track_caller]
    pub fn adopts(&self) {
        self.git(["update-ref", &session_ref(), &tracking_ref()]);
    }

    #[track_caller]
    pub fn tip(&self) -> String {
        self.rev(&session_ref())
    }

    #[track_caller]
    pub fn rev(&self, name: &str) -> String {
        self.git(["rev-parse", "--verify", name]).trim().to_owned()
    }

    pub fn has(&self, object: &str) -> bool {
        self.try_git(["cat-file", "-e", object]).code() == Some(0)
    }

    /// Believes what that one has made and pushed.
    #[track_caller]
    pub fn trusts(&self, other: &Machine) -> Ran {
        self.run_here(["fetch", "--trust", &other.fingerprint()]).ok()
    }

    /// How many checkpoints a chain has.
    #[track_caller]
    pub fn count(&self, tip: &str) -> usize {
        self.git(["rev-list", "--count", tip]).trim().parse().expect("a number")
    }
}

pub fn append(path: &Path, text: &str) {
    let file = fs::OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("appended");
}
