//! Agents' hooks: entries in their settings, and what the commands in them do when they are run.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use super::scene::{Scene, bare_scene, soon};
use crate::support::agents::skipped;
use crate::support::chains::{acquaint, id};
use crate::support::clones::sid_of;
use crate::support::sandbox::Machine;

fn settings(machine: &Machine) -> PathBuf {
    machine.claude().join("settings.json")
}

/// The command that is installed for an event.
fn command(file: &PathBuf, event: &str) -> String {
    let text = fs::read_to_string(file).expect("settings");
    let settings: Value = serde_json::from_str(&text).expect("JSON");
    let groups = settings["hooks"][event].as_array().unwrap_or_else(|| panic!("{event}: {text}"));
    let commands = groups.iter().flat_map(|group| group["hooks"].as_array().expect("a list"));
    let ours = commands.filter_map(|hook| hook["command"].as_str()).find(|command| command.contains("git-samesession"));
    ours.expect("ours").to_owned()
}

/// With Claude Code's hooks in the project, and `fire`.
pub fn installed() -> (Scene, impl Fn(&str) -> String) {
    let scene = bare_scene();
    scene.laptop.run_here(["hook", "install", "--agent", "claude"]).ok();
    let file = scene.laptop.cwd.join(".claude/settings.local.json");
    (scene, move |event: &str| command(&file, event))
}

#[test]
fn settings_are_edited_as_a_person_would_and_put_back() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    let file = settings(laptop);
    let before = "{\n    \"model\": \"opus\",\n    \"permissions\": { \"allow\": [\"Bash(ls:*)\"] },\n    \"hooks\": {\n        \"Stop\": [\n            { \"hooks\": [ { \"type\": \"command\", \"command\": \"say done\" } ] }\n        ]\n    },\n    \"unknownToAll\": [1, 2,3]\n}";
    fs::write(&file, before).expect("written");
    let answer = laptop.json(["hook", "install", "--agent", "claude", "--global"]);
    assert_eq!(answer["hooks"][0]["events"], serde_json::json!(["Stop", "SessionStart", "PreCompact", "SessionEnd"]), "{answer:#}");
    let after = fs::read_to_string(&file).expect("there");
    for line in before.lines().filter(|line| !line.trim().is_empty() && line.trim() != "}" && line.trim() != "]") {
        assert!(after.contains(line.trim_end_matches(',')), "{line}\n{after}");
    }
    assert_eq!(laptop.json(["hook", "install", "--agent", "claude", "--global"])["hooks"][0]["changed"], false);
    assert_eq!(fs::read_to_string(&file).expect("there"), after);
    laptop.run_here(["hook", "uninstall", "--agent", "claude", "--global"]).ok();
    assert_eq!(fs::read_to_string(&file).expect("there"), before);

    // What its user has changed meanwhile stays.
    laptop.run_here(["hook", "install", "--agent", "claude", "--global"]).ok();
    let changed = fs::read_to_string(&file).expect("there").replace("opus", "sonnet");
    fs::write(&file, changed).expect("written");
    laptop.run_here(["hook", "uninstall", "--agent", "claude", "--global"]).ok();
    assert_eq!(fs::read_to_string(&file).expect("there"), before.replace("opus", "sonnet"));
}

