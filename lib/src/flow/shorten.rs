//! `gc`: chains made shorter, so that what is no longer wanted can go.
//!
//! What must stay true: the newest checkpoint stays, with all it holds; nobody who has an older one loses anything made
//! since; a ref is replaced only from exactly the value that was looked at.

use std::time::{Duration, SystemTime};

use super::ledger::{Finding, Ledger};
use super::replaced::Replacement;
use super::retention::Retention;
use super::{Error, remote};
use crate::id::SessionId;
use crate::store::chain;
use crate::store::draft::Draft;
use crate::store::unfold::Opened;
use crate::time;

#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// The newest ones, whatever their age.
    pub last: Option<usize>,
    /// Those that are younger.
    pub younger_than: Option<Duration>,
    /// Fewer the older they are, from anywhere in the chain; goes before the others.
    pub thinned: Option<Retention>,
}

#[derive(Debug, Clone)]
pub struct Shortened {
    pub sid: SessionId,
    pub kept: usize,
    pub dropped: usize,
    /// Where it was replaced, too.
    pub remote: Option<String>,
}

/// Shortens one chain, here and on `remote` if it is there. `None` if nothing of it would go.
pub fn shorten(
    ledger: &Ledger<'_>,
    sid: &SessionId,
    keep: &Keep,
    remote: Option<&str>,
    findings: &mut Vec<Finding>,
) -> Result<Option<Shortened>, Error> {
    let known = match remote {
        Some(remote) => remote::newest(ledger, sid, remote, findings)?,
        None => ledger.sync(sid, findings)?,
    };
    let Some(device) = ledger.device else { return Err(Error::NoDevice) };
    let heads = ledger.heads(sid, &known)?;
    let [head] = &heads[..] else { return Err(Error::Undecided { sid: sid.clone() }) };
    let tip = ledger.opened(head)?;
    if tip.is_deleted() {
        return Ok(None);
    }
    if !tip.record.open.is_empty() {
        return Err(Error::Undecided { sid: sid.clone() });
    }
    let log = chain::log(&ledger.store, &head.id())?;
    let mut kept: Vec<Opened> = Vec::new();
    for (n, commit) in log.iter().enumerate() {
        // What goes by its number need not open, and may be what it is done for.
        if keep.drops(n) {
            break;
        }
        let checkpoint = ledger.checkpoint(sid, &commit.id)?;
        let opened = checkpoint.open(&ledger.store, ledger.identities, Some(head))?;
        if n == 0 || keep.thinned.is_some() || keep.keeps(n, &opened, ledger.env.now()) {
            kept.push(opened);
        } else {
            break;
        }
    }
    // What came with one that goes counts for the one after it.
    let mut inherited = vec![0; kept.len()];
    if let Some(retention) = &keep.thinned {
        (kept, inherited) = thinned(kept, retention, ledger.env.now());
    }
    let dropped = log.len() - kept.len();
    if dropped == 0 {
        return Ok(None);
    }
    let mut drafts = Vec::new();
    for (opened, inherited) in kept.iter().zip(inherited).rev() {
        let tree = opened.tree(&ledger.store)?;
        let mut draft = Draft::again(opened, &tree);
        // Whoever joined the chain since reads all of it.
        for (epoch, wraps) in tip.epochs.wraps() {
            draft.wraps.insert(epoch.clone(), wraps.clone());
        }
        draft.record.recipients.clone_from(&tip.record.recipients);
        draft.record.removed.clone_from(&tip.record.removed);
        draft.record.open.clear();
        // The first one is no longer the heir of those before it: all its parts are its own.
        let own = if drafts.is_empty() {
            ledger.store.size_of(tree.tree.parts.values())
        } else {
            opened.checkpoint.header.added.saturating_add(inherited)
        };
        draft.added = Some(own);
        drafts.push((draft, tree));
    }
    let remote = remote.filter(|remote| known.tracking.contains_key(*remote));
    let count = kept.len();
    Replacement { device, tip: &tip, drafts, why: "samesession: gc" }.put(ledger, sid, &known, remote)?;
    Ok(Some(Shortened { sid: sid.clone(), kept: count, dropped, remote: remote.map(str::to_owned) }))
}

/// Those that stay, newest first, and what was added by those that went before each.
fn thinned(all: Vec<Opened>, retention: &Retention, now: SystemTime) -> (Vec<Opened>, Vec<u64>) {
    let age = |opened: &Opened| time::parse(&opened.record.made).map(|made| now.duration_since(made).unwrap_or_default());
    let keeps = retention.keeps(&all.iter().map(age).collect::<Vec<_>>());
    let (mut kept, mut inherited) = (Vec::new(), Vec::new());
    for (opened, stays) in all.into_iter().zip(keeps) {
        if stays {
            kept.push(opened);
            inherited.push(0);
        } else if let Some(last) = inherited.last_mut() {
            *last += opened.checkpoint.header.added;
        }
    }
    (kept, inherited)
}

impl Keep {
    /// Whatever it is.
    fn drops(&self, n: usize) -> bool {
        self.thinned.is_none() && self.younger_than.is_none() && n > 0 && self.last.is_some_and(|last| n >= last)
    }

    fn keeps(&self, n: usize, opened: &Opened, now: SystemTime) -> bool {
        let young = |age: Duration| {
            let made = time::parse(&opened.record.made);
            // A time that cannot be read, or lies ahead, is no reason to drop anything.
            made.is_none_or(|made| now.duration_since(made).map_or(true, |old| old < age))
        };
        match (self.last, self.younger_than) {
            (None, None) => true,
            (last, age) => last.is_some_and(|last| n < last) || age.is_some_and(young),
        }
    }
}
