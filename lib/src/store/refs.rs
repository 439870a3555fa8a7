//! Reading and moving refs, of any format Git has, by Git.
//!
//! What must stay true: a ref moves from the value that its mover has seen, or not at all; several move together or none.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use gix::hash::ObjectId;

use super::names::{self, HERE, Named};
use super::{Error, Store};
use crate::git::{self, Begun, Git, failed};
use crate::id::SessionId;
use crate::progress::interrupted;

/// How often a lock that somebody else holds for a moment is tried for.
const ATTEMPTS: u32 = 50;

/// More loose refs than these are packed: to find one, Git reads all that lie beside it.
const LOOSE: usize = 1000;

#[derive(Debug, Clone)]
pub struct Change {
    pub name: String,
    /// `None` to delete it.
    pub to: Option<ObjectId>,
    /// What it is now; `None`: it must not exist.
    pub from: Option<ObjectId>,
}

/// What is known of one session's chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    pub local: Option<ObjectId>,
    pub tracking: BTreeMap<String, ObjectId>,
    pub seen: BTreeMap<String, ObjectId>,
    /// Those of the pins whose remote has no ref any more (a fetch has pruned it, or the remote is gone), and what was
    /// captured for a fetch from the agents, which may stand nowhere else.
    pub left: Vec<ObjectId>,
}

impl Known {
    /// Our chain goes on from where it was seen, and with it the pin that remembers it.
    pub fn advance(&self, sid: &SessionId, tip: ObjectId) -> Vec<Change> {
        vec![
            Change { name: names::session(sid), to: Some(tip), from: self.local },
            Change { name: names::seen(HERE, sid), to: Some(tip), from: self.seen.get(HERE).copied() },
        ]
    }
}

/// What one look at our refs shows.
#[derive(Debug, Default)]
pub struct Look {
    pub sessions: BTreeMap<SessionId, Known>,
    /// What remotes had as rosters when they were last fetched from.
    pub rosters: Vec<ObjectId>,
}

/// All our refs, by session.
pub fn all(store: &Store) -> Result<BTreeMap<SessionId, Known>, Error> {
    Ok(look(store)?.sessions)
}

pub fn look(store: &Store) -> Result<Look, Error> {
    read(store, &["refs/samesession/sessions", "refs/samesession-remote", "refs/samesession-seen"])
}

pub fn of(store: &Store, sid: &SessionId) -> Result<Known, Error> {
    Ok(look_at(store, sid)?.sessions.remove(sid).unwrap_or_default())
}

pub fn look_at(store: &Store, sid: &SessionId) -> Result<Look, Error> {
    let (tracking, seen) = (format!("{}**/sessions/{sid}", names::TRACKING), format!("{}**/sessions/{sid}", names::SEEN));
    let patterns = [names::session(sid), tracking, seen, format!("{}**/roster", names::TRACKING)];
    read(store, &patterns.each_ref().map(String::as_str))
}

/// Refs below these, whatever they are called.
pub fn list(store: &Store, patterns: &[&str]) -> Result<Vec<(String, ObjectId)>, Error> {
    let args: Vec<&str> = ["for-each-ref", "--format=%(objectname) %(refname)"].iter().chain(patterns).copied().collect();
    let named = |line: String| {
        let (id, name) = line.split_once(' ')?;
        Some((name.to_owned(), ObjectId::from_hex(id.as_bytes()).ok()?))
    };
    Ok(store.repo.git.lines(&args)?.into_iter().filter_map(named).collect())
}

fn read(store: &Store, patterns: &[&str]) -> Result<Look, Error> {
    let Look { mut sessions, mut rosters } = Look::default();
    for (name, id) in list(store, patterns)? {
        rosters.extend(names::is_roster_of_a_remote(&name).then_some(id));
        let Some(named) = names::parse(&name) else { continue };
        match named {
            Named::Local(sid) => sessions.entry(sid).or_default().local = Some(id),
            Named::Tracking { remote, sid } => drop(sessions.entry(sid).or_default().tracking.insert(remote, id)),
            Named::Seen { store, sid } => drop(sessions.entry(sid).or_default().seen.insert(store, id)),
        }
    }
    for known in sessions.values_mut() {
        let alone = known.seen.iter().filter(|(store, _)| match store.strip_prefix('@') {
            None => !known.tracking.contains_key(*store),
            Some(_) => *store == names::AGENTS,
        });
        known.left = alone.map(|(_, pin)| *pin).collect();
    }
    Ok(Look { sessions, rosters })
}

/// Several times all or none, in one start of Git. Where something has moved meanwhile Git refuses everything: each set then
/// goes its own way, and one that somebody else was faster with stays as they left it. The next command sees it.
pub fn update_each(store: &Store, why: &str, sets: &[Vec<Change>]) -> Result<(), Error> {
    match update(store, why, &sets.concat()) {
        Err(Error::Moved { .. }) if sets.len() > 1 => sets.iter().try_for_each(|set| update_each(store, why, std::slice::from_ref(set))),
        Err(Error::Moved { .. }) => Ok(()),
        done => done,
    }
}

