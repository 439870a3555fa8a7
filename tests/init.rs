//! `init`: what it sets, that it sets it once, and that it takes back exactly that.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use crate::support::sandbox::{CLAUDE, Machine, Sandbox, snapshot};

const SPEC: &str = "+refs/samesession/*:refs/samesession-remote/origin/*";

/// A machine with a repository that has these remotes; none of them answers.
fn repository(sandbox: &Sandbox, remotes: &[&str]) -> Machine {
    let laptop = sandbox.machine("laptop");
    laptop.init().git(["init", "-q", "."]);
    for name in remotes {
        laptop.git(["remote", "add", name, &format!("/nowhere/{name}")]);
    }
    laptop
}

fn config(machine: &Machine) -> String {
    fs::read_to_string(config_file(machine)).expect("a configuration")
}

fn config_file(machine: &Machine) -> PathBuf {
    machine.cwd.join(".git/config")
}

fn all(machine: &Machine, key: &str) -> Vec<String> {
    let listed = machine.command("git").args(["config", "--get-all", key]).output().expect("git");
    String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn after_it_a_plain_fetch_brings_sessions_and_a_plain_push_sends_them() {
    let sandbox = Sandbox::new();
    let server = sandbox.machine("server");
    server.git(["init", "-q", "--bare", "."]);
    let (laptop, desktop) = (sandbox.machine("laptop"), sandbox.machine("desktop"));
    for machine in [&laptop, &desktop] {
        machine.init().git(["init", "-q", "."]);
        machine.git(["remote", "add", "origin", server.cwd.to_str().expect("UTF-8")]);
        machine.git(["config", "fetch.prune", "true"]);
    }
    laptop.with_claude().run(["init"]).ok();
    let made = laptop.json(["checkpoint", CLAUDE]);
    laptop.git(["push", "-q", "origin", "refs/samesession/*"]);

    desktop.git(["fetch", "-q"]);
    assert_eq!(desktop.git(["for-each-ref"]), "", "nobody fetches what they did not ask for");
    let told = desktop.run(["init"]).ok().stdout();
    assert!(told.contains("sessions go to 'origin', and 'git fetch origin' brings them"), "{told}");
    desktop.git(["fetch", "-q"]);
    let name = format!("refs/samesession-remote/origin/sessions/{}", made["sid"].as_str().expect("a sid"));
    assert_eq!(
        desktop.git(["for-each-ref", "--format=%(objectname) %(refname)"]),
        format!("{} {name}\n", made["commit"].as_str().expect("a commit"))
    );
    // An unpushed session outlives a fetch that prunes.
    desktop.with_claude().run(["checkpoint", crate::support::sandbox::CLAUDE_RICH]).ok();
    desktop.git(["fetch", "-q"]);
    assert_eq!(desktop.git(["for-each-ref", "refs/samesession"]).lines().count(), 1);
}

#[test]
fn the_second_time_nothing_is_changed_and_taking_it_back_leaves_every_byte_as_it_was() {
    for tail in
        ["", "# a comment at the end\n", "[x]\n\ty = 1", "[samesession]\n\t# nothing yet\n", "[samesession]\n\trecipient = age1mine\n"]
    {
        let sandbox = Sandbox::new();
        let laptop = repository(&sandbox, &["origin"]);
        let other = sandbox.machine("desktop").init().recipient();
        let before = config(&laptop) + tail;
        fs::write(config_file(&laptop), &before).expect("written");
        let tree = snapshot(&laptop.cwd);

        let first = laptop.json(["init", "-r", &other]);
        assert_eq!(first["schema"], "samesession.init/1");
        assert_eq!(first["changes"].as_array().expect("changes").len(), 8, "{first}");
        assert_eq!(all(&laptop, "remote.origin.fetch"), ["+refs/heads/*:refs/remotes/origin/*", SPEC]);
        assert_eq!(all(&laptop, "samesession.store"), ["origin"]);
        assert_eq!(all(&laptop, "samesession.recipient").last(), Some(&other));
        let set = snapshot(&laptop.cwd);
        for args in [&["init"][..], &["init", "-r", &other], &["init", "--remote", "origin"]] {
            let again = laptop.run(args).ok().stdout();
            assert!(again.contains("nothing had to be changed"), "{again}");
            assert_eq!(snapshot(&laptop.cwd), set);
        }
        laptop.run(["init", "--uninstall"]).ok();
        assert_eq!(config(&laptop), before);
        assert_eq!(snapshot(&laptop.cwd), tree, "{tail}");
        let nothing = laptop.run(["init", "--uninstall"]).ok().stdout();
        assert!(nothing.contains("nothing to take back"), "{nothing}");
    }
}

#[test]
fn what_others_set_meanwhile_stays_when_it_is_taken_back() {
    let sandbox = Sandbox::new();
    let laptop = repository(&sandbox, &["origin", "backup"]);
    laptop.git(["config", "samesession.recipient", "age1mine"]);
    let key = laptop.recipient();
    laptop.run(["init", "-r", &key]).ok();
    laptop.run(["init", "--remote", "backup"]).ok();
    assert_eq!(all(&laptop, "samesession.store"), ["backup"]);
    laptop.git(["config", "user.name", "somebody"]);
    laptop.git(["remote", "rename", "origin", "upstream"]);
    laptop.run(["init", "--uninstall"]).ok();
    for (key, left) in [
        ("samesession.recipient", &["age1mine"][..]),
        ("samesession.store", &[]),
        ("user.name", &["somebody"]),
        ("remote.upstream.fetch", &["+refs/heads/*:refs/remotes/upstream/*"]),
        ("remote.backup.fetch", &["+refs/heads/*:refs/remotes/backup/*"]),
    ] {
        assert_eq!(all(&laptop, key), left, "{key}");
    }
    assert!(!laptop.cwd.join(".git/samesession").exists());

    // A store that was set by hand is no business of ours.
    laptop.git(["config", "samesession.store", "upstream"]);
    laptop.run(["init", "--remote", "backup"]).ok();
    laptop.git(["config", "user.name", "somebody else"]);
    laptop.run(["init", "--uninstall"]).ok();
    assert_eq!(all(&laptop, "samesession.store"), ["upstream"]);
    laptop.run(["init"]).ok();
    laptop.git(["config", "samesession.store", "backup"]);
    laptop.run(["init", "--uninstall"]).ok();
    assert_eq!(all(&laptop, "samesession.store"), ["backup"]);
}

#[test]
fn the_remote_is_the_one_named_the_one_before_origin_or_the_only_one() {
    let sandbox = Sandbox::new();
    let laptop = repository(&sandbox, &["upstream"]);
    let remote = |args: &[&str]| laptop.json(args)["remote"].as_str().map(str::to_owned);
    assert_eq!(remote(&["init"]).as_deref(), Some("upstream"));
    laptop.run(["init", "--uninstall"]).ok();

    laptop.git(["remote", "add", "fork", "/nowhere/fork"]);
    let before = config(&laptop);
    laptop.run(["init"]).fails(1, "there are 2 remotes here").hints("--remote NAME; there are fork, upstream");
    laptop.run(["init", "--remote", "nobody"]).fails(1, "there is no remote 'nobody' here").hints("fork, upstream");
    laptop.run(["init", "-r", "age1nonsense"]).fails(128, "is not a recipient");
    laptop.run(["init", "-r", "no-such-file"]).fails(128, "neither a key nor a file");
    assert_eq!(config(&laptop), before);
    laptop.git(["remote", "add", "origin", "/nowhere/origin"]);
    assert_eq!(remote(&["init"]).as_deref(), Some("origin"));
    assert_eq!(remote(&["init", "--remote", "fork"]).as_deref(), Some("fork"));
    assert_eq!(remote(&["init"]).as_deref(), Some("fork"));

    laptop.git(["remote", "remove", "fork"]);
    laptop.run(["init"]).fails(1, "there is no remote 'fork' here, and samesession.store names it").hints("origin, upstream");
    assert_eq!(remote(&["init", "--remote", "upstream"]).as_deref(), Some("upstream"));

    laptop.git(["config", "remote.@here.url", "/nowhere/here"]);
    laptop.run(["init", "--remote", "@here"]).fails(128, "refs cannot be named after the remote '@here'").hints("git remote rename");
}

#[test]
fn without_a_remote_it_says_what_to_do_later() {
    let sandbox = Sandbox::new();
    let laptop = repository(&sandbox, &[]);
    let before = config(&laptop);
    let told = laptop.run(["init"]).ok().stdout();
    assert!(told.contains("it has no remote") && told.contains("once it has one: git samesession init"), "{told}");
    assert_eq!(config(&laptop), before);
    laptop.run(["init", "--remote", "origin"]).fails(1, "there is no remote 'origin' here").hints("git remote add NAME ADDRESS");

    let fresh = sandbox.machine("fresh");
    fresh.run(["init"]).fails(128, "not in a Git repository");
    assert!(!fresh.home.join(".config").exists(), "no keys are made for nothing");
    fresh.git(["init", "-q", "."]);
    let made = fresh.run(["init"]).ok();
    assert!(made.stderr().contains("made keys for this device"), "{}", made.stderr());
}

#[test]
fn recipients_are_stored_as_keys_and_read_what_begins_here() {
    let sandbox = Sandbox::new();
    let laptop = repository(&sandbox, &["origin"]);
    let (desktop, third) = (sandbox.machine("desktop").init().recipient(), sandbox.machine("third").init().recipient());
    let file = sandbox.path().join("team.txt");
    fs::write(&file, format!("# the team\n{desktop}\n\n{third}\n")).expect("written");
    laptop.git(["config", "samesession.recipient", &third]);
    let done = laptop.json(["init", "-r", file.to_str().expect("UTF-8"), "-r", &desktop]);
    assert_eq!(all(&laptop, "samesession.recipient"), [&*third, &desktop]);
    assert_eq!(done["recipients"].as_array().expect("recipients").len(), 2);
    let made = laptop.with_claude().json(["checkpoint", CLAUDE]);
    let mut readers: Vec<_> = made["recipients"].as_array().expect("recipients").iter().filter_map(|key| key.as_str()).collect();
    let mut expected = [laptop.recipient(), desktop, third];
    readers.sort_unstable();
    expected.sort_unstable();
    assert_eq!(readers, expected);
}

#[test]
fn on_demand_leaves_fetches_as_they_are_and_stays_chosen() {
    let sandbox = Sandbox::new();
    let laptop = repository(&sandbox, &["origin"]);
    let before = config(&laptop);
    laptop.run(["init"]).ok();
    laptop.run(["init", "--on-demand"]).ok();
    for _ in 0..2 {
        assert_eq!(all(&laptop, "remote.origin.fetch"), ["+refs/heads/*:refs/remotes/origin/*"]);
        assert_eq!(all(&laptop, "samesession.onDemand"), ["true"]);
        let told = laptop.run(["init"]).ok().stdout();
        assert!(told.contains("come from there when they are asked for") && told.contains("nothing had to be changed"), "{told}");
    }
    laptop.run(["init", "--uninstall"]).ok();
    assert_eq!(config(&laptop), before);
    laptop.run(["init", "--uninstall", "--on-demand"]).fails_with(129);
}

#[test]
fn settings_that_would_hurt_sessions_are_warned_of_with_the_way_out() {
    let sandbox = Sandbox::new();
    let laptop = repository(&sandbox, &["origin"]);
    laptop.git(["remote", "add", "--mirror=push", "copy", "/nowhere/copy"]);
    laptop.git(["config", "--add", "remote.origin.fetch", "refs/samesession/*:refs/samesession/*"]);
    let warned = laptop.run(["init"]).ok().stderr();
    assert!(warned.contains("warning: 'git push copy' mirrors") && warned.contains("warning: 'git fetch origin' writes"), "{warned}");
    for command in warned.lines().filter_map(|line| line.strip_prefix("hint: ")) {
        assert!(laptop.command("sh").args(["-c", command]).status().expect("a shell").success(), "{command}");
    }
    assert_eq!(laptop.run(["init"]).ok().stderr(), "");
}

#[test]
fn a_renamed_remote_is_mended() {
    let sandbox = Sandbox::new();
    let laptop = repository(&sandbox, &["origin"]);
    laptop.run(["init"]).ok();
    laptop.git(["remote", "rename", "origin", "upstream"]);
    laptop.run(["init"]).fails(1, "there is no remote 'origin' here, and samesession.store names it");
    laptop.run(["init", "--remote", "upstream"]).ok();
    let spec = SPEC.replace("origin", "upstream");
    assert_eq!(all(&laptop, "remote.upstream.fetch"), ["+refs/heads/*:refs/remotes/upstream/*", &spec]);
    assert_eq!(all(&laptop, "samesession.store"), ["upstream"]);
    laptop.run(["init", "--uninstall"]).ok();
    assert_eq!(all(&laptop, "remote.upstream.fetch"), ["+refs/heads/*:refs/remotes/upstream/*"]);
    assert!(all(&laptop, "samesession.store").is_empty());
}

#[test]
fn taking_it_back_leaves_sessions_and_says_how_they_are_removed() {
    let sandbox = Sandbox::new();
    let laptop = repository(&sandbox, &["origin"]);
    laptop.with_claude().run(["init"]).ok();
    laptop.run(["checkpoint", CLAUDE]).ok();
    let answer = laptop.json(["init", "--uninstall"]);
    assert_eq!(answer["refs"], 2, "{answer}");
    assert_eq!(laptop.git(["for-each-ref"]).lines().count(), 2);
    for command in answer["to_remove"].as_array().expect("commands") {
        assert!(laptop.command("sh").args(["-c", command.as_str().expect("text")]).status().expect("a shell").success(), "{command}");
    }
    assert_eq!(laptop.git(["for-each-ref"]), "");
    assert!(laptop.git(["count-objects", "-v"]).contains("in-pack: 0\n"));
    assert_eq!(fs::read_dir(laptop.cwd.join(".git/objects/pack")).expect("a directory").count(), 0);
}

#[test]
fn several_at_once_set_everything_once() {
    let sandbox = Sandbox::new();
    let laptop = repository(&sandbox, &["origin"]);
    let before = config(&laptop);
    let start = |_| laptop.command("git").args(["samesession", "init", "-q"]).stdout(Stdio::null()).spawn().expect("started");
    let started: Vec<_> = (0..8).map(start).collect();
    for mut one in started {
        assert!(one.wait().expect("ended").success());
    }
    assert_eq!(all(&laptop, "remote.origin.fetch").len(), 2);
    laptop.run(["init", "--uninstall"]).ok();
    assert_eq!(config(&laptop), before);
}

#[test]
fn a_configuration_that_cannot_be_written_is_left_as_it_is() {
    let sandbox = Sandbox::new();
    let laptop = repository(&sandbox, &["origin"]);
    fs::write(laptop.cwd.join(".git/config.lock"), "").expect("written");
    let before = snapshot(&laptop.cwd);
    laptop.run(["init"]).fails(128, "could not lock config file");
    assert_eq!(snapshot(&laptop.cwd), before);
}

#[test]
fn the_agents_become_a_remote_that_nothing_reaches_by_accident() {
    let sandbox = Sandbox::new();
    let laptop = repository(&sandbox, &["origin"]);
    laptop.say("one");
    laptop.run(["init"]).ok();
    assert_eq!(all(&laptop, "remote.agents.url"), ["session::"]);
    // It is no place to keep sessions, whatever else there is.
    laptop.run(["init", "--remote", "agents"]).fails(1, "there is no remote 'agents' here");
    laptop.git(["config", "--unset", "samesession.store"]);
    laptop.git(["remote", "remove", "origin"]);
    laptop.run(["push", "--all"]).fails(1, "this repository has no remote");
    laptop.git(["fetch", "-q", "--all"]);
    laptop.git(["remote", "update"]);
    assert_eq!(laptop.git(["for-each-ref"]), "");
    laptop.git(["fetch", "-q", "agents"]);
    assert!(laptop.git(["for-each-ref"]).contains("refs/samesession-remote/agents/sessions/"));

    // A second remote would take away what a plain fetch means where the only one has another name.
    let third = sandbox.machine("third");
    third.init().git(["init", "-q", "."]);
    third.git(["remote", "add", "upstream", "/nowhere/upstream"]);
    third.run(["init"]).ok();
    assert!(all(&third, "remote.agents.url").is_empty());

    // Somebody's own remote of that name stays theirs.
    let other = sandbox.machine("desktop");
    other.init().git(["init", "-q", "."]);
    for name in ["origin", "agents"] {
        other.git(["remote", "add", name, &format!("/nowhere/{name}")]);
    }
    other.run(["init"]).ok();
    assert_eq!(all(&other, "remote.agents.url"), ["/nowhere/agents"]);
    assert_eq!(all(&other, "remote.agents.fetch"), ["+refs/heads/*:refs/remotes/agents/*"]);
}
