//! The workspace that goes with a session, as its users meet it: two machines, a bare remote between them, and what was
//! left in one work tree found again in another.

mod again;
mod arriving;
mod config;
mod crash;
mod home;
mod hostile;
mod kinds;
mod operations;
mod property;
mod random;
mod repositories;
pub mod scene;
pub mod seen;
mod submodules;
mod undo;
