//! `recipient group add`, `remove` and `list`.

use std::io::{self, Write};

use samesession::env::Env;
use samesession::flow::enrol::Hand;
use samesession::flow::groups::{self, Edit};
use samesession::flow::keys::{self, SealTo};
use samesession::flow::ledger::Ledger;
use samesession::flow::remotes;
use samesession::flow::roster::Joined;
use samesession::git::Repository;
use serde::Serialize;

use crate::cli::GroupCommand;
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::ui::{Ui, View, count, harmless};

#[derive(Serialize)]
struct Answer {
    name: String,
    keys: Vec<String>,
    /// It stands on the roster; else only this clone knows it.
    on_roster: bool,
    /// Those that were shared with it.
    sessions: Vec<Row>,
    /// Sessions that begin here are shared with it, too.
    defaults: bool,
}

#[derive(Serialize)]
struct Row {
    sid: String,
    /// 'changed', 'unchanged' or 'skipped'.
    state: &'static str,
    why: Option<String>,
}

impl View for Answer {
    const SCHEMA: &'static str = "samesession.group/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let known = if self.on_roster { "for all members of the roster" } else { "in this clone" };
        match self.keys.len() {
            0 => writeln!(out, "'{}' is no group any more", harmless(&self.name))?,
            n => writeln!(out, "'{}' stands for {}, {known}", harmless(&self.name), count(n, "recipient"))?,
        }
        writeln!(out, "shared with it: {}", count(self.sessions.len(), "session"))?;
        for row in &self.sessions {
            match &row.why {
                Some(why) => writeln!(out, "  {} is left as it is: {}", &row.sid[..8], harmless(why))?,
                None => writeln!(out, "  {} {}", &row.sid[..8], row.state)?,
            }
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Listed {
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    name: String,
    members: Vec<Member>,
}

#[derive(Serialize)]
struct Member {
    key: String,
    /// The device on the roster that has it.
    device: Option<String>,
}

impl View for Listed {
    const SCHEMA: &'static str = "samesession.groups/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.groups.is_empty() {
            writeln!(out, "there are no groups")?;
        }
        for group in &self.groups {
            writeln!(out, "{}", harmless(&group.name))?;
            for Member { key, device } in &group.members {
                let device = device.as_deref().map(|name| format!("  {}", harmless(name))).unwrap_or_default();
                writeln!(out, "  {}{device}", harmless(key))?;
            }
        }
        Ok(())
    }
}

pub fn run(env: &Env, ui: &Ui, command: &GroupCommand) -> Result<(), Failure> {
    let repo = Repository::open(env, env.cwd())?;
    let keys = |words: &[String]| {
        let named = groups::named(&repo, words);
        keys::recipients(&SealTo::Recipients(named), None).map(|keys| keys.names())
    };
    let (name, edit) = match command {
        GroupCommand::List => return list(ui, &repo),
        GroupCommand::Add { name, members } => (name, Edit::Add(keys(members)?)),
        GroupCommand::Remove { name, members } if members.is_empty() => (name, Edit::Disband),
        GroupCommand::Remove { name, members } => (name, Edit::Remove(keys(members)?)),
    };
    let device = crate::cmd::device_or_new(env, ui)?;
    let terminal = Terminal { quiet: ui.quiet };
    let identities = keys::identities(env, Some(&device), &[], None, &terminal)?;
    let mut ledger = Ledger::of(env, repo.clone(), Some(&device), &identities)?;
    // Without a roster nobody else hears of it.
    let remote = match ledger.joined() {
        Some(_) => remotes::store(&repo, None)?.map(str::to_owned),
        None => None,
    };
    let mut findings = Vec::new();
    let progress = ui.progress();
    let hand = Hand { device: &device, remote: remote.as_deref(), callbacks: &terminal, progress: &*progress };
    let done = groups::change(&hand, &mut ledger, name, &edit, &mut findings);
    crate::cmd::tell(ui, &findings);
    let done = done?;
    let row = |(sid, changed): (samesession::id::SessionId, Result<bool, String>)| {
        let (state, why) = match changed {
            Ok(true) => ("changed", None),
            Ok(false) => ("unchanged", None),
            Err(why) => ("skipped", Some(why)),
        };
        Row { sid: sid.to_string(), state, why }
    };
    let sessions = done.sessions.into_iter().map(row).collect();
    ui.report(&Answer { name: name.clone(), keys: done.keys, on_roster: done.shared, sessions, defaults: done.defaults })
        .map_err(Failure::Output)
}

fn list(ui: &Ui, repo: &Repository) -> Result<(), Failure> {
    let joined = Joined::load(repo);
    let device = |key: &String| {
        let members = joined.iter().flat_map(|joined| &joined.roster.members);
        members.into_iter().find(|member| member.recipient == *key).map(|member| member.name.clone())
    };
    let member = |key: String| Member { device: device(&key), key };
    let group = |(name, keys): (String, Vec<String>)| Group { name, members: keys.into_iter().map(member).collect() };
    ui.report(&Listed { groups: groups::all(repo).into_iter().map(group).collect() }).map_err(Failure::Output)
}
