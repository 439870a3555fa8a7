//! `clone`: a repository with its sessions on a machine that has neither, and one of them gone on with.

use std::process::ExitCode;

use samesession::env::Env;
use samesession::flow::clone;
use samesession::path;

use super::{device_or_new, resume};
use crate::cli::{Arriving, Cloning, Resume};
use crate::failure::Failure;
use crate::ui::Ui;

pub fn run(env: &Env, ui: &Ui, options: &Cloning) -> Result<ExitCode, Failure> {
    let there = clone::clone(env, &options.url, options.dir.as_deref(), ui.quiet)?;
    let done = device_or_new(&there, ui).map_err(Failure::from).and_then(|_| resume::run(&there, ui, &resuming(options)));
    if done.is_err() {
        let at = path::typed(there.cwd());
        ui.note(&format!("the clone stands in {at}; to go on there: cd {at} && git samesession resume"));
    }
    done
}

/// In place: there is nothing in a clone that could be lost.
fn resuming(options: &Cloning) -> Resume {
    Resume {
        session: options.session.clone(),
        tip: None,
        no_launch: options.no_launch,
        no_return: options.no_return,
        takeover: options.takeover.clone(),
        brief: options.brief,
        remote: None,
        arriving: Arriving {
            into: None,
            here: !options.session_only,
            session_only: options.session_only,
            branch: !options.session_only,
            accept_config: options.accept_config,
            force_repository: false,
            dry_run: false,
            set_aside: options.set_aside,
            trust: options.trust.clone(),
            allow_unsigned: false,
        },
        args: options.args.clone(),
    }
}
