//! Sessions under plain Git: its fetch, push, gc, fsck, clone and bundle carry them and lose nothing, whatever is set.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

use crate::support::clones::{Project, SESSION, append, session_ref, sid};
use crate::support::sandbox::{Machine, Ran};

const HERE: &str = "refs/samesession/*";
const GLOB: &str = "refs/samesession/*:refs/samesession-remote/origin/*";

#[track_caller]
fn silent(machine: &Machine, args: &[&str]) {
    let ran = machine.try_git(args.iter().copied());
    let said = ran.stdout() + &ran.stderr();
    let about_us = said.lines().filter(|line| !line.contains("HEAD points to an unborn branch"));
    assert_eq!((ran.code(), about_us.collect::<Vec<_>>()), (Some(0), Vec::new()), "git {args:?}");
}

#[track_caller]
fn restored(machine: &Machine, from: &Machine) {
    machine.run_here(["restore", &sid(), "--trust", &from.fingerprint()]).ok();
    assert_eq!(machine.heard(), from.heard());
}

#[test]
fn fetch_and_push_carry_sessions_with_and_without_set_up() {
    let project = Project::new();
    let (laptop, desktop, third) = (project.clone("laptop"), project.clone("desktop"), project.plain("third"));
    laptop.checkpoint("one", &[&desktop, &third]);
    laptop.git(["push", "-q", "origin", HERE]);
    desktop.git(["fetch", "-q"]);
    restored(&desktop, &laptop);
    // Nobody gets what they did not ask for; whoever asks gets it.
    third.git(["fetch", "-q"]);
    assert_eq!(third.git(["for-each-ref", "refs/samesession*"]), "");
    third.git(["fetch", "-q", "origin", GLOB]);
    restored(&third, &laptop);
    // And on from there, without set-up, and back.
    third.run_here(["fetch", "--trust", &laptop.fingerprint()]).ok();
    let theirs = third.checkpoint("two", &[]);
    third.git(["push", "-q", "origin", HERE]);
    laptop.git(["fetch", "-q"]);
    restored(&laptop, &third);
    assert_eq!((laptop.tip(), project.tip()), (theirs.clone(), theirs));
}

#[test]
fn a_plain_push_of_a_chain_that_is_merely_behind_fails_until_any_command_ran() {
    let project = Project::new();
    let (laptop, desktop) = (project.clone("laptop"), project.clone("desktop"));
    laptop.checkpoint("one", &[&desktop]);
    laptop.git(["push", "-q", "origin", HERE]);
    desktop.trusts(&laptop);
    desktop.run_here(["restore", SESSION]).ok();
    desktop.checkpoint("two", &[]);
    desktop.git(["push", "-q", "origin", HERE]);
    laptop.trusts(&desktop);
    for command in [&["list"][..], &["restore", "-n", SESSION], &["push", "--all"], &["fetch"], &["gc"], &["log", &sid()]] {
        laptop.git(["update-ref", &session_ref(), &format!("{}~1", project.tip())]);
        laptop.git(["update-ref", "-d", &format!("refs/samesession-seen/@here/sessions/{}", sid())]);
        laptop.try_git(["push", "-q", "origin", HERE]).fails_with(1);
        laptop.run_here(command.iter().copied()).ok();
        silent(&laptop, &["push", "-q", "origin", HERE]);
        assert_eq!(laptop.tip(), project.tip(), "{command:?}");
    }
}

#[test]
fn no_documented_spelling_costs_a_session_that_was_never_pushed() {
    let project = Project::new();
    let (laptop, desktop) = (project.clone("laptop"), project.clone("desktop"));
    desktop.say_in("dddddddd-0003-4000-8000-000000000003", "theirs");
    desktop.run_here(["checkpoint", "dddddddd-0003-4000-8000-000000000003"]).ok();
    desktop.git(["push", "-q", "origin", HERE]);
    laptop.git(["config", "fetch.prune", "true"]);
    laptop.git(["config", "remote.origin.prune", "true"]);
    let ours = laptop.checkpoint("one", &[]);
    for spelling in [
        &["fetch", "-q"][..],
        &["fetch", "-q", "origin"],
        &["fetch", "-q", "--prune"],
        &["fetch", "-q", "--all"],
        &["remote", "update"],
        &["remote", "prune", "origin"],
        &["fetch", "-q", "origin", GLOB],
        &["fetch", "-q", "--no-prune", "origin", "refs/samesession/*:refs/samesession/*"],
        &["push", "-q", "origin", "refs/samesession/sessions/none*"],
        &["gc", "-q", "--prune=now"],
    ] {
        laptop.git(spelling);
        assert_eq!(laptop.tip(), ours, "git {spelling:?}");
    }
    laptop.run_here(["fetch", "--prune"]).ok();
    assert_eq!(laptop.tip(), ours);
    assert!(laptop.git(["for-each-ref"]).contains("refs/samesession-remote/origin/"));
}

