//! This machine's agents as a remote of the user's own Git.

use std::fs;

use super::{ZERO, captured, listed, name_of, tracking_of, with_agents};
use crate::support::clones::{OTHER, Project, SESSION, sid_of};
use crate::support::sandbox::{Machine, Ran, snapshot};

/// Nothing is said on either stream.
#[track_caller]
fn silent(machine: &Machine, args: &[&str]) {
    let ran = machine.try_git(args.iter().copied());
    assert_eq!((ran.code(), ran.stdout(), ran.stderr()), (Some(0), String::new(), String::new()), "{args:?}");
}

#[track_caller]
fn refused(ran: &Ran, why: &str) {
    assert_eq!(ran.code(), Some(1), "{}\n{}", ran.stdout(), ran.stderr());
    assert!(ran.stderr().contains(why), "expected '{why}' in:\n{}", ran.stderr());
}

#[test]
fn a_list_captures_nothing_and_what_is_unchanged_keeps_its_id() {
    let project = Project::new();
    let laptop = with_agents(&project, "laptop");
    let before = snapshot(&laptop.home);
    for address in ["session::", "session::claude", "agents", "session::?all", "session::claude?session-only"] {
        let all = laptop.git(["ls-remote", address]);
        assert_eq!(all.lines().count(), 2, "{address}: {all}");
        assert_eq!(listed(&laptop, address, SESSION).as_deref(), Some(ZERO));
    }
    assert_eq!(laptop.git(["ls-remote", "session::codex"]), "");
    assert_eq!(snapshot(&laptop.home), before);

    captured(&laptop);
    let tip = laptop.rev(&tracking_of(SESSION));
    assert_eq!(listed(&laptop, "session::", SESSION), Some(tip.clone()));
    silent(&laptop, &["fetch", "agents"]);
    assert_eq!(laptop.count(&tip), 1);
    // What changes is unknown again, and nothing else is.
    laptop.say("two");
    assert_eq!(listed(&laptop, "session::", SESSION).as_deref(), Some(ZERO));
    assert_eq!(listed(&laptop, "session::", OTHER), Some(laptop.rev(&tracking_of(OTHER))));
    captured(&laptop);
    let new = laptop.rev(&tracking_of(SESSION));
    assert_eq!((laptop.count(&new), laptop.rev(&format!("{new}~1"))), (2, tip));
    assert_eq!(laptop.git(["for-each-ref", "refs/samesession-import"]), "");
    laptop.git(["fsck", "--strict", "--no-dangling"]);
}

#[test]
fn a_file_in_the_work_tree_changes_the_session_that_was_used_last_and_no_other() {
    let project = Project::new();
    let laptop = with_agents(&project, "laptop");
    captured(&laptop);
    let (new, old) = (laptop.rev(&tracking_of(OTHER)), laptop.rev(&tracking_of(SESSION)));
    fs::write(laptop.cwd.join("draft"), "words").expect("written");
    let ids: Vec<_> = [SESSION, OTHER].map(|native| listed(&laptop, "session::", native)).into();
    assert_eq!(ids.iter().flatten().filter(|id| *id == ZERO).count(), 1, "{ids:?}");
    captured(&laptop);
    let changed = [(SESSION, old), (OTHER, new)].map(|(native, was)| laptop.rev(&tracking_of(native)) != was);
    assert_eq!(changed.iter().filter(|changed| **changed).count(), 1);
    // One that is named is looked at with all that is around it.
    let other = if changed[0] { OTHER } else { SESSION };
    assert_eq!(listed(&laptop, &format!("session::claude/{other}"), other).as_deref(), Some(ZERO));
}

#[test]
fn exactly_what_is_asked_for_is_captured() {
    let project = Project::new();
    let laptop = with_agents(&project, "laptop");
    let name = name_of(OTHER);
    laptop.git(["fetch", "-q", "session::claude", &format!("{name}:{name}")]);
    let refs = laptop.git(["for-each-ref", "--format=%(refname)", "refs/samesession", "refs/samesession-seen"]);
    assert!(refs.contains(&sid_of(OTHER)) && !refs.contains(&sid_of(SESSION)), "{refs}");
    let ran = laptop.try_git(["fetch", "session::claude", "refs/samesession/sessions/none"]);
    assert!(ran.stderr().contains("couldn't find remote ref"), "{}", ran.stderr());
}

