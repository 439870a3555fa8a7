//! The commands as scripts and people meet them: answers, selectors, exit codes, and sessions that are open.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::support::agents::pty::Terminal;
use crate::support::agents::{Tools, skipped};
use crate::support::sandbox::{CLAUDE, CLAUDE_RICH, CODEX, CODEX_FORK, Machine, Ran, Sandbox, snapshot};

fn laptop(sandbox: &Sandbox) -> Machine {
    let laptop = sandbox.machine("laptop");
    laptop.init().with_claude().with_codex();
    laptop
}

/// A session of Claude Code that was begun in this directory, so long ago.
fn begin(machine: &Machine, id: &str, title: &str, minutes_ago: u64) {
    let line = json!({"type": "user", "sessionId": id, "cwd": machine.cwd, "version": "2.1.197", "message": {"content": title}});
    let file = machine.claude_project().join(format!("{id}.jsonl"));
    fs::create_dir_all(machine.claude_project()).expect("made");
    fs::write(&file, format!("{line}\n")).expect("written");
    let then = SystemTime::now() - Duration::from_secs(60 * minutes_ago);
    File::options().write(true).open(file).and_then(|file| file.set_modified(then)).expect("set");
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["sessions"].as_array().expect("sessions").iter().map(|row| row["native_id"].as_str().expect("an id")).collect()
}

fn git(machine: &Machine, args: &[&str]) {
    let identity = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "init.defaultBranch=main"];
    let ran = machine.command("git").args(identity).args(args).output().expect("git");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

const ONE: &str = "11111111-0000-4000-8000-000000000001";
const TWO: &str = "11111111-0000-4000-8000-000000000002";
const THREE: &str = "33333333-0000-4000-8000-000000000003";

#[test]
fn every_answer_names_its_schema_and_every_error_too() {
    let sandbox = Sandbox::new();
    let laptop = laptop(&sandbox);
    let capsule = laptop.seal(CLAUDE, &laptop);
    let capsule = capsule.to_str().expect("UTF-8");
    for (args, schema) in [
        (vec!["device", "show"], "device"),
        (vec!["sessions"], "sessions"),
        (vec!["sessions", "--all", "--agent", "codex"], "sessions"),
        (vec!["show", CLAUDE], "show"),
        (vec!["checkpoint", CLAUDE, "-o", "x.capsule"], "checkpoint"),
        (vec!["checkpoint", CLAUDE, "-n"], "checkpoint"),
        (vec!["inspect", capsule], "inspect"),
        (vec!["restore", capsule], "restore"),
        (vec!["restore", capsule, "-n"], "restore"),
        (vec!["doctor"], "doctor"),
        (vec!["demo"], "demo"),
    ] {
        let answer = laptop.json(&args);
        assert_eq!(answer["schema"], format!("samesession.{schema}/1"), "{args:?}");
    }
    let fresh = sandbox.machine("fresh");
    assert_eq!(fresh.json(["device", "init"])["schema"], "samesession.device/1");

    for (args, exit, kind) in [
        (vec!["show", "nothing-like-it"], 1, "no-session"),
        (vec!["checkpoint", CLAUDE, "-o", "x.capsule"], 1, "exists"),
        (vec!["checkpoint", CLAUDE, "-o", "y", "-r", "age1nonsense"], 128, "failed"),
        (vec!["restore", "x.capsule", "--into", "no/such/place"], 128, "failed"),
        (vec!["inspect", "Cargo.toml"], 128, "failed"),
        (vec!["sessions", "--agent", "nobody"], 128, "failed"),
        (vec!["sessions", "--no-such-flag"], 129, "usage"),
        (vec!["device", "init"], 1, "exists"),
    ] {
        let plain = laptop.run(&args);
        assert_eq!(plain.code(), Some(exit), "{args:?}: {}", plain.stderr());
        let ran = laptop.run(args.iter().chain(&["--json"]));
        let error = ran.json();
        assert_eq!((ran.code(), error["schema"].as_str()), (Some(exit), Some("samesession.error/1")), "{args:?}");
        assert_eq!((error["exit"].as_i64(), error["kind"].as_str()), (Some(i64::from(exit)), Some(kind)), "{args:?}: {error}");
        assert_eq!(ran.stderr(), "", "{args:?}");
    }
    assert!(!laptop.cwd.join("y").exists());
}

