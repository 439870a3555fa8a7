//! There, and back again: a session sealed on one machine, installed on another, continued, and brought home.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::Path;

use crate::support::sandbox::{CLAUDE, CLAUDE_RICH, Machine, Sandbox, snapshot, without_journals};

fn two(sandbox: &Sandbox) -> (Machine, Machine) {
    let (laptop, desktop) = (sandbox.machine("laptop"), sandbox.machine("desktop"));
    laptop.init();
    desktop.init();
    (laptop, desktop)
}

fn append(path: &Path, text: &str) {
    fs::OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(text.as_bytes())).expect("appended");
}

#[test]
fn a_claude_session_arrives_whole_under_the_new_directory() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = two(&sandbox);
    laptop.with_claude();
    let capsule = laptop.seal(CLAUDE_RICH, &desktop);
    desktop.restore(&capsule, &laptop).ok();
    for below in [
        format!("{CLAUDE_RICH}.jsonl"),
        format!("{CLAUDE_RICH}/tool-results/be4ohcei2.txt"),
        format!("{CLAUDE_RICH}/subagents/agent-a0af073bf73c7e6cc.jsonl"),
        format!("{CLAUDE_RICH}/subagents/agent-a0af073bf73c7e6cc.meta.json"),
    ] {
        let (from, to) = (laptop.claude_project().join(&below), desktop.claude_project().join(&below));
        assert_eq!(fs::read(&to).expect("it arrived"), fs::read(&from).expect("it is there"), "{below}");
    }
    let history = format!("file-history/{CLAUDE_RICH}");
    assert_eq!(fs::read_dir(desktop.claude().join(history)).expect("it arrived").count(), 2);
    // The other sessions of that directory stayed at home.
    assert!(!desktop.claude_project().join(format!("{CLAUDE}.jsonl")).exists());
}

#[test]
fn there_and_back_again_goes_forward_and_nothing_is_lost() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = two(&sandbox);
    laptop.with_claude();
    let here = laptop.claude_project().join(format!("{CLAUDE}.jsonl"));
    let there = desktop.claude_project().join(format!("{CLAUDE}.jsonl"));
    let first = fs::read(&here).expect("the session");

    let told = desktop.restore(&laptop.seal(CLAUDE, &desktop), &laptop).ok();
    assert!(told.stdout().contains("stage reached: discoverable"), "{}", told.stdout());
    assert_eq!(fs::read(&there).expect("it arrived"), first);
    append(&there, "{\"type\":\"user\",\"sessionId\":\"x\",\"cwd\":\"/elsewhere\",\"message\":{\"content\":\"more\"}}\n");
    let longer = fs::read(&there).expect("the session");
    // Its agent has gone on with it there, and a restore that finds it so can say so.
    let again = desktop.run([OsStr::new("restore"), laptop.seal(CLAUDE, &desktop).as_os_str()]).ok();
    assert!(again.stdout().contains("stage reached: resumed"), "{}", again.stdout());

    let home = desktop.seal(CLAUDE, &laptop);
    let answer = laptop.restore(&home, &desktop).ok();
    assert!(answer.stdout().contains("brought forward"), "{}", answer.stdout());
    assert_eq!(fs::read(&here).expect("it came back"), longer);
    let kept = snapshot(&laptop.claude().join(".samesession"));
    assert!(kept.iter().any(|(path, bytes)| path.iter().any(|part| part == "old") && *bytes == first), "a backup of what was replaced");

    // Again, and from behind: nothing happens.
    let before = without_journals(snapshot(&laptop.home));
    assert!(laptop.restore(&home, &desktop).ok().stdout().contains("already here"));
    append(&here, "{\"type\":\"user\",\"message\":{\"content\":\"even more\"}}\n");
    assert!(laptop.restore(&home, &desktop).ok().stdout().contains("ahead of the capsule"));
    let after = without_journals(snapshot(&laptop.home));
    assert_eq!(before.len(), after.len());
}

#[test]
fn two_ways_are_never_merged_and_both_ways_out_are_named() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = two(&sandbox);
    laptop.with_claude();
    let here = laptop.claude_project().join(format!("{CLAUDE}.jsonl"));
    let there = desktop.claude_project().join(format!("{CLAUDE}.jsonl"));
    desktop.restore(&laptop.seal(CLAUDE, &desktop), &laptop).ok();
    append(&there, "{\"type\":\"user\",\"message\":{\"content\":\"there\"}}\n");
    append(&here, "{\"type\":\"user\",\"message\":{\"content\":\"here\"}}\n");
    let capsule = desktop.seal(CLAUDE, &laptop);
    let (mine, before) = (fs::read(&here).expect("mine"), snapshot(&laptop.claude()));
    let refused = laptop.restore(&capsule, &desktop).fails(1, "went its own way");
    refused.hints(&format!("git samesession fork {CLAUDE}")).hints("--set-aside");
    assert_eq!(snapshot(&laptop.claude()), before);

    laptop.run([OsStr::new("restore"), capsule.as_os_str(), "--set-aside".as_ref()]).ok();
    assert_eq!(fs::read(&here).expect("theirs"), fs::read(&there).expect("theirs"));
    let kept = snapshot(&laptop.claude().join(".samesession"));
    assert!(kept.iter().any(|(_, bytes)| *bytes == mine), "mine is kept");
}

