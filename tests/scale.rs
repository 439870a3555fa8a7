//! Many sessions in one repository: what a command costs does not grow with what it does not touch, and what it does for
//! many it does at once. Processes are counted rather than seconds, which depend on the machine.

use std::fs;
use std::time::Duration;

use super::support::chains::{Team, acquaint, id};
use super::support::sandbox::{Machine, Ran};

/// What it did, and how often it started Git.
#[track_caller]
fn traced<const N: usize>(machine: &Machine, args: [&str; N]) -> (Ran, usize) {
    let ran = machine.env("SAMESESSION_TRACE", "1").quick(args).ok();
    let started = ran.stderr().lines().filter(|line| line.starts_with("trace: git ")).count();
    (ran, started)
}

/// A machine with this many chains, none of them pushed.
fn with_chains(team: &Team, name: &str, count: usize) -> Machine {
    let machine = team.machine(name);
    machine.begin(&id(0));
    machine.quick(["checkpoint", &id(0)]).ok();
    machine.multiply(0, 1..count);
    machine
}

#[test]
fn pushing_many_sessions_starts_git_as_often_as_pushing_a_few() {
    let started = [3, 30].map(|count| {
        let team = Team::new();
        let machine = with_chains(&team, "laptop", count);
        let (ran, started) = traced(&machine, ["push", "--all"]);
        assert_eq!(ran.stdout().lines().count(), count, "{}", ran.stdout());
        let there = team.server.refs("refs/samesession/sessions");
        assert_eq!(there.len(), count);
        assert_eq!(machine.refs("refs/samesession-seen/origin").len(), count);
        // Nothing is left to do, and nothing is done.
        assert!(machine.quick(["push", "--all"]).ok().stdout().contains("has everything already"));
        started
    });
    assert_eq!(started[0], started[1]);
}

#[test]
fn more_sessions_are_pushed_than_git_can_be_told_of_at_once() {
    let team = Team::new();
    let machine = with_chains(&team, "laptop", 1400);
    // As short a stack leaves 128 KiB for the words a program is started with, where 1400 refspecs are 143.
    let mut command = machine.command("sh");
    command.args(["-c", "ulimit -s 512; exec \"$0\" push --all --json", env!("CARGO_BIN_EXE_git-samesession")]);
    let pushed = Ran(command.output().expect("sh")).ok().json();
    let rows = pushed["sessions"].as_array().expect("rows");
    assert!(rows.len() == 1400 && rows.iter().all(|row| row["result"] == "pushed"), "{pushed}");
    assert_eq!(team.server.refs("refs/samesession/sessions").len(), 1400);
}

#[test]
fn ten_thousand_chains_are_no_obstacle() {
    let team = Team::new();
    let [machine, other] = [with_chains(&team, "laptop", 10_000), team.machine("desktop")];
    acquaint(&[machine.clone(), other.clone()]);
    // One command with the number of starts of Git that it may take, whatever stands beside the session it is about.
    let check = |machine: &Machine, args: &[&str], most: usize| {
        let begun = std::time::Instant::now();
        let ran = Ran(machine.env("SAMESESSION_TRACE", "1").start(args).wait_with_output().expect("it ends")).ok();
        let started = ran.stderr().lines().filter(|line| line.starts_with("trace: git ")).count();
        let took = begun.elapsed();
        assert!(started <= most && took < Duration::from_secs(120), "{args:?}: {took:?}\n{}", ran.stderr());
        ran
    };
    assert_eq!(check(&machine, &["list"], 4).stdout().lines().count(), 10_000);
    check(&machine, &["list"], 4);
    machine.adds(&id(0), "more");
    check(&machine, &["checkpoint", &id(0)], 24);
    // Loose refs are what made this slow, and nothing else of the user's has been packed.
    assert!(machine.cwd.join(".git/refs/heads/main").exists());
    assert!(fs::read_dir(machine.cwd.join(".git/refs/samesession/sessions")).map_or(0, Iterator::count) < 10);
    check(&machine, &["push", &id(0)], 12);
    // All at once, as `git push origin 'refs/samesession/*'` would, and not name by name, which takes minutes.
    assert_eq!(check(&machine, &["push", "--all"], 10).stdout().lines().count(), 9_999);
    assert_eq!(team.server.refs("refs/samesession/sessions").len(), 10_000);
    check(&machine, &["push", "--all"], 8);
    check(&other, &["fetch"], 10);
    assert_eq!(other.refs("refs/samesession/sessions").len(), 0);
    assert_eq!(check(&other, &["list"], 4).stdout().lines().count(), 10_000);
    machine.adds(&id(0), "still more");
    check(&machine, &["checkpoint", &id(0), "--push"], 30);
    check(&other, &["fetch"], 10);
    check(&other, &["show", &id(0)], 8);
}
