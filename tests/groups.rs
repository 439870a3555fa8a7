//! Several recipients under one name: on the roster for all members, or in one clone.

use std::collections::BTreeSet;

use crate::support::clones::{OTHER, Project, SESSION, sid, sid_of};
use crate::support::sandbox::Machine;

fn readers(machine: &Machine, native: &str) -> BTreeSet<String> {
    let places = ["refs/samesession", "refs/samesession-remote/origin"].map(|place| format!("{place}/sessions/{}", sid_of(native)));
    let known = places.iter().find(|name| machine.try_git(["rev-parse", "--verify", "-q", name]).code() == Some(0)).expect("it is known");
    let shown = machine.run_here(["show", &machine.rev(known), "--json"]).ok().json();
    shown["recipients"].as_array().expect("a list").iter().filter_map(|key| key.as_str().map(str::to_owned)).collect()
}

fn keys(machines: &[&Machine]) -> BTreeSet<String> {
    machines.iter().map(|machine| machine.recipient()).collect()
}

#[test]
fn a_group_on_the_roster_is_the_same_for_all_members_and_what_was_shared_with_it_follows() {
    let project = Project::new();
    let [laptop, desktop, phone] = ["laptop", "desktop", "phone"].map(|name| project.clone(name));
    let [anna, bert, carl] = ["anna", "bert", "carl"].map(|name| project.clone(name));
    laptop.run_here(["device", "join"]).ok();
    for newcomer in [&desktop, &phone] {
        newcomer.run_here(["device", "join"]).ok();
        laptop.run_here(["device", "approve", &newcomer.name, "--fingerprint", &newcomer.fingerprint()]).ok();
        newcomer.run_here(["device", "join", "--trust", &laptop.fingerprint()]).ok();
    }
    for wrong in ["../x", "age1x", "-x", ""] {
        laptop.run_here(["recipient", "group", "add", "--", wrong, "desktop"]).fails_with(129);
    }
    laptop.run_here(["recipient", "group", "add", "phone", "desktop"]).fails(1, "'phone'");
    laptop.run_here(["recipient", "group", "remove", "review", "desktop"]).fails(1, "there is no group 'review'");
    let made = laptop.run_here(["recipient", "group", "add", "review", &anna.recipient(), &bert.recipient(), "phone"]).ok().stdout();
    assert!(made.contains("'review' stands for 3 recipients, for all members of the roster"), "{made}");
    laptop.run_here(["recipient", "group", "add", "late", &bert.recipient()]).ok();
    // In no object of the store as it is.
    for object in project.git(["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]).lines() {
        let text = laptop.at(&project.origin).command("git").args(["cat-file", "-p", object]).output().expect("git").stdout;
        assert!(!String::from_utf8_lossy(&text).contains("review"), "{object}");
    }
    // Another member knows it after a plain fetch; a file of that name does not get in its way.
    desktop.git(["fetch", "-q"]);
    desktop.run_here(["list"]).ok();
    let listed = desktop.run_here(["recipient", "group", "list", "--json"]).ok().json();
    let names: Vec<&str> = listed["groups"].as_array().expect("a list").iter().filter_map(|group| group["name"].as_str()).collect();
    assert_eq!(names, ["late", "review"]);
    assert!(listed["groups"][1]["members"].as_array().expect("a list").iter().any(|member| member["device"] == "phone"), "{listed}");
    std::fs::write(desktop.cwd.join("review"), format!("{}\n", carl.recipient())).expect("written");
    desktop.say("for the reviewers");
    desktop.run_here(["checkpoint", SESSION, "--session-only", "-r", "review", "--push"]).ok();
    assert_eq!(readers(&desktop, SESSION), keys(&[&laptop, &desktop, &phone, &anna, &bert]));
    desktop.say_in(OTHER, "for the members alone");
    desktop.run_here(["checkpoint", OTHER, "--session-only", "--push"]).ok();

    // Whoever comes to it reads what was shared with it, and that alone; it is sent at once.
    let added = desktop.run_here(["recipient", "group", "add", "review", &carl.recipient(), "--json"]).ok().json();
    assert_eq!(added["sessions"].as_array().expect("a list").len(), 1, "{added}");
    assert_eq!((added["sessions"][0]["sid"].as_str(), added["sessions"][0]["state"].as_str()), (Some(&sid()[..]), Some("changed")));
    assert_eq!(project.tip(), desktop.tip());
    assert_eq!(readers(&desktop, SESSION), keys(&[&laptop, &desktop, &phone, &anna, &bert, &carl]));
    assert_eq!(readers(&desktop, OTHER), keys(&[&laptop, &desktop, &phone]));
    carl.git(["fetch", "-q"]);
    carl.run_here(["restore", &sid(), "--session-only", "--trust", &desktop.fingerprint()]).ok();
    // Whoever leaves it reads nothing new, unless another group holds them.
    desktop.run_here(["recipient", "group", "remove", "review", &anna.recipient(), &bert.recipient()]).ok();
    assert_eq!(readers(&desktop, SESSION), keys(&[&laptop, &desktop, &phone, &bert, &carl]));
    // Handed over by the name.
    desktop.run_here(["move", OTHER, "--session-only", "--to", "review"]).ok();
    assert_eq!(readers(&desktop, OTHER), keys(&[&laptop, &desktop, &phone, &carl]));
    // A device that is revoked is in no group any more, and a name that goes takes nobody's session.
    laptop.run_here(["fetch"]).ok();
    laptop.run_here(["device", "revoke", "phone"]).ok();
    let listed = laptop.run_here(["recipient", "group", "list", "--json"]).ok().json();
    assert_eq!(listed["groups"][1]["members"].as_array().map(Vec::len), Some(1), "{listed}");
    laptop.run_here(["recipient", "group", "remove", "review"]).ok();
    assert_eq!(readers(&laptop, SESSION), keys(&[&laptop, &desktop, &bert, &carl]));
    laptop.run_here(["recipient", "add", "review", "--session", SESSION]).fails_with(128);
}

#[test]
fn without_a_roster_a_group_is_this_clones_own() {
    let project = Project::new();
    let [laptop, anna, bert] = ["laptop", "anna", "bert"].map(|name| project.clone(name));
    let made = laptop.run_here(["recipient", "group", "add", "team", &anna.recipient()]).ok().stdout();
    assert!(made.contains("'team' stands for 1 recipient, in this clone"), "{made}");
    laptop.run_here(["init", "-r", "team"]).ok();
    laptop.say("a word");
    laptop.run_here(["checkpoint", SESSION]).ok();
    assert_eq!(readers(&laptop, SESSION), keys(&[&laptop, &anna]));
    laptop.run_here(["recipient", "group", "add", "team", &bert.recipient()]).ok();
    assert_eq!(readers(&laptop, SESSION), keys(&[&laptop, &anna, &bert]));
    laptop.say_in(OTHER, "what begins now, too");
    laptop.run_here(["checkpoint", OTHER]).ok();
    assert_eq!(readers(&laptop, OTHER), keys(&[&laptop, &anna, &bert]));
    laptop.run_here(["recipient", "group", "remove", "team", &anna.recipient()]).ok();
    assert_eq!(readers(&laptop, OTHER), keys(&[&laptop, &bert]));
    assert_eq!(laptop.git(["config", "--get-all", "samesession.recipient"]).trim(), bert.recipient());
    let capsule = project.sandbox.path().join("out.capsule");
    laptop.run_here(["checkpoint".as_ref(), SESSION.as_ref(), "-o".as_ref(), capsule.as_os_str(), "-r".as_ref(), "team".as_ref()]).ok();
    bert.run_here(["restore".as_ref(), capsule.as_os_str(), "--session-only".as_ref(), "--trust".as_ref(), laptop.fingerprint().as_ref()])
        .ok();
}
