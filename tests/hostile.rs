//! A capsule is hostile until proven otherwise: each of these is well signed, well sealed and wrong in one way.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};
use tar::EntryType;

use crate::support::forge::{CLAUDE_FORGED, CODEX_FORGED, Entry, Forge, Victim, pack, rollout, rollout_meta, tar as archive, unfinished};
use crate::support::sandbox::{CLAUDE, CODEX, Machine, Ran, snapshot};

/// A file in the forged session's own directory, where anything may stand.
fn own(name: &str) -> String {
    own_of(CLAUDE_FORGED, name)
}

pub fn own_of(native: &str, name: &str) -> String {
    format!("session/projects/-src-app/{native}/{name}")
}

/// The program with this much address space, so that what it cannot have would end it.
fn within(machine: &Machine, mebibytes: u32, args: &[&Path]) -> Ran {
    let mut command = machine.command("sh");
    command.args(["-c", "ulimit -v \"$0\" && exec git-samesession \"$@\""]).arg((mebibytes << 10).to_string()).args(args);
    Ran(command.output().expect("a shell"))
}

/// Refused with little memory, and before long.
#[track_caller]
fn refused_cheaply(victim: &Victim, what: &str, capsule: &Path, says: &str) {
    let begun = Instant::now();
    victim.unchanged_by(what, 128, says, || within(&victim.machine, 400, &["restore".as_ref(), capsule]));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(60), "{what}: took {took:?}");
    eprintln!("{what}: {took:?}");
}

#[test]
fn what_forge_makes_is_restored_where_nothing_is_wrong_with_it() {
    let victim = Victim::new();
    let machine = &victim.machine;
    victim.restore(&Forge::claude(machine).add(Entry::file(own("tool-results/a.txt"), "out")).write()).ok();
    let project = machine.claude_project();
    assert!(project.join(format!("{CLAUDE_FORGED}.jsonl")).exists());
    assert_eq!(fs::read(project.join(CLAUDE_FORGED).join("tool-results/a.txt")).expect("it arrived"), b"out");
    victim.restore(&Forge::codex(machine).write()).ok();
    assert!(machine.codex().join(rollout(CODEX_FORGED)).exists());
}

#[test]
fn only_regular_files_are_let_in() {
    let victim = Victim::new();
    for (kind, says) in [
        (EntryType::Symlink, "a symbolic link"),
        (EntryType::Link, "a hard link"),
        (EntryType::Char, "a device"),
        (EntryType::Block, "a device"),
        (EntryType::Fifo, "a pipe"),
        (EntryType::Directory, "a directory"),
        (EntryType::Continuous, "another kind"),
        (EntryType::GNUSparse, "another kind"),
        (EntryType::GNULongLink, "another kind"),
        (EntryType::XHeader, "another kind"),
        (EntryType::XGlobalHeader, "another kind"),
    ] {
        let forge = Forge::claude(&victim.machine).add(Entry::special(kind, &own("x"), "/etc/passwd"));
        victim.refuses(&format!("{kind:?}"), &forge.write(), 128, says);
    }
}

/// Names that leave their place, or mean another one elsewhere, and what is said of them.
pub fn bad_names(native: &str) -> Vec<(String, &'static str)> {
    let name = |name: &str| own_of(native, name);
    vec![
        ("/etc/cron.d/x".to_owned(), "it is absolute"),
        ("../x".to_owned(), "it leaves its directory"),
        ("session/../../../x".to_owned(), "it leaves its directory"),
        (name("../../../settings.json"), "it leaves its directory"),
        (name("./x"), "it leaves its directory"),
        (name("a//b"), "empty component"),
        (name("a/"), "empty component"),
        (name(".git/hooks/post-checkout"), "Git directory"),
        (name(".GIT/config"), "Git directory"),
        (name("CON"), "a device on Windows"),
        (name("aux.txt"), "a device on Windows"),
        (name("COM1.log"), "a device on Windows"),
        (name("C:/x"), "another kind on Windows"),
        (name("C:\\x"), "another kind on Windows"),
        (name("..\\..\\x"), "another kind on Windows"),
        (name("x."), "Windows would strip"),
        (name("x "), "Windows would strip"),
        (name(&"a".repeat(256)), "a component is too long"),
        (name(&format!("{}a", "a/".repeat(2050))), "name has"),
        ("elsewhere/x".to_owned(), "not a place for files"),
        ("session".to_owned(), "not a place for files"),
        ("-rf".to_owned(), "not a place for files"),
    ]
}

