//! A key on paper: made once, kept nowhere, and enough to begin again when every device is lost.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::clones::{OTHER, Project, SESSION, sid, sid_of};
use crate::support::sandbox::{Machine, snapshot};

/// What `init --recovery` shows, typed into a file beside everything else.
#[track_caller]
fn written_down(machine: &Machine, paper: &Path) -> String {
    let shown = machine.run_here(["init", "--recovery"]).ok();
    let secrets: Vec<String> =
        shown.stdout().split_whitespace().filter(|word| word.starts_with("AGE-SECRET-KEY-")).map(str::to_owned).collect();
    assert!(secrets.len() == 1 && !shown.stderr().contains("SECRET"), "{}\n{}", shown.stdout(), shown.stderr());
    assert!(shown.stdout().contains("write it down"), "{}", shown.stdout());
    fs::write(paper, format!("{}\n", secrets[0])).expect("written");
    secrets[0].clone()
}

/// Neither as it is nor packed by Git.
fn is_nowhere(project: &Project, secret: &str) {
    for (path, bytes) in snapshot(&project.sandbox.path()) {
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found || path.ends_with("paper"), "{}", path.display());
    }
    for object in project.git(["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]).lines() {
        assert!(!project.git(["cat-file", "-p", object]).contains("AGE-SECRET"), "{object}");
    }
}

fn paper(project: &Project) -> PathBuf {
    project.sandbox.path().join("paper")
}

#[test]
fn with_every_device_lost_a_new_one_joins_by_the_key_on_paper_and_opens_everything() {
    let project = Project::new();
    let (laptop, desktop) = (project.clone("laptop"), project.clone("desktop"));
    laptop.say("from before there was a key");
    laptop.run_here(["checkpoint", SESSION]).ok();
    laptop.run_here(["device", "join"]).ok();
    desktop.run_here(["device", "join"]).ok();
    laptop.run_here(["device", "approve", "desktop", "--fingerprint", &desktop.fingerprint()]).ok();
    desktop.run_here(["device", "join", "--trust", &laptop.fingerprint()]).ok();
    let paper = paper(&project);
    laptop.run_here(["init", "--recovery", "--json"]).fails_with(129);
    let secret = written_down(&laptop, &paper);
    laptop.run_here(["init", "--recovery"]).fails(1, "there is a recovery key already").hints("device revoke recovery");
    let listed = desktop.run_here(["device", "list", "--json"]).ok().json();
    let members = listed["members"].as_array().expect("a list");
    let keys: Vec<&str> = members.iter().filter(|member| member["recovery"] == true).filter_map(|member| member["name"].as_str()).collect();
    assert_eq!(keys, ["recovery"], "{listed}");
    // What begins on another device opens for it as well, without its being named there.
    desktop.git(["fetch", "-q"]);
    desktop.say_in(OTHER, "from the desktop");
    desktop.run_here(["checkpoint", OTHER, "--push"]).ok();
    is_nowhere(&project, &secret);

    // A machine that is called as a lost one was.
    let fresh = project.sandbox.machine("fresh");
    fresh.git(["init", "-q"]);
    fresh.git(["remote", "add", "origin", project.origin.to_str().expect("UTF-8")]);
    fresh.run_here(["device", "init", "--name", "laptop"]).ok();
    fresh.git(["config", "--add", "remote.origin.fetch", "+refs/samesession/*:refs/samesession-remote/origin/*"]);
    fresh.git(["fetch", "-q"]);
    let file = paper.to_str().expect("UTF-8");
    let read = fresh.run_here(["list", "-i", file, "--json"]).ok().json();
    assert_eq!(read["sessions"].as_array().map(Vec::len), Some(2), "{read}");
    fresh.run_here(["restore", &sid()]).fails_with(1);
    // Another key of that kind is nobody's.
    let other = project.sandbox.path().join("other");
    fs::write(&other, age_key()).expect("written");
    fresh.run_here(["device", "join", "--recovery", other.to_str().expect("UTF-8")]).fails(1, "no recovery key of this store");
    let joined = fresh.run_here(["device", "join", "--recovery", file]).ok().stdout();
    assert!(joined.contains("'laptop-2', is on the roster, and can open 2 sessions"), "{joined}");
    assert!(joined.contains("laptop, desktop, recovery, laptop-2"), "{joined}");
    // Without the key from here on, and nobody is asked about.
    for session in [SESSION, OTHER] {
        let restored = fresh.run_here(["restore", &sid_of(session)]).ok().stdout();
        assert!(restored.contains("signed by laptop (SHA256:") || restored.contains("signed by desktop (SHA256:"), "{restored}");
    }
    fresh.say("and on it goes");
    fresh.run_here(["checkpoint", SESSION, "--push"]).ok();
    for lost in ["laptop", "desktop", "recovery"] {
        fresh.run_here(["device", "revoke", lost]).ok();
    }
    // The old key is no member, and another one can be made.
    let late = project.clone("late");
    late.run_here(["device", "join", "--recovery", file]).fails(1, "no recovery key of this store");
    let second = written_down(&fresh, &paper);
    assert_ne!(second, secret);
    late.run_here(["device", "join", "--recovery", file]).ok();
    late.git(["fetch", "-q"]);
    late.run_here(["restore", &sid()]).ok();
    assert!(late.heard().contains("and on it goes"));
    is_nowhere(&project, &second);
}

#[test]
fn without_a_roster_the_key_opens_what_begins_here_and_joins_when_there_is_one() {
    let project = Project::new();
    let laptop = project.clone("laptop");
    let paper = paper(&project);
    let secret = written_down(&laptop, &paper);
    laptop.say("a word");
    laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
    let fresh = project.clone("fresh");
    fresh.git(["fetch", "-q"]);
    let file = paper.to_str().expect("UTF-8");
    fresh.run_here(["device", "join", "--recovery", file]).fails(1, "the store has no roster").hints("restore -i");
    fresh.run_here(["restore", &sid()]).fails_with(1);
    fresh.run_here(["restore", &sid(), "-i", file, "--trust", &laptop.fingerprint()]).ok();
    assert_eq!(fresh.heard(), laptop.heard());
    // Plain age agrees that it is an age key.
    assert!(secret.parse::<age::x25519::Identity>().is_ok());

    laptop.run_here(["device", "join"]).ok();
    let listed = laptop.run_here(["device", "list", "--json"]).ok().json();
    assert!(listed["members"].as_array().expect("a list").iter().any(|member| member["recovery"] == true), "{listed}");
    assert!(fresh.run_here(["device", "join", "--recovery", file]).ok().stdout().contains("is on the roster"));
    laptop.run_here(["init", "--uninstall"]).ok();
    assert!(!laptop.git(["config", "--list"]).contains("samesession.recovery"));
}

fn age_key() -> String {
    use age::secrecy::ExposeSecret;
    age::x25519::Identity::generate().to_string().expose_secret().to_owned()
}
