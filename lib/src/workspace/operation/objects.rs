//! Which objects an operation leans on: they travel with it.

use super::super::model::Oid;
use super::{Mail, Operation, Rebase, Todo};

impl Operation {
    /// Commits for the most part; what Git only names and never reads (a list of what was rewritten) is left out.
    pub fn objects(&self) -> Vec<Oid> {
        let mut all = match self {
            Operation::Merge(merge) => merge.heads.clone(),
            Operation::CherryPick(pick) | Operation::Revert(pick) => {
                let sequence = pick.sequence.iter().flat_map(|sequence| {
                    let safety = sequence.abort_safety;
                    std::iter::once(sequence.head).chain(safety).chain(sequence.todo.iter().flat_map(Todo::commits))
                });
                pick.commit.into_iter().chain(sequence).collect()
            }
            Operation::Rebase(rebase) => of_rebase(rebase),
            Operation::Apply(apply) => {
                let fixed = [apply.orig_head, apply.onto];
                fixed.into_iter().chain(apply.commits.iter().copied()).chain(of_mail(&apply.mail)).collect()
            }
            Operation::Am(am) => of_mail(&am.mail).collect(),
            Operation::Bisect(bisect) => {
                let marks = [Some(bisect.start.commit()), bisect.expected, bisect.head];
                marks.into_iter().flatten().chain(bisect.refs.iter().map(|label| label.commit)).collect()
            }
            Operation::Prepared(prepared) => [prepared.auto_merge, prepared.orig_head, prepared.autostash].into_iter().flatten().collect(),
        };
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn of_rebase(rebase: &Rebase) -> Vec<Oid> {
    let lines = rebase.todo.iter().chain(&rebase.done).flat_map(Todo::commits);
    let marks = [rebase.stopped, rebase.head, rebase.amend, rebase.squash_onto, rebase.autostash];
    let labels = rebase.labels.iter().map(|label| label.commit);
    let updates = rebase.update_refs.iter().flat_map(|update| std::iter::once(update.before).chain(update.after));
    let fixups = rebase.fixups.iter().map(|fixup| fixup.commit);
    [rebase.orig_head, rebase.onto]
        .into_iter()
        .chain(lines)
        .chain(marks.into_iter().flatten())
        .chain(labels)
        .chain(updates)
        .chain(fixups)
        .collect()
}

fn of_mail(mail: &Mail) -> impl Iterator<Item = Oid> {
    [mail.current.commit, mail.abort_safety, mail.autostash, mail.head].into_iter().flatten()
}
