//! A session handed over, or given back: captured, checkpointed and let go in one commit, which is one push.
//!
//! What must stay true: a session that did not arrive in the store was not handed over, here or there.

use super::commit::{self, State};
use super::lease::{self, Changing};
use super::ledger::{Finding, Ledger};
use super::recipients::{self, Act as Readers};
use super::source::Source;
use super::{Error, pending};
use crate::device::Device;
use crate::git;
use crate::id::SessionId;
use crate::lease::{Act, Lease};
use crate::progress::Progress;
use crate::seal::Callbacks;

pub struct Options<'a> {
    /// Keys or files of keys of those it is handed to; whoever comes, where there are none.
    pub to: Vec<String>,
    pub note: Option<String>,
    pub takeover: Option<String>,
    pub remote: &'a str,
}

pub struct Outcome {
    pub commit: commit::Outcome,
    pub lease: Option<Lease>,
}

/// `move` and `handoff`.
pub fn hand_over<C: Callbacks>(
    ledger: &Ledger<'_>,
    device: &Device,
    source: &mut Source,
    options: &Options<'_>,
    callbacks: &C,
    progress: &dyn Progress,
) -> Result<Outcome, Error> {
    let to = super::keys::recipients(&super::keys::SealTo::Recipients(options.to.clone()), None)?.names();
    let act = Act::HandOver { to: to.clone(), note: options.note.clone(), takeover: options.takeover.clone() };
    let asked =
        commit::Options { recipients: to, revive: false, lease: Some(act), as_leased: false, publish: Some(options.remote.to_owned()) };
    let_go(ledger, device, source, &asked, callbacks, progress)
}

fn let_go<C: Callbacks>(
    ledger: &Ledger<'_>,
    device: &Device,
    source: &mut Source,
    asked: &commit::Options,
    callbacks: &C,
    progress: &dyn Progress,
) -> Result<Outcome, Error> {
    let commit = commit::commit(ledger, device, source, asked, callbacks, progress)?;
    if commit.state == State::Made || asked.lease.is_none() {
        return Ok(Outcome { lease: commit.lease.clone(), commit });
    }
    // The chain holds all of it already, and more perhaps: only who drives it changes.
    let sid = source.selected.session.sid();
    let mut findings = Vec::new();
    if !asked.recipients.is_empty() {
        recipients::change(ledger, device, &Readers::Add(asked.recipients.clone()), &[sid.to_string()], &mut findings, callbacks)?;
    }
    let (Some(act), remote) = (&asked.lease, asked.publish.as_deref()) else { return Ok(Outcome { lease: commit.lease.clone(), commit }) };
    let changed = lease::change(ledger, &sid, &Changing { device, remote, act, upon: None }, &mut findings, callbacks)?;
    Ok(Outcome { lease: changed.lease, commit: commit::Outcome { tip: changed.tip, ..commit } })
}

/// How a session was given back.
pub struct Returned {
    pub outcome: Outcome,
    /// Why it waits here, and goes with the next command that speaks to the store.
    pub waits: Option<Error>,
}

/// What an agent leaves when it ends: a checkpoint, sent, and the lease with it. Without a network it is made here.
pub fn give_back<C: Callbacks>(
    ledger: &Ledger<'_>,
    device: &Device,
    source: &mut Source,
    remote: Option<&str>,
    release: bool,
    callbacks: &C,
    progress: &dyn Progress,
) -> Result<Returned, Error> {
    let lease = release.then_some(Act::Release);
    let sid: SessionId = source.selected.session.sid();
    let there = commit::Options { lease: lease.clone(), publish: remote.map(str::to_owned), ..commit::Options::default() };
    let failed = match let_go(ledger, device, source, &there, callbacks, progress) {
        Ok(outcome) => {
            // Nothing new was made, and what there was may never have been sent.
            let waits = match remote.filter(|_| outcome.commit.state != State::Made) {
                Some(remote) => send(ledger, &sid, remote, callbacks)?,
                None => None,
            };
            return Ok(Returned { outcome, waits });
        }
        Err(error @ (Error::Git(git::Error::Failed { .. }) | Error::Refused { .. } | Error::Unsure { .. })) => error,
        Err(error) => return Err(error),
    };
    let here = commit::Options { lease, ..commit::Options::default() };
    let outcome = let_go(ledger, device, source, &here, callbacks, progress)?;
    pending::add(&ledger.store.repo, &sid)?;
    Ok(Returned { outcome, waits: Some(failed) })
}

fn send<C: Callbacks>(ledger: &Ledger<'_>, sid: &SessionId, remote: &str, callbacks: &C) -> Result<Option<Error>, Error> {
    pending::add(&ledger.store.repo, sid)?;
    let mut findings: Vec<Finding> = Vec::new();
    match pending::send(ledger, remote, callbacks, &mut findings) {
        Ok(pushed) => Ok(pushed.into_iter().find(|pushed| pushed.sid == *sid).and_then(|pushed| pushed.result.err())),
        Err(error @ Error::Interrupted) => Err(error),
        Err(error) => Ok(Some(error)),
    }
}
