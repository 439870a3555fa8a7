//! `log COMMIT|FILE[:LINE]` and `show --commit`: which session made a commit, and what its user had asked for.

use std::io::{self, Write};

use samesession::agent::asked::By;
use samesession::env::Env;
use samesession::flow;
use samesession::flow::ledger::{Finding, Ledger};
use samesession::flow::made::{self, Held, Made, Maker, Mark, Target};
use samesession::time;
use serde::Serialize;

use crate::failure::Failure;
use crate::ui::{Ui, View, ago, clipped, count, harmless};

#[derive(Serialize)]
struct Answer {
    file: Option<String>,
    line: Option<u64>,
    /// Those that sessions made, newest first.
    commits: Vec<Row>,
    /// So many others touched the file.
    others: usize,
    /// There are more than were asked for.
    more: bool,
}

#[derive(Serialize)]
struct Row {
    commit: String,
    subject: String,
    made: String,
    sessions: Vec<Session>,
    #[serde(skip)]
    age: String,
}

#[derive(Serialize)]
struct Session {
    sid: String,
    /// Where it stands that this session made it.
    marks: Vec<Mark>,
    /// Why the rest could not be read here.
    unread: Option<String>,
    agent: Option<String>,
    native_id: Option<String>,
    title: Option<String>,
    /// What holds the moment; nothing, if that is the session on this machine.
    checkpoint: Option<String>,
    sequence: Option<u64>,
    /// What its user had asked for, all of it.
    prompt: Option<String>,
    asked: Option<String>,
    found_by: Option<By>,
    /// Why it is not known what was asked for.
    unknown: Option<&'static str>,
}

impl Row {
    fn new(made: Made, env: &Env) -> Row {
        let Made { commit, subject, made, by } = made;
        let sessions = by.into_iter().map(Session::from).collect();
        Row { commit: commit.to_string(), subject, made: time::format(made), sessions, age: ago(made, env.now()) }
    }
}

impl From<Maker> for Session {
    fn from(maker: Maker) -> Session {
        let Maker { sid, marks, inside } = maker;
        let (inside, unread) = match inside {
            Ok(inside) => (Some(inside), None),
            Err(why) => (None, Some(why)),
        };
        let (checkpoint, sequence) = match inside.as_ref().map(|inside| &inside.held) {
            Some(Held::Checkpoint(id, sequence)) => (Some(id.to_string()), Some(*sequence)),
            _ => (None, None),
        };
        let asked = inside.as_ref().and_then(|inside| inside.asked.as_ref().ok());
        Session {
            sid: sid.to_string(),
            marks,
            unread,
            agent: inside.as_ref().map(|inside| inside.agent.clone()),
            native_id: inside.as_ref().map(|inside| inside.native_id.clone()),
            title: inside.as_ref().and_then(|inside| inside.title.clone()),
            checkpoint,
            sequence,
            prompt: asked.map(|asked| asked.prompt.clone()),
            asked: asked.and_then(|asked| asked.at).map(time::format),
            found_by: asked.map(|asked| asked.by),
            unknown: inside.as_ref().and_then(|inside| inside.asked.as_ref().err().copied()),
        }
    }
}

impl Session {
    fn line(&self) -> String {
        let sid = &self.sid[..8];
        match (&self.unread, &self.agent) {
            (Some(why), _) => format!("session {sid}: it cannot be read here: {}", clipped(why, 120)),
            (None, agent) => {
                let title = self.title.as_deref().map(|title| format!(" \"{}\"", clipped(title, 60))).unwrap_or_default();
                format!("session {sid} {}{title}", harmless(agent.as_deref().unwrap_or("?")))
            }
        }
    }
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.log-commits/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for row in &self.commits {
            writeln!(out, "{} {}  {}", &row.commit[..12], row.age, clipped(&row.subject, 80))?;
            for session in &row.sessions {
                writeln!(out, "  {}", session.line())?;
                if let Some(prompt) = &session.prompt {
                    writeln!(out, "    asked: \"{}\"", clipped(prompt, 200))?;
                }
                if let Some(why) = session.unknown {
                    writeln!(out, "    what was asked is not known: {why}")?;
                }
            }
        }
        if self.others > 0 {
            writeln!(out, "\n{} of no session touched it, too", count(self.others, "commit"))?;
        }
        Ok(())
    }
}

pub fn log(
    ui: &Ui,
    env: &Env,
    ledger: &Ledger<'_>,
    target: Target,
    most: Option<usize>,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let found = made::made(ledger, target, most.unwrap_or(usize::MAX), findings)?;
    let (file, line) = match found.target {
        Target::Commit(_) => (None, None),
        Target::File(file) => (Some(file), None),
        Target::Line(file, line) => (Some(file), Some(line)),
    };
    let commits: Vec<Row> = found.commits.into_iter().map(|made| Row::new(made, env)).collect();
    let answer = Answer { file, line, commits, others: found.others, more: found.more };
    ui.report(&answer).map_err(Failure::Output)?;
    if answer.more && !ui.json {
        ui.note(&format!("there are more than {}", count(answer.commits.len(), "commit")));
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(transparent)]
struct One(Row);

impl View for One {
    const SCHEMA: &'static str = "samesession.show-commit/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let Row { commit, subject, made, sessions, age } = &self.0;
        writeln!(out, "commit    {commit}")?;
        writeln!(out, "subject   {}", harmless(subject))?;
        writeln!(out, "made      {made}, {age}")?;
        for session in sessions {
            writeln!(out)?;
            writeln!(out, "sid       {}", session.sid)?;
            if let Some(why) = &session.unread {
                writeln!(out, "unread    {}", harmless(why))?;
            }
            if let (Some(agent), Some(native)) = (&session.agent, &session.native_id) {
                writeln!(out, "session   {} {}", harmless(agent), harmless(native))?;
            }
            if let Some(title) = &session.title {
                writeln!(out, "title     {}", harmless(title))?;
            }
            match (&session.checkpoint, session.sequence) {
                (Some(id), Some(sequence)) => writeln!(out, "found in  #{sequence} {}", &id[..12])?,
                _ if session.agent.is_some() => writeln!(out, "found in  the session on this machine")?,
                _ => {}
            }
            if let Some(why) = session.unknown {
                writeln!(out, "asked     not known: {why}")?;
            }
            if let Some(prompt) = &session.prompt {
                writeln!(out, "asked     {}", session.asked.as_deref().unwrap_or("?"))?;
                prompt.lines().try_for_each(|line| writeln!(out, "    {}", harmless(line)))?;
            }
        }
        Ok(())
    }
}

pub fn show(env: &Env, ui: &Ui, what: &str) -> Result<(), Failure> {
    super::with_ledger(env, ui, |ledger, findings| {
        let none = || flow::Error::NoSuchCommit(what.chars().take(80).collect());
        let id = made::commit(&ledger.store.repo.git, what)?.ok_or_else(none)?;
        let mut found = made::made(ledger, Target::Commit(id), 1, findings)?;
        let row = found.commits.pop().map(|made| Row::new(made, env)).ok_or_else(none)?;
        ui.report(&One(row)).map_err(Failure::Output)
    })
}
