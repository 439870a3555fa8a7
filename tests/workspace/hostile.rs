//! Workspaces that are not what they say, in a capsule whose signature is good: refused in one clear line, nothing written.
//!
//! Each is an honest capsule taken apart, lied in, put together and signed again by its own maker, whom the victim knows.

use std::io::Read;

use samesession::seal::NAMESPACE;
use serde_json::{Value, json};

use crate::support::clones::{SESSION, sid, tracking_ref};
use crate::support::forge::{Entry, Forge, hash, pack, signing_key, tar, unseal};
use crate::support::forged::Forged;
use crate::support::sandbox::Machine;

use super::scene::{Scene, assert_nothing_done};
use super::submodules::known;

const MODEL: &str = "workspace/workspace.json";

type Lie = fn(&mut Value);
type Bend = fn(&mut Vec<u8>);

struct Attack {
    scene: Scene,
    entries: Vec<Entry>,
}

impl Attack {
    fn new() -> Attack {
        let scene = Scene::new();
        scene.laptop.puts("local", "only here\n");
        scene.laptop.commits("local");
        scene.laptop.puts("new", "new\n");
        scene.laptop.puts("one", "staged\n");
        scene.laptop.git(["add", "one"]);
        let file = scene.seals(SESSION);
        Attack::of(scene, &file)
    }

    fn of(scene: Scene, capsule: &str) -> Attack {
        let plain = unseal(capsule.as_ref(), &scene.desktop);
        let mut entries = Vec::new();
        for entry in tar::Archive::new(&plain[..]).entries().expect("a tar stream") {
            let mut entry = entry.expect("an entry");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("read");
            entries.push(Entry::file(entry.path_bytes(), bytes));
        }
        Attack { scene, entries }
    }

    fn model(&self) -> Value {
        let entry = self.entries.iter().find(|entry| entry.name == MODEL.as_bytes()).expect("a workspace");
        serde_json::from_slice(&entry.content).expect("JSON")
    }

    /// A file that the workspace puts there, with what `new` has.
    fn file(&self, path: &str) -> Value {
        let mut file = self.model()["files"].as_array().expect("files").iter().find(|file| file["path"] == "new").expect("new").clone();
        file["path"] = json!(path);
        file
    }

    fn write(&self, lie: impl Fn(&mut Value), more: &[Entry]) -> String {
        self.write_with(lie, |_| {}, more)
    }

    fn write_with(&self, lie: impl Fn(&mut Value), bend: impl Fn(&mut Entry), more: &[Entry]) -> String {
        let forge = Forge::claude(&self.scene.desktop);
        forge.write_packed(&pack(&tar(&self.bent(lie, bend, more)))).to_str().expect("UTF-8").to_owned()
    }

    /// The model with a lie in it, other bytes in the files, more files; listed and signed as if they were true.
    fn bent(&self, lie: impl Fn(&mut Value), bend: impl Fn(&mut Entry), more: &[Entry]) -> Vec<Entry> {
        let mut model = self.model();
        lie(&mut model);
        let mut entries = self.entries.clone();
        let at = entries.iter().position(|entry| entry.name == MODEL.as_bytes()).expect("a workspace");
        more.iter().for_each(|entry| entries.insert(at, entry.clone()));
        let mut manifest = Value::Null;
        for entry in &mut entries {
            if entry.name == MODEL.as_bytes() {
                entry.content = model.to_string().into_bytes();
            }
            bend(entry);
            if entry.name == b"manifest.json" {
                manifest = serde_json::from_slice(&entry.content).expect("JSON");
            }
        }
        let files = manifest["files"].as_array_mut().expect("files");
        for entry in entries.iter().filter(|entry| !entry.name.starts_with(b"manifest.") && entry.name != b"capsule.json") {
            let path = samesession::path::escape(&entry.name);
            if !files.iter().any(|file| file["path"] == json!(path)) {
                let mut file = files.iter().find(|file| file["path"] == MODEL).expect("the model").clone();
                file["path"] = json!(path);
                files.push(file);
            }
            let file = files.iter_mut().find(|file| file["path"] == json!(path)).expect("listed");
            file["size"] = json!(entry.content.len());
            file["sha256"] = json!(hash(&entry.content));
        }
        let text = manifest.to_string().into_bytes();
        let key = signing_key(&self.scene.laptop.home.join(".config/samesession/device"));
        let signature = key.sign(NAMESPACE, &text).expect("signed").into_bytes();
        for entry in &mut entries {
            match &entry.name[..] {
                b"manifest.json" => entry.content.clone_from(&text),
                b"manifest.json.sig" => entry.content.clone_from(&signature),
                _ => {}
            }
        }
        entries
    }

