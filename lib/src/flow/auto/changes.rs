//! Where something happens: in this device's own register, and on the shelves on which agents keep their transcripts.
//!
//! Where the system tells (inotify), nothing is done until it does. What it does not tell of (a shelf that is not there yet,
//! more directories than it takes, another system) is looked at every half a minute, by names, sizes and times alone.
//! What must stay true: a change is seen in the end, whichever way; no transcript is opened.

#[cfg(target_os = "linux")]
mod told;
#[cfg(not(target_os = "linux"))]
#[path = "changes/untold.rs"]
mod told;

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use told::Told;

/// How often whatever is not told of is looked at.
const LOOK: Duration = Duration::from_secs(30);
/// The same of the register: few files of our own, and somebody waits for what `auto` says to be so.
const LOOK_AT_REGISTER: Duration = Duration::from_secs(5);

/// A directory of an agent's home with transcripts in it, or so many directories below.
#[derive(Debug, Clone)]
pub struct Shelf {
    pub agent: usize,
    pub root: PathBuf,
    pub depth: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub register: bool,
    /// Those on whose shelves something happened.
    pub agents: BTreeSet<usize>,
}

pub struct Changes {
    register: Vec<PathBuf>,
    register_stamp: u64,
    told: Option<Told>,
    /// Each with its stamp, unless the system tells of it.
    shelves: Vec<(Shelf, Option<u64>)>,
    looked: Instant,
    looked_at_register: Instant,
}

impl Changes {
    /// `register` are directories whose entries count.
    pub fn new(register: Vec<PathBuf>, shelves: Vec<Shelf>) -> Changes {
        let told = Told::new(&register).ok();
        let shelves = shelves.into_iter().map(|shelf| (shelf, Some(0))).collect();
        let mut changes =
            Changes { register_stamp: 0, register, told, shelves, looked: Instant::now(), looked_at_register: Instant::now() };
        changes.look();
        changes.register_stamp = changes.stamp_of_register();
        changes
    }

    /// Until the register changes, something happens on a shelf that may be told of now, or the time is up.
    pub fn wait(&mut self, timeout: Duration, shelves: bool) -> Seen {
        let mut seen = Seen::default();
        let register = self.told.is_none().then(|| self.looked_at_register + LOOK_AT_REGISTER);
        let rest = self.shelves.iter().any(|(_, stamp)| stamp.is_some()).then(|| self.looked + LOOK);
        let due = [register, rest].into_iter().flatten().min();
        let timeout = due.map_or(timeout, |due| timeout.min(due.saturating_duration_since(Instant::now())));
        match &mut self.told {
            Some(told) => told.wait(timeout, shelves, &mut seen),
            None => std::thread::sleep(timeout),
        }
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= Instant::now());
        if is_due(rest) {
            seen.agents.extend(self.look());
        }
        if is_due(register) {
            self.looked_at_register = Instant::now();
            let stamp = self.stamp_of_register();
            seen.register |= std::mem::replace(&mut self.register_stamp, stamp) != stamp;
        }
        seen
    }

    /// Those on whose shelves something has happened by now.
    pub fn take(&mut self) -> BTreeSet<usize> {
        let mut seen = Seen::default();
        if let Some(told) = &mut self.told {
            told.drain_shelves(&mut seen);
            // One that has gone has nobody to tell of it when it comes back.
            for (shelf, stamp) in &mut self.shelves {
                if stamp.is_none() && !told.knows(&shelf.root) {
                    *stamp = Some(0);
                }
            }
        }
        seen.agents
    }

    /// Whatever is not told of; from now on it is, where that can be.
    fn look(&mut self) -> BTreeSet<usize> {
        self.looked = Instant::now();
        let mut agents = BTreeSet::new();
        for (shelf, stamp) in &mut self.shelves {
            let Some(before) = *stamp else { continue };
            let whole = self.told.as_mut().is_some_and(|told| told.add(shelf));
            // After it is told of, or what happens in between would be lost.
            let now = stamp_below(&shelf.root, shelf.depth);
            if now != before {
                agents.insert(shelf.agent);
            }
            *stamp = (!whole).then_some(now);
        }
        agents
    }

    fn stamp_of_register(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.register.iter().for_each(|dir| stamp_below(dir, 0).hash(&mut hasher));
        hasher.finish()
    }
}

