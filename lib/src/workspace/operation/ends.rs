//! On which branch an operation may end here: one that stands where it stood there, and that nobody else works on.

use std::fs;
use std::io;

use super::super::model::Oid;
use super::super::name::Name;
use super::state::State;
use super::{Branch, Error, Operation, Todo};
use crate::durable::At;
use crate::git::Repository;

/// Where it will end here. A bisection only looks at branches: one that does not fit becomes a commit.
pub fn end(repo: &Repository, state: &State<'_>, operation: &Operation, branch: &Branch) -> Result<Option<Name>, Error> {
    let Some((own, at)) = operation.branch() else { return Ok(None) };
    let name = match branch {
        Branch::Detached => return Ok(None),
        Branch::Own => own,
        Branch::New(name) => name,
    };
    match stands(repo, state, name, at) {
        Ok(()) => Ok(Some(name.clone())),
        Err(Error::Branch { .. }) if matches!(operation, Operation::Bisect(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Without the branches that it could not move.
pub fn movable(repo: &Repository, state: &State<'_>, operation: &Operation, left_out: &mut Vec<Name>) -> Result<Operation, Error> {
    let mut operation = operation.clone();
    if let Operation::Rebase(rebase) = &mut operation {
        let mut fits = Vec::new();
        for update in rebase.update_refs.drain(..) {
            match stands(repo, state, &update.name, update.before) {
                Ok(()) => fits.push(update),
                Err(Error::Branch { name, .. }) => left_out.push(name),
                Err(error) => return Err(error),
            }
        }
        rebase.update_refs = fits;
        let moved = |name: &Name| rebase.update_refs.iter().any(|update| update.name == *name);
        rebase.todo.retain(|line| if let Todo::UpdateRef { name } = line { moved(name) } else { true });
    }
    Ok(operation)
}

/// The branch is there, and nobody else works on it.
fn stands(repo: &Repository, state: &State<'_>, name: &Name, at: Oid) -> Result<(), Error> {
    let wrong = |why: String| Err(Error::Branch { name: name.clone(), why });
    match state.branch(name)? {
        _ if !name.as_bytes().starts_with(b"refs/heads/") => return wrong("it is no branch".to_owned()),
        None => return wrong("there is no such branch here".to_owned()),
        Some(oid) if oid != at => return wrong(format!("it stands at {} here, and stood at {}", oid.0, at.0)),
        Some(_) => {}
    }
    let here = repo.git.run(&["rev-parse", "--show-toplevel"])?;
    let trees = repo.git.run(&["worktree", "list", "--porcelain", "-z"])?;
    let mut tree: &[u8] = b"";
    for field in trees.split(|&byte| byte == 0) {
        tree = field.strip_prefix(b"worktree ").unwrap_or(tree);
        if field.strip_prefix(b"branch ") == Some(name.as_bytes()) && tree != here.trim_ascii_end() {
            return wrong(format!("it is checked out in '{}'", Name::new(tree)));
        }
    }
    if waiting(repo, name)? { wrong("another operation in progress ends on it".to_owned()) } else { Ok(()) }
}

/// Whether an operation in another work tree of this repository comes back to this branch.
fn waiting(repo: &Repository, name: &Name) -> Result<bool, Error> {
    let linked = fs::read_dir(repo.common.join("worktrees")).into_iter().flatten();
    let dirs = linked.filter_map(|entry| Some(entry.ok()?.path())).chain([repo.common.clone()]);
    let short = name.as_bytes().strip_prefix(b"refs/heads/").unwrap_or(name.as_bytes());
    for dir in dirs.filter(|dir| *dir != repo.git_dir) {
        let says = |file: &str, line: &[u8]| match fs::read(dir.join(file)) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            text => Ok::<_, Error>(text.at("read", dir.join(file))?.split(|&byte| byte == b'\n').any(|there| there == line)),
        };
        let heads = ["rebase-merge/head-name", "rebase-apply/head-name", "rebase-merge/update-refs"];
        for (file, line) in heads.map(|file| (file, name.as_bytes())).into_iter().chain([("BISECT_START", short)]) {
            if says(file, line)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
