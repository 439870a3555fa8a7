//! A store as whoever runs its server sees it: nothing in the clear tells of what its sessions hold, or of who works where.
//!
//! Every kind of thing that could give somebody away has a canary in it. Then every object is looked at, unpacked, and every
//! file of the server, for the words themselves, for the usual encodings of them, and for hashes of them without a secret.
//! What stands in the clear at all is on a list of fields: whatever else there is must be an age file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::clones::{OTHER, Project, SESSION, sid_of};
use crate::support::forged::feed;
use crate::support::sandbox::{CODEX, Machine, snapshot};

const WORD: &str = "cAnArY";
const AGE: &[u8] = b"age-encryption.org/v1\n-> ";
/// All that is said in the clear, by the schema that says it.
const FIELDS: [(&str, &[&str]); 3] = [
    ("samesession.commit/1", &["schema", "kind", "sid", "sequence", "nonce", "epoch", "added", "total", "supersedes"]),
    ("samesession.roster/1", &["schema", "sequence", "nonce", "epoch"]),
    ("samesession.request/1", &["schema", "nonce", "signing", "recipient"]),
];
const WHO: &str = "samesession <samesession@localhost> 0 +0000";

/// What must not be found, and what it gives away.
#[derive(Default)]
struct Traces(Vec<(String, Vec<u8>)>);

impl Traces {
    fn of(words: &[String]) -> Traces {
        let mut traces = Traces::default();
        traces.add("a canary", WORD.as_bytes().to_vec());
        traces.add("a canary in small letters", WORD.to_lowercase().into_bytes());
        for word in words {
            traces.word(word);
        }
        traces
    }

    fn add(&mut self, what: &str, bytes: Vec<u8>) {
        self.0.push((what.to_owned(), bytes));
    }

    fn word(&mut self, word: &str) {
        let bytes = word.as_bytes();
        self.add(word, bytes.to_vec());
        self.add(&format!("{word} in hexadecimal digits"), hex(bytes).into_bytes());
        // Wherever it begins in a longer text.
        for skip in 0..3 {
            let text = base64(&[&vec![0; skip][..], bytes].concat());
            let whole = text.trim_end_matches('=').get(if skip == 0 { 0 } else { skip + 1 }..).unwrap_or_default();
            let inner = &whole[..whole.len().saturating_sub(2)];
            if inner.len() > 7 {
                self.add(&format!("{word} in base64"), inner.as_bytes().to_vec());
            }
        }
        let hash = Sha256::digest(bytes);
        self.add(&format!("the SHA-256 of {word}"), hash.to_vec());
        self.add(&format!("the SHA-256 of {word}"), hex(&hash[..8]).into_bytes());
    }

