//! The signers this device has decided to believe: a file in OpenSSH's `allowed_signers` form.
//!
//! `ssh-keygen -Y verify -f` and Git's `gpg.ssh.allowedSignersFile` take the same file: a line is for what this program
//! signs and for the commits that carry it. Lines that this program did not write are kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::durable::{self, At};
use crate::env::{self, Env};
use crate::seal::{self, GIT_NAMESPACE, NAMESPACE, Signer};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Env(#[from] env::Error),
    #[error(transparent)]
    File(#[from] durable::Error),
}

pub struct KnownSigners {
    path: PathBuf,
    text: String,
}

impl KnownSigners {
    pub fn load(env: &Env) -> Result<KnownSigners, Error> {
        let path = env.config_dir()?.join("known_signers");
        Ok(KnownSigners { text: read(&path)?, path })
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn of(text: String) -> KnownSigners {
        KnownSigners { path: PathBuf::new(), text }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name under which the signer is known.
    pub fn name_of(&self, signer: &Signer) -> Option<&str> {
        let mut lines = self.lines().filter_map(|(_, line)| Line::parse(line).ok());
        lines.find_map(|line| (line.is_ours() && line.is_of(&signer.key)).then_some(line.name))
    }

    /// Remembers the signer under what its capsule calls the device: a label for people, made harmless.
    pub fn add(&mut self, signer: &Signer, name: &str) -> Result<(), Error> {
        durable::create_dirs(durable::parent(&self.path))?;
        // Another process may remember another signer at the same time: each reads what the one before it wrote.
        let dir = durable::parent(&self.path);
        let lock = fs::File::open(dir).at("open", dir)?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).map_err(io::Error::from).at("lock", dir)?;
        self.text = read(&self.path)?;
        if self.name_of(signer).is_some() {
            return Ok(());
        }
        let harmless = |c: char| if c.is_ascii_alphanumeric() || "._@-".contains(c) { c } else { '-' };
        let mut name: String = name.chars().take(64).map(harmless).collect();
        if name.is_empty() {
            name.push('?');
        }
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        // Manifests and records are signed in one, commits in the other: who is believed is believed for both.
        self.text.push_str(&format!("{name} namespaces=\"{NAMESPACE},{GIT_NAMESPACE}\" {}\n", signer.key));
        Ok(durable::write_atomic(&self.path, self.text.as_bytes())?)
    }

    /// The numbers of lines that may not say what their writer means, and why.
    pub fn complaints(&self) -> Vec<(usize, &'static str)> {
        self.lines().filter_map(|(number, line)| Some((number, complaint(line)?))).collect()
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().map(str::trim).enumerate().map(|(n, line)| (n + 1, line));
        lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    }
}

/// `NAME [OPTIONS] KIND BASE64 [COMMENT]`.
struct Line<'a> {
    name: &'a str,
    options: &'a str,
    kind: &'a str,
    base64: &'a str,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Result<Line<'a>, &'static str> {
        let (name, rest) = line.split_once(char::is_whitespace).ok_or("it is one word")?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        let at = words.windows(2).position(|pair| !pair[0].contains(['"', '=']) && pair[1].starts_with("AAAA"));
        let at = at.ok_or(if name.starts_with("ssh-") { "it names nobody before the key" } else { "it holds no SSH public key" })?;
        let (kind, base64) = (words[at], words[at + 1]);
        let before = rest.split_once(base64).map_or("", |(before, _)| before.trim_end());
        let options = before.strip_suffix(kind).unwrap_or(before).trim();
        Ok(Line { name, options, kind, base64 })
    }

    fn is_of(&self, key: &str) -> bool {
        key.split_once(' ') == Some((self.kind, self.base64))
    }

    fn namespaces(&self) -> impl Iterator<Item = &'a str> {
        let names = self.options.strip_prefix("namespaces=\"").and_then(|rest| rest.strip_suffix('"'));
        names.into_iter().flat_map(|names| names.split(',')).map(str::trim)
    }

    /// A key that is known for something else, for a time or only as an authority is not known here.
    fn is_ours(&self) -> bool {
        self.options.is_empty() || self.namespaces().any(|name| matches!(name, NAMESPACE | "*"))
    }
}

fn complaint(line: &str) -> Option<&'static str> {
    let line = match Line::parse(line) {
        Ok(line) => line,
        Err(why) => return Some(why),
    };
    if seal::fingerprint_of(&format!("{} {}", line.kind, line.base64)).is_none() {
        return Some("its key cannot be read");
    }
    if !line.is_ours() {
        return Some("its options say that the key is for something else, so it is not believed here");
    }
    let for_git = line.options.is_empty() || line.namespaces().any(|name| matches!(name, GIT_NAMESPACE | "*"));
    (!for_git).then_some("'git verify-commit' does not take its key for commits: make it namespaces=\"samesession,git\"")
}

fn read(path: &Path) -> Result<String, Error> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => Ok(read.at("read", path)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE5ZTvw8fq4rN1bGzr3cEQx5Yl1vmwMCEjZcLXgWzXIn";

    fn check(line: &str, known: bool, complains: bool) {
        let signers = KnownSigners::of(format!("# a comment\n\n{line}\n"));
        let signer = Signer { fingerprint: String::new(), key: KEY.to_owned() };
        assert_eq!(signers.name_of(&signer).is_some(), known, "{line}");
        assert_eq!(
            signers.complaints().iter().map(|(number, _)| *number).collect::<Vec<_>>(),
            [3].repeat(usize::from(complains)),
            "{line}"
        );
    }

    #[test]
    fn a_line_is_believed_for_what_it_says_and_doubtful_ones_are_named() {
        for (line, known, complains) in [
            (format!("laptop {KEY}"), true, false),
            (format!("laptop {KEY} a comment"), true, false),
            (format!("laptop namespaces=\"samesession,git\" {KEY}"), true, false),
            (format!("laptop namespaces=\"*\" {KEY}"), true, false),
            (format!("laptop namespaces=\"samesession\" {KEY}"), true, true),
            (format!("laptop namespaces=\"git\" {KEY}"), false, true),
            (format!("laptop cert-authority {KEY}"), false, true),
            (format!("laptop valid-before=\"20200101\" {KEY}"), false, true),
            (format!("laptop {KEY}AAAA"), false, true),
            (KEY.to_owned(), false, true),
            ("laptop".to_owned(), false, true),
            ("laptop is mine".to_owned(), false, true),
        ] {
            check(&line, known, complains);
        }
    }
}
