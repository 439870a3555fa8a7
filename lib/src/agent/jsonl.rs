//! Transcripts as agents write them: one JSON object per line, only ever appended to.
//!
//! Reads the two ends of a file and never the middle; knows no agent. A last line without a newline is torn: it is
//! not a record yet. `.zst` files (Codex packs idle rollouts) are read as what they unpack to.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use memchr::memmem;

/// What a packed file may ask of memory, as a power of two; zstd's levels up to 19 stay below it.
pub const WINDOW_LOG: u32 = 24;

/// The two ends of a file. For a file smaller than both, `tail` is empty and `head` is all of it.
#[derive(Debug)]
pub struct Ends {
    pub head: Vec<u8>,
    pub tail: Vec<u8>,
    pub size: u64,
    pub modified: SystemTime,
}

impl Ends {
    pub fn read(path: &Path, head: usize, tail: usize) -> io::Result<Ends> {
        // A pipe of that name would otherwise be waited for, for ever.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let (size, modified) = (meta.len(), meta.modified()?);
        if is_packed(path) {
            let head = read_up_to(&mut unpacked(file)?, head)?;
            return Ok(Ends { head, tail: Vec::new(), size, modified });
        }
        let both = (head + tail) as u64;
        let head_len = if size <= both { size as usize } else { head };
        let mut ends = Ends { head: vec![0; head_len], tail: Vec::new(), size, modified };
        read_at(&file, &mut ends.head, 0)?;
        if size > both {
            ends.tail = vec![0; tail];
            read_at(&file, &mut ends.tail, size - tail as u64)?;
        }
        Ok(ends)
    }

    /// Whole lines from the start.
    pub fn first_lines(&self) -> impl Iterator<Item = &[u8]> {
        whole_lines(&self.head)
    }

    /// Whole lines from the end, the last one first; when the file was read whole, all of them.
    pub fn last_lines(&self) -> impl Iterator<Item = &[u8]> {
        let from = if self.tail.is_empty() { &self.head[..] } else { &self.tail[..] };
        let end = line_end(from);
        // What the tail begins with is the end of a line, unless it begins the file.
        let start = if self.tail.is_empty() { 0 } else { memchr::memchr(b'\n', from).map_or(end, |at| at + 1) };
        Backwards { rest: &from[start.min(end)..end] }
    }
}

/// Fills the buffer; a file that shrank meanwhile gives what it still has.
fn read_at(file: &File, into: &mut Vec<u8>, mut offset: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], offset) {
            Ok(0) => break,
            Ok(n) => (filled, offset) = (filled + n, offset + n as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    into.truncate(filled);
    Ok(())
}

fn read_up_to(from: &mut impl Read, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(len as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

struct Backwards<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Backwards<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.rest.strip_suffix(b"\n")?;
        let start = memchr::memrchr(b'\n', line).map_or(0, |at| at + 1);
        self.rest = &self.rest[..start];
        Some(&line[start..])
    }
}

pub fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', &bytes[..line_end(bytes)]).map(move |at| &bytes[std::mem::replace(&mut start, at + 1)..at])
}

pub fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|ext| ext == "zst")
}

/// The content of a transcript, unpacked where it is packed.
pub fn open(path: &Path) -> io::Result<Box<dyn BufRead + Send>> {
    let file = File::open(path)?;
    Ok(if is_packed(path) { Box::new(unpacked(file)?) } else { Box::new(BufReader::with_capacity(1 << 16, file)) })
}

/// What a packed transcript unpacks to, wherever it is read from.
pub fn unpacked<R: Read>(file: R) -> io::Result<BufReader<zstd::Decoder<'static, BufReader<R>>>> {
    let mut zstd = zstd::Decoder::new(file)?;
    zstd.window_log_max(WINDOW_LOG)?;
    Ok(BufReader::with_capacity(1 << 16, zstd))
}

/// The first line, which both agents use to say what the file is. Bounded: a file without a newline is no transcript.
pub fn first_line(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    open(path)?.take(limit as u64).read_until(b'\n', &mut line)?;
    Ok(line.pop_if(|last| *last == b'\n').map(|_| line))
}

/// So much of the end is looked at for what a person typed last: tools answer at length.
const FAR_BACK: u64 = 8 << 20;
/// What is read at first; most often it is there.
const NEAR: usize = 64 << 10;

