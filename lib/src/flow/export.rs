//! `export`: a checkpoint of the repository as a sealed file.
//!
//! In one pass and constant memory. What must stay true: manifest and signature go over to the byte, so that the file shows
//! who captured the session, not who exported it.

use std::io::Read;

use super::Error;
use super::arriving::{pass_on, unfold};
use super::keys::{self, SealTo};
use super::ledger::Ledger;
use super::output::{Output, Sealing};
use super::readers::Readers;
use super::redact::{self, Redacting};
use crate::capsule::{self, FileEntry, Header, Manifest, Target, Writer};
use crate::device::Device;
use crate::path::RelPath;
use crate::policy::Limits;
use crate::progress::Progress;
use crate::seal::{self, Callbacks};
use crate::store::unfold::Opened;

pub struct Options {
    pub output: Output,
    /// Without it, everybody who can open the checkpoint, and this device.
    pub seal_to: Option<SealTo>,
    /// A copy for eyes only, signed by this device.
    pub redact: bool,
}

pub struct Outcome {
    pub manifest: Manifest,
    pub recipients: Vec<String>,
    pub sealed: u64,
    /// The fingerprint of who captured the session, if the signature is there and good.
    pub signer: Option<String>,
    /// So many secrets were masked.
    pub masked: usize,
}

pub fn export<C: Callbacks>(
    ledger: &Ledger<'_>,
    opened: &mut Opened,
    options: Options,
    callbacks: &C,
    progress: &dyn Progress,
) -> Result<Outcome, Error> {
    let dir = options.output.dir(ledger.env)?;
    let recipients = match &options.seal_to {
        Some(named) => keys::recipients(named, ledger.device)?,
        // What somebody here types may be a file of keys; what a record says may not.
        None => {
            let device = ledger.device.map(Device::recipient);
            let names = device.into_iter().chain(opened.record.recipients.iter().cloned()).collect();
            Readers { names, ..Readers::default() }.recipients()?
        }
    };
    let tree = opened.tree(&ledger.store)?;
    let manifest = opened.manifest_bytes(&ledger.store, &tree, ledger.identities)?;
    let manifest = Manifest::of(&manifest, &opened.record.sid, &opened.record.summary.agent)?;
    let (sealing, plain) = Sealing::begin(&dir, &recipients, callbacks)?;
    if options.redact {
        let device = ledger.device.ok_or(Error::NoDevice)?;
        let writer = Writer::new(plain, &redact::header(Header::new(&opened.checkpoint.sid, &manifest.agent)))?;
        let mut sink = IntoFile { writer: Redacting::new(writer), files: manifest.files.iter() };
        let whole = unfold(ledger, opened, &Limits::default(), &mut sink, progress)?;
        let copy = sink.writer;
        let made = Manifest { files: Vec::new(), ..whole.manifest };
        let made = redact::manifest(made, &copy, Some(&whole.manifest_bytes));
        let masked = copy.masked;
        let sign = |bytes: &[u8]| -> Result<String, Error> { Ok(device.signing().sign(seal::NAMESPACE, bytes)?) };
        let (plain, manifest) = copy.target.finish(made, sign)?;
        let sealed = sealing.finish(plain)?;
        let size = sealed.size;
        sealed.deliver(options.output)?;
        return Ok(Outcome {
            manifest,
            recipients: recipients.names(),
            sealed: size,
            signer: Some(device.signing().fingerprint()),
            masked,
        });
    }
    let writer = Writer::new(plain, &Header::new(&opened.checkpoint.sid, &manifest.agent))?;
    let mut sink = IntoFile { writer, files: manifest.files.iter() };
    let whole = unfold(ledger, opened, &Limits::default(), &mut sink, progress)?;
    let plain = sink.writer.finish_with(&whole.manifest_bytes, whole.signature.as_deref())?;
    let sealed = sealing.finish(plain)?;
    let size = sealed.size;
    sealed.deliver(options.output)?;
    let signer = whole.signature.and_then(|signature| seal::verify(seal::NAMESPACE, &whole.manifest_bytes, &signature).ok());
    let signer = signer.map(|signer| signer.fingerprint);
    Ok(Outcome { manifest: whole.manifest, recipients: recipients.names(), sealed: size, signer, masked: 0 })
}

struct IntoFile<'a, T> {
    writer: T,
    /// What comes, in its order.
    files: std::slice::Iter<'a, FileEntry>,
}

impl<T: Target> capsule::Sink for IntoFile<'_, T>
where
    Error: From<T::Error>,
{
    type Error = Error;

    fn header(&mut self, _: &Header) -> Result<(), Error> {
        Ok(())
    }

    fn file(&mut self, name: &RelPath, content: &mut dyn Read) -> Result<(), Error> {
        pass_on(self.files.next(), name, content, &mut self.writer)
    }
}
