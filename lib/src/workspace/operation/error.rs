//! What keeps an operation from travelling or from arriving.

use std::path::PathBuf;

use crate::workspace::{model::Oid, name::Name};
use crate::{durable, git};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Git(#[from] git::Error),
    #[error(transparent)]
    File(#[from] durable::Error),
    /// It can be finished or aborted where it is, or left behind.
    #[error("'{}' describes an operation in progress that is not understood: {why}", file.display())]
    NotUnderstood { file: PathBuf, why: String },
    #[error("the {operation} in progress needs {}, which is not in this repository", object.0)]
    Lost { operation: &'static str, object: Oid },
    /// From a capsule: nothing honest says this.
    #[error("the operation in progress is refused: {0}")]
    Refused(String),
    #[error("a {0} is in progress here already")]
    Busy(&'static str),
    #[error("the operation in progress cannot end on '{name}': {why}")]
    Branch { name: Name, why: String },
}
