//! The words for passphrases: over this machine's keys, and as readers of sessions.

use std::path::PathBuf;

use clap::Args;

#[derive(Args)]
pub struct NewPassphrase {
    /// Put a passphrase over the keys, asked for on the terminal
    #[arg(short, long)]
    pub passphrase: bool,
    /// Read that passphrase from the first line of a file
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase")]
    pub passphrase_file: Option<PathBuf>,
}

/// A passphrase that is to open sessions.
#[derive(Args)]
#[group(id = "reader")]
pub struct NewReader {
    /// Whoever knows a passphrase, which is asked for on the terminal; of the sessions that are here
    #[arg(long)]
    pub passphrase: bool,
    /// The same, with the passphrase in the first line of a file
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase")]
    pub passphrase_file: Option<PathBuf>,
}
