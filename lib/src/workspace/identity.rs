//! Whether two repositories are clones of the same one: by root commits and addresses, never by path.
//!
//! What must stay true: no password leaves an address into what is returned, and a checkpoint does not walk the history
//! again that an earlier one walked.

use std::collections::BTreeSet;
use std::path::Path;

use gix::hash::ObjectId;

use super::Error;
use super::model::{Identity, Oid};
use crate::git::{Config, Repository};
use crate::{durable, path};

/// How many heads are remembered: one for each worktree in which people usually work.
const REMEMBERED: usize = 16;
const DEFAULT_PORTS: &[(&str, &str)] =
    &[("ssh", "22"), ("git+ssh", "22"), ("https", "443"), ("http", "80"), ("git", "9418"), ("ftp", "21")];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Likeness {
    Same,
    /// Nothing speaks for it or against it.
    Unknown,
    Other {
        evidence: String,
    },
}

/// `stores` are the remotes that hold sessions and no code.
pub fn of(repo: &Repository, stores: &[String]) -> Result<Identity, Error> {
    let code = repo.remotes().into_iter().filter(|name| !stores.iter().any(|store| store == name));
    let mut remotes: Vec<String> = code.flat_map(|name| addresses(&repo.config, name)).collect();
    remotes.sort();
    remotes.dedup();
    let format = if repo.hash == gix::hash::Kind::Sha256 { "sha256" } else { "sha1" };
    Ok(Identity { format: format.to_owned(), roots: roots(repo)?, remotes })
}

/// The normal forms of all addresses under which a remote is fetched.
pub fn addresses(config: &Config, remote: &str) -> Vec<String> {
    config.all(&format!("remote.{remote}.url")).iter().filter_map(|url| normal(&rewritten(config, url))).collect()
}

pub fn compare(a: &Identity, b: &Identity) -> Likeness {
    if a.format != b.format {
        let evidence = format!("one has {} objects, the other {}", path::escape(a.format.as_bytes()), path::escape(b.format.as_bytes()));
        return Likeness::Other { evidence };
    }
    // A branch without common history (`gh-pages`) has roots of its own; the address still tells.
    let shared = a.roots.iter().any(|root| b.roots.contains(root)) || a.remotes.iter().any(|url| b.remotes.contains(url));
    match (a.roots.first(), b.roots.first()) {
        _ if shared => Likeness::Same,
        (Some(one), Some(other)) => {
            let at = |remotes: &[String]| remotes.first().map_or(String::new(), |url| format!(" ({})", path::escape(url.as_bytes())));
            let evidence = format!("history begins at {}{} there and at {}{} here", one.0, at(&a.remotes), other.0, at(&b.remotes));
            Likeness::Other { evidence }
        }
        _ => Likeness::Unknown,
    }
}

/// One form for all ways to write the same address; none for what means something else on each machine.
pub fn normal(url: &str) -> Option<String> {
    if url.is_empty() || url.chars().any(char::is_control) || url.split_once("::").is_some_and(|(helper, _)| is_word(helper)) {
        return None;
    }
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) if is_word(scheme) => (scheme.to_ascii_lowercase(), rest),
        _ => return without_scheme(url),
    };
    if scheme == "file" {
        // `file://host/path` names a host that Git does not look at.
        return local(&rest[rest.find('/')?..]);
    }
    let (authority, at) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = host_of(authority)?;
    let default = DEFAULT_PORTS.contains(&(scheme.as_str(), port));
    let port = if default || port.is_empty() { String::new() } else { format!(":{port}") };
    let at = at.split(['?', '#']).next().unwrap_or(at);
    Some(format!("{host}{port}/{}", trimmed(&unquoted(at))?))
}

/// `user@host:path`, or a path.
fn without_scheme(url: &str) -> Option<String> {
    // In brackets stands an address of IPv6, or a host with its port.
    let from = if let Some(inside) = url.rsplit_once('@').map_or(url, |(_, host)| host).strip_prefix('[') {
        url.len() - inside.len() + inside.find(']')?
    } else {
        0
    };
    match url[from..].find(':').map(|colon| from + colon) {
        Some(colon) if !url[..colon].contains('/') && !is_drive(url) => {
            let authority = &url[..colon];
            let bracketed = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            let plain =
                bracketed.strip_prefix('[').and_then(|inside| inside.strip_suffix(']')).filter(|inside| inside.matches(':').count() < 2);
            let (host, port) = host_of(plain.unwrap_or(bracketed))?;
            let port = if port.is_empty() || port == "22" { String::new() } else { format!(":{port}") };
            Some(format!("{host}{port}/{}", trimmed(&url[colon + 1..])?))
        }
        _ if url.starts_with('/') => local(url),
        _ => None,
    }
}

fn local(at: &str) -> Option<String> {
    Some(format!("file:///{}", trimmed(at)?))
}

