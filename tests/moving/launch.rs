//! The agent started in our place: its terminal, its signals, its exit status, and what is done when it ends.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::clones::SESSION;
use crate::support::sandbox::{Machine, Ran};
use crate::workspace::scene::Scene;

fn handed() -> Scene {
    let scene = Scene::new();
    scene.laptop.say("a word");
    scene.laptop.run_here(["move", SESSION]).ok();
    scene
}

#[track_caller]
pub fn until(what: &str, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// As the laptop sees it once it has looked.
pub fn standing(machine: &Machine) -> String {
    machine.git(["fetch", "-q"]);
    machine.run_here(["lease", "status", SESSION, "--json"]).ok().json()["sessions"][0]["standing"].as_str().expect("a word").to_owned()
}

#[test]
fn what_the_agent_leaves_is_sent_back_and_free() {
    let scene = handed();
    let there = scene.desktop.with_agent("cat; exit 7");
    let ran = there.run_here(["resume", "--brief", "--", "more", "words"]).fails_with(7);
    assert!(ran.stderr().contains("sent to 'origin'; free for whoever goes on"), "{}", ran.stderr());
    assert_eq!(ran.stdout(), "", "standard output is the agent's");
    assert_eq!(standing(&scene.laptop), "free");
    scene.laptop.run_here(["resume", "--no-launch"]).ok();
    let home = scene.laptop.git(["worktree", "list", "--porcelain"]);
    let home = home.lines().filter_map(|line| line.strip_prefix("worktree ")).next_back().expect("one").to_owned();
    let heard = [scene.laptop.heard_of(SESSION), home].concat();
    assert!(heard.contains("said by the agent: --resume") && heard.contains("more words"), "{heard}");
    assert!(heard.contains("Its working directory was") && heard.contains("and is now"), "{heard}");
}

/// The way out that is said is one.
#[test]
fn a_secret_in_what_the_agent_leaves_is_not_sent_and_the_session_stays_here_until_that_is_settled() {
    let scene = handed();
    // Put together here: none is written down whole.
    let token = ["ghp", "_", "q7Rk2mXv9TzL4bWc8NdJ", "5hYs3GfP6aQe"].concat() + "1uVo";
    let says =
        format!("printf '{{\"type\":\"user\",\"sessionId\":\"%s\",\"message\":{{\"content\":\"{token}\"}}}}\\n' \"$id\" >>\"$file\"");
    let there = scene.desktop.with_agent(&says);
    let before = scene.origin_refs();
    let told = there.run_here(["resume"]).fails(1, "a secret would leave").stderr();
    assert!(told.contains("nobody else goes on with the session meanwhile") && !told.contains(&token[4..]), "{told}");
    assert_eq!(standing(&scene.laptop), "held");
    scene.laptop.run_here(["resume", "--no-launch", SESSION]).fails(1, "held by 'desktop'");
    let hint = |with: &str| {
        let lines = told.lines().filter(|line| line.contains(with));
        lines.filter_map(|line| line.split_once("git samesession ")).map(|(_, command)| command.to_owned()).next().expect(with)
    };
    let (allow, hand_on) = (hint("secrets allow"), hint("to hand it on"));
    // The repository is what the exception is for, and where the session was put is a work tree of it.
    let allow: Vec<&str> = allow.split_whitespace().take(3).collect();
    scene.desktop.run_here([&allow[..], &["--reason", "made for a test"]].concat()).ok();
    scene.desktop.run_here(hand_on.split_whitespace()).ok();
    assert_ne!(scene.origin_refs(), before);
    scene.laptop.run_here(["resume", "--no-launch"]).ok();
    assert!(scene.laptop.heard_of(SESSION).contains(&token));
}

#[test]
fn without_a_network_it_waits_and_goes_with_the_next_command() {
    let scene = handed();
    let away = scene.origin.with_extension("away");
    let there = scene.desktop.with_agent(&format!("mv '{}' '{}'", scene.origin.display(), away.display()));
    let ran = there.run_here(["resume"]).ok();
    assert!(ran.stderr().contains("it waits here"), "{}", ran.stderr());
    fs::rename(&away, &scene.origin).expect("the network is back");
    assert_eq!(standing(&scene.laptop), "held");
    scene.desktop.run_here(["fetch"]).ok();
    assert_eq!(standing(&scene.laptop), "free");
    assert!(!scene.desktop.cwd.join(".git/samesession/pending").exists());
    scene.laptop.run_here(["resume", "--no-launch"]).ok();
    assert!(scene.laptop.heard_of(SESSION).contains("said by the agent"));
}

#[test]
fn signals_are_the_agents_and_what_it_leaves_is_kept() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let scene = handed();
        let (begun, there) = (scene.sandbox.path().join("begun"), &scene.desktop);
        let there = there.with_agent(&format!("echo >'{}'; exec sleep 60", begun.display()));
        let child = there.start(["resume"]);
        until("the agent works", || begun.exists());
        assert_eq!(standing(&scene.laptop), "held");
        kill_process(Pid::from_child(&child), signal).expect("sent");
        let ran = Ran(child.wait_with_output().expect("it ends"));
        ran.fails_with(code);
        assert_eq!(standing(&scene.laptop), "free", "{signal:?}");
        scene.laptop.run_here(["resume", "--no-launch"]).ok();
        assert!(scene.laptop.heard_of(SESSION).contains("said by the agent"));
    }
}

