//! Submodules whose contents came along, checked out in a new work tree and put back as they were.
//!
//! From a clone that this repository has already, else by Git's own `submodule update` under whatever the user allows. What
//! must stay true: where one cannot be had the rest stands all the same, and a note names it; nothing is fetched by a
//! `.gitmodules` that nobody agreed to.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::FileType;

use super::apply::checked_out;
use super::place::Root;
use super::undo::Undo;
use super::{Destination, Error, Note, Options, Plan, calm, objects, plan};
use crate::durable::{self, At};
use crate::git::{self, Git, Repository};
use crate::path::RelPath;
use crate::workspace::model::{Oid, Submodule, Workspace};
use crate::workspace::name::Name;

const LIST: &str = ".gitmodules";
/// What was configured for a submodule on the way, to be taken away by `undo`.
pub const SECTIONS: &str = "sections";

/// What was left out of them, and what could not be had.
#[derive(Default)]
pub struct Brought {
    pub withheld: Vec<Name>,
    pub notes: Vec<Note>,
}

pub fn bring(plan: &Plan<'_>, undo: &Undo, withheld: &BTreeSet<Vec<u8>>) -> Result<Brought, Error> {
    let mut brought = Brought::default();
    for (n, module) in plan.model.submodules.iter().enumerate() {
        let Some(contents) = &module.contents else { continue };
        let done = if withheld.contains(LIST.as_bytes()) {
            Err("its address is not agreed to".to_owned())
        } else {
            match one(plan, undo, module, contents, n) {
                Err(Error::Git(git::Error::Interrupted)) => return Err(git::Error::Interrupted.into()),
                done => done.map_err(|error| error.to_string()),
            }
        };
        match done {
            Ok(inside) => {
                brought.withheld.extend(inside.withheld.iter().map(|name| below(module, name)));
                brought.notes.extend(inside.notes);
            }
            Err(why) => brought.notes.push(Note::SubmoduleLeft { path: module.path.clone(), why }),
        }
    }
    Ok(brought)
}

fn one(plan: &Plan<'_>, undo: &Undo, module: &Submodule, contents: &Workspace, n: usize) -> Result<Brought, Error> {
    let at = plan.at.join(module.path.as_path());
    let git = calm(&plan.repo.git.elsewhere(&plan.at));
    must_be_its_place(plan, &git, module)?;
    let name = name_of(plan, &git, module)?;
    match clone_here(plan, &name, contents)? {
        Some(from) => check_out_from(&git, plan, module, &from)?,
        None => check_out(&git, plan, undo, module, &name)?,
    }
    // Addresses that stand in files which came along are not the user's own words.
    let repo = Repository::with(plan.repo.git.elsewhere(&at).env("GIT_PROTOCOL_FROM_USER", "0"))?;
    if repo.git_dir == plan.repo.git_dir || repo.common == plan.repo.common {
        return Err(Error::NoWorkTree);
    }
    let options = Options { backup: plan.options.backup.join(format!("{SECTIONS}-{n}")), ..plan.options.clone() };
    let here = Destination::Here { branch: false, home: None };
    let inner = plan::plan_in(&repo, contents, &plan.staged, &format!("{}/submodules/{n}", plan.dir), &here, &options)?;
    let undo = super::prepare(&inner)?;
    let applied = checked_out(&inner, &undo)?;
    let _ = fs::remove_dir_all(&options.backup);
    Ok(applied)
}

/// A directory in the work tree itself, which the index gives to a submodule: no link that came along leads elsewhere.
fn must_be_its_place(plan: &Plan<'_>, git: &Git, module: &Submodule) -> Result<(), Error> {
    let path = module.path.as_bytes();
    let kind = Root::open(&plan.at).and_then(|mut root| root.kind(path)).at("look at", &plan.at)?;
    let words = ["ls-files", "--stage", "-z", "--"].map(OsStr::new);
    let entry = git.env("GIT_LITERAL_PATHSPECS", "1").run(&[&words[..], &[module.path.as_os_str()]].concat())?;
    let its = entry.starts_with(b"160000 ") && entry.strip_suffix(b"\0").is_some_and(|entry| entry.ends_with(&[b"\t", path].concat()));
    if its && kind == Some(FileType::Directory) { Ok(()) } else { Err(Error::Submodule("no place for it is there".to_owned())) }
}

