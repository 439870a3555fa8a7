//! Between the two containers: a checkpoint of a repository as a capsule file, and a capsule file as a checkpoint.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::forge::{CLAUDE_FORGED, Entry, Forge, Victim, hash, pack, tar, unseal};
use crate::support::sandbox::{CLAUDE, CLAUDE_RICH, Machine, Ran, Sandbox, snapshot};

fn os(text: &impl AsRef<OsStr>) -> &OsStr {
    text.as_ref()
}

fn git(machine: &Machine, args: &[&str]) -> String {
    let out = machine.command("git").args(args).output().expect("git");
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text").trim().to_owned()
}

/// A machine with keys and a repository of its own.
fn machine(sandbox: &Sandbox, name: &str) -> Machine {
    let machine = sandbox.machine(name);
    machine.init();
    git(&machine, &["init", "-q"]);
    machine
}

fn transcript(machine: &Machine, session: &str) -> PathBuf {
    machine.claude_project().join(format!("{session}.jsonl"))
}

fn append(path: &Path, text: &str) {
    fs::OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(text.as_bytes())).expect("appended");
}

fn line(words: &str) -> String {
    format!("{{\"type\":\"user\",\"message\":{{\"content\":\"{words}\"}}}}\n")
}

fn file(machine: &Machine, name: &str) -> PathBuf {
    machine.home.parent().expect("in a sandbox").join(name)
}

fn export(machine: &Machine, session: &str, file: &Path, options: &[&str]) -> Ran {
    let args = [os(&"export"), os(&session), os(&"--output"), os(&file)];
    machine.run(args.into_iter().chain(options.iter().map(os)))
}

fn import(machine: &Machine, file: &Path, from: &Machine, options: &[&str]) -> Ran {
    let trust = from.fingerprint();
    let args = [os(&"import"), os(&file), os(&"--trust"), os(&trust)];
    machine.run(args.into_iter().chain(options.iter().map(os)))
}

fn imported(machine: &Machine, file: &Path, from: &Machine) -> Value {
    import(machine, file, from, &["--json"]).ok().json()
}

/// All our refs, and the packs.
fn stored(machine: &Machine) -> (String, Vec<PathBuf>) {
    let refs = git(machine, &["for-each-ref", "refs/samesession", "refs/samesession-seen"]);
    let entries = fs::read_dir(machine.cwd.join(".git/objects/pack")).expect("a repository").flatten();
    let mut packs: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    packs.sort();
    (refs, packs)
}

fn inspect(machine: &Machine, file: &Path) -> Value {
    machine.json([os(&"inspect"), os(&file)])
}

