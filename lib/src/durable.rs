//! Files that are there after a crash, or not at all: private from creation, written whole, moved by rename.
//!
//! Knows nothing of what it writes. Every durable change is write, fsync, rename, fsync of the directory.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::fault;

/// How the names of files begin that are complete nowhere yet.
pub const TEMPORARY: &str = ".samesession-";

/// What could not be done, and where.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} '{}'", path.display())]
pub struct Error {
    pub what: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

/// `fs::read(path).at("read", path)`: gives an I/O error its place.
pub trait At<T> {
    fn at(self, what: &'static str, path: impl AsRef<Path>) -> Result<T, Error>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, what: &'static str, path: impl AsRef<Path>) -> Result<T, Error> {
        self.map_err(|source| Error { what, path: path.as_ref().to_owned(), source })
    }
}

/// A new file that only its owner may read; fails if something is there already.
pub fn create_private(path: &Path) -> Result<File, Error> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).at("create", path)
}

/// Creates what is missing of a directory, readable by its owner only, and returns what was created, outermost first.
pub fn create_dirs(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut missing: Vec<PathBuf> =
        path.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).map(Path::to_owned).collect();
    missing.reverse();
    for dir in &missing {
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error).at("create directory", dir),
            _ => {}
        }
    }
    Ok(missing)
}

pub fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).at("sync directory", dir)
}

/// Passes bytes on to a file and sets the disk to work every few megabytes, on a thread of its own, so that the sync at
/// the end has little left to wait for. Only a hint: durability still needs that sync.
pub struct EarlyFlush<W> {
    inner: W,
    file: File,
    since: usize,
    worker: Option<(SyncSender<()>, JoinHandle<()>)>,
}

const FLUSH_EVERY: usize = 8 << 20;

impl<W: Write> EarlyFlush<W> {
    pub fn new(inner: W, file: &File) -> io::Result<EarlyFlush<W>> {
        Ok(EarlyFlush { inner, file: file.try_clone()?, since: 0, worker: None })
    }

    /// Sets the disk to work on what is written so far, if it is worth while.
    pub fn hurry(&mut self) -> io::Result<&mut W> {
        if self.since >= FLUSH_EVERY / 8 {
            self.tick()?;
        }
        Ok(&mut self.inner)
    }

    pub fn into_inner(mut self) -> W {
        if let Some((ticks, worker)) = self.worker.take() {
            drop(ticks);
            let _ = worker.join();
        }
        self.inner
    }

    fn tick(&mut self) -> io::Result<()> {
        if self.worker.is_none() {
            let (ticks, due) = sync_channel::<()>(1);
            let file = self.file.try_clone()?;
            let work = move || due.iter().for_each(|()| drop(file.sync_data()));
            self.worker = Some((ticks, std::thread::spawn(work)));
        }
        // A tick that finds the disk busy is covered by the next one.
        if let Some((ticks, _)) = &self.worker {
            let _ = ticks.try_send(());
        }
        Ok(())
    }
}

impl<W: Write> Write for EarlyFlush<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.since += n;
        if self.since >= FLUSH_EVERY {
            self.since = 0;
            self.tick()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Replaces a small file in one step.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let dir = parent(path);
    let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(dir).at("create a file in", dir)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).at("write", path)?;
    file.persist(path).map_err(|error| error.error).at("replace", path)?;
    sync_dir(dir)
}

/// Moves a file to a place where nothing stands yet; never replaces.
pub fn move_new(from: &Path, to: &Path) -> Result<(), Error> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from).at("remove", from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error).at("create", to),
        // Another file system, or one without hard links: copy beside the destination, then take the name.
        Err(_) => {
            let beside = copy_beside(from, to)?;
            beside.persist_noclobber(to).map_err(|error| error.error).at("create", to)?;
            fault::point("restore.copied").at("write", to)?;
            fs::remove_file(from).at("remove", from)
        }
    }
}

/// Moves a file over whatever stands there.
pub fn move_over(from: &Path, to: &Path) -> Result<(), Error> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy_beside(from, to)?.persist(to).map_err(|error| error.error).at("replace", to)?;
            fault::point("restore.copied").at("write", to)?;
            fs::remove_file(from).at("remove", from)
        }
        done => done.at("move a file to", to),
    }
}

fn copy_beside(from: &Path, to: &Path) -> Result<tempfile::NamedTempFile, Error> {
    let dir = parent(to);
    let mut beside = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(dir).at("create a file in", dir)?;
    copy_into(from, beside.as_file_mut()).and_then(|()| fault::point("restore.copied")).at("write", to)?;
    Ok(beside)
}

/// A durable copy, times and permissions included, where nothing stands yet.
pub fn copy_new(from: &Path, to: &Path) -> Result<(), Error> {
    let mut file = create_private(to)?;
    copy_into(from, &mut file).at("write", to)
}

fn copy_into(from: &Path, to: &mut File) -> io::Result<()> {
    let mut source = File::open(from)?;
    io::copy(&mut source, to)?;
    let meta = source.metadata()?;
    if let Ok(modified) = meta.modified() {
        let _ = to.set_modified(modified);
    }
    let _ = to.set_permissions(meta.permissions());
    to.sync_all()
}

/// A file that gets its name when it is complete: a process that dies before leaves nothing behind, where the file
/// system can do that (`O_TMPFILE`), else a file whose name begins with `TEMPORARY`.
pub struct Unnamed {
    pub file: File,
    /// The name it had to have all the same; removed with this value.
    named: Option<tempfile::TempPath>,
}

impl Unnamed {
    pub fn create_in(dir: &Path) -> Result<Unnamed, Error> {
        #[cfg(target_os = "linux")]
        if Path::new("/proc/self/fd").is_dir() {
            use rustix::fs::{Mode, OFlags};
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            if let Ok(file) = rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR) {
                return Ok(Unnamed { file: file.into(), named: None });
            }
        }
        let (file, named) = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(dir).at("create a file in", dir)?.into_parts();
        Ok(Unnamed { file, named: Some(named) })
    }

    /// Takes the name unless something has it.
    pub fn name(self, path: &Path) -> io::Result<()> {
        match self.named {
            Some(named) => named.persist_noclobber(path).map_err(|error| error.error),
            None => link(&self.file, path),
        }
    }

    /// Takes the name, whatever has it.
    pub fn replace(self, path: &Path) -> io::Result<()> {
        if let Some(named) = self.named {
            return named.persist(path).map_err(|error| error.error);
        }
        // A rename needs a name to begin with, for a moment; another process that replaces the same file has its own.
        let mut name = OsString::from(format!("{TEMPORARY}{}-", std::process::id()));
        name.push(path.file_name().unwrap_or_default());
        let beside = parent(path).join(name);
        let _ = fs::remove_file(&beside);
        link(&self.file, &beside)?;
        fs::rename(&beside, path).inspect_err(|_| drop(fs::remove_file(&beside)))
    }
}

#[cfg(target_os = "linux")]
fn link(file: &File, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    use std::os::fd::AsRawFd;
    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, itself.as_str(), CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
fn link(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}