#[test]
fn git_finds_the_command_and_usage_errors_are_gits() {
    let sandbox = Sandbox::new();
    let laptop = sandbox.machine("laptop");
    for args in [&["-h"][..], &["checkpoint", "-h"], &["device", "-h"], &["restore", "-h"]] {
        let help = laptop.run(args).ok();
        assert!(help.stdout().contains("Usage: git samesession") && help.stderr().is_empty(), "{args:?}");
    }
    for args in [&["no-such-verb"][..], &[], &["restore"], &["restore", "a", "b"], &["sessions", "--al"]] {
        assert_eq!(laptop.run(args).code(), Some(129), "{args:?}");
    }
    assert!(laptop.run(["--version"]).ok().stdout().starts_with("git samesession "));
    assert_eq!(snapshot(&laptop.home).iter().filter(|(_, bytes)| bytes != b"directory").count(), 0, "asking for help writes nothing");
}

#[test]
fn a_session_is_named_by_its_id_ours_or_a_beginning_of_either() {
    let sandbox = Sandbox::new();
    let laptop = sandbox.machine("laptop");
    laptop.init().with_codex();
    for (id, title) in [(ONE, "one"), (TWO, "two"), (THREE, "three")] {
        begin(&laptop, id, title, 5);
    }
    let sid = laptop.json(["show", ONE])["session"]["sid"].as_str().expect("a sid").to_owned();
    assert_eq!(sid.len(), 26);
    for name in [ONE, &ONE.to_uppercase(), &sid, &sid[..10], &ONE[..36], "11111111-0000-4000-8000-000000000001"] {
        assert_eq!(laptop.json(["show", name])["session"]["native_id"], ONE, "{name}");
    }
    assert_eq!(laptop.json(["show", "333"])["session"]["native_id"], THREE);
    assert_eq!(laptop.json(["show", "01a1fc46-14"])["session"]["native_id"], CODEX);

    let ambiguous = laptop.run(["show", "1111"]).fails(1, "'1111' could be 2 sessions").hints("by its id");
    for (id, title) in [(ONE, "one"), (TWO, "two")] {
        assert!(ambiguous.stderr().lines().any(|line| line.contains(&format!("claude {id}  {title}"))), "{}", ambiguous.stderr());
    }
    let error = laptop.run(["show", "1111", "--json"]).json();
    assert_eq!(error["candidates"].as_array().expect("candidates").len(), 2, "{error}");

    laptop.run(["show", "333", "--agent", "codex"]).fails(1, "no session matches '333'").hints("sessions --all");
    laptop.run(["show", "01a1fc46-14", "--agent", "claude"]).fails(1, "no session matches");
    laptop.run(["show", "333", "--agent", "emacs"]).fails(128, "'emacs' is not an agent").hints("claude, codex");
    for odd in ["", "../../etc/passwd", "*", "-", "%"] {
        let ran = laptop.run(["show", "--", odd]);
        assert_eq!(ran.code(), Some(1), "{odd}: {}", ran.stderr());
    }
}

#[test]
fn the_same_beginning_of_two_agents_is_narrowed_by_the_agent() {
    let sandbox = Sandbox::new();
    let laptop = sandbox.machine("laptop");
    laptop.init().with_codex();
    let twin = CODEX.replace("14ce", "14cf");
    begin(&laptop, &twin, "a twin", 5);
    laptop.run(["show", "01a1fc46-14c"]).fails(1, "could be 2 sessions").hints("--agent");
    assert_eq!(laptop.json(["show", "01a1fc46-14c", "--agent", "codex"])["session"]["native_id"], CODEX);
    assert_eq!(laptop.json(["show", "01a1fc46-14c", "--agent", "claude"])["session"]["native_id"], twin);
}

