//! Named points where a test may end the process or make a disk fail, to prove that nothing is left half done.
//!
//! In release builds these functions are empty. In debug builds `arm` takes what the environment variable
//! `SAMESESSION_FAULT` says: `NAME=kill`, `NAME=full` for "no space left on device", or `NAME=pause:FILE` to make FILE and
//! wait until somebody removes it; `NAME#3` is the third visit, and several faults are separated by a comma.

use std::io;

/// Every point there is: a crash test walks this list, so that a new point cannot be forgotten.
pub const POINTS: &[&str] = &[
    "capture.opened",
    "capture.read",
    "checkpoint.sealed",
    "checkpoint.renamed",
    "commit.folded",
    "commit.packed",
    "commit.referenced",
    "join.packed",
    "join.referenced",
    "carry.packed",
    "replace.packed",
    "replace.sent",
    "replace.referenced",
    "pack.placed",
    "lease.packed",
    "publish.begun",
    "publish.sent",
    "push.begun",
    "push.sent",
    "push.joined",
    "push.done",
    "restore.staging",
    "restore.staged",
    "restore.planned",
    "restore.journalled",
    "restore.backed-up",
    "restore.placed",
    "restore.copied",
    "restore.all-placed",
    "restore.committed",
    "restore.settled",
    "restore.undone",
    "restore.forgotten",
    "workspace.packed",
    "workspace.kept",
    "workspace.cleared",
    "workspace.made",
    "workspace.indexed",
    "workspace.filled",
    "workspace.headed",
    "workspace.rebuilt",
    "workspace.removed",
    "tidy.copied",
    "tidy.packed",
    "tidy.removing",
    "device.sealed",
    "device.exchanged",
];

#[cfg(debug_assertions)]
mod armed {
    use std::path::{Path, PathBuf};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    enum Action {
        Kill,
        Full,
        Pause(PathBuf),
    }

    struct Fault {
        name: String,
        action: Action,
        visits_left: AtomicUsize,
    }

    static FAULTS: OnceLock<Vec<Fault>> = OnceLock::new();

    pub fn arm(text: &str) {
        let fault = |text: &str| {
            let (point, action) = text.split_once('=').unwrap_or((text, "kill"));
            let (name, visit) = point.split_once('#').unwrap_or((point, "1"));
            let action = match action.split_once(':') {
                Some(("pause", file)) => Action::Pause(file.into()),
                _ if action == "kill" => Action::Kill,
                _ => Action::Full,
            };
            Fault { name: name.to_owned(), action, visits_left: AtomicUsize::new(visit.parse().unwrap_or(1)) }
        };
        let _ = FAULTS.set(text.split(',').map(fault).collect());
    }

    pub fn visit(name: &str) -> std::io::Result<()> {
        for fault in FAULTS.get().into_iter().flatten().filter(|fault| fault.name == name) {
            if fault.visits_left.fetch_sub(1, Ordering::Relaxed) != 1 {
                continue;
            }
            match &fault.action {
                Action::Kill => drop(rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)),
                Action::Pause(file) => pause(file)?,
                Action::Full => return Err(std::io::ErrorKind::StorageFull.into()),
            }
        }
        Ok(())
    }

    fn pause(file: &Path) -> std::io::Result<()> {
        std::fs::write(file, "")?;
        while file.exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Ok(())
    }
}

#[cfg(debug_assertions)]
pub use armed::arm;

#[cfg(not(debug_assertions))]
pub fn arm(_: &str) {}

pub fn point(name: &'static str) -> io::Result<()> {
    debug_assert!(POINTS.contains(&name), "fault point {name} is not in the list");
    #[cfg(debug_assertions)]
    armed::visit(name)?;
    Ok(())
}
