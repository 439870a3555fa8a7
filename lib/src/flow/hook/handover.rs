//! What was asked for inside a turn and can only be done when the turn has ended: a hand-over, registered by `move` in an
//! agent's own tool call.
//!
//! The place, not yet the thing: `move` will register under the queue's directory, and this carries it out. It is called in
//! the background, holding the session, before the checkpoint that every end of a turn brings.

use crate::agent::Session;
use crate::flow::Error;
use crate::flow::ledger::Ledger;

/// What has become of a hand-over of this session, in one line for the log; `None` where none was registered. An error
/// leaves it registered, and the checkpoint is made all the same.
pub fn carry_out(_ledger: &Ledger<'_>, _session: &Session) -> Result<Option<String>, Error> {
    Ok(None)
}
