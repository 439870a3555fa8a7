//! A sealed file: where it goes, and how it gets there.
//!
//! Knows nothing of what is sealed. What must stay true: the file has no name until it is whole and can be opened again; it
//! appears then, or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use super::Error;
use crate::durable::{self, At, EarlyFlush, Unnamed};
use crate::env::Env;
use crate::fault;
use crate::seal::{self, Callbacks, Recipients, Sealer, peek};

pub enum Output {
    File { path: PathBuf, replace: bool },
    Stream(Box<dyn Write>),
}

/// What takes the plaintext.
pub type Plain = Sealer<BufWriter<EarlyFlush<File>>>;

/// A file in the making.
pub struct Sealing {
    unnamed: Unnamed,
    dir: PathBuf,
}

/// A whole one, which still has no name.
pub struct Sealed {
    unnamed: Unnamed,
    dir: PathBuf,
    /// In bytes.
    pub size: u64,
}

impl Output {
    /// The directory to make it in; what must not be replaced is found out here, before anything is done.
    pub fn dir(&self, env: &Env) -> Result<PathBuf, Error> {
        match self {
            // A device, a pipe, a directory: nothing that was meant to be replaced by a file.
            Output::File { path, .. } if path.symlink_metadata().is_ok() && path.exists() && !path.is_file() => {
                Err(io::Error::other("it is not a regular file")).at("replace", path).map_err(Error::from)
            }
            Output::File { path, replace } if !replace && path.symlink_metadata().is_ok() => Err(Error::OutputExists(path.clone())),
            Output::File { path, .. } => Ok(durable::parent(path).to_owned()),
            Output::Stream(_) => Ok(env.temp_dir()),
        }
    }
}

impl Sealing {
    pub fn begin<C: Callbacks>(dir: &Path, to: &Recipients, callbacks: &C) -> Result<(Sealing, Plain), Error> {
        let unnamed = Unnamed::create_in(dir)?;
        let file = unnamed.file.try_clone().at("write to", dir)?;
        let out = EarlyFlush::new(file, &unnamed.file).at("write to", dir)?;
        let plain = seal::seal(BufWriter::with_capacity(1 << 17, out), to, callbacks.clone())?;
        Ok((Sealing { unnamed, dir: dir.to_owned() }, plain))
    }

    pub fn finish(self, plain: Plain) -> Result<Sealed, Error> {
        let Sealing { unnamed, dir } = self;
        let out = plain.finish()?.into_inner().map_err(|error| seal::Error::Write(error.into_error()))?;
        out.into_inner();
        // What nobody could open again, because too many may, is not handed out.
        let mut sealed = &unnamed.file;
        sealed.rewind().at("read", &dir)?;
        peek(&mut sealed)?;
        unnamed.file.sync_all().at("write to", &dir)?;
        let size = unnamed.file.metadata().at("write to", &dir)?.len();
        Ok(Sealed { unnamed, dir, size })
    }
}

impl Sealed {
    pub fn deliver(mut self, to: Output) -> Result<(), Error> {
        fault::point("checkpoint.sealed").at("write to", &self.dir)?;
        match to {
            Output::File { path, replace: true } => {
                self.unnamed.replace(&path).at("replace", &path)?;
                durable::sync_dir(durable::parent(&path))?;
            }
            Output::File { path, replace: false } => match self.unnamed.name(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(Error::OutputExists(path)),
                named => {
                    named.at("create", &path)?;
                    durable::sync_dir(durable::parent(&path))?;
                }
            },
            Output::Stream(mut out) => {
                let file = &mut self.unnamed.file;
                file.rewind().and_then(|()| io::copy(file, &mut out)).and_then(|_| out.flush()).map_err(seal::Error::Write)?;
            }
        }
        // It stands: whatever fails from here on is no failure of it.
        let _ = fault::point("checkpoint.renamed");
        Ok(())
    }
}
