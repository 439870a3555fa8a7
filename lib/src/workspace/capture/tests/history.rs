//! HEAD, upstream, and the pack of what is only here.

use super::*;

fn pack(capture: &Capture) -> Vec<u8> {
    let file = capture.files.iter().find(|file| file.name.to_string() == "workspace/objects.pack").expect("a pack");
    let bytes = bytes(file).expect("its bytes");
    assert_eq!(bytes.len() as u64, capture.model.pack.as_ref().expect("in the model").size);
    bytes
}

/// Objects that the pack holds, by asking Git in a repository that has what it leans on.
fn unpacked(scene: &Scene, capture: &Capture) -> (Scene, Vec<String>) {
    let clone = Scene::new(&[]);
    let origin = scene.dir.path().join("origin.git");
    if origin.exists() {
        clone.git(&["fetch", "-q", origin.to_str().expect("text"), "+refs/heads/*:refs/remotes/origin/*"]);
    }
    let before = objects(&clone);
    let file = clone.dir.path().join("objects.pack");
    fs::write(&file, pack(capture)).expect("written");
    let mut command = Command::new("git");
    command.current_dir(&clone.top).args(["index-pack", "--stdin", "--fix-thin"]).env_clear().envs(clone.vars());
    let status = command.stdin(fs::File::open(&file).expect("opened")).stdout(Stdio::null()).status().expect("git");
    assert!(status.success());
    let after = objects(&clone).into_iter().filter(|object| !before.contains(object)).collect();
    (clone, after)
}

fn objects(scene: &Scene) -> Vec<String> {
    let all = scene.git(&["cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)"]);
    all.lines().map(str::to_owned).collect()
}

fn prerequisites(capture: &Capture) -> Vec<(String, String)> {
    let all = capture.model.prerequisites.iter();
    all.map(|one| {
        let refs: Vec<_> = one.refs.iter().map(Name::to_string).collect();
        (one.commit.0.to_string(), refs.join(" "))
    })
    .collect()
}

#[test]
fn what_the_remote_has_is_named_and_not_carried() {
    let scene = Scene::published(&[("a", "1\n")]);
    let capture = check(&scene, &[]);
    let head = scene.oid("HEAD");
    assert_eq!(capture.model.head.commit.map(|commit| commit.0), Some(head));
    assert_eq!(prerequisites(&capture), [(head.to_string(), "refs/heads/main".to_owned())]);
    let upstream = capture.model.upstream.expect("an upstream");
    assert_eq!((upstream.remote, upstream.merge), (Name::new("origin"), Name::new("refs/heads/main")));
    assert_eq!(upstream.commit.map(|commit| commit.0), Some(head));
}

#[test]
fn local_commits_and_staged_contents_make_a_thin_pack() {
    let scene = Scene::published(&[("big", &"line\n".repeat(2000)), ("a", "1\n"), ("keep", "k\n")]);
    let base = scene.oid("HEAD");
    scene.write("big", "line\n".repeat(2000) + "end\n");
    scene.commit("local");
    scene.git(&["mv", "keep", "moved"]);
    scene.write("a", "staged\n");
    scene.git(&["add", "a"]);
    let capture = check(&scene, &["index a 100644 0", "index moved 100644 0", "unindexed keep"]);
    assert_eq!(prerequisites(&capture), [(base.to_string(), "refs/heads/main".to_owned())]);
    let model = capture.model.pack.as_ref().expect("a pack");
    // A commit, its tree, its file, what is staged; what was only moved is in the commit.
    assert_eq!((model.objects, model.commits), (4, 1));
    assert!(model.size < 1000, "not thin: {}", model.size);
    let (clone, objects) = unpacked(&scene, &capture);
    assert_eq!(objects.len(), 4);
    assert!(objects.contains(&format!("blob {}", scene.oid(":a"))));
    clone.git(&["rev-list", "--objects", "--quiet", &scene.oid("HEAD").to_string()]);
}

