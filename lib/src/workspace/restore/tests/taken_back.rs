//! `Undo`, and the work tree that is there already.

use super::*;

type Everything = (BTreeMap<PathBuf, (u32, Vec<u8>)>, String, String, Vec<String>, Vec<u8>, String);

/// All of a repository that a restore could have changed, but objects.
fn everything(case: &Case, tree: &str) -> Everything {
    let config = fs::read(case.place.path(tree).join(".git/config")).expect("there");
    (
        listing(&case.place.path(tree)),
        case.status(tree),
        case.place.git(tree, &["for-each-ref"]),
        case.index(tree),
        config,
        case.place.git(tree, &["worktree", "list", "--porcelain"]),
    )
}

fn here(branch: bool) -> Destination {
    Destination::Here { branch, home: None }
}

#[test]
fn a_worktree_and_its_branch_go_without_a_trace() {
    let mut case = Case::new(&[]);
    case.place.git("src", &["checkout", "-q", "-b", "topic"]);
    case.place.commit("src", "new", "new\n");
    case.pack("main");
    case.model.head.branch = Some(Name::new("refs/heads/topic"));
    case.model.upstream = Some(Upstream { remote: Name::new("origin"), merge: Name::new("refs/heads/main"), commit: None });
    dirty(&mut case);
    let before = everything(&case, "dst");
    let repo = case.dst();
    let (undo, _) = case.restore(&repo, &case.new_at(true)).expect("restored");
    assert_ne!(everything(&case, "dst"), before);
    assert_eq!(undo.undo(&repo, false).expect("taken back"), Undone::default());
    assert_eq!(everything(&case, "dst"), before);
    assert!(!case.place.path("new tree").exists() && !case.place.path("backup").exists());
    undo.undo(&repo, false).expect("nothing is left to do");
    // And again, from the beginning.
    case.restore(&repo, &case.new_at(true)).expect("restored again");
}

#[test]
fn what_was_done_there_since_is_not_taken_away() {
    let mut case = Case::new(&[]);
    dirty(&mut case);
    let repo = case.dst();
    let used = |case: &Case, undo: &Undo| matches!(undo.undo(&repo, false), Err(Error::Used(_))) && case.place.path("new tree").exists();
    let (undo, _) = case.restore(&repo, &case.new_at(false)).expect("restored");
    case.place.git("new tree", &["status"]);
    case.place.write("new tree/e", "e\n");
    assert!(used(&case, &undo), "a file more");
    undo.undo(&repo, true).expect("asked for");
    let (undo, _) = case.restore(&repo, &case.new_at(false)).expect("restored");
    case.place.write("new tree/deep/er/and/er", "\r\n\0binary!");
    assert!(used(&case, &undo), "an untracked file of other content");
    undo.undo(&repo, true).expect("asked for");
    let (undo, _) = case.restore(&repo, &case.new_at(false)).expect("restored");
    case.place.git("new tree", &["add", "dangling"]);
    assert!(used(&case, &undo), "the index");
    undo.undo(&repo, true).expect("asked for");
    case.place.git("dst", &["checkout", "-q", "--detach"]);
    case.place.git("dst", &["branch", "-q", "-D", "main"]);
    let (undo, _) = case.restore(&repo, &case.new_at(true)).expect("restored");
    case.place.git("new tree", &["commit", "-q", "--no-verify", "-m", "work"]);
    assert!(used(&case, &undo), "a commit");
    assert_eq!(undo.undo(&repo, true).expect("asked for").kept, [Name::new("refs/heads/main")]);
    assert!(case.place.git("dst", &["log", "-1", "--format=%s", "main"]).contains("work"), "commits are never thrown away");
}

