//! `move` here, `resume` there, and back again.

use crate::support::clones::{SESSION, session_ref};
use crate::support::sandbox::CODEX;
use crate::workspace::scene::{Scene, assert_nothing_done};

#[test]
fn there_and_back_and_there_again() {
    let scene = Scene::new();
    let (laptop, desktop) = (&scene.laptop, &scene.desktop);
    laptop.say("begun on the laptop");
    laptop.puts("one", "changed\n");
    laptop.puts("new", "untracked\n");
    let moved = laptop.run_here(["move", SESSION, "--note", "look at line 3", "--json"]).ok().json();
    assert_eq!((&moved["state"], &moved["sequence"]), (&"handed-over".into(), &1.into()), "{moved:#}");
    assert_eq!(moved["next"], format!("git samesession resume {}", &moved["sid"].as_str().expect("a sid")[..8]));
    assert_eq!(laptop.run_here(["lease", "status", "--json"]).ok().json()["sessions"][0]["standing"], "sent");

    let resumed = desktop.run_here(["resume", "--no-launch", "--json"]).ok().json();
    assert_eq!((&resumed["note"], &resumed["from"]), (&"look at line 3".into(), &"laptop".into()), "{resumed:#}");
    assert_eq!(resumed["lease"]["standing"], "mine");
    let there = desktop.at(resumed["workspace"]["work_tree"].as_str().expect("a place"));
    scene.assert_arrived(&there);
    assert_eq!(there.heard(), laptop.heard());
    there.say("gone on on the desktop");
    there.puts("one", "changed there\n");

    // Before it is handed back nobody else goes on with it.
    let before = scene.origin_refs();
    let refused = laptop.run_here(["resume", "--no-launch"]).fails(1, "no session of this repository can be gone on with here");
    assert!(refused.stderr().contains("git samesession move"), "{}", refused.stderr());
    laptop.run_here(["resume", "--no-launch", SESSION]).fails(1, "held by 'desktop', since ").hints("--takeover");
    laptop.run_here(["move", SESSION]).fails(1, "held by 'desktop', since ");
    assert_eq!(scene.origin_refs(), before);

    there.run_here(["move", SESSION]).ok();
    let back = laptop.run_here(["resume", "--no-launch", "--json"]).ok().json();
    assert_eq!(back["relation"], "behind", "{back:#}");
    let home = laptop.at(back["workspace"]["work_tree"].as_str().expect("a place"));
    assert_eq!(home.reads("one"), "changed there\n");
    assert_eq!(home.heard(), there.heard());
    home.say("and a third time");
    home.run_here(["move", SESSION]).ok();
    let again = there.run_here(["resume", "--no-launch", "--json"]).ok().json();
    assert_eq!((&again["relation"], &again["native_id"]), (&"behind".into(), &SESSION.into()));
}

#[test]
fn what_was_not_sent_was_not_handed_over() {
    let scene = Scene::new();
    let laptop = &scene.laptop;
    laptop.say("a word");
    laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
    laptop.say("another");
    let away = scene.origin.with_extension("away");
    std::fs::rename(&scene.origin, &away).expect("moved away");
    let refs = laptop.git(["for-each-ref"]);
    let ran = laptop.run_here(["move", SESSION]);
    assert_ne!(ran.code(), Some(0));
    assert_eq!(laptop.git(["for-each-ref"]), refs);
    std::fs::rename(&away, &scene.origin).expect("and back");
    laptop.run_here(["move", SESSION]).ok();
    // A remote that refuses says why.
    let hook = scene.origin.join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().expect("a directory")).expect("made");
    std::fs::write(&hook, "#!/bin/sh\necho closed on Sundays; exit 1\n").expect("written");
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("made executable");
    laptop.say("a third");
    let refs = laptop.git(["for-each-ref"]);
    laptop.run_here(["move", SESSION]).fails(1, "closed on Sundays");
    assert_eq!(laptop.git(["for-each-ref"]), refs);
}

