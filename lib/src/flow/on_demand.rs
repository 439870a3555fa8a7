//! Clones in which a session comes when it is asked for (`init --on-demand`): what the store's remote has, and bringing it.
//!
//! Knows not how lists look at what is not here: that is `heads`. What must stay true: into the user's own repository comes
//! the whole chain of what was asked for, and nothing else.

mod heads;

use std::collections::BTreeMap;

use gix::hash::ObjectId;

pub use self::heads::{Heads, forget, heads};
use super::glance::{Glances, Inside};
use super::ledger::{Finding, Ledger};
use super::settings::ON_DEMAND;
use super::{Error, remote, remotes};
use crate::git::{self, Repository};
use crate::id::SessionId;
use crate::store::refs::{self, Known};

/// The sessions of a remote, as it was asked just now.
#[derive(Debug)]
pub struct Far {
    pub remote: String,
    pub tips: Result<BTreeMap<SessionId, ObjectId>, String>,
}

impl Far {
    fn ask(repo: &Repository, remote: &str) -> Result<Far, Error> {
        let tips = match remote::list(repo, remote) {
            Err(error) if is_interrupted(&error) => return Err(Error::Interrupted),
            listed => listed.map_err(|error| error.to_string()),
        };
        Ok(Far { remote: remote.to_owned(), tips })
    }

    /// What it has; where it did not answer, that is noted.
    fn tips(&self, findings: &mut Vec<Finding>) -> Option<&BTreeMap<SessionId, ObjectId>> {
        match &self.tips {
            Ok(tips) => Some(tips),
            Err(why) => {
                if !findings.iter().any(|finding| matches!(finding, Finding::Unasked { .. })) {
                    findings.push(Finding::Unasked { remote: self.remote.clone(), why: why.clone() });
                }
                None
            }
        }
    }
}

/// The remote that sessions are to be asked of; none where fetches bring them, or where there is nobody to ask.
fn store<'a>(ledger: &'a Ledger<'_>, named: Option<&'a str>) -> Option<&'a str> {
    let repo = &ledger.store.repo;
    let on_demand = repo.config.flag(ON_DEMAND) == Some(true);
    remotes::store(repo, named).ok().flatten().filter(|_| on_demand)
}

/// What the store has, asked once in a command; nothing where that cannot be known or need not be.
pub fn ask(ledger: &Ledger<'_>, findings: &mut Vec<Finding>) -> Result<BTreeMap<SessionId, ObjectId>, Error> {
    let Some(remote) = store(ledger, None) else { return Ok(BTreeMap::new()) };
    let far = match ledger.far.get() {
        Some(far) => far,
        None => {
            let far = Far::ask(&ledger.store.repo, remote)?;
            ledger.far.get_or_init(|| far)
        }
    };
    Ok(far.tips(findings).cloned().unwrap_or_default())
}

/// Brings this session as the store has it, with its whole chain, if it is not here as it is there.
pub fn bring(ledger: &Ledger<'_>, sid: &SessionId, tip: &ObjectId, findings: &mut Vec<Finding>) -> Result<Known, Error> {
    let before = refs::of(&ledger.store, sid)?;
    let Some(remote) = store(ledger, None).filter(|remote| before.tracking.get(*remote) != Some(tip)) else {
        return synced(ledger, sid, before, findings);
    };
    match remote::fetch_what_is_there(&ledger.store.repo, remote, &[sid]) {
        Err(Error::Git(error @ git::Error::Failed { .. })) if before != Known::default() => {
            findings.push(Finding::Unasked { remote: remote.to_owned(), why: error.to_string() });
        }
        fetched => fetched?,
    }
    synced(ledger, sid, refs::of(&ledger.store, sid)?, findings)
}

/// What was found out about it before is found out again.
fn synced(ledger: &Ledger<'_>, sid: &SessionId, known: Known, findings: &mut Vec<Finding>) -> Result<Known, Error> {
    findings.retain(|finding| match finding {
        Finding::Ignored { name, .. } | Finding::Unknown { name, .. } => !name.ends_with(sid.as_str()),
        Finding::Rewound { sid: other, .. } => other != sid,
        _ => true,
    });
    Ok(ledger.sync_these(BTreeMap::from([(sid.clone(), known)]), findings)?.remove(sid).unwrap_or_default())
}

/// Those of the store's sessions that this device can read and whose makers it believes.
pub fn readable(ledger: &Ledger<'_>, findings: &mut Vec<Finding>) -> Result<Vec<(SessionId, Inside)>, Error> {
    let Some(heads) = heads(ledger, None, findings)? else { return Ok(Vec::new()) };
    let mut glances = Glances::load(ledger, Some(&heads.ledger));
    let mut readable = Vec::new();
    for (sid, tip) in &heads.tips {
        let Ok(glance) = glances.of(sid, tip) else { continue };
        let good = ledger.believes(&glance.signer()) && !glance.is_deleted();
        readable.extend(glance.inside.ok().filter(|_| good).map(|inside| (sid.clone(), inside)));
    }
    Ok(readable)
}

/// The store, and what else it had when `list` last asked it, without asking: sessions with their sealed bytes.
pub fn more(ledger: &Ledger<'_>) -> Option<(String, Vec<(SessionId, u64)>)> {
    let remote = store(ledger, None)?;
    let heads = heads::as_it_is(ledger)?;
    let total = |sid: &SessionId, tip: &ObjectId| heads.anybodys(sid, tip).map_or(0, |checkpoint| checkpoint.header.total);
    let tips = heads::remembered(&heads, remote).ok()?.into_iter();
    Some((remote.to_owned(), tips.map(|(sid, tip)| (sid.clone(), total(&sid, &tip))).collect()))
}

fn is_interrupted(error: &Error) -> bool {
    matches!(error, Error::Interrupted | Error::Git(git::Error::Interrupted))
}
