//! Hooks: checkpoints that nobody has asked for, and everything that they must not be in the way of.

#[path = "hooks/agents.rs"]
mod agents;
#[path = "hooks/beside.rs"]
mod beside;
#[path = "hooks/linking.rs"]
mod linking;
#[path = "hooks/scene.rs"]
pub mod scene;
#[path = "hooks/survives.rs"]
mod survives;
#[path = "hooks/worker.rs"]
mod worker;
