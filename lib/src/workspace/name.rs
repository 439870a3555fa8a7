//! Names that Git knows: paths of a work tree, refs, link targets. Any bytes but NUL, written as text that can be read back.
//!
//! Nothing is said here about where a name may lead; a path is `harmless` or not, and only those are ever joined to a root.

mod dotgit;

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::path::{escape, unescape};

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Name {
        Name(bytes.into())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }
}

/// Longer than any file system takes in one go.
const MAX_PATH: usize = 4096;
const MAX_COMPONENT: usize = 255;

/// What a name from outside must be before it is used.
impl Name {
    /// Why it is not a path that stays inside its root and away from Git's own files; none if it is one.
    pub fn fault(&self) -> Option<&'static str> {
        match self.0.as_slice() {
            b"" => Some("it is empty"),
            bytes if bytes.len() > MAX_PATH => Some("it is too long"),
            bytes if bytes.contains(&0) => Some("it contains a zero byte"),
            bytes if bytes[0] == b'/' => Some("it is absolute"),
            bytes => bytes.split(|&b| b == b'/').find_map(fault_of),
        }
    }

    pub fn harmless(&self) -> bool {
        self.fault().is_none()
    }

    pub fn is_gitmodules(&self) -> bool {
        dotgit::is_modules(&self.0)
    }

    /// A full name of a ref (`refs/...`), well formed as `git check-ref-format` has it.
    pub fn is_ref(&self) -> bool {
        let bytes = self.0.as_slice();
        let part = |part: &[u8]| !part.is_empty() && part[0] != b'.' && !part.ends_with(b".lock");
        let within = bytes.len() <= MAX_PATH && bytes.starts_with(b"refs/") && bytes.split(|&b| b == b'/').count() > 2;
        let banned = |&b: &u8| b < 0x20 || b == 0x7f || b" ~^:?*[\\".contains(&b);
        let pair = |pair: &[u8]| pair == b".." || pair == b"@{";
        within
            && !bytes.ends_with(b".")
            && !bytes.iter().any(banned)
            && !bytes.windows(2).any(pair)
            && bytes.split(|&b| b == b'/').all(part)
    }

    /// The short name of a branch, if it can be one: `refs/heads/-x` cannot be named on a command line, and `HEAD` misleads.
    pub fn branch(&self) -> Option<&[u8]> {
        let short = self.0.strip_prefix(b"refs/heads/").filter(|_| self.is_ref())?;
        (short[0] != b'-' && short != b"HEAD").then_some(short)
    }

    /// All directories above it, nearest last.
    pub fn parents(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| &self.0[..at])
    }
}

fn fault_of(component: &[u8]) -> Option<&'static str> {
    match component {
        b"" => Some("it has an empty component"),
        b"." | b".." => Some("it leaves its directory"),
        _ if component.len() > MAX_COMPONENT => Some("a component is too long"),
        _ if dotgit::is(component) => Some("it enters a Git directory"),
        _ => None,
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Name, D::Error> {
        let text = String::deserialize(from)?;
        unescape(&text).map(Name).ok_or_else(|| de::Error::custom("not a name as this format writes them"))
    }
}

#[cfg(test)]
mod tests;
