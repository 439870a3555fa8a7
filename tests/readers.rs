//! Who reads a chain: added, removed, shown; and what each of those does and does not do to the history.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;

use serde_json::Value;

use crate::support::sandbox::{CLAUDE, CLAUDE_RICH, Machine, Ran, Sandbox};

const REMOTE: &str = "hub";

fn git(machine: &Machine, args: &[&str]) -> String {
    let out = machine.command("git").args(args).output().expect("git");
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text").trim_end().to_owned()
}

fn bytes(machine: &Machine, object: &str) -> Vec<u8> {
    let out = machine.command("git").args(["cat-file", "blob", object]).output().expect("git");
    assert!(out.status.success(), "{object}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// A machine with keys in a repository that knows the hub.
fn machine(sandbox: &Sandbox, name: &str) -> Machine {
    let machine = sandbox.machine(name);
    machine.init();
    let hub = sandbox.path().join("hub.git");
    if !hub.exists() {
        git(&machine, &["init", "-q", "--bare", hub.to_str().expect("UTF-8")]);
    }
    git(&machine, &["init", "-q"]);
    git(&machine, &["remote", "add", REMOTE, hub.to_str().expect("UTF-8")]);
    machine
}

/// Each believes what the others sign.
fn acquainted(machines: &[&Machine]) {
    for one in machines {
        let known: String =
            machines.iter().map(|other| other.json(["device", "show"])["signing_key"].clone()).fold(String::new(), |all, key| {
                let key: Vec<&str> = key.as_str().expect("a key").split(' ').take(2).collect();
                format!("{all}friend namespaces=\"samesession\" {}\n", key.join(" "))
            });
        fs::write(one.home.join(".config/samesession/known_signers"), known).expect("written");
    }
}

fn checkpoint(machine: &Machine, session: &str) -> Value {
    machine.json(["checkpoint", session])
}

fn go_on(machine: &Machine, session: &str, line: &str) {
    let transcript = machine.claude_project().join(format!("{session}.jsonl"));
    let mut file = fs::OpenOptions::new().append(true).open(transcript).expect("it is there");
    writeln!(file, "{{\"type\":\"user\",\"message\":{{\"content\":\"{line}\"}}}}").expect("written");
}

fn send(machine: &Machine) {
    git(machine, &["push", "-q", REMOTE, "refs/samesession/*"]);
}

fn bring(machine: &Machine) {
    git(machine, &["fetch", "-q", REMOTE, "+refs/samesession/*:refs/samesession-remote/hub/*"]);
}

fn tip(machine: &Machine, sid: &str) -> String {
    git(machine, &["rev-parse", &format!("refs/samesession/sessions/{sid}")])
}

fn header(machine: &Machine, commit: &str) -> Value {
    serde_json::from_slice(&bytes(machine, &format!("{commit}:capsule.json"))).expect("JSON")
}

/// The names of epochs, and how many files each one's key is wrapped in.
fn epochs(machine: &Machine, commit: &str) -> Vec<(String, usize)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    for line in git(machine, &["ls-tree", "-r", "--name-only", commit, "keys/"]).lines() {
        let epoch = line.split('/').nth(1).expect("an epoch").to_owned();
        match found.last_mut() {
            Some((last, count)) if *last == epoch => *count += 1,
            _ => found.push((epoch, 1)),
        }
    }
    found
}

fn readers(machine: &Machine, sid: &str) -> Vec<String> {
    let list = machine.json(["recipient", "list", sid]);
    let keys = list["sessions"][0]["recipients"].as_array().expect("readers").iter();
    let mut keys: Vec<String> = keys.map(|reader| reader["key"].as_str().expect("a key").to_owned()).collect();
    keys.sort();
    keys
}

fn sorted(mut keys: Vec<String>) -> Vec<String> {
    keys.sort();
    keys
}

fn defaults(machine: &Machine) -> Vec<String> {
    let out = machine.command("git").args(["config", "--get-all", "samesession.recipient"]).output().expect("git");
    String::from_utf8(out.stdout).expect("text").lines().map(str::to_owned).collect()
}

fn identity(machine: &Machine) -> age::x25519::Identity {
    let file = fs::read_to_string(machine.home.join(".config/samesession/device/identity.txt")).expect("a key");
    file.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).expect("a key").parse().expect("a key")
}

