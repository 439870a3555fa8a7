//! What a workspace leans on: which commits are here, who is asked for those that are not, and the pack that came with it.
//!
//! What must stay true: a whole repository is never made shallow; no ref of the user's and no `FETCH_HEAD` is written.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use gix::hash::ObjectId;

use super::plan::Missing;
use super::{Error, Plan, calm};
use crate::durable::At;
use crate::git::{Git, Repository};
use crate::path::RelPath;
use crate::workspace::model::{Oid, PACK, Workspace};
use crate::workspace::{self, identity};

/// A few bytes of deltas can unpack to any size; Git holds one such object for each processor.
pub const MAX_MEMORY: u64 = 4 << 30;

/// Those of them that the repository does not have; nothing is fetched to find out.
pub fn absent(git: &Git, oids: impl Iterator<Item = Oid>) -> Result<Vec<Oid>, Error> {
    let wanted: BTreeSet<Oid> = oids.collect();
    let input: String = wanted.iter().map(|Oid(oid)| format!("{oid}\n")).collect();
    if input.is_empty() {
        return Ok(Vec::new());
    }
    let out = git.env("GIT_NO_LAZY_FETCH", "1").feed(&["cat-file", "--batch-check=%(objectname)"], input.as_bytes())?;
    let text = String::from_utf8_lossy(&out);
    let missing = text.lines().filter_map(|line| line.strip_suffix(" missing"));
    Ok(missing.filter_map(|oid| ObjectId::from_hex(oid.as_bytes()).ok()).map(Oid).collect())
}

/// Commits that must be there before the pack can be taken.
pub fn needed(model: &Workspace) -> Vec<Missing> {
    let mut needed: Vec<Missing> = model.prerequisites.iter().map(|one| Missing { commit: one.commit, refs: one.refs.clone() }).collect();
    let local = model.pack.as_ref().is_some_and(|pack| pack.commits > 0);
    let head = model.head.commit.filter(|head| !local && !needed.iter().any(|one| one.commit == *head));
    let refs = model.upstream.iter().map(|upstream| upstream.merge.clone()).collect();
    needed.extend(head.map(|commit| Missing { commit, refs }));
    needed
}

/// Remotes that may have the commits: those of the workspace's own addresses first.
pub fn sources(repo: &Repository, model: &Workspace, stores: &[String]) -> Vec<String> {
    let known = |name: &str| identity::addresses(&repo.config, name).iter().any(|url| model.identity.remotes.contains(url));
    let code = repo.code_remotes().into_iter().filter(|name| !name.starts_with('-') && !stores.iter().any(|store| store == name));
    let mut names: Vec<String> = code.map(str::to_owned).collect();
    names.sort_by_key(|name| !known(name));
    names
}

/// Asks the remotes one after the other for what is missing, by name and then by the refs that lead to it.
pub fn fetch(plan: &Plan<'_>) -> Result<(), Error> {
    let mut missing = plan.missing.clone();
    let mut said = if plan.sources.is_empty() { "no remote to ask".to_owned() } else { String::new() };
    let git = calm(&plan.repo.git);
    for remote in &plan.sources {
        for by_name in [true, false] {
            if missing.is_empty() {
                return Ok(());
            }
            if let Err(error) = fetch_from(&git, plan.repo, remote, &missing, by_name) {
                if matches!(error, crate::git::Error::Interrupted) {
                    return Err(error.into());
                }
                said = format!("'{}': {error}", crate::path::escape(remote.as_bytes()));
            }
            let still = absent(&plan.repo.git, missing.iter().map(|one| one.commit))?;
            missing.retain(|one| still.contains(&one.commit));
        }
    }
    match missing.first() {
        Some(one) => Err(Error::Missing { commit: one.commit, said }),
        None => Ok(()),
    }
}

