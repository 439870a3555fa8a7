//! A session that changes hands, as its users meet it: two machines, a bare remote between them, and one lease.

mod clone;
mod crash;
pub mod launch;
mod own_ways;
mod races;
mod status;
mod story;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::sandbox::Machine;

/// An agent that says one thing and ends: `claude` by name, and of our making. What it does besides stands in `$FAKE`.
const AGENT: &str = r#"#!/bin/sh
id=
for word; do [ "$before" = --resume ] && id=$word; before=$word; done
file=$(ls "$HOME"/.claude/projects/*/"$id".jsonl) || exit 9
mkdir -p "$HOME/.claude/sessions"
marker=$HOME/.claude/sessions/$$.json
ticks() { sed 's/.*) //' "/proc/$$/stat" | cut -d' ' -f20; }
printf '{"pid":%d,"sessionId":"%s","procStart":"%s","status":"busy"}' $$ "$id" "$(ticks)" >"$marker"
printf '{"type":"user","sessionId":"%s","cwd":"%s","message":{"content":"%s"}}\n' "$id" "$PWD" "said by the agent: $*" >>"$file"
eval "$FAKE"
rm -f "$marker"
"#;

impl Machine {
    /// With an agent of our making, which does this besides.
    pub fn with_agent(&self, does: &str) -> Machine {
        let bin = self.home.join("bin");
        fs::create_dir_all(&bin).expect("made");
        fs::write(bin.join("claude"), AGENT).expect("written");
        fs::set_permissions(bin.join("claude"), fs::Permissions::from_mode(0o755)).expect("made executable");
        let path = self.command("true").get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| Some(path?.to_owned()));
        let path = path.expect("a path").into_string().expect("text");
        self.env("PATH", format!("{}:{path}", bin.display())).env("FAKE", does)
    }
}
