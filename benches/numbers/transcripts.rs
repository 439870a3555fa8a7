//! Made-up sessions: the same on every run, and as compressible as real ones.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Half Claude Code's, half Codex's, 250 kB each; every third named, the others to be titled by their first prompt.
pub fn thousand(home: &Path) {
    let filler = home.join("filler.jsonl");
    transcript(&filler, "X", "/home/dev/src/p", 20_000_000);
    let filler = fs::read_to_string(&filler).expect("it was written");
    let mut lines = filler.lines().cycle();
    // Each agent's sessions go on with its own records.
    let grown = include_str!(
        "../../tests/fixtures/codex-0.169.0/.codex/sessions/2026/11/21/rollout-2026-11-21T04-04-11-01a1fc46-a6a6-7301-b0ad-996ca49d9840.jsonl"
    );
    let mut records = grown.lines().skip(1).cycle();
    let rollout = include_str!(
        "../../tests/fixtures/codex-0.169.0/.codex/sessions/2026/11/21/rollout-2026-11-21T04-03-33-01a1fc46-14ce-7500-867f-3e8961b3c90d.jsonl"
    );
    for n in 0..1000 {
        let (path, mut text) = if usize::is_multiple_of(n, 2) {
            let id = format!("{n:08x}-0001-4000-8000-000000000001");
            let project = home.join(format!(".claude/projects/-home-dev-src-p{}", n % 20));
            let first = format!(
                "{{\"type\":\"user\",\"message\":{{\"role\":\"user\",\"content\":\"Please fix fault {n}\"}},\"cwd\":\"/home/dev/src/p{}\",\"sessionId\":\"{id}\",\"version\":\"2.1.329\"}}\n",
                n % 20
            );
            (project.join(format!("{id}.jsonl")), first)
        } else {
            let id = format!("01a1fc46-{n:04x}-7500-867f-3e8961b3c90d");
            let day = home.join(format!(".codex/sessions/2026/{:02}/{:02}", 1 + n % 12, 1 + n % 28));
            let name = format!("rollout-2026-{:02}-{:02}T04-03-33-{id}.jsonl", 1 + n % 12, 1 + n % 28);
            (day.join(name), rollout.replace("01a1fc46-14ce-7500-867f-3e8961b3c90d", &id))
        };
        while text.len() < 250_000 {
            let more = if n % 2 == 0 { lines.next() } else { records.next() };
            text.push_str(more.expect("a cycle"));
            text.push('\n');
        }
        if usize::is_multiple_of(n, 3) {
            text.push_str(&format!("{{\"type\":\"custom-title\",\"customTitle\":\"title {n}\",\"sessionId\":\"x\"}}\n"));
        }
        fs::create_dir_all(path.parent().expect("it has one")).expect("directories");
        fs::write(&path, text).expect("written");
    }
}

/// Records as Claude Code writes them, of phrases from a real transcript: packs about five times smaller, as real ones do.
pub fn transcript(path: &Path, id: &str, cwd: &str, size: usize) {
    write(fs::File::create(path).expect("it can be made"), id, cwd, size, 0);
}

/// So much more of it; what, depends on `step`.
pub fn grow(path: &Path, id: &str, cwd: &str, size: usize, step: u64) {
    write(fs::File::options().append(true).open(path).expect("it is there"), id, cwd, size, step + 1);
}

fn write(file: fs::File, id: &str, cwd: &str, size: usize, seed: u64) {
    let source = include_str!(
        "../../tests/fixtures/claude-2.1.329/.claude/projects/-home-dev-src-demo-app-one/aaaaaaaa-0004-4000-8000-000000000004.jsonl"
    );
    let words: Vec<&str> =
        source.split(|c: char| !c.is_ascii_alphanumeric() && !"./-_'".contains(c)).filter(|word| !word.is_empty()).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seed << 20);
    let mut out = BufWriter::new(file);
    let mut written = 0;
    let mut parent = String::from("null");
    while written < size {
        let uuid = format!("\"{:016x}{:016x}\"", random.next(), random.next());
        let text = phrase(&words, &mut random);
        let line = if random.next().is_multiple_of(2) {
            format!(
                "{{\"parentUuid\":{parent},\"isSidechain\":false,\"type\":\"user\",\"message\":{{\"role\":\"user\",\"content\":[{{\"tool_use_id\":\"toolu_{:016x}\",\"type\":\"tool_result\",\"content\":\"{text}\"}}]}},\"uuid\":{uuid},\"timestamp\":\"2026-11-21T04:03:{:02}.{:03}Z\",\"cwd\":\"{cwd}\",\"sessionId\":\"{id}\",\"version\":\"2.1.329\",\"gitBranch\":\"main\"}}\n",
                random.next(),
                random.next() % 60,
                random.next() % 1000
            )
        } else {
            format!(
                "{{\"parentUuid\":{parent},\"isSidechain\":false,\"message\":{{\"id\":\"msg_{:016x}\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[{{\"type\":\"text\",\"text\":\"{text}\"}}]}},\"type\":\"assistant\",\"uuid\":{uuid},\"timestamp\":\"2026-11-21T04:03:{:02}.{:03}Z\",\"cwd\":\"{cwd}\",\"sessionId\":\"{id}\",\"version\":\"2.1.329\"}}\n",
                random.next(),
                random.next() % 60,
                random.next() % 1000
            )
        };
        parent = uuid;
        written += line.len();
        out.write_all(line.as_bytes()).expect("written");
    }
    out.flush().expect("written");
}

fn phrase(words: &[&str], random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..2 + random.next() % 80 {
        let at = random.next() as usize % (words.len() - 8);
        for word in &words[at..at + 2 + random.next() as usize % 5] {
            text.push_str(word);
            text.push(' ');
        }
    }
    text
}

/// xorshift: the same transcripts on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
