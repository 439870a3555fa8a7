//! Whether a session may come back into the work tree in which this device has it.
//!
//! What must stay true: yes only where nothing would be lost: all of it is in commits, or it is what a capsule of this
//! session is known to hold, looked at again byte for byte; never by times alone.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::super::Error;
use super::arrive::{Arrived, Asked};
use super::capture::Work;
use super::known::{self, Known};
use super::same::{hash, look};
use crate::git::Repository;
use crate::progress::Progress;
use crate::workspace::capture::{self, Capture};
use crate::workspace::model::{Oid, Submodule};
use crate::workspace::restore::{self, Home, Over};
use crate::workspace::{self, fingerprint};

pub enum Way {
    In(Home),
    /// It has to go elsewhere, for this reason.
    Elsewhere(String),
}

pub fn way(arrived: &Arrived, repo: &Repository, top: &Path, asked: &Asked<'_>, progress: &dyn Progress) -> Result<Way, Error> {
    let elsewhere = |why: &str| Ok(Way::Elsewhere(why.to_owned()));
    // Which files are there and which are not is then more than what is written here.
    if capture::sparse(repo)?.is_some() || arrived.model.sparse.is_some() {
        return elsewhere("only a part of the tree is checked out");
    }
    let home = match standing(repo, top, asked, progress)? {
        Some(over) => Home { over: Some(Arc::new(over)) },
        None => match restore::is_clean(repo, top) {
            Ok(()) => Home { over: None },
            Err(error @ (restore::Error::Dirty(_) | restore::Error::InProgress(_))) => {
                return elsewhere(&format!("{error}, and no capsule of this session is known to hold it"));
            }
            Err(error) => return Err(error.into()),
        },
    };
    if !modules_stay(arrived, asked, top, home.over.as_deref(), progress)? {
        return elsewhere("its submodules are not as they came");
    }
    match restore::may_go_over(repo, top, &arrived.model, home.over.as_deref()) {
        Ok(()) => Ok(Way::In(home)),
        Err(error @ restore::Error::WouldOverwrite(_)) => elsewhere(&error.to_string()),
        Err(error) => Err(error.into()),
    }
}

/// What stands there, if a capsule of this session holds it.
fn standing(repo: &Repository, top: &Path, asked: &Asked<'_>, progress: &dyn Progress) -> Result<Option<Over>, Error> {
    let known = known::all(repo, top, asked.sid);
    let mut looked: Vec<&Known> = Vec::new();
    for one in &known {
        if looked.iter().any(|other| one.is_seen_alike(other)) {
            continue;
        }
        looked.push(one);
        let Some(work) = Work::like(asked.env, top, one)? else { return Ok(None) };
        let Some((capture, fingerprint)) = state(&work, progress)? else { continue };
        if known.iter().any(|other| other.is_seen_alike(one) && other.fingerprint == fingerprint) {
            return Ok(Some(Over { capture, fingerprint }));
        }
    }
    Ok(None)
}

fn state(work: &Work, progress: &dyn Progress) -> Result<Option<(Capture, String)>, Error> {
    let captured = match look(work, progress) {
        // An operation that is not understood is in no capsule.
        Err(Error::Workspace(workspace::Error::Operation(_))) => return Ok(None),
        captured => captured?,
    };
    let Some(captured) = captured else { return Ok(None) };
    let mut hashes = HashMap::new();
    for file in &captured.files {
        hashes.insert(file.name.clone(), hash(file)?);
    }
    let found = fingerprint::of(&captured.model, &|name| hashes.get(name).cloned());
    Ok(found.map(|fingerprint| (captured, fingerprint)))
}

/// Submodules are left alone there, so they must be what they should be.
fn modules_stay(arrived: &Arrived, asked: &Asked<'_>, top: &Path, over: Option<&Over>, progress: &dyn Progress) -> Result<bool, Error> {
    let there = match over {
        Some(over) => over.capture.model.submodules.clone(),
        None if arrived.model.submodules.is_empty() => Vec::new(),
        None => {
            let Some(work) = Work::around(asked.env, top, &super::Options { whole: true, ..Default::default() })? else { return Ok(false) };
            look(&work, progress)?.map(|captured| captured.model.submodules).unwrap_or_default()
        }
    };
    let plain = |module: &Submodule| (module.path.clone(), module.commit, module.changed || module.untracked);
    let stays = |module: &Submodule| {
        let (path, commit, dirty): (_, Option<Oid>, bool) = plain(module);
        there
            .iter()
            .any(|there| there == module || there.path == path && there.commit == commit && !dirty && !there.changed && !there.untracked)
            || commit.is_none()
    };
    Ok(arrived.model.submodules.iter().all(stays))
}
