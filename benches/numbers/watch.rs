//! What the watcher of `auto` costs while nothing happens: processor time, wake-ups, memory.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Bench;
use super::measure::run;
use super::transcripts::transcript;

/// As many as the lists are measured with.
const SESSIONS: usize = 1000;
const REST: Duration = Duration::from_secs(20);

impl Bench {
    /// Beside a thousand sessions in fifty directories. Counted is what the kernel has written down about the process.
    pub fn watch(&mut self) {
        let home = self.home("watch");
        self.repository(&home);
        let project = home.join("project").canonicalize().expect("made");
        for n in 0..SESSIONS {
            let dir = home.join(format!(".claude/projects/-bench-{}", n % 50));
            fs::create_dir_all(&dir).expect("made");
            let id = format!("ffffffff-0001-4000-8000-{n:012}");
            transcript(&dir.join(format!("{id}.jsonl")), &id, project.to_str().expect("UTF-8"), 20_000);
        }
        run(&mut self.ours(&home, &["device", "init", "--name", "bench"]));
        // Those that were there belong to nobody: it is rest that is measured.
        let elsewhere = home.join("elsewhere");
        fs::create_dir_all(&elsewhere).expect("made");
        run(&mut self.program(&home, "git", &["init", "-q", elsewhere.to_str().expect("UTF-8")]));
        run(self.ours(&home, &["auto", "on", "--every", "1s"]).current_dir(&elsewhere));
        let lock = fs::read_to_string(home.join(".config/samesession/auto/lock")).expect("it runs");
        let process = Path::new("/proc").join(lock.trim());
        std::thread::sleep(Duration::from_secs(4));
        let (before, begun) = (Standing::of(&process), Instant::now());
        std::thread::sleep(REST);
        let after = Standing::of(&process);
        let share = (after.nanoseconds - before.nanoseconds) as f64 / begun.elapsed().as_nanos() as f64 * 100.0;
        let what = format!("the watcher at rest, {SESSIONS} sessions: % of one processor");
        self.row(&what, format!("{share:.3} %"), None, share, 0.1);
        let mib = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
        self.row("its memory, MB", mib(after.peak_kib), None, after.peak_kib as f64 * 1024.0 / 1e6, 30.0);
        self.count("its wake-ups in 20 s", after.switches - before.switches, 2);
        run(self.ours(&home, &["auto", "off"]).current_dir(&elsewhere));
        while process.join("cwd").exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        fs::remove_dir_all(home).expect("it was made");
    }
}

struct Standing {
    nanoseconds: u64,
    switches: u64,
    peak_kib: u64,
}

impl Standing {
    fn of(process: &Path) -> Standing {
        let status = fs::read_to_string(process.join("status")).expect("it runs");
        let field = |name: &str| -> u64 {
            let value = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
            value.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
        };
        let times = fs::read_to_string(process.join("schedstat")).expect("it runs");
        let nanoseconds = times.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number");
        // Each time it went to sleep; to be interrupted is no doing of its own.
        Standing { nanoseconds, switches: field("voluntary_ctxt_switches:"), peak_kib: field("VmHWM:") }
    }
}
