//! What signals do to us: normally they ask loops to stop, and while an agent has the terminal they are the agent's.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use samesession::progress;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::failure;

static STOPPING: LazyLock<Mutex<Vec<SigId>>> = LazyLock::new(Mutex::default);

/// Whoever ends an agent by pressing a key twice has meant the agent with both, also if the first one was enough.
const PRESSED_AGAIN: Duration = Duration::from_secs(1);

/// The first signal asks loops to stop, so that nothing half made stays behind; a second one ends the process.
pub fn stop() -> io::Result<()> {
    stop_at(&[SIGINT, SIGTERM, SIGHUP])
}

fn stop_at(signals: &[i32]) -> io::Result<()> {
    let mut ids = Vec::new();
    for &signal in signals {
        ids.push(flag::register_conditional_default(signal, progress::interrupt_flag())?);
        ids.push(flag::register_usize(signal, failure::signal(), signal as usize)?);
        ids.push(flag::register(signal, progress::interrupt_flag())?);
    }
    STOPPING.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
    Ok(())
}

/// The last signal that came, for whoever passes it on; from its making on none of them ends us.
pub struct Caught {
    last: Arc<AtomicUsize>,
    ids: Vec<SigId>,
    /// Those that ask loops to stop again when this is dropped.
    owed: &'static [i32],
}

impl Caught {
    pub fn begin() -> io::Result<Caught> {
        let mut caught = Caught { last: Arc::default(), ids: Vec::new(), owed: &[SIGINT, SIGTERM, SIGHUP] };
        for signal in [SIGINT, SIGQUIT, SIGTERM, SIGHUP] {
            caught.ids.push(flag::register_usize(signal, Arc::clone(&caught.last), signal as usize)?);
        }
        for id in STOPPING.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            low_level::unregister(id);
        }
        Ok(caught)
    }

    pub fn take(&self) -> Option<i32> {
        i32::try_from(self.last.swap(0, Ordering::Relaxed)).ok().filter(|signal| *signal != 0)
    }

    /// The agent has ended: signals are ours again, those of the keyboard in a moment.
    pub fn end(mut self) {
        let _ = stop_at(&[SIGTERM, SIGHUP]);
        self.owed = &[SIGINT];
        thread::spawn(move || {
            thread::sleep(PRESSED_AGAIN);
            drop(self);
        });
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        // What came before belonged to the agent. Without handlers of our own the system's would end us half way.
        let _ = stop_at(self.owed);
        for id in self.ids.drain(..) {
            low_level::unregister(id);
        }
    }
}
