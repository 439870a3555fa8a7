//! The numbers of ARCHITECTURE.md: each beside a public tool on the same bytes in the same run.
//!
//! `cargo bench --bench numbers` prints them all. `-- --smoke` prints only what can be counted (memory, system calls,
//! bytes, processes), which does not depend on how busy the machine is, and fails where a bound is passed: CI runs that.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_git-samesession");
const ROUNDS: usize = 7;

struct Bench {
    dir: tempfile::TempDir,
    passed: bool,
}

fn main() {
    let smoke = std::env::args().any(|arg| arg == "--smoke");
    let mut bench = Bench { dir: tempfile::tempdir().expect("a temporary directory"), passed: true };
    println!("{:<58} {:>12} {:>12} {:>8} {:>8}", "what", "ours", "reference", "ratio", "bound");
    bench.memory(if smoke { 200 } else { 500 });
    bench.listing(smoke);
    if !smoke {
        bench.sealing();
        bench.start_up();
    }
    if !bench.passed {
        std::process::exit(1);
    }
}

impl Bench {
    fn home(&self, name: &str) -> PathBuf {
        let home = self.dir.path().join(name);
        fs::create_dir_all(home.join("project")).expect("directories");
        home
    }

    fn ours(&self, home: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.env_clear().env("HOME", home).env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TMPDIR", self.dir.path());
        command.current_dir(home.join("project")).args(args).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn row(&mut self, what: &str, ours: String, reference: Option<String>, ratio: f64, bound: f64) {
        let verdict = if ratio <= bound { "" } else { "  PASSED OVER" };
        self.passed &= ratio <= bound;
        println!("{what:<58} {ours:>12} {:>12} {ratio:>8.2} {bound:>8.2}{verdict}", reference.unwrap_or_default());
    }

    /// A Claude Code session of that many megabytes, and a device.
    fn session(&self, home: &Path, id: &str, megabytes: usize) -> PathBuf {
        let project = home.join(".claude/projects/-bench");
        fs::create_dir_all(&project).expect("directories");
        let path = project.join(format!("{id}.jsonl"));
        transcript(&path, id, "/bench", megabytes * 1_000_000);
        if !home.join(".config/samesession/device").exists() {
            run(&mut self.ours(home, &["device", "init", "--name", "bench"]));
        }
        path
    }

    fn memory(&mut self, megabytes: usize) {
        let (home, other) = (self.home("big"), self.home("big2"));
        let id = "cccccccc-0001-4000-8000-000000000001";
        let session = self.session(&home, id, megabytes);
        let capsule = self.dir.path().join("big.capsule");
        let capsule_arg = capsule.to_str().expect("UTF-8").to_owned();
        let bound = 96.0 * 1024.0;
        let peak = peak_kib(&mut self.ours(&home, &["checkpoint", id, "-q", "-o", &capsule_arg]));
        self.row(&format!("peak memory, checkpoint of {megabytes} MB, KiB"), peak.to_string(), None, peak as f64, bound);
        copy_device(&home, &other);
        let peak = peak_kib(&mut self.ours(&other, &["restore", "-q", &capsule_arg]));
        self.row(&format!("peak memory, restore of {megabytes} MB, KiB"), peak.to_string(), None, peak as f64, bound);
        for path in [session, capsule] {
            fs::remove_file(path).expect("it was made");
        }
        fs::remove_dir_all(other).expect("it was made");
    }

    fn listing(&mut self, smoke: bool) {
        let home = self.home("many");
        thousand(&home);
        if smoke {
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

    fn sealing(&mut self) {
        if !["age", "zstd"].iter().all(|tool| Command::new(tool).arg("--version").output().is_ok()) {
            println!("SKIPPED: age and zstd are not installed, sealing was not compared");
            return;
        }
        let home = self.home("seal");
        let id = "bbbbbbbb-0001-4000-8000-000000000001";
        let session = self.session(&home, id, 100);
        let identity = home.join(".config/samesession/device/identity.txt");
        let keys = fs::read_to_string(&identity).expect("a device");
        let recipient = keys.lines().find_map(|line| line.strip_prefix("# public key: ")).expect("a key").to_owned();
        let (capsule, reference) = (self.dir.path().join("ours.capsule"), self.dir.path().join("reference.age"));
        let capsule_arg = capsule.to_str().expect("UTF-8").to_owned();
        let pipe = format!("zstd -q -3 -T0 < '{}' | age -r {recipient} > '{}'", session.display(), reference.display());
        let (ours, theirs) = side_by_side(
            || run(&mut self.ours(&home, &["checkpoint", id, "-qf", "-o", &capsule_arg])),
            || run(Command::new("sh").args(["-c", &pipe])),
        );
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        self.row("checkpoint --output of 100 MB / zstd -3 -T0 | age", millis(ours), Some(millis(theirs)), ratio, 1.2);
        let size = |path: &Path| fs::metadata(path).expect("it was written").len();
        let (a, b) = (size(&capsule), size(&reference));
        self.row("its size, bytes", a.to_string(), Some(b.to_string()), a as f64 / b as f64, 1.25);

        let out = self.dir.path().join("out.jsonl");
        let pipe = format!("age -d -i '{}' '{}' | zstd -q -d > '{}'", identity.display(), reference.display(), out.display());
        let other = self.home("seal2");
        let (ours, theirs) = side_by_side(
            || {
                let _ = fs::remove_dir_all(&other);
                copy_device(&home, &other);
                run(&mut self.ours(&other, &["restore", "-q", &capsule_arg]))
            },
            || {
                let _ = fs::remove_file(&out);
                run(Command::new("sh").args(["-c", &pipe]))
            },
        );
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        self.row("restore of 100 MB, synced / age -d | zstd -d, not synced", millis(ours), Some(millis(theirs)), ratio, 1.5);
    }

    fn start_up(&mut self) {
        let home = self.home("start");
        let ours = median(|| run(&mut self.ours(&home, &["--version"])));
        self.row("start-up, --version; ratio to 10 ms", millis(ours), None, ours.as_secs_f64() / 0.010, 1.0);
    }
}

fn copy_device(from: &Path, to: &Path) {
    let below = ".config/samesession/device";
    fs::create_dir_all(to.join(below)).expect("directories");
    fs::create_dir_all(to.join("project")).expect("directories");
    for entry in fs::read_dir(from.join(below)).expect("a device").flatten() {
        fs::copy(entry.path(), to.join(below).join(entry.file_name())).expect("copied");
    }
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(to.join(below), fs::Permissions::from_mode(0o700)).expect("owned");
}

fn run(command: &mut Command) -> Duration {
    let begun = Instant::now();
    let status = command.status().expect("it starts");
    let took = begun.elapsed();
    assert!(status.success(), "{command:?} failed");
    took
}

/// In turns, so that a busy moment hits both.
fn side_by_side(mut ours: impl FnMut() -> Duration, mut theirs: impl FnMut() -> Duration) -> (Duration, Duration) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        a.push(ours());
        b.push(theirs());
    }
    (middle(a), middle(b))
}

fn median(mut measured: impl FnMut() -> Duration) -> Duration {
    middle((0..ROUNDS * 3).map(|_| measured()).collect())
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// The high-water mark of resident memory, read while it runs: it only ever rises, so the last reading is near the truth.
fn peak_kib(command: &mut Command) -> u64 {
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

struct Calls {
    total: usize,
    programs: usize,
}

fn system_calls(command: &mut Command) -> Option<Calls> {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(log.path()).arg(command.get_program()).args(command.get_args());
    strace.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdout(Stdio::null());
    strace.current_dir(command.get_current_dir().expect("it is set"));
    strace.status().ok().filter(|status| status.success())?;
    let text = fs::read_to_string(log.path()).expect("the log");
    let lines = text.lines().filter(|line| !line.contains("resumed>"));
    Some(Calls { total: lines.clone().count(), programs: lines.filter(|line| line.contains("execve(")).count() })
}

/// Half Claude Code's, half Codex's, 250 kB each; every third named, the others to be titled by their first prompt.
fn thousand(home: &Path) {
    let filler = home.join("filler.jsonl");
    transcript(&filler, "X", "/home/dev/src/p", 20_000_000);
    let filler = fs::read_to_string(&filler).expect("it was written");
    let mut lines = filler.lines().cycle();
    // Each agent's sessions go on with its own records.
    let grown = include_str!(
        "../tests/fixtures/codex-0.169.0/.codex/sessions/2026/11/21/rollout-2026-11-21T04-04-11-01a1fc46-a6a6-7301-b0ad-996ca49d9840.jsonl"
    );
    let mut records = grown.lines().skip(1).cycle();
    let rollout = include_str!(
        "../tests/fixtures/codex-0.169.0/.codex/sessions/2026/11/21/rollout-2026-11-21T04-03-33-01a1fc46-14ce-7500-867f-3e8961b3c90d.jsonl"
    );
    for n in 0..1000 {
        let (path, mut text) = if usize::is_multiple_of(n, 2) {
            let id = format!("{n:08x}-0001-4000-8000-000000000001");
            let project = home.join(format!(".claude/projects/-home-dev-src-p{}", n % 20));
            let first = format!(
                "{{\"type\":\"user\",\"message\":{{\"role\":\"user\",\"content\":\"Please fix fault {n}\"}},\"cwd\":\"/home/dev/src/p{}\",\"sessionId\":\"{id}\",\"version\":\"2.1.329\"}}\n",
                n % 20
            );
            (project.join(format!("{id}.jsonl")), first)
        } else {
            let id = format!("01a1fc46-{n:04x}-7500-867f-3e8961b3c90d");
            let day = home.join(format!(".codex/sessions/2026/{:02}/{:02}", 1 + n % 12, 1 + n % 28));
            let name = format!("rollout-2026-{:02}-{:02}T04-03-33-{id}.jsonl", 1 + n % 12, 1 + n % 28);
            (day.join(name), rollout.replace("01a1fc46-14ce-7500-867f-3e8961b3c90d", &id))
        };
        while text.len() < 250_000 {
            let more = if n % 2 == 0 { lines.next() } else { records.next() };
            text.push_str(more.expect("a cycle"));
            text.push('\n');
        }
        if usize::is_multiple_of(n, 3) {
            text.push_str(&format!("{{\"type\":\"custom-title\",\"customTitle\":\"title {n}\",\"sessionId\":\"x\"}}\n"));
        }
        fs::create_dir_all(path.parent().expect("it has one")).expect("directories");
        fs::write(&path, text).expect("written");
    }
}

/// Records as Claude Code writes them, of phrases from a real transcript: packs about five times smaller, as real ones do.
fn transcript(path: &Path, id: &str, cwd: &str, size: usize) {
    let source = include_str!(
        "../tests/fixtures/claude-2.1.329/.claude/projects/-home-dev-src-demo-app-one/aaaaaaaa-0004-4000-8000-000000000004.jsonl"
    );
    let words: Vec<&str> =
        source.split(|c: char| !c.is_ascii_alphanumeric() && !"./-_'".contains(c)).filter(|word| !word.is_empty()).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut out = BufWriter::new(fs::File::create(path).expect("it can be made"));
    let mut written = 0;
    let mut parent = String::from("null");
    while written < size {
        let uuid = format!("\"{:016x}{:016x}\"", random.next(), random.next());
        let text = phrase(&words, &mut random);
        let line = if random.next().is_multiple_of(2) {
            format!(
                "{{\"parentUuid\":{parent},\"isSidechain\":false,\"type\":\"user\",\"message\":{{\"role\":\"user\",\"content\":[{{\"tool_use_id\":\"toolu_{:016x}\",\"type\":\"tool_result\",\"content\":\"{text}\"}}]}},\"uuid\":{uuid},\"timestamp\":\"2026-11-21T04:03:{:02}.{:03}Z\",\"cwd\":\"{cwd}\",\"sessionId\":\"{id}\",\"version\":\"2.1.329\",\"gitBranch\":\"main\"}}\n",
                random.next(),
                random.next() % 60,
                random.next() % 1000
            )
        } else {
            format!(
                "{{\"parentUuid\":{parent},\"isSidechain\":false,\"message\":{{\"id\":\"msg_{:016x}\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[{{\"type\":\"text\",\"text\":\"{text}\"}}]}},\"type\":\"assistant\",\"uuid\":{uuid},\"timestamp\":\"2026-11-21T04:03:{:02}.{:03}Z\",\"cwd\":\"{cwd}\",\"sessionId\":\"{id}\",\"version\":\"2.1.329\"}}\n",
                random.next(),
                random.next() % 60,
                random.next() % 1000
            )
        };
        parent = uuid;
        written += line.len();
        out.write_all(line.as_bytes()).expect("written");
    }
    out.flush().expect("written");
}

fn phrase(words: &[&str], random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..2 + random.next() % 80 {
        let at = random.next() as usize % (words.len() - 8);
        for word in &words[at..at + 2 + random.next() as usize % 5] {
            text.push_str(word);
            text.push(' ');
        }
    }
    text
}

/// xorshift: the same transcripts on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
