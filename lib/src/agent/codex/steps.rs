//! What each record of a rollout is: a person's words, the call of a tool, its result.
//!
//! One record at a time. A prompt is written in two or three forms, all of which are steps with the same words.

use serde::Deserialize;
use serde_json::Value;

use super::summary::words;
use crate::agent::asked::{Step, What};
use crate::time;

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    timestamp: String,
    #[serde(default)]
    payload: Payload,
}

#[derive(Deserialize, Default)]
struct Payload {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    call_id: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    item: Value,
    #[serde(default)]
    content: Value,
    /// Of a call: JSON in text, or an object, or plain text, by the kind of tool.
    #[serde(default)]
    arguments: Value,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    action: Value,
    #[serde(default)]
    output: Value,
}

pub fn step(record: &[u8]) -> Option<Step> {
    // Most of a rollout is neither, and some of it is long.
    if !["\"response_item\"", "\"event_msg\""].iter().any(|kind| memchr::memmem::find(record, kind.as_bytes()).is_some()) {
        return None;
    }
    let Record { kind, timestamp, payload } = serde_json::from_slice(record).ok()?;
    let prompt = |text: Option<&str>| text.and_then(words).map(|text| What::Prompt(text.to_owned()));
    let call = |words: &Value| Some(What::Calls { id: payload.call_id.clone(), words: words.to_string() });
    let what = match (&*kind, &*payload.kind) {
        ("event_msg", "item_completed") if payload.item["type"] == "UserMessage" => first_words(&payload.item["content"]),
        ("event_msg", "user_message") => prompt(payload.message.as_deref()),
        ("response_item", "message") if payload.role == "user" => first_words(&payload.content),
        ("response_item", "function_call") => call(&payload.arguments),
        ("response_item", "custom_tool_call") => call(&payload.input),
        ("response_item", "local_shell_call") => call(&payload.action),
        ("response_item", "function_call_output" | "custom_tool_call_output" | "local_shell_call_output") => {
            Some(What::Answers { id: payload.call_id, words: text(&payload.output) })
        }
        ("response_item" | "event_msg", _) => None,
        _ => return None,
    };
    Some(Step { at: time::parse(&timestamp), what: what.unwrap_or(What::Other) })
}

fn first_words(content: &Value) -> Option<What> {
    let parts = content.as_array()?.iter();
    parts.filter_map(|part| part["text"].as_str()).find_map(words).map(|text| What::Prompt(text.to_owned()))
}

/// An output is text, or an object with text in it, or parts of which some are.
fn text(output: &Value) -> String {
    match output {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        Value::Object(fields) => fields.get("content").or(fields.get("output")).map(text).unwrap_or_default(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A genuine rollout with several turns.
    #[test]
    fn steps_are_told_apart() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/codex-0.169.0/.codex/sessions/2026/11/21");
        let name = "rollout-2026-11-21T04-04-11-01a1fc46-a6a6-7301-b0ad-996ca49d9840.jsonl";
        let text = std::fs::read(dir.join(name)).expect("a fixture");
        let steps: Vec<Step> = crate::agent::jsonl::whole_lines(&text).filter_map(step).collect();
        let mut prompts: Vec<&str> = steps
            .iter()
            .filter_map(|step| match &step.what {
                What::Prompt(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        prompts.dedup();
        assert_eq!(prompts[..2], ["Remember the codeword DINGO-1212. Please write a file.", "More, number 1."]);
        let count = |of: fn(&What) -> bool| steps.iter().filter(|step| of(&step.what)).count();
        let calls = count(|what| matches!(what, What::Calls { words, .. } if words.contains("wc -c notes/hello.txt")));
        let answers = count(|what| matches!(what, What::Answers { words, .. } if words.contains("\n23 notes/hello.txt\n")));
        assert_eq!((calls, answers), (1, 1));
        assert!(steps.iter().all(|step| step.at.is_some()));
    }
}
