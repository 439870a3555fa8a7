//! Where a rollout of a capsule goes in this home, and what Codex is told of it.
//!
//! The path that the index names, if it lies in this home; else where the thread stands already; else the folder of its
//! day. Always the plain name, unless the capsule's rollout is packed and no plain one is here: then it stays packed, and
//! Codex unpacks it. So where `incoming` is packed and its place is not, whoever installs it unpacks it.

use std::path::{Component, Path, PathBuf};

use super::history;
use super::index::{self, Listing, Reading, Thread};
use super::meta::Meta;
use super::names::{self, Names};
use super::rollout::{self, ARCHIVE, Found, Name, SESSIONS};
use super::{faults, summary};
use crate::agent::{Copy, Error, Home, Incoming, Place, Role, StagedFile, jsonl};
use crate::id::NativeId;

pub fn places(home: &Home, incoming: &Incoming<'_>) -> Result<Vec<Place>, Error> {
    let index = index::read(home);
    let (on_disk, _) = rollout::walk(home);
    let place = |file: &StagedFile| {
        let Some(name) = rollout_of(file) else {
            return match file.role {
                Role::Name | Role::TornTail => Ok(Place::Settled),
                _ => Err(Error::Foreign { path: file.name.to_string(), session: incoming.native.clone() }),
            };
        };
        let packed = jsonl::is_packed(file.name.as_path());
        let plain = named_by(&index, home, &name.id)
            .or_else(|| on_disk.iter().find(|found| is_of(found, &name.id)).cloned())
            .map_or_else(|| home.root.join(name.dated(false)), |found| rollout::plain_path(&found.path));
        Ok(Place::File(if packed && !plain.exists() { packed_path(&plain) } else { plain }))
    };
    incoming.files.iter().map(place).collect()
}

/// Every other rollout of the same threads. One whose first record cannot be read is counted by its name, since that is
/// how Codex would find it.
pub fn copies(home: &Home, incoming: &Incoming<'_>, places: &[Place]) -> Vec<Copy> {
    let ids: Vec<NativeId> = incoming.files.iter().filter_map(rollout_of).map(|name| name.id).collect();
    let placed = |path: &Path| places.iter().any(|place| matches!(place, Place::File(file) if file == path));
    let (on_disk, _) = rollout::walk(home);
    let others = on_disk.into_iter().filter(|found| ids.contains(&found.name.id) && !placed(&found.path));
    let same = others.filter(|found| Meta::read(&found.path).map_or(true, |meta| meta.id == found.name.id));
    same.map(|found| Copy::Transcript(found.path)).collect()
}

pub fn settle(home: &Home, incoming: &Incoming<'_>, places: &[Place]) -> Result<(), Error> {
    let ids: Vec<NativeId> = incoming.files.iter().filter_map(rollout_of).map(|name| name.id).collect();
    for file in incoming.files.iter().filter(|file| file.role == Role::Name) {
        let lines = std::fs::read(&file.staged).map_err(|source| Error::Read { path: file.staged.clone(), source })?;
        names::settle(home, &lines, &ids)?;
    }
    let names = Names::read(home)?;
    let mut installed = Vec::new();
    for (file, place) in incoming.files.iter().zip(places) {
        if let (Some(_), Place::File(path)) = (rollout_of(file), place) {
            let modified = path.metadata().and_then(|meta| meta.modified());
            let modified = modified.map_err(|source| Error::Read { path: path.clone(), source })?;
            let prompt = (file.role == Role::Transcript).then(|| summary::first_prompt_of(path)).flatten();
            installed.push((file.role, path, Meta::read(path)?, modified, prompt));
        }
    }
    let archive = home.root.join(ARCHIVE);
    let threads: Vec<Thread<'_>> = installed
        .iter()
        .map(|(role, rollout, meta, modified, prompt)| Thread {
            meta,
            rollout,
            archived: rollout.starts_with(&archive),
            session: (*role == Role::Transcript).then(|| Listing {
                cwd: incoming.cwd,
                name: names.of(&meta.id),
                prompt: prompt.as_deref(),
                modified: *modified,
            }),
        })
        .collect();
    index::settle(home, &threads)?;
    threads.iter().try_for_each(|thread| history::settle(home, &thread.meta.id, thread.rollout))
}

