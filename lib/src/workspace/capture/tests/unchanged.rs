//! Whatever form the repository has, it is the same to us, and it stays byte for byte as it was: `check` compares.

use super::*;
use crate::workspace::restore::fixture::has_reftable;

fn dirty(scene: &Scene) {
    scene.write("a", "staged\n");
    scene.git(&["add", "a"]);
    scene.write("a", "not staged\n");
    scene.write("dir/b", "changed\n");
    scene.write("new/file", "new\n");
    fs::create_dir(scene.path("empty")).expect("a directory");
    scene.git(&["stash", "list"]);
}

const EXPECTED: &[&str] =
    &["index a 100644 0", "file a 644 not staged\\n", "file dir/b 644 changed\\n", "directory empty", "file new/file 644 new\\n"];

fn start(init: &[&str]) -> Scene {
    let scene = Scene::new(init);
    for (name, text) in [("a", "1\n"), ("dir/b", "1\n"), ("dir/c", "1\n"), ("other/d", "1\n")] {
        scene.write(name, text);
    }
    scene.commit("first");
    scene
}

#[test]
fn formats_of_repositories() {
    for init in [&["--object-format=sha256"][..], &["--ref-format=reftable"], &["--object-format=sha256", "--ref-format=reftable"]] {
        if init.contains(&"--ref-format=reftable") && !has_reftable() {
            continue;
        }
        let scene = start(init);
        dirty(&scene);
        let capture = check(&scene, EXPECTED);
        let format = scene.git(&["rev-parse", "--show-object-format"]);
        assert_eq!(capture.model.identity.format, format.trim());
        assert_eq!(capture.model.head.commit.map(|commit| commit.0), Some(scene.oid("HEAD")), "{init:?}");
        assert_eq!(capture.model.pack.map(|pack| (pack.objects, pack.commits)), Some((6, 1)), "{init:?}");
    }
}

#[test]
fn forms_of_the_index() {
    let forms: [&[&[&str]]; 5] = [
        &[&["update-index", "--split-index"]],
        &[&["config", "core.untrackedCache", "true"], &["status"], &["status"]],
        &[&["config", "core.fsmonitor", "false"]],
        &[&["update-index", "--index-version=4"]],
        &[&["config", "index.sparse", "true"], &["config", "core.preloadIndex", "false"]],
    ];
    for form in forms {
        let scene = start(&[]);
        form.iter().for_each(|args| drop(scene.git(args)));
        dirty(&scene);
        check(&scene, EXPECTED);
    }
}

#[test]
fn an_index_as_young_as_its_files() {
    for _ in 0..5 {
        let scene = start(&[]);
        // The same length, in the same moment: Git has to read it, and would like to write down that it did.
        scene.write("other/d", "2\n");
        check(&scene, &["file other/d 644 2\\n"]);
    }
    let scene = start(&[]);
    // Touched only: to Git a reason to refresh its index.
    fs::File::open(scene.path("a")).and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH)).expect("a time");
    check(&scene, &[]);
}

#[test]
fn a_linked_worktree_has_its_own_head_and_index() {
    let mut scene = start(&[]);
    dirty(&scene);
    scene.git(&["worktree", "add", "-q", "-b", "other", "../linked", "main"]);
    scene.top = scene.dir.path().canonicalize().expect("a real path").join("linked");
    let capture = check(&scene, &[]);
    assert_eq!(capture.model.head.branch, Some(Name::new("refs/heads/other")));
    scene.write("dir/c", "here\n");
    check(&scene, &["file dir/c 644 here\\n"]);
}

#[test]
fn what_git_is_told_by_variables_is_obeyed() {
    let mut scene = start(&[]);
    dirty(&scene);
    let mut vars = scene.vars();
    vars.insert("GIT_DIR".into(), "work/.git".into());
    vars.insert("GIT_WORK_TREE".into(), "work".into());
    scene.top = scene.dir.path().canonicalize().expect("a real path");
    let env = Env::new(vars, scene.top.clone(), "here".into()).expect("an environment");
    let repo = Repository::open(&env, &scene.top).expect("a repository");
    let capture = capture(&repo, &Options::default(), &[], &Silent).expect("captured");
    assert_eq!(shown(&capture), EXPECTED);
}

#[test]
fn our_own_directory_is_used_and_not_made() {
    let scene = start(&[]);
    let own = scene.path(".git/samesession");
    let capture = scene.capture();
    assert!(!own.exists() && capture.model.pack.is_some());
    fs::create_dir(&own).expect("a directory");
    // While its pack is open, too.
    let _capture = scene.capture();
    assert_eq!(fs::read_dir(&own).expect("a directory").count(), 0);
}
