//! `resume`: a session taken over, its agent started, and what it leaves sent back when it ends.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use samesession::agent::ResumeCommand;
use samesession::env::Env;
use samesession::flow::handoff;
use samesession::flow::ledger::Ledger;
use samesession::flow::pick::Trust;
use samesession::flow::resume::{self, Asked, Outcome};
use samesession::flow::source::Source;
use samesession::flow::{self, Selector, keys, remotes, settings, workspace};
use samesession::id::SessionId;
use samesession::lease::{Lease, Standing};
use samesession::path;
use serde::Serialize;

use super::restore;
use crate::background::{Background, Every};
use crate::cli;
use crate::failure::Failure;
use crate::launch;
use crate::terminal::{self, Terminal};
use crate::ui::{Ui, View, bytes, clipped, harmless};

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    restored: restore::Answer,
    /// Who drives it now, as of `lease status`.
    lease: Option<super::lease::Row>,
    /// What whoever handed it over had to say.
    note: Option<String>,
    from: Option<String>,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.resume/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        if let (Some(note), Some(from)) = (&self.note, &self.from) {
            writeln!(out, "note from '{}': {}", clipped(from, 40), harmless(note))?;
        }
        self.restored.human(out)?;
        match &self.lease {
            Some(lease) => writeln!(out, "{}", harmless(&lease.words())),
            None => Ok(()),
        }
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Resume) -> Result<ExitCode, Failure> {
    let device = super::device_or_new(env, ui)?;
    let mut terminal = Terminal { quiet: ui.quiet };
    let identities = keys::identities(env, Some(&device), &[], None, &terminal.clone())?;
    let mut ledger = Ledger::open(env, Some(&device), &identities)?;
    let remote = remotes::store(&ledger.store.repo, options.remote.as_deref())?.map(str::to_owned);
    let asked = Asked {
        env,
        device: &device,
        remote: remote.as_deref(),
        takeover: options.takeover.clone(),
        restore: flow::restore::Options { to_go_on: !options.no_launch, ..restore::asked(&options.arriving) },
        callbacks: &terminal.clone(),
    };
    let mut findings = Vec::new();
    let done = take(ui, &mut ledger, options, &asked, &mut terminal, &mut findings);
    super::tell(ui, &findings);
    let done = done?;
    restore::tell_recovered(ui, &done.restored);
    restore::warn_of_nobody(ui, &done.restored.signed_by);
    let answer = answer(&done, options.arriving.dry_run);
    let Some(program) = done.restored.installed.as_ref().filter(|_| !options.no_launch && !options.arriving.dry_run) else {
        return told(ui, options, &done, &answer);
    };
    if !ui.quiet {
        // Standard output is the agent's.
        answer.human(&mut io::stderr().lock()).map_err(Failure::Output)?;
        answer.restored.notes(ui);
    }
    let mut command = done.restored.resume.clone();
    program.to_str().map(|program| program.clone_into(&mut command.argv[0])).unwrap_or_default();
    if options.brief {
        command.argv.push(brief(&done, &command));
    }
    let repo = &ledger.store.repo;
    let every = Every { heartbeat: settings::heartbeat(repo)?, checkpoint: settings::auto_checkpoint(repo)? };
    let mut background = Background::new(env, repo, &done.sid, remote.as_deref(), every);
    let ended = launch::launch(&command, &options.args, &mut || background.tick(Instant::now())).map_err(Failure::Launch)?;
    drop(background);
    let ui = &Ui::new(ui.json, ui.quiet || ended.hung_up);
    let code = ExitCode::from(ended.code());
    if options.no_return {
        ui.note(&format!("left as it is; to hand it on: git samesession move {}", done.sid.short()));
        return Ok(code);
    }
    // What follows is worth more than the time that it takes.
    if let Err(failure) = give_back(env, ui, &ledger, &device, &done, remote.as_deref(), &terminal) {
        ui.note("what was done since stands here and was not sent; nobody else goes on with the session meanwhile");
        ui.note(&format!("to hand it on when that is settled: git samesession move {}", done.sid.short()));
        return Err(failure);
    }
    Ok(code)
}

