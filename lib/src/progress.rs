//! How far a flow has come, told to whoever wants to know, and whether it should stop.
//!
//! The library only tells; what is shown, and whether anything is, is decided by the binary.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

pub trait Progress: Sync {
    /// A new stage begins; `total` in bytes, where it is known.
    fn stage(&self, what: &str, total: Option<u64>);
    fn advance(&self, bytes: u64);
    /// One line that the user should see even if nothing else is shown.
    fn note(&self, text: &str);
}

pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn note(&self, _: &str) {}
}

static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Loops that could leave temporary files behind ask this once per chunk.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// For whoever catches signals.
pub fn interrupt_flag() -> Arc<AtomicBool> {
    Arc::clone(&INTERRUPTED)
}
