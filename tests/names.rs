//! Directories and files with names that nobody would choose, and homes that are elsewhere.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::support::sandbox::{CLAUDE, CLAUDE_RICH, CODEX, CODEX_FORK, Machine, Sandbox, fixture, snapshot};

/// Claude Code's rule, written down a second time, from what was observed of the program.
fn encoded(dir: &Path) -> String {
    let units: Vec<u16> = dir.to_string_lossy().encode_utf16().collect();
    let plain = |&unit: &u16| match char::from_u32(u32::from(unit)) {
        Some(c) if c.is_ascii_alphanumeric() => c,
        _ => '-',
    };
    let name: String = units.iter().map(plain).collect();
    if name.len() <= 200 {
        return name;
    }
    let mut hash: u32 = 0;
    for unit in units {
        hash = hash.wrapping_shl(5).wrapping_sub(hash).wrapping_add(u32::from(unit));
    }
    let mut rest = (hash as i32).unsigned_abs();
    let mut digits = String::new();
    while rest > 0 {
        digits.insert(0, char::from_digit(rest % 36, 36).expect("a digit"));
        rest /= 36;
    }
    format!("{}-{digits}", &name[..200])
}

fn names() -> Vec<OsString> {
    let mut names: Vec<OsString> = [
        "with spaces  in it",
        "two\nlines",
        "it's \"quoted\" `and` $HOME; rm -rf *",
        "-rf",
        "--help",
        "emoji 😀👩‍🚀",
        "nfc \u{e9}",
        "nfd e\u{301}",
        "tab\tand \u{1b}[31mred",
        "日本語",
        ".hidden",
        "100%41",
    ]
    .map(OsString::from)
    .to_vec();
    names.push(OsString::from_vec(b"caf\xe9 \xff".to_vec()));
    names.push(OsString::from("long.name/".repeat(30)));
    names.push(OsString::from("日本/".repeat(80)));
    names
}

fn transcripts(home: &Path) -> Vec<PathBuf> {
    let all = snapshot(&home.join("projects")).into_iter().map(|(path, _)| path);
    all.filter(|path| path.extension() == Some(OsStr::new("jsonl")) && path.components().count() == home.components().count() + 3).collect()
}

/// A program of this name that says where it was started, and how.
fn stand_in(machine: &Machine, name: &str) -> Machine {
    let bin = machine.home.join("bin");
    fs::create_dir_all(&bin).expect("made");
    let program = bin.join(name);
    fs::write(&program, "#!/bin/sh\npwd -P; echo \"$@\"\n").expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("set");
    let path = std::env::var_os("PATH").expect("a path");
    let dirs = std::iter::once(bin).chain(std::env::split_paths(&path));
    machine.env("PATH", std::env::join_paths(dirs).expect("no colons"))
}

#[test]
fn a_session_goes_to_directories_of_any_name_and_comes_from_them() {
    let sandbox = Sandbox::in_memory();
    let laptop = sandbox.machine("laptop");
    laptop.init().with_claude();
    let original = fs::read(laptop.claude_project().join(format!("{CLAUDE}.jsonl"))).expect("the session");
    for (n, name) in names().into_iter().enumerate() {
        let desktop = sandbox.machine(&format!("desktop{n}"));
        desktop.init();
        let there = desktop.at(desktop.home.join("src").join(&name));
        let real = there.cwd.canonicalize().expect("it is there");
        there.restore(&laptop.seal(CLAUDE, &desktop), &laptop).ok();
        let expected = desktop.claude().join("projects").join(encoded(&real)).join(format!("{CLAUDE}.jsonl"));
        assert_eq!(transcripts(&desktop.claude()), std::slice::from_ref(&expected), "{name:?}");
        assert_eq!(fs::read(&expected).expect("it arrived"), original);

        // It is found there, shown in one line each, and the command to go on can be typed.
        let listed = there.json(["sessions"]);
        assert_eq!(listed["sessions"][0]["native_id"], CLAUDE, "{name:?}: {listed}");
        let text = there.run(["sessions"]).ok().stdout();
        assert_eq!((text.lines().count(), text.contains('\u{1b}')), (1, false), "{text:?}");
        let resume = there.json(["show", CLAUDE])["resume"].as_str().expect("a command").to_owned();
        let typed = stand_in(&desktop.at("/"), "claude").command("bash").args(["-c", &resume]).output().expect("bash");
        let expected = [real.as_os_str().as_bytes(), format!("\n--resume {CLAUDE}\n").as_bytes()].concat();
        assert_eq!(typed.stdout, expected, "{resume}: {}", String::from_utf8_lossy(&typed.stderr));

        // And home again, where it stands already.
        let home = sandbox.path().join(format!("{n}.capsule"));
        there
            .run([
                OsStr::new("checkpoint"),
                "current".as_ref(),
                "-o".as_ref(),
                home.as_os_str(),
                "-r".as_ref(),
                laptop.recipient().as_ref(),
            ])
            .ok();
        let back = laptop.restore(&home, &desktop).ok();
        assert!(back.stdout().contains("already here"), "{name:?}: {}", back.stdout());
    }
}