/// Names, sizes and times of files in a directory and so many levels below; 0 is "nothing there".
fn stamp_below(root: &Path, depth: usize) -> u64 {
    let Ok(entries) = fs::read_dir(root) else { return 0 };
    let mut sum = 1_u64;
    for entry in entries.flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        let mut hasher = DefaultHasher::new();
        entry.file_name().hash(&mut hasher);
        if !meta.is_dir() {
            (meta.size(), meta.mtime(), meta.mtime_nsec()).hash(&mut hasher);
        } else if depth > 0 {
            stamp_below(&entry.path(), depth - 1).hash(&mut hasher);
        }
        // In whatever order they come.
        sum = sum.wrapping_add(hasher.finish());
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (register, shelf) = (dir.path().join("register"), dir.path().join("home/sessions"));
        fs::create_dir_all(&register).expect("made");
        fs::create_dir_all(shelf.join("2026/11")).expect("made");
        (dir, register, shelf)
    }

    /// Both ways: with the system telling and without.
    fn both(test: impl Fn(&mut Changes, &Path, &Path)) {
        for told in [true, false] {
            let (_dir, register, root) = scene();
            let shelf = Shelf { agent: 7, root: root.clone(), depth: 3 };
            let mut changes = Changes::new(vec![register.clone()], vec![shelf]);
            if !told {
                changes.told = None;
                changes.shelves[0].1 = Some(stamp_below(&root, 3));
            }
            test(&mut changes, &register, &root);
        }
    }

    /// What has happened on shelves by now, whichever way it is seen.
    fn on_shelves(changes: &mut Changes) -> Vec<usize> {
        let mut seen = changes.take();
        seen.extend(changes.look());
        seen.into_iter().collect()
    }

    #[test]
    fn files_that_come_and_grow_are_seen_and_rest_is_not() {
        both(|changes, _, root| {
            assert_eq!(on_shelves(changes), [] as [usize; 0]);
            // A day's folder that was not there.
            fs::create_dir(root.join("2026/11/29")).expect("made");
            fs::write(root.join("2026/11/29/a.jsonl"), "1\n").expect("written");
            assert_eq!(on_shelves(changes), [7]);
            assert_eq!(on_shelves(changes), [] as [usize; 0]);
            let mut file = fs::OpenOptions::new().append(true).open(root.join("2026/11/29/a.jsonl")).expect("there");
            std::io::Write::write_all(&mut file, b"2\n").expect("written");
            assert_eq!(on_shelves(changes), [7]);
            fs::write(root.join("2026/11/29/b.jsonl"), "1\n").expect("written");
            assert_eq!(on_shelves(changes), [7]);
            assert_eq!(on_shelves(changes), [] as [usize; 0]);
        });
    }

    #[test]
    fn a_shelf_that_goes_and_comes_back_is_seen_again() {
        both(|changes, _, root| {
            fs::remove_dir_all(root).expect("removed");
            on_shelves(changes);
            fs::create_dir_all(root.join("2027")).expect("made");
            on_shelves(changes);
            fs::write(root.join("2027/x"), "1").expect("written");
            assert_eq!(on_shelves(changes), [7]);
        });
    }

    #[test]
    fn the_register_is_heard_at_once_also_when_shelves_are_not_listened_to() {
        let (_dir, register, root) = scene();
        let shelf = Shelf { agent: 0, root: root.clone(), depth: 3 };
        let mut changes = Changes::new(vec![register.clone()], vec![shelf]);
        fs::write(root.join("x"), "1").expect("written");
        let begun = Instant::now();
        let seen = changes.wait(Duration::from_millis(20), false);
        assert_eq!(seen, Seen::default());
        assert!(begun.elapsed() >= Duration::from_millis(19));
        fs::write(register.join("paused"), "").expect("written");
        let seen = changes.wait(Duration::from_secs(20), false);
        assert!(seen.register && seen.agents.is_empty());
        let seen = changes.wait(Duration::from_secs(20), true);
        assert!(!seen.register);
        assert_eq!(changes.take().into_iter().chain(seen.agents).next(), Some(0));
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
