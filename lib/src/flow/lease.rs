//! Leases as a chain has them: read from its newest checkpoint, changed by a commit with the same contents.
//!
//! Only the lease in the configured store counts, so a change is sent there before it stands here. What must stay true: of
//! two devices that take a session at the same moment one has it, and the other hears who.

use std::time::{Duration, UNIX_EPOCH};

use super::ledger::{Finding, Ledger};
use super::publish::{Failed, publish};
use super::readers::Readers;
use super::{Error, join};
use crate::device::Device;
use crate::durable::At;
use crate::id::SessionId;
use crate::lease::{Act, Kind, Lease, Standing};
use crate::progress::interrupted;
use crate::seal::Callbacks;
use crate::store::draft::Draft;
use crate::store::names;
use crate::store::pack::PackWriter;
use crate::store::refs::{self, Change, Known};
use crate::store::unfold::Opened;
use crate::{fault, store, time};

use gix::hash::ObjectId;

const ATTEMPTS: u32 = 100;

/// What became of an attempt to change a lease.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The checkpoint that says so.
    pub tip: ObjectId,
    pub lease: Option<Lease>,
    /// Nothing had to be changed otherwise.
    pub changed: bool,
}

/// How a session stands with this device.
#[derive(Debug, Clone)]
pub struct Status {
    pub lease: Option<Lease>,
    pub standing: Standing,
}

/// By the newest that is known of these tips, the first of which is our own where there is one.
pub fn status(ledger: &Ledger<'_>, sid: &SessionId, known: &Known, tips: &[Opened]) -> Result<Status, Error> {
    let lease = newest(known, tips).cloned();
    let standing = lease.as_ref().map_or(Ok(Standing::Free), |lease| self::standing(ledger, sid, known, lease))?;
    Ok(Status { lease, standing })
}

/// What a lease means to this device.
pub fn standing(ledger: &Ledger<'_>, sid: &SessionId, known: &Known, lease: &Lease) -> Result<Standing, Error> {
    Ok(match ledger.me() {
        Some(me) => lease.standing(&me, ledger.env.now(), seen(ledger, sid, known, lease)?),
        // Whoever has no keys holds nothing.
        None => match lease.kind {
            Kind::Released => Standing::Free,
            Kind::Held => Standing::Held,
            Kind::InTransit => Standing::Elsewhere,
        },
    })
}

/// The lease that counts: what others have sent counts more than what only stands here.
pub fn newest<'a>(known: &Known, tips: &'a [Opened]) -> Option<&'a Lease> {
    let ours = |tip: &&Opened| Some(tip.id()) == known.local;
    let of = |tip: &'a Opened| tip.record.lease.as_ref();
    let (mine, theirs): (Vec<&Opened>, Vec<&Opened>) = tips.iter().partition(ours);
    mine.into_iter().chain(theirs).map(of).reduce(Lease::newer).flatten()
}

/// The lease after an act, or why it cannot be; with whether that is another one than before.
pub fn after(
    ledger: &Ledger<'_>,
    sid: &SessionId,
    known: &Known,
    tips: &[Opened],
    act: Option<&Act>,
) -> Result<(Option<Lease>, bool), Error> {
    let before = newest(known, tips);
    let Some(me) = ledger.me() else { return Ok((before.cloned(), false)) };
    let now = ledger.env.now();
    let new = match act {
        Some(act) => {
            let seen = before.map_or(Ok(None), |lease| seen(ledger, sid, known, lease))?;
            act.on(before, &me, now, seen).map_err(|standing| match before {
                Some(lease) => Error::Leased { sid: sid.clone(), lease: Box::new(lease.clone()), standing },
                None => Error::NoSuchSession(sid.to_string()),
            })?
        }
        // Whoever makes checkpoints is at work.
        None => None,
    };
    if let Some(new) = new {
        return Ok((Some(new), true));
    }
    let renewed = before.filter(|lease| lease.kind == Kind::Held && lease.key == me.key).and_then(|lease| lease.renewed(now));
    Ok((renewed.or(before.cloned()), false))
}

/// How long this device has known the store's chain to end where it ends, if that could matter.
fn seen(ledger: &Ledger<'_>, sid: &SessionId, known: &Known, lease: &Lease) -> Result<Option<Duration>, Error> {
    let foreign = ledger.me().is_none_or(|me| me.key != lease.key);
    if lease.kind != Kind::Held || !foreign {
        return Ok(None);
    }
    let mut shortest: Option<Duration> = None;
    for (remote, tip) in &known.tracking {
        if known.seen.get(remote) == Some(tip)
            && let Some(at) = refs::moved_at(&ledger.store, &names::seen(remote, sid))?
        {
            let since = ledger.env.now().duration_since(UNIX_EPOCH + Duration::from_secs(at)).unwrap_or_default();
            shortest = Some(shortest.map_or(since, |shortest| shortest.min(since)));
        }
    }
    Ok(shortest)
}

