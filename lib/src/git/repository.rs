//! One repository as the user's Git sees it from a directory: where its parts are, of what format, how it is configured.
//!
//! Asked of Git itself, once, in two starts at the same time: `GIT_DIR`, linked worktrees, `safe.directory`, includes and
//! every format are then Git's business. Knows no refs and no objects.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{Error, Git};
use crate::env::Env;

/// What makes a remote of a section of the configuration.
const ADDRESS: &[&str] = &["url", "pushurl", "vcs"];

#[derive(Debug, Clone)]
pub struct Repository {
    pub git: Git,
    /// `.git` of this worktree.
    pub git_dir: PathBuf,
    /// `.git` of all worktrees.
    pub common: PathBuf,
    pub objects: PathBuf,
    pub hash: gix::hash::Kind,
    pub bare: bool,
    pub shallow: bool,
    pub config: Config,
}

impl Repository {
    pub fn open(env: &Env, dir: &Path) -> Result<Repository, Error> {
        Repository::ask(Git::at(env, dir))
    }

    pub fn open_bare(env: &Env, git_dir: &Path) -> Result<Repository, Error> {
        Repository::ask(Git::bare(env, git_dir))
    }

    /// Another one, a submodule say, in the same environment.
    pub fn elsewhere(&self, dir: &Path) -> Result<Repository, Error> {
        Repository::ask(self.git.elsewhere(dir))
    }

    /// A bare one of our own, made if it is missing, that reaches this one's remotes as this one does. It runs no hooks,
    /// and Git tidies nothing in it by itself.
    pub fn beside(&self, git_dir: &Path) -> Result<Repository, Error> {
        // Where Git takes addresses from that are relative paths.
        let top = self.git.output(&["rev-parse", "--show-toplevel"], b"")?;
        let top = top.stdout.strip_suffix(b"\n").filter(|top| !top.is_empty());
        let top = top.map_or_else(|| self.git_dir.clone(), |top| PathBuf::from(std::ffi::OsStr::from_bytes(top)));
        let mut settings = transport(&self.git.run(&["config", "--list", "--show-scope", "-z"])?);
        let own = [("maintenance.auto", "false"), ("core.hooksPath", "/dev/null"), ("fetch.unpackLimit", "1")];
        settings.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let git = self.git.beside(git_dir, &top, &settings);
        if !git_dir.join("HEAD").exists() {
            let format = format!("--object-format={}", self.hash);
            git.run(&["init", "--quiet", "--bare", "--template=", &format])?;
        }
        Repository::ask(git)
    }

    /// As this one is started.
    pub fn with(git: Git) -> Result<Repository, Error> {
        Repository::ask(git)
    }

    fn ask(git: Git) -> Result<Repository, Error> {
        let (out, config) = answers(&git);
        Repository::of(git, out?, config?)
    }

    fn of(git: Git, out: Vec<u8>, config: Config) -> Result<Repository, Error> {
        let nonsense = || Error::Nonsense { verb: "rev-parse".to_owned() };
        let lines: Vec<&[u8]> = out.split(|&byte| byte == b'\n').collect();
        let [git_dir, common, objects, format, bare, shallow, ..] = lines[..] else { return Err(nonsense()) };
        let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
        let hash = match format {
            b"sha1" => gix::hash::Kind::Sha1,
            b"sha256" => gix::hash::Kind::Sha256,
            _ => return Err(nonsense()),
        };
        let git = if config.get("core.sshcommand").is_none() { git.quiet_ssh() } else { git };
        Ok(Repository {
            git_dir: path(git_dir),
            common: path(common),
            objects: path(objects),
            hash,
            bare: bare == b"true",
            shallow: shallow == b"true",
            config,
            git,
        })
    }

    /// A directory of our own beside Git's: caches, and what must not touch the user's own objects.
    pub fn private_dir(&self) -> PathBuf {
        self.common.join("samesession")
    }

    /// Objects may be missing here, and Git fetches them when they are wanted.
    pub fn promisor(&self) -> Option<&str> {
        let named = self.config.get("extensions.partialclone").filter(|name| !name.is_empty());
        let mut set = self.config.keys().filter(|key| self.config.flag(key) == Some(true));
        named.or_else(|| set.find_map(|key| key.strip_prefix("remote.")?.strip_suffix(".promisor")))
    }

    /// The names of its remotes.
    pub fn remotes(&self) -> Vec<&str> {
        self.config.remotes()
    }

    /// The same without those that hold sessions and no code: what our own helper reaches.
    pub fn code_remotes(&self) -> Vec<&str> {
        let sessions = |name: &&str| self.config.get(&format!("remote.{name}.url")).is_some_and(|url| url.starts_with("session::"));
        self.config.remotes().into_iter().filter(|name| !sessions(name)).collect()
    }

    /// The same repository, asked once more: for whoever must know what others have changed meanwhile.
    pub fn again(&self) -> Result<Repository, Error> {
        Repository::ask(self.git.clone())
    }

