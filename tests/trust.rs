//! Who made what: what nobody signed, whose signature is asked for, and what a member with a good key may not do with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::hostile_chains::Scene;
use crate::support::clones::{Project, SESSION, append, session_ref, sid};
use crate::support::forge::Forge;
use crate::support::forged::{Forged, signed};
use crate::support::sandbox::Machine;

const ROSTER: &str = "refs/samesession/roster";
const NOBODY: &str = "warning: nobody has signed this";

/// On the roster, by what both can see.
#[track_caller]
fn joins(newcomer: &Machine, member: &Machine) {
    newcomer.run_here(["device", "join"]).ok();
    member.run_here(["device", "approve", &newcomer.name, "--fingerprint", &newcomer.fingerprint()]).ok();
    newcomer.run_here(["device", "join", "--trust", &member.fingerprint()]).ok();
}

/// The maker is a member, and so is whoever looks at what it made; the newest checkpoint says so.
fn members() -> Scene {
    let mut scene = Scene::acquainted();
    fs::remove_file(scene.victim.home.join(".config/samesession/known_signers")).expect("it knew the maker");
    scene.victim.run_here(["device", "join"]).ok();
    joins(&scene.maker, &scene.victim);
    scene.victim.run_here(["device", "list"]).ok();
    scene.first = scene.second;
    scene.second = scene.maker.checkpoint("by a member", &[]);
    scene.maker.git(["push", "-q", "origin", "refs/samesession/sessions/*"]);
    scene.victim.git(["fetch", "-q"]);
    assert!(scene.victim.run_here(["restore", "-n", &sid()]).ok().stdout().contains("signed by maker (SHA256:"));
    scene
}

#[test]
fn what_nobody_signed_is_taken_once_where_it_is_named_and_a_bad_signature_never() {
    let scene = Scene::new();
    let victim = &scene.victim;
    let forged = scene.next();
    let id = forged.commit_by(None);
    scene.show(&id);
    // It is all that there is of the session here.
    for what in [&id, &sid()] {
        victim.run_here(["restore", what]).fails(1, "is not signed").hints(&format!("restore {} --allow-unsigned", &id[..12]));
        assert!(!victim.transcript().exists());
    }
    let took = victim.run_here(["restore", &id, "--allow-unsigned", "--quiet"]).ok();
    assert!(took.stderr().contains(NOBODY) && took.stdout().contains("signed by nobody"), "{}\n{}", took.stdout(), took.stderr());
    assert_eq!(victim.heard(), scene.maker.heard());
    let told = victim.run_here(["restore", &sid(), "--allow-unsigned", "--json"]).ok();
    assert!(told.stderr().contains(NOBODY) && told.json()["signer"].is_null(), "{}", told.stderr());
    // For that time: no ref of ours leads there, nothing is remembered, and the next one is refused again.
    assert_ne!(victim.try_git(["rev-parse", "--verify", "-q", &session_ref()]).stdout().trim(), id);
    victim.run_here(["restore", &id]).fails(1, "is not signed");
    // A session is gone on with from what somebody signed only.
    victim.git(["push", "-q", "--force", "origin", &format!("{id}:{}", session_ref())]);
    victim.run_here(["resume", "--no-launch", &sid(), "--allow-unsigned"]).fails(1, "is not signed");
    scene.project.set(&scene.second);
    // Where there is a good one that is meant by the session's name.
    victim.git(["update-ref", &session_ref(), &scene.second]);
    let good = victim.run_here(["restore", &sid(), "--allow-unsigned"]).ok();
    assert!(!good.stderr().contains(NOBODY), "{}", good.stderr());

    let head = forged.head(&forged.tree());
    let ours = signed(&head, &scene.maker);
    for text in
        [format!("{head}{}\n\nsamesession checkpoint\n", &ours[..ours.len() - 40]), format!("{head}gpgsig x\n\nsamesession checkpoint\n")]
    {
        let bad = forged.write_commit(&text);
        victim.run_here(["restore", &bad, "--allow-unsigned"]).fails(128, "the signature is bad");
    }
    // Nor one whose record somebody signed and somebody else changed.
    let mut lying = forged.clone();
    lying.record["device"] = json!("changed");
    lying.manifest_signature = b"nonsense".to_vec();
    let lying = lying.commit_by(None);
    victim.run_here(["restore", &lying, "--allow-unsigned"]).fails(1, "the signature is bad");
}

