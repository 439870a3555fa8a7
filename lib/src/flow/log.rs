//! `log`: the checkpoints of a session, newest first, with every way that it went.
//!
//! Reads only as much of a chain as is asked for. What must stay true: a checkpoint comes before all that it was built
//! upon, and where the chain ends here it is said why.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use gix::hash::ObjectId;

use super::glance::Glance;
use super::ledger::Ledger;
use super::named::Named;
use super::{Error, Way};
use crate::id::SessionId;
use crate::store::refs::{self, Known};
use crate::store::unfold::Checkpoint;
use crate::store::{self, chain};

pub struct Outcome {
    pub sid: SessionId,
    pub entries: Vec<Entry>,
    /// There is more than was asked for.
    pub more: bool,
    /// Where the session went several ways, all of them.
    pub ways: Vec<Way>,
}

pub struct Entry {
    pub commit: ObjectId,
    pub glance: Glance,
    pub signer_name: Option<String>,
    /// Whose tip it is: `here`, or a remote's name.
    pub at: Vec<String>,
    /// The ways that go through it, by their places in the outcome's.
    pub ways: BTreeSet<usize>,
    /// What it was built upon and cannot be shown, with the reason.
    pub ends: Vec<(ObjectId, String)>,
}

/// Greatest sequence first: nothing is of a higher one than what was built upon it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    sequence: u64,
    made: Option<String>,
    commit: ObjectId,
    /// The tip from which it was reached, which lends its keys.
    tip: usize,
}

pub fn log(ledger: &Ledger<'_>, named: &Named, most: usize) -> Result<Outcome, Error> {
    let (tips, known) = tips(ledger, named)?;
    let ways = ways(ledger, &tips);
    let mut through: BTreeMap<ObjectId, BTreeSet<usize>> = BTreeMap::new();
    for (n, way) in ways.iter().enumerate() {
        through.entry(way.commit).or_default().insert(n);
    }
    let mut glances: BTreeMap<ObjectId, Glance> = BTreeMap::new();
    let mut next = BinaryHeap::new();
    for (tip, checkpoint) in tips.iter().enumerate() {
        let glance = Glance::of(ledger, &named.sid, &checkpoint.id(), None)?;
        next.push(Next::of(checkpoint.id(), &glance, tip));
        glances.insert(checkpoint.id(), glance);
    }
    let mut outcome = Outcome { sid: named.sid.clone(), entries: Vec::new(), more: false, ways };
    let mut shown = BTreeSet::new();
    while let Some(Next { commit, tip, .. }) = next.pop() {
        let Some(glance) = glances.get(&commit).filter(|_| shown.insert(commit)).cloned() else { continue };
        if outcome.entries.len() == most {
            outcome.more = true;
            break;
        }
        let mine = through.remove(&commit).unwrap_or_default();
        let mut ends = Vec::new();
        for parent in glance.parents.iter().filter_map(|id| ObjectId::from_hex(id.as_bytes()).ok()) {
            // A way that is still open beside this one is another way.
            if !glance.inside.as_ref().is_ok_and(|inside| inside.open.contains(&parent.to_string())) {
                through.entry(parent).or_default().extend(&mine);
            }
            if glances.contains_key(&parent) {
                continue;
            }
            match Glance::of(ledger, &named.sid, &parent, Some(&tips[tip])) {
                Ok(glance) => {
                    next.push(Next::of(parent, &glance, tip));
                    glances.insert(parent, glance);
                }
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(Error::Store(store::Error::Missing(_))) => ends.push((parent, "it is not in this repository".to_owned())),
                Err(error) => ends.push((parent, error.to_string())),
            }
        }
        let signer_name = ledger.name_of(&glance.signer()).map(str::to_owned);
        outcome.entries.push(Entry { commit, glance, signer_name, at: at(&known, &commit), ways: mine, ends });
    }
    Ok(outcome)
}

impl Next {
    fn of(commit: ObjectId, glance: &Glance, tip: usize) -> Next {
        let made = glance.inside.as_ref().ok().map(|inside| inside.made.clone());
        Next { sequence: glance.sequence, made, commit, tip }
    }
}

/// The newest checkpoints of what was named, newest first, and all refs of it. They may be anybody's: that is shown.
pub(super) fn tips(ledger: &Ledger<'_>, named: &Named) -> Result<(Vec<Checkpoint>, Known), Error> {
    let mut known = named.known.clone();
    if known.local.is_none() && known.tracking.is_empty() {
        known = refs::of(&ledger.store, &named.sid)?;
    }
    if let Some(exactly) = &named.exactly {
        return Ok((vec![exactly.clone()], known));
    }
    let ids: Vec<ObjectId> = known.local.iter().chain(known.tracking.values()).copied().collect();
    let (mut tips, mut refused) = (Vec::new(), None);
    for id in chain::heads(&ledger.store, &ids)? {
        match ledger.anybodys(&named.sid, &id) {
            Ok(tip) => tips.push(tip),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    if tips.is_empty() {
        return Err(refused.unwrap_or_else(|| Error::NoSuchSession(named.sid.to_string())));
    }
    let mut tips = ledger.without_replaced(tips)?;
    tips.sort_by_key(|tip| std::cmp::Reverse(tip.header.sequence));
    Ok((tips, known))
}

/// All ways that lead from here, if they are several; the first is that of the first tip.
pub(super) fn ways(ledger: &Ledger<'_>, tips: &[Checkpoint]) -> Vec<Way> {
    let mut ways: Vec<Way> = Vec::new();
    for tip in tips {
        let mut open = vec![tip.id()];
        while let Some(id) = open.pop() {
            if ways.iter().any(|way| way.commit == id) {
                continue;
            }
            let inside = Glance::of(ledger, &tip.sid, &id, Some(tip)).ok().and_then(|glance| glance.inside.ok());
            if let Some(inside) = inside.as_ref().filter(|_| id == tip.id()) {
                open.extend(inside.open.iter().rev().filter_map(|id| ObjectId::from_hex(id.as_bytes()).ok()));
            }
            ways.push(Way {
                commit: id,
                device: inside.as_ref().map(|inside| inside.summary.device.clone()).unwrap_or_default(),
                made: inside.as_ref().map(|inside| inside.made.clone()).unwrap_or_default(),
                bytes: inside.as_ref().map_or(0, |inside| inside.summary.bytes),
                prompt: inside.as_ref().and_then(|inside| inside.summary.prompt.clone()),
                title: inside.and_then(|inside| inside.summary.title),
            });
        }
    }
    if ways.len() > 1 { ways } else { Vec::new() }
}

/// Where a commit is the tip.
pub(super) fn at(known: &Known, commit: &ObjectId) -> Vec<String> {
    let here = known.local.filter(|tip| tip == commit).map(|_| "here".to_owned());
    let remotes = known.tracking.iter().filter(|(_, tip)| *tip == commit).map(|(remote, _)| remote.clone());
    here.into_iter().chain(remotes).collect()
}