#[test]
fn current_is_the_session_that_runs_us_else_the_newest_here() {
    let sandbox = Sandbox::new();
    let laptop = sandbox.machine("laptop");
    laptop.init().with_codex();
    git(&laptop, &["init", "-q", "."]);
    let below = laptop.at(laptop.cwd.join("crates/core"));
    let other = laptop.at(laptop.home.join("src/other"));
    let current = |machine: &Machine| machine.json(["show", "current"])["session"]["native_id"].as_str().expect("an id").to_owned();
    laptop.run(["show", "current"]).fails(1, "no session of this repository was found").hints("--all");
    other.run(["show"]).fails(1, "no session of this directory was found");

    begin(&laptop, ONE, "older", 90);
    begin(&below, TWO, "newer", 30);
    begin(&other, THREE, "newest, elsewhere", 1);
    assert_eq!((current(&laptop), current(&below), current(&other)), (TWO.into(), TWO.into(), THREE.into()));
    assert_eq!(laptop.json(["show"])["session"]["native_id"], TWO, "without a word, too");

    // Inside an agent it is that agent's, wherever one stands.
    assert_eq!(current(&other.env("CLAUDE_CODE_SESSION_ID", ONE)), ONE);
    assert_eq!(current(&other.env("CODEX_THREAD_ID", CODEX)), CODEX);
    let both = other.env("CLAUDE_CODE_SESSION_ID", ONE).env("CODEX_THREAD_ID", CODEX);
    both.run(["show"]).fails(1, "'current' could be 2 sessions");
    assert_eq!(both.json(["show", "--agent", "codex"])["session"]["native_id"], CODEX);

    // Two within a minute are both the one that is worked in; a live one wins.
    begin(&laptop, ONE, "just now, too", 30);
    laptop.run(["show", "current"]).fails(1, "could be 2 sessions");
    mark_live(&laptop, ONE, std::process::id(), &started());
    assert_eq!(current(&laptop), ONE);
}

#[test]
fn sessions_are_those_of_the_repository_with_all_its_work_trees() {
    let sandbox = Sandbox::new();
    let laptop = sandbox.machine("laptop");
    laptop.init().with_codex();
    git(&laptop, &["init", "-q", "."]);
    git(&laptop, &["commit", "-q", "--allow-empty", "-m", "first"]);
    let linked = laptop.home.join("src/linked");
    git(&laptop, &["worktree", "add", "-q", linked.to_str().expect("UTF-8")]);
    let (linked, below) = (laptop.at(&linked), laptop.at(laptop.cwd.join("a/b")));
    let beside = laptop.at(laptop.home.join("src/laptop.project2"));
    begin(&laptop, ONE, "in the root", 60);
    begin(&below, TWO, "below", 50);
    begin(&linked, THREE, "in the linked one", 40);
    begin(&beside, "44444444-0000-4000-8000-000000000004", "a neighbour whose name begins alike", 30);
    for machine in [&laptop, &below, &linked] {
        assert_eq!(ids(&machine.json(["sessions"])), [THREE, TWO, ONE], "newest first, from {}", machine.cwd.display());
    }
    assert_eq!(ids(&beside.json(["sessions"])), ["44444444-0000-4000-8000-000000000004"]);
    // Outside of any repository: what is below this directory.
    assert_eq!(ids(&laptop.at(laptop.home.join("src")).json(["sessions"])).len(), 4);

    let all = laptop.json(["sessions", "--all"]);
    let modified: Vec<&str> =
        all["sessions"].as_array().expect("rows").iter().map(|row| row["modified"].as_str().expect("a time")).collect();
    assert!(modified.is_sorted_by(|a, b| a >= b), "{modified:?}");
    assert_eq!(ids(&all).len(), 4 + 4, "helpers are not listed");
    assert_eq!(ids(&laptop.json(["sessions", "--all", "--helpers"])).len(), 4 + 5);
    assert_eq!(ids(&laptop.json(["sessions", "--all", "--agent", "codex"])).len(), 4);

    let nowhere = laptop.at(laptop.home.join("empty"));
    let none = nowhere.run(["sessions"]).ok();
    assert!(none.stdout().is_empty() && none.stderr().contains("sessions --all"), "{}", none.stderr());
}

/// When this process was started, as the kernel says it.
fn started() -> String {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    fields.split_whitespace().nth(19).expect("field 22").to_owned()
}

