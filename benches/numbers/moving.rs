//! A session that changes hands between two machines, through a remote on disk: what somebody waits for.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Bench;
use super::measure::{bytes_below, middle, run};
use super::transcripts::{grow, transcript};

const ROUNDS: usize = 5;
const BYTES: usize = 10_000_000;
const FILES: usize = 200;
const CHANGED: usize = 20;

struct Pair {
    homes: [PathBuf; 2],
    remote: PathBuf,
}

impl Bench {
    pub fn moving(&mut self) {
        let pair = self.pair();
        let [here, there] = &pair.homes;
        let rounds = if self.smoke { 1 } else { ROUNDS };
        let (mut first, mut taken, mut added, mut second, mut sent) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), 0);
        for n in 0..rounds {
            let id = format!("ffffffff-{n:04}-4000-8000-000000000001");
            let path = transcript_of(here, &here.join("project"), &id);
            fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
            transcript(&path, &id, &here.join("project").to_string_lossy(), BYTES);
            first.push(run(&mut self.ours(here, &["move", &id, "-q"])));
            let place = there.join(format!("place-{n}"));
            let into = place.to_str().expect("UTF-8");
            taken.push(run(&mut self.ours(there, &["resume", &id, "--no-launch", "--into", into, "-q"])));
            let beside = there.join("beside");
            let text = beside.to_str().expect("UTF-8");
            added.push(run(&mut self.program(there, "git", &["worktree", "add", "-q", "--detach", text, "HEAD"])));
            run(&mut self.program(there, "git", &["worktree", "remove", "--force", text]));
            grow(&transcript_of(there, &place, &id), &id, into, 20_000, 1);
            let before = bytes_below(&pair.remote);
            second.push(run(&mut self.ours(there, &["move", &id, "-q"])));
            sent = sent.max(bytes_below(&pair.remote) - before);
        }
        self.count("second move, after one turn of 20 KB: bytes sent", sent, 64 << 10);
        if !self.smoke {
            let mut row = |what: &str, took: Duration, bound: Duration| {
                self.row(
                    what,
                    super::measure::millis(took),
                    Some(super::measure::millis(bound)),
                    took.as_secs_f64() / bound.as_secs_f64(),
                    1.0,
                );
            };
            row("move, 10 MB and 20 changed files; its bound", middle(first), Duration::from_millis(400));
            row("resume of it; its bound with git worktree add", middle(taken), Duration::from_millis(600) + middle(added));
            row("second move, after one turn; its bound", middle(second), Duration::from_millis(250));
        }
        for home in &pair.homes {
            fs::remove_dir_all(home).expect("it was made");
        }
    }

    /// Two that believe each other, and have the same project.
    fn pair(&mut self) -> Pair {
        let remote = self.dir.path().join("moving.git");
        let address = remote.to_str().expect("UTF-8");
        let homes = ["moving-here", "moving-there"].map(|name| self.home(name));
        run(&mut self.program(&homes[0], "git", &["init", "-q", "--bare", "-b", "main", address]));
        run(&mut self.program(&homes[0], "git", &["-C", address, "config", "receive.unpackLimit", "1"]));
        for home in &homes {
            run(&mut self.ours(home, &["device", "init", "--name", "bench"]));
            run(&mut self.program(home, "git", &["init", "-q", "-b", "main"]));
            run(&mut self.program(home, "git", &["remote", "add", "origin", address]));
            run(&mut self.program(home, "git", &["config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"]));
            run(&mut self.program(
                home,
                "git",
                &["config", "--add", "remote.origin.fetch", "+refs/samesession/*:refs/samesession-remote/origin/*"],
            ));
        }
        for (own, other) in [(&homes[0], &homes[1]), (&homes[1], &homes[0])] {
            run(&mut self.program(own, "git", &["config", "samesession.recipient", &self.recipient(other)]));
            let key = fs::read_to_string(other.join(".config/samesession/device/signing_key.pub")).expect("a device");
            let line = format!("bench namespaces=\"samesession,git\" {}\n", key.trim());
            fs::write(own.join(".config/samesession/known_signers"), line).expect("written");
        }
        let project = homes[0].join("project");
        for n in 0..FILES {
            fs::write(project.join(format!("file{n}")), format!("file {n}\n").repeat(40)).expect("written");
        }
        run(&mut self.program(&homes[0], "git", &["add", "."]));
        run(&mut self.program(&homes[0], "git", &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "x"]));
        run(&mut self.program(&homes[0], "git", &["push", "-q", "-u", "origin", "main"]));
        run(&mut self.program(&homes[1], "git", &["pull", "-q", "origin", "main"]));
        for n in 0..CHANGED {
            fs::write(project.join(format!("file{n}")), "changed\n").expect("written");
        }
        Pair { homes, remote }
    }
}

fn transcript_of(home: &Path, cwd: &Path, id: &str) -> PathBuf {
    let encoded = cwd.to_str().expect("UTF-8").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    home.join(".claude/projects").join(encoded).join(format!("{id}.jsonl"))
}
