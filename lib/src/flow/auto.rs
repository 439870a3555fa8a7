//! `auto`: checkpoints as the work goes on, in the repositories in which that was asked for.
//!
//! An agent that calls when a turn has ended is left to its hooks; for any other, and where the hooks cannot be installed, a
//! watcher looks after its home. What must stay true: nothing of it is in the repository; each agent is looked after in one
//! of the two ways; what it needs of settings goes with the last repository that needs it.

mod changes;
mod look;
mod program;
pub mod register;
mod unit;
mod watch;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use register::Registration;
pub use unit::{Kind, unit};
pub use watch::{End, watch};

use super::Error;
use super::background::{self, Says};
use super::hook::{Line, agents, log, queue};
use super::only::{self, Only};
use crate::agent::{self, Agent};
use crate::env::Env;
use crate::git::Repository;
use crate::hook::Reach;

/// How long is waited for a watcher that was started to begin.
const STARTING: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Not at the end of each turn, but at most so often: by the watcher, for every agent.
    pub every: Option<Duration>,
    /// Checkpoints are sent, too.
    pub push: bool,
}

/// How an agent's sessions of one repository are looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    Hooks,
    Watcher,
    Nobody,
}

#[derive(Debug, Clone, serde::Serialize)]
pub struct Looked {
    pub agent: &'static str,
    pub by: By,
    /// What its user should know.
    pub notes: Vec<String>,
}

#[derive(Debug)]
pub struct Status {
    /// The repository around, if there is one.
    pub repository: Option<PathBuf>,
    pub registration: Option<Registration>,
    /// Those in use, in it.
    pub agents: Vec<Looked>,
    pub paused: bool,
    pub watcher: Watcher,
    /// The newest of what was done, in this repository and by the watcher.
    pub lines: Vec<Line>,
}

#[derive(Debug, Clone, serde::Serialize)]
pub struct Watcher {
    /// There is something to watch.
    pub wanted: bool,
    pub running: bool,
    pub pid: Option<u32>,
    /// How many repositories it is for.
    pub repositories: usize,
    pub log: PathBuf,
}

