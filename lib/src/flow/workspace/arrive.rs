//! A workspace that came with a session: whether it is what it says, where it goes, and how that is taken back.
//!
//! What must stay true: a hostile one is refused before anything is planned, and what will be changed is in the journal
//! before it is.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::{Error, placed};
use super::capture::{Work, around};
use super::home::{self, Way};
use super::known::{self, Known};
use super::same::{self, is_same};
use super::{DIR, Options, summary};
use crate::agent::{Agent, Home};
use crate::capsule::{self, FileEntry, Manifest};
use crate::durable::{self, At};
use crate::env::Env;
use crate::git::{Git, Repository};
use crate::id::SessionId;
use crate::path::{self, RelPath};
use crate::policy::is_dense;
use crate::progress::Progress;
use crate::workspace::model::{FILE, PACK, What, Workspace};
use crate::workspace::name::Name;
use crate::workspace::operation::{self, Branch as End, Operation};
use crate::workspace::restore::{self, Applied, Branch, Destination, Home as AtHome, Made, Note, Plan, Undo};
use crate::workspace::{self};

/// More than any honest one needs: a million names.
const MODEL_BYTES: u64 = 256 << 20;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Where it stands already, else a new worktree.
    #[default]
    Beside,
    /// The work tree around the working directory, or the one that was named.
    Here,
    /// The workspace stays in the capsule.
    SessionOnly,
}

#[derive(Debug, Clone, Default)]
pub struct Choice {
    pub mode: Mode,
    /// On the branch that it was on, if that is free.
    pub branch: bool,
    /// Files that make programs run, whoever made them.
    pub accept_config: bool,
    pub force_repository: bool,
}

/// Checked, staged and nothing done yet.
#[derive(Debug)]
pub struct Arrived {
    pub model: Workspace,
    pub files: Vec<FileEntry>,
    /// Its files lie below it, under their names in the capsule.
    pub staged: PathBuf,
}

impl Arrived {
    /// `None` if the capsule has none.
    pub fn read(staged: &Path, manifest: &Manifest) -> Result<Option<Arrived>, Error> {
        let files: Vec<FileEntry> = manifest.files.iter().filter(|file| file.path.strip_prefix(DIR).is_some()).cloned().collect();
        if files.is_empty() {
            return Ok(None);
        }
        let at = |name: &RelPath| files.iter().find(|file| file.path == *name);
        let name = RelPath::parse(FILE.as_bytes()).map_err(capsule::Error::Unsafe)?;
        let listed = at(&name).ok_or_else(|| workspace::Error::Damaged(format!("it has no '{FILE}'")))?;
        if listed.size > MODEL_BYTES {
            return Err(capsule::Error::TooLarge(format!("'{FILE}' has {} bytes", listed.size)).into());
        }
        let json = fs::read(name.under(staged)).at("read", name.under(staged))?;
        // The shortest of what it lists are names.
        if is_dense(&json, 6) {
            return Err(capsule::Error::TooLarge(format!("'{FILE}' says more than a work tree needs")).into());
        }
        let model: Workspace = serde_json::from_slice(&json).map_err(|error| workspace::Error::Damaged(error.to_string()))?;
        let sizes: std::collections::HashMap<&RelPath, u64> = files.iter().map(|file| (&file.path, file.size)).collect();
        restore::check(&model, |name| sizes.get(name).copied())?;
        let hash = if model.identity.format == "sha256" { gix::hash::Kind::Sha256 } else { gix::hash::Kind::Sha1 };
        operation::check(&model.operations, hash).map_err(workspace::Error::from)?;
        let mut named = HashSet::from([name]);
        named_by(&model, "workspace", &mut named);
        match files.iter().find(|file| !named.contains(&file.path)) {
            Some(stranger) => Err(Error::Foreign(stranger.path.to_string())),
            None => Ok(Some(Arrived { model, files, staged: staged.to_owned() })),
        }
    }

    pub fn numbers(&self) -> capsule::Workspace {
        let bytes = self.files.iter().filter(|file| file.path.as_bytes() != FILE.as_bytes()).map(|file| file.size).sum();
        summary::of(&self.model, self.files.len(), bytes)
    }

