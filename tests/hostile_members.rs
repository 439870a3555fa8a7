//! Capsules by a malicious member: on the roster that the victim has joined, with a good signature, sealed to the victim.
//!
//! Each is refused in one clear line with nothing written, whoever vouches for its maker. What `hostile` tries as files
//! comes as checkpoints here, and one of each kind as a file.

use serde_json::{Value, json};

use crate::hostile::{CLAUDES_OWN, CODEXS_OWN, bad_names, own_of};
use crate::hostile_chains::Scene;
use crate::support::clones::{OTHER, SESSION, sid_of};
use crate::support::forge::{CODEX_FORGED, Entry, Forge, Victim, hash, rollout, rollout_meta};
use crate::support::sandbox::snapshot;

impl Scene {
    /// A small session of the maker's, sealed to the victim.
    fn forge(&self) -> Forge {
        let line = json!({"type": "user", "sessionId": SESSION, "cwd": "/src/app", "message": {"content": "hello"}});
        let transcript = Entry::file(format!("session/projects/-src-app/{SESSION}.jsonl"), format!("{line}\n"));
        Forge::empty("claude", SESSION, &self.victim).signed_by(&self.maker).add(transcript)
    }

    /// As the newest checkpoint of the session's chain.
    #[track_caller]
    fn refuses_made(&self, what: &str, forge: &Forge, says: &str) {
        self.refuses(what, &self.next().holding(&forge.entries()).commit(), 128, says);
    }

    /// As a file, too.
    #[track_caller]
    fn refuses_both(&self, what: &str, forge: &Forge, says: &str) {
        let file = forge.write();
        let before = snapshot(&self.victim.home);
        let ran = self.victim.run_here(["restore".as_ref(), file.as_os_str()]).fails(128, says);
        assert!(ran.stdout().is_empty() && !ran.stderr().contains("panicked"), "{what}: {}", ran.stderr());
        assert!(snapshot(&self.victim.home) == before, "{what}: something was written");
        self.refuses_made(what, forge, says);
    }
}

#[test]
fn an_honest_capsule_of_a_member_is_restored_from_both_containers() {
    let scene = Scene::new();
    let forge = scene.forge().add(Entry::file(own_of(SESSION, "tool-results/a.txt"), "out"));
    scene.victim.run_here(["restore".as_ref(), forge.write().as_os_str()]).ok();
    let said = scene.victim.heard();
    std::fs::remove_dir_all(scene.victim.claude()).expect("gone");
    scene.show(&scene.next().holding(&forge.entries()).commit());
    scene.victim.run_here(["restore", SESSION]).ok();
    assert_eq!(scene.victim.heard(), said);
    assert!(scene.victim.claude_project().join(SESSION).join("tool-results/a.txt").exists());
}

#[test]
fn names_cannot_leave_their_place_or_mean_another_elsewhere() {
    let scene = Scene::new();
    for (bad, says) in bad_names(SESSION) {
        // As a long name of a tar stream it is refused for its length alone.
        let says = if says == "name has" { "" } else { says };
        scene.refuses_made(&bad.chars().take(80).collect::<String>(), &scene.forge().add(Entry::file(&bad, "x")), says);
    }
    let two = |a: &str, b: &str| scene.forge().add(Entry::file(own_of(SESSION, a), "a")).add(Entry::file(own_of(SESSION, b), "b"));
    for (a, b, says) in [
        ("x", "x", "twice"),
        ("notes", "NOTES", "one file on some systems"),
        ("é", "É", "one file on some systems"),
        ("x", "x/y", "a file and a directory"),
        ("X", "x/y", "a file and a directory"),
    ] {
        scene.refuses_made(&format!("{a} and {b}"), &two(a, b), says);
    }
    scene.refuses_both("twice", &two("x", "x"), "twice");
    scene.refuses_both("out", &scene.forge().add(Entry::file("session/../../x", "x")), "it leaves its directory");
}