#[test]
fn names_cannot_leave_their_place_or_mean_another_elsewhere() {
    let victim = Victim::new();
    for (bad, says) in bad_names(CLAUDE_FORGED) {
        let forge = Forge::claude(&victim.machine).add(Entry::file(&bad, "x"));
        victim.refuses(&bad.chars().take(80).collect::<String>(), &forge.write(), 128, says);
    }
    // A NUL can only come in by a long name: a short one ends at it.
    let nul = Entry::file(own(&format!("{}\0/../x", "a".repeat(100))), "x");
    victim.refuses("NUL", &Forge::claude(&victim.machine).add(nul).write(), 128, "NUL byte");
}

#[test]
fn no_two_names_may_be_one_file() {
    let victim = Victim::new();
    let two = |a: &str, b: &str| Forge::claude(&victim.machine).add(Entry::file(own(a), "a")).add(Entry::file(own(b), "b")).write();
    victim.refuses("twice", &two("x", "x"), 128, "twice");
    victim.refuses("case", &two("notes", "NOTES"), 128, "one file on some systems");
    victim.refuses("case beyond ASCII", &two("é", "É"), 128, "one file on some systems");
    victim.refuses("file and directory", &two("x", "x/y"), 128, "a file and a directory");
    victim.refuses("directory and file", &two("x/y", "x"), 128, "a file and a directory");
    victim.refuses("file and directory by case", &two("X", "x/y"), 128, "a file and a directory");
}

/// What is the agent's, or another session's.
pub const CLAUDES_OWN: &[&str] = &[
    "settings.json",
    "settings.local.json",
    ".credentials.json",
    ".claude.json",
    "CLAUDE.md",
    "history.jsonl",
    "sessions/1.key",
    "sessions/1.json",
    "hooks/stop.sh",
    "plugins/x/plugin.json",
    "commands/x.md",
    "agents/x.md",
    "shell-snapshots/x.sh",
    "session-env/cccccccc-0001-4000-8000-000000000001/x.sh",
    "projects/x/other-id.jsonl",
    "projects/x/memory/MEMORY.md",
    "projects/-src-app/aaaaaaaa-0001-4000-8000-000000000001.jsonl",
    "projects/-src-app/aaaaaaaa-0001-4000-8000-000000000001/tool-results/x",
    "file-history/aaaaaaaa-0001-4000-8000-000000000001/x",
    "tasks/aaaaaaaa-0001-4000-8000-000000000001/1.json",
    "tasks/cccccccc-0001-4000-8000-000000000001/x.sh",
    "todos/aaaaaaaa-0001-4000-8000-000000000001-agent.json",
    ".samesession/x/journal.json",
];
pub const CODEXS_OWN: &[&str] = &[
    "auth.json",
    "config.toml",
    ".env",
    "hooks.json",
    "history.jsonl",
    "state_5.sqlite",
    "AGENTS.md",
    "prompts/x.md",
    "rules/x",
    "installation_id",
    "sessions/x.jsonl",
    "sessions/2026/11/21/x.jsonl",
    "sessions/2026/11/21/deep/rollout-2026-11-21T04-03-33-02b2fc46-14ce-7500-867f-3e8961b3c90e.jsonl",
    "thread-writer-locks/x.lock",
];

#[test]
fn nothing_in_an_agents_home_but_the_session_itself() {
    let victim = Victim::new();
    let machine = &victim.machine;
    for name in CLAUDES_OWN {
        let forge = Forge::claude(machine).add(Entry::file(format!("session/{name}"), "{}\n"));
        victim.refuses(name, &forge.write(), 128, "does not belong to the session");
    }
    for name in CODEXS_OWN {
        let forge = Forge::codex(machine).add(Entry::file(format!("session/{name}"), "{}\n"));
        victim.refuses(name, &forge.write(), 128, "does not belong to the session");
    }
    // What is torn off is installed nowhere, but could not belong to anything else either.
    let torn = Forge::claude(machine).add(Entry::file("torn/settings.json", "{"));
    victim.refuses("torn", &torn.write(), 128, "does not belong to the session");
}

