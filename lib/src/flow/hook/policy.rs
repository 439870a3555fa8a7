//! What the user has set about hooks, in Git's configuration.

use std::time::Duration;

use crate::env::Env;
use crate::flow::auto::register;
use crate::flow::retention::Retention;
use crate::flow::settings::STORE;
use crate::git::Repository;
use crate::hook::Reach;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long a push of the user's may wait for us.
    pub timeout: Duration,
    /// After which time work in the background is given up.
    pub deadline: Duration,
    /// A push whose sessions cannot be sent is refused.
    pub strict: bool,
    /// After a checkout or merge it is said how many sessions wait.
    pub waiting: bool,
    /// Which checkpoints stay, where chains are not to grow for ever.
    pub keep: Option<Retention>,
}

pub fn of(repo: &Repository) -> Policy {
    let seconds = |key: &str, default: u64| {
        let set = repo.config.get(key).and_then(|value| value.trim_end_matches('s').trim().parse().ok());
        Duration::from_secs(set.unwrap_or(default))
    };
    let flag = |key: &str| repo.config.flag(key) == Some(true);
    Policy {
        timeout: seconds("samesession.hook.timeout", 10),
        deadline: seconds("samesession.hook.deadline", 600),
        strict: flag("samesession.hook.strict"),
        waiting: flag("samesession.hook.waiting"),
        keep: repo.config.get("samesession.keep").and_then(Retention::parse),
    }
}

/// A hook that serves every repository is about those alone in which `init` has said where sessions go, or `auto on` was said.
pub fn concerns(env: &Env, repo: &Repository, reach: Reach) -> bool {
    let has_store = || repo.config.get(STORE).is_some_and(|store| !store.is_empty());
    let is_auto = || register::at_work(env, &repo.common).is_some();
    match reach {
        Reach::Here => true,
        Reach::Stores => has_store() || is_auto(),
        Reach::Auto => is_auto(),
    }
}
