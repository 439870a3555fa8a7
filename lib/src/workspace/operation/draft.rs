//! State files before they are written: in the order in which Git may see them.

use std::collections::BTreeMap;

use super::super::model::Oid;
use super::super::name::Name;

/// Keeps a stash that waits from being collected: Git itself does that only for loose objects, and it came in a pack. Of
/// a rebase Git deletes it at the end; else it goes with the work tree, or with the operation when that is forgotten.
pub const KEPT: &str = "refs/worktree/samesession/autostash";
pub const KEPT_LABEL: &str = "samesession/autostash";

/// What the places of one operation will hold.
#[derive(Debug, Default)]
pub struct Draft {
    /// Refs that mean nothing by themselves.
    pub refs: Vec<(String, Oid)>,
    /// Files of the Git directory that mean nothing by themselves.
    pub files: Vec<(&'static str, Vec<u8>)>,
    pub folders: Vec<Folder>,
    /// Refs by which Git knows that something is in progress.
    pub acting_refs: Vec<(String, Oid)>,
    pub acting_files: Vec<(&'static str, Vec<u8>)>,
}

#[derive(Debug)]
pub struct Folder {
    pub name: &'static str,
    /// Files by whose content it is known again.
    pub marks: Vec<String>,
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Folder {
    pub fn new(name: &'static str, marks: &[&str]) -> Folder {
        Folder { name, marks: marks.iter().map(|mark| (*mark).to_owned()).collect(), files: BTreeMap::new() }
    }

    pub fn put(&mut self, file: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.files.insert(file.into(), content.into());
    }

    pub fn line(&mut self, file: &str, text: impl AsRef<[u8]>) {
        self.put(file, line(text));
    }

    pub fn maybe_text(&mut self, file: &str, text: Option<&Name>) {
        if let Some(text) = text {
            self.put(file, text.as_bytes());
        }
    }

    pub fn maybe_oid(&mut self, file: &str, oid: Option<Oid>) {
        if let Some(oid) = oid {
            self.line(file, oid.0.to_string());
        }
    }

    pub fn oids<const N: usize>(&mut self, file: &str, lines: &[[Oid; N]]) {
        if !lines.is_empty() {
            let text: String = lines.iter().map(|line| line.map(|oid| oid.0.to_string()).join(" ") + "\n").collect();
            self.put(file, text);
        }
    }
}

pub fn line(text: impl AsRef<[u8]>) -> Vec<u8> {
    [text.as_ref(), b"\n"].concat()
}

impl Draft {
    pub fn reference(&mut self, name: impl Into<String>, oid: Option<Oid>) {
        self.refs.extend(oid.map(|oid| (name.into(), oid)));
    }

    pub fn file(&mut self, name: &'static str, content: Option<Vec<u8>>) {
        self.files.extend(content.map(|content| (name, content)));
    }
}
