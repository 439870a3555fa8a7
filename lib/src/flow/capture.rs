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
use crate::capsule::{Content, SESSION_DIR, TORN_DIR, Writer};
use crate::durable::At;
use crate::path::RelPath;
use crate::progress::Progress;

const BUFFER: usize = 256 << 10;
/// A longer "line" without an end is no record that was cut by our reading.
const MAX_TORN: u64 = 256 << 20;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Captured {
    pub files: usize,
    pub bytes: u64,
    /// Bytes behind a last newline, kept apart.
    pub torn: u64,
    /// A file grew meanwhile: the session is being worked in.
    pub grew: bool,
}

pub enum Capture {
    Done(Captured),
    /// This file changed in another way than by growing.
    Changed(PathBuf),
}

pub fn capture<W: Write>(artifacts: &[Artifact], now: SystemTime, into: &mut Writer<W>, progress: &dyn Progress) -> Result<Capture, Error> {
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
fn file<W: Write>(
    artifact: &Artifact,
    path: &Path,
    name: RelPath,
    into: &mut Writer<W>,
    captured: &mut Captured,
    progress: &dyn Progress,
) -> Result<bool, Error> {
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
    let mut reader = BufReader::with_capacity(BUFFER, Told { from: &source, progress });
    let hash = into.add(Content {
        name,
        role: role_name(artifact.role),
        size,
        mode: before.permissions().mode() & 0o777,
        modified: before.modified().at("read", path)?,
        bytes: &mut reader,
    });
    let hash = match hash {
        Err(crate::capsule::Error::Write(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        hash => hash?,
    };
    captured.files += 1;
    captured.bytes += size;
    let torn = before.len() - size;
    if torn > 0 {
        if torn > MAX_TORN {
            return Err(Error::NothingYet(path.to_owned()));
        }
        let mut fragment = Vec::new();
        reader.take(torn).read_to_end(&mut fragment).at("read", path)?;
        if fragment.len() as u64 != torn {
            return Ok(false);
        }
        captured.torn += torn;
        into.add(Content {
            name: in_dir(TORN_DIR, &artifact.name)?,
            role: role_name(Role::TornTail),
            size: torn,
            mode: 0o600,
            modified: before.modified().at("read", path)?,
            bytes: &mut &fragment[..],
        })?;
    }
    settled(&source, path, &before, size, hash, grows, captured)
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
    let mut check = Sha256::new();
    let read = io::copy(&mut BufReader::with_capacity(BUFFER, again).take(size), &mut HashInto(&mut check)).at("read", path)?;
    Ok(read == size && <[u8; 32]>::from(check.finalize()) == hash)
}

struct HashInto<'a>(&'a mut Sha256);

impl Write for HashInto<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
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
