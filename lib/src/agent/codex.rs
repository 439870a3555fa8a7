//! Codex CLI: a rollout per thread in a folder of its day, and an index that says where each one stands.
//!
//! Codex looks a thread up in its index first and believes it: a row that names a missing file makes resuming fail, and
//! without a row the file's name is searched for. So a rollout goes where the index says, or the index is told. Bytes
//! stay as they are, old paths inside included. What must stay true: never a shorter rollout for a longer one, and
//! nothing written to the home but in `settle`.

mod faults;
mod history;
mod index;
mod lineage;
mod meta;
mod names;
mod place;
mod program;
mod rollout;
mod settings;
mod steps;
mod summary;
#[cfg(test)]
mod tests;
mod turns;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};

use self::meta::Meta;
use self::names::Names;
use self::rollout::Name;
use super::asked::Step;
use super::hooks::{Call, Hooks, Moment, NOTIFY};
use super::{
    Agent, Artifact, Copy, Discovery, Error, Home, Incoming, Live, Place, Reached, ResumeCommand, Role, Session, Source, StagedFile,
    Verified, jsonl,
};
use crate::env::{self, Env};
use crate::id::{self, NativeId};
use crate::path::RelPath;

pub struct Codex;

const THREAD: &str = "CODEX_THREAD_ID";

static HOOKS: Hooks = Hooks {
    user: "hooks.json",
    project: ".codex/hooks.json",
    events: &[
        ("SessionStart", Moment::Started),
        ("Stop", Moment::TurnEnded),
        ("PreCompact", Moment::Compacting),
        ("SessionEnd", Moment::Ended),
    ],
    notify: Some("config.toml"),
    consent: Some("Codex runs hooks that you have trusted: start 'codex' and say '/hooks'"),
};

