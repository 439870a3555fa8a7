//! What hooks are for: checkpoints of the sessions that changed, and sending them to where sessions go.
//!
//! Runs in the background; nobody can be asked anything. One session that cannot be dealt with is in no other's way.

use std::cell::Cell;
use std::path::Path;

use super::queue::{self, Held, Request, Stand};
use super::{Asked, log, policy};
use crate::agent::hooks::{Call, Moment};
use crate::agent::{Agent, Session};
use crate::device::Device;
use crate::env::Env;
use crate::flow::auto::Registration;
use crate::flow::background;
use crate::flow::commit::{self, State};
use crate::flow::exchange::{self, Arrived};
use crate::flow::ledger::Ledger;
use crate::flow::select::Selector;
use crate::flow::shorten::{self, Keep};
use crate::flow::source::Source;
use crate::flow::{Error, keys, placed, release, remotes, sessions, with_causes, workspace};
use crate::git::Repository;
use crate::hook::Reach;
use crate::id::SessionId;
use crate::progress::Silent;
use crate::seal::{Identities, NoCallbacks};
use crate::store::refs;

/// What the watcher of `auto` calls a session that has changed, whose agent may have no names for moments.
pub const CHANGED: &str = "changed";

/// What was done for each session.
#[derive(Debug, Default)]
pub struct Report {
    pub rows: Vec<Row>,
    /// Why not everything that was to be sent has arrived.
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, serde::Serialize)]
pub struct Row {
    pub sid: String,
    pub checkpoint: Option<&'static str>,
    pub push: Option<&'static str>,
}

/// Does what a hook of this name is there for, here and now.
pub fn foreground(env: &Env, asked: &Asked<'_>, input: &[u8]) -> Result<Report, Error> {
    let unknown = || Error::NoHook(asked.name.chars().take(40).collect());
    match asked.agent {
        None if asked.name == super::git::PRE_PUSH => before_push(env, asked.reach),
        None => Err(unknown()),
        Some(name) => {
            let agent = crate::flow::agent_named(name)?;
            if asked.name == CHANGED {
                let call = Call::parse_own(input).ok_or_else(unknown)?;
                return for_session(env, agent, &call, asked.reach);
            }
            agent.hooks().and_then(|hooks| hooks.moment(asked.name)).ok_or_else(unknown)?;
            let call = agent.hook_call(asked.name, input).ok_or_else(unknown)?;
            for_session(env, agent, &call, asked.reach)
        }
    }
}

/// A session that changed, or has not been sent as it is.
#[derive(Debug)]
pub struct Pending {
    sid: SessionId,
    session: Session,
    changed: bool,
}

/// Those of this repository; quick, since every push waits for it.
pub fn pending(env: &Env, repo: &Repository, remote: &str) -> Result<Vec<Pending>, Error> {
    let found = sessions::sessions(env, &sessions::Options::default())?.sessions;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let since = queue::since(&repo.common, env.now())?;
    let known = refs::all(&crate::store::Store::open(repo.clone())?)?;
    let mut pending = Vec::new();
    for session in found.into_iter().map(|listed| listed.session) {
        let sid = session.sid();
        let known = known.get(&sid);
        let local = known.and_then(|known| known.local);
        if local.is_none() && session.modified < since {
            continue;
        }
        let changed = Stand::last(&repo.common, &sid) != Some(Stand::of(&session));
        let unsent = local.is_some() && known.and_then(|known| known.tracking.get(remote).copied()) != local;
        if changed || unsent {
            pending.push(Pending { sid, session, changed });
        }
    }
    Ok(pending)
}

