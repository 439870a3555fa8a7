//! `samesession`: a coding agent's session as something Git can carry.
//!
//! The story, from the inside: `agent` knows where a session's files are, `capsule` writes them into one plaintext
//! stream with a manifest at its end, `seal` turns that stream into bytes that only the named recipients can read,
//! and `flow` strings these into the verbs that users type. On the other side the same layers run backwards, and
//! `flow::restore` puts the files where the real agent looks for them, as a transaction.
//!
//! Nothing here prints, asks or knows of a terminal, and nothing outside `env` reads the process's environment.

pub mod agent;
pub mod capsule;
pub mod device;
pub mod durable;
pub mod env;
pub mod fault;
pub mod flow;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod git;
pub mod hook;
pub mod id;
pub mod lease;
pub mod link;
pub mod path;
pub mod policy;
mod pool;
pub mod progress;
pub mod recovery;
pub mod remains;
pub mod roster;
pub mod seal;
pub mod signers;
pub mod store;
pub mod time;
pub mod workspace;
