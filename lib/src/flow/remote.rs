//! Chains to and from a remote, by Git's own fetch and push.
//!
//! The network is the user's Git: credentials, proxies and policies are theirs. What must stay true: nothing is pushed that
//! is not a fast-forward there, save where a caller says from which value; what is fetched goes to tracking refs only.

use std::collections::BTreeMap;

use gix::hash::ObjectId;

use super::ledger::{Finding, Ledger};
use super::refspecs::{self, AT_ONCE, Sent};
use super::{Error, remotes};
use crate::git::{self, Repository, failed};
use crate::id::SessionId;
use crate::store::names::{self, Named};
use crate::store::refs::Known;

/// What Git says of one pushed ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Pushed,
    UpToDate,
    /// Somebody else was there first, as far as these words tell.
    Behind(String),
    /// For a reason of the remote's own, in its words.
    Refused(String),
}

/// The remote that is meant; see `remotes::store`.
pub fn choose(repo: &Repository, named: Option<&str>) -> Result<String, Error> {
    remotes::store(repo, named)?.map(str::to_owned).ok_or(Error::NoRemote)
}

/// Brings what the remote has: everything, or these sessions.
pub fn fetch(repo: &Repository, remote: &str, only: &[&SessionId], prune: bool) -> Result<(), Error> {
    let mut args = vec!["fetch", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance", "--refmap="];
    args.extend([if prune { "--prune" } else { "--no-prune" }, "--quiet", "--stdin", "--end-of-options", remote]);
    // Not as words: some thousand of them are more than a program can be started with.
    let spec = |sid: &&SessionId| format!("+{}:{}\n", names::session(sid), names::tracking(remote, sid));
    let specs = if only.is_empty() { names::refspec(remote) + "\n" } else { only.iter().map(spec).collect() };
    repo.git.feed(&args, specs.as_bytes())?;
    Ok(())
}

/// As `fetch`, of sessions that the remote may not have at all.
pub fn fetch_what_is_there(repo: &Repository, remote: &str, only: &[&SessionId]) -> Result<(), Error> {
    match fetch(repo, remote, only, false) {
        // Git then brings none of them.
        Err(Error::Git(git::Error::Failed { said, .. })) if said.contains("couldn't find remote ref") && only.len() > 1 => {
            let there = list(repo, remote)?;
            let left: Vec<&SessionId> = only.iter().copied().filter(|sid| there.contains_key(*sid)).collect();
            match left.len() {
                0 => Ok(()),
                // It came between the two looks.
                n if n == only.len() => fetch(repo, remote, &left, false),
                _ => fetch_what_is_there(repo, remote, &left),
            }
        }
        Err(Error::Git(git::Error::Failed { said, .. })) if said.contains("couldn't find remote ref") => Ok(()),
        fetched => fetched,
    }
}

/// How one session stands, with what the remote has of it now; that there is nothing is no error.
pub fn newest(ledger: &Ledger<'_>, sid: &SessionId, remote: &str, findings: &mut Vec<Finding>) -> Result<Known, Error> {
    fetch_what_is_there(&ledger.store.repo, remote, &[sid])?;
    ledger.sync_with(sid, remote, findings)
}

/// What a push of one ref shall do.
#[derive(Debug, Clone)]
pub struct Push {
    pub sid: SessionId,
    pub tip: ObjectId,
    /// Replace what is there, if it is exactly this.
    pub instead_of: Option<ObjectId>,
}

/// Pushes these, each for itself. An error means that nothing is known of any.
pub fn push(repo: &Repository, remote: &str, pushes: &[Push]) -> Result<BTreeMap<SessionId, Verdict>, Error> {
    let mut verdicts = BTreeMap::new();
    let sent = |push: &Push| {
        let to = names::session(&push.sid);
        // With a lease it is meant alone.
        let from = if push.instead_of.is_some() { push.tip.to_string() } else { to.clone() };
        Sent { force: false, from, tip: Some(push.tip), to }
    };
    let words = refspecs::words(&repo.git, &pushes.iter().map(sent).collect::<Vec<_>>())?;
    let batches: Vec<(Vec<&str>, Vec<&Push>)> = words
        .chunks(AT_ONCE)
        .map(|some| (some.iter().map(|word| &*word.text).collect(), some.iter().flat_map(|word| &word.of).map(|&n| &pushes[n]).collect()))
        .collect();
    for (n, (words, some)) in batches.iter().enumerate() {
        match push_some(repo, remote, words, some) {
            // What went before it has arrived; the rest is not tried on a remote that is gone.
            Err(Error::Git(git::Error::Failed { said, .. })) if n > 0 => {
                let rest = batches[n..].iter().flat_map(|(_, some)| some);
                verdicts.extend(rest.map(|push| (push.sid.clone(), Verdict::Refused(said.clone()))));
                break;
            }
            some => verdicts.extend(some?),
        }
    }
    Ok(verdicts)
}

fn push_some(repo: &Repository, remote: &str, words: &[&str], pushes: &[&Push]) -> Result<BTreeMap<SessionId, Verdict>, Error> {
    let mut args: Vec<String> =
        ["push", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", "--no-atomic"].map(str::to_owned).to_vec();
    for Push { sid, instead_of, .. } in pushes {
        args.extend(instead_of.map(|from| format!("--force-with-lease={}:{from}", names::session(sid))));
    }
    args.extend(["--end-of-options".to_owned(), remote.to_owned()]);
    args.extend(words.iter().map(|word| (*word).to_owned()));
    // Sealed parts have no likeness to find: looking for one would cost more than the rest of the push.
    let git = repo.git.with("pack.window=0").with("push.pushOption=").with("push.gpgSign=false");
    let out = git.output(&args, b"")?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let theirs = its_words(&said);
    let mut verdicts = BTreeMap::new();
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let with_words = |verdict| match verdict {
            Verdict::Refused(why) if !theirs.is_empty() => Verdict::Refused(format!("{why}; it says: {theirs}")),
            Verdict::Behind(why) if !theirs.is_empty() => Verdict::Behind(format!("{why}; it says: {theirs}")),
            verdict => verdict,
        };
        verdicts.extend(verdict(line).map(|(sid, verdict)| (sid, with_words(verdict))));
    }
    if verdicts.is_empty() && !out.status.success() {
        return Err(failed(&args, &out).into());
    }
    for push in pushes {
        // Where the connection broke there is no word about the rest.
        let unsaid = || Verdict::Refused(last_words(&said));
        verdicts.entry(push.sid.clone()).or_insert_with(unsaid);
    }
    Ok(verdicts)
}

/// `<flag> TAB <from>:<to> TAB <summary> (<reason>)`
fn verdict(line: &str) -> Option<(SessionId, Verdict)> {
    let mut fields = line.splitn(3, '\t');
    let (flag, refs, summary) = (fields.next()?, fields.next()?, fields.next()?);
    let Some(Named::Local(sid)) = names::parse(refs.rsplit_once(':')?.1) else { return None };
    let verdict = match flag {
        "=" => Verdict::UpToDate,
        " " | "*" | "+" | "-" => Verdict::Pushed,
        _ => {
            let reason = summary.split_once('(').map_or(summary, |(_, reason)| reason.trim_end_matches(')'));
            // The last ones are what a server says when another push was faster between its list of refs and our turn.
            let behind = [
                "fetch first",
                "non-fast-forward",
                "stale info",
                "needs force",
                "failed to update ref",
                "cannot lock ref",
                "reference already exists",
                "incorrect old value provided",
            ];
            let is_behind = behind.iter().any(|word| reason.contains(word));
            if is_behind { Verdict::Behind(reason.to_owned()) } else { Verdict::Refused(reason.to_owned()) }
        }
    };
    Some((sid, verdict))
}

/// What the other side had to say, its hooks above all.
fn its_words(said: &str) -> String {
    let theirs = |line: &str| {
        let unpacking = line.strip_prefix("error: ").filter(|words| words.starts_with("remote unpack failed"));
        Some(line.strip_prefix("remote: ").or(unpacking)?.trim().to_owned())
    };
    let lines: Vec<String> = said.lines().filter_map(theirs).filter(|line| !line.is_empty()).collect();
    lines.join(" / ").chars().take(300).collect()
}

fn last_words(said: &str) -> String {
    let line = said.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with("hint:"));
    line.unwrap_or("the connection ended").trim_start_matches("fatal: ").trim_start_matches("error: ").chars().take(300).collect()
}

