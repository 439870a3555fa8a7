//! Secrets that somebody has allowed to leave, each with a reason: for this user, for a repository, or by the manifest of the
//! checkpoint before.
//!
//! An exception names one secret by its hash, so it can never allow more than whoever made it has seen. What must stay true:
//! a line that cannot be read allows nothing, and is kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable::{self, At};

/// In a user's configuration, or in a repository's directory of ours.
pub const FILE: &str = "allowed-secrets";
/// The field of a manifest.
pub const FIELD: &str = "allowed_secrets";
/// A manifest's list of them is not longer.
const MOST: usize = 1000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The device on which it was made, and when.
    pub by: String,
    pub at: String,
}

#[derive(Debug, Clone, Default)]
pub struct Allowed(Vec<Exception>);

/// Sixteen hexadecimal digits.
pub fn is_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl Allowed {
    pub fn load(dir: &Path) -> Result<Allowed, durable::Error> {
        let text = read(&dir.join(FILE))?;
        Ok(Allowed(text.lines().filter_map(parse).collect()))
    }

    /// What the manifest of a checkpoint says.
    pub fn of_manifest(more: &serde_json::Map<String, serde_json::Value>) -> Allowed {
        let listed = more.get(FIELD).and_then(serde_json::Value::as_array).into_iter().flatten().take(MOST);
        Allowed(listed.filter_map(|one| serde_json::from_value(one.clone()).ok()).filter(|one: &Exception| is_id(&one.id)).collect())
    }

    pub fn to_manifest(&self, more: &mut serde_json::Map<String, serde_json::Value>) {
        if !self.0.is_empty()
            && let Ok(list) = serde_json::to_value(&self.0[..self.0.len().min(MOST)])
        {
            more.insert(FIELD.to_owned(), list);
        }
    }

    pub fn get(&self, id: &str) -> Option<&Exception> {
        self.0.iter().find(|one| one.id == id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Exception> {
        self.0.iter()
    }

    pub fn add(&mut self, other: impl IntoIterator<Item = Exception>) {
        for one in other {
            if self.get(&one.id).is_none() {
                self.0.push(one);
            }
        }
    }

    /// Adds it to those that are kept there; false if it was among them.
    pub fn keep(dir: &Path, exception: &Exception) -> Result<bool, durable::Error> {
        change(dir, |text| {
            if text.lines().filter_map(parse).any(|one| one.id == exception.id) {
                return None;
            }
            let mut text = text.to_owned();
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            Some(text + &serde_json::to_string(exception).unwrap_or_default() + "\n")
        })
    }

    /// Takes it away again; false if it was not there.
    pub fn forget(dir: &Path, id: &str) -> Result<bool, durable::Error> {
        if !dir.join(FILE).exists() {
            return Ok(false);
        }
        change(dir, |text| {
            let left: String = text.split_inclusive('\n').filter(|line| parse(line).is_none_or(|one| one.id != id)).collect();
            (left.len() != text.len()).then_some(left)
        })
    }
}

fn parse(line: &str) -> Option<Exception> {
    serde_json::from_str(line).ok().filter(|one: &Exception| is_id(&one.id))
}

fn read(path: &PathBuf) -> Result<String, durable::Error> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => Ok(String::from_utf8_lossy(&read.at("read", path)?).into_owned()),
    }
}

/// One process after the other.
fn change(dir: &Path, how: impl FnOnce(&str) -> Option<String>) -> Result<bool, durable::Error> {
    durable::create_dirs(dir)?;
    let lock = fs::File::open(dir).at("open", dir)?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).map_err(io::Error::from).at("lock", dir)?;
    let path = dir.join(FILE);
    match how(&read(&path)?) {
        Some(text) => durable::write_atomic(&path, text.as_bytes()).map(|()| true),
        None => Ok(false),
    }
}