#[test]
fn one_session_is_fetched_by_its_address_alone() {
    let project = Project::new();
    let laptop = with_agents(&project, "laptop");
    fs::remove_file(laptop.transcript_of(OTHER)).expect("removed");
    for address in ["session::current", "session::claude/current", "session::claude/dddddddd-0001", "session::claude/dddd"] {
        laptop.git(["fetch", "-q", address]);
        let head = laptop.rev("FETCH_HEAD");
        assert_eq!(laptop.count(&head), 1, "{address}");
    }
    // Our own commands go on from there, and make nothing twice.
    let head = laptop.rev("FETCH_HEAD");
    let made = laptop.json(["checkpoint", SESSION]);
    assert_eq!((made["state"].as_str(), made["commit"].as_str()), (Some("unchanged"), Some(head.as_str())), "{made}");
    assert_eq!(laptop.tip(), head);
    let none = laptop.try_git(["fetch", "session::claude/eeee"]);
    assert_eq!(none.code(), Some(128));
    assert!(none.stderr().contains("no session matches 'eeee'") && none.stderr().contains("git ls-remote"), "{}", none.stderr());
    laptop.say_in(OTHER, "again");
    let several = laptop.try_git(["fetch", "session::claude/dddd"]);
    assert!(
        several.stderr().contains("could be 2 sessions") && several.stderr().contains("session::claude/dddddddd-0002"),
        "{}",
        several.stderr()
    );
}

#[test]
fn no_documented_spelling_costs_a_session_that_was_never_pushed() {
    let project = Project::new();
    let laptop = project.plain("laptop");
    laptop.git(["config", "fetch.prune", "true"]);
    laptop.run_here(["init"]).ok();
    laptop.say("one");
    let ours = laptop.checkpoint("two", &[]);
    laptop.say_in(OTHER, "other");
    captured(&laptop);
    let theirs = laptop.rev(&tracking_of(OTHER));
    // Its agent has cleaned up since.
    fs::remove_file(laptop.transcript_of(OTHER)).expect("removed");
    fs::remove_file(laptop.transcript_of(SESSION)).expect("removed");
    for spelling in [
        &["fetch", "-q", "agents"][..],
        &["fetch", "-q", "--all"],
        &["remote", "update"],
        &["fetch", "-q", "session::", "refs/samesession/*:refs/samesession-remote/agents/*"],
        &["fetch", "-q", "--no-prune", "session::claude", "refs/samesession/*:refs/samesession/*"],
        &["push", "-q", "origin", "refs/samesession-remote/agents/*:refs/samesession/*"],
        &["gc", "-q", "--prune=now"],
    ] {
        laptop.try_git(spelling.iter().copied());
        assert_eq!(laptop.tip(), ours, "{spelling:?}");
        if !spelling.contains(&"session::") {
            assert_eq!(laptop.rev(&format!("refs/samesession-seen/@agents/sessions/{}", sid_of(OTHER))), theirs, "{spelling:?}");
        }
    }
    // Git prunes what a refspec on the command line maps; what was captured is pinned all the same.
    assert!(laptop.has(&theirs));
}

#[test]
fn the_same_names_on_both_sides_go_on_with_our_own_commands() {
    let project = Project::new();
    let laptop = with_agents(&project, "laptop");
    let same = ["fetch", "-q", "--no-prune", "session::claude", "refs/samesession/*:refs/samesession/*"];
    laptop.git(same);
    let first = laptop.tip();
    laptop.say("two");
    laptop.git(same);
    assert_eq!(laptop.rev(&format!("{}~1", laptop.tip())), first);
    assert_eq!(laptop.run_here(["list"]).ok().stderr(), "");
    laptop.say("three");
    assert_eq!(laptop.json(["checkpoint", SESSION])["sequence"], 3);
    silent(&laptop, &same);
    laptop.git(["push", "-q", "origin", "refs/samesession/*"]);
    assert_eq!(project.tip(), laptop.tip());
}

