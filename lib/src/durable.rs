//! Files that are there after a crash, or not at all: private from creation, written whole, moved by rename.
//!
//! Knows nothing of what it writes. Every durable change is write, fsync, rename, fsync of the directory.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

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
            fs::remove_file(from).at("remove", from)
        }
    }
}

/// Moves a file over whatever stands there.
pub fn move_over(from: &Path, to: &Path) -> Result<(), Error> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy_beside(from, to)?.persist(to).map_err(|error| error.error).at("replace", to)?;
            fs::remove_file(from).at("remove", from)
        }
        done => done.at("move a file to", to),
    }
}

fn copy_beside(from: &Path, to: &Path) -> Result<tempfile::NamedTempFile, Error> {
    let dir = parent(to);
    let mut beside = tempfile::Builder::new().prefix(".samesession-").tempfile_in(dir).at("create a file in", dir)?;
    let mut source = File::open(from).at("open", from)?;
    io::copy(&mut source, &mut beside).and_then(|_| beside.as_file().sync_all()).at("copy to", to)?;
    if let (Ok(meta), file) = (source.metadata(), beside.as_file()) {
        if let Ok(modified) = meta.modified() {
            let _ = file.set_modified(modified);
        }
        let _ = file.set_permissions(meta.permissions());
    }
    Ok(beside)
}

pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}
