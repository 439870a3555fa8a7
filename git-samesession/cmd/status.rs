//! `status`: what is at work, what is only here, who holds what, and what waits for this device.

use std::io::{self, Write};

use samesession::device::Device;
use samesession::env::Env;
use samesession::flow::ledger::Finding;
use samesession::flow::status::{self, Here, One, Saved, Sent};
use samesession::lease::Standing;
use samesession::seal::NoCallbacks;
use samesession::time;
use serde::Serialize;

use super::lease;
use crate::cli;
use crate::failure::Failure;
use crate::ui::{Ui, View, ago, clipped, count, harmless};

/// So many sessions are a screen.
const SCREEN: usize = 15;

#[derive(Serialize)]
struct Answer {
    /// Where sessions go to.
    remote: Option<String>,
    sessions: Vec<Row>,
    #[serde(skip)]
    most: usize,
}

#[derive(Serialize)]
struct Row {
    sid: String,
    agent: Option<String>,
    native_id: Option<String>,
    title: Option<String>,
    /// When something was last written to it, here or in a checkpoint.
    modified: Option<String>,
    here: Here,
    saved: Saved,
    sent: Sent,
    /// Who drives it; null where nobody ever did.
    lease: Option<lease::Row>,
    ways: usize,
    /// A hand-over that comes when the agent's turn is over.
    registered: Option<Registered>,
    #[serde(skip)]
    age: String,
    #[serde(skip)]
    only_here: bool,
}

#[derive(Serialize)]
struct Registered {
    since: String,
    remote: String,
    /// A process waits for the end of the turn; without one it has to be asked for again.
    attended: bool,
}

impl Row {
    fn new(one: One, env: &Env) -> Row {
        Row {
            only_here: one.is_only_here(),
            lease: one.lease.as_ref().map(|lease| lease::Row::new(&one.sid, None, one.standing, Some(lease))),
            sid: one.sid.to_string(),
            agent: one.agent,
            native_id: one.native,
            title: one.title,
            modified: one.when.map(time::format),
            age: one.when.map_or("?".to_owned(), |when| ago(when, env.now())),
            here: one.here,
            saved: one.saved,
            sent: one.sent,
            ways: one.ways,
            registered: one.registered.map(|one| Registered { since: one.since, remote: one.remote, attended: one.attended }),
        }
    }

    fn standing(&self) -> Standing {
        self.lease.as_ref().map_or(Standing::Free, |lease| lease.standing)
    }

    /// What is worth saying of it.
    fn words(&self, remote: Option<&str>) -> String {
        let here = match self.here {
            Here::Working => Some("in a turn"),
            Here::Idle => Some("open, waiting for its user"),
            Here::Open => Some("open"),
            Here::Closed => None,
            Here::Absent => Some("not on this machine"),
        };
        let saved = match self.saved {
            Saved::Never | Saved::Unsaved => Some("not checkpointed"),
            Saved::Behind => Some("older here than its newest checkpoint"),
            Saved::Saved | Saved::Unknown => None,
        };
        let remote = harmless(remote.unwrap_or_default());
        let sent = match self.sent {
            Sent::Unsent => Some(format!("not sent to '{remote}'")),
            Sent::Pending => Some(format!("waits to be sent to '{remote}'")),
            Sent::Sent | Sent::Nothing => None,
        };
        let lease = self.lease.as_ref().filter(|lease| lease.standing != Standing::Free).map(lease::Row::words);
        let note = self.lease.as_ref().filter(|lease| lease.standing == Standing::Waiting).and_then(|lease| lease.note.as_deref());
        let ways = (self.ways > 1).then(|| format!("went {} ways", self.ways));
        let moving = self.registered.as_ref().map(|registered| match registered.attended {
            true => format!("goes to '{}' when this turn is over", harmless(&registered.remote)),
            false => format!("was to be handed over, and was not: git samesession move {}", &self.sid[..8]),
        });
        let words =
            here.map(str::to_owned).into_iter().chain(moving).chain(lease).chain(note.map(|note| format!("\"{}\"", clipped(note, 60))));
        words.chain(ways).chain(saved.map(str::to_owned)).chain(sent).collect::<Vec<_>>().join("; ")
    }
}

impl Answer {
    fn how_many(&self, which: impl Fn(&Row) -> bool) -> usize {
        self.sessions.iter().filter(|row| which(row)).count()
    }

