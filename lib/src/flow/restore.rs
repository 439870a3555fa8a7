//! `restore`: a capsule's session installed where the real agent looks for it.
//!
//! A transaction: everything is opened, verified and staged beside the destination, the plan is made and may still be
//! refused, then a journal is written and the files are renamed into place. Before the journal says so nothing is
//! visible; a crash after it is finished or undone by whoever comes next.

use std::path::{Path, PathBuf};

use super::arriving::{Arriving, Staged};
use super::compare::{self, Relation};
use super::journal::{Dir, Filed, Journal, New, Seen, State, Step as JournalStep};
use super::plan::{self, Given, Plan, Step};
use super::recover::{self, Recovered};
use super::roster::Joined;
use super::signed::{self, Belief, Consent, SignedBy};
use super::stage;
use super::workspace::{Arrived, Asked, Choice, Mode, Move, Place as Spot};
use super::{Error, fork, placed};
use crate::agent::{Agent, Copy, Home, Incoming, Place, Reached, ResumeCommand, StagedFile};
use crate::capsule::{self, Manifest, SESSION_DIR, TORN_DIR};
use crate::device::Device;
use crate::durable::{self, At};
use crate::env::Env;
use crate::git::Repo;
use crate::id::NativeId;
use crate::path::RelPath;
use crate::policy::Limits;
use crate::progress::Progress;
use crate::signers::KnownSigners;
use crate::workspace::restore::Destination;
use crate::{fault, path, time};

#[derive(Debug, Clone, Default)]
pub struct Options {
    pub into: Option<PathBuf>,
    pub dry_run: bool,
    pub allow_unsigned: bool,
    /// Fingerprints that are believed without asking.
    pub trust: Vec<String>,
    /// Take the capsule's session even if the one here went its own way; that one is kept as a backup.
    pub set_aside: bool,
    /// The agent is to go on with it here at once: what is known to keep it from that is an error.
    pub to_go_on: bool,
    pub workspace: Choice,
    pub limits: Limits,
}

pub struct Outcome {
    pub manifest: Manifest,
    pub title: &'static str,
    pub signed_by: SignedBy,
    pub relation: Relation,
    pub cwd: PathBuf,
    pub steps: Vec<Step>,
    pub torn: u64,
    pub reached: Option<Reached>,
    pub notes: Vec<String>,
    pub resume: ResumeCommand,
    /// The agent's program is on this machine.
    pub installed: Option<PathBuf>,
    /// Where what was replaced is kept.
    pub backup: Option<PathBuf>,
    pub recovered: Vec<Recovered>,
    /// What came with it, and where that is.
    pub workspace: Option<Workspace>,
    /// By which it can be taken back.
    pub undo: Option<String>,
}

/// The work tree that belongs to a session.
pub struct Workspace {
    pub numbers: capsule::Workspace,
    /// The top of the work tree; none where it stays in the capsule.
    pub at: Option<PathBuf>,
    /// It was there already, as it is in the capsule.
    pub was_there: bool,
    /// The branch that HEAD is on.
    pub branch: Option<String>,
    /// Commits that have to be fetched first.
    pub missing: Vec<String>,
    /// Files that make programs run, and are left out because nobody agreed to them.
    pub withheld: Vec<String>,
}

/// Asked when everything is verified, staged and planned, and nothing is changed yet; its refusal leaves it so.
pub type Gate<'a> = dyn FnMut() -> Result<(), Error> + 'a;

