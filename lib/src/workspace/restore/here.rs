//! The work tree that is there already: whether it may be used, and what is kept of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::place::Root;
use super::{Error, Over, objects, over};
use crate::durable::At;
use crate::git::Repository;
use crate::workspace::model::{Oid, What, Workspace};
use crate::workspace::name::Name;

/// What Git leaves in its directory while something is in progress.
pub const STATE: &[(&str, &str)] = &[
    ("rebase-merge", "a rebase"),
    ("rebase-apply", "a rebase or am"),
    ("MERGE_HEAD", "a merge"),
    ("CHERRY_PICK_HEAD", "a cherry-pick"),
    ("REVERT_HEAD", "a revert"),
    ("sequencer", "a cherry-pick or revert"),
    ("BISECT_LOG", "a bisect"),
];

/// What else belongs to these.
pub const MORE_STATE: &[&str] = &[
    "MERGE_MSG",
    "MERGE_MODE",
    "MERGE_RR",
    "AUTO_MERGE",
    "SQUASH_MSG",
    "REBASE_HEAD",
    "BISECT_START",
    "BISECT_TERMS",
    "BISECT_NAMES",
    "BISECT_EXPECTED_REV",
    "BISECT_ANCESTORS_OK",
    "BISECT_FIRST_PARENT",
];

pub fn top(repo: &Repository) -> Result<PathBuf, Error> {
    let out = repo.git.output(&["rev-parse", "--path-format=absolute", "--show-toplevel"], b"")?;
    match out.stdout.strip_suffix(b"\n") {
        Some(path) if out.status.success() && !path.is_empty() => Ok(Name::new(path).as_path().to_owned()),
        _ => Err(Error::NoWorkTree),
    }
}

pub fn must_be_clean(repo: &Repository, top: &Path) -> Result<(), Error> {
    if let Some((_, what)) = STATE.iter().find(|(file, _)| repo.git_dir.join(file).symlink_metadata().is_ok()) {
        return Err(Error::InProgress(what));
    }
    let git = repo.git.elsewhere(top).env("GIT_OPTIONAL_LOCKS", "0");
    let out = git.run(&["status", "--porcelain", "-z", "--untracked-files=no", "--ignore-submodules=none"])?;
    match out.split(|&b| b == 0).next().and_then(|line| line.get(3..)) {
        Some(path) => Err(Error::Dirty(Name::new(path).to_string())),
        None => Ok(()),
    }
}

/// Nothing that is not in a commit, and no commit that only HEAD leads to: whoever goes on here takes nothing away.
pub fn is_clean(repo: &Repository, top: &Path) -> Result<(), Error> {
    must_be_clean(repo, top)?;
    let git = repo.git.elsewhere(top).env("GIT_OPTIONAL_LOCKS", "0");
    let out = git.run(&["ls-files", "-z", "--others", "--directory", "--no-empty-directory", "--exclude-standard"])?;
    if let Some(path) = out.split(|&b| b == 0).find(|path| !path.is_empty()) {
        return Err(Error::Dirty(Name::new(path).to_string()));
    }
    if git.output(&["symbolic-ref", "-q", "HEAD"], b"")?.status.success() {
        return Ok(());
    }
    let refs = ["for-each-ref", "--count=1", "--contains=HEAD", "refs/heads/", "refs/remotes/", "refs/tags/"];
    if git.run(&refs)?.is_empty() { Err(Error::Dirty("HEAD".to_owned())) } else { Ok(()) }
}

/// No file that would be lost stands in the way, as far as that is known before the commits are here.
pub fn may_go_over(repo: &Repository, top: &Path, model: &Workspace, over: Option<&Over>) -> Result<(), Error> {
    let over = over.map(|over| &over.capture.model);
    must_be_free(repo, top, model, over)?;
    match model.head.commit.filter(|commit| objects::absent(&repo.git, [*commit].into_iter()).is_ok_and(|absent| absent.is_empty())) {
        Some(commit) => commit_must_fit(repo, top, commit, over),
        None => Ok(()),
    }
}

/// The same for what a checkout of the commit brings.
pub fn commit_must_fit(repo: &Repository, top: &Path, commit: Oid, over: Option<&Workspace>) -> Result<(), Error> {
    let all = objects::tree(&repo.git, commit)?;
    let now = objects::names(&repo.git.elsewhere(top).run(&["ls-files", "-z"])?);
    not_in_the_way(repo, top, &all.difference(&now).cloned().collect(), over)
}

/// No file that Git does not have may stand where the workspace puts one; what Git was told not to look at counts as such.
/// What is in `over` goes before.
pub fn must_be_free(repo: &Repository, top: &Path, model: &Workspace, over: Option<&Workspace>) -> Result<(), Error> {
    let files = model.files.iter().filter(|file| file.what != What::Gone).map(|file| file.path.as_bytes());
    let wanted: BTreeSet<Vec<u8>> = files.chain(model.index.iter().map(|entry| entry.path.as_bytes())).map(<[u8]>::to_vec).collect();
    not_in_the_way(repo, top, &wanted, over)
}

fn not_in_the_way(repo: &Repository, top: &Path, wanted: &BTreeSet<Vec<u8>>, over: Option<&Workspace>) -> Result<(), Error> {
    let goes: BTreeSet<&[u8]> = over.into_iter().flat_map(over::names).map(Name::as_bytes).collect();
    let git = repo.git.elsewhere(top).env("GIT_OPTIONAL_LOCKS", "0");
    let mut others = objects::names(&git.run(&["ls-files", "-z", "--others"])?);
    let mut root = Root::open(top).at("open", top)?;
    for line in git.run(&["ls-files", "-z", "-v"])?.split(|&b| b == 0) {
        let hidden = line.first().is_some_and(|tag| tag.is_ascii_lowercase() || *tag == b'S');
        if let Some(path) = line.get(2..).filter(|_| hidden)
            && root.kind(path).at("look at", top)?.is_some()
        {
            others.insert(path.to_vec());
        }
    }
    for other in others.into_iter().filter(|other| !goes.contains(other.as_slice())) {
        let other = other.strip_suffix(b"/").unwrap_or(&other);
        let below = [other, b"/"].concat();
        let name = Name::new(other);
        let hit = wanted.contains(other) || name.parents().any(|above| wanted.contains(above));
        if hit || wanted.range(below.clone()..).next().is_some_and(|path| path.starts_with(&below)) {
            return Err(Error::WouldOverwrite(name));
        }
    }
    Ok(())
}
