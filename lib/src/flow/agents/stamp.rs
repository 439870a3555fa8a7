//! How a native session, and the work tree around it, stood when they were looked at: enough to see that they have changed.
//!
//! Files of agents are told by their names, sizes and times, since nothing but a look at each can be afforded; of a work
//! tree it is what a checkpoint would hold. What must stay true: in doubt it has changed.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::super::workspace::{ROLE, Taken, Work};
use crate::agent::{Artifact, Session, Source};
use crate::capsule::{self, Content, FileEntry, Target};
use crate::id::hex;
use crate::progress::Progress;

pub struct Stamp {
    /// None where something could not be looked at.
    pub digest: Option<String>,
    newest: SystemTime,
}

impl Stamp {
    /// Whether a change from now on would show: within one step of the file system's clock it would not.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        now.duration_since(self.newest).is_ok_and(|age| age > Duration::from_millis(20))
    }
}

pub fn of_files<'a>(session: &Session, artifacts: impl Iterator<Item = &'a Artifact>) -> Stamp {
    let mut newest = SystemTime::UNIX_EPOCH;
    let digest = digest(session, artifacts, &mut newest);
    Stamp { digest, newest }
}

fn digest<'a>(session: &Session, artifacts: impl Iterator<Item = &'a Artifact>, newest: &mut SystemTime) -> Option<String> {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(session.title.as_deref().unwrap_or_default().as_bytes());
    add(session.transcript.as_os_str().as_encoded_bytes());
    for artifact in artifacts {
        add(artifact.name.as_bytes());
        match &artifact.source {
            Source::Extract(bytes) => add(bytes),
            Source::File(path) => {
                let meta = std::fs::metadata(path).ok()?;
                let changed = u64::try_from(meta.ctime()).ok()?;
                let changed = SystemTime::UNIX_EPOCH + Duration::new(changed, u32::try_from(meta.ctime_nsec()).ok()?);
                *newest = (*newest).max(changed);
                for number in [meta.len(), meta.ino(), meta.dev()] {
                    add(&number.to_le_bytes());
                }
                for number in [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()] {
                    add(&number.to_le_bytes());
                }
            }
        }
    }
    Some(hex(&hash.finalize()))
}

/// As `of_manifest` would have it, were it captured now; none where it cannot be.
pub fn of_work(work: &Work, progress: &dyn Progress) -> Option<String> {
    let mut sums = Sums(Vec::new());
    match work.take(&mut sums, progress) {
        Ok(Taken::Done(_)) => Some(summed(sums.0)),
        _ => None,
    }
}

/// What of a checkpoint came from a work tree; none where nothing did.
pub fn of_manifest(files: &[FileEntry]) -> Option<String> {
    let work = files.iter().filter(|file| file.role == ROLE);
    let lines: Vec<String> = work.map(|file| line(file.path.as_bytes(), file.size, &file.sha256)).collect();
    (!lines.is_empty()).then(|| summed(lines))
}

fn line(name: &[u8], size: u64, sha256: &str) -> String {
    format!("{size} {sha256} {}\n", hex(name))
}

fn summed(mut lines: Vec<String>) -> String {
    lines.sort();
    hex(&Sha256::digest(lines.concat()))
}

struct Sums(Vec<String>);

impl Target for Sums {
    type Error = capsule::Error;

    fn add(&mut self, file: Content<'_>) -> Result<[u8; 32], capsule::Error> {
        let mut hash = Sha256::new();
        let read = std::io::copy(&mut file.bytes.take(file.size), &mut Hashing(&mut hash)).map_err(capsule::Error::Write)?;
        if read != file.size {
            return Err(capsule::Error::Write(std::io::ErrorKind::UnexpectedEof.into()));
        }
        let sum: [u8; 32] = hash.finalize().into();
        self.0.push(line(file.name.as_bytes(), file.size, &hex(&sum)));
        Ok(sum)
    }
}

struct Hashing<'a>(&'a mut Sha256);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
