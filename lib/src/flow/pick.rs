//! Which of a session's checkpoints is restored: the only tip, or the one of several that somebody names.
//!
//! A maker whom nobody here knows is asked about before anything is opened. What must stay true: of two ways that a session
//! went, neither is taken without being chosen.

use std::collections::BTreeSet;

use gix::hash::ObjectId;

use super::ledger::{Finding, Ledger};
use super::named::{self, Named};
use super::required::Required;
use super::signed::Consent;
use super::{Error, Way};
use crate::id::SessionId;
use crate::signers::KnownSigners;
use crate::store::names;
use crate::store::record::Summary;
use crate::store::refs::{self, Change};
use crate::store::unfold::{Checkpoint, Opened};
use crate::store::{self, chain};

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
    /// Take what nobody has signed, where that is named or all there is.
    pub allow_unsigned: bool,
}

/// `what` is a session or a checkpoint; makers that are accepted are remembered, but for a dry run.
pub fn pick(
    ledger: &mut Ledger<'_>,
    what: &str,
    trust: &Trust<'_>,
    consent: &mut dyn Consent,
    findings: &mut Vec<Finding>,
) -> Result<Picked, Error> {
    if trust.allow_unsigned {
        ledger.required.allows_unsigned()?;
    }
    loop {
        let mut found = Vec::new();
        let picked = named::resolve(ledger, what, &mut found).and_then(|named| match stranger(&named, &found) {
            Some(checkpoint) => Err(Error::UnknownMaker { checkpoint }),
            None => open(ledger, named, &found),
        });
        let accepted = match picked {
            Err(Error::UnknownMaker { checkpoint }) => accept(ledger, *checkpoint, trust, consent),
            Err(Error::Store(store::Error::Unsigned(id))) if trust.allow_unsigned => {
                let checkpoint = Checkpoint::unsigned(&ledger.store, &id)?;
                return Ok(Picked { opened: refuse_deleted(ledger.opened(&checkpoint)?)?, chosen: false });
            }
            picked => {
                findings.extend(found);
                return picked;
            }
        };
        if let Err(error) = accepted {
            findings.extend(found);
            return Err(error);
        }
    }
}

/// This checkpoint of this session, if somebody believed has made it: for whoever asks nobody and the network neither.
pub fn exactly(ledger: &Ledger<'_>, sid: &SessionId, id: &ObjectId) -> Result<Picked, Error> {
    let checkpoint = ledger.checkpoint(sid, id)?;
    let known = refs::of(&ledger.store, sid)?;
    open(ledger, Named { sid: sid.clone(), known, exactly: Some(checkpoint) }, &[])
}

/// Somebody unknown has made a tip of it.
fn stranger(named: &Named, findings: &[Finding]) -> Option<Box<Checkpoint>> {
    let (_, checkpoint) = findings.iter().filter_map(Finding::unknown).find(|(sid, _)| **sid == named.sid)?;
    Some(Box::new(checkpoint.clone()))
}

/// Believes its maker from here on, if somebody says so.
pub(super) fn accept(ledger: &mut Ledger<'_>, checkpoint: Checkpoint, trust: &Trust<'_>, consent: &mut dyn Consent) -> Result<(), Error> {
    let name = called(ledger, &checkpoint);
    if ledger.required == Required::Roster {
        return Err(Error::NoMembersKey { signer: checkpoint.signer, name });
    }
    let mut asked = || !trust.dry_run && consent.accept_signer(&checkpoint.signer, &name);
    if !trust.named.contains(&checkpoint.signer.fingerprint) && !asked() {
        return Err(Error::UnknownSigner { signer: checkpoint.signer, name });
    }
    if !trust.dry_run {
        KnownSigners::load(ledger.env)?.add(&checkpoint.signer, &name)?;
    }
    ledger.trust.push(checkpoint.signer.fingerprint);
    Ok(())
}

/// What the maker of a checkpoint calls itself, as far as it can be read.
fn called(ledger: &Ledger<'_>, checkpoint: &Checkpoint) -> String {
    checkpoint.open(&ledger.store, ledger.identities, None).map(|opened| opened.record.device).unwrap_or_default()
}

