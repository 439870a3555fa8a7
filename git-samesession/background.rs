//! What is done beside a running agent: its lease renewed, and checkpoints now and then where that is asked for.
//!
//! Each is a process of its own that can ask nobody anything, one at a time. What must stay true: whatever becomes of it,
//! the agent and its terminal are not disturbed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use samesession::env::Env;
use samesession::flow::background::{self, Says};
use samesession::git::Repository;
use samesession::id::SessionId;

pub struct Every {
    pub heartbeat: Duration,
    pub checkpoint: Option<Duration>,
}

pub struct Background {
    env: Env,
    log: PathBuf,
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
            env: env.clone(),
            log: repo.private_dir().join("resume.log"),
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
        let args: Vec<OsString> = args.into_iter().map(OsString::from).collect();
        self.running = background::start(&self.env, self.env.cwd(), &args, b"", Says::Log(&self.log)).ok();
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
