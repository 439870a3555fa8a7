//! What each record of a transcript is: a person's words, the call of a tool, its result.
//!
//! One record at a time. What is the program's own, a helper's, or torn is no step.

use std::borrow::Cow;

use serde::Deserialize;

use super::summary::words;
use crate::agent::asked::{Step, What};
use crate::time;

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    timestamp: Option<Cow<'a, str>>,
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
    Blocks(Vec<Block>),
}

#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    tool_use_id: Option<String>,
    #[serde(default)]
    input: serde_json::Value,
    #[serde(default)]
    content: serde_json::Value,
}

pub fn step(record: &[u8]) -> Option<Step> {
    let record: Record<'_> = serde_json::from_slice(record).ok()?;
    if record.is_helpers || !matches!(&*record.kind, "user" | "assistant") {
        return None;
    }
    let at = record.timestamp.as_deref().and_then(time::parse);
    let by_person = record.kind == "user" && !record.is_meta;
    let what = match record.message?.content? {
        Content::Text(text) if by_person => words(&text).map(|text| What::Prompt(text.to_owned())),
        Content::Text(_) => None,
        Content::Blocks(blocks) => blocks.into_iter().find_map(|block| what(block, by_person)),
    };
    Some(Step { at, what: what.unwrap_or(What::Other) })
}

/// Each call and each result has a record of its own.
fn what(block: Block, by_person: bool) -> Option<What> {
    match &*block.kind {
        "tool_use" => Some(What::Calls { id: block.id?, words: block.input.to_string() }),
        "tool_result" => Some(What::Answers { id: block.tool_use_id?, words: text(&block.content) }),
        "text" if by_person => words(block.text.as_deref()?).map(|text| What::Prompt(text.to_owned())),
        _ => None,
    }
}

/// A result is text, or blocks of which some are.
fn text(content: &serde_json::Value) -> String {
    match content {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(blocks) => blocks.iter().filter_map(|block| block["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Genuine transcripts of either version.
    #[test]
    fn steps_are_told_apart() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
        for name in [
            "claude-2.1.197/.claude/projects/-home-dev-src-demo-app-one/aaaaaaaa-0001-4000-8000-000000000001.jsonl",
            "claude-2.1.329/.claude/projects/-home-dev-src-demo-app-one/aaaaaaaa-0004-4000-8000-000000000004.jsonl",
        ] {
            let text = std::fs::read(dir.join(name)).expect("a fixture");
            let steps: Vec<Step> = crate::agent::jsonl::whole_lines(&text).filter_map(step).collect();
            let prompts = steps.iter().filter(|step| matches!(&step.what, What::Prompt(text) if text.starts_with("Remember the codeword")));
            assert_eq!(prompts.count(), 1, "{name}");
            let count = |of: fn(&What) -> bool| steps.iter().filter(|step| of(&step.what)).count();
            let calls = count(|what| matches!(what, What::Calls { words, .. } if words.contains("wc -c notes/hello.txt")));
            let answers = count(|what| matches!(what, What::Answers { words, .. } if words.contains("23 notes/hello.txt")));
            assert_eq!((calls, answers), (1, 1), "{name}");
            assert!(steps.iter().all(|step| step.at.is_some()), "{name}");
        }
    }
}
