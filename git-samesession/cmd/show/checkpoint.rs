//! `show` of a checkpoint of the repository.

use std::io::{self, Write};

use samesession::capsule::Manifest;
use samesession::env::Env;
use samesession::flow::show::{self, Outcome};
use samesession::lease::{Kind, Lease};
use samesession::time;
use serde::Serialize;

use crate::cmd::log::{WayRow, kind};
use crate::failure::Failure;
use crate::ui::{Ui, View, ago, bytes, count, harmless};

#[derive(Serialize)]
struct Answer {
    sid: String,
    commit: String,
    sequence: u64,
    kind: &'static str,
    parents: Vec<String>,
    /// Whose tip it is: 'here', or a remote's name.
    at: Vec<String>,
    signer: String,
    signer_name: Option<String>,
    /// Sealed bytes that came with it, and with all of its chain.
    added_bytes: u64,
    sealed_bytes: u64,
    epochs: usize,
    /// Why the rest could not be read here.
    unread: Option<String>,
    agent: Option<String>,
    native_id: Option<String>,
    title: Option<String>,
    /// What its user asked for last.
    prompt: Option<String>,
    /// Who drives the session, as this checkpoint has it.
    lease: Option<Lease>,
    made: Option<String>,
    device: Option<String>,
    recipients: Vec<String>,
    parts: Option<usize>,
    bytes: Option<u64>,
    manifest: Option<Manifest>,
    ways: Vec<WayRow>,
    #[serde(skip)]
    age: String,
}

impl Answer {
    fn new(found: Outcome, env: &Env) -> Answer {
        let header = &found.checkpoint.header;
        let (inside, unread) = match found.inside {
            Ok(inside) => (Some(inside), None),
            Err(why) => (None, Some(why.to_string())),
        };
        let record = inside.as_ref().map(|inside| &inside.record);
        let summary = record.map(|record| &record.summary);
        let made = record.map(|record| record.made.clone());
        Answer {
            sid: found.checkpoint.sid.to_string(),
            commit: found.checkpoint.id().to_string(),
            sequence: header.sequence,
            kind: kind(header.kind),
            parents: found.checkpoint.commit.parents.iter().map(ToString::to_string).collect(),
            at: found.at,
            signer: found.checkpoint.signer.fingerprint.clone(),
            signer_name: found.signer_name,
            added_bytes: header.added,
            sealed_bytes: header.total,
            epochs: found.checkpoint.epochs(),
            unread,
            agent: summary.map(|summary| summary.agent.clone()),
            native_id: summary.map(|summary| summary.native_id.clone()),
            title: summary.and_then(|summary| summary.title.clone()),
            prompt: summary.and_then(|summary| summary.prompt.clone()),
            lease: record.and_then(|record| record.lease.clone()),
            device: record.map(|record| record.device.clone()),
            recipients: record.map(|record| record.recipients.clone()).unwrap_or_default(),
            parts: inside.as_ref().map(|inside| inside.parts),
            bytes: summary.map(|summary| summary.bytes),
            age: made.as_deref().and_then(time::parse).map_or(String::new(), |made| format!(", {}", ago(made, env.now()))),
            made,
            manifest: inside.and_then(|inside| inside.manifest),
            ways: WayRow::all(&found.ways, env),
        }
    }
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.show-checkpoint/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let at = if self.at.is_empty() { String::new() } else { format!(" [{}]", harmless(&self.at.join(", "))) };
        writeln!(out, "{} #{} {}{at}", self.kind, self.sequence, self.commit)?;
        let line = |out: &mut dyn Write, name: &str, value: &str| writeln!(out, "{name:<10} {}", harmless(value));
        let some = |out: &mut dyn Write, name: &str, value: &Option<String>| value.iter().try_for_each(|value| line(out, name, value));
        line(out, "sid", &self.sid)?;
        if let (Some(agent), Some(native)) = (&self.agent, &self.native_id) {
            line(out, "session", &format!("{agent} {native}"))?;
        }
        some(out, "title", &self.title)?;
        some(out, "last asked", &self.prompt)?;
        if let (Some(made), Some(device)) = (&self.made, &self.device) {
            line(out, "made", &format!("{made} on {device}{}", self.age))?;
        }
        if let Some(manifest) = &self.manifest {
            // Keys and ways change without anything being captured again.
            let minutes = |text: &str| text.get(..16).map(str::to_owned);
            let now = self.made.as_deref().and_then(minutes) == minutes(&manifest.created);
            if !now || Some(&manifest.origin.device) != self.device.as_ref() {
                line(out, "captured", &format!("{} on {}", manifest.created, manifest.origin.device))?;
            }
            some(out, "version", &manifest.agent_version)?;
            some(out, "where", &manifest.origin.cwd)?;
            some(out, "workspace", &manifest.workspace.as_ref().map(crate::cmd::workspace::line))?;
        }
        if let Some(Lease { kind, device, since, .. }) = &self.lease {
            let what = match kind {
                Kind::Held => "held by",
                Kind::InTransit => "handed over by",
                Kind::Released => "released by",
            };
            line(out, "lease", &format!("{what} '{device}', {since}"))?;
        }
        some(out, "note", &self.lease.as_ref().and_then(|lease| lease.note.clone()))?;
        let name = self.signer_name.as_deref().unwrap_or("not known here");
        line(out, "signed by", &format!("{} ({name})", self.signer))?;
        for recipient in &self.recipients {
            line(out, "opens for", recipient)?;
        }
        let parts = self.parts.map(|parts| format!(" in {}", count(parts, "part"))).unwrap_or_default();
        let (epochs, added, total) = (count(self.epochs, "epoch"), bytes(self.added_bytes), bytes(self.sealed_bytes));
        line(out, "sealed", &format!("{added} added, {total} so far{parts}; keys of {epochs}"))?;
        if let Some(why) = &self.unread {
            line(out, "not opened", why)?;
        }
        if let Some(manifest) = &self.manifest {
            writeln!(out)?;
            for file in &manifest.files {
                writeln!(out, "{:>10}  {:<12}  {}", bytes(file.size), harmless(&file.role), harmless(&file.path.to_string()))?;
            }
        }
        WayRow::tell(&self.ways, out)
    }
}

pub fn run(env: &Env, ui: &Ui, what: &str) -> Result<(), Failure> {
    crate::cmd::with_ledger(env, ui, |ledger, findings| {
        let named = crate::cmd::named(ui, ledger, what, findings)?;
        let answer = Answer::new(show::show(ledger, &named)?, env);
        ui.report(&answer).map_err(Failure::Output)
    })
}
