//! Commit objects of ours: written signed, read only as far as a checkpoint needs.
//!
//! Author and dates are the same in all of them: when and by whom a checkpoint was made is for its readers. What tells two
//! of them apart is the nonce in their trees.
//!
//! What must stay true: one signature says who made a commit, an SSH one. Where Git's place for it holds another kind, for
//! those who ask Git, ours stands in a header of our own, and no third arrangement is read.

use gix::hash::{Kind, ObjectId};

use super::{Error, Store};
use crate::seal::{self, GIT_NAMESPACE, Signer, SigningKey};

const WHO: &str = "samesession <samesession@localhost> 0 +0000";
const MESSAGE: &str = "samesession checkpoint\n";
/// Two parents make some 200 bytes, a signature 300; one with certificates in it some thousands.
const MAX: usize = 64 << 10;
/// Where our signature is if Git's header has another kind.
const OWN: &str = "samesession-sig";
const SSH: &str = "-----BEGIN SSH SIGNATURE-----";
/// What else Git knows: gpg's two and gpgsm's.
const OTHERS: &[&str] = &["-----BEGIN PGP SIGNATURE-----", "-----BEGIN PGP MESSAGE-----", "-----BEGIN SIGNED MESSAGE-----"];

#[derive(Debug, Clone)]
pub struct Commit {
    pub id: ObjectId,
    pub tree: ObjectId,
    pub parents: Vec<ObjectId>,
    /// The one that says who made it.
    signature: Option<String>,
    /// Everything but signatures.
    payload: Vec<u8>,
}

/// The bytes of a new one.
pub fn write(hash: Kind, tree: &ObjectId, parents: &[ObjectId], key: &SigningKey) -> Result<Vec<u8>, Error> {
    let mut head = format!("tree {tree}\n");
    for parent in parents {
        head.push_str(&format!("parent {parent}\n"));
    }
    head.push_str(&format!("author {WHO}\ncommitter {WHO}\n"));
    let mut signature = key.sign(GIT_NAMESPACE, format!("{head}\n{MESSAGE}").as_bytes())?;
    if let Some(witness) = key.witness() {
        // Over ours as well, as Git takes everything but its own header for what is signed.
        head.push_str(&format!("{OWN} {}\n", folded(&signature)));
        signature = witness.sign(format!("{head}\n{MESSAGE}").as_bytes())?;
    }
    let bytes = format!("{head}{} {}\n\n{MESSAGE}", header(hash), folded(&signature)).into_bytes();
    // What a reader would refuse must not be sent to one.
    let read = (bytes.len() <= MAX).then(|| parse(hash.null(), &bytes, header(hash))).flatten();
    match read.map(|commit| commit.signer()) {
        Some(Ok(_)) => Ok(bytes),
        _ => Err(seal::Error::SignBeside("readers could not take what it makes".to_owned()).into()),
    }
}

fn folded(signature: &str) -> String {
    signature.trim_end().replace('\n', "\n ")
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
        Ok(seal::verify(GIT_NAMESPACE, &self.payload, signature.as_bytes())?)
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
    let names = [signature_header, OWN];
    let mut signatures: [Option<String>; 2] = [None, None];
    let (mut within, mut tree) = (None, None);
    for line in head.split('\n') {
        if let Some(signature) = within.and_then(|n: usize| signatures[n].as_mut())
            && let Some(more) = line.strip_prefix(' ')
        {
            signature.push_str(more);
            signature.push('\n');
            continue;
        }
        let named = line.split_once(' ');
        within = named.and_then(|(word, _)| names.iter().position(|name| *name == word));
        if let (Some(n), Some((_, rest))) = (within, named) {
            // A second one of a kind would be a second opinion on who made it.
            if signatures[n].replace(format!("{rest}\n")).is_some() {
                return None;
            }
            continue;
        }
        match named {
            Some(("tree", rest)) if tree.is_none() => tree = Some(ObjectId::from_hex(rest.as_bytes()).ok()?),
            Some(("parent", rest)) => commit.parents.push(ObjectId::from_hex(rest.as_bytes()).ok()?),
            _ => {}
        }
        payload.push_str(line);
        payload.push('\n');
    }
    let [gits, own] = signatures;
    commit.signature = match (gits, own) {
        (gits, None) => gits,
        (Some(gits), Some(own)) if is_another_kind(&gits) => Some(own),
        // A second opinion on who made it, or half of what was written.
        _ => return None,
    };
    commit.tree = tree?;
    commit.payload = format!("{payload}\n{message}").into_bytes();
    Some(commit)
}