/// `auto on`; said again it counts as said for the first time.
pub fn on(env: &Env, options: &Options) -> Result<Status, Error> {
    let common = here(env)?;
    // Settings and register are changed together.
    let only = Only::wait(&register::dir(env)?.join("changing"))?;
    let mut registration = Registration::new(&common, options.every, options.push);
    let mut notes: Vec<(&'static str, String)> = Vec::new();
    let to_watch = |agent: &&'static dyn Agent| agent.name().to_owned();
    if options.every.is_some() {
        // Whether they are in use or not: a home that is not there costs nothing.
        registration.watch = agent::all().iter().map(to_watch).collect();
    } else {
        for agent in in_use(env)? {
            match hooked(env, agent) {
                Ok(true) => registration.hooks.push(agent.name().to_owned()),
                Ok(false) => registration.watch.push(agent.name().to_owned()),
                Err(error) => {
                    registration.watch.push(agent.name().to_owned());
                    notes.push((agent.name(), super::with_causes(&error)));
                }
            }
        }
    }
    queue::since(&common, env.now())?;
    forget_those_that_are_gone(env)?;
    if let Err(error) = register::put(env, &registration) {
        take_out_what_nobody_needs(env)?;
        return Err(error);
    }
    take_out_what_nobody_needs(env)?;
    drop(only);
    start_if_wanted(env, true);
    let mut status = status(env)?;
    for (name, note) in notes {
        status.agents.iter_mut().filter(|one| one.agent == name).for_each(|one| one.notes.push(note.clone()));
    }
    Ok(status)
}

/// `auto off`: whether it was on.
pub fn off(env: &Env) -> Result<bool, Error> {
    let common = here(env)?;
    let dir = register::dir(env)?;
    if !dir.is_dir() {
        return Ok(false);
    }
    let _only = Only::wait(&dir.join("changing"))?;
    let was_on = register::remove(env, &common)?;
    forget_those_that_are_gone(env)?;
    take_out_what_nobody_needs(env)?;
    Ok(was_on)
}

/// `auto pause` and `auto resume`: whether that changed anything.
pub fn pause(env: &Env, pause: bool) -> Result<bool, Error> {
    let changed = register::pause(env, pause)?;
    start_if_wanted(env, true);
    Ok(changed)
}

pub fn status(env: &Env) -> Result<Status, Error> {
    let repository = match here(env) {
        Err(Error::Git(crate::git::Error::NoRepository)) => None,
        common => Some(common?),
    };
    let registration = repository.as_deref().and_then(|common| register::of(env, common));
    let mut looked = Vec::new();
    if let Some(one) = &registration {
        for agent in in_use(env)? {
            looked.push(looked_after(env, agent, one));
        }
    }
    let dir = register::dir(env)?;
    let holder = only::holder(&dir.join("lock"));
    let log = dir.join("log");
    let repositories = register::watched(env).len();
    let watcher = Watcher { wanted: repositories > 0, running: holder.is_some(), pid: holder.filter(|pid| *pid > 0), repositories, log };
    let mut lines = log::tail(&watcher.log);
    lines.extend(repository.iter().flat_map(|common| log::tail(&log::path(common))));
    lines.sort_by(|a, b| a.at.cmp(&b.at));
    lines.drain(..lines.len().saturating_sub(log::SHOWN));
    Ok(Status { repository, registration, agents: looked, paused: register::paused(env), watcher, lines })
}

/// Sees to it that somebody watches, if anything is to be watched: for whoever has just been here anyway, or, where `asked`,
/// has said so. Never in somebody else's automation, whose processes nobody looks after.
pub fn start_if_wanted(env: &Env, asked: bool) {
    if background::is_worker(env) || is_ci(env) || register::watched(env).is_empty() || register::paused(env) {
        return;
    }
    if !asked && is_inside_an_agent(env) {
        return;
    }
    let Ok(dir) = register::dir(env) else { return };
    let lock = dir.join("lock");
    if only::holder(&lock).is_some() {
        return;
    }
    let args = ["auto".into(), "watch".into()];
    match background::start(&background::placeless(env), Path::new("/"), &args, b"", Says::Log(&dir.join("complaints"))) {
        Err(error) => log::add_to(&dir.join("log"), env.now(), &format!("NOT started: {}", super::with_causes(&error))),
        // So that nobody is told that there is none. An agent that waits for its hook is told nothing.
        Ok(mut child) => {
            let until = Instant::now() + if asked { STARTING } else { Duration::ZERO };
            while Instant::now() < until && only::holder(&lock).is_none() && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

pub fn is_ci(env: &Env) -> bool {
    env.var("CI").is_some_and(|value| value != "false" && value != "0")
}

/// What an agent runs may be locked in with less than its user may do, and so would be what that starts.
pub fn is_inside_an_agent(env: &Env) -> bool {
    agent::all().iter().any(|agent| agent.current(env).is_some())
}

fn here(env: &Env) -> Result<PathBuf, Error> {
    let repo = Repository::open(env, env.cwd())?;
    Ok(repo.common.canonicalize().unwrap_or(repo.common))
}

fn in_use(env: &Env) -> Result<Vec<&'static dyn Agent>, Error> {
    let mut used = Vec::new();
    for agent in agent::all() {
        if agent.home(env)?.root.is_dir() {
            used.push(*agent);
        }
    }
    Ok(used)
}

/// Installs its hooks, if it has any that call for sure.
fn hooked(env: &Env, agent: &'static dyn Agent) -> Result<bool, Error> {
    if agent.hooks().is_none() {
        return Ok(false);
    }
    for planned in agents::plan(env, None, &[agent], Reach::Auto)? {
        if !planned.is_certain(agent) {
            return Ok(false);
        }
        planned.write(env)?;
    }
    Ok(true)
}

fn looked_after(env: &Env, agent: &'static dyn Agent, registration: &Registration) -> Looked {
    let mut looked = Looked { agent: agent.name(), by: By::Nobody, notes: Vec::new() };
    if registration.watches(agent.name()) {
        looked.by = By::Watcher;
    } else if !registration.hooks.iter().any(|name| name == agent.name()) {
        looked.notes.push("it came into use later: say 'git samesession auto on' again".to_owned());
    } else if agents::reach(env, agent).is_none() {
        looked.notes.push("its hooks are gone: say 'git samesession auto on' again".to_owned());
    } else {
        looked.by = By::Hooks;
    }
    looked
}

/// A repository that was removed cannot say `auto off` any more.
fn forget_those_that_are_gone(env: &Env) -> Result<(), Error> {
    for one in register::all(env).iter().filter(|one| !one.is_there()) {
        register::remove(env, &one.common)?;
    }
    Ok(())
}

/// Of our entries in the agents' settings; those of `hook install` stay.
fn take_out_what_nobody_needs(env: &Env) -> Result<(), Error> {
    let all = register::all(env);
    for agent in agent::all() {
        let needed = all.iter().any(|one| one.hooks.iter().any(|name| name == agent.name()));
        if !needed && agents::reach(env, *agent) == Some(Reach::Auto) {
            agents::uninstall(env, None, *agent, true)?;
        }
    }
    Ok(())
}
