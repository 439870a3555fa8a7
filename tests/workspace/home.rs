//! Coming home: a session that went to another machine and back ends in the work tree that it left, if nothing is lost by
//! that, and else in a new one, with the reason.

use std::fs;

use serde_json::Value;

use crate::support::clones::SESSION;
use crate::support::sandbox::Machine;

use super::scene::{Scene, assert_nothing_done};
use super::seen::{Seen, refs};

type Change = fn(&Machine);

/// Everything at once: a local commit, staged, unstaged, untracked, deleted, executable, a link, an empty directory.
fn dirty(machine: &Machine) {
    machine.puts("local", "only here\n");
    machine.commits("local");
    machine.puts("one", "staged\n2\n3\n4\n5\n6\n7\n8\n9\n");
    machine.git(["add", "one"]);
    machine.puts("one", "staged\n2\n3\n4\n5\n6\n7\n8\nunstaged\n");
    fs::remove_file(machine.cwd.join("gone")).expect("removed");
    machine.puts("staged new", "staged\n");
    machine.git(["add", "staged new"]);
    machine.puts("new file", "untracked\n");
    machine.runs("new file");
    std::os::unix::fs::symlink("nowhere", machine.cwd.join("link")).expect("linked");
    fs::create_dir_all(machine.cwd.join("empty/inside")).expect("made");
}

impl Scene {
    /// From the laptop to the desktop; there it is gone on with by `work`, and comes back as far as the remote.
    #[track_caller]
    fn there_and_back(&self, work: impl FnOnce(&Machine)) -> Machine {
        let (there, _) = self.brought(&[]);
        work(&there);
        there.say("gone on there");
        there.run_here(["checkpoint", SESSION, "--push"]).ok();
        self.laptop.git(["fetch", "-q"]);
        there
    }

    #[track_caller]
    fn comes_home(&self, options: &[&str]) -> Value {
        let told = self.laptop.run_here([&["restore", SESSION, "--json"], options].concat()).ok().json();
        let here = self.laptop.cwd.to_str().expect("UTF-8");
        assert_eq!(told["workspace"]["work_tree"].as_str(), Some(here), "{told:#}");
        assert_eq!((told["cwd"].as_str(), self.laptop.worktrees()), (Some(here), 1), "{told:#}");
        told
    }

    #[track_caller]
    fn does_not_come_home(&self, because: &str) {
        let before = (Seen::of(&self.laptop, true), refs(&self.laptop));
        let told = self.laptop.run_here(["restore", SESSION, "--json"]).ok().json();
        assert!(told["notes"].to_string().contains(because), "{told:#}");
        assert_ne!(told["workspace"]["work_tree"].as_str(), self.laptop.cwd.to_str());
        before.0.assert_same(&Seen::of(&self.laptop, true));
        assert_eq!((refs(&self.laptop), self.laptop.worktrees()), (before.1, 2));
    }
}

fn works_on(there: &Machine) {
    there.puts("there", "made there\n");
    there.git(["add", "there"]);
    there.git(["commit", "-q", "-m", "there", "--", "there"]);
    there.puts("one", "changed there\n");
    there.puts("dir/two", "staged there\n");
    there.git(["add", "dir/two"]);
    fs::remove_file(there.cwd.join("new file")).expect("removed");
    fs::remove_dir_all(there.cwd.join("empty")).expect("removed");
    there.puts("empty", "a file now\n");
}

