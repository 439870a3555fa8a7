//! Secrets in a file that comes in pieces, in constant memory; one that stands across two pieces is found as any other.
//!
//! What is known from before is not searched again, only what begins in it and ends in what is new. A word whose secret might
//! go on behind the bytes that are here waits for more. A long piece is looked at where it lies; only what is near its ends is
//! copied, to be looked at with what stands before and behind it.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Match;
use super::find::{self, BEFORE};
use super::rules::{FARTHEST, Rules, rules};

/// Gathered before it is looked at; less in tests, so that they meet the seams.
const STEP: usize = if cfg!(test) { 16 << 10 } else { 256 << 10 };
/// A piece of at least this length is looked at where it lies, of at most the other one at once.
const LONG: usize = NEAR + 2 * FARTHEST;
const AT_ONCE: usize = if cfg!(test) { 64 << 10 } else { 512 << 10 };
/// So much before a word may belong to it, or tell that it is none. Words that begin in the first bytes of a piece, as many as
/// these, are looked at in a copy that begins before them; the others where they lie.
const NEAR: usize = BEFORE + WORD;
/// No word is longer.
pub const WORD: usize = 64;
/// To tell the field of one takes as long as its line is.
const TOLD: usize = 1000;
/// So much of a line is kept, to tell the field that something stands in.
const LINE: usize = 256 << 10;

pub struct Stream {
    rules: &'static Rules,
    bytes: Vec<u8>,
    /// Where `bytes` begins, and the line it begins in.
    start: u64,
    line: u64,
    /// A line begins where `bytes` does.
    begins: bool,
    /// In `bytes`: words before it were looked at.
    looked: usize,
    /// What ends before it is known.
    fresh: u64,
    /// The last one found, until it is certain that no better rule has the same.
    last: Option<Match>,
    /// Those of which it was told in which field they stand: once each, and not of more than anybody would read.
    told: BTreeSet<String>,
}

impl Default for Stream {
    fn default() -> Stream {
        Stream {
            rules: rules(),
            bytes: Vec::new(),
            start: 0,
            line: 1,
            begins: true,
            looked: 0,
            fresh: 0,
            last: None,
            told: BTreeSet::new(),
        }
    }
}

impl Stream {
    /// What was there before, and needs no look.
    pub fn known(&mut self, bytes: &[u8], found: &mut Vec<Match>) {
        if self.looked < self.bytes.len() && self.fresh < self.end() {
            self.search(self.bytes.len(), found);
        }
        self.take(bytes);
        self.looked = self.bytes.len().saturating_sub(FARTHEST);
        self.fresh = self.end();
        self.forget();
    }

    pub fn push(&mut self, bytes: &[u8], found: &mut Vec<Match>) {
        for piece in bytes.chunks(AT_ONCE) {
            match piece.len() < LONG {
                true => self.gather(piece, found),
                false => self.pass(piece, found),
            }
        }
    }

    fn gather(&mut self, bytes: &[u8], found: &mut Vec<Match>) {
        for step in bytes.chunks(STEP) {
            self.bytes.extend_from_slice(step);
            if self.bytes.len() - self.looked >= STEP {
                self.search(self.bytes.len() - FARTHEST, found);
                self.forget();
                self.let_go(found);
            }
        }
    }

    /// Looks at a long piece where it lies.
    fn pass(&mut self, piece: &[u8], found: &mut Vec<Match>) {
        // The words at its beginning, with what stands before them.
        let held = self.bytes.len();
        self.bytes.extend_from_slice(&piece[..NEAR + FARTHEST]);
        self.search(held + NEAR, found);
        self.bytes.truncate(held);

        let until = piece.len() - FARTHEST;
        let before = std::mem::take(&mut self.bytes);
        let (start, line) = (self.start + held as u64, self.line + count(&before));
        let text = Text { bytes: piece, start, line, before: &before, begins: self.begins };
        self.look(&text, NEAR..until, found);
        self.bytes = before;

        let begins = last_line(piece, until);
        // Without one it began before this piece, or so far back that nobody asks where.
        match begins.or((until > LINE).then_some(until.saturating_sub(NEAR))) {
            Some(keep) => {
                self.bytes.clear();
                self.bytes.extend_from_slice(&piece[keep..]);
                (self.start, self.line) = (start + keep as u64, line + count(&piece[..keep]));
                (self.begins, self.looked) = (begins.is_some(), until - keep);
            }
            None => {
                self.bytes.extend_from_slice(piece);
                self.looked = held + until;
                self.forget();
            }
        }
        self.let_go(found);
    }

    /// Of the last one, once nothing that is found from now on can be part of it.
    fn let_go(&mut self, found: &mut Vec<Match>) {
        let reached = self.reached();
        found.extend(self.last.take_if(|last| last.range.end <= reached));
    }

    /// Looks at what is left: nothing more comes.
    pub fn finish(&mut self, found: &mut Vec<Match>) {
        if self.fresh < self.end() {
            self.search(self.bytes.len(), found);
        }
        found.extend(self.last.take());
    }

