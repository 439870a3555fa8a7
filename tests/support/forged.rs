//! Checkpoints taken apart and put together otherwise: with Git's plumbing, age and zstd, and signed again by their maker,
//! so that nothing but the fault in question can be the reason for a refusal.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;

use age::secrecy::ExposeSecret;
use samesession::seal::{GIT_NAMESPACE, NAMESPACE, SigningKey};
use serde_json::{Value, json};

use super::forge::{Entry, hash, seal, signing_key, tar};
use super::sandbox::Machine;

const WHO: &str = "samesession <samesession@localhost> 0 +0000";
const MESSAGE: &str = "samesession checkpoint\n";

/// A checkpoint, true until a test makes it otherwise.
#[derive(Clone)]
pub struct Forged<'a> {
    pub maker: &'a Machine,
    /// Where its objects are and go.
    pub at: &'a Machine,
    /// Mode and object of every file in its tree.
    pub paths: BTreeMap<String, (String, String)>,
    pub parents: Vec<String>,
    pub header: Value,
    pub record: Value,
    pub manifest_signature: Vec<u8>,
    /// Everything is sealed to this.
    pub epoch: String,
    pub key: String,
    /// In the place of `manifest.age` and `capsule.json`, where they are to be nonsense.
    pub envelope: Option<Vec<u8>>,
    pub public: Option<Vec<u8>>,
}