#[test]
fn it_ends_in_the_work_tree_that_it_left_and_undo_takes_all_of_it_back() {
    let scene = Scene::new();
    dirty(&scene.laptop);
    let there = scene.there_and_back(works_on);
    let head = scene.laptop.git(["symbolic-ref", "HEAD"]);
    let before = (Seen::of(&scene.laptop, true), refs(&scene.laptop));
    let home = scene.comes_home(&[]);
    Seen::of(&there, false).assert_same(&Seen::of(&scene.laptop, false));
    assert_eq!(scene.laptop.heard(), there.heard());
    assert_eq!(refs(&scene.laptop), before.1, "no branch has moved");
    scene.laptop.run_here(["undo", home["undo"].as_str().expect("an id")]).ok();
    before.0.assert_same(&Seen::of(&scene.laptop, true));
    assert_eq!((scene.laptop.git(["symbolic-ref", "HEAD"]), refs(&scene.laptop)), (head, before.1));
    // And once more, as if nothing had been.
    scene.comes_home(&[]);
    Seen::of(&there, false).assert_same(&Seen::of(&scene.laptop, false));
}

#[test]
fn it_goes_to_and_fro_in_the_same_two_work_trees() {
    let scene = Scene::new();
    dirty(&scene.laptop);
    let there = scene.there_and_back(|there| there.puts("one", "there\n"));
    for turn in 0..3 {
        scene.comes_home(&[]);
        scene.laptop.puts("one", format!("here {turn}\n"));
        scene.laptop.say("gone on here");
        scene.laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
        there.git(["fetch", "-q"]);
        let told = there.run_here(["restore", SESSION, "--json"]).ok().json();
        assert_eq!(told["workspace"]["work_tree"].as_str(), there.cwd.to_str(), "{told:#}");
        Seen::of(&scene.laptop, false).assert_same(&Seen::of(&there, false));
        there.puts("one", format!("there {turn}\n"));
        there.say("gone on there");
        there.run_here(["checkpoint", SESSION, "--push"]).ok();
        scene.laptop.git(["fetch", "-q"]);
    }
    assert_eq!(scene.desktop.worktrees(), 2);
}

#[test]
fn a_branch_that_stands_where_it_stood_is_not_left() {
    let scene = Scene::new();
    scene.laptop.puts("one", "dirty\n");
    scene.there_and_back(|there| there.puts("one", "dirty there\n"));
    scene.comes_home(&[]);
    assert_eq!(scene.laptop.git(["symbolic-ref", "--short", "HEAD"]), "main\n");
    assert_eq!(scene.laptop.reads("one"), "dirty there\n");
}

#[test]
fn a_clean_work_tree_is_home_too() {
    let scene = Scene::new();
    scene.laptop.puts("local", "only here\n");
    scene.laptop.commits("local");
    let there = scene.there_and_back(works_on_a_clean_one);
    // Nothing of it is known to be in a capsule, and nothing of it is only here.
    fs::remove_dir_all(scene.laptop.cwd.join(".git/samesession")).expect("removed");
    scene.comes_home(&[]);
    Seen::of(&there, false).assert_same(&Seen::of(&scene.laptop, false));
}

fn works_on_a_clean_one(there: &Machine) {
    there.puts("there", "made there\n");
    there.commits("there");
    there.puts("one", "changed there\n");
}

#[test]
fn work_that_no_capsule_holds_is_left_alone() {
    let changes: [(&str, Change); 6] = [
        ("('gone'), and no capsule", |laptop| laptop.puts("one", "since then\n")),
        ("", |laptop| laptop.puts("new", "since then\n")),
        ("", |laptop| {
            laptop.git(["add", "new file"]);
        }),
        ("", |laptop| laptop.puts("new file", "Untracked\n")),
        ("", |laptop| fs::remove_file(laptop.cwd.join("link")).expect("removed")),
        ("", |laptop| {
            laptop.git(["stash", "-q", "-u"]);
            laptop.git(["checkout", "-q", "--detach"]);
            laptop.git(["commit", "-q", "--allow-empty", "-m", "only here"]);
        }),
    ];
    for (n, (what, change)) in changes.into_iter().enumerate() {
        let scene = Scene::new();
        dirty(&scene.laptop);
        scene.there_and_back(|there| there.puts("one", "there\n"));
        change(&scene.laptop);
        scene.does_not_come_home(what);
        scene.laptop.run_here(["undo"]).ok();
        assert_eq!(scene.laptop.worktrees(), 1, "{n}");
    }
}

