//! A session that is being worked in: captured as it stands, shown as what it is, and left alone.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::scene::{CLAUDE, CODEX, HOLD, Kind, World};

#[test]
fn claude_is_captured_at_work_and_not_disturbed() {
    captured_at_work(CLAUDE);
}

#[test]
fn codex_is_captured_at_work_and_not_disturbed() {
    captured_at_work(CODEX);
}

fn captured_at_work(kind: Kind) {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = world.two();
    let first = (kind.say)(&laptop.ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    let id = first.id();
    assert_eq!(laptop.listed(id)["live"], false);
    world.server.forget();
    let mut turn = (kind.start)(&laptop.ctx, Some(id), HOLD);
    laptop.written(kind, id, "seq 300");
    // Claude Code adds a few records of its own when the call has begun.
    thread::sleep(Duration::from_secs(1));
    assert_eq!(laptop.listed(id)["live"], true);

    let before = laptop.bytes(kind, id);
    let capsule = laptop.machine.home.join("at-work.capsule");
    let recipient = desktop.machine.recipient();
    let sealed = laptop.machine.run([
        "checkpoint".as_ref(),
        id.as_ref(),
        "-o".as_ref(),
        capsule.as_os_str(),
        "-r".as_ref(),
        recipient.as_ref(),
        "--json".as_ref(),
    ]);
    let sealed = sealed.ok();
    assert!(sealed.stderr().contains("how it stood when the capture began"), "{}", sealed.stderr());
    let answer: Value = sealed.json();
    assert_eq!((&answer["native_id"], &answer["live"]), (&id.into(), &true.into()), "{answer:#}");
    let after = laptop.bytes(kind, id);
    desktop.restore(&capsule, &laptop);
    let cut = desktop.bytes(kind, id);
    assert!(cut.ends_with(b"\n") && cut.starts_with(&before[..whole(&before)]) && after.starts_with(&cut));

    // There it goes on from the middle of the turn.
    (kind.say)(&desktop.ctx, Some(id), "Still there?").ok();
    let sent = world.last_talk_of(id);
    assert!(sent.says("QUOKKA-7731") && sent.says("seq 300") && sent.says("Still there?"));
    let grown = desktop.seal(id, &laptop);
    let refused = laptop.try_restore(&grown, &desktop);
    // Had the agent written anything since, it would be refused as another story.
    let why = if laptop.bytes(kind, id) == cut { "has this session open" } else { "error: " };
    refused.fails(1, why);
    assert!(turn.is_running());
    assert!(laptop.bytes(kind, id).starts_with(&after));

    fs::write(laptop.machine.cwd.join("go"), "").expect("the project can be written");
    let reply = turn.wait().ok();
    assert_eq!((reply.id(), &*reply.text), (id, "Command run (turn 2)."));
    assert_eq!(laptop.listed(id)["live"], false);
    assert!(laptop.bytes(kind, id).starts_with(&after));
    laptop.try_restore(&grown, &desktop).fails(1, "went its own way");
    (kind.say)(&laptop.ctx, Some(id), "On with it.").ok();
    assert!(world.last_talk_of(id).says("held"));
}

/// Up to the last newline.
fn whole(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)
}
