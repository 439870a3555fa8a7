//! Destinations of every kind.

use super::*;

#[test]
fn a_branch_that_is_taken_leaves_head_detached_and_says_so() {
    let case = Case::new(&[]);
    let repo = case.dst();
    let plan = plan(&repo, &case.model, &case.place.path("staged"), &case.new_at(true), &case.options()).expect("a plan");
    assert_eq!((&plan.branch, &plan.taken), (&Branch::Detached, &Some(Name::new("refs/heads/main"))), "the main work tree is on it");
    // Where it stands at the commit and nobody is on it, it is taken as it is.
    case.place.git("dst", &["checkout", "-q", "-b", "other"]);
    let (undo, _) = case.restore(&repo, &case.new_at(true)).expect("restored");
    assert_eq!(undo.branch, Branch::There { name: Name::new("refs/heads/main") });
    assert!(case.status("new tree").contains("# branch.head main\n"));
    undo.undo(&repo, false).expect("taken back");
    assert_eq!(case.place.oid("dst", "main"), case.place.oid("src", "main"), "not ours to delete");
    // It stands elsewhere, or a name below it is in use.
    case.place.git("dst", &["branch", "-f", "main", "HEAD~1"]);
    let (undo, _) = case.restore(&repo, &case.new_at(true)).expect("restored");
    assert_eq!(undo.branch, Branch::Detached);
    undo.undo(&repo, false).expect("taken back");
    case.place.git("dst", &["branch", "-m", "main", "main/below"]);
    let (undo, _) = case.restore(&repo, &case.new_at(true)).expect("restored");
    assert_eq!(undo.branch, Branch::Detached);
}

#[test]
fn an_unborn_branch() {
    let mut case = Case::new(&[]);
    case.model.head.commit = None;
    case.model.prerequisites.clear();
    case.model.identity.roots.clear();
    case.entry("first", "first\n");
    case.file(b"second", b"second\n", 0o644);
    let repo = case.dst();
    let (undo, _) = case.restore(&repo, &case.new_at(false)).expect("restored");
    assert_eq!(undo.branch, Branch::Unborn { name: Name::new("refs/heads/main-2") });
    let status = case.status("new tree");
    assert!(status.contains("# branch.oid (initial)\n# branch.head main-2\n1 A. "), "{status}");
    assert_eq!(listing(&case.place.path("new tree")).len(), 2);
    assert_eq!(case.place.git("new tree", &["rev-list", "--count", "--reflog"]), case.place.git("dst", &["rev-list", "--count", "main"]));
    undo.undo(&repo, false).expect("taken back");
    // Somebody makes the branch in between: nobody is put on it.
    let plan = plan(&repo, &case.model, &case.place.path("staged"), &case.new_at(false), &case.options()).expect("a plan");
    let undo = prepare(&plan).expect("readable");
    case.place.git("dst", &["branch", "main-2"]);
    let failed = apply(&plan, &undo, &|_, _| Ok(()));
    assert!(matches!(&failed, Err(Error::BranchMade(name)) if *name == Name::new("refs/heads/main-2")), "{failed:?}");
    undo.undo(&repo, false).expect("taken back");
    assert!(!case.place.path("new tree").exists());
    assert_eq!(case.place.oid("dst", "main-2"), case.place.oid("dst", "main"), "it is somebody's");
    // In a repository that has no commit either.
    case.place.repo("none", &[]);
    let none = case.place.open(&case.place.path("none"));
    case.model.head.branch = Some(Name::new("refs/heads/fresh"));
    case.model.index.clear();
    case.restore(&none, &case.new_at(false)).expect("restored");
    assert!(case.status("new tree").contains("# branch.head fresh\n? second\n"));
}

#[test]
fn what_is_missing_is_fetched_and_a_shallow_clone_is_deepened_by_one() {
    let mut case = Case::new(&[]);
    case.place.commit("src", "later", "later\n");
    case.place.git("src", &["push", "-q"]);
    case.place.commit("src", "local", "local\n");
    let url = format!("file://{}", case.place.path("up").display());
    case.settle();
    case.pack("origin/main~1");
    // A whole clone that is behind: it stays whole, and no ref of the user's moves.
    case.model.prerequisites[0].commit = case.place.oid("src", "origin/main");
    case.pack("origin/main");
    let before = case.place.git("dst", &["for-each-ref"]);
    let repo = case.dst();
    let plan = plan(&repo, &case.model, &case.place.path("staged"), &case.new_at(false), &case.options()).expect("a plan");
    assert_eq!(plan.missing.len(), 1);
    assert_eq!(plan.sources, ["origin"]);
    let (undo, _) = case.restore(&repo, &case.new_at(false)).expect("restored");
    assert_eq!(case.place.git("dst", &["for-each-ref"]), before);
    assert_eq!(case.place.git("dst", &["rev-parse", "--is-shallow-repository"]), "false\n");
    assert!(!case.place.path("dst/.git/FETCH_HEAD").exists());
    assert_eq!(listing(&case.place.path("new tree")), listing(&case.place.path("src")));
    undo.undo(&repo, false).expect("taken back");
    // A shallow one whose boundary is another commit.
    case.place.git("src", &["push", "-q", "origin", "main~3:refs/heads/old"]);
    case.place.git("", &["clone", "-q", "--depth=1", "--branch=old", &url, "shallow"]);
    let shallow = case.place.open(&case.place.path("shallow"));
    let count = || case.place.git("shallow", &["rev-list", "--count", "--all"]);
    assert_eq!(count(), "1\n");
    case.restore(&shallow, &case.new_at(false)).expect("restored");
    assert_eq!(listing(&case.place.path("new tree")), listing(&case.place.path("src")));
    assert_eq!(case.place.git("new tree", &["rev-list", "--count", "HEAD"]), "2\n", "the local commit and what it leans on");
}

