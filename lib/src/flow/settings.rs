//! What stands of ours in Git's configuration; the only place that spells the names.
//!
//! Values are written to this clone's own file and nowhere else. What must stay true: what a user wrote there by hand, or
//! has in another file, is not touched unless it is what they asked to remove.

use std::time::Duration;

use super::keys::{self, SealTo};
use super::{Error, keys::looks_like_a_key};
use crate::git::Repository;
use crate::lease;

/// Who reads the chains that begin in this clone, besides the device that begins one; once for each.
pub const RECIPIENT: &str = "samesession.recipient";

/// The public half of the key on paper.
pub const RECOVERY: &str = "samesession.recovery";

/// The remote that sessions go to.
pub const STORE: &str = "samesession.store";

/// Sessions are fetched one by one when they are asked for. As Git lists it.
pub const ON_DEMAND: &str = "samesession.ondemand";

/// What opens to a device that is approved. As Git lists it.
const APPROVE_OPENS: (&str, &str) = ("samesession.approveopens", "samesession.approveOpens");

/// Whether the sessions that are there open to whoever is approved, or only those that begin from then on.
pub fn approve_opens(repo: &Repository) -> Result<bool, Error> {
    match repo.config.get(APPROVE_OPENS.0) {
        None | Some("" | "all") => Ok(true),
        Some("none") => Ok(false),
        Some(other) => {
            let value = other.chars().take(40).collect();
            Err(Error::Setting { name: APPROVE_OPENS.1, value, why: "it can be 'all' or 'none'" })
        }
    }
}

/// How often a running `resume` makes checkpoints; never, where it is not set. As Git lists it.
const AUTO_CHECKPOINT: (&str, &str) = ("samesession.autocheckpoint", "samesession.autoCheckpoint");

/// How often a running `resume` looks whether its lease is to be renewed.
const HEARTBEAT: (&str, &str) = ("samesession.heartbeat", "samesession.heartbeat");

pub fn auto_checkpoint(repo: &Repository) -> Result<Option<Duration>, Error> {
    if matches!(repo.config.get(AUTO_CHECKPOINT.0), Some("0" | "off" | "false" | "no")) { Ok(None) } else { time(repo, AUTO_CHECKPOINT) }
}

pub fn heartbeat(repo: &Repository) -> Result<Duration, Error> {
    Ok(time(repo, HEARTBEAT)?.unwrap_or(lease::HEARTBEAT))
}

fn time(repo: &Repository, (listed, name): (&str, &'static str)) -> Result<Option<Duration>, Error> {
    let Some(value) = repo.config.get(listed).filter(|value| !value.is_empty()) else { return Ok(None) };
    let why = "a number of seconds, minutes or hours is wanted: 90s, 5m, 1h";
    span(value).map(Some).ok_or_else(|| Error::Setting { name, value: value.chars().take(40).collect(), why })
}

/// `90s`, `5m`, `1h`; a number alone is seconds.
pub fn span(text: &str) -> Option<Duration> {
    let (number, seconds) = match text.chars().last()? {
        's' => (&text[..text.len() - 1], 1),
        'm' => (&text[..text.len() - 1], 60),
        'h' => (&text[..text.len() - 1], 3600),
        _ => (text, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

/// The recipients by default, as they are written down: keys, or files of keys.
pub fn recipients(repo: &Repository) -> &[String] {
    repo.config.all(RECIPIENT)
}

/// The keys behind one value; a file that cannot be read stands for itself.
pub fn keys_of(value: &str) -> Vec<String> {
    let keys = keys::recipients(&SealTo::Recipients(vec![value.to_owned()]), None);
    keys.map_or_else(|_| vec![value.to_owned()], |keys| keys.names())
}

/// Adds those that are not there yet, and returns them.
pub fn add_recipients(repo: &Repository, keys: &[String]) -> Result<Vec<String>, Error> {
    let known: Vec<String> = recipients(repo).iter().flat_map(|value| keys_of(value)).collect();
    let mut added = Vec::new();
    for key in keys.iter().filter(|key| !known.contains(key)) {
        repo.git.run(&["config", "--local", "--add", RECIPIENT, key])?;
        added.push(key.clone());
    }
    Ok(added)
}

#[derive(Debug, Default)]
pub struct Removed {
    pub keys: Vec<String>,
    /// These stand in a file of Git's that is not this clone's own, and were left there.
    pub left: Vec<String>,
}

pub fn remove_recipients(repo: &Repository, keys: &[String]) -> Result<Removed, Error> {
    let mut removed = Removed::default();
    let mut values = repo.own_config()?.all(RECIPIENT).to_vec();
    values.sort();
    values.dedup();
    for value in values {
        let (gone, stay): (Vec<String>, Vec<String>) = keys_of(&value).into_iter().partition(|key| keys.contains(key));
        if gone.is_empty() {
            continue;
        }
        repo.git.run(&["config", "--local", "--fixed-value", "--unset-all", RECIPIENT, &value])?;
        // A file of several keys becomes those that stay.
        for key in stay.iter().filter(|key| looks_like_a_key(key)) {
            repo.git.run(&["config", "--local", "--add", RECIPIENT, key])?;
        }
        removed.keys.extend(gone);
    }
    let left = repo.again()?;
    let left = recipients(&left).iter().flat_map(|value| keys_of(value));
    removed.left = left.filter(|key| keys.contains(key)).collect();
    Ok(removed)
}
