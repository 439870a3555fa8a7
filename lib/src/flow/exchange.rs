//! `fetch` and `push`: chains between here and a remote, joined where both sides went on.

use std::collections::BTreeMap;
use std::time::Duration;

use gix::hash::ObjectId;

use super::Error;
use super::join::join;
use super::ledger::{Finding, Ledger};
use super::pick;
use super::remote::{self, Push, Verdict};
use crate::durable::At;
use crate::fault;
use crate::id::SessionId;
use crate::progress::Progress;
use crate::seal::Callbacks;
use crate::store::refs::{self, Change, Known};
use crate::store::{chain, names};

/// A push that loses each of so many races is told rather than tried for ever.
const ATTEMPTS: u32 = 200;
/// How often it is tried again where nobody else has pushed anything: a lock there may be held for a moment, or stay.
const IN_VAIN: u32 = 10;

/// What became of one session.
#[derive(Debug, Clone)]
pub struct Moved {
    pub sid: SessionId,
    pub from: Option<ObjectId>,
    pub to: Option<ObjectId>,
}

/// Brings everything a remote has; what of it changed. Makers with one of these fingerprints are believed from now on.
pub fn fetch(
    ledger: &mut Ledger<'_>,
    remote: &str,
    prune: bool,
    trust: &[String],
    findings: &mut Vec<Finding>,
    progress: &dyn Progress,
) -> Result<Vec<Moved>, Error> {
    progress.stage("fetching", None);
    let before = refs::all(&ledger.store)?;
    remote::fetch(&ledger.store.repo, remote, &[], prune)?;
    let mut after = refs::all(&ledger.store)?;
    ledger.sync_all(findings)?;
    if pick::believe(ledger, trust, findings)? {
        findings.clear();
        ledger.sync_all(findings)?;
    }
    // They stand, packed or not.
    let _ = refs::pack(&ledger.store);
    let of = |known: Option<&Known>| known.and_then(|known| known.tracking.get(remote).copied());
    let mut sids: Vec<SessionId> = before.keys().chain(after.keys()).cloned().collect();
    sids.sort();
    sids.dedup();
    let mut moved = Vec::new();
    for sid in sids {
        let (from, to) = (of(before.get(&sid)), of(after.remove(&sid).as_ref()));
        if from != to {
            moved.push(Moved { sid, from, to });
        }
    }
    Ok(moved)
}

#[derive(Debug)]
pub struct Pushed {
    pub sid: SessionId,
    pub tip: ObjectId,
    pub result: Result<Arrived, Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    Pushed,
    UpToDate,
    /// It had to be joined with what others had pushed.
    Joined,
}

/// Pushes these sessions, or all that the remote does not have as they are here.
pub fn push<C: Callbacks>(
    ledger: &Ledger<'_>,
    remote: &str,
    only: Option<&[SessionId]>,
    callbacks: &C,
    findings: &mut Vec<Finding>,
    progress: &dyn Progress,
) -> Result<Vec<Pushed>, Error> {
    progress.stage("pushing", None);
    let mut open = to_push(ledger, remote, only, findings)?;
    let mut done: BTreeMap<SessionId, Pushed> = BTreeMap::new();
    let mut joined = Vec::new();
    let mut vain: BTreeMap<SessionId, u32> = BTreeMap::new();
    let mut in_vain = |sid: &SessionId| {
        let count = vain.entry(sid.clone()).or_default();
        *count += 1;
        *count
    };
    for attempt in 0..ATTEMPTS {
        if open.is_empty() {
            break;
        }
        fault::point("push.begun").at("write to", &ledger.store.repo.common)?;
        let verdicts = remote::push(&ledger.store.repo, remote, &open)?;
        fault::point("push.sent").at("write to", &ledger.store.repo.common)?;
        let (mut arrived, mut behind) = (Vec::new(), Vec::new());
        for push in open {
            let result = match verdicts.get(&push.sid) {
                Some(Verdict::Behind(why)) => {
                    behind.push((push, why.clone()));
                    continue;
                }
                Some(Verdict::Refused(why)) => Err(Error::Refused { remote: remote.to_owned(), why: why.clone() }),
                Some(Verdict::UpToDate) if !joined.contains(&push.sid) => Ok(Arrived::UpToDate),
                _ if joined.contains(&push.sid) => Ok(Arrived::Joined),
                _ => Ok(Arrived::Pushed),
            };
            if result.is_ok() {
                arrived.push(push.clone());
            }
            done.insert(push.sid.clone(), Pushed { sid: push.sid, tip: push.tip, result });
        }
        remember(ledger, remote, &arrived)?;
        fault::point("push.done").at("write to", &ledger.store.repo.common)?;
        open = Vec::new();
        if behind.is_empty() {
            break;
        }
        // Others are faster again and again where all try at the same moment.
        std::thread::sleep(Duration::from_millis(u64::from(attempt.min(20)) * jitter()));
        remote::fetch_what_is_there(&ledger.store.repo, remote, &behind.iter().map(|(push, _)| &push.sid).collect::<Vec<_>>())?;
        for (Push { sid, tip: tried, .. }, why) in behind {
            match joined_with_theirs(ledger, remote, &sid, callbacks, findings) {
                Ok(tip) if tip == tried && in_vain(&sid) > IN_VAIN => {
                    let result = Err(Error::Refused { remote: remote.to_owned(), why });
                    done.insert(sid.clone(), Pushed { sid: sid.clone(), tip, result });
                }
                Ok(tip) => open.push(Push { sid: sid.clone(), tip, instead_of: None }),
                Err(error @ Error::Interrupted) => return Err(error),
                Err(error) => {
                    let tip = refs::of(&ledger.store, &sid)?.local.unwrap_or_else(|| ledger.store.repo.hash.null());
                    done.insert(sid.clone(), Pushed { sid: sid.clone(), tip, result: Err(error) });
                }
            }
            joined.push(sid);
        }
        fault::point("push.joined").at("write to", &ledger.store.repo.common)?;
    }
    for push in open {
        let result = Err(crate::store::Error::Moved { name: names::session(&push.sid) }.into());
        done.insert(push.sid.clone(), Pushed { sid: push.sid, tip: push.tip, result });
    }
    Ok(done.into_values().collect())
}