    /// As the newest checkpoint of the session's chain, by its maker.
    fn show(&self, tip: &str, entries: &[Entry]) {
        let (laptop, desktop) = (&self.scene.laptop, &self.scene.desktop);
        let forged = Forged::of(laptop, desktop, tip).after(tip).holding(entries).commit();
        // Nobody has seen the one before.
        desktop.git(["update-ref", &format!("refs/samesession-seen/origin/sessions/{}", sid()), tip]);
        desktop.git(["update-ref", &tracking_ref(), &forged]);
        let _ = std::fs::remove_file(desktop.home.join("forged-index"));
    }

    #[track_caller]
    fn refused(&self, what: &str, capsule: &str, codes: &[i32], says: &str) {
        // What was begun here and taken back stands in HEAD's reflog, as everything that Git did.
        let desktops = || self.scene.desktops().into_iter().filter(|(path, _)| !path.ends_with("logs/HEAD")).collect::<Vec<_>>();
        let before = desktops();
        for options in [&[][..], &["--here"], &["--accept-config", "--force-repository", "--branch"]] {
            let ran = self.scene.desktop.run_here([&["restore", capsule], options].concat());
            let (code, said) = (ran.code().expect("an exit code"), ran.stderr());
            assert!(codes.contains(&code), "{what}: {code}\n{}\n{said}", ran.stdout());
            let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
            assert!(errors.len() == 1 && said.contains(says) && !said.contains("panicked"), "{what}: expected '{says}' in:\n{said}");
            assert!(ran.stdout().is_empty(), "{what}");
            assert_nothing_done(&before, &desktops(), what);
            assert!(!self.scene.origin.join("../x").exists() && self.scene.desktop.worktrees() == 1, "{what}");
        }
    }
}

#[test]
fn put_together_again_unchanged_it_is_restored() {
    let attack = Attack::new();
    let capsule = attack.write(|_| {}, &[]);
    let told = attack.scene.desktop.run_here(["restore", &capsule, "--json"]).ok().json();
    attack.scene.assert_arrived(&attack.scene.desktop.at(told["workspace"]["work_tree"].as_str().expect("a place")));
}

#[test]
fn places_that_are_not_the_work_trees_are_refused() {
    let attack = Attack::new();
    for path in [
        ".git/hooks/post-checkout",
        ".GIT/config",
        "git~1/config",
        ".g\u{200c}it/config",
        "sub/.git/hooks/post-checkout",
        "../x",
        "dir/../../x",
        "/tmp/x",
        "dir//x",
        "./x",
        "",
        "dir/",
        ".gitmodules/.git/x",
    ] {
        let file = attack.file(path);
        let capsule = attack.write(|model| model["files"].as_array_mut().expect("files").push(file.clone()), &[]);
        attack.refused(path, &capsule, &[128], "is no path for it");
        let oid = attack.model()["index"][0]["oid"].clone();
        let entry = json!({"path": path, "mode": "100755", "oid": oid});
        let capsule = attack.write(|model| model["index"].as_array_mut().expect("index").push(entry.clone()), &[]);
        attack.refused(path, &capsule, &[128], "is no path for it");
    }
}

#[test]
fn nothing_is_put_behind_a_link() {
    let attack = Attack::new();
    for to in ["/etc", "..", "dir", ".git"] {
        let (link, below) = (json!({"path": "a", "is": "link", "to": to}), attack.file("a/x"));
        let capsule = attack.write(|model| model["files"].as_array_mut().expect("files").extend([link.clone(), below.clone()]), &[]);
        attack.refused(to, &capsule, &[128], "is below what is no directory");
    }
    let link = json!({"path": ".gitmodules", "is": "link", "to": "/etc/passwd"});
    let capsule = attack.write(|model| model["files"].as_array_mut().expect("files").push(link.clone()), &[]);
    attack.refused(".gitmodules", &capsule, &[128], "'.gitmodules' is a link");
}

/// The link is not in the workspace, but in a commit that every clone has.
#[test]
fn nothing_is_put_behind_a_link_of_a_commit() {
    let scene = Scene::new();
    std::os::unix::fs::symlink(scene.sandbox.path().join("outside"), scene.laptop.cwd.join("leads")).expect("linked");
    std::fs::create_dir(scene.sandbox.path().join("outside")).expect("made");
    scene.laptop.commits("a link");
    scene.laptop.git(["push", "-q"]);
    scene.laptop.puts("new", "new\n");
    let file = scene.seals(SESSION);
    let attack = Attack::of(scene, &file);
    let below = attack.file("leads/x");
    let capsule = attack.write(|model| model["files"].as_array_mut().expect("files").push(below.clone()), &[]);
    attack.refused("a link of a commit", &capsule, &[1, 3, 128], "leads");
    assert_eq!(std::fs::read_dir(attack.scene.sandbox.path().join("outside")).expect("there").count(), 0);
}