/// Agents are left by a key that is pressed twice; often the first one was enough.
#[test]
fn a_key_that_comes_just_after_the_agents_end_stops_nothing() {
    let scene = handed();
    let presses = "(for n in 1 2 3 4 5 6 7 8; do kill -INT $PPID; sleep 0.1; done) >/dev/null 2>&1 &";
    let ran = scene.desktop.with_agent(presses).run_here(["resume", "--brief"]).ok();
    assert!(ran.stderr().contains("free for whoever goes on"), "{}", ran.stderr());
    assert_eq!(standing(&scene.laptop), "free");
}

#[test]
fn killed_beside_its_agent_it_keeps_the_lease_and_the_next_command_heals() {
    let scene = handed();
    let (begun, go) = (scene.sandbox.path().join("begun"), scene.sandbox.path().join("go"));
    let waits = format!("echo >'{}'; until [ -e '{}' ]; do sleep 0.05; done", begun.display(), go.display());
    let there = scene.desktop.with_agent(&waits);
    let mut child = there.start(["resume"]);
    until("the agent works", || begun.exists());
    child.kill().expect("killed");
    child.wait().expect("it ends");
    // The agent works on, and the session is still this device's.
    there.run_here(["resume", SESSION]).fails(1, "has this session open");
    fs::write(&go, "").expect("written");
    until("the agent has ended", || fs::read_dir(there.claude().join("sessions")).is_ok_and(|dir| dir.count() == 0));
    assert_eq!(standing(&scene.laptop), "held");
    let place = place_of(&there);
    there.at(place).run_here(["move", SESSION]).ok();
    assert_eq!(standing(&scene.laptop), "waiting");
}

#[test]
fn the_lease_is_renewed_while_the_agent_runs_and_checkpoints_are_made() {
    let scene = handed();
    let (clock, go) = (scene.sandbox.path().join("clock"), scene.sandbox.path().join("go"));
    let waits = format!("until [ -e '{}' ]; do sleep 0.05; done", go.display());
    let there = scene.desktop.with_agent(&waits).env("SAMESESSION_TEST_CLOCK", &clock);
    there.git(["config", "samesession.heartbeat", "1s"]);
    let child = there.start(["resume", "--no-return"]);
    until("it is held", || standing(&scene.laptop) == "held");
    let lease = |field: &str| {
        scene.laptop.git(["fetch", "-q"]);
        scene.laptop.run_here(["lease", "status", SESSION, "--json"]).ok().json()["sessions"][0][field].as_str().expect("a time").to_owned()
    };
    let before = (lease("since"), lease("until"));
    fs::write(&clock, "3600").expect("written");
    until("it is renewed", || lease("until") > before.1);
    assert_eq!(lease("since"), before.0);
    fs::write(&go, "").expect("written");
    Ran(child.wait_with_output().expect("it ends")).ok();
    // Left as it is, it is still held.
    assert_eq!(standing(&scene.laptop), "held");
    assert!(!lease("until").is_empty());

    let (go, place) = (scene.sandbox.path().join("go2"), place_of(&there));
    let there = there.with_agent(&format!("until [ -e '{}' ]; do sleep 0.05; done", go.display()));
    there.git(["config", "samesession.autoCheckpoint", "1s"]);
    let before = scene.origin_refs();
    let child = there.at(place).start(["resume", SESSION]);
    until("a checkpoint is made", || scene.origin_refs() != before);
    fs::write(&go, "").expect("written");
    Ran(child.wait_with_output().expect("it ends")).ok();
    assert_eq!(standing(&scene.laptop), "free");
    there.git(["config", "samesession.autoCheckpoint", "sometimes"]);
    there.run_here(["resume", SESSION]).fails(129, "samesession.autoCheckpoint is 'sometimes'");
}

#[test]
fn an_agent_that_is_not_here_is_installed_first() {
    let scene = handed();
    let ran = scene.desktop.env("PATH", without_claude(&scene.desktop)).run_here(["resume"]).ok();
    assert!(ran.stderr().contains("to install Claude Code: npm install"), "{}", ran.stderr());
    assert!(ran.stdout().contains("to go on: cd ") && ran.stdout().contains("claude --resume"), "{}", ran.stdout());
}

fn without_claude(machine: &Machine) -> String {
    let path = machine.command("true").get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| Some(path?.to_owned()));
    let path = path.expect("a path").into_string().expect("text");
    path.split(':').filter(|dir| !Path::new(dir).join("claude").exists()).collect::<Vec<_>>().join(":")
}

/// The work tree in which the session stands.
fn place_of(machine: &Machine) -> String {
    let list = machine.git(["worktree", "list", "--porcelain"]);
    list.lines().filter_map(|line| line.strip_prefix("worktree ")).next_back().expect("one").to_owned()
}

impl Machine {
    /// The session's transcript, wherever in the home it stands.
    #[track_caller]
    pub fn heard_of(&self, native: &str) -> String {
        let projects = fs::read_dir(self.claude().join("projects")).expect("projects").flatten();
        let files: Vec<_> = projects.map(|dir| dir.path().join(format!("{native}.jsonl"))).filter(|file| file.exists()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        fs::read_to_string(&files[0]).expect("a transcript")
    }
}
