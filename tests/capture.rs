//! A checkpoint while the agent is at work, and among files that are no sessions.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::faults::Paused;
use crate::support::sandbox::{CLAUDE, CLAUDE_RICH, CODEX, Machine, Ran, Sandbox, snapshot};

struct Live {
    _sandbox: Sandbox,
    laptop: Machine,
    desktop: Machine,
    transcript: PathBuf,
    /// An empty directory but for this.
    capsule: PathBuf,
}

impl Live {
    fn new(session: &str) -> Live {
        let sandbox = Sandbox::in_memory();
        let (laptop, desktop) = (sandbox.machine("laptop"), sandbox.machine("desktop"));
        laptop.init().with_claude();
        desktop.init();
        let transcript = laptop.claude_project().join(format!("{session}.jsonl"));
        let capsule = sandbox.path().join("out/x.capsule");
        fs::create_dir(capsule.parent().expect("a directory")).expect("made");
        Live { _sandbox: sandbox, laptop, desktop, transcript, capsule }
    }

    fn args(&self) -> Vec<String> {
        let session = self.transcript.file_stem().expect("an id").to_str().expect("an id");
        let capsule = self.capsule.to_str().expect("UTF-8");
        ["checkpoint", session, "-o", capsule, "-r", &self.desktop.recipient()].map(str::to_owned).to_vec()
    }

    fn pause_at(&self, point: &str) -> Paused {
        self.laptop.pause_at(point, self.args())
    }

    /// What the capsule brings to another machine.
    fn arrived(&self) -> Vec<u8> {
        let _ = fs::remove_dir_all(self.desktop.claude());
        self.desktop.restore(&self.capsule, &self.laptop).ok();
        fs::remove_file(&self.capsule).expect("it is there");
        fs::read(self.desktop.claude_project().join(self.transcript.file_name().expect("a name"))).expect("it arrived")
    }

    fn assert_nothing_written(&self) {
        assert_eq!(fs::read_dir(self.capsule.parent().expect("a directory")).expect("one").count(), 0);
    }
}

fn append(path: &Path, text: &str) {
    fs::OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(text.as_bytes())).expect("appended");
}

fn line(n: usize) -> String {
    format!("{{\"type\":\"user\",\"message\":{{\"content\":\"line {n}\"}}}}\n")
}

/// Other bytes of the same length in the same file, with its old time of change put back.
fn rewrite_unseen(path: &Path, from: &str, to: &str) -> Vec<u8> {
    let modified = fs::metadata(path).and_then(|meta| meta.modified()).expect("a time");
    let text = fs::read_to_string(path).expect("the session").replace(from, to);
    let file = fs::OpenOptions::new().write(true).open(path).expect("writable");
    (&file).write_all(text.as_bytes()).expect("written");
    file.set_modified(modified).expect("set");
    text.into_bytes()
}

#[test]
fn one_that_grows_is_captured_as_it_stood() {
    for point in ["capture.opened", "capture.read"] {
        let live = Live::new(CLAUDE);
        let before = fs::read(&live.transcript).expect("the session");
        let mut paused = live.pause_at(point);
        append(&live.transcript, &line(1));
        append(&live.transcript, "{\"torn");
        let ran = paused.end().ok();
        assert!(ran.stderr().contains("is being worked in"), "{}", ran.stderr());
        assert!(!ran.stderr().contains("was not complete"), "{}", ran.stderr());
        assert_eq!(live.arrived(), before, "{point}");
    }
}

#[test]
fn under_a_writer_who_never_rests_every_capsule_is_a_prefix_of_whole_lines() {
    let live = Live::new(CLAUDE);
    let stop = AtomicBool::new(false);
    let captured: Vec<Vec<u8>> = thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = fs::OpenOptions::new().append(true).open(&live.transcript).expect("writable");
            for n in 0.. {
                // In two pieces, so that most looks find a torn line.
                let line = line(n);
                let (a, b) = line.split_at(line.len() / 2);
                file.write_all(a.as_bytes()).and_then(|()| file.write_all(b.as_bytes())).expect("written");
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                thread::sleep(Duration::from_micros(50));
            }
        });
        let captured = (0..8).map(|_| {
            Ran(live.laptop.start(live.args()).wait_with_output().expect("it ends")).ok();
            live.arrived()
        });
        let captured = captured.collect();
        stop.store(true, Ordering::Relaxed);
        captured
    });
    let whole = fs::read(&live.transcript).expect("the session");
    for (n, capsule) in captured.iter().enumerate() {
        assert!(capsule.ends_with(b"\n") && whole.starts_with(capsule), "capsule {n} is no prefix");
    }
    assert!(captured.windows(2).all(|pair| pair[0].len() < pair[1].len()), "it grew all the time");
}

