//! What must not leave: secrets stop a checkpoint before anything is written, and the way out is said; files of keys stay.
//!
//! Fake secrets are made here when they are needed: none is written down whole.

use std::fs;
use std::path::Path;

use crate::recipients::{answer, terminal};
use crate::support::clones::{Project, SESSION, session_ref};
use crate::support::forge::unseal;
use crate::support::sandbox::{CLAUDE, CLAUDE_RICH, CODEX, Machine, Ran, Sandbox, snapshot};

/// A token of GitHub's form, another one for each number.
fn token(n: u64) -> String {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(letters[(state >> 20) as usize % letters.len()])
    };
    format!("ghp_{}", (0..36).map(|_| next()).collect::<String>())
}

fn checkpoint(machine: &Machine) -> Ran {
    machine.run_here(["checkpoint", SESSION])
}

/// The id of the one finding that a refusal names.
fn refused(ran: Ran, secret: &str) -> String {
    let ran = ran.fails(1, "a secret would leave").hints("git samesession secrets allow").hints("samesession.secrets warn");
    let told = ran.stderr();
    assert!(!told.contains(&secret[4..]), "{told}");
    let line = told.lines().find(|line| line.contains("GitHub token")).expect("the finding");
    line.split_whitespace().next().expect("an id").to_owned()
}

fn holds(bytes: &[u8], what: &str) -> bool {
    bytes.windows(what.len()).any(|part| part == what.as_bytes())
}

#[test]
fn a_secret_stops_a_checkpoint_before_anything_is_written() {
    let project = Project::new();
    let laptop = project.clone("laptop");
    laptop.say("hello");
    laptop.say(&format!("use {} for it", token(1)));
    let before = snapshot(&laptop.cwd.join(".git"));
    let ran = checkpoint(&laptop);
    let told = ran.stderr();
    assert!(told.contains(".jsonl:2 (message.content)"), "{told}");
    let id = refused(ran, &token(1));
    assert_eq!(snapshot(&laptop.cwd.join(".git")), before, "nothing was written");
    refused(laptop.run_here(["checkpoint", SESSION, "-o", "x.capsule"]), &token(1));
    assert!(!laptop.cwd.join("x.capsule").exists());
    refused(laptop.run_here(["move", SESSION]), &token(1));
    assert_eq!(project.git(["for-each-ref", "refs/samesession"]), "", "nothing was sent");
    let json = laptop.run_here(["checkpoint", SESSION, "--json"]).fails_with(1).json();
    assert_eq!((json["kind"].as_str(), json["secrets"][0]["id"].as_str()), (Some("secrets"), Some(id.as_str())));
    assert!(!json.to_string().contains(&token(1)[6..]));

    laptop.run_here(["secrets", "allow", &id, "--reason", "made for a test"]).ok();
    checkpoint(&laptop).ok();
    let listed = laptop.json(["secrets", "list"]);
    assert_eq!(listed["exceptions"][0]["reason"], "made for a test");
    let scanned = laptop.json(["secrets", "scan", SESSION]);
    assert_eq!((scanned["findings"][0]["id"].as_str(), scanned["findings"][0]["allowed"].as_bool()), (Some(id.as_str()), Some(true)));
    laptop.run_here(["secrets", "forbid", &id]).ok();
    assert!(laptop.json(["secrets", "list"])["exceptions"].as_array().expect("a list").is_empty());
}

/// What cannot be read may say that secrets are to be looked for.
#[test]
fn settings_that_git_cannot_read_are_not_taken_for_none() {
    let sandbox = Sandbox::new();
    let laptop = sandbox.machine("laptop");
    laptop.init().with_claude();
    let nothing = laptop.home.join("x.capsule");
    for (name, value) in [("GIT_CONFIG_COUNT", "x"), ("GIT_CONFIG_GLOBAL", "/")] {
        for args in [vec!["secrets", "list"], vec!["checkpoint", CLAUDE, "-o", nothing.to_str().expect("UTF-8")]] {
            let ran = laptop.env(name, value).run_here(&args);
            assert_eq!(ran.code(), Some(128), "{args:?}: {}", ran.stderr());
            assert!(ran.stderr().contains("config") && !ran.stderr().contains("not in a Git repository"), "{args:?}: {}", ran.stderr());
        }
    }
    assert!(!nothing.exists());
}