/// As `.gitmodules` calls it, which is where Git keeps it.
fn name_of(plan: &Plan<'_>, git: &Git, module: &Submodule) -> Result<RelPath, Error> {
    let unknown = || Error::Submodule("no .gitmodules names it".to_owned());
    let list = plan.at.join(LIST);
    if !list.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
        return Err(unknown());
    }
    let out = git.output(&["config", "-f", LIST, "-z", "--get-regexp", r"^submodule\..*\.path$"], b"")?.stdout;
    let key = out.split(|&byte| byte == 0).find_map(|line| {
        let end = line.iter().position(|&byte| byte == b'\n')?;
        (&line[end + 1..] == module.path.as_bytes()).then(|| line[..end].to_vec())
    });
    let key = key.ok_or_else(unknown)?;
    let name = key.strip_prefix(b"submodule.").and_then(|rest| rest.strip_suffix(b".path")).ok_or_else(unknown)?;
    RelPath::parse(name).map_err(|error| Error::Submodule(error.to_string()))
}

/// A clone of it that another work tree of this repository has, with all that is leant on.
fn clone_here(plan: &Plan<'_>, name: &RelPath, contents: &Workspace) -> Result<Option<PathBuf>, Error> {
    let linked = fs::read_dir(plan.repo.common.join("worktrees")).into_iter().flatten().flatten().map(|entry| entry.path());
    for dir in [plan.repo.common.clone()].into_iter().chain(linked) {
        let clone = name.under(&dir.join("modules"));
        if clone.join("HEAD").symlink_metadata().is_err() {
            continue;
        }
        let git = calm(&plan.repo.git.at_top(&clone, &clone));
        let needed: Vec<Oid> = objects::needed(contents).iter().map(|one| one.commit).collect();
        if objects::absent(&git, needed.into_iter()).is_ok_and(|absent| absent.is_empty()) {
            return Ok(Some(clone));
        }
    }
    Ok(None)
}

fn check_out_from(git: &Git, plan: &Plan<'_>, module: &Submodule, from: &std::path::Path) -> Result<(), Error> {
    let place = module.path.as_os_str();
    let words = ["clone", "--quiet", "--no-checkout", "--local", "--no-tags", "--"].map(OsStr::new);
    git.run(&[&words[..], &[from.as_os_str(), place]].concat())?;
    let inside = calm(&plan.repo.git.elsewhere(&plan.at.join(module.path.as_path())));
    // A place without a commit, so that it counts as clean.
    inside.run(&["symbolic-ref", "HEAD", "refs/heads/samesession-none"])?;
    let address = plan.repo.git.at_top(from, from).output(&["config", "--get", "remote.origin.url"], b"")?;
    match address.stdout.strip_suffix(b"\n").filter(|url| !url.is_empty()) {
        Some(url) => inside.run(&["config".as_ref(), "remote.origin.url".as_ref(), OsStr::from_bytes(url)])?,
        None => inside.run(&["remote", "remove", "origin"])?,
    };
    git.run(&[&["submodule", "--quiet", "absorbgitdirs", "--"].map(OsStr::new)[..], &[place]].concat())?;
    Ok(())
}

fn check_out(git: &Git, plan: &Plan<'_>, undo: &Undo, module: &Submodule, name: &RelPath) -> Result<(), Error> {
    let section = format!("submodule.{name}");
    let configured = plan.repo.config.keys().any(|key| key.to_lowercase().starts_with(&format!("{}.", section.to_lowercase())));
    if !configured {
        let file = undo.backup.join(SECTIONS);
        let before = fs::read_to_string(&file).unwrap_or_default();
        durable::create_dirs(&undo.backup)?;
        durable::write_atomic(&file, format!("{before}{section}\n").as_bytes())?;
    }
    let words = ["submodule", "--quiet", "update", "--init", "--checkout", "--"].map(OsStr::new);
    git.env("GIT_TERMINAL_PROMPT", "0").run(&[&words[..], &[module.path.as_os_str()]].concat())?;
    Ok(())
}

/// Takes away what was configured.
pub fn forget(repo: &Repository, backup: &std::path::Path) -> Result<(), Error> {
    let file = backup.join(SECTIONS);
    for section in fs::read_to_string(&file).unwrap_or_default().lines() {
        repo.git.output(&["config", "--local", "--remove-section", section], b"")?;
    }
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("remove", &file).map_err(Error::from),
        _ => Ok(()),
    }
}

fn below(module: &Submodule, name: &Name) -> Name {
    Name::new([module.path.as_bytes(), b"/", name.as_bytes()].concat())
}
