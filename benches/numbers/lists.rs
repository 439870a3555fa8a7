//! What is done before a session is chosen: starting, and listing.

use super::Bench;
use super::measure::{median, millis, run, system_calls};
use super::transcripts::thousand;

impl Bench {
    pub fn listing(&mut self) {
        let home = self.home("many");
        thousand(&home);
        if self.smoke {
            let Some(calls) = system_calls(&mut self.ours(&home, &["sessions", "--all"])) else {
                println!("SKIPPED: strace is not installed, system calls were not counted");
                return;
            };
            self.row("system calls, sessions --all over 1,000 sessions", calls.total.to_string(), None, calls.total as f64, 9000.0);
            self.row("programs started by it", calls.programs.to_string(), None, calls.programs as f64, 1.0);
            return;
        }
        let ours = median(|| run(&mut self.ours(&home, &["sessions", "--all"])));
        self.row("sessions --all over 1,000 (250 MB), titles; ratio to 40 ms", millis(ours), None, ours.as_secs_f64() / 0.040, 1.0);
    }

    pub fn start_up(&mut self) {
        let home = self.home("start");
        let ours = median(|| run(&mut self.ours(&home, &["--version"])));
        self.row("start-up, --version; ratio to 10 ms", millis(ours), None, ours.as_secs_f64() / 0.010, 1.0);
    }

    /// Of the repository: each a chain of its own.
    pub fn chains(&mut self) {
        let home = self.home("chains");
        self.repository(&home);
        let count = if self.smoke { 50 } else { 1_000 };
        for n in 0..count {
            let id = format!("bbbbbbbb-{n:04x}-4000-8000-000000000001");
            self.session(&home, &id, 2_000);
            run(&mut self.ours(&home, &["checkpoint", &id, "-q"]));
        }
        run(&mut self.ours(&home, &["list"]));
        if self.smoke {
            let Some(calls) = system_calls(&mut self.ours(&home, &["list"])) else { return };
            self.count(&format!("programs started by list over {count} chains, itself included"), calls.programs as u64, 8);
            let Some(calls) = system_calls(&mut self.ours(&home, &["status", "--porcelain"])) else { return };
            self.count(&format!("programs started by status over {count} chains, itself included"), calls.programs as u64, 4);
            return;
        }
        let ours = median(|| run(&mut self.ours(&home, &["list"])));
        self.row("list over 1,000 chains; ratio to 100 ms", millis(ours), None, ours.as_secs_f64() / 0.1, 1.0);
        // Each of them stands in its agent's home as well.
        let ours = median(|| run(&mut self.ours(&home, &["status", "--porcelain"])));
        self.row("status --porcelain over 1,000 sessions with a chain each", millis(ours), None, ours.as_secs_f64() / 0.1, 1.0);
        std::fs::remove_dir_all(home).expect("it was made");
    }
}
