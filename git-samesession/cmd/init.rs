//! `init`: this repository's settings, and taking them back.

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::init::{self, Options, Step};
use samesession::flow::remotes::Trap;
use samesession::git::Repository;
use samesession::path;
use serde::Serialize;

use crate::cli;
use crate::failure::Failure;
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
    let asked = Options {
        remote: options.remote.clone(),
        store: options.store.clone(),
        recipients: options.recipients.clone(),
        on_demand: options.on_demand,
    };
    // What cannot be done is found out before keys are made.
    init::check(&repo, &asked)?;
    super::device_or_new(env, ui)?;
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
    };
    ui.report(&answer).map_err(Failure::Output)
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
    };
    ui.report(&answer).map_err(Failure::Output)
}