pub fn restore(
    env: &Env,
    device: Option<&Device>,
    options: &Options,
    capsule: Arriving<'_>,
    consent: &mut dyn Consent,
    gate: &mut Gate<'_>,
    progress: &dyn Progress,
) -> Result<Outcome, Error> {
    let (in_a_chain, nobodys) = (matches!(capsule, Arriving::Checkpoint { .. }), capsule.is_nobodys());
    let required = capsule.required(env)?;
    let roster = capsule.roster().cloned().or_else(|| Joined::around(env).map(|joined| joined.roster));
    let mut staged = capsule.stage(env, options.dry_run, &options.limits, progress)?;
    fault::point("restore.staged").at("write", &staged.stage.dir)?;
    let belief = Belief {
        trust: &options.trust,
        allow_unsigned: options.allow_unsigned,
        roster: roster.as_ref(),
        required,
        nobodys,
        in_a_chain,
        dry_run: options.dry_run,
    };
    let (signed_by, new_signer) = signed::by(env, device, &belief, &staged.opened, consent)?;
    let (agent, home) = (staged.agent, staged.home.clone());
    let native = staged.opened.manifest.native_id()?;
    staged.refuse_strangers(&native)?;

    let lock = if options.dry_run { None } else { stage::lock(&home.root)? };
    let recovered = if options.dry_run { Vec::new() } else { recover::recover(env, agent, &home)? };
    let sid = staged.opened.manifest.sid()?;
    let asked = Asked { env, choice: &options.workspace, into: options.into.as_deref(), agent, home: &home, native: &native, sid: &sid };
    let mut arrived = staged.workspace.take();
    let place = match &arrived {
        Some(arrived) if options.workspace.mode != Mode::SessionOnly => Some(arrived.choose(&asked, progress)?),
        _ => None,
    };
    let numbers = arrived.as_ref().map(Arrived::numbers);
    let trusted = matches!(signed_by, SignedBy::ThisDevice { .. });
    let backup = staged.stage.backup_of_workspace();
    let mut moving = match (&mut arrived, &place) {
        (Some(arrived), Some(place)) => Move::plan(arrived, place, &asked, trusted, backup)?,
        _ => None,
    };
    let (cwd, elsewhere) = match &place {
        Some(place) => below(place, &staged.opened.manifest)?,
        None => destination(env, options, agent, &home, &staged.opened.manifest)?,
    };
    let incoming = Incoming { native: &native, cwd: &cwd, files: &staged.files };
    agent.check(&incoming)?;
    if let Some(why) = agent.obstacle(&home, &incoming).filter(|_| options.to_go_on) {
        return Err(Error::CannotGoOn { title: agent.title(), why });
    }
    let installed = env.program(agent.program());
    let caution = installed.as_deref().and_then(|program| agent.caution(&incoming, program));
    // A note is enough for somebody who only looks; whoever starts it would spoil the session.
    if let Some(why) = caution.as_ref().filter(|_| options.to_go_on) {
        return Err(Error::CannotGoOn { title: agent.title(), why: why.clone() });
    }
    // Not before: a capsule that is refused for what it is leaves everything as it was. What may stop it from here on lies
    // in this home, and nobody should have to answer twice because of that.
    if let Some(signer) = new_signer.filter(|_| !options.dry_run) {
        KnownSigners::load(env)?.add(&signer, &staged.opened.manifest.origin.device)?;
    }
    let places = agent.place(&home, &incoming)?;
    let copies = agent.copies(&home, &incoming, &places)?;
    plan::unpack_where_needed(&mut staged.stage, &mut staged.files, &places, &options.limits)?;
    let seen = look(&places, &copies);
    let given = Given { files: &staged.files, places: &places, copies: &copies, set_aside: options.set_aside };
    let Plan { relation, steps } = plan::plan(&given).map_err(|error| match error {
        Error::Diverged { local, .. } => Error::Diverged { local, keep_both: Some(fork::command(&native)) },
        error => error,
    })?;
    if options.set_aside {
        spare_what_others_need(agent, &home, (&native, &staged.files), &steps)?;
    }
    refuse_live(agent, &home, &native, &steps)?;
    let mut outcome = Outcome {
        title: agent.title(),
        signed_by,
        relation,
        torn: staged.opened.manifest.files.iter().filter(|file| file.path.strip_prefix(TORN_DIR).is_some()).map(|file| file.size).sum(),
        reached: None,
        notes: caution.into_iter().chain(elsewhere).chain(place.as_ref().and_then(Spot::note)).collect(),
        resume: agent.resume(&native, &cwd),
        installed,
        backup: None,
        recovered,
        workspace: numbers.map(|numbers| told(numbers, place.as_ref(), moving.as_ref())),
        undo: None,
        manifest: staged.opened.manifest.clone(),
        steps,
        cwd: cwd.clone(),
    };
    if let Some(moving) = &moving {
        outcome.notes.extend(moving.plan.notes.iter().map(ToString::to_string));
        outcome
            .notes
            .extend(moving.runs.iter().map(|what| format!("an operation in progress would run something, which was left out: {what}")));
    }
    if options.dry_run {
        return Ok(outcome);
    }
    gate()?;
    // What is ahead stays where it is, and with it what is around it.
    if outcome.relation == Relation::Ahead && outcome.steps.is_empty() {
        moving = None;
        if let Some(workspace) = outcome.workspace.as_mut().filter(|workspace| !workspace.was_there) {
            (workspace.at, workspace.branch) = (None, None);
        }
    }
    if !outcome.steps.is_empty() || moving.is_some() {
        fault::point("restore.planned").at("write", &staged.stage.dir)?;
        let mut journal = write_down(env, agent, &staged, &places, &outcome)?;
        journal.workspace = moving.as_ref().map(|moving| moving.moved.clone());
        let mut applied = None;
        journal.commit(env, &mut staged.stage, &seen, || {
            if let Some(moving) = &moving {
                applied = Some(moving.apply()?);
                make_below(&moving.plan.at, &cwd)?;
            }
            Ok(())
        })?;
        outcome.undo = staged.stage.dir.file_name().map(|name| name.to_string_lossy().into_owned());
        if let (Some(applied), Some(workspace)) = (applied, &mut outcome.workspace) {
            workspace.withheld = applied.withheld.iter().map(ToString::to_string).collect();
            let known: Vec<String> = outcome.notes.clone();
            outcome.notes.extend(applied.notes.iter().map(ToString::to_string).filter(|note| !known.contains(note)));
        }
        if journal.steps.iter().any(|step| step.backup.is_some()) {
            outcome.backup = Some(staged.stage.dir.clone());
        }
        // The files stand: a complaint about the index is a note, and the next run tells the index again.
        let settled = match outcome.steps.is_empty() {
            true => recover::finish(&mut journal, &staged.stage.dir),
            false => recover::settle(agent, &home, &mut journal, &staged.stage.dir),
        };
        if let Err(error) = settled {
            outcome.notes.push(error.to_string());
        }
    }
    // What stood here before may have been unknown to the index, or the index itself not there yet.
    if outcome.relation == Relation::Same && outcome.steps.is_empty() && agent.live(&home, &native).is_none() {
        let incoming = Incoming { native: &native, cwd: &cwd, files: &staged.files };
        outcome.notes.extend(agent.settle(&home, &incoming, &places).err().map(|error| error.to_string()));
    }
    drop(lock);
    if outcome.relation == Relation::Ahead && outcome.steps.is_empty() {
        // The one that is ahead may be at home in another directory than the one asked for.
        outcome.cwd = placed::directory(agent, &home, &native).ok().flatten().unwrap_or(cwd);
        outcome.resume = agent.resume(&native, &outcome.cwd);
    }
    match agent.verify(&home, &native, &outcome.cwd) {
        Ok(verified) => {
            // Seen where somebody restores again: it has grown since it was put there, and only its agent writes to it.
            let gone_on = verified.reached == Reached::Discoverable && placed::has_gone_on(agent, &home, &native);
            outcome.reached = Some(if gone_on { Reached::Resumed } else { verified.reached });
            outcome.notes.extend(verified.notes);
        }
        // What is installed is installed: an error would say that nothing was changed.
        Err(error) if !outcome.steps.is_empty() => {
            outcome.reached = Some(Reached::Installed);
            outcome.notes.push(error.to_string());
        }
        Err(error) => return Err(error.into()),
    }
    Ok(outcome)
}

