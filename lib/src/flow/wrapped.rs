//! A store at another Git address: this project's sessions as branches below a name of their own, by the user's own Git.
//!
//! What must stay true: names are mapped one to one, and what is not this project's is neither listed nor touched. The inner
//! Git decides what is a fast-forward, against what stands there at that moment.

mod map;

use std::collections::BTreeMap;

pub use self::map::Map;
use super::Error;
use super::refspecs::{self, AT_ONCE, Sent, Word};
use crate::env::Env;
use crate::git::{self, Git, Repository, failed};

/// So many refs are fetched by what they name: Git looks for each name among all that are there.
const BY_ID: usize = 32;

/// Says to a helper that it was started by another one.
pub const INNER: &str = "SAMESESSION_INNER";

pub struct Wrapped {
    git: Git,
    address: String,
    map: Map,
    /// Its words are shown as they come.
    pub aloud: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub dry_run: bool,
    pub atomic: bool,
    pub push_options: Vec<String>,
    /// By outer name; without a value it must not exist.
    pub leases: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    pub force: bool,
    pub from: Option<String>,
    pub to: String,
}

impl Wrapped {
    /// `repo` is none outside of any, where all projects' sessions are listed.
    pub fn new(env: &Env, repo: Option<&Repository>, address: &str) -> Result<Wrapped, Error> {
        super::address::check(address)?;
        let namespace = match repo {
            Some(repo) => {
                for url in repo.config.all(&format!("remote.{address}.url")) {
                    super::address::check(url)?;
                }
                super::namespace::of(repo)?
            }
            None => None,
        };
        let git = repo.map_or_else(|| Git::at(env, env.cwd()), |repo| repo.git.clone());
        Ok(Wrapped { git: git.env(INNER, "1"), address: address.to_owned(), map: Map::new(namespace), aloud: false })
    }

    /// Outer names with their ids.
    pub fn list(&self) -> Result<BTreeMap<String, String>, Error> {
        let pattern = self.map.pattern();
        let lines = self.git.lines(&["ls-remote", "--refs", "--quiet", "--end-of-options", &self.address, &pattern])?;
        let mut listed = BTreeMap::new();
        for line in lines {
            let (id, name) = line.split_once('\t').ok_or_else(|| git::Error::Nonsense { verb: "ls-remote".to_owned() })?;
            if gix::hash::ObjectId::from_hex(id.as_bytes()).is_err() {
                return Err(git::Error::Nonsense { verb: "ls-remote".to_owned() }.into());
            }
            // Of a session that two projects have, a view of all of them shows the first.
            if let Some(outer) = self.map.outer(name) {
                listed.entry(outer).or_insert_with(|| (id.to_owned(), name.to_owned()));
            }
        }
        Ok(listed.into_iter().map(|(outer, (id, _))| (outer, id)).collect())
    }

    /// Brings what these lead to. Whether what was listed is among it, the outer Git looks itself.
    pub fn fetch(&self, wanted: &BTreeMap<String, String>) -> Result<(), Error> {
        let inner = self.inner_names(wanted.keys().map(String::as_str))?;
        // Where something has moved since there are servers that no longer give what was listed.
        if wanted.len() >= BY_ID && self.fetch_specs(wanted.values()).is_ok() {
            return Ok(());
        }
        self.fetch_specs(inner.iter())
    }

