//! Container B: the objects and the words of checkpoints and rosters.

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use gix::hash::Kind as Hash;

use super::capsules::{NATIVE, sid};
use super::texts;
use crate::lease::{Act, Lease, Me};
use crate::roster::{self, Mark, Member, Roster};
use crate::seal::{self, Epoch, EpochId, NAMESPACE, SigningKey};
use crate::store::envelope::Envelope;
use crate::store::record::{Header, Kind, Line, Pages, Record, Summary};
use crate::store::roster::Request;
use crate::store::{commit as commits, tree as trees};

const NAME: &str = "0123456789abcdef0123456789abcdef";
const EPOCH: &str = "0123456789abcdef";
const AGE: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

static SIGNER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate("x").expect("a key"));
static SEALED_TO: LazyLock<Epoch> = LazyLock::new(Epoch::begin);

pub fn header(bytes: &[u8]) {
    if let Ok(header) = Header::parse(bytes) {
        let json = serde_json::to_vec(&header).expect("JSON");
        assert_eq!(Header::parse(&json).expect("as it was written"), header);
    }
}

pub fn header_seeds() -> Vec<Vec<u8>> {
    let header = public(&sealed());
    let short = Header { supersedes: Some("0".repeat(40)), total: u64::MAX, ..header.clone() };
    [header, short].iter().map(|header| serde_json::to_vec_pretty(header).expect("JSON")).collect()
}

fn public(record: &Record) -> Header {
    Header::of(record, &EpochId::parse(EPOCH).expect("an epoch"), 10, 20)
}

fn line(length: usize, dictionary: bool) -> Line {
    let dictionary = if dictionary { EPOCH } else { "-" };
    format!("{NAME} {EPOCH} {length} {} {dictionary}", "ab".repeat(32)).parse().expect("a line")
}

fn sealed() -> Record {
    let summary = Summary { agent: "claude".into(), native_id: NATIVE.into(), files: 2, bytes: 100, ..Summary::default() };
    let pages = Pages { sha256: "ab".repeat(32), pages: vec![line(100, false), line(7, true)] };
    Record {
        nonce: "00".repeat(16),
        made: "2026-11-21T04:03:02.746Z".into(),
        seed: "cd".repeat(32),
        recipients: vec![AGE.into()],
        manifest: pages.clone(),
        parts: pages,
        dictionaries: [(EPOCH.to_owned(), vec![line(100, false)])].into(),
        open: vec!["0".repeat(40)],
        lease: Some(held()),
        ..Record::new(Kind::Checkpoint, &sid(), summary)
    }
}

pub fn record(bytes: &[u8]) {
    if let Ok(record) = Record::parse(bytes, &public(&sealed())) {
        assert!(record.seed().is_some() && record.open().len() <= record.open.len());
        let json = serde_json::to_vec(&record).expect("JSON");
        assert_eq!(Record::parse(&json, &public(&sealed())).expect("as it was written"), record);
    }
}

pub fn record_seeds() -> Vec<Vec<u8>> {
    vec![serde_json::to_vec_pretty(&sealed()).expect("JSON")]
}

/// What is sealed as a record, as it is and packed.
pub fn envelope(bytes: &[u8]) {
    let packed = zstd::encode_all(bytes, 1).expect("packed");
    for plain in [bytes, &packed] {
        let sealed = SEALED_TO.seal(plain).expect("sealed");
        if let Ok(envelope) = Envelope::open(&sealed, &SEALED_TO) {
            let _ = seal::verify(NAMESPACE, &envelope.record, &envelope.record_signature);
        }
    }
    let _ = SEALED_TO.open(bytes);
}

pub fn envelope_seeds() -> Vec<Vec<u8>> {
    let record = serde_json::to_vec(&sealed()).expect("JSON");
    let record_signature = SIGNER.sign(NAMESPACE, &record).expect("signed").into_bytes();
    let whole = Envelope { manifest_signature: Some(record_signature.clone()), record, record_signature };
    let packed = SEALED_TO.open(&whole.seal(&SEALED_TO).expect("sealed")).expect("opened");
    vec![zstd::decode_all(&packed[..]).expect("unpacked"), packed]
}

pub fn parts(bytes: &[u8]) {
    for text in String::from_utf8_lossy(bytes).lines() {
        if let Ok(line) = text.parse::<Line>() {
            assert_eq!(line.to_string().parse::<Line>().as_ref(), Ok(&line));
            assert!(line.length <= seal::chunk::MAX && line.name.len() == 32);
        }
    }
}

pub fn parts_seeds() -> Vec<Vec<u8>> {
    vec![format!("{}\n{}\n", line(4_194_304, false), line(1, true)).into_bytes()]
}

fn held() -> Lease {
    let me = Me { device: "laptop", key: SIGNER.fingerprint(), opens: &[] };
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    Act::Take { takeover: None }.on(None, &me, now, None).expect("free").expect("a lease")
}

pub fn lease(bytes: &[u8]) {
    let Ok(lease) = serde_json::from_slice::<Lease>(bytes) else { return };
    let opens = [AGE.to_owned()];
    for key in [lease.key.clone(), "SHA256:another".to_owned()] {
        let me = Me { device: "desktop", key, opens: &opens };
        for (hours, seen) in [(0, None), (1 << 20, Some(Duration::MAX))] {
            let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000 + 3600 * hours);
            let _ = lease.standing(&me, now, seen);
            let takeover = Some("a reason".to_owned());
            for act in
                [Act::Take { takeover: takeover.clone() }, Act::HandOver { to: Vec::new(), note: None, takeover }, Act::Release, Act::Renew]
            {
                if let Ok(Some(next)) = act.on(Some(&lease), &me, now, seen) {
                    assert!(next.turn >= lease.turn);
                }
            }
        }
    }
}

