//! `device join`, `list`, `approve`, `revoke`: the roster of this repository's store.

use std::io::{self, Write};
use std::path::Path;

use samesession::device::Device;
use samesession::env::Env;
use samesession::flow::enrol::{self, Asking, Hand, Joined};
use samesession::flow::ledger::{Finding, Ledger};
use samesession::flow::roster::{self, State};
use samesession::flow::{self, keys, paper, remotes};
use samesession::id::SessionId;
use samesession::roster::{Member, Roster};
use samesession::seal::Identities;
use serde::Serialize;

use super::art;
use crate::failure::Failure;
use crate::terminal::{self, Terminal};
use crate::ui::{Ui, View, clipped, count, harmless};

#[derive(Serialize)]
struct Listed {
    /// `none`, `joined`, `approved` (and not believed yet), `asked`, or `closed` to this device.
    standing: &'static str,
    members: Vec<Row>,
    requests: Vec<Request>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    fingerprint: String,
    added: String,
    revoked: Option<String>,
    this_device: bool,
    /// It is no device, but the key that 'init --recovery' made.
    recovery: bool,
}

#[derive(Serialize)]
struct Request {
    name: Option<String>,
    fingerprint: String,
    /// The end of its ref's name.
    print: String,
}

impl View for Listed {
    const SCHEMA: &'static str = "samesession.roster-list/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.standing {
            "none" => writeln!(out, "this store has no roster; to begin one: git samesession device join")?,
            "approved" => writeln!(out, "this device was approved; to believe the roster: git samesession device join")?,
            "closed" => writeln!(out, "the store has a roster, and this device is not on it; to ask: git samesession device join")?,
            "asked" => {
                let print = self.requests.first().map(|request| request.print.clone()).unwrap_or_default();
                writeln!(out, "this device has asked; on a member's: git samesession device approve {print}")?;
            }
            _ => {}
        }
        for row in &self.members {
            let what = match (&row.revoked, row.this_device) {
                (Some(at), _) => format!("revoked {at}"),
                (None, true) => "this device".to_owned(),
                (None, false) if row.recovery => "a key on paper".to_owned(),
                (None, false) => String::new(),
            };
            writeln!(out, "{:<20} {}  {what}", clipped(&row.name, 20), row.fingerprint)?;
        }
        for request in self.requests.iter().filter(|_| self.standing == "joined") {
            let name = clipped(request.name.as_deref().unwrap_or("?"), 20);
            writeln!(out, "{name:<20} {}  asks: git samesession device approve {}", request.fingerprint, &request.print[..8])?;
            for line in art::of(&request.fingerprint) {
                writeln!(out, "  {line}")?;
            }
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Done {
    /// What became of it: `founded`, `joined`, `already`, `asked`, `recovered`, `approved` or `revoked`.
    result: &'static str,
    name: String,
    fingerprint: String,
    /// The sessions whose readers have changed.
    sessions: Vec<String>,
    skipped: Vec<Skipped>,
    /// What a device that was taken off can still read, of the sessions that this one can open.
    still_reads: Vec<StillReads>,
    /// Who is on the roster, where that is to be looked at.
    #[serde(skip)]
    members: Vec<String>,
    #[serde(skip)]
    next: Option<String>,
}

#[derive(Serialize)]
struct StillReads {
    sid: String,
    title: Option<String>,
    /// Up to this one; null, where it had been taken out before.
    checkpoint: Option<u64>,
}

#[derive(Serialize)]
struct Skipped {
    sid: String,
    why: String,
}

impl View for Done {
    const SCHEMA: &'static str = "samesession.enrolment/1";

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let (name, sessions) = (harmless(&self.name), count(self.sessions.len(), "session"));
        match self.result {
            "founded" => writeln!(out, "began the roster, with this device, '{name}', on it")?,
            "joined" => writeln!(out, "joined: this device is on the roster, and believes it")?,
            "already" => writeln!(out, "this device is on the roster already")?,
            "approved" => writeln!(out, "'{name}' is on the roster, and can open {sessions}")?,
            "recovered" => {
                writeln!(out, "joined by the recovery key: this device, '{name}', is on the roster, and can open {sessions}")?;
                writeln!(
                    out,
                    "on it are {}; for each that is lost: git samesession device revoke NAME",
                    harmless(&self.members.join(", "))
                )?;
                writeln!(out, "the key was in a file: to have another, device revoke recovery, then git samesession init --recovery")?;
            }
            "revoked" => {
                writeln!(out, "'{name}' is off the roster: in {sessions} nothing more is sealed to it")?;
                writeln!(out, "what was sealed to it until now it can still read, in every copy of the store that it has or gets:")?;
                for read in &self.still_reads {
                    let title = read.title.as_deref().map(|title| format!(" \"{}\"", clipped(title, 48))).unwrap_or_default();
                    let until = read.checkpoint.map_or_else(|| "up to an earlier one".to_owned(), |n| format!("up to checkpoint {n}"));
                    writeln!(out, "  {}{title}, {until}", &read.sid[..8])?;
                }
                writeln!(out, "  and what it can open of sessions that this device cannot")?;
            }
            _ => {
                writeln!(out, "asked to be on the roster, as '{name}'; this is the fingerprint to compare:")?;
                writeln!(out, "  {}", self.fingerprint)?;
                for line in art::of(&self.fingerprint) {
                    writeln!(out, "  {line}")?;
                }
            }
        }
        for skipped in &self.skipped {
            writeln!(out, "  {} is left as it is: {}", &skipped.sid[..8], harmless(&skipped.why))?;
        }
        match &self.next {
            Some(next) => writeln!(out, "{next}"),
            None => Ok(()),
        }
    }
}