#[test]
fn what_an_accident_took_away_is_back_with_the_next_command_which_says_so() {
    let project = Project::new();
    let laptop = project.clone("laptop");
    let old = laptop.checkpoint("one", &[]);
    laptop.git(["push", "-q", "origin", HERE]);
    let new = laptop.checkpoint("two", &[]);
    let accidents: [(&str, &[&str]); 4] = [
        ("pruned", &["fetch", "-q", "-p", "origin", "refs/samesession/none*:refs/samesession/sessions/*"]),
        ("removed", &["update-ref", "-d", &session_ref()]),
        ("forced", &["fetch", "-q", "origin", "+refs/samesession/*:refs/samesession/*"]),
        ("set back", &["update-ref", &session_ref(), &old]),
    ];
    for (what, accident) in accidents {
        laptop.git(accident);
        assert_ne!(laptop.try_git(["rev-parse", "--verify", "-q", &session_ref()]).stdout().trim(), new, "{what}");
        laptop.git(["reflog", "expire", "--expire=now", "--all"]);
        laptop.git(["gc", "-q", "--prune=now"]);
        let told = laptop.run_here(["restore", "-n", &sid()]).ok();
        assert!(told.stderr().contains("had lost checkpoints here and has them back"), "{what}: {}", told.stderr());
        assert_eq!(laptop.tip(), new, "{what}");
        assert_eq!(laptop.run_here(["list"]).ok().stderr(), "", "{what}: said once");
    }
    silent(&laptop, &["fsck", "--strict", "--no-dangling"]);
}

#[test]
fn a_ref_names_its_newest_checkpoint() {
    let project = Project::new();
    let laptop = project.clone("laptop");
    laptop.checkpoint("one", &[]);
    for name in [session_ref(), format!("{}~0", session_ref()), sid()] {
        assert!(laptop.run_here(["restore", "-n", &name]).ok().stdout().contains("already here"), "{name}");
    }
    laptop.run_here(["restore", "-n", "refs/samesession/sessions/none"]).fails(1, "no session matches");
    laptop.run_here(["restore", "-n", "refs.capsule"]).fails(128, "cannot open");
}

#[test]
fn one_tip_alone_in_a_scratch_repository_is_enough() {
    let project = Project::new();
    let (laptop, desktop) = (project.clone("laptop"), project.plain("desktop"));
    for words in ["one", "two", "three"] {
        laptop.checkpoint(words, &[&desktop]);
    }
    laptop.git(["push", "-q", "origin", HERE]);
    let scratch = desktop.at(desktop.home.join("scratch.git"));
    scratch.git(["init", "-q", "--bare"]);
    let url = format!("file://{}", project.origin.display());
    scratch.git(["fetch", "-q", "--depth=1", &url, &format!("{0}:{0}", session_ref())]);
    assert_eq!(scratch.count(&session_ref()), 1);
    let into = desktop.cwd.to_str().expect("UTF-8");
    scratch.run_here(["restore", SESSION, "--into", into]).fails(1, "does not know").hints(&laptop.fingerprint());
    scratch.run_here(["restore", SESSION, "--trust", &laptop.fingerprint(), "--into", into]).ok();
    assert_eq!(desktop.heard(), laptop.heard());
    silent(&scratch, &["fsck", "--strict", "--no-dangling"]);
}

