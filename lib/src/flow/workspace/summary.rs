//! A workspace in a few numbers, for those who are told about it.

use std::collections::BTreeSet;

use crate::capsule;
use crate::workspace::model::{What, Workspace};
use crate::workspace::operation::Operation;

/// `files` and `bytes` are what the capsule holds of it, and how much.
pub fn of(model: &Workspace, files: usize, bytes: u64) -> capsule::Workspace {
    let gone = model.files.iter().filter(|file| file.what == What::Gone).count();
    let staged: BTreeSet<_> = model.index.iter().map(|entry| &entry.path).chain(&model.unindexed).collect();
    let branch = model.head.branch.as_ref().map(ToString::to_string);
    capsule::Workspace {
        branch: branch.map(|name| name.strip_prefix("refs/heads/").map(str::to_owned).unwrap_or(name)),
        commit: model.head.commit.map(|commit| commit.0.to_string()),
        commits: model.pack.as_ref().map_or(0, |pack| pack.commits),
        staged: staged.len(),
        changed: model.files.len() - gone,
        deleted: gone,
        operations: model.operations.iter().map(Operation::word).map(str::to_owned).collect(),
        files,
        bytes,
        more: serde_json::Map::new(),
    }
}