#[test]
fn an_exception_goes_with_the_session() {
    let project = Project::new();
    let (laptop, desktop) = (project.clone("laptop"), project.clone("desktop"));
    laptop.say(&format!("use {}", token(2)));
    let id = refused(checkpoint(&laptop), &token(2));
    laptop.run_here(["secrets", "allow", &id, "--reason", "revoked long ago"]).ok();
    laptop.run_here(["checkpoint", SESSION, "-r", &desktop.recipient(), "--push"]).ok();
    desktop.run_here(["fetch", "--trust", &laptop.fingerprint()]).ok();
    desktop.run_here(["restore", SESSION]).ok();
    // The same secret, said once more over there.
    desktop.say(&format!("once more {}", token(2)));
    checkpoint(&desktop).ok();
    desktop.say(&format!("and another {}", token(3)));
    refused(checkpoint(&desktop), &token(3));
}

#[test]
fn what_was_checkpointed_before_blocks_nothing() {
    let project = Project::new();
    let laptop = project.clone("laptop");
    laptop.git(["config", "samesession.secrets", "off"]);
    laptop.say(&format!("use {}", token(4)));
    assert!(checkpoint(&laptop).ok().stderr().is_empty());
    laptop.git(["config", "samesession.secrets", "block"]);
    for n in 0..12 {
        // Small at first, and then with parts of its own, many small ones of which become one.
        laptop.say(&"words and words ".repeat(if n < 3 { 10 } else { 1500 }));
        if n == 2 {
            laptop.say(&"more words ".repeat(1000));
        }
        checkpoint(&laptop).ok();
    }
    laptop.say(&format!("and {}", token(5)));
    refused(checkpoint(&laptop), &token(5));
    laptop.git(["config", "samesession.secrets", "warn"]);
    let told = checkpoint(&laptop).ok().stderr();
    assert!(told.contains("warning: secret") && told.contains("GitHub token") && !told.contains(&token(5)), "{told}");
    laptop.git(["config", "samesession.secrets", "sometimes"]);
    laptop.say("x");
    checkpoint(&laptop).fails(129, "samesession.secrets is 'sometimes'");
}

#[test]
fn secrets_are_found_in_everything_that_travels() {
    let project = Project::new();
    let laptop = project.clone("laptop");
    laptop.say("hello");
    fs::write(laptop.cwd.join("notes.txt"), format!("line\nexport TOKEN={}\n", token(6))).expect("written");
    let ran = checkpoint(&laptop);
    assert!(ran.stderr().contains("workspace/files/notes.txt:2"), "{}", ran.stderr());
    refused(ran, &token(6));
    laptop.run_here(["checkpoint", SESSION, "--session-only"]).ok();
    fs::remove_file(laptop.cwd.join("notes.txt")).expect("gone");
    let own = laptop.claude_project().join(SESSION).join("tool-results");
    fs::create_dir_all(&own).expect("made");
    fs::write(own.join("x.txt"), format!("{}\nPASSWORD=hunter2 and API_KEY=sk-ant-...\n", token(7))).expect("written");
    let ran = checkpoint(&laptop);
    assert!(ran.stderr().contains("tool-results/x.txt:1"), "{}", ran.stderr());
    refused(ran, &token(7));
}

#[test]
fn the_agents_own_fixtures_hold_none() {
    let sandbox = Sandbox::new();
    let machine = sandbox.machine("laptop");
    machine.init().with_claude().with_codex();
    for id in [CLAUDE, CLAUDE_RICH, CODEX] {
        let scanned = machine.json(["secrets", "scan", id]);
        let high = scanned["findings"].as_array().expect("a list").iter().filter(|one| one["confidence"] == "high").count();
        assert_eq!(high, 0, "{scanned}");
        assert!(scanned["bytes"].as_u64() > Some(100));
    }
}

#[test]
fn a_redacted_copy_is_read_and_not_restored() {
    let project = Project::new();
    let laptop = project.clone("laptop");
    laptop.say(&format!("use {} for it", token(8)));
    let ran = laptop.run_here(["checkpoint", SESSION, "-o", "review.capsule", "--redact"]).ok();
    assert!(ran.stdout().contains("1 secret masked"), "{}", ran.stdout());
    laptop.git(["config", "samesession.secrets", "warn"]);
    checkpoint(&laptop).ok();
    laptop.run_here(["export", SESSION, "-o", "export.capsule", "--redact"]).ok();
    laptop.run_here(["export", SESSION, "-o", "whole.capsule"]).ok();
    let has = |name: &str| holds(&unseal(&laptop.cwd.join(name), &laptop), &token(8));
    assert!(has("whole.capsule") && !has("review.capsule") && !has("export.capsule"));
    for name in ["review.capsule", "export.capsule"] {
        laptop.run_here(["inspect", name]).ok();
        let plain = unseal(&laptop.cwd.join(name), &laptop);
        assert!(holds(&plain, "[secret:") && holds(&plain, "\"redacted\"") && holds(&plain, " for it"));
        let before = snapshot(&laptop.claude());
        laptop.run_here(["restore", name]).fails(1, "redacted copy").hints("can be restored");
        laptop.run_here(["import", name]).fails(1, "redacted copy");
        assert_eq!(snapshot(&laptop.claude()), before);
    }
}

