//! What our part of other programs' hooks looks like: lines in a Git hook, entries in an agent's settings. Text in, text out.
//!
//! Knows no disk, no Git and no agent. What must stay true: only what is between our own marks, or runs our own program, is
//! ever ours; everything else comes out as it went in, and taking out what was put in gives the same bytes again.

pub mod exclude;
pub mod json;
pub mod script;
pub mod settings;
pub mod toml;

/// The program that every line of ours starts, where it is installed. Not `git samesession`: that is a process more.
pub const PROGRAM: &str = "git-samesession";

/// By this a command in somebody's settings is known to be ours.
const MARK: &str = "git-samesession hook run";

/// The command of an agent's hook. Where the program is not installed it does nothing and says nothing, but listens: an agent
/// that speaks to nobody may take that for a fault.
pub fn agent_command(agent: &str, event: &str, global: bool) -> String {
    let global = if global { " --global" } else { "" };
    format!("if command -v {PROGRAM} >/dev/null 2>&1; then {MARK}{global} --agent {agent} {event}; else cat >/dev/null; fi")
}

/// The command of a hook in Git's configuration, to which Git adds the hook's own arguments.
pub fn git_command(call: &script::Call<'_>) -> String {
    let (hook, global) = (call.hook, if call.global { " --global" } else { "" });
    let set = script::any_set(call.only_with).map(|test| format!("{test} || return 0; ")).unwrap_or_default();
    format!(
        "samesession() {{ {set}command -v {PROGRAM} >/dev/null 2>&1 || return 0; {MARK}{global} {hook} \"$@\" </dev/null; test $? -ne 1; }}; samesession"
    )
}

pub fn is_ours(command: &str) -> bool {
    command.contains(MARK)
}
