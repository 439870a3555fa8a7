//! Recipients: who may open what is sealed.
//!
//! Takes every form in which people have such a key: age's own, an OpenSSH public key, an age plugin's, a passphrase.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Callbacks, Error, SecretString, own};

/// One recipient, and how it is named to people.
#[derive(Clone)]
pub enum Via {
    X25519(age::x25519::Recipient),
    Tag(age::tag::Recipient),
    TagPq(Box<age::tagpq::Recipient>),
    Ssh(age::ssh::Recipient),
    Plugin(age::plugin::Recipient),
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Via::X25519(key) => key.fmt(f),
            Via::Tag(key) => key.fmt(f),
            Via::TagPq(key) => key.fmt(f),
            Via::Ssh(key) => key.fmt(f),
            Via::Plugin(key) => key.fmt(f),
        }
    }
}

impl Via {
    /// The kind of key, for people.
    pub fn kind(&self) -> String {
        match self {
            Via::X25519(_) => "X25519".to_owned(),
            Via::Tag(_) => "P-256 tag".to_owned(),
            Via::TagPq(_) => "post-quantum tag".to_owned(),
            Via::Ssh(key) => key.to_string().split(' ').next().unwrap_or("SSH").to_owned(),
            Via::Plugin(key) => format!("plugin {}", key.plugin()),
        }
    }

    pub fn is_post_quantum(&self) -> bool {
        matches!(self, Via::TagPq(_))
    }

    fn parse(line: &str) -> Result<Via, Error> {
        if is_secret(line) {
            return Err(Error::SecretKey);
        }
        let unknown = || Error::NotARecipient(line.chars().take(60).collect());
        if line.starts_with("ssh-") || line.starts_with("ecdsa-") || line.starts_with("sk-") {
            return line.parse().map(Via::Ssh).map_err(|_| match line.split_whitespace().next() {
                Some(kind) if !matches!(kind, "ssh-ed25519" | "ssh-rsa") => Error::SshKeyType(kind.to_owned()),
                _ => unknown(),
            });
        }
        let native = line.parse().map(Via::X25519).ok();
        let tagged = || line.parse().map(Via::Tag).ok().or_else(|| line.parse().map(|key| Via::TagPq(Box::new(key))).ok());
        native.or_else(tagged).or_else(|| line.parse().map(Via::Plugin).ok()).ok_or_else(unknown)
    }
}

/// Named by mistake where a public key was wanted: must not come back in a message.
pub fn is_secret(text: &str) -> bool {
    let text = text.trim().to_ascii_uppercase();
    text.starts_with("AGE-SECRET-KEY-") || text.starts_with("AGE-PLUGIN-") || text.contains("PRIVATE KEY-----")
}

/// Everybody a capsule is sealed to.
#[derive(Clone, Default)]
pub struct Recipients {
    keys: Vec<Via>,
    passphrase: Option<SecretString>,
}

impl Recipients {
    pub fn with_passphrase(passphrase: SecretString) -> Recipients {
        Recipients { keys: Vec::new(), passphrase: Some(passphrase) }
    }

    /// One key, or lines of keys with comments, as age's recipient files, `.pub` files and a forge's `.keys` have them.
    pub fn add_text(&mut self, text: &str) -> Result<(), Error> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (mut keys, mut unfit) = (Vec::new(), None);
        for line in lines {
            match Via::parse(line) {
                Ok(key) => keys.push(key),
                // What a forge lists of somebody are all of their keys, and one that age takes is enough to reach them.
                Err(error @ Error::SshKeyType(_)) => unfit = unfit.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        if keys.is_empty() {
            return Err(unfit.unwrap_or_else(|| Error::NotARecipient(text.trim().chars().take(60).collect())));
        }
        for key in keys {
            if !self.keys.iter().any(|known| known.to_string() == key.to_string()) {
                self.keys.push(key);
            }
        }
        Ok(())
    }

    pub fn names(&self) -> Vec<String> {
        let keys = self.keys.iter().map(Via::to_string);
        keys.chain(self.passphrase.iter().map(|_| "a passphrase".to_owned())).collect()
    }

    pub fn keys(&self) -> &[Via] {
        &self.keys
    }

    pub fn is_passphrase(&self) -> bool {
        self.passphrase.is_some()
    }

    /// The same in groups that age seals one file to: post-quantum keys only go with their kind, and a plugin's may be such.
    pub(super) fn classes(&self) -> Vec<Recipients> {
        let class = |key: &Via| match key {
            Via::X25519(_) | Via::Tag(_) | Via::Ssh(_) => String::new(),
            Via::TagPq(_) => "post-quantum".to_owned(),
            Via::Plugin(key) => format!("plugin {}", key.plugin()),
        };
        let mut classes: BTreeMap<String, Recipients> = BTreeMap::new();
        for key in &self.keys {
            classes.entry(class(key)).or_default().keys.push(key.clone());
        }
        let passphrase = self.passphrase.clone().map(Recipients::with_passphrase);
        classes.into_values().chain(passphrase).collect()
    }

    /// Whether everybody here is out of a quantum computer's reach, as far as can be told from their keys.
    pub fn is_post_quantum(&self) -> bool {
        self.passphrase.is_none() && !self.keys.is_empty() && self.keys.iter().all(Via::is_post_quantum)
    }

    pub(super) fn encryptor<C: Callbacks>(&self, callbacks: C) -> Result<age::Encryptor, Error> {
        if let Some(passphrase) = &self.passphrase {
            if !self.keys.is_empty() {
                return Err(Error::Mixed);
            }
            return own::encryptor(passphrase);
        }
        let mut boxed: Vec<Box<dyn age::Recipient>> = Vec::new();
        let mut plugins = Vec::new();
        for key in &self.keys {
            match key {
                Via::X25519(key) => boxed.push(Box::new(key.clone())),
                Via::Tag(key) => boxed.push(Box::new(key.clone())),
                Via::TagPq(key) => boxed.push(key.clone()),
                Via::Ssh(key) => boxed.push(Box::new(key.clone())),
                Via::Plugin(key) => plugins.push(key.clone()),
            }
        }
        for name in plugins.iter().map(age::plugin::Recipient::plugin).collect::<BTreeSet<_>>() {
            let plugin = age::plugin::RecipientPluginV1::new(name, &plugins, &[], callbacks.clone());
            boxed.push(Box::new(plugin.map_err(|error| Error::Plugin(error.to_string()))?));
        }
        age::Encryptor::with_recipients(boxed.iter().map(|key| &**key)).map_err(|error| match error {
            age::EncryptError::MissingRecipients => Error::NoRecipient,
            age::EncryptError::IncompatibleRecipients { .. } => Error::Incompatible,
            age::EncryptError::MixedRecipientAndPassphrase => Error::Mixed,
            other => Error::Plugin(other.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::SigningKey;

    #[test]
    fn of_all_the_keys_that_a_forge_lists_those_count_that_age_takes() {
        let usual = SigningKey::generate("").and_then(|key| key.public_line()).expect("a key");
        let odd = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTY= jo";
        let hardware = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t jo";
        let mut recipients = Recipients::default();
        recipients.add_text(&format!("{odd}\n{usual}\n\n{hardware}\n")).expect("one of them");
        assert_eq!(recipients.names(), [usual.trim()]);
        // Where nobody could be reached that is said, and so is what is no key.
        assert!(matches!(recipients.add_text(&format!("{odd}\n{hardware}\n")), Err(Error::SshKeyType(kind)) if kind.starts_with("ecdsa")));
        assert!(matches!(recipients.add_text(&format!("{usual}\nno key\n")), Err(Error::NotARecipient(_))));
    }
}
