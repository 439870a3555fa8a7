//! HEAD, its upstream, and which commits are only here.
//!
//! What a code remote has is what its tracking refs lead to, as last seen. Only a name is looked for in history, and only
//! as far as `MOST` says: the cost follows the local work.

use std::collections::BTreeSet;

use gix::hash::ObjectId;

use super::{Error, Note, Work};
use crate::git;
use crate::workspace::model::{Head, Identity, Oid, Prerequisite, Upstream};
use crate::workspace::name::Name;

const TRACKING: &[u8] = b"refs/remotes/";
/// Prerequisites for which a ref is looked for that leads to them, refs that are asked, and names that are kept of each.
const MOST: usize = 4;
const MOST_REFS: usize = 16;
const MOST_NAMES: usize = 8;

pub struct History {
    pub head: Head,
    pub upstream: Option<Upstream>,
    /// What the pack must hold with everything behind it.
    pub tips: Vec<ObjectId>,
    /// What else it must hold.
    pub others: Vec<ObjectId>,
    /// What the code remotes are known to have.
    pub remote: Vec<ObjectId>,
    /// How many commits they are not known to have.
    pub commits: u64,
    pub prerequisites: Vec<Prerequisite>,
    pub notes: Vec<Note>,
}

/// A ref that tells of a code remote's.
struct Tracking {
    name: Vec<u8>,
    oid: ObjectId,
    /// As the remote has it.
    there: Vec<u8>,
    /// It only points to another ref, as `origin/HEAD` does.
    symbolic: bool,
}

pub fn of(work: &Work<'_>, also: &[ObjectId]) -> Result<History, Error> {
    let branch = branch(work)?;
    let refs = refs(work, branch.as_deref())?;
    let commit = match &branch {
        Some(branch) => refs.iter().find(|(name, ..)| name == branch).map(|(_, oid, _)| *oid),
        None => Some(oid(work.git.run(&["rev-parse", "--verify", "HEAD^0"])?.trim_ascii_end())?),
    };
    let upstream = branch.as_deref().and_then(|branch| upstream(work, branch, &refs));
    let tracking = tracking(work, refs);
    let mut history = History {
        // A HEAD that points elsewhere is no branch to anybody else.
        head: Head { branch: branch.filter(|name| name.starts_with(b"refs/heads/")).map(Name::new), commit: commit.map(Oid) },
        upstream,
        tips: commit.into_iter().collect(),
        others: Vec::new(),
        remote: tracking.iter().map(|tracking| tracking.oid).collect(),
        commits: 0,
        prerequisites: Vec::new(),
        notes: Vec::new(),
    };
    history.remote.sort_unstable();
    history.remote.dedup();
    history.sort_in(work, also)?;
    let leaned_on = history.split(work)?;
    history.prerequisites = leaned_on.iter().map(|oid| Prerequisite { commit: Oid(*oid), refs: Vec::new() }).collect();
    name(work, &mut history, &tracking)?;
    Ok(history)
}

/// Only what costs nothing: roots and addresses are the business of `workspace::identity`.
pub fn identity(work: &Work<'_>) -> Identity {
    Identity { format: work.repo.hash.to_string(), ..Identity::default() }
}

fn branch(work: &Work<'_>) -> Result<Option<Vec<u8>>, Error> {
    let args = ["symbolic-ref", "--quiet", "HEAD"];
    let out = work.git.output(&args, b"")?;
    match out.status.code() {
        Some(0) => Ok(Some(out.stdout.trim_ascii_end().to_owned())),
        Some(1) => Ok(None),
        _ => Err(git::failed(&args, &out).into()),
    }
}

/// Name, object, and whether it is symbolic, of the branch and everything that could be a tracking ref.
fn refs(work: &Work<'_>, branch: Option<&[u8]>) -> Result<Vec<(Vec<u8>, ObjectId, bool)>, Error> {
    let mut args: Vec<std::ffi::OsString> =
        ["for-each-ref", "--format=%(refname)%00%(objectname)%00%(symref)", "refs/remotes/"].map(Into::into).to_vec();
    if let Some(branch) = branch.filter(|branch| branch.starts_with(b"refs/")) {
        args.push(std::os::unix::ffi::OsStringExt::from_vec(branch.to_owned()));
    }
    let out = work.git.run(&args)?;
    let lines = out.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| match line.split(|&byte| byte == 0).collect::<Vec<_>>()[..] {
            [name, id, symref] => Ok((name.to_owned(), oid(id)?, !symref.is_empty())),
            _ => Err(nonsense("for-each-ref").into()),
        })
        .collect()
}

