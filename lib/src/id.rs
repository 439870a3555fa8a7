//! Names of things: session ids, native ids, agents' names.
//!
//! Depends on nothing else in the crate. Every id here is safe as a path component and as part of a ref name: that is
//! checked once, when it is parsed, so nobody who holds one has to check again.

use std::fmt;

use sha2::{Digest, Sha256};

const SID_LEN: usize = 26;
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("'{0}' is not a session id (26 characters of a-z and 2-7)")]
    SessionId(String),
    #[error("'{0}' is not a native session id")]
    NativeId(String),
}

/// Our name for a session: derived from agent and native id, so every machine finds the same one without asking.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(String);

impl SessionId {
    pub fn derive(agent: &str, native: &NativeId) -> SessionId {
        let mut hash = Sha256::new();
        for part in ["samesession/1", agent] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.update(native.as_str().as_bytes());
        SessionId(base32(&hash.finalize(), SID_LEN))
    }

    pub fn parse(text: &str) -> Result<SessionId, Error> {
        if text.len() == SID_LEN && text.bytes().all(|b| BASE32.contains(&b)) {
            Ok(SessionId(text.to_owned()))
        } else {
            Err(Error::SessionId(text.to_owned()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Enough to tell sessions apart on a screen.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

/// The agent's own id of a session. Both agents known so far use UUIDs; the rule is only "a harmless file name".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NativeId(String);

impl NativeId {
    pub fn parse(text: &str) -> Result<NativeId, Error> {
        let harmless = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let first = text.bytes().next();
        if text.len() <= 128 && text.bytes().all(harmless) && first.is_some_and(|b| b.is_ascii_alphanumeric()) {
            Ok(NativeId(text.to_owned()))
        } else {
            Err(Error::NativeId(text.chars().take(80).collect()))
        }
    }

    /// A UUID in its usual lower-case form, as Claude Code and Codex write them.
    pub fn parse_uuid(text: &str) -> Result<NativeId, Error> {
        let shape = |(i, b): (usize, u8)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        };
        if text.len() == 36 && text.bytes().enumerate().all(shape) {
            Ok(NativeId(text.to_owned()))
        } else {
            Err(Error::NativeId(text.chars().take(80).collect()))
        }
    }

    /// A new UUID of this version from 32 hexadecimal digits.
    pub fn uuid(version: char, digits: &str) -> Result<NativeId, Error> {
        let digits: Vec<char> = digits.chars().collect();
        let mut text = String::new();
        for (n, digit) in digits.iter().enumerate() {
            if matches!(n, 8 | 12 | 16 | 20) {
                text.push('-');
            }
            text.push(match n {
                12 => version,
                16 => ['8', '9', 'a', 'b'][digit.to_digit(4).unwrap_or_default() as usize],
                _ => *digit,
            });
        }
        NativeId::parse_uuid(&text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn short(&self) -> &str {
        &self.0[..self.0.len().min(8)]
    }
}

macro_rules! show_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
show_as_text!(SessionId, NativeId);

/// Hashes and random names as text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base32(bytes: &[u8], len: usize) -> String {
    let bit = |i: usize| (bytes[i / 8] >> (7 - i % 8)) & 1;
    (0..len).map(|c| (0..5).fold(0usize, |digit, i| digit << 1 | usize::from(bit(c * 5 + i)))).map(|digit| BASE32[digit] as char).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sid_is_the_same_everywhere() {
        let native = NativeId::parse_uuid("aaaaaaaa-0001-4000-8000-000000000001").expect("a UUID");
        let sid = SessionId::derive("claude", &native);
        // Computed by hand with sha256sum and base32.
        assert_eq!(sid.as_str(), "rqtsr5zhzxrldk43tnr5wmesrd");
        assert_eq!(SessionId::parse(sid.as_str()).expect("its own text"), sid);
        assert_ne!(SessionId::derive("codex", &native), sid);
    }

    #[test]
    fn ids_that_could_be_paths_or_options_are_refused() {
        for bad in ["", "-x", ".", "..", "a/b", "a\0b", "a b", "é", &"a".repeat(129)] {
            assert!(NativeId::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["AAAAAAAA-0001-4000-8000-000000000001", "aaaaaaaa-0001-4000-8000-00000000000", "aaaaaaaa_0001-4000-8000-000000000001"] {
            assert!(NativeId::parse_uuid(bad).is_err(), "{bad:?}");
        }
    }
}
