//! kill -9 and full disks at every named point, and what the next run makes of it: the old state or the new one.
//!
//! Each scene is a home before a restore, and the restore. It is played once without a fault, which gives the new state,
//! and then once for every visit of every fault point, twice where it dies: `restore` comes next, or `doctor`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use samesession::fault::POINTS;
use tempfile::TempDir;

use crate::support::sandbox::{CLAUDE_RICH, CODEX, CODEX_FORK, Machine, Ran, Sandbox, copy_tree, snapshot, without_journals};

type Tree = Vec<(PathBuf, Vec<u8>)>;

/// Points that only undoing passes.
const UNDOING: [&str; 2] = ["restore.undone", "restore.forgotten"];

struct Scene {
    _sandbox: Sandbox,
    machine: Machine,
    /// The agent's home, and how it was before.
    home: PathBuf,
    pristine: PathBuf,
    args: Vec<OsString>,
    old: Tree,
    new: Tree,
    /// Something is replaced, so that there are backups.
    replaces: bool,
    /// The agent's `projects` or `sessions` on another file system, and what it is called.
    spread: Option<(TempDir, &'static str)>,
}

impl Scene {
    /// The same with the growing files on another file system, as where a volume is mounted; `None` if there is none.
    fn spread(mut self) -> Option<Scene> {
        let other = tempfile::Builder::new().prefix("samesession-test-").tempdir().ok()?;
        if fs::metadata(other.path()).ok()?.dev() == fs::metadata(&self.pristine).ok()?.dev() {
            return None;
        }
        let what = ["projects", "sessions"].into_iter().find(|what| self.pristine.join(what).is_dir()).expect("growing files");
        self.spread = Some((other, what));
        self.old = self.reset();
        self.restore().ok();
        self.new = self.files();
        Some(self)
    }

    fn new(sandbox: Sandbox, machine: Machine, home: PathBuf, args: &[&OsStr]) -> Scene {
        let pristine = sandbox.path().join("pristine");
        copy_tree(&home, &pristine);
        let args = [&[OsStr::new("restore")], args].concat().into_iter().map(OsStr::to_owned).collect();
        let (old, new) = (Vec::new(), Vec::new());
        let mut scene = Scene { _sandbox: sandbox, machine, home, pristine, args, old, new, replaces: false, spread: None };
        scene.old = scene.reset();
        let told = scene.restore().ok().stdout();
        scene.replaces = told.contains("  replace");
        scene.new = scene.files();
        assert_ne!(scene.new, scene.old, "a scene in which something happens");
        scene
    }

    /// The home as it was before.
    fn reset(&self) -> Tree {
        let _ = fs::remove_dir_all(&self.home);
        copy_tree(&self.pristine, &self.home);
        if let Some((other, what)) = &self.spread {
            let there = other.path().join("volume");
            let _ = fs::remove_dir_all(&there);
            copy_tree(&self.home.join(what), &there);
            fs::remove_dir_all(self.home.join(what)).expect("removed");
            symlink(&there, self.home.join(what)).expect("linked");
        }
        self.files()
    }

    fn everything(&self) -> Tree {
        let mut all = snapshot(&self.home);
        all.extend(self.spread.iter().flat_map(|(other, _)| snapshot(other.path())));
        all
    }

    fn files(&self) -> Tree {
        without_journals(self.everything())
    }

    fn run(&self, args: &[OsString], fault: &str) -> Ran {
        let machine = self.machine.env("SAMESESSION_FAULT", fault);
        Ran(machine.command(env!("CARGO_BIN_EXE_git-samesession")).args(args).output().expect("it can be started"))
    }

    fn restore(&self) -> Ran {
        self.run(&self.args, "")
    }

    /// It may find other things to say; but nothing of a restore may be left for a person to mend.
    #[track_caller]
    fn doctor(&self) -> Ran {
        let ran = self.run(&["doctor".into()], "");
        assert!(matches!(ran.code(), Some(0 | 1)) && !ran.stdout().contains("could not be undone"), "{}\n{}", ran.stdout(), ran.stderr());
        assert!(!ran.stdout().contains("is left as it is"), "{}", ran.stdout());
        ran
    }

    /// Every visit of a point, until one is not reached any more: what happens at it, then what is to be seen.
    fn each_visit(&self, point: &str, action: &str, mut then: impl FnMut(&str, Ran)) -> usize {
        for visit in 1.. {
            assert!(visit < 200, "{point} is visited without end");
            self.reset();
            let fault = format!("{point}#{visit}={action}");
            let ran = self.run(&self.args, &fault);
            if action == "kill" && ran.0.status.signal() != Some(9) || action == "full" && ran.code() == Some(0) {
                ran.ok();
                return visit - 1;
            }
            then(&fault, ran);
        }
        0
    }

