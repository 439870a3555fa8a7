//! The real agents' sessions from one home to another and back with nothing but `git`.

use std::fs;

use crate::scene::{CLAUDE, CODEX, Computer, Kind, World};

const SEND: &str = "refs/samesession-remote/agents/*:refs/samesession/*";
const BRING: &str = "+refs/samesession/*:refs/samesession-remote/origin/*";
const GIVE: &str = "refs/samesession-remote/origin/*:refs/samesession/*";

/// Believes what the other one signs, and lets it read what begins here.
fn meets(one: &Computer, other: &Computer) {
    let config = ".config/samesession";
    let key = fs::read_to_string(other.machine.home.join(config).join("device/signing_key.pub")).expect("a key");
    let line = format!("{} namespaces=\"samesession,git\" {key}", other.machine.name);
    fs::write(one.machine.home.join(config).join("known_signers"), line).expect("written");
    one.machine.git(["config", "samesession.recipient", &other.machine.recipient()]);
}

fn git_alone(kind: Kind) {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = world.two();
    let origin = world.sandbox.path().join("origin.git");
    let origin = origin.to_str().expect("UTF-8");
    laptop.machine.git(["init", "-q", "--bare", origin]);
    for computer in [&laptop, &desktop] {
        computer.machine.git(["init", "-q"]);
        computer.machine.git(["remote", "add", "origin", origin]);
        computer.machine.git(["config", "remote.agents.url", "session::"]);
        computer.machine.git(["config", "remote.agents.fetch", "+refs/samesession/*:refs/samesession-remote/agents/*"]);
    }
    laptop.machine.git(["commit", "-q", "--allow-empty", "-m", "x"]);
    laptop.machine.git(["push", "-q", "origin", "HEAD:refs/heads/main"]);
    desktop.machine.git(["pull", "-q", "origin", "main"]);
    meets(&laptop, &desktop);
    meets(&desktop, &laptop);

    let first = (kind.say)(&laptop.ctx, None, "Remember the codeword OKAPI-5502.").ok();
    let id = first.id().to_owned();
    let over = |from: &Computer, to: &Computer| {
        from.machine.git(["fetch", "-q", "agents"]);
        from.machine.git(["push", "-q", "origin", SEND]);
        to.machine.git(["fetch", "-q", "origin", BRING]);
        to.machine.git(["push", "-q", "agents", GIVE]);
    };
    over(&laptop, &desktop);
    (kind.say)(&desktop.ctx, Some(&id), "Second, on the desktop.").ok();
    let sent = world.last_talk_of(&id);
    assert!(sent.says("OKAPI-5502") && sent.says("Second, on the desktop."));
    over(&desktop, &laptop);
    (kind.say)(&laptop.ctx, Some(&id), "Third, at home.").ok();
    let sent = world.last_talk_of(&id);
    assert!(sent.says("OKAPI-5502") && sent.says("Second, on the desktop."));
}

#[test]
fn git_alone_carries_a_session_of_claude_code() {
    git_alone(CLAUDE);
}

#[test]
fn git_alone_carries_a_session_of_codex() {
    git_alone(CODEX);
}