fn before_push(env: &Env, reach: Reach) -> Result<Report, Error> {
    let repo = background::unattended(Repository::open(env, env.cwd())?, env);
    background::end_after(policy::of(&repo).deadline, &repo.common, env);
    let Some(job) = Job::begin(env, &repo, reach)? else { return Ok(Report::default()) };
    let Some(remote) = remotes::store(&repo, None)?.map(str::to_owned) else { return Ok(Report::default()) };
    let mut report = Report::default();
    let mut send = Vec::new();
    for Pending { sid, session, changed } in pending(env, &repo, &remote)? {
        let mut held = queue::hold(&repo.common, &sid)?;
        let checkpoint = if changed { job.checkpoint(&session, &mut held, &mut report) } else { None };
        if checkpoint.is_some() || !changed {
            send.push(sid.clone());
        }
        report.rows.push(Row { sid: sid.to_string(), checkpoint, push: None });
    }
    job.push(&remote, &send, &mut report);
    job.log("pre-push", &report);
    Ok(report)
}

/// What an agent's hook asks for, and what others ask for while it is done.
fn for_session(env: &Env, agent: &'static dyn Agent, call: &Call, reach: Reach) -> Result<Report, Error> {
    let sid = SessionId::derive(agent.name(), &call.native);
    let Some(session) = placed::find(agent, &agent.home(env)?, &call.native)?.into_iter().next() else {
        // Nobody has written a word of it yet.
        let _ = super::run::common(&call.cwd).and_then(|common| queue::take(&common, &sid));
        return Ok(Report::default());
    };
    // Where the session belongs, wherever its agent has gone meanwhile.
    let dir = session.cwd.clone().filter(|dir| dir.is_dir()).unwrap_or_else(|| call.cwd.clone());
    let repo = background::unattended(Repository::open(env, &dir)?, env);
    background::end_after(policy::of(&repo).deadline, &repo.common, env);
    // Requests lie where the agent was when its hook was called.
    let common = super::run::common(&call.cwd).unwrap_or_else(|| repo.common.clone());
    let mut report = Report::default();
    loop {
        let Some(mut held) = queue::try_hold(&common, &sid)? else { return Ok(report) };
        while let Some(request) = queue::take(&common, &sid) {
            let Some(job) = Job::begin(env, &repo, reach)? else { continue };
            report = Report::default();
            let found = placed::find(agent, &agent.home(env)?, &call.native)?.into_iter().next();
            let Some(session) = found else { continue };
            let checkpoint = job.checkpoint(&session, &mut held, &mut report);
            report.rows.push(Row { sid: sid.to_string(), checkpoint, push: None });
            let remote = remotes::store(&repo, None).ok().flatten().filter(|_| request.push && checkpoint.is_some());
            if let Some(remote) = remote.map(str::to_owned) {
                job.push(&remote, std::slice::from_ref(&sid), &mut report);
            }
            job.log(agent.title(), &report);
            job.thin_out(&sid);
        }
        drop(held);
        if !queue::is_asked(&common, &sid) {
            return Ok(report);
        }
    }
}

/// What is to be done at this moment. `auto on` sends everything or nothing.
pub fn wanted(moment: Moment, reach: Reach, registered: Option<&Registration>) -> Request {
    let always = registered.is_some_and(|registered| registered.push);
    Request { push: always || (moment == Moment::Ended && reach != Reach::Auto) }
}

struct Job<'a> {
    env: &'a Env,
    repo: &'a Repository,
    device: Device,
    identities: Identities,
    /// The number of the checkpoint that was just made.
    made: Cell<Option<u64>>,
}

