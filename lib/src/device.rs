//! This machine's identity: an age key for reading and an SSH key for writing, made together and never parted.
//!
//! The keys are files of their own tools' kinds (`age -i`, `ssh-keygen -Y` take them as they are), readable by their
//! owner only; anything looser is refused rather than repaired silently.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable::{self, At};
use crate::env::{self, Env};
use crate::seal::{self, ExposeSecret, SigningKey};
use crate::time;

const IDENTITY: &str = "identity.txt";
const SIGNING: &str = "signing_key";
const SIGNING_PUBLIC: &str = "signing_key.pub";
const ABOUT: &str = "device.json";
const SCHEMA: &str = "samesession.device/1";

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
}

#[derive(Debug, Serialize, Deserialize)]
struct About {
    schema: String,
    name: String,
    created: String,
}

pub struct Device {
    pub name: String,
    pub created: String,
    pub dir: PathBuf,
    identity: age::x25519::Identity,
    signing: SigningKey,
}

impl Device {
    pub fn load(env: &Env) -> Result<Option<Device>, Error> {
        let dir = env.config_dir()?.join("device");
        if !dir.exists() {
            return Ok(None);
        }
        refuse_loose(&dir, 0o077)?;
        let about: About = serde_json::from_str(&read(&dir.join(ABOUT))?).map_err(|error| damaged(&dir.join(ABOUT), &error.to_string()))?;
        let identity = private(&dir.join(IDENTITY))?;
        let identity = identity
            .lines()
            .find(|line| line.starts_with("AGE-SECRET-KEY-1"))
            .and_then(|line| line.parse().ok())
            .ok_or_else(|| damaged(&dir.join(IDENTITY), "it holds no age key"))?;
        let signing = SigningKey::from_openssh(&private(&dir.join(SIGNING))?)?;
        Ok(Some(Device { name: about.name, created: about.created, identity, signing, dir }))
    }

    /// Makes both keys. The directory appears whole, by one rename, or not at all.
    pub fn create(env: &Env, name: Option<&str>) -> Result<Device, Error> {
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
        let about = About { schema: SCHEMA.to_owned(), name: name.to_owned(), created: created.clone() };
        let about = serde_json::to_string_pretty(&about).unwrap_or_default() + "\n";
        let secret = identity.to_string();
        let identity_file = age::secrecy::zeroize::Zeroizing::new(format!(
            "# created: {created}\n# public key: {}\n{}\n",
            identity.to_public(),
            secret.expose_secret()
        ));
        write(&half.path().join(ABOUT), about.as_bytes())?;
        write(&half.path().join(IDENTITY), identity_file.as_bytes())?;
        write(&half.path().join(SIGNING), signing.to_openssh()?.as_bytes())?;
        write(&half.path().join(SIGNING_PUBLIC), (signing.public_line()? + "\n").as_bytes())?;
        durable::sync_dir(half.path())?;
        let dir = config.join("device");
        // Fails if another process was faster, whose directory is not empty.
        if let Err(error) = fs::rename(half.path(), &dir) {
            return match Device::load(env)? {
                Some(device) => Err(Error::Exists(device.name)),
                None => Err(error).at("create", &dir).map_err(Error::from),
            };
        }
        let _ = half.keep();
        durable::sync_dir(&config)?;
        Ok(Device { name: name.to_owned(), created, dir, identity, signing })
    }

    /// What others encrypt to.
    pub fn recipient(&self) -> String {
        self.identity.to_public().to_string()
    }

    pub fn identity(&self) -> age::x25519::Identity {
        self.identity.clone()
    }

    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }
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
