//! A chain of one's own whose newest checkpoint went bad on the disk: the next one is made all the same, and nobody reads it
//! who should not.

use std::fs;
use std::path::PathBuf;

use crate::support::clones::{Project, SESSION, session_ref, sid};
use crate::support::sandbox::{Machine, Ran};

/// The object as a file of its own, outside of every pack.
fn loose(machine: &Machine, object: &str) -> PathBuf {
    let packs = machine.cwd.join(".git/objects/pack");
    for entry in fs::read_dir(&packs).expect("a directory").flatten() {
        let aside = machine.home.join(entry.file_name());
        fs::rename(entry.path(), &aside).expect("moved");
        if aside.extension().is_some_and(|extension| extension == "pack") {
            let pack = fs::File::open(&aside).expect("a pack");
            let done = machine.command("git").args(["unpack-objects", "-q"]).stdin(pack).status().expect("git");
            assert!(done.success());
        }
    }
    let id = machine.rev(object);
    machine.cwd.join(".git/objects").join(&id[..2]).join(&id[2..])
}

/// Bits have changed.
fn rots(machine: &Machine, object: &str) {
    let file = loose(machine, object);
    fs::remove_file(&file).expect("removed");
    fs::write(file, b"what nobody wrote").expect("written");
}

fn vanishes(machine: &Machine, object: &str) {
    fs::remove_file(loose(machine, object)).expect("removed");
}

fn record_of(tip: &str) -> String {
    format!("{tip}:manifest.age")
}

/// The next checkpoint stands upon the bad one, holds everything, and says what was wrong.
fn goes_on(machine: &Machine, bad: &str) {
    machine.say("and on");
    let made = machine.run_here(["checkpoint", SESSION]).ok();
    let warned = made.stderr().contains(&format!("checkpoint {} of session", &bad[..10])) && made.stderr().contains("sealed anew");
    assert!(warned, "{}", made.stderr());
    assert_eq!(machine.rev(&format!("{}~1", session_ref())), bad);
    let heard = machine.heard();
    fs::remove_file(machine.transcript()).expect("removed");
    machine.run_here(["restore", SESSION, "--session-only"]).ok();
    assert_eq!(machine.heard(), heard);
    let again = machine.run_here(["checkpoint", SESSION]).ok();
    assert!(again.stdout().contains("holds all of it already") && !again.stderr().contains("damaged"), "{}", again.stderr());
}

fn refuses(machine: &Machine) -> Ran {
    machine.say("and on");
    let tip = machine.tip();
    let refused = machine.run_here(["checkpoint", SESSION]);
    assert_eq!((refused.code(), machine.tip()), (Some(128), tip), "{}", refused.stderr());
    refused.hints("restore an older one")
}

#[test]
fn one_whose_record_is_gone_or_changed_stops_nobody() {
    let project = Project::new();
    let laptop = project.plain("laptop");
    laptop.checkpoint("hello", &[]);
    for harm in [rots, vanishes] {
        let bad = laptop.checkpoint("more", &[]);
        harm(&laptop, &record_of(&bad));
        goes_on(&laptop, &bad);
    }
    // It is in nobody's way for ever.
    laptop.run_here(["gc", "--keep-last", "1"]).ok();
    assert_eq!(laptop.count(&laptop.tip()), 1);
    laptop.run_here(["push", SESSION, "origin"]).ok();
}

#[test]
fn nor_do_several_in_a_row() {
    let project = Project::new();
    let laptop = project.plain("laptop");
    laptop.checkpoint("hello", &[]);
    let bad = ["more", "and more", "and still more"].map(|words| laptop.checkpoint(words, &[]));
    bad.iter().for_each(|bad| vanishes(&laptop, &record_of(bad)));
    goes_on(&laptop, &bad[2]);
}

#[test]
fn where_none_before_it_opens_it_is_refused_with_a_way_out() {
    let project = Project::new();
    let laptop = project.plain("laptop");
    let only = laptop.checkpoint("hello", &[]);
    rots(&laptop, &record_of(&only));
    refuses(&laptop);
    // Where it is whole it can be brought from.
    vanishes(&laptop, &record_of(&only));
    refuses(&laptop);
}

#[test]
fn an_older_one_can_be_restored_and_gone_on_from() {
    let project = Project::new();
    let laptop = project.plain("laptop");
    laptop.checkpoint("hello", &[]);
    let heard = laptop.heard();
    let bad = laptop.checkpoint("more", &[]);
    rots(&laptop, &record_of(&bad));
    fs::remove_file(laptop.transcript()).expect("removed");
    laptop.run_here(["restore", &sid(), "--session-only"]).fails(128, "cannot be read").hints("restore an older one");
    laptop.run_here(["restore", &format!("{}~1", sid()), "--session-only"]).ok();
    assert_eq!(laptop.heard(), heard);
    goes_on(&laptop, &bad);
}

/// Who was added or removed by the one that does not open is not known.
#[test]
fn where_its_readers_may_be_others_it_is_refused() {
    let project = Project::new();
    let (laptop, desktop) = (project.plain("laptop"), project.plain("desktop"));
    laptop.checkpoint("hello", &[]);
    let key = desktop.recipient();
    for verb in ["add", "remove"] {
        laptop.run_here(["recipient", verb, &key, "--session", SESSION]).ok();
        let changed = laptop.tip();
        vanishes(&laptop, &record_of(&changed));
        refuses(&laptop);
        // As from a backup.
        laptop.git(["update-ref", &session_ref(), &format!("{changed}~1")]);
        laptop.git(["update-ref", "-d", &format!("refs/samesession-seen/@here/sessions/{}", sid())]);
        laptop.run_here(["recipient", verb, &key, "--session", SESSION]).ok();
    }
}

/// What it held may stand nowhere else.
#[test]
fn one_that_another_device_has_made_is_not_passed_over() {
    let project = Project::new();
    let (laptop, desktop) = (project.clone("laptop"), project.clone("desktop"));
    laptop.checkpoint("hello", &[&desktop]);
    laptop.run_here(["push", SESSION]).ok();
    desktop.trusts(&laptop);
    desktop.run_here(["restore", SESSION, "--session-only"]).ok();
    desktop.checkpoint("by the desktop", &[]);
    desktop.run_here(["push", SESSION]).ok();
    laptop.trusts(&desktop);
    assert_eq!(laptop.tip(), desktop.tip());
    vanishes(&laptop, &record_of(&laptop.tip()));
    refuses(&laptop);
}

/// The session may have changed hands by what does not open.
#[test]
fn nor_is_one_behind_which_somebody_drives_the_session() {
    let project = Project::new();
    let laptop = project.plain("laptop");
    laptop.checkpoint("hello", &[]);
    laptop.run_here(["lease", "take", SESSION]).ok();
    let bad = laptop.checkpoint("more", &[]);
    vanishes(&laptop, &record_of(&bad));
    refuses(&laptop);
}
