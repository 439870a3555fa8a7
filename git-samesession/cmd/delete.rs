//! `delete`: a session out of this repository, and with `--remote` out of a remote.

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::{delete, named, remote};
use serde::Serialize;

use crate::cli;
use crate::failure::Failure;
use crate::terminal;
use crate::ui::{Ui, View, harmless};

#[derive(Serialize)]
struct Answer {
    sid: String,
    /// Where it was replaced by a note that it is deleted.
    remote: Option<String>,
    /// Remotes that have it still.
    left_on: Vec<String>,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.delete/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let sid = &self.sid[..8];
        match &self.remote {
            Some(remote) => writeln!(out, "deleted {sid} here and on {}", harmless(remote))?,
            None => writeln!(out, "deleted {sid} here")?,
        }
        for remote in &self.left_on {
            let remote = harmless(remote);
            writeln!(out, "it is still on {remote}; to delete it there: git samesession delete {sid} --remote {remote}")?;
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Delete) -> Result<(), Failure> {
    let answer = super::with_ledger(env, ui, |ledger, findings| {
        let sid = named::resolve(ledger, &options.session, findings)?.sid;
        let from = options.remote.as_deref().map(|name| remote::choose(&ledger.store.repo, Some(name).filter(|name| !name.is_empty())));
        let from = from.transpose()?;
        confirm(sid.short(), from.as_deref(), options.confirm.as_deref())?;
        Ok(delete::delete(ledger, &sid, from.as_deref(), findings)?)
    })?;
    let answer = Answer { sid: answer.sid.to_string(), remote: answer.remote, left_on: answer.left_on };
    ui.report(&answer).map_err(Failure::Output)
}

/// Typed, so that no habit answers it.
fn confirm(short: &str, from: Option<&str>, given: Option<&str>) -> Result<(), Failure> {
    let place = from.map(|remote| format!(" and from '{}', for everybody", harmless(remote))).unwrap_or_default();
    let typed = match given {
        Some(given) => Some(given.to_owned()),
        None => terminal::ask_line(&format!("This deletes session {short} from this repository{place}. Type {short} to go on: ")),
    };
    match typed.as_deref().map(str::trim) {
        Some(typed) if typed.len() >= short.len() && typed.starts_with(short) => Ok(()),
        _ => Err(Failure::NotConfirmed(short.to_owned())),
    }
}
