//! The words of `device`: this machine's keys, and the roster of a store.

use std::path::PathBuf;

use clap::Subcommand;

use super::NewPassphrase;

#[derive(Subcommand)]
pub enum DeviceCommand {
    /// Make this machine's keys
    Init {
        /// What others will see it called; by default the host name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        passphrase: NewPassphrase,
    },
    /// Set, change or take off the passphrase of this machine's keys
    Passphrase {
        /// Take it off
        #[arg(long, conflicts_with = "passphrase_file")]
        remove: bool,
        /// Read the new one from the first line of a file
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Show the name, the key to encrypt to and the fingerprint to compare
    Show,
    /// Ask to be on the roster of this repository's store, or begin it; once approved, believe it
    Join {
        /// The store; by default the one that 'init' chose
        #[arg(long, value_name = "REMOTE")]
        remote: Option<String>,
        /// The fingerprint of the member who approved this device
        #[arg(long = "trust", value_name = "FINGERPRINT")]
        trust: Option<String>,
        /// Join by the recovery key in this file, without any other device
        #[arg(long, value_name = "FILE", conflicts_with = "trust")]
        recovery: Option<PathBuf>,
    },
    /// Show who is on the roster, and who asks to be
    List {
        /// The store; by default the one that 'init' chose
        #[arg(long, value_name = "REMOTE")]
        remote: Option<String>,
    },
    /// Let a device that asks onto the roster, and open to it the sessions that this one can open
    Approve {
        /// What it calls itself, or the beginning of its request's name
        who: String,
        /// What 'device show' says there; without it a person at a terminal compares it
        #[arg(long, value_name = "FINGERPRINT")]
        fingerprint: Option<String>,
        /// Another name for it than its own
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// The store; by default the one that 'init' chose
        #[arg(long, value_name = "REMOTE")]
        remote: Option<String>,
    },
    /// Take a device off: nothing more is sealed to it, and nothing more of it is believed
    Revoke {
        /// Its name, or its fingerprint
        who: String,
        /// The store; by default the one that 'init' chose
        #[arg(long, value_name = "REMOTE")]
        remote: Option<String>,
    },
}
