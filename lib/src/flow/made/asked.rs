//! One session, opened as far as this device can, and asked what its user wanted at certain moments.
//!
//! Its newest checkpoints are read first, all ways that it went, then the transcript on this machine, which may have gone on.

use std::fs::File;
use std::io::{BufReader, Read};
use std::vec;

use gix::hash::ObjectId;

use crate::agent::asked::{self, Answer, Asked, Moment};
use crate::agent::{self, Agent, Role, Session, jsonl};
use crate::capsule::{self, Manifest};
use crate::durable::At;
use crate::flow::glance::Unread;
use crate::flow::ledger::{Finding, Ledger};
use crate::flow::{Error, named, placed, role_name};
use crate::id::SessionId;
use crate::store::chain;
use crate::store::refs;
use crate::store::unfold::{Checkpoint, Opened};

/// What its readers can see.
#[derive(Debug, Clone)]
pub struct Inside {
    pub agent: String,
    pub native_id: String,
    pub title: Option<String>,
    /// Where the moment was found; where it was not, what was read last.
    pub held: Held,
    /// What its user had asked for, or why that is not known.
    pub asked: Result<Asked, &'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    Checkpoint(ObjectId, u64),
    /// In the session as it stands on this machine.
    Here,
}

/// An answer for each moment, in their order.
pub type Answers = vec::IntoIter<Result<Inside, String>>;

pub fn look(ledger: &Ledger<'_>, sid: &SessionId, moments: &[Moment], findings: &mut Vec<Finding>) -> Result<Answers, Error> {
    let mut search = Search { moments, found: vec![None; moments.len()] };
    let mut refused = None;
    for checkpoint in tips(ledger, sid, findings)? {
        let looked = checkpoint.and_then(|checkpoint| of_checkpoint(ledger, checkpoint, &mut search));
        match looked {
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => refused = refused.or(Some(error)),
            Ok(()) if search.is_over() => break,
            Ok(()) => {}
        }
    }
    if !search.is_over()
        && let Some((agent, session)) = native(ledger, sid)?
    {
        of_native(agent, &session, &mut search)?;
    }
    let none = || match refused {
        None => "the session is not in this repository".to_owned(),
        Some(Error::UnknownMaker { ref checkpoint }) => {
            format!("it is signed by a key that this device does not know, {}", checkpoint.signer)
        }
        Some(error) => Unread::from(error).to_string(),
    };
    let found = search.found;
    let none = if found.iter().any(Option::is_none) { none() } else { String::new() };
    let answers: Vec<_> = found.into_iter().map(|inside| inside.ok_or_else(|| none.clone())).collect();
    Ok(answers.into_iter())
}

struct Search<'a> {
    moments: &'a [Moment],
    found: Vec<Option<Inside>>,
}

impl Search<'_> {
    fn is_over(&self) -> bool {
        self.found.iter().all(|inside| inside.as_ref().is_some_and(|inside| inside.asked.is_ok()))
    }

    /// What was found before stays.
    fn take(&mut self, inside: &Inside, answers: Vec<Answer>) {
        for (place, answer) in self.found.iter_mut().zip(answers) {
            let asked = match answer {
                Answer::Asked(asked) => Ok(asked),
                Answer::Nobody => Err("nobody had asked for anything by then"),
                Answer::NotYet => Err("no checkpoint that can be read here reaches that moment"),
            };
            if asked.is_ok() || place.is_none() {
                let known = place.as_ref().is_some_and(|inside| inside.asked.is_ok());
                if !known {
                    *place = Some(Inside { asked, ..inside.clone() });
                }
            }
        }
    }
}

