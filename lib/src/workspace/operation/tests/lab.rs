//! Two repositories and the plainest way from the one to the other: the objects that are named, HEAD, index and files. The
//! state of the operation does not come along.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::env::Env;
use crate::git::Repository;
use crate::workspace::name::Name;
use crate::workspace::operation::{Branch, Operation, Rebuilt, forget, read, rebuild};

pub struct Lab {
    dir: tempfile::TempDir,
    vars: BTreeMap<OsString, OsString>,
}

pub struct Place {
    pub root: PathBuf,
    vars: BTreeMap<OsString, OsString>,
}

impl Lab {
    pub fn new() -> Lab {
        let dir = tempfile::Builder::new().prefix("samesession-test-").tempdir().expect("a directory");
        let mut vars: BTreeMap<OsString, OsString> = BTreeMap::new();
        vars.insert("PATH".into(), std::env::var_os("PATH").expect("a PATH"));
        vars.insert("HOME".into(), dir.path().into());
        for (name, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "Ann O'Dell!"),
            ("GIT_AUTHOR_EMAIL", "ann@example.org"),
            ("GIT_COMMITTER_NAME", "Col"),
            ("GIT_COMMITTER_EMAIL", "col@example.org"),
            ("GIT_AUTHOR_DATE", "1700000000 +0100"),
            ("GIT_COMMITTER_DATE", "1700000001 +0100"),
            ("GIT_EDITOR", "true"),
            ("LC_ALL", "C"),
        ] {
            vars.insert(name.into(), value.into());
        }
        Lab { dir, vars }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn at(&self, name: &str) -> Place {
        Place { root: self.path(name).canonicalize().expect("a directory"), vars: self.vars.clone() }
    }

    /// Three commits; then `main` with four more, of which each meets the one on `upstream`. On `main`.
    pub fn begin(&self, options: &[&str]) -> Place {
        let git =
            Command::new("git").env_clear().envs(&self.vars).args(["init", "-q", "-b", "main"]).args(options).arg(self.path("a")).status();
        assert!(git.expect("git").success());
        let place = self.at("a");
        for n in 1..=3 {
            place.commit("f", &format!("line {n}\n"), &format!("base {n}"));
        }
        place.git(&["branch", "upstream"]);
        for name in ["one", "two", "three", "four"] {
            place.write(name, name);
            place.commit("f", &format!("{name}\n"), &format!("topic {name}\n\nBody of {name}"));
        }
        place.git(&["checkout", "-q", "upstream"]);
        place.commit("f", "upstream\n", "upstream moves");
        place.git(&["checkout", "-q", "main"]);
        place
    }

    pub fn clone_of(&self, place: &Place, options: &[&str]) -> Place {
        let (from, to) = (place.root.to_str().expect("text"), self.path("b"));
        place.git(&[&["clone", "-q"], options, &[from, to.to_str().expect("text")]].concat());
        let clone = self.at("b");
        clone.git(&["branch", "-q", "--unset-upstream"]);
        clone
    }
}

