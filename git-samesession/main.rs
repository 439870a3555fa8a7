//! `git samesession`: parse, run, exit. Everything else is in a file named after what it does.

mod background;
mod cli;
mod cmd;
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
use samesession::{fault, flow, remains};
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
    let env = flow::background::begin(Env::from_process()?);
    // What it makes is made by others: to end at once is the best it can do.
    if !matches!(cli.command, cli::Command::Auto(cli::AutoCommand::Watch)) {
        signals::stop().map_err(Failure::Signals)?;
    }
    if let Some(fault) = env.var("SAMESESSION_FAULT").and_then(|text| text.to_str()) {
        fault::arm(fault);
    }
    let done = cmd::run(&env, ui, &cli.command);
    if cmd::auto::may_start(&cli.command) {
        flow::auto::start_if_wanted(&env, false);
    }
    done
}
