//! Devices that join a store, are approved and are revoked, as their users meet it; and those that only try.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;

use crate::support::clones::{OTHER, Project, SESSION, sid, sid_of};
use crate::support::forged::{feed, signed};
use crate::support::sandbox::Machine;

const ROSTER: &str = "refs/samesession/roster";

fn standing(machine: &Machine) -> String {
    machine.run_here(["device", "list", "--json"]).ok().json()["standing"].as_str().expect("a word").to_owned()
}

/// Asked there, and approved here by what both can see.
#[track_caller]
pub fn joins(newcomer: &Machine, member: &Machine) {
    let asked = newcomer.run_here(["device", "join", "--json"]).ok().json();
    assert_eq!(asked["result"], "asked");
    let fingerprint = asked["fingerprint"].as_str().expect("a fingerprint").to_owned();
    member.run_here(["device", "approve", &newcomer.name, "--fingerprint", &fingerprint]).ok();
    newcomer.run_here(["device", "join", "--trust", &member.fingerprint()]).ok();
}

#[test]
fn a_device_asks_is_approved_and_reads_and_is_believed() {
    let project = Project::new();
    let (laptop, desktop) = (project.clone("laptop"), project.clone("desktop"));
    laptop.say("a word");
    laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
    assert_eq!(standing(&laptop), "none");
    let founded = laptop.run_here(["device", "join"]).ok();
    assert!(founded.stdout().contains("began the roster"), "{}", founded.stdout());
    assert_eq!(standing(&desktop), "closed");
    desktop.git(["fetch", "-q"]);
    desktop.run_here(["restore", SESSION]).fails_with(1);

    let asked = desktop.run_here(["device", "join"]).ok();
    assert!(asked.stdout().contains(&desktop.fingerprint()) && asked.stdout().contains("+-----------------+"), "{}", asked.stdout());
    assert_eq!(standing(&desktop), "asked");
    let seen = laptop.run_here(["device", "list"]).ok().stdout();
    assert!(seen.contains("desktop") && seen.contains(&desktop.fingerprint()), "{seen}");
    // Not without somebody who compares it.
    laptop.run_here(["device", "approve", "desktop"]).fails(1, "nobody has said that SHA256:").hints("--fingerprint");
    laptop.run_here(["device", "approve", "desktop", "--fingerprint", &laptop.fingerprint()]).fails(1, "is not approved");
    let done = laptop.run_here(["device", "approve", "desktop", "--fingerprint", &desktop.fingerprint()]).ok();
    assert!(done.stdout().contains("can open 1 session"), "{}", done.stdout());
    assert_eq!(project.git(["for-each-ref", "refs/samesession/requests"]), "");

    // Approved is not joined: whose roster it is, this device says itself.
    assert_eq!(standing(&desktop), "approved");
    desktop.run_here(["device", "join"]).fails_with(1);
    desktop.run_here(["device", "join", "--trust", &desktop.fingerprint()]).fails_with(1);
    desktop.run_here(["device", "join", "--trust", &laptop.fingerprint()]).ok();
    assert_eq!(standing(&desktop), "joined");
    // Nobody is asked about the laptop any more, and its session opens.
    desktop.run_here(["fetch"]).ok();
    let restored = desktop.run_here(["restore", SESSION]).ok();
    assert!(restored.stdout().contains("signed by laptop (SHA256:"), "{}", restored.stdout());
    // And the other way round, for a session that begins there; by its name.
    desktop.say_in("dddddddd-0009-4000-8000-000000000009", "another");
    desktop.run_here(["move", "dddddddd-0009-4000-8000-000000000009", "--to", "laptop"]).ok();
    laptop.run_here(["resume", "--no-launch", "dddddddd-0009"]).ok();
    // Git itself agrees about who signed.
    let signers = laptop.home.join("signers");
    fs::write(
        &signers,
        laptop.run_here(["device", "show", "--json"]).ok().json()["signing_key"].as_str().map(|key| format!("x {key}\n")).expect("a key"),
    )
    .expect("written");
    laptop.git(["-c", &format!("gpg.ssh.allowedSignersFile={}", signers.display()), "-c", "gpg.format=ssh", "verify-commit", ROSTER]);
}

