//! `resume`: a session taken over and installed here, so that its agent can be started.
//!
//! In this order: fetched, verified and staged whole, planned; then the lease, by compare-and-swap; then installed. What
//! must stay true: nothing is installed without the lease, and a lease is not kept for what could not be installed.

use super::arriving::Arriving;
use super::lease::{self, Changing};
use super::ledger::{Finding, Ledger};
use super::pick::{self, Picked, Trust};
use super::restore::{self, Options as Restore};
use super::signed::Consent;
use super::{Candidate, Error, agent_named, exchange, settings};
use crate::agent;
use crate::device::Device;
use crate::env::Env;
use crate::id::{NativeId, SessionId};
use crate::lease::{Act, Kind, Lease, Standing};
use crate::progress::Progress;
use crate::seal::{self, Callbacks};
use crate::store;
use crate::store::names;
use crate::store::refs::{self, Known};
use crate::store::unfold::Opened;

/// How often it is begun anew because others were faster.
const ATTEMPTS: u32 = 50;

pub struct Asked<'a, C> {
    pub env: &'a Env,
    pub device: &'a Device,
    /// Where the lease counts; `None` where nobody else could have one.
    pub remote: Option<&'a str>,
    pub takeover: Option<String>,
    pub restore: Restore,
    pub callbacks: &'a C,
}

pub struct Outcome {
    pub sid: SessionId,
    pub restored: restore::Outcome,
    pub lease: Option<Lease>,
    /// What it was before.
    pub before: Option<Lease>,
}

/// What the store has is brought, unless sessions come one by one.
pub fn bring(
    ledger: &mut Ledger<'_>,
    remote: &str,
    trust: &[String],
    findings: &mut Vec<Finding>,
    progress: &dyn Progress,
) -> Result<(), Error> {
    if ledger.store.repo.config.flag(settings::ON_DEMAND) == Some(true) {
        return Ok(());
    }
    exchange::fetch(ledger, remote, false, trust, findings, progress).map(drop)
}

/// The sessions that could be gone on with here, those that wait for this device first and alone. Where nobody that this
/// device knows has made any, it is asked about those whom it does not know, as for one that is named.
pub fn candidates(
    ledger: &mut Ledger<'_>,
    trust: &Trust<'_>,
    consent: &mut dyn Consent,
    findings: &mut Vec<Finding>,
) -> Result<Vec<(SessionId, Candidate)>, Error> {
    loop {
        findings.clear();
        let (found, mut sealed) = known_candidates(ledger, findings)?;
        if !found.is_empty() {
            return Ok(found);
        }
        let mut stranger = None;
        for (_, checkpoint) in findings.iter().filter_map(Finding::unknown) {
            match ledger.opened(checkpoint) {
                Ok(opened) if !opened.is_deleted() => stranger = stranger.or_else(|| Some(checkpoint.clone())),
                Err(Error::Seal(seal::Error::NoMatch { .. } | seal::Error::NoRecipient)) => sealed += 1,
                _ => {}
            }
        }
        let Some(stranger) = stranger else {
            return if sealed > 0 { Err(sealed_to_others(ledger, sealed)) } else { Ok(found) };
        };
        pick::accept(ledger, stranger, trust, consent)?;
    }
}

fn sealed_to_others(ledger: &Ledger<'_>, sessions: usize) -> Error {
    Error::SealedToOthers { sessions, recipient: ledger.device.map(Device::recipient).unwrap_or_default() }
}

/// And, where nothing here opens any, how many there are.
fn known_candidates(ledger: &Ledger<'_>, findings: &mut Vec<Finding>) -> Result<(Vec<(SessionId, Candidate)>, usize), Error> {
    let mut found: Vec<(bool, String, SessionId, Candidate)> = Vec::new();
    let (mut sealed, mut opens) = (0, false);
    for (sid, known) in ledger.sync_all(findings)? {
        let tips = match opened(ledger, &sid, &known) {
            Ok(tips) => tips,
            Err(error) => {
                sealed += usize::from(matches!(error, Error::Seal(seal::Error::NoMatch { .. } | seal::Error::NoRecipient)));
                continue;
            }
        };
        opens |= !tips.is_empty();
        let Some(tip) = tips.first().filter(|tip| !tip.is_deleted()) else { continue };
        let standing = lease::status(ledger, &sid, &known, &tips)?.standing;
        if matches!(standing, Standing::Held | Standing::Elsewhere) {
            continue;
        }
        let agent = agent::by_name(&tip.record.summary.agent).map_or("session", |agent| agent.name());
        let candidate = Candidate { agent, native: sid.to_string(), title: tip.record.summary.title.clone() };
        found.push((standing == Standing::Waiting, tip.record.made.clone(), sid, candidate));
    }
    if found.iter().any(|(waits, ..)| *waits) {
        found.retain(|(waits, ..)| *waits);
    }
    found.sort_by(|a, b| b.1.cmp(&a.1));
    Ok((found.into_iter().map(|(_, _, sid, candidate)| (sid, candidate)).collect(), if opens { 0 } else { sealed }))
}

