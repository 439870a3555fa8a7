//! Kinds of work trees and of files that need more than a copy.

use std::fs;

use crate::support::clones::SESSION;
use crate::support::sandbox::Machine;

use super::scene::Scene;
use super::seen::{Seen, assert_untouched, untouched};

#[test]
fn what_was_left_in_a_work_tree_arrives_as_it_was() {
    let scene = Scene::new();
    let laptop = &scene.laptop;
    laptop.puts("local", "only here\n");
    laptop.commits("local");
    // A staged and an unstaged hunk in one file.
    laptop.puts("one", "staged\n2\n3\n4\n5\n6\n7\n8\n9\n");
    laptop.git(["add", "one"]);
    laptop.puts("one", "staged\n2\n3\n4\n5\n6\n7\n8\nunstaged\n");
    fs::remove_file(laptop.cwd.join("gone")).expect("removed");
    laptop.puts("new file", "untracked\n");
    laptop.runs("new file");
    let before = untouched(laptop);
    let (there, told) = scene.brought(&[]);
    assert_untouched(&before, laptop);
    scene.assert_arrived(&there);
    let staged = there.git(["diff", "--cached", "-U0", "one"]);
    assert!(staged.contains("+staged") && !staged.contains("unstaged"), "{staged}");
    let unstaged = there.git(["diff", "-U0", "one"]);
    assert!(unstaged.contains("+unstaged") && !unstaged.contains("+staged"), "{unstaged}");
    let workspace = &told["workspace"];
    let counted = ["commits", "staged", "changed", "deleted"].map(|what| workspace[what].as_u64().expect("a number"));
    assert_eq!(counted, [1, 1, 2, 1], "{told}");
    assert_eq!((&workspace["branch"], &workspace["on"]), (&"main".into(), &serde_json::Value::Null));
    // The agent goes on there.
    assert_eq!(there.heard(), laptop.heard());
    assert!(told["resume"].as_str().expect("a command").contains(there.cwd.to_str().expect("UTF-8")));
}

#[test]
fn a_session_below_the_top_goes_on_below_the_top() {
    let scene = Scene::new();
    let below = scene.laptop.at(scene.laptop.cwd.join("dir"));
    below.say("from below");
    below.run_here(["checkpoint", SESSION, "--push"]).ok();
    scene.desktop.git(["fetch", "-q"]);
    let told = scene.restore(&["--json"]).ok().json();
    let top = told["workspace"]["work_tree"].as_str().expect("a place");
    assert_eq!(told["cwd"], format!("{top}/dir"));
    assert_eq!(scene.desktop.at(format!("{top}/dir")).heard(), below.heard());
}

