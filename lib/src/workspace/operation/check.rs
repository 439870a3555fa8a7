//! Whether a model says only what Git itself could have said. It is hostile until this has passed it.
//!
//! What must stay true: no field can become two lines of a file that has one line for it, no name leads to another ref
//! than its kind allows, and every object is of the repository's own format.

use gix::hash::Kind;

use super::super::model::Oid;
use super::super::name::Name;
use super::apply::{is_apply_option, is_quoted_cr};
use super::state::MAX_FILE;
use super::{Author, Bisect, Error, Label, Mail, Operation, Pick, Prepared, Rebase, Start, Target, Todo, Verb};

const MAX_LINES: usize = 100_000;
const MAX_LINE: usize = 64 << 10;

/// All of them, and that no two claim the same place.
pub fn check(operations: &[Operation], hash: Kind) -> Result<(), Error> {
    for (n, operation) in operations.iter().enumerate() {
        operation.check(hash)?;
        if operations[..n].iter().any(|other| other.place() == operation.place()) {
            return refused(format!("there are two in '{}'", operation.place()));
        }
    }
    Ok(())
}

impl Operation {
    pub fn check(&self, hash: Kind) -> Result<(), Error> {
        if let Some(oid) = self.objects().iter().find(|oid| oid.0.kind() != hash || oid.0.is_null()) {
            return refused(format!("{} is no object of a repository in {hash}", oid.0));
        }
        match self {
            Operation::Merge(merge) => few(merge.heads.len(), "heads").and(some(!merge.heads.is_empty(), "a merge of nothing")),
            Operation::CherryPick(pick) => of_pick(pick, Verb::Pick),
            Operation::Revert(pick) => of_pick(pick, Verb::Revert),
            Operation::Rebase(rebase) => of_rebase(rebase, hash),
            Operation::Apply(apply) => {
                branch(apply.head_name.as_ref())?;
                apply.gpg_sign.iter().try_for_each(signature)?;
                same(apply.rewritten.iter().flat_map(|moved| [moved.from, moved.to]), hash)?;
                of_mail(&apply.mail, apply.commits.len())
            }
            Operation::Am(am) => {
                let size: usize = am.patches.iter().map(|patch| patch.as_bytes().len()).sum();
                some(size as u64 <= MAX_FILE, "patches of too many bytes")?;
                of_mail(&am.mail, am.patches.len())
            }
            Operation::Bisect(bisect) => of_bisect(bisect),
            Operation::Prepared(Prepared { message, squash, .. }) => message.iter().chain(squash).try_for_each(text),
        }
    }
}

fn of_rebase(rebase: &Rebase, hash: Kind) -> Result<(), Error> {
    branch(rebase.head_name.as_ref())?;
    few(rebase.todo.len().max(rebase.done.len()), "lines")?;
    few(rebase.flags.len(), "flags")?;
    labels(&rebase.labels, "refs/rewritten/")?;
    let all = || rebase.done.iter().chain(&rebase.todo);
    let set = all().filter_map(|line| if let Todo::Label { label } = line { Some(label) } else { None });
    let known: std::collections::BTreeSet<&Name> = rebase.labels.iter().map(|label| &label.name).chain(set).collect();
    all().try_for_each(|line| todo(line, &known))?;
    rebase.author.iter().try_for_each(author)?;
    [&rebase.message, &rebase.message_squash, &rebase.message_fixup].into_iter().flatten().try_for_each(text)?;
    some(rebase.fixups.iter().all(|fixup| matches!(fixup.verb, Verb::Fixup | Verb::Squash)), "a fixup that is none")?;
    let moved = rebase.rewritten.iter().flat_map(|moved| [moved.from, moved.to]);
    same(moved.chain(rebase.rewritten_pending.iter().copied()), hash)?;
    rebase.update_refs.iter().try_for_each(|update| branch(Some(&update.name)))?;
    rebase.strategy.iter().chain(&rebase.strategy_options).try_for_each(line)?;
    some(!rebase.strategy.iter().any(|name| name.as_bytes().starts_with(b"-")), "a strategy that is an option")?;
    rebase.sign.iter().try_for_each(signature)
}

fn todo(entry: &Todo, known: &std::collections::BTreeSet<&Name>) -> Result<(), Error> {
    let target = |target: &Target| match target {
        Target::Label(label) if !known.contains(label) => refused(format!("the label '{label}' is never set")),
        _ => Ok(()),
    };
    match entry {
        Todo::Commit { verb: Verb::Revert, .. } => refused("a rebase that reverts".to_owned()),
        Todo::Commit { verb, message, text, .. } => line(text).and(some(message.is_none() || *verb == Verb::Fixup, "-C of no fixup")),
        Todo::Merge { parents, text, .. } => {
            some(!parents.is_empty() && !parents.contains(&Target::Root), "a merge of nothing")?;
            line(text).and(parents.iter().try_for_each(target))
        }
        Todo::Label { label } => named(label, "refs/rewritten/"),
        Todo::Reset { to, text } => line(text).and(target(to)),
        Todo::Exec { command } => line(command).and(some(!command.as_bytes().is_empty(), "an exec of nothing")),
        Todo::UpdateRef { name } => branch(Some(name)),
        Todo::Break | Todo::Noop => Ok(()),
    }
}

