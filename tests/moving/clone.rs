//! `clone`: a machine that has neither the repository nor its sessions.

use std::fs;

use crate::support::clones::SESSION;
use crate::support::sandbox::{Machine, Ran};
use crate::workspace::scene::Scene;

/// A machine without keys and without a repository, and a session that waits for whoever comes.
fn handed() -> (Scene, Machine) {
    let scene = Scene::new();
    scene.laptop.say("a word");
    scene.laptop.puts("one", "changed\n");
    scene.laptop.puts("new", "untracked\n");
    scene.laptop.run_here(["move", SESSION, "--note", "look at line 3"]).ok();
    let third = scene.sandbox.machine("third");
    fs::copy(scene.laptop.home.join(".gitconfig"), third.home.join(".gitconfig")).expect("copied");
    (scene, third)
}

impl Scene {
    /// `clone` of the origin, with these options besides.
    fn cloned(&self, third: &Machine, more: &[&str]) -> Ran {
        let origin = self.origin.to_str().expect("UTF-8");
        third.run_here([&["clone", origin], more].concat())
    }

    #[track_caller]
    fn lets_read(&self, third: &Machine) {
        self.laptop.run_here(["recipient", "add", &third.recipient()]).ok();
        self.laptop.run_here(["push", "--all"]).ok();
    }
}

#[test]
fn on_a_bare_machine_it_says_who_has_to_let_it_read_and_then_goes_on_in_place() {
    let (scene, third) = handed();
    let trust = scene.laptop.fingerprint();
    let ran = scene.cloned(&third, &["--no-launch"]).fails(1, "this device is not a recipient yet");
    let key = third.recipient();
    let ran = ran.hints(&format!("git samesession recipient add {key}"));
    assert!(ran.stderr().contains("made keys for this device") && ran.stderr().contains("the clone stands in"), "{}", ran.stderr());
    // What was cloned stays, and knows how sessions come.
    let there = third.at(third.cwd.join("origin"));
    assert_eq!(there.reads("dir/two"), "two\n");
    there
        .git(["for-each-ref", "--count=1", "--format=%(refname)", "refs/samesession-remote/origin"])
        .trim()
        .parse::<String>()
        .expect("text");
    assert!(there.git(["config", "--get-all", "remote.origin.fetch"]).contains("+refs/samesession/*:refs/samesession-remote/origin/*"));
    scene.cloned(&third, &["--no-launch"]).fails(128, "git clone failed");
    scene.cloned(&third, &["named", "--no-launch", "--json"]).fails_with(1);

    scene.lets_read(&third);
    // Whose it is has to be known, whoever waits.
    let ran =
        scene.cloned(&third, &["stranger", "--no-launch"]).fails(1, "signed by a key that this device does not know").hints("--trust");
    assert!(!ran.stderr().contains("a word"), "a stranger's words are not shown: {}", ran.stderr());
    let told = scene.cloned(&third, &["again", "--no-launch", "--trust", &trust, "--json"]).ok().json();
    let there = third.at(third.cwd.join("again"));
    assert_eq!(told["workspace"]["work_tree"], there.cwd.to_str().expect("UTF-8"), "{told:#}");
    assert_eq!((&told["note"], &told["lease"]["standing"]), (&"look at line 3".into(), &"mine".into()), "{told:#}");
    assert_eq!((there.reads("one"), there.reads("new")), ("changed\n".to_owned(), "untracked\n".to_owned()));
    assert_eq!(there.git(["status", "--porcelain", "--branch"]), scene.laptop.git(["status", "--porcelain", "--branch"]));
    assert_eq!(there.heard(), scene.laptop.heard());
    assert_eq!(there.worktrees(), 1);
    // The first clone was left behind half way, and goes on as well.
    there.run_here(["move", SESSION]).ok();
    scene.laptop.run_here(["resume", "--no-launch", "--trust", &third.fingerprint()]).ok();
}

#[test]
fn the_agent_works_in_the_clone_and_what_it_leaves_goes_back() {
    let (scene, third) = handed();
    third.run_here(["device", "init", "--name", "third"]).ok();
    scene.lets_read(&third);
    let third = third.with_agent("pwd >>here; exit 7");
    let trust = scene.laptop.fingerprint();
    // A repository that the environment names has nothing to do with it.
    let ran = third.env("GIT_DIR", scene.laptop.cwd.join(".git")).env("GIT_WORK_TREE", &scene.laptop.cwd);
    let before = scene.laptop.git(["config", "--list", "--local"]);
    let ran = scene.cloned(&ran, &["demo", SESSION, "--trust", &trust, "--", "more", "words"]).fails_with(7);
    assert!(ran.stderr().contains("Cloning into 'demo'"), "Git's own words: {}", ran.stderr());
    assert!(ran.stderr().contains("free for whoever goes on"), "{}", ran.stderr());
    let there = third.at(third.cwd.join("demo"));
    assert_eq!(there.reads("here"), format!("{}\n", there.cwd.display()));
    assert!(there.heard().contains("more words"), "{}", there.heard());
    assert_eq!(scene.laptop.git(["config", "--list", "--local"]), before);
    scene.laptop.run_here(["resume", "--no-launch", "--trust", &third.fingerprint()]).ok();
    assert!(scene.laptop.heard_of(SESSION).contains("more words"));
}

#[test]
fn what_cannot_be_cloned_leaves_nothing_and_what_has_no_session_stays() {
    let scene = Scene::new();
    let third = scene.sandbox.machine("third");
    let nowhere = scene.sandbox.path().join("nowhere.git");
    let ran = third.run_here(["clone", nowhere.to_str().expect("UTF-8")]).fails(128, "git clone failed");
    assert!(ran.stderr().contains("does not exist"), "Git's own words: {}", ran.stderr());
    assert!(!third.cwd.join("nowhere").exists() && !third.home.join(".config/samesession").exists());
    third.run_here(["clone", "/"]).fails(129, "does not say what the clone shall be called").hints("git samesession clone URL DIR");
    scene.cloned(&third, &["--quiet"]).fails(1, "no session of this repository can be gone on with here");
    assert_eq!(third.at(third.cwd.join("origin")).reads("dir/two"), "two\n");
}