impl Agent for Codex {
    fn name(&self) -> &'static str {
        "codex"
    }

    fn title(&self) -> &'static str {
        "Codex CLI"
    }

    fn program(&self) -> &'static str {
        "codex"
    }

    fn how_to_install(&self) -> &'static str {
        "npm install -g @openai/codex"
    }

    fn shelves(&self) -> &'static [(&'static str, usize)] {
        // A folder for each year, month and day.
        &[("sessions", 3)]
    }

    fn hooks(&self) -> Option<&'static Hooks> {
        Some(&HOOKS)
    }

    fn hook_call(&self, event: &str, input: &[u8]) -> Option<Call> {
        if event != NOTIFY {
            return Call::parse(input);
        }
        let told: serde_json::Value = serde_json::from_slice(input).ok()?;
        let ended = told["type"] == "agent-turn-complete";
        let (native, cwd) = (NativeId::parse_uuid(told["thread-id"].as_str()?).ok()?, Path::new(told["cwd"].as_str()?).to_owned());
        (ended && cwd.is_absolute()).then_some(Call { native, cwd })
    }

    fn home(&self, env: &Env) -> Result<Home, env::Error> {
        let root = env.dir("CODEX_HOME")?.unwrap_or_else(|| env.home().join(".codex"));
        // Codex lets its configuration win over the variable.
        let databases = match settings::sqlite_home(&root) {
            Some(dir) => dir,
            None => env.dir("CODEX_SQLITE_HOME")?.unwrap_or_else(|| root.clone()),
        };
        Ok(Home { root, databases })
    }

    fn session_variable(&self) -> Option<&'static str> {
        Some(THREAD)
    }

    fn current(&self, env: &Env) -> Option<NativeId> {
        NativeId::parse_uuid(env.var(THREAD)?.to_str()?).ok()
    }

    fn discover(&self, home: &Home) -> Result<Discovery, Error> {
        let (found, broken) = rollout::walk(home);
        let names = Names::read(home).unwrap_or_default();
        let mut discovery = Discovery { sessions: Vec::with_capacity(found.len()), broken };
        for result in summary::each(&rollout::without_twins(found), |found| summary::summarise(found, &names)) {
            match result {
                Ok(session) => discovery.sessions.push(session),
                // Archived, packed or deleted by a Codex that is at work.
                Err(broken) if !broken.path.exists() => {}
                Err(broken) => discovery.broken.push(broken),
            }
        }
        Ok(discovery)
    }

    fn find(&self, home: &Home, native: &NativeId) -> Result<Vec<Session>, Error> {
        let names = Names::read(home).unwrap_or_default();
        let mut places = rollout::without_twins(rollout::walk(home).0);
        places.retain(|found| found.name.id == *native);
        if places.is_empty() {
            places.extend(place::indexed(home, native).filter(|found| found.path.is_file()));
        }
        let mut sessions = Vec::new();
        for found in places {
            match summary::summarise(&found, &names) {
                Ok(session) if session.native == *native => sessions.push(session),
                Ok(_) => {}
                Err(broken) => return Err(Error::Transcript { path: broken.path, why: broken.why }),
            }
        }
        Ok(sessions)
    }

    fn running(&self, home: &Home) -> Vec<(NativeId, Live)> {
        let locks = fs::read_dir(home.root.join(LOCKS)).into_iter().flatten().flatten();
        let ids = locks.filter_map(|lock| NativeId::parse_uuid(lock.file_name().to_str()?.strip_suffix(".lock")?).ok());
        ids.filter_map(|id| self.live(home, &id).map(|live| (id, live))).collect()
    }

    fn live(&self, home: &Home, native: &NativeId) -> Option<Live> {
        let file = File::open(home.root.join(LOCKS).join(format!("{native}.lock"))).ok()?;
        // Looking disturbs nobody. A lock that is not seen may still be held beyond this process's view (a container's),
        // so only then is it tried; a Codex that starts in that instant could take us for another writer.
        if let Some(pid) = lock_holder(&file) {
            return Some(Live { pid: Some(pid) });
        }
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => Some(Live { pid: None }),
            _ => None,
        }
    }

    fn artifacts(&self, home: &Home, session: &Session) -> Result<Vec<Artifact>, Error> {
        let mut of = self.artifacts_of_many(home, &[session]);
        of.pop().unwrap_or_else(|| Ok(Vec::new()))
    }

    fn artifacts_of_many(&self, home: &Home, sessions: &[&Session]) -> Vec<Result<Vec<Artifact>, Error>> {
        let (known, names) = (lineage::known(home), names::Lines::read(home).ok());
        sessions.iter().map(|session| own_artifacts(home, session, &known, names.as_ref())).collect()
    }

    fn role(&self, native: &NativeId, name: &RelPath) -> Option<Role> {
        match Name::in_capsule(name) {
            Some(rollout) if rollout.id == *native => Some(Role::Transcript),
            Some(_) => Some(Role::Lineage),
            None => (name.as_bytes() == names::FILE.as_bytes()).then_some(Role::Name),
        }
    }

    fn check(&self, incoming: &Incoming<'_>) -> Result<(), Error> {
        lineage::check(incoming)
    }

    fn place(&self, home: &Home, incoming: &Incoming<'_>) -> Result<Vec<Place>, Error> {
        place::places(home, incoming)
    }

    fn copies(&self, home: &Home, incoming: &Incoming<'_>, places: &[Place]) -> Result<Vec<Copy>, Error> {
        Ok(place::copies(home, incoming, places))
    }

    fn settle(&self, home: &Home, incoming: &Incoming<'_>, places: &[Place]) -> Result<(), Error> {
        place::settle(home, incoming, places)
    }

    fn unsettle(&self, home: &Home, files: &[PathBuf]) -> Result<(), Error> {
        place::unsettle(home, files)
    }

    fn caution(&self, incoming: &Incoming<'_>, program: &Path) -> Option<String> {
        let transcript = incoming.files.iter().find(|file| file.role == Role::Transcript)?;
        program::caution(&Meta::read(&transcript.staged).ok()?, &program::version(program)?)
    }

    fn obstacle(&self, home: &Home, incoming: &Incoming<'_>) -> Option<String> {
        let transcript = incoming.files.iter().find(|file| file.role == Role::Transcript)?;
        let provider = Meta::read(&transcript.staged).ok()?.provider?;
        let known = settings::has_provider(&home.root, &provider);
        (!known)
            .then(|| format!("it uses the model provider '{provider}', which '{}' does not name", home.root.join("config.toml").display()))
    }

    fn at_work(&self, _: &Home, session: &Session) -> Option<bool> {
        turns::is_open(&session.transcript)
    }

    fn verify(&self, home: &Home, native: &NativeId, _cwd: &Path) -> Result<Verified, Error> {
        let mut notes = Vec::new();
        let reached = match place::looked_up(home, native, &mut notes) {
            Some(found) if found.archived => {
                notes.push(format!("it is archived here: `codex unarchive {native}` makes it resumable"));
                notes.extend(faults::of_rollout(home, &found.path)?);
                Reached::Installed
            }
            Some(found) => {
                notes.extend(faults::of_rollout(home, &found.path)?);
                Reached::Discoverable
            }
            None => Reached::Installed,
        };
        Ok(Verified { reached, notes })
    }

    fn resume(&self, native: &NativeId, cwd: &Path) -> ResumeCommand {
        // Without -C, Codex proposes the recorded directory where its index does not know the present one yet.
        let argv = ["codex", "resume", native.as_str(), "-C", "."].map(str::to_owned).to_vec();
        ResumeCommand { cwd: cwd.to_owned(), argv }
    }

    fn last_prompt(&self, transcript: &Path, upto: u64) -> Option<String> {
        summary::last_prompt(transcript, upto)
    }

    fn step(&self, record: &[u8]) -> Option<Step> {
        steps::step(record)
    }

    fn keep_both(&self, _: &NativeId) -> String {
        // Not `codex fork`: a fork reads its beginning from the very rollout that would be set aside.
        "to have both, repeat the command with another home: CODEX_HOME=\"$HOME/.codex-2\" git samesession restore …".to_owned()
    }

    fn new_id(&self, now: SystemTime, digits: &str) -> Result<NativeId, id::Error> {
        // Its ids begin with the time, in thousandths of a second.
        let millis = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis()) & 0xffff_ffff_ffff;
        NativeId::uuid('7', &format!("{millis:012x}{}", digits.get(12..).unwrap_or_default()))
    }

    fn own_id_follows(&self) -> &'static str {
        // Under many names; inside a text there would be a backslash before the quotation mark.
        ":\""
    }

    fn fork_name(&self, _: &Home, session: &Session, to: &NativeId) -> Result<RelPath, Error> {
        let path = &session.transcript;
        let why = "its name is not that of a rollout".to_owned();
        let known = Name::of(path).ok_or_else(|| Error::Transcript { path: path.clone(), why })?;
        let name = Name { id: to.clone(), ..known }.dated(false);
        RelPath::from_path(&name).map_err(|source| Error::Name { path: path.clone(), source })
    }

    fn put_aside(&self, home: &Home, native: &NativeId) -> Result<(), Error> {
        index::put_aside(home, native)
    }

    fn leaning(&self, home: &Home, file: &StagedFile, kept: u64) -> Result<Vec<NativeId>, Error> {
        Ok(Name::in_capsule(&file.name).map(|name| lineage::leaning(home, &name.id, kept)).unwrap_or_default())
    }

    fn never_leaves(&self) -> &'static [&'static str] {
        &[
            "auth.json",
            ".credentials.json",
            ".env",
            "config.toml",
            "hooks.json",
            "history.jsonl",
            "installation_id",
            "version.json",
            "AGENTS.md",
            "rules",
            "skills",
            "prompts",
            "memories",
            "log",
            "logs",
            "shell_snapshots",
            "state_5.sqlite",
            "state_5.sqlite-wal",
            "thread_history_1.sqlite",
            "goals_1.sqlite",
            "queue_1.sqlite",
            "memories_1.sqlite",
            "logs_2.sqlite",
        ]
    }

    fn ailments(&self, home: &Home) -> Vec<String> {
        faults::of_home(home)
    }
}

