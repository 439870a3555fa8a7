//! A machine that pushes code, with a session in its project, and what the server has of both.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::chains::{Team, id, write_script};
use crate::support::clones::sid_of;
use crate::support::mark;
use crate::support::sandbox::{Machine, Ran};

pub struct Scene {
    pub team: Team,
    pub laptop: Machine,
}

/// Git's hooks are installed and nothing was pushed yet; session 1 has begun.
pub fn scene() -> Scene {
    let scene = bare_scene();
    scene.laptop.run_here(["hook", "install", "--git"]).ok();
    scene
}

/// The same without hooks.
pub fn bare_scene() -> Scene {
    let team = Team::new();
    let laptop = team.machine("laptop");
    laptop.begin(&id(1));
    Scene { team, laptop }
}

impl Scene {
    /// The chain of the `n`th session on the server.
    pub fn sent(&self, n: usize) -> Option<String> {
        let name = format!("refs/samesession/sessions/{}", sid_of(&id(n)));
        self.team.server.refs(&name).into_iter().next().map(|(tip, _)| tip)
    }

    /// What the server has as the user's own branch.
    pub fn main(&self) -> Option<String> {
        self.team.server.refs("refs/heads/main").into_iter().next().map(|(tip, _)| tip)
    }
}

impl Machine {
    pub fn push_code(&self) -> Ran {
        self.try_git(["push", "-q", "origin", "HEAD:refs/heads/main"])
    }

    #[track_caller]
    pub fn commit_code(&self, words: &str) {
        self.git(["commit", "-q", "--allow-empty", "-m", words]);
    }

    /// What an agent would run, with what it would say.
    pub fn fires(&self, command: &str, id: &str) -> Ran {
        let mut shell = self.command("sh");
        shell.args(["-c", command]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.spawn().expect("a shell");
        let said =
            serde_json::json!({"session_id": id, "transcript_path": null, "cwd": self.cwd, "hook_event_name": "x", "more": {"a": [1]}});
        child.stdin.take().expect("piped").write_all(said.to_string().as_bytes()).expect("written");
        Ran(child.wait_with_output().expect("it ends"))
    }

    /// The chain of the `n`th session here.
    pub fn chain(&self, n: usize) -> Option<String> {
        let name = format!("refs/samesession/sessions/{}", sid_of(&id(n)));
        self.refs(&name).into_iter().next().map(|(tip, _)| tip)
    }

    /// What hooks have written down.
    pub fn hook_log(&self) -> String {
        let dir = self.git(["rev-parse", "--path-format=absolute", "--git-common-dir"]);
        fs::read_to_string(format!("{}/samesession/hooks/log", dir.trim())).unwrap_or_default()
    }

    /// Of this machine's processes those whose own program this is.
    pub fn processes(&self, is: impl Fn(&str) -> bool) -> Vec<rustix::process::Pid> {
        let ours = |command: &str| command.trim_start().split(' ').next().is_some_and(|program| program.ends_with("git-samesession"));
        let found = processes(&self.home).into_iter().filter(|(_, command)| ours(command) && is(command));
        found.filter_map(|(pid, _)| rustix::process::Pid::from_raw(pid)).collect()
    }

    /// The same with a Git of the future, as far as it can be had: it says so, and the rest is what is here.
    pub fn with_newer_git(&self) -> Machine {
        let real = String::from_utf8(self.command("sh").args(["-c", "command -v git"]).output().expect("a shell").stdout).expect("text");
        let bin = self.home.join("newer");
        write_script(
            &bin.join("git"),
            &format!("[ \"$1\" = version ] && {{ echo git version 2.54.0; exit; }}\nexec {} \"$@\"", real.trim()),
        );
        let path = self.command("true").get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value).expect("set").to_owned();
        self.env("PATH", format!("{}:{}", bin.display(), path.to_str().expect("text")))
    }

    /// No process works in the background for this machine any more, and no request was left.
    pub fn at_rest(&self) {
        soon("no process is left", || !processes(&self.home).iter().any(|(_, command)| command.contains("--foreground")));
        let dir = self.git(["rev-parse", "--path-format=absolute", "--git-common-dir"]);
        for entry in fs::read_dir(format!("{}/samesession/hooks", dir.trim())).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(![".asked", ".push", ".over"].iter().any(|end| name.ends_with(end)), "{name}");
        }
    }
}

/// Number and command line of all processes of that home.
fn processes(home: &Path) -> Vec<(i32, String)> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered = all.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    let command = |path: &Path| String::from_utf8_lossy(&fs::read(path.join("cmdline")).unwrap_or_default()).replace('\0', " ");
    numbered.filter(|(_, path)| mark::is_of(path, home)).map(|(pid, path)| (pid, command(&path))).collect()
}

/// Waits for it; a minute is given up after.
#[track_caller]
pub fn soon(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(180);
    while !happened() {
        assert!(Instant::now() < deadline, "{what}: not within three minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
}
