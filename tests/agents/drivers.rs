//! The drivers, proved with the real programs: each test says what the agents do, in an empty home of its own.
//! Nothing of this project's programs runs here.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::scene::HOLD;
use crate::support::agents::{Context, Tools, claude, codex, eventually};
use crate::support::model::{Kind, ModelServer};

/// A home, a project in it and a model; gone with the value.
struct Scene {
    server: ModelServer,
    ctx: Context,
    folder: TempDir,
}

impl Scene {
    fn new() -> Option<Scene> {
        let tools = Tools::find()?;
        let server = ModelServer::start();
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let home = folder.path().join("home");
        let project = home.join("src/demo.app_one");
        fs::create_dir_all(&project).expect("the project can be made");
        let ctx = Context::new(&tools, &home, &project, server.port());
        Some(Scene { server, ctx, folder })
    }
}

/// The paths of all files below, relative to it.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                open.push(path);
            } else {
                let path: PathBuf = path.strip_prefix(folder).expect("it was found below").to_owned();
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

fn count(paths: &[String], part: &str, end: &str) -> usize {
    paths.iter().filter(|path| path.contains(part) && path.ends_with(end)).count()
}

/// What else is asserted here was seen in these versions.
#[test]
fn the_versions_are_the_pinned_ones() {
    let Some(tools) = Tools::find() else { return };
    assert_eq!(tools.version("claude"), "2.1.329 (Claude Code)");
    assert_eq!(tools.version("codex"), "codex-cli 0.169.0");
}

#[test]
fn claude_goes_on_with_a_session() {
    let Some(Scene { server, ctx, .. }) = &Scene::new() else { return };
    let first = claude::say(ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    assert_eq!(first.text, "Wrote notes/hello.txt and looked at it (turn 1).");
    assert!(ctx.cwd().join("notes/hello.txt").exists());
    server.forget();

    let second = claude::say(ctx, Some(first.id()), "Still there?").ok();
    assert_eq!(second.id(), first.id());
    assert_eq!(second.text, "Plain answer in turn 2 to: Still there?");
    let request = server.last_talk();
    assert!(request.says("QUOKKA-7731"));
    assert_eq!(request.session(), Some(first.id()));
    assert_eq!(request.at.cwd, ctx.cwd().to_str().expect("the path is text"));
    server.forget();

    let third = claude::say_continue(ctx, "And now?").ok();
    assert_eq!(third.id(), first.id());
    assert_eq!(server.last_talk().at.turn, 3);

    let fork = claude::fork(ctx, first.id(), "RUN-EDIT").ok();
    assert_ne!(fork.id(), first.id());
    assert!(server.last_talk_contains("QUOKKA-7731"));
    let text = fs::read_to_string(ctx.cwd().join("notes/hello.txt")).expect("the file is there");
    assert_eq!(text, "first line, edited\nsecond line\n");
}

#[test]
fn claude_says_when_there_is_nothing_to_resume() {
    let Some(Scene { server, ctx, .. }) = &Scene::new() else { return };
    let reply = claude::say(ctx, Some("11111111-1111-4111-8111-111111111111"), "Hello");
    assert_eq!(reply.status.code(), Some(1));
    assert!((reply.stdout + &reply.stderr).contains("No conversation found"));
    assert!(server.posts().is_empty());
}

/// What was said before a compaction is not sent any more.
#[test]
fn claude_compacts() {
    let Some(Scene { server, ctx, .. }) = &Scene::new() else { return };
    let first = claude::say(ctx, None, "Remember the codeword NUMBAT-3303.").ok();
    server.forget();
    claude::say(ctx, Some(first.id()), "/compact").ok();
    assert!(server.requests().iter().any(|request| request.kind == Kind::Side && request.says("NUMBAT-3303")));
    assert!(server.posts().is_empty());
    let next = claude::say(ctx, Some(first.id()), "RUN-CMD: echo compacted > notes/state").ok();
    assert_eq!(next.id(), first.id());
    assert!(server.last_talk_contains("Scripted summary"));
    assert!(!server.last_talk_contains("NUMBAT-3303"));
    assert!(ctx.cwd().join("notes/state").exists());
}

#[test]
fn claude_leaves_sidecar_files() {
    let Some(Scene { server, ctx, folder }) = &Scene::new() else { return };
    let first = claude::say(ctx, None, "RUN-LONG").ok();
    assert_eq!(first.text, "Long output seen (turn 1).");
    let second = claude::say(ctx, Some(first.id()), "RUN-AGENT").ok();
    assert_eq!(second.text, "The subagent has reported (turn 2).");
    assert!(server.posts().iter().any(|request| request.at.prompt.starts_with("SUB-TASK")));

    let files = files(&claude::dir(ctx));
    let beside = format!("{}/", first.id());
    assert_eq!(count(&files, &format!("{beside}subagents/agent-"), ".jsonl"), 1, "{files:#?}");
    assert_eq!(count(&files, &format!("{beside}subagents/agent-"), ".meta.json"), 1, "{files:#?}");
    assert_eq!(count(&files, &format!("{beside}tool-results/"), ".txt"), 1, "{files:#?}");
    let outside: Vec<_> = fs::read_dir(folder.path()).expect("the folder is there").flatten().collect();
    assert_eq!(outside.len(), 1, "something was written beside the home: {outside:?}");
}

#[test]
fn claude_marks_a_live_session() {
    let Some(Scene { ctx, .. }) = &Scene::new() else { return };
    let mut turn = claude::start(ctx, None, HOLD);
    let marker = claude::live_marker(ctx, turn.pid());
    eventually("the marker of a live session", || claude::live_session(ctx, turn.pid()).is_some());
    let live = claude::live_session(ctx, turn.pid());
    assert!(turn.is_running());
    fs::write(ctx.cwd().join("go"), "").expect("the project can be written");
    let reply = turn.wait().ok();
    assert_eq!(reply.text, "Command run (turn 1).");
    assert_eq!(live, reply.session_id);
    assert!(!marker.exists());

    // Killed without warning it cannot take its marker away: what a crash leaves behind.
    let turn = claude::start(ctx, Some(reply.id()), "RUN-SLEEP");
    let marker = claude::live_marker(ctx, turn.pid());
    eventually("the marker of a live session", || marker.exists());
    turn.kill();
    assert!(marker.exists());
}

#[test]
fn claude_draws_the_history_at_a_terminal() {
    let Some(Scene { server, ctx, .. }) = &Scene::new() else { return };
    let first = claude::say(ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    server.forget();
    let terminal = claude::open(ctx, &["--resume", first.id()]);
    terminal.wait_for("QUOKKA-7731");
    terminal.say("Still there?");
    terminal.wait_for("Plain answer in turn 2");
    assert!(server.last_talk_contains("QUOKKA-7731"));
}

#[test]
fn codex_goes_on_with_a_session() {
    let Some(Scene { server, ctx, .. }) = &Scene::new() else { return };
    let first = codex::say(ctx, None, "Remember the codeword WOMBAT-4410.").ok();
    assert_eq!(first.text, "Wrote notes/hello.txt and looked at it (turn 1).");
    assert!(ctx.cwd().join("notes/hello.txt").exists());
    server.forget();

    let second = codex::say(ctx, Some(first.id()), "Still there?").ok();
    assert_eq!(second.id(), first.id());
    assert_eq!(second.text, "Plain answer in turn 2 to: Still there?");
    let request = server.last_talk();
    assert!(request.says("WOMBAT-4410"));
    assert_eq!(request.session(), Some(first.id()));
    assert_eq!(request.at.cwd, ctx.cwd().to_str().expect("the path is text"));

    let third = codex::say_last(ctx, false, "RUN-EDIT").ok();
    assert_eq!((third.id(), &*third.text), (first.id(), "Edited (turn 3)."));
    let text = fs::read_to_string(ctx.cwd().join("notes/hello.txt")).expect("the file is there");
    assert_eq!(text, "first line, edited\nsecond line\n");
}

#[test]
fn codex_last_is_bound_to_the_directory() {
    let Some(Scene { server, ctx, .. }) = &Scene::new() else { return };
    let first = codex::say(ctx, None, "Remember the codeword WOMBAT-4410.").ok();
    let elsewhere = ctx.home().join("elsewhere");
    fs::create_dir(&elsewhere).expect("the home can be written");
    let all = codex::say_last(&ctx.at(&elsewhere), true, "Still there?").ok();
    assert_eq!(all.id(), first.id());
    assert_eq!(server.last_talk().at.cwd, elsewhere.to_str().expect("the path is text"));
    // The session's directory is now the new one, so there is nothing to go on with in the old one.
    let new = codex::say_last(ctx, false, "Still there?").ok();
    assert_ne!(new.id(), first.id());
    assert!(!server.last_talk_contains("WOMBAT-4410"));
}

#[test]
fn codex_forks_and_outlives_its_server() {
    let Some(Scene { server, ctx, folder }) = Scene::new() else { return };
    let first = codex::say(&ctx, None, "Remember the codeword WOMBAT-4410.").ok();
    drop(server);
    let server = ModelServer::start();
    let ctx = Context::new(ctx.tools(), ctx.home(), ctx.cwd(), server.port());
    let fork = codex::fork(&ctx, first.id(), "Another way").ok();
    assert_ne!(fork.id(), first.id());
    assert!(server.last_talk_contains("WOMBAT-4410"));
    assert_eq!(server.last_talk().at.turn, 2);
    drop(folder);
}

#[test]
fn codex_spawns_a_subagent() {
    let Some(Scene { server, ctx, folder }) = &Scene::new() else { return };
    let reply = codex::say(ctx, None, "RUN-LONG").ok();
    assert_eq!(reply.text, "Long output seen (turn 1).");
    let reply = codex::say(ctx, Some(reply.id()), "RUN-AGENT").ok();
    assert_eq!(reply.text, "The subagent has reported (turn 2).");
    let of_agent: Vec<_> = server.posts().into_iter().filter(|request| request.at.prompt.starts_with("SUB-TASK")).collect();
    assert_eq!(of_agent.len(), 2, "its step and its report");
    let agent = of_agent[0].session().expect("a subagent is a session");
    assert_ne!(agent, reply.id());
    let files = files(&codex::dir(ctx));
    for id in [reply.id(), agent] {
        assert_eq!(count(&files, "sessions/", &format!("-{id}.jsonl")), 1, "{files:#?}");
    }
    let outside: Vec<_> = fs::read_dir(folder.path()).expect("the folder is there").flatten().collect();
    assert_eq!(outside.len(), 1, "something was written beside the home: {outside:?}");
}

#[test]
fn codex_draws_the_history_at_a_terminal() {
    let Some(Scene { server, ctx, .. }) = &Scene::new() else { return };
    let first = codex::say(ctx, None, "Remember the codeword WOMBAT-4410.").ok();
    server.forget();
    let terminal = codex::open(ctx, &["resume", first.id()]);
    terminal.wait_for("WOMBAT-4410");
    terminal.say("Still there?");
    terminal.wait_for("Plain answer in turn 2");
    assert!(server.last_talk_contains("WOMBAT-4410"));
}

#[test]
fn codex_locks_a_live_session() {
    let Some(Scene { ctx, .. }) = &Scene::new() else { return };
    let mut turn = codex::start(ctx, None, HOLD);
    eventually("the session's id", || codex::started_session(&turn).is_some());
    let id = codex::started_session(&turn).expect("it was there a moment ago");
    eventually("the session's lock", || codex::is_live(ctx, &id));
    let second = codex::say(ctx, Some(&id), "Me too");
    assert!(!second.status.success());
    assert!((second.stdout + &second.stderr).contains("active writer"));
    assert!(turn.is_running());
    fs::write(ctx.cwd().join("go"), "").expect("the project can be written");
    let reply = turn.wait().ok();
    assert_eq!((reply.id(), &*reply.text), (&*id, "Command run (turn 1)."));
    assert!(!codex::is_live(ctx, &id));

    let turn = codex::start(ctx, Some(&id), "RUN-SLEEP");
    eventually("the session's lock", || codex::is_live(ctx, &id));
    turn.kill();
    assert!(!codex::is_live(ctx, &id));
    assert!(codex::live_marker(ctx, &id).exists());
}

#[test]
fn a_turn_that_hangs_is_ended_and_shown() {
    let Some(Scene { ctx, folder, .. }) = &Scene::new() else { return };
    let ctx = ctx.within(Duration::from_secs(4));
    for agent in [claude::say, codex::say] {
        // The command's number in a file, since it has a session of its own: it is what survives a careless kill.
        let hangs = || agent(&ctx, None, "RUN-CMD: echo $$ > pid; sleep 60; true");
        let panic = catch_unwind(AssertUnwindSafe(hangs)).expect_err("the turn outlasts its limit");
        let said = panic.downcast::<String>().expect("a panic with arguments is a string");
        assert!(said.contains("hangs."), "{said}");
        let file = folder.path().join("home/src/demo.app_one/pid");
        let pid = fs::read_to_string(&file).expect("the command had begun");
        // Until somebody collects it, a dead process has a name there, but no command line.
        let alive = fs::read(Path::new("/proc").join(pid.trim()).join("cmdline"));
        assert!(alive.unwrap_or_default().is_empty(), "{pid} survived");
        fs::remove_file(&file).expect("the project can be written");
    }
}
