//! How often Git is started; and a measurement, which is no test: `cargo nextest run -p samesession capture::tests::speed --run-ignored only --no-capture`.

use std::time::{Duration, Instant};

use super::*;

fn fastest(mut what: impl FnMut()) -> Duration {
    let once = |_| {
        let start = Instant::now();
        what();
        start.elapsed()
    };
    (0..10).map(once).min().unwrap_or_default()
}

#[test]
fn the_number_of_questions_does_not_depend_on_the_number_of_files() {
    let asked = |scene: &Scene| {
        let bin = scene.dir.path().join("bin");
        fs::create_dir_all(&bin).expect("a directory");
        let mut vars = scene.vars();
        let path = vars.get(OsStr::new("PATH")).expect("set").to_string_lossy().into_owned();
        let log = bin.join("log");
        let text = format!("#!/bin/sh\necho \"$*\" >>'{}'\nPATH='{path}' exec git \"$@\"\n", log.display());
        fs::write(bin.join("git"), text).expect("written");
        fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).expect("a mode");
        vars.insert("PATH".into(), format!("{}:{path}", bin.display()).into());
        let env = Env::new(vars, scene.top.clone(), "here".into()).expect("an environment");
        let repo = Repository::open(&env, &scene.top).expect("a repository");
        let _ = fs::remove_file(&log);
        capture(&repo, &Options::default(), &[], &Silent).expect("captured");
        fs::read_to_string(log).expect("the log").lines().count()
    };
    let scene = Scene::published(&[("a", "1\n"), ("b", "1\n"), ("c/d", "1\n")]);
    let more = if scene.git_says_where_attributes_are() { 0 } else { 2 };
    assert_eq!(asked(&scene), 8 + more);
    for n in 0..100 {
        scene.write(format!("c/{n}"), "n");
    }
    scene.write("a", "2\n");
    assert_eq!(asked(&scene), 8 + more);
    // What is in whole directories, which empty ones are ignored, commits that are only here, and the pack of these.
    scene.git(&["add", "a"]);
    scene.git(&["commit", "-q", "-m", "local"]);
    for n in 0..100 {
        scene.write(format!("new{n}/x"), "n");
        fs::create_dir(scene.path(format!("new{n}/empty"))).expect("a directory");
    }
    assert_eq!(asked(&scene), 12 + more);
}

#[test]
#[ignore = "takes a minute and says how long a capture takes"]
fn beside_git_status() {
    let scene = Scene::new(&[]);
    scene.git(&["config", "maintenance.auto", "false"]);
    for n in 0..50_000 {
        scene.write(format!("dir{}/sub{}/file{n}.txt", n % 50, n % 2500), format!("{n}\n").repeat(20));
    }
    scene.commit("first");
    // A long history, the fast way.
    let mut stream = String::new();
    for n in 0..20_000 {
        let from = if n == 0 { "from refs/heads/main^0\n" } else { "" };
        let who = format!("committer A U Thor <a@example.com> {} +0000", 1_700_000_000 + n);
        stream.push_str(&format!("commit refs/heads/main\n{who}\ndata 1\nx\n{from}\n"));
    }
    fs::write(scene.dir.path().join("stream"), stream).expect("written");
    let mut command = Command::new("git");
    command.current_dir(&scene.top).args(["fast-import", "--quiet"]).env_clear().envs(scene.vars());
    let stream = fs::File::open(scene.dir.path().join("stream")).expect("opened");
    assert!(command.stdin(stream).status().expect("git").success());
    scene.git(&["gc", "-q"]);
    let origin = scene.dir.path().join("origin.git");
    scene.git(&["clone", "-q", "--bare", ".", origin.to_str().expect("text")]);
    scene.git(&["remote", "add", "origin", origin.to_str().expect("text")]);
    scene.git(&["fetch", "-q", "origin"]);
    std::thread::sleep(Duration::from_millis(1100));
    scene.git(&["update-index", "-q", "--refresh"]);
    let measured = |what: &str| {
        let repo = scene.repo();
        let status = fastest(|| drop(scene.git(&["--no-optional-locks", "status"])));
        let all = fastest(|| drop(scene.git(&["--no-optional-locks", "status", "-uall"])));
        let ours = fastest(|| drop(capture(&repo, &Options::default(), &[], &Silent).expect("captured")));
        let ratio = ours.as_secs_f64() / status.as_secs_f64();
        #[allow(clippy::print_stderr)]
        {
            eprintln!("{what}: git status {status:?} (-uall {all:?}), capture {ours:?}: {ratio:.2}");
        }
    };
    measured("clean");
    for n in 0..20 {
        scene.write(format!("dir{n}/sub{n}/file{n}.txt"), "changed\n");
    }
    measured("20 changed");
    scene.git(&["commit", "-q", "--allow-empty", "-m", "local"]);
    measured("and a local commit on 20,000");
    scene.write(".gitattributes", "*.png binary\n* text=auto\n");
    measured("with text=auto");
}
