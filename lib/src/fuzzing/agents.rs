//! What agents have written, and what their hooks say; the settings files that are edited.

use std::fs;
use std::path::Path;

use super::{fixture, texts};
use crate::agent::claude::Claude;
use crate::agent::codex::Codex;
use crate::agent::hooks::{self, Call};
use crate::agent::{Agent, Home, Incoming, StagedFile};
use crate::flow::placed;
use crate::hook::{Reach, json, script, settings as entries, toml as keys};
use crate::id::NativeId;
use crate::path::RelPath;

const CLAUDE: &str = "aaaaaaaa-0001-4000-8000-000000000001";
const CODEX: &str = "01a1fc46-14ce-7500-867f-3e8961b3c90d";
const ROLLOUT: &str = "sessions/2026/11/21/rollout-2026-11-21T04-03-33-01a1fc46-14ce-7500-867f-3e8961b3c90d.jsonl";

/// A home with this file: listed, looked into, and taken for one that comes in.
fn look(agent: &dyn Agent, native: &str, name: &str, bytes: &[u8], more: &[(&str, &[u8])]) {
    let dir = tempfile::tempdir().expect("a directory");
    let home = Home { root: dir.path().to_owned(), databases: dir.path().to_owned() };
    let put = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(&path, bytes).expect("written");
        path
    };
    more.iter().for_each(|(name, bytes)| drop(put(name, bytes)));
    let path = put(name, bytes);
    let native = NativeId::parse(native).expect("an id");
    for session in placed::discover(agent, &home).expect("others are not in its way").sessions {
        let _ = agent.artifacts(&home, &session);
        let _ = agent.at_work(&home, &session);
    }
    let _ = agent.find(&home, &native);
    let _ = agent.last_prompt(&path, bytes.len() as u64);
    let rel = RelPath::from_text(&format!("session/{name}")).expect("a name");
    let role = agent.role(&native, &RelPath::from_text(name).expect("a name")).expect("its own");
    let files = [StagedFile { name: rel.strip_prefix("session").expect("below"), role, staged: path }];
    let incoming = Incoming { native: &native, cwd: dir.path(), files: &files };
    if agent.check(&incoming).is_ok() {
        let _ = agent.place(&home, &incoming);
        let _ = agent.caution(&incoming, Path::new("/nowhere"));
        let _ = agent.obstacle(&home, &incoming);
    }
    let _ = agent.verify(&home, &native, dir.path());
}

pub fn claude(bytes: &[u8]) {
    look(&Claude, CLAUDE, &format!("projects/-w/{CLAUDE}.jsonl"), bytes, &[]);
}

pub fn claude_seeds() -> Vec<Vec<u8>> {
    let dir = "claude-2.1.197/.claude/projects/-home-dev-src-demo-app-one";
    vec![
        fixture(&format!("{dir}/{CLAUDE}.jsonl")),
        fixture(&format!("{dir}/aaaaaaaa-0003-4000-8000-000000000003.jsonl")),
        fixture("claude-2.1.329/.claude/projects/-home-dev-src-demo-app-one/aaaaaaaa-0004-4000-8000-000000000004.jsonl"),
    ]
}

pub fn codex(bytes: &[u8]) {
    let packed = bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    let name = if packed { format!("{ROLLOUT}.zst") } else { ROLLOUT.to_owned() };
    look(&Codex, CODEX, &name, bytes, &[]);
}

pub fn codex_seeds() -> Vec<Vec<u8>> {
    let others = ["sessions/2026/11/21/rollout-2026-11-21T04-03-34-01a1fc46-1703-74c0-b4b3-1800beaf2b0d.jsonl", ROLLOUT];
    let mut all: Vec<Vec<u8>> = others.iter().map(|name| fixture(&format!("codex-0.169.0/.codex/{name}"))).collect();
    all.push(zstd::encode_all(&all[1][..], 3).expect("packed"));
    all
}

/// The shared list of names, and the settings that are only read.
pub fn names(bytes: &[u8]) {
    let rollout = fixture(&format!("codex-0.169.0/.codex/{ROLLOUT}"));
    look(&Codex, CODEX, ROLLOUT, &rollout, &[("session_index.jsonl", bytes), ("config.toml", bytes), ("history.jsonl", bytes)]);
}

pub fn names_seeds() -> Vec<Vec<u8>> {
    let one = format!("{{\"id\":\"{CODEX}\",\"thread_name\":\"a name\",\"updated_at\":\"2026-11-21T04:03:33Z\"}}\n");
    vec![one.repeat(2).into_bytes(), fixture("codex-0.169.0/.codex/config.toml")]
}

