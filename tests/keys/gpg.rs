//! Commits that gpg signs besides, for `git verify-commit` and the user's own keyring. Our readers take no notice of it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::{PASSPHRASE, installed};
use crate::hostile_chains::Scene;
use crate::support::chains::{Team, acquaint, id, write_script};
use crate::support::clones::{Project, SESSION};
use crate::support::forged::{feed, signed};
use crate::support::sandbox::{Machine, path};
use crate::trust::{KINDS, every_kind};

const OWNER: &str = "Owner <owner@example.org>";
const PGP: &str = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n iIUE\n -----END PGP SIGNATURE-----\n";
const MESSAGE: &str = "samesession checkpoint\n";

/// gpg's home, with a name that its sockets fit below. Whatever it has started ends with this.
struct Keyring(TempDir);

impl Keyring {
    fn new(passphrase: &str) -> Keyring {
        let private = fs::Permissions::from_mode(0o700);
        let keyring = Keyring(tempfile::Builder::new().prefix("gpg-").permissions(private).tempdir().expect("a directory"));
        let about = ["--quick-gen-key", OWNER, "ed25519", "sign", "0"];
        keyring.gpg(&["-q", "--batch", "--pinentry-mode", "loopback", "--passphrase", passphrase], &about);
        // What was typed just now is not remembered.
        keyring.end();
        keyring
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", path()).env("GNUPGHOME", self.0.path());
        command
    }

    fn gpg(&self, options: &[&str], args: &[&str]) -> String {
        let out = self.command("gpg").args(options).args(args).output().expect("gpg");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    fn fingerprint(&self) -> String {
        let listed = self.gpg(&["--with-colons"], &["-K"]);
        let line = listed.lines().find(|line| line.starts_with("fpr:")).expect("a key");
        line.split(':').nth(9).expect("a fingerprint").to_owned()
    }

    /// This machine's gpg has it, and Git is to sign with it.
    fn of(&self, machine: &Machine) -> Machine {
        let machine = machine.env("GNUPGHOME", self.0.path());
        machine.git(["config", "samesession.sign", "git"]);
        machine.git(["config", "user.signingKey", "owner@example.org"]);
        machine
    }

    fn end(&self) {
        let _ = self.command("gpgconf").args(["--kill", "all"]).status();
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        self.end();
        let _ = self.command("gpgconf").arg("--remove-socketdir").output();
    }
}

fn text_of(machine: &Machine, commit: &str) -> String {
    machine.git(["cat-file", "commit", commit])
}

/// Git and the keyring agree on whose it is.
#[track_caller]
fn verified(machine: &Machine, commit: &str, fingerprint: &str) {
    let out = verify(machine, commit);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && said.contains(&format!("[GNUPG:] VALIDSIG {fingerprint}")), "{said}");
}

fn verify(machine: &Machine, commit: &str) -> Output {
    machine.command("git").args(["verify-commit", "--raw", commit]).output().expect("git")
}

/// As samesession-format(5) says.
fn by_hand(machine: &Machine, commit: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/samesession-format.5");
    let page = fs::read_to_string(page).expect("the page").replace("\\e", "\\");
    let (_, recipe) = page.split_once("who made such a commit:\n.Bd -literal -offset indent\n").expect("the recipe");
    let (recipe, _) = recipe.split_once(".Ed").expect("its end");
    let script: String = recipe.lines().map(|line| format!("{}\n", line.strip_prefix("$ ").unwrap_or(line))).collect();
    let elsewhere = machine.at(machine.home.join("by-hand"));
    let out = elsewhere
        .env("GIT_DIR", machine.cwd.join(".git"))
        .env("commit", commit)
        .command("sh")
        .args(["-ec", &script])
        .output()
        .expect("a shell");
    String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()
}

/// Nothing was made, and it is said in a line, with a way out in another.
#[track_caller]
fn refused(machine: &Machine, says: &str) {
    let before = (machine.refs(""), machine.git(["count-objects", "-v"]));
    let ran = machine.run(["checkpoint", &id(1)]).fails(1, says).hints("git config samesession.sign device");
    assert_eq!(ran.stderr().lines().count(), 2, "{}", ran.stderr());
    assert_eq!((machine.refs(""), machine.git(["count-objects", "-v"])), before);
}

