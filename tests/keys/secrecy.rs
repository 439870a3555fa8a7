//! What nobody is told: keys and passphrases in arguments, in the environment of what we start, in answers and errors, in
//! core dumps.

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{ASKS, PASSPHRASE, answer, at_a_terminal, installed, keys_of, line_in, sh};
use crate::moving::launch::until;
use crate::support::agents::skipped;
use crate::support::chains::{Team, id};
use crate::support::sandbox::Machine;
use crate::workspace::scene::Scene;

fn core_limit(child: &Child) -> String {
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).expect("it runs");
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit").to_owned();
    line.split_whitespace().nth(4).expect("the soft one").to_owned()
}

/// Whether a core was dumped of it when it was told to die.
fn dumps(mut child: Child) -> bool {
    // The shell has become it by now.
    until("it runs", || {
        fs::read_link(format!("/proc/{}/exe", child.id())).is_ok_and(|exe| !exe.ends_with("dash") && !exe.ends_with("bash"))
    });
    kill_process(Pid::from_child(&child), Signal::ABORT).expect("sent");
    child.wait().expect("it ends").core_dumped()
}

fn raised(machine: &Machine, words: &str) -> Child {
    let mut command = machine.command("sh");
    command.args(["-c", &format!("ulimit -S -c 1234 && exec {words}")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a shell")
}

#[test]
fn neither_program_leaves_a_core_and_the_agent_has_the_users_own_limit() {
    let team = Team::new();
    let laptop = team.machine("laptop");
    laptop.begin(&id(1));
    let pause = laptop.home.join("pause");
    let paused = laptop.env("SAMESESSION_FAULT", format!("capture.opened=pause:{}", pause.display()));
    let child = raised(&paused, &format!("git-samesession checkpoint {}", id(1)));
    until("it has begun", || pause.exists());
    assert_eq!(core_limit(&child), "0");
    // Even with a limit that allows it, as where cores go through a pipe, which no limit stops.
    let raise = laptop.command("prlimit").args(["--pid", &child.id().to_string(), "--core=1234000:"]).output().expect("prlimit");
    assert!(raise.status.success() && core_limit(&child) != "0", "{}", String::from_utf8_lossy(&raise.stderr));
    let (here, ours) = (dumps(raised(&laptop, "sleep 60")), dumps(child));
    assert!(!ours, "it was dumped");
    if !here {
        skipped("nothing is dumped here, and so nothing is shown");
    }

    let mut child = raised(&laptop, "git-remote-session agents current");
    std::io::Write::write_all(child.stdin.as_mut().expect("a pipe"), b"capabilities\n").expect("written");
    let mut byte = [0];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut byte).expect("it answers");
    assert_eq!(core_limit(&child), "0");
    drop(child.stdin.take());
    child.wait().expect("it ends");

    let scene = Scene::new();
    scene.laptop.say("a word");
    scene.laptop.run_here(["move", crate::support::clones::SESSION]).ok();
    let limit = scene.sandbox.path().join("limit");
    let there = scene.desktop.with_agent(&format!("ulimit -S -c >'{}'", limit.display()));
    let out = raised(&there, "git-samesession resume").wait_with_output().expect("it ends");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(fs::read_to_string(limit).expect("the agent ran").trim(), "1234");
}

/// What must be nowhere: the age key, each line of the signing key, passphrases.
fn canaries(machine: &Machine) -> Vec<String> {
    let read = |name: &str| fs::read_to_string(keys_of(machine).join(name)).expect("a key");
    let age = read("identity.txt").lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).map(str::to_owned);
    let signing = read("signing_key").lines().filter(|line| line.len() > 60 && !line.starts_with('-')).map(str::to_owned).collect();
    // The first line of the body is the form's and the public key's.
    let signing: Vec<String> = signing;
    let secret = signing.iter().skip(2).cloned();
    let found: Vec<String> = age.into_iter().chain(secret).chain([PASSPHRASE.to_owned()]).collect();
    assert!(found.len() >= 3, "{found:?}");
    found
}

