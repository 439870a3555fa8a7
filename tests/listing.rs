//! `list`, `log` and `show` of what a repository holds: complete, honest about what cannot be read or believed, and quick.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::sandbox::{CLAUDE, CLAUDE_RICH, CODEX, Machine, Sandbox};

const BRING: &str = "refs/samesession/*:refs/samesession-remote/origin/*";

#[track_caller]
fn git(machine: &Machine, args: &[&str]) -> String {
    let output = machine.command("git").args(args).output().expect("git");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A device with a repository around its project, whose remote is a bare one that all of the sandbox share.
fn machine(sandbox: &Sandbox, name: &str) -> Machine {
    let machine = sandbox.machine(name);
    let hub = sandbox.path().join("hub.git");
    git(&machine, &["init", "-q", "."]);
    git(&machine, &["init", "-q", "--bare", hub.to_str().expect("UTF-8")]);
    git(&machine, &["remote", "add", "origin", hub.to_str().expect("UTF-8")]);
    machine.init();
    machine
}

fn push(machine: &Machine) {
    git(machine, &["push", "-q", "origin", "refs/samesession/*"]);
    git(machine, &["fetch", "-q", "origin", BRING]);
}

fn believe(machine: &Machine, other: &Machine) {
    let key = fs::read_to_string(other.home.join(".config/samesession/device/signing_key.pub")).expect("a key");
    let mut words = key.split_whitespace();
    let line = format!("{} namespaces=\"samesession\" {} {}\n", other.name, words.next().expect("a type"), words.next().expect("a key"));
    let known = machine.home.join(".config/samesession/known_signers");
    fs::OpenOptions::new().append(true).create(true).open(known).and_then(|mut f| f.write_all(line.as_bytes())).expect("written");
}

fn go_on(machine: &Machine, session: &str, text: &str) {
    let line = serde_json::json!({"type": "user", "sessionId": session, "cwd": machine.cwd, "message": {"content": text}});
    let path = machine.claude_project().join(format!("{session}.jsonl"));
    fs::create_dir_all(machine.claude_project()).expect("made");
    let file = fs::OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| writeln!(file, "{line}")).expect("appended");
}

fn sid(machine: &Machine, session: &str) -> String {
    machine.json(["show", session])["session"]["sid"].as_str().expect("a sid").to_owned()
}

#[track_caller]
fn row(list: &Value, sid: &str) -> Value {
    let rows = list["sessions"].as_array().expect("sessions");
    rows.iter().find(|row| row["sid"] == sid).unwrap_or_else(|| panic!("{sid} is not in {list}")).clone()
}

