//! The real agents, driven against a stand-in for their model: first the drivers themselves, then our program between
//! two computers. Skipped, and loudly, unless `SAMESESSION_TEST_TOOLS` names a directory with the agents.

mod support;

#[path = "agents/auto.rs"]
mod auto;
#[path = "agents/away.rs"]
mod away;
#[path = "agents/circle.rs"]
mod circle;
#[path = "agents/claude.rs"]
mod claude;
#[path = "agents/codex.rs"]
mod codex;
#[path = "agents/commits.rs"]
mod commits;
#[path = "agents/drivers.rs"]
mod drivers;
#[path = "agents/forked.rs"]
mod forked;
#[path = "agents/git_alone.rs"]
mod git_alone;
#[path = "agents/hooks.rs"]
mod hooks;
#[path = "agents/live.rs"]
mod live;
#[path = "agents/scene.rs"]
mod scene;
#[path = "agents/versions.rs"]
mod versions;
#[path = "agents/worktree.rs"]
mod worktree;
