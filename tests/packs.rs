//! The packs in a repository stay few and whole, whatever happens while they are merged.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use samesession::store::tidy::BOUND;

use crate::support::clones::Project;
use crate::support::sandbox::{CLAUDE, Machine, Ran, Sandbox};

/// A machine in a repository with a project's commit and a small session.
fn repository(sandbox: &Sandbox, format: &str) -> Machine {
    let laptop = sandbox.machine("laptop");
    laptop.init().with_claude();
    git(&laptop, &["init", "-q", "--object-format", format, "."]);
    git(&laptop, &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"]);
    laptop
}

#[track_caller]
fn git(machine: &Machine, args: &[&str]) -> String {
    let out = machine.command("git").args(args).output().expect("git");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && said.is_empty(), "git {args:?}: {said}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// One more record in the session.
fn go_on(machine: &Machine, n: usize) {
    let path = machine.claude_project().join(format!("{CLAUDE}.jsonl"));
    let line = format!("{{\"type\":\"user\",\"n\":{n},\"message\":{{\"content\":\"and on\"}}}}\n");
    fs::OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(line.as_bytes())).expect("appended");
}

/// Without `git` around it, which costs a process each time.
fn checkpoint(machine: &Machine) -> Ran {
    Ran(machine.start(["checkpoint", CLAUDE]).wait_with_output().expect("it ends"))
}

#[track_caller]
fn checkpoints(machine: &Machine, numbers: std::ops::Range<usize>) {
    for n in numbers {
        go_on(machine, n);
        checkpoint(machine).ok();
    }
}

fn kept(machine: &Machine) -> Vec<PathBuf> {
    let files = fs::read_dir(machine.cwd.join(".git/objects/pack")).expect("a directory").flatten().map(|entry| entry.path());
    files.filter(|path| path.extension().is_some_and(|end| end == "keep")).collect()
}

/// Every checkpoint is there with all that it names, and Git has nothing to say against any of it.
#[track_caller]
fn assert_whole(machine: &Machine, commits: usize) {
    assert_eq!(git(machine, &["fsck", "--strict", "--no-dangling"]), "");
    let refs = git(machine, &["for-each-ref", "--format=%(refname)", "refs/samesession"]);
    let tip = refs.trim();
    assert_eq!(git(machine, &["rev-list", "--count", tip]).trim(), commits.to_string());
    let objects: Vec<_> =
        git(machine, &["rev-list", "--objects", tip]).lines().map(|line| line[..line.find(' ').unwrap_or(line.len())].to_owned()).collect();
    let mut command = machine.command("git");
    command.args(["cat-file", "--batch-check"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("git");
    let (mut stdin, input) = (child.stdin.take().expect("a pipe"), objects.join("\n"));
    let feeding = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let found = String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("text");
    feeding.join().expect("fed").expect("written");
    assert_eq!(found.lines().filter(|line| !line.ends_with("missing")).count(), objects.len());
    assert!(git(machine, &["count-objects", "-v"]).contains("garbage: 0\n"));
}

#[test]
fn two_hundred_checkpoints_lie_in_few_packs_and_every_one_is_whole() {
    for (format, count) in [("sha1", 200), ("sha256", 40)] {
        let sandbox = Sandbox::in_memory();
        let laptop = repository(&sandbox, format);
        checkpoints(&laptop, 0..count);
        assert!(kept(&laptop).len() <= BOUND, "{}", kept(&laptop).len());
        assert_whole(&laptop, count);
        git(&laptop, &["gc", "-q", "--prune=now"]);
        assert_whole(&laptop, count);
        checkpoints(&laptop, count..count + BOUND);
        git(&laptop, &["gc", "-q", "--prune=now"]);
        assert!(kept(&laptop).len() <= BOUND);
        assert_whole(&laptop, count + BOUND);
        checkpoint(&laptop).ok();
    }
}

#[test]
fn a_merge_that_is_killed_anywhere_loses_nothing_and_is_done_the_next_time() {
    let sandbox = Sandbox::in_memory();
    let laptop = repository(&sandbox, "sha1");
    let mut count = BOUND;
    checkpoints(&laptop, 0..count);
    // In the middle of one pack, and between two.
    let removing = [1, 3, 4].map(|n| format!("tidy.removing#{n}=kill"));
    for fault in ["tidy.copied=kill".to_owned(), "tidy.packed=kill".to_owned()].into_iter().chain(removing) {
        while kept(&laptop).len() < BOUND {
            checkpoints(&laptop, count..count + 1);
            count += 1;
        }
        go_on(&laptop, count);
        count += 1;
        let killed = checkpoint(&laptop.env("SAMESESSION_FAULT", &fault));
        assert_eq!(killed.0.status.signal(), Some(9), "{fault}");
        assert_eq!(git(&laptop, &["fsck", "--strict", "--no-dangling"]), "", "{fault}");
        checkpoints(&laptop, count..count + 1);
        count += 1;
        assert!(kept(&laptop).len() <= BOUND, "{fault}");
        // What a pack that was half removed leaves is cleared away when nobody can be writing it any more.
        age(&laptop);
        while kept(&laptop).iter().any(|keep| !keep.with_extension("idx").exists()) {
            checkpoints(&laptop, count..count + 1);
            count += 1;
            assert!(count < 1000, "{fault}: a leftover stays");
        }
        assert_whole(&laptop, count);
    }
}

/// Makes everything in the pack directory two days old.
fn age(machine: &Machine) {
    let then = SystemTime::now() - Duration::from_secs(48 * 3600);
    for entry in fs::read_dir(machine.cwd.join(".git/objects/pack")).expect("a directory").flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b"tmp_") {
            // Git's own `gc` clears these away.
            fs::remove_file(entry.path()).expect("removed");
        } else {
            fs::File::open(entry.path()).and_then(|file| file.set_modified(then)).expect("set");
        }
    }
}

#[test]
fn a_merge_that_meets_a_full_disk_is_no_failure_of_the_checkpoint() {
    let sandbox = Sandbox::in_memory();
    let laptop = repository(&sandbox, "sha1");
    checkpoints(&laptop, 0..BOUND);
    for (n, point) in ["tidy.copied", "tidy.packed", "tidy.removing"].iter().enumerate() {
        go_on(&laptop, BOUND + n);
        checkpoint(&laptop.env("SAMESESSION_FAULT", format!("{point}=full"))).ok();
        assert_eq!(git(&laptop, &["fsck", "--strict", "--no-dangling"]), "");
    }
    checkpoints(&laptop, BOUND + 3..BOUND + 5);
    assert!(kept(&laptop).len() <= BOUND);
    assert_eq!(git(&laptop, &["rev-list", "--count", "--glob=refs/samesession"]).trim(), (BOUND + 5).to_string());
}

#[test]
fn a_checkpoint_passes_by_a_merge_that_is_under_way_and_is_not_lost_in_it() {
    let sandbox = Sandbox::in_memory();
    let laptop = repository(&sandbox, "sha1");
    checkpoints(&laptop, 0..BOUND);
    for point in ["tidy.copied", "tidy.packed", "tidy.removing"] {
        let mut count: usize = git(&laptop, &["rev-list", "--count", "--glob=refs/samesession"]).trim().parse().expect("a number");
        while kept(&laptop).len() < BOUND {
            checkpoints(&laptop, count..count + 1);
            count += 1;
        }
        go_on(&laptop, count);
        let mut merging = laptop.pause_at(point, ["checkpoint", CLAUDE]);
        checkpoints(&laptop, count + 1..count + 3);
        merging.end().ok();
        checkpoints(&laptop, count + 3..count + 4);
        assert!(kept(&laptop).len() <= BOUND, "{point}");
        assert_whole(&laptop, count + 4);
    }
}

#[test]
fn a_merge_keeps_what_somebody_is_about_to_name() {
    let sandbox = Sandbox::in_memory();
    let laptop = repository(&sandbox, "sha1");
    checkpoints(&laptop, 0..BOUND);
    let other = "aaaaaaaa-0002-4000-8000-000000000002";
    let mut packed = laptop.pause_at("commit.packed", ["checkpoint", other]);
    checkpoints(&laptop, BOUND..BOUND + 2);
    assert!(kept(&laptop).len() <= BOUND);
    packed.end().ok();
    assert_eq!(git(&laptop, &["fsck", "--strict", "--no-dangling"]), "");
    let all = git(&laptop, &["rev-list", "--count", "--glob=refs/samesession"]);
    assert_eq!(all.trim(), (BOUND + 3).to_string());
}

#[test]
fn several_at_once_leave_few_packs_and_all_checkpoints() {
    let sandbox = Sandbox::in_memory();
    let laptop = repository(&sandbox, "sha1");
    checkpoints(&laptop, 0..BOUND);
    let sessions = [CLAUDE, "aaaaaaaa-0002-4000-8000-000000000002"];
    for round in 0..10 {
        go_on(&laptop, BOUND + round);
        let children: Vec<_> = sessions.iter().chain(&sessions).map(|session| laptop.start(["checkpoint", session])).collect();
        // Readers in between. Reflogs aside: Git reads them last, and may find what was made since it looked at the packs.
        assert_eq!(git(&laptop, &["fsck", "--strict", "--no-dangling", "--no-reflogs"]), "");
        for child in children {
            Ran(child.wait_with_output().expect("it ends")).ok();
        }
    }
    checkpoints(&laptop, BOUND + 10..BOUND + 11);
    assert!(kept(&laptop).len() <= BOUND);
    git(&laptop, &["gc", "-q", "--prune=now"]);
    assert_eq!(git(&laptop, &["fsck", "--strict", "--no-dangling"]), "");
    let all = git(&laptop, &["rev-list", "--count", "--glob=refs/samesession"]);
    assert_eq!(all.trim(), (BOUND + 12).to_string());
}

#[test]
fn what_git_prunes_meanwhile_is_not_what_is_being_written() {
    let sandbox = Sandbox::in_memory();
    let laptop = repository(&sandbox, "sha1");
    checkpoint(&laptop).ok();
    for (n, point) in ["commit.folded", "pack.placed", "commit.packed"].iter().enumerate() {
        go_on(&laptop, n);
        let mut paused = laptop.pause_at(point, ["checkpoint", CLAUDE]);
        git(&laptop, &["gc", "-q", "--prune=now"]);
        git(&laptop, &["prune", "--expire=now"]);
        paused.end().ok();
        assert_whole(&laptop, n + 2);
        // Killed there, it leaves nothing that Git would call garbage but a pack without its index, for a day.
        if *point == "commit.folded" {
            go_on(&laptop, 100);
            laptop.pause_at(point, ["checkpoint", CLAUDE]).signal(9);
            assert!(git(&laptop, &["count-objects", "-v"]).contains("garbage: 0\n"));
        }
    }
}

fn packs_of(machine: &Machine) -> Vec<PathBuf> {
    let entries = fs::read_dir(machine.cwd.join(".git/objects/pack")).expect("a directory").flatten();
    let mut all: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    all.sort();
    all
}

#[test]
fn what_fails_behind_a_pack_takes_it_back() {
    let project = Project::new();
    let (laptop, desktop) = (project.clone("laptop"), project.clone("desktop"));
    laptop.checkpoint("hello", &[]);
    let before = packs_of(&laptop);
    // Readers: the defaults are written behind the pack.
    let lock = laptop.cwd.join(".git/config.lock");
    fs::write(&lock, "").expect("written");
    assert_ne!(laptop.run_here(["recipient", "add", &desktop.recipient()]).code(), Some(0));
    fs::remove_file(lock).expect("it is there");
    assert_eq!(packs_of(&laptop), before);
    // Rosters and requests: the remote takes nothing.
    let hook = project.origin.join("hooks/pre-receive");
    fs::create_dir_all(hook.parent().expect("a directory")).expect("made");
    let refuses = |does: &str| {
        fs::write(&hook, format!("#!/bin/sh\n{does}\n")).expect("written");
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("set");
    };
    refuses("exit 1");
    assert_ne!(laptop.run_here(["device", "join"]).code(), Some(0));
    assert_eq!(packs_of(&laptop), before);
    refuses("exit 0");
    laptop.run_here(["device", "join"]).ok();
    desktop.run_here(["fetch"]).ok();
    let before = packs_of(&desktop);
    refuses("exit 1");
    assert_ne!(desktop.run_here(["device", "join"]).code(), Some(0));
    assert_eq!(packs_of(&desktop), before);
}
