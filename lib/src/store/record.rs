//! `capsule.json` and `checkpoint.json`: the words of a checkpoint, in the clear and sealed.
//!
//! Owns the wire format of container B, as `capsule::manifest` owns that of the plaintext. What this version does not know
//! is kept; what a reader must understand is named in `requires`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use gix::hash::ObjectId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{NativeId, SessionId, hex};
use crate::lease::Lease;
use crate::policy::is_dense;
use crate::seal::EpochId;

const HEADER_SCHEMA: &str = "samesession.commit/1";
const RECORD_SCHEMA: &str = "samesession.record/1";
/// No chain is as long, and no sequence behind it can overflow.
const MAX_SEQUENCE: u64 = 1 << 48;
/// What a checkpoint may ask of its reader.
const CAPABILITIES: &[&str] = &[];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Checkpoint,
    /// Says that the session was deleted, and holds nothing of it.
    Deleted,
}

/// `capsule.json`: all that anybody can read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub schema: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    pub kind: Kind,
    pub sid: String,
    pub sequence: u64,
    /// Two checkpoints are never the same object, or two racing pushes of them would both have won.
    pub nonce: String,
    /// The epoch that `manifest.age` is sealed to.
    pub epoch: String,
    /// Sealed bytes that came with this one, and with all of its chain.
    pub added: u64,
    pub total: u64,
    /// The tip of the chain that this one stands in for, where it was shortened or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<String>,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// `checkpoint.json`, in `manifest.age`: what only its readers know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub schema: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    pub kind: Kind,
    pub sid: String,
    pub sequence: u64,
    pub nonce: String,
    pub made: String,
    /// What the device that made it calls itself.
    pub device: String,
    /// The seed of the chunker, as hexadecimal digits.
    pub seed: String,
    /// Everybody who may open it.
    pub recipients: Vec<String>,
    /// Who could once, and the epochs whose keys they have: nothing is sealed to those any more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub removed: BTreeMap<String, BTreeSet<String>>,
    /// Recipients that are a passphrase: of each its public key, and the secret one as an age identity file under it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub passphrases: BTreeMap<String, String>,
    pub summary: Summary,
    pub manifest: Pages,
    pub parts: Pages,
    /// What parts were packed against: for each name the parts whose contents, one behind the other, it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dictionaries: BTreeMap<String, Vec<Line>>,
    /// Tips that went different ways; none of them was chosen yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<String>,
    /// The store it was made for, by its roster's root, and that roster's tip then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roster: Option<String>,
    /// Who drives the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// Commits of the chain that this one stands in for, and which it no longer leads to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<String>,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// For lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub agent: String,
    pub native_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What its user asked for last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    pub files: usize,
    pub bytes: u64,
    /// Bytes of the conversation alone, by which it is seen whether one has gone on since; nothing in early ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<u64>,
    /// When the session's files were captured.
    pub created: String,
    /// The device that captured them.
    pub device: String,
}

/// Text in sealed pages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pages {
    /// Of the whole text.
    pub sha256: String,
    pub pages: Vec<Line>,
}

/// One sealed part: what it is called, whose key opens it, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Line {
    pub name: String,
    pub epoch: EpochId,
    pub length: usize,
    /// BLAKE3, of its contents.
    pub hash: [u8; 32],
    pub dictionary: Option<String>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dictionary = self.dictionary.as_deref().unwrap_or("-");
        write!(f, "{} {} {} {} {dictionary}", self.name, self.epoch.as_str(), self.length, hex(&self.hash))
    }
}

impl FromStr for Line {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Line, &'static str> {
        let words: Vec<&str> = text.split(' ').collect();
        let [name, epoch, length, hash, dictionary] = words[..] else { return Err("a part's line has five words") };
        if !is_hex(name, 32) {
            return Err("a part's name is 32 hexadecimal digits");
        }
        let length = length.parse().ok().filter(|&length| length <= crate::seal::chunk::MAX).ok_or("a part is too long")?;
        Ok(Line {
            name: name.to_owned(),
            epoch: EpochId::parse(epoch).ok_or("an epoch's name is 16 hexadecimal digits")?,
            length,
            hash: unhex(hash).ok_or("a hash is 64 hexadecimal digits")?,
            dictionary: match dictionary {
                "-" => None,
                name if is_hex(name, 16) => Some(name.to_owned()),
                _ => return Err("a dictionary's name is 16 hexadecimal digits"),
            },
        })
    }
}

