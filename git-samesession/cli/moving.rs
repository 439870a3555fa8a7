//! The words of the verbs by which a session changes hands.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Arriving;

#[derive(Subcommand)]
pub enum LeaseCommand {
    /// Show who drives what, as last fetched
    Status {
        /// A session of this repository; all of them if not given
        session: Option<String>,
    },
    /// Take a session that nobody else drives, without restoring it
    Take {
        #[command(flatten)]
        leased: Leased,
        /// Even if somebody else holds it; the reason stays in the session's chain
        #[arg(long, value_name = "REASON")]
        takeover: Option<String>,
    },
    /// Let others have a session that this device holds, or has handed over
    Release(Leased),
    /// Say that this device still works with it; checkpoints that are pushed and a running 'resume' do so by themselves
    Renew(Leased),
}

#[derive(Args)]
pub struct Leased {
    /// A session of this repository; by default the current one
    pub session: Option<String>,
    /// The store; by default the one that 'init' chose
    #[arg(long, value_name = "REMOTE")]
    pub remote: Option<String>,
}

#[derive(Args)]
pub struct Move {
    #[command(flatten)]
    pub leaving: Leaving,
    /// Only to somebody with this key: an age or SSH public key, or a file of them; by default to whoever comes
    #[arg(long = "to", value_name = "KEY|FILE")]
    pub to: Vec<String>,
}

#[derive(Args)]
pub struct Handoff {
    #[command(flatten)]
    pub leaving: Leaving,
    /// An age or SSH public key, or a file of them: who shall go on, and may open the session from now on
    #[arg(long = "to", value_name = "KEY|FILE", required = true)]
    pub to: Vec<String>,
}

/// A session on its way out.
#[derive(Args)]
pub struct Leaving {
    /// The agent's id of the session, its sid, a unique prefix of either, or 'current'; 'current' if not given
    pub session: Option<String>,
    /// Only look among this agent's sessions: 'claude' or 'codex'
    #[arg(long)]
    pub agent: Option<String>,
    /// A word to whoever goes on; only they can read it
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// The store; by default the one that 'init' chose
    #[arg(long, value_name = "REMOTE")]
    pub remote: Option<String>,
    /// How long to wait for the end of a turn that the agent is in the middle of
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
    /// Although somebody else holds it; the reason stays in the session's chain
    #[arg(long, value_name = "REASON")]
    pub takeover: Option<String>,
    /// Leave the work tree around the session behind
    #[arg(long)]
    pub session_only: bool,
    /// Take what is in submodules along, too
    #[arg(long, conflicts_with = "session_only")]
    pub submodules: bool,
    /// Take ignored files along that match this, a pattern as in .gitignore
    #[arg(long = "include-ignored", value_name = "GLOB", conflicts_with = "session_only")]
    pub include_ignored: Vec<String>,
    /// Put the agent's own copy aside when it is handed over, so that nobody goes on with it; 'undo' brings it back
    #[arg(long)]
    pub deactivate: bool,
    /// For the one that 'move' starts inside an agent's turn
    #[arg(long, hide = true)]
    pub after_turn: bool,
}

#[derive(Args)]
pub struct Resume {
    /// A session or checkpoint of this repository; by default the one that waits for this device, or the only one
    pub session: Option<String>,
    /// Of a session that went several ways, the one that goes on from this checkpoint
    #[arg(long, value_name = "COMMIT", conflicts_with = "session")]
    pub tip: Option<String>,
    /// Take it over and install it, and start nothing
    #[arg(long)]
    pub no_launch: bool,
    /// When the agent ends, leave it at that: nothing is checkpointed, sent or released
    #[arg(long)]
    pub no_return: bool,
    /// Although somebody else holds it; the reason stays in the session's chain
    #[arg(long, value_name = "REASON")]
    pub takeover: Option<String>,
    /// Tell the agent in a first message that its directory is another one now
    #[arg(long, conflicts_with = "no_launch")]
    pub brief: bool,
    /// The store; by default the one that 'init' chose
    #[arg(long, value_name = "REMOTE")]
    pub remote: Option<String>,
    #[command(flatten)]
    pub arriving: Arriving,
    /// More words for the agent
    #[arg(last = true, value_name = "AGENT ARGS")]
    pub args: Vec<String>,
}

#[derive(Args)]
pub struct Cloning {
    /// What Git clones from
    #[arg(value_name = "URL")]
    pub url: String,
    /// The new directory; by default as Git would call it
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// A session or checkpoint of the repository; by default the one that waits for this device, or the only one
    pub session: Option<String>,
    /// Take it over and install it, and start nothing
    #[arg(long)]
    pub no_launch: bool,
    /// When the agent ends, leave it at that: nothing is checkpointed, sent or released
    #[arg(long)]
    pub no_return: bool,
    /// Although somebody else holds it; the reason stays in the session's chain
    #[arg(long, value_name = "REASON")]
    pub takeover: Option<String>,
    /// Tell the agent in a first message that its directory is another one now
    #[arg(long, conflicts_with = "no_launch")]
    pub brief: bool,
    /// Install the agent's session and leave the workspace in the capsule
    #[arg(long)]
    pub session_only: bool,
    /// Bring files that make programs run, too, although another device made the capsule
    #[arg(long)]
    pub accept_config: bool,
    /// Take the capsule's session even where the one here went its own way, and keep that one as a backup
    #[arg(long)]
    pub set_aside: bool,
    /// Accept the signer with this fingerprint without asking, and remember it
    #[arg(long = "trust", value_name = "FINGERPRINT")]
    pub trust: Vec<String>,
    /// More words for the agent
    #[arg(last = true, value_name = "AGENT ARGS")]
    pub args: Vec<String>,
}