#[test]
fn a_session_goes_from_repository_to_file_to_repository_and_nothing_of_it_changes() {
    let sandbox = Sandbox::new();
    let [laptop, desktop, third] = ["laptop", "desktop", "third"].map(|name| machine(&sandbox, name));
    laptop.with_claude();
    let here = transcript(&laptop, CLAUDE_RICH);
    for n in 0..6000 {
        append(&here, &line(&format!("{:x}", n * 0x9e37_79b9_u64).repeat(12)));
    }
    append(&here, "{\"torn");
    laptop.run(["checkpoint", CLAUDE_RICH, "-r", &desktop.recipient()]).ok();
    // Who can open the chain can open the file, without being named.
    let (a, b) = (file(&laptop, "a.capsule"), file(&laptop, "b.capsule"));
    let told = export(&laptop, CLAUDE_RICH, &a, &[]).ok().stdout();
    assert!(told.contains("exported checkpoint 1 of ") && told.contains(&format!("signed by {}", laptop.fingerprint())), "{told}");
    assert!(told.contains(&desktop.recipient()) && told.contains(&laptop.recipient()), "{told}");

    let done = imported(&desktop, &a, &laptop);
    assert_eq!((done["state"].as_str(), done["sequence"].as_u64()), (Some("made"), Some(1)), "{done}");
    let known = fs::read_to_string(desktop.home.join(".config/samesession/known_signers")).expect("remembered");
    assert!(known.starts_with("laptop "), "{known}");
    export(&desktop, CLAUDE_RICH, &b, &["-r", &third.recipient()]).ok();
    let (plain, again) = (unseal(&a, &laptop), unseal(&b, &desktop));
    assert!(plain == again, "{} and {} bytes", plain.len(), again.len());
    // The file that `checkpoint --output` makes differs in nothing but the time at which it was made.
    let c = laptop.seal(CLAUDE_RICH, &desktop);
    let [exported, sealed] = [&b, &c].map(|file| inspect(&desktop, file));
    assert_eq!(exported["manifest"]["files"], sealed["manifest"]["files"]);
    assert!(exported["manifest"]["files"].as_array().expect("files").len() > 5, "{exported}");
    assert_eq!((exported["signature"].as_str(), exported["signer"].as_str()), (Some("good"), Some(&laptop.fingerprint()[..])));
    assert_eq!(exported["manifest"]["origin"]["device"], "laptop");

    // Whoever restores it sees who made it, and the bytes are the laptop's.
    third.run([os(&"restore"), os(&b)]).fails(1, &laptop.fingerprint());
    third.restore(&b, &laptop).ok();
    let there = fs::read(transcript(&third, CLAUDE_RICH)).expect("it arrived");
    assert!(fs::read(&here).expect("the session").starts_with(&there) && there.ends_with(b"\n"));
    desktop.run(["restore", CLAUDE_RICH]).ok();
    assert_eq!(fs::read(transcript(&desktop, CLAUDE_RICH)).expect("it arrived"), there);
    git(&desktop, &["fsck", "--strict"]);
}

#[test]
fn what_is_there_already_is_not_imported_again_and_what_is_older_is_behind() {
    let sandbox = Sandbox::new();
    let [laptop, desktop] = ["laptop", "desktop"].map(|name| machine(&sandbox, name));
    laptop.with_claude();
    let here = transcript(&laptop, CLAUDE);
    let [first, second] = ["first.capsule", "second.capsule"].map(|name| {
        let capsule = file(&laptop, name);
        fs::rename(laptop.seal(CLAUDE, &desktop), &capsule).expect("moved");
        append(&here, &line("one more"));
        capsule
    });
    assert_eq!(imported(&desktop, &first, &laptop)["state"], "made");
    let before = stored(&desktop);
    let again = import(&desktop, &first, &laptop, &[]).ok().stdout();
    assert!(again.contains("holds all of it already"), "{again}");
    assert_eq!(stored(&desktop), before);

    let done = imported(&desktop, &second, &laptop);
    assert_eq!((done["state"].as_str(), done["sequence"].as_u64(), &done["open"]), (Some("made"), Some(2), &Value::Array(vec![])));
    let sid = done["sid"].as_str().expect("a sid");
    assert_eq!(git(&desktop, &["rev-list", "--count", &format!("refs/samesession/sessions/{sid}")]), "2");
    let before = stored(&desktop);
    let behind = import(&desktop, &first, &laptop, &[]).ok().stdout();
    assert!(behind.contains("checkpoint 2 of ") && behind.contains("holds more than the capsule: nothing to do"), "{behind}");
    assert_eq!(stored(&desktop), before);

    // With the same transcript, the older one of two does not take back what came since.
    let later = file(&laptop, "later.capsule");
    fs::rename(laptop.seal(CLAUDE, &desktop), &later).expect("moved");
    let own = here.with_extension("");
    fs::create_dir_all(own.join("tool-results")).and_then(|()| fs::write(own.join("tool-results/new.txt"), "new")).expect("written");
    let latest = laptop.seal(CLAUDE, &desktop);
    assert_eq!(imported(&desktop, &latest, &laptop)["sequence"], 3);
    assert_eq!(imported(&desktop, &later, &laptop)["state"], "behind");
    // The other way round it is the next one.
    let mirror = machine(&sandbox, "mirror");
    for (n, capsule) in [&later, &latest].into_iter().enumerate() {
        let key = desktop.home.join(".config/samesession/device/identity.txt");
        let done = import(&mirror, capsule, &laptop, &["-i", key.to_str().expect("UTF-8"), "--json"]).ok().json();
        assert_eq!((done["state"].as_str(), done["sequence"].as_u64()), (Some("made"), Some(n as u64 + 1)), "{done}");
    }
}

