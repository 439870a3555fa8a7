//! `log`: the checkpoints of a session, newest first, and every way that it went; or which sessions made commits.

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::log::{self, Entry};
use samesession::flow::{self, Way, made, pick};
use samesession::store::record::Kind;
use samesession::{store, time};
use serde::Serialize;

use crate::cli;
use crate::failure::Failure;
use crate::ui::{Ui, View, ago, bytes, clipped, count, harmless};

#[derive(Serialize)]
struct Answer {
    sid: String,
    agent: Option<String>,
    native_id: Option<String>,
    title: Option<String>,
    checkpoints: Vec<Row>,
    /// There are more than were asked for.
    more: bool,
    ways: Vec<WayRow>,
}

#[derive(Serialize)]
struct Row {
    commit: String,
    sequence: u64,
    kind: &'static str,
    parents: Vec<String>,
    made: Option<String>,
    device: Option<String>,
    title: Option<String>,
    /// What its user asked for last.
    prompt: Option<String>,
    files: Option<usize>,
    bytes: Option<u64>,
    added_bytes: u64,
    sealed_bytes: u64,
    signer: String,
    signer_name: Option<String>,
    unread: Option<String>,
    /// Whose tip it is: 'here', or a remote's name.
    at: Vec<String>,
    /// The ways that go through it, by their commits.
    ways: Vec<String>,
    /// Other ways that were open when it was made.
    open: Vec<String>,
    /// How many commits it stands in for.
    supersedes: Option<usize>,
    shortened: bool,
    ends: Vec<End>,
    #[serde(skip)]
    age: String,
    #[serde(skip)]
    letter: char,
}

#[derive(Serialize)]
struct End {
    commit: String,
    why: String,
}

/// One of several ways that a session went, and how to go on from it.
#[derive(Serialize)]
pub struct WayRow {
    commit: String,
    device: String,
    made: String,
    title: Option<String>,
    prompt: Option<String>,
    bytes: u64,
    restore: String,
    #[serde(skip)]
    age: String,
}

impl WayRow {
    pub fn all(ways: &[Way], env: &Env) -> Vec<WayRow> {
        let row = |(way, restore): (&Way, String)| WayRow {
            commit: way.commit.to_string(),
            device: way.device.clone(),
            made: way.made.clone(),
            title: way.title.clone(),
            prompt: way.prompt.clone(),
            bytes: way.bytes,
            age: time::parse(&way.made).map_or("?".to_owned(), |made| ago(made, env.now())),
            restore,
        };
        ways.iter().zip(pick::commands(ways)).map(row).collect()
    }

    pub fn tell(ways: &[WayRow], out: &mut dyn Write) -> io::Result<()> {
        if ways.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nit went {} ways; to go on from one:", ways.len())?;
        for (n, way) in ways.iter().enumerate() {
            let device = clipped(&way.device, 16);
            let last = way.prompt.as_deref().map(|prompt| format!("; last: \"{}\"", clipped(prompt, 60))).unwrap_or_default();
            writeln!(out, "  {} {}   ({}, {}, {device}{last})", letter(n), way.restore, way.age, bytes(way.bytes))?;
        }
        Ok(())
    }
}

/// Ways are told apart by letters.
fn letter(n: usize) -> char {
    (b'a'..=b'z').nth(n).map_or('+', char::from)
}

impl Row {
    fn new(entry: Entry, ways: &[Way], env: &Env) -> Row {
        let inside = entry.glance.inside.as_ref();
        let summary = inside.ok().map(|inside| &inside.summary).filter(|_| entry.glance.kind == Kind::Checkpoint);
        let made = inside.ok().map(|inside| inside.made.clone());
        let only = entry.ways.iter().next().filter(|_| entry.ways.len() == 1);
        Row {
            commit: entry.commit.to_string(),
            sequence: entry.glance.sequence,
            kind: kind(entry.glance.kind),
            parents: entry.glance.parents.clone(),
            device: inside.ok().map(|inside| inside.device.clone()),
            title: summary.and_then(|summary| summary.title.clone()),
            prompt: summary.and_then(|summary| summary.prompt.clone()),
            files: summary.map(|summary| summary.files),
            bytes: summary.map(|summary| summary.bytes),
            added_bytes: entry.glance.added,
            sealed_bytes: entry.glance.total,
            signer: entry.glance.signer().fingerprint,
            signer_name: entry.signer_name,
            unread: inside.err().map(ToString::to_string),
            at: entry.at,
            ways: entry.ways.iter().map(|n| ways[*n].commit.to_string()).collect(),
            open: inside.ok().map(|inside| inside.open.clone()).unwrap_or_default(),
            supersedes: inside.ok().map(|inside| inside.supersedes),
            shortened: entry.glance.shortened,
            ends: entry.ends.into_iter().map(|(id, why)| End { commit: id.to_string(), why }).collect(),
            age: made.as_deref().and_then(time::parse).map_or("?".to_owned(), |made| ago(made, env.now())),
            letter: only.map_or(' ', |n| letter(*n)),
            made,
        }
    }

