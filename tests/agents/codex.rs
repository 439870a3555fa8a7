//! What only Codex has: forks, an index that is right or wrong, names, an archive, packed rollouts, threads as helpers.

use std::ffi::OsStr;
use std::fs;
use std::process::Command;

use serde_json::json;

use crate::scene::{CODEX, Computer, World, files};
use crate::support::agents::pty::Terminal;
use crate::support::agents::{codex, eventually};

/// A session that was had at a terminal, which the picker shows without being asked to; its id.
fn talk_at_a_terminal(world: &World, computer: &Computer, name: Option<&str>) -> String {
    let terminal = codex::open(&computer.ctx, &[]);
    terminal.wait_for("›");
    terminal.say("Remember the codeword WOMBAT-4410.");
    terminal.wait_for("looked at it (turn 1)");
    let id = world.server.last_talk().session().expect("a session has an id").to_owned();
    computer.written(CODEX, &id, "looked at it (turn 1)");
    if let Some(name) = name {
        terminal.say(&format!("/rename {name}"));
        eventually("the session's new name", || computer.listed(&id)["title"] == name);
    }
    id
}

/// Codex at a terminal, as soon as this is on its screen.
#[track_caller]
fn shows(computer: &Computer, args: &[&str], text: &str) -> Terminal {
    let terminal = codex::open(&computer.ctx, args);
    terminal.wait_for(text);
    terminal
}

#[test]
fn codex_takes_the_ancestors_of_a_fork_along() {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = world.two();
    let parent = codex::say(&laptop.ctx, None, "Remember the codeword WOMBAT-4410.").ok();
    let fork = codex::fork(&laptop.ctx, parent.id(), "The fork's way.").ok();
    let grandchild = codex::fork(&laptop.ctx, fork.id(), "The grandchild's way.").ok();
    codex::say(&laptop.ctx, Some(parent.id()), "The parent's way.").ok();

    desktop.take(grandchild.id(), &laptop);
    for id in [parent.id(), fork.id(), grandchild.id()] {
        assert!(desktop.bytes(CODEX, id) == laptop.bytes(CODEX, id));
    }
    codex::say(&desktop.ctx, Some(grandchild.id()), "And now?").ok();
    let sent = world.last_talk_of(grandchild.id());
    for said in ["WOMBAT-4410", "The fork's way.", "The grandchild's way.", "And now?"] {
        assert!(sent.says(said), "{said}");
    }
    assert!(!sent.says("The parent's way."));

    // Ancestors are sessions in their own right, there and on the way back.
    codex::say(&desktop.ctx, Some(parent.id()), "The parent, on the desktop.").ok();
    assert!(world.last_talk_of(parent.id()).says("The parent's way."));
    laptop.take(grandchild.id(), &desktop);
    codex::say(&laptop.ctx, Some(grandchild.id()), "At home.").ok();
    let sent = world.last_talk_of(grandchild.id());
    assert!(sent.says("WOMBAT-4410") && sent.says("And now?"));
    codex::say(&laptop.ctx, Some(parent.id()), "At home.").ok();
    assert!(world.last_talk_of(parent.id()).says("The parent, on the desktop."));
}

#[test]
fn codex_lists_a_restored_session_among_its_own() {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = world.two();
    codex::say(&desktop.ctx, None, "Remember the codeword OWN-0001.").ok();
    codex::say(&world.computer_of(&desktop.machine.at(desktop.machine.home.join("other"))).ctx, None, "OWN-0002").ok();
    let id = talk_at_a_terminal(&world, &laptop, None);
    let answer = desktop.take(&id, &laptop);
    assert_eq!(answer["notes"].as_array().map(Vec::len), Some(0), "{answer:#}");

    // The title that Codex has given it has come along.
    let terminal = shows(&desktop, &["resume"], "Scripted session");
    assert!(terminal.screen().contains("1 / 1"), "{}", terminal.screen());
    terminal.press("Enter");
    terminal.wait_for("WOMBAT-4410");
    drop(terminal);
    let terminal = shows(&desktop, &["resume", "--last"], "WOMBAT-4410");
    terminal.say("On the desktop.");
    desktop.written(CODEX, &id, "Plain answer in turn 2");
    let sent = world.last_talk_of(&id);
    assert!(sent.says("WOMBAT-4410"));
    assert_eq!(sent.at.cwd, desktop.cwd());
    drop(terminal);
    codex::say(&desktop.ctx, Some(&id), "By its id.").ok();
    assert_eq!(world.last_talk_of(&id).at.turn, 3);
}

