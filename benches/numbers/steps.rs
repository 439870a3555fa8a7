//! A session that goes on: what each further checkpoint costs, here and on the way to a remote, beside restic.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::measure::{bytes_below, middle, millis, run};
use super::transcripts::grow;
use super::{Bench, installed};

const STEPS: usize = 20;
const STEP: usize = 20_000;

impl Bench {
    pub fn steps(&mut self) {
        let home = self.home("steps");
        let id = "eeeeeeee-0001-4000-8000-000000000001";
        let megabytes = if self.smoke { 10 } else { 100 };
        let session = self.session(&home, id, megabytes * 1_000_000);
        let objects = self.repository(&home);
        let remote = self.dir.path().join("steps.git");
        let address = remote.to_str().expect("UTF-8");
        run(&mut self.program(&home, "git", &["init", "-q", "--bare", address]));
        // So that packs arrive as they were sent, however few objects they hold.
        run(&mut self.program(&home, "git", &["-C", address, "config", "receive.unpackLimit", "1"]));
        let push = ["push", "-q", address, "refs/samesession/*"];
        run(&mut self.ours(&home, &["checkpoint", id, "-q"]));
        run(&mut self.program(&home, "git", &push));
        let there = bytes_below(&remote.join("objects"));
        let (mut times, mut sums, mut most) = (Vec::new(), Vec::new(), 0);
        for n in 0..STEPS {
            grow(&session, id, "/bench", STEP, n as u64);
            let before = bytes_below(&objects);
            times.push(run(&mut self.ours(&home, &["checkpoint", id, "-q"])));
            most = most.max(bytes_below(&objects) - before);
            sums.push(run(&mut self.program(&home, "sha256sum", &[session.to_str().expect("UTF-8")])));
        }
        if !self.smoke {
            let (ours, theirs) = (middle(times), middle(sums));
            let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
            self.row(
                &format!("next checkpoint, {megabytes} MB and 20 KB more / sha256sum"),
                millis(ours),
                Some(millis(theirs)),
                ratio,
                1.0,
            );
        }
        self.count("its new objects, bytes, the most of twenty", most, 32 << 10);
        let all = bytes_below(&objects);
        run(&mut self.program(&home, "git", &push));
        let sent = bytes_below(&remote.join("objects")) - there;
        self.count(&format!("twenty of them, then git push of {all} bytes: sent"), sent, 600_000);
        fs::remove_dir_all(home).expect("it was made");
    }

    /// The same twenty steps by a program that is made for them; it has no bound.
    pub fn restic(&mut self) {
        if !installed(&["restic"]) {
            println!("SKIPPED: restic is not installed");
            return;
        }
        let home = self.home("restic");
        let id = "eeeeeeee-0002-4000-8000-000000000002";
        let session = self.session(&home, id, 100_000_000);
        let (objects, theirs) = (self.repository(&home), self.dir.path().join("restic.repo"));
        let repo = theirs.to_str().expect("UTF-8");
        let file = session.to_str().expect("UTF-8");
        let restic = |args: &[&str]| {
            let mut command = self.program(&home, "restic", &["-q", "-r", repo]);
            run(command.args(args).env("RESTIC_PASSWORD", "bench"))
        };
        restic(&["init"]);
        let first = (run(&mut self.ours(&home, &["checkpoint", id, "-q"])), restic(&["backup", file]));
        let stored = (bytes_below(&objects), bytes_below(&theirs));
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for n in 0..STEPS {
            grow(&session, id, "/bench", STEP, n as u64);
            a.push(run(&mut self.ours(&home, &["checkpoint", id, "-q"])));
            b.push(restic(&["backup", file]));
        }
        let more = (bytes_below(&objects) - stored.0, bytes_below(&theirs) - stored.1);
        let time = |what: &str, (ours, theirs): (Duration, Duration)| {
            self.note(what, millis(ours), millis(theirs), ours.as_secs_f64() / theirs.as_secs_f64());
        };
        let bytes =
            |what: &str, (ours, theirs): (u64, u64)| self.note(what, ours.to_string(), theirs.to_string(), ours as f64 / theirs as f64);
        time("checkpoint of 100 MB / restic backup", first);
        bytes("its bytes / restic's", stored);
        time("next, 20 KB more / restic backup", (middle(a), middle(b)));
        bytes("bytes of twenty of them / restic's", more);
        fs::remove_dir_all(&theirs).expect("it was made");
    }

    /// One step of a session in that home: its time and its new bytes.
    pub fn step(&self, home: &Path, session: &Path, id: &str, n: u64) -> (Duration, u64) {
        let objects = home.join("project/.git/objects");
        grow(session, id, "/bench", STEP, n);
        let before = bytes_below(&objects);
        let took = run(&mut self.ours(home, &["checkpoint", id, "-q"]));
        (took, bytes_below(&objects) - before)
    }
}
