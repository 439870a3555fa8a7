//! Files that make programs run by lying in a work tree: from this device they come, from another only if that is agreed.

use crate::support::clones::SESSION;

use super::scene::Scene;

const FILES: [&str; 2] = [".envrc", ".claude/settings.json"];

fn scene() -> Scene {
    let scene = Scene::new();
    scene.laptop.puts(".envrc", "touch ran\n");
    scene.laptop.puts("harmless", "x\n");
    scene.laptop.puts(".claude/settings.json", "{\"hooks\": {}}\n");
    // One in a commit that no remote has, one untracked.
    scene.laptop.git(["add", ".envrc"]);
    scene.laptop.git(["commit", "-q", "-m", "an environment"]);
    scene
}

#[test]
fn from_another_device_it_is_left_out_and_said() {
    let scene = scene();
    scene.sends();
    let told = scene.restore(&["--json"]).ok().json();
    let there = scene.desktop.at(told["workspace"]["work_tree"].as_str().expect("a place"));
    for file in FILES {
        assert!(!there.cwd.join(file).exists(), "{file}");
        assert!(told["workspace"]["withheld"].to_string().contains(file), "{told}");
    }
    assert_eq!(there.reads("harmless"), "x\n");
    scene.desktop.run_here(["undo"]).ok();
    let told = scene.restore(&[]).ok().stdout();
    assert!(told.contains("left out, since it makes programs run: .envrc") && told.contains("--accept-config"), "{told}");
}

#[test]
fn from_another_device_it_comes_where_that_is_agreed() {
    let scene = scene();
    let (there, told) = scene.brought(&["--accept-config"]);
    assert_eq!(told["workspace"]["withheld"], serde_json::json!([]));
    scene.assert_arrived(&there);
}

#[test]
fn from_this_device_it_comes() {
    let scene = scene();
    scene.laptop.say("a word");
    scene.laptop.run_here(["checkpoint", SESSION]).ok();
    let place = scene.laptop.home.join("again");
    // Another home of the same device: there the session is not yet.
    std::fs::remove_dir_all(scene.laptop.claude()).expect("removed");
    let told = scene.laptop.run_here(["restore", SESSION, "--into", place.to_str().expect("UTF-8"), "--json"]).ok().json();
    assert_eq!(told["workspace"]["withheld"], serde_json::json!([]));
    scene.assert_arrived(&scene.laptop.at(place));
}
