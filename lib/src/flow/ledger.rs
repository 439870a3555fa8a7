//! A repository as this device uses it: its chains, whom it believes, and the keys that open them.
//!
//! Refs from a remote are a stranger's word: what is not a checkpoint of that session, signed by somebody known here, is
//! reported and otherwise passed by. What must stay true: nothing that this device has seen and believed is forgotten
//! because a remote says so, and a chain here moves only forward.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};

use gix::hash::ObjectId;

use super::on_demand::Far;
use super::required::Required;
use super::roster::{self, Followed, Joined};
use super::{Error, keys, replaced, with_causes};
use crate::device::Device;
use crate::env::Env;
use crate::git::Repository;
use crate::id::SessionId;
use crate::lease::Me;
use crate::roster::Roster;
use crate::seal::{self, Identities, Signer};
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
    /// Those of the identities that open without asking anybody.
    silent: Identities,
    known: KnownSigners,
    /// The roster that this device has joined.
    joined: Option<Followed>,
    /// Whose signature is asked for here.
    pub required: Required,
    /// Fingerprints that are believed for this once.
    pub trust: Vec<String>,
    /// What the store's remote said when it was asked, once in a command.
    pub(super) far: OnceCell<Far>,
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
    /// A remote was to be asked and did not answer.
    Unasked { remote: String, why: String },
    /// A chain that was here is here again.
    BroughtBack { sid: SessionId, tip: ObjectId },
    /// The newest checkpoint does not hold what it should, and the next one was made without it.
    SealedAnew { sid: SessionId, tip: ObjectId, why: String },
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
        let mut silent = Identities::default();
        if let Some(device) = device {
            silent.add_device(device.identity());
            keys::sign_as_configured(env, &repo, device)?;
        }
        let joined = Joined::load(&repo);
        let required = Required::of(&repo)?;
        let store = Store::open(repo)?;
        store.roster.replace(joined.as_ref().map(Joined::place));
        Ok(Ledger {
            env,
            store,
            identities,
            device,
            silent,
            known: KnownSigners::load(env)?,
            joined: joined.map(Followed::from),
            required,
            trust: Vec::new(),
            far: OnceCell::new(),
        })
    }

    /// Whoever was revoked is believed no more, whatever was said of them before.
    pub fn believes(&self, signer: &Signer) -> bool {
        let told = self.required != Required::Roster && self.trust.contains(&signer.fingerprint);
        !signer.is_nobody() && (told || !self.is_revoked(signer) && self.name_of(signer).is_some())
    }

    pub fn joined(&self) -> Option<&Roster> {
        self.newest().map(|joined| &joined.roster)
    }

    fn newest(&self) -> Option<&Joined> {
        self.joined.as_ref().map(Followed::newest)
    }

    /// As it was followed meanwhile.
    pub fn look_again(&mut self) {
        self.joined = Joined::load(&self.store.repo).map(Followed::from);
        self.store.roster.replace(self.newest().map(Joined::place));
    }

    /// All chains that refs name. Of the rosters that were fetched, by whatever Git, the one that goes on from what was
    /// joined counts from here on.
    pub fn all(&self) -> Result<BTreeMap<SessionId, Known>, Error> {
        let look = refs::look(&self.store)?;
        self.follow_roster(&look.rosters, true)?;
        Ok(look.sessions)
    }

    fn one(&self, sid: &SessionId, keep: bool) -> Result<Known, Error> {
        let mut look = refs::look_at(&self.store, sid)?;
        self.follow_roster(&look.rosters, keep)?;
        Ok(look.sessions.remove(sid).unwrap_or_default())
    }

    fn follow_roster(&self, fetched: &[ObjectId], keep: bool) -> Result<(), Error> {
        let Some(followed) = &self.joined else { return Ok(()) };
        // A key that asks for its passphrase is no device's.
        let Some(newer) = roster::newer(&self.store, followed.newest(), fetched, &self.silent) else { return Ok(()) };
        if keep {
            roster::follow(self, &newer)?;
        }
        followed.go_on(Joined::of(&newer));
        self.store.roster.replace(self.newest().map(Joined::place));
        Ok(())
    }

    fn is_revoked(&self, signer: &Signer) -> bool {
        self.joined().and_then(|roster| roster.member(&signer.fingerprint)).is_some_and(|member| !member.is_active())
    }

    /// What somebody made before they were revoked stays good as far as this device had seen it by then.
    fn was_seen(&self, sid: &SessionId, id: &ObjectId) -> Result<bool, Error> {
        for pin in refs::of(&self.store, sid)?.seen.values() {
            if chain::descends(&self.store, pin, id)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// This device as leases know it.
    pub fn me(&self) -> Option<Me<'_>> {
        let device = self.device?;
        Some(Me { device: &device.name, key: device.signing().fingerprint(), opens: self.identities.public() })
    }

    /// The name under which this signer is known here.
    pub fn name_of(&self, signer: &Signer) -> Option<&str> {
        let own = self.device.is_some_and(|device| device.is_own(&signer.fingerprint));
        if own {
            return Some("this device");
        }
        let member = self.joined().and_then(|roster| roster.member(&signer.fingerprint));
        let known = || self.known.name_of(signer).filter(|_| self.required != Required::Roster);
        member.map(|member| member.name.as_str()).or_else(known)
    }

    /// The checkpoint at this commit, if it is one of this session by somebody we believe.
    pub fn checkpoint(&self, sid: &SessionId, id: &ObjectId) -> Result<Checkpoint, Error> {
        let checkpoint = self.anybodys(sid, id)?;
        let good = self.believes(&checkpoint.signer) || self.is_revoked(&checkpoint.signer) && self.was_seen(sid, id)?;
        if !good {
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
        let opened = checkpoint.open(&self.store, self.identities, None)?;
        self.of_this_store(&opened)?;
        Ok(opened)
    }

    /// What was made for another store, and signed by somebody who is a member here as well, has no place in this one.
    fn of_this_store(&self, opened: &Opened) -> Result<(), Error> {
        match (&opened.record.store, self.newest()) {
            (Some(store), Some(joined)) if *store != joined.root => {
                let why = "it was made for another store".to_owned();
                Err(store::Error::NotACheckpoint { what: opened.id().to_string(), why }.into())
            }
            _ => self.of_this_roster(opened),
        }
    }

    /// Nor has what was made under a roster that is here and went another way than ours. One that is not here may be newer.
    fn of_this_roster(&self, opened: &Opened) -> Result<(), Error> {
        let (Some(under), Some(joined)) = (&opened.record.roster, self.newest()) else { return Ok(()) };
        if *under == joined.tip {
            return Ok(());
        }
        let id = |text: &str| ObjectId::from_hex(text.as_bytes()).ok();
        let (Some(under), Some(tip)) = (id(under), id(&joined.tip)) else { return Ok(()) };
        let goes_on = |new: &ObjectId, old: &ObjectId| chain::descends(&self.store, new, old);
        if !self.store.has(&under) || goes_on(&tip, &under)? || goes_on(&under, &tip)? {
            return Ok(());
        }
        let why = "it was made under another roster".to_owned();
        Err(store::Error::NotACheckpoint { what: opened.id().to_string(), why }.into())
    }

    /// As `checkpoint`, and what is sealed in it agrees with what is not, as far as this device's own key opens it.
    fn sound(&self, sid: &SessionId, id: &ObjectId) -> Result<Checkpoint, Error> {
        let checkpoint = self.checkpoint(sid, id)?;
        match checkpoint.open(&self.store, &self.silent, None) {
            Err(error @ (store::Error::Damaged { .. } | store::Error::NotACheckpoint { .. })) => Err(error.into()),
            Err(store::Error::Seal(error @ (seal::Error::Damaged(_) | seal::Error::NotSealed))) => Err(error.into()),
            Ok(opened) => self.of_this_store(&opened).map(|()| checkpoint),
            // Nobody here may be able to read it, or it may not be here as a whole: its signature holds all the same.
            _ => Ok(checkpoint),
        }
    }

    /// Whether it is a checkpoint that this device's own key opens.
    fn opens(&self, sid: &SessionId, id: &ObjectId) -> bool {
        self.checkpoint(sid, id).is_ok_and(|checkpoint| checkpoint.open(&self.store, &self.silent, None).is_ok())
    }

    /// The other ways that a checkpoint leaves open. What is no checkpoint of its session is no way either: nothing but a
    /// faulty or a hostile program would name it, and it shall not stand in the way of those that are.
    pub fn ways(&self, opened: &Opened) -> Result<Vec<Checkpoint>, Error> {
        let sid = &opened.checkpoint.sid;
        let ways = opened.record.open().into_iter().map(|id| self.checkpoint(sid, &id));
        ways.filter(|way| !matches!(way, Err(Error::Store(store::Error::NotACheckpoint { .. } | store::Error::Unsigned(_))))).collect()
    }

    /// Brings one session's refs up to date with what is known of remotes; returns how they are then. That what stands
    /// under our own name cannot be believed is an error: nobody can go on from it, or shall write over it.
    pub fn sync(&self, sid: &SessionId, findings: &mut Vec<Finding>) -> Result<Known, Error> {
        self.sync_but(sid, &[names::session(sid)], findings)
    }

    /// How they would be, with nothing written: for a `git fetch`, which moves refs itself and stumbles over others' moves.
    pub fn peek(&self, sid: &SessionId) -> Result<Known, Error> {
        let mut found = Vec::new();
        let known = self.follow(sid, self.one(sid, false)?, &mut found)?;
        let ours = names::session(sid);
        match found
            .into_iter()
            .find(|finding| matches!(finding, Finding::Unknown { name, .. } | Finding::Ignored { name, .. } if *name == ours))
        {
            Some(Finding::Unknown { checkpoint, .. }) => Err(Error::UnknownMaker { checkpoint }),
            Some(Finding::Ignored { name, why }) => Err(Error::Theirs { name, why }),
            _ => Ok(known),
        }
    }

    fn sync_but(&self, sid: &SessionId, vital: &[String], findings: &mut Vec<Finding>) -> Result<Known, Error> {
        let mut found = Vec::new();
        let before = self.one(sid, true)?;
        let after = self.follow(sid, before.clone(), &mut found)?;
        refs::update_each(&self.store, FOLLOW, &[moves(sid, &before, &after)])?;
        for finding in found {
            match finding {
                Finding::Unknown { name, checkpoint } if vital.contains(&name) => return Err(Error::UnknownMaker { checkpoint }),
                Finding::Ignored { name, why } if vital.contains(&name) => return Err(Error::Theirs { name, why }),
                other => findings.push(other),
            }
        }
        Ok(after)
    }

    /// The same for whoever is about to go on from what this remote has: that it cannot be believed stops them.
    pub fn sync_with(&self, sid: &SessionId, remote: &str, findings: &mut Vec<Finding>) -> Result<Known, Error> {
        self.sync_but(sid, &[names::session(sid), names::tracking(remote, sid)], findings)
    }

    pub fn sync_all(&self, findings: &mut Vec<Finding>) -> Result<BTreeMap<SessionId, Known>, Error> {
        self.sync_these(self.all()?, findings)
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
                Err(error) => findings.push(Finding::Ignored { name: names::session(sid), why: with_causes(&error) }),
            }
        }
        refs::update_each(&self.store, FOLLOW, &changes)?;
        Ok(all)
    }

    fn follow(&self, sid: &SessionId, mut known: Known, findings: &mut Vec<Finding>) -> Result<Known, Error> {
        self.keep_ours(sid, &mut known, findings)?;
        for (remote, tip) in known.tracking.clone() {
            let pin = known.seen.get(&remote).copied();
            // What was verified when it was pinned, and stands in our own chain, has nothing new to say.
            if pin == Some(tip) && self.holds(known.local, &tip)? {
                continue;
            }
            let theirs = match if pin == Some(tip) { self.checkpoint(sid, &tip) } else { self.sound(sid, &tip) } {
                Ok(theirs) => theirs,
                Err(error) => {
                    known.tracking.remove(&remote);
                    findings.push(passed_by(names::tracking(&remote, sid), error)?);
                    continue;
                }
            };
            match pin {
                Some(seen) if seen != tip && !self.follows(&theirs, &seen)? => {
                    findings.push(Finding::Rewound { remote: remote.clone(), sid: sid.clone(), seen, now: tip });
                    // What was seen there goes on here, under a name from which `push` puts the remote right.
                    if known.local.is_none() && self.opens(sid, &seen) {
                        known.local = Some(seen);
                    }
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
        // Whoever can write to a ref of ours can make it lead anywhere: that is not what a pin brings back.
        if let Some(local) = known.local.filter(|local| known.seen.get(HERE) != Some(local))
            && self.checkpoint(sid, &local).is_ok()
        {
            known.seen.insert(HERE.to_owned(), local);
        }
        Ok(known)
    }

    /// `@here` follows our own ref, and brings it back where it vanished without `delete`, or where something else than we
    /// set it back. A ref of which nothing is known, and which names no checkpoint, is left alone.
    fn keep_ours(&self, sid: &SessionId, known: &mut Known, findings: &mut Vec<Finding>) -> Result<(), Error> {
        let pin = known.seen.get(HERE).copied();
        let Some(local) = known.local.filter(|local| Some(*local) != pin) else {
            if let (None, Some(tip)) = (known.local, pin)
                && self.checkpoint(sid, &tip).is_ok()
            {
                known.local = Some(tip);
                findings.push(Finding::BroughtBack { sid: sid.clone(), tip });
            }
            return Ok(());
        };
        let lost = match (self.sound(sid, &local), pin.filter(|pin| self.store.has(pin))) {
            (Ok(_), None) => None,
            (Ok(now), Some(pin)) => (!self.follows(&now, &pin)?).then_some(pin),
            (Err(_), Some(pin)) => Some(pin),
            (Err(error), None) => {
                known.local = None;
                findings.push(passed_by(names::session(sid), error)?);
                None
            }
        };
        if let Some(tip) = lost {
            known.local = Some(tip);
            findings.push(Finding::BroughtBack { sid: sid.clone(), tip });
        }
        Ok(())
    }

    /// Whether a chain of ours, if there is one, leads to this tip.
    fn holds(&self, local: Option<ObjectId>, tip: &ObjectId) -> Result<bool, Error> {
        Ok(match local {
            Some(local) => chain::descends(&self.store, &local, tip)?,
            None => true,
        })
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
        replaced::stands_in_for(self, new, old)
    }

    /// The tips that no other known tip descends from: one, where nothing went two ways.
    pub fn heads(&self, sid: &SessionId, known: &Known) -> Result<Vec<Checkpoint>, Error> {
        let mut tips: Vec<ObjectId> = known.local.iter().chain(known.tracking.values()).copied().collect();
        for pin in &known.left {
            match self.checkpoint(sid, pin) {
                Ok(_) => tips.push(*pin),
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(_) => {}
            }
        }
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
                replaced.extend(replaced::by(self, head)?.ids);
            }
            heads.retain(|head| !replaced.contains(&head.id()));
        }
        Ok(heads)
    }
}

/// What is said of a ref that is not what its name says.
fn passed_by(name: String, error: Error) -> Result<Finding, Error> {
    match error {
        Error::Interrupted => Err(Error::Interrupted),
        Error::UnknownMaker { checkpoint } => Ok(Finding::Unknown { name, checkpoint }),
        error => Ok(Finding::Ignored { name, why: error.to_string() }),
    }
}

fn moves(sid: &SessionId, before: &Known, after: &Known) -> Vec<Change> {
    let mut changes = Vec::new();
    // What stands there and was passed by stays as it is.
    let ours = after.local.filter(|_| before.local != after.local);
    if ours.is_some() {
        changes.push(Change { name: names::session(sid), to: ours, from: before.local });
    }
    for (store, tip) in &after.seen {
        let from = before.seen.get(store).copied();
        // What is brought back must be pinned still: it may be that somebody is deleting both right now.
        if from != Some(*tip) || store == HERE && ours.is_some() {
            changes.push(Change { name: names::seen(store, sid), to: Some(*tip), from });
        }
    }
    changes
}
