//! `recipient group`: several recipients under one name, that is taken wherever a recipient is.
//!
//! With a roster they stand on it, sealed and the same for all members; without one in this clone's configuration. A session
//! was shared with a group if everybody in it could open it. What must stay true: a change of a group is carried over to the
//! sessions that were shared with it, and who was removed stays where another group, or nobody's doing, holds them.

use std::collections::BTreeMap;

use super::enrol::Hand;
use super::ledger::{Finding, Ledger};
use super::readers::{self, Readers};
use super::recipients::{self, Act};
use super::roster::{self, Joined};
use super::{Error, exchange, keys, settings};
use crate::git::Repository;
use crate::id::SessionId;
use crate::roster::Roster;
use crate::seal::Callbacks;

/// Names, and the keys behind each.
pub type Groups = BTreeMap<String, Vec<String>>;

const SECTION: &str = "samesession-group.";
const KEY: &str = ".recipient";

pub enum Edit {
    Add(Vec<String>),
    Remove(Vec<String>),
    /// The name goes, and sessions keep their readers.
    Disband,
}

pub struct Outcome {
    pub keys: Vec<String>,
    /// It stands on the roster, for all members.
    pub shared: bool,
    /// The sessions that were shared with it, and what became of each.
    pub sessions: Vec<(SessionId, Result<bool, String>)>,
    /// The same holds for sessions that begin here.
    pub defaults: bool,
}

pub fn all(repo: &Repository) -> Groups {
    match Joined::load(repo) {
        Some(joined) => joined.roster.groups,
        None => here(repo),
    }
}

fn here(repo: &Repository) -> Groups {
    let name = |key: &str| Some(key.strip_prefix(SECTION)?.strip_suffix(KEY)?.to_owned());
    repo.config.keys().filter_map(|key| Some((name(key)?, repo.config.all(key).to_vec()))).collect()
}

pub fn change<C: Callbacks>(
    hand: &Hand<'_, C>,
    ledger: &mut Ledger<'_>,
    name: &str,
    edit: &Edit,
    findings: &mut Vec<Finding>,
) -> Result<Outcome, Error> {
    if !crate::roster::is_a_groups_name(name) {
        return Err(Error::NoGroupsName(name.chars().take(64).collect()));
    }
    let (before, after) = match ledger.joined() {
        Some(_) => on_roster(hand, ledger, name, edit)?,
        None => in_this_clone(&ledger.store.repo, name, edit)?,
    };
    let of = |groups: &Groups| groups.get(name).cloned().unwrap_or_default();
    let mut outcome = Outcome { keys: of(&after), shared: ledger.joined().is_some(), sessions: Vec::new(), defaults: false };
    let old = of(&before);
    let moved = |from: &[String], to: &[String]| from.iter().filter(|key| !to.contains(key)).cloned().collect::<Vec<_>>();
    let (added, removed) = (moved(&outcome.keys, &old), moved(&old, &outcome.keys));
    if old.is_empty() || matches!(edit, Edit::Disband) || added.is_empty() && removed.is_empty() {
        return Ok(outcome);
    }
    let others: Vec<&Vec<String>> = after.iter().filter(|(other, _)| *other != name).map(|(_, keys)| keys).collect();
    let leaving = |readers: &[String]| {
        let held = |key: &String| others.iter().any(|keys| keys.contains(key) && within(keys, readers));
        removed.iter().filter(|key| readers.contains(key) && !held(key)).cloned().collect::<Vec<_>>()
    };
    for (sid, known) in ledger.sync_all(findings)? {
        let Ok(heads) = ledger.heads(&sid, &known) else { continue };
        let Ok(mut ways) = readers::ways(ledger, &heads) else { continue };
        ways.retain(|way| !way.is_deleted());
        let readers = Readers::of(&ways).names;
        if ways.is_empty() || !within(&old, &readers) {
            continue;
        }
        let mut changed = Ok(false);
        for act in [Act::Add(added.clone()), Act::Remove { keys: leaving(&readers), force: false }] {
            if matches!(&act, Act::Add(keys) | Act::Remove { keys, .. } if keys.is_empty()) {
                continue;
            }
            match recipients::change(ledger, hand.device, &act, &[sid.to_string()], findings, hand.callbacks) {
                Ok(done) => changed = Ok(changed == Ok(true) || done.sessions.iter().any(recipients::Session::is_changed)),
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => {
                    changed = Err(error.to_string());
                    break;
                }
            }
        }
        outcome.sessions.push((sid, changed));
    }
    let defaults: Vec<String> = settings::recipients(&ledger.store.repo).iter().flat_map(|value| settings::keys_of(value)).collect();
    if within(&old, &defaults) {
        settings::add_recipients(&ledger.store.repo, &added)?;
        settings::remove_recipients(&ledger.store.repo, &leaving(&defaults))?;
        outcome.defaults = true;
    }
    let sids: Vec<SessionId> = outcome.sessions.iter().filter(|(_, changed)| *changed == Ok(true)).map(|(sid, _)| sid.clone()).collect();
    if let Some(remote) = hand.remote.filter(|_| outcome.shared && !sids.is_empty()) {
        for pushed in exchange::push(ledger, remote, Some(&sids), hand.callbacks, findings, hand.progress)? {
            if let Err(error) = pushed.result {
                let unsent = |(sid, _): &&mut (SessionId, _)| *sid == pushed.sid;
                outcome.sessions.iter_mut().filter(unsent).for_each(|(_, changed)| *changed = Err(error.to_string()));
            }
        }
    }
    Ok(outcome)
}

