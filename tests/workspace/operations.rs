//! What was in progress goes on where it arrived: a rebase in the middle, a merge, a cherry-pick.

use crate::support::clones::sid;
use crate::support::sandbox::Machine;

use super::scene::Scene;
use super::seen::Seen;

/// Where the desktop's `main` stands before the restore.
#[derive(Clone, Copy, PartialEq)]
enum Main {
    Missing,
    AtOrigin,
    AtOrigHead,
    CheckedOut,
}

/// `main` and `side` differ in a line; `main` has two commits of its own, which the remote may have.
fn forked(pushed: bool) -> Scene {
    let scene = Scene::new();
    let laptop = &scene.laptop;
    laptop.git(["checkout", "-q", "-b", "side"]);
    laptop.puts("one", "1\n2\n3\n4\nside\n6\n7\n8\n9\n");
    laptop.commits("side");
    laptop.git(["checkout", "-q", "main"]);
    laptop.puts("one", "1\n2\n3\n4\nmain\n6\n7\n8\n9\n");
    laptop.commits("main one");
    laptop.puts("more", "more\n");
    laptop.commits("main two");
    if pushed {
        laptop.git(["push", "-q", "origin", "main"]);
    }
    scene
}

fn rebasing(pushed: bool) -> Scene {
    let scene = forked(pushed);
    scene.laptop.env("GIT_SEQUENCE_EDITOR", "true").stops(["rebase", "-q", "-i", "side"]);
    scene
}

fn stands(scene: &Scene, main: Main) {
    let desktop = &scene.desktop;
    desktop.git(["fetch", "-q"]);
    match main {
        Main::Missing => {}
        Main::AtOrigin | Main::AtOrigHead => drop(desktop.git(["branch", "-q", "--no-track", "main", "origin/main"])),
        Main::CheckedOut => drop(desktop.git(["checkout", "-q", "-b", "main", "--no-track", "origin/main"])),
    }
}

fn main_of(machine: &Machine) -> String {
    machine.try_git(["rev-parse", "-q", "--verify", "refs/heads/main"]).stdout()
}

/// Resolved and continued there; the branch on which it ended.
#[track_caller]
fn goes_on(there: &Machine) -> String {
    there.puts("one", "1\n2\n3\n4\nboth\n6\n7\n8\n9\n");
    there.git(["add", "one"]);
    there.env("GIT_EDITOR", "true").git(["rebase", "--continue"]);
    let log = there.git(["log", "--format=%s", "-3"]);
    assert_eq!(log, "main two\nmain one\nside\n");
    assert_eq!(there.git(["status", "--porcelain"]), "");
    there.git(["symbolic-ref", "--short", "HEAD"]).trim().to_owned()
}

fn continued_beside(main: Main) {
    let scene = rebasing(main == Main::AtOrigHead);
    stands(&scene, main);
    let before = main_of(&scene.desktop);
    let (there, told) = scene.brought(&[]);
    assert_eq!(told["workspace"]["operations"][0], "rebase");
    scene.assert_arrived(&there);
    assert_eq!(goes_on(&there), format!("main-{}", &sid()[..8]));
    assert_eq!(main_of(&scene.desktop), before, "nobody asked for that");
}

#[test]
fn a_rebase_goes_on_with_main_missing() {
    continued_beside(Main::Missing);
}

#[test]
fn a_rebase_goes_on_with_main_at_origin() {
    continued_beside(Main::AtOrigin);
}

#[test]
fn a_rebase_goes_on_with_main_where_it_stood() {
    continued_beside(Main::AtOrigHead);
}

#[test]
fn a_rebase_goes_on_with_main_checked_out_elsewhere() {
    continued_beside(Main::CheckedOut);
}

