//! A session that was handed over put aside here, so that nobody goes on with the old copy by accident.
//!
//! Only its transcript, without which no agent goes on with it; what lies beside that serves it when it comes back. What
//! must stay true: what is put aside was captured to its last byte, and `undo` brings it back.

use std::fs::File;

use super::journal::{Dir, Filed, Journal, Seen, Step};
use super::select::Selected;
use super::stage::{self, Stage};
use super::{Error, recover};
use crate::agent::{Role, Session, StagedFile, jsonl};
use crate::durable::At;
use crate::env::Env;
use crate::path::RelPath;
use crate::{agent, time};

/// Whether it could be: nobody has it open, and no other session leans on it.
pub fn check(selected: &Selected) -> Result<(), Error> {
    let Selected { agent, home, session } = selected;
    if let Some(live) = agent.live(home, &session.native) {
        return Err(Error::Live { title: agent.title(), pid: live.pid });
    }
    let file = StagedFile { name: name(selected)?, role: Role::Transcript, staged: session.transcript.clone() };
    match agent.leaning(home, &file, 0)?.into_iter().next() {
        Some(by) => {
            let keep_both = "hand it over without --deactivate".to_owned();
            Err(Error::LeanedOn { local: session.transcript.clone(), by, keep_both })
        }
        None => Ok(()),
    }
}

/// `conversation` is how much of it was captured. Returns by which it is brought back.
pub fn deactivate(env: &Env, selected: &Selected, conversation: u64) -> Result<String, Error> {
    let Selected { agent, home, session } = selected;
    let mut stage = Stage::beside(&home.root, env)?;
    let _lock = stage::lock(&home.root)?;
    recover::recover(env, *agent, home)?;
    let places = agent.find(home, &session.native)?;
    let mut seen = Seen::default();
    places.iter().for_each(|place| seen.look(&place.transcript));
    check(selected)?;
    if captured_of(session)? != conversation {
        return Err(Error::Changing(session.transcript.clone()));
    }
    let cwd = session.cwd.clone().unwrap_or_else(|| env.cwd().to_owned());
    let mut journal = Journal::new(agent.name(), &session.native, &cwd, time::format(env.now()));
    journal.aside = true;
    // Of several copies of one id only the one that is used was captured.
    journal.only_copy = places.len() > 1;
    let place = Some(Dir(session.transcript.clone()));
    journal.files = vec![Filed { name: name(selected)?, role: Role::Transcript, staged: session.transcript.clone(), place }];
    for (n, place) in places.into_iter().enumerate() {
        journal.steps.push(Step { target: place.transcript, backup: Some(Dir(stage.backup(n))), new: None });
    }
    stage.sync(&[])?;
    journal.commit(env, &mut stage, &seen, || Ok(()))?;
    let id = stage.dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // It stands aside; an index that cannot be told now is told by the next restore, or by `doctor`.
    let _ = recover::settle(*agent, home, &mut journal, &stage.dir);
    Ok(id)
}

/// As `capture` counts: without a last line that has no end.
fn captured_of(session: &Session) -> Result<u64, Error> {
    let path = &session.transcript;
    let file = File::open(path).at("open", path)?;
    let len = file.metadata().at("read", path)?.len();
    if jsonl::is_packed(path) { Ok(len) } else { Ok(jsonl::whole_len(&file, len).at("read", path)?) }
}

fn name(selected: &Selected) -> Result<RelPath, Error> {
    let path = &selected.session.transcript;
    let below = path.strip_prefix(&selected.home.root).unwrap_or(path);
    Ok(RelPath::from_path(below).map_err(|source| agent::Error::Name { path: path.clone(), source })?)
}
