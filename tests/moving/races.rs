//! Two machines that take the same session at the same moment.

use crate::support::clones::SESSION;
use crate::support::sandbox::Ran;
use crate::workspace::scene::Scene;

#[test]
fn of_two_that_resume_at_once_one_has_it_two_hundred_times() {
    let scene = Scene::new();
    let (laptop, desktop) = (&scene.laptop, &scene.desktop);
    laptop.say("a word");
    laptop.run_here(["checkpoint", SESSION, "--push", "--session-only"]).ok();
    let mut wins = [0, 0];
    for round in 0..200 {
        let both = [laptop, desktop].map(|machine| machine.start(["resume", SESSION, "--no-launch", "--session-only", "--json"]));
        let ran = both.map(|child| Ran(child.wait_with_output().expect("it ends")));
        let won: Vec<usize> = (0..2).filter(|n| ran[*n].code() == Some(0)).collect();
        let [winner] = won[..] else { panic!("round {round}: {:?}", ran.each_ref().map(|ran| (ran.stdout(), ran.stderr()))) };
        let (name, loser) = (["laptop", "desktop"][winner], ran[1 - winner].json());
        assert_eq!(loser["kind"], "leased", "round {round}: {loser:#}");
        assert!(loser["message"].as_str().is_some_and(|text| text.contains(&format!("held by '{name}', since 20"))), "{loser:#}");
        wins[winner] += 1;
        // What the store has is the winner's, and both see the same.
        [laptop, desktop][winner].run_here(["lease", "release", SESSION]).ok();
    }
    assert!(wins[0] > 0 && wins[1] > 0, "{wins:?}");
    // Nothing was forced: each change goes on from the one before.
    let tip = scene.laptop.at(&scene.origin).git(["for-each-ref", "--format=%(objectname)", "refs/samesession/sessions"]);
    assert_eq!(scene.laptop.at(&scene.origin).git(["rev-list", "--count", tip.trim()]).trim(), "401");
}
