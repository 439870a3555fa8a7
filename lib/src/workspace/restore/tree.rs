//! In what state a work tree was left, in a few bytes, so that it is known later whether somebody worked in it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Error, calm};
use crate::git::Git;
use crate::id::hex;
use crate::workspace::name::Name;

/// HEAD, the index against it, and every file that is otherwise than the index has it, by its size and times. Brings what
/// the index remembers of the files up to date on the way.
pub fn stamp(git: &Git, top: &Path) -> Result<String, Error> {
    let git = calm(&git.elsewhere(top));
    let args = ["status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", "--no-renames", "--no-ahead-behind"];
    let status = match git.run(&args) {
        Err(error) if !matches!(error, crate::git::Error::Interrupted) => forgiving(&git)?.run(&args)?,
        status => status?,
    };
    let mut hash = Sha256::new();
    for line in status.split(|&b| b == 0) {
        // What a branch follows may be set without anybody working here.
        if line.starts_with(b"# branch.upstream") || line.starts_with(b"# branch.ab") {
            continue;
        }
        hash.update(line);
        hash.update([0]);
        let fields = match line.first() {
            Some(b'1') => 9,
            Some(b'u') => 11,
            Some(b'?') => 2,
            _ => continue,
        };
        let Some(path) = line.splitn(fields, |&b| b == b' ').nth(fields - 1) else { continue };
        if let Ok(meta) = std::fs::symlink_metadata(top.join(Name::new(path).as_path())) {
            hash.update(format!("{} {} {} {}", meta.size(), meta.mode(), meta.mtime(), meta.mtime_nsec()));
        }
    }
    Ok(hex(&hash.finalize()))
}

/// A filter that cannot run here must not keep the work tree from being looked at.
fn forgiving(git: &Git) -> Result<Git, Error> {
    let keys = git.output(&["config", "--name-only", "--get-regexp", r"^filter\..*\.required$"], b"")?.stdout;
    let keys = String::from_utf8_lossy(&keys);
    Ok(keys.lines().fold(git.clone(), |git, key| git.with(&format!("{key}=false"))))
}
