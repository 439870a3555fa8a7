//! `git am` and `git rebase --apply`: both stand in `rebase-apply/` and go on from the patch that did not fit.

mod files;

use serde::{Deserialize, Serialize};

use super::super::model::Oid;
use super::super::name::Name;
use super::rebase::{Author, Moved};
pub use files::{is_apply_option, is_quoted_cr, read};

/// What both have. Patches before the current one are not needed any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mail {
    /// The number of the current patch, and of the last one.
    pub next: u32,
    pub last: u32,
    pub current: Current,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort_safety: Option<Oid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autostash: Option<Oid>,
    /// `REBASE_HEAD`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Oid>,
    /// Yes or no: `threeway`, `quiet`, `sign`, `utf8`, `messageid`, `scissors`; others by their words: `keep`, `quoted-cr`.
    pub threeway: bool,
    pub quiet: bool,
    pub sign: bool,
    pub utf8: bool,
    pub messageid: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scissors: Option<bool>,
    pub keep: Keep,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted_cr: Option<String>,
    /// `--rerere-autoupdate`, or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerere: Option<bool>,
    /// For `git apply`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Name>,
}

/// The patch at which it stopped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Current {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Oid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Name>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    No,
    Yes,
    NonPatch,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Apply {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_name: Option<Name>,
    pub orig_head: Oid,
    pub onto: Oid,
    /// From `next` to `last`: Git makes the patches of them once more.
    pub commits: Vec<Oid>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewritten: Vec<Moved>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signoff: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verbose: bool,
    /// `-S<key>`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpg_sign: Option<Name>,
    #[serde(flatten)]
    pub mail: Mail,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Am {
    /// From `next` to `last`, as they came.
    pub patches: Vec<Name>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dirty_index: bool,
    #[serde(flatten)]
    pub mail: Mail,
}