pub fn payload(bytes: &[u8]) {
    for call in [Call::parse(bytes), Codex.hook_call("Stop", bytes), Codex.hook_call(hooks::NOTIFY, bytes)].into_iter().flatten() {
        assert!(call.cwd.is_absolute() && NativeId::parse_uuid(call.native.as_str()).is_ok());
        // Not every path is text; one that came as JSON is.
        assert_eq!(Call::parse(&call.to_json()), Some(call));
    }
    let context = hooks::context("SessionStart", &String::from_utf8_lossy(bytes));
    assert!(serde_json::from_str::<serde_json::Value>(&context).is_ok());
}

pub fn payload_seeds() -> Vec<Vec<u8>> {
    texts([
        "{\"session_id\":\"aaaaaaaa-0001-4000-8000-000000000001\",\"transcript_path\":\"/h/x.jsonl\",\"cwd\":\"/w\",\"hook_event_name\":\"Stop\"}",
        "{\"type\":\"agent-turn-complete\",\"thread-id\":\"01a1fc46-14ce-7500-867f-3e8961b3c90d\",\"turn-id\":\"1\",\"cwd\":\"/w\"}",
    ])
}

pub fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = json::parse(&text);
    let _ = entries::installed(&text);
    let Ok(with) = entries::with(&text, "claude", &["Stop", "SessionStart"], Reach::Stores) else { return };
    assert!(serde_json::from_str::<serde_json::Value>(&with).is_ok(), "{with}");
    let installed = entries::installed(&with).expect("it was read before");
    assert!(["Stop", "SessionStart"].iter().all(|event| installed.iter().any(|one| one == event)), "{with}");
    let without = entries::without(&with).expect("it was read before");
    assert!(serde_json::from_str::<serde_json::Value>(&without).is_ok(), "{without}");
    assert_eq!(entries::installed(&without), Ok(Vec::new()), "{without}");
}

pub fn settings_seeds() -> Vec<Vec<u8>> {
    let ours = entries::with("{\n  \"model\": \"x\"\n}\n", "claude", &["Stop"], Reach::Stores).expect("written");
    let theirs = "{\"hooks\": {\"Stop\": [{\"matcher\": \"*\", \"hooks\": [{\"type\": \"command\", \"command\": \"x\"}]}], \"Other\": []}}";
    texts(["{}", "", &ours, theirs, "{\"hooks\":{}}", "[1, 2]"])
}

pub fn toml(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let command = "git-samesession hook run codex notify";
    let Ok(found) = keys::find(&text) else { return };
    let with = keys::with(&text, command).expect("it was read before");
    match found {
        keys::Found::Nothing => {
            assert_eq!(keys::find(&with), Ok(keys::Found::Ours), "{with}");
            assert_eq!(keys::without(&with).as_deref(), Ok(&*text), "as it was");
        }
        // Of another time, it is replaced: once, and by nothing that stays.
        keys::Found::Ours => {
            assert_eq!((keys::find(&with), keys::with(&with, command).as_deref()), (Ok(keys::Found::Ours), Ok(&*with)), "{with}");
            assert_eq!(keys::without(&with), keys::without(&text), "{with}");
        }
        keys::Found::Theirs => assert_eq!(with, text),
    }
}

pub fn toml_seeds() -> Vec<Vec<u8>> {
    let ours = keys::with("model = \"x\"\n", "git-samesession hook run codex notify").expect("written");
    let all =
        texts([&ours, "notify = [\"a\", \"b\"] # x\n[t]\n", "a = \"\"\"\nnotify = 1\n\"\"\"\n", "x = [1,\n 2]\n[notify]\n", "a = 'b\\'\n"]);
    [all, vec![fixture("codex-0.169.0/.codex/config.toml")]].concat()
}

fn pushed(global: bool) -> script::Call<'static> {
    script::Call { hook: "pre-push", global, only_with: if global { &[] } else { &["CLAUDE_CODE_SESSION_ID"] } }
}

pub fn script(bytes: &[u8]) {
    let (_, _) = (script::kind(bytes), script::without(bytes));
    if let Some(with) = script::with(bytes, &pushed(false)) {
        assert_ne!(script::kind(&with), script::Kind::Theirs);
        if script::kind(bytes) == script::Kind::Theirs {
            assert_eq!(script::without(&with).as_deref(), Some(bytes), "as it was");
        }
    }
}

pub fn script_seeds() -> Vec<Vec<u8>> {
    let ours = script::own(&pushed(true));
    let shared = script::with(b"#!/bin/bash\nset -e\nexec lint \"$@\"\n", &pushed(false)).expect("a script");
    [texts([&ours, "#!/bin/sh\n", "#!/usr/bin/env python3\nx\n"]), vec![shared]].concat()
}
