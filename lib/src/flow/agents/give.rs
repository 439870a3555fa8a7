//! `git push` to the agents: a checkpoint's session restored natively, under the transaction and the rules of `restore`.
//!
//! The work tree stays in the capsule, and leases are no business of this. What must stay true: what the agent has gone on
//! with is never replaced unless that was said, and then it is kept aside; what Git makes of a refusal is Git's own word for it.

use std::path::PathBuf;

use gix::hash::ObjectId;

use super::memory::{Entry, Memory};
use super::{Entries, Scope, commit_named, stamp, take};
use crate::flow::arriving::Arriving;
use crate::flow::ledger::Ledger;
use crate::flow::restore::{self, Options, Outcome};
use crate::flow::signed::{Consent, SignedBy};
use crate::flow::workspace::{Choice, Mode};
use crate::flow::{Error, Relation, agent_named, pick, placed};
use crate::id::{NativeId, SessionId};
use crate::policy::Limits;
use crate::progress::Progress;
use crate::seal::Signer;
use crate::store::names::{self, Named};

/// One ref of a push.
pub struct Giving<'a> {
    pub force: bool,
    pub from: Option<&'a str>,
    pub to: &'a str,
    pub dry_run: bool,
    /// What the pusher believes to stand there; `Some(None)`: nothing.
    pub expected: Option<Option<ObjectId>>,
    /// What was listed.
    pub listed: Option<&'a super::Listed>,
}

/// What came of it.
pub struct Given {
    pub outcome: Outcome,
    pub dry_run: bool,
}

/// An error is a refusal, and nothing was changed.
pub fn give(ledger: &Ledger<'_>, scope: &Scope, giving: &Giving<'_>, progress: &dyn Progress) -> Result<Given, Refusal> {
    let Some(Named::Local(sid)) = names::parse(giving.to) else { return Err(Refusal::NotASession) };
    let Some(from) = giving.from else { return Err(Refusal::Deletion) };
    let stale = match (giving.expected, giving.listed) {
        (None, _) | (Some(None), None) => false,
        (Some(expected), listed) => expected.is_none() || listed.and_then(|listed| listed.id) != expected,
    };
    if stale {
        return Err(Refusal::Stale);
    }
    let id = commit_named(&ledger.store.repo.git, from)?.ok_or_else(|| Refusal::NoCommit(from.to_owned()))?;
    let mut picked = pick::exactly(ledger, &sid, &id)?;
    let summary = &picked.opened.record.summary;
    let native = NativeId::parse(&summary.native_id).map_err(|_| Refusal::NotASession)?;
    let agent = agent_named(&summary.agent)?;
    if scope.agent.is_some_and(|only| only != agent.name()) {
        return Err(Refusal::OtherAgent(agent.name()));
    }
    if scope.session.is_some() && giving.listed.is_none() && !scope.names(&sid, &native) {
        return Err(Refusal::OtherSession);
    }
    if !picked.opened.record.open.is_empty() && !giving.force {
        return Err(Error::Undecided { sid }.into());
    }
    let home = agent.home(ledger.env).map_err(Error::from)?;
    let into = placed::directory(agent, &home, &native)?;
    if into.is_none() && ledger.store.repo.bare {
        return Err(Error::NoWorkTree.into());
    }
    let options = Options {
        dry_run: giving.dry_run,
        set_aside: giving.force,
        workspace: Choice { mode: Mode::SessionOnly, ..Choice::default() },
        limits: Limits::default(),
        ..Options::default()
    };
    let capsule = Arriving::Checkpoint { ledger, opened: &mut picked.opened };
    let outcome = restore::restore(ledger.env, ledger.device, &options, capsule, &mut Nobody, &mut || Ok(()), progress)?;
    if let SignedBy::Unknown { fingerprint, .. } = &outcome.signed_by {
        return Err(Refusal::Stranger { fingerprint: fingerprint.clone() });
    }
    if outcome.relation == Relation::Ahead && outcome.steps.is_empty() {
        return Err(Refusal::Ahead);
    }
    if !giving.dry_run {
        picked.remember(ledger)?;
        remember(ledger, &sid, id, &native, agent.name());
    }
    Ok(Given { outcome, dry_run: giving.dry_run })
}

/// It stands there as this checkpoint has it. That is known from here on, or learnt anew.
fn remember(ledger: &Ledger<'_>, sid: &SessionId, commit: ObjectId, native: &NativeId, agent: &'static str) {
    let entry = || {
        let known = agent_named(agent).ok()?;
        let home = known.home(ledger.env).ok()?;
        let session = placed::find(known, &home, native).ok()?.into_iter().next()?;
        let files = stamp::of_files(&session, known.artifacts(&home, &session).ok()?.iter()).digest?;
        Some(Entry { agent: agent.to_owned(), files, work: take::work(ledger, sid, &commit).ok()?, commit, given: true })
    };
    Memory::keep(&ledger.store.repo, entry().map(|entry| (sid.to_string(), entry)).into_iter().collect::<Entries>());
}

/// A push asks nobody.
struct Nobody;

impl Consent for Nobody {
    fn accept_signer(&mut self, _: &Signer, _: &str) -> bool {
        false
    }
}

impl Scope {
    /// Whether its session could be this one, which is not here yet.
    fn names(&self, sid: &SessionId, native: &NativeId) -> bool {
        self.session.as_deref().is_some_and(|name| sid.as_str().starts_with(name) || native.as_str().starts_with(name))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("only refs/samesession/sessions/* can be pushed to an agent")]
    NotASession,
    #[error("an agent's sessions are not deleted by a push")]
    Deletion,
    #[error("stale info")]
    Stale,
    #[error("'{0}' is no commit")]
    NoCommit(String),
    #[error("it is a session of '{0}'")]
    OtherAgent(&'static str),
    #[error("it is another session than the one that was named")]
    OtherSession,
    /// In Git's words, so that Git gives its own advice.
    #[error("fetch first")]
    Ahead,
    #[error("signed by a key that this device does not know: {fingerprint}; to believe it: git samesession fetch --trust {fingerprint}")]
    Stranger { fingerprint: String },
    #[error(transparent)]
    Flow(Error),
}

impl Refusal {
    /// What was kept from being replaced, for more words than a ref's line has room for.
    pub fn in_the_way(&self) -> Option<PathBuf> {
        match self {
            Refusal::Flow(Error::Diverged { local, .. }) => Some(local.clone()),
            _ => None,
        }
    }
}

impl<E: Into<Error>> From<E> for Refusal {
    fn from(error: E) -> Refusal {
        match error.into() {
            Error::UnknownMaker { checkpoint } => Refusal::Stranger { fingerprint: checkpoint.signer.fingerprint },
            Error::UnknownSigner { signer, .. } => Refusal::Stranger { fingerprint: signer.fingerprint },
            error => Refusal::Flow(error),
        }
    }
}
