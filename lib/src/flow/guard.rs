//! What may leave, as it is configured: secrets, and how large a capsule may be.
//!
//! Asked before anything is written. What must stay true: what was checked once is not refused later for being there; an
//! exception that somebody made holds here, and on every machine that the session comes to.

use std::path::PathBuf;

use super::Error;
use crate::capsule::Manifest;
use crate::env::Env;
use crate::git::{Around, Config, Repository};
use crate::policy::secrets::{Allowed, Finding, Found, Watch};

const SECRETS: (&str, &str) = ("samesession.secrets", "samesession.secrets");
const WARN_SIZE: (&str, &str) = ("samesession.warnsize", "samesession.warnSize");
const MAX_SIZE: (&str, &str) = ("samesession.maxsize", "samesession.maxSize");

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Block,
    Warn,
    Off,
}

#[derive(Debug, Clone, Default)]
pub struct Guard {
    pub mode: Mode,
    /// For this user and this repository.
    pub allowed: Allowed,
    warn: Option<u64>,
    most: Option<u64>,
}

/// What is worth saying of something that may leave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Passed {
    pub secrets: Vec<Finding>,
    /// It is larger than this.
    pub large: Option<u64>,
}

impl Guard {
    pub fn of(env: &Env, repo: &Repository) -> Result<Guard, Error> {
        Guard::from(env, Some(repo.private_dir()), &repo.config)
    }

    /// Where there may be no repository.
    pub fn around(env: &Env, around: &Around) -> Result<Guard, Error> {
        Guard::from(env, around.repository().map(Repository::private_dir), around.config())
    }

    fn from(env: &Env, repo: Option<PathBuf>, config: &Config) -> Result<Guard, Error> {
        let setting = |name: &'static str, value: &str, why| Error::Setting { name, value: value.chars().take(40).collect(), why };
        let mode = match config.get(SECRETS.0) {
            None | Some("block" | "") => Mode::Block,
            Some("warn") => Mode::Warn,
            Some("off" | "false") => Mode::Off,
            Some(other) => return Err(setting(SECRETS.1, other, "it can be 'block', 'warn' or 'off'")),
        };
        let size = |(listed, name): (&str, &'static str)| match config.get(listed) {
            None => Ok(None),
            Some(value) => {
                let why = "a number of bytes is wanted, with k, m or g behind it or not: 500m";
                bytes(value).map(Some).ok_or_else(|| setting(name, value, why))
            }
        };
        let mut allowed = Allowed::load(&env.config_dir()?)?;
        if let Some(dir) = repo {
            allowed.add(Allowed::load(&dir)?.iter().cloned());
        }
        Ok(Guard { mode, allowed, warn: size(WARN_SIZE)?, most: size(MAX_SIZE)? })
    }

    pub fn watch(&self) -> Option<Watch> {
        (self.mode != Mode::Off).then(|| Watch::knowing(self.allowed.clone()))
    }

    /// With what a checkpoint before has allowed.
    pub fn after(mut self, before: Option<&Manifest>) -> Guard {
        self.allowed.add(before.map(|before| Allowed::of_manifest(&before.more)).unwrap_or_default().iter().cloned());
        self
    }

    /// Refused, or what is to be said of it.
    pub fn pass(&self, found: &Found, size: u64) -> Result<Passed, Error> {
        if let Some(most) = self.most.filter(|most| size > *most) {
            return Err(Error::TooLarge { size, most });
        }
        let forbidden = found.forbidden(&self.allowed);
        if self.mode == Mode::Block && !forbidden.is_empty() {
            return Err(Error::Secrets(forbidden));
        }
        Ok(Passed { secrets: found.not_allowed(&self.allowed).cloned().collect(), large: self.warn.filter(|warn| size > *warn) })
    }

    /// What came from elsewhere has left already; it is only spoken of.
    pub fn tell(&self, found: &Found) -> Passed {
        self.would(found, 0)
    }

    /// What there is to say, refused or not.
    pub fn would(&self, found: &Found, size: u64) -> Passed {
        let limit = self.warn.into_iter().chain(self.most).min();
        let secrets = if self.mode == Mode::Off { Vec::new() } else { found.not_allowed(&self.allowed).cloned().collect() };
        Passed { secrets, large: limit.filter(|limit| size > *limit) }
    }

    /// The exceptions that go with a manifest: those of the one before it, and those that were needed.
    pub fn needed(&self, before: Option<&Manifest>, found: &Found) -> Allowed {
        let mut needed = before.map(|before| Allowed::of_manifest(&before.more)).unwrap_or_default();
        let ids = found.findings.iter().map(|finding| &finding.id).chain(&found.allowed);
        needed.add(ids.filter_map(|id| self.allowed.get(id)).cloned());
        needed
    }
}

/// `500m`, `2g`, `1048576`.
fn bytes(text: &str) -> Option<u64> {
    let small = text.trim().to_ascii_lowercase();
    let (number, shift) = match small.chars().last()? {
        'k' => (&small[..small.len() - 1], 10),
        'm' => (&small[..small.len() - 1], 20),
        'g' => (&small[..small.len() - 1], 30),
        _ => (small.as_str(), 0),
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}
