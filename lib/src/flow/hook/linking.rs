//! What hooks do about a commit that a session makes: a trailer before it is made, or a note after.
//!
//! A commit is a session's if its agent has started whoever makes it, which the agent's variable tells. What must stay true:
//! nothing but session ids is written; a commit that Git only makes anew, picked or rebased, is nobody's but its writer's; a
//! commit never fails because of it; and the setting by which notes follow is taken back only by whom it was made.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{Asked, file, policy, queue};
use crate::agent::{self, Agent};
use crate::durable::{self, At};
use crate::env::Env;
use crate::flow::Error;
use crate::git::{Git, Repository};
use crate::id::{NativeId, SessionId};
use crate::link::{self, Link, NOTES, SETTING};

/// Somebody waits for their commit.
const PATIENCE: Duration = Duration::from_secs(5);
/// Agents start helpers, and these others.
const DEEPEST: usize = 16;

/// How commits shall be marked, by the configuration that Git sees from here.
pub fn wanted(git: &Git) -> Result<Link, Error> {
    let out = git.output(&["config", "--get", SETTING], b"")?;
    parse(Some(String::from_utf8_lossy(&out.stdout).trim()))
}

fn parse(value: Option<&str>) -> Result<Link, Error> {
    let why = "'notes', 'trailer' or 'off' is wanted";
    let nonsense = || Error::Setting { name: SETTING, value: value.unwrap_or_default().chars().take(40).collect(), why };
    Link::parse(value).ok_or_else(nonsense)
}

pub fn mark(env: &Env, asked: &Asked<'_>) -> Result<(), Error> {
    let sids = running(env);
    if sids.is_empty() {
        return Ok(());
    }
    let repo = Repository::open(env, env.cwd())?;
    if !policy::concerns(env, &repo, asked.reach) {
        return Ok(());
    }
    match (parse(repo.config.get(SETTING))?, asked.name) {
        (Link::Notes, "post-commit") => note(&repo, &sids),
        (Link::Trailer, "prepare-commit-msg" | "commit-msg") => add_trailers(env, &repo, asked, &sids),
        _ => Ok(()),
    }
}

/// The sessions whose agents have started us. Where one agent runs in another's tool it is both: either wrote it.
fn running(env: &Env) -> Vec<SessionId> {
    let of = |agent: &dyn Agent| agent.current(env).map(|native| SessionId::derive(agent.name(), &eldest(env, agent, native)));
    agent::all().iter().filter_map(|agent| of(*agent)).collect()
}

/// A helper's session travels with the one that it helps, and has no chain of its own.
fn eldest(env: &Env, agent: &dyn Agent, native: NativeId) -> NativeId {
    let Ok(home) = agent.home(env) else { return native };
    let parent = |of: &NativeId| agent.find(&home, of).ok()?.into_iter().next()?.parent;
    let mut eldest = native;
    for _ in 0..DEEPEST {
        match parent(&eldest) {
            Some(next) => eldest = next,
            None => break,
        }
    }
    eldest
}

fn note(repo: &Repository, sids: &[SessionId]) -> Result<(), Error> {
    let log = |args: &[&str]| {
        let out = repo
            .git
            .with("log.showSignature=false")
            .run(&[&["log", "-1", "--format=%H%x00%cn%x00%ce%x00%gs"], args, &["HEAD", "--"]].concat())?;
        Ok::<_, Error>(String::from_utf8_lossy(&out).trim_end_matches('\n').to_owned())
    };
    let mut made = log(&["-g"])?;
    if made.is_empty() {
        // No reflog is kept.
        made = log(&[])?;
    }
    let fields: Vec<&str> = made.splitn(4, '\0').collect();
    let [id, name, email, how] = fields[..] else { return Ok(()) };
    if is_made_anew(how).map_or_else(|| is_in_progress(repo), Ok)? {
        return Ok(());
    }
    // Whoever has made the commit, however Git was told that.
    let own = [("NAME", name), ("EMAIL", email)].into_iter();
    let git = own.fold(repo.git.clone(), |git, (what, value)| {
        git.env(&format!("GIT_AUTHOR_{what}"), value).env(&format!("GIT_COMMITTER_{what}"), value)
    });
    // Git's own writers of notes do not look whether somebody was faster.
    let dir = queue::dir(&repo.common);
    durable::create_dirs(&dir)?;
    let path = dir.join("notes");
    let lock = File::options().write(true).create(true).truncate(false).open(&path).at("open", &path)?;
    let begun = Instant::now();
    while let Err(error) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        if error != Errno::WOULDBLOCK || begun.elapsed() >= PATIENCE {
            return Err(io::Error::from(error)).at("lock", &path)?;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let before = git.output(&["notes", "--ref", NOTES, "show", id], b"")?;
    if let Some(after) = link::noted(&String::from_utf8_lossy(&before.stdout), sids) {
        git.feed(&["notes", "--ref", NOTES, "add", "-f", "-F", "-", id], after.as_bytes())?;
    }
    Ok(())
}

/// By what the reflog says of it; `None` if that is no word of Git's.
fn is_made_anew(how: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| how.starts_with(word));
    match () {
        () if is(&["rebase", "pull", "cherry-pick", "commit (cherry-pick)"]) => Some(true),
        () if is(&["commit", "revert"]) => Some(false),
        () => None,
    }
}

