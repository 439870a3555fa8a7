//! A merge that waits for its commit, and what any commit is prepared with.

use serde::{Deserialize, Serialize};

use super::super::model::Oid;
use super::super::name::Name;
use super::draft::{Draft, KEPT, line};
use super::error::Error;
use super::state::State;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Merge {
    /// `MERGE_HEAD`
    pub heads: Vec<Oid>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_ff: bool,
}

/// What the next commit begins with: also of `git merge --squash` and of picks without a commit, which are nothing more.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// `MERGE_MSG`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Name>,
    /// `SQUASH_MSG`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub squash: Option<Name>,
    /// `AUTO_MERGE`: the tree with the conflicts as they came, for `git diff AUTO_MERGE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_merge: Option<Oid>,
    /// `ORIG_HEAD`: where `git am --abort` goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orig_head: Option<Oid>,
    /// `MERGE_AUTOSTASH`: what the next commit brings back to the work tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autostash: Option<Oid>,
}

impl Merge {
    pub fn read(state: &State<'_>) -> Result<Option<Merge>, Error> {
        let Some(text) = state.file("MERGE_HEAD")? else { return Ok(None) };
        let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let heads = lines.map(|line| state.oid("MERGE_HEAD", line)).collect::<Result<Vec<_>, _>>()?;
        if heads.is_empty() {
            return Err(state.not_understood("MERGE_HEAD", "it is empty"));
        }
        let no_ff = match state.file("MERGE_MODE")?.unwrap_or_default().trim_ascii() {
            b"" => false,
            b"no-ff" => true,
            _ => return Err(state.not_understood("MERGE_MODE", "it is another mode than no-ff")),
        };
        Ok(Some(Merge { heads, no_ff }))
    }

    pub fn draft(&self, draft: &mut Draft) {
        draft.file("MERGE_MODE", Some(if self.no_ff { b"no-ff".to_vec() } else { Vec::new() }));
        let heads: Vec<u8> = self.heads.iter().flat_map(|oid| line(oid.0.to_string())).collect();
        draft.acting_files.push(("MERGE_HEAD", heads));
    }
}

impl Prepared {
    /// Alone it is worth a word only if there is a message or a stash.
    pub fn read(state: &State<'_>, alone: bool) -> Result<Option<Prepared>, Error> {
        let optional = |name: &str| -> Result<Option<Oid>, Error> {
            // Git keeps neither of them from being collected.
            let Some(oid) = state.reference(name) else { return Ok(None) };
            Ok(state.has(&[oid])?[0].then_some(oid))
        };
        let mut prepared = Prepared {
            message: state.text("MERGE_MSG")?,
            squash: state.text("SQUASH_MSG")?,
            autostash: state.reference("MERGE_AUTOSTASH"),
            ..Prepared::default()
        };
        if alone && prepared == Prepared::default() {
            return Ok(None);
        }
        prepared.auto_merge = optional("AUTO_MERGE")?;
        prepared.orig_head = optional("ORIG_HEAD")?;
        Ok(Some(prepared).filter(|prepared| *prepared != Prepared::default()))
    }

    pub fn draft(&self, draft: &mut Draft) {
        draft.file("MERGE_MSG", self.message.as_ref().map(|text| text.as_bytes().to_vec()));
        draft.file("SQUASH_MSG", self.squash.as_ref().map(|text| text.as_bytes().to_vec()));
        draft.reference("AUTO_MERGE", self.auto_merge);
        draft.reference("ORIG_HEAD", self.orig_head);
        draft.reference(KEPT, self.autostash);
        draft.acting_refs.extend(self.autostash.map(|oid| ("MERGE_AUTOSTASH".to_owned(), oid)));
    }
}
