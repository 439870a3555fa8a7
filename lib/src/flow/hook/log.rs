//! What hooks did, for whoever wonders: a line each in the repository's own directory, for its owner's eyes only.
//!
//! Bounded: when it has grown long its older half goes. That it cannot be written is nobody's trouble.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::{durable, time};

const MOST: u64 = 64 << 10;
pub const SHOWN: usize = 10;

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    pub at: String,
    pub what: String,
}

pub fn path(common: &Path) -> PathBuf {
    super::queue::dir(common).join("log")
}

/// Nothing where the repository is gone: whoever still works for it does not make it again.
pub fn add(common: &Path, now: SystemTime, what: &str) {
    if !common.is_dir() {
        return;
    }
    let path = path(common);
    let _ = durable::create_dirs(durable::parent(&path));
    add_to(&path, now, what);
}

/// One write, so that lines of many processes do not mix; nothing where there is no such directory.
pub fn add_to(path: &Path, now: SystemTime, what: &str) {
    let words: String = what.chars().map(|c| if c.is_control() { ' ' } else { c }).take(1000).collect();
    let line = format!("{} {words}\n", time::format(now));
    if let Ok(mut file) = OpenOptions::new().append(true).create(true).mode(0o600).open(path) {
        let _ = file.write_all(line.as_bytes());
        if file.metadata().is_ok_and(|meta| meta.len() > MOST) {
            halve(path);
        }
    }
}

fn halve(path: &Path) {
    let Ok(bytes) = fs::read(path) else { return };
    let half = bytes.len() / 2;
    let from = bytes[half..].iter().position(|&byte| byte == b'\n').map_or(half, |newline| half + newline + 1);
    let _ = durable::write_atomic(path, &bytes[from..]);
}

/// The newest, oldest first.
pub fn tail(path: &Path) -> Vec<Line> {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut lines: Vec<Line> = text
        .lines()
        .rev()
        .take(SHOWN)
        .filter_map(|line| line.split_once(' ').map(|(at, what)| Line { at: at.to_owned(), what: what.to_owned() }))
        .collect();
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_that_is_gone_is_not_made_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let common = dir.path().join("project/.git");
        add(&common, SystemTime::UNIX_EPOCH, "too late");
        assert!(!dir.path().join("project").exists());
        fs::create_dir_all(&common).expect("made");
        add(&common, SystemTime::UNIX_EPOCH, "in time");
        assert_eq!(tail(&path(&common)).first().map(|line| line.what.as_str()), Some("in time"));
    }
}
