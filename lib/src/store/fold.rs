//! Files into sealed parts: what the last checkpoint holds already is kept, what is new is cut, packed and sealed.
//!
//! One pass, constant memory, every core. A file that only grew keeps the parts it had, however they were cut, and its new
//! end becomes a part of its own; once a file ends in many small parts they are made one. Tiny files share parts. What
//! must stay true: the parts' contents one behind the other are the files' contents one behind the other, and no dictionary is
//! needed for what a dictionary is made of.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::sync::Arc;

use gix::hash::{Kind, ObjectId};
use sha2::{Digest, Sha256};

use super::Error;
use super::block::{Block, Blocks, Lent, STEP};
use super::pack::PackWriter;
use super::part::{Beginning, Done, Job, hash_of, work};
use super::record::Line;
use crate::capsule::{self, Content, Exact, FileEntry, Names, Observer, Shared, Target};
use crate::id::hex;
use crate::path::RelPath;
use crate::pool::Pool;
use crate::seal::Epoch;
use crate::seal::chunk::{self, Gear};
use crate::seal::packing::{DICTIONARY, Packer};

/// Files up to this size share parts.
pub const TINY: u64 = 16 << 10;
const GROUP: usize = 256 << 10;
/// One file in this many begins a new group: by its name, so that a new file changes only the group it falls into.
const GROUP_BEGINS: u8 = 8;
/// So many small parts in a row at a file's end become one.
const SMALL_PARTS: usize = 6;
const SMALL: usize = 32 << 10;
/// Once so little is left of a file, a pack that is longer than this is closed while the rest is sealed, into another one:
/// else everybody would wait for its checksum in the end.
const LEFT: u64 = 8 << 20;
const LONG_PACK: u64 = 8 << 20;

/// What the checkpoint before this one gives.
#[derive(Default)]
pub struct Before {
    /// The parts of each file that has parts of its own.
    pub files: BTreeMap<RelPath, Vec<Line>>,
    /// Every part that is there, by what it holds.
    pub known: HashMap<[u8; 32], Line>,
    /// All dictionaries that parts were packed against.
    pub dictionaries: BTreeMap<String, Vec<Line>>,
    /// The hashes and sizes of its files, by the last part of their names, for those that have no parts of their own.
    pub seen: HashMap<OsString, Vec<(String, usize)>>,
    /// Some of it is not there any more, or is not what it should be.
    pub incomplete: bool,
}

impl Before {
    /// What is not among these parts is not kept.
    pub fn keep(&mut self, sound: &HashSet<Line>) {
        let is = |line: &Line| sound.contains(line);
        let all = |lines: &[Line]| lines.iter().all(is);
        self.incomplete |= !self.known.values().all(is);
        self.dictionaries.retain(|_, lines| all(lines));
        let dictionaries = &self.dictionaries;
        let usable = |line: &Line| is(line) && line.dictionary.as_ref().is_none_or(|name| dictionaries.contains_key(name));
        self.known.retain(|_, line| usable(line));
        for lines in self.files.values_mut() {
            let sound = lines.iter().take_while(|line| usable(line)).count();
            lines.truncate(sound);
        }
    }

    pub fn see(&mut self, files: &[FileEntry]) {
        for file in files {
            let (Some(name), Ok(size)) = (file.path.as_path().file_name(), usize::try_from(file.size)) else { continue };
            self.seen.entry(name.to_owned()).or_default().push((file.sha256.clone(), size));
        }
    }

    /// How much of a file's beginning is a whole file that was there, a short one.
    fn seen_of(&self, name: &RelPath, bytes: &[u8]) -> usize {
        let seen = name.as_path().file_name().and_then(|name| self.seen.get(name));
        let short = seen.into_iter().flatten().filter(|(_, size)| *size <= bytes.len().min(TINY as usize));
        let same = short.filter(|(sha256, size)| hex(&Sha256::digest(&bytes[..*size])) == *sha256);
        same.map(|(_, size)| *size).max().unwrap_or(0)
    }

