//! Each target over genuine input and over what is made of it, in a process with little memory.
//!
//! `SAMESESSION_CASES` says how often: a few seconds' worth is the default. `SAMESESSION_CORPUS` names a directory into
//! which the genuine input is written, for `cargo fuzz`.

use std::panic;
use std::process::Command;
use std::time::{Duration, Instant};

use super::mutate::{Random, mutate};
use super::{TARGETS, Target};

/// As the limit of a capsule's own memory in `tests/hostile.rs`; the program itself and its threads are in it.
const MEBIBYTES: usize = 400;
const MOST: usize = 256 << 10;
const INSIDE: &str = "SAMESESSION_FUZZING_INSIDE";
/// In a debug build, on a busy machine.
const SLOW: Duration = Duration::from_secs(20);

fn cases() -> u64 {
    std::env::var("SAMESESSION_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(60)
}

fn one(target: &Target, case: u64, bytes: &[u8]) {
    let begun = Instant::now();
    if panic::catch_unwind(|| (target.run)(bytes)).is_err() {
        panic!("{} panics in case {case}, over {} bytes: {}", target.name, bytes.len(), bytes[..bytes.len().min(4000)].escape_ascii());
    }
    assert!(begun.elapsed() < SLOW, "{} takes {:?} in case {case}", target.name, begun.elapsed());
}

#[test]
fn genuine_input_is_read() {
    let corpus = std::env::var_os("SAMESESSION_CORPUS");
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{}", target.name);
        for (n, seed) in seeds.iter().enumerate() {
            one(target, 0, seed);
            if let Some(corpus) = &corpus {
                let dir = std::path::Path::new(corpus).join(target.name);
                std::fs::create_dir_all(&dir).expect("made");
                std::fs::write(dir.join(format!("seed-{n}")), seed).expect("written");
            }
        }
    }
}

/// The other one in a process of its own, since what takes all memory takes the process.
#[test]
fn nothing_that_others_write_ends_the_process_or_takes_its_memory() {
    let itself = std::env::current_exe().expect("a program");
    let run = |name: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -v \"$0\" && exec \"$@\""]).arg((MEBIBYTES << 10).to_string()).arg(&itself);
        shell.args(["--exact", "fuzzing::tests::within_little_memory", "--nocapture", "--test-threads=1"]);
        // Each arena of the allocator sets aside 64 MiB of addresses, which are no memory.
        shell.env(INSIDE, name).env("MALLOC_ARENA_MAX", "1").env("RUST_BACKTRACE", "0").output().expect("a shell")
    };
    let mut failed = String::new();
    for target in TARGETS {
        let out = run(target.name);
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        if !out.status.success() || !said.contains("1 passed") {
            failed.push_str(&format!("{}: {}\n{said}\n", target.name, out.status));
        }
    }
    assert!(failed.is_empty(), "{failed}");
    // The bound is one.
    assert!(!run("all memory").status.success());
}

#[test]
fn within_little_memory() {
    let Ok(name) = std::env::var(INSIDE) else { return };
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        let all = vec![1_u8; MEBIBYTES << 20];
        panic!("{} bytes were to be had", std::hint::black_box(all).len());
    };
    let seeds = (target.seeds)();
    for case in 0..cases() {
        let mut random = Random::new(case);
        one(target, case, &mutate(&mut random, &seeds, MOST));
    }
}

/// `cargo fuzz` knows the same targets, and the ones with nothing to be said of the product are none.
#[test]
fn each_target_is_one_of_cargo_fuzz() {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/Cargo.toml")).expect("a manifest");
    let named = manifest.split("[[bin]]").skip(1).filter_map(|bin| bin.split("name = \"").nth(1)?.split('"').next());
    let here = TARGETS.iter().map(|target| target.name).chain(["remote-helper"]);
    assert!(named.eq(here), "fuzz/Cargo.toml lists others");
}
