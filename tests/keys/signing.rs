//! Signatures by the key that the user's Git is set up with: in a file, in an agent, of each kind that readers verify.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use samesession::seal;

use super::{installed, keys_of};
use crate::roster::joins;
use crate::support::chains::{Team, id, write_script};
use crate::support::clones::{Project, SESSION, sid_of};
use crate::support::sandbox::Machine;

fn ssh_key(machine: &Machine, name: &str, options: &[&str]) -> PathBuf {
    let file = machine.home.join(name);
    let made =
        machine.command("ssh-keygen").args(["-q", "-N", "", "-C", name, "-f"]).arg(&file).args(options).output().expect("ssh-keygen");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    file
}

fn public(key: &Path) -> String {
    fs::read_to_string(key.with_extension("pub")).expect("a public key").trim().to_owned()
}

fn signs_with_git(machine: &Machine, key: &str) {
    for (name, value) in [("samesession.sign", "git"), ("gpg.format", "ssh"), ("user.signingKey", key)] {
        machine.git(["config", name, value]);
    }
}

/// Plain Git agrees that the tip is signed with this key.
#[track_caller]
fn verified(machine: &Machine, key: &str) {
    let signers = machine.home.join("allowed");
    fs::write(&signers, format!("me namespaces=\"git\" {key}\n")).expect("written");
    let setting = format!("gpg.ssh.allowedSignersFile={}", signers.display());
    let tip = machine.local_tip().expect("a tip");
    let out = machine.command("git").args(["-c", &setting, "verify-commit", &tip]).output().expect("git");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// An agent that ends with this value.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_users_own_key_signs_and_others_verify_restore_and_go_on() {
    if !installed("ssh-keygen") {
        return;
    }
    let team = Team::new();
    let [laptop, desktop] = team.pair();
    laptop.begin(&id(1));
    laptop.run(["checkpoint", &id(1)]).ok();
    let own = laptop.fingerprint();
    let kinds: [(&str, &[&str]); 4] = [
        ("ed", &["-t", "ed25519"]),
        ("ec384", &["-t", "ecdsa", "-b", "384"]),
        ("ec", &["-t", "ecdsa", "-b", "256"]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
    ];
    for (n, (name, options)) in kinds.into_iter().enumerate() {
        let key = ssh_key(&laptop, name, options);
        // By its private half, by its public one beside it, and once more.
        let named = if n == 1 { key.with_extension("pub") } else { key.clone() };
        signs_with_git(&laptop, named.to_str().expect("UTF-8"));
        laptop.adds(&id(1), name);
        let made = laptop.run(["checkpoint", &id(1)]).ok();
        assert!(!made.stdout().contains("nothing"), "{}", made.stdout());
        verified(&laptop, &public(&key));
        assert_ne!(laptop.fingerprint(), own, "'device show' says who signs here");
        // What this device signed before, and with another key, is its own all the same.
        laptop.run(["restore", &sid_of(&id(1)), "--session-only"]).ok();
        laptop.git(["push", "-q", "origin", "refs/samesession/*"]);
        desktop.git(["fetch", "-q"]);
        let unknown = desktop.run(["fetch"]).ok();
        assert!(unknown.stderr().contains("signed by a key that this device does not know"), "{}", unknown.stderr());
        desktop.run(["fetch", "--trust", &laptop.fingerprint()]).ok();
        desktop.run(["restore", &sid_of(&id(1)), "--session-only"]).ok();
        assert_eq!(desktop.said(&id(1)), laptop.said(&id(1)), "{name}");
    }
    // Whoever goes on signs as themselves.
    desktop.adds(&id(1), "back");
    desktop.run(["checkpoint", &id(1)]).ok();
    verified(&desktop, &fs::read_to_string(keys_of(&desktop).join("signing_key.pub")).expect("there"));

    // The device's own key is what signs where nothing else is wanted.
    laptop.git(["config", "samesession.sign", "device"]);
    laptop.adds(&id(1), "device");
    laptop.run(["checkpoint", &id(1)]).ok();
    verified(&laptop, &fs::read_to_string(keys_of(&laptop).join("signing_key.pub")).expect("there"));
    assert_eq!(laptop.fingerprint(), own);
}

#[test]
fn a_key_that_only_an_agent_has_signs_for_whoever_the_agent_serves() {
    if !["ssh-keygen", "ssh-agent", "ssh-add"].into_iter().all(installed) {
        return;
    }
    let team = Team::new();
    let laptop = team.machine("laptop");
    laptop.begin(&id(1));
    let (key, socket) = (ssh_key(&laptop, "held", &["-t", "ed25519"]), laptop.home.join("agent"));
    let mut command = laptop.command("ssh-agent");
    let agent = command.args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Agent).expect("an agent");
    crate::moving::launch::until("the agent listens", || socket.exists());
    let served = laptop.env("SSH_AUTH_SOCK", &socket);
    assert!(served.command("ssh-add").args(["-q"]).arg(&key).output().expect("ssh-add").status.success());
    let line = public(&key);
    fs::remove_file(&key).expect("only the agent has it now");
    for (n, named) in [format!("key::{line}"), line.clone(), key.with_extension("pub").display().to_string()].iter().enumerate() {
        signs_with_git(&served, named);
        served.adds(&id(1), &n.to_string());
        served.run(["checkpoint", &id(1)]).ok();
        verified(&served, &line);
    }
    // Without the agent nothing is signed, nothing is made, and reading goes on.
    drop(agent);
    let tip = laptop.local_tip();
    laptop.adds(&id(1), "alone");
    laptop.run(["checkpoint", &id(1)]).fails(1, "cannot sign with the key that user.signingKey names").hints("samesession.sign device");
    assert_eq!(laptop.local_tip(), tip);
    assert_eq!(laptop.json(["list"])["sessions"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_cannot_sign_says_so_in_one_line_and_nothing_is_made() {
    if !installed("ssh-keygen") {
        return;
    }
    let team = Team::new();
    let laptop = team.machine("laptop");
    laptop.begin(&id(1));
    laptop.git(["config", "samesession.sign", "git"]);
    let refused = |says: &str| {
        let ran = laptop.run(["checkpoint", &id(1)]).fails(1, says);
        ran.hints("git config samesession.sign device");
        assert_eq!(laptop.local_tip(), None, "{says}");
    };
    laptop.git(["config", "gpg.format", "pgp"]);
    refused("gpg.format is 'pgp', and Git knows 'ssh', 'openpgp' and 'x509'");
    laptop.git(["config", "gpg.format", "ssh"]);
    refused("user.signingKey is not set");
    laptop.git(["config", "user.signingKey", "~/missing"]);
    refused("missing' cannot be read");
    laptop.git(["config", "user.signingKey", "key::ssh-ed25519 AAAA"]);
    refused("it is no SSH key that can be read");
    // A kind that readers do not verify.
    let odd = ssh_key(&laptop, "odd", &["-t", "ecdsa", "-b", "521"]);
    laptop.git(["config", "user.signingKey", odd.to_str().expect("UTF-8")]);
    refused("readers could not verify what it makes");
    // A program that signs with another key than the one that was named.
    let (named, other) = (ssh_key(&laptop, "named", &["-t", "ed25519"]), ssh_key(&laptop, "other", &["-t", "ed25519"]));
    let program = laptop.home.join("signer");
    write_script(&program, &format!("exec ssh-keygen -q -Y sign -n \"$4\" -f {}", other.display()));
    laptop.git(["config", "user.signingKey", named.to_str().expect("UTF-8")]);
    laptop.git(["config", "gpg.ssh.program", program.to_str().expect("UTF-8")]);
    refused("another key has signed");
    laptop.git(["config", "samesession.sign", "perhaps"]);
    refused("samesession.sign is 'perhaps', and can be 'device' or 'git'");
}

#[test]
fn a_member_of_a_roster_is_known_by_the_users_key() {
    if !installed("ssh-keygen") {
        return;
    }
    let project = Project::new();
    let (laptop, desktop) = (project.clone("laptop"), project.clone("desktop"));
    fs::create_dir_all(laptop.home.join(".ssh")).expect("made");
    let key = ssh_key(&laptop, ".ssh/id_ed25519", &["-t", "ed25519"]);
    signs_with_git(&laptop, "~/.ssh/id_ed25519");
    laptop.say("a word");
    laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
    laptop.run_here(["device", "join"]).ok();
    // By name, which is sealed to the key that signed the roster.
    joins(&desktop, &laptop);
    desktop.run_here(["fetch"]).ok();
    let restored = desktop.run_here(["restore", SESSION]).ok();
    let fingerprint = seal::fingerprint_of(&public(&key)).expect("a key");
    assert!(restored.stdout().contains(&format!("signed by laptop ({fingerprint})")), "{}", restored.stdout());
}
