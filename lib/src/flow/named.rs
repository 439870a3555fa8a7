//! Which chain or checkpoint of this repository is meant: a sid or its prefix, the agent's id, `current`, `latest`, or any
//! Git revision that names a checkpoint.

use std::collections::BTreeMap;

use gix::hash::ObjectId;

use super::ledger::{Finding, Ledger};
use super::select::{self, Selector};
use super::{Candidate, Error, on_demand};
use crate::agent;
use crate::id::{NativeId, SessionId};
use crate::store::unfold::Checkpoint;
use crate::store::{self, refs::Known};

/// What somebody named.
pub struct Named {
    pub sid: SessionId,
    pub known: Known,
    /// The one checkpoint that was named; without it the session is meant, with all its tips.
    pub exactly: Option<Checkpoint>,
}

/// All chains are brought up to date on the way; what is to be said of them is added to `findings`. Where sessions come on
/// demand, the one that is meant is brought as the store has it.
pub fn resolve(ledger: &Ledger<'_>, what: &str, findings: &mut Vec<Finding>) -> Result<Named, Error> {
    let mut all = ledger.sync_all(findings)?;
    let far = on_demand::ask(ledger, findings)?;
    for sid in far.keys() {
        all.entry(sid.clone()).or_default();
    }
    let bring = |sid: &SessionId, all: &mut BTreeMap<SessionId, Known>, findings: &mut Vec<Finding>| match far.get(sid) {
        Some(tip) => on_demand::bring(ledger, sid, tip, findings).map(|known| drop(all.insert(sid.clone(), known))),
        None => Ok(()),
    };
    let mut sids = match what {
        "current" => current(ledger, &all)?,
        "latest" => {
            let there = if far.is_empty() { Vec::new() } else { on_demand::readable(ledger, findings)? };
            if let Some((sid, _)) = there.iter().max_by_key(|(sid, inside)| (&inside.made, sid)) {
                bring(sid, &mut all, findings)?;
            }
            latest(ledger, &all)?
        }
        _ => matching(&all, what),
    };
    if sids.is_empty() {
        for sid in behind(&all, &far, what) {
            bring(&sid, &mut all, findings)?;
        }
        // Before the agents' ids, for which every chain has to be opened: commits are what our own answers say to type.
        let none = match revision(ledger, &all, what) {
            Err(none @ (Error::NoSuchSession(_) | Error::Store(store::Error::NotACheckpoint { .. }))) => none,
            found => return found,
        };
        sids = native(ledger, &all, what);
        if !far.is_empty() && looks_native(what) {
            let there = on_demand::readable(ledger, findings)?.into_iter();
            sids.extend(there.filter(|(_, inside)| inside.summary.native_id.starts_with(what)).map(|(sid, _)| sid));
            sids.sort();
            sids.dedup();
        }
        if sids.is_empty() {
            return Err(none);
        }
    }
    if let [sid] = &sids[..] {
        bring(sid, &mut all, findings)?;
    }
    match &sids[..] {
        [sid] => Ok(Named { known: all.get(sid).cloned().unwrap_or_default(), sid: sid.clone(), exactly: None }),
        several => {
            Err(Error::Ambiguous { what: what.to_owned(), candidates: several.iter().map(|sid| candidate(ledger, sid, &all)).collect() })
        }
    }
}

fn matching(all: &BTreeMap<SessionId, Known>, what: &str) -> Vec<SessionId> {
    let exact =
        NativeId::parse(what).into_iter().flat_map(|native| agent::all().iter().map(move |agent| SessionId::derive(agent.name(), &native)));
    let exact: Vec<SessionId> = exact.filter(|sid| all.contains_key(sid)).collect();
    if !exact.is_empty() {
        return exact;
    }
    // Shorter ones match half of everything, and look like names of branches.
    all.keys().filter(|sid| what.len() >= 4 && sid.as_str().starts_with(what)).cloned().collect()
}

