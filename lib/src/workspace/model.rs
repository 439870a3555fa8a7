//! `workspace/workspace.json`: the words for what a person left in a work tree.
//!
//! What stands there is what makes the difference to a fresh checkout of `head`: an unchanged file of a commit that a
//! remote has costs nothing. Owns the wire format; knows no Git program and no files. A model that was read is hostile
//! until `check` has passed it.

use gix::hash::ObjectId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::name::Name;
use super::operation::Operation;
use crate::path::RelPath;

pub const SCHEMA: &str = "samesession.workspace/1";
/// In the capsule.
pub const FILE: &str = "workspace/workspace.json";
pub const PACK: &str = "workspace/objects.pack";
/// Files under their own names, as far as a capsule can carry these.
pub const FILES: &str = "workspace/files";
/// The others, each under the SHA-256 of its name.
pub const ODD: &str = "workspace/odd";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workspace {
    pub schema: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    pub identity: Identity,
    pub head: Head,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
    /// Commits that the pack leans on and does not hold: some code remote is known to have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prerequisites: Vec<Prerequisite>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<Pack>,
    /// What the index has otherwise than the tree of `head`, and what it marks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub index: Vec<Entry>,
    /// In the tree of `head` and not in the index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unindexed: Vec<Name>,
    /// What the work tree has otherwise than a checkout of the index, which leaves out what is marked skip-worktree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<WorkFile>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparse: Option<Sparse>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub submodules: Vec<Submodule>,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Which repository it is, wherever its clones stand.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// `sha1` or `sha256`.
    pub format: String,
    /// Commits without parents that HEAD leads to; none in a shallow clone, where they cannot be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<Oid>,
    /// The code remotes' addresses, in the one form that `identity::normal` gives them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remotes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The branch's full name; none where HEAD is detached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<Name>,
    /// None where the branch has no commit yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Oid>,
}

/// As `branch.<name>.remote` and `.merge` have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    pub remote: Name,
    pub merge: Name,
    /// Where the remote-tracking ref stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Oid>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prerequisite {
    pub commit: Oid,
    /// Refs of remotes, as those name them, that are known to lead to it: `refs/heads/main`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refs: Vec<Name>,
}

/// `workspace/objects.pack`: what nobody else is known to have, thin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pack {
    pub objects: u64,
    pub size: u64,
    /// Local commits in it.
    pub commits: u64,
}

/// One entry of the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub path: Name,
    /// As Git writes it: `100644`, `100755`, `120000`, `160000`.
    pub mode: String,
    pub oid: Oid,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stage: u8,
    #[serde(default, skip_serializing_if = "is_false")]
    pub intent_to_add: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub skip_worktree: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub assume_unchanged: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkFile {
    pub path: Name,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum What {
    /// Raw bytes, as they stood there, at this place of the capsule.
    File {
        at: RelPath,
        size: u64,
        mode: u32,
    },
    Link {
        to: Name,
    },
    /// In the index, and not there.
    Gone,
    /// A directory with nothing in it.
    Directory,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sparse {
    pub cone: bool,
    /// The text of `info/sparse-checkout`.
    pub patterns: Name,
}

/// The commit that is checked out in it; that the index has is an entry of the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submodule {
    pub path: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Oid>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub changed: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub untracked: bool,
    /// Its own workspace, where `--submodules` asked for it. What the capsule has of the n-th submodule (from 0) stands
    /// under `workspace/submodules/<n>/` as that of the whole does under `workspace/`, and so on inside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Box<Workspace>>,
}

/// An object's name, in hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(pub ObjectId);

impl Serialize for Oid {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Oid {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Oid, D::Error> {
        let text = String::deserialize(from)?;
        ObjectId::from_hex(text.as_bytes()).map(Oid).map_err(serde::de::Error::custom)
    }
}

fn is_zero(n: &u8) -> bool {
    *n == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}
