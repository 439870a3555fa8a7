//! `checkpoint`: one session as a commit on its chain.
//!
//! The parents are the newest tips known here; what they hold already is kept. What must stay true: the ref moves from the
//! tips that were looked at, or everything is done anew from what stands there then; a session that went another way than
//! its chain never hides that.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use gix::hash::ObjectId;

use super::capture::{Capture, Captured};
use super::compare::{self, Relation};
use super::ledger::{Finding, Ledger};
use super::source::{self, Attempt, Source};
use super::{Error, keys};
use crate::agent::{Role, jsonl};
use crate::capsule::{FileEntry, Manifest};
use crate::device::Device;
use crate::durable::At;
use crate::id::SessionId;
use crate::progress::Progress;
use crate::seal::{Callbacks, Epoch, EpochId, NAMESPACE, random_hex};
use crate::store::draft::{Draft, Paging, list};
use crate::store::fold::{Before, Fold, Folded};
use crate::store::names::{self, HERE};
use crate::store::pack::{self, PackWriter};
use crate::store::record::{Kind, Record, Summary, unhex};
use crate::store::refs::{self, Change, Known};
use crate::store::tidy;
use crate::store::tree::Read as ReadTree;
use crate::store::unfold::{Checkpoint, Opened};
use crate::{capsule, fault, store, time};

/// How often it is done anew because others were faster.
const ATTEMPTS: u32 = 100;

pub struct Options {
    /// Keys or files of keys of those who shall be able to open it, besides those who can already.
    pub recipients: Vec<String>,
    /// Begin again where the session was deleted.
    pub revive: bool,
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
    /// Other ways that the session went, which nobody has chosen or left behind yet.
    pub open: Vec<ObjectId>,
    pub findings: Vec<Finding>,
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
    let sid = source.selected.session.sid();
    let mut findings = Vec::new();
    for _ in 0..ATTEMPTS {
        findings.clear();
        let known = ledger.sync(&sid, &mut findings)?;
        let step = Step::begin(ledger, device, &sid, known, options, callbacks)?;
        match step.take(source, progress) {
            Err(Error::Store(store::Error::Moved { .. })) => {}
            done => return done.map(|outcome| Outcome { findings, ..outcome }),
        }
    }
    Err(Error::Store(store::Error::Moved { name: names::session(&sid) }))
}

struct Step<'a, C> {
    ledger: &'a Ledger<'a>,
    device: &'a Device,
    callbacks: &'a C,
    sid: SessionId,
    known: Known,
    heads: Vec<Checkpoint>,
    /// The ways the session is known to have gone; the first is the one that is built upon.
    ways: Vec<Opened>,
    recipients: Vec<String>,
}

