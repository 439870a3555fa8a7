//! The words of `recipient`: who can open sessions.

use clap::Subcommand;

use super::{GroupCommand, NewReader};

#[derive(Subcommand)]
pub enum RecipientCommand {
    /// Let somebody open sessions, those that are here with their whole history, and those that will begin here
    Add {
        /// An age or SSH public key, a file of them, a device on the roster or a group
        #[arg(value_name = "KEY|FILE", required_unless_present = "reader", conflicts_with = "reader")]
        keys: Vec<String>,
        /// Only this session: the others and the defaults stay as they are
        #[arg(long = "session", value_name = "SESSION")]
        sessions: Vec<String>,
        #[command(flatten)]
        reader: NewReader,
    },
    /// Seal nothing more to somebody; what they could read until now they keep
    Remove {
        /// An age or SSH public key, a file of them, a device on the roster or a group
        #[arg(value_name = "KEY|FILE", required_unless_present = "passphrase")]
        keys: Vec<String>,
        /// Every passphrase that opens sessions
        #[arg(long, conflicts_with = "keys")]
        passphrase: bool,
        /// Only from this session: the others and the defaults stay as they are
        #[arg(long = "session", value_name = "SESSION")]
        sessions: Vec<String>,
        /// Even if this device could not open the sessions any more
        #[arg(short, long)]
        force: bool,
    },
    /// Give several recipients one name, which is taken wherever a recipient is
    #[command(subcommand)]
    Group(GroupCommand),
    /// Show who can open sessions, and with what kinds of keys
    List {
        /// A session of this repository; all of them if not given
        session: Option<String>,
    },
    /// Wrap the keys of sessions anew, to the same recipients
    Rewrap {
        /// A session of this repository; all that this device can open if not given
        session: Option<String>,
    },
}
