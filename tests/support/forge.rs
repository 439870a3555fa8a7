//! Capsules made by hand, with whatever is wrong with them, and somebody to open them.
//!
//! Written with the public tools' formats (tar, zstd, age, SSHSIG) and not with the product's own writer, which would not
//! write most of this. Signed with the victim's own device key and sealed to it, so that nothing but the fault in question
//! can be the reason for a refusal.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use samesession::id::{NativeId, SessionId};
use samesession::seal::SigningKey;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::sandbox::{Machine, Ran, Sandbox, snapshot};

/// No fixture has these ids.
pub const CLAUDE_FORGED: &str = "cccccccc-0001-4000-8000-000000000001";
pub const CODEX_FORGED: &str = "02b2fc46-14ce-7500-867f-3e8961b3c90d";

/// One entry of a tar stream, true or not.
#[derive(Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    pub kind: tar::EntryType,
    pub link: Vec<u8>,
    pub content: Vec<u8>,
    /// The size that its header gives, where that is not the truth.
    pub claims: Option<u64>,
    pub mode: u32,
    /// Whether the manifest speaks of it.
    pub listed: bool,
}

impl Entry {
    pub fn file(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Entry {
        let (name, content) = (name.as_ref().to_vec(), content.as_ref().to_vec());
        Entry { name, kind: tar::EntryType::Regular, link: Vec::new(), content, claims: None, mode: 0o600, listed: true }
    }

    /// A link, a directory, a device …: nothing that a manifest could list.
    pub fn special(kind: tar::EntryType, name: &str, link: &str) -> Entry {
        Entry { kind, link: link.as_bytes().to_vec(), listed: false, ..Entry::file(name, "") }
    }

    pub fn unlisted(self) -> Entry {
        Entry { listed: false, ..self }
    }

    fn write(&self, out: &mut Vec<u8>) {
        if self.name.len() > 100 {
            Entry { kind: tar::EntryType::GNULongName, ..Entry::file("././@LongLink", [&self.name[..], b"\0"].concat()) }.write(out);
        }
        let mut header = tar::Header::new_gnu();
        let short = &self.name[..self.name.len().min(100)];
        // Not through `set_path`, which refuses the very names that are wanted here.
        header.as_old_mut().name[..short.len()].copy_from_slice(short);
        header.as_old_mut().linkname[..self.link.len()].copy_from_slice(&self.link);
        header.set_entry_type(self.kind);
        header.set_size(self.claims.unwrap_or(self.content.len() as u64));
        header.set_mode(self.mode);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(&self.content);
        out.resize(out.len().next_multiple_of(512), 0);
    }
}

/// The entries as a tar stream without its end.
pub fn unfinished(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    entries.iter().for_each(|entry| entry.write(&mut out));
    out
}

pub fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut out = unfinished(entries);
    out.resize(out.len() + 1024, 0);
    out
}

pub fn pack(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("packed")
}

type Lie = Box<dyn Fn(&mut Value)>;

/// A capsule in the making: honest, until a test makes it otherwise.
pub struct Forge {
    agent: &'static str,
    native: String,
    sandbox: PathBuf,
    device: PathBuf,
    signer: PathBuf,
    pub files: Vec<Entry>,
    in_header: Vec<Lie>,
    in_manifest: Vec<Lie>,
}

impl Forge {
    /// A small Claude Code session, made and to be opened on this machine.
    pub fn claude(machine: &Machine) -> Forge {
        let line = json!({"type": "user", "sessionId": CLAUDE_FORGED, "cwd": "/src/app", "message": {"content": "hello"}});
        let transcript = Entry::file(format!("session/projects/-src-app/{CLAUDE_FORGED}.jsonl"), format!("{line}\n"));
        Forge::empty("claude", CLAUDE_FORGED, machine).add(transcript)
    }

    pub fn codex(machine: &Machine) -> Forge {
        let transcript = Entry::file(format!("session/{}", rollout(CODEX_FORGED)), format!("{}\n", rollout_meta(CODEX_FORGED)));
        Forge::empty("codex", CODEX_FORGED, machine).add(transcript)
    }

