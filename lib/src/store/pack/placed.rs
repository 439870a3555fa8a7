//! Packs that are complete: they get their names together, or none of them does.
//!
//! Until then they are files without a name, of which nothing is left when the process ends. What must stay true: a pack is
//! named before its index, by which Git sees it; what was there before is not ours to take back.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use gix::hash::ObjectId;

use super::super::{Error, Store, refs};
use super::KEEP;
use crate::durable::{self, At, Unnamed};
use crate::fault;

/// A pack with its index, durable, to be given their names.
pub struct Closed {
    pack: Unnamed,
    index: Unnamed,
    path: PathBuf,
}

impl Closed {
    pub fn synced(pack: Unnamed, index: Unnamed, path: PathBuf) -> Result<Closed, Error> {
        // At the same time: a file system that keeps a journal then writes it once for both.
        let synced = std::thread::scope(|scope| {
            let index = scope.spawn(|| index.file.sync_all());
            pack.file.sync_all()?;
            index.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        synced.at("sync", &path)?;
        Ok(Closed { pack, index, path })
    }
}

/// A pack that is being closed. Given up, it leaves nothing behind.
pub struct Closing(Option<JoinHandle<Result<Option<Closed>, Error>>>);

impl Closing {
    pub fn begin(close: impl FnOnce() -> Result<Option<Closed>, Error> + Send + 'static) -> Closing {
        Closing(Some(std::thread::spawn(close)))
    }

    pub fn wait(mut self) -> Result<Option<Closed>, Error> {
        self.0.take().map_or(Ok(None), |thread| thread.join().map_err(|_| Error::Died)?)
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        // What has a name all the same is removed by the thread, which would end with the program.
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

/// Packs that are part of the repository now, and taken back unless somebody says that they stay.
#[must_use = "what nobody keeps is taken back"]
#[derive(Default)]
pub struct Packs(Vec<Placed>);

struct Placed {
    path: PathBuf,
    /// It was not there before, written by whoever had the same to say.
    new: bool,
}

impl Packs {
    /// All of them, or none.
    pub fn place(closed: impl IntoIterator<Item = Closed>, kept: bool) -> Result<Packs, Error> {
        let mut packs = Packs::default();
        for Closed { pack, index, path } in closed {
            let at = packs.0.len();
            packs.0.push(Placed { path: path.clone(), new: !path.exists() });
            if kept {
                // Without a pack it is harmless.
                let keep = path.with_extension("keep");
                fs::write(&keep, KEEP).at("write", &keep)?;
            }
            packs.0[at].new &= name(pack, &path)?;
            fault::point("pack.placed").at("write to", dir_of(&path))?;
            name(index, &path.with_extension("idx"))?;
        }
        packs.0.first().map_or(Ok(()), |first| durable::sync_dir(dir_of(&first.path)))?;
        Ok(packs)
    }

    pub fn paths(&self) -> Vec<&Path> {
        self.0.iter().map(|placed| placed.path.as_path()).collect()
    }

    /// Refs name what is in them, or it is for others to say.
    pub fn keep(mut self) {
        self.0.clear();
    }

    /// Once moving refs to these has failed.
    pub fn keep_if_named(self, store: &Store, tips: &[ObjectId]) {
        if refs::may_name(store, tips) {
            self.keep();
        }
    }
}

impl Drop for Packs {
    fn drop(&mut self) {
        for Placed { path, .. } in self.0.iter().filter(|placed| placed.new) {
            // Without its index Git does not see it any more.
            for part in ["idx", "pack", "keep"] {
                let _ = fs::remove_file(path.with_extension(part));
            }
        }
    }
}

/// Read-only, as Git leaves packs. The same file, written before, is as good; whether there was none.
fn name(unnamed: Unnamed, to: &Path) -> Result<bool, Error> {
    unnamed.file.set_permissions(Permissions::from_mode(0o444)).at("prepare", to)?;
    match unnamed.name(to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        placed => placed.map(|()| true).at("create", to).map_err(Error::from),
    }
}

fn dir_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
