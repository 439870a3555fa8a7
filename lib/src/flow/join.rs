//! Two machines went on with one session: one commit with both tips as parents, so that nothing is overwritten.
//!
//! Where one of them only went further, the join holds what that one holds; otherwise it holds ours, and names the other
//! as open. What must stay true: everything that either side had is reachable from the join, and nobody who was taken from
//! the readers on one side comes back through the other.

use std::collections::BTreeSet;
use std::io::Read;

use gix::hash::ObjectId;

use super::compare::Relation;
use super::ledger::Ledger;
use super::readers::Readers;
use super::{Error, lease};
use crate::agent::Role;
use crate::capsule::Manifest;
use crate::device::Device;
use crate::durable::At;
use crate::id::{SessionId, hex};
use crate::seal::Callbacks;
use crate::store::draft::Draft;
use crate::store::pack::PackWriter;
use crate::store::record::Line;
use crate::store::refs::{self, Known};
use crate::store::unfold::Opened;
use crate::store::{self, Store, chain};
use crate::{capsule, fault, time};

/// Makes our own ref a tip that all known tips are part of; `None` if it was that already.
pub fn join<C: Callbacks>(
    ledger: &Ledger<'_>,
    device: &Device,
    sid: &SessionId,
    known: &Known,
    callbacks: &C,
) -> Result<Option<ObjectId>, Error> {
    let Some(local) = known.local else { return Ok(None) };
    let mut heads = ledger.heads(sid, known)?;
    if let [head] = &heads[..] {
        // What is merely ahead of us was followed when the refs were looked at.
        return Ok((head.id() != local).then(|| head.id()));
    }
    heads.sort_by_key(|head| head.id() != local);
    let mut tips = Vec::new();
    for head in &heads {
        tips.push(ledger.opened(head)?);
    }
    if let Some(deleted) = tips.iter().find(|tip| tip.is_deleted()) {
        return Err(Error::Deleted { sid: sid.clone(), by: deleted.record.device.clone(), at: deleted.record.made.clone() });
    }
    let (holds, open) = holds(ledger, &mut tips)?;
    let mut readers = Readers::of(&tips);
    readers.join(&device.recipient());
    let (epoch, seed) = readers.epoch(&tips);
    let wraps = readers.wraps(ledger, &mut tips, &epoch, false, callbacks)?;
    let tree = tips[holds].tree(&ledger.store)?;
    let mut draft = Draft::after(&tips[holds], &tree);
    draft.epoch = epoch;
    draft.parents = tips.iter().rev().map(Opened::id).collect();
    draft.record.sequence = tips.iter().map(|tip| tip.record.sequence).max().unwrap_or(0) + 1;
    draft.total = tips.iter().map(|tip| tip.checkpoint.header.total).max().unwrap_or(0);
    draft.record.made = time::format(ledger.env.now());
    draft.record.device = device.name.clone();
    draft.record.seed = hex(&seed);
    draft.record.recipients = readers.names;
    draft.record.removed = readers.removed;
    draft.record.passphrases = readers.passphrases;
    draft.record.open = open.iter().map(ToString::to_string).collect();
    draft.record.lease = lease::newest(known, &tips).cloned();
    (draft.wraps, draft.new_wraps) = (wraps.kept, wraps.new);
    let mut writer = PackWriter::new(&ledger.store.repo.objects, ledger.store.repo.hash)?;
    let commit = draft.write(&ledger.store, &tree, device.signing(), &mut writer)?;
    let packs = writer.finish()?;
    let packed = fault::point("join.packed").at("write to", &ledger.store.repo.objects).map_err(store::Error::from);
    if let Err(error) = packed.and_then(|()| refs::update(&ledger.store, "samesession: join", &known.advance(sid, commit))) {
        packs.keep_if_named(&ledger.store, &[commit]);
        return Err(error.into());
    }
    packs.keep();
    let _ = fault::point("join.referenced");
    Ok(Some(commit))
}

/// Which tip's contents the join holds, and which ways stay open beside it.
fn holds(ledger: &Ledger<'_>, tips: &mut [Opened]) -> Result<(usize, Vec<ObjectId>), Error> {
    let mut holds = 0;
    for n in 1..tips.len() {
        let (a, b) = tips.split_at_mut(n);
        if relation(ledger, &mut a[holds], &mut b[0])? == Relation::Behind {
            holds = n;
        }
    }
    let mut open = left_open(ledger, tips)?;
    let mut ways: Vec<&mut Opened> = tips.iter_mut().collect();
    let held = ways.remove(holds);
    ways.extend(&mut open);
    Ok((holds, apart(ledger, Some(held), ways)?))
}

/// The ways that these tips leave open together, besides themselves. What one of them has closed since they parted stays
/// closed, though the others did not know.
pub(super) fn left_open(ledger: &Ledger<'_>, tips: &[Opened]) -> Result<Vec<Opened>, Error> {
    let mut closed = BTreeSet::new();
    // A checkpoint that cannot be read here says nothing of what has been closed since.
    if tips.len() > 1
        && let Some(parted) = parted(ledger, tips).unwrap_or_default()
    {
        // The way that the checkpoint before holds is one of those that were open then.
        let before = parted.record.open().into_iter().chain([parted.id()]);
        closed.extend(before.filter(|way| !tips.iter().all(|tip| tip.record.open().contains(way))));
    }
    closed.extend(tips.iter().map(Opened::id));
    let mut open = Vec::new();
    for tip in tips {
        for way in ledger.ways(tip)? {
            if closed.insert(way.id()) {
                open.push(way.open(&ledger.store, ledger.identities, Some(&tip.checkpoint))?);
            }
        }
    }
    Ok(open)
}

