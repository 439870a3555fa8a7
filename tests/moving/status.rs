//! `status`: what is at work, what is only here, who holds what, and what waits for this device.

use std::fs;
use std::process::{Child, Command};

use serde_json::Value;

use super::launch::until;
use crate::support::clones::{OTHER, SESSION, append, sid, sid_of};
use crate::support::sandbox::Machine;
use crate::workspace::scene::Scene;

/// What `status` says of one session.
#[track_caller]
fn one(machine: &Machine, sid: &str) -> Value {
    let answer = machine.run_here(["status", "--json"]).ok().json();
    let rows = answer["sessions"].as_array().expect("a list");
    rows.iter().find(|row| row["sid"] == sid).unwrap_or_else(|| panic!("{sid} is not in {answer:#}")).clone()
}

#[track_caller]
fn assert_is(machine: &Machine, here: &str, saved: &str, sent: &str, standing: Option<&str>) {
    let row = one(machine, &sid());
    assert_eq!((&row["here"], &row["saved"], &row["sent"]), (&here.into(), &saved.into(), &sent.into()), "{row:#}");
    assert_eq!(row["lease"]["standing"].as_str(), standing, "{row:#}");
}

/// A process that has the session open, as Claude Code says it.
struct Open(Child);

impl Open {
    fn by(machine: &Machine, native: &str, status: &str) -> Open {
        let child = Command::new("sleep").arg("600").spawn().expect("started");
        let dir = machine.claude().join("sessions");
        fs::create_dir_all(&dir).expect("made");
        let open = Open(child);
        open.says(machine, native, status);
        open
    }

