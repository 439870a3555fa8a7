//! Remotes that refuse, fail, vanish or are shallow, and the real servers: what is said, and that a later push succeeds.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::chains::{Team, write_script};
use crate::support::sandbox::{Machine, Ran};

const SESSION: &str = "aaaaaaaa-0001-4000-8000-000000000001";

/// A session, begun and not pushed.
fn begun() -> (Team, Machine) {
    let team = Team::new();
    let laptop = team.machine("laptop");
    laptop.begin(SESSION);
    (team, laptop)
}

/// A push that does not arrive leaves the chain here as it is, and the next one arrives when nothing is in its way.
#[track_caller]
fn push_in_vain(team: &Team, laptop: &Machine) -> Ran {
    let before = laptop.local_tip();
    let ran = laptop.run(["push", SESSION]);
    assert!(matches!(ran.code(), Some(1 | 128)), "{}{}", ran.stdout(), ran.stderr());
    assert_eq!(ran.stderr().lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", ran.stderr());
    assert_eq!(laptop.local_tip(), before);
    laptop.assert_sound(false);
    team.server.assert_sound(true);
    ran
}

#[track_caller]
fn push_after_all(team: &Team, laptop: &Machine) {
    laptop.run(["push", SESSION]).ok();
    assert_eq!((laptop.local_tip(), laptop.local_tip().is_some()), (team.server.local_tip(), true));
    laptop.assert_sound(false);
    team.server.assert_sound(true);
}

#[test]
fn a_hook_that_declines_is_heard() {
    let (team, laptop) = begun();
    for hook in ["pre-receive", "update"] {
        laptop.adds(SESSION, hook);
        team.hook(hook, "echo 'no sessions on Fridays' >&2; echo 'ask the admin' >&2; exit 1");
        let declined = laptop.run(["checkpoint", SESSION, "--push"]).fails(1, "hook declined");
        let said = declined.stdout();
        assert!(said.contains("checkpoint ") && said.contains("NOT pushed to origin") && said.contains("no sessions on Fridays"), "{said}");
        let ran = push_in_vain(&team, &laptop).fails(1, "no sessions on Fridays / ask the admin");
        assert_eq!(ran.code(), Some(1));
        team.without_hook(hook);
        push_after_all(&team, &laptop);
    }
}

#[test]
fn a_refused_push_is_one_answer_for_scripts() {
    let (team, laptop) = begun();
    team.hook("pre-receive", "echo 'no sessions on Fridays' >&2; exit 1");
    laptop.adds(SESSION, "more");
    let refused = |answer: &serde_json::Value| {
        let row = &answer["sessions"][0];
        assert_eq!(row["result"], "refused", "{answer}");
        assert!(row["why"].as_str().is_some_and(|why| why.contains("no sessions on Fridays")), "{answer}");
    };
    // The checkpoint stands, and the same answer says so.
    let ran = laptop.run(["checkpoint", SESSION, "--push", "--json"]).fails_with(1);
    assert_eq!(ran.json()["state"], "made");
    refused(&ran.json()["push"]);
    refused(&laptop.run(["push", "--all", "--json"]).fails_with(1).json());
}

/// The server's part of a push runs in this script, whose words are those of `git receive-pack`.
fn receive_with(team: &Team, laptop: &Machine, script: &str) {
    let path = team.server.home.join("receive-pack");
    write_script(&path, script);
    laptop.git(["config", "remote.origin.receivepack", path.to_str().expect("UTF-8")]);
}

fn receive_as_ever(laptop: &Machine) {
    laptop.git(["config", "--unset", "remote.origin.receivepack"]);
}

#[test]
fn a_remote_that_cannot_be_written_to_says_so() {
    let (team, laptop) = begun();
    laptop.run(["checkpoint", SESSION]).ok();
    let can = |command: &str, args: &[&str]| laptop.command(command).args(args).output().is_ok_and(|out| out.status.success());
    // No privilege may help the one who writes.
    let plain = "exec git-receive-pack \"$@\"";
    let unprivileged = "exec setpriv --inh-caps=-all --bounding-set=-all git-receive-pack \"$@\"";
    let root = rustix::process::geteuid().is_root();
    let small = "unshare -rm sh -c 'mount -t tmpfs -o size=256k none /mnt && cp -a \"$1/.\" /mnt && \
                 { cat /dev/zero >/mnt/.filler 2>/dev/null; exec git-receive-pack /mnt; }' - \"$@\"";
    let cases = [
        ("read-only", if root { unprivileged } else { plain }, !root || can("setpriv", &["--bounding-set=-all", "true"])),
        ("too large a file", "ulimit -f 1; trap '' XFSZ; exec git-receive-pack \"$@\"", true),
        ("full", small, Path::new("/mnt").is_dir() && can("unshare", &["-rm", "mount", "-t", "tmpfs", "none", "/mnt"])),
    ];
    for (what, script, possible) in cases {
        if !possible {
            eprintln!("SKIPPED: {what}: not possible here");
            continue;
        }
        let mode = |mode: &str| assert!(can("chmod", &["-R", mode, team.server.cwd.to_str().expect("UTF-8")]));
        receive_with(&team, &laptop, script);
        if what == "read-only" {
            mode("a-w");
        }
        laptop.adds(SESSION, what);
        laptop.run(["checkpoint", SESSION]).ok();
        let ran = push_in_vain(&team, &laptop);
        mode("u+w");
        let words = ["Permission denied", "unable to create temporary object directory", "File too large", "No space left", "unpack"];
        assert!(words.iter().any(|words| ran.stderr().contains(words)), "{what}: {}", ran.stderr());
        eprintln!("{what}: {}", ran.stderr());
        receive_as_ever(&laptop);
        push_after_all(&team, &laptop);
    }
}

#[test]
fn a_remote_that_vanishes_in_the_middle_has_all_or_nothing() {
    let (team, laptop) = begun();
    let died = "kill -9 $PPID";
    for (hook, script) in [
        (None, "exit 1"),
        (None, "printf 00b1"),
        (None, "head -c 1500 | git-receive-pack \"$@\""),
        (Some("pre-receive"), died),
        (Some("update"), died),
        (Some("post-receive"), died),
    ] {
        laptop.adds(SESSION, &format!("{hook:?}"));
        laptop.run(["checkpoint", SESSION]).ok();
        match hook {
            Some(hook) => team.hook(hook, script),
            None => receive_with(&team, &laptop, script),
        }
        let before = team.server.local_tip();
        let ran = laptop.run(["push", SESSION]);
        eprintln!("{hook:?} {script}: {:?} {}{}", ran.code(), ran.stdout(), ran.stderr());
        let there = team.server.local_tip();
        // It may have arrived though the answer did not.
        let all = there == laptop.local_tip();
        assert!(all || ran.code() != Some(0) && there == before, "{script}: {}", ran.stdout());
        match hook {
            Some(hook) => team.without_hook(hook),
            None => receive_as_ever(&laptop),
        }
        push_after_all(&team, &laptop);
    }
}

/// Two machines go on with one session by this address: there, back, apart, together, shorter.
fn there_and_back(team: &Team, address: &str) {
    let [laptop, desktop] = team.pair();
    for machine in [&laptop, &desktop] {
        machine.git(["remote", "set-url", "origin", address]);
    }
    laptop.begin(SESSION);
    laptop.run(["checkpoint", SESSION, "--push"]).ok();
    desktop.git(["fetch", "-q"]);
    desktop.run(["restore", SESSION, "--session-only"]).ok();
    for machine in [&laptop, &desktop] {
        machine.adds(SESSION, &machine.name);
        machine.run(["checkpoint", SESSION, "--push"]).ok();
    }
    let joined = team.server.local_tip().expect("a chain");
    assert!(team.server.descends(&joined, &laptop.local_tip().expect("a chain")));
    laptop.run(["fetch"]).ok();
    assert_eq!(laptop.local_tip(), Some(joined.clone()));
    desktop.run(["restore", &laptop.local_tip().expect("a chain"), "--set-aside"]);
    desktop.run(["checkpoint", SESSION, "--push"]).ok();
    laptop.run(["fetch"]).ok();
    laptop.run(["restore", SESSION]);
    team.server.assert_sound(false);
}

#[test]
fn a_server_that_is_a_shallow_clone_takes_and_gives_chains() {
    let team = Team::new();
    let upstream = team.sandbox.machine("upstream");
    upstream.git(["init", "-q", "."]);
    for n in 0..5 {
        upstream.git(["commit", "-q", "--allow-empty", "-m", &n.to_string()]);
    }
    let address = format!("file://{}", upstream.cwd.display());
    team.server.git(["fetch", "-q", "--depth", "1", &address, "HEAD:refs/heads/main"]);
    assert_eq!(team.server.git(["rev-parse", "--is-shallow-repository"]).trim(), "true");
    there_and_back(&team, team.server.cwd.to_str().expect("UTF-8"));
}

#[test]
fn a_server_that_has_only_the_newest_checkpoint_takes_the_next_ones() {
    let (team, laptop) = begun();
    for n in 0..4 {
        laptop.adds(SESSION, &n.to_string());
        laptop.run(["checkpoint", SESSION, "--push"]).ok();
    }
    let shallow = team.server.at(team.server.home.join("shallow.git"));
    shallow.git(["init", "-q", "--bare", "."]);
    shallow.git(["fetch", "-q", "--depth", "1", &format!("file://{}", team.server.cwd.display()), "refs/samesession/*:refs/samesession/*"]);
    assert_eq!(shallow.git(["rev-list", "--count", &shallow.local_tip().expect("a chain")]).trim(), "1");
    laptop.git(["remote", "set-url", "origin", shallow.cwd.to_str().expect("UTF-8")]);
    laptop.adds(SESSION, "and on");
    laptop.run(["checkpoint", SESSION, "--push"]).ok();
    assert_eq!(shallow.local_tip(), laptop.local_tip());
    shallow.assert_sound(false);
    laptop.run(["fetch"]).ok();
}

/// Ends with its test.
struct Daemon(Child, u16);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port()
}

