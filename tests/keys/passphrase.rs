//! A passphrase over this machine's keys: their own tools ask for it, so do we, once, and where nobody is there that is said.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use super::{ASKS, PASSPHRASE, answer, at_a_terminal, holding, installed, keys_of, line_in, sh};
use crate::support::chains::{Team, id};
use crate::support::clones::sid_of;
use crate::support::sandbox::{Machine, Sandbox};

/// Its keys are under the passphrase.
fn locked(machine: &Machine) {
    let file = line_in(machine, "passphrase", PASSPHRASE);
    machine.run(["device", "passphrase", "--passphrase-file", file.to_str().expect("UTF-8")]).ok();
    fs::remove_file(file).expect("it was there");
}

fn is_locked(machine: &Machine) -> bool {
    machine.json(["device", "show"])["passphrase"] == true
}

fn in_the_clear(machine: &Machine) -> usize {
    holding(&machine.home, "AGE-SECRET-KEY-1").len()
}

#[test]
fn age_and_ssh_keygen_open_the_keys_with_the_passphrase_and_not_without() {
    let sandbox = Sandbox::new();
    let machine = sandbox.machine("laptop");
    let file = line_in(&machine, "passphrase", PASSPHRASE);
    machine.run(["device", "init", "--name", "laptop", "--passphrase-file", file.to_str().expect("UTF-8")]).ok();
    let keys = keys_of(&machine);
    for (name, mode) in [(".", 0o700), ("identity.txt", 0o600), ("signing_key", 0o600)] {
        assert_eq!(fs::metadata(keys.join(name)).expect("there").permissions().mode() & 0o777, mode, "{name}");
    }
    assert_eq!((in_the_clear(&machine), is_locked(&machine)), (0, true));
    assert!(machine.run(["device", "show"]).ok().stdout().contains("passphrase   yes"));

    if installed("ssh-keygen") {
        // Asked for by a program here: there is no terminal.
        let sign = |passphrase: &str| {
            let ask = machine.home.join("ask");
            crate::support::chains::write_script(&ask, &format!("echo '{passphrase}'"));
            let mut command = machine.command("setsid");
            command.env("SSH_ASKPASS", &ask).env("SSH_ASKPASS_REQUIRE", "force").env("DISPLAY", ":none");
            let key = keys.join("signing_key");
            command.args(["--wait", "sh", "-c", "echo words | ssh-keygen -q -Y sign -n samesession -f \"$1\"", "sh"]).arg(key);
            command.output().expect("ssh-keygen")
        };
        assert!(!sign("another").status.success());
        let signature = sign(PASSPHRASE);
        assert!(signature.status.success(), "{}", String::from_utf8_lossy(&signature.stderr));
        let signer = samesession::seal::verify("samesession", b"words\n", &signature.stdout).expect("it holds");
        assert_eq!(signer.fingerprint, machine.fingerprint());
    }
    if installed("age") && installed("tmux") {
        let recipient = machine.recipient();
        assert!(sh(&machine, &format!("echo words | age -r {recipient} -o sealed.age")).status.success());
        for (passphrase, code) in [("another", 1), (PASSPHRASE, 0)] {
            let opened = at_a_terminal(&machine, &format!("age -d -i {} -o opened sealed.age", keys.join("identity.txt").display()));
            answer(&opened, "Enter passphrase", passphrase);
            opened.wait_for(&format!("ended with {code}."));
        }
        assert_eq!(fs::read_to_string(machine.cwd.join("opened")).expect("opened"), "words\n");
    }
}

