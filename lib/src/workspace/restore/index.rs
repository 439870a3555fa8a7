//! The index as it was, and the files that go with it.
//!
//! What must stay true: whatever filter is set up here, the index keeps the entry that the model has, and a file whose bytes
//! came along is never written by a filter first.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::place::Root;
use super::{Error, Note, Plan, calm, objects};
use crate::durable::{self, At};
use crate::git::Git;
use crate::workspace::model::{Entry, What, Workspace};

const MAX_ATTRIBUTES: u64 = 100 << 20;

pub struct Index<'a, 'p> {
    pub git: &'a Git,
    pub plan: &'a Plan<'p>,
    /// Files that are left out, since nobody agreed to them.
    pub withheld: &'a BTreeSet<Vec<u8>>,
    pub here: bool,
}

impl Index<'_, '_> {
    /// From the index of a checkout of HEAD, in a work tree that has nothing of it yet, or all.
    pub fn restore(&self) -> Result<Vec<Note>, Error> {
        let model = self.plan.model;
        self.feed(&["update-index", "-z", "--index-info"], &self.changes())?;
        self.intend()?;
        let tracked = objects::names(&self.git.run(&["ls-files", "-z", "--cached"])?);
        let unmerged = unmerged(&self.git.run(&["ls-files", "-z", "--unmerged"])?);
        let hidden: BTreeSet<&[u8]> = self.marked(|entry| entry.skip_worktree && !self.sparse_is_left()).collect();
        let covered: BTreeSet<&[u8]> =
            model.files.iter().filter(|file| file.what != What::Directory).map(|file| file.path.as_bytes()).collect();
        // What is gone may have made way for a directory with entries of its own.
        let gone: BTreeSet<&[u8]> = model.files.iter().filter(|file| file.what == What::Gone).map(|file| file.path.as_bytes()).collect();
        let is_ours = |path: &[u8]| {
            let mut above = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| &path[..at]);
            self.withheld.contains(path) || covered.contains(path) || above.any(|above| covered.contains(above) && !gone.contains(above))
        };
        // Passed over by the checkout: what the model has otherwise, and what is not to be here.
        let ours: Vec<&[u8]> = tracked.iter().map(Vec::as_slice).filter(|path| is_ours(path)).collect();
        let passed: Vec<&[u8]> = ours.iter().copied().filter(|path| !hidden.contains(path) && !unmerged.contains(*path)).collect();
        if self.here {
            let unindexed = model.unindexed.iter().map(|path| path.as_bytes());
            let goes = ours.iter().copied().chain(unmerged.iter().map(Vec::as_slice)).chain(unindexed);
            let goes: BTreeSet<&[u8]> = goes.chain(hidden.iter().copied()).collect();
            let mut root = self.root()?;
            // What is below goes first: a file may take the place of a directory.
            for path in goes.into_iter().rev() {
                root.remove(path).at("remove", self.plan.at.join(OsStr::from_bytes(path)))?;
            }
        }
        if self.here {
            self.unseen(&passed)?;
        }
        self.mark("--skip-worktree", hidden.iter().copied())?;
        self.mark("--skip-worktree", passed.iter().copied())?;
        self.write_attributes()?;
        let mut notes = self.check_out()?;
        notes.extend(self.missing_filters(&tracked));
        self.mark("--no-skip-worktree", passed.iter().copied())?;
        self.mark("--assume-unchanged", self.marked(|entry| entry.assume_unchanged))?;
        Ok(notes)
    }

    /// What the work tree has otherwise.
    pub fn write_files(&self) -> Result<(), Error> {
        write_files(&mut self.root()?, self.plan.model, &self.plan.at, &self.plan.staged, self.withheld)
    }

    /// Entries as if their files had never been looked at: what a filter wrote before may have had another size, and Git
    /// takes that for another content.
    fn unseen(&self, paths: &[&[u8]]) -> Result<(), Error> {
        let intended: BTreeSet<&[u8]> = self.marked(|entry| entry.intent_to_add).collect();
        let wanted: BTreeSet<&[u8]> = paths.iter().copied().filter(|path| !intended.contains(path)).collect();
        let rows = self.git.run(&["ls-files", "--stage", "-z"])?;
        let path = |row: &[u8]| row.iter().position(|&byte| byte == b'\t').is_some_and(|tab| wanted.contains(&row[tab + 1..]));
        let rows = rows.split(|&byte| byte == 0).filter(|row| path(row) && !row.starts_with(b"160000"));
        self.feed(&["update-index", "-z", "--index-info"], &list(rows))
    }

    /// Those of the work tree decide what the checkout writes, as they decided there what counts as changed.
    fn write_attributes(&self) -> Result<(), Error> {
        let is_attributes = |path: &[u8]| path.rsplit(|&b| b == b'/').next() == Some(b".gitattributes");
        let mut root = self.root()?;
        for file in self.plan.model.files.iter().filter(|file| is_attributes(file.path.as_bytes())) {
            if let What::File { at, mode, .. } = &file.what
                && !self.withheld.contains(file.path.as_bytes())
            {
                let done = root.file(file.path.as_bytes(), &self.plan.staged.join(at.as_path()), *mode);
                done.at("write", self.plan.at.join(file.path.as_path()))?;
            }
        }
        Ok(())
    }

    fn root(&self) -> Result<Root, Error> {
        Ok(Root::open(&self.plan.at).at("open", &self.plan.at)?)
    }

    /// Where the sparse checkout does not come along, its files are all there.
    fn sparse_is_left(&self) -> bool {
        self.here && self.plan.model.sparse.is_some() && !self.plan.same_sparse
    }

    fn marked(&self, which: impl Fn(&Entry) -> bool) -> impl Iterator<Item = &[u8]> {
        self.plan.model.index.iter().filter(move |entry| which(entry)).map(|entry| entry.path.as_bytes())
    }

    fn changes(&self) -> Vec<u8> {
        let model = self.plan.model;
        let none = "0".repeat(self.plan.repo.hash.len_in_hex());
        let mut text = Vec::new();
        let mut line = |head: String, path: &[u8]| {
            text.extend_from_slice(head.as_bytes());
            text.extend_from_slice(path);
            text.push(0);
        };
        model.unindexed.iter().for_each(|path| line(format!("0 {none}\t"), path.as_bytes()));
        // An entry of another kind does not make way by itself.
        for entry in model.index.iter().filter(|entry| entry.stage > 0 || entry.intent_to_add) {
            line(format!("0 {none}\t"), entry.path.as_bytes());
        }
        for entry in model.index.iter().filter(|entry| !entry.intent_to_add) {
            line(format!("{} {} {}\t", entry.mode, entry.oid.0, entry.stage), entry.path.as_bytes());
        }
        text
    }

    /// Only `git add -N` makes such entries, and it looks at files: empty ones of the same kind, in a work tree apart.
    fn intend(&self) -> Result<(), Error> {
        let entries: Vec<&Entry> = self.plan.model.index.iter().filter(|entry| entry.intent_to_add).collect();
        if entries.is_empty() {
            return Ok(());
        }
        let backup = &self.plan.options.backup;
        let scratch = tempfile::Builder::new().prefix(durable::TEMPORARY).tempdir_in(backup).at("create a directory in", backup)?;
        let mut root = Root::open(scratch.path()).at("open", scratch.path())?;
        for entry in &entries {
            let path = entry.path.as_bytes();
            let made = match entry.mode.as_str() {
                "120000" => root.link(path, b"x"),
                "100755" => root.empty_file(path, 0o755),
                _ => root.empty_file(path, 0o644),
            };
            made.at("write", scratch.path())?;
        }
        let git_dir = self.git.run(&["rev-parse", "--absolute-git-dir"])?;
        let git_dir = git_dir.strip_suffix(b"\n").unwrap_or(&git_dir);
        let settings = [
            "core.fileMode=true",
            "core.symlinks=true",
            "core.ignoreCase=false",
            "core.precomposeUnicode=false",
            "core.sparseCheckout=false",
        ];
        let git = settings.iter().fold(calm(&self.git.elsewhere(scratch.path())), |git, setting| git.with(setting));
        let git = git.env("GIT_DIR", OsStr::from_bytes(git_dir)).env("GIT_WORK_TREE", scratch.path()).env("GIT_LITERAL_PATHSPECS", "1");
        let paths = list(entries.iter().map(|entry| entry.path.as_bytes()));
        git.feed(&["add", "-N", "-f", "--pathspec-from-file=-", "--pathspec-file-nul"], &paths)?;
        Ok(())
    }

    fn check_out(&self) -> Result<Vec<Note>, Error> {
        let args = ["checkout-index", "--all", "--index", "--force", "--quiet"];
        let Err(error) = self.git.run(&args) else { return Ok(Vec::new()) };
        if matches!(error, crate::git::Error::Interrupted) {
            return Err(error.into());
        }
        // A filter that cannot run must not keep the rest away.
        let required = self.plan.repo.config.keys().filter(|key| key.starts_with("filter.") && key.ends_with(".required"));
        let settings: Vec<String> = required.map(|key| format!("{key}=false")).collect();
        if settings.is_empty() {
            return Err(error.into());
        }
        settings.iter().fold(self.git.clone(), |git, setting| git.with(setting)).run(&args)?;
        Ok(vec![Note::FilterFails])
    }

    /// Read off the files that say so: to ask Git for each path would cost as much as the checkout.
    fn missing_filters(&self, tracked: &BTreeSet<Vec<u8>>) -> Vec<Note> {
        let attributes = tracked.iter().filter(|path| path.rsplit(|&b| b == b'/').next() == Some(b".gitattributes"));
        let mut names = BTreeSet::new();
        for path in attributes.map(|path| self.plan.at.join(OsStr::from_bytes(path))) {
            // Git reads no link there, and nothing so large.
            if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() < MAX_ATTRIBUTES) {
                let text = fs::read(&path).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
                names.extend(lines.flat_map(str::split_whitespace).filter_map(|word| Some(word.strip_prefix("filter=")?.to_owned())));
            }
        }
        let config = &self.plan.repo.config;
        names.retain(|name| ["smudge", "process"].iter().all(|how| config.get(&format!("filter.{name}.{how}")).is_none()));
        names.into_iter().map(Note::FilterMissing).collect()
    }

    fn mark<'p>(&self, flag: &str, paths: impl Iterator<Item = &'p [u8]>) -> Result<(), Error> {
        self.feed(&["update-index", "-z", flag, "--stdin"], &list(paths))
    }

    fn feed(&self, args: &[&str], input: &[u8]) -> Result<(), Error> {
        if !input.is_empty() {
            self.git.feed(args, input)?;
        }
        Ok(())
    }
}

