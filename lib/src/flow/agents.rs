//! This machine's agents as a Git remote: which sessions they have, and which of these are as they were last captured.
//!
//! Looks and writes nothing; `take` and `give` do. What must stay true: a session that cannot be read is never listed as if
//! it were gone, since whoever prunes by such a list loses the ref; and what is listed with an id holds exactly that.

mod give;
mod memory;
mod stamp;
mod take;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use gix::hash::ObjectId;

pub use self::give::{Given, Giving, give};
use self::memory::{Entry, Memory};
pub use self::take::{publish, take, tidy, token};
pub use super::address::Scope;
use super::select::{self, Selector};
use super::workspace::{self, Work};
use super::{Error, placed};
use crate::agent::{self, Agent, Broken, Home, Session};
use crate::env::Env;
use crate::git::{Git, Repo, Repository};
use crate::id::SessionId;
use crate::progress::Silent;
use crate::store::Store;
use crate::store::record::Kind;
use crate::store::refs::{self, Known};
use crate::store::unfold::Checkpoint;

/// One session as the remote shows it.
#[derive(Debug, Clone)]
pub struct Listed {
    pub sid: SessionId,
    /// The agent and its own id; none for one that could not be read this time.
    pub native: Option<(&'static str, String)>,
    /// The checkpoint that holds it as it is; unknown where it has changed since, or was never captured.
    pub id: Option<ObjectId>,
}

#[derive(Debug, Default)]
pub struct List {
    pub sessions: Vec<Listed>,
    pub broken: Vec<Broken>,
}

/// Without a repository nothing is known of checkpoints.
pub fn list(env: &Env, store: Option<&Store>, scope: &Scope) -> Result<List, Error> {
    let (found, mut broken) = found(env, store.map(|store| &store.repo), scope)?;
    let Some(store) = store else {
        let sessions = found.iter().map(|found| Listed { sid: found.sid(), native: Some(found.native()), id: None }).collect();
        return Ok(List { sessions, broken });
    };
    let memory = Memory::load(&store.repo);
    let chains = refs::all(store)?;
    let mut look = Look { env, store, scope, memory: &memory, works: HashMap::new(), trees: HashMap::new(), newest: BTreeSet::new() };
    let mut stamps = look.stamps(&found);
    let mut sessions = Vec::new();
    for found in &found {
        let sid = found.sid();
        let unchanged = look.unchanged(found, stamps.remove(&sid));
        let deleted = || chains.get(&sid).filter(|known| known.local != unchanged).and_then(|known| tombstone(store, known));
        let id = deleted().or(unchanged);
        sessions.push(Listed { sid, native: Some(found.native()), id });
    }
    broken.extend(gone_homes(env, scope, &memory)?);
    if !broken.is_empty() && scope.session.is_none() {
        // What was captured of those that cannot be read now stays in the list.
        let there: BTreeSet<&str> = sessions.iter().map(|listed| listed.sid.as_str()).collect();
        let missing = memory.of(scope.agent).filter(|(sid, entry)| !there.contains(sid.as_str()) && store.has(&entry.commit));
        let missing: Vec<Listed> = missing.map(|(sid, entry)| Listed { sid, native: None, id: Some(entry.commit) }).collect();
        sessions.extend(missing);
    }
    Ok(List { sessions, broken })
}

/// What is remembered of a repository's sessions; it is learnt again.
pub fn forget(repo: &Repository) {
    Memory::forget(repo);
}

/// The same of one session, whose checkpoints were replaced.
pub(super) fn forget_session(repo: &Repository, sid: &SessionId) {
    Memory::forget_one(repo, sid);
}

/// One native session and where it was found.
pub struct Found {
    pub agent: &'static dyn Agent,
    pub home: Home,
    pub session: Session,
}

impl Found {
    fn sid(&self) -> SessionId {
        self.session.sid()
    }

    fn native(&self) -> (&'static str, String) {
        (self.agent.name(), self.session.native.to_string())
    }
}

/// Newest first, each once.
fn found(env: &Env, repo: Option<&Repository>, scope: &Scope) -> Result<(Vec<Found>, Vec<Broken>), Error> {
    if let Some(session) = &scope.session {
        let selected = select::select(env, &Selector::parse(Some(session)), scope.agent)?;
        return Ok((vec![Found { agent: selected.agent, home: selected.home, session: selected.session }], Vec::new()));
    }
    let around = if scope.all { None } else { around(env, repo)? };
    let (mut sessions, mut broken) = (Vec::new(), Vec::new());
    for agent in agents(scope)? {
        let home = agent.home(env)?;
        let found = placed::discover(agent, &home)?;
        broken.extend(found.broken);
        let wanted = found.sessions.into_iter().filter(|session| {
            // One without a complete record is none yet.
            session.parent.is_none() && session.size > 0 && (scope.all || select::belongs(session, env, around.as_ref()))
        });
        sessions.extend(wanted.map(|session| Found { agent, home: home.clone(), session }));
    }
    sessions.sort_by(|a, b| b.session.modified.cmp(&a.session.modified).then(a.session.native.cmp(&b.session.native)));
    let mut seen = BTreeSet::new();
    sessions.retain(|found| seen.insert(found.sid()));
    Ok((sessions, broken))
}

fn agents(scope: &Scope) -> Result<Vec<&'static dyn Agent>, Error> {
    match scope.agent {
        Some(name) => Ok(vec![super::agent_named(name)?]),
        None => Ok(agent::all().to_vec()),
    }
}