impl<'a> Forged<'a> {
    pub fn of(maker: &'a Machine, at: &'a Machine, commit: &str) -> Forged<'a> {
        let listed = at.git(["ls-tree", "-r", commit]);
        let entry = |line: &str| {
            let (what, path) = line.split_once('\t').expect("a path");
            let words: Vec<&str> = what.split(' ').collect();
            (path.to_owned(), (words[0].to_owned(), words[2].to_owned()))
        };
        let paths: BTreeMap<_, _> = listed.lines().map(entry).collect();
        let blob = |path: &str| cat(at, &paths[path].1);
        let header: Value = serde_json::from_slice(&blob("capsule.json")).expect("JSON");
        let epoch = header["epoch"].as_str().expect("an epoch").to_owned();
        let wrap = blob(&format!("keys/{epoch}/0.age"));
        let key = String::from_utf8(open(&wrap, &identity(maker))).expect("text").trim().to_owned();
        let packed = open(&blob("manifest.age"), &key);
        let (mut record, mut manifest_signature) = (Value::Null, Vec::new());
        let plain = zstd::decode_all(&packed[..]).expect("zstd");
        for entry in tar::Archive::new(&plain[..]).entries().expect("a tar stream") {
            let mut entry = entry.expect("an entry");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("read");
            match entry.path().expect("a name").to_str() {
                Some("checkpoint.json") => record = serde_json::from_slice(&bytes).expect("JSON"),
                Some("manifest.json.sig") => manifest_signature = bytes,
                _ => {}
            }
        }
        let parents = at.git(["log", "-1", "--format=%P", commit]).split_whitespace().map(str::to_owned).collect();
        Forged { maker, at, paths, parents, header, record, manifest_signature, epoch, key, envelope: None, public: None }
    }

    /// The next one on the chain: what the real one is the parent of.
    pub fn after(mut self, commit: &str) -> Forged<'a> {
        self.parents = vec![commit.to_owned()];
        let sequence = self.record["sequence"].as_u64().expect("a number") + 1;
        self.both(|value| value["sequence"] = json!(sequence))
    }

    pub fn both(mut self, lie: impl Fn(&mut Value)) -> Forged<'a> {
        lie(&mut self.header);
        lie(&mut self.record);
        self
    }

    pub fn header(mut self, lie: impl Fn(&mut Value)) -> Forged<'a> {
        lie(&mut self.header);
        self
    }

    pub fn record(mut self, lie: impl Fn(&mut Value)) -> Forged<'a> {
        lie(&mut self.record);
        self
    }

    /// Another file in the tree, or something else under its name.
    pub fn put(mut self, path: &str, bytes: &[u8]) -> Forged<'a> {
        let id = self.store(bytes);
        self.paths.insert(path.to_owned(), ("100644".to_owned(), id));
        self
    }

    pub fn mode(mut self, path: &str, mode: &str) -> Forged<'a> {
        self.paths.get_mut(path).expect("a path").0 = mode.to_owned();
        self
    }

    pub fn store(&self, bytes: &[u8]) -> String {
        feed(self.at, &["hash-object", "-w", "--stdin"], bytes)
    }

    /// The names of all parts, in the order of their trees.
    pub fn parts(&self) -> Vec<String> {
        self.paths.keys().filter(|path| path.starts_with("data/")).cloned().collect()
    }

    pub fn bytes(&self, path: &str) -> Vec<u8> {
        cat(self.at, &self.paths[path].1)
    }

    /// A part as the program would seal it; its line, saying that it has this length.
    pub fn seal_part(&mut self, packed: &[u8], plain: &[u8], length: usize) -> String {
        let sealed = seal(packed, &recipient(&self.key));
        let name = blake3::hash(&sealed).to_hex()[..32].to_owned();
        let id = self.store(&sealed);
        self.paths.insert(path_of(&name), ("100644".to_owned(), id));
        format!("{name} {} {length} {} -", self.epoch, blake3::hash(plain))
    }

    /// The lines of the list of parts, or of the manifest.
    pub fn text(&self, which: &str) -> String {
        let mut text = Vec::new();
        for page in self.record[which]["pages"].as_array().expect("pages") {
            let name = page.as_str().expect("a line").split(' ').next().expect("a name").to_owned();
            text.extend(zstd::decode_all(&open(&self.bytes(&path_of(&name)), &self.key)[..]).expect("zstd"));
        }
        String::from_utf8(text).expect("text")
    }

    pub fn set_text(mut self, which: &str, text: &str) -> Forged<'a> {
        let mut page = |page: &[u8]| self.seal_part(&zstd::encode_all(page, 3).expect("packed"), page, page.len());
        let pages: Vec<String> = text.as_bytes().chunks(4 << 20).map(&mut page).collect();
        self.record[which] = json!({"sha256": hash(text.as_bytes()), "pages": pages});
        self
    }

    /// A manifest that says otherwise, signed by its maker.
    pub fn manifest(mut self, lie: impl Fn(&mut Value)) -> Forged<'a> {
        let mut manifest: Value = serde_json::from_str(&self.text("manifest")).expect("JSON");
        lie(&mut manifest);
        let text = manifest.to_string();
        self.manifest_signature = key(self.maker).sign(NAMESPACE, text.as_bytes()).expect("signed").into_bytes();
        self.set_text("manifest", &text)
    }

    /// The files of a capsule in the other container, and what its manifest says of them.
    pub fn holding(mut self, entries: &[Entry]) -> Forged<'a> {
        let mut lines = String::new();
        let mut manifest = Value::Null;
        for entry in entries.iter().filter(|entry| entry.kind == tar::EntryType::Regular) {
            match &entry.name[..] {
                b"capsule.json" | b"manifest.json.sig" => {}
                b"manifest.json" => manifest = serde_json::from_slice(&entry.content).expect("JSON"),
                _ => {
                    for part in entry.content.chunks(4 << 20) {
                        let packed = zstd::encode_all(part, 3).expect("packed");
                        lines.push_str(&format!("{}\n", self.seal_part(&packed, part, part.len())));
                    }
                }
            }
        }
        self.set_text("parts", &lines).manifest(|old| *old = manifest.clone())
    }

    /// As its maker would write it.
    pub fn commit(&self) -> String {
        self.commit_by(Some(self.maker))
    }

    /// The record is signed by its maker, the commit by this one.
    pub fn commit_by(&self, signer: Option<&Machine>) -> String {
        let tree = self.tree();
        self.commit_tree(&tree, signer)
    }

    pub fn tree(&self) -> String {
        let record = serde_json::to_vec(&self.record).expect("JSON");
        let signature = key(self.maker).sign(NAMESPACE, &record).expect("signed");
        let files = [
            Entry::file("checkpoint.json", &record),
            Entry::file("checkpoint.json.sig", signature),
            Entry::file("manifest.json.sig", &self.manifest_signature),
        ];
        let packed = || zstd::encode_all(&tar(&files)[..], 3).expect("packed");
        let envelope = self.envelope.clone().unwrap_or_else(packed);
        let header = self.public.clone().unwrap_or_else(|| self.header.to_string().into_bytes());
        let whole = self.clone().put("manifest.age", &seal(&envelope, &recipient(&self.key))).put("capsule.json", &header);
        let lines: String = whole.paths.iter().map(|(path, (mode, id))| format!("{mode} {id}\t{path}\n")).collect();
        let index = self.at.env("GIT_INDEX_FILE", self.at.home.join("forged-index"));
        index.git(["read-tree", "--empty"]);
        feed(&index, &["update-index", "--index-info"], lines.as_bytes());
        index.git(["write-tree", "--missing-ok"]).trim().to_owned()
    }

    pub fn commit_tree(&self, tree: &str, signer: Option<&Machine>) -> String {
        let head = self.head(tree);
        let signature = signer.map(|signer| signed(&head, signer)).unwrap_or_default();
        self.write_commit(&format!("{head}{signature}\n{MESSAGE}"))
    }

    /// The commit without its signature and message.
    pub fn head(&self, tree: &str) -> String {
        let parents: String = self.parents.iter().map(|parent| format!("parent {parent}\n")).collect();
        format!("tree {tree}\n{parents}author {WHO}\ncommitter {WHO}\n")
    }

    pub fn write_commit(&self, text: &str) -> String {
        feed(self.at, &["hash-object", "-t", "commit", "-w", "--stdin", "--literally"], text.as_bytes())
    }
}

