//! What stands here against what comes: the same, a part of it, more than it, or another story.
//!
//! Growing files are compared line for line up to the last newline, unpacked where they are packed, so that a torn
//! fragment or a change of packing is never a divergence.

use std::fs;
use std::io::{self, BufRead, Read};
use std::path::Path;

use serde::Serialize;

use crate::agent::jsonl;

/// How what stands here relates to what the capsule brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// Nothing stands here.
    New,
    Same,
    /// What stands here is the beginning of what comes.
    Behind,
    /// What comes is the beginning of what stands here.
    Ahead,
    Diverged,
}

/// `ours` may be absent; `theirs` is the staged file.
pub fn growing(ours: &Path, theirs: &Path) -> io::Result<Relation> {
    let Some(ours_len) = whole_len(ours)? else { return Ok(Relation::New) };
    let mut ours = jsonl::open(ours)?.take(ours_len);
    let mut theirs = jsonl::open(theirs)?;
    loop {
        let (a, b) = (ours.fill_buf()?, theirs.fill_buf()?);
        let n = a.len().min(b.len());
        if n == 0 {
            return Ok(match (a.is_empty(), b.is_empty()) {
                (true, true) => Relation::Same,
                (true, false) => Relation::Behind,
                (false, _) => Relation::Ahead,
            });
        }
        if a[..n] != b[..n] {
            return Ok(Relation::Diverged);
        }
        ours.consume(n);
        theirs.consume(n);
    }
}

/// Files that are replaced whole are the same or they differ.
pub fn whole(ours: &Path, theirs: &Path) -> io::Result<Relation> {
    let ours = match fs::File::open(ours) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Relation::New),
        ours => ours?,
    };
    let theirs = fs::File::open(theirs)?;
    if ours.metadata()?.len() != theirs.metadata()?.len() {
        return Ok(Relation::Diverged);
    }
    let (mut ours, mut theirs) = (io::BufReader::with_capacity(1 << 16, ours), io::BufReader::with_capacity(1 << 16, theirs));
    loop {
        let (a, b) = (ours.fill_buf()?, theirs.fill_buf()?);
        let n = a.len().min(b.len());
        if n == 0 || a[..n] != b[..n] {
            return Ok(if a.is_empty() && b.is_empty() { Relation::Same } else { Relation::Diverged });
        }
        ours.consume(n);
        theirs.consume(n);
    }
}

/// The unpacked length up to the last newline; `None` if there is no such file.
fn whole_len(path: &Path) -> io::Result<Option<u64>> {
    if !jsonl::is_packed(path) {
        let file = match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        return jsonl::whole_len(&file, file.metadata()?.len()).map(Some);
    }
    let mut content = match jsonl::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        content => content?,
    };
    let (mut count, mut whole) = (0u64, 0u64);
    loop {
        let block = content.fill_buf()?;
        if block.is_empty() {
            return Ok(Some(whole));
        }
        if let Some(at) = memchr::memrchr(b'\n', block) {
            whole = count + at as u64 + 1;
        }
        let n = block.len();
        count += n as u64;
        content.consume(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ours: Option<&[u8]>, theirs: &[u8]) -> Relation {
        let dir = tempfile::tempdir().expect("a directory");
        let (a, b) = (dir.path().join("ours.jsonl"), dir.path().join("theirs"));
        if let Some(ours) = ours {
            fs::write(&a, ours).expect("written");
        }
        fs::write(&b, theirs).expect("written");
        let plain = growing(&a, &b).expect("compared");
        // Packing either side must not matter.
        if let Some(ours) = ours {
            let packed = dir.path().join("ours.jsonl.zst");
            fs::write(&packed, zstd::encode_all(ours, 3).expect("packed")).expect("written");
            assert_eq!(growing(&packed, &b).expect("compared"), plain);
        }
        let packed = dir.path().join("theirs.jsonl.zst");
        fs::write(&packed, zstd::encode_all(theirs, 3).expect("packed")).expect("written");
        assert_eq!(growing(&a, &packed).expect("compared"), plain);
        plain
    }

    #[test]
    fn growing_files_are_compared_line_by_line() {
        assert_eq!(check(None, b"a\n"), Relation::New);
        assert_eq!(check(Some(b"a\nb\n"), b"a\nb\n"), Relation::Same);
        assert_eq!(check(Some(b"a\nb\ntorn"), b"a\nb\n"), Relation::Same);
        assert_eq!(check(Some(b"a\n"), b"a\nb\n"), Relation::Behind);
        assert_eq!(check(Some(b"a\n{\"torn"), b"a\nb\n"), Relation::Behind);
        assert_eq!(check(Some(b""), b"a\n"), Relation::Behind);
        assert_eq!(check(Some(b"a\nb\nc\n"), b"a\nb\n"), Relation::Ahead);
        assert_eq!(check(Some(b"a\nx\n"), b"a\nb\n"), Relation::Diverged);
        let long: Vec<u8> = b"0123456789\n".repeat(50_000);
        assert_eq!(check(Some(&long[..11 * 30_000]), &long), Relation::Behind);
    }
}
