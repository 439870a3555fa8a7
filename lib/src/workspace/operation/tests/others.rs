//! Merges, picks, patches and bisections.

use super::lab::{Lab, Place};
use crate::workspace::operation::Operation;
use crate::workspace::restore::fixture::has_reftable;

/// As they are made without a word, and with their refs in a reftable.
fn formats() -> impl Iterator<Item = &'static [&'static str]> {
    std::iter::once(&[][..]).chain(has_reftable().then_some(&["--ref-format=reftable"][..]))
}

fn pair(options: &[&str]) -> (Lab, Place, Place) {
    let lab = Lab::new();
    let from = lab.begin(options);
    let to = lab.clone_of(&from, &[]);
    (lab, from, to)
}

fn words(operations: &[Operation]) -> Vec<&'static str> {
    operations.iter().map(Operation::word).collect()
}

#[test]
fn nothing_in_progress_is_nothing() {
    for options in formats() {
        let (_lab, from, _) = pair(options);
        assert_eq!(from.operations(), []);
    }
}

#[test]
fn a_merge_is_committed_with_two_parents() {
    for options in formats() {
        let (_lab, from, to) = pair(options);
        from.write("one", "dirty");
        from.stops(&["merge", "--no-ff", "--autostash", "upstream"]);
        assert_eq!(words(&to.arrive(&from)), ["merge", "prepared commit"]);
        assert_eq!(to.status("main"), from.status("main"));
        for place in [&from, &to] {
            place.write("f", "both\n");
            place.git(&["add", "f"]);
            place.git(&["commit", "-q", "--no-edit"]);
        }
        assert_eq!(to.oid("HEAD"), from.oid("HEAD"));
        assert_eq!(to.oid("HEAD^2"), to.oid("origin/upstream"));
        assert_eq!(std::fs::read_to_string(to.root.join("one")).expect("the stashed change"), "dirty");
    }
}

#[test]
fn a_merge_can_be_aborted() {
    let (_lab, from, to) = pair(&[]);
    from.stops(&["merge", "upstream"]);
    to.arrive(&from);
    to.git(&["merge", "--abort"]);
    assert_eq!((to.oid("HEAD"), to.git(&["status", "--porcelain"])), (from.oid("HEAD"), String::new()));
}

#[test]
fn a_squashed_merge_keeps_its_message() {
    let (_lab, from, to) = pair(&[]);
    from.stops(&["merge", "--squash", "upstream"]);
    assert_eq!(words(&to.arrive(&from)), ["prepared commit"]);
    assert_eq!(to.status("main"), from.status("main"));
    for place in [&from, &to] {
        place.git(&["add", "f"]);
        place.git(&["commit", "-q", "--no-edit"]);
    }
    assert_eq!(to.oid("HEAD"), from.oid("HEAD"));
    assert!(to.git(&["log", "-1", "--format=%B"]).contains("upstream moves"));
}

#[test]
fn a_range_of_picks_goes_on() {
    for options in formats() {
        let (_lab, from, to) = pair(options);
        from.git(&["checkout", "-q", "upstream"]);
        from.stops(&["cherry-pick", "-x", "-s", "-Xpatience", "--keep-redundant-commits", "main~4..main"]);
        assert_eq!(words(&to.arrive(&from)), ["cherry-pick", "prepared commit"]);
        assert_eq!(to.status("upstream"), from.status("upstream"));
        assert_eq!(to.resolve("cherry-pick"), from.resolve("cherry-pick"));
        assert!(to.git(&["log", "-1", "--format=%B"]).contains("(cherry picked from commit"));
    }
}

#[test]
fn between_two_picks() {
    let (_lab, from, to) = pair(&[]);
    from.git(&["checkout", "-q", "upstream"]);
    let start = from.oid("HEAD");
    from.stops(&["cherry-pick", "main~4..main"]);
    from.git(&["add", "f"]);
    from.git(&["commit", "-q", "-m", "by hand"]);
    to.arrive(&from);
    assert!(to.status("upstream").contains("Cherry-pick currently in progress."));
    assert_eq!(to.status("upstream"), from.status("upstream"));
    for place in [&from, &to] {
        place.command(&["cherry-pick", "--abort"]);
    }
    assert_eq!(to.oid("HEAD"), from.oid("HEAD"));
    assert_ne!(to.oid("HEAD"), start, "Git moves nothing that moved by hand");
}

#[test]
fn one_pick_and_its_abort() {
    let (_lab, from, to) = pair(&[]);
    from.git(&["checkout", "-q", "upstream"]);
    from.stops(&["cherry-pick", "main~2"]);
    to.arrive(&from);
    assert_eq!(to.status("upstream"), from.status("upstream"));
    to.git(&["cherry-pick", "--abort"]);
    assert_eq!((to.oid("HEAD"), to.git(&["status", "--porcelain"])), (from.oid("HEAD"), String::new()));
}

