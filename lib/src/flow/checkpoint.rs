//! `checkpoint --output`: one session, sealed into one file.
//!
//! The file appears whole, by a rename, or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::Map;

use super::capture::{Capture, Captured, capture};
use super::keys::{self, SealTo};
use super::select::{self, Selected, Selector};
use super::{Error, sessions};
use crate::agent::Artifact;
use crate::capsule::{self, Header, MANIFEST_SCHEMA, Manifest, Origin, Repository, Writer};
use crate::device::Device;
use crate::durable::{self, At, EarlyFlush};
use crate::env::Env;
use crate::git::Repo;
use crate::policy::Limits;
use crate::progress::Progress;
use crate::seal::{Callbacks, Recipients, peek, seal};
use crate::{fault, path, time};

/// How often a capture is begun anew because a file was rewritten under it.
const ATTEMPTS: usize = 3;

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
    let selected = select::select(env, &options.session, options.agent.as_deref())?;
    let artifacts = selected.agent.artifacts(&selected.home, &selected.session)?;
    let most = Limits::default().files;
    if artifacts.len() > most {
        return Err(capsule::Error::TooLarge(format!("{} files, and {most} can be restored", artifacts.len())).into());
    }
    let sized: Vec<_> = artifacts.into_iter().map(|artifact| (sessions::size_of(&artifact), artifact)).map(|(size, a)| (a, size)).collect();
    let mut outcome = Outcome {
        agent: selected.agent.name(),
        native: selected.session.native.to_string(),
        sid: selected.session.sid().to_string(),
        title: selected.session.title.clone(),
        recipients: Vec::new(),
        captured: Captured { files: sized.len(), bytes: sized.iter().map(|(_, size)| size).sum(), ..Captured::default() },
        artifacts: sized,
        sealed: None,
        signer: None,
    };
    if options.dry_run {
        outcome.recipients = keys::recipients(&options.seal_to, Device::load(env)?.as_ref())?.names();
        return Ok(outcome);
    }
    let dir = match &options.output {
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
    let job =
        Job { env, device: &device, selected: &selected, artifacts: &outcome.artifacts, recipients: &recipients, callbacks, progress };
    let (sealed, captured) = job.run(&dir)?;
    fault::point("checkpoint.sealed").at("write", sealed.path())?;
    outcome.sealed = Some(sealed.as_file().metadata().at("read", sealed.path())?.len());
    outcome.captured = captured;
    deliver(sealed, options.output)?;
    fault::point("checkpoint.renamed").at("write", &dir)?;
    Ok(outcome)
}

struct Job<'a, C> {
    env: &'a Env,
    device: &'a Device,
    selected: &'a Selected,
    artifacts: &'a [(Artifact, u64)],
    recipients: &'a Recipients,
    callbacks: &'a C,
    progress: &'a dyn Progress,
}

impl<C: Callbacks> Job<'_, C> {
    fn run(&self, dir: &Path) -> Result<(tempfile::NamedTempFile, Captured), Error> {
        let mut changed = None;
        for _ in 0..ATTEMPTS {
            let file = tempfile::Builder::new().prefix(".samesession-").tempfile_in(dir).at("create a file in", dir)?;
            match self.attempt(file)? {
                Ok(done) => return Ok(done),
                Err(path) => changed = Some(path),
            }
        }
        Err(Error::Changing(changed.unwrap_or_default()))
    }

    #[allow(clippy::type_complexity)]
    fn attempt(&self, file: tempfile::NamedTempFile) -> Result<Result<(tempfile::NamedTempFile, Captured), PathBuf>, Error> {
        let Selected { agent, session, .. } = self.selected;
        let artifacts: Vec<Artifact> = self.artifacts.iter().map(|(artifact, _)| artifact.clone()).collect();
        let early = file.as_file().try_clone().and_then(|handle| EarlyFlush::new(file, &handle));
        let out = BufWriter::with_capacity(1 << 17, early.map_err(crate::seal::Error::Write)?);
        let sealer = seal(out, self.recipients, self.callbacks.clone())?;
        let mut writer = Writer::new(sealer, &Header::new(&session.sid(), agent.name()))?;
        let captured = match capture(&artifacts, self.env.now(), &mut writer, self.progress)? {
            Capture::Done(captured) => captured,
            Capture::Changed(path) => return Ok(Err(path)),
        };
        let sign = |bytes: &[u8]| -> Result<String, Error> { Ok(self.device.signing().sign(bytes)?) };
        let (sealer, _) = writer.finish(self.manifest(), sign)?;
        let file = sealer.finish()?.into_inner().map_err(|error| error.into_error());
        let file = file.map_err(crate::seal::Error::Write)?.into_inner();
        // What nobody could open again, because too many may, is not handed out.
        peek(&mut File::open(file.path()).at("open", file.path())?)?;
        file.as_file().sync_all().at("write", file.path())?;
        Ok(Ok((file, captured)))
    }

    fn manifest(&self) -> Manifest {
        let session = &self.selected.session;
        Manifest {
            schema: MANIFEST_SCHEMA.to_owned(),
            requires: Vec::new(),
            sid: session.sid().to_string(),
            agent: session.agent.to_owned(),
            native_id: session.native.to_string(),
            agent_version: session.version.clone(),
            title: session.title.clone(),
            created: time::format(self.env.now()),
            origin: Origin {
                device: self.device.name.clone(),
                home: path::to_text(&self.selected.home.root),
                cwd: session.cwd.as_deref().map(path::to_text),
                more: Map::new(),
            },
            repository: session.cwd.as_deref().and_then(repository),
            files: Vec::new(),
            more: Map::new(),
        }
    }
}

fn repository(cwd: &Path) -> Option<Repository> {
    let repo = Repo::around(cwd)?;
    let below = cwd.strip_prefix(&repo.root).map(path::to_text).unwrap_or_default();
    Some(Repository { root: path::to_text(&repo.root), below, branch: repo.branch, head: repo.head, more: Map::new() })
}

fn deliver(sealed: tempfile::NamedTempFile, to: Output) -> Result<(), Error> {
    match to {
        Output::File { path, replace: true } => {
            sealed.persist(&path).map_err(|error| error.error).at("replace", &path)?;
            Ok(durable::sync_dir(durable::parent(&path))?)
        }
        Output::File { path, replace: false } => match sealed.persist_noclobber(&path) {
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(Error::OutputExists(path)),
            persisted => {
                persisted.map_err(|error| error.error).at("create", &path)?;
                Ok(durable::sync_dir(durable::parent(&path))?)
            }
        },
        Output::Stream(mut out) => {
            let mut sealed = File::open(sealed.path()).at("open", sealed.path())?;
            io::copy(&mut sealed, &mut out).and_then(|_| out.flush()).map_err(crate::seal::Error::Write)?;
            Ok(())
        }
    }
}
