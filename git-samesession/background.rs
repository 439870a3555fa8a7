//! What is done beside a running agent: its lease renewed, and checkpoints now and then where that is asked for.
//!
//! Each is a process of its own that can ask nobody anything, one at a time. What must stay true: whatever becomes of it,
//! the agent and its terminal are not disturbed.

use std::process::Child;
use std::time::{Duration, Instant};

use samesession::env::Env;
use samesession::git::Repository;
use samesession::id::SessionId;

use crate::detached::Detached;

pub struct Every {
    pub heartbeat: Duration,
    pub checkpoint: Option<Duration>,
}

pub struct Background {
    place: Detached,
    sid: String,
    remote: Option<String>,
    every: Every,
    renewed: Instant,
    checkpointed: Instant,
    running: Option<Child>,
}

impl Background {
    pub fn new(env: &Env, repo: &Repository, sid: &SessionId, remote: Option<&str>, every: Every) -> Background {
        let now = Instant::now();
        Background {
            place: Detached::new(env, repo, "resume.log"),
            sid: sid.to_string(),
            remote: remote.map(str::to_owned),
            every,
            renewed: now,
            checkpointed: now,
            running: None,
        }
    }

    pub fn tick(&mut self, now: Instant) {
        if let Some(child) = &mut self.running {
            if matches!(child.try_wait(), Ok(None)) {
                return;
            }
            self.running = None;
        }
        let due = |since: Instant, every: Duration| now.duration_since(since) >= every;
        let args = if self.every.checkpoint.is_some_and(|every| due(self.checkpointed, every)) {
            // A checkpoint that is sent renews the lease, too.
            (self.checkpointed, self.renewed) = (now, now);
            let mut args = vec!["--quiet", "checkpoint", &self.sid];
            args.extend(self.remote.is_some().then_some("--push"));
            args
        } else if self.remote.is_some() && due(self.renewed, self.every.heartbeat) {
            self.renewed = now;
            vec!["--quiet", "lease", "renew", &self.sid]
        } else {
            return;
        };
        // It is only a help: without it the lease comes free in its time.
        self.running = self.place.start(&args.into_iter().map(str::to_owned).collect::<Vec<_>>()).ok();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // The checkpoint that comes now would wait for what this one writes anyway.
        if let Some(child) = &mut self.running {
            let _ = child.wait();
        }
    }
}
