//! `checkpoint --output`: one session, sealed into one file.
//!
//! The file has no name until it is whole: it appears then, or not at all.

use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Map;

use super::capture::{Capture, Captured, capture};
use super::keys::{self, SealTo};
use super::select::{self, Selected, Selector};
use super::{Error, placed, sessions};
use crate::agent::{Artifact, Live};
use crate::capsule::{self, Header, MANIFEST_SCHEMA, Manifest, Origin, Repository, Writer};
use crate::device::Device;
use crate::durable::{self, At, EarlyFlush, Unnamed};
use crate::env::Env;
use crate::git::Repo;
use crate::policy::Limits;
use crate::progress::Progress;
use crate::seal::{Callbacks, Recipients, peek, seal};
use crate::{fault, path, time};

/// How often a capture is begun anew because a file was rewritten under it.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

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
    let selected = select::select(env, &options.session, options.agent.as_deref())?;
    let sized = sized(&selected)?;
    let mut outcome = Outcome {
        agent: selected.agent.name(),
        native: selected.session.native.to_string(),
        sid: selected.session.sid().to_string(),
        title: selected.session.title.clone(),
        recipients: Vec::new(),
        live: selected.agent.live(&selected.home, &selected.session.native),
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
    let sealed = job.run(&dir, selected, &mut outcome)?;
    fault::point("checkpoint.sealed").at("write to", &dir)?;
    let size = sealed.file.metadata().at("write to", &dir)?.len();
    refuse_giant(outcome.captured.bytes)?;
    outcome.sealed = Some(size);
    deliver(sealed, options.output)?;
    // It stands: whatever fails from here on is no failure of the checkpoint.
    let _ = fault::point("checkpoint.renamed");
    Ok(outcome)
}

/// What belongs to the session now, and how much it is.
fn sized(selected: &Selected) -> Result<Vec<(Artifact, u64)>, Error> {
    let artifacts = selected.agent.artifacts(&selected.home, &selected.session)?;
    let most = Limits::default().files;
    if artifacts.len() > most {
        return Err(capsule::Error::TooLarge(format!("{} files, and {most} can be restored", artifacts.len())).into());
    }
    let with_size = |artifact| {
        let size = sessions::size_of(&artifact);
        (artifact, size)
    };
    Ok(artifacts.into_iter().map(with_size).collect())
}

/// What `restore` would refuse is of no use to anybody: better said here, where the session still is.
fn refuse_giant(bytes: u64) -> Result<(), Error> {
    let limits = Limits::default();
    if bytes > limits.bytes {
        return Err(capsule::Error::TooLarge(format!("{bytes} bytes, and {} can be restored", limits.bytes)).into());
    }
    Ok(())
}

struct Job<'a, C> {
    env: &'a Env,
    device: &'a Device,
    recipients: &'a Recipients,
    callbacks: &'a C,
    progress: &'a dyn Progress,
}

enum Attempt {
    Sealed(Unnamed, Captured),
    /// This file was rewritten under the reader.
    Changed(PathBuf),
}

impl<C: Callbacks> Job<'_, C> {
    fn run(&self, dir: &Path, mut selected: Selected, outcome: &mut Outcome) -> Result<Unnamed, Error> {
        let mut attempts = 0;
        loop {
            let changed = match self.attempt(dir, &selected, &outcome.artifacts)? {
                Attempt::Sealed(sealed, captured) => {
                    outcome.captured = captured;
                    return Ok(sealed);
                }
                Attempt::Changed(path) => path,
            };
            attempts += 1;
            if attempts == ATTEMPTS {
                return Err(Error::Changing(changed));
            }
            std::thread::sleep(PAUSE);
            // Files come and go while an agent works, and whole sessions are archived: look again.
            let Selected { agent, home, session } = selected;
            let mut found = placed::find(agent, &home, &session.native)?;
            let same = found.iter().position(|place| place.transcript == session.transcript).unwrap_or(0);
            if found.is_empty() {
                return Err(Error::NoSuchSession(session.native.to_string()));
            }
            selected = Selected { agent, home, session: found.swap_remove(same) };
            outcome.artifacts = sized(&selected)?;
        }
    }

    fn attempt(&self, dir: &Path, selected: &Selected, artifacts: &[(Artifact, u64)]) -> Result<Attempt, Error> {
        let unnamed = Unnamed::create_in(dir)?;
        let out = EarlyFlush::new(&unnamed.file, &unnamed.file).at("write to", dir)?;
        let out = BufWriter::with_capacity(1 << 17, out);
        let sealer = seal(out, self.recipients, self.callbacks.clone())?;
        let mut writer = Writer::new(sealer, &Header::new(&selected.session.sid(), selected.agent.name()))?;
        let captured = match capture(artifacts.iter().map(|(artifact, _)| artifact), self.env.now(), &mut writer, self.progress)? {
            Capture::Done(captured) => captured,
            Capture::Changed(path) => return Ok(Attempt::Changed(path)),
        };
        let sign = |bytes: &[u8]| -> Result<String, Error> { Ok(self.device.signing().sign(bytes)?) };
        let (sealer, _) = writer.finish(self.manifest(selected), sign)?;
        let out = sealer.finish()?.into_inner().map_err(|error| crate::seal::Error::Write(error.into_error()))?;
        out.into_inner();
        // What nobody could open again, because too many may, is not handed out.
        let mut sealed = &unnamed.file;
        sealed.rewind().at("read", dir)?;
        peek(&mut sealed)?;
        unnamed.file.sync_all().at("write to", dir)?;
        Ok(Attempt::Sealed(unnamed, captured))
    }

    fn manifest(&self, selected: &Selected) -> Manifest {
        let session = &selected.session;
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
                home: path::to_text(&selected.home.root),
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
