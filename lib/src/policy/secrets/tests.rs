//! Fake secrets are made here, when they are needed: none is written down whole, or forges would refuse to take them.

use super::*;

/// Enough chance for a test, and the same every time.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn of(&mut self, class: &str) -> u8 {
        let letters: &[u8] = match class {
            "h" => b"0123456789abcdef",
            "u" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
            "l" => b"abcdefghijklmnopqrstuvwxyz0123456789",
            "b" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
            "w" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-",
            "d" => b"0123456789",
            "A" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            "B" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
            "X" => b"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
            _ => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        };
        letters[self.next() as usize % letters.len()]
    }

    /// An example of the rules, with its random parts.
    pub fn fill(&mut self, example: &str) -> String {
        let mut filled = String::new();
        let mut rest = example;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(&before.replace('|', "\n"));
            let made = after.split_once('}').and_then(|(inside, left)| {
                let (class, n) = inside.split_once(':')?;
                let n: usize = n.parse().ok().filter(|_| class.len() == 1)?;
                Some(((0..n).map(|_| char::from(self.of(class))).collect::<String>(), left))
            });
            match made {
                Some((made, left)) => {
                    filled.push_str(&made);
                    rest = left;
                }
                None => {
                    filled.push('{');
                    rest = after;
                }
            }
        }
        filled + &rest.replace('|', "\n")
    }
}

fn scan(pieces: &[&[u8]]) -> Vec<Match> {
    let (mut stream, mut found) = (Stream::default(), Vec::new());
    pieces.iter().for_each(|piece| stream.push(piece, &mut found));
    stream.finish(&mut found);
    found
}

fn names(found: &[Match]) -> Vec<&'static str> {
    found.iter().map(|found| rules().all[found.rule].name).collect()
}

#[test]
fn every_rule_finds_its_examples_and_not_its_counterexamples() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for rule in &rules().all {
        assert!(rule.regex().is_some(), "{}: no regex", rule.name);
        assert!(!rule.yes.is_empty() && !rule.no.is_empty(), "{} has no examples", rule.name);
        for (yes, examples) in [(true, &rule.yes), (false, &rule.no)] {
            for example in examples.iter() {
                for _ in 0..5 {
                    let text = chance.fill(example);
                    let found = names(&scan(&[text.as_bytes()]));
                    assert_eq!(found.contains(&rule.name), yes, "{}: {example}: {text}: {found:?}", rule.name);
                }
            }
        }
    }
}

/// However text reaches the scanner, what is found and where is the same.
#[test]
fn a_secret_across_pieces_is_found_as_in_one() {
    let mut chance = Chance(7);
    let mut text = String::new();
    for n in 0..40 {
        text.push_str(&format!("{{\"n\":{n},\"text\":\"{}\"}}\n", "words and words ".repeat(40)));
        let rule = &rules().all[chance.next() as usize % rules().all.len()];
        let secret = chance.fill(rule.yes[0]);
        text.push_str(&format!(
            "{{\"n\":{n},\"message\":{{\"content\":[{{\"text\":{}}}]}}}}\n",
            serde_json::to_string(&secret).expect("JSON")
        ));
    }
    let whole = scan(&[text.as_bytes()]);
    assert!(whole.len() >= 40 && whole.iter().all(|found| found.line % 2 == 0), "{}", whole.len());
    assert!(whole.iter().all(|found| found.field.as_deref() == Some("message.content[0].text")));
    for size in [1, 7, 64, 1000, 4097, 25_000, 31_013, 40_000] {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        assert_eq!(scan(&pieces), whole, "in pieces of {size}");
    }
    // Behind a million and more, too, where the pieces are looked at one after the other.
    let far = "x\n".repeat(700_000) + &text;
    let found: Vec<_> = scan(&[far.as_bytes()]);
    assert_eq!(found.len(), whole.len());
    assert!(found.iter().zip(&whole).all(|(far, near)| far.id == near.id && far.line == near.line + 700_000 && far.field == near.field));
}

