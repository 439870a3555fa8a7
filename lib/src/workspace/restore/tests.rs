use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::fixture::Place;
use super::*;
use crate::git::Repository;
use crate::path::RelPath;
use crate::workspace::identity;
use crate::workspace::model::*;

mod hostile;
mod repositories;
mod round;
mod taken_back;

/// A model and its files, made by hand.
struct Case {
    place: Place,
    model: Workspace,
    n: usize,
}

impl Case {
    /// Of `src`, at its HEAD, with nothing changed; its remote is `up`, and `dst` is a clone of that.
    fn new(options: &[&str]) -> Case {
        let place = Place::new();
        place.repo("up", &[&["--bare"], options].concat());
        // Not a clone: of what is empty, Git 2.39 makes one with the usual objects.
        place.repo("src", options);
        place.git("src", &["remote", "add", "origin", place.path("up").to_str().expect("text")]);
        for (file, text) in [("a", "a\n"), ("b", "b\n"), ("dir/c", "c\n"), ("dir/d", "d\n"), ("e", "e\n")] {
            place.commit("src", file, text);
        }
        place.git("src", &["push", "-q", "-u", "origin", "main"]);
        place.git("", &["clone", "-q", &format!("file://{}", place.path("up").display()), "dst"]);
        let mut case = Case { model: bare_model(), place, n: 0 };
        case.settle();
        case
    }

    /// HEAD and identity as `src` has them now.
    fn settle(&mut self) {
        let repo = self.place.open(&self.place.path("src"));
        let commit = self.place.oid("src", "HEAD");
        self.model.identity = identity::of(&repo, &[]).expect("readable");
        self.model.head = Head { branch: Some(Name::new("refs/heads/main")), commit: Some(commit) };
        self.model.prerequisites = vec![Prerequisite { commit, refs: vec![Name::new("refs/heads/main")] }];
    }

    /// Commits that only `src` has, as a thin pack.
    fn pack(&mut self, base: &str) {
        let base_oid = self.place.oid("src", base);
        let commit = self.place.oid("src", "HEAD");
        let input = format!("{}\n^{}\n", commit.0, base_oid.0);
        fs::write(self.place.path("revs"), input).expect("writable");
        let script = format!("git -C src pack-objects --thin --stdout --revs -q < revs > {}", "pack");
        let status = std::process::Command::new("sh").args(["-c", &script]).current_dir(self.place.path("")).status().expect("a shell");
        assert!(status.success());
        let bytes = fs::read(self.place.path("pack")).expect("made");
        self.stage(PACK, &bytes);
        let objects = u64::from(u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]));
        self.model.pack = Some(Pack { objects, size: bytes.len() as u64, commits: 1 });
        self.model.head.commit = Some(commit);
        self.model.prerequisites = vec![Prerequisite { commit: base_oid, refs: vec![Name::new("refs/heads/main")] }];
    }

    fn stage(&self, at: &str, bytes: &[u8]) {
        let path = self.place.path("staged").join(at);
        fs::create_dir_all(path.parent().expect("has one")).expect("writable");
        fs::write(path, bytes).expect("writable");
    }

    fn file(&mut self, path: &[u8], bytes: &[u8], mode: u32) {
        self.n += 1;
        let at = format!("{FILES}/{}", self.n);
        self.stage(&at, bytes);
        let at = RelPath::parse(at.as_bytes()).expect("harmless");
        self.work(path, What::File { at, size: bytes.len() as u64, mode });
    }

    fn work(&mut self, path: &[u8], what: What) {
        self.model.files.push(WorkFile { path: Name::new(path), what });
    }

    /// A blob that stands in `dst`, where the pack would have brought it.
    fn entry(&mut self, path: &str, text: &str) -> &mut Entry {
        self.place.write("blob", text);
        let blob = self.place.path("blob");
        let oid = self.place.git("dst", &["hash-object", "-w", "--no-filters", blob.to_str().expect("text")]);
        let oid = Oid(gix::hash::ObjectId::from_hex(oid.trim().as_bytes()).expect("an object"));
        let (mode, path) = ("100644".to_owned(), Name::new(path));
        self.model.index.push(Entry { path, mode, oid, stage: 0, intent_to_add: false, skip_worktree: false, assume_unchanged: false });
        self.model.index.last_mut().expect("just pushed")
    }

    fn check(&self) -> Result<(), crate::workspace::Error> {
        let staged = self.place.path("staged");
        check(&self.model, |at| fs::metadata(staged.join(at.as_path())).ok().map(|meta| meta.len()))
    }

    fn options(&self) -> Options {
        Options { force_repository: false, accept_config: true, stores: Vec::new(), backup: self.place.path("backup") }
    }

    fn new_at(&self, branch: bool) -> Destination {
        Destination::New { at: self.place.path("new tree"), branch }
    }

    fn restore(&self, repo: &Repository, to: &Destination) -> Result<(Undo, Applied), Error> {
        self.restore_with(repo, to, &self.options())
    }

    fn restore_with(&self, repo: &Repository, to: &Destination, options: &Options) -> Result<(Undo, Applied), Error> {
        self.check().expect("not hostile");
        let plan = plan(repo, &self.model, &self.place.path("staged"), to, options)?;
        let undo = prepare(&plan)?;
        let text = serde_json::to_string(&undo).expect("writable");
        let applied = apply(&plan, &undo, &|_, _| Ok(()))?;
        assert_eq!(serde_json::from_str::<Undo>(&text).expect("readable"), undo);
        Ok((undo, applied))
    }

    fn dst(&self) -> Repository {
        self.place.open(&self.place.path("dst"))
    }

    fn status(&self, tree: &str) -> String {
        let out = self.place.bytes(tree, &["status", "--porcelain=v2", "--branch", "-z", "--no-ahead-behind"]);
        crate::path::escape(&out).replace('\0', "\n")
    }

    /// Entries with their flags, as `git ls-files --stage --debug` shows them.
    fn index(&self, tree: &str) -> Vec<String> {
        let text = self.place.git(tree, &["ls-files", "--stage", "--debug"]);
        let kept = text.lines().filter(|line| !line.starts_with("  ") || line.contains("flags: "));
        kept.map(|line| line.rsplit_once("flags: ").map_or(line, |(_, flags)| flags).to_owned()).collect()
    }
}

