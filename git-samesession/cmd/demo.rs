//! `demo`: the main job, shown: two throw-away homes, a bare repository between them, two sample sessions, and the proof.
//!
//! Touches nothing outside a temporary directory, which is removed at the end.

mod workspace;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use samesession::agent::{self, Agent};
use samesession::device::Device;
use samesession::env::Env;
use samesession::flow::ledger::Ledger;
use samesession::flow::pick;
use samesession::flow::resume::{self, Asked};
use samesession::flow::source::Source;
use samesession::flow::{self, Relation, Selector, handoff, keys, restore, sessions, settings};
use samesession::git::Git;
use samesession::id::{NativeId, SessionId};
use samesession::seal::Identities;
use serde::Serialize;

use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::ui::{Ui, View, bytes};

struct Sample {
    agent: &'static str,
    native: &'static str,
    /// Below the home, as the agent wrote it.
    path: &'static str,
    content: &'static str,
}

/// Genuine output of both programs, made in this directory, which becomes the demonstration's.
const MADE_IN: &str = "/home/dev/src/demo.app_one";
const SAMPLES: [Sample; 2] = [
    Sample {
        agent: "claude",
        native: "aaaaaaaa-0001-4000-8000-000000000001",
        path: ".claude/projects/-home-dev-src-demo-app-one/aaaaaaaa-0001-4000-8000-000000000001.jsonl",
        content: include_str!("../sample/claude.jsonl"),
    },
    Sample {
        agent: "codex",
        native: "01a1fc46-14ce-7500-867f-3e8961b3c90d",
        path: ".codex/sessions/2026/11/21/rollout-2026-11-21T04-03-33-01a1fc46-14ce-7500-867f-3e8961b3c90d.jsonl",
        content: include_str!("../sample/codex.jsonl"),
    },
];

#[derive(Serialize)]
struct Answer {
    sessions: Vec<Proof>,
}

#[derive(Serialize)]
struct Proof {
    agent: &'static str,
    native_id: String,
    sid: String,
    title: Option<String>,
    made_in: String,
    commit: String,
    /// Bytes of new objects.
    added_bytes: u64,
    same_id: bool,
    same_bytes: bool,
    stands_at: String,
    found_by_agent_rule: bool,
    work_tree: String,
    /// As Git describes it, here and there.
    status: Vec<String>,
    same_work_tree: bool,
    resume: String,
    /// The first machine could not take it while the second one had it.
    one_holder: bool,
    /// After one more turn there, the first machine has that, too.
    came_home: bool,
}

impl Sample {
    fn content(&self, machine: &Env) -> String {
        self.content.replace(MADE_IN, &machine.cwd().to_string_lossy())
    }

    /// One more record at the end, one of its own.
    fn go_on(&self, transcript: &Path) -> io::Result<()> {
        let text = fs::read_to_string(transcript)?;
        let last = text.lines().next_back().unwrap_or_default();
        fs::OpenOptions::new().append(true).open(transcript)?.write_all(format!("{last}\n").as_bytes())
    }

    /// Claude Code names a directory after the working directory.
    fn path(&self, machine: &Env) -> PathBuf {
        let encoded = |dir: &str| dir.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        machine.home().join(self.path.replace(&encoded(MADE_IN), &encoded(&machine.cwd().to_string_lossy())))
    }
}

