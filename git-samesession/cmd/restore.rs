//! `restore`: a session from the repository or a capsule's file, installed where its agent looks for it.

use std::io::{self, Write};

use samesession::agent::{Reached, ResumeCommand};
use samesession::capsule::Workspace;
use samesession::env::Env;
use samesession::flow::arriving::Arriving;
use samesession::flow::ledger::{Finding, Ledger};
use samesession::flow::pick::{self, Picked, Trust};
use samesession::flow::plan::Step;
use samesession::flow::recover::Recovered;
use samesession::flow::restore::{self, Options, Outcome};
use samesession::flow::signed::SignedBy;
use samesession::flow::workspace::{Choice, Mode};
use samesession::flow::{self, Relation, doctor, keys};
use samesession::path;
use samesession::policy::Limits;
use serde::Serialize;

use crate::cli;
use crate::failure::Failure;
use crate::terminal::{self, Terminal};
use crate::ui::{Ui, View, harmless};

#[derive(Serialize)]
pub struct Answer {
    agent: String,
    native_id: String,
    sid: String,
    title: Option<String>,
    dry_run: bool,
    /// How what stood here related to the capsule.
    relation: Relation,
    cwd: String,
    signed_by: String,
    signer: Option<String>,
    /// Under which name it is known here: on the roster, or as it was accepted.
    signer_name: Option<String>,
    /// What the device calls itself that captured the session.
    device: String,
    changes: Vec<Change>,
    /// How far it is known that the agent can go on.
    reached: Option<Reached>,
    notes: Vec<String>,
    resume: String,
    backup: Option<String>,
    workspace: Option<WorkRow>,
    /// Takes it back: `git samesession undo ID`.
    undo: Option<String>,
    #[serde(skip)]
    agent_title: &'static str,
}

#[derive(Serialize)]
struct WorkRow {
    #[serde(flatten)]
    numbers: Workspace,
    /// The top of the work tree; null where the workspace stays in the capsule.
    work_tree: Option<String>,
    was_there: bool,
    /// The branch that HEAD is on there, by its full name.
    on: Option<String>,
    /// Commits to be fetched first.
    missing: Vec<String>,
    /// Left out: they make programs run, and --accept-config was not given.
    withheld: Vec<String>,
}

#[derive(Serialize)]
struct Change {
    change: &'static str,
    path: String,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.restore/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let would = if self.dry_run { "would be " } else { "" };
        let what = match self.relation {
            Relation::New => format!("{would}installed"),
            Relation::Same => "already here".to_owned(),
            Relation::Behind => format!("{would}brought forward"),
            Relation::Ahead if self.changes.is_empty() => "already here, and ahead of the capsule".to_owned(),
            Relation::Ahead | Relation::Diverged => format!("{would}replaced by the capsule's"),
        };
        let title = self.title.as_deref().map(|title| format!(" \"{}\"", crate::ui::clipped(title, 48))).unwrap_or_default();
        writeln!(out, "{} session {}{title}: {what}", self.agent_title, self.native_id)?;
        let elsewhere = self.signer_name.as_ref().is_some_and(|name| *name != self.device && name != THIS_DEVICE);
        let device = if elsewhere { format!(", captured on '{}'", crate::ui::clipped(&self.device, 40)) } else { String::new() };
        writeln!(out, "signed by {}{device}", harmless(&self.signed_by))?;
        for change in &self.changes {
            writeln!(out, "  {:<9} {}", change.change, harmless(&change.path))?;
        }
        if let Some(workspace) = &self.workspace {
            workspace.human(self.dry_run, out)?;
        }
        if let Some(backup) = &self.backup {
            writeln!(out, "what was replaced is kept in {}", harmless(backup))?;
        }
        if let Some(reached) = self.reached {
            let stage = match reached {
                Reached::Installed => "installed, but the agent may not find it (see the notes)",
                Reached::Discoverable => "discoverable: the agent will find it",
                Reached::Resumed => "resumed: the agent has gone on with it here",
            };
            writeln!(out, "stage reached: {stage}")?;
        }
        writeln!(out, "to go on: {}", harmless(&self.resume))?;
        match &self.undo {
            Some(id) => writeln!(out, "to take it back: git samesession undo {id}"),
            None => Ok(()),
        }
    }
}

