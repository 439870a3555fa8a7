//! Named points where a test may end the process or make a disk fail, to prove that nothing is left half done.
//!
//! In release builds these functions are empty. In debug builds `arm` takes what the environment variable
//! `SAMESESSION_FAULT` says: `NAME=kill`, or `NAME=full` for "no space left on device"; `NAME#3` is the third visit.

use std::io;

/// Every point there is: a crash test walks this list, so that a new point cannot be forgotten.
pub const POINTS: &[&str] = &[
    "checkpoint.sealed",
    "checkpoint.renamed",
    "restore.staging",
    "restore.staged",
    "restore.journalled",
    "restore.backed-up",
    "restore.placed",
    "restore.all-placed",
    "restore.committed",
    "restore.settled",
];

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Fault {
        name: String,
        kill: bool,
        visits_left: AtomicUsize,
    }

    static FAULT: OnceLock<Fault> = OnceLock::new();

    pub fn arm(text: &str) {
        let (point, action) = text.split_once('=').unwrap_or((text, "kill"));
        let (name, visit) = point.split_once('#').unwrap_or((point, "1"));
        let visits_left = AtomicUsize::new(visit.parse().unwrap_or(1));
        let _ = FAULT.set(Fault { name: name.to_owned(), kill: action == "kill", visits_left });
    }

    pub fn visit(name: &str) -> std::io::Result<()> {
        let Some(fault) = FAULT.get().filter(|fault| fault.name == name) else { return Ok(()) };
        if fault.visits_left.fetch_sub(1, Ordering::Relaxed) != 1 {
            return Ok(());
        }
        if fault.kill {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
        Err(std::io::ErrorKind::StorageFull.into())
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