#[test]
fn here_and_back_again() {
    let mut case = Case::new(&[]);
    case.place.git("src", &["checkout", "-q", "-b", "topic"]);
    case.place.commit("src", "new", "new\n");
    case.place.git("src", &["rm", "-q", "dir/c"]);
    case.place.git("src", &["commit", "-q", "-m", "less"]);
    case.pack("main");
    case.place.git("src", &["checkout", "-q", "main", "--", "dir/c"]);
    case.entry("dir/c", "c\n");
    case.place.git("src", &["rm", "-q", "new"]);
    case.model.unindexed.push(Name::new("new"));
    case.model.head.branch = Some(Name::new("refs/heads/topic"));
    dirty(&mut case);
    unmerged(&mut case);
    case.place.write("dst/unrelated/file", "mine\n");
    let before = everything(&case, "dst");
    let repo = case.dst();
    for branch in [true, false] {
        let (undo, _) = case.restore(&repo, &here(branch)).expect("restored");
        fs::remove_dir_all(case.place.path("dst/unrelated")).expect("left alone");
        assert_eq!(listing(&case.place.path("dst")), listing(&case.place.path("src")));
        assert_eq!(case.index("dst"), case.index("src"));
        let head = if branch { "# branch.head topic\n" } else { "# branch.head (detached)\n" };
        assert!(case.status("dst").contains(head));
        assert!(matches!(undo.undo(&repo, false), Err(Error::Used(_))), "a file is gone since");
        case.place.write("dst/unrelated/file", "mine\n");
        undo.undo(&repo, true).expect("taken back");
        assert_eq!(everything(&case, "dst"), before);
    }
    let (undo, _) = case.restore(&repo, &here(false)).expect("restored");
    undo.undo(&repo, false).expect("taken back");
    assert_eq!(everything(&case, "dst"), before);
}

#[test]
fn here_only_where_nothing_is_lost() {
    let mut case = Case::new(&[]);
    case.file(b"untracked", b"theirs\n", 0o644);
    case.file(b"new/file", b"theirs\n", 0o644);
    let repo = case.dst();
    let refused = |case: &Case| {
        let before = everything(case, "dst");
        let error = case.restore(&repo, &here(false)).expect_err("refused").to_string();
        assert_eq!(everything(case, "dst"), before);
        error
    };
    case.place.write("dst/a", "changed\n");
    assert!(refused(&case).contains("changes ('a')"));
    case.place.git("dst", &["checkout", "-q", "a"]);
    case.place.write("dst/untracked", "mine\n");
    assert!(refused(&case).contains("'untracked' is in the way"));
    fs::remove_file(case.place.path("dst/untracked")).expect("there");
    case.place.write("dst/new", "a file, ignored\n");
    case.place.write("dst/.git/info/exclude", "new\n");
    assert!(refused(&case).contains("'new' is in the way"));
    fs::remove_file(case.place.path("dst/new")).expect("there");
    case.place.write("dst/.git/MERGE_HEAD", "x\n");
    assert!(refused(&case).contains("a merge is in progress"));
    fs::remove_file(case.place.path("dst/.git/MERGE_HEAD")).expect("there");
    case.file(b"e", b"theirs\n", 0o644);
    case.place.git("dst", &["update-index", "--assume-unchanged", "e"]);
    case.place.write("dst/e", "hidden work\n");
    assert!(refused(&case).contains("'e' is in the way"));
    let bare = case.place.open(&case.place.path("up"));
    assert!(matches!(case.restore(&bare, &here(false)), Err(Error::NoWorkTree)));
}

/// Stops after each step, as a process that is killed does, and takes back what there is.
#[test]
fn stopped_anywhere_it_can_be_taken_back_and_done_again() {
    let mut case = Case::new(&[]);
    case.place.git("src", &["checkout", "-q", "-b", "topic"]);
    case.place.commit("src", "new", "new\n");
    case.pack("main");
    case.model.head.branch = Some(Name::new("refs/heads/topic"));
    dirty(&mut case);
    case.place.write("dst/unrelated", "mine\n");
    let before = everything(&case, "dst");
    let repo = case.dst();
    for to in [case.new_at(true), here(true)] {
        // A file that is not there any more stops it in the middle of the files.
        for n in [1, 4, 9] {
            let staged = case.place.path("staged").join(FILES).join(n.to_string());
            let aside = case.place.path("aside");
            let made = plan(&repo, &case.model, &case.place.path("staged"), &to, &case.options()).expect("a plan");
            let undo = prepare(&made).expect("prepared");
            fs::rename(&staged, &aside).expect("there");
            apply(&made, &undo, &|_, _| Ok(())).expect_err("stopped");
            fs::rename(&aside, &staged).expect("there");
            undo.undo(&repo, false).expect("taken back");
            assert_eq!(everything(&case, "dst"), before);
        }
        let (undo, _) = case.restore(&repo, &to).expect("restored");
        // Everything is done but the last word.
        fs::remove_file(case.place.path("backup/stamp")).expect("written");
        undo.undo(&repo, false).expect("taken back");
        assert_eq!(everything(&case, "dst"), before);
    }
    // Killed inside a Git that held the index.
    let (undo, _) = case.restore(&repo, &here(true)).expect("restored");
    fs::remove_file(case.place.path("backup/stamp")).expect("written");
    case.place.write("dst/.git/index.lock", "");
    fs::remove_file(case.place.path("dst/in tent")).expect("there");
    undo.undo(&repo, false).expect("taken back");
    assert_eq!(everything(&case, "dst"), before);
    // Killed in `git worktree add`, and in the middle of an undo.
    let (undo, _) = case.restore(&repo, &case.new_at(true)).expect("restored");
    fs::remove_file(case.place.path("new tree/.git")).expect("there");
    fs::remove_file(case.place.path("new tree/a")).expect("there");
    assert!(matches!(undo.undo(&repo, false), Err(Error::Used(_))));
    fs::write(case.place.path("backup/undoing"), "").expect("writable");
    undo.undo(&repo, false).expect("taken back");
    assert_eq!(everything(&case, "dst"), before);
}

