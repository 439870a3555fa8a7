//! What of an operation would run a program, or move something else than its own branch, when it is continued.

use super::pick::RUNNING;
use super::{Operation, Pick, Todo};

impl Operation {
    /// One line for each, as a person can judge it.
    pub fn runs(&self) -> Vec<String> {
        self.clone().without_what_runs().1
    }

    /// The same without it, such that it can still be continued: where a command would run, it stops.
    pub fn without_what_runs(mut self) -> (Operation, Vec<String>) {
        let mut found = Vec::new();
        match &mut self {
            Operation::Rebase(rebase) => {
                rebase.todo.retain_mut(|line| match line {
                    Todo::Exec { command } => {
                        found.push(format!("exec {command}"));
                        *line = Todo::Break;
                        true
                    }
                    Todo::UpdateRef { name } => {
                        found.push(format!("update-ref {name}"));
                        false
                    }
                    _ => true,
                });
                for update in rebase.update_refs.drain(..) {
                    let line = format!("update-ref {}", update.name);
                    if !found.contains(&line) {
                        found.push(line);
                    }
                }
                if let Some(strategy) = rebase.strategy.take().filter(|name| name.as_bytes() != b"ort") {
                    found.push(format!("merge strategy {strategy}"));
                }
                found.extend(rebase.strategy_options.drain(..).map(|option| format!("merge strategy option {option}")));
                found.extend(rebase.sign.take().map(|option| format!("sign commits with {option}")));
            }
            Operation::CherryPick(pick) | Operation::Revert(pick) => found.extend(of_pick(pick)),
            Operation::Apply(apply) => found.extend(apply.gpg_sign.take().map(|option| format!("sign commits with {option}"))),
            Operation::Am(_) | Operation::Merge(_) | Operation::Bisect(_) | Operation::Prepared(_) => {}
        }
        (self, found)
    }
}

fn of_pick(pick: &mut Pick) -> Vec<String> {
    let Some(sequence) = &mut pick.sequence else { return Vec::new() };
    let (running, rest) = sequence.options.drain(..).partition(|setting| RUNNING.contains(&setting.name.as_str()));
    sequence.options = rest;
    let said = |setting: super::Setting| match setting.name.as_str() {
        "strategy" => format!("merge strategy {}", setting.value),
        "strategy-option" => format!("merge strategy option {}", setting.value),
        _ => format!("sign commits with {}", setting.value),
    };
    running.into_iter().map(said).collect()
}
