//! Git's own hooks: scripts where Git looks for them, or lines in its configuration where the installed Git has that.
//!
//! What must stay true: a hook that was there runs as before, by its own name and first, and `uninstall` puts it back to the
//! byte; a directory that other repositories use, too, is written to only if that was asked for.

use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use memchr::memmem;

use super::{Row, Scope, State, file, linking, policy};
use crate::durable::{self, At};
use crate::env::Env;
use crate::flow::Error;
use crate::git::{Git, Repository};
use crate::hook::script::{self, ASIDE, Call, Kind};
use crate::hook::{git_command, is_ours};
use crate::link::Link;

pub const PRE_PUSH: &str = "pre-push";
/// These only say something, and only where that was asked for.
pub const WAITING: &[&str] = &["post-checkout", "post-merge"];

/// These mark commits of sessions, where that was asked for: a trailer before a commit is made, a note after.
pub const LINKING: &[&str] = &["prepare-commit-msg", "commit-msg", "post-commit"];

/// Each costs every commit the start of a shell.
fn linking_by(link: Link) -> &'static [&'static str] {
    match link {
        Link::Off => &[],
        Link::Trailer => &LINKING[..2],
        Link::Notes => &LINKING[2..],
    }
}

/// Hooks in the configuration came with this Git.
const CONFIGURED_SINCE: (u32, u32) = (2, 54);

pub fn install(env: &Env, repo: Option<&Repository>, global: bool) -> Result<Vec<Row>, Error> {
    let git = repo.map_or_else(|| Git::at(env, env.cwd()), |repo| repo.git.clone());
    let mut names = vec![PRE_PUSH];
    if repo.is_some_and(|repo| policy::of(repo).waiting) {
        names.extend(WAITING);
    }
    let link = linking::wanted(&git)?;
    names.extend(linking_by(link));
    // Those of another way to mark commits, which was given up.
    let unwanted: Vec<&str> = LINKING.iter().copied().filter(|name| !names.contains(name)).collect();
    let mut rows = Vec::new();
    if has_configured(&git)? {
        for name in names {
            rows.push(configure(&git, name, global)?);
        }
        for name in unwanted {
            unconfigure(&git, name, global)?;
        }
    } else {
        let dir = dir(&git, repo, global)?.ok_or(Error::NoGlobalHooks)?;
        for name in names {
            rows.push(put(&dir, name, global)?);
        }
        for name in unwanted {
            take_out(&dir, name)?;
        }
        if let (Some(repo), Some(row)) = (repo, rows.first_mut()) {
            row.notes.extend(notes(repo, &dir));
        }
    }
    let follow = linking::Follow::of(env, &git, repo, global)?;
    if link != Link::Notes {
        follow.no_more()?;
    } else if let (true, Some(row)) = (follow.ensure()?, rows.last_mut()) {
        row.notes.push(format!("{}, so that notes follow commits that are made anew", linking::FOLLOWS));
    }
    Ok(rows)
}

fn every() -> impl Iterator<Item = &'static str> {
    [PRE_PUSH].into_iter().chain(WAITING.iter().copied()).chain(LINKING.iter().copied())
}

/// Commits are of interest where an agent runs, and nowhere else.
fn variables(name: &str) -> Vec<&'static str> {
    let of_agents = || crate::agent::all().iter().filter_map(|agent| agent.session_variable());
    if LINKING.contains(&name) { of_agents().collect() } else { Vec::new() }
}

pub fn uninstall(env: &Env, repo: Option<&Repository>, global: bool) -> Result<Vec<Row>, Error> {
    let git = repo.map_or_else(|| Git::at(env, env.cwd()), |repo| repo.git.clone());
    let dir = match dir(&git, repo, global) {
        Err(Error::SharedHooks(_)) => None,
        dir => dir?,
    };
    let mut rows = Vec::new();
    for name in every() {
        if let Some(dir) = &dir
            && take_out(dir, name)?
        {
            rows.push(Row { changed: true, ..script_row(dir, name, global, State::Missing) });
        }
        if unconfigure(&git, name, global)? {
            rows.push(Row { changed: true, ..config_row(name, global, State::Missing) });
        }
    }
    linking::Follow::of(env, &git, repo, global)?.no_more()?;
    Ok(rows)
}

pub fn status(env: &Env, repo: Option<&Repository>) -> Result<Vec<Row>, Error> {
    let git = repo.map_or_else(|| Git::at(env, env.cwd()), |repo| repo.git.clone());
    let mut rows = Vec::new();
    for name in every() {
        let before = rows.len();
        for global in [false, true] {
            if (global || repo.is_some()) && configured(&git, name, global)?.is_some() {
                rows.push(config_row(name, global, State::Configured));
            }
        }
        // Where Git looks now, whoever set that.
        if let Some(repo) = repo {
            let dir = hooks_dir(repo)?;
            let state = state(&dir, name)?;
            if state != State::Missing || (rows.len() == before && name == PRE_PUSH) {
                rows.push(script_row(&dir, name, is_shared(repo, &dir)?, state));
            }
        }
    }
    Ok(rows)
}

