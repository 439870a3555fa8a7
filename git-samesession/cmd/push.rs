//! `push`: this repository's sessions to a remote, joined with what others pushed meanwhile.

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::exchange::{self, Arrived, Pushed};
use samesession::flow::ledger::{Finding, Ledger};
use samesession::flow::pick::short;
use samesession::flow::{self, named, remote};
use samesession::id::SessionId;
use serde::Serialize;

use crate::cli;
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::ui::{Ui, View, count, harmless};

#[derive(Serialize)]
pub struct Answer {
    remote: String,
    sessions: Vec<Row>,
    /// What stood in the way, for the exit code and its hints.
    #[serde(skip)]
    refused: Vec<flow::Error>,
}

#[derive(Serialize)]
struct Row {
    sid: String,
    commit: String,
    result: &'static str,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.push/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let remote = harmless(&self.remote);
        for row in &self.sessions {
            let what = match row.result {
                "joined" => format!("pushed to {remote}, joined with what was there"),
                "up-to-date" => format!("is on {remote} already"),
                "pushed" => format!("pushed to {remote}"),
                _ => format!("NOT pushed to {remote}: {}", harmless(row.why.as_deref().unwrap_or_default())),
            };
            writeln!(out, "{}  {what}", &row.sid[..8])?;
        }
        if self.sessions.is_empty() {
            writeln!(out, "{remote} has everything already")?;
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Push) -> Result<(), Failure> {
    // With --all the only word is the remote.
    let (session, to) = match (options.all, &options.session, &options.remote) {
        (true, Some(_), Some(_)) => return Err(Failure::Usage("--all pushes every session: name only the remote")),
        (true, word, None) => (None, word.as_deref()),
        (_, session, remote) => (session.as_deref(), remote.as_deref()),
    };
    let mut answer = super::with_ledger(env, ui, |ledger, findings| {
        let only = match (options.all, session) {
            (true, _) => None,
            (false, session) => Some(vec![named::resolve(ledger, session.unwrap_or("current"), findings)?.sid]),
        };
        push(ledger, ui, to, only.as_deref(), findings)
    })?;
    ui.report(&answer).map_err(Failure::Output)?;
    refused(&mut answer)
}

pub fn push(
    ledger: &Ledger<'_>,
    ui: &Ui,
    to: Option<&str>,
    only: Option<&[SessionId]>,
    findings: &mut Vec<Finding>,
) -> Result<Answer, Failure> {
    let remote = remote::choose(&ledger.store.repo, to)?;
    let done = exchange::push(ledger, &remote, only, &Terminal { quiet: ui.quiet }, findings, &*ui.progress())?;
    let mut answer = Answer { remote, sessions: Vec::new(), refused: Vec::new() };
    for Pushed { sid, tip, result } in done {
        let (word, why) = match &result {
            Ok(Arrived::Pushed) => ("pushed", None),
            Ok(Arrived::UpToDate) => ("up-to-date", None),
            Ok(Arrived::Joined) => ("joined", None),
            Err(error) => ("refused", Some(error.to_string())),
        };
        answer.sessions.push(Row { sid: sid.to_string(), commit: short(&tip), result: word, why });
        answer.refused.extend(result.err());
    }
    Ok(answer)
}

/// What was refused is in the answer, and in the exit code.
pub fn refused(answer: &mut Answer) -> Result<(), Failure> {
    match answer.refused.len() {
        0 => Ok(()),
        1 => Err(Failure::Answered(Box::new(answer.refused.swap_remove(0).into()))),
        refused => Err(Failure::Answered(Box::new(Failure::NotPushed(count(refused, "session"))))),
    }
}
