//! `fork` and `move --deactivate`, as the agents themselves see what was done.

use crate::scene::{CLAUDE, CODEX, Kind, World};

#[test]
fn claude_goes_on_with_a_copy_and_with_the_first_one() {
    forked(CLAUDE);
}

#[test]
fn codex_goes_on_with_a_copy_and_with_the_first_one() {
    forked(CODEX);
}

fn forked(kind: Kind) {
    let Some(world) = World::new() else { return };
    let laptop = world.computer("laptop", "src/demo.app_one");
    let first = (kind.say)(&laptop.ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    let id = first.id();
    let before = laptop.bytes(kind, id);
    world.server.forget();
    let fork = laptop.machine.json(["fork", id]);
    assert!(world.server.posts().is_empty(), "no model is asked");
    let new = fork["native_id"].as_str().expect("an id");
    assert_eq!(fork["reached"], "discoverable", "{fork:#}");
    let reply = (kind.say)(&laptop.ctx, Some(new), "In the copy.").ok();
    assert_eq!(reply.id(), new);
    assert!(world.last_talk_of(new).says("QUOKKA-7731"));
    assert_eq!(laptop.bytes(kind, id), before);
    (kind.say)(&laptop.ctx, Some(id), "In the first one.").ok();
    let sent = world.last_talk_of(id);
    assert!(sent.says("QUOKKA-7731") && !sent.says("In the copy."));
    // The copy goes on whatever becomes of what it is a copy of.
    std::fs::remove_file(laptop.transcript(kind, id)).expect("removed");
    (kind.say)(&laptop.ctx, Some(new), "Once more in the copy.").ok();
    let sent = world.last_talk_of(new);
    assert!(sent.says("QUOKKA-7731") && sent.says("In the copy.") && !sent.says("In the first one."));
}

#[test]
fn claude_does_not_go_on_with_what_was_put_aside() {
    put_aside(CLAUDE);
}

#[test]
fn codex_does_not_go_on_with_what_was_put_aside() {
    put_aside(CODEX);
}

fn put_aside(kind: Kind) {
    let Some(world) = World::new() else { return };
    let laptop = world.computer("laptop", "src/demo.app_one");
    let origin = world.sandbox.path().join("origin.git");
    let origin = origin.to_str().expect("text");
    laptop.machine.git(["init", "-q", "--bare", origin]);
    laptop.machine.git(["init", "-q"]);
    laptop.machine.git(["remote", "add", "origin", origin]);
    let first = (kind.say)(&laptop.ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    let id = first.id();
    let moved = laptop.machine.json(["move", id, "--deactivate"]);
    let undo = moved["put_aside"].as_str().unwrap_or_else(|| panic!("{moved:#}"));
    world.server.forget();
    let refused = (kind.say)(&laptop.ctx, Some(id), "Still there?");
    assert!(!refused.status.success() && world.server.posts().is_empty(), "{}{}", refused.stdout, refused.stderr);
    laptop.machine.run(["undo", undo]).ok();
    assert_eq!((kind.say)(&laptop.ctx, Some(id), "Back again?").ok().id(), id);
    assert!(world.last_talk_of(id).says("QUOKKA-7731"));
    // Put aside again, it comes home by `resume`.
    laptop.machine.run(["lease", "release", id]).ok();
    laptop.machine.json(["move", id, "--deactivate"]);
    laptop.machine.run(["resume", id, "--no-launch"]).ok();
    assert_eq!((kind.say)(&laptop.ctx, Some(id), "And home.").ok().id(), id);
    let sent = world.last_talk_of(id);
    assert!(sent.says("QUOKKA-7731") && sent.says("Back again?"));
}
