//! `doctor` in a repository: it is quiet where all is well, and what it advises helps.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use crate::support::sandbox::{CLAUDE, CLAUDE_RICH, Machine, Ran, Sandbox};

/// Two clones of one server, and a session that one of them has pushed.
fn two(sandbox: &Sandbox) -> (Machine, Machine, Machine) {
    let server = sandbox.machine("server");
    server.git(["init", "-q", "--bare", "."]);
    let (laptop, desktop) = (sandbox.machine("laptop"), sandbox.machine("desktop"));
    for machine in [&laptop, &desktop] {
        machine.init().git(["init", "-q", "."]);
        machine.git(["remote", "add", "origin", server.cwd.to_str().expect("UTF-8")]);
        machine.run(["init"]).ok();
    }
    laptop.with_claude().run(["checkpoint", CLAUDE]).ok();
    laptop.git(["push", "-q", "origin", "refs/samesession/*"]);
    (server, laptop, desktop)
}

fn sid(machine: &Machine) -> String {
    machine.json(["show", CLAUDE])["session"]["sid"].as_str().expect("a sid").to_owned()
}

/// It finds one trouble and says this of it; the command that it names as the way out ends it.
#[track_caller]
fn mends(machine: &Machine, says: &str) {
    let said = machine.run(["doctor"]).fails(1, "1 trouble was found").stdout();
    // One answer for scripts, which says it all.
    let answer = machine.run(["doctor", "--json"]).fails_with(1).json();
    let findings = answer["findings"].as_array().expect("findings");
    assert_eq!(findings.iter().filter(|finding| finding["verdict"] == "trouble").count(), 1, "{answer}");
    let line = said.lines().find(|line| line.starts_with("TROUBLE")).expect("a trouble");
    assert!(line.contains(says), "expected '{says}' in:\n{said}");
    let (_, command) = line.rsplit_once(": ").expect("a way out");
    let ran = machine.command("sh").args(["-c", command]).output().expect("a shell");
    assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
    machine.run(["doctor"]).ok();
}

fn notes(ran: &Ran) -> Vec<String> {
    ran.stdout().lines().filter(|line| line.starts_with("note ") && line.contains(" repository ")).map(str::to_owned).collect()
}

#[test]
fn where_all_is_well_it_says_so() {
    let sandbox = Sandbox::new();
    let (_, laptop, desktop) = two(&sandbox);
    for machine in [&laptop, &desktop] {
        machine.git(["fetch", "-q"]);
        let said = machine.run(["doctor"]).ok();
        assert!(said.stdout().contains(&format!("1 session in '{}", machine.cwd.display())), "{}", said.stdout());
    }
    assert!(notes(&laptop.run(["doctor"])).is_empty());
    // Somebody whom nobody has introduced is worth a word, and no trouble.
    let said = notes(&desktop.run(["doctor"]));
    let way_out = format!("git samesession restore {} --trust {}", &sid(&laptop)[..8], laptop.fingerprint());
    assert!(said.len() == 1 && said[0].ends_with(&way_out), "{said:?}");
}

#[test]
fn a_remote_that_was_renamed_or_removed_is_tidied_up() {
    let sandbox = Sandbox::new();
    let (_, laptop, _) = two(&sandbox);
    laptop.git(["fetch", "-q"]);
    laptop.git(["remote", "rename", "origin", "upstream"]);
    let said = laptop.run(["doctor"]).fails(1, "3 troubles were found").stdout();
    for says in ["sessions go to 'origin', which is no remote here", "fetches from 'upstream' are remembered as 'origin'"] {
        assert!(said.contains(says), "{said}");
    }
    laptop.run(["init", "--remote", "upstream"]).ok();
    mends(&laptop, "1 session is remembered of 'origin', which is no remote here");

    laptop.git(["fetch", "-q", "upstream"]);
    laptop.git(["remote", "remove", "upstream"]);
    laptop.run(["doctor"]).fails(1, "2 troubles were found");
    laptop.run(["init", "--uninstall"]).ok();
    mends(&laptop, "1 session is remembered of 'upstream'");
}

#[test]
fn settings_that_would_hurt_sessions_are_named() {
    let sandbox = Sandbox::new();
    let (_, laptop, _) = two(&sandbox);
    laptop.git(["config", "remote.origin.mirror", "true"]);
    mends(&laptop, "'git push origin' mirrors");
    laptop.git(["config", "--add", "remote.origin.push", "+refs/*:refs/*"]);
    mends(&laptop, "'git push origin' sends +refs/*:refs/*");
    laptop.git(["config", "--add", "remote.origin.fetch", "+refs/*:refs/*"]);
    mends(&laptop, "'git fetch origin' writes +refs/*:refs/*");
}

#[test]
fn a_ref_that_leads_to_no_checkpoint_is_named_and_where_it_came_from() {
    let sandbox = Sandbox::new();
    let (server, laptop, _) = two(&sandbox);
    let sid = sid(&laptop);
    laptop.git(["commit", "-q", "--allow-empty", "-m", "no checkpoint"]);
    laptop.git(["update-ref", "refs/samesession/sessions/nonsense", "HEAD"]);
    mends(&laptop, "'refs/samesession/sessions/nonsense' is no session's name");
    let other = sid.chars().rev().collect::<String>();
    laptop.git(["update-ref", &format!("refs/samesession/sessions/{other}"), &format!("refs/samesession/sessions/{sid}")]);
    mends(&laptop, "leads to no checkpoint: ");
    for what in ["HEAD", "HEAD^{tree}"] {
        laptop.git(["push", "-q", "origin", &format!("{}:refs/samesession/sessions/{other}", laptop.git(["rev-parse", what]).trim())]);
        laptop.git(["fetch", "-q"]);
        let said = laptop.run(["doctor"]).fails(1, "1 trouble was found").stdout();
        let way_out = format!("whoever looks after 'origin' can remove it: git push origin --delete refs/samesession/sessions/{other}");
        assert!(said.contains("leads to no checkpoint") && said.contains(&way_out), "{said}");
        server.git(["update-ref", "-d", &format!("refs/samesession/sessions/{other}")]);
        laptop.git(["fetch", "-q", "--prune"]);
    }
    laptop.run(["doctor"]).ok();
}