#[test]
fn handed_to_one_it_is_nobody_elses() {
    let scene = Scene::new();
    let (laptop, desktop) = (&scene.laptop, &scene.desktop);
    laptop.say("a word");
    let somebody = scene.sandbox.machine("somebody");
    somebody.run_here(["device", "init", "--name", "somebody"]).ok();
    let told = laptop.run_here(["handoff", SESSION, "--to", &somebody.recipient(), "--json"]).ok().json();
    assert_eq!(told["to"][0], somebody.recipient());
    desktop.run_here(["resume", "--no-launch", SESSION]).fails(1, "handed over to somebody else");
    let taken = desktop.run_here(["resume", "--no-launch", SESSION, "--takeover", "they are on holiday", "--json"]).ok().json();
    assert_eq!((&taken["lease"]["reason"], &taken["lease"]["taken_from"]), (&"they are on holiday".into(), &"laptop".into()));
    // The reason stays in the chain.
    laptop.git(["fetch", "-q"]);
    let status = laptop.run_here(["lease", "status", SESSION]).ok();
    assert!(status.stdout().contains("taken over from 'laptop': they are on holiday"), "{}", status.stdout());
    laptop.run_here(["move", SESSION, "--to", "age1nobody"]).fails_with(128);
}

#[test]
fn a_resume_that_cannot_be_leaves_the_lease_where_it_was() {
    let scene = Scene::new();
    let (laptop, desktop) = (&scene.laptop, &scene.desktop);
    laptop.say("a word");
    laptop.run_here(["move", SESSION]).ok();
    let outside_git = || scene.desktops().into_iter().filter(|(path, _)| !path.iter().any(|part| part == ".git")).collect::<Vec<_>>();
    let before = outside_git();
    desktop.run_here(["resume", "--into", "no/such/place/at/all", "--session-only"]).fails_with(128);
    desktop.run_here(["resume", "-n"]).ok();
    let there = desktop.env("SAMESESSION_FAULT", "restore.placed=full");
    there.run_here(["resume", "--no-launch"]).fails(3, "everything was put back");
    assert_eq!(desktop.run_here(["lease", "status", "--json"]).ok().json()["sessions"][0]["standing"], "sent");
    assert_nothing_done(&before, &outside_git(), "after a full disk");
    // Handed on by whoever could not use it, it waits for anybody again.
    laptop.run_here(["resume", "--no-launch"]).ok();
}

#[test]
fn a_clock_that_is_wrong_takes_nothing_and_a_dead_holder_is_outlived() {
    let scene = Scene::new();
    let (laptop, desktop) = (&scene.laptop, &scene.desktop);
    laptop.say("a word");
    laptop.run_here(["checkpoint", SESSION, "--push"]).ok();
    laptop.run_here(["lease", "take", SESSION]).ok();
    let clock = scene.sandbox.path().join("clock");
    let late = desktop.env("SAMESESSION_TEST_CLOCK", &clock);
    for (seconds, refused) in [("3600", true), ("-3600", true), ("14000", true), ("15100", false)] {
        std::fs::write(&clock, seconds).expect("written");
        let ran = late.run_here(["resume", "--no-launch", SESSION]);
        if refused {
            ran.fails(1, "held by 'laptop'");
        } else {
            ran.ok();
        }
    }
    // Who was given up hears of it, and loses nothing.
    laptop.say("one more word");
    laptop.run_here(["move", SESSION]).fails(1, "held by 'desktop'");
    let renewed = laptop.run_here(["lease", "renew", SESSION, "--json"]).ok().json();
    assert_eq!(renewed["sessions"][0]["standing"], "held");
}

impl Scene {
    pub fn origin_refs(&self) -> String {
        self.laptop.at(&self.origin).git(["for-each-ref", "refs/samesession"])
    }
}

#[test]
fn what_could_not_go_on_here_is_not_taken() {
    let scene = Scene::new();
    let (laptop, desktop) = (&scene.laptop, &scene.desktop);
    laptop.with_codex();
    let sent = laptop.run_here(["move", CODEX, "--json"]).ok().json();
    assert_eq!(sent["state"], "handed-over");
    // Its rollout names a provider of the machine where it was made.
    let before = scene.origin_refs();
    let refused =
        desktop.with_agent("").run_here(["resume", CODEX]).fails(1, "cannot go on with it here: it uses the model provider 'loopback'");
    refused.hints("--no-launch");
    assert_eq!(scene.origin_refs(), before);
    assert!(!desktop.codex().join("sessions").exists());
    std::fs::create_dir_all(desktop.codex()).expect("made");
    std::fs::write(desktop.codex().join("config.toml"), "[model_providers.loopback]\n").expect("written");
    desktop.run_here(["resume", CODEX]).ok();
}

