//! A measurement, not a test: `cargo nextest run -p samesession capture::tests::speed --run-ignored only --no-capture`.

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
#[ignore = "takes a minute and says how long a capture takes"]
fn beside_git_status() {
    let scene = Scene::new(&[]);
    for n in 0..50_000 {
        scene.write(format!("dir{}/sub{}/file{n}.txt", n % 50, n % 2500), format!("{n}\n").repeat(20));
    }
    scene.commit("first");
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
    scene.write(".gitattributes", "*.png binary\n* text=auto\n");
    measured("with text=auto");
}