fn mark_live(machine: &Machine, id: &str, pid: u32, started: &str) {
    let marker = json!({"pid": pid, "sessionId": id, "cwd": machine.cwd, "procStart": started, "kind": "interactive"});
    fs::create_dir_all(machine.claude().join("sessions")).expect("made");
    fs::write(machine.claude().join(format!("sessions/{pid}.json")), marker.to_string()).expect("written");
}

fn live(machine: &Machine) -> Vec<String> {
    let all = machine.json(["sessions", "--all"]);
    let rows = all["sessions"].as_array().expect("rows").iter();
    rows.filter(|row| row["live"] == true).map(|row| row["native_id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn an_open_session_is_marked_and_not_written_under_its_agents_hands() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (laptop(&sandbox), sandbox.machine("desktop"));
    desktop.init();
    for session in [CLAUDE_RICH, CODEX_FORK] {
        desktop.restore(&laptop.seal(session, &desktop), &laptop).ok();
    }
    let more = |path: &Path| {
        let line = b"{\"type\":\"user\",\"ordinal\":999,\"message\":{\"content\":\"more\"}}\n";
        File::options().append(true).open(path).and_then(|mut file| file.write_all(line)).expect("appended");
    };
    more(&laptop.claude_project().join(format!("{CLAUDE_RICH}.jsonl")));
    let rollout = format!("sessions/2026/11/21/rollout-2026-11-21T04-03-34-{CODEX_FORK}.jsonl");
    more(&laptop.codex().join(&rollout));
    let (claude, codex) = (laptop.seal(CLAUDE_RICH, &desktop), laptop.seal(CODEX_FORK, &desktop));
    assert!(live(&desktop).is_empty());

    // A marker of a process that ended, or whose number was given away again, is none.
    mark_live(&desktop, CLAUDE_RICH, std::process::id(), "1");
    assert!(live(&desktop).is_empty());
    mark_live(&desktop, CLAUDE_RICH, 4_000_000, &started());
    assert!(live(&desktop).is_empty());
    mark_live(&desktop, CLAUDE_RICH, std::process::id(), &started());
    assert_eq!(live(&desktop), [CLAUDE_RICH]);
    assert!(
        desktop.run(["sessions", "--all"]).ok().stdout().lines().any(|line| line.contains(&CLAUDE_RICH[..13]) && line.contains("live"))
    );
    let before = snapshot(&desktop.claude());
    desktop.restore(&claude, &laptop).fails(1, &format!("has this session open (process {})", std::process::id())).hints("quit it");
    assert_eq!(snapshot(&desktop.claude()), before);
    // To look, and to seal, is allowed.
    desktop.run(["checkpoint", CLAUDE_RICH, "-o", "live.capsule"]).ok();
    fs::remove_dir_all(desktop.claude().join("sessions")).expect("closed");
    desktop.restore(&claude, &laptop).ok();

    // Codex holds a lock; on an ancestor it is as good as on the session, if the ancestor were to be written.
    let locks = desktop.codex().join("thread-writer-locks");
    fs::create_dir_all(&locks).expect("made");
    let lock = File::create(locks.join(format!("{CODEX_FORK}.lock"))).expect("made");
    assert!(live(&desktop).is_empty());
    flock(&lock, FlockOperation::LockExclusive).expect("locked");
    assert_eq!(live(&desktop), [CODEX_FORK]);
    let before = snapshot(&desktop.codex());
    desktop.restore(&codex, &laptop).fails(1, "has this session open");
    assert_eq!(snapshot(&desktop.codex()), before);
    flock(&lock, FlockOperation::Unlock).expect("unlocked");
    desktop.restore(&codex, &laptop).ok();
    assert_eq!(fs::read(desktop.codex().join(&rollout)).expect("there"), fs::read(laptop.codex().join(&rollout)).expect("here"));
    // Nothing to write is nothing to refuse.
    flock(&lock, FlockOperation::LockExclusive).expect("locked");
    assert!(desktop.restore(&codex, &laptop).ok().stdout().contains("already here"));
}

#[test]
fn a_dry_run_says_what_would_happen_and_writes_nothing() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (laptop(&sandbox), sandbox.machine("desktop"));
    desktop.init();
    let capsule = laptop.seal(CLAUDE_RICH, &desktop);
    let before = snapshot(&sandbox.path());
    let would = laptop.run(["checkpoint", CLAUDE_RICH, "-n", "-o", "x.capsule"]).ok().stdout();
    assert!(would.contains("would seal") && would.contains("tool-results/be4ohcei2.txt"), "{would}");
    let would = laptop.json(["checkpoint", CLAUDE_RICH, "--dry-run"]);
    assert_eq!(
        (would["sealed_bytes"].is_null(), would["output"].is_null(), would["files"].as_array().map(Vec::len)),
        (true, true, Some(6))
    );
    let would = desktop.run([OsStr::new("restore"), capsule.as_os_str(), "-n".as_ref()]).ok().stdout();
    assert!(would.contains("would be installed") && would.contains("create"), "{would}");
    assert_eq!(snapshot(&sandbox.path()), before);
    laptop.restore(&capsule, &laptop).ok();
}

#[test]
fn an_output_that_exists_is_kept_unless_told_otherwise() {
    let sandbox = Sandbox::new();
    let laptop = laptop(&sandbox);
    fs::write(laptop.cwd.join("x"), "precious").expect("written");
    laptop.run(["checkpoint", CLAUDE, "-o", "x"]).fails(1, "'x' already exists").hints("--force");
    assert_eq!(fs::read(laptop.cwd.join("x")).expect("there"), b"precious");
    std::os::unix::fs::symlink("nowhere", laptop.cwd.join("dangling")).expect("linked");
    laptop.run(["checkpoint", CLAUDE, "-o", "dangling"]).fails(1, "already exists");
    laptop.run(["checkpoint", CLAUDE, "-o", "x", "--force"]).ok();
    laptop.run(["inspect", "x"]).ok();
}

#[test]
fn a_capsule_goes_through_pipes() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (laptop(&sandbox), sandbox.machine("desktop"));
    desktop.init();
    let sealed = laptop.run(["checkpoint", CLAUDE_RICH, "-o", "-", "-r", &desktop.recipient()]).ok();
    assert!(sealed.0.stdout.starts_with(b"age-encryption.org/v1"), "nothing but the capsule");
    let file = sandbox.path().join("from a pipe");
    fs::write(&file, &sealed.0.stdout).expect("written");
    desktop.restore(&file, &laptop).ok();
    let name = format!("{CLAUDE_RICH}.jsonl");
    let (here, there) = (laptop.claude_project().join(&name), desktop.claude_project().join(&name));
    assert_eq!(fs::read(here).expect("here"), fs::read(there).expect("there"));
    let pipe = "cat \"$0\" | git samesession inspect - --json";
    let inspected = desktop.command("bash").args(["-c", pipe]).arg(&file).output().expect("bash");
    assert_eq!(Ran(inspected).ok().json()["manifest"]["native_id"], CLAUDE_RICH);
    let both = laptop.run(["checkpoint", CLAUDE, "-o", "-", "--json"]);
    assert_eq!((both.code(), both.json()["exit"].as_i64()), (Some(128), Some(128)), "one answer at a time");
}