#[test]
fn what_cannot_be_had_is_named() {
    let mut case = Case::new(&[]);
    case.place.commit("src", "never pushed", "x\n");
    case.settle();
    let commit = case.place.oid("src", "HEAD");
    let error = case.restore(&case.dst(), &case.new_at(false)).expect_err("missing");
    assert!(matches!(error, Error::Missing { commit: named, .. } if named == commit), "{error}");
    assert!(!case.place.path("new tree").exists());
    case.place.git("dst", &["remote", "remove", "origin"]);
    let error = case.restore(&case.dst(), &case.new_at(false)).expect_err("missing").to_string();
    assert!(error.contains("no remote to ask"), "{error}");
}

#[test]
fn another_repository_is_refused_with_the_evidence() {
    let case = Case::new(&[]);
    case.place.repo("other", &[]);
    case.place.commit("other", "x", "other\n");
    let other = case.place.open(&case.place.path("other"));
    let error = case.restore(&other, &case.new_at(false)).expect_err("another one").to_string();
    assert!(
        error.contains(&case.model.identity.roots[0].0.to_string()) && error.contains(&case.place.oid("other", "HEAD").0.to_string()),
        "{error}"
    );
    let mut options = case.options();
    options.force_repository = true;
    assert!(matches!(case.restore_with(&other, &case.new_at(false), &options), Err(Error::Missing { .. })));
    case.place.git("other", &["remote", "add", "origin", case.place.path("up").to_str().expect("text")]);
    case.restore_with(&case.place.open(&case.place.path("other")), &case.new_at(false), &options).expect("restored");
    case.place.repo("long", &["--object-format=sha256"]);
    assert!(matches!(
        case.restore_with(&case.place.open(&case.place.path("long")), &case.new_at(false), &options),
        Err(Error::OtherFormat { .. })
    ));
}

#[test]
fn bare_and_linked_and_odd_places() {
    let mut case = Case::new(&[]);
    dirty(&mut case);
    let up = case.place.open(&case.place.path("up"));
    let staged = case.place.oid("src", ":a").0.to_string();
    case.place.git("up", &["fetch", "-q", &case.place.path("dst").display().to_string()]);
    // The blob comes with no pack in this test.
    fs::write(case.place.path("blob"), "staged\n").expect("writable");
    assert_eq!(case.place.git("up", &["hash-object", "-w", "../blob"]).trim(), staged);
    let (undo, _) = case.restore(&up, &case.new_at(false)).expect("from a bare repository");
    assert_eq!(listing(&case.place.path("new tree")), listing(&case.place.path("src")));
    undo.undo(&up, false).expect("taken back");
    case.place.git("dst", &["worktree", "add", "-q", "-b", "w", "../linked tree"]);
    let linked = case.place.open(&case.place.path("linked tree"));
    let odd = case.place.path("").join(Name::new(&b"o'd d\n\xff-\"x"[..]).as_path()).join("-t");
    let (undo, _) = case.restore(&linked, &Destination::New { at: odd.clone(), branch: false }).expect("from a linked worktree");
    assert_eq!(listing(&odd), listing(&case.place.path("src")));
    undo.undo(&linked, false).expect("taken back");
    assert!(!odd.exists());
    assert_eq!(case.place.git("dst", &["worktree", "list"]).lines().count(), 2);
    let beside = beside(&linked, Some(&Name::new("refs/heads/a/b@c")), "k3x9").expect("a place");
    assert_eq!(beside, case.place.path("dst-a-b-c-k3x9"));
    fs::create_dir(&beside).expect("writable");
    assert_eq!(
        super::super::beside(&linked, Some(&Name::new("refs/heads/a/b@c")), "k3x9").expect("a place"),
        case.place.path("dst-a-b-c-k3x9-2")
    );
    assert!(
        matches!(case.restore(&linked, &Destination::New { at: beside.clone(), branch: false }), Err(Error::Exists(at)) if at == beside)
    );
}

#[test]
fn a_server_that_gives_no_commit_by_name_is_asked_for_its_refs() {
    let mut case = Case::new(&[]);
    case.place.commit("src", "later", "later\n");
    case.settle();
    case.place.commit("src", "latest", "latest\n");
    case.place.git("src", &["push", "-q"]);
    case.place.git("dst", &["config", "protocol.version", "0"]);
    let before = case.place.git("dst", &["for-each-ref"]);
    case.place.git("src", &["checkout", "-q", "--detach", "HEAD~1"]);
    case.restore(&case.dst(), &case.new_at(false)).expect("restored");
    assert_eq!(listing(&case.place.path("new tree")), listing(&case.place.path("src")));
    assert_eq!(case.place.git("dst", &["for-each-ref"]), before);
}

#[test]
fn directories_made_on_the_way_go_too() {
    let case = Case::new(&[]);
    let at = case.place.path("made/on/the way");
    let repo = case.dst();
    let (undo, _) = case.restore(&repo, &Destination::New { at: at.clone(), branch: false }).expect("restored");
    assert!(at.join("a").exists());
    undo.undo(&repo, false).expect("taken back");
    assert!(!case.place.path("made").exists());
}
