use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use gix::hash::Kind;
use gix::object::Kind as ObjectKind;

use super::super::commit;
use super::super::pack::{Entry, KEEP};
use super::*;
use crate::env::Env;
use crate::seal::SigningKey;

const HASHES: [(&str, Kind); 2] = [("sha1", Kind::Sha1), ("sha256", Kind::Sha256)];
const AN_HOUR: Duration = Duration::from_secs(3600);

struct Scene {
    dir: tempfile::TempDir,
    hash: Kind,
}

impl Scene {
    fn new((format, hash): (&str, Kind)) -> Scene {
        let scene = Scene { dir: tempfile::tempdir().expect("a directory"), hash };
        scene.git(&["init", "-q", "--bare", "--object-format", format, "."]);
        scene
    }

    fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.current_dir(self.dir.path()).args(args).env_clear().envs(self.vars()).stdin(Stdio::null());
        let out = command.output().expect("git");
        // Of a repository without branches it only says that it has none.
        let said = String::from_utf8_lossy(&out.stderr);
        let silent = said.lines().all(|line| line.starts_with("notice: "));
        assert!(out.status.success() && silent, "git {args:?}: {said}");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    fn vars(&self) -> BTreeMap<OsString, OsString> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        [("PATH".into(), path), ("HOME".into(), self.dir.path().into()), ("GIT_CONFIG_NOSYSTEM".into(), "1".into())].into()
    }

    fn store(&self) -> Store {
        let env = Env::new(self.vars(), self.dir.path().to_owned(), "here".into()).expect("an environment");
        Store::open(Repository::open(&env, self.dir.path()).expect("a repository")).expect("a store")
    }

    fn packs(&self) -> PathBuf {
        self.dir.path().join("objects/pack")
    }

    fn add(&self, entries: &[Entry]) -> PathBuf {
        let mut writer = PackWriter::new(&self.dir.path().join("objects"), self.hash).expect("a pack");
        for entry in entries {
            writer.add(entry).expect("added");
        }
        let packs = writer.finish().expect("finished");
        let path = packs.paths()[0].to_owned();
        packs.keep();
        path
    }

    /// One blob in a pack of its own.
    fn blob(&self, n: usize) -> (ObjectId, PathBuf) {
        let entry = Entry::new(self.hash, ObjectKind::Blob, format!("{n} ").repeat(n + 1).as_bytes());
        (entry.id, self.add(std::slice::from_ref(&entry)))
    }

    fn blobs(&self, count: usize) -> Vec<ObjectId> {
        (0..count).map(|n| self.blob(n).0).collect()
    }

    /// A commit of ours in a pack of its own, all its parts in another; returns it and the blob in its tree.
    fn commit(&self, text: &str, parents: &[ObjectId], key: &SigningKey) -> (ObjectId, ObjectId) {
        let entry = |kind, bytes: &[u8]| Entry::new(self.hash, kind, bytes);
        let blob = entry(ObjectKind::Blob, text.as_bytes());
        let below = entry(ObjectKind::Tree, &[b"100644 x\0", blob.id.as_slice()].concat());
        let tree = entry(ObjectKind::Tree, &[b"40000 later\0", below.id.as_slice()].concat());
        let bytes = commit::write(self.hash, &tree.id, parents, key).expect("written");
        let commit = entry(ObjectKind::Commit, &bytes);
        let ids = (commit.id, blob.id);
        self.add(&[blob, below, tree]);
        self.add(&[commit]);
        ids
    }

    fn count(&self) -> usize {
        packs::kept(&self.packs()).expect("readable").len()
    }

    #[track_caller]
    fn all_there(&self, ids: &[ObjectId]) {
        let store = self.store();
        for id in ids {
            store.blob(id, 1 << 20).expect("it is readable");
        }
        self.git(&["fsck", "--strict", "--no-dangling"]);
    }
}

fn pack(size: u64) -> Pack {
    Pack { path: PathBuf::new(), size, modified: SystemTime::UNIX_EPOCH }
}

