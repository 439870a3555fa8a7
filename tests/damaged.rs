//! Files that are not what they were, or never were a capsule: one clear line, and nothing written.

use std::fs;
use std::path::Path;
use std::thread;

use crate::support::forge::{CLAUDE_FORGED, Entry, Forge, Victim, hash, pack, tar};

/// What age seals at once, and the tag behind it.
const CHUNK: usize = (64 << 10) + 16;
const WORKERS: usize = 4;

/// A capsule of three chunks, the last one not full.
fn capsule_of(victim: &Victim) -> Vec<u8> {
    let noise: String = (0..2400).map(|n| hash(format!("{n}").as_bytes())).collect();
    let name = format!("session/projects/-src-app/{CLAUDE_FORGED}/tool-results/noise");
    let sealed = fs::read(Forge::claude(&victim.machine).add(Entry::file(name, noise)).write()).expect("written");
    assert!(sealed.len() > header_len(&sealed) + CHUNK + 40, "{} bytes", sealed.len());
    sealed
}

/// The age header with its MAC and the nonce behind it.
fn header_len(sealed: &[u8]) -> usize {
    let mac = sealed.windows(5).position(|bytes| bytes == b"\n--- ").expect("a header") + 5;
    mac + 44 + 16
}

/// All of the header, the edges of the chunks, the last bytes, and places in between.
fn offsets(sealed: &[u8]) -> Vec<usize> {
    let (header, end) = (header_len(sealed), sealed.len());
    let edges = (0..).map(|n| header + n * CHUNK).take_while(|edge| *edge < end);
    let mut all: Vec<usize> = (0..header).chain(edges.flat_map(|edge| edge.saturating_sub(18)..edge + 18)).collect();
    all.extend((header..end).step_by((end - header) / 60));
    all.extend(end - 40..end);
    all.retain(|at| *at < end);
    all.sort_unstable();
    all.dedup();
    all
}

