//! Questions to a person: passphrases, and yes or no. Without a terminal every question has no answer.
//!
//! What is typed as a passphrase is not echoed, and stays in memory that is wiped.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use samesession::flow::pick::short;
use samesession::flow::signed::Consent;
use samesession::flow::{Candidate, Way};
use samesession::seal::{Callbacks, ExposeSecret, SecretString, Signer, Zeroizing};

use crate::cli;
use crate::failure::Failure;
use crate::ui::{bytes, clipped, harmless};

const MAX_PASSPHRASE: usize = 4096;

#[derive(Clone)]
pub struct Terminal {
    pub quiet: bool,
}

/// The passphrase as the options say; `twice` where a typing error would lock the user out.
pub fn passphrase(options: &cli::Passphrase, twice: bool) -> Result<Option<SecretString>, Failure> {
    if let Some(file) = &options.passphrase_file {
        return first_line(file.clone()).map(Some);
    }
    if let Some(fd) = options.passphrase_fd {
        return first_line(PathBuf::from(format!("/dev/fd/{fd}"))).map(Some);
    }
    if !options.passphrase {
        return Ok(None);
    }
    let first = ask_secret("Passphrase: ").ok_or(Failure::NoTerminal)?;
    if first.expose_secret().is_empty() {
        return Err(Failure::EmptyPassphrase);
    }
    if twice {
        let second = ask_secret("Once more: ").ok_or(Failure::NoTerminal)?;
        if first.expose_secret() != second.expose_secret() {
            return Err(Failure::PassphrasesDiffer);
        }
    }
    Ok(Some(first))
}

fn first_line(path: PathBuf) -> Result<SecretString, Failure> {
    let unreadable = |error| Failure::PassphraseFile(path.clone(), error);
    // Of its full size from the start, and read without a buffer: nothing is copied to a place that nobody wipes.
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_PASSPHRASE));
    let mut file = File::open(&path).map_err(unreadable)?;
    let mut byte = Zeroizing::new([0]);
    while line.len() < MAX_PASSPHRASE && file.read(&mut *byte).map_err(unreadable)? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    while line.last() == Some(&b'\r') {
        line.pop();
    }
    let text = std::str::from_utf8(&line).map_err(|_| unreadable(io::ErrorKind::InvalidData.into()))?;
    if text.is_empty() { Err(Failure::EmptyPassphrase) } else { Ok(SecretString::from(text)) }
}

/// Set where we are behind the user's back: a terminal that happens to be there is not ours to ask at.
static ALONE: AtomicBool = AtomicBool::new(false);

/// Nobody is asked anything from now on.
pub fn leave_alone() {
    ALONE.store(true, Ordering::Relaxed);
}

fn tty() -> Option<File> {
    if ALONE.load(Ordering::Relaxed) {
        return None;
    }
    OpenOptions::new().read(true).write(true).open("/dev/tty").ok()
}

/// Reads one line without echo. The terminal's own signals are off meanwhile, so that it cannot be left without echo.
fn ask_secret(prompt: &str) -> Option<SecretString> {
    let mut tty = tty()?;
    let before = tcgetattr(&tty).ok()?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG | LocalModes::ICANON);
    // Before the prompt: whoever answers at once, as a program does, must not be shown, nor lost with the flushing.
    tcsetattr(&tty, OptionalActions::Flush, &silent).ok()?;
    let prompted = write!(tty, "{prompt}").and_then(|()| tty.flush());
    let line = prompted.ok().and_then(|()| typed(&mut tty));
    let _ = tcsetattr(&tty, OptionalActions::Flush, &before);
    let _ = writeln!(tty);
    if line.is_none() {
        samesession::progress::interrupt();
    }
    line
}

fn typed(tty: &mut File) -> Option<SecretString> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PASSPHRASE));
    let mut byte = Zeroizing::new([0]);
    loop {
        match tty.read(&mut *byte) {
            Ok(1) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            _ => return None,
        }
        match byte[0] {
            b'\n' | b'\r' => break,
            0x03 | 0x1c => return None,
            0x04 if bytes.is_empty() => return None,
            0x7f | 0x08 => drop(pop_char(&mut bytes)),
            0x15 => bytes.clear(),
            other if bytes.len() < MAX_PASSPHRASE => bytes.push(other),
            _ => {}
        }
    }
    std::str::from_utf8(&bytes).ok().map(SecretString::from)
}

