//! Rollouts, Codex's transcripts, from outside: where they stand and what their names say.
//!
//! Opens none of them and knows nothing of the index. A name should carry the thread's id, since that is how Codex finds
//! the file; whose it really is, its first record decides (`meta`). Of a plain file and a packed one of the same name,
//! the plain one counts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::agent::jsonl;
use crate::agent::{Broken, Home};
use crate::id::NativeId;
use crate::path::RelPath;

pub const SESSIONS: &str = "sessions";
pub const ARCHIVE: &str = "archived_sessions";

/// `rollout-2026-11-21T04-03-33-<uuid>.jsonl`, perhaps with `.zst` after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub stamp: String,
    pub id: NativeId,
}

impl Name {
    pub fn parse(file: &str) -> Option<Name> {
        let stem = file.strip_suffix(".zst").unwrap_or(file).strip_prefix("rollout-")?.strip_suffix(".jsonl")?;
        let (stamp, id) = (stem.get(..19)?, stem.get(19..)?.strip_prefix('-')?);
        let shaped = stamp.bytes().zip(b"0000-00-00T00-00-00").all(|(byte, &like)| match like {
            b'0' => byte.is_ascii_digit(),
            _ => byte == like,
        });
        shaped.then_some(())?;
        Some(Name { stamp: stamp.to_owned(), id: NativeId::parse_uuid(id).ok()? })
    }

    pub fn of(path: &Path) -> Option<Name> {
        Name::parse(path.file_name()?.to_str()?)
    }

    /// The name that a path in a capsule carries, if it has exactly one of the three forms that Codex uses.
    pub fn in_capsule(path: &RelPath) -> Option<Name> {
        let parts: Vec<&str> = path.components().into_iter().map(|part| std::str::from_utf8(part).ok()).collect::<Option<_>>()?;
        let number = |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
        match parts.as_slice() {
            [SESSIONS | ARCHIVE, file] => Name::parse(file),
            [SESSIONS, year, month, day, file] if number(year, 4) && number(month, 2) && number(day, 2) => Name::parse(file),
            _ => None,
        }
    }

    /// Where Codex itself would have put a file of this name, below its home.
    pub fn dated(&self, packed: bool) -> PathBuf {
        let (year, month, day) = (&self.stamp[..4], &self.stamp[5..7], &self.stamp[8..10]);
        let end = if packed { ".jsonl.zst" } else { ".jsonl" };
        [SESSIONS, year, month, day, &format!("rollout-{}-{}{end}", self.stamp, self.id)].iter().collect()
    }
}

#[derive(Debug, Clone)]
pub struct Found {
    pub path: PathBuf,
    pub name: Name,
    pub archived: bool,
}

/// Every rollout in the home by its name, those of `sessions` first; twins (plain and packed) included.
pub fn walk(home: &Home) -> (Vec<Found>, Vec<Broken>) {
    let (mut found, mut broken) = (Vec::new(), Vec::new());
    for (shelf, depth) in [(SESSIONS, 3), (ARCHIVE, 0)] {
        let mut folders = vec![(home.root.join(shelf), depth)];
        let start = found.len();
        while let Some((folder, depth)) = folders.pop() {
            if let Err(error) = list(&folder, depth, shelf == ARCHIVE, &mut folders, &mut found) {
                broken.push(Broken { path: folder, why: error.to_string() });
            }
        }
        found[start..].sort_by(|a, b| a.path.cmp(&b.path));
    }
    (found, broken)
}

fn list(dir: &Path, depth: u32, archived: bool, folders: &mut Vec<(PathBuf, u32)>, found: &mut Vec<Found>) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // Not followed, as in Codex: a link could lead out of the home, or in circles.
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            folders.push((entry.path(), depth - 1));
        } else if let (true, Some(name)) = (kind.is_file(), entry.file_name().to_str().and_then(Name::parse)) {
            found.push(Found { path: entry.path(), name, archived });
        }
    }
    Ok(())
}

/// Leaves out packed files beside which the plain one stands; expects the order of `walk`.
pub fn without_twins(mut found: Vec<Found>) -> Vec<Found> {
    found.dedup_by(|packed, plain| plain_path(&packed.path) == plain.path);
    found
}

/// The path under which Codex speaks of a rollout, packed or not.
pub fn plain_path(path: &Path) -> PathBuf {
    if jsonl::is_packed(path) { path.with_extension("") } else { path.to_owned() }
}

/// The file that Codex opens when it is told this path: the plain one, else the packed one.
pub fn existing(path: &Path) -> Option<PathBuf> {
    let plain = plain_path(path);
    let mut packed = plain.clone().into_os_string();
    packed.push(".zst");
    [plain, packed.into()].into_iter().find(|file| file.symlink_metadata().is_ok_and(|meta| meta.is_file()))
}
