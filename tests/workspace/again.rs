//! What a second checkpoint costs: nothing where nothing changed, little where little did.

use crate::support::clones::SESSION;

use super::scene::Scene;

fn checkpoint(scene: &Scene) -> (String, u64) {
    let made = scene.laptop.run_here(["checkpoint", SESSION, "--json"]).ok().json();
    (made["state"].as_str().expect("a state").to_owned(), made["added_bytes"].as_u64().expect("a number"))
}

#[test]
fn nothing_changed_makes_nothing_and_a_little_adds_a_little() {
    let scene = Scene::new();
    let laptop = &scene.laptop;
    for n in 0..50 {
        laptop.puts(&format!("new/{n}"), format!("{n}\n").repeat(200));
    }
    laptop.puts("one", "changed\n");
    laptop.say("a word");
    assert_eq!(checkpoint(&scene).0, "made");
    assert_eq!(checkpoint(&scene).0, "unchanged");
    // Only the time of a file, or what Git remembers of it, is no change.
    laptop.git(["status"]);
    laptop.puts("one", "changed\n");
    assert_eq!(checkpoint(&scene).0, "unchanged");
    laptop.puts("new/7", "seven\n");
    let (state, added) = checkpoint(&scene);
    assert!(state == "made" && added < 24 << 10, "{state} {added}");
    assert_eq!(checkpoint(&scene).0, "unchanged");
    // The index counts as well.
    laptop.git(["add", "new/7"]);
    assert_eq!(checkpoint(&scene).0, "made");
}

#[test]
fn twenty_megabytes_are_sealed_once() {
    let scene = Scene::new();
    let laptop = &scene.laptop;
    let mut dice = 0x2545_f491_4f6c_dd1d_u64;
    let noise = |_| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice.to_be_bytes()
    };
    let noise: Vec<u8> = (0..(20 << 20) / 8).flat_map(noise).collect();
    laptop.puts("large", &noise);
    laptop.say("a word");
    let (_, first) = checkpoint(&scene);
    assert!(first > 20 << 20, "{first}");
    laptop.say("another");
    laptop.puts("small", "small\n");
    let (state, added) = checkpoint(&scene);
    assert!(state == "made" && added < 32 << 10, "{state} {added}");
}

#[test]
fn who_is_ahead_keeps_the_work_tree_and_is_not_told_of_another_one() {
    let scene = Scene::new();
    let (there, _) = scene.brought(&[]);
    there.say("gone on there");
    there.puts("one", "gone on there\n");
    let before = scene.desktops();
    let told = scene.restore(&["--json"]).ok().json();
    assert_eq!((told["relation"].as_str(), told["workspace"]["work_tree"].as_str()), (Some("ahead"), None), "{told:#}");
    assert!(before == scene.desktops(), "nothing was written");
}
