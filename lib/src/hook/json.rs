//! JSON as somebody has laid it out: where its values stand, and changes that leave every other byte as it is.
//!
//! The text is parsed by serde_json first, so that what is not JSON is refused before anything is looked for in it.

use std::ops::Range;

/// A value, and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    pub span: Range<usize>,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub enum Kind {
    Object(Vec<Member>),
    Array(Vec<Node>),
    Other,
}

#[derive(Debug, Clone)]
pub struct Member {
    pub key: String,
    /// From its key to the end of its value.
    pub span: Range<usize>,
    pub value: Node,
}

/// Where everything stands; why not, if it is not JSON.
pub fn parse(text: &str) -> Result<Node, String> {
    let _: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut reader = Reader { text, at: 0 };
    reader.value().ok_or_else(|| "it cannot be read".to_owned())
}

impl Node {
    /// The member of this name; of several the last one, which is the one that counts.
    pub fn member(&self, key: &str) -> Option<&Member> {
        match &self.kind {
            Kind::Object(members) => members.iter().rev().find(|member| member.key == key),
            _ => None,
        }
    }

    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::Array(items) => items,
            _ => &[],
        }
    }

    fn children(&self) -> Vec<Range<usize>> {
        match &self.kind {
            Kind::Object(members) => members.iter().map(|member| member.span.clone()).collect(),
            Kind::Array(items) => items.iter().map(|item| item.span.clone()).collect(),
            Kind::Other => Vec::new(),
        }
    }
}

/// Adds a child, its last, to an object or array. `child` is laid out for depth 0 with two spaces a step; it is indented as
/// the rest of the text is.
pub fn add(text: &str, to: &Node, child: &str) -> String {
    let step = step(text);
    let inside = &text[to.span.clone()];
    let children = to.children();
    let own = indent_at(text, to.span.start);
    let (at, piece) = match children.last() {
        // On one line with the others, if that is how they stand.
        Some(last) if !inside.contains('\n') && text.contains('\n') && children.len() > 1 => (last.end, format!(", {}", flat(child))),
        Some(last) if !text.contains('\n') => (last.end, format!(", {}", flat(child))),
        Some(last) => {
            let indent = match text[to.span.start..last.start].contains('\n') {
                true => indent_at(text, last.start),
                false => format!("{own}{step}"),
            };
            (last.end, format!(",\n{indent}{}", indented(child, &indent, &step)))
        }
        None => {
            let indent = format!("{own}{step}");
            let laid_out = format!("\n{indent}{}\n{own}", indented(child, &indent, &step));
            return [&text[..=to.span.start], &laid_out, &text[to.span.end - 1..]].concat();
        }
    };
    [&text[..at], &piece, &text[at..]].concat()
}

/// Takes the `n`th child away, and the comma that it needed.
pub fn remove(text: &str, from: &Node, n: usize) -> String {
    let children = from.children();
    let Some(child) = children.get(n) else { return text.to_owned() };
    let gone = match (n.checked_sub(1).map(|before| &children[before]), children.get(n + 1)) {
        (Some(before), _) => before.end..child.end,
        (None, Some(next)) => child.start..next.start,
        (None, None) => from.span.start + 1..from.span.end - 1,
    };
    [&text[..gone.start], &text[gone.end..]].concat()
}

/// What one step of indentation is here.
fn step(text: &str) -> String {
    let blank = |line: &str| line[..line.len() - line.trim_start_matches([' ', '\t']).len()].to_owned();
    let steps = text.lines().skip(1).map(blank).filter(|blank| !blank.is_empty());
    steps.min_by_key(String::len).unwrap_or_else(|| "  ".to_owned())
}

/// The indentation of the line on which this stands.
fn indent_at(text: &str, at: usize) -> String {
    let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    text[line..].chars().take_while(|c| matches!(c, ' ' | '\t')).collect()
}

fn indented(child: &str, indent: &str, step: &str) -> String {
    let mut out = String::new();
    for (n, line) in child.lines().enumerate() {
        let depth = (line.len() - line.trim_start_matches(' ').len()) / 2;
        if n > 0 {
            out += &format!("\n{indent}{}", step.repeat(depth));
        }
        out += line.trim_start_matches(' ');
    }
    out
}