/// Every offset once, each worker with a victim of its own, since each looks at all that has changed around it.
fn each_offset(check: impl Fn(&Victim, &[u8], usize) + Sync) {
    thread::scope(|scope| {
        let check = &check;
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                scope.spawn(move || {
                    let victim = Victim::new();
                    let sealed = capsule_of(&victim);
                    let offsets = offsets(&sealed);
                    assert!(offsets.len() > 300, "{}", offsets.len());
                    offsets.iter().skip(worker).step_by(WORKERS).for_each(|at| check(&victim, &sealed, *at));
                    victim.restore(&Forge::claude(&victim.machine).write_sealed(&sealed)).ok();
                })
            })
            .collect();
        // Joined by hand, so that the first failure's own words are what the test fails with.
        for worker in workers {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

#[test]
fn cut_short_anywhere() {
    each_offset(|victim, sealed, at| {
        let file = Forge::claude(&victim.machine).write_sealed(&sealed[..at]);
        let what = format!("the first {at} bytes");
        if at < "age-encryption.org/v1\n".len() {
            victim.refuses(&what, &file, 128, "not a capsule");
        } else {
            victim.refuses(&what, &file, 128, "the capsule is damaged: ").hints("get the capsule again");
        }
    });
}

#[test]
fn one_bit_flipped_anywhere() {
    each_offset(|victim, sealed, at| {
        let mut sealed = sealed.to_vec();
        let header = header_len(&sealed);
        sealed[at] ^= 1 << (at % 8);
        let file = Forge::claude(&victim.machine).write_sealed(&sealed);
        let what = format!("bit {} of byte {at}", at % 8);
        let code = victim.restore(&file).code();
        match code {
            // A header may be changed into one that is sealed to somebody else, or that is no header.
            Some(1) if at < header => victim.refuses(&what, &file, 1, "no key here opens this capsule"),
            _ if at < "age-encryption.org/v1\n".len() => victim.refuses(&what, &file, 128, "not a capsule"),
            _ => victim.refuses(&what, &file, 128, "the capsule is damaged: ").hints("get the capsule again"),
        };
    });
}

#[test]
fn chunks_swapped_repeated_or_left_out() {
    let victim = Victim::new();
    let sealed = capsule_of(&victim);
    let forge = Forge::claude(&victim.machine);
    let (header, payload) = sealed.split_at(header_len(&sealed));
    let chunks: Vec<&[u8]> = payload.chunks(CHUNK).collect();
    assert!(chunks.len() >= 2);
    let last = chunks.len() - 1;
    let with = |order: &[usize]| order.iter().fold(header.to_vec(), |all, n| [&all, chunks[*n]].concat());
    for (what, order) in
        [("swapped", vec![last, 0]), ("repeated", vec![0, 0, last]), ("without the last", vec![0]), ("only the last", vec![last])]
    {
        victim.refuses(what, &forge.write_sealed(&with(&order)), 128, "the capsule is damaged: ");
    }
    // The header of one, the payload of another.
    let other = capsule_of(&victim);
    let mixed = [header, &other[header_len(&other)..]].concat();
    victim.refuses("another's payload", &forge.write_sealed(&mixed), 128, "the capsule is damaged: ");
}

#[test]
fn things_that_are_no_capsule() {
    let victim = Victim::new();
    let forge = Forge::claude(&victim.machine);
    let plain = tar(&forge.entries());
    for (what, bytes) in [
        ("an empty file", vec![]),
        ("text", b"Dear Sir or Madam,\n".to_vec()),
        ("a picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec()),
        ("zeros", vec![0; 100_000]),
        ("a plain tar.zst", pack(&plain)),
        ("a plain tar", plain.clone()),
        ("an older age", b"age-encryption.org/v0\n-> X25519 x\n".to_vec()),
        ("armour", b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n".to_vec()),
    ] {
        victim.refuses(what, &forge.write_sealed(&bytes), 128, "not a capsule");
    }
    let other = tar(&[Entry::file("README", "hello")]);
    for (what, says, packed) in [
        ("age of text", "damaged", b"hello".to_vec()),
        ("age of nothing", "damaged", vec![]),
        ("age of a plain tar", "damaged", plain),
        ("age of zstd of text", "damaged", pack(b"hello")),
        ("age of zstd of nothing", "not a capsule", pack(b"")),
        ("age of somebody's tar.zst", "not a capsule: it does not begin with capsule.json", pack(&other)),
        ("age of half a zstd", "damaged", {
            let whole = pack(&other);
            whole[..whole.len() / 2].to_vec()
        }),
    ] {
        victim.refuses(what, &forge.write_packed(&packed), 128, says);
    }
    victim.refuses("a directory", &victim.machine.home, 128, "cannot read the capsule");
    victim.refuses("nothing there", &victim.machine.home.join("absent.capsule"), 128, "cannot open");
    victim.refuses("a device", Path::new("/dev/null"), 128, "not a capsule");
    victim.refuses("a device without end", Path::new("/dev/zero"), 128, "not a capsule");
}

#[test]
fn inspect_says_the_same() {
    let victim = Victim::new();
    let forge = Forge::claude(&victim.machine);
    let mut sealed = capsule_of(&victim);
    let inspect = |file: &Path| victim.machine.run(["inspect".as_ref(), file.as_os_str()]);
    let last = sealed.len() - 1;
    for (what, at) in [("the MAC", header_len(&sealed) - 20), ("the nonce", header_len(&sealed) - 1), ("the last byte", last)] {
        sealed[at] ^= 1;
        let file = forge.write_sealed(&sealed);
        victim.unchanged_by(what, 128, "the capsule is damaged: ", || inspect(&file));
        sealed[at] ^= 1;
    }
    let file = forge.write_sealed(b"Dear Sir or Madam,\n");
    victim.unchanged_by("text", 128, "not a capsule", || inspect(&file));
    inspect(&forge.write_sealed(&sealed)).ok();
}
