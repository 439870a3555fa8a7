//! `init`: this repository's settings, and taking them back.

use std::io::{self, Write};

use samesession::device::Device;
use samesession::env::Env;
use samesession::flow::enrol::Hand;
use samesession::flow::init::{self, Options, Step};
use samesession::flow::ledger::Ledger;
use samesession::flow::remotes::Trap;
use samesession::flow::{self, groups, keys, paper};
use samesession::git::Repository;
use samesession::path;
use samesession::recovery::{Public, Recovery};
use samesession::seal::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::cli;
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::ui::{Ui, View, count, harmless};

#[derive(Serialize)]
struct Answer {
    /// The remote that sessions go to.
    remote: Option<String>,
    on_demand: bool,
    recipients: Vec<String>,
    uninstalled: bool,
    /// What was changed in the configuration; nothing, where it was all as it should be.
    changes: Vec<Step>,
    /// Settings of remotes that would hurt sessions.
    traps: Vec<Trap>,
    /// The refs that are left after `--uninstall`, and what to type to remove them.
    refs: Option<usize>,
    to_remove: Vec<String>,
    /// To be shown once; no part of any JSON.
    #[serde(skip)]
    recovery: Option<SecretString>,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.init/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        match (&self.remote, self.uninstalled) {
            (_, true) if self.changes.is_empty() => writeln!(out, "there is nothing to take back: 'init' has set nothing here")?,
            (_, true) => writeln!(out, "taken back:")?,
            (Some(remote), _) if self.on_demand => {
                writeln!(out, "sessions go to '{}', and come from there when they are asked for", harmless(remote))?;
            }
            (Some(remote), _) => writeln!(out, "sessions go to '{0}', and 'git fetch {0}' brings them", harmless(remote))?,
            (None, _) => {
                writeln!(out, "sessions stay in this repository: it has no remote")?;
                writeln!(out, "once it has one: git samesession init")?;
            }
        }
        for step in &self.changes {
            match step {
                Step::Add { key, value } => writeln!(out, "  set      {} = {}", harmless(key), harmless(value))?,
                Step::Remove { key, value } => writeln!(out, "  removed  {} = {}", harmless(key), harmless(value))?,
                Step::Replace { key, was, value } => {
                    writeln!(out, "  changed  {} from {} to {}", harmless(key), harmless(was), harmless(value))?;
                }
            }
        }
        let agents = |step: &Step| matches!(step, Step::Add { key, .. } if key == "remote.agents.url");
        if self.changes.iter().any(agents) {
            writeln!(out, "with Git alone: 'git fetch agents' captures this repository's sessions, 'git push agents' restores one")?;
        }
        if self.changes.is_empty() && !self.uninstalled {
            writeln!(out, "nothing had to be changed")?;
        }
        if let Some(secret) = &self.recovery {
            writeln!(out, "this is the recovery key, shown once and kept nowhere: write it down, and keep it away from this machine")?;
            writeln!(out, "\n  {}\n", secret.expose_secret())?;
            writeln!(out, "whoever has it reads all that this device reads; when every device is lost, with the key in a file:")?;
            writeln!(out, "  git samesession device join --recovery FILE")?;
        }
        match self.refs {
            Some(0) | None => Ok(()),
            Some(refs) => {
                writeln!(out, "{} of sessions {} left, with what they hold; to remove them here:", count(refs, "ref"), are(refs))?;
                self.to_remove.iter().try_for_each(|line| writeln!(out, "  {}", harmless(line)))
            }
        }
    }
}

fn are(n: usize) -> &'static str {
    if n == 1 { "is" } else { "are" }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Init) -> Result<(), Failure> {
    let repo = Repository::open(env, env.cwd())?;
    if options.uninstall {
        return uninstall(ui, &repo);
    }
    let recovery = match options.recovery {
        true => {
            paper::refuse_a_second(&repo)?;
            Some(Recovery::generate().map_err(flow::Error::from)?)
        }
        false => None,
    };
    let public = recovery.as_ref().map(Recovery::public).transpose().map_err(flow::Error::from)?;
    let asked = Options {
        recovery: public.clone(),
        remote: options.remote.clone(),
        store: options.store.clone(),
        recipients: groups::named(&repo, &options.recipients),
        on_demand: options.on_demand,
    };
    // What cannot be done is found out before keys are made.
    init::check(&repo, &asked)?;
    let device = super::device_or_new(env, ui)?;
    let done = init::init(&repo, &asked)?;
    for trap in &done.traps {
        ui.note(&format!("warning: {}", trap.what));
        ui.note(&format!("hint: {}", trap.way_out));
    }
    let answer = Answer {
        remote: done.remote,
        on_demand: done.on_demand,
        recipients: done.recipients,
        uninstalled: false,
        changes: done.changes,
        traps: done.traps,
        refs: None,
        to_remove: Vec::new(),
        recovery: recovery.as_ref().map(Recovery::secret),
    };
    // It stands in the settings by now. Whatever fails from here on, its owner shall have seen it.
    ui.report(&answer).map_err(Failure::Output)?;
    match public {
        Some(public) => enter(env, ui, &device, &public, answer.remote.as_deref()),
        None => Ok(()),
    }
}

/// What is here opens for it, too; a roster that this device has joined lists it.
fn enter(env: &Env, ui: &Ui, device: &Device, public: &Public, remote: Option<&str>) -> Result<(), Failure> {
    let terminal = Terminal { quiet: ui.quiet };
    let identities = keys::identities(env, Some(device), &[], None, &terminal)?;
    let mut ledger = Ledger::open(env, Some(device), &identities)?;
    let mut findings = Vec::new();
    let progress = ui.progress();
    let hand = Hand { device, remote, callbacks: &terminal, progress: &*progress };
    let sessions = paper::enter(&hand, &mut ledger, public, &mut findings);
    super::tell(ui, &findings);
    let (sessions, listed) = (sessions?, ledger.joined().is_some());
    if sessions > 0 {
        let sent = if listed { "" } else { ", once that is pushed: git samesession push --all" };
        ui.note(&format!("it opens {}{sent}", count(sessions, "session")));
    }
    if !listed {
        ui.note("note: it is not on a roster yet, and opens what begins in this clone; 'git samesession device join' makes it a member");
    }
    Ok(())
}

fn uninstall(ui: &Ui, repo: &Repository) -> Result<(), Failure> {
    let done = init::uninstall(repo)?;
    let packs = path::typed(repo.objects.join("pack"));
    let to_remove = vec![
        "git for-each-ref --format='delete %(refname)' refs/samesession refs/samesession-remote refs/samesession-seen | git update-ref --stdin"
            .to_owned(),
        format!("find {packs} -name '*.keep' -exec grep -qx samesession {{}} ';' -delete && git gc --prune=now"),
    ];
    let answer = Answer {
        remote: None,
        on_demand: false,
        recipients: Vec::new(),
        uninstalled: true,
        changes: done.changes,
        traps: Vec::new(),
        refs: Some(done.refs),
        to_remove: if done.refs > 0 { to_remove } else { Vec::new() },
        recovery: None,
    };
    ui.report(&answer).map_err(Failure::Output)
}
