//! A model that came from outside is taken for an attack until every word of it has been looked at here.
//!
//! Pure: knows the model and the capsule's files, no repository. What must stay true: a model that passes names no place
//! outside the work tree, none of Git's own, and nothing behind a link that it makes itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::path::RelPath;
use crate::workspace::Error;
use crate::workspace::model::{Entry, Oid, SCHEMA, Sparse, Submodule, What, WorkFile, Workspace};
use crate::workspace::name::Name;

/// What this version can bring back beyond the first one.
const KNOWN: &[&str] = &[];
/// Far beyond what people have, and finite.
const MAX_ENTRIES: usize = 2_000_000;
const MAX_NAMES: usize = 10_000;
const MAX_SPARSE: usize = 4 << 20;
const MAX_LINK: usize = 4095;
const MAX_DEPTH: usize = 8;

/// `has` knows the sizes of the capsule's files.
pub fn check(model: &Workspace, has: impl Fn(&RelPath) -> Option<u64>) -> Result<(), Error> {
    one(model, &has, 0)
}

fn one(model: &Workspace, has: &dyn Fn(&RelPath) -> Option<u64>, depth: usize) -> Result<(), Error> {
    if model.schema != SCHEMA {
        return refuse(format!("its schema is '{}'", shown(&model.schema)));
    }
    if let Some(unknown) = model.requires.iter().find(|word| !KNOWN.contains(&word.as_str())) {
        return refuse(format!("it needs '{}', which this version does not know", shown(unknown)));
    }
    if depth > MAX_DEPTH {
        return refuse("submodules stand in each other without end".to_owned());
    }
    counts(model)?;
    refs(model)?;
    oids(model)?;
    model.index.iter().try_for_each(entry)?;
    model.index.iter().map(|entry| &entry.path).chain(&model.unindexed).try_for_each(path)?;
    model.files.iter().try_for_each(|file| work_file(file, has))?;
    distinct("index", stages(&model.index)?)?;
    distinct("index", model.unindexed.iter())?;
    distinct("files", model.files.iter().map(|file| &file.path))?;
    places(model)?;
    model.sparse.as_ref().map_or(Ok(()), sparse)?;
    distinct("submodules", model.submodules.iter().map(|module| &module.path))?;
    model.submodules.iter().try_for_each(|module| submodule(module, has, depth))
}

fn counts(model: &Workspace) -> Result<(), Error> {
    let many = [model.index.len(), model.unindexed.len(), model.files.len()].iter().any(|&n| n > MAX_ENTRIES);
    let few = [
        model.prerequisites.len(),
        model.submodules.len(),
        model.identity.roots.len(),
        model.identity.remotes.len(),
        model.operations.len(),
    ];
    let refs = model.prerequisites.iter().any(|one| one.refs.len() > MAX_NAMES);
    if many || refs || few.iter().any(|&n| n > MAX_NAMES) { refuse("it is larger than any work tree".to_owned()) } else { Ok(()) }
}

fn refs(model: &Workspace) -> Result<(), Error> {
    if let Some(branch) = model.head.branch.as_ref().filter(|branch| branch.branch().is_none()) {
        return refuse(format!("'{branch}' is no branch"));
    }
    if model.head.branch.is_none() && model.head.commit.is_none() {
        return refuse("its HEAD is neither a branch nor a commit".to_owned());
    }
    let named = model.prerequisites.iter().flat_map(|one| &one.refs).chain(model.upstream.as_ref().map(|upstream| &upstream.merge));
    if let Some(bad) = { named }.find(|name| !name.is_ref()) {
        return refuse(format!("'{bad}' is no ref"));
    }
    match &model.upstream {
        Some(upstream) if upstream.remote.as_bytes().starts_with(b"-") => refuse(format!("'{}' is no remote", upstream.remote)),
        _ => Ok(()),
    }
}

fn oids(model: &Workspace) -> Result<(), Error> {
    let kind = match model.identity.format.as_str() {
        "sha1" => gix::hash::Kind::Sha1,
        "sha256" => gix::hash::Kind::Sha256,
        other => return refuse(format!("objects of the format '{}' are not known", shown(other))),
    };
    let heads = model.head.commit.iter().chain(model.upstream.iter().filter_map(|upstream| upstream.commit.as_ref()));
    let named = heads.chain(&model.identity.roots).chain(model.prerequisites.iter().map(|one| &one.commit));
    let mut all = named.chain(model.index.iter().map(|entry| &entry.oid));
    match all.find(|Oid(oid)| oid.kind() != kind || oid.is_null()) {
        Some(Oid(oid)) => refuse(format!("'{oid}' names no object of this format")),
        None => Ok(()),
    }
}

