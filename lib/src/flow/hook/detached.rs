//! Work that goes on when the hook has returned: our own program once more, in a session of its own, with nobody to ask.
//!
//! What must stay true: nothing that it starts can prompt, neither on a terminal nor in a window; and it ends, with all that
//! it has started, when its time is up.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, getpgrp, getpid, kill_current_process_group, nice, setsid};

use super::log;
use crate::durable::At;
use crate::env::Env;
use crate::flow::Error;
use crate::git::Repository;

/// Set for whatever we start, so that no hook of ours does anything about our own pushes.
const MARK: &str = "SAMESESSION_HOOK";

/// What keeps Git and its helpers from asking anybody. An empty `GIT_ASKPASS` goes before every other program.
const NOBODY: &[(&str, &str)] =
    &[(MARK, "1"), ("GIT_TERMINAL_PROMPT", "0"), ("GIT_ASKPASS", ""), ("SSH_ASKPASS_REQUIRE", "never"), ("GCM_INTERACTIVE", "never")];

pub fn is_worker(env: &Env) -> bool {
    env.var(MARK).is_some()
}

/// Starts it, and returns when it cannot be stopped any more by whatever stops us.
pub fn start(env: &Env, dir: &Path, args: &[OsString], input: &[u8]) -> Result<Child, Error> {
    let program = env.own_program().at("find", "/proc/self/exe")?;
    let mut command = Command::new(&program);
    command.args(args).current_dir(dir).env_clear().envs(env.vars()).envs(NOBODY.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().at("start", &program)?;
    if let Some(mut stdin) = child.stdin.take() {
        // It fits into the pipe, and may be read when we are gone.
        let _ = stdin.write_all(input);
    }
    if let Some(stdout) = &mut child.stdout {
        let _ = stdout.read(&mut [0]);
    }
    Ok(child)
}

/// For the one that was started: out of reach of the terminal, and last in line for the processor if nobody waits.
pub fn begin(patient: bool) {
    let _ = setsid();
    if patient {
        let _ = nice(10);
    }
}

/// Ends this process, and all that it has started, when the time is up.
pub fn end_after(deadline: Duration, common: &Path, env: &Env) {
    // Started by hand in somebody's shell it is not ours to kill what is around it.
    if getpgrp() != getpid() {
        return;
    }
    let (common, env) = (common.to_owned(), env.clone());
    std::thread::spawn(move || {
        std::thread::sleep(deadline);
        log::add(&common, env.now(), &format!("given up after {} s", deadline.as_secs()));
        // Git takes its locks away at the first one, and so do we.
        let _ = kill_current_process_group(Signal::TERM);
        std::thread::sleep(Duration::from_secs(2));
        let _ = kill_current_process_group(Signal::KILL);
    });
}

/// Git in this repository as somebody runs it who is not there: OpenSSH is told, too, where it is what Git uses.
pub fn unattended(mut repo: Repository, env: &Env) -> Repository {
    let by_variable = env.var("GIT_SSH_COMMAND").and_then(|command| command.to_str()).map(str::to_owned);
    let configured = || repo.config.get("core.sshcommand").map(str::to_owned);
    let command = match (by_variable.or_else(configured), env.var("GIT_SSH")) {
        (Some(command), _) => Some(command).filter(|command| is_openssh(command)),
        (None, Some(_)) => None,
        (None, None) => Some("ssh".to_owned()),
    };
    for (name, value) in NOBODY {
        repo.git = repo.git.env(name, value);
    }
    repo.git = repo.git.with("credential.interactive=false");
    if let Some(command) = command {
        repo.git = repo.git.env("GIT_SSH_COMMAND", format!("{command} -o BatchMode=yes"));
    }
    repo
}

fn is_openssh(command: &str) -> bool {
    command.split_whitespace().next().is_some_and(|program| program.rsplit('/').next() == Some("ssh"))
}
