//! `list`: every session of the repository, here or last seen on a remote, newest first; where sessions come on demand,
//! also those that the store has, by their newest checkpoints alone.
//!
//! Shows what strangers may have written. What must stay true: one ref that is nonsense, or nobody's that we know, stands
//! in no other's way, and nothing of a stranger's text is shown before its signer is believed.

use std::collections::{BTreeMap, HashSet};

use gix::hash::ObjectId;

use super::glance::{Glance, Glances};
use super::ledger::{Finding, Ledger};
use super::on_demand;
use super::{Error, lease, remotes};
use crate::id::SessionId;
use crate::lease::{Lease, Standing};
use crate::store::refs::Known;
use crate::store::unfold::Checkpoint;
use crate::store::{chain, names};

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only what this remote has, as last fetched.
    pub remote: Option<String>,
    /// Deleted sessions, too.
    pub all: bool,
    /// Nobody is asked, not even where sessions come on demand.
    pub offline: bool,
}

#[derive(Debug, Default)]
pub struct Outcome {
    pub sessions: Vec<Listed>,
    pub findings: Vec<Finding>,
}

/// One session by its newest checkpoint.
#[derive(Debug, Clone)]
pub struct Listed {
    pub sid: SessionId,
    pub commit: ObjectId,
    pub newest: Glance,
    /// By which name its signer is known; without one nothing of what it says is to be believed.
    pub signer_name: Option<String>,
    pub local: Option<ObjectId>,
    pub remotes: Vec<Remote>,
    /// Where the session went several ways, all of them, this one included.
    pub ways: Vec<ObjectId>,
    pub deleted: bool,
    /// Who drives it, by the newest that is known, and what that means to this device.
    pub lease: Option<Lease>,
    pub standing: Standing,
}

/// What a remote had when it was last fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    pub name: String,
    pub commit: ObjectId,
    pub state: State,
}

/// How a remote's tip stands to ours or, where we have none, to the newest there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Same,
    /// The remote lacks something.
    Behind,
    /// It has more.
    Ahead,
    Diverged,
}

pub fn list(ledger: &Ledger<'_>, options: &Options) -> Result<Outcome, Error> {
    let before = ledger.all()?;
    let mut findings = Vec::new();
    let heads = match options.offline {
        true => None,
        false => on_demand::heads(ledger, options.remote.as_deref(), &mut findings)?,
    };
    if let Some(remote) = &options.remote
        && !before.values().any(|known| known.tracking.contains_key(remote))
    {
        remotes::store(&ledger.store.repo, Some(remote))?;
    }
    let mut after = ledger.sync_these(before.clone(), &mut findings)?;
    // Of refs that were passed by more can be said here.
    findings.retain(|finding| !matches!(finding, Finding::Ignored { .. } | Finding::Unknown { .. }));
    for (sid, known) in &mut after {
        known.local = known.local.or(before.get(sid).and_then(|before| before.local));
    }
    for sid in heads.iter().flat_map(|heads| heads.tips.keys()) {
        after.entry(sid.clone()).or_default();
    }
    let glances = Glances::load(ledger, heads.as_ref().map(|heads| &heads.ledger));
    let mut list = List { ledger, glances, outcome: Outcome { findings, ..Outcome::default() } };
    for (sid, known) in &after {
        let mut fetched = before.get(sid).map(|known| known.tracking.clone()).unwrap_or_default();
        if let Some((heads, tip)) = heads.as_ref().and_then(|heads| Some((heads, heads.tips.get(sid)?))) {
            heads.add_to(&mut fetched, tip);
        }
        if options.remote.as_ref().is_some_and(|remote| !fetched.contains_key(remote)) {
            continue;
        }
        match list.session(sid, known, &fetched) {
            Ok(listed) => list.outcome.sessions.extend(listed.filter(|listed| options.all || !listed.deleted)),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => list.outcome.findings.push(Finding::Ignored { name: names::session(sid), why: error.to_string() }),
        }
    }
    let tips = after.values().chain(before.values()).flat_map(|known| known.local.iter().chain(known.tracking.values()));
    let tips = tips.chain(heads.iter().flat_map(|heads| heads.tips.values()));
    let tips: HashSet<String> = tips.map(ToString::to_string).collect();
    list.glances.keep(|id| tips.contains(id));
    let mut outcome = list.outcome;
    let when = |listed: &Listed| listed.when().map(str::to_owned);
    outcome.sessions.sort_by(|a, b| when(b).cmp(&when(a)).then_with(|| a.sid.cmp(&b.sid)));
    Ok(outcome)
}

impl Listed {
    /// When the session's files were captured or, of a deleted one, when it was deleted; not known of what is not opened.
    pub fn when(&self) -> Option<&str> {
        let inside = self.newest.inside.as_ref().ok().filter(|_| self.signer_name.is_some())?;
        Some(if self.deleted { &inside.made } else { &inside.summary.created })
    }
}

struct List<'a> {
    ledger: &'a Ledger<'a>,
    glances: Glances<'a>,
    outcome: Outcome,
}

