//! Everything that reads what somebody else has written, as functions of bytes: for `cargo fuzz` and for the tests.
//!
//! One table; `fuzz/` takes its targets from it, and `tests` runs each over changed genuine input, within little memory.
//! Only there under the feature `fuzzing` and in unit tests. What must stay true: a target returns for whatever bytes it
//! gets, and panics only where what is promised of the reader is not true.

mod agents;
mod capsules;
mod chains;
mod git;
mod local;
pub mod mutate;
mod secrets;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

/// One reader.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Genuine input.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

const fn target(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target { name, run, seeds }
}

pub const TARGETS: &[Target] = &[
    target("capsule-tar", capsules::tar, capsules::tar_seeds),
    target("capsule-sealed", capsules::sealed, capsules::sealed_seeds),
    target("age-header", capsules::age_header, capsules::age_header_seeds),
    target("manifest", capsules::manifest, capsules::manifest_seeds),
    target("paths", capsules::paths, capsules::paths_seeds),
    target("public-header", chains::header, chains::header_seeds),
    target("record", chains::record, chains::record_seeds),
    target("envelope", chains::envelope, chains::envelope_seeds),
    target("chunk-list", chains::parts, chains::parts_seeds),
    target("lease", chains::lease, chains::lease_seeds),
    target("roster", chains::roster, chains::roster_seeds),
    target("request", chains::request, chains::request_seeds),
    target("commit", chains::commit, chains::commit_seeds),
    target("tree", chains::tree, chains::tree_seeds),
    target("signature", chains::signature, chains::signature_seeds),
    target("claude-transcript", agents::claude, agents::claude_seeds),
    target("codex-rollout", agents::codex, agents::codex_seeds),
    target("codex-names", agents::names, agents::names_seeds),
    target("hook-payload", agents::payload, agents::payload_seeds),
    target("settings-json", agents::settings, agents::settings_seeds),
    target("settings-toml", agents::toml, agents::toml_seeds),
    target("hook-script", agents::script, agents::script_seeds),
    target("workspace", git::workspace, git::workspace_seeds),
    target("todo", git::todo, git::todo_seeds),
    target("quoted", git::quoted, git::quoted_seeds),
    target("git-answers", git::answers, git::answers_seeds),
    target("git-names", git::names, git::names_seeds),
    target("journal", local::journal, local::journal_seeds),
    target("kept", local::kept, local::kept_seeds),
    target("signers", local::signers, local::signers_seeds),
    target("ignore-list", local::ignore, local::ignore_seeds),
    target("secrets", secrets::secrets, secrets::seeds),
];

/// Runs the target of this name; there is none for another.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    (target.run)(bytes);
}

fn fixture(path: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<Vec<u8>> {
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}
