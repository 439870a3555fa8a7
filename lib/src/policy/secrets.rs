//! Secrets in what is about to leave: what they look like, where they stand, which of them somebody has allowed.
//!
//! Knows bytes and names, no agent, no Git, no disk but the list of exceptions. What must stay true: a secret is never part
//! of a finding, only its mask and a hash; whatever the input is, memory stays bounded; the same secret has the same id
//! wherever it stands and however JSON has escaped it.

mod allowed;
mod field;
mod find;
mod review;
mod rules;
mod stream;
mod text;
mod watch;
mod words;

#[cfg(test)]
mod tests;

pub use allowed::{Allowed, Exception, is_id};
pub use review::{Masked, masked};
pub use rules::{Rule, rules};
pub use stream::Stream;
pub use watch::{Found, Watch};

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    Low,
    High,
}

/// One secret at one place. Nothing in it tells the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The same for the same secret, wherever it stands.
    pub id: String,
    pub rule: String,
    pub what: String,
    pub confidence: Confidence,
    /// The file's name in the capsule.
    pub file: String,
    /// Counted from 1; in what a packed file unpacks to.
    pub line: u64,
    /// Where in a line of JSON.
    pub field: Option<String>,
    /// How it begins, and its length.
    pub masked: String,
}

/// What was found, before it has a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    pub rule: usize,
    pub id: String,
    pub masked: String,
    pub line: u64,
    pub field: Option<String>,
    /// Bytes from the beginning of what was scanned.
    pub range: std::ops::Range<u64>,
}
