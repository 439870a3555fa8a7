//! Credentials, settings and other people's words stay at home: canaries in every place where agents keep them, and the
//! plaintext of every capsule searched for them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use samesession::agent;
use samesession::id::NativeId;
use samesession::path::RelPath;

use crate::support::forge::unseal;
use crate::support::sandbox::{CLAUDE, CLAUDE_RICH, CODEX, CODEX_FORK, Machine, Ran, Sandbox};

const CANARY: &str = "cAnArY-4f1c";
const OTHER: &str = "eeeeeeee-0001-4000-8000-000000000001";

struct Aviary {
    machine: Machine,
    claude: PathBuf,
    planted: usize,
}

impl Aviary {
    fn plant(&mut self, file: impl AsRef<Path>, around: (&str, &str)) {
        let file = file.as_ref();
        fs::create_dir_all(file.parent().expect("in a home")).expect("made");
        let canary = format!("{CANARY}-{}", self.planted);
        fs::write(file, format!("{}{canary}{}", around.0, around.1)).expect("planted");
        self.planted += 1;
    }

    /// Every place of which it is known, or easily imagined, that it holds a secret or a stranger's words.
    fn plant_everywhere(&mut self) {
        let (home, claude, codex) = (self.machine.home.clone(), self.claude.clone(), self.machine.codex());
        let json = ("{\"token\": \"", "\"}\n");
        let shell = ("export TOKEN=", "\n");
        for name in [".credentials.json", ".claude.json", "settings.json", "settings.local.json", ".mcp.json", "remote-settings.json"] {
            self.plant(claude.join(name), json);
        }
        for name in ["policy-limits.json", "plugins/config.json", "plugins/repos/x/.mcp.json", "statsig/x", "debug/x.txt", "cache/x"] {
            self.plant(claude.join(name), json);
        }
        for name in ["backups/.claude.json.backup.1", "ide/1.lock", "telemetry/x.json", "paste-cache/x.txt", "usage-data/x.json"] {
            self.plant(claude.join(name), json);
        }
        self.plant(claude.join("history.jsonl"), ("{\"display\": \"", "\", \"sessionId\": \"aaaaaaaa-0001-4000-8000-000000000001\"}\n"));
        for id in [CLAUDE, CLAUDE_RICH] {
            self.plant(claude.join("session-env").join(id).join("hook-0.sh"), shell);
            self.plant(claude.join("security").join(format!("{id}.json")), json);
            self.plant(claude.join("tasks").join(id).join(".lock"), shell);
        }
        self.plant(claude.join("sessions/1.key"), ("", ""));
        self.plant(
            claude.join("sessions/999999.json"),
            ("{\"pid\": 999999, \"sessionId\": \"aaaaaaaa-0001-4000-8000-000000000001\", \"key\": \"", "\"}"),
        );
        self.plant(claude.join("sessions/999998.json"), ("{\"pid\": \"", "\"}"));
        self.plant(claude.join("shell-snapshots/snapshot-bash-1.sh"), shell);
        self.plant(claude.join("CLAUDE.md"), ("", "\n"));
        self.plant(claude.join("commands/x.md"), ("", "\n"));
        self.plant(claude.join("file-history").join(OTHER).join("x@v1"), shell);
        self.plant(claude.join("tasks").join(OTHER).join("1.json"), json);
        self.plant(claude.join("todos").join(format!("{OTHER}-agent-{OTHER}.json")), json);
        let project = claude.join("projects").join(self.machine.claude_project().file_name().expect("a name"));
        self.plant(project.join("memory/MEMORY.md"), ("", "\n"));
        self.plant(project.join(OTHER).join("tool-results/x.txt"), shell);
        self.plant(
            project.join("agent-beef.jsonl"),
            ("{\"type\": \"user\", \"sessionId\": \"eeeeeeee-0001-4000-8000-000000000001\", \"x\": \"", "\"}\n"),
        );
        self.plant(project.join("settings.local.json"), json);

        for name in ["auth.json", ".credentials.json", "hooks.json", "version.json", "models_cache.json", "mcp-oauth.json"] {
            self.plant(codex.join(name), json);
        }
        self.plant(codex.join("config.toml"), ("[mcp_servers.x.env]\nTOKEN = \"", "\"\n"));
        self.plant(codex.join(".env"), ("TOKEN=", "\n"));
        self.plant(codex.join("history.jsonl"), ("{\"session_id\": \"01a1fc46-14ce-7500-867f-3e8961b3c90d\", \"text\": \"", "\"}\n"));
        self.plant(codex.join("installation_id"), ("", ""));
        self.plant(codex.join("session_index.jsonl"), ("{\"id\": \"eeeeeeee-0001-4000-8000-000000000001\", \"thread_name\": \"", "\"}\n"));
        for name in ["state_5.sqlite", "state_5.sqlite-wal", "logs_2.sqlite", "memories_1.sqlite", "thread_history_1.sqlite"] {
            self.plant(codex.join(name), ("", ""));
        }
        for name in ["AGENTS.md", "rules/default.rules", "log/codex-tui.log", "shell_snapshots/x.sh", "memories/x.md", "prompts/x.md"] {
            self.plant(codex.join(name), ("", "\n"));
        }
        self.plant(codex.join("sessions/2026/11/21/notes.txt"), ("", "\n"));

        for name in [
            ".claude.json",
            ".gemini/oauth_creds.json",
            ".gemini/google_accounts.json",
            ".qwen/oauth_creds.json",
            ".copilot/config.json",
            ".config/github-copilot/apps.json",
            ".local/share/opencode/auth.json",
            ".cursor/mcp.json",
            ".config/goose/secrets.yaml",
            ".aider.conf.yml",
            ".continue/config.json",
            ".aws/credentials",
            ".netrc",
            ".git-credentials",
            ".npmrc",
            ".ssh/config",
            ".local/share/keyrings/login.keyring",
            ".config/gh/hosts.yml",
        ] {
            self.plant(home.join(name), json);
        }
        for name in [".env", ".mcp.json", ".claude/settings.local.json", ".codex/config.toml", ".vscode/mcp.json", ".git/config"] {
            self.plant(self.machine.cwd.join(name), json);
        }
        self.link(&project);
    }

