//! The promise of the format, for checkpoints: nothing of ours is needed to open one. The man page's recipe is run as it
//! stands there, by a shell that finds no program of ours.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::support::agents::skipped;
use crate::support::forge::hash;
use crate::support::sandbox::{CLAUDE_RICH, Machine, Sandbox};

const TOOLS: &[&str] = &["age", "zstd", "tar", "awk", "sha256sum"];

/// What is to be typed in a section of the page, one block behind the other.
fn typed(section: &str) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/samesession-format.5")).expect("the page");
    let (_, after) = page.split_once(&format!("\n.Sh {section}\n")).expect("the section");
    let within = after.split("\n.Sh ").next().unwrap_or_default();
    let mut script = String::new();
    let mut inside = false;
    for line in within.lines() {
        match line {
            ".Bd -literal -offset indent" => inside = true,
            ".Ed" => inside = false,
            line if inside => script += &format!("{}\n", line.strip_prefix("$ ").unwrap_or(line).replace("\\e", "\\").replace("\\&", "")),
            _ => {}
        }
    }
    script
}

/// Whether all of them are here; said where one is not.
fn there(machine: &Machine, tools: &[&str]) -> bool {
    let lacking = tools.iter().find(|tool| machine.command(tool).arg("--version").output().is_err());
    if let Some(tool) = lacking {
        skipped(&format!("{tool} is not installed"));
    }
    lacking.is_none()
}

/// The recipe, run by `/bin/sh` in this machine's project; returns what it printed.
fn by_hand(machine: &Machine, sid: &str, recipe: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::env::split_paths(&path).filter(|dir| !dir.join("git-samesession").exists())).expect("a path");
    let script = format!("set -e\nsid={sid}\n{recipe}");
    let output = machine.command("sh").env("PATH", path).args(["-c", &script]).output().expect("a shell");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{script}\n{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    printed
}

fn git(machine: &Machine, args: &[&str]) {
    let output = machine.command("git").args(args).output().expect("git");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Some megabytes, which repeat themselves over long distances as transcripts do.
fn grow(transcript: &Path, lines: std::ops::Range<u32>) {
    let mut text = fs::read_to_string(transcript).expect("the session");
    for n in lines {
        let word = hash(&(n % 1500).to_be_bytes());
        text += &format!("{{\"type\":\"user\",\"n\":{n},\"message\":{{\"content\":\"{word} {}\"}}}}\n", word.repeat(2));
    }
    fs::write(transcript, text).expect("written");
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(dir).expect("a directory").flatten().map(|entry| entry.path()) {
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn a_checkpoint_opens_by_hand_as_the_page_says() {
    for format in ["sha1", "sha256"] {
        let sandbox = Sandbox::new();
        let (laptop, desktop) = (sandbox.machine("laptop"), sandbox.machine("desktop"));
        laptop.init().with_claude();
        desktop.init();
        if !there(&laptop, TOOLS) {
            return;
        }
        git(&laptop, &["init", "-q", "--object-format", format]);
        let transcript = laptop.claude_project().join(format!("{CLAUDE_RICH}.jsonl"));
        grow(&transcript, 0..8000);
        laptop.run(["checkpoint", CLAUDE_RICH, "-r", &desktop.recipient()]).ok();
        // A second one, so that parts come from two, with an end that is not whole.
        grow(&transcript, 8000..8500);
        let text = fs::read_to_string(&transcript).expect("the session");
        fs::write(&transcript, format!("{text}{{\"torn")).expect("written");
        let sid = laptop.json(["checkpoint", CLAUDE_RICH])["sid"].as_str().expect("a sid").to_owned();

        // On the other machine there are the repository and a key.
        git(&desktop, &["clone", "-q", "--mirror", laptop.cwd.to_str().expect("UTF-8"), "."]);
        fs::copy(desktop.home.join(".config/samesession/device/identity.txt"), desktop.cwd.join("key.txt")).expect("copied");
        let printed = by_hand(&desktop, &sid, &typed("A CHECKPOINT BY HAND"));
        let restored = desktop.cwd.join("restored");
        let session = restored.join("session");
        let arrived = files(&session);
        assert!(arrived.len() > 5, "{arrived:?}");
        for file in &arrived {
            let original = laptop.claude().join(file.strip_prefix(&session).expect("below it"));
            let (mut expected, found) = (fs::read(&original).expect("the laptop's"), fs::read(file).expect("restored"));
            if original == transcript {
                expected.truncate(text.len());
            }
            assert!(expected == found, "{} has {} bytes and not {}", file.display(), found.len(), expected.len());
            assert!(printed.contains(&format!("{}: OK\n", file.strip_prefix(&restored).expect("below it").display())), "{printed}");
        }
        let torn = files(&restored.join("torn"));
        assert_eq!(torn.iter().map(|file| fs::read(file).expect("restored")).collect::<Vec<_>>(), [b"{\"torn"]);
        assert_eq!(printed.matches(": OK\n").count(), arrived.len() + 1, "{printed}");
        let packed_with_it = fs::read_to_string(restored.join("list")).expect("the list");
        assert!(packed_with_it.lines().any(|line| !line.ends_with(" -")), "a dictionary is needed: {packed_with_it}");
        assert_eq!(fs::metadata(restored.join("contents")).expect("there").mode() & 0o077, 0);

        // Whose it is, by the tools that everybody has.
        if there(&laptop, &["ssh-keygen"]) {
            signed_by(&laptop, &desktop, &sid);
        }
    }
}

/// The laptop's key, in the form that Git and `ssh-keygen` take, is that of the commit, the record and the manifest.
fn signed_by(laptop: &Machine, desktop: &Machine, sid: &str) {
    let key = fs::read_to_string(laptop.home.join(".config/samesession/device/signing_key.pub")).expect("a key");
    fs::write(desktop.cwd.join("signers"), format!("laptop {key}")).expect("written");
    let output = desktop
        .command("git")
        .args(["-c", "gpg.ssh.allowedSignersFile=signers", "verify-commit", &format!("refs/samesession/sessions/{sid}")])
        .output()
        .expect("git");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("Good \"git\" signature for laptop"), "{said}");
    for signed in ["checkpoint.json", "manifest.json"] {
        let script = format!("ssh-keygen -Y verify -f signers -I laptop -n samesession -s restored/{signed}.sig < restored/{signed} 2>&1");
        let output = desktop.command("sh").args(["-c", &script]).output().expect("a shell");
        assert!(output.status.success(), "{signed}: {}", String::from_utf8_lossy(&output.stdout));
    }
}
