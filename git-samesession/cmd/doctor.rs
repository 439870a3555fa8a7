//! `doctor`: what would keep sessions from moving.

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::doctor::{self, Verdict};
use serde::Serialize;

use crate::failure::Failure;
use crate::ui::{Ui, View, harmless};

#[derive(Serialize)]
struct Answer {
    findings: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    about: &'static str,
    verdict: Verdict,
    text: String,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.doctor/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for row in &self.findings {
            let mark = match row.verdict {
                Verdict::Fine => "ok",
                Verdict::Note => "note",
                Verdict::Trouble => "TROUBLE",
            };
            writeln!(out, "{mark:<8} {:<10} {}", row.about, harmless(&row.text))?;
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui) -> Result<(), Failure> {
    let found = doctor::doctor(env)?;
    let row = |finding: doctor::Finding| Row { about: finding.about, verdict: finding.verdict, text: finding.text };
    let answer = Answer { findings: found.findings.into_iter().map(row).collect() };
    ui.report(&answer).map_err(Failure::Output)?;
    match answer.findings.iter().filter(|row| row.verdict == Verdict::Trouble).count() {
        0 => Ok(()),
        n => Err(Failure::Answered(Box::new(Failure::Troubles(n)))),
    }
}
