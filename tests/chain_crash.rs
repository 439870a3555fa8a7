//! kill -9 and full disks at every point of checkpoint, push, gc and delete: the old chain or the new one, and the next
//! run goes on from there.
//!
//! Each scene is a laptop, a desktop and their bare repository before a command. It is played once for every visit of every
//! fault point; then the command is run again, without a fault.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use samesession::fault::POINTS;
use tempfile::TempDir;

use crate::support::chains::{Team, write_script};
use crate::support::sandbox::{Machine, Ran};

const SESSION: &str = "aaaaaaaa-0001-4000-8000-000000000001";

/// The points that the scenes below must reach, by the beginnings of their names.
const HERE: [&str; 7] = ["capture.", "commit.", "join.", "carry.", "replace.", "pack.", "push."];
/// Those of others: `crash` and `interrupted`, `packs`, `workspace`, `moving`.
const ELSEWHERE: [&str; 7] = ["lease.", "publish.", "checkpoint.", "restore.", "tidy.", "workspace.", "device."];

struct Scene {
    team: Team,
    laptop: Machine,
    desktop: Machine,
    pristine: TempDir,
    args: Vec<String>,
    then: Then,
}

/// What the desktop finds in the end.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// What the laptop has, on the chain that was there.
    On,
    /// The same, on one that has taken its place.
    Anew,
    /// That it is one of two ways.
    Ways,
    /// That it was deleted.
    Gone,
}

impl Scene {
    /// As it stands now is how each round begins.
    fn new(team: Team, [laptop, desktop]: [Machine; 2], args: &[&str], then: Then) -> Scene {
        let pristine = tempfile::Builder::new().prefix("samesession-test-").tempdir_in("/dev/shm");
        let pristine = pristine.or_else(|_| tempfile::tempdir()).expect("a directory");
        copy(&team.sandbox.path(), pristine.path());
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        Scene { team, laptop, desktop, pristine, args, then }
    }

