//! The adapter against genuine rollouts of Codex 0.169.0, and against indexes made by its own schema.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use super::meta::Meta;
use super::*;
use crate::agent::StagedFile;

const DAY: &str = "sessions/2026/11/21";
const PLAIN: &str = "01a1fc46-14ce-7500-867f-3e8961b3c90d";
const FORK: &str = "01a1fc46-1703-74c0-b4b3-1800beaf2b0d";
const SPAWNER: &str = "01a1fc46-17d2-7db1-85d8-70b618da79e2";
const HELPER: &str = "01a1fc46-1817-7333-8561-8ed0b99f8862";
const COMPACTED: &str = "01a1fc46-a6a6-7301-b0ad-996ca49d9840";

fn fixtures() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().map(|dir| dir.join("tests/fixtures/codex-0.169.0")).find(|dir| dir.is_dir()).expect("the fixtures")
}

fn id(text: &str) -> NativeId {
    NativeId::parse_uuid(text).expect("a UUID")
}

fn name(native: &str) -> String {
    let day = fixtures().join(".codex").join(DAY);
    let mut names =
        fs::read_dir(day).expect("the fixtures").map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"));
    names.find(|name| name.contains(native)).expect("a fixture of that id")
}

fn genuine(native: &str) -> Vec<u8> {
    fs::read(fixtures().join(".codex").join(DAY).join(name(native))).expect("a fixture")
}

/// A home in a directory of its own, and a working directory beside it.
struct Lab {
    dir: TempDir,
    home: Home,
    cwd: PathBuf,
}

impl Lab {
    fn new(rollouts: &[&str]) -> Lab {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let real = dir.path().canonicalize().expect("it exists");
        let (root, cwd) = (real.join(".codex"), real.join("new.dir"));
        fs::create_dir_all(&root).expect("created");
        fs::create_dir_all(&cwd).expect("created");
        let lab = Lab { dir, home: Home { databases: root.clone(), root }, cwd };
        for native in rollouts {
            lab.put(&format!("{DAY}/{}", name(native)), &genuine(native));
        }
        lab
    }

    fn put(&self, below: &str, bytes: &[u8]) -> PathBuf {
        let path = self.home.root.join(below);
        fs::create_dir_all(path.parent().expect("below the home")).expect("created");
        fs::write(&path, bytes).expect("written");
        path
    }

    /// The index of the fixtures, by Codex's own schema, without the rows of other homes; then what the test adds.
    fn index(&self, sql: &str) -> Connection {
        let dump = fs::read_to_string(fixtures().join("state_5.threads.sql")).expect("the dump");
        let db = Connection::open(self.home.databases.join("state_5.sqlite")).expect("created");
        db.execute_batch(&dump).expect("the schema of Codex");
        db.execute_batch("CREATE TABLE thread_sections (id TEXT PRIMARY KEY); CREATE TABLE projects (id TEXT PRIMARY KEY);")
            .expect("what it refers to");
        db.execute_batch(&format!("DELETE FROM threads; {sql}")).expect("the test's own rows");
        db
    }

    fn row(&self, native: &str, rollout: &Path) -> String {
        format!(
            "INSERT INTO threads (id, rollout_path, created_at, updated_at, source, model_provider, cwd, title, sandbox_policy, approval_mode) \
             VALUES ('{native}', '{}', 1, 2, 'cli', 'openai', '/old', 'mine', '{{\"type\":\"disabled\"}}', 'never');",
            rollout.display()
        )
    }

    fn staged(&self, native: &str, files: &[(&str, &[u8])]) -> Vec<StagedFile> {
        let stage = self.dir.path().join("stage");
        let stage_one = |(below, bytes): &(&str, &[u8])| {
            let (name, staged) = (RelPath::parse(below.as_bytes()).expect("harmless"), stage.join(below));
            fs::create_dir_all(staged.parent().expect("below the stage")).expect("created");
            fs::write(&staged, bytes).expect("written");
            StagedFile { role: Codex.role(&id(native), &name).expect("one of the session's"), name, staged }
        };
        files.iter().map(stage_one).collect()
    }

