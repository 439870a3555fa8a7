//! `device join`, `list`, `approve`, `revoke`: how a device comes onto the roster, and off it.
//!
//! A new one asks through the store, signed by its own key; a member says yes by name and fingerprint, and no key is
//! pasted. What must stay true: nobody approves what was not shown, and a session opens to nobody by being asked for.

use std::collections::BTreeMap;

use gix::hash::ObjectId;

use super::ledger::{Finding, Ledger};
use super::recipients::{self, Act};
use super::roster::{self, State};
use super::{Error, exchange, settings};
use crate::device::Device;
use crate::id::{SessionId, hex};
use crate::progress::Progress;
use crate::roster::{Member, Roster};
use crate::seal::{Callbacks, NoCallbacks};
use crate::store::pack::PackWriter;
use crate::store::{names, refs, roster as chain};

use sha2::{Digest, Sha256};

/// So many requests are looked at: anybody who can push can make some.
const REQUESTS: usize = 200;

/// Somebody who asks.
#[derive(Debug, Clone)]
pub struct Asking {
    /// The end of its ref's name.
    pub print: String,
    pub commit: ObjectId,
    pub fingerprint: String,
    pub signing: String,
    pub recipient: String,
    /// What it calls itself, if it can be read here.
    pub name: Option<String>,
}

#[derive(Debug)]
pub enum Joined {
    /// There was no roster: this device began one.
    Founded(Roster),
    /// It was on it already.
    Already(Roster),
    /// It was approved, and believes the roster from now on.
    Approved(Roster),
    /// It has asked, by this ref.
    Asked(String),
}

/// By whom a roster that lists this device was last changed: whether that is right is for a person to say.
pub struct Approval<'a> {
    pub roster: &'a Roster,
    pub fingerprint: &'a str,
    pub name: &'a str,
}

/// The ref by which a key asks.
pub fn print_of(signing: &str) -> String {
    hex(&Sha256::digest(signing.as_bytes())[..16])
}

