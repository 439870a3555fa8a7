//! What is in progress in a work tree.

use super::apply;
use super::error::Error;
use super::state::State;
use super::{Bisect, Merge, Operation, Pick, Prepared, Rebase};
use crate::git::Repository;

/// Everything that is in progress here; what is not understood of it is an error that names the file.
pub fn read(repo: &Repository) -> Result<Vec<Operation>, Error> {
    let Some(state) = State::open(repo)? else { return Ok(Vec::new()) };
    if state.reference("NOTES_MERGE_PARTIAL").is_some() {
        return Err(state.not_understood("NOTES_MERGE_PARTIAL", "it is a merge of notes"));
    }
    let mut all = Vec::new();
    all.extend(Bisect::read(&state)?.map(|bisect| Operation::Bisect(Box::new(bisect))));
    all.extend(Rebase::read(&state)?.map(|rebase| Operation::Rebase(Box::new(rebase))));
    let (apply, am) = apply::read(&state)?;
    all.extend(apply.map(|apply| Operation::Apply(Box::new(apply))));
    all.extend(am.map(|am| Operation::Am(Box::new(am))));
    all.extend(Merge::read(&state)?.map(Operation::Merge));
    let (pick, revert) = Pick::read(&state)?;
    all.extend(pick.map(Operation::CherryPick));
    all.extend(revert.map(Operation::Revert));
    all.extend(Prepared::read(&state, all.is_empty())?.map(Operation::Prepared));
    for operation in &all {
        operation.check(repo.hash).map_err(|error| state.not_understood(operation.place(), error.to_string()))?;
        let objects = operation.objects();
        if let Some((object, _)) = objects.iter().zip(state.has(&objects)?).find(|(_, there)| !there) {
            return Err(Error::Lost { operation: operation.word(), object: *object });
        }
    }
    Ok(all)
}

impl Operation {
    /// Where Git keeps it.
    pub(super) fn place(&self) -> &'static str {
        match self {
            Operation::Merge(_) => "MERGE_HEAD",
            Operation::CherryPick(pick) if pick.sequence.is_none() => "CHERRY_PICK_HEAD",
            Operation::Revert(pick) if pick.sequence.is_none() => "REVERT_HEAD",
            Operation::CherryPick(_) | Operation::Revert(_) => "sequencer",
            Operation::Rebase(_) => "rebase-merge",
            Operation::Apply(_) | Operation::Am(_) => "rebase-apply",
            Operation::Bisect(_) => "BISECT_LOG",
            Operation::Prepared(_) => "MERGE_MSG",
        }
    }
}
