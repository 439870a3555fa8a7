//! What `doctor` finds in the repository around: settings and refs that would lose sessions, hide them, or burden others.
//!
//! Looks, and follows what was fetched as every command does; mends nothing. What must stay true: each trouble names its way
//! out, and nothing is called a trouble that only a person's taste could object to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::{Finding, Verdict};
use crate::device::Device;
use crate::env::Env;
use crate::flow::Error;
use crate::flow::ledger::{self, Ledger};
use crate::flow::settings::{ON_DEMAND, STORE};
use crate::flow::{on_demand, remotes};
use crate::git::{self, Repository};
use crate::id::SessionId;
use crate::path::typed;
use crate::seal::Identities;
use crate::store::names::{self, Named};
use crate::store::refs;

/// From here on every session is felt: each is a line in everybody's `git push`, and a commit in `git log --all`.
const MANY: usize = 300;
const LARGE: u64 = 300_000_000;
/// How many of a kind are named one by one.
const SHOWN: usize = 10;
/// No checkpoint takes longer.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

pub fn examine(env: &Env, device: Option<&Device>) -> Vec<Finding> {
    let repo = match Repository::open(env, env.cwd()) {
        Ok(repo) => repo,
        Err(git::Error::NoRepository) => return Vec::new(),
        Err(git::Error::Untrusted(dir)) => {
            let way_out = format!("git config --global --add safe.directory {}", typed(&dir));
            return vec![finding(Verdict::Trouble, format!("{}; if you trust it: {way_out}", git::Error::Untrusted(dir)))];
        }
        Err(error) => return vec![finding(Verdict::Trouble, error.to_string())],
    };
    let mut found = settings(&repo);
    found.extend(remains(env, &repo));
    let mut identities = Identities::default();
    if let Some(device) = device {
        identities.add_device(device.identity());
    }
    match Ledger::of(env, repo, device, &identities).and_then(|ledger| sessions(&ledger)) {
        Ok(more) => found.extend(more),
        Err(error) => found.push(finding(Verdict::Trouble, format!("its sessions cannot be looked at: {error}"))),
    }
    found
}

fn finding(verdict: Verdict, text: String) -> Finding {
    Finding { about: "repository", verdict, text }
}

fn settings(repo: &Repository) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut trouble = |text: String| found.push(finding(Verdict::Trouble, text));
    let remotes = repo.remotes();
    if let Some(store) = repo.config.get(STORE).filter(|store| !remotes.contains(store)) {
        let way_out = if remotes.is_empty() { "git samesession init --uninstall" } else { "git samesession init --remote NAME" };
        trouble(format!("sessions go to '{store}', which is no remote here: it was renamed or removed; to name another: {way_out}"));
    }
    for remote in &remotes {
        for spec in repo.config.all(&remotes::fetch_key(remote)) {
            if let Some(other) = remotes::tracked(spec).filter(|other| other != remote) {
                trouble(format!(
                    "fetches from '{remote}' are remembered as '{other}', as it was called before; to mend it: git samesession init --remote {}",
                    typed(remote)
                ));
            }
        }
    }
    for trap in remotes::traps(&repo.config) {
        trouble(format!("{}; to stop that: {}", trap.what, trap.way_out));
    }
    found
}

/// Packs that a crash has left unfinished. Git makes such files, too, and never of this mode.
fn remains(env: &Env, repo: &Repository) -> Vec<Finding> {
    let Ok(entries) = fs::read_dir(repo.objects.join("pack")) else { return Vec::new() };
    let ours = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let temporary = ["tmp_pack_", "tmp_idx_"].iter().any(|start| name.as_encoded_bytes().starts_with(start.as_bytes()));
        let meta = entry.metadata().ok().filter(|meta| temporary && meta.permissions().mode() & 0o777 == 0o600)?;
        let age = env.now().duration_since(meta.modified().ok()?).ok()?;
        (age > STALE).then_some(meta.len())
    };
    let left: Vec<_> = entries.flatten().filter_map(|entry| Some((entry.path(), ours(&entry)?))).collect();
    let show = |(path, size): &(std::path::PathBuf, u64)| {
        let text =
            format!("an interrupted checkpoint left {} MB in '{}'; to remove it: rm {}", size / 1_000_000, path.display(), typed(path));
        finding(Verdict::Note, text)
    };
    left.iter().take(SHOWN).map(show).collect()
}

