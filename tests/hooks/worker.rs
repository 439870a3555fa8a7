//! What an agent's hook leaves behind it: work that may be killed, or find no room, while its agent goes on.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use super::agents::installed;
use super::scene::soon;
use crate::support::chains::id;
use crate::support::clones::sid_of;

#[test]
fn what_dies_half_way_or_finds_no_room_is_made_up_for_by_the_next_turn() {
    for fault in ["commit.folded=full", "commit.folded=kill", "commit.packed=kill", "commit.referenced=kill", "push.begun=kill"] {
        let (scene, command) = installed();
        let laptop = &scene.laptop;
        let ran = laptop.env("SAMESESSION_FAULT", fault).fires(&command("SessionEnd"), &id(1)).ok();
        assert_eq!((ran.stdout(), ran.stderr()), (String::new(), String::new()), "{fault}");
        soon("it has ended", || laptop.workers().is_empty());
        assert_eq!(scene.sent(1), None, "{fault}");
        if fault.ends_with("full") {
            assert!(laptop.run_here(["hook", "status"]).ok().stdout().contains("NOT done"), "{}", laptop.hook_log());
        }
        laptop.fires(&command("SessionEnd"), &id(1)).ok();
        soon("it is sent", || scene.sent(1).is_some());
        assert_eq!(scene.sent(1), laptop.chain(1), "{fault}");
        laptop.at_rest();
        laptop.assert_sound(true);
    }
}

/// Half a gigabyte, of which the hook sees its name and no more. Counted is what it and all that it has waited for have read.
#[test]
fn a_transcript_of_any_length_is_not_read_while_its_agent_waits() {
    let (scene, command) = installed();
    let laptop = &scene.laptop;
    laptop.fires(&command("Stop"), &id(1)).ok();
    laptop.at_rest();
    fs::OpenOptions::new().write(true).open(laptop.transcript_of(&id(1))).and_then(|file| file.set_len(500 << 20)).expect("made long");
    // Somebody else is at work with it, so that nobody is started.
    let lock = laptop.cwd.join(".git/samesession/hooks").join(sid_of(&id(1)));
    let held = fs::File::open(&lock).expect("it was worked on");
    held.lock().expect("it is free");
    let mut shell = laptop.command("sh");
    shell.args(["-c", &format!("{}; cat /proc/$$/io >&2", command("Stop"))]);
    let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a shell");
    let said = serde_json::json!({"session_id": id(1), "cwd": laptop.cwd});
    child.stdin.take().expect("piped").write_all(said.to_string().as_bytes()).expect("written");
    let out = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&out.stderr);
    let read: u64 = said.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok()).expect("a number");
    assert!((1..1 << 20).contains(&read), "{read} bytes: {said}");
    assert!(laptop.cwd.join(".git/samesession/hooks").join(format!("{}.asked", sid_of(&id(1)))).exists(), "it has asked");
    // That would be half a gigabyte of nothing.
    fs::OpenOptions::new().write(true).open(laptop.transcript_of(&id(1))).and_then(|file| file.set_len(0)).expect("made short");
}

/// By a clock that the test sets, in minutes before now: each checkpoint is one turn.
#[test]
fn old_checkpoints_become_one_an_hour_and_one_a_day() {
    let (scene, command) = installed();
    let clock = scene.laptop.home.join("clock");
    let laptop = &scene.laptop.env("SAMESESSION_TEST_CLOCK", &clock);
    laptop.git(["config", "samesession.keep", "2 1d 3d"]);
    for (n, minutes) in [7200, 6480, 2880, 2850, 298, 290, 10, 0].into_iter().enumerate() {
        fs::write(&clock, format!("-{}", minutes * 60)).expect("set");
        laptop.adds(&id(1), &format!("turn {n}"));
        laptop.fires(&command("Stop"), &id(1)).ok();
        laptop.at_rest();
    }
    // Two newest, of those about five hours old the newer one, of the older days the newest of one.
    let tip = laptop.chain(1).expect("a chain");
    assert_eq!(laptop.count(&tip), 4, "{}", laptop.hook_log());
    let log = laptop.run_here(["log", &id(1)]).ok().stdout();
    for n in [7, 6, 5, 3] {
        assert!(log.contains(&format!("\"turn {n}\"")), "{n}: {log}");
    }
    assert!(!laptop.hook_log().contains("NOT"), "{}", laptop.hook_log());
    laptop.assert_sound(true);
}