#[test]
fn the_same_size_and_times_are_not_the_same_file() {
    let scene = Scene::new();
    dirty(&scene.laptop);
    scene.there_and_back(|there| there.puts("one", "there\n"));
    let file = scene.laptop.cwd.join("new file");
    let times = fs::metadata(&file).and_then(|meta| meta.modified()).expect("a time");
    fs::write(&file, "Untracked\n").expect("written");
    fs::File::options().write(true).open(&file).and_then(|file| file.set_modified(times)).expect("set back");
    scene.does_not_come_home("no capsule of this session is known to hold it");
}

#[test]
fn what_git_ignores_stays_and_what_is_in_the_way_is_not_lost() {
    let scene = Scene::new();
    scene.laptop.puts(".git/info/exclude", "ignored\n");
    scene.laptop.puts("ignored", "precious\n");
    scene.laptop.puts("one", "dirty\n");
    scene.there_and_back(|there| there.puts("one", "there\n"));
    scene.comes_home(&[]);
    assert_eq!(scene.laptop.reads("ignored"), "precious\n");
    // Another machine has a file of that name which is not ignored there.
    let there = scene.desktop.at(scene
        .desktop
        .git(["worktree", "list", "--porcelain"])
        .lines()
        .filter_map(|line| line.strip_prefix("worktree "))
        .nth(1)
        .expect("one"));
    there.puts("ignored", "another\n");
    there.say("once more");
    there.run_here(["checkpoint", SESSION, "--push"]).ok();
    scene.laptop.git(["fetch", "-q"]);
    scene.does_not_come_home("'ignored' is in the way");
    assert_eq!(scene.laptop.reads("ignored"), "precious\n");
}

#[test]
fn a_rebase_in_the_middle_comes_home_and_its_undo_brings_the_old_one_back() {
    let scene = Scene::new();
    let laptop = &scene.laptop;
    laptop.git(["checkout", "-q", "-b", "side"]);
    laptop.puts("one", "side\n");
    laptop.commits("side");
    laptop.git(["checkout", "-q", "main"]);
    for n in ["a", "b"] {
        laptop.puts("one", format!("main {n}\n"));
        laptop.commits(n);
    }
    laptop.env("GIT_SEQUENCE_EDITOR", "true").stops(["rebase", "-q", "-i", "side"]);
    laptop.puts("new", "new\n");
    let there = scene.there_and_back(|there| {
        there.puts("one", "solved\n");
        there.git(["add", "one"]);
        there.stops(["rebase", "--continue"]);
    });
    let state = |name: &str| fs::read_to_string(laptop.cwd.join(".git/rebase-merge").join(name)).expect("there");
    let before = (Seen::of(laptop, true), refs(laptop), state("head-name"), state("git-rebase-todo"), state("done"));
    let home = scene.comes_home(&[]);
    Seen::of(&there, false).assert_same(&Seen::of(laptop, false));
    assert_ne!(state("done"), before.4);
    laptop.run_here(["undo", home["undo"].as_str().expect("an id")]).ok();
    before.0.assert_same(&Seen::of(laptop, true));
    assert_eq!((refs(laptop), state("head-name"), state("git-rebase-todo"), state("done")), (before.1, before.2, before.3, before.4));
    laptop.puts("one", "solved\n");
    laptop.git(["add", "one"]);
    laptop.stops(["rebase", "--continue"]);
    laptop.puts("one", "solved again\n");
    laptop.git(["add", "one"]);
    laptop.env("GIT_EDITOR", "true").git(["rebase", "--continue"]);
    assert_eq!(laptop.git(["symbolic-ref", "--short", "HEAD"]), "main\n");
}

