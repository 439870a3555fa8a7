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
}
