//! One commit of a chain sent to the store before any ref here names it: sent is done, and not sent is not begun.
//!
//! This is how a session changes hands. A push that is no fast-forward is refused, and that refusal is the comparison of
//! compare-and-swap. What must stay true: when this returns an error that does not say otherwise, neither side has changed.

use std::time::Duration;

use gix::hash::ObjectId;

use super::Error;
use super::ledger::Ledger;
use super::remote::{self, Push, Verdict};
use crate::durable::At;
use crate::fault;
use crate::git;
use crate::id::SessionId;
use crate::store::names;
use crate::store::refs::{self, Change, Known};

/// How often it is tried again where nobody else has pushed anything: a lock there may be held for a moment, or stay.
const IN_VAIN: u32 = 10;

/// Why it is not done.
pub struct Failed {
    pub error: Error,
    /// It may have arrived all the same, and then its objects are needed here, too.
    pub sent: bool,
}

/// Sends it to a remote, or to nobody where there is none, then moves our refs there from where they were seen. That
/// somebody else was faster is `Moved`; what they sent is here then.
pub fn publish(
    ledger: &Ledger<'_>,
    remote: Option<&str>,
    sid: &SessionId,
    tip: ObjectId,
    known: &Known,
    with: Vec<Change>,
) -> Result<(), Failed> {
    let mut changes = known.advance(sid, tip);
    changes.extend(with);
    let Some(remote) = remote else {
        let moved = refs::update(&ledger.store, "samesession: lease", &changes);
        return moved.map_err(|error| Failed { error: error.into(), sent: false });
    };
    let common = &ledger.store.repo.common;
    fault::point("publish.begun").at("write to", common).map_err(|error| Failed { error: error.into(), sent: false })?;
    send(ledger, remote, sid, tip, known).map_err(|error| {
        let sent = matches!(error, Error::Unsure { .. } | Error::Interrupted | Error::Git(git::Error::Interrupted));
        Failed { error, sent }
    })?;
    stands_there(ledger, remote, sid, tip, changes).map_err(|error| Failed { error, sent: true })
}

/// Where our refs have moved meanwhile the next command joins the two.
fn stands_there(ledger: &Ledger<'_>, remote: &str, sid: &SessionId, tip: ObjectId, mut changes: Vec<Change>) -> Result<(), Error> {
    fault::point("publish.sent").at("write to", &ledger.store.repo.common)?;
    // Git moves the tracking ref itself where a refspec says so.
    let now = refs::of(&ledger.store, sid)?;
    for (name, from) in [(names::tracking(remote, sid), now.tracking.get(remote)), (names::seen(remote, sid), now.seen.get(remote))] {
        if from != Some(&tip) {
            changes.push(Change { name, to: Some(tip), from: from.copied() });
        }
    }
    Ok(refs::update_each(&ledger.store, "samesession: published", &[changes])?)
}

fn send(ledger: &Ledger<'_>, remote: &str, sid: &SessionId, tip: ObjectId, known: &Known) -> Result<(), Error> {
    let repo = &ledger.store.repo;
    for attempt in 0.. {
        let pushed = remote::push(repo, remote, &[Push { sid: sid.clone(), tip, instead_of: None }]);
        let why = match pushed.map(|mut verdicts| verdicts.remove(sid)) {
            Ok(Some(Verdict::Pushed | Verdict::UpToDate)) => return Ok(()),
            Ok(Some(Verdict::Behind(why))) => why,
            Ok(Some(Verdict::Refused(why))) => {
                return arrived_all_the_same(ledger, remote, sid, tip, Error::Refused { remote: remote.to_owned(), why });
            }
            Ok(None) => return Err(git::Error::Nonsense { verb: "push".to_owned() }.into()),
            Err(error) => return arrived_all_the_same(ledger, remote, sid, tip, error),
        };
        remote::fetch_what_is_there(repo, remote, &[sid])?;
        if refs::of(&ledger.store, sid)?.tracking.get(remote) != known.tracking.get(remote) {
            return Err(crate::store::Error::Moved { name: names::session(sid) }.into());
        }
        if attempt == IN_VAIN {
            return Err(Error::Refused { remote: remote.to_owned(), why });
        }
        std::thread::sleep(Duration::from_millis(20 * u64::from(attempt)));
    }
    Ok(())
}

/// A connection may end between their doing it and our hearing so.
fn arrived_all_the_same(ledger: &Ledger<'_>, remote: &str, sid: &SessionId, tip: ObjectId, error: Error) -> Result<(), Error> {
    if matches!(error, Error::Interrupted | Error::Git(git::Error::Interrupted)) {
        return Err(error);
    }
    match remote::tip(&ledger.store.repo, remote, sid) {
        Ok(there) if there == Some(tip) => Ok(()),
        Ok(_) => Err(error),
        Err(_) => Err(Error::Unsure { remote: remote.to_owned(), source: Box::new(error) }),
    }
}
