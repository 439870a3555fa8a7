//! `secrets`: what of a session looks like one, and which of them may leave all the same.

use std::io::{self, Read};
use std::path::PathBuf;

use super::capture::Capture;
use super::guard::Guard;
use super::source::{Attempt, Source};
use super::{Error, capture::Captured};
use crate::capsule::{self, Content, Exact, Observed, Target};
use crate::env::Env;
use crate::git::{Around, Repository};
use crate::policy::secrets::{Allowed, Exception, Found, Watch, is_id};
use crate::progress::Progress;
use crate::time;

/// Takes files and keeps what they are called.
#[derive(Default)]
pub struct Listing {
    pub files: Vec<(String, String, u64)>,
}

impl Target for Listing {
    type Error = capsule::Error;

    fn add(&mut self, file: Content<'_>) -> Result<[u8; 32], capsule::Error> {
        self.files.push((file.name.to_string(), file.role.to_owned(), file.size));
        let mut content = Exact::new(file.bytes, file.size);
        let mut block = vec![0; 256 << 10];
        loop {
            match content.read(&mut block) {
                Ok(0) => return Ok(content.hash()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(capsule::Error::Write(error)),
            }
        }
    }
}

pub struct Looked {
    pub listing: Listing,
    pub captured: Captured,
    pub found: Found,
}

/// Everything that would travel, read and not kept.
pub fn look(env: &Env, source: &mut Source, progress: &dyn Progress) -> Result<Looked, Error> {
    let ((listing, found), captured) = source.attempt(|source| {
        let mut watch = Watch::default();
        let mut target = Observed { target: Listing::default(), observer: &mut watch };
        match source.capture(env, &mut target, progress)? {
            Capture::Done(captured) => Ok(Attempt::Done((target.target, watch.found()), captured)),
            Capture::Changed(path) => Ok(Attempt::Changed(path)),
        }
    })?;
    Ok(Looked { listing, captured, found })
}

/// With the exceptions that hold here.
pub fn scan(env: &Env, source: &mut Source, progress: &dyn Progress) -> Result<(Looked, Allowed), Error> {
    progress.stage("looking for secrets", Some(source.bytes()));
    Ok((look(env, source, progress)?, Guard::around(env, &Around::of(env)?)?.allowed))
}

/// For whom an exception is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// This clone, if there is one around, else the user.
    Repository,
    User,
}

pub struct Kept {
    pub exception: Exception,
    pub for_user: bool,
}

pub fn list(env: &Env) -> Result<Vec<Kept>, Error> {
    let repo = repository(env)?;
    let mut kept = Vec::new();
    for (dir, for_user) in repo.into_iter().map(|dir| (dir, false)).chain([(env.config_dir()?, true)]) {
        kept.extend(Allowed::load(&dir)?.iter().map(|one| Kept { exception: one.clone(), for_user }));
    }
    Ok(kept)
}

/// False if it was allowed there already.
pub fn allow(env: &Env, id: &str, reason: Option<&str>, device: &str, whose: For) -> Result<(Kept, bool), Error> {
    let id = checked(id)?;
    let (dir, for_user) = match repository(env)?.filter(|_| whose == For::Repository) {
        Some(dir) => (dir, false),
        None => (env.config_dir()?, true),
    };
    let reason = reason.map(|reason| reason.chars().filter(|c| !c.is_control()).take(500).collect());
    let exception = Exception { id, reason, by: device.to_owned(), at: time::format(env.now()) };
    let new = Allowed::keep(&dir, &exception)?;
    Ok((Kept { exception, for_user }, new))
}

/// Whether there was one, of the repository's or the user's.
pub fn forget(env: &Env, id: &str) -> Result<bool, Error> {
    let id = checked(id)?;
    let mut was = false;
    for dir in repository(env)?.into_iter().chain([env.config_dir()?]) {
        was |= Allowed::forget(&dir, &id)?;
    }
    Ok(was)
}

fn checked(id: &str) -> Result<String, Error> {
    let id = id.to_ascii_lowercase();
    if is_id(&id) { Ok(id) } else { Err(Error::NotAFinding(id.chars().take(40).collect())) }
}

fn repository(env: &Env) -> Result<Option<PathBuf>, Error> {
    Ok(Around::of(env)?.repository().map(Repository::private_dir))
}
