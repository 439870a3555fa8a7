//! Models that lie or attack: each is refused in one line, before anything is written.

use super::*;

fn refused(change: impl Fn(&mut Case), word: &str) {
    let mut case = Case::new(&[]);
    change(&mut case);
    let error = case.check().expect_err(word).to_string();
    assert!(error.contains(word), "{word}: {error}");
    assert!(!error.contains('\n') || word == "twice", "{error}");
}

#[test]
fn paths_that_lead_elsewhere() {
    for path in [
        "../x",
        "/etc/passwd",
        "a/../../x",
        ".git/hooks/post-checkout",
        "sub/.GIT/config",
        "git~1/config",
        ".git./x",
        ".git::$INDEX_ALLOCATION/x",
        ".g\u{200c}it/config",
        "a//b",
        "",
    ] {
        refused(|case| case.file(path.as_bytes(), b"x", 0o644), "no path for it");
        refused(
            |case| {
                case.entry(path, "x");
            },
            "no path for it",
        );
        refused(|case| case.model.unindexed.push(Name::new(path)), "no path for it");
        refused(|case| case.work(path.as_bytes(), What::Gone), "no path for it");
    }
    refused(|case| case.file("a/".repeat(3000).as_bytes(), b"x", 0o644), "no path for it");
    refused(
        |case| {
            case.model.submodules.push(Submodule {
                path: Name::new("../m"),
                commit: None,
                changed: false,
                untracked: false,
                contents: None,
            })
        },
        "no path for it",
    );
}

#[test]
fn files_behind_links_and_files() {
    let link = |to: &str| What::Link { to: Name::new(to) };
    refused(
        |case| {
            case.work(b"l", link("/etc"));
            case.file(b"l/passwd", b"x", 0o644)
        },
        "no directory",
    );
    refused(
        |case| {
            case.file(b"f", b"x", 0o644);
            case.work(b"f/l", link("x"))
        },
        "no directory",
    );
    refused(
        |case| {
            case.entry("l", "/etc").mode = "120000".to_owned();
            case.file(b"l/passwd", b"x", 0o644)
        },
        "no directory",
    );
    refused(
        |case| {
            case.entry("m", "x").mode = "160000".to_owned();
            case.file(b"m/x", b"x", 0o644)
        },
        "no directory",
    );
    refused(
        |case| {
            case.work(b"d", What::Directory);
            case.file(b"d/x/y", b"x", 0o644)
        },
        "no directory",
    );
    refused(
        |case| {
            case.entry("f", "x");
            case.entry("f/g", "x");
        },
        "below another entry",
    );
    refused(|case| case.work(b"sub/.gitmodules", link("/etc/passwd")), "is a link");
    refused(|case| case.work(b".GITMODULES", link("x")), "is a link");
    refused(|case| case.entry(".gitmodules", "x").mode = "120000".to_owned(), "is a link");
    refused(|case| case.work(b"l", link("")), "leads to no name");
}

#[test]
fn what_stands_there_twice_or_cannot_be() {
    refused(
        |case| {
            case.file(b"x", b"1", 0o644);
            case.work(b"x", What::Gone)
        },
        "twice",
    );
    refused(
        |case| {
            case.entry("x", "1");
            case.entry("x", "2");
        },
        "twice",
    );
    refused(
        |case| {
            case.entry("x", "1").stage = 2;
            case.entry("x", "2");
        },
        "twice",
    );
    refused(
        |case| {
            case.entry("x", "1");
            case.model.unindexed.push(Name::new("x"))
        },
        "not in it",
    );
    refused(|case| case.entry("x", "1").stage = 4, "stage 4");
    refused(
        |case| {
            let entry = case.entry("x", "1");
            (entry.stage, entry.intent_to_add) = (1, true)
        },
        "cannot be",
    );
    for mode in ["100664", "040000", "0", "777\n"] {
        refused(|case| mode.clone_into(&mut case.entry("x", "1").mode), "the mode");
    }
    refused(
        |case| case.entry("x", "1").oid = Oid(gix::hash::ObjectId::from_hex("1".repeat(64).as_bytes()).expect("hexadecimal")),
        "no object",
    );
    refused(|case| case.entry("x", "1").oid = Oid(gix::hash::ObjectId::null(gix::hash::Kind::Sha1)), "no object");
    refused(|case| case.model.identity.format = "md5".to_owned(), "md5");
}

#[test]
fn names_needs_and_sizes() {
    for branch in ["refs/heads/-x", "main", "refs/heads/a..b", "refs/tags/x", "refs/heads/HEAD", "refs/heads/x.lock"] {
        refused(|case| case.model.head.branch = Some(Name::new(branch)), "no branch");
    }
    refused(|case| case.model.prerequisites[0].refs.push(Name::new("--upload-pack=x")), "no ref");
    refused(
        |case| case.model.upstream = Some(Upstream { remote: Name::new("-x"), merge: Name::new("refs/heads/a"), commit: None }),
        "no remote",
    );
    refused(|case| case.model.head = Head { branch: None, commit: None }, "neither");
    refused(|case| case.model.requires.push("teleport".to_owned()), "teleport");
    refused(|case| case.model.schema = "samesession.workspace/1.5".to_owned(), "schema");
    refused(
        |case| {
            let at = RelPath::parse(b"workspace/files/none").expect("harmless");
            case.work(b"x", What::File { at, size: 1, mode: 0o644 })
        },
        "did not come",
    );
    refused(
        |case| {
            case.file(b"x", b"12", 0o644);
            if let What::File { size, .. } = &mut case.model.files[0].what {
                *size = 1
            }
        },
        "did not come",
    );
    refused(
        |case| {
            case.stage("session/secret", b"x");
            let at = RelPath::parse(b"session/secret").expect("harmless");
            case.work(b"x", What::File { at, size: 1, mode: 0o644 })
        },
        "did not come",
    );
    refused(|case| case.model.sparse = Some(Sparse { cone: true, patterns: Name::new(vec![b'x'; 5 << 20]) }), "patterns");
    refused(
        |case| {
            let one = case.model.prerequisites[0].clone();
            case.model.prerequisites = vec![one; 10_001]
        },
        "larger",
    );
}

