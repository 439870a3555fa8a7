//! The words of `hook`: what Git and the agents call.

use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub enum HookCommand {
    /// Install hooks: Git's of this repository, and those of the agents in use
    Install(Hooks),
    /// Take hooks out again, and leave everything as it was
    Uninstall(Hooks),
    /// Show which hooks are installed, and what they did
    Status,
    /// Do what a hook is there for; this is what hooks call
    Run(HookRun),
}

#[derive(Args)]
pub struct Hooks {
    /// Only Git's hooks, and those of agents that are named
    #[arg(long)]
    pub git: bool,
    /// Only this agent's hooks: 'claude' or 'codex'
    #[arg(long = "agent", value_name = "AGENT")]
    pub agents: Vec<String>,
    /// For all of your repositories: sessions are sent from those in which 'init' was run
    #[arg(long)]
    pub global: bool,
}

#[derive(Args)]
pub struct HookRun {
    /// The hook: 'pre-push', an event of the agent's, or 'changed'
    pub name: String,
    /// What Git passes to the hook
    #[arg(value_name = "ARG", allow_hyphen_values = true)]
    pub args: Vec<String>,
    /// An event of this agent, which says on standard input what it is about
    #[arg(long, value_name = "AGENT")]
    pub agent: Option<String>,
    /// Only where 'init' has said where sessions go
    #[arg(long)]
    pub global: bool,
    /// Only where 'auto on' was said
    #[arg(long, conflicts_with = "global")]
    pub auto: bool,
    /// Do it here and now, and say what was done
    #[arg(long)]
    pub foreground: bool,
}