pub fn resume<C: Callbacks>(
    ledger: &mut Ledger<'_>,
    what: &str,
    asked: &Asked<'_, C>,
    consent: &mut dyn Consent,
    findings: &mut Vec<Finding>,
    progress: &dyn Progress,
) -> Result<Outcome, Error> {
    for _ in 0..ATTEMPTS {
        let trust = Trust { named: &asked.restore.trust, dry_run: asked.restore.dry_run, allow_unsigned: false };
        let picked = match pick::pick(ledger, what, &trust, consent, findings) {
            Err(Error::Seal(seal::Error::NoMatch { .. } | seal::Error::NoRecipient)) => return Err(sealed_to_others(ledger, 1)),
            picked => picked?,
        };
        match once(ledger, picked, asked, consent, progress) {
            // Somebody else was faster, with a checkpoint or with the lease: what they did is here by now.
            Err(Error::Store(store::Error::Moved { .. })) => findings.clear(),
            done => return done,
        }
    }
    Err(store::Error::Moved { name: names::PUBLIC.to_owned() }.into())
}

fn once<C: Callbacks>(
    ledger: &Ledger<'_>,
    mut picked: Picked,
    asked: &Asked<'_, C>,
    consent: &mut dyn Consent,
    progress: &dyn Progress,
) -> Result<Outcome, Error> {
    let sid = picked.opened.checkpoint.sid.clone();
    let known = refs::of(&ledger.store, &sid)?;
    let tips = opened(ledger, &sid, &known)?;
    let act = Act::Take { takeover: asked.takeover.clone() };
    // What cannot be had is better known before anything is opened.
    lease::after(ledger, &sid, &known, &tips, Some(&act))?;
    let before = lease::newest(&known, &tips).cloned();
    let upon = match &tips[..] {
        [tip] => Some(tip.id()),
        _ => None,
    };
    refuse_live(asked.env, &picked)?;
    let mut taken = None;
    let mut gate = || {
        let how = Changing { device: asked.device, remote: asked.remote, act: &act, upon };
        taken = Some(lease::change(ledger, &sid, &how, &mut Vec::new(), asked.callbacks)?);
        Ok(())
    };
    let capsule = Arriving::Checkpoint { ledger, opened: &mut picked.opened };
    let restored = restore::restore(asked.env, Some(asked.device), &asked.restore, capsule, consent, &mut gate, progress);
    let restored = match restored {
        Ok(restored) => restored,
        Err(error) => {
            if taken.is_some_and(|taken| taken.changed) {
                put_back(ledger, &sid, before.as_ref(), asked);
            }
            return Err(error);
        }
    };
    if !asked.restore.dry_run {
        picked.remember(ledger)?;
    }
    Ok(Outcome { sid, restored, lease: taken.and_then(|taken| taken.lease), before })
}

/// Where it cannot be put back now it comes free with its time.
fn put_back<C: Callbacks>(ledger: &Ledger<'_>, sid: &SessionId, before: Option<&Lease>, asked: &Asked<'_, C>) {
    let act = match before {
        Some(lease) if lease.kind == Kind::InTransit => Act::HandOver { to: lease.to.clone(), note: lease.note.clone(), takeover: None },
        _ => Act::Release,
    };
    let how = Changing { device: asked.device, remote: asked.remote, act: &act, upon: None };
    let _ = lease::change(ledger, sid, &how, &mut Vec::new(), asked.callbacks);
}

/// Two that write to one session would each miss what the other says.
fn refuse_live(env: &Env, picked: &Picked) -> Result<(), Error> {
    let summary = &picked.opened.record.summary;
    let agent = agent_named(&summary.agent)?;
    let Ok(native) = NativeId::parse(&summary.native_id) else { return Ok(()) };
    match agent.live(&agent.home(env)?, &native) {
        Some(live) => Err(Error::Live { title: agent.title(), pid: live.pid }),
        None => Ok(()),
    }
}

fn opened(ledger: &Ledger<'_>, sid: &SessionId, known: &Known) -> Result<Vec<Opened>, Error> {
    ledger.heads(sid, known)?.iter().map(|head| ledger.opened(head)).collect()
}
