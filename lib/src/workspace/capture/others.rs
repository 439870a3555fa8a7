//! Files and empty directories that are not in the index.
//!
//! Git says what is untracked; only inside directories which it calls untracked as a whole is anything looked for here,
//! and nothing inside a repository of its own.

use std::collections::{BTreeSet, HashSet};
use std::ops::Bound;

use rustix::fs::FileType;

use super::answers::records;
use super::tree::Seen;
use super::{Error, Note, Work};
use crate::git;
use crate::workspace::name::Name;

/// A command line is finite.
const MOST_NAMES: usize = 100_000;

#[derive(Debug, Default)]
pub struct Others {
    pub files: BTreeSet<Vec<u8>>,
    /// With nothing in them.
    pub directories: BTreeSet<Vec<u8>>,
    pub notes: Vec<Note>,
}

/// Files, and directories as a whole: unlike `git status` this shows empty ones.
pub fn first(work: &Work<'_>) -> Result<Vec<u8>, git::Error> {
    work.git.run(&["ls-files", "--others", "--directory", "--exclude-standard", "-z"])
}

/// `replaced` are names of the index at which directories stand: Git does not call those untracked.
pub fn all(work: &Work<'_>, first: &[u8], replaced: &[Vec<u8>]) -> Result<Others, Error> {
    let mut others = Others::default();
    let mut whole: Vec<Vec<u8>> = replaced.to_vec();
    for name in records(first) {
        match name.strip_suffix(b"/") {
            Some(dir) => whole.push(dir.to_owned()),
            None => drop(others.files.insert(name.to_owned())),
        }
    }
    let mut nested = HashSet::new();
    if !whole.is_empty() {
        for name in records(&inside(work, &whole)?) {
            match name.strip_suffix(b"/") {
                Some(repository) => drop(nested.insert(repository.to_owned())),
                None => drop(others.files.insert(name.to_owned())),
            }
        }
        empty(work, whole, &nested, &mut others)?;
    }
    let mut nested: Vec<_> = nested.into_iter().map(Name::new).collect();
    nested.sort();
    others.notes.extend(nested.into_iter().map(Note::Nested));
    if !work.options.include_ignored.is_empty() {
        let patterns = work.options.include_ignored.iter().map(|glob| format!("--exclude={glob}"));
        let args = ["ls-files", "--others", "--ignored", "-z"].into_iter().map(str::to_owned).chain(patterns);
        let out = work.git.run(&args.collect::<Vec<_>>())?;
        others.files.extend(records(&out).filter(|name| !name.ends_with(b"/")).map(<[u8]>::to_owned));
    }
    Ok(others)
}

/// The files in these directories.
fn inside(work: &Work<'_>, dirs: &[Vec<u8>]) -> Result<Vec<u8>, git::Error> {
    let mut args: Vec<Vec<u8>> = ["ls-files", "--others", "--exclude-standard", "-z", "--"].map(|arg| arg.as_bytes().to_vec()).to_vec();
    // Of too many it is as well to see everything.
    if dirs.iter().map(Vec::len).sum::<usize>() < MOST_NAMES {
        args.extend(dirs.iter().map(|dir| [dir, &b"/"[..]].concat()));
    }
    let args: Vec<std::ffi::OsString> = args.into_iter().map(std::os::unix::ffi::OsStringExt::from_vec).collect();
    work.git.env("GIT_LITERAL_PATHSPECS", "1").run(&args)
}

/// Goes down level by level, so that what is ignored is asked once for each level, and never entered.
fn empty(work: &Work<'_>, whole: Vec<Vec<u8>>, nested: &HashSet<Vec<u8>>, others: &mut Others) -> Result<(), Error> {
    let mut level = whole;
    while !level.is_empty() {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for dir in level.into_iter().filter(|dir| !nested.contains(dir)) {
            let entries = work.tree.list(&dir)?;
            if entries.is_empty() && work.tree.look(&dir)? == Seen::Directory {
                others.directories.insert(dir);
                continue;
            }
            for (name, kind) in entries {
                let child = [&dir, &b"/"[..], &name].concat();
                match kind_of(work, &child, kind)? {
                    FileType::Directory if name == b".git" => {}
                    FileType::Directory if holds(&others.files, &child) => known.push(child),
                    FileType::Directory => unknown.push(child),
                    FileType::RegularFile | FileType::Symlink => {}
                    _ => others.notes.push(Note::Special(Name::new(child))),
                }
            }
        }
        known.extend(not_ignored(work, unknown)?);
        level = known;
    }
    Ok(())
}

/// Some file systems do not say it with the name.
fn kind_of(work: &Work<'_>, name: &[u8], said: FileType) -> Result<FileType, Error> {
    if said != FileType::Unknown {
        return Ok(said);
    }
    Ok(match work.tree.look(name)? {
        Seen::Directory => FileType::Directory,
        Seen::Special => FileType::Fifo,
        Seen::File(_) | Seen::Link | Seen::Nothing => FileType::RegularFile,
    })
}

fn holds(files: &BTreeSet<Vec<u8>>, dir: &[u8]) -> bool {
    let below = [dir, b"/"].concat();
    let next = files.range::<[u8], _>((Bound::Included(below.as_slice()), Bound::Unbounded)).next();
    next.is_some_and(|file| file.starts_with(&below))
}

fn not_ignored(work: &Work<'_>, dirs: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Error> {
    if dirs.is_empty() {
        return Ok(dirs);
    }
    let args = ["check-ignore", "-z", "--stdin"];
    // It takes no literal names, and what follows a colon at their beginning would have a meaning.
    let asked: Vec<u8> = dirs.iter().flat_map(|dir| [b"./", dir.as_slice(), b"\0"].concat()).collect();
    let out = work.git.output(&args, &asked)?;
    // 1 says that none is.
    if !matches!(out.status.code(), Some(0 | 1)) {
        return Err(git::failed(&args, &out).into());
    }
    let ignored: HashSet<&[u8]> = records(&out.stdout).filter_map(|name| name.strip_prefix(b"./")).collect();
    Ok(dirs.into_iter().filter(|dir| !ignored.contains(dir.as_slice())).collect())
}
