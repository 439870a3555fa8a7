//! `init --on-demand`: a session comes when it is asked for, lists show what the store has, and the user's repository stays
//! as Git made it.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::chains::acquaint;
use crate::support::clones::{OTHER, Project, SESSION, session_ref, sid, sid_of, tracking_ref};
use crate::support::sandbox::{Machine, Ran, snapshot};

/// What no filter lets through and no compression makes small.
fn noise() -> String {
    let mut state = 1_u64;
    let mut step = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{:016x}", state)
    };
    (0..40_000).map(|_| step()).collect()
}

/// Two sessions that the laptop has pushed, and a desktop that asks when it wants one. The server filters or it does not.
fn project(filters: bool) -> (Project, Machine, Machine) {
    let project = Project::new();
    project.git(["config", "uploadpack.allowFilter", if filters { "true" } else { "false" }]);
    let pair = [project.plain("laptop"), project.plain("desktop")];
    acquaint(&pair);
    let [laptop, desktop] = pair;
    // A path is looked into by Git itself.
    let address = format!("file://{}", project.origin.display());
    desktop.git(["remote", "set-url", "origin", &address]);
    for words in ["hello", "how are you", &noise()] {
        laptop.checkpoint(words, &[]);
    }
    laptop.checkpoint_of(OTHER);
    laptop.run_here(["push", "--all"]).ok();
    desktop.run_here(["init", "--on-demand"]).ok();
    (project, laptop, desktop)
}

fn rows(list: &Value) -> Vec<(String, String, String)> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let rows = list["sessions"].as_array().expect("sessions");
    let mut rows: Vec<_> = rows.iter().map(|row| (text(row, "sid"), text(row, "native_id"), text(&row["remotes"][0], "state"))).collect();
    rows.sort();
    rows
}

fn both() -> Vec<(String, String, String)> {
    let mut both = [SESSION, OTHER].map(|id| (sid_of(id), id.to_owned(), "same".to_owned())).to_vec();
    both.sort();
    both
}

/// The user's repository without what is ours alone.
fn users_own(machine: &Machine) -> Vec<(PathBuf, Vec<u8>)> {
    let tree = snapshot(&machine.cwd.join(".git"));
    tree.into_iter().filter(|(path, _)| !path.iter().any(|part| part == "samesession")).collect()
}

fn heads(machine: &Machine) -> PathBuf {
    machine.cwd.join(".git/samesession/on-demand.git")
}

/// Bytes of all its packs.
fn size(machine: &Machine) -> u64 {
    let packs = fs::read_dir(heads(machine).join("objects/pack")).expect("a directory").flatten();
    packs.map(|pack| pack.metadata().expect("a file").len()).sum()
}

/// Whole, neither shallow nor partial, and with a configuration that names no filter.
#[track_caller]
fn assert_untouched(machine: &Machine) {
    assert!(!machine.cwd.join(".git/shallow").exists());
    assert_eq!(machine.git(["rev-parse", "--is-shallow-repository"]).trim(), "false");
    let config = fs::read_to_string(machine.cwd.join(".git/config")).expect("a configuration");
    assert!(!config.contains("promisor") && !config.contains("partial"), "{config}");
    assert_eq!(machine.git(["fsck", "--strict", "--no-dangling"]), "");
}

#[test]
fn a_list_shows_what_the_store_has_and_leaves_the_repository_as_it_is() {
    for filters in [true, false] {
        let (project, laptop, desktop) = project(filters);
        let before = users_own(&desktop);
        let list = desktop.run_here(["list", "--json"]).ok();
        assert_eq!((rows(&list.json()), list.stderr()), (both(), String::new()), "{filters}");
        let row = list.json()["sessions"].as_array().expect("rows").iter().find(|row| row["sid"] == sid().as_str()).expect("it").clone();
        assert!(list.json()["unasked"].is_null());
        assert_eq!((&row["agent"], &row["device"], &row["sequence"]), (&"claude".into(), &"laptop".into(), &3.into()));
        assert!(row["title"].is_string() && row["bytes"].as_u64() > Some(600_000) && row["local"].is_null(), "{row}");
        assert_eq!(users_own(&desktop), before);
        // 640 kB of digits are some 300 kB, and the two headers a few.
        assert!(filters == (size(&desktop) < 30_000), "{}", size(&desktop));

        // Again: nothing is new, and nothing is fetched.
        let again = desktop.env("SAMESESSION_TRACE", "1").run_here(["list"]).ok();
        assert!(again.stderr().contains("ls-remote") && !again.stderr().contains("trace: git fetch"), "{}", again.stderr());
        // Another checkpoint, and one session less.
        laptop.checkpoint("more", &[]);
        laptop.run_here(["push", SESSION]).ok();
        project.git(["update-ref", "-d", &session_ref().replace(&sid(), &sid_of(OTHER))]);
        let list = desktop.json(["list"]);
        assert_eq!(rows(&list).len(), 1, "{list}");
        assert_eq!(list["sessions"][0]["sequence"], 4);
        assert_eq!(users_own(&desktop), before);
        assert_untouched(&desktop);
    }
}

