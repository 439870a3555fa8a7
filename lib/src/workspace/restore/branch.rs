//! On which branch HEAD is put: the one it was on, where that can be had without moving anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gix::hash::ObjectId;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::git::{Git, Repository};
use crate::workspace::model::{Head, Oid};
use crate::workspace::name::Name;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Branch {
    Detached,
    /// Made at the commit.
    New {
        name: Name,
    },
    /// Stands at the commit already, and nobody has it checked out.
    There {
        name: Name,
    },
    /// Has no commit yet: no ref is made.
    Unborn {
        name: Name,
    },
}

impl Branch {
    /// What HEAD is to be on, and the wanted name if it could not be had.
    pub fn choose(repo: &Repository, head: &Head, asked: bool, here: Option<&Path>) -> Result<(Branch, Option<Name>), Error> {
        let taken = Taken::read(repo, here)?;
        match (&head.commit, &head.branch) {
            (None, Some(name)) => {
                let free = (1..).map(|n| numbered(name, n)).find(|name| taken.is_free(name)).unwrap_or_else(|| name.clone());
                let other = (free != *name).then(|| name.clone());
                Ok((Branch::Unborn { name: free }, other))
            }
            (Some(_), Some(name)) if asked && taken.is_free(name) => Ok((Branch::New { name: name.clone() }, None)),
            (Some(commit), Some(name)) if asked && taken.stands_at(name, commit) => Ok((Branch::There { name: name.clone() }, None)),
            (_, Some(name)) if asked => Ok((Branch::Detached, Some(name.clone()))),
            _ => Ok((Branch::Detached, None)),
        }
    }

    /// The branch that HEAD is on here, if it is the right one and stands at the commit.
    pub fn where_it_is(repo: &Repository, head: &Head) -> Result<Option<Branch>, Error> {
        let now = head_of(repo)?;
        let same = now.commit == head.commit && (head.branch.is_none() || head.branch == now.branch);
        Ok(match now.branch {
            Some(name) if same && head.commit.is_some() => Some(Branch::There { name }),
            _ => None,
        })
    }

    pub fn name(&self) -> Option<&Name> {
        match self {
            Branch::Detached => None,
            Branch::New { name } | Branch::There { name } | Branch::Unborn { name } => Some(name),
        }
    }
}

struct Taken {
    refs: BTreeMap<Vec<u8>, Option<ObjectId>>,
    checked_out: Vec<Vec<u8>>,
}

impl Taken {
    fn read(repo: &Repository, here: Option<&Path>) -> Result<Taken, Error> {
        let out = repo.git.run(&["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/"])?;
        let line = |line: &[u8]| {
            let at = line.iter().position(|&b| b == b' ')?;
            Some((line[at + 1..].to_owned(), ObjectId::from_hex(&line[..at]).ok()))
        };
        let refs = out.split(|&b| b == b'\n').filter_map(line).collect();
        let others = worktrees(&repo.git)?.into_iter().filter(|tree| here.is_none_or(|here| tree.path != here));
        Ok(Taken { refs, checked_out: others.filter_map(|tree| tree.branch).collect() })
    }

    fn is_free(&self, name: &Name) -> bool {
        let below = [name.as_bytes(), b"/"].concat();
        let nested = self.refs.range(below.clone()..).next().is_some_and(|(known, _)| known.starts_with(&below));
        let blocked = name.parents().any(|above| self.refs.contains_key(above));
        // An unborn branch that is checked out has no ref.
        !nested && !blocked && !self.refs.contains_key(name.as_bytes()) && !self.is_checked_out(name)
    }

    fn stands_at(&self, name: &Name, commit: &Oid) -> bool {
        self.refs.get(name.as_bytes()) == Some(&Some(commit.0)) && !self.is_checked_out(name)
    }

    fn is_checked_out(&self, name: &Name) -> bool {
        self.checked_out.iter().any(|branch| branch == name.as_bytes())
    }
}

fn numbered(name: &Name, n: usize) -> Name {
    if n == 1 { name.clone() } else { Name::new([name.as_bytes(), format!("-{n}").as_bytes()].concat()) }
}

fn head_of(repo: &Repository) -> Result<Head, Error> {
    let symbolic = repo.git.output(&["symbolic-ref", "-q", "HEAD"], b"")?;
    let commit = repo.git.output(&["rev-parse", "-q", "--verify", "HEAD^{commit}"], b"")?;
    let line = |out: std::process::Output| out.stdout.strip_suffix(b"\n").filter(|_| out.status.success()).map(<[u8]>::to_vec);
    Ok(Head { branch: line(symbolic).map(Name::new), commit: line(commit).and_then(|oid| ObjectId::from_hex(&oid).ok()).map(Oid) })
}

pub struct Worktree {
    pub path: PathBuf,
    pub branch: Option<Vec<u8>>,
}

/// The main one first.
pub fn worktrees(git: &Git) -> Result<Vec<Worktree>, Error> {
    let out = git.run(&["worktree", "list", "--porcelain", "-z"])?;
    let mut trees: Vec<Worktree> = Vec::new();
    for line in out.split(|&b| b == 0) {
        if let Some(path) = line.strip_prefix(b"worktree ") {
            trees.push(Worktree { path: Name::new(path).as_path().to_owned(), branch: None });
        } else if let (Some(branch), Some(tree)) = (line.strip_prefix(b"branch "), trees.last_mut()) {
            tree.branch = Some(branch.to_owned());
        }
    }
    Ok(trees)
}