    fn place(&self, native: &str, below: &str, bytes: &[u8]) -> Place {
        let (native, files) = (id(native), self.staged(native, &[(below, bytes)]));
        let incoming = Incoming { native: &native, cwd: &self.cwd, files: &files };
        Codex.place(&self.home, &incoming).expect("a place").remove(0)
    }

    fn found(&self, native: &str) -> Session {
        let mut found = Codex.find(&self.home, &id(native)).expect("readable");
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }
}

fn dated(native: &str) -> String {
    format!("{DAY}/{}", name(native))
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("packed")
}

#[test]
fn discovers_what_is_there_and_survives_what_is_not() {
    let lab = Lab::new(&[FORK, SPAWNER, HELPER, COMPACTED]);
    lab.put(&format!("archived_sessions/{}", name(PLAIN)), &genuine(PLAIN));
    lab.put(&format!("sessions/{}.zst", name(COMPACTED)), &packed(&genuine(COMPACTED)));
    lab.put(&format!("{}.zst", dated(FORK)), b"a twin that does not count");
    lab.put(&format!("{DAY}/rollout-2026-11-21T04-03-33-01a1fc46-0000-7500-867f-3e8961b3c90d.jsonl"), b"{\"type\":\"sess");
    lab.put(&format!("{DAY}/notes.txt"), b"not a rollout");
    lab.put("session_index.jsonl", format!("{{\"id\":\"{FORK}\",\"thread_name\":\"old\",\"updated_at\":\"\"}}\nbroken\n{{\"id\":\"{FORK}\",\"thread_name\":\"my fork\",\"updated_at\":\"\"}}\n").as_bytes());
    let Discovery { sessions, broken } = Codex.discover(&lab.home).expect("readable");
    assert_eq!((sessions.len(), broken.len()), (6, 1), "{sessions:#?} {broken:#?}");
    let of = |native: &str| sessions.iter().filter(move |session| session.native == id(native)).collect::<Vec<_>>();
    assert_eq!(of(FORK)[0].title.as_deref(), Some("my fork"));
    assert!(of(FORK)[0].parent.is_none() && of(HELPER)[0].parent == Some(id(SPAWNER)));
    assert_eq!(of(PLAIN)[0].title.as_deref(), Some("Remember the codeword WOMBAT-4410. Please write a file."));
    assert!(of(PLAIN)[0].archived && !of(FORK)[0].archived);
    assert_eq!(of(COMPACTED).len(), 2);
    for session in of(COMPACTED) {
        assert_eq!(session.title.as_deref(), Some("Remember the codeword DINGO-1212. Please write a file."));
        assert_eq!(session.cwd.as_deref(), Some(Path::new("/home/dev/src/demo.app_one")));
        assert_eq!(session.version.as_deref(), Some("0.169.0"));
    }
    let nowhere = PathBuf::from("/nonexistent/codex");
    let none = Codex.discover(&Home { databases: nowhere.clone(), root: nowhere }).expect("nothing to read");
    assert!(none.sessions.is_empty() && none.broken.is_empty());
}

#[test]
fn the_last_directory_counts_even_far_from_the_end() {
    let lab = Lab::new(&[]);
    let mut bytes = genuine(PLAIN);
    bytes.extend_from_slice(b"{\"ordinal\":45,\"type\":\"turn_context\",\"payload\":{\"cwd\":\"/moved here\"}}\n");
    let path = lab.put(&dated(PLAIN), &bytes);
    assert_eq!(lab.found(PLAIN).cwd.as_deref(), Some(Path::new("/moved here")));
    let filler = format!("{{\"ordinal\":46,\"type\":\"response_item\",\"payload\":{{\"text\":\"{}\"}}}}\n", "x".repeat(90_000));
    bytes.extend_from_slice(filler.as_bytes());
    bytes.extend_from_slice(b"{\"type\":\"turn_context\",\"payload\":{\"cwd\":\"/torn");
    fs::write(path, &bytes).expect("written");
    let session = lab.found(PLAIN);
    assert_eq!(session.cwd.as_deref(), Some(Path::new("/moved here")));
    assert_eq!(session.size, bytes.len() as u64);
}