    /// What the program keeps for itself: finished journals, and no temporary file anywhere.
    #[track_caller]
    fn assert_tidy(&self, when: &str) {
        for (path, bytes) in self.everything() {
            let text = path.to_string_lossy();
            assert!(!text.contains("/.samesession-") && !text.ends_with(".part") && !text.contains("/.tmp-"), "{when}: {text}");
            if path.ends_with("journal.json") {
                let journal: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
                assert_eq!(journal["state"], "settled", "{when}: {text}");
                assert!(!path.with_file_name("new").exists(), "{when}: {text}");
            }
        }
        for entry in fs::read_dir(self.home.join(".samesession")).into_iter().flatten().flatten() {
            assert!(entry.path().join("journal.json").exists(), "{when}: {} has no journal", entry.path().display());
        }
    }

    /// No byte of what was here is lost: it stands somewhere, alone or at the beginning of something.
    #[track_caller]
    fn assert_nothing_lost(&self, when: &str) {
        let now = self.everything();
        for (path, bytes) in self.old.iter().filter(|(_, bytes)| bytes != b"directory") {
            let kept = now.iter().any(|(_, found)| found.starts_with(bytes));
            assert!(kept, "{when}: what was in {} is nowhere", path.display());
        }
    }

    fn killed_anywhere(&self) {
        let mut hit = BTreeMap::new();
        for point in POINTS.iter().filter(|point| point.starts_with("restore.")) {
            let visits = self.each_visit(point, "kill", |fault, _| {
                self.restore().ok();
                assert_same(&self.files(), &self.new, &format!("{fault}, then restore"));
                self.restore().ok();
                assert_same(&self.files(), &self.new, &format!("{fault}, then restore twice"));
                self.assert_tidy(fault);
                self.assert_nothing_lost(fault);

                self.reset();
                assert_eq!(self.run(&self.args, fault).0.status.signal(), Some(9));
                self.doctor();
                let now = self.files();
                assert!(now == self.old || now == self.new, "{fault}, then doctor: a mixture");
                self.assert_tidy(fault);
                self.assert_nothing_lost(fault);
                self.restore().ok();
                assert_same(&self.files(), &self.new, &format!("{fault}, then doctor, then restore"));
            });
            hit.insert(*point, visits);
        }
        for (point, visits) in hit {
            let expected = match point {
                "restore.backed-up" => self.replaces,
                "restore.copied" => self.spread.is_some(),
                _ => !UNDOING.contains(&point),
            };
            assert_eq!(visits > 0, expected, "{point} was visited {visits} times");
        }
    }

    /// Killed when everything is placed, and again while that is undone.
    fn killed_while_recovering(&self) {
        for point in UNDOING {
            for visit in 1.. {
                let begin = || {
                    self.reset();
                    assert_eq!(self.run(&self.args, "restore.all-placed=kill").0.status.signal(), Some(9));
                    self.run(&["doctor".into()], &format!("{point}#{visit}=kill")).0.status.signal() == Some(9)
                };
                if !begin() {
                    assert!(visit > 1, "{point} was never reached");
                    break;
                }
                self.doctor();
                assert_same(&self.files(), &self.old, &format!("{point}#{visit}, then doctor"));
                self.assert_tidy(point);
                begin();
                self.restore().ok();
                assert_same(&self.files(), &self.new, &format!("{point}#{visit}, then restore"));
                self.assert_tidy(point);
                self.assert_nothing_lost(point);
                // The agent goes on with what is still the new state.
                begin();
                if self.append_to_changed() {
                    self.doctor();
                    self.assert_new_with_work(&format!("{point}#{visit}, then work"));
                }
            }
        }
    }

    /// The agent writes on in the first file that already is what the capsule brought.
    fn append_to_changed(&self) -> bool {
        let now = self.files();
        let changed = self.new.iter().find(|(path, bytes)| {
            *bytes != b"directory" && now.contains(&(path.clone(), bytes.clone())) && !self.old.contains(&(path.clone(), bytes.clone()))
        });
        let Some((path, _)) = changed else { return false };
        append(path, WORK);
        true
    }

