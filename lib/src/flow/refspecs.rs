//! Many refs to push, in few words.
//!
//! Git compares each name that it is given with every ref on both sides: a thousand among four thousand take it seconds. A
//! pattern it compares once with each. What must stay true: a pattern covers, of what is there when it is made, exactly what
//! is to be sent. A ref that comes to be below it before Git has read them all goes along.

use std::collections::{BTreeMap, BTreeSet};

use gix::hash::ObjectId;

use crate::git::{self, Git};

/// How many words one start of Git is given: near 20,000 of them Linux refuses to start it.
pub const AT_ONCE: usize = 1000;

/// Fewer names than these are compared in no time.
const MANY: usize = 32;

#[derive(Debug, Clone)]
pub struct Sent {
    pub force: bool,
    /// A ref, or what else Git takes; empty to delete.
    pub from: String,
    /// What is sent, where it is not whatever the ref is by then.
    pub tip: Option<ObjectId>,
    pub to: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    /// Which of those it sends.
    pub of: Vec<usize>,
}

pub fn words(git: &Git, sent: &[Sent]) -> Result<Vec<Word>, git::Error> {
    if sent.len() < MANY {
        return Ok((0..sent.len()).map(|n| alone(sent, n)).collect());
    }
    // By what stands before the last part of both names, where that part is the same.
    let mut groups: BTreeMap<(bool, &str, &str), BTreeMap<&str, usize>> = BTreeMap::new();
    let mut words = Vec::new();
    for (n, one) in sent.iter().enumerate() {
        match (split(&one.from), split(&one.to)) {
            (Some((from, last)), Some((to, same))) if last == same => {
                if groups.entry((one.force, from, to)).or_default().insert(last, n).is_some() {
                    return Ok((0..sent.len()).map(|n| alone(sent, n)).collect());
                }
            }
            _ => words.push(alone(sent, n)),
        }
    }
    for ((force, from, to), wanted) in groups {
        if wanted.len() < MANY {
            words.extend(wanted.into_values().map(|n| alone(sent, n)));
            continue;
        }
        let (mut good, mut other) = (BTreeMap::new(), BTreeSet::new());
        let listed = git.lines(&["for-each-ref", "--format=%(objectname) %(refname)", from])?;
        for (id, rest) in
            listed.iter().filter_map(|line| line.split_once(' ')).filter_map(|(id, name)| Some((id, name.strip_prefix(from)?)))
        {
            let meant = wanted.get(rest).copied();
            let as_meant = |n: &usize| sent[*n].tip.is_none_or(|tip| ObjectId::from_hex(id.as_bytes()).is_ok_and(|id| id == tip));
            if let Some(n) = meant.filter(as_meant) {
                good.insert(rest, n);
            } else {
                other.insert(rest);
            }
        }
        words.extend(wanted.iter().filter(|(rest, _)| !good.contains_key(*rest)).map(|(_, &n)| alone(sent, n)));
        let (good, other): (Vec<(&str, usize)>, Vec<&str>) = (good.into_iter().collect(), other.into_iter().collect());
        let plus = if force { "+" } else { "" };
        cover(&good, &other, 0, &mut |prefix, of| match (prefix, of) {
            (Some(prefix), of) => {
                words.push(Word { text: format!("{plus}{from}{prefix}*:{to}{prefix}*"), of: of.iter().map(|(_, n)| *n).collect() })
            }
            (None, of) => words.extend(of.iter().map(|(_, n)| alone(sent, *n))),
        });
    }
    Ok(words)
}

/// `refs/a/b` is `refs/a/` and `b`; only of plain names, which can be cut anywhere.
fn split(name: &str) -> Option<(&str, &str)> {
    let plain = name.starts_with("refs/") && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.@".contains(&byte));
    plain.then(|| name.rfind('/').map(|at| name.split_at(at + 1))).flatten()
}

fn alone(sent: &[Sent], n: usize) -> Word {
    let Sent { force, from, tip, to } = &sent[n];
    let from = tip.map_or_else(|| from.clone(), |tip| tip.to_string());
    Word { text: format!("{}{from}:{to}", if *force { "+" } else { "" }), of: vec![n] }
}

/// The shortest beginnings that all of the good ones have and none of the others. Both are sorted, and alike in their first
/// `same` bytes. One that is the beginning of another has none of its own.
fn cover<'a>(good: &[(&'a str, usize)], other: &[&str], same: usize, found: &mut impl FnMut(Option<&'a str>, &[(&'a str, usize)])) {
    let Some((first, _)) = good.first() else { return };
    if other.is_empty() {
        return found(first.get(..same), good);
    }
    let at = |name: &str| name.as_bytes().get(same).copied();
    let mut rest = good;
    while let Some((name, _)) = rest.first() {
        let byte = at(name);
        let (these, later) = rest.split_at(rest.partition_point(|(name, _)| at(name) == byte));
        match byte {
            None => found(None, these),
            Some(_) => {
                let from = other.partition_point(|name| at(name) < byte);
                let to = other.partition_point(|name| at(name) <= byte);
                cover(these, &other[from..to], same + 1, found);
            }
        }
        rest = later;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(good: &[&str], other: &[&str]) -> Vec<String> {
        let good: Vec<(&str, usize)> = good.iter().enumerate().map(|(n, name)| (*name, n)).collect();
        let mut found = Vec::new();
        cover(&good, other, 0, &mut |prefix, of| found.extend(prefix.map(|prefix| format!("{prefix}*")).or(Some(of[0].0.to_owned()))));
        found
    }

    #[test]
    fn beginnings_are_as_short_as_the_others_let_them_be() {
        assert_eq!(covered(&["aa", "ab", "b"], &[]), ["*"]);
        assert_eq!(covered(&["aa", "ab", "b"], &["c"]), ["a*", "b*"]);
        assert_eq!(covered(&["aa", "ab", "ba"], &["ac", "bb"]), ["aa*", "ab*", "ba*"]);
        assert_eq!(covered(&["a", "ab"], &["ac", "x"]), ["a", "ab*"]);
        assert_eq!(covered(&["a"], &["a/b"]), ["a"]);
        assert_eq!(covered(&[], &["a"]), Vec::<String>::new());
    }

    #[test]
    fn no_beginning_has_one_that_is_not_meant_and_each_that_is_has_one() {
        let names: Vec<String> = (0..400u64).map(|n| format!("{:05x}", n.wrapping_mul(2_654_435_761) % 1_048_576)).collect();
        for step in [2, 3, 7, 100, 399] {
            let (mut good, mut other): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
            for (n, name) in names.iter().enumerate() {
                if n % step == 0 { other.push(name) } else { good.push(name) }
            }
            good.sort_unstable();
            other.sort_unstable();
            let found = covered(&good, &other);
            let has = |name: &str| found.iter().filter(|beginning| name.starts_with(beginning.trim_end_matches('*'))).count();
            assert!(good.iter().all(|name| has(name) == 1) && other.iter().all(|name| has(name) == 0), "{step}");
        }
    }
}
