//! `export`: a checkpoint of the repository as a sealed file.

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::export::{self, Options};
use samesession::flow::groups;
use samesession::flow::keys::SealTo;
use samesession::flow::pick::Trust;
use serde::Serialize;

use crate::cli;
use crate::failure::Failure;
use crate::terminal::{self, Terminal};
use crate::ui::{Ui, View, bytes, clipped, count, harmless};

#[derive(Serialize)]
struct Answer {
    agent: String,
    native_id: String,
    sid: String,
    title: Option<String>,
    commit: String,
    sequence: u64,
    output: String,
    sealed_bytes: u64,
    files: usize,
    bytes: u64,
    recipients: Vec<String>,
    /// The fingerprint of whoever captured the session.
    signed_by: Option<String>,
    /// How many secrets were masked, in a redacted copy.
    masked_secrets: Option<usize>,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.export/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let title = self.title.as_deref().map(|title| format!(" \"{}\"", clipped(title, 48))).unwrap_or_default();
        let (files, size, sealed) = (count(self.files, "file"), bytes(self.bytes), bytes(self.sealed_bytes));
        let (short, agent, output) = (&self.sid[..8], harmless(&self.agent), harmless(&self.output));
        writeln!(out, "exported checkpoint {} of {short} {agent}{title}: {files}, {size} -> {output}, {sealed}", self.sequence)?;
        for recipient in &self.recipients {
            writeln!(out, "  to {}", harmless(recipient))?;
        }
        if let Some(masked) = self.masked_secrets {
            writeln!(out, "redacted: {} masked; this copy can be read and not restored", count(masked, "secret"))?;
        }
        match &self.signed_by {
            Some(fingerprint) => writeln!(out, "signed by {fingerprint}"),
            None => writeln!(out, "signed by nobody that could be checked"),
        }
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Export) -> Result<(), Failure> {
    let output = super::output(ui, &options.output, options.force)?;
    let seal_to = match terminal::passphrase(&options.passphrase, true)? {
        Some(passphrase) => Some(SealTo::Passphrase(passphrase)),
        None if options.recipients.is_empty() => None,
        None => Some(SealTo::Recipients(groups::named_around(env, &options.recipients)?)),
    };
    let mut terminal = Terminal { quiet: ui.quiet };
    let (done, opened) = super::with_ledger(env, ui, |ledger, findings| {
        let trust = Trust { named: &[], dry_run: false, allow_unsigned: false };
        let mut opened = super::restore::picked(ui, ledger, &options.session, &trust, &mut terminal, findings)?.opened;
        let done = export::export(ledger, &mut opened, Options { output, seal_to, redact: options.redact }, &terminal, &*ui.progress())?;
        Ok((done, opened))
    })?;
    if options.output.as_os_str() == "-" {
        return Ok(());
    }
    let answer = Answer {
        agent: done.manifest.agent,
        native_id: done.manifest.native_id,
        sid: done.manifest.sid,
        title: done.manifest.title,
        commit: opened.id().to_string(),
        sequence: opened.record.sequence,
        output: options.output.display().to_string(),
        sealed_bytes: done.sealed,
        files: done.manifest.files.len(),
        bytes: done.manifest.files.iter().map(|file| file.size).sum(),
        recipients: done.recipients,
        signed_by: done.signer,
        masked_secrets: options.redact.then_some(done.masked),
    };
    ui.report(&answer).map_err(Failure::Output)
}
