//! Which session made a commit, and what its user had asked for then: of one commit, of those that touched a file, of the
//! one that a line comes from.
//!
//! That a session made it stands in the clear, in a note or a trailer; everything else comes out of checkpoints that this
//! device can open, or of the session itself where it stands on this machine. Writes nothing. What must stay true: nothing is
//! said of a session to somebody who cannot read it but that it made the commit.

mod asked;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gix::hash::ObjectId;

pub use self::asked::{Held, Inside};
use super::Error;
use super::ledger::{Finding, Ledger};
use crate::agent::asked::Moment;
use crate::git::{self, Git};
use crate::id::SessionId;
use crate::link::{self, NOTES};
use crate::store::unfold::Checkpoint;

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Commit(ObjectId),
    /// By its path from the working directory.
    File(String),
    Line(String, u64),
}

#[derive(Debug)]
pub struct Outcome {
    pub target: Target,
    /// Those that sessions made, newest first.
    pub commits: Vec<Made>,
    /// So many others touched the file.
    pub others: usize,
    /// There are more than were asked for.
    pub more: bool,
}

#[derive(Debug)]
pub struct Made {
    pub commit: ObjectId,
    pub subject: String,
    pub made: SystemTime,
    pub by: Vec<Maker>,
}

/// A session that made it, or had a part in it.
#[derive(Debug)]
pub struct Maker {
    pub sid: SessionId,
    /// Where that stands.
    pub marks: Vec<Mark>,
    /// What this device can read of it, or why it cannot.
    pub inside: Result<Inside, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    Note,
    Trailer,
}

/// What this names if it names no session; a commit goes before a file, which can be told from one by `./`.
pub fn target(ledger: &Ledger<'_>, what: &str) -> Result<Option<Target>, Error> {
    let git = &literally(ledger);
    if let Some(id) = commit(git, what)? {
        // A checkpoint is a commit, too, and was looked for as such.
        return Ok(Checkpoint::read(&ledger.store, &id).is_err().then_some(Target::Commit(id)));
    }
    let is_file = |path: &str| -> Result<bool, Error> {
        let there = !path.is_empty() && ledger.env.cwd().join(path).symlink_metadata().is_ok();
        let was = || git.output(&["log", "-1", "--format=%H", "--", path], b"").map(|out| out.status.success() && !out.stdout.is_empty());
        Ok(there || !path.is_empty() && was()?)
    };
    if is_file(what)? {
        return Ok(Some(Target::File(what.to_owned())));
    }
    let line = what.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok().filter(|line| *line > 0)?)));
    match line {
        Some((file, line)) if is_file(file)? => Ok(Some(Target::Line(file.to_owned(), line))),
        _ => Ok(None),
    }
}

/// Names of files stand for themselves, whatever characters they have.
fn literally(ledger: &Ledger<'_>) -> Git {
    ledger.store.repo.git.env("GIT_LITERAL_PATHSPECS", "1")
}

/// The commit that a revision names.
pub fn commit(git: &Git, what: &str) -> Result<Option<ObjectId>, Error> {
    let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{what}^{{commit}}")];
    Ok(ObjectId::from_hex(git.output(&args, b"")?.stdout.trim_ascii()).ok())
}