#[test]
fn a_push_restores_and_never_replaces_what_went_on() {
    let project = Project::new();
    let (laptop, desktop) = (with_agents(&project, "laptop"), project.plain("desktop"));
    fs::remove_file(laptop.transcript_of(OTHER)).expect("removed");
    laptop.git(["config", "samesession.recipient", &desktop.recipient()]);
    let send = |words: &str| {
        laptop.say(words);
        laptop.git(["fetch", "-q", "agents"]);
        laptop.git(["push", "-q", "origin", "refs/samesession-remote/agents/*:refs/samesession/*"]);
        desktop.git(["fetch", "-q", "origin", "+refs/samesession/*:refs/samesession-remote/origin/*"]);
    };
    let theirs = format!("refs/samesession-remote/origin/sessions/{}", sid_of(SESSION));
    let push = |spec: String| desktop.try_git(["push", "session::claude", &spec]);
    let plain = || format!("{theirs}:{}", name_of(SESSION));
    send("two");
    refused(&push(plain()), &format!("git samesession fetch --trust {}", laptop.fingerprint()));
    assert!(!desktop.claude().exists());
    desktop.trusts(&laptop);

    let before = snapshot(&desktop.claude());
    let dry = desktop.try_git(["push", "-n", "session::claude", &plain()]).ok();
    assert!(dry.stderr().contains("would be installed"), "{}", dry.stderr());
    assert_eq!(snapshot(&desktop.claude()), before);
    let done = push(plain()).ok();
    assert!(done.stderr().contains("installed") && done.stderr().contains("claude --resume"), "{}", done.stderr());
    assert_eq!(desktop.heard(), laptop.heard());
    assert!(push(plain()).ok().stderr().contains("Everything up-to-date"));
    assert_eq!(listed(&desktop, "session::", SESSION), Some(desktop.rev(&theirs)), "what was put there is known");

    send("three");
    push(plain()).ok();
    assert_eq!(desktop.heard(), laptop.heard(), "brought forward");
    let (old, here) = (format!("{}:{}", desktop.rev(&format!("{theirs}~1")), name_of(SESSION)), desktop.heard());
    refused(&push(old.clone()), "non-fast-forward");
    desktop.say("here");
    for spec in [old, plain()] {
        refused(&push(spec), "fetch first");
    }
    send("four");
    let mine = desktop.heard();
    assert!(mine.starts_with(&here));
    refused(&desktop.try_git(["push", "-n", "session::claude", &plain()]), "fetch first");
    refused(&push(plain()), "fetch first");
    let dry = desktop.try_git(["push", "-n", "session::claude", &format!("+{}", plain())]).ok();
    assert!(dry.stderr().contains("would be replaced"), "{}", dry.stderr());
    assert_eq!(desktop.heard(), mine, "nothing of it was done");

    let forced = push(format!("+{}", plain())).ok();
    assert_eq!(desktop.heard(), laptop.heard());
    let backup = forced.stderr().lines().find_map(|line| Some(line.split_once("kept in ")?.1.to_owned())).expect("a backup");
    let kept = snapshot(std::path::Path::new(&backup));
    assert!(kept.iter().any(|(_, bytes)| bytes == mine.as_bytes()), "{backup}");
}

#[test]
fn what_cannot_be_pushed_is_refused_ref_by_ref() {
    let project = Project::new();
    let laptop = with_agents(&project, "laptop");
    laptop.git(["checkout", "-q", "-b", "main", "origin/main"]);
    captured(&laptop);
    let tip = laptop.rev(&tracking_of(SESSION));
    let (name, other) = (name_of(SESSION), name_of(OTHER));
    let before = snapshot(&laptop.claude());
    for (spec, why) in [
        (format!(":{name}"), "an agent's sessions are not deleted by a push"),
        ("HEAD:refs/heads/main".to_owned(), "only refs/samesession/sessions/* can be pushed"),
        (format!("+HEAD:{name}"), "is not a checkpoint"),
        (format!("+{tip}:{other}"), "it belongs to session"),
        (format!("+{tip}^{{tree}}:{name}"), "is no commit"),
    ] {
        refused(&laptop.try_git(["push", "session::claude", &spec]), why);
    }
    let ran = laptop.try_git(["push", "--atomic", "session::claude", &format!("+HEAD:{name}")]);
    assert!(ran.stderr().contains("does not support --atomic"), "{}", ran.stderr());
    laptop.say("more");
    let lease = format!("--force-with-lease={name}:{tip}");
    refused(&laptop.try_git(["push", &lease, "session::claude", &format!("{tip}:{name}")]), "stale info");
    let new = format!("--force-with-lease={name}:");
    refused(&laptop.try_git(["push", &new, "session::claude", &format!("{tip}:{name}")]), "");
    assert_eq!(snapshot(&laptop.claude()).len(), before.len());
    assert!(laptop.heard().contains("more"));
}

#[test]
fn what_cannot_be_read_is_not_taken_for_gone() {
    let project = Project::new();
    let laptop = with_agents(&project, "laptop");
    captured(&laptop);
    let prune = ["fetch", "-q", "--prune", "session::", "refs/samesession/*:refs/samesession-remote/agents/*"];
    let (one, other) = (laptop.rev(&tracking_of(SESSION)), laptop.rev(&tracking_of(OTHER)));
    // A transcript that cannot be opened, and then a home that is not there.
    fs::rename(laptop.transcript(), laptop.home.join("aside")).expect("renamed");
    fs::create_dir(laptop.transcript()).expect("made");
    let told = laptop.try_git(prune).ok();
    assert_eq!(laptop.rev(&tracking_of(SESSION)), one, "{}", told.stderr());
    fs::remove_dir(laptop.transcript()).expect("removed");
    fs::rename(laptop.claude(), laptop.home.join("unmounted")).expect("renamed");
    let told = laptop.try_git(["fetch", "--prune", "session::", "refs/samesession/*:refs/samesession-remote/agents/*"]).ok();
    assert!(told.stderr().contains("cannot be read: it is not there"), "{}", told.stderr());
    assert_eq!((laptop.rev(&tracking_of(SESSION)), laptop.rev(&tracking_of(OTHER))), (one, other.clone()));
    // What is gone is gone.
    fs::rename(laptop.home.join("unmounted"), laptop.claude()).expect("renamed");
    laptop.git(prune);
    assert!(laptop.try_git(["rev-parse", "--verify", "-q", &tracking_of(SESSION)]).code() != Some(0));
    assert_eq!(laptop.rev(&tracking_of(OTHER)), other);
}

