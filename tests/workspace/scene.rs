//! Two machines that believe each other, and a project that both have: the laptop works in it, the desktop goes on.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::clones::SESSION;
use crate::support::sandbox::{Machine, Ran, Sandbox, snapshot};

use super::seen::Seen;

pub struct Scene {
    pub sandbox: Sandbox,
    pub origin: PathBuf,
    pub laptop: Machine,
    pub desktop: Machine,
}

impl Scene {
    /// Files and two commits, which the remote has; the desktop's clone has HEAD on a branch of its own.
    pub fn new() -> Scene {
        let scene = Scene::empty(&[]);
        scene.laptop.puts("one", "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
        scene.laptop.puts("dir/two", "two\n");
        scene.laptop.commits("first");
        scene.laptop.puts("gone", "going\n");
        scene.laptop.commits("second");
        scene.laptop.git(["push", "-q", "-u", "origin", "main"]);
        scene.fetched();
        scene
    }

    /// Repositories without a commit.
    pub fn empty(options: &[&str]) -> Scene {
        let sandbox = Sandbox::in_memory();
        let (laptop, desktop) = (sandbox.machine("laptop"), sandbox.machine("desktop"));
        let scene = Scene { origin: sandbox.path().join("origin.git"), sandbox, laptop, desktop };
        for machine in [&scene.laptop, &scene.desktop] {
            machine.run_here(["device", "init", "--name", &machine.name]).ok();
            let config =
                "[user]\n name = x\n email = x@example.com\n[protocol \"file\"]\n allow = always\n[advice]\n detachedHead = false\n";
            fs::write(machine.home.join(".gitconfig"), config).expect("written");
        }
        scene.believe();
        scene.laptop.git([&["init", "-q", "--bare", "-b", "main"], options, &[scene.origin.to_str().expect("UTF-8")]].concat());
        scene.repository(&scene.laptop, "main", options);
        scene.repository(&scene.desktop, "desk", options);
        scene
    }

    fn believe(&self) {
        let [laptop, desktop] = [&self.laptop, &self.desktop].map(|machine| machine.run_here(["device", "show", "--json"]).ok().json());
        for (machine, own, other) in [(&self.laptop, &laptop, &desktop), (&self.desktop, &desktop, &laptop)] {
            let text = |field: &str| other[field].as_str().expect("a text").to_owned();
            let device = Path::new(own["directory"].as_str().expect("a path"));
            let line = format!("{} namespaces=\"samesession\" {}\n", text("name"), text("signing_key"));
            fs::write(device.parent().expect("a directory").join("known_signers"), line).expect("written");
            machine.git(["config", "--global", "--add", "samesession.recipient", &text("recipient")]);
        }
    }

    /// Where this machine stands, with our remote.
    pub fn repository(&self, machine: &Machine, branch: &str, options: &[&str]) {
        machine.git([&["init", "-q", "-b", branch], options].concat());
        machine.git([OsStr::new("remote"), "add".as_ref(), "origin".as_ref(), self.origin.as_os_str()]);
        machine.git(["config", "--add", "remote.origin.fetch", "+refs/samesession/*:refs/samesession-remote/origin/*"]);
    }

    /// The desktop has what the remote has, and works on a branch of its own.
    pub fn fetched(&self) {
        self.desktop.git(["fetch", "-q"]);
        self.desktop.git(["checkout", "-q", "-b", "desk", "--no-track", "origin/main"]);
    }

    /// From the laptop into the remote, and seen by the desktop.
    #[track_caller]
    pub fn sends(&self) -> Ran {
        self.laptop.say("a word");
        let ran = self.laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
        self.desktop.git(["fetch", "-q"]);
        ran
    }

    /// `checkpoint` of this session into a file that the desktop can open.
    #[track_caller]
    pub fn seals(&self, native: &str) -> String {
        self.laptop.say_in(native, "a word");
        let file = self.sandbox.path().join(format!("{native}.capsule")).to_str().expect("UTF-8").to_owned();
        self.laptop.run_here(["checkpoint", native, "-o", &file, "-r", &self.desktop.recipient()]).ok();
        file
    }

    /// `restore` there, with these options besides.
    pub fn restore(&self, options: &[&str]) -> Ran {
        self.desktop.run_here([&["restore", SESSION], options].concat())
    }

    /// Sent and restored: the desktop, standing in the new work tree.
    #[track_caller]
    pub fn brought(&self, options: &[&str]) -> (Machine, Value) {
        self.sends();
        let told = self.restore(&[options, &["--json"]].concat()).ok().json();
        (self.desktop.at(told["workspace"]["work_tree"].as_str().expect("a place")), told)
    }

    #[track_caller]
    pub fn assert_arrived(&self, there: &Machine) {
        Seen::of(&self.laptop, false).assert_same(&Seen::of(there, false));
    }

    /// Everything on the desktop, by which it is seen that nothing was done; our own pins and packs do not count.
    pub fn desktops(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let ours = |path: &Path| {
            let text = path.to_string_lossy().into_owned();
            text.contains("/refs/samesession-")
                || text.contains("/.git/objects")
                || text.contains("/.git/samesession")
                || path.is_dir() && text.contains("/.git/logs")
        };
        snapshot(&self.desktop.home).into_iter().filter(|(path, _)| !ours(path)).collect()
    }
}

#[track_caller]
pub fn assert_nothing_done(before: &[(PathBuf, Vec<u8>)], after: &[(PathBuf, Vec<u8>)], when: &str) {
    let only = |a: &[(PathBuf, Vec<u8>)], b: &[(PathBuf, Vec<u8>)]| -> Vec<PathBuf> {
        a.iter().filter(|one| !b.contains(one)).map(|(path, _)| path.clone()).collect()
    };
    assert!(before == after, "{when}: gone or changed {:#?}, new or changed {:#?}", only(before, after), only(after, before));
}

impl Machine {
    pub fn puts(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.cwd.join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, text).expect("written");
    }

    pub fn runs(&self, path: &str) {
        fs::set_permissions(self.cwd.join(path), fs::Permissions::from_mode(0o755)).expect("made executable");
    }

    #[track_caller]
    pub fn reads(&self, path: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.cwd.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))).into_owned()
    }

    /// Everything that is here.
    #[track_caller]
    pub fn commits(&self, message: &str) {
        self.git(["add", "-A"]);
        self.git(["commit", "-q", "--allow-empty", "-m", message]);
    }

    /// Git that stops, as at a conflict.
    #[track_caller]
    pub fn stops<const N: usize>(&self, args: [&str; N]) {
        let ran = self.env("GIT_EDITOR", "true").try_git(args);
        assert_eq!(ran.code(), Some(1), "{}\n{}", ran.stdout(), ran.stderr());
    }

    pub fn worktrees(&self) -> usize {
        self.git(["worktree", "list", "--porcelain"]).lines().filter(|line| line.starts_with("worktree ")).count()
    }
}