/// Pieces that are looked at where they lie, beside those that are gathered, within lines longer than either.
#[test]
fn however_long_lines_and_pieces_are_the_same_is_found() {
    let mut chance = Chance(37);
    for round in 0..25 {
        let mut text = String::new();
        for n in 0..30 {
            let rule = &rules().all[chance.next() as usize % rules().all.len()];
            let secret = chance.fill(rule.yes[0]);
            let secret = match n % 3 {
                0 => secret.chars().map(|c| format!("\\u{:04x}", c as u32)).collect(),
                _ => serde_json::to_string(&secret).expect("JSON").trim_matches('"').to_owned(),
            };
            // Some of them so long that nobody asks where they begin.
            let filler = "some words ".repeat(chance.next() as usize % [10, 3000, 40_000][n % 3]);
            text.push_str(&format!("{{\"n\":{n},\"content\":[\"{filler}\",\"{secret}\",\"{filler}\"]}}\n"));
        }
        let gathered: Vec<&[u8]> = text.as_bytes().chunks(1000).collect();
        let gathered = scan(&gathered);
        assert!(gathered.len() >= 20 && gathered.iter().any(|found| found.field.as_deref() == Some("content[1]")), "{gathered:?}");
        assert_eq!(scan(&[text.as_bytes()]), gathered, "round {round}, whole");
        // Cut near what there is to find, and anywhere.
        let mut cuts = vec![text.len()];
        for found in gathered.iter().step_by(1 + round % 3) {
            cuts.push((found.range.start as usize + chance.next() as usize % 300).saturating_sub(150).min(text.len()));
            cuts.push(chance.next() as usize % text.len());
        }
        cuts.sort_unstable();
        let mut begin = 0;
        let pieces: Vec<&[u8]> = cuts.into_iter().map(|end| &text.as_bytes()[std::mem::replace(&mut begin, end)..end]).collect();
        assert_eq!(scan(&pieces), gathered, "round {round}, in {} pieces", pieces.len());
    }
}

/// Strings in strings, and characters written as numbers.
#[test]
fn escaping_hides_nothing_and_changes_no_id() {
    let mut chance = Chance(11);
    for rule in rules().all.iter().filter(|rule| rule.confidence == Confidence::High) {
        let secret = chance.fill(rule.yes[0]);
        let plain = scan(&[secret.as_bytes()]);
        let once = serde_json::to_string(&secret).expect("JSON");
        let twice = serde_json::to_string(&once).expect("JSON");
        let numbers: String = secret.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        let mixed: String =
            secret.chars().map(|c| if c == '-' || c == '_' { format!("\\u{:04x}", c as u32) } else { c.to_string() }).collect();
        let mixed = mixed.replace('\n', "\\n");
        for (how, text) in [("once", once), ("twice", twice), ("numbers", format!("\"{numbers}\"")), ("mixed", format!("\"{mixed}\""))] {
            let found = scan(&[text.as_bytes()]);
            let ids = |found: &[Match]| found.iter().filter(|one| one.rule <= plain[0].rule).map(|one| one.id.clone()).collect::<Vec<_>>();
            assert!(ids(&found).contains(&plain[0].id), "{} {how}: {text}: {:?}", rule.name, names(&found));
        }
    }
}

#[test]
fn a_key_shown_with_the_numbers_of_its_lines_is_the_same_key() {
    let mut chance = Chance(13);
    let key = chance.fill("-----BEGIN RSA PRIVATE KEY-----|{b:64}|{b:64}|{b:64}|-----END RSA PRIVATE KEY-----");
    let shown: String = key.lines().enumerate().map(|(n, line)| format!("{:>6}→{line}\n", n + 1)).collect();
    let json = serde_json::to_string(&shown).expect("JSON");
    let ids: Vec<_> = [&key, &shown, &json].map(|text| scan(&[text.as_bytes()])[0].id.clone()).to_vec();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[test]
fn what_is_known_is_not_searched_again() {
    let mut chance = Chance(17);
    let (old, new) = (chance.fill("ghp_{a:36} and more\n"), chance.fill("ghp_{a:36}\n"));
    let (mut stream, mut found) = (Stream::default(), Vec::new());
    stream.known(old.as_bytes(), &mut found);
    stream.push(new.as_bytes(), &mut found);
    stream.finish(&mut found);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].line, found[0].range.start), (2, old.len() as u64));
    // One that begins in what is known and ends in what is new was never seen whole.
    let (mut stream, mut found) = (Stream::default(), Vec::new());
    stream.known(&new.as_bytes()[..12], &mut found);
    stream.push(&new.as_bytes()[12..], &mut found);
    stream.finish(&mut found);
    assert_eq!(found.len(), 1);
}

