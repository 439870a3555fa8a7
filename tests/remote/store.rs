//! A store behind a Git address: what plain Git does, in a view of its own.

use std::fs;

use super::{captured, listed, name_of, tracking_of, with_agents};
use crate::support::chains::write_script;
use crate::support::clones::{OTHER, Project, SESSION, sid_of};
use crate::support::sandbox::{Machine, Ran};
use crate::support::servers;

/// A clone with a captured chain of two checkpoints and one of one, and an empty store.
struct Scene {
    project: Project,
    laptop: Machine,
    store: Machine,
    url: String,
}

impl Scene {
    fn new() -> Scene {
        let project = Project::new();
        let laptop = with_agents(&project, "laptop");
        laptop.git(["checkout", "-q", "-b", "main", "origin/main"]);
        captured(&laptop);
        laptop.say("two");
        captured(&laptop);
        let store = laptop.at(project.sandbox.path().join("store.git"));
        store.git(["init", "-q", "--bare"]);
        let url = format!("session::{}", store.cwd.display());
        Scene { project, laptop, store, url }
    }

    fn branches(&self) -> Vec<String> {
        self.store.git(["for-each-ref", "--format=%(refname)"]).lines().map(str::to_owned).collect()
    }

    fn push(&self, specs: &[&str]) -> Ran {
        self.laptop.try_git(["push", &self.url].iter().chain(specs).copied())
    }
}

const ALL: &str = "refs/samesession-remote/agents/*:refs/samesession/*";

#[test]
fn whatever_is_pushed_comes_to_what_plain_git_makes_of_it() {
    let scene = Scene::new();
    let (laptop, name, other) = (&scene.laptop, name_of(SESSION), name_of(OTHER));
    let plain = laptop.at(scene.project.sandbox.path().join("plain.git"));
    plain.git(["init", "-q", "--bare"]);
    for repo in [&plain, &scene.store] {
        repo.git(["config", "receive.advertisePushOptions", "true"]);
        write_script(&repo.cwd.join("hooks/pre-receive"), "test \"$GIT_PUSH_OPTION_0\" != \"no way\" || exit 1");
    }
    let (tip, otip) = (laptop.rev(&tracking_of(SESSION)), laptop.rev(&tracking_of(OTHER)));
    let old = laptop.rev(&format!("{tip}~1"));
    let to = |id: &str, name: &str| format!("{id}:{name}");
    let lease = |expected: &str| format!("--force-with-lease={name}:{expected}");
    let rounds: Vec<Vec<String>> = vec![
        vec!["-n".into(), to(&old, &name)],
        vec![to(&old, &name)],
        vec![to(&old, &name)],
        vec![to(&tip, &name), to(&otip, &other)],
        vec![to(&old, &name)],
        vec![to(&old, &name), format!(":{other}")],
        vec!["--atomic".into(), to(&old, &name), format!(":{other}")],
        vec![lease(&old), to(&old, &name)],
        vec![lease(&tip), to(&old, &name)],
        vec![lease(""), to(&tip, &name)],
        vec!["-n".into(), "-f".into(), to(&otip, &name)],
        vec!["-f".into(), to(&otip, &name)],
        vec![format!("+{}", to(&tip, &name))],
        vec!["--prune".into(), "refs/samesession/*".into()],
        vec!["-o".into(), "no way".into(), to(&tip, &name)],
        vec!["-o".into(), "some \"way\"".into(), to(&tip, &name)],
        vec!["--atomic".into(), to(&tip, &name), to(&otip, &other)],
        vec!["-d".into(), other.clone()],
        vec!["-d".into(), other.clone()],
        vec![to("refs/samesession-remote/agents/sessions/none", &name)],
    ];
    let url = plain.cwd.to_str().expect("UTF-8").to_owned();
    for round in rounds {
        let (flags, specs): (Vec<_>, Vec<_>) =
            round.iter().partition(|word| word.starts_with('-') || *word == "no way" || word.contains('"'));
        let run = |to: &str| {
            let args = ["push", "--porcelain"].map(str::to_owned).into_iter().chain(flags.iter().map(|flag| (*flag).clone()));
            let ran = laptop.try_git(args.chain([to.to_owned()]).chain(specs.iter().map(|spec| (*spec).clone())));
            // Only a flag and the refs: `[new branch]` is a word for branches.
            let row = |line: &str| {
                let mut fields = line.split('\t');
                let (flag, refs, words) = (fields.next()?.to_owned(), fields.next()?.to_owned(), fields.next()?.to_owned());
                let why = words.split_once('(').map(|(_, why)| why.to_owned());
                Some((flag, refs, why))
            };
            let rows: Vec<_> = ran.stdout().lines().filter_map(row).collect();
            (ran.code(), rows)
        };
        assert_eq!(run(&scene.url), run(&url), "{round:?}");
        assert_eq!(laptop.git(["ls-remote", &scene.url]), laptop.git(["ls-remote", &url]), "{round:?}");
    }
}