fn within(group: &[String], readers: &[String]) -> bool {
    !group.is_empty() && group.iter().all(|key| readers.contains(key))
}

fn edited(groups: &mut Groups, name: &str, edit: &Edit) -> Result<(), Error> {
    let no_such = || Error::NoSuchGroup(name.to_owned());
    match edit {
        Edit::Add(keys) => {
            let known = groups.entry(name.to_owned()).or_default();
            known.extend(keys.iter().filter(|key| !known.contains(key)).cloned().collect::<Vec<_>>());
        }
        Edit::Remove(keys) => {
            let known = groups.get_mut(name).ok_or_else(no_such)?;
            if let Some(key) = keys.iter().find(|key| !known.contains(key)) {
                return Err(Error::NoSuchReader(key.clone()));
            }
            known.retain(|key| !keys.contains(key));
        }
        Edit::Disband => drop(groups.remove(name).ok_or_else(no_such)?),
    }
    groups.retain(|_, keys| !keys.is_empty());
    Ok(())
}

fn on_roster<C: Callbacks>(hand: &Hand<'_, C>, ledger: &mut Ledger<'_>, name: &str, edit: &Edit) -> Result<(Groups, Groups), Error> {
    let mut before = Groups::new();
    let verified = roster::change(ledger, hand.device.signing(), hand.remote, hand.callbacks, |roster: &mut Roster, _| {
        if roster.active().any(|member| member.name == name) {
            return Err(Error::NameTaken { name: name.to_owned() });
        }
        before.clone_from(&roster.groups);
        edited(&mut roster.groups, name, edit)?;
        Ok(roster.groups != before)
    })?;
    ledger.look_again();
    Ok((before, verified.roster.groups))
}

fn in_this_clone(repo: &Repository, name: &str, edit: &Edit) -> Result<(Groups, Groups), Error> {
    let before = here(repo);
    let mut after = before.clone();
    edited(&mut after, name, edit)?;
    let (setting, empty) = (format!("{SECTION}{name}{KEY}"), Vec::new());
    let [was, is] = [&before, &after].map(|groups| groups.get(name).unwrap_or(&empty));
    for key in is.iter().filter(|key| !was.contains(key)) {
        repo.git.run(&["config", "--local", "--add", &setting, key])?;
    }
    for key in was.iter().filter(|key| !is.contains(key)) {
        repo.git.run(&["config", "--local", "--fixed-value", "--unset-all", &setting, key])?;
    }
    Ok((before, after))
}

/// The keys that words stand for, where they are names of devices on the roster or of groups; other words as they are. A name
/// goes before a file: what lies in a directory shall not be read in the place of somebody.
pub fn named(repo: &Repository, words: &[String]) -> Vec<String> {
    let joined = Joined::load(repo);
    let groups = all(repo);
    let of = |word: &String| {
        let member = joined.as_ref().and_then(|joined| joined.roster.active().find(|member| member.name == *word));
        match (member, groups.get(word)) {
            (Some(member), _) => vec![member.recipient.clone()],
            (None, Some(keys)) => keys.clone(),
            (None, None) => vec![word.clone()],
        }
    };
    words.iter().flat_map(of).collect()
}

/// The same for a command that needs no repository; where every word is a key, none is looked for.
pub fn named_around(env: &crate::env::Env, words: &[String]) -> Result<Vec<String>, Error> {
    if words.iter().all(|word| keys::looks_like_a_key(word)) {
        return Ok(words.to_vec());
    }
    match Repository::open(env, env.cwd()) {
        Ok(repo) => Ok(named(&repo, words)),
        Err(crate::git::Error::NoRepository | crate::git::Error::Start(_)) => Ok(words.to_vec()),
        Err(error) => Err(error.into()),
    }
}
