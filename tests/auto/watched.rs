//! The watcher: who is looked after by it, and what is made of that.

use std::fs;
use std::io::Write;

use samesession::id::{NativeId, SessionId};

use crate::hooks::scene::{bare_scene, soon};
use crate::support::chains::id;
use crate::support::sandbox::CODEX;

#[test]
fn both_agents_homes_are_watched_also_where_a_day_begins() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    let answer = laptop.json(["auto", "on", "--every", "1s", "--push"]);
    assert_eq!((&answer["every"], &answer["push"], &answer["watcher"]["running"]), (&1.into(), &true.into(), &true.into()), "{answer:#}");
    assert!(!laptop.claude().join("settings.json").exists(), "no hooks beside it");
    let pid = laptop.watcher();
    soon("what was there is sent", || scene.sent(1).is_some());
    laptop.adds(&id(1), "more");
    soon("a checkpoint of it", || laptop.chain(1).is_some_and(|tip| laptop.count(&tip) == 2));

    // A home that comes into use, a day that begins, a turn.
    let rollout = laptop.with_rollout("2026/11/28");
    let native = NativeId::parse(CODEX).expect("an id");
    let name = format!("refs/samesession/sessions/{}", SessionId::derive("codex", &native));
    let tip = || laptop.refs(&name).into_iter().next().map(|(tip, _)| tip);
    soon("Codex is seen", || tip().is_some());
    let next_day = laptop.codex().join("sessions/2026/11/29");
    fs::create_dir(&next_day).expect("made");
    fs::rename(&rollout, next_day.join(rollout.file_name().expect("a name"))).expect("moved");
    let rollout = next_day.join(rollout.file_name().expect("a name"));
    let mut file = fs::OpenOptions::new().append(true).open(rollout).expect("there");
    let line = "{\"timestamp\":\"2026-11-29T04:00:00.000Z\",\"type\":\"event_msg\",\"payload\":{\"type\":\"agent_message\",\"message\":\"more\"}}\n";
    file.write_all(line.as_bytes()).expect("written");
    soon("its next turn as well", || tip().is_some_and(|tip| laptop.count(&tip) == 2));
    soon("all of it is sent", || !scene.team.server.refs(&name).is_empty() && scene.sent(1) == laptop.chain(1));
    laptop.at_rest();
    assert_eq!(laptop.watcher(), pid);
    assert_eq!(laptop.looked_after("codex")["by"], "watcher");
    assert!(laptop.run_here(["hook", "status"]).ok().stdout().contains("checkpoint made, pushed"), "{}", laptop.hook_log());

    laptop.run_here(["auto", "off"]).ok();
    laptop.no_watcher();
    assert!(laptop.auto_log().contains("ended: nothing is watched any more"), "{}", laptop.auto_log());
    laptop.assert_sound(false);
}

/// Of a user's other repositories nothing is made, and those of a disk that is away are not forgotten by looking.
#[test]
fn only_where_it_is_on() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    let other = laptop.at(laptop.home.join("other"));
    other.git(["init", "-q", "."]);
    other.git(["commit", "-q", "--allow-empty", "-m", "first"]);
    other.begin(&id(2));
    laptop.run_here(["auto", "on", "--every", "1s"]).ok();
    soon("a checkpoint", || laptop.chain(1).is_some());
    other.adds(&id(2), "more");
    laptop.adds(&id(1), "more");
    soon("another one", || laptop.chain(1).is_some_and(|tip| laptop.count(&tip) == 2));
    assert!(other.chain(2).is_none() && !other.cwd.join(".git/samesession").exists());
    assert_eq!(scene.sent(1), None, "nobody has asked for that");
    // From then on both.
    other.run_here(["auto", "on", "--every", "1s"]).ok();
    soon("a checkpoint there", || other.chain(2).is_some());
    let away = laptop.home.join("away");
    fs::rename(&other.cwd, &away).expect("moved");
    laptop.adds(&id(1), "and more");
    soon("a third one", || laptop.chain(1).is_some_and(|tip| laptop.count(&tip) == 3));
    fs::rename(&away, &other.cwd).expect("moved");
    assert_eq!(other.json(["auto", "status"])["on"], true);
    laptop.watcher();
    laptop.at_rest();
}

#[test]
fn settings_that_make_no_sense_are_left_alone_and_their_agent_is_watched() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    let settings = laptop.claude().join("settings.json");
    fs::write(&settings, "{ \"model\": ").expect("written");
    let answer = laptop.json(["auto", "on"]);
    let claude = &answer["agents"][0];
    assert_eq!((&claude["agent"], &claude["by"]), (&"claude".into(), &"watcher".into()), "{answer:#}");
    assert!(claude["notes"][0].as_str().expect("a note").contains("was left as it is"), "{answer:#}");
    assert_eq!(fs::read_to_string(&settings).expect("there"), "{ \"model\": ");
    soon("a checkpoint all the same", || laptop.chain(1).is_some());
    // Once they are right, they do.
    fs::write(&settings, "{}").expect("written");
    laptop.run_here(["auto", "on"]).ok();
    laptop.no_watcher();
    laptop.at_rest();
}

#[test]
fn a_pause_is_heard_at_once_and_what_came_meanwhile_is_made_up_for() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    laptop.run_here(["auto", "on", "--every", "1s"]).ok();
    soon("a checkpoint", || laptop.chain(1).is_some());
    let pid = laptop.watcher();
    laptop.run_here(["auto", "pause"]).ok();
    laptop.at_rest();
    let tip = laptop.chain(1);
    laptop.adds(&id(1), "in the pause");
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(laptop.chain(1), tip);
    laptop.run_here(["auto", "resume"]).ok();
    soon("another one", || laptop.chain(1) != tip);
    assert_eq!(laptop.watcher(), pid);
    laptop.at_rest();
}

/// A checkpoint that somebody else has made is none to make again; and of a turn in the middle there is one by and by.
#[test]
fn no_more_is_made_than_is_new_and_no_sooner_than_was_said() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    laptop.run_here(["auto", "on", "--every", "4s"]).ok();
    soon("a checkpoint", || laptop.chain(1).is_some());
    let begun = std::time::Instant::now();
    // Nobody ever waits as long as a turn's end is waited for.
    while begun.elapsed() < std::time::Duration::from_secs(9) {
        laptop.adds(&id(1), "word by word");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    laptop.at_rest();
    let made = laptop.count(&laptop.chain(1).expect("a chain"));
    assert!((2..=4).contains(&made), "{made} in 9 s: {}", laptop.hook_log());
    soon("all of it", || laptop.json(["checkpoint", &id(1)])["state"] == "unchanged");
    let made = laptop.hook_log().lines().count();
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert!(laptop.hook_log().lines().count() <= made + 1, "{}", laptop.hook_log());
    laptop.at_rest();
}
