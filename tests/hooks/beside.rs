//! Git's hooks: what they bring along with a push, and how they live beside hooks that were there before.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::scene::{bare_scene, scene};
use crate::support::chains::{acquaint, id, write_script};
use crate::support::sandbox::{Machine, fixture};

/// Content, mode, and where it leads if it is a link.
fn look(path: &Path) -> (Vec<u8>, u32, Option<PathBuf>) {
    let meta = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (fs::read(path).unwrap_or_default(), meta.mode(), fs::read_link(path).ok())
}

fn hook(machine: &Machine) -> PathBuf {
    machine.cwd.join(".git/hooks/pre-push")
}

/// Installs, pushes, takes out: what was there ran once, and is there again as it was.
#[track_caller]
fn lives_beside(machine: &Machine, path: &Path, ran: &Path) {
    let before = look(path);
    let first = machine.json(["hook", "install", "--git"]);
    assert_eq!(first["hooks"][0]["changed"], true, "{first:#}");
    let again = machine.json(["hook", "install", "--git"]);
    assert_eq!(again["hooks"][0]["changed"], false, "{again:#}");
    let _ = fs::remove_file(ran);
    machine.commit_code("more");
    machine.push_code().ok();
    let said = fs::read_to_string(ran).expect("what was there ran");
    assert_eq!(said.matches("ran").count(), 1, "{said}");
    assert!(said.contains("refs/heads/main"), "it is given what Git says of the push: {said}");
    assert!(machine.chain(1).is_some(), "{}", machine.hook_log());
    machine.run_here(["hook", "uninstall", "--git"]).ok();
    assert_eq!(look(path), before);
    assert!(!path.parent().expect("a directory").join("before-samesession").exists());
}

#[test]
fn a_push_takes_changed_sessions_along() {
    let scene = scene();
    let laptop = &scene.laptop;
    let pushed = laptop.push_code().ok();
    assert_eq!((pushed.stdout().as_str(), pushed.stderr().as_str()), ("", ""));
    assert_eq!(scene.sent(1), laptop.chain(1));
    assert_eq!(scene.main(), Some(laptop.rev("HEAD")));

    // Nothing changed: nothing happens.
    let log = laptop.hook_log();
    laptop.commit_code("only code");
    laptop.push_code().ok();
    assert_eq!(laptop.hook_log(), log);

    laptop.adds(&id(1), "more");
    laptop.begin(&id(2));
    laptop.push_code().ok();
    let tip = scene.sent(1).expect("sent");
    assert_eq!(laptop.count(&tip), 2);
    assert!(scene.sent(2).is_some());
    laptop.at_rest();
    laptop.assert_sound(false);
}

#[test]
fn another_machine_goes_on_with_what_nobody_has_sent() {
    let scene = bare_scene();
    let desktop = scene.team.machine("desktop");
    acquaint(&[scene.laptop.clone(), desktop.clone()]);
    scene.laptop.run_here(["hook", "install", "--git"]).ok();
    scene.laptop.push_code().ok();
    desktop.git(["fetch", "-q"]);
    desktop.run(["restore", &id(1)]).ok();
    assert!(desktop.said(&id(1)).contains("the first answer"));
}

#[test]
fn a_push_that_skips_hooks_takes_nothing_along() {
    let scene = scene();
    scene.laptop.try_git(["push", "-q", "--no-verify", "origin", "HEAD:refs/heads/main"]).ok();
    assert_eq!((scene.sent(1), scene.laptop.chain(1)), (None, None));
}

#[test]
fn a_shell_hook_runs_as_before_and_has_the_last_word() {
    let scene = bare_scene();
    let (laptop, ran) = (&scene.laptop, scene.laptop.home.join("ran"));
    let script = format!("set -eu\necho \"ran $(basename \"$0\") $1\" >> '{}'\ncat >> '{0}'\nexit 0", ran.display());
    write_script(&hook(laptop), &script);
    fs::set_permissions(hook(laptop), fs::Permissions::from_mode(0o750)).expect("set");
    lives_beside(laptop, &hook(laptop), &ran);
    assert!(fs::read_to_string(&ran).expect("it ran").contains("ran pre-push origin"));

    // What it refuses is refused, with its own code, and takes no session along.
    write_script(&hook(laptop), "cat > /dev/null\nexit 7");
    laptop.run_here(["hook", "install", "--git"]).ok();
    laptop.adds(&id(1), "more");
    let (before, main) = (scene.sent(1), scene.main());
    laptop.commit_code("refused");
    assert_ne!(laptop.push_code().code(), Some(0));
    assert_eq!((scene.sent(1), scene.main()), (before, main));
    let code = laptop.command(hook(laptop)).args(["origin", "x"]).status().expect("it can be started").code();
    assert_eq!(code, Some(7));
}