#[test]
fn a_capsule_that_went_another_way_leaves_both_ways_open() {
    let sandbox = Sandbox::new();
    let [laptop, desktop] = ["laptop", "desktop"].map(|name| machine(&sandbox, name));
    laptop.with_claude();
    let start = laptop.seal(CLAUDE, &desktop);
    desktop.restore(&start, &laptop).ok();
    append(&transcript(&desktop, CLAUDE), &line("on the desktop"));
    desktop.run(["checkpoint", CLAUDE]).ok();
    append(&transcript(&laptop, CLAUDE), &line("on the laptop"));
    let other = laptop.seal(CLAUDE, &desktop);
    let done = imported(&desktop, &other, &laptop);
    assert_eq!((done["state"].as_str(), done["sequence"].as_u64()), (Some("made"), Some(2)), "{done}");
    let open: Vec<&str> = done["open"].as_array().expect("ways").iter().filter_map(Value::as_str).collect();
    let parent = git(&desktop, &["rev-parse", &format!("{}^", done["commit"].as_str().expect("a commit"))]);
    assert_eq!(open, [parent.as_str()]);

    // Which one shall be exported has to be said.
    let out = file(&desktop, "out.capsule");
    export(&desktop, CLAUDE, &out, &[]).fails(1, "went 2 ways").hints("by its commit");
    assert!(!out.exists());
    for (commit, words, without) in
        [(done["commit"].as_str().expect("a commit"), "on the laptop", "on the desktop"), (&parent, "on the desktop", "on the laptop")]
    {
        export(&desktop, commit, &out, &["--force"]).ok();
        let plain = String::from_utf8_lossy(&unseal(&out, &desktop)).into_owned();
        assert!(plain.contains(words) && !plain.contains(without), "{commit}");
    }
}

#[test]
fn a_native_session_goes_on_from_what_was_imported() {
    let sandbox = Sandbox::new();
    let [laptop, desktop] = ["laptop", "desktop"].map(|name| machine(&sandbox, name));
    laptop.with_claude();
    laptop.run(["checkpoint", CLAUDE, "-r", &desktop.recipient()]).ok();
    let capsule = file(&laptop, "x.capsule");
    export(&laptop, CLAUDE, &capsule, &[]).ok();
    desktop.restore(&capsule, &laptop).ok();
    append(&transcript(&desktop, CLAUDE), &line("on the desktop"));
    let back = desktop.seal(CLAUDE, &laptop);
    // The laptop's chain goes on with what the desktop did, although it lies in another directory there.
    let done = imported(&laptop, &back, &desktop);
    assert_eq!((done["state"].as_str(), done["sequence"].as_u64(), &done["open"]), (Some("made"), Some(2), &Value::Array(vec![])));
    assert_eq!(laptop.json(["checkpoint", CLAUDE])["state"], "behind");
    laptop.run(["restore", CLAUDE]).ok();
    append(&transcript(&laptop, CLAUDE), &line("on the laptop again"));
    let next = laptop.json(["checkpoint", CLAUDE]);
    assert_eq!((next["state"].as_str(), next["sequence"].as_u64(), &next["open"]), (Some("made"), Some(3), &Value::Array(vec![])));
}

