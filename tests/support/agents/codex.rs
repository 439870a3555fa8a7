//! Codex: without a terminal one call is one turn; `open` is for use at a terminal.
//!
//! Knows the program's command line and events, its configuration for the stand-in, and where it marks a live session.
//! How its rollouts and databases look is for the product to know; the tests that use this must not learn it from here.
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::pty::Terminal;
use super::{Context, Finished, Reply, Running, process};

/// Says something: in a new session, or going on with the one of that id (or name).
#[track_caller]
pub fn say(ctx: &Context, resume: Option<&str>, prompt: &str) -> Reply {
    reply(process::run(turn(ctx, &resume_args(resume), prompt), ctx.limit))
}

/// Goes on with the latest session: of this working directory, or of all. Where there is none Codex starts a new one.
#[track_caller]
pub fn say_last(ctx: &Context, all: bool, prompt: &str) -> Reply {
    let which: &[&str] = if all { &["resume", "--last", "--all"] } else { &["resume", "--last"] };
    reply(process::run(turn(ctx, which, prompt), ctx.limit))
}

/// Goes on in a new session that begins with the history of that one.
#[track_caller]
pub fn fork(ctx: &Context, id: &str, prompt: &str) -> Reply {
    reply(process::run(turn(ctx, &["fork", id], prompt), ctx.limit))
}

/// Starts a turn and leaves it running.
pub fn start(ctx: &Context, resume: Option<&str>, prompt: &str) -> Running {
    Running::start(turn(ctx, &resume_args(resume), prompt), ctx.limit, reply)
}

/// Any other use of the program, `archive` and `unarchive` for example.
#[track_caller]
pub fn run(ctx: &Context, args: &[&str]) -> Finished {
    let mut command = command(ctx);
    command.args(args);
    process::run(command, ctx.limit)
}

/// The program at a terminal, in a directory that is trusted.
pub fn open(ctx: &Context, args: &[&str]) -> Terminal {
    let mut command = command(ctx);
    let trust = format!("projects={{{:?}={{trust_level=\"trusted\"}}}}", ctx.cwd());
    // Otherwise a background server may be started, which would outlive the terminal.
    command.args(["-c", &trust, "--no-daemon"]).args(args);
    Terminal::open(&command)
}

/// What it finds in its environment, for whoever starts it in our place.
pub fn environment(ctx: &Context) -> Vec<(OsString, OsString)> {
    command(ctx).get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect()
}

/// Where its files are.
pub fn dir(ctx: &Context) -> PathBuf {
    ctx.given("CODEX_HOME").map_or_else(|| ctx.home().join(".codex"), PathBuf::from)
}

/// The file that a process keeps locked while it writes that session.
pub fn live_marker(ctx: &Context, id: &str) -> PathBuf {
    dir(ctx).join("thread-writer-locks").join(format!("{id}.lock"))
}

/// Whether a process has that session open. Reads the kernel's list where there is one: trying the lock would take it
/// for a moment, and a Codex that starts in that moment refuses.
pub fn is_live(ctx: &Context, id: &str) -> bool {
    let Ok(marker) = File::open(live_marker(ctx, id)) else { return false };
    let Ok(locks) = fs::read_to_string("/proc/locks") else { return marker.try_lock().is_err() };
    let inode = marker.metadata().expect("an open file has metadata").ino();
    let end = format!(":{inode} 0 EOF");
    locks.lines().any(|lock| lock.contains(" FLOCK ") && lock.ends_with(&end))
}

/// The session that a turn in progress belongs to, once Codex has said so.
pub fn started_session(running: &Running) -> Option<String> {
    events(&running.stdout()).find(|event| event["type"] == "thread.started").and_then(|event| thread_id(&event))
}

fn command(ctx: &Context) -> Command {
    configure(ctx);
    let mut command = ctx.command("codex", &[("FAKE_API_KEY", "dummy")]);
    command.arg("-c").arg(format!("model_providers.loopback.base_url=\"{}\"", base_url(ctx)));
    command
}

/// Writes `config.toml` where there is none: a test may bring its own. The port of the stand-in is given on each
/// command line, since a home outlives a server.
pub fn configure(ctx: &Context) {
    let dir = dir(ctx);
    let file = dir.join("config.toml");
    if file.exists() {
        return;
    }
    fs::create_dir_all(&dir).expect("the home can be written");
    let text = format!(
        r#"model = "fake-model"
model_provider = "loopback"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.loopback]
name = "loopback"
base_url = "{}"
wire_api = "responses"
env_key = "FAKE_API_KEY"
request_max_retries = 0
stream_max_retries = 0
"#,
        base_url(ctx)
    );
    fs::write(&file, text).expect("the home can be written");
}

fn turn(ctx: &Context, which: &[&str], prompt: &str) -> Command {
    let mut command = command(ctx);
    command.arg("exec").args(which).args(["--skip-git-repo-check", "--json", "--", prompt]);
    command
}

fn base_url(ctx: &Context) -> String {
    format!("http://127.0.0.1:{}/v1", ctx.port())
}

fn resume_args(id: Option<&str>) -> Vec<&str> {
    id.map_or_else(Vec::new, |id| vec!["resume", id])
}

fn reply(finished: Finished) -> Reply {
    let Finished { status, stdout, stderr } = finished;
    let mut session_id = None;
    let mut text = String::new();
    for event in events(&stdout) {
        if event["type"] == "thread.started" {
            session_id = thread_id(&event);
        } else if event["item"]["type"] == "agent_message" {
            text = event["item"]["text"].as_str().unwrap_or_default().to_owned();
        }
    }
    Reply { session_id, text, status, stdout, stderr }
}

fn events(stdout: &str) -> impl Iterator<Item = Value> {
    stdout.lines().filter_map(|line| serde_json::from_str(line).ok())
}

fn thread_id(event: &Value) -> Option<String> {
    event["thread_id"].as_str().map(str::to_owned)
}
