//! Where it goes: beside, into a place that was named, here, nowhere; from the repository and from a file.

use crate::support::clones::SESSION;

use super::scene::{Scene, assert_nothing_done};
use super::seen::{Seen, refs};

fn dirty() -> Scene {
    let scene = Scene::new();
    let laptop = &scene.laptop;
    laptop.puts("local", "only here\n");
    laptop.commits("local");
    laptop.puts("one", "changed\n");
    laptop.puts("dir/two", "staged\n");
    laptop.git(["add", "dir/two"]);
    laptop.git(["rm", "-q", "--cached", "gone"]);
    laptop.puts("new", "new\n");
    scene
}

#[test]
fn a_plan_says_where_it_goes_and_writes_nothing() {
    let scene = dirty();
    scene.sends();
    let before = scene.desktops();
    let told = scene.restore(&["--dry-run"]).ok().stdout();
    assert_nothing_done(&before, &scene.desktops(), "a plan");
    for words in ["would go to", "desktop.project-main-", "1 commit that no remote has", "2 staged", "HEAD detached"] {
        assert!(told.contains(words), "expected '{words}' in:\n{told}");
    }
}

#[test]
fn beside_is_a_linked_worktree_and_the_one_here_is_left_alone() {
    let scene = dirty();
    scene.desktop.puts("one", "at work here\n");
    let before = (Seen::of(&scene.desktop, true), refs(&scene.desktop));
    let (there, _) = scene.brought(&[]);
    scene.assert_arrived(&there);
    assert_eq!(there.cwd.parent(), scene.desktop.cwd.parent());
    assert_eq!(scene.desktop.worktrees(), 2);
    before.0.assert_same(&Seen::of(&scene.desktop, true));
    assert_eq!(refs(&scene.desktop), before.1);
    // Again, it is there already.
    let again = scene.restore(&[]).ok().stdout();
    assert!(again.contains("already as it was"), "{again}");
    assert_eq!(scene.desktop.worktrees(), 2);
}

#[test]
fn into_is_a_new_directory_or_one_that_has_it_already() {
    let scene = dirty();
    scene.sends();
    let place = scene.desktop.home.join("some where/new");
    let place = place.to_str().expect("UTF-8");
    scene.restore(&["--into", place]).ok();
    scene.assert_arrived(&scene.desktop.at(place));
    let again = scene.restore(&["--into", place]).ok().stdout();
    assert!(again.contains("already as it was"), "{again}");
    let taken = scene.desktop.home.join("taken");
    std::fs::create_dir(&taken).expect("made");
    let before = scene.desktops();
    let refused = scene.restore(&["--into", taken.to_str().expect("UTF-8")]);
    refused.fails(1, "is there already, and not as the capsule has the workspace").hints("--session-only");
    assert_nothing_done(&before, &scene.desktops(), "into a directory");
}

#[test]
fn here_a_clean_work_tree_is_used_and_taken_back() {
    let scene = dirty();
    let desktop = &scene.desktop;
    desktop.puts("mine", "no commit has it\n");
    let before = (Seen::of(desktop, true), refs(desktop), desktop.git(["symbolic-ref", "HEAD"]));
    let (there, told) = scene.brought(&["--here"]);
    assert_eq!(there.cwd, desktop.cwd);
    assert_eq!(desktop.reads("mine"), "no commit has it\n");
    std::fs::rename(desktop.cwd.join("mine"), desktop.home.join("mine")).expect("moved");
    scene.assert_arrived(desktop);
    std::fs::rename(desktop.home.join("mine"), desktop.cwd.join("mine")).expect("moved");
    desktop.run_here(["undo", "--force", told["undo"].as_str().expect("an id")]).ok();
    before.0.assert_same(&Seen::of(desktop, true));
    assert_eq!((refs(desktop), desktop.git(["symbolic-ref", "HEAD"])), (before.1, before.2));
    assert!(!desktop.transcript().exists());
}