impl Proof {
    fn holds(&self) -> bool {
        self.same_id && self.same_bytes && self.found_by_agent_rule && self.same_work_tree && self.one_holder && self.came_home
    }
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.demo/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "Two throw-away homes stand for two machines, with a bare repository between them.")?;
        writeln!(out, "On the first, each agent has a session, in a repository in the middle of a rebase.\n")?;
        for proof in &self.sessions {
            let answer = |holds: bool| if holds { "yes" } else { "NO" };
            writeln!(out, "{} {} \"{}\"", proof.agent, proof.native_id, crate::ui::clipped(proof.title.as_deref().unwrap_or(""), 60))?;
            writeln!(out, "  made in                       {}", proof.made_in)?;
            writeln!(out, "  handed over                   commit {}, {}", proof.commit, bytes(proof.added_bytes))?;
            writeln!(out, "  in one push, of               refs/samesession/sessions/{}…", &proof.sid[..8])?;
            writeln!(out, "  resumed there at              {}", proof.stands_at)?;
            writeln!(out, "  same id                       {}", answer(proof.same_id))?;
            writeln!(out, "  same bytes                    {}", answer(proof.same_bytes))?;
            writeln!(out, "  where the agent will look     {}", answer(proof.found_by_agent_rule))?;
            writeln!(out, "  its work tree there           {}", proof.work_tree)?;
            for (n, line) in proof.status.iter().enumerate() {
                writeln!(out, "  {:<28}  {line}", if n == 0 { "git status, here and there" } else { "" })?;
            }
            writeln!(out, "  same commits, index, files    {}", answer(proof.same_work_tree))?;
            writeln!(out, "  it would go on with           {}", proof.resume)?;
            writeln!(out, "  nobody else's meanwhile       {}", answer(proof.one_holder))?;
            writeln!(out, "  one turn there, and home      {}\n", answer(proof.came_home))?;
        }
        writeln!(out, "Nothing of this is left on your machine.")
    }
}

pub fn run(env: &Env, ui: &Ui) -> Result<(), Failure> {
    let demo = |error: io::Error| Failure::Demo(error.to_string());
    let place = tempfile::Builder::new().prefix("samesession-demo-").tempdir_in(env.temp_dir()).map_err(demo)?;
    let there = place.path().canonicalize().map_err(demo)?;
    let machine = |name: &str| -> io::Result<Env> {
        let (home, project) = (there.join(name), there.join(name).join("src").join("my.project"));
        fs::create_dir_all(&project)?;
        Ok(env.elsewhere(&home, &project))
    };
    let origin = there.join("origin.git");
    let (first, second) = (machine("laptop").map_err(demo)?, machine("desktop").map_err(demo)?);
    let (laptop, desktop) = (Device::create(&first, Some("laptop"), None)?, Device::create(&second, Some("desktop"), None)?);
    Git::at(&first, &there).run(&["init".as_ref(), "--quiet".as_ref(), "--bare".as_ref(), origin.as_os_str()])?;
    workspace::begin(&first, &origin)?;
    let git = Git::at(&second, second.cwd());
    git.run(&["clone".as_ref(), "--quiet".as_ref(), "--branch".as_ref(), "main".as_ref(), origin.as_os_str(), ".".as_ref()])?;
    workspace::leave(&first)?;
    let mut answer = Answer { sessions: Vec::new() };
    for sample in &SAMPLES {
        let transcript = sample.path(&first);
        fs::create_dir_all(transcript.parent().unwrap_or(&there))
            .and_then(|()| fs::write(&transcript, sample.content(&first)))
            .map_err(demo)?;
        answer.sessions.push(carry(ui, sample, (&first, &laptop), (&second, &desktop))?);
    }
    ui.report(&answer).map_err(Failure::Output)?;
    if answer.sessions.iter().all(Proof::holds) { Ok(()) } else { Err(Failure::Demo("a session did not arrive as it left".to_owned())) }
}

/// `move` on the first, `resume` on the second, a turn there, and home again.
fn carry(ui: &Ui, sample: &Sample, from: (&Env, &Device), to: (&Env, &Device)) -> Result<Proof, Failure> {
    let sent = Side::of(from)?.hand_over(ui, sample, &[to.1.recipient()])?;
    let (sid, title) = (sent.sid.clone(), sent.title.clone());
    let here = sample.path(from.0);
    let taken = Side::of(to)?.resume(ui, &sid, from.1)?;
    let restored = &taken.restored;
    let work_tree = restored.workspace.as_ref().and_then(|workspace| workspace.at.clone()).unwrap_or_default();
    let shown = sessions::show(to.0, &Selector::Named(sample.native.to_owned()), Some(sample.agent))?;
    let there: PathBuf = shown.session.transcript.clone();
    let proof = Proof {
        agent: sample.agent,
        native_id: sample.native.to_owned(),
        sid: sid.to_string(),
        commit: pick::short(&sent.done.commit.tip),
        added_bytes: sent.done.commit.added,
        title,
        made_in: restored.manifest.origin.cwd.clone().unwrap_or_default(),
        same_id: shown.session.native.as_str() == sample.native,
        same_bytes: same(&here, &there),
        found_by_agent_rule: found(to.0, sample, restored),
        stands_at: there.display().to_string(),
        status: workspace::status(to.0, &work_tree)?,
        same_work_tree: workspace::is_same((from.0, from.0.cwd()), (to.0, &work_tree))?,
        work_tree: work_tree.display().to_string(),
        resume: super::restore::typed(&restored.resume),
        // Nobody takes it from whoever works with it.
        one_holder: matches!(Side::of(from)?.resume(ui, &sid, to.1), Err(Failure::Flow(flow::Error::Leased { .. }))),
        came_home: {
            sample.go_on(&there).map_err(|error| Failure::Demo(error.to_string()))?;
            Side::of(to)?.hand_over(ui, sample, &[])?;
            let back = Side::of(from)?.resume(ui, &sid, to.1)?;
            back.restored.relation == Relation::Behind && same(&sessions_transcript(from.0, sample)?, &there)
        },
    };
    Ok(proof)
}

