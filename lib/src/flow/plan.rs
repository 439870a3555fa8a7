//! What a restore would do to this home, decided before anything is done.
//!
//! The transcript decides the direction for the session as a whole: coming back is the normal case, so an incoming
//! session that continues the one here fast-forwards it, one that is older leaves everything alone, and anything else
//! touches nothing. A file that is here and not in the capsule is never removed.

use std::path::{Path, PathBuf};

use super::Error;
use super::compare::{self, Relation};
use super::stage::Stage;
use crate::agent::{Copy, Place, Role, StagedFile, jsonl};
use crate::durable::At;
use crate::policy::Limits;

pub struct Plan {
    pub relation: Relation,
    pub steps: Vec<Step>,
}

/// One change; `n` in `staged` and `backup` are files of the stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Create { file: usize, target: PathBuf },
    Replace { file: usize, target: PathBuf },
    SetAside { target: PathBuf },
}

impl Step {
    pub fn target(&self) -> &Path {
        match self {
            Step::Create { target, .. } | Step::Replace { target, .. } | Step::SetAside { target } => target,
        }
    }
}

pub struct Given<'a> {
    pub files: &'a [StagedFile],
    pub places: &'a [Place],
    pub copies: &'a [Copy],
    /// Take the capsule's session even where the one here went its own way.
    pub set_aside: bool,
}

pub fn plan(given: &Given<'_>) -> Result<Plan, Error> {
    let compared = given.files.iter().zip(given.places).map(|(file, place)| match place {
        Place::File(target) => compare(file, target).map(Some),
        Place::Settled => Ok(None),
    });
    let compared = compared.collect::<Result<Vec<_>, Error>>()?;
    let mut relation = Relation::Same;
    let mut diverged = None;
    for (file, found) in given.files.iter().zip(&compared) {
        let Some((found, target)) = found else { continue };
        if file.role == Role::Transcript {
            relation = *found;
        }
        if file.role.is_append_only() && *found == Relation::Diverged {
            diverged.get_or_insert_with(|| target.clone());
        }
    }
    let (mut copies, mut asides, mut kept_nowhere) = (false, Vec::new(), None);
    if let Some(transcript) = given.files.iter().find(|file| file.role == Role::Transcript) {
        for copy in given.copies {
            let aside = Step::SetAside { target: copy_path(copy).to_owned() };
            let path = match copy {
                Copy::Transcript(path) => path,
                Copy::Directory(dir) => {
                    asides.push(aside);
                    if kept_nowhere.is_none() {
                        kept_nowhere = not_held(given, dir, Path::new(dir.file_name().unwrap_or_default()))?;
                    }
                    continue;
                }
            };
            if let Some(relation) = as_lineage(given.files, path)? {
                // Another place of an ancestor or a helper, which is a session of its own: not to be taken from it unless
                // all of it comes along.
                asides.extend((relation != Relation::Ahead).then_some(aside));
                continue;
            }
            asides.push(aside);
            copies = true;
            match growing(transcript, path)? {
                Relation::Ahead if relation != Relation::Ahead => relation = Relation::Ahead,
                Relation::Diverged => drop(diverged.get_or_insert_with(|| path.clone())),
                _ => {}
            }
        }
    }
    // Where the one here is ahead, what belongs to it stays with it.
    if let Some(local) = diverged.or(kept_nowhere.filter(|_| relation != Relation::Ahead)) {
        if !given.set_aside {
            return Err(Error::Diverged { local, keep_both: None });
        }
        return Ok(Plan { relation: Relation::Diverged, steps: everything(given.files, &compared, asides) });
    }
    Ok(match relation {
        Relation::Ahead if given.set_aside => Plan { relation, steps: everything(given.files, &compared, asides) },
        Relation::Ahead => Plan { relation, steps: Vec::new() },
        Relation::Same | Relation::Behind | Relation::New | Relation::Diverged => {
            let relation = if copies && matches!(relation, Relation::New | Relation::Same) { Relation::Behind } else { relation };
            let mut steps = forward(given.files, &compared, relation);
            steps.extend(asides);
            Plan { relation, steps }
        }
    })
}

type Compared = Vec<Option<(Relation, PathBuf)>>;

fn forward(files: &[StagedFile], compared: &Compared, session: Relation) -> Vec<Step> {
    let mut steps = Vec::new();
    for (file, (role, found)) in files.iter().map(|file| file.role).zip(compared).enumerate() {
        let Some((found, target)) = found else { continue };
        let target = target.clone();
        match found {
            Relation::New => steps.push(Step::Create { file, target }),
            Relation::Behind => steps.push(Step::Replace { file, target }),
            // A to-do list and the like: theirs is newer where the conversation goes forward or begins here, and nobody's
            // otherwise.
            Relation::Diverged if !role.is_append_only() && matches!(session, Relation::Behind | Relation::New) => {
                steps.push(Step::Replace { file, target });
            }
            Relation::Same | Relation::Ahead | Relation::Diverged => {}
        }
    }
    steps
}