/// Neither in `git status`, nor in what travels to other machines.
#[test]
fn hooks_of_a_project_are_nobody_elses_business() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    let exclude = laptop.cwd.join(".git/info/exclude");
    let before = fs::read(&exclude).ok();
    let capsule = laptop.home.join("x.capsule");
    let travels = || laptop.json(["checkpoint", &id(1), "--force", "-o", capsule.to_str().expect("text")])["workspace"].clone();
    let without = travels();
    laptop.run_here(["hook", "install", "--agent", "claude", "--agent", "codex"]).ok();
    assert!(laptop.cwd.join(".claude/settings.local.json").exists() && laptop.cwd.join(".codex/hooks.json").exists());
    assert_eq!(laptop.git(["status", "--porcelain"]), "");
    assert_eq!(travels(), without);
    laptop.run_here(["hook", "uninstall"]).ok();
    assert!(!laptop.cwd.join(".claude").exists() && !laptop.cwd.join(".codex").exists());
    assert_eq!(travels(), without);
    assert_eq!(fs::read(&exclude).ok(), before);

    // A file that was there is its user's to show or to hide.
    fs::create_dir_all(laptop.cwd.join(".claude")).expect("made");
    fs::write(laptop.cwd.join(".claude/settings.local.json"), "{}").expect("written");
    laptop.run_here(["hook", "install", "--agent", "claude"]).ok();
    assert_eq!(laptop.git(["status", "--porcelain"]), "?? .claude/\n");
}

#[test]
fn settings_that_make_no_sense_are_left_alone() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    for text in ["{ \"model\": \"opus\", }", "{ // a comment\n}", "[]", "{\"hooks\": []}", "{\"hooks\": {\"Stop\": 1}}", "\u{1}"] {
        fs::write(settings(laptop), text).expect("written");
        laptop.run_here(["hook", "install", "--global"]).fails(1, "was left as it is").hints("nothing was changed");
        assert_eq!(fs::read_to_string(settings(laptop)).expect("there"), text);
    }
    // Taken out is all of it, or nothing.
    fs::write(settings(laptop), "{}").expect("written");
    let shared = laptop.home.join("shared-hooks");
    laptop.git(["config", "--global", "core.hooksPath", shared.to_str().expect("text")]);
    laptop.run_here(["hook", "install", "--global", "--git", "--agent", "claude"]).ok();
    fs::write(settings(laptop), "{").expect("written");
    laptop.run_here(["hook", "uninstall", "--global"]).fails(1, "was left as it is");
    assert!(shared.join("pre-push").exists());
    fs::write(settings(laptop), b"\xff\xfe").expect("written");
    laptop.run_here(["hook", "install", "--agent", "claude", "--global"]).fails(1, "it is not text");
    assert!(!laptop.home.join(".codex").exists());
}

#[test]
fn a_settings_file_that_is_a_link_stays_one() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    let dotfile = laptop.home.join("dotfiles/claude.json");
    fs::create_dir_all(dotfile.parent().expect("a directory")).expect("made");
    fs::write(&dotfile, "{}\n").expect("written");
    std::os::unix::fs::symlink(&dotfile, settings(laptop)).expect("linked");
    laptop.run_here(["hook", "install", "--agent", "claude", "--global"]).ok();
    assert_eq!(fs::read_link(settings(laptop)).expect("a link"), dotfile);
    assert!(fs::read_to_string(&dotfile).expect("there").contains("SessionEnd"));
    laptop.run_here(["hook", "uninstall", "--global"]).ok();
    assert_eq!((fs::read_link(settings(laptop)).ok(), fs::read_to_string(&dotfile).ok()), (Some(dotfile), Some("{}\n".to_owned())));
}

#[test]
fn codex_gets_hooks_and_a_call_after_each_turn() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    let (hooks, config) = (laptop.codex().join("hooks.json"), laptop.codex().join("config.toml"));
    fs::create_dir_all(laptop.codex()).expect("made");
    let before = "model = \"x\"\n\n[analytics]\nenabled = false\n";
    fs::write(&config, before).expect("written");
    let answer = laptop.json(["hook", "install", "--agent", "codex", "--global"]);
    assert!(answer["hooks"][0]["notes"][0].as_str().expect("a note").contains("trusted"), "{answer:#}");
    assert!(fs::read_to_string(&hooks).expect("there").contains("SessionEnd"));
    assert!(fs::read_to_string(&config).expect("there").ends_with(before));
    laptop.run_here(["hook", "uninstall", "--global"]).ok();
    assert!(!hooks.exists());
    assert_eq!(fs::read_to_string(&config).expect("there"), before);

    let theirs = "notify = [\"my-own\"]\n";
    fs::write(&config, theirs).expect("written");
    let answer = laptop.json(["hook", "install", "--agent", "codex", "--global"]);
    assert!(answer["hooks"][0]["notes"].to_string().contains("of its own"), "{answer:#}");
    assert_eq!(fs::read_to_string(&config).expect("there"), theirs);
}

