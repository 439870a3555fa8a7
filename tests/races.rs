//! Two at once: both end well, or one is told; never a mixture, never a leftover.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::sandbox::{CLAUDE, CLAUDE_RICH, CODEX, CODEX_FORK, Machine, Ran, Sandbox, snapshot, without_journals};

const ROUNDS: usize = 20;

/// Starts all before it waits for any.
fn at_once(runs: &[(&Machine, Vec<OsString>)]) -> Vec<Ran> {
    let children: Vec<_> = runs.iter().map(|(machine, args)| machine.start(args)).collect();
    children.into_iter().map(|child| Ran(child.wait_with_output().expect("it ends"))).collect()
}

fn words(words: &[&OsStr]) -> Vec<OsString> {
    words.iter().map(|word| word.to_os_string()).collect()
}

fn append(path: &Path, text: &str) {
    fs::OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(text.as_bytes())).expect("appended");
}

#[track_caller]
fn assert_settled(home: &Path) {
    for entry in fs::read_dir(home.join(".samesession")).expect("journals").flatten() {
        let journal = fs::read(entry.path().join("journal.json")).expect("no stage without a journal");
        let journal: Value = serde_json::from_slice(&journal).expect("JSON");
        assert_eq!(journal["state"], "settled");
        assert!(!entry.path().join("new").exists());
    }
}

struct Pair {
    sandbox: Sandbox,
    laptop: Machine,
    desktop: Machine,
}

fn pair() -> Pair {
    let sandbox = Sandbox::in_memory();
    let (laptop, desktop) = (sandbox.machine("laptop"), sandbox.machine("desktop"));
    laptop.init().with_claude().with_codex();
    desktop.init();
    Pair { sandbox, laptop, desktop }
}

impl Pair {
    fn restore(&self, capsule: &Path) -> Vec<OsString> {
        let trust = self.laptop.fingerprint();
        words(&["restore".as_ref(), capsule.as_os_str(), "--trust".as_ref(), trust.as_ref()])
    }

    /// Both capsules at once into a home that is as it was, again and again; gives each round's home to look at.
    fn rounds(&self, first: &Path, second: &Path, mut look: impl FnMut(&[Ran])) {
        let (first, second) = (self.restore(first), self.restore(second));
        for _ in 0..ROUNDS {
            let _ = fs::remove_dir_all(self.desktop.claude());
            let _ = fs::remove_dir_all(self.desktop.codex());
            look(&at_once(&[(&self.desktop, first.clone()), (&self.desktop, second.clone())]));
        }
    }
}

#[test]
fn the_same_capsule_twice_is_installed_once() {
    let pair = pair();
    for (session, home) in [(CLAUDE_RICH, pair.desktop.claude()), (CODEX_FORK, pair.desktop.codex())] {
        let capsule = pair.laptop.seal(session, &pair.desktop);
        let mut expected = None;
        pair.rounds(&capsule, &capsule, |both| {
            let told: String = both.iter().map(|ran| format!("{}{}", ran.stdout(), ran.stderr())).collect();
            assert!(both.iter().all(|ran| ran.code() == Some(0)), "{told}");
            assert_eq!((told.matches(": installed").count(), told.matches(": already here").count()), (1, 1), "{told}");
            assert_settled(&home);
            let now = without_journals(snapshot(&home));
            assert_eq!(*expected.get_or_insert_with(|| now.clone()), now);
        });
    }
}

#[test]
fn an_older_and_a_newer_capsule_end_at_the_newer() {
    let pair = pair();
    let transcript = pair.laptop.claude_project().join(format!("{CLAUDE_RICH}.jsonl"));
    let older = pair.sandbox.path().join("older.capsule");
    fs::rename(pair.laptop.seal(CLAUDE_RICH, &pair.desktop), &older).expect("renamed");
    append(&transcript, "{\"type\":\"user\",\"message\":{\"content\":\"more\"}}\n");
    let newer = pair.laptop.seal(CLAUDE_RICH, &pair.desktop);
    let expected = fs::read(&transcript).expect("the session");
    let there = pair.desktop.claude_project().join(format!("{CLAUDE_RICH}.jsonl"));
    pair.rounds(&older, &newer, |both| {
        assert!(both.iter().all(|ran| ran.code() == Some(0)), "{}{}", both[0].stderr(), both[1].stderr());
        assert_eq!(fs::read(&there).expect("it arrived"), expected);
        assert_settled(&pair.desktop.claude());
    });
}

