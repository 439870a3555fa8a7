//! Reading Git's state files: each one taken by name, none overlooked, none longer than it can honestly be.
//!
//! Pseudo refs (`CHERRY_PICK_HEAD`) are files only in the `files` format of refs; in a reftable they are asked of Git.
//! What must stay true: nothing is written, and where nothing is in progress no program is started for it in the usual
//! format of refs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use super::super::model::Oid;
use super::super::name::Name;
use super::ask::{ask, content, files, listed};
use super::draft::KEPT;
use super::error::Error;
use super::folder::Folder;
use super::todo::{self, Todo, Words};
use crate::durable::At;
use crate::git::{Git, Repository};

/// A longer state file is none.
pub const MAX_FILE: u64 = 16 << 20;
/// In the Git directory: any of them means that something may be in progress.
const SIGNS: &[&str] = &[
    "MERGE_HEAD",
    "MERGE_MSG",
    "SQUASH_MSG",
    "MERGE_AUTOSTASH",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "sequencer",
    "rebase-merge",
    "rebase-apply",
    "BISECT_START",
    "NOTES_MERGE_PARTIAL",
];
/// All refs that belong to operations.
pub const REFS: &[&str] = &[
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "REBASE_HEAD",
    "ORIG_HEAD",
    "AUTO_MERGE",
    "MERGE_AUTOSTASH",
    "BISECT_HEAD",
    "BISECT_EXPECTED_REV",
    "NOTES_MERGE_PARTIAL",
    "refs/bisect",
    "refs/rewritten",
    KEPT,
];

pub struct State<'a> {
    repo: &'a Repository,
    git: Git,
    refs: BTreeMap<String, Oid>,
}

impl<'a> State<'a> {
    /// None where nothing is in progress.
    pub fn open(repo: &'a Repository) -> Result<Option<State<'a>>, Error> {
        let signs = SIGNS.iter().any(|name| repo.git_dir.join(name).symlink_metadata().is_ok());
        let table = repo.config.get("extensions.refstorage").is_some_and(|format| format != "files");
        if !signs && !table {
            return Ok(None);
        }
        let state = State::all(repo)?;
        let begun = SIGNS.iter().any(|name| state.refs.contains_key(*name));
        Ok((signs || begun).then_some(state))
    }

    /// Whether something is in progress or not.
    pub fn all(repo: &'a Repository) -> Result<State<'a>, Error> {
        let table = repo.config.get("extensions.refstorage").is_some_and(|format| format != "files");
        let git = repo.git.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_NO_LAZY_FETCH", "1");
        let refs = if table { listed(&git, REFS, true)? } else { files(&repo.git_dir, &git)? };
        Ok(State { repo, git, refs })
    }

    /// By their full names.
    pub fn refs(&self) -> &BTreeMap<String, Oid> {
        &self.refs
    }

    pub fn reference(&self, name: &str) -> Option<Oid> {
        self.refs.get(name).copied()
    }

    /// The refs under `refs/<..>/`, by what follows it.
    pub fn below(&self, prefix: &str) -> Vec<(Name, Oid)> {
        let below = self.refs.iter().filter_map(|(name, oid)| Some((name.strip_prefix(prefix)?, *oid)));
        below.map(|(name, oid)| (Name::new(name), oid)).collect()
    }

    /// Where a branch stands.
    pub fn branch(&self, full: &Name) -> Result<Option<Oid>, Error> {
        let Ok(name) = std::str::from_utf8(full.as_bytes()) else { return Ok(None) };
        Ok(listed(&self.git, &[name], false)?.get(name).copied())
    }

    pub fn config(&self, key: &str) -> Option<&str> {
        self.repo.config.get(key)
    }

    pub fn git(&self) -> &Git {
        &self.git
    }

    pub fn place(&self, name: &str) -> PathBuf {
        self.repo.git_dir.join(name)
    }

    pub fn file(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        content(&self.place(name))
    }

    pub fn text(&self, name: &str) -> Result<Option<Name>, Error> {
        Ok(self.file(name)?.map(Name::new))
    }

    pub fn not_understood(&self, file: &str, why: impl Into<String>) -> Error {
        Error::NotUnderstood { file: self.place(file), why: why.into() }
    }

    pub fn oid(&self, file: &str, word: &[u8]) -> Result<Oid, Error> {
        let oid = gix::hash::ObjectId::from_hex(word.trim_ascii()).ok().filter(|oid| oid.kind() == self.repo.hash);
        oid.map(Oid).ok_or_else(|| self.not_understood(file, "it names no object"))
    }

    pub fn folder(&'a self, name: &'static str) -> Result<Option<Folder<'a>>, Error> {
        let place = self.place(name);
        let entries = match fs::read_dir(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            entries => entries.at("read", &place)?,
        };
        let mut names = BTreeSet::new();
        for entry in entries {
            let entry = entry.at("read", &place)?;
            names.insert(entry.file_name().to_string_lossy().into_owned());
        }
        Ok(Some(Folder { state: self, name, left: names }))
    }

    /// A todo list and what is done of it: labels of the one count in the other.
    pub fn todo(&self, lists: &[(&str, &[u8])], set: &[Name]) -> Result<Vec<Vec<Todo>>, Error> {
        let comment = ["core.commentstring", "core.commentchar"].iter().find_map(|key| self.config(key));
        let comment = comment.filter(|text| *text != "auto" && !text.is_empty()).unwrap_or("#").as_bytes();
        let mut labels: BTreeSet<Vec<u8>> = set.iter().map(|label| label.as_bytes().to_vec()).collect();
        let mut hex = BTreeSet::new();
        for (_, list) in lists {
            labels.extend(todo::labels(list, comment));
            let words = todo::lines(list, comment).flat_map(|(_, line)| line.split(u8::is_ascii_whitespace));
            hex.extend(words.filter(|word| word.len() >= 4 && word.iter().all(u8::is_ascii_hexdigit)));
        }
        let words = Words { commits: &self.resolve(hex)?, labels: &labels };
        let parse = |(file, list): &(&str, &[u8])| {
            let wrong = |line| self.not_understood(file, format!("line {line} is no command with commits and labels that are known"));
            todo::parse(list, comment, &words).map_err(wrong)
        };
        lists.iter().map(parse).collect()
    }

    fn resolve(&self, words: BTreeSet<&[u8]>) -> Result<BTreeMap<Vec<u8>, Oid>, Error> {
        let full = self.repo.hash.len_in_hex();
        let mut known = BTreeMap::new();
        let mut short = Vec::new();
        for word in words {
            match gix::hash::ObjectId::from_hex(word) {
                Ok(oid) if word.len() == full => drop(known.insert(word.to_vec(), Oid(oid))),
                _ if word.len() < full => short.push(word),
                _ => {}
            }
        }
        for (word, oid) in short.iter().zip(ask(&self.git, &short)?) {
            known.extend(oid.map(|oid| (word.to_vec(), oid)));
        }
        Ok(known)
    }

    /// Which of them this repository has, without asking anybody else.
    pub fn has(&self, objects: &[Oid]) -> Result<Vec<bool>, Error> {
        let words: Vec<Vec<u8>> = objects.iter().map(|oid| oid.0.to_string().into_bytes()).collect();
        Ok(ask(&self.git, &words)?.into_iter().map(|found| found.is_some()).collect())
    }
}