#[test]
fn without_the_store_a_list_shows_what_is_known_and_says_so() {
    let (project, _, desktop) = project(true);
    let away = project.origin.with_extension("away");
    fs::rename(&project.origin, &away).expect("moved");
    let nothing = desktop.run_here(["list"]).ok();
    assert!(nothing.stdout().is_empty() && nothing.stderr().contains("note: 'origin' cannot be asked"), "{}", nothing.stderr());
    desktop.run_here(["log", &sid()]).fails(1, "").stderr();
    fs::rename(&away, &project.origin).expect("moved");
    desktop.run_here(["list"]).ok();
    fs::rename(&project.origin, &away).expect("moved");
    let known = desktop.run_here(["list", "--json"]).ok();
    assert_eq!((rows(&known.json()), &known.json()["unasked"]["remote"]), (both(), &"origin".into()));
    assert_eq!(known.stderr().matches("note: 'origin' cannot be asked").count(), 1, "{}", known.stderr());
    // What has come is there without it.
    fs::rename(&away, &project.origin).expect("moved");
    desktop.run_here(["restore", SESSION]).ok();
    fs::rename(&project.origin, &away).expect("moved");
    let log = desktop.run_here(["log", SESSION]).ok();
    assert!(log.stdout().contains("#3") && log.stderr().contains("cannot be asked"), "{}{}", log.stdout(), log.stderr());
    assert_eq!(rows(&desktop.json(["list"])), both());
}

#[test]
fn a_restore_brings_that_session_alone_and_a_checkpoint_goes_on_in_its_chain() {
    for filters in [true, false] {
        let (project, laptop, desktop) = project(filters);
        let config = fs::read(desktop.cwd.join(".git/config")).expect("a configuration");
        desktop.run_here(["list"]).ok();
        desktop.run_here(["restore", &sid()[..8]]).ok();
        assert!(desktop.heard().contains("how are you"));
        let ours = desktop.git(["for-each-ref", "--format=%(refname)", "refs/samesession", "refs/samesession-remote"]);
        assert_eq!(ours.trim(), tracking_ref());
        assert_eq!(desktop.count(&tracking_ref()), 3);
        assert_eq!(fs::read(desktop.cwd.join(".git/config")).expect("a configuration"), config);
        assert_untouched(&desktop);

        desktop.say("and from here");
        desktop.run_here(["checkpoint", SESSION, "--push"]).ok();
        assert_eq!(desktop.tip(), project.tip());
        assert_eq!(desktop.count(&desktop.tip()), 4);
        // The other one went on meanwhile: this machine asks for it by naming it.
        laptop.run_here(["fetch"]).ok();
        laptop.run_here(["restore", SESSION]).ok();
        let newest = laptop.checkpoint("and there", &[]);
        laptop.run_here(["push", SESSION]).ok();
        assert!(desktop.run_here(["list"]).ok().stdout().contains("behind origin"));
        assert_eq!(desktop.json(["log", SESSION])["checkpoints"][0]["commit"], newest.as_str());
        assert_eq!(desktop.tip(), newest, "what it has is brought up to date");
        assert!(!desktop.has(&project.git(["rev-parse", &session_ref().replace(&sid(), &sid_of(OTHER))])), "nobody asked for it");
        assert_untouched(&desktop);
    }
}