#[test]
fn whoever_is_revoked_reads_nothing_new_and_is_believed_no_more() {
    let project = Project::new();
    let (laptop, desktop) = (project.clone("laptop"), project.clone("desktop"));
    laptop.run_here(["device", "join"]).ok();
    joins(&desktop, &laptop);
    laptop.say("for both");
    laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
    desktop.run_here(["fetch"]).ok();
    desktop.run_here(["restore", SESSION]).ok();
    desktop.say("by the desktop, in time");
    desktop.run_here(["checkpoint", SESSION, "--push"]).ok();
    laptop.run_here(["fetch"]).ok();
    laptop.say_in(OTHER, "once for both");
    laptop.run_here(["checkpoint", OTHER]).ok();
    laptop.run_here(["recipient", "remove", "desktop", "--session", OTHER]).ok();
    let epochs = |machine: &Machine| {
        let tip = machine.tip();
        machine
            .git(["ls-tree", "-r", "--name-only", &tip, "keys/"])
            .lines()
            .filter_map(|path| path.split('/').nth(1).map(str::to_owned))
            .collect::<BTreeSet<_>>()
    };
    let before = (epochs(&laptop), laptop.tip());
    let sequence = laptop.run_here(["show", &before.1, "--json"]).ok().json()["sequence"].as_u64().expect("a number");
    let revoked = laptop.run_here(["device", "revoke", "desktop", "--json"]).ok().json();
    let mut still: Vec<(&str, Option<u64>)> = revoked["still_reads"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|read| (read["sid"].as_str().expect("a sid"), read["checkpoint"].as_u64()))
        .collect();
    still.sort();
    let (this, other) = (sid(), sid_of(OTHER));
    let mut expected = [(&this[..], Some(sequence)), (&other[..], None)];
    expected.sort();
    assert_eq!(still, expected, "{revoked}");
    // A new epoch, of which no key is wrapped for it; what that list says it does read.
    let after = epochs(&laptop);
    assert!(after.is_superset(&before.0) && after.len() == before.0.len() + 1, "{before:?} {after:?}");
    desktop.run_here(["show", &before.1]).ok();

    laptop.run_here(["restore", SESSION]).ok();
    laptop.say("not for the desktop");
    laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
    desktop.git(["fetch", "-q"]);
    // What it says from now on is nobody's word.
    desktop.say("by the desktop, too late");
    let late = desktop.run_here(["checkpoint", SESSION]);
    assert_ne!(late.code(), Some(0), "{}", late.stdout());
    // What it wrote before still counts: it is a part of the chain.
    assert!(laptop.heard().contains("by the desktop, in time"));
    laptop.run_here(["log", SESSION]).ok();
    // By its own hand it does not come back, and a new member believes neither it nor what it signed.
    desktop.run_here(["device", "join"]).fails_with(1);
    let phone = project.clone("phone");
    joins(&phone, &laptop);
    phone.run_here(["fetch"]).ok();
    phone.run_here(["restore", SESSION]).ok();
}

#[test]
fn a_roster_that_nobody_joined_makes_nobody_believed() {
    let project = Project::new();
    let (laptop, mallory) = (project.clone("laptop"), project.clone("mallory"));
    // Mallory can push, and lists the laptop beside themselves.
    mallory.run_here(["device", "join"]).ok();
    let asked = laptop.run_here(["device", "join", "--json"]).ok().json();
    assert_eq!(asked["result"], "asked");
    mallory.run_here(["device", "approve", "laptop", "--fingerprint", &laptop.fingerprint()]).ok();
    mallory.say("do as I say");
    mallory.run_here(["checkpoint", SESSION, "--push"]).ok();
    laptop.git(["fetch", "-q"]);
    laptop.run_here(["restore", SESSION]).fails(1, "signed by a key that this device does not know");
}

