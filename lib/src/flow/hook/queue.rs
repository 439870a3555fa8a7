//! Who works on a session in the background: one process at a time, which also does what others ask for meanwhile.
//!
//! A request is a file; whoever holds the session's lock takes requests until there is none, and looks once more after it
//! has let go. What must stay true: a request made before somebody was seen holding the lock is never left lying. A lock is
//! the kernel's, so that no crash leaves one behind. Its file remembers how the session stood when it was last looked at.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};

use crate::agent::Session;
use crate::durable::{self, At};
use crate::flow::Error;
use crate::id::SessionId;
use crate::time;

/// Sessions that were worked in so long before hooks came are still of interest to them.
const BEFORE: Duration = Duration::from_secs(24 * 60 * 60);

pub fn dir(common: &Path) -> PathBuf {
    common.join("samesession").join("hooks")
}

/// What is wanted of a session besides a look at it. Of several requests it is what any of them wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// It is sent.
    pub push: bool,
}

pub fn ask(common: &Path, sid: &SessionId, wanted: Request) -> Result<(), Error> {
    durable::create_dirs(&dir(common))?;
    // In this order, since they are taken in the other one.
    for name in [wanted.push.then_some("push"), Some("asked")].into_iter().flatten() {
        let path = request(common, sid, name);
        File::create(&path).at("create", &path)?;
    }
    Ok(())
}

pub fn take(common: &Path, sid: &SessionId) -> Option<Request> {
    let taken = |what: &str| fs::remove_file(request(common, sid, what)).is_ok();
    taken("asked").then(|| Request { push: taken("push") })
}

pub fn is_asked(common: &Path, sid: &SessionId) -> bool {
    request(common, sid, "asked").exists()
}

fn request(common: &Path, sid: &SessionId, what: &str) -> PathBuf {
    dir(common).join(format!("{sid}.{what}"))
}

/// Held while a session is worked on.
#[derive(Debug)]
pub struct Held(File);

/// `None` while another process has it.
pub fn try_hold(common: &Path, sid: &SessionId) -> Result<Option<Held>, Error> {
    let (file, path) = open(common, sid)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Held(file))),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(std::io::Error::from(error)).at("lock", path)?,
    }
}

pub fn hold(common: &Path, sid: &SessionId) -> Result<Held, Error> {
    let (file, path) = open(common, sid)?;
    flock(&file, FlockOperation::LockExclusive).map_err(std::io::Error::from).at("lock", path)?;
    Ok(Held(file))
}

fn open(common: &Path, sid: &SessionId) -> Result<(File, PathBuf), Error> {
    durable::create_dirs(&dir(common))?;
    let path = place(common, sid);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).at("open", &path)?;
    Ok((file, path))
}

fn place(common: &Path, sid: &SessionId) -> PathBuf {
    dir(common).join(sid.as_str())
}

/// How a session's transcript stands, so that what has not changed need not be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stand(String);

impl Stand {
    pub fn of(session: &Session) -> Stand {
        let modified = session.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        Stand(format!("{} {}\n", session.size, modified.as_nanos()))
    }

    /// When it was last dealt with.
    pub fn last(common: &Path, sid: &SessionId) -> Option<Stand> {
        fs::read_to_string(place(common, sid)).ok().map(Stand)
    }
}

impl Held {
    pub fn stand(&mut self) -> Stand {
        let mut text = String::new();
        let _ = self.0.seek(SeekFrom::Start(0)).and_then(|_| self.0.read_to_string(&mut text));
        Stand(text)
    }

    /// That it cannot be remembered costs a look.
    pub fn remember(&mut self, stand: &Stand) {
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(stand.0.as_bytes())
        };
        let _ = write(&mut self.0);
    }
}

/// From when on changes of sessions are of interest: hooks do not sweep up years of old ones.
pub fn since(common: &Path, now: SystemTime) -> Result<SystemTime, Error> {
    let path = dir(common).join("since");
    let known = fs::read_to_string(&path).ok().and_then(|text| time::parse(text.trim()));
    if let Some(known) = known {
        return Ok(known);
    }
    let from = now.checked_sub(BEFORE).unwrap_or(UNIX_EPOCH);
    durable::create_dirs(&dir(common))?;
    durable::write_atomic(&path, format!("{}\n", time::format(from)).as_bytes())?;
    Ok(from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NativeId;

    #[test]
    fn a_request_is_taken_once_by_whoever_holds_the_session() {
        let common = tempfile::tempdir().expect("a temporary directory");
        let sid = SessionId::derive("claude", &NativeId::parse("x").expect("an id"));
        assert!(take(common.path(), &sid).is_none());
        let held = try_hold(common.path(), &sid).expect("a lock").expect("nobody has it");
        assert!(try_hold(common.path(), &sid).expect("a lock").is_none());
        let (plain, push) = (Request { push: false }, Request { push: true });
        for wanted in [plain, push, plain] {
            ask(common.path(), &sid, wanted).expect("written");
        }
        assert_eq!(take(common.path(), &sid), Some(push));
        assert_eq!(take(common.path(), &sid), None);
        drop(held);
        ask(common.path(), &sid, plain).expect("written");
        assert!(is_asked(common.path(), &sid));
        assert_eq!(take(common.path(), &sid), Some(plain));
    }
}
