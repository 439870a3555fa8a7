//! `recipient add`, `remove`, `rewrap` and `list`: who can open sessions.

mod group;
mod list;

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::ledger::Ledger;
use samesession::flow::recipients::{self, Act, Outcome, State};
use samesession::flow::{self, groups, keys};
use samesession::git::Repository;
use samesession::seal::PassphraseReader;
use samesession::time;
use serde::Serialize;

use crate::cli::{self, NewReader, RecipientCommand};
use crate::failure::Failure;
use crate::terminal::{self, Terminal};
use crate::ui::{Ui, View, bytes, clipped, count, harmless};

#[derive(Serialize)]
struct Answer {
    act: &'static str,
    keys: Vec<String>,
    /// Those of the keys that became defaults of this clone, or are none any more.
    defaults: Vec<String>,
    /// Those that stay defaults because Git's configuration has them elsewhere.
    defaults_left: Vec<String>,
    sessions: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    sid: String,
    agent: String,
    title: Option<String>,
    state: &'static str,
    /// Why it was skipped.
    why: Option<String>,
    commit: Option<String>,
    sequence: Option<u64>,
    added_bytes: Option<u64>,
    /// Of how many epochs the keys were sealed anew.
    epochs: Option<usize>,
    recipients: Option<Vec<String>>,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.recipient/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let (done, defaults) = match self.act {
            "add" => ("added", "now a default of this clone"),
            "remove" => ("removed", "no default of this clone any more"),
            _ => ("wrapped anew", ""),
        };
        for key in &self.keys {
            let default = if self.defaults.contains(key) { format!(", {defaults}") } else { String::new() };
            writeln!(out, "{done} {}{default}", harmless(key))?;
        }
        for key in &self.defaults_left {
            writeln!(out, "still a default: Git's configuration has {} in another file than this clone's", harmless(key))?;
        }
        for row in &self.sessions {
            let title = row.title.as_deref().map(|title| format!(" \"{}\"", clipped(title, 48))).unwrap_or_default();
            let head = format!("  {} {}{title}", &row.sid[..8], harmless(&row.agent));
            match (row.sequence, &row.why) {
                (Some(sequence), _) => {
                    let readers = count(row.recipients.as_ref().map_or(0, Vec::len), "recipient");
                    writeln!(out, "{head}: checkpoint {sequence}, {readers}; {} added", bytes(row.added_bytes.unwrap_or_default()))?;
                }
                (None, Some(why)) => writeln!(out, "  {}: left as it is: {}", &row.sid[..8], harmless(why))?,
                (None, None) => writeln!(out, "{head}: nothing to change")?,
            }
        }
        if self.act == "remove" && self.sessions.iter().any(|row| row.state == "changed") {
            writeln!(out, "what they could read until now they keep, and what was pushed stays readable to them")?;
            writeln!(
                out,
                "what is sealed from now on they cannot read; clones that have not fetched this go on sealing to them until they do"
            )?;
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui, command: &RecipientCommand) -> Result<(), Failure> {
    match command {
        RecipientCommand::Group(command) => group::run(env, ui, command),
        RecipientCommand::List { session } => list::run(env, ui, session.as_deref()),
        RecipientCommand::Add { keys, sessions, reader } => match new_reader(env, reader)? {
            Some(reader) => change(env, ui, ("add", Act::AddPassphrase(reader)), sessions),
            None => change(env, ui, ("add", Act::Add(keys.clone())), sessions),
        },
        RecipientCommand::Remove { passphrase: true, sessions, force, .. } => {
            change(env, ui, ("remove", Act::RemovePassphrases { force: *force }), sessions)
        }
        RecipientCommand::Remove { keys, sessions, force, .. } => {
            change(env, ui, ("remove", Act::Remove { keys: keys.clone(), force: *force }), sessions)
        }
        RecipientCommand::Rewrap { session } => change(env, ui, ("rewrap", Act::Rewrap), session.as_slice()),
    }
}

fn new_reader(env: &Env, asked: &NewReader) -> Result<Option<PassphraseReader>, Failure> {
    let asked = cli::Passphrase { passphrase: asked.passphrase, passphrase_file: asked.passphrase_file.clone(), passphrase_fd: None };
    // Where there is nothing that it could open nobody is asked.
    if asked.passphrase || asked.passphrase_file.is_some() {
        Repository::open(env, env.cwd())?;
    }
    let Some(passphrase) = terminal::passphrase(&asked, true)? else { return Ok(None) };
    Ok(Some(PassphraseReader::new(&passphrase, &time::format(env.now()))?))
}

fn change(env: &Env, ui: &Ui, (name, mut act): (&'static str, Act), sessions: &[String]) -> Result<(), Failure> {
    let repo = Repository::open(env, env.cwd())?;
    if let Act::Add(typed) | Act::Remove { keys: typed, .. } = &mut act {
        *typed = groups::named(&repo, typed);
        // What is no key is found out before keys are made.
        keys::recipients(&keys::SealTo::Recipients(typed.clone()), None)?;
    }
    let device = super::device_or_new(env, ui)?;
    let terminal = Terminal { quiet: ui.quiet };
    let identities = flow::keys::identities(env, Some(&device), &[], None, &terminal)?;
    let ledger = Ledger::of(env, repo, Some(&device), &identities)?;
    let mut findings = Vec::new();
    let done = recipients::change(&ledger, &device, &act, sessions, &mut findings, &terminal);
    super::tell(ui, &findings);
    ui.report(&answer(name, done?)).map_err(Failure::Output)
}

fn answer(act: &'static str, done: Outcome) -> Answer {
    let row = |session: recipients::Session| {
        let mut row = Row {
            sid: session.sid.to_string(),
            agent: session.agent,
            title: session.title,
            state: "unchanged",
            why: None,
            commit: None,
            sequence: None,
            added_bytes: None,
            epochs: None,
            recipients: None,
        };
        match session.state {
            State::Unchanged => {}
            State::Skipped(why) => (row.state, row.why) = ("skipped", Some(why)),
            State::Changed(changed) => {
                row.state = "changed";
                row.commit = Some(changed.tip.to_string());
                row.sequence = Some(changed.sequence);
                row.added_bytes = Some(changed.added);
                row.epochs = Some(changed.epochs);
                row.recipients = Some(changed.readers);
            }
        }
        row
    };
    let sessions = done.sessions.into_iter().map(row).collect();
    Answer { act, keys: done.keys, defaults: done.defaults, defaults_left: done.defaults_left, sessions }
}
