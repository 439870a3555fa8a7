//! `undo`: a restore taken back: the work tree, the branch, the session's files, from what its journal holds.
//!
//! What must stay true: what somebody did since is not taken away unless that is asked for, and then only in the work
//! tree: a session that has gone on is never cut.

use std::fs;
use std::path::{Path, PathBuf};

use super::Error;
use super::journal::{Journal, State};
use super::recover::{self, Recovered};
use super::stage::{self, DIR};
use crate::agent::{self, Agent, Home, Incoming};
use crate::env::Env;
use crate::id::NativeId;

#[derive(Debug)]
pub struct Outcome {
    pub id: String,
    pub agent: &'static str,
    pub native: String,
    /// The work tree that was taken away or put back.
    pub work_tree: Option<PathBuf>,
    pub recovered: Vec<Recovered>,
}

/// The restore with this id, or the newest.
pub fn undo(env: &Env, id: Option<&str>, force: bool) -> Result<Outcome, Error> {
    let (agent, home, dir) = find(env, id)?;
    let _lock = stage::lock(&home.root)?;
    let recovered = recover::recover(env, agent, &home)?;
    let name = || dir.file_name().map(|name| name.to_string_lossy().into_owned());
    let journal = Journal::read(&dir).ok_or_else(|| Error::NothingToUndo(name()))?;
    let native = NativeId::parse(&journal.native_id).map_err(|error| crate::capsule::Error::Damaged(error.to_string()))?;
    if !journal.steps.is_empty()
        && let Some(live) = agent.live(&home, &native)
    {
        return Err(Error::Live { title: agent.title(), pid: live.pid });
    }
    let work_tree = journal.workspace.as_ref().map(|moved| moved.undo.at.clone());
    if !journal.undo(env, &dir, force)? {
        return Err(Error::UsedSince(if journal.is_untouched() { work_tree.unwrap_or(journal.cwd) } else { journal.cwd }));
    }
    if journal.aside {
        let (files, places) = journal.settled_view();
        // The files stand, and an index that cannot be told is told by whoever restores it.
        let _ = agent.settle(&home, &Incoming { native: &native, cwd: &journal.cwd, files: &files }, &places);
    } else {
        // What is gone must not stay listed; an index that is held says so, and nothing else is lost by that.
        let files: Vec<PathBuf> = journal.steps.iter().map(|step| step.target.clone()).collect();
        agent.unsettle(&home, &files)?;
    }
    Ok(Outcome { id: name().unwrap_or_default(), agent: agent.name(), native: journal.native_id, work_tree, recovered })
}

fn find(env: &Env, id: Option<&str>) -> Result<(&'static dyn Agent, Home, PathBuf), Error> {
    let mut newest: Option<(String, &'static dyn Agent, Home, PathBuf)> = None;
    for agent in agent::all().iter().copied() {
        let home = agent.home(env)?;
        for dir in journals(&home.root) {
            let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let Some(journal) = Journal::read(&dir).filter(|journal| journal.agent == agent.name() && journal.state != State::Prepared)
            else {
                continue;
            };
            if id.is_some_and(|id| id != name) || newest.as_ref().is_some_and(|(made, ..)| *made > journal.created) {
                continue;
            }
            newest = Some((journal.created, agent, home.clone(), dir));
        }
    }
    let (_, agent, home, dir) = newest.ok_or_else(|| Error::NothingToUndo(id.map(|id| id.chars().take(60).collect())))?;
    Ok((agent, home, dir))
}

fn journals(home: &Path) -> Vec<PathBuf> {
    fs::read_dir(home.join(DIR)).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
