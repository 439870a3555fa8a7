//! Todo lines, from text and to text. Abbreviated verbs and commits are written out in full.

use std::collections::{BTreeMap, BTreeSet};

use super::{Message, Source, Target, Todo, Verb};
use crate::workspace::model::Oid;
use crate::workspace::name::Name;

/// What the words of a list mean.
pub struct Words<'a> {
    /// Hexadecimal words, abbreviated or not.
    pub commits: &'a BTreeMap<Vec<u8>, Oid>,
    pub labels: &'a BTreeSet<Vec<u8>>,
}

const VERBS: &[(&str, &str)] = &[
    ("pick", "p"),
    ("revert", ""),
    ("reword", "r"),
    ("edit", "e"),
    ("squash", "s"),
    ("fixup", "f"),
    ("drop", "d"),
    ("merge", "m"),
    ("label", "l"),
    ("reset", "t"),
    ("exec", "x"),
    ("update-ref", "u"),
    ("break", "b"),
    ("noop", ""),
];

/// The lines that say something, with their numbers.
pub fn lines<'a>(list: &'a [u8], comment: &'a [u8]) -> impl Iterator<Item = (usize, &'a [u8])> {
    let lines = list.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    lines.filter(move |(_, line)| !line.is_empty() && !line.starts_with(b"#") && !line.starts_with(comment)).map(|(n, line)| (n + 1, line))
}

/// The labels that a list sets.
pub fn labels(list: &[u8], comment: &[u8]) -> BTreeSet<Vec<u8>> {
    let apart = lines(list, comment).map(|(_, line)| word(line));
    apart.filter(|(verb, _)| matches!(*verb, b"label" | b"l")).map(|(_, label)| label.to_vec()).collect()
}

/// All lines, or the number of the first one that makes no sense.
pub fn parse(list: &[u8], comment: &[u8], words: &Words<'_>) -> Result<Vec<Todo>, usize> {
    lines(list, comment).map(|(number, line)| Todo::parse(line, words).ok_or(number)).collect()
}

impl Todo {
    fn parse(line: &[u8], words: &Words<'_>) -> Option<Todo> {
        let (first, rest) = word(line);
        let (verb, _) = VERBS.iter().find(|(long, short)| first == long.as_bytes() || (first.len() == 1 && first == short.as_bytes()))?;
        let commit = |verb| {
            let (message, rest) = message(rest);
            let (oid, text) = word(rest);
            if message.is_some() && verb != Verb::Fixup {
                return None;
            }
            Some(Todo::Commit { verb, message, commit: *words.commits.get(oid)?, text: Name::new(text) })
        };
        match *verb {
            "pick" => commit(Verb::Pick),
            "revert" => commit(Verb::Revert),
            "reword" => commit(Verb::Reword),
            "edit" => commit(Verb::Edit),
            "squash" => commit(Verb::Squash),
            "fixup" => commit(Verb::Fixup),
            "drop" => commit(Verb::Drop),
            "merge" => Todo::merge(rest, words),
            "label" => Some(Todo::Label { label: Name::new(rest) }),
            "reset" => match rest.strip_prefix(b"[new root]") {
                Some(text) => Some(Todo::Reset { to: Target::Root, text: Name::new(text.trim_ascii_start()) }),
                None => {
                    let (to, text) = word(rest);
                    Some(Todo::Reset { to: words.target(to)?, text: Name::new(text) })
                }
            },
            "exec" => (!rest.is_empty()).then(|| Todo::Exec { command: Name::new(rest) }),
            "update-ref" => Some(Todo::UpdateRef { name: Name::new(rest) }),
            "break" => rest.is_empty().then_some(Todo::Break),
            _ => Some(Todo::Noop),
        }
    }

    fn merge(rest: &[u8], words: &Words<'_>) -> Option<Todo> {
        let (message, mut rest) = message(rest);
        let mut source = None;
        if let Some(message) = message {
            let (oid, after) = word(rest);
            source = Some(Source { message, commit: *words.commits.get(oid)? });
            rest = after;
        }
        let mut parents = Vec::new();
        while !rest.is_empty() {
            let (parent, after) = word(rest);
            rest = after;
            if parent == b"#" {
                break;
            }
            parents.push(words.target(parent)?);
        }
        Some(Todo::Merge { source, parents, text: Name::new(rest) })
    }

    pub fn line(&self) -> Vec<u8> {
        let mut words: Vec<Vec<u8>> = Vec::new();
        let mut say = |word: &[u8]| words.push(word.to_vec());
        match self {
            Todo::Commit { verb, message, commit, text } => {
                say(verb.word().as_bytes());
                message.iter().for_each(|message| say(message.option()));
                say(commit.0.to_string().as_bytes());
                say(text.as_bytes());
            }
            Todo::Merge { source, parents, text } => {
                say(b"merge");
                if let Some(source) = source {
                    say(source.message.option());
                    say(source.commit.0.to_string().as_bytes());
                }
                parents.iter().for_each(|parent| say(&parent.word()));
                if !text.as_bytes().is_empty() {
                    say(b"#");
                    say(text.as_bytes());
                }
            }
            Todo::Label { label } => [b"label", label.as_bytes()].map(say).into_iter().collect(),
            Todo::Reset { to, text } => {
                say(b"reset");
                say(&to.word());
                say(text.as_bytes());
            }
            Todo::Exec { command } => [b"exec", command.as_bytes()].map(say).into_iter().collect(),
            Todo::UpdateRef { name } => [b"update-ref", name.as_bytes()].map(say).into_iter().collect(),
            Todo::Break => say(b"break"),
            Todo::Noop => say(b"noop"),
        }
        let mut line = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(&b' ');
        line.push(b'\n');
        line
    }
}

impl Message {
    fn option(&self) -> &'static [u8] {
        match self {
            Message::Take => b"-C",
            Message::Edit => b"-c",
        }
    }
}

impl Target {
    fn word(&self) -> Vec<u8> {
        match self {
            Target::Label(label) => label.as_bytes().to_vec(),
            Target::Commit(oid) => oid.0.to_string().into_bytes(),
            Target::Root => b"[new root]".to_vec(),
        }
    }
}

impl Words<'_> {
    /// A label comes first, as for Git.
    fn target(&self, word: &[u8]) -> Option<Target> {
        if self.labels.contains(word) {
            return Some(Target::Label(Name::new(word)));
        }
        self.commits.get(word).map(|oid| Target::Commit(*oid))
    }
}

fn message(rest: &[u8]) -> (Option<Message>, &[u8]) {
    match word(rest) {
        (b"-C", after) => (Some(Message::Take), after),
        (b"-c", after) => (Some(Message::Edit), after),
        _ => (None, rest),
    }
}

/// The first word of a line, and what stands behind it.
fn word(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    (&line[..end], line[end..].trim_ascii_start())
}
