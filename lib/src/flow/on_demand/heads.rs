//! The newest checkpoints of sessions that are not in the user's repository, in a bare one of our own.
//!
//! They come alone, at depth 1, and without their parts where the server can leave those out. What must stay true: it is a
//! cache, made anew when it is in doubt, and nothing of it shows in the user's own repository.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use gix::hash::ObjectId;

use super::{Far, is_interrupted, store};
use crate::durable::{self, At};
use crate::flow::Error;
use crate::flow::ledger::{Finding, Ledger};
use crate::git::Repository;
use crate::id::SessionId;
use crate::store::names;
use crate::store::refs::{self, Change};
use crate::store::unfold::Checkpoint;

const NAME: &str = "on-demand.git";
const LOCK: &str = "on-demand.lock";
/// In its configuration: its server refuses to leave anything out.
const UNFILTERED: &str = "samesession.unfiltered";
/// Each list that brings something adds two or so, and Git never gives up what came from a server that filters.
const MOST_PACKS: usize = 64;

/// The newest checkpoints of a remote's sessions, to be looked at.
pub struct Heads<'a> {
    pub remote: String,
    pub tips: BTreeMap<SessionId, ObjectId>,
    /// Where those of them stand that are not in the user's own repository.
    pub ledger: Ledger<'a>,
    /// The remote has answered; otherwise that is how it was the last time.
    answered: bool,
    /// Nobody else makes it anew meanwhile.
    _lock: File,
}

impl Heads<'_> {
    /// To what is known of remotes from fetches: the newer of the two.
    pub fn add_to(&self, fetched: &mut BTreeMap<String, ObjectId>, tip: &ObjectId) {
        if self.answered {
            fetched.insert(self.remote.clone(), *tip);
        } else {
            fetched.entry(self.remote.clone()).or_insert(*tip);
        }
    }
}

/// Asks the store, or the remote that is named. Where it does not answer, what it had the last time.
pub fn heads<'a>(ledger: &Ledger<'a>, named: Option<&str>, findings: &mut Vec<Finding>) -> Result<Option<Heads<'a>>, Error> {
    let Some(remote) = store(ledger, named) else { return Ok(None) };
    let asked;
    let far = match ledger.far.get().filter(|far| far.remote == remote) {
        Some(far) => far,
        None => {
            asked = Far::ask(&ledger.store.repo, remote)?;
            &asked
        }
    };
    let tips = far.tips(findings);
    let dir = ledger.store.repo.private_dir();
    if tips.is_none() && !dir.join(NAME).is_dir() {
        return Ok(None);
    }
    match look(ledger, &dir, remote, tips) {
        Err(error) if !is_interrupted(&error) => {
            Far { remote: remote.to_owned(), tips: Err(with_cause(&error)) }.tips(findings);
            Ok(look(ledger, &dir, remote, None).ok())
        }
        heads => heads.map(Some),
    }
}

fn look<'a>(ledger: &Ledger<'a>, dir: &Path, remote: &str, tips: Option<&BTreeMap<SessionId, ObjectId>>) -> Result<Heads<'a>, Error> {
    durable::create_dirs(dir)?;
    let path = dir.join(LOCK);
    let lock = File::options().create(true).append(true).open(&path).at("open", &path)?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).map_err(io::Error::from).at("lock", &path)?;
    let path = dir.join(NAME);
    // A crash may have left it there, or between two names.
    let aside = path.with_extension("old");
    if aside.exists() && !path.exists() {
        fs::rename(&aside, &path).at("put back", &path)?;
    }
    remove(&aside)?;
    if tips.is_some() && packs(&path) > MOST_PACKS {
        remove(&path)?;
    }
    let heads = match tips {
        Some(tips) => refreshed(ledger, &path, remote, tips)?,
        None => beside(ledger, &path)?,
    };
    let known = match tips {
        Some(tips) => tips.clone(),
        None => remembered(&heads, remote)?,
    };
    Ok(Heads { remote: remote.to_owned(), tips: known, ledger: heads, answered: tips.is_some(), _lock: lock })
}

fn beside<'a>(ledger: &Ledger<'a>, path: &Path) -> Result<Ledger<'a>, Error> {
    Ledger::of(ledger.env, ledger.store.repo.beside(path)?, ledger.device, ledger.identities)
}

