//! `checkpoint --output`: one session, sealed into one file.

use std::path::Path;

use super::Error;
use super::capture::{Capture, Captured};
use super::keys::{self, SealTo};
use super::output::{Output, Sealed, Sealing};
use super::select::Selector;
use super::source::{self, Attempt, Source};
use super::workspace;
use crate::agent::{Artifact, Live};
use crate::capsule::{Header, Writer};
use crate::device::Device;
use crate::env::Env;
use crate::progress::Progress;
use crate::seal::{Callbacks, NAMESPACE, Recipients};

pub struct Options {
    pub session: Selector,
    pub agent: Option<String>,
    pub output: Output,
    pub seal_to: SealTo,
    pub workspace: workspace::Options,
    pub dry_run: bool,
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
    /// Why no workspace comes along, although one was asked for.
    pub without: Option<String>,
}

/// `device` gives the keys, and may make them: it is not asked before it is certain that they are needed.
pub fn checkpoint<C: Callbacks>(
    env: &Env,
    options: Options,
    device: impl FnOnce() -> Result<Device, Error>,
    callbacks: &C,
    progress: &dyn Progress,
) -> Result<Outcome, Error> {
    let mut source = Source::find(env, &options.session, options.agent.as_deref())?.with_workspace(env, &options.workspace)?;
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
        without: source.without.clone(),
    };
    if options.dry_run {
        outcome.artifacts = source.artifacts;
        outcome.recipients = keys::recipients(&options.seal_to, Device::load(env)?.as_ref())?.names();
        return Ok(outcome);
    }
    let dir = options.output.dir(env)?;
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
    source::refuse_giant(outcome.captured.bytes)?;
    outcome.sealed = Some(sealed.size);
    sealed.deliver(options.output)?;
    if let Some(state) = outcome.captured.workspace.as_ref().and_then(|taken| taken.state.as_ref()) {
        state.remember(&source.selected.session.sid());
    }
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
    fn attempt(&self, dir: &Path, source: &Source) -> Result<Attempt<Sealed>, Error> {
        let (sealing, plain) = Sealing::begin(dir, self.recipients, self.callbacks)?;
        let selected = &source.selected;
        let mut writer = Writer::new(plain, &Header::new(&selected.session.sid(), selected.agent.name()))?;
        let captured = match source.capture(self.env, &mut writer, self.progress)? {
            Capture::Done(captured) => captured,
            Capture::Changed(path) => return Ok(Attempt::Changed(path)),
        };
        let sign = |bytes: &[u8]| -> Result<String, Error> { Ok(self.device.signing().sign(NAMESPACE, bytes)?) };
        let (plain, _) = writer.finish(source.manifest(self.env, self.device, &captured), sign)?;
        Ok(Attempt::Done(sealing.finish(plain)?, captured))
    }
}
