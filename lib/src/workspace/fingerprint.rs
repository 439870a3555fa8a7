//! The state of a work tree in one hash: HEAD's commit, the index, every file that is otherwise, operations in progress.
//!
//! Two states with the same fingerprint differ in nothing that `capture` takes along. Not in it: what may change while
//! nobody works there, as remotes, what they have, and the name of the branch.

use sha2::{Digest, Sha256};

use super::model::{What, Workspace};
use super::operation::Operation;
use crate::id::hex;
use crate::path::RelPath;

/// `hash` knows the SHA-256 of the capsule's files; nothing where it does not know one.
pub fn of(model: &Workspace, hash: &dyn Fn(&RelPath) -> Option<String>) -> Option<String> {
    let mut sum = Sha256::new();
    add(&mut sum, model, hash)?;
    Some(hex(&sum.finalize()))
}

fn add(sum: &mut Sha256, model: &Workspace, hash: &dyn Fn(&RelPath) -> Option<String>) -> Option<()> {
    let operations: Vec<Operation> = model.operations.iter().map(without_its_end).collect();
    let parts = (&model.head.commit, &model.index, &model.unindexed, &model.files, operations, &model.sparse);
    put(sum, &serde_json::to_vec(&parts).ok()?);
    for file in &model.files {
        if let What::File { at, .. } = &file.what {
            put(sum, hash(at)?.as_bytes());
        }
    }
    for module in &model.submodules {
        put(sum, &serde_json::to_vec(&(&module.path, &module.commit, module.changed, module.untracked)).ok()?);
        match &module.contents {
            None => put(sum, b"by its commit"),
            Some(contents) => add(sum, contents, hash)?,
        }
    }
    Some(())
}

/// Brought elsewhere, an operation ends on another branch.
fn without_its_end(operation: &Operation) -> Operation {
    let mut operation = operation.clone();
    match &mut operation {
        Operation::Rebase(rebase) => rebase.head_name = None,
        Operation::Apply(apply) => apply.head_name = None,
        _ => {}
    }
    operation
}

fn put(sum: &mut Sha256, bytes: &[u8]) {
    sum.update((bytes.len() as u64).to_be_bytes());
    sum.update(bytes);
}
