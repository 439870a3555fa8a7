//! A repository as this device uses it: its chains, whom it believes, and the keys that open them.
//!
//! Refs from a remote are a stranger's word: what is not a checkpoint of that session, signed by somebody known here, is
//! reported and otherwise passed by. What must stay true: nothing that this device has seen and believed is forgotten
//! because a remote says so, and a chain here moves only forward.

use std::collections::{BTreeMap, HashSet};

use gix::hash::ObjectId;

use super::{Error, replaced};
use crate::device::Device;
use crate::env::Env;
use crate::git::Repository;
use crate::id::SessionId;
use crate::seal::{Identities, Signer};
use crate::signers::KnownSigners;
use crate::store::names::{self, HERE};
use crate::store::refs::{self, Change, Known};
use crate::store::unfold::{Checkpoint, Opened};
use crate::store::{self, Store, chain};

/// What reflogs say of a ref that was brought up to date.
const FOLLOW: &str = "samesession: follow what was fetched";

pub struct Ledger<'a> {
    pub env: &'a Env,
    pub store: Store,
    pub identities: &'a Identities,
    pub device: Option<&'a Device>,
    known: KnownSigners,
    /// Fingerprints that are believed for this once.
    pub trust: Vec<String>,
}

/// Something about a ref that a person should know.
#[derive(Debug, Clone)]
pub enum Finding {
    /// It is not what its name says.
    Ignored { name: String, why: String },
    /// Nobody here knows who made it.
    Unknown { name: String, checkpoint: Box<Checkpoint> },
    /// A remote shows less than it showed before.
    Rewound { remote: String, sid: SessionId, seen: ObjectId, now: ObjectId },
    /// A chain that was here is here again.
    BroughtBack { sid: SessionId, tip: ObjectId },
}

impl Finding {
    pub fn unknown(&self) -> Option<(&SessionId, &Checkpoint)> {
        match self {
            Finding::Unknown { checkpoint, .. } => Some((&checkpoint.sid, checkpoint)),
            _ => None,
        }
    }
}

