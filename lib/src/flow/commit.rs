//! `checkpoint`: one session as a commit on its chain, whether it stands in its agent's home or comes in a capsule.
//!
//! The parents are the newest tips known here; what they hold already is kept. What must stay true: the ref moves from the
//! tips that were looked at, or everything is done anew from what stands there then; a session that went another way than
//! its chain never hides that.

mod relation;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use gix::hash::ObjectId;
use relation::{alike, before, relation, told_the_same, transcript, went_on};

use super::capture::Captured;
use super::compare::Relation;
use super::guard::{Guard, Passed};
use super::ledger::{Finding, Ledger};
use super::native::Native;
use super::publish::{Failed, publish};
use super::readers::{self, Readers};
use super::source::{self, Source};
use super::{Error, join, keys, lease, settings};
use crate::capsule::{FileEntry, Manifest};
use crate::device::Device;
use crate::durable::At;
use crate::id::SessionId;
use crate::lease::{Act, Lease};
use crate::policy::secrets::Allowed;
use crate::progress::{Progress, interrupted};
use crate::roster::Roster;
use crate::seal::Callbacks;
use crate::store::chain;
use crate::store::draft::{Draft, Paging, list};
use crate::store::fold::{Before, Fold, Folded};
use crate::store::names;
use crate::store::pack::PackWriter;
use crate::store::record::{Kind, Line, Record, Summary};
use crate::store::refs::{Change, Known, Update};
use crate::store::tidy;
use crate::store::tree::Read as ReadTree;
use crate::store::unfold::{Checkpoint, Opened};
use crate::{fault, store, time};

/// How often it is done anew because others were faster.
const ATTEMPTS: u32 = 100;

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Keys or files of keys of those who shall be able to open it, besides those who can already.
    pub recipients: Vec<String>,
    /// Begin again where the session was deleted.
    pub revive: bool,
    /// What becomes of the lease with it.
    pub lease: Option<Act>,
    /// The lease is not even renewed.
    pub as_leased: bool,
    /// Sent to this remote before it stands here: both or neither.
    pub publish: Option<String>,
}

/// What a checkpoint is made of.
pub trait Input {
    fn sid(&self) -> SessionId;
    fn title(&self) -> Option<&str>;
    fn bytes(&self) -> u64;

    /// The transcript as a file, to be compared with those of checkpoints.
    fn transcript(&mut self) -> Result<PathBuf, Error>;

