//! One pack per checkpoint, written as it comes; a long one is closed early, and another one takes the rest.
//!
//! Sealed blobs neither compress nor delta, so entries are stored, not deflated: writing them costs their hash and
//! nothing else, and Git copies them to other packs and over the wire as they are. `.keep` beside a pack keeps the
//! user's own `git gc` from counting it and from trying to do better. Loose objects would be hundreds of files, each
//! deflated in vain.

mod placed;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use gix::hash::{Kind, ObjectId};
use gix::object::Kind as ObjectKind;
use zlib_rs::adler32::adler32;
use zlib_rs::crc32::crc32;

use placed::{Closed, Closing};

use super::Error;
use super::sum::{Sum, name_of};
use crate::durable::{At, EarlyFlush, Unnamed};
use crate::progress;

pub use placed::Packs;

/// What the `.keep` beside a pack of ours says: by this we know it for ours.
pub const KEEP: &[u8] = b"samesession\n";
const HEADER: [u8; 8] = *b"PACK\0\0\0\x02";

/// An object, ready to be written; making one needs no writer, so many threads can.
pub struct Entry {
    pub id: ObjectId,
    bytes: Vec<u8>,
    crc: u32,
}

impl Entry {
    pub fn new(hash: Kind, kind: ObjectKind, data: &[u8]) -> Entry {
        let mut bytes = Vec::with_capacity(data.len() + data.len() / 8192 + 64);
        put_head(&mut bytes, kind, data.len());
        put_stored(&mut bytes, data);
        Entry { id: name_of(hash, kind, data), crc: crc32(0, &bytes), bytes }
    }

    /// As it lies in another pack of ours: a whole object behind its head, and no delta.
    pub fn raw(id: ObjectId, bytes: Vec<u8>, crc: u32) -> Entry {
        Entry { id, bytes, crc }
    }
}

pub struct PackWriter {
    out: BufWriter<EarlyFlush<File>>,
    /// The same file, until it has its name.
    unnamed: Unnamed,
    dir: PathBuf,
    hash: Kind,
    /// The bytes of the pack that it goes on from.
    before: u64,
    offset: u64,
    /// Where what is written for the present checkpoint begins.
    mark: u64,
    /// What the index will say of each object.
    seen: BTreeMap<ObjectId, (u64, u32)>,
    /// The pack that it goes on from.
    earlier: Option<Closing>,
}

impl PackWriter {
    /// `objects` is the repository's object directory.
    pub fn new(objects: &Path, hash: Kind) -> Result<PackWriter, Error> {
        let dir = objects.join("pack");
        fs::create_dir_all(&dir).at("create directory", &dir)?;
        PackWriter::open(dir, hash)
    }

    fn open(dir: PathBuf, hash: Kind) -> Result<PackWriter, Error> {
        // Not by a name that begins with 'tmp_', as Git's own do: `git gc --prune=now` removes those, in use or not.
        let unnamed = Unnamed::create_in(&dir)?;
        let file = unnamed.file.try_clone().at("open", &dir)?;
        let out = BufWriter::with_capacity(1 << 17, EarlyFlush::new(file, &unnamed.file).at("open", &dir)?);
        let mut writer = PackWriter { out, unnamed, dir, hash, before: 0, offset: 0, mark: 0, seen: BTreeMap::new(), earlier: None };
        // The count is not known yet.
        writer.put(&HEADER)?;
        writer.put(&[0; 4])?;
        Ok(writer)
    }

    pub fn add(&mut self, entry: &Entry) -> Result<ObjectId, Error> {
        if !self.seen.contains_key(&entry.id) {
            self.seen.insert(entry.id, (self.offset, entry.crc));
            self.put(&entry.bytes)?;
        }
        Ok(entry.id)
    }

    pub fn is_empty(&self) -> bool {
        self.seen.is_empty() && self.earlier.is_none()
    }

    pub fn bytes(&self) -> u64 {
        self.before + self.offset
    }

    /// What comes now belongs to another checkpoint, where one pack holds those of several chains.
    pub fn next_checkpoint(&mut self) {
        self.mark = self.bytes();
    }

    /// As `bytes`, of the present checkpoint alone.
    pub fn added(&self) -> u64 {
        self.bytes() - self.mark
    }