pub fn join<C: Callbacks>(
    ledger: &mut Ledger<'_>,
    device: &Device,
    remote: Option<&str>,
    accept: &mut dyn FnMut(&Approval<'_>) -> bool,
    callbacks: &C,
) -> Result<Joined, Error> {
    if let Some(remote) = remote {
        roster::fetch(&ledger.store.repo, remote)?;
    }
    match roster::state(ledger, remote)? {
        State::Joined(verified) => Ok(Joined::Already(verified.roster)),
        State::None => {
            let verified = roster::found(ledger, device, remote, callbacks)?;
            ledger.look_again();
            Ok(Joined::Founded(verified.roster))
        }
        State::Approved(verified) => {
            let fingerprint = &verified.signer.fingerprint;
            let name = verified.roster.member(fingerprint).map_or("", |member| member.name.as_str());
            if !accept(&Approval { roster: &verified.roster, fingerprint, name }) {
                return Err(Error::UnknownSigner { signer: verified.signer.clone(), name: name.to_owned() });
            }
            roster::follow(ledger, &verified)?;
            ledger.look_again();
            Ok(Joined::Approved(verified.roster))
        }
        State::Closed(_) if ledger.joined().is_some() => Err(Error::WasRevoked { name: device.name.clone() }),
        State::Closed(tip) => ask(ledger, device, remote, &tip),
    }
}

fn ask(ledger: &Ledger<'_>, device: &Device, remote: Option<&str>, tip: &ObjectId) -> Result<Joined, Error> {
    let remote = remote.ok_or(Error::NoRemote)?;
    let store = &ledger.store;
    let print = print_of(&device.signing().public_line()?.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
    let name = format!("{}{print}", names::REQUESTS);
    if refs::list(store, &[&format!("{}{print}", names::requests_of(remote))])?.is_empty() {
        let members = roster::signers(ledger, tip)?;
        let mut writer = PackWriter::new(&store.repo.objects, store.repo.hash)?;
        let commit = chain::ask(store, &device.name, &device.recipient(), &members, device.signing(), &mut writer)?;
        // It stays here: Git notes what it has pushed in a tracking ref.
        let packs = writer.finish()?;
        let sent = roster::send(&store.repo, remote, &format!("{commit}:{name}"), None);
        match sent {
            Err(Error::Store(crate::store::Error::Moved { .. })) => {}
            Ok(()) => packs.keep(),
            Err(error) => {
                packs.keep_if_named(store, &[commit]);
                return Err(error);
            }
        }
    }
    Ok(Joined::Asked(name))
}

/// Who asks, as last fetched. What is no request, or stands under another key's name, is passed by.
pub fn asking(ledger: &Ledger<'_>, device: &Device, remote: &str) -> Result<Vec<Asking>, Error> {
    let prefix = names::requests_of(remote);
    let mut own = crate::seal::Identities::default();
    // Under a passphrase that nobody can be asked for it opens no name, and names are not what is compared.
    if let Ok(key) = device.own_signing().to_openssh() {
        own.add_text(&key, "this device's signing key", NoCallbacks)?;
    }
    let mut found = Vec::new();
    for (name, commit) in refs::list(&ledger.store, &[prefix.trim_end_matches('/')])?.into_iter().take(REQUESTS) {
        let Some(print) = name.strip_prefix(&prefix) else { continue };
        let Ok((request, signer, called)) = chain::asked(&ledger.store, &commit, &own) else { continue };
        if print != print_of(&signer.key) {
            continue;
        }
        // The member's request was sealed to the key that signed the roster, which may be the user's own.
        let called = called.or_else(|| chain::asked(&ledger.store, &commit, ledger.identities).ok()?.2);
        let called = called.map(|name| name.chars().filter(|c| !c.is_control()).take(64).collect());
        found.push(Asking {
            print: print.to_owned(),
            commit,
            fingerprint: signer.fingerprint,
            signing: request.signing,
            recipient: request.recipient,
            name: called,
        });
    }
    Ok(found)
}

pub struct Changed {
    pub member: Member,
    /// The sessions that open to it now, or to which nothing more is sealed for it.
    pub sessions: Vec<SessionId>,
    /// Those that could not be changed, and why.
    pub skipped: BTreeMap<SessionId, String>,
    /// What a device that was taken off can still read, as far as this one can tell.
    pub still_reads: Vec<StillReads>,
}

impl Changed {
    fn nothing(member: Member) -> Changed {
        Changed { sessions: Vec::new(), skipped: BTreeMap::new(), still_reads: Vec::new(), member }
    }
}

pub struct StillReads {
    pub sid: SessionId,
    pub title: Option<String>,
    /// Up to this checkpoint; without one, as it had been taken out of it before, up to some earlier one.
    pub until: Option<u64>,
}

/// A member at work on the roster.
pub struct Hand<'a, C> {
    pub device: &'a Device,
    pub remote: Option<&'a str>,
    pub callbacks: &'a C,
    pub progress: &'a dyn Progress,
}

impl<C: Callbacks> Hand<'_, C> {
    /// Whoever asks so becomes a member, and can open the sessions that this device can, unless the settings say otherwise.
    pub fn approve(&self, ledger: &mut Ledger<'_>, asking: &Asking, name: &str, findings: &mut Vec<Finding>) -> Result<Changed, Error> {
        let opens = settings::approve_opens(&ledger.store.repo)?;
        let verified = roster::change(ledger, self.device.signing(), self.remote, self.callbacks, |roster, mark| {
            if let Some(member) = roster.member(&asking.fingerprint) {
                return if member.is_active() { Ok(false) } else { Err(Error::WasRevoked { name: member.name.clone() }) };
            }
            if roster.active().any(|member| member.name == name) || roster.groups.contains_key(name) {
                return Err(Error::NameTaken { name: name.to_owned() });
            }
            roster::add(roster, name, &asking.signing, &asking.recipient, mark);
            Ok(true)
        })?;
        ledger.look_again();
        let member = verified.roster.member(&asking.fingerprint).cloned().ok_or(Error::NotOnRoster)?;
        let act = Act::Add(vec![member.recipient.clone()]);
        let changed = if opens { self.rewrap(ledger, member, &act, findings)? } else { Changed::nothing(member) };
        // It has been answered, and not before: what was stopped half way can be done again. Where somebody else has answered it,
        // too, it is gone already.
        let (name, at) = (format!("{}{}", names::REQUESTS, asking.print), asking.commit.to_string());
        if let Some(remote) = self.remote {
            let _ = roster::send(&ledger.store.repo, remote, &format!(":{name}"), Some(&format!("{name}:{at}")));
        }
        Ok(changed)
    }

    /// Nothing more is sealed to it, and nothing more of it is believed.
    pub fn revoke(&self, ledger: &mut Ledger<'_>, fingerprint: &str, findings: &mut Vec<Finding>) -> Result<Changed, Error> {
        let verified = roster::change(ledger, self.device.signing(), self.remote, self.callbacks, |roster, mark| {
            let member = roster.members.iter_mut().find(|member| member.fingerprint() == fingerprint && member.is_active());
            let Some(member) = member else { return Ok(false) };
            member.revoked = Some(mark);
            let gone = member.recipient.clone();
            roster.groups.values_mut().for_each(|keys| keys.retain(|key| *key != gone));
            roster.groups.retain(|_, keys| !keys.is_empty());
            Ok(true)
        })?;
        ledger.look_again();
        let member = verified.roster.member(fingerprint).cloned().ok_or(Error::NotOnRoster)?;
        let act = Act::Remove { keys: vec![member.recipient.clone()], force: false };
        self.rewrap(ledger, member, &act, findings)
    }

    pub(super) fn rewrap(&self, ledger: &mut Ledger<'_>, member: Member, act: &Act, findings: &mut Vec<Finding>) -> Result<Changed, Error> {
        let mut changed = Changed::nothing(member);
        for sid in ledger.sync_all(findings)?.into_keys() {
            match recipients::change(ledger, self.device, act, &[sid.to_string()], findings, self.callbacks) {
                Ok(done) => {
                    if matches!(act, Act::Remove { .. }) {
                        changed.still_reads.extend(done.sessions.iter().map(still_reads));
                    }
                    if done.sessions.iter().any(recipients::Session::is_changed) {
                        changed.sessions.push(sid);
                    }
                }
                Err(Error::NoSuchReader(_) | Error::Deleted { .. }) => {}
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => drop(changed.skipped.insert(sid, error.to_string())),
            }
        }
        if let Some(remote) = self.remote.filter(|_| !changed.sessions.is_empty()) {
            for pushed in exchange::push(ledger, remote, Some(&changed.sessions), self.callbacks, findings, self.progress)? {
                if let Err(error) = pushed.result {
                    changed.skipped.insert(pushed.sid, error.to_string());
                }
            }
        }
        Ok(changed)
    }
}

fn still_reads(session: &recipients::Session) -> StillReads {
    let until = match &session.state {
        recipients::State::Changed(changed) => Some(changed.sequence.saturating_sub(1)),
        _ => None,
    };
    StillReads { sid: session.sid.clone(), title: session.title.clone(), until }
}