/// What this key opens of this commit: each epoch whose key it gets, and whether `manifest.age` is sealed to one of those.
fn opens(machine: &Machine, commit: &str, with: &dyn age::Identity) -> (Vec<String>, bool) {
    let mut opened = Vec::new();
    let mut manifest = false;
    for (epoch, wraps) in epochs(machine, commit) {
        for n in 0..wraps {
            let Ok(key) = age_open(&bytes(machine, &format!("{commit}:keys/{epoch}/{n}.age")), with) else { continue };
            let key: age::x25519::Identity = String::from_utf8(key).expect("text").trim().parse().expect("a key");
            manifest |= age_open(&bytes(machine, &format!("{commit}:manifest.age")), &key).is_ok();
            opened.push(epoch.clone());
        }
    }
    (opened, manifest)
}

fn age_open(sealed: &[u8], with: &dyn age::Identity) -> Result<Vec<u8>, age::DecryptError> {
    let mut plain = Vec::new();
    age::Decryptor::new(sealed)?.decrypt(std::iter::once(with))?.read_to_end(&mut plain)?;
    Ok(plain)
}

fn installed(machine: &Machine, session: &str) -> Vec<u8> {
    fs::read(machine.claude_project().join(format!("{session}.jsonl"))).expect("it is there")
}

/// `restore` at a machine that has nothing yet, believing those that it knows.
fn restore(machine: &Machine, what: &str) -> Ran {
    let _ = fs::remove_dir_all(machine.claude());
    machine.run(["restore", what])
}

/// Text that does not pack well, as a long session's.
fn long(machine: &Machine, session: &str, megabytes: u64) {
    let mut state = 88_172_645_463_325_252_u64;
    let mut text = String::new();
    while (text.len() as u64) < megabytes << 20 {
        let mut words = String::new();
        for _ in 0..40 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            words += &format!("{state:x} ");
        }
        text += &format!("{{\"type\":\"user\",\"message\":{{\"content\":\"{words}\"}}}}\n");
    }
    let transcript = machine.claude_project().join(format!("{session}.jsonl"));
    fs::OpenOptions::new().append(true).open(transcript).and_then(|mut file| file.write_all(text.as_bytes())).expect("written");
}

#[test]
fn somebody_who_is_added_opens_the_newest_and_every_older_checkpoint() {
    let sandbox = Sandbox::new();
    let (laptop, friend) = (machine(&sandbox, "laptop"), machine(&sandbox, "friend"));
    acquainted(&[&laptop, &friend]);
    laptop.with_claude();
    let sid = checkpoint(&laptop, CLAUDE)["sid"].as_str().expect("a sid").to_owned();
    let first = installed(&laptop, CLAUDE);
    go_on(&laptop, CLAUDE, "second");
    checkpoint(&laptop, CLAUDE);
    let second = installed(&laptop, CLAUDE);
    send(&laptop);
    bring(&friend);
    restore(&friend, &sid).fails(1, "no key here opens");

    let before = tip(&laptop, &sid);
    let told = laptop.run(["recipient", "add", &friend.recipient()]).ok().stdout();
    assert!(told.contains("now a default of this clone") && told.contains("checkpoint 3, 2 recipients"), "{told}");
    assert_eq!(defaults(&laptop), [friend.recipient()]);
    assert_eq!(git(&laptop, &["rev-parse", &format!("{}^", tip(&laptop, &sid))]), before);
    assert_eq!(git(&laptop, &["rev-parse", &format!("refs/samesession-seen/@here/sessions/{sid}")]), tip(&laptop, &sid));
    assert_eq!(readers(&laptop, &sid), sorted(vec![laptop.recipient(), friend.recipient()]));
    // Nothing else has changed, so there is nothing to seal.
    assert_eq!(checkpoint(&laptop, CLAUDE)["state"], "unchanged");
    go_on(&laptop, CLAUDE, "third");
    checkpoint(&laptop, CLAUDE);
    send(&laptop);
    bring(&friend);
    restore(&friend, &sid).ok();
    assert_eq!(installed(&friend, CLAUDE), installed(&laptop, CLAUDE));
    for (older, bytes) in [("~1", &second), ("~2", &second), ("~3", &first)] {
        restore(&friend, &format!("{sid}{older}")).ok();
        assert_eq!(installed(&friend, CLAUDE), *bytes, "{older}");
    }
    git(&laptop, &["fsck", "--strict", "--no-dangling"]);
    // Added once more, nothing happens.
    let again = laptop.json(["recipient", "add", &friend.recipient()]);
    assert_eq!((&again["sessions"][0]["state"], &again["defaults"]), (&Value::from("unchanged"), &Value::from(Vec::<Value>::new())));
    assert_eq!(defaults(&laptop).len(), 1);
}

