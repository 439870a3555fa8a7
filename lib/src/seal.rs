//! Who may read, and who wrote: plaintext bytes to sealed bytes and back, and signatures.
//!
//! All cryptography is age's and OpenSSH's, in their own formats. Knows no Git, no agent and no files: keys arrive as
//! text, contents as streams. What must stay true: a reader sees no byte that age has not authenticated, and no secret
//! is ever part of an error.

pub mod chunk;
mod epoch;
mod header;
mod identity;
mod own;
pub mod packing;
pub mod padding;
pub mod pages;
mod passphrase;
mod readahead;
mod recipient;
mod signature;
mod stream;

pub use age::secrecy::zeroize::Zeroizing;
pub use age::secrecy::{ExposeSecret, SecretString};
pub use age::{Callbacks, NoCallbacks};
pub use epoch::{Epoch, EpochId};
pub use header::{Envelope, peek};
pub use identity::Identities;
pub use own::{Lock, OwnKey, identity_in, identity_text, is_sealed_identity, reseal_identity, seal_identity};
pub use passphrase::{PassphraseReader, passphrase_file};
pub use readahead::ReadAhead;
pub use recipient::{Recipients, Via, is_secret};
pub use signature::{Elsewhere, GIT_NAMESPACE, NAMESPACE, Signer, SigningKey, Witness, fingerprint_of, public_half, verify};
pub use stream::{Sealer, open, open_small, seal, seal_small};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("'{0}' is not a recipient: expected age1…, ssh-ed25519 …, ssh-rsa … or a file of such lines")]
    NotARecipient(String),
    #[error("that is a secret key, and a recipient is a public one")]
    SecretKey,
    #[error("the SSH key type '{0}' cannot be a recipient: age takes ssh-ed25519 and ssh-rsa")]
    SshKeyType(String),
    #[error("no recipient: nobody could open this capsule")]
    NoRecipient,
    #[error("a passphrase cannot be combined with recipients: age keeps them apart")]
    Mixed,
    #[error("these recipients cannot be combined: post-quantum ones only go with their kind")]
    Incompatible,
    #[error("'{0}' holds no identity that age knows")]
    NotAnIdentity(String),
    #[error("the identity in '{0}' cannot be used")]
    Identity(String, #[source] age::DecryptError),
    #[error("the age plugin failed: {0}")]
    Plugin(String),
    #[error("not a capsule: it is not an age file")]
    NotSealed,
    #[error("not a capsule that this version can open: its age header is longer than {0} bytes")]
    HeaderTooLong(usize),
    #[error("no key here opens this capsule; it is sealed to {sealed_to}, tried: {tried}")]
    NoMatch { sealed_to: String, tried: String },
    #[error("this capsule is sealed with a passphrase")]
    NeedsPassphrase,
    #[error("wrong passphrase")]
    WrongPassphrase,
    #[error("this device's key has a passphrase, and nobody can be asked for it here")]
    Locked,
    #[error("wrong passphrase for this device's key")]
    WrongDevicePassphrase,
    #[error("the capsule asks for too much work per passphrase (2^{0})")]
    ExcessiveWork(u8),
    #[error("the capsule is damaged: {0}")]
    Damaged(String),
    #[error("the signing key cannot be read")]
    SigningKey(#[source] ssh_key::Error),
    #[error("cannot sign")]
    Sign(#[source] ssh_key::Error),
    #[error("the signing key is kept elsewhere: it signs, and that is all it does")]
    KeyElsewhere,
    #[error("cannot sign with the key that user.signingKey names: {0}")]
    SignElsewhere(String),
    #[error("cannot sign a commit as Git would: {0}")]
    SignBeside(String),
    #[error("the signature is bad: {0}")]
    BadSignature(String),
    #[error("cannot write the capsule")]
    Write(#[source] std::io::Error),
    #[error("cannot read the capsule")]
    Read(#[source] std::io::Error),
}

impl Error {
    /// Whether it says no more than that nobody here can open it, or not without being asked.
    pub fn is_no_key(&self) -> bool {
        use Error::{Locked, NeedsPassphrase, NoMatch, NoRecipient, WrongDevicePassphrase, WrongPassphrase};
        matches!(self, NoMatch { .. } | NoRecipient | NeedsPassphrase | WrongPassphrase | Locked | WrongDevicePassphrase)
    }
}

/// Random bytes from the operating system, as hexadecimal digits.
pub fn random_hex<const N: usize>() -> String {
    use ssh_key::rand_core::RngCore;
    let mut bytes = [0; N];
    ssh_key::rand_core::OsRng.fill_bytes(&mut bytes);
    crate::id::hex(&bytes)
}
