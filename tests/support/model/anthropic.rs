//! The Anthropic Messages API as Claude Code uses it: a request's position in the conversation, and the reply to it.
//!
//! Knows nothing of HTTP and decides nothing: the scenario says what happens next, this file says it in the protocol.
//! What the client injected (`<system-reminder>` above all) is never taken for a prompt, or turns would be miscounted.
use serde_json::{Value, json};

use super::scenario::{Answer, Move, Position, Scenario, Step};
use super::{Reply, all_text, join, new_id, size};

/// How the texts begin by which Claude Code tells of its own commands, and of interrupted calls.
const INJECTED: &[&str] = &["<local-command-", "<command-name>", "[Request interrupted"];

pub fn reply(body: &Value, scenario: &Scenario) -> Reply {
    let at = position(body);
    // The client itself waits for its agents before it ends, and tells their results in a reminder.
    let Answer { next, side } = scenario.answer(&at, |step| !matches!(step, Step::AwaitAgents));
    let offered: Vec<&str> = items(&body["tools"]).filter_map(|tool| tool["name"].as_str()).collect();
    let (content, stop) = match next {
        Move::Step(_) if offered.is_empty() => (json!([text_block("No tools were offered.")]), "end_turn"),
        Move::Step(step) => {
            let (name, input) = tool_call(step, &at.cwd, &offered);
            let call = json!({"type": "tool_use", "id": new_id("toolu_"), "name": name, "input": input});
            (json!([text_block(&format!("Step {}.", at.results + 1)), call]), "tool_use")
        }
        Move::Text(text) => (json!([text_block(&text)]), "end_turn"),
    };
    let whole = json!({
        "id": new_id("msg_"), "type": "message", "role": "assistant", "model": body["model"],
        "content": content, "stop_reason": stop, "stop_sequence": null,
        "usage": {"input_tokens": size(body), "output_tokens": 20,
                  "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
    });
    Reply { at, events: events(&whole), whole, side: side || offered.is_empty() }
}

pub fn token_count(body: &Value) -> Value {
    json!({"input_tokens": size(body)})
}

fn position(body: &Value) -> Position {
    let mut at = Position::default();
    for message in items(&body["messages"]).filter(|message| message["role"] == "user") {
        let results = items(&message["content"]).filter(|block| block["type"] == "tool_result").count();
        let prompt = prompt_of(&message["content"]);
        // A prompt that follows results directly (to summarize, or after an interrupted call) shares their message.
        if prompt.is_empty() {
            at.results += results;
        } else {
            at = Position { prompt, turn: at.turn + 1, results: 0, cwd: String::new() };
        }
    }
    at.cwd = declared_cwd(body);
    at
}

fn tool_call(step: Step, cwd: &str, offered: &[&str]) -> (&'static str, Value) {
    match step {
        Step::Run(command) => ("Bash", json!({"command": command, "description": "Run a command"})),
        Step::Write { path, content } => ("Write", json!({"file_path": join(cwd, &path), "content": content})),
        Step::Edit { path, old, new } => ("Edit", json!({"file_path": join(cwd, &path), "old_string": old, "new_string": new})),
        Step::Read(path) => ("Read", json!({"file_path": join(cwd, &path)})),
        Step::Agent { task, prompt } => {
            // Older clients call the same tool Task.
            let name = if offered.contains(&"Agent") { "Agent" } else { "Task" };
            (name, json!({"description": task, "prompt": prompt, "subagent_type": "general-purpose"}))
        }
        Step::AwaitAgents => unreachable!("left out when the scenario was asked"),
    }
}

fn events(message: &Value) -> Vec<(&'static str, Value)> {
    let mut start = message.clone();
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    let mut events = vec![("message_start", json!({"message": start}))];
    for (index, block) in items(&message["content"]).enumerate() {
        let (empty, delta) = if block["type"] == "text" {
            (text_block(""), json!({"type": "text_delta", "text": block["text"]}))
        } else {
            let mut empty = block.clone();
            empty["input"] = json!({});
            (empty, json!({"type": "input_json_delta", "partial_json": block["input"].to_string()}))
        };
        events.push(("content_block_start", json!({"index": index, "content_block": empty})));
        events.push(("content_block_delta", json!({"index": index, "delta": delta})));
        events.push(("content_block_stop", json!({"index": index})));
    }
    let delta = json!({"stop_reason": message["stop_reason"], "stop_sequence": null});
    let usage = json!({"output_tokens": message["usage"]["output_tokens"]});
    events.push(("message_delta", json!({"delta": delta, "usage": usage})));
    events.push(("message_stop", json!({})));
    events
}

fn prompt_of(content: &Value) -> String {
    let whole = content.as_str().into_iter();
    let blocks = items(content).filter(|block| block["type"] == "text").filter_map(|block| block["text"].as_str());
    let texts = whole.chain(blocks).map(without_reminders).map(|text| text.trim().to_owned());
    let texts: Vec<String> = texts.filter(|text| !text.is_empty() && !is_injected(text)).collect();
    texts.join("\n")
}

fn is_injected(text: &str) -> bool {
    INJECTED.iter().any(|start| text.starts_with(start))
}

fn without_reminders(text: &str) -> String {
    const OPEN: &str = "<system-reminder>";
    const CLOSE: &str = "</system-reminder>";
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, inside)) = rest.split_once(OPEN) {
        let Some((_, behind)) = inside.split_once(CLOSE) else { break };
        kept.push_str(before);
        rest = behind;
    }
    kept + rest
}

/// Older clients declare it in the system prompt, newer ones in messages of role `system`, once more after a move.
fn declared_cwd(body: &Value) -> String {
    let told: Value = items(&body["messages"]).filter(|message| message["role"] == "system").cloned().collect();
    let places = [&body["system"], &told, &body["messages"]];
    let found = places.iter().find_map(|place| last_cwd(&all_text(place)));
    found.unwrap_or_else(|| String::from("."))
}

fn last_cwd(text: &str) -> Option<String> {
    let (_, rest) = text.rsplit_once("orking directory: ")?;
    let line = rest.lines().next()?.trim_end();
    // After a move the line ends in "(was <old directory>)".
    let line = if line.ends_with(')') { line.rsplit_once(" (was ").map_or(line, |(new, _)| new) } else { line };
    Some(line.trim().to_owned()).filter(|cwd| !cwd.is_empty())
}

fn text_block(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
