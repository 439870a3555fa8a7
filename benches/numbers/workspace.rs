//! What the work tree around a session costs: to look at, to take along again, to bring back.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::Bench;
use super::measure::{bytes_below, middle, millis, run, side_by_side, system_calls};
use super::transcripts::transcript;

const FILES: usize = 50_000;
const CHANGED: usize = 20;
const ID: &str = "cccccccc-0001-4000-8000-000000000001";

impl Bench {
    pub fn workspace(&mut self) {
        let home = self.home("work");
        let files = if self.smoke { 2_000 } else { FILES };
        let project = self.many_files(&home, files);
        self.session_in(&home, &project);
        run(&mut self.ours(&home, &["checkpoint", ID, "-q"]));
        if self.smoke {
            let status = system_calls(&mut self.program(&home, "git", &["--no-optional-locks", "status", "--porcelain"]));
            let grow = |bench: &Bench| {
                super::transcripts::grow(&bench.transcript_of(&home, &project), ID, project.to_str().expect("UTF-8"), 100, 1)
            };
            grow(self);
            let ours = system_calls(&mut self.ours(&home, &["checkpoint", ID, "-q"]));
            if let (Some(status), Some(ours)) = (status, ours) {
                let ratio = ours.total as f64 / status.total as f64;
                self.row(
                    "system calls, checkpoint among 2,000 files / git status",
                    ours.total.to_string(),
                    Some(status.total.to_string()),
                    ratio,
                    3.0,
                );
                self.count("programs started by it, itself included", ours.programs as u64, 24);
            }
            fs::remove_dir_all(home).expect("it was made");
            return;
        }
        // What the capture adds to a checkpoint of the same session.
        let mut n = 0;
        let mut step = |bench: &Bench, flag: &[&str]| {
            n += 1;
            super::transcripts::grow(&bench.transcript_of(&home, &project), ID, project.to_str().expect("UTF-8"), 100, n);
            run(&mut bench.ours(&home, &[&["checkpoint", ID, "-q"], flag].concat()))
        };
        let (mut with, mut without, mut status) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..7 {
            with.push(step(self, &[]));
            without.push(step(self, &["--session-only"]));
            status.push(run(&mut self.program(&home, "git", &["--no-optional-locks", "status", "--porcelain"])));
        }
        let (ours, theirs) = (middle(with).saturating_sub(middle(without)), middle(status));
        let what = format!("workspace of {FILES} files, {CHANGED} changed, in a checkpoint / git status");
        self.row(&what, millis(ours), Some(millis(theirs)), ratio(ours, theirs), 1.5);
        self.large_file(&home, &project);
        self.bring_back(&home, &project);
        fs::remove_dir_all(home).expect("it was made");
    }

    /// An untracked one that does not change.
    fn large_file(&mut self, home: &Path, project: &Path) {
        let large = project.join("large");
        let mut file = fs::File::create(&large).expect("a file");
        let mut state = 88_172_645_463_325_252_u64;
        let mut block = vec![0u8; 1 << 20];
        for _ in 0..200 {
            for chunk in block.chunks_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                chunk.copy_from_slice(&state.to_le_bytes());
            }
            file.write_all(&block).expect("written");
        }
        drop(file);
        let objects = project.join(".git/objects");
        run(&mut self.ours(home, &["checkpoint", ID, "-q"]));
        let before = bytes_below(&objects);
        let path = large.to_str().expect("UTF-8");
        let (ours, theirs) =
            side_by_side(|| run(&mut self.ours(home, &["checkpoint", ID, "-q"])), || run(&mut self.program(home, "sha256sum", &[path])));
        self.row("checkpoint, 200 MB untracked that were there / sha256sum", millis(ours), Some(millis(theirs)), ratio(ours, theirs), 1.0);
        self.count("its new objects, bytes", bytes_below(&objects) - before, 0);
        fs::remove_file(large).expect("it was made");
        run(&mut self.ours(home, &["checkpoint", ID, "-q"]));
    }

    fn bring_back(&mut self, home: &Path, project: &Path) {
        let (a, b) = (home.join("ours"), home.join("theirs"));
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let into = a.to_str().expect("UTF-8");
            // Where the session stands already it would be used as it is.
            ours.push(run(&mut self.ours(home, &["restore", ID, "--into", into, "-q"])));
            run(&mut self.ours(home, &["undo", "-q"]));
            let into = b.to_str().expect("UTF-8");
            theirs.push(run(&mut self.program(home, "git", &["worktree", "add", "-q", "--detach", into, "HEAD"])));
            run(&mut self.program(home, "git", &["worktree", "remove", "--force", into]));
        }
        let _ = project;
        let (ours, theirs) = (middle(ours), middle(theirs));
        self.row(&format!("restore of {FILES} files / git worktree add"), millis(ours), Some(millis(theirs)), ratio(ours, theirs), 1.3);
    }

    fn transcript_of(&self, home: &Path, cwd: &Path) -> PathBuf {
        let encoded = cwd.to_str().expect("UTF-8").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        home.join(".claude/projects").join(encoded).join(format!("{ID}.jsonl"))
    }

    fn session_in(&self, home: &Path, cwd: &Path) {
        let path = self.transcript_of(home, cwd);
        fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
        transcript(&path, ID, cwd.to_str().expect("UTF-8"), 20_000);
        run(&mut self.ours(home, &["device", "init", "--name", "bench"]));
    }

    /// All on the remote; some changed since.
    fn many_files(&self, home: &Path, files: usize) -> PathBuf {
        self.repository(home);
        let project = home.join("project");
        let mut import = self.program(home, "git", &["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().expect("git");
        let mut stream = std::io::BufWriter::new(import.stdin.take().expect("a pipe"));
        write!(stream, "commit refs/heads/main\ncommitter a <a@b> 1000000000 +0000\ndata 2\nx\n").expect("it reads");
        for n in 0..files {
            let text = format!("file {n}\n").repeat(20);
            write!(stream, "M 644 inline dir{}/file{n}\ndata {}\n{text}\n", n % 500, text.len()).expect("it reads");
        }
        drop(stream);
        assert!(import.wait().expect("it ends").success(), "git fast-import failed");
        run(&mut self.program(home, "git", &["symbolic-ref", "HEAD", "refs/heads/main"]));
        run(&mut self.program(home, "git", &["reset", "-q", "--hard"]));
        run(&mut self.program(home, "git", &["update-ref", "refs/remotes/origin/main", "HEAD"]));
        run(&mut self.program(home, "git", &["config", "remote.origin.url", "https://example.org/x.git"]));
        run(&mut self.program(home, "git", &["config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"]));
        for n in 0..CHANGED {
            fs::write(project.join(format!("dir{n}/file{n}")), "changed\n").expect("written");
        }
        project
    }
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}
