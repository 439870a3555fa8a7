//! Computers with the real agents on them, the model that all of them call, and our program to go between.
//!
//! A `Computer` is one home seen from both sides: `machine` runs our program there, `ctx` the agents, which find our
//! program in their PATH as well. What must stay true: both sides have the same home and the same working directory.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::agents::{Context, Reply, Running, Tools, claude, codex, eventually};
use crate::support::model::{ModelServer, Request, Rule};
use crate::support::sandbox::{Machine, Ran, Sandbox};

/// A command that goes on until the test makes the file `go`, for half a minute at most.
pub const HOLD: &str = "RUN-CMD: for i in $(seq 300); do [ -e go ] && break; sleep 0.1; done; echo held";

/// What the tests that hold for either agent need to know of one.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    pub say: fn(&Context, Option<&str>, &str) -> Reply,
    pub start: fn(&Context, Option<&str>, &str) -> Running,
    pub fork: fn(&Context, &str, &str) -> Reply,
    dir: fn(&Context) -> PathBuf,
}

pub const CLAUDE: Kind = Kind { name: "claude", say: claude::say, start: claude::start, fork: claude::fork, dir: claude::dir };
pub const CODEX: Kind = Kind { name: "codex", say: codex::say, start: codex::start, fork: codex::fork, dir: codex::dir };

pub struct World {
    pub server: ModelServer,
    pub sandbox: Sandbox,
    tools: Tools,
}

pub struct Computer {
    pub machine: Machine,
    pub ctx: Context,
}

impl World {
    pub fn new() -> Option<World> {
        World::playing(Vec::new())
    }

    /// With these rules before the built-in ones.
    pub fn playing(rules: Vec<Rule>) -> Option<World> {
        let tools = Tools::find()?;
        Some(World { server: ModelServer::playing(rules), sandbox: Sandbox::new(), tools })
    }

    /// A computer with keys of its own, at work in this directory of its home.
    pub fn computer(&self, name: &str, project: &str) -> Computer {
        let machine = self.sandbox.machine(name);
        let bin = self.tools.program("");
        let path = std::env::join_paths(programs(&machine).chain([bin])).expect("no colon in it");
        // Codex runs commands in a login shell, which sets PATH anew from what the user's own files say.
        let profile = format!("export PATH='{}'\n", path.to_str().expect("the path is text"));
        fs::write(machine.home.join(".profile"), profile).expect("the home can be written");
        let machine = machine.env("PATH", path);
        machine.init();
        let computer = self.computer_of(&machine.at(machine.home.join(project)));
        codex::configure(&computer.ctx);
        computer
    }

    /// Two, whose directories have nothing in common but that each has characters which agents treat with care.
    pub fn two(&self) -> (Computer, Computer) {
        (self.computer("laptop", "src/demo.app_one"), self.computer("desktop", "my work/demo_app.two"))
    }

    /// The same directories seen by somebody who has moved them or changed their variables.
    pub fn computer_of(&self, machine: &Machine) -> Computer {
        let own = std::env::join_paths(programs(machine).take(1)).expect("no colon in it");
        let ctx = Context::new(&self.tools, &machine.home, &machine.cwd, self.server.port()).env("PATH", own);
        Computer { machine: machine.clone(), ctx }
    }

    /// The latest request to the model, which must have been of this session.
    #[track_caller]
    pub fn last_talk_of(&self, id: &str) -> Request {
        let request = self.server.last_talk();
        assert_eq!(request.session(), Some(id));
        request
    }
}

impl Computer {
    /// `checkpoint` of a session, sealed to another computer, too.
    #[track_caller]
    pub fn seal(&self, session: &str, to: &Computer) -> PathBuf {
        self.machine.seal(session, &to.machine)
    }

    /// `restore`, which must succeed; its answer.
    #[track_caller]
    pub fn restore(&self, capsule: &Path, from: &Computer) -> Value {
        let trust = from.machine.fingerprint();
        self.machine.json([OsStr::new("restore"), capsule.as_os_str(), "--trust".as_ref(), trust.as_ref()])
    }

    #[track_caller]
    pub fn try_restore(&self, capsule: &Path, from: &Computer) -> Ran {
        self.machine.restore(capsule, &from.machine)
    }

    /// Takes a session over: sealed there, installed here.
    #[track_caller]
    pub fn take(&self, session: &str, from: &Computer) -> Value {
        self.restore(&from.seal(session, self), from)
    }

    /// The one transcript of this session in the home. More than one is a fault.
    #[track_caller]
    pub fn transcript(&self, kind: Kind, id: &str) -> PathBuf {
        let mut places = self.transcripts(kind, id);
        assert_eq!(places.len(), 1, "{id} on {} stands at {places:#?}", self.machine.name);
        places.remove(0)
    }

    pub fn transcripts(&self, kind: Kind, id: &str) -> Vec<PathBuf> {
        let is_of = |name: &str| name.strip_suffix(".zst").unwrap_or(name).ends_with(&format!("{id}.jsonl"));
        let own = files(&self.dir(kind)).into_iter().filter(|path| !path.iter().any(|part| part == ".samesession"));
        own.filter(|path| path.file_name().and_then(OsStr::to_str).is_some_and(is_of)).collect()
    }

    #[track_caller]
    pub fn bytes(&self, kind: Kind, id: &str) -> Vec<u8> {
        fs::read(self.transcript(kind, id)).expect("a transcript can be read")
    }

    /// Until the transcript holds this: what is on the screen of an agent is not yet on the disk.
    #[track_caller]
    pub fn written(&self, kind: Kind, id: &str, text: &str) {
        eventually(text, || String::from_utf8_lossy(&self.bytes(kind, id)).contains(text));
    }

    pub fn dir(&self, kind: Kind) -> PathBuf {
        (kind.dir)(&self.ctx)
    }

    /// What `sessions` says of one session.
    #[track_caller]
    pub fn listed(&self, id: &str) -> Value {
        let answer = self.machine.json(["sessions", "--all", "--helpers"]);
        let rows = answer["sessions"].as_array().expect("a list");
        rows.iter().find(|row| row["native_id"] == id).unwrap_or_else(|| panic!("{id} is not in {answer:#}")).clone()
    }

    pub fn cwd(&self) -> &str {
        self.machine.cwd.to_str().expect("the path is text")
    }
}

/// All files below, absolute and sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for path in fs::read_dir(next).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Where a machine looks for programs: ours first.
fn programs(machine: &Machine) -> impl Iterator<Item = PathBuf> {
    let path = machine.command("true").get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| Some(value?.to_owned()));
    std::env::split_paths(&path.unwrap_or_default()).collect::<Vec<_>>().into_iter()
}
