//! What Git answers about an index and a work tree, taken apart: `status --porcelain=v2 -z`, `ls-files -v -s -z`.
//!
//! Starts nothing and looks at no file. Names are bytes, between NULs.

use gix::hash::ObjectId;

use crate::git;

pub const NO_MODE: &[u8] = b"000000";
pub const GITLINK: &[u8] = b"160000";

#[derive(Debug, Default)]
pub struct Status<'a> {
    /// None where there is no commit yet.
    pub head: Option<ObjectId>,
    pub changes: Vec<Change<'a>>,
}

#[derive(Debug)]
pub struct Change<'a> {
    pub path: &'a [u8],
    /// What the index has otherwise than the commit, by Git's letter.
    pub index: u8,
    /// What the work tree has otherwise than the index.
    pub tree: u8,
    /// `N...`, or `S` and what is new in a submodule.
    pub submodule: &'a [u8],
    pub head_oid: Option<ObjectId>,
    /// Mode and object of each stage the index has.
    pub stages: Vec<(u8, &'a [u8], ObjectId)>,
}

impl Change<'_> {
    pub fn is_unmerged(&self) -> bool {
        self.stages.iter().any(|(stage, _, _)| *stage > 0)
    }

    pub fn is_gitlink(&self) -> bool {
        self.stages.iter().any(|(_, mode, _)| *mode == GITLINK)
    }
}

pub fn status(out: &[u8]) -> Result<Status<'_>, git::Error> {
    let nonsense = || git::Error::Nonsense { verb: "status".to_owned() };
    let mut status = Status::default();
    for line in records(out) {
        if let Some(oid) = line.strip_prefix(b"# branch.oid ") {
            status.head = if oid == b"(initial)" { None } else { Some(ObjectId::from_hex(oid).map_err(|_| nonsense())?) };
        }
        match line.first() {
            Some(b'1') => status.changes.push(ordinary(line).ok_or_else(nonsense)?),
            Some(b'u') => status.changes.push(unmerged(line).ok_or_else(nonsense)?),
            Some(b'#' | b'?' | b'!') => {}
            _ => return Err(nonsense()),
        }
    }
    Ok(status)
}

/// `1 XY sub mH mI mW hH hI path`
fn ordinary(line: &[u8]) -> Option<Change<'_>> {
    let fields: Vec<&[u8]> = line.splitn(9, |&byte| byte == b' ').collect();
    let &[_, &[index, tree], submodule, head_mode, mode, _, head_oid, oid, path] = fields.as_slice() else { return None };
    let head_oid = if head_mode == NO_MODE { None } else { Some(ObjectId::from_hex(head_oid).ok()?) };
    let stages = if mode == NO_MODE { Vec::new() } else { vec![(0, mode, ObjectId::from_hex(oid).ok()?)] };
    Some(Change { path, index, tree, submodule, head_oid, stages })
}

/// `u XY sub m1 m2 m3 mW h1 h2 h3 path`
fn unmerged(line: &[u8]) -> Option<Change<'_>> {
    let fields: Vec<&[u8]> = line.splitn(11, |&byte| byte == b' ').collect();
    let &[_, &[index, tree], submodule, m1, m2, m3, _, h1, h2, h3, path] = fields.as_slice() else { return None };
    let mut stages = Vec::new();
    for (stage, mode, oid) in [(1, m1, h1), (2, m2, h2), (3, m3, h3)] {
        if mode != NO_MODE {
            stages.push((stage, mode, ObjectId::from_hex(oid).ok()?));
        }
    }
    Some(Change { path, index, tree, submodule, head_oid: None, stages })
}

/// One entry of the index, as `ls-files -v -s -z` shows it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    tag: u8,
    pub mode: &'a [u8],
    oid: &'a [u8],
    pub stage: u8,
    pub path: &'a [u8],
}

impl Row<'_> {
    /// Small letters are for what is assumed to be unchanged.
    pub fn assume_unchanged(&self) -> bool {
        self.tag.is_ascii_lowercase()
    }

    pub fn skip_worktree(&self) -> bool {
        self.tag.eq_ignore_ascii_case(&b'S')
    }

    pub fn is_flagged(&self) -> bool {
        self.assume_unchanged() || self.skip_worktree()
    }

    /// As it was read.
    pub fn write(&self, to: &mut Vec<u8>) {
        for part in [&[self.tag, b' '], self.mode, b" ", self.oid, &[b' ', self.stage + b'0', b'\t'], self.path, b"\0"] {
            to.extend_from_slice(part);
        }
    }

    pub fn oid_hex(&self) -> &[u8] {
        self.oid
    }

    pub fn oid(&self) -> Result<ObjectId, git::Error> {
        ObjectId::from_hex(self.oid).map_err(|_| nonsense())
    }
}

pub fn rows(out: &[u8]) -> impl Iterator<Item = Result<Row<'_>, git::Error>> {
    records(out).map(|line| row(line).ok_or_else(nonsense))
}

/// `H 100644 <oid> 0<tab>path`
fn row(line: &[u8]) -> Option<Row<'_>> {
    let (&[tag, b' '], rest) = line.split_at_checked(2)? else { return None };
    let (mode, rest) = rest.split_at_checked(6)?;
    let rest = rest.strip_prefix(b" ")?;
    let end = memchr::memchr(b' ', rest)?;
    let (oid, rest) = (&rest[..end], &rest[end + 1..]);
    let &[stage @ b'0'..=b'3', b'\t', ref path @ ..] = rest else { return None };
    Some(Row { tag, mode, oid, stage: stage - b'0', path })
}

/// What `ls-files --debug -z` shows as intent-to-add.
pub fn intended(out: &[u8]) -> Result<Vec<&[u8]>, git::Error> {
    const INTENT_TO_ADD: u32 = 1 << 29;
    const LINES: usize = 5;
    let mut intended = Vec::new();
    let mut rest = out;
    while let Some(end) = memchr::memchr(0, rest) {
        let path = &rest[..end];
        rest = &rest[end + 1..];
        let length = memchr::memchr_iter(b'\n', rest).nth(LINES - 1).ok_or_else(nonsense)?;
        let about = String::from_utf8_lossy(&rest[..length]);
        let flags = about.rsplit_once("flags: ").and_then(|(_, flags)| u32::from_str_radix(flags.trim(), 16).ok());
        if flags.ok_or_else(nonsense)? & INTENT_TO_ADD != 0 {
            intended.push(path);
        }
        rest = &rest[length + 1..];
    }
    Ok(intended)
}

/// What stands between NULs.
pub fn records(out: &[u8]) -> impl Iterator<Item = &[u8]> {
    let out = out.strip_suffix(b"\0").unwrap_or(out);
    let mut rest = if out.is_empty() { None } else { Some(out) };
    std::iter::from_fn(move || {
        let now = rest?;
        match memchr::memchr(0, now) {
            Some(end) => {
                rest = Some(&now[end + 1..]);
                Some(&now[..end])
            }
            None => rest.take(),
        }
    })
}

fn nonsense() -> git::Error {
    git::Error::Nonsense { verb: "ls-files".to_owned() }
}
