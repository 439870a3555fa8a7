//! Git's remote-helper protocol: lines in, calls on a `Remote`, lines out.
//!
//! Knows no Git and no session; gitremote-helpers(7) is its manual, `transport-helper.c` its truth. What must stay true:
//! nothing but the protocol is written, an answer is whole or not begun, and each ref of a push gets its own verdict.

use std::io::{self, BufRead, Write};

/// Longer lines and batches are nobody's honest work.
const LINE: usize = 64 << 10;
const BATCH: usize = 1 << 20;

/// What answers Git.
pub trait Remote {
    type Error: From<Error>;

    /// Lines of `capabilities`, besides `option`.
    fn capabilities(&self) -> Vec<String>;
    fn option(&mut self, name: &str, value: &str) -> Answer;
    /// Refs, and lines of the form `:keyword value` before them.
    fn list(&mut self, for_push: bool) -> Result<Vec<String>, Self::Error>;
    fn fetch(&mut self, wanted: &[Wanted]) -> Result<(), Self::Error>;
    /// Makes what is behind these names, and sets the private refs that `refspec` promised.
    fn import(&mut self, names: &[String]) -> Result<(), Self::Error>;
    /// What became of each, in any order. One without a verdict counts as refused.
    fn push(&mut self, pushes: &[Push]) -> Result<Vec<Pushed>, Self::Error>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Ok,
    Unsupported,
    Error(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub id: String,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    pub force: bool,
    /// `None` deletes.
    pub from: Option<String>,
    pub to: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    pub to: String,
    pub verdict: Result<(), String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read what Git says")]
    Read(#[source] io::Error),
    #[error("cannot answer Git")]
    Write(#[source] io::Error),
    #[error("Git said something that cannot be understood: '{0}'")]
    Nonsense(String),
}

/// One line of Git's.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Blank,
    Capabilities,
    List { for_push: bool },
    Option { name: String, value: String },
    Fetch(Wanted),
    Import(String),
    Push(Push),
}

/// Talks to Git until it has nothing more to say.
pub fn serve<R: Remote>(remote: &mut R, input: &mut impl BufRead, output: &mut impl Write) -> Result<(), R::Error> {
    while let Some(line) = read(input)? {
        match line {
            // At top level it is Git's farewell.
            Line::Blank => break,
            Line::Capabilities => {
                let mut lines = vec!["option".to_owned()];
                lines.extend(remote.capabilities());
                answer(output, &lines)?;
            }
            Line::List { for_push } => {
                let lines = remote.list(for_push)?;
                answer(output, &lines)?;
            }
            Line::Option { name, value } => {
                let said = match remote.option(&name, &value) {
                    Answer::Ok => "ok".to_owned(),
                    Answer::Unsupported => "unsupported".to_owned(),
                    Answer::Error(why) => format!("error {}", one_line(&why)),
                };
                write(output, &format!("{said}\n"))?;
            }
            Line::Fetch(first) => {
                let wanted = batch(input, first, |line| match line {
                    Line::Fetch(wanted) => Some(wanted),
                    _ => None,
                })?;
                remote.fetch(&wanted)?;
                answer(output, &[])?;
            }
            Line::Import(first) => {
                let names = batch(input, first, |line| match line {
                    Line::Import(name) => Some(name),
                    _ => None,
                })?;
                remote.import(&names)?;
                // Objects and private refs are there; for fast-import there is nothing left to do.
                write(output, "feature done\ndone\n")?;
            }
            Line::Push(first) => {
                let pushes = batch(input, first, |line| match line {
                    Line::Push(push) => Some(push),
                    _ => None,
                })?;
                let pushed = remote.push(&pushes)?;
                answer(output, &pushes.iter().map(|push| verdict(push, &pushed)).collect::<Vec<_>>())?;
            }
        }
    }
    Ok(())
}

fn verdict(push: &Push, pushed: &[Pushed]) -> String {
    match pushed.iter().find(|pushed| pushed.to == push.to).map(|pushed| &pushed.verdict) {
        Some(Ok(())) => format!("ok {}", push.to),
        Some(Err(why)) => format!("error {} {}", push.to, quoted(why)),
        None => format!("error {} {}", push.to, quoted("nothing is known of it")),
    }
}

/// The rest of a batch, to its blank line.
fn batch<T>(input: &mut impl BufRead, first: T, of: impl Fn(Line) -> Option<T>) -> Result<Vec<T>, Error> {
    let mut items = vec![first];
    loop {
        match read(input)? {
            Some(Line::Blank) => return Ok(items),
            // Git has died in the middle of it: nothing of it was meant.
            None => return Err(Error::Read(io::ErrorKind::UnexpectedEof.into())),
            Some(line) => {
                let said = format!("{line:?}");
                items.push(of(line).filter(|_| items.len() < BATCH).ok_or_else(|| nonsense(&said))?);
            }
        }
    }
}

fn read(input: &mut impl BufRead) -> Result<Option<Line>, Error> {
    let mut bytes = Vec::new();
    io::Read::take(&mut *input, LINE as u64).read_until(b'\n', &mut bytes).map_err(Error::Read)?;
    match bytes.pop() {
        None => Ok(None),
        Some(b'\n') => {
            let text = std::str::from_utf8(&bytes).map_err(|_| nonsense(&String::from_utf8_lossy(&bytes)))?;
            parse(text).map(Some).ok_or_else(|| nonsense(text))
        }
        // Too long, or cut off.
        Some(_) => Err(nonsense(&String::from_utf8_lossy(&bytes))),
    }
}

fn parse(line: &str) -> Option<Line> {
    if line.is_empty() {
        return Some(Line::Blank);
    }
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let name = |name: &str| (!name.is_empty() && !name.contains([' ', '\0'])).then(|| name.to_owned());
    Some(match (verb, rest) {
        ("capabilities", "") => Line::Capabilities,
        ("list", "") => Line::List { for_push: false },
        ("list", "for-push") => Line::List { for_push: true },
        ("option", rest) => {
            // Older Git, 2.39 for one, says `option object-format` and no more.
            let (option, value) = rest.split_once(' ').unwrap_or((rest, ""));
            Line::Option { name: name(option)?, value: unquoted(value)? }
        }
        ("fetch", rest) => {
            let (id, wanted) = rest.split_once(' ')?;
            let hex = matches!(id.len(), 40 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            Line::Fetch(Wanted { id: hex.then(|| id.to_owned())?, name: name(wanted)? })
        }
        ("import", wanted) => Line::Import(name(wanted)?),
        ("push", spec) => {
            let (force, spec) = spec.strip_prefix('+').map_or((false, spec), |spec| (true, spec));
            let (from, to) = spec.split_once(':')?;
            let from = if from.is_empty() { None } else { Some(name(from)?) };
            Line::Push(Push { force, from, to: name(to).filter(|to| !to.contains(':'))? })
        }
        _ => return None,
    })
}

/// A value as Git writes it: as it is, or in quotes as C has them.
fn unquoted(text: &str) -> Option<String> {
    let Some(inside) = text.strip_prefix('"') else { return Some(text.to_owned()) };
    let inside = inside.strip_suffix('"')?;
    let mut bytes = Vec::new();
    let mut rest = inside.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => return None,
            b'\\' => bytes.push(match rest.next()? {
                b'a' => 7,
                b'b' => 8,
                b't' => 9,
                b'n' => 10,
                b'v' => 11,
                b'f' => 12,
                b'r' => 13,
                byte @ (b'"' | b'\\') => byte,
                first @ b'0'..=b'3' => {
                    let mut digit = || rest.next().filter(|byte| (b'0'..=b'7').contains(byte)).map(|byte| byte - b'0');
                    ((first - b'0') << 6) | (digit()? << 3) | digit()?
                }
                _ => return None,
            }),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

/// As Git takes it at the end of a line: it must not end the line, nor begin like a quote.
fn quoted(text: &str) -> String {
    let plain = !text.starts_with('"') && !text.chars().any(|c| c.is_control() || c == '\\');
    if plain {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b'\n' => quoted.push_str("\\n"),
            b'\t' => quoted.push_str("\\t"),
            0x20..=0x7e => quoted.push(char::from(byte)),
            byte => quoted.push_str(&format!("\\{byte:03o}")),
        }
    }
    quoted + "\""
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Lines and the blank one behind them, in one write.
fn answer(output: &mut impl Write, lines: &[String]) -> Result<(), Error> {
    let mut text = String::new();
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    write(output, &text)
}

fn write(output: &mut impl Write, text: &str) -> Result<(), Error> {
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(Error::Write)
}

fn nonsense(said: &str) -> Error {
    Error::Nonsense(said.chars().take(200).flat_map(char::escape_debug).collect())
}

#[cfg(test)]
#[path = "protocol/tests.rs"]
mod tests;