#[test]
fn a_fork_takes_its_ancestors_and_a_parent_its_helpers() {
    let lab = Lab::new(&[PLAIN, FORK, SPAWNER, HELPER]);
    lab.put("session_index.jsonl", format!("{{\"id\":\"{PLAIN}\",\"thread_name\":\"a\",\"updated_at\":\"\"}}\n{{\"id\":\"{COMPACTED}\",\"thread_name\":\"secret\",\"updated_at\":\"\"}}\n").as_bytes());
    let names = |native: &str| {
        let artifacts = Codex.artifacts(&lab.home, &lab.found(native)).expect("whole");
        for artifact in &artifacts {
            assert_eq!(Codex.role(&id(native), &artifact.name), Some(artifact.role));
            if let Source::Extract(bytes) = &artifact.source {
                assert!(!bytes.is_empty() && !String::from_utf8_lossy(bytes).contains("secret"));
            }
        }
        assert_eq!(artifacts.last().map(|last| last.role), Some(Role::Transcript));
        artifacts.into_iter().map(|artifact| artifact.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(FORK), ["session_index.jsonl".to_owned(), dated(PLAIN), dated(FORK)]);
    assert_eq!(names(SPAWNER), [dated(HELPER), dated(SPAWNER)]);
    assert_eq!(names(PLAIN), ["session_index.jsonl".to_owned(), dated(PLAIN)]);
    fs::remove_file(lab.home.root.join(dated(PLAIN))).expect("removed");
    let error = Codex.artifacts(&lab.home, &lab.found(FORK)).expect_err("its ancestor is gone");
    assert!(matches!(error, Error::MissingAncestor { missing, .. } if missing == id(PLAIN)));
}

#[test]
fn a_fork_leans_on_as_much_of_its_parent_as_it_says() {
    let lab = Lab::new(&[PLAIN, FORK]);
    let end = Meta::parse(genuine(FORK).split(|&byte| byte == b'\n').next().expect("a line")).expect("a record").base_end;
    assert_eq!(lineage::leaning(&lab.home, &id(PLAIN), end), []);
    assert_eq!(lineage::leaning(&lab.home, &id(PLAIN), end - 1), [id(FORK)]);
    assert_eq!(lineage::leaning(&lab.home, &id(FORK), 0), []);
}

#[test]
fn ancestors_in_a_circle_end() {
    let lab = Lab::new(&[FORK]);
    let text = String::from_utf8(genuine(FORK)).expect("UTF-8");
    lab.put(&dated(PLAIN), text.replace(FORK, "\u{0}").replace(PLAIN, FORK).replace('\u{0}', PLAIN).as_bytes());
    assert_eq!(Codex.artifacts(&lab.home, &lab.found(FORK)).expect("finite").len(), 2);
}

#[test]
fn a_renamed_rollout_travels_under_the_name_it_should_have() {
    let lab = Lab::new(&[]);
    let path = lab.put(&format!("sessions/else/{}", name(FORK)), &genuine(PLAIN));
    let session = Codex.discover(&lab.home).expect("readable").sessions.remove(0);
    assert_eq!(session.native, id(PLAIN));
    let artifacts = Codex.artifacts(&lab.home, &session).expect("whole");
    assert_eq!(artifacts[0].name.to_string(), dated(PLAIN).replace("04-03-33", "04-03-34"));
    // Only the index leads to it by its id; then it is also where it goes back to.
    assert!(Codex.find(&lab.home, &id(PLAIN)).expect("readable").is_empty());
    lab.index(&lab.row(PLAIN, &path));
    assert_eq!(lab.found(PLAIN).transcript, path);
    assert_eq!(lab.place(PLAIN, &dated(PLAIN), b""), Place::File(path));
}

#[test]
fn only_the_shapes_that_codex_writes_have_a_role() {
    let role = |name: &str| Codex.role(&id(PLAIN), &RelPath::parse(name.as_bytes()).expect("harmless"));
    let (own, other) = (name(PLAIN), name(FORK));
    for (name, expected) in [
        (format!("{DAY}/{own}"), Some(Role::Transcript)),
        (format!("{DAY}/{own}.zst"), Some(Role::Transcript)),
        (format!("sessions/{other}"), Some(Role::Lineage)),
        (format!("archived_sessions/{own}"), Some(Role::Transcript)),
        ("session_index.jsonl".to_owned(), Some(Role::Name)),
        (format!("sessions/2026/11/{own}"), None),
        (format!("sessions/2026/11/xx/{own}"), None),
        (format!("archived_sessions/2026/11/21/{own}"), None),
        (own.clone(), None),
        (format!("{DAY}/{own}.bak"), None),
        (format!("{DAY}/rollout-{PLAIN}.jsonl"), None),
        (format!("x/{DAY}/{own}"), None),
        ("archived_sessions/session_index.jsonl".to_owned(), None),
    ] {
        assert_eq!(role(&name), expected, "{name}");
    }
    for never in Codex.never_leaves() {
        assert_eq!(role(never), None, "{never}");
    }
}

#[test]
fn a_capsule_is_one_whole_family() {
    let lab = Lab::new(&[]);
    let check = |native: &str, files: &[(&str, &[u8])]| {
        let (native, files) = (id(native), lab.staged(native, files));
        Codex.check(&Incoming { native: &native, cwd: &lab.cwd, files: &files })
    };
    let (plain, fork, spawner, helper) = (genuine(PLAIN), genuine(FORK), genuine(SPAWNER), genuine(HELPER));
    let (plain_at, fork_at, spawner_at, helper_at) = (dated(PLAIN), dated(FORK), dated(SPAWNER), dated(HELPER));
    let named = format!("{{\"id\":\"{PLAIN}\",\"thread_name\":\"a\",\"updated_at\":\"x\"}}\n");
    let archived = format!("archived_sessions/{}.zst", name(PLAIN));
    check(FORK, &[("session_index.jsonl", named.as_bytes()), (&archived, &packed(&plain)), (&fork_at, &fork)]).expect("fork and parent");
    check(SPAWNER, &[(&helper_at, &helper), (&spawner_at, &spawner)]).expect("parent and helper");
    let foreign = |result: Result<(), Error>| assert!(matches!(result, Err(Error::Foreign { .. })), "{result:?}");
    foreign(check(PLAIN, &[(&fork_at, &fork), (&plain_at, &plain)]));
    foreign(check(HELPER, &[(&spawner_at, &spawner), (&helper_at, &helper)]));
    foreign(check(SPAWNER, &[(&fork_at, &helper), (&spawner_at, &spawner)]));
    foreign(check(SPAWNER, &[("session_index.jsonl", named.as_bytes()), (&spawner_at, &spawner)]));
    foreign(check(SPAWNER, &[("session_index.jsonl", b"not JSON\n"), (&spawner_at, &spawner)]));
    foreign(check(PLAIN, &[(&archived, &packed(&plain)), (&plain_at, &plain)]));
    foreign(check(PLAIN, &[("session_index.jsonl", named.as_bytes())]));
    assert!(matches!(check(FORK, &[(&fork_at, &fork)]), Err(Error::MissingAncestor { .. })));
    assert!(matches!(check(PLAIN, &[(&plain_at, b"{\"type\":\"other\",\"payload\":{}}\n")]), Err(Error::Transcript { .. })));
}

#[test]
fn goes_where_the_index_says_if_that_is_in_this_home() {
    let incoming = format!("archived_sessions/{}", name(PLAIN));
    let moved = format!("sessions/2027/01/02/{}", name(PLAIN));
    let at = |lab: &Lab, below: &str| Place::File(lab.home.root.join(below));
    let lab = Lab::new(&[]);
    assert_eq!(lab.place(PLAIN, &incoming, b""), at(&lab, &dated(PLAIN)), "an empty home");

    let lab = Lab::new(&[]);
    lab.put(&moved, &genuine(PLAIN));
    assert_eq!(lab.place(PLAIN, &incoming, b""), at(&lab, &moved), "where it stands");

    let lab = Lab::new(&[PLAIN]);
    lab.index(&lab.row(PLAIN, &lab.home.root.join(&moved)));
    assert_eq!(lab.place(PLAIN, &incoming, b""), at(&lab, &moved), "the row before the file");

    let lab = Lab::new(&[]);
    lab.put(&incoming, &genuine(PLAIN));
    lab.index(&lab.row(PLAIN, &lab.home.root.join(&incoming)));
    assert_eq!(lab.place(PLAIN, &dated(PLAIN), b""), at(&lab, &incoming), "archived stays archived");

    let outside = |rollout: &dyn Fn(&Lab) -> PathBuf| {
        let lab = Lab::new(&[]);
        lab.index(&lab.row(PLAIN, &rollout(&lab)));
        assert_eq!(lab.place(PLAIN, &incoming, b""), at(&lab, &dated(PLAIN)), "{}", rollout(&lab).display());
    };
    outside(&|_| Path::new("/home/other/.codex").join(&moved));
    outside(&|lab| lab.home.root.join("sessions/../../x").join(name(PLAIN)));
    outside(&|_| PathBuf::from(&moved));
    outside(&|lab| lab.home.root.join("sessions/auth.json"));
    outside(&|lab| lab.put(&format!("sessions/2027/{}", name(PLAIN)), &genuine(FORK)));
    outside(&|lab| {
        let _ = std::os::unix::fs::symlink(&lab.cwd, lab.home.root.join("sessions"));
        fs::remove_file(lab.home.root.join("sessions")).expect("removed");
        fs::create_dir_all(lab.home.root.join("sessions")).expect("created");
        let _ = std::os::unix::fs::symlink(&lab.cwd, lab.home.root.join("sessions/link"));
        lab.home.root.join("sessions/link").join(name(PLAIN))
    });

    for damage in [&b"SQLite format 3\0 but not really"[..], b"", &[7; 9000]] {
        let lab = Lab::new(&[]);
        lab.put("state_5.sqlite", damage);
        assert_eq!(lab.place(PLAIN, &incoming, b""), at(&lab, &dated(PLAIN)), "a damaged index");
    }
}

#[test]
fn packed_stays_packed_only_where_no_plain_one_is() {
    let (plain, zst) = (dated(PLAIN), format!("{}.zst", dated(PLAIN)));
    let bytes = packed(&genuine(PLAIN));
    let lab = Lab::new(&[]);
    assert_eq!(lab.place(PLAIN, &zst, &bytes), Place::File(lab.home.root.join(&zst)));
    lab.put(&zst, &bytes);
    assert_eq!(lab.place(PLAIN, &zst, &bytes), Place::File(lab.home.root.join(&zst)));
    assert_eq!(lab.place(PLAIN, &plain, &genuine(PLAIN)), Place::File(lab.home.root.join(&plain)));
    lab.put(&plain, &genuine(PLAIN));
    assert_eq!(lab.place(PLAIN, &zst, &bytes), Place::File(lab.home.root.join(&plain)));
}

#[test]
fn other_places_of_the_same_thread_are_copies() {
    let lab = Lab::new(&[PLAIN, FORK]);
    let twin = lab.put(&format!("{}.zst", dated(PLAIN)), &packed(&genuine(PLAIN)));
    let archived = lab.put(&format!("archived_sessions/{}", name(PLAIN)), &genuine(PLAIN));
    lab.put(&format!("sessions/2027/01/01/{}", name(PLAIN)), &genuine(FORK));
    let (native, files) = (id(PLAIN), lab.staged(PLAIN, &[(&dated(PLAIN), &genuine(PLAIN))]));
    let incoming = Incoming { native: &native, cwd: &lab.cwd, files: &files };
    let places = Codex.place(&lab.home, &incoming).expect("a place");
    let copies = Codex.copies(&lab.home, &incoming, &places).expect("readable");
    assert_eq!(copies, [Copy::Transcript(twin), Copy::Transcript(archived)]);
}

/// Installs and settles; gives what the index says of each thread then.
fn settled(lab: &Lab, native: &str, files: &[(&str, &[u8])]) -> Vec<(String, String, String, String)> {
    let (native, files) = (id(native), lab.staged(native, files));
    let incoming = Incoming { native: &native, cwd: &lab.cwd, files: &files };
    let places = Codex.place(&lab.home, &incoming).expect("places");
    for (file, place) in files.iter().zip(&places) {
        if let Place::File(path) = place {
            fs::create_dir_all(path.parent().expect("below the home")).expect("created");
            fs::copy(&file.staged, path).expect("installed");
        }
    }
    for _ in 0..2 {
        Codex.settle(&lab.home, &incoming, &places).expect("settled, and again");
    }
    let Some(path) = index::file(&lab.home) else { return Vec::new() };
    let db = Connection::open(path).expect("the index");
    let mut rows = db.prepare("SELECT id, rollout_path, cwd, sandbox_policy FROM threads ORDER BY id").expect("its columns");
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).expect("rows");
    rows.collect::<rusqlite::Result<_>>().expect("rows")
}