    pub fn empty(agent: &'static str, native: &str, machine: &Machine) -> Forge {
        let (sandbox, device) = (machine.home.parent().expect("in a sandbox"), machine.home.join(".config/samesession/device"));
        let (native, sandbox) = (native.to_owned(), sandbox.to_owned());
        Forge { agent, native, sandbox, signer: device.clone(), device, files: Vec::new(), in_header: Vec::new(), in_manifest: Vec::new() }
    }

    /// One more entry, before those that are there: the transcript stays the last one.
    pub fn add(mut self, entry: Entry) -> Forge {
        self.files.insert(0, entry);
        self
    }

    pub fn manifest(mut self, lie: impl Fn(&mut Value) + 'static) -> Forge {
        self.in_manifest.push(Box::new(lie));
        self
    }

    pub fn header(mut self, lie: impl Fn(&mut Value) + 'static) -> Forge {
        self.in_header.push(Box::new(lie));
        self
    }

    pub fn both(self, lie: impl Fn(&mut Value) + Clone + 'static) -> Forge {
        self.header(lie.clone()).manifest(lie)
    }

    /// Signed by this machine instead of the victim.
    pub fn signed_by(mut self, machine: &Machine) -> Forge {
        self.signer = machine.home.join(".config/samesession/device");
        self
    }

    pub fn header_entry(&self) -> Entry {
        let mut header = json!({"schema": "samesession.capsule/1", "sid": self.sid(), "agent": self.agent});
        self.in_header.iter().for_each(|lie| lie(&mut header));
        Entry::file("capsule.json", header.to_string())
    }

    pub fn manifest_bytes(&self) -> Vec<u8> {
        let listed = self.files.iter().filter(|entry| entry.listed).map(|entry| {
            json!({
                "path": samesession::path::escape(&entry.name),
                "role": "transcript",
                "size": entry.content.len(),
                "mode": entry.mode,
                "mtime": "2026-11-21T04:03:02.746Z",
                "sha256": hash(&entry.content),
            })
        });
        let mut manifest = json!({
            "schema": "samesession.manifest/1",
            "sid": self.sid(),
            "agent": self.agent,
            "native_id": self.native,
            "title": "forged",
            "created": "2026-11-21T04:03:02.746Z",
            "origin": {"device": "forge", "home": "/home/forge", "cwd": "/src/app"},
            "files": listed.collect::<Vec<_>>(),
        });
        self.in_manifest.iter().for_each(|lie| lie(&mut manifest));
        manifest.to_string().into_bytes()
    }

    /// Everything in its order: header, files, manifest, signature.
    pub fn entries(&self) -> Vec<Entry> {
        let manifest = self.manifest_bytes();
        let signature = signing_key(&self.signer).sign(samesession::seal::NAMESPACE, &manifest).expect("signed");
        let last = [Entry::file("manifest.json", manifest), Entry::file("manifest.json.sig", signature)];
        std::iter::once(self.header_entry()).chain(self.files.iter().cloned()).chain(last).collect()
    }

    pub fn write(&self) -> PathBuf {
        self.write_packed(&pack(&tar(&self.entries())))
    }

    pub fn write_entries(&self, entries: &[Entry]) -> PathBuf {
        self.write_packed(&pack(&tar(entries)))
    }

    pub fn write_packed(&self, packed: &[u8]) -> PathBuf {
        self.write_sealed(&self.seal(packed))
    }

    pub fn write_sealed(&self, sealed: &[u8]) -> PathBuf {
        let file = self.sandbox.join("forged.capsule");
        fs::write(&file, sealed).expect("written");
        file
    }

    pub fn seal(&self, packed: &[u8]) -> Vec<u8> {
        seal(packed, &recipient(&self.device))
    }

    fn sid(&self) -> String {
        let native = NativeId::parse(&self.native).expect("a native id");
        SessionId::derive(self.agent, &native).to_string()
    }
}

pub fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn rollout(id: &str) -> String {
    format!("sessions/2026/11/21/rollout-2026-11-21T04-03-33-{id}.jsonl")
}