#[test]
fn several_projects_share_a_store_and_see_nothing_of_each_other() {
    let scene = Scene::new();
    scene.push(&[ALL]).ok();
    let stranger = scene.project.sandbox.machine("stranger");
    stranger.run_here(["device", "init", "--name", "stranger"]).ok();
    stranger.git(["init", "-q"]);
    stranger.git(["commit", "-q", "--allow-empty", "-m", "another beginning"]);
    assert_eq!(stranger.git(["ls-remote", &scene.url]), "");
    stranger.say_in("dddddddd-0003-4000-8000-000000000003", "theirs");
    stranger.git(["fetch", "-q", "session::", "refs/samesession/*:refs/samesession-remote/agents/*"]);
    stranger.git(["push", "-q", &scene.url, ALL]);
    assert_eq!(stranger.git(["ls-remote", &scene.url]).lines().count(), 1);
    // Without the helper it is a refspec.
    let namespace = fs::read_to_string(scene.laptop.cwd.join(".git/samesession/namespace")).expect("it is remembered");
    let spec = format!("refs/heads/samesession/{}/*:refs/samesession-remote/plain/*", namespace.trim());
    scene.laptop.git(["fetch", "-q", scene.store.cwd.to_str().expect("UTF-8"), &spec]);
    assert_eq!(scene.laptop.rev(&tracking_of(SESSION).replace("agents", "plain")), scene.laptop.rev(&tracking_of(SESSION)));
    // To make it like nothing deletes this project's own.
    stranger.git(["push", "-q", "--prune", &scene.url, "refs/samesession/*"]);
    assert_eq!(stranger.git(["ls-remote", &scene.url]), "");
    assert_eq!(scene.laptop.git(["ls-remote", &scene.url]).lines().count(), 2);
    for name in scene.branches() {
        let rest = name.strip_prefix("refs/heads/samesession/").expect("branches, where every host keeps them");
        let (namespace, session) = rest.split_once('/').expect("a namespace");
        assert!(namespace.len() == 32 && namespace.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
        assert_ne!(namespace, &scene.laptop.rev("HEAD")[..32]);
        assert!(session.starts_with("sessions/"), "{name}");
    }
    // Every clone finds the same, whatever it has checked out later.
    let desktop = scene.project.plain("desktop");
    desktop.git(["checkout", "-q", "-b", "main", "origin/main"]);
    assert_eq!(desktop.git(["ls-remote", &scene.url]).lines().count(), 2);
    desktop.git(["checkout", "-q", "--orphan", "pages"]);
    desktop.git(["commit", "-q", "--allow-empty", "-m", "pages"]);
    assert_eq!(desktop.git(["ls-remote", &scene.url]).lines().count(), 2);
}

#[test]
fn who_was_faster_between_two_looks_is_not_overwritten() {
    let scene = Scene::new();
    let (laptop, name) = (&scene.laptop, name_of(SESSION));
    let (tip, otip) = (laptop.rev(&tracking_of(SESSION)), laptop.rev(&tracking_of(OTHER)));
    let old = format!("{tip}~1:{name}");
    scene.push(&[&old]).ok();
    let branch = scene.branches().remove(0);
    // Git runs this hook when it has seen what the store has, and before the helper pushes.
    let hook = laptop.cwd.join(".git/hooks/pre-push");
    let sneak = format!(
        "git -C '{}' fetch -q '{}' {otip} && git -C '{}' update-ref {branch} {otip}",
        scene.store.cwd.display(),
        laptop.cwd.display(),
        scene.store.cwd.display()
    );
    scene.store.git(["config", "uploadpack.allowAnySHA1InWant", "true"]);
    laptop.git(["config", "uploadpack.allowAnySHA1InWant", "true"]);
    write_script(&hook, &sneak);
    let was = laptop.rev(&format!("{tip}~1"));
    for args in [vec![format!("{tip}:{name}")], vec![format!("--force-with-lease={name}:{was}"), format!("{tip}:{name}")]] {
        scene.store.git(["update-ref", &branch, &was]);
        let (flags, specs): (Vec<&String>, Vec<&String>) = args.iter().partition(|arg| arg.starts_with('-'));
        let words =
            ["push".to_owned()].into_iter().chain(flags.into_iter().cloned()).chain([scene.url.clone()]).chain(specs.into_iter().cloned());
        let ran = laptop.try_git(words);
        assert_eq!(ran.code(), Some(1), "{}", ran.stderr());
        assert_eq!(scene.store.rev(&branch), otip, "{}", ran.stderr());
    }
}

#[test]
fn a_store_is_reached_by_a_remotes_name_too_and_cloned() {
    let scene = Scene::new();
    let laptop = &scene.laptop;
    laptop.git(["remote", "add", "private", scene.store.cwd.to_str().expect("UTF-8")]);
    laptop.git(["push", "-q", "session::private", ALL]);
    assert_eq!(listed(laptop, "session::private", SESSION), Some(laptop.rev(&tracking_of(SESSION))));
    let relative = laptop.at(laptop.cwd.join("below"));
    assert_eq!(relative.git(["ls-remote", "session::../../../store.git"]).lines().count(), 2);
    let copies = laptop.at(laptop.home.join("copies"));
    copies.git(["clone", "-q", "-c", "remote.origin.fetch=+refs/samesession/*:refs/samesession-remote/origin/*", &scene.url, "c"]);
    let copy = copies.at(copies.cwd.join("c"));
    assert_eq!(copy.rev(&tracking_of(SESSION).replace("agents", "origin")), laptop.rev(&tracking_of(SESSION)));
    let ran = copy.try_git(["push", "origin", ":refs/samesession/sessions/x"]);
    assert!(ran.stderr().contains("remote ref does not exist") || ran.stderr().contains("not known which project"), "{}", ran.stderr());
    assert_eq!(scene.branches().len(), 2);
    // Neither shallow nor partial, and it is said.
    for (n, narrow) in ["--depth=1", "--filter=blob:none", "--shallow-since=2020-01-01"].into_iter().enumerate() {
        let spec = "remote.origin.fetch=+refs/samesession/*:refs/samesession-remote/origin/*";
        let place = format!("narrow-{n}");
        let ran = copies.try_git(["clone", narrow, "--no-single-branch", "-c", spec, &scene.url, &place]).ok();
        assert_eq!(ran.stderr().matches("everything is brought").count(), 1, "{narrow}: {}", ran.stderr());
        let copy = copies.at(copies.cwd.join(place));
        let tracking = tracking_of(SESSION).replace("agents", "origin");
        assert_eq!((copy.rev(&tracking), copy.count(&tracking)), (laptop.rev(&tracking_of(SESSION)), 2));
        copy.git(["fetch", "-q", narrow, "origin"]);
        assert_eq!(copy.git(["rev-parse", "--is-shallow-repository"]), "false\n");
        copy.git(["fsck", "--strict", "--no-dangling"]);
    }
    // What another helper would have to reach is refused, by whatever name.
    for url in ["session::x", "ext::sh -c true", "-oProxyCommand=x"] {
        laptop.git(["config", "remote.trap.url", url]);
        let ran = laptop.try_git(["ls-remote", "session::trap"]);
        assert!(
            ran.stderr().contains("helpers are not nested") || ran.stderr().contains("begins like an option"),
            "{url}: {}",
            ran.stderr()
        );
    }
    laptop.git(["config", "url.session::.insteadOf", "hidden:"]);
    let ran = laptop.try_git(["ls-remote", "session::hidden:x"]);
    assert!(ran.code() == Some(128) && ran.stderr().contains("inside of"), "{}", ran.stderr());
    for from_user in ["0", "false"] {
        let ran = laptop.env("GIT_PROTOCOL_FROM_USER", from_user).try_git(["ls-remote", "session::claude"]);
        assert!(ran.stderr().contains("transport 'session' not allowed"), "{}", ran.stderr());
        let allowed = laptop.env("GIT_PROTOCOL_FROM_USER", from_user).try_git([
            "-c",
            "protocol.session.allow=always",
            "ls-remote",
            "session::claude",
        ]);
        assert!(allowed.stderr().contains("no person has typed"), "{}", allowed.stderr());
    }
}

#[test]
fn a_hostile_store_shows_names_and_takes_nothing() {
    let scene = Scene::new();
    scene.push(&[ALL]).ok();
    let (laptop, branch) = (&scene.laptop, scene.branches().remove(0));
    let namespace = branch.split('/').nth(3).expect("a namespace").to_owned();
    let tip = laptop.rev(&tracking_of(SESSION));
    for name in ["../x", "sessions/UPPER", "sessions/a b", "-x", "sessions/x.y", "heads/main/..", "x@{0}"] {
        let _ = scene.store.try_git(["update-ref", &format!("refs/heads/samesession/{namespace}/{name}"), &tip]);
    }
    for name in ["refs/heads/main", "refs/tags/v1", "refs/samesession/sessions/x", "refs/heads/samesession/other/sessions/x"] {
        scene.store.git(["update-ref", name, &tip]);
    }
    assert_eq!(laptop.git(["ls-remote", &scene.url]).lines().count(), 2);
    let before = laptop.git(["for-each-ref", "refs/heads", "refs/tags"]);
    laptop.git(["fetch", "-q", &scene.url, "refs/*:refs/hostile/*"]);
    assert_eq!(laptop.git(["for-each-ref", "refs/heads", "refs/tags"]), before);
    assert_eq!(laptop.git(["for-each-ref", "refs/hostile"]).lines().count(), 2);
    // One that breaks off, or says nonsense, is no empty one.
    laptop.git(["config", "remote.broken.url", scene.store.cwd.to_str().expect("UTF-8")]);
    for (n, script) in ["exit 1", "printf 'nonsense'", "printf '0009abc'"].iter().enumerate() {
        let program = laptop.home.join(format!("upload-{n}"));
        write_script(&program, script);
        laptop.git(["config", "remote.broken.uploadpack", program.to_str().expect("UTF-8")]);
        let spec = "refs/samesession/*:refs/samesession-remote/agents/*";
        let ran = laptop.try_git(["fetch", "--prune", "session::broken", spec]);
        assert_eq!(ran.code(), Some(128), "{script}: {}", ran.stderr());
        assert_eq!(laptop.rev(&tracking_of(SESSION)), tip, "{script}");
    }
    // What leads to something else than a checkpoint is passed by.
    laptop.git(["push", "-q", "-f", scene.store.cwd.to_str().expect("UTF-8"), &format!("HEAD:{branch}")]);
    laptop.git(["fetch", "-q", &scene.url, "+refs/samesession/*:refs/samesession-remote/hostile/*"]);
    assert!(laptop.run_here(["list"]).ok().stderr().len() < 2000);
}

#[test]
fn a_clone_that_cannot_know_its_project_guesses_none() {
    let scene = Scene::new();
    scene.push(&[ALL]).ok();
    let shallow = scene.laptop.at(scene.project.sandbox.path().join("shallow"));
    scene.laptop.git(["commit", "-q", "--allow-empty", "-m", "y"]);
    scene.laptop.git(["push", "-q", "origin", "main"]);
    shallow.git(["clone", "-q", "--depth=1", "-b", "main", &format!("file://{}", scene.project.origin.display()), "."]);
    let ran = shallow.try_git(["ls-remote", &scene.url]);
    assert!(ran.stderr().contains("history here is shallow") && ran.stderr().contains("git fetch --unshallow"), "{}", ran.stderr());
    let namespace = scene.branches()[0].split('/').nth(3).expect("a namespace").to_owned();
    assert_eq!(shallow.git(["-c", &format!("samesession.namespace={namespace}"), "ls-remote", &scene.url]).lines().count(), 2);
    let ran = shallow.try_git(["-c", "samesession.namespace=../x", "ls-remote", &scene.url]);
    assert!(ran.stderr().contains("cannot name a project"), "{}", ran.stderr());
    shallow.git(["fetch", "-q", "--unshallow"]);
    assert_eq!(shallow.git(["ls-remote", &scene.url]).lines().count(), 2);
}

#[test]
fn a_store_of_its_own_takes_every_session_and_the_codes_remote_none() {
    let scene = Scene::new();
    let (laptop, desktop) = (&scene.laptop, scene.project.plain("desktop"));
    desktop.git(["checkout", "-q", "-b", "main", "origin/main"]);
    for machine in [laptop, &desktop] {
        let told = machine.run_here(["init", "--store", &scene.url]).ok().stdout();
        assert!(told.contains("sessions go to 'sessions'"), "{told}");
        assert!(machine.run_here(["init", "--store", &scene.url]).ok().stdout().contains("nothing had to be changed"));
    }
    laptop.checkpoint("three", &[&desktop]);
    laptop.run_here(["push", SESSION]).ok();
    laptop.say("four");
    laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
    desktop.run_here(["fetch", "--trust", &laptop.fingerprint()]).ok();
    desktop.run_here(["restore", SESSION, "--session-only"]).ok();
    assert_eq!(desktop.heard(), laptop.heard());
    desktop.say("five");
    desktop.run_here(["checkpoint", SESSION, "--push"]).ok();
    // Both went on: joined, as on any remote.
    laptop.say("six");
    laptop.run_here(["fetch", "--trust", &desktop.fingerprint()]).ok();
    laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
    desktop.git(["fetch", "-q", "sessions"]);
    assert_eq!(desktop.rev(&format!("refs/samesession-remote/sessions/sessions/{}", sid_of(SESSION))), laptop.tip());
    assert_eq!(scene.project.git(["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
    let before = fs::read_to_string(desktop.cwd.join(".git/config")).expect("a configuration");
    assert!(before.contains("session::"));
    desktop.run_here(["init", "--uninstall"]).ok();
    let after = fs::read_to_string(desktop.cwd.join(".git/config")).expect("a configuration");
    assert!(!after.contains("session::") && !after.contains("[samesession]") && !after.contains("agents"), "{after}");
    laptop.run_here(["init", "--store", "/not/a/helper"]).fails(128, "is no agent, remote or address");
    laptop.run_here(["init", "--store", "session::claude"]).fails(128, "is no agent, remote or address");
}

#[test]
fn every_address_that_git_takes_is_one_and_a_host_that_hides_other_refs_too() {
    let scene = Scene::new();
    let (laptop, store) = (&scene.laptop, &scene.store);
    // As hosts do: what is no branch is neither shown nor taken.
    store.git(["config", "transfer.hideRefs", "refs/samesession"]);
    write_script(&store.cwd.join("hooks/update"), "case \"$1\" in refs/heads/*) ;; *) echo 'only branches' >&2; exit 1 ;; esac");
    let path = store.cwd.to_str().expect("UTF-8");
    assert_eq!(laptop.try_git(["push", path, ALL]).code(), Some(1));
    let ssh = laptop.home.join("ssh");
    write_script(&ssh, "while [ $# -gt 1 ]; do shift; done; exec sh -c \"$1\"");
    let laptop = &laptop.env("GIT_SSH_COMMAND", &ssh);
    store.git(["config", "http.receivepack", "true"]);
    let root = store.at(scene.project.sandbox.path()).homed(scene.project.sandbox.path());
    let http = servers::http(&root).map(|address| format!("{address}/store.git"));
    if http.is_none() {
        eprintln!("SKIPPED: this Git has no HTTP");
    }
    let daemon = servers::Daemon::start(&root);
    let addresses = [
        http,
        Some(format!("{}/store.git", daemon.address())),
        Some(format!("me@host.example:{path}")),
        Some(format!("ssh://me@host.example{path}")),
        Some(format!("file://{path}")),
    ];
    for (n, address) in addresses.into_iter().flatten().enumerate() {
        let url = format!("session::{address}");
        assert_eq!(laptop.git(["ls-remote", &url]), "", "{url}");
        let ran = laptop.try_git(["push", "--atomic", &url, ALL]).ok();
        assert_eq!(ran.stderr().matches("[new reference]").count(), 2, "{url}: {}", ran.stderr());
        laptop.git(["fetch", "-q", &url, &format!("refs/samesession/*:refs/samesession-remote/n{n}/*")]);
        assert_eq!(laptop.rev(&tracking_of(SESSION).replace("agents", &format!("n{n}"))), laptop.rev(&tracking_of(SESSION)));
        // What is gone there goes here, where that is asked for, and nothing else does.
        laptop.git(["push", "-q", &url, &format!(":{}", name_of(OTHER))]);
        laptop.git(["fetch", "-q", "--prune", &url, &format!("refs/samesession/*:refs/samesession-remote/n{n}/*")]);
        assert_eq!(laptop.git(["for-each-ref", &format!("refs/samesession-remote/n{n}")]).lines().count(), 1, "{url}");
        assert_eq!(laptop.git(["for-each-ref", "refs/samesession-remote/agents"]).lines().count(), 2, "{url}");
        laptop.git(["push", "-q", &url, &format!(":{}", name_of(SESSION))]);
    }
}
