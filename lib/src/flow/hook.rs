//! `hook`: Git's and the agents' own hooks, by which checkpoints are made and sent without being asked for.
//!
//! What must stay true: nothing that is somebody else's is lost or changed; a hook never makes what it stands in fail, nor
//! wait longer than it is told to; and hooks that serve all of a user's repositories send nothing from one in which `init`
//! has not said where sessions go.

pub(super) mod agents;
mod file;
mod git;
mod kept;
mod linking;
pub(super) mod log;
mod policy;
pub(super) mod queue;
pub(super) mod run;
mod tell;
mod waiting;
pub(super) mod work;

pub use agents::Scope;
pub use log::Line;
pub use run::{Answer, Asked, run};
pub use work::{Report, Row as Done, foreground};

use std::path::PathBuf;

use super::Error;
use crate::agent::{self, Agent};
use crate::env::Env;
use crate::git::Repository;
use crate::hook::Reach;

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Git's hooks.
    pub git: bool,
    /// These agents' hooks.
    pub agents: Vec<String>,
    /// For all of the user's repositories, not only this one.
    pub global: bool,
}

/// One hook, or the hooks of one agent, as they are now.
#[derive(Debug, Clone)]
pub struct Row {
    /// The hook of Git, or the agent.
    pub what: &'static str,
    pub place: PathBuf,
    pub scope: Scope,
    pub state: State,
    /// Of an agent, those that call us.
    pub events: Vec<String>,
    /// What its user should know.
    pub notes: Vec<String>,
    pub changed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Missing,
    /// A file of our own.
    Own,
    /// Our lines in somebody's file.
    Beside,
    /// One that was there before is called from ours.
    Chained,
    /// In Git's configuration.
    Configured,
}

/// Those that are not there yet come; nothing is changed unless all of it can be.
pub fn install(env: &Env, options: &Options) -> Result<Vec<Row>, Error> {
    let repo = repository(env, options)?;
    let chosen = choose(env, options)?;
    let files = agents::plan(env, repo.as_ref(), &chosen.agents, if options.global { Reach::Stores } else { Reach::Here })?;
    let mut rows = Vec::new();
    if chosen.git {
        match git::install(env, repo.as_ref(), options.global) {
            // Nobody has asked for these by name.
            Err(Error::NoGlobalHooks) if !options.git => {}
            installed => rows.extend(installed?),
        }
    }
    for file in files {
        rows.push(file.write(env)?);
    }
    if let Some(repo) = repo.filter(|_| !options.global) {
        queue::since(&repo.common, env.now())?;
    }
    Ok(rows)
}

/// What `install` has brought goes; what was there before is there again.
pub fn uninstall(env: &Env, options: &Options) -> Result<Vec<Row>, Error> {
    let repo = repository(env, options)?;
    let every = !options.git && options.agents.is_empty();
    let agents = if every { agent::all().to_vec() } else { named(&options.agents)? };
    // What cannot be understood is told before anything is taken out.
    for agent in &agents {
        agents::check(env, repo.as_ref(), *agent, options.global)?;
    }
    let mut rows = Vec::new();
    if options.git || every {
        rows.extend(git::uninstall(env, repo.as_ref(), options.global)?);
    }
    for agent in agents {
        rows.extend(agents::uninstall(env, repo.as_ref(), agent, options.global)?);
    }
    Ok(rows)
}

#[derive(Debug)]
pub struct Status {
    pub rows: Vec<Row>,
    /// Where what happened is written down; nothing outside a repository.
    pub log: Option<PathBuf>,
    pub lines: Vec<Line>,
}

pub fn status(env: &Env) -> Result<Status, Error> {
    let repo = match Repository::open(env, env.cwd()) {
        Err(crate::git::Error::NoRepository) => None,
        opened => Some(opened?),
    };
    let mut rows = git::status(env, repo.as_ref())?;
    for agent in agent::all() {
        rows.extend(agents::status(env, repo.as_ref(), *agent)?);
    }
    let lines = repo.as_ref().map(|repo| log::tail(&log::path(&repo.common))).unwrap_or_default();
    Ok(Status { rows, log: repo.map(|repo| log::path(&repo.common)), lines })
}

struct Chosen {
    git: bool,
    agents: Vec<&'static dyn Agent>,
}

/// Without a choice: Git, and every agent that is in use here.
fn choose(env: &Env, options: &Options) -> Result<Chosen, Error> {
    let agents = named(&options.agents)?;
    if options.git || !agents.is_empty() {
        return Ok(Chosen { git: options.git, agents });
    }
    let mut used = Vec::new();
    for agent in agent::all() {
        if agent.hooks().is_some() && agent.home(env)?.root.is_dir() {
            used.push(*agent);
        }
    }
    Ok(Chosen { git: true, agents: used })
}

fn named(names: &[String]) -> Result<Vec<&'static dyn Agent>, Error> {
    names.iter().map(|name| super::agent_named(name)).collect()
}

/// For all repositories none is needed.
fn repository(env: &Env, options: &Options) -> Result<Option<Repository>, Error> {
    match Repository::open(env, env.cwd()) {
        Err(crate::git::Error::NoRepository) if options.global => Ok(None),
        opened => Ok(Some(opened?)),
    }
}