#[test]
fn a_hook_that_is_no_shell_script_makes_way_and_comes_back() {
    let scene = bare_scene();
    let (laptop, ran) = (&scene.laptop, scene.laptop.home.join("ran"));
    let perl = format!("open(F, '>>', '{}'); print F \"ran $0\\n\", <STDIN>; close F;", ran.display());
    fs::write(hook(laptop), format!("#!/usr/bin/env perl\n{perl}\n")).expect("written");
    fs::set_permissions(hook(laptop), fs::Permissions::from_mode(0o755)).expect("set");
    lives_beside(laptop, &hook(laptop), &ran);
}

#[test]
fn a_linked_hook_makes_way_and_comes_back() {
    let scene = bare_scene();
    let (laptop, ran) = (&scene.laptop, scene.laptop.home.join("ran"));
    let script = format!("echo \"ran $(basename \"$0\")\" >> '{}'; cat >> '{0}'", ran.display());
    write_script(&laptop.cwd.join(".git/dispatch"), &script);
    fs::create_dir_all(hook(laptop).parent().expect("a directory")).expect("made");
    symlink("../dispatch", hook(laptop)).expect("linked");
    let shared = look(&laptop.cwd.join(".git/dispatch"));
    lives_beside(laptop, &hook(laptop), &ran);
    assert_eq!(look(&laptop.cwd.join(".git/dispatch")), shared);
    assert!(fs::read_to_string(&ran).expect("it ran").contains("ran pre-push"), "it goes by its name");
}

/// Git does not run it, and our hook does not wake it.
#[test]
fn a_hook_that_was_put_to_sleep_sleeps_on() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    write_script(&hook(laptop), "exit 1");
    fs::set_permissions(hook(laptop), fs::Permissions::from_mode(0o644)).expect("set");
    let before = look(&hook(laptop));
    laptop.run_here(["hook", "install", "--git"]).ok();
    laptop.push_code().ok();
    assert!(scene.sent(1).is_some());
    laptop.run_here(["hook", "uninstall", "--git"]).ok();
    assert_eq!(look(&hook(laptop)), before);
}

/// As husky 9.1.7 lays them out: Git is sent to generated files, which find the user's by their own name.
#[test]
fn husky_finds_its_hooks() {
    let scene = bare_scene();
    let (laptop, ran) = (&scene.laptop, scene.laptop.home.join("ran"));
    let own = laptop.cwd.join(".husky/_");
    fs::create_dir_all(&own).expect("made");
    fs::copy(fixture("hooks/husky-9.1.7-h"), own.join("h")).expect("copied");
    fs::write(own.join("pre-push"), "#!/usr/bin/env sh\n. \"$(dirname \"$0\")/h\"").expect("written");
    fs::set_permissions(own.join("pre-push"), fs::Permissions::from_mode(0o755)).expect("set");
    fs::write(own.join(".gitignore"), "*").expect("written");
    fs::write(laptop.cwd.join(".husky/pre-push"), format!("echo ran >> '{}'\ncat >> '{0}'\n", ran.display())).expect("written");
    laptop.git(["config", "core.hooksPath", ".husky/_"]);
    let status = laptop.git(["status", "--porcelain"]);
    // From anywhere in the work tree.
    let below = laptop.at(laptop.cwd.join("deep/er"));
    let installed = below.json(["hook", "install", "--git"]);
    assert!(installed["hooks"][0]["notes"].to_string().contains("husky writes its hooks anew"), "{installed:#}");
    assert_eq!(laptop.git(["status", "--porcelain"]), status);
    below.run_here(["hook", "uninstall", "--git"]).ok();
    lives_beside(laptop, &own.join("pre-push"), &ran);
}

