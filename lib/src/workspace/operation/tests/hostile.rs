//! Models that nobody honest wrote, and states that are not understood.

use serde_json::{Value, json};

use super::lab::{Lab, Place};
use crate::workspace::name::Name;
use crate::workspace::operation::{Branch, Error, Operation, read, rebuild};

fn begun() -> (Lab, Place, Place) {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    let to = lab.clone_of(&from, &[]);
    from.stops(&["rebase", "upstream"]);
    (lab, from, to)
}

/// With some field of the first operation replaced.
pub fn forged(operations: &[Operation], field: &str, value: Value) -> Vec<Operation> {
    let mut all = serde_json::to_value(operations).expect("written");
    all[0][field] = value;
    serde_json::from_value(all).expect("of the right form")
}

#[test]
fn an_exec_line_of_a_stranger_never_runs() {
    let (_lab, from, to) = begun();
    let mut operations = from.operations();
    let mark = to.root.with_file_name("ran");
    let Operation::Rebase(rebase) = &mut operations[0] else { panic!("no rebase") };
    let mut todo = serde_json::to_value(&rebase.todo).expect("written");
    todo.as_array_mut().expect("a list").insert(0, json!({ "do": "exec", "command": format!("touch {}", mark.display()) }));
    todo.as_array_mut().expect("a list").push(json!({ "do": "update-ref", "name": "refs/heads/upstream" }));
    let operations = forged(&operations, "todo", todo);
    let operations = forged(&operations, "strategy", json!("evil"));
    let operations = forged(&operations, "strategy_options", json!(["ours"]));
    let operations = forged(&operations, "sign", json!("-Skey"));
    let [exec, others @ ..] = &operations[0].runs()[..] else { panic!("nothing runs") };
    assert_eq!(*exec, format!("exec touch {}", mark.display()));
    assert_eq!(others, ["update-ref refs/heads/upstream", "merge strategy evil", "merge strategy option ours", "sign commits with -Skey"]);
    let (clean, found) = operations[0].clone().without_what_runs();
    assert_eq!((found.len(), clean.runs().len()), (5, 0));
    to.take(&from);
    to.git(&["branch", "new", &from.oid("main")]);
    to.rebuild(&[clean, operations[1].clone()], Branch::New(Name::new("refs/heads/new")));
    let end = to.resolve("rebase");
    assert_eq!(end, from.resolve("rebase"), "it stops where the command stood, and goes on");
    assert!(!mark.exists());
}

#[test]
fn options_of_a_sequence_are_taken_off_too() {
    let lab = Lab::new();
    let from = lab.begin(&[]);
    from.git(&["checkout", "-q", "upstream"]);
    from.stops(&["cherry-pick", "-Xpatience", "main~4..main"]);
    let operations = from.operations();
    assert_eq!(operations[0].runs(), ["merge strategy option patience"]);
    assert_eq!(operations[0].clone().without_what_runs().0.runs(), [""; 0]);
}

#[test]
fn a_forged_head_name_moves_no_other_branch() {
    let (_lab, from, to) = begun();
    to.git(&["branch", "victim", "HEAD~1"]);
    let victim = to.oid("victim");
    let operations = forged(&from.operations(), "head_name", json!("refs/heads/victim"));
    to.take(&from);
    to.git(&["branch", "new", &from.oid("main")]);
    assert!(matches!(rebuild(&to.repository(), &operations, Branch::Own), Err(Error::Branch { .. })));
    assert_eq!(to.operations(), []);
    to.rebuild(&operations, Branch::New(Name::new("refs/heads/new")));
    assert_eq!(to.resolve("rebase"), from.resolve("rebase"));
    assert_eq!(to.oid("victim"), victim);
}

