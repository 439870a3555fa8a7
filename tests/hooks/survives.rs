//! What the hook of a push must survive, and what a push must survive because of it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::scene::{scene, soon};
use crate::support::chains::{id, write_script};

#[test]
fn a_push_of_a_hundred_refs_is_one_push() {
    let scene = scene();
    let laptop = &scene.laptop;
    for n in 0..100 {
        laptop.git(["branch", &format!("b{n}")]);
    }
    laptop.try_git(["push", "-q", "origin", "--all"]).ok();
    assert_eq!(scene.team.server.refs("refs/heads").len(), 101);
    assert_eq!(scene.sent(1), laptop.chain(1));
    assert_eq!(laptop.hook_log().lines().count(), 1);
}

#[test]
fn a_deletion_and_a_push_of_nothing_go_as_ever() {
    let scene = scene();
    let laptop = &scene.laptop;
    laptop.try_git(["push", "-q", "origin", "HEAD:refs/heads/main", "HEAD:refs/heads/gone"]).ok();
    laptop.adds(&id(1), "more");
    laptop.try_git(["push", "-q", "origin", ":refs/heads/gone"]).ok();
    assert!(scene.team.server.refs("refs/heads/gone").is_empty());
    laptop.adds(&id(1), "and more");
    laptop.push_code().ok();
    let dry = laptop.try_git(["push", "-q", "--dry-run", "origin", "HEAD:refs/heads/other"]).ok();
    assert_eq!(dry.stderr(), "");
    assert!(scene.team.server.refs("refs/heads/other").is_empty());
}

#[test]
fn a_push_of_what_is_there_already_takes_sessions_along() {
    let scene = scene();
    let laptop = &scene.laptop;
    laptop.push_code().ok();
    laptop.adds(&id(1), "more");
    let pushed = laptop.try_git(["push", "origin", "HEAD:refs/heads/main"]).ok();
    assert!(pushed.stderr().contains("Everything up-to-date"), "{}", pushed.stderr());
    assert_eq!((scene.sent(1), laptop.count(&scene.sent(1).expect("sent"))), (laptop.chain(1), 2));
}

/// What the server says of it is what the user hears, word for word, and its exit status is the user's.
#[test]
fn a_push_that_is_refused_is_refused_as_ever() {
    let scene = scene();
    let laptop = &scene.laptop;
    laptop.push_code().ok();
    let mine = laptop.rev("HEAD");
    scene.team.hook("update", "case $1 in refs/heads/*) echo not today; exit 1;; esac");
    laptop.commit_code("refused");
    laptop.adds(&id(1), "more");
    let with = laptop.push_code();
    assert_eq!((scene.main(), scene.sent(1)), (Some(mine), laptop.chain(1)));
    let without = laptop.try_git(["push", "-q", "--no-verify", "origin", "HEAD:refs/heads/main"]);
    assert_eq!((with.code(), with.stderr()), (without.code(), without.stderr()));
    assert!(with.stderr().contains("not today"), "{}", with.stderr());
    laptop.at_rest();
}

#[test]
fn a_store_that_is_gone_is_a_note_and_no_failure() {
    let scene = scene();
    let laptop = &scene.laptop;
    laptop.git(["remote", "add", "private", "/nonexistent/store.git"]);
    laptop.run_here(["init", "--remote", "private"]).ok();
    let pushed = laptop.push_code().ok();
    assert!(pushed.stderr().contains("sessions were not sent: "), "{}", pushed.stderr());
    assert_eq!(scene.main(), Some(laptop.rev("HEAD")));
    assert!(laptop.chain(1).is_some(), "the checkpoint is made all the same");
    assert!(laptop.run_here(["hook", "status"]).ok().stdout().contains("NOT done"));

    // In strict mode the push waits until it is right.
    laptop.git(["config", "samesession.hook.strict", "true"]);
    laptop.commit_code("more");
    let refused = laptop.push_code();
    assert_ne!(refused.code(), Some(0));
    assert!(refused.stderr().contains("sessions were not sent") && refused.stderr().contains("--no-verify"), "{}", refused.stderr());
    assert_ne!(scene.main(), Some(laptop.rev("HEAD")));
    laptop.git(["config", "samesession.store", "origin"]);
    laptop.push_code().ok();
    assert_eq!((scene.main(), scene.sent(1)), (Some(laptop.rev("HEAD")), laptop.chain(1)));
}