#[test]
fn with_branch_a_rebase_ends_on_its_own_branch_only_where_that_is_free() {
    for (main, own) in [(Main::Missing, true), (Main::AtOrigHead, true), (Main::AtOrigin, false), (Main::CheckedOut, false)] {
        let scene = rebasing(main == Main::AtOrigHead);
        stands(&scene, main);
        let before = main_of(&scene.desktop);
        let (there, _) = scene.brought(&["--branch"]);
        let on = goes_on(&there);
        assert_eq!(on == "main", own, "{on}");
        assert_eq!(main_of(&scene.desktop) == before, !own, "{on}");
    }
}

#[test]
fn a_rebase_taken_back_leaves_no_branch() {
    let scene = rebasing(false);
    let before = super::seen::refs(&scene.desktop);
    let (there, told) = scene.brought(&[]);
    assert_ne!(super::seen::refs(&scene.desktop), before, "the branch on which it will end");
    scene.desktop.run_here(["undo", told["undo"].as_str().expect("an id")]).ok();
    assert!(!there.cwd.exists());
    assert_eq!(super::seen::refs(&scene.desktop), before);
}

fn with_exec() -> Scene {
    let scene = forked(false);
    let editor = "sed -i '$ a exec touch ran'";
    scene.laptop.env("GIT_SEQUENCE_EDITOR", editor).stops(["rebase", "-q", "-i", "side"]);
    scene
}

#[test]
fn a_command_in_a_todo_from_another_device_is_shown_and_not_run() {
    let scene = with_exec();
    scene.sends();
    let planned = scene.restore(&["--dry-run"]).ok();
    assert!(planned.stderr().contains("exec touch ran"), "{}", planned.stderr());
    let told = scene.restore(&["--json"]).ok().json();
    assert!(told["notes"].to_string().contains("exec touch ran"), "{told}");
    let there = scene.desktop.at(told["workspace"]["work_tree"].as_str().expect("a place"));
    let todo = there.git(["rev-parse", "--git-path", "rebase-merge/git-rebase-todo"]);
    assert!(!there.reads(todo.trim()).contains("exec"), "{}", there.reads(todo.trim()));
    there.puts("one", "both\n");
    there.git(["add", "one"]);
    // It stops where the command would have run.
    there.env("GIT_EDITOR", "true").git(["rebase", "--continue"]);
    there.env("GIT_EDITOR", "true").git(["rebase", "--continue"]);
    assert!(!there.cwd.join("ran").exists());
    assert_eq!(there.git(["log", "--format=%s", "-1"]), "main two\n");
}

#[test]
fn a_command_in_a_todo_is_kept_where_that_was_accepted() {
    let scene = with_exec();
    let (there, told) = scene.brought(&["--accept-config"]);
    assert!(!told["notes"].to_string().contains("left out"), "{told}");
    assert!(!there.cwd.join("ran").exists(), "not by the restore");
    goes_on_with_ran(&there);
}

fn goes_on_with_ran(there: &Machine) {
    there.puts("one", "both\n");
    there.git(["add", "one"]);
    there.env("GIT_EDITOR", "true").git(["rebase", "--continue"]);
    assert!(there.cwd.join("ran").exists());
}

/// In the middle of a rebase whose next commit has a file that makes programs run.
fn with_config_ahead() -> Scene {
    let scene = forked(false);
    scene.laptop.puts(".envrc", "touch ran\n");
    scene.laptop.commits("an environment");
    scene.laptop.env("GIT_SEQUENCE_EDITOR", "true").stops(["rebase", "-q", "-i", "side"]);
    scene
}

#[test]
fn a_rebase_stops_before_a_commit_of_another_device_that_makes_programs_run() {
    let scene = with_config_ahead();
    scene.sends();
    let told = scene.restore(&["--json"]).ok().json();
    assert!(told["notes"].to_string().contains("would bring '.envrc' of commit"), "{told:#}");
    let there = scene.desktop.at(told["workspace"]["work_tree"].as_str().expect("a place"));
    there.puts("one", "both\n");
    there.git(["add", "one"]);
    there.env("GIT_EDITOR", "true").git(["rebase", "--continue"]);
    assert!(!there.cwd.join(".envrc").exists(), "it was not looked at yet");
    there.env("GIT_EDITOR", "true").git(["rebase", "--continue"]);
    assert_eq!((there.reads(".envrc").as_str(), there.git(["log", "--format=%s", "-1"]).as_str()), ("touch ran\n", "an environment\n"));
}