#[test]
fn a_codex_session_goes_to_directories_of_any_name() {
    let sandbox = Sandbox::in_memory();
    let laptop = sandbox.machine("laptop");
    laptop.init().with_codex();
    for (n, name) in names().into_iter().enumerate() {
        let desktop = sandbox.machine(&format!("desktop{n}"));
        desktop.init();
        let there = desktop.at(desktop.home.join("src").join(&name));
        there.restore(&laptop.seal(CODEX, &desktop), &laptop).ok();
        let listed = there.json(["sessions"]);
        assert_eq!(listed["sessions"][0]["native_id"], CODEX, "{name:?}: {listed}");
        let resume = there.json(["show", CODEX])["resume"].as_str().expect("a command").to_owned();
        let typed = stand_in(&desktop.at("/"), "codex").command("bash").args(["-c", &resume]).output().expect("bash");
        let real = there.cwd.canonicalize().expect("it is there");
        assert!(typed.stdout.starts_with(real.as_os_str().as_bytes()), "{resume}: {}", String::from_utf8_lossy(&typed.stderr));
    }
}

#[test]
fn behind_a_link_the_real_directory_counts() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (sandbox.machine("laptop"), sandbox.machine("desktop"));
    laptop.init().with_claude();
    desktop.init();
    let link = desktop.home.join("link to it");
    symlink(&desktop.cwd, &link).expect("linked");
    let (capsule, trust) = (laptop.seal(CLAUDE, &desktop), laptop.fingerprint());
    let into = [OsStr::new("restore"), capsule.as_os_str(), "--into".as_ref(), link.as_os_str(), "--trust".as_ref(), trust.as_ref()];
    desktop.at("/").run(into).ok();
    assert_eq!(transcripts(&desktop.claude()), [desktop.claude_project().join(format!("{CLAUDE}.jsonl"))]);
    let behind = desktop.at(&link);
    assert_eq!(behind.json(["sessions"])["sessions"][0]["native_id"], CLAUDE);
    // An agent's home behind links is that home.
    let moved = desktop.home.join("moved");
    fs::rename(desktop.claude(), &moved).and_then(|()| symlink(&moved, desktop.claude())).expect("linked");
    assert!(desktop.run(into).ok().stdout().contains("already here"));
}

#[test]
fn artifacts_of_any_name_travel_as_they_are() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (sandbox.machine("laptop"), sandbox.machine("desktop"));
    laptop.init().with_claude();
    desktop.init();
    let own = format!("{CLAUDE_RICH}/tool-results");
    let odd: [&[u8]; 8] = [
        b"with spaces.txt",
        b"two\nlines.txt",
        b"caf\xe9.txt",
        b"-rf",
        b"100%41.txt",
        "日本.txt".as_bytes(),
        b"it's \"x\".txt",
        &[b'n'; 255],
    ];
    for (n, name) in odd.iter().enumerate() {
        fs::write(laptop.claude_project().join(&own).join(OsStr::from_bytes(name)), n.to_string()).expect("written");
    }
    let capsule = laptop.seal(CLAUDE_RICH, &desktop);
    desktop.restore(&capsule, &laptop).ok();
    for (n, name) in odd.iter().enumerate() {
        let there = desktop.claude_project().join(&own).join(OsStr::from_bytes(name));
        assert_eq!(fs::read(there).expect("it arrived"), n.to_string().as_bytes(), "{}", String::from_utf8_lossy(name));
    }
    // One line for each file, whatever it is called.
    let shown = desktop.run(["show", CLAUDE_RICH]).ok().stdout();
    assert_eq!(shown.lines().filter(|line| line.contains("tool-result ")).count(), odd.len() + 1, "{shown}");

    // A name that some systems cannot bear is said at once, where it still can be changed.
    fs::write(laptop.claude_project().join(&own).join("back\\slash"), "").expect("written");
    laptop.run(["checkpoint", CLAUDE_RICH, "-o", "x"]).fails(128, "cannot travel");
    assert!(!laptop.cwd.join("x").exists());
}

#[test]
fn what_could_not_be_restored_is_not_sealed() {
    let sandbox = Sandbox::new();
    let laptop = sandbox.machine("laptop");
    laptop.init();
    laptop.with_claude();
    let results = laptop.claude_project().join(CLAUDE_RICH).join("tool-results");
    let out = sandbox.path().join("x.capsule");
    let seal = || laptop.run([OsStr::new("checkpoint"), CLAUDE_RICH.as_ref(), "-o".as_ref(), out.as_os_str()]);
    for name in ["Log.txt", "log.txt"] {
        fs::write(results.join(name), name).expect("written");
    }
    // Where upper and lower case are one there are no two.
    if fs::read(results.join("Log.txt")).expect("read") == b"Log.txt" {
        seal().fails(128, "one file on some systems").hints("another name");
        assert!(!out.exists());
        fs::remove_file(results.join("Log.txt")).expect("removed");
    }
    fs::write(results.join("an end."), "").expect("written");
    seal().fails(128, "cannot travel").hints("another name");
    fs::remove_file(results.join("an end.")).expect("removed");
    fs::File::create(results.join("zeros.txt")).and_then(|file| file.set_len(200 << 20)).expect("a hole");
    seal().fails(128, "larger than allowed");
    assert!(!out.exists());
    fs::remove_file(results.join("zeros.txt")).expect("removed");
    seal().ok();
}