/// Those of the store's sessions that a revision begins with: a sid's beginning, or that of the newest checkpoint's commit.
fn behind(all: &BTreeMap<SessionId, Known>, far: &BTreeMap<SessionId, ObjectId>, what: &str) -> Vec<SessionId> {
    let head = &what[..what.find(['~', '^', '@']).unwrap_or(what.len())];
    match &matching(all, head)[..] {
        [sid] => vec![sid.clone()],
        _ if head.len() < 4 => Vec::new(),
        _ => far.iter().filter(|(_, tip)| tip.to_string().starts_with(head)).map(|(sid, _)| sid.clone()).collect(),
    }
}

fn looks_native(what: &str) -> bool {
    what.len() >= 4 && what.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// By the beginning of the agent's id, which only those can see who can open a chain.
fn native(ledger: &Ledger<'_>, all: &BTreeMap<SessionId, Known>, what: &str) -> Vec<SessionId> {
    if !looks_native(what) {
        return Vec::new();
    }
    let fits = |(sid, known): &(&SessionId, &Known)| {
        let heads = ledger.heads(sid, known).unwrap_or_default();
        let mut opened = heads.iter().filter_map(|head| ledger.opened(head).ok());
        opened.any(|opened| opened.record.summary.native_id.starts_with(what))
    };
    all.iter().filter(fits).map(|(sid, _)| sid.clone()).collect()
}

fn current(ledger: &Ledger<'_>, all: &BTreeMap<SessionId, Known>) -> Result<Vec<SessionId>, Error> {
    let sid = select::select(ledger.env, &Selector::Current, None)?.session.sid();
    Ok(all.contains_key(&sid).then_some(sid).into_iter().collect())
}

/// The one whose newest checkpoint was made last, of those that this device can read.
fn latest(ledger: &Ledger<'_>, all: &BTreeMap<SessionId, Known>) -> Result<Vec<SessionId>, Error> {
    let mut newest: Option<(String, SessionId)> = None;
    for (sid, known) in all {
        for head in ledger.heads(sid, known).unwrap_or_default() {
            let Ok(opened) = ledger.opened(&head) else { continue };
            let this = (opened.record.made.clone(), sid.clone());
            if !opened.is_deleted() && newest.as_ref().is_none_or(|newest| *newest < this) {
                newest = Some(this);
            }
        }
    }
    Ok(newest.into_iter().map(|(_, sid)| sid).collect())
}

/// `<sid prefix>~2`, an object id, a ref: whatever Git makes of it.
fn revision(ledger: &Ledger<'_>, all: &BTreeMap<SessionId, Known>, what: &str) -> Result<Named, Error> {
    let no_such = || Error::NoSuchSession(what.chars().take(80).collect());
    let (head, tail) = what.split_at(what.find(['~', '^', '@']).unwrap_or(what.len()));
    let spelled = match &matching(all, head)[..] {
        [sid] if !tail.is_empty() => {
            let known = all.get(sid).cloned().unwrap_or_default();
            let tip = known.local.or_else(|| known.tracking.values().next().copied()).ok_or_else(no_such)?;
            format!("{tip}{tail}")
        }
        _ => what.to_owned(),
    };
    let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{spelled}^{{commit}}")];
    let out = ledger.store.repo.git.output(&args, b"")?;
    let id = ObjectId::from_hex(out.stdout.trim_ascii()).map_err(|_| no_such())?;
    let found = Checkpoint::read(&ledger.store, &id)?;
    let checkpoint = ledger.checkpoint(&found.sid, &id)?;
    Ok(Named { known: all.get(&found.sid).cloned().unwrap_or_default(), sid: found.sid, exactly: Some(checkpoint) })
}

fn candidate(ledger: &Ledger<'_>, sid: &SessionId, all: &BTreeMap<SessionId, Known>) -> Candidate {
    let head = all.get(sid).and_then(|known| ledger.heads(sid, known).ok()?.into_iter().next());
    let summary = head.and_then(|head| Some(ledger.opened(&head).ok()?.record.summary)).unwrap_or_default();
    let agent = agent::by_name(&summary.agent).map_or("session", |agent| agent.name());
    Candidate { agent, native: sid.to_string(), title: summary.title }
}
