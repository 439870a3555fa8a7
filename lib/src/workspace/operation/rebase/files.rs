//! The files of `rebase-merge/`, read and written.

use super::super::draft::{Draft, Folder as New, KEPT_LABEL, line};
use super::super::error::Error;
use super::super::folder::Folder;
use super::super::quote;
use super::super::state::State;
use super::super::todo::{Todo, Verb};
use super::{Author, Fixup, Flag, Label, Moved, Rebase, Update};
use crate::workspace::model::Oid;
use crate::workspace::name::Name;

pub const DETACHED: &[u8] = b"detached HEAD";
/// Marks whose content says nothing more than that they are there; with what Git itself writes into them.
const MARKS: &[(&str, Flag, &str)] = &[
    ("interactive", Flag::Interactive, ""),
    ("quiet", Flag::Quiet, "\n"),
    ("verbose", Flag::Verbose, ""),
    ("signoff", Flag::Signoff, "--signoff\n"),
    ("cdate_is_adate", Flag::CommitterDateIsAuthorDate, ""),
    ("ignore_date", Flag::IgnoreDate, ""),
    ("drop_redundant_commits", Flag::DropRedundantCommits, ""),
    ("keep_redundant_commits", Flag::KeepRedundantCommits, ""),
    ("reschedule-failed-exec", Flag::RescheduleFailedExec, ""),
    ("no-reschedule-failed-exec", Flag::NoRescheduleFailedExec, ""),
    ("dropped", Flag::Dropped, ""),
];
const RERERE: &[(&[u8], Flag)] = &[(b"--rerere-autoupdate", Flag::RerereAutoupdate), (b"--no-rerere-autoupdate", Flag::NoRerereAutoupdate)];
/// What Git makes again when it wants it, or only shows.
const MADE: &[&str] = &["git-rebase-todo.backup", "patch", "refs-to-delete"];

impl Rebase {
    pub fn read(state: &State<'_>) -> Result<Option<Rebase>, Error> {
        let Some(mut folder) = state.folder("rebase-merge")? else { return Ok(None) };
        for file in MADE {
            folder.flag(file);
        }
        let labels: Vec<Label> = state
            .below("refs/rewritten/")
            .into_iter()
            .map(|(name, commit)| Label { name, commit })
            .filter(|label| !label.is_kept())
            .collect();
        let set: Vec<_> = labels.iter().map(|label| label.name.clone()).collect();
        let (todo, done) = (folder.must("git-rebase-todo")?, folder.take("done")?.unwrap_or_default());
        let mut lists = state.todo(&[("rebase-merge/git-rebase-todo", &todo), ("rebase-merge/done", &done)], &set)?;
        let mut flags: Vec<_> = MARKS.iter().filter(|(file, ..)| folder.flag(file)).map(|(_, flag, _)| *flag).collect();
        if let Some(text) = folder.take("allow_rerere_autoupdate")? {
            let known = RERERE.iter().find(|(word, _)| *word == text.trim_ascii());
            flags.push(known.ok_or_else(|| folder.wrong("allow_rerere_autoupdate", "it says neither yes nor no"))?.1);
        }
        let rebase = Rebase {
            head_name: head_name(&mut folder)?,
            orig_head: folder.must_oid("orig-head")?,
            onto: folder.must_oid("onto")?,
            done: lists.remove(1),
            todo: lists.remove(0),
            msgnum: folder.number("msgnum")?.unwrap_or_default(),
            end: folder.number("end")?.unwrap_or_default(),
            flags,
            stopped: folder.oid("stopped-sha")?,
            head: state.reference("REBASE_HEAD"),
            amend: folder.oid("amend")?,
            author: Author::read(&mut folder)?,
            message: folder.text("message")?,
            message_squash: folder.text("message-squash")?,
            message_fixup: folder.text("message-fixup")?,
            fixups: fixups(state, &mut folder)?,
            squash_onto: folder.oid("squash-onto")?,
            autostash: folder.oid("autostash")?,
            labels,
            rewritten: moved(&mut folder, "rewritten-list")?,
            rewritten_pending: folder.oids::<1>("rewritten-pending")?.into_iter().map(|[oid]| oid).collect(),
            update_refs: updates(state, &mut folder)?,
            strategy: folder.line("strategy")?,
            strategy_options: options(&mut folder)?,
            sign: folder.line("gpg_sign_opt")?,
        };
        folder.finish()?;
        Ok(Some(rebase))
    }

