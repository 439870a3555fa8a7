//! What a restore would do, found out without doing any of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::branch::{Branch, worktrees};
use super::{Destination, Error, Options, here, objects, place};
use crate::capsule::WORKSPACE_DIR;
use crate::git::Repository;
use crate::policy;
use crate::workspace::capture;
use crate::workspace::identity::{self, Likeness};
use crate::workspace::model::{Oid, What, Workspace};
use crate::workspace::name::Name;

#[derive(Debug, Clone)]
pub struct Plan<'a> {
    pub repo: &'a Repository,
    pub model: &'a Workspace,
    /// The capsule's files lie below it.
    pub staged: PathBuf,
    /// The directory in the capsule: that of the whole, or of a submodule.
    pub dir: String,
    pub destination: Destination,
    pub options: Options,
    /// The top of the work tree.
    pub at: PathBuf,
    pub branch: Branch,
    /// The name that HEAD was on and cannot be on here.
    pub taken: Option<Name>,
    pub likeness: Likeness,
    pub missing: Vec<Missing>,
    /// Remotes that are asked for what is missing, in this order.
    pub sources: Vec<String>,
    pub files: u64,
    pub bytes: u64,
    /// Files that make programs run, as far as it is known before the commits are here.
    pub executable: Vec<Name>,
    /// The work tree that is there is narrowed already, as this one was.
    pub same_sparse: bool,
    pub notes: Vec<Note>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub commit: Oid,
    pub refs: Vec<Name>,
}

/// What will be otherwise than it was, and cannot be helped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Two names, one file.
    CaseCollision(Name, Name),
    /// Git writes other line endings into files that were not changed.
    LineEndings { setting: &'static str, value: String },
    /// The filter is set up here, and its program does not run: its files hold what Git keeps.
    FilterFails,
    /// Files are marked for a filter that is not set up here: they came as they were, and Git compares them as they are.
    FilterMissing(String),
    /// Not checked out: `git submodule update --init` does that.
    Submodule(Name),
    /// Its contents came along and could not be put back.
    SubmoduleLeft { path: Name, why: String },
    /// A file that makes programs run, which an operation will bring when it goes on.
    Brings(String),
    /// A sparse checkout is only made in a new worktree.
    SparseLeft,
    /// The work tree has one of its own, which stays.
    SparseHere,
    /// `extensions.worktreeConfig` is turned on, which a sparse checkout in one worktree needs.
    WorktreeConfig,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::CaseCollision(one, other) => write!(f, "'{one}' and '{other}' are one file here"),
            Note::LineEndings { setting, value } => {
                write!(f, "{setting} is {value} here: Git may write other line endings into unchanged files")
            }
            Note::FilterFails => write!(f, "a filter fails here: its files hold what Git keeps of them"),
            Note::FilterMissing(name) => {
                write!(f, "the filter '{name}' is not set up here: its files are as they were, and Git takes them for changed")
            }
            Note::Submodule(path) => write!(f, "submodule '{path}' is not checked out: git submodule update --init"),
            Note::SubmoduleLeft { path, why } => write!(f, "submodule '{path}' could not be put back, and stays in the capsule: {why}"),
            Note::Brings(what) => {
                write!(f, "the operation in progress would bring {what}, which makes programs run: look at it before you go on")
            }
            Note::SparseLeft => write!(f, "the sparse checkout was left out: every file is there"),
            Note::SparseHere => write!(f, "another part of the tree is checked out here: what is outside of it did not come"),
            Note::WorktreeConfig => write!(f, "extensions.worktreeConfig is turned on for the sparse checkout"),
        }
    }
}

pub fn plan<'a>(
    repo: &'a Repository,
    model: &'a Workspace,
    staged: &Path,
    destination: &Destination,
    options: &Options,
) -> Result<Plan<'a>, Error> {
    plan_in(repo, model, staged, WORKSPACE_DIR, destination, options)
}

