//! The two settings in `config.toml` that decide where Codex looks and whether it goes on.
//!
//! Read line by line and leniently: this is not a TOML parser, and in doubt a setting counts as not made, or a provider as
//! configured. Nothing of the file ever leaves the machine.

use std::fs;
use std::path::{Path, PathBuf};

/// Providers that Codex knows without configuration.
const BUILT_IN: [&str; 4] = ["openai", "ollama", "lmstudio", "amazon-bedrock"];

/// `sqlite_home` above the first table, if it is an absolute path without escapes.
pub fn sqlite_home(root: &Path) -> Option<PathBuf> {
    let config = fs::read_to_string(root.join("config.toml")).ok()?;
    let mut top = config.lines().map(str::trim).take_while(|line| !line.starts_with('['));
    let value = top.find_map(|line| line.strip_prefix("sqlite_home")?.trim_start().strip_prefix('='))?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (text, _) = value[1..].split_once(quote)?;
    (text.starts_with('/') && !text.contains('\\')).then(|| PathBuf::from(text))
}

pub fn has_provider(root: &Path, name: &str) -> bool {
    let config = fs::read_to_string(root.join("config.toml")).unwrap_or_default();
    BUILT_IN.contains(&name)
        || config
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'))
            .any(|line| line.contains("model_providers") && line.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_settings_are_understood() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let set = |text: &str| fs::write(home.path().join("config.toml"), text).expect("written");
        assert_eq!(sqlite_home(home.path()), None);
        for (text, dir) in [
            ("model = \"x\"\nsqlite_home = \"/var/db\" # fast disk\n", Some("/var/db")),
            ("sqlite_home='/a b'", Some("/a b")),
            ("sqlite_home = \"relative\"", None),
            ("# sqlite_home = \"/x\"", None),
            ("[profiles.x]\nsqlite_home = \"/x\"", None),
            ("sqlite_home = \"/x\\u0041\"", None),
            ("sqlite_homes = \"/x\"", None),
        ] {
            set(text);
            assert_eq!(sqlite_home(home.path()), dir.map(PathBuf::from), "{text}");
        }
        set("model_provider = \"mine\"\n#[model_providers.old]\n[model_providers.\"mine\"]\n");
        for (name, known) in [("mine", true), ("openai", true), ("old", false), ("other", false)] {
            assert_eq!(has_provider(home.path(), name), known, "{name}");
        }
    }
}
