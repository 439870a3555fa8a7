//! Who may open, and who wrote: keys of every kind, passphrases, signatures, and the public tools beside ours.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use samesession::seal::SigningKey;
use serde_json::Value;

use crate::support::agents::installed;
use crate::support::agents::pty::Terminal;
use crate::support::forge::{CLAUDE_FORGED, Forge, Victim, hash, unseal};
use crate::support::sandbox::{CLAUDE, CLAUDE_RICH, Machine, Ran, Sandbox, snapshot};

const SECRET: &str = "correct horse";

fn machine(sandbox: &Sandbox, name: &str) -> Machine {
    let machine = sandbox.machine(name);
    machine.init();
    machine
}

/// A machine with sessions, and one that wants them.
fn pair(sandbox: &Sandbox) -> (Machine, Machine) {
    let pair = (machine(sandbox, "laptop"), machine(sandbox, "desktop"));
    pair.0.with_claude();
    pair
}

fn checkpoint<S: AsRef<OsStr>>(machine: &Machine, options: impl IntoIterator<Item = S>) -> (PathBuf, Ran) {
    let file = machine.home.parent().expect("in a sandbox").join("sealed.capsule");
    let _ = fs::remove_file(&file);
    let mut args = vec!["checkpoint".into(), CLAUDE.into(), "--output".into(), file.clone().into_os_string()];
    args.extend(options.into_iter().map(|option| option.as_ref().to_owned()));
    (file, machine.run(args))
}

/// `restore` into the machine's own directory, believing the machine that made it.
fn restore(machine: &Machine, file: &Path, from: &Machine, options: &[&OsStr]) -> Ran {
    let trust = from.fingerprint();
    let args = ["restore".as_ref(), file.as_os_str(), "--trust".as_ref(), trust.as_ref()];
    machine.run(args.into_iter().chain(options.iter().copied()))
}

fn arrived(machine: &Machine) -> bool {
    machine.claude_project().join(format!("{CLAUDE}.jsonl")).exists()
}

fn os(text: &impl AsRef<OsStr>) -> &OsStr {
    text.as_ref()
}

/// An SSH key pair as `ssh-keygen` makes it; returns the private one's path.
fn ssh_keygen(machine: &Machine, name: &str, options: &[&str]) -> PathBuf {
    let dir = machine.home.join(".ssh");
    fs::create_dir_all(&dir).expect("made");
    let file = dir.join(name);
    let made = machine.command("ssh-keygen").args(["-q", "-f"]).arg(&file).args(options).output().expect("ssh-keygen");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    file
}

/// The program at a terminal, which stays when the program ends and shows with which code.
pub fn terminal(machine: &Machine, args: &[&OsStr]) -> Option<Terminal> {
    if !installed("tmux") {
        return None;
    }
    let mut command = machine.command("sh");
    command.env("TERM", "screen").args(["-c", "git samesession \"$@\"; echo \"ended with $?.\"; exec sleep 300", "sh"]).args(args);
    Some(Terminal::open(&command))
}

pub fn answer(terminal: &Terminal, question: &str, answer: &str) {
    terminal.wait_for(question);
    terminal.write(answer);
    terminal.press("Enter");
}

#[test]
fn a_wrong_key_opens_nothing_and_is_told_so() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = pair(&sandbox);
    let stranger = machine(&sandbox, "stranger");
    let capsule = laptop.seal(CLAUDE, &desktop);
    let before = snapshot(&sandbox.path());
    let refused = stranger.run(["restore".as_ref(), capsule.as_os_str()]).fails(1, "no key here opens this capsule");
    refused.hints("--identity").hints("device show");
    let seen = stranger.json(["inspect".as_ref(), capsule.as_os_str()]);
    assert_eq!((&seen["opened"], &seen["manifest"]), (&Value::Bool(false), &Value::Null));
    assert_eq!(seen["sealed_to"], "2 X25519 keys");
    // A machine without any key says that, too.
    let blank = sandbox.machine("blank");
    blank.run(["restore".as_ref(), capsule.as_os_str()]).fails(1, "nothing, there is no key");
    let identity = stranger.home.join(".config/samesession/device/identity.txt");
    blank.run(["restore".as_ref(), capsule.as_os_str(), "-i".as_ref(), identity.as_os_str()]).fails(1, "no key here opens");
    fs::remove_dir_all(&blank.home).expect("removed");
    assert_eq!(snapshot(&sandbox.path()), before);
    let identity = desktop.home.join(".config/samesession/device/identity.txt");
    let blank = sandbox.machine("blank");
    restore(&blank, &capsule, &laptop, &[os(&"-i"), os(&identity)]).ok();
    assert!(arrived(&blank));
}

