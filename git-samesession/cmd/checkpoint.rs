//! `checkpoint`: a session into the repository, or with `--output` into a sealed file.

use std::io::{self, Write};
use std::path::Path;

use samesession::capsule::Workspace;
use samesession::env::Env;
use samesession::flow::checkpoint::{self, Options, Outcome};
use samesession::flow::commit::State;
use samesession::flow::keys::SealTo;
use samesession::flow::ledger::Ledger;
use samesession::flow::output::Output;
use samesession::flow::source::Source;
use samesession::flow::workspace::{self, Summary};
use samesession::flow::{self, groups, remote};
use samesession::git::Repository;
use samesession::policy::secrets::Finding;
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
    /// The file it was written to, and its size.
    output: Option<String>,
    sealed_bytes: Option<u64>,
    /// What became of it in the repository.
    state: Option<&'static str>,
    commit: Option<String>,
    sequence: Option<u64>,
    /// Bytes of new objects in the repository.
    added_bytes: Option<u64>,
    /// Other ways the session went, by their commits.
    open: Vec<String>,
    files: Vec<FileRow>,
    /// Everything that would travel, by its name in the capsule; in a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    travels: Vec<Travels>,
    /// Secrets that were found, and may leave.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<Finding>,
    /// How many were masked, in a redacted copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    masked_secrets: Option<usize>,
    bytes: u64,
    torn_bytes: u64,
    /// A program had the session open or wrote to it: what is sealed is how it stood when the capture began.
    live: bool,
    /// What came along of the work tree around it.
    workspace: Option<WorkRow>,
    recipients: Vec<String>,
    signed_by: Option<String>,
}

#[derive(Serialize)]
struct WorkRow {
    #[serde(flatten)]
    numbers: Workspace,
    /// What stays behind.
    notes: Vec<String>,
}

impl From<Summary> for WorkRow {
    fn from(summary: Summary) -> WorkRow {
        WorkRow { numbers: summary.numbers, notes: summary.notes }
    }
}

#[derive(Serialize)]
struct Travels {
    name: String,
    role: String,
    size: u64,
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
            _ if self.commit.is_some() => return self.committed(out, &title),
            _ => {
                writeln!(out, "would seal {} {}{title}:", self.agent, self.native_id)?;
                for file in &self.files {
                    writeln!(out, "{:>10}  {:<12}  {}", bytes(file.size), file.role, harmless(&file.path))?;
                }
                for file in self.travels.iter().filter(|file| file.role == workspace::ROLE) {
                    writeln!(out, "{:>10}  {:<12}  {}", bytes(file.size), file.role, harmless(&file.name))?;
                }
            }
        }
        self.around(out)?;
        for recipient in &self.recipients {
            writeln!(out, "  to {}", harmless(recipient))?;
        }
        if let Some(masked) = self.masked_secrets {
            writeln!(out, "redacted: {} masked; this copy can be read and not restored", count(masked, "secret"))?;
        }
        Ok(())
    }
}

impl Answer {
    fn around(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(workspace) = &self.workspace else { return Ok(()) };
        writeln!(out, "  workspace: {}", harmless(&super::workspace::line(&workspace.numbers)))?;
        workspace.notes.iter().try_for_each(|note| writeln!(out, "  {}", harmless(note)))
    }

