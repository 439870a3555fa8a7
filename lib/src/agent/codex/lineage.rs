//! Which threads travel with a session: what it continues, and the helpers that it started.
//!
//! A fork holds only its own turns; `history_base` names the rollout that holds the earlier ones, and so on back: all of
//! them are needed. Helpers are threads of their own that name their parent. Both relations are read from the rollouts
//! alone, so that the receiving side can prove each of them before it installs anything.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use super::meta::Meta;
use super::names;
use super::rollout::{self, Name};
use super::summary::each;
use crate::agent::{Error, Home, Incoming, Role, Session};
use crate::id::NativeId;

/// One rollout of a family.
#[derive(Debug, Clone)]
pub struct Member {
    pub path: PathBuf,
    pub meta: Meta,
}

type Family = BTreeMap<NativeId, Member>;

/// Every rollout of a home, by its thread.
pub type Known = HashMap<NativeId, Member>;

pub fn known(home: &Home) -> Known {
    let rollouts = rollout::without_twins(rollout::walk(home).0);
    let heads = each(&rollouts, |found| Some(Member { path: found.path.clone(), meta: Meta::read(&found.path).ok()? }));
    let mut known = Known::new();
    for member in heads.into_iter().flatten() {
        // The first place of an id counts: `walk` gives those that are not archived first.
        known.entry(member.meta.id.clone()).or_insert(member);
    }
    known
}

/// The session's rollout and all that belong to it.
pub fn of_session(known: &Known, session: &Session) -> Result<Family, Error> {
    if known.get(&session.native).is_some_and(|member| member.path == session.transcript) {
        return gather(&session.native, known);
    }
    let own = Member { path: session.transcript.clone(), meta: Meta::read(&session.transcript)? };
    let mut known = known.clone();
    known.insert(session.native.clone(), own);
    gather(&session.native, &known)
}

/// Proves that staged rollouts are one whole family around the session, and nothing else.
pub fn check(incoming: &Incoming<'_>) -> Result<(), Error> {
    let foreign = |path: &dyn std::fmt::Display| Error::Foreign { path: path.to_string(), session: incoming.native.clone() };
    let mut known = HashMap::new();
    for file in incoming.files.iter().filter(|file| file.role.is_append_only()) {
        let meta = Meta::read(&file.staged)?;
        let name = Name::in_capsule(&file.name).filter(|name| name.id == meta.id).ok_or_else(|| foreign(&file.name))?;
        let role = if name.id == *incoming.native { Role::Transcript } else { Role::Lineage };
        let member = Member { path: file.staged.clone(), meta };
        if role != file.role || known.insert(name.id, member).is_some() {
            return Err(foreign(&file.name));
        }
    }
    let family = gather(incoming.native, &known)?;
    let own = |id: &NativeId| family.contains_key(id);
    for file in incoming.files {
        let belongs = match file.role {
            Role::Transcript | Role::Lineage => Name::in_capsule(&file.name).is_some_and(|name| own(&name.id)),
            Role::Name => {
                let read = |source| Error::Read { path: file.staged.clone(), source };
                if std::fs::metadata(&file.staged).map_err(read)?.len() > names::LONGEST {
                    return Err(foreign(&format!("{}, longer than a session's names are", file.name)));
                }
                let lines = std::fs::read(&file.staged).map_err(read)?;
                let ids: Vec<NativeId> = family.keys().cloned().collect();
                if let Some(line) = names::stray_line(&lines, &ids) {
                    let shown: String = String::from_utf8_lossy(line).chars().take(80).collect();
                    return Err(foreign(&format!("{}: {shown}", file.name)));
                }
                file.name.as_bytes() == names::FILE.as_bytes()
            }
            Role::TornTail => true,
            _ => false,
        };
        if !belongs {
            return Err(foreign(&file.name));
        }
    }
    Ok(())
}

/// The forks in this home that begin with more than the first `kept` bytes of this thread's rollout.
pub fn leaning(home: &Home, id: &NativeId, kept: u64) -> Vec<NativeId> {
    let rollouts = rollout::without_twins(rollout::walk(home).0);
    let heads = each(&rollouts, |found| Meta::read(&found.path).ok());
    let leans = |meta: &Meta| meta.base.as_ref() == Some(id) && meta.base_end > kept;
    heads.into_iter().flatten().filter(leans).map(|meta| meta.id).collect()
}

fn gather(native: &NativeId, known: &HashMap<NativeId, Member>) -> Result<Family, Error> {
    let mut family = Family::new();
    let Some(own) = known.get(native) else {
        return Err(Error::Foreign { path: "a capsule without its transcript".to_owned(), session: native.clone() });
    };
    family.insert(native.clone(), own.clone());
    if let Some((member, missing)) = add_ancestors(own, known, &mut family) {
        return Err(Error::MissingAncestor { path: member.path.clone(), missing });
    }
    let mut parents = vec![native.clone()];
    while let Some(parent) = parents.pop() {
        for (id, helper) in known.iter().filter(|(_, member)| member.meta.parent.as_ref() == Some(&parent)) {
            if family.insert(id.clone(), helper.clone()).is_none() {
                parents.push(id.clone());
                // The session goes on without a helper's ancestors, so one that is lost is no reason to refuse it.
                add_ancestors(helper, known, &mut family);
            }
        }
    }
    Ok(family)
}

/// Follows `history_base` back to a rollout that has none or is in the family already; gives the one that is not there,
/// and who needs it.
fn add_ancestors<'a>(from: &'a Member, known: &'a HashMap<NativeId, Member>, family: &mut Family) -> Option<(&'a Member, NativeId)> {
    let mut member = from;
    while let Some(base) = &member.meta.base {
        let Some(ancestor) = known.get(base) else { return Some((member, base.clone())) };
        if family.insert(base.clone(), ancestor.clone()).is_some() {
            break;
        }
        member = ancestor;
    }
    None
}