#[test]
fn it_does_not_where_that_was_accepted() {
    let scene = with_config_ahead();
    let (there, told) = scene.brought(&["--accept-config"]);
    assert!(!told["notes"].to_string().contains("would bring"), "{told:#}");
    there.puts("one", "both\n");
    there.git(["add", "one"]);
    there.env("GIT_EDITOR", "true").git(["rebase", "--continue"]);
    assert_eq!(there.git(["log", "--format=%s", "-1"]), "an environment\n");
}

#[test]
fn commits_of_a_cherry_pick_that_make_programs_run_are_named() {
    let scene = forked(false);
    let laptop = &scene.laptop;
    laptop.git(["checkout", "-q", "-b", "picked", "side"]);
    laptop.puts("one", "picked\n");
    laptop.commits("picked");
    laptop.puts(".envrc", "touch ran\n");
    laptop.commits("an environment");
    laptop.git(["checkout", "-q", "main"]);
    laptop.stops(["cherry-pick", "side..picked"]);
    scene.sends();
    let told = scene.restore(&["--json"]).ok().json();
    assert!(told["notes"].to_string().contains("would bring '.envrc' of commit"), "{told:#}");
}

#[test]
fn a_merge_with_conflicts_is_finished_where_it_arrived() {
    let scene = forked(false);
    scene.laptop.stops(["merge", "-q", "side"]);
    scene.laptop.puts("dir/two", "changed meanwhile\n");
    let (there, _) = scene.brought(&["--branch"]);
    scene.assert_arrived(&there);
    assert!(there.reads("one").contains("<<<<<<<"));
    assert_eq!(there.git(["ls-files", "--unmerged"]).lines().count(), 3);
    there.puts("one", "merged\n");
    there.git(["add", "one"]);
    there.env("GIT_EDITOR", "true").git(["commit", "-q"]);
    assert_eq!(there.git(["log", "-1", "--format=%p"]).split_whitespace().count(), 2);
    assert!(there.git(["log", "-1", "--format=%s"]).starts_with("Merge branch 'side'"));
    assert_eq!(there.git(["symbolic-ref", "--short", "HEAD"]), "main\n");
}

#[test]
fn a_cherry_pick_of_several_goes_on_where_it_arrived() {
    let scene = forked(false);
    let laptop = &scene.laptop;
    laptop.git(["checkout", "-q", "side"]);
    laptop.stops(["cherry-pick", "main~2..main"]);
    let (there, _) = scene.brought(&[]);
    scene.assert_arrived(&there);
    there.puts("one", "picked\n");
    there.git(["add", "one"]);
    there.env("GIT_EDITOR", "true").git(["cherry-pick", "--continue"]);
    assert_eq!(there.git(["log", "--format=%s", "-3"]), "main two\nmain one\nside\n");
}

#[test]
fn an_operation_is_not_put_into_another_one() {
    let scene = rebasing(false);
    scene.sends();
    let desktop = &scene.desktop;
    desktop.git(["checkout", "-q", "-b", "other"]);
    desktop.puts("one", "other\n");
    desktop.commits("other");
    desktop.git(["checkout", "-q", "desk"]);
    desktop.puts("one", "desk\n");
    desktop.commits("desk");
    desktop.stops(["merge", "-q", "other"]);
    let before = Seen::of(desktop, true);
    scene.restore(&["--here"]).fails(1, "a merge is in progress here").hints("leave out --here");
    before.assert_same(&Seen::of(desktop, true));
    assert!(!desktop.transcript().exists());
}