#[test]
fn different_sessions_do_not_hinder_each_other() {
    let pair = pair();
    let plain = pair.laptop.seal(CLAUDE, &pair.desktop);
    let rich = pair.laptop.seal(CLAUDE_RICH, &pair.desktop);
    pair.rounds(&plain, &rich, |both| {
        assert!(both.iter().all(|ran| ran.code() == Some(0)), "{}{}", both[0].stderr(), both[1].stderr());
        for session in [CLAUDE, CLAUDE_RICH] {
            assert!(pair.desktop.claude_project().join(format!("{session}.jsonl")).is_file());
        }
        assert_settled(&pair.desktop.claude());
    });
    let parent = pair.laptop.seal(CODEX, &pair.desktop);
    let fork = pair.laptop.seal(CODEX_FORK, &pair.desktop);
    pair.rounds(&parent, &fork, |both| {
        assert!(both.iter().all(|ran| ran.code() == Some(0)), "{}{}", both[0].stderr(), both[1].stderr());
        let day = pair.desktop.codex().join("sessions/2026/11/21");
        assert_eq!(fs::read_dir(day).expect("rollouts").count(), 2);
        assert_settled(&pair.desktop.codex());
    });
}

#[test]
fn one_that_fails_does_not_pull_the_other_down() {
    let pair = pair();
    let good = pair.laptop.seal(CLAUDE_RICH, &pair.desktop);
    let bad = pair.sandbox.path().join("bad.capsule");
    let mut bytes = fs::read(&good).expect("a capsule");
    bytes.truncate(bytes.len() - 1);
    fs::write(&bad, bytes).expect("written");
    pair.rounds(&good, &bad, |both| {
        assert_eq!((both[0].code(), both[1].code()), (Some(0), Some(128)), "{}{}", both[0].stderr(), both[1].stderr());
        assert!(pair.desktop.claude_project().join(format!("{CLAUDE_RICH}.jsonl")).is_file());
        assert_settled(&pair.desktop.claude());
    });
}

#[test]
fn a_restore_waits_for_the_one_before_it_and_leaves_it_alone() {
    let pair = pair();
    let capsule = pair.laptop.seal(CLAUDE_RICH, &pair.desktop);
    let mut first = pair.desktop.pause_at("restore.journalled", pair.restore(&capsule));
    let second = pair.desktop.start(pair.restore(&capsule));
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(!pair.desktop.claude_project().exists(), "neither has begun to change anything");
    assert!(first.end().ok().stdout().contains(": installed"));
    let second = Ran(second.wait_with_output().expect("it ends")).ok();
    assert!(second.stdout().contains("already here"), "{}", second.stdout());
    assert_settled(&pair.desktop.claude());
}

#[test]
fn a_file_that_changes_between_plan_and_commit_is_not_replaced() {
    let pair = pair();
    let here = pair.desktop.claude_project().join(format!("{CLAUDE}.jsonl"));
    let older = pair.laptop.seal(CLAUDE, &pair.desktop);
    pair.desktop.run(pair.restore(&older)).ok();
    append(&pair.laptop.claude_project().join(format!("{CLAUDE}.jsonl")), "{\"type\":\"user\",\"message\":{\"content\":\"there\"}}\n");
    let newer = pair.laptop.seal(CLAUDE, &pair.desktop);
    let mut paused = pair.desktop.pause_at("restore.planned", pair.restore(&newer));
    append(&here, "{\"type\":\"user\",\"message\":{\"content\":\"here\"}}\n");
    let before = fs::read(&here).expect("the session");
    paused.end().fails(128, "kept changing").hints("try again");
    assert_eq!(fs::read(&here).expect("the session"), before);
    pair.desktop.run(pair.restore(&newer)).fails(1, "went its own way");
    assert_settled(&pair.desktop.claude());
}

