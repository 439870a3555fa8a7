//! What one file can be in, and two files can be to each other.

use super::*;

#[test]
fn a_clean_work_tree_has_nothing_to_carry() {
    let scene = Scene::published(&[("a", "1\n"), ("dir/b", "2\n")]);
    let capture = check(&scene, &[]);
    assert!(capture.files.is_empty() && capture.model.pack.is_none());
}

#[test]
fn staged_and_unstaged_in_one_file_stay_apart() {
    let scene = Scene::with(&[("a", "1\n"), ("b", "1\n"), ("c", "1\n"), ("d", "1\n")]);
    scene.write("a", "1\nstaged\n");
    scene.git(&["add", "a"]);
    scene.write("a", "1\nstaged\nnot\n");
    scene.write("b", "changed\n");
    scene.git(&["rm", "-q", "--cached", "c"]);
    scene.remove("d");
    scene.write("new", "n\n");
    scene.git(&["add", "new"]);
    scene.write("untracked", "u\n");
    let capture = check(
        &scene,
        &[
            "index a 100644 0",
            "index new 100644 0",
            "unindexed c",
            "file a 644 1\\nstaged\\nnot\\n",
            "file b 644 changed\\n",
            "file c 644 1\\n",
            "gone d",
            "file untracked 644 u\\n",
        ],
    );
    assert_eq!(capture.model.index[0].oid.0, scene.oid(":a"));
}

#[test]
fn modes_and_links_are_differences_too() {
    let scene = Scene::with(&[("run", "x\n"), ("file", "x\n"), ("same", "x\n")]);
    scene.link("file", "link");
    scene.commit("a link");
    scene.mode("run", 0o755);
    scene.remove("file");
    scene.link("/absolute/../nowhere", "file");
    scene.remove("link");
    scene.write("link", "no link\n");
    scene.link("dangling", "other");
    scene.write("private", "p\n");
    scene.mode("private", 0o600);
    check(
        &scene,
        &[
            "link file -> /absolute/../nowhere",
            "file link 644 no link\\n",
            "link other -> dangling",
            "file private 600 p\\n",
            "file run 755 x\\n",
        ],
    );
}

#[test]
fn a_file_becomes_a_directory_and_the_reverse() {
    let scene = Scene::with(&[("a", "1\n"), ("d/x", "2\n"), ("d/y", "3\n"), ("e", "4\n")]);
    scene.remove("a");
    scene.write("a/below/deep", "new\n");
    fs::create_dir(scene.path("a/empty")).expect("a directory");
    fs::remove_dir_all(scene.path("d")).expect("removed");
    scene.write("d", "file\n");
    scene.remove("e");
    fs::create_dir(scene.path("e")).expect("a directory");
    check(
        &scene,
        &["gone a", "file a/below/deep 644 new\\n", "directory a/empty", "file d 644 file\\n", "gone d/x", "gone d/y", "directory e"],
    );
}

#[test]
fn a_directory_replaced_by_a_link_is_not_followed() {
    let scene = Scene::with(&[("d/x", "2\n")]);
    fs::rename(scene.path("d"), scene.path("elsewhere")).expect("moved");
    scene.link("elsewhere", "d");
    check(&scene, &["link d -> elsewhere", "gone d/x", "file elsewhere/x 644 2\\n"]);
}

#[test]
fn stages_of_a_conflict() {
    let scene = Scene::with(&[("both", "1\n"), ("theirs-gone", "1\n"), ("ours-gone", "1\n")]);
    scene.git(&["checkout", "-q", "-b", "other"]);
    scene.write("both", "other\n");
    scene.remove("theirs-gone");
    scene.write("ours-gone", "other\n");
    scene.write("added", "other\n");
    scene.commit("other");
    scene.git(&["checkout", "-q", "main"]);
    scene.write("both", "main\n");
    scene.write("theirs-gone", "main\n");
    scene.remove("ours-gone");
    scene.write("added", "main\n");
    scene.commit("main");
    assert!(!scene.try_git(&["merge", "-q", "other"]).0);
    scene.remove("added");
    let capture = check(
        &scene,
        &[
            "index added 100644 2",
            "index added 100644 3",
            "index both 100644 1",
            "index both 100644 2",
            "index both 100644 3",
            "index ours-gone 100644 1",
            "index ours-gone 100644 3",
            "index theirs-gone 100644 1",
            "index theirs-gone 100644 2",
            "gone added",
            "file both 644 <<<<<<< HEAD\\nmain\\n=======\\nother\\n>>>>>>> other\\n",
            "file ours-gone 644 other\\n",
            "file theirs-gone 644 main\\n",
        ],
    );
    assert_eq!(capture.model.index[2].oid.0, scene.oid(":1:both"));
}

#[test]
fn intent_to_add_is_told_from_an_empty_file() {
    let scene = Scene::with(&[("empty", ""), ("was", "1\n")]);
    for name in ["new", "gone", "assumed", "run"] {
        scene.write(name, "text\n");
    }
    scene.mode("run", 0o755);
    scene.git(&["add", "-N", "new", "gone", "assumed", "run"]);
    scene.git(&["update-index", "--assume-unchanged", "assumed"]);
    scene.remove("gone");
    scene.remove("empty");
    scene.git(&["rm", "-q", "--cached", "was"]);
    scene.git(&["add", "-N", "was"]);
    scene.write("really-empty", "");
    scene.git(&["add", "really-empty"]);
    scene.git(&["update-index", "--assume-unchanged", "really-empty"]);
    check(
        &scene,
        &[
            "index assumed 100644 0 intended assumed",
            "index gone 100644 0 intended",
            "index new 100644 0 intended",
            "index really-empty 100644 0 assumed",
            "index run 100755 0 intended",
            "index was 100644 0 intended",
            "file assumed 644 text\\n",
            "gone empty",
            "gone gone",
            "file new 644 text\\n",
            "file run 755 text\\n",
            "file was 644 1\\n",
        ],
    );
}