/// `git daemon` on a port of its own.
fn daemon(team: &Team) -> Daemon {
    // Not `git daemon`, which would be a parent that leaves its child behind.
    let program = PathBuf::from(team.server.git(["--exec-path"]).trim()).join("git-daemon");
    for _ in 0..10 {
        let port = free_port();
        let mut command = team.server.command(&program);
        command.args(["--listen=127.0.0.1", &format!("--port={port}"), "--export-all", "--enable=receive-pack", "--reuseaddr"]);
        command.arg(format!("--base-path={}", team.server.home.display())).stdout(Stdio::null()).stderr(Stdio::null());
        let mut daemon = Daemon(command.spawn().expect("git-daemon"), port);
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline && daemon.0.try_wait().expect("a child").is_none() {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return daemon;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    panic!("git daemon does not start");
}

#[test]
fn chains_go_through_git_daemon() {
    let team = Team::new();
    let daemon = daemon(&team);
    there_and_back(&team, &format!("git://127.0.0.1:{}/origin.git", daemon.1));
}

#[test]
fn a_daemon_that_is_killed_under_a_push_is_said_and_the_checkpoint_stands() {
    let (team, laptop) = begun();
    let daemon = daemon(&team);
    laptop.git(["remote", "set-url", "origin", &format!("git://127.0.0.1:{}/origin.git", daemon.1)]);
    laptop.run(["checkpoint", SESSION, "--push"]).ok();
    team.hook("pre-receive", &format!("kill -9 {} $PPID", daemon.0.id()));
    laptop.adds(SESSION, "and on");
    let ran = laptop.run(["checkpoint", SESSION, "--push"]);
    assert!(matches!(ran.code(), Some(1 | 128)) && ran.stdout().starts_with("checkpoint 2 of "), "{}{}", ran.stdout(), ran.stderr());
    let ran = push_in_vain(&team, &laptop).fails(128, "git push failed");
    assert!(ran.stderr().contains("Connection refused"), "{}", ran.stderr());
    team.without_hook("pre-receive");
    laptop.git(["remote", "set-url", "origin", team.server.cwd.to_str().expect("UTF-8")]);
    push_after_all(&team, &laptop);
}

#[test]
fn chains_go_through_http() {
    let team = Team::new();
    let exec = PathBuf::from(team.server.git(["--exec-path"]).trim());
    if !exec.join("git-remote-http").exists() || !exec.join("git-http-backend").exists() {
        eprintln!("SKIPPED: this Git speaks no HTTP");
        return;
    }
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}/origin.git", socket.local_addr().expect("an address"));
    let (server, backend) = (Arc::new(team.server.clone()), Arc::new(exec.join("git-http-backend")));
    // It ends with the process of the test.
    std::thread::spawn(move || {
        for stream in socket.incoming().flatten() {
            let (server, backend) = (Arc::clone(&server), Arc::clone(&backend));
            std::thread::spawn(move || serve(&server, &backend, stream));
        }
    });
    there_and_back(&team, &address);
}

/// One request, answered by Git's own CGI program.
fn serve(server: &Machine, backend: &Path, mut stream: TcpStream) -> Option<()> {
    let mut from = BufReader::new(stream.try_clone().ok()?);
    let line = |from: &mut BufReader<TcpStream>| {
        let mut line = String::new();
        from.read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    };
    let request = line(&mut from)?;
    let [method, target, _] = request.split(' ').collect::<Vec<_>>()[..] else { return None };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut command = server.command(backend);
    command
        .env("GIT_PROJECT_ROOT", &server.home)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "somebody")
        .env("REMOTE_ADDR", "127.0.0.1");
    command.env("PATH_INFO", path).env("QUERY_STRING", query).env("REQUEST_METHOD", method);
    let (mut length, mut chunked) = (0, false);
    loop {
        let header = line(&mut from)?;
        let Some((name, value)) = header.split_once(':') else { break };
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", value) => length = value.parse().ok()?,
            ("transfer-encoding", "chunked") => chunked = true,
            ("content-type", value) => drop(command.env("CONTENT_TYPE", value)),
            ("content-encoding", value) => drop(command.env("HTTP_CONTENT_ENCODING", value)),
            ("git-protocol", value) => drop(command.env("HTTP_GIT_PROTOCOL", value)),
            ("expect", _) => stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    while chunked {
        let mut chunk = vec![0; usize::from_str_radix(&line(&mut from)?, 16).ok()? + 2];
        from.read_exact(&mut chunk).ok()?;
        chunk.truncate(chunk.len() - 2);
        chunked = !chunk.is_empty();
        body.extend(chunk);
    }
    let mut child = command.env("CONTENT_LENGTH", body.len().to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut stdin = child.stdin.take()?;
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&body)));
    let out = child.wait_with_output().ok()?.stdout;
    feeding.join().ok()?;
    let end = out.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let headers = String::from_utf8_lossy(&out[..end]).into_owned();
    let status = headers.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    let rest = &out[end + 4..];
    write!(stream, "HTTP/1.1 {status}\r\n{headers}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len()).ok()?;
    stream.write_all(rest).ok()
}
