//! `session::`, `session::claude`, `session::current`: this machine's sessions as refs.
//!
//! `import` and not `fetch`, since what an unchanged id would be is known only when it was captured. What must stay true:
//! listing captures nothing, and what is captured is what Git asks for.

use std::collections::BTreeMap;

use samesession::device::Device;
use samesession::env::Env;
use samesession::flow::agents::{self, Given, Giving, List, Listed, Scope};
use samesession::flow::ledger::Ledger;
use samesession::flow::{self, Relation, keys};
use samesession::git::Repository;
use samesession::id::SessionId;
use samesession::path;
use samesession::seal::NoCallbacks;
use samesession::store::{ObjectId, Store, names};

use crate::Failure;
use crate::protocol::{Answer, Push, Pushed, Remote, Wanted};
use crate::say::{self, Stages};

pub struct Native<'a> {
    env: &'a Env,
    repo: Option<Repository>,
    scope: Scope,
    verbosity: i64,
    progress: bool,
    dry_run: bool,
    object_format: bool,
    /// Less was asked for than everything.
    narrowed: bool,
    /// What a ref is expected to be; nothing: not there.
    expected: BTreeMap<String, Option<ObjectId>>,
    listed: List,
    /// Names the private refs of this conversation.
    token: String,
    imported: BTreeMap<SessionId, ObjectId>,
}

impl<'a> Native<'a> {
    pub fn new(env: &'a Env, repo: Option<Repository>, scope: Scope) -> Native<'a> {
        Native {
            env,
            repo,
            scope,
            verbosity: 1,
            progress: false,
            dry_run: false,
            object_format: false,
            narrowed: false,
            expected: BTreeMap::new(),
            listed: List::default(),
            token: agents::token(),
            imported: BTreeMap::new(),
        }
    }

    /// Git has read the private refs.
    pub fn tidy(&self) {
        if let Some(repo) = self.repo.as_ref().filter(|_| !self.imported.is_empty())
            && let Err(error) = agents::tidy(repo, &self.token)
        {
            say::line(&format!("warning: {error}"));
        }
    }

    fn repo(&self) -> Result<&Repository, Failure> {
        self.repo.as_ref().ok_or_else(|| flow::Error::from(samesession::git::Error::NoRepository).into())
    }

    fn note(&self, text: &str) {
        if self.verbosity > 0 {
            say::line(text);
        }
    }

    fn of_name(&self, name: &str) -> Option<&Listed> {
        match names::parse(name) {
            Some(names::Named::Local(sid)) => self.listed.sessions.iter().find(|listed| listed.sid == sid),
            _ if name == "HEAD" && self.scope.session.is_some() => self.listed.sessions.first(),
            _ => None,
        }
    }

    fn given(&self, to: &str, given: &Given) {
        let (outcome, would) = (&given.outcome, if given.dry_run { "would be " } else { "" });
        let what = match outcome.relation {
            Relation::New => format!("{would}installed"),
            Relation::Same => "already here".to_owned(),
            Relation::Behind => format!("{would}brought forward"),
            Relation::Ahead | Relation::Diverged => format!("{would}replaced"),
        };
        self.note(&format!("{} session {} {what}", outcome.title, outcome.manifest.native_id));
        if given.dry_run {
            return;
        }
        if let Some(backup) = &outcome.backup {
            self.note(&format!("  what was replaced is kept in {}", backup.display()));
        }
        for note in &outcome.notes {
            self.note(&format!("  note: {note}"));
        }
        self.note(&format!("  to go on: cd {} && {}", path::typed(&outcome.resume.cwd), outcome.resume.argv.join(" ")));
        if outcome.workspace.is_some() && outcome.relation != Relation::Same {
            let sid = to.rsplit('/').next().unwrap_or(to);
            self.note(&format!("  its work tree stays in the capsule; to have it, too: git samesession restore {sid}"));
        }
    }
}

impl Remote for Native<'_> {
    type Error = Failure;

    fn capabilities(&self) -> Vec<String> {
        let refspec = format!("refspec {}", names::import_refspec(&self.token));
        ["import", "push", &refspec, "no-private-update", "object-format"].map(str::to_owned).to_vec()
    }

