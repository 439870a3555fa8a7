//! Reading Git's state files: each one taken by name, none overlooked, none longer than it can honestly be.
//!
//! Pseudo refs (`CHERRY_PICK_HEAD`) are files only in the `files` format of refs; in a reftable they are asked of Git.
//! What must stay true: nothing is written, and where nothing is in progress no program is started for it in the usual
//! format of refs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::super::model::Oid;
use super::super::name::Name;
use super::error::Error;
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

/// A directory of state files. `finish` refuses what nobody took.
pub struct Folder<'a> {
    state: &'a State<'a>,
    name: &'static str,
    left: BTreeSet<String>,
}

impl Folder<'_> {
    pub fn path(&self, file: &str) -> String {
        format!("{}/{file}", self.name)
    }

    pub fn take(&mut self, file: &str) -> Result<Option<Vec<u8>>, Error> {
        if !self.left.remove(file) {
            return Ok(None);
        }
        self.state.file(&self.path(file))
    }

    pub fn must(&mut self, file: &str) -> Result<Vec<u8>, Error> {
        self.take(file)?.ok_or_else(|| self.wrong(file, "it is missing"))
    }

    pub fn text(&mut self, file: &str) -> Result<Option<Name>, Error> {
        Ok(self.take(file)?.map(Name::new))
    }

    /// The one line of a file.
    pub fn line(&mut self, file: &str) -> Result<Option<Name>, Error> {
        Ok(self.take(file)?.map(|text| Name::new(text.strip_suffix(b"\n").unwrap_or(&text))))
    }

    pub fn oid(&mut self, file: &str) -> Result<Option<Oid>, Error> {
        self.take(file)?.map(|text| self.state.oid(&self.path(file), &text)).transpose()
    }

    pub fn must_oid(&mut self, file: &str) -> Result<Oid, Error> {
        self.oid(file)?.ok_or_else(|| self.wrong(file, "it is missing"))
    }

    pub fn number(&mut self, file: &str) -> Result<Option<u32>, Error> {
        let Some(text) = self.take(file)? else { return Ok(None) };
        let number = std::str::from_utf8(text.trim_ascii()).ok().and_then(|text| text.parse().ok());
        number.map(Some).ok_or_else(|| self.wrong(file, "it is no number"))
    }

    /// Lines of object names, so many in each.
    pub fn oids<const N: usize>(&mut self, file: &str) -> Result<Vec<[Oid; N]>, Error> {
        let text = self.take(file)?.unwrap_or_default();
        let mut lines = Vec::new();
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let words = line.split(|&byte| byte == b' ').map(|word| self.state.oid(&self.path(file), word));
            let words: Vec<Oid> = words.collect::<Result<_, _>>()?;
            lines.push(words.try_into().map_err(|_| self.wrong(file, "a line has another form"))?);
        }
        Ok(lines)
    }

    /// A mark that says something by being there.
    pub fn flag(&mut self, file: &str) -> bool {
        self.left.remove(file)
    }

    pub fn wrong(&self, file: &str, why: impl Into<String>) -> Error {
        self.state.not_understood(&self.path(file), why)
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.left.iter()
    }

    pub fn finish(mut self) -> Result<(), Error> {
        match self.left.pop_first() {
            Some(file) => Err(self.wrong(&file, "its name is not known")),
            None => Ok(()),
        }
    }
}

fn content(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let meta = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        meta => meta.at("read", path)?,
    };
    let wrong = |why: &str| Error::NotUnderstood { file: path.to_owned(), why: why.to_owned() };
    if !meta.is_file() {
        return Err(wrong("it is not a plain file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).at("read", path)?;
    if bytes.len() as u64 > MAX_FILE { Err(wrong("it is too long")) } else { Ok(Some(bytes)) }
}

fn listed(git: &Git, patterns: &[&str], root: bool) -> Result<BTreeMap<String, Oid>, Error> {
    let mut args = vec!["for-each-ref", "--format=%(objectname) %(refname)"];
    args.extend(root.then_some("--include-root-refs"));
    args.push("--");
    args.extend(patterns);
    let nonsense = || crate::git::Error::Nonsense { verb: "for-each-ref".to_owned() };
    let mut refs = BTreeMap::new();
    for line in git.lines(&args)? {
        let (oid, name) = line.split_once(' ').ok_or_else(nonsense)?;
        let oid = gix::hash::ObjectId::from_hex(oid.as_bytes()).map_err(|_| nonsense())?;
        refs.insert(name.to_owned(), Oid(oid));
    }
    Ok(refs)
}

fn files(git_dir: &Path, git: &Git) -> Result<BTreeMap<String, Oid>, Error> {
    let (below, root): (Vec<&str>, Vec<&str>) = REFS.iter().partition(|name| name.starts_with("refs/"));
    let mut refs = listed(git, &below, false)?;
    for name in root {
        let Some(text) = content(&git_dir.join(name))? else { continue };
        let oid = gix::hash::ObjectId::from_hex(text.trim_ascii());
        let oid = oid.map_err(|_| Error::NotUnderstood { file: git_dir.join(name), why: "it names no object".to_owned() })?;
        refs.insert(name.to_owned(), Oid(oid));
    }
    Ok(refs)
}

/// What object each of these hexadecimal words means here, in one start of Git.
fn ask<W: AsRef<[u8]>>(git: &Git, words: &[W]) -> Result<Vec<Option<Oid>>, Error> {
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let mut input = Vec::new();
    for word in words {
        input.extend(word.as_ref());
        input.push(b'\n');
    }
    let out = git.feed(&["cat-file", "--batch-check=%(objectname)"], &input)?;
    let found: Vec<Option<Oid>> =
        out.trim_ascii_end().split(|&byte| byte == b'\n').map(|line| gix::hash::ObjectId::from_hex(line).ok().map(Oid)).collect();
    if found.len() == words.len() { Ok(found) } else { Err(crate::git::Error::Nonsense { verb: "cat-file".to_owned() }.into()) }
}
