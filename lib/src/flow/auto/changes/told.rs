//! Linux tells what happens in directories: two queues, since the register is heard also while shelves are let be.
//!
//! What must stay true: a directory that comes to be is listened to before it is looked into, so that nothing falls between;
//! an overflow of the queue counts as a change of everything.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use super::{Seen, Shelf};

/// Each costs the kernel a kilobyte. What is beyond is looked at instead.
const MOST: usize = 4096;

pub struct Told {
    register: OwnedFd,
    shelves: OwnedFd,
    dirs: HashMap<i32, Dir>,
}

struct Dir {
    agent: usize,
    path: PathBuf,
    depth: usize,
}

impl Told {
    pub fn new(register: &[PathBuf]) -> io::Result<Told> {
        let flags = CreateFlags::NONBLOCK | CreateFlags::CLOEXEC;
        let told = Told { register: inotify::init(flags)?, shelves: inotify::init(flags)?, dirs: HashMap::new() };
        let entries = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        for dir in register {
            inotify::add_watch(&told.register, dir, entries | WatchFlags::ONLYDIR)?;
        }
        Ok(told)
    }

    /// Whether all of it is told of from now on.
    pub fn add(&mut self, shelf: &Shelf) -> bool {
        self.listen(shelf.agent, &shelf.root, shelf.depth)
    }

    pub fn knows(&self, root: &Path) -> bool {
        self.dirs.values().any(|dir| dir.path == root)
    }

    fn listen(&mut self, agent: usize, path: &Path, depth: usize) -> bool {
        let events = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        if self.dirs.len() >= MOST {
            return false;
        }
        let Ok(number) = inotify::add_watch(&self.shelves, path, events | WatchFlags::ONLYDIR) else { return false };
        self.dirs.insert(number, Dir { agent, path: path.to_owned(), depth });
        if depth == 0 {
            return true;
        }
        let below = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let below: Vec<PathBuf> = below.filter(|path| path.is_dir()).collect();
        let missed = below.iter().filter(|path| !self.listen(agent, path, depth - 1)).count();
        missed == 0
    }

    pub fn wait(&mut self, timeout: Duration, shelves: bool, seen: &mut Seen) {
        let timeout = Timespec::try_from(timeout).ok();
        let (register, also) = (PollFd::new(&self.register, PollFlags::IN), PollFd::new(&self.shelves, PollFlags::IN));
        // A signal is no change, and whoever waits looks at the clock anyway.
        let _ = if shelves { poll(&mut [register, also], timeout.as_ref()) } else { poll(&mut [register], timeout.as_ref()) };
        each(&self.register, |_, _, _| seen.register = true);
        if shelves {
            self.drain_shelves(seen);
        }
    }

    pub fn drain_shelves(&mut self, seen: &mut Seen) {
        let mut come = Vec::new();
        let dirs = &mut self.dirs;
        each(&self.shelves, |number, events, name| {
            if events.contains(ReadFlags::QUEUE_OVERFLOW) {
                seen.agents.extend(dirs.values().map(|dir| dir.agent));
                // Directories may have come to be of which nobody will hear.
                come.extend(dirs.values().map(|dir| (dir.agent, dir.path.clone(), dir.depth)));
                return;
            }
            let Some(dir) = dirs.get(&number) else { return };
            seen.agents.insert(dir.agent);
            if events.contains(ReadFlags::ISDIR) && dir.depth > 0 {
                come.extend(name.map(|name| (dir.agent, dir.path.join(name), dir.depth - 1)));
            }
            if events.intersects(ReadFlags::IGNORED | ReadFlags::MOVE_SELF) {
                dirs.remove(&number);
            }
        });
        for (agent, path, depth) in come {
            self.listen(agent, &path, depth);
        }
    }
}

fn each(queue: &OwnedFd, mut told: impl FnMut(i32, ReadFlags, Option<&Path>)) {
    use std::os::unix::ffi::OsStrExt;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = Reader::new(queue, &mut buffer);
    while let Ok(event) = reader.next() {
        let name = event.file_name().map(|name| Path::new(std::ffi::OsStr::from_bytes(name.to_bytes())));
        told(event.wd(), event.events(), name);
    }
}