/// What the refs say, once they were brought up to date.
fn sessions(ledger: &Ledger<'_>) -> Result<Vec<Finding>, Error> {
    let mut followed = Vec::new();
    ledger.sync_all(&mut followed)?;
    let mut survey = Survey::default();
    for (name, id) in refs::list(&ledger.store, &["refs/samesession", "refs/samesession-remote"])? {
        survey.look(ledger, &name, id);
    }
    let repo = &ledger.store.repo;
    let mut found = vec![survey.summary(repo)];
    found.extend(survey.left_behind(&repo.remotes()));
    found.extend(survey.wrong.iter().take(SHOWN).map(|text| finding(Verdict::Trouble, text.clone())));
    for (signer, (refs, sid)) in &survey.unknown {
        let way_out = format!("git samesession restore {} --trust {signer}", sid.short());
        let text =
            format!("{refs} refs are signed by a key that this device does not know, {signer}; if it is somebody you trust: {way_out}");
        found.push(finding(Verdict::Note, text));
    }
    found.extend(followed.iter().filter_map(|said| of_following(said, &survey)));
    found.extend(vanished(ledger)?);
    found.extend(survey.burden(ledger));
    Ok(found)
}

#[derive(Default)]
struct Survey {
    /// The sessions of each place: here, and what is remembered of each remote.
    places: BTreeMap<String, BTreeSet<SessionId>>,
    /// Sealed bytes of each chain.
    bytes: BTreeMap<SessionId, u64>,
    wrong: Vec<String>,
    /// How many refs a signer has who is not known here, and one session of his.
    unknown: BTreeMap<String, (usize, SessionId)>,
}

impl Survey {
    fn look(&mut self, ledger: &Ledger<'_>, name: &str, id: gix::hash::ObjectId) {
        let (place, sid) = match names::parse(name) {
            Some(Named::Local(sid)) => (String::new(), sid),
            Some(Named::Tracking { remote, sid }) => (remote, sid),
            // Of other kinds of refs there may be more than this version knows.
            _ if !name.contains("/sessions/") => return,
            _ => return self.wrong.push(format!("'{name}' is no session's name; {}", remove(name))),
        };
        self.places.entry(place.clone()).or_default().insert(sid.clone());
        let checkpoint = match ledger.checkpoint(&sid, &id) {
            Ok(checkpoint) => checkpoint,
            Err(Error::UnknownMaker { checkpoint }) => {
                self.unknown.entry(checkpoint.signer.fingerprint.clone()).or_insert((0, sid.clone())).0 += 1;
                *checkpoint
            }
            Err(error) => {
                let way_out = match place.as_str() {
                    "" => remove(name),
                    remote => {
                        format!(
                            "it is passed by; whoever looks after '{remote}' can remove it: git push {} --delete {}",
                            typed(remote),
                            names::session(&sid)
                        )
                    }
                };
                return self.wrong.push(format!("'{name}' leads to no checkpoint: {error}; {way_out}"));
            }
        };
        let bytes = self.bytes.entry(sid).or_default();
        *bytes = (*bytes).max(checkpoint.header.total);
    }

    fn summary(&self, repo: &Repository) -> Finding {
        let all: BTreeSet<&SessionId> = self.places.values().flatten().collect();
        finding(Verdict::Fine, format!("{} in '{}'", counted(all.len()), repo.common.display()))
    }

