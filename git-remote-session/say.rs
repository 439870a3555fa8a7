//! Words for people, on standard error: whatever others wrote cannot steer their terminal.

use std::io::{self, Write};

use samesession::flow::{self, with_causes};
use samesession::progress::Progress;
use samesession::seal;

pub fn line(text: &str) {
    let harmless: String = text.chars().filter(|c| !c.is_control() && !('\u{202a}'..='\u{202e}').contains(c)).collect();
    let _ = writeln!(io::stderr(), "{harmless}");
}

/// Options with which a fetch brings less.
pub fn narrows(option: &str) -> bool {
    option == "depth" || option == "filter" || option.starts_with("deepen-")
}

/// Git passes by in silence, in a clone, what a helper does not support.
pub fn everything() {
    line("warning: session: --depth and --filter are not supported, everything is brought");
}

/// With its causes, and what to do.
pub fn failure(failure: &crate::Failure) {
    line(&format!("fatal: session: {}", with_causes(failure)));
    if let crate::Failure::Flow(error) = failure
        && let Some(hint) = hint(error)
    {
        line(&format!("hint: {hint}"));
    }
}

fn hint(error: &flow::Error) -> Option<String> {
    Some(match error {
        flow::Error::Ambiguous { candidates, .. } => {
            let ids: Vec<String> = candidates.iter().take(5).map(|one| format!("session::{}/{}", one.agent, one.native)).collect();
            format!("name one: {}", ids.join(", "))
        }
        flow::Error::NoSuchSession(_) | flow::Error::NoCurrentSession(_) => {
            "to see what there is: git ls-remote 'session::?all'".to_owned()
        }
        flow::Error::NoBeginning => "bring its first commits: git fetch --unshallow".to_owned(),
        flow::Error::Seal(seal::Error::Locked) => {
            "git samesession checkpoint and restore ask for it; to take it off: git samesession device passphrase --remove".to_owned()
        }
        flow::Error::Address(_) => "see git help remote-session".to_owned(),
        flow::Error::UnknownMaker { checkpoint } => {
            format!("to believe it: git samesession fetch --trust {}", checkpoint.signer.fingerprint)
        }
        _ => return None,
    })
}

/// One line for each stage that takes its time, where Git wants to see progress.
pub struct Stages {
    pub shown: bool,
}

impl Progress for Stages {
    fn stage(&self, what: &str, total: Option<u64>) {
        if let Some(total) = total.filter(|total| self.shown && *total > 32 << 20) {
            line(&format!("{what} {} MB", total / 1_000_000));
        }
    }

    fn advance(&self, _: u64) {}

    fn note(&self, text: &str) {
        line(text);
    }
}
