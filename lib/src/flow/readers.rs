//! Who reads a chain, by all the ways that the session is known to have gone, and which epoch its next part is sealed to.
//!
//! Somebody who was removed on one way was removed; only being added again brings them back. What must stay true: nothing
//! new is sealed to an epoch whose key somebody has who is no reader any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gix::hash::ObjectId;

use super::ledger::Ledger;
use super::{Error, join, with_causes};
use crate::seal::{Callbacks, Epoch, EpochId, PassphraseReader, Recipients, passphrase_file, random_hex};
use crate::store;
use crate::store::record::{Kind, Record, unhex};
use crate::store::unfold::{Checkpoint, Opened};

/// Passphrases that may open one session; each costs whoever tries it a second.
pub const MAX_PASSPHRASES: usize = 8;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readers {
    pub names: Vec<String>,
    /// Who is none any more, and the epochs whose keys they have.
    pub removed: BTreeMap<String, BTreeSet<String>>,
    /// Those of the names that are a passphrase's, with what it opens: whoever seals to them needs no passphrase.
    pub passphrases: BTreeMap<String, String>,
}

/// The keys of a checkpoint's epochs.
#[derive(Default)]
pub struct Wraps {
    /// As they are there already.
    pub kept: BTreeMap<String, Vec<ObjectId>>,
    pub new: BTreeMap<String, Vec<Vec<u8>>>,
}

/// The ways that a session is known to have gone: its newest checkpoints, each followed by those that it leaves open.
pub fn ways(ledger: &Ledger<'_>, heads: &[Checkpoint]) -> Result<Vec<Opened>, Error> {
    let mut ways = heads.iter().map(|head| ledger.opened(head)).collect::<Result<Vec<_>, _>>()?;
    ways.extend(join::left_open(ledger, &ways)?);
    Ok(ways)
}

/// The same for whoever goes on with the session, and what is wrong. Where the record of a newest checkpoint that this device
/// has made does not open, the one before it stands in for it: what it held stands in the agent's home. It has to have the same
/// readers, certainly: an epoch begins where one is removed, and its keys are wrapped anew where one is added.
pub fn ways_on(ledger: &Ledger<'_>, heads: &[Checkpoint]) -> Result<(Vec<Opened>, Option<String>), Error> {
    let (mut ways, mut damage) = (Vec::new(), None);
    for head in heads {
        ways.push(match ledger.opened(head) {
            Err(error) if is_damage(&error) => {
                damage = Some(with_causes(&error));
                before(ledger, head)?.ok_or(error)?
            }
            opened => opened?,
        });
    }
    ways.extend(join::left_open(ledger, &ways)?);
    Ok((ways, damage))
}

/// The newest one before this that opens, of the same readers all the way. None where a lease is known: it may have changed
/// hands since.
fn before(ledger: &Ledger<'_>, head: &Checkpoint) -> Result<Option<Opened>, Error> {
    let mut at = head.clone();
    // What is only not here, was joined or deleted, or came from another device, is another matter.
    while ledger.store.repo.promisor().is_none()
        && at.header.kind == Kind::Checkpoint
        && ledger.device.is_some_and(|device| device.is_own(&at.signer.fingerprint))
        && let [parent] = at.commit.parents[..]
    {
        let parent = match ledger.checkpoint(&at.sid, &parent) {
            Ok(parent) if parent.header.kind == Kind::Checkpoint && parent.has_keys_of(&at) => parent,
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            _ => return Ok(None),
        };
        match ledger.opened(&parent) {
            Err(error) if is_damage(&error) => at = parent,
            opened => return opened.map(|opened| Some(opened).filter(|opened| opened.record.lease.is_none())),
        }
    }
    Ok(None)
}

fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Store(store::Error::Missing(_) | store::Error::Unreadable(_) | store::Error::Damaged { .. }))
}

impl Readers {
    pub fn of(ways: &[Opened]) -> Readers {
        let says: Vec<_> = ways.iter().map(|way| (&way.record, way.checkpoint.epoch_names().map(str::to_owned).collect())).collect();
        Readers::said(&says)
    }