/// In place; failing that anew, since a crash may have left half of it; failing that without a filter, which the server may
/// refuse. Where all is in vain, as when the connection broke, it is as it was.
fn refreshed<'a>(ledger: &Ledger<'a>, path: &Path, remote: &str, tips: &BTreeMap<SessionId, ObjectId>) -> Result<Ledger<'a>, Error> {
    let mut result = refresh(ledger, path, remote, tips, true);
    let aside = path.with_extension("old");
    for filter in [true, false] {
        match &result {
            Err(error) if !is_interrupted(error) => {}
            _ => break,
        }
        if aside.exists() {
            remove(path)?
        } else {
            fs::rename(path, &aside).at("set aside", path)?
        }
        result = refresh(ledger, path, remote, tips, filter);
    }
    if result.is_err() && aside.exists() {
        remove(path)?;
        fs::rename(&aside, path).at("put back", path)?;
    }
    remove(&aside)?;
    result
}

/// Brings what is new, and forgets what is there no longer or has come into the user's own repository.
fn refresh<'a>(
    ledger: &Ledger<'a>,
    path: &Path,
    remote: &str,
    tips: &BTreeMap<SessionId, ObjectId>,
    filter: bool,
) -> Result<Ledger<'a>, Error> {
    let heads = beside(ledger, path)?;
    let before = remembered(&heads, remote)?;
    let wanted: BTreeMap<&SessionId, &ObjectId> = tips.iter().filter(|(_, tip)| !ledger.store.has(tip)).collect();
    let gone = before.iter().filter(|(sid, _)| !wanted.contains_key(sid));
    let gone: Vec<Change> = gone.map(|(sid, from)| Change { name: names::tracking(remote, sid), to: None, from: Some(*from) }).collect();
    refs::update(&heads.store, "samesession: gone", &gone)?;
    let new = wanted.iter().filter(|(sid, tip)| before.get(*sid) != Some(tip) || !heads.store.has(tip));
    let refspecs: String = new.map(|(sid, _)| format!("+{}:{}\n", names::session(sid), names::tracking(remote, sid))).collect();
    if refspecs.is_empty() {
        return Ok(heads);
    }
    let options = ["--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance", "--refmap=", "--no-prune"];
    let refused = heads.store.repo.config.flag(UNFILTERED) == Some(true);
    if !filter && !refused {
        heads.store.repo.git.run(&["config", UNFILTERED, "true"])?;
    }
    let filter = if filter && !refused { "--filter=blob:none" } else { "--no-filter" };
    let args = [&["fetch"], &options[..], &["--quiet", "--depth=1", filter, "--stdin", "--end-of-options", remote]].concat();
    heads.store.repo.git.feed(&args, refspecs.as_bytes())?;
    // Only now it stands in its configuration that blobs are to be asked for.
    let heads = beside(ledger, path)?;
    Checkpoint::bring(&heads.store, wanted.into_values())?;
    Ok(heads)
}

pub fn remembered(heads: &Ledger<'_>, remote: &str) -> Result<BTreeMap<SessionId, ObjectId>, Error> {
    let all = refs::all(&heads.store)?.into_iter();
    Ok(all.filter_map(|(sid, known)| Some((sid, *known.tracking.get(remote)?))).collect())
}

/// What `list` has left there, if it has.
pub fn as_it_is<'a>(ledger: &Ledger<'a>) -> Option<Ledger<'a>> {
    let path = place(&ledger.store.repo);
    path.is_dir().then(|| beside(ledger, &path).ok()).flatten()
}

/// Removes what is remembered of sessions that are not here.
pub fn forget(repo: &Repository) -> Result<(), Error> {
    remove(&place(repo))?;
    remove(&place(repo).with_extension("old"))?;
    let _ = fs::remove_file(repo.private_dir().join(LOCK));
    Ok(())
}

fn place(repo: &Repository) -> PathBuf {
    repo.private_dir().join(NAME)
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", path).map_err(Error::from),
        _ => Ok(()),
    }
}

fn packs(path: &Path) -> usize {
    let entries = fs::read_dir(path.join("objects/pack")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "pack")).count()
}

fn with_cause(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
