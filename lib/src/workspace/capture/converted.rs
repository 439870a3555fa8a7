//! Files that are clean for Git though a checkout would write other bytes: line ends, `ident`, filters, encodings.
//!
//! Where no attributes and no such setting apply, nothing is asked. What must stay true: a name that is not returned has
//! the very bytes of its blob in the work tree, and a checkout converts none of them, as far as Git itself trusts what it
//! knows of the file. No filter is run to find out: a file that has one comes along.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use memchr::memmem;

use super::answers::{Row, records};
use super::files::Files;
use super::index::{Index, is_attributes};
use super::tree::{Seen, Stamp};
use super::{Error, Work};
use crate::durable::At;
use crate::git;

const OF_LINES: &[&[u8]] = &[b"text", b"crlf", b"eol"];
const OF_CONTENT: &[&[u8]] = &[b"filter", b"ident", b"working-tree-encoding"];
/// An attributes file that is larger is none that anybody has written.
const MOST: u64 = 16 << 20;

/// Which kinds of conversion some attribute or setting speaks of at all.
#[derive(Debug, Default, Clone, Copy)]
struct Spoken {
    of_lines: bool,
    of_content: bool,
    /// A checkout may make two bytes of a line end.
    to_crlf: bool,
    modes_lie: bool,
}

/// Git's exit code for words that it does not know.
const USAGE: i32 = 129;
/// What is asked of each file, in this order.
const ATTRIBUTES: [&str; 6] = ["filter", "working-tree-encoding", "ident", "text", "crlf", "eol"];
/// A file that is larger is not searched.
const MOST_SEARCHED: u64 = 64 << 20;

/// `elsewhere` is what that function has found.
pub fn find(
    work: &Work<'_>,
    index: &Index<'_>,
    changed: &HashSet<&[u8]>,
    found: &Files,
    elsewhere: Option<&[PathBuf]>,
) -> Result<Vec<Vec<u8>>, Error> {
    let spoken = spoken(work, index, found, elsewhere)?;
    if !spoken.of_lines && !spoken.of_content && !spoken.modes_lie {
        return Ok(Vec::new());
    }
    let (mut differ, mut open) = (Vec::new(), Vec::new());
    let mut looks = work.tree.looks();
    for row in index.rows() {
        let row = row?;
        let plain = row.stage == 0 && !row.is_flagged() && row.mode.starts_with(b"100") && !changed.contains(row.path);
        let Some(Seen::File(seen)) = plain.then(|| looks.look(row.path)).transpose()? else { continue };
        if spoken.modes_lie && (seen.mode & 0o100 != 0) != (row.mode == b"100755") {
            differ.push(row.path.to_vec());
        } else if spoken.of_lines || spoken.of_content {
            open.push((row, seen));
        }
    }
    let (other, same) = by_size(work, open)?;
    differ.extend(other.into_iter().map(|(row, _)| row.path.to_vec()));
    if spoken.of_content || spoken.to_crlf {
        differ.extend(by_attribute(work, same)?);
    }
    Ok(differ)
}

fn spoken(work: &Work<'_>, index: &Index<'_>, found: &Files, elsewhere: Option<&[PathBuf]>) -> Result<Spoken, Error> {
    let config = &work.repo.config;
    let mut spoken = Spoken { modes_lie: config.flag("core.filemode") == Some(false), ..Spoken::default() };
    spoken.of_lines = config.get("core.autocrlf").is_some_and(|_| config.flag("core.autocrlf") != Some(false));
    spoken.to_crlf = config.flag("core.autocrlf") == Some(true) || config.get("core.eol").is_some_and(|eol| eol != "lf");
    // Attributes from a tree instead of the files that are looked at here, or from nobody knows where.
    let Some(elsewhere) = elsewhere.filter(|_| config.get("attr.tree").is_none()) else {
        return Ok(Spoken { of_lines: true, of_content: true, to_crlf: true, ..spoken });
    };
    let untracked = found.files.keys().map(Vec::as_slice).filter(|path| is_attributes(path));
    for path in index.attributes.iter().copied().chain(untracked) {
        match work.tree.look(path)? {
            Seen::File(seen) => spoken.hear(work.tree.file(path, &seen)?),
            // Git takes them from the index then: it reads no link and no directory.
            _ => spoken = Spoken { of_lines: true, of_content: true, to_crlf: true, ..spoken },
        }
    }
    for file in elsewhere {
        if let Ok(file) = std::fs::File::open(file) {
            spoken.hear(file);
        }
    }
    Ok(spoken)
}

