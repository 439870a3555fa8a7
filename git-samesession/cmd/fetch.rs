//! `fetch`: what a remote has, into this repository.

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::pick::short;
use samesession::flow::{exchange, remote};
use serde::Serialize;

use crate::cli;
use crate::failure::Failure;
use crate::ui::{Ui, View, harmless};

#[derive(Serialize)]
struct Answer {
    remote: String,
    sessions: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    sid: String,
    /// The tips on the remote as they were known before, and as they are.
    from: Option<String>,
    to: Option<String>,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.fetch/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for row in &self.sessions {
            let what = match (&row.from, &row.to) {
                (None, _) => "new",
                (_, None) => "gone there",
                _ => "updated",
            };
            writeln!(out, "{:<10}  {}", what, &row.sid[..8])?;
        }
        if self.sessions.is_empty() {
            writeln!(out, "nothing new on {}", harmless(&self.remote))?;
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Fetch) -> Result<(), Failure> {
    let answer = super::with_ledger(env, ui, |ledger, findings| {
        let remote = remote::choose(&ledger.store.repo, options.remote.as_deref())?;
        let moved = exchange::fetch(ledger, &remote, options.prune, &options.trust, findings, &*ui.progress())?;
        super::send_pending(ui, ledger, &remote, findings);
        let text = |id: Option<_>| id.as_ref().map(short);
        let row = |moved: exchange::Moved| Row { sid: moved.sid.to_string(), from: text(moved.from), to: text(moved.to) };
        Ok(Answer { remote, sessions: moved.into_iter().map(row).collect() })
    })?;
    ui.report(&answer).map_err(Failure::Output)
}
