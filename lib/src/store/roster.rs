//! The chain of rosters, and the requests of devices to be on it: signed commits of ours whose words are sealed.
//!
//! In the clear are the keys that signed, how many changes there were, and of a request the two public keys. What must stay
//! true: each commit of a roster's chain was made by a member of the one before it, back to the root that was pinned.

use std::collections::BTreeMap;

use gix::hash::ObjectId;
use gix::object::Kind as ObjectKind;
use serde::{Deserialize, Serialize};

use super::commit::{self, Commit};
use super::envelope::{self, Envelope};
use super::pack::{Entry, PackWriter};
use super::tree::{Read as ReadTree, Tree};
use super::{Error, Store};
use crate::roster::{Roster, SCHEMA};
use crate::seal::{self, Callbacks, Epoch, EpochId, Identities, NAMESPACE, Recipients, Signer, SigningKey, random_hex};

const REQUEST: &str = "samesession.request/1";
const MAX_HEADER: usize = 64 << 10;
const MAX_WRAP: usize = 1 << 20;
/// So many changes are looked through.
const LONGEST: usize = 20_000;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    schema: String,
    sequence: u64,
    nonce: String,
    epoch: String,
}

/// One of the chain, verified up to the root.
#[derive(Debug, Clone)]
pub struct Verified {
    pub id: ObjectId,
    pub root: ObjectId,
    pub roster: Roster,
    pub signer: Signer,
}

fn not(id: &ObjectId, why: impl ToString) -> Error {
    Error::NotACheckpoint { what: id.to_string(), why: why.to_string() }
}

/// Reads and verifies it. `trusted` is one that was verified before; what lies behind that is not looked at again. Without
/// one it is verified as far back as these keys open it: a device reads nothing from before it was approved, and whether it
/// believes whoever did that is for its user to say.
pub fn read(store: &Store, tip: &ObjectId, with: &Identities, trusted: Option<&Verified>) -> Result<Verified, Error> {
    let mut chain = Vec::new();
    let mut at = *tip;
    let mut before = loop {
        if let Some(trusted) = trusted.filter(|trusted| trusted.id == at) {
            break Some(trusted.clone());
        }
        let one = match one(store, &at, with) {
            Err(Error::Seal(_)) if trusted.is_none() && !chain.is_empty() => break None,
            one => one?,
        };
        let parents = one.commit.parents.clone();
        chain.push(one);
        match parents[..] {
            [] => break None,
            [parent] => at = parent,
            _ => return Err(not(&at, "a roster has one line")),
        }
        if chain.len() > LONGEST {
            return Err(not(tip, "its roster is too long"));
        }
    };
    // One that does not go on from what was believed here has no standing, however it is signed.
    if trusted.is_some() && before.is_none() {
        return Err(not(tip, "it is another roster than the one that this device has joined"));
    }
    for One { commit, signer, roster } in chain.into_iter().rev() {
        let root = match &before {
            None => match &roster.root {
                Some(root) => ObjectId::from_hex(root.as_bytes()).map_err(|_| not(&commit.id, "its root has no name"))?,
                None => {
                    roster.is_a_beginning(&signer.fingerprint).map_err(|why| not(&commit.id, why))?;
                    commit.id
                }
            },
            Some(before) => {
                let root = before.root.to_string();
                roster.follows(&before.roster, &root, &signer.fingerprint).map_err(|why| not(&commit.id, why))?;
                before.root
            }
        };
        before = Some(Verified { id: commit.id, root, roster, signer });
    }
    before.ok_or_else(|| not(tip, "there is nothing in it"))
}

struct One {
    commit: Commit,
    signer: Signer,
    roster: Roster,
}

fn one(store: &Store, id: &ObjectId, with: &Identities) -> Result<One, Error> {
    let commit = Commit::read(store, id)?;
    if !commit.is_ours() {
        return Err(not(id, "it is another commit"));
    }
    let signer = commit.signer().map_err(|error| not(id, error))?;
    let tree = Tree::header_of(store, &commit.tree)?;
    store.want(tree.small())?;
    let (Some(header), Some(sealed)) = (tree.header, tree.manifest) else { return Err(not(id, "it is no roster")) };
    let header: Header = serde_json::from_slice(&store.blob(&header, MAX_HEADER)?).map_err(|error| not(id, error))?;
    if header.schema != SCHEMA {
        return Err(not(id, "it is no roster"));
    }
    let epoch = EpochId::parse(&header.epoch).ok_or_else(|| not(id, "its epoch has no name"))?;
    let wraps = tree.keys.get(epoch.as_str()).into_iter().flatten().take(64);
    let wraps = wraps.map(|wrap| store.blob(wrap, MAX_WRAP)).collect::<Result<Vec<_>, _>>()?;
    let epoch = Epoch::unwrap(&epoch, &wraps, with)?;
    let envelope = Envelope::open(&store.blob(&sealed, envelope::MAX)?, &epoch).map_err(|error| not(id, error))?;
    let inner = seal::verify(NAMESPACE, &envelope.record, &envelope.record_signature).map_err(|error| not(id, error))?;
    let roster = Roster::parse(&envelope.record).map_err(|why| not(id, why))?;
    if inner != signer || (roster.sequence, &roster.nonce) != (header.sequence, &header.nonce) {
        return Err(not(id, "what is sealed in it says something else"));
    }
    Ok(One { commit, signer, roster })
}

