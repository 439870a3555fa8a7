//! A plan into effect: objects, work tree, index, files, HEAD, in an order in which each step can be taken back.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::index::Index;
use super::undo::{Undo, Was};
use super::{Branch, Destination, Error, Home, Note, Over, Plan, calm, here, modules, objects, tree};
use crate::durable::{self, At};
use crate::fault;
use crate::git::{Git, Repository};
use crate::policy;
use crate::workspace::model::{Sparse, What};
use crate::workspace::name::Name;
use crate::workspace::operation::Operation;

#[derive(Debug)]
pub struct Applied {
    /// Executable configuration that was left out: nobody agreed to it.
    pub withheld: Vec<Name>,
    /// Those of the plan, and what came to light.
    pub notes: Vec<Note>,
}

/// Brings back an operation in progress, in the repository as it is seen from the work tree.
pub type Rebuild<'a> = dyn Fn(&Repository, &[Operation]) -> Result<(), Error> + 'a;

/// `undo` is what `prepare` made of this plan, written down by now. What was done before an error is not taken
/// back here.
pub fn apply(plan: &Plan<'_>, undo: &Undo, rebuild: &Rebuild<'_>) -> Result<Applied, Error> {
    let (withheld, mut notes) = put(plan, undo)?;
    let mut names: Vec<Name> = withheld.iter().map(|path| Name::new(path.as_slice())).collect();
    if let Destination::New { .. } = plan.destination {
        let modules = modules::bring(plan, undo, &withheld)?;
        names.extend(modules.withheld);
        notes.extend(modules.notes);
    }
    if !plan.model.operations.is_empty() {
        rebuild(&plan.repo.elsewhere(&plan.at)?, &plan.model.operations)?;
    }
    fault::point("workspace.rebuilt").at("write", &plan.at)?;
    objects::let_go(&plan.repo.objects, &undo.mark);
    undo.note_stamp(&tree::stamp(&plan.repo.git, &plan.at)?)?;
    Ok(Applied { withheld: names, notes })
}

/// The same in a submodule that was just checked out; its work tree is ours.
pub fn checked_out(plan: &Plan<'_>, undo: &Undo) -> Result<modules::Brought, Error> {
    let (withheld, notes) = put(plan, undo)?;
    let mut brought = modules::bring(plan, undo, &withheld)?;
    objects::let_go(&plan.repo.objects, &undo.mark);
    brought.withheld.extend(withheld.iter().map(|path| Name::new(path.as_slice())));
    let inside = |note: &Note| !plan.notes.contains(note);
    brought.notes.extend(notes.into_iter().filter(inside));
    Ok(brought)
}

/// Objects, index, files and HEAD; with what was left out.
fn put(plan: &Plan<'_>, undo: &Undo) -> Result<(BTreeSet<Vec<u8>>, Vec<Note>), Error> {
    durable::create_dirs(&plan.options.backup)?;
    objects::fetch(plan)?;
    objects::take_in(plan, &undo.mark)?;
    objects::complete(plan)?;
    fault::point("workspace.packed").at("write", &plan.at)?;
    let withheld = withheld(plan)?;
    let git = match &plan.destination {
        Destination::New { .. } => new_worktree(plan, undo)?,
        Destination::Here { home, .. } => this_worktree(plan, undo, home.as_ref())?,
    };
    fault::point("workspace.made").at("write", &plan.at)?;
    let here = matches!(plan.destination, Destination::Here { .. });
    let index = Index { git: &git, plan, withheld: &withheld, here };
    let mut notes = plan.notes.clone();
    notes.extend(index.restore()?);
    fault::point("workspace.indexed").at("write", &plan.at)?;
    index.write_files()?;
    fault::point("workspace.filled").at("write", &plan.at)?;
    put_head(&git, plan)?;
    fault::point("workspace.headed").at("write", &plan.at)?;
    Ok((withheld, notes))
}

/// Configuration that runs programs and that no remote is known to have.
fn withheld(plan: &Plan<'_>) -> Result<BTreeSet<Vec<u8>>, Error> {
    if plan.options.accept_config {
        return Ok(BTreeSet::new());
    }
    let mut paths = objects::brought(&plan.repo.git, plan.model)?;
    let work = plan.model.files.iter().filter(|file| file.what != What::Gone).map(|file| &file.path);
    paths.extend(work.chain(plan.model.index.iter().map(|entry| &entry.path)).map(|path| path.as_bytes().to_vec()));
    paths.retain(|path| policy::is_executable_config(path));
    Ok(paths)
}

