//! This program's own files on this machine, which a crash, a disk or another version may have made wrong.

use std::fs;
use std::time::Duration;

use super::texts;
use crate::flow::journal::Journal;
use crate::flow::retention::Retention;
use crate::flow::{Selector, placed};
use crate::policy::names::Patterns;
use crate::policy::secrets::Allowed;
use crate::signers::KnownSigners;
use crate::{agent, time};

pub fn journal(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory");
    let one = dir.path().join(".samesession/x");
    fs::create_dir_all(&one).expect("made");
    fs::write(one.join("journal.json"), bytes).expect("written");
    if let Some(journal) = Journal::read(&one) {
        let (files, places) = journal.settled_view();
        assert_eq!(files.len(), places.len());
        let json = serde_json::to_vec(&journal).expect("JSON");
        fs::write(one.join("journal.json"), json).expect("written");
        assert!(Journal::read(&one).is_some(), "as it was written");
    }
    let home = agent::Home { root: dir.path().to_owned(), databases: dir.path().to_owned() };
    for agent in agent::all() {
        let _ = placed::discover(*agent, &home);
    }
}

pub fn journal_seeds() -> Vec<Vec<u8>> {
    texts(["{\"schema\":\"samesession.journal/1\",\"state\":\"committed\",\"created\":\"2026-11-21T04:03:02.746Z\",\"agent\":\"claude\",\
        \"native_id\":\"aaaaaaaa-0001-4000-8000-000000000001\",\"cwd\":\"/w%FF\",\"made\":[\"/h/x\"],\"files\":[{\"name\":\"session/a\",\
        \"role\":\"transcript\",\"staged\":\"/h/s\",\"place\":\"/h/a\"}],\"steps\":[{\"target\":\"/h/a\",\"backup\":null,\
        \"new\":{\"staged\":\"/h/s\",\"size\":3,\"sha256\":\"00\",\"mode\":384}}]}"])
}

/// Words and lines: times, what is kept of a chain, what somebody has typed, exceptions.
pub fn kept(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(time) = time::parse(&text) {
        let written = time::format(time);
        assert_eq!(time::parse(&written).map(time::format), Some(written), "{text}");
        // A lease's end and an age are reckoned from it.
        let _ = (time + Duration::from_secs(86_400 * 365), time.checked_sub(Duration::from_secs(86_400 * 365)));
    }
    let _ = (Retention::parse(&text), Selector::parse(Some(&text)));
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) {
        let more = serde_json::Map::from_iter([("allowed_secrets".to_owned(), value)]);
        let _ = Allowed::of_manifest(&more);
    }
}

pub fn kept_seeds() -> Vec<Vec<u8>> {
    texts([
        "2026-11-21T04:03:02.746Z",
        "1969-12-31T23:59:59Z",
        "2026-11-21T05:03:02+01:00",
        "2026-11-21 05:03:02.5-01:30",
        "all:30d,last:10",
        "30d",
        "claude:aaaaaaaa",
        "[{\"id\":\"0123456789abcdef\",\"reason\":\"x\",\"allowed\":\"2026-11-21T04:03:02.746Z\"}]",
    ])
}

pub fn signers(bytes: &[u8]) {
    let signers = KnownSigners::of(String::from_utf8_lossy(bytes).into_owned());
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE5ZTvw8fq4rN1bGzr3cEQx5Yl1vmwMCEjZcLXgWzXIn".to_owned();
    let _ = signers.name_of(&crate::seal::Signer { fingerprint: String::new(), key });
    let _ = signers.complaints();
}

pub fn signers_seeds() -> Vec<Vec<u8>> {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE5ZTvw8fq4rN1bGzr3cEQx5Yl1vmwMCEjZcLXgWzXIn";
    texts([&format!("# x\nlaptop namespaces=\"samesession,git\" {key} a comment\n"), &format!("laptop cert-authority {key}\n{key}\n")])
}

/// `.samesessionignore`, and the names that it is asked about.
pub fn ignore(bytes: &[u8]) {
    let list = Patterns::of(bytes.split(|&byte| byte == b'\n'));
    // Git's answers are relative.
    let own = bytes.strip_prefix(b"/").map_or(bytes, <[u8]>::trim_ascii_start);
    for path in [&b"a/b/c.txt"[..], b".env", if own.starts_with(b"/") { b"" } else { own }] {
        let _ = list.decide(path);
        let _ = Patterns::key_files().decide(path);
    }
}

pub fn ignore_seeds() -> Vec<Vec<u8>> {
    texts(["# words\n/build\n*.log\n!keep.log\nbig/\r\nsub/*.bin\n", "[a-z]**/x?\n\\!\\#\n", "a/**/b/*/**\n"])
}