#[test]
fn one_id_stands_at_one_place_of_a_home() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = two(&sandbox);
    laptop.with_claude();
    let capsule = laptop.seal(CLAUDE_RICH, &laptop);
    let other = laptop.at(laptop.home.join("src/other.place"));
    let into = |machine: &Machine| [OsStr::new("restore").to_owned(), capsule.clone().into(), "--into".into(), machine.cwd.clone().into()];
    other.run(into(&other)).ok();
    assert!(other.claude_project().join(format!("{CLAUDE_RICH}.jsonl")).exists());
    assert!(other.claude_project().join(CLAUDE_RICH).join("tool-results").exists());
    assert!(!laptop.claude_project().join(format!("{CLAUDE_RICH}.jsonl")).exists());
    assert!(!laptop.claude_project().join(CLAUDE_RICH).exists());
    // Its neighbours stand where they stood.
    assert!(laptop.claude_project().join(format!("{CLAUDE}.jsonl")).exists());

    // A copy that is ahead at the old place is not set aside for an older one.
    let moved = other.claude_project().join(format!("{CLAUDE_RICH}.jsonl"));
    append(&moved, "{\"type\":\"user\",\"message\":{\"content\":\"newer\"}}\n");
    let before = without_journals(snapshot(&laptop.claude()));
    let answer = laptop.run(into(&laptop)).ok();
    assert!(answer.stdout().contains("ahead of the capsule"), "{}", answer.stdout());
    assert_eq!(without_journals(snapshot(&laptop.claude())), before);
    drop(desktop);
}

#[test]
fn without_into_it_goes_where_this_device_has_it_and_below_the_new_root_as_below_the_old() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = two(&sandbox);
    let repo = |machine: &Machine| machine.command("git").args(["init", "-q", "."]).status().expect("git").success();
    assert!(repo(&laptop) && repo(&desktop));
    let below = laptop.at(laptop.cwd.join("crates/core"));
    let session = "bbbbbbbb-0001-4000-8000-000000000001";
    let line = serde_json::json!({"type": "user", "sessionId": session, "cwd": below.cwd, "message": {"content": "hello"}});
    fs::create_dir_all(below.claude_project()).expect("made");
    fs::write(below.claude_project().join(format!("{session}.jsonl")), format!("{line}\n")).expect("written");
    let capsule = laptop.seal(session, &desktop);
    let there = desktop.at(desktop.cwd.join("crates/core"));
    desktop.restore(&capsule, &laptop).ok();
    assert!(there.claude_project().join(format!("{session}.jsonl")).exists());
    // Where there is no such directory it goes to the top, and says so.
    let other = desktop.at(desktop.home.join("src/empty"));
    let told = other
        .run([
            OsStr::new("restore"),
            "-n".as_ref(),
            "--session-only".as_ref(),
            capsule.as_os_str(),
            "--into".as_ref(),
            other.cwd.as_os_str(),
        ])
        .ok();
    assert!(told.stderr().contains("'crates/core' below its work tree, which is not here"), "{}", told.stderr());
    // At home it stands already, wherever one asks from.
    assert!(laptop.at(&laptop.home).restore(&capsule, &laptop).ok().stdout().contains("already here"));
}

#[test]
fn a_torn_record_travels_apart_and_is_glued_to_nothing() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = two(&sandbox);
    laptop.with_claude();
    let here = laptop.claude_project().join(format!("{CLAUDE}.jsonl"));
    let whole = fs::read(&here).expect("the session");
    append(&here, "{\"type\":\"assistant\",\"mess");
    let capsule = laptop.seal(CLAUDE, &desktop);
    desktop.restore(&capsule, &laptop).ok();
    let there = desktop.claude_project().join(format!("{CLAUDE}.jsonl"));
    assert_eq!(fs::read(&there).expect("it arrived"), whole);
    let inside = desktop.json([OsStr::new("inspect"), capsule.as_os_str()]);
    let files = inside["manifest"]["files"].as_array().expect("files");
    let torn: Vec<_> = files.iter().filter(|file| file["role"] == "torn-tail").collect();
    assert_eq!(torn.len(), 1);
    assert_eq!(torn[0]["size"], "{\"type\":\"assistant\",\"mess".len());
    // And home again: the fragment here is no divergence.
    append(&there, "{\"type\":\"user\",\"message\":{\"content\":\"on\"}}\n");
    laptop.restore(&desktop.seal(CLAUDE, &laptop), &desktop).ok();
    assert_eq!(fs::read(&here).expect("it came back"), fs::read(&there).expect("it is there"));
}

#[test]
fn a_damaged_session_here_is_named_and_not_passed_by() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = two(&sandbox);
    laptop.with_claude();
    let capsule = laptop.seal(CLAUDE, &desktop);
    fs::create_dir_all(desktop.claude().join("projects/-somewhere")).expect("made");
    fs::write(desktop.claude().join("projects/-somewhere").join(format!("{CLAUDE}.jsonl")), "{damaged\n").expect("written");
    let before = snapshot(&desktop.claude());
    desktop.restore(&capsule, &laptop).fails(128, "is not a session transcript").hints("move it away");
    assert_eq!(snapshot(&desktop.claude()), before);
}

#[test]
fn damaged_keys_of_this_device_are_in_nobodys_way_where_others_are_named() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = two(&sandbox);
    laptop.with_claude();
    let (capsule, trust) = (laptop.seal(CLAUDE, &desktop), laptop.fingerprint());
    let own = desktop.home.join(".config/samesession/device/identity.txt");
    let copy = desktop.home.join("key.txt");
    fs::copy(&own, &copy).and_then(|_| fs::write(&own, "no key\n")).expect("written");
    let restore = [OsStr::new("restore"), capsule.as_os_str(), "--trust".as_ref(), trust.as_ref()];
    desktop.run(restore).fails(128, "is damaged: it holds no age key").hints("device init");
    let told = desktop.run([&restore[..], &["-i".as_ref(), copy.as_os_str()]].concat()).ok();
    assert!(told.stderr().contains("warning: ") && told.stdout().contains("installed"), "{}", told.stderr());
}
