use super::*;

#[test]
fn no_form_of_a_git_directory_is_a_path() {
    for bad in [
        ".git",
        ".GIT",
        ".gIt/config",
        "a/.git/hooks/x",
        "git~1",
        "GIT~1/x",
        ".git.",
        ".git ",
        ".git. .",
        ".git::$INDEX_ALLOCATION",
        ".git:x",
        "git~1.",
        ".g\u{200c}it",
        "\u{feff}.git",
        ".gi\u{200d}t/x",
        ".G\u{202e}iT",
        "a\\.git\\config",
        "..",
        "a/../b",
        ".",
        "a/./b",
        "/a",
        "",
        "a//b",
        "a/",
        "a\0b",
    ] {
        assert!(!Name::new(bad).harmless(), "{bad:?}");
    }
    assert!(!Name::new("a".repeat(256)).harmless());
    assert!(!Name::new("a/".repeat(2100) + "a").harmless());
    for good in [
        ".gitignore",
        ".gitmodules",
        "git",
        "git~2",
        ".gitx",
        "a.git",
        ".git-hooks/x",
        "a\\b",
        "CON",
        "x.",
        "-rf",
        "a\nb",
        "...",
        "\u{e9}",
        "github",
    ] {
        assert_eq!(Name::new(good).fault(), None, "{good:?}");
    }
    assert!(Name::new(b"\xff\xfe").harmless());
    for link in
        [".gitmodules", ".GitModules", ".gitmodules ", "gitmod~1", "GITMOD~4", "gi7eba~1", ".git\u{200c}modules", ".gitmodules::$DATA"]
    {
        assert!(Name::new(link).is_gitmodules(), "{link}");
    }
    assert!(!Name::new(".gitignore").is_gitmodules() && !Name::new("gitmodules").is_gitmodules());
}

#[test]
fn refs_are_those_that_git_takes() {
    let names = [
        "refs/heads/main",
        "refs/heads/a/b",
        "refs/heads/\u{e9}",
        "refs/heads/-x",
        "refs/heads/@",
        "refs/heads/a@b",
        "refs/heads/a.b",
        "refs/heads/.a",
        "refs/heads/a..b",
        "refs/heads/a.lock",
        "refs/heads/a.lock/b",
        "refs/heads/a.",
        "refs/heads/a/",
        "refs/heads//a",
        "refs/heads/",
        "refs/heads/a b",
        "refs/heads/a~1",
        "refs/heads/a^",
        "refs/heads/a:b",
        "refs/heads/a?",
        "refs/heads/a*",
        "refs/heads/a[",
        "refs/heads/a\\b",
        "refs/heads/a@{1}",
        "refs/heads/a\nb",
        "refs/heads/a\x7fb",
    ];
    for name in names {
        let git = std::process::Command::new("git").args(["check-ref-format", name]).status().expect("git is there").success();
        assert_eq!(Name::new(name).is_ref(), git, "{name:?}");
    }
    for name in ["HEAD", "main", "refs/stash", "refs/heads/", "heads/main"] {
        assert!(!Name::new(name).is_ref(), "{name}");
    }
    assert_eq!(Name::new("refs/heads/a/b").branch(), Some(&b"a/b"[..]));
    for name in ["refs/heads/-x", "refs/heads/HEAD", "refs/tags/a", "refs/heads/a b"] {
        assert_eq!(Name::new(name).branch(), None, "{name}");
    }
}
