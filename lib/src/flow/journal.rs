//! What a restore is about to do, written down before it is done, and done so that a crash can be finished or undone.
//!
//! The journal lies in the stage's directory with the new files (`new/`) and what they replaced (`old/`). Until it says
//! `committed`, the old state comes back; from then on the new one stands. One exception keeps work from being lost: a
//! file that the agent has already written on is never taken away again.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Error;
use super::stage::{self, Stage};
use crate::agent::{Place, Role, StagedFile};
use crate::durable::{self, At};
use crate::id::NativeId;
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
    /// Directories that the restore makes, outermost first.
    pub made: Vec<Dir>,
    pub files: Vec<Filed>,
    pub steps: Vec<Step>,
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
            made: Vec::new(),
            files: Vec::new(),
            steps: Vec::new(),
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
    pub fn commit(&mut self, stage: &mut Stage) -> Result<(), Error> {
        let dir = stage.dir.clone();
        self.write(&dir, State::Prepared)?;
        stage.keep();
        let done = self.forward(&dir);
        match done {
            Ok(()) => Ok(()),
            Err(error) => match self.undo(&dir) {
                Ok(true) => Err(Error::RolledBack(Box::new(error))),
                Ok(false) | Err(_) => Err(Error::NeedsYou { backup: dir, source: Box::new(error) }),
            },
        }
    }

    /// Does what is not done yet, and says so in the journal.
    pub fn forward(&mut self, dir: &Path) -> Result<(), Error> {
        fault::point("restore.journalled").at("write", dir)?;
        for made in &self.made {
            durable::create_dirs(&made.0)?;
        }
        for step in &self.steps {
            if step.done() == Done::No {
                step.perform()?;
                fault::point("restore.placed").at("write", &step.target)?;
            }
        }
        for step in &self.steps {
            durable::sync_dir(durable::parent(&step.target))?;
        }
        fault::point("restore.all-placed").at("write", dir)?;
        self.write(dir, State::Committed)?;
        // After this nothing may fail the restore: what is left is told to the agent, and can be told again.
        let _ = fault::point("restore.committed");
        Ok(())
    }

    /// Puts the old state back and removes the journal; false if somebody has used the new state already, in which case
    /// nothing is touched.
    pub fn undo(&self, dir: &Path) -> Result<bool, Error> {
        if self.steps.iter().any(|step| step.done() == Done::AndUsed) {
            return Ok(false);
        }
        for step in self.steps.iter().rev() {
            step.undo()?;
        }
        for step in &self.steps {
            let _ = durable::sync_dir(durable::parent(&step.target));
        }
        fs::remove_dir_all(dir).at("remove", dir)?;
        let root = dir.parent().map(Path::to_owned);
        let _ = root.map(fs::remove_dir);
        let made: Vec<PathBuf> = self.made.iter().map(|dir| dir.0.clone()).collect();
        stage::remove_empty(&made);
        Ok(true)
    }
}

impl Step {
    fn perform(&self) -> Result<(), Error> {
        let Some(new) = &self.new else {
            let backup = self.backup.as_ref().map_or(&self.target, |backup| &backup.0);
            return Ok(fs::rename(&self.target, backup).at("set aside", &self.target)?);
        };
        fs::set_permissions(&new.staged, fs::Permissions::from_mode(new.mode)).at("prepare", &new.staged)?;
        match &self.backup {
            None => Ok(durable::move_new(&new.staged, &self.target)?),
            Some(backup) => {
                // A second name for the old bytes first, then one rename over them: the target is never missing.
                if fs::hard_link(&self.target, &backup.0).is_err() {
                    fs::copy(&self.target, &backup.0).at("back up", &self.target)?;
                }
                fault::point("restore.backed-up").at("write", &backup.0)?;
                Ok(durable::move_over(&new.staged, &self.target)?)
            }
        }
    }

    fn done(&self) -> Done {
        let target = fs::symlink_metadata(&self.target).ok();
        let Some(new) = &self.new else {
            let moved = self.backup.as_ref().is_some_and(|backup| backup.0.exists());
            return if moved && target.is_none() { Done::Yes } else { Done::No };
        };
        let staged = fs::symlink_metadata(&new.staged).ok();
        match (staged, target) {
            (Some(staged), Some(target)) if staged.ino() == target.ino() && staged.dev() == target.dev() => Done::Yes,
            (Some(_), _) => Done::No,
            (None, Some(target)) if target.len() == new.size && hash(&self.target, new.size) == Some(new.sha256.clone()) => Done::Yes,
            (None, Some(_)) => Done::AndUsed,
            (None, None) => Done::No,
        }
    }

    fn undo(&self) -> Result<(), Error> {
        match (self.done(), &self.new, &self.backup) {
            (Done::Yes, Some(_), None) => Ok(fs::remove_file(&self.target).at("remove", &self.target)?),
            (Done::Yes, _, Some(backup)) => Ok(fs::rename(&backup.0, &self.target).at("put back", &self.target)?),
            // Not done: a backup, if there is one, is a second name of what still stands; it goes with the directory.
            _ => Ok(()),
        }
    }
}

pub(super) fn hash(path: &Path, len: u64) -> Option<String> {
    let mut file = fs::File::open(path).ok()?.take(len);
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match file.read(&mut block).ok()? {
            0 => return Some(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n => hash.update(&block[..n]),
        }
    }
}

/// How old a finished journal with its backups may become; `doctor` and every restore clear older ones.
pub fn is_expired(journal: &Journal, now: std::time::SystemTime) -> bool {
    const KEPT: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);
    let created = time::parse(&journal.created);
    created.and_then(|created| now.duration_since(created).ok()).is_some_and(|age| age > KEPT)
}
