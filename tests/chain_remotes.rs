//! Remotes that refuse, fail, vanish or are shallow, and the real servers: what is said, and that a later push succeeds.

use std::path::Path;

use crate::support::chains::{Team, write_script};
use crate::support::sandbox::{Machine, Ran};
use crate::support::servers::{self, Daemon};

const SESSION: &str = "aaaaaaaa-0001-4000-8000-000000000001";

/// A session, begun and not pushed.
fn begun() -> (Team, Machine) {
    let team = Team::new();
    let laptop = team.machine("laptop");
    laptop.begin(SESSION);
    (team, laptop)
}

/// A push that does not arrive leaves the chain here as it is, and the next one arrives when nothing is in its way.
#[track_caller]
fn push_in_vain(team: &Team, laptop: &Machine) -> Ran {
    let before = laptop.local_tip();
    let ran = laptop.run(["push", SESSION]);
    assert!(matches!(ran.code(), Some(1 | 128)), "{}{}", ran.stdout(), ran.stderr());
    assert_eq!(ran.stderr().lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", ran.stderr());
    assert_eq!(laptop.local_tip(), before);
    laptop.assert_sound(false);
    team.server.assert_sound(true);
    ran
}

#[track_caller]
fn push_after_all(team: &Team, laptop: &Machine) {
    laptop.run(["push", SESSION]).ok();
    assert_eq!((laptop.local_tip(), laptop.local_tip().is_some()), (team.server.local_tip(), true));
    laptop.assert_sound(false);
    team.server.assert_sound(true);
}

#[test]
fn a_hook_that_declines_is_heard() {
    let (team, laptop) = begun();
    for hook in ["pre-receive", "update"] {
        laptop.adds(SESSION, hook);
        team.hook(hook, "echo 'no sessions on Fridays' >&2; echo 'ask the admin' >&2; exit 1");
        let declined = laptop.run(["checkpoint", SESSION, "--push"]).fails(1, "hook declined");
        let said = declined.stdout();
        assert!(said.contains("checkpoint ") && said.contains("NOT pushed to origin") && said.contains("no sessions on Fridays"), "{said}");
        let ran = push_in_vain(&team, &laptop).fails(1, "no sessions on Fridays / ask the admin");
        assert_eq!(ran.code(), Some(1));
        team.without_hook(hook);
        push_after_all(&team, &laptop);
    }
}

#[test]
fn a_refused_push_is_one_answer_for_scripts() {
    let (team, laptop) = begun();
    team.hook("pre-receive", "echo 'no sessions on Fridays' >&2; exit 1");
    laptop.adds(SESSION, "more");
    let refused = |answer: &serde_json::Value| {
        let row = &answer["sessions"][0];
        assert_eq!(row["result"], "refused", "{answer}");
        assert!(row["why"].as_str().is_some_and(|why| why.contains("no sessions on Fridays")), "{answer}");
    };
    // The checkpoint stands, and the same answer says so.
    let ran = laptop.run(["checkpoint", SESSION, "--push", "--json"]).fails_with(1);
    assert_eq!(ran.json()["state"], "made");
    refused(&ran.json()["push"]);
    refused(&laptop.run(["push", "--all", "--json"]).fails_with(1).json());
}

/// The server's part of a push runs in this script, whose words are those of `git receive-pack`.
fn receive_with(team: &Team, laptop: &Machine, script: &str) {
    let path = team.server.home.join("receive-pack");
    write_script(&path, script);
    laptop.git(["config", "remote.origin.receivepack", path.to_str().expect("UTF-8")]);
}

fn receive_as_ever(laptop: &Machine) {
    laptop.git(["config", "--unset", "remote.origin.receivepack"]);
}

#[test]
fn a_remote_that_cannot_be_written_to_says_so() {
    let (team, laptop) = begun();
    laptop.run(["checkpoint", SESSION]).ok();
    let can = |command: &str, args: &[&str]| laptop.command(command).args(args).output().is_ok_and(|out| out.status.success());
    // No privilege may help the one who writes.
    let plain = "exec git-receive-pack \"$@\"";
    let unprivileged = "exec setpriv --inh-caps=-all --bounding-set=-all git-receive-pack \"$@\"";
    let root = rustix::process::geteuid().is_root();
    let small = "unshare -rm sh -c 'mount -t tmpfs -o size=256k none /mnt && cp -a \"$1/.\" /mnt && \
                 { cat /dev/zero >/mnt/.filler 2>/dev/null; exec git-receive-pack /mnt; }' - \"$@\"";
    let cases = [
        ("read-only", if root { unprivileged } else { plain }, !root || can("setpriv", &["--bounding-set=-all", "true"])),
        ("too large a file", "ulimit -f 1; trap '' XFSZ; exec git-receive-pack \"$@\"", true),
        ("full", small, Path::new("/mnt").is_dir() && can("unshare", &["-rm", "mount", "-t", "tmpfs", "none", "/mnt"])),
    ];
    for (what, script, possible) in cases {
        if !possible {
            eprintln!("SKIPPED: {what}: not possible here");
            continue;
        }
        let mode = |mode: &str| assert!(can("chmod", &["-R", mode, team.server.cwd.to_str().expect("UTF-8")]));
        receive_with(&team, &laptop, script);
        if what == "read-only" {
            mode("a-w");
        }
        laptop.adds(SESSION, what);
        laptop.run(["checkpoint", SESSION]).ok();
        let ran = push_in_vain(&team, &laptop);
        mode("u+w");
        let words = ["Permission denied", "unable to create temporary object directory", "File too large", "No space left", "unpack"];
        assert!(words.iter().any(|words| ran.stderr().contains(words)), "{what}: {}", ran.stderr());
        eprintln!("{what}: {}", ran.stderr());
        receive_as_ever(&laptop);
        push_after_all(&team, &laptop);
    }
}

#[test]
fn a_remote_that_vanishes_in_the_middle_has_all_or_nothing() {
    let (team, laptop) = begun();
    let died = "kill -9 $PPID";
    for (hook, script) in [
        (None, "exit 1"),
        (None, "printf 00b1"),
        (None, "head -c 1500 | git-receive-pack \"$@\""),
        (Some("pre-receive"), died),
        (Some("update"), died),
        (Some("post-receive"), died),
    ] {
        laptop.adds(SESSION, &format!("{hook:?}"));
        laptop.run(["checkpoint", SESSION]).ok();
        match hook {
            Some(hook) => team.hook(hook, script),
            None => receive_with(&team, &laptop, script),
        }
        let before = team.server.local_tip();
        let ran = laptop.run(["push", SESSION]);
        eprintln!("{hook:?} {script}: {:?} {}{}", ran.code(), ran.stdout(), ran.stderr());
        let there = team.server.local_tip();
        // It may have arrived though the answer did not.
        let all = there == laptop.local_tip();
        assert!(all || ran.code() != Some(0) && there == before, "{script}: {}", ran.stdout());
        match hook {
            Some(hook) => team.without_hook(hook),
            None => receive_as_ever(&laptop),
        }
        push_after_all(&team, &laptop);
    }
}

/// Two machines go on with one session by this address: there, back, apart, together, shorter.
fn there_and_back(team: &Team, address: &str) {
    let [laptop, desktop] = team.pair();
    for machine in [&laptop, &desktop] {
        machine.git(["remote", "set-url", "origin", address]);
    }
    laptop.begin(SESSION);
    laptop.run(["checkpoint", SESSION, "--push"]).ok();
    desktop.git(["fetch", "-q"]);
    desktop.run(["restore", SESSION, "--session-only"]).ok();
    for machine in [&laptop, &desktop] {
        machine.adds(SESSION, &machine.name);
        machine.run(["checkpoint", SESSION, "--push"]).ok();
    }
    let joined = team.server.local_tip().expect("a chain");
    assert!(team.server.descends(&joined, &laptop.local_tip().expect("a chain")));
    laptop.run(["fetch"]).ok();
    assert_eq!(laptop.local_tip(), Some(joined.clone()));
    desktop.run(["restore", &laptop.local_tip().expect("a chain"), "--set-aside"]);
    desktop.run(["checkpoint", SESSION, "--push"]).ok();
    laptop.run(["fetch"]).ok();
    laptop.run(["restore", SESSION]);
    team.server.assert_sound(false);
}

#[test]
fn a_server_that_is_a_shallow_clone_takes_and_gives_chains() {
    let team = Team::new();
    let upstream = team.sandbox.machine("upstream");
    upstream.git(["init", "-q", "."]);
    for n in 0..5 {
        upstream.git(["commit", "-q", "--allow-empty", "-m", &n.to_string()]);
    }
    let address = format!("file://{}", upstream.cwd.display());
    team.server.git(["fetch", "-q", "--depth", "1", &address, "HEAD:refs/heads/main"]);
    assert_eq!(team.server.git(["rev-parse", "--is-shallow-repository"]).trim(), "true");
    there_and_back(&team, team.server.cwd.to_str().expect("UTF-8"));
}

#[test]
fn a_server_that_has_only_the_newest_checkpoint_takes_the_next_ones() {
    let (team, laptop) = begun();
    for n in 0..4 {
        laptop.adds(SESSION, &n.to_string());
        laptop.run(["checkpoint", SESSION, "--push"]).ok();
    }
    let shallow = team.server.at(team.server.home.join("shallow.git"));
    shallow.git(["init", "-q", "--bare", "."]);
    shallow.git(["fetch", "-q", "--depth", "1", &format!("file://{}", team.server.cwd.display()), "refs/samesession/*:refs/samesession/*"]);
    assert_eq!(shallow.git(["rev-list", "--count", &shallow.local_tip().expect("a chain")]).trim(), "1");
    laptop.git(["remote", "set-url", "origin", shallow.cwd.to_str().expect("UTF-8")]);
    laptop.adds(SESSION, "and on");
    laptop.run(["checkpoint", SESSION, "--push"]).ok();
    assert_eq!(shallow.local_tip(), laptop.local_tip());
    shallow.assert_sound(false);
    laptop.run(["fetch"]).ok();
}

#[test]
fn chains_go_through_git_daemon() {
    let team = Team::new();
    let daemon = Daemon::start(&team.server);
    there_and_back(&team, &format!("{}/origin.git", daemon.address()));
}

#[test]
fn a_daemon_that_is_killed_under_a_push_is_said_and_the_checkpoint_stands() {
    let (team, laptop) = begun();
    let daemon = Daemon::start(&team.server);
    laptop.git(["remote", "set-url", "origin", &format!("{}/origin.git", daemon.address())]);
    laptop.run(["checkpoint", SESSION, "--push"]).ok();
    team.hook("pre-receive", &format!("kill -9 {} $PPID", daemon.id()));
    laptop.adds(SESSION, "and on");
    let ran = laptop.run(["checkpoint", SESSION, "--push"]);
    assert!(matches!(ran.code(), Some(1 | 128)) && ran.stdout().starts_with("checkpoint 2 of "), "{}{}", ran.stdout(), ran.stderr());
    let ran = push_in_vain(&team, &laptop).fails(128, "git push failed");
    assert!(ran.stderr().contains("Connection refused"), "{}", ran.stderr());
    team.without_hook("pre-receive");
    laptop.git(["remote", "set-url", "origin", team.server.cwd.to_str().expect("UTF-8")]);
    push_after_all(&team, &laptop);
}

#[test]
fn chains_go_through_http() {
    let team = Team::new();
    let Some(address) = servers::http(&team.server) else { return eprintln!("SKIPPED: this Git speaks no HTTP") };
    let address = format!("{address}/origin.git");
    there_and_back(&team, &address);
}