fn bare_model() -> Workspace {
    Workspace {
        schema: SCHEMA.to_owned(),
        requires: Vec::new(),
        identity: Identity::default(),
        head: Head { branch: None, commit: None },
        upstream: None,
        prerequisites: Vec::new(),
        pack: None,
        index: Vec::new(),
        unindexed: Vec::new(),
        files: Vec::new(),
        operations: Vec::new(),
        sparse: None,
        submodules: Vec::new(),
        more: serde_json::Map::new(),
    }
}

/// Every file below a directory but Git's own: permissions, and bytes or what a link leads to.
fn listing(top: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![top.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("readable") {
            let path = entry.expect("readable").path();
            let meta = fs::symlink_metadata(&path).expect("there");
            let name = path.strip_prefix(top).expect("below it").to_owned();
            if name.as_os_str() == ".git" {
                continue;
            }
            let content = if meta.is_symlink() {
                fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes()
            } else if meta.is_dir() {
                dirs.push(path.clone());
                Vec::new()
            } else {
                fs::read(&path).expect("readable")
            };
            found.insert(name, (meta.mode() & 0o170_777, content));
        }
    }
    found
}

/// What `src` is made into, and the model of it; `dst` gets the same from the model.
fn dirty(case: &mut Case) {
    let src = case.place.path("src");
    case.place.write("src/a", "staged\n");
    case.place.git("src", &["add", "a"]);
    case.entry("a", "staged\n");
    case.place.write("src/a", "and more\n");
    case.file(b"a", b"and more\n", 0o644);
    // Gone from the index and there; gone from there and in the index.
    case.place.git("src", &["rm", "-q", "--cached", "b"]);
    case.model.unindexed.push(Name::new("b"));
    case.file(b"b", b"b\n", 0o644);
    fs::remove_file(src.join("e")).expect("there");
    case.work(b"e", What::Gone);
    // A directory's place is a file's.
    fs::remove_dir_all(src.join("dir")).expect("there");
    case.place.write("src/dir", "a file now\n");
    fs::set_permissions(src.join("dir"), PermissionsExt::from_mode(0o600)).expect("ours");
    case.work(b"dir/c", What::Gone);
    case.work(b"dir/d", What::Gone);
    case.file(b"dir", b"a file now\n", 0o600);
    for (mode, name) in [("100644", "in tent"), ("100755", "in/tent")] {
        case.place.write(&format!("src/{name}"), "not yet\n");
        let wanted = if mode == "100755" { 0o755 } else { 0o644 };
        fs::set_permissions(src.join(name), PermissionsExt::from_mode(wanted)).expect("ours");
        case.place.git("src", &["add", "-N", name]);
        let entry = case.entry(name, "");
        (entry.intent_to_add, entry.mode) = (true, mode.to_owned());
        case.file(name.as_bytes(), b"not yet\n", wanted);
    }
    for name in [&b"-rf"[..], b"two\nlines", b"caf\xc3\xa9", b"cafe\xcc\x81", b"\xff bytes", b"deep/er/and/er"] {
        let path = src.join(Name::new(name).as_path());
        fs::create_dir_all(path.parent().expect("has one")).expect("writable");
        fs::write(&path, b"\r\n\0binary").expect("writable");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o751)).expect("ours");
        case.file(name, b"\r\n\0binary", 0o751);
    }
    for (name, to) in [("dangling", "nowhere/at all"), ("absolute", "/etc"), ("to-dir", "deep")] {
        symlink(to, src.join(name)).expect("writable");
        case.work(name.as_bytes(), What::Link { to: Name::new(to) });
    }
    fs::create_dir_all(src.join("empty/dir")).expect("writable");
    case.work(b"empty/dir", What::Directory);
    fs::create_dir_all(src.join("in/there")).expect("writable");
    case.work(b"in/there", What::Directory);
}