#[test]
fn codex_takes_a_restored_session_for_the_last_one() {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = world.two();
    codex::say(&desktop.ctx, None, "Remember the codeword OWN-0001.").ok();
    let first = codex::say(&laptop.ctx, None, "Remember the codeword WOMBAT-4410.").ok();
    desktop.take(first.id(), &laptop);
    codex::say_last(&desktop.ctx, true, "The last of all.").ok();
    assert!(world.last_talk_of(first.id()).says("WOMBAT-4410"));
    // From now on Codex has seen it in this directory.
    codex::say_last(&desktop.ctx, false, "The last one here.").ok();
    assert_eq!(world.last_talk_of(first.id()).at.turn, 3);
}

#[test]
fn codex_finds_a_session_by_its_name() {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = world.two();
    let id = talk_at_a_terminal(&world, &laptop, Some("wombat house"));
    codex::say(&desktop.ctx, None, "Remember the codeword OWN-0001.").ok();
    desktop.take(&id, &laptop);
    assert_eq!(desktop.listed(&id)["title"], "wombat house");
    drop(shows(&desktop, &["resume", "wombat house"], "WOMBAT-4410"));
    // Without a terminal it looks through the directories that the rollouts name.
    let args = ["exec", "--skip-git-repo-check", "resume", "--all", "wombat house", "By its name."];
    assert!(codex::run(&desktop.ctx, &args).status.success());
    assert!(world.last_talk_of(&id).says("WOMBAT-4410"));
}

/// Where it never ran there is no index to tell, and the one that it makes knows neither name nor directory.
#[test]
fn codex_learns_of_a_session_that_was_there_before_it() {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = world.two();
    let id = talk_at_a_terminal(&world, &laptop, Some("wombat house"));
    let capsule = laptop.seal(&id, &desktop);
    let answer = desktop.restore(&capsule, &laptop);
    assert!(answer["notes"].to_string().contains("restore it once more"), "{answer:#}");
    drop(shows(&desktop, &["resume"], "No sessions yet"));
    let answer = desktop.restore(&capsule, &laptop);
    assert_eq!((&answer["relation"], &answer["notes"]), (&"same".into(), &json!([])), "{answer:#}");
    drop(shows(&desktop, &["resume"], "wombat house"));
    let terminal = shows(&desktop, &["resume", "wombat house"], "WOMBAT-4410");
    terminal.say("On the desktop.");
    desktop.written(CODEX, &id, "Plain answer in turn 2");
    assert_eq!(world.last_talk_of(&id).at.cwd, desktop.cwd());
}

/// Codex looks a thread up by the path in its index, and nowhere else.
#[test]
fn codex_is_told_when_its_index_is_wrong() {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = world.two();
    let first = codex::say(&laptop.ctx, None, "Remember the codeword WOMBAT-4410.").ok();
    let id = first.id();
    desktop.take(id, &laptop);
    codex::say(&desktop.ctx, Some(id), "On the desktop.").ok();
    laptop.take(id, &desktop);
    codex::say(&laptop.ctx, Some(id), "At home.").ok();
    let capsule = laptop.seal(id, &desktop);

    // A copy of the home beside the first one: Codex would go on in the first one's file.
    let twin = desktop.machine.home.with_file_name("twin");
    let copied = Command::new("cp").arg("-a").args([&desktop.machine.home, &twin]).status();
    assert!(copied.expect("cp can be started").success());
    let twin = world.computer_of(&desktop.machine.homed(&twin).at(twin.join("work")));
    let kept = desktop.bytes(CODEX, id);
    twin.restore(&capsule, &laptop);
    codex::say(&twin.ctx, Some(id), "In the copy.").ok();
    let sent = world.last_talk_of(id);
    assert!(sent.says("On the desktop.") && sent.says("At home."));
    assert!(desktop.bytes(CODEX, id) == kept);
    assert!(twin.bytes(CODEX, id).len() > kept.len());

    // A home that moved away from where its index says it is.
    let moved = desktop.machine.home.with_file_name("moved");
    fs::rename(&desktop.machine.home, &moved).expect("a home can be moved");
    let moved = world.computer_of(&desktop.machine.homed(&moved).at(moved.join("work")));
    let refused = codex::say(&moved.ctx, Some(id), "Lost?");
    assert!(!refused.status.success(), "{refused:#?}");
    moved.restore(&capsule, &laptop);
    codex::say(&moved.ctx, Some(id), "After the move.").ok();
    assert!(world.last_talk_of(id).says("At home."));

    // A rollout that somebody put into the folder of another day.
    let stands = moved.transcript(CODEX, id);
    let other = moved.dir(CODEX).join("sessions/2020/01/02").join(stands.file_name().expect("a file has a name"));
    fs::create_dir_all(other.parent().expect("it has a folder")).expect("the home can be written");
    fs::rename(&stands, &other).expect("a rollout can be moved");
    assert!(!codex::say(&moved.ctx, Some(id), "Lost?").status.success());
    laptop.take(id, &moved);
    codex::say(&laptop.ctx, Some(id), "At home again.").ok();
    moved.take(id, &laptop);
    codex::say(&moved.ctx, Some(id), "Found.").ok();
    let sent = world.last_talk_of(id);
    assert!(sent.says("After the move.") && sent.says("At home again."));
    moved.transcript(CODEX, id);
}

