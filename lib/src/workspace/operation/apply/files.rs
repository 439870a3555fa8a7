//! The files of `rebase-apply/`, read and written.

use super::super::draft::{Draft, Folder as New, KEPT, line};
use super::super::error::Error;
use super::super::folder::Folder;
use super::super::quote;
use super::super::rebase::{Author, DETACHED, head_name, moved};
use super::super::state::State;
use super::{Am, Apply, Current, Keep, Mail};
use crate::workspace::model::Oid;
use crate::workspace::name::Name;

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
        // It says once more what `rerere-autoupdate` says.
        folder.flag("allow_rerere_autoupdate");
        let apply = Apply {
            head_name: head_name(&mut folder)?,
            orig_head: folder.must_oid("orig-head")?,
            onto: folder.must_oid("onto")?,
            commits: patches.iter().map(commit).collect::<Result<_, _>>()?,
            rewritten: moved(&mut folder, "rewritten")?,
            signoff: folder.flag("signoff"),
            verbose: folder.flag("verbose"),
            gpg_sign: folder.line("gpg_sign_opt")?,
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
            scissors: maybe(folder, "scissors")?,
            rerere: maybe(folder, "rerere-autoupdate")?,
            keep,
            quoted_cr: Some(quoted_cr).filter(|word| !word.is_empty()),
            options,
        })
    }

    fn folder(&self, patches: impl Iterator<Item = Vec<u8>>) -> New {
        let mut new = New::new("rebase-apply", &["last"]);
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
        if let Some(rerere) = self.rerere {
            new.line("rerere-autoupdate", word(rerere));
        }
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
        new.marks = vec!["orig-head".to_owned(), "onto".to_owned()];
        new.put("rebasing", "");
        new.line("head-name", branch.map_or(DETACHED, Name::as_bytes));
        new.line("orig-head", self.orig_head.0.to_string());
        new.line("onto", self.onto.0.to_string());
        new.oids("rewritten", &self.rewritten.iter().map(|moved| [moved.from, moved.to]).collect::<Vec<_>>());
        if self.signoff {
            new.line("signoff", "--signoff");
        }
        if self.verbose {
            new.put("verbose", "");
        }
        if let Some(sign) = &self.gpg_sign {
            new.line("gpg_sign_opt", sign.as_bytes());
        }
        if let Some(rerere) = self.mail.rerere {
            new.line("allow_rerere_autoupdate", if rerere { "--rerere-autoupdate" } else { "--no-rerere-autoupdate" });
        }
        draft.reference("REBASE_HEAD", self.mail.head);
        draft.reference(KEPT, self.mail.autostash);
        draft.folders.push(new);
    }
}

impl Am {
    pub fn draft(&self, draft: &mut Draft) {
        let mut new = self.mail.folder(self.patches.iter().map(|patch| patch.as_bytes().to_vec()));
        // The last one stays to the end.
        new.marks.extend((!self.patches.is_empty()).then(|| format!("{:04}", self.mail.last)));
        new.put("applying", "");
        if self.dirty_index {
            new.put("dirtyindex", line("t"));
        }
        draft.reference("REBASE_HEAD", self.mail.head);
        draft.folders.push(new);
    }
}

pub fn is_apply_option(word: &Name) -> bool {
    let word = word.as_bytes();
    // With a value behind it, or as it stands.
    let known = |option: &str| match option.ends_with('=') || option.len() == 2 {
        true => word.starts_with(option.as_bytes()),
        false => word == option.as_bytes(),
    };
    APPLY_OPTIONS.iter().any(|option| known(option)) && !word.iter().any(u8::is_ascii_control)
}

pub fn is_quoted_cr(word: &str) -> bool {
    QUOTED_CR.contains(&word)
}

fn yes(folder: &mut Folder<'_>, file: &str) -> Result<bool, Error> {
    Ok(maybe(folder, file)?.unwrap_or_default())
}

fn maybe(folder: &mut Folder<'_>, file: &str) -> Result<Option<bool>, Error> {
    match folder.take(file)?.unwrap_or_default().trim_ascii() {
        b"" => Ok(None),
        b"f" => Ok(Some(false)),
        b"t" => Ok(Some(true)),
        _ => Err(folder.wrong(file, "it is another word than t or f")),
    }
}
