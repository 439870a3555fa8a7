//! Content-defined chunking: a stream is cut where its own bytes say so, so that what did not change is cut as before.
//!
//! The gear table comes from a secret seed of the session: with a public one the lengths of chunks would give away known
//! text inside. What must stay true: the same bytes after a cut are cut the same way, whatever stood before it.

use sha2::{Digest, Sha256};

/// See ARCHITECTURE.md for what other sizes cost.
pub const MIN: usize = 32 << 10;
pub const MAX: usize = 1 << 20;
/// One cut in this many bytes on average, beyond the minimum.
const MASK_BITS: u32 = 17;

pub struct Gear {
    table: [u64; 256],
}

impl Gear {
    pub fn new(seed: &[u8; 32]) -> Gear {
        let mut table = [0; 256];
        for (n, slot) in table.iter_mut().enumerate() {
            let hash = Sha256::new().chain_update(b"samesession/gear/1").chain_update(seed).chain_update([n as u8]).finalize();
            let mut first = [0; 8];
            first.copy_from_slice(&hash[..8]);
            *slot = u64::from_be_bytes(first);
        }
        Gear { table }
    }

    /// The length of the first chunk of `bytes`; `None` if its end may lie beyond them.
    pub fn cut(&self, bytes: &[u8], last: bool) -> Option<usize> {
        let most = bytes.len().min(MAX);
        // The high bits depend on the most bytes back.
        let mask = u64::MAX << (64 - MASK_BITS);
        let mut hash = 0u64;
        // The window is 64 bytes: whatever stands before it is shifted out.
        for (at, &byte) in bytes.iter().enumerate().take(most).skip(MIN.saturating_sub(64)) {
            hash = (hash << 1).wrapping_add(self.table[byte as usize]);
            if at + 1 >= MIN && hash & mask == 0 {
                return Some(at + 1);
            }
        }
        (last || most == MAX).then_some(most).filter(|&len| len > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, mut state: u64) -> Vec<u8> {
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..len).map(|_| next()).collect()
    }

    fn lengths(gear: &Gear, mut bytes: &[u8]) -> Vec<usize> {
        let mut all = Vec::new();
        while let Some(len) = gear.cut(bytes, true) {
            all.push(len);
            bytes = &bytes[len..];
        }
        all
    }

    #[test]
    fn appended_bytes_move_no_cut_but_the_last() {
        let gear = Gear::new(&[7; 32]);
        let before = noise(8 << 20, 1);
        let after = [before.clone(), noise(20_000, 2)].concat();
        let (a, b) = (lengths(&gear, &before), lengths(&gear, &after));
        assert_eq!(a[..a.len() - 1], b[..a.len() - 1]);
        assert_eq!(b.iter().sum::<usize>(), after.len());
        assert!(a.iter().all(|&len| len <= MAX) && a[..a.len() - 1].iter().all(|&len| len >= MIN), "{a:?}");
        let average = before.len() / a.len();
        assert!((100_000..260_000).contains(&average), "{average}");
    }

    #[test]
    fn inserted_bytes_move_only_the_cuts_around_them() {
        let gear = Gear::new(&[7; 32]);
        let before = noise(8 << 20, 3);
        let after = [&before[..3 << 20], b"something new", &before[3 << 20..]].concat();
        let (a, b) = (lengths(&gear, &before), lengths(&gear, &after));
        let same = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
        assert!(same > a.len() / 2, "{same} of {}", a.len());
    }

    #[test]
    fn another_seed_cuts_elsewhere_and_a_stream_is_cut_as_it_comes() {
        let bytes = noise(4 << 20, 5);
        assert_ne!(lengths(&Gear::new(&[1; 32]), &bytes), lengths(&Gear::new(&[2; 32]), &bytes));
        let gear = Gear::new(&[1; 32]);
        let first = gear.cut(&bytes, false).expect("long enough");
        // With less of the stream at hand the answer is "not yet" or the same.
        for len in [MIN, first - 1, first, first + 1000] {
            let early = gear.cut(&bytes[..len], false);
            assert!(early.is_none() && len < first || early == Some(first), "{len}: {early:?} of {first}");
        }
        assert_eq!(gear.cut(b"", true), None);
        assert_eq!(gear.cut(b"x", true), Some(1));
    }
}
