//! What comes beside what a checkpoint holds: which of them goes on from the other.
//!
//! What must stay true: what another device made is opened before any of it is kept; where a checkpoint cannot be read, what
//! comes is compared with what is known of it all the same.

use super::{Error, Input};
use crate::agent::{Role, jsonl};
use crate::capsule::{self, Exact, FileEntry, Manifest};
use crate::device::Device;
use crate::durable::At;
use crate::flow::compare::{self, Relation};
use crate::flow::ledger::Ledger;
use crate::flow::role_name;
use crate::flow::stage::Stage;
use crate::store;
use crate::store::fold::{Before, Folded};
use crate::store::tree::Read as ReadTree;
use crate::store::unfold::Opened;

/// What can be kept of a checkpoint. What another device has made is looked into: if it is wrong, what is built upon it is, too,
/// and would not be seen to be before it is wanted.
pub fn before(ledger: &Ledger<'_>, device: &Device, way: &mut Opened, tree: &ReadTree) -> Result<(Before, Manifest), store::Error> {
    match way.checkpoint.signer.fingerprint == device.signing().fingerprint() {
        true => way.before(&ledger.store, tree, ledger.identities),
        false => way.before_proven(&ledger.store, tree, ledger.identities),
    }
}

/// How the transcript that comes relates to that of a checkpoint.
pub fn relation(ledger: &Ledger<'_>, input: &mut dyn Input, way: &mut Opened, tree: &ReadTree) -> Result<Relation, Error> {
    match compared(ledger, input, way, tree) {
        Err(error) if is_damage(&error) => {
            // Of what cannot be read it is known how long it was, and its commit stays behind the next one.
            let here = std::fs::metadata(input.transcript()?).map_or(0, |meta| meta.len());
            let longer = way.record.summary.conversation.is_some_and(|theirs| theirs <= here);
            Ok(if longer { Relation::Ahead } else { Relation::Diverged })
        }
        relation => relation,
    }
}

fn is_damage(error: &Error) -> bool {
    match error {
        Error::Store(error) => error.is_damage(),
        Error::Capsule(error) => error.is_damage(),
        Error::Seal(crate::seal::Error::Damaged(_)) => true,
        // What was read is on its way into a file.
        Error::File(error) => {
            let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>()?.get_ref());
            cause.and_then(|cause| cause.downcast_ref()).is_some_and(store::Error::is_damage)
        }
        _ => false,
    }
}

fn compared(ledger: &Ledger<'_>, input: &mut dyn Input, way: &mut Opened, tree: &ReadTree) -> Result<Relation, Error> {
    let here = input.transcript()?;
    let (store, identities) = (&ledger.store, ledger.identities);
    let manifest = Manifest::of(&way.manifest_bytes(store, tree, identities)?, &way.record.sid, &way.record.summary.agent)?;
    // What a crash leaves of it is cleared by the next one.
    let mut stage = Stage::temporary(ledger.env)?;
    let mut contents = way.contents(store, tree, identities)?;
    for file in &manifest.files {
        let mut content = Exact::new(&mut contents, file.size);
        if file.role != role_name(Role::Transcript) {
            std::io::copy(&mut content, &mut std::io::sink()).map_err(capsule::Error::Read)?;
            continue;
        }
        let packed = jsonl::is_packed(file.path.as_path());
        let theirs = stage.take(&mut content, packed)?;
        if crate::id::hex(&content.hash()) != file.sha256 {
            let why = format!("'{}' is not the file it lists", file.path);
            return Err(store::Error::Damaged { commit: way.id(), why }.into());
        }
        return Ok(compare::growing(&here, &theirs).at("compare", &here)?);
    }
    Ok(Relation::Diverged)
}

/// Whether the transcript was found as it was before, with or without more behind it.
pub fn went_on(before: &Manifest, folded: &Folded) -> bool {
    let (Some(old), Some(new)) = (transcript(&before.files), transcript(&folded.files)) else { return false };
    is_the_same(old, new) || folded.kept.get(&new.path) == Some(&old.size)
}

/// Whether it was found with nothing behind it.
pub fn told_the_same(before: &Manifest, folded: &Folded) -> bool {
    matches!((transcript(&before.files), transcript(&folded.files)), (Some(old), Some(new)) if is_the_same(old, new))
}

fn is_the_same(old: &FileEntry, new: &FileEntry) -> bool {
    (new.size, &new.sha256) == (old.size, &old.sha256)
}

pub fn transcript(files: &[FileEntry]) -> Option<&FileEntry> {
    files.iter().find(|file| file.role == role_name(Role::Transcript))
}

/// The same files, wherever this machine and another have them: directories and permissions are the machine's.
pub fn alike(before: &[FileEntry], after: &[FileEntry]) -> bool {
    let what =
        |file: &FileEntry| (file.path.as_path().file_name().map(ToOwned::to_owned), file.role.clone(), file.size, file.sha256.clone());
    before.len() == after.len() && before.iter().zip(after).all(|(a, b)| what(a) == what(b))
}
