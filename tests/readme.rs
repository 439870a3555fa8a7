//! The README is run: each command in it, on two machines as its story has them, and what it says they print.
//!
//! `laptop$` and `desktop$` are homes of a sandbox, in the directory `~/src/app`; `$` is a clone of this repository. In a
//! command, `age1…` and `SHA256:…` stand for the *other* machine's recipient and fingerprint. In what is printed, `…`
//! stands for any text, sizes and widths are examples, and lines may be left out. A command that nothing here knows how to
//! run fails the test.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::support::agents::skipped;
use crate::support::sandbox::{Machine, Sandbox, fixture};

const IDENTITY: [&str; 4] = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"];
const SESSION: &str = "0b5f2c1e-7d3a-4c66-9f0e-2b8a4d9c1e57";
const DEMO: &str = "cargo run --release --locked --bin git-samesession -- demo";
const TEST: &str = "cargo test --locked";
/// Not for a test to run: it builds a release and writes into the user's own directories.
const INSTALL: &str = "cargo install --locked --path .";

#[derive(Debug)]
struct Typed {
    prompt: String,
    command: String,
    prints: Vec<String>,
}

#[test]
fn every_command_does_what_the_readme_says() {
    let sandbox = Sandbox::new();
    let mut story = Story::new(&sandbox);
    let commands = typed(&read("README.md"));
    assert!(commands.len() > 15, "the README's commands are found: {commands:?}");
    for typed in &commands {
        let printed = match typed.prompt.as_str() {
            "" => story.in_the_clone(&typed.command),
            "laptop" => story.on(0, &typed.command),
            "desktop" => story.on(1, &typed.command),
            other => panic!("whose prompt is '{other}$'?"),
        };
        if let Some(printed) = printed {
            agree(typed, &printed);
        }
    }
    for command in [DEMO, TEST, INSTALL] {
        assert!(commands.iter().any(|typed| typed.command == command), "the README no longer says '{command}'");
    }
}

#[test]
fn what_the_readme_points_to_is_there() {
    let text = read("README.md");
    for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|link| !link.starts_with("http")) {
        assert!(root().join(link).exists(), "{link}");
    }
    let install = read("tests/install-agents.sh");
    for agent in ["claude", "codex"] {
        let pinned = install.lines().find_map(|line| line.strip_prefix(agent)?.strip_prefix('=')).expect("a pinned version");
        assert!(text.contains(&format!("| {pinned} |")), "tested with {agent} {pinned}");
    }
}

struct Story {
    machines: [Machine; 2],
    /// A home to install into.
    clone: Machine,
    /// Where, and what, the last restore said to type.
    to_go_on: (PathBuf, String),
}

impl Story {
    fn new(sandbox: &Sandbox) -> Story {
        let machine = |name| {
            let machine: Machine = sandbox.machine(name);
            machine.at(machine.home.join("src/app"))
        };
        // Elsewhere a machine's name is that of its host.
        // On PATH there is an agent that says one thing and ends.
        let [laptop, desktop] = ["laptop", "desktop"].map(|name| machine(name).with_agent(""));
        let origin = sandbox.path().join("origin.git");
        for machine in [&laptop, &desktop] {
            fs::create_dir_all(&machine.cwd).expect("made");
            machine.run(["device", "init", "--name", &machine.name]).ok();
        }
        let git = |machine: &Machine, args: &[&str]| {
            assert!(machine.command("git").args(args).status().expect("git").success(), "{args:?}");
        };
        let address = origin.to_str().expect("UTF-8");
        git(&laptop, &["init", "-q", "--bare", "-b", "main", address]);
        git(&laptop, &["init", "-q", "-b", "main"]);
        git(&laptop, &["remote", "add", "origin", address]);
        let write = |name: &str, text: &str| fs::write(laptop.cwd.join(name), text).expect("written");
        write("login.py", "def login():\n    pass\n");
        git(&laptop, &["add", "."]);
        git(&laptop, &[&IDENTITY[..], &["commit", "-q", "-m", "Begin"]].concat());
        git(&laptop, &["push", "-q", "-u", "origin", "main"]);
        git(&desktop, &["clone", "-q", address, "."]);
        // What somebody leaves: a commit of one's own, a staged change with another one behind it, a new file.
        write("test_login.py", "def test_login():\n    pass\n");
        git(&laptop, &["add", "."]);
        git(&laptop, &[&IDENTITY[..], &["commit", "-q", "-m", "Try it"]].concat());
        write("login.py", "def login():\n    return 1\n");
        git(&laptop, &["add", "."]);
        write("login.py", "def login():\n    return True\n");
        fs::create_dir_all(laptop.claude_project()).expect("made");
        fs::write(laptop.claude_project().join(format!("{SESSION}.jsonl")), record(&laptop, "Fix the flaky login test")).expect("written");
        a_codex_session(&laptop, "Why is the build slow?");
        fs::write(laptop.cwd.join("jo.pub"), include_str!("fixtures/jo.pub")).expect("written");
        fs::write(laptop.home.join("phrase.txt"), "six words that nobody would guess\n").expect("written");
        Story { machines: [laptop, desktop], clone: sandbox.machine("clone").at(root()), to_go_on: (PathBuf::new(), String::new()) }
    }

