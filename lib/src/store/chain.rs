//! A session's chain of checkpoints: who descends from whom.
//!
//! Knows commits only. A walk ends where a chain ends: at its root, at the edge of a shallow repository, or at a commit that
//! is none of ours, so that a ref from outside cannot send it through the history of a project.

use std::collections::{BTreeMap, HashSet, VecDeque};

use gix::hash::ObjectId;

use super::commit::Commit;
use super::{Error, Store};

/// Whether `old` is `new` or one of its ancestors.
pub fn descends(store: &Store, new: &ObjectId, old: &ObjectId) -> Result<bool, Error> {
    let mut seen = HashSet::new();
    let mut open = VecDeque::from([*new]);
    while let Some(id) = open.pop_front() {
        if id == *old {
            return Ok(true);
        }
        if !seen.insert(id) {
            continue;
        }
        match Commit::read(store, &id) {
            Ok(commit) if commit.is_ours() => open.extend(commit.parents),
            Ok(_) | Err(Error::Missing(_) | Error::NotACheckpoint { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// All commits of a chain that are here, newest first: a commit comes before its parents.
pub fn log(store: &Store, tip: &ObjectId) -> Result<Vec<Commit>, Error> {
    let mut commits = BTreeMap::new();
    let mut children: BTreeMap<ObjectId, usize> = BTreeMap::new();
    let mut open = vec![*tip];
    while let Some(id) = open.pop() {
        if commits.contains_key(&id) {
            continue;
        }
        let commit = match Commit::read(store, &id) {
            Ok(commit) if commit.is_ours() => commit,
            Ok(_) => continue,
            Err(Error::Missing(_) | Error::NotACheckpoint { .. }) if id != *tip => continue,
            Err(error) => return Err(error),
        };
        for parent in &commit.parents {
            *children.entry(*parent).or_default() += 1;
            open.push(*parent);
        }
        commits.insert(id, commit);
    }
    let mut log = Vec::new();
    let mut ready = VecDeque::from([*tip]);
    while let Some(id) = ready.pop_front() {
        let Some(commit) = commits.remove(&id) else { continue };
        for parent in &commit.parents {
            let left = children.entry(*parent).or_default();
            *left = left.saturating_sub(1);
            if *left == 0 {
                ready.push_back(*parent);
            }
        }
        log.push(commit);
    }
    Ok(log)
}

/// Those of these commits that no other of them descends from.
pub fn heads(store: &Store, ids: &[ObjectId]) -> Result<Vec<ObjectId>, Error> {
    let mut heads: Vec<ObjectId> = Vec::new();
    for (n, id) in ids.iter().enumerate() {
        if ids[..n].contains(id) {
            continue;
        }
        let mut covered = false;
        for (m, other) in ids.iter().enumerate() {
            covered |= m != n && other != id && descends(store, other, id)?;
        }
        if !covered {
            heads.push(*id);
        }
    }
    Ok(heads)
}
