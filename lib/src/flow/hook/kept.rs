//! Settings files of agents as they were before our entries came, so that they can be so again to the byte.
//!
//! In this device's own directory, readable by its owner only: such files hold keys, too.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::file;
use crate::durable::{self, At};
use crate::env::Env;
use crate::flow::Error;
use crate::id::hex;

const SCHEMA: &str = "samesession.settings-backup/1";

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    schema: String,
    path: String,
    /// Nothing, if there was no file.
    before: Option<String>,
    /// The hash of what it became.
    after: String,
}

/// To be called before it is written.
pub fn keep(env: &Env, path: &Path, before: Option<&str>, after: &str) -> Result<(), Error> {
    let place = place(env, path)?;
    // What was there first is what counts, as long as nobody but us has written since.
    let first = load(&place).filter(|kept| before.is_some_and(|now| kept.after == sum(now)));
    let before = first.map_or_else(|| before.map(str::to_owned), |kept| kept.before);
    let kept = Kept { schema: SCHEMA.to_owned(), path: crate::path::to_text(path), before, after: sum(after) };
    let mut json = serde_json::to_vec_pretty(&kept).map_err(std::io::Error::from).at("write", &place)?;
    json.push(b'\n');
    durable::create_dirs(durable::parent(&place))?;
    Ok(durable::write_atomic(&place, &json)?)
}

/// What was there before, if what stands there now is what we have made of it.
pub fn before(env: &Env, path: &Path, now: &str) -> Result<Option<Option<String>>, Error> {
    let kept = load(&place(env, path)?);
    Ok(kept.filter(|kept| kept.after == sum(now)).map(|kept| kept.before))
}

pub fn forget(env: &Env, path: &Path) -> Result<(), Error> {
    file::remove(&place(env, path)?)
}

fn place(env: &Env, path: &Path) -> Result<PathBuf, Error> {
    let name = &sum(&path.display().to_string())[..16];
    Ok(env.config_dir()?.join("hooks").join(format!("{name}.json")))
}

fn load(place: &Path) -> Option<Kept> {
    serde_json::from_slice(&std::fs::read(place).ok()?).ok()
}

fn sum(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}