    /// What stands in its own configuration file and nowhere else.
    pub fn own_config(&self) -> Result<Config, Error> {
        Ok(Config::parse(&self.git.run(&["config", "--local", "--list", "-z"])?))
    }
}

/// The repository around the working directory, or the settings that apply there without one.
pub enum Around {
    Repository(Box<Repository>),
    Nothing(Config),
}

impl Around {
    pub fn of(env: &Env) -> Result<Around, Error> {
        let git = Git::at(env, env.cwd());
        match answers(&git) {
            (Err(Error::NoRepository), config) => Ok(Around::Nothing(config?)),
            (out, config) => Ok(Around::Repository(Box::new(Repository::of(git, out?, config?)?))),
        }
    }

    pub fn repository(&self) -> Option<&Repository> {
        match self {
            Around::Repository(repo) => Some(repo),
            Around::Nothing(_) => None,
        }
    }

    pub fn config(&self) -> &Config {
        match self {
            Around::Repository(repo) => &repo.config,
            Around::Nothing(config) => config,
        }
    }
}

/// Where the repository is and what it is, and the configuration; both asked at the same time. What the first one complains of
/// goes first.
fn answers(git: &Git) -> (Result<Vec<u8>, Error>, Result<Config, Error>) {
    let args = [
        "rev-parse",
        "--path-format=absolute",
        "--git-dir",
        "--git-common-dir",
        "--git-path",
        "objects",
        "--show-object-format",
        "--is-bare-repository",
        "--is-shallow-repository",
    ];
    let (out, config) = std::thread::scope(|scope| {
        let config = scope.spawn(|| git.run(&["config", "--list", "-z"]));
        (git.run(&args), config.join())
    });
    let config = config.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    (out, config.map(|list| Config::parse(&list)))
}

/// What this repository and the command line say of how remotes are reached, from Git's own list with scopes. The user's
/// and the system's files apply everywhere, and twice would be once too much for a header.
fn transport(list: &[u8]) -> Vec<(String, String)> {
    let mut fields = list.split(|&byte| byte == 0);
    let mut settings = Vec::new();
    while let (Some(scope), Some(entry)) = (fields.next(), fields.next()) {
        let entry = String::from_utf8_lossy(entry);
        let (key, value) = entry.split_once('\n').unwrap_or((&entry, "true"));
        if matches!(scope, b"local" | b"worktree" | b"command") && is_transport(key) {
            settings.push((key.to_owned(), value.to_owned()));
        }
    }
    settings
}

fn is_transport(key: &str) -> bool {
    let Some(remote) = key.strip_prefix("remote.") else {
        let sections = ["url.", "http.", "credential.", "protocol.", "ssh."];
        return sections.iter().any(|section| key.starts_with(section))
            || ["core.sshcommand", "core.gitproxy", "core.askpass", "samesession.namespace"].contains(&key);
    };
    // Not what it fetches, nor what is only promised there.
    let reached = ["url", "pushurl", "vcs", "uploadpack", "receivepack", "proxy", "proxyauthmethod", "serveroption"];
    remote.rsplit_once('.').is_some_and(|(_, what)| reached.contains(&what))
}

/// Git's configuration, as it applies here.
#[derive(Debug, Clone, Default)]
pub struct Config {
    values: BTreeMap<String, Vec<String>>,
}

impl Config {
    pub fn parse(list: &[u8]) -> Config {
        let mut config = Config::default();
        for entry in list.split(|&byte| byte == 0).filter(|entry| !entry.is_empty()) {
            let text = String::from_utf8_lossy(entry);
            // A key alone is a flag that is set.
            let (key, value) = text.split_once('\n').unwrap_or((&text, "true"));
            config.values.entry(key.to_owned()).or_default().push(value.to_owned());
        }
        config
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The names of all remotes: a section that gives no address is none.
    pub fn remotes(&self) -> Vec<&str> {
        let sections = self.keys().filter_map(|key| key.strip_prefix("remote.")?.rsplit_once('.'));
        let mut names: Vec<&str> = sections.filter(|(_, what)| ADDRESS.contains(what)).map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The last value counts, as for Git.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.all(key).last().map(String::as_str)
    }

    pub fn all(&self, key: &str) -> &[String] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" | "" => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_remotes_are_reached_is_told_from_everything_else() {
        let list = b"local\0remote.a.b.url\n../x\0local\0remote.a.b.fetch\n+x:y\0local\0remote.a.b.promisor\0global\0http.extraheader\nh\0\
            command\0http.extraheader\nc: d\0local\0core.bare\nfalse\0worktree\0core.sshcommand\nssh -v\0local\0core.worktree\n/w\0";
        let expected = [("remote.a.b.url", "../x"), ("http.extraheader", "c: d"), ("core.sshcommand", "ssh -v")];
        assert_eq!(transport(list), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
