//! Lines of a todo list, as `git rebase` and the sequencer write them.
//!
//! What must stay true: a line that is not one of these is no line. Comments and blank lines say nothing and are left out.

mod line;

use serde::{Deserialize, Serialize};

use super::super::model::Oid;
use super::super::name::Name;
pub use line::{Words, labels, lines, parse};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Todo {
    Commit {
        verb: Verb,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Message>,
        commit: Oid,
        text: Name,
    },
    Merge {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<Source>,
        parents: Vec<Target>,
        text: Name,
    },
    Label {
        label: Name,
    },
    Reset {
        to: Target,
        text: Name,
    },
    Exec {
        command: Name,
    },
    UpdateRef {
        name: Name,
    },
    Break,
    Noop,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    Pick,
    Revert,
    Reword,
    Edit,
    Squash,
    Fixup,
    Drop,
}

/// Of which commit the message is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// `-C`
    Take,
    /// `-c`
    Edit,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub message: Message,
    pub commit: Oid,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    Label(Name),
    Commit(Oid),
    /// `[new root]`
    Root,
}

impl Todo {
    pub fn commits(&self) -> Vec<Oid> {
        let of = |target: &Target| if let Target::Commit(oid) = target { Some(*oid) } else { None };
        match self {
            Todo::Commit { commit, .. } => vec![*commit],
            Todo::Merge { source, parents, .. } => source.iter().map(|source| source.commit).chain(parents.iter().filter_map(of)).collect(),
            Todo::Reset { to, .. } => of(to).into_iter().collect(),
            _ => Vec::new(),
        }
    }
}

impl Verb {
    pub fn word(self) -> &'static str {
        match self {
            Verb::Pick => "pick",
            Verb::Revert => "revert",
            Verb::Reword => "reword",
            Verb::Edit => "edit",
            Verb::Squash => "squash",
            Verb::Fixup => "fixup",
            Verb::Drop => "drop",
        }
    }
}
