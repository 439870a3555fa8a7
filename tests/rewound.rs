//! Remotes that show less than they did, chains that were shortened or deleted elsewhere: what clones in every state make of
//! that, and that nothing is lost that nobody gave up.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::clones::{Project, SESSION, append, session_ref, sid, tracking_ref};
use crate::support::sandbox::Machine;

const HERE: &str = "refs/samesession/*";

fn pin(machine: &Machine, store: &str) -> String {
    machine.rev(&format!("refs/samesession-seen/{store}/sessions/{}", sid()))
}

/// A laptop whose chain of so many checkpoints is on the origin, and others that have restored it at that state.
fn scene(project: &Project, count: usize, others: &[&str]) -> (Machine, Vec<Machine>) {
    let laptop = project.clone("laptop");
    let others: Vec<Machine> = others.iter().map(|name| project.clone(name)).collect();
    let readers: Vec<&Machine> = others.iter().collect();
    laptop.checkpoint("laptop 1", &readers);
    for n in 2..=count {
        laptop.checkpoint(&format!("laptop {n}"), &[]);
    }
    laptop.run_here(["push", &sid()]).ok();
    for other in &others {
        other.trusts(&laptop);
        other.run_here(["restore", SESSION]).ok();
    }
    (laptop, others)
}

#[track_caller]
fn warns_of_a_rewind(machine: &Machine) {
    let told = machine.run_here(["fetch"]).ok();
    assert!(told.stderr().contains("'origin' was rewound"), "{}", told.stderr());
}

#[test]
fn a_remote_that_was_set_back_is_named_and_put_right_without_force() {
    let project = Project::new();
    // One only looks, one has a chain of its own.
    let (laptop, others) = scene(&project, 3, &["looker", "worker"]);
    let [looker, worker] = &others[..] else { unreachable!() };
    worker.adopts();
    let (good, old) = (project.tip(), laptop.rev(&format!("{}~2", session_ref())));
    for machine in [looker, worker] {
        project.set(&old);
        machine.git(["fetch", "-q"]);
        assert_eq!(machine.rev(&tracking_ref()), old);
        warns_of_a_rewind(machine);
        machine.git(["reflog", "expire", "--expire=now", "--all"]);
        machine.git(["gc", "-q", "--prune=now"]);
        warns_of_a_rewind(machine);
        assert_eq!((pin(machine, "origin"), machine.has(&good)), (good.clone(), true));
        // What was seen is what is restored, and what is pushed.
        machine.run_here(["restore", SESSION]).ok();
        assert_eq!(machine.heard(), laptop.heard());
        machine.run_here(["push", &sid()]).ok();
        assert_eq!(project.tip(), good);
        assert_eq!(machine.run_here(["fetch"]).ok().stderr(), "");
    }
    // Whoever comes now has no memory, and cannot notice.
    project.set(&old);
    let fresh = project.clone("fresh");
    assert_eq!(fresh.trusts(&laptop).stderr(), "");
    assert_eq!(fresh.rev(&tracking_ref()), old);
}

#[test]
fn another_chain_of_the_same_session_in_its_place_is_named_and_joined() {
    let project = Project::new();
    let (laptop, others) = scene(&project, 2, &["desktop"]);
    let desktop = &others[0];
    let good = project.tip();
    // The same session, begun anew by somebody known, in a repository that never saw the chain.
    let other = project.plain("other");
    fs::create_dir_all(other.claude_project()).expect("made");
    append(&other.transcript(), &laptop.heard());
    let another = other.checkpoint("another story", &[desktop, &laptop]);
    other.git(["push", "-q", "-f", "origin", HERE]);
    assert_eq!(project.tip(), another);
    desktop.git(["fetch", "-q"]);
    desktop.trusts(&other);
    warns_of_a_rewind(desktop);
    assert_eq!(pin(desktop, "origin"), good);
    desktop.git(["gc", "-q", "--prune=now"]);
    assert!(desktop.has(&good));
    desktop.run_here(["push", &sid()]).ok();
    let joined = project.tip();
    for chain in [&good, &another] {
        assert!(desktop.try_git(["merge-base", "--is-ancestor", chain, &joined]).code() == Some(0), "{chain} is lost");
    }
    assert_eq!(desktop.run_here(["fetch"]).ok().stderr(), "");
}

