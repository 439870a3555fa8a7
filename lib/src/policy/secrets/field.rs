//! Which field of a line of JSON a byte stands in: `message.content[0].text`.
//!
//! Reads no further than that byte, and takes whatever stands there: a line that is no JSON has no fields.

/// Deeper is nothing that an agent writes.
const DEPTH: usize = 64;
const NAME: usize = 40;

enum Step {
    Object(String),
    Array(usize),
}

/// `line` from its beginning up to the byte.
pub fn of(line: &[u8]) -> Option<String> {
    if !matches!(line.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'{' | b'[')) {
        return None;
    }
    let mut path: Vec<Step> = Vec::new();
    let mut string: Option<usize> = None;
    let mut last = (0, 0);
    let mut n = 0;
    while n < line.len() {
        let byte = line[n];
        match (string, byte) {
            (Some(_), b'\\') => n += 1,
            (Some(from), b'"') => {
                last = (from, n);
                string = None;
            }
            (Some(from), _) => {
                // Straight to what may end it.
                match memchr::memchr2(b'"', b'\\', &line[n..]) {
                    Some(skip) => n += skip.saturating_sub(1),
                    None => n = line.len(),
                }
                string = Some(from);
            }
            (None, b'"') => string = Some(n + 1),
            (None, b'{') => path.push(Step::Object(String::new())),
            (None, b'[') => path.push(Step::Array(0)),
            (None, b'}' | b']') => drop(path.pop()),
            (None, b':') => {
                if let (Some(Step::Object(name)), Some(text)) = (path.last_mut(), line.get(last.0..last.1)) {
                    *name = String::from_utf8_lossy(&text[..text.len().min(NAME)]).into_owned();
                }
            }
            (None, b',') => {
                if let Some(Step::Array(number)) = path.last_mut() {
                    *number += 1;
                }
            }
            _ => {}
        }
        if path.len() > DEPTH {
            return None;
        }
        n += 1;
    }
    let mut said = String::new();
    for step in &path {
        match step {
            Step::Object(name) if said.is_empty() => said.push_str(name),
            Step::Object(name) => said.extend([".", name]),
            Step::Array(number) => said.push_str(&format!("[{number}]")),
        }
    }
    Some(said).filter(|said| !said.is_empty())
}
