//! One native session as something to capture: what belongs to it, what its manifest says, and trying again when its agent
//! rewrites a file under the reader.
//!
//! Knows no container: that comes in as a closure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Map;

use super::capture::{self, Capture, Captured};
use super::select::{self, Selected, Selector};
use super::turn::{self, Turn};
use super::workspace::{self, Taken, Work};
use super::{Error, placed, sessions};
use crate::agent::{Agent, Artifact, Home, Live, Session};
use crate::capsule::{self, MANIFEST_SCHEMA, Manifest, Origin, Repository, Target};
use crate::device::Device;
use crate::env::Env;
use crate::git::Repo;
use crate::policy::Limits;
use crate::progress::Progress;
use crate::{path, time};

/// How often a capture is begun anew because a file was rewritten under it.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

pub struct Source {
    pub selected: Selected,
    /// What belongs to it now, and how much that is.
    pub artifacts: Vec<(Artifact, u64)>,
    /// The program that has it open.
    pub live: Option<Live>,
    /// The work tree that travels with it.
    pub work: Option<Work>,
    /// Why none does, although one was asked for.
    pub without: Option<String>,
}

pub enum Attempt<T> {
    Done(T, Captured),
    /// This file was rewritten under the reader.
    Changed(PathBuf),
}

impl Source {
    pub fn find(env: &Env, session: &Selector, agent: Option<&str>) -> Result<Source, Error> {
        let selected = select::select(env, session, agent)?;
        let live = selected.agent.live(&selected.home, &selected.session.native);
        Ok(Source { artifacts: sized(selected.agent, &selected.home, &selected.session)?, selected, live, work: None, without: None })
    }

    /// The same session as it stands when the turn is over that its agent is in, or when the time is.
    pub fn when_the_turn_is_over(&mut self, bound: Duration, waiting: &mut dyn FnMut()) -> Result<Turn, Error> {
        let turn = turn::wait(&mut self.selected, bound, waiting)?;
        self.live = self.selected.agent.live(&self.selected.home, &self.selected.session.native);
        self.artifacts = sized(self.selected.agent, &self.selected.home, &self.selected.session)?;
        Ok(turn)
    }

    /// Whether it is the session that runs us.
    pub fn is_around_us(&self, env: &Env) -> bool {
        self.live.is_some() && self.selected.agent.current(env).as_ref() == Some(&self.selected.session.native)
    }

    /// The workspace comes along, if there is one around the session's working directory.
    pub fn with_workspace(mut self, env: &Env, options: &workspace::Options) -> Result<Source, Error> {
        let cwd = self.selected.session.cwd.as_deref();
        self.work = cwd.map(|cwd| Work::around(env, cwd, options)).transpose()?.flatten();
        if self.work.is_none() && !options.session_only {
            self.without = Some(match cwd {
                None => "the session does not say where it was used".to_owned(),
                Some(cwd) if !cwd.is_dir() => format!("'{}' is not here any more", cwd.display()),
                Some(cwd) if Work::is_bare(env, cwd)? => format!("'{}' is in a bare repository", cwd.display()),
                Some(cwd) => format!("'{}' is in no repository", cwd.display()),
            });
        }
        Ok(self)
    }

    pub fn bytes(&self) -> u64 {
        self.artifacts.iter().map(|(_, size)| size).sum()
    }

    /// Makes attempts until one holds what stands there.
    pub fn attempt<T>(&mut self, mut once: impl FnMut(&Source) -> Result<Attempt<T>, Error>) -> Result<(T, Captured), Error> {
        let mut attempts = 0;
        loop {
            let changed = match once(self)? {
                Attempt::Done(done, captured) => return Ok((done, captured)),
                Attempt::Changed(path) => path,
            };
            attempts += 1;
            if attempts == ATTEMPTS {
                return Err(Error::Changing(changed));
            }
            std::thread::sleep(PAUSE);
            self.look_again()?;
        }
    }

    /// Files come and go while an agent works, and whole sessions are archived.
    fn look_again(&mut self) -> Result<(), Error> {
        let Selected { agent, home, session } = &self.selected;
        let mut found = placed::find(*agent, home, &session.native)?;
        let same = found.iter().position(|place| place.transcript == session.transcript).unwrap_or(0);
        if found.is_empty() {
            return Err(Error::NoSuchSession(session.native.to_string()));
        }
        self.selected.session = found.swap_remove(same);
        let Selected { agent, home, session } = &self.selected;
        self.artifacts = sized(*agent, home, session)?;
        Ok(())
    }

    pub fn capture<T: Target>(&self, env: &Env, into: &mut T, progress: &dyn Progress) -> Result<Capture, Error>
    where
        Error: From<T::Error>,
    {
        let mut summary = None;
        if let Some(work) = &self.work {
            match work.take(into, progress)? {
                Taken::Done(taken) => summary = Some(taken),
                Taken::Changed(path) => return Ok(Capture::Changed(path)),
            }
        }
        let captured = capture::capture(self.artifacts.iter().map(|(artifact, _)| artifact), env.now(), into, progress)?;
        Ok(match captured {
            Capture::Done(captured) => Capture::Done(Captured { workspace: summary, ..captured }),
            changed => changed,
        })
    }

    /// What its user asked for last, as far as it was captured.
    fn prompt(&self, captured: &Captured) -> Option<String> {
        self.selected.agent.last_prompt(&self.selected.session.transcript, captured.conversation)
    }

    /// All but the files.
    pub fn manifest(&self, env: &Env, device: &Device, captured: &Captured) -> Manifest {
        let session = &self.selected.session;
        Manifest {
            schema: MANIFEST_SCHEMA.to_owned(),
            requires: Vec::new(),
            sid: session.sid().to_string(),
            agent: session.agent.to_owned(),
            native_id: session.native.to_string(),
            agent_version: session.version.clone(),
            title: session.title.clone(),
            prompt: self.prompt(captured),
            created: time::format(env.now()),
            origin: Origin {
                device: device.name.clone(),
                home: path::to_text(&self.selected.home.root),
                cwd: session.cwd.as_deref().map(path::to_text),
                more: Map::new(),
            },
            repository: session.cwd.as_deref().and_then(repository),
            workspace: captured.workspace.as_ref().map(|workspace| workspace.numbers.clone()),
            files: Vec::new(),
            more: Map::new(),
        }
    }
}

/// What `restore` would refuse is of no use to anybody: better said here, where the session still is.
pub fn refuse_giant(bytes: u64) -> Result<(), Error> {
    let limits = Limits::default();
    if bytes > limits.bytes {
        return Err(capsule::Error::TooLarge(format!("{bytes} bytes, and {} can be restored", limits.bytes)).into());
    }
    Ok(())
}

/// Everything that belongs to a session, with its size.
fn sized(agent: &dyn Agent, home: &Home, session: &Session) -> Result<Vec<(Artifact, u64)>, Error> {
    let artifacts = agent.artifacts(home, session)?;
    let most = Limits::default().files;
    if artifacts.len() > most {
        return Err(capsule::Error::TooLarge(format!("{} files, and {most} can be restored", artifacts.len())).into());
    }
    let with_size = |artifact| {
        let size = sessions::size_of(&artifact);
        (artifact, size)
    };
    Ok(artifacts.into_iter().map(with_size).collect())
}

fn repository(cwd: &Path) -> Option<Repository> {
    let repo = Repo::around(cwd)?;
    let below = cwd.strip_prefix(&repo.root).map(path::to_text).unwrap_or_default();
    Some(Repository { root: path::to_text(&repo.root), below, branch: repo.branch, head: repo.head, more: Map::new() })
}
