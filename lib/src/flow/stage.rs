//! A place beside the destination where a capsule's files wait until everything about them is known.
//!
//! Lies in the agent's home, on the file system they will be renamed within, or in a temporary directory for a dry run.
//! Holds locks that end with the process, so that a crash leaves nothing that looks alive; what it leaves otherwise is
//! cleared by the next `recover`. What must stay true: unless `keep` is called, dropping it removes every trace.

use std::fs::{self, File};
use std::io::{self, BufRead, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::Error;
use crate::agent::jsonl;
use crate::durable::{self, At, EarlyFlush};
use crate::env::Env;
use crate::path::RelPath;
use crate::policy::Limits;
use crate::{capsule, fault, time};

pub const DIR: &str = ".samesession";
const DRY_RUN: &str = "samesession-dry-run-";
const BUFFER: usize = 256 << 10;
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Stage {
    /// `<home>/.samesession/<id>`, or a temporary directory.
    pub dir: PathBuf,
    /// Directories that did not exist before, outermost first.
    made: Vec<PathBuf>,
    count: usize,
    kept: bool,
    _alive: File,
}

impl Stage {
    /// In the home of the agent.
    pub fn beside(home: &Path, env: &Env) -> Result<Stage, Error> {
        let root = home.join(DIR);
        let mut made = Vec::new();
        let stage = loop {
            made.extend(durable::create_dirs(&root)?);
            // Under the home's lock, or whoever clears up after a crash could take it for a leftover before it is locked.
            match lock(home) {
                Ok(Some(_held)) => break Stage::within(&root, "", env),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
        };
        match stage {
            Ok(mut stage) => {
                stage.made = made;
                Ok(stage)
            }
            Err(error) => {
                remove_empty(&made);
                Err(error)
            }
        }
    }

    /// For a dry run: the same steps, where nothing will be renamed into a home.
    pub fn temporary(env: &Env) -> Result<Stage, Error> {
        sweep(env);
        Stage::within(&env.temp_dir(), DRY_RUN, env)
    }

    fn within(root: &Path, prefix: &str, env: &Env) -> Result<Stage, Error> {
        let stamp: String = time::format(env.now()).chars().filter(char::is_ascii_alphanumeric).take(15).collect();
        let private = |dir: &Path| fs::DirBuilder::new().mode(0o700).create(dir).at("create directory", dir);
        // Process ids repeat: in containers that share a home, too.
        for attempt in 0..100 {
            let dir = root.join(format!("{prefix}{stamp}-{}-{attempt}", std::process::id()));
            match private(&dir) {
                Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            let stage = Stage { _alive: File::open(&dir).at("open", &dir)?, dir, made: Vec::new(), count: 0, kept: false };
            flock(&stage._alive, FlockOperation::NonBlockingLockExclusive).map_err(io::Error::from).at("lock", &stage.dir)?;
            private(&stage.dir.join("new"))?;
            private(&stage.dir.join("old"))?;
            return Ok(stage);
        }
        Err(Error::Busy(root.to_owned()))
    }

    /// Takes one file in. It is durable only after `sync`.
    pub fn take(&mut self, content: &mut dyn Read, packed: bool) -> Result<PathBuf, Error> {
        // Agents tell a packed transcript by its name, here as in their homes.
        let name = if packed { format!("{}.jsonl.zst", self.count) } else { self.count.to_string() };
        self.count += 1;
        self.fill(self.new_dir().join(name), content)
    }

    /// The same under a name of its own.
    pub fn take_as(&mut self, name: &RelPath, content: &mut dyn Read) -> Result<(), Error> {
        let path = name.under(&self.new_dir());
        durable::create_dirs(durable::parent(&path))?;
        self.fill(path, content).map(drop)
    }

    pub fn new_dir(&self) -> PathBuf {
        self.dir.join("new")
    }

    fn fill(&mut self, path: PathBuf, content: &mut dyn Read) -> Result<PathBuf, Error> {
        let file = durable::create_private(&path)?;
        let mut file = EarlyFlush::new(&file, &file).at("open", &path)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let mut filled = 0;
            while filled < BUFFER {
                match content.read(&mut buffer[filled..]) {
                    Ok(0) => break,
                    Ok(n) => filled += n,
                    Err(_) if crate::progress::interrupted() => return Err(Error::Interrupted),
                    Err(error) => return Err(capsule::Error::Damaged(error.to_string()).into()),
                }
            }
            if filled == 0 {
                return Ok(path);
            }
            fault::point("restore.staging").and_then(|()| file.write_all(&buffer[..filled])).at("write", &path)?;
        }
    }

    pub fn sync(&self, staged: &[&Path]) -> Result<(), Error> {
        for path in staged {
            File::open(path).and_then(|file| file.sync_data()).at("sync", path)?;
        }
        durable::sync_dir(&self.dir.join("new"))?;
        // The way to the journal must be as durable as the journal.
        self.dir.ancestors().skip(1).take(2).try_for_each(|dir| Ok(durable::sync_dir(dir)?))
    }

    pub fn backup(&self, n: usize) -> PathBuf {
        self.dir.join("old").join(n.to_string())
    }

    /// Where a work tree's own backups go.
    pub fn backup_of_workspace(&self) -> PathBuf {
        self.dir.join("old").join("workspace")
    }

    /// The directories to remove if the restore is undone.
    pub fn made(&self) -> &[PathBuf] {
        &self.made
    }

    /// From here on the journal decides what becomes of the directory.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_dir_all(&self.dir);
            if let Some(root) = self.dir.parent().filter(|root| root.ends_with(DIR)) {
                let _ = fs::remove_dir(root);
            }
            remove_empty(&self.made);
        }
    }
}