#[test]
fn adding_somebody_costs_a_few_kilobytes_however_large_the_session() {
    let sandbox = Sandbox::in_memory();
    let laptop = machine(&sandbox, "laptop");
    laptop.with_claude();
    let mut costs = Vec::new();
    for megabytes in [0, 24] {
        long(&laptop, CLAUDE, megabytes);
        checkpoint(&laptop, CLAUDE);
        let key = age::x25519::Identity::generate().to_public().to_string();
        let packs = || -> u64 {
            let entries = fs::read_dir(laptop.cwd.join(".git/objects/pack")).expect("packs").flatten();
            entries
                .filter(|entry| entry.path().extension().is_some_and(|end| end == "pack"))
                .map(|entry| entry.metadata().expect("it").len())
                .sum()
        };
        let before = packs();
        let answer = laptop.json(["recipient", "add", &key]);
        let (grown, said) = (packs() - before, answer["sessions"][0]["added_bytes"].as_u64().expect("a number"));
        assert!(said <= grown && grown < said + 100, "{said} said, {grown} written");
        costs.push(grown);
    }
    assert!(costs[0] < 4 << 10 && costs[1] < 12 << 10, "{costs:?}");
}

#[test]
fn somebody_who_is_removed_keeps_what_was_and_reads_nothing_new() {
    let sandbox = Sandbox::new();
    let (laptop, friend) = (machine(&sandbox, "laptop"), machine(&sandbox, "friend"));
    acquainted(&[&laptop, &friend]);
    laptop.with_claude();
    laptop.run(["recipient", "add", &friend.recipient()]).ok();
    let sid = checkpoint(&laptop, CLAUDE)["sid"].as_str().expect("a sid").to_owned();
    let (before, old) = (tip(&laptop, &sid), installed(&laptop, CLAUDE));
    let (epoch, key) = (header(&laptop, &before)["epoch"].clone(), identity(&friend));
    assert!(opens(&laptop, &before, &key).1);

    let told = laptop.run(["recipient", "remove", &friend.recipient()]).ok().stdout();
    assert!(told.contains("they keep") && told.contains("stays readable") && told.contains("from now on they cannot read"), "{told}");
    assert!(told.contains("until they do"), "{told}");
    assert!(defaults(&laptop).is_empty());
    let removing = tip(&laptop, &sid);
    assert_ne!(header(&laptop, &removing)["epoch"], epoch);
    assert_eq!(opens(&laptop, &removing, &key), (Vec::new(), false));
    assert_eq!(opens(&laptop, &removing, &identity(&laptop)).0.len(), 2, "who stays has both epochs");

    go_on(&laptop, CLAUDE, "secret");
    let made = checkpoint(&laptop, CLAUDE);
    assert_eq!(made["recipients"], Value::from(vec![laptop.recipient()]));
    let next = tip(&laptop, &sid);
    assert_eq!(header(&laptop, &next)["epoch"], header(&laptop, &removing)["epoch"]);
    assert_eq!(opens(&laptop, &next, &key), (Vec::new(), false));
    // With the key they had, nothing that is new opens, and all that was there does.
    let kept = opens_parts(&laptop, &next, &before, &key);
    assert!(kept.iter().any(|(old, opens)| *old && *opens) && kept.iter().any(|(old, _)| !old), "{kept:?}");
    assert!(kept.iter().all(|(old, opens)| old == opens), "{kept:?}");

    send(&laptop);
    bring(&friend);
    restore(&friend, &sid).fails(1, "no key here opens");
    restore(&friend, &before).ok();
    assert_eq!(installed(&friend, CLAUDE), old);
    let list = laptop.json(["recipient", "list", &sid]);
    let epochs = list["sessions"][0]["epochs"].as_array().expect("epochs");
    for row in epochs {
        let was = row["epoch"] == epoch;
        assert_eq!(row["current"], !was);
        assert_eq!(row["removed"].as_array().expect("a list").len(), usize::from(was));
    }
    let shown = laptop.run(["recipient", "list", &sid]).ok().stdout();
    assert!(shown.contains(&format!("removed, and has its key: {}", friend.recipient())), "{shown}");

    // Added again, they read all of it, what was sealed meanwhile included.
    laptop.run(["recipient", "add", &friend.recipient()]).ok();
    send(&laptop);
    bring(&friend);
    restore(&friend, &sid).ok();
    assert_eq!(installed(&friend, CLAUDE), installed(&laptop, CLAUDE));
}

