//! The plaintext of a capsule: ordinary files and a manifest, as a tar stream.
//!
//! Knows no encryption, no agent and no place on a disk: it turns contents into bytes and back, in one pass and
//! constant memory. What must stay true: a stream that `read` accepts holds exactly the files that its manifest lists,
//! with exactly those bytes, under paths that cannot leave the directory they are joined to.

mod manifest;
mod observe;
mod reader;
mod writer;

pub use manifest::{FileEntry, Header, MANIFEST_SCHEMA, Manifest, Origin, REDACTED, Repository, Workspace};
pub use observe::{Observed, Observer, Shared};
pub use reader::{Names, Opened, Sink, read, unfold};
pub use writer::{Content, Exact, Target, Writer};

use crate::path::{RelPath, Unsafe};

/// Where the agent's files stand in a capsule, and the torn ends of growing ones.
pub const SESSION_DIR: &str = "session";
pub const TORN_DIR: &str = "torn";
/// What was around the session.
pub const WORKSPACE_DIR: &str = "workspace";

const HEADER_NAME: &str = "capsule.json";
const MANIFEST_NAME: &str = "manifest.json";
const SIGNATURE_NAME: &str = "manifest.json.sig";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the capsule")]
    Read(#[source] std::io::Error),
    #[error("cannot write the capsule")]
    Write(#[source] std::io::Error),
    #[error("not a capsule: {0}")]
    NotACapsule(&'static str),
    #[error("the capsule has format version {found}, and this program knows {known}")]
    Newer { found: String, known: u32 },
    #[error("the capsule requires '{0}', which this program does not know")]
    Requires(String),
    #[error("the capsule is damaged: {0}")]
    Damaged(String),
    #[error("the capsule's manifest is not true: {0}")]
    Lies(String),
    #[error(transparent)]
    Unsafe(#[from] Unsafe),
    #[error("the capsule names '{0}' twice")]
    Duplicate(RelPath),
    #[error("the capsule names '{0}' and '{1}', which are one file on some systems")]
    CaseCollision(RelPath, RelPath),
    #[error("the capsule names '{0}' as a file and a directory, which holds '{1}'")]
    Nested(RelPath, RelPath),
    #[error("the capsule holds '{name}', which is {kind}: only regular files belong there")]
    NotAFile { name: String, kind: &'static str },
    #[error("the capsule is larger than allowed: {0}")]
    TooLarge(String),
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// What was written is not what it should be. That it is newer than this program is no damage.
    pub fn is_damage(&self) -> bool {
        match self {
            Error::Read(error) => error.get_ref().and_then(|cause| cause.downcast_ref()).is_some_and(crate::store::Error::is_damage),
            Error::NotACapsule(_) | Error::Damaged(_) | Error::Lies(_) | Error::Unsafe(_) => true,
            Error::Duplicate(_) | Error::CaseCollision(..) | Error::Nested(..) | Error::NotAFile { .. } => true,
            _ => false,
        }
    }
}
