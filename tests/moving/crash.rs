//! kill -9, signals and a network that dies at every step of `move` and `resume`: handed over or not, taken or not, and
//! whoever comes next goes on from there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use samesession::fault::POINTS;

use crate::support::clones::SESSION;
use crate::support::sandbox::{Machine, Ran};
use crate::workspace::scene::Scene;

use super::launch::{standing, until};

/// A scene to which it is gone back again and again.
struct Rounds {
    scene: Scene,
    pristine: PathBuf,
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").args(["-a", "--"]).args([from, to]).status().expect("cp");
    assert!(done.success());
}

impl Rounds {
    fn new(scene: Scene) -> Rounds {
        let pristine = scene.sandbox.path().join("pristine");
        fs::create_dir(&pristine).expect("made");
        let rounds = Rounds { pristine, scene };
        rounds.places().iter().for_each(|place| copy(place, &rounds.pristine));
        rounds
    }

    fn places(&self) -> [PathBuf; 3] {
        [self.scene.laptop.home.clone(), self.scene.desktop.home.clone(), self.scene.origin.clone()]
    }

    fn reset(&self) {
        for place in self.places() {
            fs::remove_dir_all(&place).expect("removed");
            copy(&self.pristine.join(place.file_name().expect("a name")), &place);
        }
    }

    /// Each visit of each point of these families, killed there.
    fn killed(&self, machine: &Machine, families: &[&str], args: &[&str], then: impl Fn(&str)) -> Vec<&'static str> {
        let mut reached = Vec::new();
        for point in POINTS.iter().filter(|point| families.iter().any(|family| point.starts_with(family))) {
            for visit in 1.. {
                self.reset();
                let fault = format!("{point}#{visit}=kill");
                let ran = machine.env("SAMESESSION_FAULT", &fault).run_here(args);
                if ran.0.status.signal() != Some(9) {
                    ran.ok();
                    break;
                }
                reached.push(*point);
                then(&fault);
            }
        }
        reached
    }
}

/// On the laptop, in a repository with something of everything.
fn left() -> Scene {
    let scene = Scene::new();
    scene.laptop.puts("one", "staged\n");
    scene.laptop.git(["add", "one"]);
    scene.laptop.puts("new", "untracked\n");
    scene.laptop.say("a word");
    scene.laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
    scene.laptop.say("another");
    scene
}

#[test]
fn a_move_that_is_killed_has_handed_it_over_or_has_not() {
    let rounds = Rounds::new(left());
    let (laptop, desktop) = (&rounds.scene.laptop, &rounds.scene.desktop);
    let reached = rounds.killed(laptop, &["capture.", "commit.", "publish.", "pack."], &["move", SESSION], |fault| {
        let seen = standing(desktop);
        assert!(matches!(&*seen, "free" | "waiting"), "{fault}: {seen}");
        laptop.run_here(["move", SESSION]).ok();
        assert_eq!(standing(desktop), "waiting", "{fault}");
        let there = desktop.run_here(["resume", "--no-launch", "--json"]).ok().json();
        let there = desktop.at(there["workspace"]["work_tree"].as_str().expect("a place"));
        assert_eq!(there.heard(), laptop.heard(), "{fault}");
        rounds.scene.assert_arrived(&there);
    });
    for point in ["capture.read", "commit.folded", "commit.packed", "publish.begun", "publish.sent"] {
        assert!(reached.contains(&point), "{point}: {reached:?}");
    }
}

#[test]
fn a_resume_that_is_killed_has_it_or_leaves_it_to_others() {
    let scene = left();
    scene.laptop.run_here(["move", SESSION]).ok();
    let rounds = Rounds::new(scene);
    let (laptop, desktop) = (&rounds.scene.laptop, &rounds.scene.desktop);
    let families = ["lease.", "publish.", "restore.staged", "restore.planned", "restore.journalled", "restore.placed", "restore.committed"];
    let reached = rounds.killed(desktop, &families, &["resume", "--no-launch"], |fault| {
        let seen = standing(laptop);
        assert!(matches!(&*seen, "sent" | "held"), "{fault}: {seen}");
        if seen == "held" {
            laptop.run_here(["resume", "--no-launch", SESSION]).fails(1, "held by 'desktop'");
        }
        desktop.run_here(["resume", "--no-launch", SESSION]).ok();
        assert_eq!(standing(laptop), "held", "{fault}");
        assert_eq!(desktop.heard_of(SESSION), laptop.heard(), "{fault}");
    });
    for point in ["lease.packed", "publish.begun", "publish.sent", "restore.placed"] {
        assert!(reached.contains(&point), "{point}: {reached:?}");
    }
}

