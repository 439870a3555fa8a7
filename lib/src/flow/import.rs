//! `import`: a capsule's file as the next checkpoint of its session.
//!
//! It is read twice: to its end, to know that it is whole and whose it is, and then into the repository. What must stay
//! true: nothing is written for a capsule that `restore` would refuse, and manifest and signature go over to the byte.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::arriving::{pass_on, read, refuse_strangers};
use super::capture::Captured;
use super::commit::{self, Begin, Input, Signed};
use super::inspect::Nowhere;
use super::ledger::Ledger;
use super::required::Required;
use super::roster::Joined;
use super::signed::{self, Belief, Consent, SignedBy};
use super::stage::{self, Stage};
use super::{Error, agent_named, role_name};
use crate::agent::{Role, jsonl};
use crate::capsule::{self, FileEntry, Header, Manifest, TORN_DIR};
use crate::device::Device;
use crate::durable::{self, At, TEMPORARY};
use crate::env::Env;
use crate::id::SessionId;
use crate::path::RelPath;
use crate::policy::Limits;
use crate::policy::secrets::Allowed;
use crate::progress::{self, Progress};
use crate::seal::{Callbacks, Identities};
use crate::signers::KnownSigners;
use crate::store::fold::{Fold, Folded};
use crate::time;

pub struct Options<'a> {
    pub file: &'a Path,
    pub identities: &'a Identities,
    pub belief: Belief<'a>,
    pub limits: Limits,
}

/// A capsule that was read to its end and is believed.
pub struct Verified<'a> {
    file: Again,
    identities: &'a Identities,
    limits: Limits,
    opened: capsule::Opened,
    sid: SessionId,
    pub signed_by: SignedBy,
    transcript: Option<(Stage, PathBuf)>,
}

/// Whoever is accepted as its signer is remembered. Nothing else is written.
pub fn verify<'a>(
    env: &Env,
    device: Option<&Device>,
    options: Options<'a>,
    consent: &mut dyn Consent,
    progress: &dyn Progress,
) -> Result<Verified<'a>, Error> {
    let Options { file, identities, belief, limits } = options;
    let file = Again::open(env, file)?;
    let opened = read(&file.path, identities, &limits, &mut Nowhere, progress)?;
    let joined = Joined::around(env);
    let belief = Belief { roster: joined.as_ref().map(|joined| &joined.roster), required: Required::around(env)?, ..belief };
    let (signed_by, new_signer) = signed::by(env, device, &belief, &opened, consent)?;
    if opened.manifest.is_redacted() {
        return Err(Error::Redacted);
    }
    let (manifest, native) = (&opened.manifest, opened.manifest.native_id()?);
    refuse_strangers(agent_named(&manifest.agent)?, &native, manifest)?;
    if manifest.files.iter().filter(|file| is_transcript(file)).count() != 1 {
        return Err(capsule::Error::Lies("it does not say which file is the transcript".to_owned()).into());
    }
    if let Some(signer) = new_signer {
        KnownSigners::load(env)?.add(&signer, &manifest.origin.device)?;
    }
    Ok(Verified { file, identities, limits, sid: opened.manifest.sid()?, opened, signed_by, transcript: None })
}

/// Makes it a checkpoint. `device` signs that, as it does for sessions of its own.
pub fn import<C: Callbacks>(
    ledger: &Ledger<'_>,
    device: &Device,
    capsule: &mut Verified<'_>,
    options: &commit::Options,
    callbacks: &C,
    progress: &dyn Progress,
) -> Result<commit::Outcome, Error> {
    commit::add(ledger, device, &mut Capsule { capsule, env: ledger.env }, options, callbacks, progress)
}

fn is_transcript(file: &FileEntry) -> bool {
    file.role == role_name(Role::Transcript)
}

impl Verified<'_> {
    pub fn manifest(&self) -> &Manifest {
        &self.opened.manifest
    }

    /// The same capsule once more.
    fn read<S: capsule::Sink<Error = Error>>(&self, sink: &mut S, progress: &dyn Progress) -> Result<(), Error> {
        let again = read(&self.file.path, self.identities, &self.limits, sink, progress)?;
        // Its files are what the manifest says, so this is all there is to compare.
        if again.manifest_bytes == self.opened.manifest_bytes { Ok(()) } else { Err(Error::Changing(self.file.path.clone())) }
    }
}

/// With the environment of the import.
struct Capsule<'a, 'b> {
    capsule: &'a mut Verified<'b>,
    env: &'a Env,
}

impl Input for Capsule<'_, '_> {
    fn sid(&self) -> SessionId {
        self.capsule.sid.clone()
    }

