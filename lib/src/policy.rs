//! What may enter: the bounds within which a capsule from outside is looked at at all.
//!
//! Generous to real sessions, which reach gigabytes, and finite for everything else. What may leave stands below it: secrets,
//! and names that stay behind.

pub mod names;
pub mod secrets;

#[derive(Debug, Clone)]
pub struct Limits {
    pub files: usize,
    /// Of all files together, unpacked.
    pub bytes: u64,
    /// Of all their names together, which are kept in memory.
    pub name_bytes: usize,
    pub manifest_bytes: u64,
    /// Unpacked bytes per packed byte, once `ratio_from` bytes have come out. Transcripts pack 5 to 50 times smaller.
    pub ratio: u64,
    pub ratio_from: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { files: 50_000, bytes: 64 << 30, name_bytes: 16 << 20, manifest_bytes: 64 << 20, ratio: 1000, ratio_from: 64 << 20 }
    }
}

/// At least as many as there are values in this JSON, without parsing it: each but the first follows a sign that stands in no
/// string. What is parsed takes many times its length in memory where the values are short, and honest ones are not.
pub fn values_in(json: &[u8]) -> usize {
    let (mut count, mut string, mut escaped) = (0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if string => escaped = true,
            b'"' => string = !string,
            b',' | b'[' | b'{' if !string => count += 1,
            _ => {}
        }
    }
    count
}

/// Whether its values are as long as honest ones, of `each` bytes and more, or few.
pub fn is_dense(json: &[u8], each: usize) -> bool {
    values_in(json) > 4096 + json.len() / each
}

/// Directories all of whose files make programs run, or tell one what to run.
const EXECUTABLE_DIRS: &[&str] = &[
    ".claude",
    ".codex",
    ".cursor",
    ".gemini",
    ".opencode",
    ".devcontainer",
    ".husky",
    ".githooks",
    ".git-hooks",
    ".lefthook",
    ".mise",
    ".zed",
    ".fleet",
    ".runconfigurations",
];
/// Files that do, by what they are called or by the end of their path.
const EXECUTABLE_FILES: &[&str] = &[
    ".mcp.json",
    ".envrc",
    ".vscode/tasks.json",
    ".vscode/launch.json",
    ".vscode/settings.json",
    ".vscode/mcp.json",
    ".devcontainer.json",
    ".pre-commit-config.yaml",
    "lefthook.yml",
    "lefthook.yaml",
    ".lefthook.yml",
    "opencode.json",
    "opencode.jsonc",
    "mise.toml",
    ".mise.toml",
    ".exrc",
    ".vimrc",
    ".nvimrc",
    ".nvim.lua",
    ".lvimrc",
    ".dir-locals.el",
    ".dir-locals-2.el",
    ".cargo/config",
    ".cargo/config.toml",
    ".yarnrc",
    ".yarnrc.yml",
    ".pnpmfile.cjs",
    ".npmrc",
    ".gitmodules",
    ".lldbinit",
    ".gdbinit",
    ".autoenv",
    ".autoenv.zsh",
    ".aider.conf.yml",
];

/// Whether a file of the work tree makes programs run without anybody starting them: settings of agents, editors and shells,
/// hooks. Looked at as a file system that folds case would.
pub fn is_executable_config(path: &[u8]) -> bool {
    let path = String::from_utf8_lossy(path).to_lowercase();
    let mut parts: Vec<&str> = path.split('/').collect();
    let Some(name) = parts.pop() else { return false };
    let last_two = parts.last().map(|dir| format!("{dir}/{name}"));
    let is = |known: &&str| *known == name || last_two.as_deref() == Some(*known);
    parts.iter().any(|dir| EXECUTABLE_DIRS.contains(dir)) || EXECUTABLE_DIRS.contains(&name) || EXECUTABLE_FILES.iter().any(is)
}

#[cfg(test)]
mod tests {
    use super::{is_dense, is_executable_config, values_in};

    #[test]
    fn values_are_counted_without_what_stands_in_strings() {
        for (json, count) in [("0", 0), ("[]", 1), ("[1,2]", 2), ("{\"a,[{\":\"b\\\"],{\",\"c\":[1]}", 3), ("\"\\\\\",[", 2)] {
            assert_eq!(values_in(json.as_bytes()), count, "{json}");
        }
        let numbers = format!("[{}0]", "0,".repeat(100_000));
        let names = format!("[{}0]", "\"a,b,c,d,e,f\",".repeat(100_000));
        assert!(is_dense(numbers.as_bytes(), 6) && !is_dense(names.as_bytes(), 6));
    }

    #[test]
    fn what_runs_by_itself_is_known() {
        for path in [
            ".claude/settings.json",
            "sub/.Claude/hooks/x.sh",
            ".MCP.json",
            "a/.envrc",
            ".vscode/tasks.json",
            ".husky/pre-commit",
            ".claude",
        ] {
            assert!(is_executable_config(path.as_bytes()), "{path}");
        }
        for path in ["claude/settings.json", "tasks.json", "src/main.rs", ".vscode/readme.md", "envrc", "CLAUDE.md", ".cargo/registry"] {
            assert!(!is_executable_config(path.as_bytes()), "{path}");
        }
    }
}
