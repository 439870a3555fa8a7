//! `status`: the sessions of this machine and the chains of this repository in one look.
//!
//! Asks nobody: it is what prompts show. What must stay true: it is as fast as a list, and what it says of a conversation
//! is read from lengths, since one that its agent writes to only grows.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::ledger::{Finding, Ledger};
use super::list::{self, Listed, Options, State};
use super::registered::{self, Registered};
use super::sessions::{self, Listed as Native};
use super::{Error, agent_named, pending, remotes, select};
use crate::agent::jsonl;
use crate::git::Repo;
use crate::id::SessionId;
use crate::lease::{Lease, Standing};
use crate::time;

pub struct Outcome {
    /// Where sessions go to.
    pub remote: Option<String>,
    /// Those at work first, then those that wait for this device, then by time.
    pub sessions: Vec<One>,
    pub findings: Vec<Finding>,
}

pub struct One {
    pub sid: SessionId,
    pub agent: Option<String>,
    pub native: Option<String>,
    pub title: Option<String>,
    pub when: Option<SystemTime>,
    pub here: Here,
    pub saved: Saved,
    pub sent: Sent,
    pub lease: Option<Lease>,
    pub standing: Standing,
    /// More than one where the session went several ways.
    pub ways: usize,
    pub registered: Option<Registered>,
}

/// How the session stands in its agent's home on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Here {
    /// Its agent is in the middle of a turn.
    Working,
    /// Its agent has it open, and waits for its user.
    Idle,
    /// Its agent has it open, and does not say what it does.
    Open,
    Closed,
    Absent,
}

/// Whether its newest checkpoint holds what stands here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Saved {
    Never,
    Unsaved,
    Saved,
    /// The checkpoint holds more.
    Behind,
    /// Nobody here can read it, or nothing stands here.
    Unknown,
}

/// Whether the store has what the chain here has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sent {
    Sent,
    Unsent,
    /// It was to be sent, and could not be.
    Pending,
    /// There is no checkpoint, or no remote.
    Nothing,
}

pub fn status(ledger: &Ledger<'_>) -> Result<Outcome, Error> {
    let env = ledger.env;
    // At the same time: neither needs what the other finds.
    let (natives, listed) = std::thread::scope(|scope| {
        let natives = scope.spawn(|| {
            let found = sessions::sessions(env, &sessions::Options { all: true, ..sessions::Options::default() })?;
            Ok::<_, Error>((found, Repo::around(env.cwd())))
        });
        let listed = list::list(ledger, &Options { offline: true, ..Options::default() });
        (natives.join(), listed)
    });
    let list::Outcome { sessions: chains, findings } = listed?;
    let (natives, around) = natives.map_err(|_| Error::Interrupted)??;
    let repo = &ledger.store.repo;
    let remote = remotes::store(repo, None).ok().flatten().map(str::to_owned);
    let mut registered = registered::list(repo, env.now());
    let pending = pending::list(repo);
    let mut here: BTreeMap<SessionId, Native> = BTreeMap::new();
    for native in natives.sessions {
        // The first place of an id is the newest.
        here.entry(native.session.sid()).or_insert(native);
    }
    let mut sessions = Vec::new();
    for chain in chains {
        let mut one = of_chain(&chain, here.remove(&chain.sid).as_ref(), remote.as_deref())?;
        if pending.contains(&one.sid) {
            one.sent = Sent::Pending;
        }
        sessions.push(one);
    }
    for (sid, native) in here {
        if select::belongs(&native.session, env, around.as_ref()) {
            sessions.push(of_native(sid, &native)?);
        }
    }
    for one in &mut sessions {
        one.registered = registered.remove(&one.sid);
    }
    let first = |one: &One| (one.here.min(Here::Closed), one.standing != Standing::Waiting, std::cmp::Reverse(one.when));
    sessions.sort_by(|a, b| first(a).cmp(&first(b)).then_with(|| a.sid.cmp(&b.sid)));
    Ok(Outcome { remote, sessions, findings })
}

impl One {
    /// There is work here that the store does not have.
    pub fn is_only_here(&self) -> bool {
        matches!(self.saved, Saved::Never | Saved::Unsaved) || matches!(self.sent, Sent::Unsent | Sent::Pending)
    }
}

fn of_native(sid: SessionId, native: &Native) -> Result<One, Error> {
    let session = &native.session;
    Ok(One {
        sid,
        agent: Some(session.agent.to_owned()),
        native: Some(session.native.to_string()),
        title: session.title.clone(),
        when: Some(session.modified),
        here: here(native)?,
        saved: Saved::Never,
        sent: Sent::Nothing,
        lease: None,
        standing: Standing::Free,
        ways: 1,
        registered: None,
    })
}

fn of_chain(chain: &Listed, native: Option<&Native>, remote: Option<&str>) -> Result<One, Error> {
    // Of what a stranger has made nothing is said.
    let inside = chain.newest.inside.as_ref().ok().filter(|_| chain.signer_name.is_some());
    let summary = inside.map(|inside| &inside.summary);
    let session = native.map(|native| &native.session);
    let there = remote.and_then(|remote| chain.remotes.iter().find(|there| there.name == remote));
    let sent = match (chain.local, remote, there.map(|there| there.state)) {
        (None, ..) | (_, _, Some(State::Same | State::Ahead)) => Sent::Sent,
        (_, None, _) => Sent::Nothing,
        (_, Some(_), None | Some(State::Behind | State::Diverged)) => Sent::Unsent,
    };
    Ok(One {
        sid: chain.sid.clone(),
        agent: session.map(|session| session.agent.to_owned()).or_else(|| summary.map(|summary| summary.agent.clone())),
        native: session.map(|session| session.native.to_string()).or_else(|| summary.map(|summary| summary.native_id.clone())),
        title: session.and_then(|session| session.title.clone()).or_else(|| summary?.title.clone()),
        when: session.map(|session| session.modified).max(chain.when().and_then(time::parse)),
        here: native.map_or(Ok(Here::Absent), here)?,
        saved: native.map_or(Saved::Unknown, |native| saved(native, chain)),
        sent,
        lease: chain.lease.clone(),
        standing: chain.standing,
        ways: chain.ways.len().max(1),
        registered: None,
    })
}

fn here(native: &Native) -> Result<Here, Error> {
    if native.live.is_none() {
        return Ok(Here::Closed);
    }
    let agent = agent_named(native.session.agent)?;
    Ok(match agent.at_work(&native.home, &native.session) {
        Some(true) => Here::Working,
        Some(false) => Here::Idle,
        None => Here::Open,
    })
}

fn saved(native: &Native, chain: &Listed) -> Saved {
    let Some(inside) = chain.newest.inside.as_ref().ok().filter(|_| chain.signer_name.is_some()) else { return Saved::Unknown };
    let session = &native.session;
    match inside.summary.conversation {
        Some(held) if held == session.size => Saved::Saved,
        // Packed by its agent since, or there: lengths do not tell.
        Some(_) if jsonl::is_packed(&session.transcript) => Saved::Unknown,
        Some(held) if held > session.size => Saved::Behind,
        // A line without an end is no record yet.
        Some(held) => match std::fs::File::open(&session.transcript).and_then(|file| jsonl::whole_len(&file, session.size)) {
            Ok(whole) if whole == held => Saved::Saved,
            _ => Saved::Unsaved,
        },
        None => Saved::Unknown,
    }
}
