//! Machines to test on: a home, a project, the built binaries first in PATH, and nothing of the machine below.
//!
//! Every machine is a directory of one `Sandbox`, removed with it. No variable is inherited but PATH.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::mark;

pub const CLAUDE: &str = "aaaaaaaa-0001-4000-8000-000000000001";
pub const CLAUDE_RICH: &str = "aaaaaaaa-0002-4000-8000-000000000002";
pub const CODEX: &str = "01a1fc46-14ce-7500-867f-3e8961b3c90d";
pub const CODEX_FORK: &str = "01a1fc46-1703-74c0-b4b3-1800beaf2b0d";

pub struct Sandbox {
    dir: TempDir,
}

impl Sandbox {
    pub fn new() -> Sandbox {
        Sandbox { dir: tempfile::Builder::new().prefix("samesession-test-").tempdir().expect("a temporary directory can be made") }
    }

    /// In memory where there is such a place: for tests that sync thousands of times.
    pub fn in_memory() -> Sandbox {
        let dir = tempfile::Builder::new().prefix("samesession-test-").tempdir_in("/dev/shm");
        dir.map_or_else(|_| Sandbox::new(), |dir| Sandbox { dir })
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().expect("it is there")
    }

    /// A home of its own with an empty project in `src/<name>.project`.
    pub fn machine(&self, name: &str) -> Machine {
        let home = self.path().join(name);
        let project = home.join("src").join(format!("{name}.project"));
        fs::create_dir_all(&project).expect("directories can be made");
        Machine { name: name.to_owned(), home, cwd: project, vars: Vec::new() }
    }
}

/// Watchers end by themselves when their home has gone, but not before the test has.
impl Drop for Sandbox {
    fn drop(&mut self) {
        for home in fs::read_dir(self.dir.path()).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let pid = fs::read_to_string(home.join(".config/samesession/auto/lock")).unwrap_or_default();
            let process = Path::new("/proc").join(pid.trim());
            let is_ours = || {
                let environ = fs::read(process.join("environ")).unwrap_or_default();
                !pid.trim().is_empty() && environ.split(|byte| *byte == 0).any(|var| var == format!("HOME={}", home.display()).as_bytes())
            };
            for _ in 0..500 {
                if !is_ours() {
                    break;
                }
                let _ = Command::new("kill").args(["-TERM", pid.trim()]).stderr(Stdio::null()).status();
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
}

#[derive(Clone)]
pub struct Machine {
    pub name: String,
    pub home: PathBuf,
    pub cwd: PathBuf,
    vars: Vec<(OsString, OsString)>,
}

impl Machine {
    /// The same machine, standing elsewhere.
    pub fn at(&self, cwd: impl AsRef<Path>) -> Machine {
        fs::create_dir_all(cwd.as_ref()).expect("directories can be made");
        Machine { cwd: cwd.as_ref().to_owned(), ..self.clone() }
    }

    /// The same machine, its home copied or moved to another place.
    pub fn homed(&self, home: impl AsRef<Path>) -> Machine {
        Machine { home: home.as_ref().to_owned(), ..self.clone() }
    }

    pub fn env(&self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Machine {
        let mut machine = self.clone();
        machine.vars.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        machine
    }

    /// Any program, in this machine's environment.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let built = Path::new(env!("CARGO_BIN_EXE_git-samesession")).parent().expect("binaries have a directory");
        let path = std::env::join_paths(std::iter::once(built.to_owned()).chain(std::env::split_paths(&path())));
        let mut command = mark::command(program.as_ref(), &self.home);
        command
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", path.expect("no colon in it"))
            .env("TMPDIR", self.home.parent().expect("in a sandbox"));
        command.env("LANG", "C.UTF-8").env("GIT_CONFIG_NOSYSTEM", "1").envs(self.vars.iter().map(|(n, v)| (n, v)));
        command.current_dir(&self.cwd).stdin(Stdio::null());
        command
    }

    /// `git samesession …`, as users type it. A session of its own keeps the developer's terminal out of reach.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        let mut command = self.command("setsid");
        command.args(["--wait", "git", "samesession"]).args(args);
        Ran(command.output().expect("git can be started"))
    }

    /// Its JSON answer, which must be a success.
    pub fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Value {
        let args: Vec<OsString> = args.into_iter().map(|arg| arg.as_ref().to_owned()).chain(["--json".into()]).collect();
        self.run(args).ok().json()
    }

    /// Plain Git, which must succeed; what it printed.
    #[track_caller]
    pub fn git<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let identity = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "init.defaultBranch=main"];
        let out = self.command("git").args(identity).args(args).output().expect("git can be started");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    pub fn init(&self) -> &Machine {
        self.run(["device", "init", "--name", &self.name]).ok();
        self
    }