#[test]
fn reverts_go_on_and_go_back() {
    let (_lab, from, to) = pair(&[]);
    let start = from.oid("HEAD");
    from.stops(&["revert", "--no-edit", "HEAD~2", "HEAD~3"]);
    assert_eq!(words(&to.arrive(&from)), ["revert", "prepared commit"]);
    assert_eq!(to.status("main"), from.status("main"));
    to.git(&["revert", "--abort"]);
    assert_eq!((to.oid("HEAD"), to.git(&["status", "--porcelain"])), (start, String::new()));
    to.arrive(&from);
    assert_eq!(to.resolve("revert"), from.resolve("revert"));
}

fn patches(from: &Place) -> Vec<String> {
    from.git(&["format-patch", "-q", "-o", "../patches", "main~4..main"]);
    from.git(&["checkout", "-q", "upstream"]);
    let dir = from.root.with_file_name("patches");
    let mut all: Vec<_> = std::fs::read_dir(dir).expect("patches").map(|entry| entry.expect("one").path().display().to_string()).collect();
    all.sort();
    all
}

#[test]
fn mailed_patches_go_on() {
    let (_lab, from, to) = pair(&[]);
    let patches = patches(&from);
    let args = ["am", "-3", "--signoff", "--keep-cr", "--whitespace=nowarn"];
    from.stops(&args.into_iter().chain(patches.iter().map(String::as_str)).collect::<Vec<_>>());
    assert_eq!(words(&to.arrive(&from))[0], "am");
    assert_eq!(to.status("upstream"), from.status("upstream"));
    assert_eq!(to.resolve("am"), from.resolve("am"));
}

#[test]
fn mailed_patches_are_skipped_and_given_up() {
    let (_lab, from, to) = pair(&[]);
    let patches = patches(&from);
    let start = from.oid("HEAD");
    from.stops(&["am"].into_iter().chain(patches.iter().map(String::as_str)).collect::<Vec<_>>());
    to.arrive(&from);
    for place in [&from, &to] {
        place.stops(&["am", "--skip"]);
    }
    assert_eq!(to.status("upstream"), from.status("upstream"));
    to.git(&["am", "--abort"]);
    assert_eq!((to.oid("HEAD"), to.git(&["status", "--porcelain"])), (start, String::new()));
}

#[test]
fn a_bisection_ends_with_the_same_culprit() {
    for options in formats() {
        let (_lab, from, to) = pair(options);
        from.git(&["bisect", "start", "--term-old=fine", "--term-new=broken", "HEAD", "HEAD~6", "--", "f", "it's"]);
        from.git(&["bisect", "skip"]);
        assert_eq!(words(&to.arrive(&from)), ["bisect"]);
        assert_eq!(to.status("new"), from.status("main"));
        assert_eq!(to.git(&["bisect", "log"]), from.git(&["bisect", "log"]));
        let culprit = |place: &Place| {
            for _ in 0..9 {
                let broken = std::fs::read_to_string(place.root.join("f")).expect("a file").contains("three");
                let said = place.git(&["bisect", if broken { "broken" } else { "fine" }]);
                if let Some(line) = said.lines().find(|line| line.contains("is the first broken commit")) {
                    return line.to_owned();
                }
            }
            panic!("no culprit");
        };
        assert_eq!(culprit(&to), culprit(&from));
        to.git(&["bisect", "reset"]);
        assert_eq!((to.git(&["symbolic-ref", "HEAD"]), to.oid("HEAD")), ("refs/heads/new".to_owned(), from.oid("main")));
        assert_eq!(to.operations(), []);
    }
}

#[test]
fn a_bisection_without_a_checkout_that_waits_for_a_good_commit() {
    let (_lab, from, to) = pair(&[]);
    from.git(&["bisect", "start", "--first-parent", "--no-checkout", "HEAD"]);
    to.arrive(&from);
    for place in [&from, &to] {
        place.git(&["bisect", "good", "main~5"]);
    }
    assert_eq!(to.oid("BISECT_HEAD"), from.oid("BISECT_HEAD"));
}

#[test]
fn a_rebase_within_a_bisection_and_a_pick_within_that() {
    let (_lab, from, to) = pair(&[]);
    from.git(&["bisect", "start", "HEAD", "HEAD~6"]);
    from.git(&["checkout", "-q", "main"]);
    from.stops(&["rebase", "upstream"]);
    from.git(&["checkout", "-q", "--theirs", "f"]);
    from.git(&["add", "-A"]);
    let picked = to.arrive(&from);
    assert_eq!(words(&picked), ["bisect", "rebase", "prepared commit"]);
    assert_eq!(to.status("new"), from.status("main"));
}

#[test]
fn each_work_tree_has_its_own() {
    let (lab, from, to) = pair(&[]);
    from.git(&["worktree", "add", "-q", "../linked", "upstream"]);
    let linked = lab.at("linked");
    from.git(&["bisect", "start", "HEAD", "HEAD~6"]);
    linked.stops(&["merge", "main"]);
    assert_eq!(words(&from.operations()), ["bisect"]);
    assert_eq!(words(&to.arrive(&linked)), ["merge", "prepared commit"]);
    assert_eq!(to.status("upstream"), linked.status("upstream"));
}
