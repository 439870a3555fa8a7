//! Clones in which a session comes when it is asked for (`init --on-demand`): what the store's remote has, and bringing it.
//!
//! For lists the newest checkpoints come alone, and without their parts where the server can leave those out, into a bare
//! repository of our own, which is a cache and made anew when it is in doubt. What must stay true: into the user's own
//! repository comes the whole chain of what was asked for, and nothing else; it never becomes shallow or partial.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use gix::hash::ObjectId;

use super::glance::{Glances, Inside};
use super::ledger::{Finding, Ledger};
use super::settings::ON_DEMAND;
use super::{Error, remote, remotes};
use crate::durable::{self, At};
use crate::git::{self, Repository};
use crate::id::SessionId;
use crate::store::names;
use crate::store::refs::{self, Change, Known};
use crate::store::unfold::Checkpoint;

const NAME: &str = "on-demand.git";
const LOCK: &str = "on-demand.lock";
/// Each list that brings something adds two or so, and Git never gives up what came from a server that filters.
const MOST_PACKS: usize = 64;

/// The sessions of a remote, as it was asked just now.
#[derive(Debug)]
pub struct Far {
    pub remote: String,
    pub tips: Result<BTreeMap<SessionId, ObjectId>, String>,
}

impl Far {
    fn ask(repo: &Repository, remote: &str) -> Result<Far, Error> {
        let tips = match remote::list(repo, remote) {
            Err(error) if is_interrupted(&error) => return Err(Error::Interrupted),
            listed => listed.map_err(|error| error.to_string()),
        };
        Ok(Far { remote: remote.to_owned(), tips })
    }

    /// What it has; where it did not answer, that is noted.
    fn tips(&self, findings: &mut Vec<Finding>) -> Option<&BTreeMap<SessionId, ObjectId>> {
        match &self.tips {
            Ok(tips) => Some(tips),
            Err(why) => {
                if !findings.iter().any(|finding| matches!(finding, Finding::Unasked { .. })) {
                    findings.push(Finding::Unasked { remote: self.remote.clone(), why: why.clone() });
                }
                None
            }
        }
    }
}

/// The remote that sessions are to be asked of; none where fetches bring them, or where there is nobody to ask.
fn store<'a>(ledger: &'a Ledger<'_>, named: Option<&'a str>) -> Option<&'a str> {
    let repo = &ledger.store.repo;
    let on_demand = repo.config.flag(ON_DEMAND) == Some(true);
    remotes::store(repo, named).ok().flatten().filter(|_| on_demand)
}

/// What the store has, asked once in a command; nothing where that cannot be known or need not be.
pub fn ask(ledger: &Ledger<'_>, findings: &mut Vec<Finding>) -> Result<BTreeMap<SessionId, ObjectId>, Error> {
    let Some(remote) = store(ledger, None) else { return Ok(BTreeMap::new()) };
    let far = match ledger.far.get() {
        Some(far) => far,
        None => {
            let far = Far::ask(&ledger.store.repo, remote)?;
            ledger.far.get_or_init(|| far)
        }
    };
    Ok(far.tips(findings).cloned().unwrap_or_default())
}

/// Brings this session as the store has it, with its whole chain, if it is not here as it is there.
pub fn bring(ledger: &Ledger<'_>, sid: &SessionId, tip: &ObjectId, findings: &mut Vec<Finding>) -> Result<Known, Error> {
    let before = refs::of(&ledger.store, sid)?;
    let Some(remote) = store(ledger, None).filter(|remote| before.tracking.get(*remote) != Some(tip)) else {
        return synced(ledger, sid, before, findings);
    };
    match remote::fetch_what_is_there(&ledger.store.repo, remote, &[sid]) {
        Err(Error::Git(error @ git::Error::Failed { .. })) if before != Known::default() => {
            findings.push(Finding::Unasked { remote: remote.to_owned(), why: error.to_string() });
        }
        fetched => fetched?,
    }
    synced(ledger, sid, refs::of(&ledger.store, sid)?, findings)
}

