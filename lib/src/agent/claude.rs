//! Claude Code: a transcript per session, in a directory named after the working directory.
//!
//! Resuming needs the transcript under the name of the *new* working directory, and nothing else; bytes stay as they
//! are, old paths inside included. What must stay true: one id stands in one project directory of a home, since from
//! 2.1.223 on a session with two copies is found from neither's outside.

mod encoding;
mod steps;
mod summary;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::SystemTime;

use serde::Deserialize;

use super::asked::Step;
use super::hooks::{Hooks, Moment};
use super::{
    Agent, Artifact, Broken, Copy, Discovery, Error, Home, Incoming, Live, Place, Reached, ResumeCommand, Role, Session, Source,
    StagedFile, Verified,
};
use crate::env::{self, Env};
use crate::id::{self, NativeId};
use crate::path::RelPath;

pub struct Claude;

const SESSION: &str = "CLAUDE_CODE_SESSION_ID";

/// Project hooks go into the file that is a user's own, not into the one that a team shares.
static HOOKS: Hooks = Hooks {
    user: "settings.json",
    project: ".claude/settings.local.json",
    events: &[
        ("SessionStart", Moment::Started),
        ("Stop", Moment::TurnEnded),
        ("PreCompact", Moment::Compacting),
        ("SessionEnd", Moment::Ended),
    ],
    notify: None,
    consent: None,
};

