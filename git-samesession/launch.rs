//! An agent started in our place: the terminal, the signals and the exit status are its own.
//!
//! It stays in our process group, so what is typed at the terminal reaches both; what is sent to us alone is passed on.
//! What must stay true: we outlive it, whatever ends it, and the terminal is as it was before.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, waitpid};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use samesession::agent::ResumeCommand;
use samesession::remains;
use signal_hook::consts::{SIGHUP, SIGTERM};

use crate::signals::Caught;

/// How often there is a look at the time and at signals.
const TICK: Duration = Duration::from_millis(100);

pub struct Ended {
    pub status: ExitStatus,
    /// The terminal is gone: there is nobody to speak to.
    pub hung_up: bool,
}

impl Ended {
    /// As a shell would have it.
    pub fn code(&self) -> u8 {
        let code = self.status.code().or_else(|| self.status.signal().map(|signal| 128 + signal)).unwrap_or(1);
        u8::try_from(code).unwrap_or(1)
    }
}

/// Starts it and waits for its end; `meanwhile` is called again and again.
pub fn launch(command: &ResumeCommand, more: &[String], meanwhile: &mut dyn FnMut()) -> io::Result<Ended> {
    let [program, args @ ..] = &command.argv[..] else { return Err(io::ErrorKind::InvalidInput.into()) };
    let modes = tcgetattr(io::stdin()).ok();
    let caught = Caught::begin()?;
    let mut command_line = Command::new(program);
    command_line.args(args).args(more).current_dir(&command.cwd).env("PWD", &command.cwd);
    command_line.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let child = remains::as_before(|| command_line.spawn())?;
    let pid = Pid::from_child(&child);
    let (tell, hear) = mpsc::channel();
    thread::spawn(move || {
        while let Ok(Some((_, status))) = waitpid(Some(pid), WaitOptions::UNTRACED) {
            let stopped = status.stopped();
            if tell.send(status).is_err() || !stopped {
                break;
            }
        }
    });
    let mut hung_up = false;
    let status = loop {
        match hear.recv_timeout(TICK) {
            Ok(status) if status.stopped() => stop_with(pid),
            Ok(status) => break ended(status),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break ExitStatus::from_raw(1 << 8),
        }
        match caught.take() {
            Some(SIGTERM) => drop(kill_process(pid, Signal::TERM)),
            Some(SIGHUP) => {
                hung_up = true;
                let _ = kill_process(pid, Signal::HUP);
            }
            // These come from the keyboard, to the agent as well.
            _ => {}
        }
        meanwhile();
    };
    if let Some(modes) = modes.filter(|_| !hung_up) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &modes);
    }
    hung_up |= caught.take() == Some(SIGHUP);
    caught.end();
    Ok(Ended { status, hung_up })
}

fn ended(status: WaitStatus) -> ExitStatus {
    ExitStatus::from_raw(status.as_raw())
}

/// An agent that has stopped only itself leaves its shell waiting for us.
fn stop_with(pid: Pid) {
    // A key pressed at the terminal has stopped us as well, and by now both go on again.
    thread::sleep(Duration::from_millis(50));
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    if state == Some('T') {
        let _ = kill_process(getpid(), Signal::STOP);
        // Whoever lets us go on means both.
        let _ = kill_process(pid, Signal::CONT);
    }
}
