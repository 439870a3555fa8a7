//! Who wrote: OpenSSH signatures (`ssh-keygen -Y`), namespace `samesession`, and `git` for commits.
//!
//! age says who may read and nothing about who wrote; whoever knows a public key could make a capsule that opens. So
//! every manifest is signed, and a signature is checked before anything is believed.

use std::fmt;
use std::sync::OnceLock;

use age::secrecy::zeroize::Zeroizing;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};

use super::own::{Lock, Refusal};
use super::{Error, ExposeSecret, SecretString};

/// What we sign, and what Git does: a signature made for one is none for the other.
pub const NAMESPACE: &str = "samesession";
pub const GIT_NAMESPACE: &str = "git";

/// A key that signs, wherever it is kept. Who it is can be said without opening it.
pub struct SigningKey {
    public: PublicKey,
    held: Held,
    witness: OnceLock<Box<dyn Witness>>,
}

enum Held {
    Open(Box<PrivateKey>),
    /// In OpenSSH's own encrypted form.
    Locked {
        file: Box<PrivateKey>,
        lock: Lock,
        opened: OnceLock<Result<Box<PrivateKey>, Refusal>>,
    },
    Elsewhere(Box<dyn Elsewhere>),
}

/// A key that is not ours to hold: in an agent, in hardware, in a file that its own tools open.
pub trait Elsewhere: Send + Sync {
    /// An armoured SSHSIG.
    fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, Error>;
}

/// Who signs commits besides this key. It is for those who ask Git, and nobody decides by it who made anything.
pub trait Witness: Send + Sync {
    /// In the armour that Git knows it by.
    fn sign(&self, message: &[u8]) -> Result<String, Error>;
}

impl SigningKey {
    pub fn generate(comment: &str) -> Result<SigningKey, Error> {
        let mut key = PrivateKey::random(&mut ssh_key::rand_core::OsRng, Algorithm::Ed25519).map_err(Error::SigningKey)?;
        key.set_comment(comment);
        Ok(SigningKey::of(key))
    }

    /// One that follows from something else.
    pub fn from_seed(seed: &[u8; 32], comment: &str) -> Result<SigningKey, Error> {
        let pair = KeypairData::from(Ed25519Keypair::from_seed(seed));
        PrivateKey::new(pair, comment).map(SigningKey::of).map_err(Error::SigningKey)
    }

    pub fn from_openssh(text: &str) -> Result<SigningKey, Error> {
        SigningKey::under(text, &Lock::default())
    }

    /// The same, where it may be under a passphrase.
    pub fn under(text: &str, lock: &Lock) -> Result<SigningKey, Error> {
        let key = PrivateKey::from_openssh(text).map_err(Error::SigningKey)?;
        if !key.is_encrypted() {
            return Ok(SigningKey::of(key));
        }
        let public = key.public_key().clone();
        Ok(SigningKey::held(public, Held::Locked { file: Box::new(key), lock: lock.clone(), opened: OnceLock::new() }))
    }

    /// `line` is the public key, as `.pub` files have it.
    pub fn elsewhere(line: &str, key: Box<dyn Elsewhere>) -> Result<SigningKey, Error> {
        Ok(SigningKey::held(PublicKey::from_openssh(line).map_err(Error::SigningKey)?, Held::Elsewhere(key)))
    }

    fn of(key: PrivateKey) -> SigningKey {
        SigningKey::held(key.public_key().clone(), Held::Open(Box::new(key)))
    }

    fn held(public: PublicKey, held: Held) -> SigningKey {
        SigningKey { public, held, witness: OnceLock::new() }
    }

    /// From now on commits have this one's signature, too; the first one that is named.
    pub fn beside(&self, witness: Box<dyn Witness>) {
        let _ = self.witness.set(witness);
    }

    pub fn witness(&self) -> Option<&dyn Witness> {
        self.witness.get().map(AsRef::as_ref)
    }

    fn key(&self) -> Result<&PrivateKey, Error> {
        match &self.held {
            Held::Open(key) => Ok(key),
            Held::Elsewhere(_) => Err(Error::KeyElsewhere),
            Held::Locked { file, lock, opened } => {
                let open = || {
                    let key = file.decrypt(lock.passphrase()?.expose_secret()).map_err(|_| Refusal::Wrong)?;
                    if key.public_key().key_data() == self.public.key_data() { Ok(Box::new(key)) } else { Err(Refusal::Damaged) }
                };
                Ok(opened.get_or_init(open).as_ref().map_err(|refusal| *refusal)?)
            }
        }
    }

