//! A file or a whole directory put aside and back: by one rename, or by a copy where it lies on another file system.
//!
//! An agent's home may be spread over several (a volume mounted as `projects`). What must stay true: a name in the
//! backup's place means that all of it is there, so that removing the original, or half of it, loses nothing.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::Error;
use crate::durable::{self, At};
use crate::fault;

/// Moves what stands at `target` to `backup`; what a crash interrupted is finished. Nothing there is nothing to do.
pub fn put(target: &Path, backup: &Path) -> Result<(), Error> {
    if fs::symlink_metadata(backup).is_err() {
        match fs::rename(target, backup) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                copy(target, backup)?;
                fault::point("restore.copied").at("write", backup)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            moved => return Ok(moved.at("set aside", target)?),
        }
    }
    remove(target)
}

/// The way back; parts that still stand at the target are the same as in the backup.
pub fn put_back(backup: &Path, target: &Path) -> Result<(), Error> {
    if fs::rename(backup, target).is_ok() {
        return Ok(());
    }
    copy_missing(backup, target)?;
    remove(backup)
}

/// A copy that appears under its name when all of it is there.
pub fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    if fs::symlink_metadata(&part).is_ok() {
        remove(&part)?;
    }
    copy_missing(from, &part)?;
    fs::rename(&part, to).at("back up", from)?;
    Ok(durable::sync_dir(durable::parent(to))?)
}

fn copy_missing(from: &Path, to: &Path) -> Result<(), Error> {
    let meta = fs::symlink_metadata(from).at("read", from)?;
    if meta.is_dir() {
        if fs::symlink_metadata(to).is_err() {
            fs::DirBuilder::new().mode(0o700).create(to).at("create directory", to)?;
            fs::set_permissions(to, meta.permissions()).at("create directory", to)?;
        }
        for (name, path) in list(from)? {
            copy_missing(&path, &to.join(name))?;
        }
        return Ok(durable::sync_dir(to)?);
    }
    if fs::symlink_metadata(to).is_ok() {
        return Ok(());
    }
    if meta.is_symlink() {
        let points_to = fs::read_link(from).at("read", from)?;
        return Ok(std::os::unix::fs::symlink(points_to, to).at("create", to)?);
    }
    Ok(durable::copy_new(from, to)?)
}

fn remove(path: &Path) -> Result<(), Error> {
    let is_dir = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    let removed = if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    Ok(removed.at("remove", path)?)
}

/// Whether everything that stands at `path` is in `whole`, too, at the same place and the same.
pub fn is_part_of(path: &Path, whole: &Path) -> bool {
    let (Ok(a), Ok(b)) = (fs::symlink_metadata(path), fs::symlink_metadata(whole)) else { return false };
    if a.is_dir() && b.is_dir() {
        return list(path).is_ok_and(|entries| entries.iter().all(|(name, path)| is_part_of(path, &whole.join(name))));
    }
    if a.is_symlink() || b.is_symlink() {
        return matches!((fs::read_link(path), fs::read_link(whole)), (Ok(a), Ok(b)) if a == b);
    }
    a.is_file() && b.is_file() && a.len() == b.len() && begins_with(path, whole).is_some()
}

/// The length of `beginning` if `path` begins with it.
pub fn begins_with(path: &Path, beginning: &Path) -> Option<u64> {
    let mut whole = BufReader::with_capacity(1 << 16, fs::File::open(path).ok()?);
    let mut begin = BufReader::with_capacity(1 << 16, fs::File::open(beginning).ok()?);
    let mut len = 0;
    loop {
        let (a, b) = (whole.fill_buf().ok()?, begin.fill_buf().ok()?);
        let n = a.len().min(b.len());
        if b.is_empty() {
            return Some(len);
        }
        if n == 0 || a[..n] != b[..n] {
            return None;
        }
        len += n as u64;
        whole.consume(n);
        begin.consume(n);
    }
}

fn list(dir: &Path) -> Result<Vec<(std::ffi::OsString, PathBuf)>, Error> {
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>).at("read", dir)?;
    Ok(entries.into_iter().map(|entry| (entry.file_name(), entry.path())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(dir: &Path) -> PathBuf {
        fs::create_dir_all(dir.join("a/b")).expect("made");
        fs::write(dir.join("a/one"), "1").expect("written");
        fs::write(dir.join("a/b/two"), "2").expect("written");
        std::os::unix::fs::symlink("one", dir.join("a/link")).expect("linked");
        dir.join("a")
    }

    #[test]
    fn a_copy_is_whole_and_its_parts_are_known() {
        let dir = tempfile::tempdir().expect("a directory");
        let original = tree(dir.path());
        let backup = dir.path().join("backup");
        fs::create_dir(dir.path().join("backup.part")).expect("left by a crash");
        copy(&original, &backup).expect("copied");
        assert!(is_part_of(&original, &backup) && is_part_of(&backup, &original));
        fs::remove_file(original.join("b/two")).expect("removed");
        assert!(is_part_of(&original, &backup) && !is_part_of(&backup, &original));
        put_back(&backup, &original).expect("put back");
        assert_eq!(fs::read(original.join("b/two")).expect("it is back"), b"2");
        assert!(!backup.exists());

        copy(&original, &backup).expect("copied");
        put(&original, &backup).expect("finished");
        assert!(!original.exists() && backup.join("link").is_symlink());
        put(&original, &dir.path().join("other")).expect("nothing to do");

        tree(dir.path());
        fs::write(original.join("new"), "").expect("written");
        assert!(!is_part_of(&original, &backup));
    }

    #[test]
    fn a_beginning_is_a_beginning() {
        let dir = tempfile::tempdir().expect("a directory");
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        for (whole, beginning, expected) in
            [("abc", "ab", Some(2)), ("abc", "abc", Some(3)), ("abc", "", Some(0)), ("ab", "abc", None), ("xbc", "ab", None)]
        {
            fs::write(&a, whole).expect("written");
            fs::write(&b, beginning).expect("written");
            assert_eq!(begins_with(&a, &b), expected, "{whole} {beginning}");
        }
    }
}