#[test]
fn many_packs_become_few_and_whoever_has_one_open_goes_on_reading() {
    for hash in HASHES {
        let scene = Scene::new(hash);
        let mut ids = scene.blobs(BOUND);
        assert_eq!(consolidate(&scene.store()).expect("nothing to do"), Tidied::default());
        assert!(!scene.store().repo.private_dir().exists());
        ids.push(scene.blob(BOUND).0);
        // One has read from a pack, one has only seen that they are there.
        let (reading, opened) = (scene.store(), scene.store());
        reading.blob(&ids[0], 1 << 20).expect("readable");
        assert!(opened.has(&ids[1]));
        let done = consolidate(&scene.store()).expect("done");
        assert!(done.packs >= AT_LEAST && done.written > 0 && done.released == 0 && scene.count() <= BOUND, "{done:?}");
        for store in [&reading, &opened] {
            assert!(ids.iter().all(|id| store.blob(id, 1 << 20).is_ok()));
        }
        scene.all_there(&ids);
        let count = scene.git(&["count-objects", "-v"]);
        assert!(count.contains("garbage: 0\n") && count.contains(&format!("in-pack: {}\n", BOUND + 1)), "{count}");
    }
}

#[test]
fn the_pack_that_a_crash_made_already_is_not_removed_with_those_it_was_made_of() {
    let scene = Scene::new(HASHES[0]);
    let ids = scene.blobs(5);
    let all = || {
        let ours = packs::ours(&scene.packs(), SystemTime::now()).expect("read");
        ours.iter().map(|pack| Opened::open(pack, scene.hash).expect("whole")).collect::<Vec<_>>()
    };
    let aside = tempfile::tempdir().expect("a directory");
    let copy = |from: &Path, to: &Path| {
        for entry in fs::read_dir(from).expect("a directory").flatten() {
            let _ = fs::copy(entry.path(), to.join(entry.file_name()));
        }
    };
    copy(&scene.packs(), aside.path());
    assert_eq!(merge(&scene.store(), &all(), |_| true).expect("merged").packs, 5);
    copy(aside.path(), &scene.packs());
    // The same objects in the same order make the same name, and the pack of that name is read, too.
    assert_eq!(all().len(), 6);
    let done = merge(&scene.store(), &all(), |_| true).expect("merged");
    assert_eq!((done.packs, done.written, scene.count()), (5, 0, 1));
    scene.all_there(&ids);
}

#[test]
fn what_is_not_ours_or_not_sound_is_left_where_it_lies() {
    let scene = Scene::new(HASHES[0]);
    let ids = scene.blobs(BOUND + 4);
    let (_, foreign) = scene.blob(100);
    fs::write(foreign.with_extension("keep"), "fetch-pack 1 on here\n").expect("written");
    let (_, rotten) = scene.blob(0);
    let mut bytes = fs::read(&rotten).expect("a pack");
    bytes[15] ^= 1;
    fs::remove_file(&rotten).and_then(|()| fs::write(&rotten, bytes)).expect("written");
    // A keep alone is what is left of a crash, now or long ago.
    let stale = |name: &str, age: u64| {
        let path = scene.packs().join(name);
        fs::write(&path, KEEP).expect("written");
        let then = SystemTime::now() - Duration::from_secs(age);
        File::open(&path).and_then(|file| file.set_modified(then)).expect("set");
        path
    };
    let (young, old) = (stale("pack-1.keep", 60), stale("pack-2.keep", 200_000));
    assert!(consolidate(&scene.store()).expect("done").packs > 0);
    assert!(foreign.exists() && rotten.exists() && young.exists() && !old.exists());
    assert!(ids[1..].iter().all(|id| scene.store().blob(id, 1 << 20).is_ok()));
}

#[test]
fn a_multi_pack_index_of_gits_is_never_left_pointing_to_nowhere() {
    let scene = Scene::new(HASHES[0]);
    let ids = scene.blobs(BOUND + 1);
    scene.git(&["multi-pack-index", "write"]);
    assert_eq!(consolidate(&scene.store()).expect("nothing to do"), Tidied::default());
    let more: Vec<_> = (200..=200 + BOUND).map(|n| scene.blob(n).0).collect();
    assert!(consolidate(&scene.store()).expect("done").packs > 0);
    scene.git(&["multi-pack-index", "verify"]);
    scene.all_there(&[&ids[..], &more].concat());
    let done = release(&scene.store(), &more.iter().copied().collect()).expect("released");
    assert_eq!(done.released, ids.len());
    assert!(!scene.packs().join("multi-pack-index").exists());
    scene.all_there(&more);
}