/// Reads a packed transcript to its end: what it unpacks to is under the same bounds as the capsule itself.
pub fn unpacks_within(packed: &Path, limits: &Limits) -> Result<(), Error> {
    let damaged = |error: io::Error| capsule::Error::Damaged(format!("a packed transcript: {error}"));
    let size = fs::metadata(packed).at("read", packed)?.len().max(1);
    let mut plain = jsonl::open(packed).map_err(damaged)?;
    let mut count = 0u64;
    loop {
        let n = plain.fill_buf().map_err(damaged)?.len();
        if n == 0 {
            return Ok(());
        }
        if crate::progress::interrupted() {
            return Err(Error::Interrupted);
        }
        plain.consume(n);
        count += n as u64;
        if count > limits.bytes || (count > limits.ratio_from && count / size > limits.ratio) {
            let why = format!("a packed transcript unpacks to more than {} times its size", limits.ratio);
            return Err(capsule::Error::TooLarge(why).into());
        }
    }
}

/// Clears what dry runs that were killed have left of sessions in the temporary directory. One that lives holds its lock.
pub fn sweep(env: &Env) {
    let mine = rustix::process::getuid().as_raw();
    for entry in fs::read_dir(env.temp_dir()).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(DRY_RUN);
        let Some(meta) = entry.metadata().ok().filter(|meta| ours && meta.is_dir() && meta.uid() == mine) else { continue };
        // Made and not locked yet: a moment later it is.
        let young = meta.modified().is_ok_and(|made| env.now().duration_since(made).is_ok_and(|age| age < PATIENCE));
        let dead = File::open(entry.path()).is_ok_and(|dir| flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok());
        if dead && !young {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

pub fn remove_empty(dirs: &[PathBuf]) {
    for dir in dirs.iter().rev() {
        let _ = fs::remove_dir(dir);
    }
}

/// One commit at a time per home. The lock is on the directory itself, so it leaves no file, and ends with the process.
/// `None` if there is no such directory.
pub fn lock(home: &Path) -> Result<Option<File>, Error> {
    let root = home.join(DIR);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let held = match File::open(&root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.at("open", &root)?,
        };
        match flock(&held, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // The directory may have been removed and made again while we waited for the old one.
                let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
                if held.metadata().is_ok_and(|locked| fs::metadata(&root).is_ok_and(|now| same(locked, now))) {
                    return Ok(Some(held));
                }
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(io::Error::from(error)).at("lock", &root).map_err(Error::from),
        }
        if crate::progress::interrupted() {
            return Err(Error::Interrupted);
        }
        if Instant::now() > deadline {
            return Err(Error::Busy(home.to_owned()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