fn new_worktree(plan: &Plan<'_>, undo: &Undo) -> Result<Git, Error> {
    let parent = durable::parent(&plan.at);
    fs::create_dir_all(parent).at("create directory", parent)?;
    // Ours from here on: nobody else made it.
    fs::create_dir(&plan.at).at("create directory", &plan.at)?;
    undo.note_begun()?;
    let commit = plan.model.head.commit.map(|commit| commit.0.to_string());
    let start = match &commit {
        Some(commit) => commit.clone(),
        None => stand_in(&plan.repo.git)?,
    };
    let args = ["worktree", "add", "--quiet", "--no-checkout", "--detach", "--"].map(OsStr::new);
    let args = [&args[..], &[plan.at.as_os_str(), start.as_ref()]].concat();
    let outside = calm(&plan.repo.git).with("worktree.guessRemote=false");
    // The log of HEAD would keep what only stands in.
    if commit.is_none() { outside.with("core.logAllRefUpdates=false") } else { outside }.run(&args)?;
    let git = calm(&plan.repo.git.elsewhere(&plan.at));
    if let Branch::Unborn { name } = &plan.branch {
        be_unborn(&git, name)?;
    }
    // While the index is empty, so that nothing is marked and nothing written by it.
    plan.model.sparse.as_ref().map_or(Ok(()), |sparse| narrow(&git, plan, sparse))?;
    if let Some(commit) = &commit {
        git.run(&["read-tree", commit])?;
    }
    Ok(git)
}

/// The commit of nothing: `git worktree add` can do without one since Git 2.42 only. Nothing refers to it for long, and it
/// is the same one each time.
fn stand_in(git: &Git) -> Result<String, Error> {
    let nobody = "samesession <samesession@localhost> 0 +0000";
    let text = format!("tree {}\nauthor {nobody}\ncommitter {nobody}\n\nnothing\n", empty_tree(git)?);
    let out = git.feed(&["hash-object", "-t", "commit", "-w", "--stdin"], text.as_bytes())?;
    Ok(String::from_utf8_lossy(&out).trim().to_owned())
}

/// A branch that somebody has made since it was chosen would be seen with everything in it deleted.
fn be_unborn(git: &Git, name: &Name) -> Result<(), Error> {
    git.run(&["symbolic-ref".as_ref(), "HEAD".as_ref(), name.as_os_str()])?;
    let made = git.output(&["rev-parse", "-q", "--verify", "HEAD"], b"")?.status.success();
    if made { Err(Error::BranchMade(name.clone())) } else { Ok(()) }
}

fn this_worktree(plan: &Plan<'_>, undo: &Undo, home: Option<&Home>) -> Result<Git, Error> {
    let git = calm(&plan.repo.git.elsewhere(&plan.at));
    let over = home.and_then(|home| home.over.as_deref());
    let standing = over.map(|over| &over.capture.model);
    if over.is_none() {
        here::must_be_clean(plan.repo, &plan.at)?;
    }
    here::must_be_free(plan.repo, &plan.at, plan.model, standing)?;
    if let Some(commit) = plan.model.head.commit {
        here::commit_must_fit(plan.repo, &plan.at, commit, standing)?;
    }
    undo.keep_old(plan.repo)?;
    over.map_or(Ok(()), |over| over.keep(plan.repo, &plan.options.backup))?;
    fault::point("workspace.kept").at("write", &plan.at)?;
    // Nothing is to be taken back where this stops.
    over.map_or(Ok(()), Over::must_stand)?;
    undo.note_begun()?;
    if let Some(over) = over {
        over.clear(plan.repo, &git)?;
        fault::point("workspace.cleared").at("write", &plan.at)?;
    }
    match plan.model.head.commit.map(|commit| commit.0.to_string()) {
        // On its branch, and there already.
        Some(_) if home.is_some() && matches!(plan.branch, Branch::There { .. }) && stays(plan)? => {}
        Some(commit) => drop(git.run(&["checkout", "--quiet", "--detach", "--no-overwrite-ignore", &commit, "--"])?),
        None => {
            git.run(&["read-tree", "--reset", "-u", &empty_tree(&git)?])?;
            let name = plan.branch.name().and_then(|name| std::str::from_utf8(name.as_bytes()).ok()).unwrap_or("refs/heads/main");
            git.run(&["symbolic-ref", "HEAD", name])?;
        }
    }
    Ok(git)
}

