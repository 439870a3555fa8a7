//! The packs of ours that lie in a repository: which they are, and their entries as they stand there.
//!
//! Knows nothing of what is merged when. What must stay true: a pack is taken for ours by what its `.keep` says, and for
//! whole only if every entry is an object by itself whose bytes are those that were written.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use gix::hash::{Kind, ObjectId};
use gix::odb::pack::{data, index, multi_index};

use super::super::Error;
use super::super::pack::{Entry, KEEP};
use crate::durable::{At, TEMPORARY};
use crate::fault;

/// A pack without an index that is older than this is nobody's work any more.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    pub path: PathBuf,
    pub size: u64,
    pub modified: SystemTime,
}

impl Pack {
    /// Whether a multi-pack index that names these stands in for it.
    pub fn is_in(&self, named: &HashSet<OsString>) -> bool {
        self.path.with_extension("idx").file_name().is_some_and(|name| named.contains(name))
    }
}

/// The keep files beside packs, ours or not: one look at the directory.
pub fn kept(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at("read directory", dir)?,
    };
    let mut kept = Vec::new();
    for entry in entries {
        let name = entry.at("read directory", dir)?.file_name();
        if name.to_str().is_some_and(|name| name.starts_with("pack-") && name.ends_with(".keep")) {
            kept.push(dir.join(name));
        }
    }
    Ok(kept)
}

/// Our packs, smallest first. What a crash has left of others is removed once it is old enough.
pub fn ours(dir: &Path, now: SystemTime) -> Result<Vec<Pack>, Error> {
    let mut packs = Vec::new();
    for keep in kept(dir)? {
        if !fs::read(&keep).is_ok_and(|says| says == KEEP) {
            continue;
        }
        let path = keep.with_extension("pack");
        let here = fs::metadata(&path);
        if path.with_extension("idx").exists() {
            // One that has just gone is none.
            let Ok(meta) = here else { continue };
            packs.push(Pack { size: meta.len(), modified: meta.modified().at("read", &path)?, path });
            continue;
        }
        let young = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).is_ok_and(|made| age(made, now) < ABANDONED);
        if !young(&path) && !young(&keep) {
            remove(&path)?;
        }
    }
    clear(dir, now);
    packs.sort_by(|a, b| (a.size, &a.path).cmp(&(b.size, &b.path)));
    Ok(packs)
}

/// Removes files that a crash left before they had their names, on file systems where a file has to have one.
fn clear(dir: &Path, now: SystemTime) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let ours = entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes());
        let made = entry.metadata().and_then(|meta| meta.modified());
        if ours && made.is_ok_and(|made| age(made, now) >= ABANDONED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// No age at all for what comes from the future.
pub fn age(made: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(made).unwrap_or_default()
}

/// Git does not see a pack without its index, so that goes first. The keep goes last: by it we know the rest for ours.
pub fn remove(pack: &Path) -> Result<(), Error> {
    for part in ["idx", "rev", "pack", "keep"] {
        let file = pack.with_extension(part);
        match fs::remove_file(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done.at("remove", &file)?,
        }
        fault::point("tidy.removing").at("remove", &file)?;
    }
    Ok(())
}

/// The multi-pack indexes that Git has made here.
pub fn multi(dir: &Path) -> Vec<PathBuf> {
    let layers = fs::read_dir(dir.join("multi-pack-index.d")).into_iter().flatten().flatten().map(|entry| entry.path());
    let layers = layers.filter(|path| path.extension().is_some_and(|end| end == "midx"));
    let single = dir.join("multi-pack-index");
    single.exists().then_some(single).into_iter().chain(layers).collect()
}

/// The indexes that such a one stands in for. `None` if it cannot be read.
pub fn named(multi: &Path) -> Option<HashSet<OsString>> {
    let file = multi_index::File::at(multi, None).ok()?;
    Some(file.index_names().iter().filter_map(|name| Some(name.file_name()?.to_owned())).collect())
}

/// A pack opened for copying: its files may go meanwhile.
pub struct Opened {
    pub pack: Pack,
    data: data::File,
    entries: Vec<(ObjectId, Range<u64>, u32)>,
}

impl Opened {
    /// `None` if it has gone meanwhile or does not fit its index.
    pub fn open(pack: &Pack, hash: Kind) -> Option<Opened> {
        let index = index::File::at(pack.path.with_extension("idx"), hash).ok()?;
        let data = data::File::at(&pack.path, hash).ok()?;
        if index.num_objects() != data.num_objects() || index.pack_checksum() != data.checksum() {
            return None;
        }
        let mut listed: Vec<index::Entry> = index.iter().collect();
        listed.sort_unstable_by_key(|entry| entry.pack_offset);
        let ends = listed.iter().skip(1).map(|entry| entry.pack_offset).chain([data.pack_end() as u64]);
        let ends: Vec<u64> = ends.collect();
        let spans = listed.iter().zip(ends).map(|(entry, end)| Some((entry.oid, entry.pack_offset..end, entry.crc32?)));
        let entries = spans.collect::<Option<_>>()?;
        Some(Opened { pack: pack.clone(), data, entries })
    }

    pub fn ids(&self) -> impl Iterator<Item = &ObjectId> {
        self.entries.iter().map(|(id, ..)| id)
    }

    /// Whether every entry is a whole object (commit, tree, blob or tag) and as it was written.
    pub fn is_sound(&self) -> bool {
        self.entries.iter().all(|(_, span, crc)| {
            let bytes = self.data.entry_slice(span.clone()).filter(|bytes| !bytes.is_empty());
            bytes.is_some_and(|bytes| matches!(bytes[0] >> 4 & 7, 1..=4) && zlib_rs::crc32::crc32(0, bytes) == *crc)
        })
    }

    pub fn entries(&self) -> impl Iterator<Item = Result<Entry, Error>> {
        self.entries.iter().map(|(id, span, crc)| {
            let bytes = self.data.entry_slice(span.clone()).ok_or(Error::Unreadable(*id))?;
            Ok(Entry::raw(*id, bytes.to_vec(), *crc))
        })
    }
}