#[test]
fn git_finds_nothing_wrong_and_its_housekeeping_loses_nothing() {
    let project = Project::new();
    let (laptop, desktop) = (project.clone("laptop"), project.clone("desktop"));
    let origin = laptop.at(&project.origin);
    laptop.checkpoint("one", &[&desktop]);
    laptop.run_here(["push", &sid()]).ok();
    desktop.trusts(&laptop);
    desktop.run_here(["restore", SESSION]).ok();
    // Two ways, joined.
    desktop.checkpoint("there", &[]);
    desktop.run_here(["push", &sid()]).ok();
    laptop.checkpoint("here", &[]);
    laptop.trusts(&desktop);
    laptop.run_here(["push", &sid()]).ok();
    desktop.trusts(&laptop);
    let reachable = |machine: &Machine| machine.git(["rev-list", "--objects", &project.tip()]).lines().count();
    let before = reachable(&origin);
    for housekeeping in [&["gc", "-q", "--prune=now"][..], &["repack", "-q", "-adf"], &["gc", "-q", "--aggressive", "--prune=now"]] {
        for machine in [&laptop, &desktop, &origin] {
            machine.git(housekeeping);
            silent(machine, &["fsck", "--strict", "--no-dangling"]);
            assert_eq!(reachable(machine), before, "{housekeeping:?}");
        }
    }
    let third = project.clone("third");
    let ways: Vec<String> = laptop.git(["log", "-1", "--format=%P", &project.tip()]).split_whitespace().map(str::to_owned).collect();
    assert_eq!(ways.len(), 2);
    // Nobody has sealed it to the third one.
    third.git(["fetch", "-q"]);
    third.run_here(["restore", &ways[0], "--trust", &laptop.fingerprint(), "--trust", &desktop.fingerprint()]).fails(1, "no key here");
    for machine in [&laptop, &desktop] {
        for way in &ways {
            machine.run_here(["restore", way, "--set-aside"]).ok();
        }
    }
    laptop.run_here(["restore", &project.tip(), "--set-aside"]).ok();
    laptop.checkpoint("and on", &[&third]);
    laptop.run_here(["push", &sid()]).ok();
    third.git(["fetch", "-q"]);
    restored(&third, &laptop);
}

#[test]
fn mirrors_and_bundles_carry_everything() {
    let project = Project::new();
    let (laptop, desktop) = (project.clone("laptop"), project.plain("desktop"));
    laptop.checkpoint("one", &[&desktop]);
    laptop.checkpoint("two", &[]);
    laptop.git(["push", "-q", "origin", HERE]);
    let mirror = desktop.at(desktop.home.join("mirrors"));
    mirror.git(["clone", "-q", "--mirror", project.origin.to_str().expect("UTF-8"), "m.git"]);
    assert_eq!(mirror.at(mirror.cwd.join("m.git")).git(["for-each-ref"]), format!("{}\n", project.git(["for-each-ref"])));
    let bundle = laptop.home.join("sessions.bundle");
    let bundle = bundle.to_str().expect("UTF-8");
    laptop.git(["bundle", "create", "-q", bundle, "--glob=refs/samesession"]);
    desktop.git(["bundle", "verify", "-q", bundle]);
    desktop.git(["fetch", "-q", bundle, "refs/samesession/*:refs/samesession-remote/bundle/*"]);
    restored(&desktop, &laptop);
}

#[test]
fn no_blob_is_larger_than_hosts_like() {
    let project = Project::new();
    let laptop = project.clone("laptop");
    let mut state = 88_172_645_463_325_252u64;
    let mut noise = Vec::with_capacity(20 << 20);
    while noise.len() < 20 << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    let results = laptop.claude_project().join(SESSION).join("tool-results");
    fs::create_dir_all(&results).expect("made");
    fs::write(results.join("a.txt"), &noise).expect("written");
    let record = serde_json::json!({"type": "user", "sessionId": SESSION, "cwd": laptop.cwd, "message": {"content": "x".repeat(1000)}});
    append(&laptop.transcript(), &format!("{record}\n").repeat(9000));
    let tip = laptop.checkpoint("the end", &[]);
    let sizes = laptop.git(["cat-file", "--batch-all-objects", "--batch-check=%(objectsize) %(objecttype)"]);
    let largest = sizes.lines().filter_map(|line| line.split(' ').next()?.parse::<u64>().ok()).max().expect("objects");
    assert!(largest < 5 << 20, "{largest}");
    assert!(sizes.lines().count() > 20, "{sizes}");
    assert!(!tip.is_empty());
}

