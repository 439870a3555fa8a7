//! What keeps Codex from going on with a thread, and what is wrong in a home: one line each, with the way out.
//!
//! Changes nothing. Everything here was seen to happen with the real program.

use std::io::{BufRead, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::index::{self, Reading};
use super::meta::Meta;
use super::summary::each;
use super::{rollout, settings};
use crate::agent::{Error, Home, jsonl};

/// No record is longer than this.
const LONGEST: u64 = 64 << 20;

const MIXED: &str = "an old version of Codex has appended to it, and newer ones refuse it: its last records lack an `ordinal`";

/// What would keep Codex from going on with a rollout that it has found, or from showing it.
pub fn of_rollout(home: &Home, path: &Path) -> Result<Vec<String>, Error> {
    let meta = Meta::read(path)?;
    let mut notes = Vec::new();
    if let Some(provider) = meta.provider.as_deref().filter(|name| !settings::has_provider(&home.root, name)) {
        notes.push(format!(
            "it was made with model provider \"{provider}\", which is not configured here, so Codex will refuse it: \
             add [model_providers.{provider}] to '{}'",
            home.root.join("config.toml").display()
        ));
    }
    match last_record(path)?.as_deref().map(serde_json::from_slice::<Record>) {
        Some(Ok(last)) if meta.is_paginated() && last.ordinal.is_none() => notes.push(MIXED.to_owned()),
        Some(Err(error)) => notes.push(format!("its last record is damaged: {error}")),
        _ => {}
    }
    if meta.source == "exec" {
        let shown = "the picker and `codex resume --last` show it with --include-non-interactive";
        notes.push(format!("it was made by `codex exec`: {shown}"));
    }
    Ok(notes)
}

pub fn of_home(home: &Home) -> Vec<String> {
    let mut faults = Vec::new();
    match index::read(home) {
        Reading::None => {}
        Reading::Unreadable(path, why) => faults.push(damaged_index(&path, &why)),
        Reading::Open(index) => {
            let rows = index.rows().unwrap_or_default();
            let stale = rows.iter().filter(|row| rollout::existing(&row.rollout).is_none()).count();
            if stale > 0 {
                faults.push(format!(
                    "Codex's index names {stale} rollouts that are not there, and cannot resume those threads: \
                     close Codex, move state_*.sqlite* out of '{}', and it is built anew at the next start",
                    home.databases.display()
                ));
            }
        }
    }
    let (mut found, _) = rollout::walk(home);
    for mixed in each(&found, |found| is_mixed(&found.path).then(|| found.path.clone())).into_iter().flatten() {
        faults.push(format!("'{}': {MIXED}", mixed.display()));
    }
    found.sort_by(|a, b| a.name.id.cmp(&b.name.id));
    for same in found.chunk_by(|a, b| a.name.id == b.name.id).filter(|same| same.len() > 1) {
        let places: Vec<String> = same.iter().map(|found| format!("'{}'", found.path.display())).collect();
        let (id, places) = (&same[0].name.id, places.join(", "));
        faults.push(format!("Codex thread {id} stands at several places, keep the longest: {places}"));
    }
    faults
}

pub fn damaged_index(path: &Path, why: &str) -> String {
    let way_out = "close Codex and move it away, and it is built anew at the next start";
    format!("Codex's index '{}' cannot be read ({why}): {way_out}", path.display())
}

#[derive(Deserialize)]
struct Record {
    ordinal: Option<IgnoredAny>,
}

fn is_mixed(path: &Path) -> bool {
    let paginated = Meta::read(path).is_ok_and(|meta| meta.is_paginated());
    let last = if paginated && !jsonl::is_packed(path) { last_record(path).ok().flatten() } else { None };
    last.is_some_and(|line| serde_json::from_slice::<Record>(&line).is_ok_and(|record| record.ordinal.is_none()))
}

/// The last whole line; of a packed rollout, after reading all of it.
fn last_record(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    if jsonl::is_packed(path) {
        let (mut reader, mut line, mut last) = (jsonl::open(path).map_err(read)?, Vec::new(), None);
        let mut begins = true;
        while reader.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(read)? > 0 {
            let ends = line.pop_if(|end| *end == b'\n').is_some();
            if begins && ends {
                last = Some(std::mem::take(&mut line));
            }
            line.clear();
            begins = ends;
        }
        return Ok(last);
    }
    for tail in [64 << 10, LONGEST as usize] {
        let ends = jsonl::Ends::read(path, 0, tail).map_err(read)?;
        if let Some(line) = ends.last_lines().next() {
            return Ok(Some(line.to_owned()));
        }
    }
    Ok(None)
}
