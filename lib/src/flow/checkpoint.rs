//! `checkpoint --output`: one session, sealed into one file.
//!
//! The file has no name until it is whole: it appears then, or not at all.

use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use super::Error;
use super::capture::{Capture, Captured};
use super::keys::{self, SealTo};
use super::select::Selector;
use super::source::{self, Attempt, Source};
use crate::agent::{Artifact, Live};
use crate::capsule::{Header, Writer};
use crate::device::Device;
use crate::durable::{self, At, EarlyFlush, Unnamed};
use crate::env::Env;
use crate::fault;
use crate::progress::Progress;
use crate::seal::{Callbacks, NAMESPACE, Recipients, peek, seal};

pub struct Options {
    pub session: Selector,
    pub agent: Option<String>,
    pub output: Output,
    pub seal_to: SealTo,
    pub dry_run: bool,
}

pub enum Output {
    File { path: PathBuf, replace: bool },
    Stream(Box<dyn Write>),
}

pub struct Outcome {
    pub agent: &'static str,
    pub native: String,
    pub sid: String,
    pub title: Option<String>,
    pub recipients: Vec<String>,
    /// The program that had it open meanwhile.
    pub live: Option<Live>,
    pub captured: Captured,
    pub artifacts: Vec<(Artifact, u64)>,
    /// Bytes written; nothing in a dry run.
    pub sealed: Option<u64>,
    /// The fingerprint of the key that signed; nothing in a dry run.
    pub signer: Option<String>,
}

/// `device` gives the keys, and may make them: it is not asked before it is certain that they are needed.
pub fn checkpoint<C: Callbacks>(
    env: &Env,
    options: Options,
    device: impl FnOnce() -> Result<Device, Error>,
    callbacks: &C,
    progress: &dyn Progress,
) -> Result<Outcome, Error> {
    let mut source = Source::find(env, &options.session, options.agent.as_deref())?;
    let mut outcome = Outcome {
        agent: source.selected.agent.name(),
        native: source.selected.session.native.to_string(),
        sid: source.selected.session.sid().to_string(),
        title: source.selected.session.title.clone(),
        recipients: Vec::new(),
        live: source.live.clone(),
        captured: Captured { files: source.artifacts.len(), bytes: source.bytes(), ..Captured::default() },
        artifacts: Vec::new(),
        sealed: None,
        signer: None,
    };
    if options.dry_run {
        outcome.artifacts = source.artifacts;
        outcome.recipients = keys::recipients(&options.seal_to, Device::load(env)?.as_ref())?.names();
        return Ok(outcome);
    }
    let dir = match &options.output {
        // A device, a pipe, a directory: nothing that was meant to be replaced by a file.
        Output::File { path, .. } if path.symlink_metadata().is_ok() && path.exists() && !path.is_file() => {
            return Err(io::Error::other("it is not a regular file")).at("replace", path).map_err(Error::from);
        }
        Output::File { path, replace } if !replace && path.symlink_metadata().is_ok() => return Err(Error::OutputExists(path.clone())),
        Output::File { path, .. } => durable::parent(path).to_owned(),
        Output::Stream(_) => env.temp_dir(),
    };
    // What cannot be sealed to is found out before keys are made.
    keys::recipients(&options.seal_to, None)?;
    let device = device()?;
    let recipients = keys::recipients(&options.seal_to, Some(&device))?;
    outcome.recipients = recipients.names();
    outcome.signer = Some(device.signing().fingerprint());
    progress.stage("sealing", Some(outcome.captured.bytes));
    let job = Job { env, device: &device, recipients: &recipients, callbacks, progress };
    let (sealed, captured) = source.attempt(|source| job.attempt(&dir, source))?;
    (outcome.captured, outcome.artifacts) = (captured, source.artifacts);
    fault::point("checkpoint.sealed").at("write to", &dir)?;
    let size = sealed.file.metadata().at("write to", &dir)?.len();
    source::refuse_giant(outcome.captured.bytes)?;
    outcome.sealed = Some(size);
    deliver(sealed, options.output)?;
    // It stands: whatever fails from here on is no failure of the checkpoint.
    let _ = fault::point("checkpoint.renamed");
    Ok(outcome)
}

struct Job<'a, C> {
    env: &'a Env,
    device: &'a Device,
    recipients: &'a Recipients,
    callbacks: &'a C,
    progress: &'a dyn Progress,
}

impl<C: Callbacks> Job<'_, C> {
    fn attempt(&self, dir: &Path, source: &Source) -> Result<Attempt<Unnamed>, Error> {
        let unnamed = Unnamed::create_in(dir)?;
        let out = EarlyFlush::new(&unnamed.file, &unnamed.file).at("write to", dir)?;
        let out = BufWriter::with_capacity(1 << 17, out);
        let sealer = seal(out, self.recipients, self.callbacks.clone())?;
        let selected = &source.selected;
        let mut writer = Writer::new(sealer, &Header::new(&selected.session.sid(), selected.agent.name()))?;
        let captured = match source.capture(self.env, &mut writer, self.progress)? {
            Capture::Done(captured) => captured,
            Capture::Changed(path) => return Ok(Attempt::Changed(path)),
        };
        let sign = |bytes: &[u8]| -> Result<String, Error> { Ok(self.device.signing().sign(NAMESPACE, bytes)?) };
        let (sealer, _) = writer.finish(source.manifest(self.env, self.device), sign)?;
        let out = sealer.finish()?.into_inner().map_err(|error| crate::seal::Error::Write(error.into_error()))?;
        out.into_inner();
        // What nobody could open again, because too many may, is not handed out.
        let mut sealed = &unnamed.file;
        sealed.rewind().at("read", dir)?;
        peek(&mut sealed)?;
        unnamed.file.sync_all().at("write to", dir)?;
        Ok(Attempt::Done(unnamed, captured))
    }
}

fn deliver(mut sealed: Unnamed, to: Output) -> Result<(), Error> {
    match to {
        Output::File { path, replace: true } => {
            sealed.replace(&path).at("replace", &path)?;
            Ok(durable::sync_dir(durable::parent(&path))?)
        }
        Output::File { path, replace: false } => match sealed.name(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Error::OutputExists(path)),
            named => {
                named.at("create", &path)?;
                Ok(durable::sync_dir(durable::parent(&path))?)
            }
        },
        Output::Stream(mut out) => {
            sealed
                .file
                .rewind()
                .and_then(|()| io::copy(&mut sealed.file, &mut out))
                .and_then(|_| out.flush())
                .map_err(crate::seal::Error::Write)?;
            Ok(())
        }
    }
}