fn fetch_from(git: &Git, repo: &Repository, remote: &str, missing: &[Missing], by_name: bool) -> Result<(), crate::git::Error> {
    let mut args: Vec<String> =
        ["fetch", "-q", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules"].map(str::to_owned).into();
    // Nor are remote-tracking refs moved in passing.
    args.push("--refmap=".to_owned());
    let wanted: Vec<String> = if by_name {
        missing.iter().map(|one| one.commit.0.to_string()).collect()
    } else {
        missing
            .iter()
            .flat_map(|one| &one.refs)
            .filter(|name| name.is_ref())
            .filter_map(|name| String::from_utf8(name.as_bytes().to_vec()).ok())
            .collect()
    };
    if wanted.is_empty() {
        return Ok(());
    }
    // A boundary more in a shallow repository; in a whole one, depth would cut its history.
    args.extend((repo.shallow && by_name).then(|| "--depth=1".to_owned()));
    args.extend(["--stdin".to_owned(), "--".to_owned(), remote.to_owned()]);
    git.feed(&args, (wanted.join("\n") + "\n").as_bytes()).map(drop)
}

/// Takes the pack in, kept from `git gc` until something refers to it.
pub fn take_in(plan: &Plan<'_>, mark: &str) -> Result<(), Error> {
    let Some(pack) = &plan.model.pack else { return Ok(()) };
    let name = PACK.replacen("workspace", &plan.dir, 1);
    let name = RelPath::parse(name.as_bytes()).map_err(|error| damaged(error.to_string()))?;
    let path = plan.staged.join(name.as_path());
    let mut header = [0; 12];
    File::open(&path).and_then(|mut file| file.read_exact(&mut header)).at("read", &path)?;
    let objects = u64::from(u32::from_be_bytes([header[8], header[9], header[10], header[11]]));
    let size = fs::metadata(&path).at("read", &path)?.len();
    if !header.starts_with(b"PACK") || objects != pack.objects || size != pack.size {
        return Err(
            damaged(format!("its pack holds {objects} objects in {size} bytes and should hold {} in {}", pack.objects, pack.size)).into()
        );
    }
    let args = [
        "index-pack".to_owned(),
        "--stdin".to_owned(),
        "--fix-thin".to_owned(),
        "--strict".to_owned(),
        format!("--keep={mark}"),
        format!("--max-input-size={size}"),
    ];
    calm(&plan.repo.git).feed_file(&args, File::open(&path).at("read", &path)?, MAX_MEMORY)?;
    Ok(())
}

/// Lets go of the pack: what refers to its objects keeps them now, or nothing wants them.
pub fn let_go(objects: &Path, mark: &str) {
    let Ok(entries) = fs::read_dir(objects.join("pack")) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "keep")) {
        if fs::read_to_string(&path).is_ok_and(|text| text.trim_end() == mark) {
            let _ = fs::remove_file(path);
        }
    }
}

/// That everything the index and HEAD name is there, so that nothing fails half-way.
pub fn complete(plan: &Plan<'_>) -> Result<(), Error> {
    let blobs = plan.model.index.iter().filter(|entry| entry.mode != "160000" && !entry.intent_to_add).map(|entry| entry.oid);
    // In a partial clone Git fetches what a checkout wants.
    if plan.repo.promisor().is_none()
        && let Some(missing) = absent(&plan.repo.git, blobs)?.first()
    {
        return Err(Error::NotBrought(*missing));
    }
    let Some(head) = plan.model.head.commit else { return Ok(()) };
    let out = plan.repo.git.feed(&["cat-file", "--batch-check=%(objecttype)"], format!("{}\n", head.0).as_bytes())?;
    if out == b"commit\n" { Ok(()) } else { Err(Error::NotBrought(head)) }
}

/// Paths of the commit; with commits to lean on, only those in which it differs from all of them.
pub fn brought(git: &Git, model: &Workspace) -> Result<BTreeSet<Vec<u8>>, Error> {
    let Some(head) = model.head.commit else { return Ok(BTreeSet::new()) };
    let mut common: Option<BTreeSet<Vec<u8>>> = None;
    for base in &model.prerequisites {
        let args = [
            "diff-tree".to_owned(),
            "-r".to_owned(),
            "-z".to_owned(),
            "--name-only".to_owned(),
            base.commit.0.to_string(),
            head.0.to_string(),
            "--".to_owned(),
        ];
        let found = names(&git.run(&args)?);
        common = Some(common.map_or_else(|| found.clone(), |common| common.intersection(&found).cloned().collect()));
    }
    match common {
        Some(common) => Ok(common),
        None if model.pack.is_none() => Ok(BTreeSet::new()),
        None => tree(git, head),
    }
}

/// Of the index, what a checkout writes: neither what is unmerged nor what is left out.
pub fn checked_out(git: &Git) -> Result<BTreeSet<Vec<u8>>, Error> {
    let list = git.run(&["ls-files", "-z", "-v"])?;
    Ok(list.split(|&b| b == 0).filter(|line| matches!(line.first(), Some(b'H' | b'h'))).map(|line| line[2..].to_vec()).collect())
}

/// All paths of a commit's tree.
pub fn tree(git: &Git, commit: Oid) -> Result<BTreeSet<Vec<u8>>, Error> {
    Ok(names(&git.run(&["ls-tree", "-r", "-z", "--full-tree", "--name-only", &commit.0.to_string()])?))
}

pub fn names(list: &[u8]) -> BTreeSet<Vec<u8>> {
    list.split(|&b| b == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
}

fn damaged(why: String) -> workspace::Error {
    workspace::Error::Damaged(why)
}