/// The store takes its time: for ever, as far as the test goes.
#[test]
fn a_store_that_is_slow_holds_up_nobody() {
    let scene = scene();
    let laptop = &scene.laptop;
    let store = scene.team.sandbox.machine("store");
    let (store, begun) = (store.at(store.home.join("store.git")), store.home.join("begun"));
    store.git(["init", "-q", "--bare", "."]);
    let slow = store.home.join("slow");
    write_script(&slow, &format!("echo $$ > '{}'\nexec sleep 3600", begun.display()));
    laptop.git(["remote", "add", "slow", store.cwd.to_str().expect("text")]);
    laptop.git(["config", "remote.slow.receivepack", slow.to_str().expect("text")]);
    laptop.run_here(["init", "--remote", "slow"]).ok();
    laptop.git(["config", "samesession.hook.timeout", "0"]);
    laptop.git(["config", "samesession.hook.deadline", "3"]);
    let pushed = laptop.push_code().ok();
    assert!(pushed.stderr().contains("still being sent"), "{}", pushed.stderr());
    assert_eq!(scene.main(), Some(laptop.rev("HEAD")));
    soon("it is begun", || fs::read_to_string(&begun).is_ok_and(|pid| pid.ends_with('\n')));
    let pid = fs::read_to_string(&begun).expect("there").trim().to_owned();
    soon("it is given up", || laptop.hook_log().contains("given up after 3 s"));
    soon("what it has started has ended", || !std::path::Path::new(&format!("/proc/{pid}/cwd")).exists());
    laptop.at_rest();

    laptop.git(["config", "samesession.hook.strict", "true"]);
    laptop.commit_code("more");
    assert_ne!(laptop.push_code().code(), Some(0));
    assert_ne!(scene.main(), Some(laptop.rev("HEAD")));
    laptop.at_rest();
}

/// Whoever would have to be asked is not: not on a terminal, not by a window.
#[test]
fn nobody_is_asked_for_a_password() {
    let scene = scene();
    let laptop = &scene.laptop;
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = server.local_addr().expect("an address").port();
    let asked_server = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked_server);
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            let lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
            lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            count.fetch_add(1, Ordering::Relaxed);
            let _ = stream.write_all(
                b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    let asked = laptop.home.join("asked");
    let askpass = laptop.home.join("askpass");
    write_script(&askpass, &format!("echo \"$1\" >> '{}'; echo word", asked.display()));
    laptop.git(["remote", "add", "private", &format!("http://127.0.0.1:{port}/store.git")]);
    laptop.run_here(["init", "--remote", "private"]).ok();
    laptop.git(["config", "core.askPass", askpass.to_str().expect("text")]);
    let user = laptop.env("GIT_ASKPASS", &askpass).env("SSH_ASKPASS", &askpass).env("DISPLAY", ":0");
    let pushed = user.push_code().ok();
    assert!(asked_server.load(Ordering::Relaxed) > 0, "the server was called");
    assert!(pushed.stderr().contains("not sent"), "{}", pushed.stderr());
    assert!(!asked.exists(), "{}", fs::read_to_string(&asked).unwrap_or_default());

    // OpenSSH is told so in its own words, and only OpenSSH.
    let said = laptop.home.join("said");
    let ssh = laptop.home.join("bin/ssh");
    write_script(&ssh, &format!("echo \"$*\" >> '{}'; exit 255", said.display()));
    laptop.git(["remote", "set-url", "private", "ssh://nowhere.invalid/store.git"]);
    laptop.commit_code("more");
    laptop.git(["config", "core.sshCommand", &format!("{} -v", ssh.display())]);
    laptop.push_code().ok();
    assert!(fs::read_to_string(&said).expect("it was called").contains("-v -o BatchMode=yes"));
    let other = laptop.home.join("bin/plink");
    fs::rename(&ssh, &other).expect("renamed");
    fs::remove_file(&said).expect("removed");
    laptop.commit_code("more");
    laptop.env("GIT_SSH_COMMAND", &other).push_code().ok();
    assert!(!fs::read_to_string(&said).expect("it was called").contains("BatchMode"));
}

#[test]
fn a_full_disk_is_a_note() {
    let scene = scene();
    let laptop = &scene.laptop;
    let full = laptop.env("SAMESESSION_FAULT", "commit.folded=full").push_code().ok();
    assert!(full.stderr().contains("sessions were not sent"), "{}", full.stderr());
    assert_eq!((scene.main(), scene.sent(1)), (Some(laptop.rev("HEAD")), None));
    laptop.commit_code("more");
    laptop.push_code().ok();
    assert_eq!(scene.sent(1), laptop.chain(1));
    laptop.assert_sound(true);
}

#[test]
fn a_hook_that_is_killed_half_way_is_made_up_for_by_the_next() {
    for point in ["commit.folded", "commit.packed", "commit.referenced", "push.begun", "push.sent"] {
        let scene = scene();
        let laptop = &scene.laptop;
        let killed = laptop.env("SAMESESSION_FAULT", format!("{point}=kill")).push_code().ok();
        assert!(killed.stderr().contains("has died"), "{point}: {}", killed.stderr());
        assert_eq!(scene.main(), Some(laptop.rev("HEAD")), "{point}");
        laptop.commit_code("more");
        laptop.push_code().ok();
        assert!(scene.sent(1).is_some(), "{point}: {}", laptop.hook_log());
        assert_eq!(scene.sent(1), laptop.chain(1), "{point}");
        laptop.at_rest();
        laptop.assert_sound(true);
    }
}