/// Codex holds `<id>.lock` in it while it writes a thread.
const LOCKS: &str = "thread-writer-locks";

/// Its path in the home where that is one of Codex's own forms and names the right thread, else the one it should have.
fn name_in_capsule(home: &Home, path: &Path, id: &NativeId) -> Result<RelPath, Error> {
    let name = |path: &Path| RelPath::from_path(path).map_err(|source| Error::Name { path: path.to_owned(), source });
    let below = path.strip_prefix(&home.root).ok().and_then(|below| name(below).ok());
    if let Some(below) = below.filter(|below| Name::in_capsule(below).is_some_and(|name| name.id == *id)) {
        return Ok(below);
    }
    let why = "its name is not that of a rollout".to_owned();
    let known = Name::of(path).ok_or_else(|| Error::Transcript { path: path.to_owned(), why })?;
    name(&Name { id: id.clone(), ..known }.dated(jsonl::is_packed(path)))
}

/// The process that holds a lock on this file, as far as the kernel shows it.
fn lock_holder(file: &File) -> Option<u32> {
    let inode = format!(":{}", file.metadata().ok()?.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, place, ..] = fields[..] else { return None };
        place.ends_with(&inode).then(|| pid.parse().ok()).flatten()
    })
}

fn own_artifacts(home: &Home, session: &Session, known: &lineage::Known, lines: Option<&names::Lines>) -> Result<Vec<Artifact>, Error> {
    let mut family = lineage::of_session(known, session)?;
    let ids: Vec<NativeId> = family.keys().cloned().collect();
    let own = family.remove(&session.native);
    let mut artifacts = Vec::new();
    for member in family.into_values().chain(own) {
        let role = if member.meta.id == session.native { Role::Transcript } else { Role::Lineage };
        let name = name_in_capsule(home, &member.path, &member.meta.id)?;
        artifacts.push(Artifact { name, role, source: Source::File(member.path) });
    }
    let lines = match lines {
        Some(lines) => lines.of(&ids),
        // What it failed for once it may fail for again, and then says so.
        None => names::Lines::read(home)?.of(&ids),
    };
    if !lines.is_empty() {
        let path = Path::new(names::FILE);
        let name = RelPath::from_path(path).map_err(|source| Error::Name { path: path.to_owned(), source })?;
        artifacts.push(Artifact { name, role: Role::Name, source: Source::Extract(lines) });
    }
    artifacts.sort_by(|a, b| (a.role == Role::Transcript, &a.name).cmp(&(b.role == Role::Transcript, &b.name)));
    Ok(artifacts)
}
