//! Container A, from its seal to the names in it.

use std::io::{self, Read};
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

use super::{fixture, texts};
use crate::capsule::{self, Content, Header, Manifest, Origin, Sink, Target, Writer};
use crate::id::{NativeId, SessionId};
use crate::path::{self, RelPath};
use crate::policy::Limits;
use crate::seal::{self, Identities, NAMESPACE, SigningKey};

pub const NATIVE: &str = "aaaaaaaa-0001-4000-8000-000000000001";
const TRANSCRIPT: &str = "claude-2.1.197/.claude/projects/-home-dev-src-demo-app-one/aaaaaaaa-0001-4000-8000-000000000001.jsonl";

pub fn sid() -> SessionId {
    SessionId::derive("claude", &NativeId::parse(NATIVE).expect("an id"))
}

/// Forgets the files, and looks at their names as whoever writes them would.
#[derive(Default)]
struct Gone {
    names: Vec<RelPath>,
}

impl Sink for Gone {
    type Error = capsule::Error;

    fn header(&mut self, header: &Header) -> Result<(), capsule::Error> {
        assert!(SessionId::parse(&header.sid).is_ok());
        Ok(())
    }

    fn file(&mut self, name: &RelPath, content: &mut dyn Read) -> Result<(), capsule::Error> {
        assert!(name.under("/root".as_ref()).starts_with("/root"));
        self.names.push(name.clone());
        io::copy(content, &mut io::sink()).map(drop).map_err(capsule::Error::Read)
    }
}

pub fn tar(bytes: &[u8]) {
    read(bytes);
}

fn read(stream: impl Read) {
    let mut gone = Gone::default();
    if let Ok(opened) = capsule::read(stream, &Limits::default(), &mut gone) {
        assert!(opened.manifest.files.iter().map(|file| &file.path).eq(&gone.names), "the manifest lists what came");
        assert_eq!(opened.manifest.sid, opened.header.sid);
    }
}

pub fn tar_seeds() -> Vec<Vec<u8>> {
    vec![stream(&[("x", b"out")]), stream(&[(&"long/".repeat(30), b"")]), stream(&[])]
}

/// A capsule of a small session with these files beside its transcript.
fn stream(more: &[(&str, &[u8])]) -> Vec<u8> {
    written(more).0
}

fn written(more: &[(&str, &[u8])]) -> (Vec<u8>, Manifest) {
    let mut writer = Writer::new(Vec::new(), &Header::new(&sid(), "claude")).expect("a stream");
    let transcript = fixture(TRANSCRIPT);
    let own = more.iter().map(|(name, bytes)| (format!("session/projects/-w/{NATIVE}/{name}f"), *bytes));
    let all = own.chain([(format!("session/projects/-w/{NATIVE}.jsonl"), &transcript[..2000])]);
    for (name, mut bytes) in all {
        let name = RelPath::from_text(&name).expect("a name");
        let size = bytes.len() as u64;
        writer.add(Content { name, role: "sidecar", size, mode: 0o600, modified: UNIX_EPOCH, bytes: &mut bytes }).expect("written");
    }
    let key = SigningKey::generate("x").expect("a key");
    let sign = |json: &[u8]| key.sign(NAMESPACE, json).map_err(|error| capsule::Error::Write(io::Error::other(error)));
    writer.finish(about(), sign).expect("written")
}

fn about() -> Manifest {
    Manifest {
        schema: capsule::MANIFEST_SCHEMA.to_owned(),
        requires: Vec::new(),
        sid: sid().to_string(),
        agent: "claude".to_owned(),
        native_id: NATIVE.to_owned(),
        agent_version: Some("2.1.197".to_owned()),
        title: Some("a title".to_owned()),
        prompt: None,
        created: "2026-11-21T04:03:02.746Z".to_owned(),
        origin: Origin { device: "d".into(), home: "/home/d".into(), cwd: Some("/w".into()), more: Default::default() },
        repository: None,
        workspace: None,
        files: Vec::new(),
        more: Default::default(),
    }
}

