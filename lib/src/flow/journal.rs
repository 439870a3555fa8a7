//! What a restore is about to do, written down before it is done, and done so that a crash can be finished or undone.
//!
//! The journal lies in the stage's directory with the new files (`new/`) and what they replaced (`old/`). Until it says
//! `committed`, the old state comes back; from then on the new one stands. One exception keeps work from being lost: a
//! file that the agent has already written on is never taken away again.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::stage::{self, Stage};
use super::workspace::Moved;
use super::{Error, aside};
use crate::agent::{Place, Role, StagedFile};
use crate::durable::{self, At};
use crate::env::Env;
use crate::id::{NativeId, hex};
use crate::path::{self, RelPath};
use crate::{fault, time};

const NAME: &str = "journal.json";
const SCHEMA: &str = "samesession.journal/1";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Prepared,
    Committed,
    /// The agent's index knows, too: nothing is left to do.
    Settled,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Journal {
    pub schema: String,
    pub state: State,
    pub created: String,
    pub agent: String,
    pub native_id: String,
    #[serde(with = "path::as_text")]
    pub cwd: PathBuf,
    /// The backups hold work that is nowhere else, so they never expire.
    #[serde(default)]
    pub only_copy: bool,
    /// Not a restore: the session was put aside, and its agent is not to offer it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub aside: bool,
    /// Directories that the restore makes, outermost first.
    pub made: Vec<Dir>,
    pub files: Vec<Filed>,
    pub steps: Vec<Step>,
    /// The work tree that is written before any of these files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Moved>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Dir(#[serde(with = "path::as_text")] pub PathBuf);

/// A file of the capsule and what became of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Filed {
    pub name: RelPath,
    pub role: Role,
    #[serde(with = "path::as_text")]
    pub staged: PathBuf,
    pub place: Option<Dir>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Step {
    #[serde(with = "path::as_text")]
    pub target: PathBuf,
    pub backup: Option<Dir>,
    /// `None` sets the target aside and puts nothing in its place.
    pub new: Option<New>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct New {
    #[serde(with = "path::as_text")]
    pub staged: PathBuf,
    pub size: u64,
    pub sha256: String,
    pub mode: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    No,
    /// Half of what takes more than one rename.
    Begun,
    Yes,
    /// Somebody has written there since: not ours to take away.
    AndUsed,
}

impl Journal {
    pub fn new(agent: &str, native: &NativeId, cwd: &Path, created: String) -> Journal {
        Journal {
            schema: SCHEMA.to_owned(),
            state: State::Prepared,
            created,
            agent: agent.to_owned(),
            native_id: native.to_string(),
            cwd: cwd.to_owned(),
            only_copy: false,
            aside: false,
            made: Vec::new(),
            files: Vec::new(),
            steps: Vec::new(),
            workspace: None,
        }
    }

    pub fn read(dir: &Path) -> Option<Journal> {
        let journal: Journal = serde_json::from_slice(&fs::read(dir.join(NAME)).ok()?).ok()?;
        (journal.schema == SCHEMA).then_some(journal)
    }

    pub fn write(&mut self, dir: &Path, state: State) -> Result<(), Error> {
        self.state = state;
        let json = serde_json::to_vec_pretty(self).map_err(std::io::Error::from).at("write", dir.join(NAME))?;
        Ok(durable::write_atomic(&dir.join(NAME), &json)?)
    }

    /// The files as `agent::Agent::settle` wants to see them: placed ones where they stand now.
    pub fn settled_view(&self) -> (Vec<StagedFile>, Vec<Place>) {
        let now = |filed: &Filed| StagedFile {
            name: filed.name.clone(),
            role: filed.role,
            staged: filed.place.as_ref().map_or_else(|| filed.staged.clone(), |place| place.0.clone()),
        };
        let place = |filed: &Filed| filed.place.clone().map_or(Place::Settled, |place| Place::File(place.0));
        (self.files.iter().map(now).collect(), self.files.iter().map(place).collect())
    }

    /// Does every step; on a failure, puts everything back.
    pub fn commit(
        &mut self,
        env: &Env,
        stage: &mut Stage,
        seen: &Seen,
        workspace: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let dir = stage.dir.clone();
        if let Some(step) = self.steps.iter().find(|step| seen.has_changed(&step.target)) {
            return Err(Error::Changing(step.target.clone()));
        }
        self.write(&dir, State::Prepared)?;
        stage.keep();
        let Err(error) = workspace().and_then(|()| self.forward(&dir, seen)) else { return Ok(()) };
        // The word may stand although making it durable failed; then it counts, here as after a crash.
        if Journal::read(&dir).is_some_and(|journal| journal.state == State::Committed) {
            return Ok(());
        }
        match self.undo(env, &dir, false) {
            Ok(true) => Err(Error::RolledBack(Box::new(error))),
            Ok(false) | Err(_) => Err(Error::NeedsYou { backup: dir, source: Box::new(error) }),
        }
    }

    /// Does what is not done yet, and says so in the journal. What was seen before it was planned must still be what is
    /// replaced, up to the moment at which it is.
    pub fn forward(&mut self, dir: &Path, seen: &Seen) -> Result<(), Error> {
        fault::point("restore.journalled").at("write", dir)?;
        for made in &self.made {
            durable::create_dirs(&made.0)?;
        }
        // All second names of old bytes first, and durable: whatever is replaced below can be put back.
        for step in self.steps.iter().filter(|step| step.done() == Done::No) {
            step.back_up()?;
        }
        durable::sync_dir(&dir.join("old"))?;
        for step in &self.steps {
            if matches!(step.done(), Done::No | Done::Begun) {
                seen.still(&step.target, &step.target)?;
                step.perform()?;
                fault::point("restore.placed").at("write", &step.target)?;
            }
        }
        self.sync()?;
        // Whoever had an old file open may have written to it until now, by its second name.
        for step in &self.steps {
            step.backup.as_ref().map_or(Ok(()), |backup| seen.still(&step.target, &backup.0))?;
        }
        fault::point("restore.all-placed").at("write", dir)?;
        self.write(dir, State::Committed)?;
        // After this nothing may fail the restore: what is left is told to the agent, and can be told again.
        let _ = fault::point("restore.committed");
        Ok(())
    }

    /// Puts the old state back and removes the journal; false if somebody has used the new state already, in which case
    /// nothing is touched. Interrupted, it can be begun again, or `forward` can.
    pub fn undo(&self, env: &Env, dir: &Path, force: bool) -> Result<bool, Error> {
        if self.steps.iter().any(|step| step.done() == Done::AndUsed) {
            return Ok(false);
        }
        match self.workspace.as_ref().map(|moved| moved.undo(env, force)) {
            Some(Err(Error::UsedSince(_))) => return Ok(false),
            Some(undone) => drop(undone?),
            None => {}
        }
        // Where the journal is closed, new files have no place to go back to any more.
        durable::create_dirs(&dir.join("new"))?;
        for step in self.steps.iter().rev() {
            step.undo()?;
            fault::point("restore.undone").at("write", &step.target)?;
        }
        let made: Vec<PathBuf> = self.made.iter().map(|dir| dir.0.clone()).collect();
        stage::remove_empty(&made);
        let _ = self.sync();
        // Without its journal the rest is a leftover in which nothing is worth keeping.
        fs::remove_file(dir.join(NAME)).at("remove", dir.join(NAME))?;
        let _ = durable::sync_dir(dir);
        let _ = fault::point("restore.forgotten");
        let _ = fs::remove_dir_all(dir);
        let root = dir.parent().map(Path::to_owned);
        let _ = root.map(fs::remove_dir);
        stage::remove_empty(&made);
        Ok(true)
    }

    /// Whether the transcript still is as it was placed.
    pub fn is_untouched(&self) -> bool {
        let transcript = self.files.iter().find(|file| file.role == Role::Transcript).and_then(|file| file.place.as_ref());
        let step = self.steps.iter().find(|step| transcript.is_some_and(|place| place.0 == step.target));
        let size = step.and_then(|step| step.new.as_ref()).map(|new| new.size);
        size.is_some() && size == step.and_then(|step| fs::metadata(&step.target).ok()).map(|meta| meta.len())
    }

    /// The names of what was placed, and of the directories made for it.
    fn sync(&self) -> Result<(), Error> {
        let mut dirs: Vec<&Path> = self.steps.iter().map(|step| step.target.as_path()).collect();
        dirs.extend(self.made.iter().map(|made| made.0.as_path()));
        let mut dirs: Vec<&Path> = dirs.into_iter().map(durable::parent).filter(|dir| dir.is_dir()).collect();
        dirs.sort();
        dirs.dedup();
        dirs.into_iter().try_for_each(|dir| Ok(durable::sync_dir(dir)?))
    }

    /// Removes what a process that was killed while it copied between file systems left beside the targets. The caller
    /// holds the home's lock, so nobody is copying now.
    pub fn sweep(&self) {
        let mut dirs: Vec<&Path> = self.steps.iter().map(|step| durable::parent(&step.target)).collect();
        dirs.sort();
        dirs.dedup();
        for entry in dirs.into_iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten() {
            let ours = entry.file_name().to_string_lossy().starts_with(durable::TEMPORARY);
            if ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

// A step can be stopped anywhere, done on and undone again from there: undoing puts the new file back into the stage. So
// where it stands is read from the files themselves. The staged file is there until it has been placed, the backup only
// while the step is on its way or done.
impl Step {
    fn back_up(&self) -> Result<(), Error> {
        let (Some(_), Some(backup)) = (&self.new, &self.backup) else { return Ok(()) };
        let backup = &backup.0;
        if !is_same_file(&self.target, backup) && fs::hard_link(&self.target, backup).is_err() {
            // No second name to be had: a copy, which appears whole.
            aside::copy(&self.target, backup)?;
        }
        Ok(fault::point("restore.backed-up").at("write", backup)?)
    }

    fn perform(&self) -> Result<(), Error> {
        match (&self.new, &self.backup) {
            (None, None) => Ok(()),
            (None, Some(backup)) => aside::put(&self.target, &backup.0),
            (Some(new), backup) => {
                fs::set_permissions(&new.staged, fs::Permissions::from_mode(new.mode)).at("prepare", &new.staged)?;
                // Over the old file in one rename: the target is never missing.
                let place = if backup.is_some() { durable::move_over } else { durable::move_new };
                Ok(place(&new.staged, &self.target)?)
            }
        }
    }

    fn done(&self) -> Done {
        let backup = self.backup.as_ref().map(|backup| backup.0.as_path());
        match &self.new {
            None => aside_so_far(&self.target, backup),
            Some(new) => new.so_far(&self.target, backup),
        }
    }

    fn undo(&self) -> Result<(), Error> {
        if matches!(self.done(), Done::No | Done::AndUsed) {
            // A backup, if there is one, is a second name of what still stands; it goes with the directory.
            return Ok(());
        }
        match (&self.new, &self.backup) {
            (None, None) => Ok(()),
            (None, Some(backup)) => aside::put_back(&backup.0, &self.target),
            (Some(new), None) if exists(&new.staged) => Ok(fs::remove_file(&self.target).at("remove", &self.target)?),
            (Some(new), None) => Ok(durable::move_over(&self.target, &new.staged)?),
            (Some(new), Some(backup)) => {
                if !exists(&new.staged) && fs::hard_link(&self.target, &new.staged).is_err() {
                    // Where this fails the step can be undone all the same, only not done again.
                    let _ = aside::copy(&self.target, &new.staged);
                }
                Ok(durable::move_over(&backup.0, &self.target)?)
            }
        }
    }
}

fn aside_so_far(target: &Path, backup: Option<&Path>) -> Done {
    let Some(backup) = backup.filter(|backup| exists(backup)) else { return Done::No };
    match exists(target) {
        false => Done::Yes,
        // Copied to another file system, and not removed yet; anything else was put there since.
        true if aside::is_part_of(target, backup) => Done::Begun,
        true => Done::AndUsed,
    }
}

impl New {
    fn so_far(&self, target: &Path, backup: Option<&Path>) -> Done {
        if backup.is_some_and(|backup| !exists(backup) || is_same_file(backup, target)) {
            return Done::No;
        }
        let staged = exists(&self.staged);
        let Ok(found) = fs::symlink_metadata(target) else {
            // Placed, and taken away by somebody else.
            return if staged { Done::No } else { Done::AndUsed };
        };
        let begins = found.len() >= self.size && hash(target, self.size).as_ref() == Some(&self.sha256);
        match backup {
            _ if begins && found.len() == self.size => Done::Yes,
            _ if !staged => Done::AndUsed,
            // A backup that had to be copied: the target still is the old file, with or without more behind it.
            Some(backup) => match aside::begins_with(target, backup) {
                Some(len) if !begins || len >= self.size => Done::No,
                _ => Done::AndUsed,
            },
            None if begins || is_same_file(&self.staged, target) => Done::AndUsed,
            // Somebody else's, which was faster.
            None => Done::No,
        }
    }
}

/// What stood where when the plan was made, so that a file that changes before the commit is not taken for what it was.
#[derive(Default)]
pub struct Seen(HashMap<PathBuf, Option<Stamp>>);

type Stamp = (u64, u64, u64, i64, i64, i64, i64);

impl Seen {
    pub fn look(&mut self, path: &Path) {
        self.0.insert(path.to_owned(), stamp(path));
    }

    fn has_changed(&self, path: &Path) -> bool {
        self.0.get(path).is_some_and(|then| *then != stamp(path))
    }

    /// That nobody wrote to what was seen at `path`, wherever it stands now. A name more or less is no change, and a copy
    /// is another file.
    fn still(&self, path: &Path, now: &Path) -> Result<(), Error> {
        let content = |stamp: Stamp| (stamp.2, stamp.3, stamp.4);
        match (self.0.get(path).copied().flatten(), stamp(now)) {
            (Some(then), Some(now)) if (then.0, then.1) == (now.0, now.1) && content(then) != content(now) => {
                Err(Error::Changing(path.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::symlink_metadata(path).ok()?;
    // A directory's own times say nothing of what is below it.
    let file = |stamp: Stamp| if meta.is_dir() { (stamp.0, stamp.1, 0, 0, 0, 0, 0) } else { stamp };
    Some(file((meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec())))
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    let identity = |path: &Path| fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    identity(a).is_some_and(|one| Some(one) == identity(b))
}

pub(super) fn hash(path: &Path, len: u64) -> Option<String> {
    let mut file = fs::File::open(path).ok()?.take(len);
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match file.read(&mut block).ok()? {
            0 => return Some(hex(&hash.finalize())),
            n => hash.update(&block[..n]),
        }
    }
}

/// How old a finished journal with its backups may become; `doctor` and every restore clear older ones, unless somebody's
/// work would go with them.
pub fn is_expired(journal: &Journal, now: std::time::SystemTime) -> bool {
    !journal.only_copy && is_old(journal, now)
}

pub fn is_old(journal: &Journal, now: std::time::SystemTime) -> bool {
    const KEPT: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);
    let created = time::parse(&journal.created);
    created.and_then(|created| now.duration_since(created).ok()).is_some_and(|age| age > KEPT)
}