    fn in_the_clone(&self, command: &str) -> Option<String> {
        match command {
            DEMO => Some(self.clone.run(["demo"]).ok().stdout()),
            TEST => {
                assert!(read(".ci/run").lines().any(|line| line == format!("step {TEST}")), ".ci/run runs another command");
                None
            }
            INSTALL => None,
            _ if command.starts_with("mkdir ") || command.starts_with("cp ") => Some(shell(&self.clone, command)),
            _ => panic!("nothing here runs '$ {command}'"),
        }
    }

    fn on(&mut self, n: usize, command: &str) -> Option<String> {
        let (machine, other) = (&self.machines[n], &self.machines[1 - n]);
        let words: Vec<&str> = command.split(' ').collect();
        match words.as_slice() {
            ["git", ..] => {
                let mut command = command.to_owned();
                for (word, stands_for) in [("age1…", Machine::recipient as fn(&Machine) -> String), ("SHA256:…", Machine::fingerprint)]
                {
                    if command.contains(word) {
                        command = command.replace(word, &stands_for(other));
                    }
                }
                let printed = shell(machine, &command);
                let next = printed.lines().find_map(|line| line.strip_prefix("to go on: ")?.split_once(" && "));
                if let Some((dir, command)) = next {
                    self.to_go_on = (PathBuf::from(dir.trim_start_matches("cd ")), command.to_owned());
                }
                Some(printed.replace(machine.home.to_str().expect("UTF-8"), "/home/ann").replace(&encoded(machine), "-home-ann"))
            }
            ["scp", file, to] => {
                assert_eq!(*to, format!("{}:", other.name));
                fs::copy(machine.cwd.join(file), other.home.join(file)).expect("carried over");
                None
            }
            ["claude", "--resume", _] => {
                let (dir, said) = &self.to_go_on;
                assert_eq!(command, said, "not what restore said to type");
                let transcript = machine.at(dir.clone()).claude_project().join(format!("{SESSION}.jsonl"));
                let grown = fs::read_to_string(&transcript).expect("the agent finds it") + &record(machine, "Now do it there");
                fs::write(&transcript, grown).expect("written");
                None
            }
            ["age", ..] if ["age", "zstd"].iter().any(|tool| shell_says(machine, &format!("command -v {tool}")).is_err()) => {
                skipped("age or zstd is not installed, so nothing is opened by hand");
                None
            }
            ["age", ..] => Some(shell(machine, command).replace(&encoded(machine), "-home-ann").replace(&encoded(other), "-home-ann")),
            _ => panic!("nothing here runs '{}$ {command}'", machine.name),
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn typed(text: &str) -> Vec<Typed> {
    let mut commands: Vec<Typed> = Vec::new();
    for (n, block) in text.split("```").enumerate().filter(|(n, _)| n % 2 == 1) {
        let (language, lines) = block.split_once('\n').unwrap_or((block, ""));
        assert_eq!(language, "console", "fence {n} could hold commands that nothing runs");
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            match line.split_once("$ ").filter(|(prompt, _)| prompt.chars().all(char::is_alphanumeric)) {
                Some((prompt, command)) => {
                    commands.push(Typed { prompt: prompt.to_owned(), command: command.to_owned(), prints: Vec::new() });
                }
                None => commands.last_mut().expect("a command comes first").prints.push(line.to_owned()),
            }
        }
    }
    commands
}

/// Each line that the README shows is printed, in that order.
fn agree(typed: &Typed, printed: &str) {
    let mut lines = printed.lines();
    for shown in &typed.prints {
        let found = lines.any(|line| fits(&plain(shown), &plain(line)));
        assert!(found, "'{}' does not print\n  {shown}\nin its place, but\n{printed}", typed.command);
    }
}

/// Without widths and sizes, which are examples.
fn plain(line: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in line.split_whitespace() {
        let unit = word.trim_end_matches([',', ';']);
        match words.last_mut().filter(|last| matches!(unit, "B" | "KiB" | "MiB") && last.parse::<f64>().is_ok()) {
            Some(number) => *number = "SIZE",
            None => words.push(word),
        }
    }
    words.join(" ")
}

fn fits(shown: &str, line: &str) -> bool {
    let parts: Vec<&str> = shown.split('…').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return shown == line };
    let Some(mut rest) = line.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
    middle.iter().all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

fn shell_says(machine: &Machine, command: &str) -> Result<String, String> {
    // What an agent is started with is told beside its own output.
    let command = if command.contains(" resume") { format!("{command} 2>&1") } else { command.to_owned() };
    let output = machine.command("setsid").args(["--wait", "sh", "-c", &command]).output().expect("a shell");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[track_caller]
fn shell(machine: &Machine, command: &str) -> String {
    shell_says(machine, command).unwrap_or_else(|error| panic!("{}$ {command}\n{error}", machine.name))
}

/// The machine's home in the name of a project directory of Claude Code.
fn encoded(machine: &Machine) -> String {
    machine.at(&machine.home).claude_project().file_name().expect("a name").to_str().expect("ASCII").to_owned()
}

fn record(machine: &Machine, says: &str) -> String {
    let record =
        serde_json::json!({"type": "user", "sessionId": SESSION, "cwd": machine.cwd, "version": "2.1.329", "message": {"content": says}});
    format!("{record}\n")
}

/// A genuine rollout with another first prompt, an hour and a half old.
fn a_codex_session(machine: &Machine, prompt: &str) {
    const ROLLOUT: &str = "sessions/2026/11/21/rollout-2026-11-21T04-03-33-01a1fc46-14ce-7500-867f-3e8961b3c90d.jsonl";
    let genuine = fs::read_to_string(fixture("codex-0.169.0/.codex").join(ROLLOUT)).expect("the fixture");
    let first = "Remember the codeword WOMBAT-4410. Please write a file.";
    assert!(genuine.contains(first));
    let text = genuine.replace(first, prompt).replace("/home/dev/src/demo.app_one", machine.cwd.to_str().expect("UTF-8"));
    let file = machine.codex().join(ROLLOUT);
    fs::create_dir_all(file.parent().expect("in a folder")).expect("made");
    fs::write(&file, text).expect("written");
    let then = SystemTime::now() - Duration::from_secs(90 * 60);
    fs::File::options().write(true).open(&file).and_then(|file| file.set_modified(then)).expect("a file's time can be set");
}

#[test]
fn three_dots_stand_for_any_text() {
    for (shown, line, does) in [
        ("a … c", "a b c", true),
        ("a …", "a b c", true),
        ("a …", "b", false),
        ("a … c", "a b c d", false),
        ("a", "a b", false),
        ("… c", "a b c", true),
    ] {
        assert_eq!(fits(shown, line), does, "{shown} / {line}");
    }
    assert_eq!(plain("2 files,   18.9 KiB -> x,  6 B"), "2 files, SIZE -> x, SIZE");
}
