//! Keys as users name them: a recipient is a key or a file of keys, an identity is a file.
//!
//! The only place that reads key files. What is read stays in memory that is wiped, and out of every message.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use super::Error;
use crate::device::Device;
use crate::durable::At;
use crate::env::Env;
use crate::git::Repository;
use crate::git::signing::{self, Chosen};
use crate::recovery::Recovery;
use crate::seal::{self, Callbacks, Identities, Recipients, SecretString, is_secret};
use crate::signers::KnownSigners;

/// How a capsule is sealed.
pub enum SealTo {
    /// These, as typed, and always this device.
    Recipients(Vec<String>),
    Passphrase(SecretString),
}

pub fn recipients(to: &SealTo, device: Option<&Device>) -> Result<Recipients, Error> {
    let named = match to {
        SealTo::Passphrase(passphrase) => return Ok(Recipients::with_passphrase(passphrase.clone())),
        SealTo::Recipients(named) => named,
    };
    let mut recipients = Recipients::default();
    if let Some(device) = device {
        recipients.add_text(&device.recipient())?;
    }
    for name in named {
        recipients.add_text(&keys_of(name)?)?;
    }
    Ok(recipients)
}

/// The public keys that a word stands for, as text: a key itself, or a file of them. Names on the
/// roster, and of groups, are keys by the time they come here: `groups::named`.
fn keys_of(word: &str) -> Result<Cow<'_, str>, Error> {
    if is_secret(word) {
        return Err(Error::Seal(seal::Error::SecretKey));
    }
    if looks_like_a_key(word) {
        return Ok(word.into());
    }
    Ok(fs::read_to_string(word).map_err(|error| Error::RecipientFile(word.chars().take(80).collect(), error))?.into())
}

pub fn looks_like_a_key(text: &str) -> bool {
    text.starts_with("age1")
        || text.split_once(' ').is_some_and(|(kind, _)| kind.starts_with("ssh-") || kind.starts_with("sk-ssh-") || kind.contains("-sha2-"))
}

/// The given files; without any, this device's key and the user's SSH keys, as far as they are there.
pub fn identities<C: Callbacks>(
    env: &Env,
    device: Option<&Device>,
    files: &[PathBuf],
    passphrase: Option<SecretString>,
    callbacks: &C,
) -> Result<Identities, Error> {
    let mut identities = Identities::default();
    identities.ask_passphrase(callbacks.clone());
    if let Some(passphrase) = passphrase {
        identities.set_passphrase(passphrase);
    }
    add(&mut identities, files, callbacks)?;
    if files.is_empty() {
        if let Some(device) = device {
            identities.add_device(device.identity());
        }
        for name in ["id_ed25519", "id_rsa"] {
            let file = env.home().join(".ssh").join(name);
            // A key that cannot be used must not stand in the way of the others.
            if let Ok(text) = read(&file) {
                let _ = identities.add_text(&text, &file.display().to_string(), callbacks.clone());
            }
        }
    }
    Ok(identities)
}

/// From now on this device signs as this repository wants it. A key that signed here is believed here, when another one
/// has taken its place, too.
pub fn sign_as_configured(env: &Env, repo: &Repository, device: &Device) -> Result<(), Error> {
    let key = match signing::chosen(env, repo, &device.own_signing().public_line()?)? {
        Chosen::Device => return Ok(()),
        Chosen::Beside(witness) => {
            device.own_signing().beside(witness);
            return Ok(());
        }
        Chosen::Instead(key) => key,
    };
    let signer = key.signer()?;
    if !device.is_own(&signer.fingerprint) {
        let mut known = KnownSigners::load(env)?;
        if known.name_of(&signer).is_none() {
            known.add(&signer, &device.name)?;
        }
    }
    device.sign_with(*key);
    Ok(())
}

/// Those in these files, besides.
pub fn add<C: Callbacks>(identities: &mut Identities, files: &[PathBuf], callbacks: &C) -> Result<(), Error> {
    files.iter().try_for_each(|file| Ok(identities.add_text(&read(file)?, &file.display().to_string(), callbacks.clone())?))
}

/// The key that was written down, typed into this file again.
pub fn recovery(file: &Path) -> Result<Recovery, Error> {
    Ok(Recovery::parse(&read(file)?, &file.display().to_string())?)
}

fn read(file: &Path) -> Result<age::secrecy::zeroize::Zeroizing<String>, Error> {
    Ok(fs::read_to_string(file).map(age::secrecy::zeroize::Zeroizing::new).at("read", file)?)
}
