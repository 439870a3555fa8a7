//! A checkpoint opened: what anybody can see of it, what its readers can, and its files' contents as one stream.
//!
//! Everything here may come from a stranger. What must stay true: a `Checkpoint` is a signed commit of ours for the
//! session it claims; an `Opened` one's record is signed by the same key; a byte that comes out of `contents` was sealed
//! to one of its epochs and stands where its list says.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io::{self, Read};
use std::sync::Arc;

use gix::hash::ObjectId;
use sha2::{Digest, Sha256};

use super::commit::Commit;
use super::envelope::{self, Envelope};
use super::fold::{Before, TINY};
use super::part::{hash_of, name_of};
use super::record::{Header, Kind, Line, Pages, Record};
use super::tree::{Read as ReadTree, Tree};
use super::{Error, Store};
use crate::capsule::Manifest;
use crate::id::{SessionId, hex};
use crate::pool::Pool;
use crate::seal::packing::{Dictionary, Unpacker};
use crate::seal::{self, Epoch, EpochId, Identities, NAMESPACE, Signer, chunk};

const MAX_HEADER: usize = 64 << 10;
const MAX_WRAP: usize = 256 << 10;
/// Of the list of parts, or of the manifest. A list of this length is about a hundred gigabytes.
const MAX_TEXT: usize = 128 << 20;
/// Many times what they have.
const MAX_DICTIONARY: usize = 8 << 20;
/// So many of them are kept ready.
const DICTIONARIES: usize = 4;
/// A part of random bytes, sealed, and what pads it.
const MAX_PART: usize = chunk::MAX + (256 << 10);

/// What can be seen without a key.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub commit: Commit,
    pub sid: SessionId,
    pub header: Header,
    pub signer: Signer,
    tree: Tree,
}

impl Checkpoint {
    pub fn read(store: &Store, id: &ObjectId) -> Result<Checkpoint, Error> {
        Checkpoint::signed(store, id, |commit| match commit.is_signed() {
            true => Ok(commit.signer()?),
            false => Err(Error::Unsigned(*id)),
        })
    }

    /// One that nobody has signed, for whoever takes it all the same. A signature that does not hold is not none.
    pub fn unsigned(store: &Store, id: &ObjectId) -> Result<Checkpoint, Error> {
        Checkpoint::signed(store, id, |commit| match commit.is_signed() {
            true => Err(seal::Error::BadSignature("it is signed".to_owned()).into()),
            false => Ok(Signer::nobody()),
        })
    }

    fn signed(store: &Store, id: &ObjectId, signer: impl Fn(&Commit) -> Result<Signer, Error>) -> Result<Checkpoint, Error> {
        let not = |why: &str| Error::NotACheckpoint { what: id.to_string(), why: why.to_owned() };
        let commit = Commit::read(store, id)?;
        if !commit.is_ours() {
            return Err(not("it is another commit"));
        }
        let tree = Tree::header_of(store, &commit.tree)?;
        store.want(tree.small())?;
        let header = tree.header.ok_or_else(|| not("it has no capsule.json"))?;
        let header = Header::parse(&store.blob(&header, MAX_HEADER)?).map_err(|why| not(&format!("capsule.json: {why}")))?;
        let sid = SessionId::parse(&header.sid).map_err(|error| not(&error.to_string()))?;
        let signer = signer(&commit).map_err(|error| match error {
            Error::Seal(error) => not(&error.to_string()),
            error => error,
        })?;
        Ok(Checkpoint { sid, header, signer, tree, commit })
    }

