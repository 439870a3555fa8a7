//! Rollouts described from their two ends, many at once.
//!
//! Listing must cost microseconds per session, so both ends are searched for the few lines that matter before any is parsed.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::thread;

use memchr::{memchr, memmem, memrchr};
use serde::Deserialize;

use super::meta::Meta;
use super::names::Names;
use super::rollout::Found;
use crate::agent::jsonl::{self, Ends};
use crate::agent::{Broken, Session};

/// The first line is about 22 kB, and the first prompt follows within a dozen lines.
const HEAD: usize = 40 << 10;
const TAIL: usize = 32 << 10;
/// How far to look once more for what the short ends did not show.
const LONG_HEAD: usize = 512 << 10;
const LONG_TAIL: usize = 96 << 10;
const TITLE_CHARS: usize = 200;

pub fn summarise(found: &Found, names: &Names) -> Result<Session, Broken> {
    let broken = |why| Broken { path: found.path.clone(), why };
    let (ends, first) = ends(&found.path).map_err(broken)?;
    let meta = Meta::parse(&ends.head[..first]).map_err(broken)?;
    let cwd = latest_cwd(&found.path, &ends).unwrap_or_else(|| meta.cwd.clone());
    Ok(Session {
        agent: "codex",
        title: names.of(&meta.id).map(shorten).or_else(|| first_prompt(&found.path, &ends)),
        native: meta.id,
        transcript: found.path.clone(),
        size: ends.size,
        modified: ends.modified,
        cwd: (!cwd.is_empty()).then(|| PathBuf::from(cwd)),
        version: meta.version,
        parent: meta.parent,
        archived: found.archived,
    })
}

/// Does the same to each, on as many threads as there are processors.
pub fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let workers = thread::available_parallelism().map_or(1, usize::from).min(8);
    let share = items.len().div_ceil(workers).max(1);
    thread::scope(|scope| {
        let work = &work;
        let parts: Vec<_> = items.chunks(share).map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<R>>())).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
    })
}

/// Both ends, and the length of the first line, which is among them.
fn ends(path: &Path) -> Result<(Ends, usize), String> {
    for head in [HEAD, LONG_HEAD] {
        let ends = Ends::read(path, head, TAIL).map_err(|error| error.to_string())?;
        if let Some(first) = memchr(b'\n', &ends.head) {
            return Ok((ends, first));
        }
    }
    Err("it has no complete record".to_owned())
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    payload: Payload<'a>,
}

#[derive(Deserialize, Default)]
struct Payload<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    cwd: Cow<'a, str>,
    #[serde(default)]
    thread_settings: Option<Settings>,
    #[serde(borrow, default)]
    message: Option<Cow<'a, str>>,
    #[serde(default)]
    item: Option<Item>,
    #[serde(borrow, default)]
    role: Cow<'a, str>,
    #[serde(default)]
    content: Option<Vec<Content>>,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(default)]
    cwd: String,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    content: Option<Vec<Content>>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    text: Option<String>,
}

/// The working directory of the last turn, or in which the thread was last opened.
fn latest_cwd(path: &Path, ends: &Ends) -> Option<String> {
    let near = if ends.tail.is_empty() { &ends.head } else { &ends.tail };
    let found = cwd_in(near);
    if found.is_some() || ends.tail.is_empty() {
        return found;
    }
    let far = Ends::read(path, 0, LONG_TAIL).ok()?;
    cwd_in(&far.tail)
}

fn cwd_in(bytes: &[u8]) -> Option<String> {
    // One search for what both kinds of record have; few others do.
    let marks: Vec<usize> = memmem::find_iter(bytes, b"\"cwd\":\"").collect();
    marks.into_iter().rev().find_map(|at| {
        let Record { kind, payload } = serde_json::from_slice(line_at(bytes, at)?).ok()?;
        let cwd = match (&*kind, &*payload.kind) {
            ("turn_context", _) => payload.cwd.into_owned(),
            ("event_msg", "thread_settings_applied") => payload.thread_settings?.cwd,
            _ => return None,
        };
        (!cwd.is_empty()).then_some(cwd)
    })
}

