//! One file per verb: arguments in, one library call, a view out.

mod checkpoint;
mod demo;
mod device;
mod doctor;
mod inspect;
mod restore;
mod sessions;
mod show;

use samesession::device::Device;
use samesession::env::Env;

use crate::cli::Command;
use crate::failure::Failure;
use crate::ui::Ui;

pub fn run(env: &Env, ui: &Ui, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Device(options) => device::run(env, ui, options),
        Command::Sessions(options) => sessions::run(env, ui, options),
        Command::Show(options) => show::run(env, ui, options),
        Command::Checkpoint(options) => checkpoint::run(env, ui, options),
        Command::Inspect(options) => inspect::run(env, ui, options),
        Command::Restore(options) => restore::run(env, ui, options),
        Command::Doctor => doctor::run(env, ui),
        Command::Demo => demo::run(env, ui),
    }
}

/// This machine's keys; made on first use, and said so.
fn device_or_new(env: &Env, ui: &Ui) -> Result<Device, Failure> {
    if let Some(device) = Device::load(env)? {
        return Ok(device);
    }
    let device = match Device::create(env, None) {
        // Another process was faster: then that is the one.
        Err(samesession::device::Error::Exists(_)) => return Device::load(env)?.ok_or(Failure::NoDevice),
        made => made?,
    };
    ui.note(&format!("made keys for this device, '{}' ({})", device.name, device.signing().fingerprint()));
    Ok(device)
}
