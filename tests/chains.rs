//! A session's chain as its user sees it: there and back through a remote, two ways and the choice between them, an older
//! checkpoint taken up again, a chain shortened, a session deleted.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::support::sandbox::{CLAUDE, CLAUDE_RICH, Machine, Sandbox};

/// Two machines with a clone each of one bare repository, and each other's trust; the first has the sessions.
struct Pair {
    _sandbox: Sandbox,
    laptop: Machine,
    desktop: Machine,
}

impl Pair {
    fn new() -> Pair {
        let sandbox = Sandbox::new();
        let (laptop, desktop) = (sandbox.machine("laptop"), sandbox.machine("desktop"));
        let origin = sandbox.path().join("origin.git");
        laptop.init().with_claude();
        desktop.init();
        git(&laptop, &["init", "-q", "--bare", origin.to_str().expect("UTF-8")]);
        for (machine, other) in [(&laptop, &desktop), (&desktop, &laptop)] {
            git(machine, &["init", "-q"]);
            git(machine, &["remote", "add", "origin", origin.to_str().expect("UTF-8")]);
            machine.run(["init", "--recipient", &other.recipient()]).ok();
        }
        Pair { _sandbox: sandbox, laptop, desktop }
    }

    /// The session goes from the laptop to the desktop, and both believe each other.
    fn shared() -> Pair {
        let pair = Pair::new();
        pair.laptop.run(["checkpoint", CLAUDE, "--push"]).ok();
        git(&pair.desktop, &["fetch", "-q"]);
        pair.desktop.run(["restore", CLAUDE, "--trust", &pair.laptop.fingerprint()]).ok();
        append(&pair.desktop, "from the desktop");
        pair.desktop.run(["checkpoint", CLAUDE, "--push"]).ok();
        pair.laptop.run(["fetch", "--trust", &pair.desktop.fingerprint()]).ok();
        pair.laptop.run(["restore", CLAUDE]).ok();
        pair
    }
}

