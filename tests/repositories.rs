//! Every kind of repository: `init` and `checkpoint` work there, or say in one line why not. What is the user's own (the
//! configuration, `.git/shallow`, the index, the work tree) stays as it was, and Git finds nothing to object to.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::agents::skipped;
use crate::support::sandbox::{CLAUDE, Machine, Sandbox};

/// A machine with a session, whose project is no repository yet.
fn laptop(sandbox: &Sandbox) -> Machine {
    let laptop = sandbox.machine("laptop");
    laptop.init().with_claude();
    laptop
}

fn commit(machine: &Machine, file: &str) {
    fs::write(machine.cwd.join(file), file).expect("written");
    machine.git(["add", "-A"]);
    machine.git(["commit", "-q", "-m", file]);
}

/// A repository with history, from which others are cloned.
fn origin(sandbox: &Sandbox) -> Machine {
    let server = sandbox.machine("server");
    server.git(["init", "-q", "."]);
    commit(&server, "one");
    commit(&server, "two");
    server.git(["config", "uploadpack.allowFilter", "true"]);
    server
}

fn url(machine: &Machine) -> String {
    format!("file://{}", machine.cwd.display())
}

/// What is the user's own, and what Git says of it.
#[derive(Debug, PartialEq)]
struct State {
    config: String,
    shallow: Option<Vec<u8>>,
    head: Vec<u8>,
    status: Option<String>,
    fsck: (Option<i32>, String, String),
}

fn common(machine: &Machine) -> PathBuf {
    PathBuf::from(machine.git(["rev-parse", "--path-format=absolute", "--git-common-dir"]).trim_end())
}

fn state(machine: &Machine) -> State {
    let common = common(machine);
    let bare = machine.git(["rev-parse", "--is-bare-repository"]) == "true\n";
    let fsck = machine.command("git").args(["fsck", "--strict"]).output().expect("git");
    // What it merely notices of a HEAD without commits goes once there are other refs.
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().filter(|line| !line.starts_with("notice: ")).collect::<String>();
    State {
        config: fs::read_to_string(common.join("config")).expect("a configuration"),
        shallow: fs::read(common.join("shallow")).ok(),
        head: fs::read(common.join("HEAD")).expect("a HEAD"),
        status: (!bare).then(|| machine.git(["status", "--porcelain=v2", "--branch", "--show-stash"])),
        fsck: (fsck.status.code(), text(&fsck.stdout), text(&fsck.stderr)),
    }
}

fn grow(machine: &Machine) {
    let projects = fs::read_dir(machine.claude().join("projects")).expect("projects");
    let file = projects.flatten().map(|dir| dir.path().join(format!("{CLAUDE}.jsonl"))).find(|file| file.exists()).expect("the session");
    let line = format!("{{\"type\":\"user\",\"sessionId\":\"{CLAUDE}\",\"message\":{{\"content\":\"more\"}}}}\n");
    fs::OpenOptions::new().append(true).open(file).and_then(|mut file| file.write_all(line.as_bytes())).expect("appended");
}

/// Two checkpoints, and `init` taken back: all of it works, and nothing else has changed. Returns the last answer.
fn works(machine: &Machine) -> Value {
    let before = state(machine);
    machine.run(["init"]).ok();
    let first = machine.json(["checkpoint", CLAUDE]);
    grow(machine);
    let second = machine.json(["checkpoint", CLAUDE]);
    assert_eq!((first["sequence"].as_u64(), second["sequence"].as_u64()), (Some(1), Some(2)));
    let (tip, sid) = (second["commit"].as_str().expect("a commit"), second["sid"].as_str().expect("a sid"));
    assert_eq!(machine.git(["rev-parse", &format!("refs/samesession/sessions/{sid}")]).trim_end(), tip);
    assert_eq!(machine.git(["rev-parse", &format!("{tip}~1")]).trim_end(), first["commit"].as_str().expect("a commit"));
    let doctor = machine.run(["doctor"]).ok().stdout();
    assert!(doctor.contains("1 session in '"), "{doctor}");
    machine.run(["init", "--uninstall"]).ok();
    assert_eq!(state(machine), before);
    verifies(machine, tip, &own_signers(machine));
    second
}

