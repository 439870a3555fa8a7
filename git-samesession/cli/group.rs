//! The words of `recipient group`.

use clap::Subcommand;

#[derive(Subcommand)]
pub enum GroupCommand {
    /// Put recipients into a group, and let them open what was shared with it
    Add {
        /// What it is, or shall be, called
        name: String,
        /// A device on the roster, an age or SSH public key, or a file of them
        #[arg(value_name = "KEY|FILE|DEVICE", required = true)]
        members: Vec<String>,
    },
    /// Take recipients out of a group: nothing more of what was shared with it is sealed to them
    Remove {
        /// What it is called
        name: String,
        /// A device on the roster, a key or a file of them; without any the name goes, and sessions keep their readers
        #[arg(value_name = "KEY|FILE|DEVICE")]
        members: Vec<String>,
    },
    /// Show the groups, and who is in them
    List,
}