fn git(machine: &Machine, args: &[&str]) -> String {
    let out = machine.command("git").args(args).output().expect("git");
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn transcript(machine: &Machine) -> PathBuf {
    machine.claude_project().join(format!("{CLAUDE}.jsonl"))
}

fn append(machine: &Machine, says: &str) {
    let line = format!("{{\"type\":\"user\",\"message\":{{\"content\":\"{says}\"}}}}\n");
    fs::OpenOptions::new().append(true).open(transcript(machine)).and_then(|mut file| file.write_all(line.as_bytes())).expect("appended");
}

fn bytes(machine: &Machine) -> Vec<u8> {
    fs::read(transcript(machine)).expect("the session")
}

fn commits(machine: &Machine) -> usize {
    let tip = git(machine, &["for-each-ref", "--format=%(objectname)", "refs/samesession/sessions"]);
    git(machine, &["rev-list", "--count", tip.trim()]).trim().parse().expect("a number")
}

#[test]
fn a_session_goes_there_and_back_on_one_chain() {
    let pair = Pair::shared();
    assert_eq!(bytes(&pair.laptop), bytes(&pair.desktop));
    assert_eq!(commits(&pair.laptop), 2);
    // Nothing is new: no commit, whoever asks.
    for machine in [&pair.laptop, &pair.desktop] {
        assert_eq!(machine.json(["checkpoint", CLAUDE])["state"], "unchanged");
    }
    append(&pair.laptop, "again from the laptop");
    let made = pair.laptop.json(["checkpoint", CLAUDE, "--push"]);
    assert_eq!((&made["state"], &made["sequence"]), (&"made".into(), &3.into()));
    // Another machine has the transcript in another directory, and pays for its end only.
    assert!(made["added_bytes"].as_u64().expect("a number") < 8 << 10, "{made}");
    git(&pair.desktop, &["fetch", "-q"]);
    // Whoever is behind makes nothing, and is told so.
    assert_eq!(pair.desktop.json(["checkpoint", CLAUDE])["state"], "behind");
    pair.desktop.run(["restore", CLAUDE]).ok();
    assert_eq!(bytes(&pair.laptop), bytes(&pair.desktop));
    for machine in [&pair.laptop, &pair.desktop] {
        assert_eq!(git(machine, &["fsck", "--strict", "--no-dangling"]), "");
    }
}

#[test]
fn two_ways_stay_until_one_is_chosen() {
    let pair = Pair::shared();
    append(&pair.laptop, "the laptop's way");
    append(&pair.desktop, "the desktop's way");
    let desktops = bytes(&pair.desktop);
    pair.desktop.run(["checkpoint", CLAUDE, "--push"]).ok();
    let pushed = pair.laptop.json(["checkpoint", CLAUDE, "--push"]);
    assert_eq!(pushed["push"]["sessions"][0]["result"], "joined");
    let asked = pair.laptop.run(["restore", CLAUDE]).fails(1, "went 2 ways");
    let ways: Vec<String> = asked.stderr().lines().filter_map(|line| Some(line.split_once("restore ")?.1.to_owned())).collect();
    assert_eq!(ways.len(), 2, "{}", asked.stderr());
    // Going on without a choice closes nothing.
    append(&pair.laptop, "still the laptop's way");
    pair.laptop.run(["checkpoint", CLAUDE, "--push"]).ok();
    let asked = pair.laptop.run(["restore", CLAUDE]).fails(1, "went 2 ways");
    let ways: Vec<String> = asked.stderr().lines().filter_map(|line| Some(line.split_once("restore ")?.1.to_owned())).collect();
    // The choice is taken by restoring, and the next checkpoint makes it everybody's.
    pair.laptop.run(["restore", &ways[1], "--set-aside"]).ok();
    assert_eq!(bytes(&pair.laptop), desktops);
    append(&pair.laptop, "after the choice");
    pair.laptop.run(["checkpoint", CLAUDE, "--push"]).ok();
    git(&pair.desktop, &["fetch", "-q"]);
    pair.desktop.run(["restore", CLAUDE]).ok();
    assert_eq!(bytes(&pair.laptop), bytes(&pair.desktop));
}

#[test]
fn an_older_checkpoint_is_taken_up_again() {
    let pair = Pair::shared();
    let sid = pair.laptop.json(["checkpoint", CLAUDE])["sid"].as_str().expect("a sid").to_owned();
    let older = bytes(&pair.laptop);
    append(&pair.laptop, "a wrong turn");
    pair.laptop.run(["checkpoint", CLAUDE, "--push"]).ok();
    pair.laptop.run(["restore", &format!("{}~1", &sid[..8]), "--set-aside"]).ok();
    assert_eq!(bytes(&pair.laptop), older);
    append(&pair.laptop, "a better one");
    let made = pair.laptop.json(["checkpoint", CLAUDE, "--push"]);
    assert_eq!((&made["state"], made["open"].as_array().map(Vec::len)), (&"made".into(), Some(0)), "{made}");
    git(&pair.desktop, &["fetch", "-q"]);
    pair.desktop.run(["restore", CLAUDE]).ok();
    assert_eq!(bytes(&pair.laptop), bytes(&pair.desktop));
}

#[test]
fn a_session_that_went_another_way_unasked_does_not_hide_it() {
    let pair = Pair::shared();
    append(&pair.desktop, "the desktop's way");
    pair.desktop.run(["checkpoint", CLAUDE, "--push"]).ok();
    append(&pair.laptop, "the laptop's way");
    git(&pair.laptop, &["fetch", "-q"]);
    // The laptop's commit comes upon the desktop's, and says that it does not go on from it.
    let made = pair.laptop.json(["checkpoint", CLAUDE, "--push"]);
    assert_eq!(made["open"].as_array().map(Vec::len), Some(1), "{made}");
    pair.laptop.run(["restore", CLAUDE]).fails(1, "went 2 ways");
}

#[test]
fn a_shortened_chain_is_followed_and_what_was_made_since_is_put_behind_it() {
    let pair = Pair::shared();
    for n in 0..4 {
        append(&pair.laptop, &format!("turn {n}"));
        pair.laptop.run(["checkpoint", CLAUDE, "--push"]).ok();
    }
    git(&pair.desktop, &["fetch", "-q"]);
    pair.desktop.run(["restore", CLAUDE]).ok();
    append(&pair.desktop, "made in ignorance");
    pair.desktop.run(["checkpoint", CLAUDE]).ok();

    let done = pair.laptop.json(["gc", "--keep-last", "2"]);
    assert_eq!((&done["sessions"][0]["kept"], &done["sessions"][0]["dropped"]), (&2.into(), &4.into()), "{done}");
    assert_eq!(commits(&pair.laptop), 2);
    git(&pair.desktop, &["fetch", "-q"]);
    pair.desktop.run(["push", CLAUDE]).ok();
    assert_eq!(commits(&pair.desktop), 3);
    git(&pair.laptop, &["fetch", "-q"]);
    pair.laptop.run(["restore", CLAUDE]).ok();
    assert_eq!(bytes(&pair.laptop), bytes(&pair.desktop));
    assert_eq!(commits(&pair.laptop), 3);
}

#[test]
fn what_gc_drops_is_gone_once_git_has_pruned_it_and_not_before() {
    let pair = Pair::shared();
    for n in 0..3 {
        append(&pair.laptop, &format!("turn {n}"));
        pair.laptop.run(["checkpoint", CLAUDE, "--push"]).ok();
    }
    let name = format!("refs/samesession/sessions/{}", pair.laptop.json(["list"])["sessions"][0]["sid"].as_str().expect("a sid"));
    let old = git(&pair.laptop, &["rev-parse", &name]).trim().to_owned();
    let there = |what: &str| pair.laptop.command("git").args(["cat-file", "-e", what]).output().expect("git").status.success();
    let done = pair.laptop.json(["gc", "--keep-last", "1"]);
    assert_eq!((&done["sessions"][0]["dropped"], &done["released"]["objects"]), (&4.into(), &0.into()), "a reflog names it: {done}");
    let done = pair.laptop.json(["gc", "--prune"]);
    assert!(done["released"]["objects"].as_u64().is_some_and(|objects| objects > 6), "{done}");
    git(&pair.laptop, &["gc", "-q"]);
    assert!(there(&old), "it is young");
    git(&pair.laptop, &["gc", "-q", "--prune=now"]);
    assert!(!there(&old));
    assert_eq!(pair.laptop.json(["gc", "--prune"])["released"]["objects"], 0);
    git(&pair.laptop, &["fsck", "--strict"]);
    append(&pair.laptop, "goes on");
    pair.laptop.run(["checkpoint", CLAUDE, "--push"]).ok();
    git(&pair.desktop, &["fetch", "-q"]);
    pair.desktop.run(["restore", CLAUDE]).ok();
    assert_eq!(bytes(&pair.laptop), bytes(&pair.desktop));
}

#[test]
fn a_deleted_session_stays_deleted_until_it_is_wanted_again() {
    let pair = Pair::shared();
    let short = pair.laptop.json(["checkpoint", CLAUDE])["sid"].as_str().expect("a sid")[..8].to_owned();
    pair.laptop.run(["delete", CLAUDE, "--remote"]).fails(1, "not confirmed");
    pair.laptop.run(["delete", CLAUDE, "--remote", "--confirm", &short]).ok();
    // A clone that still has the chain cannot bring it back without knowing.
    let pushed = pair.desktop.command("git").args(["push", "-q", "origin", "refs/samesession/*"]).output().expect("git");
    assert!(!pushed.status.success());
    git(&pair.desktop, &["fetch", "-q"]);
    pair.desktop.run(["restore", CLAUDE]).fails(1, "was deleted by laptop").hints("--revive");
    pair.desktop.run(["checkpoint", CLAUDE]).fails(1, "was deleted by laptop").hints("--revive");
    assert!(!bytes(&pair.desktop).is_empty(), "the agent's own files stay");
    pair.desktop.run(["checkpoint", CLAUDE, "--revive", "--push"]).ok();
    git(&pair.laptop, &["fetch", "-q"]);
    pair.laptop.run(["restore", CLAUDE]).ok();
}

#[test]
fn a_deletion_here_asks_and_names_where_it_still_is() {
    let pair = Pair::shared();
    let short = pair.laptop.json(["checkpoint", CLAUDE])["sid"].as_str().expect("a sid")[..8].to_owned();
    let told = pair.laptop.run(["delete", &short, "--confirm", &short]).ok();
    assert!(told.stdout().contains("it is still on origin"), "{}", told.stdout());
    assert_eq!(git(&pair.laptop, &["for-each-ref", "refs/samesession/sessions"]), "");
    // From there it can be had again.
    pair.laptop.run(["restore", &short]).ok();
}

#[test]
fn a_session_with_many_files_arrives_whole_through_the_repository() {
    let pair = Pair::new();
    // A tool's long output, too: parts of its own beside the tiny files that share one.
    let results = pair.laptop.claude_project().join(CLAUDE_RICH).join("tool-results");
    let long: Vec<u8> = (0..300_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    fs::write(results.join("long.txt"), &long).expect("written");
    pair.laptop.run(["checkpoint", CLAUDE_RICH, "--push"]).ok();
    git(&pair.desktop, &["fetch", "-q"]);
    pair.desktop.run(["restore", CLAUDE_RICH, "--trust", &pair.laptop.fingerprint()]).ok();
    for below in [
        format!("{CLAUDE_RICH}.jsonl"),
        format!("{CLAUDE_RICH}/tool-results/be4ohcei2.txt"),
        format!("{CLAUDE_RICH}/tool-results/long.txt"),
        format!("{CLAUDE_RICH}/subagents/agent-a0af073bf73c7e6cc.jsonl"),
    ] {
        let (from, to) = (pair.laptop.claude_project().join(&below), pair.desktop.claude_project().join(&below));
        assert_eq!(fs::read(&to).expect("it arrived"), fs::read(&from).expect("it is there"), "{below}");
    }
}

#[test]
fn a_joins_own_side_is_chosen_by_the_commit_before_it() {
    for (by_its_maker, goes_on) in [(true, true), (true, false), (false, true), (false, false)] {
        let pair = Pair::shared();
        append(&pair.desktop, "the desktop's way");
        pair.desktop.run(["checkpoint", CLAUDE, "--push"]).ok();
        append(&pair.laptop, "the laptop's way");
        let own = pair.laptop.json(["checkpoint", CLAUDE])["commit"].as_str().expect("a commit").to_owned();
        assert_eq!(pair.laptop.json(["push", CLAUDE])["sessions"][0]["result"], "joined");
        pair.laptop.run(["restore", CLAUDE]).fails(1, "went 2 ways");
        let (chooser, other) = if by_its_maker { (&pair.laptop, &pair.desktop) } else { (&pair.desktop, &pair.laptop) };
        git(chooser, &["fetch", "-q"]);
        chooser.run(["restore", &own, "--set-aside"]).ok();
        if goes_on {
            append(chooser, "on");
        }
        let made = chooser.json(["checkpoint", CLAUDE, "--push"]);
        assert_eq!((&made["state"], made["open"].as_array().map(Vec::len)), (&"made".into(), Some(0)), "{made}");
        git(other, &["fetch", "-q"]);
        other.run(["restore", CLAUDE, "--set-aside"]).ok();
        assert_eq!(bytes(&pair.laptop), bytes(&pair.desktop));
    }
}

#[test]
fn a_transcript_that_a_killed_comparison_leaves_is_cleared_by_the_next_one() {
    let pair = Pair::shared();
    append(&pair.desktop, "the desktop's way");
    pair.desktop.run(["checkpoint", CLAUDE, "--push"]).ok();
    append(&pair.laptop, "the laptop's way");
    git(&pair.laptop, &["fetch", "-q"]);
    let temp = pair.laptop.home.parent().expect("in a sandbox").to_owned();
    let left = || {
        let entries = fs::read_dir(&temp).expect("a directory").flatten().map(|entry| entry.path());
        entries.filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"samesession-"))).collect::<Vec<_>>()
    };
    let killed = pair.laptop.env("SAMESESSION_FAULT", "restore.staging=kill").run(["checkpoint", CLAUDE]);
    assert!(!killed.0.status.success());
    let [dir] = &left()[..] else { panic!("{:?}", left()) };
    // What may be in use yet is left alone; a minute later nobody uses it.
    let then = SystemTime::now() - Duration::from_secs(60);
    fs::File::open(dir).and_then(|dir| dir.set_modified(then)).expect("made older");
    pair.laptop.run(["checkpoint", CLAUDE]).ok();
    assert_eq!(left(), [] as [std::path::PathBuf; 0]);
}
