//! A checkpoint's tree: a few files with names of their own, and the sealed parts, fanned out.
//!
//! Two levels of one digit each: a step rewrites a few small trees, not one of all names. Knows names and object ids, not
//! what they hold. What must stay true: what `read` accepts has exactly this shape.

use std::collections::{BTreeMap, HashSet};

use gix::hash::{Kind, ObjectId};

use super::pack::{Entry, PackWriter};
use super::record::is_hex;
use super::{Error, Store};
use crate::seal::EpochId;

pub const HEADER: &str = "capsule.json";
pub const MANIFEST: &str = "manifest.age";
const KEYS: &str = "keys";
const DATA: &str = "data";
/// The largest listing of parts: 256 of them hold a terabyte's.
const MAX: usize = 1 << 20;
/// Wraps of one epoch: one for each class of recipients, and a handful of classes.
const WRAPS: usize = 64;

/// What a checkpoint's tree names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    pub header: Option<ObjectId>,
    pub manifest: Option<ObjectId>,
    /// The wraps of each epoch's key, by the epoch's name.
    pub keys: BTreeMap<String, Vec<ObjectId>>,
    pub parts: BTreeMap<String, ObjectId>,
}

/// A tree that was read, with the ids of all its trees: those need not be written again.
#[derive(Debug, Default)]
pub struct Read {
    pub tree: Tree,
    known: HashSet<ObjectId>,
}

struct Item {
    dir: bool,
    name: String,
    id: ObjectId,
}

impl Tree {
    /// Writes the trees that are not known yet.
    pub fn write(&self, known: &Read, hash: Kind, into: &mut PackWriter) -> Result<ObjectId, Error> {
        let mut keys = Vec::new();
        for (epoch, wraps) in &self.keys {
            let wraps = wraps.iter().enumerate().map(|(n, id)| Item { dir: false, name: format!("{n}.age"), id: *id }).collect();
            keys.push(Item { dir: true, name: epoch.clone(), id: put(wraps, known, hash, into)? });
        }
        let mut fan: BTreeMap<&str, BTreeMap<&str, Vec<Item>>> = BTreeMap::new();
        for (name, id) in &self.parts {
            let leaf = fan.entry(&name[..1]).or_default().entry(&name[1..2]).or_default();
            leaf.push(Item { dir: false, name: name.clone(), id: *id });
        }
        let mut data = Vec::new();
        for (first, below) in fan {
            let mut middle = Vec::new();
            for (second, leaf) in below {
                middle.push(Item { dir: true, name: second.to_owned(), id: put(leaf, known, hash, into)? });
            }
            data.push(Item { dir: true, name: first.to_owned(), id: put(middle, known, hash, into)? });
        }
        let mut root = Vec::new();
        for (name, below) in [(DATA, data), (KEYS, keys)] {
            if !below.is_empty() {
                root.push(Item { dir: true, name: name.to_owned(), id: put(below, known, hash, into)? });
            }
        }
        for (name, id) in [(HEADER, self.header), (MANIFEST, self.manifest)] {
            root.extend(id.map(|id| Item { dir: false, name: name.to_owned(), id }));
        }
        put(root, known, hash, into)
    }

    pub fn read(store: &Store, id: &ObjectId) -> Result<Read, Error> {
        let mut read = Read::default();
        for item in read.items(store, id)? {
            match (item.dir, item.name.as_str()) {
                (false, HEADER) => read.tree.header = Some(item.id),
                (false, MANIFEST) => read.tree.manifest = Some(item.id),
                (true, KEYS) => read.tree.keys = read.keys(store, &item.id)?,
                (true, DATA) => {
                    for first in read.digits(store, &item.id)? {
                        for second in read.digits(store, &first.id)? {
                            read.leaf(store, &format!("{}{}", first.name, second.name), &second.id)?;
                        }
                    }
                }
                // What a later version adds is not ours to judge; what it needs us to know stands in `requires`.
                _ => {}
            }
        }
        Ok(read)
    }

    /// The header alone, for a look at many.
    pub fn header_of(store: &Store, id: &ObjectId) -> Result<Tree, Error> {
        let mut read = Read::default();
        for item in read.items(store, id)? {
            match (item.dir, item.name.as_str()) {
                (false, HEADER) => read.tree.header = Some(item.id),
                (false, MANIFEST) => read.tree.manifest = Some(item.id),
                (true, KEYS) => read.tree.keys = read.keys(store, &item.id)?,
                _ => {}
            }
        }
        Ok(read.tree)
    }

