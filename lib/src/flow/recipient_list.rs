//! `recipient list`: who reads what, by the chains' own word, and how each epoch's key is wrapped.
//!
//! Changes nothing but what following remotes changes. Where the record says names, the wraps say kinds: those are read
//! from the wraps themselves.

use std::collections::BTreeSet;

use super::ledger::{Finding, Ledger};
use super::readers::{self, Readers};
use super::{Error, named, settings};
use crate::id::SessionId;
use crate::seal::{Recipients, peek};
use crate::store::refs::Known;
use crate::store::unfold::Opened;

#[derive(Debug, Default)]
pub struct Outcome {
    /// Who reads chains that begin here, besides the device that begins one. Not asked for one session.
    pub defaults: Vec<Reader>,
    pub sessions: Vec<Session>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    pub key: String,
    /// What sort of key it is.
    pub kind: String,
    pub post_quantum: bool,
    pub this_device: bool,
}

#[derive(Debug)]
pub struct Session {
    pub sid: SessionId,
    pub agent: String,
    pub title: Option<String>,
    pub readers: Vec<Reader>,
    pub epochs: Vec<Epoch>,
    /// Why this device cannot tell.
    pub unreadable: Option<String>,
}

#[derive(Debug)]
pub struct Epoch {
    pub id: String,
    /// What is new is sealed to it.
    pub current: bool,
    /// One for each file that its key is wrapped in: the kinds of keys, as anybody can see them.
    pub wraps: Vec<String>,
    /// Who was removed and has its key all the same.
    pub removed: Vec<Reader>,
    /// Nobody ever got its key but through post-quantum keys.
    pub post_quantum: bool,
}

pub fn list(ledger: &Ledger<'_>, session: Option<&str>, findings: &mut Vec<Finding>) -> Result<Outcome, Error> {
    if let Some(what) = session {
        let named = named::resolve(ledger, what, findings)?;
        let session = look(ledger, &named.sid, &named.known)?;
        return Ok(Outcome { defaults: Vec::new(), sessions: session.into_iter().collect() });
    }
    let mut outcome = Outcome::default();
    for value in settings::recipients(&ledger.store.repo) {
        for key in settings::keys_of(value) {
            if !outcome.defaults.iter().any(|known| known.key == key) {
                outcome.defaults.push(reader(ledger, &key));
            }
        }
    }
    for (sid, known) in ledger.sync_all(findings)? {
        match look(ledger, &sid, &known) {
            Ok(session) => outcome.sessions.extend(session),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => outcome.sessions.push(Session {
                sid,
                agent: String::new(),
                title: None,
                readers: Vec::new(),
                epochs: Vec::new(),
                unreadable: Some(error.to_string()),
            }),
        }
    }
    Ok(outcome)
}

/// Nothing, if the session was deleted or nobody known here made any of it.
fn look(ledger: &Ledger<'_>, sid: &SessionId, known: &Known) -> Result<Option<Session>, Error> {
    let heads = ledger.heads(sid, known)?;
    let mut ways = readers::ways(ledger, &heads)?;
    ways.retain(|way| !way.is_deleted());
    let Some(first) = ways.first() else { return Ok(None) };
    let (agent, title) = (first.record.summary.agent.clone(), first.record.summary.title.clone());
    let readers = Readers::of(&ways);
    let (current, _) = readers.epoch(&ways);
    let ids: BTreeSet<_> = ways.iter().flat_map(|way| way.epochs.names()).collect();
    let mut epochs = Vec::new();
    for id in ids {
        let removed: Vec<Reader> =
            readers.removed.iter().filter(|(_, epochs)| epochs.contains(id.as_str())).map(|(key, _)| reader(ledger, key)).collect();
        let mut post_quantum = removed.iter().all(|reader| reader.post_quantum);
        let mut wraps = Vec::new();
        for blob in blobs(&ways, id.as_str()) {
            let sealed = ledger.store.blob(&blob, MAX_WRAP)?;
            let (envelope, _) = peek(&mut &sealed[..])?;
            post_quantum &= envelope.is_post_quantum();
            wraps.push(envelope.describe());
        }
        epochs.push(Epoch { current: id == current.id, id: id.as_str().to_owned(), wraps, removed, post_quantum });
    }
    let kind = |reader: Reader| match readers.passphrases.contains_key(&reader.key) {
        true => Reader { kind: "passphrase".to_owned(), ..reader },
        false => reader,
    };
    let readers = readers.names.iter().map(|key| kind(reader(ledger, key))).collect();
    Ok(Some(Session { sid: sid.clone(), agent, title, readers, epochs, unreadable: None }))
}

const MAX_WRAP: usize = 256 << 10;

fn blobs(ways: &[Opened], epoch: &str) -> Vec<gix::hash::ObjectId> {
    let mut blobs: Vec<_> = ways.iter().filter_map(|way| way.epochs.wraps().get(epoch)).flatten().copied().collect();
    let mut seen = BTreeSet::new();
    blobs.retain(|blob| seen.insert(*blob));
    blobs
}

fn reader(ledger: &Ledger<'_>, key: &str) -> Reader {
    let mut parsed = Recipients::default();
    let via = parsed.add_text(key).ok().and_then(|()| parsed.keys().first());
    let kind = via.map_or_else(|| "no key".to_owned(), crate::seal::Via::kind);
    let this_device = ledger.device.is_some_and(|device| device.recipient() == key);
    Reader { post_quantum: via.is_some_and(crate::seal::Via::is_post_quantum), this_device, kind, key: key.to_owned() }
}
