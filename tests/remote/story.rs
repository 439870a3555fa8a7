//! A session goes from one home to another and back, and nothing but `git` is typed.

use std::fs;
use std::process::Command;

use crate::support::agents::skipped;
use crate::support::clones::{SESSION, sid_of};
use crate::support::sandbox::{Machine, Sandbox};

const LAPTOP: &str = "
git remote add agents session::
git config remote.agents.fetch '+refs/samesession/*:refs/samesession-remote/agents/*'
git config samesession.recipient \"$(cut -d' ' -f1,2 ../../../desktop/.ssh/id_ed25519.pub)\"
git fetch -q agents
git push -q origin 'refs/samesession-remote/agents/*:refs/samesession/*'
";

const DESKTOP: &str = "
git fetch -q origin 'refs/samesession/*:refs/samesession-remote/origin/*'
git push -q session:: 'refs/samesession-remote/origin/*:refs/samesession/*'
";

const BACK: &str = "
git fetch -q session::current +HEAD:refs/samesession-remote/agents/sessions/$1
git push -q origin refs/samesession-remote/agents/sessions/$1:refs/samesession/sessions/$1
";

const HOME_AGAIN: &str = "
git fetch -q origin 'refs/samesession/*:refs/samesession-remote/origin/*'
git push -q agents 'refs/samesession-remote/origin/*:refs/samesession/*'
";

#[track_caller]
fn sh(machine: &Machine, script: &str) {
    let script = format!("set -e\n{script}");
    let out = machine.command("sh").args(["-c", &script, "sh", &sid_of(SESSION)]).output().expect("a shell");
    assert!(out.status.success(), "{script}\n{}", String::from_utf8_lossy(&out.stderr));
}

/// In the one home the signer of the other is known, as `ssh-keygen -Y verify` would know it.
fn believe(one: &Machine, other: &Machine) {
    let key = fs::read_to_string(other.home.join(".config/samesession/device/signing_key.pub")).expect("a key");
    let config = one.home.join(".config/samesession");
    fs::create_dir_all(&config).expect("made");
    fs::write(config.join("known_signers"), format!("{} namespaces=\"samesession,git\" {key}", other.name)).expect("written");
}

#[test]
fn git_alone_moves_a_session_there_and_back() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (sandbox.machine("laptop"), sandbox.machine("desktop"));
    if Command::new("ssh-keygen").arg("-?").output().is_err() {
        return skipped("there is no ssh-keygen");
    }
    let key = desktop.home.join(".ssh/id_ed25519");
    fs::create_dir_all(key.parent().expect("a directory")).expect("made");
    let made = desktop.command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.expect("started").success());
    let origin = sandbox.path().join("origin.git");
    let origin = origin.to_str().expect("UTF-8");
    laptop.git(["init", "-q", "--bare", origin]);
    laptop.git(["init", "-q"]);
    laptop.git(["commit", "-q", "--allow-empty", "-m", "x"]);
    laptop.git(["remote", "add", "origin", origin]);
    laptop.git(["push", "-q", "origin", "main"]);
    desktop.git(["clone", "-q", origin, "."]);

    laptop.say("one");
    sh(&laptop, LAPTOP);
    believe(&desktop, &laptop);
    sh(&desktop, DESKTOP);
    assert_eq!(desktop.heard(), laptop.heard());
    desktop.say("two, elsewhere");
    sh(&desktop, BACK);
    believe(&laptop, &desktop);
    sh(&laptop, HOME_AGAIN);
    assert_eq!(laptop.heard(), desktop.heard());
    assert!(laptop.heard().contains("two, elsewhere"));
}
