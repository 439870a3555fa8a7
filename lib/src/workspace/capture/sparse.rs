//! Which part of the tree was checked out, if not all.

use std::io;

use super::{Error, Work};
use crate::durable::At;
use crate::workspace::model::Sparse;
use crate::workspace::name::Name;

pub fn of(work: &Work<'_>) -> Result<Option<Sparse>, Error> {
    let config = &work.repo.config;
    if config.flag("core.sparsecheckout") != Some(true) {
        return Ok(None);
    }
    let file = work.repo.git_dir.join("info/sparse-checkout");
    let patterns = match std::fs::read(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.at("read", &file)?,
    };
    Ok(Some(Sparse { cone: config.flag("core.sparsecheckoutcone") == Some(true), patterns: Name::new(patterns) }))
}
