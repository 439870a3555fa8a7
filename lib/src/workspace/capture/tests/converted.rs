//! Files that Git calls clean although their bytes are others.

use super::*;

#[test]
fn line_ends_filters_and_idents_come_back_as_bytes() {
    let scene = Scene::new(&[]);
    scene.git(&["config", "filter.upper.clean", "tr a-z A-Z"]);
    scene.git(&["config", "filter.upper.smudge", "tr A-Z a-z"]);
    scene.write(
        ".gitattributes",
        "*.crlf text eol=crlf\n*.up filter=upper\n*.id ident\n*.u16 working-tree-encoding=UTF-16LE text\n*.bin -text\n",
    );
    scene.write("a.crlf", "one\r\ntwo\r\n");
    scene.write("b.up", "lower\n");
    scene.write("same.up", "123\n");
    scene.write("c.id", "$Id$\n");
    scene.write("without.id", "none\n");
    // As they are in the blob, which is not what a checkout would write.
    scene.write("as-is.id", "$Id$\n");
    scene.write("as-is.crlf", "one\n");
    scene.write("without.crlf", "one");
    scene.write("d.u16", b"h\0i\0\n\0");
    scene.write("e.bin", "raw\r\n");
    scene.write("plain", "plain\n");
    scene.commit("all");
    scene.remove("c.id");
    scene.git(&["checkout", "-q", "c.id"]);
    assert_eq!(scene.git(&["status", "--porcelain"]), "");
    let id = fs::read(scene.path("c.id")).expect("read");
    assert!(id.len() > 40);
    check(
        &scene,
        &[
            "file a.crlf 644 one\\r\\ntwo\\r\\n",
            "file as-is.crlf 644 one\\n",
            "file as-is.id 644 $Id$\\n",
            "file b.up 644 lower\\n",
            &format!("file c.id 644 {}", id.escape_ascii()),
            "file d.u16 644 h\\x00i\\x00\\n\\x00",
            "file same.up 644 123\\n",
        ],
    );
}

#[test]
fn attributes_stand_in_many_places() {
    let in_file = |file: &str| {
        let scene = Scene::with(&[("a", "one\n"), ("sub/b", "one\n")]);
        scene.git(&["config", "core.attributesFile", scene.dir.path().join("mine").to_str().expect("text")]);
        check(&scene, &[]);
        let path = if file == "mine" { scene.dir.path().join(file) } else { scene.path(file) };
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, "* text eol=crlf\n").expect("written");
        scene.write("sub/b", "one\r\n");
        scene.git(&["update-index", "-q", "--refresh"]);
        shown(&scene.capture())
    };
    for file in ["mine", ".git/info/attributes"] {
        assert_eq!(in_file(file), ["file a 644 one\\n", "file sub/b 644 one\\r\\n"], "{file}");
    }
    for file in [".gitattributes", "sub/.gitattributes"] {
        let own = format!("file {file} 644 * text eol=crlf\\n");
        let mut expected = vec![own, "file sub/b 644 one\\r\\n".to_owned()];
        expected.extend((file == ".gitattributes").then(|| "file a 644 one\\n".to_owned()));
        expected.sort();
        assert_eq!(in_file(file), expected, "{file}");
    }
}

#[test]
fn settings_convert_too() {
    let scene = Scene::with(&[("a", "one\n"), ("b", "one\n")]);
    scene.git(&["config", "core.autocrlf", "true"]);
    scene.write("a", "one\r\n");
    scene.git(&["update-index", "-q", "--refresh"]);
    check(&scene, &["file a 644 one\\r\\n", "file b 644 one\\n"]);
    scene.git(&["config", "core.autocrlf", "input"]);
    check(&scene, &["file a 644 one\\r\\n"]);
    scene.git(&["config", "core.autocrlf", "false"]);
    scene.write("a", "one\n");
    scene.git(&["config", "core.fileMode", "false"]);
    scene.mode("b", 0o755);
    assert_eq!(scene.git(&["status", "--porcelain"]), "");
    check(&scene, &["file b 755 one\\n"]);
}