#[test]
fn any_of_several_recipients_opens_it() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = pair(&sandbox);
    let others = [machine(&sandbox, "phone"), machine(&sandbox, "server")];
    // As a file of keys with comments, as a key, and one twice.
    let list = sandbox.path().join("team.txt");
    fs::write(&list, format!("# the team\n{}\n\n{}\n", others[0].recipient(), others[1].recipient())).expect("written");
    let (capsule, sealed) =
        checkpoint(&laptop, [os(&"-r"), os(&list), os(&"-r"), os(&desktop.recipient()), os(&"-r"), os(&desktop.recipient())]);
    sealed.ok();
    for machine in others.iter().chain([&desktop]) {
        restore(machine, &capsule, &laptop, &[]).ok();
        assert!(arrived(machine), "{}", machine.name);
    }
    // And the one that made it, which nobody named.
    laptop.run(["restore".as_ref(), capsule.as_os_str()]).ok();
    assert_eq!(laptop.json(["inspect".as_ref(), capsule.as_os_str()])["sealed_to"], "4 X25519 keys");
}

#[test]
fn what_is_no_recipient_is_named_and_nothing_is_sealed() {
    let sandbox = Sandbox::new();
    let (laptop, _) = pair(&sandbox);
    let empty = sandbox.path().join("empty.txt");
    fs::write(&empty, "# nobody\n").expect("written");
    for (recipient, says) in [
        ("age1nonsense", "'age1nonsense' is not a recipient"),
        ("/no/such/file.pub", "'/no/such/file.pub' is neither a key nor a file"),
        (empty.to_str().expect("UTF-8"), "is not a recipient"),
        ("ssh-ed25519 AAAA", "is not a recipient"),
        ("ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABB", "'ecdsa-sha2-nistp256' cannot be a recipient"),
        ("sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t", "'sk-ssh-ed25519@openssh.com' cannot be a recipient"),
    ] {
        let (file, ran) = checkpoint(&laptop, ["-r", recipient]);
        ran.fails(128, says);
        assert!(!file.exists());
    }
    // More than a reader would look at.
    let many: String = (0..1500).map(|_| format!("{}\n", age::x25519::Identity::generate().to_public())).collect();
    let list = sandbox.path().join("crowd.txt");
    fs::write(&list, many).expect("written");
    let (file, ran) = checkpoint(&laptop, [os(&"-r"), os(&list)]);
    ran.fails(128, "header is longer");
    assert!(!file.exists());
    let left =
        fs::read_dir(sandbox.path()).expect("a directory").flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(left.count(), 0, "nothing half made is left");
}

#[test]
fn a_passphrase_comes_from_a_file_or_a_descriptor_and_never_from_an_argument() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = pair(&sandbox);
    let file = |name: &str, text: &str| {
        fs::write(sandbox.path().join(name), text).expect("written");
        sandbox.path().join(name)
    };
    let (right, wrong) = (file("right", &format!("{SECRET}\nignored\n")), file("wrong", "incorrect\n"));
    let (capsule, sealed) = checkpoint(&laptop, [os(&"--passphrase-file"), os(&right)]);
    sealed.ok();
    let before = snapshot(&sandbox.path());
    restore(&desktop, &capsule, &laptop, &[]).fails(1, "sealed with a passphrase").hints("--passphrase");
    restore(&desktop, &capsule, &laptop, &[os(&"--passphrase-file"), os(&wrong)]).fails(1, "wrong passphrase");
    restore(&desktop, &capsule, &laptop, &[os(&"--passphrase")]).fails(1, "no terminal").hints("--passphrase-file");
    restore(&desktop, &capsule, &laptop, &[os(&"--passphrase-file"), os(&"/no/such")])
        .fails(128, "cannot read a passphrase from '/no/such'");
    restore(&desktop, &capsule, &laptop, &[os(&"--passphrase-file"), os(&"/dev/null")]).fails(1, "the passphrase is empty");
    restore(&desktop, &capsule, &laptop, &[os(&"--passphrase-fd"), os(&"9")]).fails(128, "cannot read a passphrase");
    assert_eq!(snapshot(&sandbox.path()), before);
    let seen = desktop.json(["inspect".as_ref(), capsule.as_os_str()]);
    assert_eq!((&seen["opened"], seen["sealed_to"].as_str()), (&Value::Bool(false), Some("a passphrase")));

    let mut by_descriptor = desktop.command("sh");
    by_descriptor.args(["-c", "exec git samesession restore \"$0\" --trust \"$1\" --passphrase-fd 3 3<\"$2\""]);
    Ran(by_descriptor.arg(&capsule).arg(laptop.fingerprint()).arg(&right).output().expect("a shell")).ok();
    assert!(arrived(&desktop));

    for refused in [&["--passphrase=x"][..], &["--passphrase-fd", "x"]] {
        let (file, ran) = checkpoint(&laptop, refused);
        assert_eq!((ran.code(), file.exists()), (Some(129), false));
    }
    let right = right.to_str().expect("UTF-8");
    let recipient = desktop.recipient();
    for mixed in [
        vec!["--passphrase", "-r", &recipient],
        vec!["--passphrase-file", right, "-r", &recipient],
        vec!["--passphrase-fd", "3", "-r", &recipient],
        vec!["--passphrase", "--passphrase-file", right],
        vec!["--passphrase-file", right, "--passphrase-fd", "3"],
    ] {
        let (file, ran) = checkpoint(&laptop, mixed);
        assert_eq!((ran.code(), file.exists()), (Some(129), false), "{}", ran.stderr());
    }
}