impl Agent for Claude {
    fn name(&self) -> &'static str {
        "claude"
    }

    fn title(&self) -> &'static str {
        "Claude Code"
    }

    fn program(&self) -> &'static str {
        "claude"
    }

    fn how_to_install(&self) -> &'static str {
        "npm install -g @anthropic-ai/claude-code"
    }

    fn shelves(&self) -> &'static [(&'static str, usize)] {
        &[("projects", 1)]
    }

    fn hooks(&self) -> Option<&'static Hooks> {
        Some(&HOOKS)
    }

    fn home(&self, env: &Env) -> Result<Home, env::Error> {
        let root = env.dir("CLAUDE_CONFIG_DIR")?.unwrap_or_else(|| env.home().join(".claude"));
        Ok(Home { databases: root.clone(), root })
    }

    fn session_variable(&self) -> Option<&'static str> {
        Some(SESSION)
    }

    fn current(&self, env: &Env) -> Option<NativeId> {
        NativeId::parse_uuid(env.var(SESSION)?.to_str()?).ok()
    }

    fn discover(&self, home: &Home) -> Result<Discovery, Error> {
        let (mut found, mut discovery) = (Vec::new(), Discovery::default());
        for project in projects(home)? {
            let entries = list(&project).unwrap_or_else(|error| {
                let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                discovery.broken.push(Broken { path: project.clone(), why });
                Vec::new()
            });
            for (name, path) in entries {
                if let Some(native) = name.to_str().and_then(|name| NativeId::parse_uuid(name.strip_suffix(".jsonl")?).ok()) {
                    found.push((native, path));
                }
            }
        }
        let workers = thread::available_parallelism().map_or(1, usize::from).min(8);
        let share = found.len().div_ceil(workers).max(1);
        let results: Vec<_> = thread::scope(|scope| {
            let parts: Vec<_> = found.chunks(share).map(|part| scope.spawn(|| summaries(part))).collect();
            parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
        });
        for result in results {
            match result {
                Ok(session) => discovery.sessions.push(session),
                Err(broken) => discovery.broken.push(broken),
            }
        }
        Ok(discovery)
    }

    fn find(&self, home: &Home, native: &NativeId) -> Result<Vec<Session>, Error> {
        let mut places = Vec::new();
        for path in transcripts(home, native)? {
            match summary::summarise("claude", native.clone(), path) {
                Ok(session) => places.push(session),
                Err(broken) => return Err(Error::Transcript { path: broken.path, why: broken.why }),
            }
        }
        Ok(places)
    }

    fn running(&self, home: &Home) -> Vec<(NativeId, Live)> {
        markers(home).filter_map(|marker| Some((NativeId::parse_uuid(&marker.session_id).ok()?, Live { pid: Some(marker.pid) }))).collect()
    }

    fn artifacts(&self, home: &Home, session: &Session) -> Result<Vec<Artifact>, Error> {
        let project = session.transcript.parent().unwrap_or(&home.root);
        self.own_artifacts(home, session, &todos(home)?, &helpers(project)?)
    }

    fn artifacts_of_many(&self, home: &Home, sessions: &[&Session]) -> Vec<Result<Vec<Artifact>, Error>> {
        let Ok(todos) = todos(home) else { return sessions.iter().map(|session| self.artifacts(home, session)).collect() };
        let mut beside: HashMap<&Path, Option<Vec<PathBuf>>> = HashMap::new();
        let mut found = Vec::new();
        for &session in sessions {
            let project = session.transcript.parent().unwrap_or(&home.root);
            found.push(match beside.entry(project).or_insert_with(|| helpers(project).ok()) {
                Some(helpers) => self.own_artifacts(home, session, &todos, helpers),
                None => self.artifacts(home, session),
            });
        }
        found
    }

    fn role(&self, native: &NativeId, name: &RelPath) -> Option<Role> {
        // Its ids are UUIDs. Another word could mean something else to it: `projects/<project>/memory` is what it remembers.
        let native = NativeId::parse_uuid(native.as_str()).ok()?;
        let id = native.as_str();
        let parts: Vec<&str> = name.components().iter().map(|part| std::str::from_utf8(part).unwrap_or("\u{fffd}")).collect();
        match parts.as_slice() {
            ["projects", _, file] if file.strip_suffix(".jsonl") == Some(id) => Some(Role::Transcript),
            ["projects", _, file] if is_helper(file) => Some(Role::Subagent),
            ["projects", _, own, "subagents", .., file] if *own == id && is_helper(file) => Some(Role::Subagent),
            ["projects", _, own, "tool-results", _] if *own == id => Some(Role::ToolResult),
            ["projects", _, own, _, ..] if *own == id => Some(Role::Sidecar),
            ["file-history", own, _] if *own == id => Some(Role::FileHistory),
            ["tasks", own, file] if *own == id && file.ends_with(".json") => Some(Role::Task),
            ["todos", file] if file.ends_with(".json") && file.strip_prefix(id).is_some_and(|rest| rest.starts_with('-')) => {
                Some(Role::Task)
            }
            _ => None,
        }
    }

    fn check(&self, incoming: &Incoming<'_>) -> Result<(), Error> {
        let mut projects = incoming.files.iter().filter_map(|file| project_of(&file.name));
        let first = projects.next();
        if projects.any(|other| Some(other) != first) {
            let path = "two project directories".to_owned();
            return Err(Error::Foreign { path, session: incoming.native.clone() });
        }
        for file in incoming.files.iter().filter(|file| file.role.is_append_only()) {
            let read = |source| Error::Read { path: file.staged.clone(), source };
            if file.role == Role::Transcript {
                summary::summarise("claude", incoming.native.clone(), file.staged.clone())
                    .map_err(|broken| Error::Transcript { path: file.name.as_path().to_owned(), why: broken.why })?;
            } else if file.name.components().len() == 3 {
                let (_, session) = summary::first_envelope(&file.staged).map_err(read)?;
                if session.as_deref() != Some(incoming.native.as_str()) {
                    return Err(Error::Foreign { path: file.name.to_string(), session: incoming.native.clone() });
                }
            }
        }
        Ok(())
    }

    fn place(&self, home: &Home, incoming: &Incoming<'_>) -> Result<Vec<Place>, Error> {
        let project = home.root.join("projects").join(encoding::encode(incoming.cwd));
        let place = |name: &RelPath| match name.components().as_slice() {
            [b"projects", _, rest @ ..] => rest.iter().fold(project.clone(), |dir, part| dir.join(os(part))),
            _ => name.under(&home.root),
        };
        Ok(incoming.files.iter().map(|file| Place::File(place(&file.name))).collect())
    }

    fn copies(&self, home: &Home, incoming: &Incoming<'_>, _: &[Place]) -> Result<Vec<Copy>, Error> {
        let here = home.root.join("projects").join(encoding::encode(incoming.cwd));
        let file = format!("{}.jsonl", incoming.native);
        let mut copies = Vec::new();
        for project in projects(home)?.into_iter().filter(|project| !is_same(project, &here)) {
            let transcript = project.join(&file);
            // Behind a link it can be the very file that stands here.
            if !is_file(&transcript) || is_same(&transcript, &here.join(&file)) {
                continue;
            }
            copies.push(Copy::Transcript(transcript));
            let sidecar = project.join(incoming.native.as_str());
            if fs::symlink_metadata(&sidecar).is_ok_and(|meta| meta.is_dir()) {
                copies.push(Copy::Directory(sidecar));
            }
        }
        Ok(copies)
    }

    fn settle(&self, _: &Home, _: &Incoming<'_>, _: &[Place]) -> Result<(), Error> {
        Ok(())
    }

    /// Every version that was tried goes on with every other's transcripts.
    fn caution(&self, _: &Incoming<'_>, _: &Path) -> Option<String> {
        None
    }

    /// Any login will do.
    fn obstacle(&self, _: &Home, _: &Incoming<'_>) -> Option<String> {
        None
    }

    fn at_work(&self, home: &Home, session: &Session) -> Option<bool> {
        markers(home).find(|marker| marker.session_id == session.native.as_str())?.is_busy()
    }

    fn verify(&self, home: &Home, native: &NativeId, cwd: &Path) -> Result<Verified, Error> {
        let expected = home.root.join("projects").join(encoding::encode(cwd)).join(format!("{native}.jsonl"));
        let places = transcripts(home, native)?;
        if !is_file(&expected) {
            return Err(Error::Transcript { path: expected, why: "it is not there".to_owned() });
        }
        let mut notes = Vec::new();
        let others: Vec<_> = places.iter().filter(|place| !is_same(place, &expected)).collect();
        let reached = if others.is_empty() { Reached::Discoverable } else { Reached::Installed };
        for other in others {
            notes.push(format!("the same session also stands at '{}': newer versions then find neither", other.display()));
        }
        let (first, _) = summary::first_envelope(&expected).map_err(|source| Error::Read { path: expected.clone(), source })?;
        if first.is_some_and(|first| first != cwd && first.is_dir() && encoding::encode(&first) == encoding::encode(cwd)) {
            notes.push("'claude --continue' will pass it over, since its first directory exists here, too; '--resume' finds it".to_owned());
        }
        Ok(Verified { reached, notes })
    }

    fn resume(&self, native: &NativeId, cwd: &Path) -> ResumeCommand {
        ResumeCommand { cwd: cwd.to_owned(), argv: ["claude", "--resume", native.as_str()].map(str::to_owned).to_vec() }
    }

    fn last_prompt(&self, transcript: &Path, upto: u64) -> Option<String> {
        summary::last_prompt(transcript, upto)
    }

    fn step(&self, record: &[u8]) -> Option<Step> {
        steps::step(record)
    }

    fn keep_both(&self, native: &NativeId) -> String {
        format!("to keep the one here under a new id, first: git samesession fork {native}")
    }

    fn new_id(&self, _: SystemTime, digits: &str) -> Result<NativeId, id::Error> {
        NativeId::uuid('4', digits)
    }

    fn own_id_follows(&self) -> &'static str {
        // As `--fork-session` does it; what else names the old id (requests, files beside it) stays as it was.
        "\"sessionId\":\""
    }

    fn fork_name(&self, home: &Home, session: &Session, to: &NativeId) -> Result<RelPath, Error> {
        let path = session.transcript.with_file_name(format!("{to}.jsonl"));
        let below = path.strip_prefix(&home.root).unwrap_or(&path);
        RelPath::from_path(below).map_err(|source| Error::Name { path: path.clone(), source })
    }

    fn put_aside(&self, _: &Home, _: &NativeId) -> Result<(), Error> {
        Ok(())
    }

    fn leaning(&self, _: &Home, _: &StagedFile, _: u64) -> Result<Vec<NativeId>, Error> {
        // A fork is a whole copy.
        Ok(Vec::new())
    }

    fn never_leaves(&self) -> &'static [&'static str] {
        &[
            ".credentials.json",
            ".claude.json",
            "settings.json",
            "settings.local.json",
            "history.jsonl",
            "sessions",
            "session-env",
            "shell-snapshots",
            "plugins",
            "statsig",
            "debug",
        ]
    }

    fn ailments(&self, home: &Home) -> Vec<String> {
        let mut ids = std::collections::BTreeMap::<_, Vec<PathBuf>>::new();
        for project in projects(home).unwrap_or_default() {
            for (name, path) in list(&project).unwrap_or_default() {
                if let Some(Ok(native)) = name.to_str().and_then(|name| Some(NativeId::parse_uuid(name.strip_suffix(".jsonl")?))) {
                    ids.entry(native).or_default().push(path);
                }
            }
        }
        let twice = ids.into_iter().filter(|(_, places)| places.len() > 1);
        twice
            .map(|(id, places)| {
                format!("session {id} stands in {} project directories: keep the newest, move the others away", places.len())
            })
            .collect()
    }
}

