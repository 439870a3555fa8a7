//! One tar stream in; each file goes to a sink, and at the end it is known whether the manifest told the truth.
//!
//! The stream is hostile until then. The `tar` crate's own handling of long names reads them whole into memory, however
//! long they claim to be, so entries are taken raw here and only two kinds exist: a regular file, and the GNU long name
//! of the file that follows, bounded.

use std::collections::HashMap;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::{Error, HEADER_NAME, Header, MANIFEST_NAME, Manifest, SESSION_DIR, SIGNATURE_NAME, TORN_DIR, WORKSPACE_DIR};
use crate::id::hex;
use crate::path::RelPath;
use crate::policy::{Limits, values_in};
use crate::progress;

const MAX_NAME: u64 = 4097;
const MAX_HEADER: u64 = 64 << 10;
const MAX_SIGNATURE: u64 = 64 << 10;

/// What takes the files, in the order they come; it may keep them, but must believe nothing until `read` returns.
pub trait Sink {
    type Error: From<Error>;
    fn header(&mut self, header: &Header) -> Result<(), Self::Error>;
    /// Where it is known beforehand: so many bytes will come, and nothing has been written yet.
    fn room(&mut self, _bytes: u64) -> Result<(), Self::Error> {
        Ok(())
    }
    fn file(&mut self, name: &RelPath, content: &mut dyn Read) -> Result<(), Self::Error>;
}

#[derive(Debug)]
pub struct Opened {
    pub header: Header,
    pub manifest: Manifest,
    /// What the signature is about, to the byte.
    pub manifest_bytes: Vec<u8>,
    pub signature: Option<Vec<u8>>,
}

struct Seen {
    name: RelPath,
    size: u64,
    sha256: String,
}

pub fn read<R: Read, S: Sink>(input: R, limits: &Limits, sink: &mut S) -> Result<Opened, S::Error> {
    let mut archive = tar::Archive::new(input);
    let (mut header, mut manifest, mut signature) = (None::<Header>, None::<(Manifest, Vec<u8>)>, None);
    let mut seen: Vec<Seen> = Vec::new();
    let mut names = Names::default();
    let (mut long_name, mut total) = (None::<Vec<u8>>, 0u64);
    for entry in archive.entries().map_err(Error::Read)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        let size = entry.header().entry_size().map_err(damaged)?;
        match entry.header().entry_type() {
            tar::EntryType::Regular => {}
            tar::EntryType::GNULongName if long_name.is_none() => {
                long_name = Some(bounded(&mut entry, size, MAX_NAME, "a name")?);
                continue;
            }
            other => return Err(Error::NotAFile { name: shown(&entry, long_name.as_deref()), kind: kind(other) }.into()),
        }
        let name = match long_name.take() {
            Some(name) => RelPath::parse(name.strip_suffix(b"\0").unwrap_or(&name)),
            None => RelPath::parse(&entry.path_bytes()),
        };
        let name = name.map_err(Error::Unsafe)?;
        let Some(known) = &header else {
            if name.as_bytes() != HEADER_NAME.as_bytes() {
                return Err(Error::NotACapsule("it does not begin with capsule.json").into());
            }
            let parsed = Header::parse(&bounded(&mut entry, size, MAX_HEADER, "its header")?)?;
            sink.header(&parsed)?;
            header = Some(parsed);
            continue;
        };
        match (&manifest, name.as_bytes()) {
            (None, b) if b == MANIFEST_NAME.as_bytes() => {
                let bytes = bounded(&mut entry, size, limits.manifest_bytes.min(names.longest_manifest()), "its manifest")?;
                if values_in(&bytes) > names.most_values() {
                    return Err(Error::TooLarge("its manifest says more than its files need".to_owned()).into());
                }
                manifest = Some((Manifest::parse(&bytes, known)?, bytes));
            }
            (Some(_), b) if b == SIGNATURE_NAME.as_bytes() && signature.is_none() => {
                signature = Some(bounded(&mut entry, size, MAX_SIGNATURE, "its signature")?);
            }
            (Some(_), _) => return Err(Error::Damaged(format!("'{name}' stands behind the manifest")).into()),
            (None, _) => {
                if [SESSION_DIR, TORN_DIR, WORKSPACE_DIR].iter().all(|dir| name.strip_prefix(dir).is_none()) {
                    return Err(Error::Damaged(format!("'{name}' is not a place for files")).into());
                }
                names.add(&name)?;
                total = total.saturating_add(size);
                if names.len() > limits.files || total > limits.bytes {
                    return Err(Error::TooLarge(format!("{} files of {total} bytes", names.len())).into());
                }
                if names.bytes > limits.name_bytes {
                    return Err(Error::TooLarge(format!("{} files with {} bytes of names", names.len(), names.bytes)).into());
                }
                let mut content = Hashing { from: &mut entry, hash: Sha256::new(), count: 0 };
                sink.file(&name, &mut content)?;
                if content.count != size {
                    return Err(Error::Damaged(format!("'{name}' is cut short")).into());
                }
                let sha256 = hex(&content.hash.finalize());
                seen.push(Seen { name, size, sha256 });
            }
        }
    }
    let header = header.ok_or(Error::NotACapsule("it is empty"))?;
    let (manifest, manifest_bytes) = manifest.ok_or_else(|| Error::Damaged("it is cut short: there is no manifest".to_owned()))?;
    drain(archive.into_inner())?;
    names.nested()?;
    agree(&seen, &manifest)?;
    Ok(Opened { header, manifest, manifest_bytes, signature })
}