    fn committed(&self, out: &mut dyn Write, title: &str) -> io::Result<()> {
        let (short, sequence) = (&self.sid[..8], self.sequence.unwrap_or_default());
        match self.state {
            Some("made") => {
                let (files, size, added) =
                    (count(self.files.len(), "file"), bytes(self.bytes), bytes(self.added_bytes.unwrap_or_default()));
                writeln!(out, "checkpoint {sequence} of {short} {}{title}: {files}, {size}; {added} added", self.agent)?;
                self.around(out)?;
            }
            Some("unchanged") => writeln!(out, "checkpoint {sequence} of {short} {}{title} holds all of it already", self.agent)?,
            _ => {
                writeln!(out, "checkpoint {sequence} of {short} {}{title} holds more than stands here", self.agent)?;
                writeln!(out, "to go on from there: git samesession restore {short}")?;
            }
        }
        if !self.open.is_empty() {
            writeln!(out, "the session went {} ways; to go on from one: git samesession restore {short}", self.open.len() + 1)?;
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Checkpoint) -> Result<(), Failure> {
    if options.output.is_none() && !options.dry_run {
        return commit(env, ui, options);
    }
    let stream = options.output.as_deref() == Some(Path::new("-"));
    let output = match &options.output {
        Some(path) if !options.dry_run => super::output(ui, path, options.force)?,
        _ if stream && ui.json => return Err(Failure::TwoAnswers),
        Some(path) if !stream => Output::File { path: path.clone(), replace: options.force },
        _ => Output::Stream(Box::new(io::stdout())),
    };
    let seal_to = match terminal::passphrase(&options.passphrase, true)? {
        Some(passphrase) => SealTo::Passphrase(passphrase),
        None => SealTo::Recipients(groups::named_around(env, &options.recipients)?),
    };
    let chosen = super::chosen(env, ui, options.session.as_deref(), options.agent.as_deref())?;
    let asked = Options {
        session: chosen.selector,
        agent: chosen.agent,
        output,
        seal_to,
        workspace: of_workspace(options),
        dry_run: options.dry_run,
        redact: options.redact,
    };
    let mut done = checkpoint::checkpoint(env, asked, || super::device_or_new(env, ui), &Terminal { quiet: ui.quiet }, &*ui.progress())?;
    super::secrets::tell(ui, &done.passed);
    tell_without(ui, done.without.as_deref());
    let passed = std::mem::take(&mut done.passed);
    let answer = Answer { secrets: passed.secrets, ..answer(done, options) };
    if answer.live && !options.dry_run {
        ui.note("the session is being worked in; this is how it stood when the capture began");
    }
    if answer.torn_bytes > 0 {
        ui.note("its last record was not complete; the fragment is kept in the capsule, apart");
    }
    if stream && !options.dry_run { Ok(()) } else { ui.report(&answer).map_err(Failure::Output) }
}

fn tell_without(ui: &Ui, why: Option<&str>) {
    if let Some(why) = why {
        ui.note(&format!("no workspace comes along: {why}"));
    }
}

fn commit(env: &Env, ui: &Ui, options: &cli::Checkpoint) -> Result<(), Failure> {
    // Git answers while sessions are looked for.
    let (source, repo) = std::thread::scope(|scope| {
        let repo = scope.spawn(|| Repository::open(env, env.cwd()));
        (found(env, ui, options), repo.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let (mut source, repo) = (source?.with_workspace(env, &of_workspace(options))?, repo?);
    super::secrets::ask_about_keys(ui, &mut source)?;
    // What cannot be sealed to is found out before keys are made.
    let recipients = groups::named(&repo, &options.recipients);
    flow::keys::recipients(&SealTo::Recipients(recipients.clone()), None)?;
    let device = super::device_or_new(env, ui)?;
    let terminal = Terminal { quiet: ui.quiet };
    let identities = flow::keys::identities(env, Some(&device), &[], None, &terminal)?;
    let ledger = Ledger::of(env, repo, Some(&device), &identities)?;
    let asked = flow::commit::Options { recipients, revive: options.revive, ..flow::commit::Options::default() };
    // A push that cannot be is better known before.
    let to = options.push.then(|| remote::choose(&ledger.store.repo, None)).transpose()?;
    let done = flow::commit::commit(&ledger, &device, &mut source, &asked, &terminal, &*ui.progress())?;
    let session = &source.selected.session;
    let answer = Answer {
        agent: source.selected.agent.name(),
        native_id: session.native.to_string(),
        sid: session.sid().to_string(),
        title: session.title.clone(),
        output: None,
        sealed_bytes: None,
        state: Some(match done.state {
            State::Made => "made",
            State::Unchanged => "unchanged",
            State::Behind => "behind",
        }),
        commit: Some(done.tip.to_string()),
        sequence: Some(done.sequence),
        added_bytes: Some(done.added),
        open: done.open.iter().map(ToString::to_string).collect(),
        files: source.artifacts.iter().map(file_row).collect(),
        travels: Vec::new(),
        secrets: done.passed.secrets.clone(),
        masked_secrets: None,
        bytes: done.captured.bytes,
        workspace: done.captured.workspace.map(WorkRow::from),
        torn_bytes: done.captured.torn,
        live: source.live.is_some() || done.captured.grew,
        recipients: done.recipients,
        signed_by: Some(device.signing().fingerprint()),
    };
    if answer.live {
        ui.note("the session is being worked in; this is how it stood when the capture began");
    }
    tell_without(ui, source.without.as_deref());
    super::tell(ui, &done.findings);
    super::secrets::tell(ui, &done.passed);
    let Some(to) = to else { return ui.report(&answer).map_err(Failure::Output) };
    let mut findings = Vec::new();
    super::send_pending(ui, &ledger, &to, &mut findings);
    let pushed = super::push::push(&ledger, ui, Some(&to), Some(&[session.sid()]), &mut findings);
    super::tell(ui, &findings);
    let push = match pushed {
        // The checkpoint stands, whatever kept it from the remote.
        Err(error) if !ui.json => {
            ui.report(&answer).map_err(Failure::Output)?;
            return Err(error);
        }
        pushed => pushed?,
    };
    let mut both = Both { checkpoint: answer, push };
    ui.report(&both).map_err(Failure::Output)?;
    super::push::refused(&mut both.push)
}

fn found(env: &Env, ui: &Ui, options: &cli::Checkpoint) -> Result<Source, Failure> {
    let chosen = super::chosen(env, ui, options.session.as_deref(), options.agent.as_deref())?;
    Ok(Source::find(env, &chosen.selector, chosen.agent.as_deref())?)
}

/// A checkpoint and where it went.
#[derive(Serialize)]
struct Both {
    #[serde(flatten)]
    checkpoint: Answer,
    push: super::push::Answer,
}

impl View for Both {
    const SCHEMA: &'static str = Answer::SCHEMA;

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        self.checkpoint.human(out)?;
        self.push.human(out)
    }
}

fn of_workspace(options: &cli::Checkpoint) -> workspace::Options {
    workspace::Options {
        session_only: options.session_only,
        submodules: options.submodules,
        include_ignored: options.include_ignored.clone(),
        whole: false,
        key_files: None,
    }
}

fn file_row((artifact, size): &(samesession::agent::Artifact, u64)) -> FileRow {
    FileRow { path: artifact.name.to_string(), role: samesession::flow::role_name(artifact.role), size: *size }
}

fn answer(done: Outcome, options: &cli::Checkpoint) -> Answer {
    Answer {
        state: None,
        commit: None,
        sequence: None,
        added_bytes: None,
        open: Vec::new(),
        files: done.artifacts.iter().map(file_row).collect(),
        travels: done.listed.into_iter().map(|(name, role, size)| Travels { name, role, size }).collect(),
        secrets: Vec::new(),
        masked_secrets: options.redact.then_some(done.masked),
        output: options.output.as_ref().filter(|_| done.sealed.is_some()).map(|path| path.display().to_string()),
        sealed_bytes: done.sealed,
        agent: done.agent,
        native_id: done.native,
        sid: done.sid,
        title: done.title,
        bytes: done.captured.bytes,
        workspace: done.captured.workspace.map(WorkRow::from),
        torn_bytes: done.captured.torn,
        live: done.live.is_some() || done.captured.grew,
        recipients: done.recipients,
        signed_by: done.signer,
    }
}
