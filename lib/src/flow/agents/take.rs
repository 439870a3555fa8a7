//! `git fetch` from the agents: sessions captured as checkpoints, exactly those that Git asks for.
//!
//! Refs that people see are Git's to move; ours is a pin, so that what was captured stays, and a private ref for the time of
//! the fetch, under a name that no fetch before has used.

use std::collections::BTreeMap;

use gix::hash::ObjectId;

use super::memory::{Entry, Memory};
use super::{Entries, Scope, stamp};
use crate::capsule::Manifest;
use crate::device::Device;
use crate::flow::commit::{self, State};
use crate::flow::ledger::Ledger;
use crate::flow::select::Selector;
use crate::flow::source::Source;
use crate::flow::{Error, workspace};
use crate::git::Repository;
use crate::id::SessionId;
use crate::progress::Progress;
use crate::seal::NoCallbacks;
use crate::store::Store;
use crate::store::names;
use crate::store::refs::{self, Change};

/// The checkpoints that hold these sessions, made where there are none. All or an error.
pub fn take(
    ledger: &Ledger<'_>,
    device: &Device,
    scope: &Scope,
    natives: &[(&'static str, String)],
    progress: &dyn Progress,
) -> Result<BTreeMap<SessionId, ObjectId>, Error> {
    let (mut taken, mut learnt) = (BTreeMap::new(), Entries::new());
    let mut all = || {
        for (agent, native) in natives {
            let (sid, tip, entry) = one(ledger, device, scope, (agent, native), progress)?;
            learnt.extend(entry.map(|entry| (sid.to_string(), entry)));
            taken.insert(sid, tip);
        }
        Ok(())
    };
    let done = all();
    // What was captured before one failed need not be captured again.
    Memory::keep(&ledger.store.repo, learnt);
    done.map(|()| taken)
}

fn one(
    ledger: &Ledger<'_>,
    device: &Device,
    scope: &Scope,
    (agent, native): (&'static str, &str),
    progress: &dyn Progress,
) -> Result<(SessionId, ObjectId, Option<Entry>), Error> {
    let source = Source::find(ledger.env, &Selector::Named(native.to_owned()), Some(agent))?;
    let options = workspace::Options { session_only: scope.session_only, ..workspace::Options::default() };
    let mut source = source.with_workspace(ledger.env, &options)?;
    let sid = source.selected.session.sid();
    let stamp = stamp::of_files(&source.selected.session, source.artifacts.iter().map(|(artifact, _)| artifact));
    let asked = commit::Options { as_leased: true, ..commit::Options::default() };
    let done = match commit::beside(ledger, device, &mut source, &asked, &NoCallbacks, progress) {
        Err(Error::Deleted { sid, by, at }) => {
            let tip = refs::of(&ledger.store, &sid)?.local;
            return tip.map(|tip| (sid.clone(), tip, None)).ok_or(Error::Deleted { sid, by, at });
        }
        done => done?,
    };
    // What holds more than stands here is no likeness of it.
    let known = done.state != State::Behind && !done.captured.grew && stamp.is_settled(ledger.env.now());
    let entry = match stamp.digest.filter(|_| known) {
        Some(files) => Some(Entry { agent: agent.to_owned(), files, work: work(ledger, &sid, &done.tip)?, commit: done.tip, given: false }),
        None => None,
    };
    Ok((sid, done.tip, entry))
}

/// What of this checkpoint came from a work tree.
pub fn work(ledger: &Ledger<'_>, sid: &SessionId, tip: &ObjectId) -> Result<Option<String>, Error> {
    let mut opened = ledger.opened(&ledger.checkpoint(sid, tip)?)?;
    let tree = opened.tree(&ledger.store)?;
    let bytes = opened.manifest_bytes(&ledger.store, &tree, ledger.identities)?;
    let manifest = Manifest::of(&bytes, &opened.record.sid, &opened.record.summary.agent)?;
    Ok(stamp::of_manifest(&manifest.files))
}

/// Names the private refs of one fetch. Its process is part of it, so that what a crash left can be told.
pub fn token() -> String {
    format!("{}-{}", std::process::id(), crate::seal::random_hex::<8>())
}

/// Sets the private refs in which Git looks for what it asked for. `known` are those that this fetch has set already.
pub fn publish(
    store: &Store,
    token: &str,
    taken: &BTreeMap<SessionId, ObjectId>,
    known: &mut BTreeMap<SessionId, ObjectId>,
) -> Result<(), Error> {
    let new = taken.iter().filter(|(sid, tip)| known.get(sid) != Some(tip));
    let change =
        |(sid, tip): (&SessionId, &ObjectId)| Change { name: names::import(token, sid), to: Some(*tip), from: known.get(sid).copied() };
    let changes: Vec<Change> = new.map(change).collect();
    refs::update(store, "samesession: fetched from its agent", &changes)?;
    known.extend(taken.iter().map(|(sid, tip)| (sid.clone(), *tip)));
    Ok(())
}

/// Removes the private refs of this fetch, and of those whose process has died.
pub fn tidy(repo: &Repository, token: &str) -> Result<(), Error> {
    let listed = repo.git.lines(&["for-each-ref", "--format=%(refname)", names::IMPORT])?;
    let over = |name: &str| {
        let Some((owner, _)) = name.strip_prefix(names::IMPORT).and_then(|rest| rest.split_once('/')) else { return false };
        let pid = owner.split_once('-').and_then(|(pid, _)| rustix::process::Pid::from_raw(pid.parse().ok()?));
        let dead = |pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH);
        owner == token || pid.is_some_and(dead)
    };
    let script: String = listed.iter().filter(|name| over(name)).map(|name| format!("delete {name}\n")).collect();
    if !script.is_empty() {
        repo.git.feed(&["update-ref", "--stdin"], script.as_bytes())?;
    }
    Ok(())
}
