//! Our own program started to go on behind the user's back: without a terminal, with a log, one at a time.
//!
//! What must stay true: it asks nobody anything, and outlives whoever started it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{FlockOperation, flock};
use samesession::env::Env;
use samesession::git::Repository;

/// A log that has grown longer than this begins anew.
const LONGEST_LOG: u64 = 256 << 10;

pub struct Detached {
    log: PathBuf,
    env: Env,
}

impl Detached {
    pub fn new(env: &Env, repo: &Repository, log: &str) -> Detached {
        Detached { log: place(repo, log), env: env.clone() }
    }

    /// In a group of its own, which no key of a terminal reaches.
    pub fn start(&self, args: &[String]) -> io::Result<Child> {
        self.tell(args, b"")
    }

    /// The same, with words that are nobody else's business: arguments can be seen by all.
    pub fn tell(&self, args: &[String], words: &[u8]) -> io::Result<Child> {
        let log = open_log(&self.log)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args).stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log).process_group(0);
        // Where we stand, which need not be where we were started.
        command.current_dir(self.env.cwd()).env_clear().envs(self.env.vars());
        silent(&mut command);
        let mut child = command.spawn()?;
        // They fit into the pipe, and may be read when we are gone.
        child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(words))?;
        Ok(child)
    }
}

/// Nothing that Git or SSH would want to know can be asked for.
fn silent(command: &mut Command) {
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "").env("SSH_ASKPASS_REQUIRE", "never");
    // A command of the user's own is theirs to make silent.
    command.env("SAMESESSION_UNATTENDED", "1");
}

/// Held as long as it lives.
pub struct Only {
    _lock: File,
}

/// `None` if another process has it.
pub fn only(repo: &Repository, name: &str) -> io::Result<Option<Only>> {
    let path = place(repo, name);
    create_parent(&path)?;
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Only { _lock: file })),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn place(repo: &Repository, name: &str) -> PathBuf {
    repo.common.join("samesession").join(name)
}

fn create_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)
}

fn open_log(path: &Path) -> io::Result<File> {
    create_parent(path)?;
    let long = std::fs::metadata(path).is_ok_and(|meta| meta.len() > LONGEST_LOG);
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    if long { options.write(true).truncate(true).open(path) } else { options.append(true).open(path) }
}
