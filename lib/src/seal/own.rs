//! This device's age key, as it lies in its file or under a passphrase, and the one passphrase over all of its keys.
//!
//! Under a passphrase it is an age file that holds an identity file, which `age -d -i` takes as it is. What must stay
//! true: the passphrase is asked for when something is sealed to the key and not before, once, and where nobody can be
//! asked that is said and nothing else is tried.

use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::secrecy::zeroize::Zeroizing;
use age_core::format::{FileKey, Stanza};

use super::{Callbacks, Error, ExposeSecret, SecretString};

/// As much as the age program takes: about a second.
const WORK: u8 = 18;
/// What is opened at most: a gigabyte of memory.
pub(super) const MAX_WORK: u8 = 20;
/// No identity file of ours is as long.
const MAX: u64 = 64 << 10;

type Ask = Box<dyn Fn() -> Option<SecretString> + Send + Sync>;

/// The passphrase of this device's keys. Whoever needs it asks for it; the answer serves for all of them.
#[derive(Clone, Default)]
pub struct Lock(Arc<Asked>);

#[derive(Default)]
struct Asked {
    ask: OnceLock<Ask>,
    answer: OnceLock<Option<SecretString>>,
}

impl Lock {
    /// Opens with this one, and asks nobody.
    pub fn opened_by(passphrase: SecretString) -> Lock {
        let lock = Lock::default();
        let _ = lock.0.answer.set(Some(passphrase));
        lock
    }

    /// Who is asked; the first one named.
    pub fn ask<C: Callbacks>(&self, callbacks: C, description: String) {
        let _ = self.0.ask.set(Box::new(move || callbacks.request_passphrase(&description)));
    }

    pub(super) fn passphrase(&self) -> Result<&SecretString, Refusal> {
        let answer = self.0.answer.get_or_init(|| self.0.ask.get().and_then(|ask| ask()));
        answer.as_ref().ok_or(Refusal::Nobody)
    }
}

/// Why a key under a passphrase stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Nobody,
    Wrong,
    Damaged,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        match refusal {
            Refusal::Nobody => Error::Locked,
            Refusal::Wrong => Error::WrongDevicePassphrase,
            Refusal::Damaged => Error::Damaged("this device's key is not what its file says".to_owned()),
        }
    }
}

/// An X25519 identity of this device.
#[derive(Clone)]
pub struct OwnKey {
    public: age::x25519::Recipient,
    held: Held,
}

#[derive(Clone)]
enum Held {
    Open(age::x25519::Identity),
    Locked(Arc<Locked>),
}

struct Locked {
    file: String,
    lock: Lock,
    opened: OnceLock<Result<age::x25519::Identity, Refusal>>,
}

impl From<age::x25519::Identity> for OwnKey {
    fn from(key: age::x25519::Identity) -> OwnKey {
        OwnKey { public: key.to_public(), held: Held::Open(key) }
    }
}

impl OwnKey {
    /// `file` is the sealed identity file, `public` what its key must turn out to be the other half of.
    pub fn locked(file: String, public: &str, lock: Lock) -> Option<OwnKey> {
        let held = Held::Locked(Arc::new(Locked { file, lock, opened: OnceLock::new() }));
        Some(OwnKey { public: public.parse().ok()?, held })
    }

    pub fn recipient(&self) -> String {
        self.public.to_string()
    }

    pub fn is_locked(&self) -> bool {
        matches!(self.held, Held::Locked(_))
    }

    /// The key itself, which may ask for its passphrase.
    pub fn open(&self) -> Result<&age::x25519::Identity, Error> {
        Ok(self.key()?)
    }

    fn key(&self) -> Result<&age::x25519::Identity, Refusal> {
        match &self.held {
            Held::Open(key) => Ok(key),
            Held::Locked(locked) => locked.opened.get_or_init(|| locked.open(&self.public)).as_ref().map_err(|refusal| *refusal),
        }
    }

    /// Why it did not open, if that was tried.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match &self.held {
            Held::Open(_) => None,
            Held::Locked(locked) => locked.opened.get().and_then(|opened| opened.as_ref().err().copied()),
        }
    }
}

