//! What a person left in a work tree: commits, index, files; captured, and brought back.
//!
//! Knows Git and the work tree, no agent, no seal and no refs of ours. `capture` makes a model and names the files that go
//! with it; `restore` takes both, from wherever they were carried.

pub mod capture;
pub mod fingerprint;
pub mod identity;
pub mod model;
pub mod name;
pub mod operation;
pub mod restore;

use std::path::PathBuf;

use crate::{durable, git};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Git(#[from] git::Error),
    #[error(transparent)]
    File(#[from] durable::Error),
    /// Read again, it may hold still.
    #[error("'{}' changed while it was read", .0.display())]
    Changed(PathBuf),
    #[error("a bare repository has no work tree")]
    Bare,
    /// A thread of ours; it has said why on standard error.
    #[error("a part of the work ended before it was done")]
    Died,
    #[error(transparent)]
    Operation(#[from] operation::Error),
    #[error("the workspace is damaged: {0}")]
    Damaged(String),
}