/// For each part of a commit: whether an older one had it, and whether whoever could open that one opens it.
fn opens_parts(machine: &Machine, commit: &str, older: &str, with: &dyn age::Identity) -> Vec<(bool, bool)> {
    let mut keys: Vec<age::x25519::Identity> = Vec::new();
    for (epoch, _) in epochs(machine, older) {
        let key = age_open(&bytes(machine, &format!("{older}:keys/{epoch}/0.age")), with).expect("it was theirs");
        keys.push(String::from_utf8(key).expect("text").trim().parse().expect("a key"));
    }
    let parts = |commit: &str| git(machine, &["ls-tree", "-r", "--name-only", commit, "data/"]);
    let before = parts(older);
    let known = |part: &str| before.lines().any(|old| old == part);
    let open = |part: &str| keys.iter().any(|key| age_open(&bytes(machine, &format!("{commit}:{part}")), key).is_ok());
    parts(commit).lines().map(|part| (known(part), open(part))).collect()
}

/// Two machines that believe each other; what they share goes with the first value.
fn two() -> (Sandbox, Machine, Machine) {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = (machine(&sandbox, "laptop"), machine(&sandbox, "desktop"));
    acquainted(&[&laptop, &desktop]);
    (sandbox, laptop, desktop)
}

#[test]
fn somebody_removed_does_not_come_back_by_another_clones_defaults() {
    let (_sandbox, laptop, desktop) = two();
    let gone = age::x25519::Identity::generate();
    let key = gone.to_public().to_string();
    laptop.with_claude();
    for machine in [&laptop, &desktop] {
        machine.run(["recipient", "add", &key, &laptop.recipient(), &desktop.recipient()]).ok();
    }
    let sid = checkpoint(&laptop, CLAUDE)["sid"].as_str().expect("a sid").to_owned();
    assert_eq!(readers(&laptop, &sid).len(), 3);
    send(&laptop);
    bring(&desktop);
    restore(&desktop, &sid).ok();
    // Another device of the same readers has nothing to change about them, in whatever order they stand.
    assert_eq!(desktop.json(["checkpoint", CLAUDE, "--session-only"])["state"], "unchanged");
    laptop.run(["recipient", "remove", &key]).ok();
    send(&laptop);
    bring(&desktop);
    assert!(defaults(&desktop).contains(&key));
    go_on(&desktop, CLAUDE, "on");
    assert_eq!(checkpoint(&desktop, CLAUDE)["state"], "made");
    assert_eq!(readers(&desktop, &sid), sorted(vec![laptop.recipient(), desktop.recipient()]));
    assert_eq!(opens(&desktop, &tip(&desktop, &sid), &gone), (Vec::new(), false));
}

#[test]
fn somebody_removed_does_not_come_back_from_a_clone_that_went_on_meanwhile() {
    let (_sandbox, laptop, desktop) = two();
    let gone = age::x25519::Identity::generate();
    let key = gone.to_public().to_string();
    laptop.with_claude();
    laptop.run(["recipient", "add", &key, &desktop.recipient()]).ok();
    let sid = checkpoint(&laptop, CLAUDE)["sid"].as_str().expect("a sid").to_owned();
    send(&laptop);
    bring(&desktop);
    restore(&desktop, &sid).ok();
    go_on(&desktop, CLAUDE, "unheard");
    checkpoint(&desktop, CLAUDE);
    let unaware = tip(&desktop, &sid);
    assert!(opens(&desktop, &unaware, &gone).1);

    laptop.run(["recipient", "remove", &key]).ok();
    send(&laptop);
    for joined_by_push in [false, true] {
        git(&desktop, &["update-ref", &format!("refs/samesession/sessions/{sid}"), &unaware]);
        git(&desktop, &["update-ref", &format!("refs/samesession-seen/@here/sessions/{sid}"), &unaware]);
        if joined_by_push {
            desktop.run(["push", &sid, REMOTE]).ok();
        } else {
            bring(&desktop);
            go_on(&desktop, CLAUDE, "after both");
            checkpoint(&desktop, CLAUDE);
        }
        let joined = tip(&desktop, &sid);
        assert_eq!(git(&desktop, &["rev-list", "--parents", "-1", &joined]).split(' ').count(), 3, "two parents");
        assert_eq!(readers(&desktop, &sid), sorted(vec![laptop.recipient(), desktop.recipient()]));
        assert_eq!(opens(&desktop, &joined, &gone), (Vec::new(), false));
        // Whoever kept the old epoch's key cannot open what is new with it.
        let old = header(&desktop, &unaware)["epoch"].clone();
        assert_ne!(header(&desktop, &joined)["epoch"], old);
    }
}