/// The repository around, as this device; with the store that the roster is in.
fn within<T>(
    env: &Env,
    ui: &Ui,
    remote: Option<&str>,
    work: impl FnOnce(&mut Ledger<'_>, Option<&str>, &mut Vec<Finding>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let device = super::super::device_or_new(env, ui)?;
    let identities = keys::identities(env, Some(&device), &[], None, &Terminal { quiet: ui.quiet })?;
    within_with(env, ui, (&device, &identities), remote, work)
}

fn within_with<T>(
    env: &Env,
    ui: &Ui,
    (device, identities): (&Device, &Identities),
    remote: Option<&str>,
    work: impl FnOnce(&mut Ledger<'_>, Option<&str>, &mut Vec<Finding>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut ledger = Ledger::open(env, Some(device), identities)?;
    let remote = remotes::store(&ledger.store.repo, remote)?.map(str::to_owned);
    let mut findings = Vec::new();
    let done = work(&mut ledger, remote.as_deref(), &mut findings);
    super::super::tell(ui, &findings);
    done
}

/// By the word of the key on paper, with which the store is opened, too.
pub fn recover(env: &Env, ui: &Ui, remote: Option<&str>, file: &Path) -> Result<(), Failure> {
    let recovery = keys::recovery(file)?;
    let device = super::super::device_or_new(env, ui)?;
    let mut identities = keys::identities(env, Some(&device), &[], None, &Terminal { quiet: ui.quiet })?;
    identities.add_device(recovery.identity());
    let done = within_with(env, ui, (&device, &identities), remote, |ledger, remote, findings| {
        let progress = ui.progress();
        let hand = Hand { device: &device, remote, callbacks: &Terminal { quiet: ui.quiet }, progress: &*progress };
        let mut done = changed("recovered", paper::join(&hand, ledger, &recovery, findings)?);
        done.members = ledger.joined().into_iter().flat_map(Roster::active).map(|member| member.name.clone()).collect();
        Ok(done)
    })?;
    ui.report(&done).map_err(Failure::Output)
}

pub fn join(env: &Env, ui: &Ui, remote: Option<&str>, trust: Option<&str>) -> Result<(), Failure> {
    let done = within(env, ui, remote, |ledger, remote, _| {
        let device = ledger.device.ok_or(Failure::NoDevice)?;
        let mut accept = |approval: &enrol::Approval<'_>| match trust {
            Some(trust) => trust == approval.fingerprint,
            None => {
                let question = format!(
                    "This device was approved by '{}' ({}).\nCompare the fingerprint with 'git samesession device show' there. Believe this roster from now on?",
                    harmless(approval.name),
                    approval.fingerprint
                );
                terminal::agreed(&question)
            }
        };
        let joined = enrol::join(ledger, device, remote, &mut accept, &Terminal { quiet: ui.quiet })?;
        let progress = ui.progress();
        paper::enter_kept(&Hand { device, remote, callbacks: &Terminal { quiet: ui.quiet }, progress: &*progress }, ledger)?;
        let (result, next) = match &joined {
            Joined::Founded(_) => ("founded", Some("on other devices, in a clone: git samesession device join".to_owned())),
            Joined::Already(_) => ("already", None),
            Joined::Approved(_) => ("joined", None),
            Joined::Asked(name) => {
                let print = name.rsplit('/').next().unwrap_or_default();
                ("asked", Some(format!("on a member's device: git samesession device approve {}", &print[..print.len().min(8)])))
            }
        };
        let (name, fingerprint) = (device.name.clone(), device.signing().fingerprint());
        Ok(Done {
            result,
            name,
            fingerprint,
            sessions: Vec::new(),
            skipped: Vec::new(),
            still_reads: Vec::new(),
            members: Vec::new(),
            next,
        })
    })?;
    ui.report(&done).map_err(Failure::Output)
}

pub fn list(env: &Env, ui: &Ui, remote: Option<&str>) -> Result<(), Failure> {
    let listed = within(env, ui, remote, |ledger, remote, _| {
        let device = ledger.device.ok_or(Failure::NoDevice)?;
        if let Some(remote) = remote {
            roster::fetch(&ledger.store.repo, remote)?;
        }
        let requests = remote.map_or(Ok(Vec::new()), |remote| enrol::asking(ledger, device, remote))?;
        let own = device.signing().fingerprint();
        let asked = requests.iter().any(|asking| asking.fingerprint == own);
        let (standing, roster) = match roster::state(ledger, remote)? {
            State::None => ("none", None),
            State::Joined(verified) => ("joined", Some(verified.roster)),
            State::Approved(verified) => ("approved", Some(verified.roster)),
            State::Closed(_) => (if asked { "asked" } else { "closed" }, None),
        };
        let members = roster.iter().flat_map(|roster| &roster.members).map(|member| row(member, &own)).collect();
        Ok(Listed { standing, members, requests: requests.into_iter().map(Request::from).collect() })
    })?;
    ui.report(&listed).map_err(Failure::Output)
}

impl From<Asking> for Request {
    fn from(asking: Asking) -> Request {
        Request { name: asking.name, fingerprint: asking.fingerprint, print: asking.print }
    }
}

fn row(member: &Member, own: &str) -> Row {
    let fingerprint = member.fingerprint();
    let revoked = member.revoked.as_ref().map(|mark| mark.at.clone());
    Row {
        name: member.name.clone(),
        added: member.added.at.clone(),
        revoked,
        this_device: fingerprint == own,
        recovery: member.recovery,
        fingerprint,
    }
}

pub struct Approval<'a> {
    pub who: &'a str,
    pub fingerprint: Option<&'a str>,
    pub name: Option<&'a str>,
}

