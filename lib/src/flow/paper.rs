//! The key on paper: `init --recovery` puts it among those who read, and `device join --recovery` begins again with it.
//!
//! On the roster it is a member that is no device, so that whoever holds it can let a new one in when all others are lost.
//! What must stay true: only its public half is ever written anywhere.

use super::enrol::{Changed, Hand};
use super::ledger::{Finding, Ledger};
use super::recipients::Act;
use super::roster::Joined;
use super::{Error, exchange, recipients, remote, roster, settings};
use crate::git::Repository;
use crate::id::SessionId;
use crate::recovery::{Public, Recovery};
use crate::roster::Member;
use crate::seal::{Callbacks, fingerprint_of};
use crate::store::{self, names, refs, roster as chain};

/// What it is called on the roster.
pub const NAME: &str = "recovery";

/// There is one at a time: another one is made when that one was revoked.
pub fn refuse_a_second(repo: &Repository) -> Result<(), Error> {
    let joined = Joined::load(repo);
    let there = match (&joined, kept(repo)) {
        (Some(joined), _) if joined.roster.active().any(|member| member.recovery) => true,
        (Some(joined), Some(public)) => joined.roster.member(&print(&public)).is_none(),
        (None, kept) => kept.is_some(),
        (Some(_), None) => false,
    };
    if there { Err(Error::RecoveryThere) } else { Ok(()) }
}

/// As this clone remembers it, for a roster that is joined later.
fn kept(repo: &Repository) -> Option<Public> {
    Public::parse(repo.config.get(settings::RECOVERY)?)
}

fn print(public: &Public) -> String {
    fingerprint_of(&public.signing).unwrap_or_default()
}

/// The one that this clone remembers, once there is a roster to be on.
pub fn enter_kept<C: Callbacks>(hand: &Hand<'_, C>, ledger: &mut Ledger<'_>) -> Result<(), Error> {
    match kept(&ledger.store.repo) {
        Some(public) if ledger.joined().is_some_and(|roster| !roster.active().any(|member| member.recovery)) => {
            on_roster(hand, ledger, &public)
        }
        _ => Ok(()),
    }
}

/// From here on it opens what this device can open: what is here, what will begin, and with a roster also the others'.
pub fn enter<C: Callbacks>(
    hand: &Hand<'_, C>,
    ledger: &mut Ledger<'_>,
    public: &Public,
    findings: &mut Vec<Finding>,
) -> Result<usize, Error> {
    if ledger.joined().is_some() {
        on_roster(hand, ledger, public)?;
    }
    let act = Act::Add(vec![public.recipient.clone()]);
    let done = recipients::change(ledger, hand.device, &act, &[], findings, hand.callbacks)?;
    let changed: Vec<SessionId> = done.sessions.iter().filter(|session| session.is_changed()).map(|session| session.sid.clone()).collect();
    // A roster is everybody's at once, and so is what comes of it.
    if let Some(remote) = hand.remote.filter(|_| ledger.joined().is_some() && !changed.is_empty()) {
        for pushed in exchange::push(ledger, remote, Some(&changed), hand.callbacks, findings, hand.progress)? {
            pushed.result?;
        }
    }
    Ok(changed.len())
}

fn on_roster<C: Callbacks>(hand: &Hand<'_, C>, ledger: &mut Ledger<'_>, public: &Public) -> Result<(), Error> {
    let print = print(public);
    roster::change(ledger, hand.device.signing(), hand.remote, hand.callbacks, |roster, mark| {
        if roster.member(&print).is_some() {
            return Ok(false);
        }
        if roster.active().any(|member| member.recovery) {
            return Err(Error::RecoveryThere);
        }
        let name = free_name(roster.active(), NAME);
        roster::add(roster, &name, &public.signing, &public.recipient, mark);
        roster.members.iter_mut().filter(|member| member.signing == public.signing).for_each(|member| member.recovery = true);
        Ok(true)
    })?;
    ledger.look_again();
    Ok(())
}

/// A new device becomes a member by the word of the key on paper, and can open all that was sealed to that. `ledger` has its
/// age key among the identities. The roster is the right one if it lists this key: nobody but its members ever saw that.
pub fn join<C: Callbacks>(
    hand: &Hand<'_, C>,
    ledger: &mut Ledger<'_>,
    recovery: &Recovery,
    findings: &mut Vec<Finding>,
) -> Result<Changed, Error> {
    if let Some(remote) = hand.remote {
        roster::fetch(&ledger.store.repo, remote)?;
        // Whatever there is shall open to the new device, and a new clone has none of it.
        remote::fetch(&ledger.store.repo, remote, &[], false)?;
    }
    let name = hand.remote.map_or_else(|| names::ROSTER.to_owned(), names::roster_of);
    let Some((_, tip)) = refs::list(&ledger.store, &[&name])?.into_iter().next() else { return Err(Error::NoRoster) };
    let joined = Joined::load(&ledger.store.repo);
    let verified = match joined.and_then(|joined| roster::newer(&ledger.store, &joined, &[tip], ledger.identities)) {
        Some(verified) => verified,
        None => match chain::read(&ledger.store, &tip, ledger.identities, None) {
            Err(store::Error::Seal(_)) => return Err(Error::NoRecovery),
            read => read?,
        },
    };
    let print = recovery.signing().fingerprint();
    if !verified.roster.member(&print).is_some_and(|member| member.is_active() && member.recovery) {
        return Err(Error::NoRecovery);
    }
    roster::follow(ledger, &verified)?;
    ledger.look_again();
    let device = hand.device;
    let verified = roster::change(ledger, recovery.signing(), hand.remote, hand.callbacks, |roster, mark| {
        match roster.member(&device.signing().fingerprint()) {
            Some(member) if member.is_active() => return Ok(false),
            Some(member) => return Err(Error::WasRevoked { name: member.name.clone() }),
            None => {}
        }
        let name = free_name(roster.active(), &device.name);
        roster::add(roster, &name, &device.signing().public_line()?, &device.recipient(), mark);
        Ok(true)
    })?;
    ledger.look_again();
    let member = verified.roster.member(&device.signing().fingerprint()).cloned().ok_or(Error::NotOnRoster)?;
    let act = Act::Add(vec![member.recipient.clone()]);
    hand.rewrap(ledger, member, &act, findings)
}

/// A machine that stands in for a lost one is often called as that was.
fn free_name<'a>(members: impl Iterator<Item = &'a Member>, name: &str) -> String {
    let taken: Vec<&str> = members.map(|member| member.name.as_str()).collect();
    let more = (2..).map(|n| format!("{name}-{n}"));
    std::iter::once(name.to_owned()).chain(more).find(|name| !taken.contains(&name.as_str())).unwrap_or_default()
}