impl Claude {
    fn own_artifacts(&self, home: &Home, session: &Session, todos: &[PathBuf], helpers: &[PathBuf]) -> Result<Vec<Artifact>, Error> {
        let id = session.native.as_str();
        let project = session.transcript.parent().unwrap_or(&home.root);
        let mut files = Vec::new();
        for own in [project.join(id), home.root.join("file-history").join(id), home.root.join("tasks").join(id)] {
            walk(&own, &mut files)?;
        }
        files.extend(todos.iter().cloned());
        files.extend(helpers.iter().filter(|path| helper_of(path, id)).cloned());

        let mut artifacts = Vec::new();
        for path in files {
            let Ok(below) = path.strip_prefix(&home.root) else { continue };
            let name = RelPath::from_path(below).map_err(|source| Error::Name { path: path.clone(), source })?;
            if let Some(role) = self.role(&session.native, &name) {
                artifacts.push(Artifact { name, role, source: Source::File(path) });
            }
        }
        artifacts.sort_by(|a, b| a.name.cmp(&b.name));
        let below = session.transcript.strip_prefix(&home.root).unwrap_or(&session.transcript);
        let name = RelPath::from_path(below).map_err(|source| Error::Name { path: session.transcript.clone(), source })?;
        artifacts.push(Artifact { name, role: Role::Transcript, source: Source::File(session.transcript.clone()) });
        Ok(artifacts)
    }
}