    /// Puts every file into a fold. `begin` makes one, and another one where what is read changed under the reader.
    fn fold(&mut self, begin: &mut Begin<'_>, progress: &dyn Progress) -> Result<(Folded, Captured), Error>;

    /// Whether what the newest checkpoint holds is known to be newer, although the transcripts are the same.
    fn is_older(&self, _than: &Manifest) -> bool {
        false
    }

    /// Whether it is captured here, so that it is for this machine to say what of it may leave.
    fn is_ours(&self) -> bool {
        true
    }

    fn signed(&self, files: Vec<FileEntry>, allowed: &Allowed) -> Result<Signed, Error>;
}

pub type Begin<'a> = dyn FnMut() -> Result<Fold, Error> + 'a;

/// A manifest, to the byte, with the signature of whoever captured the session, if there is one.
pub struct Signed {
    pub manifest: Manifest,
    pub json: Vec<u8>,
    pub signature: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
pub struct Outcome {
    pub tip: ObjectId,
    pub sequence: u64,
    pub state: State,
    /// Bytes of new objects.
    pub added: u64,
    pub captured: Captured,
    pub recipients: Vec<String>,
    /// Who drives the session now.
    pub lease: Option<Lease>,
    /// Other ways that the session went, which nobody has chosen or left behind yet.
    pub open: Vec<ObjectId>,
    pub findings: Vec<Finding>,
    /// What is worth saying of what is in it.
    pub passed: Passed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Made,
    /// Nothing has changed since the newest checkpoint.
    Unchanged,
    /// The newest checkpoint holds more than stands here.
    Behind,
}

pub fn commit<C: Callbacks>(
    ledger: &Ledger<'_>,
    device: &Device,
    source: &mut Source,
    options: &Options,
    callbacks: &C,
    progress: &dyn Progress,
) -> Result<Outcome, Error> {
    let mut native = Native { source, device, env: ledger.env, captured: Captured::default(), manifest: None };
    let outcome = add(ledger, device, &mut native, options, callbacks, progress)?;
    // A checkpoint holds what stands in the work tree: there the session may come back in place.
    if outcome.state != State::Behind
        && let Some(state) = outcome.captured.workspace.as_ref().and_then(|taken| taken.state.as_ref())
    {
        state.remember(&source.selected.session.sid());
    }
    Ok(outcome)
}

/// The same for a `git fetch` from the agents: no ref moves but the pin that keeps what was captured.
pub fn beside<C: Callbacks>(
    ledger: &Ledger<'_>,
    device: &Device,
    source: &mut Source,
    options: &Options,
    callbacks: &C,
    progress: &dyn Progress,
) -> Result<Outcome, Error> {
    let mut input = Native { source, device, env: ledger.env, captured: Captured::default(), manifest: None };
    let sid = input.sid();
    for _ in 0..ATTEMPTS {
        let known = ledger.peek(&sid)?;
        let step = Step { beside: true, ..Step::begin(ledger, device, &sid, known, options, callbacks)? };
        match step.take(&mut input, progress) {
            Err(Error::Store(store::Error::Moved { .. })) => {}
            done => return done,
        }
    }
    Err(Error::Store(store::Error::Moved { name: names::seen(names::AGENTS, &sid) }))
}

/// The same of a session from anywhere.
pub fn add<C: Callbacks>(
    ledger: &Ledger<'_>,
    device: &Device,
    input: &mut dyn Input,
    options: &Options,
    callbacks: &C,
    progress: &dyn Progress,
) -> Result<Outcome, Error> {
    let sid = input.sid();
    let mut findings = Vec::new();
    for _ in 0..ATTEMPTS {
        findings.clear();
        let known = match &options.publish {
            Some(remote) => ledger.sync_with(&sid, remote, &mut findings)?,
            None => ledger.sync(&sid, &mut findings)?,
        };
        let step = Step::begin(ledger, device, &sid, known, options, callbacks)?;
        match step.take(input, progress) {
            Err(Error::Store(store::Error::Moved { .. })) => {}
            done => {
                return done.map(|mut outcome| {
                    findings.append(&mut outcome.findings);
                    Outcome { findings, ..outcome }
                });
            }
        }
    }
    Err(Error::Store(store::Error::Moved { name: names::session(&sid) }))
}

struct Step<'a, C> {
    ledger: &'a Ledger<'a>,
    device: &'a Device,
    callbacks: &'a C,
    sid: SessionId,
    /// Our own refs stay where they are.
    beside: bool,
    known: Known,
    heads: Vec<Checkpoint>,
    /// The ways the session is known to have gone; the first is the one that is built upon.
    ways: Vec<Opened>,
    readers: Readers,
    lease: Option<Lease>,
    /// The lease is to be another one than before.
    changes_hands: bool,
    publish: Option<&'a str>,
    /// The secrets that it holds and that may leave.
    allowed: Allowed,
    /// What is wrong with the checkpoint that is built upon.
    damage: Option<String>,
}

impl<'a, C: Callbacks> Step<'a, C> {
    fn begin(
        ledger: &'a Ledger<'a>,
        device: &'a Device,
        sid: &SessionId,
        known: Known,
        options: &'a Options,
        callbacks: &'a C,
    ) -> Result<Step<'a, C>, Error> {
        let heads = ledger.heads(sid, &known)?;
        let (mut ways, damage) = readers::ways_on(ledger, &heads)?;
        let deleted = |way: &&Opened| way.is_deleted() && heads.iter().any(|head| head.id() == way.id());
        if let Some(way) = ways.iter().find(deleted).filter(|_| !options.revive) {
            return Err(Error::Deleted { sid: sid.clone(), by: way.record.device.clone(), at: way.record.made.clone() });
        }
        let tips = ways[..heads.len()].iter().filter(|way| !way.is_deleted()).count();
        ways.retain(|way| !way.is_deleted());
        let (lease, changes_hands) = match options.as_leased {
            true => (lease::newest(&known, &ways[..tips]).cloned(), false),
            false => lease::after(ledger, sid, &known, &ways[..tips], options.lease.as_ref())?,
        };
        let named = |names: &[String]| Ok::<_, Error>(keys::recipients(&keys::SealTo::Recipients(names.to_vec()), None)?.names());
        let mut readers = Readers::of(&ways);
        readers.join(&device.recipient());
        // The defaults say who reads chains that begin; a chain says itself who reads it.
        if ways.is_empty() {
            readers.add(&named(settings::recipients(&ledger.store.repo))?);
            let members = ledger.joined().into_iter().flat_map(Roster::active);
            readers.add(&members.map(|member| member.recipient.clone()).collect::<Vec<_>>());
        }
        readers.add(&named(&options.recipients)?);
        let publish = options.publish.as_deref();
        Ok(Step {
            ledger,
            device,
            callbacks,
            sid: sid.clone(),
            beside: false,
            known,
            heads,
            ways,
            readers,
            lease,
            changes_hands,
            publish,
            allowed: Allowed::default(),
            damage,
        })
    }