static KEY: LazyLock<age::x25519::Identity> = LazyLock::new(age::x25519::Identity::generate);

/// What a sealed stream holds, as it is and packed; and these bytes in the place of one.
pub fn sealed(bytes: &[u8]) {
    let limits = Limits { ratio_from: 1 << 20, ..Limits::default() };
    let mut own = Identities::default();
    own.add_device(KEY.clone());
    let wrapped = age::encrypt(&KEY.to_public(), bytes).expect("sealed");
    for sealed in [&wrapped[..], bytes] {
        if let Ok(stream) = seal::open(sealed, &own, &limits) {
            read(stream);
        }
    }
}

pub fn sealed_seeds() -> Vec<Vec<u8>> {
    let packed = |plain: &[u8]| zstd::encode_all(plain, 3).expect("packed");
    vec![packed(&stream(&[("x", b"out")])), packed(&[0; 1 << 20]), packed(b"")]
}

pub fn age_header(mut bytes: &[u8]) {
    if let Ok((envelope, start)) = seal::peek(&mut bytes) {
        assert!(start.len() <= 200 << 10);
        let _: (String, bool) = (envelope.describe(), envelope.is_post_quantum());
    }
}

pub fn age_header_seeds() -> Vec<Vec<u8>> {
    let body = "A".repeat(43);
    let stanza = format!("-> X25519 {body}\n{body}\n");
    let scrypt = format!("-> scrypt AAAAAAAAAAAAAAAAAAAAAA 18\n{body}\n");
    let whole = |stanzas: &str| format!("age-encryption.org/v1\n{stanzas}--- {body}\n").into_bytes();
    vec![whole(&stanza), whole(&stanza.repeat(20)), whole(&scrypt), whole(&format!("-> x-grease a b\n\n{stanza}"))]
}

pub fn manifest(bytes: &[u8]) {
    let Ok(manifest) = Manifest::of(bytes, sid().as_str(), "claude") else { return };
    let mut names = capsule::Names::default();
    if manifest.files.iter().all(|file| names.add(&file.path).is_ok()) {
        let _ = names.nested();
    }
    let again = Manifest::of(&manifest.to_json().expect("JSON"), sid().as_str(), "claude").expect("as it was written");
    assert_eq!(again, manifest);
    let _ = capsule::unfold(Header::new(&sid(), "claude"), bytes.to_vec(), None, io::empty(), &Limits::default(), &mut Gone::default());
}

pub fn manifest_seeds() -> Vec<Vec<u8>> {
    vec![written(&[("x", b"out"), ("y", b"")]).1.to_json().expect("JSON")]
}

pub fn paths(bytes: &[u8]) {
    if let Ok(rel) = RelPath::parse(bytes) {
        assert_eq!(RelPath::from_text(&rel.to_string()).expect("as it was written"), rel);
        let under = rel.under("/root".as_ref());
        assert!(under.starts_with("/root") && !under.components().any(|part| part == std::path::Component::ParentDir), "{rel}");
        assert!(rel.components().iter().all(|part| !part.eq_ignore_ascii_case(b".git")), "{rel}");
    }
    assert_eq!(path::unescape(&path::escape(bytes)).as_deref(), Some(bytes));
    let text = String::from_utf8_lossy(bytes);
    let _: (_, _, _) = (path::unescape(&text), path::from_text(&text), RelPath::from_text(&text));
    let typed = path::typed(std::ffi::OsStr::new(&*text));
    assert!(!typed.contains('\n'), "one line");
}

pub fn paths_seeds() -> Vec<Vec<u8>> {
    texts(["session/projects/-w/a.jsonl", "workspace/files/sp ace/%41\u{e9}", "a/b/../c", "C:\\x", "aux.txt", ".git/config", "/etc/x"])
}