#[test]
fn a_passphrase_is_asked_twice_and_not_shown() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = pair(&sandbox);
    let file = sandbox.path().join("sealed.capsule");
    let seal = [os(&"checkpoint"), os(&CLAUDE), os(&"-o"), os(&file), os(&"--passphrase")];
    let Some(screen) = terminal(&laptop, &seal) else { return };
    answer(&screen, "Passphrase:", SECRET);
    answer(&screen, "Once more:", "something else");
    screen.wait_for("error: the two passphrases differ");
    screen.wait_for("ended with 1.");
    assert!(!screen.screen().contains(SECRET) && !file.exists(), "{}", screen.screen());

    let screen = terminal(&laptop, &seal).expect("a terminal");
    answer(&screen, "Passphrase:", "");
    screen.wait_for("error: the passphrase is empty");
    let screen = terminal(&laptop, &seal).expect("a terminal");
    screen.wait_for("Passphrase:");
    screen.press("C-c");
    screen.wait_for("ended with 130.");
    assert!(!file.exists());

    // With a typing error that is taken back.
    let screen = terminal(&laptop, &seal).expect("a terminal");
    screen.wait_for("Passphrase:");
    screen.write("correct hx");
    screen.press("BSpace");
    answer(&screen, "Passphrase:", "orse");
    answer(&screen, "Once more:", SECRET);
    screen.wait_for("ended with 0.");
    assert!(!screen.screen().contains("horse") && !screen.screen().contains("orse"), "{}", screen.screen());

    let trust = laptop.fingerprint();
    let open = [os(&"restore"), os(&file), os(&"--trust"), os(&trust), os(&"--passphrase")];
    let screen = terminal(&desktop, &open).expect("a terminal");
    answer(&screen, "Passphrase:", "incorrect");
    screen.wait_for("error: wrong passphrase");
    screen.wait_for("ended with 1.");
    let screen = terminal(&desktop, &open).expect("a terminal");
    answer(&screen, "Passphrase:", SECRET);
    screen.wait_for("ended with 0.");
    assert!(arrived(&desktop));
}