#[test]
fn here_a_dirty_work_tree_is_refused() {
    let scene = dirty();
    scene.sends();
    for (file, says) in [("one", "the work tree has changes ('one')"), ("new", "'new' is in the way")] {
        scene.desktop.puts(file, "at work here\n");
        let before = scene.desktops();
        scene.restore(&["--here"]).fails(1, says).hints("leave out --here");
        assert_nothing_done(&before, &scene.desktops(), file);
        scene.desktop.git(["checkout", "-q", "--", "."]);
    }
}

#[test]
fn the_session_alone_goes_where_it_is_asked_for() {
    let scene = dirty();
    scene.sends();
    let before = (Seen::of(&scene.desktop, true), refs(&scene.desktop));
    let told = scene.restore(&["--session-only"]).ok().stdout();
    assert!(told.contains("it stays in the capsule"), "{told}");
    assert_eq!(scene.desktop.heard(), scene.laptop.heard());
    before.0.assert_same(&Seen::of(&scene.desktop, true));
    assert_eq!((refs(&scene.desktop), scene.desktop.worktrees()), (before.1, 1));
}

#[test]
fn a_checkpoint_of_the_session_alone_has_no_workspace() {
    let scene = dirty();
    scene.laptop.say("a word");
    let made = scene.laptop.run_here(["checkpoint", SESSION, "--session-only", "--push", "--json"]).ok().json();
    assert_eq!(made["workspace"], serde_json::Value::Null);
    scene.desktop.git(["fetch", "-q"]);
    let told = scene.restore(&["--json"]).ok().json();
    assert_eq!((&told["workspace"], scene.desktop.worktrees()), (&serde_json::Value::Null, 1));
}

#[test]
fn a_file_brings_it_too() {
    let scene = dirty();
    let capsule = scene.seals(SESSION);
    let told = scene.desktop.run_here(["restore", &capsule, "--branch", "--json"]).ok().json();
    let there = scene.desktop.at(told["workspace"]["work_tree"].as_str().expect("a place"));
    scene.assert_arrived(&there);
    assert_eq!(there.git(["symbolic-ref", "--short", "HEAD"]), "main\n");
    // Outside of any repository there is nowhere to put it.
    let nowhere = scene.desktop.at(scene.desktop.home.join("nowhere"));
    let other = scene.seals("eeeeeeee-0000-4000-8000-000000000000");
    let before = scene.desktops();
    nowhere.run_here(["restore", &other]).fails(1, "there is no repository here").hints("--session-only");
    assert_nothing_done(&before, &scene.desktops(), "nowhere");
}

#[test]
fn where_no_workspace_comes_along_it_is_said_why() {
    let scene = Scene::new();
    let capsule = |n: usize| scene.sandbox.path().join(format!("{n}.capsule")).to_str().expect("UTF-8").to_owned();
    let native = |n: usize| format!("eeeeeeee-0000-4000-8000-00000000000{n}");
    let places =
        [scene.laptop.at(scene.laptop.home.join("plain")), scene.laptop.at(&scene.origin), scene.laptop.at(scene.laptop.home.join("left"))];
    for (n, (place, why)) in places.iter().zip(["is in no repository", "is in a bare repository", "is not here any more"]).enumerate() {
        std::fs::create_dir_all(&place.cwd).expect("made");
        place.say_in(&native(n), "a word");
        if n == 2 {
            std::fs::remove_dir(&place.cwd).expect("removed");
        }
        let said = scene.laptop.run(["checkpoint", &native(n), "-o", &capsule(n)]).ok().stderr();
        assert!(said.contains("no workspace comes along: ") && said.contains(why), "{said}");
    }
    let said = scene.laptop.run(["checkpoint", &native(0), "-o", &capsule(7), "--session-only"]).ok().stderr();
    assert!(!said.contains("workspace"), "{said}");
}