    /// Nothing that is found from now on begins before this byte, unless it goes on from the last one.
    fn reached(&self) -> u64 {
        (self.start + self.looked as u64).saturating_sub(BEFORE as u64)
    }

    /// Nothing at all does before this one.
    pub fn settled(&self) -> u64 {
        self.last.as_ref().map_or(self.reached(), |last| self.reached().min(last.range.start))
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.bytes.capacity()
    }

    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn search(&mut self, until: usize, found: &mut Vec<Match>) {
        let bytes = std::mem::take(&mut self.bytes);
        let text = Text { bytes: &bytes, start: self.start, line: self.line, before: b"", begins: self.begins };
        self.look(&text, self.looked..until, found);
        self.bytes = bytes;
        self.looked = until.max(self.looked);
    }

    /// Looks at the words that begin in this range.
    fn look(&mut self, text: &Text<'_>, words: Range<usize>, found: &mut Vec<Match>) {
        let rules = self.rules;
        // A word is found where it ends, so one that begins before the limit may end behind it.
        let limit = text.bytes.len().min(words.end + WORD);
        let mut lines = Lines { at: 0, line: text.line };
        for hit in rules.hits(&text.bytes[words.start..limit]) {
            let hit = super::rules::Hit { at: hit.at + words.start, end: hit.end + words.start, rules: hit.rules };
            if hit.at >= words.end {
                continue;
            }
            let Some(secret) = find::at(rules, text.bytes, &hit) else { continue };
            if text.start + secret.end as u64 <= self.fresh {
                continue;
            }
            self.settle(text, secret, &mut lines, found);
        }
    }

    fn settle(&mut self, text: &Text<'_>, secret: find::Secret, lines: &mut Lines, found: &mut Vec<Match>) {
        let range = text.start + secret.begin as u64..text.start + secret.end as u64;
        if let Some(last) = &mut self.last
            && range.start < last.range.end
            && last.range.start < range.end
        {
            let whole = last.range.start.min(range.start)..last.range.end.max(range.end);
            if secret.rule < last.rule {
                (last.rule, last.id, last.masked) = (secret.rule, secret.id, secret.masked);
            }
            last.range = whole;
            return;
        }
        found.extend(self.last.take());
        let line = lines.of(text.bytes, secret.begin);
        let telling = self.told.len() < TOLD && self.told.insert(secret.id.clone());
        let field = telling.then(|| text.field(secret.begin)).flatten();
        self.last = Some(Match { rule: secret.rule, id: secret.id, masked: secret.masked, line, field, range });
    }

    fn take(&mut self, bytes: &[u8]) {
        // Of what is known only the end can be of interest, and how many lines it has.
        if bytes.len() > LINE {
            let keep = bytes.len() - LINE;
            self.line += count(&self.bytes) + count(&bytes[..keep]);
            self.start += (self.bytes.len() + keep) as u64;
            self.begins = false;
            self.bytes.clear();
            self.bytes.extend_from_slice(&bytes[keep..]);
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Lets go of what is not needed any more.
    fn forget(&mut self) {
        let near = self.looked.saturating_sub(NEAR);
        let line = last_line(&self.bytes, self.looked);
        let keep = line.unwrap_or(if self.begins && self.looked <= LINE { 0 } else { near });
        self.begins = line.is_some() || keep == 0 && self.begins;
        self.line += count(&self.bytes[..keep]);
        self.bytes.drain(..keep);
        self.start += keep as u64;
        self.looked -= keep;
    }
}

/// Where the line begins that holds what is needed of the bytes before this place; none if it began too far back.
fn last_line(bytes: &[u8], looked: usize) -> Option<usize> {
    let (from, near) = (looked.saturating_sub(LINE), looked.saturating_sub(NEAR));
    memchr::memrchr(b'\n', &bytes[from..near.max(from)]).map(|end| from + end + 1)
}

/// What is looked at, where it lies.
struct Text<'a> {
    bytes: &'a [u8],
    /// Where it begins, and in which line.
    start: u64,
    line: u64,
    /// What stands before it, as far as it is at hand.
    before: &'a [u8],
    /// A line begins where that does.
    begins: bool,
}

impl Text<'_> {
    /// The same however the text was cut: where a line begins too far back, it is not asked for.
    fn field(&self, at: usize) -> Option<String> {
        let line = |bytes: &[u8]| memchr::memrchr(b'\n', bytes).map(|end| end + 1);
        let (here, before) = match line(&self.bytes[..at]) {
            Some(begins) => (&self.bytes[begins..at], &b""[..]),
            None => (&self.bytes[..at], &self.before[line(self.before).or(self.begins.then_some(0))?..]),
        };
        match before {
            _ if before.len() + here.len() > LINE => None,
            [] => super::field::of(here),
            before => super::field::of(&[before, here].concat()),
        }
    }
}

fn count(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// Counts on from where it was asked last.
struct Lines {
    at: usize,
    line: u64,
}

impl Lines {
    fn of(&mut self, text: &[u8], at: usize) -> u64 {
        if at >= self.at {
            self.line += count(&text[self.at..at]);
            self.at = at;
            self.line
        } else {
            self.line - count(&text[at..self.at])
        }
    }
}