#[test]
fn ssh_keys_open_what_is_sealed_to_their_public_files() {
    if !installed("ssh-keygen") {
        return;
    }
    let sandbox = Sandbox::new();
    let (laptop, _) = pair(&sandbox);
    for (name, options) in [
        ("id_ed25519", &["-t", "ed25519", "-N", ""][..]),
        ("id_rsa", &["-t", "rsa", "-b", "2048", "-N", ""]),
        ("elsewhere", &["-t", "ed25519", "-N", "", "-C", "a comment with spaces"]),
        ("pem", &["-t", "rsa", "-b", "2048", "-N", "", "-m", "PEM"]),
    ] {
        let friend = sandbox.machine(&format!("friend-{name}"));
        let key = ssh_keygen(&friend, name, options);
        let public = key.with_extension("pub");
        let (capsule, sealed) = checkpoint(&laptop, [os(&"-r"), os(&public)]);
        sealed.ok();
        // As the key itself, with its comment, it works as well.
        let text = fs::read_to_string(&public).expect("a public key");
        checkpoint(&laptop, ["-r", text.trim()]).1.ok();
        if name.starts_with("id_") {
            restore(&friend, &capsule, &laptop, &[]).ok();
        } else {
            restore(&friend, &capsule, &laptop, &[]).fails(1, "no key here opens");
            restore(&friend, &capsule, &laptop, &[os(&"-i"), os(&key)]).ok();
        }
        assert!(arrived(&friend), "{name}");
    }
    let friend = sandbox.machine("friend-ecdsa");
    let key = ssh_keygen(&friend, "id_ecdsa", &["-t", "ecdsa", "-N", ""]);
    let (file, ran) = checkpoint(&laptop, [os(&"-r"), os(&key.with_extension("pub"))]);
    ran.fails(128, "'ecdsa-sha2-nistp256' cannot be a recipient").hints("ssh-ed25519 or ssh-rsa");
    assert!(!file.exists());
    let (capsule, _) = checkpoint(&laptop, ["-q"]);
    restore(&friend, &capsule, &laptop, &[os(&"-i"), os(&key)]).fails(128, "holds no identity");
    restore(&friend, &capsule, &laptop, &[os(&"-i"), os(&key.with_extension("pub"))]).fails(128, "holds no identity");
}

#[test]
fn an_ssh_key_under_a_passphrase_asks_for_it_once_and_only_if_it_would_help() {
    if !installed("ssh-keygen") {
        return;
    }
    let sandbox = Sandbox::new();
    let (laptop, desktop) = pair(&sandbox);
    for (name, kind) in [("id_ed25519", "ed25519"), ("id_rsa", "rsa")] {
        let friend = sandbox.machine(&format!("friend-{kind}"));
        let key = ssh_keygen(&friend, name, &["-t", kind, "-N", SECRET]);
        let trust = laptop.fingerprint();

        let foreign = laptop.seal(CLAUDE, &desktop);
        let Some(screen) = terminal(&friend, &[os(&"restore"), os(&foreign)]) else { return };
        screen.wait_for("ended with");
        assert!(!screen.screen().contains("assphrase") && screen.screen().contains("ended with 1."), "{}", screen.screen());

        // Sealed to others, too, so that the key's own place among the recipients is not the first.
        let recipient = desktop.recipient();
        let (capsule, sealed) = checkpoint(&laptop, [os(&"-r"), os(&recipient), os(&"-r"), os(&key.with_extension("pub"))]);
        sealed.ok();
        friend.run(["restore".as_ref(), capsule.as_os_str()]).fails(1, "no key here opens");
        let open = [os(&"restore"), os(&capsule), os(&"--trust"), os(&trust)];
        let screen = terminal(&friend, &open).expect("a terminal");
        answer(&screen, "assphrase", "incorrect");
        screen.wait_for("error: wrong passphrase");
        screen.wait_for("ended with 1.");
        assert!(!arrived(&friend));
        let screen = terminal(&friend, &open).expect("a terminal");
        answer(&screen, "assphrase", SECRET);
        screen.wait_for("ended with");
        assert!(screen.screen().contains("ended with 0.") && !screen.screen().contains(SECRET), "{}", screen.screen());
        assert!(arrived(&friend));
    }
}

const FAKE_RECIPIENT: &str = "age1fake1w3jhxaqrc5akr";
const FAKE_IDENTITY: &str = "AGE-PLUGIN-FAKE-1W3JHXAQ8FAZUR";
/// Speaks age's plugin protocol and hides nothing: the file key goes into the stanza as it is.
const FAKE_PLUGIN: &str = r#"#!/bin/sh
while read -r arrow command rest; do
  case "$arrow $command" in
    "-> wrap-file-key") read -r key ;;
    "-> recipient-stanza") case "$rest" in "0 fake"*) read -r key ;; esac ;;
    "-> done") break ;;
  esac
done
read -r body
case "$1" in
  --age-plugin=recipient-v1) printf -- '-> recipient-stanza 0 fake\n%s\n' "$key" ;;
  --age-plugin=identity-v1) test -n "$key" && printf -- '-> file-key 0\n%s\n' "$key" ;;
esac
if test -n "$key"; then read -r ok; read -r body; fi
printf -- '-> done\n\n'
"#;