/// The directory in which the agent will work, in a work tree that may not be there yet.
fn below(place: &Spot, manifest: &Manifest) -> Result<(PathBuf, Option<String>), Error> {
    let below = manifest.repository.as_ref().and_then(|repository| path::from_text(&repository.below)).unwrap_or_default();
    let inside = RelPath::from_path(&below).map_or_else(|_| place.top().to_owned(), |below| below.under(place.top()));
    match (place, inside.canonicalize()) {
        // A link that leads out of it is not followed.
        (Spot::There(top) | Spot::Put { top, how: Destination::Here { .. }, .. }, Ok(real)) => {
            Ok((if real.is_dir() && real.starts_with(top) { real } else { top.clone() }, None))
        }
        (Spot::There(top), Err(_)) => Ok((top.clone(), None)),
        _ => Ok((inside, None)),
    }
}

/// The directories on the way to it, as far as no link stands there: what a capsule brought could lead anywhere.
fn make_below(top: &Path, dir: &Path) -> Result<(), Error> {
    let mut at = top.to_owned();
    for name in dir.strip_prefix(top).unwrap_or(Path::new("")) {
        at.push(name);
        match at.symlink_metadata() {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => break,
            Err(_) => drop(durable::create_dirs(&at)?),
        }
    }
    Ok(())
}

