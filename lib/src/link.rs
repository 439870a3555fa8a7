//! Which session made a commit, as it is written down: a line of a note, or a trailer of the commit's message.
//!
//! Text in, text out; knows no Git and no session. What must stay true: nothing is written but session ids, which tell
//! nothing to those who cannot open the session. What is read is what somebody says, and no proof of anything.

use std::collections::BTreeSet;

use crate::id::SessionId;

/// As Git lists it.
pub const SETTING: &str = "samesession.link";

/// Outside of `refs/samesession/`: it goes to a remote only if somebody sends it there.
pub const NOTES: &str = "refs/notes/samesession";

pub const TRAILER: &str = "Samesession";

/// How commits are marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Off,
    Notes,
    Trailer,
}

impl Link {
    /// `None` is a word that means nothing.
    pub fn parse(value: Option<&str>) -> Option<Link> {
        match value.map(|word| word.trim().to_ascii_lowercase()).as_deref() {
            None | Some("" | "off" | "false" | "no") => Some(Link::Off),
            Some("notes" | "note") => Some(Link::Notes),
            Some("trailer" | "trailers") => Some(Link::Trailer),
            Some(_) => None,
        }
    }
}

/// A note has a line for each session; whatever else stands in it is left alone.
pub fn in_note(text: &str) -> BTreeSet<SessionId> {
    text.lines().filter_map(|line| SessionId::parse(line.split_whitespace().next()?).ok()).collect()
}

/// The note with these sessions, too, as Git's own `cat_sort_uniq` would make it; `None` if it has them.
pub fn noted(before: &str, sids: &[SessionId]) -> Option<String> {
    let there = in_note(before);
    if sids.iter().all(|sid| there.contains(sid)) {
        return None;
    }
    let lines: BTreeSet<&str> = before.lines().filter(|line| !line.is_empty()).chain(sids.iter().map(SessionId::as_str)).collect();
    Some(lines.into_iter().map(|line| format!("{line}\n")).collect())
}

pub fn trailer(sid: &SessionId) -> String {
    format!("{TRAILER}: {sid}")
}

/// Anywhere in a message: where commits were squashed, the trailers of all but the last stand in its middle.
pub fn in_message(text: &str) -> BTreeSet<SessionId> {
    let value = |line: &str| {
        let (key, value) = line.trim().split_once(':')?;
        key.eq_ignore_ascii_case(TRAILER).then(|| SessionId::parse(value.trim()).ok()).flatten()
    };
    text.lines().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NativeId;

    fn sid(n: u8) -> SessionId {
        SessionId::derive("claude", &NativeId::parse(&format!("n{n}")).expect("an id"))
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let both = noted(&noted("", &[sid(1)]).expect("new"), &[sid(2), sid(1)]).expect("new");
        assert_eq!(in_note(&both), [sid(1), sid(2)].into());
        assert_eq!(noted(&both, &[sid(2)]), None);
        // As Git puts notes together when commits are squashed.
        assert_eq!(in_note(&format!("{}\n\n{}\n\nsomebody's words\n", sid(2), sid(1))), [sid(1), sid(2)].into());
        assert!(noted("somebody's words\n", &[sid(1)]).expect("new").contains("somebody's words\n"));

        let message = format!("subject\n\nbody\n\n{}\nSigned-off-by: x\n\n    samesession: {}\n", trailer(&sid(1)), sid(2));
        assert_eq!(in_message(&message), [sid(1), sid(2)].into());
        for text in ["", "Samesession: x", "Samesession", &format!("Samesessions: {}", sid(1)), sid(1).as_str()] {
            assert!(in_message(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_word_that_means_nothing_is_not_off() {
        for (word, link) in [(None, Some(Link::Off)), (Some("off"), Some(Link::Off)), (Some("Notes"), Some(Link::Notes)), (Some("x"), None)]
        {
            assert_eq!(Link::parse(word), link, "{word:?}");
        }
    }
}
