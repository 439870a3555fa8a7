//! Which checkpoint holds a native session as it stood when it was last captured, or put there: `samesession/agents.json`
//! in the common directory of a repository.
//!
//! A memory and nothing more: without it everything is captured again, and found to be what it was.

use std::io;

use gix::hash::ObjectId;
use serde::{Deserialize, Serialize};

use super::Entries;
use crate::durable;
use crate::git::Repository;
use crate::id::SessionId;

const SCHEMA: &str = "samesession.agents/1";
const NAME: &str = "agents.json";
/// More than anybody has, and not more than is read at once.
const MOST: u64 = 64 << 20;

#[derive(Debug, Clone)]
pub struct Entry {
    pub agent: String,
    pub files: String,
    pub work: Option<String>,
    pub commit: ObjectId,
    /// It was put there from this checkpoint.
    pub given: bool,
}

#[derive(Debug, Default)]
pub struct Memory(Entries);

#[derive(Serialize, Deserialize)]
struct Kept {
    schema: String,
    sessions: std::collections::BTreeMap<String, Row>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    agent: String,
    files: String,
    work: Option<String>,
    commit: String,
    #[serde(default)]
    given: bool,
}

impl Memory {
    pub fn load(repo: &Repository) -> Memory {
        Memory(read(repo).unwrap_or_default())
    }

    pub fn get(&self, sid: &SessionId) -> Option<&Entry> {
        self.0.get(sid.as_str())
    }

    /// Of this agent, or of all.
    pub fn of<'a>(&'a self, agent: Option<&'a str>) -> impl Iterator<Item = (SessionId, &'a Entry)> + 'a {
        let wanted = self.0.iter().filter(move |(_, entry)| agent.is_none_or(|agent| entry.agent == agent));
        wanted.filter_map(|(sid, entry)| Some((SessionId::parse(sid).ok()?, entry)))
    }

    pub fn forget(repo: &Repository) {
        let _ = std::fs::remove_file(repo.private_dir().join(NAME));
    }

    /// Adds these to what stands there now. One that cannot be kept is learnt anew, and no failure.
    pub fn keep(repo: &Repository, new: Entries) {
        if new.is_empty() {
            return;
        }
        let mut all = read(repo).unwrap_or_default();
        all.extend(new);
        write(repo, all);
    }

    pub fn forget_one(repo: &Repository, sid: &SessionId) {
        let mut all = read(repo).unwrap_or_default();
        if all.remove(sid.as_str()).is_some() {
            write(repo, all);
        }
    }
}

fn write(repo: &Repository, all: Entries) {
    let row = |entry: Entry| Row {
        agent: entry.agent,
        files: entry.files,
        work: entry.work,
        commit: entry.commit.to_string(),
        given: entry.given,
    };
    let sessions = all.into_iter().map(|(sid, entry)| (sid, row(entry))).collect();
    let Ok(json) = serde_json::to_vec(&Kept { schema: SCHEMA.to_owned(), sessions }) else { return };
    let dir = repo.private_dir();
    let _ = durable::create_dirs(&dir).and_then(|_| durable::write_atomic(&dir.join(NAME), &json));
}

fn read(repo: &Repository) -> Option<Entries> {
    let file = std::fs::File::open(repo.private_dir().join(NAME)).ok()?;
    let kept: Kept = serde_json::from_reader(io::BufReader::new(io::Read::take(file, MOST))).ok()?;
    let entry = |row: Row| {
        let commit = ObjectId::from_hex(row.commit.as_bytes()).ok().filter(|commit| commit.kind() == repo.hash)?;
        Some(Entry { agent: row.agent, files: row.files, work: row.work, commit, given: row.given })
    };
    let good = kept.schema == SCHEMA;
    good.then(|| kept.sessions.into_iter().filter_map(|(sid, row)| Some((sid, entry(row)?))).collect())
}
