//! Somebody who sees what goes into a capsule, file by file, and changes nothing of it.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use super::{Content, Target};
use crate::path::RelPath;

/// Each file is begun, comes in pieces, and ends; one that is begun and does not end was given up.
pub trait Observer {
    fn begin(&mut self, name: &RelPath);
    /// What the capsule before this one had at this place.
    fn known(&mut self, bytes: &[u8]);
    fn fresh(&mut self, bytes: &[u8]);
    /// The same two, of bytes that may be looked at later and need not be copied.
    fn known_part(&mut self, part: &Shared, of_it: Range<usize>);
    fn fresh_part(&mut self, part: &Shared, of_it: Range<usize>);
    fn end(&mut self);
}

/// Bytes that stay what they are for as long as somebody holds them.
pub type Shared = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A target beside an observer, to whom everything is new.
pub struct Observed<'a, T> {
    pub target: T,
    pub observer: &'a mut dyn Observer,
}

impl<T: Target> Target for Observed<'_, T> {
    type Error = T::Error;

    fn add(&mut self, file: Content<'_>) -> Result<[u8; 32], T::Error> {
        self.observer.begin(&file.name);
        let mut bytes = Seen { from: file.bytes, left: file.size, observer: self.observer };
        let hash = self.target.add(Content { bytes: &mut bytes, ..file })?;
        self.observer.end();
        Ok(hash)
    }
}

struct Seen<'a> {
    from: &'a mut dyn Read,
    left: u64,
    observer: &'a mut dyn Observer,
}

impl Read for Seen<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(into)?;
        let of_it = n.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.observer.fresh(&into[..of_it]);
        self.left -= of_it as u64;
        Ok(n)
    }
}
