//! Where an agent calls by itself it is left to that, and no process waits for anything.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::hooks::scene::{bare_scene, soon};
use crate::support::chains::id;
use crate::support::sandbox::Machine;

fn settings(machine: &Machine) -> PathBuf {
    machine.claude().join("settings.json")
}

fn command(machine: &Machine, event: &str) -> String {
    let text = fs::read_to_string(settings(machine)).expect("settings");
    let settings: Value = serde_json::from_str(&text).expect("JSON");
    settings["hooks"][event][0]["hooks"][0]["command"].as_str().unwrap_or_else(|| panic!("{event}: {text}")).to_owned()
}

#[test]
fn each_turn_is_a_checkpoint_here_and_nothing_is_left_elsewhere() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    let before = "{\n  \"model\": \"opus\"\n}\n";
    fs::write(settings(laptop), before).expect("written");
    let answer = laptop.json(["auto", "on"]);
    assert_eq!((&answer["on"], &answer["agents"][0]["by"]), (&Value::Bool(true), &Value::from("hooks")), "{answer:#}");
    assert_eq!(answer["watcher"]["wanted"], false);
    for event in ["Stop", "SessionEnd"] {
        assert!(command(laptop, event).contains("git-samesession hook run --auto --agent claude"), "{}", command(laptop, event));
    }
    assert_eq!(laptop.git(["status", "--porcelain"]), "");
    assert!(!laptop.git(["config", "--list", "--local"]).contains("\nsamesession."));
    laptop.fires(&command(laptop, "Stop"), &id(1)).ok();
    soon("a checkpoint", || laptop.chain(1).is_some());
    // Nobody has asked for it to be sent.
    laptop.adds(&id(1), "the last words");
    laptop.fires(&command(laptop, "SessionEnd"), &id(1)).ok();
    soon("another one", || laptop.chain(1).is_some_and(|tip| laptop.count(&tip) == 2));
    laptop.at_rest();
    assert_eq!(scene.sent(1), None);
    let said = laptop.run_here(["auto", "status"]).ok().stdout();
    assert!(said.contains("on: a checkpoint after each turn\n  claude   by its own hooks\n") && said.contains("checkpoint made"), "{said}");

    // A linked work tree is the same repository, also one that came later.
    let tree = laptop.at(laptop.home.join("tree"));
    laptop.git(["worktree", "add", "-q", "-b", "side", tree.cwd.to_str().expect("text")]);
    tree.begin(&id(2));
    tree.fires(&command(laptop, "Stop"), &id(2)).ok();
    soon("a checkpoint of it", || laptop.chain(2).is_some());
    laptop.at_rest();

    // Another repository in which the same agent is used.
    let other = laptop.at(laptop.home.join("other"));
    other.git(["init", "-q", "."]);
    other.begin(&id(3));
    for event in ["SessionStart", "Stop", "SessionEnd"] {
        let ran = other.fires(&command(laptop, event), &id(3)).ok();
        assert_eq!((ran.stdout(), ran.stderr()), (String::new(), String::new()));
    }
    assert!(!other.cwd.join(".git/samesession").exists());
    assert_eq!(other.json(["auto", "status"])["on"], false);

    // The settings go with the last repository that needs them, and are what they were.
    other.run_here(["auto", "on"]).ok();
    laptop.run_here(["auto", "off"]).ok();
    laptop.adds(&id(1), "after all");
    laptop.fires(&command(laptop, "Stop"), &id(1)).ok();
    laptop.at_rest();
    assert_eq!(laptop.count(&laptop.chain(1).expect("a chain")), 2);
    fs::remove_dir_all(&other.cwd).expect("removed");
    assert_eq!(laptop.json(["auto", "off"])["changed"], false);
    assert_eq!(fs::read_to_string(settings(laptop)).expect("there"), before);
    assert!(laptop.watchers().is_empty());
    laptop.assert_sound(false);
}

#[test]
fn what_is_to_be_sent_is_sent_with_each_checkpoint() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    laptop.run_here(["auto", "on", "--push"]).ok();
    for words in ["one", "two"] {
        laptop.adds(&id(1), words);
        laptop.fires(&command(laptop, "Stop"), &id(1)).ok();
        soon("it is sent", || scene.sent(1).is_some() && scene.sent(1) == laptop.chain(1));
        laptop.at_rest();
    }
    assert_eq!(laptop.count(&laptop.chain(1).expect("a chain")), 2);
}

