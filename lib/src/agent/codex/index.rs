//! The index: the newest `state_N.sqlite`, whose table `threads` says where each thread's rollout stands.
//!
//! Codex adds columns with every few versions, so nothing here depends on more of them than `id` and `rollout_path`: the
//! table is read and written by its own schema. Reading changes nothing on disk, and a database that is missing, held or
//! damaged is the same as none. Approvals and sandbox policies are never taken from a session that came from elsewhere.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params_from_iter};

use super::meta::Meta;
use crate::agent::{Error, Home};
use crate::id::NativeId;
use crate::{path, time};

/// What Codex assumes of a thread of which it knows no better; the configuration of this home decides in the end.
const SANDBOX: &str = r#"{"type":"read-only"}"#;
const APPROVAL: &str = "on-request";

/// The newest database of the home, by the number in its name.
pub fn file(home: &Home) -> Option<PathBuf> {
    newest(home, "state_")
}

/// Codex counts up when a database changes beyond what it can migrate.
pub fn newest(home: &Home, kind: &str) -> Option<PathBuf> {
    let number = |name: &str| name.strip_prefix(kind)?.strip_suffix(".sqlite")?.parse::<u32>().ok();
    let entries = std::fs::read_dir(&home.databases).ok()?.flatten();
    let numbered = entries.filter_map(|entry| Some((number(entry.file_name().to_str()?)?, entry.path())));
    numbered.filter(|(_, path)| path.is_file()).max().map(|(_, path)| path)
}

/// What the index says of one thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    pub rollout: PathBuf,
    pub archived: bool,
}

/// The state of an index that was not changed.
pub enum Reading {
    None,
    /// It is there, and cannot be read: in use beyond patience, damaged, or of a kind we do not understand.
    Unreadable(PathBuf, String),
    Open(Index),
}

pub struct Index {
    db: Connection,
    columns: HashSet<String>,
}

pub fn read(home: &Home) -> Reading {
    let Some(path) = file(home) else { return Reading::None };
    match Index::open(&path) {
        Ok(index) => Reading::Open(index),
        Err(error) => Reading::Unreadable(path, error.to_string()),
    }
}

impl Index {
    fn open(path: &Path) -> rusqlite::Result<Index> {
        let db = reader(path)?;
        let columns = columns(&db)?.into_iter().map(|column| column.name).collect::<HashSet<_>>();
        match columns.contains("id") && columns.contains("rollout_path") {
            true => Ok(Index { db, columns }),
            false => Err(rusqlite::Error::InvalidColumnName("threads.rollout_path".to_owned())),
        }
    }

    pub fn row(&self, id: &NativeId) -> rusqlite::Result<Option<Row>> {
        let sql = format!("{} WHERE id = ?1", self.select());
        self.db.query_row(&sql, [id.as_str()], to_row).optional()
    }

    pub fn rows(&self) -> rusqlite::Result<Vec<Row>> {
        self.db.prepare(&self.select())?.query_map([], to_row)?.collect()
    }

    fn select(&self) -> String {
        let archived = if self.columns.contains("archived") { "archived" } else { "0" };
        format!("SELECT id, rollout_path, {archived} FROM threads")
    }
}

/// For reading only. With no journal beside it nobody has the file open, and it is read without creating one.
pub fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let beside = |end: &str| {
        let mut file = path.as_os_str().to_owned();
        file.push(end);
        Path::new(&file).exists()
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = match beside("-wal") || beside("-journal") {
        true => Connection::open_with_flags(path, flags)?,
        false => Connection::open_with_flags(uri(path), flags | OpenFlags::SQLITE_OPEN_URI)?,
    };
    db.busy_timeout(Duration::from_secs(2))?;
    Ok(db)
}

fn to_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row { id: row.get(0)?, rollout: PathBuf::from(row.get::<_, String>(1)?), archived: row.get(2)? })
}

/// One thread as it is to stand in the index.
pub struct Thread<'a> {
    pub meta: &'a Meta,
    pub rollout: &'a Path,
    pub archived: bool,
    /// The session's own thread, which is to be found in this directory; others only have their path corrected.
    pub session: Option<Listing<'a>>,
}

pub struct Listing<'a> {
    pub cwd: &'a Path,
    pub name: Option<&'a str>,
    pub prompt: Option<&'a str>,
    pub modified: SystemTime,
}