/// The line around a place; none if it has no end yet. Where its start is cut off, it is not JSON any more.
fn line_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let start = memrchr(b'\n', &bytes[..at]).map_or(0, |newline| newline + 1);
    let len = memchr(b'\n', &bytes[at..])?;
    Some(&bytes[start..at + len])
}

/// What a person first asked for, also of a file that is not listed.
pub fn first_prompt_of(path: &Path) -> Option<String> {
    prompt_in(&Ends::read(path, LONG_HEAD, 0).ok()?)
}

fn first_prompt(path: &Path, ends: &Ends) -> Option<String> {
    prompt_in(ends).or_else(|| (ends.size > HEAD as u64).then(|| first_prompt_of(path)).flatten())
}

/// What a person asked for last. A prompt is written in two or three forms, whose last one is enough.
pub fn last_prompt(path: &Path, upto: u64) -> Option<String> {
    jsonl::last(path, upto, &[b"\"UserMessage\"", b"\"user_message\"", b"\"user\""], |line| {
        let Record { kind, payload } = serde_json::from_slice(line).ok()?;
        match (&*kind, &*payload.kind) {
            ("event_msg", "item_completed") => text_of(payload.item.filter(|item| item.kind == "UserMessage")?.content),
            ("event_msg", "user_message") => typed(&payload.message?),
            ("response_item", "message") if payload.role == "user" => text_of(payload.content),
            _ => None,
        }
    })
}

/// The event that stands for a prompt, else the first message of the user's that Codex did not write itself.
fn prompt_in(ends: &Ends) -> Option<String> {
    // Nothing of the first line is a prompt, and it is most of what was read.
    let bytes = &ends.head[memchr(b'\n', &ends.head)?..];
    let records = |marker: &'static [u8]| {
        memmem::find_iter(bytes, marker).filter_map(|at| serde_json::from_slice::<Record<'_>>(line_at(bytes, at)?).ok())
    };
    let is = |record: &Record<'_>, kind: &str, what: &str| record.kind == kind && record.payload.kind == what;
    let by_item = || {
        let items = records(b"\"UserMessage\"").filter(|record| is(record, "event_msg", "item_completed"));
        items.filter_map(|record| record.payload.item).filter(|item| item.kind == "UserMessage").find_map(|item| text_of(item.content))
    };
    let by_event = || {
        let events = records(b"\"user_message\"").filter(|record| is(record, "event_msg", "user_message"));
        events.filter_map(|record| record.payload.message).find_map(|text| typed(&text))
    };
    let by_message = || {
        let messages = records(b"\"user\"").filter(|record| is(record, "response_item", "message") && record.payload.role == "user");
        messages.filter_map(|record| record.payload.content).find_map(|content| text_of(Some(content)))
    };
    by_item().or_else(by_event).or_else(by_message)
}

fn text_of(content: Option<Vec<Content>>) -> Option<String> {
    content?.iter().find_map(|part| typed(part.text.as_deref()?))
}

fn typed(text: &str) -> Option<String> {
    words(text).map(shorten)
}

/// What a person typed, without what editors put before it; not what Codex tells the model in the user's name.
pub fn words(text: &str) -> Option<&str> {
    const OF_EDITORS: &str = "## My request for Codex:";
    const INJECTED: [&str; 6] = [
        "<environment_context>",
        "<user_instructions>",
        "# AGENTS.md instructions",
        "<turn_aborted>",
        "<subagent_notification>",
        "<permissions",
    ];
    let text = text.find(OF_EDITORS).map_or(text, |at| &text[at + OF_EDITORS.len()..]).trim();
    (!text.is_empty() && !INJECTED.iter().any(|start| text.starts_with(start))).then_some(text)
}

fn shorten(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(TITLE_CHARS).collect()
}
