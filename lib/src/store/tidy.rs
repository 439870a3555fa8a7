//! Keeps our packs few, and leaves to Git what nothing names any more.
//!
//! A thousand checkpoints are a thousand packs, which slow every Git command, and their `.keep` holds the user's own
//! `git gc` off: so it is done here. What must stay true: a pack goes only after everything in it lies, durable, in
//! another one. No object is ever removed: what is released goes to a pack that Git keeps or prunes by its own rules.

mod packs;
mod reach;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use gix::hash::ObjectId;
use rustix::fs::{FlockOperation, flock};

use super::pack::PackWriter;
use super::{Error, Store, refs};
use crate::durable::{self, At};
use crate::git::{self, Repository};
use crate::{fault, progress};
use packs::{Opened, Pack};

pub use reach::{reachable, tips};

/// So many packs of ours may lie there before some are merged.
pub const BOUND: usize = 24;
/// Half of them at least, or it would be done anew at every other checkpoint.
const AT_LEAST: usize = BOUND / 2;
/// So many may lie there if Git has them in an index of its own.
const INDEXED: usize = BOUND * 4;
/// What is larger stays as it is: nobody should wait for a checkpoint because gigabytes are copied.
const LARGE: u64 = 512 << 20;
/// How long `release` waits for somebody else who is tidying.
const PATIENCE: Duration = Duration::from_secs(10);
/// A lock of Git's own maintenance that is older was left by a crash.
const MAINTAINED: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Packs that are gone, and bytes that were written in their stead.
    pub packs: usize,
    pub written: u64,
    /// Objects that are Git's to prune now, and their bytes.
    pub released: usize,
    pub freed: u64,
    /// Somebody else was at it, so nothing was done.
    pub busy: bool,
}

/// Merges the smaller ones of our packs when there are many, and packs our refs; costs a look at some directories when
/// there are not.
pub fn consolidate(store: &Store) -> Result<Tidied, Error> {
    refs::pack(store)?;
    let dir = store.repo.objects.join("pack");
    if packs::kept(&dir)?.len() <= BOUND {
        return Ok(Tidied::default());
    }
    let busy = Tidied { busy: true, ..Tidied::default() };
    let Some((_alone, now)) = lock(&store.repo)? else { return Ok(busy) };
    if maintained(&store.repo, now) {
        return Ok(busy);
    }
    let mut ours = packs::ours(&dir, now)?;
    if ours.len() <= INDEXED {
        // Those in a multi-pack index are found fast as they are, and taking them out would cost Git that index.
        let multi = packs::multi(&dir);
        let Some(named) = multi.iter().map(|multi| packs::named(multi)).collect::<Option<Vec<_>>>() else { return Ok(Tidied::default()) };
        ours.retain(|pack| !named.iter().any(|named| pack.is_in(named)));
    }
    ours.retain(|pack| pack.size <= LARGE);
    let few = smaller(&ours).iter();
    let opened: Vec<Opened> = few.filter_map(|pack| Opened::open(pack, store.repo.hash)).filter(Opened::is_sound).collect();
    if opened.len() < 2 {
        return Ok(Tidied::default());
    }
    forget(&dir, &opened)?;
    merge(store, &opened, |_| true)
}

