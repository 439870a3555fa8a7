//! The workspace around a session: taken along into a capsule, and brought back from one.
//!
//! Knows which work tree is meant, and in what order it and the session's own files are written; what a workspace is made
//! of is the business of `crate::workspace`.

pub mod arrive;
mod capture;
mod home;
mod known;
mod same;
mod summary;
mod withheld;

pub use arrive::{Arrived, Asked, Choice, Mode, Move, Moved, Place};
pub use capture::{Taken, Work};
pub use known::Known;
pub use withheld::{KEY_FILES, Withheld};

pub use crate::capsule::WORKSPACE_DIR as DIR;
use crate::capsule::Workspace;

/// What came along, and what stays behind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    pub numbers: Workspace,
    pub notes: Vec<String>,
    /// The state that was taken, to be remembered once the capsule is there.
    pub state: Option<Box<Known>>,
}

/// The role of each of its files in a manifest.
pub const ROLE: &str = "workspace";

/// What of it shall travel.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Nothing.
    pub session_only: bool,
    pub submodules: bool,
    /// Of what Git ignores, what these patterns name.
    pub include_ignored: Vec<String>,
    /// What would stay behind by its name, too: for whoever compares, and takes nothing along.
    pub whole: bool,
    /// Files of keys all the same; without an answer they stay.
    pub key_files: Option<bool>,
}