#[test]
fn marks_hide_changes_from_git_but_not_from_us() {
    let scene = Scene::with(&[("same", "1\n"), ("changed", "1\n"), ("gone", "1\n"), ("there", "1\n"), ("away", "1\n")]);
    scene.link("x", "link");
    scene.commit("a link");
    scene.git(&["update-index", "--assume-unchanged", "same", "changed", "gone", "link"]);
    scene.git(&["update-index", "--skip-worktree", "there", "away"]);
    scene.write("changed", "2\n");
    scene.remove("gone");
    scene.remove("away");
    assert_eq!(scene.git(&["status", "--porcelain"]), "");
    check(
        &scene,
        &[
            "index away 100644 0 skipped",
            "index changed 100644 0 assumed",
            "index gone 100644 0 assumed",
            "index link 120000 0 assumed",
            "index same 100644 0 assumed",
            "index there 100644 0 skipped",
            "file changed 644 2\\n",
            "gone gone",
            "file there 644 1\\n",
        ],
    );
}

#[test]
fn before_the_first_commit_the_whole_index_differs() {
    let scene = Scene::new(&[]);
    scene.write("a", "1\n");
    scene.write("b", "2\n");
    scene.git(&["add", "a"]);
    let capture = check(&scene, &["index a 100644 0", "file b 644 2\\n"]);
    assert_eq!(capture.model.head.branch, Some(Name::new("refs/heads/main")));
    assert_eq!(capture.model.head.commit, None);
    let pack = capture.model.pack.expect("the blob");
    assert_eq!((pack.objects, pack.commits), (1, 0));
}

#[test]
fn the_users_settings_do_not_change_the_answer() {
    let scene = Scene::with(&[("a", "1\n"), ("dir/b", "some\nlines\nof\ntext\n")]);
    scene.git(&["mv", "dir/b", "moved"]);
    scene.write("un/tracked", "u\n");
    let expected = ["index moved 100644 0", "unindexed dir/b", "directory dir", "file un/tracked 644 u\\n"];
    check(&scene, &expected);
    for (key, value) in [
        ("status.showUntrackedFiles", "no"),
        ("status.renames", "copies"),
        ("status.relativePaths", "true"),
        ("status.short", "true"),
        ("status.branch", "false"),
        ("status.showStash", "true"),
        ("status.submoduleSummary", "true"),
        ("core.quotePath", "true"),
        ("color.ui", "always"),
        ("column.ui", "always"),
        ("diff.noprefix", "true"),
        ("diff.ignoreSubmodules", "all"),
    ] {
        scene.git(&["config", key, value]);
    }
    check(&scene, &expected);
}

#[test]
fn from_below_the_top_it_is_the_whole_tree() {
    let mut scene = Scene::with(&[("a", "1\n"), ("dir/b", "1\n")]);
    scene.write("a", "2\n");
    scene.write("dir/b", "2\n");
    scene.write("new", "n\n");
    scene.top = scene.path("dir");
    check(&scene, &["file a 644 2\\n", "file dir/b 644 2\\n", "file new 644 n\\n"]);
}

#[test]
fn a_file_that_does_not_hold_still_is_noticed() {
    let scene = Scene::with(&[("a", "1\n"), ("d/b", "1\n")]);
    scene.write("a", "22\n");
    scene.write("d/b", "22\n");
    let of = |capture: &Capture, name: &str| {
        let place = format!("workspace/files/{name}");
        bytes(capture.files.iter().find(|file| file.name.to_string() == place).expect("the file"))
    };
    let changed = |result: Result<Vec<u8>, Error>| matches!(result, Err(Error::Changed(_)));

    let capture = scene.capture();
    assert_eq!(of(&capture, "a").expect("unchanged"), b"22\n");
    scene.write("a", "33\n");
    assert!(changed(of(&capture, "a")));
    scene.remove("a");
    assert!(changed(of(&capture, "a")));
    scene.link("d/b", "a");
    assert!(changed(of(&capture, "a")));

    // The same file, through a link that took the place of its directory.
    assert_eq!(of(&capture, "d/b").expect("unchanged"), b"22\n");
    fs::rename(scene.path("d"), scene.path("moved")).expect("moved");
    scene.link("moved", "d");
    assert!(changed(of(&capture, "d/b")));

    // Cut short between opening and reading.
    scene.write("long", "0123456789");
    let capture = scene.capture();
    let file = capture.files.iter().find(|file| file.name.to_string() == "workspace/files/long").expect("the file");
    let mut opened = file.open().expect("opened");
    fs::OpenOptions::new().write(true).open(scene.path("long")).and_then(|file| file.set_len(4)).expect("cut");
    let mut read = Vec::new();
    opened.read_to_end(&mut read).expect("read");
    assert_eq!(read, b"0123");
    assert!(matches!(opened.finish(), Err(Error::Changed(_))));
    // And one that grew is read no further than it was seen.
    let file_before = scene.capture();
    let file = file_before.files.iter().find(|file| file.name.to_string() == "workspace/files/long").expect("the file");
    let mut opened = file.open().expect("opened");
    scene.write("long", "0123456789");
    let mut read = Vec::new();
    opened.read_to_end(&mut read).expect("read");
    assert_eq!(read, b"0123");
    assert!(matches!(opened.finish(), Err(Error::Changed(_))));
}

#[test]
fn a_bare_repository_says_so() {
    let scene = Scene::new(&["--bare"]);
    assert!(matches!(scene.try_capture(&Options::default()), Err(Error::Bare)));
}