#[test]
fn codex_archives_and_brings_back() {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = world.two();
    let first = codex::say(&laptop.ctx, None, "Remember the codeword WOMBAT-4410.").ok();
    let id = first.id();
    // Archived there, it travels all the same and is no archived one here.
    assert!(codex::run(&laptop.ctx, &["archive", id]).status.success());
    assert_eq!(laptop.listed(id)["archived"], true);
    desktop.take(id, &laptop);
    codex::say(&desktop.ctx, Some(id), "On the desktop.").ok();
    assert!(world.last_talk_of(id).says("WOMBAT-4410"));

    // At home it stays where its user has put it, and says so.
    let answer = laptop.take(id, &desktop);
    assert_eq!((&answer["relation"], &answer["reached"]), (&"behind".into(), &"installed".into()), "{answer:#}");
    assert!(answer["notes"].to_string().contains(&format!("codex unarchive {id}")), "{answer:#}");
    assert!(laptop.transcript(CODEX, id).starts_with(laptop.dir(CODEX).join("archived_sessions")));
    assert!(codex::run(&laptop.ctx, &["unarchive", id]).status.success());
    codex::say(&laptop.ctx, Some(id), "At home.").ok();
    let sent = world.last_talk_of(id);
    assert!(sent.says("WOMBAT-4410") && sent.says("On the desktop."));
    laptop.transcript(CODEX, id);
}

#[test]
fn codex_unpacks_what_arrived_packed() {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = world.two();
    let first = codex::say(&laptop.ctx, None, "Remember the codeword WOMBAT-4410.").ok();
    let id = first.id();
    let plain = laptop.transcript(CODEX, id);
    let content = fs::read(&plain).expect("a rollout can be read");
    let packed = plain.with_extension("jsonl.zst");
    fs::write(&packed, zstd::encode_all(&content[..], 3).expect("it can be packed")).expect("the home can be written");
    fs::remove_file(&plain).expect("the home can be written");

    let answer = desktop.take(id, &laptop);
    assert_eq!(answer["reached"], "discoverable", "{answer:#}");
    assert_eq!(desktop.transcript(CODEX, id).extension(), Some(OsStr::new("zst")));
    codex::say(&desktop.ctx, Some(id), "On the desktop.").ok();
    assert!(world.last_talk_of(id).says("WOMBAT-4410"));
    assert!(desktop.bytes(CODEX, id).starts_with(&content));

    // Home, where the beginning is still packed.
    laptop.take(id, &desktop);
    assert!(laptop.bytes(CODEX, id) == desktop.bytes(CODEX, id));
    codex::say(&laptop.ctx, Some(id), "At home.").ok();
    assert!(world.last_talk_of(id).says("On the desktop."));
    assert!(!packed.exists());
    laptop.transcript(CODEX, id);
}

#[test]
fn codex_takes_its_subagents_along() {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = world.two();
    let first = codex::say(&laptop.ctx, None, "RUN-AGENT Remember the codeword BILBY-9009.").ok();
    let id = first.id();
    let of_helper = world.server.posts().into_iter().find(|request| request.at.prompt.starts_with("SUB-TASK"));
    let helper = of_helper.expect("it was started").session().expect("a helper is a session").to_owned();
    assert_eq!(laptop.listed(&helper)["parent"], id);

    desktop.take(id, &laptop);
    assert!(desktop.bytes(CODEX, &helper) == laptop.bytes(CODEX, &helper));
    codex::say(&desktop.ctx, Some(id), "Still there?").ok();
    let sent = world.last_talk_of(id);
    assert!(sent.says("BILBY-9009") && sent.says("The subagent has reported (turn 1)."));
    codex::say(&desktop.ctx, Some(&helper), "And you?").ok();
    assert!(world.last_talk_of(&helper).says("SUB-TASK"));
    // It is the parent's, and not listed beside it.
    let listed = desktop.machine.json(["sessions", "--all"]);
    assert!(!listed.to_string().contains(&helper), "{listed:#}");
    assert_eq!(files(&desktop.dir(CODEX).join("sessions")).len(), 2);

    codex::say(&desktop.ctx, Some(id), "RUN-AGENT once more").ok();
    laptop.take(id, &desktop);
    assert_eq!(files(&laptop.dir(CODEX).join("sessions")).len(), 3);
    codex::say(&laptop.ctx, Some(id), "At home.").ok();
    assert!(world.last_talk_of(id).says("RUN-AGENT once more"));
}