#[test]
fn where_a_signature_is_asked_for_there_is_no_exception_and_where_a_members_is_nobody_else_counts() {
    let scene = Scene::acquainted();
    let victim = &scene.victim;
    let unsigned = scene.next().commit_by(None);
    let require = |value: &str| drop(victim.git(["config", "samesession.requireSignature", value]));
    require("known");
    victim.run_here(["restore", &unsigned, "--allow-unsigned"]).fails(1, "'samesession.requireSignature' asks for a signature");
    victim.run_here(["restore", "-n", &sid()]).ok();

    // Known is not enough any more: not to be followed, listed, restored, resumed, fetched, or brought in by a file.
    require("roster");
    let print = scene.maker.fingerprint();
    let says = "asks for a member of the roster, and this key is none's: SHA256:";
    victim.run_here(["restore", &sid()]).fails(1, says).hints("samesession.requireSignature");
    victim.run_here(["restore", &sid(), "--trust", &print]).fails(1, says);
    victim.run_here(["resume", "--no-launch", &sid(), "--trust", &print]).fails(1, says);
    victim.run_here(["fetch", "--trust", &print]).ok();
    assert!(victim.run_here(["list", "--json"]).ok().json()["sessions"][0]["signer_name"].is_null());
    let capsule = Forge::claude(victim).signed_by(&scene.maker).write();
    for verb in ["restore", "import"] {
        victim.run_here([verb.as_ref(), capsule.as_os_str(), "--trust".as_ref(), print.as_ref()]).fails(1, says);
    }
    assert!(!victim.transcript().exists());
    // A member's is.
    victim.run_here(["device", "join"]).ok();
    joins(&scene.maker, victim);
    let done = victim.run_here(["restore", &sid(), "--json"]).ok().json();
    assert_eq!((done["signer"].as_str(), done["signer_name"].as_str()), (Some(&print[..]), Some("maker")), "{done}");
    assert_eq!(done["device"], "maker");
    require("sometimes");
    victim.run_here(["restore", &sid()]).fails(129, "'known' or 'roster'");
}

#[test]
fn a_member_cannot_pass_one_thing_off_as_another() {
    let scene = members();
    let victim = &scene.victim;
    let (root, tip) = (victim.git(["rev-list", "--max-parents=0", ROSTER]).trim().to_owned(), victim.rev(ROSTER));
    let honest = scene.next();
    assert_eq!((honest.record["store"].as_str(), honest.record["roster"].as_str()), (Some(&root[..]), Some(&tip[..])));
    // As it is it would be taken.
    scene.show(&honest.commit());
    victim.run_here(["restore", "-n", &sid()]).ok();
    victim.git(["update-ref", &format!("refs/samesession-seen/origin/sessions/{}", sid()), &scene.second]);
    victim.git(["update-ref", &session_ref(), &scene.second]);
    victim.git(["update-ref", &format!("refs/samesession-seen/@here/sessions/{}", sid()), &scene.second]);

    let another = "0123456789abcdef0123456789abcdef01234567";
    scene.passed_by(
        "for another store",
        &scene.next().record(|record| record["store"] = json!(another)).commit(),
        "it was made for another store",
    );
    // Under a roster that is none of this store's: signed all right, by a member, and of another line.
    let parted = Forged { parents: Vec::new(), ..scene.next() }.commit();
    let under = scene.next().record(|record| record["roster"] = json!(parted)).commit();
    scene.passed_by("under another roster", &under, "under another roster");
    // A change of the roster, and a request, where a session should be.
    scene.passed_by("a roster", &tip, "capsule.json: ");
    let phone = scene.project.clone("phone");
    phone.run_here(["device", "join"]).ok();
    victim.git(["fetch", "-q"]);
    let request = victim.git(["for-each-ref", "--format=%(objectname)", "refs/samesession-remote/origin/requests"]).trim().to_owned();
    scene.passed_by("a request", &request, "capsule.json: ");
    // And a session's where the roster should be, or a request.
    victim.git(["update-ref", "refs/samesession-remote/origin/roster", &scene.second]);
    let standing = victim.run_here(["list"]).ok();
    assert_eq!(victim.rev("refs/samesession-seen/@here/roster"), tip, "{}", standing.stderr());
    victim.git(["update-ref", "refs/samesession-remote/origin/roster", &tip]);
    scene.project.git(["update-ref", &format!("refs/samesession/requests/{}", "ab".repeat(16)), &scene.second]);
    let asking = victim.run_here(["device", "list", "--json"]).ok().json()["requests"].as_array().expect("a list").len();
    assert_eq!(asking, 1, "the phone alone");
    // Says that the session was deleted, by the clear part alone or by both: that is a member's right, and what is in it is not shown.
    scene.passed_by(
        "deleted in the clear",
        &scene.next().header(|header| header["kind"] = json!("deleted")).commit(),
        "something else than what is sealed",
    );
    // Nothing goes by dates: a commit with another one is none of ours, signed or not.
    let forged = scene.next();
    let head = forged.head(&forged.tree()).replace("0 +0000", "1700000000 +0000");
    let dated = forged.write_commit(&format!("{head}{}\nsamesession checkpoint\n", signed(&head, &scene.maker)));
    scene.passed_by("with a date", &dated, "it is another commit");
}

