//! The numbers of ARCHITECTURE.md: each beside a public tool on the same bytes in the same run.
//!
//! `cargo bench --bench numbers` prints them all. `-- --smoke` prints only what can be counted (memory, system calls,
//! bytes, processes), which does not depend on how busy the machine is, and fails where a bound is passed: CI runs that.
//! Any other argument is a topic, of those in `main`, and only topics that are named are run.

mod git;
mod growth;
mod hooks;
mod lists;
mod measure;
mod moving;
mod remote;
mod sealed;
mod secrets;
mod steps;
mod transcripts;
mod trust;
mod watch;
mod workspace;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use measure::run;
use transcripts::transcript;

const PROGRAM: &str = env!("CARGO_BIN_EXE_git-samesession");

struct Bench {
    dir: tempfile::TempDir,
    smoke: bool,
    passed: bool,
}

type Topic = (&'static str, fn(&mut Bench));

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let smoke = args.iter().any(|arg| arg == "--smoke");
    let named: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let mut bench = Bench { dir: tempfile::tempdir().expect("a temporary directory"), smoke, passed: true };
    let counted: [Topic; 13] = [
        ("memory", Bench::memory),
        ("git-memory", Bench::git_memory),
        ("listing", Bench::listing),
        ("whole", Bench::whole_command),
        ("steps", Bench::steps),
        ("history", Bench::history),
        ("growth", Bench::growth),
        ("chains", Bench::chains),
        ("workspace", Bench::workspace),
        ("moving", Bench::moving),
        ("hooks", Bench::hooks),
        ("watch", Bench::watch),
        ("remote", Bench::remote),
    ];
    let timed: [Topic; 6] = [
        ("sealing", Bench::sealing),
        ("git", Bench::git_sealing),
        ("restic", Bench::restic),
        ("start", Bench::start_up),
        ("secrets", Bench::secrets),
        ("trust", Bench::trust),
    ];
    println!("{:<66} {:>12} {:>12} {:>8} {:>8}", "what", "ours", "reference", "ratio", "bound");
    for (name, topic) in counted.into_iter().chain(timed.into_iter().filter(|_| !smoke)) {
        if named.is_empty() || named.iter().any(|given| *given == name) {
            topic(&mut bench);
        }
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

    /// A program in that home, and in nobody else's.
    fn program(&self, home: &Path, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", home).env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TMPDIR", self.dir.path());
        command.env("GIT_CONFIG_NOSYSTEM", "1");
        command.current_dir(home.join("project")).args(args).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn ours(&self, home: &Path, args: &[&str]) -> Command {
        self.program(home, PROGRAM, args)
    }

    /// The same without the search for secrets.
    fn unsearched(&self, home: &Path, args: &[&str]) -> Command {
        let mut command = self.ours(home, args);
        let setting = [("COUNT", "1"), ("KEY_0", "samesession.secrets"), ("VALUE_0", "off")];
        command.envs(setting.map(|(name, value)| (format!("GIT_CONFIG_{name}"), value)));
        command
    }

    fn row(&mut self, what: &str, ours: String, reference: Option<String>, ratio: f64, bound: f64) {
        let verdict = if ratio <= bound { "" } else { "  PASSED OVER" };
        self.passed &= ratio <= bound;
        println!("{what:<66} {ours:>12} {:>12} {ratio:>8.2} {bound:>8.2}{verdict}", reference.unwrap_or_default());
    }

    /// A number that has no bound.
    fn note(&self, what: &str, ours: String, reference: String, ratio: f64) {
        println!("{what:<66} {ours:>12} {reference:>12} {ratio:>8.2} {:>8}", "-");
    }

    /// A count that has one.
    fn count(&mut self, what: &str, count: u64, most: u64) {
        self.row(what, count.to_string(), None, count as f64, most as f64);
    }

    /// A Claude Code session of so many bytes, and a device.
    fn session(&self, home: &Path, id: &str, bytes: usize) -> PathBuf {
        let project = home.join(".claude/projects/-bench");
        fs::create_dir_all(&project).expect("directories");
        let path = project.join(format!("{id}.jsonl"));
        transcript(&path, id, "/bench", bytes);
        if !home.join(".config/samesession/device").exists() {
            run(&mut self.ours(home, &["device", "init", "--name", "bench"]));
        }
        path
    }

    /// The age recipient of that home's device.
    fn recipient(&self, home: &Path) -> String {
        let keys = fs::read_to_string(home.join(".config/samesession/device/identity.txt")).expect("a device");
        keys.lines().find_map(|line| line.strip_prefix("# public key: ")).expect("a key").to_owned()
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

fn installed(tools: &[&str]) -> bool {
    // restic has no --version, and all of them have something to say for this.
    tools.iter().all(|tool| Command::new(tool).arg("--help").stdin(Stdio::null()).output().is_ok())
}