#[test]
fn every_name_of_a_session_brings_it() {
    let (project, laptop, _) = project(true);
    let readers = ["z", "a", "b", "c", "d", "e", "f"].map(|name| project.plain(name));
    let signer = laptop.json(["device", "show"])["signing_key"].as_str().expect("a key").to_owned();
    for reader in &readers {
        reader.run_here(["init", "--on-demand"]).ok();
        let known = reader.home.join(".config/samesession/known_signers");
        fs::write(known, format!("laptop namespaces=\"samesession\" {signer}\n")).expect("written");
    }
    let add = ["recipient", "add", "--session", SESSION].map(str::to_owned).into_iter().chain(readers.iter().map(Machine::recipient));
    laptop.run_here(add).ok();
    laptop.run_here(["push", SESSION]).ok();
    let (tip, before) = (project.tip(), project.git(["rev-parse", &format!("{}~2", session_ref())]));
    let names = [
        String::new(),
        sid(),
        SESSION.to_owned(),
        SESSION[..13].to_owned(),
        "latest".to_owned(),
        tip[..12].to_owned(),
        format!("{}~2", sid()),
    ];
    // A maker whom nobody here knows is asked about as ever.
    fs::remove_file(readers[0].home.join(".config/samesession/known_signers")).expect("removed");
    readers[0].run_here(["restore", &sid()]).fails(1, "").hints("--trust");
    readers[0].run_here(["restore", &sid(), "--trust", &laptop.fingerprint()]).ok();
    assert!(readers[0].heard().contains("how are you"));
    for (reader, name) in readers.iter().zip(names).skip(1) {
        let shown = reader.json(["show", &name]);
        let expected = if name.ends_with("~2") { &before } else { &tip };
        assert_eq!(shown["checkpoint"]["commit"].as_str().or(shown["commit"].as_str()), Some(expected.as_str()), "{name}: {shown}");
        assert_untouched(reader);
    }
}

#[test]
fn one_session_can_be_shortened_shared_and_pushed() {
    let (project, laptop, desktop) = project(true);
    let third = project.plain("third");
    // It was never here: each verb brings it.
    desktop.run_here(["recipient", "add", "--session", &sid(), &third.recipient()]).ok();
    desktop.run_here(["push", &sid()]).ok();
    assert_eq!(desktop.tip(), project.tip());
    let readers = desktop.json(["recipient", "list", &sid()]);
    assert!(readers.to_string().contains(&third.recipient()), "{readers}");
    desktop.run_here(["gc", "--keep-last", "1", &sid()]).ok();
    assert_eq!(desktop.tip(), project.tip());
    assert_eq!(project.git(["rev-list", "--count", &session_ref()]), "1");
    assert_untouched(&desktop);
    // One that began here, too, before anybody asked for it, is joined when it is pushed.
    laptop.checkpoint_of(OTHER);
    laptop.run_here(["push", OTHER]).ok();
    desktop.say_in(OTHER, "something else");
    let pushed = desktop.json(["checkpoint", OTHER, "--push"]);
    assert_eq!(pushed["push"]["sessions"][0]["result"], "joined", "{pushed}");
    assert_eq!(desktop.json(["log", OTHER])["checkpoints"].as_array().expect("rows").len(), 4);
    assert_untouched(&desktop);
}

#[test]
fn what_is_remembered_of_the_store_may_be_lost_or_broken() {
    let (_project, _, desktop) = project(true);
    desktop.run_here(["list"]).ok();
    let _ = fs::remove_file(desktop.cwd.join(".git/samesession/glances.age"));
    for harm in [
        "rm -rf .git/samesession/on-demand.git/refs",
        ": > .git/samesession/on-demand.git/HEAD",
        "rm -rf .git/samesession/on-demand.git/objects",
        "rm -rf .git/samesession/on-demand.git/refs/samesession-remote; : > .git/samesession/on-demand.git/shallow.lock",
        "rm -rf .git/samesession",
    ] {
        assert!(desktop.command("sh").args(["-c", harm]).status().expect("a shell").success());
        let list = desktop.run_here(["list", "--json"]).ok();
        assert_eq!((rows(&list.json()), list.stderr()), (both(), String::new()), "{harm}");
        let _ = fs::remove_file(desktop.cwd.join(".git/samesession/glances.age"));
    }
    desktop.run_here(["init", "--uninstall"]).ok();
    assert!(!heads(&desktop).exists());
}

