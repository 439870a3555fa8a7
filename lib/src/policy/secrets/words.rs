//! Where words stand in a text: two bytes at a time, most of which no word has.
//!
//! Wherever a word stands, one of its pairs of bytes begins at an even place; by that pair and the next one it is noticed, and
//! then looked at. What must stay true: what is found is every word, also one within another, in the order of their ends, and
//! of those that end together the longest first.

/// Looked at before what was found is put in order.
const BLOCK: usize = 4 << 10;
/// So many bytes are looked at before any of them is looked at closely.
const AT_ONCE: usize = 8;
/// Words are noticed in so many groups: half of a number's bits.
const GROUPS: usize = 16;
const ANY: u32 = (1 << GROUPS) - 1;

pub struct Words {
    words: Vec<Vec<u8>>,
    /// For each pair of bytes the groups that have a word which is noticed by it, and above these the groups that have one
    /// which is noticed by this pair behind another.
    groups: Box<[u32; 1 << 16]>,
    /// For each pair the number of the list of words that are noticed by it; 0 where there is none.
    listed: Box<[u16; 1 << 16]>,
    /// The same of words that begin with it, and are noticed by any pair that ends as it begins.
    begun: Box<[u16; 1 << 16]>,
    lists: Vec<Vec<Spot>>,
    /// How often the pairs of each group stand in texts, the first ones and the second ones.
    weights: [(u64, u64); GROUPS],
}

/// A word, and where it begins if a pair of its bytes stands somewhere.
struct Spot {
    word: usize,
    /// So many bytes before the pair; -1 where the pair ends with its first byte.
    before: isize,
    /// Its first bytes, and which bits of eight bytes they are.
    first: u64,
    mask: u64,
}

/// A word that stands somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub at: usize,
    pub end: usize,
    pub word: usize,
}

/// Two neighbouring bytes; none where it is not a word's own.
type Pair = [Option<u8>; 2];

impl Words {
    /// Of two bytes at least each, and each once.
    pub fn of(words: &[String]) -> Words {
        let mut all = Words {
            words: words.iter().map(|word| word.as_bytes().to_vec()).collect(),
            groups: Box::new([0; 1 << 16]),
            listed: Box::new([0; 1 << 16]),
            lists: vec![Vec::new()],
            begun: Box::new([0; 1 << 16]),
            weights: [(0, 0); GROUPS],
        };
        for (word, bytes) in words.iter().enumerate() {
            // Where it begins at an even place, and where it does not.
            for first in [0, -1] {
                let last = bytes.len() as isize - 2;
                let pairs = |&before: &isize| [before, before + 2].map(|at| [at, at + 1].map(|at| all.byte(word, at)));
                let best = (first..=last).step_by(2).min_by_key(|before| pairs(before).iter().map(common).product::<u64>());
                if let Some((before, [one, next])) = best.map(|best| (best, pairs(&best))) {
                    all.notice(word, before, one, next);
                }
            }
        }
        all
    }

    fn byte(&self, word: usize, at: isize) -> Option<u8> {
        usize::try_from(at).ok().and_then(|at| self.words[word].get(at)).copied()
    }

    fn notice(&mut self, word: usize, before: isize, one: Pair, next: Pair) {
        let bytes = &self.words[word];
        // Where the fewest texts that are no word's are noticed for it.
        let (a, b) = (common(&one), common(&next));
        let more = |(ones, nexts): &(u64, u64)| (ones + a) * (nexts + b) - ones * nexts;
        let best = self.weights.iter().enumerate().min_by_key(|(_, weights)| more(weights)).map_or(0, |(n, _)| n);
        self.weights[best] = (self.weights[best].0 + a, self.weights[best].1 + b);
        let group: u32 = 1 << best;
        every(one).for_each(|pair| self.groups[pair] |= group);
        every(next).for_each(|pair| self.groups[pair] |= group << GROUPS);
        let spot = Spot::of(word, before, bytes);
        let (table, pair) = match before {
            0.. => (&mut self.listed, every(one).next().unwrap_or_default()),
            _ => (&mut self.begun, number([bytes[0], bytes[1]])),
        };
        if table[pair] == 0 {
            table[pair] = self.lists.len() as u16;
            self.lists.push(Vec::new());
        }
        self.lists[usize::from(table[pair])].push(spot);
    }

