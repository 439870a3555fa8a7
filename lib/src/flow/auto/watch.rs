//! The watcher: one process of a user that sleeps until a transcript changes, and then has a checkpoint made of it.
//!
//! It makes none itself: that is the work of the process that hooks start as well, one at a time, so that the watcher stays
//! small and nothing that happens to one session happens to it. What must stay true: there is one; whatever it knows is on
//! disk, so that it may be killed at any moment; it ends when nothing is watched any more, and with the program it came from.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::changes::{Changes, Shelf};
use super::look::{self, Due, Sessions, Watched};
use super::program::{Now, Program};
use super::register::{self, Registration};
use crate::agent::{self, Agent};
use crate::env::Env;
use crate::flow::background::{self, Says};
use crate::flow::hook::{log, queue, run, work};
use crate::flow::only::Only;
use crate::flow::{Error, with_causes};
use crate::hook::Reach;
use crate::id::SessionId;

/// A turn is over when nothing was written for so long; if that does not come, what is written goes by its own interval.
const QUIET: Duration = Duration::from_secs(2);
/// Looking takes this part of the time at most.
const SHARE: u32 = 50;
/// Even if nothing is told: what was missed, and whether the program is still there.
const TICK: Duration = Duration::from_secs(10 * 60);

/// For how long the others wait for one session: a remote may take its time. Whoever works on it has a deadline of its own.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Another one watches.
    Another,
    /// Nothing is to be watched.
    NothingLeft,
    /// The program is not there any more.
    Uninstalled,
}

pub fn watch(env: &Env) -> Result<End, Error> {
    let env = background::placeless(env);
    background::be_quiet();
    let lock = register::dir(&env)?.join("lock");
    loop {
        // What is not there is not made: somebody is about to remove it.
        if register::watched(&env).is_empty() {
            return Ok(End::NothingLeft);
        }
        let Some(mut only) = alone(&lock)? else { return Ok(End::Another) };
        only.sign();
        let end = Watcher::new(&env)?.run()?;
        drop(only);
        // Whoever came while it was about to end has seen it, and started none.
        if end != End::NothingLeft {
            return Ok(end);
        }
    }
}

