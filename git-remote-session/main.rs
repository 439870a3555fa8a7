//! `git-remote-session`: what Git starts for addresses that begin with `session::`.
//!
//! What the address means is told here, and everything else is `native` or `mapped`. Standard output belongs to Git; what
//! people shall read goes to standard error.

mod mapped;
mod native;
mod protocol;
mod say;

use std::io::{self, Write};
use std::process::ExitCode;

use samesession::env::Env;
use samesession::flow::address::{self, Address};
use samesession::flow::wrapped;
use samesession::git::Repository;
use samesession::{fault, flow, progress, remains};

use crate::mapped::Mapped;
use crate::native::Native;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Protocol(#[from] protocol::Error),
    #[error(transparent)]
    Flow(#[from] flow::Error),
    #[error("Git does not start 'session::' for addresses that no person has typed")]
    NotFromUser,
    #[error("'session::' inside of 'session::'")]
    Nested,
    #[error("nothing is known of '{0}'")]
    Unlisted(String),
    #[error("cannot watch for signals")]
    Signals(#[source] io::Error),
}

impl From<samesession::env::Error> for Failure {
    fn from(error: samesession::env::Error) -> Failure {
        Failure::Flow(error.into())
    }
}

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| say::line(&remains::said_of(panic))));
    let _ = remains::no_core();
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let word = args.first().and_then(|arg| arg.to_str());
    match (word, args.len()) {
        (Some("--version" | "-V"), 1) => {
            let _ = writeln!(io::stdout(), "git-remote-session {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        (Some(flag), 1) if !flag.starts_with('-') => {}
        (Some(_), 2) => {}
        _ => {
            say::line("usage: Git starts this program itself: git fetch session::current; see git help remote-session");
            return ExitCode::from(129);
        }
    }
    // With `remote.<name>.vcs` and no address there is no second word.
    let address = args.get(1).map(|arg| arg.to_string_lossy().into_owned()).unwrap_or_default();
    match run(&address) {
        Ok(()) => ExitCode::SUCCESS,
        // Git has closed its end: it knows why.
        Err(Failure::Protocol(protocol::Error::Write(error))) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(128),
        Err(failure) => {
            say::failure(&failure);
            ExitCode::from(128)
        }
    }
}

fn run(address: &str) -> Result<(), Failure> {
    stop_on_signals().map_err(Failure::Signals)?;
    let env = Env::from_process()?;
    if let Some(fault) = env.var("SAMESESSION_FAULT").and_then(|text| text.to_str()) {
        fault::arm(fault);
    }
    let is = |name: &str, words: &[&str]| env.var(name).and_then(|value| value.to_str()).is_some_and(|value| words.contains(&value));
    if is("GIT_PROTOCOL_FROM_USER", &["0", "false", "no", "off"]) {
        return Err(Failure::NotFromUser);
    }
    if env.var(wrapped::INNER).is_some() {
        return Err(Failure::Nested);
    }
    // Git names the repository, or there is none.
    let repo = match env.var("GIT_DIR") {
        Some(_) => Some(Repository::open(&env, env.cwd()).map_err(flow::Error::from)?),
        None => None,
    };
    let remotes = repo.as_ref().map(Repository::remotes).unwrap_or_default();
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    match address::parse(address, &remotes).map_err(flow::Error::from)? {
        Address::Agents(scope) => {
            let mut remote = Native::new(&env, repo, scope);
            let served = protocol::serve(&mut remote, &mut input, &mut output);
            remote.tidy();
            served
        }
        Address::Store(address) => {
            let mut remote = Mapped::new(&env, repo.as_ref(), &address)?;
            protocol::serve(&mut remote, &mut input, &mut output)
        }
    }
}

/// The first signal asks loops to stop, so that nothing half made stays behind; a second one ends the process.
fn stop_on_signals() -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_conditional_default(signal, progress::interrupt_flag())?;
        signal_hook::flag::register(signal, progress::interrupt_flag())?;
    }
    Ok(())
}