#[test]
fn a_pack_of_nothing_new_is_the_same_pack() {
    let scene = Scene::published(&[("a", "1\n")]);
    for n in 0..30 {
        for file in 0..5 {
            scene.write(format!("dir{file}/f"), format!("{n}{file}\n").repeat(50 + n));
        }
        scene.commit("more");
    }
    scene.write("staged", "s\n");
    scene.git(&["add", "staged"]);
    let first = pack(&scene.capture());
    for _ in 0..3 {
        assert!(pack(&scene.capture()) == first);
    }
    scene.git(&["config", "pack.threads", "7"]);
    assert!(pack(&scene.capture()) == first);
}

#[test]
fn without_a_remote_everything_is_carried() {
    let scene = Scene::with(&[("a", "1\n")]);
    scene.write("a", "2\n");
    scene.commit("second");
    let capture = check(&scene, &[]);
    assert_eq!(capture.model.pack.as_ref().map(|pack| (pack.objects, pack.commits)), Some((6, 2)));
    assert_eq!(prerequisites(&capture), []);
    assert_eq!(capture.model.upstream, None);
    let (clone, _) = unpacked(&scene, &capture);
    clone.git(&["rev-list", "--objects", "--quiet", &scene.oid("HEAD").to_string()]);
}

#[test]
fn a_store_without_code_counts_for_nothing() {
    let scene = Scene::published(&[("a", "1\n")]);
    let options = Options { stores: vec!["origin".to_owned()], ..Options::default() };
    let capture = scene.try_capture(&options).expect("captured");
    assert_eq!(capture.model.pack.map(|pack| pack.commits), Some(1));
    assert!(capture.model.prerequisites.is_empty());
    // Neither does what a remote left behind that is one no more.
    scene.git(&["config", "--remove-section", "remote.origin"]);
    assert_eq!(scene.capture().model.pack.map(|pack| pack.commits), Some(1));
}

#[test]
fn refspecs_of_ones_own_are_followed() {
    let scene = Scene::published(&[("a", "1\n")]);
    scene.git(&["config", "--replace-all", "remote.origin.fetch", "+refs/heads/*:refs/remotes/elsewhere/x/*"]);
    scene.git(&["config", "--add", "remote.origin.fetch", "+refs/samesession/*:refs/samesession-remote/origin/*"]);
    assert_eq!(scene.capture().model.pack.map(|pack| pack.commits), Some(1));
    scene.git(&["fetch", "-q", "origin"]);
    let capture = check(&scene, &[]);
    assert_eq!(prerequisites(&capture)[0].1, "refs/heads/main");
    assert!(capture.model.upstream.expect("an upstream").commit.is_some());
}

#[test]
fn a_prerequisite_behind_a_tip_is_found_from_it() {
    let scene = Scene::published(&[("a", "1\n")]);
    let base = scene.oid("HEAD");
    for n in 0..5 {
        scene.write("a", format!("{n}\n"));
        scene.commit("theirs");
    }
    scene.git(&["branch", "unrelated"]);
    scene.git(&["push", "-q", "origin", "main"]);
    scene.git(&["reset", "-q", "--hard", &base.to_string()]);
    let capture = check(&scene, &[]);
    assert_eq!(prerequisites(&capture), [(base.to_string(), "refs/heads/main".to_owned())]);
    assert!(capture.model.pack.is_none());
    scene.git(&["commit", "-q", "--allow-empty", "-m", "ours"]);
    let capture = check(&scene, &[]);
    assert_eq!(prerequisites(&capture), [(base.to_string(), "refs/heads/main".to_owned())]);
    assert_eq!(capture.model.pack.map(|pack| (pack.objects, pack.commits)), Some((1, 1)));
}