/// The same from a container that is no tar stream: the files' contents, one behind the other, in the manifest's order.
pub fn unfold<R: Read, S: Sink>(
    header: Header,
    manifest_bytes: Vec<u8>,
    signature: Option<Vec<u8>>,
    mut contents: R,
    limits: &Limits,
    sink: &mut S,
) -> Result<Opened, S::Error> {
    let manifest = Manifest::parse(&manifest_bytes, &header)?;
    let mut names = Names::default();
    let mut total = 0u64;
    for file in &manifest.files {
        if [SESSION_DIR, TORN_DIR, WORKSPACE_DIR].iter().all(|dir| file.path.strip_prefix(dir).is_none()) {
            return Err(Error::Damaged(format!("'{}' is not a place for files", file.path)).into());
        }
        names.add(&file.path)?;
        total = total.saturating_add(file.size);
    }
    names.nested()?;
    if names.len() > limits.files || total > limits.bytes || names.bytes > limits.name_bytes {
        return Err(Error::TooLarge(format!("{} files of {total} bytes", names.len())).into());
    }
    sink.header(&header)?;
    // A part may be named any number of times, so that a few bytes can be said to be a disk full of them.
    sink.room(total)?;
    for file in &manifest.files {
        let mut part = (&mut contents).take(file.size);
        let mut content = Hashing { from: &mut part, hash: Sha256::new(), count: 0 };
        sink.file(&file.path, &mut content)?;
        if content.count != file.size {
            return Err(Error::Damaged(format!("'{}' is cut short", file.path)).into());
        }
        if hex(&content.hash.finalize()) != file.sha256 {
            return Err(Error::Lies(format!("'{}' is not the file it lists", file.path)).into());
        }
    }
    drain(contents)?;
    Ok(Opened { header, manifest, manifest_bytes, signature })
}

/// What follows the archive's end may only be padding; reading it to its end also checks the seal's last byte.
fn drain(mut rest: impl Read) -> Result<(), Error> {
    let mut block = [0; 8192];
    let mut count = 0;
    loop {
        let n = rest.read(&mut block).map_err(damaged)?;
        count += n;
        if n == 0 {
            return Ok(());
        }
        if block[..n].iter().any(|&byte| byte != 0) || count > 1 << 20 {
            return Err(Error::Damaged("something stands behind its end".to_owned()));
        }
    }
}