    fn about(&self) -> String {
        let holds = match (self.kind, &self.unread, self.files, self.bytes) {
            ("deleted", ..) => "the session was deleted".to_owned(),
            (_, Some(why), ..) => format!("({})", clipped(why, 80)),
            (_, None, files, size) => format!("{}, {}", count(files.unwrap_or_default(), "file"), bytes(size.unwrap_or_default())),
        };
        let at = if self.at.is_empty() { String::new() } else { format!("  [{}]", clipped(&self.at.join(", "), 60)) };
        format!("{holds}, {} added{at}", bytes(self.added_bytes))
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(prompt) = &self.prompt {
            remarks.push(format!("last: \"{}\"", clipped(prompt, 80)));
        }
        if let [_, _, ..] = &self.parents[..] {
            let parents: Vec<&str> = self.parents.iter().map(|id| &id[..id.len().min(12)]).collect();
            remarks.push(format!("joins {}", parents.join(" and ")));
        }
        if self.shortened {
            let many = self.supersedes.map_or("earlier commits".to_owned(), |n| count(n, "earlier commit"));
            remarks.push(format!("stands in for {many}"));
        }
        if self.parents.is_empty() && self.sequence > 1 {
            remarks.push("the chain was shortened and begins here".to_owned());
        }
        for End { commit, why } in &self.ends {
            remarks.push(format!("built upon {}: {}", &commit[..commit.len().min(12)], clipped(why, 120)));
        }
        remarks
    }
}

pub fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Checkpoint => "checkpoint",
        Kind::Deleted => "deleted",
    }
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.log/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let native = self.native_id.as_deref().map(|id| format!(" {}", harmless(id))).unwrap_or_default();
        let title = self.title.as_deref().map(|title| format!(" \"{}\"", clipped(title, 60))).unwrap_or_default();
        writeln!(out, "session {} {}{native}{title}", &self.sid[..8], harmless(self.agent.as_deref().unwrap_or("?")))?;
        WayRow::tell(&self.ways, out)?;
        writeln!(out)?;
        for row in &self.checkpoints {
            let (step, device) = (format!("#{}", row.sequence), clipped(row.device.as_deref().unwrap_or("?"), 16));
            let signed = row.signer_name.as_deref().map_or_else(|| format!("unknown {}", row.signer), harmless);
            let commit = &row.commit[..12];
            writeln!(out, "{} {commit} {step:>5} {:>10}  {device:<16}  {}; by {signed}", row.letter, row.age, row.about())?;
            for remark in row.remarks() {
                writeln!(out, "  {:12} {remark}", "")?;
            }
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Log) -> Result<(), Failure> {
    let what = options.session.as_deref().unwrap_or("current");
    super::with_ledger(env, ui, |ledger, findings| {
        let named = match super::named(ui, ledger, what, findings) {
            // What names no session may name something that one made.
            Err(none @ (flow::Error::NoSuchSession(_) | flow::Error::Store(store::Error::NotACheckpoint { .. }))) => {
                let target = made::target(ledger, what)?.ok_or(none)?;
                return super::made::log(ui, env, ledger, target, options.number, findings);
            }
            named => named?,
        };
        let found = log::log(ledger, &named, options.number.unwrap_or(usize::MAX))?;
        let newest = found.entries.first().and_then(|entry| entry.glance.inside.as_ref().ok()).map(|inside| inside.summary.clone());
        let newest = newest.unwrap_or_default();
        let some = |text: String| (!text.is_empty()).then_some(text);
        let answer = Answer {
            sid: found.sid.to_string(),
            agent: some(newest.agent),
            native_id: some(newest.native_id),
            title: newest.title,
            more: found.more,
            checkpoints: found.entries.into_iter().map(|entry| Row::new(entry, &found.ways, env)).collect(),
            ways: WayRow::all(&found.ways, env),
        };
        ui.report(&answer).map_err(Failure::Output)?;
        if answer.more && !ui.json {
            ui.note(&format!("there are more than {}", count(answer.checkpoints.len(), "checkpoint")));
        }
        Ok(())
    })
}