#[test]
fn an_added_rollout_is_indexed_where_it_is_to_go_on() {
    let lab = Lab::new(&[]);
    lab.index("ALTER TABLE threads ADD COLUMN invented TEXT NOT NULL DEFAULT 'x'; ALTER TABLE threads DROP COLUMN tokens_used;");
    let rows = settled(&lab, FORK, &[(&dated(PLAIN), &genuine(PLAIN)), (&dated(FORK), &genuine(FORK))]);
    let (path, cwd) = (lab.home.root.join(dated(FORK)).display().to_string(), lab.cwd.display().to_string());
    assert_eq!(rows, [(FORK.to_owned(), path, cwd, "{\"type\":\"read-only\"}".to_owned())]);
    let db = Connection::open(lab.home.root.join("state_5.sqlite")).expect("the index");
    let kept: (String, String, String, i64) = db
        .query_row("SELECT preview, model_provider, history_mode, created_at_ms FROM threads", [], |r| {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
        })
        .expect("a row");
    assert_eq!(kept, ("Continue in a fork.".to_owned(), "loopback".to_owned(), "paginated".to_owned(), 1_795_233_814_282));
    let verified = Codex.verify(&lab.home, &id(FORK), &lab.cwd).expect("verified");
    assert_eq!(verified.reached, Reached::Discoverable);
    assert!(verified.notes.iter().any(|note| note.contains("[model_providers.loopback]")), "{:?}", verified.notes);
}

