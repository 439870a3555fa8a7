//! One part on its way: packed, sealed, named, and made an entry of a pack.
//!
//! Runs on any thread. What must stay true: what a dictionary is made of opens without one.

use std::collections::HashMap;
use std::sync::Arc;

use gix::hash::Kind;

use super::Error;
use super::block::Lent;
use super::pack::Entry;
use super::record::Line;
use crate::id::hex;
use crate::seal::Epoch;
use crate::seal::packing::{Dictionary, LONG, Packer};

pub struct Job {
    pub plain: Arc<Lent>,
    pub dictionary: Option<Arc<Beginning>>,
}

pub struct Done {
    pub line: Line,
    /// Unless it was there before.
    pub entry: Option<Entry>,
}

/// How a file begins, as something to pack its other parts against.
pub struct Beginning {
    pub name: String,
    dictionary: Dictionary,
}

impl Beginning {
    pub fn of(sample: Vec<u8>) -> Beginning {
        Beginning { name: hex(&hash_of(&sample)[..8]), dictionary: Dictionary::of(sample) }
    }
}

pub fn work(job: &Job, known: &HashMap<[u8; 32], Line>, epoch: &Epoch, packer: &mut Packer, hash: Kind) -> Result<Done, Error> {
    let content: &[u8] = (*job.plain).as_ref();
    let content_hash = hash_of(content);
    // How a file begins must open without a dictionary, since its other parts' dictionary is made of it.
    let plain = job.dictionary.is_none();
    if let Some(line) = known.get(&content_hash).filter(|line| !plain || line.dictionary.is_none()) {
        return Ok(Done { line: line.clone(), entry: None });
    }
    let with = job.dictionary.as_deref().filter(|_| content.len() < LONG);
    let packed = packer.pack(content, with.map(|with| &with.dictionary))?;
    let sealed = epoch.seal(packed)?;
    let line = Line {
        name: name_of(&sealed),
        epoch: epoch.id.clone(),
        length: content.len(),
        hash: content_hash,
        dictionary: with.map(|with| with.name.clone()),
    };
    Ok(Done { line, entry: Some(Entry::new(hash, gix::object::Kind::Blob, &sealed)) })
}

/// What parts are known by. Every byte of a session has its file's SHA-256 as well; this one costs a quarter of another.
pub fn hash_of(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// A part is called after its sealed bytes: the name tells nothing of what it holds, and whoever has both can check them.
pub fn name_of(sealed: &[u8]) -> String {
    hex(&hash_of(sealed)[..16])
}