fn take(
    ui: &Ui,
    ledger: &mut Ledger<'_>,
    options: &cli::Resume,
    asked: &Asked<'_, Terminal>,
    terminal: &mut Terminal,
    findings: &mut Vec<flow::ledger::Finding>,
) -> Result<Outcome, Failure> {
    let progress = ui.progress();
    if let Some(remote) = asked.remote {
        resume::bring(ledger, remote, &options.arriving.trust, findings, &*progress)?;
        super::send_pending(ui, ledger, remote, findings);
    }
    let what = match options.tip.as_ref().or(options.session.as_ref()) {
        Some(what) => what.clone(),
        None => waiting(ui, ledger, asked, terminal, findings)?.to_string(),
    };
    let attempt = |ledger: &mut Ledger<'_>, what: &str, terminal: &mut Terminal, findings: &mut Vec<_>| {
        resume::resume(ledger, what, asked, terminal, findings, &*progress)
    };
    match attempt(ledger, &what, terminal, findings) {
        Err(flow::Error::SeveralWays { sid, ways }) if !ui.json => match terminal::choose_way(&ways) {
            Some(n) => Ok(attempt(ledger, &ways[n].commit.to_string(), terminal, findings)?),
            None => Err(flow::Error::SeveralWays { sid, ways }.into()),
        },
        Err(flow::Error::Ambiguous { what, candidates }) if !ui.json => match terminal::choose(&candidates) {
            Some(n) => Ok(attempt(ledger, &candidates[n].native, terminal, findings)?),
            None => Err(flow::Error::Ambiguous { what, candidates }.into()),
        },
        done => Ok(done?),
    }
}

/// The one that waits here, else the only one there is; a person chooses between several.
fn waiting(
    ui: &Ui,
    ledger: &mut Ledger<'_>,
    asked: &Asked<'_, Terminal>,
    terminal: &mut Terminal,
    findings: &mut Vec<flow::ledger::Finding>,
) -> Result<SessionId, Failure> {
    let trust = Trust { named: &asked.restore.trust, dry_run: asked.restore.dry_run, allow_unsigned: false };
    let mut found = resume::candidates(ledger, &trust, terminal, findings)?;
    let n = match found.len() {
        0 => return Err(flow::Error::NothingToResume.into()),
        1 => 0,
        _ => {
            let candidates: Vec<flow::Candidate> = found.iter().map(|(_, candidate)| candidate.clone()).collect();
            let chosen = if ui.json { None } else { terminal::choose(&candidates) };
            chosen.ok_or(flow::Error::Ambiguous { what: "resume".to_owned(), candidates })?
        }
    };
    Ok(found.swap_remove(n).0)
}

fn answer(done: &Outcome, dry_run: bool) -> Answer {
    let handed = done.before.as_ref().filter(|lease| lease.note.is_some());
    Answer {
        restored: restore::answer(&done.restored, dry_run),
        lease: done.lease.as_ref().map(|lease| super::lease::Row::new(&done.sid, None, Standing::Mine, Some(lease))),
        note: handed.and_then(|lease| lease.note.clone()),
        from: handed.map(|lease: &Lease| lease.device.clone()),
    }
}

/// Where no agent is started.
fn told(ui: &Ui, options: &cli::Resume, done: &Outcome, answer: &Answer) -> Result<ExitCode, Failure> {
    ui.report(answer).map_err(Failure::Output)?;
    if !ui.json {
        answer.restored.notes(ui);
    }
    if !options.no_launch && !options.arriving.dry_run {
        let agent = flow::agent_named(&done.restored.manifest.agent)?;
        ui.note(&format!("to install {}: {}", agent.title(), agent.how_to_install()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Old path, new path, nothing else.
fn brief(done: &Outcome, command: &ResumeCommand) -> String {
    let old = done.restored.manifest.origin.cwd.as_deref().and_then(path::from_text).unwrap_or_default();
    format!("This session goes on on another machine. Its working directory was {} and is now {}.", old.display(), command.cwd.display())
}

fn give_back(
    env: &Env,
    ui: &Ui,
    ledger: &Ledger<'_>,
    device: &samesession::device::Device,
    done: &Outcome,
    remote: Option<&str>,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let manifest = &done.restored.manifest;
    let source = Source::find(env, &Selector::Named(manifest.native_id.clone()), Some(&manifest.agent))?;
    let options = match done.restored.workspace.is_some() {
        true => workspace::Options::default(),
        false => workspace::Options { session_only: true, ..workspace::Options::default() },
    };
    let mut source = source.with_workspace(env, &options)?;
    let back = handoff::give_back(ledger, device, &mut source, remote, true, terminal, &*ui.progress())?;
    let (short, commit) = (done.sid.short(), &back.outcome.commit);
    super::secrets::tell(ui, &commit.passed);
    let what = format!("checkpoint {} of {short}, {} added", commit.sequence, bytes(commit.added));
    match (&back.waits, remote) {
        (Some(why), Some(remote)) => {
            ui.note(&format!("{what}; it waits here, for '{remote}' could not be reached: {why}"));
            ui.note("it goes with the next command that reaches it; to try now: git samesession push");
        }
        (None, Some(remote)) => ui.note(&format!("{what}, sent to '{remote}'; free for whoever goes on")),
        _ => ui.note(&what),
    }
    if let Some(lease) = back.outcome.lease.filter(|lease| lease.key != device.signing().fingerprint()) {
        ui.note(&format!(
            "'{}' had taken it over meanwhile{}",
            lease.device,
            lease.takeover.map(|t| format!(": {}", t.reason)).unwrap_or_default()
        ));
    }
    Ok(())
}
