//! Where each file stands in the capsule: under its own name, if every system can hold that, else under a hash of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::files::Found;
use super::{CapturedFile, Error, Source, TreeFile, Work};
use crate::id::hex;
use crate::path::RelPath;
use crate::workspace::model::{What, WorkFile};
use crate::workspace::name::Name;

pub const TOP: &str = "workspace";
pub const PACK: &str = "objects.pack";
const FILES: &str = "files";
const ODD: &str = "odd";

pub fn all(work: &Work<'_>, found: impl IntoIterator<Item = (Vec<u8>, Found)>) -> Result<(Vec<CapturedFile>, Vec<WorkFile>), Error> {
    let found: Vec<(Vec<u8>, Found)> = found.into_iter().collect();
    let names = Names::of(found.iter().filter(|(_, what)| matches!(what, Found::File(_))).map(|(name, _)| name.as_slice()));
    let (mut files, mut work_files) = (Vec::new(), Vec::new());
    for (name, what) in found {
        let what = match what {
            Found::Link(to) => What::Link { to },
            Found::Gone => What::Gone,
            Found::Directory => What::Directory,
            Found::File(seen) => {
                let at = names.place(work.at, &name)?;
                let source = Source::Tree(TreeFile { tree: Arc::clone(&work.tree), name: name.clone(), seen });
                let (size, mode) = (seen.size, seen.mode);
                files.push(CapturedFile { name: at.clone(), source, size, mode, modified: seen.modified() });
                What::File { at, size, mode }
            }
        };
        work_files.push(WorkFile { path: Name::new(name), what });
    }
    Ok((files, work_files))
}

pub fn in_capsule(top: &str, below: &[u8]) -> Result<RelPath, Error> {
    RelPath::parse(&[top.as_bytes(), below].join(&b'/')).map_err(|error| Error::Damaged(error.to_string()))
}

/// Names as a system sees them that does not tell small letters from capitals.
struct Names {
    files: HashMap<String, usize>,
    directories: HashSet<String>,
}

impl Names {
    fn of<'a>(all: impl Iterator<Item = &'a [u8]>) -> Names {
        let mut names = Names { files: HashMap::new(), directories: HashSet::new() };
        for name in all {
            let name = folded(name);
            let ends = name.match_indices('/').map(|(end, _)| name[..end].to_owned());
            names.directories.extend(ends);
            *names.files.entry(name).or_default() += 1;
        }
        names
    }

    fn place(&self, top: &str, name: &[u8]) -> Result<RelPath, Error> {
        let seen = folded(name);
        let alone = self.files.get(&seen) == Some(&1) && !self.directories.contains(&seen);
        match in_capsule(top, &[FILES.as_bytes(), name].join(&b'/')) {
            Ok(place) if alone => Ok(place),
            _ => in_capsule(top, format!("{ODD}/{}", hex(&Sha256::digest(name))).as_bytes()),
        }
    }
}

fn folded(name: &[u8]) -> String {
    crate::path::escape(name).to_lowercase()
}
