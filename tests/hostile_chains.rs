//! Checkpoints and refs that are not what they say: each in one clear line, nothing installed, and the chain here, and every
//! other session, as they were.

use std::cell::Cell;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::clones::{OTHER, Project, SESSION, session_ref, sid, sid_of, tracking_ref};
use crate::support::forged::{Forged, cat, feed, fresh_key, signed};
use crate::support::sandbox::{Machine, Ran, snapshot};

/// A maker whom everybody believes, and somebody who has its sessions and restores them.
pub struct Scene {
    pub project: Project,
    pub maker: Machine,
    pub victim: Machine,
    /// The two checkpoints that are as they should be.
    pub first: String,
    pub second: String,
    cases: Cell<usize>,
}

impl Scene {
    /// Both on the store's roster, which both have joined: nobody is believed, or sealed to, for another reason.
    pub fn new() -> Scene {
        Scene::of(|maker, victim| {
            maker.run_here(["device", "join"]).ok();
            victim.run_here(["device", "join"]).ok();
            maker.run_here(["device", "approve", "victim", "--fingerprint", &victim.fingerprint()]).ok();
            victim.run_here(["device", "join", "--trust", &maker.fingerprint()]).ok();
            Vec::new()
        })
    }

    /// Without a roster: the victim has accepted the maker, who seals to it by its key.
    pub fn acquainted() -> Scene {
        Scene::of(|_, victim| vec![victim.recipient()])
    }

    fn of(know: impl Fn(&Machine, &Machine) -> Vec<String>) -> Scene {
        let project = Project::new();
        let (maker, victim) = (project.clone("maker"), project.clone("victim"));
        let to = know(&maker, &victim);
        let noise: String = (0..40_000u32).map(|n| format!("{:x}", n.wrapping_mul(2_654_435_761))).collect();
        let readers: Vec<&Machine> = to.iter().map(|_| &victim).collect();
        let first = maker.checkpoint(&noise, &readers);
        // What is appended is a part of its own.
        maker.checkpoint("and on", &[]);
        let second = maker.checkpoint("and on", &[]);
        maker.say_in(OTHER, "another");
        let recipients = to.iter().flat_map(|key| ["-r", key]);
        maker.run_here(["checkpoint", OTHER].into_iter().chain(recipients)).ok();
        maker.git(["push", "-q", "origin", "refs/samesession/*"]);
        match to.is_empty() {
            true => victim.run_here(["fetch"]).ok(),
            false => victim.trusts(&maker),
        };
        Scene { project, maker, victim, first, second, cases: Cell::new(0) }
    }

    pub fn forged(&self) -> Forged<'_> {
        Forged::of(&self.maker, &self.victim, &self.second)
    }

    /// The next one on the chain that the victim has.
    pub fn next(&self) -> Forged<'_> {
        self.forged().after(&self.second)
    }

    /// The remote's ref leads here, as far as the victim has seen.
    pub fn show(&self, id: &str) {
        self.victim.git(["update-ref", &tracking_ref(), id]);
    }

    /// Refused before long, in one line, and nothing but our own pins and the good chain is as it was not.
    #[track_caller]
    pub fn refuses(&self, what: &str, id: &str, code: i32, says: &str) {
        self.refuses_from(what, id, &["restore", &sid()], code, says);
    }

    #[track_caller]
    pub fn refuses_from(&self, what: &str, id: &str, args: &[&str], code: i32, says: &str) {
        self.show(id);
        let before = (snapshot(&self.victim.claude()), self.victim.try_git(["rev-parse", &session_ref()]).stdout());
        let begun = Instant::now();
        let ran = self.victim.run_here(args);
        let (out, err, took) = (ran.stdout(), ran.stderr(), begun.elapsed());
        assert_eq!(ran.code(), Some(code), "{what}:\n{out}\n{err}");
        let errors: Vec<&str> = err.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(errors.len() == 1 && errors[0].contains(says), "{what}: expected one error with '{says}' in:\n{err}");
        assert!(out.is_empty() && !err.contains("panicked"), "{what}: {out}\n{err}");
        assert!(took < Duration::from_secs(60), "{what}: {took:?}");
        let after = (snapshot(&self.victim.claude()), self.victim.try_git(["rev-parse", &session_ref()]).stdout());
        assert!(after == before, "{what}: something was changed");
        // Whatever it was, the session next to it can be had.
        if self.cases.replace(self.cases.get() + 1).is_multiple_of(5) {
            self.victim.run_here(["restore", "-n", &sid_of(OTHER)]).ok();
        }
        // Nobody has seen it.
        self.show(&self.second);
        self.victim.git(["update-ref", &format!("refs/samesession-seen/origin/sessions/{}", sid()), &self.second]);
    }

    /// Passed by with a warning; what was there before is restored.
    #[track_caller]
    pub fn passed_by(&self, what: &str, id: &str, says: &str) {
        self.show(id);
        let ran = self.victim.run_here(["restore", "-n", &sid()]);
        let err = ran.stderr();
        assert_eq!(ran.code(), Some(0), "{what}:\n{err}");
        let warned = err.lines().any(|line| line.starts_with("warning: ") && line.contains(&tracking_ref()) && line.contains(says));
        assert!(warned && !err.contains("panicked"), "{what}: expected a warning with '{says}' in:\n{err}");
        assert_eq!(self.victim.tip(), self.second, "{what}");
        self.victim.git(["update-ref", &tracking_ref(), &self.second]);
    }

    /// The victim has a chain of its own, at the good checkpoint.
    fn with_local(self) -> Scene {
        self.victim.git(["update-ref", &session_ref(), &self.second]);
        self.victim.run_here(["restore", "-n", SESSION]).ok();
        self
    }
}

