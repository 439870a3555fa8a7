//! Which sessions have changed, and when each is to be looked after: no sooner than its user has said, and the longer a
//! checkpoint takes the more seldom.
//!
//! Reads heads and tails, by the agents' own discovery; makes nothing. What must stay true: a session that has changed is due
//! in the end; one that cannot be dealt with is tried again, ever more seldom, and is in no other's way.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::register::Registration;
use crate::agent::hooks::Call;
use crate::agent::{Agent, Session};
use crate::env::Env;
use crate::flow::hook::queue::{self, Stand};
use crate::flow::hook::run;
use crate::flow::{Error, placed};
use crate::id::{NativeId, SessionId};

/// Checkpoints of one session take this part of the time at most.
const SHARE: u32 = 10;
/// How long something that cannot be done is left alone at most.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// A repository that is watched for.
#[derive(Debug)]
pub struct Watched {
    pub registration: Registration,
    /// Sessions that were not touched since are of no interest.
    pub since: SystemTime,
}

pub struct Due {
    pub agent: &'static dyn Agent,
    pub call: Call,
    pub common: PathBuf,
    pub push: bool,
    pub every: Duration,
    at: Instant,
}

#[derive(Default)]
pub struct Sessions {
    /// How each stood when it was last looked at.
    seen: HashMap<(&'static str, NativeId), Stand>,
    due: BTreeMap<SessionId, Due>,
    past: HashMap<SessionId, Past>,
}

struct Past {
    ended: Instant,
    took: Duration,
    failures: u32,
}

impl Past {
    fn next(&self, every: Duration) -> Instant {
        let pause = every.max(self.took * SHARE);
        let pause = if self.failures == 0 { pause } else { (pause * 2_u32.pow(self.failures.min(12))).min(LONGEST).max(every) };
        self.ended + pause
    }
}

impl Sessions {
    /// What was left alone may be of interest now.
    pub fn forget_looks(&mut self) {
        self.seen.clear();
        self.due.clear();
    }

    pub fn look(&mut self, env: &Env, agent: &'static dyn Agent, repositories: &[Watched]) -> Result<(), Error> {
        let mut commons: HashMap<PathBuf, Option<PathBuf>> = HashMap::new();
        for session in placed::discover(agent, &agent.home(env)?)?.sessions {
            let stand = Stand::of(&session);
            let key = (agent.name(), session.native.clone());
            if session.parent.is_some() || self.seen.get(&key) == Some(&stand) {
                continue;
            }
            if let Some((due, sid)) = of_interest(agent, &session, &stand, repositories, &mut commons) {
                let at = self.past.get(&sid).map_or(due.at, |past| past.next(due.every));
                // Whoever waits for another try goes on waiting.
                let at = self.due.get(&sid).map_or(at, |known| known.at);
                self.due.insert(sid, Due { at, ..due });
            }
            self.seen.insert(key, stand);
        }
        Ok(())
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Instant> {
        self.due.values().map(|due| due.at).min()
    }

    pub fn take(&mut self, now: Instant) -> Option<(SessionId, Due)> {
        let (sid, _) = self.due.iter().filter(|(_, due)| due.at <= now).min_by_key(|(_, due)| due.at)?;
        let sid = sid.clone();
        self.due.remove(&sid).map(|due| (sid, due))
    }

    pub fn done(&mut self, sid: SessionId, due: Due, took: Duration, well: bool) {
        let failures = if well { 0 } else { self.past.get(&sid).map_or(0, |past| past.failures) + 1 };
        let past = Past { ended: Instant::now(), took, failures };
        if !well {
            self.due.insert(sid.clone(), Due { at: past.next(due.every), ..due });
        }
        self.past.insert(sid, past);
    }
}

fn of_interest(
    agent: &'static dyn Agent,
    session: &Session,
    stand: &Stand,
    repositories: &[Watched],
    commons: &mut HashMap<PathBuf, Option<PathBuf>>,
) -> Option<(Due, SessionId)> {
    let cwd = session.cwd.as_deref()?;
    let common = commons.entry(cwd.to_owned()).or_insert_with(|| common(cwd)).clone()?;
    let watched = repositories.iter().find(|one| one.registration.common == common && one.registration.watches(agent.name()))?;
    let sid = session.sid();
    // By whomever it was dealt with: a hook, a push.
    if session.modified < watched.since || Stand::last(&common, &sid).as_ref() == Some(stand) {
        return None;
    }
    let call = Call { native: session.native.clone(), cwd: cwd.to_owned() };
    let (push, every) = (watched.registration.push, watched.registration.every());
    Some((Due { agent, call, common, push, every, at: Instant::now() }, sid))
}

/// A directory that is gone belongs to nothing.
fn common(cwd: &Path) -> Option<PathBuf> {
    run::common(cwd).filter(|_| cwd.is_dir())
}

/// From when on changes in this repository are of interest.
pub fn since(common: &Path, now: SystemTime) -> SystemTime {
    queue::since(common, now).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_or_fails_comes_more_seldom() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let after = |took, failures| Past { ended: now, took, failures }.next(5 * second).duration_since(now);
        assert_eq!(after(second / 10, 0), 5 * second);
        assert_eq!(after(2 * second, 0), 20 * second);
        assert_eq!(after(second / 10, 1), 10 * second);
        assert_eq!(after(second / 10, 2), 20 * second);
        assert_eq!(after(second, 40), LONGEST);
        let long = Past { ended: now, took: second, failures: 3 }.next(LONGEST * 2);
        assert_eq!(long.duration_since(now), LONGEST * 2);
    }
}
