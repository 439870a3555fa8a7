//! Machines that share chains: a repository each, one bare origin, and trust between them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::sandbox::{Machine, Ran, Sandbox};

/// A bare repository and those who push to it.
pub struct Team {
    pub sandbox: Sandbox,
    /// Stands in the bare repository.
    pub server: Machine,
}

impl Team {
    pub fn new() -> Team {
        let sandbox = Sandbox::in_memory();
        let server = sandbox.machine("server");
        let server = server.at(server.home.join("origin.git"));
        server.git(["init", "-q", "--bare", "."]);
        Team { sandbox, server }
    }

    /// A machine whose project is a repository with `origin`, whose chains a fetch brings.
    pub fn machine(&self, name: &str) -> Machine {
        let machine = self.sandbox.machine(name);
        machine.init().git(["init", "-q", "."]);
        // The same commit on every machine, so that each has the others' work tree already.
        let then = "2026-11-21T00:00:00Z";
        let dated = machine.env("GIT_AUTHOR_DATE", then).env("GIT_COMMITTER_DATE", then);
        dated.git(["commit", "-q", "--allow-empty", "-m", "first"]);
        machine.git(["remote", "add", "origin", self.server.cwd.to_str().expect("UTF-8")]);
        machine.git(["config", "--add", "remote.origin.fetch", "+refs/samesession/*:refs/samesession-remote/origin/*"]);
        machine
    }

    /// Two that believe each other and read what the other one seals.
    pub fn pair(&self) -> [Machine; 2] {
        let pair = [self.machine("laptop"), self.machine("desktop")];
        acquaint(&pair);
        pair
    }

    /// A hook of the bare repository; it finds itself in there.
    pub fn hook(&self, name: &str, script: &str) {
        write_script(&self.server.cwd.join("hooks").join(name), script);
    }

    pub fn without_hook(&self, name: &str) {
        fs::remove_file(self.server.cwd.join("hooks").join(name)).expect("it was there");
    }
}

/// Each believes all of them and seals to all of them.
pub fn acquaint(machines: &[Machine]) {
    let shown: Vec<_> = machines.iter().map(|machine| machine.json(["device", "show"])).collect();
    for (n, machine) in machines.iter().enumerate() {
        let mut known = String::new();
        for (_, other) in shown.iter().enumerate().filter(|(m, _)| *m != n) {
            let text = |field: &str| other[field].as_str().expect("a text").to_owned();
            known.push_str(&format!("{} namespaces=\"samesession\" {}\n", text("name"), text("signing_key")));
            machine.git(["config", "--add", "samesession.recipient", &text("recipient")]);
        }
        let device = Path::new(shown[n]["directory"].as_str().expect("a path"));
        fs::write(device.parent().expect("a directory").join("known_signers"), known).expect("written");
    }
}

pub fn write_script(path: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    fs::write(path, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("made executable");
}

/// The `n`th session's id.
pub fn id(n: usize) -> String {
    format!("cccccccc-0000-4000-8000-{n:012}")
}

impl Machine {
    /// A session of Claude Code in this working directory.
    pub fn begin(&self, id: &str) {
        fs::create_dir_all(self.claude_project()).expect("made");
        let (cwd, path) = (self.cwd.to_str().expect("UTF-8"), self.transcript_of(id));
        fs::write(path, format!("{{\"type\":\"user\",\"sessionId\":\"{id}\",\"cwd\":\"{cwd}\",\"uuid\":\"{id}\",\"timestamp\":\"2026-11-21T04:03:02.746Z\",\"message\":{{\"role\":\"user\",\"content\":\"begin\"}}}}\n")).expect("written");
        self.adds(id, "the first answer");
    }

    /// One more record, in one write, as the agent does it.
    pub fn adds(&self, id: &str, text: &str) {
        let line = format!("{{\"type\":\"user\",\"sessionId\":\"{id}\",\"message\":{{\"role\":\"user\",\"content\":\"{text}\"}}}}\n");
        let file = fs::OpenOptions::new().append(true).open(self.transcript_of(id));
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("appended");
    }

    pub fn said(&self, id: &str) -> String {
        fs::read_to_string(self.transcript_of(id)).expect("a transcript")
    }

    /// `git-samesession` itself, without `git` around it, which costs a process each time.
    pub fn quick<const N: usize>(&self, args: [&str; N]) -> Ran {
        Ran(self.start(args).wait_with_output().expect("it ends"))
    }

    /// Object id and name of every ref below this one.
    pub fn refs(&self, below: &str) -> Vec<(String, String)> {
        let listed = self.git(["for-each-ref", "--format=%(objectname) %(refname)", below]);
        listed.lines().filter_map(|line| line.split_once(' ')).map(|(id, name)| (id.to_owned(), name.to_owned())).collect()
    }

    /// The tip of the only chain there is, if there is one.
    pub fn local_tip(&self) -> Option<String> {
        let refs = self.refs("refs/samesession/sessions");
        assert!(refs.len() < 2, "{refs:?}");
        refs.into_iter().next().map(|(id, _)| id)
    }

    #[track_caller]
    pub fn descends(&self, new: &str, old: &str) -> bool {
        let out = self.command("git").args(["merge-base", "--is-ancestor", old, new]).output().expect("git");
        assert!(matches!(out.status.code(), Some(0 | 1)), "{old} {new}: {}", String::from_utf8_lossy(&out.stderr));
        out.status.success()
    }

    /// Git has nothing to say against this repository, no ref is strange, and no lock or half a file is left. With
    /// `strays` there may be objects that nothing refers to, as after a crash.
    #[track_caller]
    pub fn assert_sound(&self, strays: bool) {
        let unreachable = if strays { "--no-dangling" } else { "--unreachable" };
        let out = self.command("git").args(["fsck", "--strict", "--no-progress", unreachable]).output().expect("git");
        let said = [out.stdout, out.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("notice: ")).collect();
        assert!(out.status.success() && said.is_empty(), "{said:?}");
        for (_, name) in self.refs("") {
            let known = ["refs/heads/", "refs/samesession/sessions/", "refs/samesession-remote/origin/sessions/", "refs/samesession-seen/"];
            assert!(known.iter().any(|known| name.starts_with(known)), "{name}");
        }
        let dir = self.git(["rev-parse", "--absolute-git-dir"]);
        let dir = Path::new(dir.trim());
        let found = Command::new("find").arg(dir).args(["-name", "*.lock", "!", "-name", "tidy.lock"]).output().expect("find");
        assert_eq!(String::from_utf8_lossy(&found.stdout), "");
        for entry in fs::read_dir(dir.join("objects/pack")).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let whole = path.extension().is_some_and(|end| end == "idx") || path.with_extension("idx").exists();
            assert!(strays || whole, "{name:?}");
        }
    }
}
