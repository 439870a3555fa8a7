//! Signals, kill -9 during a checkpoint, and disks that really are full or read-only.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use samesession::fault::POINTS;

use crate::support::clones::{Project, SESSION, session_ref};
use crate::support::sandbox::{CLAUDE, CLAUDE_RICH, Machine, Ran, Sandbox, snapshot, without_journals};

const SIGNALS: [i32; 3] = [1, 2, 15];

fn fault(machine: &Machine, fault: &str, args: &[&OsStr]) -> Ran {
    Ran(machine.env("SAMESESSION_FAULT", fault).start(args).wait_with_output().expect("it ends"))
}

fn names(dir: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(dir).expect("a directory").flatten().map(|entry| entry.path()).collect();
    names.sort();
    names
}

/// A laptop with a session and a place for capsules.
fn laptop(sandbox: &Sandbox) -> (Machine, PathBuf) {
    let laptop = sandbox.machine("laptop");
    laptop.init().with_claude();
    let out = sandbox.path().join("out");
    fs::create_dir(&out).expect("made");
    (laptop, out)
}

/// Tens of megabytes of one session.
fn grow(machine: &Machine) {
    let transcript = machine.claude_project().join(format!("{CLAUDE}.jsonl"));
    let mut text = fs::read(&transcript).expect("the session");
    for n in 0..30_000 {
        let words = format!("{:x}", n * 0x9e37_79b9_u64).repeat(90);
        text.extend(format!("{{\"type\":\"user\",\"n\":{n},\"message\":{{\"content\":\"{words}\"}}}}\n").bytes());
    }
    fs::write(&transcript, text).expect("written");
}

#[test]
fn a_checkpoint_killed_anywhere_leaves_a_whole_file_or_none() {
    let sandbox = Sandbox::new();
    let (laptop, out) = laptop(&sandbox);
    let (file, other) = (out.join("x.capsule"), out.join("other"));
    fs::write(&other, "not ours").expect("written");
    let home = snapshot(&laptop.home);
    let mut killed = 0;
    for point in POINTS.iter().filter(|point| ["capture.", "checkpoint."].iter().any(|of| point.starts_with(of))) {
        let kill = format!("{point}=kill");
        let dead = |args: &[&OsStr]| fault(&laptop, &kill, args).0.status.signal() == Some(9);
        assert!(dead(&["checkpoint".as_ref(), CLAUDE_RICH.as_ref(), "-o".as_ref(), file.as_os_str()]), "{point}");
        if *point == "checkpoint.renamed" {
            assert_eq!(names(&out), [other.clone(), file.clone()]);
            laptop.run([OsStr::new("restore"), file.as_os_str(), "--dry-run".as_ref()]).ok();
            fs::remove_file(&file).expect("it is there");
        }
        assert_eq!(names(&out), std::slice::from_ref(&other), "{point}");

        // Over an older one: that one or the new one.
        assert!(dead(&["checkpoint".as_ref(), CLAUDE_RICH.as_ref(), "-fo".as_ref(), other.as_os_str()]), "{point} --force");
        assert_eq!(names(&out), std::slice::from_ref(&other), "{point} --force");
        let replaced = fs::read(&other).expect("it is there") != b"not ours";
        assert_eq!(replaced, *point == "checkpoint.renamed", "{point} --force");

        let temporary = names(&sandbox.path());
        assert!(dead(&["checkpoint".as_ref(), CLAUDE_RICH.as_ref(), "-o".as_ref(), "-".as_ref()]), "{point} to a pipe");
        assert_eq!(names(&sandbox.path()), temporary, "{point} to a pipe");
        killed += 1;
    }
    assert_eq!(killed, 4, "a new point outside of restore");
    assert_eq!(snapshot(&laptop.home), home, "capture changes nothing");
}

#[test]
fn a_checkpoint_that_meets_a_full_disk_leaves_nothing_and_says_so() {
    let sandbox = Sandbox::new();
    let (laptop, out) = laptop(&sandbox);
    let file = out.join("x.capsule");
    for point in ["capture.opened", "capture.read", "checkpoint.sealed"] {
        let ran = fault(&laptop, &format!("{point}=full"), &["checkpoint".as_ref(), CLAUDE.as_ref(), "-o".as_ref(), file.as_os_str()]);
        ran.fails(128, "cannot").hints("free some space");
        assert!(names(&out).is_empty(), "{point}");
    }
}

