//! The whole circle with the real agents: handed over here, taken over and gone on with there, and back home, through
//! Git's own servers. One session id throughout, and in the end the model is sent every turn.

use std::path::PathBuf;
use std::process::Command;

use crate::scene::{CLAUDE, CODEX, Computer, HOLD, Kind, World};
use crate::support::agents::process::MARK;
use crate::support::agents::{Terminal, claude, codex, eventually};
use crate::support::sandbox::Ran;
use crate::support::servers::{self, Daemon};

struct Circle {
    world: World,
    laptop: Computer,
    desktop: Computer,
    _server: Option<Daemon>,
}

impl Circle {
    /// Two clones of what a server has, in which each believes the other.
    fn new(http: bool) -> Option<Circle> {
        let world = World::new()?;
        let (laptop, desktop) = world.two();
        let server = world.sandbox.machine("server");
        let bare = server.at(server.home.join("origin.git"));
        bare.git(["init", "-q", "--bare", "-b", "main", "."]);
        let (address, daemon) = match http {
            true => (servers::http(&server).expect("this Git speaks HTTP"), None),
            false => {
                let daemon = Daemon::start(&server);
                (daemon.address(), Some(daemon))
            }
        };
        let url = format!("{address}/origin.git");
        laptop.machine.git(["init", "-q", "-b", "main"]);
        laptop.machine.git(["commit", "-q", "--allow-empty", "-m", "Begin"]);
        laptop.machine.git(["remote", "add", "origin", &url]);
        laptop.machine.git(["push", "-q", "-u", "origin", "main"]);
        desktop.machine.git(["clone", "-q", &url, "."]);
        laptop.machine.run(["init", "--recipient", &desktop.machine.recipient()]).ok();
        desktop.machine.run(["init", "--recipient", &laptop.machine.recipient()]).ok();
        Some(Circle { world, laptop, desktop, _server: daemon })
    }

    /// `resume`, which starts the real agent with these words; with the environment that it needs.
    fn resume(&self, computer: &Computer, kind: Kind, args: &[&str]) -> Command {
        let mut command = computer.machine.command("git");
        let own = if kind.name == "claude" { claude::environment(&computer.ctx) } else { codex::environment(&computer.ctx) };
        let path =
            computer.machine.command("true").get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| Some(path?.to_owned()));
        command.envs(own.into_iter().filter(|(name, _)| name != "PATH")).env("PATH", path.expect("a path"));
        command.args(["samesession", "resume"]).args(args);
        command
    }

    /// Where the agent will be, if the session is taken over there.
    fn place(computer: &Computer, id: &str, trust: &Computer) -> PathBuf {
        let plan = computer.machine.json(["resume", id, "-n", "--trust", &trust.machine.fingerprint()]);
        PathBuf::from(plan["cwd"].as_str().expect("a directory"))
    }

    fn status(&self, computer: &Computer) -> String {
        computer.machine.git(["status", "--porcelain=v2", "--untracked-files=all"])
    }

    /// At a terminal: the agent is asked this, answers, and is closed.
    fn at_a_terminal(&self, computer: &Computer, kind: Kind, id: &str, from: &Computer, prompt: &str) {
        let there = Circle::place(computer, id, from);
        // Codex believes repositories, Claude Code directories.
        let trust = format!("projects={{{:?}={{trust_level=\"trusted\"}}}}", computer.ctx.cwd());
        let words: Vec<&str> = match kind.name {
            "claude" => {
                claude::answer_questions(&computer.ctx.at(&there));
                vec!["--dangerously-skip-permissions"]
            }
            _ => vec!["-c", &trust, "--no-daemon"],
        };
        let print = from.machine.fingerprint();
        let command = self.resume(computer, kind, &[&[id, "--trust", &print, "--"], &words[..]].concat());
        let terminal = Terminal::open(&command);
        terminal.wait_for(if kind.name == "claude" { "bypass permissions" } else { "fake-model" });
        terminal.say(prompt);
        computer.written(kind, id, prompt);
        eventually("the turn is over", || self.world.server.last_talk_contains(prompt));
        std::thread::sleep(std::time::Duration::from_secs(2));
        match kind.name {
            "claude" => terminal.say("/exit"),
            _ => {
                terminal.press("C-c");
                std::thread::sleep(std::time::Duration::from_millis(300));
                terminal.press("C-c");
            }
        }
        eventually("the agent and what follows it have ended", || terminal.is_closed());
        assert!(terminal.screen().contains("free for whoever goes on"), "{}", terminal.screen());
    }
}