#[test]
fn a_reader_who_has_seen_enough_is_no_error() {
    let sandbox = Sandbox::new();
    let laptop = laptop(&sandbox);
    for args in
        [&["sessions", "--all"][..], &["sessions", "--all", "--json"], &["show", CLAUDE_RICH], &["checkpoint", CLAUDE_RICH, "-o", "-"]]
    {
        let mut command = laptop.command(env!("CARGO_BIN_EXE_git-samesession"));
        let mut child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        drop(child.stdout.take());
        let ran = child.wait_with_output().expect("it ends");
        // As other programs end when the pipe is closed, or with nothing lost: never with words about it.
        assert!(ran.status.success() || ran.status.signal() == Some(13), "{args:?}: {:?}", ran.status);
        assert_eq!(String::from_utf8_lossy(&ran.stderr), "", "{args:?}");
    }
}

#[test]
fn what_a_session_says_cannot_steer_the_terminal() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (sandbox.machine("laptop"), sandbox.machine("desktop"));
    laptop.init();
    desktop.init();
    begin(&laptop, ONE, "\u{1b}]0;owned\u{7}\u{1b}[2J hello\n\r\u{202e}there \u{9b}31m", 1);
    let capsule = laptop.seal(ONE, &desktop);
    let capsule = capsule.to_str().expect("UTF-8");
    let trust = laptop.fingerprint();
    for ran in [
        laptop.run(["sessions"]),
        laptop.run(["show", ONE]),
        laptop.run(["checkpoint", ONE, "-n"]),
        laptop.run(["checkpoint", ONE, "-o", "\u{1b}[31mred.capsule"]),
        desktop.run(["inspect", capsule]),
        desktop.run(["restore", capsule, "--trust", &trust]),
        desktop.run(["show", "\u{1b}[31m"]),
    ] {
        let said = ran.stdout() + &ran.stderr();
        let control = said.chars().find(|c| c.is_control() && *c != '\n' || matches!(c, '\u{202a}'..='\u{202e}'));
        assert_eq!(control, None, "{said:?}");
        assert!(!said.is_empty());
    }
}

