//! The work tree in which a session works, into a capsule.
//!
//! What must stay true: a file that did not hold still is found out before the capsule is finished.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::super::{Error, source};
use super::withheld::{self, Withheld};
use super::{Known, Options, ROLE, Summary, summary};
use crate::capsule::{self, Content, Target};
use crate::env::Env;
use crate::git::{self, Git, Repository};
use crate::id::hex;
use crate::path::RelPath;
use crate::policy::Limits;
use crate::progress::Progress;
use crate::workspace::model::{FILE, Workspace};
use crate::workspace::name::Name;
use crate::workspace::{self, capture, fingerprint, identity, operation};

/// The work tree that will be captured.
pub struct Work {
    repo: Repository,
    options: capture::Options,
    /// What stays behind.
    withhold: bool,
    key_files: Option<bool>,
}

pub enum Taken {
    Done(Summary),
    /// This file changed under the reader.
    Changed(PathBuf),
}

impl Work {
    /// Around this directory; `None` where there is no work tree, or nothing of it shall travel.
    pub fn around(env: &Env, dir: &Path, asked: &Options) -> Result<Option<Work>, Error> {
        let options = asked;
        if options.session_only || !dir.is_dir() {
            return Ok(None);
        }
        let options =
            capture::Options { submodules: options.submodules, include_ignored: options.include_ignored.clone(), stores: Vec::new() };
        Ok(around(env, dir)?.filter(|repo| !repo.bare).map(|repo| Work {
            repo,
            options,
            withhold: !asked.whole,
            key_files: asked.key_files,
        }))
    }

    pub fn is_bare(env: &Env, dir: &Path) -> Result<bool, Error> {
        Ok(around(env, dir)?.is_some_and(|repo| repo.bare))
    }

    /// The same as this was looked at.
    pub fn like(env: &Env, top: &Path, known: &Known) -> Result<Option<Work>, Error> {
        let options = capture::Options { submodules: known.submodules, include_ignored: known.include_ignored.clone(), stores: Vec::new() };
        // With what would stay behind: a work tree that holds it is not one that a capsule holds.
        Ok(around(env, top)?.filter(|repo| !repo.bare).map(|repo| Work { repo, options, withhold: false, key_files: None }))
    }

    /// The same with these ignored files.
    pub fn also(&self, patterns: Vec<String>) -> Work {
        let options = capture::Options { include_ignored: patterns, ..self.options.clone() };
        Work { repo: self.repo.clone(), options, ..*self }
    }

    pub fn look(&self, progress: &dyn Progress) -> Result<capture::Capture, workspace::Error> {
        let operations = operation::read(&self.repo)?;
        let also: Vec<_> = operations.iter().flat_map(operation::Operation::objects).map(|oid| oid.0).collect();
        let mut captured = capture::capture(&self.repo, &self.options, &also, progress)?;
        captured.model.identity = identity::of(&self.repo, &self.options.stores)?;
        captured.model.operations = operations;
        Ok(captured)
    }

    /// What stays behind, taken out of what was captured.
    fn withhold(&self, captured: &mut capture::Capture) -> Result<Vec<Withheld>, Error> {
        if !self.withhold {
            return Ok(Vec::new());
        }
        let out = self.repo.git.run(&["rev-parse", "--show-toplevel"])?;
        let rules = withheld::Rules::of(&self.repo, out.strip_suffix(b"\n").unwrap_or(&out), self.key_files)?;
        Ok(rules.leave_out(captured))
    }

    /// The same for a comparison: but for these names, what would have stayed behind is left out.
    pub fn without_what_stays(&self, captured: &mut capture::Capture, but: impl Fn(&Name) -> bool) -> Result<(), Error> {
        let mut all = std::mem::take(&mut captured.model.files);
        let kept: Vec<_> = all.extract_if(.., |file| but(&file.path)).collect();
        captured.model.files = all;
        let whole = Work { repo: self.repo.clone(), options: self.options.clone(), withhold: true, key_files: Some(false) };
        whole.withhold(captured)?;
        captured.model.files.extend(kept);
        captured.model.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(())
    }

    /// Files of keys that would travel or stay as nobody has said yet.
    pub fn undecided(&self, progress: &dyn Progress) -> Result<Vec<String>, Error> {
        if !self.withhold || self.key_files.is_some() || withheld::said(&self.repo)?.is_some() {
            return Ok(Vec::new());
        }
        let mut captured = match self.look(progress) {
            Err(workspace::Error::Changed(_)) => return Ok(Vec::new()),
            captured => captured?,
        };
        let keys = self.withhold(&mut captured)?.into_iter().filter(|one| one.is_key_file);
        Ok(keys.map(|one| one.path).collect())
    }