fn unmerged(case: &mut Case) {
    case.entry("u", "base\n").stage = 1;
    case.entry("u", "ours\n").stage = 2;
    case.entry("u", "theirs\n").stage = 3;
    case.file(b"u", b"<<<<<<<\n", 0o644);
    let lines: Vec<String> =
        case.model.index.iter().filter(|entry| entry.stage > 0).map(|e| format!("{} {} {}\tu\n", e.mode, e.oid.0, e.stage)).collect();
    fs::write(case.place.path("lines"), lines.concat()).expect("writable");
    let script =
        "git -C src update-index --index-info < lines; for t in base ours theirs; do echo $t | git -C src hash-object -w --stdin; done";
    assert!(
        std::process::Command::new("sh").args(["-c", script]).current_dir(case.place.path("")).output().expect("a shell").status.success()
    );
    case.place.write("src/u", "<<<<<<<\n");
}

fn flagged(case: &mut Case) {
    case.place.git("src", &["update-index", "--assume-unchanged", "dir/c"]);
    case.place.git("src", &["update-index", "--skip-worktree", "dir/d"]);
}

#[test]
fn what_was_left_stands_there_again() {
    for format in [&["--object-format=sha1"][..], &["--object-format=sha256"]] {
        let mut case = Case::new(format);
        dirty(&mut case);
        unmerged(&mut case);
        let (_, applied) = case.restore(&case.dst(), &case.new_at(false)).expect("restored");
        assert_eq!(applied.notes, []);
        assert_eq!(listing(&case.place.path("new tree")), listing(&case.place.path("src")));
        assert_eq!(case.index("new tree"), case.index("src"));
        let lines =
            |tree: &str| case.status(tree).lines().filter(|line| !line.starts_with("# branch.")).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines("new tree"), lines("src"));
        assert!(case.status("new tree").contains("# branch.head (detached)\n"));
        assert!(
            fs::read_dir(case.dst().objects.join("pack"))
                .expect("there")
                .flatten()
                .all(|e| e.path().extension().is_none_or(|end| end != "keep"))
        );
    }
}

#[test]
fn marks_of_the_index_come_back() {
    let mut case = Case::new(&[]);
    flagged(&mut case);
    case.entry("dir/c", "c\n").assume_unchanged = true;
    case.entry("dir/d", "d\n").skip_worktree = true;
    // It is there all the same, and another one is not there that nobody marked.
    case.place.write("src/dir/d", "local\n");
    case.file(b"dir/d", b"local\n", 0o644);
    case.restore(&case.dst(), &case.new_at(false)).expect("restored");
    assert_eq!(case.index("new tree"), case.index("src"));
    assert_eq!(listing(&case.place.path("new tree")), listing(&case.place.path("src")));
    assert!(!case.status("new tree").contains("dir/d"), "hidden as it was");
}

#[test]
fn local_commits_come_with_the_pack_and_the_branch_where_it_is_free() {
    let mut case = Case::new(&[]);
    case.place.git("src", &["checkout", "-q", "-b", "topic/x"]);
    case.place.commit("src", "new", "new\n");
    case.pack("main");
    case.model.head.branch = Some(Name::new("refs/heads/topic/x"));
    case.model.upstream = Some(Upstream { remote: Name::new("origin"), merge: Name::new("refs/heads/main"), commit: None });
    case.restore(&case.dst(), &case.new_at(true)).expect("restored");
    assert_eq!(listing(&case.place.path("new tree")), listing(&case.place.path("src")));
    let status = case.status("new tree");
    assert!(status.contains("# branch.head topic/x\n# branch.upstream origin/main\n"), "{status}");
    assert_eq!(case.place.oid("dst", "topic/x"), case.place.oid("src", "HEAD"));
    case.place.git("dst", &["fsck", "--strict"]);
    let packs = fs::read_dir(case.dst().objects.join("pack")).expect("there").flatten();
    assert_eq!(packs.filter(|entry| entry.path().extension().is_some_and(|end| end == "keep")).count(), 0);
}

