//! A checkpoint's tree: a few files with names of their own, and the sealed parts, fanned out.
//!
//! Two levels of one digit each: a step rewrites a few small trees, not one of all names. Knows names and object ids, not
//! what they hold. What must stay true: what `read` accepts has exactly this shape.

use std::collections::{BTreeMap, HashSet};

use gix::hash::{Kind, ObjectId};

use super::pack::{Entry, PackWriter};
use super::{Error, Store};

pub const HEADER: &str = "capsule.json";
pub const MANIFEST: &str = "manifest.age";
const KEYS: &str = "keys";
const DATA: &str = "data";
/// The largest listing of parts: 256 of them hold a terabyte's.
const MAX: usize = 16 << 20;

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
                (true, KEYS) => {
                    for epoch in read.items(store, &item.id)? {
                        let wraps = read.items(store, &epoch.id)?;
                        read.tree.keys.insert(epoch.name, wraps.into_iter().map(|wrap| wrap.id).collect());
                    }
                }
                (true, DATA) => {
                    for first in read.items(store, &item.id)? {
                        for second in read.items(store, &first.id)? {
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
        let mut tree = Tree::default();
        for item in Read::default().items(store, id)? {
            match item.name.as_str() {
                HEADER => tree.header = Some(item.id),
                MANIFEST => tree.manifest = Some(item.id),
                KEYS => {
                    for epoch in Read::default().items(store, &item.id)? {
                        let wraps = Read::default().items(store, &epoch.id)?;
                        tree.keys.insert(epoch.name, wraps.into_iter().map(|wrap| wrap.id).collect());
                    }
                }
                _ => {}
            }
        }
        Ok(tree)
    }

    /// The files that every look at a checkpoint needs: all but the parts.
    pub fn small(&self) -> impl Iterator<Item = &ObjectId> {
        self.header.iter().chain(&self.manifest).chain(self.keys.values().flatten())
    }
}

impl Read {
    fn leaf(&mut self, store: &Store, prefix: &str, id: &ObjectId) -> Result<(), Error> {
        for part in self.items(store, id)? {
            if part.name.starts_with(prefix) && !part.dir {
                self.tree.parts.insert(part.name, part.id);
            }
        }
        Ok(())
    }

    fn items(&mut self, store: &Store, id: &ObjectId) -> Result<Vec<Item>, Error> {
        let bytes = store.object(id, gix::object::Kind::Tree, MAX)?;
        self.known.insert(*id);
        parse(&bytes, store.repo.hash)
            .ok_or_else(|| Error::NotACheckpoint { what: id.to_string(), why: "a tree of it is damaged".to_owned() })
    }
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
    let entry = Entry::new(hash, gix::object::Kind::Tree, &bytes)?;
    if known.known.contains(&entry.id) { Ok(entry.id) } else { into.add(&entry) }
}

fn key(item: &Item) -> Vec<u8> {
    let mut key = item.name.clone().into_bytes();
    key.extend(item.dir.then_some(b'/'));
    key
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
        items.push(Item { dir, name: std::str::from_utf8(&bytes[space + 1..nul]).ok()?.to_owned(), id });
        bytes = &bytes[end..];
    }
    Some(items)
}
