//! Content-defined chunking: a stream is cut where its own bytes say so, so that what did not change is cut as before.
//!
//! The gear table comes from a secret seed of the session: with a public one the lengths of chunks would give away known
//! text inside. What must stay true: the same bytes after a cut are cut the same way, whatever stood before it.

use sha2::{Digest, Sha256};

/// How long chunks are. See ARCHITECTURE.md for what other sizes cost.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub min: usize,
    pub max: usize,
    /// One cut in so many bytes on average beyond the minimum, as a power of two.
    pub bits: u32,
}

/// Long enough to pack well without knowing the others.
pub const PARTS: Sizes = Sizes { min: 1 << 20, max: 2 << 20, bits: 19 };
/// At a file's beginning: what it consists of becomes the dictionary, which is best short.
pub const FIRST: Sizes = Sizes { min: 128 << 10, max: 512 << 10, bits: 17 };
/// The longest that is read; what was made before is as long.
pub const MAX: usize = 4 << 20;
/// So many bytes decide about a cut: what stands before them is shifted out of the hash.
const WINDOW: usize = 64;
/// So many runs of so many bytes are looked at together.
const LANES: usize = 4;
const RUN: usize = 2 << 10;

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

    /// The length of the first chunk of `bytes`; `None` if its end may lie beyond them. `looked` says how many of them were
    /// looked at in vain before.
    pub fn cut(&self, sizes: &Sizes, bytes: &[u8], looked: usize, last: bool) -> Option<usize> {
        let most = bytes.len().min(sizes.max);
        let least = sizes.min.max(looked + 1);
        let cut = (most >= least).then(|| self.first(bytes, least - 1, most, 1 << (64 - sizes.bits))).flatten();
        cut.or((last || most == sizes.max).then_some(most).filter(|&len| len > 0))
    }

    /// Where the first byte of this range ends whose hash, which the bytes before it decide about, is below the limit.
    /// The high bits of a hash depend on the most bytes back.
    fn first(&self, bytes: &[u8], from: usize, until: usize, below: u64) -> Option<usize> {
        let mut at = from;
        while until - at >= LANES * RUN {
            let mut runs = [(0, u64::MAX); LANES];
            for (lane, (hash, _)) in runs.iter_mut().enumerate() {
                *hash = self.before(bytes, at + lane * RUN);
            }
            // Each byte's hash waits for the last one's, so several runs together take the time of one.
            let (lanes, _) = bytes[at..].as_chunks::<RUN>();
            (0..RUN).for_each(|n| {
                for (lane, (hash, lowest)) in runs.iter_mut().enumerate() {
                    *hash = self.next(*hash, lanes[lane][n]);
                    *lowest = (*lowest).min(*hash);
                }
            });
            if runs.iter().any(|(_, lowest)| *lowest < below) {
                break;
            }
            at += LANES * RUN;
        }
        let mut hash = self.before(bytes, at);
        bytes[at..until].iter().zip(at + 1..).find_map(|(byte, end)| {
            hash = self.next(hash, *byte);
            (hash < below).then_some(end)
        })
    }

    fn before(&self, bytes: &[u8], at: usize) -> u64 {
        bytes[at + 1 - WINDOW..at].iter().fold(0, |hash, byte| self.next(hash, *byte))
    }

    fn next(&self, hash: u64, byte: u8) -> u64 {
        (hash << 1).wrapping_add(self.table[usize::from(byte)])
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
        while let Some(len) = gear.cut(&PARTS, bytes, 0, true) {
            all.push(len);
            bytes = &bytes[len..];
        }
        all
    }

    #[test]
    fn appended_bytes_move_no_cut_but_the_last() {
        let gear = Gear::new(&[7; 32]);
        let before = noise(32 << 20, 1);
        let after = [before.clone(), noise(20_000, 2)].concat();
        let (a, b) = (lengths(&gear, &before), lengths(&gear, &after));
        assert_eq!(a[..a.len() - 1], b[..a.len() - 1]);
        assert_eq!(b.iter().sum::<usize>(), after.len());
        assert!(a.iter().all(|&len| len <= PARTS.max) && a[..a.len() - 1].iter().all(|&len| len >= PARTS.min), "{a:?}");
        let average = before.len() / a.len();
        assert!((1_200_000..3_200_000).contains(&average), "{average}");
    }

    #[test]
    fn inserted_bytes_move_only_the_cuts_around_them() {
        let gear = Gear::new(&[7; 32]);
        let before = noise(32 << 20, 3);
        let after = [&before[..9 << 20], b"something new", &before[9 << 20..]].concat();
        let (a, b) = (lengths(&gear, &before), lengths(&gear, &after));
        let same = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
        assert!(same > a.len() / 2, "{same} of {}", a.len());
    }

    #[test]
    fn another_seed_cuts_elsewhere_and_a_stream_is_cut_as_it_comes() {
        let bytes = noise(16 << 20, 5);
        assert_ne!(lengths(&Gear::new(&[1; 32]), &bytes), lengths(&Gear::new(&[2; 32]), &bytes));
        let gear = Gear::new(&[1; 32]);
        let first = gear.cut(&PARTS, &bytes, 0, false).expect("long enough");
        // With less of the stream at hand the answer is "not yet" or the same.
        for len in [PARTS.min, first - 1, first, first + 1000] {
            let early = gear.cut(&PARTS, &bytes[..len], 0, false);
            assert!(early.is_none() && len < first || early == Some(first), "{len}: {early:?} of {first}");
            if early.is_none() {
                assert_eq!(gear.cut(&PARTS, &bytes, len, false), Some(first), "it goes on where it left off");
            }
        }
        assert_eq!(gear.cut(&PARTS, b"", 0, true), None);
        assert_eq!(gear.cut(&PARTS, b"x", 0, true), Some(1));
    }

    #[test]
    fn runs_that_are_looked_at_together_give_what_one_gives() {
        let gear = Gear::new(&[3; 32]);
        let bytes = noise(600_000, 11);
        for bits in [8, 12, 16, 40] {
            let below = 1 << (64 - bits);
            for (from, until) in [(WINDOW, 70_000), (1000, 1000 + LANES * RUN), (5001, 5000 + LANES * RUN), (77, 600_000), (300, 301)] {
                let mut hash = 0;
                let hashes = bytes[from + 1 - WINDOW..until].iter().map(|byte| {
                    hash = gear.next(hash, *byte);
                    hash
                });
                let one = hashes.skip(WINDOW - 1).zip(from + 1..).find(|(hash, _)| *hash < below).map(|(_, end)| end);
                assert_eq!(gear.first(&bytes, from, until, below), one, "{bits} {from} {until}");
            }
        }
    }
}