/// Those go further, and are somebody's own decision.
#[test]
fn hooks_of_hook_install_serve_as_well_and_stay() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    laptop.run_here(["hook", "install", "--agent", "claude", "--global"]).ok();
    let text = fs::read_to_string(settings(laptop)).expect("there");
    laptop.run_here(["auto", "on"]).ok();
    assert_eq!(fs::read_to_string(settings(laptop)).expect("there"), text);
    // There is no store here, and 'auto on' is enough.
    laptop.fires(&command(laptop, "Stop"), &id(1)).ok();
    soon("a checkpoint", || laptop.chain(1).is_some());
    laptop.at_rest();
    laptop.run_here(["auto", "off"]).ok();
    assert_eq!(fs::read_to_string(settings(laptop)).expect("there"), text);
    // The other way round the entries become those.
    laptop.run_here(["hook", "uninstall", "--global"]).ok();
    laptop.run_here(["auto", "on"]).ok();
    laptop.run_here(["hook", "install", "--agent", "claude", "--global"]).ok();
    assert_eq!(fs::read_to_string(settings(laptop)).expect("there"), text);
    laptop.run_here(["hook", "uninstall", "--global"]).ok();
    let gone = laptop.looked_after("claude");
    assert!(gone["by"] == "nobody" && gone["notes"][0].as_str().expect("a note").contains("are gone"), "{gone:#}");
    laptop.run_here(["auto", "on"]).ok();
    assert_eq!(laptop.looked_after("claude")["by"], "hooks");
}

/// Codex runs no hook that was not trusted, so only what it calls without counts.
#[test]
fn codex_calls_after_each_turn_or_is_watched() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    fs::remove_dir_all(laptop.claude()).expect("removed");
    laptop.with_rollout("2026/11/21");
    let config = laptop.codex().join("config.toml");
    fs::write(&config, "model = \"x\"\n").expect("written");
    let answer = laptop.json(["auto", "on"]);
    assert_eq!(answer["agents"][0]["by"], "hooks", "{answer:#}");
    assert!(fs::read_to_string(&config).expect("there").starts_with("notify = [\"sh\", \"-c\", 'printf %s"));
    assert!(laptop.watchers().is_empty());
    laptop.run_here(["auto", "off"]).ok();
    assert_eq!(fs::read_to_string(&config).expect("there"), "model = \"x\"\n");
    assert!(!laptop.codex().join("hooks.json").exists());

    let theirs = "notify = [\"my-own\"]\n";
    fs::write(&config, theirs).expect("written");
    laptop.run_here(["auto", "on"]).ok();
    assert_eq!(laptop.looked_after("codex")["by"], "watcher");
    assert_eq!(fs::read_to_string(&config).expect("there"), theirs);
    laptop.watcher();
    laptop.run_here(["auto", "off"]).ok();
    laptop.no_watcher();
}

#[test]
fn a_pause_is_one_for_everybody() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    laptop.run_here(["auto", "on"]).ok();
    assert_eq!(laptop.json(["auto", "pause"])["changed"], true);
    assert_eq!(laptop.json(["auto", "pause"])["changed"], false);
    laptop.fires(&command(laptop, "Stop"), &id(1)).ok();
    laptop.at_rest();
    assert_eq!(laptop.chain(1), None);
    let status = laptop.run_here(["auto", "status"]).ok().stdout();
    assert!(status.contains("all of it pauses"), "{status}");
    assert_eq!(laptop.json(["auto", "resume"])["changed"], true);
    laptop.fires(&command(laptop, "Stop"), &id(1)).ok();
    soon("a checkpoint", || laptop.chain(1).is_some());
    laptop.at_rest();
}

#[test]
fn what_makes_no_sense_is_said() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    laptop.run_here(["auto", "on", "--every", "often"]).fails_with(129);
    laptop.run_here(["auto", "on", "--every", "25h"]).fails_with(129);
    let outside = laptop.at(laptop.home.join("outside"));
    outside.run_here(["auto", "on"]).fails(128, "not in a Git repository");
    outside.run_here(["auto", "off"]).fails(128, "not in a Git repository");
    assert!(outside.run_here(["auto", "status"]).ok().stdout().contains("there is no repository here"));
    assert!(!laptop.auto_dir().exists());
    let unit = laptop.run_here(["auto", "unit", "--for", "systemd"]).ok().stdout();
    let program = env!("CARGO_BIN_EXE_git-samesession");
    assert!(unit.contains(&format!("ExecStart=\"{program}\" auto watch\n")) && unit.contains("Nice=19\n"), "{unit}");
    let unit = laptop.json(["auto", "unit", "--for", "launchd"]);
    assert!(unit["text"].as_str().expect("text").contains(&format!("<string>{program}</string>")), "{unit:#}");
}