fn told(numbers: capsule::Workspace, place: Option<&Spot>, moving: Option<&Move<'_>>) -> Workspace {
    let plan = moving.map(|moving| &moving.plan);
    Workspace {
        at: place.map(|place| place.top().to_owned()),
        was_there: matches!(place, Some(Spot::There(_))),
        branch: match plan {
            Some(plan) => plan.branch.name().map(|name| name.to_string()),
            None => None,
        },
        missing: plan.map(|plan| plan.missing.iter().map(|one| one.commit.0.to_string()).collect()).unwrap_or_default(),
        withheld: Vec::new(),
        numbers,
    }
}

/// A session that is open here is left alone, and so is an ancestor or a helper that the capsule would change.
fn refuse_live(agent: &dyn Agent, home: &Home, native: &NativeId, steps: &[Step]) -> Result<(), Error> {
    let touched = |id: &NativeId| id == native || steps.iter().any(|step| step.target().to_string_lossy().contains(id.as_str()));
    let running = if steps.is_empty() { Vec::new() } else { agent.running(home) };
    match running.into_iter().find(|(id, _)| touched(id)) {
        Some((_, live)) => Err(Error::Live { title: agent.title(), pid: live.pid }),
        None => Ok(()),
    }
}

/// Where the agent will work: as told, else where this device has the session already, else here. With a note if that is
/// not the directory below the work tree in which it worked.
fn destination(
    env: &Env,
    options: &Options,
    agent: &dyn Agent,
    home: &Home,
    manifest: &Manifest,
) -> Result<(PathBuf, Option<String>), Error> {
    let below = manifest.repository.as_ref().and_then(|repository| path::from_text(&repository.below)).unwrap_or_default();
    let root = match &options.into {
        Some(dir) => dir.clone(),
        None => {
            if let Some(cwd) = placed::directory(agent, home, &manifest.native_id()?)? {
                return Ok((cwd.canonicalize().at("open", &cwd)?, None));
            }
            Repo::around(env.cwd()).map_or_else(|| env.cwd().to_owned(), |repo| repo.root)
        }
    };
    if !root.is_dir() {
        return Err(Error::NoDestination(root));
    }
    let root = root.canonicalize().at("open", &root)?;
    // The capsule says where below its work tree the agent stood; only a directory that is there already is believed.
    let inside = RelPath::from_path(&below).ok().map(|below| below.under(&root)).and_then(|dir| dir.canonicalize().ok());
    match inside.filter(|dir| dir.is_dir() && dir.starts_with(&root)) {
        Some(dir) => Ok((dir, None)),
        None if below.as_os_str().is_empty() => Ok((root, None)),
        None => {
            let note = format!("it was used in '{}' below its work tree, which is not here, so it goes to the top", below.display());
            Ok((root, Some(note)))
        }
    }
}

/// Notes what stands at every place before it is compared: until the commit nobody else may change it.
fn look(places: &[Place], copies: &[Copy]) -> Seen {
    let mut seen = Seen::default();
    for place in places {
        if let Place::File(path) = place {
            seen.look(path);
        }
    }
    for Copy::Transcript(path) | Copy::Directory(path) in copies {
        seen.look(path);
    }
    seen
}