pub fn approve(env: &Env, ui: &Ui, approval: &Approval<'_>, remote: Option<&str>) -> Result<(), Failure> {
    let done = within(env, ui, remote, |ledger, remote, findings| {
        let device = ledger.device.ok_or(Failure::NoDevice)?;
        let remote = remote.ok_or(flow::Error::NoRemote)?;
        roster::fetch(&ledger.store.repo, remote)?;
        let who = approval.who;
        let fits = |asking: &Asking| asking.name.as_deref() == Some(who) || who.len() >= 4 && asking.print.starts_with(who);
        let mut asking: Vec<Asking> = enrol::asking(ledger, device, remote)?.into_iter().filter(fits).collect();
        let asking = match asking.len() {
            0 => return Err(flow::Error::NobodyAsks(who.to_owned()).into()),
            1 => asking.remove(0),
            _ => return Err(Failure::Usage("several devices ask under that name: use what stands behind 'approve' in 'device list'")),
        };
        let name =
            approval.name.or(asking.name.as_deref()).ok_or(Failure::Usage("its name cannot be read here: give it one with --name"))?;
        let agreed = match approval.fingerprint {
            Some(fingerprint) => fingerprint == asking.fingerprint,
            None => {
                let picture = art::of(&asking.fingerprint).join("\n  ");
                terminal::agreed(&format!(
                    "'{}' asks, with this fingerprint:\n  {}\n  {picture}\nIs that what 'git samesession device show' says there?",
                    harmless(name),
                    asking.fingerprint
                ))
            }
        };
        if !agreed {
            return Err(flow::Error::NotCompared { name: name.to_owned(), fingerprint: asking.fingerprint }.into());
        }
        let progress = ui.progress();
        let hand = Hand { device, remote: Some(remote), callbacks: &Terminal { quiet: ui.quiet }, progress: &*progress };
        Ok(changed("approved", hand.approve(ledger, &asking, name, findings)?))
    })?;
    ui.report(&done).map_err(Failure::Output)
}

pub fn revoke(env: &Env, ui: &Ui, who: &str, remote: Option<&str>) -> Result<(), Failure> {
    let done = within(env, ui, remote, |ledger, remote, findings| {
        let device = ledger.device.ok_or(Failure::NoDevice)?;
        let is = |member: &&Member| member.name == who || member.fingerprint() == who;
        // One that is revoked already may have been so by a command that did not come to an end: its sessions are looked at again.
        let found = ledger.joined().and_then(|roster: &Roster| roster.active().find(is).or_else(|| roster.members.iter().find(is)));
        let fingerprint = found.map(Member::fingerprint).ok_or_else(|| flow::Error::NoSuchMember(who.to_owned()))?;
        let progress = ui.progress();
        let hand = Hand { device, remote, callbacks: &Terminal { quiet: ui.quiet }, progress: &*progress };
        Ok(changed("revoked", hand.revoke(ledger, &fingerprint, findings)?))
    })?;
    ui.report(&done).map_err(Failure::Output)
}

fn changed(result: &'static str, changed: enrol::Changed) -> Done {
    let skipped = changed.skipped.into_iter().map(|(sid, why): (SessionId, String)| Skipped { sid: sid.to_string(), why }).collect();
    let sessions = changed.sessions.iter().map(ToString::to_string).collect();
    let still = |read: enrol::StillReads| StillReads { sid: read.sid.to_string(), title: read.title, checkpoint: read.until };
    let still_reads = changed.still_reads.into_iter().map(still).collect();
    Done {
        result,
        fingerprint: changed.member.fingerprint(),
        name: changed.member.name,
        sessions,
        skipped,
        still_reads,
        members: Vec::new(),
        next: None,
    }
}