    /// What these records say together; each comes with the epochs of its chain.
    fn said(records: &[(&Record, BTreeSet<String>)]) -> Readers {
        let mut readers = Readers::default();
        // With each removal an epoch began: whoever has somebody among the readers of that one knew of it, and added them again.
        let back = |name: &String, since: &BTreeSet<String>| {
            records.iter().any(|(record, epochs)| record.recipients.contains(name) && !epochs.is_disjoint(since))
        };
        for (record, epochs) in records {
            for (name, theirs) in &record.removed {
                if !back(name, &(epochs - theirs)) {
                    readers.removed.entry(name.clone()).or_default().extend(theirs.iter().cloned());
                }
            }
        }
        for (record, epochs) in records {
            for name in &record.recipients {
                match readers.removed.get_mut(name) {
                    // Removed on another way while this one still was sealed to them.
                    Some(known) => known.extend(epochs.iter().cloned()),
                    None if readers.names.contains(name) => {}
                    None => readers.names.push(name.clone()),
                }
            }
        }
        for (record, _) in records {
            for (name, sealed) in record.passphrases.iter().filter(|(name, _)| readers.names.contains(name)) {
                readers.passphrases.entry(name.clone()).or_insert_with(|| sealed.clone());
            }
        }
        readers
    }

    /// Those who are named on purpose, whoever removed them.
    pub fn add(&mut self, names: &[String]) {
        for name in names {
            self.removed.remove(name);
            self.join(name);
        }
    }

    /// Somebody who belongs there unless they were removed.
    pub fn join(&mut self, name: &str) {
        if !self.names.iter().any(|known| known == name) && !self.removed.contains_key(name) {
            self.names.push(name.to_owned());
        }
    }

    /// They keep the keys of these epochs.
    pub fn remove(&mut self, name: &str, epochs: impl Iterator<Item = EpochId>) {
        self.names.retain(|known| known != name);
        self.passphrases.remove(name);
        self.removed.entry(name.to_owned()).or_default().extend(epochs.map(|epoch| epoch.as_str().to_owned()));
    }

    /// Whoever knows a passphrase; what it opens goes with every epoch's key from now on.
    pub fn add_passphrase(&mut self, reader: &PassphraseReader) {
        self.add(std::slice::from_ref(&reader.recipient));
        self.passphrases.insert(reader.recipient.clone(), reader.sealed.clone());
    }

    pub fn are_those_of(&self, record: &Record) -> bool {
        let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
        set(&self.names) == set(&record.recipients) && self.removed == record.removed && self.passphrases == record.passphrases
    }

    /// What a chain says is a key, and never the name of a file here.
    pub fn recipients(&self) -> Result<Recipients, Error> {
        let mut recipients = Recipients::default();
        for name in &self.names {
            recipients.add_text(name)?;
        }
        Ok(recipients)
    }

    fn may_seal_to(&self, epoch: &EpochId) -> bool {
        !self.removed.values().any(|epochs| epochs.contains(epoch.as_str()))
    }

    /// The epoch of the first way that nobody has the key of who should not, with its chunker's seed; else a new one.
    pub fn epoch(&self, ways: &[Opened]) -> (Arc<Epoch>, [u8; 32]) {
        let sound = ways.iter().find(|way| self.may_seal_to(&way.epoch.id));
        let known = sound.and_then(|way| Some((Arc::clone(&way.epoch), way.record.seed()?)));
        known.unwrap_or_else(|| (Arc::new(Epoch::begin()), unhex(&random_hex::<32>()).unwrap_or_default()))
    }

    /// The keys of every epoch of these ways: as they are where the readers are the same, else sealed anew, as with `anew`.
    pub fn wraps<C: Callbacks>(
        &self,
        ledger: &Ledger<'_>,
        ways: &mut [Opened],
        current: &Epoch,
        anew: bool,
        callbacks: &C,
    ) -> Result<Wraps, Error> {
        let mut wraps = Wraps::default();
        let to = self.recipients()?;
        for way in ways {
            let same = !anew && self.are_those_of(&way.record);
            let names: Vec<EpochId> = way.epochs.names().collect();
            for name in names {
                match way.epochs.wraps().get(name.as_str()) {
                    Some(known) if same => drop(wraps.kept.insert(name.as_str().to_owned(), known.clone())),
                    _ if wraps.new.contains_key(name.as_str()) => {}
                    _ => {
                        let epoch = way.epochs.get(&ledger.store, &name, ledger.identities)?;
                        wraps.new.insert(name.as_str().to_owned(), self.wrap(&epoch, &to, callbacks)?);
                    }
                }
            }
        }
        let name = current.id.as_str();
        if !wraps.kept.contains_key(name) && !wraps.new.contains_key(name) {
            wraps.new.insert(name.to_owned(), self.wrap(current, &to, callbacks)?);
        }
        Ok(wraps)
    }