    /// The parts that this file had. On another machine it may have been in another directory; whatever is found here is
    /// kept only as far as it holds the same.
    fn take(&mut self, name: &RelPath) -> Vec<Line> {
        if let Some(lines) = self.files.remove(name) {
            return lines;
        }
        let last = |name: &RelPath| name.as_path().file_name().map(ToOwned::to_owned);
        let elsewhere = self.files.keys().find(|known| last(known) == last(name)).cloned();
        elsewhere.and_then(|known| self.files.remove(&known)).unwrap_or_default()
    }
}

pub struct Fold {
    epoch: Arc<Epoch>,
    seed: [u8; 32],
    gear: Gear,
    before: Before,
    pool: Pool<Job, Result<Done, Error>>,
    pack: PackWriter,
    /// Memory for parts, so that the system need not clear new pages for each.
    blocks: Blocks,
    slots: Vec<Option<Line>>,
    /// Which slots the pool owes, in the order of the work.
    owed: std::collections::VecDeque<usize>,
    new: BTreeMap<String, ObjectId>,
    dictionaries: Vec<(String, std::ops::Range<usize>)>,
    group: Block,
    files: Vec<FileEntry>,
    kept: BTreeMap<RelPath, u64>,
    names: Names,
    observer: Option<Box<dyn Observer>>,
}

pub struct Folded {
    pub files: Vec<FileEntry>,
    /// So much of a file's beginning is what it was before.
    pub kept: BTreeMap<RelPath, u64>,
    pub lines: Vec<Line>,
    pub dictionaries: BTreeMap<String, Vec<Line>>,
    /// The blobs of parts that were not there before.
    pub new: BTreeMap<String, ObjectId>,
    pub pack: PackWriter,
    pub epoch: Arc<Epoch>,
    pub seed: [u8; 32],
}

impl Fold {
    pub fn new(hash: Kind, epoch: Arc<Epoch>, seed: [u8; 32], before: Before, pack: PackWriter) -> Fold {
        let known = Arc::new(before.known.clone());
        let worker = || {
            let (known, epoch, mut packer) = (Arc::clone(&known), Arc::clone(&epoch), Packer::default());
            move |job: Job| work(&job, &known, &epoch, &mut packer, hash)
        };
        Fold {
            pool: Pool::new(worker),
            gear: Gear::new(&seed),
            epoch,
            seed,
            before,
            pack,
            blocks: Blocks::default(),
            slots: Vec::new(),
            owed: std::collections::VecDeque::new(),
            new: BTreeMap::new(),
            dictionaries: Vec::new(),
            group: Block::default(),
            files: Vec::new(),
            kept: BTreeMap::new(),
            names: Names::default(),
            observer: None,
        }
    }

    /// From now on somebody sees each file, and what of it is new.
    pub fn observed(mut self, observer: Box<dyn Observer>) -> Fold {
        self.observer = Some(observer);
        self
    }

    fn see(&mut self, how: impl FnOnce(&mut dyn Observer)) {
        if let Some(observer) = &mut self.observer {
            how(&mut **observer);
        }
    }

    pub fn finish(mut self) -> Result<Folded, Error> {
        self.names.nested()?;
        self.end_group()?;
        while let Some(done) = self.pool.next().map_err(|_| Error::Died)? {
            self.settle(done?)?;
        }
        let lines: Vec<Line> = self.slots.into_iter().flatten().collect();
        let used: HashSet<&String> = lines.iter().filter_map(|line| line.dictionary.as_ref()).collect();
        let mut dictionaries: BTreeMap<String, Vec<Line>> = BTreeMap::new();
        for (name, parts) in self.dictionaries {
            dictionaries.insert(name, lines[parts].to_vec());
        }
        for (name, parts) in self.before.dictionaries {
            dictionaries.entry(name).or_insert(parts);
        }
        dictionaries.retain(|name, _| used.contains(name));
        Ok(Folded {
            files: self.files,
            kept: self.kept,
            dictionaries,
            lines,
            new: self.new,
            pack: self.pack,
            epoch: self.epoch,
            seed: self.seed,
        })
    }