/// One of the two machines, as its user types there.
struct Side<'a> {
    env: &'a Env,
    device: &'a Device,
    identities: Identities,
}

struct Sent {
    sid: SessionId,
    title: Option<String>,
    done: handoff::Outcome,
}

impl<'a> Side<'a> {
    fn of((env, device): (&'a Env, &'a Device)) -> Result<Side<'a>, Failure> {
        Ok(Side { env, device, identities: keys::identities(env, Some(device), &[], None, &QUIET)? })
    }

    fn hand_over(&self, ui: &Ui, sample: &Sample, readers: &[String]) -> Result<Sent, Failure> {
        let session = Selector::Named(sample.native.to_owned());
        let mut source = Source::find(self.env, &session, Some(sample.agent))?.with_workspace(self.env, &Default::default())?;
        let ledger = Ledger::open(self.env, Some(self.device), &self.identities)?;
        if !readers.is_empty() {
            settings::add_recipients(&ledger.store.repo, readers)?;
        }
        let ledger = Ledger::open(self.env, Some(self.device), &self.identities)?;
        let options = handoff::Options { to: Vec::new(), note: None, takeover: None, remote: "origin" };
        let done = handoff::hand_over(&ledger, self.device, &mut source, &options, &QUIET, &*ui.progress())?;
        let session = source.selected.session;
        Ok(Sent { sid: session.sid(), title: session.title, done })
    }

    fn resume(&self, ui: &Ui, sid: &SessionId, from: &Device) -> Result<resume::Outcome, Failure> {
        let mut ledger = Ledger::open(self.env, Some(self.device), &self.identities)?;
        let trust = vec![from.signing().fingerprint()];
        let (mut findings, progress) = (Vec::new(), ui.progress());
        resume::bring(&mut ledger, "origin", &trust, &mut findings, &*progress)?;
        let restore = restore::Options { trust, ..Default::default() };
        let asked = Asked { env: self.env, device: self.device, remote: Some("origin"), takeover: None, restore, callbacks: &QUIET };
        Ok(resume::resume(&mut ledger, sid.as_str(), &asked, &mut QUIET.clone(), &mut findings, &*progress)?)
    }
}

const QUIET: Terminal = Terminal { quiet: true };

fn same(here: &Path, there: &Path) -> bool {
    fs::read(here).is_ok_and(|bytes| fs::read(there).is_ok_and(|other| bytes == other))
}

fn sessions_transcript(env: &Env, sample: &Sample) -> Result<PathBuf, Failure> {
    Ok(sessions::show(env, &Selector::Named(sample.native.to_owned()), Some(sample.agent))?.session.transcript)
}

fn found(env: &Env, sample: &Sample, restored: &restore::Outcome) -> bool {
    let look = |agent: &'static dyn Agent| {
        let home = agent.home(env).ok()?;
        agent.verify(&home, &NativeId::parse_uuid(sample.native).ok()?, &restored.cwd).ok()
    };
    let verified = agent::by_name(sample.agent).and_then(look);
    verified.is_some_and(|verified| verified.reached >= agent::Reached::Discoverable)
}
