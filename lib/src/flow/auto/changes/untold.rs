//! A system that tells nothing: everything is looked at.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Seen, Shelf};

pub enum Told {}

impl Told {
    pub fn new(_: &[PathBuf]) -> std::io::Result<Told> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    pub fn add(&mut self, _: &Shelf) -> bool {
        match *self {}
    }

    pub fn knows(&self, _: &Path) -> bool {
        match *self {}
    }

    pub fn wait(&mut self, _: Duration, _: bool, _: &mut Seen) {
        match *self {}
    }

    pub fn drain_shelves(&mut self, _: &mut Seen) {
        match *self {}
    }
}