/// Every command there is, by the page's synopsis.
fn commands() -> Vec<Vec<String>> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/man/git-samesession.1")).expect("the page");
    let synopsis = page.split(".Sh SYNOPSIS").nth(1).and_then(|rest| rest.split(".Sh ").next()).expect("a synopsis");
    let named = synopsis.lines().filter_map(|line| line.strip_prefix(".Cm "));
    let found: Vec<Vec<String>> = named.map(|words| words.split(' ').map(str::to_owned).collect()).collect();
    assert!(found.len() > 30, "{found:?}");
    found
}

#[test]
fn no_secret_is_in_an_argument_an_environment_an_answer_or_an_error() {
    if !installed("strace") {
        return;
    }
    let team = Team::new();
    let laptop = team.machine("laptop");
    laptop.begin(&id(1));
    let canaries = canaries(&laptop);
    let file = line_in(&laptop, "passphrase", PASSPHRASE);
    let (identity, capsule) = (keys_of(&laptop).join("identity.txt"), laptop.home.join("x.capsule"));
    let text = |path: &PathBuf| path.to_str().expect("UTF-8").to_owned();
    let words = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut runs = vec![
        words(&format!("checkpoint {}", id(1))),
        words(&format!("checkpoint {} -o {} --passphrase-file {}", id(1), text(&capsule), text(&file))),
        words(&format!("inspect {} --passphrase-file {}", text(&capsule), text(&file))),
        words(&format!("restore {} --session-only --passphrase-file {}", text(&capsule), text(&file))),
        words(&format!("inspect {} -i {}", text(&identity), text(&identity))),
        words(&format!("inspect {} -i {}", text(&capsule), text(&identity))),
        words(&format!("recipient add {}", text(&identity))),
        words(&format!("checkpoint {} -r {}", id(1), text(&keys_of(&laptop).join("signing_key")))),
        words("push origin"),
        words("device init --passphrase"),
        words("device join"),
    ];
    // A demonstration, and an agent that is started, are the same code on other machines.
    runs.extend(commands().into_iter().filter(|words| words[0] != "demo" && words[0] != "clone"));
    let traced = laptop.home.join("strace");
    let mut seen = String::new();
    for (n, args) in runs.iter().enumerate() {
        // Each says it to people or to programs, by turns.
        let json = if n % 2 == 0 { &["--json"][..] } else { &[] };
        let mut command = laptop.env("SAMESESSION_TRACE", "1").command("setsid");
        command.args(["--wait", "strace", "-f", "-qq", "-v", "-s", "65536", "-e", "trace=execve", "-o"]).arg(&traced);
        let out = command.arg("git-samesession").args(args).args(json).output().expect("strace");
        seen = format!(
            "{}\n{}\n{}",
            fs::read_to_string(&traced).expect("a trace"),
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        assert!(seen.contains("execve("), "{args:?}: {seen}");
        for canary in &canaries {
            assert!(!seen.contains(canary), "{args:?} told {canary}:\n{seen}");
        }
    }
    assert!(!seen.is_empty());
    assert!(sh(&laptop, "git samesession list | grep -q .").status.success(), "or nothing was done at all");

    if !installed("tmux") {
        return;
    }
    laptop.run(["device", "passphrase", "--passphrase-file", &text(&file)]).ok();
    laptop.adds(&id(1), "more");
    let tracing = format!("strace -f -qq -v -s 65536 -e trace=execve -o {} git-samesession", traced.display());
    for (passphrase, code) in [("wrong-canary-81c2", 1), (PASSPHRASE, 0)] {
        let words = format!("SAMESESSION_TRACE=1 {tracing} checkpoint {} >\"$HOME/out\" 2>\"$HOME/err\"", id(1));
        let terminal = at_a_terminal(&laptop, &words);
        answer(&terminal, ASKS, passphrase);
        terminal.wait_for(&format!("ended with {code}."));
        let read = |path: PathBuf| fs::read_to_string(path).expect("written");
        let seen = [read(traced.clone()), read(laptop.home.join("out")), read(laptop.home.join("err")), terminal.screen()].concat();
        assert!(seen.contains("execve(") && !seen.contains(passphrase), "{seen}");
        for canary in &canaries {
            assert!(!seen.contains(canary), "{canary}:\n{seen}");
        }
    }
}
