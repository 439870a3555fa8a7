//! A work tree into a model and the files that go with it.
//!
//! Asks Git few questions, the independent ones at the same time, and looks only at files that its answers name. Contents
//! are not read here: each file is opened when its turn comes in the capsule, and must then still be the one that was seen.
//! What must stay true: the repository is as it was, byte for byte: refs, reflogs, index, stash, objects, files.

pub(crate) mod answers;
mod converted;
mod files;
mod history;
mod index;
mod others;
mod pack;
mod place;
mod sparse;
mod submodules;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use std::time::SystemTime;

use gix::hash::ObjectId;

pub use sparse::of as sparse;
pub use tree::Reading;

use super::Error;
use super::model::{SCHEMA, Workspace};
use super::name::Name;
use crate::git::{Git, Repository};
use crate::path::RelPath;
use crate::progress::Progress;
use tree::{Stamp, Tree};

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The contents of submodules, too.
    pub submodules: bool,
    /// Of what Git ignores, what these patterns name (as in `.gitignore`).
    pub include_ignored: Vec<String>,
    /// Remotes that hold capsules and no code: what they have counts for nothing.
    pub stores: Vec<String>,
}

#[derive(Debug)]
pub struct Capture {
    /// The top of the work tree.
    pub top: PathBuf,
    pub model: Workspace,
    /// In the order in which they belong into a capsule.
    pub files: Vec<CapturedFile>,
    /// What could not come along.
    pub notes: Vec<Note>,
}

/// A file of the capsule, still where it was.
#[derive(Debug)]
pub struct CapturedFile {
    pub name: RelPath,
    pub source: Source,
    pub size: u64,
    pub mode: u32,
    pub modified: SystemTime,
}

#[derive(Debug)]
pub enum Source {
    Tree(TreeFile),
    /// Without a name, or with one that goes with it.
    Pack(pack::Packed),
}

#[derive(Debug)]
pub struct TreeFile {
    tree: Arc<Tree>,
    name: Vec<u8>,
    seen: Stamp,
}

impl TreeFile {
    pub fn path(&self) -> PathBuf {
        self.tree.whole(&self.name)
    }
}

impl CapturedFile {
    /// Exactly `size` bytes, or fewer if somebody has cut the file short; `finish` says whether they can be relied on.
    pub fn open(&self) -> Result<Opened<'_>, Error> {
        Ok(match &self.source {
            Source::Tree(file) => Opened::Tree(file.tree.file(&file.name, &file.seen)?),
            Source::Pack(pack) => Opened::Pack(&pack.file, 0),
        })
    }
}

#[derive(Debug)]
pub enum Opened<'a> {
    Tree(Reading),
    Pack(&'a File, u64),
}

impl Opened<'_> {
    /// After the last byte, or after a failure: `Changed`, if the file did not hold still.
    pub fn finish(self) -> Result<(), Error> {
        match self {
            Opened::Tree(reading) => reading.settled(),
            Opened::Pack(..) => Ok(()),
        }
    }
}

impl Read for Opened<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Opened::Tree(reading) => reading.read(into),
            Opened::Pack(file, at) => {
                let n = file.read_at(into, *at)?;
                *at += n as u64;
                Ok(n)
            }
        }
    }
}

/// What stays behind, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A repository of its own that is no submodule.
    Nested(Name),
    /// A socket, a fifo or a device.
    Special(Name),
    /// An operation names an object that is not here.
    Missing(ObjectId),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Nested(name) => write!(f, "'{name}' is a repository of its own and stays behind"),
            Note::Special(name) => write!(f, "'{name}' is neither file, link nor directory and stays behind"),
            Note::Missing(id) => write!(f, "object {id}, which an operation in progress names, is not here"),
        }
    }
}

/// The work tree around the repository's directory; `also` is what must travel besides HEAD.
pub fn capture(repo: &Repository, options: &Options, also: &[ObjectId], progress: &dyn Progress) -> Result<Capture, Error> {
    progress.stage("looking at the work tree", None);
    one(repo, options, also, place::TOP)
}

/// What all parts of a capture share.
struct Work<'a> {
    repo: &'a Repository,
    options: &'a Options,
    /// At the top of the work tree, and not allowed to write.
    git: Git,
    tree: Arc<Tree>,
    /// The directory in the capsule.
    at: &'a str,
}