#[test]
fn a_signal_ends_it_and_the_next_one_goes_on() {
    let rounds = Rounds::new(left());
    let (laptop, desktop) = (&rounds.scene.laptop, &rounds.scene.desktop);
    let there = rounds.scene.sandbox.path().join("there");
    let interrupted = |machine: &Machine, point: &str, signal: Signal, args: &[&str]| {
        let child = machine.env("SAMESESSION_FAULT", format!("{point}=pause:{}", there.display())).start(args);
        until(point, || there.exists());
        kill_process(Pid::from_child(&child), signal).expect("sent");
        fs::remove_file(&there).expect("removed");
        Ran(child.wait_with_output().expect("it ends"))
    };
    for (point, signal) in [("commit.packed", Signal::INT), ("publish.begun", Signal::TERM), ("publish.sent", Signal::HUP)] {
        rounds.reset();
        let ran = interrupted(laptop, point, signal, &["move", SESSION]);
        let done = ran.0.status.success();
        assert!(done || ran.0.status.signal() == Some(signal.as_raw()), "{point}: {:?} {}", ran.0.status, ran.stderr());
        assert!(matches!(&*standing(desktop), "free" | "waiting"));
        laptop.run_here(["move", SESSION]).ok();
        let ran = interrupted(desktop, if point == "commit.packed" { "lease.packed" } else { point }, signal, &["resume", "--no-launch"]);
        assert!(matches!(&*standing(laptop), "sent" | "held"), "{point}: {}", ran.stderr());
        desktop.run_here(["resume", "--no-launch", SESSION]).ok();
        assert_eq!(desktop.heard_of(SESSION), laptop.heard());
    }
}

fn hook(scene: &Scene, name: &str, script: &str) {
    let hook = scene.origin.join("hooks").join(name);
    fs::create_dir_all(hook.parent().expect("a directory")).expect("made");
    fs::write(&hook, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("made executable");
}

#[test]
fn a_connection_that_dies_is_asked_after() {
    let scene = left();
    let (laptop, desktop) = (&scene.laptop, &scene.desktop);
    let refs = laptop.git(["for-each-ref"]);
    // Before anything is done there.
    hook(&scene, "pre-receive", "kill -9 $PPID");
    let ran = laptop.run_here(["move", SESSION]);
    assert!(ran.code() != Some(0) && laptop.git(["for-each-ref"]) == refs, "{}", ran.stderr());
    assert_eq!(standing(desktop), "free");
    // Behind it, and the answer is lost: it is there all the same.
    hook(&scene, "pre-receive", "exit 0");
    hook(&scene, "reference-transaction", "[ $1 != committed ] || kill -9 $PPID");
    laptop.run_here(["move", SESSION]).ok();
    assert_eq!(standing(desktop), "waiting");
    // And then there is nobody left to ask.
    let (refs, away) = (laptop.git(["for-each-ref"]), scene.origin.with_extension("away"));
    let (from, to) = (scene.origin.display(), away.display());
    hook(&scene, "reference-transaction", &format!("[ $1 != committed ] || {{ mv '{from}' '{to}'; kill -9 $PPID; }}"));
    laptop.say("one more word");
    laptop.run_here(["move", SESSION]).fails(1, "'origin' did not say whether it arrived").hints("git samesession fetch");
    assert_eq!(laptop.git(["for-each-ref"]), refs);
    fs::rename(&away, &scene.origin).expect("back again");
    fs::remove_file(scene.origin.join("hooks/reference-transaction")).expect("removed");
    let there = desktop.run_here(["resume", "--no-launch", "--json"]).ok().json();
    let there = desktop.at(there["workspace"]["work_tree"].as_str().expect("a place"));
    assert_eq!(there.heard(), laptop.heard());
    there.run_here(["move", SESSION]).ok();
    laptop.run_here(["resume", "--no-launch"]).ok();
    laptop.git(["fsck", "--strict"]);
}
