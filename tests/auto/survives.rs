//! What the watcher must survive, and what must survive it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::hooks::scene::{Scene, bare_scene, soon};
use crate::support::chains::id;
use crate::support::mark;
use crate::support::sandbox::Machine;

#[test]
fn many_that_start_one_at_once_have_one() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    let repositories: Vec<Machine> = (0..8).map(|n| laptop.at(laptop.home.join(format!("r{n}")))).collect();
    for one in &repositories {
        one.git(["init", "-q", "."]);
    }
    std::thread::scope(|scope| {
        for one in &repositories {
            scope.spawn(|| one.run_here(["auto", "on", "--every", "1s"]).ok());
        }
    });
    let pid = laptop.watcher();
    assert_eq!(laptop.json(["auto", "status"])["watcher"]["repositories"], 8);
    // A second one by hand sees that it is not needed.
    assert_eq!(laptop.json(["auto", "watch"])["ended"], "another");
    assert_eq!(laptop.watcher(), pid);

    // No terminal, nobody to ask, last in line, on one processor.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    assert_eq!((fields[3], fields[4], fields[16]), (&*pid.to_string(), "0", "19"), "session, terminal, niceness: {stat}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is there");
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("a list").trim();
    assert!(allowed.parse::<u32>().is_ok(), "{allowed}");
    if mark::sees_everything() {
        let environ = String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/environ")).expect("it is there")).into_owned();
        assert!(environ.contains("GIT_TERMINAL_PROMPT=0\0") && environ.contains("GIT_ASKPASS=\0"), "{environ}");
        assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).expect("it is there"), Path::new("/"), "it holds no disk");
    } else {
        eprintln!("SKIPPED: the environment of the watcher, which only the superuser reads");
    }

    // Its home goes, and so does it; nothing of it comes back.
    fs::remove_dir_all(laptop.home.join(".config/samesession/auto")).expect("removed");
    laptop.no_watcher();
    assert!(!laptop.auto_dir().exists());
}

/// Waits until its worker stands in the middle of a checkpoint.
fn half_way(fault: &str) -> (Scene, u32) {
    let scene = bare_scene();
    let gate = scene.laptop.home.join("gate");
    let faulty = scene.laptop.env("SAMESESSION_FAULT", fault.replace("GATE", gate.to_str().expect("text")));
    faulty.run_here(["auto", "on", "--every", "1s"]).ok();
    let pid = scene.laptop.watcher();
    (scene, pid)
}

#[test]
fn one_that_is_killed_half_way_is_followed_by_another_on_demand() {
    let (scene, pid) = half_way("commit.folded=pause:GATE");
    let laptop = &scene.laptop;
    let gate = laptop.home.join("gate");
    soon("its work has begun", || gate.exists());
    laptop.kill("-KILL", pid);
    laptop.no_watcher();
    // Nobody has to say anything about it: whatever command comes next, once the lock is free.
    soon("another one", || {
        laptop.run_here(["list"]).ok();
        !laptop.watchers().is_empty()
    });
    let next = laptop.watcher();
    assert_ne!(next, pid);
    assert_eq!(laptop.chain(1), None);
    fs::remove_file(&gate).expect("removed");
    soon("a checkpoint", || laptop.chain(1).is_some());
    laptop.at_rest();
    laptop.adds(&id(1), "more");
    soon("another one", || laptop.chain(1).is_some_and(|tip| laptop.count(&tip) == 2));
    laptop.at_rest();
    assert_eq!(laptop.watcher(), next);
    laptop.assert_sound(true);
}

#[test]
fn workers_that_die_and_full_disks_are_tried_again_and_said() {
    for (fault, said) in [("commit.packed=kill", "has died"), ("commit.folded=full", "NOT done")] {
        let (scene, pid) = half_way(fault);
        let laptop = &scene.laptop;
        soon("it is said", || laptop.auto_log().contains(said));
        // Not once more at every moment, and it is still there.
        std::thread::sleep(Duration::from_millis(1500));
        assert!(laptop.auto_log().matches("NOT done").count() <= 2, "{}", laptop.auto_log());
        assert_eq!(laptop.watcher(), pid);
        assert!(laptop.run_here(["auto", "status"]).ok().stdout().contains("NOT done"));
        assert_eq!(laptop.chain(1), None);
        laptop.kill("-TERM", pid);
        laptop.no_watcher();
        laptop.watcher();
        soon("a checkpoint", || laptop.chain(1).is_some());
        laptop.at_rest();
        laptop.assert_sound(true);
    }
}

/// One at a time, so that they take one processor and not twenty.
#[test]
fn twenty_sessions_at_once_are_looked_after_one_by_one() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    laptop.run_here(["auto", "on", "--every", "1s"]).ok();
    laptop.watcher();
    (2..=20).for_each(|n| laptop.begin(&id(n)));
    let mut most = 0;
    soon("a checkpoint of each", || {
        most = most.max(laptop.workers().len());
        (1..=20).all(|n| laptop.chain(n).is_some())
    });
    assert!(most <= 1, "{most} at once");
    laptop.at_rest();
    (1..=20).for_each(|n| assert_eq!(laptop.count(&laptop.chain(n).expect("a chain")), 1, "{n}"));
    laptop.assert_sound(false);
}

