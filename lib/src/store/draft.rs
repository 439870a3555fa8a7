//! A checkpoint in the making: a record, the parts it names, the keys it brings; written as tree and commit.
//!
//! Every kind of commit on a chain is written here: a capture, a join, a change of recipients, a shortened chain's root.
//! What must stay true: the tree is whole, with a wrap of every epoch that its parts need.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use gix::hash::ObjectId;
use gix::object::Kind as ObjectKind;
use sha2::{Digest, Sha256};

use super::envelope::Envelope;
use super::fold::Folded;
use super::pack::{Entry, PackWriter};
use super::part::{hash_of, name_of};
use super::record::{Header, Line, Pages, Record};
use super::tree::{Read as ReadTree, Tree};
use super::unfold::Opened;
use super::{Error, Store, commit};
use crate::id::hex;
use crate::seal::packing::Packer;
use crate::seal::{Epoch, NAMESPACE, SigningKey, pages, random_hex};

pub struct Draft {
    pub record: Record,
    pub epoch: Arc<Epoch>,
    pub parents: Vec<ObjectId>,
    /// Wraps that are there already.
    pub wraps: BTreeMap<String, Vec<ObjectId>>,
    /// Wraps that are new; they replace those of the same epoch.
    pub new_wraps: BTreeMap<String, Vec<Vec<u8>>>,
    /// Every part that the tree shall hold.
    pub parts: BTreeMap<String, ObjectId>,
    pub manifest_signature: Option<Vec<u8>>,
    /// Sealed bytes of the chain so far.
    pub total: u64,
    /// Those that count as this one's; by default what the pack holds.
    pub added: Option<u64>,
}

impl Draft {
    /// The next checkpoint with the same contents: for whoever changes only what is around them.
    pub fn after(opened: &Opened, tree: &ReadTree) -> Draft {
        let mut draft = Draft::again(opened, tree);
        draft.parents = vec![opened.id()];
        draft.record.sequence += 1;
        draft
    }

    /// The same checkpoint at another place of a chain.
    pub fn again(opened: &Opened, tree: &ReadTree) -> Draft {
        let header = &opened.checkpoint.header;
        let mut record = opened.record.clone();
        record.supersedes.clear();
        Draft {
            record,
            epoch: Arc::clone(&opened.epoch),
            parents: Vec::new(),
            wraps: tree.tree.keys.clone(),
            new_wraps: BTreeMap::new(),
            parts: tree.tree.parts.clone(),
            manifest_signature: opened.signature.clone(),
            total: header.total,
            added: None,
        }
    }

    /// Writes everything but parts; `known` are trees that are there, `key` signs.
    pub fn write(mut self, store: &Store, known: &ReadTree, key: &SigningKey, pack: &mut PackWriter) -> Result<ObjectId, Error> {
        let hash = store.repo.hash;
        self.record.nonce = random_hex::<16>();
        if let Some((root, tip)) = &*store.roster.borrow() {
            (self.record.store, self.record.roster) = (Some(root.clone()), Some(tip.clone()));
        }
        let json = |error: serde_json::Error| Error::Capsule(crate::capsule::Error::Write(error.into()));
        let mut record = serde_json::to_vec_pretty(&self.record).map_err(json)?;
        record.push(b'\n');
        let envelope =
            Envelope { record_signature: key.sign(NAMESPACE, &record)?.into_bytes(), record, manifest_signature: self.manifest_signature };
        let mut blob = |bytes: &[u8]| pack.add(&Entry::new(hash, ObjectKind::Blob, bytes));
        let manifest = blob(&envelope.seal(&self.epoch)?)?;
        for (epoch, wraps) in &self.new_wraps {
            let ids = wraps.iter().map(|wrap| blob(wrap)).collect::<Result<_, _>>()?;
            self.wraps.insert(epoch.clone(), ids);
        }
        let added = self.added.unwrap_or(pack.added());
        let mut header = serde_json::to_vec_pretty(&Header::of(&self.record, &self.epoch.id, added, self.total)).map_err(json)?;
        header.push(b'\n');
        let header = pack.add(&Entry::new(hash, ObjectKind::Blob, &header))?;
        let tree = Tree { header: Some(header), manifest: Some(manifest), keys: self.wraps, parts: self.parts };
        let tree = tree.write(known, hash, pack)?;
        let commit = commit::write(hash, &tree, &self.parents, key)?;
        pack.add(&Entry::new(hash, ObjectKind::Commit, &commit))
    }
}

/// Seals the pages of text that are new; what is known stays. Their blobs are added to `parts`.
pub struct Paging<'a> {
    pub known: &'a HashMap<[u8; 32], Line>,
    pub there: &'a BTreeMap<String, ObjectId>,
    pub epoch: &'a Epoch,
    pub seed: &'a [u8; 32],
}

impl Paging<'_> {
    pub fn seal(
        &self,
        text: &[u8],
        hash: gix::hash::Kind,
        pack: &mut PackWriter,
        parts: &mut BTreeMap<String, ObjectId>,
    ) -> Result<Pages, Error> {
        let mut packer = Packer::default();
        let mut lines = Vec::new();
        for page in pages::cut(self.seed, text) {
            let content = hash_of(page);
            if let Some(line) = self.known.get(&content).filter(|line| line.dictionary.is_none())
                && let Some(id) = self.there.get(&line.name)
            {
                parts.insert(line.name.clone(), *id);
                lines.push(line.clone());
                continue;
            }
            let sealed = self.epoch.seal(packer.pack(page, None)?)?;
            let name = name_of(&sealed);
            let id = pack.add(&Entry::new(hash, ObjectKind::Blob, &sealed))?;
            parts.insert(name.clone(), id);
            lines.push(Line { name, epoch: self.epoch.id.clone(), length: page.len(), hash: content, dictionary: None });
        }
        Ok(Pages { sha256: hex(&Sha256::digest(text)), pages: lines })
    }
}

/// The text of a list of parts.
pub fn list(lines: &[Line]) -> Vec<u8> {
    lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

impl Folded {
    /// The blobs of all its parts, those that were there before included.
    pub fn blobs(&self, there: &BTreeMap<String, ObjectId>) -> BTreeMap<String, ObjectId> {
        let named = self.lines.iter().chain(self.dictionaries.values().flatten()).map(|line| &line.name);
        named.filter_map(|name| Some((name.clone(), *self.new.get(name).or_else(|| there.get(name))?))).collect()
    }
}
