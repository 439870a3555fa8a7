//! Files of other programs, written as a careful editor would: whole or not at all, with the permissions they had, and where
//! a link leads rather than in its place.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::durable::{self, At};
use crate::flow::Error;

/// What stands there; `None` if nothing does.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        read => Ok(Some(read.at("read", path)?)),
    }
}

/// `mode` is for a file that is not there yet.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let path = real(path);
    let dir = durable::parent(&path);
    fs::create_dir_all(dir).at("create directory", dir)?;
    let permissions = fs::metadata(&path).map_or_else(|_| Permissions::from_mode(mode), |meta| meta.permissions());
    replace(&path, bytes, permissions)
}

/// The same in the place of whatever stands there, a link too.
pub fn replace(path: &Path, bytes: &[u8], permissions: Permissions) -> Result<(), Error> {
    let dir = durable::parent(path);
    let mut file = tempfile::Builder::new().prefix(durable::TEMPORARY).tempfile_in(dir).at("create a file in", dir)?;
    let written = file.write_all(bytes).and_then(|()| file.as_file().set_permissions(permissions)).and_then(|()| file.as_file().sync_all());
    written.at("write", path)?;
    file.persist(path).map_err(|error| error.error).at("replace", path)?;
    Ok(durable::sync_dir(dir)?)
}

/// That nothing is there is fine.
pub fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", path).map_err(Error::from),
        _ => Ok(()),
    }
}

/// Where a link leads, even if nothing is there yet.
pub fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match fs::read_link(path) {
        Ok(target) => durable::parent(path).join(target),
        Err(_) => path.to_owned(),
    }
}
