//! What the index has otherwise than the tree of HEAD, and what it marks.

use std::collections::{BTreeMap, HashSet};

use gix::hash::ObjectId;

use super::answers::{self, GITLINK, Row, Status};
use super::{Error, Work};
use crate::workspace::model::{Entry, Oid};
use crate::workspace::name::Name;

/// The index, and what of it must travel.
pub struct Index<'a> {
    rows: &'a [u8],
    pub entries: Vec<Entry>,
    pub unindexed: Vec<Name>,
    /// What the entries name and the tree of HEAD is not known to have.
    pub blobs: Vec<ObjectId>,
    /// Marked as unchanged or left out: `status` is silent about these.
    pub flagged: Vec<Row<'a>>,
    pub gitlinks: Vec<Row<'a>>,
    /// Files that may say how others are converted.
    pub attributes: Vec<&'a [u8]>,
}

impl<'a> Index<'a> {
    pub fn rows(&self) -> impl Iterator<Item = Result<Row<'a>, crate::git::Error>> + use<'a> {
        answers::rows(self.rows)
    }
}

pub fn of<'a>(work: &Work<'_>, status: &Status<'_>, rows: &'a [u8]) -> Result<Index<'a>, Error> {
    let empty = ObjectId::empty_blob(work.repo.hash);
    let mut index = Index {
        rows,
        entries: Vec::new(),
        unindexed: Vec::new(),
        blobs: Vec::new(),
        flagged: Vec::new(),
        gitlinks: Vec::new(),
        attributes: Vec::new(),
    };
    for row in answers::rows(rows) {
        let row = row?;
        if row.is_flagged() {
            index.flagged.push(row);
        }
        if row.mode == GITLINK && row.stage == 0 {
            index.gitlinks.push(row);
        }
        if is_attributes(row.path) {
            index.attributes.push(row.path);
        }
    }
    let intended = intended(work, status, &index, &empty)?;
    let mut entries = BTreeMap::new();
    for change in &status.changes {
        let is_intended = intended.contains(change.path);
        if change.index == b'D' && !is_intended && !change.is_unmerged() {
            index.unindexed.push(Name::new(change.path));
        }
        if change.index != b'.' || change.is_unmerged() {
            for &(stage, mode, oid) in &change.stages {
                entries.insert((change.path.to_owned(), stage), entry(change.path, mode, oid, stage));
            }
        }
    }
    for row in &index.flagged {
        let entry = entries.entry((row.path.to_owned(), row.stage)).or_insert(entry(row.path, row.mode, row.oid()?, row.stage));
        entry.assume_unchanged = row.assume_unchanged();
        entry.skip_worktree = row.skip_worktree();
    }
    if !intended.is_empty() {
        for row in index.rows() {
            let row = row?;
            if intended.contains(row.path) {
                let entry = entries.entry((row.path.to_owned(), row.stage)).or_insert(entry(row.path, row.mode, row.oid()?, row.stage));
                entry.intent_to_add = true;
            }
        }
    }
    let in_head: HashSet<ObjectId> = status.changes.iter().filter_map(|change| change.head_oid).collect();
    let changed: HashSet<&[u8]> = status.changes.iter().map(|change| change.path).collect();
    index.entries = entries.into_values().collect();
    // A flag alone makes no blob that HEAD has not.
    let own = index.entries.iter().filter(|entry| changed.contains(entry.path.as_bytes()));
    let own = own.filter(|entry| !entry.intent_to_add && entry.mode.as_bytes() != GITLINK);
    index.blobs = own.map(|entry| entry.oid.0).filter(|oid| !in_head.contains(oid)).collect();
    index.blobs.sort_unstable();
    index.blobs.dedup();
    index.unindexed.sort();
    Ok(index)
}

pub fn is_attributes(path: &[u8]) -> bool {
    path.strip_suffix(b".gitattributes").is_some_and(|dir| dir.is_empty() || dir.ends_with(b"/"))
}

fn entry(path: &[u8], mode: &[u8], oid: ObjectId, stage: u8) -> Entry {
    Entry {
        path: Name::new(path),
        mode: String::from_utf8_lossy(mode).into_owned(),
        oid: Oid(oid),
        stage,
        intent_to_add: false,
        skip_worktree: false,
        assume_unchanged: false,
    }
}

/// Names that are only going to be added. `status` shows most of them as new in the work tree alone; that of a file which
/// is gone, or marked as unchanged, looks like that of an empty file, and only the flags themselves tell them apart.
fn intended(work: &Work<'_>, status: &Status<'_>, index: &Index<'_>, empty: &ObjectId) -> Result<HashSet<Vec<u8>>, Error> {
    let gone = status.changes.iter().any(|change| change.tree == b'D' && change.stages.iter().any(|(_, _, oid)| oid == empty));
    let mut hidden = gone || status.changes.iter().any(|change| change.tree == b'A');
    for row in &index.flagged {
        hidden = hidden || row.oid()? == *empty;
    }
    if !hidden {
        return Ok(HashSet::new());
    }
    let out = work.git.run(&["ls-files", "--debug", "-z", "--sparse"])?;
    Ok(answers::intended(&out)?.into_iter().map(<[u8]>::to_owned).collect())
}
