//! The words of the command line and their help; nothing else.
//!
//! `tests/manual.rs` holds this tree against the man page, so a flag cannot be in one and not in the other.

// Said whole, since `tests/manual.rs` reads this tree as well.
#[path = "cli/auto.rs"]
mod auto;
#[path = "cli/device.rs"]
mod device;
#[path = "cli/group.rs"]
mod group;
#[path = "cli/hook.rs"]
mod hook;
#[path = "cli/keys.rs"]
mod keys;
#[path = "cli/moving.rs"]
mod moving;
#[path = "cli/recipient.rs"]
mod recipient;
#[path = "cli/secrets.rs"]
mod secrets;

use std::path::PathBuf;

pub use auto::*;
pub use device::*;
pub use group::*;
pub use hook::*;
pub use keys::*;
pub use moving::*;
pub use recipient::*;
pub use secrets::*;

use clap::{Args, Parser, Subcommand};

/// Move a coding agent's session between machines
#[derive(Parser)]
#[command(name = "git samesession", bin_name = "git samesession", version, propagate_version = false, disable_help_subcommand = true)]
pub struct Cli {
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but the answer and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Make or show this machine's keys
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Let fetches of this repository bring sessions, and say who reads those that begin here
    Init(Init),
    /// Show what is at work, what is only here, who holds what, and what waits for this device
    Status(Status),
    /// List the agents' sessions on this machine
    Sessions(Sessions),
    /// List the sessions of this repository, here and as last fetched
    List(List),
    /// Show a session's checkpoints, newest first
    Log(Log),
    /// Show what one session, or one checkpoint of the repository, consists of
    Show(Show),
    /// Seal a session into the repository, or into a file
    Checkpoint(Checkpoint),
    /// Tell what a capsule file holds
    Inspect(Inspect),
    /// Install a session from the repository or a capsule's file, so that its agent can go on with it
    Restore(Restore),
    /// Take a restore back
    Undo(Undo),
    /// Hand the session over: checkpointed, sent, and waiting for whoever resumes it
    Move(Move),
    /// Hand the session over to somebody
    Handoff(Handoff),
    /// Take a session over and start its agent
    Resume(Resume),
    /// Copy a session of this machine, as it stands, into a new one of the same agent
    Fork(Fork),
    /// Clone a repository with its sessions, and go on with one
    Clone(Cloning),
    /// Write a checkpoint of the repository into a capsule file
    Export(Export),
    /// Take a capsule file into the repository, as a checkpoint of its session
    Import(Import),
    /// Bring sessions from a remote
    Fetch(Fetch),
    /// Send sessions to a remote
    Push(Push),
    /// Say who drives a session
    #[command(subcommand)]
    Lease(LeaseCommand),
    /// Take a session out of the repository, or out of a remote
    Delete(Delete),
    /// Shorten chains of checkpoints
    Gc(Gc),
    /// Say who can open sessions
    #[command(subcommand)]
    Recipient(RecipientCommand),
    /// Find secrets in what would leave, and say which may
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Let Git and the agents make and send checkpoints by themselves
    #[command(subcommand)]
    Hook(HookCommand),
    /// Let checkpoints be made as the work goes on
    #[command(subcommand)]
    Auto(AutoCommand),
    /// Look for trouble, and finish or undo what a crash left
    Doctor,
    /// Carry sample sessions between two throw-away homes
    Demo,
}

#[derive(Args)]
pub struct Init {
    /// Where sessions go; by default the remote it was before, else 'origin', else the only one there is
    #[arg(long, value_name = "REMOTE")]
    pub remote: Option<String>,
    /// Where sessions go: a repository of its own, as 'session::ADDRESS', which becomes a remote; the code's gets none
    #[arg(long, value_name = "URL", conflicts_with = "remote")]
    pub store: Option<String>,
    /// Who may open the sessions that begin here, besides this device: an age or SSH public key, or a file of them
    #[arg(short, long = "recipient", value_name = "KEY|FILE")]
    pub recipients: Vec<String>,
    /// Make a key for when every device is lost, which opens what this one can, and show it once, to be written down
    #[arg(long, conflicts_with_all = ["json", "uninstall"])]
    pub recovery: bool,
    /// Leave fetches as they are; a session comes when it is asked for
    #[arg(long)]
    pub on_demand: bool,
    /// Take back what 'init' has set, and nothing else
    #[arg(long, conflicts_with_all = ["remote", "store", "recipients", "on_demand"])]
    pub uninstall: bool,
}

#[derive(Args)]
pub struct Status {
    /// In lines that do not change, for prompts and status lines
    #[arg(long, conflicts_with = "json")]
    pub porcelain: bool,
    /// Every session of this repository, not only as many as a screen holds
    #[arg(long)]
    pub all: bool,
}