/// Without user and password; the last `@` counts, since a password may hold one.
fn host_of(authority: &str) -> Option<(String, &str)> {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match authority.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
        Some((host, rest)) => (format!("[{host}]"), rest.strip_prefix(':').unwrap_or("")),
        None => authority.split_once(':').map_or((authority.to_owned(), ""), |(host, port)| (host.to_owned(), port)),
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let valid = !host.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    valid.then_some((host, port))
}

fn trimmed(at: &str) -> Option<String> {
    let parts: Vec<&str> = at.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let at = parts.join("/");
    let at = at.strip_suffix("/.git").or_else(|| at.strip_suffix(".git")).unwrap_or(&at);
    (!at.is_empty()).then(|| at.to_owned())
}

fn unquoted(at: &str) -> String {
    let text = path::unescape(at).and_then(|bytes| String::from_utf8(bytes).ok());
    text.filter(|text| !text.contains(char::is_control)).unwrap_or_else(|| at.to_owned())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

fn is_drive(url: &str) -> bool {
    matches!(url.as_bytes(), [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic())
}

/// As `url.<base>.insteadOf` has it: the longest match counts.
fn rewritten(config: &Config, url: &str) -> String {
    let bases = config.keys().filter_map(|key| Some((key, key.strip_prefix("url.")?.strip_suffix(".insteadof")?)));
    let matches = bases.flat_map(|(key, base)| config.all(key).iter().map(move |from| (base, from)));
    let best = matches.filter(|(_, from)| url.starts_with(from.as_str())).max_by_key(|(_, from)| from.len());
    best.map_or_else(|| url.to_owned(), |(base, from)| format!("{base}{}", &url[from.len()..]))
}

/// A commit's name fixes its history, so what was found for one stays true; replaced objects are not looked at.
fn roots(repo: &Repository) -> Result<Vec<Oid>, Error> {
    if repo.shallow {
        return Ok(Vec::new());
    }
    let git = repo.git.env("GIT_NO_REPLACE_OBJECTS", "1").env("GIT_OPTIONAL_LOCKS", "0").env("GIT_NO_LAZY_FETCH", "1");
    let out = git.output(&["rev-parse", "-q", "--verify", "HEAD^{commit}"], b"")?;
    let Some(head) = oid(&String::from_utf8_lossy(&out.stdout)).filter(|_| out.status.success()) else { return Ok(Vec::new()) };
    let file = repo.private_dir().join("roots");
    let mut known = remembered(&file, repo.hash);
    if let Some((_, roots)) = known.iter().find(|(commit, _)| *commit == head) {
        return Ok(roots.iter().copied().map(Oid).collect());
    }
    let mut found = BTreeSet::new();
    let (head_text, mut not) = (head.to_string(), String::new());
    for (commit, roots) in &known {
        // Git says 1 for no, and worse for a commit that is not there any more.
        let args = ["merge-base", "--is-ancestor", &commit.to_string(), &head_text];
        if git.output(&args, b"")?.status.success() {
            found.extend(roots.iter().copied());
            not = format!("^{commit}");
            break;
        }
    }
    let mut args = vec!["rev-list", "--max-parents=0", &head_text];
    args.extend((!not.is_empty()).then_some(not.as_str()));
    found.extend(git.lines(&args)?.iter().filter_map(|line| oid(line)));
    known.insert(0, (head, found.iter().copied().collect()));
    known.truncate(REMEMBERED);
    // Only a cache: where it cannot be written, the history is walked again.
    let _ = remember(&file, &known);
    Ok(found.into_iter().map(Oid).collect())
}

type Known = Vec<(ObjectId, Vec<ObjectId>)>;

/// One line for each head: it, and its roots.
fn remembered(file: &Path, hash: gix::hash::Kind) -> Known {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = |line: &str| {
        let oids: Option<Vec<ObjectId>> = line.split(' ').map(|word| oid(word).filter(|oid| oid.kind() == hash)).collect();
        let oids = oids?;
        let (head, roots) = oids.split_first()?;
        (!roots.is_empty()).then(|| (*head, roots.to_vec()))
    };
    text.lines().filter_map(line).take(REMEMBERED).collect()
}

fn remember(file: &Path, known: &Known) -> Result<(), durable::Error> {
    let line = |(head, roots): &(ObjectId, Vec<ObjectId>)| {
        let words: Vec<String> = std::iter::once(head).chain(roots).map(ToString::to_string).collect();
        words.join(" ") + "\n"
    };
    durable::create_dirs(durable::parent(file))?;
    durable::write_atomic(file, known.iter().map(line).collect::<String>().as_bytes())
}

fn oid(text: &str) -> Option<ObjectId> {
    ObjectId::from_hex(text.trim().as_bytes()).ok()
}

#[cfg(test)]
mod tests;
