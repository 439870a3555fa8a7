//! The signers this device has decided to believe: a file in OpenSSH's `allowed_signers` form.
//!
//! `ssh-keygen -Y verify -f` and Git's `gpg.ssh.allowedSignersFile` take the same file. Lines that this program did not
//! write are kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::durable::{self, At};
use crate::env::{self, Env};
use crate::seal::{self, Signer};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Env(#[from] env::Error),
    #[error(transparent)]
    File(#[from] durable::Error),
}

pub struct KnownSigners {
    path: PathBuf,
    text: String,
}

/// Whether a line is about this key and this program: a key that is known for something else, for a time or only as an
/// authority is not known here.
fn speaks_of(line: &str, key: &str) -> bool {
    let Some((before, after)) = line.split_once(key) else { return false };
    let whole = after.is_empty() || after.starts_with(char::is_whitespace);
    let Some((_, options)) = before.split_once(char::is_whitespace) else { return false };
    let ours = |option: &str| {
        let names = option.strip_prefix("namespaces=\"").and_then(|rest| rest.strip_suffix('"'));
        names.is_some_and(|names| names.split(',').any(|name| matches!(name.trim(), seal::NAMESPACE | "*")))
    };
    whole && (options.trim().is_empty() || ours(options.trim()))
}

impl KnownSigners {
    pub fn load(env: &Env) -> Result<KnownSigners, Error> {
        let path = env.config_dir()?.join("known_signers");
        Ok(KnownSigners { text: read(&path)?, path })
    }

    /// The name under which the signer is known.
    pub fn name_of(&self, signer: &Signer) -> Option<&str> {
        let lines = self.text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        lines.filter(|line| speaks_of(line, &signer.key)).find_map(|line| line.split_whitespace().next())
    }

    /// Remembers the signer under what its capsule calls the device: a label for people, made harmless.
    pub fn add(&mut self, signer: &Signer, name: &str) -> Result<(), Error> {
        durable::create_dirs(durable::parent(&self.path))?;
        // Another process may remember another signer at the same time: each reads what the one before it wrote.
        let dir = durable::parent(&self.path);
        let lock = fs::File::open(dir).at("open", dir)?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).map_err(io::Error::from).at("lock", dir)?;
        self.text = read(&self.path)?;
        if self.name_of(signer).is_some() {
            return Ok(());
        }
        let harmless = |c: char| if c.is_ascii_alphanumeric() || "._@-".contains(c) { c } else { '-' };
        let mut name: String = name.chars().take(64).map(harmless).collect();
        if name.is_empty() {
            name.push('?');
        }
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self.text.push_str(&format!("{name} namespaces=\"samesession\" {}\n", signer.key));
        Ok(durable::write_atomic(&self.path, self.text.as_bytes())?)
    }
}

fn read(path: &Path) -> Result<String, Error> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => Ok(read.at("read", path)?),
    }
}
