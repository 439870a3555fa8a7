//! What was to be sent to the store and could not be: remembered, and sent by whoever comes next.
//!
//! A list of sessions in the repository's own directory. What must stay true: nobody waits because of it, and what is on
//! it stays on it until it has arrived.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::Error;
use super::exchange::{self, Pushed};
use super::ledger::{Finding, Ledger};
use crate::durable::{self, At};
use crate::git::Repository;
use crate::id::SessionId;
use crate::progress::Silent;
use crate::seal::Callbacks;
use crate::store::refs;

fn file(repo: &Repository) -> PathBuf {
    repo.common.join("samesession").join("pending")
}

pub fn list(repo: &Repository) -> BTreeSet<SessionId> {
    let text = fs::read_to_string(file(repo)).unwrap_or_default();
    text.lines().filter_map(|line| SessionId::parse(line).ok()).collect()
}

pub fn add(repo: &Repository, sid: &SessionId) -> Result<(), Error> {
    let mut sids = list(repo);
    if sids.insert(sid.clone()) {
        write(repo, &sids)?;
    }
    Ok(())
}

pub fn forget(repo: &Repository, gone: &[SessionId]) -> Result<(), Error> {
    let mut sids = list(repo);
    let before = sids.len();
    sids.retain(|sid| !gone.contains(sid));
    if sids.len() == before { Ok(()) } else { write(repo, &sids) }
}

fn write(repo: &Repository, sids: &BTreeSet<SessionId>) -> Result<(), Error> {
    let path = file(repo);
    durable::create_dirs(durable::parent(&path))?;
    if sids.is_empty() {
        return Ok(fs::remove_file(&path).at("remove", &path)?);
    }
    let text: String = sids.iter().map(|sid| format!("{sid}\n")).collect();
    Ok(durable::write_atomic(&path, text.as_bytes())?)
}

/// Sends what waits. What still cannot be sent goes on waiting, and is no error of whatever else was asked for.
pub fn send<C: Callbacks>(ledger: &Ledger<'_>, remote: &str, callbacks: &C, findings: &mut Vec<Finding>) -> Result<Vec<Pushed>, Error> {
    let repo = &ledger.store.repo;
    let mut sids: Vec<SessionId> = list(repo).into_iter().collect();
    if sids.is_empty() {
        return Ok(Vec::new());
    }
    let known = refs::all(&ledger.store)?;
    let gone: Vec<SessionId> = sids.iter().filter(|sid| known.get(sid).is_none_or(|known| known.local.is_none())).cloned().collect();
    sids.retain(|sid| !gone.contains(sid));
    let pushed = exchange::push(ledger, remote, Some(&sids), callbacks, findings, &Silent)?;
    let arrived = pushed.iter().filter(|pushed| pushed.result.is_ok()).map(|pushed| pushed.sid.clone());
    forget(repo, &arrived.chain(gone).collect::<Vec<_>>())?;
    Ok(pushed)
}
