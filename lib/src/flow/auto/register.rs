//! Which repositories `auto` is on in, on this device: a small file for each, and one that says that all of it pauses.
//!
//! In this device's own directory, so that nothing of it is in a repository, or travels. What must stay true: it is read at
//! every call of an agent's hook, so it costs one small file; and a file that makes no sense is none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::durable::{self, At};
use crate::env::Env;
use crate::flow::Error;
use crate::id::hex;
use crate::path;

const SCHEMA: &str = "samesession.auto-repository/1";

/// Of a session that is watched, checkpoints are made no more often than this unless somebody has said so.
const EVERY: Duration = Duration::from_secs(60);

/// What is to be more seldom than this happens by itself no more.
pub const SELDOM: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    schema: String,
    /// `.git` of all work trees.
    #[serde(with = "path::as_text")]
    pub common: PathBuf,
    /// In seconds, where somebody has said so.
    pub every: Option<u64>,
    /// Checkpoints are sent, too.
    pub push: bool,
    /// The agents whose own hooks call.
    pub hooks: Vec<String>,
    /// The agents whose homes are watched.
    pub watch: Vec<String>,
}

impl Registration {
    pub fn new(common: &Path, every: Option<Duration>, push: bool) -> Registration {
        let every = every.map(|every| every.as_secs());
        Registration { schema: SCHEMA.to_owned(), common: common.to_owned(), every, push, hooks: Vec::new(), watch: Vec::new() }
    }

    pub fn every(&self) -> Duration {
        self.every.map_or(EVERY, |seconds| Duration::from_secs(seconds.max(1)).min(SELDOM))
    }

    pub fn watches(&self, agent: &str) -> bool {
        self.watch.iter().any(|name| name == agent)
    }

    /// A disk that is not there now, or a repository that is gone for good: that cannot be told.
    pub fn is_there(&self) -> bool {
        self.common.is_dir()
    }
}

pub fn dir(env: &Env) -> Result<PathBuf, Error> {
    Ok(env.config_dir()?.join("auto"))
}

pub fn repositories(env: &Env) -> Result<PathBuf, Error> {
    Ok(dir(env)?.join("repositories"))
}

pub fn put(env: &Env, registration: &Registration) -> Result<(), Error> {
    let path = place(env, &registration.common)?;
    let mut json = serde_json::to_vec_pretty(registration).map_err(io::Error::from).at("write", &path)?;
    json.push(b'\n');
    durable::create_dirs(durable::parent(&path))?;
    Ok(durable::write_atomic(&path, &json)?)
}

/// Whether there was one.
pub fn remove(env: &Env, common: &Path) -> Result<bool, Error> {
    let path = place(env, common)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => Ok(removed.map(|()| true).at("remove", &path)?),
    }
}

pub fn of(env: &Env, common: &Path) -> Option<Registration> {
    read(&place(env, common).ok()?)
}

/// The same unless all of it pauses.
pub fn at_work(env: &Env, common: &Path) -> Option<Registration> {
    of(env, common).filter(|_| !paused(env))
}

pub fn all(env: &Env) -> Vec<Registration> {
    let Ok(dir) = repositories(env) else { return Vec::new() };
    let mut all: Vec<Registration> = fs::read_dir(dir).into_iter().flatten().flatten().filter_map(|entry| read(&entry.path())).collect();
    all.sort_by(|a, b| a.common.cmp(&b.common));
    all
}

/// Those that need a watcher.
pub fn watched(env: &Env) -> Vec<Registration> {
    let mut all = all(env);
    all.retain(|one| !one.watch.is_empty() && one.is_there());
    all
}

pub fn paused(env: &Env) -> bool {
    pause_file(env).is_ok_and(|path| path.exists())
}

/// Whether that changed anything.
pub fn pause(env: &Env, pause: bool) -> Result<bool, Error> {
    let path = pause_file(env)?;
    if path.exists() == pause {
        return Ok(false);
    }
    if pause {
        durable::create_dirs(durable::parent(&path))?;
        durable::write_atomic(&path, b"")?;
    } else {
        fs::remove_file(&path).at("remove", &path)?;
    }
    Ok(true)
}

fn pause_file(env: &Env) -> Result<PathBuf, Error> {
    Ok(dir(env)?.join("paused"))
}

fn place(env: &Env, common: &Path) -> Result<PathBuf, Error> {
    let name = hex(&Sha256::digest(path::to_text(common).as_bytes()));
    Ok(repositories(env)?.join(format!("{}.json", &name[..16])))
}

fn read(path: &Path) -> Option<Registration> {
    serde_json::from_slice(&fs::read(path).ok()?).ok().filter(|one: &Registration| one.schema == SCHEMA)
}