    /// What somebody has said of them, to be remembered.
    pub fn decide(&mut self, take: bool) -> Result<(), Error> {
        self.key_files = Some(take);
        withheld::remember(&self.repo, take)
    }

    /// Every file of it, the model last.
    pub fn take<T: Target>(&self, into: &mut T, progress: &dyn Progress) -> Result<Taken, Error>
    where
        Error: From<T::Error>,
    {
        let mut captured = match self.look(progress) {
            Err(workspace::Error::Changed(path)) => return Ok(Taken::Changed(path)),
            captured => captured?,
        };
        let withheld = self.withhold(&mut captured)?;
        // Better said before anything is read.
        let bytes = captured.files.iter().map(|file| file.size).sum();
        source::refuse_giant(bytes)?;
        let most = Limits::default().files;
        if captured.files.len() > most {
            return Err(capsule::Error::TooLarge(format!("{} files, and {most} can be restored", captured.files.len())).into());
        }
        let mut hashes = HashMap::new();
        for file in &captured.files {
            match add(file, into)? {
                Added::Done(hash) => drop(hashes.insert(&file.name, hex(&hash))),
                Added::Changed(path) => return Ok(Taken::Changed(path)),
            }
        }
        let json = written(&captured.model)?;
        into.add(Content {
            name: RelPath::parse(FILE.as_bytes()).map_err(capsule::Error::Unsafe)?,
            role: ROLE,
            size: json.len() as u64,
            mode: 0o600,
            // The same workspace makes the same bytes, whenever it is looked at.
            modified: UNIX_EPOCH,
            bytes: &mut &json[..],
        })?;
        let numbers = summary::of(&captured.model, captured.files.len() + 1, bytes);
        let notes = captured.notes.iter().map(ToString::to_string).chain(withheld.iter().map(ToString::to_string)).collect();
        let fingerprint = fingerprint::of(&captured.model, &|name| hashes.get(name).cloned());
        let state = fingerprint.map(|fingerprint| Box::new(Known::new(&self.repo, &captured.top, fingerprint, &self.options)));
        Ok(Taken::Done(Summary { numbers, notes, state }))
    }
}

pub fn written(model: &Workspace) -> Result<Vec<u8>, Error> {
    let mut json = serde_json::to_vec_pretty(model).map_err(|error| capsule::Error::Write(error.into()))?;
    json.push(b'\n');
    Ok(json)
}

enum Added {
    Done([u8; 32]),
    /// The file that did not hold still.
    Changed(PathBuf),
}

fn add<T: Target>(file: &capture::CapturedFile, into: &mut T) -> Result<Added, Error>
where
    Error: From<T::Error>,
{
    let mut reading = match file.open() {
        Err(workspace::Error::Changed(path)) => return Ok(Added::Changed(path)),
        opened => opened?,
    };
    let mut short = Short { from: &mut reading, left: file.size, short: false };
    let content =
        Content { name: file.name.clone(), role: ROLE, size: file.size, mode: file.mode, modified: file.modified, bytes: &mut short };
    let added = into.add(content).map_err(Error::from);
    let was_short = short.short;
    match reading.finish() {
        Err(workspace::Error::Changed(path)) => return Ok(Added::Changed(path)),
        finished => finished?,
    }
    match added {
        Err(_) if was_short => Ok(Added::Changed(file.name.as_path().to_owned())),
        added => added.map(Added::Done),
    }
}

/// Notes that a file ended before it should: whoever takes it in takes that for a failure of its own.
struct Short<'a, R> {
    from: &'a mut R,
    left: u64,
    short: bool,
}

impl<R: Read> Read for Short<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(into)?;
        self.short |= n == 0 && self.left > 0 && !into.is_empty();
        self.left -= (n as u64).min(self.left);
        Ok(n)
    }
}

/// The user's own variables speak of the repository around the working directory, and of no other.
pub fn around(env: &Env, dir: &Path) -> Result<Option<Repository>, Error> {
    let repo = if dir == env.cwd() { Repository::open(env, dir) } else { Repository::with(Git::at(env, dir).elsewhere(dir)) };
    match repo {
        Ok(repo) => Ok(Some(repo)),
        Err(git::Error::NoRepository) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
