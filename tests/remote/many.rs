//! Hundreds of sessions at once through the view of a store: exactly those that are meant, and not one comparison for each
//! pair of refs.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use super::with_agents;
use crate::support::clones::Project;
use crate::support::sandbox::Machine;

const COUNT: usize = 300;

/// This many refs of sessions in the place of the agents'; what they hold is nobody's business here.
fn with_many(project: &Project) -> (Machine, Vec<String>) {
    let laptop = with_agents(project, "laptop");
    laptop.git(["checkout", "-q", "-b", "main", "origin/main"]);
    let sids: Vec<String> = (0..COUNT).map(|n| format!("{:06x}abcdefghijklmnopqrst", n * 52_223)).collect();
    let head = laptop.rev("HEAD");
    let create = |sid: &String| format!("create refs/samesession-remote/agents/sessions/{sid} {head}\n");
    let script = laptop.home.join("script");
    fs::write(&script, sids.iter().map(create).collect::<String>()).expect("written");
    let out = laptop.command("sh").args(["-c", "git update-ref --stdin <\"$0\""]).arg(script).status().expect("a shell");
    assert!(out.success());
    (laptop, sids)
}

fn listed(machine: &Machine, url: &str) -> Vec<String> {
    let all = machine.git(["ls-remote", url]);
    all.lines().filter_map(|line| Some(line.rsplit_once('/')?.1.to_owned())).collect()
}

/// The words of the inner Git's `verb`, one list for each start.
fn inner(told: &str, verb: &str) -> Vec<Vec<String>> {
    let starts = told.lines().filter(|line| line.starts_with("trace: git ") && line.contains(verb));
    starts.map(|line| line.split(' ').skip_while(|word| *word != "--end-of-options").skip(2).map(str::to_owned).collect()).collect()
}

#[test]
fn many_are_pushed_in_few_words_and_no_other_goes_along() {
    let project = Project::new();
    let (laptop, sids) = with_many(&project);
    let traced = laptop.env("SAMESESSION_TRACE", "1");
    let store = project.sandbox.path().join("store.git");
    laptop.git(["init", "-q", "--bare", store.to_str().expect("UTF-8")]);
    let url = format!("session::{}", store.display());
    let spec = |sid: &String| format!("refs/samesession-remote/agents/sessions/{sid}:refs/samesession/sessions/{sid}");

    // All but every fiftieth, by name.
    let (left, sent): (Vec<&String>, Vec<&String>) = sids.iter().enumerate().fold(Default::default(), |(mut left, mut sent), (n, sid)| {
        if n % 50 == 7 {
            left.push(sid)
        } else {
            sent.push(sid)
        }
        (left, sent)
    });
    for flags in [&["--dry-run"][..], &["--atomic"]] {
        let ran = traced
            .try_git(
                ["push".to_owned(), url.clone()]
                    .into_iter()
                    .chain(flags.iter().map(|flag| (*flag).to_owned()))
                    .chain(sent.iter().map(|sid| spec(sid))),
            )
            .ok();
        let words = inner(&ran.stderr(), " push ");
        assert!(words.len() == 1 && words[0].len() < sent.len() / 2, "{words:?}");
        assert_eq!(ran.stderr().matches("[new reference]").count(), sent.len(), "{}", ran.stderr());
        assert_eq!(listed(&laptop, &url).len(), if flags == ["--dry-run"] { 0 } else { sent.len() });
    }
    assert_eq!(listed(&laptop, &url), sent.iter().map(|sid| (*sid).clone()).collect::<Vec<_>>());

    // The rest with all of them, under a pattern, and one that somebody else has moved is refused by itself.
    let elsewhere = laptop.git(["commit-tree", "-m", "theirs", "HEAD^{tree}"]).trim().to_owned();
    let branch = laptop.git(["ls-remote", store.to_str().expect("UTF-8"), &format!("*/{}", sent[0])]);
    let branch = branch.trim().split_once('\t').expect("a branch").1.to_owned();
    laptop.git(["push", "-q", "-f", store.to_str().expect("UTF-8"), &format!("{elsewhere}:{branch}")]);
    let all = "refs/samesession-remote/agents/*:refs/samesession/*";
    let ran = traced.try_git(["push", &url, all]);
    assert_eq!(ran.code(), Some(1), "{}", ran.stderr());
    assert_eq!(ran.stderr().matches("[new reference]").count(), left.len(), "{}", ran.stderr());
    assert_eq!(listed(&laptop, &url), sids);
    let ran = traced.try_git(["push", &url, &format!("+{all}")]).ok();
    assert!(ran.stderr().contains("forced update"), "{}", ran.stderr());

    // And they come back, all of them.
    let ran = traced.try_git(["fetch", &url, "refs/samesession/*:refs/samesession-remote/store/*"]).ok();
    assert_eq!(ran.stderr().matches("[new ref]").count(), COUNT, "{}", ran.stderr());
    let desktop = project.plain("desktop");
    desktop.git(["checkout", "-q", "-b", "main", "origin/main"]);
    desktop.git(["fetch", "-q", &url, "refs/samesession/*:refs/samesession-remote/store/*"]);
    assert_eq!(desktop.git(["for-each-ref", "refs/samesession-remote/store"]).lines().count(), COUNT);
    // By their names, too, where something has moved since and the store does not give what was listed.
    let fresh = laptop.env("GIT_DIR", ".git");
    let mut helper = fresh.command("git-remote-session");
    let mut helper = helper.args(["x", &url["session::".len()..]]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("started");
    let wanted = |(n, sid): (usize, &String)| format!("fetch {n:040x} refs/samesession/sessions/{sid}\n");
    let said = format!("{}\n\n", sids.iter().enumerate().map(wanted).collect::<String>());
    helper.stdin.take().expect("a pipe").write_all(said.as_bytes()).expect("heard");
    let out = helper.wait_with_output().expect("it ends");
    assert!(out.status.success() && out.stdout == b"\n", "{out:?}");
    // Gone from both sides: every one of them, and nothing else.
    laptop.git(["push", "-q", "--prune", &url, "refs/samesession/*"]);
    assert_eq!(listed(&laptop, &url), Vec::<String>::new());
}