    fn take(mut self, input: &mut dyn Input, progress: &dyn Progress) -> Result<Outcome, Error> {
        progress.stage("sealing", Some(input.bytes()));
        let mut trees = Vec::new();
        for way in &self.ways {
            trees.push(match way.tree(&self.ledger.store) {
                Err(error) if error.is_damage() => ReadTree::default(),
                tree => tree?,
            });
        }
        self.build_upon_the_nearest(input, &mut trees)?;
        let (mut before_manifest, mut known_parts) = (None, HashMap::new());
        let guard = Guard::of(self.ledger.env, &self.ledger.store.repo)?;
        let mut watch = None;
        let mut begin = || {
            let (mut before, manifest) = match self.ways.first_mut() {
                None => (Before::default(), None),
                Some(way) => match before(self.ledger, self.device, way, &trees[0]) {
                    Ok((before, manifest)) => {
                        let incomplete = || before.incomplete.then(|| "parts of it are missing or not what they should be".to_owned());
                        self.damage = self.damage.take().or_else(incomplete);
                        (before, Some(manifest))
                    }
                    // What stands here is whole, and need not wait until that is.
                    Err(error) if error.is_damage() => {
                        self.damage = Some(super::with_causes(&error));
                        (Before::default(), None)
                    }
                    Err(error) => return Err(error.into()),
                },
            };
            before.see(manifest.as_ref().map_or(&[], |manifest| &manifest.files));
            before_manifest = manifest;
            let (epoch, seed) = self.readers.epoch(&self.ways);
            let pack = PackWriter::new(&self.ledger.store.repo.objects, self.ledger.store.repo.hash)?;
            known_parts = before.known.clone();
            let fold = Fold::new(self.ledger.store.repo.hash, epoch, seed, before, pack);
            watch = guard.clone().after(before_manifest.as_ref()).watch();
            Ok(match &watch {
                Some(watch) => fold.observed(Box::new(watch.clone())),
                None => fold,
            })
        };
        let (folded, captured) = input.fold(&mut begin, progress)?;
        fault::point("commit.folded").at("write to", &self.ledger.store.repo.objects)?;
        source::refuse_giant(captured.bytes)?;
        let open = match self.others(input, &folded, before_manifest.as_ref(), &trees)? {
            Some(open) => open,
            None => return self.nothing(State::Behind, captured),
        };
        let same_files = before_manifest.as_ref().is_some_and(|before| alike(&before.files, &folded.files));
        if !same_files && before_manifest.as_ref().is_some_and(|before| told_the_same(before, &folded) && input.is_older(before)) {
            return self.nothing(State::Behind, captured);
        }
        if same_files
            && self.damage.is_none()
            && !self.changes_hands
            && let [head] = &self.heads[..]
            && let Some(way) = self.ways.first()
            && way.id() == head.id()
            && self.readers.are_those_of(&way.record)
            && way.record.open() == open
            && way.record.summary.title.as_deref() == input.title()
        {
            self.catch_up()?;
            return self.nothing(State::Unchanged, captured);
        }
        let found = watch.map(|watch| watch.found()).unwrap_or_default();
        let guard = guard.after(before_manifest.as_ref());
        let passed = if input.is_ours() { guard.pass(&found, captured.bytes)? } else { guard.tell(&found) };
        self.allowed = guard.needed(before_manifest.as_ref(), &found);
        let outcome = self.write(input, folded, known_parts, captured, open, &trees)?;
        Ok(Outcome { passed, ..outcome })
    }

    /// Of several ways the one that the session goes on from comes first.
    fn build_upon_the_nearest(&mut self, input: &mut dyn Input, trees: &mut [ReadTree]) -> Result<(), Error> {
        if self.ways.len() < 2 {
            return Ok(());
        }
        for (n, tree) in trees.iter().enumerate() {
            if matches!(relation(self.ledger, input, &mut self.ways[n], tree)?, Relation::Ahead | Relation::Same) {
                self.ways.swap(0, n);
                trees.swap(0, n);
                break;
            }
        }
        Ok(())
    }

