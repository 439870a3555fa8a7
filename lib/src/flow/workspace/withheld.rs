//! Which files of a work tree stay behind: what `.samesessionignore` and `samesession.ignore` list, and files of keys unless
//! somebody said that they may travel.
//!
//! Only the work tree's own files: what is staged or committed is a part of the history. What must stay true: whatever
//! stays behind is said.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::super::Error;
use crate::durable::At;
use crate::git::Repository;
use crate::policy::names::{IGNORE_FILE, Patterns};
use crate::workspace::capture::Capture;
use crate::workspace::model::What;

/// As Git lists it, and as it is written.
pub const KEY_FILES: (&str, &str) = ("samesession.keyfiles", "samesession.keyFiles");
const IGNORE: &str = "samesession.ignore";
/// More is no list.
const MOST: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    pub path: String,
    pub size: u64,
    pub is_key_file: bool,
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Withheld { path, is_key_file, .. } = self;
        match is_key_file {
            true => write!(f, "'{path}' looks like a file of keys and stays behind"),
            false => write!(f, "'{path}' is on a list of what stays behind"),
        }
    }
}

pub struct Rules {
    own: Patterns,
    keys: Patterns,
}

impl Rules {
    pub fn of(repo: &Repository, top: &[u8], key_files: Option<bool>) -> Result<Rules, Error> {
        let file = Path::new(OsStr::from_bytes(top)).join(IGNORE_FILE);
        let text = match fs::symlink_metadata(&file) {
            Ok(meta) if meta.is_file() && meta.len() <= MOST => fs::read(&file).at("read", &file)?,
            _ => Vec::new(),
        };
        let configured = repo.config.all(IGNORE).iter().map(|line| line.as_bytes());
        let own = Patterns::of(configured.chain(text.split(|&byte| byte == b'\n')));
        let take = key_files.or(said(repo)?).unwrap_or(false);
        Ok(Rules { own, keys: if take { Patterns::default() } else { Patterns::key_files() } })
    }

    pub fn leave_out(&self, captured: &mut Capture) -> Vec<Withheld> {
        let mut withheld = Vec::new();
        let mut gone = Vec::new();
        captured.model.files.retain(|file| {
            let What::File { at, size, .. } = &file.what else { return true };
            let path = file.path.as_bytes();
            let (stays, is_key_file) = match self.own.decide(path) {
                Some(stays) => (stays, false),
                None => (self.keys.decide(path) == Some(true), true),
            };
            if stays {
                withheld.push(Withheld { path: file.path.to_string(), size: *size, is_key_file });
                gone.push(at.clone());
            }
            !stays
        });
        captured.files.retain(|file| !gone.contains(&file.name));
        withheld
    }
}

/// Whether files of keys may travel; `None` where nobody has said.
pub fn said(repo: &Repository) -> Result<Option<bool>, Error> {
    match repo.config.get(KEY_FILES.0) {
        None | Some("ask" | "") => Ok(None),
        Some("take") => Ok(Some(true)),
        Some("withhold") => Ok(Some(false)),
        Some(other) => {
            let value = other.chars().take(40).collect();
            Err(Error::Setting { name: KEY_FILES.1, value, why: "it can be 'take', 'withhold' or 'ask'" })
        }
    }
}

pub fn remember(repo: &Repository, take: bool) -> Result<(), Error> {
    repo.git.run(&["config", "--local", KEY_FILES.1, if take { "take" } else { "withhold" }])?;
    Ok(())
}