#[test]
fn a_detached_head_and_what_an_operation_names() {
    let scene = Scene::published(&[("a", "1\n")]);
    scene.git(&["checkout", "-q", "--detach"]);
    scene.write("a", "2\n");
    scene.commit("aside");
    let aside = scene.oid("HEAD");
    scene.git(&["checkout", "-q", "--detach", "main"]);
    scene.write("a", "only a blob\n");
    let blob = scene.git(&["hash-object", "-w", "a"]);
    let blob = ObjectId::from_hex(blob.trim().as_bytes()).expect("a blob");
    scene.git(&["checkout", "-q", "a"]);
    let capture = scene.capture();
    assert_eq!((capture.model.head.branch.is_none(), capture.model.upstream.is_none()), (true, true));
    assert!(capture.model.pack.is_none());
    let nowhere = ObjectId::from_hex(&[b'1'; 40]).expect("a name");
    let head = scene.oid("HEAD");
    let capture = capture_with(&scene, &[aside, nowhere, blob, head]);
    assert_eq!(capture.model.pack.as_ref().map(|pack| (pack.objects, pack.commits)), Some((4, 1)));
    assert_eq!(capture.notes, [Note::Missing(nowhere)]);
    assert_eq!(prerequisites(&capture).len(), 1);
    let (clone, objects) = unpacked(&scene, &capture);
    assert!(objects.contains(&format!("blob {blob}")));
    clone.git(&["rev-list", "--objects", "--quiet", &aside.to_string()]);
}

fn capture_with(scene: &Scene, also: &[ObjectId]) -> Capture {
    capture(&scene.repo(), &Options::default(), also, &Silent).expect("captured")
}

#[test]
fn shallow_and_partial_clones_fetch_nothing() {
    for how in ["--depth=2", "--filter=blob:none", "--filter=tree:0"] {
        let mut scene = Scene::published(&[("a", "1\n"), ("dir/b", "1\n")]);
        for n in 0..4 {
            scene.write("dir/b", format!("{n}\n"));
            scene.commit("more");
        }
        scene.git(&["push", "-q", "origin", "main"]);
        let origin = scene.dir.path().join("origin.git");
        scene.git(&["-C", origin.to_str().expect("text"), "config", "uploadpack.allowFilter", "true"]);
        let url = format!("file://{}", origin.display());
        let clone = scene.dir.path().join("clone");
        scene.git(&["clone", "-q", how, &url, clone.to_str().expect("text")]);
        scene.top = clone.canonicalize().expect("a real path");
        scene.write("a", "2\n");
        scene.commit("ours");
        scene.write("dir/b", "staged\n");
        scene.git(&["add", "dir/b"]);
        // Nobody answers any more.
        fs::rename(&origin, scene.dir.path().join("away.git")).expect("moved");
        let capture = check(&scene, &["index dir/b 100644 0"]);
        assert_eq!(capture.model.pack.map(|pack| (pack.objects, pack.commits)), Some((4, 1)), "{how}");
        assert_eq!(prerequisites(&scene.capture()), [(scene.oid("HEAD^").to_string(), "refs/heads/main".to_owned())], "{how}");
    }
}

#[test]
fn what_a_shallow_clone_cut_off_is_named() {
    let mut scene = Scene::published(&[("a", "1\n")]);
    scene.write("a", "2\n");
    scene.commit("second");
    let parent = scene.oid("HEAD^");
    scene.git(&["push", "-q", "origin", "main"]);
    let url = format!("file://{}", scene.dir.path().join("origin.git").display());
    let clone = scene.dir.path().join("clone");
    scene.git(&["clone", "-q", "--depth=1", &url, clone.to_str().expect("text")]);
    scene.top = clone.canonicalize().expect("a real path");
    scene.git(&["remote", "remove", "origin"]);
    let capture = check(&scene, &[]);
    assert_eq!(prerequisites(&capture), [(parent.to_string(), String::new())]);
    assert_eq!(capture.model.pack.map(|pack| pack.commits), Some(1));
}