#[test]
fn what_is_put_together_again_unchanged_is_restored() {
    for scene in [Scene::new(), Scene::acquainted()] {
        scene.show(&scene.next().commit());
        scene.victim.run_here(["restore", SESSION]).ok();
        assert_eq!(scene.victim.heard(), scene.maker.heard());
    }
}

#[test]
fn a_ref_that_leads_to_no_checkpoint_of_its_session_is_refused() {
    let scene = Scene::new();
    let victim = &scene.victim;
    let blob = feed(victim, &["hash-object", "-w", "--stdin"], b"x");
    let tree = victim.rev(&format!("{}^{{tree}}", scene.second));
    let tag = format!("object {}\ntype commit\ntag x\ntagger a <a@b> 0 +0000\n\nx\n", scene.second);
    let tag = feed(victim, &["hash-object", "-t", "tag", "-w", "--stdin"], tag.as_bytes());
    let theirs = victim.rev(&tracking_ref().replace(&sid(), &sid_of(OTHER)));
    let project = victim.rev("refs/remotes/origin/main");
    for (what, id, says) in [
        ("a blob", &blob, "it is a blob"),
        ("a tree", &tree, "it is a tree"),
        ("a tag", &tag, "it is a tag"),
        ("the project's own", &project, "it is another commit"),
        ("another session's", &theirs, "it belongs to session"),
    ] {
        scene.refuses(what, id, 128, says);
    }
}

#[test]
fn a_commit_that_nobody_known_has_signed_is_refused() {
    [Scene::new(), Scene::acquainted()].iter().for_each(nobody_known);
}

fn nobody_known(scene: &Scene) {
    let stranger = scene.project.clone("stranger");
    let forged = scene.next();
    scene.refuses("unsigned", &forged.commit_by(None), 1, "is not signed");
    scene.refuses("by a stranger", &forged.commit_by(Some(&stranger)), 1, "is signed by a key that this device does not know");
    let head = forged.head(&forged.tree());
    let (ours, other) = (signed(&head, &scene.maker), signed(&head, &stranger));
    let message = "\nsamesession checkpoint\n";
    for (what, text, says) in [
        ("twice", format!("{head}{ours}{other}{message}"), "it is not written as one"),
        (
            "of something else",
            format!("{}{ours}{message}", head.replacen("author samesession", "author somebody", 1)),
            "the signature is bad",
        ),
        ("with another message", format!("{head}{ours}\nsamesession checkpoint.\n"), "it is another commit"),
        ("cut short", format!("{head}{}\n{message}", &ours[..ours.len() - 40]), "the signature is bad"),
        ("not text", format!("{head}gpgsig \u{0}\n{message}"), "the signature is bad"),
    ] {
        scene.refuses(what, &forged.write_commit(&text), 128, says);
    }
    // The record by one, the commit by another, and both are known.
    let friend = scene.project.clone("friend");
    let known = scene.victim.home.join(".config/samesession/known_signers");
    let key = std::fs::read_to_string(friend.home.join(".config/samesession/device/signing_key.pub")).expect("a key");
    crate::support::clones::append(&known, &format!("friend {key}\n"));
    scene.refuses("by two", &forged.commit_by(Some(&friend)), 128, "signed by different keys");
}

