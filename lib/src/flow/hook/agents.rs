//! Agents' settings files: our entries in and out, for one project or for all sessions of a user.
//!
//! Knows where the files are, by each agent's own table, and not what they look like.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Row, State, file, kept};
use crate::agent::Agent;
use crate::agent::hooks::{Hooks, NOTIFY};
use crate::durable;
use crate::env::Env;
use crate::flow::Error;
use crate::git::Repository;
use crate::hook::{Reach, agent_command, exclude, settings, toml};

/// Whose sessions a hook is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    Repository,
    User,
}

/// A file that will be written.
#[derive(Debug)]
pub struct Planned {
    path: PathBuf,
    before: Option<String>,
    after: String,
    more: Option<Box<Planned>>,
    /// Where to say that Git shall not show it, and how it is called there.
    hide: Option<(PathBuf, &'static str)>,
    row: Row,
}

/// What would be written: a file that cannot be understood is told before any is touched.
pub fn plan(env: &Env, repo: Option<&Repository>, agents: &[&'static dyn Agent], reach: Reach) -> Result<Vec<Planned>, Error> {
    agents.iter().map(|agent| planned(env, repo, *agent, reach)).collect()
}

fn planned(env: &Env, repo: Option<&Repository>, agent: &'static dyn Agent, reach: Reach) -> Result<Planned, Error> {
    let hooks = agent.hooks().ok_or(Error::NoAgentHooks(agent.title()))?;
    let global = reach != Reach::Here;
    let path = place(env, repo, agent, hooks, global)?;
    let before = text(&path)?;
    // Those that go further are for what `auto on` wants, too.
    let reach = if reach == Reach::Auto { Reach::of(before.as_deref().unwrap_or_default()).unwrap_or(reach) } else { reach };
    let after = settings::with(before.as_deref().unwrap_or_default(), agent.name(), &hooks.names(), reach);
    let after = after.map_err(|why| bad(&path, why))?;
    let mut notes: Vec<String> = hooks.consent.map(str::to_owned).into_iter().collect();
    let mut row = row(agent, &path, global, &after);
    row.changed = before.as_deref() != Some(&*after);
    let more = match hooks.notify.filter(|_| global) {
        None => None,
        Some(name) => {
            let path = agent.home(env)?.root.join(name);
            let before = text(&path)?;
            let now = before.as_deref().unwrap_or_default();
            let after = toml::with(now, &agent_command(agent.name(), NOTIFY, reach)).map_err(|why| bad(&path, why))?;
            if toml::find(now) == Ok(toml::Found::Theirs) {
                notes.push(format!("'{}' has a 'notify' of its own, which stays as it is", path.display()));
            } else {
                row.events.push(NOTIFY.to_owned());
            }
            row.changed |= before.as_deref().unwrap_or_default() != after;
            let row = row.clone();
            Some(Box::new(Planned { path, before, after, more: None, hide: None, row }))
        }
    };
    row.notes = notes;
    // A new file is for this machine: neither 'git status' nor a capsule has to do with it.
    let hide = match repo.filter(|repo| !global && before.is_none() && is_shown(repo, &path)) {
        Some(repo) => Some((excludes(repo)?, hooks.project)),
        None => None,
    };
    Ok(Planned { path, before, after, more, hide, row })
}

impl Planned {
    /// Whether its agent will call for sure, whatever its user does or does not do.
    pub fn is_certain(&self, agent: &dyn Agent) -> bool {
        agent.hooks().is_some_and(|hooks| hooks.consent.is_none() || self.row.events.iter().any(|event| event == NOTIFY))
    }

    pub fn write(self, env: &Env) -> Result<Row, Error> {
        for one in [Some(&self), self.more.as_deref()].into_iter().flatten() {
            if one.before.as_deref().unwrap_or_default() != one.after {
                kept::keep(env, &one.path, one.before.as_deref(), &one.after)?;
                file::write(&one.path, one.after.as_bytes(), 0o600)?;
            }
        }
        if let Some((path, name)) = &self.hide {
            let now = text(path)?.unwrap_or_default();
            file::write(path, exclude::with(&now, name).as_bytes(), 0o644)?;
        }
        Ok(self.row)
    }
}

/// Whether what is there is understood.
pub fn check(env: &Env, repo: Option<&Repository>, agent: &dyn Agent, global: bool) -> Result<(), Error> {
    let Some(hooks) = agent.hooks().filter(|_| global || repo.is_some_and(|repo| !repo.bare)) else { return Ok(()) };
    let path = place(env, repo, agent, hooks, global)?;
    if let Some(now) = text(&path)? {
        settings::without(&now).map_err(|why| bad(&path, why))?;
    }
    if let Some(name) = hooks.notify.filter(|_| global) {
        let path = agent.home(env)?.root.join(name);
        let now = text(&path)?.unwrap_or_default();
        toml::without(&now).map_err(|why| bad(&path, why))?;
    }
    Ok(())
}

pub fn uninstall(env: &Env, repo: Option<&Repository>, agent: &'static dyn Agent, global: bool) -> Result<Option<Row>, Error> {
    // A bare repository has no settings of a project.
    let Some(hooks) = agent.hooks().filter(|_| global || repo.is_some_and(|repo| !repo.bare)) else { return Ok(None) };
    let path = place(env, repo, agent, hooks, global)?;
    let mut changed = take_out(env, &path, settings::without)?;
    if let Some(name) = hooks.notify.filter(|_| global) {
        changed |= take_out(env, &agent.home(env)?.root.join(name), toml::without)?;
    }
    if let Some(repo) = repo.filter(|_| !global && !path.exists()) {
        show_again(&excludes(repo)?, hooks.project)?;
    }
    Ok(changed.then(|| Row { changed, ..row(agent, &path, global, "{}") }))
}

/// Whether those for all of a user's sessions are there, and how far they go.
pub fn reach(env: &Env, agent: &dyn Agent) -> Option<Reach> {
    let hooks = agent.hooks()?;
    let root = agent.home(env).ok()?.root;
    [Some(hooks.user), hooks.notify].into_iter().flatten().find_map(|name| Reach::of(&text(&root.join(name)).ok()??))
}

fn take_out(env: &Env, path: &Path, without: impl Fn(&str) -> Result<String, String>) -> Result<bool, Error> {
    let Some(now) = text(path)? else { return Ok(false) };
    let left = without(&now).map_err(|why| bad(path, why))?;
    if left == now {
        return Ok(false);
    }
    match kept::before(env, path, &now)? {
        Some(None) => {
            file::remove(path)?;
            // An empty directory would travel with the work tree.
            let _ = std::fs::remove_dir(durable::parent(path));
        }
        Some(Some(before)) => file::write(path, before.as_bytes(), 0o600)?,
        None => file::replace(&file::real(path), left.as_bytes(), permissions(path))?,
    }
    kept::forget(env, path)?;
    Ok(true)
}

/// One row for each place in which an agent's hooks are, and one that says so if they are nowhere.
pub fn status(env: &Env, repo: Option<&Repository>, agent: &'static dyn Agent) -> Result<Vec<Row>, Error> {
    let Some(hooks) = agent.hooks() else { return Ok(Vec::new()) };
    let mut rows = Vec::new();
    for global in [false, true] {
        if !global && repo.is_none_or(|repo| repo.bare) {
            continue;
        }
        let path = place(env, repo, agent, hooks, global)?;
        let now = text(&path);
        let (now, broken) = match now {
            Ok(now) => (now.unwrap_or_default(), None),
            Err(error) => (String::new(), Some(error.to_string())),
        };
        let mut row = row(agent, &path, global, &now);
        if global && Reach::of(&now) == Some(Reach::Auto) {
            row.notes.push("only where 'auto on' was said".to_owned());
        }
        if let Err(why) = settings::installed(if now.trim().is_empty() { "{}" } else { &now }) {
            row.notes.push(format!("it cannot be read: {why}"));
        }
        row.notes.extend(broken);
        if let Some(name) = hooks.notify.filter(|_| global) {
            let config = text(&agent.home(env)?.root.join(name)).ok().flatten().unwrap_or_default();
            if toml::find(&config) == Ok(toml::Found::Ours) {
                row.events.push(NOTIFY.to_owned());
                row.state = State::Beside;
            }
        }
        let missing: Vec<&str> = hooks.names().into_iter().filter(|name| !row.events.iter().any(|event| event == name)).collect();
        if row.state != State::Missing && !missing.is_empty() {
            row.notes.push(format!("these are gone: {}; to put them back, install again", missing.join(", ")));
        }
        rows.push(row);
    }
    if rows.iter().any(|row| row.state != State::Missing) {
        rows.retain(|row| row.state != State::Missing || !row.notes.is_empty());
    } else {
        rows.truncate(1);
    }
    Ok(rows)
}

fn row(agent: &'static dyn Agent, path: &Path, global: bool, text: &str) -> Row {
    let events = settings::installed(text).unwrap_or_default();
    let state = if events.is_empty() { State::Missing } else { State::Beside };
    let scope = if global { Scope::User } else { Scope::Repository };
    Row { what: agent.name(), place: path.to_owned(), scope, state, events, notes: Vec::new(), changed: false }
}

fn place(env: &Env, repo: Option<&Repository>, agent: &dyn Agent, hooks: &Hooks, global: bool) -> Result<PathBuf, Error> {
    if global {
        return Ok(agent.home(env)?.root.join(hooks.user));
    }
    let repo = repo.filter(|repo| !repo.bare).ok_or(Error::NoWorkTree)?;
    Ok(super::git::top(repo)?.join(hooks.project))
}

fn text(path: &Path) -> Result<Option<String>, Error> {
    let Some(bytes) = file::read(path)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|_| bad(path, "it is not text".to_owned()))
}

fn bad(path: &Path, why: String) -> Error {
    Error::BadSettings { path: path.to_owned(), why }
}

fn permissions(path: &Path) -> Permissions {
    std::fs::metadata(path).map_or_else(|_| Permissions::from_mode(0o600), |meta| meta.permissions())
}

fn show_again(path: &Path, name: &str) -> Result<(), Error> {
    let Some(now) = text(path)? else { return Ok(()) };
    match exclude::without(&now, name) {
        left if left == now => Ok(()),
        left if left.is_empty() => file::remove(path),
        left => file::write(path, left.as_bytes(), 0o644),
    }
}

/// Whether 'git status' would show it.
fn is_shown(repo: &Repository, path: &Path) -> bool {
    let args = ["check-ignore".as_ref(), "--quiet".as_ref(), "--".as_ref(), path.as_os_str()];
    repo.git.output(&args, b"").is_ok_and(|out| out.status.code() == Some(1))
}

fn excludes(repo: &Repository) -> Result<PathBuf, Error> {
    super::git::path(&repo.git, &["rev-parse", "--path-format=absolute", "--git-path", "info/exclude"])
}
