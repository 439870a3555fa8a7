//! A session of this machine as what a checkpoint is made of: captured where its agent keeps it, signed here.

use std::path::PathBuf;

use super::Error;
use super::capture::{Capture, Captured};
use super::commit::{Begin, Input, Signed};
use super::source::{Attempt, Source};
use crate::capsule::{FileEntry, Manifest};
use crate::device::Device;
use crate::env::Env;
use crate::id::SessionId;
use crate::policy::secrets::Allowed;
use crate::progress::Progress;
use crate::seal::NAMESPACE;
use crate::store::fold::Folded;

pub struct Native<'a> {
    pub source: &'a mut Source,
    pub device: &'a Device,
    pub env: &'a Env,
    /// As it was captured last.
    pub captured: Captured,
    /// What is to be said of it, but for its files.
    pub manifest: Option<Manifest>,
}

impl Input for Native<'_> {
    fn sid(&self) -> SessionId {
        self.source.selected.session.sid()
    }

    fn title(&self) -> Option<&str> {
        self.source.selected.session.title.as_deref()
    }

    fn bytes(&self) -> u64 {
        self.source.bytes()
    }

    fn transcript(&mut self) -> Result<PathBuf, Error> {
        Ok(self.source.selected.session.transcript.clone())
    }

    fn fold(&mut self, begin: &mut Begin<'_>, progress: &dyn Progress) -> Result<(Folded, Captured), Error> {
        let (env, device) = (self.env, self.device);
        let ((folded, manifest), captured) = self.source.attempt(|source| {
            let mut fold = begin()?;
            match source.capture(env, &mut fold, progress)? {
                Capture::Done(captured) => {
                    // Looking for the last prompt takes a moment, in which the last parts are sealed.
                    let manifest = source.manifest(env, device, &captured);
                    Ok(Attempt::Done((fold.finish()?, manifest), captured))
                }
                Capture::Changed(path) => Ok(Attempt::Changed(path)),
            }
        })?;
        self.captured = captured.clone();
        self.manifest = Some(manifest);
        Ok((folded, captured))
    }

    fn signed(&self, files: Vec<FileEntry>, allowed: &Allowed) -> Result<Signed, Error> {
        let made = || self.source.manifest(self.env, self.device, &self.captured);
        let mut manifest = self.manifest.clone().unwrap_or_else(made);
        manifest.files = files;
        allowed.to_manifest(&mut manifest.more);
        let json = manifest.to_json()?;
        let signature = self.device.signing().sign(NAMESPACE, &json)?.into_bytes();
        Ok(Signed { manifest, json, signature: Some(signature) })
    }
}
