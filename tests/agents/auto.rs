//! The real agents where `auto on` was said and nothing else: each turn is a checkpoint, by their hooks and by the watcher.

use crate::hooks::{is_kept, is_sent, two};
use crate::scene::{CLAUDE, CODEX, Computer, Kind, World};
use crate::support::agents::eventually;
use crate::support::sandbox::Machine;

#[test]
fn claude_is_looked_after_by_its_hooks() {
    after_each_turn(CLAUDE, &["auto", "on"], "hooks");
}

/// Nobody has said that its hooks are trusted: what it calls without is enough.
#[test]
fn codex_is_looked_after_by_what_it_calls_after_a_turn() {
    after_each_turn(CODEX, &["auto", "on"], "hooks");
}

#[test]
fn claude_is_looked_after_by_the_watcher() {
    after_each_turn(CLAUDE, &["auto", "on", "--every", "1s", "--push"], "watcher");
}

#[test]
fn codex_is_looked_after_by_the_watcher() {
    after_each_turn(CODEX, &["auto", "on", "--every", "1s", "--push"], "watcher");
}

fn after_each_turn(kind: Kind, auto: &[&str], by: &str) {
    let Some(world) = World::new() else { return };
    let (laptop, _) = two(&world);
    // The home of an agent that was never used is not there.
    std::fs::create_dir_all(laptop.dir(kind)).expect("made");
    laptop.machine.run(auto).ok();
    let status = laptop.machine.json(["auto", "status"]);
    let agents = status["agents"].as_array().expect("a list");
    assert!(agents.iter().any(|one| one["agent"] == kind.name && one["by"] == by), "{status:#}");
    let first = (kind.say)(&laptop.ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    let id = first.id();
    is_looked_after(&laptop, kind, id, by);
    (kind.say)(&laptop.ctx, Some(id), "Second, on the laptop.").ok();
    is_looked_after(&laptop, kind, id, by);
    laptop.machine.run(["auto", "off"]).ok();
    eventually("nobody watches", || laptop.machine.json(["auto", "status"])["watcher"]["running"] == false);
    at_rest(&laptop.machine);
}

#[track_caller]
fn is_looked_after(laptop: &Computer, kind: Kind, id: &str, by: &str) {
    if by == "watcher" { is_sent(laptop, kind, id) } else { is_kept(laptop, kind, id) }
}

/// Nothing goes on in the home that is about to be removed.
fn at_rest(machine: &Machine) {
    let home = format!("HOME={}", machine.home.display());
    let busy = || {
        std::fs::read_dir("/proc").into_iter().flatten().flatten().any(|entry| {
            let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&read("cmdline")).contains("--foreground")
                && read("environ").split(|byte| *byte == 0).any(|var| var == home.as_bytes())
        })
    };
    eventually("the work in the background ends", || !busy());
}
