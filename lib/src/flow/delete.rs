//! `delete`: a session taken out of this repository, and of a remote.
//!
//! On a remote it is replaced by a commit that says so, not removed: a clone that still has the chain would otherwise bring
//! it back with its next push, and nobody would know. What must stay true: what others made meanwhile is not deleted with it.

use super::Error;
use super::ledger::{Finding, Ledger};
use super::replaced::Replacement;
use super::{agents, remote};
use crate::id::SessionId;
use crate::store::draft::Draft;
use crate::store::names::{self, HERE};
use crate::store::record::{Kind, Pages};
use crate::store::refs::{self, Change, Known};
use crate::store::tree::Read as ReadTree;
use crate::time;

#[derive(Debug, Clone)]
pub struct Deleted {
    pub sid: SessionId,
    pub remote: Option<String>,
    /// Remotes that have it still.
    pub left_on: Vec<String>,
}

pub fn delete(ledger: &Ledger<'_>, sid: &SessionId, from: Option<&str>, findings: &mut Vec<Finding>) -> Result<Deleted, Error> {
    let known;
    if let Some(remote) = from {
        known = remote::newest(ledger, sid, remote, findings)?;
        replace(ledger, sid, &known, remote)?;
    } else {
        known = ledger.sync(sid, findings)?;
        let ours = [(names::session(sid), known.local), (names::seen(HERE, sid), known.seen.get(HERE).copied())];
        let beside = [names::CHOSEN, names::AGENTS].map(|store| (names::seen(store, sid), known.seen.get(store).copied()));
        agents::forget_session(&ledger.store.repo, sid);
        let gone = ours.into_iter().chain(beside).filter(|(_, from)| from.is_some());
        let changes: Vec<Change> = gone.map(|(name, from)| Change { name, to: None, from }).collect();
        refs::update(&ledger.store, "samesession: delete", &changes)?;
    }
    let left_on = known.tracking.keys().filter(|remote| Some(remote.as_str()) != from).cloned().collect();
    Ok(Deleted { sid: sid.clone(), remote: from.map(str::to_owned), left_on })
}

fn replace(ledger: &Ledger<'_>, sid: &SessionId, known: &Known, remote: &str) -> Result<(), Error> {
    let Some(device) = ledger.device else { return Err(Error::NoDevice) };
    let Some(theirs) = known.tracking.get(remote) else { return Err(Error::NotThere { sid: sid.clone(), remote: remote.to_owned() }) };
    let heads = ledger.heads(sid, known)?;
    let [head] = &heads[..] else { return Err(Error::Undecided { sid: sid.clone() }) };
    let tip = ledger.opened(head)?;
    if tip.is_deleted() && head.id() == *theirs {
        return Ok(());
    }
    let mut draft = Draft::again(&tip, &ReadTree::default());
    draft.record.kind = Kind::Deleted;
    draft.record.made = time::format(ledger.env.now());
    draft.record.device = device.name.clone();
    draft.record.summary.title = None;
    (draft.record.summary.bytes, draft.record.summary.files) = (0, 0);
    (draft.record.manifest, draft.record.parts) = (Pages::default(), Pages::default());
    draft.record.dictionaries.clear();
    draft.record.open.clear();
    draft.manifest_signature = None;
    draft.added = Some(0);
    // Nothing but the notice itself has to be opened.
    draft.wraps =
        tip.epochs.wraps().iter().filter(|(name, _)| *name == tip.epoch.id.as_str()).map(|(n, w)| (n.clone(), w.clone())).collect();
    let replacement = Replacement { device, tip: &tip, drafts: vec![(draft, ReadTree::default())], why: "samesession: delete" };
    replacement.put(ledger, sid, known, Some(remote))?;
    Ok(())
}