#[test]
fn somebody_removed_does_not_come_back_with_what_is_put_behind_a_shortened_chain() {
    let (_sandbox, laptop, desktop) = two();
    let gone = age::x25519::Identity::generate();
    laptop.with_claude();
    laptop.run(["recipient", "add", &gone.to_public().to_string(), &desktop.recipient()]).ok();
    let sid = checkpoint(&laptop, CLAUDE)["sid"].as_str().expect("a sid").to_owned();
    go_on(&laptop, CLAUDE, "second");
    checkpoint(&laptop, CLAUDE);
    send(&laptop);
    bring(&desktop);
    restore(&desktop, &sid).ok();
    go_on(&desktop, CLAUDE, "unheard");
    checkpoint(&desktop, CLAUDE);
    let unaware = tip(&desktop, &sid);
    let later = age::x25519::Identity::generate();
    laptop.run(["recipient", "remove", &gone.to_public().to_string()]).ok();
    laptop.run(["recipient", "add", &later.to_public().to_string()]).ok();
    laptop.run(["gc", "--keep-last", "1", "--remote", REMOTE]).ok();
    assert_eq!(opens(&laptop, &tip(&laptop, &sid), &gone), (Vec::new(), false));
    bring(&desktop);
    let names = sorted(vec![laptop.recipient(), desktop.recipient(), later.to_public().to_string()]);
    assert_eq!(readers(&desktop, &sid), names);
    let carried = tip(&desktop, &sid);
    assert_ne!(carried, unaware);
    go_on(&desktop, CLAUDE, "on");
    checkpoint(&desktop, CLAUDE);
    assert_eq!(readers(&desktop, &sid), names);
    for commit in [carried, tip(&desktop, &sid)] {
        assert_eq!(opens(&desktop, &commit, &gone), (Vec::new(), false));
        let (epochs, manifest) = opens(&desktop, &commit, &later);
        assert!(epochs.len() == 2 && manifest, "{epochs:?}");
    }
}

#[test]
fn neither_the_last_reader_nor_this_device_is_removed_by_accident() {
    let sandbox = Sandbox::new();
    let (laptop, friend) = (machine(&sandbox, "laptop"), machine(&sandbox, "friend"));
    laptop.with_claude();
    let sid = checkpoint(&laptop, CLAUDE)["sid"].as_str().expect("a sid").to_owned();
    let own = laptop.recipient();
    let (before, packs) = (tip(&laptop, &sid), packs(&laptop));
    let last = laptop.run(["recipient", "remove", "--force", &own]).fails(1, "nobody could open session");
    last.hints("recipient add");
    laptop.run(["recipient", "remove", &friend.recipient()]).fails(1, "reads no session here").hints("recipient list");
    assert_eq!((tip(&laptop, &sid), self::packs(&laptop)), (before, packs), "nothing was changed");
    laptop.run(["recipient", "add", &friend.recipient()]).ok();
    let before = tip(&laptop, &sid);
    laptop.run(["recipient", "remove", &own]).fails(1, "this device could not open session").hints("--force");
    assert_eq!(tip(&laptop, &sid), before);
    laptop.run(["recipient", "remove", "-f", &own]).ok();
    laptop.run(["checkpoint", CLAUDE]).fails(1, "no key here opens");
    assert_eq!(laptop.json(["recipient", "list"])["sessions"][0]["unreadable"].as_str().map(|why| why.contains("no key")), Some(true));
}

fn packs(machine: &Machine) -> Vec<PathBuf> {
    let mut packs: Vec<_> =
        fs::read_dir(machine.cwd.join(".git/objects/pack")).expect("packs").flatten().map(|entry| entry.path()).collect();
    packs.sort();
    packs
}

