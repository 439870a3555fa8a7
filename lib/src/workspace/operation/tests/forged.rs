//! Patches, bisections and sequences that nobody honest wrote.

use gix::hash::Kind;
use serde_json::json;

use super::hostile::forged;
use super::lab::Lab;
use crate::workspace::operation::{Error, Operation, check};

#[test]
fn patches_that_are_not_as_it_counts_are_refused() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    from.git(&["format-patch", "-q", "-o", "..", "HEAD~1"]);
    from.git(&["checkout", "-q", "upstream"]);
    from.stops(&["am", "../0001-topic-four.patch"]);
    let honest = from.operations();
    assert!(matches!(honest[0], Operation::Am(_)));
    for (field, value) in [
        ("next", json!(u32::MAX)),
        ("last", json!(u32::MAX)),
        ("last", json!(0)),
        ("patches", json!(["a", "b"])),
        ("patches", json!(["a".repeat(17 << 20)])),
        ("options", json!(["--unsafe-paths"])),
        ("options", json!(["--directory=x\n"])),
        ("quoted_cr", json!("x\ny")),
    ] {
        let answer = check(&forged(&honest, field, value), Kind::Sha1);
        assert!(matches!(answer, Err(Error::Refused(_))), "{field}: {answer:?}");
    }
    let both = forged(&forged(&honest, "next", json!(u32::MAX)), "last", json!(u32::MAX));
    assert!(check(&both, Kind::Sha1).is_err());
}

#[test]
fn a_bisection_says_only_what_git_says() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    from.git(&["bisect", "start", "HEAD", "HEAD~6"]);
    let honest = from.operations();
    let oid = from.oid("main");
    for (field, value) in [
        ("log", json!(["git bisect run touch x"])),
        ("log", json!(["touch x"])),
        ("log", json!(["# x\ntouch x"])),
        ("bad_word", json!("a b")),
        ("good_word", json!("--x")),
        ("refs", json!([{ "name": "../heads/main", "commit": oid }])),
        ("start", json!({ "at": "branch", "name": "refs/heads/--orphan", "commit": oid })),
        ("start", json!({ "at": "branch", "name": "-f", "commit": oid })),
    ] {
        let answer = check(&forged(&honest, field, value), Kind::Sha1);
        assert!(matches!(answer, Err(Error::Refused(_))), "{field}: {answer:?}");
    }
}

#[test]
fn a_sequence_says_only_what_git_says() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    from.git(&["checkout", "-q", "upstream"]);
    from.stops(&["cherry-pick", "-x", "main~4..main"]);
    let honest = from.operations();
    let oid = from.oid("main");
    let todo = |verb: &str| json!([{ "do": "commit", "verb": verb, "commit": oid, "text": "" }]);
    for (field, value) in [
        ("todo", todo("revert")),
        ("todo", todo("edit")),
        ("todo", json!([])),
        ("todo", json!([{ "do": "exec", "command": "touch x" }])),
        ("options", json!([{ "name": "core.sshCommand", "value": "x" }])),
        ("options", json!([{ "name": "edit = true\n[core]\npager", "value": "true" }])),
        ("options", json!([{ "name": "strategy", "value": "a\nb" }])),
        ("options", json!([{ "name": "mainline", "value": "-1" }])),
    ] {
        let mut all = serde_json::to_value(&honest).expect("written");
        all[0]["sequence"][field] = value;
        let all: Vec<Operation> = serde_json::from_value(all).expect("of the right form");
        let answer = check(&all, Kind::Sha1);
        assert!(matches!(answer, Err(Error::Refused(_))), "{field}: {answer:?}");
    }
}