#[test]
fn whoever_is_at_a_terminal_is_asked_once_and_nobody_else_is() {
    let team = Team::new();
    let laptop = team.machine("laptop");
    laptop.begin(&id(1));
    laptop.run(["checkpoint", &id(1)]).ok();
    locked(&laptop);
    laptop.adds(&id(1), "more");
    let tip = laptop.local_tip();
    let (native, sid) = (id(1), sid_of(&id(1)).to_string());
    // What anybody can see it shows, and says why it shows no more.
    let shown = laptop.json(["show", tip.as_deref().expect("a tip")]);
    assert!(shown["unread"].as_str().is_some_and(|why| why.contains("a key that asks for its passphrase")), "{shown}");
    for args in [
        &["checkpoint", &native][..],
        &["checkpoint", &native, "-o", "x"],
        &["restore", &sid, "--session-only"],
        &["recipient", "rewrap", &sid],
    ] {
        let refused = laptop.run(args).fails(1, "this device's key has a passphrase, and nobody can be asked for it here");
        refused.hints("git samesession device passphrase --remove");
        let json = laptop.run([args, &["--json"]].concat()).fails_with(1).json();
        assert_eq!(json["kind"], "passphrase", "{json}");
    }
    assert_eq!(laptop.local_tip(), tip, "nothing was done");
    if !installed("tmux") {
        return;
    }
    // It opens what there is, and signs twice.
    let terminal = at_a_terminal(&laptop, &format!("git samesession checkpoint {}", id(1)));
    answer(&terminal, ASKS, PASSPHRASE);
    terminal.wait_for("ended with 0.");
    assert_eq!(terminal.screen().matches(ASKS).count(), 1, "{}", terminal.screen());
    assert!(!terminal.screen().contains(PASSPHRASE));
    assert_ne!(laptop.local_tip(), tip);
    laptop.assert_sound(false);

    let terminal = at_a_terminal(&laptop, "git samesession list");
    answer(&terminal, ASKS, "another");
    terminal.wait_for("ended with 0.");
    assert_eq!(terminal.screen().matches(ASKS).count(), 1, "{}", terminal.screen());
    assert!(terminal.screen().contains("sealed to a key that asks for its passphrase"), "{}", terminal.screen());
    // A prompt asks nothing, and neither does what goes on behind the user's back.
    for words in ["git samesession status --porcelain", "SAMESESSION_UNATTENDED=1 git samesession list"] {
        let terminal = at_a_terminal(&laptop, words);
        terminal.wait_for("ended with 0.");
        assert!(!terminal.screen().contains(ASKS), "{}", terminal.screen());
    }
    let terminal = at_a_terminal(&laptop, &format!("SAMESESSION_UNATTENDED=1 git samesession checkpoint {} -o y", id(1)));
    terminal.wait_for("ended with 1.");
    assert!(terminal.screen().contains("nobody can be asked"), "{}", terminal.screen());
}

#[test]
fn hooks_ask_nobody_stop_nothing_and_say_why_they_do_nothing() {
    let team = Team::new();
    let laptop = team.machine("laptop");
    laptop.begin(&id(1));
    laptop.run(["hook", "install", "--git"]).ok();
    locked(&laptop);
    let pushed = laptop.try_git(["push", "-q", "origin", "HEAD:refs/heads/main"]).ok();
    assert!(pushed.stderr().contains("this device's key has a passphrase, and nobody can be asked"), "{}", pushed.stderr());
    assert_eq!(team.server.refs("refs/heads/main").len(), 1, "the user's own push is not stopped");
    assert!(team.server.refs("refs/samesession").is_empty());
    assert!(laptop.run(["hook", "status"]).ok().stdout().contains("NOT done"));
    laptop.git(["config", "samesession.hook.strict", "true"]);
    let refused = laptop.try_git(["push", "-q", "origin", "HEAD:refs/heads/other"]);
    assert!(refused.code() != Some(0) && refused.stderr().contains("nobody can be asked"), "{}", refused.stderr());
    let again = laptop.run(["hook", "install", "--git"]).ok();
    assert!(again.stderr().contains("hooks ask nobody"), "{}", again.stderr());
    // In an agent's own turn nobody could be asked when it is over, so nothing is registered.
    let inside = laptop.env("CLAUDE_CODE_SESSION_ID", id(1)).env("CLAUDECODE", "1");
    inside.run(["move", "--remote", "origin"]).fails(1, "nobody can be asked");
    assert!(!laptop.cwd.join(".git/samesession/registered").exists());
    assert!(laptop.run(["doctor"]).stdout().contains("its keys under a passphrase"));
}

