//! Rebases, of both backends.

use super::lab::{Lab, Place};
use crate::workspace::name::Name;
use crate::workspace::operation::{Branch, Error, Operation, forget, rebuild};

/// Stopped at its first conflict, with an unsaved change put aside.
fn conflict(place: &Place) {
    place.write("one", "dirty");
    place.stops(&["rebase", "-i", "--autostash", "upstream"]);
}

fn sequence(place: &Place, script: &str) -> Place {
    place.with("GIT_SEQUENCE_EDITOR", &format!("sed -i {script}"))
}

/// It says the same, goes on, and comes to the same commit; on the new branch, and no other one moves.
fn goes_on(from: &Place, to: &Place, verb: &str) {
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

fn goes_on_here(from: &Place, to: &Place) {
    assert_eq!(to.status("new"), from.status("main"));
    assert_eq!(to.resolve("rebase"), from.resolve("rebase"));
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
