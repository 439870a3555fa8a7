//! `session::<address>`: another repository as a store of this project's sessions.
//!
//! Thin: names are mapped and everything else is the inner Git's. What must stay true: `ok` is said of what was done there,
//! and of an option that the inner Git was given.

use std::collections::BTreeMap;

use samesession::env::Env;
use samesession::flow::wrapped::{self, Asked, Wrapped};
use samesession::git::Repository;

use crate::protocol::{Answer, Push, Pushed, Remote, Wanted};
use crate::{Failure, say};

pub struct Mapped {
    store: Wrapped,
    asked: Asked,
    verbosity: i64,
    progress: bool,
    object_format: bool,
    /// Less was asked for than everything.
    narrowed: bool,
    hash: Option<String>,
}

impl Mapped {
    pub fn new(env: &Env, repo: Option<&Repository>, address: &str) -> Result<Mapped, Failure> {
        Ok(Mapped {
            store: Wrapped::new(env, repo, address)?,
            asked: Asked::default(),
            verbosity: 1,
            progress: false,
            object_format: false,
            narrowed: false,
            hash: repo.map(|repo| repo.hash.to_string()),
        })
    }

    fn loudness(&mut self) {
        self.store.aloud = self.progress && self.verbosity > 0;
    }
}

impl Remote for Mapped {
    type Error = Failure;

    fn capabilities(&self) -> Vec<String> {
        ["fetch", "push", "object-format"].map(str::to_owned).to_vec()
    }

    fn option(&mut self, name: &str, value: &str) -> Answer {
        let on = value == "true";
        match (name, value) {
            ("verbosity", level) => match level.parse() {
                Ok(level) => self.verbosity = level,
                Err(_) => return Answer::Error(format!("'{value}' is no number")),
            },
            ("progress", "true" | "false") => self.progress = on,
            ("dry-run", "true" | "false") => self.asked.dry_run = on,
            ("atomic", "true" | "false") => self.asked.atomic = on,
            ("push-option", option) => self.asked.push_options.push(option.to_owned()),
            ("object-format", "" | "true" | "sha1" | "sha256") => self.object_format = true,
            ("cas", lease) => match lease.rsplit_once(':') {
                Some((name, id)) if id.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                    self.asked
                        .leases
                        .insert(name.to_owned(), if id.bytes().all(|byte| byte == b'0') { String::new() } else { id.to_owned() });
                }
                _ => return Answer::Error("no such lease".to_owned()),
            },
            (name, _) => {
                self.narrowed |= say::narrows(name);
                return Answer::Unsupported;
            }
        }
        Answer::Ok
    }

    fn list(&mut self, _: bool) -> Result<Vec<String>, Failure> {
        let listed = self.store.list()?;
        let mut lines = Vec::new();
        let there = listed.values().next().map(|id| if id.len() == 64 { "sha256" } else { "sha1" }.to_owned());
        if let Some(hash) = there.or_else(|| self.hash.clone()).filter(|_| self.object_format) {
            lines.push(format!(":object-format {hash}"));
        }
        lines.extend(listed.iter().map(|(name, id)| format!("{id} {name}")));
        Ok(lines)
    }

    fn fetch(&mut self, wanted: &[Wanted]) -> Result<(), Failure> {
        self.loudness();
        if std::mem::take(&mut self.narrowed) && self.verbosity > 0 {
            say::everything();
        }
        Ok(self.store.fetch(&wanted.iter().map(|wanted| (wanted.name.clone(), wanted.id.clone())).collect())?)
    }

    fn import(&mut self, names: &[String]) -> Result<(), Failure> {
        Err(Failure::Unlisted(names.first().cloned().unwrap_or_default()))
    }

    fn push(&mut self, pushes: &[Push]) -> Result<Vec<Pushed>, Failure> {
        self.loudness();
        let of = |push: &Push| wrapped::Push { force: push.force, from: push.from.clone(), to: push.to.clone() };
        let verdicts: BTreeMap<String, Result<(), String>> = self.store.push(&pushes.iter().map(of).collect::<Vec<_>>(), &self.asked)?;
        Ok(verdicts.into_iter().map(|(to, verdict)| Pushed { to, verdict }).collect())
    }
}