#[test]
fn what_is_old_or_cut_short_is_not_the_newest_whoever_signs_it_again() {
    let scene = members();
    let victim = &scene.victim;
    victim.run_here(["restore", &sid()]).ok();
    let heard = victim.heard();
    let old = || Forged::of(&scene.maker, victim, &scene.first);
    let cases: [(&str, String); 4] = [
        ("the old one itself", scene.first.clone()),
        ("the old one, made again", old().both(|value| value["nonce"] = json!("11".repeat(16))).commit()),
        ("the newest without what it goes on from", Forged { parents: Vec::new(), ..scene.next() }.commit()),
        ("the next one, behind the old one", Forged { parents: vec![scene.first.clone()], ..scene.next() }.commit()),
    ];
    for (what, id) in cases {
        scene.show(&id);
        let looked = victim.run_here(["list"]).ok();
        assert!(looked.stderr().contains("warning: 'origin' was rewound: it had"), "{what}: {}", looked.stderr());
        assert_eq!((victim.tip(), victim.heard()), (scene.second.clone(), heard.clone()), "{what}");
        scene.show(&scene.second);
    }
}

fn signers(machine: &Machine, others: &[&Machine]) -> PathBuf {
    let file = machine.home.join("signers");
    for one in others {
        let key = one.run_here(["device", "show", "--json"]).ok().json()["signing_key"].as_str().expect("a key").to_owned();
        append(&file, &format!("{} {key}\n", one.name));
    }
    file
}

/// Every kind of commit there is, and Git agrees about each.
#[test]
fn git_verifies_every_commit_of_ours() {
    let project = Project::new();
    let (laptop, desktop) = (project.clone("laptop"), project.clone("desktop"));
    laptop.run_here(["device", "join"]).ok();
    joins(&desktop, &laptop);
    let phone = project.clone("phone");
    phone.run_here(["device", "join"]).ok();
    laptop.say("one");
    laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
    laptop.run_here(["lease", "take", SESSION]).ok();
    let leased = laptop.tip();
    laptop.run_here(["push", SESSION]).ok();
    laptop.run_here(["recipient", "add", &phone.recipient(), "--session", SESSION]).ok();
    let readers = laptop.tip();
    laptop.run_here(["lease", "release", SESSION]).ok();
    laptop.run_here(["push", SESSION]).ok();
    desktop.run_here(["fetch"]).ok();
    desktop.run_here(["restore", SESSION]).ok();
    // Both go on, and are joined.
    laptop.say("the laptop's");
    laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
    desktop.say("the desktop's");
    desktop.run_here(["checkpoint", SESSION]).ok();
    desktop.run_here(["push", SESSION]).ok();
    laptop.run_here(["fetch"]).ok();
    laptop.run_here(["device", "revoke", "desktop"]).ok();
    let other = "dddddddd-0007-4000-8000-000000000007";
    for words in ["one", "two", "three"] {
        laptop.say_in(other, words);
        laptop.run_here(["checkpoint", other, "--push"]).ok();
    }
    laptop.run_here(["gc", other, "--keep-last", "1"]).ok();
    let gone = &crate::support::clones::sid_of(other)[..8];
    let shortened = laptop.rev(&format!("refs/samesession/sessions/{}", crate::support::clones::sid_of(other)));
    laptop.run_here(["delete", other, "--remote", "origin", "--confirm", gone]).ok();

    laptop.git(["fetch", "-q"]);
    let allowed = format!("gpg.ssh.allowedSignersFile={}", signers(&laptop, &[&laptop, &desktop, &phone]).display());
    let mut kinds = BTreeSet::new();
    let objects = laptop.git(["cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)"]);
    for id in objects.lines().filter_map(|line| line.strip_prefix("commit ")) {
        if !laptop.git(["log", "-1", "--format=%s", id]).starts_with("samesession checkpoint") {
            continue;
        }
        laptop.git(["-c", &allowed, "-c", "gpg.format=ssh", "verify-commit", id]);
        let header: Value = serde_json::from_str(&laptop.git(["cat-file", "blob", &format!("{id}:capsule.json")])).expect("JSON");
        let parents = laptop.git(["log", "-1", "--format=%P", id]).split_whitespace().count();
        kinds.insert(match (header["schema"].as_str(), header["kind"].as_str()) {
            (Some("samesession.roster/1"), _) => "roster",
            (Some("samesession.request/1"), _) => "request",
            (_, Some("deleted")) => "deleted",
            _ if parents == 2 => "join",
            _ if id == leased => "lease",
            _ if id == readers => "readers",
            _ if id == shortened => "shortened",
            _ => "checkpoint",
        });
    }
    let all = ["checkpoint", "deleted", "join", "lease", "readers", "request", "roster", "shortened"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
    // A signature by somebody whom the file does not name is none.
    let only = format!("gpg.ssh.allowedSignersFile={}", signers(&phone, &[&phone]).display());
    assert_ne!(laptop.try_git(["-c", &only, "-c", "gpg.format=ssh", "verify-commit", ROSTER]).code(), Some(0));
}