/// Somebody may look at the lock in that very moment.
fn alone(lock: &Path) -> Result<Option<Only>, Error> {
    for _ in 0..10 {
        if let Some(only) = Only::take(lock)? {
            return Ok(Some(only));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(None)
}

struct Watcher<'a> {
    env: &'a Env,
    dir: PathBuf,
    program: Program,
    repositories: Vec<Watched>,
    agents: Vec<&'static dyn Agent>,
    changes: Changes,
    sessions: Sessions,
    /// Since when something has happened in an agent's home that was not looked at.
    stirred: BTreeMap<usize, Instant>,
    /// Before which the homes are not looked at again.
    rest_until: Instant,
    /// When the register was read.
    read: Instant,
}

impl<'a> Watcher<'a> {
    fn new(env: &'a Env) -> Result<Watcher<'a>, Error> {
        let dir = register::dir(env)?;
        let mut watcher = Watcher {
            env,
            program: Program::new(env)?,
            repositories: Vec::new(),
            agents: Vec::new(),
            changes: Changes::new(Vec::new(), Vec::new()),
            sessions: Sessions::default(),
            stirred: BTreeMap::new(),
            rest_until: Instant::now(),
            read: Instant::now(),
            dir,
        };
        watcher.read_register()?;
        let repositories: Vec<String> = watcher.repositories.iter().map(|one| one.registration.common.display().to_string()).collect();
        watcher.say(&format!("watching for {}", repositories.join(", ")));
        Ok(watcher)
    }

    fn run(mut self) -> Result<End, Error> {
        let mut paused = register::paused(self.env);
        loop {
            if self.repositories.is_empty() {
                self.say("ended: nothing is watched any more");
                return Ok(End::NothingLeft);
            }
            match self.program.now() {
                Now::Same => {}
                Now::Another => {
                    self.say("started anew: the program is another one now");
                    return Err(background::become_anew(self.env, &self.program.path, &["auto", "watch"]));
                }
                Now::Gone => {
                    self.say("ended: the program is not there any more");
                    return Ok(End::Uninstalled);
                }
            }
            let worked = !paused && self.step();
            let timeout = if worked { Duration::ZERO } else { self.timeout(paused) };
            // While something goes on in a home it is let be, and what happens there is told of at once later.
            let seen = self.changes.wait(timeout, !paused && self.stirred.is_empty());
            let gone = self.repositories.iter().any(|one| !one.registration.is_there());
            if seen.register || gone || self.read.elapsed() >= TICK {
                self.read_register()?;
                paused = register::paused(self.env);
            }
            self.stir(seen.agents);
        }
    }

    /// Looks, or has one session dealt with; whether there was anything to do.
    fn step(&mut self) -> bool {
        let now = Instant::now();
        if self.looks_at().is_some_and(|at| at <= now) {
            let news = self.changes.take();
            let (quiet, longest) = (self.quiet(), self.every());
            // It goes on: a turn, presumably.
            let stirring = |agent: &usize, since: &Instant| news.contains(agent) && now < *since + longest;
            let mut looked: Vec<usize> = Vec::new();
            for (agent, since) in &mut self.stirred {
                if stirring(agent, since) { self.rest_until = now + quiet } else { looked.push(*agent) }
            }
            self.stir(news);
            for agent in looked {
                self.stirred.remove(&agent);
                self.look(agent);
            }
            return true;
        }
        let Some((sid, due)) = self.sessions.take(now) else { return false };
        let well = self.work(&sid, &due);
        self.sessions.done(sid, due, now.elapsed(), well);
        true
    }

    fn stir(&mut self, agents: BTreeSet<usize>) {
        for agent in agents {
            self.stirred.entry(agent).or_insert_with(Instant::now);
        }
    }

    fn look(&mut self, agent: usize) {
        let begun = Instant::now();
        let agent = self.agents[agent];
        if let Err(error) = self.sessions.look(self.env, agent, &self.repositories) {
            self.say(&format!("{} cannot be looked at: {}", agent.title(), with_causes(&error)));
        }
        self.rest_until = self.rest_until.max(Instant::now() + begun.elapsed() * SHARE);
    }

    /// When homes are looked at next, if at all.
    fn looks_at(&self) -> Option<Instant> {
        let first = self.stirred.values().min()?;
        Some((*first + self.quiet()).max(self.rest_until))
    }

    fn timeout(&self, paused: bool) -> Duration {
        let next = [self.looks_at(), self.sessions.next()].into_iter().flatten().min().filter(|_| !paused);
        next.map_or(TICK, |next| next.saturating_duration_since(Instant::now()).min(TICK))
    }

    fn every(&self) -> Duration {
        self.repositories.iter().map(|one| one.registration.every()).min().unwrap_or(TICK)
    }

    fn quiet(&self) -> Duration {
        QUIET.min(self.every())
    }

    /// By the process that hooks start, too. Whether all was done.
    fn work(&self, sid: &SessionId, due: &Due) -> bool {
        let worked = || -> Result<Option<String>, Error> {
            queue::ask(&due.common, sid, queue::Request { push: due.push })?;
            let mut args = run::worker(Reach::Auto);
            args.extend(["--agent".into(), due.agent.name().into(), work::CHANGED.into()]);
            let mut child = background::start(self.env, &due.call.cwd, &args, &due.call.to_json(), Says::Answer)?;
            let (done, answers) = mpsc::channel();
            std::thread::spawn(move || {
                let mut said = Vec::new();
                let _ = child.stdout.take().map(|stdout| stdout.take(1 << 20).read_to_end(&mut said));
                let well = child.wait().is_ok_and(|status| status.success());
                let _ = done.send((said, well));
            });
            let Ok((said, well)) = answers.recv_timeout(PATIENCE) else {
                return Ok(Some("it takes long, and goes on by itself".to_owned()));
            };
            let said: serde_json::Value = serde_json::from_slice(&said).unwrap_or_default();
            let trouble = said["trouble"].as_str().or(said["message"].as_str()).map(str::to_owned);
            Ok(trouble.or_else(|| (!well).then(|| "whoever was to do that has died".to_owned())))
        };
        let trouble = worked().unwrap_or_else(|error| Some(with_causes(&error)));
        if let Some(trouble) = &trouble {
            self.say(&format!("{}: {} NOT done: {trouble}", due.agent.title(), sid.short()));
        }
        trouble.is_none()
    }

    /// What is watched now; everything in it is looked at.
    fn read_register(&mut self) -> Result<(), Error> {
        loop {
            let watched = register::watched(self.env);
            let wanted = |agent: &&&'static dyn Agent| watched.iter().any(|one| one.watches(agent.name()));
            self.agents = agent::all().iter().filter(wanted).copied().collect();
            let mut shelves = Vec::new();
            for (n, agent) in self.agents.iter().enumerate() {
                let home = agent.home(self.env)?;
                let shelf = |(below, depth): &(&str, usize)| Shelf { agent: n, root: home.root.join(below), depth: *depth };
                shelves.extend(agent.shelves().iter().map(shelf));
            }
            self.changes = Changes::new(vec![self.dir.clone(), self.dir.join("repositories")], shelves);
            // What came before it was listened to is seen now or never.
            if register::watched(self.env) == watched {
                let now = self.env.now();
                let with_since = |one: Registration| Watched { since: look::since(&one.common, now), registration: one };
                self.repositories = watched.into_iter().map(with_since).collect();
                break;
            }
        }
        self.read = Instant::now();
        self.sessions.forget_looks();
        // At once: nobody is in the middle of anything that is known.
        let long_ago = Instant::now().checked_sub(QUIET).unwrap_or_else(Instant::now);
        self.stirred = (0..self.agents.len()).map(|agent| (agent, long_ago)).collect();
        Ok(())
    }

    fn say(&self, words: &str) {
        log::add_to(&self.dir.join("log"), self.env.now(), words);
    }
}