    fn reset(&self) {
        for entry in fs::read_dir(self.team.sandbox.path()).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("removed");
        }
        copy(self.pristine.path(), &self.team.sandbox.path());
    }

    fn run(&self, fault: &str) -> Ran {
        let machine = self.laptop.env("SAMESESSION_FAULT", fault);
        Ran(machine.start(&self.args).wait_with_output().expect("it ends"))
    }

    /// Every point at every visit.
    fn play(&self) -> BTreeSet<&'static str> {
        let mut reached = BTreeSet::new();
        let mut full = 0;
        for point in POINTS.iter().copied().filter(|point| HERE.iter().any(|ours| point.starts_with(ours))) {
            for visit in 1.. {
                self.reset();
                let ran = self.run(&format!("{point}#{visit}=kill"));
                if ran.0.status.signal() != Some(9) {
                    ran.ok();
                    break;
                }
                reached.insert(point);
                self.assert_survived(&format!("{point}#{visit}=kill"), true);
            }
            for visit in 1.. {
                self.reset();
                let fault = format!("{point}#{visit}=full");
                let ran = self.run(&fault);
                let said = ran.stderr();
                eprintln!("{fault}: {:?} {said}", ran.code());
                if !said.contains("no storage space") {
                    assert_eq!(ran.code(), Some(0), "{fault}: {said}");
                    break;
                }
                // A chain that a fetch cannot follow for now stays as it is, and the fetch goes on to others.
                let warned = ran.code() == Some(0) && said.contains("is passed by: cannot write to");
                assert!(warned || ran.code() == Some(128) && said.contains("hint: free some space"), "{fault}: {said}");
                full += 1;
                self.assert_survived(&fault, false);
            }
        }
        assert!(full > 0);
        reached
    }

    /// The old chain or the new one stands everywhere; the next run makes it the new one.
    #[track_caller]
    fn assert_survived(&self, when: &str, killed: bool) {
        eprintln!("{when}");
        // Where a chain takes another one's place the old one's objects stay for a while.
        let strays = killed || matches!(self.then, Then::Anew | Then::Gone);
        let (laptop, server) = (&self.laptop, &self.team.server);
        let before = |machine: &Machine| {
            let there = machine.cwd.strip_prefix(self.team.sandbox.path()).expect("inside");
            machine.at(self.pristine.path().join(there)).local_tip()
        };
        for machine in [laptop, server] {
            machine.assert_sound(strays);
            let (old, new) = (before(machine), machine.local_tip());
            let same_or_on = match (&old, &new) {
                (Some(old), Some(new)) => matches!(self.then, Then::Anew | Then::Gone) || machine.descends(new, old),
                (Some(_), None) => false,
                (None, _) => true,
            };
            assert!(same_or_on, "{when}: {} had {old:?} and has {new:?}", machine.name);
        }
        self.run("").ok();
        if self.then != Then::Gone {
            laptop.quick(["push", SESSION]).ok();
        }
        laptop.assert_sound(strays);
        server.assert_sound(strays);
        let tip = server.local_tip().expect("a chain");
        assert_eq!(laptop.local_tip().as_ref(), Some(&tip), "{when}");
        let desktop = &self.desktop;
        let theirs = desktop.local_tip();
        desktop.quick(["fetch"]).ok();
        match self.then {
            Then::Gone => drop(desktop.quick(["restore", SESSION]).fails(1, "deleted")),
            Then::Ways => {
                assert!(server.descends(&tip, &theirs.expect("a chain")), "{when}: what the desktop had pushed is lost");
                desktop.quick(["restore", SESSION]).fails(1, "went 2 ways");
            }
            Then::On | Then::Anew => {
                desktop.quick(["restore", SESSION]).ok();
                assert_eq!(desktop.said(SESSION), laptop.said(SESSION), "{when}");
            }
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().expect("cp");
    assert!(done.success());
}

/// The laptop has begun a session, in so many checkpoints, and the desktop has it, too.
fn shared(checkpoints: usize) -> (Team, [Machine; 2]) {
    let team = Team::new();
    let [laptop, desktop] = team.pair();
    laptop.begin(SESSION);
    for n in 0..checkpoints {
        laptop.adds(SESSION, &format!("laptop {n}"));
        laptop.quick(["checkpoint", SESSION, "--push"]).ok();
    }
    desktop.quick(["fetch"]).ok();
    desktop.quick(["restore", SESSION]).ok();
    (team, [laptop, desktop])
}

fn first() -> Scene {
    let team = Team::new();
    let pair = team.pair();
    pair[0].begin(SESSION);
    Scene::new(team, pair, &["checkpoint", SESSION, "--push"], Then::On)
}

fn next() -> Scene {
    let (team, pair) = shared(1);
    pair[0].adds(SESSION, "and on");
    Scene::new(team, pair, &["checkpoint", SESSION, "--push"], Then::On)
}

fn parted() -> Scene {
    let (team, pair) = shared(1);
    pair[1].adds(SESSION, "desktop");
    pair[1].quick(["checkpoint", SESSION, "--push"]).ok();
    pair[0].adds(SESSION, "laptop");
    Scene::new(team, pair, &["checkpoint", SESSION, "--push"], Then::Ways)
}

fn shortened() -> Scene {
    let (team, pair) = shared(4);
    Scene::new(team, pair, &["gc", "--keep-last", "2"], Then::Anew)
}

fn shortened_elsewhere() -> Scene {
    let (team, pair) = shared(3);
    pair[0].adds(SESSION, "nobody knows of this");
    pair[0].quick(["checkpoint", SESSION]).ok();
    pair[1].quick(["gc", SESSION, "--keep-last", "1"]).ok();
    Scene::new(team, pair, &["fetch"], Then::Anew)
}

fn deleted() -> Scene {
    let (team, pair) = shared(2);
    let sid = pair[0].refs("refs/samesession/sessions").remove(0).1.rsplit('/').next().expect("a sid").to_owned();
    Scene::new(team, pair, &["delete", &sid, "--remote", "--confirm", &sid[..8]], Then::Gone)
}

#[test]
fn a_first_checkpoint_survives() {
    let reached = first().play();
    for point in [
        "capture.opened",
        "capture.read",
        "commit.folded",
        "pack.placed",
        "commit.packed",
        "commit.referenced",
        "push.begun",
        "push.sent",
        "push.done",
    ] {
        assert!(reached.contains(point), "{point}");
    }
}

/// So long that it makes two packs.
fn long() -> Scene {
    let team = Team::new();
    let pair = team.pair();
    pair[0].begin(SESSION);
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..24 {
        let noise = (0..1 << 16).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            format!("{state:016x}")
        });
        pair[0].adds(SESSION, &noise.collect::<String>());
    }
    Scene::new(team, pair, &["checkpoint", SESSION, "--push"], Then::On)
}

