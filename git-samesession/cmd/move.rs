//! `move` and `handoff`: a session checkpointed, sent and let go of.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::time::Duration;

use samesession::capsule::Workspace;
use samesession::env::Env;
use samesession::flow::background::{self, Says};
use samesession::flow::handoff::{self, Options};
use samesession::flow::keys::SealTo;
use samesession::flow::ledger::Ledger;
use samesession::flow::only::Only;
use samesession::flow::source::Source;
use samesession::flow::turn::Turn;
use samesession::flow::{self, deactivate, groups, pending, registered, remote, workspace};
use samesession::git::Repository;
use samesession::id::SessionId;
use samesession::time;
use serde::{Deserialize, Serialize};

use crate::cli::Leaving;
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::ui::{Ui, View, bytes, clipped, count, harmless};

#[derive(Serialize)]
struct Answer {
    agent: &'static str,
    native_id: String,
    sid: String,
    title: Option<String>,
    /// `handed-over`, or `registered` where that happens when the agent's turn is over.
    state: &'static str,
    remote: String,
    commit: Option<String>,
    sequence: Option<u64>,
    files: usize,
    bytes: u64,
    added_bytes: Option<u64>,
    workspace: Option<Workspace>,
    /// The keys of those it was handed to; whoever comes, where there are none.
    to: Vec<String>,
    note: Option<String>,
    /// A program still has it open here.
    live: bool,
    /// By which the agent's own copy is brought back, where that was put aside.
    put_aside: Option<String>,
    /// What to type on the other side.
    next: String,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.move/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let title = self.title.as_deref().map(|title| format!(" \"{}\"", clipped(title, 48))).unwrap_or_default();
        let (short, remote) = (&self.sid[..8], harmless(&self.remote));
        if self.state == "registered" {
            writeln!(out, "{short} {}{title} goes to {remote} when this turn is over", self.agent)?;
        } else {
            let (files, size) = (count(self.files, "file"), bytes(self.bytes));
            let (sequence, added) = (self.sequence.unwrap_or_default(), bytes(self.added_bytes.unwrap_or_default()));
            writeln!(out, "handed over {short} {}{title}: checkpoint {sequence}, {files}, {size}; {added} sent to {remote}", self.agent)?;
            if let Some(workspace) = &self.workspace {
                writeln!(out, "  workspace: {}", harmless(&super::workspace::line(workspace)))?;
            }
        }
        for to in &self.to {
            writeln!(out, "  to {}", harmless(to))?;
        }
        if let Some(id) = &self.put_aside {
            writeln!(out, "the copy here is put aside; to bring it back: git samesession undo {id}")?;
        }
        writeln!(out, "on the other machine, in a clone of this repository: {}", self.next)
    }
}

