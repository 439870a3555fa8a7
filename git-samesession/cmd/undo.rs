//! `undo`: a restore taken back.

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::{doctor, undo};
use serde::Serialize;

use crate::cli;
use crate::failure::Failure;
use crate::ui::{Ui, View, harmless};

#[derive(Serialize)]
struct Answer {
    id: String,
    agent: &'static str,
    native_id: String,
    /// The work tree that was taken away, or is as it was.
    work_tree: Option<String>,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.undo/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} session {}: the restore {} was taken back", self.agent, self.native_id, self.id)?;
        match &self.work_tree {
            Some(work_tree) => writeln!(out, "with the work tree {}", harmless(work_tree)),
            None => Ok(()),
        }
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Undo) -> Result<(), Failure> {
    let done = undo::undo(env, options.id.as_deref(), options.force)?;
    for recovered in &done.recovered {
        ui.note(&doctor::describe(recovered));
    }
    let work_tree = done.work_tree.map(|path| path.display().to_string());
    ui.report(&Answer { id: done.id, agent: done.agent, native_id: done.native, work_tree }).map_err(Failure::Output)
}
