//! Who wrote: OpenSSH signatures (`ssh-keygen -Y`), namespace `samesession`, and `git` for commits.
//!
//! age says who may read and nothing about who wrote; whoever knows a public key could make a capsule that opens. So
//! every manifest is signed, and a signature is checked before anything is believed.

use std::fmt;

use age::secrecy::zeroize::Zeroizing;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};

use super::Error;

/// What we sign, and what Git does: a signature made for one is none for the other.
pub const NAMESPACE: &str = "samesession";
pub const GIT_NAMESPACE: &str = "git";

pub struct SigningKey(PrivateKey);

impl SigningKey {
    pub fn generate(comment: &str) -> Result<SigningKey, Error> {
        let mut key = PrivateKey::random(&mut ssh_key::rand_core::OsRng, Algorithm::Ed25519).map_err(Error::SigningKey)?;
        key.set_comment(comment);
        Ok(SigningKey(key))
    }

    /// One that follows from something else.
    pub fn from_seed(seed: &[u8; 32], comment: &str) -> Result<SigningKey, Error> {
        let pair = KeypairData::from(Ed25519Keypair::from_seed(seed));
        PrivateKey::new(pair, comment).map(SigningKey).map_err(Error::SigningKey)
    }

    pub fn from_openssh(text: &str) -> Result<SigningKey, Error> {
        PrivateKey::from_openssh(text).map(SigningKey).map_err(Error::SigningKey)
    }

    pub fn to_openssh(&self) -> Result<Zeroizing<String>, Error> {
        self.0.to_openssh(LineEnding::LF).map_err(Error::SigningKey)
    }

    /// The public key as one line, as `.pub` files have it.
    pub fn public_line(&self) -> Result<String, Error> {
        self.0.public_key().to_openssh().map_err(Error::SigningKey)
    }

    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, Error> {
        let signature = self.0.sign(namespace, HashAlg::Sha512, message).map_err(Error::Sign)?;
        signature.to_pem(LineEnding::LF).map_err(Error::Sign)
    }
}

/// Whose key made a signature that holds. Whether that key is anybody's we know is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    pub fingerprint: String,
    /// `ssh-ed25519 AAAA…`, without a comment.
    pub key: String,
}

impl Signer {
    /// Of what is not signed, where somebody takes that all the same. Nobody's key has this fingerprint.
    pub fn nobody() -> Signer {
        Signer { fingerprint: String::new(), key: String::new() }
    }

    pub fn is_nobody(&self) -> bool {
        self.key.is_empty()
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint)
    }
}

pub fn verify(namespace: &str, message: &[u8], signature: &[u8]) -> Result<Signer, Error> {
    let bad = |why: &str| Error::BadSignature(why.to_owned());
    let signature = SshSig::from_pem(signature).map_err(|_| bad("it is not an SSH signature"))?;
    let key = PublicKey::from(signature.public_key().clone());
    key.verify(namespace, message, &signature).map_err(|_| bad("it does not fit what it signs"))?;
    let line = key.to_openssh().map_err(|_| bad("its key cannot be written"))?;
    Ok(Signer { fingerprint: key.fingerprint(HashAlg::Sha256).to_string(), key: line.trim().to_owned() })
}

/// The fingerprint of a public key line.
pub fn fingerprint_of(line: &str) -> Option<String> {
    PublicKey::from_openssh(line).ok().map(|key| key.fingerprint(HashAlg::Sha256).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_bytes_and_nothing_else() {
        let key = SigningKey::generate("test").expect("a key");
        let signature = key.sign(NAMESPACE, b"the manifest").expect("signed");
        let signer = verify(NAMESPACE, b"the manifest", signature.as_bytes()).expect("holds");
        assert_eq!(signer.fingerprint, key.fingerprint());
        assert_eq!(fingerprint_of(&signer.key), Some(signer.fingerprint.clone()));
        assert!(verify(GIT_NAMESPACE, b"the manifest", signature.as_bytes()).is_err());
        assert!(verify(NAMESPACE, b"the manifesto", signature.as_bytes()).is_err());
        assert!(verify(NAMESPACE, b"the manifest", b"-----BEGIN SSH SIGNATURE-----").is_err());
        let again = SigningKey::from_openssh(&key.to_openssh().expect("text")).expect("the same key");
        assert_eq!(again.fingerprint(), key.fingerprint());
    }
}
