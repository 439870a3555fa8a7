//! The examples of git-remote-session(1), typed one after the other on two machines.

use std::fs;
use std::path::Path;

use super::captured;
use crate::support::clones::{Project, SESSION};

#[test]
fn the_examples_of_the_page_do_what_they_say() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/git-remote-session.1")).expect("the page");
    let project = Project::new();
    let machines = ["laptop", "desktop"].map(|name| {
        let machine = project.plain(name);
        machine.git(["checkout", "-q", "-b", "main", "origin/main"]);
        machine.run_here(["init"]).ok();
        machine
    });
    let [laptop, desktop] = &machines;
    laptop.git(["config", "samesession.recipient", &desktop.recipient()]);
    laptop.say("one");
    let device = laptop.home.join(".config/samesession/device/signing_key.pub");
    let line = format!("laptop namespaces=\"samesession,git\" {}", fs::read_to_string(device).expect("a key"));
    fs::write(desktop.home.join(".config/samesession/known_signers"), line).expect("written");
    let store = project.sandbox.path().join("sessions.git");
    laptop.git(["init", "-q", "--bare", store.to_str().expect("UTF-8")]);

    let (_, examples) = page.split_once(".Sh EXAMPLES\n").expect("examples");
    let mut typed = 0;
    for line in examples.lines().take_while(|line| !line.starts_with(".Sh ")) {
        let Some((machine, command)) = machines.iter().find_map(|one| Some((one, line.strip_prefix(&format!("{}$ ", one.name))?))) else {
            continue;
        };
        let command = command.replace("/srv/sessions.git", store.to_str().expect("UTF-8"));
        let out = machine.command("sh").args(["-c", &command]).output().expect("a shell");
        let (printed, told) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "{line}\n{told}");
        assert!(!command.contains("ls-remote") || printed.contains("refs/samesession/sessions/"), "{line}\n{printed}");
        typed += 1;
    }
    assert_eq!(typed, 11);
    assert_eq!(desktop.heard(), laptop.heard());
    assert!(desktop.git(["for-each-ref"]).contains("refs/samesession-remote/sessions/sessions/"));
    assert!(laptop.transcript_of(SESSION).is_file());

    // The settings that the page spells out are those that `init` has made.
    let by_hand = project.plain("by-hand");
    let (_, block) = page.split_once("By hand it is:\n.Bd -literal -offset indent\n").expect("the settings");
    for line in block.lines().take_while(|line| *line != ".Ed") {
        assert!(by_hand.command("sh").args(["-c", line]).status().expect("a shell").success(), "{line}");
        let key = line.split(' ').nth(2).expect("a key");
        assert_eq!(by_hand.git(["config", "--get-all", key]), laptop.git(["config", "--get-all", key]), "{key}");
    }
    by_hand.say("mine");
    captured(&by_hand);
}
