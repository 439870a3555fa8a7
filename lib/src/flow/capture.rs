//! A session's files into a capsule, while the agent may be writing to them.
//!
//! The length of a growing file is taken once and cut back to its last newline; what stands behind it travels apart.
//! After reading, each file is looked at again: one that changed under the reader makes the whole capture start anew.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::Error;
use crate::agent::{Artifact, Role, Source, jsonl};
use crate::capsule::{Content, SESSION_DIR, TORN_DIR, Target};
use crate::durable::At;
use crate::fault;
use crate::path::RelPath;
use crate::progress::Progress;

const BUFFER: usize = 256 << 10;

#[derive(Debug, Default, Clone, PartialEq)]
pub struct Captured {
    pub files: usize,
    pub bytes: u64,
    /// Bytes of the conversation itself.
    pub conversation: u64,
    /// Bytes behind a last newline, kept apart.
    pub torn: u64,
    /// A file grew meanwhile: the session is being worked in.
    pub grew: bool,
    /// What of the work tree around it came along.
    pub workspace: Option<super::workspace::Summary>,
}

pub enum Capture {
    Done(Captured),
    /// This file changed in another way than by growing.
    Changed(PathBuf),
}

pub fn capture<'a, T: Target>(
    artifacts: impl Iterator<Item = &'a Artifact>,
    now: SystemTime,
    into: &mut T,
    progress: &dyn Progress,
) -> Result<Capture, Error>
where
    Error: From<T::Error>,
{
    let mut captured = Captured::default();
    for artifact in artifacts {
        let name = in_dir(SESSION_DIR, &artifact.name)?;
        match &artifact.source {
            Source::Extract(bytes) => {
                let content = Content {
                    name,
                    role: role_name(artifact.role),
                    size: bytes.len() as u64,
                    mode: 0o600,
                    modified: now,
                    bytes: &mut &bytes[..],
                };
                into.add(content)?;
                captured.files += 1;
                captured.bytes += bytes.len() as u64;
            }
            Source::File(path) => {
                if !file(artifact, path, name, into, &mut captured, progress)? {
                    return Ok(Capture::Changed(path.clone()));
                }
            }
        }
    }
    Ok(Capture::Done(captured))
}

/// False if the file changed under the reader.
fn file<T: Target>(
    artifact: &Artifact,
    path: &Path,
    name: RelPath,
    into: &mut T,
    captured: &mut Captured,
    progress: &dyn Progress,
) -> Result<bool, Error>
where
    Error: From<T::Error>,
{
    let source = match File::open(path) {
        // Listed a moment ago, gone now: an archive or a clean-up was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened.at("open", path)?,
    };
    let before = source.metadata().at("read", path)?;
    let grows = artifact.role.is_append_only() && !jsonl::is_packed(path);
    let size = match grows.then(|| jsonl::whole_len(&source, before.len())) {
        None => before.len(),
        Some(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        Some(len) => len.at("read", path)?,
    };
    if artifact.role == Role::Transcript && size == 0 {
        return Err(Error::NothingYet(path.to_owned()));
    }
    fault::point("capture.opened").at("read", path)?;
    let mut reader = BufReader::with_capacity(BUFFER, Told { from: &source, progress });
    let hash = into.add(Content {
        name,
        role: role_name(artifact.role),
        size,
        mode: before.permissions().mode() & 0o777,
        modified: before.modified().at("read", path)?,
        bytes: &mut reader,
    });
    let Some(hash) = unless_short(hash.map_err(Error::from))? else { return Ok(false) };
    captured.files += 1;
    captured.bytes += size;
    if artifact.role == Role::Transcript {
        captured.conversation = size;
    }
    let torn = before.len() - size;
    if torn > 0 {
        captured.torn += torn;
        let fragment = into.add(Content {
            name: in_dir(TORN_DIR, &artifact.name)?,
            role: role_name(Role::TornTail),
            size: torn,
            mode: 0o600,
            modified: before.modified().at("read", path)?,
            bytes: &mut reader,
        });
        if unless_short(fragment.map_err(Error::from))?.is_none() {
            return Ok(false);
        }
    }
    fault::point("capture.read").at("read", path)?;
    settled(&source, path, &before, size, hash, grows, captured)
}

/// `None` if the file ended before it should: it has shrunk.
fn unless_short(hash: Result<[u8; 32], Error>) -> Result<Option<[u8; 32]>, Error> {
    match hash {
        Err(Error::Capsule(crate::capsule::Error::Write(error))) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        hash => hash.map(Some),
    }
}

/// Whether what was read is what stands there now: untouched, or the same bytes with more behind them.
fn settled(
    source: &File,
    path: &Path,
    before: &Metadata,
    size: u64,
    hash: [u8; 32],
    grows: bool,
    captured: &mut Captured,
) -> Result<bool, Error> {
    let stamp = |meta: &Metadata| (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
    let after = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        meta => meta.at("read", path)?,
    };
    if stamp(&after) == stamp(before) {
        return Ok(true);
    }
    if !grows || after.ino() != before.ino() || after.len() < before.len() {
        return Ok(false);
    }
    captured.grew = true;
    let mut again = source;
    again.rewind().at("read", path)?;
    let mut check = Check::default();
    let read = io::copy(&mut BufReader::with_capacity(BUFFER, again).take(size), &mut check).at("read", path)?;
    // Rewritten between the look for the last newline and the first read, it can be the same twice and still end anywhere.
    let whole = size == 0 || check.last == Some(b'\n');
    Ok(read == size && whole && <[u8; 32]>::from(check.hash.finalize()) == hash)
}

#[derive(Default)]
struct Check {
    hash: Sha256,
    last: Option<u8>,
}

impl Write for Check {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.last = bytes.last().copied().or(self.last);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Told<'a> {
    from: &'a File,
    progress: &'a dyn Progress,
}

impl Read for Told<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(into)?;
        self.progress.advance(n as u64);
        Ok(n)
    }
}

fn in_dir(dir: &str, name: &RelPath) -> Result<RelPath, Error> {
    let dir = RelPath::parse(dir.as_bytes()).and_then(|dir| dir.join(name.as_bytes()));
    Ok(dir.map_err(crate::capsule::Error::Unsafe)?)
}

/// The word for a role in a manifest.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Transcript => "transcript",
        Role::Lineage => "lineage",
        Role::Subagent => "subagent",
        Role::ToolResult => "tool-result",
        Role::FileHistory => "file-history",
        Role::Task => "task",
        Role::Sidecar => "sidecar",
        Role::Name => "name",
        Role::TornTail => "torn-tail",
    }
}
