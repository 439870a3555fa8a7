//! `git bisect`: from where it began, what is known good and bad, and what it tries next.

use serde::{Deserialize, Serialize};

use super::super::model::Oid;
use super::super::name::Name;
use super::draft::{Draft, line};
use super::error::Error;
use super::quote;
use super::rebase::Label;
use super::state::State;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bisect {
    pub start: Start,
    pub bad_word: Name,
    pub good_word: Name,
    /// Words of `BISECT_NAMES`: pathspecs, which Git puts behind its own `--`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<Name>,
    /// `BISECT_LOG` line by line; Git runs none of them unless one asks it to replay the log.
    pub log: Vec<Name>,
    /// `refs/bisect/*`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refs: Vec<Label>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Oid>,
    /// `BISECT_HEAD`, of `--no-checkout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Oid>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ancestors_ok: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first_parent: bool,
}

/// Where `git bisect reset` goes back to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "at")]
pub enum Start {
    /// By its full name.
    Branch {
        name: Name,
        commit: Oid,
    },
    Commit {
        commit: Oid,
    },
}

impl Bisect {
    pub fn read(state: &State<'_>) -> Result<Option<Bisect>, Error> {
        let Some(start) = state.file("BISECT_START")? else { return Ok(None) };
        let terms = state.file("BISECT_TERMS")?.unwrap_or_else(|| b"bad\ngood\n".to_vec());
        let terms: Vec<&[u8]> = terms.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
        let &[bad, good] = terms.as_slice() else { return Err(state.not_understood("BISECT_TERMS", "they are not two")) };
        let names = state.file("BISECT_NAMES")?.unwrap_or_default();
        let paths = quote::words(&names).ok_or_else(|| state.not_understood("BISECT_NAMES", "a quote is not closed"))?;
        let log = state.file("BISECT_LOG")?.unwrap_or_default();
        let mut bisect = Bisect {
            start: Start::read(state, start.trim_ascii())?,
            bad_word: Name::new(bad),
            good_word: Name::new(good),
            paths: paths.into_iter().map(Name::new).collect(),
            log: log.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(Name::new).collect(),
            refs: state.below("refs/bisect/").into_iter().map(|(name, commit)| Label { name, commit }).collect(),
            expected: state.reference("BISECT_EXPECTED_REV"),
            head: state.reference("BISECT_HEAD"),
            ancestors_ok: state.file("BISECT_ANCESTORS_OK")?.is_some(),
            first_parent: state.file("BISECT_FIRST_PARENT")?.is_some(),
        };
        // It is only shown; one whose terms were other ones before has lines that no one would write now.
        bisect.log = bisect.log.iter().filter(|line| bisect.logs(line)).cloned().collect();
        Ok(Some(bisect))
    }

    /// A line that `git bisect log` could show.
    pub fn logs(&self, line: &Name) -> bool {
        let line = line.as_bytes();
        let Some(command) = line.strip_prefix(b"git bisect ") else { return line.starts_with(b"# ") };
        let verb = command.split(|&byte| byte == b' ').next().unwrap_or_default();
        [&b"start"[..], b"skip", b"terms", self.bad_word.as_bytes(), self.good_word.as_bytes()].contains(&verb)
    }

    /// `branch`: what `git bisect reset` will check out.
    pub fn draft(&self, branch: Option<&Name>, draft: &mut Draft) {
        let refs = self.refs.iter().map(|label| (format!("refs/bisect/{}", String::from_utf8_lossy(label.name.as_bytes())), label.commit));
        draft.refs.extend(refs);
        draft.reference("BISECT_EXPECTED_REV", self.expected);
        draft.reference("BISECT_HEAD", self.head);
        let paths: Vec<u8> = self.paths.iter().flat_map(|word| [b" ".to_vec(), quote::single(word.as_bytes())].concat()).collect();
        draft.file("BISECT_NAMES", Some(line(paths)));
        draft.file("BISECT_TERMS", Some([line(self.bad_word.as_bytes()), line(self.good_word.as_bytes())].concat()));
        draft.file("BISECT_LOG", Some(self.log.iter().flat_map(|entry| line(entry.as_bytes())).collect()));
        draft.file("BISECT_ANCESTORS_OK", self.ancestors_ok.then(Vec::new));
        draft.file("BISECT_FIRST_PARENT", self.first_parent.then(|| line("")));
        let short = branch.map(|name| name.as_bytes().strip_prefix(b"refs/heads/").unwrap_or(name.as_bytes()).to_vec());
        draft.acting_files.push(("BISECT_START", line(short.unwrap_or_else(|| self.start.commit().0.to_string().into_bytes()))));
    }
}

impl Start {
    fn read(state: &State<'_>, word: &[u8]) -> Result<Start, Error> {
        let name = Name::new([b"refs/heads/", word].concat());
        if let Some(commit) = state.branch(&name)? {
            return Ok(Start::Branch { name, commit });
        }
        Ok(Start::Commit { commit: state.oid("BISECT_START", word)? })
    }

    pub fn commit(&self) -> Oid {
        match self {
            Start::Branch { commit, .. } | Start::Commit { commit } => *commit,
        }
    }
}
