//! Files, links and directories put below one directory, and taken away again, without ever following a link there.
//!
//! Every component is opened from the one above it, so that what a tree or another process put there cannot lead outside.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, mkdirat, open, openat, statat, symlinkat, unlinkat};
use rustix::io::Errno;

pub struct Root {
    top: OwnedFd,
    /// The directory asked for last: neighbours come one after the other.
    last: Option<(Vec<u8>, OwnedFd)>,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Root {
    pub fn open(path: &Path) -> io::Result<Root> {
        Ok(Root { top: open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?, last: None })
    }

    /// The bytes of a file, with exactly these permissions; replaces a file or link that is there.
    pub fn file(&mut self, path: &[u8], from: &Path, mode: u32) -> io::Result<()> {
        self.clear(path)?;
        let (dir, name) = self.parent(path, true)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut to = File::from(openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?);
        let mut source = File::from(open(from, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?);
        io::copy(&mut source, &mut to)?;
        Ok(fchmod(&to, Mode::from_raw_mode(mode & 0o777))?)
    }

    pub fn empty_file(&mut self, path: &[u8], mode: u32) -> io::Result<()> {
        self.file(path, Path::new("/dev/null"), mode)
    }

    pub fn link(&mut self, path: &[u8], to: &[u8]) -> io::Result<()> {
        self.clear(path)?;
        let (dir, name) = self.parent(path, true)?;
        Ok(symlinkat(to, dir, name)?)
    }

    pub fn directory(&mut self, path: &[u8]) -> io::Result<()> {
        let below = [path, b"/x"].concat();
        self.parent(&below, true).map(drop)
    }

    /// Removes a file, a link or an empty directory, and then what it leaves empty above; true if it was there.
    pub fn remove(&mut self, path: &[u8]) -> io::Result<bool> {
        if !self.clear(path)? {
            return Ok(false);
        }
        let mut above = path;
        while let Some(at) = above.iter().rposition(|&b| b == b'/') {
            above = &above[..at];
            self.last = None;
            let (dir, name) = self.parent(above, false)?;
            if unlinkat(dir, name, AtFlags::REMOVEDIR).is_err() {
                break;
            }
        }
        Ok(true)
    }

    /// What stands there, not what a link leads to; none also where what should be a directory above it is none.
    pub fn kind(&mut self, path: &[u8]) -> io::Result<Option<FileType>> {
        let (dir, name) = match self.parent(path, false) {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn clear(&mut self, path: &[u8]) -> io::Result<bool> {
        let Some(kind) = self.kind(path)? else { return Ok(false) };
        let flags = if kind == FileType::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        if kind == FileType::Directory {
            self.last = None;
        }
        let (dir, name) = self.parent(path, false)?;
        unlinkat(dir, name, flags)?;
        Ok(true)
    }

    fn parent<'a>(&mut self, path: &'a [u8], make: bool) -> io::Result<(&OwnedFd, &'a [u8])> {
        let Some(at) = path.iter().rposition(|&b| b == b'/') else { return Ok((&self.top, path)) };
        let (above, name) = (&path[..at], &path[at + 1..]);
        if self.last.as_ref().is_none_or(|(known, _)| known != above) {
            let mut dir: Option<OwnedFd> = None;
            for component in above.split(|&b| b == b'/') {
                let from = dir.as_ref().unwrap_or(&self.top);
                let found = match openat(from, component, DIRECTORY, Mode::empty()) {
                    Err(Errno::NOENT) if make => {
                        mkdirat(from, component, Mode::RWXU | Mode::RWXG | Mode::RWXO)?;
                        openat(from, component, DIRECTORY, Mode::empty())
                    }
                    found => found,
                };
                dir = Some(found?);
            }
            self.last = dir.map(|dir| (above.to_owned(), dir));
        }
        let dir = self.last.as_ref().map_or(&self.top, |(_, dir)| dir);
        Ok((dir, name))
    }
}

/// A link or a file where a directory would have to be is as good as nothing, for whoever only looks.
fn is_absent(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::NOENT, Errno::NOTDIR, Errno::LOOP].iter().any(|known| code == Some(known.raw_os_error()))
}

/// Whether the file system below takes `a` and `A` for one name.
pub fn folds_case(dir: &Path) -> bool {
    let Ok(probe) = tempfile::Builder::new().prefix(".samesession-case-").tempfile_in(dir) else { return false };
    let name = probe.path().file_name().map(|name| name.to_ascii_uppercase());
    name.is_some_and(|name| std::fs::symlink_metadata(probe.path().with_file_name(name)).is_ok())
}
