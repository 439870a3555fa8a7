//! What Git answers and writes, and what a capsule says of a work tree.

use std::collections::{BTreeMap, BTreeSet};

use gix::hash::ObjectId;

use super::texts;
use crate::flow::address;
use crate::git::Config;
use crate::store::names as refs;
use crate::workspace::capture::answers as git;
use crate::workspace::identity;
use crate::workspace::model::{Oid, Workspace};
use crate::workspace::name::Name;
use crate::workspace::operation::{self, quote, todo as todos};
use crate::workspace::restore;

const OID: &str = "0123456789abcdef0123456789abcdef01234567";

pub fn workspace(bytes: &[u8]) {
    let Ok(model) = serde_json::from_slice::<Workspace>(bytes) else { return };
    let _ = operation::check(&model.operations, gix::hash::Kind::Sha1);
    if restore::check(&model, |_| Some(1)).is_ok() {
        let places = model.files.iter().map(|file| &file.path).chain(model.index.iter().map(|entry| &entry.path));
        for path in places {
            let parts: Vec<&[u8]> = path.as_bytes().split(|&byte| byte == b'/').collect();
            let out = |part: &&[u8]| part.is_empty() || matches!(*part, b"." | b"..") || part.eq_ignore_ascii_case(b".git");
            assert!(!parts.iter().any(out), "{path}");
        }
        let branch = model.head.branch.as_ref().map(Name::as_bytes);
        assert!(branch.is_none_or(|name| name.starts_with(b"refs/heads/") && !name.starts_with(b"refs/heads/-")), "{branch:?}");
        let json = serde_json::to_vec(&model).expect("JSON");
        assert_eq!(serde_json::from_slice::<Workspace>(&json).expect("as it was written"), model);
    }
}

pub fn workspace_seeds() -> Vec<Vec<u8>> {
    let pick = format!("{{\"do\":\"commit\",\"verb\":\"pick\",\"commit\":\"{OID}\",\"text\":\"one\"}}");
    let model = format!(
        "{{\"schema\":\"samesession.workspace/1\",\"identity\":{{\"format\":\"sha1\",\"roots\":[\"{OID}\"],\"remotes\":[\"example.org/x\"]}},\
         \"head\":{{\"branch\":\"refs/heads/main\",\"commit\":\"{OID}\"}},\"upstream\":{{\"remote\":\"origin\",\"merge\":\"refs/heads/main\"}},\
         \"prerequisites\":[{{\"commit\":\"{OID}\",\"refs\":[\"refs/heads/main\"]}}],\"pack\":{{\"objects\":3,\"size\":1,\"commits\":1}},\
         \"index\":[{{\"path\":\"a/b\",\"mode\":\"100644\",\"oid\":\"{OID}\",\"stage\":1,\"intent_to_add\":true}}],\"unindexed\":[\"c\"],\
         \"files\":[{{\"path\":\"d\",\"is\":\"file\",\"at\":\"workspace/files/d\",\"size\":1,\"mode\":420}},{{\"path\":\"e\",\"is\":\"link\",\"to\":\"../x\"}},\
         {{\"path\":\"f\",\"is\":\"gone\"}},{{\"path\":\"g\",\"is\":\"directory\"}}],\"sparse\":{{\"cone\":true,\"patterns\":\"/*\\n\"}},\
         \"submodules\":[{{\"path\":\"lib\",\"commit\":\"{OID}\",\"changed\":true}}]}}"
    );
    let merge = format!("{{\"kind\":\"merge\",\"heads\":[\"{OID}\"]}},{{\"kind\":\"prepared\",\"message\":\"Merge\"}}");
    let rebase = format!(
        "{{\"kind\":\"rebase\",\"head_name\":\"refs/heads/x\",\"orig_head\":\"{OID}\",\"onto\":\"{OID}\",\"todo\":[{pick}],\"done\":[],\
         \"msgnum\":1,\"end\":2,\"message\":\"one\"}}"
    );
    let with = |operations: &str| model.replacen("\"sparse\"", &format!("\"operations\":[{operations}],\"sparse\""), 1);
    let all = [with(&merge), with(&rebase)].map(String::into_bytes);
    let known = |json: &Vec<u8>| serde_json::from_slice::<Workspace>(json).is_ok_and(|model| !model.operations.is_empty());
    assert!(all.iter().all(known), "they are read");
    [vec![model.into_bytes()], all.to_vec()].concat()
}

