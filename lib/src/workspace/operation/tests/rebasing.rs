//! Rebases, of both backends.

use super::lab::{Lab, Place};
use crate::workspace::name::Name;
use crate::workspace::operation::{Branch, Error, Operation, forget, rebuild};

/// Stopped at its first conflict, with an unsaved change put aside.
pub fn conflict(place: &Place) {
    place.write("one", "dirty");
    place.stops(&["rebase", "-i", "--autostash", "upstream"]);
}

/// It says the same, goes on, and comes to the same commit; on the new branch, and no other one moves.
pub fn goes_on(from: &Place, to: &Place, verb: &str) {
    let refs = |place: &Place| place.git(&["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/remotes"]);
    to.arrive(from);
    assert_eq!(to.status("new"), from.status("main"));
    let before = refs(to);
    let end = from.resolve(verb);
    assert_eq!(to.resolve(verb), end);
    assert_eq!(to.git(&["symbolic-ref", "HEAD"]), "refs/heads/new");
    let others = |text: String| text.lines().filter(|line| !line.ends_with(" refs/heads/new")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(others(refs(to)), others(before));
    assert_eq!(to.git(&["status", "--porcelain"]), from.git(&["status", "--porcelain"]));
}

#[test]
fn main_at_orig_head() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    conflict(&from);
    assert_eq!(to.oid("main"), from.oid("main"));
    goes_on(&from, &to, "rebase");
    assert_eq!(std::fs::read_to_string(to.root.join("one")).expect("the stashed change"), "dirty");
}

#[test]
fn main_at_origin() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    to.git(&["reset", "-q", "--hard", "HEAD~4"]);
    conflict(&from);
    goes_on(&from, &to, "rebase");
}

#[test]
fn main_missing() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    to.git(&["checkout", "-q", "--detach"]);
    to.git(&["branch", "-q", "-D", "main"]);
    conflict(&from);
    goes_on(&from, &to, "rebase");
}

#[test]
fn main_checked_out_elsewhere_and_a_linked_worktree() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let main = lab.clone_of(&from, &[]);
    main.git(&["worktree", "add", "-q", "--detach", "../linked"]);
    conflict(&from);
    goes_on(&from, &lab.at("linked"), "rebase");
    assert_eq!(main.operations(), []);
    assert_eq!(main.git(&["status", "--porcelain"]), "");
}

#[test]
fn abort_goes_back_to_orig_head() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    let orig = from.oid("main");
    conflict(&from);
    to.arrive(&from);
    to.git(&["rebase", "--abort"]);
    assert_eq!((to.git(&["symbolic-ref", "HEAD"]), to.oid("HEAD")), ("refs/heads/new".to_owned(), orig));
    assert_eq!(to.git(&["status", "--porcelain"]), " M one");
}

#[test]
fn skip_and_quit_work_too() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    conflict(&from);
    to.arrive(&from);
    for place in [&from, &to] {
        place.stops(&["rebase", "--skip"]);
    }
    assert_eq!(to.status("new"), from.status("main"));
    to.git(&["rebase", "--quit"]);
    assert_eq!(to.operations().iter().map(Operation::word).collect::<Vec<_>>(), ["prepared commit"], "Git leaves that");
    assert_eq!(to.git(&["stash", "list"]), "stash@{0}: autostash");
}

