//! Repositories and what people leave in them, made from a number: the same number makes the same.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::support::sandbox::Machine;

use super::seen::os;

pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let _ = (0..8).map(|_| dice.roll()).last();
        dice
    }

    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.roll() % n as u64).expect("small")
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

const NAMES: [&[u8]; 40] = [
    b"plain",
    b"a b",
    b"new\nline",
    b"quo\"te",
    b"it's",
    b"-dash",
    b"--",
    "caf\u{e9}".as_bytes(),
    "cafe\u{301}".as_bytes(),
    b"\xff\xfebad",
    b"tab\there",
    b"back\\slash",
    b":colon",
    b"[glob]*?",
    b"#hash",
    b"!bang",
    b" lead",
    b"trail ",
    b"UPPER",
    b"upper",
    b".hidden",
    b"con",
    b"aux.c",
    b"x.lock",
    b"dot.",
    b"dir",
    b"dir/one",
    b"dir/two",
    b"dir/sub dir/three",
    b"dir/sub dir/-four",
    b"deep/er/and/deeper/still/so/very/deep/file",
    b"deep/er/and",
    b"text.txt",
    b"dir/lines.txt",
    b"unix.txt",
    b"loud.up",
    b"dir/loud.up",
    b"bin.dat",
    b"ignored.log",
    b"build/out.o",
];

const ATTRIBUTES: &str = "*.txt text eol=crlf\nunix.txt text eol=lf\n*.up filter=up\n*.dat -text\n";
const IGNORED: &str = "*.log\nbuild/\n";

/// What goes with the filter `up`, on both machines.
pub const FILTER: &str = "[filter \"up\"]\n clean = tr a-z A-Z\n smudge = tr A-Z a-z\n";

pub struct Made {
    /// The session's branch, where HEAD is on one.
    pub branch: Option<String>,
    /// In words, for whoever has to understand a failure.
    pub story: Vec<String>,
}

struct Work<'a> {
    at: &'a Machine,
    dice: Dice,
    story: Vec<String>,
}

/// A history, of which the remote has a part, an operation that stopped or none, and a dirty work tree.
pub fn make(at: &Machine, dice: Dice) -> Made {
    let mut work = Work { at, dice, story: Vec::new() };
    let born = !work.dice.one_in(10);
    if born {
        work.history();
        if work.dice.one_in(8) {
            work.gitlink();
        }
        work.operation();
        work.narrow();
        if work.dice.one_in(6) && !work.busy() {
            work.say("detached");
            at.git(["checkout", "-q", "--detach"]);
        }
    }
    for _ in 0..work.dice.below(14) {
        work.dirty();
    }
    // Of other attributes Git takes no notice before it looks at a file again.
    if at.cwd.join(".gitattributes").symlink_metadata().is_ok() {
        older(&at.cwd);
    }
    let branch = at.try_git(["symbolic-ref", "-q", "HEAD"]).stdout();
    Made { branch: Some(branch.trim().to_owned()).filter(|branch| !branch.is_empty()), story: work.story }
}

/// Somebody goes on with what is there.
pub fn more(at: &Machine, dice: Dice) -> Vec<String> {
    let mut work = Work { at, dice, story: Vec::new() };
    for _ in 0..=work.dice.below(8) {
        work.dirty();
    }
    // Git takes no commit from elsewhere in which that is a directory.
    let odd = at.cwd.join(".gitattributes").is_dir();
    if work.dice.one_in(3) && !odd && at.try_git(["commit", "-q", "-m", "there"]).code() == Some(0) {
        work.say("committed");
    }
    // Attributes may have gone, too.
    older(&at.cwd);
    work.story
}

fn older(dir: &Path) {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("readable"));
    for entry in entries.filter(|entry| entry.file_name() != ".git") {
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            older(&entry.path());
        } else if kind.is_file() {
            let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
            fs::File::open(entry.path()).and_then(|file| file.set_modified(then)).expect("set");
        }
    }
}

