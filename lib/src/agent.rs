//! Coding agents: where their sessions live, what belongs to one, where it goes on another machine, how it is resumed.
//!
//! One file per agent, one line in `all`. Knows no Git, no encryption and no capsule format, and reads agents' homes
//! without ever writing there, with one exception: `settle`, which tells the agent's own index about a session whose
//! files `flow` has installed. Credentials, approvals and settings are never artifacts: `role` is an allow-list, and it
//! is asked on both sides, when a session is captured and before anything from a capsule is installed.

pub mod asked;
pub mod claude;
pub mod codex;
pub mod hooks;
pub mod jsonl;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use self::asked::Step;
use self::hooks::{Call, Hooks};
use crate::env::{self, Env};
use crate::id::{NativeId, SessionId};
use crate::path::RelPath;

/// Every agent there is.
pub fn all() -> &'static [&'static dyn Agent] {
    &[&claude::Claude, &codex::Codex]
}

pub fn by_name(name: &str) -> Option<&'static dyn Agent> {
    all().iter().copied().find(|agent| agent.name() == name)
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Env(#[from] env::Error),
    #[error("cannot read '{}'", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("'{}' cannot travel", path.display())]
    Name {
        path: PathBuf,
        #[source]
        source: crate::path::Unsafe,
    },
    #[error("'{}' is not a session transcript: {why}", path.display())]
    Transcript { path: PathBuf, why: String },
    #[error("this session continues '{missing}', which is not on this machine: '{}' needs it", path.display())]
    MissingAncestor { path: PathBuf, missing: NativeId },
    #[error("'{path}' in the capsule does not belong to session {session}")]
    Foreign { path: String, session: NativeId },
    #[error("{agent} cannot be told about the session: '{}': {why}", path.display())]
    Index { agent: &'static str, path: PathBuf, why: String },
}

/// The directories of one agent for one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// What paths of artifacts are relative to.
    pub root: PathBuf,
    /// Where the agent keeps its databases, if it has any; the root unless the user moved them.
    pub databases: PathBuf,
}

/// One native session, as cheaply as it can be described.
#[derive(Debug, Clone)]
pub struct Session {
    pub agent: &'static str,
    pub native: NativeId,
    pub transcript: PathBuf,
    pub size: u64,
    pub modified: SystemTime,
    /// What the user or the agent called it, else the first prompt.
    pub title: Option<String>,
    /// The working directory in which the agent would resume it here.
    pub cwd: Option<PathBuf>,
    /// The version of the agent that last wrote to it.
    pub version: Option<String>,
    /// The session that started this one as a helper; such sessions travel with their parent and are not listed.
    pub parent: Option<NativeId>,
    /// Put aside in the agent's own archive.
    pub archived: bool,
}

impl Session {
    pub fn sid(&self) -> SessionId {
        SessionId::derive(self.agent, &self.native)
    }
}

/// A file that looks like a session and cannot be read as one: reported, and never in the way of the others.
#[derive(Debug, Clone)]
pub struct Broken {
    pub path: PathBuf,
    pub why: String,
}

#[derive(Debug, Default)]
pub struct Discovery {
    pub sessions: Vec<Session>,
    pub broken: Vec<Broken>,
}

/// What a file is to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The conversation itself.
    Transcript,
    /// The conversation of an ancestor or a helper that is a session of its own.
    Lineage,
    /// The conversation of a helper that exists only inside this session.
    Subagent,
    /// A tool's output too long for the transcript.
    ToolResult,
    /// A file's content before the agent edited it.
    FileHistory,
    /// The session's to-do list.
    Task,
    /// Anything else in the session's own directory.
    Sidecar,
    /// The session's name, where the agent keeps names apart.
    Name,
    /// What stood after the last newline of an append-only file: kept in the capsule, installed nowhere.
    TornTail,
}

impl Role {
    /// Only ever grows at its end, line by line: may be captured while it is written, and fast-forwarded.
    pub fn is_append_only(self) -> bool {
        matches!(self, Role::Transcript | Role::Lineage | Role::Subagent)
    }

