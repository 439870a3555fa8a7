//! One word that may begin a secret: whether it does.
//!
//! What must stay true: what people write in place of a secret is none.

use std::sync::LazyLock;

use memchr::memmem;
use regex_automata::{Anchored, Input};
use sha2::{Digest, Sha256};

use super::rules::{FARTHEST, Hit, Rules};
use super::text::{self, Plain};
use crate::id::hex;

/// How far before an escaped character a word may begin.
pub const BEFORE: usize = 96;
/// What a character begins with that is written as its number.
static ESCAPE: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\\u00"));
/// So much of a long key tells it from others; where its end was cut off it is still the same.
const TELLING: usize = 512;

pub struct Secret {
    pub rule: usize,
    pub id: String,
    pub masked: String,
    pub begin: usize,
    pub end: usize,
}

/// The secret that begins with this word in `text`, if one does.
pub fn at(rules: &Rules, text: &[u8], hit: &Hit<'_>) -> Option<Secret> {
    if hit.rules.is_empty() {
        return escaped(rules, text, hit);
    }
    hit.rules.iter().find_map(|(rule, key)| one(rules, text, hit.at, *rule, *key))
}

fn one(rules: &Rules, text: &[u8], begin: usize, number: usize, key: usize) -> Option<Secret> {
    let rule = &rules.all[number];
    if !rule.inside[key] && !text::begins(text, begin) {
        return None;
    }
    let before = begin.checked_sub(1).and_then(|before| text.get(before));
    // A few letters are soon found in a picture's base64.
    if rule.keys[key].len() <= 4 && matches!(before, Some(b'+' | b'/')) {
        return None;
    }
    let digits = text[..begin].iter().rev().take(8).take_while(|byte| byte.is_ascii_digit()).count();
    if rule.name == "telegram-bot" && digits < 8 {
        return None;
    }
    if rule.name == "assignment" && !assigns(&text[begin + rule.keys[key].len()..]) {
        return None;
    }
    let window = &text[begin..text.len().min(begin + rule.reach)];
    let plain = Plain::of(window);
    let regex = rule.regex()?;
    let mut slots = regex.create_captures();
    regex.captures(Input::new(&*plain.bytes).anchored(Anchored::Yes), &mut slots);
    let groups = (1..slots.group_len()).find_map(|group| slots.get_group(group));
    let found = groups.or_else(|| slots.get_match().map(|whole| whole.span()))?;
    let mut end = found.end;
    while end > found.start && plain.bytes[end - 1].is_ascii_whitespace() {
        end -= 1;
    }
    let secret = &plain.bytes[found.start..end];
    let telling = if rule.name == "private-key" { key_body(secret) } else { secret.to_vec() };
    if entropy(&telling) < rule.entropy || is_a_stand_in(&telling, rule.name) {
        return None;
    }
    let hash = Sha256::new().chain_update(b"samesession/secret/1\0").chain_update(rule.name).chain_update(b"\0");
    let id = hex(&hash.chain_update(&telling[..telling.len().min(TELLING)]).finalize()[..8]);
    Some(Secret {
        rule: number,
        id,
        masked: mask(rule.name, secret),
        begin: begin + plain.read_at(found.start),
        end: begin + plain.read_at(end),
    })
}

/// A word of which a character is written as its number.
fn escaped(rules: &Rules, text: &[u8], hit: &Hit<'_>) -> Option<Secret> {
    // Most escaped characters are those of HTML, and no part of any word.
    let code = text.get(hit.at + 4..hit.at + 6).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())?;
    if !code.is_ascii_alphanumeric() && !b"-_.:/=~".contains(&code) {
        return None;
    }
    let from = hit.at.saturating_sub(BEFORE);
    let from = from + memchr::memrchr(b'"', &text[from..hit.at]).map_or(0, |quote| quote + 1);
    let near = Plain::of(&text[from..text.len().min(hit.at + BEFORE)]);
    let holds = |word: &Hit<'_>| !word.rules.is_empty() && from + near.read_at(word.at) <= hit.at && hit.at < from + near.read_at(word.end);
    let words: Vec<Hit<'_>> = rules.hits(&near.bytes).filter(holds).collect();
    if words.is_empty() {
        return None;
    }
    let plain = Plain::of(&text[from..text.len().min(hit.at + FARTHEST)]);
    let secret = words.iter().find_map(|word| at(rules, &plain.bytes, word))?;
    Some(Secret { begin: from + plain.read_at(secret.begin), end: from + plain.read_at(secret.end), ..secret })
}

