//! `demo`: the main job with nothing but this program: two throw-away homes, two sample sessions, and the proof.
//!
//! Touches nothing outside a temporary directory, which is removed at the end.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use samesession::agent::{self, Agent};
use samesession::device::Device;
use samesession::env::Env;
use samesession::flow::arriving::Arriving;
use samesession::flow::checkpoint::{self, Options};
use samesession::flow::keys::{self, SealTo};
use samesession::flow::output::Output;
use samesession::flow::restore;
use samesession::flow::{Selector, sessions};
use samesession::id::NativeId;
use serde::Serialize;

use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::ui::{Ui, View, bytes};

struct Sample {
    agent: &'static str,
    native: &'static str,
    /// Below the home, as the agent wrote it.
    path: &'static str,
    content: &'static [u8],
}

/// Genuine output of both programs, made in `/home/dev/src/demo.app_one`.
const SAMPLES: [Sample; 2] = [
    Sample {
        agent: "claude",
        native: "aaaaaaaa-0001-4000-8000-000000000001",
        path: ".claude/projects/-home-dev-src-demo-app-one/aaaaaaaa-0001-4000-8000-000000000001.jsonl",
        content: include_bytes!("../sample/claude.jsonl"),
    },
    Sample {
        agent: "codex",
        native: "01a1fc46-14ce-7500-867f-3e8961b3c90d",
        path: ".codex/sessions/2026/11/21/rollout-2026-11-21T04-03-33-01a1fc46-14ce-7500-867f-3e8961b3c90d.jsonl",
        content: include_bytes!("../sample/codex.jsonl"),
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
    title: Option<String>,
    made_in: String,
    capsule_bytes: u64,
    same_id: bool,
    same_bytes: bool,
    stands_at: String,
    found_by_agent_rule: bool,
    resume: String,
}

impl Proof {
    fn holds(&self) -> bool {
        self.same_id && self.same_bytes && self.found_by_agent_rule
    }
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.demo/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "Two throw-away homes stand for two machines. On the first, each agent has a session.\n")?;
        for proof in &self.sessions {
            let answer = |holds: bool| if holds { "yes" } else { "NO" };
            writeln!(out, "{} {} \"{}\"", proof.agent, proof.native_id, crate::ui::clipped(proof.title.as_deref().unwrap_or(""), 60))?;
            writeln!(out, "  made in                       {}", proof.made_in)?;
            writeln!(out, "  sealed to the second machine  {}", bytes(proof.capsule_bytes))?;
            writeln!(out, "  installed there at            {}", proof.stands_at)?;
            writeln!(out, "  same id                       {}", answer(proof.same_id))?;
            writeln!(out, "  same bytes                    {}", answer(proof.same_bytes))?;
            writeln!(out, "  where the agent will look     {}", answer(proof.found_by_agent_rule))?;
            writeln!(out, "  it would go on with           {}\n", proof.resume)?;
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
    let (first, second) = (machine("laptop").map_err(demo)?, machine("desktop").map_err(demo)?);
    let (laptop, desktop) = (Device::create(&first, Some("laptop"))?, Device::create(&second, Some("desktop"))?);
    let mut answer = Answer { sessions: Vec::new() };
    for sample in &SAMPLES {
        let transcript = first.home().join(sample.path);
        fs::create_dir_all(transcript.parent().unwrap_or(&there)).and_then(|()| fs::write(&transcript, sample.content)).map_err(demo)?;
        let capsule = there.join(format!("{}.capsule", sample.agent));
        answer.sessions.push(carry(ui, sample, (&first, &laptop), (&second, &desktop), &capsule)?);
    }
    ui.report(&answer).map_err(Failure::Output)?;
    if answer.sessions.iter().all(Proof::holds) { Ok(()) } else { Err(Failure::Demo("a session did not arrive as it left".to_owned())) }
}

fn carry(ui: &Ui, sample: &Sample, from: (&Env, &Device), to: (&Env, &Device), capsule: &Path) -> Result<Proof, Failure> {
    let quiet = Terminal { quiet: true };
    let sealed = checkpoint::checkpoint(
        from.0,
        Options {
            session: Selector::Named(sample.native.to_owned()),
            agent: Some(sample.agent.to_owned()),
            output: Output::File { path: capsule.to_owned(), replace: false },
            seal_to: SealTo::Recipients(vec![to.1.recipient()]),
            dry_run: false,
        },
        || Ok(Device::ensure(from.0)?.0),
        &quiet,
        &*ui.progress(),
    )?;
    let options = restore::Options { trust: vec![from.1.signing().fingerprint()], ..Default::default() };
    let identities = keys::identities(to.0, Some(to.1), &[], None, &quiet)?;
    let restored = restore::restore(
        to.0,
        Some(to.1),
        &options,
        Arriving::File { path: capsule, identities: &identities },
        &mut quiet.clone(),
        &*ui.progress(),
    )?;
    let shown = sessions::show(to.0, &Selector::Named(sample.native.to_owned()), Some(sample.agent))?;
    let stands_at: PathBuf = shown.session.transcript.clone();
    Ok(Proof {
        agent: sample.agent,
        native_id: sample.native.to_owned(),
        title: sealed.title,
        made_in: restored.manifest.origin.cwd.clone().unwrap_or_default(),
        capsule_bytes: sealed.sealed.unwrap_or(0),
        same_id: shown.session.native.as_str() == sample.native,
        same_bytes: fs::read(&stands_at).is_ok_and(|bytes| bytes == sample.content),
        found_by_agent_rule: found(to.0, sample, &restored),
        stands_at: stands_at.display().to_string(),
        resume: super::restore::typed(&restored.resume),
    })
}

fn found(env: &Env, sample: &Sample, restored: &restore::Outcome) -> bool {
    let look = |agent: &'static dyn Agent| {
        let home = agent.home(env).ok()?;
        agent.verify(&home, &NativeId::parse_uuid(sample.native).ok()?, &restored.cwd).ok()
    };
    let verified = agent::by_name(sample.agent).and_then(look);
    verified.is_some_and(|verified| verified.reached >= agent::Reached::Discoverable)
}