/// The top of the work tree around.
pub fn top(repo: &Repository) -> Result<PathBuf, Error> {
    path(&repo.git, &["rev-parse", "--show-toplevel"])
}

pub fn path(git: &Git, args: &[&str]) -> Result<PathBuf, Error> {
    let out = git.run(args)?;
    let name = out.strip_suffix(b"\n").unwrap_or(&out);
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(name)))
}

/// The directory of scripts that is meant; none, where Git has no place for those of all repositories.
fn dir(git: &Git, repo: Option<&Repository>, global: bool) -> Result<Option<PathBuf>, Error> {
    if global {
        let out = git.output(&["config", "--global", "--type=path", "--get", "core.hooksPath"], b"")?;
        let name = String::from_utf8_lossy(&out.stdout).trim_end_matches('\n').to_owned();
        return Ok(Some(PathBuf::from(name)).filter(|dir| dir.is_absolute()));
    }
    let Some(repo) = repo else { return Ok(None) };
    let dir = hooks_dir(repo)?;
    if is_shared(repo, &dir)? { Err(Error::SharedHooks(dir)) } else { Ok(Some(dir)) }
}

/// Where Git looks for this repository's hooks. A relative `core.hooksPath` counts from the top of the work tree.
fn hooks_dir(repo: &Repository) -> Result<PathBuf, Error> {
    let git =
        if repo.bare { repo.git.clone() } else { top(repo).map_or_else(|_| repo.git.clone(), |top| repo.git.at_top(&repo.git_dir, &top)) };
    path(&git, &["rev-parse", "--path-format=absolute", "--git-path", "hooks"])
}

fn is_shared(repo: &Repository, dir: &Path) -> Result<bool, Error> {
    let dir = file::real(dir);
    let own = [Some(repo.common.clone()), top(repo).ok()];
    Ok(!own.into_iter().flatten().any(|own| dir.starts_with(file::real(&own)) || dir.starts_with(own)))
}

fn put(dir: &Path, name: &'static str, global: bool) -> Result<Row, Error> {
    let (path, aside) = (dir.join(name), dir.join(ASIDE).join(name));
    fs::create_dir_all(dir).at("create directory", dir)?;
    let executable = Permissions::from_mode(0o755);
    let variables = variables(name);
    let call = Call { hook: name, global, only_with: &variables };
    let meta = fs::symlink_metadata(&path).ok();
    let is_link = meta.as_ref().is_some_and(fs::Metadata::is_symlink);
    let now = if is_link { Some(Vec::new()) } else { file::read(&path)? };
    let kind = now.as_deref().map(script::kind);
    let (after, state) = match (&now, kind) {
        (None, _) => (script::own(&call).into_bytes(), State::Own),
        (_, Some(Kind::Ours)) if aside.symlink_metadata().is_ok() => (script::calling_aside(&call).into_bytes(), State::Chained),
        (_, Some(Kind::Ours)) => (script::own(&call).into_bytes(), State::Own),
        // Whoever wrote into it did so between what we call and what they added.
        (Some(now), Some(Kind::Shared)) if aside.symlink_metadata().is_ok() => (now.clone(), State::Chained),
        (Some(now), Some(Kind::Shared)) => {
            let theirs = script::without(now).unwrap_or_default();
            (script::with(&theirs, &call).unwrap_or_else(|| now.clone()), State::Beside)
        }
        (Some(now), _) => match script::with(now, &call).filter(|_| !is_link && runs(meta.as_ref())) {
            Some(after) => (after, State::Beside),
            None => {
                make_way(&path, &aside)?;
                (script::calling_aside(&call).into_bytes(), State::Chained)
            }
        },
    };
    let mut row = script_row(dir, name, global, state);
    if now.as_deref() == Some(&*after) {
        return Ok(row);
    }
    row.changed = true;
    let permissions = if state == State::Beside { meta.map_or(executable, |meta| meta.permissions()) } else { executable };
    file::replace(&path, &after, permissions)?;
    Ok(row)
}

/// Git runs no other.
fn runs(meta: Option<&fs::Metadata>) -> bool {
    meta.is_some_and(|meta| meta.permissions().mode() & 0o111 != 0)
}

/// A second name for what stands there; the first one is then written over, so that there is a hook at every moment.
fn make_way(path: &Path, aside: &Path) -> Result<(), Error> {
    let dir = durable::parent(aside);
    fs::create_dir_all(dir).at("create directory", dir)?;
    if aside.symlink_metadata().is_ok() {
        // A crash has left it there, or it is somebody's.
        if file::read(aside)? != file::read(path)? {
            return Err(Error::BadSettings { path: aside.to_owned(), why: "something else stands there already".to_owned() });
        }
        file::remove(aside)?;
    }
    match fs::read_link(path) {
        Ok(target) if target.is_relative() => symlink(Path::new("..").join(target), aside).at("create", aside)?,
        Ok(target) => symlink(target, aside).at("create", aside)?,
        Err(_) => fs::hard_link(path, aside).or_else(|_| fs::copy(path, aside).map(drop)).at("create", aside)?,
    }
    Ok(())
}