#[test]
fn a_deleted_session_stays_deleted_and_stands_in_nobodys_way() {
    let project = Project::new();
    let laptop = with_agents(&project, "laptop");
    captured(&laptop);
    laptop.checkpoint("two", &[]);
    laptop.run_here(["push", SESSION, "origin"]).ok();
    laptop.run_here(["delete", SESSION, "--remote", "origin", "--confirm", &sid_of(SESSION)[..8]]).ok();
    let tombstone = laptop.tip();
    assert_eq!(listed(&laptop, "session::", SESSION), Some(tombstone.clone()));
    laptop.git(["fetch", "-q", "agents"]);
    assert_eq!(laptop.rev(&tracking_of(SESSION)), tombstone);
    assert_eq!(laptop.count(&laptop.rev(&tracking_of(OTHER))), 1);
}

#[test]
fn neither_fetch_nor_push_changes_who_drives() {
    let project = Project::new();
    let clock = project.sandbox.path().join("clock");
    let laptop = with_agents(&project, "laptop").env("SAMESESSION_TEST_CLOCK", &clock);
    laptop.checkpoint("mine", &[]);
    laptop.run_here(["push", SESSION]).ok();
    laptop.run_here(["lease", "take", SESSION]).ok();
    let lease = || laptop.json(["lease", "status", SESSION])["sessions"][0].clone();
    let before = lease();
    assert!(before["until"].is_string() && before["standing"] == "mine", "{before}");
    // Long enough for a checkpoint of our own to renew it.
    fs::write(&clock, "7200").expect("written");
    laptop.say("more");
    captured(&laptop);
    laptop.git(["push", "-q", "origin", "refs/samesession-remote/agents/*:refs/samesession/*"]);
    laptop.run_here(["fetch"]).ok();
    assert_eq!(laptop.tip(), laptop.rev(&tracking_of(SESSION)));
    let tip = laptop.tip();
    fs::remove_file(laptop.transcript()).expect("removed");
    laptop.git(["push", "-q", "session::claude", &format!("{tip}:{}", name_of(SESSION))]);
    let after = lease();
    for field in ["until", "since", "holder", "turn", "standing"] {
        assert_eq!(after[field], before[field], "{field}: {after}");
    }
    assert_eq!((laptop.tip(), project.tip()), (tip.clone(), tip));
    laptop.say("by our own command");
    laptop.run_here(["checkpoint", SESSION]).ok();
    assert_ne!(lease()["until"], before["until"]);
}

#[test]
fn it_is_as_loud_as_git_was_told_to_be() {
    let project = Project::new();
    let laptop = with_agents(&project, "laptop");
    laptop.git(["checkout", "-q", "-b", "main", "origin/main"]);
    captured(&laptop);
    let store = project.sandbox.path().join("store.git");
    laptop.git(["init", "-q", "--bare", store.to_str().expect("UTF-8")]);
    let url = format!("session::{}", store.display());
    let to_store = |name: &str| format!("{}:{}", tracking_of(name), name_of(name));
    laptop.say("more");
    silent(&laptop, &["fetch", "-q", "agents"]);
    silent(&laptop, &["push", "-q", &url, &to_store(SESSION)]);
    silent(&laptop, &["fetch", "-q", &url, "refs/samesession/*:refs/quiet/*"]);
    let tip = laptop.rev(&tracking_of(SESSION));
    fs::remove_file(laptop.transcript()).expect("removed");
    silent(&laptop, &["push", "-q", "session::claude", &format!("{tip}:{}", name_of(SESSION))]);
    // Where nobody watches there is no progress unless it is asked for, and the list of refs is never more than that.
    laptop.say("still more");
    laptop.git(["fetch", "--progress", "agents"]);
    let told = laptop.try_git(["push", "--progress", &url, &to_store(SESSION), &to_store(OTHER)]).ok().stderr();
    assert!(told.contains("Writing objects"), "{told}");
    let told = laptop.try_git(["push", &url, &format!("+{}", to_store(SESSION))]).ok().stderr();
    assert!(!told.contains("Writing objects"), "{told}");
    assert_eq!(laptop.git(["ls-remote", &url]).lines().count(), 2);
}