/// A tip that is what its name says, and where it stands.
struct Tip {
    id: ObjectId,
    glance: Glance,
    believed: bool,
    name: String,
}

impl List<'_> {
    /// `fetched` are all tracking refs, those that nobody believes included.
    fn session(&mut self, sid: &SessionId, known: &Known, fetched: &BTreeMap<String, ObjectId>) -> Result<Option<Listed>, Error> {
        let mut tips: Vec<Tip> = Vec::new();
        let local = known.local.map(|id| (names::session(sid), id));
        let remote = fetched.iter().map(|(remote, id)| (names::tracking(remote, sid), *id));
        for (name, id) in local.into_iter().chain(remote) {
            if tips.iter().any(|tip| tip.id == id) {
                continue;
            }
            match self.glances.of(sid, &id) {
                Ok(glance) => tips.push(Tip { believed: self.ledger.believes(&glance.signer()), id, glance, name }),
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => self.outcome.findings.push(Finding::Ignored { name, why: error.to_string() }),
            }
        }
        // What a stranger says of a session that we know from others is a remark; where only strangers speak it is a row.
        if tips.iter().any(|tip| tip.believed) {
            for Tip { id, glance, name, .. } in tips.extract_if(.., |tip| !tip.believed) {
                let why = format!("{id} is signed by a key that this device does not know, {}", glance.signer());
                self.outcome.findings.push(Finding::Ignored { name, why });
            }
        }
        let mut heads = Vec::new();
        for (n, tip) in tips.iter().enumerate() {
            let mut covered = false;
            for other in tips.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, other)| other) {
                covered |= self.leads(other, tip)?;
            }
            heads.extend((!covered).then_some(tip));
        }
        let made = |tip: &Tip| tip.glance.inside.as_ref().ok().map(|inside| inside.made.clone());
        heads.sort_by_key(|tip| std::cmp::Reverse((!tip.glance.is_deleted(), tip.glance.sequence, made(tip))));
        let Some(&newest) = heads.first() else { return Ok(None) };
        let base = tips.iter().find(|tip| known.local == Some(tip.id)).unwrap_or(newest);
        let mut remotes = Vec::new();
        for (remote, id) in fetched {
            if let Some(tip) = tips.iter().find(|tip| tip.id == *id) {
                remotes.push(Remote { name: remote.clone(), commit: *id, state: self.state(base, tip)? });
            }
        }
        let mut ways: Vec<ObjectId> = heads.iter().map(|tip| tip.id).collect();
        let open = heads.iter().filter_map(|tip| tip.glance.inside.as_ref().ok()).flat_map(|inside| &inside.open);
        ways.extend(open.filter_map(|id| ObjectId::from_hex(id.as_bytes()).ok()));
        ways.dedup();
        let ours = |tip: &&&Tip| known.local == Some(tip.id);
        let leases = heads.iter().filter(ours).chain(heads.iter().filter(|tip| !ours(tip))).filter(|tip| tip.believed);
        let lease = leases.map(|tip| tip.glance.inside.as_ref().ok()?.lease.as_ref()).reduce(Lease::newer).flatten().cloned();
        let standing = match &lease {
            Some(lease) => lease::standing(self.ledger, sid, known, lease)?,
            None => Standing::Free,
        };
        Ok(Some(Listed {
            lease,
            standing,
            sid: sid.clone(),
            commit: newest.id,
            signer_name: self.ledger.name_of(&newest.glance.signer()).map(str::to_owned),
            local: known.local.filter(|id| tips.iter().any(|tip| tip.id == *id)),
            remotes,
            ways: if ways.len() > 1 { ways } else { Vec::new() },
            deleted: newest.glance.is_deleted(),
            newest: newest.glance.clone(),
        }))
    }

    fn state(&self, base: &Tip, tip: &Tip) -> Result<State, Error> {
        Ok(match () {
            () if base.id == tip.id => State::Same,
            () if self.leads(base, tip)? => State::Behind,
            () if self.leads(tip, base)? => State::Ahead,
            () => State::Diverged,
        })
    }

    /// Whether one checkpoint has the other behind it. Commits are read only where what is remembered does not tell.
    fn leads(&self, new: &Tip, old: &Tip) -> Result<bool, Error> {
        if new.glance.sequence <= old.glance.sequence {
            return Ok(false);
        }
        if new.glance.parents.contains(&old.id.to_string()) {
            return Ok(true);
        }
        // Of what stands alone, elsewhere, no more can be known than that it is a later one.
        if self.glances.elsewhere(&new.id).is_some() {
            return Ok(true);
        }
        let leads = chain::descends(&self.ledger.store, &new.id, &old.id).map_err(Error::from);
        match leads {
            // What stands in for a longer chain leads there, too.
            Ok(false) => match Checkpoint::read(&self.ledger.store, &new.id) {
                Ok(new) => self.ledger.follows(&new, &old.id),
                Err(_) => Ok(false),
            },
            leads => leads,
        }
    }
}
