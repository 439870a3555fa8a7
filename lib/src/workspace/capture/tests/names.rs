//! Names that are hard to carry, and what is passed by.

use super::*;

#[test]
fn odd_names_survive() {
    let scene = Scene::with(&[
        ("with space", "1\n"),
        ("two\nlines", "1\n"),
        ("-dash", "1\n"),
        ("\"quoted\"\t'x'", "1\n"),
        ("100%", "1\n"),
        (":(glob)*", "1\n"),
        (" lead", "1\n"),
    ]);
    let latin = OsStr::from_bytes(b"caf\xe9");
    scene.write(latin, "1\n");
    scene.commit("more");
    for name in ["with space", "two\nlines", "-dash", "\"quoted\"\t'x'", "100%", ":(glob)*", " lead"] {
        scene.write(name, "2\n");
    }
    scene.write(latin, "2\n");
    scene.git(&["add", "two\nlines", "--", "-dash"]);
    scene.write("-new dir/-x\n", "3\n");
    scene.write(":(top)/y", "3\n");
    check(
        &scene,
        &[
            "index -dash 100644 0",
            "index two\nlines 100644 0",
            "file  lead 644 2\\n",
            "file \"quoted\"\t'x' 644 2\\n",
            "file -new dir/-x\n 644 3\\n",
            "file 100%25 644 2\\n",
            "file :(glob)* 644 2\\n",
            "file :(top)/y 644 3\\n",
            "file caf%E9 644 2\\n",
            "file with space 644 2\\n",
        ],
    );
}

#[test]
fn what_some_system_could_not_hold_has_another_place() {
    let scene = Scene::with(&[("kept", "1\n")]);
    for name in ["plain", "README", "readme", "Dir", "dir/x", "nul", "back\\slash", "end.", "\u{c4}", "\u{e4}"] {
        scene.write(name, name);
    }
    let long = format!("{0}/{0}/f", "d".repeat(255));
    scene.write(&long, "long");
    let capture = scene.capture();
    let at = |name: &str| {
        let file = capture.model.files.iter().find(|file| file.path == Name::new(name)).expect("the file");
        match &file.what {
            What::File { at, .. } => at.to_string(),
            other => panic!("{other:?}"),
        }
    };
    for name in ["plain", "dir/x", &long] {
        assert_eq!(at(name), format!("workspace/files/{name}"));
    }
    for name in ["README", "readme", "Dir", "nul", "back\\slash", "end.", "\u{c4}", "\u{e4}"] {
        let place = at(name);
        assert!(place.starts_with("workspace/odd/") && place.len() == "workspace/odd/".len() + 64, "{name}: {place}");
    }
    // From sha256sum.
    assert_eq!(at("README"), "workspace/odd/2b7814d3fca2e99e56c51b6ff2aa313ea6e9da6424804240aa8ad891fdfe0900");
    // What takes a capsule's files takes all of these.
    let mut names = crate::capsule::Names::default();
    capture.files.iter().for_each(|file| names.add(&file.name).expect("a name of its own"));
    names.nested().expect("no file is a directory");
    let order: Vec<_> = capture.files.iter().map(|file| file.name.clone()).collect();
    assert!(order.is_sorted());
}

#[test]
fn empty_directories_come_along_unless_ignored() {
    let scene = Scene::with(&[(".gitignore", "ignored/\n*.o\n"), ("dir/a", "1\n")]);
    for dir in ["empty", "dir/empty", "dir/a b/\n/deep", "ignored", "un/empty", "un/ignored/x", "un/b", "objects"] {
        fs::create_dir_all(scene.path(dir)).expect("a directory");
    }
    scene.write("un/file", "u\n");
    scene.write("un/b/x.o", "");
    scene.write("objects/y.o", "");
    check(&scene, &["directory dir/a b/\n/deep", "directory dir/empty", "directory empty", "directory un/empty", "file un/file 644 u\\n"]);
}

#[test]
fn other_repositories_and_special_files_stay_behind() {
    let scene = Scene::with(&[("a", "1\n"), ("b", "1\n")]);
    let fifo = |name: &str| {
        let status = Command::new("mkfifo").arg(scene.path(name)).status().expect("mkfifo");
        assert!(status.success());
    };
    scene.git(&["init", "-q", "nested"]);
    scene.git(&["init", "-q", "un/nested"]);
    scene.git(&["init", "-q", "with-commit"]);
    scene.git(&["-C", "with-commit", "commit", "-q", "--allow-empty", "-m", "x"]);
    scene.write("nested/x", "theirs\n");
    scene.write("with-commit/x", "theirs\n");
    scene.write("un/x", "ours\n");
    scene.remove("a");
    fifo("a");
    fifo("un/fifo");
    let nested = |name: &str| format!("note '{name}' is a repository of its own and stays behind");
    let special = |name: &str| format!("note '{name}' is neither file, link nor directory and stays behind");
    let expected = [
        "gone a".to_owned(),
        "file un/x 644 ours\\n".to_owned(),
        special("a"),
        special("un/fifo"),
        nested("nested"),
        nested("un/nested"),
        nested("with-commit"),
    ];
    check(&scene, &expected.each_ref().map(String::as_str));
}

#[test]
fn ignored_files_come_only_when_they_are_named() {
    let scene = Scene::with(&[(".gitignore", "*.log\nbuild/\n.env\n"), ("src/x", "1\n")]);
    for name in ["a.log", "src/b.log", "build/out", "build/deep/c.log", ".env", "src/.env"] {
        scene.write(name, "i");
    }
    scene.write("un/tracked", "u");
    let with = |globs: &[&str]| {
        let include_ignored = globs.iter().map(|glob| (*glob).to_owned()).collect();
        let capture = scene.try_capture(&Options { include_ignored, ..Options::default() }).expect("captured");
        capture.model.files.iter().map(|file| file.path.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(with(&[]), ["un/tracked"]);
    assert_eq!(with(&[".env"]), [".env", "src/.env", "un/tracked"]);
    assert_eq!(with(&["/.env"]), [".env", "un/tracked"]);
    assert_eq!(with(&["*.log"]), ["a.log", "build/deep/c.log", "src/b.log", "un/tracked"]);
    assert_eq!(with(&["build/", "!c.log"]), ["build/deep/c.log", "build/out", "un/tracked"]);
    assert_eq!(with(&["src/**"]), ["src/.env", "src/b.log", "un/tracked"]);
    assert_eq!(with(&["-x"]), ["un/tracked"]);
}