/// The work trees that belong here; those of a bare repository, too, which stands in none.
fn around(env: &Env, repo: Option<&Repository>) -> Result<Option<Repo>, Error> {
    let here = Repo::around(env.cwd());
    let Some(repo) = repo.filter(|_| here.is_none()) else { return Ok(here) };
    let trees = repo.git.lines(&["worktree", "list", "--porcelain"])?;
    let real = |path: &str| PathBuf::from(path).canonicalize().unwrap_or_else(|_| path.into());
    let worktrees = trees.iter().filter_map(|line| line.strip_prefix("worktree ")).map(real).collect();
    Ok(Some(Repo { root: env.cwd().to_owned(), worktrees, branch: None, head: None, common: repo.common.clone() }))
}

/// Homes from which something was captured, and which are not there any more: a disk that is not mounted, say.
fn gone_homes(env: &Env, scope: &Scope, memory: &Memory) -> Result<Vec<Broken>, Error> {
    let mut gone = Vec::new();
    for agent in agents(scope)? {
        let home = agent.home(env)?;
        if memory.of(Some(agent.name())).next().is_some() && !home.root.is_dir() {
            gone.push(Broken { path: home.root, why: "it is not there".to_owned() });
        }
    }
    Ok(gone)
}

/// A session that was deleted is not captured again; it is listed as what stands in its place.
fn tombstone(store: &Store, known: &Known) -> Option<ObjectId> {
    let tip = known.local?;
    Checkpoint::read(store, &tip).ok().filter(|checkpoint| checkpoint.header.kind == Kind::Deleted).map(|_| tip)
}

struct Look<'a> {
    env: &'a Env,
    store: &'a Store,
    scope: &'a Scope,
    memory: &'a Memory,
    /// What each work tree holds now, as far as it was looked at.
    works: HashMap<PathBuf, Option<String>>,
    trees: HashMap<PathBuf, Option<PathBuf>>,
    newest: BTreeSet<PathBuf>,
}

impl Look<'_> {
    /// How those stand of which something is remembered.
    fn stamps(&self, found: &[Found]) -> BTreeMap<SessionId, String> {
        let mut stamps = BTreeMap::new();
        let mut left: Vec<&Found> = found.iter().filter(|found| self.memory.get(&found.sid()).is_some()).collect();
        while let Some(first) = left.first().copied() {
            let (of_one, rest): (Vec<&Found>, Vec<&Found>) = left.into_iter().partition(|found| found.home == first.home);
            let sessions: Vec<&Session> = of_one.iter().map(|found| &found.session).collect();
            for (session, artifacts) in sessions.iter().zip(first.agent.artifacts_of_many(&first.home, &sessions)) {
                let digest = artifacts.ok().and_then(|artifacts| stamp::of_files(session, artifacts.iter()).digest);
                stamps.extend(digest.map(|digest| (session.sid(), digest)));
            }
            left = rest;
        }
        stamps
    }

    /// The commit that holds this session as it is.
    fn unchanged(&mut self, found: &Found, stamp: Option<String>) -> Option<ObjectId> {
        let first = self.is_newest(found);
        let entry = self.memory.get(&found.sid())?;
        if stamp? != entry.files || !self.store.has(&entry.commit) {
            return None;
        }
        // The work tree belongs to the session that was used last in it; the older ones are as they were left. And what was
        // put here and not touched since has left its own where it came from.
        let with_work = (first || self.scope.session.is_some()) && !entry.given && !self.scope.session_only;
        (!with_work || self.work(found) == entry.work).then_some(entry.commit)
    }

    fn is_newest(&mut self, found: &Found) -> bool {
        let Some(cwd) = &found.session.cwd else { return false };
        let tree = self.trees.entry(cwd.clone()).or_insert_with(|| Repo::around(cwd).map(|repo| repo.root)).clone();
        self.newest.insert(tree.unwrap_or_else(|| cwd.clone()))
    }

    fn work(&mut self, found: &Found) -> Option<String> {
        let cwd = found.session.cwd.clone()?;
        if let Some(known) = self.works.get(&cwd) {
            return known.clone();
        }
        let work = Work::around(self.env, &cwd, &workspace::Options::default()).ok().flatten();
        let now = work.and_then(|work| stamp::of_work(&work, &Silent));
        self.works.insert(cwd, now.clone());
        now
    }
}

/// What git made of a name, if that is a commit.
fn commit_named(git: &Git, name: &str) -> Result<Option<ObjectId>, Error> {
    let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")];
    let out = git.output(&args, b"")?;
    Ok(ObjectId::from_hex(out.stdout.trim_ascii()).ok())
}

/// By session, for whoever needs what was remembered of several.
type Entries = BTreeMap<String, Entry>;