#[test]
fn a_server_that_refuses_this_filter_is_asked_without() {
    let (project, laptop, desktop) = project(true);
    project.git(["config", "uploadpackfilter.allow", "false"]);
    let list = desktop.run_here(["list", "--json"]).ok();
    assert_eq!((rows(&list.json()), list.stderr()), (both(), String::new()));
    assert!(size(&desktop) > 100_000, "it sent all of both");
    // That is remembered.
    laptop.checkpoint("more", &[]);
    laptop.run_here(["push", SESSION]).ok();
    let again = desktop.env("SAMESESSION_TRACE", "1").run_here(["list"]).ok();
    assert!(again.stdout().contains("#4"), "{}", again.stdout());
    assert_eq!(again.stderr().lines().filter(|line| line.contains(" fetch ")).count(), 1, "{}", again.stderr());
    assert_untouched(&desktop);
}

#[test]
fn a_connection_that_breaks_takes_nothing_away() {
    let (_project, laptop, desktop) = project(true);
    desktop.run_here(["list"]).ok();
    laptop.checkpoint("more", &[]);
    laptop.run_here(["push", SESSION]).ok();
    // Its refs can be had, and no object.
    desktop.git(["config", "--global", "uploadpack.packObjectsHook", "false"]);
    let list = desktop.run_here(["list", "--json"]).ok();
    assert_eq!((rows(&list.json()), list.json()["unasked"]["remote"].as_str()), (both(), Some("origin")));
    desktop.run_here(["log", &sid()]).fails(128, "git fetch failed");
    desktop.git(["config", "--global", "--unset", "uploadpack.packObjectsHook"]);
    let list = desktop.run_here(["list"]).ok();
    assert!(list.stdout().contains("#4") && list.stderr().is_empty(), "{}{}", list.stdout(), list.stderr());
    assert_eq!(
        fs::read_dir(desktop.cwd.join(".git/samesession")).expect("a directory").count(),
        5,
        "init.json, its copy, glances, heads, a lock"
    );
}

#[test]
fn who_never_ran_init_fetches_nothing() {
    let (project, laptop, _) = project(true);
    let address = format!("file://{}", project.origin.display());
    let bystander = project.sandbox.machine("bystander");
    bystander.git(["init", "-q"]);
    bystander.git(["remote", "add", "origin", &address]);
    bystander.git(["fetch", "-q"]);
    let tip = laptop.tip();
    let cloned = bystander.at(bystander.home.join("cloned"));
    cloned.git(["clone", "-q", "--no-local", &address, "."]);
    for machine in [&bystander, &cloned] {
        assert_eq!(machine.git(["for-each-ref", "refs/samesession*"]), "");
        assert!(!machine.has(&tip));
        let objects = machine.git(["cat-file", "--batch-check=%(objecttype)", "--batch-all-objects"]);
        assert_eq!(objects.lines().count(), 2, "the one commit of the branch and its tree: {objects}");
    }
}

/// Each is a clone of one kind, made by these commands in `$DIR` and used from the directory they end in.
const KINDS: &[(&str, &str)] = &[
    ("an address that is a path from the top", "git init -q . && git remote add origin ../store.git && mkdir below && cd below"),
    (
        "an address that this repository's settings spell out",
        "git init -q . && git remote add origin hub:store.git && git config url.$URL.insteadOf hub:store.git",
    ),
    ("a bare one", "git init -q --bare . && git remote add origin $URL && git fetch -q origin"),
    ("a linked work tree", "git clone -q $URL main && cd main && git worktree add -q ../linked HEAD && cd ../linked"),
    ("a shallow clone", "git clone -q --depth=1 $URL . && test -s .git/shallow"),
    ("a partial clone", "git clone -q --filter=blob:none $URL . && git config --get remote.origin.promisor"),
    // The last one: it holds for all that this machine does from then on.
    (
        "a hook that no ref passes",
        "git init -q . && git remote add origin $URL && printf '#!/bin/sh\\nexit 1\\n' >.git/hooks/reference-transaction &&
         chmod +x .git/hooks/reference-transaction && git config --global core.hooksPath $PWD/.git/hooks",
    ),
];