#[test]
fn git_itself_agrees_with_the_signatures() {
    let project = Project::new();
    let (laptop, desktop) = (project.clone("laptop"), project.clone("desktop"));
    if laptop.command("ssh-keygen").arg("-?").stderr(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: there is no ssh-keygen");
        return;
    }
    laptop.checkpoint("one", &[&desktop]);
    laptop.checkpoint("two", &[]);
    laptop.git(["push", "-q", "origin", HERE]);
    desktop.trusts(&laptop);
    let file = |machine: &Machine, text: &str| {
        let path = machine.home.join("allowed");
        fs::write(&path, text).expect("written");
        format!("gpg.ssh.allowedSignersFile={}", path.display())
    };
    let key = fs::read_to_string(laptop.home.join(".config/samesession/device/signing_key.pub")).expect("a key");
    let known = fs::read_to_string(desktop.home.join(".config/samesession/known_signers")).expect("known");
    let tracking = crate::support::clones::tracking_ref();
    for (text, agrees) in [
        (format!("laptop namespaces=\"git\" {key}"), true),
        (known, true),
        (format!("laptop namespaces=\"file\" {key}"), false),
        (format!("laptop {}", fs::read_to_string(desktop.home.join(".config/samesession/device/signing_key.pub")).expect("a key")), false),
    ] {
        let allowed = file(&desktop, &text);
        for commit in [tracking.clone(), format!("{tracking}~1")] {
            let Ran(out) = desktop.try_git(["-c", &allowed, "verify-commit", "--raw", &commit]);
            assert_eq!(out.status.success(), agrees, "{text}: {}", String::from_utf8_lossy(&out.stderr));
        }
    }
}

#[test]
fn nothing_but_capsule_json_is_in_the_clear() {
    let project = Project::new();
    let laptop = project.clone("zanzibar-laptop");
    laptop.git(["remote", "rename", "origin", "hemlockremote"]);
    laptop.git(["symbolic-ref", "HEAD", "refs/heads/periwinkle-branch"]);
    let results = laptop.claude_project().join(SESSION).join("tool-results");
    fs::create_dir_all(&results).expect("made");
    fs::write(results.join("marmalade.txt"), "what the tool said: saxophone\n".repeat(2000)).expect("written");
    append(&laptop.transcript(), "{\"type\":\"summary\",\"summary\":\"A title about rhubarb\"}\n");
    laptop.checkpoint("a prompt about quinoa", &[]);
    laptop.checkpoint("and about tangerines", &[]);
    laptop.run_here(["checkpoint", SESSION]).ok();
    let words = [
        "zanzibar",
        "hemlock",
        "periwinkle",
        "marmalade",
        "saxophone",
        "rhubarb",
        "quinoa",
        "tangerine",
        "claude",
        "jsonl",
        "tool-results",
        "transcript",
        "dddddddd-0001",
        SESSION,
        "samesession-test-",
        "/dev/shm",
        "AGE-SECRET-KEY",
    ];
    let objects = laptop.git(["rev-list", "--objects", "--no-object-names", &laptop.tip()]);
    let objects: Vec<&str> = objects.lines().collect();
    assert!(objects.len() > 10, "{objects:?}");
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for object in objects {
        let kind = laptop.git(["cat-file", "-t", object]).trim().to_owned();
        let out = laptop.command("git").args(["cat-file", &kind, object]).output().expect("git");
        for word in words {
            if out.stdout.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes())) {
                seen.entry(word.to_owned()).or_default().push(format!("{kind} {object}"));
            }
        }
    }
    assert!(seen.is_empty(), "{seen:?}");
    let public = laptop.git(["cat-file", "blob", &format!("{}:capsule.json", laptop.tip())]);
    let public: serde_json::Value = serde_json::from_str(&public).expect("JSON");
    let mut keys: Vec<&str> = public.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["added", "epoch", "kind", "nonce", "schema", "sequence", "sid", "total"]);
    let commit = laptop.git(["cat-file", "commit", &laptop.tip()]);
    let head: Vec<&str> = commit.lines().filter(|line| line.starts_with("author") || line.starts_with("committer")).collect();
    assert_eq!(head, ["author samesession <samesession@localhost> 0 +0000", "committer samesession <samesession@localhost> 0 +0000"]);
}
