//! Which session made a commit: what hooks write down of it, what becomes of that, and who learns what from it.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use super::scene::{Scene, bare_scene};
use crate::support::chains::{acquaint, id, write_script};
use crate::support::clones::{append, sid_of};
use crate::support::sandbox::Machine;

const NOTES: &str = "refs/notes/samesession";

/// Git's hooks are installed, and commits of sessions are marked like this.
fn linked(how: &str) -> Scene {
    let scene = bare_scene();
    links(&scene.laptop, how);
    scene
}

fn links(machine: &Machine, how: &str) {
    machine.git(["config", "samesession.link", how]);
    machine.run_here(["hook", "install", "--git"]).ok();
}

impl Machine {
    /// What the agent of the `n`th session starts.
    fn of_session(&self, n: usize) -> Machine {
        self.env("CLAUDE_CODE_SESSION_ID", id(n))
    }

    /// At this second of a certain minute.
    fn at_second(&self, second: u64) -> Machine {
        let then = format!("2026-11-21T05:00:{second:02}Z");
        self.env("GIT_AUTHOR_DATE", &then).env("GIT_COMMITTER_DATE", &then)
    }

    /// A commit that changes this file; its id.
    #[track_caller]
    fn writes(&self, file: &str, text: &str, args: &[&str]) -> String {
        fs::write(self.cwd.join(file), text).expect("written");
        self.git(["add", file]);
        self.git(["commit", "-q"].iter().chain(args).copied().chain(["-m", "what it is about"]));
        self.rev("HEAD")
    }