fn tracking(work: &Work<'_>, refs: Vec<(Vec<u8>, ObjectId, bool)>) -> Vec<Tracking> {
    let config = &work.repo.config;
    let code = config.remotes().into_iter().filter(|remote| !work.options.stores.iter().any(|store| store == remote));
    let specs: Vec<Spec> = code.flat_map(|remote| specs(config, remote)).collect();
    let of = |(name, oid, symbolic): (Vec<u8>, ObjectId, bool)| {
        let there = specs.iter().find_map(|spec| Spec::swap(&name, &spec.here, &spec.there))?;
        name.starts_with(TRACKING).then_some(Tracking { name, oid, there, symbolic })
    };
    refs.into_iter().filter_map(of).collect()
}

fn upstream(work: &Work<'_>, branch: &[u8], refs: &[(Vec<u8>, ObjectId, bool)]) -> Option<Upstream> {
    let config = &work.repo.config;
    let branch = String::from_utf8_lossy(branch.strip_prefix(b"refs/heads/")?).into_owned();
    let remote = config.get(&format!("branch.{branch}.remote"))?;
    let merge = config.get(&format!("branch.{branch}.merge")).filter(|merge| merge.starts_with("refs/"))?;
    let here = specs(config, remote).into_iter().find_map(|spec| Spec::swap(merge.as_bytes(), &spec.there, &spec.here));
    let commit = here.and_then(|here| refs.iter().find(|(name, ..)| *name == here)).map(|(_, oid, _)| Oid(*oid));
    Some(Upstream { remote: Name::new(remote), merge: Name::new(merge), commit })
}

/// One `remote.<name>.fetch`.
struct Spec {
    there: Vec<u8>,
    here: Vec<u8>,
}

fn specs(config: &git::Config, remote: &str) -> Vec<Spec> {
    let spec = |text: &String| {
        let (there, here) = text.trim_start_matches('+').split_once(':')?;
        here.starts_with("refs/remotes/").then(|| Spec { there: there.into(), here: here.into() })
    };
    let own: Vec<Spec> = config.all(&format!("remote.{remote}.fetch")).iter().filter_map(spec).collect();
    if own.is_empty() {
        let here = format!("refs/remotes/{remote}/*").into_bytes();
        return vec![Spec { there: b"refs/heads/*".to_vec(), here }];
    }
    own
}

impl Spec {
    /// The name that fits one pattern, as the other one has it.
    fn swap(name: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
        let cut = |pattern: &[u8]| {
            let star = pattern.iter().position(|&byte| byte == b'*')?;
            Some((pattern[..star].to_owned(), pattern[star + 1..].to_owned()))
        };
        match (cut(from), cut(to)) {
            (Some((before, after)), Some((to_before, to_after))) => {
                let middle = name.strip_prefix(before.as_slice())?.strip_suffix(after.as_slice())?;
                Some([&to_before, middle, &to_after].concat())
            }
            _ => (name == from).then(|| to.to_owned()),
        }
    }
}

impl History {
    /// Commits lead further, anything else is only itself.
    fn sort_in(&mut self, work: &Work<'_>, also: &[ObjectId]) -> Result<(), Error> {
        if also.is_empty() {
            return Ok(());
        }
        let asked: String = also.iter().map(|id| format!("{id}\n")).collect();
        let out = work.objects().feed(&["cat-file", "--batch-check=%(objecttype)"], asked.as_bytes())?;
        for (id, kind) in also.iter().zip(out.split(|&byte| byte == b'\n')) {
            match kind {
                b"commit" => self.tips.push(*id),
                b"tag" | b"tree" | b"blob" => self.others.push(*id),
                _ => self.notes.push(Note::Missing(*id)),
            }
        }
        self.tips.sort_unstable();
        self.tips.dedup();
        Ok(())
    }