    fn push(&mut self, plain: Arc<Lent>, dictionary: Option<Arc<Beginning>>) -> Result<(), Error> {
        self.owed.push_back(self.slots.len());
        self.slots.push(None);
        self.pool.push(Job { plain, dictionary });
        while let Some(done) = self.pool.ready().map_err(|_| Error::Died)? {
            self.settle(done?)?;
        }
        Ok(())
    }

    fn settle(&mut self, done: Done) -> Result<(), Error> {
        if let Some(entry) = done.entry {
            self.pack.add(&entry)?;
            self.new.insert(done.line.name.clone(), entry.id);
        }
        if let Some(slot) = self.owed.pop_front() {
            self.slots[slot] = Some(done.line);
        }
        Ok(())
    }

    /// A tiny file goes with its neighbours.
    fn tiny(&mut self, name: &RelPath, mut content: Exact<'_>) -> Result<[u8; 32], Error> {
        let hash = Sha256::new().chain_update(b"samesession/group/1").chain_update(self.seed).chain_update(name.as_bytes()).finalize();
        if hash[0] % GROUP_BEGINS == 0 || self.group.len() + TINY as usize > GROUP {
            self.end_group()?;
        }
        // To its end, since it ends there or is refused.
        let begins = self.group.len();
        self.group.fill(&mut content, begins + TINY as usize + 1).map_err(capsule::Error::Write)?;
        let hash = content.hash();
        if let Some(observer) = &mut self.observer {
            let bytes = &self.group[begins..];
            let (known, new) = bytes.split_at(self.before.seen_of(name, bytes));
            observer.begin(name);
            observer.known(known);
            observer.fresh(new);
            observer.end();
        }
        Ok(hash)
    }

    fn end_group(&mut self) -> Result<(), Error> {
        if self.group.is_empty() {
            return Ok(());
        }
        let group = std::mem::replace(&mut self.group, self.blocks.take());
        self.push(self.blocks.lend(group), None)
    }

    fn large(&mut self, name: &RelPath, mut content: Exact<'_>) -> Result<[u8; 32], Error> {
        self.end_group()?;
        self.see(|observer| observer.begin(name));
        let mut part = self.blocks.take();
        let mut beginning = Gathering { from: self.slots.len(), sample: Vec::new(), ready: None };
        // The small parts at the end of what is kept, in case they are to become one.
        let mut tail = Vec::new();
        let mut small = 0;
        for line in self.before.take(name) {
            part.fill(&mut content, line.length).map_err(capsule::Error::Write)?;
            let opens = beginning.ready.is_some() || line.dictionary.is_none();
            if !opens || part.len() != line.length || hash_of(&part) != line.hash {
                break;
            }
            let whole = self.blocks.lend(std::mem::replace(&mut part, self.blocks.take()));
            let bytes: &[u8] = (*whole).as_ref();
            if line.length < SMALL {
                tail.extend_from_slice(bytes);
                small += 1;
            } else {
                tail.clear();
                small = 0;
            }
            *self.kept.entry(name.clone()).or_default() += line.length as u64;
            self.slots.push(Some(line));
            self.see(|observer| observer.known_part(&(Arc::clone(&whole) as Shared), 0..bytes.len()));
            if self.gather(&mut beginning, bytes, self.slots.len()) {
                // What others are packed against stays as it is.
                tail.clear();
                small = 0;
            }
        }
        let more = !part.is_empty() || part.fill(&mut content, 1).map_err(capsule::Error::Write)?;
        let mut known = 0;
        if more && small + 1 >= SMALL_PARTS {
            known = tail.len();
            self.slots.truncate(self.slots.len() - small);
            beginning.sample.truncate(beginning.sample.len().saturating_sub(tail.len()));
            tail.extend_from_slice(&part);
            part.truncate(0);
            part.push(&tail);
        }
        let known = if self.kept.contains_key(name) { Some(known) } else { None };
        self.cut(name, content, part, beginning, known)
    }