/// Git itself would refuse to check it out there; a clone would not.
#[test]
fn no_submodule_is_checked_out_behind_a_link() {
    let scene = known();
    let url = scene.laptop.home.join("src/library");
    let list = format!("[submodule \"lib\"]\n\tpath = leads/lib\n\turl = {}\n", url.display());
    scene.laptop.puts(".gitmodules", list);
    scene.laptop.puts("new", "new\n");
    scene.laptop.say("a word");
    let file = scene.sandbox.path().join("honest").to_str().expect("UTF-8").to_owned();
    scene.laptop.run_here(["checkpoint", SESSION, "--submodules", "-o", &file, "-r", &scene.desktop.recipient()]).ok();
    // A clone of it is there, so that nothing has to be asked.
    scene.desktop.git(["checkout", "-q", "--detach", "origin/main"]);
    scene.desktop.git(["submodule", "--quiet", "update", "--init"]);
    let outside = scene.sandbox.path().join("outside");
    std::fs::create_dir(&outside).expect("made");
    let commit = scene.laptop.git(["rev-parse", "HEAD:lib"]);
    let attack = Attack::of(scene, &file);
    let link = json!({"path": "leads", "is": "link", "to": outside.to_str()});
    let entry = json!({"path": "leads/lib", "mode": "160000", "oid": commit.trim()});
    for gone in [false, true] {
        let capsule = attack.write(
            |model| {
                model["submodules"][0]["path"] = json!("leads/lib");
                model["index"].as_array_mut().map(|index| index.push(entry.clone())).unwrap_or_else(|| model["index"] = json!([entry]));
                let files = model["files"].as_array_mut().expect("files");
                files.push(link.clone());
                files.extend(gone.then(|| json!({"path": "leads/lib", "is": "gone"})));
            },
            &[],
        );
        let ran = attack.scene.desktop.run_here(["restore", &capsule, "--accept-config", "--json"]);
        assert!(ran.code() != Some(0) || ran.json()["notes"].to_string().contains("could not be put back"), "{}", ran.stdout());
        assert_eq!(std::fs::read_dir(&outside).expect("there").count(), 0, "{}{}", ran.stdout(), ran.stderr());
        drop(attack.scene.desktop.run_here(["undo"]));
    }
}

#[test]
fn what_did_not_come_along_and_what_nobody_names_is_refused() {
    let attack = Attack::new();
    let mut absent = attack.file("absent");
    absent["at"] = json!("workspace/files/absent");
    let capsule = attack.write(|model| model["files"].as_array_mut().expect("files").push(absent.clone()), &[]);
    attack.refused("absent", &capsule, &[128], "the content of 'absent' did not come with it");
    let mut session = attack.file("session");
    session["at"] = json!("session/projects/x");
    let capsule = attack.write(|model| model["files"].as_array_mut().expect("files").push(session.clone()), &[]);
    attack.refused("a file of the session", &capsule, &[128], "did not come with it");
    let capsule = attack.write(|_| {}, &[Entry::file("workspace/files/stranger", "x")]);
    attack.refused("a stranger", &capsule, &[128], "stranger");
    let capsule = attack.write_with(
        |_| {},
        |entry| {
            if entry.name == MODEL.as_bytes() {
                entry.content = b"{}".to_vec()
            }
        },
        &[],
    );
    attack.refused("no model", &capsule, &[128], "missing field");
    let capsule = attack.write(|model| model["x"] = json!(vec![0; 4 << 20]), &[]);
    attack.refused("numbers", &capsule, &[128], "says more than a work tree needs");
    let capsule = attack.write(|model| model["requires"] = json!(["time travel"]), &[]);
    attack.refused("newer", &capsule, &[128], "it needs 'time travel'");
}

#[test]
fn refs_and_objects_that_are_none_are_refused() {
    let attack = Attack::new();
    let lies: [(&str, Lie, &str); 5] = [
        ("no branch", |model| model["head"]["branch"] = json!("refs/remotes/origin/main"), "is no branch"),
        ("an option", |model| model["head"]["branch"] = json!("--upload-pack=x"), "is no branch"),
        ("out of refs", |model| model["head"]["branch"] = json!("refs/heads/../../x"), "is no branch"),
        ("another format", |model| model["identity"]["format"] = json!("sha256"), "of this format"),
        (
            "twice",
            |model| {
                let one = model["index"][0].clone();
                model["index"].as_array_mut().expect("index").push(one)
            },
            "twice",
        ),
    ];
    for (what, lie, says) in lies {
        attack.refused(what, &attack.write(lie, &[]), &[128], says);
    }
}

