//! Files of the work tree that stay behind because of their names: those that hold keys, and those that somebody has listed.
//!
//! Patterns are those of `.gitignore`. Knows no Git and no disk. What must stay true: the last pattern that matches decides,
//! so a `!` in one's own list brings a file back.

use gix::glob::Pattern;
use gix::glob::pattern::Case;
use gix::glob::wildmatch::Mode;

/// What holds keys and passwords wherever it stands, and is asked about once.
pub const KEY_FILES: &[&str] = &[
    ".env",
    ".env.*",
    "!.env.example",
    "!.env.sample",
    "!.env.template",
    "!.env.dist",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    "*.age-identity",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    ".netrc",
    ".pgpass",
    ".git-credentials",
    ".pypirc",
    ".htpasswd",
    ".vault-token",
    "*.tfstate",
    "*.tfstate.backup",
    "credentials.json",
    "client_secret*.json",
    "service-account*.json",
];

/// In the top directory of a work tree.
pub const IGNORE_FILE: &str = ".samesessionignore";

#[derive(Debug, Clone, Default)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Lines as in `.gitignore`.
    pub fn of<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Patterns {
        let line = |line: &'a [u8]| gix::glob::parse(line).filter(|_| !line.starts_with(b"#"));
        Patterns(lines.into_iter().map(|text| text.strip_suffix(b"\r").unwrap_or(text)).filter_map(line).collect())
    }

    pub fn key_files() -> Patterns {
        Patterns::of(KEY_FILES.iter().map(|line| line.as_bytes()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it stays behind, for its own name or that of a directory it is in; `None` where no pattern speaks of it.
    pub fn decide(&self, path: &[u8]) -> Option<bool> {
        let ends = memchr::memchr_iter(b'/', path).map(|end| (&path[..end], true)).chain([(path, false)]);
        let mut decided = None;
        for (part, is_dir) in ends {
            let name = memchr::memrchr(b'/', part).map(|slash| slash + 1);
            let matches = |pattern: &&Pattern| {
                pattern.matches_repo_relative_path(part.into(), name, Some(is_dir), Case::Fold, Mode::NO_MATCH_SLASH_LITERAL)
            };
            if let Some(last) = self.0.iter().rfind(matches) {
                decided = Some(!last.is_negative());
                if is_dir && decided == Some(true) {
                    return decided;
                }
            }
        }
        decided
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_keys_are_known_and_examples_are_not() {
        let keys = Patterns::key_files();
        for path in [".env", "a/b/.env.local", "server.pem", "x/ID_RSA", "infra/prod.tfstate", ".NETRC"] {
            assert_eq!(keys.decide(path.as_bytes()), Some(true), "{path}");
        }
        for path in [".env.example", "environment.rs", "src/key.rs", "id_rsa.pub", "monkey"] {
            assert_ne!(keys.decide(path.as_bytes()), Some(true), "{path}");
        }
    }

    #[test]
    fn lists_read_as_gitignore_does() {
        let list = Patterns::of(b"# words\n/build\n*.log\n!keep.log\nbig/\r\nsub/*.bin\n".split(|&byte| byte == b'\n'));
        for path in ["build", "build/x", "a/x.log", "big/x", "c/big/y", "sub/a.bin"] {
            assert_eq!(list.decide(path.as_bytes()), Some(true), "{path}");
        }
        for path in ["a/build", "keep.log", "sub/x/a.bin", "bigger", "words"] {
            assert_ne!(list.decide(path.as_bytes()), Some(true), "{path}");
        }
    }
}
