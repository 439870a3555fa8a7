//! The passphrase over a device's keys: set, changed, taken off.
//!
//! Both keys are sealed anew into a directory beside the device's, which then takes its place in one step: no moment has
//! one key under one passphrase and the other under another, whenever the process is killed. What must stay true: what
//! was replaced is removed, by the next command if this one was killed, so that no key stays behind in the clear.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;

use super::{ABOUT, About, DIR, Device, Error, IDENTITY, SIGNING, SIGNING_PUBLIC, about, private, write};
use crate::durable::{self, At};
use crate::env::Env;
use crate::fault;
use crate::seal::{self, Lock, SecretString, SigningKey};

/// What will take the device's place, and after that what it has replaced.
const NEXT: &str = "device.next";
/// What was replaced, where two directories cannot change places in one step.
const LAST: &str = "device.last";

/// What a device's directory holds.
pub(super) struct Keys<'a> {
    /// As it is to lie there.
    pub identity: age::secrecy::zeroize::Zeroizing<String>,
    pub signing: &'a SigningKey,
}

impl Keys<'_> {
    pub fn write(&self, dir: &Path, about: &About, passphrase: Option<&SecretString>) -> Result<(), Error> {
        let about = serde_json::to_string_pretty(about).unwrap_or_default() + "\n";
        let signing = match passphrase {
            Some(passphrase) => self.signing.to_openssh_under(passphrase)?,
            None => self.signing.to_openssh()?,
        };
        write(&dir.join(ABOUT), about.as_bytes())?;
        write(&dir.join(IDENTITY), self.identity.as_bytes())?;
        write(&dir.join(SIGNING), signing.as_bytes())?;
        write(&dir.join(SIGNING_PUBLIC), (self.signing.commented_line()? + "\n").as_bytes())?;
        Ok(durable::sync_dir(dir)?)
    }
}

impl Device {
    /// From `old` to `new`; none is no passphrase.
    pub fn set_passphrase(env: &Env, old: Option<&SecretString>, new: Option<&SecretString>) -> Result<(), Error> {
        let config = env.config_dir()?;
        let _alone = alone(&config, FlockOperation::LockExclusive)?;
        sweep(&config)?;
        let (dir, next) = (config.join(DIR), config.join(NEXT));
        let device = Device::read(dir.clone(), old.cloned().map(Lock::opened_by).unwrap_or_default())?;
        match (device.is_locked(), old) {
            (true, None) => return Err(Error::HasPassphrase),
            (false, Some(_)) => return Err(Error::NoPassphrase),
            _ => {}
        }
        let text = private(&dir.join(IDENTITY))?;
        // One of the two may have been locked by hand, with its own tool.
        let locked = old.filter(|_| seal::is_sealed_identity(&text));
        let identity = seal::reseal_identity(&text, locked, new)?;
        device.key.open()?;
        let about = About { recipient: new.map(|_| device.recipient()), ..about(&dir)? };
        DirBuilder::new().mode(0o700).create(&next).at("create directory", &next)?;
        Keys { identity, signing: &device.signing }.write(&next, &about, new)?;
        // What would not open again must not take anything's place.
        let whole = Device::read(next.clone(), new.cloned().map(Lock::opened_by).unwrap_or_default())?;
        whole.key.open()?;
        whole.signing.to_openssh()?;
        let same = (whole.recipient(), whole.signing.fingerprint()) == (device.recipient(), device.signing.fingerprint());
        if !same {
            return Err(super::damaged(&next, "it is not what was to be written"));
        }
        keep_others(&dir, &next)?;
        fault::point("device.sealed").at("write", &next)?;
        exchange(&config, &dir, &next)?;
        let _ = fault::point("device.exchanged");
        sweep(&config)
    }
}

/// What a killed process has left, as far as nobody is at work. Cheap: everybody who loads the device comes by here.
pub(super) fn settle(config: &Path) -> Result<(), Error> {
    if !config.join(NEXT).exists() && !config.join(LAST).exists() {
        return Ok(());
    }
    match alone(config, FlockOperation::NonBlockingLockExclusive) {
        Ok(_alone) => sweep(config),
        // Whoever is at work will have been done with it, or the next one comes by here.
        Err(_) if config.join(DIR).exists() => Ok(()),
        Err(_) => alone(config, FlockOperation::LockExclusive).and_then(|_alone| sweep(config)),
    }
}

fn sweep(config: &Path) -> Result<(), Error> {
    let (dir, next, last) = (config.join(DIR), config.join(NEXT), config.join(LAST));
    // Killed between two renames: what was moved out of the way was replaced by what is whole.
    if !dir.exists() && next.exists() && last.exists() {
        fs::rename(&next, &dir).at("move a directory to", &dir)?;
        durable::sync_dir(config)?;
    }
    for old in [next, last] {
        match fs::remove_dir_all(&old) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done.at("remove", &old)?,
        }
    }
    Ok(durable::sync_dir(config)?)
}

/// What somebody else has put beside the keys stays there. Keys that are replaced are not among it.
fn keep_others(dir: &Path, next: &Path) -> Result<(), Error> {
    let ours = [ABOUT, IDENTITY, SIGNING, SIGNING_PUBLIC];
    for entry in fs::read_dir(dir).at("read", dir)?.flatten() {
        if ours.iter().any(|name| entry.file_name() == **name) {
            continue;
        }
        if entry.path().is_dir() {
            return Err(super::damaged(&entry.path(), "a directory is no part of a device"));
        }
        durable::copy_new(&entry.path(), &next.join(entry.file_name()))?;
    }
    Ok(durable::sync_dir(next)?)
}

fn exchange(config: &Path, dir: &Path, next: &Path) -> Result<(), Error> {
    match renameat_with(CWD, dir, CWD, next, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            let last = config.join(LAST);
            fs::rename(dir, &last).at("move a directory to", &last)?;
            fs::rename(next, dir).at("move a directory to", dir)?;
        }
        Err(error) => return Err(io::Error::from(error)).at("replace", dir).map_err(Error::from),
    }
    Ok(durable::sync_dir(config)?)
}

/// Two at once would each replace what the other one has sealed.
fn alone(config: &Path, how: FlockOperation) -> Result<File, Error> {
    let lock = File::open(config).at("open", config)?;
    flock(&lock, how).map_err(io::Error::from).at("lock", config)?;
    Ok(lock)
}
