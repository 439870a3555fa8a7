//! A key on paper, for when every device is lost: an age key, and the SSH key that follows from it.
//!
//! What is written down is the age key alone, in age's own form, so that plain `age` opens with it what was sealed to it; the
//! signing key is derived from it, by which it can be a member of the roster. What must stay true: the secret is in no file
//! of ours and in no setting; `Public` is all that is kept.

use age::secrecy::zeroize::Zeroizing;
use age::secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::seal::{Error, SigningKey, fingerprint_of};

const DERIVED_FOR: &[u8] = b"samesession recovery signing key\n";

pub struct Recovery {
    identity: age::x25519::Identity,
    signing: SigningKey,
}

/// What others may know of it, as one setting: what is sealed to it, and its signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public {
    pub recipient: String,
    /// `ssh-ed25519 AAAA…`.
    pub signing: String,
}

impl Recovery {
    pub fn generate() -> Result<Recovery, Error> {
        Recovery::of(age::x25519::Identity::generate())
    }

    /// From a file that somebody typed it into: the first age key in it.
    pub fn parse(text: &str, name: &str) -> Result<Recovery, Error> {
        let key = text.lines().find_map(|line| line.trim().parse().ok());
        Recovery::of(key.ok_or_else(|| Error::NotAnIdentity(name.to_owned()))?)
    }

    fn of(identity: age::x25519::Identity) -> Result<Recovery, Error> {
        let secret = identity.to_string();
        let seed = Sha256::new().chain_update(DERIVED_FOR).chain_update(secret.expose_secret()).finalize();
        let signing = SigningKey::from_seed(&Zeroizing::new(seed.into()), "samesession recovery")?;
        Ok(Recovery { identity, signing })
    }

    /// To be shown once.
    pub fn secret(&self) -> SecretString {
        self.identity.to_string()
    }

    pub fn identity(&self) -> age::x25519::Identity {
        self.identity.clone()
    }

    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    pub fn public(&self) -> Result<Public, Error> {
        let line = self.signing.public_line()?;
        let signing = line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        Ok(Public { recipient: self.identity.to_public().to_string(), signing })
    }
}

impl Public {
    pub fn parse(setting: &str) -> Option<Public> {
        let (recipient, signing) = setting.split_once(' ')?;
        recipient.parse::<age::x25519::Recipient>().ok()?;
        fingerprint_of(signing)?;
        Some(Public { recipient: recipient.to_owned(), signing: signing.to_owned() })
    }

    pub fn setting(&self) -> String {
        format!("{} {}", self.recipient, self.signing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_gives_both_keys_again() {
        let made = Recovery::generate().expect("a key");
        let paper = format!("# on paper\n  {}  \n", made.secret().expose_secret());
        let again = Recovery::parse(&paper, "paper").expect("a key");
        let public = made.public().expect("public");
        assert_eq!(again.public().expect("public"), public);
        assert_eq!(again.signing().fingerprint(), made.signing().fingerprint());
        assert_eq!(Public::parse(&public.setting()), Some(public.clone()));
        assert_ne!(Recovery::generate().expect("another").public().expect("public"), public);
        for nonsense in ["", "age1x ssh-ed25519 x", &public.recipient] {
            assert_eq!(Public::parse(nonsense), None, "{nonsense}");
        }
        assert!(Recovery::parse("no key", "paper").is_err());
    }
}