#[test]
fn transcripts_of_other_sessions_do_not_ride_along() {
    let victim = Victim::new();
    let machine = &victim.machine;
    let foreign = Forge::codex(machine).add(Entry::file(format!("session/{}", rollout(CODEX)), format!("{}\n", rollout_meta(CODEX))));
    victim.refuses("a foreign thread", &foreign.write(), 128, "does not belong to session");
    let named =
        Forge::codex(machine).add(Entry::file("session/session_index.jsonl", format!("{{\"id\":\"{CODEX}\",\"thread_name\":\"x\"}}\n")));
    victim.refuses("a name for another thread", &named.write(), 128, "does not belong to session");
    let mut masked = Forge::codex(machine);
    masked.files[0].content = format!("{}\n", rollout_meta(CODEX)).into_bytes();
    victim.refuses("another thread under this one's name", &masked.write(), 128, "does not belong to session");
    let helper = Entry::file("session/projects/-src-app/agent-abc.jsonl", format!("{{\"type\":\"user\",\"sessionId\":\"{CLAUDE}\"}}\n"));
    victim.refuses("another session's helper", &Forge::claude(machine).add(helper).write(), 128, "does not belong to session");
    let projects = Forge::claude(machine).add(Entry::file(format!("session/projects/other/{CLAUDE_FORGED}/x"), "x"));
    victim.refuses("two project directories", &projects.write(), 128, "two project directories");
}

/// Claude Code keeps what it remembers of a project in `projects/<project>/memory`.
#[test]
fn a_native_id_cannot_be_a_word_that_means_something_to_the_agent() {
    let victim = Victim::new();
    for id in ["memory", "agent-abc", "settings"] {
        let transcript = Entry::file(format!("session/projects/-src-app/{id}.jsonl"), "{\"type\":\"user\"}\n");
        let forge = Forge::empty("claude", id, &victim.machine).add(transcript);
        let forge = forge.add(Entry::file(format!("session/projects/-src-app/{id}/MEMORY.md"), "obey"));
        victim.refuses(id, &forge.write(), 128, "does not belong to the session");
    }
    for id in ["", "../x", "a/b", "-x", "."] {
        let forge = Forge::claude(&victim.machine).manifest(move |manifest| manifest["native_id"] = id.into());
        victim.refuses(id, &forge.write(), 128, "not a native session id");
    }
}

#[test]
fn the_transcript_is_one_and_is_one() {
    let victim = Victim::new();
    let machine = &victim.machine;
    let mut none = Forge::claude(machine).add(Entry::file(own("x"), "x"));
    none.files.pop();
    victim.refuses("none", &none.write(), 128, "0 transcripts");
    let two = Forge::claude(machine).add(Entry::file(format!("session/projects/other/{CLAUDE_FORGED}.jsonl"), "{}\n"));
    victim.refuses("two", &two.write(), 128, "2 transcripts");
    let archived = rollout(CODEX_FORGED).replace("sessions/2026/11/21", "session/archived_sessions");
    let two = Forge::codex(machine).add(Entry::file(archived, format!("{}\n", rollout_meta(CODEX_FORGED))));
    victim.refuses("two of Codex", &two.write(), 128, "2 transcripts");
    for (what, content) in
        [("not JSON", "to whom it may concern\n"), ("binary", "\x7fELF\x02\x01\x01\n"), ("empty", ""), ("no newline", "{}")]
    {
        for mut forge in [Forge::claude(machine), Forge::codex(machine)] {
            forge.files[0].content = content.into();
            victim.refuses(what, &forge.write(), 128, "is not a session transcript");
        }
    }
}