impl<'a> Ledger<'a> {
    /// The repository around the working directory.
    pub fn open(env: &'a Env, device: Option<&'a Device>, identities: &'a Identities) -> Result<Ledger<'a>, Error> {
        Ledger::of(env, Repository::open(env, env.cwd())?, device, identities)
    }

    pub fn of(env: &'a Env, repo: Repository, device: Option<&'a Device>, identities: &'a Identities) -> Result<Ledger<'a>, Error> {
        Ok(Ledger { env, store: Store::open(repo)?, identities, device, known: KnownSigners::load(env)?, trust: Vec::new() })
    }

    pub fn believes(&self, signer: &Signer) -> bool {
        self.trust.contains(&signer.fingerprint) || self.name_of(signer).is_some()
    }

    /// The name under which this signer is known here.
    pub fn name_of(&self, signer: &Signer) -> Option<&str> {
        let own = self.device.is_some_and(|device| device.signing().fingerprint() == signer.fingerprint);
        if own { Some("this device") } else { self.known.name_of(signer) }
    }

    /// The checkpoint at this commit, if it is one of this session by somebody we believe.
    pub fn checkpoint(&self, sid: &SessionId, id: &ObjectId) -> Result<Checkpoint, Error> {
        let checkpoint = self.anybodys(sid, id)?;
        if !self.believes(&checkpoint.signer) {
            return Err(Error::UnknownMaker { checkpoint: Box::new(checkpoint) });
        }
        Ok(checkpoint)
    }

    /// The same whoever signed it: for whoever shows it and says who that was.
    pub fn anybodys(&self, sid: &SessionId, id: &ObjectId) -> Result<Checkpoint, Error> {
        let checkpoint = Checkpoint::read(&self.store, id)?;
        if checkpoint.sid != *sid {
            let why = format!("it belongs to session {}", checkpoint.sid.short());
            return Err(store::Error::NotACheckpoint { what: id.to_string(), why }.into());
        }
        Ok(checkpoint)
    }

    pub fn opened(&self, checkpoint: &Checkpoint) -> Result<Opened, Error> {
        Ok(checkpoint.open(&self.store, self.identities, None)?)
    }

    /// Brings one session's refs up to date with what is known of remotes; returns how they are then.
    pub fn sync(&self, sid: &SessionId, findings: &mut Vec<Finding>) -> Result<Known, Error> {
        let before = refs::of(&self.store, sid)?;
        let after = self.follow(sid, before.clone(), findings)?;
        self.write_back(&moves(sid, &before, &after))?;
        Ok(after)
    }

    /// The same for whoever is about to go on from what this remote has: that it cannot be believed stops them.
    pub fn sync_with(&self, sid: &SessionId, remote: &str, findings: &mut Vec<Finding>) -> Result<Known, Error> {
        let mut found = Vec::new();
        let known = self.sync(sid, &mut found)?;
        let name = names::tracking(remote, sid);
        for finding in found {
            match finding {
                Finding::Unknown { name: of, checkpoint } if of == name => return Err(Error::UnknownMaker { checkpoint }),
                Finding::Ignored { name: of, why } if of == name => return Err(Error::Theirs { name, why }),
                other => findings.push(other),
            }
        }
        Ok(known)
    }

    pub fn sync_all(&self, findings: &mut Vec<Finding>) -> Result<BTreeMap<SessionId, Known>, Error> {
        self.sync_these(refs::all(&self.store)?, findings)
    }

    /// As `sync`, for many. One that cannot be followed is reported and stays as it is, in nobody's way.
    pub(super) fn sync_these(
        &self,
        mut all: BTreeMap<SessionId, Known>,
        findings: &mut Vec<Finding>,
    ) -> Result<BTreeMap<SessionId, Known>, Error> {
        let tips = all.values().flat_map(|known| known.local.iter().chain(known.tracking.values()));
        if let Err(error) = Checkpoint::bring(&self.store, tips) {
            findings.push(Finding::Ignored { name: names::TRACKING.to_owned(), why: error.to_string() });
        }
        let mut changes = Vec::new();
        for (sid, known) in &mut all {
            match self.follow(sid, known.clone(), findings) {
                Ok(after) => {
                    let moves = moves(sid, known, &after);
                    changes.extend((!moves.is_empty()).then_some(moves));
                    *known = after;
                }
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => findings.push(Finding::Ignored { name: names::session(sid), why: error.to_string() }),
            }
        }
        // In one start of Git. Where one ref has moved meanwhile, all are refused, and each goes its own way.
        match refs::update(&self.store, FOLLOW, &changes.concat()) {
            Err(store::Error::Moved { .. }) => changes.iter().try_for_each(|moves| self.write_back(moves))?,
            done => done?,
        }
        Ok(all)
    }

    fn follow(&self, sid: &SessionId, mut known: Known, findings: &mut Vec<Finding>) -> Result<Known, Error> {
        // `@here` follows our own ref, and brings it back where it vanished without `delete`.
        if known.local.is_none()
            && let Some(tip) = known.seen.get(HERE).copied()
            && self.store.has(&tip)
        {
            known.local = Some(tip);
            findings.push(Finding::BroughtBack { sid: sid.clone(), tip });
        }
        for (remote, tip) in known.tracking.clone() {
            let pin = known.seen.get(&remote).copied();
            // What was verified when it was pinned, and stands in our own chain, has nothing new to say.
            if pin == Some(tip) && self.holds(known.local, &tip)? {
                continue;
            }
            let theirs = match self.checkpoint(sid, &tip) {
                Ok(theirs) => theirs,
                Err(error) => {
                    let name = names::tracking(&remote, sid);
                    known.tracking.remove(&remote);
                    findings.push(match error {
                        Error::UnknownMaker { checkpoint } => Finding::Unknown { name, checkpoint },
                        error => Finding::Ignored { name, why: error.to_string() },
                    });
                    continue;
                }
            };
            match pin {
                Some(seen) if seen != tip && !self.follows(&theirs, &seen)? => {
                    findings.push(Finding::Rewound { remote: remote.clone(), sid: sid.clone(), seen, now: tip });
                }
                _ => drop(known.seen.insert(remote, tip)),
            }
            if let Some(local) = known.local.filter(|local| *local != tip) {
                if self.follows(&theirs, &local)? {
                    known.local = Some(tip);
                } else if let Some(carried) = replaced::carry(self, &theirs, &local)? {
                    known.local = Some(carried);
                }
            }
        }
        if let Some(local) = known.local {
            known.seen.insert(HERE.to_owned(), local);
        }
        Ok(known)
    }

    /// Whether a chain of ours, if there is one, leads to this tip.
    fn holds(&self, local: Option<ObjectId>, tip: &ObjectId) -> Result<bool, Error> {
        Ok(match local {
            Some(local) => chain::descends(&self.store, &local, tip)?,
            None => true,
        })
    }

    fn write_back(&self, changes: &[Change]) -> Result<(), Error> {
        match refs::update(&self.store, FOLLOW, changes) {
            // Somebody else has just done the same, or more; the next command sees it.
            Err(store::Error::Moved { .. }) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Whether going from `old` to this checkpoint loses nothing: it descends from it, or stands in for it.
    pub fn follows(&self, new: &Checkpoint, old: &ObjectId) -> Result<bool, Error> {
        if let Ok(before) = Checkpoint::read(&self.store, old)
            && before.header.sequence >= new.header.sequence
        {
            return Ok(false);
        }
        if chain::descends(&self.store, &new.id(), old)? {
            return Ok(true);
        }
        Ok(replaced::by(self, new)?.is_some_and(|replaced| replaced.contains(old)))
    }

    /// The tips that no other known tip descends from: one, where nothing went two ways.
    pub fn heads(&self, sid: &SessionId, known: &Known) -> Result<Vec<Checkpoint>, Error> {
        let tips: Vec<ObjectId> = known.local.iter().chain(known.tracking.values()).copied().collect();
        let mut heads = Vec::new();
        for id in chain::heads(&self.store, &tips)? {
            heads.push(self.checkpoint(sid, &id)?);
        }
        self.without_replaced(heads)
    }

    /// What another one stands in for is no head of its own.
    pub(super) fn without_replaced(&self, mut heads: Vec<Checkpoint>) -> Result<Vec<Checkpoint>, Error> {
        if heads.len() > 1 {
            let mut replaced = HashSet::new();
            for head in &heads {
                replaced.extend(replaced::by(self, head)?.unwrap_or_default());
            }
            heads.retain(|head| !replaced.contains(&head.id()));
        }
        Ok(heads)
    }
}

fn moves(sid: &SessionId, before: &Known, after: &Known) -> Vec<Change> {
    let mut changes = Vec::new();
    if before.local != after.local {
        changes.push(Change { name: names::session(sid), to: after.local, from: before.local });
        // What is brought back must be pinned still: it may be that somebody is deleting both right now.
        let pin = before.seen.get(HERE).copied().filter(|_| before.local.is_none());
        changes.extend(pin.filter(|pin| after.seen.get(HERE) == Some(pin)).map(|pin| Change {
            name: names::seen(HERE, sid),
            to: Some(pin),
            from: Some(pin),
        }));
    }
    for (store, tip) in &after.seen {
        let from = before.seen.get(store).copied();
        if from != Some(*tip) {
            changes.push(Change { name: names::seen(store, sid), to: Some(*tip), from });
        }
    }
    changes
}
