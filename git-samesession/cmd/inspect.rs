//! `inspect`: what can be read of a capsule file, without a key and with one.

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::inspect::{self, Signature};
use samesession::flow::keys;
use samesession::policy::Limits;
use samesession::signers::KnownSigners;
use serde::Serialize;

use crate::cli;
use crate::failure::Failure;
use crate::terminal::{self, Terminal};
use crate::ui::{Ui, View, bytes, harmless};

#[derive(Serialize)]
struct Answer {
    size: Option<u64>,
    sealed_to: String,
    opened: bool,
    why_not: Option<String>,
    manifest: Option<samesession::capsule::Manifest>,
    signature: Option<&'static str>,
    signer: Option<String>,
    signer_name: Option<String>,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.inspect/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let size = self.size.map(|size| format!(" of {}", bytes(size))).unwrap_or_default();
        writeln!(out, "capsule{size}, sealed to {}", self.sealed_to)?;
        let Some(manifest) = &self.manifest else {
            return writeln!(out, "not opened: {}", harmless(self.why_not.as_deref().unwrap_or("")));
        };
        let line = |out: &mut dyn Write, name: &str, value: Option<&str>| match value {
            Some(value) => writeln!(out, "{name:<9} {}", harmless(value)),
            None => Ok(()),
        };
        line(out, "session", Some(&format!("{} {}", manifest.agent, manifest.native_id)))?;
        line(out, "sid", Some(&manifest.sid))?;
        line(out, "title", manifest.title.as_deref())?;
        line(out, "last asked", manifest.prompt.as_deref())?;
        line(out, "version", manifest.agent_version.as_deref())?;
        line(out, "made", Some(&format!("{} on {}", manifest.created, manifest.origin.device)))?;
        line(out, "where", manifest.origin.cwd.as_deref())?;
        line(out, "workspace", manifest.workspace.as_ref().map(crate::cmd::workspace::line).as_deref())?;
        let signer = self.signer.as_deref().unwrap_or("");
        let name = self.signer_name.as_deref().map_or("not known here".to_owned(), |name| format!("known as {name}"));
        match self.signature {
            Some("good") => line(out, "signed", Some(&format!("{signer} ({name})")))?,
            other => line(out, "signed", Some(&format!("no: {}", other.unwrap_or("missing"))))?,
        }
        writeln!(out)?;
        for file in &manifest.files {
            writeln!(out, "{:>10}  {:<12}  {}", bytes(file.size), harmless(&file.role), harmless(&file.path.to_string()))?;
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui, options: &cli::Inspect) -> Result<(), Failure> {
    let device = super::device_for(env, ui, &options.keys)?;
    let passphrase = terminal::passphrase(&options.keys.passphrase, false)?;
    let callbacks = Terminal { quiet: ui.quiet };
    let identities = keys::identities(env, device.as_ref(), &options.keys.identities, passphrase, &callbacks)?;
    let found = inspect::inspect(&super::or_stdin(&options.file), &identities, &Limits::default())?;
    let mut answer = Answer {
        size: found.size,
        sealed_to: found.envelope.describe(),
        opened: found.inside.is_ok(),
        why_not: found.inside.as_ref().err().map(ToString::to_string),
        manifest: None,
        signature: None,
        signer: None,
        signer_name: None,
    };
    if let Ok(inside) = found.inside {
        answer.manifest = Some(inside.manifest);
        match inside.signature {
            Signature::Missing => answer.signature = Some("missing"),
            Signature::Bad(_) => answer.signature = Some("bad"),
            Signature::Good(signer) => {
                let own = device.is_some_and(|device| device.is_own(&signer.fingerprint));
                let known = KnownSigners::load(env)?;
                answer.signer_name = if own { Some("this device".to_owned()) } else { known.name_of(&signer).map(str::to_owned) };
                answer.signature = Some("good");
                answer.signer = Some(signer.fingerprint);
            }
        }
    }
    ui.report(&answer).map_err(Failure::Output)
}