    pub fn is_locked(&self) -> bool {
        matches!(self.held, Held::Locked { .. })
    }

    pub fn to_openssh(&self) -> Result<Zeroizing<String>, Error> {
        self.key()?.to_openssh(LineEnding::LF).map_err(Error::SigningKey)
    }

    /// With a passphrase over it, which `ssh-keygen -Y sign` asks for.
    pub fn to_openssh_under(&self, passphrase: &SecretString) -> Result<Zeroizing<String>, Error> {
        let key = self.key()?.encrypt(&mut ssh_key::rand_core::OsRng, passphrase.expose_secret()).map_err(Error::SigningKey)?;
        key.to_openssh(LineEnding::LF).map_err(Error::SigningKey)
    }

    /// The public key as one line, as `.pub` files have it.
    pub fn public_line(&self) -> Result<String, Error> {
        self.public.to_openssh().map_err(Error::SigningKey)
    }

    /// The same with its comment, which an OpenSSH key under a passphrase keeps to itself.
    pub fn commented_line(&self) -> Result<String, Error> {
        self.key()?.public_key().to_openssh().map_err(Error::SigningKey)
    }

    pub fn fingerprint(&self) -> String {
        self.public.fingerprint(HashAlg::Sha256).to_string()
    }

    /// Whom its signatures will name.
    pub fn signer(&self) -> Result<Signer, Error> {
        let line = self.public_line()?;
        let key = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        Ok(Signer { fingerprint: self.fingerprint(), key: key.trim().to_owned() })
    }

    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, Error> {
        if let Held::Elsewhere(key) = &self.held {
            let signature = key.sign(namespace, message)?;
            // What a reader could not verify must not be sent to one.
            let made = verify(namespace, message, signature.as_bytes()).map(|signer| signer.fingerprint);
            return match made {
                Ok(by) if by == self.fingerprint() => Ok(signature),
                Ok(_) => Err(Error::SignElsewhere("another key has signed".to_owned())),
                Err(_) => Err(Error::SignElsewhere("readers could not verify what it makes".to_owned())),
            };
        }
        let signature = self.key()?.sign(namespace, HashAlg::Sha512, message).map_err(Error::Sign)?;
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

/// The public key of an OpenSSH private key, which says it in the clear even under a passphrase.
pub fn public_half(private: &str) -> Option<String> {
    PrivateKey::from_openssh(private).ok()?.public_key().to_openssh().ok()
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

    /// What OpenSSH makes with a FIDO key: over the hashes of the application and of the message, with flags between them.
    #[test]
    fn a_security_keys_signature_holds() {
        use sha2::{Digest, Sha256};
        use ssh_key::public::{KeyData, SkEd25519};
        fn raw<K: ssh_key::SigningKey>(key: &K, message: &[u8]) -> Vec<u8> {
            key.try_sign(message).expect("signed").as_bytes().to_vec()
        }
        let key = PrivateKey::random(&mut ssh_key::rand_core::OsRng, Algorithm::Ed25519).expect("a key");
        let public = *key.public_key().key_data().ed25519().expect("Ed25519");
        let data = SshSig::signed_data(NAMESPACE, HashAlg::Sha512, b"words").expect("data");
        let touched = [1, 0, 0, 0, 7];
        let signed = raw(&key, &[&Sha256::digest("ssh:")[..], &touched, &Sha256::digest(&data)].concat());
        let signature = ssh_key::Signature::new(Algorithm::SkEd25519, [signed, touched.to_vec()].concat()).expect("a signature");
        let public = KeyData::SkEd25519(SkEd25519::new(public, "ssh:"));
        let signature =
            SshSig::new(public, NAMESPACE, HashAlg::Sha512, signature).and_then(|sig| sig.to_pem(LineEnding::LF)).expect("text");
        let signer = verify(NAMESPACE, b"words", signature.as_bytes()).expect("it holds");
        assert!(signer.key.starts_with("sk-ssh-ed25519@openssh.com "), "{}", signer.key);
        assert!(verify(NAMESPACE, b"other words", signature.as_bytes()).is_err());
    }
}