#[test]
fn homes_that_were_moved_are_honoured_on_both_sides() {
    let sandbox = Sandbox::new();
    let elsewhere = |name: &str| {
        let machine = sandbox.machine(name);
        let dir = |below: &str| {
            let dir = machine.home.join("agents of mine").join(below);
            fs::create_dir_all(&dir).expect("made");
            dir
        };
        let (claude, codex, databases) = (dir("claude"), dir("codex"), dir("databases"));
        let moved = machine.env("CLAUDE_CONFIG_DIR", &claude).env("CODEX_HOME", &codex).env("CODEX_SQLITE_HOME", &databases);
        (machine, moved, claude, codex, databases)
    };
    let (plain, laptop, claude, codex, _) = elsewhere("laptop");
    plain.init().with_claude().with_codex();
    fs::remove_dir(&claude).and_then(|()| fs::rename(plain.claude(), &claude)).expect("moved");
    fs::remove_dir(&codex).and_then(|()| fs::rename(plain.codex(), &codex)).expect("moved");

    let (bare, desktop, claude, codex, databases) = elsewhere("desktop");
    bare.init();
    let index = databases.join("state_5.sqlite");
    let sql = fs::File::open(fixture("codex-0.169.0/state_5.threads.sql")).expect("the fixture");
    let made = desktop.command("sqlite3").arg(&index).stdin(sql).status();
    let has_index = made.is_ok_and(|made| made.success());
    if !has_index {
        eprintln!("SKIPPED: no sqlite3 here, so the moved index of Codex is not looked at");
    }
    for session in [CLAUDE, CODEX_FORK] {
        desktop.restore(&laptop.seal(session, &desktop), &laptop).ok();
    }
    let project = claude.join("projects").join(encoded(&desktop.cwd));
    assert!(project.join(format!("{CLAUDE}.jsonl")).is_file());
    assert_eq!(fs::read_dir(codex.join("sessions/2026/11/21")).expect("rollouts").count(), 2);
    assert!(!bare.claude().exists() && !bare.codex().exists());
    if has_index {
        let sql = format!("SELECT rollout_path FROM threads WHERE id = '{CODEX_FORK}'");
        let row = desktop.command("sqlite3").arg(&index).arg(sql).output().expect("sqlite3").stdout;
        assert!(String::from_utf8_lossy(&row).starts_with(codex.to_str().expect("UTF-8")), "{}", String::from_utf8_lossy(&row));
    }
    assert_eq!(desktop.json(["sessions"])["sessions"].as_array().expect("sessions").len(), 2);
}

#[test]
fn a_home_that_would_be_another_one_in_every_directory_is_refused() {
    let sandbox = Sandbox::new();
    let laptop = sandbox.machine("laptop");
    laptop.init().with_claude();
    let capsule = laptop.seal(CLAUDE, &laptop);
    let before = snapshot(&sandbox.path());
    for name in ["CLAUDE_CONFIG_DIR", "CODEX_HOME", "CODEX_SQLITE_HOME", "HOME"] {
        let relative = laptop.env(name, "some/where");
        for args in [vec!["sessions", "--all"], vec!["doctor"], vec!["checkpoint", "current", "-o", "x"]] {
            relative.run(args).fails(128, &format!("{name} is not an absolute path: 'some/where'")).hints("absolute path");
        }
    }
    laptop.env("XDG_CONFIG_HOME", "some/where").run(["device", "show"]).fails(128, "XDG_CONFIG_HOME is not an absolute path");
    laptop.env("CLAUDE_CONFIG_DIR", "./x").run([OsStr::new("restore"), capsule.as_os_str()]).fails(128, "CLAUDE_CONFIG_DIR");
    let mut homeless = laptop.command(env!("CARGO_BIN_EXE_git-samesession"));
    let output = homeless.env_remove("HOME").arg("sessions").output().expect("started");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).contains("HOME is not set")), (Some(128), true));
    // Set to nothing is not set.
    let empty = laptop.env("CLAUDE_CONFIG_DIR", "").env("CODEX_HOME", "").env("XDG_CONFIG_HOME", "");
    assert_eq!(empty.json(["sessions", "--all"])["sessions"].as_array().expect("sessions").len(), 3);
    assert_eq!(snapshot(&sandbox.path()), before);
}
