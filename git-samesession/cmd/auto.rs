//! `auto`: checkpoints that nobody has to think of.

use std::io::{self, Write};
use std::path::PathBuf;

use samesession::durable::At;
use samesession::env::Env;
use samesession::flow::auto::{self, By, End, Kind, Looked, Options, Watcher};
use samesession::flow::hook::Line;
use samesession::flow::settings;
use samesession::git::Repository;
use serde::Serialize;

use crate::cli::{AutoCommand, AutoOn, AutoUnit, Command, Service};
use crate::failure::Failure;
use crate::ui::{Ui, View, harmless};

#[derive(Serialize)]
struct Status {
    /// `.git` of the repository around.
    repository: Option<String>,
    on: bool,
    /// In seconds, where somebody has said so.
    every: Option<u64>,
    push: bool,
    paused: bool,
    agents: Vec<Looked>,
    watcher: Watcher,
    /// The newest of what was done.
    lines: Vec<Line>,
}

impl From<auto::Status> for Status {
    fn from(status: auto::Status) -> Status {
        let one = status.registration.as_ref();
        Status {
            repository: status.repository.map(|path: PathBuf| path.display().to_string()),
            on: one.is_some(),
            every: one.and_then(|one| one.every),
            push: one.is_some_and(|one| one.push),
            paused: status.paused,
            agents: status.agents,
            watcher: status.watcher,
            lines: status.lines,
        }
    }
}

impl View for Status {
    const SCHEMA: &'static str = "samesession.auto/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let push = if self.push { ", and sent" } else { "" };
        match (&self.repository, self.on, self.every) {
            (None, ..) => writeln!(out, "there is no repository here")?,
            (Some(_), false, _) => writeln!(out, "off here")?,
            (Some(_), true, None) => writeln!(out, "on: a checkpoint after each turn{push}")?,
            (Some(_), true, Some(every)) => writeln!(out, "on: a checkpoint of what has changed, every {every} s at most{push}")?,
        }
        if self.on && self.agents.is_empty() {
            writeln!(out, "  no agent is in use here")?;
        }
        for one in &self.agents {
            let by = match one.by {
                By::Hooks => "by its own hooks",
                By::Watcher => "by the watcher",
                By::Nobody => "by nobody",
            };
            writeln!(out, "  {:<8} {by}", one.agent)?;
            one.notes.iter().try_for_each(|note| writeln!(out, "    {}", harmless(note)))?;
        }
        if self.paused {
            writeln!(out, "all of it pauses until: git samesession auto resume")?;
        }
        match (self.watcher.running, self.watcher.wanted) {
            (true, _) => {
                let pid = self.watcher.pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
                writeln!(out, "the watcher is running{pid}")?;
            }
            (false, true) => writeln!(out, "the watcher is not running")?,
            (false, false) => {}
        }
        if !self.lines.is_empty() {
            writeln!(out)?;
        }
        self.lines.iter().try_for_each(|line| writeln!(out, "  {} {}", harmless(&line.at), harmless(&line.what)))
    }
}

#[derive(Serialize)]
struct Changed {
    changed: bool,
    #[serde(skip)]
    words: [&'static str; 2],
}

impl View for Changed {
    const SCHEMA: &'static str = "samesession.auto-changed/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.words[usize::from(self.changed)])
    }
}

#[derive(Serialize)]
struct Unit {
    text: String,
}

impl View for Unit {
    const SCHEMA: &'static str = "samesession.auto-unit/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.text.as_bytes())
    }
}

#[derive(Serialize)]
struct Watched {
    ended: End,
}

impl View for Watched {
    const SCHEMA: &'static str = "samesession.auto-watch/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let words = match self.ended {
            End::Another => "another process watches",
            End::NothingLeft => "there is nothing to watch",
            End::Uninstalled => "the program is not there any more",
        };
        writeln!(out, "{words}")
    }
}

/// Whether a command may have the watcher started that should be running. Those that come from the background do not, and
/// `auto` decides for itself.
pub fn may_start(command: &Command) -> bool {
    !matches!(command, Command::Auto(_) | Command::Demo)
}

pub fn run(env: &Env, ui: &Ui, command: &AutoCommand) -> Result<(), Failure> {
    let changed = |changed, words| ui.report(&Changed { changed, words }).map_err(Failure::Output);
    match command {
        AutoCommand::On(options) => on(env, ui, options),
        AutoCommand::Off => changed(auto::off(env)?, ["it was not on here", "off here"]),
        AutoCommand::Status => {
            auto::start_if_wanted(env, !auto::is_inside_an_agent(env));
            ui.report(&Status::from(auto::status(env)?)).map_err(Failure::Output)
        }
        AutoCommand::Pause => changed(auto::pause(env, true)?, ["it pauses already", "paused, in every repository"]),
        AutoCommand::Resume => changed(auto::pause(env, false)?, ["it does not pause", "going on"]),
        AutoCommand::Unit(options) => unit(env, ui, options),
        AutoCommand::Watch => ui.report(&Watched { ended: auto::watch(env)? }).map_err(Failure::Output),
    }
}

fn on(env: &Env, ui: &Ui, options: &AutoOn) -> Result<(), Failure> {
    let usage = || Failure::Usage("--every takes a number of seconds, minutes or hours, 24h at most: 90s, 5m, 1h");
    let span = |text: &str| settings::span(text).filter(|every| *every <= auto::register::SELDOM).ok_or_else(usage);
    let every = options.every.as_deref().map(span).transpose()?;
    let repo = Repository::open(env, env.cwd())?;
    // Where there are none, nothing is done: nobody would be there to be told of new ones.
    super::device_or_new(env, ui)?;
    let status = auto::on(env, &Options { every, push: options.push })?;
    if options.push && samesession::flow::remote::choose(&repo, None).is_err() {
        ui.note("note: checkpoints stay here until it is known where sessions go: git samesession init");
    }
    if status.watcher.wanted && auto::is_ci(env) {
        ui.note("note: no watcher is started where CI is set; what it would do, 'git samesession auto watch' does");
    }
    ui.report(&Status::from(status)).map_err(Failure::Output)
}

fn unit(env: &Env, ui: &Ui, options: &AutoUnit) -> Result<(), Failure> {
    let kind = match options.system {
        Some(Service::Systemd) => Kind::Systemd,
        Some(Service::Launchd) => Kind::Launchd,
        None => Kind::here(),
    };
    let program = env.own_program().at("find", "/proc/self/exe").map_err(samesession::flow::Error::from)?;
    ui.report(&Unit { text: auto::unit(kind, &program) }).map_err(Failure::Output)
}
