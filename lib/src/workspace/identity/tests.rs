use super::*;

fn normals(urls: &[&str]) -> Vec<Option<String>> {
    urls.iter().map(|url| normal(url)).collect()
}

#[test]
fn one_repository_has_one_address_however_it_is_written() {
    for url in [
        "https://github.com/o/r",
        "https://github.com/o/r.git",
        "https://GitHub.com:443/o/r.git/",
        "https://user:p%40ss@github.com/o/r",
        "https://user:p@ss/w@github.com/o/r".replace("/w", "").as_str(),
        "http://github.com:80//o/./r",
        "git@github.com:o/r.git",
        "github.com:o/r",
        "ssh://git@github.com/o/r.git",
        "ssh://git@GITHUB.com:22/o/r",
        "git+ssh://git@github.com./o/r",
        "git://github.com:9418/o/r",
        "git@[github.com:22]:o/r",
        "https://github.com/o/r/.git",
        "https://github.com/o/%72?token=x#y",
    ] {
        assert_eq!(normal(url).as_deref(), Some("github.com/o/r"), "{url}");
    }
}

#[test]
fn what_differs_stays_apart() {
    let expected =
        ["h:2222/r", "h:2222/r", "[::1]/r", "[::1]:8080/r", "h/R", "h/r.gitx", "file:///srv/r", "file:///srv/r", "file:///srv/a:b"];
    let urls = [
        "ssh://h:2222/r",
        "u@[h:2222]:r",
        "[::1]:r",
        "http://[::1]:8080/r.git",
        "https://h/R",
        "h:r.gitx",
        "/srv//r/.git",
        "file://localhost/srv/r.git",
        "/srv/a:b",
    ];
    assert_eq!(normals(&urls), expected.map(|text| Some(text.to_owned())));
}

#[test]
fn what_means_nothing_elsewhere_is_no_address() {
    for url in [
        "",
        "../r",
        "r",
        "ext::sh -c x",
        "session::claude",
        "https://",
        "https://h",
        "h:",
        "C:\\r",
        "C:/r",
        "https://h:x/r",
        "a\nb:c",
        "./a:b",
    ] {
        assert_eq!(normal(url), None, "{url}");
    }
}

#[test]
fn roots_decide_and_addresses_where_there_are_none() {
    let oid = |digit: &str| Oid(ObjectId::from_hex(digit.repeat(40).as_bytes()).expect("hexadecimal"));
    let one = |roots: &[&str], remotes: &[&str]| Identity {
        format: "sha1".to_owned(),
        roots: roots.iter().map(|root| oid(root)).collect(),
        remotes: remotes.iter().map(|&url| url.to_owned()).collect(),
    };
    assert_eq!(compare(&one(&["a", "b"], &["h/x"]), &one(&["b"], &["h/y"])), Likeness::Same);
    assert_eq!(compare(&one(&["a"], &["h/x"]), &one(&["b"], &["h/x"])), Likeness::Same, "a branch without common history");
    assert_eq!(compare(&one(&[], &["h/x"]), &one(&["b"], &["h/x"])), Likeness::Same);
    assert_eq!(compare(&one(&[], &["h/x"]), &one(&["b"], &["h/y"])), Likeness::Unknown);
    assert_eq!(compare(&one(&[], &[]), &one(&[], &[])), Likeness::Unknown);
    let Likeness::Other { evidence } = compare(&one(&["a"], &["h/x"]), &one(&["b"], &[])) else { panic!("they are two") };
    assert!(evidence.contains(&"a".repeat(40)) && evidence.contains(&"b".repeat(40)) && evidence.contains("h/x"), "{evidence}");
    let sha256 = Identity { format: "sha256".to_owned(), ..one(&[], &["h/x"]) };
    assert!(matches!(compare(&one(&["a"], &["h/x"]), &sha256), Likeness::Other { .. }));
}

#[test]
fn history_is_walked_once_and_only_what_is_new_after_that() {
    use crate::workspace::restore::fixture::Place;
    let place = Place::new();
    let repo = place.repo("r", &[]);
    place.commit("r", "a", "1");
    let first = place.oid("r", "HEAD");
    place.git("r", &["remote", "add", "origin", "https://me:secret@h.example/o/r.git"]);
    place.git("r", &["remote", "add", "vault", "https://h.example/o/sessions"]);
    place.git("r", &["config", "url.https://real.example/.insteadOf", "short:"]);
    place.git("r", &["remote", "add", "other", "short:o/r"]);
    let repo = place.open(&repo);
    let identity = of(&repo, &["vault".to_owned()]).expect("readable");
    assert_eq!(identity.remotes, ["h.example/o/r", "real.example/o/r"]);
    assert_eq!(identity.roots, [first]);
    // What is remembered is believed, so that nothing is walked: shown with a root that is none.
    let head = place.oid("r", "HEAD");
    let lie = Oid(ObjectId::from_hex("1".repeat(40).as_bytes()).expect("hexadecimal"));
    let file = repo.private_dir().join("roots");
    std::fs::write(&file, format!("{} {}\nnonsense\n", head.0, lie.0)).expect("writable");
    assert_eq!(of(&repo, &[]).expect("readable").roots, [lie]);
    // A second root comes in by a merge.
    place.git("r", &["checkout", "-q", "--orphan", "side"]);
    place.commit("r", "b", "2");
    let second = place.oid("r", "HEAD");
    place.git("r", &["checkout", "-q", "main"]);
    place.git("r", &["merge", "-q", "--allow-unrelated-histories", "-m", "m", "side"]);
    let mut both = [lie, second];
    both.sort();
    assert_eq!(of(&repo, &[]).expect("readable").roots, both);
    // Another branch starts from its own memory, or none.
    place.git("r", &["checkout", "-q", "side"]);
    assert_eq!(of(&repo, &[]).expect("readable").roots, [second]);
    std::fs::write(&file, "damaged").expect("writable");
    assert_eq!(of(&repo, &[]).expect("readable").roots, [second]);
    place.git("", &["clone", "-q", "--depth=1", &format!("file://{}", place.path("r").display()), "shallow"]);
    assert_eq!(of(&place.open(&place.path("shallow")), &[]).expect("readable").roots, []);
}
