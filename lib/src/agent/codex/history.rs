//! What Codex draws at a terminal: `thread_history_N.sqlite`, made from the rollouts and carried on from a byte offset.
//!
//! A rollout that only grew is caught up with. One that was replaced by another story is not noticed: the screen goes on
//! showing the old one while the model is sent the new one. So what was drawn from other bytes is forgotten here, and
//! Codex makes it anew. What must stay true: a thread whose last turn still stands where it was read from is left alone.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::index;
use crate::agent::{Error, Home, jsonl};
use crate::id::NativeId;

/// The first record of a turn is about 1 kB.
const LONGEST: u64 = 1 << 20;

pub fn settle(home: &Home, id: &NativeId, rollout: &Path) -> Result<(), Error> {
    let Some(path) = index::newest(home, "thread_history_") else { return Ok(()) };
    match stale(&path, id, rollout).and_then(|stale| if stale { forget(&path, id) } else { Ok(()) }) {
        Err(error) if index::is_held(&error) => Err(index::held(path)),
        // A kind of database that we do not know, or a damaged one: at worst, the screen shows an old story.
        _ => Ok(()),
    }
}

/// Whether the database goes on from a turn that is not in this rollout.
fn stale(path: &Path, id: &NativeId, rollout: &Path) -> rusqlite::Result<bool> {
    let db = index::reader(path)?;
    let next = "SELECT next_rollout_byte_offset FROM thread_history_projection_state WHERE thread_id = ?1";
    let Some(next) = db.query_row(next, [id.as_str()], |row| row.get::<_, i64>(0)).optional()? else { return Ok(false) };
    let last = "SELECT turn_id, rollout_byte_offset FROM thread_turns WHERE thread_id = ?1 ORDER BY rollout_ordinal DESC LIMIT 1";
    let last = db.query_row(last, [id.as_str()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))).optional()?;
    let (turn, offset) = last.unwrap_or((String::new(), 0));
    // A rollout that cannot be read is in no need of being drawn.
    Ok(!stands_at(rollout, &turn, offset, next).unwrap_or(true))
}

/// Whether the rollout is that long, and the record that begins there is of this turn.
fn stands_at(rollout: &Path, turn: &str, offset: i64, next: i64) -> io::Result<bool> {
    let (Ok(offset), Ok(next)) = (u64::try_from(offset), u64::try_from(next)) else { return Ok(false) };
    let (content, len): (Box<dyn BufRead>, u64) = if jsonl::is_packed(rollout) {
        let mut content = jsonl::open(rollout)?;
        io::copy(&mut content.by_ref().take(offset), &mut io::sink())?;
        (content, u64::MAX)
    } else {
        let mut file = File::open(rollout)?;
        file.seek(SeekFrom::Start(offset))?;
        let len = file.metadata()?.len();
        (Box::new(BufReader::new(file)), len)
    };
    let mut line = Vec::new();
    content.take(LONGEST).read_until(b'\n', &mut line)?;
    Ok(next <= len && memchr::memmem::find(&line, turn.as_bytes()).is_some())
}

/// Every row of the thread, in whatever tables there are.
fn forget(path: &Path, id: &NativeId) -> rusqlite::Result<()> {
    let mut db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(Duration::from_secs(3))?;
    let db = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let tables = "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'thread_id'";
    let tables = db.prepare(tables)?.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    for table in tables {
        db.execute(&format!("DELETE FROM \"{}\" WHERE thread_id = ?1", table.replace('"', "\"\"")), [id.as_str()])?;
    }
    db.commit()
}