    #[cfg(test)]
    pub fn all(&self) -> Vec<String> {
        self.words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    pub fn find<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Found> + 'a {
        Finding { words: self, text, at: 0, ready: Vec::new() }
    }

    /// Looks at the pairs from here on, which is an even place, the one before it included and the last one not, unless the
    /// text ends here.
    fn scan(&self, text: &[u8], from: usize, until: usize, found: &mut Vec<Found>) {
        let groups = |pair: &[u8; 2]| self.groups[number(*pair)];
        let noticed = |one: u32, next: u32| one & next >> GROUPS;
        let mut last = if from == 0 { 0 } else { groups(&[text[from - 2], text[from - 1]]) };
        let (blocks, rest) = text[from..until].as_chunks::<AT_ONCE>();
        for (block, begin) in blocks.iter().zip((from..).step_by(AT_ONCE)) {
            let mut known = [last; AT_ONCE / 2 + 1];
            let mut any = 0;
            for (n, pair) in block.as_chunks::<2>().0.iter().enumerate() {
                known[n + 1] = groups(pair);
                any |= noticed(known[n], known[n + 1]);
            }
            last = known[AT_ONCE / 2];
            if any & ANY != 0 {
                for n in (0..AT_ONCE / 2).filter(|n| noticed(known[*n], known[n + 1]) & ANY != 0) {
                    self.look(text, begin + 2 * n - 2, found);
                }
            }
        }
        let begin = until - rest.len();
        for (pair, at) in rest.as_chunks::<2>().0.iter().zip((begin..).step_by(2)) {
            let next = groups(pair);
            if noticed(last, next) & ANY != 0 {
                self.look(text, at - 2, found);
            }
            last = next;
        }
        // Behind the end there may be anything.
        if until == text.len() && until > 1 {
            self.look(text, (until & !1) - 2, found);
        }
    }

    /// The words that are noticed by the pair here, if they stand here.
    fn look(&self, text: &[u8], pair: usize, found: &mut Vec<Found>) {
        let (one, two) = (text[pair], text[pair + 1]);
        let begun = text.get(pair + 2).map_or(0, |three| self.begun[number([two, *three])]);
        for list in [self.listed[number([one, two])], begun] {
            for spot in &self.lists[usize::from(list)] {
                self.compare(text, pair, spot, found);
            }
        }
    }

    fn compare(&self, text: &[u8], pair: usize, spot: &Spot, found: &mut Vec<Found>) {
        let Some(at) = pair.checked_add_signed(-spot.before) else { return };
        let here = text.get(at..at + 8).and_then(|here| here.try_into().ok()).map(u64::from_le_bytes);
        if here.is_some_and(|here| here & spot.mask != spot.first) {
            return;
        }
        let word = &self.words[spot.word];
        if text.get(at..at + word.len()) == Some(word) {
            found.push(Found { at, end: at + word.len(), word: spot.word });
        }
    }
}

impl Spot {
    fn of(word: usize, before: isize, bytes: &[u8]) -> Spot {
        let (mut first, mut mask) = ([0; 8], [0; 8]);
        let len = bytes.len().min(8);
        first[..len].copy_from_slice(&bytes[..len]);
        mask[..len].fill(u8::MAX);
        Spot { word, before, first: u64::from_le_bytes(first), mask: u64::from_le_bytes(mask) }
    }
}

fn number(pair: [u8; 2]) -> usize {
    usize::from(u16::from_le_bytes(pair))
}

/// The numbers of all pairs that are like this one.
fn every(pair: Pair) -> impl Iterator<Item = usize> {
    let range = |byte: Option<u8>| byte.map_or(0..=u8::MAX, |byte| byte..=byte);
    range(pair[0]).flat_map(move |one| range(pair[1]).map(move |two| number([one, two])))
}

struct Finding<'a> {
    words: &'a Words,
    text: &'a [u8],
    /// Pairs before it were looked at.
    at: usize,
    /// What was found, the next one last.
    ready: Vec<Found>,
}

