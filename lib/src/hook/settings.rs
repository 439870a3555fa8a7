//! Our entries in an agent's settings: under `hooks`, by event, beside everybody else's.
//!
//! The shape is Claude Code's, which Codex has taken over: `{"hooks": {EVENT: [{"hooks": [{"type": "command", ...}]}]}}`.
//! What must stay true: an entry is ours by the program that it runs, wherever somebody has moved it.

use serde_json::Value;

use super::json::{self, Kind, Node};
use super::{Reach, agent_command, is_ours};

const HOOKS: &str = "hooks";

/// The text with our entry for each of these events, each once and as it is written today.
pub fn with(text: &str, agent: &str, events: &[&str], reach: Reach) -> Result<String, String> {
    let mut text = if text.trim().is_empty() { "{}\n".to_owned() } else { text.to_owned() };
    for event in events {
        let command = agent_command(agent, event, reach);
        if commands(&text, event)?.iter().filter(|known| is_ours(known)).eq([&command]) {
            continue;
        }
        text = without_event(&text, event)?;
        text = with_event(&text, event, &command)?;
    }
    Ok(text)
}

/// The text without any entry of ours.
pub fn without(text: &str) -> Result<String, String> {
    let mut text = text.to_owned();
    for event in events(&text)? {
        text = without_event(&text, &event)?;
    }
    Ok(text)
}

/// The events for which the text has an entry of ours.
pub fn installed(text: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for event in events(text)? {
        if commands(text, &event)?.iter().any(|command| is_ours(command)) {
            found.push(event);
        }
    }
    Ok(found)
}

fn events(text: &str) -> Result<Vec<String>, String> {
    let root = object(text)?;
    let Some(hooks) = root.member(HOOKS) else { return Ok(Vec::new()) };
    match &hooks.value.kind {
        Kind::Object(members) => Ok(members.iter().map(|member| member.key.clone()).collect()),
        _ => Err("'hooks' is not an object".to_owned()),
    }
}

/// Every command of an event.
fn commands(text: &str, event: &str) -> Result<Vec<String>, String> {
    let root = object(text)?;
    let Some(groups) = root.member(HOOKS).and_then(|hooks| hooks.value.member(event)) else { return Ok(Vec::new()) };
    let handlers = groups.value.items().iter().filter_map(|group| group.member(HOOKS)).flat_map(|hooks| hooks.value.items());
    Ok(handlers.filter_map(|handler| command(text, handler)).collect())
}

fn command(text: &str, handler: &Node) -> Option<String> {
    let command = handler.member("command")?;
    match serde_json::from_str(&text[command.value.span.clone()]) {
        Ok(Value::String(command)) => Some(command),
        _ => None,
    }
}

fn with_event(text: &str, event: &str, command: &str) -> Result<String, String> {
    let root = object(text)?;
    let command = Value::from(command);
    let group = format!("{{\n  \"hooks\": [\n    {{\n      \"type\": \"command\",\n      \"command\": {command}\n    }}\n  ]\n}}");
    let nested = |text: &str| text.lines().map(|line| format!("\n  {line}")).collect::<String>();
    let list = format!("{}: [{}\n]", Value::from(event), nested(&group));
    Ok(match root.member(HOOKS).map(|hooks| &hooks.value) {
        None => json::add(text, &root, &format!("\"{HOOKS}\": {{{}\n}}", nested(&list))),
        Some(hooks) if !matches!(hooks.kind, Kind::Object(_)) => return Err("'hooks' is not an object".to_owned()),
        Some(hooks) => match hooks.member(event).map(|member| &member.value) {
            None => json::add(text, hooks, &list),
            Some(groups) if !matches!(groups.kind, Kind::Array(_)) => return Err(format!("'hooks.{event}' is not a list")),
            Some(groups) => json::add(text, groups, &group),
        },
    })
}