#[test]
fn a_capsule_json_that_says_something_else_is_refused() {
    let scene = Scene::new();
    let theirs = sid_of(OTHER);
    type Lie<'a> = &'a dyn Fn(&mut Value);
    let lies: [(&str, Lie<'_>, &str); 14] = [
        ("another session", &|header| header["sid"] = json!(theirs), "it belongs to session"),
        ("no session", &|header| header["sid"] = json!("../../x"), "is not a session id"),
        ("another number", &|header| header["sequence"] = json!(9), "something else than what is sealed"),
        ("number zero", &|header| header["sequence"] = json!(0), "it has the number 0"),
        ("an absurd number", &|header| header["sequence"] = json!(u64::MAX), "it has the number 18446744073709551615"),
        ("a negative number", &|header| header["sequence"] = json!(-1), "capsule.json: "),
        ("another nonce", &|header| header["nonce"] = json!("00"), "something else than what is sealed"),
        ("another kind", &|header| header["kind"] = json!("deleted"), "something else than what is sealed"),
        ("no kind", &|header| header["kind"] = json!("\u{1b}[31mred"), "capsule.json: "),
        ("what it stands in for", &|header| header["supersedes"] = json!("00"), "something else than what is sealed"),
        ("another epoch", &|header| header["epoch"] = json!("0123456789abcdef"), "it has no key of epoch"),
        ("an epoch that is a path", &|header| header["epoch"] = json!("../../../../x"), "its epoch has no name"),
        ("a later version", &|header| header["schema"] = json!("samesession.commit/2"), "this program knows"),
        ("what nobody knows", &|header| header["requires"] = json!(["x"]), "it requires 'x'"),
    ];
    for (what, lie, says) in lies {
        scene.refuses(what, &scene.next().header(lie).commit(), 128, says);
    }
    let with = |bytes: &[u8]| Forged { public: Some(bytes.to_vec()), ..scene.next() }.commit();
    scene.refuses("nothing", &with(b""), 128, "capsule.json: ");
    scene.refuses("no JSON", &with(b"{"), 128, "capsule.json: ");
    scene.refuses("deep", &with("[".repeat(60_000).as_bytes()), 128, "capsule.json: ");
    scene.refuses("100 MB", &with(&vec![b' '; 100 << 20]), 128, "it has 104857600 bytes");
}

#[test]
fn a_tree_that_no_checkpoint_has_is_refused() {
    let scene = Scene::new();
    let forged = scene.next();
    let (first, epoch) = (forged.parts()[0].clone(), forged.epoch.clone());
    let blob = forged.paths["capsule.json"].1.clone();
    let without = |path: &str| {
        let mut forged = forged.clone();
        forged.paths.retain(|known, _| !known.starts_with(path));
        forged
    };
    for (what, forged, says) in [
        ("a link", forged.clone().put("x", b"/etc/passwd").mode("x", "120000"), "a tree of it is damaged"),
        ("a program", forged.clone().mode(&first, "100755"), "a tree of it is damaged"),
        ("an odd name among the parts", forged.clone().put("data/0/0/00-x", b"x"), "its parts are not where parts are"),
        ("a part in another's place", forged.clone().put("data/0/1/0200", b"x"), "its parts are not where parts are"),
        ("letters of two bytes", forged.clone().put("data/\u{e9}/\u{e9}/\u{e9}\u{e9}", b"x"), "its parts are not where parts are"),
        ("keys of no epoch", forged.clone().put("keys/x/0.age", b"x"), "its keys are of no epoch"),
        ("no keys", without("keys/"), "it has no key of epoch"),
        ("keys of others", without("keys/").put(&format!("keys/{epoch}/0.age"), b"x"), "not an age file"),
    ] {
        scene.refuses(what, &forged.commit(), 128, says);
    }
    let mut many = forged.clone();
    for n in 0..1000 {
        many.paths.insert(format!("keys/{epoch}/x{n}.age"), ("100644".to_owned(), blob.clone()));
    }
    scene.refuses("a thousand keys", &many.commit(), 128, "more keys than there can be");
    // Trees that only a hand could write.
    let raw = |entries: &[(&str, &str, &str)]| {
        let mut bytes = Vec::new();
        for (mode, name, id) in entries {
            bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            bytes.extend((0..20).map(|n| u8::from_str_radix(&id[2 * n..2 * n + 2], 16).expect("hex")));
        }
        feed(&scene.victim, &["hash-object", "-t", "tree", "-w", "--stdin", "--literally"], &bytes)
    };
    let tree = forged.tree();
    let part = |path: &str| scene.victim.rev(&format!("{tree}:{path}"));
    let (header, manifest, keys, data) = (part("capsule.json"), part("manifest.age"), part("keys"), part("data"));
    let whole = [
        ("100644", "capsule.json", &header[..]),
        ("40000", "data", &data),
        ("40000", "keys", &keys),
        ("100644", "manifest.age", &manifest),
    ];
    assert_eq!(raw(&whole), tree);
    let twice = [whole[0], whole[0], whole[1], whole[2], whole[3]];
    let unsorted = [whole[3], whole[0], whole[1], whole[2]];
    let module = [whole[0], whole[1], whole[2], whole[3], ("160000", "module", &scene.second)];
    let swapped = [("40000", "capsule.json", &keys[..]), whole[1], whole[2], whole[3]];
    let file = [whole[0], ("100644", "data", &header), whole[2], whole[3]];
    for (what, entries, says) in [
        ("twice", &twice[..], "a tree of it is damaged"),
        ("unsorted", &unsorted, "a tree of it is damaged"),
        ("a submodule", &module, "a tree of it is damaged"),
        ("a directory for a file", &swapped, "it has no capsule.json"),
        ("a file for a directory", &file, "is missing"),
    ] {
        scene.refuses(what, &forged.commit_tree(&raw(entries), Some(&scene.maker)), 128, says);
    }
    // Trees within trees within trees: a few small objects that would be billions.
    let mut bomb = data.clone();
    for _ in 0..12 {
        bomb = raw(&"0123456789abcdef".chars().map(|_| ("40000", "0", &bomb[..])).take(1).collect::<Vec<_>>());
    }
    let names: Vec<String> = (0..3000).map(|n| format!("{n:016x}")).collect();
    let wide = raw(&names.iter().map(|name| ("40000", &name[..], &keys[..])).collect::<Vec<_>>());
    for (what, data, keys) in [("deep", &bomb, &keys), ("wide", &wide, &keys), ("wide keys", &data, &wide)] {
        let entries = [whole[0], ("40000", "data", &data[..]), ("40000", "keys", &keys[..]), whole[3]];
        scene.refuses(what, &forged.commit_tree(&raw(&entries), Some(&scene.maker)), 128, "is not a checkpoint");
    }
}

#[test]
fn what_is_sealed_and_not_the_truth_is_refused() {
    let scene = Scene::new();
    let first = Forged::of(&scene.maker, &scene.victim, &scene.first);
    let theirs = scene.victim.rev(&tracking_ref().replace(&sid(), &sid_of(OTHER)));
    let theirs = Forged::of(&scene.maker, &scene.victim, &theirs);
    let next = || scene.next();
    let numbers = format!("{{\"schema\":\"samesession.manifest/1\",\"x\":[{}0]}}", "0,".repeat(30 << 20));
    // Sealed to this epoch, as they stand.
    for (what, forged, says) in [
        ("no tar stream", Forged { envelope: Some(b"nonsense".to_vec()), ..next() }, "is damaged"),
        (
            "no record",
            Forged { envelope: Some(zstd::encode_all(&[0; 1024][..], 3).expect("packed")), ..next() },
            "its record: the signature is bad",
        ),
        (
            "a bomb",
            Forged { envelope: Some(zstd::encode_all(std::io::repeat(0).take_bytes(1 << 30), 3).expect("packed")), ..next() },
            "is damaged",
        ),
        (
            "a second frame",
            Forged { envelope: Some(zstd::encode_all(&b"x"[..], 3).expect("packed").repeat(2)), ..next() },
            "something stands behind a part's end",
        ),
        ("a later version", next().record(|record| record["schema"] = json!("samesession.record/9")), "this program knows"),
        ("what nobody knows", next().record(|record| record["requires"] = json!(["x"])), "it requires 'x'"),
        ("another native id", next().record(|record| record["summary"]["native_id"] = json!(OTHER)), "not that of its native session"),
        (
            "a native id that is a path",
            next().record(|record| record["summary"]["native_id"] = json!("../x")),
            "is not a native session id",
        ),
        ("a record of numbers", next().record(|record| record["x"] = json!(vec![0; 8 << 20])), "it says more than a checkpoint has to say"),
        ("a manifest of numbers", next().set_text("manifest", &numbers), "its manifest says more than its files need"),
        ("no seed", next().record(|record| record["seed"] = json!("0")), "its seed is none"),
        ("a part of any length", next().record(|record| record["parts"]["pages"] = json!([line(&next(), 1 << 30)])), "a part is too long"),
        (
            "pages without end",
            next().record(|record| record["parts"]["pages"] = json!(vec![line(&next(), 65_536); 4000])),
            "its pages are more than there can be",
        ),
        (
            "other text",
            next().record(|record| record["parts"]["sha256"] = json!("0".repeat(64))),
            "its pages do not make the text they should",
        ),
        (
            "no manifest",
            next().record(|record| record["manifest"] = json!({"sha256": crate::support::forge::hash(b""), "pages": []})),
            "its manifest: ",
        ),
    ] {
        scene.refuses(what, &forged.commit(), 128, says);
    }
    // Not only refused, but before it takes memory.
    scene.show(&next().set_text("manifest", &numbers).commit());
    let mut shell = scene.victim.command("sh");
    shell.args(["-c", "ulimit -v 600000 && exec git-samesession restore \"$0\"", &sid()]);
    Ran(shell.output().expect("a shell")).fails(128, "its manifest says more than its files need");
    scene.show(&scene.second);
    scene.victim.git(["update-ref", &format!("refs/samesession-seen/origin/sessions/{}", sid()), &scene.second]);
    // Somebody else's or yesterday's, as it was sealed and signed then.
    let mut yesterday = next();
    let old = first.paths["manifest.age"].clone();
    let tree = |forged: &Forged<'_>, manifest: &(String, String)| {
        let listing = scene.victim.git(["ls-tree", &forged.tree()]);
        let lines: Vec<String> = listing
            .lines()
            .map(|line| if line.ends_with("manifest.age") { format!("100644 blob {}\tmanifest.age", manifest.1) } else { line.to_owned() })
            .collect();
        feed(&scene.victim, &["mktree"], format!("{}\n", lines.join("\n")).as_bytes())
    };
    let replayed = yesterday.commit_tree(&tree(&yesterday, &old), Some(&scene.maker));
    scene.refuses("yesterday's record", &replayed, 128, "something else than what is sealed");
    let others = yesterday.commit_tree(&tree(&yesterday, &theirs.paths["manifest.age"]), Some(&scene.maker));
    scene.refuses("another session's record", &others, 128, "not sealed to its epoch");
    yesterday.record = first.record.clone();
    scene.refuses("yesterday's record, sealed anew", &yesterday.commit(), 128, "something else than what is sealed");
    // Keys of another epoch under this one's name.
    let key = crate::support::forge::seal(fresh_key().as_bytes(), &scene.victim.recipient());
    let other = next().put(&format!("keys/{}/0.age", next().epoch), &key);
    scene.refuses("another epoch's key", &other.commit(), 128, "not sealed to its epoch");
    let nonsense = crate::support::forge::seal(b"no key", &scene.victim.recipient());
    let other = next().put(&format!("keys/{}/0.age", next().epoch), &nonsense);
    scene.refuses("no key", &other.commit(), 128, "an epoch's key is none");
}