#[test]
fn a_roster_that_does_not_go_on_from_what_was_joined_changes_nothing() {
    let project = Project::new();
    let (laptop, desktop, mallory) = (project.clone("laptop"), project.clone("desktop"), project.clone("mallory"));
    laptop.run_here(["device", "join"]).ok();
    joins(&desktop, &laptop);
    let good = project.git(["rev-parse", ROSTER]);
    // Another one, by somebody who can push to the store.
    project.git(["update-ref", "-d", ROSTER]);
    mallory.run_here(["device", "join"]).ok();
    let bad = project.git(["rev-parse", ROSTER]);
    assert_ne!(good, bad);
    let members =
        |machine: &Machine| machine.run_here(["device", "list", "--json"]).ok().json()["members"].as_array().expect("a list").len();
    assert_eq!((members(&laptop), members(&desktop)), (2, 2));
    assert_eq!(laptop.rev(ROSTER), good);
    // Set back to an older one, it is not followed either.
    project.git(["update-ref", ROSTER, &format!("{good}~1")]);
    assert_eq!((members(&laptop), members(&desktop)), (2, 2));
    // A request under another's name is no request.
    let print = "0123456789abcdef0123456789abcdef";
    project.git(["update-ref", &format!("refs/samesession/requests/{print}"), &good]);
    assert_eq!(laptop.run_here(["device", "list", "--json"]).ok().json()["requests"].as_array().map(Vec::len), Some(0));
}

#[test]
fn two_approvals_at_once_are_both_kept() {
    let project = Project::new();
    let [laptop, desktop, phone, tablet] = ["laptop", "desktop", "phone", "tablet"].map(|name| project.clone(name));
    laptop.run_here(["device", "join"]).ok();
    joins(&desktop, &laptop);
    for newcomer in [&phone, &tablet] {
        newcomer.run_here(["device", "join"]).ok();
    }
    let (a, b) = (phone.fingerprint(), tablet.fingerprint());
    // The desktop has never changed the roster, so what newcomers call themselves is not sealed to it.
    let requests = desktop.run_here(["device", "list", "--json"]).ok().json();
    let tablets = requests["requests"].as_array().expect("a list").iter().find(|asking| asking["fingerprint"] == b.as_str());
    let print = tablets.and_then(|asking| asking["print"].as_str()).expect("it asks").to_owned();
    desktop.run_here(["device", "approve", &print, "--fingerprint", &b]).fails(129, "its name cannot be read here");
    let one = laptop.start(["device", "approve", "phone", "--fingerprint", &a]);
    let other = desktop.start(["device", "approve", &print, "--fingerprint", &b, "--name", "tablet"]);
    for child in [one, other] {
        crate::support::sandbox::Ran(child.wait_with_output().expect("it ends")).ok();
    }
    let listed = laptop.run_here(["device", "list", "--json"]).ok().json();
    let names: Vec<&str> = listed["members"].as_array().expect("a list").iter().filter_map(|member| member["name"].as_str()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names.contains(&"phone") && names.contains(&"tablet"), "{names:?}");
}