    #[track_caller]
    fn assert_new_with_work(&self, when: &str) {
        let now = self.files();
        assert_eq!(now.len(), self.new.len(), "{when}: {now:?}");
        let mut worked = 0;
        for ((path, bytes), (expected, new)) in now.iter().zip(&self.new) {
            let rest = bytes.strip_prefix(&new[..]).unwrap_or_else(|| panic!("{when}: {} is not the new one", path.display()));
            assert!(path == expected && (rest.is_empty() || rest == WORK.as_bytes()), "{when}: {}", path.display());
            worked += usize::from(!rest.is_empty());
        }
        assert_eq!(worked, 1, "{when}: the work is lost");
        self.assert_tidy(when);
        self.assert_nothing_lost(when);
    }

    fn worked_in_between(&self) {
        let mut kept = 0;
        for point in ["restore.backed-up", "restore.placed", "restore.all-placed"] {
            for then in ["doctor", "restore"] {
                self.each_visit(point, "kill", |fault, _| {
                    if self.append_to_changed() {
                        let recovered = if then == "doctor" { self.doctor() } else { self.restore().ok() };
                        let said = recovered.stdout() + &recovered.stderr();
                        assert!(said.contains("was finished"), "{fault}: {said}");
                        self.assert_new_with_work(fault);
                        kept += 1;
                    }
                });
            }
        }
        assert!(kept > 2, "only {kept} times was there anything to go on with");
    }

    fn full_anywhere(&self) {
        let mut refused = 0;
        for point in POINTS.iter().filter(|point| point.starts_with("restore.")) {
            let before = {
                self.reset();
                self.everything()
            };
            self.each_visit(point, "full", |fault, ran| {
                let code = ran.code().expect("an exit code");
                let ran = ran.fails(code, if code == 3 { "everything was put back" } else { "cannot write" });
                ran.hints("free some space");
                assert!(matches!(code, 3 | 128), "{fault}: {code}");
                assert_same(&self.everything(), &before, fault);
                refused += 1;
            });
        }
        assert!(refused > 5);
        self.reset();
        self.restore().ok();
    }
}

#[track_caller]
fn assert_same(now: &Tree, expected: &Tree, when: &str) {
    let only = |a: &Tree, b: &Tree| -> Vec<PathBuf> { a.iter().filter(|one| !b.contains(one)).map(|(path, _)| path.clone()).collect() };
    assert!(now == expected, "{when}:\nthere is {:#?}\ninstead of {:#?}", only(now, expected), only(expected, now));
}

#[test]
fn what_can_neither_be_done_nor_undone_is_said_and_mended_later() {
    let scene = coming_home(false, false);
    let before = scene.reset();
    let ran = scene.run(&scene.args, "restore.placed#2=full,restore.undone=full");
    let ran = ran.fails(4, "could not be undone: what was replaced is kept in").hints("git samesession doctor");
    assert!(ran.stderr().contains(".samesession/"), "{}", ran.stderr());
    // Until it is mended nothing else is installed; here the next run can do it.
    let stuck = scene.run(&scene.args, "restore.undone=full").fails(4, "could not be undone");
    drop(stuck.hints("git samesession doctor"));
    scene.doctor();
    assert_same(&scene.files(), &before, "mended");
    scene.assert_tidy("mended");
}

#[test]
fn a_session_that_the_agent_moved_after_the_crash_is_no_stumbling_block() {
    let scene = first_install(true);
    scene.reset();
    assert_eq!(scene.run(&scene.args, "restore.committed=kill").0.status.signal(), Some(9));
    let archive = scene.home.join("archived_sessions");
    fs::create_dir_all(&archive).expect("made");
    for rollout in rollouts(&scene.machine) {
        fs::rename(&rollout, archive.join(rollout.file_name().expect("a name"))).expect("archived");
    }
    scene.doctor();
    scene.assert_tidy("archived");
    assert!(scene.restore().ok().stdout().contains("already here"));
}

#[test]
fn a_journal_that_cannot_be_read_is_named_and_in_nobodys_way() {
    let scene = first_install(false);
    scene.reset();
    let dir = scene.home.join(".samesession/left");
    fs::create_dir_all(&dir).and_then(|()| fs::write(dir.join("journal.json"), "{\"schema\":\"samesession.journal/9\"")).expect("written");
    let doctor = scene.run(&["doctor".into()], "");
    assert!(doctor.code() == Some(1) && doctor.stdout().contains("is left as it is: its journal cannot be read"), "{}", doctor.stdout());
    assert!(scene.restore().ok().stderr().contains("left as it is"));
    assert_same(&scene.files(), &scene.new, "beside it");
    assert!(dir.join("journal.json").exists());
}

#[test]
fn a_backup_that_may_be_the_only_copy_never_expires() {
    let scene = coming_home(false, true);
    scene.reset();
    scene.restore().ok();
    let find = || snapshot(&scene.home).into_iter().find(|(path, _)| path.ends_with("journal.json")).expect("a journal");
    let (path, text) = find();
    let old = path.parent().expect("a directory").join("old");
    let kept = snapshot(&old);
    assert!(kept.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains("something else, here")));
    let text = String::from_utf8(text).expect("JSON").replacen("\"created\": \"202", "\"created\": \"200", 1);
    fs::write(&path, text).expect("written");
    let said = scene.machine.run(["doctor"]).ok().stdout();
    assert!(said.contains("may be the only copy") && said.contains(old.to_str().expect("UTF-8")), "{said}");
    assert_eq!(snapshot(&old), kept);
}

