//! Which part of a store is this project's: a name that every clone finds by itself, and that tells nothing to others.
//!
//! It is the hash of the first commit of the history. What must stay true: a clone that cannot know that commit guesses no
//! other, and one that found its name once keeps it, whatever branch stands in its work tree later.

use std::io;

use sha2::{Digest, Sha256};

use super::Error;
use crate::durable::{self, At};
use crate::git::Repository;
use crate::id::hex;

/// The name by hand, for a history whose beginning is not here or was rewritten.
pub const NAMESPACE: &str = "samesession.namespace";
const FILE: &str = "namespace";
const LENGTH: usize = 32;

/// None for a repository without a history.
pub fn of(repo: &Repository) -> Result<Option<String>, Error> {
    if let Some(name) = repo.config.get(NAMESPACE).filter(|name| !name.is_empty()) {
        return if is_name(name) { Ok(Some(name.to_owned())) } else { Err(Error::NotANamespace(name.chars().take(80).collect())) };
    }
    let path = repo.private_dir().join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(known) if is_name(known.trim_end()) => return Ok(Some(known.trim_end().to_owned())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).at("read", &path).map_err(Error::from),
        _ => {}
    }
    let Some(root) = root(repo)? else { return Ok(None) };
    let digest = Sha256::digest([b"samesession/namespace/1\0", root.as_bytes()].concat());
    let name = hex(&digest)[..LENGTH].to_owned();
    // Found again where it cannot be kept.
    let _ = durable::create_dirs(&repo.private_dir()).and_then(|_| durable::write_atomic(&path, format!("{name}\n").as_bytes()));
    Ok(Some(name))
}

/// It is found again when it is needed.
pub fn forget(repo: &Repository) {
    let _ = std::fs::remove_file(repo.private_dir().join(FILE));
}

/// The commit with which the history of HEAD begins, along first parents: what was merged into it later is another's.
fn root(repo: &Repository) -> Result<Option<String>, Error> {
    let args = ["rev-list", "--first-parent", "--max-parents=0", "HEAD", "--"];
    let out = repo.git.output(&args, b"")?;
    let Some(root) = std::str::from_utf8(&out.stdout).ok().and_then(|text| text.lines().last()) else { return Ok(None) };
    // At the edge of a shallow clone every commit looks like a first one; its own words are the same everywhere.
    let commit = repo.git.run(&["cat-file", "commit", root])?;
    let header = commit.split(|&byte| byte == b'\n').take_while(|line| !line.is_empty());
    if header.into_iter().any(|line| line.starts_with(b"parent ")) {
        return Err(Error::NoBeginning);
    }
    Ok(Some(root.to_owned()))
}

pub fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(good) && !name.starts_with('-')
}