fn entry(entry: &Entry) -> Result<(), Error> {
    let place = &entry.path;
    if !["100644", "100755", "120000", "160000"].contains(&entry.mode.as_str()) {
        return refuse(format!("'{place}' has the mode '{}'", shown(&entry.mode)));
    }
    if entry.stage > 3 {
        return refuse(format!("'{place}' has the stage {}", entry.stage));
    }
    let marked = entry.intent_to_add || entry.skip_worktree || entry.assume_unchanged;
    if entry.stage > 0 && marked || entry.intent_to_add && entry.mode == "160000" {
        return refuse(format!("'{place}' is marked as it cannot be"));
    }
    if entry.mode == "120000" && is_config(place) { refuse(format!("'{place}' is a link")) } else { Ok(()) }
}

fn path(path: &Name) -> Result<(), Error> {
    path.fault().map_or(Ok(()), |why| refuse(format!("'{}' is no path for it ({why})", short(path))))
}

fn work_file(file: &WorkFile, has: &dyn Fn(&RelPath) -> Option<u64>) -> Result<(), Error> {
    let place = &file.path;
    path(place)?;
    match &file.what {
        What::File { at, size, .. } if !at.as_bytes().starts_with(b"workspace/") || has(at) != Some(*size) => {
            refuse(format!("the content of '{place}' did not come with it"))
        }
        What::Link { .. } if is_config(place) => refuse(format!("'{place}' is a link")),
        What::Link { to } if to.as_bytes().is_empty() || to.as_bytes().len() > MAX_LINK || to.as_bytes().contains(&0) => {
            refuse(format!("'{place}' leads to no name"))
        }
        _ => Ok(()),
    }
}

/// Git itself must not follow a link there: a later `git submodule` reads and writes behind it.
fn is_config(path: &Name) -> bool {
    Name::new(path.as_bytes().rsplit(|&b| b == b'/').next().unwrap_or_default()).is_gitmodules()
}

/// The paths of the index, each once, whatever number of stages it has.
fn stages(index: &[Entry]) -> Result<impl Iterator<Item = &Name>, Error> {
    let mut seen: BTreeMap<&Name, u8> = BTreeMap::new();
    for entry in index {
        let stages = seen.entry(&entry.path).or_default();
        let bit = 1 << entry.stage;
        let clash = *stages & bit != 0 || *stages != 0 && (*stages | bit) & 1 != 0;
        if clash {
            return refuse(format!("'{}' stands in the index twice", entry.path));
        }
        *stages |= bit;
    }
    Ok(seen.into_keys())
}

fn distinct<'a>(what: &str, names: impl Iterator<Item = &'a Name>) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return refuse(format!("'{name}' stands among its {what} twice"));
        }
    }
    Ok(())
}

/// Nothing is below a file, a link, a submodule or an empty directory; what is gone is no obstacle.
fn places(model: &Workspace) -> Result<(), Error> {
    let staged: BTreeMap<&[u8], &Entry> =
        { model.index.iter().filter(|entry| entry.stage == 0) }.map(|entry| (entry.path.as_bytes(), entry)).collect();
    let work: BTreeMap<&[u8], &What> = model.files.iter().map(|file| (file.path.as_bytes(), &file.what)).collect();
    let indexed: BTreeSet<&Name> = model.index.iter().map(|entry| &entry.path).collect();
    if let Some(both) = model.unindexed.iter().find(|path| indexed.contains(path)) {
        return refuse(format!("'{both}' is in the index and not in it"));
    }
    for entry in staged.values() {
        if entry.path.parents().any(|above| staged.contains_key(above)) {
            return refuse(format!("'{}' is below another entry of the index", entry.path));
        }
    }
    for file in model.files.iter().filter(|file| file.what != What::Gone) {
        let blocked = |above: &[u8]| match (work.get(above), staged.get(above)) {
            (Some(What::Gone), Some(entry)) => entry.mode == "160000",
            (Some(What::Gone), None) => false,
            (Some(_), _) => true,
            (None, Some(entry)) => !entry.skip_worktree,
            (None, None) => false,
        };
        if file.path.parents().any(blocked) {
            return refuse(format!("'{}' is below what is no directory", file.path));
        }
    }
    Ok(())
}

fn sparse(sparse: &Sparse) -> Result<(), Error> {
    let text = sparse.patterns.as_bytes();
    if text.len() > MAX_SPARSE || text.contains(&0) { refuse("its sparse-checkout patterns are none".to_owned()) } else { Ok(()) }
}

fn submodule(module: &Submodule, has: &dyn Fn(&RelPath) -> Option<u64>, depth: usize) -> Result<(), Error> {
    path(&module.path)?;
    module.contents.as_ref().map_or(Ok(()), |contents| one(contents, has, depth + 1))
}

fn refuse<T>(why: String) -> Result<T, Error> {
    Err(Error::Damaged(why))
}

fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

fn short(path: &Name) -> String {
    Name::new(&path.as_bytes()[..path.as_bytes().len().min(120)]).to_string()
}
