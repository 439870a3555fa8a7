//! `auto`: checkpoints as the work goes on, by the agents' own hooks, or by the one watcher of a user.

#[path = "auto/hooked.rs"]
mod hooked;
#[path = "auto/scene.rs"]
mod scene;
#[path = "auto/survives.rs"]
mod survives;
#[path = "auto/watched.rs"]
mod watched;
