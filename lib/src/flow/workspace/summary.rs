//! A workspace in a few numbers, for those who are told about it.

use serde::Serialize;

use crate::workspace::model::{What, Workspace};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Without `refs/heads/`; none where HEAD is detached.
    pub branch: Option<String>,
    pub commit: Option<String>,
    /// Commits that no code remote is known to have.
    pub commits: u64,
    /// Names that the index has otherwise than the commit.
    pub staged: usize,
    /// Files that are otherwise than the index, untracked ones included.
    pub changed: usize,
    pub deleted: usize,
    /// In progress.
    pub operations: Vec<&'static str>,
    /// Files in the capsule, and their bytes.
    pub files: usize,
    pub bytes: u64,
    /// What stays behind.
    pub notes: Vec<String>,
}

impl Summary {
    pub fn of(model: &Workspace) -> Summary {
        let gone = model.files.iter().filter(|file| file.what == What::Gone).count();
        let names: std::collections::BTreeSet<_> = model.index.iter().map(|entry| &entry.path).chain(&model.unindexed).collect();
        let short = |name: &crate::workspace::name::Name| {
            let text = name.to_string();
            text.strip_prefix("refs/heads/").map(str::to_owned).unwrap_or(text)
        };
        Summary {
            branch: model.head.branch.as_ref().map(short),
            commit: model.head.commit.map(|commit| commit.0.to_string()),
            commits: model.pack.as_ref().map_or(0, |pack| pack.commits),
            staged: names.len(),
            changed: model.files.len() - gone,
            deleted: gone,
            operations: model.operations.iter().map(crate::workspace::operation::Operation::word).collect(),
            files: 0,
            bytes: 0,
            notes: Vec::new(),
        }
    }
}