    /// The ways that stay open beside this checkpoint; `None` if one of them already holds all that comes.
    fn others(
        &mut self,
        input: &mut dyn Input,
        folded: &Folded,
        before: Option<&Manifest>,
        trees: &[ReadTree],
    ) -> Result<Option<Vec<ObjectId>>, Error> {
        let mut open = Vec::new();
        let mut chosen = false;
        for (n, tree) in trees.iter().enumerate() {
            let quick = n == 0 && before.is_some_and(|before| went_on(before, folded));
            let relation = if quick { Relation::Ahead } else { relation(self.ledger, input, &mut self.ways[n], tree)? };
            match relation {
                Relation::Behind => return Ok(None),
                Relation::Diverged => open.push(self.ways[n].id()),
                Relation::Ahead | Relation::Same | Relation::New => {
                    // Who chose a checkpoint has chosen the join that others have made of it since, too.
                    if let Some(chosen_one) = self.known.seen.get(names::CHOSEN) {
                        chosen |= chain::descends(&self.ledger.store, &self.ways[n].id(), chosen_one)?;
                    }
                }
            }
        }
        // Where several tips come together one of them may go on from what another one left open.
        if self.heads.len() > 1 && open.len() > 1 {
            let ways = self.ways.iter_mut().filter(|way| open.contains(&way.id())).collect();
            open = join::apart(self.ledger, None, ways)?;
        }
        if !open.is_empty() && !chosen {
            chosen = self.chose_an_older_one(input)?;
        }
        Ok(Some(if chosen { Vec::new() } else { open }))
    }

    /// Whether what comes goes on from an older checkpoint, which somebody restored here knowing that.
    fn chose_an_older_one(&self, input: &mut dyn Input) -> Result<bool, Error> {
        let Some(chosen) = self.known.seen.get(names::CHOSEN) else { return Ok(false) };
        let Ok(checkpoint) = self.ledger.checkpoint(&self.sid, chosen) else { return Ok(false) };
        let mut opened = checkpoint.open(&self.ledger.store, self.ledger.identities, self.heads.first())?;
        let tree = opened.tree(&self.ledger.store)?;
        Ok(matches!(relation(self.ledger, input, &mut opened, &tree)?, Relation::Ahead | Relation::Same))
    }

