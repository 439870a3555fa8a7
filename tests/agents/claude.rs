//! What only Claude Code has: sidecar files, rewinding, and its screen.

use std::fs;
use std::path::PathBuf;

use crate::scene::{CLAUDE, Computer, World, files};
use crate::support::agents::claude;

/// Everything of the session but the transcript: its path in the home without the project's name, and its bytes.
fn sidecars(computer: &Computer, id: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = computer.dir(CLAUDE);
    let own = files(&dir).into_iter().filter(|path| !path.iter().any(|part| part == ".samesession"));
    let beside = own.filter(|path| path.iter().any(|part| part == id));
    let name = |path: &PathBuf| match path.strip_prefix(computer.machine.claude_project()) {
        Ok(below) => below.to_owned(),
        Err(_) => path.strip_prefix(&dir).expect("it is in the home").to_owned(),
    };
    beside.map(|path| (name(&path), fs::read(&path).expect("it can be read"))).collect()
}

#[test]
fn claude_takes_its_subagents_and_long_outputs_along() {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = world.two();
    let first = claude::say(&laptop.ctx, None, "RUN-LONG Remember the codeword OKAPI-5502.").ok();
    let id = first.id();
    claude::say(&laptop.ctx, Some(id), "RUN-AGENT").ok();
    let left = sidecars(&laptop, id);
    for part in ["tool-results", "subagents"] {
        assert!(left.iter().any(|(name, _)| name.iter().any(|own| own == part)), "{part}: {left:#?}");
    }
    desktop.take(id, &laptop);
    assert!(sidecars(&desktop, id) == left);

    claude::say(&desktop.ctx, Some(id), "RUN-AGENT once more").ok();
    let sent = world.server.posts().into_iter().rfind(|request| request.says("once more")).expect("it was sent");
    assert!(sent.says("OKAPI-5502") && sent.says("The subagent has reported (turn 2)."));
    claude::say(&desktop.ctx, Some(id), "RUN-LONG once more").ok();
    let grown = sidecars(&desktop, id);
    assert!(grown.len() > left.len() && left.iter().all(|known| grown.contains(known)));
    laptop.take(id, &desktop);
    assert!(sidecars(&laptop, id) == grown);
    claude::say(&laptop.ctx, Some(id), "And now?").ok();
    assert!(world.last_talk_of(id).says("RUN-LONG once more"));
}

#[test]
fn claude_draws_what_was_said_elsewhere() {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = world.two();
    let terminal = claude::open(&laptop.ctx, &[]);
    terminal.wait_for("❯");
    terminal.say("Remember the codeword OKAPI-5502.");
    terminal.wait_for("looked at it (turn 1)");
    let id = world.server.last_talk().session().expect("a session has an id").to_owned();
    terminal.say("RUN-EDIT");
    laptop.written(CLAUDE, &id, "Edited (turn 2)");
    assert_eq!(laptop.listed(&id)["live"], true);
    drop(terminal);
    assert_eq!(laptop.listed(&id)["live"], false);
    assert!(sidecars(&laptop, &id).iter().any(|(name, _)| name.starts_with("file-history")));

    desktop.take(&id, &laptop);
    assert!(sidecars(&desktop, &id) == sidecars(&laptop, &id));
    let left = desktop.bytes(CLAUDE, &id);
    let terminal = claude::open(&desktop.ctx, &["--resume", &id]);
    terminal.wait_for("OKAPI-5502");
    terminal.wait_for("Edited (turn 2)");
    terminal.say("Third, on the desktop.");
    desktop.written(CLAUDE, &id, "Plain answer in turn 3");
    let sent = world.last_talk_of(&id);
    assert!(sent.says("OKAPI-5502"));
    assert_eq!(sent.at.cwd, desktop.cwd());
    drop(terminal);
    assert!(desktop.bytes(CLAUDE, &id).starts_with(&left));

    // Home again, by the way that asks for no id.
    laptop.take(&id, &desktop);
    let terminal = claude::open(&laptop.ctx, &["--continue"]);
    terminal.wait_for("Third, on the desktop.");
}
