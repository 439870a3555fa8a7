//! The states of a work tree that are in some capsule: what this device captured there, and what it restored there.
//!
//! Where a work tree is in such a state nothing is lost by putting a later one over it. A file for each work tree, beside
//! Git's own; only a memory: where it is missing, a session comes into a new work tree.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::capsule::FileEntry;
use crate::durable;
use crate::git::Repository;
use crate::id::{SessionId, hex};
use crate::path::RelPath;
use crate::workspace::capture::Options;
use crate::workspace::fingerprint;
use crate::workspace::model::Workspace;

const DIR: &str = "states";
/// For each work tree. Of a session that comes and goes only the last few can still stand there.
const REMEMBERED: usize = 32;
/// Beyond this somebody else has written it.
const MOST: u64 = 4 << 20;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Not in the file's own words: it says where these are kept.
    #[serde(skip)]
    file: PathBuf,
    #[serde(default)]
    sid: String,
    pub fingerprint: String,
    /// How it was looked at, or it would not be the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub submodules: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include_ignored: Vec<String>,
}

impl Known {
    pub fn new(repo: &Repository, top: &Path, fingerprint: String, options: &Options) -> Known {
        let (submodules, include_ignored) = (options.submodules, options.include_ignored.clone());
        Known { file: file(repo, top), sid: String::new(), fingerprint, submodules, include_ignored }
    }

    /// That a capsule of this session holds it. Nothing where the repository is gone: it is not made again.
    pub fn remember(&self, sid: &SessionId) {
        // Ours in it, and below that the one for these.
        if !self.file.ancestors().nth(3).is_some_and(Path::is_dir) {
            return;
        }
        let new = Known { sid: sid.to_string(), ..self.clone() };
        let mut all = read(&self.file);
        if all.first() == Some(&new) {
            return;
        }
        all.retain(|known| *known != new);
        all.insert(0, new);
        all.truncate(REMEMBERED);
        // Without it the session comes into a work tree of its own, which loses nothing either.
        let _ = durable::create_dirs(durable::parent(&self.file));
        let _ = serde_json::to_vec(&all).map(|json| durable::write_atomic(&self.file, &json));
    }

    /// As it was looked at, so another one can be.
    pub fn is_seen_alike(&self, other: &Known) -> bool {
        (self.submodules, &self.include_ignored) == (other.submodules, &other.include_ignored)
    }
}

/// Those of this session in this work tree, the newest first.
pub fn all(repo: &Repository, top: &Path, sid: &SessionId) -> Vec<Known> {
    let mut all = read(&file(repo, top));
    all.retain(|known| known.sid == sid.as_str());
    all
}

/// What will stand there once a capsule's workspace is.
pub fn arriving(repo: &Repository, top: &Path, model: &Workspace, files: &[FileEntry]) -> Option<Known> {
    let listed: HashMap<&RelPath, &FileEntry> = files.iter().map(|file| (&file.path, file)).collect();
    let fingerprint = fingerprint::of(model, &|name| listed.get(name).map(|file| file.sha256.clone()))?;
    let submodules = model.submodules.iter().any(|module| module.contents.is_some());
    Some(Known::new(repo, top, fingerprint, &Options { submodules, ..Options::default() }))
}

fn file(repo: &Repository, top: &Path) -> PathBuf {
    let name = hex(&Sha256::digest(top.as_os_str().as_bytes())[..16]);
    repo.private_dir().join(DIR).join(name)
}

fn read(file: &Path) -> Vec<Known> {
    let small = fs::symlink_metadata(file).is_ok_and(|meta| meta.is_file() && meta.len() < MOST);
    let mut all: Vec<Known> =
        if small { serde_json::from_slice(&fs::read(file).unwrap_or_default()).unwrap_or_default() } else { Vec::new() };
    all.iter_mut().for_each(|known| known.file = file.to_owned());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_that_is_gone_is_not_made_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let common = dir.path().join("p/.git");
        let file = common.join("samesession").join(DIR).join("x");
        let known =
            Known { file: file.clone(), sid: String::new(), fingerprint: "f".to_owned(), submodules: false, include_ignored: vec![] };
        let sid = SessionId::derive("claude", &crate::id::NativeId::parse("x-1").expect("an id"));
        known.remember(&sid);
        assert!(!dir.path().join("p").exists());
        fs::create_dir_all(&common).expect("made");
        known.remember(&sid);
        assert_eq!(read(&file).len(), 1);
    }
}