    fn write(
        mut self,
        input: &dyn Input,
        mut folded: Folded,
        known: HashMap<[u8; 32], Line>,
        captured: Captured,
        open: Vec<ObjectId>,
        trees: &[ReadTree],
    ) -> Result<Outcome, Error> {
        let store = &self.ledger.store;
        // Started while there is little else to do. Until it is fed it does nothing, and a Ctrl-C ends it with us.
        let update = self.publish.is_none().then(|| Update::begin(store, self.why()));
        let hash = store.repo.hash;
        let nothing = BTreeMap::new();
        let there = trees.first().map_or(&nothing, |tree| &tree.tree.parts);
        let mut parts = folded.blobs(there);
        let Signed { manifest, json, signature } = input.signed(std::mem::take(&mut folded.files), &self.allowed)?;
        let paging = Paging { known: &known, there, epoch: &folded.epoch, seed: &folded.seed };
        let summary = Summary {
            agent: manifest.agent.clone(),
            native_id: manifest.native_id.clone(),
            title: manifest.title.clone(),
            prompt: manifest.prompt.clone(),
            conversation: transcript(&manifest.files).map(|file| file.size),
            files: manifest.files.len(),
            bytes: manifest.files.iter().map(|file| file.size).sum(),
            created: manifest.created.clone(),
            device: manifest.origin.device.clone(),
        };
        let mut record = Record::new(Kind::Checkpoint, &self.sid, summary);
        record.manifest = paging.seal(&json, hash, &mut folded.pack, &mut parts)?;
        record.parts = paging.seal(&list(&folded.lines), hash, &mut folded.pack, &mut parts)?;
        record.dictionaries = folded.dictionaries;
        record.sequence = self.heads.iter().map(|head| head.header.sequence).max().unwrap_or(0) + 1;
        record.made = time::format(self.ledger.env.now());
        record.device = self.device.name.clone();
        record.seed = crate::id::hex(&folded.seed);
        record.recipients = self.readers.names.clone();
        record.removed = self.readers.removed.clone();
        record.passphrases = self.readers.passphrases.clone();
        record.open = open.iter().map(ToString::to_string).collect();
        let sequence = record.sequence;
        record.lease = match self.changes_hands {
            true => self.lease.take().map(|lease| Lease { sequence, ..lease }),
            false => self.lease.take(),
        };
        let lease = record.lease.clone();
        let wraps = self.readers.wraps(self.ledger, &mut self.ways, &folded.epoch, false, self.callbacks)?;
        let draft = Draft {
            record,
            epoch: folded.epoch,
            parents: self.heads.iter().map(Checkpoint::id).collect(),
            wraps: wraps.kept,
            new_wraps: wraps.new,
            parts,
            manifest_signature: signature,
            total: self.heads.iter().map(|head| head.header.total).max().unwrap_or(0),
            added: None,
        };
        let default = ReadTree::default();
        let tip = draft.write(&self.ledger.store, trees.first().unwrap_or(&default), self.device.signing(), &mut folded.pack)?;
        let added = folded.pack.bytes();
        if interrupted() {
            return Err(Error::Interrupted);
        }
        let packs = folded.pack.finish()?;
        let packed = fault::point("commit.packed").at("write to", &store.repo.objects);
        let packed = packed.map_err(|error| Failed { error: error.into(), sent: false });
        let packed = packed.and_then(|()| match interrupted() {
            true => Err(Failed { error: Error::Interrupted, sent: false }),
            false => Ok(()),
        });
        if let Err(Failed { error, sent }) = packed.and_then(|()| self.move_ref(tip, update)) {
            match sent {
                true => packs.keep(),
                false => packs.keep_if_named(store, &[tip]),
            }
            return Err(error);
        }
        packs.keep();
        let _ = fault::point("commit.referenced");
        // The checkpoint stands: that packs stay many is no failure of it, and the next one tries again.
        let _ = tidy::consolidate(store);
        let recipients = self.readers.names;
        let damaged = self.heads.first().map(Checkpoint::id).zip(self.damage);
        let findings = damaged.map(|(tip, why)| Finding::SealedAnew { sid: self.sid, tip, why }).into_iter().collect();
        let passed = Passed::default();
        Ok(Outcome { tip, sequence, state: State::Made, added, captured, recipients, lease, open, findings, passed })
    }

    /// What the reflog says.
    fn why(&self) -> &'static str {
        if self.beside { "samesession: fetched from its agent" } else { "samesession: checkpoint" }
    }

    /// By an update that was begun before, or by one of its own.
    fn move_ref(&self, tip: ObjectId, update: Option<Update<'_>>) -> Result<(), Failed> {
        let run = |changes: &[Change]| {
            let moved = update.unwrap_or_else(|| Update::begin(&self.ledger.store, self.why())).run(changes);
            moved.map_err(|error| Failed { error: error.into(), sent: false })
        };
        if self.beside {
            let from = self.known.seen.get(names::AGENTS).copied();
            return run(&[Change { name: names::seen(names::AGENTS, &self.sid), to: Some(tip), from }]);
        }
        let chosen = self.known.seen.get(names::CHOSEN);
        let unchosen = chosen.map(|chosen| Change { name: names::chosen(&self.sid), to: None, from: Some(*chosen) });
        if self.publish.is_some() {
            return publish(self.ledger, self.publish, &self.sid, tip, &self.known, unchosen.into_iter().collect());
        }
        let mut changes = self.known.advance(&self.sid, tip);
        changes.extend(unchosen);
        run(&changes)
    }

    /// Where a remote's chain holds all there is, ours begins there.
    fn catch_up(&self) -> Result<(), Error> {
        match &self.heads[..] {
            [head] if !self.beside && self.known.local != Some(head.id()) => self.move_ref(head.id(), None).map_err(|failed| failed.error),
            _ => Ok(()),
        }
    }

    fn nothing(self, state: State, captured: Captured) -> Result<Outcome, Error> {
        let tip = self.heads.first().map(|head| (head.id(), head.header.sequence));
        let (tip, sequence) = tip.ok_or_else(|| Error::NoSuchSession(self.sid.to_string()))?;
        let (recipients, lease) = (self.readers.names, self.lease);
        let (open, findings, passed) = (Vec::new(), Vec::new(), Passed::default());
        Ok(Outcome { tip, sequence, state, added: 0, captured, recipients, lease, open, findings, passed })
    }
}