pub fn lease_seeds() -> Vec<Vec<u8>> {
    let sent = Lease { kind: crate::lease::Kind::InTransit, to: vec![AGE.into()], note: Some("for you".into()), until: None, ..held() };
    let elsewhere = Lease { until: Some("2027-01-15T10:00:00+02:00".into()), ..held() };
    [held(), sent, elsewhere].iter().map(|lease| serde_json::to_vec(lease).expect("JSON")).collect()
}

fn list(sequence: u64) -> Roster {
    let signing = SIGNER.public_line().expect("a line").split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let mark = Mark { by: SIGNER.fingerprint(), at: "2026-11-21T04:03:02.746Z".into(), sequence: 1 };
    let member = Member { name: "laptop".into(), signing, recipient: AGE.into(), added: mark, revoked: None, recovery: false };
    let root = (sequence > 1).then(|| "0".repeat(40));
    let (schema, nonce, made) = (roster::SCHEMA.into(), NAME.into(), "2026-11-21T04:03:02.746Z".into());
    Roster {
        schema,
        sequence,
        nonce,
        root,
        made,
        members: vec![member],
        groups: [("all".into(), vec![AGE.into()])].into(),
        more: Default::default(),
    }
}

pub fn roster(bytes: &[u8]) {
    let Ok(roster) = Roster::parse(bytes) else { return };
    let (signer, root) = (SIGNER.fingerprint(), "0".repeat(40));
    let _ = roster.is_a_beginning(&signer);
    for before in [list(1), list(2), roster.clone()] {
        let _ = roster.follows(&before, &root, &signer);
        if before.follows(&roster, &root, &signer).is_ok() {
            assert!(roster.member(&signer).is_some_and(Member::is_active), "changed by a member");
        }
    }
}

pub fn roster_seeds() -> Vec<Vec<u8>> {
    let mut revoked = list(3);
    revoked.members[0].revoked = Some(revoked.members[0].added.clone());
    [list(1), list(2), revoked].iter().map(|roster| serde_json::to_vec_pretty(roster).expect("JSON")).collect()
}

pub fn request(bytes: &[u8]) {
    if let Ok(request) = serde_json::from_slice::<Request>(bytes) {
        let _ = seal::fingerprint_of(&request.signing);
        let _ = seal::Recipients::default().add_text(&request.recipient);
    }
    let text = String::from_utf8_lossy(bytes);
    let _ = seal::Recipients::default().add_text(text.trim());
}

pub fn request_seeds() -> Vec<Vec<u8>> {
    let signing = list(1).members[0].signing.clone();
    let request =
        format!("{{\"schema\":\"samesession.request/1\",\"nonce\":\"{NAME}\",\"signing\":\"{signing}\",\"recipient\":\"{AGE}\"}}");
    vec![request.into_bytes(), signing.into_bytes(), AGE.as_bytes().to_vec()]
}

pub fn commit(bytes: &[u8]) {
    for hash in [Hash::Sha1, Hash::Sha256] {
        if let Some(commit) = commits::parse(hash.null(), bytes, commits::header(hash)) {
            let _: (bool, _) = (commit.is_ours(), commit.signer());
        }
    }
}

pub fn commit_seeds() -> Vec<Vec<u8>> {
    struct Gpg;
    impl seal::Witness for Gpg {
        fn sign(&self, _: &[u8]) -> Result<String, seal::Error> {
            Ok("-----BEGIN PGP SIGNATURE-----\n\niIUE\n-----END PGP SIGNATURE-----\n".to_owned())
        }
    }
    let both = SigningKey::generate("x").expect("a key");
    both.beside(Box::new(Gpg));
    let written = |hash: Hash, key: &SigningKey| commits::write(hash, &hash.empty_tree(), &[hash.empty_blob()], key).expect("written");
    vec![written(Hash::Sha1, &SIGNER), written(Hash::Sha256, &SIGNER), written(Hash::Sha1, &both)]
}

pub fn tree(bytes: &[u8]) {
    for hash in [Hash::Sha1, Hash::Sha256] {
        let _ = trees::is_one(bytes, hash);
    }
}

pub fn tree_seeds() -> Vec<Vec<u8>> {
    let entry = |mode: &str, name: &str| [format!("{mode} {name}\0").as_bytes(), &[7; 20]].concat();
    let whole = [entry("100644", "capsule.json"), entry("40000", "data"), entry("40000", "keys"), entry("100644", "manifest.age")];
    vec![whole.concat(), entry("100644", NAME)]
}

pub fn signature(bytes: &[u8]) {
    let _ = seal::verify(NAMESPACE, b"what is signed", bytes);
    let _ = seal::fingerprint_of(&String::from_utf8_lossy(bytes));
    let _ = SigningKey::from_openssh(&String::from_utf8_lossy(bytes));
}

pub fn signature_seeds() -> Vec<Vec<u8>> {
    let signed = SIGNER.sign(NAMESPACE, b"what is signed").expect("signed");
    let text = SIGNER.to_openssh().expect("text");
    [texts([&signed, &text]), vec![list(1).members[0].signing.clone().into_bytes()]].concat()
}
