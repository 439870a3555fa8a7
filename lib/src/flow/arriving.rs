//! A capsule that comes, in either container, opened into a stage.
//!
//! Read once, to its end; nothing of it is believed before that. Knows the agent only to ask it where its home is and which
//! of the files are a session's.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::thread;

use super::ledger::Ledger;
use super::required::Required;
use super::stage::{self, Stage};
use super::workspace::Arrived;
use super::{Error, agent_named};
use crate::agent::{Agent, Home, Role, StagedFile, jsonl};
use crate::capsule::{self, Content, FileEntry, Header, Manifest, SESSION_DIR, TORN_DIR, Target, WORKSPACE_DIR};
use crate::durable::At;
use crate::env::Env;
use crate::id::NativeId;
use crate::path::RelPath;
use crate::policy::Limits;
use crate::progress::Progress;
use crate::roster::Roster;
use crate::seal::{self, Identities, ReadAhead};
use crate::store::unfold::Opened;

pub enum Arriving<'a> {
    File { path: &'a Path, identities: &'a Identities },
    Checkpoint { ledger: &'a Ledger<'a>, opened: &'a mut Opened },
}

impl Arriving<'_> {
    /// Of the repository that it comes from.
    pub fn roster(&self) -> Option<&Roster> {
        match self {
            Arriving::File { .. } => None,
            Arriving::Checkpoint { ledger, .. } => ledger.joined(),
        }
    }

    /// Whose signature is asked for where it comes from.
    pub fn required(&self, env: &Env) -> Result<Required, Error> {
        match self {
            Arriving::File { .. } => Required::around(env),
            Arriving::Checkpoint { ledger, .. } => Ok(ledger.required),
        }
    }

    /// It is a checkpoint that nobody has signed.
    pub fn is_nobodys(&self) -> bool {
        matches!(self, Arriving::Checkpoint { opened, .. } if opened.checkpoint.signer.is_nobody())
    }

    pub fn stage(self, env: &Env, dry_run: bool, limits: &Limits, progress: &dyn Progress) -> Result<Staged, Error> {
        let mut sink = Sink { env, dry_run, limits, home: None, stage: None, files: Vec::new() };
        let opened = match self {
            Arriving::File { path, identities } => read(path, identities, limits, &mut sink, progress)?,
            Arriving::Checkpoint { ledger, opened } => unfold(ledger, opened, limits, &mut sink, progress)?,
        };
        sink.staged(opened)
    }
}

/// From a sealed file.
pub fn read<S: capsule::Sink<Error = Error>>(
    path: &Path,
    identities: &Identities,
    limits: &Limits,
    sink: &mut S,
    progress: &dyn Progress,
) -> Result<capsule::Opened, Error> {
    let file = File::open(path).at("open", path)?;
    progress.stage("opening", file.metadata().ok().map(|meta| meta.len()));
    let input = BufReader::with_capacity(1 << 17, Told { from: file, progress });
    thread::scope(|scope| {
        let plain = seal::open(input, identities, limits)?;
        capsule::read(ReadAhead::spawn(scope, plain), limits, sink)
    })
}

/// From the repository.
pub fn unfold<S: capsule::Sink<Error = Error>>(
    ledger: &Ledger<'_>,
    opened: &mut Opened,
    limits: &Limits,
    sink: &mut S,
    progress: &dyn Progress,
) -> Result<capsule::Opened, Error> {
    progress.stage("opening", Some(opened.record.summary.bytes));
    let tree = opened.tree(&ledger.store)?;
    let manifest = opened.manifest_bytes(&ledger.store, &tree, ledger.identities)?;
    let header = Header::new(&opened.checkpoint.sid, &opened.record.summary.agent);
    let signature = opened.signature.clone();
    let contents = Told { from: opened.contents(&ledger.store, &tree, ledger.identities)?, progress };
    capsule::unfold(header, manifest, signature, contents, limits, sink)
}

pub struct Staged {
    pub agent: &'static dyn Agent,
    pub home: Home,
    pub stage: Stage,
    pub files: Vec<StagedFile>,
    pub opened: capsule::Opened,
    pub workspace: Option<Arrived>,
}

impl Staged {
    pub fn refuse_strangers(&self, native: &NativeId) -> Result<(), Error> {
        refuse_strangers(self.agent, native, &self.opened.manifest)
    }
}