#[derive(Args)]
pub struct Sessions {
    /// Only this agent's sessions: 'claude' or 'codex'
    #[arg(long)]
    pub agent: Option<String>,
    /// Every session, not only those of this repository or directory
    #[arg(long)]
    pub all: bool,
    /// Also the sessions that another session started as its helpers
    #[arg(long)]
    pub helpers: bool,
}

#[derive(Args)]
pub struct List {
    /// Only the sessions that this remote had when it was last fetched from
    #[arg(long, value_name = "REMOTE")]
    pub remote: Option<String>,
    /// Deleted sessions, too
    #[arg(long)]
    pub all: bool,
    /// Open them with the keys in this file, too, such as a recovery key
    #[arg(short, long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
}

#[derive(Args)]
pub struct Log {
    /// A session of this repository, or the checkpoint to begin with; 'current' if not given. Else a commit, a file, or a
    /// line of one (FILE:LINE): which session and which prompt wrote it
    pub session: Option<String>,
    /// Show so many checkpoints, or commits, at most
    #[arg(short, long, value_name = "N")]
    pub number: Option<usize>,
}

#[derive(Args)]
pub struct Show {
    /// A session on this machine, or a session or checkpoint of this repository; 'current' if not given
    pub session: Option<String>,
    /// Only look among this agent's sessions on this machine: 'claude' or 'codex'
    #[arg(long)]
    pub agent: Option<String>,
    /// Show which session made this commit, and what its user had asked for
    #[arg(long, value_name = "COMMIT", conflicts_with_all = ["session", "agent"])]
    pub commit: Option<String>,
}

#[derive(Args)]
pub struct Checkpoint {
    /// The agent's id of the session, its sid, a unique prefix of either, or 'current'; 'current' if not given
    pub session: Option<String>,
    /// Only look among this agent's sessions: 'claude' or 'codex'
    #[arg(long)]
    pub agent: Option<String>,
    /// Write it to this file instead of the repository; '-' for standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(short, long)]
    pub force: bool,
    /// Who may open it besides this device: an age or SSH public key, or a file of them
    #[arg(short, long = "recipient", value_name = "KEY|FILE", conflicts_with_all = ["passphrase", "passphrase_file", "passphrase_fd"])]
    pub recipients: Vec<String>,
    #[command(flatten)]
    pub passphrase: Passphrase,
    /// Leave the work tree around the session behind
    #[arg(long)]
    pub session_only: bool,
    /// Take what is in submodules along, too
    #[arg(long, conflicts_with = "session_only")]
    pub submodules: bool,
    /// Take ignored files along that match this, a pattern as in .gitignore
    #[arg(long = "include-ignored", value_name = "GLOB", conflicts_with = "session_only")]
    pub include_ignored: Vec<String>,
    /// Begin again with a session that was deleted
    #[arg(long, conflicts_with = "output")]
    pub revive: bool,
    /// With --output: a copy for people to look at, its secrets masked, which cannot be restored
    #[arg(long, requires = "output", conflicts_with = "dry_run")]
    pub redact: bool,
    /// Send it to the remote at once
    #[arg(long, conflicts_with_all = ["output", "dry_run"])]
    pub push: bool,
    /// Say what would travel, and write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

#[derive(Args)]
pub struct Fetch {
    /// The remote; by default samesession.store, else 'origin', else the only one
    pub remote: Option<String>,
    /// Forget what the remote does not have any more
    #[arg(short, long)]
    pub prune: bool,
    /// Believe the maker with this fingerprint from now on
    #[arg(long = "trust", value_name = "FINGERPRINT")]
    pub trust: Vec<String>,
}

#[derive(Args)]
pub struct Delete {
    /// The session
    pub session: String,
    /// Delete it on this remote, too; without a name on the one that sessions go to
    #[arg(long, value_name = "REMOTE", num_args = 0..=1, default_missing_value = "")]
    pub remote: Option<String>,
    /// What would be typed at the question: the first eight characters of the session's id
    #[arg(long, value_name = "SID")]
    pub confirm: Option<String>,
}

#[derive(Args)]
pub struct Gc {
    /// The sessions; every one if none is named
    #[arg(value_name = "SESSION")]
    pub sessions: Vec<String>,
    /// Keep the newest N checkpoints of a session
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(usize))]
    pub keep_last: Option<usize>,
    /// Drop those older than this: 12h, 30d, 2w
    #[arg(long, value_name = "AGE")]
    pub older_than: Option<String>,
    /// The remote on which to shorten them, too; by default the one that sessions go to
    #[arg(long, value_name = "REMOTE")]
    pub remote: Option<String>,
    /// Only here
    #[arg(long, conflicts_with = "remote")]
    pub local: bool,
    /// Leave to Git, too, what only reflogs still name
    #[arg(long)]
    pub prune: bool,
}

