//! One Claude Code transcript described from its two ends.
//!
//! Listing must cost microseconds per session, so lines are searched for the few that matter before any is parsed.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use memchr::memmem;
use serde::Deserialize;

use super::encoding::encode;
use crate::agent::jsonl::{self, Ends};
use crate::agent::{Broken, Session};
use crate::id::NativeId;

const HEAD: usize = 12 << 10;
const TAIL: usize = 16 << 10;
/// A first prompt can stand behind long records of other kinds.
const LONG_HEAD: usize = 512 << 10;
const TITLE_CHARS: usize = 200;

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    cwd: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    version: Option<Cow<'a, str>>,
    #[serde(rename = "sessionId", borrow, default)]
    session: Option<Cow<'a, str>>,
    #[serde(rename = "customTitle", borrow, default)]
    custom_title: Option<Cow<'a, str>>,
    #[serde(rename = "aiTitle", borrow, default)]
    ai_title: Option<Cow<'a, str>>,
    #[serde(rename = "isMeta", default)]
    is_meta: bool,
    #[serde(rename = "isSidechain", default)]
    is_helpers: bool,
    #[serde(borrow, default)]
    message: Option<Message<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Blocks(#[serde(borrow)] Vec<Block<'a>>),
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

pub fn summarise(agent: &'static str, native: NativeId, path: PathBuf) -> Result<Session, Broken> {
    match Ends::read(&path, HEAD, TAIL) {
        Ok(ends) => describe(agent, native, &path, &ends),
        Err(error) => Err(error.to_string()),
    }
    .map_err(|why| Broken { path, why })
}

fn describe(agent: &'static str, native: NativeId, path: &Path, ends: &Ends) -> Result<Session, String> {
    // 2.1.329 writes lines of 38 kB, so the first whole line may lie beyond the head: then there is nothing to check.
    match ends.first_lines().next() {
        Some(line) => drop(serde_json::from_slice::<Record<'_>>(line).map_err(|e| format!("its first record is damaged: {e}"))?),
        None if ends.size <= (HEAD + TAIL) as u64 => return Err("it has no complete record".to_owned()),
        None => {}
    }
    let (cwd, version) = place_and_version(path, ends);
    Ok(Session {
        agent,
        native,
        transcript: path.to_owned(),
        size: ends.size,
        modified: ends.modified,
        title: title(path, ends),
        cwd,
        version,
        parent: None,
        archived: false,
    })
}

/// The newest working directory that the project directory's name fits, else the oldest that does. A transcript that
/// came from elsewhere names other machines' directories, too.
fn place_and_version(path: &Path, ends: &Ends) -> (Option<PathBuf>, Option<String>) {
    let here = path.parent().and_then(Path::file_name);
    let envelope = memmem::Finder::new(b"\"cwd\":");
    let records = |line: &[u8]| -> Option<(PathBuf, Option<String>)> {
        envelope.find(line)?;
        let record: Record<'_> = serde_json::from_slice(line).ok()?;
        Some((PathBuf::from(record.cwd?.as_ref()), record.version.map(Cow::into_owned)))
    };
    let last = ends.last_lines().find_map(records);
    let first = ends.first_lines().find_map(records);
    let version = last.as_ref().or(first.as_ref()).and_then(|(_, version)| version.clone());
    let fits = |cwd: &PathBuf| here.is_some_and(|name| name == encode(cwd).as_str());
    (last.map(|(cwd, _)| cwd).filter(fits).or(first.map(|(cwd, _)| cwd).filter(fits)), version)
}

fn title(path: &Path, ends: &Ends) -> Option<String> {
    let named = memmem::Finder::new(b"-title\"");
    let mut by_agent = None;
    for line in ends.last_lines().filter(|line| named.find(line).is_some()) {
        let Ok(record) = serde_json::from_slice::<Record<'_>>(line) else { continue };
        if let (Some(title), "custom-title") = (&record.custom_title, record.kind.as_ref()) {
            return Some(shorten(title));
        }
        if by_agent.is_none() && record.kind == "ai-title" {
            by_agent = record.ai_title.as_deref().map(shorten);
        }
    }
    by_agent.or_else(|| first_prompt(ends)).or_else(|| {
        let long = (ends.size > (HEAD + TAIL) as u64).then(|| Ends::read(path, LONG_HEAD, 0).ok()).flatten()?;
        first_prompt(&long)
    })
}

fn first_prompt(ends: &Ends) -> Option<String> {
    let of_user = memmem::Finder::new(b"\"user\"");
    ends.first_lines().filter(|line| of_user.find(line).is_some()).find_map(prompt)
}

pub fn last_prompt(path: &Path, upto: u64) -> Option<String> {
    jsonl::last(path, upto, &[b"\"user\""], prompt)
}

/// What a person typed, if this record holds that.
fn prompt(line: &[u8]) -> Option<String> {
    let record: Record<'_> = serde_json::from_slice(line).ok()?;
    if record.kind != "user" || record.is_meta || record.is_helpers {
        return None;
    }
    match record.message?.content? {
        Content::Text(text) => typed(&text),
        Content::Blocks(blocks) => blocks.iter().find_map(|block| typed(block.text.as_deref()?)),
    }
}

fn typed(text: &str) -> Option<String> {
    words(text).map(shorten)
}

/// What a person typed; not what the program wraps around commands, nor what it says of helpers that have come to an end.
pub fn words(text: &str) -> Option<&str> {
    const WRAPPERS: [&str; 6] = ["<command-", "<local-command-", "<system-reminder>", "<bash-", "<task-notification>", "Caveat: "];
    let text = text.trim();
    (!text.is_empty() && !WRAPPERS.iter().any(|start| text.starts_with(start))).then_some(text)
}

fn shorten(text: &str) -> String {
    let mut short = String::new();
    for word in text.split_whitespace() {
        if short.chars().count() + word.chars().count() > TITLE_CHARS {
            break;
        }
        if !short.is_empty() {
            short.push(' ');
        }
        short.push_str(word);
    }
    if short.is_empty() { text.chars().take(TITLE_CHARS).collect() } else { short }
}

/// The first working directory that the transcript names, and the session id inside its first record that has one.
pub fn first_envelope(path: &Path) -> io::Result<(Option<PathBuf>, Option<String>)> {
    let ends = Ends::read(path, LONG_HEAD, 0)?;
    let (mut cwd, mut session) = (None, None);
    for line in ends.first_lines() {
        let Ok(record) = serde_json::from_slice::<Record<'_>>(line) else { continue };
        session = session.or(record.session.map(Cow::into_owned));
        cwd = cwd.or(record.cwd.map(|cwd| PathBuf::from(cwd.as_ref())));
        if cwd.is_some() && session.is_some() {
            break;
        }
    }
    Ok((cwd, session))
}
