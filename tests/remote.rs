//! `session::` addresses: the helper alone, line by line, and the same through the user's own Git.

mod agents;
mod crash;
mod dialogues;
mod manual;
mod many;
mod places;
mod store;
mod story;

use crate::support::clones::{OTHER, Project, SESSION, sid_of};
use crate::support::sandbox::Machine;

pub const ZERO: &str = "0000000000000000000000000000000000000000";
const REFSPEC: &str = "+refs/samesession/*:refs/samesession-remote/agents/*";

/// A clone with two sessions and the remote `agents`, as `init` makes it.
pub fn with_agents(project: &Project, name: &str) -> Machine {
    let machine = project.plain(name);
    machine.git(["config", "remote.agents.url", "session::"]);
    machine.git(["config", "remote.agents.fetch", REFSPEC]);
    machine.git(["config", "remote.agents.prune", "false"]);
    machine.say_in(SESSION, "one");
    machine.say_in(OTHER, "other");
    machine
}

/// Captured, and long enough ago that a file system's clock can tell a change.
pub fn captured(machine: &Machine) {
    machine.git(["fetch", "-q", "agents"]);
    while machine.git(["ls-remote", "session::"]).contains(ZERO) {
        machine.git(["fetch", "-q", "agents"]);
    }
}

pub fn name_of(native: &str) -> String {
    format!("refs/samesession/sessions/{}", sid_of(native))
}

pub fn tracking_of(native: &str) -> String {
    format!("refs/samesession-remote/agents/sessions/{}", sid_of(native))
}

/// What `ls-remote` shows of a session.
pub fn listed(machine: &Machine, address: &str, native: &str) -> Option<String> {
    let all = machine.git(["ls-remote", address]);
    let name = name_of(native);
    all.lines().find_map(|line| Some(line.split_once('\t').filter(|(_, of)| *of == name)?.0.to_owned()))
}