/// Somebody's signature as a line of the commit's head.
pub fn signed(head: &str, signer: &Machine) -> String {
    let signature = key(signer).sign(GIT_NAMESPACE, format!("{head}\n{MESSAGE}").as_bytes()).expect("signed");
    format!("gpgsig {}\n", signature.trim_end().replace('\n', "\n "))
}

pub fn path_of(name: &str) -> String {
    format!("data/{}/{}/{name}", &name[..1], &name[1..2])
}

/// Any object's content, as it is.
pub fn cat(at: &Machine, id: &str) -> Vec<u8> {
    let out = at.command("git").args(["cat-file", "blob", id]).output().expect("git");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// Git with this on its standard input; the first line of its answer.
pub fn feed<S: AsRef<OsStr>>(at: &Machine, args: &[S], input: &[u8]) -> String {
    let mut child = at.command("git").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input).expect("written");
    drop(stdin);
    let out = child.wait_with_output().expect("it ends");
    assert!(out.status.success(), "git failed");
    String::from_utf8(out.stdout).expect("text").trim().to_owned()
}

fn device(machine: &Machine) -> PathBuf {
    machine.home.join(".config/samesession/device")
}

fn key(machine: &Machine) -> SigningKey {
    signing_key(&device(machine))
}

fn identity(machine: &Machine) -> String {
    let text = std::fs::read_to_string(device(machine).join("identity.txt")).expect("a device");
    text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).expect("a key").to_owned()
}

fn recipient(key: &str) -> String {
    key.parse::<age::x25519::Identity>().expect("a key").to_public().to_string()
}

pub fn open(sealed: &[u8], key: &str) -> Vec<u8> {
    age::decrypt(&key.parse::<age::x25519::Identity>().expect("a key"), sealed).expect("it opens")
}

/// A fresh epoch: its key's text.
pub fn fresh_key() -> String {
    age::x25519::Identity::generate().to_string().expose_secret().to_owned()
}
