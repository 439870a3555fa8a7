//! What the work tree has otherwise than a checkout of the index.
//!
//! Every file that some answer of Git names is looked at once, and a file's look is kept: who reads it later must find the same.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;

use gix::hash::{Kind, ObjectId};

use super::answers::{GITLINK, Row, Status};
use super::index::Index;
use super::others::Others;
use super::tree::{Seen, Stamp, Tree};
use super::{Error, Note, Work};
use crate::durable::At;
use crate::workspace::name::Name;

#[derive(Debug)]
pub enum Found {
    File(Stamp),
    Link(Name),
    Gone,
    Directory,
}

#[derive(Debug, Default)]
pub struct Files {
    pub files: BTreeMap<Vec<u8>, Found>,
    /// Names of the index at which a directory stands.
    pub replaced: Vec<Vec<u8>>,
    pub notes: Vec<Note>,
}

pub fn of(work: &Work<'_>, status: &Status<'_>, index: &Index<'_>) -> Result<Files, Error> {
    let mut files = Files::default();
    for change in &status.changes {
        if change.tree != b'.' && (change.is_unmerged() || !change.stages.is_empty() || change.tree == b'A') {
            files.tracked(&work.tree, change.path, change.is_gitlink())?;
        }
    }
    let sparse = work.repo.config.flag("core.sparsecheckout") == Some(true);
    // Git takes the mark off what is there all the same, unless it was told not to look.
    let absent = sparse && work.repo.config.flag("sparse.expectfilesoutsideofpatterns") != Some(true);
    for row in &index.flagged {
        if row.mode != GITLINK && !files.files.contains_key(row.path) && !(row.skip_worktree() && absent) {
            files.flagged(work, row)?;
        }
    }
    Ok(files)
}

impl Files {
    fn tracked(&mut self, tree: &Tree, path: &[u8], gitlink: bool) -> Result<(), Error> {
        let found = match tree.look(path)? {
            Seen::File(stamp) => Found::File(stamp),
            Seen::Link => Found::Link(tree.link(path)?),
            Seen::Nothing => Found::Gone,
            Seen::Directory if gitlink => return Ok(()),
            Seen::Directory => {
                self.replaced.push(path.to_owned());
                Found::Gone
            }
            Seen::Special => {
                self.notes.push(Note::Special(Name::new(path)));
                Found::Gone
            }
        };
        self.files.insert(path.to_owned(), found);
        Ok(())
    }

    /// A checkout leaves out what has the skip-worktree mark, so there the file itself is the difference; of what is
    /// assumed to be unchanged it is the content.
    fn flagged(&mut self, work: &Work<'_>, row: &Row<'_>) -> Result<(), Error> {
        let seen = work.tree.look(row.path)?;
        if row.skip_worktree() && seen == Seen::Nothing {
            return Ok(());
        }
        let same = !row.skip_worktree()
            && match seen {
                Seen::File(stamp) => {
                    let runs = stamp.mode & 0o100 != 0;
                    let mode: &[u8] = if runs { b"100755" } else { b"100644" };
                    mode == row.mode && blob(work, row.path, &stamp)? == row.oid()?
                }
                Seen::Link => {
                    let target = work.tree.link(row.path)?;
                    row.mode == b"120000" && hash(work.repo.hash, target.as_bytes()) == Some(row.oid()?)
                }
                _ => false,
            };
        if same { Ok(()) } else { self.tracked(&work.tree, row.path, false) }
    }

    pub fn add_others(&mut self, work: &Work<'_>, others: Others) -> Result<(), Error> {
        for path in others.files {
            let found = match work.tree.look(&path)? {
                Seen::File(stamp) => Found::File(stamp),
                Seen::Link => Found::Link(work.tree.link(&path)?),
                Seen::Nothing | Seen::Directory | Seen::Special => return Err(Error::Changed(work.tree.whole(&path))),
            };
            self.files.insert(path, found);
        }
        for path in others.directories {
            self.files.insert(path, Found::Directory);
        }
        self.notes.extend(others.notes);
        Ok(())
    }

    /// Directories that stand although all that Git had in them is gone.
    pub fn add_emptied(&mut self, work: &Work<'_>) -> Result<(), Error> {
        let gone = self.files.iter().filter(|(_, found)| matches!(found, Found::Gone)).map(|(path, _)| path.as_slice());
        let (mut seen, mut empty) = (HashSet::new(), Vec::new());
        for path in gone {
            let mut above = path;
            while let Some(end) = above.iter().rposition(|&byte| byte == b'/') {
                above = &above[..end];
                if !seen.insert(above) {
                    break;
                }
                match work.tree.look(above)? {
                    Seen::Nothing => continue,
                    Seen::Directory if work.tree.list(above)?.is_empty() => empty.push(above.to_vec()),
                    _ => {}
                }
                break;
            }
        }
        for dir in empty {
            self.files.entry(dir).or_insert(Found::Directory);
        }
        Ok(())
    }

    pub fn add_converted(&mut self, work: &Work<'_>, paths: &[Vec<u8>]) -> Result<(), Error> {
        paths.iter().try_for_each(|path| self.tracked(&work.tree, path, false))
    }
}

/// The name that these bytes would have as a blob, without any conversion.
pub fn blob(work: &Work<'_>, path: &[u8], seen: &Stamp) -> Result<ObjectId, Error> {
    let changed = || Error::Changed(work.tree.whole(path));
    let mut reading = work.tree.file(path, seen)?;
    let mut hasher = gix::hash::hasher(work.repo.hash);
    hasher.update(format!("blob {}\0", seen.size).as_bytes());
    let mut buffer = vec![0; 64 << 10];
    loop {
        if crate::progress::interrupted() {
            return Err(crate::git::Error::Interrupted.into());
        }
        let n = reading.read(&mut buffer).at("read", work.tree.whole(path))?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
    }
    reading.settled()?;
    hasher.try_finalize().map_err(|_| changed())
}

fn hash(kind: Kind, bytes: &[u8]) -> Option<ObjectId> {
    gix::objs::compute_hash(kind, gix::object::Kind::Blob, bytes).ok()
}