fn pop_char(bytes: &mut Vec<u8>) -> Option<u8> {
    // Continuation bytes of UTF-8 go with the byte that leads them.
    while bytes.last().is_some_and(|byte| byte & 0xc0 == 0x80) {
        bytes.pop();
    }
    bytes.pop()
}

/// Whether there is somebody to ask.
pub fn is_there() -> bool {
    tty().is_some()
}

pub fn ask(question: &str) -> Option<bool> {
    let mut tty = tty()?;
    write!(tty, "{question} [y/N] ").and_then(|()| tty.flush()).ok()?;
    let mut answer = String::new();
    BufReader::new(tty).take(64).read_line(&mut answer).ok()?;
    Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// No, where nobody is there to be asked.
pub fn agreed(question: &str) -> bool {
    ask(question).unwrap_or(false)
}

/// Lets a person choose one of several sessions; `None` without a terminal, or without an answer.
pub fn choose(candidates: &[Candidate]) -> Option<usize> {
    let line = |one: &Candidate| format!("{:<7} {}  {}", one.agent, one.native, clipped(one.title.as_deref().unwrap_or(""), 60));
    choose_line("Several sessions could be meant:", &candidates.iter().map(line).collect::<Vec<_>>())
}

/// The same of the ways that one session went.
pub fn choose_way(ways: &[Way]) -> Option<usize> {
    choose_line("The session went several ways:", &ways.iter().map(way_line).collect::<Vec<_>>())
}

pub fn way_line(way: &Way) -> String {
    let (made, device) = (clipped(&way.made, 20), clipped(&way.device, 20));
    // The title is the same for all of them; what was asked for last is not.
    let last = match (&way.prompt, &way.title) {
        (Some(prompt), _) => format!("last: \"{}\"", clipped(prompt, 60)),
        (None, title) => clipped(title.as_deref().unwrap_or(""), 40),
    };
    format!("{}  {made}  {device}  {:>10}  {last}", short(&way.commit), bytes(way.bytes))
}

/// A line that a person types; `None` without a terminal.
pub fn ask_line(question: &str) -> Option<String> {
    let mut tty = tty()?;
    write!(tty, "{question}").and_then(|()| tty.flush()).ok()?;
    let mut answer = String::new();
    BufReader::new(tty).take(256).read_line(&mut answer).ok()?;
    Some(answer)
}

fn choose_line(question: &str, lines: &[String]) -> Option<usize> {
    let listed: String = lines.iter().enumerate().fold(String::new(), |listed, (n, line)| listed + &format!("{:>3}  {line}\n", n + 1));
    let answer = ask_line(&format!("{question}\n{listed}Which one? [1-{}] ", lines.len()))?;
    answer.trim().parse::<usize>().ok()?.checked_sub(1).filter(|n| *n < lines.len())
}

impl Consent for Terminal {
    fn accept_signer(&mut self, signer: &Signer, name: &str) -> bool {
        let question = format!(
            "This capsule is signed by a key that this device does not know.\n  it says it is: {}\n  fingerprint:   {}\nCompare the fingerprint with 'git samesession device show' there. Believe it from now on?",
            harmless(name),
            signer.fingerprint
        );
        ask(&question).unwrap_or(false)
    }
}

impl Callbacks for Terminal {
    fn display_message(&self, message: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{}", harmless(message));
        }
    }

    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let no = no.map(|no| format!(" (else: {})", harmless(no))).unwrap_or_default();
        ask(&format!("{}: {}{no}", harmless(message), harmless(yes)))
    }

    fn request_public_string(&self, description: &str) -> Option<String> {
        let mut tty = tty()?;
        write!(tty, "{}: ", harmless(description)).and_then(|()| tty.flush()).ok()?;
        let mut line = String::new();
        BufReader::new(tty).take(MAX_PASSPHRASE as u64).read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        ask_secret(&format!("{}: ", harmless(description)))
    }
}
