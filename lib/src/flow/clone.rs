//! `clone`: a repository from its remote, and what it must know so that sessions come.
//!
//! Git does it, before the user's eyes. What must stay true: what was cloned stays, whatever becomes of the session.

use std::path::{Path, PathBuf};

use super::Error;
use super::init::{self, Options};
use crate::durable::At;
use crate::env::Env;
use crate::git::{Git, LOCATING, Repository};

/// Clones, and gives this environment in the clone.
pub fn clone(env: &Env, url: &str, dir: Option<&Path>, quiet: bool) -> Result<Env, Error> {
    let dir = match dir {
        Some(dir) => dir.to_owned(),
        None => PathBuf::from(called(url).ok_or_else(|| Error::NoNameForClone(url.chars().take(200).collect()))?),
    };
    // Where we were before has no say in where the clone goes.
    let outside = env.standing_in(env.cwd(), LOCATING);
    let mut args: Vec<&std::ffi::OsStr> = vec!["clone".as_ref()];
    args.extend(quiet.then_some(std::ffi::OsStr::new("--quiet")));
    args.extend(["--".as_ref(), url.as_ref(), dir.as_os_str()]);
    Git::at(&outside, env.cwd()).watched(&args)?;
    let dir = env.cwd().join(dir);
    let there = outside.standing_in(&dir.canonicalize().at("open", &dir)?, &[]);
    init::init(&Repository::open(&there, there.cwd())?, &Options::default())?;
    Ok(there)
}

/// What Git would call it (`guess_dir_name` in its builtin/clone.c): the last part of the address without `.git`.
fn called(url: &str) -> Option<String> {
    let (has_host, rest) = match url.split_once("://") {
        Some((_, rest)) => (true, rest.split_once('@').filter(|(user, _)| !user.contains('/')).map_or(rest, |(_, rest)| rest)),
        None => (false, url),
    };
    let mut rest = rest.trim_end_matches(|c: char| c == '/' || c.is_whitespace());
    rest = rest.strip_suffix("/.git").unwrap_or(rest).trim_end_matches('/');
    if has_host && !rest.contains('/') {
        // A port is no name.
        rest = rest.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())).map_or(rest, |(host, _)| host);
    }
    let last = rest.rsplit(['/', ':']).next().unwrap_or_default();
    let last = last.strip_suffix(".git").or_else(|| last.strip_suffix(".bundle")).unwrap_or(last);
    let words: Vec<&str> = last.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty()).collect();
    let name = words.join(" ");
    (!matches!(name.as_str(), "" | "." | "..") && !name.starts_with('-')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_called_as_git_would_call_it() {
        for (url, name) in [
            ("https://example.com/team/demo.git", Some("demo")),
            ("https://me:word@example.com/demo/", Some("demo")),
            ("git@example.com:team/demo.git", Some("demo")),
            ("example.com:demo", Some("demo")),
            ("ssh://example.com:2222/", Some("example.com")),
            ("../origin.git", Some("origin")),
            ("/srv/work/.git", Some("work")),
            ("demo.bundle", Some("demo")),
            ("a  \t b", Some("a b")),
            ("/", None),
            ("..", None),
            ("https://example.com/-x", None),
        ] {
            assert_eq!(called(url).as_deref(), name, "{url}");
        }
    }
}
