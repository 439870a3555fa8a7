//! Whose devices belong to a store: the words of its roster, and who may change them.
//!
//! Knows no Git: the chain that holds it is `store::roster`'s. Validity follows the roster's own order, never dates. What
//! must stay true: nobody becomes a member but by the word of one, and who was revoked stays on the list.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::policy::is_dense;
use crate::seal::{Recipients, fingerprint_of};

pub const SCHEMA: &str = "samesession.roster/1";
/// More devices than any team has.
const MOST: usize = 2000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Roster {
    pub schema: String,
    pub sequence: u64,
    pub nonce: String,
    /// The commit it began with; none in that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    pub made: String,
    pub members: Vec<Member>,
    /// Several recipients under one name, for all members.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Vec<String>>,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A device, as it was once approved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    pub name: String,
    /// `ssh-ed25519 AAAA…`.
    pub signing: String,
    /// What is sealed to it.
    pub recipient: String,
    pub added: Mark,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Mark>,
    /// It is no device but a key on paper.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovery: bool,
}

/// Who did something, and as which change of the roster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The fingerprint of a signing key.
    pub by: String,
    pub at: String,
    pub sequence: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("its signer is no member")]
    NoMember,
    #[error("it takes a member off the list")]
    Forgotten,
    #[error("it is not the change after the one before it")]
    Order,
    #[error("it adds or revokes in somebody else's name")]
    InAnothersName,
    #[error("it is not written as one: {0}")]
    Nonsense(String),
}

impl Member {
    pub fn fingerprint(&self) -> String {
        fingerprint_of(&self.signing).unwrap_or_default()
    }

    pub fn is_active(&self) -> bool {
        self.revoked.is_none()
    }
}

/// Nothing that could be taken for a key, an option or a path.
pub fn is_a_groups_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let key = ["age1", "ssh-", "sk-ssh-"].iter().any(|kind| name.starts_with(kind));
    (1..=64).contains(&name.len()) && name.chars().all(fine) && !name.starts_with(['-', '.']) && !key
}

impl Roster {
    pub fn parse(bytes: &[u8]) -> Result<Roster, Refused> {
        let nonsense = |why: String| Refused::Nonsense(why);
        if is_dense(bytes, 16) {
            return Err(nonsense("it says more than a roster has to say".to_owned()));
        }
        let roster: Roster = serde_json::from_slice(bytes).map_err(|error| nonsense(error.to_string()))?;
        if roster.schema != SCHEMA {
            return Err(nonsense("it has another schema".to_owned()));
        }
        if roster.members.len() > MOST {
            return Err(nonsense(format!("it lists {} devices", roster.members.len())));
        }
        let mut keys = BTreeSet::new();
        for member in &roster.members {
            let print = fingerprint_of(&member.signing).ok_or_else(|| nonsense("a signing key is none".to_owned()))?;
            let sealed = Recipients::default().add_text(&member.recipient);
            sealed.map_err(|_| nonsense("a recipient is none".to_owned()))?;
            if !keys.insert(print) {
                return Err(nonsense("it lists a key twice".to_owned()));
            }
        }
        if let Some(name) = roster.groups.keys().find(|name| !is_a_groups_name(name)) {
            return Err(nonsense(format!("a group cannot be called '{name}'")));
        }
        let grouped = || roster.groups.values().flatten();
        if grouped().count() > MOST || grouped().any(|key| Recipients::default().add_text(key).is_err()) {
            return Err(nonsense("what is in a group is none or too much".to_owned()));
        }
        Ok(roster)
    }

    pub fn member(&self, fingerprint: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.fingerprint() == fingerprint)
    }

    pub fn active(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.is_active())
    }

    /// Whether it may be the first one, signed so: it lists its maker and nobody else.
    pub fn is_a_beginning(&self, signer: &str) -> Result<(), Refused> {
        match &self.members[..] {
            [only] if only.fingerprint() == signer && only.is_active() && self.sequence == 1 && self.root.is_none() => Ok(()),
            _ => Err(Refused::Order),
        }
    }

    /// Whether this may follow that one, signed so.
    pub fn follows(&self, before: &Roster, root: &str, signer: &str) -> Result<(), Refused> {
        if Some(self.sequence) != before.sequence.checked_add(1) || self.root.as_deref() != Some(root) {
            return Err(Refused::Order);
        }
        if !before.member(signer).is_some_and(Member::is_active) {
            return Err(Refused::NoMember);
        }
        let own = |mark: &Mark| mark.by == signer && mark.sequence == self.sequence;
        for old in &before.members {
            let Some(new) = self.member(&old.fingerprint()) else { return Err(Refused::Forgotten) };
            let same = Member { revoked: old.revoked.clone(), ..new.clone() } == *old;
            match (&old.revoked, &new.revoked) {
                _ if !same => return Err(Refused::InAnothersName),
                (old, new) if old == new => {}
                (None, Some(mark)) if own(mark) => {}
                _ => return Err(Refused::InAnothersName),
            }
        }
        let added = self.members.iter().filter(|member| before.member(&member.fingerprint()).is_none());
        match added.into_iter().all(|member| own(&member.added) && member.is_active()) {
            true => Ok(()),
            false => Err(Refused::InAnothersName),
        }
    }
}

#[cfg(test)]
mod tests;
