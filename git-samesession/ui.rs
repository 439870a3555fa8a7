//! What is shown, and where: answers on standard output, everything else on standard error.
//!
//! Text from sessions was written by strangers: control characters never reach a terminal.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use is_terminal::IsTerminal;
use samesession::progress::Progress;
use serde::Serialize;

/// An answer: serialisable, and readable.
pub trait View: Serialize {
    const SCHEMA: &'static str;
    fn human(&self, out: &mut dyn Write) -> io::Result<()>;
}

pub struct Ui {
    pub json: bool,
    pub quiet: bool,
    broken_pipe: Cell<bool>,
}

#[derive(Serialize)]
struct WithSchema<'a, V> {
    schema: &'static str,
    #[serde(flatten)]
    view: &'a V,
}

impl Ui {
    pub fn new(json: bool, quiet: bool) -> Ui {
        Ui { json, quiet, broken_pipe: Cell::new(false) }
    }

    pub fn report<V: View>(&self, view: &V) -> io::Result<()> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        let written = if self.json {
            let answer = WithSchema { schema: V::SCHEMA, view };
            serde_json::to_writer_pretty(&mut out, &answer).map_err(io::Error::from).and_then(|()| writeln!(out))
        } else {
            view.human(&mut out)
        };
        self.quietly(written.and_then(|()| out.flush()))
    }

    /// Whoever closed the pipe has seen enough: that is not an error.
    fn quietly(&self, written: io::Result<()>) -> io::Result<()> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.broken_pipe.set(true);
                Ok(())
            }
            written => written,
        }
    }

    /// What must be heard, whatever was asked to be quiet.
    pub fn warn(&self, text: &str) {
        let _ = writeln!(io::stderr(), "warning: {}", harmless(text));
    }

    /// One line beside the answer.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{}", harmless(text));
        }
    }

    pub fn progress(&self) -> Box<dyn Progress> {
        if self.quiet || self.json || !io::stderr().is_terminal() {
            Box::new(samesession::progress::Silent)
        } else {
            Box::new(Line { state: Mutex::new(State::default()) })
        }
    }
}

/// Spaces for line breaks, nothing for other control characters.
pub fn harmless(text: &str) -> String {
    let keep = |c: char| match c {
        '\n' | '\t' | '\r' => Some(' '),
        c if c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => None,
        c => Some(c),
    };
    text.chars().filter_map(keep).collect()
}

pub fn clipped(text: &str, width: usize) -> String {
    let text = harmless(text);
    if text.chars().count() <= width {
        return text;
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

pub fn bytes(n: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (n as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", units[unit]) }
}

pub fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

pub fn ago(then: SystemTime, now: SystemTime) -> String {
    let secs = now.duration_since(then).unwrap_or_default().as_secs();
    match secs {
        0..=59 => "just now".to_owned(),
        60..=3599 => format!("{} min ago", secs / 60),
        3600..=86_399 => format!("{} h ago", secs / 3600),
        _ => format!("{} d ago", secs / 86_400),
    }
}

/// One line on a terminal, not before a second has passed, and not more often than needed.
struct Line {
    state: Mutex<State>,
}

struct State {
    what: String,
    total: Option<u64>,
    done: u64,
    begun: Instant,
    drawn: Option<Instant>,
}

impl Default for State {
    fn default() -> State {
        State { what: String::new(), total: None, done: 0, begun: Instant::now(), drawn: None }
    }
}

impl State {
    /// What to draw now, if anything: pure, so that the rate is decided in one place.
    fn due(&mut self, now: Instant) -> Option<String> {
        let first = now.duration_since(self.begun) < Duration::from_secs(1);
        let recent = self.drawn.is_some_and(|drawn| now.duration_since(drawn) < Duration::from_millis(100));
        if first || recent || self.what.is_empty() {
            return None;
        }
        self.drawn = Some(now);
        Some(match self.total {
            Some(total) if total > 0 => {
                let percent = (self.done.min(total) * 100).checked_div(total).unwrap_or(100);
                format!("\r{}: {percent:3} % of {}\x1b[K", self.what, bytes(total))
            }
            _ => format!("\r{}: {}\x1b[K", self.what, bytes(self.done)),
        })
    }
}

impl Progress for Line {
    fn stage(&self, what: &str, total: Option<u64>) {
        if let Ok(mut state) = self.state.lock() {
            *state = State { what: what.to_owned(), total, ..State::default() };
        }
    }

    fn advance(&self, bytes: u64) {
        if let Ok(mut state) = self.state.lock() {
            state.done += bytes;
            if let Some(line) = state.due(Instant::now()) {
                let _ = write!(io::stderr(), "{line}");
            }
        }
    }

    fn note(&self, text: &str) {
        let _ = writeln!(io::stderr(), "\r\x1b[K{}", harmless(text));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.state.lock().is_ok_and(|state| state.drawn.is_some()) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_wrote_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\nc\u{202e}d\x07"), "a[2Jb cd");
        assert_eq!(clipped("abcdef", 4), "abc…");
        assert_eq!((bytes(999).as_str(), bytes(1536).as_str(), bytes(5 << 30).as_str()), ("999 B", "1.5 KiB", "5.0 GiB"));
    }

    #[test]
    fn progress_waits_a_second_and_keeps_its_rate() {
        let begun = Instant::now();
        let mut state = State { what: "sealing".into(), total: Some(200), done: 50, begun, drawn: None };
        let at = |millis| begun + Duration::from_millis(millis);
        assert_eq!(state.due(at(900)), None);
        assert!(state.due(at(1100)).is_some_and(|line| line.contains(" 25 %")));
        assert_eq!(state.due(at(1150)), None);
        assert!(state.due(at(1250)).is_some());
    }
}