#[test]
fn every_kind_of_clone_can_ask() {
    let (project, laptop, desktop) = project(true);
    laptop.git(["commit", "-q", "--allow-empty", "-m", "first"]);
    laptop.git(["commit", "-q", "--allow-empty", "-m", "second"]);
    laptop.git(["push", "-q", "-f", "origin", "HEAD:refs/heads/main"]);
    std::os::unix::fs::symlink(&project.origin, desktop.home.join("store.git")).expect("linked");
    let address = format!("file://{}", project.origin.display());
    for (n, (kind, commands)) in KINDS.iter().enumerate() {
        let dir = desktop.home.join(format!("kind{n}"));
        let at = desktop.at(&dir).env("URL", &address);
        let made = at.command("sh").args(["-ec", &format!("{commands} >/dev/null; pwd")]).output().expect("a shell");
        assert!(made.status.success(), "{kind}: {}", String::from_utf8_lossy(&made.stderr));
        let at = desktop.at(String::from_utf8_lossy(&made.stdout).trim());
        at.run_here(["init", "--on-demand"]).ok();
        let common = PathBuf::from(at.git(["rev-parse", "--path-format=absolute", "--git-common-dir"]).trim());
        let kept = |name: &str| fs::read(common.join(name)).ok();
        let before = ["config", "shallow", "packed-refs", "FETCH_HEAD"].map(kept);
        let refs = at.git(["for-each-ref"]);
        let list = at.run_here(["list", "--json"]).ok();
        assert_eq!((rows(&list.json()), list.stderr()), (both(), String::new()), "{kind}");
        assert_eq!(at.git(["for-each-ref"]), refs, "{kind}");
        if !kind.contains("hook") {
            at.run_here(["log", &sid()]).ok();
            assert_eq!(at.count(&tracking_ref()), 3, "{kind}");
        }
        assert_eq!(["config", "shallow", "packed-refs", "FETCH_HEAD"].map(kept), before, "{kind}");
    }
}

#[test]
fn a_store_of_hundreds_of_sessions_is_worth_a_word() {
    let (project, _, desktop) = project(true);
    let known = desktop.home.join(".config/samesession/known_signers");
    let signers = fs::read_to_string(&known).expect("written");
    fs::write(&known, signers.replace("\"samesession\"", "\"samesession,git\"")).expect("written");
    desktop.run_here(["list"]).ok();
    assert!(!desktop.run_here(["doctor"]).ok().stdout().contains("are much"));
    let digits = |n: usize| format!("{n:026}").bytes().map(|digit| (b'a' + digit - b'0') as char).collect::<String>();
    let tip = project.tip();
    for n in 0..300 {
        fs::write(project.origin.join("refs/samesession/sessions").join(digits(n)), &tip).expect("written");
    }
    desktop.run_here(["list", "-q"]).ok();
    let said = desktop.run_here(["doctor"]).ok().stdout();
    assert!(said.contains("302 sessions of") && said.contains("git samesession gc --keep-last 10"), "{said}");
    assert!(!said.contains("--on-demand"), "that is so already: {said}");
    desktop.run_here(["gc", "--keep-last", "10"]).ok();
}

#[test]
fn a_repository_of_the_other_format_can_ask_too() {
    let project = Project::new();
    let store = project.sandbox.path().join("store.git");
    let address = store.to_str().expect("UTF-8");
    let machines = ["laptop", "desktop"].map(|name| {
        let machine = project.sandbox.machine(name);
        machine.init().git(["init", "-q", "--object-format=sha256"]);
        machine.git(["remote", "add", "origin", address]);
        machine
    });
    acquaint(&machines);
    let [laptop, desktop] = machines;
    laptop.git(["init", "-q", "--bare", "--object-format=sha256", address]);
    laptop.checkpoint("hello", &[]);
    laptop.run_here(["push", SESSION]).ok();
    desktop.run_here(["init", "--on-demand"]).ok();
    assert_eq!(rows(&desktop.json(["list"])), [(sid(), SESSION.to_owned(), "same".to_owned())]);
    desktop.run_here(["restore", SESSION]).ok();
    assert_untouched(&desktop);
}

#[test]
fn several_lists_at_once_are_in_nobodys_way() {
    let (_project, _, desktop) = project(true);
    let lists: Vec<_> = (0..6).map(|_| desktop.start(["list", "--json"])).collect();
    for list in lists {
        let list = Ran(list.wait_with_output().expect("it ends")).ok();
        assert_eq!((rows(&list.json()), list.stderr()), (both(), String::new()));
    }
    assert_untouched(&desktop);
}
