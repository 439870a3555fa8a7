//! What a hook does while somebody waits for it: as little as can be, and never anything that fails.
//!
//! Of an agent: ask for the session to be looked at, and see to it that somebody does. Of a push: see whether anything has
//! changed, and wait for a while for whoever sends it.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process_group};

use super::{linking, log, policy, queue, tell, waiting, work};
use crate::agent::hooks::{self, Moment};
use crate::device::Device;
use crate::env::Env;
use crate::flow::auto::register;
use crate::flow::background::{self, Says};
use crate::flow::{Error, remotes, with_causes};
use crate::git::Repository;
use crate::hook::Reach;
use crate::id::SessionId;

/// A hook as it was called.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    pub name: &'a str,
    pub agent: Option<&'a str>,
    /// Which repositories it serves.
    pub reach: Reach,
    /// What Git has passed to it.
    pub args: &'a [String],
}

/// What the hook says to whoever called it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Nothing,
    /// To the agent, in its own form.
    Context(String),
    /// To the user.
    Note(String),
    /// To the user, whose push shall not be.
    Refused(String),
}

/// Input is not read unless somebody has something to say.
pub fn run(env: &Env, asked: &Asked<'_>, input: impl Read) -> Answer {
    // Our own pushes are nobody's business.
    if background::is_worker(env) {
        return Answer::Nothing;
    }
    let done = match asked.agent {
        Some(_) => of_agent(env, asked, input),
        None if asked.name == super::git::PRE_PUSH => before_push(env, asked),
        None if super::git::WAITING.contains(&asked.name) => what_waits(env, asked),
        None if super::git::LINKING.contains(&asked.name) => linking::mark(env, asked).map(|()| Answer::Nothing),
        None => Ok(Answer::Nothing),
    };
    done.unwrap_or_else(|error| {
        if let Some(common) = common(env.cwd()) {
            log::add(&common, env.now(), &format!("{}: NOT done: {}", asked.name, with_causes(&error)));
        }
        Answer::Nothing
    })
}

fn of_agent(env: &Env, asked: &Asked<'_>, input: impl Read) -> Result<Answer, Error> {
    let Some(agent) = asked.agent.and_then(crate::agent::by_name) else { return Ok(Answer::Nothing) };
    let Some((table, moment)) = agent.hooks().and_then(|table| Some((table, table.moment(asked.name)?))) else {
        return Ok(Answer::Nothing);
    };
    let mut said = Vec::new();
    // The last answer of a turn is part of it; whatever is longer than this is none.
    let _ = input.take(64 << 20).read_to_end(&mut said);
    let Some(call) = agent.hook_call(asked.name, &said) else { return Ok(Answer::Nothing) };
    let common = common(&call.cwd);
    let registered = common.as_deref().and_then(|common| register::at_work(env, common));
    // An agent calls in every directory it is used in: where it is about nothing, nothing is left.
    if asked.reach == Reach::Auto && !registered.as_ref().is_some_and(|one| one.hooks.iter().any(|name| name == agent.name())) {
        return Ok(Answer::Nothing);
    }
    if moment == Moment::Started {
        let words = tell::words(env, agent, &call, asked.reach)?;
        return Ok(words.map_or(Answer::Nothing, |words| Answer::Context(hooks::context(asked.name, &words))));
    }
    let Some(common) = common else { return Ok(Answer::Nothing) };
    let sid = SessionId::derive(agent.name(), &call.native);
    queue::ask(&common, &sid, work::wanted(moment, asked.reach, registered.as_ref()))?;
    // Whoever holds it now looks for requests before it goes.
    if queue::try_hold(&common, &sid)?.is_none() {
        return Ok(Answer::Nothing);
    }
    // By the name that stands in the table: the worker is given what every hook gets.
    let event = table.events.iter().find(|(_, known)| *known == moment).map_or(asked.name, |(name, _)| name);
    let mut args = worker(asked.reach);
    args.extend(["--agent".into(), agent.name().into(), event.into()]);
    background::start(env, &call.cwd, &args, &call.to_json(), Says::Answer)?;
    Ok(Answer::Nothing)
}