/// By their names: one transcript, and nothing else that is not the session's.
pub fn refuse_strangers(agent: &dyn Agent, native: &NativeId, manifest: &Manifest) -> Result<(), Error> {
    let mut transcripts = 0;
    let session = manifest.files.iter().map(|file| &file.path).filter(|name| name.strip_prefix(WORKSPACE_DIR).is_none());
    for name in session {
        let role = [SESSION_DIR, TORN_DIR].iter().find_map(|dir| agent.role(native, &name.strip_prefix(dir)?));
        let torn = name.strip_prefix(TORN_DIR).is_some();
        match role {
            Some(role) if torn && role.is_append_only() => {}
            Some(role) if !torn => transcripts += usize::from(role == Role::Transcript),
            _ => return Err(Error::Foreign(name.to_string())),
        }
    }
    if transcripts == 1 { Ok(()) } else { Err(capsule::Error::Lies(format!("it holds {transcripts} transcripts")).into()) }
}

impl Sink<'_> {
    fn staged(self, opened: capsule::Opened) -> Result<Staged, Error> {
        let native = opened.manifest.native_id()?;
        let (Some((agent, home)), Some(stage)) = (self.home, self.stage) else {
            return Err(capsule::Error::NotACapsule("it is empty").into());
        };
        let mut files = Vec::new();
        for (name, staged) in self.files {
            let role = agent.role(&native, &name).ok_or_else(|| Error::Foreign(format!("{SESSION_DIR}/{name}")))?;
            files.push(StagedFile { name, role, staged });
        }
        let workspace = Arrived::read(&stage.new_dir(), &opened.manifest)?;
        Ok(Staged { agent, home, stage, files, opened, workspace })
    }
}

/// Gives one file of a capsule, with what its manifest says of it, to whatever takes files.
pub fn pass_on<T: Target>(entry: Option<&FileEntry>, name: &RelPath, content: &mut dyn Read, to: &mut T) -> Result<(), Error>
where
    Error: From<T::Error>,
{
    let entry = entry.filter(|entry| entry.path == *name).ok_or_else(|| capsule::Error::Lies(format!("it does not list '{name}'")))?;
    let mut reader = Blamed { from: content, failed: None };
    let added = to.add(Content::listed(entry, &mut reader)).map_err(Error::from);
    match reader.failed {
        Some(why) => Err(capsule::Error::Damaged(why).into()),
        None => added.map(drop),
    }
}

/// Remembers that the reading failed: whoever writes what is read takes every failure for one of the writing.
struct Blamed<'a> {
    from: &'a mut dyn Read,
    failed: Option<String>,
}

impl Read for Blamed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into);
        match &read {
            Ok(0) if !into.is_empty() => self.failed = Some("it is cut short".to_owned()),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => self.failed = Some(error.to_string()),
            _ => {}
        }
        read
    }
}

struct Told<'a, R> {
    from: R,
    progress: &'a dyn Progress,
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(into)?;
        self.progress.advance(n as u64);
        Ok(n)
    }
}

struct Sink<'a> {
    env: &'a Env,
    dry_run: bool,
    limits: &'a Limits,
    home: Option<(&'static dyn Agent, Home)>,
    stage: Option<Stage>,
    files: Vec<(RelPath, PathBuf)>,
}

impl capsule::Sink for Sink<'_> {
    type Error = Error;

    fn header(&mut self, header: &Header) -> Result<(), Error> {
        if header.is_redacted() {
            return Err(Error::Redacted);
        }
        let agent = agent_named(&header.agent)?;
        let home = agent.home(self.env)?;
        self.stage = Some(if self.dry_run { Stage::temporary(self.env)? } else { Stage::beside(&home.root, self.env)? });
        self.home = Some((agent, home));
        Ok(())
    }

    fn room(&mut self, needs: u64) -> Result<(), Error> {
        let Some(stage) = &self.stage else { return Ok(()) };
        // Not every file system can say it.
        let Ok(disk) = rustix::fs::statvfs(&stage.dir) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if needs <= free { Ok(()) } else { Err(Error::NoRoom { at: stage.dir.clone(), needs, free }) }
    }

    fn file(&mut self, name: &RelPath, content: &mut dyn Read) -> Result<(), Error> {
        let Some(stage) = &mut self.stage else { return Err(capsule::Error::NotACapsule("it has no header").into()) };
        if name.strip_prefix(TORN_DIR).is_some() {
            // Kept in the capsule only: gluing it to a transcript would damage the next record.
            io::copy(content, &mut io::sink()).map_err(|error| capsule::Error::Damaged(error.to_string()))?;
            return Ok(());
        }
        if name.strip_prefix(WORKSPACE_DIR).is_some() {
            return stage.take_as(name, content);
        }
        let name = name.strip_prefix(SESSION_DIR).ok_or_else(|| Error::Foreign(name.to_string()))?;
        let packed = jsonl::is_packed(name.as_path());
        let staged = stage.take(content, packed)?;
        if packed {
            stage::unpacks_within(&staged, self.limits)?;
        }
        self.files.push((name, staged));
        Ok(())
    }
}