#[test]
fn a_named_session_is_changed_alone_and_the_defaults_stay() {
    let sandbox = Sandbox::new();
    let (laptop, friend) = (machine(&sandbox, "laptop"), machine(&sandbox, "friend"));
    laptop.with_claude();
    let one = checkpoint(&laptop, CLAUDE)["sid"].as_str().expect("a sid").to_owned();
    let other = checkpoint(&laptop, CLAUDE_RICH)["sid"].as_str().expect("a sid").to_owned();
    let untouched = tip(&laptop, &other);
    let answer = laptop.json(["recipient", "add", &friend.recipient(), "--session", CLAUDE]);
    assert_eq!(answer["sessions"].as_array().expect("sessions").len(), 1);
    assert!(defaults(&laptop).is_empty());
    assert_eq!((readers(&laptop, &one).len(), readers(&laptop, &other).len()), (2, 1));
    assert_eq!(tip(&laptop, &other), untouched);
    laptop.run(["recipient", "remove", &friend.recipient(), "--session", &other]).fails(1, "reads no session here");
    laptop.run(["recipient", "remove", &friend.recipient(), "--session", &one[..6]]).ok();
    assert_eq!(readers(&laptop, &one), [laptop.recipient()]);
    // All of them come in one pack, and each in one commit.
    let before = packs(&laptop).len();
    let all = laptop.json(["recipient", "add", &friend.recipient()]);
    assert_eq!(all["sessions"].as_array().expect("sessions").len(), 2);
    assert_eq!(packs(&laptop).len(), before + 3, "a pack, its index, its keep");
    let said: Vec<_> =
        all["sessions"].as_array().expect("sessions").iter().map(|row| row["added_bytes"].as_u64().expect("a number")).collect();
    for row in all["sessions"].as_array().expect("sessions") {
        assert_eq!(header(&laptop, row["commit"].as_str().expect("a commit"))["kind"], "checkpoint");
    }
    assert!(said.iter().all(|bytes| (500..8 << 10).contains(bytes)), "{said:?}");
}

#[test]
fn a_session_that_this_device_cannot_open_is_left_and_said_to_be() {
    let sandbox = Sandbox::new();
    let (laptop, friend) = (machine(&sandbox, "laptop"), machine(&sandbox, "friend"));
    acquainted(&[&laptop, &friend]);
    laptop.with_claude();
    friend.with_claude();
    let mine = checkpoint(&laptop, CLAUDE)["sid"].as_str().expect("a sid").to_owned();
    let theirs = checkpoint(&friend, CLAUDE_RICH)["sid"].as_str().expect("a sid").to_owned();
    send(&friend);
    bring(&laptop);
    let key = age::x25519::Identity::generate().to_public().to_string();
    let told = laptop.run(["recipient", "add", &key]).ok().stdout();
    assert!(told.contains(&format!("{}: left as it is: no key here opens", &theirs[..8])), "{told}");
    assert_eq!(readers(&laptop, &mine).len(), 2);
    laptop.run(["recipient", "add", &key, "--session", &theirs]).fails(1, "no key here opens");
    let list = laptop.run(["recipient", "list"]).ok().stdout();
    assert!(list.contains(&format!("{}: no key here opens", &theirs[..8])) && list.contains("(this device)"), "{list}");
}

/// From the age crate's own tests: the key to open it with is nobody's here.
const POST_QUANTUM: &str = include_str!("fixtures/post-quantum.pub");

