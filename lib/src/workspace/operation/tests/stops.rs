//! The places where an interactive rebase stops.

use super::lab::{Lab, Place};
use super::rebasing::goes_on;
use crate::workspace::name::Name;
use crate::workspace::operation::{Branch, Operation};

fn sequence(place: &Place, script: &str) -> Place {
    place.with("GIT_SEQUENCE_EDITOR", &format!("sed -i {script}"))
}

fn goes_on_here(from: &Place, to: &Place) {
    assert_eq!(to.status("new"), from.status("main"));
    assert_eq!(to.resolve("rebase"), from.resolve("rebase"));
}

#[test]
fn a_stop_for_an_edit() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    sequence(&from, "-e 2s/^pick/edit/ -e 3s/^pick/reword/").git(&["rebase", "-i", "--signoff", "HEAD~4"]);
    to.arrive(&from);
    assert!(from.status("main").contains("You are currently editing a commit while rebasing branch 'BRANCH'"));
    for place in [&from, &to] {
        place.write("more", "amended");
    }
    goes_on_here(&from, &to);
}

#[test]
fn in_the_middle_of_a_chain_of_fixups() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    for (n, line) in ["x", "y", "z"].iter().enumerate() {
        from.commit("g", &format!("{line}\n"), &format!("g {n}"));
    }
    // The third is taken before the second, so that it meets it.
    let script = "-e 2s/^pick/squash/ -e 4s/^pick/fixup/ -e '3{h;d}' -e '4{G;s/pick/squash/}'";
    sequence(&from, script).stops(&["rebase", "-i", "HEAD~4"]);
    let operations = from.operations();
    let Some(Operation::Rebase(rebase)) = operations.first() else { panic!("{operations:?}") };
    assert!(!rebase.fixups.is_empty() && rebase.message_squash.is_some(), "{rebase:?}");
    let file = |place: &Place, name: &str| std::fs::read(place.git_dir().join("rebase-merge").join(name)).expect(name);
    to.arrive(&from);
    for name in ["current-fixups", "message-squash", "author-script", "git-rebase-todo", "done", "msgnum", "end", "rewritten-pending"] {
        assert_eq!(String::from_utf8_lossy(&file(&to, name)), String::from_utf8_lossy(&file(&from, name)), "{name}");
    }
    goes_on_here(&from, &to);
    assert_eq!(to.git(&["log", "-1", "--format=%B", "HEAD"]), from.git(&["log", "-1", "--format=%B", "HEAD"]));
}

#[test]
fn merges_with_labels() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    from.git(&["checkout", "-q", "-b", "side", "HEAD~1"]);
    from.commit("side", "side\n", "on the side");
    from.git(&["checkout", "-q", "main"]);
    from.git(&["merge", "-q", "-m", "both", "side"]);
    from.commit("last", "last\n", "last");
    sequence(&from, "-e '/^merge/ibreak'").git(&["rebase", "-i", "--rebase-merges", "--signoff", "--no-ff", "HEAD~5"]);
    let Some(Operation::Rebase(rebase)) = from.operations().into_iter().next() else { panic!("no rebase") };
    assert!(!rebase.labels.is_empty());
    goes_on(&from, &to, "rebase");
    assert_eq!(to.git(&["rev-list", "--merges", "--count", "HEAD"]), "1");
    assert_eq!(to.git(&["for-each-ref", "refs/rewritten"]), "");
}

#[test]
fn a_commit_that_is_being_split() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    sequence(&from, "-e 1s/^pick/edit/").git(&["rebase", "-i", "HEAD~2"]);
    from.git(&["reset", "-q", "HEAD~1"]);
    to.arrive(&from);
    assert!(from.status("main").contains("You are currently splitting a commit"));
    assert_eq!(to.status("new"), from.status("main"));
    for place in [&from, &to] {
        place.git(&["add", "three"]);
        place.git(&["commit", "-q", "-m", "first half"]);
        place.git(&["add", "f"]);
        place.git(&["commit", "-q", "-m", "second half"]);
    }
    assert_eq!(to.resolve("rebase"), from.resolve("rebase"));
}

#[test]
fn a_pick_that_became_empty() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    from.git(&["checkout", "-q", "upstream"]);
    from.commit("solo", "same", "there");
    from.git(&["checkout", "-q", "main"]);
    from.commit("solo", "same", "here");
    from.commit("last", "last", "last");
    // 'stop' is its name since 2.45.
    from.stops(&["rebase", "--empty=ask", "--reapply-cherry-picks", "--onto", "upstream", "HEAD~2"]);
    let words: Vec<_> = to.arrive(&from).iter().map(Operation::word).collect();
    assert_eq!(words, ["rebase", "cherry-pick", "prepared commit"]);
    assert_eq!(to.status("new"), from.status("main"));
    for place in [&from, &to] {
        place.git(&["rebase", "--skip"]);
    }
    assert_eq!((to.oid("HEAD"), to.oid("HEAD~1")), (from.oid("HEAD"), from.oid("upstream")));
}

#[test]
fn the_whole_history_with_all_that_can_be_asked_for() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    let options =
        ["--signoff", "--rerere-autoupdate", "-v", "--reschedule-failed-exec", "--committer-date-is-author-date", "-Xignore-all-space"];
    sequence(&from, "-e 2s/^pick/edit/").git(&[&["rebase", "-i", "--root"], &options[..]].concat());
    goes_on(&from, &to, "rebase");
}

#[test]
fn a_command_that_the_user_was_shown_runs_and_is_tried_again() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    from.stops(&["rebase", "--reschedule-failed-exec", "--exec", "test -e go && echo ran >> out", "HEAD~2"]);
    let operations = from.operations();
    assert_eq!(operations[0].runs(), ["exec test -e go && echo ran >> out"; 2]);
    to.arrive(&from);
    assert_eq!(to.status("new"), from.status("main"));
    let info = to.git_dir().join("info/exclude");
    std::fs::write(info, "go\nout\n").expect("written");
    to.write("go", "");
    to.git(&["rebase", "--continue"]);
    assert_eq!(std::fs::read_to_string(to.root.join("out")).expect("it ran"), "ran\nran\n");
}

#[test]
fn another_comment_character_and_abbreviations_there() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    from.git(&["config", "core.commentChar", ";"]);
    sequence(&from, "-e 1ibreak").git(&["rebase", "-i", "upstream"]);
    let todo = from.git_dir().join("rebase-merge/git-rebase-todo");
    let text = std::fs::read_to_string(&todo).expect("a todo");
    let brief = |line: &str| format!("p {}{}\n\n; a remark\n", &line[5..14], &line[45..]);
    let short: String = text.lines().filter(|line| line.starts_with("pick ")).map(brief).collect();
    assert_ne!(short, "");
    std::fs::write(&todo, short).expect("written");
    to.arrive(&from);
    assert_eq!(to.resolve("rebase"), from.resolve("rebase"));
}

#[test]
fn a_branch_that_is_not_there_makes_no_half_state() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    from.stops(&["rebase", "upstream"]);
    to.take(&from);
    let before = to.status("main");
    let answer = crate::workspace::operation::rebuild(&to.repository(), &from.operations(), Branch::New(Name::new("refs/heads/none")));
    assert!(answer.is_err());
    assert_eq!((to.status("main"), to.operations()), (before, vec![]));
}