    pub fn recipient(&self) -> String {
        self.json(["device", "show"])["recipient"].as_str().expect("a key").to_owned()
    }

    pub fn fingerprint(&self) -> String {
        self.json(["device", "show"])["fingerprint"].as_str().expect("a fingerprint").to_owned()
    }

    pub fn claude(&self) -> PathBuf {
        self.home.join(".claude")
    }

    pub fn codex(&self) -> PathBuf {
        self.home.join(".codex")
    }

    /// The project directory of Claude Code for this working directory; for plain ASCII paths up to 200 characters.
    pub fn claude_project(&self) -> PathBuf {
        let encode = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = self.cwd.to_str().expect("UTF-8").chars().map(encode).collect();
        self.claude().join("projects").join(name)
    }

    /// Puts the genuine Claude Code fixtures here, as if they had been made in this working directory.
    pub fn with_claude(&self) -> &Machine {
        let fixtures = fixture("claude-2.1.197/.claude");
        copy_tree(&fixtures.join("projects/-home-dev-src-demo-app-one"), &self.claude_project());
        copy_tree(&fixtures.join("file-history"), &self.claude().join("file-history"));
        self
    }

    pub fn with_codex(&self) -> &Machine {
        copy_tree(&fixture("codex-0.169.0/.codex/sessions"), &self.codex().join("sessions"));
        self
    }

    /// `checkpoint` of a session into a file beside the homes, sealed to another machine, too.
    pub fn seal(&self, session: &str, to: &Machine) -> PathBuf {
        let file = self.home.parent().expect("in a sandbox").join(format!("{}-{session}.capsule", self.name));
        let _ = fs::remove_file(&file);
        let recipient = to.recipient();
        self.run([OsStr::new("checkpoint"), session.as_ref(), "-o".as_ref(), file.as_os_str(), "-r".as_ref(), recipient.as_ref()]).ok();
        file
    }

    /// `restore`, believing that machine.
    pub fn restore(&self, file: &Path, from: &Machine) -> Ran {
        let trust = from.fingerprint();
        self.run([OsStr::new("restore"), file.as_os_str(), "--trust".as_ref(), trust.as_ref()])
    }
}

/// The tester's own, and before it the directory of the Git that is to be used instead of the first one there.
pub fn path() -> OsString {
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    match std::env::var_os("SAMESESSION_TEST_GIT") {
        Some(git) => std::env::join_paths(std::iter::once(git.into()).chain(std::env::split_paths(&inherited))).expect("no colon in it"),
        None => inherited,
    }
}

pub struct Ran(pub Output);

impl Ran {
    #[track_caller]
    pub fn ok(self) -> Ran {
        assert!(self.0.status.success(), "exit {:?}\n{}\n{}", self.code(), self.stdout(), self.stderr());
        self
    }

    /// Fails with this exit code, says this, and says it in one line with a way out where one is expected.
    #[track_caller]
    pub fn fails(self, code: i32, says: &str) -> Ran {
        assert_eq!(self.code(), Some(code), "{}\n{}", self.stdout(), self.stderr());
        assert!(self.stderr().contains(says), "expected '{says}' in:\n{}", self.stderr());
        assert_eq!(self.stderr().lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", self.stderr());
        self
    }

    #[track_caller]
    pub fn hints(self, way_out: &str) -> Ran {
        let hints: Vec<_> = self.stderr().lines().filter(|line| line.starts_with("hint: ")).map(str::to_owned).collect();
        assert!(hints.iter().any(|hint| hint.contains(way_out)), "expected a hint '{way_out}' in:\n{}", self.stderr());
        self
    }

    #[track_caller]
    pub fn fails_with(self, code: i32) -> Ran {
        assert_eq!(self.code(), Some(code), "{}\n{}", self.stdout(), self.stderr());
        self
    }

    pub fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.0.stdout).unwrap_or_else(|error| panic!("{error}:\n{}\n{}", self.stdout(), self.stderr()))
    }
}

pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("directories can be made");
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::write(&target, fs::read(entry.path()).expect("readable")).expect("writable");
        }
    }
}

/// Every path below, with what stands there: for "nothing was written".
pub fn snapshot(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_dir() => {
                    found.push((path.clone(), b"directory".to_vec()));
                    open.push(path);
                }
                Ok(meta) if meta.is_symlink() => found.push((path.clone(), b"link".to_vec())),
                _ => found.push((path.clone(), fs::read(&path).unwrap_or_default())),
            }
        }
    }
    found.sort();
    found
}

/// The same without the program's own journals.
pub fn without_journals(tree: Vec<(PathBuf, Vec<u8>)>) -> Vec<(PathBuf, Vec<u8>)> {
    tree.into_iter().filter(|(path, _)| !path.iter().any(|part| part == ".samesession")).collect()
}
