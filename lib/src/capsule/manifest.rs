//! `capsule.json` and `manifest.json`: the words of the format.
//!
//! Fields that this version does not know are kept as they are; what a reader *must* understand is named in `requires`.
//! Owns the wire format: nothing outside this file is written to a capsule as JSON.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Error;
use crate::id::{NativeId, SessionId, hex};
use crate::path::RelPath;
use crate::policy::{Limits, values_in};
use crate::time;

const VERSION: u32 = 1;
const HEADER_SCHEMA: &str = "samesession.capsule/1";
pub const MANIFEST_SCHEMA: &str = "samesession.manifest/1";
/// What a capsule may ask of its reader.
const CAPABILITIES: &[&str] = &[REDACTED];
/// Its secrets were masked: it is read by people, and installed nowhere.
pub const REDACTED: &str = "redacted";

/// The first entry: enough to refuse a capsule, or to know where to stage it, before its files come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub schema: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    pub sid: String,
    pub agent: String,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// The last entry but the signature: everything that is known of the session and of each file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub schema: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    pub sid: String,
    pub agent: String,
    pub native_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What its user asked for last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    pub created: String,
    pub origin: Origin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
    pub files: Vec<FileEntry>,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Where the capsule was made. Paths are written as `path::to_text` does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    pub device: String,
    pub home: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// The repository around the session's working directory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Repository {
    /// The top of the work tree.
    pub root: String,
    /// The working directory below it; empty for the top itself.
    #[serde(default)]
    pub below: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// What came along of the work tree, in a few numbers: for those who are told about it. What is brought back is decided
/// by `workspace/workspace.json`, never by this.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Workspace {
    /// Without `refs/heads/`; none where HEAD is detached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Commits that no code remote is known to have.
    pub commits: u64,
    /// Names that the index has otherwise than the commit.
    pub staged: usize,
    /// Files that are otherwise than the index, untracked ones included.
    pub changed: usize,
    pub deleted: usize,
    /// In progress.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<String>,
    /// Files in the capsule, and their bytes without the model's.
    pub files: usize,
    pub bytes: u64,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    pub path: RelPath,
    pub role: String,
    pub size: u64,
    pub mode: u32,
    pub mtime: String,
    pub sha256: String,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl FileEntry {
    pub fn of(path: RelPath, role: &str, size: u64, mode: u32, modified: SystemTime, hash: &[u8; 32]) -> FileEntry {
        let (mtime, sha256) = (time::format(modified), hex(hash));
        FileEntry { path, role: role.to_owned(), size, mode, mtime, sha256, more: Map::new() }
    }
}

impl Header {
    pub fn new(sid: &SessionId, agent: &str) -> Header {
        Header { schema: HEADER_SCHEMA.to_owned(), requires: Vec::new(), sid: sid.to_string(), agent: agent.to_owned(), more: Map::new() }
    }

    pub fn is_redacted(&self) -> bool {
        self.requires.iter().any(|word| word == REDACTED)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Header, Error> {
        let value: Value = serde_json::from_slice(bytes).map_err(|_| Error::NotACapsule("its header is not JSON"))?;
        check_version(&value, HEADER_SCHEMA)?;
        let header: Header = serde_json::from_value(value).map_err(|error| Error::Damaged(format!("its header: {error}")))?;
        SessionId::parse(&header.sid).map_err(|error| Error::Damaged(error.to_string()))?;
        Ok(header)
    }
}

impl Manifest {
    pub(super) fn parse(bytes: &[u8], header: &Header) -> Result<Manifest, Error> {
        // Parsed, it would take many times its length.
        if values_in(bytes) > 4096 + 32 * Limits::default().files {
            return Err(Error::TooLarge("its manifest says more than its files need".to_owned()));
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|error| Error::Damaged(format!("its manifest: {error}")))?;
        check_version(&value, MANIFEST_SCHEMA)?;
        let manifest: Manifest = serde_json::from_value(value).map_err(|error| Error::Damaged(format!("its manifest: {error}")))?;
        if (&manifest.sid, &manifest.agent) != (&header.sid, &header.agent) {
            return Err(Error::Lies("header and manifest name different sessions".to_owned()));
        }
        if SessionId::derive(&manifest.agent, &manifest.native_id()?).as_str() != manifest.sid {
            return Err(Error::Lies("its session id is not that of its native session".to_owned()));
        }
        Ok(manifest)
    }

    pub fn is_redacted(&self) -> bool {
        self.requires.iter().any(|word| word == REDACTED)
    }

    /// One that is known to be of this session, from another container than a tar stream.
    pub fn of(bytes: &[u8], sid: &str, agent: &str) -> Result<Manifest, Error> {
        let sid = SessionId::parse(sid).map_err(|error| Error::Damaged(error.to_string()))?;
        Manifest::parse(bytes, &Header::new(&sid, agent))
    }

    /// As it is written, and signed.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        let mut json = serde_json::to_vec_pretty(self).map_err(|error| Error::Write(error.into()))?;
        json.push(b'\n');
        Ok(json)
    }

    pub fn native_id(&self) -> Result<NativeId, Error> {
        NativeId::parse(&self.native_id).map_err(|error| Error::Damaged(error.to_string()))
    }

    pub fn sid(&self) -> Result<SessionId, Error> {
        SessionId::parse(&self.sid).map_err(|error| Error::Damaged(error.to_string()))
    }
}

fn check_version(value: &Value, known: &str) -> Result<(), Error> {
    let schema = value.get("schema").and_then(Value::as_str).ok_or(Error::NotACapsule("it names no schema"))?;
    if schema != known {
        let (kind, version) = schema.split_once('/').unwrap_or((schema, ""));
        if known.split_once('/').is_none_or(|(known, _)| known != kind) {
            return Err(Error::NotACapsule("it has the schema of something else"));
        }
        return Err(Error::Newer { found: version.chars().take(20).collect(), known: VERSION });
    }
    let required = value.get("requires").and_then(Value::as_array).into_iter().flatten();
    match required.map(|name| name.as_str().unwrap_or("?")).find(|name| !CAPABILITIES.contains(name)) {
        Some(unknown) => Err(Error::Requires(unknown.chars().take(60).collect())),
        None => Ok(()),
    }
}
