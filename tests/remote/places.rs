//! The helper wherever Git runs it: linked work trees, bare repositories, other formats, and no repository at all.

use super::{captured, listed, name_of, tracking_of, with_agents};
use crate::support::clones::{Project, SESSION};
use crate::support::sandbox::Sandbox;

#[test]
fn work_trees_and_relative_directories_are_one_repository() {
    let project = Project::new();
    let laptop = with_agents(&project, "laptop");
    laptop.git(["commit", "-q", "--allow-empty", "-m", "y"]);
    let tree = laptop.home.join("src/linked");
    laptop.git(["worktree", "add", "-q", "--detach", tree.to_str().expect("UTF-8")]);
    let linked = laptop.at(&tree);
    let below = laptop.at(laptop.cwd.join("below/this"));
    captured(&linked);
    let tip = laptop.rev(&tracking_of(SESSION));
    for machine in [&linked, &below, &laptop.env("GIT_DIR", ".git"), &laptop.env("GIT_DIR", laptop.cwd.join(".git"))] {
        assert_eq!(listed(machine, "session::", SESSION), Some(tip.clone()), "{}", machine.cwd.display());
        machine.git(["fetch", "-q", "agents"]);
        assert_eq!(machine.rev(&tracking_of(SESSION)), tip);
    }
}

#[test]
fn a_bare_repository_has_the_sessions_of_its_work_trees() {
    let project = Project::new();
    let laptop = project.sandbox.machine("laptop");
    laptop.run_here(["device", "init", "--name", "laptop"]).ok();
    let bare = laptop.at(laptop.home.join("bare.git"));
    bare.git(["clone", "-q", "--bare", project.origin.to_str().expect("UTF-8"), "."]);
    let tree = laptop.home.join("src/tree");
    bare.git(["worktree", "add", "-q", tree.to_str().expect("UTF-8"), "main"]);
    let tree = laptop.at(&tree);
    tree.say("one");
    assert!(listed(&bare, "session::", SESSION).is_some());
    bare.git(["fetch", "-q", "session::", "refs/samesession/*:refs/samesession-remote/agents/*"]);
    let tip = bare.rev(&tracking_of(SESSION));
    // There is no work tree to put a new one into.
    std::fs::remove_file(tree.transcript()).expect("removed");
    let ran = bare.try_git(["push", "session::", &format!("{tip}:{}", name_of(SESSION))]);
    assert!(ran.stderr().contains("there is no work tree here"), "{}", ran.stderr());
    tree.git(["push", "-q", "session::", &format!("{tip}:{}", name_of(SESSION))]);
    assert!(tree.transcript().is_file());
}

#[test]
fn outside_of_a_repository_there_is_a_list_and_nothing_else() {
    let sandbox = Sandbox::new();
    let laptop = sandbox.machine("laptop");
    laptop.say("one");
    assert!(listed(&laptop, "session::", SESSION).is_some());
    assert!(listed(&laptop.at(laptop.home.join("elsewhere")), "session::?all", SESSION).is_some());
    assert_eq!(laptop.at(laptop.home.join("elsewhere")).git(["ls-remote", "session::"]), "");
    laptop.at(laptop.home.join("clones")).git(["clone", "-q", "session::?all", "c"]);
}

#[test]
fn a_repository_of_sha256_objects_has_sessions_and_stores_too() {
    let sandbox = Sandbox::new();
    let laptop = sandbox.machine("laptop");
    laptop.run_here(["device", "init", "--name", "laptop"]).ok();
    laptop.git(["init", "-q", "--object-format=sha256"]);
    laptop.git(["commit", "-q", "--allow-empty", "-m", "x"]);
    laptop.say("one");
    let spec = "refs/samesession/*:refs/samesession-remote/agents/*";
    laptop.git(["fetch", "-q", "session::", spec]);
    laptop.say("two");
    laptop.git(["fetch", "-q", "session::", spec]);
    let tip = laptop.rev(&tracking_of(SESSION));
    assert_eq!((tip.len(), laptop.count(&tip)), (64, 2));
    let store = sandbox.path().join("store.git");
    laptop.git(["init", "-q", "--bare", "--object-format=sha256", store.to_str().expect("UTF-8")]);
    let address = format!("session::{}", store.display());
    laptop.git(["push", "-q", &address, "refs/samesession-remote/agents/*:refs/samesession/*"]);
    assert_eq!(listed(&laptop, &address, SESSION), Some(tip.clone()));
    let elsewhere = laptop.at(laptop.home.join("elsewhere"));
    assert_eq!(listed(&elsewhere, &address, SESSION), Some(tip.clone()));
    laptop.git(["fetch", "-q", &address, "refs/samesession/*:refs/samesession-remote/store/*"]);
    assert_eq!(laptop.rev(&tracking_of(SESSION).replace("agents", "store")), tip);
}