#[test]
fn only_files_are_replaced_by_files() {
    let sandbox = Sandbox::new();
    let (laptop, out) = laptop(&sandbox);
    let force = |path: &Path| laptop.run(["checkpoint".as_ref(), CLAUDE.as_ref(), "-fo".as_ref(), path.as_os_str()]);
    force(&out).fails(128, "cannot replace");
    force(Path::new("/dev/null")).fails(128, "not a regular file");
    assert!(!Path::new("/dev/null").is_file());
    let (target, link) = (out.join("target"), out.join("link"));
    fs::write(&target, "kept").expect("written");
    std::os::unix::fs::symlink(&target, &link).expect("linked");
    force(&link).ok();
    assert_eq!(fs::read(&target).expect("it is there"), b"kept");
    assert!(link.is_file() && !link.is_symlink());
    laptop.run(["checkpoint".as_ref(), CLAUDE.as_ref(), "-o".as_ref(), out.join("no/such/x").as_os_str()]).fails(128, "No such file");
}

#[test]
fn a_signal_ends_a_checkpoint_by_that_signal_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    let (laptop, out) = laptop(&sandbox);
    grow(&laptop);
    let file = out.join("x.capsule");
    let before = snapshot(&laptop.home).len();
    for signal in SIGNALS {
        let mut paused = laptop.pause_at("capture.opened", ["checkpoint".as_ref(), CLAUDE.as_ref(), "-o".as_ref(), file.as_os_str()]);
        paused.signal(signal);
        let ran = paused.end();
        assert_eq!(ran.0.status.signal(), Some(signal), "{}", ran.stderr());
        assert!(names(&out).is_empty());
    }
    // At any moment, without a pause.
    for millis in [3, 30, 60, 100, 150] {
        let mut child = laptop.start(["checkpoint".as_ref(), CLAUDE.as_ref(), "-o".as_ref(), file.as_os_str()]);
        sleep(Duration::from_millis(millis));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("not reaped yet");
        let ended = child.wait().expect("it ends");
        match ended.code() {
            Some(0) => fs::remove_file(&file).expect("a whole one"),
            _ => assert_eq!(ended.signal(), Some(15)),
        }
        assert!(names(&out).is_empty(), "after {millis} ms");
    }
    assert_eq!(snapshot(&laptop.home).len(), before);
}

/// Nothing is taken away that a ref names, and nothing stays that none does.
#[test]
fn a_signal_at_the_end_of_a_checkpoint_leaves_the_chain_as_it_was_or_whole() {
    let project = Project::new();
    let laptop = project.plain("laptop");
    laptop.checkpoint("hello", &[]);
    let packs = || names(&laptop.cwd.join(".git/objects/pack"));
    let whole = || {
        laptop.git(["fsck", "--strict", "--no-dangling"]);
        laptop.run_here(["log", SESSION]).ok();
    };
    for signal in SIGNALS {
        for point in ["commit.folded", "pack.placed", "commit.packed"] {
            laptop.say("more");
            let before = (laptop.tip(), packs());
            let mut paused = laptop.pause_at(point, ["checkpoint", SESSION]);
            paused.signal(signal);
            let ran = paused.end();
            assert_eq!(ran.0.status.signal(), Some(signal), "{point}: {}", ran.stderr());
            assert_eq!((laptop.tip(), packs()), before, "{point}, {signal}");
            whole();
        }
    }
    // Once its refs have moved: Git ends well and we are to end, or Git is ended before it can say so.
    let hook = laptop.cwd.join(".git/hooks/reference-transaction");
    fs::create_dir_all(hook.parent().expect("a directory")).expect("made");
    let parent = "$(sed -n 's/^PPid:[^0-9]*//p' /proc/$PPID/status)";
    for kill in [format!("kill -TERM {parent}"), format!("kill -INT {parent}"), "kill -9 $PPID".to_owned()] {
        laptop.say("more");
        let tip = laptop.tip();
        fs::write(&hook, format!("#!/bin/sh\n[ \"$1\" != committed ] || {kill}\n")).expect("written");
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("set");
        let ran = laptop.run_here(["checkpoint", SESSION]);
        fs::remove_file(&hook).expect("it is there");
        assert_eq!(laptop.rev(&format!("{}~1", session_ref())), tip, "{kill}: {}", ran.stderr());
        whole();
    }
    laptop.checkpoint("the end", &[]);
}

#[test]
fn a_signal_ends_a_restore_before_its_commit_and_not_in_it() {
    let sandbox = Sandbox::new();
    let (laptop, _) = laptop(&sandbox);
    grow(&laptop);
    let desktop = sandbox.machine("desktop");
    desktop.init();
    let (capsule, trust) = (laptop.seal(CLAUDE, &desktop), laptop.fingerprint());
    let args = ["restore".as_ref(), capsule.as_os_str(), "--trust".as_ref(), trust.as_ref()];
    let before = snapshot(&desktop.home);
    for signal in SIGNALS {
        for point in ["restore.staging", "restore.staging#40"] {
            let mut paused = desktop.pause_at(point, args);
            assert!(desktop.claude().exists());
            paused.signal(signal);
            let ran = paused.end();
            assert_eq!(ran.0.status.signal(), Some(signal), "{point}: {}", ran.stderr());
            assert_eq!(snapshot(&desktop.home), before, "{point}");
        }
    }
    let mut paused = desktop.pause_at("restore.journalled", args);
    paused.signal(15);
    paused.end().ok();
    let there = desktop.claude_project().join(format!("{CLAUDE}.jsonl"));
    assert_eq!(fs::read(there).expect("it arrived"), fs::read(laptop.claude_project().join(format!("{CLAUDE}.jsonl"))).expect("there"));
}