    fn title(&self) -> Option<&str> {
        self.capsule.manifest().title.as_deref()
    }

    fn bytes(&self) -> u64 {
        self.capsule.manifest().files.iter().map(|file| file.size).sum()
    }

    fn transcript(&mut self) -> Result<PathBuf, Error> {
        if let Some((_, path)) = &self.capsule.transcript {
            return Ok(path.clone());
        }
        // What a crash leaves of it is cleared by the next one.
        let stage = Stage::temporary(self.env)?;
        let files = &self.capsule.manifest().files;
        let name = files.iter().find(|file| is_transcript(file)).map(|file| file.path.clone());
        let packed = name.as_ref().is_some_and(|name| jsonl::is_packed(name.as_path()));
        let path = stage.dir.join(if packed { "ours.jsonl.zst" } else { "ours.jsonl" });
        let mut sink = OneFile { name, file: durable::create_private(&path)? };
        self.capsule.read(&mut sink, &progress::Silent)?;
        if packed {
            stage::unpacks_within(&path, &self.capsule.limits)?;
        }
        self.capsule.transcript = Some((stage, path.clone()));
        Ok(path)
    }

    fn fold(&mut self, begin: &mut Begin<'_>, progress: &dyn Progress) -> Result<(Folded, Captured), Error> {
        let manifest = self.capsule.manifest();
        let mut sink = IntoFold { fold: begin()?, files: manifest.files.iter() };
        self.capsule.read(&mut sink, progress)?;
        let mut captured = Captured::default();
        for file in &manifest.files {
            match file.path.strip_prefix(TORN_DIR) {
                Some(_) => captured.torn += file.size,
                None => (captured.files, captured.bytes) = (captured.files + 1, captured.bytes + file.size),
            }
        }
        Ok((sink.fold.finish()?, captured))
    }

    fn is_older(&self, than: &Manifest) -> bool {
        let made = |manifest: &Manifest| time::parse(&manifest.created);
        matches!((made(self.capsule.manifest()), made(than)), (Some(ours), Some(theirs)) if ours < theirs)
    }

    fn is_ours(&self) -> bool {
        false
    }

    fn signed(&self, _: Vec<FileEntry>, _: &Allowed) -> Result<Signed, Error> {
        let opened = &self.capsule.opened;
        Ok(Signed { manifest: opened.manifest.clone(), json: opened.manifest_bytes.clone(), signature: opened.signature.clone() })
    }
}

struct IntoFold<'a> {
    fold: Fold,
    /// What comes, in its order.
    files: std::slice::Iter<'a, FileEntry>,
}

impl capsule::Sink for IntoFold<'_> {
    type Error = Error;

    fn header(&mut self, _: &Header) -> Result<(), Error> {
        Ok(())
    }

    fn file(&mut self, name: &RelPath, content: &mut dyn Read) -> Result<(), Error> {
        pass_on(self.files.next(), name, content, &mut self.fold)
    }
}

/// Takes one file and passes the others by.
struct OneFile {
    name: Option<RelPath>,
    file: File,
}

impl capsule::Sink for OneFile {
    type Error = Error;

    fn header(&mut self, _: &Header) -> Result<(), Error> {
        Ok(())
    }

    fn file(&mut self, name: &RelPath, content: &mut dyn Read) -> Result<(), Error> {
        let copied = if self.name.as_ref() == Some(name) { io::copy(content, &mut self.file) } else { io::copy(content, &mut io::sink()) };
        Ok(copied.map(drop).map_err(capsule::Error::Read)?)
    }
}

/// A file that can be read as often as needed: what comes through a pipe is put aside first, sealed as it is.
struct Again {
    path: PathBuf,
    _aside: Option<TempPath>,
}

impl Again {
    fn open(env: &Env, path: &Path) -> Result<Again, Error> {
        let mut file = File::open(path).at("open", path)?;
        if file.metadata().at("open", path)?.is_file() {
            return Ok(Again { path: path.to_owned(), _aside: None });
        }
        let temp = env.temp_dir();
        let mut aside = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&temp).at("create a file in", &temp)?;
        let mut block = vec![0; 1 << 17];
        loop {
            if progress::interrupted() {
                return Err(Error::Interrupted);
            }
            match file.read(&mut block) {
                Ok(0) => break,
                Ok(n) => aside.write_all(&block[..n]).at("write to", &temp)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).at("read", path).map_err(Error::from),
            }
        }
        let aside = aside.into_temp_path();
        Ok(Again { path: aside.to_path_buf(), _aside: Some(aside) })
    }
}
