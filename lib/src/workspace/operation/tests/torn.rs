//! What a crash, a full disk or another Git in the way leaves behind, and what reading costs.

use std::fs;

use super::lab::Lab;
use crate::workspace::operation::{Branch, forget, read, rebuild};

#[test]
fn where_nothing_is_in_progress_no_program_is_started() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let mut repo = from.repository();
    repo.git = repo.git.env("PATH", "/nonexistent");
    assert_eq!(read(&repo).expect("files alone"), []);
    from.stops(&["merge", "upstream"]);
    assert!(read(&repo).is_err(), "it is asked when there is something");
}

#[test]
fn reading_changes_nothing() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    from.stops(&["rebase", "-i", "upstream"]);
    let all = || {
        let mut found = Vec::new();
        let mut dirs = vec![from.git_dir()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).expect("a directory") {
                let (path, meta) = entry.map(|entry| (entry.path(), entry.metadata().expect("metadata"))).expect("an entry");
                dirs.extend(meta.is_dir().then(|| path.clone()));
                found.push((path, meta.modified().expect("a time"), meta.len()));
            }
        }
        found.sort();
        found
    };
    let before = all();
    from.operations();
    assert_eq!(all(), before);
}

#[test]
fn a_failure_on_the_way_takes_everything_back() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    from.git(&["checkout", "-q", "upstream"]);
    from.stops(&["cherry-pick", "main~4..main"]);
    to.take(&from);
    let operations = from.operations();
    // The last thing that is written.
    let lock = to.git_dir().join("CHERRY_PICK_HEAD.lock");
    fs::write(&lock, "").expect("a lock");
    assert!(rebuild(&to.repository(), &operations, Branch::Detached).is_err());
    fs::remove_file(lock).expect("removed");
    for name in ["sequencer", "MERGE_MSG", "CHERRY_PICK_HEAD"] {
        assert!(!to.git_dir().join(name).exists(), "{name}");
    }
    to.rebuild(&operations, Branch::Detached);
    assert_eq!(to.resolve("cherry-pick"), from.resolve("cherry-pick"));
}

#[test]
fn what_a_crash_left_is_cleared_away() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    from.git(&["bisect", "start", "HEAD", "HEAD~6"]);
    from.git(&["checkout", "-q", "main"]);
    from.stops(&["rebase", "--rebase-merges", "upstream"]);
    to.take(&from);
    let operations = from.operations();
    to.rebuild(&operations, Branch::Detached);
    let dir = to.git_dir();
    // As if it had ended before the last steps.
    fs::rename(dir.join("rebase-merge"), dir.join(".samesession-rebase-merge")).expect("renamed");
    fs::remove_file(dir.join("BISECT_START")).expect("removed");
    forget(&to.repository(), &operations).expect("forgotten");
    forget(&to.repository(), &operations).expect("once more");
    let names = fs::read_dir(&dir).expect("a directory").map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let left: Vec<_> =
        names.filter(|name| ["BISECT", "rebase", "REBASE", "MERGE", "samesession"].iter().any(|part| name.contains(part))).collect();
    assert_eq!(left, [""; 0]);
    assert_eq!(to.git(&["for-each-ref", "refs/bisect", "refs/rewritten"]), "");
}

#[test]
fn a_stash_that_waits_is_kept_from_being_collected() {
    for (verb, args) in [("rebase", &["rebase"][..]), ("rebase", &["rebase", "--apply"]), ("merge", &["merge"])] {
        let lab = Lab::new();
        let from = lab.begin(&[]);
        let to = lab.clone_of(&from, &[]);
        from.write("one", "dirty");
        from.stops(&[args, &["--autostash", "upstream"]].concat());
        to.arrive(&from);
        to.git(&["gc", "-q", "--prune=now"]);
        // It is not carried on as something that the user has set.
        assert_eq!(to.operations()[0].objects().len(), from.operations()[0].objects().len());
        assert_eq!(to.resolve(verb), from.resolve(verb));
        assert_eq!(fs::read_to_string(to.root.join("one")).expect("the stashed change"), "dirty");
        let kept = to.git(&["for-each-ref", "refs/rewritten", "refs/worktree"]);
        assert_eq!(kept.is_empty(), args == ["rebase"], "{kept}");
    }
}

#[test]
fn what_is_forgotten_leaves_no_ref() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    from.write("one", "dirty");
    from.stops(&["merge", "--autostash", "upstream"]);
    let operations = to.arrive(&from);
    forget(&to.repository(), &operations).expect("forgotten");
    assert_eq!(to.git(&["for-each-ref", "refs/worktree"]), "");
    assert_eq!(to.operations(), []);
}