#[derive(Args)]
pub struct Push {
    /// The session; 'current' if not given
    pub session: Option<String>,
    /// The remote; by default samesession.store, else 'origin', else the only one
    pub remote: Option<String>,
    /// Every session that the remote does not have as it is here
    #[arg(long)]
    pub all: bool,
}

#[derive(Args)]
pub struct Passphrase {
    /// Ask for a passphrase on the terminal
    #[arg(short, long)]
    pub passphrase: bool,
    /// Read the passphrase from the first line of a file
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase")]
    pub passphrase_file: Option<PathBuf>,
    /// Read the passphrase from the first line of an open file descriptor
    #[arg(long, value_name = "N", conflicts_with_all = ["passphrase", "passphrase_file"])]
    pub passphrase_fd: Option<u32>,
}

#[derive(Args)]
pub struct Keys {
    /// Open it with the keys in this file: an age identity or an SSH private key
    #[arg(short, long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
    #[command(flatten)]
    pub passphrase: Passphrase,
}

#[derive(Args)]
pub struct Inspect {
    /// The capsule; '-' for standard input
    pub file: PathBuf,
    #[command(flatten)]
    pub keys: Keys,
}

/// How what a capsule holds is written here; for every verb that does.
#[derive(Args)]
pub struct Arriving {
    /// Where the work tree goes, or with --session-only the directory in which the agent goes on
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
    /// Into the work tree that is here, or at --into, which must be clean
    #[arg(long, conflicts_with = "session_only")]
    pub here: bool,
    /// Install the agent's session and leave the workspace in the capsule
    #[arg(long)]
    pub session_only: bool,
    /// On the branch it was on, where that is free; else HEAD is detached
    #[arg(long, conflicts_with = "session_only")]
    pub branch: bool,
    /// Bring files that make programs run, too, although another device made the capsule
    #[arg(long)]
    pub accept_config: bool,
    /// Although the workspace comes from another repository
    #[arg(long)]
    pub force_repository: bool,
    /// Say what would be written where, and write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Take the capsule's session even where the one here went its own way, and keep that one as a backup
    #[arg(long)]
    pub set_aside: bool,
    /// Accept the signer with this fingerprint without asking, and remember it
    #[arg(long = "trust", value_name = "FINGERPRINT")]
    pub trust: Vec<String>,
    /// Take it this once although nobody has signed it; a bad signature is never taken
    #[arg(long)]
    pub allow_unsigned: bool,
}

#[derive(Args)]
pub struct Restore {
    /// A session or checkpoint of this repository, or a capsule's file; '-' for a capsule on standard input
    #[arg(value_name = "SESSION|FILE")]
    pub what: PathBuf,
    #[command(flatten)]
    pub arriving: Arriving,
    #[command(flatten)]
    pub keys: Keys,
}

#[derive(Args)]
pub struct Undo {
    /// The restore, as it named itself; the newest if not given
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// Even if somebody has worked in the work tree since
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Args)]
pub struct Fork {
    /// The agent's id of the session, its sid, a unique prefix of either, or 'current'; 'current' if not given
    pub session: Option<String>,
    /// Only look among this agent's sessions: 'claude' or 'codex'
    #[arg(long)]
    pub agent: Option<String>,
}

#[derive(Args)]
pub struct Export {
    /// A session or checkpoint of this repository
    pub session: String,
    /// The file to write; '-' for standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Replace the file if it exists
    #[arg(short, long)]
    pub force: bool,
    /// Who may open it besides this device, instead of those who can open the checkpoint: a key or a file of them
    #[arg(short, long = "recipient", value_name = "KEY|FILE", conflicts_with_all = ["passphrase", "passphrase_file", "passphrase_fd"])]
    pub recipients: Vec<String>,
    #[command(flatten)]
    pub passphrase: Passphrase,
    /// A copy for people to look at, its secrets masked, which cannot be restored
    #[arg(long)]
    pub redact: bool,
}

#[derive(Args)]
pub struct Import {
    /// The capsule; '-' for standard input
    pub file: PathBuf,
    /// Who may open the checkpoint besides this device and those who can open the session's newest one: a key or a file of them
    #[arg(short, long = "recipient", value_name = "KEY|FILE")]
    pub recipients: Vec<String>,
    /// Accept the signer with this fingerprint without asking, and remember it
    #[arg(long = "trust", value_name = "FINGERPRINT")]
    pub trust: Vec<String>,
    /// Take it this once although nobody has signed it; a bad signature is never taken
    #[arg(long)]
    pub allow_unsigned: bool,
    /// Begin again with a session that was deleted
    #[arg(long)]
    pub revive: bool,
    #[command(flatten)]
    pub keys: Keys,
}