/// One of its pages, saying that it has this length.
fn line(forged: &Forged<'_>, length: usize) -> String {
    let line = forged.record["parts"]["pages"][0].as_str().expect("a line").to_owned();
    let words: Vec<&str> = line.split(' ').collect();
    format!("{} {} {length} {} {}", words[0], words[1], words[3], words[4])
}

/// The good one with its first part packed again, and these bytes where the padding was.
fn repacked<'a>(scene: &'a Scene, behind: &[u8]) -> Forged<'a> {
    let mut forged = scene.next();
    let text = forged.text("parts");
    let (first, rest) = text.split_once('\n').expect("lines");
    let path = crate::support::forged::path_of(first.split(' ').next().expect("a name"));
    let padded = crate::support::forged::open(&forged.bytes(&path), &forged.key);
    let content = zstd::decode_all(&padded[..]).expect("zstd");
    let packed = [&zstd::encode_all(&content[..], 3).expect("packed"), behind].concat();
    let line = forged.seal_part(&packed, &content, content.len());
    forged.set_text("parts", &format!("{line}\n{rest}"))
}

/// As everything was sealed before there was padding: list, record and part; the other parts are padded.
#[test]
fn what_has_no_padding_opens_beside_what_has() {
    let scene = Scene::new();
    scene.show(&repacked(&scene, b"").commit());
    scene.victim.run_here(["restore", SESSION]).ok();
    assert_eq!(scene.victim.heard(), scene.maker.heard());
}

