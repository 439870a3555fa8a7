//! `doctor`: what would keep sessions from moving, each with the way out; and what a crash left, finished or undone.

mod repository;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::recover::{self, Recovered};
use super::{Error, stage};
use crate::agent;
use crate::device::Device;
use crate::env::Env;
use crate::path::typed;
use crate::signers::KnownSigners;

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Fine,
    /// Worth knowing; nothing fails because of it.
    Note,
    Trouble,
}

pub struct Finding {
    pub about: &'static str,
    pub verdict: Verdict,
    pub text: String,
}

pub struct Outcome {
    pub findings: Vec<Finding>,
    pub recovered: Vec<Recovered>,
}

pub fn doctor(env: &Env) -> Result<Outcome, Error> {
    stage::sweep(env);
    let device = Device::load(env);
    let mut outcome = Outcome { findings: vec![about_device(&device)], recovered: Vec::new() };
    outcome.findings.extend(about_signers(env));
    for agent in agent::all() {
        let home = agent.home(env)?;
        let mut say = |verdict, text: String| outcome.findings.push(Finding { about: agent.name(), verdict, text });
        if !home.root.is_dir() {
            say(Verdict::Note, format!("{} has not been used here: there is no '{}'", agent.title(), home.root.display()));
            continue;
        }
        match env.program(agent.program()) {
            Some(program) => say(Verdict::Fine, format!("{} is installed: '{}'", agent.title(), program.display())),
            None => say(Verdict::Note, format!("{} is not on PATH; to get it: {}", agent.title(), agent.how_to_install())),
        }
        let found = agent.discover(&home)?;
        let sessions = if found.sessions.len() == 1 { "session" } else { "sessions" };
        say(Verdict::Fine, format!("{} {sessions} in '{}'", found.sessions.len(), home.root.display()));
        for broken in found.broken {
            say(Verdict::Trouble, format!("'{}' cannot be read as a session: {}", broken.path.display(), broken.why));
        }
        for ailment in agent.ailments(&home) {
            say(Verdict::Trouble, ailment);
        }
        if home.root.join(stage::DIR).is_dir() {
            let _lock = stage::lock(&home.root)?;
            let recovered = recover::recover(env, *agent, &home).unwrap_or_else(|error| {
                let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), |cause| format!("{error} ({cause})"));
                say(Verdict::Trouble, why);
                Vec::new()
            });
            for recovered in recovered {
                say(if matches!(recovered, Recovered::Stuck { .. }) { Verdict::Trouble } else { Verdict::Note }, describe(&recovered));
                outcome.recovered.push(recovered);
            }
        }
    }
    outcome.findings.extend(repository::examine(env, device.ok().flatten().as_ref()));
    Ok(outcome)
}

pub fn describe(recovered: &Recovered) -> String {
    match recovered {
        Recovered::Cleared => "a restore that had not begun to change anything was cleared away".to_owned(),
        Recovered::RolledBack { native } => format!("an interrupted restore of {native} was undone"),
        Recovered::RolledForward { native } => format!("an interrupted restore of {native} was finished: it is in use already"),
        Recovered::Settled { native } => format!("an interrupted restore of {native} was finished"),
        Recovered::Kept { dir, native } => {
            let old = dir.join("old");
            format!(
                "what a restore of {native} put aside is still in '{}': it may be the only copy, remove it when you are sure",
                old.display()
            )
        }
        Recovered::Stuck { dir, why } => format!("an interrupted restore in '{}' is left as it is: {why}", dir.display()),
    }
}

fn about_device(device: &Result<Option<Device>, crate::device::Error>) -> Finding {
    let (verdict, text) = match device {
        Ok(Some(device)) => {
            let locked = if device.is_locked() { ", its keys under a passphrase" } else { "" };
            (Verdict::Fine, format!("this device is '{}' ({}){locked}", device.name, device.signing().fingerprint()))
        }
        Ok(None) => (Verdict::Note, "this device has no keys yet; the first checkpoint makes them".to_owned()),
        Err(error) => (Verdict::Trouble, error.to_string()),
    };
    Finding { about: "device", verdict, text }
}

/// The file that says who is believed.
fn about_signers(env: &Env) -> Vec<Finding> {
    let trouble = |text: String| Finding { about: "signers", verdict: Verdict::Trouble, text };
    let signers = match KnownSigners::load(env) {
        Ok(signers) => signers,
        Err(error) => return vec![trouble(error.to_string())],
    };
    let path = signers.path();
    let complaint = |(number, why): (usize, &str)| trouble(format!("line {number} of '{}': {why}", path.display()));
    let mut found: Vec<Finding> = signers.complaints().into_iter().map(complaint).collect();
    let mode = fs::metadata(path).map_or(0, |meta| meta.permissions().mode() & 0o777);
    if mode & 0o022 != 0 {
        let text = format!("others can change whom this device believes (mode {mode:03o}): chmod go-w {}", typed(path));
        found.push(trouble(text));
    }
    found
}
