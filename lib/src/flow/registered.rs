//! Hand-overs that were asked for in the middle of an agent's turn, and come when it is over.
//!
//! One small file for each in the repository's own directory, there until the session was handed over. What must stay true:
//! whoever was told that it will be done can see whether it was, also when the process that was to do it is gone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::Error;
use crate::durable::{self, At};
use crate::git::Repository;
use crate::id::SessionId;
use crate::time;

/// A process that was told to wait for the end of a turn is there by then.
const STARTING: Duration = Duration::from_secs(10);

/// Below it a file per session.
const DIR: &str = "registered";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    pub since: String,
    pub remote: String,
    /// A process waits for the end of the turn.
    pub attended: bool,
}

/// The lock that such a process holds; it is made by whoever takes it.
pub fn lock_name(sid: &SessionId) -> String {
    format!("moving-{sid}")
}

pub fn add(repo: &Repository, sid: &SessionId, since: &str, remote: &str) -> Result<(), Error> {
    let path = dir(repo).join(sid.as_str());
    durable::create_dirs(durable::parent(&path))?;
    Ok(durable::write_atomic(&path, format!("{since}\n{remote}\n").as_bytes())?)
}

pub fn forget(repo: &Repository, sid: &SessionId) -> Result<(), Error> {
    let path = dir(repo).join(sid.as_str());
    match fs::remove_file(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => Ok(removed.at("remove", &path)?),
    }
}

pub fn list(repo: &Repository, now: SystemTime) -> BTreeMap<SessionId, Registered> {
    let mut list = BTreeMap::new();
    let mut locks = None;
    for entry in fs::read_dir(dir(repo)).into_iter().flatten().flatten() {
        let Some(Ok(sid)) = entry.file_name().to_str().map(SessionId::parse) else { continue };
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let mut lines = text.lines().map(str::to_owned);
        let (Some(since), Some(remote)) = (lines.next(), lines.next()) else { continue };
        // To try the lock would, for a moment, be to hold it: whoever comes then would leave it to us.
        let locks = locks.get_or_insert_with(|| fs::read_to_string("/proc/locks").unwrap_or_default());
        let inode = fs::metadata(repo.private_dir().join(lock_name(&sid))).map(|meta| meta.ino());
        let held = |inode: u64| locks.lines().any(|line| line.contains(" FLOCK ") && line.contains(&format!(":{inode} ")));
        // It may be about to begin.
        let young = time::parse(&since).is_some_and(|since| now.duration_since(since).is_ok_and(|age| age < STARTING));
        list.insert(sid, Registered { since, remote, attended: inode.is_ok_and(held) || young });
    }
    list
}

fn dir(repo: &Repository) -> PathBuf {
    repo.private_dir().join(DIR)
}