#[test]
fn a_turn_that_ends_is_a_checkpoint_and_a_session_that_ends_is_sent() {
    let (scene, command) = installed();
    let laptop = &scene.laptop;
    let ran = laptop.fires(&command("Stop"), &id(1)).ok();
    assert_eq!((ran.stdout(), ran.stderr()), (String::new(), String::new()));
    soon("a checkpoint", || laptop.chain(1).is_some());
    laptop.at_rest();
    assert_eq!(scene.sent(1), None);
    laptop.adds(&id(1), "the last words");
    laptop.fires(&command("PreCompact"), &id(1)).ok();
    soon("another one", || laptop.chain(1).is_some_and(|tip| laptop.count(&tip) == 2));
    laptop.at_rest();
    laptop.fires(&command("SessionEnd"), &id(1)).ok();
    soon("it is sent", || scene.sent(1).is_some());
    assert_eq!(scene.sent(1), laptop.chain(1));
    laptop.at_rest();
    laptop.assert_sound(false);
}

/// Were it to wait for the work, it would wait for ever.
#[test]
fn an_agent_does_not_wait() {
    let (scene, command) = installed();
    let (laptop, gate) = (&scene.laptop, scene.laptop.home.join("gate"));
    let paused = laptop.env("SAMESESSION_FAULT", format!("capture.opened=pause:{}", gate.display()));
    paused.fires(&command("Stop"), &id(1)).ok();
    soon("the work is begun", || gate.exists());
    assert_eq!(laptop.chain(1), None);
    // More calls start nobody, and are heard.
    for n in 0..10 {
        laptop.adds(&id(1), &format!("more {n}"));
        laptop.fires(&command("Stop"), &id(1)).ok();
    }
    laptop.fires(&command("SessionEnd"), &id(1)).ok();
    assert_eq!(laptop.chain(1), None);
    fs::remove_file(&gate).expect("removed");
    soon("it is sent", || scene.sent(1).is_some());
    laptop.at_rest();
    let tip = laptop.chain(1).expect("a checkpoint");
    assert_eq!((laptop.count(&tip), scene.sent(1)), (2, Some(tip)), "{}", laptop.hook_log());
}

/// Whatever it holds: it is not looked into. How long that takes exactly is for the benchmark to say.
#[test]
fn a_hook_beside_a_very_long_transcript_returns_at_once() {
    if std::process::Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        return skipped("strace is not installed, nobody counted what a hook reads");
    }
    let (scene, command) = installed();
    let (laptop, gate) = (&scene.laptop, scene.laptop.home.join("gate"));
    let said = laptop.said(&id(1));
    let file = fs::OpenOptions::new().write(true).open(laptop.transcript_of(&id(1))).expect("a transcript");
    file.set_len(500 << 20).expect("made longer");
    let paused = laptop.env("SAMESESSION_FAULT", format!("capture.opened=pause:{}", gate.display()));
    let stop = command("Stop");
    let traced = laptop.home.join("traced");
    let run = format!("strace -f -qq -e trace=read,pread64,mmap -o '{}' sh -c '{}'", traced.display(), stop.replace('\'', "'\\''"));
    paused.fires(&stop, &id(1)).ok();
    soon("the work is begun", || gate.exists());
    // Somebody is at work: this one asks and goes.
    laptop.fires(&run, &id(1)).ok();
    let read: u64 = fs::read_to_string(&traced)
        .expect("it was traced")
        .lines()
        .filter(|line| line.contains("read") && !line.contains("ENOENT"))
        .filter_map(|line| line.rsplit_once(" = ")?.1.split(' ').next()?.parse::<u64>().ok())
        .sum();
    assert!(read < 4 << 20, "{read}");
    fs::write(laptop.transcript_of(&id(1)), said).expect("as it was");
    fs::remove_file(&gate).expect("removed");
    laptop.at_rest();
    assert!(laptop.chain(1).is_some(), "{}", laptop.hook_log());
}

