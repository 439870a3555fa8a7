//! `show`: what one native session consists of.

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::sessions::{self, Listed};
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
        writeln!(out)?;
        for file in &self.files {
            writeln!(out, "{:>10}  {:<12}  {}", bytes(file.size), file.role, harmless(&file.path))?;
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Show) -> Result<(), Failure> {
    let chosen = super::chosen(env, ui, options.session.as_deref(), options.agent.as_deref())?;
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
        session: Row::new(&Listed { session: shown.session, live: shown.live }, env.now()),
    };
    ui.report(&answer).map_err(Failure::Output)
}
