//! The roster as this device uses it: who is on it, whom it makes believed, and how it is changed.
//!
//! It counts here once this device has joined: before that anybody with push access could write one that lists this device
//! beside themselves. What must stay true: it only moves forward from what was joined, and is changed by compare-and-swap.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};

use gix::hash::ObjectId;
use serde::{Deserialize, Serialize};

use super::Error;
use super::ledger::Ledger;
use crate::device::Device;
use crate::durable::{self, At};
use crate::env::Env;
use crate::git::{Repo, Repository};
use crate::roster::{Mark, Member, Roster};
use crate::seal::{Callbacks, Identities, Recipients, SigningKey};
use crate::store::pack::PackWriter;
use crate::store::refs::{self, Change};
use crate::store::roster::{self, Verified};
use crate::store::{Store, chain, names};
use crate::{store, time};

const FILE: &str = "roster.json";
const FILE_SCHEMA: &str = "samesession.joined/1";
const ATTEMPTS: u32 = 50;

/// The newest roster that this device has verified, as it is remembered between commands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Joined {
    schema: String,
    pub tip: String,
    pub root: String,
    pub roster: Roster,
}

impl Joined {
    pub fn load(repo: &Repository) -> Option<Joined> {
        Joined::read(&file(repo))
    }

    /// Of the repository around, for a capsule that does not come out of one.
    pub fn around(env: &Env) -> Option<Joined> {
        Joined::read(&Repo::around(env.cwd())?.common.join("samesession").join(FILE))
    }

    fn read(path: &Path) -> Option<Joined> {
        let joined: Joined = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        (joined.schema == FILE_SCHEMA).then_some(joined)
    }

    pub(super) fn of(verified: &Verified) -> Joined {
        let (tip, root) = (verified.id.to_string(), verified.root.to_string());
        Joined { schema: FILE_SCHEMA.to_owned(), tip, root, roster: verified.roster.clone() }
    }

    fn verified(&self) -> Option<Verified> {
        let id = |text: &str| ObjectId::from_hex(text.as_bytes()).ok();
        let signer = crate::seal::Signer { fingerprint: String::new(), key: String::new() };
        Some(Verified { id: id(&self.tip)?, root: id(&self.root)?, roster: self.roster.clone(), signer })
    }

    /// As records name it: its root, and its tip.
    pub(super) fn place(&self) -> (String, String) {
        (self.root.clone(), self.tip.clone())
    }

    fn save(&self, repo: &Repository) -> Result<(), Error> {
        let path = file(repo);
        durable::create_dirs(durable::parent(&path))?;
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::from).at("write", &path)?;
        Ok(durable::write_atomic(&path, &text)?)
    }
}

/// The same with what was followed since in this command, the newest last: whoever was told of one may still hold it.
pub(super) struct Followed {
    joined: Joined,
    newer: OnceCell<Box<Followed>>,
}

impl From<Joined> for Followed {
    fn from(joined: Joined) -> Followed {
        Followed { joined, newer: OnceCell::new() }
    }
}

impl Followed {
    pub fn newest(&self) -> &Joined {
        self.newer.get().map_or(&self.joined, |newer| newer.newest())
    }

    pub fn go_on(&self, joined: Joined) {
        match self.newer.get() {
            Some(newer) => newer.go_on(joined),
            None => drop(self.newer.set(Box::new(joined.into()))),
        }
    }
}

fn file(repo: &Repository) -> PathBuf {
    repo.private_dir().join(FILE)
}

/// How this device stands with the roster of a store.
#[derive(Debug)]
pub enum State {
    /// There is none.
    None,
    /// There is one, and this device is on it.
    Joined(Verified),
    /// There is one that lists this device, and nobody here has said yet that it is the right one.
    Approved(Verified),
    /// There is one that this device cannot read.
    Closed(ObjectId),
}

