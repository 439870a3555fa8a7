//! `session_index.jsonl`: the names that users gave to threads, for all threads of a home, appended to and never rewritten.
//!
//! The last entry of an id counts, and lines that are damaged are passed over, as in Codex. A session takes only its own
//! lines along, and gives back at most one per thread.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::agent::{Error, Home, jsonl};
use crate::id::NativeId;
use crate::time;

pub const FILE: &str = "session_index.jsonl";
/// Of one session's part of it, in a capsule: a hundred bytes for each name.
pub const LONGEST: u64 = 4 << 20;

#[derive(Deserialize)]
struct Entry {
    id: String,
    thread_name: String,
    #[serde(default)]
    updated_at: String,
}

/// The last whole line of each id.
#[derive(Default)]
pub struct Names {
    last: HashMap<String, (Entry, Vec<u8>)>,
}

impl Names {
    pub fn read(home: &Home) -> Result<Names, Error> {
        Ok(Names::parse(&content(&home.root.join(FILE))?))
    }

    pub fn parse(bytes: &[u8]) -> Names {
        let entries = jsonl::whole_lines(bytes).filter_map(|line| Some((serde_json::from_slice::<Entry>(line).ok()?, line.to_vec())));
        Names { last: entries.map(|(entry, line)| (entry.id.clone(), (entry, line))).collect() }
    }

    pub fn of(&self, id: &NativeId) -> Option<&str> {
        let (entry, _) = self.last.get(id.as_str())?;
        Some(entry.thread_name.trim()).filter(|name| !name.is_empty())
    }

    /// Whether what `other` calls the thread is another name, and not an older one.
    fn renames(&self, id: &NativeId, other: &Names) -> bool {
        let (Some((ours, _)), Some(theirs)) = (self.last.get(id.as_str()), other.last.get(id.as_str())) else {
            return self.last.contains_key(id.as_str());
        };
        let older = matches!((time::parse(&ours.updated_at), time::parse(&theirs.0.updated_at)), (Some(a), Some(b)) if a < b);
        ours.thread_name != theirs.0.thread_name && !older
    }
}

/// All whole lines, each with the thread that it names.
pub struct Lines(Vec<(String, Vec<u8>)>);

impl Lines {
    pub fn read(home: &Home) -> Result<Lines, Error> {
        let bytes = content(&home.root.join(FILE))?;
        let named = |line: &[u8]| Some((serde_json::from_slice::<Entry>(line).ok()?.id, line.to_vec()));
        Ok(Lines(jsonl::whole_lines(&bytes).filter_map(named).collect()))
    }

    /// Those of these threads, as they are.
    pub fn of(&self, ids: &[NativeId]) -> Vec<u8> {
        let own = self.0.iter().filter(|(named, _)| ids.iter().any(|id| id.as_str() == named));
        own.flat_map(|(_, line)| line.iter().copied().chain([b'\n'])).collect()
    }
}

/// The first line that is not a name of one of these threads.
pub fn stray_line<'a>(bytes: &'a [u8], ids: &[NativeId]) -> Option<&'a [u8]> {
    bytes.split(|&b| b == b'\n').find(|line| !line.is_empty() && !is_name_of(line, ids))
}

fn is_name_of(line: &[u8], ids: &[NativeId]) -> bool {
    serde_json::from_slice::<Entry>(line).is_ok_and(|entry| ids.iter().any(|id| id.as_str() == entry.id))
}

/// Appends the names that are news here; a second time there is none.
pub fn settle(home: &Home, incoming: &[u8], ids: &[NativeId]) -> Result<(), Error> {
    let path = home.root.join(FILE);
    let present = content(&path)?;
    let (theirs, ours) = (Names::parse(incoming), Names::parse(&present));
    let news = ids.iter().filter(|id| theirs.renames(id, &ours)).filter_map(|id| theirs.last.get(id.as_str()));
    let mut text: Vec<u8> = news.flat_map(|(_, line)| line.iter().copied().chain([b'\n'])).collect();
    if text.is_empty() {
        return Ok(());
    }
    if present.last().is_some_and(|&last| last != b'\n') {
        text.insert(0, b'\n');
    }
    // One write to a file opened for appending: a Codex that names a thread at this moment loses nothing.
    let append = || {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        file.write_all(&text)?;
        file.sync_all()
    };
    append().map_err(|error: io::Error| Error::Index { agent: "codex", path, why: error.to_string() })
}

fn content(path: &Path) -> Result<Vec<u8>, Error> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|source| Error::Read { path: PathBuf::from(path), source }),
    }
}