impl Spoken {
    /// Words are enough: what is said of them is Git's business.
    fn hear(&mut self, file: impl Read) {
        let mut text = Vec::new();
        if file.take(MOST).read_to_end(&mut text).is_err() {
            (self.of_lines, self.of_content, self.to_crlf) = (true, true, true);
        }
        let speaks = |words: &[&[u8]]| words.iter().any(|word| memmem::find(&text, word).is_some());
        self.of_lines |= speaks(OF_LINES);
        self.of_content |= speaks(OF_CONTENT);
        self.to_crlf |= speaks(&[b"crlf"]);
    }
}

/// Attributes that are not in the work tree: the repository's, the user's and the system's. None where Git does not say where
/// they are, as before 2.42.
pub fn elsewhere(work: &Work<'_>) -> Result<Option<Vec<PathBuf>>, Error> {
    let own = work.repo.common.join("info/attributes");
    // It fails where the system's are switched off.
    let of = |name| work.git.output(&["var", name], b"");
    let said = [of("GIT_ATTR_GLOBAL")?, of("GIT_ATTR_SYSTEM")?];
    if said.iter().any(|out| out.status.code() == Some(USAGE)) {
        return Ok(None);
    }
    let paths = said.iter().flat_map(|out| out.stdout.split(|&byte| byte == b'\n')).filter(|path| !path.is_empty());
    Ok(Some(paths.map(|path| Path::new(&OsString::from_vec(path.to_owned())).to_owned()).chain([own]).collect()))
}

type Looked<'a> = (Row<'a>, Stamp);

/// Those with another length than their blob, and those with the same.
fn by_size<'a>(work: &Work<'_>, open: Vec<Looked<'a>>) -> Result<(Vec<Looked<'a>>, Vec<Looked<'a>>), Error> {
    if open.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let mut asked = Vec::new();
    for (row, _) in &open {
        asked.extend_from_slice(row.oid_hex());
        asked.push(b'\n');
    }
    let out = work.objects().feed(&["cat-file", "--buffer", "--batch-check=%(objectsize)"], &asked)?;
    let mut sizes = out.split(|&byte| byte == b'\n').map(|size| std::str::from_utf8(size).ok()?.parse::<u64>().ok());
    Ok(open.into_iter().partition(|(_, seen)| sizes.next().flatten() != Some(seen.size)))
}

/// Those of the same length as their blob of which a checkout would make something else.
fn by_attribute(work: &Work<'_>, open: Vec<Looked<'_>>) -> Result<Vec<Vec<u8>>, Error> {
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&[u8]> = open.iter().map(|(row, _)| row.path).collect();
    let args = ["check-attr", "-z", "--stdin"].into_iter().chain(ATTRIBUTES).collect::<Vec<_>>();
    let out = work.git.feed(&args, &[names.join(&0), vec![0]].concat())?;
    let answers: Vec<&[u8]> = records(&out).collect();
    // Path, attribute, value.
    let each = ATTRIBUTES.len() * 3;
    if answers.len() != names.len() * each {
        return Err(git::Error::Nonsense { verb: "check-attr".to_owned() }.into());
    }
    let config = &work.repo.config;
    let always = config.flag("core.autocrlf") == Some(true);
    let wanted = always || config.get("core.eol").is_some_and(|eol| eol != "lf");
    let mut differ = Vec::new();
    for ((row, seen), answer) in open.into_iter().zip(answers.chunks(each)) {
        let values: Vec<&[u8]> = answer.chunks(3).map(|one| one[2]).collect();
        let says = |value: &[u8]| !matches!(value, b"unspecified" | b"unset");
        let &[filter, encoding, ident, text, crlf, eol] = values.as_slice() else { continue };
        let is_text = always && text == b"unspecified" && crlf == b"unspecified" || says(text) || says(crlf);
        let to_crlf = text != b"unset" && (eol == b"crlf" || wanted && is_text && eol != b"lf");
        let converts = says(filter)
            || says(encoding)
            || says(ident) && holds(work, row.path, &seen, b"$Id")?
            || to_crlf && holds(work, row.path, &seen, b"\n")?;
        if converts {
            differ.push(row.path.to_vec());
        }
    }
    Ok(differ)
}

fn holds(work: &Work<'_>, path: &[u8], seen: &Stamp, what: &[u8]) -> Result<bool, Error> {
    if seen.size > MOST_SEARCHED {
        return Ok(true);
    }
    let mut reading = work.tree.file(path, seen)?;
    let mut bytes = Vec::new();
    reading.read_to_end(&mut bytes).at("read", work.tree.whole(path))?;
    reading.settled()?;
    Ok(memmem::find(&bytes, what).is_some())
}