fn one(repo: &Repository, options: &Options, also: &[ObjectId], at: &str) -> Result<Capture, Error> {
    let work = Work::open(repo, options, at)?;
    let index_file = repo.git_dir.join("index");
    let before = moment(&index_file);
    let (status, rows, others, history, attributes) = thread::scope(|scope| {
        let status = scope.spawn(|| work.git.run(STATUS));
        let rows = scope.spawn(|| work.git.run(&["ls-files", "-v", "-s", "-z", "--sparse"]));
        let others = scope.spawn(|| others::first(&work));
        let history = scope.spawn(|| history::of(&work, also));
        let attributes = scope.spawn(|| converted::elsewhere(&work));
        (joined(status), joined(rows), joined(others), joined(history), joined(attributes))
    });
    let (status, rows, others, mut history, attributes) = (status??, rows??, others??, history??, attributes??);
    let status = answers::status(&status)?;
    if status.head != history.head.commit.map(|commit| commit.0) {
        return Err(Error::Changed(repo.git_dir.join("HEAD")));
    }
    let rows = sparse::expanded(&work, rows)?;
    let index = index::of(&work, &status, &rows)?;
    let mut found = files::of(&work, &status, &index)?;
    let others = others::all(&work, &others, &found.replaced)?;
    found.add_others(&work, others)?;
    found.add_emptied(&work)?;
    // What is staged and not changed since may be converted as any other.
    let changed: HashSet<&[u8]> = status.changes.iter().filter(|change| change.tree != b'.').map(|change| change.path).collect();
    found.add_converted(&work, &converted::find(&work, &index, &changed, &found, attributes.as_deref())?)?;
    let submodules = submodules::of(&work, &status, &index)?;
    let pack = pack::make(&work, &history, &index.blobs)?;
    if moment(&index_file) != before {
        return Err(Error::Changed(index_file));
    }
    let (mut files, work_files) = place::all(&work, found.files)?;
    let mut notes = found.notes;
    notes.append(&mut history.notes);
    let mut model = Workspace {
        schema: SCHEMA.to_owned(),
        requires: Vec::new(),
        identity: history::identity(&work),
        head: history.head,
        upstream: history.upstream,
        prerequisites: history.prerequisites,
        pack: None,
        index: index.entries,
        unindexed: index.unindexed,
        files: work_files,
        operations: Vec::new(),
        sparse: sparse::of(repo)?,
        submodules: submodules.models,
        more: serde_json::Map::new(),
    };
    if let Some((pack, file)) = pack {
        model.pack = Some(pack);
        files.push(file);
    }
    files.extend(submodules.files);
    notes.extend(submodules.notes);
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Capture { top: work.tree.path.clone(), model, files, notes })
}

/// Whatever the user has configured for his own `git status`, this is the whole truth.
const STATUS: &[&str] = &[
    "status",
    "--porcelain=v2",
    "-z",
    "--branch",
    "--no-ahead-behind",
    "--untracked-files=no",
    "--ignore-submodules=none",
    "--no-renames",
];

impl<'a> Work<'a> {
    fn open(repo: &'a Repository, options: &'a Options, at: &'a str) -> Result<Work<'a>, Error> {
        if repo.bare {
            return Err(Error::Bare);
        }
        let mut top = repo.git.run(&["rev-parse", "--show-toplevel"])?;
        top.pop_if(|byte| *byte == b'\n');
        let top = PathBuf::from(OsString::from_vec(top));
        let git = repo.git.at_top(&repo.git_dir, &top).env("GIT_OPTIONAL_LOCKS", "0");
        Ok(Work { repo, options, git, tree: Arc::new(Tree::open(top)?), at })
    }

    /// For questions about objects: none is fetched to answer them, and none stands for another.
    fn objects(&self) -> Git {
        self.git.env("GIT_NO_LAZY_FETCH", "1").env("GIT_NO_REPLACE_OBJECTS", "1")
    }
}

fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> Result<T, Error> {
    thread.join().map_err(|_| Error::Died)
}

/// Enough to notice that a file was replaced or written to.
fn moment(path: &PathBuf) -> Option<(u64, u64, i64, i64)> {
    let of = |meta: Metadata| (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec());
    std::fs::metadata(path).ok().map(of)
}
