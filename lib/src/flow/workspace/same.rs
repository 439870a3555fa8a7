//! Whether a work tree is already as a capsule has it: then nothing needs to be written.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::super::Error;
use super::capture::Work;
use crate::capsule::FileEntry;
use crate::durable::At;
use crate::id::hex;
use crate::progress::Progress;
use crate::workspace::capture::{Capture, CapturedFile, Source};
use crate::workspace::model::{Submodule, What, Workspace};
use crate::workspace::name::Name;
use crate::workspace::operation::Operation;
use crate::workspace::{self};

/// A command line is finite.
const MOST_NAMES: usize = 100_000;

/// `files` is what the capsule's manifest lists.
pub fn is_same(work: &Work, model: &Workspace, files: &[FileEntry], progress: &dyn Progress) -> Result<bool, Error> {
    let Some(mut here) = look(work, progress)? else { return Ok(false) };
    // What Git ignores was taken along by name; nothing here says which.
    let also = unseen(&here.model, model);
    if !also.is_empty() && also.iter().map(String::len).sum::<usize>() < MOST_NAMES {
        let Some(more) = look(&work.also(also), progress)? else { return Ok(false) };
        here = more;
    }
    // What stays behind whenever it is captured, and did: it is here since before.
    let there: HashSet<&Name> = model.files.iter().map(|file| &file.path).collect();
    work.without_what_stays(&mut here, |name| there.contains(name))?;
    let (now, then) = (&here.model.head, &model.head);
    // A work tree that was brought elsewhere has its HEAD detached there: the branch that it came from is no difference.
    let alike = now.commit == then.commit
        && (now.branch == then.branch || then.commit.is_some() && (now.branch.is_none() || then.branch.is_none()))
        && here.model.index == model.index
        && here.model.unindexed == model.unindexed
        && here.model.files == model.files
        && here.model.operations.iter().map(plain).eq(model.operations.iter().map(plain))
        && here.model.sparse == model.sparse
        && here.model.submodules.len() == model.submodules.len()
        && here.model.submodules.iter().zip(&model.submodules).all(|(now, then)| is_same_module(now, then));
    if !alike {
        return Ok(false);
    }
    let listed: HashMap<_, _> = files.iter().map(|file| (&file.path, file)).collect();
    for file in here.files.iter().filter(|file| !matches!(file.source, Source::Pack(_))) {
        let Some(there) = listed.get(&file.name) else { return Ok(false) };
        if there.size != file.size || there.sha256 != hash(file)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub fn look(work: &Work, progress: &dyn Progress) -> Result<Option<Capture>, Error> {
    match work.look(progress) {
        Err(workspace::Error::Changed(_)) => Ok(None),
        here => Ok(Some(here?)),
    }
}

/// Files of the capsule that Git did not speak of here, as patterns that name nothing else.
fn unseen(here: &Workspace, then: &Workspace) -> Vec<String> {
    let seen: HashSet<&Name> = here.files.iter().map(|file| &file.path).collect();
    let files = then.files.iter().filter(|file| matches!(file.what, What::File { .. } | What::Link { .. }) && !seen.contains(&file.path));
    let escaped = |name: &str| name.chars().flat_map(|c| "\\*?[ ".contains(c).then_some('\\').into_iter().chain([c])).collect::<String>();
    files.filter_map(|file| Some(format!("/{}", escaped(std::str::from_utf8(file.path.as_bytes()).ok()?)))).collect()
}

/// As it is brought: it may end on another branch here, and what would have run may have been left out.
fn plain(operation: &Operation) -> Operation {
    let (mut operation, _) = operation.clone().without_what_runs();
    match &mut operation {
        Operation::Rebase(rebase) => rebase.head_name = None,
        Operation::Apply(apply) => apply.head_name = None,
        _ => {}
    }
    operation
}

/// One that is not checked out here is as a restore leaves it.
fn is_same_module(now: &Submodule, then: &Submodule) -> bool {
    let alike = |now: &Submodule| match (&now.contents, &then.contents) {
        (Some(now), Some(then)) => is_same_inside(now, then),
        (now, then) => now.is_none() && then.is_none(),
    };
    let dirt = |module: &Submodule| (module.commit, module.changed, module.untracked);
    now.path == then.path && (dirt(now) == dirt(then) && alike(now) || now.commit.is_none() && then.contents.is_none())
}

/// What its remotes have is no difference, nor is the branch; its files are compared with the others.
fn is_same_inside(now: &Workspace, then: &Workspace) -> bool {
    now.head.commit == then.head.commit
        && now.index == then.index
        && now.unindexed == then.unindexed
        && now.files == then.files
        && now.sparse == then.sparse
        && now.submodules.len() == then.submodules.len()
        && now.submodules.iter().zip(&then.submodules).all(|(now, then)| is_same_module(now, then))
}

/// Of one that changes meanwhile it is none that anything has.
pub fn hash(file: &CapturedFile) -> Result<String, Error> {
    let mut reading = file.open()?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match reading.read(&mut block) {
            Ok(0) => break,
            Ok(n) => hash.update(&block[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).at("read", file.name.as_path()).map_err(Error::from),
        }
    }
    let settled = reading.finish().is_ok();
    Ok(if settled { hex(&hash.finalize()) } else { String::new() })
}