/// Where one session's chain ends there.
pub fn tip(repo: &Repository, remote: &str, sid: &SessionId) -> Result<Option<ObjectId>, Error> {
    let lines = repo.git.lines(&["ls-remote", "--refs", "--quiet", "--end-of-options", remote, &names::session(sid)])?;
    Ok(lines.first().and_then(|line| ObjectId::from_hex(line.split('\t').next()?.as_bytes()).ok()))
}

/// What a remote has, without bringing it.
pub fn list(repo: &Repository, remote: &str) -> Result<BTreeMap<SessionId, ObjectId>, Error> {
    let pattern = format!("{}sessions/*", names::PUBLIC);
    let lines = repo.git.lines(&["ls-remote", "--refs", "--quiet", "--end-of-options", remote, &pattern])?;
    let mut listed = BTreeMap::new();
    for line in lines {
        let (id, name) = line.split_once('\t').ok_or_else(|| git::Error::Nonsense { verb: "ls-remote".to_owned() })?;
        if let (Ok(id), Some(Named::Local(sid))) = (ObjectId::from_hex(id.as_bytes()), names::parse(name)) {
            listed.insert(sid, id);
        }
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_read_from_a_line() {
        let name = "refs/samesession/sessions/abcdefghijklmnopqrstuvwxyz";
        for (line, says) in [
            (format!("=\tx:{name}\t[up to date]"), Verdict::UpToDate),
            (format!("*\tx:{name}\t[new reference]"), Verdict::Pushed),
            (format!(" \tx:{name}\t12..34"), Verdict::Pushed),
            (format!("!\tx:{name}\t[rejected] (fetch first)"), Verdict::Behind("fetch first".into())),
            (
                format!("!\tx:{name}\t[remote rejected] (cannot lock ref 'x': is at 1 but expected 2)"),
                Verdict::Behind("cannot lock ref 'x': is at 1 but expected 2".into()),
            ),
            (format!("!\tx:{name}\t[remote rejected] (pre-receive hook declined)"), Verdict::Refused("pre-receive hook declined".into())),
        ] {
            assert_eq!(verdict(&line).expect("a verdict").1, says, "{line}");
        }
        assert!(verdict("To /somewhere").is_none() && verdict("Done").is_none());
    }
}