#[test]
fn show_lists_every_file_of_the_session_and_nothing_else() {
    let sandbox = Sandbox::new();
    let laptop = laptop(&sandbox);
    let shown = laptop.json(["show", CLAUDE_RICH]);
    let rows: Vec<(&str, bool)> = shown["files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|row| (row["role"].as_str().expect("a role"), row["required"].as_bool().expect("yes or no")))
        .collect();
    let expected = ["file-history", "file-history", "subagent", "sidecar", "tool-result"].map(|role| (role, false));
    assert_eq!(rows, [&expected[..], &[("transcript", true)]].concat());
    let shown = laptop.json(["show", CODEX_FORK]);
    let roles: Vec<&str> = shown["files"].as_array().expect("files").iter().map(|row| row["role"].as_str().expect("a role")).collect();
    assert_eq!(roles, ["lineage", "transcript"]);
}

#[test]
fn at_a_terminal_one_of_several_sessions_can_be_chosen() {
    if std::process::Command::new("tmux").arg("-V").output().is_err() && Tools::find().is_none() {
        return skipped("tmux is not installed, no question was answered at a terminal");
    }
    let sandbox = Sandbox::new();
    let laptop = sandbox.machine("laptop");
    begin(&laptop, "bbbbbbbb-0001-4000-8000-000000000001", "the older one", 1);
    begin(&laptop, "bbbbbbbb-0002-4000-8000-000000000002", "the newer one", 0);
    let mut command = laptop.command("sh");
    command.env("TERM", "screen").args(["-c", "git samesession show bbbb; echo \"ended with $?.\"; exec sleep 300"]);
    for (answer, shown) in [("2", "session bbbbbbbb-0001"), ("1", "session bbbbbbbb-0002"), ("7", "could be 2 sessions")] {
        let screen = Terminal::open(&command);
        screen.wait_for("Which one? [1-2]");
        screen.write(answer);
        screen.press("Enter");
        screen.wait_for(shown);
        screen.wait_for(if answer == "7" { "ended with 1." } else { "ended with 0." });
    }
}

#[test]
fn what_a_killed_dry_run_left_is_cleared_and_nothing_else() {
    let sandbox = Sandbox::new();
    let laptop = laptop(&sandbox);
    let tmp = laptop.home.parent().expect("in a sandbox");
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    let leftover = |name: &str, age: SystemTime| {
        let dir = tmp.join(name);
        fs::create_dir_all(dir.join("new")).expect("made");
        fs::write(dir.join("new/0"), "a transcript").expect("written");
        File::open(&dir).and_then(|dir| dir.set_modified(age)).expect("set");
        dir
    };
    let dead = leftover("samesession-dry-run-1", long_ago);
    let young = leftover("samesession-dry-run-2", SystemTime::now());
    let alive = leftover("samesession-dry-run-3", long_ago);
    let other = leftover("samesession-else", long_ago);
    let lock = File::open(&alive).expect("opened");
    flock(&lock, FlockOperation::LockExclusive).expect("locked");
    laptop.run(["doctor"]).ok();
    assert!(!dead.exists() && young.exists() && alive.exists() && other.exists());
}
