//! `list`: every session of the repository, newest first.

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::ledger::Finding;
use samesession::flow::list::{self, Listed, Options, State};
use samesession::lease::Standing;
use samesession::seal::NoCallbacks;
use samesession::time;
use serde::Serialize;

use crate::cli;
use crate::failure::Failure;
use crate::ui::{Ui, View, ago, bytes, clipped, harmless};

/// So many refs that were passed by are named one by one.
const NAMED: usize = 20;

#[derive(Serialize)]
struct Answer {
    sessions: Vec<Row>,
    ignored: Vec<Ignored>,
    /// It was to be asked, and did not answer.
    unasked: Option<Unasked>,
}

#[derive(Serialize)]
struct Row {
    sid: String,
    agent: Option<String>,
    native_id: Option<String>,
    title: Option<String>,
    /// Why it could not be read here.
    unread: Option<String>,
    /// Where its files were captured, and when.
    device: Option<String>,
    created: Option<String>,
    made: Option<String>,
    files: Option<usize>,
    bytes: Option<u64>,
    sealed_bytes: u64,
    sequence: u64,
    commit: String,
    signer: String,
    signer_name: Option<String>,
    local: Option<String>,
    remotes: Vec<Remote>,
    /// All ways that it went, if they are several, by their commits.
    ways: Vec<String>,
    deleted: bool,
    /// Who drives it; null where nobody ever did.
    lease: Option<super::lease::Row>,
    #[serde(skip)]
    age: String,
}

#[derive(Serialize)]
struct Remote {
    name: String,
    commit: String,
    state: &'static str,
}

#[derive(Serialize)]
struct Ignored {
    r#ref: String,
    why: String,
}

#[derive(Serialize)]
struct Unasked {
    remote: String,
    why: String,
}

impl Row {
    fn new(listed: Listed, env: &Env) -> Row {
        let signer = listed.newest.signer().fingerprint;
        // What a stranger says is kept from those who would read it as if it were so.
        let inside = match (&listed.newest.inside, &listed.signer_name) {
            (Err(why), _) => Err(why.to_string()),
            (Ok(_), None) => Err(format!("signed by a key that is not known here, {signer}")),
            (Ok(inside), Some(_)) => Ok(inside.clone()),
        };
        let when = listed.when().and_then(time::parse);
        let remote = |remote: list::Remote| Remote {
            name: remote.name,
            commit: remote.commit.to_string(),
            state: match remote.state {
                State::Same => "same",
                State::Behind => "behind",
                State::Ahead => "ahead",
                State::Diverged => "diverged",
            },
        };
        let known = inside.as_ref().ok();
        let summary = known.map(|inside| &inside.summary);
        Row {
            agent: summary.map(|summary| summary.agent.clone()),
            native_id: summary.map(|summary| summary.native_id.clone()),
            title: summary.and_then(|summary| summary.title.clone()),
            device: summary.map(|summary| summary.device.clone()),
            created: summary.map(|summary| summary.created.clone()),
            made: known.map(|inside| inside.made.clone()),
            files: summary.map(|summary| summary.files),
            bytes: summary.map(|summary| summary.bytes),
            unread: inside.as_ref().err().cloned(),
            sealed_bytes: listed.newest.total,
            sequence: listed.newest.sequence,
            commit: listed.commit.to_string(),
            signer,
            signer_name: listed.signer_name,
            local: listed.local.map(|id| id.to_string()),
            remotes: listed.remotes.into_iter().map(remote).collect(),
            ways: listed.ways.iter().map(ToString::to_string).collect(),
            deleted: listed.deleted,
            lease: listed.lease.as_ref().map(|lease| super::lease::Row::new(&listed.sid, None, listed.standing, Some(lease))),
            age: when.map_or("?".to_owned(), |when| ago(when, env.now())),
            sid: listed.sid.to_string(),
        }
    }

    /// `here, origin`, or how the two stand to each other.
    fn places(&self) -> String {
        let remote = |remote: &Remote| match (self.local.is_some(), remote.state) {
            (_, "same") | (false, _) => remote.name.clone(),
            (true, "behind") => format!("ahead of {}", remote.name),
            (true, "ahead") => format!("behind {}", remote.name),
            (true, _) => format!("diverged from {}", remote.name),
        };
        let here = self.local.iter().map(|_| "here".to_owned());
        here.chain(self.remotes.iter().map(remote)).collect::<Vec<_>>().join(", ")
    }

    fn about(&self) -> String {
        let title = match (&self.unread, &self.title) {
            (Some(why), _) => format!("({})", clipped(why, 120)),
            (None, Some(title)) => clipped(title, 48),
            (None, None) => "(no title)".to_owned(),
        };
        let mark = match (self.deleted, self.ways.len()) {
            (true, _) => "  [deleted]".to_owned(),
            (false, 0) => String::new(),
            (false, ways) => format!("  [{ways} ways]"),
        };
        title + &mark
    }
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.list/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let places: Vec<String> = self.sessions.iter().map(|row| clipped(&row.places(), 40)).collect();
        let wide = places.iter().map(|place| place.chars().count()).max().unwrap_or_default();
        for (row, place) in self.sessions.iter().zip(places) {
            let (agent, device) = (row.agent.as_deref().unwrap_or("?"), clipped(row.device.as_deref().unwrap_or("?"), 16));
            let (size, step) = (row.bytes.map_or("?".to_owned(), bytes), format!("#{}", row.sequence));
            let agent = clipped(agent, 7);
            writeln!(
                out,
                "{} {agent:<7} {:>10} {size:>10} {step:>5}  {place:<wide$}  {device:<16}  {}",
                &row.sid[..8],
                row.age,
                row.about()
            )?;
            // What is of no interest to whoever may go on with it at any time is left to 'status'.
            if let Some(lease) = row.lease.as_ref().filter(|lease| matches!(lease.standing, Standing::Waiting | Standing::Held)) {
                let note = lease.note.as_deref().map(|note| format!(": {}", clipped(note, 60))).unwrap_or_default();
                writeln!(out, "{:8} {}{note}", "", harmless(&lease.words()))?;
            }
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::List) -> Result<(), Failure> {
    let asked = Options { remote: options.remote.clone(), all: options.all, offline: false };
    let (mut ignored, mut unasked) = (Vec::new(), None);
    // Nobody wants to be asked for the passphrase of a key a hundred times.
    let keys = super::Keys { device: super::own_device(env, ui)?, files: &options.identities };
    let found = super::with_ledger_as(env, ui, keys, &NoCallbacks, |ledger, findings| {
        let found = list::list(ledger, &asked)?;
        for finding in found.findings {
            match finding {
                Finding::Ignored { name, why } => ignored.push(Ignored { r#ref: name, why }),
                other => {
                    if let Finding::Unasked { remote, why } = &other {
                        unasked = Some(Unasked { remote: remote.clone(), why: why.clone() });
                    }
                    findings.push(other);
                }
            }
        }
        Ok(found.sessions)
    })?;
    for Ignored { r#ref, why } in ignored.iter().take(NAMED) {
        ui.note(&format!("warning: '{}' is passed by: {}", harmless(r#ref), harmless(why)));
    }
    if ignored.len() > NAMED {
        ui.note(&format!("warning: so are {} more; --json names them all", ignored.len() - NAMED));
    }
    let answer = Answer { sessions: found.into_iter().map(|listed| Row::new(listed, env)).collect(), ignored, unasked };
    ui.report(&answer).map_err(Failure::Output)?;
    if answer.sessions.is_empty() && !ui.json {
        ui.note("no session in this repository; 'git samesession checkpoint' seals one into it");
    }
    Ok(())
}