#[test]
fn files_of_keys_and_listed_ones_stay_behind() {
    let project = Project::new();
    let laptop = project.clone("laptop");
    laptop.say("hello");
    for (name, text) in [(".env", "A=b\n"), ("server.key", "x\n"), ("notes.txt", "y\n"), ("big.bin", "z\n"), ("keep.bin", "k\n")] {
        fs::write(laptop.cwd.join(name), text).expect("written");
    }
    fs::write(laptop.cwd.join(".samesessionignore"), "# what stays\n*.bin\n!keep.bin\n").expect("written");
    let would = laptop.run_here(["checkpoint", SESSION, "--dry-run"]).ok().stdout();
    for said in ["'.env' looks like a file of keys and stays behind", "'big.bin' is on a list", "workspace/files/notes.txt"] {
        assert!(would.contains(said), "{said}: {would}");
    }
    let travels = |machine: &Machine| -> Vec<String> {
        let rows = machine.json(["checkpoint", SESSION, "--dry-run"])["travels"].as_array().expect("rows").clone();
        let names = rows.iter().map(|row| row["name"].as_str().expect("a name").to_owned());
        names.filter_map(|name| name.strip_prefix("workspace/files/").map(str::to_owned)).collect()
    };
    assert_eq!(travels(&laptop), [".samesessionignore", "keep.bin", "notes.txt"]);
    // Nobody is there to be asked.
    let told = laptop.run(["checkpoint", SESSION]).ok().stdout();
    assert!(told.contains("'server.key' looks like a file of keys and stays behind"), "{told}");
    // Nothing is asked for at home: what stayed behind is there.
    let back = laptop.run_here(["restore", SESSION]).ok();
    assert!(Path::new(&laptop.cwd.join(".env")).exists(), "{}", back.stdout());
    assert_eq!(laptop.git(["worktree", "list"]).lines().count(), 1, "{}", back.stdout());
    laptop.git(["config", "samesession.keyFiles", "take"]);
    assert_eq!(travels(&laptop), [".env", ".samesessionignore", "keep.bin", "notes.txt", "server.key"]);
}

#[test]
fn at_a_terminal_files_of_keys_are_asked_about_once() {
    for (says, config, file) in [("n", "withhold", None), ("y", "take", Some(".env"))] {
        let project = Project::new();
        let laptop = project.clone("laptop");
        fs::write(laptop.cwd.join(".env"), "A=b\n").expect("written");
        laptop.say("hello");
        let args = ["checkpoint".as_ref(), SESSION.as_ref()];
        let Some(screen) = terminal(&laptop, &args) else { return };
        screen.wait_for("look like files of keys");
        answer(&screen, "[y/N]", says);
        screen.wait_for("ended with 0.");
        assert_eq!(laptop.git(["config", "samesession.keyFiles"]).trim(), config);
        laptop.say("once more");
        let screen = terminal(&laptop, &args).expect("a terminal");
        screen.wait_for("ended with 0.");
        assert!(!screen.screen().contains("[y/N]"), "{}", screen.screen());
        laptop.run_here(["export", SESSION, "-o", "x.capsule"]).ok();
        let plain = unseal(&laptop.cwd.join("x.capsule"), &laptop);
        assert_eq!(holds(&plain, "workspace/files/.env").then_some(".env"), file);
    }
}

#[test]
fn what_is_too_large_is_refused_and_what_is_large_is_said() {
    let project = Project::new();
    let laptop = project.clone("laptop");
    laptop.say(&"words ".repeat(1000));
    laptop.git(["config", "samesession.warnSize", "1k"]);
    assert!(checkpoint(&laptop).ok().stderr().contains("larger than 1.0 KiB"));
    laptop.say("x");
    laptop.git(["config", "samesession.maxSize", "2k"]);
    let tip = laptop.git(["rev-parse", &session_ref()]);
    checkpoint(&laptop).fails(1, "2048 are allowed").hints("samesession.maxSize");
    assert_eq!(laptop.git(["rev-parse", &session_ref()]), tip);
    laptop.git(["config", "samesession.maxSize", "much"]);
    checkpoint(&laptop).fails(129, "samesession.maxSize is 'much'");
}