#[test]
fn age_plugins_seal_and_open() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = pair(&sandbox);
    let bin = sandbox.path().join("bin");
    fs::create_dir(&bin).expect("made");
    let plugin = bin.join("age-plugin-fake");
    fs::write(&plugin, FAKE_PLUGIN).expect("written");
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).expect("executable");
    let built = Path::new(env!("CARGO_BIN_EXE_git-samesession")).parent().expect("a directory").to_owned();
    let path = std::env::join_paths([bin, built].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").expect("a PATH"))));
    let path = path.expect("a PATH");
    let (with, there) = (laptop.env("PATH", &path), desktop.env("PATH", &path));

    let (file, ran) = checkpoint(&laptop, ["-r", FAKE_RECIPIENT]);
    ran.fails(128, "age plugin failed");
    assert!(!file.exists());
    let (capsule, sealed) = checkpoint(&with, ["-r", FAKE_RECIPIENT]);
    sealed.ok();
    let identity = sandbox.path().join("plugin.txt");
    fs::write(&identity, format!("{FAKE_IDENTITY}\n")).expect("written");
    restore(&there, &capsule, &laptop, &[]).fails(1, "no key here opens");
    assert_eq!(restore(&desktop, &capsule, &laptop, &[os(&"-i"), os(&identity)]).fails_with(128).stderr().matches("error: ").count(), 1);
    restore(&there, &capsule, &laptop, &[os(&"-i"), os(&identity)]).ok();
    assert!(arrived(&there));
}

#[test]
fn an_unknown_signer_is_shown_and_believed_when_told() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = pair(&sandbox);
    let (print, capsule) = (laptop.fingerprint(), laptop.seal(CLAUDE, &desktop));
    let known = desktop.home.join(".config/samesession/known_signers");
    let before = snapshot(&sandbox.path());
    let plain = ["restore".as_ref(), capsule.as_os_str()];
    let refused = desktop.run(plain).fails(1, &print).fails(1, "(it calls itself 'laptop')");
    refused.hints("device show").hints(&format!("--trust {print}"));
    // A dry run installs nothing, so it may show what would happen.
    let plan = desktop.run(["restore".as_ref(), capsule.as_os_str(), "--dry-run".as_ref()]).ok().stdout();
    assert!(plan.contains(&format!("signed by an unknown key, {print}")), "{plan}");
    let other = desktop.fingerprint();
    desktop.run(["restore".as_ref(), capsule.as_os_str(), "--trust".as_ref(), other.as_ref()]).fails(1, &print);
    desktop.run(["restore".as_ref(), capsule.as_os_str(), "--allow-unsigned".as_ref()]).fails(1, &print);
    // A dry run does not even remember whom it was told to believe.
    restore(&desktop, &capsule, &laptop, &[os(&"--dry-run")]).ok();
    assert_eq!(snapshot(&sandbox.path()), before);

    restore(&desktop, &capsule, &laptop, &[]).ok();
    let line = fs::read_to_string(&known).expect("remembered");
    assert!(line.starts_with("laptop namespaces=\"samesession,git\" ssh-ed25519 ") && line.lines().count() == 1, "{line}");
    // From now on nobody is asked.
    let again = laptop.seal(CLAUDE_RICH, &desktop);
    let told = desktop.run(["restore".as_ref(), again.as_os_str()]).ok().stdout();
    assert!(told.contains(&format!("signed by laptop ({print})")), "{told}");
    assert_eq!(fs::read_to_string(&known).expect("unchanged"), line);
}

#[test]
fn only_a_line_that_says_so_makes_a_signer_known() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = pair(&sandbox);
    let capsule = laptop.seal(CLAUDE, &desktop);
    let key = fs::read_to_string(laptop.home.join(".config/samesession/device/signing_key.pub")).expect("a key");
    let key = key.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let known = desktop.home.join(".config/samesession/known_signers");
    let run = || desktop.run(["restore".as_ref(), capsule.as_os_str(), "--dry-run".as_ref()]);
    for line in [
        format!("# laptop {key}"),
        format!("laptop namespaces=\"git\" {key}"),
        format!("laptop cert-authority {key}"),
        format!("laptop valid-before=\"20200101\" {key}"),
        format!("laptop {key}AAAA"),
        key.clone(),
        "laptop ssh-ed25519 AAAA".to_owned(),
    ] {
        fs::write(&known, format!("{line}\n")).expect("written");
        assert!(run().ok().stdout().contains("signed by an unknown key"), "{line}");
    }
    for line in [
        format!("laptop {key}"),
        format!("  laptop {key} a comment"),
        format!("laptop namespaces=\"samesession\" {key}"),
        format!("laptop namespaces=\"git,samesession\" {key}"),
    ] {
        fs::write(&known, format!("someone ssh-ed25519 AAAA\n{line}\n")).expect("written");
        assert!(run().ok().stdout().contains("signed by laptop"), "{line}");
    }
}

