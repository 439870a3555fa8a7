//! The sealed stream of container A: zstd inside age.
//!
//! Compression uses every core the machine has, with bounded buffers; memory does not depend on the size of the session.

use std::io::{self, Cursor, Read, Write};
use std::thread;

use zstd::zstd_safe::CParameter;

use super::packing::{FAST, TABLES};
use super::{Callbacks, Envelope, Error, Identities, Recipients, peek};
use crate::policy::Limits;

/// zstd hands out work in jobs, each with memory of its own; the third level would take four times as much.
const JOB: u32 = 2 << 20;
/// What a capsule may ask of the unpacker's memory, as a power of two; level 3 asks for 21, `zstd -19` for 23.
const WINDOW_LOG: u32 = 24;

pub struct Sealer<W: Write> {
    zstd: zstd::Encoder<'static, Counting<age::stream::StreamWriter<W>>>,
    plain: u64,
    limits: Limits,
}

pub fn seal<W: Write, C: Callbacks>(out: W, to: &Recipients, callbacks: C) -> Result<Sealer<W>, Error> {
    let age = to.encryptor(callbacks)?.wrap_output(out).map_err(Error::Write)?;
    let age = Counting { from: age, count: 0 };
    let mut zstd = zstd::Encoder::new(age, FAST).map_err(Error::Write)?;
    // Whoever reads and hashes what comes keeps one busy already. See `pool` for what a thread too many costs.
    let others = thread::available_parallelism().map_or(1, |n| n.get() as u32 - 1).clamp(1, 4);
    zstd.multithread(others).map_err(Error::Write)?;
    for parameter in TABLES.into_iter().chain([CParameter::JobSize(JOB)]) {
        zstd.set_parameter(parameter).map_err(Error::Write)?;
    }
    Ok(Sealer { zstd, plain: 0, limits: Limits::default() })
}

impl<W: Write> Sealer<W> {
    pub fn finish(self) -> Result<W, Error> {
        self.zstd.finish().and_then(|packed| packed.from.finish()).map_err(Error::Write)
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.zstd.write(bytes)?;
        self.plain += n as u64;
        // What `open` would take for a bomb is not made. The workers lag behind, so this never allows what that refuses.
        if is_bomb(&self.limits, self.plain, self.zstd.get_ref().count) {
            let ratio = self.limits.ratio;
            let why = format!("it packs to less than a part in {ratio}, and at most {ratio} times as much can be restored");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.zstd.flush()
    }
}

fn is_bomb(limits: &Limits, plain: u64, packed: u64) -> bool {
    plain > limits.ratio_from && plain / packed.max(1) > limits.ratio
}

/// Opens a sealed stream: what comes out is authenticated, unpacked and bounded.
pub fn open<R: Read>(input: R, with: &Identities, limits: &Limits) -> Result<impl Read + use<R>, Error> {
    let packed = Counting { from: unseal(input, with)?, count: 0 };
    let mut zstd = zstd::Decoder::new(packed).map_err(Error::Read)?;
    zstd.window_log_max(WINDOW_LOG).map_err(Error::Read)?;
    // A second frame would be a way to hide something behind the first one's end.
    Ok(Bounded { zstd: zstd.single_frame(), out: 0, limits: limits.clone(), ended: false })
}

/// A few words, sealed without any of our own packing: one file for each class of recipients.
pub fn seal_small(to: &Recipients, plain: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let one = |class: &Recipients| {
        let mut sealed = Vec::new();
        let mut out = class.encryptor(age::NoCallbacks)?.wrap_output(&mut sealed).map_err(Error::Write)?;
        out.write_all(plain).and_then(|()| out.finish().map(drop)).map_err(Error::Write)?;
        Ok(sealed)
    };
    to.classes().iter().map(one).collect()
}

pub fn open_small(sealed: &[u8], with: &Identities) -> Result<Vec<u8>, Error> {
    let mut plain = Vec::new();
    unseal(sealed, with)?.take(1 << 16).read_to_end(&mut plain).map_err(|error| Error::Damaged(error.to_string()))?;
    Ok(plain)
}

/// The age layer alone.
pub(super) fn unseal<R: Read>(mut input: R, with: &Identities) -> Result<age::stream::StreamReader<impl Read + use<R>>, Error> {
    let (envelope, start) = peek(&mut input)?;
    let input = io::BufReader::new(input);
    let decryptor = age::Decryptor::new_buffered(Cursor::new(start).chain(input)).map_err(|error| refused(error, &envelope, with))?;
    let opened = if decryptor.is_scrypt() {
        let passphrase = with.passphrase().ok_or(Error::NeedsPassphrase)?;
        decryptor.decrypt(std::iter::once(&passphrase as &dyn age::Identity))
    } else {
        decryptor.decrypt(with.keys())
    };
    opened.map_err(|error| refused(error, &envelope, with))
}

fn refused(error: age::DecryptError, envelope: &Envelope, with: &Identities) -> Error {
    use age::DecryptError as E;
    match error {
        E::NoMatchingKeys | E::DecryptionFailed if envelope.is_passphrase() => Error::WrongPassphrase,
        E::NoMatchingKeys => {
            with.refusal(envelope).unwrap_or_else(|| Error::NoMatch { sealed_to: envelope.describe(), tried: with.tried() })
        }
        E::ExcessiveWork { required, .. } => Error::ExcessiveWork(required),
        E::KeyDecryptionFailed => Error::WrongPassphrase,
        E::InvalidHeader | E::UnknownFormat => Error::Damaged("its age header makes no sense".to_owned()),
        E::InvalidMac => Error::Damaged("its age header was changed".to_owned()),
        E::DecryptionFailed => Error::Damaged("it does not decrypt".to_owned()),
        E::Io(error) => Error::Damaged(words(&error)),
        E::Plugin(errors) => Error::Plugin(format!("{} errors", errors.len())),
        E::PluginResolve(error) => Error::Plugin(error.to_string()),
        // The age crate hides a variant of a feature that is not built here.
        _ => Error::Damaged("it does not decrypt".to_owned()),
    }
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is cut short".to_owned(),
        _ => error.to_string(),
    }
}

struct Bounded<R: Read> {
    zstd: zstd::Decoder<'static, io::BufReader<Counting<R>>>,
    out: u64,
    limits: Limits,
    ended: bool,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let n = self.zstd.read(into).map_err(|error| io::Error::new(error.kind(), words(&error)))?;
        self.out += n as u64;
        if n == 0 && !into.is_empty() {
            self.ended = true;
            // The frame is complete; the seal's own end must follow at once, and its last tag is checked by reading it.
            let behind = io::copy(&mut self.zstd.get_mut().by_ref().take(1), &mut io::sink());
            if behind.map_err(|error| io::Error::new(error.kind(), words(&error)))? != 0 {
                return Err(io::Error::other("something stands behind its end"));
            }
        }
        if is_bomb(&self.limits, self.out, self.zstd.get_ref().get_ref().count) {
            return Err(io::Error::other(format!("it unpacks to more than {} times its size", self.limits.ratio)));
        }
        Ok(n)
    }
}

struct Counting<R> {
    from: R,
    count: u64,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.from.write(bytes)?;
        self.count += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.from.flush()
    }
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(into)?;
        self.count += n as u64;
        Ok(n)
    }
}