/// Looking costs the ends of a transcript, and the longer a checkpoint takes the fewer there are.
#[test]
fn a_long_transcript_that_grows_is_not_read_at_every_turn() {
    if !mark::sees_everything() {
        return eprintln!("SKIPPED: only the superuser sees how much the watcher has read");
    }
    let scene = bare_scene();
    let laptop = &scene.laptop;
    const LONG: u64 = 64 << 20;
    laptop.adds(&id(1), &"long ".repeat(13_000_000));
    assert!(fs::metadata(laptop.transcript_of(&id(1))).expect("there").len() > LONG - (4 << 20));
    laptop.run_here(["auto", "on", "--every", "1s"]).ok();
    let pid = laptop.watcher();
    soon("a checkpoint", || laptop.chain(1).is_some());
    laptop.at_rest();
    let read = || {
        let io = fs::read_to_string(format!("/proc/{pid}/io")).expect("it is there");
        io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse::<u64>().ok()).expect("a number")
    };
    let (before, begun) = (read(), Instant::now());
    while begun.elapsed() < Duration::from_secs(5) {
        laptop.adds(&id(1), "a few words");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(read() - before < LONG / 8, "the watcher has read {} bytes", read() - before);
    laptop.at_rest();
    let made = laptop.count(&laptop.chain(1).expect("a chain"));
    assert!(made <= 3, "{made}: {}", laptop.hook_log());
    // What came last is not forgotten.
    laptop.run_here(["auto", "off"]).ok();
}

#[test]
fn it_goes_with_its_program_and_is_what_that_is() {
    let scene = bare_scene();
    let bin = scene.laptop.home.join("bin");
    fs::create_dir_all(&bin).expect("made");
    let program = bin.join("git-samesession");
    let put = || {
        let fresh = bin.join("fresh");
        fs::copy(env!("CARGO_BIN_EXE_git-samesession"), &fresh).expect("copied");
        fs::rename(&fresh, &program).expect("renamed");
        fs::metadata(&program).expect("there").ino()
    };
    put();
    let laptop = &scene.laptop.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()));
    laptop.run(["auto", "on", "--every", "1s"]).ok();
    soon("a checkpoint", || laptop.chain(1).is_some());
    let pid = laptop.watcher();
    // Another version: the same process, with the new program in it.
    let now = put();
    laptop.adds(&id(1), "more");
    let seen = mark::sees_everything();
    if !seen {
        eprintln!("SKIPPED: only the superuser sees which program it is");
    }
    soon("it is the new one", || !seen || fs::metadata(format!("/proc/{pid}/exe")).is_ok_and(|meta| meta.ino() == now));
    soon("another checkpoint", || laptop.chain(1).is_some_and(|tip| laptop.count(&tip) == 2));
    assert_eq!(laptop.watcher(), pid);
    laptop.at_rest();
    fs::remove_file(&program).expect("removed");
    laptop.adds(&id(1), "and more");
    laptop.no_watcher();
    assert!(laptop.auto_log().contains("the program is not there any more"), "{}", laptop.auto_log());
}

#[test]
fn a_repository_that_is_removed_is_no_trouble_to_anybody() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    laptop.run_here(["auto", "on", "--every", "1s"]).ok();
    soon("a checkpoint", || laptop.chain(1).is_some());
    laptop.watcher();
    laptop.at_rest();
    fs::remove_dir_all(laptop.cwd.join(".git")).expect("removed");
    laptop.adds(&id(1), "to nobody");
    laptop.no_watcher();
    assert!(!laptop.auto_log().contains("NOT"), "{}", laptop.auto_log());
}

/// Whose processes nobody looks after.
#[test]
fn in_somebody_elses_automation_nothing_is_started() {
    let scene = bare_scene();
    let laptop = &scene.laptop.env("CI", "true");
    let ran = laptop.run_here(["auto", "on", "--every", "1s"]).ok();
    assert!(ran.stderr().contains("no watcher is started"), "{}", ran.stderr());
    laptop.run_here(["list"]).ok();
    laptop.run_here(["auto", "status"]).ok();
    assert!(laptop.watchers().is_empty());
    assert_eq!(laptop.json(["auto", "status"])["watcher"]["wanted"], true);
    // Nor by what an agent runs, which may be locked in.
    let inside = scene.laptop.env("CLAUDE_CODE_SESSION_ID", id(1));
    inside.run_here(["list"]).ok();
    inside.run_here(["auto", "status"]).ok();
    assert!(laptop.watchers().is_empty());
    assert_eq!(laptop.chain(1), None);
    scene.laptop.run_here(["list"]).ok();
    scene.laptop.watcher();
}