/// A length of which only the highest bits count: as many as it takes to say how many there are.
fn is_padmes(len: usize) -> bool {
    let bits = len.ilog2();
    len.is_multiple_of(1 << (bits - (bits.ilog2() + 1)))
}

#[test]
fn what_is_sealed_has_one_of_few_lengths() {
    let scene = Scene::new();
    let forged = scene.forged();
    let sealed: Vec<String> = forged.paths.keys().filter(|path| path.starts_with("data/") || *path == "manifest.age").cloned().collect();
    assert!(sealed.len() > 4, "{sealed:?}");
    for path in &sealed {
        let packed = crate::support::forged::open(&forged.bytes(path), &forged.key);
        assert!(is_padmes(packed.len()), "{path}: {}", packed.len());
    }
}

trait TakeBytes: std::io::Read + Sized {
    fn take_bytes(self, count: u64) -> std::io::Take<Self> {
        self.take(count)
    }
}
impl TakeBytes for std::io::Repeat {}

#[test]
fn contents_that_are_not_what_they_were_are_refused_before_anything_is_installed() {
    let scene = Scene::new();
    let next = || scene.next();
    let lines: Vec<String> = next().text("parts").lines().map(str::to_owned).collect();
    assert!(lines.len() > 2, "{lines:?}");
    let listed = |lines: &[String]| next().set_text("parts", &lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    let path = |line: &str| crate::support::forged::path_of(line.split(' ').next().expect("a name"));
    let (a, b) = (path(&lines[0]), path(&lines[1]));
    let mut gone = next();
    gone.paths.remove(&a);
    let mut swapped = next();
    let (first, second) = (swapped.paths[&a].clone(), swapped.paths[&b].clone());
    swapped.paths.insert(a.clone(), second);
    swapped.paths.insert(b, first);
    let cut = next().bytes(&a);
    let reversed: Vec<String> = lines.iter().rev().cloned().collect();
    let theirs = scene.victim.rev(&tracking_ref().replace(&sid(), &sid_of(OTHER)));
    let theirs = Forged::of(&scene.maker, &scene.victim, &theirs);
    let foreign = theirs.text("parts").lines().last().expect("a line").to_owned();
    let mut replayed = listed(&[&lines[..lines.len() - 1], std::slice::from_ref(&foreign)].concat());
    replayed.paths.insert(path(&foreign), theirs.paths[&path(&foreign)].clone());
    let keyless = replayed.clone();
    replayed.paths.extend(theirs.paths.iter().filter(|(path, _)| path.starts_with("keys/")).map(|(path, id)| (path.clone(), id.clone())));
    let mut missing = next();
    missing.paths.get_mut(&a).expect("a part").1 = "0123456789012345678901234567890123456789".to_owned();
    // A part that holds a gigabyte, and says that it holds little.
    let bomb = zstd::encode_all(std::io::repeat(0).take_bytes(1 << 30), 3).expect("packed");
    let mut bombs = listed(&lines);
    let bomb = bombs.seal_part(&bomb, b"", 100);
    let bombs = bombs.set_text("parts", &format!("{bomb}\n{}\n", lines[1..].join("\n")));
    let mut short = listed(&lines);
    let less = short.seal_part(&zstd::encode_all(&b"less"[..], 3).expect("packed"), b"less", 5);
    let short = short.set_text("parts", &format!("{less}\n{}\n", lines[1..].join("\n")));
    let mut plain = listed(&lines);
    let unpacked = plain.seal_part(b"not packed", b"not packed", 10);
    let plain = plain.set_text("parts", &format!("{unpacked}\n{}\n", lines[1..].join("\n")));
    let dictionary = |line: &str| line.rsplit_once(' ').map(|(line, _)| format!("{line} 0123456789abcdef")).expect("a line");
    let packed_against = |of: Vec<String>| {
        let lines: Vec<String> = std::iter::once(dictionary(&lines[0])).chain(lines[1..].iter().cloned()).collect();
        listed(&lines).record(|record| record["dictionaries"] = json!({"0123456789abcdef": of}))
    };
    for (what, forged, says) in [
        ("a part gone from the tree", gone, "is missing"),
        ("a part that is not here", missing, "is missing"),
        ("two parts in each other's place", swapped, "is not what it should be"),
        ("a part cut short", next().put(&a, &cut[..cut.len() / 2]), "is not what it should be"),
        ("a part too long", next().put(&a, &vec![b'x'; 32 << 20]), "bytes"),
        ("parts in another order", listed(&reversed), "is not the file it lists"),
        ("a part left out", listed(&lines[1..]), "is not the file it lists"),
        ("a part twice", listed(&[&lines[..], &lines[..1]].concat()), "something stands behind its end"),
        ("no parts", listed(&[]), "is cut short"),
        ("a part of another session", keyless, "it has no key of epoch"),
        ("a part of another session, with its key", replayed, "is not the file it lists"),
        ("a part that unpacks to more than it says", bombs, "does not unpack"),
        ("a part that unpacks to less", short, "has another length"),
        ("a part that is not packed", plain, "does not unpack"),
        ("a part with words for padding", repacked(&scene, b"\x50\x2a\x4d\x18\x05\0\0\0words"), "something stands behind a part's end"),
        (
            "a part with much padding",
            repacked(&scene, &[&b"\x50\x2a\x4d\x18\0\0\x10\0"[..], &[0; 1 << 20]].concat()),
            "something stands behind",
        ),
        ("a part with padding twice", repacked(&scene, &b"\x50\x2a\x4d\x18\0\0\0\0".repeat(2)), "something stands behind a part's end"),
        (
            "a part and another one",
            repacked(&scene, &zstd::encode_all(&b""[..], 3).expect("packed")),
            "something stands behind a part's end",
        ),
        ("a list that is none", next().set_text("parts", "nonsense\n"), "a part's line has five words"),
        ("a dictionary without end", packed_against(vec![lines[0].clone(); 3000]), "a dictionary of it is too large"),
    ] {
        scene.refuses(what, &forged.commit(), 128, says);
    }
    scene.refuses("a dictionary that nobody named", &listed(&[dictionary(&lines[0])]).commit(), 128, "a dictionary is missing");
    // One part, named so often that the disk would be full of it. That there is more than is allowed is said sooner.
    let free = rustix::fs::statvfs(&scene.victim.home).map(|disk| disk.f_bavail * disk.f_frsize).expect("a disk");
    let zeros = vec![0; 4 << 20];
    let mut many = next();
    let line = many.seal_part(&zstd::encode_all(&zeros[..], 3).expect("packed"), &zeros, zeros.len());
    let times = free / (4 << 20) + 64;
    let many = many.set_text("parts", &format!("{line}\n").repeat(usize::try_from(times).expect("a number")));
    let many = many.manifest(|manifest| {
        manifest["files"][0]["size"] = json!(times * (4 << 20));
        manifest["files"].as_array_mut().expect("files").truncate(1);
    });
    let says = if times * (4 << 20) > 64 << 30 { "larger than allowed" } else { "there is room for" };
    let begun = Instant::now();
    scene.refuses("a part without end", &many.commit(), 128, says);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // What the files say of themselves.
    for (what, forged, says) in [
        ("another length", next().manifest(|manifest| manifest["files"][0]["size"] = json!(3)), "is not the file it lists"),
        ("an absurd length", next().manifest(|manifest| manifest["files"][0]["size"] = json!(u64::MAX)), "larger than allowed"),
        (
            "another place",
            next().manifest(|manifest| manifest["files"][0]["path"] = json!("session/../../.bashrc")),
            "leaves its directory",
        ),
        (
            "a place of the agent's",
            next().manifest(|manifest| manifest["files"][0]["path"] = json!("session/settings.json")),
            "does not belong to the session",
        ),
        ("another session's manifest", next().manifest(|manifest| manifest["sid"] = json!(sid_of(OTHER))), "name different sessions"),
        ("another session's id", next().manifest(|manifest| manifest["native_id"] = json!(OTHER)), "not that of its native session"),
    ] {
        scene.refuses(what, &forged.commit(), 128, says);
    }
    let unsigned = Forged { manifest_signature: b"nonsense".to_vec(), ..next() };
    scene.refuses("a manifest that nobody has signed", &unsigned.commit(), 1, "the signature is bad");
    assert!(!cat(&scene.victim, &next().paths["capsule.json"].1).is_empty());
}

#[test]
fn what_is_damaged_on_the_remote_does_not_touch_the_chain_here() {
    let scene = Scene::new().with_local();
    let next = || scene.next();
    scene.passed_by(
        "another number",
        &next().header(|header| header["sequence"] = json!(9)).commit(),
        "something else than what is sealed",
    );
    scene.passed_by("an absurd number", &next().both(|value| value["sequence"] = json!(u64::MAX)).commit(), "it has the number");
    scene.passed_by("no record", &Forged { envelope: Some(b"x".to_vec()), ..next() }.commit(), "is damaged");
    scene.passed_by("unsigned", &next().commit_by(None), "is not signed");
    // Whoever would go on from it is told, and nothing is pushed over it.
    let bad = next().header(|header| header["nonce"] = json!("x")).commit();
    scene.victim.git(["push", "-q", "origin", &format!("{bad}:{}", session_ref())]);
    let ours = scene.victim.checkpoint("mine", &[]);
    scene.victim.run_here(["push", &sid()]).fails(128, "is in the way");
    scene.victim.run_here(["gc", SESSION, "--keep-last", "1"]).fails(128, "is in the way");
    assert_eq!((scene.victim.tip(), scene.project.tip()), (ours.clone(), bad));
    // Until it is put right by hand.
    scene.project.set(&scene.second);
    scene.victim.run_here(["push", &sid()]).ok();
    assert_eq!(scene.project.tip(), ours);
}

#[test]
fn commits_that_a_record_names_may_be_anything() {
    let scene = Scene::new().with_local();
    let victim = &scene.victim;
    let project = victim.rev("refs/remotes/origin/main");
    let theirs = victim.rev(&tracking_ref().replace(&sid(), &sid_of(OTHER)));
    let names = |ids: &[&str]| json!(ids);
    // Open ways that are none are no ways.
    let open = scene.next().record(|record| record["open"] = names(&[&project, &theirs, "nonsense", "-x"])).commit();
    scene.show(&open);
    let told = victim.run_here(["restore", SESSION]).ok();
    assert!(told.stdout().contains("installed") && !told.stderr().contains("panicked"), "{}", told.stderr());
    let mine = victim.checkpoint("mine", &[]);
    assert_eq!(victim.count(&mine), 5);
    // What it claims to stand in for is only what it is about.
    let claims = Forged { parents: Vec::new(), ..Forged::of(&scene.maker, victim, &open) };
    let claims = claims.both(|value| value["sequence"] = json!(50)).header(|header| header["supersedes"] = json!(project));
    let claims = claims.record(|record| record["supersedes"] = names(&[&project, &theirs, "nonsense"])).commit();
    scene.show(&claims);
    let told = victim.run_here(["list"]).ok();
    assert!(told.stderr().contains("was rewound"), "{}", told.stderr());
    assert_eq!(victim.tip(), mine);
    // A way that is not here is missed, and said to be.
    let nowhere = "0123456789012345678901234567890123456789";
    scene.show(&Forged::of(&scene.maker, victim, &open).after(&mine).record(|record| record["open"] = names(&[nowhere])).commit());
    victim.run_here(["restore", SESSION]).fails(128, "is missing");
}

#[test]
fn refs_with_any_name_are_in_nobodys_way() {
    // Beside a roster, Git itself lets no ref stand below its name.
    let scene = Scene::acquainted();
    let (victim, maker) = (&scene.victim, &scene.maker);
    for name in [
        "sessions/--upload-pack=x",
        "sessions/-x",
        "sessions/short",
        "sessions/ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "sessions/abcdefghijklmnopqrstuvwxyz/x",
        "--all",
        "@here/sessions/x",
        "roster/x",
        &format!("x/sessions/{}", sid()),
    ] {
        scene.project.git(["update-ref", &format!("refs/samesession/{name}"), &scene.second]);
    }
    victim.git(["fetch", "-q"]);
    assert_eq!(victim.run_here(["fetch"]).ok().stderr(), "");
    let listed = victim.json(["list"]);
    assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(2), "{listed}");
    maker.run_here(["fetch"]).ok();
    // A session below another one's name, which would stand in the way of that one's pin.
    let own = format!("refs/samesession/sessions/{}", sid());
    scene.project.git(["update-ref", "-d", &own]);
    scene.project.git(["update-ref", &format!("{own}/sessions/{}", sid_of(OTHER)), &maker.rev(&own.replace(&sid(), &sid_of(OTHER)))]);
    victim.git(["fetch", "-q", "--prune"]);
    victim.run_here(["list"]).ok();
    victim.run_here(["restore", &sid_of(OTHER)]).ok();
}