/// What these write themselves: one ends in `exec`, so that nothing behind it would ever run; the other looks for its program
/// in a dozen places.
#[test]
fn hooks_of_managers_run_as_they_were_written() {
    for (file, manager) in [("hooks/pre-commit-4.7.0", "pre-commit"), ("hooks/lefthook-2.2.2", "lefthook")] {
        let scene = bare_scene();
        let (laptop, ran) = (&scene.laptop, scene.laptop.home.join("ran"));
        let bin = laptop.home.join("bin");
        let script = format!("[ \"$1\" = -h ] && exit\necho \"ran $*\" >> '{}'; cat >> '{0}'", ran.display());
        write_script(&bin.join(manager), &script);
        fs::create_dir_all(hook(laptop).parent().expect("a directory")).expect("made");
        fs::copy(fixture(file), hook(laptop)).expect("copied");
        fs::set_permissions(hook(laptop), fs::Permissions::from_mode(0o755)).expect("set");
        let path = laptop.command("true").get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path).expect("set").to_owned();
        let laptop = laptop.env("PATH", format!("{}:{}", bin.display(), path.to_str().expect("text")));
        lives_beside(&laptop, &hook(&laptop), &ran);
        let said = fs::read_to_string(&ran).expect("it ran");
        assert!(said.contains("pre-push") && said.contains(" origin "), "{manager}: {said}");
        let again = laptop.json(["hook", "install", "--git"]);
        let note = format!("{manager} writes its hooks anew");
        assert!(again["hooks"][0]["notes"].to_string().contains(&note), "{again:#}");
    }
}

#[test]
fn a_hook_from_a_template_is_one_that_was_there() {
    let scene = bare_scene();
    let (laptop, ran) = (&scene.laptop, scene.laptop.home.join("ran"));
    write_script(&laptop.home.join("template/hooks/pre-push"), &format!("echo ran >> '{}'; cat >> '{0}'", ran.display()));
    fs::remove_dir_all(laptop.cwd.join(".git/hooks")).expect("removed");
    laptop.git(["init", "-q", &format!("--template={}", laptop.home.join("template").display())]);
    lives_beside(laptop, &hook(laptop), &ran);
}

#[test]
fn a_directory_of_hooks_for_all_repositories_is_left_alone_until_that_is_asked_for() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    let shared = laptop.home.join("shared-hooks");
    laptop.git(["config", "--global", "core.hooksPath", shared.to_str().expect("text")]);
    laptop.run_here(["hook", "install", "--git"]).fails(1, "in other repositories, too").hints("--global");
    assert!(!shared.exists());
    laptop.run_here(["hook", "install", "--git", "--global"]).ok();
    // Where nobody has said where sessions go, none goes anywhere.
    laptop.push_code().ok();
    assert_eq!((scene.sent(1), laptop.chain(1)), (None, None));
    laptop.run_here(["init"]).ok();
    laptop.commit_code("more");
    laptop.push_code().ok();
    assert!(scene.sent(1).is_some());
    laptop.run_here(["hook", "uninstall", "--global"]).ok();
    assert!(!shared.join("pre-push").exists());
}

#[test]
fn there_is_no_place_for_all_repositories_where_git_has_none() {
    let scene = bare_scene();
    scene.laptop.run_here(["hook", "install", "--git", "--global"]).fails(1, "no hooks for all repositories").hints("core.hooksPath");
    scene.laptop.run_here(["hook", "install", "--global"]).ok();
}

/// A Git of the future, as far as it can be had: it says so, and the rest is what is here.
#[test]
fn a_git_that_has_hooks_in_its_configuration_gets_them_there() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    let newer = laptop.with_newer_git();
    let config = fs::read(laptop.cwd.join(".git/config")).expect("there");
    newer.run_here(["hook", "install", "--git"]).ok();
    assert!(!hook(laptop).exists());
    assert_eq!(laptop.git(["config", "hook.samesession-pre-push.event"]).trim(), "pre-push");
    assert_eq!(newer.json(["hook", "status"])["hooks"][0]["state"], "configured");
    // Git runs such a command by the shell, with the hook's arguments behind it.
    let command = laptop.git(["config", "hook.samesession-pre-push.command"]);
    laptop.command("sh").args(["-c", &format!("{} \"$@\"", command.trim()), "hook", "origin", "url"]).status().expect("a shell");
    assert!(scene.sent(1).is_some());
    newer.run_here(["hook", "uninstall", "--git"]).ok();
    assert_eq!(fs::read(laptop.cwd.join(".git/config")).expect("there"), config);
}