/// Some hundreds of lines, half of them with a secret of high confidence, half of them with what only looks like one.
#[test]
fn precision_and_recall_over_a_labelled_set() {
    let mut chance = Chance(23);
    let around = [
        "{}",
        "export {}",
        "{\"type\":\"user\",\"message\":{\"content\":\"{}\"}}",
        "  - run: echo {} # note",
        "the key is {}, see above",
        "{}\\n",
    ];
    let mut set: Vec<(bool, String)> = Vec::new();
    for rule in rules().all.iter().filter(|rule| rule.confidence == Confidence::High) {
        for _ in 0..5 {
            let example = rule.yes[chance.next() as usize % rule.yes.len()];
            let frame = around[chance.next() as usize % around.len()];
            set.push((true, frame.replacen("{}", &chance.fill(example), 1)));
        }
    }
    let innocent = [
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "GITHUB_TOKEN=***",
        "ANTHROPIC_API_KEY=sk-ant-...",
        "AWS_PROFILE=default AWS_REGION=eu-central-1",
        "\"usage\":{\"input_tokens\":{d:5},\"cache_creation_input_tokens\":{d:6},\"service_tier\":\"standard\"}",
        "commit {h:40}",
        "sha256:{h:64}",
        "\"uuid\":\"{h:8}-{h:4}-4{h:3}-8{h:3}-{h:12}\"",
        "data:image/png;base64,iVBORw0KGgo{b:200}",
        "\"signature\":\"EqQB{b:160}\"",
        "integrity sha512-{b:86}==",
        "const token = await getToken(request.headers);",
        "let password = prompt(\"Password: \");",
        "if secret.is_empty() { return Err(Error::NoSecret) }",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{b:43} dev@laptop",
        "-----BEGIN PUBLIC KEY-----|{b:64}|{b:64}|-----END PUBLIC KEY-----",
        "-----BEGIN AGE ENCRYPTED FILE-----|{b:64}|{b:64}|-----END AGE ENCRYPTED FILE-----",
        "-----BEGIN SSH SIGNATURE-----|{b:64}|{b:64}|-----END SSH SIGNATURE-----",
        "age1{l:58}",
        "https://user@host.example.org/path?query={l:20}",
        "http://localhost:8080/@fs/home/dev/src",
        "git@github.com:owner/repo.git",
        "toolu_01{a:22}",
        "msg_01{a:22}",
        "req_011{a:21}",
        "call_{a:24}",
        "rs_{h:50}",
        "SKIP=1 SKU{d:8} SKILL.md",
        "npm_config_cache=/home/dev/.npm npm_package_version=1.2.3",
        "key-{l:6}: value, key-down, key-binding",
        "hf_hub_download(repo_id=\"a/b\", filename=\"c\")",
        "postgres://user:password@localhost:5432/db",
        "postgresql://myuser:mypassword@db.acme.io/app",
        "iVBORw0KGgo{b:30}/cio{a:32}/{b:20}",
        "SHA256:AA{w:33}",
        "Basic usage of the command follows here and there",
        "xoxb-your-token xoxp-placeholder",
        "AKIAIOSFODNN7EXAMPLE",
        "sk_live_xxxxxxxxxxxxxxxxxxxxxxxx",
        "dapi, glc_, pul-request, oy2",
        "gAAAAAB{w:180}",
        "\"encrypted_content\":\"gAAAA{w:300}\"",
        "/nix/store/{l:32}-glibc-2.40",
        "cache key: {h:32}, etag \"{h:32}\"",
        "cio.rs, ciopfs, cio {l:4}",
        "\"sessionId\":\"{h:8}-{h:4}-4{h:3}-9{h:3}-{h:12}\",\"version\":\"2.1.329\"",
    ];
    for _ in 0..8 {
        set.extend(innocent.iter().map(|text| (false, chance.fill(text))));
    }
    let (mut hit, mut missed, mut wrong) = (0, Vec::new(), Vec::new());
    for (secret, text) in &set {
        let found = scan(&[text.as_bytes()]);
        let high = found.iter().any(|found| rules().all[found.rule].confidence == Confidence::High);
        match (secret, high) {
            (true, true) => hit += 1,
            (true, false) => missed.push(text),
            (false, true) => wrong.push((text, names(&found))),
            (false, false) => {}
        }
    }
    let recall = f64::from(hit) / (f64::from(hit) + missed.len() as f64);
    let precision = f64::from(hit) / (f64::from(hit) + wrong.len() as f64);
    assert!(set.len() > 500, "{}", set.len());
    assert!(recall >= 0.99, "{recall}: {missed:?}");
    assert!(precision >= 0.99, "{precision}: {wrong:?}");
}

