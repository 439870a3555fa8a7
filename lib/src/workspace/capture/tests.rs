//! Real repositories, captured; what is expected stands in the tests as text.

mod converted;
mod history;
mod names;
mod nested;
mod speed;
mod states;
mod unchanged;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::*;
use crate::env::Env;
use crate::progress::Silent;
use crate::workspace::model::What;

struct Scene {
    dir: tempfile::TempDir,
    /// Where the work is.
    top: PathBuf,
}

impl Scene {
    /// A repository on branch `main` without commits.
    fn new(init: &[&str]) -> Scene {
        let dir = tempfile::tempdir().expect("a directory");
        let top = dir.path().canonicalize().expect("a real path").join("work");
        fs::create_dir(&top).expect("a directory");
        let scene = Scene { dir, top };
        scene.git(&[&["init", "-q", "-b", "main"], init].concat());
        scene
    }

    /// One with these files in its first commit.
    fn with(files: &[(&str, &str)]) -> Scene {
        let scene = Scene::new(&[]);
        for (name, text) in files {
            scene.write(name, text);
        }
        scene.commit("first");
        scene
    }

    /// Whose `origin` has all there is.
    fn published(files: &[(&str, &str)]) -> Scene {
        let scene = Scene::with(files);
        let origin = scene.dir.path().join("origin.git");
        scene.git(&["init", "-q", "--bare", "-b", "main", origin.to_str().expect("text")]);
        scene.git(&["remote", "add", "origin", origin.to_str().expect("text")]);
        scene.git(&["push", "-q", "-u", "origin", "main"]);
        scene
    }

    fn vars(&self) -> BTreeMap<OsString, OsString> {
        let mut vars: BTreeMap<OsString, OsString> =
            [("PATH".into(), std::env::var_os("PATH").unwrap_or_default()), ("HOME".into(), self.dir.path().into())].into();
        vars.insert("GIT_CONFIG_NOSYSTEM".into(), "1".into());
        for who in ["AUTHOR", "COMMITTER"] {
            for (what, value) in [("NAME", "A U Thor"), ("EMAIL", "a@example.com"), ("DATE", "1700000000 +0000")] {
                vars.insert(format!("GIT_{who}_{what}").into(), value.into());
            }
        }
        vars
    }

    fn try_git(&self, args: &[&str]) -> (bool, String) {
        let mut command = Command::new("git");
        command.current_dir(&self.top).args(["-c", "protocol.file.allow=always"]).args(args).env_clear().envs(self.vars());
        let out = command.stdin(Stdio::null()).output().expect("git");
        let text = if out.status.success() { &out.stdout } else { &out.stderr };
        (out.status.success(), String::from_utf8_lossy(text).into_owned())
    }

    fn git(&self, args: &[&str]) -> String {
        let (done, said) = self.try_git(args);
        assert!(done, "git {args:?}: {said}");
        said
    }

    fn oid(&self, name: &str) -> ObjectId {
        ObjectId::from_hex(self.git(&["rev-parse", name]).trim().as_bytes()).expect("an object's name")
    }

    fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.top.join(Path::new(&name))
    }

    fn write(&self, name: impl AsRef<OsStr>, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("written");
    }

    /// Since 2.42. Before that the size of each blob is asked for, and what is converted.
    fn git_says_where_attributes_are(&self) -> bool {
        self.try_git(&["var", "GIT_ATTR_SYSTEM"]).0
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("removed");
    }

    fn link(&self, to: &str, name: &str) {
        symlink(to, self.path(name)).expect("a link");
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).expect("a mode");
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
    }

    fn repo(&self) -> Repository {
        let env = Env::new(self.vars(), self.top.clone(), "here".into()).expect("an environment");
        Repository::open(&env, &self.top).expect("a repository")
    }

    fn try_capture(&self, options: &Options) -> Result<Capture, Error> {
        capture(&self.repo(), options, &[], &Silent)
    }

    fn capture(&self) -> Capture {
        self.try_capture(&Options::default()).expect("captured")
    }

    /// Everything that has bytes or a time, in the work tree and in `.git`.
    fn snapshot(&self) -> BTreeMap<PathBuf, String> {
        let mut all = BTreeMap::new();
        // A Git that is asked what is converted spreads a sparse index out, and finds its trees there already.
        let fresh = !self.git_says_where_attributes_are();
        let mut open = vec![self.dir.path().to_owned()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(&dir).expect("a directory") {
                let path = entry.expect("an entry").path();
                let meta = fs::symlink_metadata(&path).expect("metadata");
                let bytes = if meta.is_file() { fs::read(&path).expect("read") } else { Vec::new() };
                // Whoever reads a split index in Git touches its shared half.
                let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
                let name = path.to_string_lossy();
                let touched = name.contains("/sharedindex.") || (fresh && name.contains("/.git/objects/") && meta.is_file());
                let times = (!touched).then_some(times);
                all.insert(path.clone(), format!("{:o} {} {times:?} {}", meta.mode(), meta.ino(), bytes.escape_ascii()));
                if meta.is_dir() {
                    open.push(path);
                }
            }
        }
        all
    }
}

/// Through to its end, as a flow does it.
fn bytes(file: &CapturedFile) -> Result<Vec<u8>, Error> {
    let mut opened = file.open()?;
    let mut bytes = Vec::new();
    opened.read_to_end(&mut bytes).expect("read");
    opened.finish()?;
    Ok(bytes)
}

/// The model's entries and files, one a line; the bytes are those that are really read.
fn shown(capture: &Capture) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in &capture.model.index {
        let mut line = format!("index {} {} {}", entry.path, entry.mode, entry.stage);
        for (set, word) in [(entry.intent_to_add, " intended"), (entry.skip_worktree, " skipped"), (entry.assume_unchanged, " assumed")] {
            line.push_str(if set { word } else { "" });
        }
        lines.push(line);
    }
    lines.extend(capture.model.unindexed.iter().map(|name| format!("unindexed {name}")));
    for file in &capture.model.files {
        lines.push(match &file.what {
            What::Link { to } => format!("link {} -> {to}", file.path),
            What::Gone => format!("gone {}", file.path),
            What::Directory => format!("directory {}", file.path),
            What::File { at, size, mode } => {
                let source = capture.files.iter().find(|one| one.name == *at).expect("the file that the model names");
                let bytes = bytes(source).expect("unchanged");
                assert_eq!((bytes.len() as u64, *size, *mode), (*size, source.size, source.mode), "{}", file.path);
                format!("file {} {mode:o} {}", file.path, bytes.escape_ascii())
            }
        });
    }
    lines.extend(capture.notes.iter().map(|note| format!("note {note}")));
    lines
}

#[track_caller]
fn check(scene: &Scene, expected: &[&str]) -> Capture {
    let before = scene.snapshot();
    let capture = scene.capture();
    assert_eq!(shown(&capture), expected);
    let after = scene.snapshot();
    let differs = |path: &&PathBuf| before.get(*path) != after.get(*path);
    let changed: Vec<_> = before.keys().chain(after.keys()).filter(differs).map(|path| (path, before.get(path), after.get(path))).collect();
    assert!(changed.is_empty(), "capturing has changed {changed:?}");
    let json = serde_json::to_vec(&capture.model).expect("written");
    let again: Workspace = serde_json::from_slice(&json).expect("read");
    assert_eq!(again, capture.model);
    capture
}