fn to_push(ledger: &Ledger<'_>, remote: &str, only: Option<&[SessionId]>, findings: &mut Vec<Finding>) -> Result<Vec<Push>, Error> {
    let mut push = Vec::new();
    match only {
        Some(sids) => {
            for sid in sids {
                let known = ledger.sync(sid, findings)?;
                let tip = known.local.ok_or_else(|| Error::NoSuchSession(sid.to_string()))?;
                push.push(Push { sid: sid.clone(), tip, instead_of: None });
            }
        }
        None => {
            for (sid, known) in ledger.sync_all(findings)? {
                let new = known.local.filter(|tip| known.tracking.get(remote) != Some(tip));
                push.extend(new.map(|tip| Push { sid, tip, instead_of: None }));
            }
        }
    }
    Ok(push)
}

fn joined_with_theirs<C: Callbacks>(
    ledger: &Ledger<'_>,
    remote: &str,
    sid: &SessionId,
    callbacks: &C,
    findings: &mut Vec<Finding>,
) -> Result<ObjectId, Error> {
    for _ in 0..ATTEMPTS {
        let known = ledger.sync_with(sid, remote, findings)?;
        let local = known.local.ok_or_else(|| Error::NoSuchSession(sid.to_string()))?;
        let Some(device) = ledger.device else { return Err(Error::NoDevice) };
        match join(ledger, device, sid, &known, callbacks) {
            Err(Error::Store(crate::store::Error::Moved { .. })) => {}
            joined => return Ok(joined?.unwrap_or(local)),
        }
    }
    Err(Error::Store(crate::store::Error::Moved { name: names::session(sid) }))
}

/// What is known to stand there now. Git notes it itself where a refspec says so.
fn remember(ledger: &Ledger<'_>, remote: &str, arrived: &[Push]) -> Result<(), Error> {
    // However many there are, their refs are read and moved in one start of Git each.
    let all = match arrived {
        [] => return Ok(()),
        [one] => BTreeMap::from([(one.sid.clone(), refs::of(&ledger.store, &one.sid)?)]),
        _ => refs::all(&ledger.store)?,
    };
    let mut changes = Vec::new();
    for push in arrived {
        let (tracking, seen) = all.get(&push.sid).map(|known| (known.tracking.get(remote), known.seen.get(remote))).unwrap_or_default();
        let mut these = Vec::new();
        for (name, from) in [(names::tracking(remote, &push.sid), tracking), (names::seen(remote, &push.sid), seen)] {
            // Somebody here may have fetched what came after it already.
            let newer = from.map_or(Ok(false), |from| chain::descends(&ledger.store, from, &push.tip))?;
            if !newer {
                these.push(Change { name, to: Some(push.tip), from: from.copied() });
            }
        }
        changes.push(these);
    }
    refs::update_each(&ledger.store, "samesession: pushed", &changes)?;
    // They stand, packed or not.
    let _ = refs::pack(&ledger.store);
    Ok(())
}

fn jitter() -> u64 {
    u64::from_str_radix(&crate::seal::random_hex::<1>(), 16).unwrap_or(0) % 8
}
