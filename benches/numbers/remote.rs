//! `session::` addresses: what it costs that an agent, or a store at an address, is a remote.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::measure::{median, millis, run, side_by_side, system_calls};
use super::transcripts::{thousand, transcript};
use super::{Bench, PROGRAM};

const AGENTS: &str = "refs/samesession/*:refs/samesession-remote/agents/*";
const SEND: &str = "refs/samesession-remote/agents/*:refs/samesession/*";

impl Bench {
    pub fn remote(&mut self) {
        self.listed_agents();
        self.unchanged_fetch();
        self.wrapped(100, 1_000_000);
        self.wrapped(1000, 20_000);
    }

    /// Git finds the helper as users have it: on PATH.
    fn git(&self, home: &Path, args: &[&str]) -> Command {
        let mut command = self.program(home, "git", args);
        let built = Path::new(PROGRAM).parent().expect("it has a directory").to_owned();
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(built).chain(std::env::split_paths(&inherited)));
        command.env("PATH", path.expect("no colon in it")).stderr(std::process::Stdio::null());
        command
    }

    /// A repository with a commit, and a bare one beside it.
    fn clone_of(&self, home: &Path) -> PathBuf {
        self.repository(home);
        let origin = home.join("origin.git");
        run(&mut self.git(home, &["init", "-q", "--bare", origin.to_str().expect("UTF-8")]));
        run(&mut self.git(home, &["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "--allow-empty", "-m", "x"]));
        run(&mut self.git(home, &["remote", "add", "origin", origin.to_str().expect("UTF-8")]));
        run(&mut self.git(home, &["push", "-q", "origin", "HEAD:refs/heads/main"]));
        origin
    }

    /// Sessions in the directory of the repository itself.
    fn sessions_here(&self, home: &Path, count: usize, bytes: usize) {
        let cwd = home.join("project").canonicalize().expect("it is there");
        let cwd = cwd.to_str().expect("UTF-8");
        let encoded: String = cwd.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let project = home.join(".claude/projects").join(encoded);
        fs::create_dir_all(&project).expect("directories");
        for n in 0..count {
            let id = format!("eeeeeeee-{n:04x}-4000-8000-000000000001");
            transcript(&project.join(format!("{id}.jsonl")), &id, cwd, bytes);
        }
    }

    fn listed_agents(&mut self) {
        let home = self.home("agents");
        self.clone_of(&home);
        thousand(&home);
        let all = "session::?all";
        if self.smoke {
            if let Some(calls) = system_calls(&mut self.git(&home, &["ls-remote", all])) {
                self.count("programs started by ls-remote session:: over 1,000 sessions", calls.programs as u64, 16);
            }
            return;
        }
        let first = median(|| run(&mut self.git(&home, &["ls-remote", all])));
        self.row("ls-remote session:: of 1,000, none captured; to 250 ms", millis(first), None, first.as_secs_f64() / 0.25, 1.0);
        run(&mut self.git(&home, &["fetch", "-q", "session::?all", AGENTS]));
        let known = median(|| run(&mut self.git(&home, &["ls-remote", all])));
        self.row("the same, all captured; to 250 ms", millis(known), None, known.as_secs_f64() / 0.25, 1.0);
        fs::remove_dir_all(home).expect("it was made");
    }

    fn unchanged_fetch(&mut self) {
        let home = self.home("unchanged");
        self.clone_of(&home);
        self.sessions_here(&home, 1, 1_000_000);
        for _ in 0..2 {
            run(&mut self.git(&home, &["fetch", "-q", "session::current"]));
            std::thread::sleep(Duration::from_millis(100));
        }
        if self.smoke {
            if let Some(calls) = system_calls(&mut self.git(&home, &["fetch", "-q", "session::current"])) {
                self.count("programs started by a fetch of session::current, unchanged", calls.programs as u64, 32);
            }
            return;
        }
        let (ours, plain) = side_by_side(
            || run(&mut self.git(&home, &["fetch", "-q", "session::current"])),
            || run(&mut self.git(&home, &["fetch", "-q", "origin", "main"])),
        );
        let more = ours.saturating_sub(plain);
        self.row(
            "fetch session::current, unchanged / of a bare remote; more, to 100 ms",
            millis(ours),
            Some(millis(plain)),
            more.as_secs_f64() / 0.1,
            1.0,
        );
    }

    /// The same refs by plain Git and through the view of a store.
    fn wrapped(&mut self, count: usize, bytes: usize) {
        if self.smoke {
            return;
        }
        let home = self.home(&format!("wrapped-{count}"));
        self.clone_of(&home);
        self.sessions_here(&home, count, bytes);
        run(&mut self.git(&home, &["fetch", "-q", "session::", AGENTS]));
        let (plain, store) = (home.join("plain.git"), home.join("store.git"));
        let address = format!("session::{}", store.display());
        let anew = |at: &Path| {
            let _ = fs::remove_dir_all(at);
            run(&mut self.git(&home, &["init", "-q", "--bare", at.to_str().expect("UTF-8")]));
        };
        let (ours, theirs) = side_by_side(
            || {
                anew(&store);
                run(&mut self.git(&home, &["push", "-q", &address, SEND]))
            },
            || {
                anew(&plain);
                run(&mut self.git(&home, &["push", "-q", plain.to_str().expect("UTF-8"), SEND]))
            },
        );
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        self.row(&format!("push of {count} sessions to session::<path> / plain Git"), millis(ours), Some(millis(theirs)), ratio, 1.3);
        let other = self.home(&format!("wrapped-{count}-other"));
        let fetched = |from: &str| {
            self.repository(&other);
            run(&mut self.git(&other, &["pull", "-q", home.join("origin.git").to_str().expect("UTF-8"), "main"]));
            run(&mut self.git(&other, &["fetch", "-q", from, "refs/samesession/*:refs/samesession-remote/store/*"]))
        };
        let (ours, theirs) = side_by_side(|| fetched(&address), || fetched(plain.to_str().expect("UTF-8")));
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        self.row(&format!("fetch of {count} sessions from session::<path> / plain Git"), millis(ours), Some(millis(theirs)), ratio, 1.3);
    }
}