    fn wrap<C: Callbacks>(&self, epoch: &Epoch, to: &Recipients, callbacks: &C) -> Result<Vec<Vec<u8>>, Error> {
        let mut wraps = epoch.wrap(to, callbacks)?;
        // What is none, since whoever wrote the record wanted it so, is nobody's way in and in nobody's way.
        wraps.extend(self.passphrases.values().take(MAX_PASSPHRASES).filter_map(|sealed| passphrase_file(sealed)));
        Ok(wraps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;
    use crate::store::record::{Kind, Summary};

    fn record(recipients: &[&str], removed: &[(&str, &str)]) -> Record {
        let sid = SessionId::parse("abcdefghijklmnopqrstuvwxyz").expect("a sid");
        let mut record = Record::new(Kind::Checkpoint, &sid, Summary::default());
        record.recipients = recipients.iter().map(|name| (*name).to_owned()).collect();
        for (name, epoch) in removed {
            record.removed.entry((*name).to_owned()).or_default().insert((*epoch).to_owned());
        }
        record
    }

    fn said(records: &[(&Record, &[&str])]) -> Readers {
        let owned: Vec<_> = records.iter().map(|(record, epochs)| (*record, epochs.iter().map(|e| (*e).to_owned()).collect())).collect();
        Readers::said(&owned)
    }

    const OLD: &str = "00000000000000aa";
    const NEW: &str = "00000000000000bb";
    const THEIRS: &str = "00000000000000cc";

    fn epoch(name: &str) -> EpochId {
        EpochId::parse(name).expect("a name")
    }

    #[test]
    fn the_order_of_readers_does_not_make_them_others() {
        let readers = said(&[(&record(&["a", "b"], &[]), &[OLD])]);
        assert!(readers.are_those_of(&record(&["b", "a"], &[])));
        assert!(!readers.are_those_of(&record(&["b"], &[])));
    }

    #[test]
    fn somebody_removed_on_one_way_does_not_come_back_from_another() {
        let (with, without) = (record(&["a", "b"], &[]), record(&["a"], &[("b", OLD)]));
        for records in [[(&with, &[OLD][..]), (&without, &[OLD, NEW])], [(&without, &[OLD, NEW][..]), (&with, &[OLD])]] {
            let readers = said(&records);
            assert_eq!(readers.names, ["a"]);
            assert!(!readers.may_seal_to(&epoch(OLD)) && readers.may_seal_to(&epoch(NEW)));
        }
    }

    #[test]
    fn somebody_who_was_added_again_stays_though_another_way_has_not_heard_of_it() {
        let (back, still_without) = (record(&["a", "b"], &[]), record(&["a"], &[("b", OLD)]));
        let readers = said(&[(&back, &[OLD, NEW]), (&still_without, &[OLD, NEW])]);
        assert_eq!((readers.names, readers.removed.len()), (vec!["a".to_owned(), "b".to_owned()], 0));
        // And is removed again by whoever heard of it.
        let mut again = record(&["a"], &[("b", OLD)]);
        again.removed.entry("b".to_owned()).or_default().insert(NEW.to_owned());
        let readers = said(&[(&back, &[OLD, NEW]), (&again, &[OLD, NEW, THEIRS])]);
        assert_eq!(readers.names, ["a"]);
    }

    #[test]
    fn where_each_way_removed_somebody_else_no_epoch_of_theirs_will_do() {
        let (one, other) = (record(&["a", "b"], &[("c", OLD)]), record(&["a", "c"], &[("b", OLD)]));
        let readers = said(&[(&one, &[OLD, NEW]), (&other, &[OLD, THEIRS])]);
        assert_eq!(readers.names, ["a"]);
        assert!([OLD, NEW, THEIRS].iter().all(|name| !readers.may_seal_to(&epoch(name))));
    }

    #[test]
    fn being_added_on_purpose_brings_somebody_back_and_joining_does_not() {
        let mut readers = said(&[(&record(&["a"], &[("b", OLD)]), &[OLD, NEW])]);
        readers.join("b");
        assert_eq!(readers.names, ["a"]);
        readers.add(&["b".to_owned()]);
        assert_eq!(readers.names, ["a", "b"]);
        assert!(readers.may_seal_to(&epoch(OLD)), "they have its key again");
    }
}