impl Place {
    pub fn command(&self, args: &[&str]) -> (bool, String) {
        let out = Command::new("git").env_clear().envs(&self.vars).args(args).current_dir(&self.root).output().expect("git");
        (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    }

    pub fn git(&self, args: &[&str]) -> String {
        let (good, said) = self.command(args);
        assert!(good, "git {args:?} in {}: {said}", self.root.display());
        said.trim_end().to_owned()
    }

    /// It must stop, at a conflict say.
    pub fn stops(&self, args: &[&str]) -> String {
        let (good, said) = self.command(args);
        assert!(!good, "git {args:?} did not stop: {said}");
        said
    }

    pub fn with(&self, name: &str, value: &str) -> Place {
        let mut vars = self.vars.clone();
        vars.insert(name.into(), value.into());
        Place { root: self.root.clone(), vars }
    }

    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.root.join(file), text).expect("a file");
    }

    /// Adds to a file, and everything to a commit.
    pub fn commit(&self, file: &str, more: &str, message: &str) {
        let before = fs::read_to_string(self.root.join(file)).unwrap_or_default();
        self.write(file, &(before + more));
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    pub fn git_dir(&self) -> PathBuf {
        self.git(&["rev-parse", "--path-format=absolute", "--git-dir"]).into()
    }

    fn env(&self) -> Env {
        Env::new(self.vars.clone(), self.root.clone(), "here".to_owned()).expect("an environment")
    }

    pub fn repository(&self) -> Repository {
        Repository::open(&self.env(), &self.root).expect("a repository")
    }

    pub fn operations(&self) -> Vec<Operation> {
        read(&self.repository()).expect("understood")
    }

    pub fn oid(&self, rev: &str) -> String {
        self.git(&["rev-parse", "--verify", rev])
    }

    /// As a person reads it, and as programs do; the branch's name apart, and where Git keeps its files.
    pub fn status(&self, branch: &str) -> String {
        let both = [self.git(&["status"]), self.git(&["status", "--porcelain=v2", "--branch"])].join("\n");
        let dir = self.git_dir();
        let near = dir.strip_prefix(&self.root).unwrap_or(&dir).to_str().expect("text");
        let line = |line: &str| !line.contains("# branch.ab") && !line.contains("# branch.upstream");
        let both = both.replace(near, "GIT_DIR").replace(&format!("'{branch}'"), "'BRANCH'").replace(&format!(" {branch}\n"), " BRANCH\n");
        both.lines().filter(|text| line(text)).collect::<Vec<_>>().join("\n")
    }

    /// The objects that HEAD, the index and the operations name, with all that these lead to, and no other.
    fn receive(&self, from: &Place) {
        let named = from.operations().iter().flat_map(Operation::objects).map(|oid| oid.0.to_string()).collect::<Vec<_>>();
        let staged = from.git(&["ls-files", "--stage"]);
        let staged = staged.lines().filter_map(|line| line.split(' ').nth(1)).map(str::to_owned);
        let all: Vec<String> = named.into_iter().chain(staged).chain([from.oid("HEAD")]).collect();
        let feed = |place: &Place, args: &[&str], input: Vec<u8>| {
            let git = crate::git::Git::at(&place.env(), &place.root);
            git.feed(args, &input).expect("packed")
        };
        let pack = feed(from, &["pack-objects", "-q", "--revs", "--stdout"], (all.join("\n") + "\n").into_bytes());
        feed(self, &["index-pack", "--stdin"], pack);
    }

    /// Everything but the operation comes over from there.
    pub fn take(&self, from: &Place) {
        self.receive(from);
        let head = from.oid("HEAD");
        match from.command(&["symbolic-ref", "-q", "HEAD"]) {
            (true, branch) => {
                self.git(&["update-ref", branch.trim_end(), &head]);
                self.git(&["symbolic-ref", "HEAD", branch.trim_end()]);
            }
            // Not by `update-ref`: `git status` reads from the reflog where HEAD was detached.
            _ => drop(self.git(&["checkout", "-q", "-f", "--detach", &head])),
        }
        for entry in fs::read_dir(&self.root).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_file() && !path.ends_with(".git") {
                fs::remove_file(path).expect("removed");
            }
        }
        for entry in fs::read_dir(&from.root).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_file() && !path.ends_with(".git") {
                fs::copy(&path, self.root.join(path.file_name().expect("a name"))).expect("copied");
            }
        }
        fs::copy(from.git_dir().join("index"), self.git_dir().join("index")).expect("copied");
        self.command(&["update-index", "-q", "--refresh"]);
    }

    pub fn rebuild(&self, operations: &[Operation], branch: Branch) -> Rebuilt {
        rebuild(&self.repository(), operations, branch).expect("rebuilt")
    }

    /// The whole way, to a new branch where one is needed.
    pub fn arrive(&self, from: &Place) -> Vec<Operation> {
        let operations = from.operations();
        self.take(from);
        let written = serde_json::to_string(&operations).expect("written");
        let carried: Vec<Operation> = serde_json::from_str(&written).expect("read");
        assert_eq!(carried, operations, "{written}");
        let end = operations.iter().find_map(Operation::branch);
        let branch = end.map_or(Branch::Detached, |(_, at)| {
            self.git(&["branch", "-f", "new", &at.0.to_string()]);
            Branch::New(Name::new("refs/heads/new"))
        });
        self.rebuild(&carried, branch.clone());
        // Written and taken back as often as one likes.
        assert_eq!(rebuild(&self.repository(), &carried, branch.clone()).is_err(), !carried.is_empty());
        forget(&self.repository(), &carried).expect("forgotten");
        assert_eq!(self.operations(), []);
        let left = fs::read_dir(self.git_dir()).expect("a directory").map(|entry| entry.expect("an entry").file_name());
        let left: Vec<_> =
            left.filter(|name| name.to_string_lossy().contains("MERGE") || name.to_string_lossy().contains("BISECT")).collect();
        assert!(left.is_empty(), "{left:?}");
        self.rebuild(&carried, branch);
        carried
    }

    /// Takes the picked side of every conflict until it is through, and says where that led.
    pub fn resolve(&self, verb: &str) -> String {
        for _ in 0..20 {
            if self.git(&["status", "--porcelain"]).lines().any(|line| line.starts_with("UU")) {
                self.git(&["checkout", "-q", "--theirs", "--", "."]);
            }
            self.git(&["add", "-A"]);
            let (good, said) = self.command(&[verb, "--continue"]);
            if self.operations().is_empty() {
                assert!(good, "git {verb} --continue: {said}");
                return self.oid("HEAD");
            }
        }
        panic!("git {verb} --continue comes to no end: {}", self.git(&["status"]));
    }
}