#[test]
fn clones_in_every_state_follow_a_chain_that_was_shortened_several_times() {
    let project = Project::new();
    let (laptop, others) = scene(&project, 3, &["behind", "unpushed", "equal", "never"]);
    let [behind, unpushed, equal, _] = &others[..] else { unreachable!() };
    let never = project.clone("afresh");
    behind.adopts();
    laptop.checkpoint("laptop 4", &[&never]);
    laptop.run_here(["push", &sid()]).ok();
    for machine in [unpushed, equal] {
        machine.run_here(["fetch"]).ok();
        machine.run_here(["restore", SESSION]).ok();
    }
    unpushed.checkpoint("unpushed 1", &[]);
    unpushed.checkpoint("unpushed 2", &[]);
    for round in 5..8 {
        let gc = laptop.run_here(["gc", SESSION, "--keep-last", "2"]).ok().stdout();
        assert!(gc.contains("dropped here and on origin"), "{gc}");
        assert_eq!(laptop.count(&project.tip()), 2);
        laptop.checkpoint(&format!("laptop {round}"), &[]);
        laptop.run_here(["push", &sid()]).ok();
    }
    laptop.run_here(["gc", SESSION, "--keep-last", "1"]).ok();
    let short = project.tip();
    assert_eq!(laptop.count(&short), 1);
    for machine in [behind, equal] {
        assert_eq!(machine.run_here(["fetch"]).ok().stderr(), "");
        machine.run_here(["restore", SESSION]).ok();
        assert_eq!(machine.heard(), laptop.heard());
        assert_eq!((pin(machine, "origin"), machine.run_here(["push", "--all"]).ok().code()), (short.clone(), Some(0)));
        assert_eq!(project.tip(), short);
        machine.git(["push", "-q", "origin", HERE]);
    }
    never.trusts(&laptop);
    never.run_here(["restore", SESSION]).ok();
    assert_eq!(never.heard(), laptop.heard());
    // What was made meanwhile stands behind the shortened chain, and is joined like any other way.
    assert_eq!(unpushed.run_here(["fetch"]).ok().stderr(), "");
    let carried = unpushed.tip();
    assert_eq!(unpushed.count(&carried), 3);
    unpushed.run_here(["push", &sid()]).ok();
    assert_eq!(unpushed.count(&project.tip()), 3);
    laptop.trusts(unpushed);
    for machine in [&laptop, unpushed, equal] {
        machine.git(["fetch", "-q"]);
        machine.run_here(["fetch", "--trust", &unpushed.fingerprint()]).ok();
        machine.git(["gc", "-q", "--prune=now"]);
        machine.run_here(["restore", &project.tip(), "--set-aside"]).ok();
        assert_eq!(machine.heard().lines().last(), unpushed.heard().lines().last());
    }
    // The old chain is gone from the origin for good.
    project.git(["gc", "-q", "--prune=now"]);
    assert_eq!(project.git(["rev-list", "--count", "--glob=refs/samesession"]), "3");
}

#[test]
fn a_way_that_was_left_open_is_still_there_after_the_chain_was_shortened() {
    let project = Project::new();
    let (laptop, others) = scene(&project, 3, &["desktop", "third"]);
    let [desktop, third] = &others[..] else { unreachable!() };
    // Desktop goes its own way in ignorance of what the laptop pushes, and knows of it at its next checkpoint only.
    desktop.checkpoint("desktop 1", &[]);
    laptop.checkpoint("laptop 4", &[]);
    laptop.run_here(["push", &sid()]).ok();
    desktop.git(["fetch", "-q"]);
    desktop.checkpoint("desktop 2", &[]);
    let theirs = desktop.run_here(["restore", &sid()]).fails(1, "went 2 ways").stderr();
    assert!(theirs.contains(&project.tip()[..12]), "{theirs}");
    // Meanwhile the other way is shortened away.
    laptop.checkpoint("laptop 5", &[]);
    laptop.run_here(["push", &sid()]).ok();
    laptop.run_here(["gc", SESSION, "--keep-last", "1"]).ok();
    project.git(["gc", "-q", "--prune=now"]);
    desktop.run_here(["push", &sid()]).ok();
    let ways = desktop.run_here(["restore", &sid()]).fails(1, "went 2 ways").stderr();
    // Also where only what is pushed is known.
    for machine in [&laptop, third] {
        machine.trusts(desktop);
        assert_eq!(machine.run_here(["restore", &sid()]).fails(1, "went 2 ways").stderr(), ways, "{}", machine.name);
    }
    for commit in ways.lines().filter_map(|line| line.split("git samesession restore ").nth(1)) {
        third.run_here(["restore", commit, "--set-aside"]).ok();
        let last = third.heard().lines().last().expect("a record").to_owned();
        assert!(last.contains("laptop 5") || last.contains("desktop 2"), "{last}");
    }
}

