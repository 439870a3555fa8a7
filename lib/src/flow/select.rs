//! Which session is meant: a native id, one of ours, a unique prefix of either, or the current one.

use super::{Candidate, Error, placed};
use crate::agent::{self, Agent, Home, Session};
use crate::env::Env;
use crate::git::Repo;
use crate::id::NativeId;

/// Two sessions written to within this time of each other are both "the one I am working in".
const TOO_CLOSE: std::time::Duration = std::time::Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The session that runs us, else the newest of this repository.
    Current,
    /// Whatever the user typed.
    Named(String),
}

impl Selector {
    pub fn parse(text: Option<&str>) -> Selector {
        match text {
            None | Some("current") => Selector::Current,
            Some(name) => Selector::Named(name.to_owned()),
        }
    }
}

pub struct Selected {
    pub agent: &'static dyn Agent,
    pub home: Home,
    pub session: Session,
}

/// Which session is meant, without doing anything with it: an ambiguity can then be resolved by asking.
pub fn which(env: &Env, selector: &Selector, only: Option<&str>) -> Result<Candidate, Error> {
    let selected = select(env, selector, only)?;
    Ok(candidate(&selected))
}

pub fn select(env: &Env, selector: &Selector, only: Option<&str>) -> Result<Selected, Error> {
    let agents: Vec<&'static dyn Agent> = match only {
        Some(name) => vec![super::agent_named(name)?],
        None => agent::all().to_vec(),
    };
    match selector {
        Selector::Named(name) => named(env, &agents, name),
        Selector::Current => current(env, &agents),
    }
}

fn named(env: &Env, agents: &[&'static dyn Agent], name: &str) -> Result<Selected, Error> {
    if let Ok(native) = NativeId::parse_uuid(name) {
        let found = exactly(env, agents, |_| Some(native.clone()))?;
        return one(found, name);
    }
    let mut found = Vec::new();
    for &agent in agents {
        let home = agent.home(env)?;
        for session in placed::discover(agent, &home)?.sessions {
            if session.native.as_str().starts_with(name) || session.sid().as_str().starts_with(name) {
                found.push(Selected { agent, home: home.clone(), session });
            }
        }
    }
    one(found, name)
}

fn current(env: &Env, agents: &[&'static dyn Agent]) -> Result<Selected, Error> {
    let running = exactly(env, agents, |agent| agent.current(env))?;
    if !running.is_empty() {
        return one(running, "current");
    }
    let repo = Repo::around(env.cwd());
    let mut found = Vec::new();
    for &agent in agents {
        let home = agent.home(env)?;
        for session in placed::discover(agent, &home)?.sessions {
            if session.parent.is_none() && belongs(&session, env, repo.as_ref()) {
                found.push(Selected { agent, home: home.clone(), session });
            }
        }
    }
    found.sort_by_key(|selected| std::cmp::Reverse(selected.session.modified));
    let newest = found.first().ok_or(Error::NoCurrentSession(if repo.is_some() { "repository" } else { "directory" }))?;
    let horizon = newest.session.modified.checked_sub(TOO_CLOSE);
    let live: Vec<bool> = found.iter().map(|s| s.agent.live(&s.home, &s.session.native).is_some()).collect();
    let mut index = 0;
    found.retain(|selected| {
        let (is_live, is_recent) = (live[index], Some(selected.session.modified) >= horizon);
        index += 1;
        if live.contains(&true) { is_live } else { is_recent }
    });
    one(found, "current")
}

/// Whether the session's working directory is in this repository, or below this directory where there is none.
pub fn belongs(session: &Session, env: &Env, repo: Option<&Repo>) -> bool {
    session.cwd.as_deref().is_some_and(|cwd| match repo {
        Some(repo) => repo.contains(cwd),
        None => cwd.starts_with(env.cwd()),
    })
}

fn exactly(env: &Env, agents: &[&'static dyn Agent], id: impl Fn(&dyn Agent) -> Option<NativeId>) -> Result<Vec<Selected>, Error> {
    let mut found = Vec::new();
    for &agent in agents {
        if let Some(native) = id(agent) {
            let home = agent.home(env)?;
            // Of several copies the one that was written last is the one that is used.
            let session = placed::find(agent, &home, &native)?.into_iter().next();
            found.extend(session.map(|session| Selected { agent, home, session }));
        }
    }
    Ok(found)
}

fn one(mut found: Vec<Selected>, what: &str) -> Result<Selected, Error> {
    found.sort_by_key(|selected| std::cmp::Reverse(selected.session.modified));
    let mut ids: Vec<_> = found.iter().map(|selected| (selected.agent.name(), selected.session.native.clone())).collect();
    ids.sort();
    ids.dedup();
    if ids.len() > 1 {
        return Err(Error::Ambiguous { what: what.to_owned(), candidates: found.iter().map(candidate).collect() });
    }
    found.into_iter().next().ok_or_else(|| Error::NoSuchSession(what.chars().take(80).collect()))
}

fn candidate(selected: &Selected) -> Candidate {
    Candidate { agent: selected.agent.name(), native: selected.session.native.to_string(), title: selected.session.title.clone() }
}