    /// What is left of a file, by its own content; `part` holds the first of it, of which so many bytes were seen.
    fn cut(
        &mut self,
        name: &RelPath,
        mut content: Exact<'_>,
        mut part: Block,
        mut beginning: Gathering,
        mut known: Option<usize>,
    ) -> Result<[u8; 32], Error> {
        let mut looked = 0;
        let mut last = false;
        loop {
            let sizes = if beginning.ready.is_some() { &chunk::PARTS } else { &chunk::FIRST };
            match self.gear.cut(sizes, &part, looked, last) {
                None if last => {
                    self.see(|observer| observer.end());
                    return Ok(content.hash());
                }
                None => {
                    looked = part.len();
                    last = !part.fill(&mut content, looked + STEP).map_err(capsule::Error::Write)?;
                }
                Some(len) => {
                    let mut rest = self.blocks.take();
                    rest.push(&part[len..]);
                    part.truncate(len);
                    let whole = self.blocks.lend(std::mem::replace(&mut part, rest));
                    known = Some(self.see_part(name, &whole, known));
                    let dictionary = beginning.ready.clone();
                    self.gather(&mut beginning, (*whole).as_ref(), self.slots.len() + 1);
                    self.push(whole, dictionary)?;
                    looked = 0;
                    if self.pack.bytes() > LONG_PACK && content.left() < LEFT {
                        self.pack.close_meanwhile()?;
                    }
                }
            }
        }
    }

    /// Shows a part, of which so many bytes were shown already; how many of those are left for the next one.
    fn see_part(&mut self, name: &RelPath, part: &Arc<Lent>, shown: Option<usize>) -> usize {
        let Some(observer) = &mut self.observer else { return 0 };
        let bytes: &[u8] = (**part).as_ref();
        let shared: Shared = Arc::clone(part) as Shared;
        if let Some(shown) = shown {
            observer.fresh_part(&shared, shown.min(bytes.len())..bytes.len());
            return shown.saturating_sub(bytes.len());
        }
        // One that was short may have become long.
        let seen = self.before.seen_of(name, bytes);
        observer.known_part(&shared, 0..seen);
        observer.fresh_part(&shared, seen..bytes.len());
        0
    }

    /// Takes in the part whose slot is the last one before `end`; whether the beginning is complete with it.
    fn gather(&mut self, beginning: &mut Gathering, part: &[u8], end: usize) -> bool {
        if beginning.ready.is_some() {
            return false;
        }
        beginning.sample.extend_from_slice(part);
        if beginning.sample.len() < DICTIONARY {
            return false;
        }
        let sample = std::mem::take(&mut beginning.sample);
        let made = Arc::new(Beginning::of(sample));
        self.dictionaries.push((made.name.clone(), beginning.from..end));
        beginning.ready = Some(made);
        true
    }
}

struct Gathering {
    /// The slot of the file's first part.
    from: usize,
    sample: Vec<u8>,
    ready: Option<Arc<Beginning>>,
}

impl Target for Fold {
    type Error = Error;

