//! Submodules, and work trees of which only a part is checked out.

use super::*;

/// With `sub`, a clone of a repository with the files `x` and `inner/y`, and `bare`, one that is not checked out.
fn with_submodules() -> Scene {
    let scene = Scene::with(&[("a", "1\n")]);
    let library = scene.dir.path().join("library");
    let at = library.to_str().expect("text");
    scene.git(&["init", "-q", "-b", "main", at]);
    fs::write(library.join("x"), "1\n").expect("written");
    scene.git(&["-C", at, "add", "."]);
    scene.git(&["-C", at, "commit", "-q", "-m", "library"]);
    for name in ["sub", "bare"] {
        scene.git(&["submodule", "--quiet", "add", at, name]);
    }
    scene.commit("submodules");
    scene.git(&["submodule", "--quiet", "deinit", "bare"]);
    scene
}

#[test]
fn submodules_are_their_commit_and_whether_they_are_dirty() {
    let scene = with_submodules();
    let head = scene.git(&["-C", "sub", "rev-parse", "HEAD"]).trim().to_owned();
    let seen = |capture: &Capture| {
        let all = capture.model.submodules.iter();
        all.map(|one| (one.path.to_string(), one.commit.map(|oid| oid.0.to_string()), one.changed, one.untracked)).collect::<Vec<_>>()
    };
    let bare = ("bare".to_owned(), None, false, false);
    let capture = check(&scene, &[]);
    assert_eq!(seen(&capture), [bare.clone(), ("sub".to_owned(), Some(head), false, false)]);

    // What somebody has told Git to be silent about.
    scene.git(&["config", "submodule.sub.ignore", "all"]);
    scene.write("sub/new", "n\n");
    scene.git(&["-C", "sub", "commit", "-q", "--allow-empty", "-m", "more"]);
    scene.write("sub/x", "2\n");
    let head = scene.git(&["-C", "sub", "rev-parse", "HEAD"]).trim().to_owned();
    let capture = check(&scene, &[]);
    assert_eq!(seen(&capture), [bare, ("sub".to_owned(), Some(head), true, true)]);
    assert!(capture.model.submodules.iter().all(|one| one.contents.is_none()));
}

#[test]
fn the_contents_of_submodules_come_on_request() {
    let scene = with_submodules();
    scene.write("sub/x", "2\n");
    scene.write("sub/new", "n\n");
    scene.git(&["-C", "sub", "add", "new"]);
    scene.git(&["-C", "sub", "commit", "-q", "-m", "local"]);
    scene.write("mine", "m\n");
    let capture = scene.try_capture(&Options { submodules: true, ..Options::default() }).expect("captured");
    let names: Vec<_> = capture.files.iter().map(|file| file.name.to_string()).collect();
    assert_eq!(
        names,
        ["workspace/files/mine", "workspace/objects.pack", "workspace/submodules/1/files/x", "workspace/submodules/1/objects.pack"]
    );
    let contents = capture.model.submodules[1].contents.as_ref().expect("contents");
    assert_eq!(contents.pack.as_ref().map(|pack| pack.commits), Some(1));
    assert_eq!(contents.files.len(), 1);
    assert!(capture.model.submodules[0].contents.is_none());
    assert_eq!(bytes(&capture.files[2]).expect("unchanged"), b"2\n");
}

#[test]
fn a_submodule_that_is_gone_or_replaced() {
    let scene = with_submodules();
    fs::remove_dir_all(scene.path("sub")).expect("removed");
    let capture = check(&scene, &["gone sub"]);
    assert!(capture.model.submodules.iter().all(|one| one.commit.is_none()));
    scene.write("sub", "a file\n");
    check(&scene, &["file sub 644 a file\\n"]);
}

#[test]
fn a_sparse_checkout_carries_its_patterns() {
    let scene = Scene::with(&[("top", "1\n"), ("in/a", "1\n"), ("in/b", "1\n"), ("out/c", "1\n"), ("out/deep/d", "1\n")]);
    scene.git(&["sparse-checkout", "set", "in"]);
    scene.write("in/a", "2\n");
    let expected = ["index out/c 100644 0 skipped", "index out/deep/d 100644 0 skipped", "file in/a 644 2\\n"];
    let capture = check(&scene, &expected);
    let sparse = capture.model.sparse.expect("sparse");
    assert!(sparse.cone);
    assert_eq!(sparse.patterns, Name::new("/*\n!/*/\n/in/\n"));
    scene.git(&["sparse-checkout", "set", "--sparse-index", "in"]);
    check(&scene, &expected);
    scene.git(&["sparse-checkout", "set", "--no-cone", "/in/a", "/out/c"]);
    let capture = check(
        &scene,
        &["index in/b 100644 0 skipped", "index out/deep/d 100644 0 skipped", "index top 100644 0 skipped", "file in/a 644 2\\n"],
    );
    assert!(!capture.model.sparse.expect("sparse").cone);
}
