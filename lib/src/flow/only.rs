//! One process at a time: a lock of the kernel's on a file, so that no crash leaves one behind.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::Error;
use crate::durable::{self, At};

/// Held as long as it lives.
#[derive(Debug)]
pub struct Only(File);

impl Only {
    /// `None` if another process has it.
    pub fn take(path: &Path) -> Result<Option<Only>, Error> {
        let file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Only(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(std::io::Error::from(error)).at("lock", path)?,
        }
    }

    /// Once nobody else has it.
    pub fn wait(path: &Path) -> Result<Only, Error> {
        let file = open(path)?;
        flock(&file, FlockOperation::LockExclusive).map_err(std::io::Error::from).at("lock", path)?;
        Ok(Only(file))
    }

    /// Who has it, for others to read.
    pub fn sign(&mut self) {
        let _ = self.0.set_len(0).and_then(|()| self.0.seek(SeekFrom::Start(0)));
        let _ = writeln!(self.0, "{}", std::process::id());
    }
}

fn open(path: &Path) -> Result<File, Error> {
    durable::create_dirs(durable::parent(path))?;
    Ok(OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).at("open", path)?)
}

/// Who has signed it, if somebody has it now. Whoever takes it in the very moment of this look must try once more.
pub fn holder(path: &Path) -> Option<u32> {
    let mut file = File::open(path).ok()?;
    let held = flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK);
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    held.then(|| text.trim().parse().unwrap_or(0))
}
