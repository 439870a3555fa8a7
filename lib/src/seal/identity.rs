//! Identities: the keys with which this machine tries to open a capsule.
//!
//! Nothing is asked for and no plugin is started before the capsule's header shows that it would help.

use age_core::format::{FileKey, Stanza};
use sha2::{Digest, Sha256};

use super::own::MAX_WORK;
use super::passphrase::Passphrases;
use super::{Callbacks, Envelope, Error, OwnKey, SecretString};

#[derive(Default)]
pub struct Identities {
    keys: Vec<Box<dyn age::Identity>>,
    /// This device's.
    own: Vec<OwnKey>,
    names: Vec<String>,
    /// What is sealed to for them to open it, where that can be told.
    public: Vec<String>,
    passphrases: Passphrases,
    mark: Sha256,
}

impl Identities {
    /// An age identity file or an OpenSSH private key, as text; `name` says in messages where it came from.
    pub fn add_text<C: Callbacks>(&mut self, text: &str, name: &str, callbacks: C) -> Result<(), Error> {
        self.mark.update(text);
        if text.trim_start().starts_with("-----BEGIN ") && text.contains("PRIVATE KEY") {
            let key = age::ssh::Identity::from_buffer(text.as_bytes(), Some(name.to_owned()))
                .map_err(|_| Error::NotAnIdentity(name.to_owned()))?;
            self.public.extend(age::ssh::Recipient::try_from(key.clone()).ok().map(|public| public.to_string()));
            let locked = match &key {
                age::ssh::Identity::Unsupported(_) => return Err(Error::NotAnIdentity(name.to_owned())),
                age::ssh::Identity::Encrypted(_) => age::ssh::Recipient::try_from(key.clone()).ok().and_then(|public| Mark::of(&public)),
                age::ssh::Identity::Unencrypted(_) => None,
            };
            let key = key.with_callbacks(callbacks);
            match locked {
                Some(mark) => self.push(Box::new(Locked { key, mark }), name),
                None => self.push(Box::new(key), name),
            }
            return Ok(());
        }
        let file = age::IdentityFile::from_buffer(text.as_bytes()).map_err(|_| Error::NotAnIdentity(name.to_owned()))?;
        let keys = file.with_callbacks(callbacks).into_identities().map_err(|error| Error::Identity(name.to_owned(), error))?;
        if keys.is_empty() {
            return Err(Error::NotAnIdentity(name.to_owned()));
        }
        let own = text.lines().filter_map(|line| line.trim().parse::<age::x25519::Identity>().ok());
        self.public.extend(own.map(|key| key.to_public().to_string()));
        for key in keys {
            self.push(key, name);
        }
        Ok(())
    }

    pub fn add_device(&mut self, key: impl Into<OwnKey>) {
        let key = key.into();
        self.mark.update(key.recipient());
        self.public.push(key.recipient());
        self.named("this device's key");
        self.own.push(key);
    }

    pub fn set_passphrase(&mut self, passphrase: SecretString) {
        self.passphrases.say(passphrase);
    }

    /// Who is asked, once, where no key fits and a passphrase would.
    pub fn ask_passphrase<C: Callbacks>(&mut self, callbacks: C) {
        self.passphrases.ask(callbacks);
    }

    /// The key that a passphrase opens.
    pub(super) fn by_passphrase(&self, file: &[u8]) -> Result<Identities, Error> {
        let mut opened = Identities::default();
        opened.add_device(self.passphrases.open(file)?);
        Ok(opened)
    }

    /// The public keys, as far as they can be told.
    pub fn public(&self) -> &[String] {
        &self.public
    }

    /// Another one for other keys: whoever remembers that none of them opened something remembers which they were.
    pub fn mark(&self) -> String {
        crate::id::hex(&self.mark.clone().finalize()[..8])
    }

    fn push(&mut self, key: Box<dyn age::Identity>, name: &str) {
        self.keys.push(key);
        self.named(name);
    }

    fn named(&mut self, name: &str) {
        if !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
    }

    pub(super) fn tried(&self) -> String {
        if self.names.is_empty() { "nothing, there is no key".to_owned() } else { self.names.join(", ") }
    }

    /// What asks for a passphrase comes last: another one may fit without.
    pub(super) fn keys(&self) -> impl Iterator<Item = &dyn age::Identity> {
        let own = |locked: bool| self.own.iter().filter(move |key| key.is_locked() == locked).map(|key| key as &dyn age::Identity);
        own(false).chain(self.keys.iter().map(|key| &**key)).chain(own(true))
    }

    /// Why this device's key did not open what may well have been sealed to it.
    pub(super) fn refusal(&self, envelope: &Envelope) -> Option<Error> {
        let meant = envelope.recipients.contains_key("X25519");
        self.own.iter().find_map(OwnKey::refusal).filter(|_| meant).map(Error::from)
    }

    pub(super) fn passphrase(&self) -> Option<age::scrypt::Identity> {
        self.passphrases.said().cloned().map(|passphrase| {
            let mut identity = age::scrypt::Identity::new(passphrase);
            // Age would measure this machine, and a busy one would refuse what it sealed itself.
            identity.set_max_work_factor(MAX_WORK);
            identity
        })
    }
}

/// An SSH key under a passphrase. The age crate would ask for the passphrase at every recipient of a capsule, whoever
/// that is; this asks only where the capsule says that the key is meant.
struct Locked<I> {
    key: I,
    mark: Mark,
}

impl<I: age::Identity> age::Identity for Locked<I> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        let meant = stanza.tag == self.mark.kind && stanza.args.first() == Some(&self.mark.tag);
        if meant { self.key.unwrap_stanza(stanza) } else { None }
    }
}

/// How age marks what is sealed to an SSH key: by its type and the start of its public half's hash.
struct Mark {
    kind: String,
    tag: String,
}

impl Mark {
    fn of(public: &age::ssh::Recipient) -> Option<Mark> {
        let line = public.to_string();
        let key = ssh_key::PublicKey::from_openssh(&line).ok()?.to_bytes().ok()?;
        let hash = Sha256::digest(key);
        let bits = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
        const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        // 32 bits are five digits of six and one of two.
        let digit = |n: u32| if n < 5 { bits >> (26 - 6 * n) & 63 } else { bits << 4 & 63 };
        let tag = (0..6).map(|n| BASE64[digit(n) as usize] as char).collect();
        Some(Mark { kind: line.split_whitespace().next()?.to_owned(), tag })
    }
}