pub fn run(env: &Env, ui: &Ui, leaving: &Leaving, to: &[String]) -> Result<(), Failure> {
    let words = Words::of(leaving);
    let chosen = super::chosen(env, ui, leaving.session.as_deref(), leaving.agent.as_deref())?;
    let mut source = Source::find(env, &chosen.selector, chosen.agent.as_deref())?;
    if leaving.deactivate {
        deactivate::check(&source.selected)?;
    }
    let repo = Repository::open(env, env.cwd())?;
    let remote = remote::choose(&repo, leaving.remote.as_deref())?;
    let to = &groups::named(&repo, to);
    // Whom it cannot be sealed to is found out before anything is made or waited for.
    let names = flow::keys::recipients(&SealTo::Recipients(to.to_vec()), None)?.names();
    let device = super::device_or_new(env, ui)?;
    let mut answer = Answer {
        agent: source.selected.agent.name(),
        native_id: source.selected.session.native.to_string(),
        sid: source.selected.session.sid().to_string(),
        title: source.selected.session.title.clone(),
        state: "registered",
        remote: remote.clone(),
        commit: None,
        sequence: None,
        files: source.artifacts.len(),
        bytes: source.bytes(),
        added_bytes: None,
        workspace: None,
        to: names.clone(),
        note: words.note.clone(),
        live: source.live.is_some(),
        put_aside: None,
        next: String::new(),
    };
    answer.next = format!("git samesession resume {}", &answer.sid[..8]);
    let title = source.selected.agent.title();
    if source.is_around_us(env) && !leaving.after_turn {
        // The turn that calls us is not over before we have returned, and then nobody is there to be asked.
        if device.is_locked() {
            return Err(samesession::seal::Error::Locked.into());
        }
        let session = (answer.native_id.as_str(), answer.agent);
        let sid = source.selected.session.sid();
        registered::add(&repo, &sid, &time::format(env.now()), &remote)?;
        let words = serde_json::to_vec(&words).unwrap_or_default();
        let (args, log) = (after_turn(leaving, session, &names, &remote), repo.private_dir().join("move.log"));
        background::start(env, env.cwd(), &args, &words, Says::Log(&log))?;
        return ui.report(&answer).map_err(Failure::Output);
    }
    let Some(_only) = alone(leaving, &repo, &source.selected.session.sid())? else { return Ok(()) };
    let turn = source.when_the_turn_is_over(Duration::from_secs(leaving.wait), &mut || {
        ui.note(&format!("{title} is in the middle of a turn; waiting for its end, {} s at most", leaving.wait));
    })?;
    if turn != Turn::Over {
        let why = if turn == Turn::Open { "is still in the middle of a turn" } else { "does not say whether it is in a turn" };
        ui.note(&format!("{title} {why}; this is how the session stood when the capture began"));
    }
    if leaving.deactivate {
        // Somebody may have opened it meanwhile.
        deactivate::check(&source.selected)?;
    }
    let mut source = source.with_workspace(env, &of_workspace(leaving))?;
    super::secrets::ask_about_keys(ui, &mut source)?;
    let terminal = Terminal { quiet: ui.quiet };
    let identities = flow::keys::identities(env, Some(&device), &[], None, &terminal)?;
    let ledger = Ledger::of(env, repo, Some(&device), &identities)?;
    let options = Options { to: names, note: words.note, takeover: words.takeover, remote: &remote };
    let done = handoff::hand_over(&ledger, &device, &mut source, &options, &terminal, &*ui.progress())?;
    super::tell(ui, &done.commit.findings);
    super::secrets::tell(ui, &done.commit.passed);
    pending::forget(&ledger.store.repo, &[source.selected.session.sid()])?;
    registered::forget(&ledger.store.repo, &source.selected.session.sid())?;
    answer.state = "handed-over";
    (answer.commit, answer.sequence) = (Some(done.commit.tip.to_string()), Some(done.commit.sequence));
    (answer.files, answer.bytes) = (source.artifacts.len(), done.commit.captured.bytes);
    answer.added_bytes = Some(done.commit.added);
    answer.workspace = done.commit.captured.workspace.map(|workspace| workspace.numbers);
    answer.live = source.live.is_some();
    let aside = leaving.deactivate.then(|| deactivate::deactivate(env, &source.selected, done.commit.captured.conversation));
    let failed = match aside {
        Some(Ok(id)) => {
            answer.put_aside = Some(id);
            None
        }
        Some(Err(error)) => Some(error),
        None => None,
    };
    ui.report(&answer).map_err(Failure::Output)?;
    if let Some(error) = failed {
        ui.note("it is handed over, and the copy here stays where it is");
        return Err(Failure::Answered(Box::new(error.into())));
    }
    if answer.live {
        ui.note(&format!("{title} still has it open here: what is said there from now on is another way that it goes"));
    }
    Ok(())
}

/// What only readers of the session may see, and so no list of processes.
#[derive(Default, Serialize, Deserialize)]
struct Words {
    note: Option<String>,
    takeover: Option<String>,
}

impl Words {
    fn of(leaving: &Leaving) -> Words {
        if !leaving.after_turn {
            return Words { note: leaving.note.clone(), takeover: leaving.takeover.clone() };
        }
        let mut text = Vec::new();
        let _ = io::stdin().take(1 << 16).read_to_end(&mut text);
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

/// The same command for a process of its own.
fn after_turn(leaving: &Leaving, (native, agent): (&str, &str), to: &[String], remote: &str) -> Vec<OsString> {
    let mut args: Vec<String> =
        ["move", native, "--agent", agent, "--remote", remote, "--after-turn", "--wait", "86400"].map(str::to_owned).to_vec();
    let mut add = |flag: &str, value: &str| args.push(format!("--{flag}={value}"));
    to.iter().for_each(|key| add("to", key));
    leaving.include_ignored.iter().for_each(|glob| add("include-ignored", glob));
    args.extend(leaving.session_only.then(|| "--session-only".to_owned()));
    args.extend(leaving.submodules.then(|| "--submodules".to_owned()));
    args.into_iter().map(OsString::from).collect()
}

/// One process waits for the end of a turn, however often its agent has said so; `None` if there is one.
fn alone(leaving: &Leaving, repo: &Repository, sid: &SessionId) -> Result<Option<Option<Only>>, Failure> {
    if !leaving.after_turn {
        return Ok(Some(None));
    }
    Ok(Only::take(&repo.private_dir().join(registered::lock_name(sid)))?.map(Some))
}

fn of_workspace(leaving: &Leaving) -> workspace::Options {
    workspace::Options {
        session_only: leaving.session_only,
        submodules: leaving.submodules,
        include_ignored: leaving.include_ignored.clone(),
        whole: false,
        key_files: None,
    }
}
