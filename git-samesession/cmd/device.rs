//! `device init`, `device show`.

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
