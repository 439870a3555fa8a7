//! A passphrase as a reader of chains: asked for where no key fits, kept by whoever seals without it, and taken away.

use std::fs;

use super::{PASSPHRASE, answer, at_a_terminal, holding, installed, keys_of, line_in};
use crate::support::chains::{Team, id};
use crate::support::clones::sid_of;
use crate::support::sandbox::Machine;

const ASKS: &str = "Passphrase of the session";

fn path(file: &std::path::Path) -> String {
    file.to_str().expect("UTF-8").to_owned()
}

/// What stands in the newest tree beside the parts.
fn wraps(machine: &Machine) -> Vec<String> {
    let tip = machine.local_tip().expect("a tip");
    machine.git(["ls-tree", "-r", "--name-only", &tip, "keys"]).lines().map(str::to_owned).collect()
}

#[test]
fn whoever_knows_the_passphrase_opens_what_nobody_asked_for_it_has_sealed() {
    let team = Team::new();
    let (laptop, guest, friend) = (team.machine("laptop"), team.machine("guest"), team.machine("friend"));
    laptop.begin(&id(1));
    let (native, sid) = (id(1), sid_of(&id(1)).to_string());
    laptop.run(["checkpoint", &native, "-r", &friend.recipient()]).ok();
    laptop.run(["recipient", "remove", "--passphrase"]).fails(1, "a passphrase");
    let file = line_in(&laptop, "passphrase", PASSPHRASE);
    let added = laptop.run(["recipient", "add", "--passphrase-file", &path(&file)]).ok();
    fs::remove_file(&file).expect("it was there");
    assert!(added.stdout().contains("added a passphrase"), "{}", added.stdout());
    assert_eq!(wraps(&laptop).len(), 2);
    let listed = laptop.json(["recipient", "list", &sid]);
    let kinds: Vec<_> = listed["sessions"][0]["recipients"].as_array().expect("readers").iter().map(|one| one["kind"].clone()).collect();
    assert_eq!(kinds, ["X25519", "X25519", "passphrase"], "{listed}");
    assert!(laptop.run(["recipient", "list", &sid]).ok().stdout().contains("passphrase"));

    // Nobody is there to be asked, as in a hook, and the epoch is a new one: the passphrase reads on.
    let before = wraps(&laptop);
    laptop.adds(&native, "in a hook");
    laptop.env("SAMESESSION_UNATTENDED", "1").run(["checkpoint", &native]).ok();
    assert_eq!(wraps(&laptop), before, "the same epoch");
    laptop.env("SAMESESSION_UNATTENDED", "1").run(["recipient", "remove", &friend.recipient()]).ok();
    laptop.run(["recipient", "rewrap"]).ok();
    laptop.adds(&native, "after a removal");
    laptop.env("SAMESESSION_UNATTENDED", "1").run(["checkpoint", &native]).ok();
    assert_eq!(wraps(&laptop).len(), 4, "two epochs, each under keys and under the passphrase");
    laptop.git(["push", "-q", "origin", "refs/samesession/*"]);

    guest.git(["fetch", "-q"]);
    guest.run(["fetch", "--trust", &laptop.fingerprint()]).ok();
    let given = line_in(&guest, "given", PASSPHRASE);
    let wrong = line_in(&guest, "wrong", "another");
    guest.run(["restore", &sid, "--session-only"]).fails(1, "sealed with a passphrase");
    guest.run(["restore", &sid, "--session-only", "--passphrase-file", &path(&wrong)]).fails(1, "wrong passphrase");
    guest.run(["restore", &sid, "--session-only", "--passphrase-file", &path(&given)]).ok();
    assert_eq!(guest.said(&native), laptop.said(&native));
    // Whoever has a key is not asked, and the passphrase is nowhere.
    assert!(holding(&team.sandbox.path(), PASSPHRASE).iter().all(|file| file == &given), "it was written down");
    if installed("tmux") {
        let terminal = at_a_terminal(&guest, &format!("git samesession show {sid} | grep -c .; git samesession log {sid}"));
        answer(&terminal, ASKS, PASSPHRASE);
        terminal.wait_for("ended with 0.");
        let terminal = at_a_terminal(&laptop, &format!("git samesession log {sid}"));
        terminal.wait_for("ended with 0.");
        assert!(!terminal.screen().contains(ASKS), "{}", terminal.screen());
    }

    // By hand, with nothing of ours: the real age asks for it.
    if installed("age") && installed("tmux") {
        let tip = laptop.local_tip().expect("a tip");
        let header: serde_json::Value = serde_json::from_str(&laptop.git(["show", &format!("{tip}:capsule.json")])).expect("JSON");
        let epoch = header["epoch"].as_str().expect("an epoch").to_owned();
        let script = format!(
            "for n in 0 1; do git show {tip}:keys/{epoch}/$n.age >$HOME/$n.age; done; git show {tip}:manifest.age >$HOME/manifest.age; \
             cd; age -d -i 1.age -o epoch-key 0.age && age -d -i epoch-key -o opened manifest.age"
        );
        let terminal = at_a_terminal(&laptop, &script);
        answer(&terminal, "Enter passphrase", PASSPHRASE);
        terminal.wait_for("ended with 0.");
    }

    // Taken away: what comes later it does not open.
    laptop.run(["recipient", "remove", "--passphrase"]).ok();
    laptop.adds(&native, "not for everybody");
    laptop.run(["checkpoint", &native]).ok();
    laptop.git(["push", "-q", "origin", "refs/samesession/*"]);
    let guest = team.machine("second-guest");
    guest.git(["fetch", "-q"]);
    guest.run(["fetch", "--trust", &laptop.fingerprint()]).ok();
    let refused = guest.run(["restore", &sid, "--session-only", "--passphrase-file", &path(&given)]);
    refused.fails(1, "no key here opens this capsule");
    assert!(keys_of(&laptop).exists());
}
