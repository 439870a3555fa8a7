//! The words of `secrets`: what may leave all the same.

use clap::Subcommand;

#[derive(Subcommand)]
pub enum SecretsCommand {
    /// Show which secrets may leave, and why
    List,
    /// Let a secret leave
    Allow {
        /// The finding, as 'checkpoint' or 'secrets scan' names it
        id: String,
        /// Why; kept with it, also in the sealed manifests of the sessions that hold it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// In every repository of this user
        #[arg(long)]
        global: bool,
    },
    /// Do not let a secret leave any more
    Forbid {
        /// The finding
        id: String,
    },
    /// Look at everything of a session that would travel
    Scan {
        /// A session on this machine; 'current' if not given
        session: Option<String>,
        /// Only look among this agent's sessions: 'claude' or 'codex'
        #[arg(long)]
        agent: Option<String>,
    },
}