    fn add(&mut self, file: Content<'_>) -> Result<[u8; 32], Error> {
        self.names.add(&file.name)?;
        let content = Exact::new(file.bytes, file.size);
        let hash = if file.size <= TINY { self.tiny(&file.name, content)? } else { self.large(&file.name, content)? };
        self.files.push(FileEntry::of(file.name, file.role, file.size, file.mode, file.modified, &hash));
        Ok(hash)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // As a text, it packs to some part of its size.
            b"abcdefghijklmnop"[(state & 15) as usize]
        };
        (0..len).map(|_| next()).collect()
    }

    fn fold(objects: &std::path::Path, before: Before, content: &[u8]) -> (Vec<Line>, Folded) {
        let pack = PackWriter::new(objects, Kind::Sha1).expect("a pack");
        let mut fold = Fold::new(Kind::Sha1, Arc::new(Epoch::begin()), [1; 32], before, pack);
        let name = RelPath::parse(b"session/x.jsonl").expect("a name");
        let (size, mut bytes) = (content.len() as u64, content);
        fold.add(Content { name, role: "transcript", size, mode: 0o600, modified: UNIX_EPOCH, bytes: &mut bytes }).expect("added");
        let folded = fold.finish().expect("finished");
        (folded.lines.clone(), folded)
    }

    /// What the checkpoint after that one is given.
    fn before(lines: &[Line], folded: &Folded) -> Before {
        Before {
            files: [(RelPath::parse(b"session/x.jsonl").expect("a name"), lines.to_vec())].into(),
            known: lines.iter().map(|line| (line.hash, line.clone())).collect(),
            dictionaries: folded.dictionaries.clone(),
            ..Before::default()
        }
    }

    #[test]
    fn a_session_that_grows_keeps_its_parts_and_few_of_them_are_small() {
        let dir = tempfile::tempdir().expect("a directory");
        let all = noise(9 << 20);
        let mut len = 8 << 20;
        let (mut lines, mut folded) = fold(dir.path(), Before::default(), &all[..len]);
        let long = lines.iter().filter(|line| line.length >= chunk::PARTS.min);
        assert!(long.clone().count() >= 2 && long.into_iter().all(|line| line.dictionary.is_none()), "{lines:?}");
        for step in 0..20 {
            len += 20_000;
            let (next, more) = fold(dir.path(), before(&lines, &folded), &all[..len]);
            let last = next.last().expect("it has parts");
            assert!(last.dictionary.as_ref().is_some_and(|name| more.dictionaries.contains_key(name)), "{step}: {last:?}");
            assert_eq!(more.new.len(), 1, "{step}");
            assert!(more.pack.bytes() < 150_000, "{step}: {}", more.pack.bytes());
            assert_eq!(next.iter().map(|line| line.length).sum::<usize>(), len);
            assert!(next.iter().filter(|line| line.length < SMALL).count() <= SMALL_PARTS, "{step}: {next:?}");
            (lines, folded) = (next, more);
        }
    }

    #[test]
    fn a_dictionary_is_short_and_opens_by_itself() {
        let dir = tempfile::tempdir().expect("a directory");
        let all = noise(3 << 20);
        let (lines, folded) = fold(dir.path(), Before::default(), &all[..2 << 20]);
        let (_, folded) = fold(dir.path(), before(&lines, &folded), &all[..(2 << 20) + 20_000]);
        let parts = folded.dictionaries.values().next().expect("one");
        let length: usize = parts.iter().map(|part| part.length).sum();
        assert!((DICTIONARY..=DICTIONARY + chunk::FIRST.max).contains(&length), "{length}");
        assert!(parts.iter().all(|part| part.dictionary.is_none()));
    }

    #[test]
    fn a_long_pack_is_closed_before_the_rest_and_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let all = noise(24 << 20);
        let (lines, folded) = fold(dir.path(), Before::default(), &all);
        let bytes = folded.pack.bytes();
        let packs = folded.pack.finish().expect("finished");
        let sizes: Vec<u64> = packs.paths().iter().map(|pack| std::fs::metadata(pack).expect("it is there").len()).collect();
        assert!(sizes.len() == 2 && sizes[0] > LONG_PACK && sizes[1] > 0, "{sizes:?}");
        // Their checksums are no objects.
        assert_eq!(sizes.iter().sum::<u64>(), bytes + 2 * 20);
        let odb = gix::odb::at(dir.path(), Kind::Sha1).expect("objects");
        for line in &lines {
            assert!(gix::prelude::FindExt::find_blob(&odb, &folded.new[&line.name], &mut Vec::new()).is_ok(), "{line}");
        }
        let other = tempfile::tempdir().expect("a directory");
        let (_, folded) = fold(other.path(), Before::default(), &all);
        drop(folded);
        assert_eq!(std::fs::read_dir(other.path().join("pack")).expect("made").count(), 0);
    }
}
