//! `inspect`: what can be read of a capsule file, without a key and with one. Writes nothing anywhere.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;
use std::thread;

use super::Error;
use crate::capsule::{self, Header, Manifest};
use crate::durable::At;
use crate::path::RelPath;
use crate::policy::Limits;
use crate::seal::{self, Envelope, Identities, ReadAhead, Signer};

pub struct Outcome {
    /// Not known of a pipe.
    pub size: Option<u64>,
    pub envelope: Envelope,
    pub inside: Result<Inside, Error>,
}

pub struct Inside {
    pub manifest: Manifest,
    pub signature: Signature,
}

pub enum Signature {
    Good(Signer),
    Bad(String),
    Missing,
}

/// `inside` fails where no key fits: that is an answer, and not a failure of `inspect`.
pub fn inspect(file: &Path, identities: &Identities, limits: &Limits) -> Result<Outcome, Error> {
    let mut input = File::open(file).at("open", file)?;
    let size = input.metadata().ok().filter(Metadata::is_file).map(|meta| meta.len());
    let (envelope, start) = seal::peek(&mut input)?;
    let inside = match read(Cursor::new(start).chain(input), identities, limits) {
        Err(error @ Error::Seal(seal::Error::NoMatch { .. } | seal::Error::NeedsPassphrase | seal::Error::Locked)) => Err(error),
        other => Ok(other?),
    };
    Ok(Outcome { size, envelope, inside })
}

fn read(input: impl Read + Send, identities: &Identities, limits: &Limits) -> Result<Inside, Error> {
    thread::scope(|scope| {
        let plain = seal::open(BufReader::with_capacity(1 << 17, input), identities, limits)?;
        let opened = capsule::read(ReadAhead::spawn(scope, plain), limits, &mut Nowhere)?;
        let signature = match opened.signature.map(|signature| seal::verify(seal::NAMESPACE, &opened.manifest_bytes, &signature)) {
            None => Signature::Missing,
            Some(Ok(signer)) => Signature::Good(signer),
            Some(Err(error)) => Signature::Bad(error.to_string()),
        };
        Ok(Inside { manifest: opened.manifest, signature })
    })
}

/// Reads everything and keeps nothing.
pub struct Nowhere;

impl capsule::Sink for Nowhere {
    type Error = Error;

    fn header(&mut self, _: &Header) -> Result<(), Error> {
        Ok(())
    }

    fn file(&mut self, _: &RelPath, content: &mut dyn Read) -> Result<(), Error> {
        match io::copy(content, &mut io::sink()) {
            Ok(_) => Ok(()),
            Err(error) => Err(capsule::Error::Damaged(error.to_string()).into()),
        }
    }
}