#[test]
fn what_is_written_while_a_file_is_replaced_is_not_lost() {
    let work = "{\"type\":\"user\",\"message\":{\"content\":\"here\"}}\n";
    for moment in ["restore.backed-up", "restore.placed"] {
        let pair = pair();
        let here = pair.desktop.claude_project().join(format!("{CLAUDE}.jsonl"));
        pair.desktop.run(pair.restore(&pair.laptop.seal(CLAUDE, &pair.desktop))).ok();
        append(&pair.laptop.claude_project().join(format!("{CLAUDE}.jsonl")), work);
        let newer = pair.laptop.seal(CLAUDE, &pair.desktop);
        // An agent keeps its transcript open.
        let mut open = fs::OpenOptions::new().append(true).open(&here).expect("opened");
        let mut paused = pair.desktop.pause_at(moment, pair.restore(&newer));
        open.write_all(work.as_bytes()).expect("written");
        open.write_all(b"{}\n").expect("written");
        paused.end().fails(3, "everything was put back").hints("try again");
        assert!(fs::read(&here).expect("the session").ends_with(b"{}\n"), "{moment}");
        pair.desktop.run(pair.restore(&newer)).ok();
    }
}

#[test]
fn two_that_make_a_device_make_one() {
    for _ in 0..ROUNDS {
        let sandbox = Sandbox::in_memory();
        let machine = sandbox.machine("laptop");
        let init = |name: &str| words(&["device".as_ref(), "init".as_ref(), "--name".as_ref(), name.as_ref()]);
        let both = at_once(&[(&machine, init("one")), (&machine, init("other"))]);
        let (won, lost): (Vec<_>, Vec<_>) = both.into_iter().partition(|ran| ran.code() == Some(0));
        assert_eq!((won.len(), lost.len()), (1, 1), "{}", lost.iter().chain(&won).map(Ran::stderr).collect::<String>());
        let shown = machine.run(["device", "show"]).ok().stdout();
        assert_eq!(shown, won[0].stdout());
        for lost in lost {
            lost.fails(1, "already is device").hints("device show");
        }
        let kept: Vec<PathBuf> = snapshot(&machine.home.join(".config/samesession")).into_iter().map(|(path, _)| path).collect();
        assert_eq!(kept.len(), 5, "{kept:?}");
    }
}

#[test]
fn two_first_checkpoints_share_the_device_that_one_of_them_makes() {
    for _ in 0..ROUNDS / 2 {
        let sandbox = Sandbox::in_memory();
        let machine = sandbox.machine("laptop");
        machine.with_claude();
        let out = |name: &str| sandbox.path().join(name);
        let seal = |file: &Path| words(&["checkpoint".as_ref(), CLAUDE.as_ref(), "-o".as_ref(), file.as_os_str()]);
        for ran in at_once(&[(&machine, seal(&out("a"))), (&machine, seal(&out("b")))]) {
            ran.ok();
        }
        for file in ["a", "b"] {
            machine.run([OsStr::new("restore"), out(file).as_os_str()]).ok();
        }
    }
}

#[test]
fn one_output_goes_to_one_checkpoint() {
    let pair = pair();
    let file = pair.sandbox.path().join("out").join("x.capsule");
    fs::create_dir(file.parent().expect("a directory")).expect("made");
    for force in [false, true] {
        for _ in 0..ROUNDS {
            let _ = fs::remove_file(&file);
            let flag = if force { "-fo" } else { "-o" };
            let seal = |session: &str| words(&["checkpoint".as_ref(), session.as_ref(), flag.as_ref(), file.as_os_str()]);
            let both = at_once(&[(&pair.laptop, seal(CLAUDE)), (&pair.laptop, seal(CLAUDE_RICH))]);
            let winners = both.iter().filter(|ran| ran.code() == Some(0)).count();
            assert_eq!(winners, if force { 2 } else { 1 }, "{}{}", both[0].stderr(), both[1].stderr());
            for ran in both.into_iter().filter(|ran| ran.code() != Some(0)) {
                ran.fails(1, "already exists").hints("--force");
            }
            assert_eq!(fs::read_dir(file.parent().expect("a directory")).expect("one").count(), 1);
            pair.laptop.run([OsStr::new("restore"), file.as_os_str(), "-n".as_ref()]).ok();
        }
    }
}
