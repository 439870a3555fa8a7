use super::*;
use crate::seal::SigningKey;

struct Device(String, String);

fn device() -> Device {
    let key = SigningKey::generate("x").expect("a key");
    let line = key.public_line().expect("a line");
    let line = line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    Device(line, key.fingerprint())
}

fn member(device: &Device, by: &Device, sequence: u64) -> Member {
    let recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned();
    Member { name: "n".into(), signing: device.0.clone(), recipient, added: mark(by, sequence), revoked: None, recovery: false }
}

fn mark(by: &Device, sequence: u64) -> Mark {
    Mark { by: by.1.clone(), at: "2026-11-21T04:03:02.746Z".into(), sequence }
}

fn roster(sequence: u64, members: Vec<Member>) -> Roster {
    let root = (sequence > 1).then(|| "root".to_owned());
    Roster {
        schema: SCHEMA.into(),
        sequence,
        nonce: String::new(),
        root,
        made: String::new(),
        members,
        groups: BTreeMap::new(),
        more: Map::new(),
    }
}

#[test]
fn only_a_member_changes_it_and_only_in_its_own_name() {
    let (a, b, c) = (device(), device(), device());
    let first = roster(1, vec![member(&a, &a, 1)]);
    assert_eq!(first.is_a_beginning(&a.1), Ok(()));
    assert_eq!(first.is_a_beginning(&b.1), Err(Refused::Order));
    let second = roster(2, vec![member(&a, &a, 1), member(&b, &a, 2)]);
    assert_eq!(second.follows(&first, "root", &a.1), Ok(()));
    assert_eq!(second.follows(&first, "root", &b.1), Err(Refused::NoMember), "nobody adds themselves");
    assert_eq!(second.follows(&first, "another", &a.1), Err(Refused::Order), "of another store");
    // One that a device cannot read the beginning of may begin with any number.
    let last = roster(u64::MAX, first.members.clone());
    assert_eq!(roster(0, second.members.clone()).follows(&last, "root", &a.1), Err(Refused::Order));
    let skipped = roster(3, second.members.clone());
    assert_eq!(skipped.follows(&first, "root", &a.1), Err(Refused::Order));

    let mut revoked = roster(3, second.members.clone());
    revoked.members[0].revoked = Some(mark(&b, 3));
    assert_eq!(revoked.follows(&second, "root", &b.1), Ok(()));
    assert_eq!(revoked.follows(&second, "root", &a.1), Err(Refused::InAnothersName));
    // Whoever was revoked says nothing more, and does not come back by being left out or changed.
    let more = roster(4, [revoked.members.clone(), vec![member(&c, &a, 4)]].concat());
    assert_eq!(more.follows(&revoked, "root", &a.1), Err(Refused::NoMember));
    let forgotten = roster(4, vec![revoked.members[1].clone()]);
    assert_eq!(forgotten.follows(&revoked, "root", &b.1), Err(Refused::Forgotten));
    let back = roster(4, second.members.clone());
    assert_eq!(back.follows(&revoked, "root", &b.1), Err(Refused::InAnothersName));
    let mut renamed = roster(4, revoked.members.clone());
    renamed.members[1].recipient = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg".into();
    assert_eq!(renamed.follows(&revoked, "root", &b.1), Err(Refused::InAnothersName), "not even its own key");
    let mut paper = roster(4, revoked.members.clone());
    paper.members[1].recovery = true;
    assert_eq!(paper.follows(&revoked, "root", &b.1), Err(Refused::InAnothersName), "a device is no key on paper");
    // When somebody says that it was does not matter.
    let mut long_ago = roster(4, revoked.members.clone());
    long_ago.members.push(member(&c, &b, 4));
    long_ago.members[2].added.at = "1970-01-01T00:00:00.000Z".into();
    assert_eq!(long_ago.follows(&revoked, "root", &b.1), Ok(()));
}

#[test]
fn what_is_no_roster_is_none() {
    let a = device();
    let good = serde_json::to_vec(&roster(1, vec![member(&a, &a, 1)])).expect("JSON");
    assert!(Roster::parse(&good).is_ok());
    let text = String::from_utf8(good).expect("text");
    for (from, to) in
        [("roster/1", "roster/2"), ("age1", "AGE-SECRET-KEY-1"), ("ssh-ed25519 A", "ssh-ed25519 B"), ("\"sequence\":1", "\"sequence\":-1")]
    {
        assert!(Roster::parse(text.replacen(from, to, 1).as_bytes()).is_err(), "{from}");
    }
    for (name, key, good) in [
        ("team", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", true),
        ("team", "AGE-SECRET-KEY-1", false),
        ("team", "/etc/passwd", false),
        ("../team", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", false),
        ("age1team", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", false),
    ] {
        let mut grouped = roster(1, vec![member(&a, &a, 1)]);
        grouped.groups.insert(name.to_owned(), vec![key.to_owned()]);
        assert_eq!(Roster::parse(&serde_json::to_vec(&grouped).expect("JSON")).is_ok(), good, "{name} {key}");
    }
    let twice = roster(1, vec![member(&a, &a, 1), member(&a, &a, 1)]);
    assert!(Roster::parse(&serde_json::to_vec(&twice).expect("JSON")).is_err());
}
