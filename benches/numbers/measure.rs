//! How things are measured: time in turns, memory by its high-water mark, system calls by strace, bytes by file sizes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const ROUNDS: usize = 7;

pub fn run(command: &mut Command) -> Duration {
    let begun = Instant::now();
    let status = command.status().expect("it starts");
    let took = begun.elapsed();
    assert!(status.success(), "{command:?} failed");
    took
}

/// In turns, so that a busy moment hits both.
pub fn side_by_side(mut ours: impl FnMut() -> Duration, mut theirs: impl FnMut() -> Duration) -> (Duration, Duration) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        a.push(ours());
        b.push(theirs());
    }
    (middle(a), middle(b))
}

pub fn median(mut measured: impl FnMut() -> Duration) -> Duration {
    middle((0..ROUNDS * 3).map(|_| measured()).collect())
}

pub fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

pub fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// The high-water mark of resident memory, read while it runs: it only ever rises, so the last reading is near the truth.
pub fn peak_kib(command: &mut Command) -> u64 {
    let mut child = command.spawn().expect("it starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(mark.unwrap_or(0));
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            assert!(status.success(), "{command:?} failed");
            return peak;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

pub struct Calls {
    pub total: usize,
    pub programs: usize,
}

pub fn system_calls(command: &mut Command) -> Option<Calls> {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(log.path()).arg(command.get_program()).args(command.get_args());
    strace.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdout(Stdio::null());
    strace.current_dir(command.get_current_dir().expect("it is set"));
    strace.status().ok().filter(|status| status.success())?;
    let text = fs::read_to_string(log.path()).expect("the log");
    let total = text.lines().filter(|line| !line.contains("resumed>")).count();
    // A program is looked for in each directory of PATH; only where it is found it starts.
    let programs = text.lines().filter(|line| line.contains("execve") && line.ends_with("= 0")).count();
    Some(Calls { total, programs })
}

/// The lengths of all files below a directory.
pub fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