/// That no session made any of it is an error, for it is the answer "no".
pub fn made(ledger: &Ledger<'_>, target: Target, most: usize, findings: &mut Vec<Finding>) -> Result<Outcome, Error> {
    let git = &literally(ledger);
    let nobodys = |what: String| Err(Error::NobodysCommit(what));
    let short = |id: &ObjectId| id.to_hex_with_len(12).to_string();
    let (mut found, what) = match &target {
        Target::Commit(id) => (marked(git, &["-1", &id.to_string(), "--"])?, format!("commit {}", short(id))),
        Target::File(path) => (marked(git, &["--follow", "--", path])?, format!("a commit that touched '{path}'")),
        Target::Line(file, line) => {
            let id = blamed(ledger, file, *line)?;
            (marked(git, &["-1", &id.to_string(), "--"])?, format!("commit {}, from which line {line} of '{file}' comes", short(&id)))
        }
    };
    let all = found.len();
    found.retain(|commit| !commit.marks.is_empty());
    let others = all - found.len();
    if found.is_empty() {
        return nobodys(what);
    }
    let more = found.len() > most;
    found.truncate(most);
    let mut moments: BTreeMap<SessionId, Vec<Moment>> = BTreeMap::new();
    for Marked { moment, marks, .. } in &found {
        for sid in marks.keys() {
            moments.entry(sid.clone()).or_default().push(moment.clone());
        }
    }
    let mut looked = BTreeMap::new();
    for (sid, moments) in moments {
        looked.insert(sid.clone(), asked::look(ledger, &sid, &moments, findings)?);
    }
    let mut commits = Vec::new();
    for Marked { commit, subject, moment, marks } in found {
        let mut by = Vec::new();
        for (sid, marks) in marks {
            // In the order in which they were asked about.
            let inside = looked.get_mut(&sid).and_then(Iterator::next).unwrap_or_else(|| Err(String::new()));
            by.push(Maker { sid, marks, inside });
        }
        commits.push(Made { commit, subject, made: moment.made, by });
    }
    Ok(Outcome { target, commits, others, more })
}

struct Marked {
    commit: ObjectId,
    subject: String,
    moment: Moment,
    marks: BTreeMap<SessionId, Vec<Mark>>,
}

/// Commits with what notes and messages say of them, by one start of Git.
fn marked(git: &Git, which: &[&str]) -> Result<Vec<Marked>, Error> {
    const FIELDS: &str = "--format=%H%x00%ct%x00%at%x00%s%x00%N%x00%B";
    let notes = format!("--notes={NOTES}");
    let mut args = vec!["log", "-z", "--encoding=UTF-8", "--no-color", &notes, FIELDS];
    args.extend(which);
    let out = git.with("log.showSignature=false").run(&args)?;
    let out = String::from_utf8_lossy(&out);
    let fields: Vec<&str> = out.split('\0').collect();
    let mut found = Vec::new();
    for commit in fields.chunks_exact(6) {
        let [id, made, written, subject, note, message] = commit else { continue };
        let nonsense = || Error::Git(git::Error::Nonsense { verb: "log".to_owned() });
        let mut marks: BTreeMap<SessionId, Vec<Mark>> = BTreeMap::new();
        let both: [(BTreeSet<SessionId>, Mark); 2] = [(link::in_note(note), Mark::Note), (link::in_message(message), Mark::Trailer)];
        for (sids, mark) in both {
            sids.into_iter().for_each(|sid| marks.entry(sid).or_default().push(mark));
        }
        let moment = Moment { id: (*id).to_owned(), made: seconds(made), written: seconds(written) };
        let commit = ObjectId::from_hex(id.as_bytes()).map_err(|_| nonsense())?;
        found.push(Marked { commit, subject: (*subject).to_owned(), moment, marks });
    }
    Ok(found)
}

/// Before 1970 nobody asked an agent for anything.
fn seconds(text: &str) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(text.parse().unwrap_or(0))
}

fn blamed(ledger: &Ledger<'_>, file: &str, line: u64) -> Result<ObjectId, Error> {
    let repo = &ledger.store.repo;
    let range = format!("{line},{line}");
    let mut args = vec!["blame", "--porcelain", "-L", &range];
    // What is not committed is a file of a work tree.
    args.extend(repo.bare.then_some("HEAD"));
    args.extend(["--", file]);
    let out = repo.git.run(&args)?;
    let id = out.split(|&byte| byte == b' ').next().and_then(|id| ObjectId::from_hex(id).ok());
    match id {
        Some(id) if id.is_null() => Err(Error::NotCommitted { file: file.to_owned(), line }),
        Some(id) => Ok(id),
        None => Err(git::Error::Nonsense { verb: "blame".to_owned() }.into()),
    }
}