    /// Where it goes.
    pub fn choose(&self, asked: &Asked<'_>, progress: &dyn Progress) -> Result<Place, Error> {
        let Asked { env, choice, into, .. } = *asked;
        let existing = into.filter(|dir| dir.is_dir());
        if choice.mode == Mode::Here {
            let repo = around(env, existing.unwrap_or(env.cwd()))?.ok_or(Error::NoWorkTree)?;
            if repo.bare {
                return Err(Error::NoWorkTree);
            }
            let top = restore::top(&repo)?;
            let same = self.is_at(env, &top, progress)?;
            return Ok(if same {
                Place::There(top)
            } else {
                Place::Put { repo: Box::new(repo), top, how: Destination::Here { branch: choice.branch, home: None }, why: None }
            });
        }
        if let Some(dir) = existing {
            return match around(env, dir)?.filter(|repo| !repo.bare) {
                Some(repo) if self.is_at(env, &restore::top(&repo)?, progress)? => Ok(Place::There(restore::top(&repo)?)),
                _ => Err(Error::WorkspaceThere(dir.to_owned())),
            };
        }
        let placed = placed::directory(asked.agent, asked.home, asked.native)?.filter(|dir| dir.is_dir());
        for dir in placed.iter().map(PathBuf::as_path).chain([env.cwd()]) {
            if into.is_none()
                && let Some(repo) = around(env, dir)?.filter(|repo| !repo.bare)
            {
                let top = restore::top(&repo)?;
                if self.is_at(env, &top, progress)? {
                    return Ok(Place::There(top));
                }
            }
        }
        let mut why = None;
        if into.is_none()
            && let Some(dir) = &placed
            && let Some(repo) = around(env, dir)?.filter(|repo| !repo.bare)
            && restore::is_alike(&repo, &self.model)?
        {
            let top = restore::top(&repo)?;
            match home::way(self, &repo, &top, asked, progress)? {
                Way::In(home) => {
                    let how = Destination::Here { branch: choice.branch, home: Some(home) };
                    return Ok(Place::Put { repo: Box::new(repo), top, how, why });
                }
                Way::Elsewhere(because) => why = Some(format!("it does not come back into '{}': {because}", top.display())),
            }
        }
        let repo = match around(env, env.cwd())? {
            Some(repo) => Some(repo),
            None => placed.as_deref().map(|dir| around(env, dir)).transpose()?.flatten(),
        };
        let repo = repo.ok_or(Error::NoRepositoryHere)?;
        let at = match into {
            Some(dir) => real(env, dir)?,
            None => restore::beside(&repo, self.model.head.branch.as_ref(), asked.sid.short()).map_err(Error::from)?,
        };
        Ok(Place::Put { repo: Box::new(repo), top: at.clone(), how: Destination::New { at, branch: choice.branch }, why })
    }

    fn is_at(&self, env: &Env, top: &Path, progress: &dyn Progress) -> Result<bool, Error> {
        match Work::around(env, top, &Options { submodules: self.has_contents(), whole: true, ..Options::default() })? {
            Some(work) => is_same(&work, &self.model, &self.files, progress),
            None => Ok(false),
        }
    }

    fn has_contents(&self) -> bool {
        self.model.submodules.iter().any(|module| module.contents.is_some())
    }
}

/// Everything by which the place is decided.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub env: &'a Env,
    pub choice: &'a Choice,
    pub into: Option<&'a Path>,
    pub agent: &'static dyn Agent,
    pub home: &'a Home,
    pub native: &'a crate::id::NativeId,
    pub sid: &'a SessionId,
}

#[derive(Debug)]
pub enum Place {
    /// It is as the capsule has it already, in the work tree with this top.
    There(PathBuf),
    Put {
        repo: Box<Repository>,
        top: PathBuf,
        how: Destination,
        /// Why it does not go where the session was before.
        why: Option<String>,
    },
}