#[test]
fn an_operation_goes_with_the_work_tree_that_it_was_put_in() {
    let case = Case::new(&[]);
    case.place.write("dst/.git/SQUASH_MSG", "from before\n");
    let before = everything(&case, "dst");
    let repo = case.dst();
    let made = plan(&repo, &case.model, &case.place.path("staged"), &here(false), &case.options()).expect("a plan");
    let undo = prepare(&made).expect("prepared");
    let git_dir = &repo.git_dir;
    apply(&made, &undo, &|_, _| Ok(())).expect("restored");
    // As `rebuild` would leave it.
    for (file, text) in [("MERGE_HEAD", "x"), ("MERGE_MSG", "x"), ("rebase-merge/done", "x"), ("SQUASH_MSG", "from before\n")] {
        fs::create_dir_all(git_dir.join(file).parent().expect("has one")).expect("writable");
        fs::write(git_dir.join(file), text).expect("writable");
    }
    undo.undo(&repo, true).expect("taken back");
    for file in ["MERGE_HEAD", "MERGE_MSG", "rebase-merge"] {
        assert!(!git_dir.join(file).exists(), "{file}");
    }
    assert!(git_dir.join("SQUASH_MSG").exists());
    assert_eq!(everything(&case, "dst"), before);
}

#[test]
fn here_with_no_commit_and_back() {
    let mut case = Case::new(&[]);
    case.model.head = Head { branch: Some(Name::new("refs/heads/fresh")), commit: None };
    case.model.prerequisites.clear();
    case.entry("first", "first\n");
    case.file(b"dir/second", b"second\n", 0o644);
    let before = everything(&case, "dst");
    let repo = case.dst();
    let (undo, _) = case.restore(&repo, &here(false)).expect("restored");
    let status = case.status("dst");
    assert!(status.contains("# branch.oid (initial)\n# branch.head fresh\n1 A. "), "{status}");
    assert_eq!(listing(&case.place.path("dst")).len(), 3);
    undo.undo(&repo, false).expect("taken back");
    assert_eq!(everything(&case, "dst"), before);
}

#[test]
fn a_worktree_that_was_moved_is_left_alone() {
    let case = Case::new(&[]);
    case.place.git("dst", &["checkout", "-q", "--detach"]);
    case.place.git("dst", &["branch", "-q", "-D", "main"]);
    let repo = case.dst();
    let (mut undo, _) = case.restore(&repo, &case.new_at(true)).expect("restored");
    let commit = Name::new(case.place.oid("dst", "HEAD").0.to_string());
    case.place.git("dst", &["branch", "for-a-rebase"]);
    case.place.git("dst", &["branch", "moved-on", "HEAD~1"]);
    undo.refs = ["refs/heads/for-a-rebase", "refs/heads/moved-on", "refs/heads/never-made"]
        .map(|name| Made { name: Name::new(name), at: commit.clone() })
        .into();
    case.place.git("dst", &["worktree", "move", "../new tree", "../elsewhere"]);
    let undone = undo.undo(&repo, false).expect("what there is to do");
    assert_eq!(undone.kept, [Name::new("refs/heads/moved-on"), Name::new("refs/heads/main")]);
    assert!(case.status("elsewhere").contains("# branch.head main\n"));
    assert!(!case.place.git("dst", &["for-each-ref"]).contains("for-a-rebase"));
}
