//! A work tree with changes that a capsule is known to hold: kept beside, cleared, and put back if that is asked for.
//!
//! What must stay true: nothing is cleared before all of it lies in the backup and is, byte for byte, what the capsule is
//! known to hold; whatever somebody writes meanwhile stops this and stays.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::index::{list, write_files};
use super::place::Root;
use super::{Error, here, objects};
use crate::durable::{self, At};
use crate::git::{Git, Repository};
use crate::id::hex;
use crate::path::RelPath;
use crate::workspace::capture::{Capture, CapturedFile};
use crate::workspace::fingerprint;
use crate::workspace::model::{PACK, What, Workspace};
use crate::workspace::name::Name;
use crate::workspace::{self};

const MODEL: &str = "over.json";
const FILES: &str = "over";
const STATE: &str = "state";
const REFS: &str = "refs";
/// What `undo` takes away at its end.
pub const ALL: [&str; 4] = [MODEL, FILES, STATE, REFS];
/// Refs that only this work tree has, and that belong to an operation.
const OWN_REFS: [&str; 2] = ["refs/bisect/", "refs/rewritten/"];

#[derive(Debug)]
pub struct Over {
    pub capture: Capture,
    /// That of the state which a capsule holds.
    pub fingerprint: String,
}

impl Over {
    /// Into the backup: files, objects that only it needs, and Git's own notes of an operation in progress.
    pub fn keep(&self, repo: &Repository, backup: &Path) -> Result<(), Error> {
        let mut hashes = HashMap::new();
        for file in &self.capture.files {
            hashes.insert(&file.name, copy(file, &file.name.under(&backup.join(FILES)))?);
        }
        let known = fingerprint::of(&self.capture.model, &|name: &RelPath| hashes.get(name).cloned());
        if known.as_deref() != Some(self.fingerprint.as_str()) {
            return Err(workspace::Error::Changed(self.capture.top.clone()).into());
        }
        for name in here::STATE.iter().map(|(name, _)| name).chain(here::MORE_STATE).chain(&["ORIG_HEAD"]) {
            let from = repo.git_dir.join(name);
            if from.symlink_metadata().is_ok() {
                copy_all(&from, &backup.join(STATE).join(name)).at("keep", from)?;
            }
        }
        let args = [&["for-each-ref", "--format=%(objectname) %(refname)"][..], &OWN_REFS].concat();
        durable::write_atomic(&backup.join(REFS), &repo.git.elsewhere(&self.capture.top).run(&args)?)?;
        let json = serde_json::to_vec(&self.capture.model).map_err(io::Error::from).at("write", backup)?;
        Ok(durable::write_atomic(&backup.join(MODEL), &json)?)
    }

    /// Looked at once more, just before it goes: what is kept is what stands there.
    pub fn must_stand(&self) -> Result<(), Error> {
        self.capture.files.iter().try_for_each(|file| Ok(file.open()?.finish()?))
    }

    /// Makes it a clean checkout of HEAD, or stops.
    pub fn clear(&self, repo: &Repository, git: &Git) -> Result<(), Error> {
        let (top, model) = (&self.capture.top, &self.capture.model);
        for name in here::STATE.iter().map(|(name, _)| name).chain(here::MORE_STATE) {
            let path = repo.git_dir.join(name);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            missing_is_fine(removed).at("remove", &path)?;
        }
        let refs = git.run(&[&["for-each-ref", "--format=delete %(refname) %(objectname)"][..], &OWN_REFS].concat())?;
        if !refs.is_empty() {
            git.feed(&["update-ref", "--no-deref", "--stdin"], &refs)?;
        }
        let plain = |entry: &&crate::workspace::model::Entry| entry.mode != "160000" && !(entry.skip_worktree && model.sparse.is_some());
        let entries: Vec<&Name> = model.index.iter().filter(plain).map(|entry| &entry.path).collect();
        let marked: Vec<&[u8]> =
            model.index.iter().filter(plain).filter(|entry| entry.assume_unchanged).map(|entry| entry.path.as_bytes()).collect();
        let skipped: Vec<&[u8]> =
            model.index.iter().filter(plain).filter(|entry| entry.skip_worktree).map(|entry| entry.path.as_bytes()).collect();
        for (flag, paths) in [("--no-assume-unchanged", marked), ("--no-skip-worktree", skipped)] {
            if !paths.is_empty() {
                git.feed(&["update-index", "-z", flag, "--stdin"], &list(paths.into_iter()))?;
            }
        }
        let head = match model.head.commit {
            Some(commit) => commit.0.to_string(),
            None => super::apply::empty_tree(git)?,
        };
        git.run(&["read-tree", "--reset", &head])?;
        let ours = model.files.iter().map(|file| &file.path).chain(entries).chain(&model.unindexed);
        let ours: BTreeSet<&[u8]> = ours.map(Name::as_bytes).collect();
        let mut root = Root::open(top).at("open", top)?;
        for path in ours.iter().rev() {
            match root.remove(path) {
                // A directory stands there now, or something of Git's own below it.
                Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory) => {}
                removed => drop(removed.at("remove", top.join(Name::new(*path).as_path()))?),
            }
        }
        let tracked = objects::checked_out(git)?;
        let back = list(ours.iter().copied().filter(|path| tracked.contains(*path)));
        if !back.is_empty() {
            git.feed(&["checkout-index", "--index", "--force", "--quiet", "-z", "--stdin"], &back)?;
        }
        here::must_be_clean(repo, top)
    }
}

