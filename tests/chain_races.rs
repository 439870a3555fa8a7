//! Many at once on the same chains: every checkpoint is kept, every push ends well, and no ref is ever forced.

use std::collections::BTreeSet;
use std::fs;

use crate::support::chains::{Team, id};
use crate::support::sandbox::{Machine, Ran};

const SESSION: &str = "aaaaaaaa-0001-4000-8000-000000000001";

/// Starts all before it waits for any.
fn at_once(runs: &[(&Machine, Vec<String>)]) -> Vec<Ran> {
    let children: Vec<_> = runs.iter().map(|(machine, args)| machine.start(args)).collect();
    children.into_iter().map(|child| Ran(child.wait_with_output().expect("it ends"))).collect()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn twenty_sessions_and_one_four_times_are_checkpointed_at_once() {
    let team = Team::new();
    let [laptop, desktop] = team.pair();
    let all: Vec<String> = (0..21).map(id).collect();
    let same = all.last().expect("some");
    all.iter().for_each(|id| laptop.begin(id));
    for round in 0..3 {
        all.iter().for_each(|id| laptop.adds(id, &format!("round {round}")));
        // Those that are late find a session that has been gone on with.
        let mut children: Vec<_> = all[..20].iter().map(|id| laptop.start(["checkpoint", id])).collect();
        for n in 0..4 {
            laptop.adds(same, &format!("round {round}, {n}"));
            children.push(laptop.start(["checkpoint", same]));
        }
        for child in children {
            let ran = Ran(child.wait_with_output().expect("it ends")).ok();
            assert!(!ran.stderr().contains("warning"), "{}", ran.stderr());
        }
        // Packs are merged meanwhile, and what somebody slower takes back may have been merged by then.
        laptop.assert_sound(true);
        assert_eq!(laptop.refs("refs/samesession").len(), 21);
        assert_eq!(laptop.refs("refs/samesession-seen").len(), 21);
        for id in &all {
            assert_eq!(laptop.json(["checkpoint", id])["state"], "unchanged", "{id}");
        }
    }
    // Each is a straight line, and what came last holds everything.
    for (tip, name) in laptop.refs("refs/samesession/sessions") {
        assert_eq!(laptop.git(["rev-list", "--merges", &tip]), "", "{name}");
        assert!((3..=12).contains(&laptop.git(["rev-list", &tip]).lines().count()));
    }
    laptop.run(["push", "--all"]).ok();
    team.server.assert_sound(false);
    // That is not kept for ever.
    laptop.run(["gc", "--prune"]).ok();
    laptop.git(["gc", "-q", "--prune=now"]);
    laptop.assert_sound(false);
    desktop.git(["fetch", "-q"]);
    for id in [&all[0], same] {
        desktop.run(["restore", id]).ok();
        assert_eq!(desktop.said(id), laptop.said(id));
    }
}

/// Every update that the server has made to the one chain: from and to.
fn updates(team: &Team) -> Vec<(String, String)> {
    let log = fs::read_to_string(team.server.cwd.join("updates")).expect("a log");
    let line = |line: &str| line.split_once(' ').map(|(from, rest)| (from.to_owned(), rest.split(' ').next().unwrap_or(rest).to_owned()));
    log.lines().filter_map(line).collect()
}

/// The values that a chain's ref ever had here.
fn ever(machine: &Machine) -> BTreeSet<String> {
    let (_, name) = machine.refs("refs/samesession/sessions").remove(0);
    machine.git(["log", "--walk-reflogs", "--format=%H", &name]).lines().map(str::to_owned).collect()
}

/// From nothing to the tip there is one way through all updates, and each of them only went forward.
fn assert_never_forced(team: &Team) {
    let updates = updates(team);
    let tip = team.server.local_tip().expect("a chain");
    let (mut at, mut steps) = ("0".repeat(40), 0);
    while at != tip {
        let next: Vec<_> = updates.iter().filter(|(from, _)| *from == at).collect();
        let [(from, to)] = next[..] else { panic!("{} updates from {at}", next.len()) };
        assert!(steps == 0 || team.server.descends(to, from), "{from} -> {to}");
        (at, steps) = (to.clone(), steps + 1);
    }
    assert_eq!(steps, updates.len());
}

#[test]
fn two_clones_push_the_same_session_at_once_a_hundred_times_and_nothing_is_lost() {
    let team = Team::new();
    team.hook("post-receive", "cat >>updates");
    let [laptop, desktop] = team.pair();
    laptop.begin(SESSION);
    laptop.run(["checkpoint", SESSION, "--push"]).ok();
    desktop.git(["fetch", "-q"]);
    desktop.run(["restore", SESSION]).ok();
    let mut made = BTreeSet::new();
    let mut joined = 0;
    for round in 0..100 {
        let alone = round % 4 == 3;
        if alone {
            // Both have the same again, and only one goes on.
            let (from, to) = if round % 8 == 3 { (&laptop, &desktop) } else { (&desktop, &laptop) };
            let tip = from.json(["checkpoint", SESSION, "--push"])["commit"].as_str().expect("a commit").to_owned();
            to.quick(["fetch"]).ok();
            to.quick(["restore", &tip, "--set-aside"]).ok();
            assert_eq!(to.said(SESSION), from.said(SESSION));
            from.adds(SESSION, &format!("{} alone {round}", from.name));
        } else {
            laptop.adds(SESSION, &format!("laptop {round}"));
            desktop.adds(SESSION, &format!("desktop {round}"));
        }
        let args = words(&["checkpoint", SESSION, "--push", "--json"]);
        for ran in at_once(&[(&laptop, args.clone()), (&desktop, args)]) {
            let ran = ran.ok().json();
            made.insert(ran["commit"].as_str().expect("a commit").to_owned());
            // However often they part: one machine, one way.
            let open = ran["open"].as_array().expect("ways").len();
            assert!(open < 2, "round {round}: {} other ways", open);
            joined += usize::from(ran["push"]["sessions"][0]["result"] == "joined");
        }
    }
    assert!(joined > 20, "only {joined} of the pushes came second");
    // Whoever was first in the last round has not seen the other's.
    for machine in [&laptop, &desktop] {
        machine.run(["push", SESSION]).ok();
        made.extend(ever(machine));
    }
    let tip = team.server.local_tip().expect("a chain");
    let reachable: BTreeSet<String> = team.server.git(["rev-list", &tip]).lines().map(str::to_owned).collect();
    let lost: Vec<_> = made.difference(&reachable).collect();
    assert!(lost.is_empty() && made.len() > 150, "of {}: {lost:?}", made.len());
    assert_never_forced(&team);
    laptop.assert_sound(false);
    desktop.assert_sound(false);
    team.server.assert_sound(false);
    // In the end both have the one tip, and what each of them said last is on it or one of its ways.
    for machine in [&laptop, &desktop] {
        machine.run(["fetch"]).ok();
        assert_eq!(machine.local_tip(), Some(tip.clone()), "{}", machine.name);
    }
}

#[test]
fn eight_clones_push_the_same_session_at_once() {
    let team = Team::new();
    team.hook("post-receive", "cat >>updates");
    let machines: Vec<Machine> = (0..8).map(|n| team.machine(&format!("m{n}"))).collect();
    crate::support::chains::acquaint(&machines);
    // None of them knows of the others: eight chains that begin apart.
    for machine in &machines {
        machine.begin(SESSION);
        machine.adds(SESSION, &machine.name);
    }
    let args = words(&["checkpoint", SESSION, "--push", "--json"]);
    let runs: Vec<_> = machines.iter().map(|machine| (machine, args.clone())).collect();
    let made: Vec<String> =
        at_once(&runs).into_iter().map(|ran| ran.ok().json()["commit"].as_str().expect("a commit").to_owned()).collect();
    let tip = team.server.local_tip().expect("a chain");
    for commit in &made {
        assert!(team.server.descends(&tip, commit), "{commit} is lost");
    }
    assert_never_forced(&team);
    team.server.assert_sound(false);
    let ways = machines[0].run(["fetch"]).ok();
    drop(ways);
    let refused = machines[0].run(["restore", SESSION]).fails(1, "ways");
    assert_eq!(refused.stderr().lines().filter(|line| line.starts_with("hint: to go on from one")).count(), 8, "{}", refused.stderr());
}

#[test]
fn what_somebody_else_fetched_meanwhile_is_not_forgotten_by_a_push() {
    let team = Team::new();
    let [laptop, desktop] = team.pair();
    laptop.begin(SESSION);
    laptop.run(["checkpoint", SESSION]).ok();
    let mut pushing = laptop.pause_at("push.sent", ["push", SESSION]);
    desktop.git(["fetch", "-q"]);
    desktop.run(["restore", SESSION]).ok();
    desktop.adds(SESSION, "and on");
    desktop.run(["checkpoint", SESSION, "--push"]).ok();
    laptop.run(["fetch"]).ok();
    let newest = team.server.local_tip().expect("a chain");
    let known = laptop.refs("refs/samesession-remote");
    assert_eq!(known[0].0, newest);
    pushing.end().ok();
    assert_eq!(laptop.refs("refs/samesession-remote"), known);
    for (tip, name) in laptop.refs("refs/samesession-seen") {
        assert_eq!(tip, newest, "{name}");
    }
}
