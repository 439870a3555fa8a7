//! What a process that held secrets leaves behind when it dies: no memory on disk, and no words made of what it held.
//!
//! Knows nothing of what is secret. What must stay true: programs that we start in the user's name have the user's own
//! limits, not ours.

use std::any::Any;
use std::io;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit that we were started with.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// No core dump of this process from now on. What it starts inherits the limit, but for what `as_before` starts.
pub fn no_core() -> io::Result<()> {
    let before = getrlimit(Resource::Core);
    let none = Rlimit { current: Some(0), ..before };
    let _ = BEFORE.set(before);
    setrlimit(Resource::Core, none)?;
    // The limit means nothing where cores go through a pipe to a program; this holds there, and ends with the next exec.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Starts something with the limit that we were started with.
pub fn as_before<T>(start: impl FnOnce() -> T) -> T {
    let Some(before) = BEFORE.get() else { return start() };
    let _ = setrlimit(Resource::Core, *before);
    let started = start();
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..*before });
    started
}

/// What is said of a panic: where it was, and its words if they stand in the program. Those that were made on the way may
/// hold anything; that a string was cut in the middle of a letter, for one, is said with the string.
pub fn said_of(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map_or_else(String::new, |place| format!(" at {}:{}", place.file(), place.line()));
    format!("this is a bug in git-samesession: {}{place}", words(panic.payload()))
}

fn words(payload: &dyn Any) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("a panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_were_made_on_the_way_are_not_said() {
        let secret = "AGE-SECRET-KEY-1\u{e9}".to_owned();
        let made = std::panic::catch_unwind(|| secret[..17].len()).expect_err("it is cut within a letter");
        assert!(made.downcast_ref::<String>().is_some_and(|words| words.contains("AGE-SECRET-KEY")), "or this shows nothing");
        assert_eq!(words(&*made), "a panic");
        let ours = std::panic::catch_unwind(|| panic!("it must hold")).expect_err("it panics");
        assert_eq!(words(&*ours), "it must hold");
    }
}