/// What was kept, if something was.
pub fn kept(backup: &Path) -> Result<Option<Workspace>, Error> {
    let file = backup.join(MODEL);
    match fs::read(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => {
            let model = serde_json::from_slice(&read.at("read", &file)?);
            Ok(Some(model.map_err(|error| workspace::Error::Damaged(error.to_string()))?))
        }
    }
}

/// Objects that were only in the index or under HEAD: they may have been pruned since.
pub fn objects_back(repo: &Repository, backup: &Path) -> Result<(), Error> {
    let pack = RelPath::parse(PACK.as_bytes()).map(|name| name.under(&backup.join(FILES)));
    let Some(pack) = pack.ok().filter(|pack| pack.exists()) else { return Ok(()) };
    let file = File::open(&pack).at("read", &pack)?;
    repo.git.feed_file(&["index-pack", "--stdin", "--fix-thin"], file, objects::MAX_MEMORY)?;
    Ok(())
}

/// The files and what Git knew of an operation; index and HEAD are there again by now.
pub fn put_back(repo: &Repository, model: &Workspace, backup: &Path, top: &Path) -> Result<(), Error> {
    let mut root = Root::open(top).at("open", top)?;
    write_files(&mut root, model, top, &backup.join(FILES), &BTreeSet::new())?;
    let state = backup.join(STATE);
    for entry in fs::read_dir(&state).into_iter().flatten().flatten() {
        let to = repo.git_dir.join(entry.file_name());
        let removed = if to.is_dir() { fs::remove_dir_all(&to) } else { fs::remove_file(&to) };
        missing_is_fine(removed).at("remove", &to)?;
        copy_all(&entry.path(), &to).at("write", to)?;
    }
    let refs = fs::read_to_string(backup.join(REFS)).at("read", backup.join(REFS))?;
    let lines = refs.lines().filter_map(|line| line.split_once(' '));
    let lines: String = lines.map(|(oid, name)| format!("update {name} {oid}\n")).collect();
    if !lines.is_empty() {
        repo.git.elsewhere(top).feed(&["update-ref", "--no-deref", "--stdin"], lines.as_bytes())?;
    }
    Ok(())
}

/// Names that it had, for whoever must look at them again.
pub fn names(model: &Workspace) -> impl Iterator<Item = &Name> {
    let there = model.files.iter().filter(|file| file.what != What::Directory).map(|file| &file.path);
    there.chain(model.index.iter().map(|entry| &entry.path)).chain(&model.unindexed)
}

/// With the hash of what was copied.
fn copy(file: &CapturedFile, to: &Path) -> Result<String, Error> {
    durable::create_dirs(durable::parent(to))?;
    let mut reading = file.open()?;
    let mut out = durable::create_private(to)?;
    let (mut hash, mut block, mut left) = (Sha256::new(), vec![0; 1 << 16], file.size);
    while left > 0 {
        if crate::progress::interrupted() {
            return Err(crate::git::Error::Interrupted.into());
        }
        match reading.read(&mut block) {
            Ok(0) => break,
            Ok(n) => {
                hash.update(&block[..n]);
                out.write_all(&block[..n]).at("write", to)?;
                left = left.saturating_sub(n as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).at("read", file.name.as_path()).map_err(Error::from),
        }
    }
    out.sync_all().at("write", to)?;
    reading.finish()?;
    Ok(hex(&hash.finalize()))
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    if from.symlink_metadata()?.is_dir() {
        fs::create_dir_all(to)?;
        return fs::read_dir(from)?.try_for_each(|entry| {
            let entry = entry?;
            copy_all(&entry.path(), &to.join(entry.file_name()))
        });
    }
    to.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}

fn missing_is_fine(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
