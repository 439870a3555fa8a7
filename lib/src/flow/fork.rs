//! `fork`: a session of this machine copied into a new one of the same agent, so that two ways can both be gone on with.
//!
//! No agent is started, and no model asked. The copy is whole, also where the agent's own fork would lean on its parent:
//! only then can the parent make place for another way. What must stay true: nothing of what is there is changed, and the
//! copy differs from it in nothing but whose it says it is.

use std::io::{self, BufRead, Read};
use std::path::PathBuf;

use super::Error;
use super::journal::{self, Dir, Filed, Journal, New, Seen, Step as JournalStep};
use super::plan::{self, Step};
use super::recover::{self, Recovered};
use super::select::{self, Selected, Selector};
use super::stage::{self, Stage};
use crate::agent::{Agent, Live, Reached, ResumeCommand, Role, jsonl};
use crate::durable::At;
use crate::env::Env;
use crate::id::{NativeId, SessionId};
use crate::seal::random_hex;
use crate::time;

pub struct Outcome {
    pub agent: &'static dyn Agent,
    pub from: NativeId,
    pub native: NativeId,
    pub sid: SessionId,
    pub title: Option<String>,
    pub transcript: PathBuf,
    pub bytes: u64,
    /// The program that has the first one open.
    pub live: Option<Live>,
    pub reached: Reached,
    pub notes: Vec<String>,
    pub resume: ResumeCommand,
    /// By which it can be taken back.
    pub undo: String,
    pub recovered: Vec<Recovered>,
}

/// What to type to keep the one that is here beside another.
pub fn command(native: &NativeId) -> String {
    format!("to keep the one here under a new id, first: git samesession fork {native}")
}

pub fn fork(env: &Env, selector: &Selector, only: Option<&str>) -> Result<Outcome, Error> {
    let Selected { agent, home, session } = select::select(env, selector, only)?;
    let live = agent.live(&home, &session.native);
    let native = agent.new_id(env.now(), &random_hex::<16>()).map_err(|error| crate::capsule::Error::Damaged(error.to_string()))?;
    let name = agent.fork_name(&home, &session, &native)?;
    let target = name.under(&home.root);
    let mut stage = Stage::beside(&home.root, env)?;
    let from = jsonl::open(&session.transcript).at("open", &session.transcript)?;
    let staged = stage.take(&mut Renamed::new(from, agent.own_id_follows(), &session.native, &native), false)?;
    let bytes = std::fs::metadata(&staged).at("read", &staged)?.len();
    if bytes == 0 {
        return Err(Error::NothingYet(session.transcript));
    }
    let _lock = stage::lock(&home.root)?;
    let recovered = recover::recover(env, agent, &home)?;
    let cwd = session.cwd.clone().unwrap_or_else(|| env.cwd().to_owned());
    let mut journal = Journal::new(agent.name(), &native, &cwd, time::format(env.now()));
    let steps = [Step::Create { file: 0, target: target.clone() }];
    journal.made = stage.made().iter().cloned().chain(plan::missing_dirs(&steps)).map(Dir).collect();
    journal.files = vec![Filed { name: name.clone(), role: Role::Transcript, staged: staged.clone(), place: Some(Dir(target.clone())) }];
    let sha256 = journal::hash(&staged, bytes).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)).at("read", &staged)?;
    let new = New { staged: staged.clone(), size: bytes, sha256, mode: 0o600 };
    journal.steps = vec![JournalStep { target: target.clone(), backup: None, new: Some(new) }];
    stage.sync(&[&staged])?;
    let mut seen = Seen::default();
    seen.look(&target);
    journal.commit(env, &mut stage, &seen, || Ok(()))?;
    // The file stands: a complaint about the index is a note.
    let mut notes = Vec::new();
    notes.extend(recover::settle(agent, &home, &mut journal, &stage.dir).err().map(|error| error.to_string()));
    let verified = agent.verify(&home, &native, &cwd)?;
    notes.extend(verified.notes);
    Ok(Outcome {
        sid: SessionId::derive(agent.name(), &native),
        resume: agent.resume(&native, &cwd),
        undo: stage.dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        reached: verified.reached,
        from: session.native,
        title: session.title,
        transcript: target,
        agent,
        native,
        bytes,
        live,
        notes,
        recovered,
    })
}

/// A transcript in which another id stands wherever a record says whose it is; without a last line that has no end.
struct Renamed<R> {
    from: R,
    old: Vec<u8>,
    new: Vec<u8>,
    line: Vec<u8>,
    given: usize,
}

impl<R: BufRead> Renamed<R> {
    fn new(from: R, follows: &str, old: &NativeId, new: &NativeId) -> Renamed<R> {
        let marked = |id: &NativeId| format!("{follows}{id}\"").into_bytes();
        Renamed { from, old: marked(old), new: marked(new), line: Vec::new(), given: 0 }
    }

    fn next_line(&mut self) -> io::Result<()> {
        let mut line = Vec::new();
        self.from.read_until(b'\n', &mut line)?;
        self.line.clear();
        self.given = 0;
        if line.last() != Some(&b'\n') {
            return Ok(());
        }
        let mut kept = 0;
        for at in memchr::memmem::find_iter(&line, &self.old) {
            self.line.extend_from_slice(&line[kept..at]);
            self.line.extend_from_slice(&self.new);
            kept = at + self.old.len();
        }
        self.line.extend_from_slice(&line[kept..]);
        Ok(())
    }
}

impl<R: BufRead> Read for Renamed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.given == self.line.len() {
            self.next_line()?;
        }
        let rest = &self.line[self.given..];
        let n = rest.len().min(into.len());
        into[..n].copy_from_slice(&rest[..n]);
        self.given += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whose_a_record_is_changes() {
        let (old, new) = ("aaaaaaaa-0001-4000-8000-000000000001", "bbbbbbbb-0001-4000-8000-000000000001");
        let id = |text: &str| NativeId::parse_uuid(text).expect("a UUID");
        let said = format!("{{\"sessionId\":\"{old}\",\"requestSessionId\":\"{old}\",\"text\":\"{{\\\"sessionId\\\":\\\"{old}\\\"}}\"}}\n");
        let read = |follows: &str| {
            let text = format!("{said}{said}{{\"sessionId\":\"{old}\"");
            let mut out = String::new();
            Renamed::new(text.as_bytes(), follows, &id(old), &id(new)).read_to_string(&mut out).expect("read");
            out
        };
        let once = said.replacen(old, new, 1);
        assert_eq!(read("\"sessionId\":\""), format!("{once}{once}"));
        let twice = said.replacen(old, new, 2);
        assert_eq!(read(":\""), format!("{twice}{twice}"));
    }
}