#[test]
fn a_file_is_sealed_to_whom_it_shall_be() {
    let sandbox = Sandbox::new();
    let [laptop, desktop, third] = ["laptop", "desktop", "third"].map(|name| machine(&sandbox, name));
    laptop.with_claude();
    laptop.run(["checkpoint", CLAUDE, "-r", &desktop.recipient()]).ok();
    let capsule = file(&laptop, "x.capsule");
    // Those who are named come in the place of the chain's readers.
    export(&laptop, CLAUDE, &capsule, &["-r", &third.recipient()]).ok();
    assert_eq!(inspect(&desktop, &capsule)["opened"], false);
    assert_eq!(inspect(&third, &capsule)["opened"], true);
    export(&laptop, CLAUDE, &capsule, &[]).fails(1, "already exists").hints("--force");
    let phrase = file(&laptop, "phrase");
    fs::write(&phrase, "six words that nobody would guess\n").expect("written");
    let with = ["--passphrase-file", phrase.to_str().expect("UTF-8")];
    export(&laptop, CLAUDE, &capsule, &["-f", with[0], with[1]]).ok();
    let before = stored(&third);
    import(&third, &capsule, &laptop, &[]).fails(1, "sealed with a passphrase");
    let wrong = file(&laptop, "wrong");
    fs::write(&wrong, "another\n").expect("written");
    import(&third, &capsule, &laptop, &[with[0], wrong.to_str().expect("UTF-8")]).fails(1, "wrong passphrase");
    assert_eq!(stored(&third), before);
    // The chain that begins here is for this device and those who are named.
    let done = import(&third, &capsule, &laptop, &[with[0], with[1], "-r", &desktop.recipient(), "--json"]).ok().json();
    let readers: Vec<&str> = done["recipients"].as_array().expect("readers").iter().filter_map(Value::as_str).collect();
    assert_eq!(readers, [third.recipient(), desktop.recipient()]);
    export(&laptop, "nothing-of-that-name", &file(&laptop, "y"), &[]).fails(1, "no session matches");
}

#[test]
fn pipes_do_as_well_as_files() {
    let sandbox = Sandbox::new();
    let [laptop, desktop] = ["laptop", "desktop"].map(|name| machine(&sandbox, name));
    laptop.with_claude();
    laptop.run(["checkpoint", CLAUDE, "-r", &desktop.recipient()]).ok();
    let capsule = file(&laptop, "x.capsule");
    let shell = |machine: &Machine, script: &str| {
        let mut command = machine.command("sh");
        Ran(command.args(["-c", script]).arg(&capsule).arg(laptop.fingerprint()).output().expect("a shell")).ok()
    };
    let told = shell(&laptop, &format!("git samesession export {CLAUDE} -o - > \"$0\""));
    assert!(told.stdout().is_empty() && told.stderr().is_empty(), "{}", told.stderr());
    let temporary = fs::read_dir(sandbox.path()).expect("a directory").count();
    let told = shell(&desktop, "cat \"$0\" | git samesession import - --trust \"$1\"").stdout();
    assert!(told.contains("imported as checkpoint 1 of "), "{told}");
    assert_eq!(fs::read_dir(sandbox.path()).expect("a directory").count(), temporary);
    laptop.run(["export", CLAUDE, "-o", "-", "--json"]).fails_with(128);
}