fn around(kind: Kind, http: bool) {
    let Some(circle) = Circle::new(http) else { return };
    let Circle { world, laptop, desktop, .. } = &circle;
    let first = (kind.say)(&laptop.ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    let id = first.id();
    laptop.machine.git(["add", "notes"]);
    std::fs::write(laptop.machine.cwd.join("new"), "untracked\n").expect("written");
    laptop.machine.run(["move", id]).ok();

    let there = Circle::place(desktop, id, laptop);
    if kind.name == "claude" {
        let words = ["-p", "--dangerously-skip-permissions", "RUN-CMD: echo two > 'second turn'"];
        let print = laptop.machine.fingerprint();
        let args = [&[id, "--trust", &print, "--"][..], &words].concat();
        let ran = Ran(circle.resume(desktop, kind, &args).output().expect("started")).ok();
        assert!(ran.stderr().contains("sent to 'origin'; free for whoever goes on"), "{}", ran.stderr());
        assert!(ran.stdout().starts_with("Command run"), "standard output is the agent's: {}", ran.stdout());
    } else {
        circle.at_a_terminal(desktop, kind, id, laptop, "RUN-CMD: echo two > 'second turn'");
    }
    let there = world.computer_of(&desktop.machine.at(there));
    assert_eq!(world.last_talk_of(id).at.cwd, there.cwd());
    let status = circle.status(&there);
    assert!(status.contains("notes/hello.txt") && status.contains("? new") && status.contains("second turn"), "{status}");

    laptop.machine.run(["fetch", "--trust", &desktop.machine.fingerprint()]).ok();
    let home = Circle::place(laptop, id, desktop);
    circle.at_a_terminal(laptop, kind, id, desktop, "And a third turn, at home.");
    assert_eq!(circle.status(&world.computer_of(&laptop.machine.at(home))), status);
    let sent = world.last_talk_of(id);
    for words in ["QUOKKA-7731", "second turn", "And a third turn, at home."] {
        assert!(sent.says(words), "{words}");
    }
    assert_eq!(laptop.machine.json(["lease", "status"])["sessions"][0]["standing"], "free");
}

#[test]
fn claude_goes_there_and_comes_home() {
    around(CLAUDE, true);
}

#[test]
fn codex_goes_there_and_comes_home() {
    around(CODEX, false);
}

#[test]
fn claude_does_so_through_git_daemon() {
    around(CLAUDE, false);
}

#[test]
fn codex_does_so_through_http() {
    around(CODEX, true);
}

/// The agent hands itself over, in the middle of its own turn.
fn from_inside(kind: Kind) {
    let Some(circle) = Circle::new(false) else { return };
    let Circle { world, laptop, desktop, .. } = &circle;
    let first = (kind.say)(&laptop.ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    let id = first.id();
    // By that mark the tests end what an agent leaves behind, and this is to stay.
    let moving = (kind.say)(&laptop.ctx, Some(id), &format!("RUN-CMD: env -u {MARK} git samesession move && sleep 1")).ok();
    assert_eq!(moving.id(), id);
    assert!(world.last_talk_of(id).says("when this turn is over"), "the agent was told");
    let waits = || {
        desktop.machine.git(["fetch", "-q"]);
        desktop.machine.run(["fetch", "--trust", &laptop.machine.fingerprint()]).ok();
        desktop.machine.json(["lease", "status"])["sessions"][0]["standing"] == "waiting"
    };
    let log = laptop.machine.cwd.join(".git/samesession/move.log");
    let begun = std::time::Instant::now();
    while !waits() {
        assert!(begun.elapsed().as_secs() < 30, "{}", std::fs::read_to_string(&log).unwrap_or_default());
    }
    let taken = desktop.machine.json(["resume", "--no-launch"]);
    let there = world.computer_of(&desktop.machine.at(taken["cwd"].as_str().expect("a directory")));
    // Whole: with the answer that came after the command.
    assert_eq!(there.bytes(kind, id), laptop.bytes(kind, id));
    (kind.say)(&there.ctx, Some(id), "Still there?").ok();
    assert!(world.last_talk_of(id).says("when this turn is over"));
    there.machine.run(["move", id]).ok();
    laptop.machine.run(["fetch", "--trust", &desktop.machine.fingerprint()]).ok();
    let back = laptop.machine.json(["resume", "--no-launch", id]);
    assert_eq!(back["relation"], "behind", "the way back is a fast-forward: {back:#}");
}

#[test]
fn claude_hands_itself_over() {
    from_inside(CLAUDE);
}

#[test]
fn codex_hands_itself_over() {
    from_inside(CODEX);
}

/// From another terminal, while it works.
fn while_it_works(kind: Kind) {
    let Some(circle) = Circle::new(false) else { return };
    let Circle { laptop, .. } = &circle;
    let first = (kind.say)(&laptop.ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    let id = first.id();
    let turn = (kind.start)(&laptop.ctx, Some(id), HOLD);
    laptop.written(kind, id, "seq 300");
    let cut = laptop.machine.run(["move", id, "--wait", "1"]).ok();
    assert!(cut.stderr().contains("waiting for its end, 1 s at most"), "{}", cut.stderr());
    assert!(cut.stderr().contains("this is how the session stood"), "{}", cut.stderr());
    let waiting = laptop.machine.start(["move", id]);
    std::thread::sleep(std::time::Duration::from_millis(500));
    std::fs::write(laptop.machine.cwd.join("go"), "").expect("written");
    turn.wait().ok();
    let ran = Ran(waiting.wait_with_output().expect("it ends")).ok();
    assert!(!ran.stderr().contains("this is how the session stood"), "{}", ran.stderr());
    laptop.machine.run(["checkpoint", id]).ok();
    assert_eq!(laptop.machine.json(["checkpoint", id])["state"], "unchanged");
}

#[test]
fn claude_is_waited_for() {
    while_it_works(CLAUDE);
}

#[test]
fn codex_is_waited_for() {
    while_it_works(CODEX);
}

/// Stopped by its own key, an agent leaves the shell to its user, and goes on when that says so.
#[test]
fn claude_is_stopped_and_goes_on_at_a_shell() {
    let Some(circle) = Circle::new(false) else { return };
    let Circle { laptop, desktop, .. } = &circle;
    let first = (CLAUDE.say)(&laptop.ctx, None, "Remember the codeword QUOKKA-7731.").ok();
    let id = first.id();
    laptop.machine.run(["move", id]).ok();
    let there = Circle::place(desktop, id, laptop);
    claude::answer_questions(&desktop.ctx.at(&there));
    let resume = circle.resume(desktop, CLAUDE, &[]);
    let mut shell = Command::new("bash");
    shell.args(["--norc", "--noprofile", "-i"]).current_dir(&desktop.machine.cwd);
    shell.envs(resume.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("PS1", "ready> ");
    let terminal = Terminal::open(&shell);
    terminal.wait_for("ready>");
    let trust = laptop.machine.fingerprint();
    terminal.write(&format!("git samesession resume {id} --trust {trust} -- --dangerously-skip-permissions"));
    terminal.press("Enter");
    terminal.wait_for("bypass permissions");
    terminal.press("C-z");
    terminal.wait_for("Stopped");
    terminal.write("clear; echo a shell: $((40 + 2))");
    terminal.press("Enter");
    terminal.wait_for("a shell: 42");
    terminal.write("fg");
    terminal.press("Enter");
    terminal.wait_for("bypass permissions");
    terminal.say("And on after a pause.");
    desktop.written(CLAUDE, id, "And on after a pause.");
    eventually("the turn is over", || circle.world.server.last_talk_contains("And on after a pause."));
    std::thread::sleep(std::time::Duration::from_secs(2));
    terminal.say("/exit");
    terminal.wait_for("free for whoever goes on");
    // The terminal echoes again.
    terminal.write("echo visible");
    terminal.wait_for("echo visible");
}
