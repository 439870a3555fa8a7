//! The real agents with our hooks in their settings: nobody types a command, and another machine goes on all the same.

use std::fs;
use std::path::Path;

use crate::scene::{CLAUDE, CODEX, Computer, Kind, World};
use crate::support::agents::{codex, eventually};
use crate::support::chains::write_script;
use crate::support::clones::sid_of;

#[test]
fn claude_makes_checkpoints_by_itself_and_another_machine_goes_on() {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = hooked(&world, CLAUDE);
    let first = (CLAUDE.say)(&laptop.ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    let id = first.id();
    is_sent(&laptop, CLAUDE, id);
    (CLAUDE.say)(&laptop.ctx, Some(id), "Second, on the laptop.").ok();
    is_sent(&laptop, CLAUDE, id);
    let log = laptop.machine.run(["hook", "status"]).ok().stdout();
    assert!(log.contains("Claude Code: ") && log.contains("pushed"), "{log}");

    // What was never moved is there.
    let there = taken(&world, &desktop, id);
    world.server.forget();
    (CLAUDE.say)(&there.ctx, Some(id), "Third, on the desktop.").ok();
    let sent = world.last_talk_of(id);
    assert!(sent.says("QUOKKA-7731") && sent.says("Second, on the laptop."));
    is_sent(&there, CLAUDE, id);

    // Whoever goes on with the older one is told, and the agent with them.
    laptop.machine.git(["fetch", "-q"]);
    world.server.forget();
    (CLAUDE.say)(&laptop.ctx, Some(id), "Fourth, back on the laptop.").ok();
    let sent = world.last_talk_of(id);
    assert!(sent.says("a newer checkpoint of this session") && sent.says("desktop"), "the model is told");
}

/// Without the user's trust Codex runs no hooks; what it calls after each turn needs none.
#[test]
fn codex_makes_checkpoints_by_itself_and_sends_them_once_its_hooks_are_trusted() {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = hooked(&world, CODEX);
    let first = (CODEX.say)(&laptop.ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    let id = first.id();
    is_kept(&laptop, CODEX, id);
    let name = format!("refs/samesession/sessions/{}", sid(CODEX, id));
    assert_eq!(laptop.machine.git(["ls-remote", "origin", &name]), "");

    let args = ["exec", "resume", "--dangerously-bypass-hook-trust", "--skip-git-repo-check", "--json", id, "Second, on the laptop."];
    let said = codex::run(&laptop.ctx, &args);
    assert!(said.status.success(), "{}", said.stderr);
    is_sent(&laptop, CODEX, id);

    let there = taken(&world, &desktop, id);
    world.server.forget();
    (CODEX.say)(&there.ctx, Some(id), "Third, on the desktop.").ok();
    let sent = world.last_talk_of(id);
    assert!(sent.says("QUOKKA-7731") && sent.says("Second, on the laptop."));
    is_kept(&there, CODEX, id);
}

#[test]
fn a_plain_push_brings_what_the_agent_has_said() {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = two(&world);
    laptop.machine.run(["hook", "install", "--git"]).ok();
    let first = (CLAUDE.say)(&laptop.ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    let id = first.id();
    laptop.machine.git(["add", "-A"]);
    laptop.machine.git(["commit", "-q", "-m", "what the agent did"]);
    laptop.machine.git(["push", "-q", "origin", "main"]);
    is_sent(&laptop, CLAUDE, id);
    let there = taken(&world, &desktop, id);
    world.server.forget();
    (CLAUDE.say)(&there.ctx, Some(id), "Second, on the desktop.").ok();
    assert!(world.last_talk_of(id).says("QUOKKA-7731"));
}

/// Two clones whose users read each other's sessions, and know each other.
pub fn two(world: &World) -> (Computer, Computer) {
    let (laptop, desktop) = world.two();
    let origin = world.sandbox.path().join("origin.git");
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    laptop.machine.git(["init", "-q", "--bare", "-b", "main", &text(&origin)]);
    laptop.machine.git(["init", "-q", "-b", "main"]);
    laptop.machine.git(["commit", "-q", "--allow-empty", "-m", "Begin"]);
    laptop.machine.git(["remote", "add", "origin", &text(&origin)]);
    laptop.machine.git(["push", "-q", "origin", "main"]);
    desktop.machine.git(["clone", "-q", &text(&origin), "."]);
    for (one, other) in [(&laptop, &desktop), (&desktop, &laptop)] {
        one.machine.run(["init", "--recipient", &other.machine.recipient()]).ok();
        let shown = other.machine.json(["device", "show"]);
        let field = |name: &str| shown[name].as_str().expect("text").to_owned();
        let known = format!("{} namespaces=\"samesession\" {}\n", field("name"), field("signing_key"));
        fs::write(one.machine.home.join(".config/samesession/known_signers"), known).expect("written");
    }
    (escaping(world, &laptop), escaping(world, &desktop))
}

fn hooked(world: &World, kind: Kind) -> (Computer, Computer) {
    let pair = two(world);
    for computer in [&pair.0, &pair.1] {
        computer.machine.run(["hook", "install", "--agent", kind.name, "--global"]).ok();
    }
    pair
}

/// The drivers kill whatever carries their mark when a turn is over; outside of tests nobody does.
fn escaping(world: &World, computer: &Computer) -> Computer {
    let bin = computer.machine.home.join("escaping");
    let script = format!("unset SAMESESSION_TEST_MARK\nexec '{}' \"$@\"", env!("CARGO_BIN_EXE_git-samesession"));
    write_script(&bin.join("git-samesession"), &script);
    let profile = computer.machine.home.join(".profile");
    let path = fs::read_to_string(&profile).expect("a profile").replace("PATH='", &format!("PATH='{}:", bin.display()));
    fs::write(&profile, path).expect("written");
    let Computer { machine, ctx } = world.computer_of(&computer.machine);
    let path = std::env::join_paths([bin].into_iter().chain(ctx_path(&machine))).expect("no colon in it");
    Computer { ctx: ctx.env("PATH", path), machine }
}

fn ctx_path(machine: &crate::support::sandbox::Machine) -> Vec<std::path::PathBuf> {
    let command = machine.command("true");
    let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value);
    std::env::split_paths(path.expect("a path")).collect()
}

fn taken(world: &World, computer: &Computer, id: &str) -> Computer {
    computer.machine.git(["fetch", "-q"]);
    let answer = computer.machine.json(["restore", id]);
    escaping(world, &world.computer_of(&computer.machine.at(answer["cwd"].as_str().expect("a directory"))))
}

fn sid(kind: Kind, id: &str) -> String {
    let native = samesession::id::NativeId::parse(id).expect("an id");
    if kind.name == "claude" { sid_of(id) } else { samesession::id::SessionId::derive(kind.name, &native).to_string() }
}

/// Until there is a checkpoint of all that stands in the transcript.
#[track_caller]
pub fn is_kept(computer: &Computer, kind: Kind, id: &str) {
    let size = computer.bytes(kind, id).len() as u64;
    let name = format!("refs/samesession/sessions/{}", sid(kind, id));
    eventually("a checkpoint of all of it", || {
        let there = computer.machine.run(["show", &name, "--json"]);
        there.code() == Some(0) && there.json().to_string().contains(&format!("\"size\":{size}"))
    });
}

/// Until the remote has it.
#[track_caller]
pub fn is_sent(computer: &Computer, kind: Kind, id: &str) {
    is_kept(computer, kind, id);
    let name = format!("refs/samesession/sessions/{}", sid(kind, id));
    eventually("it is sent", || {
        let here = computer.machine.git(["rev-parse", &name]);
        computer.machine.git(["ls-remote", "origin", &name]).starts_with(here.trim())
    });
}
