//! Claude Code: without a terminal one call is one turn; `open` is for use at a terminal.
//!
//! Knows the program's command line and what it prints, and where it marks a live session. How its transcripts look is
//! for the product to know; the tests that use this must not learn it from here.
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::pty::Terminal;
use super::{Context, Finished, Reply, Running, process};

/// At a terminal the program asks once about a key that it does not know.
const KEY: &str = "dummy-key-for-tests-0123456789";

/// Says something: in a new session, or going on with the one of that id.
#[track_caller]
pub fn say(ctx: &Context, resume: Option<&str>, prompt: &str) -> Reply {
    reply(process::run(turn(ctx, &resume_args(resume), prompt), ctx.limit))
}

/// Goes on with the latest session of this working directory. Where there is none Claude Code starts a new one.
#[track_caller]
pub fn say_continue(ctx: &Context, prompt: &str) -> Reply {
    reply(process::run(turn(ctx, &["--continue"], prompt), ctx.limit))
}

/// Goes on with a copy of that session under a new id.
#[track_caller]
pub fn fork(ctx: &Context, id: &str, prompt: &str) -> Reply {
    reply(process::run(turn(ctx, &["--resume", id, "--fork-session"], prompt), ctx.limit))
}

/// Starts a turn and leaves it running.
pub fn start(ctx: &Context, resume: Option<&str>, prompt: &str) -> Running {
    Running::start(turn(ctx, &resume_args(resume), prompt), ctx.limit, reply)
}

/// Any other use of the program.
#[track_caller]
pub fn run(ctx: &Context, args: &[&str]) -> Finished {
    let mut command = command(ctx);
    command.args(args);
    process::run(command, ctx.limit)
}

/// The program at a terminal, without the questions of a first start.
pub fn open(ctx: &Context, args: &[&str]) -> Terminal {
    answer_questions(ctx);
    let mut command = command(ctx);
    command.arg("--dangerously-skip-permissions").args(args);
    Terminal::open(&command)
}

/// What it finds in its environment, for whoever starts it in our place.
pub fn environment(ctx: &Context) -> Vec<(OsString, OsString)> {
    command(ctx).get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect()
}

/// Where its files are.
pub fn dir(ctx: &Context) -> PathBuf {
    ctx.given("CLAUDE_CONFIG_DIR").map_or_else(|| ctx.home().join(".claude"), PathBuf::from)
}

/// The file by which a process says which session it has open. Gone when the process ended in order.
pub fn live_marker(ctx: &Context, pid: u32) -> PathBuf {
    dir(ctx).join("sessions").join(format!("{pid}.json"))
}

/// The session that this process has open, as its marker says.
pub fn live_session(ctx: &Context, pid: u32) -> Option<String> {
    let marker: Value = serde_json::from_slice(&fs::read(live_marker(ctx, pid)).ok()?).ok()?;
    marker["sessionId"].as_str().map(str::to_owned)
}

/// What a user would have been asked once: the theme, the key, trust in this directory, going without permissions.
pub fn answer_questions(ctx: &Context) {
    let global = ctx.given("CLAUDE_CONFIG_DIR").map_or_else(|| ctx.home().to_owned(), PathBuf::from);
    amend(&global.join(".claude.json"), |state| {
        state["hasCompletedOnboarding"] = true.into();
        state["theme"] = "dark".into();
        state["bypassPermissionsModeAccepted"] = true.into();
        state["customApiKeyResponses"] = json!({"approved": [&KEY[KEY.len() - 20..]], "rejected": []});
        let cwd = ctx.cwd().to_str().expect("the working directory is text");
        state["projects"][cwd]["hasTrustDialogAccepted"] = true.into();
    });
    amend(&dir(ctx).join("settings.json"), |settings| {
        settings["skipDangerousModePermissionPrompt"] = true.into();
    });
}

fn amend(file: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_else(|| json!({}));
    change(&mut value);
    fs::create_dir_all(file.parent().expect("a file is in a folder")).expect("the home can be written");
    fs::write(file, value.to_string()).expect("the home can be written");
}

fn command(ctx: &Context) -> Command {
    let url = format!("http://127.0.0.1:{}", ctx.port());
    let own = [
        ("ANTHROPIC_BASE_URL", &*url),
        ("ANTHROPIC_API_KEY", KEY),
        // As root it otherwise refuses to go without permissions.
        ("IS_SANDBOX", "1"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
        ("DISABLE_TELEMETRY", "1"),
        ("DISABLE_ERROR_REPORTING", "1"),
    ];
    ctx.command("claude", &own)
}

fn turn(ctx: &Context, which: &[&str], prompt: &str) -> Command {
    let mut command = command(ctx);
    command.arg("-p").args(which);
    command.args(["--dangerously-skip-permissions", "--output-format", "json", "--", prompt]);
    command
}

fn resume_args(id: Option<&str>) -> Vec<&str> {
    id.map_or_else(Vec::new, |id| vec!["--resume", id])
}

/// The result is one JSON line; a refusal is plain text.
fn reply(finished: Finished) -> Reply {
    let Finished { status, stdout, stderr } = finished;
    let result: Value = stdout.lines().rev().find_map(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    let session_id = result["session_id"].as_str().map(str::to_owned);
    let text = result["result"].as_str().unwrap_or_default().to_owned();
    Reply { session_id, text, status, stdout, stderr }
}
