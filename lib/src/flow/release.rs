//! The second half of `gc`: what no chain, pin or reflog names any more leaves our packs.
//!
//! What must stay true: nothing is removed here. Git prunes what we no longer keep by its own rules, as all else.

use std::time::Duration;

use super::Error;
use super::ledger::Ledger;
use crate::progress::Progress;
use crate::store::names::{PUBLIC, SEEN, TRACKING};
use crate::store::tidy::{self, Tidied};
use crate::store::{self, refs};

/// So many refs are named to Git at once.
const AT_ONCE: usize = 500;
/// For whom somebody else tidies at the moment.
const ATTEMPTS: u32 = 3;

/// With `forget`, what reflogs of ours alone remember is no longer remembered.
pub fn release(ledger: &Ledger<'_>, forget: bool, progress: &dyn Progress) -> Result<Tidied, Error> {
    progress.stage("looking for what nothing names", None);
    if forget {
        let ours = refs::list(&ledger.store, &[PUBLIC, TRACKING, SEEN])?;
        for refs in ours.chunks(AT_ONCE) {
            let mut args = vec!["reflog", "expire", "--expire=now", "--expire-unreachable=now", "--"];
            args.extend(refs.iter().map(|(name, _)| name.as_str()));
            ledger.store.repo.git.run(&args)?;
        }
    }
    let mut tidied = Tidied::default();
    for attempt in 1..=ATTEMPTS {
        // Looked at anew each time: what was not named before may be now.
        let store = store::Store::open(ledger.store.repo.clone())?;
        let reachable = tidy::reachable(&store, &tidy::tips(&store)?)?;
        tidied = tidy::release(&store, &reachable)?;
        if !tidied.busy || attempt == ATTEMPTS {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(tidied)
}