#[test]
fn a_passphrase_is_set_changed_and_taken_off_and_the_keys_stay_the_same() {
    let sandbox = Sandbox::new();
    let machine = sandbox.machine("laptop");
    machine.init();
    let keys = keys_of(&machine);
    fs::write(keys.join("note"), "mine").expect("written");
    let (before, public) = (machine.recipient(), fs::read_to_string(keys.join("signing_key.pub")).expect("there"));
    machine.run(["device", "passphrase", "--remove"]).fails(1, "this device's keys have no passphrase");
    machine.run(["device", "passphrase"]).fails(1, "there is no terminal to ask for a passphrase");
    locked(&machine);
    let file = line_in(&machine, "next", "second");
    let next = file.to_str().expect("UTF-8");
    machine.run(["device", "passphrase", "--passphrase-file", next]).fails(1, "there is no terminal");
    machine.run(["device", "passphrase", "--remove"]).fails(1, "there is no terminal");
    assert!(is_locked(&machine));
    if !installed("tmux") {
        return;
    }
    let change = |words: &str, answers: &[(&str, &str)], code: i32| {
        let terminal = at_a_terminal(&machine, &format!("git samesession device passphrase {words}"));
        for (question, words) in answers {
            answer(&terminal, question, words);
        }
        terminal.wait_for(&format!("ended with {code}."));
        terminal.screen()
    };
    let (old, new, again) = ("The passphrase that it has", "Passphrase:", "Once more:");
    assert!(change("", &[(old, PASSPHRASE), (new, "second"), (again, "third")], 1).contains("differ"));
    assert!(change("", &[(old, "another"), (new, "second"), (again, "second")], 1).contains("wrong passphrase for this device's key"));
    change("", &[(old, PASSPHRASE), (new, "second"), (again, "second")], 0);
    change("--remove", &[(old, PASSPHRASE)], 1);
    assert_eq!((is_locked(&machine), in_the_clear(&machine)), (true, 0));
    change("--remove", &[(old, "second")], 0);
    assert_eq!((is_locked(&machine), in_the_clear(&machine)), (false, 1));
    assert_eq!(machine.recipient(), before);
    assert_eq!(fs::read_to_string(keys.join("signing_key.pub")).expect("there"), public);
    assert_eq!(fs::read_to_string(keys.join("note")).expect("kept"), "mine");
    assert_eq!(fs::read_dir(keys.parent().expect("a directory")).expect("there").count(), 1, "nothing is left beside them");
}

#[test]
fn killed_anywhere_both_keys_are_as_before_or_as_after_and_none_stays_in_the_clear() {
    for (point, after) in [("device.sealed", false), ("device.exchanged", true)] {
        let sandbox = Sandbox::new();
        let machine = sandbox.machine("laptop");
        machine.init();
        let (recipient, file) = (machine.recipient(), line_in(&machine, "passphrase", PASSPHRASE));
        let args = ["device", "passphrase", "--passphrase-file", file.to_str().expect("UTF-8")];
        let mut command = machine.env("SAMESESSION_FAULT", format!("{point}=kill")).command("git-samesession");
        assert_eq!(command.args(args).output().expect("it runs").status.signal(), Some(9), "{point}");
        let left = |machine: &Machine| fs::read_dir(keys_of(machine).parent().expect("a directory")).expect("there").count();
        assert_eq!(left(&machine), 2, "{point}: or nothing is shown");
        // Any command that needs the keys clears up.
        assert_eq!((is_locked(&machine), machine.recipient()), (after, recipient.clone()), "{point}");
        assert_eq!((left(&machine), in_the_clear(&machine)), (1, usize::from(!after)), "{point}");
        assert!(Path::new(&keys_of(&machine)).join("signing_key").exists());
        if !after {
            machine.run(args).ok();
            assert_eq!((is_locked(&machine), in_the_clear(&machine)), (true, 0), "{point}");
        }
    }
}

#[test]
fn keys_that_were_exchanged_for_others_are_not_believed() {
    let sandbox = Sandbox::new();
    let machine = sandbox.machine("laptop");
    machine.init().with_claude();
    locked(&machine);
    let about = keys_of(&machine).join("device.json");
    let other = sandbox.machine("other").init().recipient();
    let text = fs::read_to_string(&about).expect("there").replace(&machine.recipient(), &other);
    fs::write(&about, text).expect("written");
    if !installed("tmux") {
        return;
    }
    let sealed = machine.home.join("sealed");
    fs::write(&sealed, age::encrypt(&other.parse::<age::x25519::Recipient>().expect("a key"), b"x").expect("sealed")).expect("written");
    let terminal = at_a_terminal(&machine, &format!("git samesession inspect {}", sealed.display()));
    answer(&terminal, ASKS, PASSPHRASE);
    terminal.wait_for("this device's key is not what its file says");
}
