//! `checkpoint --output`: one session, sealed into one file.

use std::path::Path;

use super::Error;
use super::capture::{Capture, Captured};
use super::guard::{Guard, Passed};
use super::keys::{self, SealTo};
use super::output::{Output, Sealed, Sealing};
use super::select::Selector;
use super::source::{self, Attempt, Source};
use super::{redact, secrets, workspace};
use crate::agent::{Artifact, Live};
use crate::capsule::{Header, Observed, Writer};
use crate::device::Device;
use crate::env::Env;
use crate::git::Around;
use crate::progress::Progress;
use crate::seal::{Callbacks, NAMESPACE, Recipients};

pub struct Options {
    pub session: Selector,
    pub agent: Option<String>,
    pub output: Output,
    pub seal_to: SealTo,
    pub workspace: workspace::Options,
    pub dry_run: bool,
    /// A copy for eyes only, without its secrets.
    pub redact: bool,
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
    /// What is worth saying of what is in it.
    pub passed: Passed,
    /// Everything that would travel, in a dry run: name, role, size.
    pub listed: Vec<(String, String, u64)>,
    /// So many secrets were masked.
    pub masked: usize,
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
    // Git answers while sessions are looked for.
    let (source, around) = std::thread::scope(|scope| {
        let around = scope.spawn(|| Around::of(env));
        let source = Source::find(env, &options.session, options.agent.as_deref());
        (source, around.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let mut source = source?.with_workspace(env, &options.workspace)?;
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
        passed: Passed::default(),
        listed: Vec::new(),
        masked: 0,
        without: source.without.clone(),
    };
    let around = around?;
    let guard = Guard::around(env, &around)?;
    if options.dry_run {
        let looked = secrets::look(env, &mut source, progress)?;
        outcome.passed = guard.would(&looked.found, looked.captured.bytes);
        outcome.listed = looked.listing.files;
        outcome.captured.workspace = looked.captured.workspace;
        outcome.artifacts = source.artifacts;
        outcome.recipients = keys::recipients(&options.seal_to, Device::load(env)?.as_ref())?.names();
        return Ok(outcome);
    }
    let dir = options.output.dir(env)?;
    // What cannot be sealed to is found out before keys are made.
    keys::recipients(&options.seal_to, None)?;
    let device = device()?;
    if let Some(repo) = around.repository() {
        keys::sign_as_configured(env, repo, &device)?;
    }
    let recipients = keys::recipients(&options.seal_to, Some(&device))?;
    outcome.recipients = recipients.names();
    outcome.signer = Some(device.signing().fingerprint());
    progress.stage("sealing", Some(outcome.captured.bytes));
    let job = Job { env, device: &device, recipients: &recipients, callbacks, progress, guard: &guard, redact: options.redact };
    let ((sealed, passed, masked), captured) = source.attempt(|source| job.attempt(&dir, source))?;
    (outcome.captured, outcome.artifacts, outcome.passed, outcome.masked) = (captured, source.artifacts, passed, masked);
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
    guard: &'a Guard,
    redact: bool,
}

impl<C: Callbacks> Job<'_, C> {
    fn attempt(&self, dir: &Path, source: &Source) -> Result<Attempt<(Sealed, Passed, usize)>, Error> {
        let (sealing, plain) = Sealing::begin(dir, self.recipients, self.callbacks)?;
        let selected = &source.selected;
        let sign = |bytes: &[u8]| -> Result<String, Error> { Ok(self.device.signing().sign(NAMESPACE, bytes)?) };
        let header = Header::new(&selected.session.sid(), selected.agent.name());
        if self.redact {
            let mut copy = redact::Redacting::new(Writer::new(plain, &redact::header(header))?);
            let captured = match source.capture(self.env, &mut copy, self.progress)? {
                Capture::Done(captured) => captured,
                Capture::Changed(path) => return Ok(Attempt::Changed(path)),
            };
            let masked = copy.masked;
            let manifest = redact::manifest(source.manifest(self.env, self.device, &captured), &copy, None);
            let (plain, _) = copy.target.finish(manifest, sign)?;
            return Ok(Attempt::Done((sealing.finish(plain)?, Passed::default(), masked), captured));
        }
        let mut writer = Writer::new(plain, &header)?;
        let mut watch = self.guard.watch();
        let captured = match &mut watch {
            None => source.capture(self.env, &mut writer, self.progress)?,
            Some(watch) => {
                let mut observed = Observed { target: writer, observer: watch };
                let captured = source.capture(self.env, &mut observed, self.progress)?;
                writer = observed.target;
                captured
            }
        };
        let captured = match captured {
            Capture::Done(captured) => captured,
            Capture::Changed(path) => return Ok(Attempt::Changed(path)),
        };
        let found = watch.map(|watch| watch.found()).unwrap_or_default();
        let passed = self.guard.pass(&found, captured.bytes)?;
        let mut manifest = source.manifest(self.env, self.device, &captured);
        self.guard.needed(None, &found).to_manifest(&mut manifest.more);
        let (plain, _) = writer.finish(manifest, sign)?;
        Ok(Attempt::Done((sealing.finish(plain)?, passed, 0), captured))
    }
}