    /// The sessions that are noted of a commit.
    #[track_caller]
    fn noted(&self, commit: &str) -> Vec<String> {
        let shown = self.try_git(["notes", "--ref", NOTES, "show", commit]).stdout();
        shown.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Those that stand in its trailers, as Git reads them.
    #[track_caller]
    fn trailers(&self, commit: &str) -> Vec<String> {
        let shown = self.git(["log", "-1", "--format=%(trailers:key=Samesession,valueonly)", commit]);
        shown.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// A turn as Claude Code writes it down, from this second on: a prompt, and a command two seconds later.
    fn turn(&self, n: usize, second: u64, prompt: &str, command: &str, output: &str) {
        let (native, time) = (id(n), |after: u64| format!("2026-11-21T05:00:{:02}.500Z", second + after));
        let (call, cwd) = (format!("toolu_{second}"), self.cwd.to_str().expect("text"));
        for record in [
            serde_json::json!({"type": "user", "timestamp": time(0), "sessionId": native, "cwd": cwd, "message": {"role": "user", "content": prompt}}),
            serde_json::json!({"type": "assistant", "timestamp": time(2), "sessionId": native, "message": {"role": "assistant", "content":
                [{"type": "tool_use", "id": call, "name": "Bash", "input": {"command": command}}]}}),
            serde_json::json!({"type": "user", "timestamp": time(4), "sessionId": native, "message": {"role": "user", "content":
                [{"tool_use_id": call, "type": "tool_result", "content": output, "is_error": false}]}}),
        ] {
            append(&self.transcript_of(&native), &format!("{record}\n"));
        }
    }
}

fn sid(n: usize) -> String {
    sid_of(&id(n))
}

#[test]
fn a_commit_tells_its_session_and_its_prompt_to_those_who_can_read_and_to_nobody_else() {
    let scene = linked("notes");
    let laptop = &scene.laptop;
    let (desktop, stranger) = (scene.team.machine("desktop"), scene.team.machine("stranger"));
    acquaint(&[laptop.clone(), desktop.clone()]);
    let agent = laptop.of_session(1);
    let one = agent.at_second(13).writes("one.txt", "first\n", &[]);
    laptop.turn(1, 10, "Write PANGOLIN\ninto one.txt", "git commit -m x", &format!("[main {}] what it is about\n", &one[..7]));
    // In the same second in which the next prompt comes, and Git says nothing.
    let two = agent.at_second(24).writes("one.txt", "first\nsecond\n", &[]);
    laptop.turn(1, 20, "Now the QUOKKA", "git commit -qm y", "");
    laptop.turn(1, 24, "And then something else", "ls", "one.txt");
    let by_hand = laptop.at_second(40).writes("one.txt", "first\nsecond\nthird\n", &[]);
    assert_eq!((laptop.noted(&one), laptop.noted(&two), laptop.noted(&by_hand)), (vec![sid(1)], vec![sid(1)], vec![]));

    // Sessions go along with the code; notes only if somebody sends them.
    laptop.push_code().ok();
    assert!(scene.sent(1).is_some());
    laptop.run_here(["push"]).ok();
    assert!(scene.team.server.refs("refs/notes").is_empty());
    laptop.git(["push", "-q", "origin", NOTES]);
    let tip = scene.sent(1).expect("sent");
    for machine in [&desktop, &stranger] {
        machine.git(["fetch", "-q", "origin", "main", "refs/samesession/*:refs/samesession-remote/origin/*"]);
        machine.git(["reset", "-q", "--hard", "FETCH_HEAD"]);
        machine.git(["fetch", "-q", "origin", &format!("{NOTES}:{NOTES}")]);
    }
    for machine in [laptop, &desktop] {
        for (commit, prompt, by) in [(&one, "Write PANGOLIN\ninto one.txt", "output"), (&two, "Now the QUOKKA", "call")] {
            let answer = machine.json(["show", "--commit", commit]);
            assert_eq!((&answer["commit"], &answer["subject"]), (&commit.as_str().into(), &"what it is about".into()));
            let session = &answer["sessions"][0];
            assert_eq!((&session["sid"], &session["native_id"]), (&sid(1).into(), &id(1).into()), "{answer:#}");
            assert_eq!((&session["prompt"], &session["found_by"]), (&prompt.into(), &by.into()), "{answer:#}");
            assert_eq!((&session["checkpoint"], &session["marks"]), (&tip.as_str().into(), &serde_json::json!(["note"])));
            assert_eq!(machine.json(["log", commit])["commits"][0]["sessions"][0]["prompt"], prompt);
        }
        let shown = machine.run_here(["show", "--commit", &one]).ok().stdout();
        assert!(shown.contains("\n    Write PANGOLIN\n    into one.txt\n") && shown.contains(&id(1)), "{shown}");
        let said = machine.run_here(["log", &two[..9]]).ok().stdout();
        assert!(said.contains(&format!("session {} claude", &sid(1)[..8])) && said.contains("asked: \"Now the QUOKKA\""), "{said}");

        // Files and their lines.
        let file = machine.json(["log", "one.txt"]);
        let commits: Vec<&str> =
            file["commits"].as_array().expect("a list").iter().map(|row| row["commit"].as_str().expect("an id")).collect();
        assert_eq!((commits, &file["others"], &file["file"]), (vec![two.as_str(), &one], &1.into(), &"one.txt".into()), "{file:#}");
        assert_eq!(machine.json(["log", "one.txt", "-n", "1"])["more"], true);
        for (line, commit) in [(1, &one), (2, &two)] {
            let answer = machine.json(["log", &format!("one.txt:{line}")]);
            assert_eq!((&answer["commits"][0]["commit"], &answer["line"]), (&commit.as_str().into(), &line.into()), "{answer:#}");
        }
        machine.run_here(["log", "one.txt:3"]).fails(1, "from which line 3 of 'one.txt' comes");
        machine.run_here(["log", &by_hand]).fails(1, "no session is known to have made commit").hints("refs/notes/samesession");
        machine.run_here(["show", "--commit", "HEAD"]).fails(1, "no session is known");
    }
    // Whoever cannot open it learns that there was a session, and no more.
    for args in [&["log", &one][..], &["log", "one.txt"], &["log", "one.txt:2"], &["show", "--commit", &two]] {
        let plain = stranger.run_here(args).ok().stdout();
        let json = stranger.json(args).to_string();
        for said in [&plain, &json] {
            assert!(said.contains(&sid(1)[..8]), "{said}");
            for secret in ["PANGOLIN", "QUOKKA", "claude", &id(1)[..8], "begin"] {
                assert!(!said.contains(secret), "{secret}: {said}");
            }
        }
        assert!(plain.contains("sealed to others") || plain.contains("does not know"), "{plain}");
    }
}

#[test]
fn what_no_checkpoint_holds_yet_is_looked_for_in_the_session_itself() {
    let scene = linked("notes");
    let laptop = &scene.laptop;
    laptop.turn(1, 0, "An earlier one", "ls", "");
    laptop.run_here(["checkpoint", &id(1)]).ok();
    let commit = laptop.of_session(1).at_second(13).writes("x", "x", &[]);
    let unknown = laptop.json(["show", "--commit", "HEAD"]);
    assert_eq!(unknown["sessions"][0]["prompt"], serde_json::Value::Null, "{unknown:#}");
    assert!(unknown["sessions"][0]["unknown"].as_str().expect("why").contains("no checkpoint"), "{unknown:#}");
    laptop.turn(1, 10, "This one", "git commit -qm x", "");
    let known = laptop.json(["show", "--commit", &commit]);
    assert_eq!((&known["sessions"][0]["prompt"], &known["sessions"][0]["checkpoint"]), (&"This one".into(), &serde_json::Value::Null));
    laptop.run_here(["checkpoint", &id(1)]).ok();
    assert_ne!(laptop.json(["show", "--commit", &commit])["sessions"][0]["checkpoint"], serde_json::Value::Null);
    // Of a session that is nowhere it is known that it was one.
    let gone = laptop.of_session(7).writes("y", "y", &[]);
    assert!(laptop.run_here(["log", &gone]).ok().stdout().contains("the session is not in this repository"));
}

#[test]
fn notes_follow_commits_that_are_made_anew_and_name_nobody_else() {
    let scene = linked("notes");
    let laptop = &scene.laptop;
    let (one, two) = (laptop.of_session(1), laptop.of_session(2));
    laptop.writes("base", "base", &[]);
    one.writes("a", "a", &[]);
    // Amended and rebased by hand: still the session's.
    laptop.git(["commit", "-q", "--amend", "-m", "better words"]);
    assert_eq!(laptop.noted("HEAD"), [sid(1)]);
    two.writes("b", "b", &[]);
    laptop.writes("c", "c", &[]);
    laptop.git(["checkout", "-q", "-b", "other", "HEAD~3"]);
    laptop.writes("d", "d", &[]);
    laptop.git(["checkout", "-q", "-"]);
    let noted = |n: usize| laptop.noted(&format!("HEAD~{n}"));
    // Nor does it become that of a session which only rebases it.
    laptop.of_session(3).git(["rebase", "-q", "other"]);
    assert_eq!((noted(0), noted(1), noted(2)), (vec![], vec![sid(2)], vec![sid(1)]));
    // Squashed: both had a part in it.
    let editor = laptop.home.join("squash");
    write_script(&editor, "sed -i '2,$s/^pick/squash/' \"$1\"");
    laptop.env("GIT_SEQUENCE_EDITOR", &editor).env("GIT_EDITOR", "true").git(["rebase", "-q", "-i", "HEAD~3"]);
    let mut both = vec![sid(1), sid(2)];
    both.sort();
    let mut squashed = laptop.noted("HEAD");
    squashed.sort();
    assert_eq!(squashed, both);
    let listed = laptop.json(["log", "HEAD"]);
    assert_eq!(listed["commits"][0]["sessions"].as_array().map(Vec::len), Some(2), "{listed:#}");
    // What a session picks is not written by it; what it reverts, merges and amends is.
    let three = laptop.of_session(3);
    laptop.git(["branch", "picked", "other"]);
    let squashed = laptop.rev("HEAD");
    three.git(["checkout", "-q", "picked"]);
    // Or the pick would be the same commit.
    laptop.writes("p", "p", &[]);
    three.git(["cherry-pick", &squashed]);
    assert_eq!(three.noted("HEAD"), [""; 0]);
    three.git(["revert", "--no-edit", "HEAD"]);
    assert_eq!(three.noted("HEAD"), [sid(3)]);
    laptop.writes("e", "e", &[]);
    three.git(["commit", "-q", "--amend", "--no-edit", "--no-verify"]);
    assert_eq!(three.noted("HEAD"), [sid(3)]);
    // In the middle of a rebase of its own a session may write, too.
    write_script(&editor, "sed -i 's/^pick/edit/' \"$1\"");
    three.env("GIT_SEQUENCE_EDITOR", &editor).git(["rebase", "-q", "-i", "HEAD~1"]);
    let new = three.writes("f", "f", &[]);
    three.git(["rebase", "--continue"]);
    assert_eq!(three.noted(&new), [sid(3)]);
}

#[test]
fn trailers_go_into_messages_that_somebody_has_written() {
    let scene = linked("trailer");
    let laptop = &scene.laptop;
    let agent = laptop.of_session(1);
    laptop.writes("base", "base", &[]);
    assert_eq!(laptop.trailers("HEAD"), [""; 0]);
    agent.writes("a", "a", &["--signoff"]);
    assert_eq!(agent.trailers("HEAD"), [sid(1)]);
    assert!(agent.git(["log", "-1", "--format=%(trailers)"]).contains("Signed-off-by: "));
    assert!(laptop.refs("refs/notes").is_empty());
    // Once, whoever makes it anew; and whatever skips checks.
    agent.git(["commit", "-q", "--amend", "--no-edit"]);
    laptop.git(["commit", "-q", "--amend", "-m", &laptop.git(["log", "-1", "--format=%B"])]);
    assert_eq!(laptop.trailers("HEAD"), [sid(1)]);
    agent.writes("b", "b", &["--no-verify"]);
    assert_eq!(agent.trailers("HEAD"), [sid(1)]);
    // Of two sessions, both.
    laptop.of_session(2).git(["commit", "-q", "--amend", "--no-edit"]);
    assert_eq!(laptop.trailers("HEAD"), [sid(1), sid(2)]);
    let made = laptop.json(["log", "HEAD"]);
    assert_eq!(made["commits"][0]["sessions"][1]["marks"], serde_json::json!(["trailer"]), "{made:#}");

    // Where an editor is used, the words come later, or never.
    let editor = laptop.home.join("editor");
    let before = laptop.rev("HEAD");
    let edits = agent.env("GIT_EDITOR", &editor);
    let commit = |args: &[&str]| {
        let identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"];
        edits.try_git(identity.iter().chain(&["commit", "-q", "--allow-empty"]).chain(args))
    };
    write_script(&editor, "true");
    assert_ne!(commit(&[]).code(), Some(0));
    fs::write(laptop.home.join("template"), "Subject, please\n").expect("written");
    let template = laptop.home.join("template");
    assert_ne!(commit(&["-t", template.to_str().expect("text")]).code(), Some(0));
    assert_eq!(laptop.rev("HEAD"), before, "what Git gives up without us it gives up with us");
    write_script(&editor, "{ echo written; cat \"$1\"; } > \"$1.new\"; mv \"$1.new\" \"$1\"");
    commit(&["-v"]).ok();
    assert_eq!((agent.trailers("HEAD"), agent.git(["log", "-1", "--format=%s"])), (vec![sid(1)], "written\n".to_owned()));

    // Git's own words are nobody's; what is picked or rebased keeps those it has.
    laptop.git(["checkout", "-q", "-b", "side", "HEAD~2"]);
    laptop.writes("s", "s", &[]);
    agent.git(["merge", "-q", "--no-edit", "main"]);
    assert_eq!(agent.trailers("HEAD"), [""; 0]);
    laptop.git(["checkout", "-q", "-b", "picks", "HEAD^1"]);
    laptop.of_session(3).git(["cherry-pick", "--allow-empty", "main", "main~1"]);
    assert_eq!((laptop.trailers("HEAD~1"), laptop.trailers("HEAD")), (vec![sid(1)], vec![sid(1), sid(2)]));
    laptop.of_session(3).git(["rebase", "-q", "--force-rebase", "HEAD~3"]);
    assert_eq!((laptop.trailers("HEAD~1"), laptop.trailers("HEAD~2")), (vec![sid(1)], vec![]));
    // In the middle of a message, where squashing leaves it.
    laptop.git(["reset", "-q", "--soft", "HEAD~2"]);
    laptop.git([
        "commit",
        "-q",
        "-m",
        &format!("Two in one\n\nSamesession: {}\n\nthe other:\n\nSamesession: {}\n\nand more", sid(1), sid(2)),
    ]);
    assert_eq!(laptop.json(["log", "HEAD"])["commits"][0]["sessions"].as_array().map(Vec::len), Some(2));
}

/// Our program is not even started, and what was there runs as before.
#[test]
fn a_commit_of_nobodys_session_starts_nothing_and_hooks_that_were_there_have_their_say() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    let (ran, started) = (laptop.home.join("ran"), laptop.home.join("started"));
    let hooks = laptop.cwd.join(".git/hooks");
    let says = |name: &str| format!("echo {name} \"$@\" >> '{}'", ran.display());
    write_script(&hooks.join("post-commit"), &says("post-commit"));
    fs::write(
        hooks.join("prepare-commit-msg"),
        format!("#!/usr/bin/env perl\nsystem(q({}));\n", says("prepare-commit-msg").replace("\"$@\"", "x")),
    )
    .expect("written");
    write_script(&hooks.join("commit-msg"), &format!("{}\ngrep -q refused \"$1\" && exit 1\nexit 0", says("commit-msg")));
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(hooks.join("prepare-commit-msg"), fs::Permissions::from_mode(0o755)).expect("set");
    let look = |name: &str| fs::read(hooks.join(name)).expect("a hook");
    let names = ["prepare-commit-msg", "commit-msg", "post-commit"];
    let before = names.map(look);
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", laptop.home.join("bin").display());
    write_script(&laptop.home.join("bin/git-samesession"), &format!("echo \"$@\" >> '{}'", started.display()));
    for (how, ours) in [("notes", &names[2..]), ("trailer", &names[..2])] {
        links(laptop, how);
        let is_ours = |name: &&str| look(name) != before[names.iter().position(|other| other == name).expect("one of them")];
        assert_eq!(names.into_iter().filter(is_ours).collect::<Vec<_>>(), ours, "those of the other way are gone");
        let ran_once = || {
            let said = fs::read_to_string(&ran).expect("they ran");
            assert_eq!(said.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect::<Vec<_>>(), names);
            fs::remove_file(&ran).expect("removed");
        };
        laptop.env("PATH", &path).commit_code("by hand");
        ran_once();
        assert!(!started.exists(), "{}", fs::read_to_string(&started).unwrap_or_default());
        laptop.of_session(1).env("PATH", &path).commit_code("by an agent");
        ran_once();
        let said = fs::read_to_string(&started).expect("it was started");
        assert_eq!(said.lines().filter_map(|line| line.split(' ').nth(2)).collect::<Vec<_>>(), ours);
        fs::remove_file(&started).expect("removed");
        laptop.of_session(1).commit_code("really");
        ran_once();
        assert_eq!([laptop.trailers("HEAD"), laptop.noted("HEAD")].concat(), [sid(1)]);
        // Their word counts.
        let commit = ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "--allow-empty", "-m", "refused"];
        assert_eq!(laptop.of_session(1).try_git(commit).code(), Some(1));
        fs::remove_file(&ran).expect("removed");
    }
    laptop.run_here(["hook", "uninstall", "--git"]).ok();
    assert_eq!(names.map(look), before);
}