impl Work<'_> {
    fn say(&mut self, what: impl Into<String>) {
        self.story.push(what.into());
    }

    fn busy(&self) -> bool {
        ["MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge"].iter().any(|file| self.at.cwd.join(".git").join(file).exists())
    }

    fn history(&mut self) {
        let (all, pushed) = (1 + self.dice.below(4), self.dice.below(4));
        if self.dice.one_in(2) {
            self.put(b".gitattributes", ATTRIBUTES.as_bytes());
        }
        if self.dice.one_in(2) {
            self.put(b".gitignore", IGNORED.as_bytes());
        }
        for n in 0..all {
            for _ in 0..=self.dice.below(7) {
                let name = self.name();
                self.something(&name);
            }
            self.at.commits(&format!("commit {n}"));
            if n < pushed {
                self.at.git(["push", "-q", "origin", "main"]);
            }
        }
        self.say(format!("{all} commits, {} of them pushed", pushed.min(all)));
        if self.dice.one_in(3) {
            self.at.git(["checkout", "-q", "-b", "topic/one"]);
            self.at.commits("on a branch");
        }
        if self.dice.one_in(6) {
            self.at.git(["pack-refs", "--all"]);
        }
    }

    /// A part of the tree only.
    fn narrow(&mut self) {
        if self.busy() || !self.dice.one_in(8) {
            return;
        }
        let words: &[&str] =
            if self.dice.one_in(2) { &["set", "--cone", "deep"] } else { &["set", "--no-cone", "/*", "!/dir/", "!/loud.up"] };
        self.say(format!("sparse-checkout {words:?}"));
        self.at.git([&["sparse-checkout"], words].concat());
    }

    /// Stops at a conflict, mostly.
    fn operation(&mut self) {
        let which = self.dice.below(12);
        if which > 3 {
            return;
        }
        let at = self.at.env("GIT_EDITOR", "true").env("GIT_SEQUENCE_EDITOR", "true");
        let base = at.git(["rev-parse", "--abbrev-ref", "HEAD"]).trim().to_owned();
        self.put(b"both", b"1\n2\n3\n");
        self.put(b"dir/moved", b"a\nb\nc\n");
        at.commits("before");
        at.git(["checkout", "-q", "-b", "side"]);
        self.put(b"both", b"1\nside\n3\n");
        self.gone(b"dir/moved");
        at.commits("side");
        at.git(["checkout", "-q", &base]);
        self.put(b"both", b"1\nmain\n3\n");
        self.put(b"dir/moved", b"a\nb\nchanged\n");
        at.commits("ours");
        let words: &[&str] = match which {
            0 => &["merge", "-q", "side"],
            1 => &["cherry-pick", "side"],
            2 => &["rebase", "-q", "-i", "side"],
            _ => &["merge", "-q", "--no-commit", "--no-ff", "-s", "ours", "side"],
        };
        self.say(format!("{words:?}"));
        drop(at.try_git(words));
    }

    fn gitlink(&mut self) {
        let inner = self.at.at(self.at.cwd.join("module"));
        inner.git(["init", "-q"]);
        inner.puts("inside", "x");
        inner.commits("inner");
        self.at.git(["-c", "advice.addEmbeddedRepo=false", "add", "module"]);
        if self.dice.one_in(2) {
            self.at.git(["commit", "-q", "-m", "module"]);
        }
        self.say("a gitlink");
    }

    fn dirty(&mut self) {
        let name = if self.dice.one_in(3) { self.name() } else { self.known() };
        let what = self.dice.below(16);
        let word = match what {
            0..=2 => {
                self.something(&name);
                "left"
            }
            3..=5 => {
                self.something(&name);
                self.stage(&name);
                "staged"
            }
            6 => {
                self.something(&name);
                self.stage(&name);
                self.something(&name);
                "staged and changed"
            }
            7 => {
                self.gone(&name);
                "deleted"
            }
            8 => {
                self.gone(&name);
                self.stage(&name);
                "deleted and staged"
            }
            9 => {
                self.git(&["rm", "-q", "--cached", "--ignore-unmatch", "--"], &name);
                "out of the index"
            }
            10 => {
                let path = self.at.cwd.join(os(&name));
                if path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
                    let mode = if self.dice.one_in(3) { 0o644 } else { 0o755 };
                    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
                }
                "another mode"
            }
            11 => {
                self.something(&name);
                self.git(&["add", "-f", "-N", "--"], &name);
                "intended"
            }
            12 => {
                self.git(&["update-index", "--assume-unchanged", "--"], &name);
                if self.dice.one_in(2) {
                    self.something(&name);
                }
                "assumed unchanged"
            }
            // Of an ignored directory with nothing in it Git does not say that it is ignored.
            13 if !name.starts_with(b"build/") => {
                let dir = [&name[..], b".d/empty"].concat();
                self.clear(&dir);
                fs::create_dir_all(self.at.cwd.join(os(&dir))).expect("made");
                "an empty directory"
            }
            14 => {
                let below = [&name[..], b"/now a directory"].concat();
                self.something(&below);
                if self.dice.one_in(2) {
                    self.stage(&below);
                }
                "a file below it"
            }
            _ => {
                self.git(&["update-index", "--skip-worktree", "--"], &name);
                "passed over"
            }
        };
        self.say(format!("{} {word}", samesession::path::escape(&name)));
    }

    fn name(&mut self) -> Vec<u8> {
        self.dice.pick(&NAMES).to_vec()
    }

    /// One that the index has, else any.
    fn known(&mut self) -> Vec<u8> {
        let out = self.at.command("git").args(["ls-files", "-z"]).output().expect("git").stdout;
        let names: Vec<&[u8]> = out.split(|&byte| byte == 0).filter(|name| !name.is_empty() && *name != b"module").collect();
        if names.is_empty() { self.name() } else { self.dice.pick(&names).to_vec() }
    }

    fn something(&mut self, name: &[u8]) {
        match self.dice.below(12) {
            0 => self.link(name, b"nowhere at all"),
            1 => self.link(name, b"/etc/passwd"),
            2 => self.link(name, b"dir"),
            _ => {
                let bytes = self.content();
                self.put(name, &bytes);
                if self.dice.one_in(5) {
                    fs::set_permissions(self.at.cwd.join(os(name)), fs::Permissions::from_mode(0o755)).expect("set");
                }
            }
        }
    }

    fn content(&mut self) -> Vec<u8> {
        let number = self.dice.roll();
        match self.dice.below(9) {
            0 => Vec::new(),
            1 => format!("{number}\r\nwith\r\nreturns\r\n").into_bytes(),
            2 => format!("{number}\r\nmixed\n").into_bytes(),
            3 => [&number.to_be_bytes()[..], b"\0\xff\n\r\n\0"].concat(),
            4 => format!("{number} without an end").into_bytes(),
            5 if self.dice.one_in(4) => (0..40_000).flat_map(|_| self.dice.roll().to_be_bytes()).collect(),
            _ => format!("{number}\nlines\nof text\n").into_bytes(),
        }
    }

    fn put(&mut self, name: &[u8], bytes: &[u8]) {
        self.clear(name);
        fs::write(self.at.cwd.join(os(name)), bytes).expect("written");
    }

    fn link(&mut self, name: &[u8], to: &[u8]) {
        self.clear(name);
        symlink(os(to), self.at.cwd.join(os(name))).expect("linked");
    }

    fn gone(&mut self, name: &[u8]) {
        let path = self.at.cwd.join(os(name));
        let Ok(meta) = fs::symlink_metadata(&path) else { return };
        if meta.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.expect("removed");
    }

    /// Nothing at the name, and directories above it, whatever stood there.
    fn clear(&mut self, name: &[u8]) {
        let top = self.at.cwd.clone();
        let parts: Vec<PathBuf> = Path::new(os(name)).ancestors().skip(1).map(|path| top.join(path)).collect();
        for dir in parts.iter().rev().filter(|dir| **dir != top) {
            if fs::symlink_metadata(dir).is_ok_and(|meta| !meta.is_dir()) {
                fs::remove_file(dir).expect("removed");
            }
        }
        self.gone(name);
        fs::create_dir_all(&parts[0]).expect("made");
    }

    fn stage(&mut self, name: &[u8]) {
        if self.at.cwd.join(os(name)).is_dir() {
            return self.git(&["add", "-A", "-f", "--"], name);
        }
        let list = [name, b"\0"].concat();
        let args = ["update-index", "-z", "--add", "--remove", "--replace", "--stdin"];
        let mut child = self.at.command("git");
        child.args(args).stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
        let mut child = child.spawn().expect("git");
        std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), &list).expect("written");
        child.wait().expect("it ends");
    }

    /// Whether Git agrees or not: then nothing has happened.
    fn git(&mut self, args: &[&str], name: &[u8]) {
        let at = self.at.env("GIT_LITERAL_PATHSPECS", "1");
        drop(at.try_git(args.iter().map(OsStr::new).chain([OsStr::from_bytes(name)])));
    }
}
