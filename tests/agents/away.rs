//! Away and home again, for either agent: talked to here, sealed, gone on with there, and back.

use std::path::PathBuf;

use crate::scene::{CLAUDE, CODEX, Computer, Kind, World};
use crate::support::agents::{Reply, claude, codex};
use crate::support::sandbox::Ran;

#[test]
fn claude_goes_away_and_comes_home() {
    away_and_home(CLAUDE);
}

#[test]
fn codex_goes_away_and_comes_home() {
    away_and_home(CODEX);
}

fn away_and_home(kind: Kind) {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = world.two();
    let first = (kind.say)(&laptop.ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    let id = first.id();
    (kind.say)(&laptop.ctx, Some(id), "Second, on the laptop.").ok();
    let left = laptop.bytes(kind, id);

    let answer = desktop.take(id, &laptop);
    assert_eq!((&answer["relation"], &answer["reached"]), (&"new".into(), &"discoverable".into()), "{answer:#}");
    assert_eq!(answer["cwd"], desktop.cwd());
    let notes = answer["notes"].as_array().expect("a list");
    // Of how its picker comes to know the session, which `tests/agents/codex.rs` is about.
    assert!(notes.iter().all(|note| note.as_str().is_some_and(|note| note.contains("the picker"))), "{notes:#?}");
    assert!(desktop.bytes(kind, id) == left, "the bytes that left are the bytes that arrived");
    assert_eq!(desktop.listed(id)["cwd"], desktop.cwd());

    world.server.forget();
    let third = (kind.say)(&desktop.ctx, Some(id), "Third, on the desktop.").ok();
    assert_eq!((third.id(), &*third.text), (id, "Plain answer in turn 3 to: Third, on the desktop."));
    let sent = world.last_talk_of(id);
    assert!(sent.says("QUOKKA-7731") && sent.says("Second, on the laptop.") && sent.says("Wrote notes/hello.txt"));
    assert_eq!(sent.at.cwd, desktop.cwd());
    let grown = desktop.bytes(kind, id);
    assert!(grown.len() > left.len() && grown.starts_with(&left), "what was said before is an untouched prefix");

    // Somebody who knows no id has it before him, too.
    let tablet = world.computer("tablet", "x.y_z");
    tablet.take(id, &desktop);
    assert_eq!(go_on_with_the_last(kind, &tablet, true).id(), id);
    assert_eq!(world.last_talk_of(id).at.turn, 4);

    // Home is where it was, wherever one asks from.
    let elsewhere = world.computer_of(&laptop.machine.at(laptop.machine.home.join("elsewhere")));
    let answer = elsewhere.restore(&desktop.seal(id, &laptop), &desktop);
    assert_eq!((&answer["relation"], &answer["reached"]), (&"behind".into(), &"discoverable".into()), "{answer:#}");
    assert_eq!(answer["cwd"], laptop.cwd());
    assert!(laptop.bytes(kind, id) == grown, "home is where it was, and has what was said away");

    let fourth = (kind.say)(&laptop.ctx, Some(id), "Fourth, at home.").ok();
    assert_eq!((fourth.id(), &*fourth.text), (id, "Plain answer in turn 4 to: Fourth, at home."));
    let sent = world.last_talk_of(id);
    for said in ["QUOKKA-7731", "Second, on the laptop.", "Third, on the desktop.", "Fourth, at home."] {
        assert!(sent.says(said), "{said}");
    }
    assert_eq!(sent.at.cwd, laptop.cwd());
    assert!(laptop.bytes(kind, id).starts_with(&grown));

    assert_eq!(go_on_with_the_last(kind, &laptop, false).id(), id);
    assert_eq!(world.last_talk_of(id).at.turn, 5);
    // And away again: the place there is known by now.
    let answer = desktop.take(id, &laptop);
    assert_eq!((&answer["relation"], &answer["cwd"]), (&"behind".into(), &desktop.cwd().into()));
    assert!(desktop.bytes(kind, id) == laptop.bytes(kind, id));
}

/// With the last session of this directory, or for Codex of all that it has.
fn go_on_with_the_last(kind: Kind, computer: &Computer, all: bool) -> Reply {
    match kind.name {
        "claude" => claude::say_continue(&computer.ctx, "On with it."),
        _ => codex::say_last(&computer.ctx, all, "On with it."),
    }
    .ok()
}

/// A session that went its own way on both, and the desktop's in a capsule for the laptop, which refuses it.
struct OwnWays {
    world: World,
    laptop: Computer,
    desktop: Computer,
    id: String,
    /// A fork of what both have in common, on the laptop.
    early: String,
    capsule: PathBuf,
}

fn own_ways(kind: Kind, way_out: &str) -> Option<OwnWays> {
    let world = World::new()?;
    let (laptop, desktop) = world.two();
    let first = (kind.say)(&laptop.ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    let id = first.id().to_owned();
    desktop.take(&id, &laptop);
    let early = (kind.fork)(&laptop.ctx, &id, "An early fork.").ok().id().to_owned();
    (kind.say)(&laptop.ctx, Some(&id), "The laptop's way.").ok();
    (kind.say)(&desktop.ctx, Some(&id), "The desktop's way.").ok();
    let ours = laptop.bytes(kind, &id);
    let capsule = desktop.seal(&id, &laptop);
    laptop.try_restore(&capsule, &desktop).fails(1, "went its own way").hints(way_out).hints("--set-aside");
    assert!(laptop.bytes(kind, &id) == ours);
    Some(OwnWays { world, laptop, desktop, id, early, capsule })
}

impl OwnWays {
    fn early_is_well(&self, kind: Kind) {
        (kind.say)(&self.laptop.ctx, Some(&self.early), "On with the early fork.").ok();
        let sent = self.world.last_talk_of(&self.early);
        assert!(sent.says("QUOKKA-7731") && sent.says("An early fork."));
        assert!(!sent.says("The laptop's way.") && !sent.says("The desktop's way."));
    }

    fn set_aside(&self) -> Ran {
        self.laptop.machine.run(["restore".as_ref(), self.capsule.as_os_str(), "--set-aside".as_ref()])
    }

    fn is_theirs(&self) {
        let sent = self.world.last_talk_of(&self.id);
        assert!(sent.says("QUOKKA-7731") && sent.says("The desktop's way.") && !sent.says("The laptop's way."));
    }

    fn is_ours(&self, id: &str) {
        let sent = self.world.last_talk_of(id);
        assert!(sent.says("QUOKKA-7731") && sent.says("The laptop's way.") && !sent.says("The desktop's way."));
    }
}

#[test]
fn claude_went_its_own_way_on_both() {
    let Some(two) = own_ways(CLAUDE, "git samesession fork ") else { return };
    let OwnWays { laptop, desktop, id, .. } = &two;
    let fork = claude::fork(&laptop.ctx, id, "Now a fork.").ok();
    assert_ne!(fork.id(), id);
    two.is_ours(fork.id());
    two.set_aside().ok();
    assert!(laptop.bytes(CLAUDE, id) == desktop.bytes(CLAUDE, id));
    claude::say(&laptop.ctx, Some(id), "On with theirs.").ok();
    two.is_theirs();
    claude::say(&laptop.ctx, Some(fork.id()), "On with ours.").ok();
    two.is_ours(fork.id());
    assert!(two.world.server.last_talk_contains("Now a fork."));
    two.early_is_well(CLAUDE);
}

/// A fork of Codex's begins inside its parent's rollout: with another one in that place, it would have another past.
#[test]
fn codex_went_its_own_way_on_both() {
    let Some(two) = own_ways(CODEX, "git samesession fork ") else { return };
    let OwnWays { laptop, desktop, id, capsule, .. } = &two;
    let elsewhere = laptop.machine.home.join(".codex-2");
    let other = laptop.machine.env("CODEX_HOME", &elsewhere);
    other.run(["restore".as_ref(), capsule.as_os_str()]).ok();
    let in_other = laptop.ctx.clone().env("CODEX_HOME", &elsewhere);
    codex::say(&in_other, Some(id), "On with theirs.").ok();
    two.is_theirs();
    codex::say(&laptop.ctx, Some(id), "On with ours.").ok();
    two.is_ours(id);

    let fork = codex::fork(&laptop.ctx, id, "Now a fork.").ok();
    let ours = laptop.bytes(CODEX, id);
    two.set_aside().fails(1, &format!("session {} is a fork that begins with it", fork.id())).hints("CODEX_HOME=");
    assert!(laptop.bytes(CODEX, id) == ours);
    codex::say(&laptop.ctx, Some(fork.id()), "On with the fork.").ok();
    two.is_ours(fork.id());

    // The early fork leans on nothing that goes away.
    let deleted = codex::run(&laptop.ctx, &["delete", fork.id(), "--force"]);
    assert!(deleted.status.success() && laptop.transcripts(CODEX, fork.id()).is_empty(), "{deleted:#?}");
    two.set_aside().ok();
    assert!(laptop.bytes(CODEX, id) == desktop.bytes(CODEX, id));
    // What it draws comes from a database beside the rollouts, which knew the other story.
    let terminal = codex::open(&laptop.ctx, &["resume", id]);
    terminal.wait_for("The desktop's way.");
    assert!(!terminal.screen().contains("The laptop's way."), "{}", terminal.screen());
    drop(terminal);
    codex::say(&laptop.ctx, Some(id), "On with theirs.").ok();
    two.is_theirs();
    two.early_is_well(CODEX);
}

#[test]
fn claude_is_captured_from_within() {
    from_within(CLAUDE);
}

#[test]
fn codex_is_captured_from_within() {
    from_within(CODEX);
}

/// `current` is the session that runs the command, although another one of the same directory was used since.
fn from_within(kind: Kind) {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = world.two();
    let first = (kind.say)(&laptop.ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    let id = first.id();
    let other = (kind.say)(&laptop.ctx, None, "Remember the codeword OTHER-1234.").ok();
    assert_ne!(other.id(), id);
    let capsule = laptop.machine.home.join("within.capsule");
    let command = format!("git samesession checkpoint current --output {} -r {}", capsule.display(), desktop.machine.recipient());
    let reply = (kind.say)(&laptop.ctx, Some(id), &format!("RUN-CMD: {command}")).ok();
    assert!(world.server.last_talk_contains(&format!("sealed {} {id}", kind.name)), "{reply:#?}");

    let answer = desktop.restore(&capsule, &laptop);
    assert_eq!(answer["native_id"], id);
    // The capsule ends within the turn in which it was made.
    assert!(laptop.bytes(kind, id).starts_with(&desktop.bytes(kind, id)));
    (kind.say)(&desktop.ctx, Some(id), "And now?").ok();
    let sent = world.last_talk_of(id);
    assert!(sent.says("QUOKKA-7731") && sent.says("And now?") && !sent.says("OTHER-1234"));
}
