//! `sessions` and `show`: what is on this machine, and what one session consists of.

use std::path::PathBuf;

use super::select::{self, Selector};
use super::{Error, placed};
use crate::agent::{self, Artifact, Broken, Home, Live, ResumeCommand, Session, Source};
use crate::env::Env;
use crate::git::Repo;

#[derive(Debug, Clone, Default)]
pub struct Options {
    pub agent: Option<String>,
    /// Every session, not only those of this repository.
    pub all: bool,
    /// Sessions that another session started, too.
    pub helpers: bool,
}

pub struct Listed {
    pub session: Session,
    /// Where it stands.
    pub home: Home,
    pub live: Option<Live>,
}

pub struct Outcome {
    pub sessions: Vec<Listed>,
    pub broken: Vec<Broken>,
}

/// Newest first.
pub fn sessions(env: &Env, options: &Options) -> Result<Outcome, Error> {
    let agents = match &options.agent {
        Some(name) => vec![super::agent_named(name)?],
        None => agent::all().to_vec(),
    };
    let repo = if options.all { None } else { Repo::around(env.cwd()) };
    let mut outcome = Outcome { sessions: Vec::new(), broken: Vec::new() };
    for agent in &agents {
        let home = agent.home(env)?;
        let found = placed::discover(*agent, &home)?;
        outcome.broken.extend(found.broken);
        for session in found.sessions {
            let wanted = options.all || select::belongs(&session, env, repo.as_ref());
            if wanted && (options.helpers || session.parent.is_none()) {
                outcome.sessions.push(Listed { live: None, home: home.clone(), session });
            }
        }
        let running = agent.running(&home);
        for listed in outcome.sessions.iter_mut().filter(|listed| listed.session.agent == agent.name()) {
            listed.live = running.iter().find(|(id, _)| *id == listed.session.native).map(|(_, live)| live.clone());
        }
    }
    outcome.sessions.sort_by(|a, b| b.session.modified.cmp(&a.session.modified).then(a.session.native.cmp(&b.session.native)));
    Ok(outcome)
}

pub struct Shown {
    pub session: Session,
    pub home: Home,
    pub live: Option<Live>,
    pub files: Vec<ShownFile>,
    /// Where the same id stands besides.
    pub copies: Vec<PathBuf>,
    pub resume: Option<ResumeCommand>,
}

pub struct ShownFile {
    pub artifact: Artifact,
    pub size: u64,
}

pub fn show(env: &Env, selector: &Selector, only: Option<&str>) -> Result<Shown, Error> {
    let selected = select::select(env, selector, only)?;
    let (agent, home, session) = (selected.agent, selected.home, selected.session);
    let files = agent.artifacts(&home, &session)?.into_iter().map(|artifact| ShownFile { size: size_of(&artifact), artifact }).collect();
    let places = agent.find(&home, &session.native)?;
    Ok(Shown {
        live: agent.live(&home, &session.native),
        copies: places.into_iter().map(|place| place.transcript).filter(|path| *path != session.transcript).collect(),
        resume: session.cwd.as_deref().map(|cwd| agent.resume(&session.native, cwd)),
        files,
        home,
        session,
    })
}

pub(super) fn size_of(artifact: &Artifact) -> u64 {
    match &artifact.source {
        Source::File(path) => std::fs::metadata(path).map_or(0, |meta| meta.len()),
        Source::Extract(bytes) => bytes.len() as u64,
    }
}
