//! `git cherry-pick` and `git revert`, of one commit or in the middle of several.

use serde::{Deserialize, Serialize};

use super::super::model::Oid;
use super::super::name::Name;
use super::draft::{Draft, Folder};
use super::error::Error;
use super::quote;
use super::state::State;
use super::todo::{Todo, Verb};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pick {
    /// `CHERRY_PICK_HEAD` or `REVERT_HEAD`: the one that waits for its commit. None when that was made by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Oid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<Sequence>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sequence {
    /// Where `--abort` goes back to.
    pub head: Oid,
    /// Where HEAD stood when it stopped: `--abort` moves nothing from anywhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort_safety: Option<Oid>,
    pub todo: Vec<Todo>,
    /// `sequencer/opts`, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Setting>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    pub name: String,
    pub value: Name,
}

/// Of the settings, those that are yes or no.
pub const SWITCHES: &[&str] = &[
    "no-commit",
    "edit",
    "allow-empty",
    "allow-empty-message",
    "drop-redundant-commits",
    "keep-redundant-commits",
    "signoff",
    "record-origin",
    "allow-ff",
    "allow-rerere-auto",
    "commit-use-reference",
];
pub const CLEANUPS: &[&str] = &["verbatim", "scissors", "strip", "whitespace", "default"];
/// Those that name programs, or give options to them.
pub const RUNNING: &[&str] = &["strategy", "strategy-option", "gpg-sign"];

impl Pick {
    /// Both kinds; the sequence belongs to that which its lines name.
    pub fn read(state: &State<'_>) -> Result<(Option<Pick>, Option<Pick>), Error> {
        let mut pick = state.reference("CHERRY_PICK_HEAD").map(|commit| Pick { commit: Some(commit), sequence: None });
        let mut revert = state.reference("REVERT_HEAD").map(|commit| Pick { commit: Some(commit), sequence: None });
        if let Some(sequence) = Sequence::read(state)? {
            let whose = if sequence.verb() == Some(Verb::Revert) { &mut revert } else { &mut pick };
            whose.get_or_insert(Pick { commit: None, sequence: None }).sequence = Some(sequence);
        }
        Ok((pick, revert))
    }

    pub fn draft(&self, head: &str, draft: &mut Draft) {
        if let Some(sequence) = &self.sequence {
            draft.folders.push(sequence.folder());
        }
        draft.acting_refs.extend(self.commit.map(|oid| (head.to_owned(), oid)));
    }
}

impl Sequence {
    fn read(state: &State<'_>) -> Result<Option<Sequence>, Error> {
        let Some(mut folder) = state.folder("sequencer")? else { return Ok(None) };
        let head = folder.must_oid("head")?;
        let abort_safety = folder.take("abort-safety")?.filter(|text| !text.trim_ascii().is_empty());
        let abort_safety = abort_safety.map(|text| state.oid("sequencer/abort-safety", &text)).transpose()?;
        let list = folder.must("todo")?;
        let mut todo = state.todo(&[("sequencer/todo", &list)], &[])?.remove(0);
        todo.retain(|line| *line != Todo::Noop);
        let options = if folder.flag("opts") { settings(state)? } else { Vec::new() };
        folder.finish()?;
        let sequence = Sequence { head, abort_safety, todo, options };
        match sequence.verb() {
            Some(_) => Ok(Some(sequence)),
            None => Err(state.not_understood("sequencer/todo", "it does not pick or revert one commit after the other")),
        }
    }

    /// `pick` or `revert`, if all lines agree.
    pub fn verb(&self) -> Option<Verb> {
        let of = |line: &Todo| match line {
            Todo::Commit { verb, message: None, .. } if matches!(verb, Verb::Pick | Verb::Revert) => Some(*verb),
            _ => None,
        };
        let first = of(self.todo.first()?)?;
        self.todo.iter().all(|line| of(line) == Some(first)).then_some(first)
    }

    fn folder(&self) -> Folder {
        let mut folder = Folder::new("sequencer", &["head"]);
        folder.line("head", self.head.0.to_string());
        folder.maybe_oid("abort-safety", self.abort_safety);
        folder.put("todo", self.todo.iter().flat_map(Todo::line).collect::<Vec<u8>>());
        if !self.options.is_empty() {
            let mut text = b"[options]\n".to_vec();
            for setting in &self.options {
                text.extend([b"\t", setting.name.as_bytes(), b" = ", &quote::double(setting.value.as_bytes()), b"\n"].concat());
            }
            folder.put("opts", text);
        }
        folder
    }
}

impl Setting {
    /// What Git would take there: the rest of what there may be is not understood.
    pub fn is_known(&self) -> bool {
        let text = std::str::from_utf8(self.value.as_bytes()).unwrap_or("\0");
        match self.name.as_str() {
            name if SWITCHES.contains(&name) => matches!(text, "true" | "false"),
            name if RUNNING.contains(&name) => !text.contains(char::is_control),
            "mainline" => text.parse::<u16>().is_ok(),
            "default-msg-cleanup" => CLEANUPS.contains(&text),
            _ => false,
        }
    }
}

fn settings(state: &State<'_>) -> Result<Vec<Setting>, Error> {
    let file = state.place("sequencer/opts");
    let args = ["config", "--no-includes", "--list", "-z", "--file"].map(std::ffi::OsStr::new);
    let out = state.git().run(&[&args[..], &[file.as_os_str()]].concat())?;
    let mut settings = Vec::new();
    for entry in out.split(|&byte| byte == 0).filter(|entry| !entry.is_empty()) {
        let (key, value) = entry.split_at(entry.iter().position(|&byte| byte == b'\n').unwrap_or(entry.len()));
        let name = String::from_utf8_lossy(key.strip_prefix(b"options.").unwrap_or(key)).into_owned();
        let setting = Setting { name, value: Name::new(value.strip_prefix(b"\n").unwrap_or(b"true")) };
        if !setting.is_known() {
            return Err(state.not_understood("sequencer/opts", format!("'{}' is not known there", setting.name)));
        }
        settings.push(setting);
    }
    Ok(settings)
}
