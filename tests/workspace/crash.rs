//! kill -9 at every point of a restore with a workspace, and of the way back: afterwards everything is there or nothing.
//!
//! The scene is the machine before the restore; each visit of each point is played on a fresh copy of it, twice: `doctor`
//! comes next, or `restore`.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use samesession::fault::POINTS;

use crate::support::clones::SESSION;
use crate::support::sandbox::{Machine, Ran};

use super::scene::Scene;
use super::seen::{Seen, refs};

enum Place {
    New,
    Here,
    Home,
}

struct Crash {
    scene: Scene,
    /// Who restores.
    machine: Machine,
    /// The work tree that is restored to.
    top: Machine,
    args: Vec<&'static str>,
    /// Packs that are not to be thrown away.
    keeps: usize,
    before: (Seen, Vec<String>, String),
    after: (Seen, Vec<String>, String),
}

impl Crash {
    fn new(place: Place) -> Crash {
        let scene = Scene::new();
        let laptop = &scene.laptop;
        laptop.git(["checkout", "-q", "-b", "side"]);
        laptop.puts("one", "side\n");
        laptop.commits("side");
        laptop.git(["checkout", "-q", "main"]);
        laptop.puts("one", "main\n");
        laptop.commits("main");
        laptop.env("GIT_SEQUENCE_EDITOR", "true").stops(["rebase", "-q", "-i", "side"]);
        laptop.puts("new", "new\n");
        laptop.puts("dir/two", "staged\n");
        laptop.git(["add", "dir/two"]);
        scene.sends();
        let desktop = &scene.desktop;
        let (machine, top, args) = match place {
            Place::New => {
                let args = vec!["restore", SESSION, "--branch", "--into", "../there"];
                (desktop.clone(), desktop.at(&desktop.home).at_unmade("src/there"), args)
            }
            Place::Here => (desktop.clone(), desktop.clone(), vec!["restore", SESSION, "--here"]),
            Place::Home => {
                let told = scene.restore(&["--json"]).ok().json();
                let there = desktop.at(told["workspace"]["work_tree"].as_str().expect("a place"));
                there.puts("one", "solved\n");
                there.git(["add", "one"]);
                there.puts("dir/two", "changed\n");
                there.say("gone on there");
                there.run_here(["checkpoint", SESSION, "--push"]).ok();
                laptop.git(["fetch", "-q"]);
                (laptop.clone(), laptop.clone(), vec!["restore", SESSION])
            }
        };
        let before = (Seen::of(&machine, true), refs(&machine), heard(&top));
        copy(&machine.home, &scene.sandbox.path().join("pristine"));
        let (after, keeps) = (before.clone(), keeps(&machine));
        let mut crash = Crash { scene, machine, top, args, keeps, before, after };
        crash.run("").ok();
        crash.after = (Seen::of(&crash.top, true), refs(&crash.machine), heard(&crash.top));
        assert_ne!(crash.before.2, crash.after.2);
        crash
    }

    fn reset(&self) {
        std::fs::remove_dir_all(&self.machine.home).expect("removed");
        copy(&self.scene.sandbox.path().join("pristine"), &self.machine.home);
    }

    fn run(&self, fault: &str) -> Ran {
        self.machine.env("SAMESESSION_FAULT", fault).run_here(&self.args)
    }

    /// The next command comes along.
    #[track_caller]
    fn doctor(&self, fault: &str) -> Ran {
        let ran = self.machine.env("SAMESESSION_FAULT", fault).run_here(["doctor"]);
        assert!(!ran.stdout().contains("could not be undone"), "{}", ran.stdout());
        ran
    }

    /// Whether it is all there; what is half there is a failure.
    #[track_caller]
    fn is_there(&self, when: &str) -> bool {
        let machine = &self.machine;
        let session = heard(&self.top) == self.after.2;
        let now = refs(machine);
        if session {
            self.after.0.assert_same(&Seen::of(&self.top, true));
            assert_eq!(now, self.after.1, "{when}");
        } else {
            assert_eq!(now, self.before.1, "{when}");
            assert_eq!(heard(&self.top), self.before.2, "{when}");
            assert!(self.top.cwd == machine.cwd || !self.top.cwd.exists(), "{when}: the work tree is there");
            self.before.0.assert_same(&Seen::of(machine, true));
            assert_eq!(machine.worktrees(), 1, "{when}");
        }
        assert_eq!(keeps(machine), self.keeps, "{when}: a pack is kept for ever");
        session
    }