    /// Resume fails without it.
    pub fn is_required(self) -> bool {
        matches!(self, Role::Transcript | Role::Lineage)
    }
}

/// One file of a session, and its name in a capsule: its path in the agent's home.
#[derive(Debug, Clone)]
pub struct Artifact {
    pub name: RelPath,
    pub role: Role,
    pub source: Source,
}

#[derive(Debug, Clone)]
pub enum Source {
    File(PathBuf),
    /// The session's own part of a file that it shares with others.
    Extract(Vec<u8>),
}

/// Where one file of a capsule goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    File(PathBuf),
    /// Not a file of its own here: `settle` takes it in.
    Settled,
}

/// A capsule's session on its way into a home; `staged` holds its files, verified, under their names in the capsule.
#[derive(Debug)]
pub struct Incoming<'a> {
    pub native: &'a NativeId,
    /// The agent's working directory here: absolute, real, existing.
    pub cwd: &'a Path,
    pub files: &'a [StagedFile],
}

#[derive(Debug, Clone)]
pub struct StagedFile {
    pub name: RelPath,
    pub role: Role,
    pub staged: PathBuf,
}

/// How far it is known that the session can go on here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reached {
    /// The files stand where they belong.
    Installed,
    /// The agent's own way of looking a session up, followed step by step, ends at them.
    Discoverable,
    /// The real program has gone on with it.
    Resumed,
}

#[derive(Debug)]
pub struct Verified {
    pub reached: Reached,
    /// What the user should know about it, one line each.
    pub notes: Vec<String>,
}

/// What to type to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeCommand {
    pub cwd: PathBuf,
    pub argv: Vec<String>,
}

/// The running program that holds a session.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Live {
    pub pid: Option<u32>,
}

pub trait Agent: Sync {
    /// The name in capsules, refs and options.
    fn name(&self) -> &'static str;
    /// The name people know.
    fn title(&self) -> &'static str;
    /// The program on PATH, and how to get it.
    fn program(&self) -> &'static str;
    fn how_to_install(&self) -> &'static str;

    fn home(&self, env: &Env) -> Result<Home, env::Error>;