/// The newest checkpoints of all ways. What comes on demand is brought.
fn tips(ledger: &Ledger<'_>, sid: &SessionId, findings: &mut Vec<Finding>) -> Result<Vec<Result<Checkpoint, Error>>, Error> {
    let mut known = refs::of(&ledger.store, sid)?;
    if known.local.is_none() && known.tracking.is_empty() {
        known = match named::resolve(ledger, sid.as_str(), findings) {
            Err(Error::NoSuchSession(_)) => return Ok(Vec::new()),
            named => named?.known,
        };
    }
    let ids: Vec<ObjectId> = known.local.iter().chain(known.tracking.values()).copied().collect();
    let heads = chain::heads(&ledger.store, &ids)?;
    Ok(heads.iter().map(|id| ledger.checkpoint(sid, id)).collect())
}

fn of_checkpoint(ledger: &Ledger<'_>, checkpoint: Checkpoint, search: &mut Search<'_>) -> Result<(), Error> {
    let opened = ledger.opened(&checkpoint)?;
    let ways = ledger.ways(&opened)?;
    read(ledger, opened, search)?;
    for way in ways {
        if search.is_over() {
            break;
        }
        let opened = way.open(&ledger.store, ledger.identities, Some(&checkpoint))?;
        read(ledger, opened, search)?;
    }
    Ok(())
}

fn read(ledger: &Ledger<'_>, mut opened: Opened, search: &mut Search<'_>) -> Result<(), Error> {
    let (store, identities) = (&ledger.store, ledger.identities);
    if opened.is_deleted() {
        return Err(Error::Deleted { sid: opened.checkpoint.sid.clone(), by: opened.record.device, at: opened.record.made });
    }
    let summary = opened.record.summary.clone();
    let inside = Inside {
        agent: summary.agent.clone(),
        native_id: summary.native_id,
        title: summary.title,
        held: Held::Checkpoint(opened.id(), opened.record.sequence),
        asked: Err(""),
    };
    let Some(agent) = agent::by_name(&summary.agent) else {
        search.take(&inside, vec![Answer::NotYet; search.moments.len()]);
        return Ok(());
    };
    let tree = opened.tree(store)?;
    let manifest = Manifest::of(&opened.manifest_bytes(store, &tree, identities)?, &opened.record.sid, agent.name())?;
    let mut contents = opened.contents(store, &tree, identities)?;
    for file in &manifest.files {
        let mut content = (&mut contents).take(file.size);
        if file.role != role_name(Role::Transcript) {
            std::io::copy(&mut content, &mut std::io::sink()).map_err(capsule::Error::Read)?;
            continue;
        }
        let answers = if jsonl::is_packed(file.path.as_path()) {
            jsonl::unpacked(content).and_then(|mut text| asked::find(&mut text, |line| agent.step(line), search.moments))
        } else {
            asked::find(&mut BufReader::with_capacity(1 << 16, content), |line| agent.step(line), search.moments)
        };
        search.take(&inside, answers.map_err(capsule::Error::Read)?);
        break;
    }
    Ok(())
}

/// The session as it stands in its agent's home, if it does on this machine.
fn native(ledger: &Ledger<'_>, sid: &SessionId) -> Result<Option<(&'static dyn Agent, Session)>, Error> {
    for &agent in agent::all() {
        let sessions = placed::discover(agent, &agent.home(ledger.env)?)?.sessions;
        if let Some(session) = sessions.into_iter().find(|session| session.sid() == *sid) {
            return Ok(Some((agent, session)));
        }
    }
    Ok(None)
}

fn of_native(agent: &dyn Agent, session: &Session, search: &mut Search<'_>) -> Result<(), Error> {
    let path = &session.transcript;
    let file = File::open(path).at("open", path)?;
    let mut text: Box<dyn std::io::BufRead> = match jsonl::is_packed(path) {
        true => Box::new(jsonl::unpacked(file).at("read", path)?),
        false => Box::new(BufReader::with_capacity(1 << 16, file)),
    };
    let answers = asked::find(&mut text, |line| agent.step(line), search.moments).at("read", path)?;
    let inside = Inside {
        agent: agent.name().to_owned(),
        native_id: session.native.to_string(),
        title: session.title.clone(),
        held: Held::Here,
        asked: Err(""),
    };
    search.take(&inside, answers);
    Ok(())
}
