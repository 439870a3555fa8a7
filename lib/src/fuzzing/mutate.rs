//! Genuine bytes made wrong, the same way for the same seed. Knows no format, and nothing of this crate.

/// xorshift64*.
#[derive(Debug, Clone)]
pub struct Random(u64);

/// What programs stumble over.
const WORDS: &[&[u8]] = &[
    b"18446744073709551615",
    b"18446744073709551616",
    b"9223372036854775807",
    b"-1",
    b"4294967296",
    b"1e999",
    b"0",
    b"\"\"",
    b"null",
    b"[]",
    b"{}",
    b"[[[[[[[[",
    b"{\"a\":",
    b"\\u0000",
    b"\\ud800",
    b"\0",
    b"\n",
    b"\r\n",
    b"..",
    b"../",
    b"/",
    b"-",
    b"%",
    b"%00",
    b"\xff\xfe",
    b"\xe2\x80\xae",
    b"9999-12-31T23:59:59.999Z",
    b"0000-00-00T00:00:00Z",
];

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// Below `end`, which is 1 at least.
    pub fn below(&mut self, end: usize) -> usize {
        (self.draw() % end.max(1) as u64) as usize
    }

    fn range(&mut self, len: usize, most: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        start..start + self.below((len - start).min(most) + 1)
    }
}

/// One of these, changed in some places; now and then put together of two.
pub fn mutate(random: &mut Random, seeds: &[Vec<u8>], most: usize) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    // Behind the beginning of a long one nothing new comes.
    if bytes.len() > 2048 && random.below(3) > 0 {
        let keep = random.range(bytes.len(), bytes.len());
        bytes = bytes[keep].to_vec();
    }
    for _ in 0..=random.below(6) {
        once(random, &mut bytes, seeds);
    }
    bytes.truncate(most);
    bytes
}

fn once(random: &mut Random, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = random.below(bytes.len() + 1);
    match random.below(12) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        1 if at < bytes.len() => bytes[at] = random.draw() as u8,
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(random.range(bytes.len(), 64))),
        4 | 5 => {
            let word = WORDS[random.below(WORDS.len())];
            bytes.splice(at..at, word.iter().copied());
        }
        // In the place of a number.
        6 | 7 => {
            let start = bytes[at..].iter().position(u8::is_ascii_digit).map_or(bytes.len(), |start| at + start);
            let len = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let word = WORDS[random.below(8)];
            bytes.splice(start..start + len, word.iter().copied());
        }
        8 => {
            let part = bytes[random.range(bytes.len(), 512)].to_vec();
            bytes.splice(at..at, part.repeat(1 + random.below(8)));
        }
        9 => {
            let other = &seeds[random.below(seeds.len())];
            let part = other[random.range(other.len(), 512)].to_vec();
            bytes.splice(at..at, part);
        }
        10 => {
            let other = &seeds[random.below(seeds.len())];
            bytes.truncate(at);
            bytes.extend_from_slice(&other[random.below(other.len() + 1)..]);
        }
        _ => {
            let word = WORDS[random.below(WORDS.len())];
            bytes.splice(at..at, word.repeat(1 + random.below(300)));
        }
    }
}