    /// Where blobs come only when they are wanted, those that a look at these commits needs are brought in one go.
    pub fn bring<'a>(store: &Store, ids: impl Iterator<Item = &'a ObjectId>) -> Result<(), Error> {
        if store.repo.promisor().is_none() {
            return Ok(());
        }
        let tree = |id| Tree::header_of(store, &Commit::read(store, id).ok().filter(Commit::is_ours)?.tree).ok();
        let trees: Vec<Tree> = ids.filter_map(tree).collect();
        store.want(trees.iter().flat_map(Tree::small))
    }

    pub fn id(&self) -> ObjectId {
        self.commit.id
    }

    /// Of how many epochs its tree has the keys.
    pub fn epochs(&self) -> usize {
        self.tree.keys.len()
    }

    /// The epochs whose keys it brings itself.
    pub fn epoch_names(&self) -> impl Iterator<Item = &str> {
        self.tree.keys.keys().map(String::as_str)
    }

    /// The same epochs, wrapped to the same readers.
    pub fn has_keys_of(&self, other: &Checkpoint) -> bool {
        self.tree.keys == other.tree.keys
    }

    /// Opens the record; `more` may lend the keys of a later checkpoint, which are wrapped to whoever was added since.
    pub fn open(&self, store: &Store, with: &Identities, more: Option<&Checkpoint>) -> Result<Opened, Error> {
        let damaged = |why: String| Error::Damaged { commit: self.id(), why };
        let mut epochs = Epochs { wraps: self.tree.keys.clone(), open: BTreeMap::new() };
        for (epoch, wraps) in more.iter().flat_map(|more| &more.tree.keys) {
            let known = epochs.wraps.entry(epoch.clone()).or_default();
            known.extend(wraps.iter().filter(|wrap| !self.tree.keys.get(epoch).is_some_and(|mine| mine.contains(wrap))));
        }
        let epoch = EpochId::parse(&self.header.epoch).ok_or_else(|| damaged("its epoch has no name".to_owned()))?;
        let epoch = epochs.get(store, &epoch, with)?;
        let sealed = self.tree.manifest.ok_or_else(|| damaged("it has no manifest.age".to_owned()))?;
        let envelope = Envelope::open(&store.blob(&sealed, envelope::MAX)?, &epoch).map_err(|error| damaged(error.to_string()))?;
        // Where nobody signed the commit its record may have no signature either, but no bad one.
        if !(self.signer.is_nobody() && envelope.record_signature.is_empty()) {
            let signer = seal::verify(NAMESPACE, &envelope.record, &envelope.record_signature)
                .map_err(|error| damaged(format!("its record: {error}")))?;
            if signer != self.signer && !self.signer.is_nobody() {
                return Err(damaged("its record and its commit are signed by different keys".to_owned()));
            }
        }
        let record = Record::parse(&envelope.record, &self.header).map_err(damaged)?;
        Ok(Opened { checkpoint: self.clone(), record, signature: envelope.manifest_signature, epoch, epochs })
    }
}

/// The keys of a chain's epochs, as they are needed.
#[derive(Clone)]
pub struct Epochs {
    wraps: BTreeMap<String, Vec<ObjectId>>,
    open: BTreeMap<EpochId, Arc<Epoch>>,
}

impl Epochs {
    pub fn get(&mut self, store: &Store, id: &EpochId, with: &Identities) -> Result<Arc<Epoch>, Error> {
        if let Some(epoch) = self.open.get(id) {
            return Ok(Arc::clone(epoch));
        }
        let none = || Error::Seal(seal::Error::Damaged(format!("it has no key of epoch {}", id.as_str())));
        let wraps = self.wraps.get(id.as_str()).filter(|wraps| !wraps.is_empty()).ok_or_else(none)?;
        let wraps = wraps.iter().take(64).map(|wrap| store.blob(wrap, MAX_WRAP)).collect::<Result<Vec<_>, _>>()?;
        let epoch = Arc::new(Epoch::unwrap(id, &wraps, with)?);
        self.open.insert(id.clone(), Arc::clone(&epoch));
        Ok(epoch)
    }

    pub fn names(&self) -> impl Iterator<Item = EpochId> {
        self.wraps.keys().filter_map(|name| EpochId::parse(name))
    }

    /// The wraps as they stand in the tree, for the next one.
    pub fn wraps(&self) -> &BTreeMap<String, Vec<ObjectId>> {
        &self.wraps
    }
}

/// What its readers can see.
pub struct Opened {
    pub checkpoint: Checkpoint,
    pub record: Record,
    /// Of the manifest.
    pub signature: Option<Vec<u8>>,
    pub epoch: Arc<Epoch>,
    pub epochs: Epochs,
}

