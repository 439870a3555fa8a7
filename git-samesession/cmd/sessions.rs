//! `sessions`: what is on this machine, newest first.

use std::io::{self, Write};
use std::time::SystemTime;

use samesession::env::Env;
use samesession::flow::sessions::{self, Listed};
use samesession::time;
use serde::Serialize;

use crate::cli;
use crate::failure::Failure;
use crate::ui::{Ui, View, ago, bytes, clipped, harmless};

#[derive(Serialize)]
pub struct Row {
    pub agent: &'static str,
    pub native_id: String,
    pub sid: String,
    pub title: Option<String>,
    pub cwd: Option<String>,
    pub modified: String,
    pub size: u64,
    pub live: bool,
    pub archived: bool,
    pub version: Option<String>,
    pub parent: Option<String>,
    pub transcript: String,
    #[serde(skip)]
    age: String,
}

#[derive(Serialize)]
struct Broken {
    path: String,
    why: String,
}

#[derive(Serialize)]
struct Answer {
    sessions: Vec<Row>,
    broken: Vec<Broken>,
    #[serde(skip)]
    all: bool,
}

impl Row {
    pub fn new(listed: &Listed, now: SystemTime) -> Row {
        let session = &listed.session;
        Row {
            agent: session.agent,
            native_id: session.native.to_string(),
            sid: session.sid().to_string(),
            title: session.title.clone(),
            cwd: session.cwd.as_ref().map(|cwd| cwd.display().to_string()),
            modified: time::format(session.modified),
            size: session.size,
            live: listed.live.is_some(),
            archived: session.archived,
            version: session.version.clone(),
            parent: session.parent.as_ref().map(ToString::to_string),
            transcript: session.transcript.display().to_string(),
            age: ago(session.modified, now),
        }
    }
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.sessions/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for row in &self.sessions {
            let state = if row.live { "live" } else { "" };
            let title = clipped(row.title.as_deref().unwrap_or("(no title)"), 48);
            let id = &row.native_id[..row.native_id.len().min(13)];
            let place = harmless(row.cwd.as_deref().unwrap_or("?"));
            writeln!(out, "{:<7} {id:<13} {state:<4} {:>10} {:>10}  {title:<48}  {place}", row.agent, row.age, bytes(row.size))?;
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Sessions) -> Result<(), Failure> {
    let options = sessions::Options { agent: options.agent.clone(), all: options.all, helpers: options.helpers };
    let found = sessions::sessions(env, &options)?;
    let answer = Answer {
        sessions: found.sessions.iter().map(|listed| Row::new(listed, env.now())).collect(),
        broken: found.broken.iter().map(|broken| Broken { path: broken.path.display().to_string(), why: broken.why.clone() }).collect(),
        all: options.all,
    };
    ui.report(&answer).map_err(Failure::Output)?;
    if !ui.json {
        for broken in &answer.broken {
            ui.note(&format!("warning: '{}' cannot be read as a session: {}", broken.path, broken.why));
        }
        if answer.sessions.is_empty() && !answer.all {
            ui.note("no session here; 'git samesession sessions --all' looks everywhere");
        }
    }
    Ok(())
}