/// Captures, leases, changes of readers, joins, shortened and deleted chains, rosters and requests.
#[test]
fn git_verifies_every_kind_of_commit_by_the_users_keyring() {
    if !installed("gpg") {
        return;
    }
    let keyring = Keyring::new("");
    let story = every_kind(|machine| keyring.of(&machine));
    let fingerprint = keyring.fingerprint();
    let laptop = &story.laptop;
    let mut kinds = BTreeSet::new();
    for (commit, kind) in &story.commits {
        let text = text_of(laptop, commit);
        let (head, _) = text.split_once("\n\n").expect("a message");
        for header in ["\nsamesession-sig -----BEGIN SSH SIGNATURE-----\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n"] {
            assert_eq!(head.matches(header).count(), 1, "{text}");
        }
        verified(laptop, commit, &fingerprint);
        kinds.insert(*kind);
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), KINDS);
    let checked = laptop.command("git").args(["fsck", "--strict", "--no-progress", "--no-dangling"]).output().expect("git");
    let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("notice: ")).collect();
    assert!(checked.status.success() && said.is_empty(), "{said:?}");
}

/// What is made with gpg is shortened, restored, believed and gone on with where there is no such key, in both formats of
/// Git's; and gpg is not asked there.
#[test]
fn machines_without_gpg_read_and_go_on_in_either_format() {
    if !["gpg", "ssh-keygen"].into_iter().all(installed) {
        return;
    }
    let keyring = Keyring::new("");
    for format in ["sha1", "sha256"] {
        let project = Project::new();
        let store = project.sandbox.path().join("store.git");
        let object_format = format!("--object-format={format}");
        let machines = ["laptop", "desktop"].map(|name| {
            let machine = project.sandbox.machine(name);
            machine.init().git(["init", "-q", &object_format]);
            machine.git(["remote", "add", "origin", store.to_str().expect("UTF-8")]);
            machine.git(["config", "--add", "remote.origin.fetch", "+refs/samesession/*:refs/samesession-remote/origin/*"]);
            machine
        });
        acquaint(&machines);
        let [laptop, desktop] = machines;
        laptop.git(["init", "-q", "--bare", &object_format, store.to_str().expect("UTF-8")]);
        let (laptop, asked) = (keyring.of(&laptop), desktop.home.join("asked"));
        write_script(&desktop.home.join("gpg"), &format!("touch {}; exit 1", asked.display()));
        desktop.git(["config", "gpg.program", desktop.home.join("gpg").to_str().expect("UTF-8")]);
        for words in ["one", "two", "three"] {
            laptop.checkpoint(words, &[]);
        }
        laptop.run_here(["gc", SESSION, "--keep-last", "2"]).ok();
        assert_eq!(laptop.count(&laptop.tip()), 2);
        for commit in laptop.git(["rev-list", &laptop.tip()]).lines() {
            verified(&laptop, commit, &keyring.fingerprint());
        }
        laptop.run_here(["push", SESSION]).ok();
        // The signer is the device, as ever, also by hand.
        let said = by_hand(&laptop, &laptop.tip());
        assert!(said.contains("Good \"git\" signature") && said.contains(&laptop.fingerprint()), "{said}");
        desktop.run_here(["fetch"]).ok();
        let restored = desktop.run_here(["restore", SESSION]).ok();
        assert!(restored.stdout().contains(&format!("signed by laptop ({})", laptop.fingerprint())), "{}", restored.stdout());
        assert_eq!(desktop.heard(), laptop.heard());
        // Two ways from there, joined by who signs with gpg.
        desktop.say("the desktop's");
        desktop.run_here(["checkpoint", SESSION]).ok();
        desktop.run_here(["push", SESSION]).ok();
        laptop.say("the laptop's");
        laptop.run_here(["checkpoint", SESSION]).ok();
        let way = laptop.tip();
        laptop.run_here(["push", SESSION]).ok();
        assert_eq!(laptop.git(["log", "-1", "--format=%P", &laptop.tip()]).split_whitespace().count(), 2, "a join");
        verified(&laptop, &laptop.tip(), &keyring.fingerprint());
        desktop.run_here(["fetch"]).ok();
        desktop.run_here(["restore", &way, "--session-only", "--set-aside"]).ok();
        assert_eq!(desktop.heard(), laptop.heard());
        for machine in [&laptop, &desktop] {
            machine.assert_sound(true);
        }
        assert!(!asked.exists(), "gpg was asked");
        // What gpg signed is what it is: the keyring does not agree to another commit with the same signature.
        let (tip, parent) = (laptop.tip(), laptop.rev(&format!("{}~1", laptop.tip())));
        let other = text_of(&laptop, &tip).replacen(&parent, &tip, 1);
        let other = feed(&laptop, &["hash-object", "-t", "commit", "-w", "--stdin"], other.as_bytes());
        assert!(!verify(&laptop, &other).status.success());
    }
}