    /// Counts the commits that are only here, and returns those that they lean on.
    fn split(&mut self, work: &Work<'_>) -> Result<BTreeSet<ObjectId>, Error> {
        let mut leaned_on = BTreeSet::new();
        let asked: Vec<ObjectId> = self.tips.iter().copied().filter(|tip| self.remote.binary_search(tip).is_err()).collect();
        leaned_on.extend(self.tips.iter().filter(|tip| self.remote.binary_search(tip).is_ok()));
        if asked.is_empty() {
            return Ok(leaned_on);
        }
        let out = work.objects().feed(&["rev-list", "--boundary", "--stdin"], &revisions(&asked, &self.remote))?;
        let mut found: BTreeSet<ObjectId> = BTreeSet::new();
        for line in out.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            match line.strip_prefix(b"-") {
                Some(edge) => drop(leaned_on.insert(oid(edge)?)),
                None => drop(found.insert(oid(line)?)),
            }
        }
        self.commits = found.len() as u64;
        // What a remote has behind its tips is no commit of ours, and no edge of ours either.
        leaned_on.extend(asked.iter().filter(|tip| !found.contains(*tip)));
        leaned_on.extend(cut_off(work, &found)?);
        Ok(leaned_on)
    }
}

/// In a shallow clone, parents that are not here though their children are only here.
fn cut_off(work: &Work<'_>, found: &BTreeSet<ObjectId>) -> Result<Vec<ObjectId>, Error> {
    if !work.repo.shallow {
        return Ok(Vec::new());
    }
    let list = std::fs::read(work.repo.common.join("shallow")).unwrap_or_default();
    let ends = list.split(|&byte| byte == b'\n').filter_map(|line| ObjectId::from_hex(line).ok());
    let asked: String = ends.filter(|end| found.contains(end)).map(|end| format!("{end}\n")).collect();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let out = work.objects().feed(&["cat-file", "--batch"], asked.as_bytes())?;
    let lines = out.split(|&byte| byte == b'\n');
    Ok(lines.filter_map(|line| ObjectId::from_hex(line.strip_prefix(b"parent ")?).ok()).collect())
}

/// Gives each prerequisite the names under which a remote may hand it out.
fn name(work: &Work<'_>, history: &mut History, tracking: &[Tracking]) -> Result<(), Error> {
    let upstream = history.upstream.as_ref().and_then(|upstream| upstream.commit);
    let mut likely: Vec<&Tracking> = tracking.iter().filter(|tracking| !tracking.symbolic).collect();
    // The branch that one works on, then the one that everybody works on.
    let main: Vec<ObjectId> = tracking.iter().filter(|tracking| tracking.symbolic).map(|tracking| tracking.oid).collect();
    likely.sort_by_key(|tracking| (Some(Oid(tracking.oid)) != upstream, !main.contains(&tracking.oid)));
    let mut searches = 0;
    for needed in &mut history.prerequisites {
        let mut at: Vec<&[u8]> = likely.iter().filter(|one| one.oid == needed.commit.0).map(|one| &one.there[..]).collect();
        let leading;
        if at.is_empty() && searches < MOST && !likely.is_empty() {
            searches += 1;
            leading = leading_to(work, &needed.commit.0, &likely[..likely.len().min(MOST_REFS)])?;
            at = likely.iter().filter(|one| leading.contains(&one.name)).map(|one| &one.there[..]).collect();
        }
        at.truncate(MOST_NAMES);
        needed.refs = at.into_iter().map(Name::new).collect();
    }
    Ok(())
}

fn leading_to(work: &Work<'_>, commit: &ObjectId, likely: &[&Tracking]) -> Result<Vec<Vec<u8>>, Error> {
    let mut args: Vec<std::ffi::OsString> =
        vec!["for-each-ref".into(), "--format=%(refname)".into(), format!("--contains={commit}").into()];
    args.extend(likely.iter().map(|one| std::os::unix::ffi::OsStringExt::from_vec(one.name.clone())));
    let out = work.objects().run(&args)?;
    Ok(out.split(|&byte| byte == b'\n').map(<[u8]>::to_owned).collect())
}

/// For `--stdin`: these, and not what the others lead to. `rev-list` of Git before 2.42 takes no `--not` there.
pub fn revisions(tips: &[ObjectId], without: &[ObjectId]) -> Vec<u8> {
    let mut text: String = tips.iter().map(|tip| format!("{tip}\n")).collect();
    text.extend(without.iter().map(|tip| format!("^{tip}\n")));
    text.into_bytes()
}

fn oid(hex: &[u8]) -> Result<ObjectId, git::Error> {
    ObjectId::from_hex(hex).map_err(|_| nonsense("rev-parse"))
}

fn nonsense(verb: &str) -> git::Error {
    git::Error::Nonsense { verb: verb.to_owned() }
}
