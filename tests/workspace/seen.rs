//! What is to be seen of a work tree: HEAD, status, index and every file; and of a repository that was only looked at.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::support::sandbox::Machine;

/// Flags of an entry that last: stage, assume-unchanged, intent-to-add, skip-worktree (`cache.h`, `CE_*`).
const LASTING: u32 = 0x3000 | 0x8000 | 1 << 29 | 1 << 30;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    File {
        runs: bool,
        bytes: Vec<u8>,
    },
    Link(PathBuf),
    Empty,
    /// A repository of its own, or the place for one.
    Module,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub head: String,
    pub status: Vec<String>,
    /// Mode, object, stage, name and flags of every entry.
    pub index: Vec<(String, u32)>,
    pub things: BTreeMap<String, Thing>,
}

impl Seen {
    /// With `ignored` also what Git was told to ignore.
    pub fn of(machine: &Machine, ignored: bool) -> Seen {
        let reader = machine.env("GIT_OPTIONAL_LOCKS", "0");
        let head = reader.try_git(["rev-parse", "-q", "--verify", "HEAD"]).stdout();
        let words = ["status", "--porcelain=v2", "-z", "--untracked-files=all", "--ignored=traditional", "--ignore-submodules=dirty"];
        let all: Vec<String> = names(&bytes(&reader, &words));
        let hidden: Vec<String> = all.iter().filter_map(|line| line.strip_prefix("! ")).map(str::to_owned).collect();
        let status = all.into_iter().filter(|line| ignored || !line.starts_with("! ")).collect();
        let index = entries(&bytes(&reader, &["ls-files", "--stage", "--debug", "-z"]));
        let modules: Vec<&str> = index
            .iter()
            .filter(|(entry, _)| entry.starts_with("160000"))
            .filter_map(|(entry, _)| Some(entry.split_once('\t')?.1))
            .collect();
        let mut things = BTreeMap::new();
        walk(&machine.cwd, &machine.cwd, &modules, &mut things);
        let is_hidden =
            |path: &str| hidden.iter().any(|hidden| path == hidden || hidden.ends_with('/') && path.starts_with(hidden.as_str()));
        // Of what is ignored, files were asked for.
        let kept = |path: &str, thing: &Thing| match thing {
            // Nor whether one that is ignored is there.
            Thing::Empty => !is_hidden(path) && path != "build",
            _ => ignored || !is_hidden(path),
        };
        things.retain(|path, thing| kept(path, thing));
        Seen { head, status, index, things }
    }

    /// The same but for what nobody can bring: says what differs, and not everything there is.
    #[track_caller]
    pub fn assert_same(&self, there: &Seen) {
        assert_eq!(self.head, there.head);
        differ("index", &self.index, &there.index);
        let things = |seen: &Seen| -> Vec<(String, Thing)> { seen.things.clone().into_iter().collect() };
        differ("files", &things(self), &things(there));
        differ("status", &self.status, &there.status);
    }
}

#[track_caller]
fn differ<T: PartialEq + std::fmt::Debug>(what: &str, here: &[T], there: &[T]) {
    let only = |a: &[T], b: &[T]| -> Vec<String> {
        a.iter().filter(|one| !b.contains(one)).map(|one| format!("{one:?}").chars().take(400).collect()).collect()
    };
    assert!(here == there, "{what}: only at the source {:#?}\nonly at the destination {:#?}", only(here, there), only(there, here));
}

fn bytes(machine: &Machine, args: &[&str]) -> Vec<u8> {
    let out = machine.command("git").args(args).output().expect("git can be started");
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// Names as text, in which nothing is lost.
fn text(name: &[u8]) -> String {
    samesession::path::escape(name)
}

fn names(list: &[u8]) -> Vec<String> {
    let mut names: Vec<String> = list.split(|&byte| byte == 0).filter(|name| !name.is_empty()).map(text).collect();
    names.sort();
    names
}

/// `ls-files --debug`: after each name five lines of what the index remembers.
fn entries(mut list: &[u8]) -> Vec<(String, u32)> {
    let mut entries = Vec::new();
    while let Some(end) = list.iter().position(|&byte| byte == 0) {
        let (name, rest) = (&list[..end], &list[end + 1..]);
        let lines: Vec<&[u8]> = rest.splitn(6, |&byte| byte == b'\n').collect();
        let flags = String::from_utf8_lossy(lines[4]).rsplit("flags: ").next().map(str::to_owned).expect("flags");
        entries.push((text(name), u32::from_str_radix(flags.trim(), 16).expect("a number") & LASTING));
        list = lines[5];
    }
    entries
}

fn walk(top: &Path, dir: &Path, modules: &[&str], things: &mut BTreeMap<String, Thing>) {
    let entries: Vec<PathBuf> = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("readable").path()).collect();
    if entries.is_empty() && dir != top {
        things.insert(text(below(top, dir)), Thing::Empty);
    }
    for path in entries {
        let (name, meta) = (text(below(top, &path)), fs::symlink_metadata(&path).expect("there"));
        if name == ".git" {
            continue;
        }
        if meta.is_symlink() {
            things.insert(name, Thing::Link(fs::read_link(&path).expect("a link")));
        } else if !meta.is_dir() {
            things.insert(name, Thing::File { runs: meta.mode() & 0o100 != 0, bytes: fs::read(&path).expect("readable") });
        } else if modules.contains(&name.as_str()) || path.join(".git").exists() {
            things.insert(name, Thing::Module);
        } else {
            walk(top, &path, modules, things);
        }
    }
}

fn below<'a>(top: &Path, path: &'a Path) -> &'a [u8] {
    path.strip_prefix(top).expect("below it").as_os_str().as_bytes()
}

/// Every byte and every time of a repository and its work tree, without our own refs and the objects.
pub fn untouched(machine: &Machine) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![machine.cwd.clone()];
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path).expect("there");
        let inside = path.strip_prefix(&machine.cwd).expect("below it");
        let git = inside.starts_with(".git");
        let text = inside.to_string_lossy();
        if git && (text.starts_with(".git/objects") || text.contains("/samesession")) {
            continue;
        }
        if meta.is_dir() {
            open.extend(fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("readable").path()));
        }
        // Our own refs stand in these directories.
        if git && meta.is_dir() {
            continue;
        }
        let bytes = match (meta.is_dir(), meta.is_symlink()) {
            (true, _) => Vec::new(),
            (_, true) => fs::read_link(&path).expect("a link").into_os_string().as_bytes().to_vec(),
            _ => fs::read(&path).expect("readable"),
        };
        found.insert(inside.to_owned(), (meta.permissions().mode(), meta.mtime(), meta.mtime_nsec(), bytes));
    }
    found
}

#[track_caller]
pub fn assert_untouched(before: &BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)>, machine: &Machine) {
    let after = untouched(machine);
    let paths = before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path));
    let paths: Vec<&PathBuf> = paths.collect();
    assert!(paths.is_empty(), "changed at the source: {paths:#?}");
}

/// Refs that are the user's, with what they lead to.
pub fn refs(machine: &Machine) -> Vec<String> {
    let listed = machine.git(["for-each-ref", "--format=%(refname) %(objectname)"]);
    listed.lines().filter(|line| !line.starts_with("refs/samesession")).map(str::to_owned).collect()
}

pub fn os(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}
