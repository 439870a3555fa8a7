//! `fork`: a session of this machine copied into a new one.

use std::io::{self, Write};

use samesession::agent::Reached;
use samesession::env::Env;
use samesession::flow::{doctor, fork};
use serde::Serialize;

use crate::cli;
use crate::failure::Failure;
use crate::ui::{Ui, View, bytes, clipped, harmless};

#[derive(Serialize)]
struct Answer {
    agent: &'static str,
    /// The new session, and the one that it is a copy of.
    native_id: String,
    sid: String,
    from: String,
    title: Option<String>,
    transcript: String,
    bytes: u64,
    reached: Reached,
    notes: Vec<String>,
    /// What to type to go on with it.
    resume: String,
    /// By which it can be taken back.
    undo: String,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.fork/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let title = self.title.as_deref().map(|title| format!(" \"{}\"", clipped(title, 48))).unwrap_or_default();
        writeln!(out, "{} session {}{title}: a copy of {}, {}", self.agent, self.native_id, self.from, bytes(self.bytes))?;
        writeln!(out, "to go on: {}", harmless(&self.resume))?;
        writeln!(out, "to take it back: git samesession undo {}", self.undo)
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Fork) -> Result<(), Failure> {
    let chosen = super::chosen(env, ui, options.session.as_deref(), options.agent.as_deref())?;
    let done = fork::fork(env, &chosen.selector, chosen.agent.as_deref())?;
    for recovered in &done.recovered {
        ui.note(&doctor::describe(recovered));
    }
    if done.live.is_some() {
        ui.note(&format!("{} has the first one open; this is how it stood a moment ago", done.agent.title()));
    }
    let answer = Answer {
        agent: done.agent.name(),
        native_id: done.native.to_string(),
        sid: done.sid.to_string(),
        from: done.from.to_string(),
        title: done.title,
        transcript: done.transcript.display().to_string(),
        bytes: done.bytes,
        reached: done.reached,
        notes: done.notes,
        resume: super::restore::typed(&done.resume),
        undo: done.undo,
    };
    ui.report(&answer).map_err(Failure::Output)?;
    if !ui.json {
        answer.notes.iter().for_each(|note| ui.note(&format!("note: {note}")));
    }
    Ok(())
}
