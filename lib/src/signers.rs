//! The signers this device has decided to believe: a file in OpenSSH's `allowed_signers` form.
//!
//! `ssh-keygen -Y verify -f` and Git's `gpg.ssh.allowedSignersFile` take the same file. Lines that this program did not
//! write are kept.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::durable::{self, At};
use crate::env::{self, Env};
use crate::seal::Signer;

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

impl KnownSigners {
    pub fn load(env: &Env) -> Result<KnownSigners, Error> {
        let path = env.config_dir()?.join("known_signers");
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(KnownSigners { path, text: String::new() }),
            read => Ok(KnownSigners { text: read.at("read", &path)?, path }),
        }
    }

    /// The name under which the signer is known.
    pub fn name_of(&self, signer: &Signer) -> Option<&str> {
        let lines = self.text.lines().filter(|line| !line.trim_start().starts_with('#'));
        lines.filter(|line| line.contains(signer.key.as_str())).find_map(|line| line.split_whitespace().next())
    }

    /// Remembers the signer under what its capsule calls the device: a label for people, made harmless.
    pub fn add(&mut self, signer: &Signer, name: &str) -> Result<(), Error> {
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
        durable::create_dirs(durable::parent(&self.path))?;
        Ok(durable::write_atomic(&self.path, self.text.as_bytes())?)
    }
}