/// Those of these ways that neither what is held nor another one of them goes on from: without this, two machines that
/// never agree would leave one more way open each time.
pub(super) fn apart(ledger: &Ledger<'_>, mut held: Option<&mut Opened>, ways: Vec<&mut Opened>) -> Result<Vec<ObjectId>, Error> {
    let mut apart: Vec<&mut Opened> = Vec::new();
    'ways: for way in ways {
        if let Some(held) = held.as_deref_mut()
            && matches!(relation(ledger, held, way)?, Relation::Same | Relation::Ahead)
        {
            continue;
        }
        let mut n = 0;
        while n < apart.len() {
            match relation(ledger, apart[n], way)? {
                Relation::Same | Relation::Ahead => continue 'ways,
                Relation::Behind => drop(apart.remove(n)),
                Relation::New | Relation::Diverged => n += 1,
            }
        }
        apart.push(way);
    }
    Ok(apart.into_iter().map(|way| way.id()).collect())
}

/// How the first one's transcript relates to the other's: `Ahead` is longer.
fn relation(ledger: &Ledger<'_>, ours: &mut Opened, theirs: &mut Opened) -> Result<Relation, Error> {
    let (mine, other) = (Transcript::of(ledger, ours)?, Transcript::of(ledger, theirs)?);
    if (mine.size, &mine.sha256) == (other.size, &other.sha256) {
        return Ok(Relation::Same);
    }
    let prefix = |short: &Transcript, long: &Transcript| short.own && long.own && long.lines.starts_with(&short.lines);
    if prefix(&other, &mine) {
        return Ok(Relation::Ahead);
    }
    if prefix(&mine, &other) {
        return Ok(Relation::Behind);
    }
    let (ours_tree, theirs_tree) = (ours.tree(&ledger.store)?, theirs.tree(&ledger.store)?);
    let mut a = skip(ours.contents(&ledger.store, &ours_tree, ledger.identities)?, mine.start)?;
    let mut b = skip(theirs.contents(&ledger.store, &theirs_tree, ledger.identities)?, other.start)?;
    let common = mine.size.min(other.size);
    if !same(&mut (&mut a).take(common), &mut (&mut b).take(common))? {
        return Ok(Relation::Diverged);
    }
    Ok(if mine.size > other.size { Relation::Ahead } else { Relation::Behind })
}

/// Where a checkpoint's transcript lies in its contents.
struct Transcript {
    start: u64,
    size: u64,
    sha256: String,
    lines: Vec<Line>,
    /// Its parts hold nothing else.
    own: bool,
}

impl Transcript {
    fn of(ledger: &Ledger<'_>, opened: &mut Opened) -> Result<Transcript, Error> {
        let (store, identities): (&Store, _) = (&ledger.store, ledger.identities);
        let tree = opened.tree(store)?;
        let (sid, agent) = (opened.record.sid.clone(), opened.record.summary.agent.clone());
        let manifest = Manifest::of(&opened.manifest_bytes(store, &tree, identities)?, &sid, &agent)?;
        let (mut before, _) = opened.before(store, &tree, identities)?;
        let mut start = 0;
        for file in manifest.files {
            if file.role == super::role_name(Role::Transcript) {
                let lines = before.files.remove(&file.path).unwrap_or_default();
                let own = !lines.is_empty() && lines.iter().map(|line| line.length as u64).sum::<u64>() == file.size;
                return Ok(Transcript { start, size: file.size, sha256: file.sha256, lines, own });
            }
            start += file.size;
        }
        Err(capsule::Error::Lies("it holds no transcript".to_owned()).into())
    }
}

fn skip<R: Read>(mut from: R, count: u64) -> Result<R, Error> {
    std::io::copy(&mut (&mut from).take(count), &mut std::io::sink()).map_err(capsule::Error::Read)?;
    Ok(from)
}

fn same(a: &mut impl Read, b: &mut impl Read) -> Result<bool, Error> {
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let n = a.read(&mut left).map_err(capsule::Error::Read)?;
        if n == 0 {
            return Ok(true);
        }
        b.read_exact(&mut right[..n]).map_err(capsule::Error::Read)?;
        if left[..n] != right[..n] {
            return Ok(false);
        }
    }
}

/// The newest checkpoint that all tips descend from.
fn parted(ledger: &Ledger<'_>, tips: &[Opened]) -> Result<Option<Opened>, Error> {
    let mut common: Option<BTreeSet<ObjectId>> = None;
    let mut first = Vec::new();
    for tip in tips {
        let log: Vec<ObjectId> = chain::log(&ledger.store, &tip.id())?.into_iter().map(|commit| commit.id).collect();
        let ids: BTreeSet<ObjectId> = log.iter().copied().collect();
        common = Some(match common {
            None => {
                first = log;
                ids
            }
            Some(common) => common.intersection(&ids).copied().collect(),
        });
    }
    let Some(id) = first.into_iter().find(|id| common.as_ref().is_some_and(|common| common.contains(id))) else { return Ok(None) };
    let checkpoint = ledger.checkpoint(&tips[0].checkpoint.sid, &id)?;
    Ok(Some(checkpoint.open(&ledger.store, ledger.identities, Some(&tips[0].checkpoint))?))
}
