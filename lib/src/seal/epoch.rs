//! Epochs: a session's contents are sealed to a key of their own, and only that key to people.
//!
//! The epoch's recipient is never published, its id is random. Handing a session to one more person is wrapping a few
//! hundred bytes again; what the epoch's key has sealed stays as it is. age all the way down: an epoch key is an X25519
//! identity in age's own form, a wrap is an age file that holds it.

use std::io::{Read, Write};

use age::secrecy::zeroize::Zeroizing;

use super::{Callbacks, Error, ExposeSecret, Identities, Recipients};

/// Passphrases that are tried for one epoch.
const MAX_PASSPHRASES: usize = 8;

/// Opaque, and harmless as a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochId(String);

impl EpochId {
    pub fn parse(text: &str) -> Option<EpochId> {
        let hex = text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        hex.then(|| EpochId(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

pub struct Epoch {
    pub id: EpochId,
    key: age::x25519::Identity,
    to: age::x25519::Recipient,
}

impl Epoch {
    pub fn begin() -> Epoch {
        Epoch::of(EpochId(super::random_hex::<8>()), age::x25519::Identity::generate())
    }

    fn of(id: EpochId, key: age::x25519::Identity) -> Epoch {
        Epoch { id, to: key.to_public(), key }
    }

    /// `age -d -i epoch-key` gives it back.
    pub fn seal(&self, part: &[u8]) -> Result<Vec<u8>, Error> {
        age::encrypt(&self.to, part).map_err(|error| Error::Plugin(error.to_string()))
    }

    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        age::decrypt(&self.key, sealed).map_err(|_| Error::Damaged("a part is not sealed to its epoch".to_owned()))
    }

    /// The key itself, sealed to people: one file for each class of recipients that age seals together.
    pub fn wrap<C: Callbacks>(&self, to: &Recipients, callbacks: &C) -> Result<Vec<Vec<u8>>, Error> {
        match to.classes() {
            none if none.is_empty() => Err(Error::NoRecipient),
            classes => classes.iter().map(|class| self.wrap_to(class, callbacks.clone())).collect(),
        }
    }

    fn wrap_to<C: Callbacks>(&self, to: &Recipients, callbacks: C) -> Result<Vec<u8>, Error> {
        let secret = self.key.to_string();
        let mut sealed = Vec::new();
        let mut out = to.encryptor(callbacks)?.wrap_output(&mut sealed).map_err(Error::Write)?;
        writeln!(out, "{}", secret.expose_secret()).and_then(|()| out.finish()).map_err(Error::Write)?;
        Ok(sealed)
    }

    /// The first wrap that one of these identities opens; a passphrase only where none does.
    pub fn unwrap(id: &EpochId, wraps: &[Vec<u8>], with: &Identities) -> Result<Epoch, Error> {
        let under_passphrase = |wrap: &&Vec<u8>| super::peek(&mut &wrap[..]).is_ok_and(|(envelope, _)| envelope.is_passphrase());
        let (asking, keyed): (Vec<_>, Vec<_>) = wraps.iter().partition(under_passphrase);
        let mut refused = match Epoch::among(id, &keyed, with) {
            Err(refused) if refused.is_no_key() => refused,
            opened => return opened,
        };
        for file in asking.iter().take(MAX_PASSPHRASES) {
            match with.by_passphrase(file).and_then(|key| Epoch::among(id, &keyed, &key)) {
                Ok(epoch) => return Ok(epoch),
                // That somebody's own key could not be asked for says more.
                Err(_) if matches!(refused, Error::Locked | Error::WrongDevicePassphrase) => {}
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn among(id: &EpochId, wraps: &[&Vec<u8>], with: &Identities) -> Result<Epoch, Error> {
        let mut refused = None;
        for wrap in wraps {
            match super::stream::unseal(&wrap[..], with) {
                Ok(mut plain) => {
                    // Of its full size from the start: a string that grows leaves pieces behind that nobody wipes.
                    let mut text = Zeroizing::new(String::with_capacity(1024));
                    plain.by_ref().take(1024).read_to_string(&mut text).map_err(|error| Error::Damaged(error.to_string()))?;
                    let key = text.trim().parse().map_err(|_| Error::Damaged("an epoch's key is none".to_owned()))?;
                    return Ok(Epoch::of(id.clone(), key));
                }
                // No match here may still be a match in the next class of recipients.
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or(Error::NoRecipient))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{PassphraseReader, SecretString, passphrase_file};

    #[test]
    fn what_an_epoch_sealed_opens_for_whoever_it_is_wrapped_to() {
        let (alice, bob) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
        let epoch = Epoch::begin();
        let sealed = epoch.seal(b"a transcript").expect("sealed");
        let mut to = Recipients::default();
        to.add_text(&alice.to_public().to_string()).expect("a key");
        let passphrase = SecretString::from("x".to_owned());
        let reader = PassphraseReader::new(&passphrase, "now").expect("made");
        to.add_text(&reader.recipient).expect("a key");
        let file = passphrase_file(&reader.sealed).expect("a file");
        let classes = [vec![file], epoch.wrap(&to, &age::NoCallbacks).expect("wrapped")].concat();
        let mut hers = Identities::default();
        hers.add_device(alice);
        let opened = Epoch::unwrap(&epoch.id, &classes, &hers).expect("hers");
        assert_eq!(opened.open(&sealed).expect("open"), b"a transcript");
        let mut his = Identities::default();
        his.add_device(bob);
        assert!(matches!(Epoch::unwrap(&epoch.id, &classes, &his), Err(Error::NeedsPassphrase)));
        his.set_passphrase(passphrase);
        assert_eq!(Epoch::unwrap(&epoch.id, &classes, &his).expect("his").open(&sealed).expect("open"), b"a transcript");
        his.set_passphrase(SecretString::from("y".to_owned()));
        assert!(matches!(Epoch::unwrap(&epoch.id, &classes, &his), Err(Error::WrongPassphrase)));
        assert!(Epoch::begin().open(&sealed).is_err(), "another epoch's");
    }
}
