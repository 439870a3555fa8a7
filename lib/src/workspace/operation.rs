//! An operation that was in progress (merge, rebase, cherry-pick, revert, bisect, am), as a typed model.
//!
//! What must stay true: state files are never copied. What was read from them is checked word by word, and written anew
//! at the destination from these types, so that nothing runs and no branch moves that nobody was shown.

mod apply;
mod ask;
mod bisect;
mod brings;
mod check;
mod draft;
mod ends;
mod error;
mod folder;
mod merge;
mod objects;
mod pick;
pub(crate) mod quote;
mod read;
mod rebase;
mod rebuild;
mod runs;
mod state;
pub(crate) mod todo;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use apply::{Am, Apply, Current, Keep, Mail};
pub use bisect::{Bisect, Start};
pub use brings::stops_before;
pub use check::check;
pub use error::Error;
pub use merge::{Merge, Prepared};
pub use pick::{Pick, Sequence, Setting};
pub use read::read;
pub use rebase::{Author, Fixup, Flag, Label, Moved, Rebase, Update};
pub use rebuild::{Branch, Rebuilt, forget, rebuild};
pub use todo::{Message, Source, Target, Todo, Verb};

use super::model::Oid;
use super::name::Name;

/// Several can be in progress at once: a merge in the middle of a rebase that began during a bisection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Operation {
    Merge(Merge),
    CherryPick(Pick),
    Revert(Pick),
    Rebase(Box<Rebase>),
    /// `git rebase --apply`.
    Apply(Box<Apply>),
    Am(Box<Am>),
    Bisect(Box<Bisect>),
    Prepared(Prepared),
}

impl Operation {
    /// As `git status` and its manuals call it.
    pub fn word(&self) -> &'static str {
        match self {
            Operation::Merge(_) => "merge",
            Operation::CherryPick(_) => "cherry-pick",
            Operation::Revert(_) => "revert",
            Operation::Rebase(_) | Operation::Apply(_) => "rebase",
            Operation::Am(_) => "am",
            Operation::Bisect(_) => "bisect",
            Operation::Prepared(_) => "prepared commit",
        }
    }

    /// The branch that it comes back to at its end, by its full name, and the commit where that stands until then: what
    /// `Branch::New` must have been made at.
    pub fn branch(&self) -> Option<(&Name, Oid)> {
        match self {
            Operation::Rebase(rebase) => Some((rebase.head_name.as_ref()?, rebase.orig_head)),
            Operation::Apply(apply) => Some((apply.head_name.as_ref()?, apply.orig_head)),
            Operation::Bisect(bisect) => match &bisect.start {
                Start::Branch { name, commit } => Some((name, *commit)),
                Start::Commit { .. } => None,
            },
            _ => None,
        }
    }
}
