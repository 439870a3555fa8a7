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

/// Which repositories an agent's hook is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The one that it stands in.
    Here,
    /// Those in which `init` has said where sessions go.
    Stores,
    /// Those in which `auto on` was said.
    Auto,
}

impl Reach {
    /// The words of it, beginning with a blank.
    pub fn flag(self) -> &'static str {
        match self {
            Reach::Here => "",
            Reach::Stores => " --global",
            Reach::Auto => " --auto",
        }
    }

    /// By the lines of ours in somebody's settings, how far those for all of a user's sessions go.
    pub fn of(text: &str) -> Option<Reach> {
        [Reach::Stores, Reach::Auto].into_iter().find(|reach| text.contains(&format!("{MARK}{} ", reach.flag())))
    }
}

/// The command of an agent's hook. Where the program is not installed it does nothing and says nothing, but listens: an agent
/// that speaks to nobody may take that for a fault.
pub fn agent_command(agent: &str, event: &str, reach: Reach) -> String {
    let reach = reach.flag();
    format!("if command -v {PROGRAM} >/dev/null 2>&1; then {MARK}{reach} --agent {agent} {event}; else cat >/dev/null; fi")
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