fn stays(plan: &Plan<'_>) -> Result<bool, Error> {
    Ok(Branch::where_it_is(&plan.repo.elsewhere(&plan.at)?, &plan.model.head)?.as_ref() == Some(&plan.branch))
}

pub fn empty_tree(git: &Git) -> Result<String, Error> {
    let out = git.run(&["hash-object", "-t", "tree", "-w", "--stdin"])?;
    Ok(String::from_utf8_lossy(&out).trim().to_owned())
}

/// `git sparse-checkout init` gives the worktree a configuration of its own; the words are ours to write.
fn narrow(git: &Git, plan: &Plan<'_>, sparse: &Sparse) -> Result<(), Error> {
    git.run(&["sparse-checkout", "init", "--no-cone", "--no-sparse-index"])?;
    git.run(&["config", "--worktree", "core.sparseCheckoutCone", if sparse.cone { "true" } else { "false" }])?;
    let out = git.run(&["rev-parse", "--path-format=absolute", "--git-path", "info/sparse-checkout"])?;
    let file = Name::new(out.strip_suffix(b"\n").unwrap_or(&out));
    fs::write(file.as_path(), sparse.patterns.as_bytes()).at("write", plan.at.join(file.as_path()))?;
    Ok(())
}

fn put_head(git: &Git, plan: &Plan<'_>) -> Result<(), Error> {
    let (Some(commit), Some(name)) = (plan.model.head.commit, plan.branch.name()) else { return Ok(()) };
    let name = name.as_os_str();
    if let Branch::New { .. } = plan.branch {
        let none = "0".repeat(plan.repo.hash.len_in_hex());
        let commit = commit.0.to_string();
        let args = ["update-ref".as_ref(), "-m".as_ref(), "samesession: restored".as_ref(), name, commit.as_ref(), none.as_ref()];
        git.run(&args)?;
        follow(git, plan)?;
    }
    if !stays(plan)? {
        git.run(&["symbolic-ref".as_ref(), "-m".as_ref(), "samesession: restored".as_ref(), "HEAD".as_ref(), name])?;
    }
    Ok(())
}

/// Only a branch that was made here, and only a remote that is here.
fn follow(git: &Git, plan: &Plan<'_>) -> Result<(), Error> {
    let (Some(upstream), Some(name)) = (&plan.model.upstream, plan.branch.name().and_then(Name::branch)) else { return Ok(()) };
    let (Ok(name), Ok(remote), Ok(merge)) =
        (std::str::from_utf8(name), std::str::from_utf8(upstream.remote.as_bytes()), std::str::from_utf8(upstream.merge.as_bytes()))
    else {
        return Ok(());
    };
    let known = plan.repo.remotes().contains(&remote) || remote == ".";
    let set = |what: &str| plan.repo.config.get(&format!("branch.{name}.{what}")).is_some();
    if known && !remote.starts_with('-') && !set("remote") && !set("merge") {
        git.run(&["config", "--local", &format!("branch.{name}.remote"), remote])?;
        git.run(&["config", "--local", &format!("branch.{name}.merge"), merge])?;
    }
    Ok(())
}

/// Where HEAD stood in a work tree that is there already.
pub fn head_of(repo: &Repository, top: &Path) -> Result<Was, Error> {
    let git = repo.git.elsewhere(top);
    let symbolic = git.output(&["symbolic-ref", "-q", "HEAD"], b"")?;
    let commit = git.output(&["rev-parse", "-q", "--verify", "HEAD^{commit}"], b"")?;
    let line = |out: &std::process::Output| out.stdout.strip_suffix(b"\n").filter(|_| out.status.success()).map(Name::new);
    let there = |name: &&&str| repo.git_dir.join(name).symlink_metadata().is_ok();
    let state = here::MORE_STATE.iter().filter(there).map(|&name| name.to_owned()).collect();
    Ok(Was { branch: line(&symbolic), commit: line(&commit), state })
}
