//! Identities: the keys with which this machine tries to open a capsule.
//!
//! Nothing is asked for and no plugin is started before the capsule's header shows that it would help.

use super::{Callbacks, Error, SecretString};

#[derive(Default)]
pub struct Identities {
    keys: Vec<Box<dyn age::Identity>>,
    names: Vec<String>,
    passphrase: Option<SecretString>,
}

impl Identities {
    /// An age identity file or an OpenSSH private key, as text; `name` says in messages where it came from.
    pub fn add_text<C: Callbacks>(&mut self, text: &str, name: &str, callbacks: C) -> Result<(), Error> {
        if text.trim_start().starts_with("-----BEGIN ") && text.contains("PRIVATE KEY") {
            let key = age::ssh::Identity::from_buffer(text.as_bytes(), Some(name.to_owned()))
                .map_err(|_| Error::NotAnIdentity(name.to_owned()))?;
            if let age::ssh::Identity::Unsupported(_) = key {
                return Err(Error::NotAnIdentity(name.to_owned()));
            }
            self.push(Box::new(key.with_callbacks(callbacks)), name);
            return Ok(());
        }
        let file = age::IdentityFile::from_buffer(text.as_bytes()).map_err(|_| Error::NotAnIdentity(name.to_owned()))?;
        let keys = file.with_callbacks(callbacks).into_identities().map_err(|error| Error::Identity(name.to_owned(), error))?;
        if keys.is_empty() {
            return Err(Error::NotAnIdentity(name.to_owned()));
        }
        for key in keys {
            self.push(key, name);
        }
        Ok(())
    }

    pub fn add_device(&mut self, identity: age::x25519::Identity) {
        self.push(Box::new(identity), "this device's key");
    }

    pub fn set_passphrase(&mut self, passphrase: SecretString) {
        self.passphrase = Some(passphrase);
    }

    fn push(&mut self, key: Box<dyn age::Identity>, name: &str) {
        self.keys.push(key);
        if !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
    }

    pub(super) fn tried(&self) -> String {
        if self.names.is_empty() { "nothing, there is no key".to_owned() } else { self.names.join(", ") }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.keys.iter().map(|key| &**key)
    }

    pub(super) fn passphrase(&self) -> Option<age::scrypt::Identity> {
        self.passphrase.clone().map(age::scrypt::Identity::new)
    }
}