fn of_pick(pick: &Pick, verb: Verb) -> Result<(), Error> {
    some(pick.commit.is_some() || pick.sequence.is_some(), "a pick of nothing")?;
    let Some(sequence) = &pick.sequence else { return Ok(()) };
    few(sequence.todo.len().max(sequence.options.len()), "lines")?;
    some(sequence.verb() == Some(verb), "a sequence of another kind")?;
    let of = |entry: &Todo| if let Todo::Commit { text, .. } = entry { line(text) } else { Ok(()) };
    sequence.todo.iter().try_for_each(of)?;
    match sequence.options.iter().find(|setting| !setting.is_known()) {
        Some(setting) => refused(format!("the setting '{}' is not known", setting.name.escape_debug())),
        None => Ok(()),
    }
}

fn of_mail(mail: &Mail, patches: usize) -> Result<(), Error> {
    few(mail.last as usize, "patches")?;
    some(patches as u64 == (u64::from(mail.last) + 1).saturating_sub(u64::from(mail.next)), "other patches than it counts")?;
    some(mail.quoted_cr.as_deref().is_none_or(is_quoted_cr), "a word for quoted line ends")?;
    some(mail.options.iter().all(is_apply_option), "options for git apply")?;
    mail.current.author.iter().try_for_each(author)?;
    [&mail.current.message, &mail.current.patch].into_iter().flatten().try_for_each(text)
}

fn of_bisect(bisect: &Bisect) -> Result<(), Error> {
    if let Start::Branch { name, .. } = &bisect.start {
        branch(Some(name))?;
    }
    few(bisect.log.len().max(bisect.paths.len()), "lines")?;
    labels(&bisect.refs, "refs/bisect/")?;
    for word in [&bisect.bad_word, &bisect.good_word] {
        some(!word.as_bytes().contains(&b'/') && !word.as_bytes().starts_with(b"-"), "a term")?;
        named(word, "refs/bisect/")?;
    }
    bisect.paths.iter().try_for_each(text)?;
    some(bisect.log.iter().all(|entry| bisect.logs(entry)), "a line of its log")?;
    bisect.log.iter().try_for_each(line)
}

fn signature(option: &Name) -> Result<(), Error> {
    line(option).and(some(option.as_bytes().starts_with(b"-S"), "a signature that is none"))
}

fn author(author: &Author) -> Result<(), Error> {
    [&author.name, &author.email, &author.date].into_iter().try_for_each(line)
}

/// One line of a file.
fn line(text: &Name) -> Result<(), Error> {
    let clean = !text.as_bytes().iter().any(|byte| matches!(byte, b'\n' | 0));
    some(clean && text.as_bytes().len() <= MAX_LINE, "a line that is none")
}

fn text(text: &Name) -> Result<(), Error> {
    some(text.as_bytes().len() as u64 <= MAX_FILE && !text.as_bytes().contains(&0), "a text that is none")
}

fn branch(name: Option<&Name>) -> Result<(), Error> {
    let Some(name) = name else { return Ok(()) };
    match name.as_bytes().strip_prefix(b"refs/heads/") {
        Some(short) => named(&Name::new(short), "refs/heads/"),
        None => refused(format!("'{name}' is no branch")),
    }
}

/// Its bytes are those of a ref's name.
fn named(name: &Name, below: &str) -> Result<(), Error> {
    let full = [below.as_bytes(), name.as_bytes()].concat();
    let good = full.len() <= 1024 && std::str::from_utf8(&full).is_ok() && !name.as_bytes().starts_with(b"-");
    if good && gix::validate::reference::name(full.as_slice().into()).is_ok() {
        Ok(())
    } else {
        refused(format!("'{name}' is no name of a ref"))
    }
}

fn labels(labels: &[Label], below: &str) -> Result<(), Error> {
    few(labels.len(), "labels")?;
    labels.iter().try_for_each(|label| named(&label.name, below))
}

fn same(mut oids: impl Iterator<Item = Oid>, hash: Kind) -> Result<(), Error> {
    some(oids.all(|oid| oid.0.kind() == hash), "an object of another format")
}

fn few(count: usize, of: &str) -> Result<(), Error> {
    some(count <= MAX_LINES, &format!("too many {of}"))
}

fn some(good: bool, why: &str) -> Result<(), Error> {
    if good { Ok(()) } else { refused(format!("it holds {why}")) }
}

fn refused<T>(why: String) -> Result<T, Error> {
    Err(Error::Refused(why))
}