#[test]
fn sessions_go_to_the_store_and_nowhere_else() {
    let scene = scene();
    let laptop = &scene.laptop;
    let store = scene.team.sandbox.machine("store");
    let store = store.at(store.home.join("store.git"));
    store.git(["init", "-q", "--bare", "."]);
    laptop.git(["remote", "add", "private", store.cwd.to_str().expect("text")]);
    laptop.run_here(["init", "--remote", "private"]).ok();
    laptop.push_code().ok();
    assert_eq!(scene.sent(1), None);
    assert_eq!(store.refs("refs/samesession").len(), 1);
    assert_eq!(store.refs("refs/heads"), []);
}

#[test]
fn what_waits_is_said_after_a_checkout_where_that_is_wanted() {
    let scene = bare_scene();
    let desktop = scene.team.machine("desktop");
    acquaint(&[scene.laptop.clone(), desktop.clone()]);
    scene.laptop.run_here(["checkpoint", &id(1), "--push"]).ok();
    desktop.git(["fetch", "-q"]);
    let switch = |machine: &Machine| {
        machine.try_git(["checkout", "-q", "-b", &format!("b{}", machine.git(["branch"]).lines().count())]).ok().stderr()
    };
    desktop.run_here(["hook", "install", "--git"]).ok();
    assert_eq!(switch(&desktop), "");
    desktop.git(["config", "samesession.hook.waiting", "true"]);
    desktop.run_here(["hook", "install", "--git"]).ok();
    assert!(switch(&desktop).contains("1 session waits for this device"));
    desktop.run(["restore", "--session-only", &id(1)]).ok();
    assert_eq!(switch(&desktop), "");
    desktop.run_here(["hook", "uninstall", "--git"]).ok();
    assert!(!desktop.cwd.join(".git/hooks/post-checkout").exists());
}

#[test]
fn what_waits_is_said_after_a_merge_too_and_counted() {
    let scene = bare_scene();
    let desktop = scene.team.machine("desktop");
    acquaint(&[scene.laptop.clone(), desktop.clone()]);
    scene.laptop.begin(&id(2));
    for n in [1, 2] {
        scene.laptop.run_here(["checkpoint", &id(n), "--push"]).ok();
    }
    desktop.git(["fetch", "-q"]);
    desktop.git(["config", "samesession.hook.waiting", "true"]);
    desktop.run_here(["hook", "install", "--git"]).ok();
    desktop.git(["branch", "side"]);
    desktop.commit_code("on the way");
    desktop.git(["update-ref", "refs/heads/other", "HEAD"]);
    desktop.try_git(["checkout", "-q", "side"]).ok();
    let merged = desktop.try_git(["merge", "-q", "--ff-only", "other"]).ok();
    assert!(merged.stderr().contains("2 sessions wait for this device"), "{}", merged.stderr());
    // A checkout of files goes nowhere.
    fs::write(desktop.cwd.join("x"), "x").expect("written");
    desktop.git(["add", "x"]);
    assert_eq!(desktop.try_git(["checkout", "-q", "--", "x"]).ok().stderr(), "");
}

/// In a tracked directory of hooks it is seen, and said.
#[test]
fn a_tracked_hook_is_said_to_be_one() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    write_script(&laptop.cwd.join("hooks/pre-push"), "cat > /dev/null");
    laptop.git(["add", "hooks"]);
    laptop.commit_code("hooks of the team");
    laptop.git(["config", "core.hooksPath", "hooks"]);
    let installed = laptop.json(["hook", "install", "--git"]);
    assert!(installed["hooks"][0]["notes"][0].as_str().expect("a note").contains("is tracked"), "{installed:#}");
    laptop.push_code().ok();
    assert!(scene.sent(1).is_some());
    laptop.run_here(["hook", "uninstall", "--git"]).ok();
    assert_eq!(laptop.git(["status", "--porcelain"]), "");
}

#[test]
fn status_tells_what_is_there_and_what_happened() {
    let scene = bare_scene();
    let laptop = &scene.laptop;
    let before = laptop.json(["hook", "status"]);
    assert_eq!(before["hooks"][0]["state"], "missing", "{before:#}");
    laptop.run_here(["hook", "install", "--git"]).ok();
    laptop.push_code().ok();
    let after = laptop.json(["hook", "status"]);
    assert_eq!((&after["hooks"][0]["hook"], &after["hooks"][0]["state"]), (&"pre-push".into(), &"own".into()), "{after:#}");
    let said = laptop.run_here(["hook", "status"]).ok().stdout();
    assert!(said.contains("pre-push: ") && said.contains("checkpoint made, pushed"), "{said}");
}