/// One at a time, and what is empty without it goes, too.
fn without_event(text: &str, event: &str) -> Result<String, String> {
    let mut text = text.to_owned();
    loop {
        let root = object(&text)?;
        let Some((h, hooks)) = place(&root, HOOKS) else { return Ok(text) };
        let Some((e, groups)) = place(hooks, event) else { return Ok(text) };
        let mut found = None;
        for (g, group) in groups.items().iter().enumerate() {
            let handlers = group.member(HOOKS).map(|hooks| &hooks.value);
            let ours = |handler: &Node| command(&text, handler).is_some_and(|command| is_ours(&command));
            let n = handlers.and_then(|handlers| handlers.items().iter().position(ours));
            if let (Some(handlers), Some(n)) = (handlers, n) {
                found = Some((g, handlers, n));
                break;
            }
        }
        let Some((g, handlers, n)) = found else { return Ok(text) };
        text = match (handlers.items().len(), groups.items().len(), members(hooks)) {
            (1, 1, 1) => json::remove(&text, &root, h),
            (1, 1, _) => json::remove(&text, hooks, e),
            (1, ..) => json::remove(&text, groups, g),
            _ => json::remove(&text, handlers, n),
        };
    }
}

/// The place of a member among its siblings.
fn place<'a>(of: &'a Node, key: &str) -> Option<(usize, &'a Node)> {
    let Kind::Object(members) = &of.kind else { return None };
    members.iter().rposition(|member| member.key == key).map(|n| (n, &members[n].value))
}

fn members(of: &Node) -> usize {
    match &of.kind {
        Kind::Object(members) => members.len(),
        _ => 0,
    }
}

fn object(text: &str) -> Result<Node, String> {
    let root = json::parse(text)?;
    if matches!(root.kind, Kind::Object(_)) { Ok(root) } else { Err("it is not an object".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: &[&str] = &["SessionStart", "Stop"];

    #[test]
    fn entries_come_and_go_and_leave_everything_else() {
        for text in [
            "{\n  \"model\": \"opus\",\n  \"unknown\": {\"deep\": [1,2 , 3]}\n}\n",
            "{\"hooks\":{\"Stop\":[{\"hooks\":[{\"type\":\"command\",\"command\":\"mine\"}]}]}}",
            "{\n\t\"hooks\": {\n\t\t\"Stop\": [\n\t\t\t{\n\t\t\t\t\"matcher\": \"\",\n\t\t\t\t\"hooks\": [{ \"type\": \"command\", \"command\": \"a\" }]\n\t\t\t}\n\t\t],\n\t\t\"PreToolUse\": []\n\t},\n\t\"z\": null\n}",
        ] {
            let once = with(text, "claude", EVENTS, Reach::Stores).expect("well formed");
            assert_eq!(installed(&once).expect("JSON").len(), 2, "{once}");
            assert_eq!(with(&once, "claude", EVENTS, Reach::Stores).expect("well formed"), once);
            assert_eq!(without(&once).expect("well formed"), text);
            let before: Value = serde_json::from_str(text).expect("JSON");
            let after: Value = serde_json::from_str(&once).expect("JSON");
            for (key, value) in before.as_object().expect("an object").iter().filter(|(key, _)| *key != "hooks") {
                assert_eq!(&after[key], value);
            }
        }
    }

    #[test]
    fn an_entry_of_another_time_is_replaced_and_not_doubled() {
        let old = with("{}", "claude", EVENTS, Reach::Here).expect("well formed");
        let new = with(&old, "claude", EVENTS, Reach::Stores).expect("well formed");
        assert_eq!(commands(&new, "Stop").expect("JSON"), [agent_command("claude", "Stop", Reach::Stores)]);
    }

    #[test]
    fn ours_goes_from_among_others_of_the_same_group() {
        let ours = Value::from(agent_command("claude", "Stop", Reach::Here));
        let text =
            format!("{{\"hooks\":{{\"Stop\":[{{\"hooks\":[{{\"command\":\"a\"}},{{\"command\":{ours}}},{{\"command\":\"b\"}}]}}]}}}}");
        assert_eq!(without(&text).expect("JSON"), "{\"hooks\":{\"Stop\":[{\"hooks\":[{\"command\":\"a\"},{\"command\":\"b\"}]}]}}");
    }

    #[test]
    fn an_empty_file_is_an_empty_object_and_nonsense_is_refused() {
        assert!(
            with("", "codex", EVENTS, Reach::Here).expect("empty").starts_with("{\n  \"hooks\": {\n    \"SessionStart\": [\n      {\n")
        );
        for text in ["[]", "{\"hooks\": []}", "{\"hooks\": {\"Stop\": {}}}", "{\"hooks\": {}", "nonsense"] {
            assert!(with(text, "codex", EVENTS, Reach::Here).is_err(), "{text}");
        }
    }
}
