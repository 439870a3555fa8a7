//! What is found in the files of one capsule while it is made.
//!
//! A packed rollout is unpacked for it, within bounds. What must stay true: however many secrets there are, the list of them
//! stays short; what is not listed is counted.

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::Range;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread;

use super::stream::Stream;
use super::{Allowed, Confidence, Finding, Match, rules};
use crate::capsule::{Observer, Shared};
use crate::path::RelPath;

/// So many are listed, and so many more are counted once each.
const MOST: usize = 500;
const COUNTED: usize = 10_000;
/// What is shown comes in pieces of this size, and so many of them wait.
const PIECE: usize = 512 << 10;
const WAITING: usize = 8;
/// What unpacks to more is no rollout; the rest of it is not looked at.
const MOST_UNPACKED: u64 = 8 << 30;

#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Each secret once for each file, where it stands first.
    pub findings: Vec<Finding>,
    /// What was found beyond them.
    pub more: usize,
    /// Those that were known to be allowed: they take no room in the list.
    pub allowed: BTreeSet<String>,
    known: Arc<Allowed>,
    /// What was counted, as far as that is kept.
    counted: BTreeSet<String>,
}

impl Found {
    fn knowing(known: &Arc<Allowed>) -> Found {
        Found { known: Arc::clone(known), ..Found::default() }
    }

    /// Of high confidence, and allowed by nobody.
    pub fn forbidden(&self, allowed: &Allowed) -> Vec<Finding> {
        self.not_allowed(allowed).filter(|finding| finding.confidence == Confidence::High).cloned().collect()
    }

    pub fn not_allowed<'a>(&'a self, allowed: &'a Allowed) -> impl Iterator<Item = &'a Finding> {
        self.findings.iter().filter(|finding| allowed.get(&finding.id).is_none())
    }
}

/// Shared by whoever shows it files and whoever asks what was found. It looks on a thread of its own: whoever reads and cuts
/// files has enough to do.
#[derive(Clone)]
pub struct Watch {
    say: SyncSender<Say>,
    /// What came in smaller pieces than are worth waking somebody for.
    fresh: Vec<u8>,
    /// Memory of pieces that were looked at, so that the system need not clear new pages for each.
    spare: Arc<Mutex<Receiver<Vec<u8>>>>,
}

enum Say {
    Begin(String, bool),
    Known(Bytes),
    Fresh(Bytes),
    End,
    /// By whoever has shown everything.
    Asked(SyncSender<Found>),
}

enum Bytes {
    Copied(Vec<u8>),
    Shared(Shared, Range<usize>),
}

impl Bytes {
    fn all(&self) -> &[u8] {
        match self {
            Bytes::Copied(bytes) => bytes,
            Bytes::Shared(part, of_it) => &(**part).as_ref()[of_it.clone()],
        }
    }
}

impl Watch {
    /// With these exceptions: of what they allow only the ids are told.
    pub fn knowing(allowed: Allowed) -> Watch {
        let (say, hear) = mpsc::sync_channel(WAITING);
        let (back, spare) = mpsc::channel();
        thread::spawn(move || {
            let mut state = State { found: Found::knowing(&Arc::new(allowed)), now: None };
            hear.into_iter().for_each(|said| state.hear(said, &back));
        });
        Watch { say, fresh: Vec::new(), spare: Arc::new(Mutex::new(spare)) }
    }
}

impl Default for Watch {
    fn default() -> Watch {
        Watch::knowing(Allowed::default())
    }
}

struct State {
    found: Found,
    now: Option<Now>,
}

enum Now {
    Plain(Box<Search>),
    Packed(Box<zstd::stream::write::Decoder<'static, Unpacked>>),
    /// It does not unpack.
    Broken,
}

/// Of one file. What is found goes into a list of its own at once: there it is one, however often it stands there.
#[derive(Default)]
struct Search {
    file: String,
    stream: Stream,
    matches: Vec<Match>,
    found: Found,
}

impl Search {
    fn of(file: String, known: &Arc<Allowed>) -> Search {
        Search { file, found: Found::knowing(known), ..Search::default() }
    }

    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            self.stream.push(piece, &mut self.matches);
            self.found.take(&self.file, self.matches.drain(..));
        }
    }

    fn known(&mut self, bytes: &[u8]) {
        self.stream.known(bytes, &mut self.matches);
        self.found.take(&self.file, self.matches.drain(..));
    }

    fn finish(mut self) -> Found {
        self.stream.finish(&mut self.matches);
        self.found.take(&self.file, self.matches.drain(..));
        self.found
    }
}

#[derive(Default)]
struct Unpacked {
    search: Search,
    bytes: u64,
}