impl<'a> Job<'a> {
    /// Nothing to do where hooks have no business, or this machine has no keys: nobody is there to be told of new ones.
    fn begin(env: &'a Env, repo: &'a Repository, reach: Reach) -> Result<Option<Job<'a>>, Error> {
        let Some(device) = Device::load(env)?.filter(|_| policy::concerns(env, repo, reach)) else { return Ok(None) };
        let identities = keys::identities(env, Some(&device), &[], None, &NoCallbacks)?;
        Ok(Some(Job { env, repo, device, identities, made: Cell::new(None) }))
    }

    fn ledger(&self) -> Result<Ledger<'_>, Error> {
        Ledger::of(self.env, self.repo.clone(), Some(&self.device), &self.identities)
    }

    /// What became of it; `None` if there is none now.
    fn checkpoint(&self, session: &Session, held: &mut Held, report: &mut Report) -> Option<&'static str> {
        // What comes to it while it is read counts as changed next time.
        let stand = Stand::of(session);
        if held.stand() == stand {
            return Some("unchanged");
        }
        match self.commit(session) {
            Ok(done) => {
                held.remember(&stand);
                self.made.set((done.state == State::Made).then_some(done.sequence));
                Some(match done.state {
                    State::Made => "made",
                    State::Unchanged => "unchanged",
                    State::Behind => "behind",
                })
            }
            Err(Error::Deleted { .. } | Error::NothingYet(_)) => {
                held.remember(&stand);
                None
            }
            Err(error) => {
                trouble(report, &session.sid(), &error);
                None
            }
        }
    }

    fn commit(&self, session: &Session) -> Result<commit::Outcome, Error> {
        let source = Source::find(self.env, &Selector::Named(session.native.to_string()), Some(session.agent))?;
        let mut source = source.with_workspace(self.env, &workspace::Options::default())?;
        let options = commit::Options::default();
        commit::commit(&self.ledger()?, &self.device, &mut source, &options, &NoCallbacks, &Silent)
    }

    /// Every so often, as the user has set it: here, and where sessions go. Whatever stands in the way is for the log.
    fn thin_out(&self, sid: &SessionId) {
        let (Some(sequence), Some(retention)) = (self.made.take(), policy::of(self.repo).keep) else { return };
        if sequence % retention.last as u64 != 0 {
            return;
        }
        let remote = remotes::store(self.repo, None).ok().flatten();
        let keep = Keep { thinned: Some(retention), ..Keep::default() };
        let done = self.ledger().and_then(|ledger| {
            let done = shorten::shorten(&ledger, sid, &keep, remote, &mut Vec::new())?;
            if done.is_some() {
                release::release(&ledger, false, &Silent)?;
            }
            Ok(done)
        });
        let words = match done {
            Ok(None) => return,
            Ok(Some(done)) => format!("{} shortened: {} checkpoints stay, {} went", sid.short(), done.kept, done.dropped),
            Err(error) => format!("{} NOT shortened: {}", sid.short(), with_causes(&error)),
        };
        log::add(&self.repo.common, self.env.now(), &words);
    }

    fn push(&self, remote: &str, sids: &[SessionId], report: &mut Report) {
        if sids.is_empty() {
            return;
        }
        let pushed = self.ledger().and_then(|ledger| exchange::push(&ledger, remote, Some(sids), &NoCallbacks, &mut Vec::new(), &Silent));
        match pushed {
            Err(error) => report.trouble = Some(with_causes(&error)),
            Ok(pushed) => {
                for one in pushed {
                    let word = match one.result {
                        Ok(Arrived::Pushed) => "pushed",
                        Ok(Arrived::UpToDate) => "up-to-date",
                        Ok(Arrived::Joined) => "joined",
                        Err(error) => {
                            trouble(report, &one.sid, &error);
                            "refused"
                        }
                    };
                    if let Some(row) = report.rows.iter_mut().find(|row| row.sid == one.sid.as_str()) {
                        row.push = Some(word);
                    }
                }
            }
        }
    }

    fn log(&self, who: &str, report: &Report) {
        write_down(self.env, &self.repo.common, who, report);
    }
}

fn write_down(env: &Env, common: &Path, who: &str, report: &Report) {
    for row in &report.rows {
        let words = [row.checkpoint.map(|word| format!("checkpoint {word}")), row.push.map(str::to_owned)];
        let words: Vec<String> = words.into_iter().flatten().collect();
        if !words.is_empty() {
            log::add(common, env.now(), &format!("{who}: {} {}", &row.sid[..8], words.join(", ")));
        }
    }
    if let Some(trouble) = &report.trouble {
        log::add(common, env.now(), &format!("{who}: NOT done: {trouble}"));
    }
}

fn trouble(report: &mut Report, sid: &SessionId, error: &Error) {
    report.trouble = Some(format!("{}: {}", sid.short(), with_causes(error)));
}