/// The words by which the work is begun, but for what it is about.
pub fn worker(reach: Reach) -> Vec<OsString> {
    let mut args: Vec<OsString> = ["hook", "run", "--json", "--foreground"].map(OsString::from).to_vec();
    args.extend(reach.flag().split_whitespace().map(OsString::from));
    args
}

/// Found without starting Git: an agent waits for it.
pub fn common(dir: &Path) -> Option<PathBuf> {
    gix::discover(dir).ok().map(|repo| repo.common_dir().to_owned()).and_then(|dir| dir.canonicalize().ok())
}

fn before_push(env: &Env, asked: &Asked<'_>) -> Result<Answer, Error> {
    let repo = Repository::open(env, env.cwd())?;
    let policy = policy::of(&repo);
    let strictly = |error: &Error| match policy.strict {
        true => Answer::Refused(format!("sessions cannot be sent: {}", with_causes(error))),
        false => Answer::Note(format!("sessions were not sent: {}", with_causes(error))),
    };
    if !policy::concerns(env, &repo, asked.reach) || Device::load(env)?.is_none() {
        return Ok(Answer::Nothing);
    }
    let begun = || -> Result<Option<Child>, Error> {
        let Some(remote) = remotes::store(&repo, None)? else { return Ok(None) };
        if work::pending(env, &repo, remote)?.is_empty() {
            return Ok(None);
        }
        let mut args = worker(asked.reach);
        args.push(asked.name.into());
        background::start(env, env.cwd(), &args, b"", Says::Answer).map(Some)
    };
    match begun() {
        Ok(None) => Ok(Answer::Nothing),
        Ok(Some(child)) => Ok(wait(child, &policy)),
        Err(error) => {
            log::add(&repo.common, env.now(), &format!("{}: NOT done: {}", asked.name, with_causes(&error)));
            Ok(strictly(&error))
        }
    }
}

/// For as long as a push may be held up. What is not done then goes on without us, but in strict mode.
fn wait(mut child: Child, policy: &policy::Policy) -> Answer {
    let (done, answers) = mpsc::channel();
    let stdout = child.stdout.take();
    std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = stdout.map(|stdout| stdout.take(1 << 20).read_to_end(&mut said));
        let _ = done.send(said);
    });
    let answer = |refused: bool, words: String| if refused { Answer::Refused(words) } else { Answer::Note(words) };
    let Ok(said) = answers.recv_timeout(policy.timeout) else {
        if policy.strict {
            let _ = kill_process_group(Pid::from_child(&child), Signal::TERM);
            return Answer::Refused(format!("sessions could not be sent within {} s", policy.timeout.as_secs()));
        }
        return Answer::Note("sessions are still being sent; 'git samesession hook status' tells how that ends".to_owned());
    };
    let whole = child.wait().is_ok_and(|status| status.success());
    let said: serde_json::Value = serde_json::from_slice(&said).unwrap_or_default();
    match said["trouble"].as_str().or(said["message"].as_str()) {
        Some(trouble) => answer(policy.strict, format!("sessions were not sent: {trouble}")),
        None if !whole => answer(policy.strict, "sessions were not sent: whoever was to do that has died".to_owned()),
        None => Answer::Nothing,
    }
}

fn what_waits(env: &Env, asked: &Asked<'_>) -> Result<Answer, Error> {
    // A checkout of single files moves nobody anywhere.
    if asked.name == "post-checkout" && asked.args.get(2).is_some_and(|flag| flag == "0") {
        return Ok(Answer::Nothing);
    }
    let repo = Repository::open(env, env.cwd())?;
    if !policy::of(&repo).waiting || !policy::concerns(env, &repo, asked.reach) {
        return Ok(Answer::Nothing);
    }
    Ok(match waiting::count(env, repo)? {
        0 => Answer::Nothing,
        1 => Answer::Note("1 session waits for this device; 'git samesession list' shows it".to_owned()),
        n => Answer::Note(format!("{n} sessions wait for this device; 'git samesession list' shows them")),
    })
}