#[test]
fn filtered_bytes_return_as_they_were_and_no_filter_runs_for_them() {
    let mut case = Case::new(&[]);
    case.place.commit("src", ".gitattributes", "*.big filter=big\n*.crlf text eol=crlf\n");
    case.place.commit("src", "x.big", "pointer\n");
    case.place.commit("src", "y.big", "pointer too\n");
    case.place.commit("src", "z.crlf", "line\n");
    case.place.git("src", &["push", "-q"]);
    case.place.git("dst", &["fetch", "-q"]);
    case.settle();
    case.file(b"x.big", b"the real bytes\n", 0o644);
    let log = case.place.path("log");
    case.place.git("dst", &["config", "filter.big.smudge", &format!("echo %f >> {}; sed s/pointer/smudged/", log.display())]);
    case.place.git("dst", &["config", "filter.big.clean", "cat"]);
    case.place.git("dst", &["config", "filter.big.required", "true"]);
    let (undo, applied) = case.restore(&case.dst(), &case.new_at(false)).expect("restored");
    assert_eq!(applied.notes, []);
    let there = listing(&case.place.path("new tree"));
    let bytes = |name: &str| String::from_utf8(there[Path::new(name)].1.clone()).expect("text");
    assert_eq!(
        (bytes("x.big").as_str(), bytes("y.big").as_str(), bytes("z.crlf").as_str()),
        ("the real bytes\n", "smudged too\n", "line\r\n")
    );
    assert_eq!(fs::read_to_string(&log).expect("written"), "y.big\n");
    undo.undo(&case.dst(), true).expect("taken back");
    // The filter is required, and cannot run.
    case.place.git("dst", &["config", "filter.big.smudge", "no-such-program-here"]);
    let (undo, applied) = case.restore(&case.dst(), &case.new_at(false)).expect("restored");
    assert_eq!(applied.notes, [Note::FilterFails]);
    let there = listing(&case.place.path("new tree"));
    assert_eq!(there[Path::new("x.big")].1, b"the real bytes\n");
    assert_eq!(there[Path::new("y.big")].1, b"pointer too\n");
    assert_eq!(case.index("new tree"), case.index("src"));
    undo.undo(&case.dst(), true).expect("taken back");
    case.place.git("dst", &["config", "--remove-section", "filter.big"]);
    let (_, applied) = case.restore(&case.dst(), &case.new_at(false)).expect("restored");
    assert_eq!(applied.notes, [Note::FilterMissing("big".to_owned())]);
}

#[test]
fn a_sparse_checkout_is_one_again() {
    let mut case = Case::new(&[]);
    case.place.git("src", &["sparse-checkout", "set", "--no-cone", "/a", "/dir/c"]);
    for (path, text) in [("b", "b\n"), ("dir/d", "d\n"), ("e", "e\n")] {
        case.entry(path, text).skip_worktree = true;
    }
    let patterns = fs::read(case.place.path("src/.git/info/sparse-checkout")).expect("there");
    case.model.sparse = Some(Sparse { cone: false, patterns: Name::new(patterns) });
    let (_, applied) = case.restore(&case.dst(), &case.new_at(false)).expect("restored");
    assert_eq!(applied.notes, [Note::WorktreeConfig]);
    assert_eq!(listing(&case.place.path("new tree")), listing(&case.place.path("src")));
    assert_eq!(case.index("new tree"), case.index("src"));
    assert_eq!(case.place.git("new tree", &["sparse-checkout", "list"]), case.place.git("src", &["sparse-checkout", "list"]));
    assert_eq!(case.status("dst").lines().count(), 4, "the main work tree is whole");
}

#[test]
fn executable_configuration_stays_out_until_somebody_agrees() {
    let mut case = Case::new(&[]);
    case.place.commit("src", ".envrc", "from upstream\n");
    case.place.git("src", &["push", "-q"]);
    case.place.git("dst", &["fetch", "-q"]);
    case.place.commit("src", ".vscode/tasks.json", "{}\n");
    case.settle();
    case.pack("origin/main");
    case.file(b"sub/.mcp.json", b"{}", 0o644);
    case.file(b"harmless", b"", 0o644);
    let mut options = case.options();
    options.accept_config = false;
    let (undo, applied) = case.restore_with(&case.dst(), &case.new_at(false), &options).expect("restored");
    assert_eq!(applied.withheld, [Name::new(".vscode/tasks.json"), Name::new("sub/.mcp.json")]);
    let there = listing(&case.place.path("new tree"));
    assert!(there.contains_key(Path::new(".envrc")) && there.contains_key(Path::new("harmless")));
    assert!(!there.contains_key(Path::new(".vscode/tasks.json")) && !there.contains_key(Path::new("sub/.mcp.json")));
    assert!(case.status("new tree").contains(" .D "), "known to Git as missing");
    undo.undo(&case.dst(), false).expect("taken back");
    let (_, applied) = case.restore(&case.dst(), &case.new_at(false)).expect("restored");
    assert_eq!(applied.withheld, []);
    assert!(listing(&case.place.path("new tree")).contains_key(Path::new("sub/.mcp.json")));
}