pub fn todo(bytes: &[u8]) {
    let (oid, comment) = (Oid(ObjectId::from_hex(OID.as_bytes()).expect("an id")), b";");
    let commits: BTreeMap<Vec<u8>, Oid> = [(b"0123456".to_vec(), oid), (OID.as_bytes().to_vec(), oid)].into();
    let labels: BTreeSet<Vec<u8>> = todos::labels(bytes, comment);
    let words = todos::Words { commits: &commits, labels: &labels };
    let Ok(list) = todos::parse(bytes, comment, &words) else { return };
    let written: Vec<u8> = list.iter().flat_map(|todo| todo.line()).collect();
    assert_eq!(written.split(|&byte| byte == b'\n').count(), list.len() + 1, "a line each");
    if let Ok(again) = todos::parse(&written, comment, &words) {
        let rewritten: Vec<u8> = again.iter().flat_map(|todo| todo.line()).collect();
        assert_eq!(rewritten, written);
    }
}

pub fn todo_seeds() -> Vec<Vec<u8>> {
    let list = "pick 0123456 one\nfixup -C 0123456 two\nlabel onto\nreset onto # x\nmerge -C 0123456 onto # Merge\nexec make\nbreak\nnoop\n\
                update-ref refs/heads/x\nr 0123456 three\nreset [new root]\n# a comment\n";
    texts([list, "x rm -rf /\nu refs/heads/main\n"])
}

pub fn quoted(bytes: &[u8]) {
    if let Some(words) = quote::words(bytes) {
        for quote in [quote::single, quote::double] {
            let line = words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(&b' ');
            assert_eq!(quote::words(&line).as_ref(), Some(&words));
        }
    }
}

pub fn quoted_seeds() -> Vec<Vec<u8>> {
    texts(["'--gpg-sign' '-s' 'it'\\''s'", "\"a\\\"b\" c\\ d", "git bisect start 'bad' 'good' -- 'a b'"])
}

pub fn answers(bytes: &[u8]) {
    if let Ok(status) = git::status(bytes) {
        let _ = status.changes.iter().filter(|change| change.is_unmerged() || change.is_gitlink()).count();
    }
    let mut again = Vec::new();
    for row in git::rows(bytes).map_while(Result::ok) {
        let _: (bool, _) = (row.is_flagged(), row.oid());
        row.write(&mut again);
    }
    assert!(bytes.starts_with(again.strip_suffix(b"\0").unwrap_or(&again)), "rows as they were");
    let _ = git::intended(bytes);
    let config = Config::parse(bytes);
    for remote in config.remotes() {
        let _: (bool, _) = (config.flag(remote).is_some(), identity::addresses(&config, remote));
    }
}

pub fn answers_seeds() -> Vec<Vec<u8>> {
    let status = format!(
        "# branch.oid {OID}\0# branch.head main\01 .M N... 100644 100644 100644 {OID} {OID} a b\0\
         u UU N... 100644 100644 100644 100644 {OID} {OID} {OID} c\0? d\0"
    );
    let rows = format!("H 100644 {OID} 0\ta b\0s 160000 {OID} 2\tc\0");
    let debug = "a b\0  ctime: 1:2\n  mtime: 1:2\n  dev: 1\tino: 2\n  uid: 0\tgid: 0\n  size: 0\tflags: 20004000\n";
    texts([&status, &rows, debug, "remote.origin.url\nhttps://x\0core.bare\nfalse\0core.flag\0"])
}

/// Names that somebody may have chosen: of refs, branches and addresses.
pub fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = refs::parse(&text);
    let _ = address::parse(&text, &["origin"]);
    let _ = identity::normal(&text);
    let name = Name::new(bytes);
    if let Some(branch) = name.branch() {
        assert!(name.is_ref() && !branch.starts_with(b"-"), "{name}");
    }
    let _: (_, bool, bool, usize) = (name.fault(), name.harmless(), name.is_gitmodules(), name.parents().count());
}

pub fn names_seeds() -> Vec<Vec<u8>> {
    texts([
        "refs/samesession/sessions/abcdefghijklmnopqrstuvwxyz",
        "refs/samesession-remote/origin/sessions/abcdefghijklmnopqrstuvwxyz",
        "refs/samesession-seen/origin/roster",
        "refs/heads/a/b",
        "session::current",
        "session::ssh://user:pass@host:22/path?x#y",
        "https://user:pass@example.org/a/b.git",
        "git@example.org:a/b.git",
    ])
}