    /// More than others, too, should have to carry.
    fn burden(mut self, ledger: &Ledger<'_>) -> Option<Finding> {
        if let Some((store, more)) = on_demand::more(ledger) {
            for (sid, total) in more {
                let bytes = self.bytes.entry(sid.clone()).or_default();
                *bytes = (*bytes).max(total);
                self.places.entry(store.clone()).or_default().insert(sid);
            }
        }
        let sessions = self.places.values().map(BTreeSet::len).max().unwrap_or(0);
        // Anybody may write any number into a header.
        let bytes = self.bytes.values().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
        if sessions <= MANY && bytes <= LARGE {
            return None;
        }
        let mut ways_out = vec!["to shorten their chains: git samesession gc --keep-last 10"];
        if ledger.store.repo.config.flag(ON_DEMAND) != Some(true) {
            ways_out.push("to fetch only those that are asked for: git samesession init --on-demand");
        }
        ways_out.push("to keep them in a repository of their own, once it is a remote here: git samesession init --remote NAME");
        let (bytes, ways_out) = (bytes / 1_000_000, ways_out.join("; "));
        let text = format!("{sessions} sessions of {bytes} MB are much for everybody who fetches or pushes here; {ways_out}");
        Some(finding(Verdict::Note, text))
    }

    /// Refs that remember a remote which is no more.
    fn left_behind(&self, remotes: &[&str]) -> Vec<Finding> {
        let gone = self.places.iter().filter(|(place, _)| !place.is_empty() && !remotes.contains(&place.as_str()));
        let text = |(place, sids): (&String, &BTreeSet<SessionId>)| {
            let refs = typed(format!("{}{place}", names::TRACKING));
            let way_out = format!("git for-each-ref --format='delete %(refname)' {refs} | git update-ref --stdin");
            let are = if sids.len() == 1 { "is" } else { "are" };
            let sessions = counted(sids.len());
            format!(
                "{sessions} {are} remembered of '{place}', which is no remote here: it was renamed or removed; to forget that: {way_out}"
            )
        };
        gone.map(|gone| finding(Verdict::Trouble, text(gone))).collect()
    }
}

fn counted(sessions: usize) -> String {
    if sessions == 1 { "1 session".to_owned() } else { format!("{sessions} sessions") }
}

fn remove(name: &str) -> String {
    format!("to remove it: git update-ref -d {}", typed(name))
}

/// What it means that a chain could not simply be followed.
fn of_following(said: &ledger::Finding, survey: &Survey) -> Option<Finding> {
    match said {
        // The survey has named most of them.
        ledger::Finding::Unknown { .. } | ledger::Finding::Unasked { .. } | ledger::Finding::SealedAnew { .. } => None,
        ledger::Finding::Ignored { name, .. } if survey.wrong.iter().any(|text| text.contains(name.as_str())) => None,
        ledger::Finding::Ignored { name, why } => Some(finding(Verdict::Trouble, format!("'{name}' cannot be followed: {why}"))),
        ledger::Finding::Rewound { remote, sid, seen, now } => {
            let (short, was, is) = (sid.short(), seen.to_hex_with_len(10), now.to_hex_with_len(10));
            let text = format!(
                "'{remote}' was rewound: it had {was} of session {short} and shows {is}, which does not descend from it; nothing is lost here; to bring it back there: git push {} {seen}:{}",
                typed(remote),
                names::session(sid)
            );
            Some(finding(Verdict::Trouble, text))
        }
        ledger::Finding::BroughtBack { sid, tip } => {
            let text = format!("session {} had lost checkpoints here and has them back, up to {}", sid.short(), tip.to_hex_with_len(10));
            Some(finding(Verdict::Note, text))
        }
    }
}

/// Sessions that a remote had, and shows no more. Only where fetches would bring them.
fn vanished(ledger: &Ledger<'_>) -> Result<Vec<Finding>, Error> {
    let repo = &ledger.store.repo;
    let brings = |remote: &str| repo.config.all(&remotes::fetch_key(remote)).contains(&names::refspec(remote));
    let mut found = Vec::new();
    for (sid, known) in refs::all(&ledger.store)? {
        for (remote, seen) in known.seen.iter().filter(|(remote, _)| brings(remote) && !known.tracking.contains_key(*remote)) {
            let text = format!(
                "'{remote}' no longer has session {}; what it had is kept here; to bring it back there: git push {} {seen}:{}",
                sid.short(),
                typed(remote),
                names::session(&sid)
            );
            found.push(finding(Verdict::Note, text));
        }
    }
    found.truncate(SHOWN);
    Ok(found)
}
