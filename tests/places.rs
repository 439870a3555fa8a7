//! Where a session stands twice in one home, or seems to: nothing is taken away that is kept nowhere else.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::support::sandbox::{CLAUDE, CLAUDE_RICH, Machine, Ran, Sandbox, snapshot, without_journals};

fn append(path: &Path, text: &str) {
    fs::OpenOptions::new().create(true).append(true).open(path).and_then(|mut file| file.write_all(text.as_bytes())).expect("appended");
}

fn capsule(machine: &Machine, session: &str) -> PathBuf {
    machine.init();
    machine.with_claude();
    machine.seal(session, machine)
}

/// The project was moved, and its session directory with it; `link` leaves the old name behind.
fn moved(old: &Machine, link: impl Fn(&Path, &Path)) -> Machine {
    let new = old.at(old.home.join("src/moved.project"));
    fs::rename(old.claude_project(), new.claude_project()).expect("moved");
    link(&new.claude_project(), &old.claude_project());
    new
}

#[test]
fn a_project_directory_with_two_names_is_one() {
    for reversed in [false, true] {
        let sandbox = Sandbox::new();
        let old = sandbox.machine("laptop");
        let file = capsule(&old, CLAUDE_RICH);
        let new = moved(&old, |real, name| {
            symlink(real, name).expect("linked");
            if reversed {
                fs::remove_file(name).expect("a link");
                fs::rename(real, name).expect("moved back");
                symlink(name, real).expect("linked");
            }
        });
        let restore = || new.run([OsStr::new("restore"), file.as_os_str(), "--into".as_ref(), new.cwd.as_os_str()]);
        let before = without_journals(snapshot(&new.claude()));
        let answer = restore().ok().stdout();
        assert!(answer.contains("already here") && answer.contains("discoverable"), "{answer}");
        assert_eq!(without_journals(snapshot(&new.claude())), before);

        // Brought forward, it is there once more, and whole.
        let transcript = new.claude_project().join(format!("{CLAUDE_RICH}.jsonl"));
        let whole = fs::read(&transcript).expect("the session");
        let half = half_of(&whole);
        fs::write(&transcript, &whole[..half]).expect("cut");
        assert!(restore().ok().stdout().contains("brought forward"));
        assert_eq!(fs::read(&transcript).expect("it is there"), whole);

        let listed = new.json(["sessions", "--all"])["sessions"].as_array().expect("sessions").len();
        assert_eq!(listed, 3, "each session is listed once");
        assert!(!new.run(["doctor"]).stdout().contains("project directories"));
    }
}

#[test]
fn a_transcript_with_two_names_is_one() {
    let sandbox = Sandbox::new();
    let old = sandbox.machine("laptop");
    let file = capsule(&old, CLAUDE);
    let new = old.at(old.home.join("src/moved.project"));
    let name = format!("{CLAUDE}.jsonl");
    fs::create_dir_all(new.claude_project()).expect("made");
    symlink(old.claude_project().join(&name), new.claude_project().join(&name)).expect("linked");
    let before = without_journals(snapshot(&new.claude()));
    let answer = new.run([OsStr::new("restore"), file.as_os_str(), "--into".as_ref(), new.cwd.as_os_str()]).ok().stdout();
    assert!(answer.contains("already here") && answer.contains("discoverable"), "{answer}");
    assert_eq!(without_journals(snapshot(&new.claude())), before);
}

#[test]
fn what_only_a_copy_has_is_not_put_away_with_it() {
    let work = "{\"type\":\"user\",\"message\":{\"content\":\"the helper went on\"}}\n";
    let files = ["tool-results/later.txt", "subagents/agent-a0af073bf73c7e6cc.jsonl"];
    for below in files {
        let sandbox = Sandbox::new();
        let here = sandbox.machine("laptop");
        let file = capsule(&here, CLAUDE_RICH);
        let own = here.claude_project().join(CLAUDE_RICH);
        append(&own.join(below), work);
        let there = here.at(here.home.join("src/other.place"));
        let restore = [OsStr::new("restore"), file.as_os_str(), "--into".as_ref(), there.cwd.as_os_str()];
        let before = without_journals(snapshot(&here.claude()));
        here.run(restore).fails(1, below).hints("--set-aside");
        assert_eq!(without_journals(snapshot(&here.claude())), before);

        here.run(restore.into_iter().chain(["--set-aside".as_ref()])).ok();
        assert!(!own.exists() && there.claude_project().join(CLAUDE_RICH).exists());

        // What lies there without a transcript is no copy.
        fs::create_dir_all(own.join("tool-results")).expect("made");
        fs::write(own.join("tool-results/x.txt"), work).expect("written");
        assert!(here.run(restore).ok().stdout().contains("already here"));
        assert!(own.join("tool-results/x.txt").exists());
    }
}

/// The end of the first half's last whole line.
fn half_of(bytes: &[u8]) -> usize {
    bytes[..bytes.len() / 2].iter().rposition(|&b| b == b'\n').expect("a line") + 1
}

#[test]
fn a_project_that_cannot_be_listed_is_reported_and_the_others_are_listed() {
    let sandbox = Sandbox::new();
    let laptop = sandbox.machine("laptop");
    laptop.with_claude();
    let locked = laptop.claude().join("projects/-locked");
    fs::create_dir_all(&locked).expect("made");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).expect("locked");
    // What the superuser may is put aside.
    let mut command = laptop.command("setpriv");
    command.args(["--bounding-set=-dac_override,-dac_read_search", "git-samesession", "sessions", "--all", "--json"]);
    let plain = || laptop.command("git-samesession").args(["sessions", "--all", "--json"]).output();
    let ran = if fs::read_dir(&locked).is_ok() { command.output() } else { plain() };
    let Ok(ran) = ran else { return eprintln!("SKIPPED: the superuser reads everything, and there is no setpriv") };
    let answer = Ran(ran).ok().json();
    assert_eq!(answer["sessions"].as_array().expect("sessions").len(), 3);
    assert!(answer["broken"].to_string().contains("-locked"), "{answer}");
}

#[test]
fn a_session_that_is_gone_right_after_its_commit_is_no_failure_of_the_commit() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (sandbox.machine("laptop"), sandbox.machine("desktop"));
    desktop.init();
    laptop.init().with_claude();
    let file = laptop.seal(CLAUDE, &desktop);
    let restore = ["restore".into(), file.into_os_string(), "--trust".into(), laptop.fingerprint().into()];
    let mut paused = desktop.pause_at("restore.settled", restore.to_vec());
    fs::remove_file(desktop.claude_project().join(format!("{CLAUDE}.jsonl"))).expect("removed");
    let ran = paused.end().ok();
    assert!(ran.stdout().contains("may not find it") && ran.stderr().contains("it is not there"), "{}", ran.stdout());
}