#[test]
fn the_own_branch_only_where_it_stands_and_nobody_has_it() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    to.git(&["checkout", "-q", "--detach"]);
    conflict(&from);
    let operations = from.operations();
    to.take(&from);
    to.git(&["worktree", "add", "-q", "../other", "main"]);
    let repo = to.repository();
    let refused = |repo| match rebuild(repo, &operations, Branch::Own) {
        Err(Error::Branch { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    assert!(refused(&repo).contains("checked out in"));
    // Git itself would not give it away then either.
    lab.at("other").stops(&["rebase", "upstream", "--onto", "origin/upstream"]);
    assert!(refused(&repo).contains("checked out in") || refused(&repo).contains("another operation"), "{}", refused(&repo));
    lab.at("other").command(&["rebase", "--abort"]);
    to.git(&["worktree", "remove", "--force", "../other"]);
    to.git(&["update-ref", "refs/heads/main", "main~1"]);
    assert!(refused(&repo).contains("it stands at"));
    to.git(&["update-ref", "refs/heads/main", &from.oid("main")]);
    rebuild(&repo, &operations, Branch::Own).expect("its own branch");
    assert_eq!(to.status("main"), from.status("main"));
    assert_eq!(to.resolve("rebase"), from.resolve("rebase"));
    assert_eq!(to.git(&["symbolic-ref", "HEAD"]), "refs/heads/main");
}

#[test]
fn without_a_branch_it_ends_detached() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    from.git(&["checkout", "-q", "--detach"]);
    conflict(&from);
    to.arrive(&from);
    assert_eq!(to.status("new"), from.status("main"));
    assert_eq!(to.resolve("rebase"), from.resolve("rebase"));
    to.stops(&["symbolic-ref", "-q", "HEAD"]);
}

#[test]
fn the_apply_backend() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    from.write("one", "dirty");
    from.stops(&["rebase", "--apply", "--autostash", "upstream"]);
    goes_on(&from, &to, "rebase");
}

#[test]
fn the_apply_backend_aborts() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    let orig = from.oid("main");
    from.stops(&["rebase", "--apply", "upstream"]);
    to.arrive(&from);
    to.git(&["rebase", "--abort"]);
    assert_eq!((to.git(&["symbolic-ref", "HEAD"]), to.oid("HEAD")), ("refs/heads/new".to_owned(), orig));
}

#[test]
fn sha256() {
    let lab = Lab::new();
    let from = lab.begin(&["--object-format=sha256"]);
    let to = lab.clone_of(&from, &[]);
    conflict(&from);
    goes_on(&from, &to, "rebase");
}

#[test]
fn from_files_to_a_reftable_and_back() {
    if !crate::workspace::restore::fixture::has_reftable() {
        return;
    }
    for (here, there) in [("files", "reftable"), ("reftable", "files")] {
        let lab = Lab::new();
        let from = lab.begin(&[&format!("--ref-format={here}")]);
        let to = lab.clone_of(&from, &[&format!("--ref-format={there}")]);
        from.stops(&["rebase", "--rebase-merges", "upstream"]);
        goes_on(&from, &to, "rebase");
    }
}

#[test]
fn update_refs_moves_only_what_stands_here_as_there() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    from.git(&["branch", "middle", "HEAD~2"]);
    from.git(&["branch", "other", "HEAD~3"]);
    to.git(&["branch", "middle", "HEAD~2"]);
    to.git(&["branch", "other", "HEAD"]);
    let other = to.oid("other");
    from.stops(&["rebase", "--update-refs", "upstream"]);
    let operations = from.operations();
    to.take(&from);
    to.git(&["branch", "new", &from.oid("main")]);
    let rebuilt = to.rebuild(&operations, Branch::New(Name::new("refs/heads/new")));
    assert_eq!(rebuilt.left_out, [Name::new("refs/heads/other")]);
    assert_eq!(to.resolve("rebase"), from.resolve("rebase"));
    assert_eq!((to.oid("middle"), to.oid("other")), (from.oid("middle"), other));
}

#[test]
fn what_begins_later_is_not_forgotten() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    conflict(&from);
    let operations = to.arrive(&from);
    to.git(&["rebase", "--abort"]);
    to.git(&["checkout", "-q", "-f", "-b", "mine", "HEAD~1"]);
    to.stops(&["rebase", "origin/upstream"]);
    let mine = to.operations();
    forget(&to.repository(), &operations).expect("forgotten");
    assert_eq!(to.operations().first().map(Operation::word), mine.first().map(Operation::word));
}
