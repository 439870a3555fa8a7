//! Work that goes on behind the user's back: our own program once more, in a session of its own, with nobody to ask.
//!
//! The one way to start it. What must stay true: it is out of reach of whatever stops us before we go on; nothing that it
//! starts can prompt, neither on a terminal nor in a window; and where it has a deadline it ends, with all that it has
//! started, when its time is up.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, getpgrp, getpid, kill_current_process_group, nice, setsid};
use rustix::stdio::{dup2_stdout, stderr, stdout};

use super::Error;
use super::hook::log;
use crate::durable::{self, At};
use crate::env::Env;
use crate::git::{LOCATING, Repository};

/// Set for whatever we start, so that no hook of ours does anything about our own pushes.
const MARK: &str = "SAMESESSION_HOOK";

/// How the one that was started begins. It is for that one alone: whatever that starts in turn does not see it.
const BEGIN: &str = "SAMESESSION_BEGIN";

/// What keeps Git and its helpers from asking anybody. An empty `GIT_ASKPASS` goes before every other program.
const NOBODY: &[(&str, &str)] = &[
    (MARK, "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", ""),
    ("SSH_ASKPASS_REQUIRE", "never"),
    ("GCM_INTERACTIVE", "never"),
    // A command of the user's own is theirs to make silent.
    ("SAMESESSION_UNATTENDED", "1"),
];

/// A log that has grown longer than this begins anew.
const LONGEST_LOG: u64 = 256 << 10;

/// Where what it says goes.
#[derive(Debug, Clone, Copy)]
pub enum Says<'a> {
    /// To us, as long as we listen; what it complains of is lost.
    Answer,
    /// Into this file.
    Log(&'a Path),
}

pub fn is_worker(env: &Env) -> bool {
    env.var(MARK).is_some()
}

/// Starts it, and returns when it cannot be stopped any more by whatever stops us. Input is for words that are nobody
/// else's business: arguments can be seen by all.
pub fn start(env: &Env, dir: &Path, args: &[OsString], input: &[u8], says: Says<'_>) -> Result<Child, Error> {
    let program = env.own_program().at("find", "/proc/self/exe")?;
    let mut command = Command::new(&program);
    command.args(args).current_dir(dir).env_clear().envs(env.vars()).envs(NOBODY.iter().copied());
    let (how, complaints) = match says {
        Says::Answer => ("answer", Stdio::null()),
        Says::Log(path) => ("log", open_log(path)?.into()),
    };
    command.env(BEGIN, how).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(complaints);
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

/// For the one that was started, before anything else: out of reach of the terminal, and whoever has started it may go.
pub fn begin(env: Env) -> Env {
    let Some(how) = env.var(BEGIN).map(ToOwned::to_owned) else { return env };
    let _ = setsid();
    // On a pipe of our own, to whoever waits for this byte.
    let _ = rustix::io::write(stdout(), b"\n");
    if how == "log" {
        let _ = dup2_stdout(stderr());
    }
    let cwd = env.cwd().to_owned();
    env.standing_in(&cwd, &[BEGIN])
}

/// Last in line for the processor and, by that, for the disk: nobody waits.
pub fn be_patient() {
    let _ = nice(10);
}

/// Last of all, and on one processor alone, with everything that it will start.
pub fn be_quiet() {
    let _ = nice(19);
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        if let Ok(allowed) = sched_getaffinity(None)
            && let Some(last) = (0..CpuSet::MAX_CPU).rfind(|n| allowed.is_set(*n))
        {
            let mut one = CpuSet::new();
            one.set(last);
            let _ = sched_setaffinity(None, &one);
        }
    }
}

/// The same process with another program in it; returns only if that cannot be.
pub fn become_anew(env: &Env, program: &Path, args: &[&str]) -> Error {
    let mut command = Command::new(program);
    command.args(args).current_dir(env.cwd()).env_clear().envs(env.vars());
    let error: Result<(), Error> = Err(command.exec()).at("start", program).map_err(Error::from);
    error.err().unwrap_or(Error::Interrupted)
}

/// The user's environment for what outlives the place it was started in: no repository, no agent's session.
pub fn placeless(env: &Env) -> Env {
    let of_agents = ["CLAUDECODE", "CLAUDE_CODE_SESSION_ID", "CLAUDE_CODE_ENTRYPOINT", "CODEX_THREAD_ID"];
    // Settings of one run; those in other variables are the user's own.
    let of_git = ["GIT_CONFIG_PARAMETERS", "GIT_QUARANTINE_PATH", "GIT_INTERNAL_SUPER_PREFIX"];
    env.standing_in(Path::new("/"), &[LOCATING, &of_agents, &of_git].concat())
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

fn open_log(path: &Path) -> Result<File, Error> {
    durable::create_dirs(durable::parent(path))?;
    let long = std::fs::metadata(path).is_ok_and(|meta| meta.len() > LONGEST_LOG);
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    let opened = if long { options.write(true).truncate(true).open(path) } else { options.append(true).open(path) };
    Ok(opened.at("open", path)?)
}
