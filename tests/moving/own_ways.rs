//! "I worked on both": two ways of one session, told apart, gone on with, and kept both; and the copy that is put aside so
//! that it does not come to that.

use std::fs;

use crate::support::clones::{SESSION, append, sid};
use crate::support::sandbox::{CODEX, CODEX_FORK, Machine, snapshot, without_journals};
use crate::workspace::scene::Scene;

#[test]
fn both_ways_are_kept_natively() {
    let scene = Scene::new();
    let laptop = &scene.laptop;
    let (there, _) = scene.brought(&[]);
    there.say("on the desktop");
    there.run_here(["checkpoint", SESSION, "--push"]).ok();
    laptop.say("on the laptop");
    laptop.run_here(["checkpoint", SESSION]).ok();
    laptop.run_here(["fetch"]).ok();
    let ours = laptop.heard();
    let tip = laptop.git(["rev-parse", &format!("refs/samesession-remote/origin/sessions/{}", sid())]).trim().to_owned();
    let resume = ["resume", "--no-launch", "--session-only", "--tip", &tip];
    laptop.run_here(resume).fails(1, "went its own way here").hints(&format!("git samesession fork {SESSION}"));

    let fork = laptop.run_here(["fork", SESSION, "--json"]).ok().json();
    let native = fork["native_id"].as_str().expect("an id").to_owned();
    assert_eq!((&fork["reached"], &fork["from"]), (&"discoverable".into(), &SESSION.into()), "{fork:#}");
    assert_eq!(fork["resume"], format!("cd {} && claude --resume {native}", laptop.cwd.display()));
    let copied = || fs::read_to_string(laptop.transcript_of(&native)).expect("a transcript");
    assert_eq!(copied(), ours.replace(SESSION, &native));
    assert_eq!(laptop.heard(), ours);
    laptop.run_here([&resume[..], &["--set-aside"]].concat()).ok();
    assert_eq!(laptop.heard(), there.heard());
    assert_eq!(copied(), ours.replace(SESSION, &native));
    // Each is a session of its own from here on.
    laptop.say_in(&native, "on with ours");
    laptop.run_here(["checkpoint", &native, "--push"]).ok();
    laptop.say("on with theirs");
    laptop.run_here(["move", SESSION]).ok();
    assert_eq!(laptop.run_here(["status", "--json"]).ok().json()["sessions"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_fork_is_taken_back_and_what_cannot_be_copied_leaves_nothing() {
    let scene = Scene::new();
    let laptop = &scene.laptop;
    laptop.say("a word");
    append(&laptop.transcript(), "{\"torn\":");
    let before = without_journals(snapshot(&laptop.claude()));
    let fork = laptop.run_here(["fork", SESSION, "--json"]).ok().json();
    let copy = fs::read_to_string(fork["transcript"].as_str().expect("a path")).expect("a transcript");
    assert!(copy.ends_with("}\n") && copy.lines().count() == 1, "a record that is not whole is left behind: {copy}");
    laptop.run_here(["undo", fork["undo"].as_str().expect("an id")]).ok();
    assert_eq!(without_journals(snapshot(&laptop.claude())), before);
    // One that somebody has gone on with stays.
    let fork = laptop.run_here(["fork", SESSION, "--json"]).ok().json();
    append(fork["transcript"].as_str().expect("a path").as_ref(), "{}\n");
    laptop.run_here(["undo"]).fails(1, "was used since");
    let before = snapshot(&laptop.claude());
    laptop.env("SAMESESSION_FAULT", "restore.placed=full").run_here(["fork", SESSION]).fails(3, "everything was put back");
    laptop.env("SAMESESSION_FAULT", "restore.staging=full").run_here(["fork", SESSION]).fails_with(128);
    assert_eq!(snapshot(&laptop.claude()), before);
    laptop.run_here(["fork", "zzzz"]).fails(1, "no session matches 'zzzz'");
}

#[test]
fn a_fork_of_codex_leans_on_nothing_that_could_be_set_aside() {
    let scene = Scene::new();
    let laptop = &scene.laptop;
    laptop.with_codex();
    for from in [CODEX, CODEX_FORK] {
        let fork = laptop.run_here(["fork", from, "--json"]).ok().json();
        let native = fork["native_id"].as_str().expect("an id");
        let path = fork["transcript"].as_str().expect("a path");
        assert!(path.ends_with(&format!("-{native}.jsonl")), "{path}");
        let copy = fs::read_to_string(path).expect("a rollout");
        let first = fs::read_to_string(path.replace(native, from)).expect("a rollout");
        assert_eq!(copy, first.replace(&format!(":\"{from}\""), &format!(":\"{native}\"")));
        let listed = laptop.run_here(["show", native, "--json"]).ok().json();
        assert_eq!(listed["session"]["native_id"], native, "{listed:#}");
    }
}

fn deactivated(machine: &Machine, more: &[&str]) -> String {
    let told = machine.run_here([&["move", SESSION, "--deactivate", "--json"], more].concat()).ok().json();
    told["put_aside"].as_str().unwrap_or_else(|| panic!("{told:#}")).to_owned()
}

#[test]
fn what_is_handed_over_is_put_aside_and_comes_back() {
    let scene = Scene::new();
    let (laptop, desktop) = (&scene.laptop, &scene.desktop);
    laptop.say("a word");
    append(&laptop.transcript(), "{\"torn\":");
    let before = laptop.heard();
    let id = deactivated(laptop, &[]);
    assert!(!laptop.transcript().exists());
    laptop.run_here(["show", SESSION, "--agent", "claude"]).fails(1, "no session matches");
    let row = &laptop.run_here(["status", "--json"]).ok().json()["sessions"][0];
    assert_eq!((&row["here"], &row["lease"]["standing"]), (&"absent".into(), &"sent".into()), "{row:#}");
    laptop.run_here(["undo", &id]).ok();
    assert_eq!(laptop.heard(), before);
    assert!(!laptop.claude().join(".samesession").exists());

    // Aside once more, and home again with what was said elsewhere.
    fs::write(laptop.transcript(), before.trim_end_matches("{\"torn\":")).expect("written");
    laptop.run_here(["lease", "release", SESSION]).ok();
    deactivated(laptop, &["--note", "aside"]);
    let resumed = desktop.run_here(["resume", "--no-launch", "--json"]).ok().json();
    let there = desktop.at(resumed["workspace"]["work_tree"].as_str().expect("a place"));
    there.say("said there");
    there.run_here(["move", SESSION]).ok();
    let home = laptop.run_here(["resume", "--no-launch", "--json"]).ok().json();
    assert_eq!(home["relation"], "new", "{home:#}");
    assert!(laptop.heard_of(SESSION).contains("said there"));
}

#[test]
fn what_is_open_or_leaned_on_or_not_handed_over_stays() {
    let scene = Scene::new();
    let laptop = &scene.laptop;
    laptop.say("a word");
    let marker = laptop.claude().join(format!("sessions/{}.json", std::process::id()));
    fs::create_dir_all(marker.parent().expect("a directory")).expect("made");
    fs::write(&marker, format!("{{\"pid\":{},\"sessionId\":\"{SESSION}\",\"status\":\"idle\"}}", std::process::id())).expect("written");
    let before = scene.origin_refs();
    laptop.run_here(["move", SESSION, "--deactivate"]).fails(1, "has this session open").hints("quit it");
    fs::remove_file(&marker).expect("removed");
    laptop.with_codex();
    laptop.run_here(["move", CODEX, "--deactivate"]).fails(1, &format!("session {CODEX_FORK} is a fork that begins with it"));
    assert_eq!(scene.origin_refs(), before);
    let away = scene.origin.with_extension("away");
    fs::rename(&scene.origin, &away).expect("moved away");
    let words = laptop.heard();
    assert_ne!(laptop.run_here(["move", SESSION, "--deactivate"]).code(), Some(0));
    assert_eq!(laptop.heard(), words);
    fs::rename(&away, &scene.origin).expect("and back");
    // Handed over it is, whatever becomes of the copy here.
    let full = laptop.env("SAMESESSION_FAULT", "restore.all-placed=full");
    let ran = full.run_here(["move", SESSION, "--deactivate", "--json"]).fails_with(3);
    assert_eq!((&ran.json()["state"], &ran.json()["put_aside"]), (&"handed-over".into(), &serde_json::Value::Null));
    assert!(ran.stderr().contains("the copy here stays where it is"), "{}", ran.stderr());
    assert_eq!(laptop.heard(), words);
}

/// Whatever it is killed at, afterwards it stands where it stood, or aside and brought back by one command.
#[test]
fn killed_while_it_is_put_aside_it_is_there_or_aside() {
    let points = ["restore.journalled", "restore.placed", "restore.all-placed", "restore.committed", "restore.settled"];
    for point in points {
        let scene = Scene::new();
        let laptop = &scene.laptop;
        laptop.say("a word");
        let words = laptop.heard();
        let killed = laptop.env("SAMESESSION_FAULT", format!("{point}=kill")).run_here(["move", SESSION, "--deactivate"]);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.0.status), Some(9), "{point} is passed");
        // It was handed over before.
        assert_eq!(laptop.run_here(["lease", "status", "--json"]).ok().json()["sessions"][0]["standing"], "sent", "{point}");
        // It may have more to say of this machine.
        laptop.run_here(["doctor"]);
        if !laptop.transcript().exists() {
            laptop.run_here(["undo"]).ok();
        }
        assert_eq!(laptop.heard(), words, "{point}");
        assert!(!laptop.claude().join(".samesession").exists(), "{point}: nothing is left");
    }
}

#[test]
fn killed_while_it_is_copied_the_copy_is_there_or_not() {
    let points = ["restore.staging", "restore.journalled", "restore.placed", "restore.all-placed", "restore.committed", "restore.settled"];
    for point in points {
        let scene = Scene::new();
        let laptop = &scene.laptop;
        laptop.say("a word");
        let before = without_journals(snapshot(&laptop.claude()));
        let killed = laptop.env("SAMESESSION_FAULT", format!("{point}=kill")).run_here(["fork", SESSION]);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.0.status), Some(9), "{point} is passed");
        // It may have more to say of this machine.
        laptop.run_here(["doctor"]);
        let after = without_journals(snapshot(&laptop.claude()));
        if after != before {
            assert_eq!(after.len(), before.len() + 1, "{point}: {after:#?}");
            laptop.run_here(["undo"]).ok();
        }
        assert_eq!(without_journals(snapshot(&laptop.claude())), before, "{point}");
    }
}
