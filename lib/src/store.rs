//! Capsules as Git objects and refs: packs, trees, commits, chains.
//!
//! Begun: packs are written, nothing names them yet. Knows no agent and no key: what it stores is sealed already. What
//! must stay true: an object is in the repository, and durable, before a ref names it, and no ref is ever moved but by
//! comparing and swapping.

pub mod pack;

use std::path::PathBuf;

use crate::durable;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] durable::Error),
    #[error("cannot write a pack into '{}'", dir.display())]
    Pack {
        dir: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("an object's SHA-1 shows the marks of a collision attack")]
    Collision,
}
