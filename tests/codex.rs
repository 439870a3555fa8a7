//! Codex sessions there and back again: packed, archived, forked, named, with helpers.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::support::sandbox::{CODEX, CODEX_FORK, Machine, Sandbox, fixture, snapshot, without_journals};

const SPAWNER: &str = "01a1fc46-17d2-7db1-85d8-70b618da79e2";
const HELPER: &str = "01a1fc46-1817-7333-8561-8ed0b99f8862";

fn two(sandbox: &Sandbox) -> (Machine, Machine) {
    let (laptop, desktop) = (sandbox.machine("laptop"), sandbox.machine("desktop"));
    laptop.init().with_codex();
    desktop.init();
    (laptop, desktop)
}

fn name(id: &str) -> String {
    let second = if id == CODEX { "33" } else { "34" };
    format!("rollout-2026-11-21T04-03-{second}-{id}.jsonl")
}

fn rollout(machine: &Machine, id: &str) -> PathBuf {
    machine.codex().join("sessions/2026/11/21").join(name(id))
}

fn packed(path: &Path) -> PathBuf {
    let mut packed = path.as_os_str().to_owned();
    packed.push(".zst");
    packed.into()
}

fn pack(path: &Path) {
    let bytes = zstd::encode_all(&fs::read(path).expect("a rollout")[..], 3).expect("packed");
    fs::write(packed(path), bytes).and_then(|()| fs::remove_file(path)).expect("replaced");
}

fn more(path: &Path, text: &str) {
    let line = format!("{{\"ordinal\":999,\"type\":\"event_msg\",\"payload\":{{\"type\":\"x\",\"text\":\"{text}\"}}}}\n");
    fs::OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(line.as_bytes())).expect("appended");
}

fn rollouts(machine: &Machine) -> Vec<PathBuf> {
    let files = without_journals(snapshot(&machine.codex())).into_iter().map(|(path, _)| path);
    files.filter(|path| path.file_name().expect("a name").to_string_lossy().starts_with("rollout-")).collect()
}

#[test]
fn packed_stays_packed_where_nothing_is_and_meets_a_plain_one_as_its_equal() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = two(&sandbox);
    let plain = fs::read(rollout(&laptop, CODEX)).expect("a rollout");
    pack(&rollout(&laptop, CODEX));
    let capsule = laptop.seal(CODEX, &desktop);
    desktop.restore(&capsule, &laptop).ok();
    assert_eq!(rollouts(&desktop), [packed(&rollout(&desktop, CODEX))]);
    assert!(desktop.restore(&capsule, &laptop).ok().stdout().contains("already here"));

    // Codex unpacks it when it goes on; the packed capsule of then is the beginning of what is here now.
    fs::remove_file(packed(&rollout(&desktop, CODEX))).and_then(|()| fs::write(rollout(&desktop, CODEX), &plain)).expect("unpacked");
    assert!(desktop.restore(&capsule, &laptop).ok().stdout().contains("already here"));
    more(&rollout(&desktop, CODEX), "there");
    assert!(desktop.restore(&capsule, &laptop).ok().stdout().contains("ahead of the capsule"));
    let longer = fs::read(rollout(&desktop, CODEX)).expect("a rollout");

    // A plain one comes home to a packed one: forward, and one file stands there.
    laptop.restore(&desktop.seal(CODEX, &laptop), &desktop).ok();
    let here: Vec<_> = rollouts(&laptop).into_iter().filter(|path| path.to_string_lossy().contains(CODEX)).collect();
    assert_eq!(here, [rollout(&laptop, CODEX)]);
    assert_eq!(fs::read(&here[0]).expect("a rollout"), longer);

    // A longer packed one meets a plain one: unpacked in its place.
    more(&rollout(&laptop, CODEX), "here");
    let longest = fs::read(rollout(&laptop, CODEX)).expect("a rollout");
    pack(&rollout(&laptop, CODEX));
    desktop.restore(&laptop.seal(CODEX, &desktop), &laptop).ok();
    assert_eq!(rollouts(&desktop), [rollout(&desktop, CODEX)]);
    assert_eq!(fs::read(rollout(&desktop, CODEX)).expect("a rollout"), longest);
}