/// To-do lists of all sessions.
fn todos(home: &Home) -> Result<Vec<PathBuf>, Error> {
    Ok(list(&home.root.join("todos"))?.into_iter().map(|(_, path)| path).collect())
}

/// Until 2.1.9 helpers wrote beside their parent's transcript, whose id only their records tell.
fn helpers(project: &Path) -> Result<Vec<PathBuf>, Error> {
    let named = |name: &std::ffi::OsStr| name.to_str().is_some_and(is_helper);
    Ok(list(project)?.into_iter().filter(|(name, _)| named(name)).map(|(_, path)| path).collect())
}

/// `sessions/<pid>.json`, there while a process runs.
#[derive(Deserialize)]
struct Marker {
    pid: u32,
    #[serde(rename = "sessionId")]
    session_id: String,
    /// The start time in ticks, against a process id that was given away again.
    #[serde(rename = "procStart", default)]
    started: Option<serde_json::Value>,
    /// What it does at the moment, in versions that say so.
    #[serde(default)]
    status: Option<String>,
}

/// Of programs that run.
fn markers(home: &Home) -> impl Iterator<Item = Marker> {
    let files = list(&home.root.join("sessions")).unwrap_or_default().into_iter();
    let files = files.filter(|(name, _)| name.to_string_lossy().ends_with(".json"));
    files.filter_map(|(_, path)| serde_json::from_slice::<Marker>(&fs::read(path).ok()?).ok()).filter(Marker::is_alive)
}

