//! Whether a work tree is already as a capsule has it: then nothing needs to be written.

use std::collections::HashMap;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::super::Error;
use super::capture::Work;
use crate::capsule::FileEntry;
use crate::durable::At;
use crate::id::hex;
use crate::progress::Progress;
use crate::workspace::capture::CapturedFile;
use crate::workspace::model::{PACK, Workspace};
use crate::workspace::{self};

/// `files` is what the capsule's manifest lists.
pub fn is_same(work: &Work, model: &Workspace, files: &[FileEntry], progress: &dyn Progress) -> Result<bool, Error> {
    let here = match work.look(progress) {
        Err(workspace::Error::Changed(_)) => return Ok(false),
        here => here?,
    };
    let (now, then) = (&here.model.head, &model.head);
    // A work tree that was brought elsewhere has its HEAD detached there: the branch that it came from is no difference.
    let alike = now.commit == then.commit
        && (now.branch == then.branch || then.commit.is_some() && (now.branch.is_none() || then.branch.is_none()))
        && here.model.index == model.index
        && here.model.unindexed == model.unindexed
        && here.model.files == model.files
        && here.model.operations == model.operations
        && here.model.sparse == model.sparse
        && here.model.submodules == model.submodules;
    if !alike {
        return Ok(false);
    }
    let listed: HashMap<_, _> = files.iter().map(|file| (&file.path, file)).collect();
    for file in here.files.iter().filter(|file| file.name.as_bytes() != PACK.as_bytes()) {
        let Some(there) = listed.get(&file.name) else { return Ok(false) };
        if there.size != file.size || there.sha256 != hash(file)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn hash(file: &CapturedFile) -> Result<String, Error> {
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
    // One that changes meanwhile is not the same.
    let settled = reading.finish().is_ok();
    Ok(if settled { hex(&hash.finalize()) } else { String::new() })
}