/// Moves everything but these objects out of our packs into one that Git's own housekeeping looks after, so that
/// somebody who is about to name one of them still finds it.
pub fn release(store: &Store, reachable: &HashSet<ObjectId>) -> Result<Tidied, Error> {
    let deadline = Instant::now() + PATIENCE;
    let (_alone, now) = loop {
        match lock(&store.repo)? {
            Some((_, now)) if maintained(&store.repo, now) => {}
            Some(alone) => break alone,
            None => {}
        }
        if progress::interrupted() {
            return Err(git::Error::Interrupted.into());
        }
        if Instant::now() > deadline {
            return Ok(Tidied { busy: true, ..Tidied::default() });
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let dir = store.repo.objects.join("pack");
    let mut opened = Vec::new();
    for pack in packs::ours(&dir, now)? {
        let Some(pack) = Opened::open(&pack, store.repo.hash) else { continue };
        if !pack.ids().all(|id| reachable.contains(id)) && pack.is_sound() {
            opened.push(pack);
        }
    }
    if opened.is_empty() {
        return Ok(Tidied::default());
    }
    forget(&dir, &opened)?;
    merge(store, &opened, |id| reachable.contains(id))
}

/// The smallest ones, and on while the next is smaller than all before together: a pack that is copied ends in one about
/// twice as large, so that an object is copied as often as the whole has doubled. Stopping any earlier leaves packs of the
/// same size in the end, all of which are then copied again for every dozen that come.
fn smaller(packs: &[Pack]) -> &[Pack] {
    if packs.len() <= BOUND {
        return &[];
    }
    let (mut count, mut bytes) = (0, 0);
    while count < packs.len() && (count < AT_LEAST || packs[count].size < bytes) {
        bytes += packs[count].size;
        count += 1;
    }
    &packs[..count]
}

fn merge(store: &Store, opened: &[Opened], stays: impl Fn(&ObjectId) -> bool) -> Result<Tidied, Error> {
    let objects = &store.repo.objects;
    let mut into = PackWriter::new(objects, store.repo.hash)?;
    let mut leave = PackWriter::new(objects, store.repo.hash)?;
    let mut released = HashSet::new();
    for pack in opened {
        for entry in pack.entries() {
            if progress::interrupted() {
                return Err(git::Error::Interrupted.into());
            }
            let entry = entry?;
            if stays(&entry.id) {
                into.add(&entry)?;
            } else {
                leave.add(&entry)?;
                released.insert(entry.id);
            }
        }
    }
    fault::point("tidy.copied").at("write to", objects)?;
    let mut tidied = Tidied { released: released.len(), ..Tidied::default() };
    tidied.freed = if leave.is_empty() { 0 } else { leave.bytes() };
    leave.finish_for_git()?.keep();
    let packs = into.finish()?;
    let new: Vec<PathBuf> = packs.paths().into_iter().map(Path::to_owned).collect();
    packs.keep();
    // No younger than what is in it.
    if let (Some(new), Some(youngest)) = (new.first(), opened.iter().map(|opened| opened.pack.modified).max()) {
        let _ = File::open(new).and_then(|file| file.set_modified(youngest));
    }
    fault::point("tidy.packed").at("write to", objects)?;
    tidied.written = new.iter().filter_map(|new| fs::metadata(new).ok()).map(|meta| meta.len()).sum();
    for Opened { pack, .. } in opened {
        // After a crash the same objects may make the same pack once more, and then it is one of those that were read.
        if !new.contains(&pack.path) {
            packs::remove(&pack.path)?;
            tidied.packs += 1;
        } else {
            tidied.written = 0;
        }
    }
    Ok(tidied)
}

/// Git takes a multi-pack index away when it removes a pack that stands in it (builtin/repack.c), and so do we: it would
/// be damaged, and is only there for speed.
fn forget(dir: &Path, opened: &[Opened]) -> Result<(), Error> {
    let multi = packs::multi(dir);
    let touched = multi.iter().any(|multi| {
        let named = packs::named(multi);
        opened.iter().any(|opened| named.as_ref().is_none_or(|named| opened.pack.is_in(named)))
    });
    if !touched {
        return Ok(());
    }
    let chain = dir.join("multi-pack-index.d");
    for entry in fs::read_dir(dir).at("read directory", dir)? {
        let path = entry.at("read directory", dir)?.path();
        if path != chain && path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"multi-pack-index")) {
            fs::remove_file(&path).at("remove", &path)?;
        }
    }
    match fs::remove_dir_all(&chain) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", &chain)?,
        _ => Ok(()),
    }
}

/// One at a time; ends with the process. With it comes the time by the file system's own clock, which the packs have
/// theirs from. `None` if somebody else holds it.
fn lock(repo: &Repository) -> Result<Option<(File, SystemTime)>, Error> {
    let dir = repo.private_dir();
    durable::create_dirs(&dir)?;
    let path = dir.join("tidy.lock");
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).at("open", &path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(io::Error::from(error)).at("lock", &path).map_err(Error::from),
    }
    file.write_all(b"\n").at("write", &path)?;
    let now = file.metadata().and_then(|meta| meta.modified()).at("read", &path)?;
    Ok(Some((file, now)))
}

/// Whether `git maintenance` is at work here: it may be listing the very packs in a multi-pack index.
fn maintained(repo: &Repository, now: SystemTime) -> bool {
    let lock = fs::metadata(repo.objects.join("maintenance.lock")).and_then(|meta| meta.modified());
    lock.is_ok_and(|since| packs::age(since, now) < MAINTAINED)
}