#[test]
fn rows_that_lead_nowhere_are_corrected_and_nothing_else_of_them() {
    let lab = Lab::new(&[]);
    let elsewhere = Path::new("/home/other/.codex").join(dated(PLAIN));
    lab.index(&format!("{} {}", lab.row(PLAIN, &elsewhere), lab.row(FORK, &elsewhere)));
    let rows = settled(&lab, FORK, &[(&dated(PLAIN), &genuine(PLAIN)), (&dated(FORK), &genuine(FORK))]);
    let row = |native: &str, cwd: &str| {
        let path = lab.home.root.join(dated(native)).display().to_string();
        (native.to_owned(), path, cwd.to_owned(), "{\"type\":\"disabled\"}".to_owned())
    };
    assert_eq!(rows, [row(PLAIN, "/old"), row(FORK, &lab.cwd.display().to_string())]);
}

#[test]
fn an_index_that_is_absent_strange_or_damaged_is_left_alone() {
    let lab = Lab::new(&[]);
    assert!(settled(&lab, PLAIN, &[(&dated(PLAIN), &genuine(PLAIN))]).is_empty());
    assert!(index::file(&lab.home).is_none());
    assert_eq!(Codex.verify(&lab.home, &id(PLAIN), &lab.cwd).expect("verified").reached, Reached::Discoverable);

    let lab = Lab::new(&[]);
    let strange =
        "CREATE TABLE new (id TEXT PRIMARY KEY, rollout_path TEXT NOT NULL, cwd TEXT, sandbox_policy TEXT, unheard_of TEXT NOT NULL);
                   DROP TABLE threads; ALTER TABLE new RENAME TO threads;";
    lab.index("").execute_batch(strange).expect("a schema from the future");
    assert!(settled(&lab, PLAIN, &[(&dated(PLAIN), &genuine(PLAIN))]).is_empty());
    let verified = Codex.verify(&lab.home, &id(PLAIN), &lab.cwd).expect("verified");
    assert_eq!(verified.reached, Reached::Discoverable);
    assert!(verified.notes.iter().any(|note| note.contains("resumed once by its id")), "{:?}", verified.notes);

    let lab = Lab::new(&[PLAIN]);
    let damaged = lab.put("state_7.sqlite", &[7; 9000]);
    let (native, files) = (id(PLAIN), lab.staged(PLAIN, &[(&dated(PLAIN), &genuine(PLAIN))]));
    let incoming = Incoming { native: &native, cwd: &lab.cwd, files: &files };
    let places = Codex.place(&lab.home, &incoming).expect("places");
    Codex.settle(&lab.home, &incoming, &places).expect("nothing to do");
    assert_eq!(fs::read(damaged).expect("still there"), [7; 9000]);
    let verified = Codex.verify(&lab.home, &native, &lab.cwd).expect("verified");
    assert_eq!((verified.reached, verified.notes.len()), (Reached::Installed, 1), "{:?}", verified.notes);
}