    /// Makes what was put in part of the repository, and durable.
    pub fn finish(self) -> Result<Packs, Error> {
        self.place(true)
    }

    /// The same, for Git to keep or to prune as it sees fit.
    pub fn finish_for_git(self) -> Result<Packs, Error> {
        self.place(false)
    }

    fn place(mut self, kept: bool) -> Result<Packs, Error> {
        let earlier = self.earlier.take().map(Closing::wait).transpose()?.flatten();
        Packs::place(earlier.into_iter().chain(self.close()?), kept)
    }

    /// What is in it by now is completed on a thread of its own, once; what comes goes into another pack.
    pub fn close_meanwhile(&mut self) -> Result<(), Error> {
        if self.earlier.is_none() && !self.seen.is_empty() {
            let next = PackWriter { before: self.bytes(), mark: self.mark, ..PackWriter::open(self.dir.clone(), self.hash)? };
            let long = std::mem::replace(self, next);
            self.earlier = Some(Closing::begin(|| long.close()));
        }
        Ok(())
    }

    /// Complete and durable, and nobody's yet; none if it is empty.
    fn close(mut self) -> Result<Option<Closed>, Error> {
        if self.seen.is_empty() {
            return Ok(None);
        }
        let failed = |dir: &Path| {
            let dir = dir.to_owned();
            move |source| Error::Pack { dir, source }
        };
        let sum = self.seal_pack().map_err(failed(&self.dir))?;
        let index = self.write_index(&sum).map_err(failed(&self.dir))?;
        self.out.into_inner().map_err(|error| failed(&self.dir)(error.into_error()))?.into_inner();
        let path = self.dir.join(format!("pack-{}.pack", sum.to_hex()));
        Closed::synced(self.unnamed, index, path).map(Some)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes).map_err(|source| Error::Pack { dir: self.dir.clone(), source })?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Writes the count into the header, then the checksum of all behind the end.
    fn seal_pack(&mut self) -> io::Result<ObjectId> {
        self.out.flush()?;
        let count = u32::try_from(self.seen.len()).map_err(io::Error::other)?;
        let hash = self.hash;
        // The disk writes while the checksum is made.
        let file: &mut File = self.out.get_mut().hurry()?;
        file.seek(SeekFrom::Start(HEADER.len() as u64))?;
        file.write_all(&count.to_be_bytes())?;
        file.rewind()?;
        let mut sum = Sum::new(hash);
        let mut block = vec![0; 1 << 17];
        loop {
            if progress::interrupted() {
                return Err(io::Error::other("interrupted"));
            }
            match file.read(&mut block)? {
                0 => break,
                n => sum.update(&block[..n]),
            }
        }
        let sum = sum.finish();
        file.write_all(sum.as_slice())?;
        Ok(sum)
    }

    fn write_index(&self, pack: &ObjectId) -> io::Result<Unnamed> {
        let unnamed = Unnamed::create_in(&self.dir).map_err(|error| error.source)?;
        let mut out = Summed { out: BufWriter::new(unnamed.file.try_clone()?), sum: Sum::new(self.hash) };
        out.write_all(b"\xfftOc\0\0\0\x02")?;
        let mut below = [0u32; 256];
        for id in self.seen.keys() {
            below[usize::from(id.as_slice()[0])] += 1;
        }
        let mut total = 0u32;
        for count in below {
            total += count;
            out.write_all(&total.to_be_bytes())?;
        }
        for id in self.seen.keys() {
            out.write_all(id.as_slice())?;
        }
        for (_, crc) in self.seen.values() {
            out.write_all(&crc.to_be_bytes())?;
        }
        let mut far = Vec::new();
        for (offset, _) in self.seen.values() {
            let near = u32::try_from(*offset).ok().filter(|near| near & 1 << 31 == 0);
            let field = near.unwrap_or_else(|| {
                far.push(*offset);
                1 << 31 | (far.len() as u32 - 1)
            });
            out.write_all(&field.to_be_bytes())?;
        }
        for offset in far {
            out.write_all(&offset.to_be_bytes())?;
        }
        out.write_all(pack.as_slice())?;
        let Summed { mut out, sum } = out;
        out.write_all(sum.finish().as_slice())?;
        out.flush()?;
        drop(out);
        Ok(unnamed)
    }
}

