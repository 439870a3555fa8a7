//! Fake secrets are made here, when they are needed: none is written down whole, or forges would refuse to take them.

use super::*;

/// Enough chance for a test, and the same every time.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn of(&mut self, class: &str) -> u8 {
        let letters: &[u8] = match class {
            "h" => b"0123456789abcdef",
            "u" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
            "l" => b"abcdefghijklmnopqrstuvwxyz0123456789",
            "b" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
            "w" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-",
            "d" => b"0123456789",
            "A" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            "B" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
            "X" => b"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
            _ => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        };
        letters[self.next() as usize % letters.len()]
    }

    /// An example of the rules, with its random parts.
    pub fn fill(&mut self, example: &str) -> String {
        let mut filled = String::new();
        let mut rest = example;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(&before.replace('|', "\n"));
            let made = after.split_once('}').and_then(|(inside, left)| {
                let (class, n) = inside.split_once(':')?;
                let n: usize = n.parse().ok().filter(|_| class.len() == 1)?;
                Some(((0..n).map(|_| char::from(self.of(class))).collect::<String>(), left))
            });
            match made {
                Some((made, left)) => {
                    filled.push_str(&made);
                    rest = left;
                }
                None => {
                    filled.push('{');
                    rest = after;
                }
            }
        }
        filled + &rest.replace('|', "\n")
    }
}

fn scan(pieces: &[&[u8]]) -> Vec<Match> {
    let (mut stream, mut found) = (Stream::default(), Vec::new());
    pieces.iter().for_each(|piece| stream.push(piece, &mut found));
    stream.finish(&mut found);
    found
}

fn names(found: &[Match]) -> Vec<&'static str> {
    found.iter().map(|found| rules().all[found.rule].name).collect()
}

#[test]
fn every_rule_finds_its_examples_and_not_its_counterexamples() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for rule in &rules().all {
        assert!(rule.regex().is_some(), "{}: no regex", rule.name);
        assert!(!rule.yes.is_empty() && !rule.no.is_empty(), "{} has no examples", rule.name);
        for (yes, examples) in [(true, &rule.yes), (false, &rule.no)] {
            for example in examples.iter() {
                for _ in 0..5 {
                    let text = chance.fill(example);
                    let found = names(&scan(&[text.as_bytes()]));
                    assert_eq!(found.contains(&rule.name), yes, "{}: {example}: {text}: {found:?}", rule.name);
                }
            }
        }
    }
}
