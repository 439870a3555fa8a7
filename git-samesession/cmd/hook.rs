//! `hook`: installing hooks, looking at them, and being one.
//!
//! As a hook nothing is printed but what an agent or a user is meant to read, and no failure is one, save in strict mode.

use std::io::{self, Read, Write};

use samesession::env::Env;
use samesession::flow::background;
use samesession::flow::hook::{self, Answer, Asked, Done, Line, Options, Row, Scope, State};
use samesession::git::Repository;
use samesession::hook::Reach;
use serde::Serialize;

use crate::cli::{self, HookCommand};
use crate::failure::Failure;
use crate::ui::{Ui, View, harmless};

#[derive(Serialize)]
struct Installed {
    hooks: Vec<One>,
    #[serde(skip)]
    gone: bool,
}

#[derive(Serialize)]
struct One {
    /// Git's name of the hook, or the agent's.
    hook: &'static str,
    state: State,
    scope: Scope,
    place: String,
    /// An agent's, by its own names.
    events: Vec<String>,
    changed: bool,
    notes: Vec<String>,
}

impl From<Row> for One {
    fn from(row: Row) -> One {
        let Row { what, place, scope, state, events, notes, changed } = row;
        One { hook: what, state, scope, place: place.display().to_string(), events, changed, notes }
    }
}

impl One {
    fn line(&self, out: &mut dyn Write, word: &str) -> io::Result<()> {
        let events = if self.events.is_empty() { String::new() } else { format!(" ({})", self.events.join(", ")) };
        writeln!(out, "{:<14} {word}: {}{}", self.hook, harmless(&self.place), harmless(&events))?;
        self.notes.iter().try_for_each(|note| writeln!(out, "  {}", harmless(note)))
    }
}

impl View for Installed {
    const SCHEMA: &'static str = "samesession.hook/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.hooks.is_empty() {
            writeln!(out, "{}", if self.gone { "there is nothing to take out" } else { "there is nothing to install" })?;
        }
        for one in &self.hooks {
            let word = match (self.gone, one.changed) {
                (true, _) => "taken out",
                (false, true) => "installed",
                (false, false) => "is installed already",
            };
            one.line(out, word)?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Status {
    hooks: Vec<One>,
    log: Option<String>,
    /// The newest of its lines.
    lines: Vec<Line>,
}

impl View for Status {
    const SCHEMA: &'static str = "samesession.hook-status/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for one in &self.hooks {
            let word = match one.state {
                State::Missing => "not installed",
                State::Own => "installed",
                State::Beside => "installed beside what was there",
                State::Chained => "installed, after what was there",
                State::Configured => "installed in Git's configuration",
            };
            one.line(out, word)?;
        }
        if let (Some(log), false) = (&self.log, self.lines.is_empty()) {
            writeln!(out, "\n{}:", harmless(log))?;
            self.lines.iter().try_for_each(|line| writeln!(out, "  {} {}", harmless(&line.at), harmless(&line.what)))?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Ran {
    sessions: Vec<Done>,
    /// Why not all of it was done.
    trouble: Option<String>,
}

impl View for Ran {
    const SCHEMA: &'static str = "samesession.hook-run/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for Done { sid, checkpoint, push } in &self.sessions {
            let words: Vec<String> =
                [checkpoint.map(|word| format!("checkpoint {word}")), push.map(str::to_owned)].into_iter().flatten().collect();
            writeln!(out, "{}  {}", &sid[..8], words.join(", "))?;
        }
        match &self.trouble {
            Some(trouble) => writeln!(out, "NOT done: {}", harmless(trouble)),
            None if self.sessions.is_empty() => writeln!(out, "there was nothing to do"),
            None => Ok(()),
        }
    }
}

pub fn run(env: &Env, ui: &Ui, command: &HookCommand) -> Result<(), Failure> {
    match command {
        HookCommand::Install(options) => install(env, ui, options),
        HookCommand::Uninstall(options) => {
            let hooks = hook::uninstall(env, &chosen(options))?.into_iter().map(One::from).collect();
            ui.report(&Installed { hooks, gone: true }).map_err(Failure::Output)
        }
        HookCommand::Status => {
            let hook::Status { rows, log, lines } = hook::status(env)?;
            let hooks = rows.into_iter().map(One::from).collect();
            ui.report(&Status { hooks, log: log.map(|log| log.display().to_string()), lines }).map_err(Failure::Output)
        }
        HookCommand::Run(options) => called(env, ui, options),
    }
}

fn install(env: &Env, ui: &Ui, options: &cli::Hooks) -> Result<(), Failure> {
    let hooks = hook::install(env, &chosen(options))?.into_iter().map(One::from).collect();
    // Where there are none, hooks do nothing: nobody would be there to be told of new ones.
    if super::device_or_new(env, ui)?.is_locked() {
        ui.note("note: this device's keys have a passphrase, for which hooks ask nobody: they do nothing until it is taken off");
    }
    if let Ok(repo) = Repository::open(env, env.cwd())
        && !options.global
        && samesession::flow::remote::choose(&repo, None).is_err()
    {
        ui.note("note: checkpoints stay here until it is known where sessions go: git samesession init");
    }
    ui.report(&Installed { hooks, gone: false }).map_err(Failure::Output)
}

fn chosen(options: &cli::Hooks) -> Options {
    Options { git: options.git, agents: options.agents.clone(), global: options.global }
}

fn called(env: &Env, ui: &Ui, options: &cli::HookRun) -> Result<(), Failure> {
    let reach = match (options.global, options.auto) {
        (true, _) => Reach::Stores,
        (false, true) => Reach::Auto,
        (false, false) => Reach::Here,
    };
    let asked = Asked { name: &options.name, agent: options.agent.as_deref(), reach, args: &options.args };
    if options.foreground {
        return work(env, ui, &asked);
    }
    match hook::run(env, &asked, io::stdin().lock()) {
        Answer::Nothing => Ok(()),
        Answer::Context(words) => {
            // An agent that does not listen any more misses nothing.
            let _ = writeln!(io::stdout(), "{words}");
            Ok(())
        }
        Answer::Note(words) => {
            ui.note(&format!("samesession: {words}"));
            Ok(())
        }
        Answer::Refused(why) => Err(Failure::Strict(why)),
    }
}

fn work(env: &Env, ui: &Ui, asked: &Asked<'_>) -> Result<(), Failure> {
    // A push is waited for by its user, and so are its sessions.
    if background::is_worker(env) && asked.agent.is_some() {
        background::be_patient();
    }
    let mut input = Vec::new();
    if asked.agent.is_some() {
        let _ = io::stdin().lock().take(64 << 20).read_to_end(&mut input);
    }
    let done = hook::foreground(env, asked, &input)?;
    ui.report(&Ran { sessions: done.rows, trouble: done.trouble }).map_err(Failure::Output)
}