impl<'a, C: Callbacks> Step<'a, C> {
    fn begin(
        ledger: &'a Ledger<'a>,
        device: &'a Device,
        sid: &SessionId,
        known: Known,
        options: &Options,
        callbacks: &'a C,
    ) -> Result<Step<'a, C>, Error> {
        let heads = ledger.heads(sid, &known)?;
        let mut ways: Vec<Opened> = Vec::new();
        for head in &heads {
            let opened = ledger.opened(head)?;
            if opened.is_deleted() && !options.revive {
                return Err(Error::Deleted { sid: sid.clone(), by: opened.record.device, at: opened.record.made });
            }
            let others = opened.record.open();
            ways.push(opened);
            for other in others {
                let way = ledger.checkpoint(sid, &other)?.open(&ledger.store, ledger.identities, Some(head))?;
                ways.push(way);
            }
        }
        ways.retain(|way| !way.is_deleted());
        // The defaults say who reads chains that begin; a chain says itself who reads it.
        let mut named = options.recipients.clone();
        match ways.is_empty() {
            true => named.extend(ledger.store.repo.config.all("samesession.recipient").iter().cloned()),
            false => named.extend(ways.iter().flat_map(|way| way.record.recipients.iter().cloned())),
        }
        let recipients = keys::recipients(&keys::SealTo::Recipients(named), Some(device))?.names();
        Ok(Step { ledger, device, callbacks, sid: sid.clone(), known, heads, ways, recipients })
    }

    fn take(mut self, source: &mut Source, progress: &dyn Progress) -> Result<Outcome, Error> {
        progress.stage("sealing", Some(source.bytes()));
        let mut trees = Vec::new();
        for way in &self.ways {
            trees.push(way.tree(&self.ledger.store)?);
        }
        self.build_upon_the_nearest(source, &mut trees)?;
        let mut before_manifest = None;
        let (folded, captured) = source.attempt(|source| {
            let (before, manifest) = match self.ways.first_mut() {
                None => (Before::default(), None),
                Some(way) => {
                    let (before, manifest) = way.before(&self.ledger.store, &trees[0], self.ledger.identities)?;
                    (before, Some(manifest))
                }
            };
            before_manifest = manifest;
            let (epoch, seed) = self.epoch()?;
            let pack = PackWriter::new(&self.ledger.store.repo.objects, self.ledger.store.repo.hash)?;
            let known = before.known.clone();
            let mut fold = Fold::new(self.ledger.store.repo.hash, epoch, seed, before, pack);
            match source.capture(self.ledger.env, &mut fold, progress)? {
                Capture::Done(captured) => Ok(Attempt::Done((fold.finish()?, known), captured)),
                Capture::Changed(path) => Ok(Attempt::Changed(path)),
            }
        })?;
        let (folded, known_parts) = folded;
        fault::point("commit.folded").at("write to", &self.ledger.store.repo.objects)?;
        source::refuse_giant(captured.bytes)?;
        let open = match self.others(source, &folded, before_manifest.as_ref(), &trees)? {
            Some(open) => open,
            None => return self.nothing(State::Behind, captured),
        };
        let same_files = before_manifest.as_ref().is_some_and(|before| alike(&before.files, &folded.files));
        if same_files
            && let [head] = &self.heads[..]
            && let Some(way) = self.ways.first()
            && way.id() == head.id()
            && way.record.recipients == self.recipients
            && way.record.open() == open
            && way.record.summary.title == source.selected.session.title
        {
            self.catch_up()?;
            return self.nothing(State::Unchanged, captured);
        }
        self.write(source, folded, known_parts, captured, open, &trees)
    }

    /// Of several ways the one that the session here goes on from comes first.
    fn build_upon_the_nearest(&mut self, source: &Source, trees: &mut [ReadTree]) -> Result<(), Error> {
        if self.ways.len() < 2 {
            return Ok(());
        }
        for n in 0..self.ways.len() {
            if matches!(self.relation(source, n, &trees[n])?, Relation::Ahead | Relation::Same) {
                self.ways.swap(0, n);
                trees.swap(0, n);
                break;
            }
        }
        Ok(())
    }

    /// The ways that stay open beside this checkpoint; `None` if one of them already holds all that stands here.
    fn others(
        &mut self,
        source: &Source,
        folded: &Folded,
        before: Option<&Manifest>,
        trees: &[ReadTree],
    ) -> Result<Option<Vec<ObjectId>>, Error> {
        let mut open = Vec::new();
        let mut chosen = false;
        for n in 0..self.ways.len() {
            let quick = n == 0 && before.is_some_and(|before| went_on(before, folded));
            let relation = if quick { Relation::Ahead } else { self.relation(source, n, &trees[n])? };
            match relation {
                Relation::Behind => return Ok(None),
                Relation::Diverged => open.push(self.ways[n].id()),
                Relation::Ahead | Relation::Same | Relation::New => {
                    chosen |= self.known.seen.get("@chosen") == Some(&self.ways[n].id());
                }
            }
        }
        Ok(Some(if chosen { Vec::new() } else { open }))
    }

    /// How the transcript here relates to that of a checkpoint.
    fn relation(&mut self, source: &Source, n: usize, tree: &ReadTree) -> Result<Relation, Error> {
        let here = &source.selected.session.transcript;
        let way = &mut self.ways[n];
        let (store, identities) = (&self.ledger.store, self.ledger.identities);
        let manifest = Manifest::of(&way.manifest_bytes(store, tree, identities)?, &way.record.sid, &way.record.summary.agent)?;
        let dir = tempfile::Builder::new().prefix("samesession-compare-").tempdir_in(self.ledger.env.temp_dir());
        let dir = dir.at("create a directory in", self.ledger.env.temp_dir())?;
        let mut contents = way.contents(store, tree, identities)?;
        for file in &manifest.files {
            let mut content = (&mut contents).take(file.size);
            if file.role != super::role_name(Role::Transcript) {
                std::io::copy(&mut content, &mut std::io::sink()).map_err(capsule::Error::Read)?;
                continue;
            }
            let packed = jsonl::is_packed(file.path.as_path());
            let theirs = dir.path().join(if packed { "theirs.jsonl.zst" } else { "theirs.jsonl" });
            let mut out = crate::durable::create_private(&theirs)?;
            std::io::copy(&mut content, &mut out).map_err(capsule::Error::Read)?;
            return Ok(compare::growing(here, &theirs).at("compare", here)?);
        }
        Ok(Relation::Diverged)
    }

    /// The key for what is new: the chain's, or the first of a new chain.
    fn epoch(&self) -> Result<(Arc<Epoch>, [u8; 32]), Error> {
        match self.ways.first() {
            Some(way) => Ok((Arc::clone(&way.epoch), way.record.seed().unwrap_or_default())),
            None => Ok((Arc::new(Epoch::begin()), unhex(&random_hex::<32>()).unwrap_or_default())),
        }
    }

    fn write(
        mut self,
        source: &Source,
        mut folded: Folded,
        known: std::collections::HashMap<[u8; 32], crate::store::record::Line>,
        captured: Captured,
        open: Vec<ObjectId>,
        trees: &[ReadTree],
    ) -> Result<Outcome, Error> {
        let store = &self.ledger.store;
        let hash = store.repo.hash;
        let nothing = BTreeMap::new();
        let there = trees.first().map_or(&nothing, |tree| &tree.tree.parts);
        let mut parts = folded.blobs(there);
        let mut manifest = source.manifest(self.ledger.env, self.device);
        manifest.files = std::mem::take(&mut folded.files);
        let mut manifest_json = serde_json::to_vec_pretty(&manifest).map_err(|error| capsule::Error::Write(error.into()))?;
        manifest_json.push(b'\n');
        let paging = Paging { known: &known, there, epoch: &folded.epoch, seed: &folded.seed };
        let summary = Summary {
            agent: manifest.agent.clone(),
            native_id: manifest.native_id.clone(),
            title: manifest.title.clone(),
            files: manifest.files.len(),
            bytes: manifest.files.iter().map(|file| file.size).sum(),
            created: manifest.created.clone(),
            device: self.device.name.clone(),
        };
        let mut record = Record::new(Kind::Checkpoint, &self.sid, summary);
        record.manifest = paging.seal(&manifest_json, hash, &mut folded.pack, &mut parts)?;
        record.parts = paging.seal(&list(&folded.lines), hash, &mut folded.pack, &mut parts)?;
        record.dictionaries = folded.dictionaries;
        record.sequence = self.heads.iter().map(|head| head.header.sequence).max().unwrap_or(0) + 1;
        record.made = time::format(self.ledger.env.now());
        record.device = self.device.name.clone();
        record.seed = crate::id::hex(&folded.seed);
        record.recipients = self.recipients.clone();
        record.open = open.iter().map(ToString::to_string).collect();
        let (wraps, new_wraps) = self.wraps(&folded.epoch)?;
        let sequence = record.sequence;
        let draft = Draft {
            record,
            epoch: folded.epoch,
            parents: self.heads.iter().map(Checkpoint::id).collect(),
            wraps,
            new_wraps,
            parts,
            manifest_signature: Some(self.device.signing().sign(NAMESPACE, &manifest_json)?.into_bytes()),
            total: self.heads.iter().map(|head| head.header.total).max().unwrap_or(0),
        };
        let default = ReadTree::default();
        let tip = draft.write(&self.ledger.store, trees.first().unwrap_or(&default), self.device.signing(), &mut folded.pack)?;
        let added = folded.pack.bytes();
        let pack = folded.pack.finish()?;
        fault::point("commit.packed").at("write to", &self.ledger.store.repo.objects)?;
        if let Err(error) = self.move_ref(tip) {
            if let Some(pack) = pack {
                pack::discard(&pack);
            }
            return Err(error);
        }
        let _ = fault::point("commit.referenced");
        // The checkpoint stands: that packs stay many is no failure of it, and the next one tries again.
        let _ = tidy::consolidate(store);
        let recipients = self.recipients;
        Ok(Outcome { tip, sequence, state: State::Made, added, captured, recipients, open, findings: Vec::new() })
    }

    /// The keys of every epoch of the chain, as they are; or sealed anew if somebody has come to it.
    #[allow(clippy::type_complexity)]
    fn wraps(&mut self, current: &Arc<Epoch>) -> Result<(BTreeMap<String, Vec<ObjectId>>, BTreeMap<String, Vec<Vec<u8>>>), Error> {
        let mut wraps = BTreeMap::new();
        let mut new = BTreeMap::new();
        let to = keys::recipients(&keys::SealTo::Recipients(self.recipients.clone()), Some(self.device))?;
        let store = &self.ledger.store;
        for way in &mut self.ways {
            let names: Vec<EpochId> = way.epochs.names().collect();
            let same = way.record.recipients == self.recipients;
            for name in names {
                match way.epochs.wraps().get(name.as_str()) {
                    Some(known) if same => drop(wraps.insert(name.as_str().to_owned(), known.clone())),
                    _ => {
                        let epoch = way.epochs.get(store, &name, self.ledger.identities)?;
                        new.insert(name.as_str().to_owned(), epoch.wrap(&to, self.callbacks)?);
                    }
                }
            }
        }
        let name = current.id.as_str();
        if !wraps.contains_key(name) && !new.contains_key(name) {
            new.insert(name.to_owned(), current.wrap(&to, self.callbacks)?);
        }
        Ok((wraps, new))
    }

    fn move_ref(&self, tip: ObjectId) -> Result<(), Error> {
        let mut changes = vec![
            Change { name: names::session(&self.sid), to: Some(tip), from: self.known.local },
            Change { name: names::seen(HERE, &self.sid), to: Some(tip), from: self.known.seen.get(HERE).copied() },
        ];
        if let Some(chosen) = self.known.seen.get("@chosen") {
            changes.push(Change { name: names::chosen(&self.sid), to: None, from: Some(*chosen) });
        }
        Ok(refs::update(&self.ledger.store, "samesession: checkpoint", &changes)?)
    }

    /// Where a remote's chain holds all there is, ours begins there.
    fn catch_up(&self) -> Result<(), Error> {
        match &self.heads[..] {
            [head] if self.known.local != Some(head.id()) => self.move_ref(head.id()),
            _ => Ok(()),
        }
    }

    fn nothing(self, state: State, captured: Captured) -> Result<Outcome, Error> {
        let tip = self.heads.first().map(|head| (head.id(), head.header.sequence));
        let (tip, sequence) = tip.ok_or_else(|| Error::NoSuchSession(self.sid.to_string()))?;
        Ok(Outcome { tip, sequence, state, added: 0, captured, recipients: self.recipients, open: Vec::new(), findings: Vec::new() })
    }
}

/// Whether the transcript was found as it was before, with or without more behind it.
fn went_on(before: &Manifest, folded: &Folded) -> bool {
    let role = super::role_name(Role::Transcript);
    let Some(old) = before.files.iter().find(|file| file.role == role) else { return false };
    let new = folded.files.iter().find(|file| file.role == role && file.path == old.path);
    let same = new.is_some_and(|new| (new.size, &new.sha256) == (old.size, &old.sha256));
    same || folded.kept.get(&old.path) == Some(&old.size)
}

fn alike(before: &[FileEntry], after: &[FileEntry]) -> bool {
    let what = |file: &FileEntry| (file.path.clone(), file.role.clone(), file.size, file.mode, file.sha256.clone());
    before.len() == after.len() && before.iter().zip(after).all(|(a, b)| what(a) == what(b))
}