#[test]
fn each_class_of_recipients_has_a_wrap_of_its_own_and_ssh_keys_open_theirs() {
    let sandbox = Sandbox::new();
    let (laptop, friend) = (machine(&sandbox, "laptop"), machine(&sandbox, "friend"));
    acquainted(&[&laptop, &friend]);
    laptop.with_claude();
    let sid = checkpoint(&laptop, CLAUDE)["sid"].as_str().expect("a sid").to_owned();
    // The friend's own device key is not told to anybody: it is the SSH key that opens.
    let ssh = samesession::seal::SigningKey::generate("friend@example.org").expect("a key");
    fs::create_dir_all(friend.home.join(".ssh")).expect("made");
    fs::write(friend.home.join(".ssh/id_ed25519"), ssh.to_openssh().expect("a key").as_bytes()).expect("written");
    let public = laptop.home.join("friends.pub");
    fs::write(&public, format!("# a friend's keys\n{}\n{POST_QUANTUM}", ssh.public_line().expect("a key"))).expect("written");
    laptop.run(["recipient", "add", public.to_str().expect("UTF-8")]).ok();

    let written = defaults(&laptop);
    assert!(written.len() == 2 && written[0].starts_with("ssh-ed25519 AAAA") && written[1] == POST_QUANTUM.trim(), "{written:?}");
    let now = tip(&laptop, &sid);
    let epochs = epochs(&laptop, &now);
    assert_eq!(epochs.iter().map(|(_, wraps)| *wraps).collect::<Vec<_>>(), [2]);
    let kinds: Vec<String> = (0..2).map(|n| stanzas(&bytes(&laptop, &format!("{now}:keys/{}/{n}.age", epochs[0].0)))).collect();
    assert_eq!(kinds, ["X25519 ssh-ed25519", "mlkem768p256tag"]);
    let list = laptop.json(["recipient", "list", &sid]);
    let kinds: Vec<_> =
        list["sessions"][0]["recipients"].as_array().expect("readers").iter().map(|reader| reader["kind"].clone()).collect();
    assert_eq!(kinds, ["X25519", "ssh-ed25519", "post-quantum tag"]);
    assert_eq!(list["sessions"][0]["epochs"][0]["post_quantum"], false, "one wrap that is not voids it");
    send(&laptop);
    bring(&friend);
    restore(&friend, &sid).ok();
    assert_eq!(installed(&friend, CLAUDE), installed(&laptop, CLAUDE));

    // Among post-quantum keys alone a new epoch is; the old one's key was given to others.
    let (own, ssh) = (laptop.recipient(), public.to_str().expect("UTF-8").to_owned());
    fs::write(&ssh, ssh_line(&written)).expect("written");
    let before = laptop.json(["recipient", "list", &sid])["sessions"][0]["epochs"][0]["epoch"].clone();
    laptop.run(["recipient", "remove", "--force", &own, &ssh]).ok();
    assert_eq!(stanzas_of_all(&laptop, &tip(&laptop, &sid)), ["mlkem768p256tag", "mlkem768p256tag"]);
    assert_ne!(header(&laptop, &tip(&laptop, &sid))["epoch"], before);
}

fn ssh_line(keys: &[String]) -> String {
    keys.iter().find(|key| key.starts_with("ssh-")).expect("an SSH key").clone()
}

fn stanzas_of_all(machine: &Machine, commit: &str) -> Vec<String> {
    let all = epochs(machine, commit);
    let wraps = all.iter().flat_map(|(epoch, wraps)| (0..*wraps).map(move |n| format!("{commit}:keys/{epoch}/{n}.age")));
    wraps.map(|wrap| stanzas(&bytes(machine, &wrap))).collect()
}

/// The kinds of keys in an age file's header.
fn stanzas(sealed: &[u8]) -> String {
    let text = String::from_utf8_lossy(sealed).into_owned();
    let kinds = text.lines().take_while(|line| !line.starts_with("---")).filter_map(|line| line.strip_prefix("-> "));
    let kinds: Vec<&str> = kinds.filter_map(|line| line.split(' ').next()).filter(|kind| !kind.ends_with("-grease")).collect();
    kinds.join(" ")
}

#[test]
fn rewrapping_changes_the_wraps_and_nothing_else() {
    let sandbox = Sandbox::new();
    let laptop = machine(&sandbox, "laptop");
    laptop.with_claude();
    let sid = checkpoint(&laptop, CLAUDE)["sid"].as_str().expect("a sid").to_owned();
    let before = tip(&laptop, &sid);
    let answer = laptop.json(["recipient", "rewrap", &sid]);
    assert_eq!((&answer["sessions"][0]["epochs"], &answer["keys"]), (&Value::from(1), &Value::from(Vec::<Value>::new())));
    let after = tip(&laptop, &sid);
    let named = |commit: &str, what: &str| git(&laptop, &["rev-parse", &format!("{commit}:{what}")]);
    assert_eq!(named(&before, "data"), named(&after, "data"));
    assert_ne!(named(&before, "keys"), named(&after, "keys"));
    assert_eq!(header(&laptop, &before)["epoch"], header(&laptop, &after)["epoch"]);
    assert_eq!(readers(&laptop, &sid), [laptop.recipient()]);
    assert_eq!(checkpoint(&laptop, CLAUDE)["state"], "unchanged");
}

#[test]
fn a_file_of_keys_in_the_configuration_loses_the_removed_one_only() {
    let sandbox = Sandbox::new();
    let laptop = machine(&sandbox, "laptop");
    let keys: Vec<String> = (0..3).map(|_| age::x25519::Identity::generate().to_public().to_string()).collect();
    let file = sandbox.path().join("team.txt");
    fs::write(&file, format!("# the team\n{}\n{}\n", keys[0], keys[1])).expect("written");
    git(&laptop, &["config", "--add", "samesession.recipient", file.to_str().expect("UTF-8")]);
    git(&laptop, &["config", "--add", "samesession.recipient", &keys[2]]);
    git(&laptop, &["config", "--global", "--add", "samesession.recipient", &keys[2]]);
    let answer = laptop.json(["recipient", "remove", &keys[0], &keys[2]]);
    assert_eq!(answer["defaults_left"], Value::from(vec![keys[2].clone()]));
    assert_eq!(git(&laptop, &["config", "--local", "--get-all", "samesession.recipient"]), keys[1]);
    let told = laptop.run(["recipient", "list"]).ok().stdout();
    assert!(told.contains("sessions that begin here: this device and") && told.contains(&keys[1]) && !told.contains(&keys[0]), "{told}");
}

