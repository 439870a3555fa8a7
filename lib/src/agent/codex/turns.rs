//! Whether a rollout's last turn has come to its end: Codex writes when each begins, and how it ends.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::Deserialize;

/// So much of the end is read: a turn's last records are its answer and the count of its tokens.
const TAIL: u64 = 1 << 20;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    kind: &'a str,
    #[serde(borrow)]
    payload: Event<'a>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: &'a str,
}

/// `None` where neither stands in what was read: an older form, or a turn that is very long already.
pub fn is_open(rollout: &Path) -> Option<bool> {
    let file = File::open(rollout).ok()?;
    let size = file.metadata().ok()?.len();
    let from = size.saturating_sub(TAIL);
    let mut tail = vec![0; usize::try_from(size - from).ok()?];
    file.read_exact_at(&mut tail, from).ok()?;
    let says = |line: &[u8]| {
        let line: Line<'_> = serde_json::from_slice(line).ok()?;
        match (line.kind, line.payload.kind) {
            ("event_msg", "task_started" | "turn_started") => Some(true),
            ("event_msg", "task_complete" | "turn_complete" | "turn_aborted") => Some(false),
            _ => None,
        }
    };
    tail.rsplit(|byte| *byte == b'\n').find_map(says)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_turn_is_open_until_its_end_is_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("rollout.jsonl");
        let event = |kind: &str| format!("{{\"type\":\"event_msg\",\"payload\":{{\"type\":\"{kind}\"}}}}\n");
        let other = "{\"type\":\"response_item\",\"payload\":{\"type\":\"message\",\"text\":\"task_complete\"}}\n";
        for (text, open) in [
            (String::new(), None),
            (other.to_owned(), None),
            (event("task_started") + other, Some(true)),
            (event("task_started") + other + &event("task_complete") + other, Some(false)),
            (event("task_started") + &event("turn_aborted") + "{\"type\":\"event_msg\",\"payl", Some(false)),
            (event("task_complete") + &event("task_started"), Some(true)),
        ] {
            std::fs::write(&path, &text).expect("written");
            assert_eq!(is_open(&path), open, "{text}");
        }
    }
}
