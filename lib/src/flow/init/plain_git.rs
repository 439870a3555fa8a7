//! Remotes of our own helper: this machine's agents, so that Git's own verbs reach them, and a store at an address.
//!
//! What must stay true: plain `git fetch` means what it meant before, `git fetch --all` captures nothing, and no pruning fetch takes the only ref of a session away.

use super::{Error, Step};
use crate::flow::address::{self, Address};
use crate::flow::namespace::{self, NAMESPACE};
use crate::git::{Config, Repository};
use crate::store::names;

const HELPER: &str = "session::";
pub const AGENTS: &str = "agents";
const STORES: &str = "sessions";

/// The remote `agents`, unless the user has one of that name.
pub fn agents(all: &Config, steps: &mut Vec<Step>) {
    let section = format!("remote.{AGENTS}.");
    // Where there is only one remote, and 'origin' is not its name, a plain `git fetch` means that one: a second one would
    // make it mean none.
    let remotes = all.remotes();
    let only = remotes.len() < 2 && !remotes.contains(&"origin");
    if only || all.keys().any(|key| key.starts_with(&section)) {
        return;
    }
    let fetch = names::refspec(AGENTS);
    let values = [("url", HELPER), ("fetch", fetch.as_str()), ("tagopt", "--no-tags"), ("prune", "false"), ("skipfetchall", "true")];
    steps.extend(values.map(|(key, value)| add(&format!("{section}{key}"), value)));
}

/// The remote with this address, made if there is none.
pub fn store(repo: &Repository, url: &str, steps: &mut Vec<Step>) -> Result<String, Error> {
    let unknown = || address::Error::Unknown(url.chars().take(120).collect());
    let inner = url.strip_prefix(HELPER).ok_or_else(unknown)?;
    let Address::Store(_) = address::parse(inner, &repo.remotes())? else { return Err(unknown().into()) };
    if let Some(name) = namespace::of(repo)?.filter(|_| repo.config.get(NAMESPACE).is_none()) {
        // Whatever is checked out later, and wherever Git is asked from.
        steps.push(add(NAMESPACE, &name));
    }
    let address = |name: &str| repo.config.get(&format!("remote.{name}.url"));
    if let Some(known) = repo.remotes().into_iter().find(|name| address(name) == Some(url)) {
        return Ok(known.to_owned());
    }
    let names = std::iter::once(STORES.to_owned()).chain((2..).map(|n| format!("{STORES}-{n}")));
    let taken = |name: &String| repo.remotes().contains(&name.as_str());
    let name = names.into_iter().find(|name| !taken(name)).unwrap_or_default();
    steps.push(add(&format!("remote.{name}.url"), url));
    steps.push(add(&format!("remote.{name}.tagopt"), "--no-tags"));
    Ok(name)
}

fn add(key: &str, value: &str) -> Step {
    Step::Add { key: key.to_owned(), value: value.to_owned() }
}