fn take_out(dir: &Path, name: &str) -> Result<bool, Error> {
    let (path, aside) = (dir.join(name), dir.join(ASIDE).join(name));
    if path.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
        return Ok(false);
    }
    let Some(now) = file::read(&path)? else { return Ok(false) };
    match script::kind(&now) {
        Kind::Theirs => return Ok(false),
        Kind::Shared if aside.symlink_metadata().is_ok() => {
            let why = format!("somebody has written into it; the hook that was there before is '{}'", aside.display());
            return Err(Error::BadSettings { path, why });
        }
        Kind::Shared => {
            let permissions = fs::metadata(&path).at("read", &path)?.permissions();
            file::replace(&path, &script::without(&now).unwrap_or_default(), permissions)?;
        }
        Kind::Ours => match fs::read_link(&aside) {
            Ok(target) => {
                let target = if target.is_relative() { target.strip_prefix("..").map(Path::to_owned).unwrap_or(target) } else { target };
                file::remove(&path)?;
                symlink(target, &path).at("create", &path)?;
                file::remove(&aside)?;
            }
            Err(_) if aside.exists() => fs::rename(&aside, &path).at("replace", &path)?,
            Err(_) => file::remove(&path)?,
        },
    }
    // Others may stand there.
    let _ = fs::remove_dir(durable::parent(&aside));
    Ok(true)
}

fn state(dir: &Path, name: &str) -> Result<State, Error> {
    let path = dir.join(name);
    let Some(now) = file::read(&path)? else { return Ok(State::Missing) };
    Ok(match script::kind(&now) {
        Kind::Theirs => State::Missing,
        Kind::Shared => State::Beside,
        Kind::Ours if dir.join(ASIDE).join(name).symlink_metadata().is_ok() => State::Chained,
        Kind::Ours => State::Own,
    })
}

fn script_row(dir: &Path, name: &'static str, global: bool, state: State) -> Row {
    Row { place: dir.join(name), ..config_row(name, global, state) }
}

fn config_row(name: &'static str, global: bool, state: State) -> Row {
    let scope = if global { Scope::User } else { Scope::Repository };
    Row {
        what: name,
        place: PathBuf::from(format!("hook.{}.command", key(name))),
        scope,
        state,
        events: Vec::new(),
        notes: Vec::new(),
        changed: false,
    }
}

fn has_configured(git: &Git) -> Result<bool, Error> {
    let said = git.lines(&["version"])?.join(" ");
    let version = said.split_whitespace().nth(2).unwrap_or_default();
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    Ok((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= CONFIGURED_SINCE)
}

fn configure(git: &Git, name: &'static str, global: bool) -> Result<Row, Error> {
    let command = git_command(&Call { hook: name, global, only_with: &variables(name) });
    let mut row = config_row(name, global, State::Configured);
    if configured(git, name, global)?.as_deref() != Some(&*command) {
        row.changed = true;
        let section = format!("hook.{}", key(name));
        git.run(&["config", flag(global), "--replace-all", &format!("{section}.event"), name])?;
        git.run(&["config", flag(global), "--replace-all", &format!("{section}.command"), &command])?;
    }
    Ok(row)
}

fn unconfigure(git: &Git, name: &str, global: bool) -> Result<bool, Error> {
    let there = configured(git, name, global)?.is_some();
    if there {
        git.run(&["config", flag(global), "--remove-section", &format!("hook.{}", key(name))])?;
    }
    Ok(there)
}

fn configured(git: &Git, name: &str, global: bool) -> Result<Option<String>, Error> {
    let out = git.output(&["config", flag(global), "--get", &format!("hook.{}.command", key(name))], b"")?;
    let command = String::from_utf8_lossy(&out.stdout).trim_end_matches('\n').to_owned();
    Ok(Some(command).filter(|command| is_ours(command)))
}

fn flag(global: bool) -> &'static str {
    if global { "--global" } else { "--local" }
}

fn key(name: &str) -> String {
    format!("samesession-{name}")
}

/// What whoever installs should know of this place.
fn notes(repo: &Repository, dir: &Path) -> Vec<String> {
    let mut notes = Vec::new();
    let tracked = |name: &str| {
        let file = dir.join(name);
        let args = ["ls-files".as_ref(), "--error-unmatch".as_ref(), "--".as_ref(), file.as_os_str()];
        !repo.bare && repo.git.output(&args, b"").is_ok_and(|out| out.status.success())
    };
    if tracked(PRE_PUSH) {
        notes.push(format!("'{}' is tracked: 'git status' shows the change", dir.join(PRE_PUSH).display()));
    }
    let has = |word: &str| every().any(|name| fs::read(dir.join(name)).is_ok_and(|text| memmem::find(&text, word.as_bytes()).is_some()));
    let managers = [
        ("husky", dir.ends_with(".husky/_"), "when the project is installed"),
        ("lefthook", has("call_lefthook"), "when its configuration changes"),
        ("pre-commit", has("generated by pre-commit"), "when it is installed"),
    ];
    for (manager, _, when) in managers.into_iter().filter(|(_, there, _)| *there) {
        notes.push(format!("{manager} writes its hooks anew {when}: then install again"));
    }
    notes
}