#[test]
fn a_manifest_that_lies_is_found_out() {
    let victim = Victim::new();
    let forge = || Forge::claude(&victim.machine).add(Entry::file(own("x"), "x")).add(Entry::file(own("y"), "y"));
    let lie = |what: &str, says: &str, lie: fn(&mut Value)| {
        victim.refuses(what, &forge().manifest(lie).write(), 128, says).hints("get the capsule again");
    };
    lie("size", "is not the file it lists", |m| m["files"][1]["size"] = 2.into());
    lie("hash", "is not the file it lists", |m| m["files"][1]["sha256"] = "0".repeat(64).into());
    lie("order", "where", |m| m["files"].as_array_mut().expect("files").swap(0, 1));
    lie("a file too many", "lists 4 files, and there are 3", |m| {
        let one = m["files"][0].clone();
        m["files"].as_array_mut().expect("files").push(one);
    });
    lie("a file too few", "lists 2 files, and there are 3", |m| drop(m["files"].as_array_mut().expect("files").pop()));
    lie("a path that leaves", "its manifest", |m| m["files"][1]["path"] = "../x".into());
    lie("another sid", "different sessions", |m| m["sid"] = "a".repeat(26).into());
    lie("another agent", "different sessions", |m| m["agent"] = "codex".into());
    lie("another native id", "not that of its native session", |m| m["native_id"] = CLAUDE.into());
    lie("no native id", "native_id", |m| drop(m.as_object_mut().expect("an object").remove("native_id")));
    lie("a negative size", "its manifest", |m| m["files"][0]["size"] = (-1).into());
    lie("not an object", "its manifest", |m| m["files"] = json!({"a": 1}));
    let unlisted = Forge::claude(&victim.machine).add(Entry::file(own("x"), "x").unlisted());
    victim.refuses("a file that is not listed", &unlisted.write(), 128, "lists 1 files, and there are 2");
    // One sid for both, and it is not that of the native id.
    let forged = Forge::claude(&victim.machine).both(|json| json["sid"] = "a".repeat(26).into());
    victim.refuses("a forged sid", &forged.write(), 128, "not that of its native session");
    let wild = Forge::claude(&victim.machine).both(|json| json["sid"] = "../../etc".into());
    victim.refuses("a sid that is a path", &wild.write(), 128, "not a session id");
}

#[test]
fn newer_formats_and_unknown_demands_are_refused_and_unknown_fields_are_not() {
    let victim = Victim::new();
    let machine = &victim.machine;
    let newer = |part: &str| format!("samesession.{part}/2");
    let header = Forge::claude(machine).header(move |header| header["schema"] = newer("capsule").into());
    victim.refuses("newer header", &header.write(), 128, "format version 2").hints("a newer git-samesession");
    let manifest = Forge::claude(machine).manifest(move |manifest| manifest["schema"] = newer("manifest").into());
    victim.refuses("newer manifest", &manifest.write(), 128, "format version 2").hints("a newer git-samesession");
    let other = Forge::claude(machine).header(|header| header["schema"] = "tarball/1".into());
    victim.refuses("something else's", &other.write(), 128, "the schema of something else");
    for forge in [
        Forge::claude(machine).header(|header| header["requires"] = json!(["teleport"])),
        Forge::claude(machine).manifest(|manifest| manifest["requires"] = json!(["teleport"])),
    ] {
        victim.refuses("a capability", &forge.write(), 128, "requires 'teleport'").hints("a newer git-samesession");
    }
    let agent = Forge::claude(machine).both(|json| json["agent"] = "skynet".into());
    victim.refuses("an agent", &agent.write(), 128, "'skynet' is not an agent").hints("known agents: claude, codex");

    let more = Forge::claude(machine).both(|json| json["mood"] = "fine".into()).manifest(|manifest| {
        manifest["origin"]["planet"] = "earth".into();
        manifest["files"][0]["colour"] = "blue".into();
    });
    let capsule = more.write();
    let seen = machine.json(["inspect".as_ref(), capsule.as_os_str()]);
    let manifest = &seen["manifest"];
    assert_eq!((&manifest["mood"], &manifest["origin"]["planet"]), (&json!("fine"), &json!("earth")));
    assert_eq!(manifest["files"][0]["colour"], "blue");
    victim.restore(&capsule).ok();
}

#[test]
fn every_part_is_there_once_and_in_its_place() {
    let victim = Victim::new();
    let forge = Forge::claude(&victim.machine);
    let [header, transcript, manifest, signature] = <[Entry; 4]>::try_from(forge.entries()).ok().expect("four entries");
    let stray = || Entry::file(own("x"), "x");
    let orders: [(&str, i32, &str, Vec<&Entry>); 9] = [
        ("nothing", 128, "it is empty", vec![]),
        ("no header", 128, "does not begin with capsule.json", vec![&transcript, &manifest, &signature]),
        ("header only", 128, "there is no manifest", vec![&header]),
        ("no manifest", 128, "there is no manifest", vec![&header, &transcript]),
        ("manifest first", 128, "stands behind the manifest", vec![&header, &manifest, &transcript, &signature]),
        ("signature first", 128, "not a place for files", vec![&header, &signature, &transcript, &manifest]),
        ("two manifests", 128, "stands behind the manifest", vec![&header, &transcript, &manifest, &manifest, &signature]),
        ("two signatures", 128, "stands behind the manifest", vec![&header, &transcript, &manifest, &signature, &signature]),
        ("no signature", 1, "not signed", vec![&header, &transcript, &manifest]),
    ];
    for (what, code, says, order) in orders {
        let entries: Vec<Entry> = order.into_iter().cloned().collect();
        victim.refuses(what, &forge.write_entries(&entries), code, says);
    }
    let mut behind = forge.entries();
    behind.push(stray());
    victim.refuses("a file behind it all", &forge.write_entries(&behind), 128, "stands behind the manifest");
}

