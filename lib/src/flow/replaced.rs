//! Chains that were shortened or deleted: what a commit stands in for, and how those who hold the old one follow.
//!
//! Such a commit names, signed and sealed, every commit that it no longer leads to. What must stay true: nobody follows
//! such a commit away from something that it does not name; what was made here since is put behind it.

use std::collections::HashSet;

use gix::hash::ObjectId;

use super::ledger::Ledger;
use super::readers::Readers;
use super::remote::{self, Push, Verdict};
use super::{Error, agents};
use crate::device::Device;
use crate::durable::At;
use crate::fault;
use crate::id::{SessionId, hex};
use crate::store::draft::Draft;
use crate::store::names;
use crate::store::pack::PackWriter;
use crate::store::refs::{self, Change, Known};
use crate::store::tree::Read as ReadTree;
use crate::store::unfold::{Checkpoint, Opened};
use crate::store::{self, chain};

/// A chain that was shortened so often that it named more of its past than this has to be fetched anew by whoever slept
/// through all of it.
const REMEMBERED: usize = 20_000;

/// What the chain of a checkpoint stands in for.
#[derive(Debug, Default)]
pub struct Replaced {
    pub ids: HashSet<ObjectId>,
    /// It stands in for more, and nobody here can read for what.
    pub unread: bool,
}

/// The commits that are named as replaced somewhere on the chain of this checkpoint.
pub fn by(ledger: &Ledger<'_>, new: &Checkpoint) -> Result<Replaced, Error> {
    let mut replaced = Replaced::default();
    for commit in chain::log(&ledger.store, &new.id())? {
        let Ok(checkpoint) = ledger.checkpoint(&new.sid, &commit.id) else { break };
        if checkpoint.header.supersedes.is_none() {
            continue;
        }
        let named = match checkpoint.open(&ledger.store, ledger.identities, Some(new)) {
            Ok(opened) => opened.record.supersedes,
            Err(store::Error::Seal(error)) if error.is_no_key() => {
                replaced.unread = true;
                checkpoint.header.supersedes.into_iter().collect()
            }
            Err(error) => return Err(error.into()),
        };
        replaced.ids.extend(named.iter().filter_map(|id| ObjectId::from_hex(id.as_bytes()).ok()));
    }
    Ok(replaced)
}

/// Whether it stands in for this commit. To whom it is sealed knows; everybody else takes the word of its maker, whom they
/// believe: of what they could read it takes nothing away.
pub fn stands_in_for(ledger: &Ledger<'_>, new: &Checkpoint, old: &ObjectId) -> Result<bool, Error> {
    let replaced = by(ledger, new)?;
    Ok(replaced.unread || replaced.ids.contains(old))
}

/// Puts the checkpoints made here since behind a chain that stands in for what they were made upon. `None` if it does not,
/// or if they are not all ours to sign again.
pub fn carry(ledger: &Ledger<'_>, new: &Checkpoint, local: &ObjectId) -> Result<Option<ObjectId>, Error> {
    let Some(device) = ledger.device else { return Ok(None) };
    let replaced = by(ledger, new)?.ids;
    if replaced.is_empty() {
        return Ok(None);
    }
    let mut since = Vec::new();
    let mut touches = false;
    for commit in chain::log(&ledger.store, local)? {
        if replaced.contains(&commit.id) {
            touches = true;
        } else {
            since.push(commit.id);
        }
    }
    if !touches {
        return Ok(None);
    }
    let mut ours = Vec::new();
    for id in since {
        let checkpoint = ledger.checkpoint(&new.sid, &id)?;
        if !device.is_own(&checkpoint.signer.fingerprint) {
            return Ok(None);
        }
        ours.push(ledger.opened(&checkpoint)?);
    }
    // A session that was deleted elsewhere is not brought back by what was made here in ignorance of it.
    let onto = ledger.opened(new)?;
    if onto.is_deleted() {
        return Ok(None);
    }
    let mut writer = PackWriter::new(&ledger.store.repo.objects, ledger.store.repo.hash)?;
    let (mut tip, mut sequence, mut total) = (new.id(), new.header.sequence, new.header.total);
    let mut ways = vec![onto];
    for opened in ours.into_iter().rev() {
        let tree = opened.tree(&ledger.store)?;
        let mut draft = Draft::again(&opened, &tree);
        let (added, left_open) = (opened.checkpoint.header.added, opened.record.open());
        // Who came to the chain meanwhile reads this, too, and who was removed does not come back with it.
        ways.push(opened);
        let readers = Readers::of(&ways);
        let (epoch, seed) = readers.epoch(&ways);
        let wraps = readers.wraps(ledger, &mut ways, &epoch, false, &age::NoCallbacks)?;
        ways.pop();
        draft.epoch = epoch;
        draft.record.seed = hex(&seed);
        (draft.record.recipients, draft.record.removed) = (readers.names, readers.removed);
        draft.record.passphrases = readers.passphrases;
        (draft.wraps, draft.new_wraps) = (wraps.kept, wraps.new);
        sequence += 1;
        draft.parents = vec![tip];
        draft.record.sequence = sequence;
        // A way that the new chain stands in for is on it now.
        let mut open: Vec<String> = Vec::new();
        for way in left_open {
            let way = if replaced.contains(&way) { new.id() } else { way }.to_string();
            if !open.contains(&way) {
                open.push(way);
            }
        }
        draft.record.open = open;
        (draft.total, draft.added) = (total, Some(added));
        total = total.saturating_add(added);
        tip = draft.write(&ledger.store, &tree, device.signing(), &mut writer)?;
    }
    let packs = writer.finish()?;
    fault::point("carry.packed").at("write to", &ledger.store.repo.objects)?;
    // Whoever asked has our ref name it. If that fails it is found again, or `gc` releases it.
    packs.keep();
    Ok(Some(tip))
}