    /// `branch`: what `head-name` will be.
    pub fn draft(&self, branch: Option<&Name>, draft: &mut Draft) {
        let mut new = New::new("rebase-merge", &["orig-head", "onto"]);
        new.line("head-name", branch.map_or(DETACHED, Name::as_bytes));
        new.line("orig-head", self.orig_head.0.to_string());
        new.line("onto", self.onto.0.to_string());
        new.put("git-rebase-todo", self.todo.iter().flat_map(Todo::line).collect::<Vec<u8>>());
        new.put("done", self.done.iter().flat_map(Todo::line).collect::<Vec<u8>>());
        new.line("msgnum", self.msgnum.to_string());
        new.line("end", self.end.to_string());
        for flag in &self.flags {
            MARKS.iter().filter(|(_, mark, _)| mark == flag).for_each(|(file, _, content)| new.put(*file, *content));
            RERERE.iter().filter(|(_, mark)| mark == flag).for_each(|(word, _)| new.line("allow_rerere_autoupdate", word));
        }
        new.maybe_oid("stopped-sha", self.stopped);
        new.maybe_oid("amend", self.amend);
        new.maybe_oid("squash-onto", self.squash_onto);
        new.maybe_oid("autostash", self.autostash);
        new.maybe_text("message", self.message.as_ref());
        new.maybe_text("message-squash", self.message_squash.as_ref());
        new.maybe_text("message-fixup", self.message_fixup.as_ref());
        if let Some(author) = &self.author {
            new.put("author-script", author.script());
        }
        if !self.fixups.is_empty() {
            // Git counts its lines by what stands between them.
            let fixups: Vec<String> = self.fixups.iter().map(|fixup| format!("{} {}", fixup.verb.word(), fixup.commit.0)).collect();
            new.put("current-fixups", fixups.join("\n"));
        }
        new.oids("rewritten-list", &self.rewritten.iter().map(|moved| [moved.from, moved.to]).collect::<Vec<_>>());
        new.oids("rewritten-pending", &self.rewritten_pending.iter().map(|oid| [*oid]).collect::<Vec<_>>());
        if !self.update_refs.is_empty() {
            new.put("update-refs", self.update_refs.iter().flat_map(Update::lines).collect::<Vec<u8>>());
        }
        if let Some(strategy) = &self.strategy {
            new.line("strategy", strategy.as_bytes());
        }
        if !self.strategy_options.is_empty() {
            let words: Vec<_> = self.strategy_options.iter().map(|word| quote::double(word.as_bytes())).collect();
            new.line("strategy_opts", words.join(&b' '));
        }
        if let Some(sign) = &self.sign {
            new.line("gpg_sign_opt", sign.as_bytes());
        }
        let kept = self.autostash.map(|commit| Label { name: Name::new(KEPT_LABEL), commit });
        let refs: Vec<(String, Oid)> = self.labels.iter().chain(&kept).map(Label::reference).collect();
        if !refs.is_empty() {
            // Never as it was read: Git deletes whatever refs stand here.
            new.put("refs-to-delete", refs.iter().flat_map(|(name, _)| line(name)).collect::<Vec<u8>>());
        }
        draft.reference("REBASE_HEAD", self.head);
        draft.refs.extend(refs);
        draft.folders.push(new);
    }
}

pub fn head_name(folder: &mut Folder<'_>) -> Result<Option<Name>, Error> {
    let name = folder.line("head-name")?.ok_or_else(|| folder.wrong("head-name", "it is missing"))?;
    if name.as_bytes() == DETACHED { Ok(None) } else { Ok(Some(name)) }
}