#[test]
fn what_gpg_does_not_sign_is_not_made_and_nobody_is_asked_where_nobody_is() {
    if !installed("gpg") {
        return;
    }
    let keyring = Keyring::new(PASSPHRASE);
    let team = Team::new();
    let laptop = keyring.of(&team.machine("laptop"));
    laptop.begin(&id(1));
    laptop.run(["checkpoint", &id(1), "-n"]).ok();
    // Its agent's way of asking, which is on the way where somebody could answer.
    let (pinentry, asked) = (laptop.home.join("pinentry"), laptop.home.join("asked"));
    write_script(&pinentry, &format!("touch {}; exit 1", asked.display()));
    fs::write(keyring.0.path().join("gpg-agent.conf"), format!("pinentry-program {}\n", pinentry.display())).expect("written");
    refused(&laptop.env("SAMESESSION_UNATTENDED", "1"), "'gpg' made no signature: gpg: signing failed");
    // Nor by a hook, which lets the push pass and writes down why.
    laptop.run(["hook", "install", "--git"]).ok();
    laptop.push_code().ok();
    assert_eq!(laptop.local_tip(), None);
    let log = laptop.hook_log();
    assert!(log.lines().count() == 1 && log.contains("NOT done") && log.contains("gpg: signing failed"), "{log}");
    laptop.run(["hook", "uninstall"]).ok();
    assert!(!asked.exists(), "somebody was asked");
    refused(&laptop, "cannot sign a commit as Git would: 'gpg' made no signature: gpg: signing failed");
    assert!(asked.exists());
    fs::remove_file(&asked).expect("there");
    // What the agent remembers needs nobody.
    let remembered = laptop.home.join("remembered");
    fs::write(&remembered, "x").expect("written");
    keyring.gpg(&["--batch", "--pinentry-mode", "loopback", "--passphrase", PASSPHRASE, "-b"], &[remembered.to_str().expect("UTF-8")]);
    laptop.env("SAMESESSION_UNATTENDED", "1").run(["checkpoint", &id(1)]).ok();
    verified(&laptop, &laptop.local_tip().expect("a tip"), &keyring.fingerprint());
    assert!(!asked.exists());
    laptop.adds(&id(1), "more");

    laptop.git(["config", "user.signingKey", "nobody@example.org"]);
    refused(&laptop, "nobody@example.org\": No secret key");
    let program = laptop.home.join("signer");
    laptop.git(["config", "gpg.program", program.to_str().expect("UTF-8")]);
    refused(&laptop, "signer' cannot be started");
    for (script, says) in [
        ("cat >/dev/null; echo '[GNUPG:] BEGIN_SIGNING' >&2; echo no >&2; echo again >&2; exit 2", "made no signature: no; again"),
        ("cat >/dev/null; echo '-----BEGIN PGP SIGNATURE-----'", "made no signature: exit status: 0"),
        ("cat >/dev/null; echo '[GNUPG:] SIG_CREATED x' >&2; echo nonsense", "readers could not take what it makes"),
        ("cat >/dev/null; echo '[GNUPG:] SIG_CREATED x' >&2; echo '-----BEGIN SSH SIGNATURE-----'", "readers could not take what it makes"),
        ("exit 3", "made no signature: exit status: 3"),
    ] {
        write_script(&program, script);
        refused(&laptop, says);
    }
    // Without a key's name it is the committer's, as for Git.
    laptop.git(["config", "--unset", "user.signingKey"]);
    write_script(&program, "printf '%s\\n' \"$*\" >&2; exit 1");
    let named = laptop.env("GIT_COMMITTER_NAME", "Some One").env("GIT_COMMITTER_EMAIL", "one@example.org");
    refused(&named, "--status-fd=2 -bsau Some One <one@example.org>");
    let unattended = named.env("SAMESESSION_UNATTENDED", "1");
    refused(&unattended, "signature: --batch --no-tty --pinentry-mode error --status-fd=2 -bsau Some One");
    laptop.git(["config", "user.useConfigOnly", "true"]);
    refused(&laptop, "user.signingKey is not set, and git var failed");
}