/// Who changes a lease, and where that counts.
pub struct Changing<'a> {
    pub device: &'a Device,
    pub remote: Option<&'a str>,
    pub act: &'a Act,
    /// Only if the chain still ends there; else it is `Moved`.
    pub upon: Option<ObjectId>,
}

pub fn change<C: Callbacks>(
    ledger: &Ledger<'_>,
    sid: &SessionId,
    how: &Changing<'_>,
    findings: &mut Vec<Finding>,
    callbacks: &C,
) -> Result<Outcome, Error> {
    for _ in 0..ATTEMPTS {
        findings.clear();
        let known = match how.remote {
            Some(remote) => ledger.sync_with(sid, remote, findings)?,
            None => ledger.sync(sid, findings)?,
        };
        match once(ledger, sid, how, &known, callbacks) {
            Err(Error::Store(store::Error::Moved { .. })) if how.upon.is_none() => {}
            done => return done,
        }
    }
    Err(store::Error::Moved { name: names::session(sid) }.into())
}

fn once<C: Callbacks>(ledger: &Ledger<'_>, sid: &SessionId, how: &Changing<'_>, known: &Known, callbacks: &C) -> Result<Outcome, Error> {
    let mut heads = ledger.heads(sid, known)?;
    let joined;
    let mut known = known;
    if heads.len() > 1 && how.upon.is_none() {
        join::join(ledger, how.device, sid, known, callbacks)?;
        joined = refs::of(&ledger.store, sid)?;
        known = &joined;
        heads = ledger.heads(sid, known)?;
    }
    let [head] = &heads[..] else {
        return match heads.is_empty() {
            true => Err(Error::NoSuchSession(sid.to_string())),
            false => Err(store::Error::Moved { name: names::session(sid) }.into()),
        };
    };
    if how.upon.is_some_and(|upon| upon != head.id()) {
        return Err(store::Error::Moved { name: names::session(sid) }.into());
    }
    let tips = [ledger.opened(head)?];
    if tips[0].is_deleted() {
        return Err(Error::Deleted { sid: sid.clone(), by: tips[0].record.device.clone(), at: tips[0].record.made.clone() });
    }
    let (lease, changed) = after(ledger, sid, known, &tips, Some(how.act))?;
    if !changed {
        return Ok(Outcome { tip: head.id(), lease, changed });
    }
    let [mut opened] = tips;
    let tree = opened.tree(&ledger.store)?;
    let mut draft = Draft::after(&opened, &tree);
    let mut readers = Readers::of(std::slice::from_ref(&opened));
    // Whoever drives a session must be able to open what it becomes.
    readers.join(&how.device.recipient());
    if !readers.are_those_of(&opened.record) {
        let epoch = std::sync::Arc::clone(&opened.epoch);
        let wraps = readers.wraps(ledger, std::slice::from_mut(&mut opened), &epoch, false, callbacks)?;
        (draft.wraps, draft.new_wraps, draft.record.recipients) = (wraps.kept, wraps.new, readers.names);
    }
    draft.record.made = time::format(ledger.env.now());
    draft.record.device = how.device.name.clone();
    let sequence = draft.record.sequence;
    draft.record.lease = lease.map(|lease| Lease { sequence, ..lease });
    let lease = draft.record.lease.clone();
    let mut writer = PackWriter::new(&ledger.store.repo.objects, ledger.store.repo.hash)?;
    let tip = draft.write(&ledger.store, &tree, how.device.signing(), &mut writer)?;
    // What is given back is given back all the same.
    if matches!(how.act, Act::Take { .. }) && interrupted() {
        return Err(Error::Interrupted);
    }
    let packs = writer.finish()?;
    let packed = fault::point("lease.packed").at("write to", &ledger.store.repo.objects);
    // Whoever chose the way that this goes on from has chosen this.
    let chosen = known.seen.get(names::CHOSEN).filter(|chosen| **chosen == head.id());
    let with = chosen.map(|chosen| Change { name: names::chosen(sid), to: Some(tip), from: Some(*chosen) });
    let packed = packed.map_err(|error| Failed { error: error.into(), sent: false });
    if let Err(Failed { error, sent }) = packed.and_then(|()| publish(ledger, how.remote, sid, tip, known, with.into_iter().collect())) {
        match sent {
            true => packs.keep(),
            false => packs.keep_if_named(&ledger.store, &[tip]),
        }
        return Err(error);
    }
    packs.keep();
    Ok(Outcome { tip, lease, changed })
}
