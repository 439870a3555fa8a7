//! Repositories that the index names: the commit that stands there, whether they are dirty, and on request what is in them.

use gix::hash::ObjectId;

use super::answers::Status;
use super::index::Index;
use super::tree::Seen;
use super::{Capture, CapturedFile, Error, Note, Work, one};
use crate::workspace::model::{Oid, Submodule};
use crate::workspace::name::Name;

const DIRECTORY: &str = "submodules";
/// One inside another, inside another: `restore` refuses more.
const MOST_DEEP: usize = 8;

#[derive(Default)]
pub struct Submodules {
    pub models: Vec<Submodule>,
    pub files: Vec<CapturedFile>,
    pub notes: Vec<Note>,
}

pub fn of(work: &Work<'_>, status: &Status<'_>, index: &Index<'_>) -> Result<Submodules, Error> {
    let mut all = Submodules::default();
    for row in &index.gitlinks {
        // Without a `.git` of its own it is an empty place, and Git in it would be in this repository.
        if work.tree.look(row.path)? != Seen::Directory || work.tree.look(&[row.path, b"/.git"].concat())? == Seen::Nothing {
            all.models.push(Submodule { commit: None, ..plain(row.path) });
            continue;
        }
        let change = status.changes.iter().find(|change| change.path == row.path && change.is_gitlink());
        let new = change.map_or(&b"N..."[..], |change| change.submodule);
        let mut model = plain(row.path);
        model.changed = new.contains(&b'M');
        model.untracked = new.contains(&b'U');
        model.commit = if new.contains(&b'C') || row.is_flagged() { head(work, row.path)? } else { Some(row.oid()?) }.map(Oid);
        if work.options.submodules && work.at.matches(DIRECTORY).count() < MOST_DEEP {
            let at = format!("{}/{DIRECTORY}/{}", work.at, all.models.len());
            let repo = work.repo.elsewhere(&work.tree.whole(row.path))?;
            let Capture { model: contents, files, notes, .. } = one(&repo, work.options, &[], &at)?;
            model.contents = Some(Box::new(contents));
            all.files.extend(files);
            all.notes.extend(notes);
        }
        all.models.push(model);
    }
    Ok(all)
}

fn plain(path: &[u8]) -> Submodule {
    Submodule { path: Name::new(path), commit: None, changed: false, untracked: false, contents: None }
}

fn head(work: &Work<'_>, path: &[u8]) -> Result<Option<ObjectId>, Error> {
    let git = work.repo.git.elsewhere(&work.tree.whole(path));
    let out = git.output(&["rev-parse", "--quiet", "--verify", "HEAD^0"], b"")?;
    Ok(ObjectId::from_hex(out.stdout.trim_ascii_end()).ok())
}
