//! Which part of the tree was checked out, if not all.

use std::io;

use memchr::memmem;

use super::{Error, Work, answers};
use crate::durable::At;
use crate::git::Repository;
use crate::workspace::model::Sparse;
use crate::workspace::name::Name;

const DIRECTORY: &[u8] = b" 040000 ";

pub fn of(repo: &Repository) -> Result<Option<Sparse>, Error> {
    let config = &repo.config;
    if config.flag("core.sparsecheckout") != Some(true) {
        return Ok(None);
    }
    let file = repo.git_dir.join("info/sparse-checkout");
    let patterns = match std::fs::read(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.at("read", &file)?,
    };
    Ok(Some(Sparse { cone: config.flag("core.sparsecheckoutcone") == Some(true), patterns: Name::new(patterns) }))
}

/// The rows of an index that has whole directories as one entry each, with what is in these. Git itself would write trees
/// to find that out.
pub fn expanded(work: &Work<'_>, rows: Vec<u8>) -> Result<Vec<u8>, Error> {
    if memmem::find(&rows, DIRECTORY).is_none() {
        return Ok(rows);
    }
    let mut open = Vec::new();
    let mut full = Vec::with_capacity(rows.len());
    for row in answers::rows(&rows) {
        let row = row?;
        if row.mode == b"040000" {
            open.push((row.path.to_vec(), row.oid()?));
        } else {
            row.write(&mut full);
        }
    }
    while !open.is_empty() {
        let asked: String = open.iter().map(|(_, tree)| format!("{tree}\n")).collect();
        let out = work.objects().feed(&["cat-file", "--buffer", "--batch"], asked.as_bytes())?;
        let mut rest = out.as_slice();
        let mut below = Vec::new();
        for (dir, tree) in &open {
            let (body, after) = object(rest).ok_or_else(|| Error::Damaged(format!("tree {tree} is not here")))?;
            rest = after;
            for entry in gix::objs::TreeRefIter::from_bytes(body, work.repo.hash) {
                let entry = entry.map_err(|_| Error::Damaged(format!("tree {tree} cannot be read")))?;
                let path = [dir.as_slice(), entry.filename].concat();
                match entry.mode.is_tree() {
                    true => below.push(([&path, &b"/"[..]].concat(), entry.oid.to_owned())),
                    false => {
                        full.extend_from_slice(format!("S {:06o} {} 0\t", entry.mode.value(), entry.oid).as_bytes());
                        full.extend_from_slice(&path);
                        full.push(0);
                    }
                }
            }
        }
        open = below;
    }
    Ok(full)
}

/// One answer of `cat-file --batch`: `<oid> tree <size>`, the bytes, a line end.
fn object(answer: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = answer.split_at(memchr::memchr(b'\n', answer)?);
    let size: usize = std::str::from_utf8(head.rsplit(|&byte| byte == b' ').next()?).ok()?.parse().ok()?;
    let (body, rest) = rest.get(1..)?.split_at_checked(size)?;
    Some((body, rest.get(1..)?))
}