    fn says(&self, machine: &Machine, native: &str, status: &str) {
        let marker = serde_json::json!({"pid": self.0.id(), "sessionId": native, "status": status});
        let file = machine.claude().join(format!("sessions/{}.json", self.0.id()));
        let beside = file.with_extension("new");
        fs::write(&beside, marker.to_string()).expect("written");
        fs::rename(&beside, &file).expect("moved");
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_session_from_its_first_word_to_the_next_machine() {
    let scene = Scene::new();
    let (laptop, desktop) = (&scene.laptop, &scene.desktop);
    assert_eq!(laptop.run_here(["status", "--json"]).ok().json()["sessions"], serde_json::json!([]));
    laptop.say("a word");
    assert_is(laptop, "closed", "never", "nothing", None);
    let open = Open::by(laptop, SESSION, "busy");
    assert_is(laptop, "working", "never", "nothing", None);
    open.says(laptop, SESSION, "idle");
    assert_is(laptop, "idle", "never", "nothing", None);
    drop(open);

    laptop.run_here(["checkpoint", SESSION]).ok();
    assert_is(laptop, "closed", "saved", "unsent", None);
    let told = laptop.run_here(["status"]).ok().stdout();
    assert!(told.contains("not sent to 'origin'") && told.contains("git samesession push --all"), "{told}");
    laptop.run_here(["push", "--all"]).ok();
    assert_is(laptop, "closed", "saved", "sent", None);
    // A record that is not whole yet is nothing that could be kept.
    append(&laptop.transcript(), "{\"type\":\"user\"");
    assert_is(laptop, "closed", "saved", "sent", None);
    append(&laptop.transcript(), "}\n");
    assert_is(laptop, "closed", "unsaved", "sent", None);
    let told = laptop.run_here(["status"]).ok().stdout();
    assert!(told.contains(&format!("git samesession checkpoint --push {}", &sid()[..8])), "{told}");

    laptop.run_here(["move", SESSION, "--note", "look at line 3"]).ok();
    assert_is(laptop, "closed", "saved", "sent", Some("sent"));
    desktop.git(["fetch", "-q"]);
    assert_is(desktop, "absent", "unknown", "sent", Some("waiting"));
    let told = desktop.run_here(["status"]).ok().stdout();
    assert!(told.contains("waits for this device, from 'laptop'; \"look at line 3\""), "{told}");
    assert!(told.contains("git samesession resume"), "{told}");
    // `list` and `show` say so, too.
    let listed = desktop.run_here(["list"]).ok().stdout();
    assert!(listed.contains("waits for this device, from 'laptop': look at line 3"), "{listed}");
    let shown = desktop.run_here(["show", SESSION]).ok().stdout();
    assert!(shown.contains("handed over by 'laptop'") && shown.contains("look at line 3"), "{shown}");

    let resumed = desktop.run_here(["resume", "--no-launch", "--json"]).ok().json();
    assert_is(desktop, "closed", "saved", "sent", Some("mine"));
    let there = desktop.at(resumed["workspace"]["work_tree"].as_str().expect("a place"));
    there.say("and more");
    // In any work tree of the repository.
    for machine in [desktop, &there] {
        assert_is(machine, "closed", "unsaved", "sent", Some("mine"));
    }
    laptop.git(["fetch", "-q"]);
    assert_is(laptop, "closed", "saved", "sent", Some("held"));
    there.run_here(["move", SESSION]).ok();
    laptop.git(["fetch", "-q"]);
    assert_is(laptop, "closed", "behind", "sent", Some("waiting"));
}

#[test]
fn what_could_not_be_sent_is_said_until_it_is() {
    let scene = Scene::new();
    let laptop = &scene.laptop;
    laptop.say("a word");
    laptop.run_here(["move", SESSION]).ok();
    let away = scene.origin.with_extension("away");
    let there = laptop.with_agent(&format!("mv '{}' '{}'", scene.origin.display(), away.display()));
    there.run_here(["resume", SESSION]).ok();
    assert_is(laptop, "closed", "saved", "pending", Some("free"));
    let first = laptop.run_here(["status", "--porcelain"]).ok().stdout();
    assert!(first.starts_with("samesession 1 sessions=1 open=0 working=0 unsaved=0 unsent=1 "), "{first}");
    fs::rename(&away, &scene.origin).expect("the network is back");
    laptop.run_here(["fetch"]).ok();
    assert_is(laptop, "closed", "saved", "sent", Some("free"));
}

#[test]
fn prompts_get_lines_that_do_not_change() {
    let scene = Scene::new();
    let laptop = &scene.laptop;
    laptop.say("first\\tline \u{1b}[31m");
    laptop.say_in(OTHER, "other");
    laptop.run_here(["checkpoint", OTHER, "--push"]).ok();
    let _open = Open::by(laptop, SESSION, "busy");
    let told = laptop.run_here(["status", "--porcelain"]).ok().stdout();
    let expected = format!(
        "samesession 1 sessions=2 open=1 working=1 unsaved=1 unsent=0 mine=0 waiting=0 registered=0 ways=0\n\
         {}\tclaude\tworking\tnever\tnothing\tfree\t-\t1\tfirst\\tline [31m\n\
         {}\tclaude\tclosed\tsaved\tsent\tfree\t-\t1\tother\n",
        sid(),
        sid_of(OTHER)
    );
    assert_eq!(told, expected);
    laptop.run_here(["status", "--porcelain", "--json"]).fails_with(129);
    laptop.at(scene.sandbox.path().join("nowhere")).run_here(["status"]).fails(128, "not in a Git repository");
}

/// A prompt waits for it.
#[test]
fn it_starts_git_three_times_and_asks_nobody() {
    let scene = Scene::new();
    let (laptop, desktop) = (&scene.laptop, &scene.desktop);
    for n in 0..20 {
        let native = format!("dddddddd-0009-4000-8000-0000000000{n:02}");
        laptop.say_in(&native, "a word");
        laptop.run_here(["checkpoint", &native]).ok();
        laptop.run_here(["lease", "take", &native]).ok();
    }
    desktop.git(["fetch", "-q"]);
    let starts = |machine: &Machine| {
        let ran = machine.env("SAMESESSION_TRACE", "1").run_here(["status", "--porcelain"]).ok();
        ran.stderr().lines().filter(|line| line.starts_with("trace: git ")).count()
    };
    // What a fetch has brought is pinned once.
    starts(desktop);
    // Nobody is there to be asked, in either kind of clone.
    fs::rename(&scene.origin, scene.origin.with_extension("away")).expect("moved away");
    for on_demand in ["false", "true"] {
        desktop.git(["config", "samesession.onDemand", on_demand]);
        let told = desktop.run_here(["status", "--porcelain"]).ok().stdout();
        assert_eq!(told.lines().filter(|line| line.contains("\theld\t")).count(), 20, "{told}");
        assert_eq!(starts(desktop), 3, "on demand: {on_demand}");
    }
}

#[test]
fn a_hand_over_that_was_registered_is_seen_until_it_is_carried_out() {
    let scene = Scene::new();
    let laptop = &scene.laptop.env("CLAUDE_CODE_SESSION_ID", SESSION);
    laptop.say("a word");
    let open = Open::by(laptop, SESSION, "busy");
    let told = laptop.run_here(["move", "--json"]).ok().json();
    assert_eq!(told["state"], "registered");
    until("it is attended to", || one(laptop, &sid())["registered"]["attended"] == true);
    let told = laptop.run_here(["status"]).ok().stdout();
    assert!(told.contains("goes to 'origin' when this turn is over"), "{told}");
    assert!(laptop.run_here(["status", "--porcelain"]).ok().stdout().contains("\tregistered\t"));
    open.says(laptop, SESSION, "idle");
    until("it is handed over", || one(laptop, &sid())["lease"]["standing"] == "sent");
    until("it is forgotten", || one(laptop, &sid())["registered"].is_null());

    // Whoever waited for the end of the turn may be gone, as after a reboot.
    let file = laptop.cwd.join(".git/samesession/registered").join(sid());
    fs::write(&file, "2026-11-21T10:00:00Z\norigin\n").expect("written");
    let told = laptop.run_here(["status"]).ok().stdout();
    assert!(told.contains(&format!("was to be handed over, and was not: git samesession move {}", &sid()[..8])), "{told}");
    drop(open);
    laptop.say("another word");
    scene.laptop.run_here(["move", SESSION]).ok();
    assert!(one(laptop, &sid())["registered"].is_null());
    assert!(!file.exists());
}

#[test]
fn two_ways_are_told_apart_by_what_was_asked_for_last() {
    let scene = Scene::new();
    let (laptop, desktop) = (&scene.laptop, &scene.desktop);
    let (there, _) = scene.brought(&[]);
    laptop.say("on the laptop: the parser");
    laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
    there.say("on the desktop: the lexer");
    there.run_here(["checkpoint", SESSION]).ok();
    there.run_here(["push", "--all"]).ok();
    laptop.run_here(["fetch"]).ok();
    assert_eq!(one(laptop, &sid())["ways"], 2);
    for command in [["log", SESSION], ["resume", SESSION], ["restore", SESSION]] {
        let ran = laptop.run_here(command);
        let said = ran.stdout() + &ran.stderr();
        for last in ["last: \"on the laptop: the parser\"", "last: \"on the desktop: the lexer\""] {
            assert!(said.contains(last), "{command:?} does not say {last}:\n{said}");
        }
    }
    let ran = laptop.run_here(["resume", SESSION]).fails(1, "went 2 ways").hints("git samesession resume --tip COMMIT");
    let ran = ran.hints(&format!("git samesession fork {}", &sid()[..8]));
    assert_eq!(
        ran.stderr().lines().filter(|line| line.starts_with("  ") && line.contains("-") && line.contains("last: \"on the ")).count(),
        2,
        "{}",
        ran.stderr()
    );
    let log = laptop.run_here(["log", SESSION, "--json"]).ok().json();
    for way in log["ways"].as_array().expect("two ways") {
        let tip = way["commit"].as_str().expect("a commit");
        laptop.run_here(["resume", "--no-launch", "--session-only", "--set-aside", "--tip", tip]).ok();
        let heard = laptop.heard();
        assert!(heard.contains(way["prompt"].as_str().expect("words")) && heard.lines().count() == 2, "{heard}");
    }
    let log = desktop.run_here(["log", SESSION, "--json"]).ok().json();
    assert_eq!(log["checkpoints"].as_array().map(|all| all.iter().filter(|one| one["prompt"] == "a word").count()), Some(1), "{log:#}");
    let tip = log["ways"][0]["commit"].as_str().expect("a commit");
    let shown = desktop.run_here(["show", tip]).ok().stdout();
    assert!(shown.contains("last asked on the "), "{shown}");
}
