//! Paths inside a capsule: relative, harmless, and writable as JSON whatever their bytes are.
//!
//! A `RelPath` cannot leave the directory it is joined to; that is decided when it is parsed. Whether anything may be
//! written at that place is somebody else's decision (the agent's, see `agent::Agent::role`).

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Longer than any file system takes in one go; a longer one in a capsule is an attack or an accident.
const MAX_PATH: usize = 4096;
const MAX_COMPONENT: usize = 255;

#[derive(Debug, thiserror::Error)]
#[error("unsafe path in capsule: '{shown}' ({why})")]
pub struct Unsafe {
    shown: String,
    why: &'static str,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Vec<u8>);

impl RelPath {
    pub fn parse(bytes: &[u8]) -> Result<RelPath, Unsafe> {
        match fault_of(bytes) {
            None => Ok(RelPath(bytes.to_owned())),
            Some(why) => Err(Unsafe { shown: escape(&bytes[..bytes.len().min(120)]), why }),
        }
    }

    pub fn from_path(path: &Path) -> Result<RelPath, Unsafe> {
        RelPath::parse(path.as_os_str().as_bytes())
    }

    /// Reads what `Display` wrote.
    pub fn from_text(text: &str) -> Result<RelPath, Unsafe> {
        match unescape(text) {
            Some(bytes) => RelPath::parse(&bytes),
            None => Err(Unsafe { shown: text.chars().take(120).collect(), why: "it is not written as this format writes paths" }),
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    pub fn components(&self) -> Vec<&[u8]> {
        self.0.split(|&b| b == b'/').collect()
    }

    pub fn join(&self, below: &[u8]) -> Result<RelPath, Unsafe> {
        RelPath::parse(&[&self.0, below].join(&b'/'))
    }

    pub fn strip_prefix(&self, dir: &str) -> Option<RelPath> {
        let rest = self.0.strip_prefix(dir.as_bytes())?.strip_prefix(b"/")?;
        Some(RelPath(rest.to_owned()))
    }

    pub fn under(&self, root: &Path) -> PathBuf {
        root.join(self.as_path())
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0))
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl serde::Serialize for RelPath {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&escape(&self.0))
    }
}

impl<'de> serde::Deserialize<'de> for RelPath {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<RelPath, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        RelPath::from_text(&text).map_err(serde::de::Error::custom)
    }
}

fn fault_of(bytes: &[u8]) -> Option<&'static str> {
    if bytes.is_empty() {
        return Some("it is empty");
    }
    if bytes.len() > MAX_PATH {
        return Some("it is too long");
    }
    if bytes[0] == b'/' {
        return Some("it is absolute");
    }
    if bytes.contains(&0) {
        return Some("it holds a NUL byte");
    }
    bytes.split(|&b| b == b'/').find_map(component_fault)
}

fn component_fault(name: &[u8]) -> Option<&'static str> {
    match name {
        b"" => Some("it has an empty component"),
        b"." | b".." => Some("it leaves its directory"),
        _ if name.len() > MAX_COMPONENT => Some("a component is too long"),
        _ if name.eq_ignore_ascii_case(b".git") => Some("it enters a Git directory"),
        _ if name.contains(&b'\\') || is_drive(name) => Some("it is a path of another kind on Windows"),
        _ if is_device_name(name) => Some("it names a device on Windows"),
        _ if matches!(name.last(), Some(b'.' | b' ')) => Some("Windows would strip its end"),
        _ => None,
    }
}

/// A colon further on (a tool's name, say) is common and harmless where this program runs.
fn is_drive(name: &[u8]) -> bool {
    matches!(name, [letter, b':', ..] if letter.is_ascii_alphabetic())
}

fn is_device_name(name: &[u8]) -> bool {
    let stem = name.split(|&b| b == b'.').next().unwrap_or(name).to_ascii_uppercase();
    match stem.as_slice() {
        b"CON" | b"PRN" | b"AUX" | b"NUL" => true,
        [b'C', b'O', b'M', digit] | [b'L', b'P', b'T', digit] => digit.is_ascii_digit(),
        _ => false,
    }
}

/// UTF-8 stays readable; `%` and every byte that is not part of UTF-8 text become `%XX`. Injective, so it can be undone.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        for c in part.valid().chars() {
            match c {
                '%' => text.push_str("%25"),
                c => text.push(c),
            }
        }
        for byte in part.invalid() {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        // Not left to `from_str_radix` alone, which takes a sign, too.
        let digits = std::str::from_utf8(rest.get(..2)?).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    Some(bytes)
}

/// As one would type it in a shell.
pub fn typed(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    let bytes = path.as_os_str().as_bytes();
    match path.to_str().filter(|text| !text.contains(char::is_control)) {
        Some(text) if text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@".contains(c)) => text.to_owned(),
        Some(text) => format!("'{}'", text.replace('\'', "'\\''")),
        // One line of text all the same, in the form that bash, zsh and ksh take.
        None => {
            let byte = |&b: &u8| match b {
                b'\'' | b'\\' => format!("\\{}", b as char),
                b' '..=b'~' => (b as char).to_string(),
                b => format!("\\x{b:02x}"),
            };
            format!("$'{}'", bytes.iter().map(byte).collect::<String>())
        }
    }
}

/// An absolute path as text that can be read back (`cwd` and `home` in a manifest).
pub fn to_text(path: &Path) -> String {
    escape(path.as_os_str().as_bytes())
}

pub fn from_text(text: &str) -> Option<PathBuf> {
    unescape(text).map(|bytes| PathBuf::from(OsStr::from_bytes(&bytes)))
}

/// For paths in files of our own: `#[serde(with = "path::as_text")]`.
pub mod as_text {
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::to_text(path))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        super::from_text(&String::deserialize(from)?).ok_or_else(|| D::Error::custom("not a path"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_leave_or_mislead_is_refused() {
        let long = "a".repeat(256);
        let deep = "a/".repeat(2100) + "a";
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../x",
            "a/./x",
            "a//x",
            "a/",
            "a\0b",
            "a/.git/hooks/x",
            "a/.GIT",
            "C:\\x",
            "a\\b",
            "d:x",
            "CON",
            "aux.txt",
            "com1",
            "lpt9.log",
            "trailing.",
            "trailing ",
            &long,
            &deep,
        ] {
            assert!(RelPath::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_harmless_name_survives_being_written_as_text() {
        for good in [&b"a"[..], b"a b/c\nd", b"100%", b"%41", b"\xff\xfe/x", "日本/é".as_bytes(), b"-rf", b"company", b"...x", b"mcp:tool"]
        {
            let path = RelPath::parse(good).expect("harmless");
            assert_eq!(RelPath::from_text(&path.to_string()).expect("its own text"), path);
        }
        assert_eq!(RelPath::parse(b"\xff%").expect("harmless").to_string(), "%FF%25");
        for bad in ["%", "%4", "%+1", "%g0"] {
            assert!(RelPath::from_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_directory_of_any_name_can_be_typed() {
        for (bytes, shown) in [
            (&b"/a/b-c.d"[..], "/a/b-c.d"),
            (b"/a b", "'/a b'"),
            (b"/it's $HOME", "'/it'\\''s $HOME'"),
            ("/\u{e9}".as_bytes(), "'/\u{e9}'"),
            (b"/two\nlines's", "$'/two\\x0alines\\'s'"),
            (b"/caf\xe9\\", "$'/caf\\xe9\\\\'"),
        ] {
            assert_eq!(typed(Path::new(OsStr::from_bytes(bytes))), shown);
        }
    }
}
