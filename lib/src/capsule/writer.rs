//! Contents in, one tar stream out; sizes and hashes are noted on the way and written last, as the manifest.
//!
//! The same contents give the same bytes: no owner, no clock, no directory entries.

use std::io::{self, Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::reader::Names;
use super::{Error, FileEntry, HEADER_NAME, Header, MANIFEST_NAME, Manifest, SIGNATURE_NAME};
use crate::path::RelPath;

pub struct Writer<W: Write> {
    tar: tar::Builder<W>,
    files: Vec<FileEntry>,
    names: Names,
}

/// One file to be written: exactly `size` bytes will be read.
pub struct Content<'a> {
    pub name: RelPath,
    pub role: &'a str,
    pub size: u64,
    pub mode: u32,
    pub modified: SystemTime,
    pub bytes: &'a mut dyn Read,
}

impl<'a> Content<'a> {
    /// What a manifest lists.
    pub fn listed(entry: &'a FileEntry, bytes: &'a mut dyn Read) -> Content<'a> {
        let modified = crate::time::parse(&entry.mtime).unwrap_or(UNIX_EPOCH);
        Content { name: entry.path.clone(), role: &entry.role, size: entry.size, mode: entry.mode, modified, bytes }
    }
}

/// What takes a session's files.
pub trait Target {
    type Error;
    /// Returns the hash of what was read. A source that ends early leaves the target unusable.
    fn add(&mut self, file: Content<'_>) -> Result<[u8; 32], Self::Error>;
}

impl<W: Write> Target for Writer<W> {
    type Error = Error;

    fn add(&mut self, file: Content<'_>) -> Result<[u8; 32], Error> {
        // What `read` would refuse must not be written: it would be found out where nothing can be done about it.
        self.names.add(&file.name)?;
        let mut content = Exact::new(file.bytes, file.size);
        let mut header = tar_header(file.size, file.mode);
        header.set_mtime(file.modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
        self.tar.append_data(&mut header, file.name.as_path(), &mut content).map_err(refused)?;
        let hash = content.hash();
        self.files.push(FileEntry::of(file.name, file.role, file.size, file.mode, file.modified, &hash));
        Ok(hash)
    }
}

impl<W: Write> Writer<W> {
    pub fn new(out: W, header: &Header) -> Result<Writer<W>, Error> {
        let mut writer = Writer { tar: tar::Builder::new(out), files: Vec::new(), names: Names::default() };
        let json = serde_json::to_vec(header).map_err(|error| Error::Write(error.into()))?;
        writer.append(HEADER_NAME, &json)?;
        Ok(writer)
    }

    /// Writes the manifest with the files seen, and the signature that `sign` makes of its bytes.
    pub fn finish<E: From<Error>>(
        mut self,
        mut manifest: Manifest,
        sign: impl FnOnce(&[u8]) -> Result<String, E>,
    ) -> Result<(W, Manifest), E> {
        manifest.files = std::mem::take(&mut self.files);
        let json = manifest.to_json()?;
        let signature = sign(&json)?;
        Ok((self.finish_with(&json, Some(signature.as_bytes()))?, manifest))
    }

    /// Writes a manifest of the files seen, and its signature, as they were made elsewhere.
    pub fn finish_with(mut self, manifest: &[u8], signature: Option<&[u8]>) -> Result<W, Error> {
        self.names.nested()?;
        self.append(MANIFEST_NAME, manifest)?;
        if let Some(signature) = signature {
            self.append(SIGNATURE_NAME, signature)?;
        }
        self.tar.into_inner().map_err(Error::Write)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.tar.append_data(&mut tar_header(bytes.len() as u64, 0o600), name, bytes).map_err(Error::Write)
    }
}

/// The seal refuses what it would not open again.
fn refused(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::FileTooLarge => Error::TooLarge(error.to_string()),
        _ => Error::Write(error),
    }
}

fn tar_header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(size);
    header.set_mode(mode & 0o777);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// A file's content as it is read: hashed on the way, and exactly so many bytes or an error. Tar would otherwise write a
/// file shorter than its header says.
pub struct Exact<'a> {
    from: &'a mut dyn Read,
    hash: Sha256,
    left: u64,
}

impl<'a> Exact<'a> {
    pub fn new(from: &'a mut dyn Read, size: u64) -> Exact<'a> {
        Exact { from, hash: Sha256::new(), left: size }
    }

    pub fn left(&self) -> u64 {
        self.left
    }

    pub fn hash(self) -> [u8; 32] {
        self.hash.finalize().into()
    }
}

impl Read for Exact<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || into.is_empty() {
            return Ok(0);
        }
        if crate::progress::interrupted() {
            return Err(io::Error::other("interrupted"));
        }
        let most = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.from.read(&mut into[..most])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.hash.update(&into[..n]);
        self.left -= n as u64;
        Ok(n)
    }
}