#[test]
fn nothing_hides_behind_an_end() {
    let victim = Victim::new();
    let forge = Forge::claude(&victim.machine);
    let whole = archive(&forge.entries());
    let with = |more: &[u8]| [&whole, more].concat();
    victim.refuses("bytes", &forge.write_packed(&pack(&with(b"hidden"))), 128, "something stands behind its end");
    let entry = unfinished(&[Entry::file(own("x"), "x")]);
    victim.refuses("an entry", &forge.write_packed(&pack(&with(&entry))), 128, "something stands behind its end");
    victim.refuses("zeros", &forge.write_packed(&pack(&with(&vec![0; 4 << 20]))), 128, "something stands behind its end");
    // The second block of zeros is missing, and an entry stands there instead.
    let mut one_block = unfinished(&forge.entries());
    one_block.extend([0; 512]);
    one_block.extend(&entry);
    victim.refuses("after one block", &forge.write_packed(&pack(&one_block)), 128, "something stands behind its end");
    let frames = [pack(&whole), pack(b"hidden")].concat();
    victim.refuses("a second frame", &forge.write_packed(&frames), 128, "something stands behind its end");
    let skippable = [pack(&whole), [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0].to_vec(), b"hide".to_vec()].concat();
    victim.refuses("a frame to skip", &forge.write_packed(&skippable), 128, "something stands behind its end");
    let sealed = forge.seal(&pack(&whole));
    victim.refuses("garbage behind the seal", &forge.write_sealed(&[&sealed[..], b"garbage"].concat()), 128, "damaged");
    victim.refuses("a second seal", &forge.write_sealed(&[&sealed[..], &sealed].concat()), 128, "damaged");
    // Padding of tar to whole records is nothing.
    victim.restore(&forge.write_packed(&pack(&with(&vec![0; 8192])))).ok();
}

/// One zstd frame: these bytes, then a zero 128 KiB long as often as wanted, each in four bytes.
fn bomb(start: &[u8], blocks: usize) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let mut block = |kind: u32, size: usize, last: bool, content: &[u8]| {
        frame.extend(&(u32::from(last) | kind << 1 | (size as u32) << 3).to_le_bytes()[..3]);
        frame.extend(content);
    };
    for part in start.chunks(1 << 17) {
        block(0, part.len(), false, part);
    }
    for n in 1..=blocks {
        block(1, 1 << 17, n == blocks, &[0]);
    }
    frame
}

#[test]
fn bombs_are_stopped_early_and_in_little_memory() {
    let victim = Victim::new();
    let forge = Forge::claude(&victim.machine);
    let claims = |mut entry: Entry, size: u64| {
        entry.claims = Some(size);
        unfinished(&[forge.header_entry(), entry])
    };
    let zeros = 8u64 << 30;
    let packed = bomb(&claims(Entry::file(own("zeros"), ""), zeros), 1 << 16);
    assert!(packed.len() < 300 << 10);
    refused_cheaply(&victim, "8 GiB of zeros", &forge.write_packed(&packed), "1000 times its size");
    let torn = format!("torn/projects/-src-app/{CLAUDE_FORGED}.jsonl");
    let packed = bomb(&claims(Entry::file(torn, ""), zeros), 1 << 16);
    refused_cheaply(&victim, "8 GiB of torn zeros", &forge.write_packed(&packed), "1000 times its size");
    let packed = bomb(&archive(&forge.entries()), 1 << 14);
    refused_cheaply(&victim, "zeros behind the end", &forge.write_packed(&packed), "something stands behind its end");
    for size in [1 << 40, u64::MAX - 511, u64::MAX] {
        let packed = bomb(&claims(Entry::file(own("huge"), ""), size), 16);
        refused_cheaply(&victim, &format!("a size of {size}"), &forge.write_packed(&packed), "");
    }
    // A window of 2 GiB, which the unpacker would have to set aside.
    let mut window = bomb(&archive(&forge.entries()), 1);
    window[5] = 21 << 3;
    refused_cheaply(&victim, "a huge window", &forge.write_packed(&window), "");
}

