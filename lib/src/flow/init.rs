//! `init`: what this repository must know so that its sessions travel, and taking that back.
//!
//! Writes settings, by Git, into the repository's own configuration; refs and objects are not touched. What must stay true:
//! doing it twice changes nothing more, and what was not set here is never taken away.

mod plain_git;
mod record;

use self::record::Record;
use super::remotes::{self, Trap};
use super::settings::{self, ON_DEMAND, RECIPIENT, RECOVERY, STORE};
use super::{Error, agents, keys, namespace, on_demand};
use crate::git::{Config, Git, Repository};
use crate::recovery::Public;
use crate::store::names;

#[derive(Debug, Default)]
pub struct Options {
    pub remote: Option<String>,
    /// `session::<address>`: a repository of its own for sessions, which becomes a remote.
    pub store: Option<String>,
    /// Keys or files of keys.
    pub recipients: Vec<String>,
    /// The key on paper, which reads the sessions that begin here, too.
    pub recovery: Option<Public>,
    /// Sessions shall be fetched one by one when they are asked for.
    pub on_demand: bool,
}

#[derive(Debug)]
pub struct Outcome {
    /// Where capsules go to; none where there is no remote yet.
    pub remote: Option<String>,
    pub on_demand: bool,
    /// Who reads the sessions that begin here, besides the device that begins them.
    pub recipients: Vec<String>,
    pub changes: Vec<Step>,
    pub traps: Vec<Trap>,
}

#[derive(Debug)]
pub struct TakenBack {
    pub changes: Vec<Step>,
    /// How many refs of ours are left.
    pub refs: usize,
}

/// One value of the configuration that comes or goes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Step {
    Add {
        key: String,
        value: String,
    },
    Remove {
        key: String,
        value: String,
    },
    /// Of a setting that has one value.
    Replace {
        key: String,
        was: String,
        value: String,
    },
}

/// Whether it can be done; nothing is changed.
pub fn check(repo: &Repository, options: &Options) -> Result<(), Error> {
    plan(repo, options).map(drop)
}

pub fn init(repo: &Repository, options: &Options) -> Result<Outcome, Error> {
    let _lock = record::lock(repo)?;
    let repo = repo.again()?;
    let plan = plan(&repo, options)?;
    if !plan.steps.is_empty() {
        record::keeping(&repo, &plan.steps, || carry_out(&repo.git, &plan.steps))?;
    }
    let traps = remotes::traps(&repo.config);
    Ok(Outcome { remote: plan.remote, on_demand: plan.on_demand, recipients: plan.recipients, changes: plan.steps, traps })
}

/// Takes back what `init` has set, as far as it still stands as it was set.
pub fn uninstall(repo: &Repository) -> Result<TakenBack, Error> {
    let _lock = record::lock(repo)?;
    let own = repo.own_config()?;
    let args = ["for-each-ref", "--format=x", names::PUBLIC, names::TRACKING, names::SEEN];
    let refs = repo.git.lines(&args)?.len();
    on_demand::forget(repo)?;
    namespace::forget(repo);
    agents::forget(repo);
    let Some(record) = Record::load(repo)? else { return Ok(TakenBack { changes: Vec::new(), refs }) };
    let steps = back(&record, &own);
    // Git leaves an empty section behind where a comment stands before it, and a line break where none was.
    if !record::put_back(repo, &record)? {
        carry_out(&repo.git, &steps)?;
    }
    record::remove(repo)?;
    Ok(TakenBack { changes: steps, refs })
}

struct Plan {
    remote: Option<String>,
    on_demand: bool,
    recipients: Vec<String>,
    steps: Vec<Step>,
}

