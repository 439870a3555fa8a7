//! `show`: what one native session consists of, or else one checkpoint of the repository; or who made a commit.

mod checkpoint;

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::ledger::Ledger;
use samesession::flow::sessions::{self, Listed};
use samesession::flow::{self, show};
use samesession::id::SessionId;
use samesession::seal::Identities;
use serde::Serialize;

use super::sessions::Row;
use crate::cli;
use crate::failure::Failure;
use crate::ui::{Ui, View, bytes, harmless};

#[derive(Serialize)]
struct Answer {
    session: Row,
    files: Vec<FileRow>,
    /// The same id at other places of this home.
    copies: Vec<String>,
    resume: Option<String>,
    /// The newest in the repository around.
    checkpoint: Option<Newest>,
}

#[derive(Serialize)]
struct Newest {
    commit: String,
    sequence: u64,
}

#[derive(Serialize)]
struct FileRow {
    path: String,
    role: &'static str,
    size: u64,
    required: bool,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.show/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let session = &self.session;
        writeln!(out, "{} session {}", session.agent, session.native_id)?;
        writeln!(out, "sid       {}", session.sid)?;
        writeln!(out, "title     {}", harmless(session.title.as_deref().unwrap_or("(none)")))?;
        writeln!(out, "where     {}", harmless(session.cwd.as_deref().unwrap_or("?")))?;
        writeln!(out, "written   {}{}", session.modified, if session.live { ", and open now" } else { "" })?;
        if let Some(version) = &session.version {
            writeln!(out, "by        {} {}", session.agent, harmless(version))?;
        }
        if let Some(resume) = &self.resume {
            writeln!(out, "resume    {}", harmless(resume))?;
        }
        for copy in &self.copies {
            writeln!(out, "also at   {}", harmless(copy))?;
        }
        if let Some(newest) = &self.checkpoint {
            let short = &newest.commit[..12];
            writeln!(out, "sealed    #{} in this repository; to see it: git samesession show {short}", newest.sequence)?;
        }
        writeln!(out)?;
        for file in &self.files {
            writeln!(out, "{:>10}  {:<12}  {}", bytes(file.size), file.role, harmless(&file.path))?;
        }
        Ok(())
    }
}

/// A native session goes before a chain of the same name; what names none may name something of the repository.
pub fn run(env: &Env, ui: &Ui, options: &cli::Show) -> Result<(), Failure> {
    if let Some(commit) = &options.commit {
        return super::made::show(env, ui, commit);
    }
    let chosen = match super::chosen(env, ui, options.session.as_deref(), options.agent.as_deref()) {
        Err(Failure::Flow(none @ (flow::Error::NoSuchSession(_) | flow::Error::NoCurrentSession(_)))) if options.agent.is_none() => {
            let what = options.session.as_deref().unwrap_or("current");
            return match checkpoint::run(env, ui, what) {
                Err(Failure::Flow(flow::Error::NoSuchSession(_) | flow::Error::NoCurrentSession(_) | flow::Error::Git(_))) => {
                    Err(none.into())
                }
                shown => shown,
            };
        }
        chosen => chosen?,
    };
    let shown = sessions::show(env, &chosen.selector, chosen.agent.as_deref())?;
    let file = |file: &sessions::ShownFile| FileRow {
        path: file.artifact.name.to_string(),
        role: samesession::flow::role_name(file.artifact.role),
        size: file.size,
        required: file.artifact.role.is_required(),
    };
    let answer = Answer {
        files: shown.files.iter().map(file).collect(),
        copies: shown.copies.iter().map(|path| path.display().to_string()).collect(),
        resume: shown.resume.as_ref().map(super::restore::typed),
        checkpoint: newest(env, &shown.session.sid()),
        session: Row::new(&Listed { session: shown.session, home: shown.home, live: shown.live }, env.now()),
    };
    ui.report(&answer).map_err(Failure::Output)
}

/// Whatever is wrong with the repository is no reason not to show the session.
fn newest(env: &Env, sid: &SessionId) -> Option<Newest> {
    let identities = Identities::default();
    let ledger = Ledger::open(env, None, &identities).ok()?;
    let (commit, sequence) = show::newest(&ledger, sid)?;
    Some(Newest { commit: commit.to_string(), sequence })
}