/// Runs a shell script where mounting changes nothing for anybody else; `None` where that is not allowed.
fn with_own_mounts(machine: &Machine, script: &str) -> Option<Ran> {
    if !machine.command("unshare").args(["-m", "true"]).output().is_ok_and(|ran| ran.status.success()) {
        eprintln!("SKIPPED: mount namespaces are not allowed here; only the fault points stand for a full or read-only disk");
        return None;
    }
    Some(Ran(machine.command("unshare").args(["-m", "sh", "-euc", script]).output().expect("a shell")))
}

#[test]
fn a_disk_of_any_size_is_large_enough_or_left_as_it_was() {
    let sandbox = Sandbox::new();
    let (laptop, _) = laptop(&sandbox);
    let desktop = sandbox.machine("desktop");
    desktop.init();
    desktop.restore(&laptop.seal(CLAUDE_RICH, &desktop), &laptop).ok();
    for file in snapshot(&desktop.claude_project()).into_iter().map(|(path, _)| path).filter(|path| path.is_file()) {
        let mut text = fs::read(&file).expect("readable");
        text.extend(b"{\"type\":\"user\",\"message\":{\"content\":\"more\"}}\n");
        fs::write(&file, text).expect("writable");
    }
    let capsule = desktop.seal(CLAUDE_RICH, &laptop);
    let script = format!(
        r#"
        cp -a {claude} {sandbox}/copy
        look() {{ cd {claude}; find . | sort; find . -type f -exec sha256sum {{}} + | sort; cd /; }}
        for size in $(seq 248 12 512); do
            mount -t tmpfs -o size=${{size}}k none {claude}
            cp -a {sandbox}/copy/. {claude}/ 2> {sandbox}/said || {{ umount {claude}; continue; }}
            look > {sandbox}/before
            code=0
            git samesession restore {capsule} --trust {trust} > {sandbox}/said 2>&1 || code=$?
            look > {sandbox}/after
            if cmp -s {sandbox}/before {sandbox}/after; then state=same; else state=changed; fi
            echo "$size $code $state $(grep -c '^error: ' {sandbox}/said) $(grep -c 'free some space' {sandbox}/said)"
            umount {claude}
        done
        "#,
        claude = laptop.claude().display(),
        sandbox = sandbox.path().display(),
        capsule = capsule.display(),
        trust = desktop.fingerprint()
    );
    let Some(ran) = with_own_mounts(&laptop, &script) else { return };
    let told = ran.ok().stdout();
    let rows: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
    for row in &rows {
        match row[1] {
            "0" => assert_eq!(row[2..], ["changed", "0", "0"], "{told}"),
            "3" | "128" => assert_eq!(row[2..], ["same", "1", "1"], "{told}"),
            _ => panic!("{told}"),
        }
    }
    assert!(rows.iter().any(|row| row[1] == "0") && rows.iter().any(|row| row[1] != "0"), "{told}");
}

#[test]
fn what_is_read_only_is_read_and_not_written() {
    let sandbox = Sandbox::new();
    let (laptop, out) = laptop(&sandbox);
    let desktop = sandbox.machine("desktop");
    desktop.init();
    let capsule = desktop.with_claude().seal(CLAUDE_RICH, &laptop);
    let script = format!(
        "mount --bind {home} {home}; mount -o remount,bind,ro {home}
        git samesession sessions --all --json > {out}/sessions
        git samesession checkpoint {CLAUDE} -o {out}/x.capsule
        git samesession doctor
        code=0; git samesession checkpoint {CLAUDE} -o {home}/x.capsule || code=$?; echo checkpoint $code
        code=0; git samesession restore {capsule} --allow-unsigned --trust {trust} --into {out} || code=$?; echo restore $code",
        home = laptop.home.display(),
        out = out.display(),
        capsule = capsule.display(),
        trust = desktop.fingerprint(),
    );
    let before = snapshot(&laptop.home);
    let Some(ran) = with_own_mounts(&laptop, &script) else { return };
    let ran = ran.ok();
    assert!(ran.stdout().contains("checkpoint 128") && ran.stdout().contains("restore 128"), "{}\n{}", ran.stdout(), ran.stderr());
    let said = ran.stderr();
    assert_eq!(said.matches("Read-only file system").count(), 2, "{said}");
    assert_eq!(said.matches("hint: it is mounted read-only").count(), 2, "{said}");
    assert_eq!(without_journals(snapshot(&laptop.home)), before);
    assert!(out.join("x.capsule").is_file());
}
