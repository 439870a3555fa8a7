//! After a crash: finishes or undoes what an earlier restore left, before anything else happens in that home.
//!
//! A directory whose process still lives is locked and left alone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::Error;
use super::journal::{self, Journal, Seen, State};
use super::stage::DIR;
use crate::agent::{Agent, Home, Incoming, Place};
use crate::durable::At;
use crate::env::Env;
use crate::id::NativeId;

/// What was done about one leftover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// Nothing had happened yet; the leftover is gone.
    Cleared,
    RolledBack {
        native: String,
    },
    RolledForward {
        native: String,
    },
    /// The files stand; the agent's index has been told now.
    Settled {
        native: String,
    },
    /// Old, and the only copy of somebody's work: theirs to remove.
    Kept {
        dir: PathBuf,
        native: String,
    },
    /// Left as it is.
    Stuck {
        dir: PathBuf,
        why: String,
    },
}

/// The caller holds the home's lock. An error means that a session stands half old and half new: nothing may be installed
/// in this home before that is mended.
pub fn recover(env: &Env, agent: &dyn Agent, home: &Home) -> Result<Vec<Recovered>, Error> {
    let root = home.root.join(DIR);
    let Ok(entries) = fs::read_dir(&root) else { return Ok(Vec::new()) };
    let mut dirs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    dirs.sort();
    let mut recovered = Vec::new();
    for dir in dirs {
        let Ok(handle) = File::open(&dir) else { continue };
        if flock(&handle, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        recovered.extend(one(env, agent, home, &dir)?);
    }
    let _ = fs::remove_dir(&root);
    Ok(recovered)
}

fn one(env: &Env, agent: &dyn Agent, home: &Home, dir: &Path) -> Result<Option<Recovered>, Error> {
    let Some(mut journal) = Journal::read(dir) else {
        if dir.join("journal.json").exists() {
            return Ok(Some(Recovered::Stuck { dir: dir.to_owned(), why: "its journal cannot be read".to_owned() }));
        }
        let stuck = |error: std::io::Error| Recovered::Stuck { dir: dir.to_owned(), why: error.to_string() };
        return Ok(Some(fs::remove_dir_all(dir).map_or_else(stuck, |()| Recovered::Cleared)));
    };
    let native = journal.native_id.clone();
    match journal.state {
        State::Settled => {
            if journal::is_expired(&journal, env.now()) {
                // Of a session that its agent has not opened since, only the journal knows where it belongs.
                let what = if journal.is_untouched() { dir.join("old") } else { dir.to_owned() };
                let _ = fs::remove_dir_all(what);
            }
            let is_kept = journal.only_copy && journal::is_old(&journal, env.now());
            Ok(is_kept.then(|| Recovered::Kept { dir: dir.to_owned(), native }))
        }
        State::Committed => Ok(Some(settled_again(agent, home, &mut journal, dir).unwrap_or(Recovered::Settled { native }))),
        State::Prepared => {
            journal.sweep();
            let stuck = |source| Error::NeedsYou { backup: dir.to_owned(), source: Box::new(source) };
            if journal.undo(env, dir, false).map_err(stuck)? {
                return Ok(Some(Recovered::RolledBack { native }));
            }
            journal.forward(dir, &Seen::default()).map_err(stuck)?;
            Ok(Some(settled_again(agent, home, &mut journal, dir).unwrap_or(Recovered::RolledForward { native })))
        }
    }
}

/// The files stand, so that an index which cannot be told must not keep other sessions from moving.
fn settled_again(agent: &dyn Agent, home: &Home, journal: &mut Journal, dir: &Path) -> Option<Recovered> {
    let error = settle(agent, home, journal, dir).err()?;
    // Archived or deleted by the agent since: then there is nothing left to tell it.
    if journal.settled_view().1.iter().any(|place| matches!(place, Place::File(file) if !file.exists())) {
        return finish(journal, dir).err().map(|error| Recovered::Stuck { dir: dir.to_owned(), why: error.to_string() });
    }
    Some(Recovered::Stuck { dir: dir.to_owned(), why: error.to_string() })
}

/// Tells the agent's index, and closes the journal.
pub fn settle(agent: &dyn Agent, home: &Home, journal: &mut Journal, dir: &Path) -> Result<(), Error> {
    let (files, places) = journal.settled_view();
    let native = NativeId::parse(&journal.native_id).map_err(|error| crate::capsule::Error::Damaged(error.to_string()))?;
    let cwd = journal.cwd.clone();
    match journal.aside {
        true => agent.put_aside(home, &native)?,
        false => agent.settle(home, &Incoming { native: &native, cwd: &cwd, files: &files }, &places)?,
    }
    let _ = crate::fault::point("restore.settled");
    finish(journal, dir)
}

pub fn finish(journal: &mut Journal, dir: &Path) -> Result<(), Error> {
    journal.write(dir, State::Settled)?;
    fs::remove_dir_all(dir.join("new"))
        .at("remove", dir.join("new"))
        .or_else(|error| if error.source.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    Ok(())
}