/// Not the one that works, but the one that waits for it.
#[test]
fn a_push_whose_hook_is_killed_goes_on_and_so_do_its_sessions() {
    let scene = scene();
    let (laptop, gate) = (&scene.laptop, scene.laptop.home.join("gate"));
    laptop.git(["config", "samesession.hook.timeout", "600"]);
    let paused = laptop.env("SAMESESSION_FAULT", format!("capture.opened=pause:{}", gate.display()));
    let mut push = paused.command("git");
    push.args(["push", "-q", "origin", "HEAD:refs/heads/main"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let push = push.spawn().expect("git");
    soon("the work is begun", || gate.exists());
    let waits = |command: &str| command.contains("hook run pre-push") && !command.contains("--foreground");
    let pids = laptop.processes(waits);
    assert!(!pids.is_empty(), "somebody waits");
    for pid in pids {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it was there");
    }
    let out = push.wait_with_output().expect("it ends");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!((scene.main(), laptop.chain(1)), (Some(laptop.rev("HEAD")), None));
    fs::remove_file(&gate).expect("removed");
    soon("they are sent", || scene.sent(1).is_some());
    laptop.at_rest();
    laptop.assert_sound(false);
}

#[test]
fn fifty_pushes_at_once_from_linked_work_trees_all_arrive() {
    let scene = scene();
    let laptop = &scene.laptop;
    let trees: Vec<_> = (0..50)
        .map(|n| {
            let dir = laptop.home.join(format!("trees/{n}"));
            laptop.git(["worktree", "add", "-q", "-b", &format!("b{n}"), dir.to_str().expect("text")]);
            laptop.at(dir)
        })
        .collect();
    for (n, tree) in trees.iter().enumerate().take(6).skip(2) {
        tree.begin(&id(n));
    }
    let pushes: Vec<_> = trees
        .iter()
        .enumerate()
        .map(|(n, tree)| {
            let mut push = tree.command("git");
            push.args(["push", "-q", "origin", &format!("b{n}")]).stdout(Stdio::piped()).stderr(Stdio::piped());
            push.spawn().expect("git")
        })
        .collect();
    for push in pushes {
        let out = push.wait_with_output().expect("it ends");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
    assert_eq!(scene.team.server.refs("refs/heads").len(), 50);
    laptop.at_rest();
    laptop.push_code().ok();
    for n in 1..6 {
        let tip = scene.sent(n).unwrap_or_else(|| panic!("{n}: {}", laptop.hook_log()));
        assert_eq!(laptop.count(&tip), 1, "each change is one checkpoint, whoever makes it");
    }
    laptop.assert_sound(false);
}

#[test]
fn a_bare_repository_pushes_as_ever() {
    let scene = scene();
    let laptop = &scene.laptop;
    let bare = laptop.at(laptop.home.join("bare.git"));
    bare.git(["clone", "-q", "--bare", laptop.cwd.to_str().expect("text"), "."]);
    bare.run_here(["hook", "install", "--git"]).ok();
    bare.git(["push", "-q", scene.team.server.cwd.to_str().expect("text"), "HEAD:refs/heads/bare"]);
    assert!(scene.team.server.refs("refs/heads/bare").len() == 1);
    bare.run_here(["hook", "uninstall"]).ok();
    bare.run_here(["hook", "install", "--git"]).ok();
    // The work tree of one has its sessions.
    let tree = laptop.at(laptop.home.join("tree"));
    bare.git(["worktree", "add", "-q", "-b", "side", tree.cwd.to_str().expect("text")]);
    tree.git(["remote", "set-url", "origin", scene.team.server.cwd.to_str().expect("text")]);
    tree.begin(&id(3));
    tree.try_git(["push", "-q", "origin", "side"]).ok();
    assert!(scene.sent(3).is_some(), "{}", tree.hook_log());
}

#[test]
fn without_the_program_the_lines_do_nothing() {
    let scene = scene();
    let laptop = &scene.laptop;
    write_script(&laptop.cwd.join(".git/hooks/post-commit"), "exit 0");
    let without = laptop.env("PATH", "/usr/local/bin:/usr/bin:/bin");
    let pushed = without.push_code().ok();
    assert_eq!(pushed.stderr(), "");
    assert_eq!((scene.main(), laptop.chain(1)), (Some(laptop.rev("HEAD")), None));
}

/// No keys, no home, nobody at home.
#[test]
fn where_nobody_lives_nothing_is_done() {
    let scene = scene();
    let laptop = &scene.laptop;
    let ci = laptop.homed(laptop.home.parent().expect("in a sandbox").join("runner")).env("CI", "true");
    fs::create_dir_all(&ci.home).expect("made");
    let pushed = ci.push_code().ok();
    assert_eq!(pushed.stderr(), "");
    assert!(!ci.home.join(".config/samesession").exists(), "keys are not made behind anybody's back");
    laptop.commit_code("more");
    let mut homeless = laptop.command("git");
    homeless.args(["push", "-q", "origin", "HEAD:refs/heads/main"]).env_remove("HOME");
    let out = homeless.output().expect("git");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!((scene.main(), laptop.chain(1)), (Some(laptop.rev("HEAD")), None));
}
