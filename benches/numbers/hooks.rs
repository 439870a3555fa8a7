//! What hooks cost whoever waits for them: a push of one commit with and without, and an agent at the end of a turn.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::Bench;
use super::measure::{ROUNDS, middle, millis, run, system_calls};
use super::transcripts::{grow, transcript};

const ID: &str = "ffffffff-0001-4000-8000-000000000001";

impl Bench {
    pub fn hooks(&mut self) {
        let home = self.home("hooks");
        let project = home.join("project").canonicalize().expect("made");
        let cwd = project.to_str().expect("UTF-8").to_owned();
        self.repository(&home);
        let origin = self.dir.path().join("hooks.git");
        let address = origin.to_str().expect("UTF-8");
        let git = |bench: &Bench, args: &[&str]| {
            let identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"];
            run(&mut bench.program(&home, "git", &[&identity, args].concat()))
        };
        git(self, &["init", "-q", "--bare", address]);
        git(self, &["remote", "add", "origin", address]);
        let encoded: String = cwd.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let session = home.join(".claude/projects").join(encoded).join(format!("{ID}.jsonl"));
        fs::create_dir_all(session.parent().expect("a directory")).expect("made");
        transcript(&session, ID, &cwd, 10_000_000);
        run(&mut self.ours(&home, &["device", "init", "--name", "bench"]));
        // The hook finds the program by its name.
        let built = Path::new(super::PROGRAM).parent().expect("a directory").to_owned();
        let path = std::env::join_paths(std::iter::once(built).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())));
        let path = path.expect("no colon in it");
        let push = |bench: &Bench, hooks: bool| {
            git(bench, &["commit", "-q", "--allow-empty", "-m", "x"]);
            let verify = if hooks { "--verify" } else { "--no-verify" };
            run(bench.program(&home, "git", &["push", "-q", verify, "origin", "HEAD:refs/heads/main"]).env("PATH", &path))
        };
        run(&mut self.ours(&home, &["hook", "install", "-q", "--git", "--agent", "claude"]));
        let first = (push(self, true), push(self, false));
        let (mut with, mut without, mut idle) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..ROUNDS {
            idle.push(push(self, true));
            without.push(push(self, false));
            grow(&session, ID, &cwd, 20_000, n as u64);
            with.push(push(self, true));
        }
        let (with, without, idle) = (middle(with), middle(without), middle(idle));
        if !self.smoke {
            let more = |with: Duration| with.saturating_sub(without).as_secs_f64() * 1e3;
            self.row(
                "push with a session of 10 MB that changed / without; ms more",
                millis(with),
                Some(millis(without)),
                more(with),
                250.0,
            );
            self.row("push with nothing changed / without hooks; ms more", millis(idle), Some(millis(without)), more(idle), 60.0);
            self.note(
                "the first push, all 10 MB new / without",
                millis(first.0),
                millis(first.1),
                first.0.as_secs_f64() / first.1.as_secs_f64(),
            );
        }

        push(self, true);
        if let Some(calls) = system_calls(&mut self.ours(&home, &["hook", "run", "pre-push", "origin", address])) {
            self.count("programs started by the hook of a push, nothing changed", calls.programs as u64, 4);
        }

        // Whatever the length of the transcript.
        transcript(&session, ID, &cwd, if self.smoke { 50_000_000 } else { 500_000_000 });
        let said = self.dir.path().join("said.json");
        fs::write(&said, format!("{{\"session_id\":\"{ID}\",\"cwd\":\"{cwd}\"}}")).expect("written");
        let stop = |bench: &Bench, event: &str| {
            let mut command = bench.ours(&home, &["hook", "run", "--agent", "claude", event]);
            command.stdin(Stdio::from(fs::File::open(&said).expect("there")));
            command
        };
        if self.smoke {
            // It is no worker's time that is counted: none is started while somebody else is at work with the session.
            let dir = project.join(".git/samesession/hooks");
            let lock = fs::read_dir(dir).expect("hooks were here").flatten().find(|entry| entry.file_name().len() == 26);
            let held = fs::File::open(lock.expect("it was worked on").path()).expect("there");
            held.lock().expect("it is free");
            if let Some(calls) = system_calls(&mut stop(self, "Stop")) {
                self.count("system calls of an agent's hook whose session is worked on", calls.total as u64, 400);
            }
        } else {
            for (event, what) in [("Stop", "as a turn ends"), ("SessionStart", "as a session starts")] {
                let took = middle((0..ROUNDS).map(|_| run(&mut stop(self, event))).collect());
                let what = format!("an agent's hook {what}, 500 MB transcript, ms");
                self.row(&what, millis(took), None, took.as_secs_f64() * 1e3, 50.0);
            }
        }
        self.hooks_at_rest(&home);
        fs::remove_dir_all(home).expect("it was made");
    }

    /// Until nobody works in the background any more.
    fn hooks_at_rest(&self, home: &Path) {
        let home = home.to_str().expect("UTF-8").to_owned();
        let busy = || {
            fs::read_dir("/proc").into_iter().flatten().flatten().any(|entry| {
                let read = |name: &str| String::from_utf8_lossy(&fs::read(entry.path().join(name)).unwrap_or_default()).into_owned();
                read("cmdline").contains("--foreground") && read("environ").contains(&home)
            })
        };
        while busy() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
