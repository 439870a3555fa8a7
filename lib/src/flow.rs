//! The verbs: each a short, readable sequence over the layers below.
//!
//! The order of effects is the same everywhere: prepare and verify everything, then commit by rename, then tell. What
//! must stay true: when a verb returns an error that does not say otherwise, nothing was changed.

pub mod address;
pub mod agents;
pub mod auto;
pub mod background;
pub mod checkpoint;
pub mod clone;
pub mod commit;
pub mod deactivate;
pub mod delete;
pub mod doctor;
pub mod enrol;
pub mod exchange;
pub mod export;
pub mod fork;
pub mod glance;
pub mod groups;
pub mod guard;
pub mod handoff;
pub mod hook;
pub mod import;
pub mod init;
pub mod inspect;
mod join;
pub mod keys;
pub mod lease;
pub mod ledger;
pub mod list;
pub mod log;
pub mod made;
pub mod named;
pub mod namespace;
pub mod on_demand;
pub mod only;
pub mod output;
pub mod paper;
pub mod pending;
pub mod pick;
pub mod recipient_list;
pub mod recipients;
pub mod registered;
pub mod release;
pub mod required;
pub mod restore;
pub mod resume;
pub mod roster;
pub mod secrets;
pub mod sessions;
pub mod shorten;
pub mod show;
pub mod signed;
pub mod status;

pub mod arriving;
mod aside;
mod capture;
mod compare;
pub(crate) mod journal;
mod native;
pub(crate) mod placed;
pub mod plan;
mod publish;
mod readers;
pub mod recover;
mod redact;
mod refspecs;
pub mod remote;
pub mod remotes;
mod replaced;
pub mod retention;
mod select;
pub mod settings;
pub mod source;
mod stage;
pub mod turn;
pub mod undo;
pub mod workspace;
pub mod wrapped;

use std::path::PathBuf;

pub use capture::role_name;
pub use compare::Relation;
pub use select::{Selector, which};