/// Writes the next one, sealed to its active members under an epoch of its own: who was revoked reads nothing from there on.
pub fn write<C: Callbacks>(
    store: &Store,
    mut roster: Roster,
    parent: Option<ObjectId>,
    key: &SigningKey,
    callbacks: &C,
    pack: &mut PackWriter,
) -> Result<ObjectId, Error> {
    let hash = store.repo.hash;
    let mut to = Recipients::default();
    for member in roster.active() {
        to.add_text(&member.recipient)?;
    }
    let epoch = Epoch::begin();
    roster.nonce = random_hex::<16>();
    let record = json(&roster)?;
    let signature = key.sign(NAMESPACE, &record)?.into_bytes();
    let envelope = Envelope { record, record_signature: signature, manifest_signature: None };
    let header = Header { schema: SCHEMA.to_owned(), sequence: roster.sequence, nonce: roster.nonce, epoch: epoch.id.as_str().to_owned() };
    let mut blob = |bytes: &[u8]| pack.add(&Entry::new(hash, ObjectKind::Blob, bytes));
    let mut tree = Tree { header: Some(blob(&json(&header)?)?), manifest: Some(blob(&envelope.seal(&epoch)?)?), ..Tree::default() };
    let wraps = epoch.wrap(&to, callbacks)?.iter().map(|wrap| blob(wrap)).collect::<Result<Vec<_>, _>>()?;
    tree.keys.insert(epoch.id.as_str().to_owned(), wraps);
    finish(store, &tree, parent, key, pack)
}

fn finish(store: &Store, tree: &Tree, parent: Option<ObjectId>, key: &SigningKey, pack: &mut PackWriter) -> Result<ObjectId, Error> {
    let tree = tree.write(&ReadTree::default(), store.repo.hash, pack)?;
    let parents: Vec<ObjectId> = parent.into_iter().collect();
    let commit = commit::write(store.repo.hash, &tree, &parents, key)?;
    pack.add(&Entry::new(store.repo.hash, ObjectKind::Commit, &commit))
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| Error::Capsule(crate::capsule::Error::Write(error.into())))?;
    text.push(b'\n');
    Ok(text)
}

/// A device that asks to be on the roster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    schema: String,
    nonce: String,
    /// `ssh-ed25519 AAAA…`
    pub signing: String,
    pub recipient: String,
}

/// What it calls itself is for members' eyes: sealed to keys that are in the clear anyway, those that sign.
pub fn ask(
    store: &Store,
    name: &str,
    recipient: &str,
    members: &Recipients,
    key: &SigningKey,
    pack: &mut PackWriter,
) -> Result<ObjectId, Error> {
    let signing = key.public_line()?.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let request = Request { schema: REQUEST.to_owned(), nonce: random_hex::<16>(), signing, recipient: recipient.to_owned() };
    let hash = store.repo.hash;
    let mut sealed = Vec::new();
    for wrap in seal::seal_small(members, name.as_bytes())? {
        sealed.push(pack.add(&Entry::new(hash, ObjectKind::Blob, &wrap))?);
    }
    let header = pack.add(&Entry::new(hash, ObjectKind::Blob, &json(&request)?))?;
    let tree = Tree { header: Some(header), manifest: sealed.first().copied(), keys: BTreeMap::new(), ..Tree::default() };
    finish(store, &tree, None, key, pack)
}

/// A request whose signature holds; with its name, if this device's signing key opens it.
pub fn asked(store: &Store, id: &ObjectId, with: &Identities) -> Result<(Request, Signer, Option<String>), Error> {
    let commit = Commit::read(store, id)?;
    let signer = commit.signer().map_err(|error| not(id, error))?;
    let tree = Tree::header_of(store, &commit.tree)?;
    store.want(tree.small())?;
    let header = tree.header.filter(|_| commit.is_ours() && commit.parents.is_empty()).ok_or_else(|| not(id, "it is no request"))?;
    let request: Request = serde_json::from_slice(&store.blob(&header, MAX_HEADER)?).map_err(|error| not(id, error))?;
    if request.schema != REQUEST || request.signing != signer.key {
        return Err(not(id, "it is signed by another key than it names"));
    }
    Recipients::default().add_text(&request.recipient)?;
    let name = tree.manifest.and_then(|sealed| seal::open_small(&store.blob(&sealed, MAX_HEADER).ok()?, with).ok());
    let name = name.and_then(|name| String::from_utf8(name).ok());
    Ok((request, signer, name))
}