    fn fetch_specs<'a>(&self, specs: impl Iterator<Item = &'a String>) -> Result<(), Error> {
        let specs: String = specs.map(|spec| format!("{spec}\n")).collect();
        let mut args = vec!["fetch", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules"];
        args.extend(["--no-prune", "--no-write-commit-graph", "--refmap=", "--stdin"]);
        args.push(if self.aloud { "--progress" } else { "--quiet" });
        args.extend(["--end-of-options", &self.address]);
        let out = if self.aloud { self.git.aloud(&args, specs.as_bytes())? } else { self.git.output(&args, specs.as_bytes())? };
        if !out.status.success() {
            return Err(failed(&args, &out).into());
        }
        Ok(())
    }

    /// In a view of all projects, each name is looked up again.
    fn inner_names<'a>(&self, outer: impl Iterator<Item = &'a str>) -> Result<Vec<String>, Error> {
        let outer: Vec<&str> = outer.collect();
        if self.map.is_whole() {
            return outer.iter().map(|name| self.map.inner(name).ok_or_else(|| not_ours(name))).collect();
        }
        let lines = self.git.lines(&["ls-remote", "--refs", "--quiet", "--end-of-options", &self.address, &self.map.pattern()])?;
        let mut known: BTreeMap<String, String> = BTreeMap::new();
        for name in lines.iter().filter_map(|line| Some(line.split_once('\t')?.1)) {
            if let Some(outer) = self.map.outer(name) {
                known.entry(outer).or_insert_with(|| name.to_owned());
            }
        }
        outer.iter().map(|name| known.get(*name).cloned().ok_or_else(|| not_ours(name))).collect()
    }

    /// What became of each, by outer name, in the words that a helper gives to Git.
    pub fn push(&self, pushes: &[Push], asked: &Asked) -> Result<BTreeMap<String, Result<(), String>>, Error> {
        let mut verdicts = BTreeMap::new();
        let mut good = Vec::new();
        for push in pushes {
            match self.spec(push) {
                Ok(spec) => good.push((push, spec)),
                Err(why) => drop(verdicts.insert(push.to.clone(), Err(why))),
            }
        }
        if asked.atomic && !verdicts.is_empty() {
            for (push, _) in good {
                verdicts.insert(push.to.clone(), Err("atomic push failed".to_owned()));
            }
            return Ok(verdicts);
        }
        let (pushes, sent): (Vec<&Push>, Vec<Sent>) = good.into_iter().unzip();
        let words = refspecs::words(&self.git, &sent)?;
        let at_once = if asked.atomic { words.len().max(1) } else { AT_ONCE };
        for some in words.chunks(at_once) {
            let of: Vec<_> = some.iter().flat_map(|word| &word.of).map(|&n| (pushes[n], &sent[n])).collect();
            verdicts.extend(self.push_some(some, &of, asked)?);
        }
        Ok(verdicts)
    }

    fn spec(&self, push: &Push) -> Result<Sent, String> {
        if !self.map.is_whole() {
            return Err("it is not known which project this is: the repository has no commit yet".to_owned());
        }
        let to = self.map.inner(&push.to).ok_or("only refs/samesession/* goes to a store of sessions")?;
        let from = push.from.clone().unwrap_or_default();
        if from.starts_with(['-', '+', '^', ':']) {
            return Err("no such ref".to_owned());
        }
        Ok(Sent { force: push.force, from, tip: None, to })
    }

    fn push_some(&self, words: &[Word], of: &[(&Push, &Sent)], asked: &Asked) -> Result<BTreeMap<String, Result<(), String>>, Error> {
        let mut args: Vec<String> =
            ["push", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", "--no-signed", "--no-mirror"]
                .map(str::to_owned)
                .to_vec();
        // With --quiet it says nothing of what went well.
        args.push(if self.aloud { "--progress" } else { "--no-progress" }.to_owned());
        args.push(if asked.atomic { "--atomic" } else { "--no-atomic" }.to_owned());
        args.extend(asked.dry_run.then(|| "--dry-run".to_owned()));
        args.extend(asked.push_options.iter().map(|option| format!("--push-option={option}")));
        for (push, sent) in of {
            args.extend(asked.leases.get(&push.to).map(|expected| format!("--force-with-lease={}:{expected}", sent.to)));
        }
        args.extend(["--end-of-options".to_owned(), self.address.clone()]);
        args.extend(words.iter().map(|word| word.text.clone()));
        // What is sealed has no likeness to find.
        let git = self.git.with("pack.window=0").with("push.pushOption=");
        let out = if self.aloud { git.aloud(&args, b"")? } else { git.output(&args, b"")? };
        let mut by_inner = BTreeMap::new();
        for line in String::from_utf8_lossy(&out.stdout).lines() {
            by_inner.extend(verdict(line));
        }
        if by_inner.is_empty() && !out.status.success() {
            return Err(failed(&args, &out).into());
        }
        let unsaid = || Err("the connection ended".to_owned());
        Ok(of.iter().map(|(push, sent)| (push.to.clone(), by_inner.remove(&sent.to).unwrap_or_else(unsaid))).collect())
    }
}

fn not_ours(name: &str) -> Error {
    Error::NotInStore(name.chars().take(120).collect())
}

/// `<flag> TAB <from>:<to> TAB <summary> (<reason>)`, the reason in the words of the helper protocol.
fn verdict(line: &str) -> Option<(String, Result<(), String>)> {
    let mut fields = line.splitn(3, '\t');
    let (flag, refs, summary) = (fields.next()?, fields.next()?, fields.next()?);
    let to = refs.rsplit_once(':')?.1.to_owned();
    Some((
        to,
        match flag {
            " " | "*" | "+" | "-" | "=" => Ok(()),
            _ => {
                let reason = summary.split_once('(').map_or(summary, |(_, reason)| reason.strip_suffix(')').unwrap_or(reason));
                Err(if reason == "non-fast-forward" { "non-fast forward" } else { reason }.to_owned())
            }
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_read_from_a_line() {
        for (line, is) in [
            ("=\ta:refs/x\t[up to date]", Ok(())),
            (" \ta:refs/x\t1..2", Ok(())),
            ("*\ta:refs/x\t[new branch]", Ok(())),
            ("-\t:refs/x\t[deleted]", Ok(())),
            ("!\ta:refs/x\t[rejected] (non-fast-forward)", Err("non-fast forward")),
            ("!\ta:refs/x\t[rejected] (fetch first)", Err("fetch first")),
            ("!\ta:refs/x\t[remote rejected] (a (b) c)", Err("a (b) c")),
            ("!\ta:refs/x\t[remote failure]", Err("[remote failure]")),
        ] {
            assert_eq!(verdict(line), Some(("refs/x".to_owned(), is.map_err(str::to_owned))), "{line}");
        }
        assert!(verdict("To /x").is_none() && verdict("Done").is_none());
    }
}
