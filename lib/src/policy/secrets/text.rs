//! Text as JSON escapes it, read as what it means, with the way back to where each byte stood.
//!
//! Strings in strings are escaped more than once: whatever the number of backslashes, the character behind them is meant.
//! What must stay true: offsets never go back, and text without a backslash is not copied.

use std::borrow::Cow;

pub struct Plain<'a> {
    pub bytes: Cow<'a, [u8]>,
    /// Where each byte begins in the text that was read, and its end; empty where nothing was escaped.
    at: Vec<u32>,
}

impl<'a> Plain<'a> {
    pub fn of(text: &'a [u8]) -> Plain<'a> {
        let Some(first) = memchr::memchr(b'\\', text) else { return Plain { bytes: Cow::Borrowed(text), at: Vec::new() } };
        let mut plain = Vec::with_capacity(text.len());
        let mut at: Vec<u32> = Vec::with_capacity(text.len() + 1);
        plain.extend_from_slice(&text[..first]);
        at.extend((0..first).map(offset));
        let mut n = first;
        while n < text.len() {
            let begins = n;
            if text[n] != b'\\' {
                plain.push(text[n]);
                at.push(offset(begins));
                n += 1;
                continue;
            }
            while text.get(n) == Some(&b'\\') {
                n += 1;
            }
            let mut utf8 = [0; 4];
            let meant: &[u8] = match text.get(n) {
                Some(b'n') => b"\n",
                Some(b'r') => b"\r",
                Some(b't') => b"\t",
                Some(b'u') => match character(text, n) {
                    Some(c) => {
                        n += 4;
                        c.encode_utf8(&mut utf8).as_bytes()
                    }
                    None => b"u",
                },
                Some(byte @ (b'"' | b'\'' | b'/')) => std::slice::from_ref(byte),
                // A backslash at a line's end, or one that is meant.
                _ => {
                    plain.push(b'\\');
                    at.push(offset(begins));
                    continue;
                }
            };
            n += 1;
            plain.extend_from_slice(meant);
            at.extend(meant.iter().map(|_| offset(begins)));
        }
        at.push(offset(text.len()));
        Plain { bytes: Cow::Owned(plain), at }
    }

    /// Where the byte with this number, or the end, was read.
    pub fn read_at(&self, n: usize) -> usize {
        if self.at.is_empty() { n } else { self.at.get(n).map_or(0, |at| *at as usize) }
    }

    pub fn was_escaped(&self) -> bool {
        !self.at.is_empty()
    }
}

fn offset(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Behind a backslash and a `u` at `n`.
fn character(text: &[u8], n: usize) -> Option<char> {
    let digits = std::str::from_utf8(text.get(n + 1..n + 5)?).ok()?;
    char::from_u32(u32::from_str_radix(digits, 16).ok()?)
}

/// Whether a word may begin at `n`: nothing of one stands before, unless it is the letter of an escape.
pub fn begins(text: &[u8], n: usize) -> bool {
    let before = &text[n.saturating_sub(6)..n];
    match before {
        [] => true,
        [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f'] => true,
        [b'\\', b'u', digits @ ..] if digits.len() == 4 && digits.iter().all(u8::is_ascii_hexdigit) => true,
        [.., byte] => !byte.is_ascii_alphanumeric(),
    }
}
