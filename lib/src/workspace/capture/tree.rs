//! The work tree as it stands on the disk: looked at and read, never through a link.
//!
//! Each directory on the way to a file is opened by itself and without following, so that a link which somebody puts in
//! its place leads nowhere. What must stay true: what was read is what stood there, whole, or the reader says `Changed`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::durable::{self, At};
use crate::workspace::Error;
use crate::workspace::name::Name;

/// Only a step on the way: it need not be readable.
#[cfg(target_os = "linux")]
const STEP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const STEP: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

#[derive(Debug)]
pub struct Tree {
    pub path: PathBuf,
    top: OwnedFd,
}

/// What stands at a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Nothing,
    File(Stamp),
    Link,
    Directory,
    /// A socket, a fifo, a device.
    Special,
}

/// Enough to notice that a file is another one, or was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub size: u64,
    pub mode: u32,
    modified: (i64, u32),
    changed: (i64, u32),
    identity: (u64, u64),
}

impl Tree {
    pub fn open(path: PathBuf) -> Result<Tree, Error> {
        let top = openat(CWD, &path, STEP, Mode::empty()).map_err(io::Error::from).at("open", &path)?;
        Ok(Tree { path, top })
    }

    pub fn look(&self, name: &[u8]) -> Result<Seen, Error> {
        let Some((dir, last)) = self.way(name)? else { return Ok(Seen::Nothing) };
        self.look_in(dir.as_ref(), last, name)
    }

    /// For many names in their order: a directory is entered once for all that stand in it.
    pub fn looks(&self) -> Looks<'_> {
        Looks { tree: self, dir: None }
    }

    fn look_in(&self, dir: Option<&OwnedFd>, last: &Path, name: &[u8]) -> Result<Seen, Error> {
        match statat(dir.map_or(self.top.as_fd(), AsFd::as_fd), last, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(Seen::Nothing),
            Err(error) => Err(self.failed("read", name, error)),
            Ok(stat) => Ok(match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Seen::File(Stamp::of(&stat)),
                FileType::Symlink => Seen::Link,
                FileType::Directory => Seen::Directory,
                _ => Seen::Special,
            }),
        }
    }

    pub fn link(&self, name: &[u8]) -> Result<Name, Error> {
        let gone = || Error::Changed(self.whole(name));
        let (dir, last) = self.way(name)?.ok_or_else(gone)?;
        let dir = dir.as_ref().map_or(self.top.as_fd(), AsFd::as_fd);
        match readlinkat(dir, last, Vec::new()) {
            Ok(target) => Ok(Name::new(target.into_bytes())),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::INVAL) => Err(gone()),
            Err(error) => Err(self.failed("read", name, error)),
        }
    }

    /// The file that was seen, and no other.
    pub fn file(&self, name: &[u8], seen: &Stamp) -> Result<Reading, Error> {
        let gone = || Error::Changed(self.whole(name));
        let (dir, last) = self.way(name)?.ok_or_else(gone)?;
        let dir = dir.as_ref().map_or(self.top.as_fd(), AsFd::as_fd);
        // A fifo in its place would keep us waiting.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file: File = match openat(dir, last, flags, Mode::empty()) {
            Ok(file) => file.into(),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Err(gone()),
            Err(error) => return Err(self.failed("open", name, error)),
        };
        let reading = Reading { file, path: self.whole(name), seen: *seen, left: seen.size };
        reading.settled()?;
        Ok(reading)
    }

    /// The entries of a directory by name, without `.` and `..`; none where no directory is.
    pub fn list(&self, name: &[u8]) -> Result<Vec<(Vec<u8>, FileType)>, Error> {
        let Some((dir, last)) = self.way(name)? else { return Ok(Vec::new()) };
        let dir = dir.as_ref().map_or(self.top.as_fd(), AsFd::as_fd);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match openat(dir, last, flags, Mode::empty()) {
            // Git passes by what it may not read.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => return Ok(Vec::new()),
            opened => opened.map_err(|error| self.failed("open", name, error))?,
        };
        let mut entries = Vec::new();
        for entry in Dir::new(opened).map_err(|error| self.failed("read", name, error))? {
            let entry = entry.map_err(|error| self.failed("read", name, error))?;
            let bytes = entry.file_name().to_bytes();
            if bytes != b"." && bytes != b".." {
                entries.push((bytes.to_owned(), entry.file_type()));
            }
        }
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(entries)
    }

    pub fn whole(&self, name: &[u8]) -> PathBuf {
        self.path.join(OsString::from_vec(name.to_owned()))
    }

    /// The directory that a name stands in (none: the top), and its last part; nothing if a link or no directory is on the way.
    fn way<'a>(&self, name: &'a [u8]) -> Result<Option<(Step, &'a Path)>, Error> {
        let (dir, last) = parted(name);
        Ok(self.enter(dir, name)?.map(|dir| (dir, last)))
    }

    fn enter(&self, dir: &[u8], name: &[u8]) -> Result<Option<Step>, Error> {
        if name.split(|&byte| byte == b'/').any(|part| matches!(part, b"" | b"." | b"..") || part.contains(&0)) {
            return Err(Error::Damaged(format!("'{}' is no name in a work tree", Name::new(name))));
        }
        let mut step: Step = None;
        for part in dir.split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
            let from = step.as_ref().map_or(self.top.as_fd(), AsFd::as_fd);
            match openat(from, path(part), STEP, Mode::empty()) {
                Ok(next) => step = Some(next),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(error) => return Err(self.failed("open", name, error)),
            }
        }
        Ok(Some(step))
    }

    fn failed(&self, what: &'static str, name: &[u8], error: Errno) -> Error {
        durable::Error { what, path: self.whole(name), source: error.into() }.into()
    }
}

