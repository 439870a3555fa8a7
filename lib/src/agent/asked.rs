//! What a person had asked for when something happened that a session's agent did: a commit, as far as this file goes a
//! word and two times.
//!
//! One pass over a transcript answers for any number of them; an agent only tells what each of its records is. In this order:
//! the tool whose output announces the word; the call of a tool that was under way then and speaks of a commit; the time
//! alone. What must stay true: of a moment that the transcript does not reach, nothing is said.

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

/// A record as long as this is an image, and nobody's words.
const LONGEST: usize = 32 << 20;
/// Times of commits are whole seconds.
const SECOND: Duration = Duration::from_secs(1);

/// One record of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub at: Option<SystemTime>,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A person's words, all of them.
    Prompt(String),
    /// The agent calls a tool with these words.
    Calls {
        id: String,
        words: String,
    },
    /// The tool has come to an end, or to a rest.
    Answers {
        id: String,
        words: String,
    },
    Other,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The commit's id in full.
    pub id: String,
    pub made: SystemTime,
    /// When it was first made, if it was made anew since.
    pub written: SystemTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub prompt: String,
    pub at: Option<SystemTime>,
    pub by: By,
}

/// By what it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// A tool's output names the commit.
    Output,
    /// A call that speaks of a commit was under way.
    Call,
    Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Asked(Asked),
    /// Nobody had asked for anything by then.
    Nobody,
    /// The transcript ends before.
    NotYet,
}

#[derive(Clone)]
struct Prompt {
    text: Rc<str>,
    at: Option<SystemTime>,
}

struct Call {
    at: Option<SystemTime>,
    of_commit: bool,
    prompt: Option<Prompt>,
}

#[derive(Default, Clone)]
struct Candidates {
    output: Option<Prompt>,
    /// By the time at which it was made, and first made.
    calls: [Option<Prompt>; 2],
    others: [Option<Prompt>; 2],
    times: [Option<Prompt>; 2],
}

/// `step` says what a record is; lines that it makes nothing of are passed by.
pub fn find(transcript: &mut dyn BufRead, step: impl Fn(&[u8]) -> Option<Step>, moments: &[Moment]) -> io::Result<Vec<Answer>> {
    let mut found = vec![Candidates::default(); moments.len()];
    let mut now: Option<Prompt> = None;
    let mut calls: HashMap<String, Call> = HashMap::new();
    let (mut first, mut last) = (None, None);
    let mut line = Vec::new();
    while next_line(transcript, &mut line)? {
        let Some(Step { at, what }) = step(&line) else { continue };
        first = first.or(at);
        last = at.max(last);
        match what {
            What::Prompt(text) => {
                now = Some(Prompt { text: text.into(), at });
                for (moment, found) in moments.iter().zip(&mut found) {
                    for (time, place) in moment.times().into_iter().zip(&mut found.times) {
                        if at.is_some_and(|at| at < time + SECOND) {
                            place.clone_from(&now);
                        }
                    }
                }
            }
            What::Calls { id, words } => {
                calls.insert(id, Call { at, of_commit: words.contains("commit"), prompt: now.clone() });
            }
            What::Answers { id, words } => {
                let call = calls.remove(&id);
                let during = call.as_ref().filter(|call| call.of_commit).and_then(|call| Some((call.at?, at?, call.prompt.as_ref())));
                let prompt = call.as_ref().map_or(&now, |call| &call.prompt);
                let announced = announced(&words);
                for (moment, found) in moments.iter().zip(&mut found) {
                    let named = announced.iter().any(|short| moment.id.starts_with(short));
                    if found.output.is_none() && named {
                        found.output.clone_from(prompt);
                    }
                    // It announced another one: this one, before it was made anew, or not this one at all.
                    let calls = if announced.is_empty() || named { &mut found.calls } else { &mut found.others };
                    for (time, place) in moment.times().into_iter().zip(calls) {
                        if let Some((from, to, prompt)) = during
                            && place.is_none()
                            && from < time + SECOND
                            && to >= time
                        {
                            *place = prompt.cloned();
                        }
                    }
                }
            }
            What::Other => {}
        }
    }
    // Commits have whole seconds, records have not.
    let reaches = |time: SystemTime| first.is_some_and(|first| first < time + SECOND) && last.is_some_and(|last| last >= time);
    Ok(moments.iter().zip(found).map(|(moment, found)| moment.answer(found, reaches)).collect())
}

impl Moment {
    fn times(&self) -> [SystemTime; 2] {
        [self.made, self.written]
    }

    fn answer(&self, found: Candidates, reaches: impl Fn(SystemTime) -> bool) -> Answer {
        let Candidates { output, calls, others, times: [by_made, by_written] } = found;
        let call = || calls.into_iter().chain(others).flatten().next();
        let exact = output.map(|prompt| (prompt, By::Output)).or_else(|| call().map(|prompt| (prompt, By::Call)));
        let (prompt, by) = match exact {
            Some(found) => found,
            None if !reaches(self.written) && !reaches(self.made) => return Answer::NotYet,
            None => match if reaches(self.written) { by_written } else { by_made } {
                Some(prompt) => (prompt, By::Time),
                None => return Answer::Nobody,
            },
        };
        Answer::Asked(Asked { prompt: prompt.text.to_string(), at: prompt.at, by })
    }
}

