//! What a restore has changed, and the way back from whatever state it is in.
//!
//! What must stay true: nothing that somebody did since is taken away, unless it is asked for; begun again after a crash,
//! it ends in the same state.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::apply::head_of;
use super::branch::worktrees;
use super::index::list;
use super::place::Root;
use super::{Branch, Destination, Error, Plan, calm, here, modules, objects, over, tree};
use crate::durable::{self, At};
use crate::fault;
use crate::git::{Git, Repository};
use crate::path;
use crate::workspace::name::Name;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    /// The top of the work tree.
    #[serde(with = "path::as_text")]
    pub at: PathBuf,
    #[serde(with = "path::as_text")]
    pub backup: PathBuf,
    /// In `.keep` files of packs that nothing refers to yet.
    pub mark: String,
    /// Directories made above it, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<Name>,
    /// Where HEAD was; none for a worktree that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Was>,
    pub branch: Branch,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Name>,
    /// Other refs that will be made, for an operation say: who makes them adds them here before `apply`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refs: Vec<Made>,
    /// Configuration of the branch that was there before it.
    #[serde(default)]
    pub configured: bool,
    /// Files that were put there, or taken away; those that only the commit has are not among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placed: Vec<Name>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Made {
    pub name: Name,
    /// The commit's name.
    pub at: Name,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Was {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Name>,
    /// Files of an operation, left over in Git's directory from an earlier one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<String>,
}

/// What was left as it is.
#[derive(Debug, Default, PartialEq)]
pub struct Undone {
    /// Refs that have moved since, or are in use.
    pub kept: Vec<Name>,
}

/// Says what `apply` will change. Changes nothing.
pub fn prepare(plan: &Plan<'_>) -> Result<Undo, Error> {
    let here = matches!(plan.destination, Destination::Here { .. });
    let was = if here { Some(head_of(plan.repo, &plan.at)?) } else { None };
    let name = plan.branch.name().and_then(Name::branch).map(String::from_utf8_lossy);
    let section = name.map(|name| format!("branch.{name}."));
    let configured = section.is_some_and(|section| plan.repo.config.keys().any(|key| key.starts_with(&section)));
    let stem = plan.options.backup.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let index = plan.model.index.iter().map(|entry| &entry.path).chain(&plan.model.unindexed);
    let work = plan.model.files.iter().map(|file| &file.path).chain(index);
    let above = plan.at.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty());
    let mut made: Vec<Name> =
        above.take_while(|dir| fs::symlink_metadata(dir).is_err()).map(|dir| Name::new(dir.as_os_str().as_bytes())).collect();
    made.reverse();
    // A directory that is there is not ours to take away, unless it is put back.
    let over = matches!(&plan.destination, Destination::Here { home: Some(home), .. } if home.over.is_some());
    let work = work.filter(|path| over || !plan.at.join(path.as_path()).is_dir());
    let placed = if here { work.cloned().collect::<BTreeSet<Name>>().into_iter().collect() } else { Vec::new() };
    Ok(Undo {
        at: plan.at.clone(),
        backup: plan.options.backup.clone(),
        mark: format!("samesession {}", path::escape(stem.as_bytes()).replace(char::is_whitespace, "-")),
        made,
        was,
        refs: Vec::new(),
        branch: plan.branch.clone(),
        commit: plan.model.head.commit.map(|commit| Name::new(commit.0.to_string())),
        configured,
        placed,
    })
}

impl Undo {
    /// Takes everything back; with `force` also what was done there since.
    pub fn undo(&self, repo: &Repository, force: bool) -> Result<Undone, Error> {
        let mut undone = Undone::default();
        if self.begun() {
            let there = fs::symlink_metadata(&self.at).is_ok();
            if let Some(then) = fs::read_to_string(self.stamp()).ok().filter(|_| there && !force) {
                // A worktree that Git does not know any more was taken apart by somebody.
                if tree::stamp(&repo.git, &self.at).ok().as_deref() != Some(then.as_str()) && !self.half_gone() {
                    return Err(Error::Used(self.at.clone()));
                }
            }
            fs::write(self.backup.join("undoing"), "").at("write", &self.backup)?;
            match &self.was {
                None => self.remove_worktree(repo)?,
                Some(was) => self.put_back(repo, was, force)?,
            }
            fault::point("workspace.removed").at("write", &self.at)?;
            undone.kept = self.remove_refs(repo)?;
            modules::forget(repo, &self.backup)?;
        } else if self.was.is_none() {
            // Made and not noted: then it is empty.
            let _ = fs::remove_dir(&self.at);
        }
        for dir in self.made.iter().rev() {
            let _ = fs::remove_dir(dir.as_path());
        }
        objects::let_go(&repo.objects, &self.mark);
        for file in ["begun", "stamp", "undoing", "index"] {
            let _ = fs::remove_file(self.backup.join(file));
        }
        for kept in over::ALL {
            let kept = self.backup.join(kept);
            let _ = if kept.is_dir() { fs::remove_dir_all(&kept) } else { fs::remove_file(&kept) };
        }
        let _ = fs::remove_dir(&self.backup);
        Ok(undone)
    }

