//! The real agents make commits in their own tool calls: each tells its session, and the prompt that it comes from.

use serde_json::Value;

use crate::scene::{CLAUDE, CODEX, Kind, World};
use crate::support::model::{Rule, Step};
use samesession::id::{NativeId, SessionId};

const HELP: &str = "HELP-COMMIT, please.";

#[test]
fn a_commit_of_claude_names_its_session_and_its_prompt() {
    commits_name_their_prompts(CLAUDE);
}

#[test]
fn a_commit_of_codex_names_its_session_and_its_prompt() {
    commits_name_their_prompts(CODEX);
}

fn commits_name_their_prompts(kind: Kind) {
    let task = String::from("commit something");
    let helper = Step::Agent { task, prompt: String::from("RUN-CMD: git commit --allow-empty -qm helped") };
    let Some(world) = World::playing(vec![Rule::on(HELP).step(helper).step(Step::AwaitAgents)]) else { return };
    let laptop = world.computer("laptop", "src/demo.app_one");
    laptop.machine.git(["init", "-q", "-b", "main"]);
    laptop.machine.git(["config", "--global", "user.name", "x"]);
    laptop.machine.git(["config", "--global", "user.email", "x@example.com"]);
    laptop.machine.git(["commit", "-q", "--allow-empty", "-m", "by hand"]);
    let first = (kind.say)(&laptop.ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    let id = first.id();
    let sid = SessionId::derive(kind.name, &NativeId::parse(id).expect("an id")).to_string();
    let mut made = Vec::new();
    for (link, mark) in [("notes", "note"), ("trailer", "trailer")] {
        laptop.machine.git(["config", "samesession.link", link]);
        laptop.machine.run(["hook", "install", "--git"]).ok();
        for (how, found_by) in [("-m", "output"), ("-qm", "call")] {
            let prompt =
                format!("Please commit this, {link}.\nRUN-CMD: echo {link}{how} >> told.txt && git add told.txt && git commit {how} told");
            (kind.say)(&laptop.ctx, Some(id), &prompt).ok();
            made.push((laptop.machine.git(["rev-parse", "HEAD"]).trim().to_owned(), prompt, mark, found_by));
        }
        (kind.say)(&laptop.ctx, Some(id), "And something else.").ok();
    }
    laptop.machine.git(["commit", "-q", "--allow-empty", "-m", "by hand"]);
    laptop.machine.run(["checkpoint", id]).ok();
    for (commit, prompt, mark, found_by) in &made {
        let answer = laptop.machine.json(["log", commit]);
        let session = the_only_session(&answer);
        assert_eq!((&session["sid"], &session["native_id"]), (&sid.as_str().into(), &id.into()), "{answer:#}");
        assert_eq!((&session["prompt"], &session["found_by"]), (&prompt.as_str().into(), &(*found_by).into()), "{answer:#}");
        assert_eq!(session["marks"], serde_json::json!([mark]), "{answer:#}");
        assert!(session["checkpoint"].is_string(), "{answer:#}");
    }
    // The line goes to the commit that it was written in, and nobody's commit to nobody.
    let line = laptop.machine.json(["log", "told.txt:3"]);
    assert_eq!(
        (&line["commits"][0]["commit"], &the_only_session(&line)["prompt"]),
        (&made[2].0.as_str().into(), &made[2].1.as_str().into())
    );
    laptop.machine.run(["log", "HEAD"]).fails(1, "no session is known to have made commit");
    // What a helper commits is the session's that it helps.
    (kind.say)(&laptop.ctx, Some(id), HELP).ok();
    assert_eq!(laptop.machine.git(["log", "-1", "--format=%s"]), "helped\n");
    laptop.machine.run(["checkpoint", id]).ok();
    let helped = laptop.machine.json(["log", "HEAD"]);
    let session = the_only_session(&helped);
    assert_eq!((&session["sid"], &session["prompt"]), (&sid.as_str().into(), &HELP.into()), "{helped:#}");
}

#[track_caller]
fn the_only_session(answer: &Value) -> &Value {
    assert_eq!(answer["commits"].as_array().map(Vec::len), Some(1), "{answer:#}");
    assert_eq!(answer["commits"][0]["sessions"].as_array().map(Vec::len), Some(1), "{answer:#}");
    &answer["commits"][0]["sessions"][0]
}
