//! Whatever somebody left, it arrives: generated repositories captured, carried through a bare remote and restored in
//! another clone at another path, and the source as it was, byte for byte.
//!
//! `SAMESESSION_CASES` asks for more cases than the default, `SAMESESSION_SEED` for one of them again.

use std::fs;
use std::path::Path;

use crate::support::sandbox::Machine;

use super::random::{self, Dice, FILTER};
use super::scene::Scene;
use super::seen::{Seen, assert_untouched, refs, untouched};

const CASES: u64 = 40;
/// Tests beside each other, so that a machine with several processors is not idle.
const LANES: u64 = 4;

/// Says which case it was, whatever has failed in it.
struct Case {
    seed: u64,
    story: Vec<String>,
}

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was SAMESESSION_SEED={}: {:#?}", self.seed, self.story);
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn lane(lane: u64, case: fn(&Scene, u64)) {
    let seeds: Vec<u64> = match number("SAMESESSION_SEED") {
        Some(seed) => (seed % LANES == lane).then_some(seed).into_iter().collect(),
        None => (0..number("SAMESESSION_CASES").unwrap_or(CASES)).filter(|seed| seed % LANES == lane).collect(),
    };
    let scene = Scene::empty(&[]);
    for machine in [&scene.laptop, &scene.desktop] {
        let config = machine.home.join(".gitconfig");
        let text = fs::read_to_string(&config).expect("a configuration");
        fs::write(config, text + FILTER).expect("written");
    }
    for seed in seeds {
        case(&scene, seed);
    }
}

fn case(scene: &Scene, seed: u64) {
    let mut case = Case { seed, story: Vec::new() };
    let mut dice = Dice::new(seed);
    let native = format!("eeeeeeee-0001-4000-8000-{seed:012}");
    let (laptop, desktop, origin) = fresh(scene, seed);
    let (into, branch, ignored) = (dice.one_in(3), dice.one_in(3), dice.one_in(5));
    let made = random::make(&laptop, dice);
    case.story = made.story;
    case.story.push(format!("into {into}, branch {branch}, ignored {ignored}"));
    desktop.git(["fetch", "-q"]);

    laptop.say_in(&native, "a word");
    let (before, source) = (untouched(&laptop), Seen::of(&laptop, ignored));
    let mut checkpoint = vec!["checkpoint", &native, "--push"];
    if ignored {
        checkpoint.push("--include-ignored=*");
    }
    laptop.run_here(&checkpoint).ok();
    assert_untouched(&before, &laptop);

    desktop.git(["fetch", "-q"]);
    let (theirs, elsewhere) = (refs(&desktop), desktop.home.join(format!("another place/{seed}")));
    let mut restore = vec!["restore", &native, "--json"];
    let text = elsewhere.to_str().expect("UTF-8");
    if into {
        restore.extend(["--into", text]);
    }
    if branch {
        restore.push("--branch");
    }
    let told = desktop.run_here(&restore).ok().json();
    let there = desktop.at(Path::new(told["workspace"]["work_tree"].as_str().expect("a place")));
    source.assert_same(&Seen::of(&there, ignored));
    assert_untouched(&before, &laptop);
    if branch || source.head.is_empty() {
        let on = there.try_git(["symbolic-ref", "-q", "HEAD"]).stdout();
        assert_eq!(made.branch.as_deref().unwrap_or_default(), on.trim(), "{told}");
    }

    // Another restore finds it there; and taken back, everything is as before.
    let again = there.run_here(["restore", &native, "--json"]).ok().json();
    assert_eq!(again["workspace"]["was_there"], true, "{again:#}");
    desktop.run_here(["undo", told["undo"].as_str().expect("an id")]).ok();
    assert!(!there.cwd.exists());
    assert_eq!(refs(&desktop), theirs);
    assert_eq!(desktop.worktrees(), 1);
    for dir in [&laptop.cwd, &desktop.cwd, &origin] {
        fs::remove_dir_all(dir).expect("removed");
    }
}

/// There and back: home is the work tree that was left, and undo brings it back as it was left.
fn home(scene: &Scene, seed: u64) {
    let mut case = Case { seed, story: Vec::new() };
    let mut dice = Dice::new(seed);
    let native = format!("eeeeeeee-0002-4000-8000-{seed:012}");
    let (laptop, desktop, origin) = fresh(scene, seed + 1_000_000);
    let more = Dice::new(dice.roll());
    let made = random::make(&laptop, dice);
    case.story = made.story;
    desktop.git(["fetch", "-q"]);
    laptop.say_in(&native, "a word");
    laptop.run_here(["checkpoint", &native, "--push"]).ok();
    desktop.git(["fetch", "-q"]);
    let told = desktop.run_here(["restore", &native, "--json"]).ok().json();
    let there = desktop.at(Path::new(told["workspace"]["work_tree"].as_str().expect("a place")));
    case.story.push("and there:".to_owned());
    case.story.extend(random::more(&there, more));
    there.say_in(&native, "gone on there");
    there.run_here(["checkpoint", &native, "--push"]).ok();
    laptop.git(["fetch", "-q"]);

    let (before, theirs) = (Seen::of(&laptop, true), refs(&laptop));
    let told = laptop.run_here(["restore", &native, "--json"]).ok().json();
    if told["workspace"]["work_tree"].as_str() == laptop.cwd.to_str() {
        // What was ignored here stays, although it may not be ignored any more.
        if !case.story.iter().any(|line| line.contains(".gitignore")) {
            Seen::of(&there, false).assert_same(&Seen::of(&laptop, false));
        }
    } else {
        // What is ignored here and came along, or a part of the tree only.
        let notes = told["notes"].to_string();
        assert!(notes.contains("is in the way") || notes.contains("only a part of the tree"), "{notes}");
        before.assert_same(&Seen::of(&laptop, true));
    }
    laptop.run_here(["undo", told["undo"].as_str().expect("an id")]).ok();
    before.assert_same(&Seen::of(&laptop, true));
    assert_eq!((refs(&laptop), laptop.worktrees()), (theirs, 1));
    for dir in [&laptop.cwd, &there.cwd, &desktop.cwd, &origin] {
        fs::remove_dir_all(dir).expect("removed");
    }
}

/// A repository on each side, and one between them.
fn fresh(scene: &Scene, seed: u64) -> (Machine, Machine, std::path::PathBuf) {
    let origin = scene.sandbox.path().join(format!("origin {seed}.git"));
    let laptop = scene.laptop.at(scene.laptop.home.join(format!("src/case {seed}")));
    let desktop = scene.desktop.at(scene.desktop.home.join(format!("work/other {seed}")));
    laptop.git(["init", "-q", "--bare", "-b", "main", origin.to_str().expect("UTF-8")]);
    for (machine, branch) in [(&laptop, "main"), (&desktop, "desk")] {
        machine.git(["init", "-q", "-b", branch]);
        machine.git(["remote", "add", "origin", origin.to_str().expect("UTF-8")]);
        machine.git(["config", "--add", "remote.origin.fetch", "+refs/samesession/*:refs/samesession-remote/origin/*"]);
    }
    (laptop, desktop, origin)
}

#[test]
fn whatever_was_left_arrives_1() {
    lane(0, case);
}

#[test]
fn whatever_was_left_arrives_2() {
    lane(1, case);
}

#[test]
fn whatever_was_left_arrives_3() {
    lane(2, case);
}

#[test]
fn whatever_was_left_arrives_4() {
    lane(3, case);
}

#[test]
fn whatever_was_left_comes_home_1() {
    lane(0, home);
}

#[test]
fn whatever_was_left_comes_home_2() {
    lane(1, home);
}

#[test]
fn whatever_was_left_comes_home_3() {
    lane(2, home);
}

#[test]
fn whatever_was_left_comes_home_4() {
    lane(3, home);
}
