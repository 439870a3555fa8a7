//! What a rollout says of itself in its first record.
//!
//! The other fields of that record (20 kB of instructions among them) are skipped, not copied. What newer versions add
//! is ignored, and what older ones lacked is optional, save the id.

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;

use crate::agent::{Error, jsonl};
use crate::id::NativeId;

/// A first record is about 22 kB; one that is longer than this is none.
const LONGEST: usize = 4 << 20;

#[derive(Debug, Clone)]
pub struct Meta {
    pub id: NativeId,
    pub cwd: String,
    pub version: Option<String>,
    /// The thread that started this one as its helper.
    pub parent: Option<NativeId>,
    /// The thread whose rollout holds what came before: without it, this one cannot be resumed.
    pub base: Option<NativeId>,
    /// How many bytes of that rollout, unpacked; all of it where the record does not say.
    pub base_end: u64,
    pub timestamp: String,
    pub provider: Option<String>,
    /// As the index writes it: a word, or an object as JSON.
    pub source: String,
    pub thread_source: Option<String>,
    pub originator: Option<String>,
    pub history_mode: Option<String>,
    pub commit: Option<String>,
    pub branch: Option<String>,
    pub origin: Option<String>,
}

impl Meta {
    pub fn read(path: &Path) -> Result<Meta, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let line = jsonl::first_line(path, LONGEST).map_err(read)?;
        let meta = line.ok_or_else(|| "it has no complete record".to_owned()).and_then(|line| Meta::parse(&line));
        meta.map_err(|why| Error::Transcript { path: path.to_owned(), why })
    }

    pub fn parse(line: &[u8]) -> Result<Meta, String> {
        let first: First<'_> = serde_json::from_slice(line).map_err(|error| format!("its first record is damaged: {error}"))?;
        let (Some(raw), "session_meta") = (first.payload, &*first.kind) else {
            return Err("its first record is not session_meta".to_owned());
        };
        let id = NativeId::parse_uuid(&raw.id).map_err(|error| error.to_string())?;
        let known = |text: &Option<Cow<'_, str>>| text.as_deref().and_then(|text| NativeId::parse_uuid(text).ok());
        let source = match &raw.source {
            serde_json::Value::String(word) => word.clone(),
            serde_json::Value::Null => "unknown".to_owned(),
            object => object.to_string(),
        };
        let spawned_by = raw.source.pointer("/subagent/thread_spawn/parent_thread_id").and_then(|id| id.as_str());
        // Other helpers (reviews, say) name nobody, but carry the id of the thread at the root of their tree.
        let root = known(&raw.session_id).filter(|root| *root != id && raw.source.get("subagent").is_some());
        Ok(Meta {
            parent: known(&raw.parent_thread_id).or_else(|| NativeId::parse_uuid(spawned_by?).ok()).or(root),
            base: raw.history_base.as_ref().and_then(|base| NativeId::parse_uuid(&base.thread_id).ok()),
            base_end: raw.history_base.and_then(|base| base.end_byte_offset).unwrap_or(u64::MAX),
            id,
            source,
            cwd: raw.cwd.into_owned(),
            version: raw.cli_version.map(Cow::into_owned),
            timestamp: raw.timestamp.into_owned(),
            provider: raw.model_provider.map(Cow::into_owned),
            thread_source: raw.thread_source.and_then(|word| word.as_str().map(str::to_owned)),
            originator: raw.originator.map(Cow::into_owned),
            history_mode: raw.history_mode.map(Cow::into_owned),
            commit: raw.git.as_ref().and_then(|git| git.commit_hash.clone()),
            branch: raw.git.as_ref().and_then(|git| git.branch.clone()),
            origin: raw.git.and_then(|git| git.repository_url),
        })
    }

    pub fn is_paginated(&self) -> bool {
        self.history_mode.as_deref() == Some("paginated")
    }
}

#[derive(Deserialize)]
struct First<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    payload: Option<RawMeta<'a>>,
}

#[derive(Deserialize)]
struct RawMeta<'a> {
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    session_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    parent_thread_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    history_base: Option<RawBase<'a>>,
    #[serde(borrow, default)]
    timestamp: Cow<'a, str>,
    #[serde(borrow, default)]
    cwd: Cow<'a, str>,
    #[serde(borrow, default)]
    cli_version: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    model_provider: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    originator: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    history_mode: Option<Cow<'a, str>>,
    #[serde(default)]
    source: serde_json::Value,
    #[serde(default)]
    thread_source: Option<serde_json::Value>,
    #[serde(default)]
    git: Option<RawGit>,
}

#[derive(Deserialize)]
struct RawBase<'a> {
    #[serde(borrow)]
    thread_id: Cow<'a, str>,
    #[serde(default)]
    end_byte_offset: Option<u64>,
}

#[derive(Deserialize)]
struct RawGit {
    commit_hash: Option<String>,
    branch: Option<String>,
    repository_url: Option<String>,
}
