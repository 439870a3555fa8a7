//! An operation written anew into a work tree whose HEAD, index and files are as it left them, and taken out of it again.
//!
//! What must stay true: nothing is written before everything is checked; a directory of state files comes by one rename;
//! the file or ref by which Git knows of the operation comes last. `forget` needs the model only, so it also clears away
//! what a crash left half written, and it takes nothing that is another operation's.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::super::model::Oid;
use super::super::name::Name;
use super::draft::{Draft, Folder};
use super::ends::{end, movable};
use super::state::State;
use super::{Error, Operation, check, read};
use crate::durable::{self, At, TEMPORARY};
use crate::git::Repository;

/// The branch on which a rebase ends, and to which a bisection goes back.
#[derive(Debug, Clone, PartialEq)]
pub enum Branch {
    /// By its full name; made by the caller where `Operation::branch` says.
    New(Name),
    /// The one that it had: only if it stands here where it stood there, and nobody else works on it.
    Own,
    Detached,
}

#[derive(Debug, Default)]
pub struct Rebuilt {
    pub files: Vec<PathBuf>,
    pub refs: Vec<String>,
    /// Branches that `--update-refs` will not move, since they stand elsewhere here.
    pub left_out: Vec<Name>,
    /// `ORIG_HEAD` before it was replaced: the one thing that `forget` does not know.
    pub orig_head_was: Option<Oid>,
}

pub fn rebuild(repo: &Repository, operations: &[Operation], branch: Branch) -> Result<Rebuilt, Error> {
    if operations.is_empty() {
        return Ok(Rebuilt::default());
    }
    check(operations, repo.hash)?;
    let state = State::all(repo)?;
    free(repo, &state)?;
    for operation in operations {
        let objects = operation.objects();
        if let Some((object, _)) = objects.iter().zip(state.has(&objects)?).find(|(_, there)| !there) {
            return Err(Error::Lost { operation: operation.word(), object: *object });
        }
    }
    let mut rebuilt = Rebuilt { orig_head_was: state.reference("ORIG_HEAD"), ..Rebuilt::default() };
    let mut draft = Draft::default();
    for operation in operations {
        let end = end(repo, &state, operation, &branch)?;
        let operation = movable(repo, &state, operation, &mut rebuilt.left_out)?;
        operation.draft(end.as_ref(), &mut draft);
    }
    match write(repo, &draft, &mut rebuilt) {
        Ok(()) => Ok(rebuilt),
        Err(error) => {
            // What was wrong is worth more than that it could not be cleared away as well.
            let _ = forget(repo, operations);
            Err(error)
        }
    }
}

/// Takes back what `rebuild` wrote, as far as it is there and still the same.
pub fn forget(repo: &Repository, operations: &[Operation]) -> Result<(), Error> {
    let mut draft = Draft::default();
    operations.iter().for_each(|operation| operation.draft(None, &mut draft));
    let state = State::all(repo)?;
    let same = |name: &str, content: &[u8]| Ok::<_, Error>(state.file(name)?.is_some_and(|there| there == content));
    let mut bisecting = draft.acting_files.iter().any(|(name, _)| *name == "BISECT_START");
    for (name, content) in draft.files.iter().filter(|(name, _)| matches!(*name, "BISECT_TERMS" | "BISECT_NAMES")) {
        // Each step changes the rest.
        bisecting &= state.file(name)?.is_none() || same(name, content)?;
    }
    let mut gone = Vec::new();
    for (name, content) in draft.acting_files.iter().chain(&draft.files) {
        if if name.starts_with("BISECT_") { bisecting } else { same(name, content)? } {
            gone.push(state.place(name));
        }
    }
    let step = |name: &str| name.starts_with("refs/bisect/") || name.starts_with("BISECT_");
    let ours = |name: &String, oid: &Oid| draft.acting_refs.iter().chain(&draft.refs).any(|(known, at)| known == name && at == oid);
    let refs = state.refs().iter().filter(|(name, oid)| if step(name) { bisecting } else { ours(name, oid) });
    let lines: String = refs.map(|(name, oid)| format!("delete {name} {}\n", oid.0)).collect();
    if !lines.is_empty() {
        repo.git.feed(&["update-ref", "--no-deref", "--stdin"], lines.as_bytes())?;
    }
    for path in gone {
        remove(fs::remove_file(&path)).at("remove", &path)?;
    }
    for folder in &draft.folders {
        let place = state.place(folder.name);
        let mut ours = place.exists();
        for mark in &folder.marks {
            ours &= same(&format!("{}/{mark}", folder.name), &folder.files[mark])?;
        }
        if ours {
            fs::remove_dir_all(&place).at("remove", &place)?;
        }
        let half = repo.git_dir.join(half_name(folder));
        remove(fs::remove_dir_all(&half)).at("remove", &half)?;
    }
    Ok(())
}