    #[track_caller]
    fn none_in(&self, what: &str, bytes: &[u8]) {
        for (trace, pattern) in &self.0 {
            let found = bytes.windows(pattern.len()).any(|part| part == pattern);
            assert!(!found, "{trace} is in {what}: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(300)]));
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let bits = part.iter().chain(&[0, 0]).take(3).fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        for n in 0..=part.len() {
            text.push(char::from(LETTERS[(bits >> (18 - 6 * n)) as usize & 63]));
        }
    }
    text
}

/// What is on a server: how many objects of which kind, and of which schemas its clear files are.
#[derive(Debug, Default)]
struct Seen {
    sealed: usize,
    commits: usize,
    clear: BTreeMap<String, usize>,
    kinds: BTreeSet<String>,
}

/// Looks at every object behind our refs, and at every byte of the server's own files.
fn look(server: &Machine, refs: &[&str], traces: &Traces) -> Seen {
    let mut seen = Seen::default();
    for name in server.git([&["for-each-ref", "--format=%(refname)"], refs].concat()).lines() {
        traces.none_in("a ref's name", name.as_bytes());
    }
    let ours = server.git([&["for-each-ref", "--format=%(objectname)"], refs].concat());
    let ours = feed_all(server, &["rev-list", "--objects", "--stdin", "--no-object-names"], &ours);
    // Also what no ref names any more, where it is no commit of the project's.
    let all = server.git(["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
    assert!(all.lines().count() >= ours.lines().count() && ours.lines().count() > 10, "{all}");
    for id in all.lines() {
        let kind = server.git(["cat-file", "-t", id]);
        let bytes = server.command("git").args(["cat-file", kind.trim(), id]).output().expect("git").stdout;
        traces.none_in(&format!("{} {id}", kind.trim()), &bytes);
        if !ours.lines().any(|known| known == id) {
            continue;
        }
        match kind.trim() {
            "blob" if bytes.starts_with(AGE) => seen.sealed += 1,
            "blob" => {
                let clear: BTreeMap<String, Value> = serde_json::from_slice(&bytes).expect("age or JSON");
                let schema = clear["schema"].as_str().expect("a schema").to_owned();
                let (_, fields) = FIELDS.iter().find(|(known, _)| *known == schema).unwrap_or_else(|| panic!("{clear:?}"));
                assert!(clear.keys().all(|field| fields.contains(&field.as_str())), "{clear:?}");
                seen.kinds.extend(clear.get("kind").and_then(Value::as_str).map(str::to_owned));
                *seen.clear.entry(schema).or_default() += 1;
            }
            "commit" => {
                let text = String::from_utf8(bytes).expect("text");
                let whose = |line: &str| text.lines().any(|known| known == line);
                assert!(whose(&format!("author {WHO}")) && whose(&format!("committer {WHO}")), "{text}");
                assert!(text.ends_with("\n\nsamesession checkpoint\n"), "{text}");
                seen.commits += 1;
            }
            "tree" => {}
            other => panic!("a {other}"),
        }
    }
    for (path, bytes) in snapshot(&server.cwd) {
        traces.none_in(&path.display().to_string(), &bytes);
        let below = path.strip_prefix(&server.cwd).expect("below").display().to_string();
        traces.none_in("the name of a file of the server's", below.as_bytes());
    }
    seen
}

/// Git with this on its standard input; its whole answer.
fn feed_all(at: &Machine, args: &[&str], input: &str) -> String {
    feed(at, args, input.as_bytes())
}

/// A machine on which everything has a telling name.
fn telling(project: &Project, name: &str) -> Machine {
    let machine = project.clone(&format!("{WORD}-host-{name}"));
    let who = format!("{WORD}-user");
    let machine = machine.env("USER", &who).env("LOGNAME", &who).env("HOSTNAME", format!("{WORD}-hostname"));
    for (key, value) in [("user.name", format!("{WORD}-author")), ("user.email", format!("{WORD}-mail@example.com"))] {
        machine.git(["config", "--global", key, &value]);
    }
    machine
}

/// Words that would tell something, of which no server may have a trace.
fn words(machine: &Machine) -> Vec<String> {
    let mut words: Vec<String> =
        ["prompt", "file.txt", "content", "branch", "message", "remote", "repository", "note", "reason", "user", "hostname", "author"]
            .map(|word| format!("{WORD}-{word}"))
            .to_vec();
    let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    words.extend([machine.name.clone(), path(&machine.cwd), path(&machine.home), path(&machine.transcript())]);
    words.extend([SESSION, OTHER, CODEX].map(str::to_owned));
    words.extend([SESSION, OTHER, CODEX].map(|id| id.replace('-', "")));
    words.extend([
        format!("refs/heads/{WORD}-branch"),
        format!("session/projects/x/{SESSION}.jsonl"),
        format!("workspace/files/{WORD}-file.txt"),
    ]);
    // Names of agents, and of what is in every capsule.
    words.extend(["claude", "codex", "Claude", "Codex", "transcript", "manifest.json\0", ".jsonl"].map(str::to_owned));
    words
}

/// Work with a word of each kind in it.
fn work(machine: &Machine) {
    machine.git(["checkout", "-q", "-B", &format!("{WORD}-branch"), "origin/main"]);
    machine.git(["remote", "add", &format!("{WORD}-remote"), &format!("ssh://{WORD}-host.example/{WORD}-repository.git")]);
    fs::write(machine.cwd.join(format!("{WORD}-committed.txt")), format!("{WORD}-content\n")).expect("written");
    machine.git(["add", "."]);
    machine.git(["commit", "-q", "-m", &format!("{WORD}-message")]);
    fs::write(machine.cwd.join(format!("{WORD}-file.txt")), format!("{WORD}-content\n")).expect("written");
    machine.say(&format!("{WORD}-prompt"));
}

#[test]
fn what_is_looked_for_would_be_found() {
    let traces = Traces::of(&["a telling word".to_owned()]);
    let word = b"a telling word";
    for (what, bytes) in [
        ("itself", word.to_vec()),
        ("base64", base64(&[&b"xy"[..], word, b"z"].concat()).into_bytes()),
        ("base64", base64(&[&b"x"[..], word].concat()).into_bytes()),
        ("digits", hex(word).into_bytes()),
        ("a hash", Sha256::digest(word).to_vec()),
        ("a canary", b"...cAnArY-x".to_vec()),
    ] {
        assert!(std::panic::catch_unwind(|| traces.none_in(what, &bytes)).is_err(), "{what}");
    }
    traces.none_in("nothing", b"another word");
    assert_eq!((base64(b"any carnal pleas"), base64(b"x")), ("YW55IGNhcm5hbCBwbGVhcw".to_owned(), "eA".to_owned()));
}

#[test]
fn a_server_sees_sizes_numbers_and_keys_and_nothing_else() {
    let project = Project::new();
    let [laptop, desktop, phone] = ["laptop", "desktop", "phone"].map(|name| telling(&project, name));
    laptop.with_codex();
    laptop.run_here(["device", "join"]).ok();
    for newcomer in [&desktop, &phone] {
        newcomer.run_here(["device", "join"]).ok();
    }
    laptop.run_here(["device", "approve", &desktop.name, "--fingerprint", &desktop.fingerprint()]).ok();
    desktop.run_here(["device", "join", "--trust", &laptop.fingerprint()]).ok();
    work(&laptop);
    laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
    laptop.run_here(["checkpoint", CODEX, "--push"]).ok();
    laptop.say_in(OTHER, &format!("{WORD}-prompt of another"));
    laptop.run_here(["checkpoint", OTHER, "--push"]).ok();
    laptop.run_here(["move", SESSION, "--note", &format!("{WORD}-note")]).ok();
    let there = desktop.run_here(["resume", "--no-launch", SESSION, "--json"]).ok().json();
    let there = desktop.at(there["workspace"]["work_tree"].as_str().expect("a work tree"));
    there.say(&format!("{WORD}-prompt over there"));
    there.run_here(["checkpoint", SESSION, "--push"]).ok();
    // Taken away, gone on with on both sides, joined.
    laptop.run_here(["resume", "--no-launch", SESSION, "--takeover", &format!("{WORD}-reason")]).ok();
    laptop.say(&format!("{WORD}-prompt once more"));
    laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
    laptop.run_here(["gc", SESSION, "--keep-last", "1"]).ok();
    let gone = sid_of(OTHER);
    laptop.run_here(["delete", &gone, "--remote", "--confirm", &gone[..8]]).ok();
    laptop.run_here(["device", "revoke", &desktop.name]).ok();
    laptop.say(&format!("{WORD}-prompt for one"));
    laptop.run_here(["checkpoint", SESSION, "--push"]).ok();

    let server = laptop.at(&project.origin);
    let traces = Traces::of(&words(&laptop));
    let seen = look(&server, &["refs/samesession"], &traces);
    let kinds: Vec<&str> = seen.kinds.iter().map(String::as_str).collect();
    assert_eq!(kinds, ["checkpoint", "deleted"], "{seen:?}");
    assert!(seen.sealed > 20 && seen.commits > 8 && seen.clear.len() == 3, "{seen:?}");
    assert_eq!(seen.clear["samesession.request/1"], 1, "{seen:?}");

    // The other container: an age header, which names kinds of keys, and sealed bytes.
    laptop.run_here(["checkpoint", SESSION, "-o", "x.capsule"]).ok();
    let capsule = fs::read(laptop.cwd.join("x.capsule")).expect("a capsule");
    assert!(capsule.starts_with(AGE));
    traces.none_in("a capsule", &capsule);
}

#[test]
fn a_store_of_its_own_sees_no_more() {
    let project = Project::new();
    let laptop = telling(&project, "laptop");
    laptop.git(["config", "--unset-all", "remote.origin.fetch", "samesession"]);
    work(&laptop);
    let store = project.sandbox.path().join("store.git");
    laptop.git(["init", "-q", "--bare", store.to_str().expect("UTF-8")]);
    laptop.run_here(["init", "--store", &format!("session::{}", store.display())]).ok();
    laptop.run_here(["device", "join"]).ok();
    laptop.run_here(["move", SESSION, "--note", &format!("{WORD}-note")]).ok();
    laptop.say_in(OTHER, &format!("{WORD}-prompt of another"));
    laptop.run_here(["checkpoint", OTHER, "--push"]).ok();
    let seen = look(&laptop.at(&store), &["refs/heads"], &Traces::of(&words(&laptop)));
    assert!(seen.sealed > 6 && seen.commits > 2 && seen.clear.len() == 2, "{seen:?}");
    assert_eq!(project.git(["for-each-ref", "refs/samesession"]), "", "the code's remote got nothing of it");
}