#[test]
fn undo_needs_no_object_that_git_may_have_thrown_away() {
    let scene = Scene::new();
    dirty(&scene.laptop);
    scene.there_and_back(works_on);
    let before = Seen::of(&scene.laptop, true);
    scene.comes_home(&[]);
    scene.laptop.git(["reflog", "expire", "--all", "--expire=now"]);
    scene.laptop.git(["gc", "-q", "--prune=now"]);
    scene.laptop.run_here(["undo"]).ok();
    before.assert_same(&Seen::of(&scene.laptop, true));
    assert!(scene.laptop.try_git(["fsck", "--connectivity-only"]).code() == Some(0));
}

#[test]
fn a_plan_says_that_it_comes_home_and_writes_nothing() {
    let scene = Scene::new();
    dirty(&scene.laptop);
    scene.there_and_back(works_on);
    let laptop = &scene.laptop;
    let before = crate::support::sandbox::snapshot(&laptop.home);
    let told = laptop.run_here(["restore", SESSION, "--dry-run"]).ok().stdout();
    assert!(told.contains(&format!("would go to {},", laptop.cwd.display())), "{told}");
    let ours = |tree: Vec<(std::path::PathBuf, Vec<u8>)>| -> Vec<_> {
        tree.into_iter().filter(|(path, _)| !path.to_string_lossy().contains("/.git/")).collect()
    };
    assert_nothing_done(&ours(before), &ours(crate::support::sandbox::snapshot(&laptop.home)), "a plan");
}

#[test]
fn a_file_brings_it_home_too() {
    let scene = Scene::new();
    dirty(&scene.laptop);
    let capsule = scene.seals(SESSION);
    let told = scene.desktop.run_here(["restore", &capsule, "--json"]).ok().json();
    let there = scene.desktop.at(told["workspace"]["work_tree"].as_str().expect("a place"));
    works_on(&there);
    there.say("gone on there");
    let back = scene.sandbox.path().join("back.capsule").to_str().expect("UTF-8").to_owned();
    there.run_here(["checkpoint", SESSION, "-o", &back, "-r", &scene.laptop.recipient()]).ok();
    let told = scene.laptop.run_here(["restore", &back, "--json"]).ok().json();
    assert_eq!(told["workspace"]["work_tree"].as_str(), scene.laptop.cwd.to_str(), "{told:#}");
    Seen::of(&there, false).assert_same(&Seen::of(&scene.laptop, false));
}

#[test]
fn what_is_written_meanwhile_stops_it_and_stays() {
    // A file that is in the capsule; one that nothing is known of; one that was not changed before; the user's own Git.
    let changes: [Change; 4] = [
        |laptop| laptop.puts("new file", "written meanwhile\n"),
        |laptop| laptop.puts("there", "in the way\n"),
        |laptop| laptop.puts("dir/two", "written meanwhile\n"),
        |laptop| {
            laptop.git(["commit", "-q", "-m", "meanwhile"]);
        },
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let scene = Scene::new();
        dirty(&scene.laptop);
        scene.there_and_back(works_on);
        let heard = scene.laptop.heard();
        let mut paused = scene.laptop.at(&scene.laptop.cwd).pause_at("restore.planned", ["restore", SESSION]);
        change(&scene.laptop);
        let (after, theirs) = (Seen::of(&scene.laptop, true), refs(&scene.laptop));
        let ran = paused.end();
        assert!(ran.code() != Some(0), "{n}: {}", ran.stdout());
        after.assert_same(&Seen::of(&scene.laptop, true));
        assert_eq!((refs(&scene.laptop), scene.laptop.heard()), (theirs, heard), "{n}");
    }
    // Later than that, with all of it in the backup.
    let scene = Scene::new();
    dirty(&scene.laptop);
    scene.there_and_back(works_on);
    let mut paused = scene.laptop.pause_at("workspace.kept", ["restore", SESSION]);
    scene.laptop.puts("new file", "written meanwhile\n");
    let after = Seen::of(&scene.laptop, true);
    assert!(paused.end().code() != Some(0));
    after.assert_same(&Seen::of(&scene.laptop, true));
}