/// When a ref of ours was moved last, in seconds since 1970 by this machine's clock, as far as its reflog tells.
pub fn moved_at(store: &Store, name: &str) -> Result<Option<u64>, Error> {
    // Where Git keeps reflogs as files the last line is all that is wanted, and Git need not be started for each ref.
    if let Some(at) = end_of(&store.repo.common.join("logs").join(name)).as_deref().and_then(last_entry) {
        return Ok(Some(at));
    }
    let lines = store.repo.git.lines(&["reflog", "show", "-1", "--date=unix", "--format=%gd", name])?;
    let at = |line: &String| line.rsplit_once("@{")?.1.strip_suffix('}')?.parse().ok();
    Ok(lines.first().and_then(at))
}

fn end_of(file: &Path) -> Option<Vec<u8>> {
    let file = File::open(file).ok()?;
    let len = file.metadata().ok()?.len();
    let from = len.saturating_sub(4096);
    let mut end = vec![0; usize::try_from(len - from).ok()?];
    file.read_exact_at(&mut end, from).ok()?;
    Some(end)
}

/// `<old> <new> <who> <seconds> <zone>\t<why>`, by the line that ends last.
fn last_entry(log: &[u8]) -> Option<u64> {
    let end = log.strip_suffix(b"\n")?;
    let line = &end[memchr::memrchr(b'\n', end).map_or(0, |at| at + 1)..];
    let who = &line[..memchr::memchr(b'\t', line)?];
    std::str::from_utf8(who).ok()?.rsplit(' ').nth(1)?.parse().ok()
}

/// All or none. Reflogs are written, so that what an accident removes can be found again.
pub fn update(store: &Store, why: &str, changes: &[Change]) -> Result<(), Error> {
    Update { store, why, begun: None }.run(changes)
}

/// One that is known to come: what it takes to start a program is done while something else is.
pub struct Update<'a> {
    store: &'a Store,
    why: &'a str,
    begun: Option<Begun>,
}

impl<'a> Update<'a> {
    pub fn begin(store: &'a Store, why: &'a str) -> Update<'a> {
        // What is wrong with it is heard from the next one.
        Update { store, why, begun: updating(store).begin(&arguments(why)).ok() }
    }

    pub fn run(mut self, changes: &[Change]) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let script = script(changes, &self.store.repo.hash.null());
        let (git, args) = (updating(self.store), arguments(self.why));
        for attempt in 1.. {
            let out = match self.begun.take() {
                Some(begun) => begun.feed(script.as_bytes())?,
                None => git.output(&args, script.as_bytes())?,
            };
            if out.status.success() {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&out.stderr);
            let moved = ["but expected", "reference already exists", "unable to resolve reference", "reference is missing"];
            if moved.iter().any(|words| said.contains(words)) {
                let name = changes.iter().find(|change| said.contains(&change.name)).unwrap_or(&changes[0]).name.clone();
                return Err(Error::Moved { name });
            }
            let busy = said.contains("Unable to create") && said.contains("exists") || said.contains("cannot lock references");
            if !busy || attempt == ATTEMPTS {
                return Err(failed(&args, &out).into());
            }
            if interrupted() {
                return Err(git::Error::Interrupted.into());
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Whether a ref names one of these, or may: once moving refs has failed, Git may have been ended between two of them.
pub fn may_name(store: &Store, ids: &[ObjectId]) -> bool {
    match store.repo.git.output(&["for-each-ref", "--format=%(objectname)"], b"") {
        Ok(out) if out.status.success() => {
            let named: HashSet<&[u8]> = out.stdout.split(|&byte| byte == b'\n').collect();
            ids.iter().any(|id| named.contains(id.to_string().as_bytes()))
        }
        _ => true,
    }
}

fn updating(store: &Store) -> Git {
    // What hangs in the user's environment for a ref's committer is of no interest here, and may be missing altogether.
    store.repo.git.env("GIT_COMMITTER_NAME", "samesession").env("GIT_COMMITTER_EMAIL", "samesession@localhost")
}

fn arguments(why: &str) -> [&str; 5] {
    ["update-ref", "--create-reflog", "-m", why, "--stdin"]
}

fn script(changes: &[Change], null: &ObjectId) -> String {
    let line = |Change { name, to, from }: &Change| match (to, from.unwrap_or(*null)) {
        (Some(to), from) => format!("update {name} {to} {from}\n"),
        (None, from) => format!("delete {name} {from}\n"),
    };
    changes.iter().map(line).collect()
}

/// Packs our refs where many lie about loose, as Git's own housekeeping would; where Git can tell them apart the user's own
/// stay as they are. With ten thousand sessions a look at one takes Git 19 ms then, and 270 ms before.
pub fn pack(store: &Store) -> Result<(), Error> {
    // Where refs are kept in another format there are no such directories.
    let mut open: Vec<_> = [names::PUBLIC, names::TRACKING, names::SEEN].map(|place| store.repo.common.join(place)).to_vec();
    let mut loose = 0;
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                _ => loose += 1,
            }
        }
        if loose > LOOSE {
            let ours = [names::PUBLIC, names::TRACKING, names::SEEN].map(|place| format!("--include={place}*"));
            return match store.repo.git.run(&["pack-refs", &ours[0], &ours[1], &ours[2]]) {
                // Before 2.43 Git packs all of them or none, as its `gc` does.
                Err(git::Error::Failed { said, .. }) if said.contains("unknown option") => {
                    store.repo.git.run(&["pack-refs", "--all"]).map(drop).map_err(Error::from)
                }
                packed => packed.map(drop).map_err(Error::from),
            };
        }
    }
    Ok(())
}