#[test]
fn one_that_shrinks_is_read_again() {
    for point in ["capture.opened", "capture.read"] {
        let live = Live::new(CLAUDE);
        let whole = fs::read(&live.transcript).expect("the session");
        let first = whole.iter().position(|&b| b == b'\n').expect("a line") + 1;
        let mut paused = live.pause_at(point);
        fs::OpenOptions::new().write(true).open(&live.transcript).and_then(|file| file.set_len(first as u64)).expect("cut");
        paused.end().ok();
        assert_eq!(live.arrived(), &whole[..first], "{point}");
    }
}

#[test]
fn one_that_is_rewritten_with_its_size_and_time_kept_is_read_again() {
    let live = Live::new(CLAUDE);
    let mut paused = live.pause_at("capture.read");
    let before = fs::metadata(&live.transcript).expect("there");
    let rewritten = rewrite_unseen(&live.transcript, "\"user\"", "\"USER\"");
    let after = fs::metadata(&live.transcript).expect("there");
    assert_eq!((before.len(), before.mtime_nsec(), before.ino()), (after.len(), after.mtime_nsec(), after.ino()));
    paused.end().ok();
    assert_eq!(live.arrived(), rewritten);
}

#[test]
fn one_that_is_rewritten_longer_before_the_first_read_does_not_end_in_the_middle_of_a_line() {
    let live = Live::new(CLAUDE);
    let mut paused = live.pause_at("capture.opened");
    let rewritten: String = (0..2000).map(line).collect();
    fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&live.transcript)
        .and_then(|mut file| file.write_all(rewritten.as_bytes()))
        .expect("rewritten");
    paused.end().ok();
    assert_eq!(live.arrived(), rewritten.as_bytes());
}

#[test]
fn one_that_is_replaced_is_read_again() {
    let live = Live::new(CLAUDE);
    let other: String = (0..50).map(line).collect();
    let mut paused = live.pause_at("capture.read");
    let beside = live.transcript.with_extension("tmp");
    fs::write(&beside, &other).and_then(|()| fs::rename(&beside, &live.transcript)).expect("replaced");
    paused.end().ok();
    assert_eq!(live.arrived(), other.as_bytes());
}

#[test]
fn one_that_is_deleted_is_no_session_any_more() {
    for point in ["capture.opened", "capture.read"] {
        let live = Live::new(CLAUDE);
        let mut paused = live.pause_at(point);
        fs::remove_file(&live.transcript).expect("removed");
        paused.end().fails(1, "no session matches");
        live.assert_nothing_written();
    }
}

#[test]
fn a_side_file_that_goes_and_another_that_comes_are_seen_at_the_next_attempt() {
    let live = Live::new(CLAUDE_RICH);
    let own = live.laptop.claude_project().join(CLAUDE_RICH);
    let mut paused = live.pause_at("capture.opened");
    fs::remove_dir_all(own.join("subagents")).expect("removed");
    fs::write(own.join("tool-results/new.txt"), "new").expect("written");
    paused.end().ok();
    live.arrived();
    let there = live.desktop.claude_project().join(CLAUDE_RICH);
    assert!(!there.join("subagents").exists());
    assert_eq!(fs::read(there.join("tool-results/new.txt")).expect("it arrived"), b"new");
}

#[test]
fn one_that_never_stops_changing_is_given_up_after_three_attempts() {
    let live = Live::new(CLAUDE);
    let gate = live.capsule.parent().and_then(Path::parent).expect("in a sandbox").join("gate");
    let faults: Vec<String> = (1..6).map(|n| format!("capture.read#{n}=pause:{}", gate.display())).collect();
    let mut child = live.laptop.env("SAMESESSION_FAULT", faults.join(",")).start(live.args());
    let mut attempts = 0;
    while child.try_wait().expect("a child").is_none() {
        if gate.exists() {
            attempts += 1;
            let words = if attempts % 2 == 1 { ["\"user\"", "\"USER\""] } else { ["\"USER\"", "\"user\""] };
            rewrite_unseen(&live.transcript, words[0], words[1]);
            fs::remove_file(&gate).expect("it waits");
        }
        thread::sleep(Duration::from_millis(2));
    }
    let ran = Ran(child.wait_with_output().expect("it ended"));
    ran.fails(128, "kept changing while it was read").hints("when the agent has finished its turn");
    assert_eq!(attempts, 3);
    live.assert_nothing_written();
}