#[test]
fn a_remote_that_was_rewound_is_named_and_gets_back_what_it_had() {
    let sandbox = Sandbox::new();
    let (server, laptop, _) = two(&sandbox);
    let name = format!("refs/samesession/sessions/{}", sid(&laptop));
    let first = laptop.git(["rev-parse", &name]);
    let session = laptop.claude_project().join(format!("{CLAUDE}.jsonl"));
    let longer = fs::read_to_string(&session).expect("the session") + "{\"type\":\"user\",\"message\":{\"content\":\"more\"}}\n";
    fs::write(&session, longer).expect("written");
    laptop.run(["checkpoint", CLAUDE]).ok();
    laptop.git(["push", "-q", "origin", "refs/samesession/*"]);
    laptop.git(["fetch", "-q"]);
    laptop.run(["doctor"]).ok();
    server.git(["update-ref", &name, first.trim()]);
    laptop.git(["fetch", "-q"]);
    mends(&laptop, "'origin' was rewound");
    assert_eq!(server.git(["rev-parse", &name]), laptop.git(["rev-parse", &name]));

    // One that has lost the session altogether may have meant to.
    server.git(["update-ref", "-d", &name]);
    laptop.git(["fetch", "-q", "--prune"]);
    let said = notes(&laptop.run(["doctor"]).ok());
    assert!(said.len() == 1 && said[0].contains("'origin' no longer has session"), "{said:?}");
}

#[test]
fn what_a_crash_left_among_the_packs_is_named_once_it_is_old() {
    let sandbox = Sandbox::new();
    let (_, laptop, _) = two(&sandbox);
    let pack = laptop.cwd.join(".git/objects/pack");
    for (name, mode, days) in
        [("tmp_pack_abcdef", 0o600, 2), ("tmp_idx_abcdef", 0o600, 2), ("tmp_pack_fresh1", 0o600, 0), ("tmp_pack_OfGits", 0o444, 2)]
    {
        let path = pack.join(name);
        let file = File::create(&path).expect("made");
        file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400)).expect("set");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
    }
    let said = notes(&laptop.run(["doctor"]).ok());
    assert_eq!(said.len(), 2, "{said:?}");
    for line in said {
        let (_, command) = line.rsplit_once(": ").expect("a way out");
        assert!(laptop.command("sh").args(["-c", command]).status().expect("a shell").success(), "{command}");
    }
    assert!(notes(&laptop.run(["doctor"]).ok()).is_empty());
    assert!(pack.join("tmp_pack_fresh1").exists() && pack.join("tmp_pack_OfGits").exists());
}

#[test]
fn many_sessions_are_worth_a_word() {
    let sandbox = Sandbox::new();
    let (_, laptop, _) = two(&sandbox);
    laptop.run(["checkpoint", CLAUDE_RICH]).ok();
    let tip = laptop.git(["rev-parse", &format!("refs/samesession/sessions/{}", sid(&laptop))]);
    let digits = |n: usize| format!("{n:026}").bytes().map(|digit| (b'a' + digit - b'0') as char).collect::<String>();
    for n in 0..499 {
        let path = laptop.cwd.join(".git/refs/samesession/sessions").join(digits(n));
        fs::write(path, &tip).expect("written");
    }
    let said = laptop.run(["doctor"]).fails(1, "troubles were found");
    let said = notes(&said);
    assert!(said.len() == 1 && said[0].contains("501 sessions of 0 MB are much"), "{said:?}");
    for way_out in ["git samesession gc --keep-last 10", "git samesession init --on-demand", "git samesession init --remote"] {
        assert!(said[0].contains(way_out), "{said:?}");
    }
}

#[test]
fn a_doubtful_file_of_signers_is_trouble() {
    let sandbox = Sandbox::new();
    let (_, laptop, desktop) = two(&sandbox);
    let known = desktop.home.join(".config/samesession/known_signers");
    desktop.restore(&laptop.seal(CLAUDE, &desktop), &laptop).ok();
    let good = fs::read_to_string(&known).expect("remembered");
    desktop.run(["doctor"]).ok();
    for (line, says) in [
        (good.replace(",git", ""), "line 1 of '"),
        (format!("# {good}jo\n"), "line 2 of '"),
        (good.replace("namespaces=\"samesession,git\"", "cert-authority"), "its options say that the key is for something else"),
        (good.replace("AAAAC3", "AAAAAA"), "its key cannot be read"),
    ] {
        fs::write(&known, line).expect("written");
        let said = desktop.run(["doctor"]).fails(1, "1 trouble was found").stdout();
        assert!(said.contains(says), "{said}");
    }
    fs::write(&known, &good).expect("written");
    fs::set_permissions(&known, fs::Permissions::from_mode(0o666)).expect("set");
    mends(&desktop, "others can change whom this device believes");
}
