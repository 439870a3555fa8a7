//! The rules, read from `rules.txt`; which words begin a secret, and what must follow.
//!
//! What must stay true: everything is looked for from its first word on, so that the text before a word is never searched
//! and the cost of a rule is that of finding its words.

use std::sync::{LazyLock, OnceLock};

use regex_automata::meta::Regex;
use regex_automata::util::syntax;

use super::Confidence;
use super::words::Words;

const TEXT: &str = include_str!("rules.txt");
/// How far a secret is looked for, unless its rule says more.
const REACH: usize = 640;
/// The longest reach of all.
pub const FARTHEST: usize = 12288;
/// Escaped characters that may hide a word: printable ASCII.
const ESCAPES: [&str; 6] = ["\\u002", "\\u003", "\\u004", "\\u005", "\\u006", "\\u007"];

#[derive(Debug)]
pub struct Rule {
    pub name: &'static str,
    pub confidence: Confidence,
    pub what: &'static str,
    pub keys: Vec<String>,
    /// It may begin in the middle of a word.
    pub inside: Vec<bool>,
    pub entropy: f64,
    pub reach: usize,
    pub yes: Vec<&'static str>,
    pub no: Vec<&'static str>,
    pattern: &'static str,
    regex: OnceLock<Option<Regex>>,
}

impl Rule {
    /// Made when it is first needed: most never are.
    pub fn regex(&self) -> Option<&Regex> {
        let make = || {
            let syntax = syntax::Config::new().unicode(false).utf8(false);
            let config = Regex::config().utf8_empty(false).hybrid_cache_capacity(1 << 20);
            Regex::builder().syntax(syntax).configure(config).build(self.pattern).ok()
        };
        self.regex.get_or_init(make).as_ref()
    }
}

pub struct Rules {
    pub all: Vec<Rule>,
    pub words: Words,
    /// For each word, the rules it may begin, and which of their keys it is; none for an escape.
    owners: Vec<Vec<(usize, usize)>>,
}

/// A word that stands somewhere.
pub struct Hit<'a> {
    pub at: usize,
    pub end: usize,
    /// Empty for an escaped character.
    pub rules: &'a [(usize, usize)],
}

pub fn rules() -> &'static Rules {
    static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::parse(TEXT));
    &RULES
}

impl Rules {
    /// Every word, also one that begins within another.
    pub fn hits<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Hit<'a>> {
        self.words.find(text).map(|found| Hit { at: found.at, end: found.end, rules: &self.owners[found.word] })
    }

    fn parse(text: &'static str) -> Rules {
        let mut all: Vec<Rule> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some((name, rest)) = line.strip_prefix('[').and_then(|line| line.split_once(']')) {
                let (confidence, what) = rest.trim().split_once(' ').unwrap_or((rest, ""));
                let confidence = if confidence == "high" { Confidence::High } else { Confidence::Low };
                all.push(Rule::named(name, confidence, what));
            } else if let (Some(rule), Some((word, rest))) = (all.last_mut(), line.split_once(' ')) {
                rule.take(word, rest);
            }
        }
        let mut keys: Vec<String> = Vec::new();
        let mut owners: Vec<Vec<(usize, usize)>> = Vec::new();
        for (n, rule) in all.iter().enumerate() {
            for (k, key) in rule.keys.iter().enumerate() {
                let at = keys.iter().position(|known| known == key).unwrap_or_else(|| {
                    keys.push(key.clone());
                    owners.push(Vec::new());
                    keys.len() - 1
                });
                owners[at].push((n, k));
            }
        }
        for escape in ESCAPES {
            keys.push(escape.to_owned());
            owners.push(Vec::new());
        }
        Rules { all, words: Words::of(&keys), owners }
    }
}

impl Rule {
    fn named(name: &'static str, confidence: Confidence, what: &'static str) -> Rule {
        let (keys, inside, yes, no) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Rule { name, confidence, what, keys, inside, entropy: 0.0, reach: REACH, yes, no, pattern: "", regex: OnceLock::new() }
    }

    fn take(&mut self, word: &str, rest: &'static str) {
        match word {
            "key" => {
                for key in rest.split(' ') {
                    self.key(key.to_owned(), !key.starts_with(|c: char| c.is_ascii_alphabetic()));
                }
            }
            "word" => {
                for word in rest.split(' ') {
                    let mut title = word.to_owned();
                    title[..1].make_ascii_uppercase();
                    for form in [word.to_owned(), word.to_ascii_uppercase(), title] {
                        self.key(form, true);
                    }
                }
            }
            "find" => self.pattern = rest,
            "entropy" => self.entropy = rest.parse().unwrap_or(0.0),
            "reach" => self.reach = rest.parse().unwrap_or(REACH).min(FARTHEST),
            "yes" => self.yes.push(rest),
            "no" => self.no.push(rest),
            _ => {}
        }
    }

    fn key(&mut self, key: String, inside: bool) {
        if !self.keys.contains(&key) {
            self.keys.push(key);
            self.inside.push(inside);
        }
    }
}
