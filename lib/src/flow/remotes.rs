//! Which remote capsules go to, and settings of remotes that would hurt sessions.
//!
//! Knows the configuration, and no refs. What must stay true: a remote is never guessed where several could be meant.

use super::Error;
use super::address::{self, Address};
use super::settings::STORE;
use crate::git::{Config, Repository};
use crate::path::typed;
use crate::store::names;

/// The remote named, else the configured one, else `origin`, else the only one there is; `None` where there is none at all.
pub fn store<'a>(repo: &'a Repository, named: Option<&'a str>) -> Result<Option<&'a str>, Error> {
    // This machine's agents are a remote, and no place to keep capsules.
    let known: Vec<&str> = repo.remotes().into_iter().filter(|name| !is_agents(&repo.config, name)).collect();
    let configured = repo.config.get(STORE).filter(|name| !name.is_empty());
    if let Some(name) = named.or(configured) {
        return match known.contains(&name) {
            true => Ok(Some(name)),
            false => Err(Error::NoSuchRemote { name: name.to_owned(), configured: named.is_none(), known: owned(&known) }),
        };
    }
    match known[..] {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        _ if known.contains(&"origin") => Ok(Some("origin")),
        _ => Err(Error::WhichRemote(owned(&known))),
    }
}

fn is_agents(config: &Config, remote: &str) -> bool {
    let helper = config.get(&format!("remote.{remote}.vcs")) == Some("session");
    match config.get(&format!("remote.{remote}.url")) {
        Some(url) => url.strip_prefix("session::").is_some_and(|address| matches!(address::parse(address, &[]), Ok(Address::Agents(_)))),
        None => helper,
    }
}

/// A name that our refs can hold, below which nothing of ours stands already.
pub fn check_name(repo: &Repository, name: &str) -> Result<(), Error> {
    let ref_name = format!("{}{name}/sessions", names::TRACKING);
    let good = !name.starts_with(['@', '-']) && repo.git.output(&["check-ref-format", &ref_name], b"")?.status.success();
    if good { Ok(()) } else { Err(Error::RemoteName(name.chars().take(80).collect())) }
}

pub fn fetch_key(remote: &str) -> String {
    format!("remote.{remote}.fetch")
}

/// The remote whose name stands in a refspec that brings sessions: another one than it belongs to, once that was renamed.
pub fn tracked(refspec: &str) -> Option<&str> {
    let (from, to) = refspec.trim_start_matches('+').split_once(':')?;
    let whole = from.strip_prefix(names::PUBLIC) == Some("*");
    to.strip_prefix(names::TRACKING)?.strip_suffix("/*").filter(|_| whole)
}

/// A setting that would lose or publish what nobody meant to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Trap {
    pub what: String,
    /// A command.
    pub way_out: String,
}

pub fn traps(config: &Config) -> Vec<Trap> {
    let mut traps = Vec::new();
    for remote in config.remotes() {
        let mirror = format!("remote.{remote}.mirror");
        if config.flag(&mirror) == Some(true) {
            let what = format!(
                "'git push {remote}' mirrors: it would publish what this repository remembers of other remotes' sessions, and delete the sessions there that are not here"
            );
            traps.push(Trap { what, way_out: format!("git config --unset {}", typed(&mirror)) });
        }
        for spec in config.all(&format!("remote.{remote}.push")) {
            let from = spec.trim_start_matches('+').split(':').next().unwrap_or_default();
            if covers(from, names::TRACKING) || covers(from, names::SEEN) {
                let what =
                    format!("'git push {remote}' sends {spec}: that publishes what this repository remembers of other remotes' sessions");
                traps.push(Trap { what, way_out: unset(&format!("remote.{remote}.push"), spec) });
            }
        }
        for spec in config.all(&fetch_key(remote)) {
            let to = spec.split_once(':').map_or("", |(_, to)| to);
            if !spec.starts_with('^') && covers(to, names::PUBLIC) {
                let what = format!(
                    "'git fetch {remote}' writes {spec}: over the sessions that are here, and with '--prune' it deletes those that were never pushed"
                );
                traps.push(Trap { what, way_out: unset(&fetch_key(remote), spec) });
            }
        }
    }
    traps
}

/// Whether a pattern of a refspec reaches refs below `place`.
fn covers(pattern: &str, place: &str) -> bool {
    let fixed = pattern.split('*').next().unwrap_or_default();
    pattern.contains('*') && (place.starts_with(fixed) || fixed.starts_with(place))
}

/// The command that takes one value away.
pub fn unset(key: &str, value: &str) -> String {
    format!("git config --fixed-value --unset-all {} {}", typed(key), typed(value))
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_would_hurt_sessions_are_told_from_those_that_would_not() {
        let check = |settings: &[(&str, &str)], expected: usize| {
            let list: String = settings.iter().map(|(key, value)| format!("{key}\n{value}\0")).collect();
            let found = traps(&Config::parse(list.as_bytes()));
            assert_eq!(found.len(), expected, "{settings:?}: {found:?}");
        };
        let url = ("remote.o.url", "/x");
        check(&[url, ("remote.o.fetch", "+refs/heads/*:refs/remotes/o/*")], 0);
        check(&[url, ("remote.o.fetch", &names::refspec("o"))], 0);
        check(&[url, ("remote.o.fetch", "^refs/samesession/*"), ("remote.o.push", "refs/samesession/*")], 0);
        check(&[url, ("remote.o.push", "refs/heads/*:refs/heads/*"), ("remote.o.mirror", "false")], 0);
        check(&[url, ("remote.o.mirror", "true")], 1);
        check(&[url, ("remote.o.fetch", "+refs/*:refs/*")], 1);
        check(&[url, ("remote.o.fetch", "refs/samesession/*:refs/samesession/*")], 1);
        check(&[url, ("remote.o.fetch", "refs/samesession/sessions/*:refs/samesession/sessions/*")], 1);
        check(&[url, ("remote.o.push", "+refs/*:refs/*")], 1);
        check(&[url, ("remote.o.push", "refs/samesession*:refs/samesession*")], 1);
    }

    #[test]
    fn a_refspec_says_which_remote_it_was_made_for() {
        assert_eq!(tracked(&names::refspec("team/main")), Some("team/main"));
        assert_eq!(tracked("+refs/heads/*:refs/remotes/origin/*"), None);
        assert_eq!(tracked("+refs/heads/*:refs/samesession-remote/origin/*"), None);
    }
}
