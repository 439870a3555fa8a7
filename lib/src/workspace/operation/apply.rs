//! `git am` and `git rebase --apply`: both stand in `rebase-apply/` and go on from the patch that did not fit.

use serde::{Deserialize, Serialize};

use super::super::model::Oid;
use super::super::name::Name;
use super::draft::{Draft, Folder as New, line};
use super::error::Error;
use super::quote;
use super::rebase::{Author, DETACHED, Moved, head_name, moved};
use super::state::{Folder, State};

/// What both have. Patches before the current one are not needed any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mail {
    /// The number of the current patch, and of the last one.
    pub next: u32,
    pub last: u32,
    pub current: Current,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort_safety: Option<Oid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autostash: Option<Oid>,
    /// `REBASE_HEAD`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Oid>,
    /// Yes or no: `threeway`, `quiet`, `sign`, `utf8`, `messageid`, `scissors`; others by their words: `keep`, `quoted-cr`.
    pub threeway: bool,
    pub quiet: bool,
    pub sign: bool,
    pub utf8: bool,
    pub messageid: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scissors: Option<bool>,
    pub keep: Keep,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted_cr: Option<String>,
    /// For `git apply`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Name>,
}

/// The patch at which it stopped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Current {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Oid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Name>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    No,
    Yes,
    NonPatch,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Apply {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_name: Option<Name>,
    pub orig_head: Oid,
    pub onto: Oid,
    /// From `next` to `last`: Git makes the patches of them once more.
    pub commits: Vec<Oid>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewritten: Vec<Moved>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signoff: bool,
    #[serde(flatten)]
    pub mail: Mail,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Am {
    /// From `next` to `last`, as they came.
    pub patches: Vec<Name>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dirty_index: bool,
    #[serde(flatten)]
    pub mail: Mail,
}

const QUOTED_CR: &[&str] = &["nowarn", "warn", "strip"];
const APPLY_OPTIONS: &[&str] =
    &["--whitespace=", "--directory=", "--exclude=", "--include=", "--ignore-space-change", "--ignore-whitespace", "--reject", "-C", "-p"];
/// What is made again for every patch, or only shown.
const MADE: &[&str] = &["info", "msg", "msg-clean", "patch-merge-index"];

/// One of both, by the mark that Git itself goes by.
pub fn read(state: &State<'_>) -> Result<(Option<Apply>, Option<Am>), Error> {
    let Some(mut folder) = state.folder("rebase-apply")? else { return Ok((None, None)) };
    for file in MADE {
        folder.flag(file);
    }
    let rebasing = folder.flag("rebasing");
    if !rebasing && !folder.flag("applying") {
        return Err(folder.wrong("applying", "it is missing"));
    }
    let mail = Mail::read(state, &mut folder)?;
    let patches = patches(&mut folder, &mail)?;
    if rebasing {
        let commit = |mail: &Name| {
            let line = mail.as_bytes().split(|&byte| byte == b'\n').next().unwrap_or_default();
            let oid = line.strip_prefix(b"From ").and_then(|rest| rest.split(|&byte| byte == b' ').next());
            state.oid("rebase-apply", oid.unwrap_or_default())
        };
        let apply = Apply {
            head_name: head_name(&mut folder)?,
            orig_head: folder.must_oid("orig-head")?,
            onto: folder.must_oid("onto")?,
            commits: patches.iter().map(commit).collect::<Result<_, _>>()?,
            rewritten: moved(&mut folder, "rewritten")?,
            signoff: folder.flag("signoff"),
            mail,
        };
        folder.finish()?;
        return Ok((Some(apply), None));
    }
    let am = Am { patches, dirty_index: yes(&mut folder, "dirtyindex")?, mail };
    folder.finish()?;
    Ok((None, Some(am)))
}

fn patches(folder: &mut Folder<'_>, mail: &Mail) -> Result<Vec<Name>, Error> {
    let mut numbered: Vec<(String, u32)> = folder.names().filter_map(|name| Some((name.clone(), name.parse().ok()?))).collect();
    numbered.sort_by_key(|(_, number)| *number);
    let mut patches = Vec::new();
    for (name, number) in numbered {
        let patch = folder.must(&name)?;
        if (mail.next..=mail.last).contains(&number) {
            patches.push(Name::new(patch));
        }
    }
    // After the last one there is none.
    let wanted = (u64::from(mail.last) + 1).saturating_sub(u64::from(mail.next));
    if patches.len() as u64 == wanted { Ok(patches) } else { Err(folder.wrong("last", "not all patches are there")) }
}

impl Mail {
    fn read(state: &State<'_>, folder: &mut Folder<'_>) -> Result<Mail, Error> {
        let number = |folder: &mut Folder<'_>, file| folder.number(file)?.ok_or_else(|| folder.wrong(file, "it is missing"));
        let keep = match folder.take("keep")?.unwrap_or_default().trim_ascii() {
            b"" | b"f" => Keep::No,
            b"t" => Keep::Yes,
            b"b" => Keep::NonPatch,
            _ => return Err(folder.wrong("keep", "it is another word than t, b or f")),
        };
        let scissors = match folder.take("scissors")?.unwrap_or_default().trim_ascii() {
            b"" => None,
            b"t" => Some(true),
            b"f" => Some(false),
            _ => return Err(folder.wrong("scissors", "it is another word than t or f")),
        };
        let quoted_cr = folder.take("quoted-cr")?.unwrap_or_default();
        let quoted_cr = String::from_utf8_lossy(quoted_cr.trim_ascii()).into_owned();
        if !quoted_cr.is_empty() && !QUOTED_CR.contains(&quoted_cr.as_str()) {
            return Err(folder.wrong("quoted-cr", "its word is not known"));
        }
        let options = quote::words(&folder.take("apply-opt")?.unwrap_or_default()).unwrap_or_default();
        let options: Vec<Name> = options.into_iter().map(Name::new).collect();
        if !options.iter().all(is_apply_option) {
            return Err(folder.wrong("apply-opt", "an option is not known"));
        }
        let safety = folder.take("abort-safety")?.filter(|text| !text.trim_ascii().is_empty());
        Ok(Mail {
            next: number(folder, "next")?,
            last: number(folder, "last")?,
            current: Current {
                author: Author::read(folder)?,
                message: folder.text("final-commit")?,
                commit: folder.oid("original-commit")?,
                patch: folder.text("patch")?,
            },
            abort_safety: safety.map(|text| state.oid("rebase-apply/abort-safety", &text)).transpose()?,
            autostash: folder.oid("autostash")?,
            head: state.reference("REBASE_HEAD"),
            threeway: yes(folder, "threeway")?,
            quiet: yes(folder, "quiet")?,
            sign: yes(folder, "sign")?,
            utf8: yes(folder, "utf8")?,
            messageid: yes(folder, "messageid")?,
            scissors,
            keep,
            quoted_cr: Some(quoted_cr).filter(|word| !word.is_empty()),
            options,
        })
    }

    fn folder(&self, patches: impl Iterator<Item = Vec<u8>>) -> New {
        let mut new = New::new("rebase-apply", "last");
        for (number, patch) in (self.next..).zip(patches) {
            new.put(format!("{number:04}"), patch);
        }
        let word = |yes: bool| if yes { "t" } else { "f" };
        new.line("next", self.next.to_string());
        new.line("last", self.last.to_string());
        for (file, yes) in [("threeway", self.threeway), ("quiet", self.quiet), ("sign", self.sign), ("utf8", self.utf8)] {
            new.line(file, word(yes));
        }
        new.line("messageid", word(self.messageid));
        new.line("scissors", self.scissors.map_or("", word));
        new.line("keep", ["f", "t", "b"][self.keep as usize]);
        new.line("quoted-cr", self.quoted_cr.as_deref().unwrap_or_default());
        let options: Vec<u8> = self.options.iter().flat_map(|word| [b" ".to_vec(), quote::single(word.as_bytes())].concat()).collect();
        new.line("apply-opt", options);
        new.line("abort-safety", self.abort_safety.map_or(String::new(), |oid| oid.0.to_string()));
        new.maybe_oid("autostash", self.autostash);
        if let Some(author) = &self.current.author {
            new.put("author-script", author.script());
        }
        new.maybe_text("final-commit", self.current.message.as_ref());
        new.maybe_text("patch", self.current.patch.as_ref());
        new.maybe_oid("original-commit", self.current.commit);
        new
    }
}

impl Apply {
    pub fn draft(&self, branch: Option<&Name>, draft: &mut Draft) {
        // The line by which Git finds the commit again; it reads no more of it.
        let patch = |oid: &Oid| format!("From {} Mon Sep 17 00:00:00 2001\n", oid.0).into_bytes();
        let mut new = self.mail.folder(self.commits.iter().map(patch));
        new.mark = "orig-head";
        new.put("rebasing", "");
        new.line("head-name", branch.map_or(DETACHED, Name::as_bytes));
        new.line("orig-head", self.orig_head.0.to_string());
        new.line("onto", self.onto.0.to_string());
        new.oids("rewritten", &self.rewritten.iter().map(|moved| [moved.from, moved.to]).collect::<Vec<_>>());
        if self.signoff {
            new.line("signoff", "--signoff");
        }
        draft.reference("REBASE_HEAD", self.mail.head);
        draft.folders.push(new);
    }
}

impl Am {
    pub fn draft(&self, draft: &mut Draft) {
        let mut new = self.mail.folder(self.patches.iter().map(|patch| patch.as_bytes().to_vec()));
        new.put("applying", "");
        if self.dirty_index {
            new.put("dirtyindex", line("t"));
        }
        draft.reference("REBASE_HEAD", self.mail.head);
        draft.folders.push(new);
    }
}

pub fn is_apply_option(word: &Name) -> bool {
    let known = |option: &&str| {
        if option.len() > 2 && !option.ends_with('=') {
            word.as_bytes() == option.as_bytes()
        } else {
            word.as_bytes().starts_with(option.as_bytes())
        }
    };
    APPLY_OPTIONS.iter().any(|option| known(&option)) && !word.as_bytes().iter().any(u8::is_ascii_control)
}

pub fn is_quoted_cr(word: &str) -> bool {
    QUOTED_CR.contains(&word)
}

fn yes(folder: &mut Folder<'_>, file: &str) -> Result<bool, Error> {
    match folder.take(file)?.unwrap_or_default().trim_ascii() {
        b"" | b"f" => Ok(false),
        b"t" => Ok(true),
        _ => Err(folder.wrong(file, "it is another word than t or f")),
    }
}