/// The same of what stands elsewhere in the capsule.
pub fn plan_in<'a>(
    repo: &'a Repository,
    model: &'a Workspace,
    staged: &Path,
    dir: &str,
    destination: &Destination,
    options: &Options,
) -> Result<Plan<'a>, Error> {
    let here = if repo.hash == gix::hash::Kind::Sha256 { "sha256" } else { "sha1" };
    if model.identity.format != here {
        return Err(Error::OtherFormat { here, there: crate::path::escape(model.identity.format.as_bytes()).chars().take(40).collect() });
    }
    let needed = objects::needed(model);
    let roots = model.identity.roots.iter().copied();
    let absent: BTreeSet<Oid> = objects::absent(&repo.git, needed.iter().map(|one| one.commit).chain(roots))?.into_iter().collect();
    let likeness = likeness(repo, model, options, &absent)?;
    let (at, branch, taken) = match destination {
        Destination::New { at, branch } => {
            if std::fs::symlink_metadata(at).is_ok() {
                return Err(Error::Exists(at.clone()));
            }
            let (branch, taken) = Branch::choose(repo, &model.head, *branch, None)?;
            (at.clone(), branch, taken)
        }
        Destination::Here { branch, home } => {
            let at = here::top(repo)?;
            let over = home.as_ref().and_then(|home| home.over.as_deref()).map(|over| &over.capture.model);
            if over.is_none() {
                here::must_be_clean(repo, &at)?;
            }
            here::must_be_free(repo, &at, model, over)?;
            match home.as_ref().map(|_| Branch::where_it_is(repo, &model.head)).transpose()?.flatten() {
                Some(branch) => (at, branch, None),
                None => {
                    let (branch, taken) = Branch::choose(repo, &model.head, *branch, Some(&at))?;
                    (at, branch, taken)
                }
            }
        }
    };
    let sizes = model.files.iter().filter_map(|file| if let What::File { size, .. } = file.what { Some(size) } else { None });
    let new = matches!(destination, Destination::New { .. });
    let narrowed = if new { None } else { capture::sparse(repo)? };
    let same_sparse = narrowed.is_some() && narrowed == model.sparse;
    let home = matches!(destination, Destination::Here { home: Some(_), .. });
    let mut notes = notes(repo, model, &at, (new, same_sparse || narrowed.is_some(), home));
    notes.extend((narrowed.is_some() && !same_sparse).then_some(Note::SparseHere));
    Ok(Plan {
        missing: needed.into_iter().filter(|one| absent.contains(&one.commit)).collect(),
        sources: objects::sources(repo, model, &options.stores),
        files: model.files.iter().filter(|file| file.what != What::Gone).count() as u64,
        bytes: sizes.sum(),
        executable: executable(model),
        repo,
        model,
        staged: staged.to_owned(),
        dir: dir.to_owned(),
        destination: destination.clone(),
        options: options.clone(),
        at,
        branch,
        taken,
        likeness,
        same_sparse,
        notes,
    })
}

/// Whether it is the same repository, as far as that is seen without fetching.
pub fn is_alike(repo: &Repository, model: &Workspace) -> Result<bool, Error> {
    let needed = objects::needed(model);
    let roots = model.identity.roots.iter().copied();
    let absent: BTreeSet<Oid> = objects::absent(&repo.git, needed.iter().map(|one| one.commit).chain(roots))?.into_iter().collect();
    let options = Options { force_repository: false, accept_config: false, stores: Vec::new(), backup: PathBuf::new() };
    match likeness(repo, model, &options, &absent) {
        Err(Error::OtherRepository { .. }) => Ok(false),
        likeness => likeness.map(|_| true),
    }
}

fn likeness(repo: &Repository, model: &Workspace, options: &Options, absent: &BTreeSet<Oid>) -> Result<Likeness, Error> {
    // Commits that are here tell more than any address.
    let roots = &model.identity.roots;
    if roots.iter().any(|root| !absent.contains(root)) || model.prerequisites.iter().any(|one| !absent.contains(&one.commit)) {
        return Ok(Likeness::Same);
    }
    match identity::compare(&model.identity, &identity::of(repo, &options.stores)?) {
        Likeness::Other { evidence } if !options.force_repository => Err(Error::OtherRepository { evidence }),
        likeness => Ok(likeness),
    }
}