#[test]
fn nothing_in_an_agents_home_but_the_session_itself() {
    let scene = Scene::new();
    for name in CLAUDES_OWN {
        scene.refuses_made(name, &scene.forge().add(Entry::file(format!("session/{name}"), "{}\n")), "does not belong to the session");
    }
    let torn = scene.forge().add(Entry::file("torn/settings.json", "{"));
    scene.refuses_both("torn", &torn, "does not belong to the session");
    let other = Entry::file(format!("session/projects/-src-app/{OTHER}.jsonl"), "{}\n");
    scene.refuses_both("another session's", &scene.forge().add(other), "does not belong to the session");
}

/// A chain of Codex's is another one, so these come as files.
#[test]
fn nothing_in_codexs_home_but_the_thread_itself() {
    let (scene, none) = (Scene::new(), Victim::new());
    for name in CODEXS_OWN.iter().step_by(3) {
        let forge = Forge::codex(&scene.victim).signed_by(&scene.maker).add(Entry::file(format!("session/{name}"), "{}\n"));
        let file = forge.write();
        let before = snapshot(&scene.victim.home);
        scene.victim.run_here(["restore".as_ref(), file.as_os_str()]).fails(128, "does not belong to the session");
        assert!(snapshot(&scene.victim.home) == before, "{name}");
    }
    // Of a stranger, who is on nobody's roster, nothing is looked at.
    let honest = Forge::codex(&none.machine).signed_by(&scene.maker).write();
    none.refuses("a stranger's", &honest, 1, "signed by a key that this device does not know");
    let meta = format!("{}\n", rollout_meta(CODEX_FORGED));
    let mine = Forge::empty("codex", CODEX_FORGED, &scene.victim).signed_by(&scene.maker);
    let mine = mine.add(Entry::file(format!("session/{}", rollout(CODEX_FORGED)), meta)).write();
    scene.victim.run_here(["restore".as_ref(), mine.as_os_str()]).ok();
}

#[test]
fn a_members_manifest_that_lies_is_found_out() {
    let scene = Scene::new();
    let forge = || scene.forge().add(Entry::file(own_of(SESSION, "x"), "x")).add(Entry::file(own_of(SESSION, "y"), "y"));
    let theirs = sid_of(OTHER);
    type Lie = Box<dyn Fn(&mut Value)>;
    let lies: [(&str, &str, Lie); 8] = [
        ("a hash", "is not the file it lists", Box::new(|m| m["files"][1]["sha256"] = "0".repeat(64).into())),
        ("an absurd size", "", Box::new(|m| m["files"][1]["size"] = u64::MAX.into())),
        ("a negative size", "its manifest", Box::new(|m| m["files"][0]["size"] = (-1).into())),
        ("another session", "different sessions", Box::new(move |m| m["sid"] = theirs.clone().into())),
        ("another agent", "different sessions", Box::new(|m| m["agent"] = "codex".into())),
        ("another native id", "not that of its native session", Box::new(|m| m["native_id"] = OTHER.into())),
        ("a native id that is a path", "not a native session id", Box::new(|m| m["native_id"] = "../x".into())),
        ("what nobody knows", "requires 'teleport'", Box::new(|m| m["requires"] = json!(["teleport"]))),
    ];
    for (what, says, lie) in lies {
        scene.refuses_made(what, &forge().manifest(lie), says);
    }
    let other = forge().manifest(|m| m["files"][1]["sha256"] = "0".repeat(64).into());
    scene.refuses_both("a hash", &other, "is not the file it lists");
    let many = scene.forge().manifest(|manifest| {
        let files = manifest["files"].as_array_mut().expect("files");
        let one = json!({"role": "sidecar", "size": 0, "mode": 384, "mtime": "2026-11-21T04:03:02.746Z", "sha256": hash(b"")});
        files.extend((0..50_001).map(|n| {
            let mut one = one.clone();
            one["path"] = json!(own_of(SESSION, &n.to_string()));
            one
        }));
    });
    scene.refuses_made("50,001 files", &many, "larger than allowed");
}