pub fn moved(folder: &mut Folder<'_>, file: &str) -> Result<Vec<Moved>, Error> {
    Ok(folder.oids::<2>(file)?.into_iter().map(|[from, to]| Moved { from, to }).collect())
}

fn fixups(state: &State<'_>, folder: &mut Folder<'_>) -> Result<Vec<Fixup>, Error> {
    let text = folder.take("current-fixups")?.unwrap_or_default();
    let mut fixups = Vec::new();
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let (verb, oid) = match (line.strip_prefix(b"fixup "), line.strip_prefix(b"squash ")) {
            (Some(oid), _) => (Verb::Fixup, oid),
            (_, Some(oid)) => (Verb::Squash, oid),
            _ => return Err(folder.wrong("current-fixups", "a line is neither fixup nor squash")),
        };
        fixups.push(Fixup { verb, commit: state.oid("rebase-merge/current-fixups", oid)? });
    }
    Ok(fixups)
}

fn options(folder: &mut Folder<'_>) -> Result<Vec<Name>, Error> {
    let text = folder.take("strategy_opts")?.unwrap_or_default();
    let words = quote::words(&text).ok_or_else(|| folder.wrong("strategy_opts", "a quote is not closed"))?;
    // Git of before 2.43 wrote them as options.
    Ok(words.into_iter().map(|word| Name::new(word.strip_prefix(b"--").unwrap_or(&word))).collect())
}

/// Three lines for each: the ref, where it stood, where it goes.
fn updates(state: &State<'_>, folder: &mut Folder<'_>) -> Result<Vec<Update>, Error> {
    let text = folder.take("update-refs")?.unwrap_or_default();
    let lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
    let mut updates = Vec::new();
    for three in lines.chunks(3) {
        let [name, before, after] = three else { return Err(folder.wrong("update-refs", "its end is missing")) };
        let oid = |word: &[u8]| state.oid("rebase-merge/update-refs", word);
        let after = Some(oid(after)?).filter(|oid| !oid.0.is_null());
        updates.push(Update { name: Name::new(*name), before: oid(before)?, after });
    }
    Ok(updates)
}

impl Update {
    fn lines(&self) -> Vec<u8> {
        let after = self.after.map_or(gix::hash::ObjectId::null(self.before.0.kind()), |oid| oid.0);
        [line(self.name.as_bytes()), line(self.before.0.to_string()), line(after.to_string())].concat()
    }
}

impl Label {
    fn reference(&self) -> (String, Oid) {
        (format!("refs/rewritten/{}", String::from_utf8_lossy(self.name.as_bytes())), self.commit)
    }

    /// Made by us, when it came here.
    fn is_kept(&self) -> bool {
        self.name.as_bytes() == KEPT_LABEL.as_bytes()
    }
}

impl Author {
    pub fn read(folder: &mut Folder<'_>) -> Result<Option<Author>, Error> {
        let Some(text) = folder.take("author-script")? else { return Ok(None) };
        let words = quote::words(&text).unwrap_or_default();
        let value = |n: usize, key: &str| words.get(n)?.strip_prefix(key.as_bytes()).map(Name::new);
        let author = || {
            let [name, email] = [value(0, "GIT_AUTHOR_NAME=")?, value(1, "GIT_AUTHOR_EMAIL=")?];
            Some(Author { name, email, date: value(2, "GIT_AUTHOR_DATE=")? }).filter(|_| words.len() == 3)
        };
        author().map(Some).ok_or_else(|| folder.wrong("author-script", "it is not name, email and date of an author"))
    }

    pub fn script(&self) -> Vec<u8> {
        let parts = [("NAME", &self.name), ("EMAIL", &self.email), ("DATE", &self.date)];
        let part = |(key, value): (&str, &Name)| line([format!("GIT_AUTHOR_{key}=").as_bytes(), &quote::single(value.as_bytes())].concat());
        parts.into_iter().flat_map(part).collect()
    }
}