#[test]
fn a_capsule_that_is_not_to_be_believed_leaves_nothing_in_the_repository() {
    let victim = Victim::new();
    let machine = &victim.machine;
    git(machine, &["init", "-q"]);
    let stranger = victim.sandbox.machine("stranger");
    stranger.init();
    let refuses =
        |what: &str, file: &Path, code: i32, says: &str| victim.unchanged_by(what, code, says, || machine.run([os(&"import"), os(&file)]));
    let honest = || Forge::claude(machine);
    let entries = honest().entries();
    let whole = fs::read(honest().write()).expect("a capsule");

    let mut flipped = whole.clone();
    let at = flipped.len() - 40;
    flipped[at] ^= 1;
    refuses("damaged", &honest().write_sealed(&flipped), 128, "the capsule is damaged");
    refuses("cut short", &honest().write_sealed(&whole[..whole.len() - 20]), 128, "the capsule is damaged");
    refuses("no capsule", &honest().write_sealed(b"nothing of ours"), 128, "not a capsule");
    refuses("a torn archive", &honest().write_packed(&pack(&tar(&entries[..2]))), 128, "there is no manifest");
    refuses("unsigned", &honest().write_entries(&entries[..3]), 1, "is not signed").hints("--allow-unsigned");
    let mut bad = entries.clone();
    bad[3] = Forge::claude(machine).manifest(|manifest| manifest["title"] = "another".into()).entries()[3].clone();
    refuses("badly signed", &honest().write_entries(&bad), 1, "the signature is bad");
    let theirs = honest().signed_by(&stranger).write();
    refuses("of a stranger", &theirs, 1, &stranger.fingerprint()).hints("--trust");
    let foreign = honest().add(Entry::file("session/settings.json", "{}"));
    refuses("with something foreign", &foreign.write(), 128, "does not belong to the session");
    let lying = honest().manifest(|manifest| manifest["files"][0]["sha256"] = "0".repeat(64).into());
    refuses("with a lying manifest", &lying.write(), 128, "is not the file it lists");
    let quiet = honest().manifest(|manifest| manifest["files"][0]["role"] = "sidecar".into());
    refuses("without a transcript by its own words", &quiet.write(), 128, "which file is the transcript");
    let unknown = honest().both(|part| part["agent"] = "another".into());
    refuses("of another agent", &unknown.write(), 128, "session id is not that of its native session");
    assert_eq!(stored(machine), (String::new(), Vec::new()));

    // Where there is no repository, that is said before anybody is asked.
    let capsule = honest().write();
    let outside = machine.at(victim.sandbox.path().join("outside"));
    outside.run([os(&"import"), os(&capsule)]).fails_with(128);

    // What nobody signed, and somebody takes all the same, is a checkpoint; what is badly signed never.
    let badly = honest().write_entries(&bad);
    machine.run([os(&"import"), os(&badly), os(&"--allow-unsigned")]).fails(1, "the signature is bad");
    let file = honest().write_entries(&entries[..3]);
    let told = machine.run([os(&"import"), os(&file), os(&"--allow-unsigned")]).ok().stdout();
    assert!(told.contains("signed by nobody that could be checked"), "{told}");
    let out = victim.sandbox.path().join("out.capsule");
    let told = export(machine, CLAUDE_FORGED, &out, &[]).ok().stdout();
    assert!(told.contains("signed by nobody"), "{told}");
    assert_eq!(inspect(machine, &out)["signature"], "missing");
    machine.run([os(&"restore"), os(&out), os(&"--dry-run")]).fails(1, "is not signed");
}

#[test]
fn killed_anywhere_there_is_the_old_chain_or_the_new_one_and_a_whole_file_or_none() {
    let sandbox = Sandbox::new();
    let [laptop, desktop] = ["laptop", "desktop"].map(|name| machine(&sandbox, name));
    laptop.with_claude();
    let capsule = laptop.seal(CLAUDE, &desktop);
    for point in ["commit.folded", "commit.packed"] {
        let dying = desktop.env("SAMESESSION_FAULT", format!("{point}=kill"));
        assert_ne!(import(&dying, &capsule, &laptop, &[]).code(), Some(0), "{point}");
        assert_eq!(git(&desktop, &["for-each-ref", "refs/samesession"]), "", "{point}");
    }
    let dying = desktop.env("SAMESESSION_FAULT", "commit.referenced=kill");
    assert_ne!(import(&dying, &capsule, &laptop, &[]).code(), Some(0));
    assert_eq!(imported(&desktop, &capsule, &laptop)["state"], "unchanged");
    git(&desktop, &["fsck", "--strict"]);

    let out = desktop.home.join("out");
    fs::create_dir(&out).expect("made");
    let file = out.join("x.capsule");
    let dying = desktop.env("SAMESESSION_FAULT", "checkpoint.sealed=kill");
    assert_ne!(export(&dying, CLAUDE, &file, &[]).code(), Some(0));
    let full = desktop.env("SAMESESSION_FAULT", "checkpoint.sealed=full");
    export(&full, CLAUDE, &file, &[]).fails(128, "cannot write to").hints("free some space");
    assert_eq!(snapshot(&out), []);
    export(&desktop, CLAUDE, &file, &[]).ok();
}

