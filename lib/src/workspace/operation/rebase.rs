//! `git rebase`, the merge backend (`rebase-merge/`): interactive or not, at a conflict, an `edit` or a `break`.
//!
//! What must stay true: every file of the directory has its field here, or is made again by Git, or is refused.

mod files;

use serde::{Deserialize, Serialize};

use super::super::model::Oid;
use super::super::name::Name;
use super::todo::{Todo, Verb};
pub use files::{DETACHED, head_name, moved};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rebase {
    /// The branch, by its full name; none of a detached HEAD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_name: Option<Name>,
    pub orig_head: Oid,
    pub onto: Oid,
    pub todo: Vec<Todo>,
    pub done: Vec<Todo>,
    /// Of how many, by Git's own count.
    pub msgnum: u32,
    pub end: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Oid>,
    /// `REBASE_HEAD`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Oid>,
    /// HEAD as the stop for an `edit` left it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amend: Option<Oid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_squash: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_fixup: Option<Name>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixups: Vec<Fixup>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub squash_onto: Option<Oid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autostash: Option<Oid>,
    /// `refs/rewritten/*`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewritten: Vec<Moved>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewritten_pending: Vec<Oid>,
    /// Branches that `--update-refs` moves at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub update_refs: Vec<Update>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Name>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strategy_options: Vec<Name>,
    /// `-S<key>`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<Name>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flag {
    Interactive,
    Quiet,
    Verbose,
    Signoff,
    CommitterDateIsAuthorDate,
    IgnoreDate,
    DropRedundantCommits,
    KeepRedundantCommits,
    RescheduleFailedExec,
    NoRescheduleFailedExec,
    RerereAutoupdate,
    NoRerereAutoupdate,
    /// `rebase.missingCommitsCheck` has said its word.
    Dropped,
}

/// As `author-script` has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Author {
    pub name: Name,
    pub email: Name,
    pub date: Name,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fixup {
    pub verb: Verb,
    pub commit: Oid,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    pub name: Name,
    pub commit: Oid,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    pub from: Oid,
    pub to: Oid,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Update {
    pub name: Name,
    pub before: Oid,
    /// None until its line in the list was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Oid>,
}