impl Serialize for Line {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Line, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Header {
    pub fn of(record: &Record, epoch: &EpochId, added: u64, before: u64) -> Header {
        Header {
            schema: HEADER_SCHEMA.to_owned(),
            requires: Vec::new(),
            kind: record.kind,
            sid: record.sid.clone(),
            sequence: record.sequence,
            nonce: record.nonce.clone(),
            epoch: epoch.as_str().to_owned(),
            added,
            total: before.saturating_add(added),
            supersedes: record.supersedes.first().cloned(),
            more: Map::new(),
        }
    }

    pub fn parse(bytes: &[u8]) -> Result<Header, String> {
        let header: Header = parse(bytes, HEADER_SCHEMA)?;
        SessionId::parse(&header.sid).map_err(|error| error.to_string())?;
        EpochId::parse(&header.epoch).ok_or("its epoch has no name")?;
        if !(1..=MAX_SEQUENCE).contains(&header.sequence) {
            return Err(format!("it has the number {}", header.sequence));
        }
        Ok(header)
    }
}

impl Record {
    pub fn new(kind: Kind, sid: &SessionId, summary: Summary) -> Record {
        Record {
            schema: RECORD_SCHEMA.to_owned(),
            requires: Vec::new(),
            kind,
            sid: sid.to_string(),
            sequence: 1,
            nonce: String::new(),
            made: String::new(),
            device: String::new(),
            seed: String::new(),
            recipients: Vec::new(),
            removed: BTreeMap::new(),
            passphrases: BTreeMap::new(),
            summary,
            manifest: Pages::default(),
            parts: Pages::default(),
            dictionaries: BTreeMap::new(),
            open: Vec::new(),
            store: None,
            roster: None,
            lease: None,
            supersedes: Vec::new(),
            more: Map::new(),
        }
    }

    /// `header` is what the public says; both must tell the same.
    pub fn parse(bytes: &[u8], header: &Header) -> Result<Record, String> {
        let record: Record = parse(bytes, RECORD_SCHEMA)?;
        let same = (record.kind, &record.sid, record.sequence, &record.nonce, record.supersedes.first())
            == (header.kind, &header.sid, header.sequence, &header.nonce, header.supersedes.as_ref());
        if !same {
            return Err("its capsule.json says something else than what is sealed".to_owned());
        }
        record.seed().ok_or("its seed is none")?;
        let native = NativeId::parse(&record.summary.native_id).map_err(|error| error.to_string())?;
        if SessionId::derive(&record.summary.agent, &native).as_str() != record.sid {
            return Err("its session id is not that of its native session".to_owned());
        }
        Ok(record)
    }

    pub fn seed(&self) -> Option<[u8; 32]> {
        unhex(&self.seed)
    }

    pub fn open(&self) -> Vec<ObjectId> {
        self.open.iter().filter_map(|id| ObjectId::from_hex(id.as_bytes()).ok()).collect()
    }
}

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8], known: &str) -> Result<T, String> {
    // The shortest of its values are epochs' names.
    if is_dense(bytes, 16) {
        return Err("it says more than a checkpoint has to say".to_owned());
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let schema = value.get("schema").and_then(Value::as_str).unwrap_or_default();
    if schema != known {
        let clip: String = schema.chars().take(60).collect();
        return Err(format!("it has the schema '{clip}', and this program knows '{known}'"));
    }
    let required = value.get("requires").and_then(Value::as_array).into_iter().flatten();
    if let Some(unknown) = required.map(|name| name.as_str().unwrap_or("?")).find(|name| !CAPABILITIES.contains(name)) {
        let clip: String = unknown.chars().take(60).collect();
        return Err(format!("it requires '{clip}', which this program does not know"));
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

pub(super) fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if !is_hex(text, 64) {
        return None;
    }
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written_and_nothing_else_is() {
        let line = format!("{} {} 4194304 {} {}", "ab".repeat(16), "0123456789abcdef", "cd".repeat(32), "fedcba9876543210");
        assert_eq!(line.parse::<Line>().expect("a line").to_string(), line);
        for (from, to) in
            [("4194304", "4194305"), ("ab", "AB"), ("ab", "a/"), ("0123", "01.."), ("cdcd", "cd"), ("fedc", "-edc"), (" ", "  ")]
        {
            assert!(line.replacen(from, to, 1).parse::<Line>().is_err(), "{from} {to}");
        }
    }
}