/// What stands here and at that remote, as last fetched. What goes on from what was joined is followed.
pub fn state(ledger: &Ledger<'_>, remote: Option<&str>) -> Result<State, Error> {
    let store = &ledger.store;
    let mut names = vec![names::ROSTER.to_owned()];
    names.extend(remote.map(names::roster_of));
    let listed = refs::list(store, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let joined = Joined::load(&store.repo);
    let mut newest = joined.as_ref().and_then(Joined::verified);
    let mut closed = None;
    for (_, tip) in listed {
        let known = newest.as_ref().is_some_and(|newest| chain::descends(store, &newest.id, &tip).unwrap_or(false));
        if known {
            continue;
        }
        match roster::read(store, &tip, ledger.identities, newest.as_ref()) {
            Ok(verified) => newest = Some(verified),
            Err(store::Error::Seal(_)) => closed = Some(tip),
            Err(error) if joined.is_none() => return Err(error.into()),
            // What does not go on from it is somebody else's word.
            Err(_) => {}
        }
    }
    let me = ledger.device.map(|device| device.signing().fingerprint()).unwrap_or_default();
    // It has gone on, and this device reads it no more.
    if let (Some(newest), Some(tip)) = (&newest, closed.filter(|_| joined.is_some()))
        && chain::descends(store, &tip, &newest.id)?
    {
        return Ok(State::Closed(tip));
    }
    Ok(match (newest, joined) {
        (Some(verified), Some(joined)) => {
            if joined.verified().is_none_or(|joined| joined.id != verified.id) {
                follow(ledger, &verified)?;
            }
            State::Joined(verified)
        }
        (Some(verified), None) if verified.roster.member(&me).is_some_and(Member::is_active) => State::Approved(verified),
        (Some(verified), None) => State::Closed(verified.id),
        (None, _) => closed.map_or(State::None, State::Closed),
    })
}

/// The one of these that goes on from what was joined, verified change by change. Others are somebody else's word, or older.
pub(super) fn newer(store: &Store, joined: &Joined, fetched: &[ObjectId], with: &Identities) -> Option<Verified> {
    let known = joined.verified()?;
    let mut newest = known.clone();
    for tip in fetched {
        if *tip == newest.id || chain::descends(store, &newest.id, tip).unwrap_or(false) {
            continue;
        }
        if let Ok(verified) = roster::read(store, tip, with, Some(&newest)) {
            newest = verified;
        }
    }
    (newest.id != known.id).then_some(newest)
}

/// From here on it counts, and so does what goes on from it.
pub fn follow(ledger: &Ledger<'_>, verified: &Verified) -> Result<(), Error> {
    let store = &ledger.store;
    let pin = names::roster_seen();
    let listed = refs::list(store, &[names::ROSTER, &pin])?;
    let at = |name: &str| listed.iter().find(|(known, _)| known == name).map(|(_, id)| *id);
    let changes: Vec<Change> = [names::ROSTER.to_owned(), pin]
        .into_iter()
        .map(|name| Change { from: at(&name), to: Some(verified.id), name })
        .filter(|change| change.from != change.to)
        .collect();
    refs::update_each(store, "samesession: roster", &[changes])?;
    Joined::of(verified).save(&store.repo)
}

/// The first one, with this device alone on it.
pub fn found<C: Callbacks>(ledger: &Ledger<'_>, device: &Device, remote: Option<&str>, callbacks: &C) -> Result<Verified, Error> {
    let mark = Mark { by: device.signing().fingerprint(), at: time::format(ledger.env.now()), sequence: 1 };
    let roster = Roster {
        schema: crate::roster::SCHEMA.to_owned(),
        sequence: 1,
        nonce: String::new(),
        root: None,
        made: mark.at.clone(),
        members: vec![member(&device.name, device.signing().public_line()?, device.recipient(), mark)],
        groups: std::collections::BTreeMap::new(),
        more: serde_json::Map::new(),
    };
    publish(ledger, device.signing(), remote, None, roster, callbacks)
}

fn member(name: &str, signing: String, recipient: String, added: Mark) -> Member {
    let signing = signing.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    Member { name: name.to_owned(), signing, recipient, added, revoked: None, recovery: false }
}

/// Changes it, from what the store has now, in the name of this key. `edit` says what becomes of it, or that nothing does.
pub fn change<C: Callbacks>(
    ledger: &Ledger<'_>,
    key: &SigningKey,
    remote: Option<&str>,
    callbacks: &C,
    mut edit: impl FnMut(&mut Roster, Mark) -> Result<bool, Error>,
) -> Result<Verified, Error> {
    for _ in 0..ATTEMPTS {
        if let Some(remote) = remote {
            fetch(&ledger.store.repo, remote)?;
        }
        let State::Joined(before) = state(ledger, remote)? else { return Err(Error::NotOnRoster) };
        let mut roster = before.roster.clone();
        roster.sequence += 1;
        roster.root = Some(before.root.to_string());
        let mark = Mark { by: key.fingerprint(), at: time::format(ledger.env.now()), sequence: roster.sequence };
        roster.made.clone_from(&mark.at);
        if !before.roster.member(&mark.by).is_some_and(Member::is_active) {
            return Err(Error::NotOnRoster);
        }
        if !edit(&mut roster, mark)? {
            return Ok(before);
        }
        match publish(ledger, key, remote, Some(&before), roster, callbacks) {
            Err(Error::Store(store::Error::Moved { .. })) => {}
            done => return done,
        }
    }
    Err(store::Error::Moved { name: names::ROSTER.to_owned() }.into())
}

pub fn add(roster: &mut Roster, name: &str, signing: &str, recipient: &str, mark: Mark) {
    roster.members.push(member(name, signing.to_owned(), recipient.to_owned(), mark));
}

/// Written, sent, and only then ours; `Moved` where somebody else was faster.
fn publish<C: Callbacks>(
    ledger: &Ledger<'_>,
    key: &SigningKey,
    remote: Option<&str>,
    before: Option<&Verified>,
    roster: Roster,
    callbacks: &C,
) -> Result<Verified, Error> {
    let store = &ledger.store;
    let mut writer = PackWriter::new(&store.repo.objects, store.repo.hash)?;
    let parent = before.map(|before| before.id);
    let tip = roster::write(store, roster, parent, key, callbacks, &mut writer)?;
    let packs = writer.finish()?;
    // Its own word has to hold, too, before anybody else is asked to believe it.
    let verified = roster::read(&Store::open(store.repo.clone())?, &tip, ledger.identities, before)?;
    let sent = match remote {
        Some(remote) => send(&store.repo, remote, &format!("{tip}:{}", names::ROSTER), None),
        None => Ok(()),
    };
    let done = sent.and_then(|()| follow(ledger, &verified));
    match done {
        Ok(()) => packs.keep(),
        Err(error) => {
            packs.keep_if_named(store, &[tip]);
            return Err(error);
        }
    }
    Ok(verified)
}

/// Rosters and requests, without any session.
pub fn fetch(repo: &Repository, remote: &str) -> Result<(), Error> {
    let spec = |name: &str, to: String| format!("+{name}:{to}\n");
    let requests = spec(&format!("{}*", names::REQUESTS), format!("{}*", names::requests_of(remote)));
    let args = ["fetch", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--refmap=", "--prune", "--quiet", "--stdin"];
    let args = [&args[..], &["--end-of-options", remote]].concat();
    repo.git.feed(&args, requests.as_bytes())?;
    let args: Vec<&str> = args.into_iter().filter(|arg| *arg != "--prune").collect();
    match repo.git.feed(&args, spec(names::ROSTER, names::roster_of(remote)).as_bytes()) {
        Err(crate::git::Error::Failed { said, .. }) if said.contains("couldn't find remote ref") => Ok(()),
        fetched => Ok(fetched.map(drop)?),
    }
}

/// One ref, by compare-and-swap: a push that is no fast-forward is refused, and `instead_of` is exact.
pub fn send(repo: &Repository, remote: &str, refspec: &str, instead_of: Option<&str>) -> Result<(), Error> {
    let mut args: Vec<String> =
        ["push", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no"].map(str::to_owned).to_vec();
    args.extend(instead_of.map(|lease| format!("--force-with-lease={lease}")));
    args.extend(["--end-of-options".to_owned(), remote.to_owned(), refspec.to_owned()]);
    let out = repo.git.with("push.pushOption=").with("push.gpgSign=false").output(&args, b"")?;
    if out.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let behind = [
        "fetch first",
        "non-fast-forward",
        "stale info",
        "cannot lock ref",
        "already exists",
        "failed to update ref",
        "incorrect old value",
    ];
    match said.lines().find(|line| line.starts_with('!')) {
        Some(line) if behind.iter().any(|words| line.contains(words)) => {
            Err(store::Error::Moved { name: refspec.rsplit(':').next().unwrap_or_default().to_owned() }.into())
        }
        Some(line) => {
            Err(Error::Refused { remote: remote.to_owned(), why: line.rsplit('(').next().unwrap_or(line).trim_end_matches(')').to_owned() })
        }
        None => Err(crate::git::failed(&args, &out).into()),
    }
}

/// The keys that signed what can be seen of a store: whoever has one of them is, or was, a member.
pub fn signers(ledger: &Ledger<'_>, tip: &ObjectId) -> Result<Recipients, Error> {
    let mut keys = Recipients::default();
    for commit in chain::log(&ledger.store, tip)?.into_iter().take(200) {
        if let Ok(signer) = commit.signer() {
            // There are keys that sign, and to which nothing can be sealed.
            let _ = keys.add_text(&signer.key);
        }
    }
    Ok(keys)
}