impl Answer {
    /// What is worth knowing beside it.
    pub fn notes(&self, ui: &Ui) {
        for note in &self.notes {
            ui.note(&format!("note: {note}"));
        }
    }
}

impl WorkRow {
    fn human(&self, dry_run: bool, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "workspace: {}", harmless(&super::workspace::line(&self.numbers)))?;
        let would = if dry_run { "would go to" } else { "in" };
        match &self.work_tree {
            None => writeln!(out, "  it stays in the capsule")?,
            Some(work_tree) if self.was_there => writeln!(out, "  already as it was, in {}", harmless(work_tree))?,
            Some(work_tree) => {
                let on = self.on.as_deref().map(|name| name.trim_start_matches("refs/heads/")).map(|name| format!("on {name}"));
                writeln!(out, "  {would} {}, {}", harmless(work_tree), harmless(&on.unwrap_or_else(|| "HEAD detached".to_owned())))?;
            }
        }
        for commit in &self.missing {
            let done = if dry_run { "to be fetched first" } else { "was fetched" };
            writeln!(out, "  {done}: {commit}")?;
        }
        for path in &self.withheld {
            writeln!(out, "  left out, since it makes programs run: {}", harmless(path))?;
        }
        if !self.withheld.is_empty() {
            writeln!(out, "  to bring these, too, once you have looked at them: undo, then restore with --accept-config")?;
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Restore) -> Result<(), Failure> {
    let device = super::device_for(env, ui, &options.keys)?;
    let passphrase = terminal::passphrase(&options.keys.passphrase, false)?;
    let mut terminal = Terminal { quiet: ui.quiet };
    let identities = keys::identities(env, device.as_ref(), &options.keys.identities, passphrase, &terminal.clone())?;
    let arriving = &options.arriving;
    let asked = asked(arriving);
    let progress = ui.progress();
    // What has the look of a file and is none shall be missed as a file.
    let is_file = |what: &str| what == "-" || options.what.exists() || what.contains(['/', '.']) && !what.starts_with("refs/");
    let session = options.what.to_str().filter(|what| !is_file(what));
    let done = match session {
        Some(session) => {
            let mut ledger = Ledger::open(env, device.as_ref(), &identities)?;
            let mut findings = Vec::new();
            let picked = picked(
                ui,
                &mut ledger,
                session,
                &Trust { named: &arriving.trust, dry_run: arriving.dry_run, allow_unsigned: arriving.allow_unsigned },
                &mut terminal,
                &mut findings,
            );
            super::tell(ui, &findings);
            let mut picked = picked?;
            let capsule = Arriving::Checkpoint { ledger: &ledger, opened: &mut picked.opened };
            let done = restore::restore(env, device.as_ref(), &asked, capsule, &mut terminal, &mut || Ok(()), &*progress)?;
            if !arriving.dry_run {
                picked.remember(&ledger)?;
            }
            done
        }
        None => {
            let file = super::or_stdin(&options.what);
            let capsule = Arriving::File { path: &file, identities: &identities };
            restore::restore(env, device.as_ref(), &asked, capsule, &mut terminal, &mut || Ok(()), &*progress)?
        }
    };
    tell_recovered(ui, &done);
    warn_of_nobody(ui, &done.signed_by);
    let answer = answer(&done, arriving.dry_run);
    ui.report(&answer).map_err(Failure::Output)?;
    if !ui.json {
        answer.notes(ui);
    }
    Ok(())
}

pub fn tell_recovered(ui: &Ui, done: &Outcome) {
    for recovered in done.recovered.iter().filter(|recovered| !matches!(recovered, Recovered::Kept { .. })) {
        ui.note(&doctor::describe(recovered));
    }
}

/// Said whatever is shown besides, quiet or not.
pub fn warn_of_nobody(ui: &Ui, by: &SignedBy) {
    if *by == SignedBy::Nobody {
        ui.warn("nobody has signed this: whoever can write to where it came from may have made it, or changed it");
    }
}

/// As the command line has it.
pub fn asked(arriving: &cli::Arriving) -> Options {
    Options {
        into: arriving.into.clone(),
        dry_run: arriving.dry_run,
        allow_unsigned: arriving.allow_unsigned,
        trust: arriving.trust.clone(),
        set_aside: arriving.set_aside,
        to_go_on: false,
        workspace: Choice {
            mode: match (arriving.here, arriving.session_only) {
                (true, _) => Mode::Here,
                (_, true) => Mode::SessionOnly,
                _ => Mode::Beside,
            },
            branch: arriving.branch,
            accept_config: arriving.accept_config,
            force_repository: arriving.force_repository,
        },
        limits: Limits::default(),
    }
}

/// A person at a terminal chooses between ways; a script gets them listed.
pub fn picked(
    ui: &Ui,
    ledger: &mut Ledger<'_>,
    what: &str,
    trust: &Trust<'_>,
    terminal: &mut Terminal,
    findings: &mut Vec<Finding>,
) -> Result<Picked, Failure> {
    match pick::pick(ledger, what, trust, terminal, findings) {
        Err(flow::Error::SeveralWays { sid, ways }) if !ui.json => match terminal::choose_way(&ways) {
            Some(n) => Ok(pick::pick(ledger, &ways[n].commit.to_string(), trust, terminal, findings)?),
            None => Err(flow::Error::SeveralWays { sid, ways }.into()),
        },
        picked => Ok(picked?),
    }
}

pub fn answer(done: &Outcome, dry_run: bool) -> Answer {
    let mut notes = done.notes.clone();
    if done.installed.is_none() {
        notes.push(format!("{} is not on PATH here", done.title));
    }
    if done.torn > 0 {
        notes.push(format!("{} bytes of an unfinished record stay in the capsule", done.torn));
    }
    let (signed_by, signer) = signer(&done.signed_by);
    let change = |step: &Step| Change {
        change: match step {
            Step::Create { .. } => "create",
            Step::Replace { .. } => "replace",
            Step::SetAside { .. } => "set aside",
        },
        path: step.target().display().to_string(),
    };
    Answer {
        agent: done.manifest.agent.clone(),
        native_id: done.manifest.native_id.clone(),
        sid: done.manifest.sid.clone(),
        title: done.manifest.title.clone(),
        dry_run,
        relation: done.relation,
        cwd: done.cwd.display().to_string(),
        signed_by,
        signer,
        signer_name: named(&done.signed_by),
        device: done.manifest.origin.device.clone(),
        changes: done.steps.iter().map(change).collect(),
        reached: done.reached,
        notes,
        resume: typed(&done.resume),
        backup: done.backup.as_ref().map(|path| path.display().to_string()),
        workspace: done.workspace.as_ref().map(|workspace| WorkRow {
            numbers: workspace.numbers.clone(),
            work_tree: workspace.at.as_ref().map(|path| path.display().to_string()),
            was_there: workspace.was_there,
            on: workspace.branch.clone(),
            missing: workspace.missing.clone(),
            withheld: workspace.withheld.clone(),
        }),
        undo: done.undo.clone(),
        agent_title: done.title,
    }
}

const THIS_DEVICE: &str = "this device";

fn named(by: &SignedBy) -> Option<String> {
    match by {
        SignedBy::ThisDevice { .. } => Some(THIS_DEVICE.to_owned()),
        SignedBy::Known { name, .. } | SignedBy::Accepted { name, .. } => Some(name.clone()),
        SignedBy::Unknown { .. } | SignedBy::Nobody => None,
    }
}

/// In words, and as a fingerprint.
pub fn signer(by: &SignedBy) -> (String, Option<String>) {
    match by {
        SignedBy::ThisDevice { fingerprint } => (format!("{THIS_DEVICE} ({fingerprint})"), Some(fingerprint.clone())),
        SignedBy::Known { name, fingerprint } => (format!("{name} ({fingerprint})"), Some(fingerprint.clone())),
        SignedBy::Accepted { name, fingerprint } => (format!("{name} ({fingerprint}), from now on remembered"), Some(fingerprint.clone())),
        SignedBy::Unknown { name, fingerprint } => {
            (format!("an unknown key, {fingerprint} (it calls itself {name})"), Some(fingerprint.clone()))
        }
        SignedBy::Nobody => ("nobody that could be checked".to_owned(), None),
    }
}

/// As one would type it in a shell.
pub fn typed(command: &ResumeCommand) -> String {
    format!("cd {} && {}", path::typed(&command.cwd), command.argv.join(" "))
}