impl Place {
    pub fn top(&self) -> &Path {
        match self {
            Place::There(top) | Place::Put { top, .. } => top,
        }
    }

    pub fn note(&self) -> Option<String> {
        match self {
            Place::Put { why, .. } => why.clone(),
            Place::There(_) => None,
        }
    }
}

/// What a journal holds of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Moved {
    /// From where Git finds the repository.
    #[serde(with = "path::as_text")]
    pub repo: PathBuf,
    pub undo: Undo,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
}

/// A workspace on its way to its place.
pub struct Move<'a> {
    pub plan: Plan<'a>,
    /// What is to be written down first.
    pub moved: Moved,
    /// The branch on which an operation in progress will end.
    end: End,
    /// What would have run, or would run, when an operation goes on.
    pub runs: Vec<String>,
    env: &'a Env,
    /// What stands there afterwards, if nothing is left out; and whose it is.
    state: Option<Known>,
    sid: &'a SessionId,
}

impl<'a> Move<'a> {
    pub fn plan(
        arrived: &'a mut Arrived,
        place: &'a Place,
        asked: &Asked<'a>,
        trusted: bool,
        backup: PathBuf,
    ) -> Result<Option<Self>, Error> {
        let Place::Put { repo, top, how, .. } = place else { return Ok(None) };
        let accept = trusted || asked.choice.accept_config;
        let mut runs = Vec::new();
        if !accept {
            for operation in &mut arrived.model.operations {
                let (without, left_out) = operation.clone().without_what_runs();
                *operation = without;
                runs.extend(left_out);
            }
        }
        let options =
            restore::Options { force_repository: asked.choice.force_repository, accept_config: accept, stores: Vec::new(), backup };
        let plan = restore::plan(repo, &arrived.model, &arrived.staged, how, &options)?;
        let mut undo = restore::prepare(&plan)?;
        let end = end(repo, &plan, asked, &mut undo)?;
        let from = if matches!(how, Destination::Here { .. }) { top.clone() } else { repo.common.clone() };
        let moved = Moved { repo: from, undo, operations: arrived.model.operations.clone() };
        let state = known::arriving(repo, &plan.at, &arrived.model, &arrived.files);
        Ok(Some(Move { plan, moved, end, runs, env: asked.env, state, sid: asked.sid }))
    }

    pub fn apply(&self) -> Result<Applied, Error> {
        let end = &self.end;
        let made = &self.moved.undo.refs;
        let brings = RefCell::new(Vec::new());
        let rebuild = |repo: &Repository, operations: &[Operation]| {
            for Made { name, at } in made {
                let none = "0".repeat(repo.hash.len_in_hex());
                let args = [
                    "update-ref".as_ref(),
                    "-m".as_ref(),
                    "samesession: restored".as_ref(),
                    name.as_os_str(),
                    at.as_os_str(),
                    none.as_ref(),
                ];
                repo.git.run(&args)?;
            }
            let failed = |error| restore::Error::Operation(Box::new(error));
            let mut operations = operations.to_vec();
            if !self.plan.options.accept_config {
                let known: Vec<_> = self.plan.model.prerequisites.iter().map(|one| one.commit).collect();
                for operation in &mut operations {
                    let (stops, said) = operation::stops_before(repo, operation, &known).map_err(failed)?;
                    *operation = stops;
                    brings.borrow_mut().extend(said.into_iter().map(Note::Brings));
                }
            }
            operation::rebuild(repo, &operations, end.clone()).map(drop).map_err(failed)
        };
        self.must_stand_still()?;
        let mut applied = restore::apply(&self.plan, &self.moved.undo, &rebuild)?;
        applied.notes.extend(brings.borrow().iter().cloned());
        if let Some(state) = self.state.as_ref().filter(|_| applied.withheld.is_empty() && brings.borrow().is_empty()) {
            state.remember(self.sid);
        }
        Ok(applied)
    }