/// Remembers those makers of what was found whose fingerprints are named; whether there were any. They may have made what
/// lies behind a tip, too: a way that somebody known has joined, say.
pub fn believe(ledger: &mut Ledger<'_>, named: &[String], findings: &[Finding]) -> Result<bool, Error> {
    let mut made: Vec<Checkpoint> = findings.iter().filter_map(Finding::unknown).map(|(_, checkpoint)| checkpoint.clone()).collect();
    let wanted = |made: &[Checkpoint], print: &String| !made.iter().any(|checkpoint| checkpoint.signer.fingerprint == *print);
    let rest: Vec<String> = named.iter().filter(|print| wanted(&made, print)).cloned().collect();
    if !rest.is_empty() {
        let tips = refs::all(&ledger.store)?.into_values().flat_map(|known| known.local.into_iter().chain(known.tracking.into_values()));
        for tip in tips.collect::<BTreeSet<_>>() {
            let signed = chain::log(&ledger.store, &tip).unwrap_or_default().into_iter();
            let by_them = signed.filter(|commit| commit.signer().is_ok_and(|signer| rest.contains(&signer.fingerprint)));
            made.extend(by_them.filter_map(|commit| Checkpoint::read(&ledger.store, &commit.id).ok()));
        }
    }
    let mut any = false;
    if ledger.required == Required::Roster {
        return Ok(false);
    }
    for checkpoint in made {
        let fingerprint = &checkpoint.signer.fingerprint;
        if named.contains(fingerprint) && !ledger.believes(&checkpoint.signer) {
            KnownSigners::load(ledger.env)?.add(&checkpoint.signer, &called(ledger, &checkpoint))?;
            ledger.trust.push(fingerprint.clone());
            any = true;
        }
    }
    Ok(any)
}

fn open(ledger: &Ledger<'_>, named: Named, findings: &[Finding]) -> Result<Picked, Error> {
    let heads = ledger.heads(&named.sid, &named.known)?;
    if let Some(checkpoint) = named.exactly {
        let newest = matches!(&heads[..], [head] if head.id() == checkpoint.id());
        // Whoever came later may be able to open it with the keys of a later one.
        let opened = checkpoint.open(&ledger.store, ledger.identities, heads.first())?;
        let chosen = !newest || !opened.record.open.is_empty();
        return Ok(Picked { opened: refuse_deleted(opened)?, chosen });
    }
    if heads.is_empty() {
        if let Some(id) = unsigned(ledger, &named.sid)? {
            return Err(store::Error::Unsigned(id).into());
        }
        // All there is of it is not what it should be.
        let ignored = findings.iter().find_map(|finding| match finding {
            Finding::Ignored { name, why } if name.ends_with(named.sid.as_str()) => Some((name.clone(), why.clone())),
            _ => None,
        });
        return Err(ignored.map_or_else(|| Error::NoSuchSession(named.sid.to_string()), |(name, why)| Error::Theirs { name, why }));
    }
    let [head] = &heads[..] else {
        let ways = heads.iter().map(|head| way(ledger, head, None)).collect::<Result<_, _>>()?;
        return Err(Error::SeveralWays { sid: named.sid, ways });
    };
    let opened = refuse_deleted(ledger.opened(head)?)?;
    let others = ledger.ways(&opened)?;
    if others.is_empty() {
        return Ok(Picked { opened, chosen: false });
    }
    let mut ways = vec![way(ledger, head, None)?];
    for other in others {
        ways.push(way(ledger, &other, Some(head))?);
    }
    Err(Error::SeveralWays { sid: named.sid, ways })
}

/// The only tip there is of a session of which no good one is known, if nobody has signed that.
fn unsigned(ledger: &Ledger<'_>, sid: &SessionId) -> Result<Option<ObjectId>, Error> {
    let known = refs::of(&ledger.store, sid)?;
    let tips: BTreeSet<ObjectId> = known.local.into_iter().chain(known.tracking.into_values()).collect();
    let mut tips = tips.into_iter();
    let only = tips.next().filter(|_| tips.next().is_none());
    Ok(only.filter(|id| matches!(ledger.anybodys(sid, id), Err(Error::Store(store::Error::Unsigned(_))))))
}

fn way(ledger: &Ledger<'_>, checkpoint: &Checkpoint, later: Option<&Checkpoint>) -> Result<Way, Error> {
    let record = checkpoint.open(&ledger.store, ledger.identities, later)?.record;
    let Summary { title, prompt, bytes, .. } = record.summary;
    Ok(Way { commit: checkpoint.id(), device: record.device, made: record.made, title, prompt, bytes })
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
