//! What can be seen of a sealed capsule without a key: the age header.
//!
//! Read once, bounded, before anything else: the age crate itself would read a header of any length into memory.

use std::collections::BTreeMap;
use std::io::Read;

use super::Error;

/// A thousand X25519 recipients, or 170 RSA keys of 4096 bits. The age crate parses a header anew with each line that it
/// reads: 2,500 recipients took it a minute.
const MAX_HEADER: usize = 128 << 10;
const INTRO: &[u8] = b"age-encryption.org/v1\n";

/// The kinds of recipients, by age's names of them, and how many of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    pub recipients: BTreeMap<String, usize>,
}

impl Envelope {
    pub fn is_passphrase(&self) -> bool {
        self.recipients.contains_key("scrypt")
    }

    /// Whether no key that it is sealed to is of a kind that a quantum computer would break.
    pub fn is_post_quantum(&self) -> bool {
        !self.recipients.is_empty() && self.recipients.keys().all(|kind| kind.starts_with("mlkem768"))
    }

    pub fn describe(&self) -> String {
        let kind = |(kind, count): (&String, &usize)| match (kind.as_str(), count) {
            ("scrypt", _) => "a passphrase".to_owned(),
            (kind, 1) => format!("one {kind} key"),
            (kind, count) => format!("{count} {kind} keys"),
        };
        self.recipients.iter().map(kind).collect::<Vec<_>>().join(", ")
    }
}

/// Reads up to the end of the header and gives it back together with what it says; the caller chains the bytes again.
pub fn peek(input: &mut impl Read) -> Result<(Envelope, Vec<u8>), Error> {
    let mut bytes = Vec::new();
    let mut block = [0; 4096];
    loop {
        if let Some(envelope) = parse(&bytes)? {
            return Ok((envelope, bytes));
        }
        if bytes.len() > MAX_HEADER {
            return Err(Error::HeaderTooLong(MAX_HEADER));
        }
        match input.read(&mut block).map_err(Error::Read)? {
            0 if bytes.len() < INTRO.len() => return Err(Error::NotSealed),
            0 => return Err(Error::Damaged("it is cut short within its header".to_owned())),
            n => bytes.extend_from_slice(&block[..n]),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Option<Envelope>, Error> {
    let known = bytes.len().min(INTRO.len());
    if bytes[..known] != INTRO[..known] {
        return Err(Error::NotSealed);
    }
    let mut envelope = Envelope::default();
    for line in bytes.split_inclusive(|&b| b == b'\n').filter(|line| line.ends_with(b"\n")) {
        if line.starts_with(b"--- ") {
            return Ok(Some(envelope));
        }
        if let Some(stanza) = line.strip_prefix(b"-> ") {
            let kind = stanza.split(|b| matches!(b, b' ' | b'\n')).next().unwrap_or_default();
            // A grease stanza, which age puts in to keep readers honest, is nobody's key.
            if !kind.ends_with(b"-grease") {
                let kind: String = String::from_utf8_lossy(kind).chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
                *envelope.recipients.entry(kind).or_default() += 1;
            }
        }
    }
    Ok(None)
}
