//! Secrets in a file that comes in pieces, in constant memory; one that stands across two pieces is found as any other.
//!
//! What is known from before is not searched again, only what begins in it and ends in what is new. A word whose secret might
//! go on behind the bytes that are here waits for more.

use super::Match;
use super::find::{self, BEFORE};
use super::rules::{FARTHEST, Rules, rules};

/// Looked at at once; less in tests, so that they meet the seams.
const STEP: usize = if cfg!(test) { 16 << 10 } else { 256 << 10 };
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
}

impl Default for Stream {
    fn default() -> Stream {
        Stream { rules: rules(), bytes: Vec::new(), start: 0, line: 1, begins: true, looked: 0, fresh: 0, last: None }
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
        for step in bytes.chunks(STEP) {
            self.bytes.extend_from_slice(step);
            if self.bytes.len() - self.looked >= STEP {
                self.search(self.bytes.len() - FARTHEST, found);
                self.forget();
            }
        }
    }

    /// Looks at what is left: nothing more comes.
    pub fn finish(&mut self, found: &mut Vec<Match>) {
        if self.fresh < self.end() {
            self.search(self.bytes.len(), found);
        }
        found.extend(self.last.take());
    }

    /// Nothing that is found from now on begins before this byte.
    pub fn settled(&self) -> u64 {
        let looked = (self.start + self.looked as u64).saturating_sub(BEFORE as u64);
        self.last.as_ref().map_or(looked, |last| looked.min(last.range.start))
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.bytes.capacity()
    }

    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn search(&mut self, until: usize, found: &mut Vec<Match>) {
        let rules = self.rules;
        // A word is found where it ends, so one that begins before the limit may end behind it.
        let limit = self.bytes.len().min(until + 64);
        let text = std::mem::take(&mut self.bytes);
        let mut lines = Lines { at: 0, line: self.line };
        for hit in rules.hits(&text[self.looked..limit]) {
            let hit = super::rules::Hit { at: hit.at + self.looked, end: hit.end + self.looked, rules: hit.rules };
            if hit.at >= until {
                continue;
            }
            let Some(secret) = find::at(rules, &text, &hit) else { continue };
            if self.start + secret.end as u64 <= self.fresh {
                continue;
            }
            self.settle(&text, secret, &mut lines, found);
        }
        self.bytes = text;
        self.looked = until.max(self.looked);
    }

    fn settle(&mut self, text: &[u8], secret: find::Secret, lines: &mut Lines, found: &mut Vec<Match>) {
        let range = self.start + secret.begin as u64..self.start + secret.end as u64;
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
        let begins = memchr::memrchr(b'\n', &text[..secret.begin]).map(|end| end + 1);
        let field = begins.or(self.begins.then_some(0)).and_then(|begins| super::field::of(&text[begins..secret.begin]));
        let line = lines.of(text, secret.begin);
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
        let near = self.looked.saturating_sub(BEFORE + 64);
        let from = self.looked.saturating_sub(LINE);
        let line = memchr::memrchr(b'\n', &self.bytes[from..near.max(from)]).map(|end| from + end + 1);
        let keep = line.unwrap_or(if self.begins && self.looked <= LINE { 0 } else { near });
        self.begins = line.is_some() || keep == 0 && self.begins;
        self.line += count(&self.bytes[..keep]);
        self.bytes.drain(..keep);
        self.start += keep as u64;
        self.looked -= keep;
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
