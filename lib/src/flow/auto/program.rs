//! Whether the program that a long-lived process was started from is still the one that is installed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::durable::At;
use crate::env::Env;
use crate::flow::Error;

/// The file that this process was started from.
pub struct Program {
    pub path: PathBuf,
    then: Option<(u64, u64)>,
}

pub enum Now {
    Same,
    Another,
    Gone,
}

impl Program {
    pub fn new(env: &Env) -> Result<Program, Error> {
        let path = env.own_program().at("find", "/proc/self/exe")?;
        Ok(Program { then: Program::look(&path), path })
    }

    fn look(path: &Path) -> Option<(u64, u64)> {
        fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
    }

    pub fn now(&self) -> Now {
        match Program::look(&self.path) {
            None => Now::Gone,
            now if now == self.then => Now::Same,
            Some(_) => Now::Another,
        }
    }
}