pub fn rollout_meta(id: &str) -> Value {
    let payload = json!({
        "id": id, "timestamp": "2026-11-21T04:03:33.000Z", "cwd": "/src/app", "originator": "codex_cli_rs",
        "cli_version": "0.169.0", "source": "cli", "model_provider": "openai",
    });
    json!({"timestamp": "2026-11-21T04:03:33.000Z", "type": "session_meta", "payload": payload})
}

fn recipient(device: &Path) -> String {
    let identity = fs::read_to_string(device.join("identity.txt")).expect("a device");
    identity.lines().find_map(|line| line.strip_prefix("# public key: ")).expect("its public key").to_owned()
}

pub fn signing_key(device: &Path) -> SigningKey {
    SigningKey::from_openssh(&fs::read_to_string(device.join("signing_key")).expect("a device")).expect("a key")
}

pub fn seal(bytes: &[u8], to: &str) -> Vec<u8> {
    let to: age::x25519::Recipient = to.parse().expect("a recipient");
    let mut sealed = Vec::new();
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&to as &dyn age::Recipient)).expect("one recipient");
    let mut out = encryptor.wrap_output(&mut sealed).expect("a header");
    out.write_all(bytes).and_then(|()| out.finish().map(drop)).expect("sealed");
    sealed
}

/// The bytes of a capsule as `age -d | zstd -d` give them, without either.
pub fn unseal(file: &Path, machine: &Machine) -> Vec<u8> {
    let identity = machine.home.join(".config/samesession/device/identity.txt");
    let keys = age::IdentityFile::from_file(identity.to_str().expect("UTF-8").to_owned()).expect("an identity file");
    let keys = keys.into_identities().expect("identities");
    let sealed = fs::File::open(file).expect("the capsule");
    let decryptor = age::Decryptor::new(std::io::BufReader::new(sealed)).expect("an age file");
    let plain = decryptor.decrypt(keys.iter().map(|key| &**key as &dyn age::Identity)).expect("it opens");
    zstd::decode_all(plain).expect("zstd")
}

/// A machine with work of its own to lose: sessions, settings and credentials of both agents.
pub struct Victim {
    pub sandbox: Sandbox,
    pub machine: Machine,
}

impl Victim {
    pub fn new() -> Victim {
        let sandbox = Sandbox::new();
        let machine = sandbox.machine("victim");
        machine.init().with_claude().with_codex();
        for (file, content) in [
            (machine.claude().join("settings.json"), "{\"hooks\": {}}"),
            (machine.claude().join(".credentials.json"), "{\"token\": \"mine\"}"),
            (machine.codex().join("auth.json"), "{\"token\": \"mine\"}"),
            (machine.codex().join("config.toml"), "model = \"mine\"\n"),
        ] {
            fs::write(file, content).expect("written");
        }
        Victim { sandbox, machine }
    }

    pub fn restore(&self, file: &Path) -> Ran {
        self.machine.run(["restore".as_ref(), file.as_os_str()])
    }

    /// One clear line with these words, this exit code, and not a byte changed anywhere, temporary directory included.
    #[track_caller]
    pub fn refuses(&self, what: &str, file: &Path, code: i32, says: &str) -> Ran {
        self.unchanged_by(what, code, says, || self.restore(file))
    }

    #[track_caller]
    pub fn unchanged_by(&self, what: &str, code: i32, says: &str, run: impl FnOnce() -> Ran) -> Ran {
        let before = snapshot(&self.sandbox.path());
        let ran = run();
        let (out, err) = (ran.stdout(), ran.stderr());
        assert_eq!(ran.code(), Some(code), "{what}:\n{out}\n{err}");
        let errors: Vec<&str> = err.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(errors.len() == 1 && errors[0].contains(says), "{what}: expected one error with '{says}' in:\n{err}");
        assert!(out.is_empty(), "{what}: an answer beside the error:\n{out}");
        assert!(!err.contains("panicked"), "{what}: {err}");
        let after = snapshot(&self.sandbox.path());
        let changed = |a: &[(PathBuf, Vec<u8>)], b: &[(PathBuf, Vec<u8>)]| -> Vec<PathBuf> {
            a.iter().filter(|one| !b.contains(one)).map(|(path, _)| path.clone()).collect()
        };
        assert!(after == before, "{what}: gone {:?}, new {:?}", changed(&before, &after), changed(&after, &before));
        ran
    }
}