#[test]
fn a_hundred_turns_in_a_moment_are_a_few_checkpoints_with_everything_in_them() {
    let (scene, command) = installed();
    let laptop = &scene.laptop;
    let stop = command("Stop");
    std::thread::scope(|scope| {
        for n in 0..100 {
            laptop.adds(&id(1), &format!("turn {n}"));
            let stop = &stop;
            scope.spawn(move || laptop.fires(stop, &id(1)).ok());
        }
    });
    laptop.at_rest();
    let tip = laptop.chain(1).expect("a checkpoint");
    let made = laptop.hook_log().matches("checkpoint made").count();
    assert_eq!(laptop.count(&tip), made, "{}", laptop.hook_log());
    assert!(made < 100, "{made}");
    let last = laptop.json(["checkpoint", &id(1)]);
    assert_eq!(last["state"], "unchanged", "{}", laptop.hook_log());
    laptop.assert_sound(false);
}

#[test]
fn a_chain_that_nobody_looks_after_does_not_grow_for_ever() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    let desktop = scene.team.machine("desktop");
    acquaint(&[laptop.clone(), desktop.clone()]);
    laptop.run_here(["hook", "install", "--agent", "claude"]).ok();
    let file = laptop.cwd.join(".claude/settings.local.json");
    laptop.git(["config", "samesession.keep", "3"]);
    let mut most = 0;
    for n in 0..10 {
        laptop.adds(&id(1), &format!("turn {n}"));
        // Others have the chain as it was before it is shortened, and as it is after.
        laptop.fires(&command(&file, if n % 2 == 0 { "SessionEnd" } else { "Stop" }), &id(1)).ok();
        laptop.at_rest();
        desktop.git(["fetch", "-q"]);
        desktop.run_here(["list"]).ok();
        let tip = laptop.chain(1).expect("a checkpoint");
        most = most.max(laptop.count(&tip));
        if n % 2 == 0 {
            assert_eq!(scene.sent(1), Some(tip), "{}", laptop.hook_log());
        }
    }
    assert!(most <= 6, "{most}: {}", laptop.hook_log());
    assert!(laptop.hook_log().contains("shortened: 3 checkpoints stay"), "{}", laptop.hook_log());
    assert!(!laptop.hook_log().contains("NOT"), "{}", laptop.hook_log());
    laptop.fires(&command(&file, "SessionEnd"), &id(1)).ok();
    laptop.at_rest();
    desktop.git(["fetch", "-q"]);
    desktop.run(["restore", "--session-only", &id(1)]).ok();
    let name = format!("refs/samesession-remote/origin/sessions/{}", sid_of(&id(1)));
    assert_eq!(Some(desktop.rev(&name)), laptop.chain(1));
    assert!(desktop.said(&id(1)).ends_with("turn 9\"}}\n"));
    laptop.assert_sound(true);
}

#[test]
fn hooks_for_all_repositories_are_about_those_that_say_where_sessions_go() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    laptop.run_here(["hook", "install", "--agent", "claude", "--global"]).ok();
    let end = command(&settings(laptop), "SessionEnd");
    laptop.fires(&end, &id(1)).ok();
    laptop.at_rest();
    assert_eq!((laptop.chain(1), scene.sent(1)), (None, None));
    laptop.run_here(["init"]).ok();
    laptop.fires(&end, &id(1)).ok();
    soon("it is sent", || scene.sent(1).is_some());
    laptop.at_rest();
    // Outside of any repository there is nothing to do.
    let outside = laptop.at(laptop.home.join("outside"));
    outside.begin(&id(2));
    let ran = outside.fires(&end, &id(2)).ok();
    assert_eq!((ran.stdout(), ran.stderr()), (String::new(), String::new()));
}

