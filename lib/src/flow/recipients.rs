//! `recipient add`, `remove` and `rewrap`: who can open sessions, changed for the chains that are there.
//!
//! Only keys are wrapped again: each chain gets a commit with the same contents. All that can fail is done before anything
//! is changed; then the defaults are written, then the refs move, each from where it was seen. Chains that others moved
//! meanwhile are done anew.

use std::collections::BTreeSet;

use gix::hash::ObjectId;

use super::ledger::{Finding, Ledger};
use super::readers::{self, MAX_PASSPHRASES, Readers};
use super::{Error, keys, named, settings};
use crate::device::Device;
use crate::durable::At;
use crate::id::SessionId;
use crate::seal::{Callbacks, Epoch, PassphraseReader};
use crate::store::draft::Draft;
use crate::store::names;
use crate::store::pack::PackWriter;
use crate::store::refs::{self, Change, Known};
use crate::store::tree::Tree;
use crate::store::unfold::Opened;
use crate::{fault, progress, seal, store, time};

/// How often what others moved is done anew.
const ATTEMPTS: u32 = 100;
/// What it is called where keys are named.
const A_PASSPHRASE: &str = "a passphrase";

pub enum Act {
    /// Keys or files of keys.
    Add(Vec<String>),
    Remove {
        keys: Vec<String>,
        /// Even if this device could not open the sessions any more.
        force: bool,
    },
    Rewrap,
    /// Whoever knows this one.
    AddPassphrase(PassphraseReader),
    /// Every passphrase that the sessions have.
    RemovePassphrases {
        force: bool,
    },
}

#[derive(Debug, Default)]
pub struct Outcome {
    /// The keys that were meant.
    pub keys: Vec<String>,
    /// Those of them that are defaults now and were not, or the other way round.
    pub defaults: Vec<String>,
    /// Those that stay defaults because they are written elsewhere than in this clone.
    pub defaults_left: Vec<String>,
    pub sessions: Vec<Session>,
}

#[derive(Debug)]
pub struct Session {
    pub sid: SessionId,
    pub agent: String,
    pub title: Option<String>,
    pub state: State,
}

impl Session {
    pub fn is_changed(&self) -> bool {
        matches!(self.state, State::Changed(_))
    }
}

#[derive(Debug)]
pub enum State {
    Changed(Changed),
    /// It was so already.
    Unchanged,
    /// This device cannot change it, and says why.
    Skipped(String),
}

#[derive(Debug)]
pub struct Changed {
    pub tip: ObjectId,
    pub sequence: u64,
    /// Bytes of new objects.
    pub added: u64,
    pub epochs: usize,
    pub readers: Vec<String>,
}

/// With `sessions` only those; else the defaults and all that this device can open.
pub fn change<C: Callbacks>(
    ledger: &Ledger<'_>,
    device: &Device,
    act: &Act,
    sessions: &[String],
    findings: &mut Vec<Finding>,
    callbacks: &C,
) -> Result<Outcome, Error> {
    let typed = match act {
        Act::Add(typed) | Act::Remove { keys: typed, .. } => typed.clone(),
        Act::Rewrap | Act::AddPassphrase(_) | Act::RemovePassphrases { .. } => Vec::new(),
    };
    let mut keys = keys::recipients(&keys::SealTo::Recipients(typed), None)?.names();
    if matches!(act, Act::AddPassphrase(_) | Act::RemovePassphrases { .. }) {
        keys.push(A_PASSPHRASE.to_owned());
    }
    let mut named = Vec::new();
    for what in sessions {
        named.push(named::resolve(ledger, what, findings)?.sid);
    }
    let mut work = Work { ledger, device, act, callbacks, named, met: BTreeSet::new(), outcome: Outcome { keys, ..Outcome::default() } };
    let mut left: Option<Vec<SessionId>> = (!work.named.is_empty()).then(|| work.named.clone());
    for attempt in 0..ATTEMPTS {
        findings.clear();
        let all = ledger.sync_all(findings)?;
        if let Some(gone) = work.named.iter().find(|sid| !all.contains_key(sid)) {
            return Err(Error::NoSuchSession(gone.to_string()));
        }
        let chains = all.into_iter().filter(|(sid, _)| left.as_ref().is_none_or(|left| left.contains(sid)));
        let moved = work.round(chains, attempt == 0)?;
        if moved.is_empty() {
            work.outcome.sessions.sort_by(|a, b| a.sid.cmp(&b.sid));
            return Ok(work.outcome);
        }
        left = Some(moved);
    }
    let name = left.and_then(|left| left.first().map(names::session)).unwrap_or_default();
    Err(store::Error::Moved { name }.into())
}

struct Work<'a, C> {
    ledger: &'a Ledger<'a>,
    device: &'a Device,
    act: &'a Act,
    callbacks: &'a C,
    named: Vec<SessionId>,
    /// Keys to remove that were found among somebody's readers, now or once.
    met: BTreeSet<String>,
    outcome: Outcome,
}