#[test]
fn a_ref_of_our_own_that_leads_to_no_checkpoint_is_named_and_left_alone() {
    let scene = Scene::new();
    let victim = &scene.victim;
    let project = victim.rev("refs/remotes/origin/main");
    victim.git(["update-ref", &session_ref(), &project]);
    // What the remote has is there all the same.
    let told = victim.run_here(["restore", SESSION]).ok();
    assert!(told.stderr().contains(&session_ref()) && told.stderr().contains("it is another commit"), "{}", told.stderr());
    victim.say("mine");
    victim.run_here(["checkpoint", SESSION]).fails(128, "is in the way").hints(&format!("git update-ref -d {}", session_ref()));
    victim.run_here(["push", &sid()]).fails(128, "is in the way");
    assert_eq!(victim.tip(), project);
    victim.git(["update-ref", "-d", &session_ref()]);
    victim.run_here(["checkpoint", SESSION]).ok();
    // What was known before something else was put there is back.
    let ours = victim.tip();
    victim.git(["update-ref", &session_ref(), &project]);
    assert!(victim.run_here(["list"]).ok().stderr().contains(&ours[..10]));
    assert_eq!(victim.tip(), ours);
}

#[test]
fn a_record_that_names_a_file_for_a_recipient_does_not_have_it_read() {
    let scene = Scene::new();
    let victim = &scene.victim;
    let export = |name: &str| victim.run_here(["export", &sid(), "--output", name]);
    export("good.capsule").ok();
    let file = victim.home.join("keys");
    std::fs::write(&file, scene.maker.recipient()).expect("written");
    scene.show(&scene.next().record(|record| record["recipients"] = json!([file])).commit());
    export("bad.capsule").fails(128, "is not a recipient");
    assert!(victim.cwd.join("good.capsule").exists() && !victim.cwd.join("bad.capsule").exists());
}