/// Git's other program takes the same words.
#[test]
fn gpgsm_signs_as_well() {
    if !["gpgsm", "gpg"].into_iter().all(installed) {
        return;
    }
    let keyring = Keyring::new("");
    let place = keyring.0.path();
    let wanted = "Key-Type: RSA\nKey-Length: 2048\nKey-Usage: sign\nSerial: random\nName-DN: CN=Owner\nNot-After: 2036-01-01 00:00:00\n";
    fs::write(place.join("wanted"), wanted).expect("written");
    let certificate = place.join("certificate");
    let run = |args: &[&str]| {
        let out = keyring.command("gpgsm").args(args).stdin(Stdio::null()).output().expect("gpgsm");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let (wanted, made) = (place.join("wanted"), certificate.to_str().expect("UTF-8"));
    let options = ["--batch", "--pinentry-mode", "loopback", "-o", made, "--gen-key"];
    // It makes a certificate and says that it was not told of a passphrase, as which it takes none.
    let _ = keyring.command("gpgsm").args(options).arg(&wanted).stdin(Stdio::null()).output().expect("gpgsm");
    run(&["--batch", "--import", made]);
    let listed = run(&["--with-colons", "-K"]);
    let print = listed.lines().find(|line| line.starts_with("fpr:")).and_then(|line| line.split(':').nth(9)).expect("a fingerprint");
    fs::write(place.join("trustlist.txt"), format!("{print} S relax\n")).expect("written");
    fs::write(place.join("gpgsm.conf"), "disable-crl-checks\n").expect("written");
    keyring.end();
    let team = Team::new();
    let laptop = keyring.of(&team.machine("laptop")).env("SAMESESSION_UNATTENDED", "1");
    laptop.git(["config", "gpg.format", "x509"]);
    laptop.git(["config", "user.signingKey", print]);
    laptop.begin(&id(1));
    laptop.run(["checkpoint", &id(1)]).ok();
    let tip = laptop.local_tip().expect("a tip");
    assert!(text_of(&laptop, &tip).contains("\ngpgsig -----BEGIN SIGNED MESSAGE-----\n"));
    let out = verify(&laptop, &tip);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && said.contains(&format!("[GNUPG:] GOODSIG {print}")), "{said}");
    laptop.run(["restore", &tip, "--session-only"]).ok();
    laptop.assert_sound(false);
}

/// Beside a signature of gpg's, which anybody could put there, one of ours decides, and it must be the only one.
#[test]
fn who_made_it_is_said_by_one_signature_of_ours() {
    let scene = Scene::new();
    let forged = scene.next();
    let head = forged.head(&forged.tree());
    let ours = |by: &Machine| signed(&head, by).replacen("gpgsig", "samesession-sig", 1);
    let (own, victims) = (ours(&scene.maker), ours(&scene.victim));
    let commit = |head: &str, signatures: &[&str]| forged.write_commit(&format!("{head}{}\n{MESSAGE}", signatures.concat()));
    let form = "it is not written as one";
    let cases: [(&str, Vec<&str>, &str); 6] = [
        ("two of ours", vec![&own, &victims, PGP], form),
        ("two of gpg's", vec![&own, PGP, PGP], form),
        ("ours without another", vec![&own], form),
        ("gpg's alone", vec![PGP], "the signature is bad"),
        ("ours with nothing in it", vec!["samesession-sig x\n", PGP], "the signature is bad"),
        ("nobody's", vec![&own, "gpgsig x\n"], form),
    ];
    for (what, signatures, says) in cases {
        let id = commit(&head, &signatures);
        scene.refuses(what, &id, 128, says);
        scene.victim.run_here(["restore", &id, "--allow-unsigned"]).fails(128, says);
    }
    // An SSH signature in both places, by whomever.
    for by in [&scene.maker, &scene.victim] {
        let gits = signed(&head, by);
        scene.refuses("SSH in both", &commit(&head, &[&own, &gits]), 128, form);
        scene.refuses("both changed about", &commit(&head, &[&victims, &gits]), 128, form);
    }
    // One that was made for another commit.
    let parent = format!("parent {}\n", scene.first);
    let moved = head.replace("author ", &format!("{parent}author "));
    scene.refuses("another commit", &commit(&moved, &[&own, PGP]), 128, "the signature is bad");
    // Somebody unknown, whatever gpg's says.
    let stranger = scene.project.plain("stranger");
    let id = commit(&head, &[&ours(&stranger), PGP]);
    scene.show(&id);
    let said = scene.victim.run_here(["restore", &id]).fails_with(1);
    assert!(said.stderr().contains(&stranger.fingerprint()), "{}", said.stderr());
    // As it is written, gpg's is not looked at.
    let good = commit(&head, &[&own, PGP]);
    scene.show(&good);
    let restored = scene.victim.run_here(["restore", &good]).ok();
    assert!(restored.stdout().contains(&scene.maker.fingerprint()), "{}", restored.stdout());
}
