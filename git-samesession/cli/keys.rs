//! The words for passphrases over this machine's keys.

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