/// A thread whose rollout is gone is not listed any more; one whose rollout is as before is drawn from it.
pub fn unsettle(home: &Home, files: &[PathBuf]) -> Result<(), Error> {
    let rollouts = files.iter().filter_map(|path| Some((Name::of(path)?.id, path)));
    let (there, gone): (Vec<_>, Vec<_>) = { rollouts }.partition(|(_, path)| rollout::existing(path).is_some());
    index::forget(home, &gone)?;
    there.into_iter().try_for_each(|(id, path)| history::settle(home, &id, path))
}

/// The rollout that Codex itself would come to for this id; says why, where it would come to none.
pub fn looked_up(home: &Home, id: &NativeId, notes: &mut Vec<String>) -> Option<Found> {
    let row = match index::read(home) {
        Reading::None => None,
        Reading::Unreadable(path, why) => {
            notes.push(faults::damaged_index(&path, &why));
            return None;
        }
        Reading::Open(index) => index.row(id).ok().flatten(),
    };
    let Some(row) = row else {
        let found = rollout::without_twins(rollout::walk(home).0).into_iter().find(|found| is_of(found, id));
        match (&found, index::file(home)) {
            (None, _) => notes.push("Codex finds no rollout of it in this home".to_owned()),
            (Some(_), Some(_)) => notes.push("Codex lists it after it was resumed once by its id".to_owned()),
            (Some(_), None) => notes.push(
                "Codex has never run here, and will find it by its id only: restore it once more afterwards, and the picker shows it"
                    .to_owned(),
            ),
        }
        return found;
    };
    let found = rollout::existing(&row.rollout).filter(|path| Meta::read(path).is_ok_and(|meta| meta.id == *id));
    match found {
        Some(path) => Some(Found { name: Name::of(&path)?, path, archived: row.archived }),
        None => {
            let named = row.rollout.display();
            notes.push(format!("Codex's index names '{named}' for it, where it is not: restore it again with Codex closed"));
            None
        }
    }
}

/// Where the index says that the thread stands, if that is in this home.
pub fn indexed(home: &Home, id: &NativeId) -> Option<Found> {
    named_by(&index::read(home), home, id)
}

fn named_by(index: &Reading, home: &Home, id: &NativeId) -> Option<Found> {
    let Reading::Open(index) = index else { return None };
    let row = index.row(id).ok().flatten()?;
    let (shelf, path) = in_home(home, &row.rollout)?;
    let name = Name::of(&path)?;
    let ours = match rollout::existing(&path) {
        Some(file) => Meta::read(&file).is_ok_and(|meta| meta.id == *id),
        None => path.symlink_metadata().is_err() && name.id == *id,
    };
    ours.then(|| Found { path: rollout::existing(&path).unwrap_or(path), name, archived: shelf == ARCHIVE })
}

/// The same file below our own name for the home, if its real directory is in there: whatever links and `..` it names.
fn in_home(home: &Home, named: &Path) -> Option<(&'static str, PathBuf)> {
    let clean = named.is_absolute() && named.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let dir = real(named.parent().filter(|_| clean)?)?;
    let below = |shelf: &'static str| {
        let root = home.root.join(shelf);
        let rest = dir.strip_prefix(real(&root)?).ok()?;
        Some((shelf, root.join(rest).join(named.file_name()?)))
    };
    [SESSIONS, ARCHIVE].into_iter().find_map(below)
}

/// The real path of a directory that may have yet to be made.
fn real(dir: &Path) -> Option<PathBuf> {
    dir.ancestors().find_map(|existing| {
        let rest = dir.strip_prefix(existing).ok()?;
        Some(existing.canonicalize().ok()?.components().chain(rest.components()).collect())
    })
}

fn is_of(found: &Found, id: &NativeId) -> bool {
    found.name.id == *id && Meta::read(&found.path).is_ok_and(|meta| meta.id == *id)
}

fn rollout_of(file: &StagedFile) -> Option<Name> {
    Name::in_capsule(&file.name).filter(|_| matches!(file.role, Role::Transcript | Role::Lineage))
}

fn packed_path(plain: &Path) -> PathBuf {
    let mut path = plain.as_os_str().to_owned();
    path.push(".zst");
    PathBuf::from(path)
}
