//! Where this program has put sessions: the working directory of one that its agent has not opened since.
//!
//! Unchanged bytes name the directories of the machine they came from, so until the agent writes its first record here
//! only our own journal knows where the session belongs.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Error;
use super::journal::Journal;
use super::stage::DIR;
use crate::agent::{Agent, Home, Role, Session};
use crate::id::NativeId;

/// The newest placing of each session of one home.
pub struct Placed(HashMap<String, Place>);

struct Place {
    created: String,
    transcript: PathBuf,
    size: Option<u64>,
    cwd: PathBuf,
}

impl Placed {
    pub fn read(home: &Home) -> Placed {
        let entries = fs::read_dir(home.root.join(DIR)).into_iter().flatten().flatten();
        let mut places: Vec<(String, Place)> = entries.filter_map(|entry| place_of(Journal::read(&entry.path())?)).collect();
        places.sort_by(|(_, a), (_, b)| a.created.cmp(&b.created));
        let mut placed: HashMap<String, Place> = HashMap::new();
        for (native, mut place) in places {
            // A restore that left the transcript as it was knows no size: the one before it does.
            if let Some(older) = placed.get(&native).filter(|older| older.transcript == place.transcript) {
                place.size = place.size.or(older.size);
            }
            placed.insert(native, place);
        }
        Placed(placed)
    }

    /// Whether the session has grown since we put it there: nobody but its agent writes to it.
    pub fn has_gone_on(&self, session: &Session) -> bool {
        let place = self.0.get(session.native.as_str()).filter(|place| place.transcript == session.transcript);
        place.and_then(|place| place.size).is_some_and(|size| size < session.size)
    }

    /// Corrects the session's directory if it still is as we put it there.
    pub fn apply(&self, session: &mut Session) {
        let Some(place) = self.0.get(session.native.as_str()).filter(|place| place.transcript == session.transcript) else { return };
        let untouched = place.size.is_some_and(|size| size == session.size);
        if untouched || session.cwd.is_none() {
            session.cwd = Some(place.cwd.clone());
        }
    }
}

fn place_of(journal: Journal) -> Option<(String, Place)> {
    let transcript = journal.files.iter().find(|file| file.role == Role::Transcript)?.place.clone()?.0;
    let size = journal.steps.iter().find(|step| step.target == transcript).and_then(|step| Some(step.new.as_ref()?.size));
    Some((journal.native_id, Place { created: journal.created, transcript, size, cwd: journal.cwd }))
}

/// Every session of a home, each with the directory it is to be used in.
pub fn discover(agent: &dyn Agent, home: &Home) -> Result<crate::agent::Discovery, Error> {
    let mut found = agent.discover(home)?;
    let placed = Placed::read(home);
    found.sessions.iter_mut().for_each(|session| placed.apply(session));
    Ok(found)
}

/// Every place of one session, newest first.
pub fn find(agent: &dyn Agent, home: &Home, native: &NativeId) -> Result<Vec<Session>, Error> {
    let mut found = agent.find(home, native)?;
    let placed = Placed::read(home);
    found.iter_mut().for_each(|session| placed.apply(session));
    found.sort_by_key(|session| std::cmp::Reverse(session.modified));
    Ok(found)
}

/// Whether the agent has gone on with the session since it was installed here.
pub fn has_gone_on(agent: &dyn Agent, home: &Home, native: &NativeId) -> bool {
    let placed = Placed::read(home);
    agent.find(home, native).is_ok_and(|found| found.iter().any(|session| placed.has_gone_on(session)))
}

/// The directory in which this home has the session, if it is one.
pub fn directory(agent: &dyn Agent, home: &Home, native: &NativeId) -> Result<Option<PathBuf>, Error> {
    let local = find(agent, home, native)?;
    Ok(local.into_iter().find_map(|session| session.cwd).filter(|cwd: &PathBuf| Path::is_dir(cwd)))
}
