//! Who drives a session: the words of a lease, and what they mean to a device at a moment.
//!
//! Knows no Git and no files: a lease is part of a checkpoint's sealed record, and which of two is newer is what their
//! chain says. Clocks only say when a holder who is silent is given up. What must stay true: nobody else's lease is taken
//! over but by a reason that stays in the chain, or when its time is over.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::time;

/// How long a lease is held without being renewed.
pub const TIME: Duration = Duration::from_secs(4 * 3600);
/// A checkpoint renews it in any case; without one it is renewed when so much of its time is over.
pub const HEARTBEAT: Duration = Duration::from_secs(15 * 60);
/// So much later than its own clock says a device believes that another one's time is over.
pub const MARGIN: Duration = Duration::from_secs(10 * 60);
const NOTE: usize = 2000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Held,
    InTransit,
    Released,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub kind: Kind,
    /// Grows by one whenever the session changes hands: of two leases the one with the greater turn is newer.
    pub turn: u64,
    /// The device that holds it, hands it over or has released it, and the fingerprint of its signing key.
    pub device: String,
    pub key: String,
    pub since: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The keys of those it is handed to; nobody in particular where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// From whom it was taken although they still held it, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takeover: Option<Takeover>,
    /// The number of the checkpoint that changed it.
    pub sequence: u64,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takeover {
    pub from: String,
    pub reason: String,
}

/// A device as leases know it.
#[derive(Debug, Clone)]
pub struct Me<'a> {
    pub device: &'a str,
    /// The fingerprint of its signing key.
    pub key: String,
    /// The public keys that it opens capsules with.
    pub opens: &'a [String],
}

/// What a lease means to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    Free,
    Mine,
    /// Somebody else works with it.
    Held,
    /// Somebody else worked with it, and has not been heard of for too long.
    Expired,
    /// Handed over to whoever comes, or to this device.
    Waiting,
    /// Handed over by this device, and nobody has come yet.
    Sent,
    /// Handed over to somebody else.
    Elsewhere,
}

/// What somebody wants to do with it.
#[derive(Debug, Clone)]
pub enum Act {
    /// `takeover` is the reason, for the case that somebody else holds it.
    Take {
        takeover: Option<String>,
    },
    HandOver {
        to: Vec<String>,
        note: Option<String>,
        takeover: Option<String>,
    },
    Release,
    Renew,
}

impl Lease {
    /// `seen`: how long this device has known the chain to end where it ends, by its own clock alone.
    pub fn standing(&self, me: &Me<'_>, now: SystemTime, seen: Option<Duration>) -> Standing {
        let mine = self.key == me.key;
        match self.kind {
            Kind::Released => Standing::Free,
            Kind::Held if mine => Standing::Mine,
            Kind::Held if self.is_over(now, seen) => Standing::Expired,
            Kind::Held => Standing::Held,
            Kind::InTransit if mine => Standing::Sent,
            Kind::InTransit if self.to.is_empty() || self.to.iter().any(|key| me.opens.contains(key)) => Standing::Waiting,
            Kind::InTransit => Standing::Elsewhere,
        }
    }

    /// First by what was seen: a chain that has not moved for a lease's whole time has a holder who is silent, whatever
    /// any clock says; only then by the clocks of both machines.
    fn is_over(&self, now: SystemTime, seen: Option<Duration>) -> bool {
        let until = self.until.as_deref().and_then(time::parse);
        seen.is_some_and(|seen| seen > TIME + MARGIN) || until.is_none_or(|until| now > until + MARGIN)
    }

    /// Of a lease here and one that somebody else's chain has, where both went on from the same.
    pub fn newer<'a>(ours: Option<&'a Lease>, theirs: Option<&'a Lease>) -> Option<&'a Lease> {
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => Some(if ours.turn > theirs.turn { ours } else { theirs }),
            (ours, theirs) => ours.or(theirs),
        }
    }
}

impl Act {
    /// The lease after it; `None` if it changes nothing. An error says how it is somebody else's.
    pub fn on(&self, lease: Option<&Lease>, me: &Me<'_>, now: SystemTime, seen: Option<Duration>) -> Result<Option<Lease>, Standing> {
        let standing = lease.map_or(Standing::Free, |lease| lease.standing(me, now, seen));
        let foreign = matches!(standing, Standing::Held | Standing::Elsewhere);
        let reason = match self {
            Act::Take { takeover } | Act::HandOver { takeover, .. } => takeover.as_deref(),
            Act::Release | Act::Renew => None,
        };
        let takeover = match (lease, reason) {
            (Some(lease), Some(reason)) if foreign => Some(Takeover { from: lease.device.clone(), reason: clip(reason) }),
            (Some(_), None) if foreign && !matches!(self, Act::Release | Act::Renew) => {
                return Err(standing);
            }
            _ => None,
        };
        let new = |kind, until: Option<Duration>| Lease {
            kind,
            turn: lease.map_or(0, |lease| lease.turn).saturating_add(1),
            device: me.device.to_owned(),
            key: me.key.to_owned(),
            since: time::format(now),
            until: until.map(|until| time::format(now + until)),
            to: Vec::new(),
            note: None,
            takeover: takeover.clone(),
            sequence: 0,
            more: Map::new(),
        };
        Ok(match (self, standing) {
            (Act::Take { .. } | Act::Renew, Standing::Mine) => lease.and_then(|lease| lease.renewed(now)),
            (Act::Take { .. }, _) => Some(new(Kind::Held, Some(TIME))),
            (Act::HandOver { to, note, .. }, _) => {
                let note = note.as_deref().map(clip).filter(|note| !note.is_empty());
                Some(Lease { to: to.clone(), note, ..new(Kind::InTransit, None) })
            }
            (Act::Release, Standing::Mine | Standing::Sent) => Some(new(Kind::Released, None)),
            // What is not ours is neither released nor renewed.
            (Act::Release | Act::Renew, _) => None,
        })
    }
}

impl Lease {
    /// Of a holder who goes on; `None` where it was renewed a moment ago.
    pub fn renewed(&self, now: SystemTime) -> Option<Lease> {
        let until = self.until.as_deref().and_then(time::parse);
        let left = until.map(|until| until.duration_since(now).unwrap_or_default());
        // A clock that was set back would otherwise never renew it again.
        let fresh = left.is_some_and(|left| left + HEARTBEAT > TIME && left <= TIME + HEARTBEAT);
        (!fresh).then(|| Lease { until: Some(time::format(now + TIME)), ..self.clone() })
    }
}

fn clip(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control() || *c == '\n').take(NOTE).collect()
}

#[cfg(test)]
mod tests;
