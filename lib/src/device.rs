//! This machine's identity: an age key for reading and an SSH key for writing, made together and never parted.
//!
//! The keys are files of their own tools' kinds (`age -i`, `ssh-keygen -Y` take them as they are), readable by their
//! owner only; anything looser is refused rather than repaired silently. Either may be under a passphrase, which is asked
//! for only by whom `asking` names: whoever loads a device and says nothing asks nobody.

mod passphrase;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::durable::{self, At};
use crate::env::{self, Env};
use crate::seal::{self, Callbacks, Lock, OwnKey, SecretString, SigningKey};
use crate::time;

const IDENTITY: &str = "identity.txt";
const SIGNING: &str = "signing_key";
const SIGNING_PUBLIC: &str = "signing_key.pub";
const ABOUT: &str = "device.json";
/// The directory's own name.
const DIR: &str = "device";
const SCHEMA: &str = "samesession.device-keys/1";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Env(#[from] env::Error),
    #[error(transparent)]
    File(#[from] durable::Error),
    #[error(transparent)]
    Seal(#[from] seal::Error),
    #[error("this machine already is device '{0}'")]
    Exists(String),
    #[error("'{}' can be read by others (mode {mode:03o})", path.display())]
    Permissions { path: PathBuf, mode: u32 },
    #[error("'{}' is damaged: {why}", path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("'{0}' cannot be a device's name: one line of 1 to 64 characters")]
    Name(String),
    #[error("this device's keys have a passphrase already")]
    HasPassphrase,
    #[error("this device's keys have no passphrase")]
    NoPassphrase,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct About {
    schema: String,
    name: String,
    created: String,
    /// Said in the clear where the key that it belongs to is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recipient: Option<String>,
}

pub struct Device {
    pub name: String,
    pub created: String,
    pub dir: PathBuf,
    key: OwnKey,
    signing: SigningKey,
    /// The key that this repository wants signatures from instead.
    chosen: OnceLock<SigningKey>,
    lock: Lock,
}

impl Device {
    pub fn load(env: &Env) -> Result<Option<Device>, Error> {
        let config = env.config_dir()?;
        passphrase::settle(&config)?;
        let dir = config.join(DIR);
        if !dir.exists() { Ok(None) } else { Device::read(dir, Lock::default()).map(Some) }
    }

    fn read(dir: PathBuf, lock: Lock) -> Result<Device, Error> {
        refuse_loose(&dir, 0o077)?;
        let about = about(&dir)?;
        let identity = private(&dir.join(IDENTITY))?;
        let key = match seal::is_sealed_identity(&identity) {
            true => about.recipient.as_deref().and_then(|public| OwnKey::locked(identity.to_string(), public, lock.clone())),
            false => seal::identity_in(&identity).map(OwnKey::from),
        };
        // Put there by hand: without its public half nothing could be sealed to it.
        let bare = seal::is_sealed_identity(&identity) && about.recipient.is_none();
        let why = if bare { "it is under a passphrase, and device.json does not name its recipient" } else { "it holds no age key" };
        let key = key.ok_or_else(|| damaged(&dir.join(IDENTITY), why))?;
        let signing = SigningKey::under(&private(&dir.join(SIGNING))?, &lock)?;
        Ok(Device { name: about.name, created: about.created, key, signing, chosen: OnceLock::new(), lock, dir })
    }

    /// Makes both keys. The directory appears whole, by one rename, or not at all.
    pub fn create(env: &Env, name: Option<&str>, passphrase: Option<&SecretString>) -> Result<Device, Error> {
        if let Some(device) = Device::load(env)? {
            return Err(Error::Exists(device.name));
        }
        let name = name.unwrap_or(env.host()).trim();
        if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
            return Err(Error::Name(name.to_owned()));
        }
        let config = env.config_dir()?;
        durable::create_dirs(&config)?;
        let private = fs::Permissions::from_mode(0o700);
        let half =
            tempfile::Builder::new().prefix(".device-").permissions(private).tempdir_in(&config).at("create a directory in", &config)?;
        let identity = age::x25519::Identity::generate();
        let signing = SigningKey::generate(&format!("samesession {name}"))?;
        let created = time::format(env.now());
        let recipient = passphrase.map(|_| identity.to_public().to_string());
        let about = About { schema: SCHEMA.to_owned(), name: name.to_owned(), created: created.clone(), recipient };
        let text = seal::identity_text(&identity, &created);
        let keys = passphrase::Keys { identity: seal::reseal_identity(&text, None, passphrase)?, signing: &signing };
        keys.write(half.path(), &about, passphrase)?;
        let dir = config.join(DIR);
        // Fails if another process was faster, whose directory is not empty.
        if let Err(error) = fs::rename(half.path(), &dir) {
            return match Device::load(env)? {
                Some(device) => Err(Error::Exists(device.name)),
                None => Err(error).at("create", &dir).map_err(Error::from),
            };
        }
        let _ = half.keep();
        durable::sync_dir(&config)?;
        Device::read(dir, passphrase.cloned().map(Lock::opened_by).unwrap_or_default())
    }

    /// The device, and whether it was made just now.
    pub fn ensure(env: &Env) -> Result<(Device, bool), Error> {
        if let Some(device) = Device::load(env)? {
            return Ok((device, false));
        }
        match Device::create(env, None, None) {
            // Another process made it between the two steps.
            Err(Error::Exists(_)) => {
                Device::load(env)?.map(|device| (device, false)).ok_or_else(|| damaged(env.home(), "it came and went"))
            }
            created => created.map(|device| (device, true)),
        }
    }

    /// Who is asked where a key needs its passphrase: once, whatever is done with the keys.
    pub fn asking<C: Callbacks>(self, callbacks: C) -> Device {
        self.lock.ask(callbacks, format!("Passphrase for the keys of this device, '{}'", self.name));
        self
    }

    /// Whether either key is under a passphrase.
    pub fn is_locked(&self) -> bool {
        self.key.is_locked() || self.signing.is_locked()
    }

    /// What others encrypt to.
    pub fn recipient(&self) -> String {
        self.key.recipient()
    }

    pub fn identity(&self) -> OwnKey {
        self.key.clone()
    }

    /// The key that signs here.
    pub fn signing(&self) -> &SigningKey {
        self.chosen.get().unwrap_or(&self.signing)
    }

    /// The key that was made with the device, whatever signs here.
    pub fn own_signing(&self) -> &SigningKey {
        &self.signing
    }

    /// From now on this one signs; the first one that is named.
    pub fn sign_with(&self, key: SigningKey) {
        let _ = self.chosen.set(key);
    }

    /// Whether this device signs, or has signed, with the key of this fingerprint.
    pub fn is_own(&self, fingerprint: &str) -> bool {
        self.signing().fingerprint() == fingerprint || self.signing.fingerprint() == fingerprint
    }
}

fn about(dir: &Path) -> Result<About, Error> {
    let path = dir.join(ABOUT);
    serde_json::from_str(&read(&path)?).map_err(|error| damaged(&path, &error.to_string()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    use std::io::Write;
    let mut file = durable::create_private(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).at("write", path)?;
    Ok(())
}

fn private(path: &Path) -> Result<age::secrecy::zeroize::Zeroizing<String>, Error> {
    refuse_loose(path, 0o077)?;
    read(path).map(age::secrecy::zeroize::Zeroizing::new)
}

fn read(path: &Path) -> Result<String, Error> {
    Ok(fs::read_to_string(path).at("read", path)?)
}

fn refuse_loose(path: &Path, forbidden: u32) -> Result<(), Error> {
    let mode = fs::metadata(path).at("read", path)?.permissions().mode() & 0o777;
    if mode & forbidden != 0 { Err(Error::Permissions { path: path.to_owned(), mode }) } else { Ok(()) }
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::Damaged { path: path.to_owned(), why: why.to_owned() }
}