/// A Git of the future, as far as it can be had: it says so, and runs such a command by the shell.
#[test]
fn a_hook_in_gits_configuration_looks_for_an_agent_first() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    let newer = laptop.with_newer_git();
    laptop.git(["config", "samesession.link", "notes"]);
    let config = fs::read(laptop.cwd.join(".git/config")).expect("there");
    newer.run_here(["hook", "install", "--git"]).ok();
    let command = laptop.git(["config", "hook.samesession-post-commit.command"]);
    let runs = |machine: &Machine| {
        let shell = ["-c", &format!("{} \"$@\"", command.trim()), "hook"].map(str::to_owned);
        // Nothing here says who it is but the commit.
        assert!(machine.command("sh").args(shell).status().expect("a shell").success());
        machine.noted("HEAD")
    };
    laptop.commit_code("x");
    assert_eq!((runs(laptop), runs(&laptop.of_session(1))), (vec![], vec![sid(1)]));
    newer.run_here(["hook", "uninstall", "--git"]).ok();
    assert_eq!(fs::read(laptop.cwd.join(".git/config")).expect("there"), config);
}

#[test]
fn what_goes_wrong_is_written_down_and_no_commit_fails() {
    let scene = linked("notes");
    let laptop = &scene.laptop;
    fs::create_dir_all(laptop.cwd.join(".git/refs/notes")).expect("made");
    let lock = laptop.cwd.join(".git/refs/notes/samesession.lock");
    fs::write(&lock, "").expect("written");
    let commit =
        |machine: &Machine| machine.try_git(["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "--allow-empty", "-m", "x"]).ok();
    assert_eq!(commit(&laptop.of_session(1)).stderr(), "");
    assert!(laptop.hook_log().contains("post-commit: NOT done: git notes failed"), "{}", laptop.hook_log());
    fs::remove_file(&lock).expect("removed");
    laptop.git(["config", "samesession.link", "sometimes"]);
    commit(&laptop.of_session(1));
    assert!(laptop.hook_log().contains("samesession.link is 'sometimes'"), "{}", laptop.hook_log());
    laptop.run_here(["hook", "install", "--git"]).fails(129, "samesession.link is 'sometimes'");
    laptop.git(["config", "samesession.link", "notes"]);
    // Where one agent runs in another's tool, both have a part in it.
    let codex = "01a1fc46-14ce-7500-867f-3e8961b3c90d";
    commit(&laptop.of_session(1).env("CODEX_THREAD_ID", codex));
    let native = samesession::id::NativeId::parse(codex).expect("an id");
    let mut both = vec![sid(1), samesession::id::SessionId::derive("codex", &native).to_string()];
    both.sort();
    assert_eq!(laptop.noted("HEAD"), both);
    laptop.git(["update-ref", "-d", NOTES]);
    // Nor where there is no program, or no id that makes sense.
    commit(&laptop.of_session(1).env("PATH", "/usr/local/bin:/usr/bin:/bin"));
    commit(&laptop.env("CLAUDE_CODE_SESSION_ID", "../../x"));
    assert!(laptop.refs("refs/notes").is_empty());
    commit(&laptop.of_session(1));
    assert_eq!(laptop.noted("HEAD"), [sid(1)]);
}

#[test]
fn the_setting_by_which_notes_follow_is_taken_back_by_whom_it_was_made() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    laptop.git(["config", "samesession.link", "notes"]);
    let config = || fs::read_to_string(laptop.cwd.join(".git/config")).expect("a file");
    let before = config();
    laptop.run_here(["hook", "install", "--git"]).ok();
    assert_eq!(laptop.git(["config", "--get-all", "notes.rewriteRef"]), format!("{NOTES}\n"));
    laptop.run_here(["hook", "install", "--git"]).ok();
    assert_eq!(laptop.git(["config", "--get-all", "notes.rewriteRef"]), format!("{NOTES}\n"));
    laptop.run_here(["hook", "uninstall"]).ok();
    assert_eq!(config(), before);
    // Trailers need none, and notes need it no more.
    laptop.run_here(["hook", "install", "--git"]).ok();
    links(laptop, "trailer");
    assert_eq!(config(), before.replace("link = notes", "link = trailer"));
    // What its user has set stays.
    laptop.git(["config", "samesession.link", "notes"]);
    laptop.git(["config", "notes.rewriteRef", NOTES]);
    laptop.git(["config", "--add", "notes.rewriteRef", "refs/notes/review"]);
    let before = config();
    laptop.run_here(["hook", "install", "--git"]).ok();
    laptop.run_here(["hook", "uninstall"]).ok();
    assert_eq!(config(), before);
    // For all repositories, where Git has a place for hooks of all.
    laptop.git(["config", "--unset-all", "notes.rewriteRef"]);
    laptop.git(["config", "--global", "core.hooksPath", laptop.home.join("all").to_str().expect("text")]);
    let global = fs::read_to_string(laptop.home.join(".gitconfig")).expect("a file");
    laptop.run_here(["hook", "install", "--git", "--global"]).ok();
    laptop.of_session(1).commit_code("nobody has said where sessions go");
    assert_eq!(laptop.noted("HEAD"), [""; 0]);
    laptop.run_here(["init"]).ok();
    laptop.of_session(1).commit_code("now somebody has");
    assert_eq!(laptop.noted("HEAD"), [sid(1)]);
    laptop.run_here(["hook", "uninstall", "--global"]).ok();
    assert_eq!(fs::read_to_string(laptop.home.join(".gitconfig")).expect("a file"), global);
    assert!(!laptop.home.join("all/post-commit").exists());
}

#[test]
fn commits_at_once_in_linked_work_trees_are_all_noted() {
    let scene = linked("notes");
    let laptop = &scene.laptop;
    // Where no reflog is kept, too.
    let bare = laptop.at(laptop.home.join("bare.git"));
    bare.git(["clone", "-q", "--bare", laptop.cwd.to_str().expect("text"), "."]);
    links(&bare, "notes");
    for (n, repository) in [laptop, &bare].into_iter().enumerate() {
        let trees: Vec<Machine> = (0..12)
            .map(|m| {
                let dir = laptop.home.join(format!("trees/{n}-{m}"));
                repository.git(["worktree", "add", "-q", "-b", &format!("b{m}"), dir.to_str().expect("text")]);
                laptop.at(dir).of_session(m + 1)
            })
            .collect();
        let commits: Vec<_> = trees
            .iter()
            .map(|tree| {
                let mut commit = tree.command("git");
                commit.args(["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "--allow-empty", "-m"]);
                commit.arg(&tree.cwd).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("git")
            })
            .collect();
        commits.into_iter().for_each(|mut commit| assert!(commit.wait().expect("it ends").success()));
        for (m, tree) in trees.iter().enumerate() {
            assert_eq!(tree.noted("HEAD"), [sid(m + 1)], "{}", repository.hook_log());
        }
    }
}

#[test]
fn notes_of_two_machines_are_put_together_by_git() {
    let scene = linked("notes");
    let laptop = &scene.laptop;
    let desktop = scene.team.machine("desktop");
    links(&desktop, "notes");
    let shared = laptop.of_session(1).writes("x", "x", &[]);
    laptop.git(["push", "-q", "origin", "main", NOTES]);
    desktop.git(["fetch", "-q", "origin", "main"]);
    desktop.git(["reset", "-q", "--hard", "FETCH_HEAD"]);
    let theirs = desktop.of_session(2).writes("y", "y", &[]);
    // The same commit has a line of either.
    desktop.git(["notes", "--ref", NOTES, "add", "-m", &sid(2), &shared]);
    desktop.git(["fetch", "-q", "origin", &format!("{NOTES}:refs/notes/origin/samesession")]);
    desktop.git(["notes", "--ref", NOTES, "merge", "-q", "-s", "cat_sort_uniq", "refs/notes/origin/samesession"]);
    let mut both = vec![sid(1), sid(2)];
    both.sort();
    assert_eq!((desktop.noted(&shared), desktop.noted(&theirs)), (both, vec![sid(2)]));
    desktop.git(["push", "-q", "origin", NOTES]);
}

/// A session goes before a commit, and a commit before a file; `./` is a file's.
#[test]
fn a_word_means_one_thing() {
    let scene = linked("notes");
    let laptop = &scene.laptop;
    let agent = laptop.of_session(1);
    let (short, branch) = (sid(1)[..6].to_owned(), "both");
    agent.writes(&short, "x", &[]);
    agent.writes(branch, "x", &[]);
    laptop.git(["branch", branch]);
    laptop.run_here(["checkpoint", &id(1)]).ok();
    assert_eq!(laptop.json(["log", &short])["schema"], "samesession.log/1");
    assert_eq!(laptop.json(["log", &format!("./{short}")])["file"], format!("./{short}"));
    let commit = laptop.json(["log", branch]);
    assert_eq!((&commit["schema"], &commit["file"]), (&"samesession.log-commits/1".into(), &serde_json::Value::Null));
    assert_eq!(laptop.json(["log", &format!("./{branch}")])["file"], format!("./{branch}"));
    for checkpoint in [laptop.chain(1).expect("made"), format!("refs/samesession/sessions/{}", sid(1))] {
        assert_eq!(laptop.json(["log", &checkpoint])["schema"], "samesession.log/1");
    }
    // From a directory below, names that pathspecs would make something of, and files that are gone.
    let below = laptop.at(laptop.cwd.join("below"));
    below.of_session(1).writes("*.txt:7", "no other file has this\n", &[]);
    assert_eq!(below.json(["log", "*.txt:7"])["commits"].as_array().map(Vec::len), Some(1));
    assert_eq!(below.json(["log", "*.txt:7:1"])["line"], 1);
    fs::remove_file(below.cwd.join("*.txt:7")).expect("removed");
    below.git(["commit", "-qam", "gone"]);
    assert_eq!(below.json(["log", "*.txt:7"])["others"], 1);
    fs::write(below.cwd.join("new"), "x\n").expect("written");
    below.git(["add", "new"]);
    below.run_here(["log", "new:1"]).fails(1, "line 1 of 'new' is not committed yet");
    below.run_here(["log", "new"]).fails(1, "no session is known");
    for nothing in ["nosuchthing", "nosuchthing:1", "", "HEAD~99", "--", "-x"] {
        let args = ["log", "--", nothing];
        let said = below.run_here(args);
        assert_eq!(said.code(), Some(1), "{nothing}: {}{}", said.stdout(), said.stderr());
    }
    assert!(!Path::new(&laptop.cwd.join("nosuchthing")).exists());
}