#[test]
fn a_locked_index_is_an_error_with_a_way_out() {
    let lab = Lab::new(&[PLAIN]);
    let db = lab.index(&lab.row(PLAIN, Path::new("/elsewhere")));
    db.execute_batch("BEGIN EXCLUSIVE").expect("locked");
    let meta = Meta::read(&lab.home.root.join(dated(PLAIN))).expect("a rollout");
    let thread = index::Thread { meta: &meta, rollout: &lab.home.root.join(dated(PLAIN)), archived: false, session: None };
    let error = index::settle(&lab.home, &[thread]).expect_err("locked");
    assert!(error.to_string().contains("close Codex"), "{error}");
    drop(db);
}

#[test]
fn names_come_along_once_and_the_newer_one_stays() {
    let line = |native: &str, name: &str, at: &str| format!("{{\"id\":\"{native}\",\"thread_name\":\"{name}\",\"updated_at\":\"{at}\"}}\n");
    let incoming = line(PLAIN, "first", "2026-01-01T00:00:00Z") + &line(PLAIN, "last", "2026-01-02T00:00:00Z");
    let lab = Lab::new(&[]);
    let index = lab.home.root.join("session_index.jsonl");
    settled(&lab, PLAIN, &[("session_index.jsonl", incoming.as_bytes()), (&dated(PLAIN), &genuine(PLAIN))]);
    assert_eq!(fs::read_to_string(&index).expect("made"), line(PLAIN, "last", "2026-01-02T00:00:00Z"));
    assert_eq!(index.metadata().expect("made").permissions().mode() & 0o777, 0o600);
    assert_eq!(lab.found(PLAIN).title.as_deref(), Some("last"));

    let before = line(FORK, "other", "") + line(PLAIN, "mine", "2026-01-03T00:00:00Z").trim_end();
    fs::write(&index, &before).expect("written");
    settled(&lab, PLAIN, &[("session_index.jsonl", incoming.as_bytes()), (&dated(PLAIN), &genuine(PLAIN))]);
    // A last line without a newline is not read, here as elsewhere, but never glued onto.
    assert!(fs::read_to_string(&index).expect("there").starts_with(&(before + "\n")));
    fs::write(&index, line(PLAIN, "mine", "2026-01-03T00:00:00Z")).expect("written");
    settled(&lab, PLAIN, &[("session_index.jsonl", incoming.as_bytes()), (&dated(PLAIN), &genuine(PLAIN))]);
    assert_eq!(lab.found(PLAIN).title.as_deref(), Some("mine"));
}

