//! `checkpoint --output`: a session into a sealed file.

use std::io::{self, Write};
use std::path::Path;

use is_terminal::IsTerminal;
use samesession::env::Env;
use samesession::flow::checkpoint::{self, Options, Outcome, Output};
use samesession::flow::keys::SealTo;
use serde::Serialize;

use crate::cli;
use crate::failure::Failure;
use crate::terminal::{self, Terminal};
use crate::ui::{Ui, View, bytes, count, harmless};

#[derive(Serialize)]
struct Answer {
    agent: &'static str,
    native_id: String,
    sid: String,
    title: Option<String>,
    /// Where it was written; nothing in a dry run.
    output: Option<String>,
    sealed_bytes: Option<u64>,
    files: Vec<FileRow>,
    bytes: u64,
    torn_bytes: u64,
    /// A program had the session open or wrote to it: what is sealed is how it stood when the capture began.
    live: bool,
    recipients: Vec<String>,
    signed_by: Option<String>,
}

#[derive(Serialize)]
struct FileRow {
    path: String,
    role: &'static str,
    size: u64,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.checkpoint/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let title = self.title.as_deref().map(|title| format!(" \"{}\"", crate::ui::clipped(title, 48))).unwrap_or_default();
        match (&self.output, self.sealed_bytes) {
            (Some(output), Some(sealed)) => {
                let (files, size) = (count(self.files.len(), "file"), bytes(self.bytes));
                writeln!(
                    out,
                    "sealed {} {}{title}: {files}, {size} -> {}, {}",
                    self.agent,
                    self.native_id,
                    harmless(output),
                    bytes(sealed)
                )?;
            }
            _ => {
                writeln!(out, "would seal {} {}{title}:", self.agent, self.native_id)?;
                for file in &self.files {
                    writeln!(out, "{:>10}  {:<12}  {}", bytes(file.size), file.role, harmless(&file.path))?;
                }
            }
        }
        for recipient in &self.recipients {
            writeln!(out, "  to {}", harmless(recipient))?;
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Checkpoint) -> Result<(), Failure> {
    let stream = options.output.as_deref() == Some(Path::new("-"));
    if stream && !options.dry_run && io::stdout().is_terminal() {
        return Err(Failure::OutputIsTerminal);
    }
    if stream && ui.json {
        return Err(Failure::TwoAnswers);
    }
    let seal_to = match terminal::passphrase(&options.passphrase, true)? {
        Some(passphrase) => SealTo::Passphrase(passphrase),
        None => SealTo::Recipients(options.recipients.clone()),
    };
    let output = match &options.output {
        Some(path) if !stream => Output::File { path: path.clone(), replace: options.force },
        _ => Output::Stream(Box::new(io::stdout())),
    };
    let chosen = super::chosen(env, ui, options.session.as_deref(), options.agent.as_deref())?;
    let asked = Options { session: chosen.selector, agent: chosen.agent, output, seal_to, dry_run: options.dry_run };
    let done = checkpoint::checkpoint(env, asked, || super::device_or_new(env, ui), &Terminal { quiet: ui.quiet }, &*ui.progress())?;
    let answer = answer(done, options);
    if answer.live && !options.dry_run {
        ui.note("the session is being worked in; this is how it stood when the capture began");
    }
    if answer.torn_bytes > 0 {
        ui.note("its last record was not complete; the fragment is kept in the capsule, apart");
    }
    if stream && !options.dry_run { Ok(()) } else { ui.report(&answer).map_err(Failure::Output) }
}

fn answer(done: Outcome, options: &cli::Checkpoint) -> Answer {
    let file = |(artifact, size): &(samesession::agent::Artifact, u64)| FileRow {
        path: artifact.name.to_string(),
        role: samesession::flow::role_name(artifact.role),
        size: *size,
    };
    Answer {
        files: done.artifacts.iter().map(file).collect(),
        output: options.output.as_ref().filter(|_| done.sealed.is_some()).map(|path| path.display().to_string()),
        sealed_bytes: done.sealed,
        agent: done.agent,
        native_id: done.native,
        sid: done.sid,
        title: done.title,
        bytes: done.captured.bytes,
        torn_bytes: done.captured.torn,
        live: done.live.is_some() || done.captured.grew,
        recipients: done.recipients,
        signed_by: done.signer,
    }
}
