//! `recipient list`: who reads chains that begin here, and who reads those that are here.

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::recipient_list;
use serde::Serialize;

use crate::failure::Failure;
use crate::ui::{Ui, View, clipped, harmless};

#[derive(Serialize)]
struct Answer {
    /// Of this clone, besides its device; null if a session was asked for.
    defaults: Option<Vec<Reader>>,
    sessions: Vec<Session>,
}

#[derive(Serialize)]
struct Reader {
    key: String,
    kind: String,
    post_quantum: bool,
    this_device: bool,
}

#[derive(Serialize)]
struct Session {
    sid: String,
    agent: String,
    title: Option<String>,
    recipients: Vec<Reader>,
    epochs: Vec<Epoch>,
    /// Why nothing can be told of it here.
    unreadable: Option<String>,
}

#[derive(Serialize)]
struct Epoch {
    epoch: String,
    current: bool,
    wraps: Vec<String>,
    removed: Vec<Reader>,
    post_quantum: bool,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.recipients/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(defaults) = &self.defaults {
            writeln!(out, "sessions that begin here: this device{}", if defaults.is_empty() { "" } else { " and" })?;
            for reader in defaults {
                reader.human(out)?;
            }
        }
        for session in &self.sessions {
            session.human(out)?;
        }
        Ok(())
    }
}

impl Reader {
    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let own = if self.this_device { "  (this device)" } else { "" };
        writeln!(out, "  {:<16}  {}{own}", self.kind, harmless(&self.key))
    }
}

impl Session {
    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(why) = &self.unreadable {
            return writeln!(out, "{}: {}", &self.sid[..8], harmless(why));
        }
        let title = self.title.as_deref().map(|title| format!(" \"{}\"", clipped(title, 48))).unwrap_or_default();
        writeln!(out, "{} {}{title}:", &self.sid[..8], harmless(&self.agent))?;
        for reader in &self.recipients {
            reader.human(out)?;
        }
        for epoch in &self.epochs {
            let post_quantum = if epoch.post_quantum { "post-quantum" } else { "not post-quantum" };
            let current = if epoch.current { ", what is new goes there" } else { "" };
            writeln!(out, "  epoch {}: {post_quantum}; wrapped to {}{current}", epoch.epoch, harmless(&epoch.wraps.join(" and to ")))?;
            for reader in &epoch.removed {
                writeln!(out, "    removed, and has its key: {}", harmless(&reader.key))?;
            }
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui, session: Option<&str>) -> Result<(), Failure> {
    let found = crate::cmd::with_ledger(env, ui, |ledger, findings| Ok(recipient_list::list(ledger, session, findings)?))?;
    let defaults = session.is_none().then(|| found.defaults.into_iter().map(reader).collect());
    let session = |session: recipient_list::Session| Session {
        sid: session.sid.to_string(),
        agent: session.agent,
        title: session.title,
        recipients: session.readers.into_iter().map(reader).collect(),
        epochs: session.epochs.into_iter().map(epoch).collect(),
        unreadable: session.unreadable,
    };
    ui.report(&Answer { defaults, sessions: found.sessions.into_iter().map(session).collect() }).map_err(Failure::Output)
}

fn reader(reader: recipient_list::Reader) -> Reader {
    Reader { key: reader.key, kind: reader.kind, post_quantum: reader.post_quantum, this_device: reader.this_device }
}

fn epoch(epoch: recipient_list::Epoch) -> Epoch {
    Epoch {
        epoch: epoch.id,
        current: epoch.current,
        wraps: epoch.wraps,
        removed: epoch.removed.into_iter().map(reader).collect(),
        post_quantum: epoch.post_quantum,
    }
}