/// A pick that is being made, or a rebase that is not waiting for anybody.
fn is_in_progress(repo: &Repository) -> Result<bool, Error> {
    let picked = repo.git.output(&["rev-parse", "--verify", "--quiet", "CHERRY_PICK_HEAD"], b"")?;
    let rebase = repo.git_dir.join("rebase-merge");
    Ok(picked.status.success() || rebase.is_dir() && !rebase.join("stopped-sha").exists())
}

/// In the message as it is when Git asks: before an editor sees it, and once more after, if there was none yet.
fn add_trailers(env: &Env, repo: &Repository, asked: &Asked<'_>, sids: &[SessionId]) -> Result<(), Error> {
    let Some(name) = asked.args.first() else { return Ok(()) };
    let path = env.cwd().join(name);
    // `git merge` by itself: nobody has written anything.
    let merged = Path::new(name).file_name().is_some_and(|name| name == "MERGE_MSG");
    if merged || is_in_progress(repo)? {
        return Ok(());
    }
    let text = fs::read(&path).at("read", &path)?;
    let text = String::from_utf8_lossy(&text);
    let there = link::in_message(&text);
    let missing: Vec<&SessionId> = sids.iter().filter(|sid| !there.contains(sid)).collect();
    let words = repo.git.feed(&["stripspace", "--strip-comments"], text.as_bytes())?;
    // Git gives up a commit that has no message, or a template's that nobody has touched: a trailer would be words, too.
    let template = queue::dir(&repo.common).join("template");
    let unwritten = match (asked.name, asked.args.get(1).map(String::as_str)) {
        ("prepare-commit-msg", None | Some("")) => true,
        ("prepare-commit-msg", Some("template")) => {
            durable::create_dirs(durable::parent(&template))?;
            durable::write_atomic(&template, &words)?;
            true
        }
        _ => words.is_empty() || fs::read(&template).is_ok_and(|template| template == words),
    };
    if unwritten || missing.is_empty() {
        return Ok(());
    }
    file::remove(&template)?;
    let mut args: Vec<String> = ["interpret-trailers", "--in-place", "--if-exists", "addIfDifferent"].map(str::to_owned).to_vec();
    for sid in missing {
        args.extend(["--trailer".to_owned(), link::trailer(sid)]);
    }
    args.push(path.to_string_lossy().into_owned());
    repo.git.run(&args)?;
    Ok(())
}

/// The setting by which Git takes notes along when it makes commits anew.
pub const FOLLOWS: &str = "notes.rewriteRef is refs/notes/samesession";
const REWRITE: &str = "notes.rewriteRef";

pub struct Follow<'a> {
    git: &'a Git,
    scope: &'static str,
    /// There if the setting is ours.
    mark: Option<PathBuf>,
}

impl<'a> Follow<'a> {
    pub fn of(env: &Env, git: &'a Git, repo: Option<&Repository>, global: bool) -> Result<Follow<'a>, Error> {
        let mark = match global {
            true => Some(env.config_dir()?.join("hooks").join("notes-follow")),
            false => repo.map(|repo| queue::dir(&repo.common).join("notes-follow")),
        };
        Ok(Follow { git, scope: if global { "--global" } else { "--local" }, mark })
    }

    /// Whether it was set now.
    pub fn ensure(&self) -> Result<bool, Error> {
        let Some(mark) = &self.mark else { return Ok(false) };
        let now = self.git.output(&["config", "--get-all", REWRITE], b"")?;
        if String::from_utf8_lossy(&now.stdout).lines().any(|value| value == NOTES || value == "refs/notes/*") {
            return Ok(false);
        }
        durable::create_dirs(durable::parent(mark))?;
        durable::write_atomic(mark, b"")?;
        self.git.run(&["config", self.scope, "--add", REWRITE, NOTES])?;
        Ok(true)
    }

    /// What somebody else has set stays.
    pub fn no_more(&self) -> Result<(), Error> {
        let Some(mark) = self.mark.as_ref().filter(|mark| mark.exists()) else { return Ok(()) };
        // That it is not there any more is fine.
        let out = self.git.output(&["config", self.scope, "--fixed-value", "--unset-all", REWRITE, NOTES], b"")?;
        match out.status.code() {
            Some(0 | 5) => file::remove(mark),
            _ => Err(crate::git::failed(&["config"], &out).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_makes_anew_is_told_by_its_own_words() {
        for (how, anew) in [
            ("commit: x", Some(false)),
            ("commit (initial): x", Some(false)),
            ("commit (amend): x", Some(false)),
            ("commit (merge): x", Some(false)),
            ("revert: Revert \"x\"", Some(false)),
            ("commit (cherry-pick): x", Some(true)),
            ("cherry-pick: x", Some(true)),
            ("rebase (pick): x", Some(true)),
            ("rebase -i (squash): x", Some(true)),
            ("pull --rebase (pick): x", Some(true)),
            ("my tool: x", None),
            ("", None),
        ] {
            assert_eq!(is_made_anew(how), anew, "{how}");
        }
    }
}