#[test]
fn a_session_is_listed_where_it_is_and_how_it_stands_to_the_remote() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (machine(&sandbox, "laptop"), machine(&sandbox, "desktop"));
    laptop.with_claude();
    laptop.with_codex();
    believe(&desktop, &laptop);
    believe(&laptop, &desktop);
    let to = desktop.recipient();
    laptop.run(["checkpoint", CLAUDE, "-r", &to]).ok();
    laptop.run(["checkpoint", CODEX, "-r", &to]).ok();
    let (claude, codex) = (sid(&laptop, CLAUDE), sid(&laptop, CODEX));
    let list = laptop.json(["list"]);
    assert_eq!(list["schema"], "samesession.list/1");
    assert_eq!(list["sessions"].as_array().expect("sessions").iter().map(|row| &row["sid"]).collect::<Vec<_>>(), [&codex, &claude]);
    let mine = row(&list, &claude);
    assert_eq!((&mine["agent"], &mine["native_id"], &mine["device"]), (&"claude".into(), &CLAUDE.into(), &"laptop".into()));
    assert_eq!((&mine["local"], &mine["remotes"], &mine["lease"]), (&mine["commit"], &Value::Array(Vec::new()), &Value::Null));
    assert_eq!((mine["sequence"].as_u64(), mine["bytes"].as_u64().is_some_and(|n| n > 0)), (Some(1), true));
    laptop.run(["list", "--remote", "origin"]).ok();
    assert!(laptop.json(["list", "--remote", "origin"])["sessions"].as_array().expect("sessions").is_empty());
    laptop.run(["list", "--remote", "upstream"]).fails(1, "no remote 'upstream'");

    push(&laptop);
    let state = |machine: &Machine| {
        let row = row(&machine.json(["list", "--remote", "origin"]), &claude);
        (row["local"].is_string(), row["remotes"][0]["state"].as_str().map(str::to_owned), row["ways"].as_array().map(Vec::len))
    };
    let is = |here, state: &str, ways| (here, Some(state.to_owned()), Some(ways));
    assert_eq!(state(&laptop), is(true, "same", 0));
    git(&desktop, &["fetch", "-q", "origin", BRING]);
    assert_eq!(state(&desktop), is(false, "same", 0));
    assert!(
        desktop.run(["list"]).ok().stdout().lines().all(|line| line.contains("  origin  laptop ")),
        "{}",
        desktop.run(["list"]).stdout()
    );

    go_on(&laptop, CLAUDE, "more");
    laptop.run(["checkpoint", CLAUDE]).ok();
    assert_eq!(state(&laptop), is(true, "behind", 0));
    assert!(laptop.run(["list"]).ok().stdout().contains("here, ahead of origin"));
    // Further ahead than what one commit tells of its parents.
    go_on(&laptop, CLAUDE, "and more");
    laptop.run(["checkpoint", CLAUDE]).ok();
    assert_eq!(state(&laptop), is(true, "behind", 0));

    desktop.run(["restore", &claude]).ok();
    go_on(&desktop, CLAUDE, "another way");
    desktop.run(["checkpoint", CLAUDE]).ok();
    push(&desktop);
    git(&laptop, &["fetch", "-q", "origin", BRING]);
    assert_eq!(state(&laptop), is(true, "diverged", 2));
    let told = laptop.run(["list"]).ok().stdout();
    assert!(told.contains("here, diverged from origin") && told.contains("[2 ways]"), "{told}");
}

#[test]
fn what_is_no_checkpoint_or_nobodys_or_others_stands_in_no_way() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (machine(&sandbox, "laptop"), machine(&sandbox, "desktop"));
    laptop.with_claude();
    desktop.with_codex();
    laptop.run(["checkpoint", CLAUDE]).ok();
    laptop.run(["checkpoint", CLAUDE_RICH, "-r", &desktop.recipient()]).ok();
    push(&laptop);
    git(&desktop, &["fetch", "-q", "origin", BRING]);
    desktop.run(["checkpoint", CODEX]).ok();

    // Nobody here knows the laptop: nothing that it says is shown.
    let told = desktop.run(["list", "--json"]).ok();
    for session in [CLAUDE, CLAUDE_RICH] {
        let row = row(&told.json(), &sid(&laptop, session));
        assert_eq!((&row["title"], &row["device"], &row["signer_name"]), (&Value::Null, &Value::Null, &Value::Null));
        assert_eq!(row["signer"], laptop.fingerprint().as_str());
    }
    assert!(!told.stdout().contains(CLAUDE) && !told.stdout().contains(CLAUDE_RICH), "{}", told.stdout());
    let shown = desktop.run(["show", &sid(&laptop, CLAUDE_RICH)]).ok().stdout();
    assert!(shown.contains(&format!("{} (not known here)", laptop.fingerprint())), "{shown}");
    assert!(desktop.run(["log", &sid(&laptop, CLAUDE_RICH)]).ok().stdout().contains("by unknown SHA256:"));

    believe(&desktop, &laptop);
    let list = desktop.json(["list"]);
    assert_eq!(row(&list, &sid(&laptop, CLAUDE))["unread"], "sealed to others");
    assert_eq!(row(&list, &sid(&laptop, CLAUDE_RICH))["signer_name"], "laptop");
    assert!(row(&list, &sid(&laptop, CLAUDE_RICH))["title"].is_string());
    let closed = desktop.json(["show", &sid(&laptop, CLAUDE)]);
    assert_eq!((&closed["schema"], &closed["unread"]), (&"samesession.show-checkpoint/1".into(), &"sealed to others".into()));
    assert!(closed["manifest"].is_null() && closed["sealed_bytes"].as_u64().is_some_and(|n| n > 0), "{closed}");

    // Refs that lead to anything else are named, each with its reason.
    git(&desktop, &["-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-m", "first"]);
    git(&desktop, &["-c", "user.name=x", "-c", "user.email=x", "tag", "-a", "-m", "x", "v1"]);
    let blob = git(&desktop, &["hash-object", "-w", ".git/HEAD"]);
    let others = git(&desktop, &["for-each-ref", "--format=%(objectname)", "refs/samesession/sessions"]);
    for (n, object) in [(2, "HEAD"), (3, "v1"), (4, &blob), (5, &others)] {
        let object = git(&desktop, &["rev-parse", object]);
        for place in ["refs/samesession/sessions", "refs/samesession-remote/origin/sessions"] {
            git(&desktop, &["update-ref", &format!("{place}/{}", n.to_string().repeat(26)), &object]);
        }
    }
    let list = desktop.json(["list"]);
    assert_eq!(list["sessions"].as_array().expect("sessions").len(), 3);
    let why: Vec<&str> = list["ignored"].as_array().expect("ignored").iter().filter_map(|one| one["why"].as_str()).collect();
    assert_eq!(why.len(), 8, "{why:?}");
    for words in ["another commit", "it is a tag", "it is a blob", "it belongs to session"] {
        assert!(why.iter().any(|why| why.contains(words)), "{words}: {why:?}");
    }
    assert_eq!(desktop.run(["list"]).ok().stderr().matches(" is passed by: ").count(), 8);
    desktop.run(["log", &sid(&desktop, CODEX)]).ok();
    desktop.run(["log", "2222"]).fails(128, "is not a checkpoint");
}

