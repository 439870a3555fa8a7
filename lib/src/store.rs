//! Capsules as Git objects and refs: packs, trees, commits, chains.
//!
//! Knows no agent and nothing of what a session means: it holds files of names and sizes, sealed, and what people need to
//! open them. What must stay true: an object is in the repository, and durable, before a ref names it, and no ref is ever
//! moved but by comparing and swapping.

mod block;
pub mod chain;
pub mod commit;
pub mod draft;
pub(crate) mod envelope;
pub mod fold;
pub mod names;
pub mod pack;
mod part;
pub mod record;
pub mod refs;
pub mod roster;
mod sum;
pub mod tidy;
pub mod tree;
pub mod unfold;

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

pub use gix::hash::ObjectId;
use gix::object::Kind;
use gix::objs::{Exists, Find, FindHeader};

use crate::git::{self, Repository};
use crate::{capsule, durable, seal};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] durable::Error),
    #[error(transparent)]
    Git(#[from] git::Error),
    #[error(transparent)]
    Seal(#[from] seal::Error),
    #[error(transparent)]
    Capsule(#[from] capsule::Error),
    #[error("cannot write a pack into '{}'", dir.display())]
    Pack {
        dir: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the objects in '{}' cannot be opened", dir.display())]
    Objects {
        dir: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("object {0} is missing")]
    Missing(ObjectId),
    #[error("object {0} cannot be read")]
    Unreadable(ObjectId),
    #[error("'{what}' is not a checkpoint: {why}")]
    NotACheckpoint { what: String, why: String },
    #[error("checkpoint {0} is not signed")]
    Unsigned(ObjectId),
    #[error("checkpoint {commit} is damaged: {why}")]
    Damaged { commit: ObjectId, why: String },
    #[error("'{name}' has moved meanwhile")]
    Moved { name: String },
    #[error("a thread ended before its work was done")]
    Died,
}

impl Error {
    /// What is stored is not what it should be; somebody who has the same elsewhere can do without it.
    pub fn is_damage(&self) -> bool {
        match self {
            Error::Missing(_) | Error::Unreadable(_) | Error::NotACheckpoint { .. } | Error::Damaged { .. } => true,
            Error::Seal(seal::Error::Damaged(_)) => true,
            Error::Capsule(error) => error.is_damage(),
            _ => false,
        }
    }
}

fn look_at(repo: &Repository) -> Result<gix::odb::Handle, Error> {
    gix::odb::at(&repo.objects, repo.hash).map_err(|source| Error::Objects { dir: repo.objects.clone(), source })
}

fn packs_changed(repo: &Repository) -> Option<SystemTime> {
    std::fs::metadata(repo.objects.join("pack")).and_then(|dir| dir.modified()).ok()
}

/// A repository's objects, opened for reading.
pub struct Store {
    pub repo: Repository,
    odb: RefCell<gix::odb::Handle>,
    /// When the packs were looked at.
    opened: Cell<Option<SystemTime>>,
    /// The root of the roster that this device has joined, and its tip: what is made here says so.
    pub roster: RefCell<Option<(String, String)>>,
    /// What is promised could not be had; a command asks once.
    broken_promise: AtomicBool,
}

impl Store {
    pub fn open(repo: Repository) -> Result<Store, Error> {
        let opened = Cell::new(packs_changed(&repo));
        let odb = RefCell::new(look_at(&repo)?);
        Ok(Store { odb, opened, repo, roster: RefCell::default(), broken_promise: AtomicBool::new(false) })
    }

    pub fn has(&self, id: &ObjectId) -> bool {
        self.odb.borrow().exists(id) || (self.look_again() && self.odb.borrow().exists(id))
    }

    /// Whether packs have come or gone since they were looked at: another process may have merged those that we know of, and
    /// what we miss is in one that we do not know.
    fn look_again(&self) -> bool {
        let changed = packs_changed(&self.repo);
        // A change within the clock's own step looks like none.
        let fresh = changed.is_none_or(|at| at.elapsed().is_ok_and(|age| age < Duration::from_millis(200)));
        if changed == self.opened.get() && !fresh {
            return false;
        }
        let Ok(odb) = look_at(&self.repo) else { return false };
        self.odb.replace(odb);
        self.opened.set(changed);
        true
    }

    /// An object of this kind, of at most so many bytes: what a ref from outside leads to may be anything.
    pub fn object(&self, id: &ObjectId, kind: Kind, most: usize) -> Result<Vec<u8>, Error> {
        let not = |why: String| Error::NotACheckpoint { what: id.to_string(), why };
        let look = || self.odb.borrow().try_header(id).map_err(|_| Error::Unreadable(*id));
        let found = match look() {
            Ok(Some(header)) => Some(header),
            _ if self.look_again() => look()?,
            other => other?,
        };
        let header = match found {
            // A partial clone has all commits; one that is missing lies behind the edge of a shallow one.
            None if kind != Kind::Commit => {
                self.want([id].into_iter())?;
                look()?
            }
            found => found,
        };
        let header = header.ok_or(Error::Missing(*id))?;
        if header.kind != kind {
            return Err(not(format!("it is a {}", header.kind)));
        }
        if header.size > most as u64 {
            return Err(not(format!("it has {} bytes", header.size)));
        }
        let mut bytes = Vec::new();
        let mut read = || self.odb.borrow().try_find(id, &mut bytes).ok().flatten().is_some();
        if read() || (self.look_again() && read()) {
            return Ok(bytes);
        }
        Err(Error::Unreadable(*id))
    }

    pub fn blob(&self, id: &ObjectId, most: usize) -> Result<Vec<u8>, Error> {
        self.object(id, Kind::Blob, most)
    }

    /// How many bytes these objects hold together, as far as they are here.
    pub fn size_of<'a>(&self, ids: impl Iterator<Item = &'a ObjectId>) -> u64 {
        ids.filter_map(|id| self.odb.borrow().try_header(id).ok()??.size.into()).sum()
    }

    /// Whether this object would be brought by Git when it is wanted.
    pub fn is_promised(&self, _: &ObjectId) -> bool {
        self.repo.promisor().is_some()
    }

    /// Brings what is missing, in one go, where objects are only promised.
    pub fn want<'a>(&self, ids: impl Iterator<Item = &'a ObjectId>) -> Result<(), Error> {
        let Some(remote) = self.repo.promisor() else { return Ok(()) };
        let missing: String = ids.filter(|id| !self.has(id)).map(|id| format!("{id}\n")).collect();
        if missing.is_empty() || self.broken_promise.load(Ordering::Relaxed) {
            return Ok(());
        }
        // As Git itself asks for what it was promised.
        let args = ["fetch", remote, "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--filter=blob:none", "--stdin"];
        let done = self.repo.git.with("fetch.negotiationAlgorithm=noop").feed(&args, missing.as_bytes());
        self.broken_promise.store(done.is_err(), Ordering::Relaxed);
        Ok(done.map(drop)?)
    }
}
