//! A workspace in words: one line that several verbs print.

use samesession::capsule::Workspace;

use crate::ui::{bytes, count};

/// `main at 1a2b3c4d, 2 commits of its own, 3 staged, 1 changed, rebase in progress`
pub fn line(summary: &Workspace) -> String {
    let commit = summary.commit.as_deref().map(|commit| commit.chars().take(10).collect::<String>());
    let mut parts = vec![match (&summary.branch, commit) {
        (Some(branch), Some(commit)) => format!("{branch} at {commit}"),
        (Some(branch), None) => format!("{branch}, without a commit yet"),
        (None, Some(commit)) => format!("detached at {commit}"),
        (None, None) => "nothing".to_owned(),
    }];
    if summary.commits > 0 {
        parts.push(format!("{} that no remote has", count(summary.commits as usize, "commit")));
    }
    for (n, what) in [(summary.staged, "staged"), (summary.changed, "changed or untracked"), (summary.deleted, "deleted")] {
        if n > 0 {
            parts.push(format!("{n} {what}"));
        }
    }
    parts.extend(summary.operations.iter().map(|operation| format!("{operation} in progress")));
    if summary.bytes > 0 {
        parts.push(bytes(summary.bytes));
    }
    parts.join(", ")
}