impl Operation {
    fn draft(&self, branch: Option<&Name>, draft: &mut Draft) {
        match self {
            Operation::Merge(merge) => merge.draft(draft),
            Operation::CherryPick(pick) => pick.draft("CHERRY_PICK_HEAD", draft),
            Operation::Revert(pick) => pick.draft("REVERT_HEAD", draft),
            Operation::Rebase(rebase) => rebase.draft(branch, draft),
            Operation::Apply(apply) => apply.draft(branch, draft),
            Operation::Am(am) => am.draft(draft),
            Operation::Bisect(bisect) => bisect.draft(branch, draft),
            Operation::Prepared(prepared) => prepared.draft(draft),
        }
    }
}

/// Nothing may be in progress here, understood or not.
fn free(repo: &Repository, state: &State<'_>) -> Result<(), Error> {
    if state.refs().keys().any(|name| name.starts_with("refs/bisect/")) {
        return Err(Error::Busy("bisect"));
    }
    match read(repo) {
        Ok(all) => all.first().map_or(Ok(()), |first| Err(Error::Busy(first.word()))),
        Err(Error::NotUnderstood { .. } | Error::Lost { .. }) => Err(Error::Busy("operation")),
        Err(error) => Err(error),
    }
}

fn write(repo: &Repository, draft: &Draft, rebuilt: &mut Rebuilt) -> Result<(), Error> {
    put_refs(repo, &draft.refs, rebuilt)?;
    for (name, content) in &draft.files {
        put_file(repo, name, content, rebuilt)?;
    }
    for folder in &draft.folders {
        put_folder(repo, folder, rebuilt)?;
    }
    put_refs(repo, &draft.acting_refs, rebuilt)?;
    draft.acting_files.iter().try_for_each(|(name, content)| put_file(repo, name, content, rebuilt))
}

fn put_refs(repo: &Repository, refs: &[(String, Oid)], rebuilt: &mut Rebuilt) -> Result<(), Error> {
    let lines: String = refs.iter().map(|(name, oid)| format!("update {name} {}\n", oid.0)).collect();
    if !lines.is_empty() {
        repo.git.feed(&["update-ref", "--no-deref", "--stdin"], lines.as_bytes())?;
    }
    rebuilt.refs.extend(refs.iter().map(|(name, _)| name.clone()));
    Ok(())
}

fn put_file(repo: &Repository, name: &str, content: &[u8], rebuilt: &mut Rebuilt) -> Result<(), Error> {
    let place = repo.git_dir.join(name);
    durable::write_atomic(&place, content)?;
    rebuilt.files.push(place);
    Ok(())
}

fn put_folder(repo: &Repository, folder: &Folder, rebuilt: &mut Rebuilt) -> Result<(), Error> {
    let (half, place) = (repo.git_dir.join(half_name(folder)), repo.git_dir.join(folder.name));
    remove(fs::remove_dir_all(&half)).at("remove", &half)?;
    durable::create_dirs(&half)?;
    for (name, content) in &folder.files {
        put(&half.join(name), content)?;
    }
    durable::sync_dir(&half)?;
    fs::rename(&half, &place).at("move a directory to", &place)?;
    durable::sync_dir(&repo.git_dir)?;
    rebuilt.files.push(place);
    Ok(())
}

fn put(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut file = durable::create_private(path)?;
    Ok(file.write_all(content).and_then(|()| file.sync_all()).at("write", path)?)
}

fn half_name(folder: &Folder) -> String {
    format!("{TEMPORARY}{}", folder.name)
}

fn remove(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
