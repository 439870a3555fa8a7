//! Git's state files changed in some places: understood or not, and what is understood is what `check` would let in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::lab::{Lab, Place};
use crate::fuzzing::mutate::{Random, mutate};
use crate::workspace::operation::{check, read};

/// Files of the operation, and what they hold.
fn state(place: &Place) -> BTreeMap<PathBuf, Vec<u8>> {
    let dir = place.git_dir();
    let own = |path: &Path| {
        let name = path.strip_prefix(&dir).expect("below").to_string_lossy().into_owned();
        ["rebase-", "sequencer", "BISECT", "MERGE_", "CHERRY", "REVERT"].iter().any(|begin| name.starts_with(begin))
    };
    let (mut found, mut open) = (BTreeMap::new(), vec![dir.clone()]);
    while let Some(below) = open.pop() {
        for path in fs::read_dir(below).expect("a directory").flatten().map(|entry| entry.path()).filter(|path| own(path)) {
            match path.is_dir() {
                true => open.push(path),
                false => drop(found.insert(path.clone(), fs::read(&path).expect("readable"))),
            }
        }
    }
    found
}

#[test]
fn state_files_with_anything_in_them_are_read_to_an_end() {
    let cases: u64 = std::env::var("SAMESESSION_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(30);
    let begun: [&[&[&str]]; 4] = [
        &[&["bisect", "start", "HEAD", "HEAD~6"], &["checkout", "-q", "main"], &["rebase", "--rebase-merges", "upstream"]],
        &[&["rebase", "--apply", "upstream"]],
        &[&["checkout", "-q", "upstream"], &["cherry-pick", "main~4..main"]],
        &[&["merge", "upstream"]],
    ];
    let mut understood = 0;
    for commands in begun {
        let lab = Lab::new();
        let place = lab.begin(&[]);
        commands.iter().for_each(|args| drop(place.command(args)));
        let (repo, files) = (place.repository(), state(&place));
        assert!(!read(&repo).expect("understood").is_empty() && !files.is_empty(), "{commands:?}");
        let seeds: Vec<Vec<u8>> = files.values().cloned().collect();
        for case in 0..cases {
            let mut random = Random::new(case);
            let (path, genuine) = files.iter().nth(random.below(files.len())).expect("one");
            fs::write(path, mutate(&mut random, &[&[genuine.clone()][..], &seeds].concat(), 64 << 10)).expect("written");
            if let Ok(operations) = read(&repo) {
                check(&operations, repo.hash).unwrap_or_else(|error| panic!("case {case}, '{}': {error}", path.display()));
                understood += 1;
            }
            fs::write(path, genuine).expect("written");
        }
    }
    assert!(understood > 0, "nothing was changed that may be otherwise");
}