    /// The variable that tells programs which it starts their session; `None` if it tells them nothing.
    fn session_variable(&self) -> Option<&'static str> {
        None
    }

    /// The session that runs us, by the agent's own environment variables.
    fn current(&self, env: &Env) -> Option<NativeId>;

    /// Every session in the home: the heads and tails of files, never whole transcripts. A home that is not there has none.
    fn discover(&self, home: &Home) -> Result<Discovery, Error>;

    /// Every place of one id, without looking at the other sessions. More than one is a fault of the home.
    fn find(&self, home: &Home, native: &NativeId) -> Result<Vec<Session>, Error>;

    /// Every session that a running program holds.
    fn running(&self, home: &Home) -> Vec<(NativeId, Live)>;

    /// Whether a running program holds this one.
    fn live(&self, home: &Home, native: &NativeId) -> Option<Live> {
        self.running(home).into_iter().find(|(id, _)| id == native).map(|(_, live)| live)
    }

    /// Everything that belongs to the session, closed over what resuming needs; the transcript is the last one.
    fn artifacts(&self, home: &Home, session: &Session) -> Result<Vec<Artifact>, Error>;

    /// The same of many, where what they have in common need not be read for each.
    fn artifacts_of_many(&self, home: &Home, sessions: &[&Session]) -> Vec<Result<Vec<Artifact>, Error>> {
        sessions.iter().map(|session| self.artifacts(home, session)).collect()
    }

    /// What a file of this name would be to the session; `None` is "not the session's own", and refused.
    fn role(&self, native: &NativeId, name: &RelPath) -> Option<Role>;

    /// Looks into staged files for what names cannot tell: that each belongs to the session, and the closure is whole.
    fn check(&self, incoming: &Incoming<'_>) -> Result<(), Error>;

    /// Where each file goes, in the order of `incoming.files`.
    fn place(&self, home: &Home, incoming: &Incoming<'_>) -> Result<Vec<Place>, Error>;

    /// Other files and directories of the same session in this home, which must not stay beside the placed ones.
    fn copies(&self, home: &Home, incoming: &Incoming<'_>, places: &[Place]) -> Result<Vec<Copy>, Error>;

    /// After the files stand: tells the agent's own index, where it has one. Safe to repeat.
    fn settle(&self, home: &Home, incoming: &Incoming<'_>, places: &[Place]) -> Result<(), Error>;

    /// After a restore was taken back: the same about these files, of which some are there no more.
    fn unsettle(&self, _home: &Home, _files: &[PathBuf]) -> Result<(), Error> {
        Ok(())
    }

    /// What the program that is installed here would do wrong with the session; `None` if nothing is known.
    fn caution(&self, incoming: &Incoming<'_>, program: &Path) -> Option<String>;

    /// What keeps the agent here from going on with the session, however well its files stand; `None` if nothing is known.
    fn obstacle(&self, home: &Home, incoming: &Incoming<'_>) -> Option<String>;

    /// Whether the program that has it open is in the middle of a turn; `None` if that cannot be told.
    fn at_work(&self, home: &Home, session: &Session) -> Option<bool>;

    /// Follows the agent's own way of finding the session.
    fn verify(&self, home: &Home, native: &NativeId, cwd: &Path) -> Result<Verified, Error>;

    fn resume(&self, native: &NativeId, cwd: &Path) -> ResumeCommand;

    /// What a person asked for last, by the first `upto` bytes of a transcript.
    fn last_prompt(&self, transcript: &Path, upto: u64) -> Option<String>;

    /// What one record of a transcript is; `None` if it is of no interest, or none.
    fn step(&self, _record: &[u8]) -> Option<Step> {
        None
    }

    /// What lets the session here be used on when a capsule's takes its place: a sentence with the command.
    fn keep_both(&self, native: &NativeId) -> String;

    /// Sessions of this home that lean on more than the first `kept` bytes of what stands where this file would go.
    fn leaning(&self, home: &Home, file: &StagedFile, kept: u64) -> Result<Vec<NativeId>, Error>;

    /// A new id as the agent would give one: of these 32 random hexadecimal digits as many as its kind of id takes.
    fn new_id(&self, now: SystemTime, digits: &str) -> Result<NativeId, crate::id::Error>;

    /// What stands before a session's id wherever a record says whose it is, by which a copy becomes a session of its own.
    fn own_id_follows(&self) -> &'static str;

    /// Where a copy of the session under another id is at home.
    fn fork_name(&self, home: &Home, session: &Session, to: &NativeId) -> Result<RelPath, Error>;

    /// Tells the agent's own index that a session whose files were put aside is not to be offered.
    fn put_aside(&self, home: &Home, native: &NativeId) -> Result<(), Error>;

    /// Paths in the home that never travel, for `doctor` and for the tests that plant canaries there.
    fn never_leaves(&self) -> &'static [&'static str];

    /// Faults of this home that its user should know: one line each, with the way out.
    fn ailments(&self, home: &Home) -> Vec<String>;

    /// Where in its home transcripts come to be, and how many directories deep below that: what is watched for changes.
    fn shelves(&self) -> &'static [(&'static str, usize)];

    /// Its own hooks; `None` if it calls nobody.
    fn hooks(&self) -> Option<&'static Hooks> {
        None
    }

    /// What one of them says.
    fn hook_call(&self, _event: &str, input: &[u8]) -> Option<Call> {
        Call::parse(input)
    }
}

/// Another copy of a session in the same home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copy {
    /// A conversation: set aside only if the incoming one holds all of it.
    Transcript(PathBuf),
    /// What belongs to such a copy; follows it.
    Directory(PathBuf),
}