impl Opened {
    pub fn id(&self) -> ObjectId {
        self.checkpoint.id()
    }

    pub fn is_deleted(&self) -> bool {
        self.record.kind == Kind::Deleted
    }

    fn damaged(&self, why: impl Into<String>) -> Error {
        Error::Damaged { commit: self.id(), why: why.into() }
    }

    /// All names in its tree. Where blobs come only when they are wanted, those of the parts are brought in one go.
    pub fn tree(&self, store: &Store) -> Result<ReadTree, Error> {
        let read = Tree::read(store, &self.checkpoint.commit.tree)?;
        store.want(read.tree.parts.values())?;
        Ok(read)
    }

    pub fn manifest_bytes(&mut self, store: &Store, tree: &ReadTree, with: &Identities) -> Result<Vec<u8>, Error> {
        let pages = self.record.manifest.clone();
        self.text(store, tree, with, &pages)
    }

    pub fn lines(&mut self, store: &Store, tree: &ReadTree, with: &Identities) -> Result<Vec<Line>, Error> {
        let pages = self.record.parts.clone();
        let text = self.text(store, tree, with, &pages)?;
        let text = String::from_utf8(text).map_err(|_| self.damaged("its list of parts is not text"))?;
        text.lines().map(|line| line.parse().map_err(|why: &str| self.damaged(why))).collect()
    }

    fn text(&mut self, store: &Store, tree: &ReadTree, with: &Identities, pages: &Pages) -> Result<Vec<u8>, Error> {
        let mut unpacker = Unpacker::default();
        let mut text = Vec::new();
        // It is held in memory, and a page may be named any number of times.
        if pages.pages.iter().map(|page| page.length).sum::<usize>() > MAX_TEXT {
            return Err(self.damaged("its pages are more than there can be"));
        }
        for page in &pages.pages {
            let epoch = self.epochs.get(store, &page.epoch, with)?;
            let sealed = self.sealed(store, tree, page)?;
            let plain = unseal(&sealed, page, &epoch, &mut unpacker, None).map_err(|why| self.damaged(why))?;
            // The next checkpoint keeps it for what it is said to be.
            if hash_of(&plain) != page.hash {
                return Err(self.damaged("a page of it is not what it says"));
            }
            text.extend(plain);
        }
        if hex(&Sha256::digest(&text)) != pages.sha256 {
            return Err(self.damaged("its pages do not make the text they should"));
        }
        Ok(text)
    }

    fn sealed(&self, store: &Store, tree: &ReadTree, line: &Line) -> Result<Vec<u8>, Error> {
        let id = tree.tree.parts.get(&line.name).ok_or_else(|| self.damaged(format!("part {} is missing", line.name)))?;
        store.blob(id, MAX_PART)
    }

    /// The files' contents, one behind the other.
    pub fn contents<'a>(&mut self, store: &'a Store, tree: &'a ReadTree, with: &Identities) -> Result<Contents<'a>, Error> {
        let lines = self.lines(store, tree, with)?;
        let mut dictionaries = self.record.dictionaries.clone();
        let used: HashSet<&String> = lines.iter().filter_map(|line| line.dictionary.as_ref()).collect();
        dictionaries.retain(|name, _| used.contains(name));
        for line in lines.iter().chain(dictionaries.values().flatten()) {
            self.epochs.get(store, &line.epoch, with)?;
        }
        let epochs = Arc::new(self.epochs.open.clone());
        let worker = || {
            let (epochs, mut unpacker) = (Arc::clone(&epochs), Unpacker::default());
            move |Part { line, sealed, dictionary }: Part| {
                let epoch = epochs.get(&line.epoch).ok_or("a key is missing")?;
                unseal(&sealed, &line, epoch, &mut unpacker, dictionary.as_deref())
            }
        };
        let pool = Pool::new(worker);
        let ready = VecDeque::new();
        Ok(Contents { commit: self.id(), store, tree, lines: lines.into(), dictionaries, epochs, ready, pool, part: Vec::new(), at: 0 })
    }