    /// The files that every look at a checkpoint needs: all but the parts.
    pub fn small(&self) -> impl Iterator<Item = &ObjectId> {
        self.header.iter().chain(&self.manifest).chain(self.keys.values().flatten())
    }
}

impl Read {
    fn keys(&mut self, store: &Store, id: &ObjectId) -> Result<BTreeMap<String, Vec<ObjectId>>, Error> {
        let mut keys = BTreeMap::new();
        for epoch in self.items(store, id)? {
            let wraps = self.items(store, &epoch.id)?;
            if !epoch.dir || EpochId::parse(&epoch.name).is_none() {
                return Err(not(id, "its keys are of no epoch"));
            }
            if wraps.len() > WRAPS || wraps.iter().any(|wrap| wrap.dir) {
                return Err(not(&epoch.id, "an epoch of it has more keys than there can be"));
            }
            keys.insert(epoch.name, wraps.into_iter().map(|wrap| wrap.id).collect());
        }
        Ok(keys)
    }

    /// A level of the fan: directories of one digit each.
    fn digits(&mut self, store: &Store, id: &ObjectId) -> Result<Vec<Item>, Error> {
        let items = self.items(store, id)?;
        let fits = |item: &Item| item.dir && is_hex(&item.name, 1);
        if items.iter().all(fits) { Ok(items) } else { Err(not(id, "its parts are not where parts are")) }
    }

    fn leaf(&mut self, store: &Store, prefix: &str, id: &ObjectId) -> Result<(), Error> {
        for part in self.items(store, id)? {
            if part.dir || !is_hex(&part.name, 32) || !part.name.starts_with(prefix) {
                return Err(not(id, "its parts are not where parts are"));
            }
            self.tree.parts.insert(part.name, part.id);
        }
        Ok(())
    }

    fn items(&mut self, store: &Store, id: &ObjectId) -> Result<Vec<Item>, Error> {
        let bytes = store.object(id, gix::object::Kind::Tree, MAX)?;
        self.known.insert(*id);
        parse(&bytes, store.repo.hash).ok_or_else(|| not(id, "a tree of it is damaged"))
    }
}

fn not(id: &ObjectId, why: &str) -> Error {
    Error::NotACheckpoint { what: id.to_string(), why: why.to_owned() }
}

fn put(mut items: Vec<Item>, known: &Read, hash: Kind, into: &mut PackWriter) -> Result<ObjectId, Error> {
    // Git sorts a directory as if its name ended in a slash.
    items.sort_by_key(key);
    let mut bytes = Vec::with_capacity(items.len() * 64);
    for item in &items {
        bytes.extend_from_slice(if item.dir { b"40000 " } else { b"100644 " });
        bytes.extend_from_slice(item.name.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(item.id.as_slice());
    }
    let entry = Entry::new(hash, gix::object::Kind::Tree, &bytes);
    if known.known.contains(&entry.id) { Ok(entry.id) } else { into.add(&entry) }
}

fn key(item: &Item) -> Vec<u8> {
    let mut key = item.name.clone().into_bytes();
    key.extend(item.dir.then_some(b'/'));
    key
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn is_one(bytes: &[u8], hash: Kind) -> bool {
    parse(bytes, hash).is_some()
}

fn parse(mut bytes: &[u8], hash: Kind) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|&byte| byte == b' ')?;
        let nul = space + bytes[space..].iter().position(|&byte| byte == 0)?;
        let end = nul + 1 + hash.len_in_bytes();
        let id = ObjectId::try_from(bytes.get(nul + 1..end)?).ok()?;
        let dir = match &bytes[..space] {
            b"40000" => true,
            b"100644" => false,
            // Links, submodules and programs are no part of any checkpoint.
            _ => return None,
        };
        let item = Item { dir, name: std::str::from_utf8(&bytes[space + 1..nul]).ok()?.to_owned(), id };
        // In Git's order, none of them twice: whoever reads it by hand must see the same.
        if items.last().is_some_and(|before: &Item| before.name == item.name || key(before) >= key(&item)) {
            return None;
        }
        items.push(item);
        bytes = &bytes[end..];
    }
    Some(items)
}