#[test]
fn a_session_that_starts_is_told_that_there_is_more_of_it_elsewhere() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    let desktop = scene.team.machine("desktop");
    acquaint(&[laptop.clone(), desktop.clone()]);
    for machine in [laptop, &desktop] {
        machine.run_here(["hook", "install", "--agent", "claude"]).ok();
    }
    let start = command(&laptop.cwd.join(".claude/settings.local.json"), "SessionStart");
    assert_eq!(laptop.fires(&start, &id(1)).ok().stdout(), "");
    laptop.run_here(["checkpoint", &id(1), "--push"]).ok();
    assert_eq!(laptop.fires(&start, &id(1)).ok().stdout(), "");
    desktop.git(["fetch", "-q"]);
    desktop.run(["restore", "--session-only", &id(1)]).ok();
    let there = desktop.json(["show", &id(1)])["session"]["transcript"].as_str().map(PathBuf::from);
    let there = there.unwrap_or_else(|| desktop.transcript_of(&id(1)));
    let line = "{\"type\":\"user\",\"message\":{\"role\":\"user\",\"content\":\"said there\"}}\n";
    crate::support::clones::append(&there, line);
    desktop.run_here(["checkpoint", &id(1), "--push"]).ok();
    laptop.git(["fetch", "-q"]);
    let said = laptop.fires(&start, &id(1)).ok();
    let context = &said.json()["hookSpecificOutput"];
    assert_eq!(context["hookEventName"], "SessionStart");
    let words = context["additionalContext"].as_str().expect("words");
    assert!(words.contains("newer checkpoint") && words.contains("'desktop'") && words.contains("restore"), "{words}");
    assert!(!words.contains("has been working"), "{words}");
    // And that somebody is at work with it.
    desktop.run_here(["lease", "take", &id(1)]).ok();
    laptop.git(["fetch", "-q"]);
    let said = laptop.fires(&start, &id(1)).ok().json();
    let words = said["hookSpecificOutput"]["additionalContext"].as_str().expect("words");
    assert!(words.contains("'desktop' has been working with this session since 20") && words.contains("--takeover"), "{words}");
    desktop.run_here(["lease", "release", &id(1)]).ok();
    laptop.git(["fetch", "-q"]);
    laptop.run(["restore", "--session-only", &id(1)]).ok();
    assert_eq!(laptop.fires(&start, &id(1)).ok().stdout(), "");
}

#[test]
fn whatever_an_agent_says_nothing_fails_and_nothing_is_said() {
    let (scene, command) = installed();
    let laptop = &scene.laptop;
    for event in ["SessionStart", "Stop", "SessionEnd"] {
        for said in ["", "{}", "nonsense", "{\"session_id\":\"../../x\",\"cwd\":\"/\"}", &"[".repeat(100_000)] {
            let mut shell = laptop.command("sh");
            shell.args(["-c", &command(event)]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = shell.spawn().expect("a shell");
            let _ = std::io::Write::write_all(&mut child.stdin.take().expect("piped"), said.as_bytes());
            let out = child.wait_with_output().expect("it ends");
            assert!(out.status.success() && out.stdout.is_empty() && out.stderr.is_empty(), "{event} {said:.20}: {out:?}");
        }
    }
    // A session that nobody has written yet, and one of a machine whose program is gone.
    laptop.fires(&command("Stop"), &id(9)).ok();
    laptop.at_rest();
    let ran = laptop.env("PATH", "/usr/bin:/bin").fires(&command("Stop"), &id(1)).ok();
    assert_eq!((ran.stdout(), ran.stderr()), (String::new(), String::new()));
    assert_eq!(laptop.refs("refs/samesession"), []);
}