    /// As `before`, and each part of it was opened, so that nothing rests on another's word.
    pub fn before_proven(&mut self, store: &Store, tree: &ReadTree, with: &Identities) -> Result<(Before, Manifest), Error> {
        let (mut before, manifest) = self.before(store, tree, with)?;
        let mut sound = self.contents(store, tree, with)?.sound()?;
        // The pages were read just now.
        sound.extend(self.record.manifest.pages.iter().chain(&self.record.parts.pages).cloned());
        before.keep(&sound);
        Ok((before, manifest))
    }

    /// What the next checkpoint can keep of this one.
    pub fn before(&mut self, store: &Store, tree: &ReadTree, with: &Identities) -> Result<(Before, Manifest), Error> {
        let manifest_bytes = self.manifest_bytes(store, tree, with)?;
        let manifest = crate::capsule::Manifest::of(&manifest_bytes, &self.record.sid, &self.record.summary.agent)?;
        let lines = self.lines(store, tree, with)?;
        let there = |line: &Line| tree.tree.parts.get(&line.name).is_some_and(|id| store.is_promised(id) || store.has(id));
        let mut before = Before { dictionaries: self.record.dictionaries.clone(), ..Before::default() };
        before.dictionaries.retain(|_, parts| parts.iter().all(there));
        before.incomplete = !lines.iter().all(there) || before.dictionaries.len() < self.record.dictionaries.len();
        let usable = |line: &Line| there(line) && line.dictionary.as_ref().is_none_or(|name| before.dictionaries.contains_key(name));
        let mut rest = lines.iter().peekable();
        let mut shared = 0u64;
        for file in &manifest.files {
            if file.size <= TINY {
                shared += file.size;
                continue;
            }
            // The parts of the tiny files before it.
            while shared > 0 {
                let Some(line) = rest.next() else { break };
                shared = shared.saturating_sub(line.length as u64);
            }
            let mut left = file.size;
            let mut own = Vec::new();
            while let Some(line) = rest.next_if(|line| left > 0 && line.length as u64 <= left) {
                left -= line.length as u64;
                own.push(line.clone());
            }
            let sound = own.iter().take_while(|line| usable(line)).count();
            own.truncate(sound);
            before.files.insert(file.path.clone(), own);
        }
        let pages = self.record.manifest.pages.iter().chain(&self.record.parts.pages);
        let known = lines.iter().filter(|line| usable(line)).chain(pages.filter(|line| there(line)));
        before.known = known.map(|line| (line.hash, line.clone())).collect();
        Ok((before, manifest))
    }
}

fn unseal(sealed: &[u8], line: &Line, epoch: &Epoch, unpacker: &mut Unpacker, with: Option<&Dictionary>) -> Result<Vec<u8>, String> {
    if name_of(sealed) != line.name {
        return Err(format!("part {} is not what it should be", line.name));
    }
    let packed = epoch.open(sealed).map_err(|_| format!("part {} is not sealed to its epoch", line.name))?;
    let plain = unpacker.unpack(&packed, line.length, with).map_err(|error| format!("part {}: {error}", line.name))?;
    if plain.len() == line.length { Ok(plain) } else { Err(format!("part {} has another length", line.name)) }
}

/// A sealed part, and what it was packed against.
struct Part {
    line: Line,
    sealed: Vec<u8>,
    dictionary: Option<Arc<Dictionary>>,
}

/// A stream over parts that are opened ahead, on every core.
pub struct Contents<'a> {
    commit: ObjectId,
    store: &'a Store,
    tree: &'a ReadTree,
    lines: VecDeque<Line>,
    dictionaries: BTreeMap<String, Vec<Line>>,
    epochs: Arc<BTreeMap<EpochId, Arc<Epoch>>>,
    /// Those that were needed last: a session has as many as it has large files, and each takes megabytes.
    ready: VecDeque<(String, Arc<Dictionary>)>,
    pool: Pool<Part, Result<Vec<u8>, String>>,
    part: Vec<u8>,
    at: usize,
}