#[test]
fn what_nobody_could_have_said_is_refused_and_nothing_written() {
    let (_lab, from, to) = begun();
    to.take(&from);
    to.git(&["branch", "new", &from.oid("main")]);
    let honest = from.operations();
    let oid = from.oid("main");
    let long = "0123456789abcdef".repeat(4);
    let line = |verb: &str, text: &str| json!([{ "do": "commit", "verb": verb, "commit": oid, "text": text }]);
    let cases = [
        ("head_name", json!("refs/remotes/origin/main")),
        ("head_name", json!("refs/heads/../../config")),
        ("head_name", json!("refs/heads/a\nb")),
        ("head_name", json!("refs/heads/-f")),
        ("onto", json!(long)),
        ("onto", json!("0".repeat(40))),
        ("todo", line("pick", "text\nexec touch /tmp/never")),
        ("todo", line("revert", "text")),
        ("todo", json!([{ "do": "label", "label": "x\ny" }])),
        ("todo", json!([{ "do": "label", "label": "../heads/main" }])),
        ("todo", json!([{ "do": "reset", "to": { "label": "never-set" }, "text": "" }])),
        ("todo", json!([{ "do": "exec", "command": "a\nb" }])),
        ("todo", json!([{ "do": "update-ref", "name": "refs/tags/v1" }])),
        ("labels", json!([{ "name": "../bisect/bad", "commit": oid }])),
        ("author", json!({ "name": "a\nGIT_AUTHOR_DATE=0", "email": "", "date": "" })),
        ("strategy_options", json!(["a\nb"])),
        ("sign", json!("--exec=x")),
        ("rewritten", json!([{ "from": long, "to": long }])),
        ("update_refs", json!([{ "name": "HEAD", "before": oid }])),
        ("message", json!("nul%00")),
    ];
    for (field, value) in cases {
        let operations = forged(&honest, field, value.clone());
        let answer = rebuild(&to.repository(), &operations, Branch::New(Name::new("refs/heads/new")));
        assert!(matches!(answer, Err(Error::Refused(_))), "{field} {value}: {answer:?}");
    }
    let twice = [honest[0].clone(), honest[0].clone()];
    assert!(matches!(rebuild(&to.repository(), &twice, Branch::Detached), Err(Error::Refused(_))));
    let lost = forged(&honest, "onto", json!("1".repeat(40)));
    assert!(matches!(rebuild(&to.repository(), &lost, Branch::Detached), Err(Error::Lost { operation: "rebase", .. })));
    assert_eq!(to.operations(), []);
    assert!(!to.git_dir().join("rebase-merge").exists());
    for verb in ["run", "Pick", "pick\nexec x"] {
        let mut all = serde_json::to_value(&honest).expect("written");
        all[0]["todo"] = line(verb, "x");
        assert!(serde_json::from_value::<Vec<Operation>>(all).is_err(), "{verb}");
    }
}

#[test]
fn what_is_not_understood_is_named() {
    let (_lab, from, _) = begun();
    let dir = from.git_dir().join("rebase-merge");
    let said = || match read(&from.repository()) {
        Err(error @ Error::NotUnderstood { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let honest = std::fs::read(dir.join("git-rebase-todo")).expect("a todo");
    for (file, content) in [
        ("new-invention", "x"),
        ("onto", "not an oid"),
        ("git-rebase-todo", "pick 1234567 of nothing"),
        ("git-rebase-todo", "frobnicate HEAD"),
        ("git-rebase-todo", "reset somewhere"),
        ("author-script", "GIT_AUTHOR_NAME='a'; touch x"),
        ("current-fixups", "exec x"),
        ("update-refs", "refs/heads/x\n"),
        ("strategy_opts", "\"open"),
        ("head-name", "refs/tags/x\n"),
    ] {
        let place = dir.join(file);
        let before = std::fs::read(&place).ok();
        std::fs::write(&place, content).expect("written");
        assert!(said().contains(if file == "head-name" { "rebase-merge" } else { file }), "{file}: {}", said());
        match before {
            Some(before) => std::fs::write(&place, before).expect("written"),
            None => std::fs::remove_file(&place).expect("removed"),
        }
    }
    std::fs::remove_file(dir.join("git-rebase-todo")).expect("removed");
    assert!(said().contains("git-rebase-todo"));
    std::os::unix::fs::symlink("/etc/passwd", dir.join("git-rebase-todo")).expect("a link");
    assert!(said().contains("git-rebase-todo"));
    std::fs::remove_file(dir.join("git-rebase-todo")).expect("removed");
    // As a person may leave it in an editor.
    let text = String::from_utf8(honest).expect("text");
    let edited: String = text.lines().map(|line| line.replacen("pick ", "p  ", 1) + "\n\n# a remark\n").collect();
    let before = from.operations_of(&dir, &text);
    assert_eq!(from.operations_of(&dir, &edited), before);
}

impl Place {
    fn operations_of(&self, dir: &std::path::Path, todo: &str) -> Vec<Operation> {
        std::fs::write(dir.join("git-rebase-todo"), todo).expect("written");
        self.operations()
    }
}

#[test]
fn nothing_is_built_over_what_is_in_progress() {
    let (_lab, from, to) = begun();
    to.take(&from);
    let operations = from.operations();
    to.git(&["checkout", "-q", "-f", "--detach"]);
    to.stops(&["merge", "origin/main"]);
    let answer = rebuild(&to.repository(), &operations, Branch::Detached);
    assert!(matches!(answer, Err(Error::Busy("merge"))), "{answer:?}");
}
