//! A file with its secrets masked, as it is read: the same length, the same lines, still JSON where it was.
//!
//! What must stay true: a byte is let go only when no secret can begin at or before it any more.

use std::io::{self, Read};

use super::Match;
use super::stream::Stream;

const STEP: usize = 256 << 10;

pub struct Masked<R> {
    from: R,
    stream: Stream,
    found: Vec<Match>,
    /// Read and not all given out yet; where it begins in the file, and how much of it was given out.
    held: Vec<u8>,
    start: u64,
    given: usize,
    ended: bool,
    /// How many were masked.
    pub secrets: usize,
}

impl<R: Read> Masked<R> {
    pub fn new(from: R) -> Masked<R> {
        Masked { from, stream: Stream::default(), found: Vec::new(), held: Vec::new(), start: 0, given: 0, ended: false, secrets: 0 }
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.held.capacity()
    }

    /// So many bytes of what is held may go.
    fn settled(&mut self) -> usize {
        let until = if self.ended { u64::MAX } else { self.stream.settled() };
        let until = until.min(self.start + self.held.len() as u64);
        for secret in self.found.drain(..) {
            self.secrets += 1;
            let from = usize::try_from(secret.range.start - self.start).unwrap_or(0);
            let to = usize::try_from(secret.range.end - self.start).unwrap_or(0).min(self.held.len());
            cover(&mut self.held[from..to], &secret.id);
        }
        usize::try_from(until - self.start).unwrap_or(0)
    }

    fn more(&mut self) -> io::Result<()> {
        self.held.drain(..self.given);
        self.start += self.given as u64;
        self.given = 0;
        let before = self.held.len();
        self.held.resize(before + STEP, 0);
        let read = loop {
            match self.from.read(&mut self.held[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let n = *read.as_ref().unwrap_or(&0);
        self.held.truncate(before + n);
        self.ended = read? == 0;
        if self.ended {
            self.stream.finish(&mut self.found);
        } else {
            self.stream.push(&self.held[before..], &mut self.found);
        }
        Ok(())
    }
}

impl<R: Read> Read for Masked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut ready = self.settled();
        while ready == self.given && !self.ended {
            self.more()?;
            ready = self.settled();
        }
        let n = (ready - self.given).min(into.len());
        into[..n].copy_from_slice(&self.held[self.given..self.given + n]);
        self.given += n;
        Ok(n)
    }
}

/// Letters that mean nothing in JSON; the id if there is place for it.
fn cover(secret: &mut [u8], id: &str) {
    let label = format!("[secret:{id}]");
    let label = if secret.len() >= label.len() { label.as_bytes() } else { b"" };
    for (n, byte) in secret.iter_mut().enumerate() {
        if !matches!(byte, b'\n' | b'\r') || n < label.len() {
            *byte = label.get(n).copied().unwrap_or(b'*');
        }
    }
}

/// The same of a short text.
pub fn masked(text: &str) -> String {
    let mut masked = Vec::new();
    match Masked::new(text.as_bytes()).read_to_end(&mut masked) {
        Ok(_) => String::from_utf8_lossy(&masked).into_owned(),
        Err(_) => String::new(),
    }
}