fn is_another_kind(signature: &str) -> bool {
    OTHERS.iter().any(|begins| signature.starts_with(begins)) && !signature.contains(SSH)
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

    struct Says(&'static str);

    impl seal::Witness for Says {
        fn sign(&self, message: &[u8]) -> Result<String, seal::Error> {
            assert!(std::str::from_utf8(message).expect("text").contains("committer"));
            Ok(self.0.to_owned())
        }
    }

    const PGP: &str = "-----BEGIN PGP SIGNATURE-----\n\niIUE\n-----END PGP SIGNATURE-----\n";

    fn beside(says: &'static str) -> SigningKey {
        let key = SigningKey::generate("test").expect("a key");
        key.beside(Box::new(Says(says)));
        key
    }

    #[test]
    fn beside_another_kind_ours_stands_in_its_own_header() {
        for hash in [Kind::Sha1, Kind::Sha256] {
            let key = beside(PGP);
            let bytes = write(hash, &hash.empty_tree(), &[hash.empty_blob()], &key).expect("written");
            let commit = parse(hash.null(), &bytes, header(hash)).expect("a commit");
            assert!(commit.is_ours() && commit.is_signed());
            assert_eq!(commit.signer().expect("signed").fingerprint, key.fingerprint());
            let text = String::from_utf8(bytes).expect("text");
            let headers: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with(' ')).collect();
            let names: Vec<&str> = headers.iter().map(|line| line.split(' ').next().unwrap_or_default()).collect();
            assert_eq!(names, ["tree", "parent", "author", "committer", OWN, header(hash)]);
            // What the other one says is nobody's business here.
            let other = text.replace("iIUE", "iIUF");
            assert_eq!(
                parse(hash.null(), other.as_bytes(), header(hash)).expect("a commit").signer().expect("holds"),
                key.signer().expect("itself")
            );
        }
    }

    #[test]
    fn no_other_arrangement_of_signatures_is_read() {
        let (hash, key) = (Kind::Sha1, beside(PGP));
        let text = String::from_utf8(write(hash, &hash.empty_tree(), &[], &key).expect("written")).expect("text");
        let (start, pgp) = (text.find(OWN).expect("ours"), text.find("gpgsig").expect("Git's"));
        let end = text.find("\n\n").expect("an end") + 1;
        let (head, own, gits, message) = (&text[..start], &text[start..pgp], &text[pgp..end], &text[end..]);
        let as_gits = own.replacen(OWN, "gpgsig", 1);
        let read = |parts: &[&str]| parse(hash.null(), (head.to_owned() + &parts.concat() + message).as_bytes(), "gpgsig");
        assert!(read(&[own, gits]).is_some_and(|commit| commit.signer().is_ok()));
        assert!(read(&[gits, own]).is_some_and(|commit| commit.signer().is_ok()), "in any order");
        let behind = gits.replace("-----END PGP SIGNATURE-----", &format!("-----END PGP SIGNATURE-----\n {SSH}"));
        for (what, parts) in [
            ("ours alone", &[own][..]),
            ("two of ours", &[own, own, gits]),
            ("two of Git's", &[own, gits, gits]),
            ("two of Git's, one of them ours", &[own, gits, &as_gits]),
            ("an SSH signature in both", &[own, &as_gits]),
            ("one behind gpg's", &[own, &behind]),
            ("none that Git knows", &[own, "gpgsig x\n"]),
        ] {
            assert!(read(parts).is_none(), "{what}");
        }
        // Git's alone says nothing to us, and ours must hold.
        assert!(read(&[gits]).is_some_and(|commit| commit.is_signed() && commit.signer().is_err()));
        let forged = text.replace(&hash.empty_tree().to_string(), &hash.empty_blob().to_string());
        assert!(parse(hash.null(), forged.as_bytes(), "gpgsig").is_some_and(|commit| commit.signer().is_err()));
        // And is not written otherwise.
        for says in ["", "x", "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n"] {
            assert!(write(hash, &hash.empty_tree(), &[], &beside(says)).is_err(), "{says}");
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