#[test]
fn a_long_first_checkpoint_survives() {
    let scene = long();
    for (fault, killed) in [("pack.placed#1=full", false), ("pack.placed#2=full", false), ("pack.placed#2=kill", true)] {
        scene.reset();
        let ran = scene.run(fault);
        assert_eq!(ran.0.status.signal(), killed.then_some(9), "{fault}: {}", ran.stderr());
        assert!(killed || ran.stderr().contains("no storage space"), "{fault}: {}", ran.stderr());
        scene.assert_survived(fault, killed);
    }
}

#[test]
fn a_next_checkpoint_survives() {
    assert!(next().play().contains("commit.packed"));
}

#[test]
fn a_push_that_has_to_join_survives() {
    let reached = parted().play();
    for point in ["join.packed", "join.referenced", "push.joined"] {
        assert!(reached.contains(point), "{point}");
    }
}

#[test]
fn a_chain_that_is_shortened_survives() {
    let reached = shortened().play();
    for point in ["replace.packed", "replace.sent", "replace.referenced"] {
        assert!(reached.contains(point), "{point}");
    }
}

#[test]
fn a_chain_that_was_shortened_elsewhere_survives() {
    assert!(shortened_elsewhere().play().contains("carry.packed"));
}

#[test]
fn a_session_that_is_deleted_survives_or_is_gone() {
    assert!(deleted().play().contains("replace.sent"));
}

#[test]
fn no_point_is_forgotten() {
    for point in POINTS {
        let known = HERE.iter().chain(&ELSEWHERE).any(|family| point.starts_with(family));
        assert!(known, "{point}: say here which test reaches it");
    }
    // What the scenes above name is all that there is.
    let source = include_str!("chain_crash.rs");
    for point in POINTS.iter().filter(|point| HERE.iter().any(|ours| point.starts_with(ours))) {
        assert!(source.contains(&format!("\"{point}\"")), "{point}: no scene is said to reach it");
    }
}

/// Runs a command where a directory is a disk of its own of this size, with a file in it that leaves nothing over if it
/// is to be full; what is left there is printed behind the command's own words. `None` where that is not possible.
fn on_a_small_disk(machine: &Machine, dir: &str, kilobytes: usize, fill: bool, args: &[&str]) -> Option<Ran> {
    let script = machine.home.join("small-disk");
    let fill = if fill { "cat /dev/zero >\"$1/.filler\" 2>/dev/null" } else { ":" };
    write_script(
        &script,
        &format!("mount -t tmpfs -o size=$2k none \"$1\" || exit 99\n{fill}\ndir=$1; shift 2\n\"$@\"; code=$?\nls -A \"$dir\"; exit $code"),
    );
    let mut command = machine.command("unshare");
    command.args(["-rm", script.to_str()?, dir, &kilobytes.to_string(), env!("CARGO_BIN_EXE_git-samesession")]).args(args);
    let ran = command.output().ok().map(Ran).filter(|ran| !matches!(ran.code(), Some(99)) && !ran.stderr().starts_with("unshare"));
    if ran.is_none() {
        eprintln!("SKIPPED: no file system can be mounted here");
    }
    ran
}