    /// What goes is what was looked at, also where Git saw no difference before.
    fn must_stand_still(&self) -> Result<(), Error> {
        let Destination::Here { home: Some(AtHome { over: Some(over) }), .. } = &self.plan.destination else { return Ok(()) };
        let known = known::all(self.plan.repo, &self.plan.at, self.sid);
        let seen = known.iter().find(|known| known.fingerprint == over.fingerprint);
        let work = seen.map(|known| Work::like(self.env, &self.plan.at, known)).transpose()?.flatten();
        let now = work.map(|work| same::look(&work, &crate::progress::Silent)).transpose()?.flatten();
        match now {
            Some(now) if now.model == over.capture.model => Ok(()),
            _ => Err(Error::Changing(self.plan.at.clone())),
        }
    }
}

impl Moved {
    /// Takes it all back; `force` also what was done there since.
    pub fn undo(&self, env: &Env, force: bool) -> Result<restore::Undone, Error> {
        let repo = Repository::with(Git::at(env, &self.repo).elsewhere(&self.repo))?;
        // Before that an operation which looks the same is the one that was there.
        if self.undo.was.is_some() && self.undo.begun() && !self.operations.is_empty() {
            operation::forget(&repo, &self.operations).map_err(workspace::Error::from)?;
        }
        Ok(self.undo.undo(&repo, force)?)
    }
}

/// An operation in progress ends on a branch of its own, unless it was asked to end where it would have.
fn end(repo: &Repository, plan: &Plan<'_>, asked: &Asked<'_>, undo: &mut Undo) -> Result<End, Error> {
    let Some((own, at)) = plan.model.operations.iter().find_map(Operation::branch) else { return Ok(End::Detached) };
    if plan.branch.name() == Some(own) {
        return Ok(if matches!(plan.branch, Branch::Unborn { .. }) { End::Detached } else { End::New(own.clone()) });
    }
    let names = repo.git.run(&["for-each-ref", "--format=%(refname) %(objectname)", "refs/heads/"])?;
    let names: Vec<Vec<u8>> = names.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    let stands = |name: &[u8]| names.iter().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(b" ")));
    if asked.choice.branch {
        let there = [own.as_bytes(), b" ", at.0.to_string().as_bytes()].concat();
        let used = restore::worktrees(&repo.git)?.into_iter().any(|tree| tree.branch.as_deref() == Some(own.as_bytes()));
        match stands(own.as_bytes()) {
            Some(line) if *line == there && !used => return Ok(End::Own),
            None => return Ok(make(undo, own.clone(), at)),
            _ => {}
        }
    }
    let numbered = |n: u32| {
        let tail = if n == 1 { format!("-{}", asked.sid.short()) } else { format!("-{}-{n}", asked.sid.short()) };
        [own.as_bytes(), tail.as_bytes()].concat()
    };
    let free = (1..1000).map(numbered).find(|name| stands(name).is_none()).unwrap_or_else(|| numbered(1));
    Ok(make(undo, Name::new(free), at))
}

fn make(undo: &mut Undo, name: Name, at: workspace::model::Oid) -> End {
    undo.refs.push(Made { name: name.clone(), at: Name::new(at.0.to_string()) });
    End::New(name)
}

/// As the system will name it once it is there.
fn real(env: &Env, dir: &Path) -> Result<PathBuf, Error> {
    let dir = env.cwd().join(dir);
    let mut above = dir.as_path();
    let mut below = Vec::new();
    while !above.exists() {
        below.extend(above.file_name());
        above = durable::parent(above);
    }
    let real = above.canonicalize().at("open", above)?;
    Ok(below.iter().rev().fold(real, |path, part| path.join(part)))
}

fn named_by(model: &Workspace, at: &str, named: &mut HashSet<RelPath>) {
    for file in &model.files {
        if let What::File { at, .. } = &file.what {
            named.insert(at.clone());
        }
    }
    if model.pack.is_some() {
        let pack = PACK.replacen("workspace", at, 1);
        named.extend(RelPath::parse(pack.as_bytes()));
    }
    for (n, module) in model.submodules.iter().enumerate() {
        if let Some(contents) = &module.contents {
            named_by(contents, &format!("{at}/submodules/{n}"), named);
        }
    }
}