impl Contents<'_> {
    fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if let Some(plain) = self.pool.ready().map_err(|_| Error::Died)? {
                return plain.map(Some).map_err(|why| self.damaged(why));
            }
            let Some(line) = self.lines.pop_front() else { break };
            let dictionary = line.dictionary.as_ref().map(|name| self.dictionary(name)).transpose()?;
            let sealed = self.sealed(&line)?;
            self.pool.push(Part { line, sealed, dictionary });
        }
        self.pool.next().map_err(|_| Error::Died)?.transpose().map_err(|why| self.damaged(why))
    }

    fn dictionary(&mut self, name: &String) -> Result<Arc<Dictionary>, Error> {
        if let Some((_, ready)) = self.ready.iter().find(|(ready, _)| ready == name) {
            return Ok(Arc::clone(ready));
        }
        let parts = self.dictionaries.get(name).ok_or_else(|| self.damaged("a dictionary is missing"))?;
        if parts.len() > 64 || parts.iter().map(|part| part.length).sum::<usize>() > MAX_DICTIONARY {
            return Err(self.damaged("a dictionary of it is too large"));
        }
        let mut unpacker = Unpacker::default();
        let mut sample = Vec::new();
        for line in parts {
            let epoch = self.epochs.get(&line.epoch).ok_or_else(|| self.damaged("a key is missing"))?;
            sample.extend(unseal(&self.sealed(line)?, line, epoch, &mut unpacker, None).map_err(|why| self.damaged(why))?);
        }
        let ready = Arc::new(Dictionary::of(sample));
        self.ready.truncate(DICTIONARIES - 1);
        self.ready.push_front((name.clone(), Arc::clone(&ready)));
        Ok(ready)
    }

    fn sealed(&self, line: &Line) -> Result<Vec<u8>, Error> {
        let id = self.tree.tree.parts.get(&line.name).ok_or_else(|| self.damaged(format!("part {} is missing", line.name)))?;
        self.store.blob(id, MAX_PART)
    }

    fn damaged(&self, why: impl Into<String>) -> Error {
        Error::Damaged { commit: self.commit, why: why.into() }
    }
}

impl Contents<'_> {
    /// Which of the parts are what their list says: each is opened. What nobody has looked into is whatever its maker says.
    pub fn sound(mut self) -> Result<HashSet<Line>, Error> {
        let mut sound = HashSet::new();
        let mut under_way: VecDeque<Line> = VecDeque::new();
        let mut settle = |under_way: &mut VecDeque<Line>, plain: Result<Vec<u8>, String>| {
            let line = under_way.pop_front();
            sound.extend(line.filter(|line| plain.is_ok_and(|plain| hash_of(&plain) == line.hash)));
        };
        // A dictionary may be made of parts that no file has any more.
        let mut lines: Vec<Line> = self.lines.drain(..).chain(self.dictionaries.values().flatten().cloned()).collect();
        let mut seen = HashSet::new();
        lines.retain(|line| seen.insert(line.clone()));
        for line in lines {
            if crate::progress::interrupted() {
                return Err(crate::git::Error::Interrupted.into());
            }
            let dictionary = line.dictionary.as_ref().map(|name| self.dictionary(name)).transpose();
            let (Ok(dictionary), Ok(sealed)) = (dictionary, self.sealed(&line)) else { continue };
            under_way.push_back(line.clone());
            self.pool.push(Part { line, sealed, dictionary });
            while let Some(plain) = self.pool.ready().map_err(|_| Error::Died)? {
                settle(&mut under_way, plain);
            }
        }
        while let Some(plain) = self.pool.next().map_err(|_| Error::Died)? {
            settle(&mut under_way, plain);
        }
        Ok(sound)
    }
}

impl Read for Contents<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.part.len() {
            match self.next().map_err(io::Error::other)? {
                None => return Ok(0),
                Some(part) => (self.part, self.at) = (part, 0),
            }
        }
        let n = into.len().min(self.part.len() - self.at);
        into[..n].copy_from_slice(&self.part[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}