    /// Version 1. Words may be added to the first line and fields to the end of the others, and nothing else.
    fn porcelain(&self, out: &mut dyn Write) -> io::Result<()> {
        let standing = |standing: Standing| self.how_many(|row| row.standing() == standing);
        writeln!(
            out,
            "samesession 1 sessions={} open={} working={} unsaved={} unsent={} mine={} waiting={} registered={} ways={}",
            self.sessions.len(),
            self.how_many(|row| matches!(row.here, Here::Working | Here::Idle | Here::Open)),
            self.how_many(|row| row.here == Here::Working),
            self.how_many(|row| matches!(row.saved, Saved::Never | Saved::Unsaved)),
            self.how_many(|row| matches!(row.sent, Sent::Unsent | Sent::Pending)),
            standing(Standing::Mine),
            standing(Standing::Waiting),
            self.how_many(|row| row.registered.is_some()),
            self.how_many(|row| row.ways > 1),
        )?;
        for row in &self.sessions {
            let title = row.title.as_deref().map(harmless).filter(|title| !title.is_empty()).unwrap_or_else(|| "-".to_owned());
            let moving = match &row.registered {
                Some(Registered { attended: true, .. }) => "registered",
                Some(_) => "forgotten",
                None => "-",
            };
            let agent = harmless(row.agent.as_deref().unwrap_or("-"));
            let words = [word(&row.here), word(&row.saved), word(&row.sent), word(&row.standing())].join("\t");
            writeln!(out, "{}\t{agent}\t{words}\t{moving}\t{}\t{title}", row.sid, row.ways)?;
        }
        Ok(())
    }

    /// What to type, each command once.
    fn hints(&self) -> Vec<String> {
        let mut hints = Vec::new();
        let mut hint = |any: bool, text: String| hints.extend(any.then_some(text));
        hint(
            self.how_many(|row| row.standing() == Standing::Waiting) > 0,
            "to go on with what waits here: git samesession resume".to_owned(),
        );
        let unsaved: Vec<&Row> =
            self.sessions.iter().filter(|row| matches!(row.saved, Saved::Never | Saved::Unsaved) && row.registered.is_none()).collect();
        let which = match unsaved[..] {
            [row] => row.sid[..8].to_owned(),
            _ => "SESSION".to_owned(),
        };
        let push = if self.remote.is_some() { " --push" } else { "" };
        hint(!unsaved.is_empty(), format!("to keep what is not checkpointed: git samesession checkpoint{push} {which}"));
        let unsent = self.how_many(|row| matches!(row.sent, Sent::Unsent | Sent::Pending)) > 0;
        hint(unsent, "to send what is not sent: git samesession push --all".to_owned());
        hint(self.how_many(|row| row.ways > 1) > 0, "to see where a session went several ways: git samesession log SESSION".to_owned());
        hints
    }
}

/// As JSON has it.
fn word(of: &impl Serialize) -> String {
    serde_json::to_value(of).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_else(|| "-".to_owned())
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.status/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.remote {
            Some(remote) => writeln!(out, "{}; they go to '{}'", count(self.sessions.len(), "session"), harmless(remote))?,
            None => writeln!(out, "{}; there is no remote that they go to", count(self.sessions.len(), "session"))?,
        }
        for row in self.sessions.iter().take(self.most) {
            let title = row.title.as_deref().map(|title| format!("\"{}\"", clipped(title, 48)));
            let (agent, title) = (clipped(row.agent.as_deref().unwrap_or("?"), 7), title.unwrap_or_else(|| "(no title)".to_owned()));
            let words = row.words(self.remote.as_deref());
            let words = if words.is_empty() { String::new() } else { format!("  {words}") };
            writeln!(out, "{} {agent:<7} {:>10}  {title}{words}", &row.sid[..8], row.age)?;
        }
        if self.sessions.len() > self.most {
            let rest = &self.sessions[self.most..];
            let only_here = rest.iter().filter(|row| row.only_here).count();
            let only_here = if only_here > 0 { format!(", {only_here} of them with work that is only here") } else { String::new() };
            writeln!(out, "and {} more{only_here}; all of them: git samesession status --all", rest.len())?;
        }
        self.hints().iter().try_for_each(|hint| writeln!(out, "{}", harmless(hint)))
    }
}

struct Porcelain(Answer);

impl Serialize for Porcelain {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl View for Porcelain {
    const SCHEMA: &'static str = Answer::SCHEMA;

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.porcelain(out)
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Status) -> Result<(), Failure> {
    // A prompt that asks a question would be no prompt.
    let device = if options.porcelain { Device::load(env)? } else { super::own_device(env, ui)? };
    let found = super::with_ledger_as(env, ui, super::Keys { device, files: &[] }, &NoCallbacks, |ledger, findings| {
        let found = status::status(ledger)?;
        // What 'list' and 'doctor' say in full is not said at every prompt.
        let loud = |finding: &Finding| !options.porcelain && matches!(finding, Finding::Rewound { .. } | Finding::BroughtBack { .. });
        findings.extend(found.findings.iter().filter(|finding| loud(finding)).cloned());
        Ok(found)
    })?;
    let most = if options.all { usize::MAX } else { SCREEN };
    let sessions = found.sessions.into_iter().map(|one| Row::new(one, env)).collect();
    let answer = Answer { remote: found.remote, sessions, most };
    if options.porcelain { ui.report(&Porcelain(answer)) } else { ui.report(&answer) }.map_err(Failure::Output)
}