/// The parts that were far behind the beginning of a file, and are its beginning now, had been packed against another one.
#[test]
fn a_session_whose_beginning_was_cut_off_and_which_went_on_can_be_opened() {
    let sandbox = Sandbox::new();
    let laptop = machine(&sandbox, "laptop");
    laptop.with_claude();
    let here = transcript(&laptop, CLAUDE);
    let first = fs::read_to_string(&here).expect("the session");
    // Each part says again what the beginning said, and nothing of its own.
    let body: Vec<String> = (0..22_000).map(|n| line(&format!("{n:0100} {}", hash(&[(n % 1500) as u8, (n % 1500 / 256) as u8])))).collect();
    let write = |lines: &[String]| fs::write(&here, format!("{first}{}", lines.concat())).expect("written");
    write(&body[..20_000]);
    laptop.run(["checkpoint", CLAUDE]).ok();
    let out = file(&laptop, "x.capsule");
    // Where parts begin is different in each session: more than one cut, so that one of them meets such a part.
    for from in [9_000, 7_500, 6_000] {
        write(&body[from..]);
        let commit = laptop.json(["checkpoint", CLAUDE])["commit"].as_str().expect("a commit").to_owned();
        export(&laptop, &commit, &out, &["-f"]).ok();
    }
}

#[test]
fn a_checkpoint_with_a_part_missing_is_not_exported() {
    let sandbox = Sandbox::new();
    let laptop = machine(&sandbox, "laptop");
    laptop.with_claude();
    let tip = laptop.json(["checkpoint", CLAUDE])["commit"].as_str().expect("a commit").to_owned();
    // Unpacked, so that one object can be taken away.
    let packs = laptop.cwd.join(".git/objects/pack");
    for entry in fs::read_dir(&packs).expect("a directory").flatten() {
        let name = entry.path();
        fs::rename(&name, laptop.home.join(name.file_name().expect("a name"))).expect("moved");
    }
    let pack = fs::read_dir(&laptop.home).expect("a directory").flatten().map(|entry| entry.path());
    for pack in pack.filter(|path| path.extension() == Some(os(&"pack"))) {
        let mut unpack = laptop.command("git");
        let done = unpack.args(["unpack-objects", "-q"]).stdin(fs::File::open(&pack).expect("a pack")).status().expect("git");
        assert!(done.success());
    }
    let listed = git(&laptop, &["ls-tree", "-r", &tip, "data/"]);
    let out = laptop.home.join("x.capsule");
    for part in listed.lines() {
        let id = part.split_whitespace().nth(2).expect("an id");
        let loose = laptop.cwd.join(".git/objects").join(&id[..2]).join(&id[2..]);
        let bytes = fs::read(&loose).expect("an object");
        fs::remove_file(&loose).expect("removed");
        let ran = export(&laptop, CLAUDE, &out, &[]);
        assert_eq!(ran.code(), Some(128), "{}", ran.stderr());
        assert!(ran.stderr().contains("is missing") && !out.exists(), "{}", ran.stderr());
        fs::write(&loose, bytes).expect("written");
    }
    export(&laptop, CLAUDE, &out, &[]).ok();
}