impl Write for Unpacked {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes += bytes.len() as u64;
        if self.bytes > MOST_UNPACKED {
            return Err(std::io::Error::other("too much"));
        }
        self.search.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Watch {
    pub fn found(&self) -> Found {
        let (say, hear) = mpsc::sync_channel(1);
        let asked = self.say.send(Say::Asked(say)).ok().and_then(|()| hear.recv().ok());
        // To go on as if nothing had been found would be worse.
        asked.unwrap_or_else(|| std::panic::resume_unwind(Box::new("the search for secrets has died")))
    }

    /// Memory for one more piece.
    fn piece(&self) -> Vec<u8> {
        let spare = self.spare.lock().ok().and_then(|spare| spare.try_recv().ok());
        spare.unwrap_or_default()
    }

    /// That it has died is heard by whoever asks.
    fn say(&mut self, said: Say) {
        if !self.fresh.is_empty() {
            let _ = self.say.send(Say::Fresh(Bytes::Copied(std::mem::take(&mut self.fresh))));
        }
        let _ = self.say.send(said);
    }
}

impl Observer for Watch {
    fn begin(&mut self, name: &RelPath) {
        self.say(Say::Begin(name.to_string(), name.as_bytes().ends_with(b".zst")));
    }

    fn known(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            let mut known = self.piece();
            known.extend_from_slice(piece);
            self.say(Say::Known(Bytes::Copied(known)));
        }
    }

    fn fresh(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            if self.fresh.len() + piece.len() > PIECE {
                let empty = self.piece();
                let full = std::mem::replace(&mut self.fresh, empty);
                let _ = self.say.send(Say::Fresh(Bytes::Copied(full)));
            }
            self.fresh.extend_from_slice(piece);
        }
    }

    fn end(&mut self) {
        self.say(Say::End);
    }

    fn known_part(&mut self, part: &Shared, of_it: Range<usize>) {
        pieces(of_it).for_each(|piece| self.say(Say::Known(Bytes::Shared(Arc::clone(part), piece))));
    }

    fn fresh_part(&mut self, part: &Shared, of_it: Range<usize>) {
        pieces(of_it).for_each(|piece| self.say(Say::Fresh(Bytes::Shared(Arc::clone(part), piece))));
    }
}

fn pieces(of_it: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    of_it.clone().step_by(PIECE).map(move |begin| begin..of_it.end.min(begin + PIECE))
}

impl State {
    fn hear(&mut self, said: Say, back: &Sender<Vec<u8>>) {
        let again = |bytes: Bytes| {
            if let Bytes::Copied(mut bytes) = bytes {
                bytes.clear();
                let _ = back.send(bytes);
            }
        };
        match said {
            Say::Begin(file, packed) => self.begin(file, packed),
            Say::Known(bytes) => {
                self.known(bytes.all());
                again(bytes);
            }
            Say::Fresh(bytes) => {
                self.fresh(bytes.all());
                again(bytes);
            }
            Say::End => self.end(),
            Say::Asked(answer) => drop(answer.send(self.found.clone())),
        }
    }

    fn begin(&mut self, file: String, packed: bool) {
        let search = Search::of(file, &self.found.known);
        self.now = Some(match packed {
            false => Now::Plain(Box::new(search)),
            true => {
                let decoder = zstd::stream::write::Decoder::new(Unpacked { search, bytes: 0 });
                decoder.map_or(Now::Broken, |decoder| Now::Packed(Box::new(decoder)))
            }
        });
    }

    fn known(&mut self, bytes: &[u8]) {
        match &mut self.now {
            Some(Now::Plain(search)) => search.known(bytes),
            // A packed one that changed is another file as a whole.
            _ => self.fresh(bytes),
        }
    }

    fn fresh(&mut self, bytes: &[u8]) {
        match &mut self.now {
            Some(Now::Plain(search)) => search.push(bytes),
            Some(Now::Packed(decoder)) => {
                if decoder.write_all(bytes).is_err() {
                    self.end();
                    self.now = Some(Now::Broken);
                }
            }
            Some(Now::Broken) | None => {}
        }
    }

    fn end(&mut self) {
        let found = match self.now.take() {
            Some(Now::Plain(search)) => search.finish(),
            Some(Now::Packed(mut decoder)) => {
                let _ = decoder.flush();
                std::mem::take(&mut decoder.get_mut().search).finish()
            }
            Some(Now::Broken) | None => return,
        };
        self.found.join(found);
    }
}

impl Found {
    fn take(&mut self, file: &str, matches: impl Iterator<Item = Match>) {
        for found in matches {
            let rule = &rules().all[found.rule];
            self.add(Finding {
                id: found.id,
                rule: rule.name.to_owned(),
                what: rule.what.to_owned(),
                confidence: rule.confidence,
                file: file.to_owned(),
                line: found.line,
                field: found.field,
                masked: found.masked,
            });
        }
    }

    fn join(&mut self, other: Found) {
        self.more += other.more;
        self.allowed.extend(other.allowed);
        other.findings.into_iter().for_each(|finding| self.add(finding));
    }

    fn add(&mut self, finding: Finding) {
        if self.known.get(&finding.id).is_some() {
            self.allowed.insert(finding.id);
            return;
        }
        if self.findings.iter().any(|known| known.id == finding.id && known.file == finding.file) {
            return;
        }
        if self.findings.len() == MOST {
            if self.counted.contains(&finding.id) {
                return;
            }
            if self.counted.len() < COUNTED {
                self.counted.insert(finding.id.clone());
            }
            // What stops a checkpoint goes before what does not.
            let low = self.findings.iter().position(|known| known.confidence == Confidence::Low);
            self.more += 1;
            match low.filter(|_| finding.confidence == Confidence::High) {
                Some(low) => drop(self.findings.remove(low)),
                None => return,
            }
        }
        self.findings.push(finding);
    }
}