/// Whatever comes, it is read to its end, in memory that does not grow, and what is let out of a mask is as long as what went in.
#[test]
fn no_input_panics_or_grows_memory() {
    let mut chance = Chance(29);
    let words: Vec<&str> = rules().all.iter().flat_map(|rule| rule.keys.iter().map(String::as_str)).collect();
    let odd = ["\\", "\\u00", "\\u002d", "\\ud800", "\"", "\n", "{", "[", "}", ":", "=", "\u{2192}", "\0", "eyJ", ".", "://", "@", "-----"];
    for round in 0..60 {
        let mut text: Vec<u8> = Vec::new();
        while text.len() < 60_000 {
            match chance.next() % 5 {
                0 => text.extend_from_slice(words[chance.next() as usize % words.len()].as_bytes()),
                1 => text.extend_from_slice(odd[chance.next() as usize % odd.len()].as_bytes()),
                2 => text.extend(std::iter::repeat_n(chance.of("b"), chance.next() as usize % 200)),
                3 => text.extend((0..chance.next() % 60).map(|_| chance.0 as u8).collect::<Vec<_>>()),
                _ => {
                    let rule = &rules().all[chance.next() as usize % rules().all.len()];
                    text.extend_from_slice(chance.fill(rule.yes[0]).as_bytes());
                }
            }
        }
        let size = 1 + chance.next() as usize % 9000;
        let pieces: Vec<&[u8]> = text.chunks(size).collect();
        let whole = scan(&[&text]);
        let parted = scan(&pieces);
        for (part, whole) in parted.iter().zip(&whole) {
            assert_eq!(part, whole, "round {round}, in pieces of {size}");
        }
        assert_eq!(parted.len(), whole.len(), "round {round}, in pieces of {size}");
        let mut masked = Vec::new();
        let mut reader = Masked::new(&text[..]);
        std::io::Read::read_to_end(&mut reader, &mut masked).expect("read");
        assert_eq!(masked.len(), text.len());
        assert_eq!(memchr::memchr_iter(b'\n', &masked).count(), memchr::memchr_iter(b'\n', &text).count());
        assert_eq!(reader.secrets, whole.len());
        assert!(whole.len() > 10, "{}", whole.len());
    }
    let (mut stream, mut found) = (Stream::default(), Vec::new());
    let long = b"{\"a\":\"".repeat(1 << 14);
    for _ in 0..100 {
        stream.push(&long, &mut found);
        assert!(stream.held() < 4 << 20, "{}", stream.held());
    }
}

