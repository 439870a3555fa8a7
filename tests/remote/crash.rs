//! A helper that dies half way: Git says so, nothing half made is taken for whole, and the next one finds all in order.

use super::{captured, name_of, tracking_of, with_agents};
use crate::support::clones::{Project, SESSION};
use crate::support::sandbox::{snapshot, without_journals};

#[test]
fn a_fetch_that_dies_leaves_what_was_and_the_next_one_goes_on() {
    let project = Project::new();
    let laptop = with_agents(&project, "laptop");
    captured(&laptop);
    let old = laptop.rev(&tracking_of(SESSION));
    for (n, point) in ["capture.opened", "capture.read", "commit.folded", "commit.packed", "commit.referenced"].into_iter().enumerate() {
        for how in ["kill", "full"] {
            laptop.say(&format!("words {n} {how}"));
            let was = laptop.rev(&tracking_of(SESSION));
            let ran = laptop.env("SAMESESSION_FAULT", format!("{point}={how}")).try_git(["fetch", "agents"]);
            // Once the pin has moved the checkpoint stands, and a full disk comes too late to matter.
            if (point, how) != ("commit.referenced", "full") {
                assert_eq!(ran.code(), Some(128), "{point}={how}: {}", ran.stderr());
                assert_eq!(laptop.rev(&tracking_of(SESSION)), was, "{point}={how}");
            }
            captured(&laptop);
            let now = laptop.rev(&tracking_of(SESSION));
            assert!(now != was && laptop.try_git(["merge-base", "--is-ancestor", &was, &now]).code() == Some(0), "{point}={how}");
            assert_eq!(laptop.git(["for-each-ref", "refs/samesession-import"]), "", "{point}={how}");
        }
    }
    // One for each change, however often it was begun.
    assert_eq!(laptop.count(&format!("{old}..{}", tracking_of(SESSION))), 10);
    laptop.git(["fsck", "--strict", "--no-dangling"]);
}

#[test]
fn private_refs_that_a_crash_left_are_swept() {
    let project = Project::new();
    let laptop = with_agents(&project, "laptop");
    captured(&laptop);
    let tip = laptop.rev(&tracking_of(SESSION));
    let mut ended = laptop.command("true").spawn().expect("started");
    let dead = ended.id();
    ended.wait().expect("ended");
    let alive = std::process::id();
    for (owner, stays) in [(dead, false), (alive, true)] {
        laptop.git(["update-ref", &format!("refs/samesession-import/{owner}-0011223344556677/x"), &tip]);
        laptop.say("more");
        laptop.git(["fetch", "-q", "agents"]);
        let left = laptop.git(["for-each-ref", "refs/samesession-import"]);
        assert_eq!(!left.is_empty(), stays, "{left}");
    }
}

#[test]
fn a_push_that_dies_leaves_the_home_as_it_was_or_as_it_shall_be() {
    let project = Project::new();
    let laptop = with_agents(&project, "laptop");
    captured(&laptop);
    laptop.say("two");
    captured(&laptop);
    let new = laptop.heard();
    let old: String = new.lines().take(1).map(|line| format!("{line}\n")).collect();
    let tip = laptop.rev(&tracking_of(SESSION));
    for point in ["restore.staged", "restore.planned", "restore.journalled", "restore.placed", "restore.committed", "restore.settled"] {
        std::fs::write(laptop.transcript(), &old).expect("written");
        let before = without_journals(snapshot(&laptop.claude()));
        let push = ["push", "session::claude", &format!("{tip}:{}", name_of(SESSION))];
        let ran = laptop.env("SAMESESSION_FAULT", format!("{point}=kill")).try_git(push);
        let after = without_journals(snapshot(&laptop.claude()));
        assert!(ran.code() != Some(0) && ran.stderr().contains("died of signal 9"), "{point}: {}", ran.stderr());
        assert!(after == before || laptop.heard() == new, "{point}: {}", ran.stderr());
        laptop.git(push);
        assert_eq!(laptop.heard(), new, "{point}");
    }
}