    /// What a link in the session's own directories points to is not the session's.
    fn link(&mut self, project: &Path) {
        let own = project.join(CLAUDE_RICH);
        let secret = self.machine.home.join(".netrc");
        symlink(&secret, own.join("tool-results/linked.txt")).expect("linked");
        symlink(&secret, self.claude.join("file-history").join(CLAUDE_RICH).join("linked@v1")).expect("linked");
        symlink(self.machine.home.join(".ssh"), own.join("subagents/linked")).expect("linked");
        symlink(self.claude.join("shell-snapshots"), own.join("linked")).expect("linked");
    }
}

fn has_canary(bytes: &[u8]) -> Option<String> {
    let at = bytes.windows(CANARY.len()).position(|part| part.eq_ignore_ascii_case(CANARY.as_bytes()))?;
    Some(String::from_utf8_lossy(&bytes[at.saturating_sub(600)..(at + 60).min(bytes.len())]).into_owned())
}

#[track_caller]
fn says_nothing(what: &str, ran: Ran) -> Ran {
    for output in [&ran.0.stdout, &ran.0.stderr] {
        if let Some(found) = has_canary(output) {
            panic!("{what}: {found}");
        }
    }
    ran
}

#[track_caller]
fn nothing_leaves(mut aviary: Aviary) {
    aviary.machine.init();
    aviary.plant_everywhere();
    assert!(aviary.planted > 80, "{}", aviary.planted);
    let machine = &aviary.machine;
    let sessions: Vec<String> = machine.json(["sessions", "--all", "--helpers"])["sessions"]
        .as_array()
        .expect("sessions")
        .iter()
        .map(|row| row["native_id"].as_str().expect("an id").to_owned())
        .collect();
    for known in [CLAUDE, CLAUDE_RICH, CODEX, CODEX_FORK] {
        assert!(sessions.iter().any(|id| id == known), "{known} is not among {sessions:?}");
    }
    for id in &sessions {
        let capsule = machine.seal(id, machine);
        let plain = unseal(&capsule, machine);
        assert!(plain.len() > 1024 && plain.windows(id.len()).any(|part| part == id.as_bytes()), "{id}: that is no capsule");
        if let Some(found) = has_canary(&plain) {
            panic!("{id} took a canary along: {found}");
        }
        for json in [None, Some("--json")] {
            let with = |args: &[&str]| -> Vec<String> { args.iter().copied().chain(json).map(str::to_owned).collect() };
            let file = capsule.to_str().expect("UTF-8");
            says_nothing("show", machine.run(with(&["show", id]))).ok();
            says_nothing("checkpoint", machine.run(with(&["checkpoint", id, "--dry-run"]))).ok();
            says_nothing("checkpoint", machine.run(with(&["checkpoint", id, "--force", "-o", file]))).ok();
            says_nothing("inspect", machine.run(with(&["inspect", file]))).ok();
            says_nothing("restore", machine.run(with(&["restore", "--dry-run", file])));
            says_nothing("restore", machine.run(with(&["restore", file])));
        }
    }
    for args in [&["sessions", "--all"][..], &["sessions", "--all", "--json"], &["doctor"], &["doctor", "--json"], &["device", "show"]] {
        says_nothing(&args.join(" "), machine.run(args));
    }
    assert_eq!(has_canary(format!("x{CANARY}-1").as_bytes()), Some(format!("x{CANARY}-1")), "the search finds what is there");
}

