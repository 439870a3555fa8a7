//! A directory of state files, of which none is overlooked.

use std::collections::BTreeSet;

use super::super::model::Oid;
use super::super::name::Name;
use super::error::Error;
use super::state::State;

/// A directory of state files. `finish` refuses what nobody took.
pub struct Folder<'a> {
    pub state: &'a State<'a>,
    pub name: &'static str,
    /// What nobody took yet.
    pub left: BTreeSet<String>,
}

impl Folder<'_> {
    pub fn path(&self, file: &str) -> String {
        format!("{}/{file}", self.name)
    }

    pub fn take(&mut self, file: &str) -> Result<Option<Vec<u8>>, Error> {
        if !self.left.remove(file) {
            return Ok(None);
        }
        self.state.file(&self.path(file))
    }

    pub fn must(&mut self, file: &str) -> Result<Vec<u8>, Error> {
        self.take(file)?.ok_or_else(|| self.wrong(file, "it is missing"))
    }

    pub fn text(&mut self, file: &str) -> Result<Option<Name>, Error> {
        Ok(self.take(file)?.map(Name::new))
    }

    /// The one line of a file.
    pub fn line(&mut self, file: &str) -> Result<Option<Name>, Error> {
        Ok(self.take(file)?.map(|text| Name::new(text.strip_suffix(b"\n").unwrap_or(&text))))
    }

    pub fn oid(&mut self, file: &str) -> Result<Option<Oid>, Error> {
        self.take(file)?.map(|text| self.state.oid(&self.path(file), &text)).transpose()
    }

    pub fn must_oid(&mut self, file: &str) -> Result<Oid, Error> {
        self.oid(file)?.ok_or_else(|| self.wrong(file, "it is missing"))
    }

    pub fn number(&mut self, file: &str) -> Result<Option<u32>, Error> {
        let Some(text) = self.take(file)? else { return Ok(None) };
        let number = std::str::from_utf8(text.trim_ascii()).ok().and_then(|text| text.parse().ok());
        number.map(Some).ok_or_else(|| self.wrong(file, "it is no number"))
    }

    /// Lines of object names, so many in each.
    pub fn oids<const N: usize>(&mut self, file: &str) -> Result<Vec<[Oid; N]>, Error> {
        let text = self.take(file)?.unwrap_or_default();
        let mut lines = Vec::new();
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let words = line.split(|&byte| byte == b' ').map(|word| self.state.oid(&self.path(file), word));
            let words: Vec<Oid> = words.collect::<Result<_, _>>()?;
            lines.push(words.try_into().map_err(|_| self.wrong(file, "a line has another form"))?);
        }
        Ok(lines)
    }

    /// A mark that says something by being there.
    pub fn flag(&mut self, file: &str) -> bool {
        self.left.remove(file)
    }

    pub fn wrong(&self, file: &str, why: impl Into<String>) -> Error {
        self.state.not_understood(&self.path(file), why)
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.left.iter()
    }

    pub fn finish(mut self) -> Result<(), Error> {
        match self.left.pop_first() {
            Some(file) => Err(self.wrong(&file, "its name is not known")),
            None => Ok(()),
        }
    }
}