fn agree(seen: &[Seen], manifest: &Manifest) -> Result<(), Error> {
    if seen.len() != manifest.files.len() {
        return Err(Error::Lies(format!("it lists {} files, and there are {}", manifest.files.len(), seen.len())));
    }
    for (seen, listed) in seen.iter().zip(&manifest.files) {
        if seen.name != listed.path {
            return Err(Error::Lies(format!("it lists '{}' where '{}' stands", listed.path, seen.name)));
        }
        if (seen.size, &seen.sha256) != (listed.size, &listed.sha256) {
            return Err(Error::Lies(format!("'{}' is not the file it lists", seen.name)));
        }
    }
    Ok(())
}

/// Names seen so far, compared as a file system without upper and lower case would.
#[derive(Default)]
pub struct Names {
    seen: HashMap<String, RelPath>,
    bytes: usize,
}

impl Names {
    pub fn add(&mut self, name: &RelPath) -> Result<(), Error> {
        self.bytes += name.as_bytes().len();
        match self.seen.insert(name.to_string().to_lowercase(), name.clone()) {
            None => Ok(()),
            Some(before) if before == *name => Err(Error::Duplicate(before)),
            Some(before) => Err(Error::CaseCollision(before, name.clone())),
        }
    }

    fn len(&self) -> usize {
        self.seen.len()
    }

    /// No name may be a directory of another one.
    pub fn nested(&self) -> Result<(), Error> {
        let mut sorted: Vec<_> = self.seen.iter().collect();
        // Component by component, whatever lies in a directory comes right behind the directory's own name.
        sorted.sort_unstable_by(|(a, _), (b, _)| a.split('/').cmp(b.split('/')));
        let below = |dir: &str, name: &str| name.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
        match sorted.windows(2).find(|pair| below(pair[0].0, pair[1].0)) {
            Some(pair) => Err(Error::Nested(pair[0].1.clone(), pair[1].1.clone())),
            None => Ok(()),
        }
    }

    /// What a manifest of these files can be long, with names that are all escapes and room for later fields. Parsing one
    /// takes many times its length in memory, so it may not just be as long as it likes.
    fn longest_manifest(&self) -> u64 {
        ((1 << 20) + 1024 * self.len() + 6 * self.bytes) as u64
    }

    fn most_values(&self) -> usize {
        4096 + 32 * self.len() + self.bytes
    }
}

struct Hashing<'a> {
    from: &'a mut dyn Read,
    hash: Sha256,
    count: u64,
}

impl Read for Hashing<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if progress::interrupted() {
            return Err(io::Error::other("interrupted"));
        }
        let n = self.from.read(into)?;
        self.hash.update(&into[..n]);
        self.count += n as u64;
        Ok(n)
    }
}

fn bounded(from: &mut impl Read, size: u64, most: u64, what: &str) -> Result<Vec<u8>, Error> {
    if size > most {
        return Err(Error::TooLarge(format!("{what} has {size} bytes")));
    }
    let mut bytes = Vec::new();
    from.take(size).read_to_end(&mut bytes).map_err(damaged)?;
    if bytes.len() as u64 != size {
        return Err(Error::Damaged(format!("{what} is cut short")));
    }
    Ok(bytes)
}

/// The layers below say in words what is wrong with the bytes: keep them.
fn damaged(error: io::Error) -> Error {
    if progress::interrupted() { Error::Interrupted } else { Error::Damaged(error.to_string()) }
}

fn shown<R: Read>(entry: &tar::Entry<'_, R>, long: Option<&[u8]>) -> String {
    let name = long.map_or_else(|| entry.path_bytes().into_owned(), <[u8]>::to_vec);
    crate::path::escape(&name[..name.len().min(120)])
}

fn kind(entry: tar::EntryType) -> &'static str {
    match entry {
        tar::EntryType::Symlink => "a symbolic link",
        tar::EntryType::Link => "a hard link",
        tar::EntryType::Directory => "a directory",
        tar::EntryType::Char | tar::EntryType::Block => "a device",
        tar::EntryType::Fifo => "a pipe",
        _ => "an archive entry of another kind",
    }
}