#[test]
fn at_a_terminal_the_question_is_asked_and_the_answer_remembered() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = pair(&sandbox);
    let (print, capsule) = (laptop.fingerprint(), laptop.seal(CLAUDE, &desktop));
    let before = snapshot(&sandbox.path());
    let Some(screen) = terminal(&desktop, &[os(&"restore"), os(&capsule)]) else { return };
    screen.wait_for(&print);
    answer(&screen, "[y/N]", "");
    screen.wait_for("ended with 1.");
    assert_eq!(snapshot(&sandbox.path()), before);
    let screen = terminal(&desktop, &[os(&"restore"), os(&capsule)]).expect("a terminal");
    screen.wait_for("laptop");
    answer(&screen, "[y/N]", "y");
    screen.wait_for("ended with 0.");
    assert!(arrived(&desktop));
    let again = laptop.seal(CLAUDE_RICH, &desktop);
    desktop.run(["restore".as_ref(), again.as_os_str()]).ok();
}

/// A signature's text, one key's name with another key's work below it.
fn spliced(named: &str, made: &str) -> String {
    let body = |pem: &str| -> String { pem.lines().filter(|line| !line.starts_with('-')).collect() };
    // Magic, version and public key are 65 bytes; the byte behind them is zero in both.
    let text = format!("{}{}", &body(named)[..88], &body(made)[88..]);
    let lines: Vec<&str> = text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).expect("base64")).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
}

#[test]
fn a_signature_is_of_this_manifest_by_this_key_for_this_purpose() {
    let victim = Victim::new();
    let stranger = machine(&victim.sandbox, "stranger");
    let forge = Forge::claude(&victim.machine);
    let own = forge.entries();
    let signature = String::from_utf8(own[3].content.clone()).expect("PEM");
    let theirs = String::from_utf8(Forge::claude(&victim.machine).signed_by(&stranger).entries()[3].content.clone()).expect("PEM");
    let with = |signature: &str| {
        let mut entries = forge.entries();
        entries[3].content = signature.into();
        entries
    };
    assert!(forge.write_entries(&with(&spliced(&signature, &signature))).exists());
    victim.machine.run(["restore".as_ref(), forge.write_entries(&with(&spliced(&signature, &signature))).as_os_str(), "-n".as_ref()]).ok();

    let replayed = Forge::claude(&victim.machine).manifest(|manifest| manifest["title"] = "another".into()).entries()[3].content.clone();
    let mut changed = forge.entries();
    let title = changed[2].content.windows(6).position(|part| part == b"forged").expect("the title");
    changed[2].content[title] = b'g';
    let cases = [
        ("by another key than it says", with(&spliced(&signature, &theirs)), "the signature is bad: it does not fit what it signs"),
        ("of another manifest", with(std::str::from_utf8(&replayed).expect("PEM")), "the signature is bad: it does not fit what it signs"),
        ("of what the manifest was", changed, "the signature is bad: it does not fit what it signs"),
        ("no signature", with("Yours sincerely"), "the signature is bad: it is not an SSH signature"),
        ("nothing in it", with(""), "the signature is bad: it is not an SSH signature"),
        ("missing", own[..3].to_vec(), "the capsule is not signed"),
    ];
    for (what, entries, says) in &cases {
        let file = forge.write_entries(entries);
        let refused = victim.refuses(what, &file, 1, says);
        match *what {
            "missing" => drop(refused.hints("--allow-unsigned")),
            // Nothing takes a bad one.
            _ => {
                assert!(!refused.stderr().contains("--allow-unsigned"), "{}", refused.stderr());
                let args = ["restore".as_ref(), file.as_os_str(), "--allow-unsigned".as_ref()];
                victim.unchanged_by(what, 1, says, || victim.machine.run(args));
            }
        }
        let trust = victim.machine.fingerprint();
        let args = ["restore".as_ref(), file.as_os_str(), "--trust".as_ref(), trust.as_ref()];
        victim.unchanged_by(what, 1, says, || victim.machine.run(args));
        let seen = victim.machine.json(["inspect".as_ref(), file.as_os_str()]);
        assert!(matches!(seen["signature"].as_str(), Some("bad" | "missing")), "{what}: {seen}");
    }
    // Whoever the manifest says it comes from, the key is the stranger's.
    let posing = Forge::claude(&victim.machine).signed_by(&stranger).manifest(|manifest| manifest["origin"]["device"] = "victim".into());
    victim.refuses("posing as the victim", &posing.write(), 1, &stranger.fingerprint());
    if installed("ssh-keygen") {
        let manifest = victim.sandbox.path().join("manifest.json");
        fs::write(&manifest, &own[2].content).expect("written");
        let key = victim.machine.home.join(".config/samesession/device/signing_key");
        let sign = |namespace: &str| {
            let _ = fs::remove_file(manifest.with_extension("json.sig"));
            let mut sign = Command::new("ssh-keygen");
            let signed = sign.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(&key).arg(&manifest).output().expect("ssh-keygen");
            assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
            fs::read_to_string(manifest.with_extension("json.sig")).expect("a signature")
        };
        victim.refuses("for Git", &forge.write_entries(&with(&sign("git"))), 1, "the signature is bad: it does not fit what it signs");
        let file = forge.write_entries(&with(&sign("samesession")));
        victim.machine.run(["restore".as_ref(), file.as_os_str(), "-n".as_ref()]).ok();
    }
    let file = forge.write_entries(&own[..3]);
    let ask = ["restore".as_ref(), file.as_os_str(), "--allow-unsigned".as_ref()];
    for (value, code, says) in [
        ("known", 1, "'samesession.requireSignature' asks for a signature"),
        ("roster", 1, "asks for a signature"),
        ("x", 129, "'known' or 'roster'"),
    ] {
        let strict = victim
            .machine
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "samesession.requireSignature")
            .env("GIT_CONFIG_VALUE_0", value);
        victim.unchanged_by(value, code, says, || strict.run(ask));
    }
    let told = victim.machine.run(["restore".as_ref(), file.as_os_str(), "--allow-unsigned".as_ref()]).ok().stdout();
    assert!(told.contains("signed by nobody that could be checked"), "{told}");
    assert!(victim.machine.run(ask.into_iter().chain(["-q".as_ref()])).ok().stderr().contains("warning: nobody has signed this"));
    assert!(victim.machine.claude_project().join(format!("{CLAUDE_FORGED}.jsonl")).exists());
    assert!(!victim.machine.home.join(".config/samesession/known_signers").exists());
}

