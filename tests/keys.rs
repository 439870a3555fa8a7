//! Where keys are kept and who signs: passphrases over this machine's keys, keys in agents and files, and what a process
//! that holds secrets tells nobody.

mod gpg;
mod passphrase;
mod reader;
mod secrecy;
mod signing;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::agents::installed;
use crate::support::agents::pty::Terminal;
use crate::support::sandbox::Machine;

pub const PASSPHRASE: &str = "canary-passphrase-7f3a";
const ASKS: &str = "Passphrase for the keys of this device";

fn keys_of(machine: &Machine) -> PathBuf {
    machine.home.join(".config/samesession/device")
}

/// A file that only its owner may read, with this line.
fn line_in(machine: &Machine, name: &str, line: &str) -> PathBuf {
    let file = machine.home.join(name);
    fs::write(&file, format!("{line}\n")).expect("written");
    file
}

/// The shell's words at a terminal, which stays when they are done and shows with which code.
fn at_a_terminal(machine: &Machine, words: &str) -> Terminal {
    let mut command = machine.command("sh");
    command.env("TERM", "screen").args(["-c", &format!("{words}; echo \"ended with $?.\"; exec sleep 300")]);
    Terminal::open(&command)
}

fn answer(terminal: &Terminal, question: &str, answer: &str) {
    terminal.wait_for(question);
    terminal.write(answer);
    terminal.press("Enter");
}

fn sh(machine: &Machine, words: &str) -> Output {
    machine.command("setsid").args(["--wait", "sh", "-c", words]).output().expect("a shell")
}

/// Everything below that holds this text.
fn holding(root: &Path, text: &str) -> Vec<PathBuf> {
    let out = Command::new("grep").args(["-rlaF", "--", text]).arg(root).output().expect("grep");
    String::from_utf8_lossy(&out.stdout).lines().map(PathBuf::from).collect()
}
