//! What stands of ours in Git's configuration; the only place that spells the names.
//!
//! Values are written to this clone's own file and nowhere else. What must stay true: what a user wrote there by hand, or
//! has in another file, is not touched unless it is what they asked to remove.

use super::keys::{self, SealTo};
use super::{Error, keys::looks_like_a_key};
use crate::git::Repository;

/// Who reads the chains that begin in this clone, besides the device that begins one; once for each.
pub const RECIPIENT: &str = "samesession.recipient";

/// The remote that sessions go to.
pub const STORE: &str = "samesession.store";

/// Sessions are fetched one by one when they are asked for. As Git lists it.
pub const ON_DEMAND: &str = "samesession.ondemand";

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
