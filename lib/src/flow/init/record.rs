//! What `init` has set in a repository, so that exactly that can be taken back: `samesession/init.json` in its common
//! directory, and beside it the configuration as it was before.
//!
//! What must stay true: it is written before the configuration is, so that a crash leaves nothing that is not recorded.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Step;
use crate::durable::{self, At};
use crate::flow::{Error, remotes};
use crate::git::Repository;
use crate::id::hex;

const SCHEMA: &str = "samesession.init-record/1";
const NAME: &str = "init.json";
const ORIGINAL: &str = "config.before";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    schema: String,
    /// From how it was to how it is; nothing in it was taken back by a later one.
    pub steps: Vec<Step>,
    /// The hash of the configuration as `init` left it.
    after: Option<String>,
}

impl Record {
    pub fn load(repo: &Repository) -> Result<Option<Record>, Error> {
        let path = repo.private_dir().join(NAME);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.at("read", &path)?,
        };
        let record: Record = serde_json::from_slice(&bytes).map_err(io::Error::from).at("read", &path)?;
        Ok(Some(record))
    }

    fn write(&self, repo: &Repository) -> Result<(), Error> {
        let mut json = serde_json::to_vec_pretty(self).map_err(io::Error::from).at("write", repo.private_dir().join(NAME))?;
        json.push(b'\n');
        Ok(durable::write_atomic(&repo.private_dir().join(NAME), &json)?)
    }

    fn absorb(&mut self, step: &Step) {
        let opposite = |known: &Step| match (known, step) {
            (Step::Add { key, value }, Step::Remove { key: k, value: v })
            | (Step::Remove { key, value }, Step::Add { key: k, value: v }) => {
                // A remote that was renamed has taken its refspec along.
                value == v && (key == k || remotes::tracked(value).is_some())
            }
            _ => false,
        };
        if self.steps.contains(step) {
            return;
        }
        if let Some(n) = self.steps.iter().position(opposite) {
            self.steps.remove(n);
            return;
        }
        if let Step::Replace { key, was, value } = step {
            for known in &mut self.steps {
                match known {
                    Step::Add { key: k, value: v } | Step::Replace { key: k, value: v, .. } if k == key && v == was => {
                        v.clone_from(value);
                        return;
                    }
                    _ => {}
                }
            }
        }
        self.steps.push(step.clone());
    }
}

/// One at a time, in all work trees of a repository.
pub fn lock(repo: &Repository) -> Result<File, Error> {
    let lock = File::open(&repo.common).at("open", &repo.common)?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).map_err(io::Error::from).at("lock", &repo.common)?;
    Ok(lock)
}

/// Records the steps, does the work, and forgets them again if it fails.
pub fn keeping(repo: &Repository, steps: &[Step], work: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    durable::create_dirs(&repo.private_dir())?;
    let old = Record::load(repo)?;
    let original = repo.private_dir().join(ORIGINAL);
    let before = config(repo)?;
    match &old {
        None => durable::write_atomic(&original, &before)?,
        // Somebody else has written to it since: there is no way back to the bytes of then.
        Some(old) if old.after != Some(sum(&before)) => drop(fs::remove_file(&original)),
        Some(_) => {}
    }
    let mut record = old.clone().unwrap_or(Record { schema: SCHEMA.to_owned(), steps: Vec::new(), after: None });
    record.after = None;
    steps.iter().for_each(|step| record.absorb(step));
    record.write(repo)?;
    if let Err(error) = work() {
        match old {
            Some(old) => old.write(repo)?,
            None => remove(repo)?,
        }
        return Err(error);
    }
    record.after = Some(sum(&config(repo)?));
    record.write(repo)
}

/// Puts the configuration back to what it was byte for byte, if it is as `init` left it. Under Git's own lock.
pub fn put_back(repo: &Repository, record: &Record) -> Result<bool, Error> {
    let path = config_path(repo);
    let Ok(original) = fs::read(repo.private_dir().join(ORIGINAL)) else { return Ok(false) };
    let locked = path.with_extension("lock");
    // Whoever holds the lock now is writing to it.
    let Ok(mut file) = OpenOptions::new().write(true).create_new(true).open(&locked) else { return Ok(false) };
    let mut swap = || {
        if record.after != Some(sum(&fs::read(&path)?)) {
            return Ok(false);
        }
        file.set_permissions(fs::Permissions::from_mode(fs::metadata(&path)?.permissions().mode()))?;
        file.write_all(&original)?;
        file.sync_all()?;
        fs::rename(&locked, &path).map(|()| true)
    };
    let swapped: io::Result<bool> = swap();
    if !matches!(swapped, Ok(true)) {
        let _ = fs::remove_file(&locked);
    }
    Ok(swapped.at("write", &path)?)
}

pub fn remove(repo: &Repository) -> Result<(), Error> {
    let dir = repo.private_dir();
    for name in [NAME, ORIGINAL] {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).at("remove", dir.join(name)).map_err(Error::from),
            _ => {}
        }
    }
    // Other things of ours may stand there.
    let _ = fs::remove_dir(dir);
    Ok(())
}

/// A link to it is followed, as Git does.
fn config_path(repo: &Repository) -> PathBuf {
    let path = repo.common.join("config");
    path.canonicalize().unwrap_or(path)
}

fn config(repo: &Repository) -> Result<Vec<u8>, Error> {
    match fs::read(config_path(repo)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => Ok(read.at("read", config_path(repo))?),
    }
}

fn sum(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(value: &str) -> Step {
        Step::Add { key: "k".into(), value: value.into() }
    }

    fn remove(value: &str) -> Step {
        Step::Remove { key: "k".into(), value: value.into() }
    }

    fn replace(was: &str, value: &str) -> Step {
        Step::Replace { key: "k".into(), was: was.into(), value: value.into() }
    }

    #[test]
    fn what_is_recorded_leads_from_the_first_state_to_the_last() {
        let check = |steps: &[Step], left: &[Step]| {
            let mut record = Record { schema: SCHEMA.to_owned(), steps: Vec::new(), after: None };
            steps.iter().for_each(|step| record.absorb(step));
            assert_eq!(record.steps, left, "{steps:?}");
        };
        check(&[add("a"), add("b")], &[add("a"), add("b")]);
        check(&[add("a"), add("a")], &[add("a")]);
        check(&[add("a"), remove("a")], &[]);
        check(&[remove("a"), add("a")], &[]);
        check(&[add("a"), replace("a", "b")], &[add("b")]);
        check(&[replace("a", "b"), replace("b", "c")], &[replace("a", "c")]);
        check(&[replace("a", "b"), add("x"), replace("z", "c")], &[replace("a", "b"), add("x"), replace("z", "c")]);
    }
}