/// What was found out about it before is found out again.
fn synced(ledger: &Ledger<'_>, sid: &SessionId, known: Known, findings: &mut Vec<Finding>) -> Result<Known, Error> {
    findings.retain(|finding| match finding {
        Finding::Ignored { name, .. } | Finding::Unknown { name, .. } => !name.ends_with(sid.as_str()),
        Finding::Rewound { sid: other, .. } => other != sid,
        _ => true,
    });
    Ok(ledger.sync_these(BTreeMap::from([(sid.clone(), known)]), findings)?.remove(sid).unwrap_or_default())
}

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
            let why = with_cause(&error);
            Far { remote: remote.to_owned(), tips: Err(why) }.tips(findings);
            Ok(None)
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
    if tips.is_some() && packs(&path) > MOST_PACKS {
        remove(&path)?;
    }
    let heads = match tips.map(|tips| refresh(ledger, &path, remote, tips)) {
        // A crash may have left half of it, or a lock.
        Some(Err(error)) if !is_interrupted(&error) && path.exists() => {
            remove(&path)?;
            refresh(ledger, &path, remote, tips.unwrap_or(&BTreeMap::new()))?
        }
        Some(refreshed) => refreshed?,
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

/// Brings what is new, and forgets what is there no longer or has come into the user's own repository.
fn refresh<'a>(ledger: &Ledger<'a>, path: &Path, remote: &str, tips: &BTreeMap<SessionId, ObjectId>) -> Result<Ledger<'a>, Error> {
    let heads = beside(ledger, path)?;
    let before = remembered(&heads, remote)?;
    let wanted: Vec<(&SessionId, &ObjectId)> = tips.iter().filter(|(_, tip)| !ledger.store.has(tip)).collect();
    let gone = before.iter().filter(|(sid, _)| !wanted.iter().any(|(other, _)| other == sid));
    let gone: Vec<Change> = gone.map(|(sid, from)| Change { name: names::tracking(remote, sid), to: None, from: Some(*from) }).collect();
    refs::update(&heads.store, "samesession: gone", &gone)?;
    let new = wanted.iter().filter(|(sid, tip)| before.get(*sid) != Some(tip) || !heads.store.has(tip));
    let refspecs: String = new.map(|(sid, _)| format!("+{}:{}\n", names::session(sid), names::tracking(remote, sid))).collect();
    if refspecs.is_empty() {
        return Ok(heads);
    }
    let options = ["--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance", "--refmap=", "--no-prune"];
    let args = [&["fetch"], &options[..], &["--quiet", "--depth=1", "--filter=blob:none", "--stdin", "--end-of-options", remote]].concat();
    heads.store.repo.git.feed(&args, refspecs.as_bytes())?;
    // Only now it stands in its configuration that blobs are to be asked for.
    let heads = beside(ledger, path)?;
    Checkpoint::bring(&heads.store, wanted.iter().map(|(_, tip)| *tip))?;
    Ok(heads)
}

fn remembered(heads: &Ledger<'_>, remote: &str) -> Result<BTreeMap<SessionId, ObjectId>, Error> {
    let all = refs::all(&heads.store)?.into_iter();
    Ok(all.filter_map(|(sid, known)| Some((sid, *known.tracking.get(remote)?))).collect())
}

/// Those of the store's sessions that this device can read and whose makers it believes.
pub fn readable(ledger: &Ledger<'_>, findings: &mut Vec<Finding>) -> Result<Vec<(SessionId, Inside)>, Error> {
    let Some(heads) = heads(ledger, None, findings)? else { return Ok(Vec::new()) };
    let mut glances = Glances::load(ledger, Some(&heads.ledger));
    let mut readable = Vec::new();
    for (sid, tip) in &heads.tips {
        let Ok(glance) = glances.of(sid, tip) else { continue };
        let good = ledger.believes(&glance.signer()) && !glance.is_deleted();
        readable.extend(glance.inside.ok().filter(|_| good).map(|inside| (sid.clone(), inside)));
    }
    Ok(readable)
}

/// The store, and what else it had when `list` last asked it, without asking: sessions with their sealed bytes.
pub fn more(ledger: &Ledger<'_>) -> Option<(String, Vec<(SessionId, u64)>)> {
    let path = place(&ledger.store.repo);
    let remote = store(ledger, None).filter(|_| path.is_dir())?;
    let heads = beside(ledger, &path).ok()?;
    let total = |sid: &SessionId, tip: &ObjectId| heads.anybodys(sid, tip).map_or(0, |checkpoint| checkpoint.header.total);
    let tips = remembered(&heads, remote).ok()?.into_iter();
    Some((remote.to_owned(), tips.map(|(sid, tip)| (sid.clone(), total(&sid, &tip))).collect()))
}

/// Removes what is remembered of sessions that are not here.
pub fn forget(repo: &Repository) -> Result<(), Error> {
    remove(&place(repo))?;
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

fn is_interrupted(error: &Error) -> bool {
    matches!(error, Error::Interrupted | Error::Git(git::Error::Interrupted))
}

fn with_cause(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