#[test]
fn what_is_no_key_changes_nothing() {
    let sandbox = Sandbox::new();
    let laptop = machine(&sandbox, "laptop");
    laptop.with_claude();
    let sid = checkpoint(&laptop, CLAUDE)["sid"].as_str().expect("a sid").to_owned();
    let before = tip(&laptop, &sid);
    laptop.run(["recipient", "add", "age1nonsense"]).fails(128, "is not a recipient");
    laptop.run(["recipient", "add", "no-such-file"]).fails(128, "neither a key nor a file");
    let secret = laptop.home.join(".config/samesession/device/identity.txt");
    laptop.run(["recipient", "add", secret.to_str().expect("UTF-8")]).fails(128, "that is a secret key");
    laptop.run(["recipient", "add", &laptop.recipient(), "--session", "nothing"]).fails(1, "no session matches");
    laptop.run(["recipient", "add"]).fails_with(129);
    assert!(defaults(&laptop).is_empty());
    assert_eq!(tip(&laptop, &sid), before);
    sandbox.machine("elsewhere").run(["recipient", "list"]).fails(128, "not in a Git repository");
}

#[test]
fn a_chain_that_moves_meanwhile_is_done_anew_and_nothing_of_it_is_lost() {
    let sandbox = Sandbox::new();
    let (laptop, friend) = (machine(&sandbox, "laptop"), machine(&sandbox, "friend"));
    laptop.with_claude();
    let sid = checkpoint(&laptop, CLAUDE)["sid"].as_str().expect("a sid").to_owned();
    let other = checkpoint(&laptop, CLAUDE_RICH)["sid"].as_str().expect("a sid").to_owned();
    let key = friend.recipient();
    let mut adding = laptop.pause_at("commit.packed", ["recipient", "add", &key]);
    go_on(&laptop, CLAUDE, "meanwhile");
    let made = checkpoint(&laptop, CLAUDE)["commit"].as_str().expect("a commit").to_owned();
    let told = adding.end().ok().stdout();
    assert!(told.contains("checkpoint 3, 2 recipients") && told.contains("checkpoint 2, 2 recipients"), "{told}");
    assert_eq!(git(&laptop, &["rev-parse", &format!("{}^", tip(&laptop, &sid))]), made);
    assert_eq!((readers(&laptop, &sid).len(), readers(&laptop, &other).len()), (2, 2));
    assert_eq!(defaults(&laptop), [key]);
}

#[test]
fn killed_anywhere_it_is_done_or_not_and_done_when_told_again() {
    let sandbox = Sandbox::new();
    let (laptop, friend) = (machine(&sandbox, "laptop"), machine(&sandbox, "friend"));
    laptop.with_claude();
    let sid = checkpoint(&laptop, CLAUDE)["sid"].as_str().expect("a sid").to_owned();
    for (point, done) in [("commit.packed", false), ("commit.referenced", true)] {
        let key = age::x25519::Identity::generate().to_public().to_string();
        let before = tip(&laptop, &sid);
        let killed = laptop.env("SAMESESSION_FAULT", format!("{point}=kill")).run(["recipient", "add", &key]);
        assert!(!killed.0.status.success(), "{point}");
        assert_eq!(tip(&laptop, &sid) != before, done, "{point}");
        laptop.run(["recipient", "add", &key]).ok();
        assert!(readers(&laptop, &sid).contains(&key) && defaults(&laptop).contains(&key), "{point}");
        laptop.run(["recipient", "remove", &key]).ok();
    }
    laptop.env("SAMESESSION_FAULT", "commit.packed=full").run(["recipient", "add", &friend.recipient()]).fails(128, "cannot write");
    assert!(!readers(&laptop, &sid).contains(&friend.recipient()) && defaults(&laptop).is_empty());
    git(&laptop, &["fsck", "--strict", "--no-dangling"]);
}