fn flat(child: &str) -> String {
    let lines: Vec<&str> = child.lines().map(|line| line.trim_start_matches(' ')).collect();
    lines.join(" ")
}

/// Over text that is known to be JSON, and not nested deeper than serde_json allows.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn value(&mut self) -> Option<Node> {
        let first = self.peek()?;
        let start = self.at;
        let kind = match first {
            b'{' => Kind::Object(self.listed(b'}', |reader| {
                reader.peek()?;
                let start = reader.at;
                let key = reader.string()?;
                reader.peek().filter(|byte| *byte == b':')?;
                reader.at += 1;
                let value = reader.value()?;
                Some(Member { key, span: start..value.span.end, value })
            })?),
            b'[' => Kind::Array(self.listed(b']', Reader::value)?),
            b'"' => {
                self.string()?;
                Kind::Other
            }
            _ => {
                let ends = |byte: u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
                self.at += self.text.as_bytes()[self.at..].iter().take_while(|byte| !ends(**byte)).count();
                Kind::Other
            }
        };
        Some(Node { span: start..self.at, kind })
    }

    fn listed<T>(&mut self, close: u8, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.at += 1;
        let mut all = Vec::new();
        loop {
            match self.peek()? {
                byte if byte == close => break,
                b',' => self.at += 1,
                _ => all.push(one(self)?),
            }
        }
        self.at += 1;
        Some(all)
    }

    fn string(&mut self) -> Option<String> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        self.at += 1;
        loop {
            match bytes.get(self.at)? {
                b'\\' => self.at += 2,
                b'"' => break,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        serde_json::from_str(self.text.get(start..self.at)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_was_added_and_removed_leaves_the_same_bytes() {
        for text in [
            "{\"a\": [1, 2]}",
            "{\n  \"a\": [\n    1\n  ]\n}\n",
            "{\n\t\"b\": {\"x\": \"]\\\"}\"},\n\t\"a\": [ [], {} ]\n}",
            "{\r\n    \"a\": [\r\n        1\r\n    ]\r\n}\r\n",
            "{ \"a\" : [ 1 ] , \"z\" : 0 }\n",
        ] {
            let root = parse(text).expect("JSON");
            let array = &root.member("a").expect("there").value;
            let more = add(text, array, "{\n  \"new\": [\n    3\n  ]\n}");
            let after = parse(&more).unwrap_or_else(|error| panic!("{error}: {more}"));
            let array = &after.member("a").expect("there").value;
            let last = array.items().len() - 1;
            assert!(array.items()[last].member("new").is_some(), "{more}");
            assert_eq!(remove(&more, array, last), text, "{more}");
        }
    }

    #[test]
    fn what_is_added_looks_like_the_rest() {
        let check = |text: &str, expected: &str| {
            let root = parse(text).expect("JSON");
            assert_eq!(add(text, &root, "\"n\": {\n  \"x\": 1\n}"), expected);
        };
        check("{}", "{\n  \"n\": {\n    \"x\": 1\n  }\n}");
        check("{\n    \"a\": 1\n}\n", "{\n    \"a\": 1,\n    \"n\": {\n        \"x\": 1\n    }\n}\n");
        check("{\n\t\"a\": 1\n}", "{\n\t\"a\": 1,\n\t\"n\": {\n\t\t\"x\": 1\n\t}\n}");
        check("{\"a\":1}", "{\"a\":1, \"n\": { \"x\": 1 }}");
    }

    #[test]
    fn the_first_of_several_can_go() {
        let text = "[1, 2, 3]";
        let root = parse(text).expect("JSON");
        assert_eq!(remove(text, &root, 0), "[2, 3]");
        assert_eq!(remove(text, &root, 1), "[1, 3]");
        assert_eq!(remove("[ 1 ]", &parse("[ 1 ]").expect("JSON"), 0), "[]");
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", "{\"a\": 1,}", "// x\n{}", "{} {}", &"[".repeat(10_000)] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
