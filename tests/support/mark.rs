//! Whose a process of ours is, seen from outside: to its own user its environment cannot be read, and to the superuser it can.
//!
//! What every process hands on and anybody may read are its limits: for anybody but the superuser each home has a number of
//! its own of signals that may wait.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use rustix::process::{Resource, geteuid, getrlimit};

static HOMES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
const LEAST: u64 = 3000;

/// Whether all of a process can be read.
pub fn sees_everything() -> bool {
    geteuid().is_root()
}

fn of(home: &Path) -> u64 {
    let mut homes = HOMES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let at = homes.iter().position(|known| known == home).unwrap_or_else(|| {
        homes.push(home.to_owned());
        homes.len() - 1
    });
    let most = getrlimit(Resource::Sigpending).maximum.unwrap_or(60_000);
    assert!(most > 2 * LEAST, "{most} signals may wait: too few to tell machines apart");
    LEAST + (u64::from(std::process::id()) * 2000 + at as u64) % (most - LEAST)
}

/// That program, marked where it must be.
pub fn command(program: &OsStr, home: &Path) -> Command {
    if sees_everything() {
        return Command::new(program);
    }
    let mut command = Command::new("prlimit");
    command.arg(format!("--sigpending={}:", of(home))).arg("--").arg(program);
    command
}

/// Whether a process belongs to that home.
pub fn is_of(process: &Path, home: &Path) -> bool {
    if sees_everything() {
        let home = home.to_str().expect("text");
        return String::from_utf8_lossy(&fs::read(process.join("environ")).unwrap_or_default()).contains(home);
    }
    let limits = fs::read_to_string(process.join("limits")).unwrap_or_default();
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max pending signals")?.split_whitespace().next()?.parse().ok());
    soft == Some(of(home))
}