#[test]
fn a_bomb_inside_a_packed_rollout_is_one_too() {
    let victim = Victim::new();
    let name = format!("session/{}.zst", rollout(CODEX_FORGED));
    let meta = format!("{}\n", rollout_meta(CODEX_FORGED));
    let capsule = Forge::empty("codex", CODEX_FORGED, &victim.machine).add(Entry::file(&name, bomb(meta.as_bytes(), 1 << 15))).write();
    refused_cheaply(&victim, "4 GiB on one line", &capsule, "1000 times its size");
    // Where it would be unpacked, because a plain one is here.
    victim.restore(&Forge::codex(&victim.machine).write()).ok();
    fs::remove_dir_all(victim.machine.codex().join(".samesession")).expect("removed");
    let capsule = Forge::empty("codex", CODEX_FORGED, &victim.machine).add(Entry::file(&name, bomb(meta.as_bytes(), 1 << 15))).write();
    refused_cheaply(&victim, "4 GiB to unpack", &capsule, "1000 times its size");
    let garbage = Forge::empty("codex", CODEX_FORGED, &victim.machine).add(Entry::file(&name, "not zstd")).write();
    refused_cheaply(&victim, "not zstd at all", &garbage, "");
}

#[test]
fn absurd_counts_and_lengths_are_refused_in_little_memory() {
    let victim = Victim::new();
    let forge = Forge::claude(&victim.machine);
    let header = unfinished(&[forge.header_entry()]);
    let many = |count: usize, name: &dyn Fn(usize) -> String| {
        let mut out = header.clone();
        (0..count).for_each(|n| out.extend(unfinished(&[Entry::file(name(n), "")])));
        forge.write_packed(&pack(&out))
    };
    refused_cheaply(&victim, "200,000 files", &many(200_000, &|n| own(&n.to_string())), "larger than allowed");
    let long = format!("{}/", "l".repeat(250)).repeat(15);
    refused_cheaply(&victim, "30,000 names of 3,800 bytes", &many(30_000, &|n| own(&format!("{long}{n}"))), "larger than allowed");

    let with = |entry: Entry| forge.write_packed(&pack(&[&header[..], &unfinished(&[entry])].concat()));
    let huge = |kind, name: &str| {
        let mut entry = Entry::special(kind, name, "");
        entry.content = vec![b'a'; 64 << 20];
        entry
    };
    refused_cheaply(&victim, "a name of 64 MiB", &with(huge(EntryType::GNULongName, "././@LongLink")), "a name has");
    refused_cheaply(&victim, "a pax header of 64 MiB", &with(huge(EntryType::XHeader, "pax")), "another kind");
    refused_cheaply(&victim, "a manifest of 64 MiB", &with(huge(EntryType::Regular, "manifest.json")), "its manifest has");
    let numbers =
        |count: usize| [b"{\"schema\":\"samesession.manifest/1\",\"x\":[".to_vec(), b"0,".repeat(count), b"0]}".to_vec()].concat();
    refused_cheaply(
        &victim,
        "a manifest of 30 million numbers",
        &with(Entry::file("manifest.json", numbers(30 << 20))),
        "its manifest has",
    );
    refused_cheaply(&victim, "a manifest of a million numbers", &with(Entry::file("manifest.json", numbers(500 << 10))), "its manifest");
    refused_cheaply(&victim, "a deep manifest", &with(Entry::file("manifest.json", "[".repeat(900 << 10))), "its manifest");
    let mut signature = forge.entries();
    signature[3].content = vec![b'a'; 64 << 20];
    refused_cheaply(&victim, "a signature of 64 MiB", &forge.write_entries(&signature), "its signature has");
    let header = forge.write_entries(&[Entry::file("capsule.json", vec![b' '; 64 << 20])]);
    refused_cheaply(&victim, "a header of 64 MiB", &header, "its header has");
}

