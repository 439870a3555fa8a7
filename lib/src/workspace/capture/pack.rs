//! The objects that are only here, as one thin pack in a file without a name.
//!
//! What must stay true: two captures with nothing changed between them give the same bytes, so that the second costs
//! nothing; and nothing of it ever stands in the repository's own objects.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::UNIX_EPOCH;

use gix::hash::ObjectId;

use super::history::{History, revisions};
use super::{CapturedFile, Error, Source, Work, place};
use crate::durable::{At, Unnamed};
use crate::git;
use crate::workspace::model::Pack;

const HEADER: usize = 12;

/// Its file may have to have a name; that goes with this value.
pub struct Packed {
    pub file: File,
    _unnamed: Unnamed,
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.file.fmt(f)
    }
}

pub fn make(work: &Work<'_>, history: &History, blobs: &[ObjectId]) -> Result<Option<(Pack, CapturedFile)>, Error> {
    let mut wanted: Vec<ObjectId> = history.others.iter().chain(blobs).copied().collect();
    if history.commits > 0 {
        wanted.extend(&history.tips);
    }
    if wanted.is_empty() {
        return Ok(None);
    }
    wanted.sort_unstable();
    wanted.dedup();
    let unnamed = Unnamed::create_in(&room(work))?;
    let file = unnamed.file.try_clone().at("open", room(work))?;
    // More than one thread would divide the search for deltas as it happens to be fast. Large contents hardly ever have any.
    let mut args = vec!["pack-objects", "--revs", "--thin", "--stdout", "-q", "--threads=1", "--window=10", "--depth=50"];
    args.push("--no-use-bitmap-index");
    if work.repo.promisor().is_some() {
        args.push("--missing=allow-promisor");
    }
    let git = work.objects().with("core.bigFileThreshold=1m");
    git.feed_to_file(&args, &revisions(&wanted, &history.remote), &file)?;
    let meta = file.metadata().at("read", room(work))?;
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0).at("read", room(work))?;
    let [b'P', b'A', b'C', b'K', 0, 0, 0, 2, count @ ..] = header else {
        return Err(git::Error::Nonsense { verb: "pack-objects".to_owned() }.into());
    };
    let objects = u64::from(u32::from_be_bytes(count));
    if objects == 0 {
        return Ok(None);
    }
    let pack = Pack { objects, size: meta.len(), commits: history.commits };
    let file = CapturedFile {
        name: place::in_capsule(work.at, place::PACK.as_bytes())?,
        source: Source::Pack(Packed { file, _unnamed: unnamed }),
        size: meta.len(),
        mode: 0o600,
        // It has no time of its own.
        modified: UNIX_EPOCH,
    };
    Ok(Some((pack, file)))
}

/// Our own directory, but it is not made for this: capturing leaves nothing behind.
fn room(work: &Work<'_>) -> std::path::PathBuf {
    let own = work.repo.private_dir();
    if own.is_dir() { own } else { work.repo.common.clone() }
}