#[test]
fn archived_stays_archived_where_it_was_and_is_resumable_elsewhere() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = two(&sandbox);
    let archive = laptop.codex().join("archived_sessions");
    fs::create_dir_all(&archive).expect("made");
    fs::rename(rollout(&laptop, CODEX), archive.join(name(CODEX))).expect("archived");
    let listed = laptop.json(["sessions", "--all"]);
    let row = listed["sessions"].as_array().expect("rows").iter().find(|row| row["native_id"] == CODEX).expect("listed").clone();
    assert_eq!(row["archived"], true);
    desktop.restore(&laptop.seal(CODEX, &desktop), &laptop).ok();
    assert_eq!(rollouts(&desktop), [rollout(&desktop, CODEX)]);
    more(&rollout(&desktop, CODEX), "there");
    let back = laptop.restore(&desktop.seal(CODEX, &laptop), &desktop).ok();
    assert!(back.stderr().contains("codex unarchive"), "{}", back.stderr());
    assert_eq!(fs::read(archive.join(name(CODEX))).expect("there"), fs::read(rollout(&desktop, CODEX)).expect("there"));
    assert!(!rollout(&laptop, CODEX).exists());
}

#[test]
fn a_fork_brings_its_ancestors_and_never_shortens_one() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = two(&sandbox);
    desktop.restore(&laptop.seal(CODEX_FORK, &desktop), &laptop).ok();
    assert_eq!(rollouts(&desktop), [rollout(&desktop, CODEX), rollout(&desktop, CODEX_FORK)]);
    for id in [CODEX, CODEX_FORK] {
        assert_eq!(fs::read(rollout(&desktop, id)).expect("there"), fs::read(rollout(&laptop, id)).expect("here"));
    }
    // The fork goes on there; its ancestor goes on here, on its own.
    more(&rollout(&desktop, CODEX_FORK), "there");
    more(&rollout(&laptop, CODEX), "the ancestor, here");
    let ancestor = fs::read(rollout(&laptop, CODEX)).expect("here");
    laptop.restore(&desktop.seal(CODEX_FORK, &laptop), &desktop).ok();
    assert_eq!(fs::read(rollout(&laptop, CODEX)).expect("here"), ancestor);
    assert_eq!(fs::read(rollout(&laptop, CODEX_FORK)).expect("here"), fs::read(rollout(&desktop, CODEX_FORK)).expect("there"));

    // Not even where the fork itself is to be set aside.
    more(&rollout(&desktop, CODEX_FORK), "one way");
    more(&rollout(&laptop, CODEX_FORK), "another way");
    let capsule = desktop.seal(CODEX_FORK, &laptop);
    let before = without_journals(snapshot(&laptop.codex()));
    laptop.restore(&capsule, &desktop).fails(1, "went its own way");
    assert_eq!(without_journals(snapshot(&laptop.codex())), before);
    laptop.run(["restore".as_ref(), capsule.as_os_str(), "--set-aside".as_ref()]).ok();
    assert_eq!(fs::read(rollout(&laptop, CODEX)).expect("here"), ancestor);
    assert_eq!(fs::read(rollout(&laptop, CODEX_FORK)).expect("here"), fs::read(rollout(&desktop, CODEX_FORK)).expect("there"));

    // Without its ancestor it is said at once that it could not go on.
    fs::remove_file(rollout(&laptop, CODEX)).expect("removed");
    laptop.run(["checkpoint", CODEX_FORK, "-o", "x"]).fails(128, &format!("this session continues '{CODEX}'"));
    assert!(!laptop.cwd.join("x").exists());
}

#[test]
fn another_place_of_an_ancestor_is_no_divergence() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = two(&sandbox);
    let capsule = laptop.seal(CODEX_FORK, &desktop);
    let archive = desktop.codex().join("archived_sessions");
    fs::create_dir_all(&archive).expect("made");
    desktop.with_codex();
    fs::remove_file(rollout(&desktop, CODEX_FORK)).expect("removed");
    fs::copy(rollout(&desktop, CODEX), archive.join(name(CODEX))).expect("copied");
    // A second place that holds more than the capsule brings is left alone; one that does not is set aside.
    more(&archive.join(name(CODEX)), "gone on with in the archive");
    let longer = fs::read(archive.join(name(CODEX))).expect("there");
    desktop.restore(&capsule, &laptop).ok();
    assert!(rollout(&desktop, CODEX_FORK).exists());
    assert_eq!(fs::read(archive.join(name(CODEX))).expect("there"), longer);
    fs::copy(rollout(&desktop, CODEX), archive.join(name(CODEX))).expect("copied");
    desktop.restore(&capsule, &laptop).ok();
    assert!(!archive.join(name(CODEX)).exists());
}

