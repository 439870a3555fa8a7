//! Commit objects of ours: written signed, read only as far as a checkpoint needs.
//!
//! Author and dates are the same in all of them: when and by whom a checkpoint was made is for its readers. What tells two
//! of them apart is the nonce in their trees.

use gix::hash::{Kind, ObjectId};

use super::{Error, Store};
use crate::seal::{self, GIT_NAMESPACE, Signer, SigningKey};

const WHO: &str = "samesession <samesession@localhost> 0 +0000";
const MESSAGE: &str = "samesession checkpoint\n";
/// Two parents make some 200 bytes, a signature 300.
const MAX: usize = 64 << 10;

#[derive(Debug, Clone)]
pub struct Commit {
    pub id: ObjectId,
    pub tree: ObjectId,
    pub parents: Vec<ObjectId>,
    signature: Option<Vec<u8>>,
    /// Everything but the signature.
    payload: Vec<u8>,
}

/// The bytes of a new one.
pub fn write(hash: Kind, tree: &ObjectId, parents: &[ObjectId], key: &SigningKey) -> Result<Vec<u8>, Error> {
    let mut head = format!("tree {tree}\n");
    for parent in parents {
        head.push_str(&format!("parent {parent}\n"));
    }
    head.push_str(&format!("author {WHO}\ncommitter {WHO}\n"));
    let signature = key.sign(GIT_NAMESPACE, format!("{head}\n{MESSAGE}").as_bytes())?;
    let folded = signature.trim_end().replace('\n', "\n ");
    Ok(format!("{head}{} {folded}\n\n{MESSAGE}", header(hash)).into_bytes())
}

pub(crate) fn header(hash: Kind) -> &'static str {
    if hash == Kind::Sha1 { "gpgsig" } else { "gpgsig-sha256" }
}

impl Commit {
    pub fn read(store: &Store, id: &ObjectId) -> Result<Commit, Error> {
        let bytes = store.object(id, gix::object::Kind::Commit, MAX)?;
        parse(*id, &bytes, header(store.repo.hash)).ok_or_else(|| not(id, "it is not written as one"))
    }

    /// Whether it looks like ours at all: cheap, and no proof.
    pub fn is_ours(&self) -> bool {
        self.payload.ends_with(format!("committer {WHO}\n\n{MESSAGE}").as_bytes())
    }

    pub fn is_signed(&self) -> bool {
        self.signature.is_some()
    }

    /// Whose key signed it, if the signature holds.
    pub fn signer(&self) -> Result<Signer, Error> {
        let signature = self.signature.as_ref().ok_or_else(|| seal::Error::BadSignature("the commit has none".to_owned()))?;
        Ok(seal::verify(GIT_NAMESPACE, &self.payload, signature)?)
    }
}

fn not(id: &ObjectId, why: &str) -> Error {
    Error::NotACheckpoint { what: id.to_string(), why: why.to_owned() }
}

pub(crate) fn parse(id: ObjectId, bytes: &[u8], signature_header: &str) -> Option<Commit> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, message) = text.split_once("\n\n")?;
    let mut commit = Commit { id, tree: id.kind().null(), parents: Vec::new(), signature: None, payload: Vec::new() };
    let mut payload = String::new();
    let (mut in_signature, mut tree) = (false, None);
    for line in head.split('\n') {
        if in_signature && let Some(more) = line.strip_prefix(' ') {
            let signature = commit.signature.get_or_insert_default();
            signature.push(b'\n');
            signature.extend_from_slice(more.as_bytes());
            continue;
        }
        in_signature = false;
        match line.split_once(' ') {
            Some((word, rest)) if word == signature_header => {
                // A second one would be a second opinion on who made it.
                if commit.signature.replace(rest.as_bytes().to_vec()).is_some() {
                    return None;
                }
                in_signature = true;
                continue;
            }
            Some(("tree", rest)) if tree.is_none() => tree = Some(ObjectId::from_hex(rest.as_bytes()).ok()?),
            Some(("parent", rest)) => commit.parents.push(ObjectId::from_hex(rest.as_bytes()).ok()?),
            _ => {}
        }
        payload.push_str(line);
        payload.push('\n');
    }
    if let Some(signature) = &mut commit.signature {
        signature.push(b'\n');
    }
    commit.tree = tree?;
    commit.payload = format!("{payload}\n{message}").into_bytes();
    Some(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_read_as_it_was_written_and_its_signature_holds() {
        let key = SigningKey::generate("test").expect("a key");
        for hash in [Kind::Sha1, Kind::Sha256] {
            let (tree, parent) = (hash.empty_tree(), hash.empty_blob());
            let bytes = write(hash, &tree, &[parent, parent], &key).expect("written");
            let commit = parse(parent, &bytes, header(hash)).expect("a commit");
            assert_eq!((commit.tree, commit.parents.len(), commit.is_ours()), (tree, 2, true));
            assert_eq!(commit.signer().expect("signed").fingerprint, key.fingerprint());
            let forged = String::from_utf8(bytes).expect("text").replace(&parent.to_string(), &tree.to_string());
            assert!(parse(parent, forged.as_bytes(), header(hash)).expect("a commit").signer().is_err());
        }
    }

    #[test]
    fn an_unsigned_or_foreign_commit_says_so() {
        let plain = format!("tree {}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nx\n", Kind::Sha1.empty_tree());
        let commit = parse(Kind::Sha1.null(), plain.as_bytes(), "gpgsig").expect("a commit");
        assert!(!commit.is_ours() && commit.signer().is_err());
        assert!(parse(Kind::Sha1.null(), b"no commit at all", "gpgsig").is_none());
        assert!(parse(Kind::Sha1.null(), b"author x\n\n", "gpgsig").is_none());
    }
}