/// Links last.
pub fn write_files(root: &mut Root, model: &Workspace, top: &Path, staged: &Path, withheld: &BTreeSet<Vec<u8>>) -> Result<(), Error> {
    let order = |what: &What| match what {
        What::Gone => 0,
        What::Directory => 1,
        What::File { .. } => 2,
        What::Link { .. } => 3,
    };
    for turn in 0..4 {
        for file in model.files.iter().filter(|file| order(&file.what) == turn) {
            let path = file.path.as_bytes();
            if withheld.contains(path) {
                continue;
            }
            if crate::progress::interrupted() {
                return Err(crate::git::Error::Interrupted.into());
            }
            let done = match &file.what {
                What::Gone => match root.remove(path) {
                    // A directory with other files in it stands where it was.
                    Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => Ok(()),
                    removed => removed.map(drop),
                },
                What::Directory => root.directory(path),
                What::File { at, mode, .. } => root.file(path, &staged.join(at.as_path()), *mode),
                What::Link { to } => root.link(path, to.as_bytes()),
            };
            done.at("write", top.join(file.path.as_path()))?;
        }
    }
    Ok(())
}

fn unmerged(list: &[u8]) -> BTreeSet<Vec<u8>> {
    let path = |line: &[u8]| line.iter().position(|&b| b == b'\t').map(|tab| line[tab + 1..].to_vec());
    list.split(|&b| b == 0).filter_map(path).collect()
}

pub fn list<'p>(paths: impl Iterator<Item = &'p [u8]>) -> Vec<u8> {
    paths.flat_map(|path| path.iter().copied().chain([0])).collect()
}