#[test]
fn helpers_and_names_travel_and_come_home() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = two(&sandbox);
    let names = |machine: &Machine| fs::read_to_string(machine.codex().join("session_index.jsonl")).unwrap_or_default();
    let entry = |id: &str, name: &str, at: &str| format!("{{\"id\":\"{id}\",\"thread_name\":\"{name}\",\"updated_at\":\"{at}\"}}\n");
    let mine = entry(SPAWNER, "named here", "2026-11-21T05:00:00Z");
    fs::write(laptop.codex().join("session_index.jsonl"), entry(CODEX, "another's", "2026-11-21T05:00:00Z") + &mine).expect("written");
    desktop.restore(&laptop.seal(SPAWNER, &desktop), &laptop).ok();
    assert_eq!(rollouts(&desktop), [rollout(&desktop, SPAWNER), rollout(&desktop, HELPER)]);
    assert_eq!(names(&desktop), mine, "its own name and nobody else's");
    assert_eq!(desktop.json(["show", SPAWNER])["session"]["title"], "named here");

    let renamed = entry(SPAWNER, "renamed there", "2026-11-21T06:00:00Z");
    fs::OpenOptions::new()
        .append(true)
        .open(desktop.codex().join("session_index.jsonl"))
        .and_then(|mut file| file.write_all(renamed.as_bytes()))
        .expect("appended");
    more(&rollout(&desktop, SPAWNER), "there");
    more(&rollout(&desktop, HELPER), "a helper, there");
    let before = names(&laptop);
    laptop.restore(&desktop.seal(SPAWNER, &laptop), &desktop).ok();
    assert_eq!(names(&laptop), before + &renamed, "appended, and nothing else of the file touched");
    for id in [SPAWNER, HELPER] {
        assert_eq!(fs::read(rollout(&laptop, id)).expect("here"), fs::read(rollout(&desktop, id)).expect("there"));
    }
}

#[test]
fn a_session_that_was_taken_back_is_not_listed_any_more() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = two(&sandbox);
    fs::create_dir_all(desktop.codex()).expect("made");
    let index = desktop.codex().join("state_5.sqlite");
    let sql = fs::File::open(fixture("codex-0.169.0/state_5.threads.sql")).expect("the fixture");
    // The fixture has one table; the index has those that it refers to as well.
    let others = "CREATE TABLE thread_sections (id TEXT PRIMARY KEY); CREATE TABLE projects (id TEXT PRIMARY KEY);";
    let _ = desktop.command("sqlite3").arg(&index).arg(others).status();
    if !desktop.command("sqlite3").arg(&index).stdin(sql).status().is_ok_and(|made| made.success()) {
        eprintln!("SKIPPED: no sqlite3 here, so the index of Codex is not looked at");
        return;
    }
    let listed = || {
        let here = desktop.codex();
        let sql = format!("SELECT count(*) FROM threads WHERE id = '{CODEX}' AND rollout_path LIKE '{}%'", here.display());
        let count = desktop.command("sqlite3").arg(&index).arg(sql).output().expect("sqlite3").stdout;
        String::from_utf8_lossy(&count).trim().to_owned()
    };
    let sql = format!("DELETE FROM threads WHERE id = '{CODEX}'");
    assert!(desktop.command("sqlite3").arg(&index).arg(sql).status().expect("sqlite3").success());
    let before = listed();
    desktop.restore(&laptop.seal(CODEX, &desktop), &laptop).ok();
    assert_eq!((before.as_str(), listed().as_str()), ("0", "1"));
    desktop.run(["undo"]).ok();
    assert_eq!(listed(), "0");
    let sql = format!("SELECT count(*) FROM threads WHERE id = '{CODEX}'");
    assert_eq!(desktop.command("sqlite3").arg(&index).arg(sql).output().expect("sqlite3").stdout, b"0\n", "not even with another path");
    assert!(rollouts(&desktop).is_empty());
}