#[test]
fn a_huge_age_header_costs_nothing() {
    let victim = Victim::new();
    let forge = Forge::claude(&victim.machine);
    let stanzas = |count: usize| {
        let body = "A".repeat(43);
        let stanza = format!("-> X25519 {body}\n{body}\n");
        let text = format!("age-encryption.org/v1\n{}--- {body}\n", stanza.repeat(count));
        forge.write_sealed(&[text.as_bytes(), &[0; 100]].concat())
    };
    refused_cheaply(&victim, "100,000 recipients", &stanzas(100_000), "header is longer");
    refused_cheaply(&victim, "2,500 recipients", &stanzas(2_500), "");
    refused_cheaply(
        &victim,
        "a line without end",
        &forge.write_sealed(&[b"age-encryption.org/v1\n-> ", &[b'a'; 4 << 20][..]].concat()),
        "",
    );
}

#[test]
fn too_much_work_per_passphrase_is_not_done() {
    let victim = Victim::new();
    let secret = victim.sandbox.path().join("passphrase");
    fs::write(&secret, "open sesame\n").expect("written");
    let body = "A".repeat(43);
    for work in [30, 40, 63] {
        let text = format!("age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA {work}\n{body}\n--- {body}\n");
        let file = Forge::claude(&victim.machine).write_sealed(&[text.as_bytes(), &[0; 100]].concat());
        let begun = Instant::now();
        let options = [Path::new("restore"), &file, Path::new("--passphrase-file"), &secret];
        victim.unchanged_by("work", 128, &format!("too much work per passphrase (2^{work})"), || victim.machine.run(options));
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn modes_are_the_owners_business() {
    let victim = Victim::new();
    let mut forge = Forge::claude(&victim.machine);
    for (n, mode) in [0o4777, 0o2777, 0o1777, 0o666, 0o644, 0o000, 0o700, u32::MAX].into_iter().enumerate() {
        forge = forge.add(Entry::file(own(&n.to_string()), "x"));
        forge.files[0].mode = mode & 0o7777;
        forge = forge.manifest(move |manifest| {
            let files = manifest["files"].as_array_mut().expect("files");
            let one = files.iter_mut().find(|file| file["path"] == own(&n.to_string())).expect("it is listed");
            one["mode"] = mode.into();
        });
    }
    victim.restore(&forge.write()).ok();
    for n in 0..8 {
        let file = victim.machine.claude_project().join(CLAUDE_FORGED).join(n.to_string());
        let mode = fs::metadata(&file).expect("it arrived").permissions().mode() & 0o7777;
        assert!(mode == 0o600 || mode == 0o700, "{}: {mode:o}", file.display());
    }
}

#[test]
fn capsules_may_be_called_like_options() {
    let victim = Victim::new();
    let machine = victim.machine.at(victim.sandbox.path().join("here"));
    fs::rename(Forge::claude(&machine).write(), machine.cwd.join("-x.capsule")).expect("renamed");
    machine.run(["restore", "--dry-run", "./-x.capsule"]).ok();
    machine.run(["inspect", "--", "-x.capsule"]).ok();
    assert_eq!(machine.run(["restore", "-x.capsule"]).code(), Some(129));
    machine.run(["restore", "--", "-x.capsule"]).ok();
    let out = machine.cwd.join("--force");
    machine.run(["checkpoint", CLAUDE_FORGED, "--output", "--force"]).fails_with(129);
    machine.run(["checkpoint", CLAUDE_FORGED, "--output=--force"]).ok();
    assert!(out.exists());
    machine.run(["checkpoint", CLAUDE_FORGED, "-o", "x", "--recipient=-r"]).fails(128, "recipient '-r'");
}

const STEERING: &str = "\x1b]0;owned\x07\x1b[2J\u{9b}31m\u{202e}title\nerror: not yours";

#[test]
fn text_from_strangers_does_not_steer_the_terminal_and_stays_whole_in_json() {
    let victim = Victim::new();
    let machine = &victim.machine;
    let forge = Forge::claude(machine).add(Entry::file(own("a\x1b[2Jb\nhint: c"), "x")).manifest(|manifest| {
        manifest["title"] = STEERING.into();
        manifest["agent_version"] = STEERING.into();
        manifest["created"] = STEERING.into();
        manifest["origin"]["device"] = STEERING.into();
        manifest["origin"]["cwd"] = STEERING.into();
        manifest["files"][0]["role"] = STEERING.into();
    });
    let capsule = forge.write();
    let shown = |args: &[&std::ffi::OsStr]| {
        let ran = machine.run(args);
        let all = ran.stdout() + &ran.stderr();
        let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!all.contains(steers), "{args:?}: {all:?}");
        assert!(!all.lines().any(|line| line.starts_with("error: not yours") || line.starts_with("hint: c")), "{all}");
        ran
    };
    let inspect = machine.json(["inspect".as_ref(), capsule.as_os_str()]);
    assert_eq!(inspect["manifest"]["title"], STEERING);
    shown(&["inspect".as_ref(), capsule.as_ref()]).ok();
    shown(&["restore".as_ref(), "--dry-run".as_ref(), capsule.as_ref()]).ok();
    let done = machine.json(["restore".as_ref(), capsule.as_os_str()]);
    assert_eq!(done["title"], STEERING);
    shown(&["show".as_ref(), CLAUDE_FORGED.as_ref()]).ok();
    shown(&["checkpoint".as_ref(), CLAUDE_FORGED.as_ref(), "--dry-run".as_ref()]).ok();
    // In errors, too.
    for forge in [
        Forge::claude(machine).both(|json| json["agent"] = STEERING.into()),
        Forge::claude(machine).header(|json| json["requires"] = json!([STEERING])),
        Forge::claude(machine).manifest(|json| json["native_id"] = STEERING.into()),
        Forge::claude(machine).add(Entry::file("session/\x1b[2J\nerror: not yours", "x")),
        Forge::claude(machine).add(Entry::special(EntryType::Symlink, "\x1b[2J\nerror: not yours", "x")),
    ] {
        let file = forge.write();
        shown(&["restore".as_ref(), file.as_ref()]).fails_with(128);
    }
}

#[test]
fn where_it_came_from_does_not_decide_where_it_goes() {
    for below in ["../../..", "/etc", "a/../../..", ".git", "link", "absent", "\u{0}", "%2e%2e", "src%zz"] {
        let victim = Victim::new();
        let machine = &victim.machine;
        std::os::unix::fs::symlink("/", machine.cwd.join("link")).expect("linked");
        fs::create_dir(machine.cwd.join(".git")).expect("made");
        let forge = Forge::claude(machine).manifest(move |manifest| {
            manifest["repository"] = json!({"root": "/", "below": below, "branch": "--upload-pack=x", "head": "-x"});
            manifest["origin"] = json!({"device": "", "home": "/etc", "cwd": "../../../etc"});
        });
        let done = machine.json(["restore".as_ref(), forge.write().as_os_str(), "--into".as_ref(), machine.cwd.as_os_str()]);
        assert_eq!(done["cwd"], machine.cwd.to_str().expect("UTF-8"), "{below}");
        assert!(machine.claude_project().join(format!("{CLAUDE_FORGED}.jsonl")).exists(), "{below}");
    }
}

/// A pipe where a transcript is expected would keep whoever opens it waiting for ever.
#[test]
fn a_pipe_among_the_sessions_holds_nobody_up() {
    let victim = Victim::new();
    let pipe = victim.machine.claude_project().join("dddddddd-0001-4000-8000-000000000001.jsonl");
    assert!(victim.machine.command("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let mut list = victim.machine.command("timeout");
    let listed = Ran(list.args(["-s", "KILL", "20", "git", "samesession", "sessions", "--all"]).output().expect("timeout")).ok();
    assert!(listed.stdout().contains("aaaaaaaa-0001") && listed.stderr().contains("not a regular file"), "{}", listed.stderr());
}

/// Believing the signer and being able to use the capsule are two things; the second failing undoes nothing of the first,
/// because the first has not happened yet.
#[test]
fn a_signer_is_remembered_only_with_something_to_remember_it_for() {
    let victim = Victim::new();
    let stranger = victim.sandbox.machine("stranger");
    stranger.init();
    let capsule: PathBuf = Forge::claude(&victim.machine).signed_by(&stranger).add(Entry::file("session/projects/x/y", "x")).write();
    let trust = stranger.fingerprint();
    let args = ["restore".as_ref(), capsule.as_os_str(), "--trust".as_ref(), trust.as_ref()];
    victim.unchanged_by("foreign", 128, "does not belong", || victim.machine.run(args));
    let mut broken = Forge::claude(&victim.machine).signed_by(&stranger);
    broken.files[0].content = b"nonsense\n".to_vec();
    broken.write();
    victim.unchanged_by("no transcript", 128, "is not a session transcript", || victim.machine.run(args));
    let before = snapshot(&victim.machine.home.join(".config"));
    Forge::claude(&victim.machine).signed_by(&stranger).write();
    victim.machine.run(args).ok();
    assert_ne!(snapshot(&victim.machine.home.join(".config")), before);
}