#[test]
fn a_masked_copy_holds_no_secret_and_is_still_json() {
    let mut chance = Chance(31);
    let mut text = String::new();
    let mut secrets = Vec::new();
    for rule in rules().all.iter().filter(|rule| rule.confidence == Confidence::High) {
        let secret = chance.fill(rule.yes[0]);
        text.push_str(&serde_json::json!({ "message": { "content": secret } }).to_string());
        text.push('\n');
        secrets.push(secret);
    }
    let masked = masked(&text);
    assert_eq!(masked.len(), text.len());
    for (line, secret) in masked.lines().zip(&secrets) {
        let value: serde_json::Value = serde_json::from_str(line).expect("still JSON");
        let shown = value["message"]["content"].as_str().expect("a text");
        assert_ne!(shown, secret);
        assert!(scan(&[line.as_bytes()]).iter().all(|found| rules().all[found.rule].confidence == Confidence::Low), "{line}");
    }
}

/// With one secret at its beginning, behind which nothing is found any more.
#[test]
fn a_long_file_is_masked_in_little_memory() {
    let secret = Chance(41).fill("ghp_{a:36}\n");
    let rest = "nothing that anybody would hide\n".repeat(1 << 20);
    let mut reader = Masked::new(std::io::Read::chain(secret.as_bytes(), rest.as_bytes()));
    let (mut block, mut read) = (vec![0; 64 << 10], 0);
    loop {
        match std::io::Read::read(&mut reader, &mut block).expect("read") {
            0 => break,
            n => read += n,
        }
        assert!(reader.held() < 4 << 20, "{} after {read}", reader.held());
    }
    assert_eq!((read, reader.secrets), (secret.len() + rest.len(), 1));
}

/// What stands there a thousand times hides nothing that stands there once.
#[test]
fn a_secret_behind_many_others_is_found() {
    use crate::capsule::Observer;
    let mut chance = Chance(43);
    let often = chance.fill("eyJhbGciOiJIUzI1NiJ9.eyJ{l:40}.{w:43}\n");
    assert_eq!(scan(&[often.as_bytes()]).len(), 1, "{often}");
    let text = [often.repeat(1200), chance.fill("ghp_{a:36}\n"), often].concat();
    let name = |name: &str| crate::path::RelPath::parse(name.as_bytes()).expect("a name");
    for (name, bytes) in [
        (name("session/x.jsonl"), text.clone().into_bytes()),
        (name("session/x.jsonl.zst"), zstd::encode_all(text.as_bytes(), 1).expect("packed")),
    ] {
        let mut watch = Watch::default();
        watch.begin(&name);
        watch.fresh(&bytes);
        watch.end();
        let found = watch.found();
        let confident: Vec<u64> = found.findings.iter().filter(|one| one.confidence == Confidence::High).map(|one| one.line).collect();
        assert_eq!((confident, found.findings.len(), found.more), (vec![1201], 2, 0), "{name}");
    }
}

/// However many of them somebody has allowed.
#[test]
fn what_is_allowed_takes_no_room_from_what_is_not() {
    use crate::capsule::Observer;
    let mut chance = Chance(47);
    let tokens: Vec<String> = (0..520).map(|_| chance.fill("ghp_{a:36}\n")).collect();
    let exception = |token: &String| {
        let id = scan(&[token.as_bytes()])[0].id.clone();
        Exception { id, reason: None, by: "a test".to_owned(), at: String::new() }
    };
    let mut allowed = Allowed::default();
    allowed.add(tokens[..500].iter().map(exception));
    let mut watch = Watch::knowing(allowed.clone());
    watch.begin(&crate::path::RelPath::parse(b"session/x.jsonl").expect("a name"));
    watch.fresh(tokens.concat().as_bytes());
    watch.end();
    let found = watch.found();
    assert_eq!((found.forbidden(&allowed).len(), found.allowed.len(), found.more), (20, 500, 0));
    // Of what is not listed each is counted once.
    let mut watch = Watch::default();
    watch.begin(&crate::path::RelPath::parse(b"session/x.jsonl").expect("a name"));
    watch.fresh(tokens.concat().repeat(10).as_bytes());
    watch.end();
    let found = watch.found();
    assert_eq!((found.findings.len(), found.more), (500, 20));
}