#[test]
fn a_disk_that_is_really_full_is_said_and_leaves_nothing_behind() {
    let (team, [laptop, _desktop]) = shared(1);
    laptop.adds(SESSION, "and on");
    let before = laptop.refs("");
    let mut refused = 0;
    // Its own object directory: the pack, its index and its keep file fit in the end. The old chain is not visible below
    // the mount, so it is another repository that is written to, which reads the old one.
    let other = laptop.at(laptop.home.join("src/other"));
    let objects = laptop.cwd.join(".git/objects");
    other.git(["init", "-q", "--bare", "."]);
    fs::write(other.cwd.join("objects/info/alternates"), format!("{}\n", objects.display())).expect("written");
    for kilobytes in (4..200).step_by(4) {
        let Some(ran) = on_a_small_disk(&other, "objects/pack", kilobytes, false, &["checkpoint", SESSION]) else { return };
        if ran.code() == Some(0) {
            break;
        }
        assert_eq!(ran.stdout(), "", "nothing is left there");
        ran.fails(128, "cannot").hints("free some space");
        assert_eq!(other.refs(""), [], "{kilobytes}");
        refused += 1;
    }
    assert!((2..49).contains(&refused), "{refused}");
    // The refs find no place: the pack goes again.
    let refs = on_a_small_disk(&laptop, ".git/refs", 8, true, &["checkpoint", SESSION]);
    let ran = refs.expect("it was possible before");
    assert_ne!(ran.code(), Some(0), "{}", ran.stdout());
    assert!(["No space left on device", "couldn't write"].iter().any(|words| ran.stderr().contains(words)), "{}", ran.stderr());
    assert_eq!(laptop.refs(""), before);
    laptop.assert_sound(false);
    laptop.run(["checkpoint", SESSION, "--push"]).ok();
    team.server.assert_sound(false);
}

/// A server that holds a push until its gate is removed.
fn gate(team: &Team, hook: &str, when: &str) -> std::path::PathBuf {
    let gate = team.server.home.join("gate");
    team.hook(hook, &format!("{when}\ntouch '{0}'; while [ -e '{0}' ]; do sleep 0.02; done", gate.display()));
    gate
}

/// The program and every Git that it has started, all killed at once when the gate is reached.
fn kill_all_at(gate: &Path, machine: &Machine, args: &[&str]) {
    let mut command = machine.command(env!("CARGO_BIN_EXE_git-samesession"));
    let mut child = command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn().expect("started");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !gate.exists() {
        assert!(Instant::now() < deadline && child.try_wait().expect("a child").is_none(), "the gate was not reached");
        std::thread::sleep(Duration::from_millis(5));
    }
    let group = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).expect("killed");
    child.wait().expect("it ended");
    fs::remove_file(gate).expect("removed");
}

#[test]
fn a_push_killed_with_all_that_it_started_is_pushed_by_the_next() {
    let (team, [laptop, desktop]) = shared(1);
    for hook in ["pre-receive", "update", "post-receive"] {
        laptop.adds(SESSION, hook);
        let gate = gate(&team, hook, "");
        kill_all_at(&gate, &laptop, &["checkpoint", SESSION, "--push"]);
        team.without_hook(hook);
        laptop.assert_sound(false);
        team.server.assert_sound(true);
        laptop.quick(["push", SESSION]).ok();
        assert_eq!(laptop.local_tip(), team.server.local_tip());
        desktop.quick(["fetch"]).ok();
        desktop.quick(["restore", SESSION]).ok();
        assert_eq!(desktop.said(SESSION), laptop.said(SESSION));
    }
}

#[test]
fn a_lock_that_a_crash_has_left_is_named() {
    let (team, [laptop, _desktop]) = shared(1);
    laptop.adds(SESSION, "and on");
    let (tip, name) = laptop.refs("refs/samesession/sessions").remove(0);
    let lock = laptop.cwd.join(".git").join(format!("{name}.lock"));
    fs::write(&lock, "").expect("written");
    laptop.run(["checkpoint", SESSION]).fails(128, ".lock': File exists");
    fs::remove_file(&lock).expect("removed");
    assert_eq!(laptop.local_tip(), Some(tip));
    laptop.assert_sound(false);
    laptop.run(["checkpoint", SESSION]).ok();
    // The same on the server: it is tried for a while, but not for ever.
    let lock = team.server.cwd.join(format!("{name}.lock"));
    fs::write(&lock, "").expect("written");
    let refused = laptop.run(["push", SESSION]).fails(1, "refused it");
    assert!(refused.stdout().contains("NOT pushed") && refused.stderr().contains("lock"), "{}{}", refused.stdout(), refused.stderr());
    fs::remove_file(&lock).expect("removed");
    laptop.run(["push", SESSION]).ok();
    assert_eq!(laptop.local_tip(), team.server.local_tip());
}