#[test]
fn an_open_join_is_not_shortened_and_survives_what_others_shorten() {
    let project = Project::new();
    let (laptop, others) = scene(&project, 2, &["desktop"]);
    let desktop = &others[0];
    laptop.checkpoint("laptop 3", &[]);
    laptop.run_here(["push", &sid()]).ok();
    let here = desktop.checkpoint("desktop 1", &[]);
    desktop.run_here(["push", &sid()]).ok();
    let (joined, laptops) = (project.tip(), laptop.tip());
    laptop.trusts(desktop);
    for machine in [&laptop, desktop] {
        machine.run_here(["gc", SESSION, "--keep-last", "1"]).fails(1, "went several ways");
    }
    assert_eq!(project.tip(), joined);
    // Chosen, it can be; and whoever still has the join follows.
    laptop.run_here(["restore", &laptops]).ok();
    laptop.checkpoint("laptop 4", &[]);
    laptop.run_here(["push", &sid()]).ok();
    laptop.run_here(["gc", SESSION, "--keep-last", "1"]).ok();
    assert_eq!(desktop.run_here(["fetch"]).ok().stderr(), "");
    assert_eq!(desktop.tip(), project.tip());
    desktop.run_here(["restore", SESSION, "--set-aside"]).ok();
    assert_eq!(desktop.heard(), laptop.heard());
    assert!(!here.is_empty());
}

#[test]
fn who_cannot_read_a_session_follows_it_all_the_same_and_is_not_held_up_by_it() {
    let project = Project::new();
    let (laptop, _) = scene(&project, 3, &[]);
    let stranger = project.clone("stranger");
    stranger.trusts(&laptop);
    stranger.checkpoint_of("eeeeeeee-0001-4000-8000-000000000001");
    laptop.run_here(["gc", SESSION, "--keep-last", "1"]).ok();
    assert_eq!(stranger.run_here(["fetch"]).ok().stderr(), "");
    assert_eq!(pin(&stranger, "origin"), project.tip());
    laptop.checkpoint("laptop 4", &[]);
    laptop.run_here(["push", &sid()]).ok();
    laptop.run_here(["gc", SESSION, "--keep-last", "1"]).ok();
    stranger.run_here(["fetch"]).ok();
    stranger.checkpoint_of("eeeeeeee-0001-4000-8000-000000000001");
    stranger.run_here(["push", "--all"]).ok();
}

#[test]
fn a_gc_that_comes_too_late_replaces_nothing() {
    let project = Project::new();
    let (laptop, others) = scene(&project, 3, &["desktop"]);
    let desktop = &others[0];
    let theirs = desktop.checkpoint("desktop 1", &[]);
    desktop.git(["push", "-q", "origin", &format!("{theirs}:refs/heads/aside")]);
    // Between the look at the remote and the push, somebody else is there.
    let script = laptop.home.join("upload-pack");
    let line = format!("#!/bin/sh\ngit-upload-pack \"$@\"\ngit -C '{}' update-ref {} {theirs}\n", project.origin.display(), session_ref());
    fs::write(&script, line).and_then(|()| fs::set_permissions(&script, fs::Permissions::from_mode(0o755))).expect("written");
    laptop.git(["config", "remote.origin.uploadpack", script.to_str().expect("UTF-8")]);
    let before = laptop.tip();
    laptop.run_here(["gc", SESSION, "--keep-last", "1"]).fails(1, "has moved meanwhile").hints("try again");
    assert_eq!((laptop.tip(), project.tip()), (before, theirs.clone()));
    laptop.git(["config", "--unset", "remote.origin.uploadpack"]);
    laptop.trusts(desktop);
    laptop.run_here(["gc", SESSION, "--keep-last", "1"]).ok();
    desktop.run_here(["fetch"]).ok();
    desktop.run_here(["restore", SESSION]).ok();
    assert!(desktop.heard().contains("desktop 1"));
    assert_eq!(desktop.tip(), project.tip());
}

