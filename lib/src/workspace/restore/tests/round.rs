//! Captured, carried and restored: both ends agree on what the words of the model mean.

use std::io::Read;

use super::*;
use crate::progress::Silent;
use crate::workspace::capture::{self, capture};

/// The model of `src` as capture makes it, its files staged.
fn captured(case: &mut Case) {
    let repo = case.place.open(&case.place.path("src"));
    let taken = capture(&repo, &capture::Options::default(), &[], &Silent).expect("captured");
    for file in &taken.files {
        let mut bytes = Vec::new();
        let mut opened = file.open().expect("there");
        opened.read_to_end(&mut bytes).expect("readable");
        opened.finish().expect("still");
        let at = case.place.path("staged").join(file.name.as_path());
        fs::create_dir_all(at.parent().expect("has one")).expect("writable");
        fs::write(at, &bytes).expect("writable");
    }
    let text = serde_json::to_string(&taken.model).expect("writable");
    case.model = serde_json::from_str(&text).expect("readable");
}

#[test]
fn what_is_captured_is_what_is_restored() {
    for change in [dirty, unmerged, flagged, mixed] {
        let mut case = Case::new(&[]);
        change(&mut case);
        captured(&mut case);
        // Nothing that the hand-made model put there.
        case.place.git("", &["clone", "-q", &format!("file://{}", case.place.path("up").display()), "third"]);
        let third = case.place.open(&case.place.path("third"));
        for to in [case.new_at(false), Destination::Here { branch: false, home: None }] {
            let (undo, _) = case.restore(&third, &to).expect("restored");
            let tree = undo.at.file_name().expect("has one").to_str().expect("text").to_owned();
            assert_eq!(listing(&undo.at), listing(&case.place.path("src")));
            assert_eq!(case.index(&tree), case.index("src"));
            let lines =
                |tree: &str| case.status(tree).lines().filter(|line| !line.starts_with("# branch.")).map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(lines(&tree), lines("src"));
            undo.undo(&third, false).expect("taken back");
        }
    }
}

/// Commits, an entry and a link that change places with directories.
fn mixed(case: &mut Case) {
    let src = case.place.path("src");
    case.place.commit("src", "local/only", "1\n");
    symlink("dir", src.join("link")).expect("writable");
    case.place.git("src", &["add", "link"]);
    case.place.git("src", &["commit", "-q", "-m", "link"]);
    fs::remove_file(src.join("link")).expect("there");
    case.place.write("src/link/below", "x\n");
    fs::remove_file(src.join("b")).expect("there");
    case.place.write("src/b/staged", "x\n");
    case.place.git("src", &["add", "-A", "b"]);
    case.place.write("src/b/staged", "y\n");
    fs::remove_dir_all(src.join("dir")).expect("there");
    symlink("/etc", src.join("dir")).expect("writable");
    case.place.git("src", &["mv", "-k", "a", "renamed"]);
}

#[test]
fn sparse_checkouts_and_submodules_come_back() {
    for arguments in [&["--cone", "dir"][..], &["--no-cone", "/a", "/dir/c"], &["--cone", "--sparse-index", "other"]] {
        let mut case = Case::new(&[]);
        case.place.repo("module", &[]);
        case.place.commit("module", "m", "m\n");
        case.place.git("src", &["submodule", "--quiet", "add", &case.place.path("module").display().to_string(), "module"]);
        case.place.git("src", &["commit", "-q", "-m", "module"]);
        case.place.git("src", &[&["sparse-checkout", "set"], arguments].concat());
        case.place.write("src/untracked", "x\n");
        captured(&mut case);
        let repo = case.dst();
        let (undo, _) = case.restore(&repo, &case.new_at(false)).expect("restored");
        let mut left = listing(&case.place.path("src"));
        left.retain(|path, _| !path.starts_with("module/") || path == Path::new("module"));
        assert_eq!(listing(&undo.at), left);
        let plain = |tree: &str| case.place.git(tree, &["-c", "index.sparse=false", "ls-files", "-s", "-v"]);
        assert_eq!(plain("new tree"), plain("src"), "{arguments:?}");
        assert_eq!(case.place.git("new tree", &["sparse-checkout", "list"]), case.place.git("src", &["sparse-checkout", "list"]));
        assert!(case.status("new tree").ends_with("\n? untracked\n") && !case.status("new tree").contains("\n1 "));
        case.place.git("new tree", &["sparse-checkout", "disable"]);
        undo.undo(&repo, true).expect("taken back");
    }
}
