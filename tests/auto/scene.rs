//! A machine on which a watcher runs, or must not.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::hooks::scene::soon;
use crate::support::sandbox::{Machine, fixture};

/// A genuine rollout of Codex, as `sessions/<day>/<name>`.
pub const ROLLOUT: &str = "rollout-2026-11-21T04-03-33-01a1fc46-14ce-7500-867f-3e8961b3c90d.jsonl";

impl Machine {
    /// The processes that watch for this machine, whoever of them will stay.
    pub fn watchers(&self) -> Vec<u32> {
        self.of_ours("auto watch")
    }

    /// Those that make checkpoints in the background at this moment, without what they are about to start.
    pub fn workers(&self) -> Vec<u32> {
        let leads = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(3)) == Some(&pid.to_string())
        };
        self.of_ours("--foreground").into_iter().filter(leads).collect()
    }

    fn of_ours(&self, words: &str) -> Vec<u32> {
        let found = self.processes(|command| command.contains(words)).into_iter();
        found.filter_map(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok()).collect()
    }

    /// The only one there is.
    #[track_caller]
    pub fn watcher(&self) -> u32 {
        soon("a watcher runs", || self.json(["auto", "status"])["watcher"]["running"] == true);
        // One that was killed holds its lock for a moment longer than it can be seen.
        let mut seen = (0, Vec::new());
        soon("there is one", || {
            let pid = self.json(["auto", "status"])["watcher"]["pid"].as_u64().unwrap_or_default();
            seen = (u32::try_from(pid).expect("a process"), self.watchers());
            seen.1 == [seen.0]
        });
        seen.0
    }

    pub fn no_watcher(&self) {
        soon("no watcher runs", || self.watchers().is_empty());
    }

    pub fn kill(&self, signal: &str, pid: u32) {
        assert!(self.command("kill").args([signal, &pid.to_string()]).status().expect("kill").success());
    }

    /// What `auto` says of an agent here.
    pub fn looked_after(&self, agent: &str) -> Value {
        let status = self.json(["auto", "status"]);
        let all = status["agents"].as_array().expect("a list");
        all.iter().find(|one| one["agent"] == agent).unwrap_or_else(|| panic!("{agent}: {status:#}")).clone()
    }

    pub fn auto_dir(&self) -> PathBuf {
        self.home.join(".config/samesession/auto")
    }

    /// What the watcher has written down.
    pub fn auto_log(&self) -> String {
        fs::read_to_string(self.auto_dir().join("log")).unwrap_or_default()
    }

    /// The genuine rollout, as if it had been made here on this day.
    pub fn with_rollout(&self, day: &str) -> PathBuf {
        let text = fs::read_to_string(fixture("codex-0.169.0/.codex/sessions/2026/11/21").join(ROLLOUT)).expect("the fixture");
        let path = self.codex().join("sessions").join(day).join(ROLLOUT);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(&path, text.replace("/home/dev/src/demo.app_one", self.cwd.to_str().expect("text"))).expect("written");
        path
    }
}