#[test]
fn backups_expire_and_a_session_that_was_never_opened_keeps_its_place() {
    let scene = coming_home(false, false);
    scene.reset();
    scene.restore().ok();
    let journal = || snapshot(&scene.home).into_iter().find(|(path, _)| path.ends_with("journal.json"));
    let (path, text) = journal().expect("a journal");
    let dir = path.parent().expect("a directory");
    assert!(dir.join("old").is_dir());
    let text = String::from_utf8(text).expect("JSON").replacen("\"created\": \"202", "\"created\": \"200", 1);
    fs::write(&path, text).expect("written");
    let listed = || scene.machine.json(["sessions"])["sessions"].to_string().contains(CLAUDE_RICH);
    assert!(listed());
    scene.doctor();
    assert!(!dir.join("old").exists() && listed(), "the backups went, the place is known");
    assert_same(&scene.files(), &scene.new, "expired");
    append(&scene.machine.claude_project().join(format!("{CLAUDE_RICH}.jsonl")), WORK);
    scene.doctor();
    assert_eq!(journal(), None);
    assert!(!scene.home.join(".samesession").exists());
}

const WORK: &str = "{\"type\":\"user\",\"ordinal\":999,\"message\":{\"content\":\"work after the crash\"}}\n";

fn append(path: &Path, text: &str) {
    fs::OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(text.as_bytes())).expect("appended");
}

fn line(text: &str) -> String {
    format!("{{\"type\":\"user\",\"ordinal\":998,\"message\":{{\"content\":\"{text}\"}}}}\n")
}

fn two(sandbox: &Sandbox) -> (Machine, Machine) {
    let (laptop, desktop) = (sandbox.machine("laptop"), sandbox.machine("desktop"));
    laptop.init();
    desktop.init();
    (laptop, desktop)
}

fn rollouts(machine: &Machine) -> [PathBuf; 2] {
    let day = machine.codex().join("sessions/2026/11/21");
    [day.join(format!("rollout-2026-11-21T04-03-33-{CODEX}.jsonl")), day.join(format!("rollout-2026-11-21T04-03-34-{CODEX_FORK}.jsonl"))]
}

fn name_thread(machine: &Machine, name: &str) {
    let entry = format!("{{\"id\":\"{CODEX_FORK}\",\"thread_name\":\"{name}\",\"updated_at\":\"2026-11-22T00:00:00Z\"}}\n");
    fs::write(machine.codex().join("session_index.jsonl"), entry).expect("written");
}

/// Every file of the session was written on: the growing ones at their ends, a sidecar anew, and one is added.
fn go_on_with_claude(machine: &Machine) {
    let project = machine.claude_project();
    append(&project.join(format!("{CLAUDE_RICH}.jsonl")), &line("there"));
    let own = project.join(CLAUDE_RICH);
    append(&own.join("subagents/agent-a0af073bf73c7e6cc.jsonl"), &line("a helper, there"));
    fs::write(own.join("subagents/agent-a0af073bf73c7e6cc.meta.json"), "{\"changed\":true}").expect("written");
    fs::write(own.join("tool-results/new.txt"), "more output").expect("written");
}

fn go_on_with_codex(machine: &Machine) {
    for rollout in rollouts(machine) {
        append(&rollout, &line("there"));
    }
    name_thread(machine, "named there");
}

