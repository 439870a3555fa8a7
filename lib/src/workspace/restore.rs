//! A model back into a work tree: a new linked one, or a clean one that is there.
//!
//! What must stay true: everything is checked before anything is written, and everything that is written can be taken
//! back with what `Undo` holds.
