//! What commits of ours still need: everything else in our packs may go.
//!
//! Counts too much rather than too little: a tree is followed whatever its shape, since a later version may give it another
//! one. What must stay true: an object that cannot be read ends the walk with an error, so that nothing is dropped then.

use std::collections::HashSet;

use gix::hash::ObjectId;
use gix::object::Kind;
use gix::objs::{Find, FindHeader, TreeRefIter};

use super::super::commit::Commit;
use super::super::{Error, Store};

/// Everything that a ref, a reflog or a worktree's HEAD names here, as Git sees it.
pub fn tips(store: &Store) -> Result<Vec<ObjectId>, Error> {
    let git = &store.repo.git;
    let mut lines = git.lines(&["for-each-ref", "--format=%(objectname) %(*objectname)"])?;
    lines.extend(git.lines(&["rev-list", "--no-walk", "--all", "--reflog"])?);
    let ids: HashSet<ObjectId> =
        lines.iter().flat_map(|line| line.split_whitespace()).filter_map(|id| ObjectId::from_hex(id.as_bytes()).ok()).collect();
    Ok(ids.into_iter().collect())
}

/// Every commit of ours from these tips on, with all its trees and blobs. A commit that is none of ours is passed by.
pub fn reachable(store: &Store, tips: &[ObjectId]) -> Result<HashSet<ObjectId>, Error> {
    let mut reached = HashSet::new();
    let mut open = tips.to_vec();
    while let Some(id) = open.pop() {
        if reached.contains(&id) {
            continue;
        }
        if crate::progress::interrupted() {
            return Err(crate::git::Error::Interrupted.into());
        }
        // At the edge of a shallow repository, or promised to a partial one.
        let Some(header) = store.odb.borrow().try_header(&id).map_err(|_| Error::Unreadable(id))? else { continue };
        match header.kind {
            Kind::Tree => trees(store, id, &mut reached)?,
            Kind::Commit => {
                reached.insert(id);
                match Commit::read(store, &id) {
                    Ok(commit) if commit.is_ours() => {
                        trees(store, commit.tree, &mut reached)?;
                        open.extend(commit.parents);
                    }
                    Ok(_) | Err(Error::NotACheckpoint { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Kind::Blob | Kind::Tag => drop(reached.insert(id)),
        }
    }
    Ok(reached)
}

fn trees(store: &Store, root: ObjectId, reached: &mut HashSet<ObjectId>) -> Result<(), Error> {
    let mut open = vec![root];
    let mut bytes = Vec::new();
    while let Some(id) = open.pop() {
        if !reached.insert(id) {
            continue;
        }
        let Some(found) = store.odb.borrow().try_find(&id, &mut bytes).map_err(|_| Error::Unreadable(id))? else { continue };
        if found.kind != Kind::Tree {
            continue;
        }
        for item in TreeRefIter::from_bytes(found.data, store.repo.hash) {
            let item = item.map_err(|_| Error::Unreadable(id))?;
            if item.mode.is_tree() {
                open.push(item.oid.to_owned());
            } else if !item.mode.is_commit() {
                reached.insert(item.oid.to_owned());
            }
        }
    }
    Ok(())
}
