//! Container B: a session as Git objects, the first time.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::measure::{bytes_below, median, millis, peak_kib, run, side_by_side, system_calls};
use super::{Bench, installed};

const COMMITS: usize = 20_000;

impl Bench {
    /// A repository without anything in it, in place of whatever was there.
    pub fn repository(&self, home: &Path) -> PathBuf {
        let project = home.join("project");
        let _ = fs::remove_dir_all(&project);
        fs::create_dir_all(&project).expect("a directory");
        run(&mut self.program(home, "git", &["init", "-q", "."]));
        project.join(".git/objects")
    }

    pub fn git_sealing(&mut self) {
        if !installed(&["age", "zstd"]) {
            println!("SKIPPED: age and zstd are not installed, checkpoints were not compared");
            return;
        }
        let home = self.home("git");
        let id = "dddddddd-0001-4000-8000-000000000001";
        let session = self.session(&home, id, 100_000_000);
        let reference = self.dir.path().join("git-reference.age");
        let pipe = format!("zstd -q -3 -T0 < '{}' | age -r {} > '{}'", session.display(), self.recipient(&home), reference.display());
        let synced = format!("{pipe} && sync -d '{}'", reference.display());
        let against = |pipe: &str, ours: fn(&Bench, &Path, &[&str]) -> Command| {
            side_by_side(
                || {
                    self.repository(&home);
                    run(&mut ours(self, &home, &["checkpoint", id, "-q"]))
                },
                || run(&mut self.program(&home, "sh", &["-c", pipe])),
            )
        };
        let (unsearched, fast, both) = (against(&synced, Bench::unsearched), against(&pipe, Bench::ours), against(&synced, Bench::ours));
        let ratio = |(ours, theirs): (Duration, Duration)| ours.as_secs_f64() / theirs.as_secs_f64();
        self.row("checkpoint of 100 MB / zstd -3 -T0 | age, both synced", millis(both.0), Some(millis(both.1)), ratio(both), 1.2);
        self.note("the same, without the search for secrets", millis(unsearched.0), millis(unsearched.1), ratio(unsearched));
        self.note("checkpoint of 100 MB, synced / zstd -3 -T0 | age, not synced", millis(fast.0), millis(fast.1), ratio(fast));
        let (a, b) = (bytes_below(&home.join("project/.git/objects")), fs::metadata(&reference).expect("it was written").len());
        self.row("its objects, bytes", a.to_string(), Some(b.to_string()), a as f64 / b as f64, 1.25);
        fs::remove_dir_all(home).expect("it was made");
    }

    pub fn git_memory(&mut self) {
        let megabytes = if self.smoke { 200 } else { 500 };
        let home = self.home("git-big");
        let id = "dddddddd-0002-4000-8000-000000000002";
        self.session(&home, id, megabytes * 1_000_000);
        self.repository(&home);
        let peak = peak_kib(&mut self.ours(&home, &["checkpoint", id, "-q"]));
        self.count(&format!("peak memory, checkpoint of {megabytes} MB into Git, KiB"), peak, 96 << 10);
        fs::remove_dir_all(home).expect("it was made");
    }

    /// 10 MB in a small repository: what somebody waits for.
    pub fn whole_command(&mut self) {
        let home = self.home("git-whole");
        let id = "dddddddd-0003-4000-8000-000000000003";
        self.session(&home, id, 10_000_000);
        if self.smoke {
            self.repository(&home);
            let Some(calls) = system_calls(&mut self.ours(&home, &["checkpoint", id, "-q"])) else {
                println!("SKIPPED: strace is not installed, a checkpoint's system calls were not counted");
                return;
            };
            self.count("system calls, checkpoint of 10 MB", calls.total as u64, 3500);
            self.count("programs started by it, itself included", calls.programs as u64, 6);
            return;
        }
        let took = median(|| {
            self.repository(&home);
            run(&mut self.ours(&home, &["checkpoint", id, "-q"]))
        });
        self.row("checkpoint of 10 MB, whole command; ratio to 200 ms", millis(took), None, took.as_secs_f64() / 0.2, 1.0);
        fs::remove_dir_all(home).expect("it was made");
    }

    /// What a checkpoint costs more where there is a long history, all of it on the remote.
    pub fn history(&mut self) {
        let (long, none) = (self.home("git-long"), self.home("git-none"));
        let id = "dddddddd-0004-4000-8000-000000000004";
        for home in [&long, &none] {
            self.session(home, id, 1_000_000);
            self.repository(home);
        }
        self.commit_often(&long);
        let remote = self.dir.path().join("git-long.git");
        let remote = remote.to_str().expect("UTF-8");
        run(self.program(&long, "git", &["clone", "-q", "--bare", "project", remote]).current_dir(&long));
        run(&mut self.program(&long, "git", &["remote", "add", "origin", remote]));
        run(&mut self.program(&long, "git", &["fetch", "-q", "origin"]));
        let grown = |bench: &Bench, home: &Path| {
            let before = bytes_below(&home.join("project/.git/objects"));
            run(&mut bench.ours(home, &["checkpoint", id, "-q"]));
            bytes_below(&home.join("project/.git/objects")) - before
        };
        let (a, b) = (grown(self, &long), grown(self, &none));
        let what = format!("1 MB with {COMMITS} commits of history / without");
        self.row(&format!("new objects, {what}, bytes"), a.to_string(), Some(b.to_string()), a as f64 / b as f64, 1.05);
        let again = |bench: &Bench, home: &Path| {
            fs::remove_dir_all(home.join("project/.git/refs/samesession")).expect("it has refs");
            bench.ours(home, &["checkpoint", id, "-q"])
        };
        if self.smoke {
            let calls = [&long, &none].map(|home| system_calls(&mut again(self, home)));
            if let [Some(a), Some(b)] = calls {
                let ratio = a.total as f64 / b.total as f64;
                self.row(&format!("system calls, {what}"), a.total.to_string(), Some(b.total.to_string()), ratio, 1.25);
            }
            return;
        }
        let (ours, theirs) = side_by_side(|| run(&mut again(self, &long)), || run(&mut again(self, &none)));
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        self.row(&format!("checkpoint of {what}"), millis(ours), Some(millis(theirs)), ratio, 1.2);
    }

    fn commit_often(&self, home: &Path) {
        let mut import = self.program(home, "git", &["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().expect("git");
        let mut stream = std::io::BufWriter::new(import.stdin.take().expect("a pipe"));
        for n in 0..COMMITS {
            let text = format!("line {n}\n");
            let commit = format!(
                "commit refs/heads/main\ncommitter a <a@b> {} +0000\ndata 2\nx\nM 644 inline f{}\ndata {}\n{text}",
                1_000_000_000 + n,
                n % 50,
                text.len()
            );
            writeln!(stream, "{commit}").expect("it reads");
        }
        drop(stream);
        assert!(import.wait().expect("it ends").success(), "git fast-import failed");
    }
}
