//! Real repositories for tests, in a home of their own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::env::Env;
use crate::git::Repository;
use crate::workspace::model::Oid;

pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Place {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = "[user]\n name = a\n email = a@example.org\n[init]\n defaultBranch = main\n[protocol \"file\"]\n allow = always\n";
        fs::write(dir.path().join(".gitconfig"), config).expect("writable");
        Place { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().expect("there").join(name)
    }

    pub fn repo(&self, name: &str, options: &[&str]) -> PathBuf {
        self.git("", &[&["init", "-q"], options, &[name]].concat());
        self.path(name)
    }

    pub fn commit(&self, repo: &str, file: &str, text: &str) {
        self.write(&format!("{repo}/{file}"), text);
        self.git(repo, &["add", "--", file]);
        self.git(repo, &["commit", "-q", "-m", file]);
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("has one")).expect("writable");
        fs::write(path, text).expect("writable");
    }

    pub fn git(&self, dir: &str, args: &[&str]) -> String {
        String::from_utf8(self.bytes(dir, args)).expect("text")
    }

    pub fn bytes(&self, dir: &str, args: &[&str]) -> Vec<u8> {
        let mut command = Command::new("git");
        command.args(args).current_dir(self.path(dir)).env_clear().envs(self.vars());
        let out = command.output().expect("git is there");
        assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    }

    pub fn oid(&self, repo: &str, name: &str) -> Oid {
        Oid(gix::hash::ObjectId::from_hex(self.git(repo, &["rev-parse", name]).trim().as_bytes()).expect("an object"))
    }

    pub fn open(&self, dir: &Path) -> Repository {
        let vars = self.vars().into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let env = Env::new(vars, dir.to_owned(), "host".to_owned()).expect("a home");
        Repository::open(&env, dir).expect("a repository")
    }

    fn vars(&self) -> BTreeMap<String, String> {
        let home = self.dir.path().to_str().expect("text").to_owned();
        let path = std::env::var("PATH").expect("set");
        let date = "1700000000 +0000".to_owned();
        let pairs = [
            ("HOME", home),
            ("PATH", path),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            ("GIT_AUTHOR_DATE", date.clone()),
            ("GIT_COMMITTER_DATE", date),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Since Git 2.45, where it was built with it.
#[allow(clippy::print_stderr, reason = "what is skipped is said")]
pub fn has_reftable() -> bool {
    let dir = tempfile::tempdir().expect("a directory");
    let mut init = Command::new("git");
    let has = init.args(["init", "-q", "--ref-format=reftable"]).arg(dir.path()).output().expect("git").status.success();
    if !has {
        eprintln!("SKIPPED: this Git has no reftable");
    }
    has
}