impl Iterator for Finding<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let all = self.at == self.text.len();
            // Whatever is found from here on ends here or later.
            if let Some(next) = self.ready.pop_if(|next| all || next.end < self.at) {
                return Some(next);
            }
            if all {
                return None;
            }
            let until = self.text.len().min(self.at + BLOCK);
            let held = self.ready.len();
            self.words.scan(self.text, self.at, until, &mut self.ready);
            self.at = until;
            if self.ready.len() > held {
                self.ready.sort_unstable_by_key(|found| std::cmp::Reverse((found.end, found.at)));
            }
        }
    }
}

/// The pairs that stand most often in what agents write, the first ones first.
const COMMON: &[u8] = b"00esreinontherheseitteenstdeanntatormetolendedischsiiocohassnetipetaeaalasroomargemaecusveaangidutouolem\
    acilfietriddnspaamyprakeadtstrelcenotypuotlaagexliho::befollsacaaiwh-0rsptmooolohiuref20ulginancopdiap0-04odlsepowunfaue\
    ck-4ctxteeofcrmprymie.rtoksuimpouishwi-2evmmirscdsReprsobaicwot.//t_ien-e-e_d.s.dad-a-";

/// About how often a pair stands there; any pair would be 15,000.
fn common(pair: &Pair) -> u64 {
    match *pair {
        [Some(one), Some(two)] => match COMMON.as_chunks::<2>().0.iter().position(|known| *known == [one, two]) {
            Some(rank) => 1000 / (rank as u64 + 8),
            None if one.is_ascii_lowercase() && two.is_ascii_lowercase() => 3,
            None => 1,
        },
        [Some(byte), None] | [None, Some(byte)] if byte.is_ascii_lowercase() => 400,
        [Some(_), None] | [None, Some(_)] => 100,
        [None, None] => 15_000,
    }
}

#[cfg(test)]
mod tests {
    use aho_corasick::AhoCorasick;

    use super::super::rules::rules;
    use super::super::tests::Chance;
    use super::*;

    fn by_automaton(automaton: &AhoCorasick, text: &[u8]) -> Vec<Found> {
        let all = automaton.find_overlapping_iter(text);
        all.map(|found| Found { at: found.start(), end: found.end(), word: found.pattern().as_usize() }).collect()
    }

    /// Texts of words and parts of words, one in another, beside what is between them.
    fn text(words: &[String], chance: &mut Chance) -> Vec<u8> {
        let mut text = Vec::new();
        let mut number = |most: usize| chance.next() as usize % most;
        for _ in 0..number(60) {
            let word = words[number(words.len())].as_bytes();
            match number(8) {
                0..3 => text.extend_from_slice(word),
                3 => text.extend_from_slice(&word[number(word.len())..]),
                4 => text.extend_from_slice(&word[..number(word.len())]),
                5 => text.extend((0..number(20)).map(|_| number(256) as u8)),
                6 => text.extend(word[..1].repeat(number(12))),
                _ => text.truncate(text.len() - number(4).min(text.len())),
            }
        }
        text
    }

    #[test]
    fn what_is_found_is_what_an_automaton_finds() {
        let mut chance = Chance(29);
        let few: Vec<String> = ["ab", "aab", "abcab", "bca", "ca", "aaaa", "aaaaaaaaaaa"].map(str::to_owned).to_vec();
        let many: Vec<String> = (0..900).map(|n: u32| format!("{}{:x}", ["k", "_", "zz"][n as usize % 3], n * 0x9e37)).collect();
        for words in [rules().words.all(), few, many] {
            let (ours, automaton) = (Words::of(&words), AhoCorasick::new(&words).expect("an automaton"));
            for round in 0..600 {
                let mut text = text(&words, &mut chance);
                if round % 50 == 0 {
                    // Across blocks, too.
                    let all = text.iter().copied().cycle().take(text.len() * 200).collect();
                    text = all;
                }
                let found: Vec<Found> = ours.find(&text).collect();
                assert_eq!(found, by_automaton(&automaton, &text), "{}", String::from_utf8_lossy(&text));
            }
        }
    }

    #[test]
    fn every_word_of_the_rules_is_long_enough_to_be_noticed_and_short_enough_to_end_nearby() {
        assert!(rules().words.all().iter().all(|word| (2..=super::super::stream::WORD).contains(&word.len())));
    }
}