fn first_install(codex: bool) -> Scene {
    let sandbox = Sandbox::in_memory();
    let (laptop, desktop) = two(&sandbox);
    laptop.with_claude().with_codex();
    name_thread(&laptop, "named");
    let capsule = laptop.seal(if codex { CODEX_FORK } else { CLAUDE_RICH }, &desktop);
    let home = if codex { desktop.codex() } else { desktop.claude() };
    fs::create_dir_all(&home).expect("made");
    fs::write(home.join("settings.of.the.user"), "theirs").expect("written");
    let trust = laptop.fingerprint();
    Scene::new(sandbox, desktop, home, &[capsule.as_os_str(), "--trust".as_ref(), trust.as_ref()])
}

/// There and back again: the laptop's session was gone on with on the desktop; and here, if it is to diverge.
fn coming_home(codex: bool, diverged: bool) -> Scene {
    let sandbox = Sandbox::in_memory();
    let (laptop, desktop) = two(&sandbox);
    laptop.with_claude().with_codex();
    let session = if codex { CODEX_FORK } else { CLAUDE_RICH };
    desktop.restore(&laptop.seal(session, &desktop), &laptop).ok();
    if codex {
        go_on_with_codex(&desktop)
    } else {
        go_on_with_claude(&desktop)
    }
    let transcript = if codex { rollouts(&laptop)[1].clone() } else { laptop.claude_project().join(format!("{CLAUDE_RICH}.jsonl")) };
    if diverged {
        append(&transcript, &line("something else, here"));
    }
    let capsule = desktop.seal(session, &laptop);
    let trust = desktop.fingerprint();
    let mut args = vec![capsule.as_os_str(), "--trust".as_ref(), trust.as_ref()];
    if diverged {
        let refused = laptop.run([&[OsStr::new("restore")], &args[..]].concat());
        refused.fails(1, "went its own way").hints("--set-aside");
        args.push("--set-aside".as_ref());
    }
    let home = if codex { laptop.codex() } else { laptop.claude() };
    Scene::new(sandbox, laptop, home, &args)
}

/// The session stands elsewhere in the home already, and is to stand in one place.
fn another_place(codex: bool) -> Scene {
    let sandbox = Sandbox::in_memory();
    let (laptop, desktop) = two(&sandbox);
    laptop.with_claude().with_codex();
    let elsewhere = laptop.at(laptop.home.join("src/elsewhere"));
    let session = if codex { CODEX_FORK } else { CLAUDE_RICH };
    let capsule = laptop.seal(session, &desktop);
    let home = if codex { laptop.codex() } else { laptop.claude() };
    if codex {
        let [_, fork] = rollouts(&laptop);
        let archive = home.join("archived_sessions");
        fs::create_dir_all(&archive).expect("made");
        fs::copy(&fork, archive.join(fork.file_name().expect("a name"))).expect("copied");
    }
    Scene::new(sandbox, laptop, home, &[capsule.as_os_str(), "--into".as_ref(), elsewhere.cwd.as_os_str()])
}

fn spread(scene: Scene) -> Option<Scene> {
    let spread = scene.spread();
    if spread.is_none() {
        eprintln!("SKIPPED: no other file system here");
    }
    spread
}

macro_rules! scenes {
    ($($name:ident: $scene:expr, $($check:ident)*;)*) => {
        $(mod $name {
            $(#[test]
            fn $check() {
                use super::*;
                if let Some(scene) = Option::<Scene>::from($scene) {
                    scene.$check();
                }
            })*
        })*
    };
}

scenes! {
    claude_first: first_install(false), killed_anywhere killed_while_recovering worked_in_between full_anywhere;
    codex_first: first_install(true), killed_anywhere killed_while_recovering full_anywhere;
    claude_forward: coming_home(false, false), killed_anywhere killed_while_recovering worked_in_between full_anywhere;
    codex_forward: coming_home(true, false), killed_anywhere killed_while_recovering worked_in_between full_anywhere;
    claude_set_aside: coming_home(false, true), killed_anywhere killed_while_recovering worked_in_between full_anywhere;
    codex_set_aside: coming_home(true, true), killed_anywhere killed_while_recovering worked_in_between full_anywhere;
    claude_elsewhere: another_place(false), killed_anywhere killed_while_recovering worked_in_between full_anywhere;
    claude_forward_spread: spread(coming_home(false, false)), killed_anywhere killed_while_recovering worked_in_between full_anywhere;
    claude_elsewhere_spread: spread(another_place(false)), killed_anywhere killed_while_recovering worked_in_between full_anywhere;
    codex_set_aside_spread: spread(coming_home(true, true)), killed_anywhere killed_while_recovering worked_in_between full_anywhere;
    codex_elsewhere: another_place(true), killed_anywhere killed_while_recovering full_anywhere;
}