    pub(super) fn note_begun(&self) -> Result<(), Error> {
        Ok(durable::write_atomic(&self.backup.join("begun"), b"")?)
    }

    pub(super) fn note_stamp(&self, stamp: &str) -> Result<(), Error> {
        Ok(durable::write_atomic(&self.stamp(), stamp.as_bytes())?)
    }

    /// The index as it was, byte for byte.
    pub(super) fn keep_old(&self, repo: &Repository) -> Result<(), Error> {
        let index = repo.git_dir.join("index");
        match fs::read(&index) {
            // Where nothing was ever staged there is none.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            read => Ok(durable::write_atomic(&self.old_index(), &read.at("read", &index)?)?),
        }
    }

    fn stamp(&self) -> PathBuf {
        self.backup.join("stamp")
    }

    /// Whether anything of the work tree may have been changed.
    pub fn begun(&self) -> bool {
        self.backup.join("begun").exists()
    }

    /// An undo was begun and did not end.
    fn half_gone(&self) -> bool {
        self.backup.join("undoing").exists()
    }

    /// As `git worktree remove` does, from any state that it or `add` may have been stopped in.
    fn remove_worktree(&self, repo: &Repository) -> Result<(), Error> {
        match fs::remove_dir_all(&self.at) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).at("remove", &self.at).map_err(Error::from),
            _ => {}
        }
        // Git wrote the real path, and what was there is gone.
        let real = durable::parent(&self.at).canonicalize().unwrap_or_else(|_| durable::parent(&self.at).to_owned());
        let file = real.join(self.at.file_name().unwrap_or_default()).join(".git");
        let entries = fs::read_dir(repo.common.join("worktrees")).into_iter().flatten().flatten();
        for dir in entries.map(|entry| entry.path()) {
            let text = fs::read(dir.join("gitdir")).unwrap_or_default();
            let leads = Name::new(text.strip_suffix(b"\n").unwrap_or(&text));
            if dir.join(leads.as_path()) == file {
                fs::remove_dir_all(&dir).at("remove", &dir)?;
            }
        }
        let _ = fs::remove_dir(repo.common.join("worktrees"));
        Ok(())
    }

    fn put_back(&self, repo: &Repository, was: &Was, force: bool) -> Result<(), Error> {
        let git = calm(&repo.git.elsewhere(&self.at));
        let finished = self.stamp().exists();
        if !finished {
            // Of a Git that was killed with us.
            let _ = fs::remove_file(repo.git_dir.join("index.lock"));
        }
        let more = here::MORE_STATE.iter().filter(|name| !was.state.iter().any(|kept| kept == *name));
        for name in here::STATE.iter().map(|(name, _)| name).chain(more) {
            let path = repo.git_dir.join(name);
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
        let over = over::kept(&self.backup)?;
        if over.is_some() {
            over::objects_back(repo, &self.backup)?;
        }
        let old = self.old_index();
        let old_git = calm(&repo.git.elsewhere(&self.at)).env("GIT_INDEX_FILE", &old);
        let kept = objects::names(&old_git.run(&["ls-files", "-z"])?);
        let mut ours = objects::names(&git.run(&["ls-files", "-z"])?);
        ours.extend(self.placed.iter().map(|path| path.as_bytes().to_vec()));
        let mut touched = kept.clone();
        if let Some(commit) = &self.commit {
            let commit = commit.as_os_str();
            let tree = ["ls-tree".as_ref(), "-r".as_ref(), "-z".as_ref(), "--full-tree".as_ref(), "--name-only".as_ref(), commit];
            ours.extend(objects::names(&git.run(&tree)?));
            let differ = ["diff-index".as_ref(), "--cached".as_ref(), "-z".as_ref(), "--name-only".as_ref(), commit];
            touched = self.placed.iter().map(|path| path.as_bytes().to_vec()).collect();
            touched.extend(objects::names(&old_git.run(&differ)?));
        }
        touched.extend(over.iter().flat_map(over::names).map(|name| name.as_bytes().to_vec()));
        let mut root = Root::open(&self.at).at("open", &self.at)?;
        for path in ours.iter().rev().filter(|path| !kept.contains(*path)) {
            // A directory with something in it is not ours alone.
            let _ = root.remove(path);
        }
        self.put_head_back(&git, was)?;
        match fs::read(&old) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => drop(fs::remove_file(repo.git_dir.join("index"))),
            read => durable::write_atomic(&repo.git_dir.join("index"), &read.at("read", &old)?)?,
        }
        // Unless it is asked for, what nobody but its owner has touched is left to its owner. What comes raw is not written by
        // a filter first: Git would take another size for another content.
        let raw: BTreeSet<&[u8]> = over.iter().flat_map(|model| &model.files).map(|file| file.path.as_bytes()).collect();
        let paths = objects::checked_out(&git)?;
        let paths = paths.iter().filter(|path| (force || touched.contains(*path)) && !raw.contains(path.as_slice()));
        let paths = list(paths.map(Vec::as_slice));
        if !paths.is_empty() {
            git.feed(&["checkout-index", "--index", "--force", "--quiet", "-z", "--stdin"], &paths)?;
        }
        match over {
            Some(model) => over::put_back(repo, &model, &self.backup, &self.at),
            None => Ok(()),
        }
    }

    fn put_head_back(&self, git: &Git, was: &Was) -> Result<(), Error> {
        let word = "samesession: undone";
        match (&was.branch, &was.commit) {
            (Some(branch), _) => git.run(&["symbolic-ref".as_ref(), "-m".as_ref(), word.as_ref(), "HEAD".as_ref(), branch.as_os_str()])?,
            (None, Some(commit)) => {
                git.run(&["update-ref".as_ref(), "--no-deref".as_ref(), "-m".as_ref(), word.as_ref(), "HEAD".as_ref(), commit.as_os_str()])?
            }
            (None, None) => Vec::new(),
        };
        Ok(())
    }

    /// The refs that were made, where they still stand as they were made; the others are named.
    fn remove_refs(&self, repo: &Repository) -> Result<Vec<Name>, Error> {
        let git = calm(&repo.git);
        let mut kept = Vec::new();
        let branch = match (&self.branch, &self.commit) {
            (Branch::New { name }, Some(at)) => Some(Made { name: name.clone(), at: at.clone() }),
            _ => None,
        };
        // Somebody may have moved the worktree, or be on the branch elsewhere.
        let used: Vec<Vec<u8>> = worktrees(&git)?.into_iter().filter_map(|tree| tree.branch).collect();
        for made in self.refs.iter().chain(&branch) {
            if used.iter().any(|name| name == made.name.as_bytes()) || !remove_ref(&git, made)? {
                kept.push(made.name.clone());
            } else if let Some(short) =
                made.name.branch().map(String::from_utf8_lossy).filter(|_| branch.as_ref() == Some(made) && !self.configured)
            {
                git.output(&["config", "--local", "--remove-section", &format!("branch.{short}")], b"")?;
            }
        }
        Ok(kept)
    }

    fn old_index(&self) -> PathBuf {
        self.backup.join("index")
    }
}

/// False if it stands elsewhere now; gone is gone.
fn remove_ref(git: &Git, made: &Made) -> Result<bool, Error> {
    let found = git.output(&["rev-parse".as_ref(), "-q".as_ref(), "--verify".as_ref(), made.name.as_os_str()], b"")?;
    if found.status.success() {
        if found.stdout.strip_suffix(b"\n") != Some(made.at.as_bytes()) {
            return Ok(false);
        }
        git.run(&["update-ref".as_ref(), "-d".as_ref(), made.name.as_os_str(), made.at.as_os_str()])?;
    }
    Ok(true)
}
