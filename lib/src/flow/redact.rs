//! A second copy of a session, for people to look at: its secrets masked, what cannot be looked into left out.
//!
//! The byte-exact capsule is never changed. What must stay true: the copy says what it is, at its beginning and in its
//! signed manifest, and is installed nowhere.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::capsule::{Content, Header, Manifest, REDACTED, Target};
use crate::id::hex;
use crate::policy::secrets::{Masked, masked};

/// Masks what goes into a target.
pub struct Redacting<T> {
    pub target: T,
    pub masked: usize,
    /// What was left out, by its name.
    pub left_out: Vec<String>,
}

impl<T> Redacting<T> {
    pub fn new(target: T) -> Redacting<T> {
        Redacting { target, masked: 0, left_out: Vec::new() }
    }
}

impl<T: Target> Target for Redacting<T> {
    type Error = T::Error;

    fn add(&mut self, file: Content<'_>) -> Result<[u8; 32], T::Error> {
        let packed = [&b".zst"[..], b".pack"].iter().any(|end| file.name.as_bytes().ends_with(end));
        if packed {
            self.left_out.push(file.name.to_string());
            // Whoever gives it has to see that it holds still.
            let mut all = crate::capsule::Exact::new(file.bytes, file.size);
            // One that ends early is found out by its owner.
            let _ = std::io::copy(&mut all, &mut std::io::sink());
            return Ok(all.hash());
        }
        // The agent's hash of what it gave, and not that of the copy, says whether a file held still.
        let mut exact = crate::capsule::Exact::new(file.bytes, file.size);
        let mut bytes = Masked::new(&mut exact);
        self.target.add(Content { bytes: &mut bytes, ..file })?;
        self.masked += bytes.secrets;
        Ok(exact.hash())
    }
}

pub fn header(mut header: Header) -> Header {
    header.requires.push(REDACTED.to_owned());
    header
}

/// `of` is the manifest of what it is a copy of, where that has one.
pub fn manifest<T>(mut manifest: Manifest, copy: &Redacting<T>, of: Option<&[u8]>) -> Manifest {
    manifest.requires.push(REDACTED.to_owned());
    manifest.title = manifest.title.as_deref().map(masked);
    manifest.prompt = manifest.prompt.as_deref().map(masked);
    let of = of.map(|bytes| hex(&Sha256::digest(bytes)));
    manifest.more.remove("allowed_secrets");
    manifest.more.insert("redacted".to_owned(), json!({ "secrets": copy.masked, "left_out": copy.left_out, "of": of }));
    manifest
}