#[test]
fn ssh_keygen_agrees_about_signature_and_signers() {
    if !installed("ssh-keygen") {
        return;
    }
    let sandbox = Sandbox::new();
    let (laptop, desktop) = pair(&sandbox);
    let capsule = laptop.seal(CLAUDE, &desktop);
    restore(&desktop, &capsule, &laptop, &[]).ok();
    let (mut manifest, mut signature) = (Vec::new(), Vec::new());
    let plain = unseal(&capsule, &desktop);
    for entry in tar::Archive::new(&plain[..]).entries().expect("a tar stream") {
        let mut entry = entry.expect("an entry");
        match entry.path_bytes().as_ref() {
            b"manifest.json" => drop(std::io::copy(&mut entry, &mut manifest)),
            b"manifest.json.sig" => drop(std::io::copy(&mut entry, &mut signature)),
            _ => {}
        }
    }
    let written = sandbox.path().join("sig");
    fs::write(&written, &signature).expect("written");
    let verify = |manifest: &[u8]| {
        let path = sandbox.path().join("manifest");
        fs::write(&path, manifest).expect("written");
        let mut verify = Command::new("ssh-keygen");
        verify
            .args(["-Y", "verify", "-I", "laptop", "-n", "samesession", "-f"])
            .arg(desktop.home.join(".config/samesession/known_signers"));
        verify.arg("-s").arg(&written).stdin(fs::File::open(path).expect("written")).output().expect("ssh-keygen").status.success()
    };
    assert!(verify(&manifest));
    manifest[5] ^= 1;
    assert!(!verify(&manifest));
}

