//! What is in submodules: taken along where that is asked for, and put back where the submodule can be had.

use std::fs;

use crate::support::clones::SESSION;
use crate::support::sandbox::Machine;

use super::kinds::with_submodule;
use super::scene::Scene;
use super::seen::{Seen, refs};

/// Both machines have it, and the remote knows of it.
pub fn known() -> Scene {
    let scene = with_submodule();
    scene.laptop.commits("a submodule");
    scene.laptop.git(["push", "-q", "origin", "main"]);
    scene.desktop.git(["fetch", "-q"]);
    scene
}

fn dirty(lib: &Machine) {
    lib.puts("local", "only here\n");
    lib.commits("local in it");
    lib.puts("inside", "staged\n");
    lib.git(["add", "inside"]);
    lib.puts("inside", "unstaged\n");
    lib.puts("new", "untracked\n");
    lib.runs("new");
}

fn sends(scene: &Scene) -> Machine {
    let lib = scene.laptop.at(scene.laptop.cwd.join("lib"));
    dirty(&lib);
    scene.laptop.say("a word");
    scene.laptop.run_here(["checkpoint", SESSION, "--push", "--submodules"]).ok();
    scene.desktop.git(["fetch", "-q"]);
    lib
}

fn has(told: &serde_json::Value) -> (bool, String) {
    let notes = told["notes"].to_string();
    (notes.contains("submodule"), notes)
}

#[track_caller]
fn assert_arrived(scene: &Scene, told: &serde_json::Value) -> Machine {
    let there = scene.desktop.at(told["workspace"]["work_tree"].as_str().expect("a place"));
    let inside = |machine: &Machine| Seen::of(&machine.at(machine.cwd.join("lib")), false);
    inside(&scene.laptop).assert_same(&inside(&there));
    scene.assert_arrived(&there);
    let status = |machine: &Machine| machine.git(["status", "--porcelain=v2", "--ignore-submodules=none"]);
    assert_eq!(status(&there), status(&scene.laptop));
    there
}

#[test]
fn it_is_fetched_as_the_user_allows_and_put_back_as_it_was() {
    let scene = known();
    sends(&scene);
    let before = (refs(&scene.desktop), fs::read(scene.desktop.cwd.join(".git/config")).expect("there"));
    let told = scene.restore(&["--json"]).ok().json();
    assert!(!has(&told).0, "{}", has(&told).1);
    let there = assert_arrived(&scene, &told);
    assert_eq!(there.git(["-C", "lib", "log", "-1", "--format=%s"]), "local in it\n");
    let again = scene.restore(&[]).ok().stdout();
    assert!(again.contains("already as it was"), "{again}");
    scene.desktop.run_here(["undo"]).ok();
    assert!(!there.cwd.exists());
    assert_eq!((refs(&scene.desktop), fs::read(scene.desktop.cwd.join(".git/config")).expect("there")), before);
}

#[test]
fn a_clone_of_it_that_is_here_is_enough() {
    let scene = known();
    let library = scene.laptop.home.join("src/library");
    sends(&scene);
    scene.desktop.git(["checkout", "-q", "--detach", "origin/main"]);
    scene.desktop.git(["submodule", "--quiet", "update", "--init"]);
    fs::rename(&library, library.with_extension("away")).expect("moved");
    scene.desktop.git(["config", "--global", "protocol.file.allow", "user"]);
    let told = scene.restore(&["--json"]).ok().json();
    assert!(!has(&told).0, "{}", has(&told).1);
    let there = assert_arrived(&scene, &told);
    assert_eq!(there.git(["-C", "lib", "config", "remote.origin.url"]).trim(), library.to_str().expect("UTF-8"));
    assert!(there.try_git(["-C", "lib", "fsck", "--connectivity-only"]).code() == Some(0));
}

#[test]
fn one_that_cannot_be_had_is_named_and_the_rest_stands() {
    let scene = known();
    sends(&scene);
    // What Git does by itself: a submodule is not fetched from a path.
    scene.desktop.git(["config", "--global", "protocol.file.allow", "user"]);
    let config = fs::read(scene.desktop.cwd.join(".git/config")).expect("there");
    let told = scene.restore(&["--json"]).ok().json();
    assert!(has(&told).1.contains("submodule 'lib' could not be put back, and stays in the capsule"), "{}", has(&told).1);
    let there = scene.desktop.at(told["workspace"]["work_tree"].as_str().expect("a place"));
    assert!(!there.cwd.join("lib/inside").exists());
    assert_eq!(Seen::of(&there, false).index, Seen::of(&scene.laptop, false).index);
    scene.desktop.run_here(["undo"]).ok();
    assert_eq!(fs::read(scene.desktop.cwd.join(".git/config")).expect("there"), config);
}

#[test]
fn an_address_that_nobody_agreed_to_is_not_asked() {
    let scene = with_submodule();
    sends(&scene);
    let told = scene.restore(&["--json"]).ok().json();
    assert!(has(&told).1.contains("its address is not agreed to"), "{}", has(&told).1);
    let there = scene.desktop.at(told["workspace"]["work_tree"].as_str().expect("a place"));
    assert!(!there.cwd.join("lib/inside").exists() && !there.cwd.join(".gitmodules").exists());
    scene.desktop.run_here(["undo"]).ok();
    let told = scene.restore(&["--json", "--accept-config"]).ok().json();
    assert!(!has(&told).0, "{}", has(&told).1);
    assert_arrived(&scene, &told);
}

#[test]
fn what_makes_programs_run_inside_it_is_withheld_too() {
    let scene = known();
    scene.laptop.puts("lib/.envrc", "touch ran\n");
    sends(&scene);
    let told = scene.restore(&["--json"]).ok().json();
    assert!(told["workspace"]["withheld"].to_string().contains("lib/.envrc"), "{told:#}");
    let there = scene.desktop.at(told["workspace"]["work_tree"].as_str().expect("a place"));
    assert!(there.cwd.join("lib/new").exists() && !there.cwd.join("lib/.envrc").exists());
}

#[test]
fn one_inside_another_comes_too() {
    let scene = Scene::new();
    let inner = scene.laptop.at(scene.laptop.home.join("src/inner"));
    inner.git(["init", "-q"]);
    inner.puts("deep", "deep\n");
    inner.commits("inner");
    let outer = scene.laptop.at(scene.laptop.home.join("src/outer"));
    outer.git(["init", "-q"]);
    outer.puts("inside", "x\n");
    outer.git(["submodule", "--quiet", "add", inner.cwd.to_str().expect("UTF-8"), "deeper"]);
    outer.commits("outer");
    scene.laptop.git(["submodule", "--quiet", "add", outer.cwd.to_str().expect("UTF-8"), "lib"]);
    scene.laptop.git(["submodule", "--quiet", "update", "--init", "--recursive"]);
    scene.laptop.commits("a submodule");
    scene.laptop.git(["push", "-q", "origin", "main"]);
    scene.desktop.git(["fetch", "-q"]);
    scene.laptop.puts("lib/deeper/deep", "changed\n");
    sends(&scene);
    let told = scene.restore(&["--json"]).ok().json();
    assert!(!has(&told).0, "{}", has(&told).1);
    let there = assert_arrived(&scene, &told);
    assert_eq!(there.reads("lib/deeper/deep"), "changed\n");
}