/// Quickly, whether something is given to what was named: most words of this kind stand in prose.
fn assigns(rest: &[u8]) -> bool {
    let rest = &rest[..rest.len().min(96)];
    if let Some(plain) = ESCAPE.find(rest).map(|_| Plain::of(rest)).filter(Plain::was_escaped) {
        return assigns(&plain.bytes);
    }
    let named = rest.iter().take(26).take_while(|byte| byte.is_ascii_alphanumeric() || b"_.-\\\"'".contains(byte)).count();
    let mut rest = rest[named..].iter().skip_while(|byte| **byte == b' ');
    if !matches!(rest.next(), Some(b':' | b'=')) {
        return false;
    }
    let value = rest.skip_while(|byte| b" =>\\\"'".contains(byte));
    value.take(12).filter(|byte| !byte.is_ascii_whitespace() && !b"\\\"',;(){}[]<>$".contains(byte)).count() == 12
}

/// The key without line ends, headers and the numbers that agents show before lines.
fn key_body(secret: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(secret.len());
    for line in secret.split(|&byte| byte == b'\n') {
        let line = match memmem::find(line, "→".as_bytes()) {
            Some(arrow) => &line[arrow + "→".len()..],
            None => memchr::memchr(b'\t', line).map_or(line, |tab| &line[tab + 1..]),
        };
        if !line.contains(&b':') {
            body.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
        }
    }
    body
}

/// Bits for each character, were they drawn as often as they occur here.
fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    text.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let all = text.len().max(1) as f64;
    counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / all).map(|share| -share * share.log2()).sum()
}

/// Words and numbers that people write where a secret would stand.
const STAND_INS: &[&str] = &[
    "example",
    "xxxxx",
    "placeholder",
    "changeme",
    "your-",
    "your_",
    "redacted",
    "dummy",
    "00000000",
    "11111111",
    "abcdefghij",
    "123456789",
];

fn is_a_stand_in(secret: &[u8], rule: &str) -> bool {
    let small = String::from_utf8_lossy(secret).to_lowercase();
    if STAND_INS.iter().any(|word| small.contains(word)) {
        return true;
    }
    let digits = secret.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = secret.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    match rule {
        // Names, paths and calls in programs have no numbers among their letters; numbers alone are counters.
        "assignment" | "bearer" => digits == 0 || letters < 4 || is_code(&small),
        // Words, as in every piece of documentation.
        "password-in-url" => secret.iter().all(|byte| byte.is_ascii_lowercase() || b"-_".contains(byte)),
        "basic-auth" => digits == 0 && !secret.ends_with(b"="),
        _ => false,
    }
}

fn is_code(small: &str) -> bool {
    let parts = small.split(['.', '/', '-', '_']).filter(|part| part.len() > 2);
    let wordy = parts.clone().filter(|part| part.bytes().all(|byte| byte.is_ascii_lowercase())).count();
    wordy >= 2 && wordy * 2 > parts.count() || small.contains("::") || small.contains("()")
}

/// How it begins, so that its owner knows it again, and nothing by which somebody else could.
fn mask(rule: &str, secret: &[u8]) -> String {
    let len = secret.len();
    if matches!(rule, "private-key" | "assignment" | "password-in-url" | "local-password-in-url" | "basic-auth" | "aws-secret-key")
        || len < 20
    {
        return format!("*** ({len} characters)");
    }
    // What tokens of one kind begin with alike, and at most two characters of its own.
    let shown = String::from_utf8_lossy(&secret[..6]).into_owned();
    format!("{shown}*** ({len} characters)")
}