#[test]
fn a_remote_that_was_set_back_is_named_and_nothing_is_lost() {
    let scene = Scene::new();
    let (laptop, desktop) = (&scene.laptop, &scene.desktop);
    laptop.say("a word");
    laptop.run_here(["move", SESSION]).ok();
    desktop.run_here(["resume", "--no-launch", "--session-only"]).ok();
    let held = scene.origin_refs();
    let old = laptop.tip();
    let (tip, name) = (held.split(' ').next().expect("an id"), session_ref());
    laptop.at(&scene.origin).git(["update-ref", &name, &old]);
    assert_ne!(tip, old);
    // For the laptop, which never saw the newer one, it looks free; the desktop knows better, and says so.
    desktop.say("said there");
    let ran = desktop.run_here(["fetch"]).ok();
    assert!(ran.stderr().contains("'origin' was rewound"), "{}", ran.stderr());
    desktop.run_here(["move", SESSION]).ok();
    laptop.run_here(["resume", "--no-launch", "--session-only", SESSION]).ok();
    assert_eq!(laptop.heard(), desktop.heard());
}

#[test]
fn an_agent_that_would_spoil_it_is_not_started() {
    let scene = Scene::new();
    let (laptop, desktop) = (&scene.laptop, &scene.desktop);
    laptop.with_codex();
    laptop.run_here(["move", CODEX]).ok();
    std::fs::create_dir_all(desktop.codex()).expect("made");
    std::fs::write(desktop.codex().join("config.toml"), "[model_providers.loopback]\n").expect("written");
    // As npm installs it: a link into a package that says its version.
    let package = desktop.home.join("node_modules/@openai/codex");
    std::fs::create_dir_all(package.join("bin")).expect("made");
    std::fs::write(package.join("package.json"), r#"{"name":"@openai/codex","version":"0.140.0"}"#).expect("written");
    std::fs::write(package.join("bin/codex.js"), "#!/bin/sh\nexit 1\n").expect("written");
    std::fs::set_permissions(package.join("bin/codex.js"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
    let there = desktop.with_agent("");
    std::os::unix::fs::symlink(package.join("bin/codex.js"), desktop.home.join("bin/codex")).expect("linked");
    let before = scene.origin_refs();
    there.run_here(["resume", CODEX]).fails(1, "appends in an older form, after which newer versions refuse the session");
    assert_eq!(scene.origin_refs(), before);
    there.run_here(["resume", CODEX, "--no-launch"]).ok();
}

#[test]
fn of_several_that_wait_one_is_named() {
    let scene = Scene::new();
    let (laptop, desktop) = (&scene.laptop, &scene.desktop);
    for native in [SESSION, "dddddddd-0007-4000-8000-000000000007"] {
        laptop.say_in(native, "a word");
        laptop.run_here(["move", native, "--session-only"]).ok();
    }
    let asked = desktop.run_here(["resume", "--no-launch", "--json"]).fails_with(1).json();
    assert_eq!((&asked["kind"], asked["candidates"].as_array().map(Vec::len)), (&"ambiguous".into(), Some(2)), "{asked:#}");
    // Those that wait go before all others.
    desktop.run_here(["resume", "--no-launch", SESSION]).ok();
    let taken = desktop.run_here(["resume", "--no-launch", "--json"]).ok().json();
    assert_eq!(taken["native_id"], "dddddddd-0007-4000-8000-000000000007");
}

#[test]
fn a_place_that_is_taken_or_in_use_is_left_alone_and_so_is_the_lease() {
    let scene = Scene::new();
    let (laptop, desktop) = (&scene.laptop, &scene.desktop);
    laptop.say("a word");
    laptop.puts("one", "changed\n");
    laptop.run_here(["move", SESSION]).ok();
    desktop.puts("one", "not committed here\n");
    let before = scene.origin_refs();
    let taken = desktop.home.join("taken");
    std::fs::create_dir(&taken).and_then(|()| std::fs::write(taken.join("file"), "")).expect("made");
    desktop.run_here(["resume", "--no-launch", "--into", taken.to_str().expect("text")]).fails_with(1);
    desktop.run_here(["resume", "--no-launch", "--here"]).fails_with(1);
    assert_eq!(scene.origin_refs(), before);
    // The branch is checked out in another work tree: HEAD is detached, and no branch moves.
    desktop.git(["worktree", "add", "-q", desktop.home.join("other").to_str().expect("text"), "-B", "main", "origin/main"]);
    let main = desktop.rev("main");
    let taken = desktop.run_here(["resume", "--no-launch", "--branch", "--json"]).ok().json();
    assert_ne!(taken["workspace"]["on"], "refs/heads/main", "{taken:#}");
    assert_eq!((desktop.rev("main"), desktop.reads("one")), (main, "not committed here\n".to_owned()));
}
