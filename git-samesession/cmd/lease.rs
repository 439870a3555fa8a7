//! `lease`: who drives a session, shown and changed.

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::lease::{self, Changing};
use samesession::flow::ledger::{Finding, Ledger};
use samesession::flow::{remote, remotes};
use samesession::id::SessionId;
use samesession::lease::{Act, Lease, Standing};
use samesession::store::refs::Known;
use serde::Serialize;

use crate::cli::{self, LeaseCommand};
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::ui::{Ui, View, clipped, harmless};

#[derive(Serialize)]
struct Answer {
    sessions: Vec<Row>,
}

/// Who drives one session, as every answer says it.
#[derive(Serialize)]
pub struct Row {
    pub sid: String,
    pub title: Option<String>,
    pub standing: Standing,
    pub device: Option<String>,
    pub since: Option<String>,
    pub until: Option<String>,
    pub to: Vec<String>,
    pub note: Option<String>,
    /// From whom it was taken over, and why.
    pub taken_from: Option<String>,
    pub reason: Option<String>,
}

impl Row {
    pub fn new(sid: &SessionId, title: Option<String>, standing: Standing, lease: Option<&Lease>) -> Row {
        let lease = lease.cloned();
        let takeover = lease.as_ref().and_then(|lease| lease.takeover.clone());
        Row {
            sid: sid.to_string(),
            title,
            standing,
            device: lease.as_ref().map(|lease| lease.device.clone()),
            since: lease.as_ref().map(|lease| lease.since.clone()),
            until: lease.as_ref().and_then(|lease| lease.until.clone()),
            note: lease.as_ref().and_then(|lease| lease.note.clone()),
            to: lease.map(|lease| lease.to).unwrap_or_default(),
            taken_from: takeover.as_ref().map(|takeover| takeover.from.clone()),
            reason: takeover.map(|takeover| takeover.reason),
        }
    }

    pub fn words(&self) -> String {
        let device = clipped(self.device.as_deref().unwrap_or_default(), 30);
        let since = self.since.as_deref().unwrap_or_default();
        match self.standing {
            Standing::Free => "free".to_owned(),
            Standing::Mine => format!("held by this device since {since}"),
            Standing::Held => format!("held by '{device}' since {since}"),
            Standing::Expired => format!("free: '{device}' held it since {since}, and has not been heard of"),
            Standing::Waiting => format!("waits for this device, from '{device}'"),
            Standing::Sent if self.to.is_empty() => "handed over, and waits for whoever comes".to_owned(),
            Standing::Sent => "handed over, and waits for whom it was handed to".to_owned(),
            Standing::Elsewhere => format!("handed over to somebody else, by '{device}'"),
        }
    }
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.lease/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.sessions.is_empty() {
            writeln!(out, "no session of this repository was ever driven by anybody")?;
        }
        for row in &self.sessions {
            let title = row.title.as_deref().map(|title| format!("  \"{}\"", clipped(title, 40))).unwrap_or_default();
            writeln!(out, "{}  {}{title}", &row.sid[..8], harmless(&row.words()))?;
            if let Some(note) = &row.note {
                writeln!(out, "  note: {}", harmless(note))?;
            }
            if let (Some(from), Some(reason)) = (&row.taken_from, &row.reason) {
                writeln!(out, "  taken over from '{}': {}", harmless(from), harmless(reason))?;
            }
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui, command: &LeaseCommand) -> Result<(), Failure> {
    let answer = super::with_ledger(env, ui, |ledger, findings| match command {
        LeaseCommand::Status { session } => status(ui, ledger, session.as_deref(), findings),
        LeaseCommand::Take { leased, takeover } => change(ui, ledger, leased, &Act::Take { takeover: takeover.clone() }, findings),
        LeaseCommand::Release(leased) => change(ui, ledger, leased, &Act::Release, findings),
        LeaseCommand::Renew(leased) => change(ui, ledger, leased, &Act::Renew, findings),
    })?;
    ui.report(&answer).map_err(Failure::Output)
}

fn status(ui: &Ui, ledger: &Ledger<'_>, session: Option<&str>, findings: &mut Vec<Finding>) -> Result<Answer, Failure> {
    let mut sessions = Vec::new();
    match session {
        Some(session) => {
            let named = super::named(ui, ledger, session, findings)?;
            sessions.extend(row(ledger, &named.sid, &named.known)?);
        }
        None => {
            for (sid, known) in ledger.sync_all(findings)? {
                sessions.extend(row(ledger, &sid, &known).ok().flatten().filter(|row| row.device.is_some()));
            }
        }
    }
    Ok(Answer { sessions })
}

fn row(ledger: &Ledger<'_>, sid: &SessionId, known: &Known) -> Result<Option<Row>, Failure> {
    let mut tips = Vec::new();
    for head in ledger.heads(sid, known)? {
        tips.push(ledger.opened(&head)?);
    }
    let Some(title) = tips.first().map(|tip| tip.record.summary.title.clone()) else { return Ok(None) };
    let status = lease::status(ledger, sid, known, &tips)?;
    Ok(Some(Row::new(sid, title, status.standing, status.lease.as_ref())))
}

fn change(ui: &Ui, ledger: &Ledger<'_>, leased: &cli::Leased, act: &Act, findings: &mut Vec<Finding>) -> Result<Answer, Failure> {
    let named = super::named(ui, ledger, leased.session.as_deref().unwrap_or("current"), findings)?;
    let Some(device) = ledger.device else { return Err(Failure::NoDevice) };
    let to = remotes::store(&ledger.store.repo, leased.remote.as_deref())?;
    // What is only renewed is known well enough; if not, the store says so.
    if let Some(to) = to.filter(|_| !matches!(act, Act::Renew)) {
        super::send_pending(ui, ledger, to, findings);
        remote::newest(ledger, &named.sid, to, findings)?;
    }
    let how = Changing { device, remote: to, act, upon: None };
    lease::change(ledger, &named.sid, &how, findings, &Terminal { quiet: ui.quiet })?;
    let known = samesession::store::refs::of(&ledger.store, &named.sid)?;
    Ok(Answer { sessions: row(ledger, &named.sid, &known)?.into_iter().collect() })
}
