//! Waiting for an agent to come to the end of its turn.
//!
//! A session that is cut in the middle of a turn goes on here with the rest of it, and every way back is a divergence.

use std::time::{Duration, Instant};

use super::select::Selected;
use super::{Error, placed};
use crate::progress;

const LOOK: Duration = Duration::from_millis(100);
/// Agents write a few records more when the answer is complete.
const QUIET: Duration = Duration::from_millis(1000);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nobody has the session open, or whoever has is waiting for its user.
    Over,
    /// It was not over in time.
    Open,
    /// A program has it open, and does not say what it does.
    Unknown,
}

/// Where nothing can be told, the end of the program is waited for. `waiting` hears it once, if there is anything to wait for.
pub fn wait(selected: &mut Selected, bound: Duration, waiting: &mut dyn FnMut()) -> Result<Turn, Error> {
    let (agent, home) = (selected.agent, selected.home.clone());
    let begun = Instant::now();
    let (mut told, mut still): (bool, Option<(u64, Instant)>) = (false, None);
    loop {
        let live = agent.live(&home, &selected.session.native).is_some();
        let at_work = if live { agent.at_work(&home, &selected.session) } else { Some(false) };
        let size = std::fs::metadata(&selected.session.transcript).map_or(0, |meta| meta.len());
        match at_work {
            // What was never seen at work needs no settling.
            Some(false) if !told => return Ok(Turn::Over),
            Some(false) => match still {
                Some((before, since)) if before == size && since.elapsed() >= QUIET => break,
                Some((before, _)) if before == size => {}
                _ => still = Some((size, Instant::now())),
            },
            _ => still = None,
        }
        if begun.elapsed() >= bound {
            return Ok(if at_work.is_none() { Turn::Unknown } else { Turn::Open });
        }
        if !std::mem::replace(&mut told, true) {
            waiting();
        }
        std::thread::sleep(LOOK);
        if progress::interrupted() {
            return Err(Error::Interrupted);
        }
    }
    let found = placed::find(agent, &home, &selected.session.native)?;
    if let Some(session) = found.into_iter().find(|place| place.transcript == selected.session.transcript) {
        selected.session = session;
    }
    Ok(Turn::Over)
}