#[test]
fn device_keys_that_others_can_read_are_refused() {
    let victim = Victim::new();
    let device = victim.machine.home.join(".config/samesession/device");
    let capsule = Forge::claude(&victim.machine).write();
    for (file, loose, tight) in
        [("identity.txt", 0o644, 0o600), ("signing_key", 0o640, 0o600), ("signing_key", 0o604, 0o600), (".", 0o755, 0o700)]
    {
        let path = device.join(file).canonicalize().expect("it is there");
        let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        set(loose);
        let says = format!("'{}' can be read by others (mode {loose:03o})", path.display());
        victim.refuses(file, &capsule, 128, &says).hints(&format!("chmod {tight:03o} '{}'", path.display()));
        for args in [&["device", "show"][..], &["checkpoint", CLAUDE, "-o", "x"], &["device", "init"]] {
            victim.unchanged_by(file, 128, &says, || victim.machine.run(args));
        }
        set(tight);
        victim.machine.run(["device", "show"]).ok();
    }
}

/// The promise of the format: nothing of ours is needed to open a capsule.
#[test]
fn age_zstd_and_tar_open_a_capsule_by_hand() {
    if !["age", "zstd", "tar", "sha256sum"].iter().all(|program| installed(program)) {
        return;
    }
    let sandbox = Sandbox::new();
    let (laptop, desktop) = pair(&sandbox);
    let capsule = laptop.seal(CLAUDE_RICH, &desktop);
    let key = desktop.home.join(".config/samesession/device/identity.txt");
    let out = sandbox.path().join("by hand");
    fs::create_dir(&out).expect("made");
    let shell = |script: &str| {
        let mut command = desktop.command("sh");
        command.args(["-ec", script]).arg(&key).arg(&capsule).current_dir(&out);
        Ran(command.output().expect("a shell")).ok().stdout()
    };
    let listed = shell("age -d -i \"$0\" \"$1\" | zstd -dq | tar t");
    let listed: Vec<&str> = listed.lines().collect();
    shell("age -d -i \"$0\" \"$1\" | zstd -dq | tar x");
    let manifest: Value = serde_json::from_slice(&fs::read(out.join("manifest.json")).expect("the manifest")).expect("JSON");
    let files = manifest["files"].as_array().expect("files");
    assert!(files.len() >= 6, "{manifest}");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut expected = vec!["capsule.json".to_owned()];
    expected.extend(files.iter().map(|file| text(&file["path"])));
    expected.extend(["manifest.json".to_owned(), "manifest.json.sig".to_owned()]);
    assert_eq!(listed, expected);
    assert!(text(&files[files.len() - 1]["path"]).ends_with(&format!("{CLAUDE_RICH}.jsonl")), "the transcript is the last one");
    let sums: String = files.iter().map(|file| format!("{}  {}\n", text(&file["sha256"]), text(&file["path"]))).collect();
    fs::write(out.join("SHA256SUMS"), sums).expect("written");
    shell("sha256sum --check --strict --quiet SHA256SUMS");
    let transcript = fs::read(laptop.claude_project().join(format!("{CLAUDE_RICH}.jsonl"))).expect("the session");
    assert_eq!(text(&files[files.len() - 1]["sha256"]), hash(&transcript));
}

/// And the other way: keys of the public tools are keys here.
#[test]
fn keys_made_by_age_keygen_and_ours_are_one_kind() {
    let sandbox = Sandbox::new();
    let (laptop, desktop) = pair(&sandbox);
    let device = desktop.home.join(".config/samesession/device");
    let key = SigningKey::from_openssh(&fs::read_to_string(device.join("signing_key")).expect("a key")).expect("OpenSSH's form");
    assert_eq!(key.fingerprint(), desktop.fingerprint());
    if installed("ssh-keygen") {
        let shown = Command::new("ssh-keygen").arg("-lf").arg(device.join("signing_key.pub")).output().expect("ssh-keygen");
        assert!(String::from_utf8_lossy(&shown.stdout).contains(&desktop.fingerprint()));
    }
    if installed("age-keygen") {
        let public = Command::new("age-keygen").arg("-y").arg(device.join("identity.txt")).output().expect("age-keygen");
        assert_eq!(String::from_utf8_lossy(&public.stdout).trim(), desktop.recipient());
        let made = sandbox.path().join("key.txt");
        assert!(Command::new("age-keygen").arg("-o").arg(&made).output().expect("age-keygen").status.success());
        let public = Command::new("age-keygen").arg("-y").arg(&made).output().expect("age-keygen");
        let (capsule, sealed) = checkpoint(&laptop, ["-r", String::from_utf8_lossy(&public.stdout).trim()]);
        sealed.ok();
        restore(&desktop, &capsule, &laptop, &[os(&"-i"), os(&made)]).ok();
        assert!(arrived(&desktop));
    }
}
