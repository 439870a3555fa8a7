//! `git samesession`: parse, run, exit. Everything else is in a file named after what it does.

mod cli;
mod cmd;
mod failure;
mod terminal;
mod ui;

use std::process::ExitCode;

use clap::Parser;
use failure::Failure;
use samesession::env::Env;
use samesession::{fault, progress};
use ui::Ui;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return failure::usage(&error, std::env::args_os().any(|arg| arg == "--json")),
    };
    let ui = Ui::new(cli.json, cli.quiet);
    match run(&cli, &ui) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(&ui),
    }
}

fn run(cli: &cli::Cli, ui: &Ui) -> Result<(), Failure> {
    stop_on_signals().map_err(Failure::Signals)?;
    let env = Env::from_process()?;
    if let Some(fault) = env.var("SAMESESSION_FAULT").and_then(|text| text.to_str()) {
        fault::arm(fault);
    }
    cmd::run(&env, ui, &cli.command)
}

/// The first signal asks loops to stop, so that nothing half made stays behind; a second one ends the process.
fn stop_on_signals() -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_conditional_default(signal, progress::interrupt_flag())?;
        signal_hook::flag::register_usize(signal, failure::signal(), signal as usize)?;
        signal_hook::flag::register(signal, progress::interrupt_flag())?;
    }
    Ok(())
}