/// `git verify-commit` agrees, with the file in Git's form.
fn verifies(machine: &Machine, commit: &str, signers: &Path) {
    let known = machine.command("ssh-keygen").arg("-?").output();
    if known.is_err() {
        return skipped("ssh-keygen is not installed");
    }
    let file = format!("gpg.ssh.allowedSignersFile={}", signers.display());
    let verified = machine.command("git").args(["-c", "gpg.format=ssh", "-c", &file, "verify-commit", commit]).output().expect("git");
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.contains("Good \"git\" signature for laptop"), "{said}");
}

fn own_signers(machine: &Machine) -> PathBuf {
    let key = fs::read_to_string(machine.home.join(".config/samesession/device/signing_key.pub")).expect("a key");
    let file = machine.home.join("allowed_signers");
    fs::write(&file, format!("laptop namespaces=\"git\" {key}")).expect("written");
    file
}

#[test]
fn without_commits_and_without_a_remote() {
    let sandbox = Sandbox::new();
    let laptop = laptop(&sandbox);
    laptop.git(["init", "-q", "."]);
    works(&laptop);
}

#[test]
fn with_commits_changes_and_several_remotes() {
    let sandbox = Sandbox::new();
    let laptop = laptop(&sandbox);
    laptop.git(["init", "-q", "."]);
    commit(&laptop, "one");
    fs::write(laptop.cwd.join("staged"), "staged").expect("written");
    laptop.git(["add", "staged"]);
    fs::write(laptop.cwd.join("one"), "changed").expect("written");
    for name in ["origin", "fork"] {
        laptop.git(["remote", "add", name, "/nowhere"]);
    }
    works(&laptop);
}

#[test]
fn of_the_sha256_format() {
    let sandbox = Sandbox::new();
    let laptop = laptop(&sandbox);
    laptop.git(["init", "-q", "--object-format=sha256", "."]);
    commit(&laptop, "one");
    let made = works(&laptop);
    assert_eq!(made["commit"].as_str().expect("a commit").len(), 64);
}

#[test]
fn with_its_refs_in_a_reftable() {
    let sandbox = Sandbox::new();
    let laptop = laptop(&sandbox);
    if !laptop.command("git").args(["init", "-q", "--ref-format=reftable", "."]).output().expect("git").status.success() {
        return skipped("this Git has no reftable");
    }
    commit(&laptop, "one");
    works(&laptop);
}

#[test]
fn in_a_linked_work_tree_it_lands_in_the_repository_of_all() {
    let sandbox = Sandbox::new();
    let laptop = laptop(&sandbox);
    laptop.git(["init", "-q", "."]);
    commit(&laptop, "one");
    laptop.git(["config", "extensions.worktreeConfig", "true"]);
    let linked = laptop.home.join("src/linked");
    laptop.git(["worktree", "add", "-q", linked.to_str().expect("UTF-8")]);
    let linked = laptop.at(linked.join("below"));
    let made = works(&linked);
    assert_eq!(common(&linked), laptop.cwd.join(".git"));
    assert_eq!(laptop.git(["for-each-ref", "--format=%(objectname)", "refs/samesession"]).trim_end(), made["commit"]);
    assert_eq!(laptop.json(["checkpoint", CLAUDE])["state"], "unchanged");
}

#[test]
fn bare() {
    let sandbox = Sandbox::new();
    let laptop = laptop(&sandbox);
    laptop.git(["init", "-q", "--bare", "."]);
    works(&laptop);
    assert_eq!(laptop.env("GIT_DIR", ".").json(["checkpoint", CLAUDE])["state"], "unchanged");
}

#[test]
fn named_by_variables() {
    let sandbox = Sandbox::new();
    let laptop = laptop(&sandbox);
    laptop.git(["init", "-q", "."]);
    commit(&laptop, "one");
    let elsewhere = laptop.at(laptop.home.join("elsewhere"));
    let absolute = elsewhere.env("GIT_DIR", laptop.cwd.join(".git")).env("GIT_WORK_TREE", &laptop.cwd);
    works(&absolute);
    elsewhere.run(["checkpoint", CLAUDE]).fails(128, "not in a Git repository");
    let relative = laptop.env("GIT_DIR", ".git").env("GIT_WORK_TREE", ".");
    assert_eq!(relative.json(["checkpoint", CLAUDE])["state"], "unchanged");
    let nowhere = laptop.env("GIT_DIR", "/nowhere");
    nowhere.run(["checkpoint", CLAUDE]).fails(128, "not in a Git repository");
}

