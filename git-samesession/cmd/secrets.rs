//! `secrets`: what would leave and should not, and what may all the same.

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::guard::Passed;
use samesession::flow::secrets::{self, For, Kept};
use samesession::flow::source::Source;
use samesession::policy::secrets::{Confidence, Finding};
use serde::Serialize;

use crate::cli::SecretsCommand;
use crate::failure::Failure;
use crate::terminal;
use crate::ui::{Ui, View, bytes, count, harmless};

#[derive(Serialize)]
struct Exceptions {
    exceptions: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    id: String,
    reason: Option<String>,
    by: String,
    at: String,
    /// `user` or `repository`.
    scope: &'static str,
}

impl From<Kept> for Row {
    fn from(kept: Kept) -> Row {
        let one = kept.exception;
        Row { id: one.id, reason: one.reason, by: one.by, at: one.at, scope: if kept.for_user { "user" } else { "repository" } }
    }
}

impl View for Exceptions {
    const SCHEMA: &'static str = "samesession.secrets/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.exceptions.is_empty() {
            return writeln!(out, "no secret may leave");
        }
        for row in &self.exceptions {
            let reason = harmless(row.reason.as_deref().unwrap_or("(no reason)"));
            writeln!(out, "{}  {:<10}  {}  {}  {reason}", row.id, row.scope, row.at, harmless(&row.by))?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Changed {
    id: String,
    state: &'static str,
    /// `user` or `repository`.
    scope: Option<&'static str>,
}

impl View for Changed {
    const SCHEMA: &'static str = "samesession.secrets-changed/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let place = if self.scope == Some("user") { "for this user" } else { "in this repository" };
        match self.state {
            "allowed" => writeln!(out, "{} may leave, {place}", self.id),
            "unchanged" => writeln!(out, "{} could leave already, {place}", self.id),
            "forbidden" => writeln!(out, "{} may not leave any more; what left stays where it is", self.id),
            _ => writeln!(out, "{} was not allowed", self.id),
        }
    }
}

#[derive(Serialize)]
struct Scanned {
    sid: String,
    files: usize,
    bytes: u64,
    findings: Vec<FindingRow>,
    /// What was found beyond these.
    more: usize,
}

#[derive(Serialize)]
struct FindingRow {
    #[serde(flatten)]
    finding: Finding,
    allowed: bool,
}

impl View for Scanned {
    const SCHEMA: &'static str = "samesession.secrets-scan/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for row in &self.findings {
            let word = if row.allowed { "allowed" } else { confidence(&row.finding) };
            writeln!(out, "{word:<8}{}", harmless(&line(&row.finding)))?;
        }
        let found = count(self.findings.len() + self.more, "finding");
        writeln!(out, "{found} in {}, {}", count(self.files, "file"), bytes(self.bytes))
    }
}

pub fn run(env: &Env, ui: &Ui, command: &SecretsCommand) -> Result<(), Failure> {
    let done = match command {
        SecretsCommand::List => ui.report(&Exceptions { exceptions: secrets::list(env)?.into_iter().map(Row::from).collect() }),
        SecretsCommand::Allow { id, reason, global } => {
            let device = super::device_or_new(env, ui)?;
            let whose = if *global { For::User } else { For::Repository };
            let (kept, new) = secrets::allow(env, id, reason.as_deref(), &device.name, whose)?;
            let row = Row::from(kept);
            ui.report(&Changed { id: row.id, state: if new { "allowed" } else { "unchanged" }, scope: Some(row.scope) })
        }
        SecretsCommand::Forbid { id } => {
            let state = if secrets::forget(env, id)? { "forbidden" } else { "unknown" };
            ui.report(&Changed { id: id.to_ascii_lowercase(), state, scope: None })
        }
        SecretsCommand::Scan { session, agent } => {
            let chosen = super::chosen(env, ui, session.as_deref(), agent.as_deref())?;
            let asked = samesession::flow::workspace::Options::default();
            let mut source = Source::find(env, &chosen.selector, chosen.agent.as_deref())?.with_workspace(env, &asked)?;
            let (looked, allowed) = secrets::scan(env, &mut source, &*ui.progress())?;
            let row = |finding: Finding| FindingRow { allowed: allowed.get(&finding.id).is_some(), finding };
            ui.report(&Scanned {
                sid: source.selected.session.sid().to_string(),
                files: looked.listing.files.len(),
                bytes: looked.listing.files.iter().map(|file| file.2).sum(),
                findings: looked.found.findings.into_iter().map(row).collect(),
                more: looked.found.more,
            })
        }
    };
    done.map_err(Failure::Output)
}

/// One finding for people: what, where, and by which name it can be allowed.
pub fn line(finding: &Finding) -> String {
    let Finding { id, what, file, line, field, masked, .. } = finding;
    let field = field.as_deref().map(|field| format!(" ({field})")).unwrap_or_default();
    format!("{id}  {what} {masked} in {file}:{line}{field}")
}

fn confidence(finding: &Finding) -> &'static str {
    if finding.confidence == Confidence::High { "secret" } else { "perhaps" }
}

/// What is worth saying of what left; what only looks like a secret in few words, since sessions are full of it.
pub fn tell(ui: &Ui, passed: &Passed) {
    let (high, low): (Vec<_>, Vec<_>) = passed.secrets.iter().partition(|finding| finding.confidence == Confidence::High);
    for finding in high.iter().take(20) {
        ui.note(&format!("warning: secret {}", harmless(&line(finding))));
    }
    if high.len() > 20 {
        ui.note(&format!("warning: and {}; to see them: git samesession secrets scan", count(high.len() - 20, "more secret")));
    }
    if !low.is_empty() {
        let places = if low.len() == 1 { "1 place that looks".to_owned() } else { format!("{} places that look", low.len()) };
        ui.note(&format!("note: {places} like a secret; to see what: git samesession secrets scan"));
    }
    if let Some(limit) = passed.large {
        ui.note(&format!("warning: it is larger than {}", bytes(limit)));
    }
}

/// Whether files of keys may travel is asked once, of a person.
pub fn ask_about_keys(ui: &Ui, source: &mut Source) -> Result<(), Failure> {
    let Some(work) = source.work.as_mut().filter(|_| !ui.json && terminal::is_there()) else { return Ok(()) };
    let files = work.undecided(&*ui.progress())?;
    if files.is_empty() {
        return Ok(());
    }
    let named = files.iter().take(5).map(|file| format!("  {}\n", harmless(file))).collect::<String>();
    let question = format!("These look like files of keys:\n{named}Shall such files travel from this repository, sealed, from now on?");
    if let Some(take) = terminal::ask(&question) {
        work.decide(take)?;
    }
    Ok(())
}