pub fn with_submodule() -> Scene {
    let scene = Scene::new();
    let library = scene.laptop.at(scene.laptop.home.join("src/library"));
    library.git(["init", "-q"]);
    library.puts("inside", "x\n");
    library.commits("library");
    let url = library.cwd.to_str().expect("UTF-8");
    scene.laptop.git(["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, "lib"]);
    scene.laptop.git(["add", "-A"]);
    scene
}

#[test]
fn a_submodule_comes_by_its_commit_and_is_said_not_to_be_checked_out() {
    let scene = with_submodule();
    // `.gitmodules` names places to fetch from, so it is looked at before it comes.
    let (there, told) = scene.brought(&["--accept-config"]);
    assert!(told["notes"].to_string().contains("submodule 'lib' is not checked out"), "{told}");
    scene.assert_arrived(&there);
    let staged = |machine: &Machine| machine.git(["ls-files", "--stage", "lib"]);
    assert_eq!(staged(&there), staged(&scene.laptop));
}

/// A filter as git-lfs is one: required, and what Git keeps is not what stands in the work tree.
fn filtered() -> Scene {
    let scene = Scene::new();
    for (what, with) in [("clean", "tr a-z A-Z"), ("smudge", "tr A-Z a-z"), ("required", "true")] {
        scene.laptop.git(["config", &format!("filter.big.{what}"), with]);
    }
    scene.laptop.puts(".gitattributes", "*.big filter=big\n");
    scene.laptop.puts("kept.big", "large and unchanged\n");
    scene.laptop.puts("changed.big", "large\n");
    scene.laptop.commits("large files");
    scene.laptop.git(["push", "-q", "origin", "main"]);
    scene.laptop.puts("changed.big", "large\nand changed\n");
    scene
}

#[test]
fn files_of_a_filter_that_is_missing_here_come_raw_and_the_index_stays() {
    let scene = filtered();
    let (there, told) = scene.brought(&[]);
    assert!(told["notes"].to_string().contains("the filter 'big' is not set up here"), "{told}");
    assert_eq!(Seen::of(&there, false).index, Seen::of(&scene.laptop, false).index);
    assert_eq!(there.reads("changed.big"), "large\nand changed\n");
    assert_eq!(there.reads("kept.big"), "large and unchanged\n");
}

#[test]
fn a_required_filter_that_fails_here_stops_nothing() {
    let scene = filtered();
    for (what, with) in [("clean", "false"), ("smudge", "false"), ("required", "true")] {
        scene.desktop.git(["config", &format!("filter.big.{what}"), with]);
    }
    let (there, _) = scene.brought(&[]);
    let staged = |machine: &Machine| machine.git(["ls-files", "--stage"]);
    assert_eq!(staged(&there), staged(&scene.laptop));
    assert_eq!(there.reads("changed.big"), "large\nand changed\n");
}

#[test]
fn a_linked_worktree_is_captured_and_not_the_main_one() {
    let scene = Scene::new();
    scene.laptop.puts("one", "changed in the main one\n");
    let linked = scene.laptop.at(scene.laptop.home.join("src/linked"));
    fs::remove_dir(&linked.cwd).expect("removed");
    scene.laptop.git(["worktree", "add", "-q", "-b", "topic", linked.cwd.to_str().expect("UTF-8")]);
    linked.puts("dir/two", "changed in the linked one\n");
    linked.git(["add", "dir/two"]);
    linked.puts("new", "new\n");
    linked.say("from the linked one");
    linked.run_here(["checkpoint", SESSION, "--push"]).ok();
    scene.desktop.git(["fetch", "-q"]);
    let told = scene.restore(&["--json", "--branch"]).ok().json();
    let there = scene.desktop.at(told["workspace"]["work_tree"].as_str().expect("a place"));
    Seen::of(&linked, false).assert_same(&Seen::of(&there, false));
    assert_eq!(there.git(["symbolic-ref", "--short", "HEAD"]), "topic\n");
}

#[test]
fn every_bit_of_a_mode_arrives_of_what_is_changed_or_new() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    let modes = [("one", 0o640), ("dir/two", 0o600), ("private", 0o600), ("shared", 0o664), ("script", 0o700), ("read only", 0o444)];
    for (name, mode) in modes {
        scene.laptop.puts(name, "changed\n");
        fs::set_permissions(scene.laptop.cwd.join(name), fs::Permissions::from_mode(mode)).expect("set");
    }
    let (there, _) = scene.brought(&[]);
    let mode = |name: &str| fs::metadata(there.cwd.join(name)).expect("there").permissions().mode() & 0o7777;
    assert_eq!(modes.map(|(name, _)| (name, mode(name))), modes);
    scene.assert_arrived(&there);
}

#[test]
fn other_line_endings_of_the_destination_are_said_and_change_nothing_that_was_changed() {
    let scene = Scene::new();
    scene.laptop.puts("one", "changed\nwith\nlines\n");
    scene.laptop.puts("mixed", "a\r\nb\n");
    scene.desktop.git(["config", "core.autocrlf", "true"]);
    let (there, told) = scene.brought(&[]);
    assert!(told["notes"].to_string().contains("core.autocrlf is true here"), "{told:#}");
    assert_eq!((there.reads("one").as_str(), there.reads("mixed").as_str()), ("changed\nwith\nlines\n", "a\r\nb\n"));
    assert_eq!(Seen::of(&there, false).index, Seen::of(&scene.laptop, false).index);
}

#[test]
fn here_a_part_of_the_tree_stays_what_it_is_and_is_said() {
    let narrow = |machine: &Machine, dir: &str| {
        machine.git(["sparse-checkout", "set", "--cone", dir]);
    };
    // The same part on both sides.
    let scene = Scene::new();
    narrow(&scene.laptop, "dir");
    narrow(&scene.desktop, "dir");
    scene.laptop.puts("dir/two", "changed\n");
    let (there, told) = scene.brought(&["--here"]);
    assert!(!told["notes"].to_string().contains("tree is checked out"), "{told:#}");
    scene.assert_arrived(&there);
    // Another one here.
    let scene = Scene::new();
    narrow(&scene.desktop, "other");
    scene.laptop.puts("one", "changed\n");
    let (there, told) = scene.brought(&["--here"]);
    assert!(told["notes"].to_string().contains("another part of the tree is checked out here"), "{told:#}");
    assert_eq!((there.reads("one").as_str(), there.cwd.join("dir/two").exists()), ("changed\n", false));
    // All of it here.
    let scene = Scene::new();
    narrow(&scene.laptop, "other");
    scene.laptop.puts("one", "changed\n");
    let (there, told) = scene.brought(&["--here"]);
    assert!(told["notes"].to_string().contains("the sparse checkout was left out"), "{told:#}");
    assert_eq!((there.reads("one").as_str(), there.reads("dir/two").as_str()), ("changed\n", "two\n"));
}