/// Every commit of a chain, newest first, and those that it already stands in for.
pub fn past(ledger: &Ledger<'_>, tip: &Opened) -> Result<Vec<ObjectId>, Error> {
    let mut past: Vec<ObjectId> = chain::log(&ledger.store, &tip.id())?.into_iter().map(|commit| commit.id).collect();
    let known: HashSet<ObjectId> = past.iter().copied().collect();
    past.extend(by(ledger, &tip.checkpoint)?.ids.difference(&known));
    past.truncate(REMEMBERED);
    Ok(past)
}

/// A new chain in place of the one that ends in `tip`: its commits, oldest first. The last one names what it stands in for.
pub struct Replacement<'a> {
    pub device: &'a Device,
    pub tip: &'a Opened,
    pub drafts: Vec<(Draft, ReadTree)>,
    pub why: &'static str,
}

impl Replacement<'_> {
    /// Writes it, here and on the remote, if one is named: there first, from exactly the tip that was looked at.
    pub fn put(mut self, ledger: &Ledger<'_>, sid: &SessionId, known: &Known, remote: Option<&str>) -> Result<ObjectId, Error> {
        let superseded = past(ledger, self.tip)?;
        let mut writer = PackWriter::new(&ledger.store.repo.objects, ledger.store.repo.hash)?;
        let (mut parents, mut total) = (Vec::new(), 0);
        let last = self.drafts.len() - 1;
        let mut tip = self.tip.id();
        for (n, (mut draft, tree)) in std::mem::take(&mut self.drafts).into_iter().enumerate() {
            draft.parents = std::mem::take(&mut parents);
            draft.total = total;
            total = draft.total.saturating_add(draft.added.unwrap_or(0));
            if n == last {
                // Whoever compares sequences must see that this one is the newer.
                draft.record.sequence = self.tip.record.sequence + 1;
                draft.record.supersedes = superseded.iter().map(ToString::to_string).collect();
            }
            tip = draft.write(&ledger.store, &tree, self.device.signing(), &mut writer)?;
            parents = vec![tip];
        }
        let packs = writer.finish()?;
        fault::point("replace.packed").at("write to", &ledger.store.repo.objects)?;
        match self.stand(ledger, sid, known, tip, remote) {
            Ok(()) => packs.keep(),
            Err(error) => {
                packs.keep_if_named(&ledger.store, &[tip]);
                return Err(error);
            }
        }
        let _ = fault::point("replace.referenced");
        Ok(tip)
    }

    /// There first, if a remote is named: the next look at it brings here what stands there.
    fn stand(&self, ledger: &Ledger<'_>, sid: &SessionId, known: &Known, tip: ObjectId, remote: Option<&str>) -> Result<(), Error> {
        let mut changes = known.advance(sid, tip);
        if let Some(chosen) = known.seen.get(names::CHOSEN) {
            changes.push(Change { name: names::chosen(sid), to: None, from: Some(*chosen) });
        }
        if let Some(pin) = known.seen.get(names::AGENTS) {
            changes.push(Change { name: names::seen(names::AGENTS, sid), to: None, from: Some(*pin) });
        }
        agents::forget_session(&ledger.store.repo, sid);
        if let Some(remote) = remote {
            let instead_of = known.tracking.get(remote).copied();
            push(ledger, remote, Push { sid: sid.clone(), tip, instead_of })?;
            fault::point("replace.sent").at("write to", &ledger.store.repo.common)?;
            // The push may have moved the tracking ref itself.
            let now = refs::of(&ledger.store, sid)?;
            let seen = [(names::tracking(remote, sid), now.tracking.get(remote)), (names::seen(remote, sid), now.seen.get(remote))];
            let moved = seen.into_iter().filter(|(_, from)| *from != Some(&tip));
            changes.extend(moved.map(|(name, from)| Change { name, to: Some(tip), from: from.copied() }));
        }
        Ok(refs::update(&ledger.store, self.why, &changes)?)
    }
}

fn push(ledger: &Ledger<'_>, remote: &str, push: Push) -> Result<(), Error> {
    let sid = push.sid.clone();
    match remote::push(&ledger.store.repo, remote, &[push])?.remove(&sid) {
        Some(Verdict::Pushed | Verdict::UpToDate) => Ok(()),
        Some(Verdict::Refused(why)) => Err(Error::Refused { remote: remote.to_owned(), why }),
        Some(Verdict::Behind(_)) | None => Err(store::Error::Moved { name: names::session(&sid) }.into()),
    }
}
