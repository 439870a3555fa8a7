//! What is asked of Git, or of the files in which it has the answer: refs, and what a word means.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::super::model::Oid;
use super::error::Error;
use super::state::{MAX_FILE, REFS};
use crate::durable::At;
use crate::git::Git;

pub fn content(path: &Path) -> Result<Option<Vec<u8>>, Error> {
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

pub fn listed(git: &Git, patterns: &[&str], root: bool) -> Result<BTreeMap<String, Oid>, Error> {
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

pub fn files(git_dir: &Path, git: &Git) -> Result<BTreeMap<String, Oid>, Error> {
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
pub fn ask<W: AsRef<[u8]>>(git: &Git, words: &[W]) -> Result<Vec<Option<Oid>>, Error> {
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