    fn option(&mut self, name: &str, value: &str) -> Answer {
        let flag = || match value {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        let set = |slot: &mut bool| match flag() {
            Some(on) => {
                *slot = on;
                Answer::Ok
            }
            None => Answer::Error(format!("'{value}' is neither true nor false")),
        };
        match name {
            "verbosity" => match value.parse() {
                Ok(level) => {
                    self.verbosity = level;
                    Answer::Ok
                }
                Err(_) => Answer::Error(format!("'{value}' is no number")),
            },
            "progress" => set(&mut self.progress),
            "dry-run" => set(&mut self.dry_run),
            "object-format" => match value {
                "" | "true" | "sha1" | "sha256" => {
                    self.object_format = true;
                    Answer::Ok
                }
                _ => Answer::Unsupported,
            },
            "cas" => match expectation(value) {
                Some((name, id)) => {
                    self.expected.insert(name, id);
                    Answer::Ok
                }
                None => Answer::Error("no such lease".to_owned()),
            },
            _ => {
                self.narrowed |= say::narrows(name);
                Answer::Unsupported
            }
        }
    }

    fn list(&mut self, for_push: bool) -> Result<Vec<String>, Failure> {
        let store = self.repo.clone().map(Store::open).transpose().map_err(flow::Error::from)?;
        self.listed = match agents::list(self.env, store.as_ref(), &self.scope) {
            // What is pushed there comes to be by that.
            Err(flow::Error::NoSuchSession(_) | flow::Error::NoCurrentSession(_)) if for_push => List::default(),
            listed => listed?,
        };
        for broken in &self.listed.broken {
            self.note(&format!("warning: '{}' cannot be read: {}", broken.path.display(), broken.why));
        }
        let mut lines = Vec::new();
        if let Some(repo) = self.repo.as_ref().filter(|_| self.object_format) {
            lines.push(format!(":object-format {}", repo.hash));
        }
        for listed in &self.listed.sessions {
            let id = listed.id.map_or_else(|| "?".to_owned(), |id| id.to_string());
            lines.push(format!("{id} {}", names::session(&listed.sid)));
        }
        if let (Some(_), [only]) = (&self.scope.session, &self.listed.sessions[..]) {
            lines.push(format!("@{} HEAD", names::session(&only.sid)));
        }
        Ok(lines)
    }

    fn fetch(&mut self, wanted: &[Wanted]) -> Result<(), Failure> {
        Err(Failure::Unlisted(wanted.first().map(|wanted| wanted.name.clone()).unwrap_or_default()))
    }

    fn import(&mut self, names: &[String]) -> Result<(), Failure> {
        let (mut natives, mut known) = (Vec::new(), Vec::new());
        for name in names {
            let listed = self.of_name(name).ok_or_else(|| Failure::Unlisted(name.clone()))?;
            match (&listed.native, listed.id) {
                // Git asks for what it has, where one of several is new.
                (_, Some(id)) => known.push((listed.sid.clone(), id)),
                (Some(native), None) => natives.push(native.clone()),
                (None, None) => return Err(Failure::Unlisted(name.clone())),
            }
        }
        natives.sort();
        natives.dedup();
        if std::mem::take(&mut self.narrowed) && self.verbosity > 0 {
            say::everything();
        }
        let repo = self.repo()?.clone();
        let (device, made) = Device::ensure(self.env).map_err(flow::Error::from)?;
        if made {
            self.note(&format!("made keys for this device, '{}' ({})", device.name, device.signing().fingerprint()));
        }
        let identities = keys::identities(self.env, Some(&device), &[], None, &NoCallbacks)?;
        let ledger = Ledger::of(self.env, repo, Some(&device), &identities)?;
        let progress = Stages { shown: self.progress && self.verbosity > 0 };
        let mut taken = agents::take(&ledger, &device, &self.scope, &natives, &progress)?;
        taken.extend(known);
        agents::publish(&ledger.store, &self.token, &taken, &mut self.imported)?;
        Ok(())
    }

    fn push(&mut self, pushes: &[Push]) -> Result<Vec<Pushed>, Failure> {
        let repo = self.repo()?.clone();
        let device = Device::load(self.env).map_err(flow::Error::from)?;
        let identities = keys::identities(self.env, device.as_ref(), &[], None, &NoCallbacks)?;
        let ledger = Ledger::of(self.env, repo, device.as_ref(), &identities)?;
        let progress = Stages { shown: self.progress && self.verbosity > 0 };
        let mut pushed = Vec::new();
        for push in pushes {
            let giving = Giving {
                force: push.force,
                from: push.from.as_deref(),
                to: &push.to,
                dry_run: self.dry_run,
                expected: self.expected.get(&push.to).copied(),
                listed: self.of_name(&push.to),
            };
            let verdict = match agents::give(&ledger, &self.scope, &giving, &progress) {
                Ok(given) => {
                    self.given(&push.to, &given);
                    Ok(())
                }
                Err(refusal) => {
                    if let Some(local) = refusal.in_the_way() {
                        self.note(&format!("'{}' went its own way; to replace it and keep it aside, push with '+'", local.display()));
                        Err("fetch first".to_owned())
                    } else {
                        Err(flow::with_causes(&refusal))
                    }
                }
            };
            pushed.push(Pushed { to: push.to.clone(), verdict });
        }
        Ok(pushed)
    }
}

/// `<ref>:<id>`; an id of zeros says that there is none.
fn expectation(value: &str) -> Option<(String, Option<ObjectId>)> {
    let (name, id) = value.rsplit_once(':')?;
    let id = ObjectId::from_hex(id.as_bytes()).ok()?;
    Some((name.to_owned(), (!id.is_null()).then_some(id)))
}