#[test]
fn a_pack_that_is_broken_is_taken_back_whole() {
    let attack = Attack::new();
    let is_pack = |entry: &Entry| entry.name == b"workspace/objects.pack";
    let bends: [(&str, Bend); 3] = [
        ("one byte", |pack| {
            let middle = pack.len() / 2;
            pack[middle] ^= 0x40
        }),
        ("cut short", |pack| pack.truncate(40)),
        ("no pack", |pack| *pack = b"#!/bin/sh\n".repeat(20)),
    ];
    for (what, bend) in bends {
        let mut size = 0;
        let capsule = {
            let mut bent = attack.entries.iter().find(|entry| is_pack(entry)).expect("a pack").content.clone();
            bend(&mut bent);
            size += bent.len();
            attack.write_with(
                |model| model["pack"]["size"] = json!(size),
                |entry| {
                    if is_pack(entry) {
                        entry.content.clone_from(&bent)
                    }
                },
                &[],
            )
        };
        attack.refused(what, &capsule, &[1, 3, 128], "pack");
    }
    let capsule = attack.write(|model| model["head"]["commit"] = json!("1".repeat(40)), &[]);
    attack.refused("a commit that is nowhere", &capsule, &[1, 3, 128], "1111111111");
    assert_sound(&attack.scene.desktop);
}

/// The same lies in checkpoints of a member of the roster, whom the victim believes for that alone.
#[test]
fn a_members_workspace_is_looked_at_as_anybodys() {
    let attack = Attack::new();
    let (laptop, desktop) = (&attack.scene.laptop, &attack.scene.desktop);
    laptop.run_here(["device", "join"]).ok();
    desktop.run_here(["device", "join"]).ok();
    laptop.run_here(["device", "approve", "desktop", "--fingerprint", &desktop.fingerprint()]).ok();
    desktop.run_here(["device", "join", "--trust", &laptop.fingerprint()]).ok();
    std::fs::remove_file(desktop.home.join(".config/samesession/known_signers")).expect("they were acquainted");
    laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
    desktop.run_here(["fetch"]).ok();
    let tip = desktop.rev(&tracking_ref());
    let [hook, out, link, below] = [".git/hooks/post-checkout", "../x", "a", "a/x"].map(|path| attack.file(path));
    let link = json!({"path": link["path"], "is": "link", "to": ".git/hooks"});
    type Model = Box<dyn Fn(&mut Value)>;
    let puts = |files: Vec<Value>| -> Model { Box::new(move |model| model["files"].as_array_mut().expect("files").extend(files.clone())) };
    let lies: [(&str, Model, &str); 6] = [
        ("a hook", puts(vec![hook]), "is no path for it"),
        ("out", puts(vec![out]), "is no path for it"),
        ("behind a link", puts(vec![link, below]), "is below what is no directory"),
        ("an option", Box::new(|model| model["head"]["branch"] = json!("--upload-pack=x")), "is no branch"),
        ("out of refs", Box::new(|model| model["head"]["branch"] = json!("refs/heads/../../x")), "is no branch"),
        ("newer", Box::new(|model| model["requires"] = json!(["time travel"])), "it needs 'time travel'"),
    ];
    let before = attack.scene.desktops();
    for (what, lie, says) in lies {
        attack.show(&tip, &attack.bent(lie, |_| {}, &[]));
        for options in [&[][..], &["--here", "--accept-config", "--branch"]] {
            let ran = desktop.run_here([&["restore", &sid()], options].concat()).fails(128, says);
            assert!(ran.stdout().is_empty() && !ran.stderr().contains("panicked"), "{what}: {}", ran.stderr());
            assert_nothing_done(&before, &attack.scene.desktops(), what);
            assert_eq!(desktop.worktrees(), 1, "{what}");
        }
    }
    // Without a lie it comes.
    attack.show(&tip, &attack.bent(|_| {}, |_| {}, &[]));
    let told = desktop.run_here(["restore", &sid(), "--json"]).ok().json();
    attack.scene.assert_arrived(&desktop.at(told["workspace"]["work_tree"].as_str().expect("a place")));
}

fn assert_sound(machine: &Machine) {
    let fsck = machine.git(["fsck", "--strict", "--no-dangling"]);
    assert_eq!(fsck, "");
    let left = std::fs::read_dir(machine.cwd.join(".git/objects/pack")).expect("packs").flatten();
    // What `index-pack` leaves of a bad pack is Git's to remove, when it is old (`git prune`).
    let known = |name: &str| name.starts_with("tmp_pack_") || [".pack", ".idx", ".rev"].iter().any(|end| name.ends_with(end));
    let left: Vec<String> = left.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| !known(name)).collect();
    assert!(left.is_empty(), "{left:?}");
}