fn plan(repo: &Repository, options: &Options) -> Result<Plan, Error> {
    let (all, own) = (&repo.config, repo.own_config()?);
    let mut steps = Vec::new();
    let mut recipients: Vec<String> = settings::recipients(repo).iter().flat_map(|value| settings::keys_of(value)).collect();
    for key in keys::recipients(&keys::SealTo::Recipients(options.recipients.clone()), None)?.names() {
        if !recipients.contains(&key) {
            steps.push(Step::Add { key: RECIPIENT.to_owned(), value: key.clone() });
            recipients.push(key);
        }
    }
    if let Some(public) = &options.recovery {
        steps.push(set(&own, RECOVERY, &public.setting()));
        steps.push(Step::Add { key: RECIPIENT.to_owned(), value: public.recipient.clone() });
        recipients.push(public.recipient.clone());
    }
    let on_demand = options.on_demand || all.flag(ON_DEMAND) == Some(true);
    if on_demand && all.flag(ON_DEMAND) != Some(true) {
        steps.push(set(&own, ON_DEMAND, "true"));
    }
    let remote = match &options.store {
        Some(url) => Some(plain_git::store(repo, url, &mut steps)?),
        None => remotes::store(repo, options.remote.as_deref())?.map(str::to_owned),
    };
    if let Some(remote) = &remote {
        remotes::check_name(repo, remote)?;
        plain_git::agents(all, &mut steps);
        steps.extend(refspecs(all, &own, remote, on_demand));
        if all.get(STORE) != Some(remote) {
            steps.push(set(&own, STORE, remote));
        }
    }
    Ok(Plan { remote, on_demand, recipients, steps })
}

/// The refspec that brings sessions; one that was made for the remote under another name goes.
fn refspecs(all: &Config, own: &Config, remote: &str, on_demand: bool) -> Vec<Step> {
    let (key, ours) = (remotes::fetch_key(remote), names::refspec(remote));
    let unwanted = |value: &&String| remotes::tracked(value).is_some() && (on_demand || **value != ours);
    let mut steps: Vec<Step> = own.all(&key).iter().filter(unwanted).map(|value| remove(&key, value)).collect();
    if !on_demand && !all.all(&key).contains(&ours) {
        steps.push(Step::Add { key, value: ours });
    }
    steps
}

fn set(own: &Config, key: &str, value: &str) -> Step {
    let (key, value) = (key.to_owned(), value.to_owned());
    match own.get(&key) {
        Some(was) => Step::Replace { key, was: was.to_owned(), value },
        None => Step::Add { key, value },
    }
}

fn remove(key: &str, value: &str) -> Step {
    Step::Remove { key: key.to_owned(), value: value.to_owned() }
}

/// The way back from what is recorded to what was before, as far as it still stands.
fn back(record: &Record, own: &Config) -> Vec<Step> {
    let mut steps = Vec::new();
    for step in record.steps.iter().rev() {
        let stands = |key: &str, value: &String| own.all(key).contains(value);
        match step {
            Step::Add { key, value } if stands(key, value) => steps.push(remove(key, value)),
            // The remote was renamed since, and took its refspecs along.
            Step::Add { value, .. } if remotes::tracked(value).is_some() => {
                steps.extend(own.keys().filter(|key| key.ends_with(".fetch") && stands(key, value)).map(|key| remove(key, value)));
            }
            Step::Replace { key, was, value } if own.get(key) == Some(value) => {
                steps.push(Step::Replace { key: key.clone(), was: value.clone(), value: was.clone() });
            }
            Step::Remove { key, value } if !stands(key, value) => steps.push(Step::Add { key: key.clone(), value: value.clone() }),
            _ => {}
        }
    }
    steps
}

/// All of them, or none: what was done before one failed is undone.
fn carry_out(git: &Git, steps: &[Step]) -> Result<(), Error> {
    for (n, step) in steps.iter().enumerate() {
        if let Err(error) = one(git, step) {
            for done in steps[..n].iter().rev() {
                let _ = one(git, &done.reversed());
            }
            return Err(error);
        }
    }
    Ok(())
}

fn one(git: &Git, step: &Step) -> Result<(), Error> {
    match step {
        Step::Add { key, value } => git.run(&["config", "--local", "--add", spelled(key), value])?,
        Step::Remove { key, value } => git.run(&["config", "--local", "--fixed-value", "--unset-all", spelled(key), value])?,
        Step::Replace { key, value, .. } => git.run(&["config", "--local", "--replace-all", spelled(key), value])?,
    };
    Ok(())
}

/// As people write it.
fn spelled(key: &str) -> &str {
    if key == ON_DEMAND { "samesession.onDemand" } else { key }
}

impl Step {
    fn reversed(&self) -> Step {
        match self.clone() {
            Step::Add { key, value } => Step::Remove { key, value },
            Step::Remove { key, value } => Step::Add { key, value },
            Step::Replace { key, was, value } => Step::Replace { key, was: value, value: was },
        }
    }
}