#[test]
fn a_deleted_session_stays_deleted_whatever_plain_git_pushes_until_somebody_revives_it() {
    let project = Project::new();
    let (laptop, others) = scene(&project, 3, &["equal", "unpushed", "behind"]);
    let [equal, unpushed, behind] = &others[..] else { unreachable!() };
    for machine in [equal, unpushed, behind] {
        machine.adopts();
    }
    laptop.checkpoint("laptop 4", &[]);
    laptop.run_here(["push", &sid()]).ok();
    equal.run_here(["fetch"]).ok();
    let mine = unpushed.checkpoint("unpushed 1", &[]);
    let short = &sid()[..8];
    laptop.run_here(["delete", &sid(), "--remote", "--confirm", short]).ok();
    let tombstone = project.tip();
    for machine in [equal, unpushed, behind] {
        // In ignorance of it.
        machine.try_git(["push", "-q", "origin", HERE]).fails_with(1);
        assert_eq!(project.tip(), tombstone);
        machine.git(["fetch", "-q"]);
        machine.try_git(["push", "-q", "origin", HERE]).fails_with(1);
        assert_eq!(project.tip(), tombstone);
        machine.run_here(["checkpoint", SESSION]).fails(1, "was deleted by laptop").hints("--revive");
        machine.run_here(["restore", &sid()]).fails_with(1);
        assert_eq!(project.tip(), tombstone);
    }
    equal.git(["push", "-q", "origin", HERE]);
    behind.git(["push", "-q", "origin", HERE]);
    unpushed.run_here(["push", &sid()]).fails(1, "was deleted by laptop");
    // What was made in ignorance is still there.
    assert_eq!(unpushed.tip(), mine);
    unpushed.git(["gc", "-q", "--prune=now"]);
    unpushed.run_here(["restore", &mine, "--set-aside"]).ok();
    // A clone that never saw it sees no session.
    let never = project.clone("never");
    never.trusts(&laptop);
    never.run_here(["restore", &sid()]).fails_with(1);
    let remaining = project.git(["rev-list", "--objects", &tombstone]).lines().count();
    assert!(remaining < 10, "{remaining}");
    // Deleting twice is no harm.
    laptop.run_here(["delete", &sid(), "--remote", "--confirm", short]).ok();
    assert_eq!(project.tip(), tombstone);
    unpushed.run_here(["checkpoint", SESSION, "--revive", "--push"]).ok();
    laptop.trusts(unpushed);
    laptop.run_here(["restore", &sid(), "--set-aside"]).ok();
    assert!(laptop.heard().contains("unpushed 1"));
}

#[test]
fn what_was_pruned_and_is_remembered_by_its_pin_alone_is_gone_on_from() {
    let project = Project::new();
    let (_, others) = scene(&project, 3, &["pruner", "without"]);
    let [pruner, without] = &others[..] else { unreachable!() };
    let seen = project.tip();
    project.git(["update-ref", "-d", &session_ref()]);
    pruner.git(["fetch", "-q", "--prune"]);
    without.git(["remote", "remove", "origin"]);
    without.git(["update-ref", "-d", &tracking_ref()]);
    for machine in [pruner, without] {
        assert!(machine.try_git(["rev-parse", "--verify", "-q", &tracking_ref()]).code() != Some(0));
        assert_eq!(pin(machine, "origin"), seen);
        let next = machine.checkpoint("and on", &[]);
        assert_eq!((machine.count(&next), machine.rev(&format!("{next}^"))), (4, seen.clone()));
    }
}

#[test]
fn what_is_older_than_is_said_goes_here_and_there_and_the_newest_stays() {
    let project = Project::new();
    let clock = project.sandbox.path().join("clock");
    let (laptop, desktop) = (project.clone("laptop").env("SAMESESSION_TEST_CLOCK", &clock), project.clone("desktop"));
    let on_day = |day: u32| fs::write(&clock, (day * 86_400).to_string()).expect("written");
    for day in [0, 10, 20, 40] {
        on_day(day);
        laptop.checkpoint(&format!("on day {day}"), &[&desktop]);
    }
    laptop.run_here(["push", &sid()]).ok();
    desktop.trusts(&laptop);
    desktop.run_here(["restore", SESSION]).ok();
    let counts = || (laptop.count(&laptop.tip()), project.git(["rev-list", "--count", &project.tip()]).parse().expect("a number"));
    laptop.run_here(["gc", "--older-than", "30x"]).fails(129, "an age is a number");
    assert!(laptop.run_here(["gc", "--older-than", "8w"]).ok().stdout().contains("no chain was shortened"));
    on_day(41);
    laptop.run_here(["gc", "--older-than", "3w", "--keep-last", "3"]).ok();
    assert_eq!(counts(), (3, 3), "whichever keeps more");
    laptop.run_here(["gc", "--older-than", "30d", "--local"]).ok();
    assert_eq!(counts(), (2, 3));
    laptop.run_here(["gc", "--older-than", "12h"]).ok();
    assert_eq!(counts(), (1, 1));
    assert_eq!(project.tip(), laptop.tip());
    desktop.run_here(["fetch"]).ok();
    assert_eq!(desktop.count(&tracking_ref()), 1);
    desktop.run_here(["restore", SESSION]).ok();
    desktop.checkpoint("and on", &[]);
    desktop.run_here(["push", &sid()]).ok();
    assert_eq!((desktop.count(&project.tip()), desktop.heard().lines().count()), (2, 5));
}
