//! Which of a session's checkpoints is restored: the only tip, or the one of several that somebody names.
//!
//! A maker whom nobody here knows is asked about before anything is opened. What must stay true: of two ways that a session
//! went, neither is taken without being chosen.

use gix::hash::ObjectId;

use super::ledger::{Finding, Ledger};
use super::named::{self, Named};
use super::signed::Consent;
use super::{Error, Way};
use crate::signers::KnownSigners;
use crate::store::names;
use crate::store::refs::{self, Change};
use crate::store::unfold::{Checkpoint, Opened};

pub struct Picked {
    pub opened: Opened,
    /// It was one of several, or not the newest: the next checkpoint shall know that it was meant.
    chosen: bool,
}

/// Whom to believe without asking.
pub struct Trust<'a> {
    pub named: &'a [String],
    /// Ask nobody, and remember nothing.
    pub dry_run: bool,
}

/// `what` is a session or a checkpoint; makers that are accepted are remembered, but for a dry run.
pub fn pick(
    ledger: &mut Ledger<'_>,
    what: &str,
    trust: &Trust<'_>,
    consent: &mut dyn Consent,
    findings: &mut Vec<Finding>,
) -> Result<Picked, Error> {
    let mut named = named::resolve(ledger, what, findings)?;
    let unknown: Vec<_> =
        findings.iter().filter_map(Finding::unknown).filter(|(sid, _)| **sid == named.sid).map(|(_, c)| c.clone()).collect();
    for checkpoint in unknown {
        if ledger.believes(&checkpoint.signer) {
            continue;
        }
        let name = checkpoint.open(&ledger.store, ledger.identities, None).map(|opened| opened.record.device).unwrap_or_default();
        let mut asked = || !trust.dry_run && consent.accept_signer(&checkpoint.signer, &name);
        if !trust.named.contains(&checkpoint.signer.fingerprint) && !asked() {
            return Err(Error::UnknownSigner { signer: checkpoint.signer, name });
        }
        if !trust.dry_run {
            KnownSigners::load(ledger.env)?.add(&checkpoint.signer, &name)?;
        }
        ledger.trust.push(checkpoint.signer.fingerprint.clone());
    }
    if findings.iter().any(|finding| finding.unknown().is_some()) {
        findings.clear();
        named = named::resolve(ledger, what, findings)?;
    }
    open(ledger, named)
}

/// Remembers those makers of what was found whose fingerprints are named; whether there were any.
pub fn believe(ledger: &mut Ledger<'_>, named: &[String], findings: &[Finding]) -> Result<bool, Error> {
    let mut any = false;
    for (_, checkpoint) in findings.iter().filter_map(Finding::unknown) {
        let fingerprint = &checkpoint.signer.fingerprint;
        if named.contains(fingerprint) && !ledger.trust.contains(fingerprint) {
            let name = checkpoint.open(&ledger.store, ledger.identities, None).map(|opened| opened.record.device).unwrap_or_default();
            KnownSigners::load(ledger.env)?.add(&checkpoint.signer, &name)?;
            ledger.trust.push(fingerprint.clone());
            any = true;
        }
    }
    Ok(any)
}

fn open(ledger: &Ledger<'_>, named: Named) -> Result<Picked, Error> {
    let heads = ledger.heads(&named.sid, &named.known)?;
    if let Some(checkpoint) = named.exactly {
        let newest = matches!(&heads[..], [head] if head.id() == checkpoint.id());
        // Whoever came later may be able to open it with the keys of a later one.
        let opened = checkpoint.open(&ledger.store, ledger.identities, heads.first())?;
        let chosen = !newest || !opened.record.open.is_empty();
        return Ok(Picked { opened: refuse_deleted(opened)?, chosen });
    }
    let [head] = &heads[..] else {
        let ways = heads.iter().map(|head| way(ledger, head, None)).collect::<Result<_, _>>()?;
        return Err(Error::SeveralWays { sid: named.sid, ways });
    };
    let opened = refuse_deleted(ledger.opened(head)?)?;
    if opened.record.open.is_empty() {
        return Ok(Picked { opened, chosen: false });
    }
    let mut ways = vec![way(ledger, head, None)?];
    for other in opened.record.open() {
        ways.push(way(ledger, &ledger.checkpoint(&named.sid, &other)?, Some(head))?);
    }
    Err(Error::SeveralWays { sid: named.sid, ways })
}

fn way(ledger: &Ledger<'_>, checkpoint: &Checkpoint, later: Option<&Checkpoint>) -> Result<Way, Error> {
    let record = checkpoint.open(&ledger.store, ledger.identities, later)?.record;
    Ok(Way { commit: checkpoint.id(), device: record.device, made: record.made, title: record.summary.title, bytes: record.summary.bytes })
}

fn refuse_deleted(opened: Opened) -> Result<Opened, Error> {
    if opened.is_deleted() {
        let (sid, record) = (opened.checkpoint.sid.clone(), opened.record);
        return Err(Error::Deleted { sid, by: record.device, at: record.made });
    }
    Ok(opened)
}

impl Picked {
    /// To be called when it stands here.
    pub fn remember(&self, ledger: &Ledger<'_>) -> Result<(), Error> {
        let sid = &self.opened.checkpoint.sid;
        let before = refs::of(&ledger.store, sid)?.seen.get(names::CHOSEN).copied();
        let to = self.chosen.then(|| self.opened.id());
        if before == to {
            return Ok(());
        }
        let change = Change { name: names::chosen(sid), to, from: before };
        Ok(refs::update(&ledger.store, "samesession: chosen", &[change])?)
    }
}

/// For messages and answers.
pub fn short(id: &ObjectId) -> String {
    id.to_hex_with_len(12).to_string()
}

/// The ways as commands to type.
pub fn commands(ways: &[Way]) -> Vec<String> {
    ways.iter().map(|way| format!("git samesession restore {}", short(&way.commit))).collect()
}
