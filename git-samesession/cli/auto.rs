//! The words of `auto`.

use clap::{Args, Subcommand, ValueEnum};

#[derive(Subcommand)]
pub enum AutoCommand {
    /// Make checkpoints of this repository's sessions as they go on
    On(AutoOn),
    /// Make none any more by itself in this repository
    Off,
    /// Show what is looked after, how, and what was done
    Status,
    /// Let all of it rest, in every repository
    Pause,
    /// Go on with it
    Resume,
    /// Print a service that keeps the watcher running; it is started on demand without
    Unit(AutoUnit),
    /// Watch, here and now; this is what is started
    Watch,
}

#[derive(Args)]
pub struct AutoOn {
    /// Not when a turn ends, but whenever something has changed, and at most so often: 90s, 5m, 1h
    #[arg(long, value_name = "TIME")]
    pub every: Option<String>,
    /// Send them, too
    #[arg(long)]
    pub push: bool,
}

#[derive(Args)]
pub struct AutoUnit {
    /// For which of them; by default the one that this system has
    #[arg(long = "for", value_name = "SYSTEM")]
    pub system: Option<Service>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Service {
    Systemd,
    Launchd,
}
