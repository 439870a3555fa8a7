//! A passphrase as a reader of what is sealed to keys: an age key of its own, whose secret half travels under the
//! passphrase as an age identity file.
//!
//! So whoever seals needs its public half only, and nobody who makes a checkpoint has to know the passphrase. By hand:
//! `age -d -i keys/<epoch>/1.age keys/<epoch>/0.age`, which asks for it. What must stay true: nobody is asked while a key
//! fits, and nobody is asked twice.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Mutex, OnceLock, PoisonError};

use age::armor::ArmoredReader;
use sha2::{Digest, Sha256};

use super::own::{self, Refusal};
use super::{Callbacks, Error, OwnKey, SecretString};

/// An identity file with one key under a passphrase has some 400 bytes.
const MAX: usize = 4096;

/// A passphrase that reads, as those who seal to it know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassphraseReader {
    pub recipient: String,
    /// Armoured, as text.
    pub sealed: String,
}

impl PassphraseReader {
    pub fn new(passphrase: &SecretString, created: &str) -> Result<PassphraseReader, Error> {
        let key = age::x25519::Identity::generate();
        let sealed = own::seal_identity(&own::identity_text(&key, created), passphrase)?;
        Ok(PassphraseReader { recipient: key.to_public().to_string(), sealed })
    }
}

/// The age file itself, if it is one that a passphrase could open.
pub fn passphrase_file(armoured: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    ArmoredReader::new(armoured.as_bytes()).take(MAX as u64 + 1).read_to_end(&mut bytes).ok()?;
    let (envelope, _) = super::peek(&mut &bytes[..]).ok()?;
    (bytes.len() <= MAX && envelope.is_passphrase()).then_some(bytes)
}

type Ask = Box<dyn Fn() -> Option<SecretString> + Send + Sync>;

/// Who knows a passphrase, what they said, and what it opened.
#[derive(Default)]
pub(super) struct Passphrases {
    ask: Option<Ask>,
    answer: OnceLock<Option<SecretString>>,
    /// By the hash of what was tried.
    tried: Mutex<HashMap<[u8; 32], Result<OwnKey, Refusal>>>,
}

impl Passphrases {
    pub fn say(&mut self, passphrase: SecretString) {
        self.answer = OnceLock::from(Some(passphrase));
        self.tried = Mutex::default();
    }

    pub fn ask<C: Callbacks>(&mut self, callbacks: C) {
        self.ask = Some(Box::new(move || callbacks.request_passphrase("Passphrase of the session")));
    }

    /// What was said without asking.
    pub fn said(&self) -> Option<&SecretString> {
        self.answer.get()?.as_ref()
    }

    /// The key in this age file.
    pub fn open(&self, file: &[u8]) -> Result<OwnKey, Error> {
        let answer = self.answer.get_or_init(|| self.ask.as_ref().and_then(|ask| ask()));
        let passphrase = answer.as_ref().ok_or(Error::NeedsPassphrase)?;
        let hash: [u8; 32] = Sha256::digest(file).into();
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = tried.entry(hash).or_insert_with(|| {
            let text = own::open_file(file, passphrase)?;
            own::identity_in(&text).map(OwnKey::from).ok_or(Refusal::Damaged)
        });
        opened.clone().map_err(|refusal| match refusal {
            Refusal::Damaged => Error::Damaged("what the passphrase opens is no key".to_owned()),
            _ => Error::WrongPassphrase,
        })
    }
}
