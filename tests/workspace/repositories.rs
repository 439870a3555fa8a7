//! Which repository it is: a shallow one, one with other objects, and another one altogether.

use std::fs;

use crate::support::clones::{OTHER, SESSION};

use super::scene::{Scene, assert_nothing_done};
use super::seen::Seen;

#[test]
fn a_shallow_clone_fetches_what_it_lacks_and_stays_shallow() {
    let scene = Scene::new();
    let laptop = &scene.laptop;
    // On what the remote has, and the shallow clone has not.
    laptop.git(["checkout", "-q", "-b", "topic", "main~1"]);
    laptop.puts("local", "only here\n");
    laptop.commits("local");
    laptop.puts("one", "dirty\n");
    let desktop = &scene.desktop;
    fs::remove_dir_all(&desktop.cwd).expect("removed");
    let url = format!("file://{}", scene.origin.display());
    let home = desktop.at(&desktop.home);
    home.git(["clone", "-q", "--depth=1", &url, desktop.cwd.to_str().expect("UTF-8")]);
    desktop.git(["config", "--add", "remote.origin.fetch", "+refs/samesession/*:refs/samesession-remote/origin/*"]);
    let base = laptop.git(["rev-parse", "main~1"]);
    assert!(!desktop.has(base.trim()));
    let (there, told) = scene.brought(&["--branch"]);
    assert_eq!(told["workspace"]["missing"][0], base.trim(), "{told}");
    scene.assert_arrived(&there);
    assert_eq!(there.git(["rev-parse", "--is-shallow-repository"]), "true\n");
    assert_eq!(there.git(["log", "--format=%s", "-1"]), "local\n");
    assert!(there.try_git(["fsck", "--connectivity-only"]).code() == Some(0));
}

#[test]
fn a_commit_that_nobody_has_is_named() {
    let scene = Scene::new();
    scene.sends();
    let desktop = &scene.desktop;
    // The remote forgets what it had, and so does the desktop.
    fs::remove_dir_all(&desktop.cwd).expect("removed");
    let desktop = desktop.at(&desktop.cwd);
    scene.repository(&desktop, "desk", &[]);
    desktop.git(["fetch", "-q", "origin", "+refs/samesession/*:refs/samesession-remote/origin/*"]);
    let bare = scene.laptop.at(&scene.origin);
    bare.git(["update-ref", "-d", "refs/heads/main"]);
    bare.git(["reflog", "expire", "--all", "--expire=now"]);
    bare.git(["gc", "-q", "--prune=now"]);
    let commit = scene.laptop.git(["rev-parse", "HEAD"]);
    let before = scene.desktops();
    scene.restore(&["--into", "../elsewhere"]).fails_with(3);
    assert_nothing_done(&before, &scene.desktops(), "a commit is missing");
    let said = scene.restore(&[]).stderr();
    assert!(said.contains(commit.trim()), "{said}");
}

#[test]
fn sha256_repositories_work_alike() {
    let options = ["--object-format=sha256"];
    let scene = Scene::empty(&options);
    scene.laptop.puts("one", "1\n");
    scene.laptop.puts("two", "2\n");
    scene.laptop.commits("first");
    scene.laptop.git(["push", "-q", "-u", "origin", "main"]);
    scene.fetched();
    scene.laptop.puts("local", "only here\n");
    scene.laptop.commits("local");
    scene.laptop.puts("one", "staged\n");
    scene.laptop.git(["add", "one"]);
    scene.laptop.puts("one", "unstaged\n");
    scene.laptop.puts("new", "new\n");
    let (there, _) = scene.brought(&["--branch"]);
    scene.assert_arrived(&there);
    assert_eq!(there.git(["rev-parse", "HEAD"]).trim().len(), 64);
    // Of no use in a repository of the other kind.
    let other = scene.desktop.at(scene.desktop.home.join("src/other"));
    other.git(["init", "-q"]);
    let capsule = scene.seals(OTHER);
    other.run_here(["restore", &capsule, "--force-repository"]).fails(1, "has sha1 objects").hints("--session-only");
}

#[test]
fn another_repository_is_refused_with_the_evidence_unless_it_is_meant() {
    let scene = Scene::new();
    scene.laptop.puts("new", "new\n");
    let capsule = scene.seals(SESSION);
    let other = scene.desktop.at(scene.desktop.home.join("src/other"));
    other.git(["init", "-q", "-b", "main"]);
    other.puts("something", "else\n");
    other.commits("something else");
    other.git(["remote", "add", "origin", "ssh://git@example.com/other.git"]);
    let before = scene.desktops();
    other.run_here(["restore", &capsule]).fails(1, "another repository").hints("--force-repository");
    assert_nothing_done(&before, &scene.desktops(), "another repository");
    // Its commits cannot be had there, and that is said and taken back; with its remote they can.
    other.run_here(["restore", &capsule, "--force-repository"]).fails_with(3);
    assert_nothing_done(&before, &scene.desktops(), "forced, without its commits");
    other.git(["remote", "add", "theirs", scene.origin.to_str().expect("UTF-8")]);
    let told = other.run_here(["restore", &capsule, "--force-repository", "--json"]).ok().json();
    let there = other.at(told["workspace"]["work_tree"].as_str().expect("a place"));
    Seen::of(&scene.laptop, false).assert_same(&Seen::of(&there, false));
}
