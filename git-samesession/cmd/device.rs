//! `device init`, `device show` and `device passphrase`; the roster's verbs are in `device/roster.rs`.

mod art;
mod roster;

use std::io::{self, Write};
use std::path::Path;

use samesession::device::Device;
use samesession::env::Env;
use samesession::flow::keys;
use samesession::git::Repository;
use samesession::seal::{Callbacks, SecretString};
use serde::Serialize;

use crate::cli::{self, DeviceCommand, NewPassphrase};
use crate::failure::Failure;
use crate::terminal::{self, Terminal};
use crate::ui::{Ui, View, harmless};

#[derive(Serialize)]
struct Shown {
    name: String,
    created: String,
    recipient: String,
    signing_key: String,
    fingerprint: String,
    /// Whether the keys are under a passphrase.
    passphrase: bool,
    directory: String,
}

impl View for Shown {
    const SCHEMA: &'static str = "samesession.device/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "device       {}", harmless(&self.name))?;
        writeln!(out, "recipient    {}", self.recipient)?;
        writeln!(out, "signing key  {}", self.signing_key)?;
        writeln!(out, "fingerprint  {}", self.fingerprint)?;
        if self.passphrase {
            writeln!(out, "passphrase   yes")?;
        }
        writeln!(out, "kept in      {}", harmless(&self.directory))
    }
}

pub fn run(env: &Env, ui: &Ui, command: &DeviceCommand) -> Result<(), Failure> {
    let device = match command {
        DeviceCommand::Init { name, passphrase } => {
            // Nobody is asked twice for a passphrase that will not be used.
            if let Some(device) = Device::load(env)? {
                return Err(samesession::device::Error::Exists(device.name).into());
            }
            Device::create(env, name.as_deref(), new_passphrase(passphrase)?.as_ref())?
        }
        DeviceCommand::Passphrase { remove, passphrase_file } => change(env, ui, *remove, passphrase_file.as_deref())?,
        DeviceCommand::Show => Device::load(env)?.ok_or(Failure::NoDevice)?,
        DeviceCommand::Join { remote, recovery: Some(file), .. } => return roster::recover(env, ui, remote.as_deref(), file),
        DeviceCommand::Join { remote, trust, .. } => return roster::join(env, ui, remote.as_deref(), trust.as_deref()),
        DeviceCommand::List { remote } => return roster::list(env, ui, remote.as_deref()),
        DeviceCommand::Approve { who, fingerprint, name, remote } => {
            let approval = roster::Approval { who, fingerprint: fingerprint.as_deref(), name: name.as_deref() };
            return roster::approve(env, ui, &approval, remote.as_deref());
        }
        DeviceCommand::Revoke { who, remote } => return roster::revoke(env, ui, who, remote.as_deref()),
    };
    if let Ok(repo) = Repository::open(env, env.cwd()) {
        keys::sign_as_configured(env, &repo, &device)?;
    }
    let shown = Shown {
        recipient: device.recipient(),
        signing_key: device.signing().public_line().map_err(samesession::flow::Error::from)?,
        fingerprint: device.signing().fingerprint(),
        passphrase: device.is_locked(),
        directory: device.dir.display().to_string(),
        name: device.name,
        created: device.created,
    };
    ui.report(&shown).map_err(Failure::Output)
}

fn new_passphrase(asked: &NewPassphrase) -> Result<Option<SecretString>, Failure> {
    let asked = cli::Passphrase { passphrase: asked.passphrase, passphrase_file: asked.passphrase_file.clone(), passphrase_fd: None };
    terminal::passphrase(&asked, true)
}

/// The old one is asked for, wherever the new one comes from.
fn change(env: &Env, ui: &Ui, remove: bool, file: Option<&Path>) -> Result<Device, Failure> {
    let device = Device::load(env)?.ok_or(Failure::NoDevice)?;
    if remove && !device.is_locked() {
        return Err(samesession::device::Error::NoPassphrase.into());
    }
    let old = match device.is_locked() {
        true => Some(Terminal { quiet: ui.quiet }.request_passphrase("The passphrase that it has").ok_or(Failure::NoTerminal)?),
        false => None,
    };
    let asked = NewPassphrase { passphrase: file.is_none(), passphrase_file: file.map(Path::to_owned) };
    let new = if remove { None } else { new_passphrase(&asked)? };
    Device::set_passphrase(env, old.as_ref(), new.as_ref())?;
    ui.note(match (remove, old.is_some()) {
        (true, _) => "the passphrase is taken off",
        (false, true) => "the passphrase is changed",
        (false, false) => "the keys have a passphrase; hooks cannot use them any more: see git help samesession",
    });
    Device::load(env)?.ok_or(Failure::NoDevice)
}