use crate::agent::{self, Agent};
use crate::id::{NativeId, SessionId};
use crate::lease::{Lease, Standing};
use crate::policy::secrets::Finding;
use crate::seal::Signer;
use crate::{capsule, device, durable, env, git, seal, signers, store, workspace as workspace_of};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Env(#[from] env::Error),
    #[error(transparent)]
    Agent(#[from] agent::Error),
    #[error(transparent)]
    Capsule(#[from] capsule::Error),
    #[error(transparent)]
    Seal(#[from] seal::Error),
    #[error(transparent)]
    File(#[from] durable::Error),
    #[error(transparent)]
    Device(#[from] device::Error),
    #[error(transparent)]
    Signers(#[from] signers::Error),
    #[error(transparent)]
    Git(#[from] git::Error),
    #[error(transparent)]
    Store(store::Error),

    #[error("'{0}' is not an agent this program knows")]
    UnknownAgent(String),
    #[error("no session matches '{0}'")]
    NoSuchSession(String),
    #[error("no commit matches '{0}'")]
    NoSuchCommit(String),
    #[error("no session is known to have made {0}")]
    NobodysCommit(String),
    #[error("line {line} of '{file}' is not committed yet")]
    NotCommitted { file: String, line: u64 },
    #[error("no session of this {0} was found")]
    NoCurrentSession(&'static str),
    #[error("'{what}' could be {} sessions", candidates.len())]
    Ambiguous { what: String, candidates: Vec<Candidate> },

    #[error("'{}' kept changing while it was read", .0.display())]
    Changing(PathBuf),
    #[error("the session has no complete record yet: '{}'", .0.display())]
    NothingYet(PathBuf),
    #[error("'{}' already exists", .0.display())]
    OutputExists(PathBuf),
    #[error("recipient '{0}' is neither a key nor a file that can be read")]
    RecipientFile(String, #[source] std::io::Error),

    #[error("the capsule is not signed")]
    Unsigned,
    #[error("'{0}' cannot be a group's name: letters, digits, '.', '_' and '-', up to 64, and not the look of a key")]
    NoGroupsName(String),
    #[error("there is no group '{0}'")]
    NoSuchGroup(String),
    #[error("there is a recovery key already")]
    RecoveryThere,
    #[error("this key is no recovery key of this store's roster")]
    NoRecovery,
    #[error("the store has no roster")]
    NoRoster,
    #[error("it is not signed, and 'samesession.requireSignature' asks for a signature")]
    SignatureRequired,
    #[error("'samesession.requireSignature' asks for a member of the roster, and this key is none's: {signer} (it calls itself '{name}')")]
    NoMembersKey { signer: Signer, name: String },
    #[error("the capsule is signed by a key that this device does not know: {signer} (it calls itself '{name}')")]
    UnknownSigner { signer: Signer, name: String },
    #[error("'{0}' does not belong to the session it came with")]
    Foreign(String),
    #[error("'{}' is not a directory", .0.display())]
    NoDestination(PathBuf),
    #[error("{title} has this session open{}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Live { title: &'static str, pid: Option<u32> },
    #[error("{title} cannot go on with it here: {why}")]
    CannotGoOn { title: &'static str, why: String },
    #[error("the session went its own way here: '{}' is not a part of the capsule's, nor the other way round", local.display())]
    Diverged { local: PathBuf, keep_both: Option<String> },
    #[error("'{}' cannot be set aside: session {by} is a fork that begins with it", local.display())]
    LeanedOn { local: PathBuf, by: NativeId, keep_both: String },
    #[error("another restore into '{}' is under way", .0.display())]
    Busy(PathBuf),
    #[error("restoring failed and everything was put back")]
    RolledBack(#[source] Box<Error>),
    #[error("restoring failed, and could not be undone: what was replaced is kept in '{}'", backup.display())]
    NeedsYou {
        backup: PathBuf,
        #[source]
        source: Box<Error>,
    },
    #[error("checkpoint {} is signed by a key that this device does not know: {}", checkpoint.id(), checkpoint.signer)]
    UnknownMaker { checkpoint: Box<store::unfold::Checkpoint> },
    #[error("{} here {} sealed to others: this device is not a recipient yet", if *sessions == 1 { "the session".to_owned() } else { format!("all {sessions} sessions") }, if *sessions == 1 { "is" } else { "are" })]
    SealedToOthers { sessions: usize, recipient: String },
    #[error("'{0}' does not say what the clone shall be called")]
    NoNameForClone(String),
    #[error("no session of this repository can be gone on with here")]
    NothingToResume,
    #[error("{name} is '{value}': {why}")]
    Setting { name: &'static str, value: String, why: &'static str },
    #[error("this repository has no remote")]
    NoRemote,
    #[error("'{name}' is in the way: {why}")]
    Theirs { name: String, why: String },
    #[error("session {} is not on '{remote}'", sid.short())]
    NotThere { sid: SessionId, remote: String },
    #[error("session {} went several ways, and none of them was chosen yet", sid.short())]
    Undecided { sid: SessionId },
    #[error("'{remote}' refused it: {why}")]
    Refused { remote: String, why: String },
    #[error("session {} is {}", sid.short(), whose(lease, *standing))]
    Leased { sid: SessionId, lease: Box<Lease>, standing: Standing },
    #[error("'{remote}' did not say whether it arrived")]
    Unsure {
        remote: String,
        #[source]
        source: Box<Error>,
    },
    #[error("'{name}' was revoked, and does not come back with the same keys")]
    WasRevoked { name: String },
    #[error("the roster has a '{name}' already")]
    NameTaken { name: String },
    #[error("nobody asks to be on the roster as '{0}'")]
    NobodyAsks(String),
    #[error("the roster has no '{0}'")]
    NoSuchMember(String),
    #[error("'{name}' is not approved: nobody has said that {fingerprint} is its fingerprint")]
    NotCompared { name: String, fingerprint: String },
    #[error("this device is not on the roster")]
    NotOnRoster,
    #[error("this machine has no keys yet")]
    NoDevice,
    #[error("session {} opens to as many passphrases as one can", sid.short())]
    TooManyPassphrases { sid: SessionId },
    #[error("session {} went {} ways", sid.short(), ways.len())]
    SeveralWays { sid: SessionId, ways: Vec<Way> },
    #[error("session {} was deleted by {by}, {at}", sid.short())]
    Deleted { sid: SessionId, by: String, at: String },
    #[error("there is no remote '{name}' here{}", if *configured { ", and samesession.store names it" } else { "" })]
    NoSuchRemote { name: String, configured: bool, known: Vec<String> },
    #[error("there are {} remotes here, and any of them could be meant", .0.len())]
    WhichRemote(Vec<String>),
    #[error("refs cannot be named after the remote '{0}'")]
    RemoteName(String),
    #[error("'{0}' reads no session here that this device can open, and is no default")]
    NoSuchReader(String),
    #[error("nobody could open session {} any more", sid.short())]
    LastReader { sid: SessionId },
    #[error("this device could not open session {} any more", sid.short())]
    LocksOut { sid: SessionId },
    #[error(transparent)]
    Workspace(workspace_of::Error),
    #[error(transparent)]
    Work(workspace_of::restore::Error),
    #[error("there is no repository here that the workspace belongs to")]
    NoRepositoryHere,
    #[error("there is no work tree here")]
    NoWorkTree,
    #[error("'{}' is there already, and not as the capsule has the workspace", .0.display())]
    WorkspaceThere(PathBuf),
    #[error("there is nothing to undo")]
    NothingToUndo(Option<String>),
    #[error("'{}' was used since", .0.display())]
    UsedSince(PathBuf),
    #[error("{} would leave", if .0.len() == 1 { "a secret".to_owned() } else { format!("{} secrets", .0.len()) })]
    Secrets(Vec<Finding>),
    #[error("it has {size} bytes, and {most} are allowed")]
    TooLarge { size: u64, most: u64 },
    #[error("it says that it has {needs} bytes, and there is room for {free} beside '{}'", at.display())]
    NoRoom { at: PathBuf, needs: u64, free: u64 },
    #[error("'{0}' is not the id of a finding")]
    NotAFinding(String),
    #[error("it is a redacted copy, for eyes only")]
    Redacted,
    #[error("'{}' was left as it is: {why}", path.display())]
    BadSettings { path: PathBuf, why: String },
    #[error("Git runs what is in '{}' in other repositories, too", .0.display())]
    SharedHooks(PathBuf),
    #[error("this Git has no hooks for all repositories")]
    NoGlobalHooks,
    #[error("{0} has no hooks")]
    NoAgentHooks(&'static str),
    #[error("there is nothing to do for a hook '{0}' that was called like this")]
    NoHook(String),
    #[error(transparent)]
    Address(#[from] address::Error),
    #[error("'{0}' cannot name a project: lower-case letters, digits and '-', 64 at most")]
    NotANamespace(String),
    #[error("the history here is shallow, and only its first commit tells which project this is")]
    NoBeginning,
    #[error("'{0}' is nothing that a store of sessions has")]
    NotInStore(String),
    #[error("interrupted")]
    Interrupted,
}

impl From<workspace_of::Error> for Error {
    fn from(error: workspace_of::Error) -> Error {
        match error {
            workspace_of::Error::Git(git::Error::Interrupted) => Error::Interrupted,
            workspace_of::Error::Git(error) => error.into(),
            workspace_of::Error::File(error) => error.into(),
            workspace_of::Error::Changed(path) => Error::Changing(path),
            error => Error::Workspace(error),
        }
    }
}

impl From<workspace_of::restore::Error> for Error {
    fn from(error: workspace_of::restore::Error) -> Error {
        use workspace_of::restore::Error as Work;
        match error {
            Work::Git(git::Error::Interrupted) => Error::Interrupted,
            Work::Git(error) => error.into(),
            Work::File(error) => error.into(),
            Work::Workspace(error) => error.into(),
            Work::Used(path) => Error::UsedSince(path),
            error => Error::Work(error),
        }
    }
}

impl From<store::Error> for Error {
    /// What a layer below it said is said as if that layer had been asked directly.
    fn from(error: store::Error) -> Error {
        match error {
            store::Error::File(error) => error.into(),
            store::Error::Git(git::Error::Interrupted) => Error::Interrupted,
            store::Error::Git(error) => error.into(),
            store::Error::Seal(error) => error.into(),
            store::Error::Capsule(error) => error.into(),
            error => Error::Store(error),
        }
    }
}

fn whose(lease: &Lease, standing: Standing) -> String {
    let Lease { device, since, .. } = lease;
    match standing {
        Standing::Elsewhere => format!("handed over to somebody else, by '{device}', {since}"),
        _ => format!("held by '{device}', since {since}"),
    }
}

/// One of the ways that a session went.
#[derive(Debug, Clone)]
pub struct Way {
    pub commit: gix::hash::ObjectId,
    pub device: String,
    pub made: String,
    pub title: Option<String>,
    /// What its user asked for last.
    pub prompt: Option<String>,
    pub bytes: u64,
}

/// One of several sessions that a word could mean.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub agent: &'static str,
    pub native: String,
    pub title: Option<String>,
}

pub fn agent_named(name: &str) -> Result<&'static dyn Agent, Error> {
    agent::by_name(name).ok_or_else(|| Error::UnknownAgent(name.chars().take(40).collect()))
}

/// On one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // A transparent error's source has the same words.
        if !said.ends_with(&words) {
            said = format!("{said}: {words}");
        }
        cause = error.source();
    }
    said
}