/// The last of what `typed` finds in records that have one of these markers, among the first `upto` bytes; of a packed file
/// among all.
pub fn last(path: &Path, upto: u64, markers: &[&[u8]], typed: impl Fn(&[u8]) -> Option<String>) -> Option<String> {
    let markers: Vec<memmem::Finder<'_>> = markers.iter().map(memmem::Finder::new).collect();
    let marked = |line: &&[u8]| markers.iter().any(|marker| marker.find(line).is_some());
    let find = |lines: &[u8]| Backwards { rest: lines }.filter(marked).find_map(&typed);
    if is_packed(path) {
        return find(&packed_end(path).ok()?);
    }
    let file = File::open(path).ok()?;
    let mut from = upto.min(file.metadata().ok()?.len());
    let least = from.saturating_sub(FAR_BACK);
    // The end of a line that begins before what was read; what is behind the last newline is none.
    let (mut block, mut rest, mut torn) = (Vec::new(), Vec::new(), true);
    while from > least {
        let begins = from.saturating_sub(NEAR.max(rest.len()) as u64).max(least);
        block.clear();
        block.resize((from - begins) as usize, 0);
        read_at(&file, &mut block, begins).ok()?;
        from = begins;
        if torn {
            block.truncate(line_end(&block));
            torn = block.is_empty();
        }
        block.append(&mut rest);
        let begun = if begins == 0 { 0 } else { memchr::memchr(b'\n', &block).map_or(block.len(), |at| at + 1) };
        if let Some(found) = find(&block[begun..]) {
            return Some(found);
        }
        block.truncate(begun);
        std::mem::swap(&mut block, &mut rest);
    }
    None
}

/// The whole lines at the very end of what a packed file unpacks to, about as many as are looked at.
fn packed_end(path: &Path) -> io::Result<Vec<u8>> {
    let (mut from, mut end, mut block) = (open(path)?, Vec::new(), vec![0; 1 << 16]);
    let enough = FAR_BACK as usize;
    loop {
        match from.read(&mut block)? {
            0 => break,
            n => end.extend_from_slice(&block[..n]),
        }
        if end.len() > 2 * enough {
            end.drain(..end.len() - enough);
        }
    }
    end.truncate(line_end(&end));
    Ok(end)
}

/// Behind the last newline.
fn line_end(bytes: &[u8]) -> usize {
    memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1)
}

/// The length up to and including the last newline within the first `len` bytes.
pub fn whole_len(file: &File, len: u64) -> io::Result<u64> {
    let mut end = len;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(1 << 16);
        block.resize((end - start) as usize, 0);
        file.read_exact_at(&mut block, start)?;
        if let Some(at) = memchr::memrchr(b'\n', &block) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(content: &[u8], head: usize, tail: usize) -> Ends {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), content).expect("written");
        Ends::read(file.path(), head, tail).expect("read")
    }

    #[test]
    fn only_whole_lines_count_from_either_end() {
        let all = ends(b"one\ntwo\nthree\ntorn", 100, 100);
        assert_eq!(all.first_lines().collect::<Vec<_>>(), [&b"one"[..], b"two", b"three"]);
        assert_eq!(all.last_lines().collect::<Vec<_>>(), [&b"three"[..], b"two", b"one"]);
        let cut = ends(b"one\ntwo\nthree\nfour\n", 5, 12);
        assert_eq!(cut.first_lines().collect::<Vec<_>>(), [&b"one"[..]]);
        assert_eq!(cut.last_lines().collect::<Vec<_>>(), [&b"four"[..], b"three"]);
        assert_eq!(ends(b"", 4, 4).last_lines().count(), 0);
        assert_eq!(ends(b"no newline at all", 2, 2).last_lines().count(), 0);
    }

    #[test]
    fn the_whole_length_ends_at_a_newline() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        for (content, len) in [(&b"a\nb\ntorn"[..], 4), (b"a\n", 2), (b"torn", 0), (b"", 0)] {
            std::fs::write(file.path(), content).expect("written");
            assert_eq!(whole_len(file.as_file(), content.len() as u64).expect("read"), len);
        }
        let mut long = vec![b'x'; 200_000];
        long[7] = b'\n';
        std::fs::write(file.path(), &long).expect("written");
        assert_eq!(whole_len(file.as_file(), 200_000).expect("read"), 8);
    }

    #[test]
    fn what_was_typed_last_is_found_however_far_back_and_however_long_lines_are() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let typed = |line: &[u8]| line.strip_prefix(b"typed ").map(|text| String::from_utf8_lossy(text).into_owned());
        let filler = |len: usize| [vec![b'x'; len], b"\n".to_vec()].concat();
        for (last, behind) in [
            (&b"typed one"[..], vec![]),
            (b"typed two", filler(10)),
            (b"typed three", filler(NEAR)),
            (b"typed four", filler(100).repeat(9000)),
            (b"typed five", filler(3 << 20)),
            (b"typed six", [&b"other\n"[..], b"typed torn"].concat()),
            (b"typed seven", [filler(1), vec![b'y'; 300_000]].concat()),
        ] {
            let content = [b"typed before\n", last, b"\n", &behind].concat();
            std::fs::write(file.path(), &content).expect("written");
            let found = super::last(file.path(), content.len() as u64, &[b"nothing", b"typed"], typed);
            assert_eq!(found.as_deref().map(str::as_bytes), last.strip_prefix(b"typed "));
            assert_eq!(super::last(file.path(), 13, &[b"typed"], typed).as_deref(), Some("before"), "only what is asked for");
        }
        std::fs::write(file.path(), [&b"typed long ago\n"[..], &filler(FAR_BACK as usize)].concat()).expect("written");
        assert_eq!(super::last(file.path(), u64::MAX, &[b"typed"], typed), None);
        std::fs::write(file.path(), b"no newline").expect("written");
        assert_eq!(super::last(file.path(), u64::MAX, &[b"no"], typed), None);
    }
}