#[test]
fn a_multi_pack_index_is_no_reason_to_let_packs_become_ever_more() {
    let scene = Scene::new(HASHES[0]);
    let ids = scene.blobs(INDEXED + 1);
    scene.git(&["multi-pack-index", "write"]);
    assert!(consolidate(&scene.store()).expect("done").packs > AT_LEAST);
    assert!(scene.count() <= BOUND && !scene.packs().join("multi-pack-index").exists());
    scene.git(&["multi-pack-index", "write"]);
    scene.all_there(&ids);
}

#[test]
fn what_nothing_names_is_left_to_git_and_what_is_named_stays_ours() {
    let key = SigningKey::generate("test").expect("a key");
    for hash in HASHES {
        let scene = Scene::new(hash);
        let (first, text) = scene.commit("one", &[], &key);
        let (second, more) = scene.commit("two", &[first], &key);
        let (gone, lost) = scene.commit("three", &[second], &key);
        scene.git(&["update-ref", "refs/samesession/sessions/x", &second.to_string()]);
        let store = scene.store();
        let tips = tips(&store).expect("tips");
        assert_eq!(tips, [second]);
        let reached = reachable(&store, &tips).expect("walked");
        assert_eq!(reached.len(), 8);
        assert!(reached.contains(&text) && !reached.contains(&lost) && !reached.contains(&gone));
        let done = release(&store, &reached).expect("released");
        assert_eq!((done.released, done.busy), (4, false), "{done:?}");
        // Whoever was about to name it finds it still, and Git prunes it in its own time.
        assert!(scene.store().has(&lost) && scene.store().has(&gone));
        scene.git(&["gc", "-q"]);
        assert!(scene.store().has(&lost) && scene.store().has(&gone));
        scene.git(&["gc", "-q", "--prune=now"]);
        scene.all_there(&[text, more]);
        assert!(!scene.store().has(&lost) && !scene.store().has(&gone));
        assert_eq!(release(&scene.store(), &reached).expect("nothing to do"), Tidied::default());
    }
}

#[test]
fn a_merged_pack_is_no_younger_than_what_is_in_it() {
    let scene = Scene::new(HASHES[0]);
    let then = SystemTime::now() - AN_HOUR * 2;
    let ids = scene.blobs(BOUND + 1);
    for pack in packs::ours(&scene.packs(), then).expect("read") {
        File::open(&pack.path).and_then(|file| file.set_modified(then)).expect("set");
    }
    consolidate(&scene.store()).expect("done");
    let ours = packs::ours(&scene.packs(), SystemTime::now()).expect("read");
    assert!(ours.len() < ids.len() && ours.iter().all(|pack| packs::age(pack.modified, SystemTime::now()) >= AN_HOUR));
    scene.all_there(&ids);
}

#[test]
fn somebody_else_who_is_tidying_is_not_disturbed() {
    let scene = Scene::new(HASHES[0]);
    scene.blobs(BOUND + 1);
    let store = scene.store();
    let held = lock(&store.repo).expect("a lock").expect("free");
    assert!(consolidate(&store).expect("passed by").busy);
    drop(held);
    fs::write(store.repo.objects.join("maintenance.lock"), "").expect("written");
    assert!(consolidate(&store).expect("passed by").busy);
    fs::remove_file(store.repo.objects.join("maintenance.lock")).expect("removed");
    assert!(consolidate(&store).expect("done").packs > 0);
}

#[test]
fn packs_stay_few_and_little_is_copied_however_many_come() {
    let even = |_: u64| 100;
    let grown = |n: u64| 100 + n;
    let skewed = |n: u64| 1 + (n * 0x9e37_79b9 % 1000).pow(2);
    for (count, size) in [(1_000, &even as &dyn Fn(u64) -> u64), (10_000, &even), (10_000, &grown), (10_000, &skewed)] {
        let (mut lie, mut copied, mut total) = (Vec::new(), 0, 0);
        for n in 0..count {
            lie.push(pack(size(n)));
            total += size(n);
            lie.sort_by_key(|pack| pack.size);
            let merged: Vec<u64> = smaller(&lie).iter().map(|pack| pack.size).collect();
            if !merged.is_empty() {
                let bytes = merged.iter().sum();
                lie.drain(..merged.len());
                lie.push(pack(bytes));
                copied += bytes;
            }
            assert!(lie.len() <= BOUND);
        }
        assert!(copied < 5 * total, "{copied} bytes were copied for {total}");
    }
}