fn executable(model: &Workspace) -> Vec<Name> {
    let work = model.files.iter().filter(|file| file.what != What::Gone).map(|file| &file.path);
    let all = work.chain(model.index.iter().map(|entry| &entry.path)).filter(|path| policy::is_executable_config(path.as_bytes()));
    all.cloned().collect::<BTreeSet<Name>>().into_iter().collect()
}

fn notes(repo: &Repository, model: &Workspace, at: &Path, (new, same_sparse, home): (bool, bool, bool)) -> Vec<Note> {
    let mut notes = Vec::new();
    let existing = at.ancestors().find(|dir| dir.is_dir()).unwrap_or(at);
    if place::folds_case(existing) {
        notes.extend(collisions(model));
    }
    for (setting, harmless) in [("core.autocrlf", "false"), ("core.eol", "lf")] {
        if let Some(value) = repo.config.get(setting).filter(|value| *value != harmless && *value != "input" && *value != "native") {
            notes.push(Note::LineEndings { setting, value: value.to_owned() });
        }
    }
    // At home they stay as they are.
    let left = model.submodules.iter().filter(|module| !home && (module.contents.is_none() || !new));
    notes.extend(left.map(|module| Note::Submodule(module.path.clone())));
    if model.sparse.is_some() && !same_sparse {
        let extended = repo.config.flag("extensions.worktreeconfig") == Some(true);
        notes.extend(if !new { Some(Note::SparseLeft) } else { (!extended).then_some(Note::WorktreeConfig) });
    }
    notes
}

fn collisions(model: &Workspace) -> Vec<Note> {
    let mut seen: BTreeMap<String, &Name> = BTreeMap::new();
    let mut found = Vec::new();
    for path in
        model.files.iter().filter(|file| file.what != What::Gone).map(|file| &file.path).chain(model.index.iter().map(|entry| &entry.path))
    {
        match seen.insert(path.to_string().to_lowercase(), path) {
            Some(other) if other != path => found.push(Note::CaseCollision(other.clone(), path.clone())),
            _ => {}
        }
    }
    found
}

/// A free place for a new worktree, beside the main one: `<repository>-<branch>-<session>`.
pub fn beside(repo: &Repository, branch: Option<&Name>, short_sid: &str) -> Result<PathBuf, Error> {
    let main = worktrees(&repo.git)?.into_iter().next().map_or_else(|| repo.common.clone(), |tree| tree.path);
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name(&main);
    let stem = stem.strip_suffix(".git").filter(|stem| !stem.is_empty()).unwrap_or(&stem).to_owned();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._+".contains(c) { c } else { '-' };
    let short = branch
        .and_then(|branch| branch.branch())
        .map(|short| String::from_utf8_lossy(short).chars().map(plain).take(60).collect::<String>());
    let middle = short.map_or(String::new(), |short| format!("-{}", short.trim_matches(['-', '.'])));
    let dir = main.parent().unwrap_or(&main);
    let numbered =
        |n: u32| dir.join(if n == 1 { format!("{stem}{middle}-{short_sid}") } else { format!("{stem}{middle}-{short_sid}-{n}") });
    let free = (1..10_000).map(numbered).find(|path| std::fs::symlink_metadata(path).is_err());
    free.ok_or_else(|| Error::Exists(numbered(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_one_file_where_case_is_folded_are_found() {
        let file = |path: &str| crate::workspace::model::WorkFile { path: Name::new(path), what: What::Directory };
        let json = serde_json::json!({"schema": "x", "identity": {"format": "sha1"}, "head": {}});
        let mut model: Workspace = serde_json::from_value(json).expect("a model");
        model.files = vec![file("read me"), file("a/File"), file("a/file")];
        assert_eq!(collisions(&model), [Note::CaseCollision(Name::new("a/File"), Name::new("a/file"))]);
        model.files[2].what = What::Gone;
        assert_eq!(collisions(&model), []);
    }
}
