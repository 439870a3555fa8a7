//! Runs one agent's process: with a time limit, its output in unnamed files, and nothing of it left alive afterwards.
//!
//! Knows nothing of any agent. What must stay true: whatever ends a test (success, a panic, a hang), no process that it
//! started survives. A process group alone does not promise that, since agents give the commands of their tools
//! sessions of their own; therefore every process carries a mark in its environment, which its children inherit.
//!
//! Output goes to files and not through pipes: a forgotten grandchild that holds a pipe open would keep a reader
//! waiting for ever.
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

pub const MARK: &str = "SAMESESSION_TEST_MARK";

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// What one turn of a conversation came to.
#[derive(Debug)]
pub struct Reply {
    /// The native id, if the agent got as far as having one.
    pub session_id: Option<String>,
    /// The agent's last words.
    pub text: String,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Reply {
    /// Panics, and shows everything, unless the agent was content.
    #[track_caller]
    pub fn ok(self) -> Reply {
        assert!(self.status.success(), "the agent failed: {self:#?}");
        self
    }

    #[track_caller]
    pub fn id(&self) -> &str {
        self.session_id.as_deref().unwrap_or_else(|| panic!("the agent named no session: {self:#?}"))
    }
}

/// A turn in progress. Dropping it kills the agent and all that it started.
pub struct Running {
    process: Process,
    read: fn(Finished) -> Reply,
}

impl Running {
    pub(super) fn start(command: Command, limit: Duration, read: fn(Finished) -> Reply) -> Running {
        Running { process: Process::start(command, limit), read }
    }

    /// Of the program that was started. Claude Code is that process; Codex is a child of it.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.poll().is_none()
    }

    /// What was written so far.
    pub fn stdout(&self) -> String {
        text_of(&self.process.stdout)
    }

    pub fn stderr(&self) -> String {
        text_of(&self.process.stderr)
    }

    /// Until the turn is over.
    #[track_caller]
    pub fn wait(self) -> Reply {
        (self.read)(self.process.finish())
    }

    /// As a machine that loses its power: no farewell, and the traces of a live session stay behind.
    pub fn kill(self) {
        drop(self);
    }
}

#[track_caller]
pub(super) fn run(command: Command, limit: Duration) -> Finished {
    Process::start(command, limit).finish()
}

/// Waits for something that another process brings about, and fails the test when it does not happen.
#[track_caller]
pub fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        // What works in the background gives way to everything else on a busy machine.
        assert!(start.elapsed() < Duration::from_secs(120), "waited in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

struct Process {
    shown: String,
    mark: String,
    child: Child,
    stdout: File,
    stderr: File,
    end: Instant,
}

impl Process {
    fn start(mut command: Command, limit: Duration) -> Process {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let unnamed = || tempfile::tempfile().expect("a temporary file can be made");
        let (stdout, stderr) = (unnamed(), unnamed());
        let copy = |file: &File| Stdio::from(file.try_clone().expect("a descriptor can be copied"));
        command.env(MARK, &mark).process_group(0);
        command.stdin(Stdio::null()).stdout(copy(&stdout)).stderr(copy(&stderr));
        let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
        let shown = format!("{} {}", command.get_program().display(), args.join(" "));
        let child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
        Process { shown, mark, child, stdout, stderr, end: Instant::now() + limit }
    }

    fn poll(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child can be waited for")
    }

    #[track_caller]
    fn finish(mut self) -> Finished {
        loop {
            if let Some(status) = self.poll() {
                let (stdout, stderr) = (text_of(&self.stdout), text_of(&self.stderr));
                return Finished { status, stdout, stderr };
            }
            if Instant::now() > self.end {
                let (stdout, stderr) = (text_of(&self.stdout), text_of(&self.stderr));
                panic!("{} hangs.\n--- stdout\n{stdout}\n--- stderr\n{stderr}", self.shown);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill_marked(&self.mark);
        // Without `/proc` the group has to do. Not once the child is reaped: the number may be someone else's by then.
        if let Ok(None) = self.child.try_wait() {
            let _ = number(self.child.id()).map(|group| kill_process_group(group, Signal::KILL));
            let _ = self.child.wait();
        }
    }
}

/// Kills what carries the mark, again until nothing does, since a process may fork while the list is read. Returns when
/// all are dead, with their files closed and their locks gone.
pub(super) fn kill_marked(mark: &str) {
    let wanted = format!("{MARK}={mark}").into_bytes();
    let end = Instant::now() + Duration::from_secs(5);
    while let Some(alive) = carriers(&wanted).filter(|alive| !alive.is_empty() && Instant::now() < end) {
        for process in &alive {
            let _ = kill_process(*process, Signal::KILL);
        }
        while !alive.iter().all(|process| is_dead(*process)) && Instant::now() < end {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// `None` where there is no `/proc`.
fn carriers(wanted: &[u8]) -> Option<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Another user's processes, and those that just ended, cannot be read and are not ours.
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        if environment.split(|byte| *byte == 0).any(|variable| variable == wanted) {
            found.extend(number(process));
        }
    }
    Some(found)
}

/// Gone, or only its name is left. A process whose first thread has ended is not dead while others are on their way out.
fn is_dead(process: Pid) -> bool {
    let folder = Path::new("/proc").join(process.as_raw_nonzero().to_string());
    let Ok(stat) = fs::read_to_string(folder.join("stat")) else { return true };
    // The state follows the name, which stands in parentheses and may hold anything.
    let ended = stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']));
    ended && fs::read_dir(folder.join("task")).map_or(0, Iterator::count) <= 1
}

fn number(process: u32) -> Option<Pid> {
    i32::try_from(process).ok().and_then(Pid::from_raw)
}

/// Everything written so far. Read at offsets, since the offset of the file itself is shared with the child.
fn text_of(file: &File) -> String {
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    // The file only grows, so that many bytes are there.
    let _ = file.read_exact_at(&mut bytes, 0);
    String::from_utf8_lossy(&bytes).into_owned()
}