struct Summed<W> {
    out: W,
    sum: Sum,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.sum.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Kind and size, as packs have them: three bits of kind, then the size in sevens, lowest first.
fn put_head(out: &mut Vec<u8>, kind: ObjectKind, len: usize) {
    let kind = match kind {
        ObjectKind::Commit => 1,
        ObjectKind::Tree => 2,
        ObjectKind::Blob => 3,
        ObjectKind::Tag => 4,
    };
    let mut rest = len >> 4;
    out.push(u8::from(rest > 0) << 7 | kind << 4 | (len & 0x0f) as u8);
    while rest > 0 {
        let more = rest >> 7;
        out.push(u8::from(more > 0) << 7 | (rest & 0x7f) as u8);
        rest = more;
    }
}

/// A zlib stream that stores: no deflate is run, on either side.
fn put_stored(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(&[0x78, 0x01]);
    let mut blocks = data.chunks(0xffff).peekable();
    if blocks.peek().is_none() {
        out.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let len = block.len() as u16;
        out.push(u8::from(blocks.peek().is_none()));
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&adler32(1, data).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn git(dir: &Path, args: &[&str]) -> Vec<u8> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut command = Command::new("git");
        command.current_dir(dir).args(args).env_clear().env("PATH", path).env("HOME", dir).stdin(Stdio::null());
        let out = command.output().expect("git");
        assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        assert!(out.stderr.is_empty(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    }

    fn check(format: &str, hash: Kind) {
        let dir = tempfile::tempdir().expect("a directory");
        git(dir.path(), &["init", "-q", "--bare", "--object-format", format, "."]);
        let mut writer = PackWriter::new(&dir.path().join("objects"), hash).expect("a pack");
        let blobs: Vec<Vec<u8>> =
            [0, 1, 15, 16, 5000, 65_535, 65_536, 300_000].iter().map(|&len| (0..len).map(|n| (n % 251) as u8).collect()).collect();
        let mut ids = Vec::new();
        for blob in blobs.iter().chain(&blobs[..2]) {
            ids.push(writer.add(&Entry::new(hash, ObjectKind::Blob, blob)).expect("added"));
        }
        let mut tree = b"100644 a\0".to_vec();
        tree.extend_from_slice(ids[3].as_slice());
        let tree = writer.add(&Entry::new(hash, ObjectKind::Tree, &tree)).expect("added");
        let commit = format!("tree {tree}\nauthor a <a> 0 +0000\ncommitter a <a> 0 +0000\n\nx\n");
        let commit = writer.add(&Entry::new(hash, ObjectKind::Commit, commit.as_bytes())).expect("added");
        let pack = writer.finish().expect("finished");
        let [path] = pack.paths()[..] else { panic!("one pack") };
        let path = path.to_owned();
        pack.keep();
        let pack = path;
        git(dir.path(), &["verify-pack", pack.to_str().expect("UTF-8")]);
        git(dir.path(), &["update-ref", "refs/heads/master", &commit.to_string()]);
        git(dir.path(), &["fsck", "--strict", "--no-dangling"]);
        for (blob, id) in blobs.iter().zip(&ids) {
            assert_eq!(git(dir.path(), &["cat-file", "blob", &id.to_string()]), *blob);
        }
        let count = git(dir.path(), &["count-objects", "-v"]);
        assert!(String::from_utf8_lossy(&count).contains("in-pack: 10\npacks: 1\n"), "{}", String::from_utf8_lossy(&count));
        // Git's own housekeeping leaves it alone.
        git(dir.path(), &["gc", "-q", "--prune=now"]);
        assert!(pack.exists());
    }

    #[test]
    fn git_takes_our_packs_for_its_own() {
        check("sha1", Kind::Sha1);
        check("sha256", Kind::Sha256);
    }

    #[test]
    fn an_empty_pack_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(PackWriter::new(dir.path(), Kind::Sha1).expect("a pack").finish().expect("finished").paths().is_empty());
        assert_eq!(fs::read_dir(dir.path().join("pack")).expect("made").count(), 0);
    }
}
