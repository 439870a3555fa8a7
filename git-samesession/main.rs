//! `git samesession`: parse, run, exit. Everything else is in a file named after what it does.

mod background;
mod cli;
mod cmd;
mod detached;
mod failure;
mod launch;
mod signals;
mod terminal;
mod ui;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use failure::Failure;
use samesession::env::Env;
use samesession::{fault, remains};
use ui::Ui;

fn main() -> ExitCode {
    // Before anything is read that is nobody else's business.
    std::panic::set_hook(Box::new(|panic| {
        let _ = writeln!(io::stderr(), "{}", remains::said_of(panic));
    }));
    let _ = remains::no_core();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return failure::usage(&error, std::env::args_os().any(|arg| arg == "--json")),
    };
    let ui = Ui::new(cli.json, cli.quiet);
    match run(&cli, &ui) {
        Ok(code) => code,
        Err(failure) => failure.tell(&ui),
    }
}

fn run(cli: &cli::Cli, ui: &Ui) -> Result<ExitCode, Failure> {
    signals::stop().map_err(Failure::Signals)?;
    let env = Env::from_process()?;
    if let Some(fault) = env.var("SAMESESSION_FAULT").and_then(|text| text.to_str()) {
        fault::arm(fault);
    }
    cmd::run(&env, ui, &cli.command)
}