#[test]
fn upon_a_damaged_checkpoint_the_next_one_is_made_and_holds_everything() {
    let scene = Scene::new().with_local();
    let (victim, maker) = (&scene.victim, &scene.maker);
    victim.run_here(["restore", SESSION, "--session-only"]).ok();
    for case in ["a list that is none", "no manifest", "a part gone", "a part that is something else", "a part that is said to be another"]
    {
        let tip = victim.tip();
        let forged = Forged::of(maker, victim, &tip).after(&tip);
        let lines: Vec<String> = forged.text("parts").lines().map(str::to_owned).collect();
        let last = lines.last().expect("a part").clone();
        let word = |n: usize| last.split(' ').nth(n).expect("a word").to_owned();
        let path = crate::support::forged::path_of(&word(0));
        let bad = match case {
            "a list that is none" => forged.set_text("parts", "nonsense\n"),
            "no manifest" => forged.set_text("manifest", "{}"),
            "a part gone" => {
                let mut forged = forged;
                forged.paths.remove(&path);
                forged
            }
            "a part that is something else" => forged.put(&path, b"something else"),
            _ => {
                let mut forged = forged;
                let length: usize = word(2).parse().expect("a number");
                let lie = forged.seal_part(&zstd::encode_all(&vec![b'x'; length][..], 3).expect("packed"), b"", length);
                let lie: Vec<String> = lie.split(' ').enumerate().map(|(n, said)| if n == 3 { word(3) } else { said.to_owned() }).collect();
                forged.set_text("parts", &format!("{}\n{}\n", lines[..lines.len() - 1].join("\n"), lie.join(" ")))
            }
        };
        let bad = bad.commit();
        scene.show(&bad);
        victim.say(case);
        let made = victim.run_here(["checkpoint", SESSION]).ok();
        assert!(made.stderr().contains(&format!("checkpoint {} of session", &bad[..10])), "{case}: {}", made.stderr());
        assert!(made.stderr().contains("is damaged") && made.stderr().contains("sealed anew"), "{case}: {}", made.stderr());
        assert_eq!(victim.rev(&format!("{}~1", session_ref())), bad, "{case}");
        // Nothing of it rests on what was wrong, there or here.
        let again = victim.run_here(["checkpoint", SESSION]).ok();
        assert!(
            again.stdout().contains("holds all of it already") && !again.stderr().contains("damaged"),
            "{case}: {}{}",
            again.stdout(),
            again.stderr()
        );
        victim.git(["push", "-q", "origin", &session_ref()]);
        maker.git(["fetch", "-q"]);
        maker.run_here(["restore", SESSION, "--session-only", "--trust", &victim.fingerprint()]).ok();
        assert_eq!(maker.heard(), victim.heard(), "{case}");
    }
    victim.git(["fsck", "--strict", "--no-dangling"]);
}