impl Locked {
    fn open(&self, public: &age::x25519::Recipient) -> Result<age::x25519::Identity, Refusal> {
        let text = open_identity(&self.file, self.lock.passphrase()?)?;
        let key = identity_in(&text).ok_or(Refusal::Damaged)?;
        // Whoever can write beside the key could have named another one for others to seal to.
        if key.to_public().to_string() == public.to_string() { Ok(key) } else { Err(Refusal::Damaged) }
    }
}

impl age::Identity for OwnKey {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        // Whose an X25519 stanza is cannot be told without the key; another kind is not meant for it.
        if stanza.tag != "X25519" {
            return None;
        }
        self.key().ok()?.unwrap_stanza(stanza)
    }
}

/// The first age key of an identity file.
pub fn identity_in(text: &str) -> Option<age::x25519::Identity> {
    text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1"))?.trim().parse().ok()
}

/// Whether this is an identity file under a passphrase.
pub fn is_sealed_identity(text: &str) -> bool {
    text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----") || text.starts_with("age-encryption.org/")
}

/// To whoever knows a passphrase.
pub(super) fn encryptor(passphrase: &SecretString) -> Result<age::Encryptor, Error> {
    let mut recipient = age::scrypt::Recipient::new(passphrase.clone());
    recipient.set_work_factor(WORK);
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient));
    encryptor.map_err(|error| Error::Plugin(error.to_string()))
}

/// What `age -p -a` would make of an identity file.
pub fn seal_identity(text: &str, passphrase: &SecretString) -> Result<String, Error> {
    let encryptor = encryptor(passphrase)?;
    let mut sealed = Vec::new();
    let armor = ArmoredWriter::wrap_output(&mut sealed, Format::AsciiArmor).map_err(Error::Write)?;
    let mut out = encryptor.wrap_output(armor).map_err(Error::Write)?;
    out.write_all(text.as_bytes()).and_then(|()| out.finish()).and_then(ArmoredWriter::finish).map_err(Error::Write)?;
    String::from_utf8(sealed).map_err(|_| Error::Damaged("armor is text".to_owned()))
}

fn open_identity(sealed: &str, passphrase: &SecretString) -> Result<Zeroizing<String>, Refusal> {
    open_file(sealed.as_bytes(), passphrase)
}

/// An age file under a passphrase, armoured or not.
pub(super) fn open_file(sealed: &[u8], passphrase: &SecretString) -> Result<Zeroizing<String>, Refusal> {
    let mut key = age::scrypt::Identity::new(passphrase.clone());
    key.set_max_work_factor(MAX_WORK);
    let decryptor = age::Decryptor::new(ArmoredReader::new(sealed)).map_err(|_| Refusal::Damaged)?;
    if !decryptor.is_scrypt() {
        return Err(Refusal::Damaged);
    }
    let opened = decryptor.decrypt(std::iter::once(&key as &dyn age::Identity)).map_err(|error| match error {
        age::DecryptError::DecryptionFailed | age::DecryptError::NoMatchingKeys | age::DecryptError::KeyDecryptionFailed => Refusal::Wrong,
        _ => Refusal::Damaged,
    })?;
    // Of its full size from the start: a string that grows leaves pieces behind that nobody wipes.
    let mut text = Zeroizing::new(String::with_capacity(sealed.len()));
    opened.take(MAX).read_to_string(&mut text).map_err(|_| Refusal::Damaged)?;
    Ok(text)
}

/// The same text with a passphrase over it, another one, or none.
pub fn reseal_identity(text: &str, old: Option<&SecretString>, new: Option<&SecretString>) -> Result<Zeroizing<String>, Error> {
    let open = match old {
        Some(old) => open_identity(text, old)?,
        None => Zeroizing::new(text.to_owned()),
    };
    match new {
        Some(new) => seal_identity(&open, new).map(Zeroizing::new),
        None => Ok(open),
    }
}

/// A line of an identity file, for whoever writes one.
pub fn identity_text(key: &age::x25519::Identity, created: &str) -> Zeroizing<String> {
    let secret = key.to_string();
    Zeroizing::new(format!("# created: {created}\n# public key: {}\n{}\n", key.to_public(), secret.expose_secret()))
}