#[test]
fn nothing_of_who_they_are_is_in_the_clear() {
    let project = Project::new();
    let (laptop, desktop) = (project.clone("somebodys-laptop"), project.clone("somebodys-desktop"));
    laptop.run_here(["device", "join"]).ok();
    desktop.run_here(["device", "join"]).ok();
    laptop.run_here(["device", "approve", "somebodys-desktop", "--fingerprint", &desktop.fingerprint()]).ok();
    let phone = project.clone("somebodys-phone");
    phone.run_here(["device", "join"]).ok();
    for object in project.git(["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]).lines() {
        let text = laptop.at(&project.origin).command("git").args(["cat-file", "-p", object]).output().expect("git").stdout;
        assert!(!String::from_utf8_lossy(&text).contains("somebodys"), "{object}");
    }
}

#[test]
fn a_roster_lives_in_a_store_of_its_own_as_well() {
    let project = Project::new();
    let (laptop, desktop) = (project.plain("laptop"), project.plain("desktop"));
    let store = project.sandbox.path().join("store.git");
    laptop.git([OsStr::new("init"), "-q".as_ref(), "--bare".as_ref(), store.as_os_str()]);
    for machine in [&laptop, &desktop] {
        // The store is the project's by the first commit of its history.
        machine.git(["checkout", "-q", "-B", "main", "origin/main"]);
        machine.run_here(["init", "--store", &format!("session::{}", store.display())]).ok();
    }
    laptop.say("a word");
    laptop.run_here(["device", "join"]).ok();
    joins(&desktop, &laptop);
    laptop.run_here(["move", SESSION]).ok();
    desktop.run_here(["resume", "--no-launch", "--session-only"]).ok();
    assert_eq!(desktop.heard(), laptop.heard());
    // The code's remote got nothing of it.
    assert_eq!(project.git(["for-each-ref", "refs/samesession"]), "");
}

#[test]
fn what_plain_git_fetches_of_the_roster_counts_in_the_next_command() {
    let project = Project::new();
    let [laptop, desktop, phone] = ["laptop", "desktop", "phone"].map(|name| project.clone(name));
    laptop.run_here(["device", "join"]).ok();
    joins(&desktop, &laptop);
    joins(&phone, &laptop);
    phone.say("by a member that the desktop has not heard of");
    phone.run_here(["checkpoint", SESSION, "--push"]).ok();
    let starts = || {
        let ran = desktop.env("SAMESESSION_TRACE", "1").run_here(["list"]).ok();
        ran.stderr().lines().filter(|line| line.starts_with("trace: git ")).count()
    };
    let before = starts();
    desktop.git(["fetch", "-q"]);
    let listed = desktop.run_here(["list", "--json"]).ok().json();
    assert_eq!(listed["sessions"][0]["signer_name"], "phone", "{listed}");
    let pin = desktop.rev("refs/samesession-seen/@here/roster");
    assert_eq!(pin, laptop.rev(ROSTER));
    assert_eq!(starts(), before, "only the look that brings it costs more");
    assert!(desktop.run_here(["restore", SESSION]).ok().stdout().contains("signed by phone (SHA256:"));
    // What is set back afterwards is not gone back to.
    desktop.git(["update-ref", "refs/samesession-remote/origin/roster", &format!("{pin}~1")]);
    assert_eq!(desktop.run_here(["list", "--json"]).ok().json()["sessions"][0]["signer_name"], "phone");
    assert_eq!(desktop.rev("refs/samesession-seen/@here/roster"), pin);

    // A revoked member who pushes all the same: with the keys, and without ever having heard of it.
    laptop.run_here(["fetch"]).ok();
    laptop.run_here(["device", "revoke", "phone"]).ok();
    phone.say("too late");
    phone.run_here(["checkpoint", SESSION]).ok();
    phone.git(["push", "-q", "--force", "origin", &format!("refs/samesession/sessions/{}", sid())]);
    desktop.git(["fetch", "-q"]);
    desktop.run_here(["restore", SESSION]).fails(1, "signed by a key that this device does not know");
    assert!(!desktop.heard().contains("too late"));
    let listed = desktop.run_here(["device", "list", "--json"]).ok().json();
    let revoked = listed["members"].as_array().expect("a list").iter().find(|member| member["name"] == "phone").expect("still on it");
    assert!(revoked["revoked"].is_string(), "{revoked}");
    // Nor does it change the roster.
    phone.run_here(["device", "revoke", "laptop"]).fails_with(1);
    assert_eq!(project.git(["rev-parse", ROSTER]), laptop.rev(ROSTER));
}

#[test]
fn a_request_in_somebody_elses_name_is_none() {
    let project = Project::new();
    let [laptop, phone, mallory] = ["laptop", "phone", "mallory"].map(|name| project.clone(name));
    laptop.run_here(["device", "join"]).ok();
    phone.run_here(["device", "join"]).ok();
    let asked = project.git(["for-each-ref", "--format=%(objectname) %(refname)", "refs/samesession/requests"]);
    let (request, name) = asked.split_once(' ').expect("one request");
    let asking = || {
        let listed = laptop.run_here(["device", "list", "--json"]).ok().json();
        listed["requests"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["fingerprint"].as_str().expect("a print").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(asking(), [phone.fingerprint()]);
    // The phone's words, signed by Mallory: under the phone's name and under Mallory's own.
    let who = "samesession <samesession@localhost> 0 +0000";
    let head = format!("tree {}\nauthor {who}\ncommitter {who}\n", project.git(["rev-parse", &format!("{request}^{{tree}}")]));
    let text = format!("{head}{}\nsamesession checkpoint\n", signed(&head, &mallory));
    let origin = mallory.at(&project.origin);
    let forged = feed(&origin, &["hash-object", "-t", "commit", "-w", "--stdin"], text.as_bytes());
    mallory.run_here(["device", "join"]).ok();
    let own = project.git(["for-each-ref", "--format=%(refname)", "refs/samesession/requests"]);
    let own = own.lines().find(|other| *other != name).expect("another request");
    for place in [name, own] {
        project.git(["update-ref", place, &forged]);
    }
    assert!(asking().is_empty());
    laptop.run_here(["device", "approve", "phone", "--fingerprint", &phone.fingerprint()]).fails(1, "phone");
    // Nor is one that nobody signed, or that is put under another name.
    let unsigned = feed(&origin, &["hash-object", "-t", "commit", "-w", "--stdin"], format!("{head}\nsamesession checkpoint\n").as_bytes());
    for (place, what) in [(name, &unsigned[..]), (own, request)] {
        project.git(["update-ref", place, what]);
    }
    assert!(asking().is_empty());
    project.git(["update-ref", name, request]);
    assert_eq!(asking(), [phone.fingerprint()]);
}

#[test]
fn what_an_approval_opens_is_for_the_settings_to_say() {
    let project = Project::new();
    let [laptop, phone] = ["laptop", "phone"].map(|name| project.clone(name));
    laptop.say("from before");
    laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
    laptop.run_here(["device", "join"]).ok();
    phone.run_here(["device", "join"]).ok();
    let approve = ["device", "approve", "phone", "--fingerprint", &phone.fingerprint()].map(str::to_owned);
    laptop.git(["config", "samesession.approveOpens", "some"]);
    laptop.run_here(&approve).fails(129, "'all' or 'none'");
    laptop.git(["config", "samesession.approveOpens", "none"]);
    assert!(laptop.run_here(&approve).ok().stdout().contains("can open 0 sessions"));
    phone.run_here(["device", "join", "--trust", &laptop.fingerprint()]).ok();
    phone.git(["fetch", "-q"]);
    phone.run_here(["restore", SESSION]).fails_with(1);
    laptop.say_in(OTHER, "from now on");
    laptop.run_here(["checkpoint", OTHER, "--push"]).ok();
    phone.git(["fetch", "-q"]);
    phone.run_here(["restore", &sid_of(OTHER), "--session-only"]).ok();
}

/// Killed between the roster and the sessions, and done again.
#[test]
fn what_was_approved_or_revoked_half_is_done_again_whole() {
    let project = Project::new();
    let (laptop, desktop) = (project.clone("laptop"), project.clone("desktop"));
    laptop.run_here(["device", "join"]).ok();
    laptop.checkpoint("hello", &[]);
    laptop.run_here(["push", SESSION]).ok();
    let asked = desktop.run_here(["device", "join", "--json"]).ok().json();
    let fingerprint = asked["fingerprint"].as_str().expect("a fingerprint").to_owned();
    let dies = |args: &[&str]| {
        let machine = laptop.env("SAMESESSION_FAULT", "commit.packed=kill");
        let ran = machine.run_here(args);
        assert_eq!(ran.0.status.signal(), Some(9), "{}", ran.stderr());
    };
    let approve = ["device", "approve", "desktop", "--fingerprint", &fingerprint];
    dies(&approve);
    laptop.run_here(approve).ok();
    desktop.run_here(["device", "join", "--trust", &laptop.fingerprint()]).ok();
    desktop.run_here(["fetch"]).ok();
    desktop.run_here(["restore", SESSION, "--session-only"]).ok();

    dies(&["device", "revoke", "desktop"]);
    laptop.run_here(["device", "revoke", "desktop"]).ok();
    laptop.checkpoint("not for the desktop", &[]);
    laptop.run_here(["push", SESSION]).ok();
    desktop.run_here(["fetch"]);
    let shown = desktop.run_here(["show", &laptop.tip()]).ok().stdout();
    assert!(shown.contains("sealed to others"), "{shown}");
}