#[test]
fn verify_follows_the_row_and_reads_the_end() {
    let lab = Lab::new(&[PLAIN]);
    let db = lab.index(&lab.row(PLAIN, Path::new("/gone/rollout.jsonl")));
    let verify = || Codex.verify(&lab.home, &id(PLAIN), &lab.cwd).expect("verified");
    assert_eq!(verify().reached, Reached::Installed, "a stale row hides the file");
    assert!(Codex.ailments(&lab.home).iter().any(|fault| fault.contains("1 rollouts that are not there")));
    db.execute("DELETE FROM threads", []).expect("deleted");
    assert_eq!(verify().reached, Reached::Discoverable);
    let mut mixed = genuine(PLAIN);
    mixed.extend_from_slice(b"{\"timestamp\":\"\",\"type\":\"event_msg\",\"payload\":{}}\n{\"torn");
    lab.put(&dated(PLAIN), &mixed);
    assert!(verify().notes.iter().any(|note| note.contains("ordinal")));
    lab.put(&format!("archived_sessions/{}", name(PLAIN)), &genuine(PLAIN));
    let ailments = Codex.ailments(&lab.home);
    assert!(ailments.iter().any(|fault| fault.contains("several places")) && ailments.iter().any(|fault| fault.contains("ordinal")));
    fs::remove_file(lab.home.root.join(dated(PLAIN))).expect("removed");
    let verified = verify();
    assert_eq!(verified.reached, Reached::Installed);
    assert!(verified.notes.iter().any(|note| note.contains("codex unarchive")), "{:?}", verified.notes);
}