fn everything(files: &[StagedFile], compared: &Compared, asides: Vec<Step>) -> Vec<Step> {
    let step = |(n, found): (usize, &Option<(Relation, PathBuf)>)| match found.as_ref()? {
        (Relation::New, target) => Some(Step::Create { file: n, target: target.clone() }),
        (Relation::Same, _) => None,
        // An ancestor that was gone on with here still is what the session needs, and a session of its own.
        (Relation::Ahead, _) if files[n].role == Role::Lineage => None,
        (_, target) => Some(Step::Replace { file: n, target: target.clone() }),
    };
    compared.iter().enumerate().filter_map(step).chain(asides).collect()
}

/// How a copy relates to the ancestor or helper that it is a copy of, if it is one: their first records tell them apart.
fn as_lineage(files: &[StagedFile], copy: &Path) -> Result<Option<Relation>, Error> {
    for file in files.iter().filter(|file| file.role == Role::Lineage) {
        match growing(file, copy)? {
            Relation::Diverged => {}
            relation => return Ok(Some(relation)),
        }
    }
    Ok(None)
}

/// A file below a copy's directory that would be kept nowhere if the directory were set aside: the capsule does not have it,
/// or less of it. `below` is the directory's place within the session, which is the same where the session goes.
fn not_held(given: &Given<'_>, dir: &Path, below: &Path) -> Result<Option<PathBuf>, Error> {
    for entry in std::fs::read_dir(dir).at("read", dir)? {
        let entry = entry.at("read", dir)?;
        let (path, below) = (entry.path(), below.join(entry.file_name()));
        let kind = entry.file_type().at("read", &path)?;
        let lost = if kind.is_dir() {
            not_held(given, &path, &below)?
        } else if !kind.is_file() || is_held(given, &path, &below)? {
            None
        } else {
            Some(path)
        };
        if lost.is_some() {
            return Ok(lost);
        }
    }
    Ok(None)
}

fn is_held(given: &Given<'_>, path: &Path, below: &Path) -> Result<bool, Error> {
    let goes_there = |place: &Place| matches!(place, Place::File(target) if target.ends_with(below));
    let Some((file, _)) = given.files.iter().zip(given.places).find(|(_, place)| goes_there(place)) else { return Ok(false) };
    // One that is not a conversation is replaced by theirs in its own place, too.
    Ok(!file.role.is_append_only() || matches!(growing(file, path)?, Relation::Same | Relation::Behind))
}

fn compare(file: &StagedFile, target: &Path) -> Result<(Relation, PathBuf), Error> {
    // What could not be read or not be put back is found out here, where nothing has happened yet.
    if std::fs::symlink_metadata(target).is_ok() && !target.is_file() {
        return Err(std::io::Error::other("something that is no file stands there")).at("install", target).map_err(Error::from);
    }
    let found =
        if file.role.is_append_only() { growing(file, target)? } else { compare::whole(target, &file.staged).at("compare", target)? };
    Ok((found, target.to_owned()))
}

fn growing(file: &StagedFile, ours: &Path) -> Result<Relation, Error> {
    Ok(compare::growing(ours, &file.staged).at("compare", ours)?)
}

fn copy_path(copy: &Copy) -> &Path {
    match copy {
        Copy::Transcript(path) | Copy::Directory(path) => path,
    }
}

/// Parents of the targets that are not there yet, outermost first.
pub fn missing_dirs(steps: &[Step]) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> = Vec::new();
    for step in steps.iter().filter(|step| !matches!(step, Step::SetAside { .. })) {
        let parent = crate::durable::parent(step.target());
        for dir in parent.ancestors().take_while(|dir| !dir.exists()) {
            if !missing.iter().any(|known| known == dir) {
                missing.push(dir.to_owned());
            }
        }
    }
    missing.sort();
    missing
}

/// A packed rollout that goes where a plain one belongs is unpacked in the stage, under the same bounds as the capsule.
pub fn unpack_where_needed(stage: &mut Stage, files: &mut [StagedFile], places: &[Place], limits: &Limits) -> Result<(), Error> {
    for (file, place) in files.iter_mut().zip(places) {
        let Place::File(target) = place else { continue };
        if jsonl::is_packed(file.name.as_path()) && !jsonl::is_packed(target) {
            let packed = std::fs::File::open(&file.staged).at("open", &file.staged)?;
            let most = packed.metadata().at("read", &file.staged)?.len().saturating_mul(limits.ratio);
            let most = most.max(limits.ratio_from).min(limits.bytes);
            let mut plain = zstd::Decoder::new(packed).at("unpack", &file.staged)?;
            plain.window_log_max(jsonl::WINDOW_LOG).at("unpack", &file.staged)?;
            file.staged = stage.take(&mut std::io::Read::take(plain, most.saturating_add(1)), false)?;
            if std::fs::metadata(&file.staged).at("read", &file.staged)?.len() > most {
                return Err(crate::capsule::Error::TooLarge(format!("'{}' unpacks to more than {most} bytes", file.name)).into());
            }
            let name = file.name.as_bytes().strip_suffix(b".zst").unwrap_or(file.name.as_bytes());
            file.name = crate::path::RelPath::parse(name).map_err(crate::capsule::Error::Unsafe)?;
        }
    }
    Ok(())
}