impl Marker {
    /// Waiting for a person's consent, or for a command to end, is in the middle of a turn.
    fn is_busy(&self) -> Option<bool> {
        match self.status.as_deref()? {
            "busy" | "shell" | "waiting" => Some(true),
            "idle" => Some(false),
            _ => None,
        }
    }

    fn is_alive(&self) -> bool {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw) else { return false };
        // "Not permitted" is an answer, too: somebody is there.
        if let Err(rustix::io::Errno::SRCH) = rustix::process::test_kill_process(pid) {
            return false;
        }
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // The name in parentheses may hold anything, so fields are counted behind its end: the state, and as 22nd the start.
        let fields: Vec<&str> = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        // In a container whose first process collects nobody, what was killed keeps its number for ever.
        if matches!(fields.first(), Some(&("Z" | "X"))) {
            return false;
        }
        match (fields.get(19).copied(), &self.started) {
            (Some(now), Some(serde_json::Value::String(then))) => now == then,
            (Some(now), Some(serde_json::Value::Number(then))) => now == then.to_string(),
            _ => true,
        }
    }
}

fn summaries(part: &[(NativeId, PathBuf)]) -> Vec<Result<Session, Broken>> {
    part.iter().map(|(native, path)| summary::summarise("claude", native.clone(), path.clone())).collect()
}

/// The project directories. People who move a project sometimes link its old name to the new one; that is one directory.
fn projects(home: &Home) -> Result<Vec<PathBuf>, Error> {
    let entries = list(&home.root.join("projects"))?;
    let (linked, mut projects): (Vec<_>, Vec<_>) =
        entries.into_iter().map(|(_, path)| path).filter(|path| path.is_dir()).partition(|path| path.is_symlink());
    for link in linked {
        if !projects.iter().any(|project| is_same(project, &link)) {
            projects.push(link);
        }
    }
    Ok(projects)
}

/// Whether both names lead to one file or directory.
fn is_same(a: &Path, b: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    a == b || identity(a).is_some_and(|one| Some(one) == identity(b))
}

fn transcripts(home: &Home, native: &NativeId) -> Result<Vec<PathBuf>, Error> {
    let name = format!("{native}.jsonl");
    Ok(projects(home)?.into_iter().map(|project| project.join(&name)).filter(|path| is_file(path)).collect())
}

fn project_of(name: &RelPath) -> Option<&[u8]> {
    match name.components().as_slice() {
        [b"projects", project, ..] => Some(*project),
        _ => None,
    }
}

fn is_helper(file: &str) -> bool {
    file.strip_prefix("agent-").and_then(|rest| rest.strip_suffix(".jsonl")).is_some_and(|hex| !hex.is_empty())
}

fn helper_of(path: &Path, id: &str) -> bool {
    summary::first_envelope(path).is_ok_and(|(_, session)| session.as_deref() == Some(id))
}

fn os(part: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(part)
}

fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file())
}

/// The entries of a directory by name; one that is not there has none.
fn list(dir: &Path) -> Result<Vec<(std::ffi::OsString, PathBuf)>, Error> {
    let entries = match fs::read_dir(dir) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        other => other.and_then(Iterator::collect::<io::Result<Vec<_>>>),
    };
    let entries = entries.map_err(|source| Error::Read { path: dir.to_owned(), source })?;
    let mut named: Vec<_> = entries.into_iter().map(|entry| (entry.file_name(), entry.path())).collect();
    named.sort();
    Ok(named)
}

/// Regular files below a directory. Links are not followed: what they point to is not the session's.
fn walk(dir: &Path, into: &mut Vec<PathBuf>) -> Result<(), Error> {
    for (_, path) in list(dir)? {
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => walk(&path, into)?,
            Ok(meta) if meta.is_file() => into.push(path),
            _ => {}
        }
    }
    Ok(())
}
