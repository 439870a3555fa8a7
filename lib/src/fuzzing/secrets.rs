//! The search for secrets, in one piece and in many.

use super::fixture;
use crate::policy::secrets::{Masked, Match, Stream};

pub fn secrets(bytes: &[u8]) {
    let whole = search(bytes, usize::MAX);
    for size in [7, 1000, 30_000] {
        let places = |found: &[Match]| found.iter().map(|one| (one.rule, one.id.clone(), one.line)).collect::<Vec<_>>();
        assert_eq!(places(&search(bytes, size)), places(&whole), "in pieces of {size}");
    }
    for found in &whole {
        assert!(found.range.start < found.range.end && found.range.end <= bytes.len() as u64);
    }
    let mut out = Vec::new();
    std::io::copy(&mut Masked::new(bytes), &mut out).expect("copied");
    assert_eq!(out.len(), bytes.len(), "a mask has the length of what it hides");
}

fn search(bytes: &[u8], size: usize) -> Vec<Match> {
    let (mut stream, mut found) = (Stream::default(), Vec::new());
    bytes.chunks(size.min(bytes.len().max(1))).for_each(|piece| stream.push(piece, &mut found));
    stream.finish(&mut found);
    found
}

/// With made-up secrets, put together here.
pub fn seeds() -> Vec<Vec<u8>> {
    let token = ["ghp", "_", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"].concat();
    let key = ["-----BEGIN ", "OPENSSH PRIVATE KEY-----\\n", &"b3BlbnNzaC1rZXktdjEA".repeat(8), "\\n-----END OPENSSH PRIVATE KEY-----\\n"]
        .concat();
    let line =
        format!("{{\"message\":{{\"content\":\"use {token} and {key} or postgres://u:{token}@h/db password=\\\"hunter2hunter2\\\"\"}}}}\n");
    let mut all = vec![line.clone().into_bytes(), line.replace('\\', "\\\\").repeat(3).into_bytes()];
    all.push(fixture("claude-2.1.197/.claude/projects/-home-dev-src-demo-app-one/aaaaaaaa-0001-4000-8000-000000000001.jsonl"));
    all
}