/// Things that are called like sessions; with what is said of them.
fn broken(project: &Path) -> Vec<(String, &'static str)> {
    let mut count = 0;
    let mut path = |why| {
        count += 1;
        let id = format!("dddddddd-0000-4000-8000-{count:012}");
        (project.join(format!("{id}.jsonl")), (id, why))
    };
    let (empty, a) = path("no complete record");
    fs::write(empty, "").expect("written");
    let (torn, b) = path("no complete record");
    fs::write(torn, "{\"type\":\"user\"}").expect("written");
    let (garbage, c) = path("damaged");
    fs::write(garbage, b"\x7fELF\x00\xff\xfe\n\x01\x02\n".repeat(1000)).expect("written");
    let (directory, d) = path("not a regular file");
    fs::create_dir(directory).expect("made");
    let (dangling, e) = path("No such file");
    symlink("/nowhere/at/all", dangling).expect("linked");
    let (pipe, f) = path("not a regular file");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let (unreadable, g) = path("Permission denied");
    fs::write(&unreadable, line(1)).expect("written");
    fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o000)).expect("set");
    let mut all = vec![a, b, c, d, e, f];
    // Nothing is unreadable to root.
    all.extend(fs::read(&unreadable).is_err().then_some(g));
    all
}

#[test]
fn broken_ones_among_a_thousand_are_named_and_the_others_are_listed() {
    let sandbox = Sandbox::in_memory();
    let laptop = sandbox.machine("laptop");
    laptop.init();
    let project = laptop.claude_project();
    fs::create_dir_all(&project).expect("made");
    let envelope = |n: usize| serde_json::json!({"type": "user", "cwd": laptop.cwd, "message": {"content": format!("prompt {n}")}});
    for n in 0..1000 {
        fs::write(project.join(format!("cccccccc-0000-4000-8000-{n:012}.jsonl")), format!("{}\n", envelope(n))).expect("written");
    }
    let broken = broken(&project);
    for all in [true, false] {
        let listed = laptop.json(if all { vec!["sessions", "--all"] } else { vec!["sessions"] });
        let sessions = listed["sessions"].as_array().expect("sessions");
        let good = sessions.iter().filter(|row| row["native_id"].as_str().expect("an id").starts_with('c')).count();
        assert_eq!(good, 1000);
        let told = listed["broken"].as_array().expect("broken ones");
        assert_eq!(told.len(), broken.len(), "{told:?}");
        for (id, why) in &broken {
            let row = told.iter().find(|row| row["path"].as_str().expect("a path").contains(id.as_str())).expect("named");
            assert!(row["why"].as_str().expect("a reason").contains(why), "{row}");
        }
    }
    let text = laptop.run(["sessions"]).ok();
    assert_eq!(text.stderr().matches("cannot be read as a session").count(), broken.len());
    // None of them is in the way of another one, nor hangs or kills anything when it is asked for.
    laptop.run(["show", "cccccccc-0000-4000-8000-000000000007"]).ok();
    laptop.run(["show", "cccccccc-0000-4000-8000-00000000000"]).fails(1, "could be 10 sessions");
    for (id, _) in &broken {
        let ran = laptop.run(["checkpoint", id, "-o", "x.capsule"]);
        let code = ran.code().expect("an exit code");
        assert!(matches!(code, 1 | 128), "{}", ran.stderr());
        ran.fails(code, "");
        assert!(!laptop.cwd.join("x.capsule").exists());
    }
    let doctor = laptop.run(["doctor"]).fails(1, "troubles were found");
    assert_eq!(doctor.stdout().matches("cannot be read as a session").count(), broken.len());
}

#[test]
fn broken_rollouts_are_named_and_the_others_are_listed() {
    let sandbox = Sandbox::in_memory();
    let laptop = sandbox.machine("laptop");
    laptop.init().with_codex();
    let day = laptop.codex().join("sessions/2026/11/21");
    let name = |n: u32, end: &str| day.join(format!("rollout-2026-11-21T05-00-00-eeeeeeee-0000-7000-8000-{n:012}{end}"));
    fs::write(name(1, ".jsonl"), "").expect("written");
    fs::write(name(2, ".jsonl"), "no newline").expect("written");
    fs::write(name(3, ".jsonl"), [0xff; 4096]).expect("written");
    fs::write(name(4, ".jsonl"), "{\"type\":\"other\",\"payload\":{}}\n").expect("written");
    fs::write(name(5, ".jsonl.zst"), "not packed at all").expect("written");
    fs::create_dir(name(6, ".jsonl")).expect("made");
    symlink("/nowhere", name(7, ".jsonl")).expect("linked");
    let before = snapshot(&laptop.home);
    let listed = laptop.json(["sessions", "--all", "--helpers"]);
    assert_eq!(listed["sessions"].as_array().expect("sessions").len(), 5);
    assert_eq!(listed["broken"].as_array().expect("broken ones").len(), 5, "{}", listed["broken"]);
    laptop.run([OsStr::new("checkpoint"), CODEX.as_ref(), "-n".as_ref()]).ok();
    assert_eq!(snapshot(&laptop.home), before);
}
