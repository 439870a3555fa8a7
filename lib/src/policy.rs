//! What may enter: the bounds within which a capsule from outside is looked at at all.
//!
//! Generous to real sessions, which reach gigabytes, and finite for everything else. What may leave (secrets, sizes,
//! globs) will stand here, too.

#[derive(Debug, Clone)]
pub struct Limits {
    pub files: usize,
    /// Of all files together, unpacked.
    pub bytes: u64,
    /// Of all their names together, which are kept in memory.
    pub name_bytes: usize,
    pub manifest_bytes: u64,
    /// Unpacked bytes per packed byte, once `ratio_from` bytes have come out. Transcripts pack 5 to 50 times smaller.
    pub ratio: u64,
    pub ratio_from: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { files: 50_000, bytes: 64 << 30, name_bytes: 16 << 20, manifest_bytes: 64 << 20, ratio: 1000, ratio_from: 64 << 20 }
    }
}