#[test]
fn what_was_drawn_from_another_story_is_forgotten() {
    let lab = Lab::new(&[PLAIN]);
    let rollout = lab.home.root.join(dated(PLAIN));
    let content = genuine(PLAIN);
    let lines: Vec<&[u8]> = content.split_inclusive(|&byte| byte == b'\n').collect();
    let begins = lines.iter().position(|line| String::from_utf8_lossy(line).contains("\"task_started\"")).expect("a turn");
    let offset: usize = lines[..begins].iter().map(|line| line.len()).sum();
    let record: serde_json::Value = serde_json::from_slice(lines[begins]).expect("a record");
    let turn = record.pointer("/payload/turn_id").and_then(|id| id.as_str()).expect("a turn has an id").to_owned();
    let db = Connection::open(lab.home.databases.join("thread_history_1.sqlite")).expect("created");
    db.execute_batch(
        "CREATE TABLE thread_turns (thread_id TEXT, turn_id TEXT, rollout_ordinal INTEGER, rollout_byte_offset INTEGER);
         CREATE TABLE thread_history_projection_state (thread_id TEXT PRIMARY KEY, next_rollout_byte_offset INTEGER);",
    )
    .expect("the schema of Codex, as far as it matters");
    let left = |turn: &str, next: usize| {
        db.execute_batch("DELETE FROM thread_turns; DELETE FROM thread_history_projection_state").expect("emptied");
        for id in [PLAIN, FORK] {
            db.execute("INSERT INTO thread_turns VALUES (?1, ?2, 1, ?3)", (id, turn, offset as i64)).expect("filled");
            db.execute("INSERT INTO thread_history_projection_state VALUES (?1, ?2)", (id, next as i64)).expect("filled");
        }
        history::settle(&lab.home, &id(PLAIN), &rollout).expect("settled");
        let count = |table: &str| db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).expect("counted");
        (count("thread_turns"), count("thread_history_projection_state"))
    };
    assert_eq!(left(&turn, content.len()), (2, 2));
    assert_eq!(left("another turn", content.len()), (1, 1), "only this thread's");
    assert_eq!(left(&turn, content.len() + 1), (1, 1), "it was longer");
}

#[test]
fn a_held_lock_means_live() {
    let lab = Lab::new(&[PLAIN]);
    assert_eq!(Codex.live(&lab.home, &id(PLAIN)), None);
    let path = lab.put(&format!("thread-writer-locks/{PLAIN}.lock"), b"");
    assert_eq!(Codex.running(&lab.home), []);
    let held = File::open(path).expect("there");
    flock(&held, FlockOperation::LockExclusive).expect("locked");
    let live = Codex.live(&lab.home, &id(PLAIN)).expect("held");
    assert!(live.pid.is_none_or(|pid| pid == std::process::id()), "{live:?}");
    assert_eq!(Codex.running(&lab.home).len(), 1);
    drop(held);
    assert_eq!(Codex.live(&lab.home, &id(PLAIN)), None);
}

#[test]
fn reading_the_index_leaves_no_trace() {
    let lab = Lab::new(&[PLAIN]);
    drop(lab.index(&format!("PRAGMA journal_mode = WAL; {}", lab.row(PLAIN, &lab.home.root.join(dated(PLAIN))))));
    let files = || fs::read_dir(&lab.home.root).expect("the home").map(|entry| entry.expect("readable").file_name()).collect::<Vec<_>>();
    let before = files();
    lab.place(PLAIN, &dated(PLAIN), b"");
    Codex.verify(&lab.home, &id(PLAIN), &lab.cwd).expect("verified");
    assert_eq!(files(), before);
}