/// A commit that is written, and how its refs are to move.
struct Ready {
    session: Session,
    changes: Vec<Change>,
}

impl<C: Callbacks> Work<'_, C> {
    /// Does all of these chains; returns those that others moved meanwhile.
    fn round(&mut self, chains: impl Iterator<Item = (SessionId, Known)>, first: bool) -> Result<Vec<SessionId>, Error> {
        let repo = &self.ledger.store.repo;
        let mut pack = PackWriter::new(&repo.objects, repo.hash)?;
        let (mut ready, mut others) = (Vec::new(), Vec::new());
        for (sid, known) in chains {
            if progress::interrupted() {
                return Err(Error::Interrupted);
            }
            pack.next_checkpoint();
            match self.prepare(&sid, &known, &mut pack) {
                Ok(Some((session, changes))) if changes.is_empty() => others.push(session),
                Ok(Some((session, changes))) => ready.push(Ready { session, changes }),
                Ok(None) => {}
                Err(error) if self.is_passed_by(&error) => {
                    let state = State::Skipped(error.to_string());
                    others.push(Session { sid, agent: String::new(), title: None, state });
                }
                Err(error) => return Err(error),
            }
        }
        if first {
            self.refuse_strangers()?;
        }
        let packs = pack.finish()?;
        fault::point("commit.packed").at("write to", &repo.objects)?;
        if first && self.named.is_empty() {
            self.defaults()?;
        }
        let tips: Vec<ObjectId> = ready.iter().flat_map(|ready| ready.changes.iter().filter_map(|change| change.to)).collect();
        let moved = match self.move_refs(&mut ready) {
            Ok(moved) => moved,
            Err(error) => {
                packs.keep_if_named(&self.ledger.store, &tips);
                return Err(error);
            }
        };
        if !ready.is_empty() {
            packs.keep();
        }
        let _ = fault::point("commit.referenced");
        self.outcome.sessions.extend(others);
        self.outcome.sessions.extend(ready.into_iter().map(|ready| ready.session));
        Ok(moved)
    }

    /// One chain that cannot be changed stands in nobody's way, unless it was named.
    fn is_passed_by(&self, error: &Error) -> bool {
        let closed = match error {
            Error::Seal(error) => matches!(
                error,
                seal::Error::NoMatch { .. }
                    | seal::Error::NeedsPassphrase
                    | seal::Error::Locked
                    | seal::Error::WrongDevicePassphrase
                    | seal::Error::WrongPassphrase
                    | seal::Error::Damaged(_)
                    | seal::Error::BadSignature(_)
            ),
            Error::Store(error) => !matches!(error, store::Error::Moved { .. } | store::Error::Died | store::Error::Pack { .. }),
            error => matches!(error, Error::UnknownMaker { .. }),
        };
        closed && self.named.is_empty()
    }

    /// Writes the commit of one chain; without changes if there is nothing to do, and nothing for a deleted session.
    fn prepare(&mut self, sid: &SessionId, known: &Known, pack: &mut PackWriter) -> Result<Option<(Session, Vec<Change>)>, Error> {
        let (ledger, store) = (self.ledger, &self.ledger.store);
        // Where others went on, too, what is said here holds when the two are joined.
        let heads = ledger.heads(sid, known)?;
        let Some(head) = heads.iter().find(|head| Some(head.id()) == known.local).or(heads.first()) else { return Ok(None) };
        let mut ways = readers::ways(ledger, std::slice::from_ref(head))?;
        let deleted = ways.iter().find(|way| way.is_deleted()).map(|way| (way.record.device.clone(), way.record.made.clone()));
        ways.retain(|way| !way.is_deleted());
        let Some(first) = ways.first() else {
            return match deleted.filter(|_| self.named.contains(sid)) {
                Some((by, at)) => Err(Error::Deleted { sid: sid.clone(), by, at }),
                None => Ok(None),
            };
        };
        let summary = &first.record.summary;
        let mut session = Session { sid: sid.clone(), agent: summary.agent.clone(), title: summary.title.clone(), state: State::Unchanged };
        let before = Readers::of(&ways);
        let mut readers = before.clone();
        self.apply(&mut readers, &ways);
        if readers.passphrases.len() > MAX_PASSPHRASES {
            return Err(Error::TooManyPassphrases { sid: sid.clone() });
        }
        if readers == before && !matches!(self.act, Act::Rewrap) {
            return Ok(Some((session, Vec::new())));
        }
        if readers.names.is_empty() {
            return Err(Error::LastReader { sid: sid.clone() });
        }
        let (epoch, seed) = readers.epoch(&ways);
        let wraps = readers.wraps(ledger, &mut ways, &epoch, matches!(self.act, Act::Rewrap), self.callbacks)?;
        self.refuse_lock_out(sid, &readers, &epoch, wraps.new.get(epoch.id.as_str()))?;

        let tree = Tree::read(store, &ways[0].checkpoint.commit.tree)?;
        let mut draft = Draft::after(&ways[0], &tree);
        draft.parents = vec![head.id()];
        draft.record.sequence = head.header.sequence + 1;
        draft.record.made = time::format(ledger.env.now());
        draft.record.device = self.device.name.clone();
        draft.record.seed = crate::id::hex(&seed);
        draft.record.recipients = readers.names.clone();
        draft.record.removed = readers.removed;
        draft.record.passphrases = readers.passphrases;
        draft.epoch = epoch;
        let epochs = wraps.kept.keys().chain(wraps.new.keys()).collect::<BTreeSet<_>>().len();
        draft.wraps = wraps.kept;
        draft.new_wraps = wraps.new;
        let (sequence, from) = (draft.record.sequence, ways[0].id());
        let tip = draft.write(store, &tree, self.device.signing(), pack)?;
        session.state = State::Changed(Changed { tip, sequence, added: pack.added(), epochs, readers: readers.names });
        let mut changes = known.advance(sid, tip);
        // Whoever chose the way that this goes on from has chosen this.
        if let Some(chosen) = known.seen.get("@chosen").filter(|chosen| **chosen == from) {
            changes.push(Change { name: names::chosen(sid), to: Some(tip), from: Some(*chosen) });
        }
        Ok(Some((session, changes)))
    }

    fn apply(&mut self, readers: &mut Readers, ways: &[Opened]) {
        match self.act {
            Act::Add(_) => readers.add(&self.outcome.keys),
            Act::Remove { .. } => {
                for key in &self.outcome.keys {
                    if readers.removed.contains_key(key) {
                        self.met.insert(key.clone());
                    }
                    if readers.names.contains(key) {
                        self.met.insert(key.clone());
                        readers.remove(key, ways.iter().flat_map(|way| way.epochs.names()));
                    }
                }
            }
            Act::AddPassphrase(reader) => readers.add_passphrase(reader),
            Act::RemovePassphrases { .. } => {
                for key in readers.passphrases.keys().cloned().collect::<Vec<_>>() {
                    self.met.insert(A_PASSPHRASE.to_owned());
                    readers.remove(&key, ways.iter().flat_map(|way| way.epochs.names()));
                }
            }
            Act::Rewrap => {}
        }
    }

    fn refuse_lock_out(&self, sid: &SessionId, readers: &Readers, epoch: &Epoch, wraps: Option<&Vec<Vec<u8>>>) -> Result<(), Error> {
        let forced = !matches!(self.act, Act::Remove { force: false, .. } | Act::RemovePassphrases { force: false });
        if forced || readers.names.contains(&self.device.recipient()) {
            return Ok(());
        }
        // Another key that is here, an SSH key say, may open it.
        let opens = wraps.is_some_and(|wraps| Epoch::unwrap(&epoch.id, wraps, self.ledger.identities).is_ok());
        if opens { Ok(()) } else { Err(Error::LocksOut { sid: sid.clone() }) }
    }

    /// Who is removed must have been somebody.
    fn refuse_strangers(&self) -> Result<(), Error> {
        if !matches!(self.act, Act::Remove { .. } | Act::RemovePassphrases { .. }) {
            return Ok(());
        }
        let defaults: Vec<String> = match self.named.is_empty() {
            true => settings::recipients(&self.ledger.store.repo).iter().flat_map(|value| settings::keys_of(value)).collect(),
            false => Vec::new(),
        };
        match self.outcome.keys.iter().find(|key| !self.met.contains(*key) && !defaults.contains(key)) {
            Some(key) => Err(Error::NoSuchReader(key.clone())),
            None => Ok(()),
        }
    }

    fn defaults(&mut self) -> Result<(), Error> {
        let repo = &self.ledger.store.repo;
        match self.act {
            Act::Add(_) => self.outcome.defaults = settings::add_recipients(repo, &self.outcome.keys)?,
            Act::Remove { .. } => {
                let removed = settings::remove_recipients(repo, &self.outcome.keys)?;
                (self.outcome.defaults, self.outcome.defaults_left) = (removed.keys, removed.left);
            }
            // A passphrase opens sessions that are there; who reads those that will begin are keys.
            Act::Rewrap | Act::AddPassphrase(_) | Act::RemovePassphrases { .. } => {}
        }
        Ok(())
    }

    /// All in one go; those that somebody else has moved are left out of it, and returned.
    fn move_refs(&self, ready: &mut Vec<Ready>) -> Result<Vec<SessionId>, Error> {
        let mut moved = Vec::new();
        loop {
            let changes: Vec<Change> = ready.iter().flat_map(|ready| ready.changes.iter().cloned()).collect();
            match refs::update(&self.ledger.store, "samesession: recipients", &changes) {
                Err(store::Error::Moved { name }) => {
                    let at = ready.iter().position(|ready| ready.changes.iter().any(|change| change.name == name)).unwrap_or(0);
                    moved.push(ready.remove(at).session.sid);
                }
                Err(error) => return Err(error.into()),
                Ok(()) => return Ok(moved),
            }
        }
    }
}
