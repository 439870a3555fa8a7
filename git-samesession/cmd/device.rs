//! `device init` and `device show`; the roster's verbs are in `device/roster.rs`.

mod art;
mod roster;

use std::io::{self, Write};

use samesession::device::Device;
use samesession::env::Env;
use serde::Serialize;

use crate::cli::DeviceCommand;
use crate::failure::Failure;
use crate::ui::{Ui, View, harmless};

#[derive(Serialize)]
struct Shown {
    name: String,
    created: String,
    recipient: String,
    signing_key: String,
    fingerprint: String,
    directory: String,
}

impl View for Shown {
    const SCHEMA: &'static str = "samesession.device/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "device       {}", harmless(&self.name))?;
        writeln!(out, "recipient    {}", self.recipient)?;
        writeln!(out, "signing key  {}", self.signing_key)?;
        writeln!(out, "fingerprint  {}", self.fingerprint)?;
        writeln!(out, "kept in      {}", harmless(&self.directory))
    }
}

pub fn run(env: &Env, ui: &Ui, command: &DeviceCommand) -> Result<(), Failure> {
    let device = match command {
        DeviceCommand::Init { name } => Device::create(env, name.as_deref())?,
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
    let shown = Shown {
        recipient: device.recipient(),
        signing_key: device.signing().public_line().map_err(samesession::flow::Error::from)?,
        fingerprint: device.signing().fingerprint(),
        directory: device.dir.display().to_string(),
        name: device.name,
        created: device.created,
    };
    ui.report(&shown).map_err(Failure::Output)
}