#[test]
fn a_deleted_session_is_listed_on_demand_only() {
    let sandbox = Sandbox::new();
    let laptop = machine(&sandbox, "laptop");
    laptop.with_claude();
    laptop.run(["checkpoint", CLAUDE]).ok();
    laptop.run(["checkpoint", CLAUDE_RICH]).ok();
    push(&laptop);
    let gone = sid(&laptop, CLAUDE);
    laptop.run(["delete", &gone, "--remote", "origin", "--confirm", &gone[..8]]).ok();
    assert_eq!(laptop.json(["list"])["sessions"].as_array().expect("sessions").len(), 1);
    let row = row(&laptop.json(["list", "--all"]), &gone);
    assert_eq!((&row["deleted"], &row["title"]), (&true.into(), &Value::Null));
    assert!(laptop.run(["list", "--all"]).ok().stdout().contains("[deleted]"));
    assert!(laptop.run(["log", &gone]).ok().stdout().contains("the session was deleted"));
}

#[test]
fn the_log_shows_every_checkpoint_every_way_and_where_a_chain_begins() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (machine(&sandbox, "laptop"), machine(&sandbox, "desktop"));
    believe(&desktop, &laptop);
    believe(&laptop, &desktop);
    for (n, text) in ["one", "two", "three"].iter().enumerate() {
        go_on(&laptop, CLAUDE, text);
        laptop.run(["checkpoint", CLAUDE, "-r", &desktop.recipient()]).ok();
        let log = laptop.json(["log", CLAUDE]);
        assert_eq!(log["checkpoints"].as_array().expect("checkpoints").len(), n + 1);
    }
    let log = laptop.json(["log"]);
    assert_eq!((&log["schema"], &log["native_id"], &log["more"]), (&"samesession.log/1".into(), &CLAUDE.into(), &false.into()));
    let rows = log["checkpoints"].as_array().expect("checkpoints");
    assert_eq!(rows.iter().map(|row| row["sequence"].as_u64()).collect::<Vec<_>>(), [Some(3), Some(2), Some(1)]);
    assert!(rows.iter().all(|row| row["signer_name"] == "this device" && row["device"] == "laptop"), "{log}");
    assert_eq!((&rows[0]["parents"][0], &rows[0]["at"][0]), (&rows[1]["commit"], &"here".into()));
    let two = laptop.run(["log", "-n", "2"]).ok();
    assert_eq!((two.stdout().matches(" by this device").count(), two.stderr().contains("more than 2")), (2, true), "{}", two.stdout());
    let from = laptop.json(["log", &format!("{}~1", &sid(&laptop, CLAUDE)[..8])]);
    assert_eq!(from["checkpoints"][0]["commit"], rows[1]["commit"]);

    // Two ways, before and after they are joined, with the one command to go on from each.
    push(&laptop);
    git(&desktop, &["fetch", "-q", "origin", BRING]);
    desktop.run(["restore", &sid(&laptop, CLAUDE)]).ok();
    go_on(&laptop, CLAUDE, "here");
    laptop.run(["checkpoint", CLAUDE]).ok();
    push(&laptop);
    go_on(&desktop, CLAUDE, "there");
    desktop.run(["checkpoint", CLAUDE]).ok();
    git(&desktop, &["fetch", "-q", "origin", BRING]);
    let ways = |log: &Value| -> Vec<String> {
        log["ways"].as_array().expect("ways").iter().filter_map(|way| way["commit"].as_str()).map(str::to_owned).collect()
    };
    for joined in [false, true] {
        if joined {
            desktop.run(["push", CLAUDE]).ok();
        }
        let log = desktop.json(["log", CLAUDE]);
        assert_eq!(ways(&log).len(), 2, "{log}");
        let told = desktop.run(["log", CLAUDE]).ok().stdout();
        for way in log["ways"].as_array().expect("ways") {
            let command = way["restore"].as_str().expect("a command");
            assert!(told.contains(command), "{told}");
            desktop.run(command.split(' ').skip(2).chain(["-n", "--set-aside"])).ok();
        }
        assert_eq!(told.contains(" joins "), joined, "{told}");
        let alone =
            log["checkpoints"].as_array().expect("rows").iter().filter(|row| row["ways"].as_array().is_some_and(|on| on.len() == 1));
        assert_eq!(alone.count(), if joined { 3 } else { 2 }, "{log}");
        let shown = desktop.json(["show", &format!("{}~0", sid(&desktop, CLAUDE))]);
        assert_eq!(ways(&shown).len(), if joined { 2 } else { 0 }, "{shown}");
    }
    assert_eq!(row(&desktop.json(["list"]), &sid(&desktop, CLAUDE))["ways"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_shortened_chain_and_one_that_is_not_whole_say_where_they_begin() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (machine(&sandbox, "laptop"), machine(&sandbox, "desktop"));
    believe(&desktop, &laptop);
    for text in ["one", "two", "three"] {
        go_on(&laptop, CLAUDE, text);
        laptop.run(["checkpoint", CLAUDE, "-r", &desktop.recipient()]).ok();
    }
    push(&laptop);
    let tip = format!("refs/samesession/sessions/{}", sid(&laptop, CLAUDE));
    git(&desktop, &["fetch", "-q", "--depth=1", "origin", &format!("{tip}:{tip}")]);
    let log = desktop.run(["log", &sid(&laptop, CLAUDE)]).ok().stdout();
    assert!(log.contains("it is not in this repository"), "{log}");
    laptop.run(["gc", "--keep-last", "2", "--local"]).ok();
    let log = laptop.run(["log", CLAUDE]).ok().stdout();
    assert_eq!(log.matches("the chain was shortened and begins here").count(), 1, "{log}");
    // What the shortened chain stands in for is no other way.
    assert!(!log.contains("ways") && log.contains("stands in for"), "{log}");
}

#[test]
fn show_prefers_the_session_on_this_machine_and_finds_the_checkpoint_by_name() {
    let sandbox = Sandbox::new();
    let laptop = machine(&sandbox, "laptop");
    laptop.with_claude();
    assert_eq!(laptop.json(["show", CLAUDE_RICH])["checkpoint"], Value::Null);
    laptop.run(["checkpoint", CLAUDE_RICH]).ok();
    let sid = sid(&laptop, CLAUDE_RICH);
    let native = laptop.json(["show", &sid[..8]]);
    assert_eq!((&native["schema"], &native["checkpoint"]["sequence"]), (&"samesession.show/1".into(), &1.into()));
    let commit = native["checkpoint"]["commit"].as_str().expect("a commit").to_owned();
    for name in [&commit, &commit[..12], &format!("{}~0", &sid[..8]), &format!("refs/samesession/sessions/{sid}"), "latest"] {
        let shown = laptop.json(["show", name]);
        assert_eq!((&shown["schema"], &shown["commit"]), (&"samesession.show-checkpoint/1".into(), &commit.as_str().into()), "{name}");
        assert_eq!(shown["manifest"]["files"].as_array().map(Vec::len), native["files"].as_array().map(Vec::len));
        assert_eq!((&shown["signer_name"], &shown["epochs"]), (&"this device".into(), &1.into()));
        assert_eq!(shown["recipients"][0], laptop.recipient().as_str());
    }
    let told = laptop.run(["show", "latest"]).ok().stdout();
    assert!(told.starts_with("checkpoint #1 ") && told.contains("transcript") && told.contains("opens for  age1"), "{told}");
    laptop.run(["show", "nothing"]).fails(1, "no session matches 'nothing'").hints("git samesession list");
    laptop.at(&laptop.home).run(["show", "nothing"]).fails(1, "no session matches 'nothing'");
    laptop.run(["show", "latest", "--agent", "claude"]).fails(1, "no session matches 'latest'");
    git(&laptop, &["-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-m", "first"]);
    laptop.run(["show", "HEAD"]).fails(128, "it is another commit");
}

#[test]
fn what_was_read_is_remembered_sealed_and_never_needed() {
    let sandbox = Sandbox::new();
    let laptop = machine(&sandbox, "laptop");
    laptop.with_claude();
    laptop.run(["checkpoint", CLAUDE]).ok();
    laptop.run(["checkpoint", CLAUDE_RICH]).ok();
    let first = laptop.run(["list", "--json"]).ok().stdout();
    let memory = laptop.cwd.join(".git/samesession/glances.age");
    let bytes = fs::read(&memory).expect("it is there");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&memory), mode(memory.parent().expect("a directory"))), (0o600, 0o700));
    assert!(bytes.starts_with(b"age-encryption.org/v1\n"));

    // It is what is shown: with it, no object is looked at.
    let objects = laptop.cwd.join(".git/objects");
    fs::rename(&objects, laptop.cwd.join("objects")).and_then(|()| fs::create_dir_all(objects.join("pack"))).expect("moved");
    assert_eq!(laptop.run(["list", "--json"]).ok().stdout(), first);
    assert_eq!(fs::read(&memory).expect("it is there"), bytes, "nothing was new");
    fs::remove_dir_all(&objects).and_then(|()| fs::rename(laptop.cwd.join("objects"), &objects)).expect("moved back");

    // Damaged, somebody else's or gone, it is made anew without a word.
    let desktop = machine(&sandbox, "desktop");
    desktop.with_claude();
    desktop.run(["checkpoint", CLAUDE]).ok();
    desktop.run(["list"]).ok();
    let others = fs::read(desktop.cwd.join(".git/samesession/glances.age")).expect("it is there");
    for damaged in [b"nonsense".to_vec(), bytes[..bytes.len() - 5].to_vec(), others, Vec::new()] {
        fs::write(&memory, &damaged).expect("written");
        let again = laptop.run(["list", "--json"]).ok();
        assert_eq!((again.stdout(), again.stderr()), (first.clone(), String::new()));
        assert_ne!(fs::read(&memory).expect("it is there"), damaged);
    }
    // A place where nothing can be written is none.
    fs::remove_dir_all(memory.parent().expect("a directory"))
        .and_then(|()| fs::write(laptop.cwd.join(".git/samesession"), ""))
        .expect("written");
    assert_eq!(laptop.run(["list", "--json"]).ok().stdout(), first);
}

#[test]
fn a_list_starts_git_as_often_for_many_sessions_as_for_one() {
    let sandbox = Sandbox::in_memory();
    let (laptop, desktop) = (machine(&sandbox, "laptop"), machine(&sandbox, "desktop"));
    believe(&desktop, &laptop);
    let mut starts = Vec::new();
    for n in 0..20 {
        let session = format!("bbbbbbbb-0001-4000-8000-{n:012}");
        go_on(&laptop, &session, "hello");
        laptop.run(["checkpoint", &session]).ok();
        if n == 0 || n == 19 {
            push(&laptop);
            git(&desktop, &["fetch", "-q", "origin", BRING]);
            // The first time everything is new and pinned, then it is as it was.
            for _ in 0..2 {
                let listed = desktop.env("SAMESESSION_TRACE", "1").run(["list"]).ok();
                assert_eq!(listed.stdout().lines().count(), n + 1);
                starts.push(listed.stderr().matches("trace: git ").count());
            }
        }
    }
    assert_eq!((starts[0], starts[1]), (starts[2], starts[3]), "{starts:?}");
    assert!(starts[0] <= 4 && starts[1] <= 3, "{starts:?}");
}