#[test]
fn a_submodule_is_a_repository_of_its_own() {
    let sandbox = Sandbox::new();
    let (server, laptop) = (origin(&sandbox), laptop(&sandbox));
    laptop.git(["init", "-q", "."]);
    laptop.git(["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &url(&server), "sub"]);
    laptop.git(["commit", "-q", "-m", "sub"]);
    let before = state(&laptop);
    works(&laptop.at(laptop.cwd.join("sub")));
    assert_eq!(state(&laptop), before);
    assert_eq!(laptop.git(["for-each-ref", "refs/samesession"]), "");
}

#[test]
fn one_that_belongs_to_somebody_else_is_refused_in_one_line() {
    let sandbox = Sandbox::new();
    let laptop = laptop(&sandbox);
    laptop.git(["init", "-q", "."]);
    let other = laptop.env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1");
    for args in [&["init"][..], &["checkpoint", CLAUDE]] {
        let refused = other.run(args).fails(128, "git does not trust '");
        refused.hints(&format!("git config --global --add safe.directory {}", laptop.cwd.display()));
    }
    let doctor = other.run(["doctor"]).fails(1, "1 trouble was found").stdout();
    assert!(doctor.contains("git does not trust"), "{doctor}");
    other.git(["config", "--global", "--add", "safe.directory", laptop.cwd.to_str().expect("UTF-8")]);
    works(&other);
}

#[test]
fn outside_of_any_a_file_is_the_way_out() {
    let sandbox = Sandbox::new();
    let laptop = laptop(&sandbox);
    laptop.run(["checkpoint", CLAUDE]).fails(128, "not in a Git repository").hints("--output FILE");
    laptop.run(["init"]).fails(128, "not in a Git repository");
    laptop.run(["checkpoint", CLAUDE, "--output", "x.capsule"]).ok();
    laptop.run(["doctor"]).ok();
}

#[test]
fn inside_a_hook_with_the_variables_git_gives_it() {
    let sandbox = Sandbox::new();
    let laptop = laptop(&sandbox);
    laptop.git(["init", "-q", "."]);
    commit(&laptop, "one");
    let linked = laptop.home.join("src/linked");
    laptop.git(["worktree", "add", "-q", linked.to_str().expect("UTF-8")]);
    for name in ["pre-commit", "post-commit"] {
        let hook = laptop.cwd.join(".git/hooks").join(name);
        fs::create_dir_all(laptop.cwd.join(".git/hooks")).expect("made");
        fs::write(
            &hook,
            format!("#!/bin/sh\nenv | grep -q GIT_INDEX_FILE || exit 1\ngit samesession checkpoint {CLAUDE} --json >>\"$HOME/{name}\"\n"),
        )
        .expect("written");
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("set");
    }
    for (n, machine) in [laptop.clone(), laptop.at(&linked)].iter().enumerate() {
        fs::write(machine.cwd.join("partly"), "partly").expect("written");
        fs::write(machine.cwd.join("one"), format!("changed {n}")).expect("written");
        grow(machine);
        machine.git(["add", "partly"]);
        // With a path Git makes an index of its own for the hook.
        machine.git(["commit", "-q", "-m", "two", "--", "one"]);
        assert_eq!(machine.git(["status", "--porcelain"]), "A  partly\n");
    }
    let answers = |name: &str| {
        let text = fs::read_to_string(laptop.home.join(name)).expect("the hook has run");
        let answers: Vec<Value> = serde_json::Deserializer::from_str(&text).into_iter().collect::<Result<_, _>>().expect("JSON");
        answers.iter().map(|answer| answer["state"].as_str().expect("a state").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(answers("pre-commit"), ["made", "made"]);
    assert_eq!(answers("post-commit"), ["unchanged", "unchanged"]);
    let fsck = laptop.command("git").args(["fsck", "--strict"]).output().expect("git");
    assert!(fsck.status.success() && fsck.stderr.is_empty(), "{}", String::from_utf8_lossy(&fsck.stderr));
}

#[test]
fn a_shallow_clone_stays_as_shallow_as_it_is() {
    let sandbox = Sandbox::new();
    let (server, laptop) = (origin(&sandbox), laptop(&sandbox));
    laptop.git(["clone", "-q", "--depth=1", &url(&server), "."]);
    assert!(state(&laptop).shallow.is_some());
    works(&laptop);
    laptop.git(["push", "-q", "origin", "refs/samesession/*"]);
    assert_eq!(server.git(["for-each-ref", "refs/samesession"]).lines().count(), 1);
}

#[test]
fn a_partial_clone_stays_partial_and_brings_what_a_checkpoint_needs() {
    let sandbox = Sandbox::new();
    let (server, laptop) = (origin(&sandbox), laptop(&sandbox));
    laptop.git(["clone", "-q", "--filter=blob:none", &url(&server), "."]);
    works(&laptop);
    laptop.git(["push", "-q", "origin", "refs/samesession/*"]);

    // On another machine with the same session and keys, no blob of it is there yet.
    let desktop = sandbox.machine("desktop");
    crate::support::sandbox::copy_tree(&laptop.claude(), &desktop.claude());
    crate::support::sandbox::copy_tree(&laptop.home.join(".config"), &desktop.home.join(".config"));
    for (path, mode) in [("device", 0o700), ("device/identity.txt", 0o600), ("device/signing_key", 0o600)] {
        let path = desktop.home.join(".config/samesession").join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    }
    desktop.git(["clone", "-q", "--filter=blob:none", "--no-checkout", &url(&server), "."]);
    desktop.run(["init"]).ok();
    desktop.git(["fetch", "-q"]);
    let unchanged = desktop.json(["checkpoint", CLAUDE]);
    assert_eq!((unchanged["state"].as_str(), unchanged["sequence"].as_u64()), (Some("unchanged"), Some(2)));
    grow(&desktop);
    assert_eq!(desktop.json(["checkpoint", CLAUDE])["sequence"], 3);
    desktop.run(["doctor"]).ok();
    let fsck = desktop.command("git").args(["fsck", "--strict"]).output().expect("git");
    assert!(fsck.status.success() && fsck.stderr.is_empty(), "{}", String::from_utf8_lossy(&fsck.stderr));

    // What was promised and cannot be had is said once.
    let away = desktop.at(sandbox.path().join("away"));
    away.git(["clone", "-q", "--filter=blob:none", "--no-checkout", &url(&server), "."]);
    away.run(["init"]).ok();
    away.git(["fetch", "-q"]);
    fs::rename(&server.cwd, sandbox.path().join("gone")).expect("moved");
    let doctor = away.run(["doctor"]).fails(1, "1 trouble was found").stdout();
    assert!(doctor.contains("leads to no checkpoint") && doctor.contains("is missing"), "{doctor}");
}

#[test]
fn a_clone_that_borrows_objects_writes_its_own() {
    let sandbox = Sandbox::new();
    let (server, laptop) = (origin(&sandbox), laptop(&sandbox));
    laptop.git(["clone", "-q", "--shared", server.cwd.to_str().expect("UTF-8"), "."]);
    let before = server.git(["count-objects", "-v"]);
    works(&laptop);
    assert_eq!(server.git(["count-objects", "-v"]), before);

    // And goes on with a chain that only the other one has.
    laptop.git(["push", "-q", "origin", "refs/samesession/*"]);
    let second = sandbox.machine("second");
    let again = laptop.at(&second.cwd);
    again.git(["clone", "-q", "--shared", server.cwd.to_str().expect("UTF-8"), "."]);
    again.run(["init"]).ok();
    again.git(["fetch", "-q"]);
    grow(&again);
    assert_eq!(again.json(["checkpoint", CLAUDE])["sequence"], 3);
}

#[test]
fn whoever_is_believed_here_is_believed_by_git_too() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (laptop(&sandbox), sandbox.machine("desktop"));
    desktop.init();
    desktop.restore(&laptop.seal(CLAUDE, &desktop), &laptop).ok();
    laptop.git(["init", "-q", "."]);
    let made = laptop.json(["checkpoint", CLAUDE]);
    verifies(&laptop, made["commit"].as_str().expect("a commit"), &desktop.home.join(".config/samesession/known_signers"));
}