/// A directory below the top; none is the top itself.
type Step = Option<OwnedFd>;

pub struct Looks<'a> {
    tree: &'a Tree,
    /// The directory of the last name, and whether it could be entered.
    dir: Option<(Vec<u8>, Option<Step>)>,
}

impl Looks<'_> {
    pub fn look(&mut self, name: &[u8]) -> Result<Seen, Error> {
        let (dir, last) = parted(name);
        if self.dir.as_ref().is_none_or(|(known, _)| known != dir) {
            self.dir = Some((dir.to_owned(), self.tree.enter(dir, name)?));
        }
        match &self.dir {
            Some((_, Some(step))) => self.tree.look_in(step.as_ref(), last, name),
            _ => Ok(Seen::Nothing),
        }
    }
}

impl Stamp {
    // The fields have other types on other systems.
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
    fn of(stat: &Stat) -> Stamp {
        Stamp {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode as u32 & 0o777,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as u32),
            identity: (stat.st_dev as u64, stat.st_ino as u64),
        }
    }

    pub fn modified(&self) -> SystemTime {
        let (seconds, nanos) = self.modified;
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let whole = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
        whole.and_then(|time| time.checked_add(Duration::from_nanos(nanos.into()))).unwrap_or(UNIX_EPOCH)
    }
}

/// The bytes of one file: as many as were seen. `settled` at the end says whether they were all of one moment.
#[derive(Debug)]
pub struct Reading {
    file: File,
    path: PathBuf,
    seen: Stamp,
    left: u64,
}

impl Reading {
    pub fn settled(&self) -> Result<(), Error> {
        let now = fstat(&self.file).map_err(io::Error::from).at("read", &self.path)?;
        let same = FileType::from_raw_mode(now.st_mode) == FileType::RegularFile && Stamp::of(&now) == self.seen;
        if same { Ok(()) } else { Err(Error::Changed(self.path.clone())) }
    }
}

impl Read for Reading {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.file.read(&mut into[..most])?;
        self.left -= n as u64;
        Ok(n)
    }
}

fn parted(name: &[u8]) -> (&[u8], &Path) {
    match name.iter().rposition(|&byte| byte == b'/') {
        Some(end) => (&name[..end], path(&name[end + 1..])),
        None => (b"", path(name)),
    }
}

fn path(part: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(part))
}
