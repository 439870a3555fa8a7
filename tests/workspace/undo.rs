//! `undo`: what a restore did, taken back; and never what somebody did since.

use super::scene::{Scene, assert_nothing_done};
use super::seen::refs;

fn scene() -> Scene {
    let scene = Scene::new();
    scene.laptop.puts("local", "only here\n");
    scene.laptop.commits("local");
    scene.laptop.puts("new", "new\n");
    scene
}

#[test]
fn work_tree_branch_and_session_are_taken_back() {
    let scene = scene();
    scene.sends();
    let before = (scene.desktops(), refs(&scene.desktop));
    let told = scene.restore(&["--branch"]).ok().stdout();
    let line = told.lines().find_map(|line| line.strip_prefix("to take it back: git samesession ")).expect("a way back");
    let undone = scene.desktop.run_here(line.split(' ')).ok().stdout();
    assert!(undone.contains("was taken back") && undone.contains("with the work tree"), "{undone}");
    assert_eq!(refs(&scene.desktop), before.1);
    assert_nothing_done(&without_traces(before.0), &without_traces(scene.desktops()), "undone");
    // And nothing is left to be undone.
    scene.desktop.run_here(["undo"]).fails(1, "there is nothing to undo");
    scene.desktop.run_here(line.split(' ')).fails(1, "there is nothing to undo");
    // It can be had again.
    scene.restore(&[]).ok();
}

/// What Git keeps when refs come and go.
fn without_traces(tree: Vec<(std::path::PathBuf, Vec<u8>)>) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let ours = |path: &std::path::Path| {
        let text = path.to_string_lossy();
        text.contains("/.git/logs") || text.ends_with("/.git/config") || text.contains("/.git/refs") || text.ends_with("known_signers")
    };
    tree.into_iter().filter(|(path, _)| !ours(path)).collect()
}

#[test]
fn a_work_tree_that_was_used_stays_unless_it_is_asked_for() {
    let scene = scene();
    let (there, told) = scene.brought(&["--branch"]);
    let id = told["undo"].as_str().expect("an id");
    there.puts("work", "since then\n");
    scene.desktop.run_here(["undo", id]).fails(1, "was used since").hints("--force");
    assert_eq!(there.reads("work"), "since then\n");
    assert!(there.transcript().exists());
    scene.desktop.run_here(["undo", id, "--force"]).ok();
    assert!(!there.cwd.exists() && !there.transcript().exists());
}

#[test]
fn commits_made_since_are_not_taken_away() {
    let scene = scene();
    let (there, told) = scene.brought(&["--branch"]);
    there.commits("since then");
    let tip = there.git(["rev-parse", "HEAD"]);
    scene.desktop.run_here(["undo"]).fails(1, "was used since");
    scene.desktop.run_here(["undo", "--force", told["undo"].as_str().expect("an id")]).ok();
    assert!(!there.cwd.exists());
    assert_eq!(scene.desktop.git(["rev-parse", "main"]), tip, "the branch has moved, so it stays");
}

#[test]
fn a_session_that_went_on_is_never_cut() {
    let scene = scene();
    let (there, _) = scene.brought(&[]);
    there.say("a word since then");
    let heard = there.heard();
    for args in [&["undo"][..], &["undo", "--force"]] {
        scene.desktop.run_here(args).fails(1, "was used since");
        assert_eq!(there.heard(), heard);
        assert!(there.cwd.join("new").exists());
    }
}

#[test]
fn the_newest_is_taken_back_first_and_any_by_its_id() {
    let scene = scene();
    scene.sends();
    let place = |name: &str| scene.desktop.home.join(name);
    let restore = |session: &str, name: &str| {
        let place = place(name);
        let told = scene.desktop.run_here(["restore", session, "--into", place.to_str().expect("UTF-8"), "--json"]).ok().json();
        told["undo"].as_str().expect("an id").to_owned()
    };
    let sessions = ["eeeeeeee-0000-4000-8000-000000000001", "eeeeeeee-0000-4000-8000-000000000002", "eeeeeeee-0000-4000-8000-000000000003"];
    for session in sessions {
        scene.laptop.say_in(session, session);
        scene.laptop.run_here(["checkpoint", session, "--push"]).ok();
    }
    scene.desktop.git(["fetch", "-q"]);
    let first = restore(sessions[0], "first");
    let _ = restore(sessions[1], "second");
    let _ = restore(sessions[2], "third");
    scene.desktop.run_here(["undo", &first]).ok();
    assert_eq!(["first", "second", "third"].map(|name| place(name).exists()), [false, true, true]);
    scene.desktop.run_here(["undo"]).ok();
    assert_eq!(["second", "third"].map(|name| place(name).exists()), [true, false]);
    scene.desktop.run_here(["undo"]).ok();
    scene.desktop.run_here(["undo"]).fails(1, "there is nothing to undo");
    scene.desktop.run_here(["undo", "20200101T000000-1-0"]).fails(1, "there is nothing to undo");
}