#[test]
fn a_link_of_the_commit_is_not_followed() {
    let mut case = Case::new(&[]);
    let outside = case.place.path("outside");
    fs::create_dir(&outside).expect("writable");
    symlink(&outside, case.place.path("src/l")).expect("writable");
    case.place.git("src", &["add", "l"]);
    case.place.git("src", &["commit", "-q", "-m", "l"]);
    case.place.git("src", &["push", "-q"]);
    case.place.git("dst", &["fetch", "-q"]);
    case.settle();
    // The model does not know what the commit has.
    case.file(b"l/x", b"x", 0o644);
    case.check().expect("nothing in it is wrong by itself");
    let repo = case.dst();
    let plan = plan(&repo, &case.model, &case.place.path("staged"), &case.new_at(false), &case.options()).expect("a plan");
    let undo = prepare(&plan).expect("prepared");
    apply(&plan, &undo, &|_, _| Ok(())).expect_err("refused");
    assert_eq!(fs::read_dir(&outside).expect("there").count(), 0);
    undo.undo(&repo, false).expect("taken back");
    assert!(!case.place.path("new tree").exists());
}

#[test]
fn a_pack_that_lies_changes_nothing() {
    let mut case = Case::new(&[]);
    case.place.commit("src", "new", "new\n");
    case.pack("origin/main");
    let good = fs::read(case.place.path("staged").join(PACK)).expect("there");
    let trees = case.place.git("dst", &["worktree", "list"]);
    let mut try_one = |bytes: &[u8], claim: &dyn Fn(&mut Pack)| {
        case.stage(PACK, bytes);
        let mut pack = Pack { objects: 3, size: bytes.len() as u64, commits: 1 };
        claim(&mut pack);
        case.model.pack = Some(pack);
        let error = case.restore(&case.dst(), &case.new_at(true)).expect_err("refused").to_string();
        assert!(!error.contains('\n'), "{error}");
        assert!(!case.place.path("new tree").exists());
        assert_eq!(case.place.git("dst", &["worktree", "list"]), trees);
    };
    try_one(&good[..good.len() - 30], &|_| ());
    try_one(&good, &|pack| pack.objects = 2);
    try_one(&good, &|pack| pack.size += 1);
    let mut flipped = good.clone();
    flipped[20] ^= 0xff;
    try_one(&flipped, &|_| ());
    try_one(b"PACK\0\0\0\x02\0\0\0\x03", &|_| ());
    // A commit that nobody sent.
    case.model.head.commit = Some(Oid(gix::hash::ObjectId::from_hex("1".repeat(40).as_bytes()).expect("hexadecimal")));
    case.stage(PACK, &good);
    case.model.pack = Some(Pack { objects: 3, size: good.len() as u64, commits: 1 });
    assert!(matches!(case.restore(&case.dst(), &case.new_at(true)), Err(Error::NotBrought(_))));
    assert!(!case.place.path("new tree").exists());
}

/// Bytes in the form that zlib gives to what it cannot pack.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let blocks = bytes.len().div_ceil(0xffff);
    for (n, block) in bytes.chunks(0xffff).enumerate() {
        let len = u16::try_from(block.len()).expect("short");
        out.push(u8::from(n + 1 == blocks));
        out.extend(len.to_le_bytes());
        out.extend((!len).to_le_bytes());
        out.extend(block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for &byte in bytes {
        a = (a + u32::from(byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    out.extend(((b << 16) | a).to_be_bytes());
    out
}

fn varint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n > 0x7f {
        out.push((n as u8 & 0x7f) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

/// As `varint`, with the kind of object in the first byte.
fn head(kind: u8, size: u64) -> Vec<u8> {
    let mut out = varint(size >> 4);
    out.insert(0, (kind << 4) | (size as u8 & 0xf) | 0x80);
    out
}

#[test]
fn a_pack_that_unpacks_without_end_ends() {
    const COPIES: u64 = 70_000;
    let mut delta = [varint(0x10000), varint(0x10000 * COPIES)].concat();
    // "Copy 64 KiB from the beginning", each in one byte.
    delta.extend(std::iter::repeat_n(0x80, COPIES as usize));
    let mut pack = [&b"PACK\0\0\0\x02\0\0\0\x02"[..], &head(3, 0x10000), &stored(&[0; 0x10000])].concat();
    let back = pack.len() as u64 - 12;
    pack.extend(head(6, delta.len() as u64));
    let (high, low) = ((back >> 7) - 1, back & 0x7f);
    assert!(high > 0x7f, "three bytes");
    pack.extend([(((high >> 7) - 1) as u8) | 0x80, (high as u8 & 0x7f) | 0x80, low as u8]);
    pack.extend(stored(&delta));
    let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
    hasher.update(&pack);
    pack.extend(hasher.try_finalize().expect("no collision").as_slice());
    let mut case = Case::new(&[]);
    case.stage(PACK, &pack);
    case.model.pack = Some(Pack { objects: 2, size: pack.len() as u64, commits: 0 });
    let error = case.restore(&case.dst(), &case.new_at(false)).expect_err("more than 4 GiB").to_string();
    assert!(error.to_lowercase().contains("out of memory"), "{error}");
    assert!(!case.place.path("new tree").exists());
}
