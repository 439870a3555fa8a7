//! The Codex that is installed here: which version it is, as far as that can be told without starting it.
//!
//! Starting it would cost more than the whole restore, and even `codex --version` writes into its home.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::meta::Meta;

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

/// From the npm package that the program on PATH is a link into; other ways of installing say nothing beside the program.
pub fn version(program: &Path) -> Option<String> {
    let program = program.canonicalize().ok()?;
    let package = program.ancestors().skip(1).take(4).find_map(|dir| fs::read(dir.join("package.json")).ok())?;
    let package: Package = serde_json::from_slice(&package).ok()?;
    (package.name == "@openai/codex").then_some(package.version)
}

/// What this version of Codex would do to a rollout of a newer form. Measured with 0.120.0, 0.140.0, 0.148.0 and 0.150.0.
pub fn caution(meta: &Meta, version: &str) -> Option<String> {
    let here = numbers(version)?;
    let update = "update it first: npm install -g @openai/codex";
    if meta.base.is_some() && here < (0, 150) {
        return Some(format!("Codex {version} here would go on with this fork without its parent's part: {update}"));
    }
    if meta.is_paginated() && here < (0, 148) {
        return Some(format!("Codex {version} here appends in an older form, after which newer versions refuse the session: {update}"));
    }
    None
}

fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(fields: &str) -> Meta {
        let line = format!(
            r#"{{"type":"session_meta","payload":{{"id":"01a1fc46-14ce-7500-867f-3e8961b3c90d","timestamp":"t","cwd":"/x","source":"exec"{fields}}}}}"#
        );
        Meta::parse(line.as_bytes()).expect("a first record")
    }

    #[test]
    fn an_old_codex_is_warned_of_before_it_spoils_a_newer_rollout() {
        let (legacy, paginated) = (meta(""), meta(r#","history_mode":"paginated""#));
        let fork = meta(r#","history_mode":"paginated","history_base":{"thread_id":"01a1fc46-14ce-7500-867f-3e8961b3c90e"}"#);
        for (meta, version, warned) in [
            (&legacy, "0.120.0", false),
            (&paginated, "0.140.0", true),
            (&paginated, "0.147.0", true),
            (&paginated, "0.148.0", false),
            (&paginated, "1.0.0", false),
            (&fork, "0.148.0", true),
            (&fork, "0.150.0", false),
            (&fork, "nightly", false),
        ] {
            assert_eq!(caution(meta, version).is_some(), warned, "{version}");
        }
    }

    #[test]
    fn the_version_is_that_of_the_package_the_program_is_in() {
        let dir = tempfile::tempdir().expect("a directory");
        let bin = dir.path().join("node_modules/@openai/codex/bin");
        fs::create_dir_all(&bin).expect("made");
        fs::write(bin.join("codex.js"), "").expect("written");
        fs::write(bin.join("../package.json"), r#"{"name":"@openai/codex","version":"0.140.0","bin":{}}"#).expect("written");
        std::os::unix::fs::symlink(bin.join("codex.js"), dir.path().join("codex")).expect("linked");
        assert_eq!(version(&dir.path().join("codex")).as_deref(), Some("0.140.0"));
        fs::write(bin.join("../package.json"), r#"{"name":"wrapper","version":"9.9.9"}"#).expect("written");
        assert_eq!(version(&dir.path().join("codex")), None);
    }
}