/// A fork may lean on a transcript that would be replaced by another story; its beginning would change without a word.
fn spare_what_others_need(
    agent: &dyn Agent,
    home: &Home,
    (native, files): (&NativeId, &[StagedFile]),
    steps: &[Step],
) -> Result<(), Error> {
    for step in steps {
        let Step::Replace { file, target } = step else { continue };
        let file = &files[*file];
        if !file.role.is_append_only() {
            continue;
        }
        let kept = compare::common(target, &file.staged).at("compare", target)?;
        let mut leaning = agent.leaning(home, file, kept)?;
        // One that comes along is compared for itself.
        leaning.retain(|id| !files.iter().any(|file| file.role.is_append_only() && file.name.to_string().contains(id.as_str())));
        if let Some(by) = leaning.into_iter().next() {
            return Err(Error::LeanedOn { local: target.clone(), by, keep_both: agent.keep_both(native) });
        }
    }
    Ok(())
}

fn write_down(env: &Env, agent: &dyn Agent, staged: &Staged, places: &[Place], outcome: &Outcome) -> Result<Journal, Error> {
    let mut journal = Journal::new(agent.name(), &outcome.manifest.native_id()?, &outcome.cwd, time::format(env.now()));
    let made = staged.stage.made().iter().cloned().chain(plan::missing_dirs(&outcome.steps));
    journal.made = made.map(Dir).collect();
    // What is only brought forward is in the capsule, too; another story, or a directory put aside with it, is not.
    let aside = |step: &Step| matches!(step, Step::SetAside { target } if target.is_dir());
    journal.only_copy = matches!(outcome.relation, Relation::Diverged | Relation::Ahead) || outcome.steps.iter().any(aside);
    for (file, place) in staged.files.iter().zip(places) {
        let place = match place {
            Place::File(target) => Some(Dir(target.clone())),
            Place::Settled => None,
        };
        journal.files.push(Filed { name: file.name.clone(), role: file.role, staged: file.staged.clone(), place });
    }
    let mut placed: Vec<&Path> = Vec::new();
    for (n, step) in outcome.steps.iter().enumerate() {
        let (file, backup) = match step {
            Step::Create { file, .. } => (Some(*file), None),
            Step::Replace { file, .. } => (Some(*file), Some(Dir(staged.stage.backup(n)))),
            Step::SetAside { .. } => (None, Some(Dir(staged.stage.backup(n)))),
        };
        let new = file.map(|file| new_file(&staged.files[file], &outcome.manifest)).transpose()?;
        placed.extend(file.map(|file| staged.files[file].staged.as_path()));
        journal.steps.push(JournalStep { target: step.target().to_owned(), backup, new });
    }
    staged.stage.sync(&placed)?;
    journal.state = State::Prepared;
    Ok(journal)
}

fn new_file(file: &StagedFile, manifest: &Manifest) -> Result<New, Error> {
    let size = std::fs::metadata(&file.staged).at("read", &file.staged)?.len();
    let listed = manifest.files.iter().find(|entry| entry.path.strip_prefix(SESSION_DIR).as_ref() == Some(&file.name));
    let (sha256, mode) = match listed {
        Some(entry) => (entry.sha256.clone(), entry.mode),
        // Unpacked here: the manifest knows the packed one.
        None => (super::journal::hash(&file.staged, size).unwrap_or_default(), 0o600),
    };
    // Whoever made the capsule does not decide who else may read or write here, nor what may run as whom.
    Ok(New { staged: file.staged.clone(), size, sha256, mode: (mode & 0o700) | 0o600 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_directory_is_made_behind_a_link() {
        let dir = tempfile::tempdir().expect("a directory");
        let (top, outside) = (dir.path().join("top"), dir.path().join("outside"));
        std::fs::create_dir_all(top.join("there")).and_then(|()| std::fs::create_dir(&outside)).expect("made");
        std::os::unix::fs::symlink(&outside, top.join("link")).expect("linked");
        make_below(&top, &top.join("there/new/newer")).expect("made");
        assert!(top.join("there/new/newer").is_dir());
        make_below(&top, &top.join("link/new")).expect("left alone");
        assert!(!outside.join("new").exists());
    }
}
