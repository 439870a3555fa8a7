//! Dialogues as text, with the helper alone: `tests/protocol/*.txt`.
//!
//! `$` is the address, `>` what Git says, `<` what is answered, `!` words on standard error, `=` the exit code where it is
//! not 0. `{name}` stands for what the scene has, `[..]` for anything on a line.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use super::{captured, name_of, tracking_of, with_agents};
use crate::support::clones::{OTHER, Project, SESSION};
use crate::support::sandbox::Machine;

#[test]
fn every_dialogue_is_held() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocol");
    let mut files: Vec<PathBuf> = fs::read_dir(dir).expect("a directory").flatten().map(|entry| entry.path()).collect();
    files.sort();
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a dialogue");
        let scene = Scene::new();
        for part in text.split("\n\n$ ").map(|part| part.strip_prefix("$ ").unwrap_or(part)).filter(|part| !part.starts_with('#')) {
            scene.holds(&file, part);
        }
    }
}

/// A session that is captured, one that has changed since, a store with one of two, and a clone that knows nothing.
struct Scene {
    project: Project,
    laptop: Machine,
    words: BTreeMap<&'static str, String>,
}

impl Scene {
    fn new() -> Scene {
        let project = Project::new();
        let laptop = with_agents(&project, "laptop");
        laptop.git(["checkout", "-q", "-b", "main", "origin/main"]);
        captured(&laptop);
        let store = project.sandbox.path().join("store.git");
        laptop.git(["init", "-q", "--bare", store.to_str().expect("UTF-8")]);
        let url = store.display().to_string();
        laptop.git(["push", "-q", &format!("session::{url}"), &format!("{}:{}", tracking_of(SESSION), name_of(SESSION))]);
        laptop.say_in(OTHER, "more");
        let words = BTreeMap::from([
            ("sid", name_of(SESSION)),
            ("other", name_of(OTHER)),
            ("tip", laptop.rev(&tracking_of(SESSION))),
            ("otip", laptop.rev(&tracking_of(OTHER))),
            ("head", laptop.rev("HEAD")),
            ("url", url),
            ("zero", super::ZERO.to_owned()),
        ]);
        Scene { project, laptop, words }
    }

    fn filled(&self, text: &str) -> String {
        self.words.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    #[track_caller]
    fn holds(&self, file: &Path, part: &str) {
        let part = self.filled(part);
        let (address, lines) = part.split_once('\n').unwrap_or((&part, ""));
        let of = |mark: char| -> Vec<&str> {
            let lines = lines.lines().filter_map(|line| line.strip_prefix(mark));
            lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect()
        };
        let said: String = of('>').iter().map(|line| format!("{line}\n")).collect();
        let out = self.talk(address, &said);
        let (answered, told) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        let place = format!("{}: {address}\nanswered:\n{answered}\ntold:\n{told}", file.display());
        let expected = of('<');
        assert_eq!(answered.lines().count(), expected.len(), "{place}");
        for (line, expected) in answered.lines().zip(expected) {
            assert!(fits(line, expected), "'{line}' is not '{expected}' in {place}");
        }
        for words in of('!') {
            assert!(told.contains(words), "'{words}' is not told in {place}");
        }
        let exit = of('=').first().map_or(0, |code| code.parse().expect("a number"));
        assert_eq!(out.status.code(), Some(exit), "{place}");
    }

    fn talk(&self, address: &str, said: &str) -> Output {
        let (machine, address) = match address.strip_prefix("nowhere ") {
            Some(address) => (self.laptop.at(self.project.sandbox.path().join("nowhere")), address),
            None => (self.laptop.env("GIT_DIR", ".git"), address),
        };
        let mut command = machine.command("git-remote-session");
        command.args(["agents", address]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("started");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may end before it has read everything.
        let _ = stdin.write_all(said.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("it ends")
    }
}

fn fits(line: &str, expected: &str) -> bool {
    let mut parts = expected.split("[..]");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut any = false;
    for part in parts {
        any = true;
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        if part.is_empty() {
            rest = "";
        }
    }
    rest.is_empty() || any && expected.ends_with("[..]")
}
