//! The user's Git: which repository is around, and the one place that starts the program `git`, and the one that signs as Git is set up to.
//!
//! Knows no agent and no capsule. What is asked often and must be fast goes through `gix` (`Repo`); what must be exactly as
//! the user's own Git has it (which repository, whose configuration, refs of any format, the network) goes through it.

mod gpg;
mod repository;
mod run;
pub mod signing;

pub use repository::{Around, Config, Repository};
pub use run::{Begun, Error, Git, LOCATING, failed};

use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub struct Repo {
    /// The top of the work tree around the directory that was asked about.
    pub root: PathBuf,
    /// That one and all others of the same repository, real paths.
    pub worktrees: Vec<PathBuf>,
    pub branch: Option<String>,
    pub head: Option<String>,
    /// `.git` of all work trees.
    pub common: PathBuf,
}

impl Repo {
    /// The repository whose work tree holds this directory. One that cannot be opened is none: nothing here depends on it.
    pub fn around(dir: &Path) -> Option<Repo> {
        let repo = gix::discover(dir).ok()?;
        let root = real(repo.workdir()?);
        let mut worktrees = vec![root.clone()];
        if let Ok(main) = repo.main_repo() {
            worktrees.extend(main.workdir().map(real));
        }
        for linked in repo.worktrees().unwrap_or_default() {
            worktrees.extend(linked.base().ok().map(|base| real(&base)));
        }
        worktrees.sort();
        worktrees.dedup();
        let head = repo.head().ok();
        let branch = head.as_ref().and_then(|head| Some(head.referent_name()?.shorten().to_string()));
        let head = head.and_then(|head| head.id().map(|id| id.to_string()));
        let common = repo.common_dir().to_owned();
        Some(Repo { root, worktrees, branch, head, common })
    }

    pub fn contains(&self, dir: &Path) -> bool {
        self.worktrees.iter().any(|tree| dir.starts_with(tree))
    }
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
