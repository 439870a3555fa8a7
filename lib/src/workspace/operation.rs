//! An operation that was in progress (merge, rebase, cherry-pick, revert, bisect, am), as a typed model.
//!
//! What must stay true: state files are never copied. What was read from them is checked word by word, and written anew
//! at the destination from these types, so that nothing runs and no branch moves that nobody was shown.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Operation {}
