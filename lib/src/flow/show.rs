//! `show` of a checkpoint: everything that can be seen of it here. Writes nothing but what following remotes writes.

use gix::hash::ObjectId;

use super::glance::Unread;
use super::ledger::Ledger;
use super::log;
use super::named::Named;
use super::{Error, Way};
use crate::capsule::Manifest;
use crate::id::SessionId;
use crate::store::record::Record;
use crate::store::refs;
use crate::store::tree::{Read as ReadTree, Tree};
use crate::store::unfold::{Checkpoint, Opened};

pub struct Outcome {
    pub checkpoint: Checkpoint,
    pub signer_name: Option<String>,
    /// Whose tip it is: `here`, or a remote's name.
    pub at: Vec<String>,
    pub inside: Result<Inside, Unread>,
    /// Where the session went several ways, all of them.
    pub ways: Vec<Way>,
}

/// What its readers can see.
pub struct Inside {
    pub record: Record,
    /// One that says that the session was deleted has none.
    pub manifest: Option<Manifest>,
    /// Sealed parts that hold the files.
    pub parts: usize,
}

/// A session is shown by its newest checkpoint.
pub fn show(ledger: &Ledger<'_>, named: &Named) -> Result<Outcome, Error> {
    let (mut tips, known) = log::tips(ledger, named)?;
    let ways = log::ways(ledger, &tips);
    let lender = match (&named.exactly, known.local.or_else(|| known.tracking.values().next().copied())) {
        (Some(_), Some(tip)) => ledger.anybodys(&named.sid, &tip).ok(),
        _ => None,
    };
    let checkpoint = tips.swap_remove(0);
    let inside = match checkpoint.open(&ledger.store, ledger.identities, lender.as_ref()) {
        Ok(opened) => inside(ledger, opened),
        Err(error) => Err(Error::from(error)),
    };
    match inside {
        Err(Error::Interrupted) => Err(Error::Interrupted),
        inside => Ok(Outcome {
            signer_name: ledger.name_of(&checkpoint.signer).map(str::to_owned),
            at: log::at(&known, &checkpoint.id()),
            inside: inside.map_err(Unread::from),
            checkpoint,
            ways,
        }),
    }
}

fn inside(ledger: &Ledger<'_>, mut opened: Opened) -> Result<Inside, Error> {
    if opened.is_deleted() {
        return Ok(Inside { record: opened.record, manifest: None, parts: 0 });
    }
    let tree = Tree::read(&ledger.store, &opened.checkpoint.commit.tree)?;
    // Not the files' parts: where blobs come only when they are wanted, these are all that is.
    let pages = opened.record.manifest.pages.iter().chain(&opened.record.parts.pages);
    ledger.store.want(pages.filter_map(|line| tree.tree.parts.get(&line.name)))?;
    let manifest = manifest(ledger, &mut opened, &tree)?;
    let parts = opened.lines(&ledger.store, &tree, ledger.identities)?.len();
    Ok(Inside { record: opened.record, manifest: Some(manifest), parts })
}

fn manifest(ledger: &Ledger<'_>, opened: &mut Opened, tree: &ReadTree) -> Result<Manifest, Error> {
    let bytes = opened.manifest_bytes(&ledger.store, tree, ledger.identities)?;
    Ok(Manifest::of(&bytes, &opened.record.sid, &opened.record.summary.agent)?)
}

/// The newest checkpoint of a session that stands on this machine, if the repository around has one.
pub fn newest(ledger: &Ledger<'_>, sid: &SessionId) -> Option<(ObjectId, u64)> {
    let known = refs::of(&ledger.store, sid).ok()?;
    let (tips, _) = log::tips(ledger, &Named { sid: sid.clone(), known, exactly: None }).ok()?;
    tips.first().map(|tip| (tip.id(), tip.header.sequence))
}