    fn each(&self, points: &[&str], mut then: impl FnMut(&str)) -> usize {
        let mut reached = 0;
        for point in points {
            for visit in 1..50 {
                let fault = format!("{point}#{visit}=kill");
                self.reset();
                let ran = self.run(&fault);
                if ran.0.status.signal() != Some(9) {
                    ran.ok();
                    break;
                }
                reached += 1;
                then(&fault);
            }
        }
        reached
    }

    fn killed_anywhere(&self) {
        let points: Vec<&str> =
            POINTS.iter().copied().filter(|point| point.starts_with("restore.") || point.starts_with("workspace.")).collect();
        let reached = self.each(&points, |fault| {
            self.doctor("");
            let there = self.is_there(&format!("{fault}, then doctor"));
            assert_eq!(there, fault.starts_with("restore.committed") || fault.starts_with("restore.settled"), "{fault}");
            self.run("").ok();
            assert!(self.is_there(&format!("{fault}, then doctor, then restore")));

            self.reset();
            assert_eq!(self.run(fault).0.status.signal(), Some(9));
            self.run("").ok();
            assert!(self.is_there(&format!("{fault}, then restore")));
        });
        assert!(reached > 10, "{reached}");
    }

    /// Asked to end: it goes on to its end or takes everything back, and nobody has to clear up.
    fn signalled_anywhere(&self, points: &[&str]) {
        for point in points {
            self.reset();
            let mut paused = self.machine.pause_at(point, &self.args);
            paused.signal(15);
            let ran = paused.end();
            let there = self.is_there(point);
            assert_eq!(there, ran.code() == Some(0), "{point}: {}", ran.stderr());
            let told = self.doctor("");
            assert!(!told.stdout().contains("interrupted restore"), "{point}: {}", told.stdout());
        }
    }

    /// Killed again while it is taken back.
    fn killed_while_recovering(&self) {
        for point in ["workspace.removed", "restore.undone", "restore.forgotten"] {
            self.reset();
            assert_eq!(self.run("restore.all-placed=kill").0.status.signal(), Some(9));
            assert_eq!(self.doctor(&format!("{point}=kill")).0.status.signal(), Some(9), "{point}");
            self.doctor("");
            assert!(!self.is_there(point));
        }
        for point in ["workspace.removed", "restore.undone", "restore.forgotten"] {
            self.reset();
            self.run("").ok();
            assert_eq!(self.machine.env("SAMESESSION_FAULT", format!("{point}=kill")).run_here(["undo"]).0.status.signal(), Some(9));
            self.doctor("");
            // Begun and not done: it can be asked for again.
            let again = self.machine.run_here(["undo"]);
            assert!(again.code() == Some(0) || again.stderr().contains("nothing to undo"), "{point}: {}", again.stderr());
            assert!(!self.is_there(&format!("undo, {point}")), "{point}");
        }
    }
}

fn keeps(machine: &Machine) -> usize {
    let packs = std::fs::read_dir(machine.cwd.join(".git/objects/pack")).expect("packs").flatten();
    packs.filter(|entry| entry.path().extension().is_some_and(|end| end == "keep")).count()
}

/// Nothing where the session is not.
fn heard(machine: &Machine) -> String {
    std::fs::read_to_string(machine.transcript()).unwrap_or_default()
}

impl Machine {
    /// The same machine in a directory that is not made yet.
    fn at_unmade(&self, below: &str) -> Machine {
        let mut machine = self.clone();
        machine.cwd = self.home.join(below);
        machine
    }
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").args(["-a", "--"]).args([from, to]).status().expect("cp");
    assert!(done.success());
}

#[test]
fn a_new_work_tree_is_there_or_not() {
    Crash::new(Place::New).killed_anywhere();
}

#[test]
fn the_one_here_is_as_before_or_as_it_came() {
    Crash::new(Place::Here).killed_anywhere();
}

#[test]
fn the_way_back_can_be_gone_twice() {
    Crash::new(Place::New).killed_while_recovering();
}

#[test]
fn the_way_back_here_can_be_gone_twice() {
    Crash::new(Place::Here).killed_while_recovering();
}

#[test]
fn the_one_at_home_is_as_it_was_left_or_as_it_came() {
    Crash::new(Place::Home).killed_anywhere();
}

#[test]
fn the_way_back_at_home_can_be_gone_twice() {
    Crash::new(Place::Home).killed_while_recovering();
}

#[test]
fn a_signal_leaves_no_new_work_tree_half_done() {
    Crash::new(Place::New).signalled_anywhere(&["workspace.packed", "workspace.made", "workspace.filled", "workspace.rebuilt"]);
}

#[test]
fn nor_the_one_here() {
    Crash::new(Place::Here).signalled_anywhere(&["workspace.packed", "workspace.filled", "workspace.rebuilt", "restore.placed"]);
}
