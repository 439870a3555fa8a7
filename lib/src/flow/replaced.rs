//! Chains that were shortened or deleted: what a commit stands in for, and how those who hold the old one follow.
//!
//! Such a commit names, signed and sealed, every commit that it no longer leads to. What must stay true: nobody follows
//! such a commit away from something that it does not name.

use std::collections::HashSet;

use gix::hash::ObjectId;

use super::Error;
use super::ledger::Ledger;
use crate::store::chain;
use crate::store::unfold::Checkpoint;

/// The commits that are named as replaced somewhere on the chain of this checkpoint.
pub fn by(ledger: &Ledger<'_>, new: &Checkpoint) -> Result<Option<HashSet<ObjectId>>, Error> {
    let mut replaced = HashSet::new();
    for commit in chain::log(&ledger.store, &new.id())? {
        // Older ones were believed when they were the newest, or are contained in what a later one names.
        let Ok(checkpoint) = ledger.checkpoint(&new.sid, &commit.id) else { break };
        if checkpoint.header.supersedes.is_none() {
            continue;
        }
        let record = checkpoint.open(&ledger.store, ledger.identities, Some(new))?.record;
        replaced.extend(record.supersedes.iter().filter_map(|id| ObjectId::from_hex(id.as_bytes()).ok()));
    }
    Ok((!replaced.is_empty()).then_some(replaced))
}
