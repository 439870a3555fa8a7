//! The OpenAI Responses API as Codex uses it: a request's position in the conversation, and the reply to it.
//!
//! Knows nothing of HTTP and decides nothing: the scenario says what happens next, this file says it in the protocol.
//! Codex puts its own texts into messages of role `user`; they are never taken for a prompt, or turns would be
//! miscounted. The only tools spoken of are those that Codex offers to a model it does not know: `exec_command`, which
//! also takes patches as a here-document, and the namespace of the agents.
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::scenario::{Answer, Move, Position, Scenario, Step};
use super::{Reply, all_text, new_id, size};

/// How the texts begin that Codex adds by itself.
const INJECTED: &[&str] = &[
    "<environment_context>",
    "<user_instructions>",
    "<permissions",
    "<skills_",
    "<turn_aborted>",
    "# AGENTS.md",
    "<INSTRUCTIONS>",
    "<subagent_notification>",
    "<collaboration_mode>",
];

pub fn reply(body: &Value, scenario: &Scenario) -> Reply {
    let at = position(body);
    let Answer { next, side } = scenario.answer(&at, |_| true);
    let output = match next {
        Move::Text(text) => vec![message(&text)],
        Move::Step(step) => match tool_call(step, body) {
            Some(call) => vec![message(&format!("Step {}.", at.results + 1)), call],
            None => vec![message("No fitting tool was offered.")],
        },
    };
    let input_tokens = size(body);
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let whole = json!({
        "id": new_id("resp_"), "object": "response", "created_at": created, "status": "completed",
        "model": body["model"], "output": output, "error": null, "incomplete_details": null,
        "usage": {"input_tokens": input_tokens, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 20,
                  "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": input_tokens + 20},
    });
    Reply { at, events: events(&whole), whole, side }
}

fn position(body: &Value) -> Position {
    let mut at = Position::default();
    for item in items(&body["input"]) {
        if is_output(item) {
            at.results += 1;
        } else if item["role"] == "user" {
            let texts = items(&item["content"]).filter_map(|block| block["text"].as_str());
            let texts: Vec<&str> = texts.filter(|text| !text.trim().is_empty() && !is_injected(text)).collect();
            if !texts.is_empty() {
                at = Position { prompt: texts.join("\n"), turn: at.turn + 1, results: 0, cwd: String::new() };
            }
        }
    }
    // Said again after each move, so the last one counts.
    let told = all_text(&body["input"]);
    let last = told.rsplit_once("<cwd>").and_then(|(_, rest)| rest.split_once("</cwd>"));
    at.cwd = last.map_or_else(|| String::from("."), |(cwd, _)| cwd.to_owned());
    at
}

fn tool_call(step: Step, body: &Value) -> Option<Value> {
    let command = match step {
        Step::Run(command) => command,
        Step::Read(path) => format!("cat '{path}'"),
        Step::Write { path, content } => {
            let added: String = content.lines().map(|line| format!("+{line}\n")).collect();
            patch(&format!("*** Add File: {path}\n{added}"))
        }
        Step::Edit { path, old, new } => patch(&format!("*** Update File: {path}\n@@\n-{old}\n+{new}\n")),
        Step::Agent { prompt, .. } => return agent_call(body, "spawn_agent", json!({"message": prompt})),
        Step::AwaitAgents => {
            let arguments = json!({"targets": agents_of_this_turn(body), "timeout_ms": 60_000});
            return agent_call(body, "wait_agent", arguments);
        }
    };
    let offered = items(&body["tools"]).any(|tool| tool["name"] == "exec_command");
    // Without a long yield a command that outlasts ten seconds would go on in the background.
    let arguments = json!({"cmd": command, "yield_time_ms": 30_000});
    offered.then(|| function_call("exec_command", &arguments))
}

fn patch(hunk: &str) -> String {
    format!("apply_patch <<'PATCH'\n*** Begin Patch\n{hunk}*** End Patch\nPATCH")
}

/// The tools of the agents are offered inside a namespace, which a call has to name.
fn agent_call(body: &Value, name: &str, arguments: Value) -> Option<Value> {
    let mut namespaces = items(&body["tools"]).filter(|tool| tool["type"] == "namespace");
    let namespace = namespaces.find(|space| items(&space["tools"]).any(|tool| tool["name"] == name))?;
    let mut call = function_call(name, &arguments);
    call["namespace"] = namespace["name"].clone();
    Some(call)
}

/// The ids in the results at the end of the input, which are those of the current turn.
fn agents_of_this_turn(body: &Value) -> Vec<String> {
    let answers = items(&body["input"]).rev().take_while(|item| item["role"] != "user");
    answers
        .filter(|item| is_output(item))
        .filter_map(|item| serde_json::from_str::<Value>(item["output"].as_str()?).ok())
        .filter_map(|output| output["agent_id"].as_str().map(str::to_owned))
        .collect()
}

fn events(response: &Value) -> Vec<(&'static str, Value)> {
    let mut begun = response.clone();
    begun["output"] = json!([]);
    begun["status"] = "in_progress".into();
    begun["usage"] = Value::Null;
    let mut events = vec![("response.created", json!({"response": begun}))];
    for (index, item) in items(&response["output"]).enumerate() {
        let mut added = item.clone();
        added["status"] = "in_progress".into();
        let is_text = item["type"] == "message";
        if is_text {
            added["content"] = json!([]);
        }
        events.push(("response.output_item.added", json!({"output_index": index, "item": added})));
        if is_text {
            let delta = json!({"output_index": index, "item_id": item["id"], "content_index": 0,
                               "delta": item["content"][0]["text"]});
            events.push(("response.output_text.delta", delta));
        }
        events.push(("response.output_item.done", json!({"output_index": index, "item": item})));
    }
    events.push(("response.completed", json!({"response": response})));
    events
}

fn message(text: &str) -> Value {
    json!({"type": "message", "id": new_id("msg_"), "role": "assistant", "status": "completed",
           "content": [{"type": "output_text", "text": text, "annotations": []}]})
}

fn function_call(name: &str, arguments: &Value) -> Value {
    json!({"type": "function_call", "id": new_id("fc_"), "call_id": new_id("call_"), "name": name,
           "arguments": arguments.to_string(), "status": "completed"})
}

fn is_output(item: &Value) -> bool {
    item["type"].as_str().is_some_and(|kind| kind.ends_with("_output"))
}

fn is_injected(text: &str) -> bool {
    INJECTED.iter().any(|start| text.trim_start().starts_with(start))
}

fn items(list: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
