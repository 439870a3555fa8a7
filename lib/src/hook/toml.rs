//! One key above the first table of a TOML file: `notify`, as Codex reads it.
//!
//! Not a TOML parser: it knows strings, comments and brackets, so that it is certain what stands above the first table, and
//! leaves a file alone of which it is not.

use super::is_ours;

const KEY: &str = "notify";

/// What a file says of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Nothing,
    Ours,
    /// Somebody else's program is called.
    Theirs,
}

pub fn find(text: &str) -> Result<Found, String> {
    Ok(match entry(text)? {
        None => Found::Nothing,
        Some(span) if is_ours(&text[span.clone()]) => Found::Ours,
        Some(_) => Found::Theirs,
    })
}

/// The text with our line, its first, unless somebody else's program is called there; one of another time is replaced.
pub fn with(text: &str, command: &str) -> Result<String, String> {
    let line = format!("{}\n", line(command));
    match entry(text)? {
        None => Ok(format!("{line}{text}")),
        Some(span) if is_ours(&text[span.clone()]) => Ok([&text[..span.start], &line, &text[span.end..]].concat()),
        Some(_) => Ok(text.to_owned()),
    }
}

pub fn without(text: &str) -> Result<String, String> {
    match entry(text)? {
        Some(span) if is_ours(&text[span.clone()]) => Ok([&text[..span.start], &text[span.end..]].concat()),
        _ => Ok(text.to_owned()),
    }
}

/// The program gets its JSON as its last argument, which becomes standard input: arguments can be seen by others.
fn line(command: &str) -> String {
    let script = format!("printf %s \"$1\" | {{ {command}; }}");
    format!("{KEY} = [\"sh\", \"-c\", '{script}', \"samesession\"]")
}

/// From the key to the end of its last line, if it stands above the first table.
fn entry(text: &str) -> Result<Option<std::ops::Range<usize>>, String> {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut found) = (0, 0_usize, None);
    let mut start = 0;
    let mut above = true;
    while at < bytes.len() {
        // What follows, where a character begins: none of those that are looked for stands within one.
        let Some(rest) = text.get(at..) else {
            at += 1;
            continue;
        };
        let fresh = depth == 0 && text[start..at].trim().is_empty();
        match bytes[at] {
            b'[' if fresh => {
                above = false;
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            b'#' => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            b'"' | b'\'' => {
                at += string(rest).ok_or("a string in it does not end")?;
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.checked_sub(1).ok_or("a bracket in it closes nothing")?,
            b'\n' if depth == 0 => {
                if above && found.is_none() && is_key(&text[start..at]) {
                    found = Some(start..at + 1);
                }
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    if depth > 0 {
        return Err("a bracket in it is never closed".to_owned());
    }
    if above && found.is_none() && is_key(&text[start..]) {
        found = Some(start..text.len());
    }
    Ok(found)
}

fn is_key(line: &str) -> bool {
    let key = line.split_once('=').map_or("", |(key, _)| key.trim());
    key.trim_matches(['"', '\'']) == KEY
}

/// How long the string at the beginning of this is, quotes included.
fn string(text: &str) -> Option<usize> {
    let quote = &text[..1];
    let triple = quote.repeat(3);
    let (close, from) = if text.starts_with(&triple) { (triple.as_str(), 3) } else { (quote, 1) };
    let mut at = from;
    loop {
        let rest = text.get(at..)?;
        if rest.starts_with(close) {
            return Some(at + close.len());
        }
        let next = rest.chars().next()?;
        if close.len() == 1 && next == '\n' {
            return None;
        }
        at += next.len_utf8();
        if next == '\\' && quote == "\"" {
            at += text.get(at..)?.chars().next()?.len_utf8();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::{Reach, agent_command};

    #[test]
    fn our_line_comes_and_goes() {
        let command = agent_command("codex", "notify", Reach::Stores);
        for text in [
            "",
            "model = \"x\"\n",
            "# c\n\n[a]\nnotify = 1\n",
            "a = '''\nnotify = 1\n'''\n[t]\n",
            "x = [\n  \"notify = 2\",\n]\n",
            "é = 1 # é\n",
        ] {
            let more = with(text, &command).expect("fine");
            assert_eq!(find(&more), Ok(Found::Ours), "{more}");
            assert_eq!(with(&more, &command).expect("fine"), more);
            assert_eq!(without(&more).expect("fine"), text);
            let other = with(&more, &agent_command("codex", "notify", Reach::Auto)).expect("fine");
            assert!(other.contains("hook run --auto ") && !other.contains("--global"), "{other}");
            assert_eq!(with(&other, &command).expect("fine"), more);
        }
    }

    #[test]
    fn somebody_elses_program_stays() {
        for text in ["notify = [\"me\"]\n", "model = 1\n\"notify\"=[\n  'a',\n]\n[t]\n"] {
            assert_eq!(find(text), Ok(Found::Theirs), "{text}");
            assert_eq!((with(text, "x").as_deref(), without(text).as_deref()), (Ok(text), Ok(text)));
        }
    }

    #[test]
    fn a_file_that_makes_no_sense_is_left_alone() {
        for text in ["a = \"x\n", "a = [1\n", "a = 1]\n", "a = '''\n"] {
            assert!(with(text, "x").is_err(), "{text}");
        }
    }
}
