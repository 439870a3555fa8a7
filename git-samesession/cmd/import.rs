//! `import`: a capsule's file as the next checkpoint of its session.

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::commit::{self, State};
use samesession::flow::groups;
use samesession::flow::import::{self, Options};
use samesession::flow::keys::{self, SealTo};
use samesession::flow::ledger::Ledger;
use samesession::flow::required::Required;
use samesession::flow::signed::Belief;
use samesession::git::Repository;
use samesession::policy::Limits;
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
    /// What became of it.
    state: &'static str,
    commit: String,
    sequence: u64,
    /// Bytes of new objects in the repository.
    added_bytes: u64,
    /// Other ways the session went, by their commits.
    open: Vec<String>,
    files: usize,
    bytes: u64,
    recipients: Vec<String>,
    signed_by: String,
    signer: Option<String>,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.import/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let title = self.title.as_deref().map(|title| format!(" \"{}\"", clipped(title, 48))).unwrap_or_default();
        let (sequence, short) = (self.sequence, &self.sid[..8]);
        let which = format!("checkpoint {sequence} of {short} {}{title}", harmless(&self.agent));
        match self.state {
            "made" => {
                let (files, size, added) = (count(self.files, "file"), bytes(self.bytes), bytes(self.added_bytes));
                writeln!(out, "imported as {which}: {files}, {size}; {added} added")?;
            }
            "unchanged" => writeln!(out, "{which} holds all of it already")?,
            _ => writeln!(out, "{which} holds more than the capsule: nothing to do")?,
        }
        writeln!(out, "signed by {}", harmless(&self.signed_by))?;
        if !self.open.is_empty() {
            writeln!(out, "the session went {} ways; to go on from one: git samesession restore {short}", self.open.len() + 1)?;
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Import) -> Result<(), Failure> {
    let device = super::device_for(env, ui, &options.keys)?;
    let repo = Repository::open(env, env.cwd())?;
    // What cannot be sealed to is found out before anybody is asked.
    let recipients = groups::named(&repo, &options.recipients);
    keys::recipients(&SealTo::Recipients(recipients.clone()), None)?;
    let passphrase = terminal::passphrase(&options.keys.passphrase, false)?;
    let mut terminal = Terminal { quiet: ui.quiet };
    let identities = keys::identities(env, device.as_ref(), &options.keys.identities, passphrase, &terminal.clone())?;
    let progress = ui.progress();
    let asked = Options {
        file: &super::or_stdin(&options.file),
        identities: &identities,
        belief: Belief {
            trust: &options.trust,
            allow_unsigned: options.allow_unsigned,
            roster: None,
            required: Required::Unset,
            nobodys: false,
            in_a_chain: false,
            dry_run: false,
        },
        limits: Limits::default(),
    };
    let mut capsule = import::verify(env, device.as_ref(), asked, &mut terminal, &*progress)?;

    let device = super::device_or_new(env, ui)?;
    let identities = keys::identities(env, Some(&device), &[], None, &terminal)?;
    let ledger = Ledger::of(env, repo, Some(&device), &identities)?;
    let asked = commit::Options { recipients, revive: options.revive, ..commit::Options::default() };
    let done = import::import(&ledger, &device, &mut capsule, &asked, &terminal, &*progress)?;
    super::tell(ui, &done.findings);
    super::secrets::tell(ui, &done.passed);
    let manifest = capsule.manifest();
    super::restore::warn_of_nobody(ui, &capsule.signed_by);
    let (signed_by, signer) = super::restore::signer(&capsule.signed_by);
    let answer = Answer {
        agent: manifest.agent.clone(),
        native_id: manifest.native_id.clone(),
        sid: manifest.sid.clone(),
        title: manifest.title.clone(),
        state: match done.state {
            State::Made => "made",
            State::Unchanged => "unchanged",
            State::Behind => "behind",
        },
        commit: done.tip.to_string(),
        sequence: done.sequence,
        added_bytes: done.added,
        open: done.open.iter().map(ToString::to_string).collect(),
        files: manifest.files.len(),
        bytes: manifest.files.iter().map(|file| file.size).sum(),
        recipients: done.recipients,
        signed_by,
        signer,
    };
    ui.report(&answer).map_err(Failure::Output)
}
