//! A model back into a work tree: a new linked one, or a clean one that is there.
//!
//! What must stay true: everything is checked before anything is written, and everything that is written can be taken
//! back with what `Undo` holds.

mod apply;
mod branch;
mod check;
#[cfg(test)]
pub(crate) mod fixture;
mod here;
mod index;
mod modules;
mod objects;
mod over;
mod place;
mod plan;
mod tree;
mod undo;

pub use apply::{Applied, Rebuild, apply};
pub use branch::{Branch, worktrees};
pub use check::check;
pub use here::{is_clean, may_go_over, top};
pub use over::Over;
pub use plan::{Missing, Note, Plan, beside, is_alike, plan};
pub use undo::{Made, Undo, Undone, Was, prepare};

use std::path::PathBuf;
use std::sync::Arc;

use super::model::Oid;
use super::name::Name;
use crate::git::Git;
use crate::{durable, git};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Git(#[from] git::Error),
    #[error(transparent)]
    File(#[from] durable::Error),
    #[error(transparent)]
    Workspace(#[from] super::Error),
    #[error("it comes from another repository: {evidence}")]
    OtherRepository { evidence: String },
    #[error("this repository has {here} objects, the workspace {there}")]
    OtherFormat { here: &'static str, there: String },
    #[error("'{}' exists already", .0.display())]
    Exists(PathBuf),
    #[error("there is no work tree here")]
    NoWorkTree,
    /// The first of the changes.
    #[error("the work tree has changes ('{0}')")]
    Dirty(String),
    #[error("{0} is in progress here")]
    InProgress(&'static str),
    #[error("'{0}' is in the way, and no commit has it")]
    WouldOverwrite(Name),
    /// What no remote could give, with each one's answer.
    #[error("commit {} is missing here ({said})", commit.0)]
    Missing { commit: Oid, said: String },
    #[error("somebody has made the branch '{0}' just now")]
    BranchMade(Name),
    #[error("the workspace names {} and did not bring it", .0.0)]
    NotBrought(Oid),
    #[error("{0}")]
    Submodule(String),
    #[error("the operation in progress cannot be brought back")]
    Operation(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("'{}' was used since", .0.display())]
    Used(PathBuf),
}

#[derive(Debug, Clone)]
pub enum Destination {
    /// A new linked worktree; `branch`: on its branch, where that is free.
    New { at: PathBuf, branch: bool },
    /// The work tree in which the repository was opened, which must be clean.
    Here { branch: bool, home: Option<Home> },
}

/// The session is at home in that work tree: HEAD stays on its branch, where that stands at the commit already.
#[derive(Debug, Clone)]
pub struct Home {
    /// What may be lost, since a capsule holds it.
    pub over: Option<Arc<Over>>,
}

#[derive(Debug, Clone)]
pub struct Options {
    pub force_repository: bool,
    /// Files that make programs run may come along: the sender is trusted, or somebody looked at the list.
    pub accept_config: bool,
    /// Remotes that hold sessions and no code.
    pub stores: Vec<String>,
    /// A directory of ours, for backups and for what is known of how far this came; made where it is missing.
    pub backup: PathBuf,
}

/// Git as it is run for a restore: nothing of the user's runs by it, save filters, and no tree may name Git's own files.
fn calm(git: &Git) -> Git {
    let settings = [
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "core.protectHFS=true",
        "core.protectNTFS=true",
        "advice.detachedHead=false",
        "gc.auto=0",
        "maintenance.auto=false",
        "submodule.recurse=false",
        "core.untrackedCache=false",
        "core.splitIndex=false",
    ];
    settings.iter().fold(git.clone(), |git, setting| git.with(setting))
}

#[cfg(test)]
mod tests;
