//! A run that waits at a fault point until it is told to go on, so that a race is played in a fixed order.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::sandbox::{Machine, Ran};

pub struct Paused {
    child: Option<Child>,
    gate: PathBuf,
}

impl Machine {
    /// Starts `git-samesession` itself and returns when it waits at this point.
    pub fn pause_at<S: AsRef<OsStr>>(&self, point: &str, args: impl IntoIterator<Item = S>) -> Paused {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gate-{}-{}", self.name, COUNT.fetch_add(1, Ordering::Relaxed));
        let gate = self.home.parent().expect("in a sandbox").join(name);
        let machine = self.env("SAMESESSION_FAULT", format!("{point}=pause:{}", gate.display()));
        let mut paused = Paused { child: Some(machine.start(args)), gate };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !paused.gate.exists() {
            let ended = paused.child.as_mut().expect("it runs").try_wait().expect("a child");
            assert!(ended.is_none(), "it ended before {point}: {}", paused.end().stderr());
            assert!(Instant::now() < deadline, "{point} was not reached");
            std::thread::sleep(Duration::from_millis(2));
        }
        paused
    }

    pub fn start<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Child {
        let mut command = self.command(env!("CARGO_BIN_EXE_git-samesession"));
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be started")
    }
}

impl Paused {
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    pub fn signal(&self, signal: i32) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid()).expect("a pid")).expect("a pid");
        let signal = rustix::process::Signal::from_named_raw(signal).expect("a signal");
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// Lets it go on to its end.
    pub fn end(&mut self) -> Ran {
        let _ = fs::remove_file(&self.gate);
        Ran(self.child.take().expect("it runs").wait_with_output().expect("it ends"))
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