#[test]
fn no_canary_leaves_the_agents_usual_homes() {
    let sandbox = Sandbox::new();
    let machine = sandbox.machine("laptop");
    machine.with_claude().with_codex();
    nothing_leaves(Aviary { claude: machine.claude(), machine, planted: 0 });
}

#[test]
fn no_canary_leaves_a_home_that_was_moved() {
    let sandbox = Sandbox::new();
    let machine = sandbox.machine("laptop");
    machine.with_claude().with_codex();
    let claude = machine.home.join("agents/claude");
    fs::create_dir_all(claude.parent().expect("a parent")).expect("made");
    fs::rename(machine.claude(), &claude).expect("moved");
    let machine = machine.env("CLAUDE_CONFIG_DIR", &claude).env("CODEX_HOME", machine.codex());
    nothing_leaves(Aviary { claude, machine, planted: 0 });
}

/// What the agents themselves say never leaves is no part of any session, whatever stands below it.
#[test]
fn what_never_leaves_has_no_role() {
    for agent in agent::all() {
        assert!(agent.never_leaves().len() > 8, "{}", agent.name());
        for id in [CLAUDE, CODEX, OTHER] {
            let native = NativeId::parse_uuid(id).expect("a UUID");
            for name in agent.never_leaves() {
                let below = [
                    String::new(),
                    "/x".to_owned(),
                    format!("/{id}"),
                    format!("/{id}.jsonl"),
                    format!("/{id}/x.json"),
                    "/1.key".to_owned(),
                    format!("/rollout-2026-11-21T04-03-33-{id}.jsonl"),
                ];
                // Codex keeps its rollouts in `sessions`, where Claude Code keeps its keys.
                for below in below.iter().filter(|_| !(agent.name() == "codex" && *name == "sessions")) {
                    let path = RelPath::parse(format!("{name}{below}").as_bytes()).expect("a harmless path");
                    assert_eq!(agent.role(&native, &path), None, "{}: {path}", agent.name());
                }
            }
        }
    }
}

/// A key file named by mistake must not come back in a message.
#[test]
fn a_secret_key_given_for_a_public_one_is_not_repeated() {
    let sandbox = Sandbox::new();
    let machine = sandbox.machine("laptop");
    machine.init().with_claude();
    let device = machine.home.join(".config/samesession/device");
    let identity = fs::read_to_string(device.join("identity.txt")).expect("an identity");
    let secret = identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).expect("a secret key");
    let signing = fs::read_to_string(device.join("signing_key")).expect("a key");
    let out = sandbox.path().join("x.capsule");
    let lower = secret.to_lowercase();
    for recipient in [
        device.join("identity.txt").to_str().expect("UTF-8"),
        device.join("signing_key").to_str().expect("UTF-8"),
        secret,
        &lower,
        &signing,
    ] {
        for json in [None, Some("--json")] {
            let recipient = format!("--recipient={recipient}");
            let args = ["checkpoint", CLAUDE, &recipient, "-o", out.to_str().expect("UTF-8")];
            let ran = machine.run(args.into_iter().chain(json));
            let all = (ran.stdout() + &ran.stderr()).to_lowercase();
            assert!(!all.contains(&secret.to_lowercase()[16..26]), "{all}");
            assert!(!all.contains(&signing.lines().nth(1).expect("base64")[..20].to_lowercase()), "{all}");
            assert!(!out.exists());
            if json.is_none() {
                ran.fails(128, "that is a secret key").hints("public half");
            }
        }
    }
}
