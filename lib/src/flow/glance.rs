//! What is shown of a checkpoint where many are shown: read and verified once, then remembered.
//!
//! Verifying and opening one costs some tenths of a millisecond, a thousand of them would be waited for. The memory is one
//! file beside the repository's own, sealed to this device, by commit. What must stay true: it serves for showing and for
//! nothing else, since whoever can write there could have sealed one, too; without it everything is only slower.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use gix::hash::ObjectId;
use serde::{Deserialize, Serialize};

use super::Error;
use super::ledger::Ledger;
use crate::durable;
use crate::id::SessionId;
use crate::lease::Lease;
use crate::policy::Limits;
use crate::seal::{self, Identities, NoCallbacks, Recipients, Signer};
use crate::store::record::{Kind, Summary};
use crate::store::unfold::Checkpoint;

const FILE: &str = "glances.age";
const SCHEMA: &str = "samesession.glances/2";

/// One checkpoint as it is shown in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glance {
    pub sid: String,
    pub kind: Kind,
    pub sequence: u64,
    pub parents: Vec<String>,
    /// Sealed bytes that came with it, and with all of its chain.
    pub added: u64,
    pub total: u64,
    /// It begins a chain that was shortened.
    pub shortened: bool,
    signer: (String, String),
    pub inside: Result<Inside, Unread>,
}

/// What its readers can see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inside {
    pub made: String,
    /// The device that made this checkpoint; the summary's is the one that captured the files.
    pub device: String,
    pub summary: Summary,
    /// Who drives the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// Other ways that the session went.
    pub open: Vec<String>,
    /// How many commits it stands in for.
    pub supersedes: usize,
}

/// Why a checkpoint was not opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Unread {
    #[error("sealed to others")]
    Others,
    #[error("sealed to a key that asks for its passphrase")]
    Locked,
    #[error("{0}")]
    Damaged(String),
}

impl Glance {
    /// `newer` is a later checkpoint that may lend its keys.
    pub fn of(ledger: &Ledger<'_>, sid: &SessionId, id: &ObjectId, newer: Option<&Checkpoint>) -> Result<Glance, Error> {
        let checkpoint = ledger.anybodys(sid, id)?;
        let inside = match checkpoint.open(&ledger.store, ledger.identities, newer).map_err(Error::from) {
            Ok(opened) => Ok(Inside {
                made: opened.record.made,
                device: opened.record.device,
                summary: opened.record.summary,
                lease: opened.record.lease,
                open: opened.record.open,
                supersedes: opened.record.supersedes.len(),
            }),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => Err(error.into()),
        };
        let Checkpoint { commit, header, signer, .. } = checkpoint;
        Ok(Glance {
            sid: sid.to_string(),
            kind: header.kind,
            sequence: header.sequence,
            parents: commit.parents.iter().map(ToString::to_string).collect(),
            added: header.added,
            total: header.total,
            shortened: header.supersedes.is_some(),
            signer: (signer.fingerprint, signer.key),
            inside,
        })
    }

    pub fn signer(&self) -> Signer {
        let (fingerprint, key) = self.signer.clone();
        Signer { fingerprint, key }
    }

    pub fn is_deleted(&self) -> bool {
        self.kind == Kind::Deleted
    }
}

impl From<Error> for Unread {
    fn from(error: Error) -> Unread {
        match error {
            Error::Seal(seal::Error::NoMatch { .. } | seal::Error::NoRecipient) => Unread::Others,
            Error::Seal(
                seal::Error::WrongPassphrase | seal::Error::NeedsPassphrase | seal::Error::Locked | seal::Error::WrongDevicePassphrase,
            ) => Unread::Locked,
            error => Unread::Damaged(error.to_string()),
        }
    }
}

/// All that is remembered of one repository.
pub struct Glances<'a> {
    ledger: &'a Ledger<'a>,
    /// Where those may stand that are not in the repository itself.
    heads: Option<&'a Ledger<'a>>,
    known: HashMap<String, Glance>,
    /// Which keys did not open what was not opened.
    keys: String,
    changed: bool,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    schema: String,
    keys: String,
    glances: HashMap<String, Glance>,
}

impl<'a> Glances<'a> {
    pub fn load(ledger: &'a Ledger<'a>, heads: Option<&'a Ledger<'a>>) -> Glances<'a> {
        let keys = ledger.identities.mark();
        let mut known = recall(ledger).map(|kept| (kept.glances, kept.keys)).unwrap_or_default();
        if known.1 != keys {
            known.0.retain(|_, glance| glance.inside.is_ok());
        }
        Glances { ledger, heads, known: known.0, keys, changed: false }
    }

    pub fn of(&mut self, sid: &SessionId, id: &ObjectId) -> Result<Glance, Error> {
        let name = id.to_string();
        if let Some(glance) = self.known.get(&name).filter(|glance| glance.sid == sid.as_str()) {
            return Ok(glance.clone());
        }
        let glance = Glance::of(self.elsewhere(id).unwrap_or(self.ledger), sid, id, None)?;
        // What is damaged or locked today may be opened tomorrow.
        if matches!(glance.inside, Ok(_) | Err(Unread::Others)) {
            self.known.insert(name, glance.clone());
            self.changed = true;
        }
        Ok(glance)
    }

    /// Where a checkpoint stands, if that is not in the repository itself.
    pub fn elsewhere(&self, id: &ObjectId) -> Option<&'a Ledger<'a>> {
        self.heads.filter(|_| !self.ledger.store.has(id))
    }

    /// Remembers what is asked for again. A memory that cannot be written is none, and no failure.
    pub fn keep(mut self, wanted: impl Fn(&str) -> bool) {
        let before = self.known.len();
        self.known.retain(|id, _| wanted(id));
        let Some(path) = path(self.ledger).filter(|_| self.changed || self.known.len() != before) else { return };
        let _ = write(self.ledger, &path, Kept { schema: SCHEMA.to_owned(), keys: self.keys, glances: self.known });
    }
}

fn path(ledger: &Ledger<'_>) -> Option<PathBuf> {
    ledger.device.map(|_| ledger.store.repo.private_dir().join(FILE))
}

fn recall(ledger: &Ledger<'_>) -> Option<Kept> {
    let file = std::fs::File::open(path(ledger)?).ok()?;
    let mut own = Identities::default();
    own.add_device(ledger.device?.identity());
    let mut json = Vec::new();
    seal::open(file, &own, &Limits::default()).ok()?.take(256 << 20).read_to_end(&mut json).ok()?;
    serde_json::from_slice(&json).ok().filter(|kept: &Kept| kept.schema == SCHEMA)
}

fn write(ledger: &Ledger<'_>, path: &Path, kept: Kept) -> Option<()> {
    let mut to = Recipients::default();
    to.add_text(&ledger.device?.recipient()).ok()?;
    let mut sealer = seal::seal(Vec::new(), &to, NoCallbacks).ok()?;
    sealer.write_all(&serde_json::to_vec(&kept).ok()?).ok()?;
    durable::create_dirs(durable::parent(path)).ok()?;
    durable::write_atomic(path, &sealer.finish().ok()?).ok()
}