/// As `git commit` says it: `[main 1a2b3c4] subject`, `[main (root-commit) 1a2b3c4] subject`.
fn announced(words: &str) -> Vec<&str> {
    let short = |line: &'_ str| -> Option<(usize, usize)> {
        let (inside, _) = line.strip_prefix('[')?.split_once("] ")?;
        let (before, short) = inside.rsplit_once(' ')?;
        let is_id = short.len() >= 4 && short.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then_some((before.len() + 2, short.len()))
    };
    words.lines().map(str::trim_start).filter_map(|line| short(line).and_then(|(at, len)| line.get(at..at + len))).collect()
}

/// A torn one at the end is none, and one that is too long is empty.
fn next_line(from: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut long = false;
    loop {
        let block = from.fill_buf()?;
        if block.is_empty() {
            return Ok(false);
        }
        let (part, end) = match memchr::memchr(b'\n', block) {
            Some(at) => (&block[..at], true),
            None => (block, false),
        };
        long |= line.len() + part.len() > LONGEST;
        if long {
            line.clear();
        } else {
            line.extend_from_slice(part);
        }
        let read = part.len() + usize::from(end);
        from.consume(read);
        if end {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    /// `at kind words`; tenths of seconds.
    fn step(line: &[u8]) -> Option<Step> {
        let text = std::str::from_utf8(line).ok()?;
        let (at, rest) = text.split_once(' ')?;
        let (kind, words) = rest.split_once(' ')?;
        let at = Some(UNIX_EPOCH + Duration::from_millis(at.parse::<u64>().ok()? * 100));
        let (id, words) = (kind[1..].to_owned(), words.to_owned());
        let what = match &kind[..1] {
            "p" => What::Prompt(words),
            "c" => What::Calls { id, words },
            "a" => What::Answers { id, words },
            _ => What::Other,
        };
        Some(Step { at, what })
    }

    fn ask(lines: &[&str], id: &str, made: u64, written: u64) -> Answer {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let moment = Moment { id: id.to_owned(), made: at(made), written: at(written) };
        find(&mut text.as_bytes(), step, &[moment]).expect("read").remove(0)
    }

    fn asked(answer: Answer) -> (String, By) {
        match answer {
            Answer::Asked(asked) => (asked.prompt, asked.by),
            other => panic!("{other:?}"),
        }
    }

    const LINES: [&str; 9] = [
        "100 p first",
        "105 c1 git commit -m x",
        "108 a1 [main (root-commit) 1a2b3c4] x",
        // Within the same second as what came before it.
        "109 p second",
        "130 c2 git commit -qm y; sleep 9",
        "200 c3 make",
        "210 a3 made",
        "220 a2 done",
        "300 o end",
    ];

    #[test]
    fn the_output_goes_before_the_call_and_the_call_before_the_time() {
        let id = "1a2b3c4d5e";
        // Whatever the times say.
        assert_eq!(asked(ask(&LINES, id, 25, 25)), ("first".into(), By::Output));
        assert_eq!(asked(ask(&LINES, "ffff", 10, 10)), ("first".into(), By::Call));
        assert_eq!(asked(ask(&LINES, "ffff", 20, 20)), ("second".into(), By::Call));
        assert_eq!(asked(ask(&LINES, "ffff", 25, 25)), ("second".into(), By::Time));
        // What has announced another one is not it.
        let lines = [
            "100 p one",
            "101 c1 git commit -m x",
            "102 a1 [main 1a2b3c4] x",
            "103 p two",
            "104 c2 git commit -qm",
            "106 a2 ",
            "120 o end",
        ];
        assert_eq!(asked(ask(&lines, "ffff", 10, 10)), ("two".into(), By::Call));
        assert_eq!(asked(ask(&lines, id, 10, 10)), ("one".into(), By::Output));
        // Made anew much later, by somebody else.
        assert_eq!(asked(ask(&LINES, "ffff", 900, 10)), ("first".into(), By::Call));
        assert_eq!(asked(ask(&LINES, "ffff", 28, 5)), ("second".into(), By::Time));
    }

    #[test]
    fn of_what_is_not_in_it_nothing_is_said() {
        assert_eq!(ask(&LINES, "ffff", 31, 31), Answer::NotYet);
        assert_eq!(ask(&LINES, "ffff", 5, 5), Answer::NotYet);
        assert_eq!(ask(&[], "ffff", 5, 5), Answer::NotYet);
        assert_eq!(ask(&["10 o x", "90 p late"], "ffff", 5, 5), Answer::Nobody);
        // Others speak of commits, too.
        for line in ["108 a1 1a2b3c4 x", "108 a1 [main 1a2b3c4d5f] x", "108 a1 [1a2b3c4] x", "108 a1 commit 1a2b3c4d5e"] {
            let lines = ["100 p first", "105 c1 git log", line];
            assert_eq!(ask(&lines, "1a2b3c4d5e", 50, 50), Answer::NotYet, "{line}");
        }
    }

    #[test]
    fn a_line_without_end_is_none_and_one_that_never_ends_is_passed_by() {
        let mut text = b"100 p first\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', LONGEST + 1));
        text.extend(b"\n200 p second\n300 p torn");
        let mut lines = Vec::new();
        let (mut from, mut line) = (&text[..], Vec::new());
        while next_line(&mut from, &mut line).expect("read") {
            lines.push(line.clone());
        }
        assert_eq!(lines, [b"100 p first".to_vec(), Vec::new(), b"200 p second".to_vec()]);
    }
}
