//! Finds the real agents' programs and gives each test its own surroundings to run them in.
//!
//! Knows nothing of this project's own programs, nor of the stand-in for the model beyond its port. The machine's own
//! home, keys and configuration must stay out of reach: a program is started with an empty environment, and everything
//! it writes lies under `Context::home` and `Context::cwd`.
//!
//! `agents/process.rs` runs programs and gets rid of them again; `agents/claude.rs` and `agents/codex.rs` say what one
//! turn is; `agents/pty.rs` is for use at a terminal.
pub mod claude;
pub mod codex;
pub mod process;
pub mod pty;

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

pub use process::{Finished, Reply, Running, eventually};
pub use pty::Terminal;

/// Names the directory that `tests/install-agents.sh` has filled.
pub const VARIABLE: &str = "SAMESESSION_TEST_TOOLS";

/// A turn against the stand-in takes about a second; RUN-SLEEP eight.
const LIMIT: Duration = Duration::from_secs(120);

/// Where the real programs are.
#[derive(Clone, Debug)]
pub struct Tools {
    bin: PathBuf,
    /// Codex is started by a Node script, so `node` must be found.
    node: Option<PathBuf>,
}

/// The surroundings of an agent's process.
#[derive(Clone, Debug)]
pub struct Context {
    tools: Tools,
    home: PathBuf,
    cwd: PathBuf,
    port: u16,
    env: Vec<(OsString, OsString)>,
    limit: Duration,
}

impl Tools {
    /// `None`, and a line on stderr that says so, where no tools were asked for: the test then returns. Tools that were
    /// asked for and are not there are a failure, or a spoilt CI would pass.
    pub fn find() -> Option<Tools> {
        let Some(dir) = env::var_os(VARIABLE).filter(|dir| !dir.is_empty()) else {
            skipped(&format!("{VARIABLE} does not name a directory with the real agents"));
            return None;
        };
        let dir = fs::canonicalize(&dir).unwrap_or_else(|error| panic!("{VARIABLE}={}: {error}", dir.display()));
        let bin = dir.join("node_modules/.bin");
        for program in ["claude", "codex"] {
            let path = bin.join(program);
            assert!(path.exists(), "{VARIABLE} is set, but {} is missing", path.display());
        }
        Some(Tools { bin, node: folder_of("node") })
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// What `<program> --version` prints.
    pub fn version(&self, program: &str) -> String {
        // Codex writes into its home even then.
        let home = tempfile::tempdir().expect("a temporary directory can be made");
        let mut command = Command::new(self.program(program));
        command.env_clear().env("PATH", self.path(None)).env("HOME", home.path()).arg("--version");
        let output = command.output().unwrap_or_else(|error| panic!("{program} --version: {error}"));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn path(&self, wanted: Option<&OsStr>) -> OsString {
        let mut folders: Vec<PathBuf> = wanted.map_or_else(Vec::new, |path| env::split_paths(path).collect());
        folders.extend(self.node.clone());
        folders.extend(["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from));
        env::join_paths(folders).expect("folders taken from a PATH fit into one")
    }
}

impl Context {
    /// `home` and `cwd` must be absolute and exist. Both agents resolve symbolic links in `cwd` before they record it.
    pub fn new(tools: &Tools, home: &Path, cwd: &Path, port: u16) -> Context {
        assert!(home.is_absolute() && cwd.is_absolute(), "agents need absolute paths");
        let (tools, home, cwd) = (tools.clone(), home.to_owned(), cwd.to_owned());
        Context { tools, home, cwd, port, env: Vec::new(), limit: LIMIT }
    }

    /// Adds to the environment, or replaces a default. A `PATH` goes before the default one.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Context {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The same surroundings in another working directory.
    pub fn at(&self, cwd: &Path) -> Context {
        Context { cwd: cwd.to_owned(), ..self.clone() }
    }

    /// The same surroundings for processes that may take that long; then they are killed and the test fails.
    pub fn within(&self, limit: Duration) -> Context {
        Context { limit, ..self.clone() }
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    pub fn cwd(&self) -> &Path {
        &self.cwd
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// A value given with `env`, for what decides where an agent keeps its files.
    fn given(&self, name: &str) -> Option<&OsStr> {
        self.env.iter().rev().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The program in these surroundings, without arguments; `own` is what this agent needs besides. Agents put sockets
    /// and task output under the temporary folder and leave them there, so that folder is inside the home.
    fn command(&self, program: &str, own: &[(&str, &str)]) -> Command {
        let temporary = self.home.join("tmp");
        fs::create_dir_all(&temporary).expect("the home can be written");
        let mut command = Command::new(self.tools.program(program));
        command.current_dir(&self.cwd).env_clear();
        command.env("HOME", &self.home).env("TMPDIR", &temporary);
        command.envs([("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("USER", "dev"), ("SHELL", "/bin/bash")]);
        command.envs(own.iter().copied());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.env("PATH", self.tools.path(self.given("PATH")));
        command
    }
}

/// Says on stderr that the running test did nothing. Written directly: the print macros of a passing test are swallowed.
pub fn skipped(why: &str) {
    let test = thread::current().name().unwrap_or("test").to_owned();
    let _ = writeln!(io::stderr(), "SKIPPED: {test}: {why}");
}

/// Whether the program is here. Where the tools were asked for, as CI does, it must be.
pub fn installed(program: &str) -> bool {
    let found = folder_of(program).is_some();
    let asked = env::var_os(VARIABLE).is_some_and(|dir| !dir.is_empty());
    assert!(found || !asked, "{VARIABLE} is set, but {program} is not installed");
    if !found {
        skipped(&format!("{program} is not installed"));
    }
    found
}

fn folder_of(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).find(|folder| folder.join(program).is_file())
}