/// Makes the rows of these threads right, in one transaction, which a running Codex bears. Threads without a row get one
/// only if they are to be listed; Codex itself adds the others when it first meets them.
pub fn settle(home: &Home, threads: &[Thread<'_>]) -> Result<(), Error> {
    let Some(path) = file(home) else { return Ok(()) };
    match Index::open(&path).and_then(|_| write(&path, threads)) {
        Err(error) if is_held(&error) => Err(held(path)),
        // Of any other trouble `verify` tells the user: without an index the session is found by its file's name.
        _ => Ok(()),
    }
}

/// Takes out the rows of these threads, as far as they still lead to these files.
pub fn forget(home: &Home, threads: &[(NativeId, &PathBuf)]) -> Result<(), Error> {
    let Some(path) = file(home).filter(|_| !threads.is_empty()) else { return Ok(()) };
    match Index::open(&path).and_then(|_| delete(&path, threads)) {
        Err(error) if is_held(&error) => Err(held(path)),
        // A row that leads nowhere is passed over by Codex.
        _ => Ok(()),
    }
}

fn delete(path: &Path, threads: &[(NativeId, &PathBuf)]) -> rusqlite::Result<()> {
    let mut db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(Duration::from_secs(3))?;
    let db = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (id, rollout) in threads {
        db.execute("DELETE FROM threads WHERE id = ?1 AND rollout_path = ?2", [Some(id.as_str()), rollout.to_str()])?;
    }
    db.commit()
}

/// A thread whose rollout was put aside is offered no more than one that its user archived; `settle` takes that back.
pub fn put_aside(home: &Home, id: &NativeId) -> Result<(), Error> {
    let Some(path) = file(home) else { return Ok(()) };
    let archive = || -> rusqlite::Result<()> {
        let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        db.busy_timeout(Duration::from_secs(3))?;
        if columns(&db)?.iter().any(|column| column.name == "archived") {
            db.execute("UPDATE threads SET archived = 1 WHERE id = ?1", [id.as_str()])?;
        }
        Ok(())
    };
    match archive() {
        Err(error) if is_held(&error) => Err(held(path)),
        // Of a thread whose rollout is not there Codex says so itself.
        _ => Ok(()),
    }
}

pub fn is_held(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

pub fn held(path: PathBuf) -> Error {
    let why = "another program keeps it locked; close Codex and run the same command again".to_owned();
    Error::Index { agent: "codex", path, why }
}

fn write(path: &Path, threads: &[Thread<'_>]) -> rusqlite::Result<()> {
    let mut db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(Duration::from_secs(3))?;
    let columns = columns(&db)?;
    let db = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for thread in threads {
        let known: bool =
            db.query_row("SELECT EXISTS (SELECT 1 FROM threads WHERE id = ?1)", [thread.meta.id.as_str()], |row| row.get(0))?;
        let Some(mut values) = values(thread, known) else { continue };
        values.retain(|(name, _)| columns.iter().any(|column| column.name == *name));
        let names = values.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let id = Value::from(thread.meta.id.as_str().to_owned());
        let sql = if known {
            let pairs = names.iter().map(|name| format!("\"{name}\" = ?")).collect::<Vec<_>>();
            format!("UPDATE threads SET {} WHERE id = ?", pairs.join(", "))
        } else if columns.iter().any(|column| column.is_required() && column.name != "id" && !names.contains(&column.name.as_str())) {
            continue;
        } else {
            let names = names.iter().map(|name| format!("\"{name}\", ")).collect::<String>();
            format!("INSERT INTO threads ({names}id) VALUES ({}?)", "?, ".repeat(values.len()))
        };
        db.execute(&sql, params_from_iter(values.into_iter().map(|(_, value)| value).chain([id])))?;
    }
    db.commit()
}

/// What we know of a thread, by the names that its columns have had so far; `None` if there is nothing to write.
fn values(thread: &Thread<'_>, known: bool) -> Option<Vec<(&'static str, Value)>> {
    let text = |text: &str| Value::from(text.to_owned());
    let Thread { meta, .. } = thread;
    let mut values = vec![("rollout_path", text(thread.rollout.to_str()?)), ("archived", Value::from(i64::from(thread.archived)))];
    if !thread.archived {
        values.push(("archived_at", Value::Null));
    }
    let Some(listing) = &thread.session else { return known.then_some(values) };
    let millis = |at: SystemTime| at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0));
    values.push(("cwd", text(listing.cwd.to_str()?)));
    for (seconds, thousandths) in [("updated_at", "updated_at_ms"), ("recency_at", "recency_at_ms")] {
        let modified = millis(listing.modified);
        values.extend([(seconds, Value::from(modified / 1000)), (thousandths, Value::from(modified))]);
    }
    values.extend(listing.name.map(|name| ("name", text(name))));
    if known {
        return Some(values);
    }
    let created = millis(time::parse(&meta.timestamp).unwrap_or(listing.modified));
    let prompt = listing.prompt.or(listing.name).unwrap_or_default();
    let word = |word: &Option<String>| word.as_deref().map_or(Value::Null, text);
    values.extend([
        ("created_at", Value::from(created / 1000)),
        ("created_at_ms", Value::from(created)),
        ("source", text(&meta.source)),
        ("thread_source", word(&meta.thread_source)),
        ("originator", word(&meta.originator)),
        ("model_provider", text(meta.provider.as_deref().unwrap_or("openai"))),
        ("cli_version", text(meta.version.as_deref().unwrap_or_default())),
        ("history_mode", text(meta.history_mode.as_deref().unwrap_or("legacy"))),
        ("title", text(prompt)),
        ("preview", text(prompt)),
        ("first_user_message", text(listing.prompt.unwrap_or_default())),
        ("git_sha", word(&meta.commit)),
        ("git_branch", word(&meta.branch)),
        ("git_origin_url", word(&meta.origin)),
        ("sandbox_policy", text(SANDBOX)),
        ("approval_mode", text(APPROVAL)),
    ]);
    Some(values)
}

struct Column {
    name: String,
    not_null: bool,
    has_default: bool,
}

impl Column {
    fn is_required(&self) -> bool {
        self.not_null && !self.has_default
    }
}

fn columns(db: &Connection) -> rusqlite::Result<Vec<Column>> {
    db.prepare("PRAGMA table_info(threads)")?
        .query_map([], |row| {
            let default: Value = row.get("dflt_value")?;
            Ok(Column { name: row.get("name")?, not_null: row.get("notnull")?, has_default: default != Value::Null })
        })?
        .collect()
}

fn uri(file: &Path) -> String {
    let escaped = path::to_text(file).replace('?', "%3F").replace('#', "%23");
    format!("file:{escaped}?immutable=1")
}
