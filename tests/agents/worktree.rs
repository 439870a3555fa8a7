//! The work tree in which an agent was at work: with its session it arrives elsewhere, and the agent finds it as it was.

use std::path::Path;

use crate::scene::{CLAUDE, CODEX, Computer, Kind, World};

#[test]
fn claude_finds_the_work_tree_as_it_left_it() {
    as_it_left_it(CLAUDE);
}

#[test]
fn codex_finds_the_work_tree_as_it_left_it() {
    as_it_left_it(CODEX);
}

fn as_it_left_it(kind: Kind) {
    let Some(world) = World::new() else { return };
    let (laptop, desktop) = world.two();
    let origin = world.sandbox.path().join("origin.git");
    git(&laptop, &["init", "-q", "--bare", "-b", "main", text(&origin)]);
    git(&laptop, &["init", "-q", "-b", "main"]);
    git(&laptop, &["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "--allow-empty", "-m", "Begin"]);
    git(&laptop, &["remote", "add", "origin", text(&origin)]);
    git(&laptop, &["push", "-q", "-u", "origin", "main"]);
    git(&desktop, &["clone", "-q", text(&origin), "."]);

    let first = (kind.say)(&laptop.ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    let id = first.id();
    // As after `git add -p`: a part is staged, more stands behind it, and something is new.
    let works = "git add notes && echo third >> notes/hello.txt && echo new > 'new file' && git status --porcelain=v2";
    (kind.say)(&laptop.ctx, Some(id), &format!("RUN-CMD: {works}")).ok();
    let status = git(&laptop, &["status", "--porcelain=v2", "--untracked-files=all"]);
    assert!(status.contains("1 AM ") && status.contains("? new file"), "{status}");

    laptop.machine.run(["init", "--recipient", &desktop.machine.recipient()]).ok();
    laptop.machine.run(["checkpoint", id, "--push"]).ok();
    desktop.machine.run(["init"]).ok();
    desktop.machine.run(["fetch", "--trust", &laptop.machine.fingerprint()]).ok();
    let answer = desktop.machine.json(["restore", id]);
    let cwd = answer["cwd"].as_str().expect("a directory");
    assert_ne!(cwd, desktop.cwd(), "{answer:#}");
    assert_eq!(answer["reached"], "discoverable", "{answer:#}");

    let there = world.computer_of(&desktop.machine.at(cwd));
    assert_eq!(git(&there, &["status", "--porcelain=v2", "--untracked-files=all"]), status);
    world.server.forget();
    (kind.say)(&there.ctx, Some(id), "RUN-CMD: git status --porcelain=v2 --untracked-files=all").ok();
    let sent = world.last_talk_of(id);
    assert!(sent.says("QUOKKA-7731"));
    for line in status.lines() {
        assert!(sent.says(line), "the agent did not see '{line}'");
    }
    assert_eq!(sent.at.cwd, cwd);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

#[track_caller]
fn git(computer: &Computer, args: &[&str]) -> String {
    let out = computer.machine.command("git").args(args).output().expect("git");
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text")
}
